//! One task, raw sockets, any number of traces.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

use super::matching::{Matched, Matching};
use super::{Command, Counters, Request, TraceError, source_of};
use crate::engine::{MAX_FLOWS, Multipath, Probe, Reply, ReplyKind, Trace};
use crate::wire::{
    Answer, FlowKey, Heard, Identity, Meaning, Packet, Protocol, build, parse_icmp_v4,
    parse_icmp_v6, parse_tcp,
};

/// Most traces under way.
const MAX_TRACES: usize = 1_000;
/// Datagrams read before probes are sent again.
const READ_AT_ONCE: usize = 256;
/// Buffers of the kernel: a burst of probes and replies of all traces.
const BUFFER: usize = 4 << 20;
/// Most milliseconds of the rate that may leave at once.
const BURST_MS: f64 = 20.0;

type Done = oneshot::Sender<Result<Multipath, TraceError>>;

pub(super) fn start(
    rate: u32,
    counters: Arc<Counters>,
) -> Result<mpsc::Sender<Command>, TraceError> {
    let sockets = Sockets::open().map_err(TraceError::NoRawSocket)?;
    let (sender, commands) = mpsc::channel(64);
    tokio::spawn(Driver::new(sockets, rate, counters).run(commands));
    Ok(sender)
}

/// The sockets of both families. IPv6 may be missing on a machine without it.
struct Sockets {
    icmp_v4: UdpSocket,
    icmp_v6: Option<UdpSocket>,
    /// Not tokio's: a probe is sent at once or is lost, never waited for.
    send_v4: std::net::UdpSocket,
    send_v6: Option<std::net::UdpSocket>,
    /// Only while TCP is traced: they hear every segment of this machine.
    tcp_v4: Option<UdpSocket>,
    tcp_v6: Option<UdpSocket>,
}

/// IPPROTO_RAW: whole packets are sent, none are received.
const WHOLE_PACKETS: i32 = 255;

impl Sockets {
    fn open() -> std::io::Result<Self> {
        Ok(Self {
            icmp_v4: heard(Domain::IPV4, 1)?,
            icmp_v6: heard(Domain::IPV6, 58).ok(),
            send_v4: raw(Domain::IPV4, WHOLE_PACKETS)?,
            send_v6: raw(Domain::IPV6, WHOLE_PACKETS).ok(),
            tcp_v4: None,
            tcp_v6: None,
        })
    }
}

/// A raw socket under the type that the libraries have for sockets with datagrams.
fn heard(domain: Domain, protocol: i32) -> std::io::Result<UdpSocket> {
    UdpSocket::from_std(raw(domain, protocol)?)
}

fn raw(domain: Domain, protocol: i32) -> std::io::Result<std::net::UdpSocket> {
    let socket = Socket::new(domain, Type::RAW, Some(protocol.into()))?;
    socket.set_nonblocking(true)?;
    // Without the privilege the kernel gives less; losses then count as such.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    Ok(std::net::UdpSocket::from(OwnedFd::from(socket)))
}

struct Active {
    trace: Trace,
    request: Request,
    source: IpAddr,
    flows: Vec<FlowKey>,
    rng: StdRng,
    done: Done,
}

struct Driver {
    sockets: Sockets,
    counters: Arc<Counters>,
    matching: Matching,
    traces: HashMap<u32, Active>,
    /// The order in which they are served.
    turns: Vec<u32>,
    next_trace: u32,
    rng: StdRng,
    begin: Instant,
    rate: f64,
    tokens: f64,
    refilled: Duration,
    /// A probe that the socket had no room for.
    failure: Option<std::io::Error>,
}

