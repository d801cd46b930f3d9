//! Multipath discovery without I/O: what to send next, given what was answered.
//!
//! [`Trace`] is asked for probes ([`Trace::next`]), told of replies ([`Trace::replied`]) and of the
//! time, and ends with a [`Multipath`]. A probe is a flow and a TTL. Probes of one flow differ in
//! nothing that routers balance by (Paris traceroute), so a flow takes one way; many flows show the
//! ways. `MDA-Lite` (Vermeulen et al. 2018) looks hop by hop: a hop where `k` interfaces answered is
//! done when the stopping point for `k` is reached. Two wide hops in a row share at least two flows
//! at each interface; the links of those show whether the diamond is meshed or uneven, and where it
//! is, the full algorithm follows (Augustin et al. 2007): the stopping point for each interface by
//! itself, with new flows until enough of them pass through it (node control).
//!
//! Each hop is shown flows of its own where it can be: the hops of parallel ways then prove each
//! other's width, and a branch that one of them missed shows at the next.

mod aliases;
mod plan;
mod report;
mod result;
mod stopping;
mod table;
mod trace;

pub use aliases::Alias;
pub use result::{FlowWay, Hop, HopLoss, Interface, Link, Multipath, Outcome, Rtt};
pub use stopping::{Stopping, miss};
pub use trace::Trace;

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::{InterfaceInfo, Label};

/// How the ways are looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Hop by hop, and as `mda` where that is not enough.
    #[default]
    Lite,
    /// Interface by interface: the bound also holds for what is uneven; more probes.
    Mda,
    /// One flow, one way: a classic Paris traceroute.
    Single,
}

/// How one trace is made.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceOptions {
    /// How the ways are looked for.
    pub algorithm: Algorithm,
    /// Probability to miss a branch at one place that branches: 0.000001 to 0.5.
    pub epsilon: f64,
    /// Highest TTL: 1 to 64.
    pub max_ttl: u8,
    /// Flows that are sent to every hop, so that their ways are known whole: 1 to 64.
    pub whole_flows: u16,
    /// How often a probe is sent before its hop counts as silent: 1 to 10.
    pub attempts: u8,
    /// Longest wait for a reply; shorter once round trips are known.
    pub timeout: Duration,
    /// Silent hops in a row after which the way is held to end.
    pub gap_limit: u8,
    /// Most probes of the trace.
    pub max_probes: u32,
    /// Most probes under way at once.
    pub max_in_flight: usize,
    /// Most probes of one flow under way at once: 1 where replies cannot be told apart.
    pub max_in_flight_of_flow: usize,
    /// Whether the target's answer quotes the TTL that the probe arrived with (UDP).
    pub quoted_distance: bool,
    /// Longest time of the whole trace.
    pub deadline: Duration,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            epsilon: 0.05,
            max_ttl: 32,
            whole_flows: 1,
            attempts: 2,
            timeout: Duration::from_secs(1),
            gap_limit: 5,
            max_probes: 3_000,
            max_in_flight: 128,
            max_in_flight_of_flow: usize::MAX,
            quoted_distance: true,
            deadline: Duration::from_secs(60),
        }
    }
}

impl TraceOptions {
    /// The options with every value within its range.
    #[must_use]
    pub fn within_bounds(mut self) -> Self {
        self.max_ttl = self.max_ttl.clamp(1, 64);
        self.whole_flows = self.whole_flows.clamp(1, 64);
        self.attempts = self.attempts.clamp(1, 10);
        self.timeout = self.timeout.clamp(Duration::from_millis(10), Duration::from_secs(30));
        self.gap_limit = self.gap_limit.clamp(1, 64);
        self.max_probes = self.max_probes.clamp(1, MAX_PROBES);
        self.max_in_flight = self.max_in_flight.clamp(1, 1_024);
        self.max_in_flight_of_flow = self.max_in_flight_of_flow.max(1);
        self
    }
}

/// Most probes that one trace can be given.
pub const MAX_PROBES: u32 = 50_000;
/// Most flows of one trace: each has a source port of its own.
pub const MAX_FLOWS: u16 = 16_000;

/// One probe to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Probe {
    /// Its number within the trace, from 0.
    pub number: u32,
    /// Its flow, from 0.
    pub flow: u16,
    /// Its TTL or hop limit.
    pub ttl: u8,
}

/// What a reply means for the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyKind {
    /// The probe's TTL ended there.
    Exceeded,
    /// The target answered.
    Reached,
    /// Something other than the target says that it goes no further; the ICMP code.
    Unreachable(u8),
}

/// A reply to one probe.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Who answered.
    pub from: IpAddr,
    /// What it means.
    pub kind: ReplyKind,
    /// The TTL that the quoted probe arrived with.
    pub quoted_ttl: Option<u8>,
    /// The MPLS label stack that the probe arrived with (RFC 4950), outermost first.
    pub labels: Vec<Label>,
    /// What the router says of the interface (RFC 5837).
    pub interface: Option<InterfaceInfo>,
    /// Whether the quoted probe was rewritten on its way (Dublin traceroute).
    pub rewritten: bool,
    /// The IP identification of the reply itself, where there is one that the sender numbers by; that of
    /// a reply that copies its probe's is none.
    pub identification: Option<u16>,
    /// The TTL or hop limit that the reply arrived with, where it is known.
    pub ttl: Option<u8>,
}
