//! Which flows are to be sent to which hops, given what is known.

use std::collections::BTreeMap;

use super::table::{Cell, Table};
use super::{Algorithm, Stopping, TraceOptions};

/// Flows that two wide hops share at each interface before their links are judged.
const SHARED: usize = 2;
/// Flows to a hop that answers none of them.
const FLOWS_TO_SILENCE: u32 = 2;
/// How often one flow is repeated to see whether its packets take several ways: with two ways, all
/// repeats take the same in 1 of 32 cases.
const REPEATS: u8 = 5;
/// Flows of node control for each that is lacking, at most.
const CONTROL: u32 = 40;

/// How far the trace looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    /// Flow 0 is sent up to this hop.
    pub(super) first: u8,
    /// Other flows are sent up to this hop.
    pub(super) all: u8,
    /// The hop where flow 0 ends, if that is known before the hop answered other flows.
    pub(super) end: Option<u8>,
}

/// What is to be sent.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Flows and TTLs; their cells are waiting already.
    pub(super) cells: Vec<(u16, u8)>,
    /// TTLs, each with a flow that it answered.
    pub(super) repeats: Vec<(u16, u8)>,
}

impl Wanted {
    fn want(&mut self, table: &mut Table, flow: u16, ttl: u8) {
        if ttl == 0 || ttl > table.max_ttl() || table.ended_before(flow, ttl) {
            return;
        }
        if let std::collections::btree_map::Entry::Vacant(cell) =
            table.hop_mut(ttl).cells.entry(flow)
        {
            cell.insert(Cell::Waiting);
            self.cells.push((flow, ttl));
        }
    }
}

/// Plans the next probes: none when everything that can be known is.
pub(super) fn plan(
    table: &mut Table,
    reach: Reach,
    options: &TraceOptions,
    stopping: &Stopping,
) -> Wanted {
    let mut wanted = Wanted::default();
    for ttl in 1..=reach.first {
        wanted.want(table, 0, ttl);
    }
    for ttl in 1..=reach.all {
        for flow in 1..options.whole_flows {
            wanted.want(table, flow, ttl);
        }
    }
    if options.algorithm == Algorithm::Single {
        return wanted;
    }
    for ttl in 1..=reach.all {
        fill(&mut wanted, table, ttl, reach, options, stopping);
    }
    for ttl in 1..reach.all {
        look_at_pair(&mut wanted, table, ttl, options, stopping);
    }
    for ttl in 1..=reach.all {
        if !is_to_be_repeated(table, ttl) {
            continue;
        }
        let first = table.hop(ttl).flows_of(0).next();
        if let Some(flow) = first {
            let hop = table.hop_mut(ttl);
            wanted.repeats.extend((hop.repeats..REPEATS).map(|_| (flow, ttl)));
            hop.repeats = REPEATS;
        }
    }
    wanted
}

/// How many flows a hop is to be shown.
fn target(
    table: &Table,
    ttl: u8,
    reach: Reach,
    options: &TraceOptions,
    stopping: &Stopping,
) -> u32 {
    let hop = table.hop(ttl);
    let lite = options.algorithm == Algorithm::Lite;
    if ttl == 1 {
        // The sender's gateway: probes do not pass a balancer before it.
        return stopping.point(hop.width().saturating_sub(1));
    }
    let target = hop.is_target() || (hop.vertices.is_empty() && reach.end == Some(ttl));
    if target && lite {
        return 1;
    }
    if hop.vertices.is_empty() && hop.width() == 1 {
        return FLOWS_TO_SILENCE;
    }
    stopping.point(hop.width().max(1))
}

