//! From the table to the result.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::aliases::{Numbers, aliases};
use super::result::FlowWay;
use super::stopping::miss;
use super::table::{Cell, HopTable, Vertex};
use super::trace::{Purpose, State};
use super::{Algorithm, Hop, HopLoss, Interface, Link, Multipath, Outcome, ReplyKind, Rtt, Trace};

pub(super) fn report(trace: &Trace) -> Multipath {
    let table = &trace.table;
    let last =
        (1..=table.max_ttl()).rev().find(|ttl| !table.hop(*ttl).vertices.is_empty()).unwrap_or(0);
    let losses = losses(trace);
    let hops: Vec<Hop> = (1..=last)
        .map(|ttl| {
            let loss = losses.get(&ttl).copied().unwrap_or_default();
            hop(trace, ttl, HopLoss { sent: table.hop(ttl).sent, ..loss })
        })
        .collect();
    let outcome = trace.outcome.unwrap_or(Outcome::Stopped);
    let whole = !matches!(outcome, Outcome::Budget | Outcome::Deadline | Outcome::Stopped)
        && trace.options.algorithm != Algorithm::Single;
    let found = hops.iter().map(|hop| 1.0 - hop.miss).product::<f64>();
    Multipath {
        target: trace.target,
        outcome,
        algorithm: trace.options.algorithm,
        links: (1..last).flat_map(|ttl| links(trace, ttl)).collect(),
        flows: (0..trace.options.whole_flows).map(|flow| way(trace, flow, last)).collect(),
        probes: trace.probes(),
        duplicates: trace.duplicates,
        late: trace.late,
        epsilon: trace.stopping.epsilon(),
        failure_bound: whole.then_some(1.0 - found),
        looped: trace.looped,
        rtt: rtt_to_target(trace, last),
        hops,
    }
}

