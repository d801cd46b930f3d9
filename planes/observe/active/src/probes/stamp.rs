//! Measuring by two ends that take part: the Simple Two-Way Active Measurement Protocol (RFC 8762), without
//! authentication, as TWAMP Light speaks it too, or with a key that both have.

pub(crate) mod authentic;
mod one_way;
pub(crate) mod reflector;
mod wire;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::RngExt;

use super::Dial;
use super::icmp::Statistics;
use super::series::{self, Answer, Names};
use crate::outcome::Outcome;
use crate::{Clocks, Family};
use authentic::Key;
use one_way::{Differences, Moments};
use wire::{ErrorEstimate, Ntp, Reflected, Sent};

/// Any bytes as what a sender and as what a reflector gets.
#[cfg(fuzzing)]
pub(crate) fn fuzzed(bytes: &[u8]) {
    Sent::parse(bytes);
    if let Some(reflected) = Reflected::parse(bytes) {
        reflected.held_ms();
        assert!(bytes.len() < 44 || reflected.to_bytes()[..24] == bytes[..24], "not what came");
    }
}

/// Where reflectors listen (RFC 8762 §4.1).
pub(crate) const PORT: u16 = 862;

const NAMES: Names = Names {
    loss: "stamp.loss.ratio",
    sent: "stamp.packets.sent",
    received: "stamp.packets.received",
    duplicate: "stamp.packets.duplicate",
    unmatched: "stamp.packets.unmatched",
    altered: "stamp.packets.altered",
    min: "stamp.rtt.min_ms",
    avg: "stamp.rtt.avg_ms",
    max: "stamp.rtt.max_ms",
    stddev: "stamp.rtt.stddev_ms",
    jitter: "stamp.jitter_ms",
};

/// Now, as packets say it.
fn now() -> Ntp {
    Ntp::of_nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos())
}

/// A session with a reflector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) count: u16,
    /// The name of the key that both ends have, and its file at this node.
    pub(crate) key: Option<(String, Option<PathBuf>)>,
}

impl Session {
    async fn key(&self) -> Result<Option<Key>, String> {
        match &self.key {
            None => Ok(None),
            Some((_, Some(file))) => Key::read(file).await.map(Some),
            Some((name, None)) => Err(format!(
                "this node has no key {name}: its operator names its file in planes.active.stamp_keys"
            )),
        }
    }
}

