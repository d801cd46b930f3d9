//! Echo requests (RFC 792; RFC 4443 §4.1), by a datagram socket where the kernel gives one to this
//! user, else by a raw socket.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::RngExt;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{left, resolve};
use crate::Family;
use crate::outcome::Outcome;

/// Between two requests of one probe.
const SPACING: Duration = Duration::from_millis(100);
const TOKEN_BYTES: usize = 16;
/// As `ping` sends: 56 bytes of payload.
const PAYLOAD_BYTES: usize = 56;
const HEADER_BYTES: usize = 8;

/// What to do where no ICMP socket is to be had.
pub(crate) const REMEDY: &str =
    "sysctl -w net.ipv4.ping_group_range=\"0 2147483647\", or grant CAP_NET_RAW";

/// An ICMP socket, and whether its datagrams begin with an IPv4 header.
struct Echo {
    socket: UdpSocket,
    raw: bool,
    v6: bool,
}

/// Whether this user gets an ICMP socket: the kind, or why not.
pub(crate) fn available(v6: bool) -> Result<&'static str, String> {
    match open(v6) {
        Ok((_, raw)) => Ok(if raw { "raw" } else { "datagram" }),
        Err(error) => Err(error.to_string()),
    }
}

fn open(v6: bool) -> io::Result<(Socket, bool)> {
    let (domain, protocol) =
        if v6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
    match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => Ok((socket, false)),
        Err(_) => Ok((Socket::new(domain, Type::RAW, Some(protocol))?, true)),
    }
}

impl Echo {
    fn connect(target: IpAddr) -> io::Result<Self> {
        let v6 = target.is_ipv6();
        let (socket, raw) = open(v6)?;
        socket.set_nonblocking(true)?;
        // Only the target's own replies come in.
        socket.connect(&SocketAddr::new(target, 0).into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, raw, v6 })
    }
}

/// Sends `count` requests and waits for their replies.
pub(crate) async fn probe(host: &str, family: Family, count: u16, limit: Duration) -> Outcome {
    let until = Instant::now() + limit;
    let mut outcome = Outcome::default();
    let ip = match resolve(host, family, until, "icmp.dns_ms", &mut outcome).await {
        Ok(ip) => ip,
        Err(error) => return outcome.failed(error),
    };
    let echo = match Echo::connect(ip) {
        Ok(echo) => echo,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return outcome.failed(format!("this user gets no ICMP socket; {REMEDY}"));
        }
        Err(error) => return outcome.failed(format!("{ip}: {error}")),
    };
    let mut token = [0; TOKEN_BYTES];
    rand::rng().fill(&mut token);
    let identifier = rand::rng().random();
    let run = exchange(&echo, identifier, &token, count, until).await;
    run.report(ip, outcome)
}

/// What one probe's requests came to.
#[derive(Debug, Default)]
struct Run {
    sent: u16,
    rtts_ms: Vec<f64>,
    duplicates: u32,
    foreign: u32,
    send_error: Option<String>,
}

async fn exchange(
    echo: &Echo,
    identifier: u16,
    token: &[u8; TOKEN_BYTES],
    count: u16,
    until: Instant,
) -> Run {
    let mut run = Run::default();
    let mut waiting: BTreeMap<u16, Instant> = BTreeMap::new();
    let mut answered = std::collections::BTreeSet::new();
    let mut next_send = Instant::now();
    let mut buffer = [0; 2_048];
    loop {
        let now = Instant::now();
        if now >= until || (run.sent == count && waiting.is_empty()) {
            return run;
        }
        if run.sent < count && now >= next_send {
            let sequence = run.sent;
            run.sent += 1;
            next_send = now + SPACING;
            let packet = request(echo.v6, identifier, sequence, token);
            // Before the call: on loopback the reply is there before it returns.
            let sent_at = Instant::now();
            match echo.socket.send(&packet).await {
                Ok(_) => {
                    waiting.insert(sequence, sent_at);
                }
                Err(error) => run.send_error = Some(error.to_string()),
            }
            continue;
        }
        let wait = if run.sent < count { next_send.min(until) } else { until };
        let Ok(received) = tokio::time::timeout(left(wait), echo.socket.recv(&mut buffer)).await
        else {
            continue;
        };
        // An error here is what the network said to an earlier request; the loss shows in the count.
        let Ok(length) = received else { continue };
        let arrived = Instant::now();
        match parse_reply(&buffer[..length], echo.v6, echo.raw, token) {
            Some(sequence) => match waiting.remove(&sequence) {
                Some(sent) => {
                    answered.insert(sequence);
                    run.rtts_ms.push(arrived.duration_since(sent).as_secs_f64() * 1_000.0);
                }
                None if answered.contains(&sequence) => run.duplicates += 1,
                None => run.foreign += 1,
            },
            None => run.foreign += 1,
        }
    }
}

