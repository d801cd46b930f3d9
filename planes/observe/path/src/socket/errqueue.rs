//! Without privileges: a UDP socket for each flow, and its error queue (ip(7), IP_RECVERR).
//!
//! The queue gives the offender and the datagram's payload, but nothing of its header; routers that
//! quote the least leave no payload to tell probes by. So one probe of a flow is under way at a time.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use rand::RngExt;
use rand::rngs::StdRng;

use super::queue::{self, Queued};
use super::{Counters, Request, TraceError, raw, source_of};
use crate::engine::{Multipath, Probe, Reply, ReplyKind, Trace};
use crate::wire::Protocol;

/// Most sockets of one trace.
const MAX_SOCKETS: usize = 256;
/// Longest time between two looks at whether anybody still waits for the trace.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Whether the kernel gives error queues.
pub(super) fn available() -> std::io::Result<()> {
    let socket = UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
    Ok(())
}

pub(super) async fn trace(
    request: Request,
    rate: u32,
    counters: Arc<Counters>,
) -> Result<Multipath, TraceError> {
    if request.protocol != Protocol::Udp {
        return Err(TraceError::NeedsRawSocket(request.protocol.as_str()));
    }
    let source = source_of(request.target)?;
    let stop = Arc::new(());
    let held = Arc::clone(&stop);
    let run = tokio::task::spawn_blocking(move || {
        Run::new(request, source, rate, counters, held).until_over()
    });
    let result = run.await.map_err(|_| TraceError::Stopped)?;
    drop(stop);
    result
}

struct Flow {
    socket: UdpSocket,
    under_way: Option<(u32, u64)>,
}

struct Run {
    request: Request,
    source: IpAddr,
    counters: Arc<Counters>,
    /// Alone here when nobody waits any more.
    waited_for: Arc<()>,
    trace: Trace,
    flows: HashMap<u16, Flow>,
    rng: StdRng,
    begin: Instant,
    spacing: Duration,
}

impl Run {
    fn new(
        request: Request,
        source: IpAddr,
        rate: u32,
        counters: Arc<Counters>,
        waited_for: Arc<()>,
    ) -> Self {
        let mut options = request.options.clone();
        options.max_in_flight_of_flow = 1;
        // The queue does not tell the TTL that the target saw.
        options.quoted_distance = false;
        Self {
            trace: Trace::new(request.target, options),
            request,
            source,
            counters,
            waited_for,
            flows: HashMap::new(),
            rng: rand::make_rng(),
            begin: Instant::now(),
            spacing: Duration::from_secs(1) / rate.max(1),
        }
    }

    fn until_over(mut self) -> Result<Multipath, TraceError> {
        let ports = raw::flows(&self.request, self.request.options.whole_flows, &mut self.rng);
        let mut next_send = Duration::ZERO;
        loop {
            if Arc::strong_count(&self.waited_for) == 1 {
                self.trace.stop();
            }
            let mut now = self.begin.elapsed();
            while now >= next_send
                && let Some(probe) = self.trace.next(now)
            {
                let port = ports[usize::from(probe.flow) % ports.len()].port;
                match self.send(probe, port) {
                    Ok(()) => Counters::add(&self.counters.sent),
                    Err(_) => Counters::add(&self.counters.send_errors),
                }
                next_send = now.max(next_send) + self.spacing;
                now = self.begin.elapsed();
            }
            if self.trace.is_over() {
                return Ok(self.trace.result());
            }
            let wake = self.trace.wake_at().map_or(LONGEST_WAIT, |at| at.saturating_sub(now));
            let wake = if next_send > now { wake.min(next_send - now) } else { wake };
            self.wait(wake.clamp(Duration::from_millis(1), LONGEST_WAIT))
                .map_err(|error| TraceError::Socket(error.into()))?;
        }
    }