impl Driver {
    fn new(sockets: Sockets, rate: u32, counters: Arc<Counters>) -> Self {
        let rate = f64::from(rate.max(1));
        Self {
            sockets,
            counters,
            matching: Matching::default(),
            traces: HashMap::new(),
            turns: Vec::new(),
            next_trace: 0,
            rng: rand::make_rng(),
            begin: Instant::now(),
            rate,
            tokens: 1.0,
            refilled: Duration::ZERO,
            failure: None,
        }
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut open = true;
        let mut buffers = [[0; 2_048]; 4];
        while open || !self.traces.is_empty() {
            let wait = self.serve();
            if let Some(error) = self.failure.take() {
                self.fail(&error);
            }
            let [icmp_v4, icmp_v6, tcp_v4, tcp_v6] = &mut buffers;
            let heard = tokio::select! {
                command = commands.recv(), if open => {
                    match command {
                        Some((request, done)) => self.begin(request, done),
                        None => open = false,
                    }
                    None
                }
                received = self.sockets.icmp_v4.recv_from(icmp_v4) => Some((received, Kind::IcmpV4)),
                received = recv(self.sockets.icmp_v6.as_ref(), icmp_v6) => Some((received, Kind::IcmpV6)),
                received = recv(self.sockets.tcp_v4.as_ref(), tcp_v4) => Some((received, Kind::Tcp)),
                received = recv(self.sockets.tcp_v6.as_ref(), tcp_v6) => Some((received, Kind::TcpV6)),
                () = tokio::time::sleep(wait) => None,
            };
            let Some((received, kind)) = heard else { continue };
            match received {
                Ok((length, from)) => {
                    let now = self.begin.elapsed();
                    let bytes = match kind {
                        Kind::IcmpV4 => &buffers[0],
                        Kind::IcmpV6 => &buffers[1],
                        Kind::Tcp => &buffers[2],
                        Kind::TcpV6 => &buffers[3],
                    };
                    let datagram = bytes[..length.min(bytes.len())].to_vec();
                    self.hear(kind, &datagram, from, now);
                    self.drain(kind);
                }
                Err(error) => self.fail(&error),
            }
        }
    }

    /// Reads what else is there.
    fn drain(&mut self, kind: Kind) {
        let mut buffer = [0; 2_048];
        for _ in 0..READ_AT_ONCE {
            let socket = match kind {
                Kind::IcmpV4 => Some(&self.sockets.icmp_v4),
                Kind::IcmpV6 => self.sockets.icmp_v6.as_ref(),
                Kind::Tcp => self.sockets.tcp_v4.as_ref(),
                Kind::TcpV6 => self.sockets.tcp_v6.as_ref(),
            };
            let Some(Ok((length, from))) = socket.map(|socket| socket.try_recv_from(&mut buffer))
            else {
                return;
            };
            let now = self.begin.elapsed();
            self.hear(kind, &buffer[..length], from, now);
        }
    }

    fn begin(&mut self, request: Request, done: Done) {
        if self.traces.len() >= MAX_TRACES {
            let _ = done.send(Err(TraceError::TooMany(MAX_TRACES)));
            return;
        }
        let source = match self.prepare(&request) {
            Ok(source) => source,
            Err(error) => {
                let _ = done.send(Err(error));
                return;
            }
        };
        let mut options = request.options.clone();
        options.quoted_distance &= request.protocol == Protocol::Udp;
        let whole = options.whole_flows;
        let active = Active {
            trace: Trace::new(request.target, options),
            source,
            flows: flows(&request, whole, &mut self.rng),
            rng: StdRng::from_rng(&mut self.rng),
            request,
            done,
        };
        self.next_trace = self.next_trace.wrapping_add(1);
        self.traces.insert(self.next_trace, active);
        self.turns.push(self.next_trace);
    }

    fn prepare(&mut self, request: &Request) -> Result<IpAddr, TraceError> {
        let v6 = request.target.is_ipv6();
        let source = source_of(request.target)?;
        let missing = || std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        if v6 && (self.sockets.send_v6.is_none() || self.sockets.icmp_v6.is_none()) {
            return Err(TraceError::NoRoute(request.target, missing()));
        }
        if request.protocol == Protocol::Tcp {
            let (socket, domain) = if v6 {
                (&mut self.sockets.tcp_v6, Domain::IPV6)
            } else {
                (&mut self.sockets.tcp_v4, Domain::IPV4)
            };
            if socket.is_none() {
                *socket = Some(heard(domain, 6).map_err(TraceError::NoRawSocket)?);
            }
        }
        Ok(source)
    }