impl Run {
    fn report(self, ip: IpAddr, mut outcome: Outcome) -> Outcome {
        let received = self.rtts_ms.len();
        if self.sent > 0 {
            let lost = f64::from(self.sent) - received as f64;
            outcome.metric("icmp.loss.ratio", lost / f64::from(self.sent));
        }
        outcome.metric("icmp.packets.sent", f64::from(self.sent));
        outcome.metric("icmp.packets.received", received as f64);
        if self.duplicates > 0 {
            outcome.metric("icmp.packets.duplicate", f64::from(self.duplicates));
        }
        if self.foreign > 0 {
            outcome.metric("icmp.packets.unmatched", f64::from(self.foreign));
        }
        let Some(statistics) = Statistics::of(&self.rtts_ms) else {
            let reason = self.send_error.map(|error| format!(" ({error})")).unwrap_or_default();
            return outcome.failed(format!(
                "{ip} answered none of {} echo requests{reason}: it is down, or something drops ICMP",
                self.sent
            ));
        };
        outcome.duration_ms = Some(statistics.mean);
        outcome.metric("icmp.rtt.min_ms", statistics.min);
        outcome.metric("icmp.rtt.avg_ms", statistics.mean);
        outcome.metric("icmp.rtt.max_ms", statistics.max);
        outcome.metric("icmp.rtt.stddev_ms", statistics.deviation);
        if let Some(jitter) = statistics.jitter {
            outcome.metric("icmp.jitter_ms", jitter);
        }
        outcome
    }
}

struct Statistics {
    min: f64,
    mean: f64,
    max: f64,
    deviation: f64,
    /// Mean difference of neighbours (as RFC 3550 §6.4.1 takes it, without its smoothing).
    jitter: Option<f64>,
}

impl Statistics {
    fn of(rtts: &[f64]) -> Option<Self> {
        if rtts.is_empty() {
            return None;
        }
        let n = rtts.len() as f64;
        let mean = rtts.iter().sum::<f64>() / n;
        let variance = rtts.iter().map(|rtt| (rtt - mean).powi(2)).sum::<f64>() / n;
        let differences: Vec<f64> = rtts.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
        Some(Self {
            min: rtts.iter().copied().fold(f64::INFINITY, f64::min),
            mean,
            max: rtts.iter().copied().fold(0.0, f64::max),
            deviation: variance.sqrt(),
            jitter: (!differences.is_empty())
                .then(|| differences.iter().sum::<f64>() / differences.len() as f64),
        })
    }
}

