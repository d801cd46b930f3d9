//! TCP sockets by `NETLINK_SOCK_DIAG` (sock_diag(7)). Needs no privilege.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use crate::listing::{MAX_SOCKETS, Socket};
use crate::seen::{End, Owner};

const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST_DUMP: u16 = 0x1 | 0x300;
const NLMSG_HEADER_BYTES: usize = 16;
const INET_DIAG_MSG_BYTES: usize = 72;
const TCP_ESTABLISHED: u8 = 1;
const TCP_CLOSE_WAIT: u8 = 8;
const TCP_LISTEN: u8 = 10;
/// ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING.
const STATES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11;

/// Every listening TCP socket and connection of this thread's network namespace, marked `netns`.
pub(crate) fn tcp_sockets(netns: u32) -> io::Result<Vec<Socket>> {
    let socket = RawSocket::new(
        Domain::from(libc::AF_NETLINK),
        Type::DGRAM,
        Some(Protocol::from(NETLINK_SOCK_DIAG)),
    )?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut sockets = Vec::new();
    for (sequence, family) in [(1, libc::AF_INET), (2, libc::AF_INET6)] {
        // An unconnected netlink socket sends to the kernel.
        socket.send(&request(family as u8, sequence))?;
        dump(&socket, sequence, netns, &mut sockets)?;
    }
    Ok(sockets)
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn request(family: u8, sequence: u32) -> [u8; NLMSG_HEADER_BYTES + 56] {
    let mut bytes = [0; NLMSG_HEADER_BYTES + 56];
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    bytes[16] = family;
    bytes[17] = libc::IPPROTO_TCP as u8;
    bytes[20..24].copy_from_slice(&STATES.to_ne_bytes());
    bytes
}

fn dump(socket: &RawSocket, sequence: u32, netns: u32, out: &mut Vec<Socket>) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    let mut reader = socket;
    loop {
        let length = reader.read(&mut buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = &buffer[..length];
        while let Some((message, next)) = split_message(rest) {
            rest = next;
            if message.sequence != sequence {
                continue;
            }
            match message.kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => return Err(error(message.body)),
                // One more than the bound, so that the listing knows that it was cut off.
                SOCK_DIAG_BY_FAMILY if out.len() <= MAX_SOCKETS => {
                    out.extend(read_socket(message.body, netns));
                }
                _ => {}
            }
        }
    }
}

struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

fn split_message(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let length = word(bytes, 0)? as usize;
    let body = bytes.get(NLMSG_HEADER_BYTES..length)?;
    let message = Message {
        kind: u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?),
        sequence: word(bytes, 8)?,
        body,
    };
    Some((message, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn error(body: &[u8]) -> io::Error {
    match word(body, 0) {
        Some(code) => io::Error::from_raw_os_error((code as i32).wrapping_neg()),
        None => io::ErrorKind::InvalidData.into(),
    }
}

/// `struct inet_diag_msg`.
fn read_socket(body: &[u8], netns: u32) -> Option<Socket> {
    let body: &[u8; INET_DIAG_MSG_BYTES] = body.get(..INET_DIAG_MSG_BYTES)?.try_into().ok()?;
    let (family, state) = (body[0], body[1]);
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let ip = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 16] = body[at..at + 16].try_into().ok()?;
        if i32::from(family) == libc::AF_INET {
            Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into())
        } else {
            Some(Ipv6Addr::from(bytes).into())
        }
    };
    Some(Socket {
        listens: state == TCP_LISTEN,
        established: matches!(state, TCP_ESTABLISHED | TCP_CLOSE_WAIT),
        local: End::new(ip(8)?, port(4)),
        remote: End::new(ip(24)?, port(6)),
        netns,
        inode: word(body, 68)?.into(),
        owner: Owner::NotTold,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_off_messages_end_the_reading() {
        let mut bytes = vec![0; 40];
        for length in [0_u32, 15, 16, 39, 40, 41, u32::MAX] {
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            let split = split_message(&bytes);
            assert_eq!(split.is_some(), (16..=40).contains(&length), "length {length}");
        }
        assert!(split_message(&[]).is_none());
        assert!(read_socket(&[0; 71], 0).is_none());
        assert_eq!(error(&[]).kind(), io::ErrorKind::InvalidData);
    }
}
