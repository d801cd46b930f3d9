//! Packets over UDP that come back as they were sent (RFC 862), and what that takes.

use std::time::{Duration, Instant};

use rand::RngExt;

use super::Dial;
use super::series::{self, Answer, Names};
use crate::Family;
use crate::outcome::Outcome;

/// Fewest and most bytes of a packet.
pub(crate) const PAYLOAD: (u16, u16) = (16, 1_400);
/// Bytes of a packet, if nothing else is said.
pub(crate) const PAYLOAD_BYTES: u16 = 64;
const TOKEN_BYTES: usize = 8;

const NAMES: Names = Names {
    loss: "udp.loss.ratio",
    sent: "udp.packets.sent",
    received: "udp.packets.received",
    duplicate: "udp.packets.duplicate",
    unmatched: "udp.packets.unmatched",
    altered: "udp.packets.altered",
    min: "udp.rtt.min_ms",
    avg: "udp.rtt.avg_ms",
    max: "udp.rtt.max_ms",
    stddev: "udp.rtt.stddev_ms",
    jitter: "udp.jitter_ms",
};

/// What is sent where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Echoes {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) count: u16,
    pub(crate) bytes: u16,
}

/// Sends the packets once.
pub(crate) async fn probe(
    echoes: &Echoes,
    family: Family,
    limit: Duration,
    dial: &Dial<'_>,
) -> Outcome {
    let until = Instant::now() + limit;
    let mut outcome = Outcome::default();
    let target = (&*echoes.host, echoes.port, family);
    let opened = series::open(target, until, "udp.dns_ms", dial, &mut outcome).await;
    let (socket, address) = match opened {
        Ok(opened) => opened,
        Err(error) => return outcome.failed(error),
    };
    let mut token = [0; TOKEN_BYTES];
    rand::rng().fill(&mut token);
    let (count, bytes) = (echoes.count, usize::from(echoes.bytes));
    let made = |number| packet(&token, number, bytes);
    let read = |answer: &[u8]| read(answer, &token, count, bytes);
    let series = series::run(&socket, count, until, made, read).await;
    let rtts: Vec<f64> = series.answers.iter().map(|(_, ms)| *ms).collect();
    let what = "nothing echoes there";
    let outcome = series.report(&rtts, &NAMES, (address, what), outcome);
    if series.altered > 0 {
        return outcome.failed(format!("{address} sent other bytes back than it got"));
    }
    outcome
}

/// A token that nobody else knows, the packet's number, and a pattern that follows from it.
fn packet(token: &[u8; TOKEN_BYTES], number: u16, bytes: usize) -> Vec<u8> {
    let mut packet = Vec::with_capacity(bytes);
    packet.extend(token);
    packet.extend(number.to_be_bytes());
    let pattern =
        (packet.len()..bytes).map(|at| (at as u16).wrapping_mul(31).wrapping_add(number) as u8);
    packet.extend(pattern);
    packet
}

fn read(answer: &[u8], token: &[u8; TOKEN_BYTES], count: u16, bytes: usize) -> Answer {
    let Some([high, low]) = answer.strip_prefix(token).and_then(|rest| rest.first_chunk::<2>())
    else {
        return Answer::Foreign;
    };
    let number = u16::from_be_bytes([*high, *low]);
    if number < count && *answer == packet(token, number, bytes)[..] {
        Answer::To(number)
    } else {
        Answer::Altered
    }
}

#[cfg(test)]
mod tests {
    use super::super::Resolver;
    use super::*;
    use proptest::prelude::*;
    use std::net::SocketAddr;
    use tokio::net::UdpSocket;

    async fn server(answer: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let address = socket.local_addr().expect("bound");
        tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            let mut number = 0;
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                for packet in answer(number, &buffer[..length]) {
                    let _ = socket.send_to(&packet, from).await;
                }
                number += 1;
            }
        });
        address
    }

    async fn run(address: SocketAddr, count: u16, limit: Duration) -> Outcome {
        let echoes =
            Echoes { host: address.ip().to_string(), port: address.port(), count, bytes: 100 };
        probe(&echoes, Family::Any, limit, &Dial::open(&Resolver::default())).await
    }

    fn metric(outcome: &Outcome, column: &str) -> Option<f64> {
        outcome.metrics.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
    }

    #[tokio::test]
    async fn what_comes_back_is_counted_and_timed() {
        let address = server(|_, packet| vec![packet.to_vec()]).await;
        let outcome = run(address, 5, Duration::from_secs(20)).await;
        assert_eq!(outcome.error, None);
        assert_eq!(metric(&outcome, "udp.loss.ratio"), Some(0.0));
        assert_eq!(metric(&outcome, "udp.packets.received"), Some(5.0));
        assert!(metric(&outcome, "udp.rtt.avg_ms").is_some_and(|ms| ms > 0.0));
        assert!(metric(&outcome, "udp.jitter_ms").is_some());
    }

    #[tokio::test]
    async fn what_is_lost_doubled_foreign_and_altered_is_told_apart() {
        let address = server(|number, packet| match number {
            0 => Vec::new(),
            1 => vec![packet.to_vec(), packet.to_vec(), b"nonsense".to_vec()],
            _ => vec![packet.to_vec()],
        })
        .await;
        let outcome = run(address, 4, Duration::from_secs(2)).await;
        assert_eq!(outcome.error, None);
        assert_eq!(metric(&outcome, "udp.loss.ratio"), Some(0.25));
        assert_eq!(metric(&outcome, "udp.packets.duplicate"), Some(1.0));
        assert_eq!(metric(&outcome, "udp.packets.unmatched"), Some(1.0));
        let address = server(|_, packet| {
            let mut packet = packet.to_vec();
            packet[50] ^= 1;
            vec![packet]
        })
        .await;
        let outcome = run(address, 2, Duration::from_millis(500)).await;
        assert!(outcome.error.as_deref().expect("altered").contains("other bytes"));
        assert_eq!(metric(&outcome, "udp.packets.altered"), Some(2.0));
        assert_eq!(outcome.duration_ms, None);
    }

    #[tokio::test]
    async fn silence_and_a_closed_port_are_failures_that_say_so() {
        let silent = server(|_, _| Vec::new()).await;
        let outcome = run(silent, 2, Duration::from_millis(200)).await;
        assert!(outcome.error.expect("failed").contains("answered none of 2 packets"));
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let closed = socket.local_addr().expect("bound");
        drop(socket);
        let outcome = run(closed, 2, Duration::from_millis(200)).await;
        assert!(outcome.error.expect("failed").contains("refused"));
    }

    proptest! {
        #[test]
        fn no_answer_panics_and_only_ours_is_taken(bytes in proptest::collection::vec(any::<u8>(), 0..120), number in 0_u16..9, at in 0_usize..64, ours in any::<bool>()) {
            let token = *b"12345678";
            prop_assert_eq!(read(&packet(&token, number, 64), &token, 9, 64), Answer::To(number));
            if ours {
                let mut changed = packet(&token, number, 64);
                changed[at] ^= 0x55;
                prop_assert_ne!(read(&changed, &token, 9, 64), Answer::To(number));
            } else {
                let _ = read(&bytes, &token, 9, 64);
            }
        }
    }
}
