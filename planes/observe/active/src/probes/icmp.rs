//! Echo requests (RFC 792; RFC 4443 §4.1), by a datagram socket where the kernel gives one to this
//! user, else by a raw socket.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::RngExt;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{Dial, left};
use crate::Family;
use crate::outcome::Outcome;
use crate::ping::Pong;

/// Between two requests of one probe, at most.
const SPACING: Duration = Duration::from_millis(100);
const TOKEN_BYTES: usize = 16;
const HEADER_BYTES: usize = 8;
/// An IPv4 header with all its options, and that of ICMP.
const MOST_HEADERS: usize = 68;

/// What one probe sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packets {
    pub(crate) count: u16,
    /// Bytes after the headers, 16 at least.
    pub(crate) bytes: u16,
    /// What they are marked with (RFC 2474 §3).
    pub(crate) dscp: u8,
}

impl Default for Packets {
    fn default() -> Self {
        Self { count: 1, bytes: 64, dscp: 0 }
    }
}

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
    fn connect(target: IpAddr, dscp: u8) -> Result<Self, String> {
        let v6 = target.is_ipv6();
        let (socket, raw) = open(v6).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => format!("this user gets no ICMP socket; {REMEDY}"),
            _ => format!("no ICMP socket: {error}"),
        })?;
        let connected = || {
            socket.set_nonblocking(true)?;
            // The class is in the six upper bits of the byte (RFC 2474 §3).
            match (dscp, v6) {
                (0, _) => {}
                (_, false) => socket.set_tos_v4(u32::from(dscp) << 2)?,
                (_, true) => socket.set_tclass_v6(u32::from(dscp) << 2)?,
            }
            // Only what the target itself sends comes in.
            socket.connect(&SocketAddr::new(target, 0).into())?;
            UdpSocket::from_std(socket.into())
        };
        let socket = connected().map_err(|error| format!("{target}: {error}"))?;
        Ok(Self { socket, raw, v6 })
    }
}

/// Sends `count` requests and waits for their replies.
pub(crate) async fn probe(
    host: &str,
    family: Family,
    packets: Packets,
    limit: Duration,
    dial: &Dial<'_>,
) -> Outcome {
    let until = Instant::now() + limit;
    let mut outcome = Outcome::default();
    let ip = match dial.resolve(host, family, until, "icmp.dns_ms", &mut outcome).await {
        Ok(ip) => ip,
        Err(error) => return outcome.failed(error),
    };
    let echo = match Echo::connect(ip, packets.dscp) {
        Ok(echo) => echo,
        Err(error) => return outcome.failed(error),
    };
    let session = Session::new(packets);
    let run = exchange(&echo, &session, 0, until).await;
    if packets.dscp != 0 {
        outcome.metric("icmp.dscp", f64::from(packets.dscp));
    }
    run.report(ip, outcome)
}

/// A socket to one address, for requests one by one.
pub(crate) struct Opened {
    echo: Echo,
    session: Session,
}

impl Opened {
    pub(crate) fn to(address: IpAddr, packets: Packets) -> Result<Self, String> {
        let echo = Echo::connect(address, packets.dscp)?;
        Ok(Self { echo, session: Session::new(packets) })
    }

    /// Sends the request of that number, and waits for its reply.
    pub(crate) async fn exchange(&self, sequence: u16, until: Instant) -> Pong {
        let run = exchange(&self.echo, &self.session, sequence, until).await;
        match run.rtts_ms.first() {
            Some(ms) => Pong::Answered(*ms),
            None => Pong::Lost(run.refusal),
        }
    }
}

/// What tells the requests of one probe from all others.
struct Session {
    packets: Packets,
    identifier: u16,
    token: [u8; TOKEN_BYTES],
}

impl Session {
    fn new(packets: Packets) -> Self {
        let mut token = [0; TOKEN_BYTES];
        rand::rng().fill(&mut token);
        Self { packets, identifier: rand::rng().random(), token }
    }
}

