//! The other end of STAMP: answers each packet with as many bytes as came, and says when it came and went.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use holm_model::Prefix;
use holm_plane::HealthHandle;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::authentic::{self, Key};
use super::now;
use super::wire::{BYTES, ErrorEstimate, Reflected, Sent};
use crate::budget::Bucket;

/// Most sessions whose packets are counted.
const MAX_SESSIONS: usize = 4_096;
/// A session of which nothing came for so long begins anew (RFC 8762 calls it REFWAIT; 900 s in RFC 5357), in ms.
const FORGET_MS: u64 = 900_000;
/// Most packets a second that are answered, of all senders.
const PACKETS_PER_SECOND: f64 = 10_000.0;
/// Senders send from higher ports (RFC 8762 §4.1): what comes from a lower one is forged to set two services on each
/// other.
const LEAST_PORT: u16 = 1_024;

/// Who is answered, and how.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Ranges that are answered; none: all.
    pub(crate) allow: Vec<Prefix>,
    /// Whether packets are counted by session.
    pub(crate) stateful: bool,
    /// The key that senders have to have; none: they need none.
    pub(crate) key: Option<Key>,
}

/// The numbers of sessions.
#[derive(Debug, Default)]
struct Sessions(HashMap<(SocketAddr, u16), (u32, u64)>);

