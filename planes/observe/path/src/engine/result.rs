//! What a trace found.

use std::net::IpAddr;

use holm_asn::Place;
use serde::Serialize;

use super::{Algorithm, Alias, ReplyKind};
use crate::systems::System;
use crate::wire::{InterfaceInfo, Label};

/// How a trace ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The target answered.
    Reached,
    /// Something says that it goes no further; the ICMP code.
    Unreachable(u8),
    /// Nothing answers from some hop on.
    Silent,
    /// Packets go in a circle.
    Loop,
    /// All probes that were granted are spent: what is missing is not known.
    Budget,
    /// The time is over: what is missing is not known.
    Deadline,
    /// It was stopped.
    Stopped,
}

impl Outcome {
    /// The outcome as it stands in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Unreachable(_) => "unreachable",
            Self::Silent => "silent",
            Self::Loop => "loop",
            Self::Budget => "budget",
            Self::Deadline => "deadline",
            Self::Stopped => "stopped",
        }
    }
}

/// The ways to a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Multipath {
    /// Where the probes were sent.
    pub target: IpAddr,
    /// How the trace ended.
    pub outcome: Outcome,
    /// How the ways were looked for.
    pub algorithm: Algorithm,
    /// From the first hop to the last that answered.
    pub hops: Vec<Hop>,
    /// Links between hops that follow each other.
    pub links: Vec<Link>,
    /// The flows that were sent to every hop, and by which interfaces they went.
    pub flows: Vec<FlowWay>,
    /// Probes that were sent.
    pub probes: u32,
    /// Replies to probes that were answered before.
    pub duplicates: u32,
    /// Replies that came after their time.
    pub late: u32,
    /// The probability to miss a branch that was stopped at, at each place that branches.
    pub epsilon: f64,
    /// The probability that somewhere between the first hop and the target one more interface of the
    /// same weight was missed, as the flows were that answered: balancing by flow, evenly. None for a
    /// single flow, and where probes or time ran out.
    pub failure_bound: Option<f64>,
    /// Whether an address came back on the way of a flow.
    pub looped: bool,
    /// Milliseconds to the target and back.
    pub rtt: Option<Rtt>,
}

impl Multipath {
    /// Whether the target answered.
    pub fn reached(&self) -> bool {
        self.rtt.is_some()
    }

    /// The most interfaces of one hop.
    pub fn width(&self) -> usize {
        self.hops.iter().map(|hop| hop.interfaces.len()).max().unwrap_or(0)
    }

    /// Share of the probes that were lost on the way itself, not by hops that do not answer.
    pub fn forwarding_loss(&self) -> Option<f64> {
        let sent: u32 = self.hops.iter().map(|hop| hop.loss.sent).sum();
        let lost: u32 = self.hops.iter().map(|hop| hop.loss.forwarding).sum();
        (sent > 0).then(|| f64::from(lost) / f64::from(sent))
    }
}

/// One hop.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hop {
    /// Its TTL.
    pub ttl: u8,
    /// What answered, in the order of the first answers.
    pub interfaces: Vec<Interface>,
    /// Flows that nothing answered.
    pub silent_flows: u32,
    /// What was lost.
    pub loss: HopLoss,
    /// Packets of one flow take several ways here.
    pub per_packet: bool,
    /// It limits its replies.
    pub rate_limited: bool,
    /// Links to the next hop are meshed or uneven, so its interfaces were looked at one by one.
    pub meshed: bool,
    /// Probability that one more interface was missed.
    pub miss: f64,
    /// Interfaces that may be one router.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
}

/// Probes of one hop, and what became of those without an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct HopLoss {
    /// Probes that were to end here.
    pub sent: u32,
    /// Of them, those that nothing answered.
    pub lost: u32,
    /// Of the lost, those whose flow was answered from further on: the hop does not answer, and forwards.
    pub terminal: u32,
    /// Of the lost, those whose flow was not answered from further on.
    pub forwarding: u32,
}

/// Round-trip times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rtt {
    /// The shortest.
    pub min_ms: f64,
    /// Their mean.
    pub avg_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// How many.
    pub count: u32,
}

/// One interface of a hop.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Interface {
    /// The address that it answers from.
    pub address: IpAddr,
    /// What its answer means.
    pub kind: ReplyKind,
    /// Round-trip times.
    pub rtt: Rtt,
    /// The MPLS label stack that probes came with, outermost first (RFC 4950).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// What it says of itself (RFC 5837).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<InterfaceInfo>,
    /// Probes were rewritten before they came here (a NAT).
    pub rewritten: bool,
    /// Whose its address is, where a table says so; the engine leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<System>,
    /// Where a table says that its address is; the engine leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The flows that it answered.
    pub flows: Vec<u16>,
}

/// A link between two interfaces.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Link {
    /// The TTL of its first end.
    pub ttl: u8,
    /// Where it begins.
    pub from: IpAddr,
    /// Where it ends.
    pub to: IpAddr,
    /// The flows that took it; empty where it follows from one of its ends being the only one.
    pub flows: Vec<u16>,
}

/// The way of one flow.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FlowWay {
    /// The flow.
    pub flow: u16,
    /// Its hops; `None` did not answer.
    pub hops: Vec<Option<IpAddr>>,
    /// Whether the last is the target's answer.
    pub reached: bool,
}