    /// Sends what may leave; how long nothing will happen without a reply.
    fn serve(&mut self) -> Duration {
        let now = self.begin.elapsed();
        let refill = now.saturating_sub(self.refilled).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + refill).min((self.rate * BURST_MS / 1_000.0).max(1.0));
        self.refilled = now;
        let mut wake = now + Duration::from_secs(1);
        let first =
            if self.turns.is_empty() { 0 } else { now.subsec_micros() as usize % self.turns.len() };
        for turn in 0..self.turns.len() {
            let id = self.turns[(first + turn) % self.turns.len()];
            let Some(active) = self.traces.get_mut(&id) else { continue };
            if active.done.is_closed() {
                active.trace.stop();
            }
            while self.tokens >= 1.0 {
                let Some(probe) = active.trace.next(self.begin.elapsed()) else { break };
                self.tokens -= 1.0;
                let sent = send(
                    &self.sockets,
                    &mut self.matching,
                    active,
                    probe,
                    id,
                    self.begin.elapsed(),
                );
                match sent {
                    Sent::Left => Counters::add(&self.counters.sent),
                    Sent::Refused => Counters::add(&self.counters.send_errors),
                    Sent::Crowded => Counters::add(&self.counters.crowded),
                }
            }
            if self.tokens < 1.0 {
                let missing = (1.0 - self.tokens) / self.rate;
                wake = wake.min(now + Duration::from_secs_f64(missing));
            }
            if let Some(at) = active.trace.wake_at() {
                wake = wake.min(at);
            }
        }
        self.finish();
        // tokio's timer has a resolution of a millisecond.
        wake.saturating_sub(self.begin.elapsed()).max(Duration::from_millis(1))
    }

    /// Hands out what is over.
    fn finish(&mut self) {
        let over = |active: &Active| active.trace.is_over();
        let ended: Vec<u32> =
            self.turns.iter().copied().filter(|id| self.traces.get(id).is_some_and(over)).collect();
        for id in ended {
            self.turns.retain(|turn| *turn != id);
            self.matching.forget(id);
            if let Some(mut active) = self.traces.remove(&id) {
                if let Some(progress) = &mut active.request.progress {
                    progress(&active.trace);
                }
                let _ = active.done.send(Ok(active.trace.result()));
            }
        }
        let traces_tcp = |v6: bool| {
            let is = |active: &Active| {
                active.request.protocol == Protocol::Tcp && active.request.target.is_ipv6() == v6
            };
            self.traces.values().any(is)
        };
        if !traces_tcp(false) {
            self.sockets.tcp_v4 = None;
        }
        if !traces_tcp(true) {
            self.sockets.tcp_v6 = None;
        }
    }

    fn hear(&mut self, kind: Kind, datagram: &[u8], from: SocketAddr, now: Duration) {
        let heard = match (kind, from.ip()) {
            (Kind::IcmpV4, _) => parse_icmp_v4(datagram),
            (Kind::IcmpV6, IpAddr::V6(from)) => parse_icmp_v6(datagram, from),
            (Kind::Tcp | Kind::TcpV6, from) => parse_tcp(datagram, from),
            (Kind::IcmpV6, IpAddr::V4(_)) => None,
        };
        let Some(heard) = heard else { return };
        let (id, number, rewritten) = match self.matching.find(&heard) {
            Matched::Probe { trace, number, rewritten } => (trace, number, rewritten),
            Matched::Forged => return Counters::add(&self.counters.forged),
            Matched::Foreign => return Counters::add(&self.counters.unmatched),
        };
        let Some(active) = self.traces.get_mut(&id) else { return };
        Counters::add(&self.counters.matched);
        let (reply, malformed) = reply_of(heard, active.request.target, rewritten);
        if malformed {
            Counters::add(&self.counters.malformed);
        }
        active.trace.replied(number, &reply, now);
        if let Some(progress) = &mut active.request.progress {
            progress(&active.trace);
        }
    }

    /// A socket failed: nothing can be measured.
    fn fail(&mut self, error: &std::io::Error) {
        self.turns.clear();
        for (_, active) in self.traces.drain() {
            let again = error.raw_os_error().map_or_else(
                || std::io::Error::from(error.kind()),
                std::io::Error::from_raw_os_error,
            );
            let _ = active.done.send(Err(TraceError::Socket(again)));
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    IcmpV4,
    IcmpV6,
    Tcp,
    TcpV6,
}

async fn recv(
    socket: Option<&UdpSocket>,
    buffer: &mut [u8],
) -> std::io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}

