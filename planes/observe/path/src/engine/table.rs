//! What is known: for each hop, which flow was answered by which interface.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::aliases::{Numbered, Numbers, initial_ttl};
use super::{MAX_FLOWS, Reply, ReplyKind};
use crate::wire::{InterfaceInfo, Label};

/// Most interfaces of one hop: more are counted and left out.
pub(super) const MAX_WIDTH: usize = 256;
/// Most round-trip times kept of one interface.
const MAX_RTTS: usize = 64;
/// Most numbers kept of one interface.
const MAX_NUMBERED: usize = 64;

/// What is known of a flow at a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    /// A probe is under way, or is to be sent again.
    Waiting,
    /// The interface that answered.
    Answered(u16),
    /// Nothing answered, as often as it was tried.
    Silent,
}

impl Cell {
    fn vertex(self) -> Option<u16> {
        match self {
            Self::Answered(vertex) => Some(vertex),
            Self::Waiting | Self::Silent => None,
        }
    }
}

/// One interface of a hop.
#[derive(Debug, Clone)]
pub(super) struct Vertex {
    pub(super) address: IpAddr,
    pub(super) kind: ReplyKind,
    pub(super) rtts: Vec<Duration>,
    pub(super) labels: Vec<Label>,
    pub(super) interface: Option<InterfaceInfo>,
    pub(super) rewritten: bool,
    /// The numbers of its replies, and the TTL that the first began with.
    pub(super) numbered: Vec<Numbered>,
    pub(super) initial_ttl: Option<u8>,
}

/// One hop.
#[derive(Debug, Clone, Default)]
pub(super) struct HopTable {
    pub(super) vertices: Vec<Vertex>,
    pub(super) cells: BTreeMap<u16, Cell>,
    /// Sent, answered, and lost probes.
    pub(super) sent: u32,
    pub(super) answered: u32,
    /// Time between probes: zero until the hop shows that it limits its replies.
    pub(super) gap: Duration,
    pub(super) gap_since: Duration,
    pub(super) next_send: Duration,
    pub(super) limited: bool,
    /// Repeats of one flow, to see whether packets of it take several ways.
    pub(super) repeats: u8,
    pub(super) per_packet: bool,
    pub(super) too_wide: u32,
    /// Flows that were sent only to pass through a certain interface.
    pub(super) control: u32,
}

impl HopTable {
    /// Interfaces that answered, and one for those that did not.
    pub(super) fn width(&self) -> usize {
        let silent = self.cells.values().any(|cell| *cell == Cell::Silent);
        self.vertices.len() + usize::from(silent)
    }

    /// Interfaces that answered.
    pub(super) fn is_wide(&self) -> bool {
        self.vertices.len() > 1
    }

    /// Forgets interfaces that no flow leads to any more.
    pub(super) fn drop_unused(&mut self) {
        let used: BTreeSet<u16> = self.cells.values().filter_map(|cell| cell.vertex()).collect();
        if used.len() == self.vertices.len() {
            return;
        }
        let mut index = 0;
        self.vertices.retain(|_| {
            index += 1;
            used.contains(&(index - 1))
        });
        for cell in self.cells.values_mut() {
            if let Cell::Answered(vertex) = cell {
                let before = used.range(..*vertex).count();
                *vertex = u16::try_from(before).unwrap_or(0);
            }
        }
    }

    /// Whether replies or their absence are still waited for.
    pub(super) fn waits(&self) -> bool {
        self.cells.values().any(|cell| *cell == Cell::Waiting)
    }

    /// Whether the target is all that answered. Routers that say that it goes no further end the way
    /// too, and may be several.
    pub(super) fn is_target(&self) -> bool {
        let reached = |vertex: &Vertex| vertex.kind == ReplyKind::Reached;
        !self.vertices.is_empty() && self.vertices.iter().all(reached)
    }

    pub(super) fn vertex_of(&self, flow: u16) -> Option<u16> {
        self.cells.get(&flow).and_then(|cell| cell.vertex())
    }

    /// The flows that `vertex` answered.
    pub(super) fn flows_of(&self, vertex: u16) -> impl Iterator<Item = u16> {
        let is = move |cell: &Cell| *cell == Cell::Answered(vertex);
        self.cells.iter().filter(move |(_, cell)| is(cell)).map(|(flow, _)| *flow)
    }

