//! Netlink messages: requests, dumps, and attributes (netlink(7), `include/uapi/linux/netlink.h`).

use std::io::{self, Read};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

pub(crate) const HEADER_BYTES: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
/// The high bits of an attribute's kind are flags.
const KIND_MASK: u16 = 0x3fff;
/// Most messages of one answer.
const MAX_MESSAGES: usize = 65_536;
const PATIENCE: Duration = Duration::from_secs(2);

/// A socket of one netlink protocol, in this thread's network namespace.
pub(crate) fn open(protocol: i32) -> io::Result<Socket> {
    let socket =
        Socket::new(Domain::from(libc::AF_NETLINK), Type::DGRAM, Some(Protocol::from(protocol)))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// A request of `kind` with `body`; one that asks for all of a kind is a dump.
pub(crate) fn request(kind: u16, dump: bool, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + body.len()).unwrap_or(u32::MAX);
    let flags = NLM_F_REQUEST | if dump { NLM_F_DUMP } else { NLM_F_ACK };
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&0_u32.to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Sends a request; each message of the answer goes to `heard`, without its header.
pub(crate) fn ask(
    socket: &Socket,
    (kind, dump, sequence): (u16, bool, u32),
    body: &[u8],
    mut heard: impl FnMut(&[u8]),
) -> io::Result<()> {
    // An unconnected netlink socket sends to the kernel.
    socket.send(&request(kind, dump, sequence, body))?;
    let mut buffer = vec![0; 65_536];
    let mut reader = socket;
    for _ in 0..MAX_MESSAGES {
        let length = reader.read(&mut buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = each(&buffer[..length], sequence, &mut heard) {
            return end;
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// Goes through the messages of a datagram; how the answer ended, if it did.
fn each(mut rest: &[u8], sequence: u32, heard: &mut impl FnMut(&[u8])) -> Option<io::Result<()>> {
    while let Some((kind, of, body, next)) = split(rest) {
        rest = next;
        if of != sequence {
            continue;
        }
        match kind {
            NLMSG_DONE => return Some(Ok(())),
            NLMSG_ERROR => {
                return Some(match word(body, 0) {
                    Some(0) => Ok(()),
                    Some(code) => Err(io::Error::from_raw_os_error((code as i32).wrapping_neg())),
                    None => Err(io::ErrorKind::InvalidData.into()),
                });
            }
            _ => heard(body),
        }
    }
    None
}

/// Kind, sequence and body of the first message, and what follows it.
fn split(bytes: &[u8]) -> Option<(u16, u32, &[u8], &[u8])> {
    let length = usize::try_from(word(bytes, 0)?).ok()?;
    let body = bytes.get(HEADER_BYTES..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((half(bytes, 4)?, word(bytes, 8)?, body, next))
}

/// The attributes of a message or of another attribute: kind without flags, and value. What is cut off ends them.
pub(crate) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(half(rest, 0)?);
        let value = rest.get(4..length)?;
        let kind = half(rest, 2)? & KIND_MASK;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Appends an attribute.
pub(crate) fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

pub(crate) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(crate) fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_put_is_read_and_errors_are_told() {
        let mut bytes = Vec::new();
        put(&mut bytes, 0x8000 | 7, b"abc");
        put(&mut bytes, 9, &[]);
        let read: Vec<(u16, &[u8])> = attributes(&bytes).collect();
        assert_eq!(read, [(7, &b"abc"[..]), (9, &[][..])]);
        let error = request(NLMSG_ERROR, false, 3, &(-libc::ENOENT).to_ne_bytes());
        let end = each(&error, 3, &mut |_| panic!("none")).expect("an end");
        assert_eq!(end.expect_err("an error").raw_os_error(), Some(libc::ENOENT));
        assert!(each(&error, 4, &mut |_| panic!("another's")).is_none());
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_end(bytes in prop::collection::vec(any::<u8>(), 0..300), sequence in 0_u32..3) {
            let mut heard = 0;
            let _ = each(&bytes, sequence, &mut |_| heard += 1);
            prop_assert!(heard <= bytes.len() / HEADER_BYTES + 1);
            prop_assert!(attributes(&bytes).count() <= bytes.len() / 4 + 1);
        }
    }
}