    fn send(&mut self, probe: Probe, port: u16) -> std::io::Result<()> {
        let room = self.flows.len() < MAX_SOCKETS;
        let flow = match self.flows.entry(probe.flow) {
            std::collections::hash_map::Entry::Occupied(flow) => flow.into_mut(),
            std::collections::hash_map::Entry::Vacant(_) if !room => {
                return Err(std::io::ErrorKind::QuotaExceeded.into());
            }
            std::collections::hash_map::Entry::Vacant(flow) => {
                let to = SocketAddr::new(self.request.target, self.request.port);
                flow.insert(Flow { socket: open(self.source, port, to)?, under_way: None })
            }
        };
        let nonce: u64 = self.rng.random();
        if self.request.target.is_ipv4() {
            flow.socket.set_ttl(probe.ttl.into())?;
        } else {
            socket2::SockRef::from(&flow.socket).set_unicast_hops_v6(probe.ttl.into())?;
        }
        flow.under_way = Some((probe.number, nonce));
        let mut payload = [0; 12];
        payload[..8].copy_from_slice(&nonce.to_be_bytes());
        // A send may report the error of the one before; that one is in the queue.
        match flow.socket.send(&payload) {
            Ok(_) => Ok(()),
            Err(_) => flow.socket.send(&payload).map(drop),
        }
    }

    /// Waits for errors and takes them.
    fn wait(&mut self, limit: Duration) -> nix::Result<()> {
        let busy: Vec<u16> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.under_way.is_some())
            .map(|(flow, _)| *flow)
            .collect();
        let mut fds: Vec<PollFd<'_>> = busy
            .iter()
            .filter_map(|flow| self.flows.get(flow))
            .map(|flow| PollFd::new(flow.socket.as_fd(), PollFlags::POLLIN))
            .collect();
        let limit = u16::try_from(limit.as_millis()).unwrap_or(u16::MAX);
        match poll(&mut fds, PollTimeout::from(limit)) {
            Ok(0) | Err(nix::Error::EINTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        let ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        let ready: Vec<bool> = fds.iter().map(ready).collect();
        for (flow, _) in busy.into_iter().zip(ready).filter(|(_, ready)| *ready) {
            self.take(flow);
        }
        Ok(())
    }

    fn take(&mut self, flow: u16) {
        let now = self.begin.elapsed();
        let Some(flow) = self.flows.get_mut(&flow) else { return };
        // A service that answers has been reached, too.
        let mut answer = [0; 64];
        if flow.socket.recv(&mut answer).is_ok()
            && let Some((number, _)) = flow.under_way.take()
        {
            Counters::add(&self.counters.matched);
            let reply = reply(self.request.target, ReplyKind::Reached);
            self.trace.replied(number, &reply, now);
        }
        while let Some(error) = next_error(&flow.socket) {
            let Some((number, nonce)) = flow.under_way else {
                Counters::add(&self.counters.unmatched);
                continue;
            };
            if error.nonce.is_some_and(|quoted| quoted != nonce) {
                Counters::add(&self.counters.unmatched);
                continue;
            }
            flow.under_way = None;
            Counters::add(&self.counters.matched);
            let kind = error.kind(self.request.target);
            self.trace.replied(number, &reply(error.from, kind), now);
        }
        if let Some(progress) = &mut self.request.progress {
            progress(&self.trace);
        }
    }
}

fn reply(from: IpAddr, kind: ReplyKind) -> Reply {
    Reply {
        from,
        kind,
        quoted_ttl: None,
        labels: Vec::new(),
        interface: None,
        rewritten: false,
        identification: None,
        ttl: None,
    }
}

fn open(source: IpAddr, port: u16, to: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((source, port)).or_else(|_| UdpSocket::bind((source, 0)))?;
    socket.set_nonblocking(true)?;
    match to {
        SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
        SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
    }
    socket.connect(to)?;
    Ok(socket)
}

/// One ICMP error of a flow.
struct QueuedError {
    from: IpAddr,
    error: Queued,
    nonce: Option<u64>,
}

impl QueuedError {
    fn kind(&self, target: IpAddr) -> ReplyKind {
        let error = &self.error;
        let port = if error.v6 { error.code == 4 } else { error.code == 3 };
        match error.exceeded() {
            true => ReplyKind::Exceeded,
            false if port || self.from == target => ReplyKind::Reached,
            false => ReplyKind::Unreachable(error.code),
        }
    }
}

/// The next ICMP error of a socket's queue; others (of this machine itself) are passed over.
fn next_error(socket: &UdpSocket) -> Option<QueuedError> {
    // What the kernel sends of itself (no route, too large) has no offender.
    for _ in 0..64 {
        let error = queue::next(socket)?;
        if let Some(from) = error.from {
            let nonce = error.quoted().first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
            return Some(QueuedError { from, error, nonce });
        }
    }
    None
}