    /// Files a reply to a probe of `sent`, heard at `heard`; the interface's index, unless the hop is too wide.
    pub(super) fn file(&mut self, reply: &Reply, sent: Duration, heard: Duration) -> Option<u16> {
        let rtt = heard.saturating_sub(sent);
        let known = self.vertices.iter().position(|vertex| vertex.address == reply.from);
        let index = match known {
            Some(index) => index,
            None if self.vertices.len() >= MAX_WIDTH => {
                self.too_wide += 1;
                return None;
            }
            None => {
                self.vertices.push(Vertex {
                    address: reply.from,
                    kind: reply.kind,
                    rtts: Vec::new(),
                    labels: Vec::new(),
                    interface: None,
                    rewritten: false,
                    numbered: Vec::new(),
                    initial_ttl: reply.ttl.map(initial_ttl),
                });
                self.vertices.len() - 1
            }
        };
        let vertex = &mut self.vertices[index];
        if vertex.rtts.len() < MAX_RTTS {
            vertex.rtts.push(rtt);
        }
        if vertex.labels.is_empty() {
            vertex.labels.clone_from(&reply.labels);
        }
        if vertex.interface.is_none() {
            vertex.interface.clone_from(&reply.interface);
        }
        if reply.kind == ReplyKind::Exceeded {
            // It forwards some flows, whatever it said to others.
            vertex.kind = ReplyKind::Exceeded;
        }
        vertex.rewritten |= reply.rewritten;
        if let Some(number) = reply.identification.filter(|_| vertex.numbered.len() < MAX_NUMBERED)
        {
            vertex.numbered.push(Numbered { number, sent, heard });
        }
        u16::try_from(index).ok()
    }
}

impl Vertex {
    pub(super) fn numbers(&self) -> Numbers<'_> {
        let Self { address, numbered, initial_ttl, .. } = self;
        Numbers { address: *address, replies: numbered, initial_ttl: *initial_ttl }
    }

    pub(super) fn ends(&self) -> bool {
        self.kind != ReplyKind::Exceeded
    }
}

/// The hops of a trace, and where its flows end.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// By TTL; before the first and after the last is one that stays empty.
    hops: Vec<HopTable>,
    /// The TTL at which a flow ends.
    pub(super) ends: BTreeMap<u16, u8>,
    pub(super) next_flow: u16,
    /// Pairs of hops (the first of each) that are looked at interface by interface.
    pub(super) by_vertex: BTreeSet<u8>,
    pub(super) meshed: BTreeSet<u8>,
}

impl Table {
    pub(super) fn new(max_ttl: u8, whole_flows: u16) -> Self {
        Self {
            hops: vec![HopTable::default(); usize::from(max_ttl) + 2],
            ends: BTreeMap::new(),
            next_flow: whole_flows,
            by_vertex: BTreeSet::new(),
            meshed: BTreeSet::new(),
        }
    }

    pub(super) fn max_ttl(&self) -> u8 {
        u8::try_from(self.hops.len() - 2).unwrap_or(u8::MAX)
    }

    /// The hop of `ttl`, which is from 1 to the highest TTL.
    pub(super) fn hop(&self, ttl: u8) -> &HopTable {
        &self.hops[usize::from(ttl).min(self.hops.len() - 1)]
    }

    pub(super) fn hop_mut(&mut self, ttl: u8) -> &mut HopTable {
        let last = self.hops.len() - 1;
        &mut self.hops[usize::from(ttl).min(last)]
    }

    /// A flow that was not sent yet.
    pub(super) fn fresh(&mut self) -> Option<u16> {
        (self.next_flow < MAX_FLOWS).then(|| {
            self.next_flow += 1;
            self.next_flow - 1
        })
    }

    /// Whether `flow` is known to end before `ttl`.
    pub(super) fn ended_before(&self, flow: u16, ttl: u8) -> bool {
        self.ends.get(&flow).is_some_and(|end| *end < ttl)
    }

    /// Flows that an interface of `ttl` answered and that were sent to the next hop too.
    pub(super) fn shared_of(&self, ttl: u8, vertex: u16) -> impl Iterator<Item = u16> {
        let next = self.hop(ttl + 1);
        self.hop(ttl).flows_of(vertex).filter(|flow| next.cells.contains_key(flow))
    }

    /// The links between `ttl` and the next hop that flows have shown, with these flows.
    pub(super) fn links(&self, ttl: u8) -> BTreeMap<(u16, u16), Vec<u16>> {
        let mut links: BTreeMap<(u16, u16), Vec<u16>> = BTreeMap::new();
        let (here, next) = (self.hop(ttl), self.hop(ttl + 1));
        for flow in here.cells.keys() {
            if let (Some(from), Some(to)) = (here.vertex_of(*flow), next.vertex_of(*flow)) {
                links.entry((from, to)).or_default().push(*flow);
            }
        }
        links
    }
}