/// What one probe's requests came to.
#[derive(Debug, Default)]
struct Run {
    sent: u16,
    rtts_ms: Vec<f64>,
    duplicates: u32,
    foreign: u32,
    /// What the kernel or the network said to a request, last.
    refusal: Option<String>,
}

/// Sends its requests, numbered from `first` on.
async fn exchange(echo: &Echo, session: &Session, first: u16, until: Instant) -> Run {
    let Session { packets, identifier, token } = session;
    let count = packets.count;
    let mut run = Run::default();
    let mut waiting: BTreeMap<u16, Instant> = BTreeMap::new();
    let mut answered = std::collections::BTreeSet::new();
    let mut next_send = Instant::now();
    let spacing = spacing(count, until.saturating_duration_since(next_send));
    let mut buffer = vec![0; MOST_HEADERS + usize::from(packets.bytes)];
    loop {
        let now = Instant::now();
        if now >= until || (run.sent == count && waiting.is_empty()) {
            return run;
        }
        if run.sent < count && now >= next_send {
            let sequence = first.wrapping_add(run.sent);
            run.sent += 1;
            next_send = now + spacing;
            let packet = request(echo.v6, (*identifier, sequence), token, packets.bytes);
            // Before the call: on loopback the reply is there before it returns.
            let sent_at = Instant::now();
            match echo.socket.send(&packet).await {
                Ok(_) => {
                    waiting.insert(sequence, sent_at);
                }
                Err(error) => run.refusal = Some(error.to_string()),
            }
            continue;
        }
        let wait = if run.sent < count { next_send.min(until) } else { until };
        let Ok(received) = tokio::time::timeout(left(wait), echo.socket.recv(&mut buffer)).await
        else {
            continue;
        };
        let arrived = Instant::now();
        let length = match received {
            Ok(length) => length,
            // What the network said to an earlier request; the loss shows in the count.
            Err(error) => {
                run.refusal = Some(error.to_string());
                continue;
            }
        };
        match parse_reply(&buffer[..length], echo.v6, echo.raw, *identifier, token) {
            Reply::Ours(sequence) => match waiting.remove(&sequence) {
                Some(sent) => {
                    answered.insert(sequence);
                    run.rtts_ms.push(arrived.duration_since(sent).as_secs_f64() * 1_000.0);
                }
                None if answered.contains(&sequence) => run.duplicates += 1,
                None => run.foreign += 1,
            },
            Reply::Forged => run.foreign += 1,
            Reply::NotOurs => {}
        }
    }
}

