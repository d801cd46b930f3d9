//! Path MTU discovery of a socket: what neither the standard library nor socket2 nor nix has.
#![allow(unsafe_code)] // each call with the reason why it is sound

use std::os::fd::{AsFd, AsRawFd};

/// Never fragments, and sends up to the MTU of its own link whatever was learnt before (ip(7), ipv6(7):
/// `IP_PMTUDISC_PROBE`).
pub(super) fn probe_mtu(socket: impl AsFd, v6: bool) -> std::io::Result<()> {
    let (level, option, value) = if v6 {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)
    } else {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)
    };
    let value: libc::c_int = value;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed; the kernel reads `length` bytes of `value`,
    // which is an int that lives across the call.
    let set = unsafe {
        let value = (&raw const value).cast();
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, value, length)
    };
    if set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