/// Sends flows to a hop up to its stopping point; first those that show its links to a wide neighbour.
fn fill(
    wanted: &mut Wanted,
    table: &mut Table,
    ttl: u8,
    reach: Reach,
    options: &TraceOptions,
    stopping: &Stopping,
) {
    let target = target(table, ttl, reach, options, stopping) as usize;
    let mut lacking = target.saturating_sub(table.hop(ttl).cells.len());
    if lacking == 0 {
        return;
    }
    if table.hop(ttl).is_wide() {
        for (near, first) in [(ttl.saturating_sub(1), ttl.saturating_sub(1)), (ttl + 1, ttl)] {
            if near == 0 || near > table.max_ttl() || !table.hop(near).is_wide() {
                continue;
            }
            for (flow, _) in unshared(table, first, near, SHARED).into_iter().take(lacking) {
                wanted.want(table, flow, ttl);
            }
            lacking = target.saturating_sub(table.hop(ttl).cells.len());
        }
    }
    for _ in 0..lacking {
        let Some(flow) = table.fresh() else { return };
        wanted.want(table, flow, ttl);
    }
}

/// Flows that lead through interfaces of hop `near` that too few flows share with its neighbour, where
/// `first` and the next are the pair; with the interface.
fn unshared(table: &Table, first: u8, near: u8, needed: usize) -> Vec<(u16, u16)> {
    let other = if near == first { first + 1 } else { first };
    let (near_hop, other_hop) = (table.hop(near), table.hop(other));
    let mut flows = Vec::new();
    for vertex in 0..near_hop.vertices.len() as u16 {
        if near == first && near_hop.vertices[usize::from(vertex)].ends() {
            continue;
        }
        let is_shared = |flow: &u16| other_hop.cells.contains_key(flow);
        let shared = near_hop.flows_of(vertex).filter(is_shared).count();
        let free = near_hop
            .flows_of(vertex)
            .filter(|flow| !is_shared(flow) && !table.ended_before(*flow, other));
        flows.extend(free.take(needed.saturating_sub(shared)).map(|flow| (flow, vertex)));
    }
    flows
}

/// Judges the links between a hop and the next, and has flows sent until they can be judged.
fn look_at_pair(
    wanted: &mut Wanted,
    table: &mut Table,
    ttl: u8,
    options: &TraceOptions,
    stopping: &Stopping,
) {
    let (here, next) = (table.hop(ttl), table.hop(ttl + 1));
    if here.vertices.is_empty() || next.vertices.is_empty() || here.waits() || next.waits() {
        return;
    }
    if here.per_packet || next.per_packet {
        return;
    }
    let full = options.algorithm == Algorithm::Mda;
    if full || table.by_vertex.contains(&ttl) {
        look_by_vertex(wanted, table, ttl, stopping);
        return;
    }
    // Where one of them is narrow, its wide neighbour's interfaces each show that they lead there: a
    // narrow hop that is wide in truth is then shown flows of every branch. Not so the gateway, which
    // nothing balances before, and the target.
    let both = here.is_wide() && next.is_wide();
    let one = (here.is_wide() && !next.is_target()) || (next.is_wide() && ttl > 1);
    if !both && !one {
        return;
    }
    let (here_width, next_width) = (here.vertices.len(), next.vertices.len());
    let before = wanted.cells.len();
    for (near, other) in [(ttl, ttl + 1), (ttl + 1, ttl)] {
        let wider = if near == ttl { here_width >= next_width } else { next_width >= here_width };
        let needed = if wider && both { SHARED } else { 1 };
        for (flow, _) in unshared(table, ttl, near, needed) {
            wanted.want(table, flow, other);
        }
        control(wanted, table, near, other, |table, vertex| {
            let shared = |flow: &u16| table.hop(other).cells.contains_key(flow);
            needed.saturating_sub(table.hop(near).flows_of(vertex).filter(shared).count())
        });
    }
    if both && wanted.cells.len() == before && is_uneven(table, ttl) {
        mark(table, ttl);
    }
}