/// Between two requests: the last leaves at half the time at the latest, so that a reply has as long
/// again. A request that leaves just before the end would be a loss that nobody measured.
pub(super) fn spacing(count: u16, limit: Duration) -> Duration {
    SPACING.min(limit / (2 * u32::from(count.max(1))))
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
            let reason = self.refusal.map(|error| format!(" ({error})")).unwrap_or_default();
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

pub(crate) struct Statistics {
    pub(crate) min: f64,
    pub(crate) mean: f64,
    pub(crate) max: f64,
    pub(crate) deviation: f64,
    /// Mean difference of neighbours (as RFC 3550 §6.4.1 takes it, without its smoothing).
    pub(crate) jitter: Option<f64>,
}

impl Statistics {
    pub(crate) fn of(rtts: &[f64]) -> Option<Self> {
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
fn request(
    v6: bool,
    (identifier, sequence): (u16, u16),
    token: &[u8; TOKEN_BYTES],
    bytes: u16,
) -> Vec<u8> {
    let mut packet = vec![0; HEADER_BYTES + usize::from(bytes).max(TOKEN_BYTES)];
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

/// Any bytes as a datagram of each kind of socket.
#[cfg(fuzzing)]
pub(crate) fn fuzzed(bytes: &[u8]) {
    for (v6, raw) in [(false, false), (false, true), (true, false), (true, true)] {
        parse_reply(bytes, v6, raw, 7, &[7; TOKEN_BYTES]);
    }
}

/// What a datagram is to this probe.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    /// A reply to the request of this sequence number.
    Ours(u16),
    /// A reply that came to this socket, with this probe's identifier, and not to its requests.
    Forged,
    /// Anything else: a raw socket sees all that the target sends to this machine, other probes'
    /// replies and, on loopback, the requests themselves.
    NotOurs,
}

/// What `datagram` is. The token tells a reply from every other probe's; a datagram socket's
/// identifier is the kernel's own, and it is given no others.
fn parse_reply(
    datagram: &[u8],
    v6: bool,
    raw: bool,
    identifier: u16,
    token: &[u8; TOKEN_BYTES],
) -> Reply {
    let icmp = if raw && !v6 {
        // RFC 791 §3.1: the header's length in words is in the first byte.
        let length = usize::from(datagram.first().copied().unwrap_or(0) & 0x0f) * 4;
        if length < 20 { None } else { datagram.get(length..) }
    } else {
        Some(datagram)
    };
    let Some(&[kind, code, _, _, id_high, id_low, high, low, ref payload @ ..]) = icmp else {
        return Reply::NotOurs;
    };
    if kind != if v6 { 129 } else { 0 } || code != 0 {
        return Reply::NotOurs;
    }
    if raw && u16::from_be_bytes([id_high, id_low]) != identifier {
        return Reply::NotOurs;
    }
    if payload.starts_with(token) {
        Reply::Ours(u16::from_be_bytes([high, low]))
    } else {
        Reply::Forged
    }
}

#[cfg(test)]
mod tests {
    use super::super::Resolver;
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn packets(count: u16) -> Packets {
        Packets { count, ..Packets::default() }
    }

    const LIMIT: Duration = Duration::from_secs(3);

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
            let outcome =
                probe(host, Family::Any, packets(3), LIMIT, &Dial::open(&Resolver::default()))
                    .await;
            assert_eq!(outcome.error, None);
            let metric = |name| outcome.metrics.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
            assert_eq!(metric("icmp.packets.received"), Some(3.0));
            assert_eq!(metric("icmp.loss.ratio"), Some(0.0));
            assert!(metric("icmp.rtt.avg_ms").is_some_and(|ms| ms > 0.0));
            assert_eq!(
                metric("icmp.packets.unmatched"),
                None,
                "a raw socket sees our own requests"
            );
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
            probes.spawn(async {
                probe("127.0.0.1", Family::V4, packets(2), LIMIT, &Dial::open(&Resolver::default()))
                    .await
            });
        }
        while let Some(outcome) = probes.join_next().await {
            let outcome = outcome.expect("ended");
            assert_eq!(outcome.error, None);
            let received = outcome.metrics.iter().find(|(n, _)| *n == "icmp.packets.received");
            assert_eq!(received.map(|(_, v)| *v), Some(2.0));
        }
    }

    /// An echo over UDP to a peer that makes a reply of each request.
    async fn echo_to(reply: impl Fn(&mut Vec<u8>) + Send + 'static) -> Echo {
        let peer = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        socket.connect(peer.local_addr().expect("bound")).await.expect("connected");
        tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            while let Ok((length, from)) = peer.recv_from(&mut buffer).await {
                let mut packet = buffer[..length].to_vec();
                packet[0] = 0;
                reply(&mut packet);
                let _ = peer.send_to(&packet, from).await;
            }
        });
        Echo { socket, raw: false, v6: false }
    }

    async fn run(echo: &Echo, count: u16, limit: Duration) -> Run {
        let session = Session { packets: packets(count), identifier: 7, token: [7; TOKEN_BYTES] };
        exchange(echo, &session, 0, Instant::now() + limit).await
    }

    #[tokio::test]
    async fn all_requests_leave_with_time_for_their_replies() {
        for (count, limit_ms) in [(1, 10), (3, 3_000), (3, 100), (100, 3_000), (100, 10)] {
            let limit = Duration::from_millis(limit_ms);
            let between = spacing(count, limit);
            assert!(between * u32::from(count) <= limit / 2, "{count} in {limit:?}");
        }
        assert_eq!(spacing(3, Duration::from_secs(3)), SPACING);
        let run = run(&echo_to(|_| {}).await, 40, Duration::from_secs(3)).await;
        assert_eq!((run.sent, run.rtts_ms.len()), (40, 40));
    }

    #[tokio::test]
    async fn forged_replies_are_counted_and_measure_nothing() {
        let echo = echo_to(|packet| packet[HEADER_BYTES] ^= 1).await;
        let run = run(&echo, 2, Duration::from_millis(300)).await;
        assert_eq!((run.rtts_ms.len(), run.foreign), (0, 2));
    }

    #[tokio::test]
    async fn what_the_network_says_is_told() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let closed = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
        socket.connect(closed.local_addr().expect("bound")).await.expect("connected");
        drop(closed);
        let echo = Echo { socket, raw: false, v6: false };
        let run = run(&echo, 2, Duration::from_millis(300)).await;
        let outcome = run.report(IpAddr::from([127, 0, 0, 1]), Outcome::default());
        assert!(outcome.error.expect("failed").contains("refused"));
    }

    #[test]
    fn only_a_reply_with_our_token_counts() {
        let token = [7; TOKEN_BYTES];
        let mut reply = request(false, (1, 9), &token, 56);
        let parse = |bytes: &[u8], v6, raw| parse_reply(bytes, v6, raw, 1, &token);
        assert_eq!(parse(&reply, false, false), Reply::NotOurs, "a request is no reply");
        reply[0] = 0;
        assert_eq!(parse(&reply, false, false), Reply::Ours(9));
        assert_eq!(parse(&reply[..12], false, false), Reply::Forged);
        assert_eq!(parse(&reply[..7], false, false), Reply::NotOurs);
        assert_eq!(parse_reply(&reply, false, false, 1, &[8; TOKEN_BYTES]), Reply::Forged);
        let mut with_header = vec![0x45; 20];
        with_header.extend(&reply);
        assert_eq!(parse(&with_header, false, true), Reply::Ours(9));
        // A raw socket sees everyone's: they are neither this probe's nor forged.
        assert_eq!(parse_reply(&with_header, false, true, 2, &token), Reply::NotOurs);
        // A datagram socket's identifier is the kernel's.
        assert_eq!(parse_reply(&reply, false, false, 2, &token), Reply::Ours(9));
        reply[0] = 129;
        assert_eq!(parse(&reply, true, true), Reply::Ours(9));
        assert_eq!(parse(&reply, true, false), Reply::Ours(9));
    }

    #[test]
    fn hostile_replies_never_panic() {
        let mut rng = StdRng::seed_from_u64(1);
        let token = [7; TOKEN_BYTES];
        let mut reply = request(false, (1, 9), &token, 56);
        reply[0] = 0;
        for _ in 0..50_000 {
            let mut bytes = reply.clone();
            bytes.truncate(rng.random_range(0..=bytes.len()));
            if let Some(byte) = bytes.first_mut() {
                *byte = rng.random();
            }
            for (v6, raw) in [(false, false), (false, true), (true, false), (true, true)] {
                let _ = parse_reply(&bytes, v6, raw, 1, &token);
            }
        }
        let mut noise = [0; 64];
        rng.fill_bytes(&mut noise);
        noise[0] = 0;
        noise[1] = 0;
        assert_eq!(parse_reply(&noise, false, false, 1, &token), Reply::Forged);
    }

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        let packet = request(false, (0x1234, 5), &[1; TOKEN_BYTES], 56);
        assert_eq!(checksum(&packet), 0, "a packet with its checksum sums to zero");
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }
}