fn hop(trace: &Trace, ttl: u8, loss: HopLoss) -> Hop {
    let hop = trace.table.hop(ttl);
    let interfaces = (0_u16..)
        .zip(&hop.vertices)
        .filter_map(|(index, vertex)| interface(hop, index, vertex))
        .collect();
    let silent = hop.cells.values().filter(|cell| **cell == Cell::Silent).count();
    Hop {
        ttl,
        interfaces,
        silent_flows: u32::try_from(silent).unwrap_or(u32::MAX),
        loss,
        per_packet: hop.per_packet,
        rate_limited: hop.limited,
        meshed: trace.table.meshed.contains(&ttl),
        miss: hop_miss(trace, ttl),
        aliases: aliases(&hop.vertices.iter().map(Vertex::numbers).collect::<Vec<Numbers<'_>>>()),
    }
}

fn interface(hop: &HopTable, index: u16, vertex: &Vertex) -> Option<Interface> {
    Some(Interface {
        address: vertex.address,
        kind: vertex.kind,
        rtt: rtt(&vertex.rtts)?,
        labels: vertex.labels.clone(),
        interface: vertex.interface.clone(),
        rewritten: vertex.rewritten,
        system: None,
        place: None,
        flows: hop.flows_of(index).collect(),
    })
}

/// The probability that one more interface of a hop was missed: interface by interface where the hop
/// before was looked at so.
fn hop_miss(trace: &Trace, ttl: u8) -> f64 {
    let table = &trace.table;
    let hop = table.hop(ttl);
    // The sender's gateway is not balanced; what is beyond the target is not looked for.
    if ttl == 1 || hop.is_target() || hop.vertices.is_empty() {
        return 0.0;
    }
    if !table.by_vertex.contains(&(ttl - 1)) {
        let flows = u32::try_from(hop.cells.len()).unwrap_or(u32::MAX);
        return miss(hop.width() + 1, flows);
    }
    let links = table.links(ttl - 1);
    let found = (0_u16..).zip(&table.hop(ttl - 1).vertices).map(|(index, vertex)| {
        let successors = links.keys().filter(|(from, _)| *from == index).count();
        let shared = table.shared_of(ttl - 1, index).count();
        let shared = u32::try_from(shared).unwrap_or(u32::MAX);
        if vertex.ends() { 1.0 } else { 1.0 - miss(successors + 1, shared) }
    });
    1.0 - found.product::<f64>()
}

fn rtt(rtts: &[Duration]) -> Option<Rtt> {
    let ms = |rtt: &Duration| rtt.as_secs_f64() * 1_000.0;
    let sum: f64 = rtts.iter().map(ms).sum();
    Some(Rtt {
        min_ms: ms(rtts.iter().min()?),
        avg_ms: sum / rtts.len() as f64,
        max_ms: ms(rtts.iter().max()?),
        count: u32::try_from(rtts.len()).unwrap_or(u32::MAX),
    })
}

fn rtt_to_target(trace: &Trace, last: u8) -> Option<Rtt> {
    let hops = (1..=last).map(|ttl| trace.table.hop(ttl));
    let reached = hops.flat_map(|hop| &hop.vertices).filter(|v| v.kind == ReplyKind::Reached);
    let rtts: Vec<Duration> = reached.flat_map(|vertex| vertex.rtts.iter().copied()).collect();
    rtt(&rtts)
}

/// Links that flows showed, and those that follow because one end is the only interface of its hop.
fn links(trace: &Trace, ttl: u8) -> Vec<Link> {
    let (here, next) = (trace.table.hop(ttl), trace.table.hop(ttl + 1));
    let mut links: BTreeMap<(u16, u16), Vec<u16>> = trace.table.links(ttl);
    let silent = |hop: &HopTable| hop.cells.values().any(|cell| *cell == Cell::Silent);
    if next.vertices.len() == 1 && !silent(next) {
        for (index, vertex) in (0_u16..).zip(&here.vertices) {
            if !vertex.ends() {
                links.entry((index, 0)).or_default();
            }
        }
    }
    if here.vertices.len() == 1 && !silent(here) && !here.vertices[0].ends() {
        for (index, _) in (0_u16..).zip(&next.vertices) {
            links.entry((0, index)).or_default();
        }
    }
    let address =
        |hop: &HopTable, index: u16| hop.vertices.get(usize::from(index)).map(|v| v.address);
    links
        .into_iter()
        .filter_map(|((from, to), flows)| {
            Some(Link { ttl, from: address(here, from)?, to: address(next, to)?, flows })
        })
        .collect()
}

fn way(trace: &Trace, flow: u16, last: u8) -> FlowWay {
    let end = trace.table.ends.get(&flow).copied();
    let vertex = |ttl: u8| {
        let hop = trace.table.hop(ttl);
        hop.vertex_of(flow).map(|vertex| &hop.vertices[usize::from(vertex)])
    };
    let mut hops: Vec<_> =
        (1..=end.unwrap_or(last)).map(|ttl| vertex(ttl).map(|vertex| vertex.address)).collect();
    while hops.last() == Some(&None) {
        hops.pop();
    }
    let reached = end.and_then(vertex).is_some_and(|vertex| vertex.kind == ReplyKind::Reached);
    FlowWay { flow, hops, reached }
}

/// Losses by hop. A probe that was lost where its flow went on is the hop's own silence.
fn losses(trace: &Trace) -> HashMap<u8, HopLoss> {
    let mut farthest: HashMap<u16, u8> = HashMap::new();
    for sent in trace.sent.iter().filter(|sent| sent.state == State::Answered) {
        let ttl = match sent.purpose {
            Purpose::Scout => trace.scouted.unwrap_or(0),
            Purpose::Cell | Purpose::Repeat => sent.ttl,
        };
        let far = farthest.entry(sent.flow).or_default();
        *far = (*far).max(ttl);
    }
    // Flows that were sent nowhere else are judged by whether any flow was answered from further on.
    let whole = farthest.values().copied().max().unwrap_or(0);
    let mut ttls: HashMap<u16, BTreeSet<u8>> = HashMap::new();
    for sent in &trace.sent {
        ttls.entry(sent.flow).or_default().insert(sent.ttl);
    }
    let mut losses: HashMap<u8, HopLoss> = HashMap::new();
    for sent in &trace.sent {
        if sent.state != State::Lost || sent.purpose == Purpose::Scout {
            continue;
        }
        let loss = losses.entry(sent.ttl).or_default();
        loss.lost += 1;
        let went_further =
            ttls.get(&sent.flow).is_some_and(|t| t.range(sent.ttl + 1..).count() > 0);
        let far = if went_further { farthest.get(&sent.flow).copied().unwrap_or(0) } else { whole };
        if far > sent.ttl {
            loss.terminal += 1;
        } else {
            loss.forwarding += 1;
        }
    }
    losses
}