impl Sessions {
    /// The number of the next packet of a session.
    fn next(&mut self, of: (SocketAddr, u16), now_ms: u64) -> u32 {
        if self.0.len() >= MAX_SESSIONS && !self.0.contains_key(&of) {
            let oldest = self.0.iter().min_by_key(|(_, (_, last))| *last).map(|(of, _)| *of);
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        let (next, last) = self.0.entry(of).or_insert((0, now_ms));
        if now_ms.saturating_sub(*last) > FORGET_MS {
            *next = 0;
        }
        let number = *next;
        *next = next.wrapping_add(1);
        *last = now_ms;
        number
    }
}

impl Rules {
    fn answers(&self, from: SocketAddr) -> bool {
        let ip = from.ip().to_canonical();
        from.port() >= LEAST_PORT
            && (self.allow.is_empty() || self.allow.iter().any(|range| range.holds(ip)))
    }
}

/// Answers until it is told to stop.
pub(crate) async fn serve(
    socket: UdpSocket,
    rules: Rules,
    health: HealthHandle,
    shutdown: CancellationToken,
) {
    let begun = Instant::now();
    let mut sessions = Sessions::default();
    let mut bucket = Bucket::new(PACKETS_PER_SECOND);
    let mut buffer = [0; 2_048];
    loop {
        let (length, from) = tokio::select! {
            () = shutdown.cancelled() => return,
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                // An answer of before was refused by who got it: that is theirs to know.
                Err(_) => {
                    // One that stays must not keep a core busy.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        let received_at = now();
        let now_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let sent = match &rules.key {
            Some(key) => {
                let sent = key.parse_sent(&buffer[..length]);
                health.count("stamp_unauthentic", u64::from(sent.is_none()));
                sent
            }
            None => Sent::parse(&buffer[..length]),
        };
        let Some(sent) = sent.filter(|_| rules.answers(from) && bucket.take(1.0, now_ms)) else {
            health.count("stamp_refused", 1);
            continue;
        };
        let sequence = match rules.stateful {
            true => sessions.next((from, sent.session), now_ms),
            false => sent.sequence,
        };
        let session = sent.session;
        let error = ErrorEstimate::UNKNOWN;
        let reply = Reflected { sequence, at: now(), error, session, received_at, sent };
        // Never more than came: nobody can be flooded with this.
        let mut bytes = vec![0; length];
        match &rules.key {
            Some(key) => bytes[..authentic::BYTES].copy_from_slice(&key.reflected(&reply)),
            None => {
                let written = length.min(BYTES);
                bytes[..written].copy_from_slice(&reply.to_bytes()[..written]);
            }
        }
        match socket.send_to(&bytes, from).await {
            Ok(_) => health.count("stamp_reflected", 1),
            Err(_) => health.count("stamp_refused", 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Session, probe};
    use super::*;
    use crate::Family;
    use crate::outcome::Outcome;
    use crate::probes::{Dial, Resolver};
    use holm_model::Millis;

    async fn started(rules: Rules) -> (SocketAddr, HealthHandle, CancellationToken) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let address = socket.local_addr().expect("bound");
        let (health, stop) = (HealthHandle::new(Millis::now()), CancellationToken::new());
        tokio::spawn(serve(socket, rules, health.clone(), stop.clone()));
        (address, health, stop)
    }

    async fn run(address: SocketAddr, limit: Duration) -> Outcome {
        run_with(address, limit, None).await
    }

    async fn run_with(
        address: SocketAddr,
        limit: Duration,
        key: Option<(String, Option<std::path::PathBuf>)>,
    ) -> Outcome {
        let session = Session { host: "127.0.0.1".into(), port: address.port(), count: 4, key };
        let resolver = Resolver::default();
        let dial = Dial::open(&resolver);
        probe(&session, Family::Any, limit, &dial, &()).await
    }

    #[tokio::test]
    async fn a_sender_and_a_reflector_measure_together() {
        for stateful in [true, false] {
            let (address, health, stop) =
                started(Rules { allow: Vec::new(), stateful, key: None }).await;
            let outcome = run(address, Duration::from_secs(20)).await;
            assert_eq!(outcome.error, None);
            let metric = |column: &str| {
                outcome.metrics.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
            };
            assert_eq!(metric("stamp.packets.received"), Some(4.0));
            assert!(metric("stamp.rtt.avg_ms").is_some_and(|ms| ms >= 0.0));
            assert_eq!(metric("stamp.loss.forward"), Some(0.0));
            assert_eq!(health.snapshot().counters["stamp_reflected"], 4);
            stop.cancel();
        }
    }

    #[tokio::test]
    async fn who_is_not_allowed_and_what_is_no_packet_gets_no_answer() {
        let rules = Rules {
            allow: Prefix::parse("192.0.2.0/24").into_iter().collect(),
            stateful: true,
            key: None,
        };
        let (address, health, _stop) = started(rules).await;
        assert!(run(address, Duration::from_millis(300)).await.error.is_some());
        assert_eq!(health.snapshot().counters["stamp_refused"], 4);

        let (address, health, _stop) =
            started(Rules { allow: Vec::new(), stateful: true, key: None }).await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        socket.connect(address).await.expect("connected");
        for (length, answered) in [(40, None), (41, Some(41)), (44, Some(44)), (300, Some(300))] {
            socket.send(&vec![1; length]).await.expect("sent");
            let mut buffer = [0; 2_048];
            let wait = if answered.is_some() { 20_000 } else { 200 };
            let came =
                tokio::time::timeout(Duration::from_millis(wait), socket.recv(&mut buffer)).await;
            assert_eq!(came.ok().and_then(Result::ok), answered, "as many as came, or none");
        }
        assert_eq!(health.snapshot().counters["stamp_refused"], 1);
    }

    #[tokio::test]
    async fn who_has_the_key_measures_and_nobody_else_is_answered() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = |name: &str, digits: &str| {
            let file = dir.path().join(name);
            std::fs::write(&file, digits).expect("written");
            Some((name.to_owned(), Some(file)))
        };
        let digits = "0123456789abcdef".repeat(4);
        let key = Key::parse(digits.as_bytes());
        let rules = Rules { allow: Vec::new(), stateful: true, key };
        let (address, health, _stop) = started(rules).await;
        let long = Duration::from_secs(20);
        let outcome = run_with(address, long, file("ours", &digits)).await;
        assert_eq!(outcome.error, None);
        assert!(outcome.metrics.contains(&("stamp.packets.received", 4.0)), "{outcome:?}");
        assert!(outcome.metrics.contains(&("stamp.packets.unauthentic", 0.0)), "{outcome:?}");
        let short = Duration::from_millis(300);
        for other in [None, file("other", &"ab".repeat(32))] {
            let outcome = run_with(address, short, other).await;
            assert!(outcome.error.expect("not answered").contains("answered none of 4"));
        }
        assert_eq!(health.snapshot().counters["stamp_unauthentic"], 8);
        assert_eq!(health.snapshot().counters["stamp_reflected"], 4);
        // A reflector without a key answers, and is not believed.
        let (address, ..) = started(Rules { allow: Vec::new(), stateful: true, key: None }).await;
        let outcome = run_with(address, Duration::from_secs(2), file("ours", &digits)).await;
        assert!(outcome.metrics.contains(&("stamp.packets.unauthentic", 4.0)), "{outcome:?}");
        assert!(outcome.error.expect("not believed").contains("the keys are not the same"));
        for (key, says) in [
            (file("odd", "xyz"), "odd: it holds no key of STAMP"),
            (Some(("gone".into(), None)), "this node has no key gone"),
            (Some(("away".into(), Some(dir.path().join("away")))), "away: "),
        ] {
            let error = run_with(address, short, key).await.error.expect(says);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn sessions_count_by_themselves_and_are_bounded() {
        let mut sessions = Sessions::default();
        let of = |n: u32, id: u16| (SocketAddr::from((n.to_be_bytes(), 9_000)), id);
        assert_eq!([0, 1].map(|n| sessions.next(of(1, 1), n)), [0, 1]);
        assert_eq!(sessions.next(of(1, 2), 2), 0);
        assert_eq!(sessions.next(of(1, 1), 3 + FORGET_MS), 0, "forgotten");
        for n in 0..10_000 {
            sessions.next(of(n, 7), u64::from(n) + 2 * FORGET_MS);
        }
        assert!(sessions.0.len() <= MAX_SESSIONS);
        let low = Rules { allow: Vec::new(), stateful: true, key: None };
        assert!(!low.answers(([192, 0, 2, 1], 862).into()));
    }
}