/// Runs a session once.
pub(crate) async fn probe(
    session: &Session,
    family: Family,
    limit: Duration,
    dial: &Dial<'_>,
    clocks: &dyn Clocks,
) -> Outcome {
    let begun = Instant::now();
    let until = begun + limit;
    let mut outcome = Outcome::default();
    let key = match session.key().await {
        Ok(key) => key,
        Err(error) => return outcome.failed(error),
    };
    let target = (&*session.host, session.port, family);
    let opened = series::open(target, until, "stamp.dns_ms", dial, &mut outcome).await;
    let (socket, address) = match opened {
        Ok(opened) => opened,
        Err(error) => return outcome.failed(error),
    };
    // No session of its own has the number 0 (RFC 8972 §3).
    let id = rand::rng().random_range(1..=u16::MAX);
    let sent = Mutex::new(Vec::new());
    let mut replies = Vec::new();
    let made = |number: u16| {
        let packet = Sent {
            sequence: u32::from(number),
            at: now(),
            error: ErrorEstimate::UNKNOWN,
            session: id,
        };
        sent.lock().unwrap_or_else(PoisonError::into_inner).push(packet);
        match &key {
            Some(key) => key.sent(&packet).to_vec(),
            None => packet.to_bytes().to_vec(),
        }
    };
    let mut unauthentic = 0_u32;
    let read = |answer: &[u8]| {
        let reply = match &key {
            Some(key) => {
                let reply = key.parse_reflected(answer);
                unauthentic += u32::from(reply.is_none());
                reply
            }
            None => Reflected::parse(answer),
        };
        let (found, reply) = read(reply, &sent.lock().unwrap_or_else(PoisonError::into_inner));
        if let (Answer::To(_), Some(reply)) = (found, reply) {
            replies.push((reply, now()));
        }
        found
    };
    let series = series::run(&socket, session.count, until, made, read).await;
    let first = |number: u16| {
        let of = |(reply, _): &&(Reflected, Ntp)| reply.sent.sequence == u32::from(number);
        replies.iter().find(of).map(|(reply, here)| (reply, *here))
    };
    let (mut rtts, mut held, mut moments, mut odd) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (number, ms) in &series.answers {
        // What the reflector took is by its own clock, and no longer than all.
        let inside = first(*number).and_then(|(reply, _)| reply.held_ms());
        match inside.filter(|inside| inside <= ms) {
            Some(inside) => {
                moments.extend(first(*number).and_then(|(reply, here)| moments_of(reply, here)));
                rtts.push(ms - inside);
                held.push(inside);
            }
            None => odd += 1,
        }
    }
    // Round trips with and without the reflector's time are not mixed.
    if odd > 0 {
        outcome.metric("stamp.reflector.unusable", f64::from(odd));
    }
    if !held.is_empty() {
        outcome.metric("stamp.reflector.avg_ms", held.iter().sum::<f64>() / held.len() as f64);
    }
    each_delay(&moments, begun.elapsed(), || clocks.ahead_ns(address.ip()), &mut outcome);
    let pairs: Vec<(u32, u32)> = series
        .answers
        .iter()
        .filter_map(|(number, _)| first(*number))
        .map(|(reply, _)| (reply.sent.sequence, reply.sequence))
        .collect();
    if let Some(ways) = each_way(u32::from(series.sent), &pairs) {
        outcome.metric("stamp.loss.forward", f64::from(ways.forward));
        outcome.metric("stamp.loss.backward", f64::from(ways.backward));
        outcome.metric("stamp.loss.either", f64::from(ways.either));
    }
    let what = match unauthentic {
        0 if key.is_some() => "no reflector listens there that has the same key",
        0 => "no reflector listens there",
        _ => "the keys are not the same, or somebody else answers",
    };
    if key.is_some() {
        outcome.metric("stamp.packets.unauthentic", f64::from(unauthentic));
    }
    series.report(&rtts, &NAMES, (address, what), outcome)
}

fn moments_of(reply: &Reflected, here: Ntp) -> Option<Moments> {
    let Reflected { sent, received_at, at, .. } = reply;
    reply.is_ntp().then_some(Moments { sent: sent.at, there: *received_at, back: *at, here })
}

/// What each way took, where that is known, and by how much that changed, which is known without.
fn each_delay(
    moments: &[Moments],
    session: Duration,
    ahead_ns: impl FnOnce() -> Option<(i64, i64)>,
    outcome: &mut Outcome,
) {
    let differences = Differences::of(moments);
    let jitter = |ns: &[i64]| {
        let ms: Vec<f64> = ns.iter().map(|ns| *ns as f64 / 1e6).collect();
        Statistics::of(&ms).and_then(|statistics| statistics.jitter)
    };
    for (name, ns) in [
        ("stamp.forward.jitter_ms", &differences.forward),
        ("stamp.backward.jitter_ms", &differences.backward),
    ] {
        if let Some(jitter) = jitter(ns) {
            outcome.metric(name, jitter);
        }
    }
    let Some(ahead_ns) = ahead_ns().filter(|_| !moments.is_empty()) else { return };
    let Some(ways) = differences.one_way(ahead_ns, session) else {
        outcome.metric("stamp.one_way.contradicted", moments.len() as f64);
        return;
    };
    for (name, value) in [
        ("stamp.forward.min_ms", ways.forward.min),
        ("stamp.forward.avg_ms", ways.forward.avg),
        ("stamp.forward.max_ms", ways.forward.max),
        ("stamp.backward.min_ms", ways.backward.min),
        ("stamp.backward.avg_ms", ways.backward.avg),
        ("stamp.backward.max_ms", ways.backward.max),
        ("stamp.one_way.error_ms", ways.error_ms),
    ] {
        outcome.metric(name, value);
    }
}

/// Whether an answer is to one of these packets: the reflector repeats its number and its moment.
fn read(reply: Option<Reflected>, sent: &[Sent]) -> (Answer, Option<Reflected>) {
    let Some(reply) = reply else { return (Answer::Foreign, None) };
    let number = u16::try_from(reply.sent.sequence).ok();
    let of = number.and_then(|number| Some((number, sent.get(usize::from(number))?)));
    match of {
        Some((number, of)) if of.at == reply.sent.at => (Answer::To(number), Some(reply)),
        _ => (Answer::Foreign, None),
    }
}

