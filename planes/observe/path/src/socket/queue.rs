//! The error queue of a socket (ip(7), `IP_RECVERR`).

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

/// Who reports an error (ip(7), SO_EE_ORIGIN_*).
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMPV6: u8 = 3;
/// Bytes that are kept of what the error quotes.
const QUOTED: usize = 64;

/// One entry of an error queue.
pub(crate) struct Queued {
    /// Who reports it; `None`: the kernel itself, of a packet that did not leave.
    pub(crate) from: Option<IpAddr>,
    pub(crate) icmp_type: u8,
    pub(crate) code: u8,
    /// Of a packet that is too large: the MTU in bytes.
    pub(crate) info: u32,
    pub(crate) v6: bool,
    quoted: [u8; QUOTED],
    length: usize,
}

impl Queued {
    /// What the socket had sent, as far as it is quoted.
    pub(crate) fn quoted(&self) -> &[u8] {
        &self.quoted[..self.length.min(QUOTED)]
    }

    /// Whether a packet's TTL ended.
    pub(crate) fn exceeded(&self) -> bool {
        self.icmp_type == if self.v6 { 3 } else { 11 }
    }

    /// Whether it says that a packet is larger than the next link takes (RFC 1191 §4, RFC 4443 §3.2).
    pub(crate) fn too_big(&self) -> bool {
        if self.v6 { self.icmp_type == 2 } else { (self.icmp_type, self.code) == (3, 4) }
    }
}

/// The next entry of a socket's queue.
pub(crate) fn next(socket: &impl AsRawFd) -> Option<Queued> {
    let mut quoted = [0; QUOTED];
    let mut slices = [IoSliceMut::new(&mut quoted)];
    let mut space = nix::cmsg_space!([u8; 512]);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)
            .ok()?;
    let length = message.bytes;
    let (error, from, v6) = message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, from) => {
            let from = from.filter(|_| error.ee_origin == ORIGIN_ICMP);
            let address = |from: nix::libc::sockaddr_in| {
                IpAddr::from(Ipv4Addr::from_bits(u32::from_be(from.sin_addr.s_addr)))
            };
            Some((error, from.map(address), false))
        }
        ControlMessageOwned::Ipv6RecvErr(error, from) => {
            let from = from.filter(|_| error.ee_origin == ORIGIN_ICMPV6);
            Some((error, from.map(|from| IpAddr::from(from.sin6_addr.s6_addr)), true))
        }
        _ => None,
    })?;
    let (icmp_type, code, info) = (error.ee_type, error.ee_code, error.ee_info);
    Some(Queued { from, icmp_type, code, info, v6, quoted, length })
}
