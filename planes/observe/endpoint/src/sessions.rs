//! The machine's own TCP connections, with what the kernel measured of them: `NETLINK_SOCK_DIAG` with `INET_DIAG_INFO`
//! (sock_diag(7), `struct tcp_info` in `include/uapi/linux/tcp.h`). Needs no privilege.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::SessionFigures;
use crate::netlink::{ask, attributes, long, open, word};

const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_MSG_BYTES: usize = 72;
const ESTABLISHED: u8 = 1;
/// Most connections that are looked at.
const MAX_CONNECTIONS: usize = 65_536;

/// An established TCP connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// The other end.
    pub remote: SocketAddr,
    rtt_us: u32,
    min_rtt_us: Option<u32>,
    segments_sent: u64,
    segments_again: u64,
    delivery_bytes_per_s: Option<u64>,
}

/// The established TCP connections of this thread's network namespace, at most 65,536.
///
/// # Errors
/// Why the kernel does not say.
pub fn connections() -> Result<Vec<Connection>, String> {
    let look = || -> io::Result<Vec<Connection>> {
        let socket = open(NETLINK_SOCK_DIAG)?;
        let mut found = Vec::new();
        for (sequence, family) in [(1, libc::AF_INET), (2, libc::AF_INET6)] {
            let request = (SOCK_DIAG_BY_FAMILY, true, sequence);
            ask(&socket, request, &asked(family as u8), |message| {
                let of = connection(message).filter(|_| found.len() < MAX_CONNECTIONS);
                found.extend(of);
            })?;
        }
        Ok(found)
    };
    look().map_err(|error| format!("the kernel does not list TCP connections: {error}"))
}

/// `struct inet_diag_req_v2`.
fn asked(family: u8) -> [u8; 56] {
    let mut bytes = [0; 56];
    bytes[0] = family;
    bytes[1] = libc::IPPROTO_TCP as u8;
    bytes[2] = 1 << (INET_DIAG_INFO - 1);
    bytes[4..8].copy_from_slice(&(1_u32 << ESTABLISHED).to_ne_bytes());
    bytes
}

/// `struct inet_diag_msg`, then attributes.
fn connection(message: &[u8]) -> Option<Connection> {
    let (head, rest) = message.split_at_checked(INET_DIAG_MSG_BYTES)?;
    if head[1] != ESTABLISHED {
        return None;
    }
    let address: [u8; 16] = head[24..40].try_into().ok()?;
    let address: IpAddr = if i32::from(head[0]) == libc::AF_INET {
        Ipv4Addr::new(address[0], address[1], address[2], address[3]).into()
    } else {
        Ipv6Addr::from(address).to_canonical()
    };
    let port = u16::from_be_bytes([head[6], head[7]]);
    let (_, info) = attributes(rest).find(|(kind, _)| *kind == INET_DIAG_INFO)?;
    // Later fields are there on later kernels; what is not there was not measured.
    let sent = word(info, 156).or_else(|| word(info, 136))?;
    Some(Connection {
        remote: SocketAddr::new(address, port),
        rtt_us: word(info, 68)?,
        // No round trip yet is the largest number.
        min_rtt_us: word(info, 148).filter(|us| *us != u32::MAX),
        segments_sent: sent.into(),
        segments_again: word(info, 100)?.into(),
        delivery_bytes_per_s: long(info, 160).filter(|rate| *rate > 0),
    })
}

impl Connection {
    /// What connections come to together; none without any.
    pub fn together<'a>(all: impl IntoIterator<Item = &'a Self>) -> Option<SessionFigures> {
        let all: Vec<&Self> = all.into_iter().collect();
        let count = u32::try_from(all.len()).ok().filter(|count| *count > 0)?;
        let rtt_us: f64 = all.iter().map(|one| f64::from(one.rtt_us)).sum();
        let least = all.iter().filter_map(|one| one.min_rtt_us).min();
        let rates: Vec<u64> = all.iter().filter_map(|one| one.delivery_bytes_per_s).collect();
        let rate = rates.iter().fold(0_u64, |sum, rate| sum.saturating_add(*rate));
        Some(SessionFigures {
            connections: count,
            rtt_ms: rtt_us / f64::from(count) / 1_000.0,
            min_rtt_ms: least.map(|us| f64::from(us) / 1_000.0),
            segments_sent: all.iter().map(|one| one.segments_sent).sum(),
            segments_again: all.iter().map(|one| one.segments_again).sum(),
            delivery_mbps: (!rates.is_empty()).then_some(rate as f64 * 8.0 / 1e6),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;
    use crate::netlink::put;

    #[test]
    fn a_connection_of_our_own_is_found_with_its_round_trip() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut ours = TcpStream::connect(address).expect("connects");
        let (mut theirs, _) = listener.accept().expect("accepts");
        for _ in 0..10 {
            ours.write_all(b"hello").expect("written");
            let mut heard = [0; 5];
            theirs.read_exact(&mut heard).expect("read");
        }
        let all = connections().expect("listed");
        let of =
            Connection::together(all.iter().filter(|one| one.remote == address)).expect("found");
        assert_eq!(of.connections, 1);
        assert!(of.rtt_ms > 0.0 && of.segments_sent >= 10, "{of:?}");
        assert_eq!(Connection::together([]), None);
    }

    fn a_message() -> Vec<u8> {
        let mut bytes = vec![0; INET_DIAG_MSG_BYTES];
        bytes[0] = libc::AF_INET as u8;
        bytes[1] = ESTABLISHED;
        bytes[6..8].copy_from_slice(&443_u16.to_be_bytes());
        bytes[24..28].copy_from_slice(&[192, 0, 2, 1]);
        let mut info = vec![0; 232];
        let mut number = |at: usize, number: u32| {
            info[at..at + 4].copy_from_slice(&number.to_ne_bytes());
        };
        number(68, 20_000);
        number(100, 7);
        number(148, 18_000);
        number(156, 700);
        number(160, 1_250_000);
        put(&mut bytes, INET_DIAG_INFO, &info);
        bytes
    }

    #[test]
    fn figures_are_where_the_kernel_writes_them() {
        let one = connection(&a_message()).expect("a connection");
        assert_eq!(one.remote.to_string(), "192.0.2.1:443");
        let of = Connection::together([&one, &one]).expect("two");
        assert_eq!((of.connections, of.rtt_ms, of.min_rtt_ms), (2, 20.0, Some(18.0)));
        assert_eq!(
            (of.segments_sent, of.segments_again, of.delivery_mbps),
            (1_400, 14, Some(20.0))
        );
        assert_eq!(of.loss(), Some(0.01));
    }

    proptest! {
        #[test]
        fn messages_that_were_changed_or_cut_never_panic(at in 0_usize..400, byte: u8, length in 0_usize..400) {
            let mut bytes = a_message();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(length);
            if let Some(one) = connection(&bytes) {
                let of = Connection::together([&one]).expect("one");
                prop_assert!(of.rtt_ms >= 0.0 && of.loss().is_none_or(|loss| (0.0..=1.0).contains(&loss)));
            }
        }
    }
}
