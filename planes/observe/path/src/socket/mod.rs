//! Many traces at once through few sockets.
//!
//! With `CAP_NET_RAW` one raw socket a family hears all ICMP errors and another sends whole packets;
//! [`Matching`] knows which probe of which trace a reply belongs to. Without it, UDP sockets and their
//! error queues do the same for one trace (`errqueue`), and say so.

mod errqueue;
mod matching;
pub(crate) mod queue;
mod raw;

pub use matching::{Matched, Matching, Outstanding};

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::engine::{Multipath, Trace, TraceOptions};
use crate::wire::Protocol;

/// Why no trace could be made.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The kernel gives no raw socket.
    #[error(
        "no raw socket ({0}): grant CAP_NET_RAW (setcap cap_net_raw+ep, or AmbientCapabilities=)"
    )]
    NoRawSocket(std::io::Error),
    /// The kernel gives no error queue either.
    #[error("neither a raw socket nor a UDP error queue ({0}): grant CAP_NET_RAW")]
    NoErrorQueue(std::io::Error),
    /// Without raw sockets only UDP works.
    #[error("{0} probes need CAP_NET_RAW; without it only udp works")]
    NeedsRawSocket(&'static str),
    /// There is no way to the target from here.
    #[error("no route to {0} ({1}): check the address family and the routing table")]
    NoRoute(IpAddr, std::io::Error),
    /// The sockets cannot be used any more.
    #[error("the sockets for traces fail ({0}): the plane opens them again")]
    Socket(std::io::Error),
    /// The one who runs the traces ended.
    #[error("the tracer was stopped before the trace was over")]
    Stopped,
    /// As many traces as may be are under way.
    #[error("{0} traces are under way already: wait for one to end")]
    TooMany(usize),
}

/// By what means traces are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Raw sockets: every protocol, label stacks, NAT, many flows.
    Raw,
    /// UDP sockets and their error queues: UDP only, one probe of a flow at a time.
    ErrorQueue,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw sockets",
            Self::ErrorQueue => "udp error queue, unprivileged",
        })
    }
}

/// One trace to make.
pub struct Request {
    /// Where to.
    pub target: IpAddr,
    /// What probes are made of.
    pub protocol: Protocol,
    /// UDP and TCP: the target's port.
    pub port: u16,
    /// DSCP and ECN of the probes.
    pub traffic_class: u8,
    /// How.
    pub options: TraceOptions,
    /// The ports of the whole flows are drawn from this, so that they are the same the next time.
    pub flow_seed: u64,
    /// Called after each reply and each loss of a round; it must not block.
    pub progress: Option<Progress>,
}

/// What is told of a trace under way.
pub type Progress = Box<dyn FnMut(&Trace) + Send>;

impl Request {
    /// A trace to `target` with defaults: UDP to port 33434, as other tools send it.
    pub fn to(target: IpAddr) -> Self {
        Self {
            target,
            protocol: Protocol::Udp,
            port: 33_434,
            traffic_class: 0,
            options: TraceOptions::default(),
            flow_seed: 0,
            progress: None,
        }
    }
}

/// Counters of everything that is sent, heard, and dropped.
#[derive(Debug, Default)]
pub struct Counters {
    /// Probes that left.
    pub sent: AtomicU64,
    /// Probes that the kernel refused; they count as lost.
    pub send_errors: AtomicU64,
    /// Replies that belong to a probe.
    pub matched: AtomicU64,
    /// ICMP and TCP that answers no probe: other programs'.
    pub unmatched: AtomicU64,
    /// What names a probe's flow and token, and not its nonce: forged, or of another's probe.
    pub forged: AtomicU64,
    /// Probes that waited because no token was free.
    pub crowded: AtomicU64,
    /// Answers whose extensions were not as the RFCs say.
    pub malformed: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// All of them by name.
    pub fn all(&self) -> [(&'static str, u64); 7] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("probes_sent", of(&self.sent)),
            ("probes_refused", of(&self.send_errors)),
            ("replies_matched", of(&self.matched)),
            ("replies_unmatched", of(&self.unmatched)),
            ("replies_forged", of(&self.forged)),
            ("probes_crowded", of(&self.crowded)),
            ("replies_malformed", of(&self.malformed)),
        ]
    }
}

/// A trace to make, and where its result goes.
type Command = (Request, oneshot::Sender<Result<Multipath, TraceError>>);

/// Makes traces; clones share the sockets. The task behind it ends with the last of them.
#[derive(Clone)]
pub struct Tracer {
    method: Method,
    commands: Option<mpsc::Sender<Command>>,
    counters: Arc<Counters>,
    rate: u32,
}

impl Tracer {
    /// A tracer on raw sockets that sends at most `rate` probes a second over all traces. To be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// The kernel gives no raw socket.
    pub fn raw(rate: u32) -> Result<Self, TraceError> {
        let counters = Arc::new(Counters::default());
        let commands = raw::start(rate, Arc::clone(&counters))?;
        Ok(Self { method: Method::Raw, commands: Some(commands), counters, rate })
    }

    /// A tracer without privileges: each trace has UDP sockets of its own.
    pub fn unprivileged(rate: u32) -> Self {
        let counters = Arc::new(Counters::default());
        Self { method: Method::ErrorQueue, commands: None, counters, rate }
    }

    /// The best that this process may, and why not more.
    ///
    /// # Errors
    /// Neither raw sockets nor error queues are to be had.
    pub fn best(rate: u32) -> Result<(Self, Option<TraceError>), TraceError> {
        match Self::raw(rate) {
            Ok(tracer) => Ok((tracer, None)),
            Err(reason) => match errqueue::available() {
                Ok(()) => Ok((Self::unprivileged(rate), Some(reason))),
                Err(error) => Err(TraceError::NoErrorQueue(error)),
            },
        }
    }

    /// By what means it works.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Its counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Makes a trace.
    ///
    /// # Errors
    /// There is no route, the protocol needs raw sockets that are not there, or the sockets fail.
    pub async fn trace(&self, request: Request) -> Result<Multipath, TraceError> {
        let Some(commands) = &self.commands else {
            return errqueue::trace(request, self.rate, Arc::clone(&self.counters)).await;
        };
        let (done, result) = oneshot::channel();
        commands.send((request, done)).await.map_err(|_| TraceError::Stopped)?;
        result.await.map_err(|_| TraceError::Stopped)?
    }
}

/// The address that packets to `target` leave from.
pub(crate) fn source_of(target: IpAddr) -> Result<IpAddr, TraceError> {
    let any: IpAddr = match target {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((target, 33_434))?;
        socket.local_addr()
    };
    source().map(|address| address.ip()).map_err(|error| TraceError::NoRoute(target, error))
}
