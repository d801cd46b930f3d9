//! The time to open a TCP connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::{Dial, left};
use crate::Family;
use crate::outcome::{Outcome, elapsed_ms};

/// Opens a connection and closes it.
pub(crate) async fn probe(
    host: &str,
    port: u16,
    family: Family,
    limit: Duration,
    dial: &Dial<'_>,
) -> Outcome {
    let until = Instant::now() + limit;
    let mut outcome = Outcome::default();
    let ip = match dial.resolve(host, family, until, "tcp.dns_ms", &mut outcome).await {
        Ok(ip) => ip,
        Err(error) => return outcome.failed(error),
    };
    let begin = Instant::now();
    match connect(SocketAddr::new(ip, port), until).await {
        Ok(_) => {
            let ms = elapsed_ms(begin);
            outcome.metric("tcp.connect_ms", ms);
            outcome.duration_ms = Some(ms);
            outcome
        }
        Err(error) => outcome.failed(error),
    }
}

/// A connection, or what a failure means.
pub(super) async fn connect(address: SocketAddr, until: Instant) -> Result<TcpStream, String> {
    match tokio::time::timeout(left(until), TcpStream::connect(address)).await {
        Ok(Ok(stream)) if is_to_itself(&stream) => Err(refused(address)),
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(match error.kind() {
            std::io::ErrorKind::ConnectionRefused => refused(address),
            std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
                format!("{address} has no route: {error}")
            }
            _ => format!("{address}: {error}"),
        }),
        Err(_) => {
            Err(format!("{address} did not answer in time: it is down, or something drops packets"))
        }
    }
}

fn refused(address: SocketAddr) -> String {
    format!("{address} refuses the connection: nothing listens there")
}

/// Whether both ends are one socket: a connection to a local port that nothing listens at, which
/// the kernel happened to give us as our own (simultaneous open, RFC 9293 §3.5).
fn is_to_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(ours), Ok(theirs)) if ours == theirs)
}

#[cfg(test)]
mod tests {
    use super::super::Resolver;
    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn an_open_port_is_timed_and_a_closed_one_is_named() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = tokio::net::TcpListener::bind(address).await else {
                println!("skipped: {address} cannot be bound here");
                continue;
            };
            let bound = listener.local_addr().expect("bound");
            let host = bound.ip().to_string();
            let outcome =
                probe(&host, bound.port(), Family::Any, LIMIT, &Dial::open(&Resolver::default()))
                    .await;
            assert_eq!(outcome.error, None);
            assert!(outcome.duration_ms.is_some() && outcome.address == Some(bound.ip()));
            drop(listener);
            let outcome =
                probe(&host, bound.port(), Family::Any, LIMIT, &Dial::open(&Resolver::default()))
                    .await;
            assert!(outcome.error.expect("closed").contains("refuses"));
            assert_eq!(outcome.duration_ms, None, "what was not measured is absent");
        }
    }

    #[tokio::test]
    async fn the_address_family_is_obeyed() {
        let outcome =
            probe("127.0.0.1", 1, Family::V6, LIMIT, &Dial::open(&Resolver::default())).await;
        assert!(outcome.error.expect("refused").contains("family"));
    }
    #[tokio::test]
    async fn a_connection_to_itself_is_told_from_one_to_a_listener() {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("bound");
        let own = socket.local_addr().expect("bound");
        let stream = socket.connect(own).await.expect("the kernel lets it");
        assert!(is_to_itself(&stream));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let other = listener.local_addr().expect("bound");
        assert!(!is_to_itself(&TcpStream::connect(other).await.expect("connected")));
    }
}