/// The stopping point of each interface by itself.
fn look_by_vertex(wanted: &mut Wanted, table: &mut Table, ttl: u8, stopping: &Stopping) {
    let links = table.links(ttl);
    let mut successors: BTreeMap<u16, usize> = BTreeMap::new();
    for (from, _) in links.keys() {
        *successors.entry(*from).or_default() += 1;
    }
    let need = |table: &Table, vertex: u16| {
        let point = stopping.point(successors.get(&vertex).copied().unwrap_or(1).max(1));
        (point as usize).saturating_sub(table.shared_of(ttl, vertex).count())
    };
    for vertex in 0..table.hop(ttl).vertices.len() as u16 {
        if table.hop(ttl).vertices[usize::from(vertex)].ends() {
            continue;
        }
        let next = table.hop(ttl + 1);
        let free: Vec<u16> = table
            .hop(ttl)
            .flows_of(vertex)
            .filter(|flow| !next.cells.contains_key(flow) && !table.ended_before(*flow, ttl + 1))
            .take(need(table, vertex))
            .collect();
        for flow in free {
            wanted.want(table, flow, ttl + 1);
        }
    }
    control(wanted, table, ttl, ttl + 1, need);
}

/// Node control: new flows to `near` until enough pass through each of its interfaces. Each flow passes
/// through one, so as many as lack are needed at least; they go at once.
fn control(
    wanted: &mut Wanted,
    table: &mut Table,
    near: u8,
    other: u8,
    need: impl Fn(&Table, u16) -> usize,
) {
    let mut lacking = 0;
    for vertex in 0..table.hop(near).vertices.len() as u16 {
        if near < other && table.hop(near).vertices[usize::from(vertex)].ends() {
            continue;
        }
        lacking += need(table, vertex);
    }
    let width = table.hop(near).vertices.len() as u32;
    let most = CONTROL.saturating_mul(width);
    for _ in 0..lacking {
        if table.hop(near).control >= most {
            return;
        }
        let Some(flow) = table.fresh() else { return };
        table.hop_mut(near).control += 1;
        wanted.want(table, flow, near);
    }
}

/// Whether a pair of wide hops is meshed, or its interfaces have unlike numbers of links.
fn is_uneven(table: &Table, ttl: u8) -> bool {
    let links = table.links(ttl);
    let (here, next) = (table.hop(ttl).vertices.len(), table.hop(ttl + 1).vertices.len());
    let mut after: BTreeMap<u16, usize> = BTreeMap::new();
    let mut before: BTreeMap<u16, usize> = BTreeMap::new();
    for (from, to) in links.keys() {
        *after.entry(*from).or_default() += 1;
        *before.entry(*to).or_default() += 1;
    }
    let many = |degrees: &BTreeMap<u16, usize>| degrees.values().any(|degree| *degree > 1);
    let unlike = |degrees: &BTreeMap<u16, usize>| degrees.values().min() != degrees.values().max();
    let meshed = (here >= next && many(&after)) || (next >= here && many(&before));
    meshed || (here < next && unlike(&after)) || (here > next && unlike(&before))
}

/// From now on the whole diamond around a pair is looked at interface by interface.
fn mark(table: &mut Table, ttl: u8) {
    table.meshed.insert(ttl);
    let mut first = ttl;
    while first > 1 && table.hop(first).is_wide() {
        first -= 1;
    }
    let mut last = ttl;
    while last < table.max_ttl() && table.hop(last + 1).is_wide() {
        last += 1;
    }
    table.by_vertex.extend(first..=last);
}

/// Whether a wide hop's packets are to be told from its flows: where no wide neighbour shows that
/// flows keep their way, or where the links look meshed.
fn is_to_be_repeated(table: &Table, ttl: u8) -> bool {
    let hop = table.hop(ttl);
    if !hop.is_wide() || hop.repeats > 0 || hop.waits() {
        return false;
    }
    let marked = |ttl: u8| table.by_vertex.contains(&ttl) || table.meshed.contains(&ttl);
    let wide = |ttl: u8| ttl >= 1 && ttl <= table.max_ttl() && table.hop(ttl).is_wide();
    let alone = !wide(ttl.saturating_sub(1)) && !wide(ttl + 1);
    let settled = !table.hop(ttl + 1).waits() && !table.hop(ttl.saturating_sub(1)).waits();
    settled && (alone || marked(ttl) || marked(ttl.saturating_sub(1)))
}