enum Sent {
    Left,
    Refused,
    Crowded,
}

fn send(
    sockets: &Sockets,
    matching: &mut Matching,
    active: &mut Active,
    probe: Probe,
    id: u32,
    now: Duration,
) -> Sent {
    let flow = active.flows[usize::from(probe.flow) % active.flows.len()];
    let mut packet = Packet {
        protocol: active.request.protocol,
        source: active.source,
        target: active.request.target,
        target_port: active.request.port,
        ttl: probe.ttl,
        traffic_class: active.request.traffic_class,
        flow,
        identity: draw(&mut active.rng),
    };
    // A token that is taken is drawn again; that all of a flow are taken does not happen.
    let mut tries = 0;
    while !matching.remember(&packet, id, probe.number, now) {
        tries += 1;
        if tries > 16 {
            return Sent::Crowded;
        }
        packet.identity = draw(&mut active.rng);
    }
    let Some(bytes) = build(&packet) else { return Sent::Refused };
    let socket =
        if packet.target.is_ipv4() { Some(&sockets.send_v4) } else { sockets.send_v6.as_ref() };
    let to = SocketAddr::new(packet.target, 0);
    match socket.map(|socket| socket.send_to(&bytes, to)) {
        Some(Ok(_)) => Sent::Left,
        _ => Sent::Refused,
    }
}

fn draw(rng: &mut StdRng) -> Identity {
    Identity { token: rng.random_range(1..=u16::MAX), nonce: rng.random() }
}

/// The keys of all flows: the whole ones as the last time, the others drawn anew. Ports are distinct.
pub(super) fn flows(request: &Request, whole: u16, rng: &mut StdRng) -> Vec<FlowKey> {
    let mut steady = StdRng::seed_from_u64(request.flow_seed);
    let mut taken = std::collections::HashSet::new();
    let mut flows = Vec::with_capacity(usize::from(MAX_FLOWS));
    let most = u16::try_from(request.options.max_probes).unwrap_or(u16::MAX).clamp(64, MAX_FLOWS);
    for flow in 0..most {
        let source = if flow < whole { &mut steady } else { &mut *rng };
        let key = loop {
            let port = source.random_range(10_000..=u16::MAX);
            if taken.insert(port) {
                let checksum = source.random_range(1..u16::MAX);
                break FlowKey { port, checksum, label: source.random_range(1..=0x000f_ffff) };
            }
        };
        flows.push(key);
    }
    flows
}

fn reply_of(heard: Heard, target: IpAddr, rewritten: bool) -> (Reply, bool) {
    let copied = match &heard.answer {
        Answer::Error { quote, .. } => quote.identification,
        Answer::Echo { .. } | Answer::Segment { .. } => None,
    };
    let identification =
        heard.header.map(|(number, _)| number).filter(|number| Some(*number) != copied);
    let plain = |kind| Reply {
        from: heard.from,
        kind,
        quoted_ttl: None,
        labels: Vec::new(),
        interface: None,
        rewritten,
        identification,
        ttl: heard.header.map(|(_, ttl)| ttl),
    };
    match heard.answer {
        Answer::Echo { .. } | Answer::Segment { .. } => (plain(ReplyKind::Reached), false),
        Answer::Error { meaning, quote, extensions } => {
            let kind = match meaning {
                Meaning::Exceeded => ReplyKind::Exceeded,
                Meaning::Unreachable { .. } if heard.from == target => ReplyKind::Reached,
                Meaning::Unreachable { port: true, .. } => ReplyKind::Reached,
                Meaning::Unreachable { code, .. } => ReplyKind::Unreachable(code),
                Meaning::TooBig(_) => ReplyKind::Unreachable(4),
            };
            let reply = Reply {
                quoted_ttl: Some(quote.ttl),
                labels: extensions.labels,
                interface: extensions.interfaces.into_iter().next(),
                ..plain(kind)
            };
            (reply, extensions.malformed)
        }
    }
}
