//! `recvmmsg` with the kernel's count of drops: what neither the standard library nor socket2 has.
#![allow(unsafe_code)] // each call with the reason why it is sound

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use socket2::Socket;

/// Datagrams of one call.
const BATCH: usize = 64;
/// Longest datagram: UDP's own bound. Pages that no datagram reaches are never touched.
const DATAGRAM_BYTES: usize = 1 << 16;
/// Room for the one control message that is asked for.
const CONTROL_BYTES: usize = 64;

/// The control message's bytes, aligned as `cmsghdr` needs.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Control([u8; CONTROL_BYTES]);

/// Buffers of up to 64 datagrams, used again for every call.
pub(super) struct Inbox {
    bytes: Vec<u8>,
    addresses: Vec<libc::sockaddr_storage>,
    control: Vec<Control>,
    /// Length and sender of each datagram that is here now.
    here: Vec<(usize, SocketAddr)>,
    drops: Option<u32>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        // SAFETY: a sockaddr_storage of zeros is one of family AF_UNSPEC.
        let none: libc::sockaddr_storage = unsafe { zeroed() };
        Self {
            bytes: vec![0; BATCH * DATAGRAM_BYTES],
            addresses: vec![none; BATCH],
            control: vec![Control([0; CONTROL_BYTES]); BATCH],
            here: Vec::with_capacity(BATCH),
            drops: None,
        }
    }

    /// Waits for a datagram and takes what else is there already.
    ///
    /// # Errors
    /// The kernel's; `WouldBlock` when the socket's time to wait is over.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.here.clear();
        self.drops = None;
        // SAFETY: iovec and mmsghdr are plain data; zeros are valid and are overwritten below.
        let mut pieces: [libc::iovec; BATCH] = unsafe { zeroed() };
        // SAFETY: as above.
        let mut heads: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        let buffers = self.bytes.chunks_exact_mut(DATAGRAM_BYTES);
        let places = self.addresses.iter_mut().zip(&mut self.control).zip(buffers);
        for ((head, piece), ((address, control), buffer)) in
            heads.iter_mut().zip(&mut pieces).zip(places)
        {
            *piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            head.msg_hdr.msg_name = ptr::from_mut(address).cast();
            head.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            head.msg_hdr.msg_iov = piece;
            head.msg_hdr.msg_iovlen = 1;
            head.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            head.msg_hdr.msg_controllen = CONTROL_BYTES as _;
        }
        // SAFETY: every pointer in the heads is to memory of this object or of this frame, with the
        // length beside it; both outlive the call. The socket is open while it is borrowed.
        let n = unsafe {
            let (fd, most) = (socket.as_raw_fd(), BATCH as libc::c_uint);
            libc::recvmmsg(fd, heads.as_mut_ptr(), most, libc::MSG_WAITFORONE as _, ptr::null_mut())
        };
        let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
        for (head, address) in heads.iter().zip(&self.addresses).take(n) {
            // 0 of an unknown family: an empty datagram is refused by the decoder and counted.
            let from = address_of(address).unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
            self.here.push(((head.msg_len as usize).min(DATAGRAM_BYTES), from));
            self.drops = drops_of(&head.msg_hdr).or(self.drops);
        }
        Ok(())
    }

    /// The datagrams of the last call.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let buffers = self.bytes.chunks_exact(DATAGRAM_BYTES);
        self.here.iter().zip(buffers).map(|((length, from), buffer)| (*from, &buffer[..*length]))
    }

    /// How many datagrams the kernel dropped on this socket so far, modulo 2^32; `None` if it did
    /// not say: it does with every datagram once it dropped one.
    pub(super) fn drops(&self) -> Option<u32> {
        self.drops
    }
}

/// Asks for the count of drops with every datagram.
///
/// # Errors
/// The kernel does not know the option.
pub(super) fn report_drops(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SO_RXQ_OVFL, 1)
}

/// Asks for a receive buffer: past the system's bound where that is allowed, else up to it.
pub(super) fn grow_receive_buffer(socket: &Socket, bytes: usize) {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    if set(socket.as_fd(), libc::SO_RCVBUFFORCE, bytes).is_err() {
        // What was granted is in the report.
        let _ = socket.set_recv_buffer_size(bytes as usize);
    }
}

fn set(socket: BorrowedFd<'_>, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the value is an int of this frame, and its length is told.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn address_of(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let storage: *const libc::sockaddr_storage = storage;
    // SAFETY: the storage is large enough and aligned for either, and the kernel wrote the one that
    // its family names.
    unsafe {
        match libc::c_int::from((*storage).ss_family) {
            libc::AF_INET => {
                let v4 = &*storage.cast::<libc::sockaddr_in>();
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
            }
            libc::AF_INET6 => {
                let v6 = &*storage.cast::<libc::sockaddr_in6>();
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Some(SocketAddr::from((ip, u16::from_be(v6.sin6_port))))
            }
            _ => None,
        }
    }
}

fn drops_of(head: &libc::msghdr) -> Option<u32> {
    // SAFETY: the kernel wrote `msg_controllen` bytes of control messages to `msg_control`, which is
    // memory of the caller that is still there; the macros stay within it. The value is read
    // unaligned.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(head);
        while let Some(message) = control.as_ref() {
            let enough = message.cmsg_len >= libc::CMSG_LEN(4) as usize;
            if message.cmsg_level == libc::SOL_SOCKET
                && message.cmsg_type == libc::SO_RXQ_OVFL
                && enough
            {
                return Some(libc::CMSG_DATA(control).cast::<u32>().read_unaligned());
            }
            control = libc::CMSG_NXTHDR(head, control);
        }
    }
    None
}