/// Packets that were lost on the way there, on the way back, and on either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ways {
    forward: u32,
    backward: u32,
    /// After the last answer nobody can tell.
    either: u32,
}

/// What was lost on which way, from the numbers of the sender and of the reflector in the answers. `None` if it cannot
/// be told: a reflector without state repeats the sender's numbers (RFC 8762 §4.2), and what it repeats looks like a way
/// there without loss.
fn each_way(sent: u32, answers: &[(u32, u32)]) -> Option<Ways> {
    let nothing_lost = answers.len() == sent as usize;
    if nothing_lost && sent > 0 {
        return Some(Ways { forward: 0, backward: 0, either: 0 });
    }
    let counts_itself = answers.iter().any(|(sender, reflector)| reflector < sender);
    let possible = answers.iter().all(|(sender, reflector)| reflector <= sender && *sender < sent);
    if !counts_itself || !possible {
        return None;
    }
    let (sender, reflector) = answers.iter().max()?;
    let got = reflector + 1;
    Some(Ways {
        forward: sender - reflector,
        backward: got.saturating_sub(answers.len() as u32),
        either: sent - sender - 1,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Resolver;
    use super::*;
    use proptest::prelude::*;
    use std::net::SocketAddr;
    use tokio::net::UdpSocket;

    /// The clock of every address is ahead within these.
    #[derive(Debug)]
    struct Known((i64, i64));

    impl Clocks for Known {
        fn ahead_ns(&self, _: std::net::IpAddr) -> Option<(i64, i64)> {
            Some(self.0)
        }
    }

    fn metric(outcome: &Outcome, column: &str) -> Option<f64> {
        outcome.metrics.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
    }

    /// A reflector that answers as `answer` says: the packet's number on arrival is given.
    async fn reflecting(
        answer: impl Fn(u32, Sent) -> Option<Reflected> + Send + 'static,
    ) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let address = socket.local_addr().expect("bound");
        tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            let mut number = 0;
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let sent = Sent::parse(&buffer[..length]).expect("a packet");
                if let Some(reply) = answer(number, sent) {
                    let _ = socket.send_to(&reply.to_bytes(), from).await;
                }
                number += 1;
            }
        });
        address
    }

    fn reply(sequence: u32, sent: Sent, held_ms: u64) -> Reflected {
        let received_at = now();
        let at = Ntp(received_at.0 + held_ms * 4_294_967);
        Reflected {
            sequence,
            at,
            error: ErrorEstimate::UNKNOWN,
            session: sent.session,
            received_at,
            sent,
        }
    }

    async fn run(address: SocketAddr, count: u16, limit: Duration) -> Outcome {
        let session =
            Session { host: address.ip().to_string(), port: address.port(), count, key: None };
        let clocks = Known((-1_000_000, 1_000_000));
        probe(&session, Family::Any, limit, &Dial::open(&Resolver::default()), &clocks).await
    }

    #[tokio::test]
    async fn the_reflectors_own_time_is_taken_off() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let address = socket.local_addr().expect("bound");
        tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let sent = Sent::parse(&buffer[..length]).expect("a packet");
                let mut reply = reply(sent.sequence, sent, 0);
                tokio::time::sleep(Duration::from_millis(60)).await;
                reply.at = now();
                let _ = socket.send_to(&reply.to_bytes(), from).await;
            }
        });
        let outcome = run(address, 2, Duration::from_secs(20)).await;
        assert_eq!(outcome.error, None);
        assert!(
            metric(&outcome, "stamp.reflector.avg_ms").is_some_and(|ms| ms >= 55.0),
            "{outcome:?}"
        );
        // The round trip is of loopback: what a busy machine takes is not in it 60 ms long.
        let all = metric(&outcome, "stamp.reflector.avg_ms").expect("held");
        assert!(metric(&outcome, "stamp.rtt.min_ms").is_some_and(|ms| ms < all), "{outcome:?}");
        let told = |column: &str| metric(&outcome, column).expect(column);
        let both = told("stamp.forward.avg_ms") + told("stamp.backward.avg_ms");
        assert!((both - told("stamp.rtt.avg_ms")).abs() < 5.0, "{outcome:?}");
        assert!(told("stamp.one_way.error_ms") <= told("stamp.rtt.min_ms").max(1.0) + 1.0);
        assert!(told("stamp.forward.jitter_ms") >= 0.0);
    }

    #[tokio::test]
    async fn losses_are_told_by_way_where_the_reflector_counts() {
        let here = std::sync::atomic::AtomicU32::new(0);
        let address = reflecting(move |_, sent| {
            // The second never comes there, the fourth never comes back.
            if sent.sequence == 1 {
                return None;
            }
            let number = here.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            (sent.sequence != 3).then(|| reply(number, sent, 0))
        })
        .await;
        let outcome = run(address, 5, Duration::from_secs(2)).await;
        assert_eq!(outcome.error, None);
        assert_eq!(metric(&outcome, "stamp.loss.forward"), Some(1.0), "{outcome:?}");
        assert_eq!(metric(&outcome, "stamp.loss.backward"), Some(1.0));
        assert_eq!(metric(&outcome, "stamp.loss.ratio"), Some(0.4));
        let stateless =
            reflecting(|_, sent| (sent.sequence != 1).then(|| reply(sent.sequence, sent, 0))).await;
        let outcome = run(stateless, 3, Duration::from_secs(2)).await;
        assert_eq!(metric(&outcome, "stamp.loss.forward"), None, "it cannot be told");
        assert!(metric(&outcome, "stamp.loss.ratio").is_some_and(|loss| loss > 0.3));
    }

    #[tokio::test]
    async fn a_reflector_that_lies_about_time_gives_no_round_trip() {
        let address = reflecting(|number, sent| Some(reply(number, sent, 60_000))).await;
        let outcome = run(address, 2, Duration::from_secs(20)).await;
        assert_eq!(metric(&outcome, "stamp.reflector.unusable"), Some(2.0));
        assert_eq!((metric(&outcome, "stamp.rtt.avg_ms"), outcome.duration_ms), (None, None));
        let forged = reflecting(|number, mut sent| {
            sent.at = Ntp(sent.at.0 ^ 1);
            Some(reply(number, sent, 0))
        })
        .await;
        let outcome = run(forged, 2, Duration::from_millis(300)).await;
        assert_eq!(metric(&outcome, "stamp.packets.unmatched"), Some(2.0));
        assert!(outcome.error.expect("failed").contains("no reflector"));
    }

    proptest! {
        #[test]
        fn each_way_is_what_was_lost(lost in proptest::collection::vec(0_u8..4, 1..40)) {
            // 0, 1: comes back; 2: lost there; 3: lost back.
            let (mut answers, mut number) = (Vec::new(), 0);
            for (sequence, fate) in lost.iter().enumerate() {
                match fate {
                    2 => continue,
                    3 => {}
                    _ => answers.push((sequence as u32, number)),
                }
                number += 1;
            }
            if let Some(ways) = each_way(lost.len() as u32, &answers) {
                let last = answers.iter().max().map_or(0, |(sequence, _)| *sequence as usize);
                let count = |of: u8| lost[..last].iter().filter(|fate| **fate == of).count() as u32;
                prop_assert_eq!((ways.forward, ways.backward), (count(2), count(3)));
                prop_assert_eq!(ways.forward + ways.backward + ways.either + answers.len() as u32, lost.len() as u32);
            }
        }

        #[test]
        fn no_answers_panic(sent in 0_u32..50, answers in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..20)) {
            let _ = each_way(sent, &answers);
        }

        #[test]
        fn no_bytes_are_taken_for_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let sent = [Sent { sequence: 0, at: Ntp(0x1234_5678_9abc_def0), error: ErrorEstimate::UNKNOWN, session: 1 }];
            let _ = read(Reflected::parse(&bytes), &sent);
            let mut of = reply(0, sent[0], 1).to_bytes();
            prop_assert_eq!(read(Reflected::parse(&of), &sent).0, Answer::To(0));
            of[30] ^= 1;
            prop_assert_eq!(read(Reflected::parse(&of), &sent).0, Answer::Foreign);
        }
    }
}