/// An echo request. The kernel computes the checksum of ICMPv6 and of datagram sockets.
fn request(v6: bool, identifier: u16, sequence: u16, token: &[u8; TOKEN_BYTES]) -> Vec<u8> {
    let mut packet = vec![0; HEADER_BYTES + PAYLOAD_BYTES];
    packet[0] = if v6 { 128 } else { 8 };
    packet[4..6].copy_from_slice(&identifier.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet[HEADER_BYTES..HEADER_BYTES + TOKEN_BYTES].copy_from_slice(token);
    if !v6 {
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The sequence number of a reply to this probe. The token tells it from every other probe's: a
/// datagram socket's identifier is the kernel's own, and a raw socket sees everyone's replies.
fn parse_reply(datagram: &[u8], v6: bool, raw: bool, token: &[u8; TOKEN_BYTES]) -> Option<u16> {
    let icmp = if raw && !v6 {
        // RFC 791 §3.1: the header's length in words is in the first byte.
        let words = usize::from(datagram.first()? & 0x0f);
        datagram.get(words.checked_mul(4).filter(|length| *length >= 20)?..)?
    } else {
        datagram
    };
    let kind = *icmp.first()?;
    let code = *icmp.get(1)?;
    if kind != if v6 { 129 } else { 0 } || code != 0 {
        return None;
    }
    if icmp.get(HEADER_BYTES..HEADER_BYTES + TOKEN_BYTES)? != token {
        return None;
    }
    Some(u16::from_be_bytes([*icmp.get(6)?, *icmp.get(7)?]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    #[tokio::test]
    async fn loopback_answers_over_both_families() {
        for (host, v6) in [("127.0.0.1", false), ("::1", true)] {
            if let Err(reason) = available(v6) {
                println!("skipped: no ICMP socket for {host}: {reason}");
                continue;
            }
            if v6 && std::net::UdpSocket::bind("[::1]:0").is_err() {
                println!("skipped: no IPv6 here");
                continue;
            }
            let outcome = probe(host, Family::Any, 3, Duration::from_secs(3)).await;
            assert_eq!(outcome.error, None);
            let metric = |name| outcome.metrics.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
            assert_eq!(metric("icmp.packets.received"), Some(3.0));
            assert_eq!(metric("icmp.loss.ratio"), Some(0.0));
            assert!(metric("icmp.rtt.avg_ms").is_some_and(|ms| ms > 0.0));
        }
    }

    #[tokio::test]
    async fn concurrent_probes_do_not_take_each_others_replies() {
        if available(false).is_err() {
            println!("skipped: no ICMP socket here");
            return;
        }
        let mut probes = tokio::task::JoinSet::new();
        for _ in 0..20 {
            probes.spawn(probe("127.0.0.1", Family::V4, 2, Duration::from_secs(3)));
        }
        while let Some(outcome) = probes.join_next().await {
            let outcome = outcome.expect("ended");
            assert_eq!(outcome.error, None);
            let received = outcome.metrics.iter().find(|(n, _)| *n == "icmp.packets.received");
            assert_eq!(received.map(|(_, v)| *v), Some(2.0));
        }
    }

    #[test]
    fn only_a_reply_with_our_token_counts() {
        let token = [7; TOKEN_BYTES];
        let mut reply = request(false, 1, 9, &token);
        assert_eq!(parse_reply(&reply, false, false, &token), None, "a request is no reply");
        reply[0] = 0;
        assert_eq!(parse_reply(&reply, false, false, &token), Some(9));
        assert_eq!(parse_reply(&reply, false, false, &[8; TOKEN_BYTES]), None);
        let mut with_header = vec![0x45; 20];
        with_header.extend(&reply);
        assert_eq!(parse_reply(&with_header, false, true, &token), Some(9));
        reply[0] = 129;
        assert_eq!(parse_reply(&reply, true, true, &token), Some(9));
    }

    #[test]
    fn hostile_replies_never_panic() {
        let mut rng = StdRng::seed_from_u64(1);
        let token = [7; TOKEN_BYTES];
        let mut reply = request(false, 1, 9, &token);
        reply[0] = 0;
        for _ in 0..50_000 {
            let mut bytes = reply.clone();
            bytes.truncate(rng.random_range(0..=bytes.len()));
            if let Some(byte) = bytes.first_mut() {
                *byte = rng.random();
            }
            for (v6, raw) in [(false, false), (false, true), (true, false), (true, true)] {
                let _ = parse_reply(&bytes, v6, raw, &token);
            }
        }
        let mut noise = [0; 64];
        rng.fill_bytes(&mut noise);
        assert_eq!(parse_reply(&noise, false, false, &token), None);
    }

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        let packet = request(false, 0x1234, 5, &[1; TOKEN_BYTES]);
        assert_eq!(checksum(&packet), 0, "a packet with its checksum sums to zero");
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }
}
