//! Which agents reach which nodes along paths: all agents at once, one bit each.
//!
//! Breadth-first from many sources at the same time: a node carries one bit an agent, so that a
//! step along an edge moves 64 searches (Then et al., "The More the Merrier", VLDB 2014). Bits come in
//! order of distance; that order is kept ([`Arrivals`]) and answers every what-if of the moment:
//! [`Crossing`] follows only the bits whose shortest routes cross what is gone.

use crate::adjacency::{Hop, Rows};
use crate::builder::as_index;
use crate::moment::Moment;
use crate::search::Marks;

/// The bits that came to each node, by distance. They are numbered as they came: what lies behind one node
/// at one distance lies together.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// Machine words a set of bits.
    words: usize,
    /// By node: its arrivals, nearest first.
    of: Rows<Arrival>,
    /// By arrival: whose, and how far from the agents.
    node: Vec<u32>,
    distance: Vec<u32>,
    /// By arrival: the agents at that distance.
    bits: Vec<u64>,
    /// By node: all agents that reach it.
    seen: Vec<u64>,
    /// What lies further away than there is room for was not looked at.
    cut_short: bool,
}

/// Machine words of arrivals, 128 MiB: 300 agents of a million edges take half of it. What thousands of
/// agents that stand one behind the other would take grows with the cube of their number.
const MAX_WORDS: usize = 16 << 20;

/// An arrival as its node lists it.
#[derive(Debug, Clone, Copy, Default)]
struct Arrival {
    distance: u32,
    number: u32,
}

impl Arrivals {
    /// Searches from all agents along path edges.
    pub(crate) fn of(moment: &Moment) -> Self {
        Self::within(moment, MAX_WORDS)
    }

    fn within(moment: &Moment, most_words: usize) -> Self {
        let (nodes, words) = (moment.nodes.len(), moment.agents.len().div_ceil(64));
        let mut found = Self { words, seen: vec![0; nodes * words], ..Self::default() };
        let mut ring: Vec<u32> = Vec::new();
        let mut frontier = vec![0; nodes * words];
        let mut next = vec![0; nodes * words];
        let mut queued = Marks::default();
        for (bit, &agent) in moment.agents.iter().enumerate() {
            next[agent as usize * words + bit / 64] |= 1 << (bit % 64);
            ring.push(agent);
        }
        let mut distance = 0;
        while !ring.is_empty() {
            if found.bits.len() + ring.len() * words > most_words {
                found.cut_short = true;
                break;
            }
            for &node in &ring {
                let range = node as usize * words..(node as usize + 1) * words;
                found.node.push(node);
                found.distance.push(distance);
                found.bits.extend_from_slice(&next[range.clone()]);
                for i in range {
                    frontier[i] = std::mem::take(&mut next[i]);
                    found.seen[i] |= frontier[i];
                }
            }
            queued.clear(nodes);
            let mut ahead = Vec::new();
            for &node in &ring {
                let from = node as usize * words;
                for hop in moment.path.out.of(node) {
                    let to = hop.node as usize * words;
                    let mut any = 0;
                    for i in 0..words {
                        let new = frontier[from + i] & !found.seen[to + i];
                        next[to + i] |= new;
                        any |= new;
                    }
                    if any != 0 && queued.add(hop.node) {
                        ahead.push(hop.node);
                    }
                }
            }
            ring = ahead;
            distance += 1;
        }
        let all = found.node.iter().zip(&found.distance).zip(0..);
        let listed = all.map(|((&node, &distance), number)| (node, Arrival { distance, number }));
        found.of = Rows::group(nodes, listed);
        found
    }

    /// The agents that reach `node`.
    pub(crate) fn seen(&self, node: u32) -> &[u64] {
        &self.seen[node as usize * self.words..][..self.words]
    }

    pub(crate) const fn is_cut_short(&self) -> bool {
        self.cut_short
    }

    pub(crate) fn words(&self) -> usize {
        self.words
    }

    fn bits(&self, arrival: u32) -> &[u64] {
        &self.bits[arrival as usize * self.words..][..self.words]
    }

    /// The arrival at `node` from that distance, if there is one.
    fn at(&self, node: u32, distance: u32) -> Option<u32> {
        let mut arrivals = self.of.of(node).iter();
        let first = arrivals.find(|arrival| arrival.distance >= distance)?;
        (first.distance == distance).then_some(first.number)
    }
}

/// What crosses the elements that are gone, and what finds another way.
#[derive(Debug, Default)]
pub(crate) struct Crossing {
    words: usize,
    /// By arrival: the agents with a shortest route that crosses.
    crossing: Vec<u64>,
    arrivals: Vec<u32>,
    /// By distance: the arrivals that are still to be followed.
    ahead: Vec<Vec<u32>>,
    /// By node: all agents with a shortest route that crosses, and those that still get there.
    touched: Vec<u64>,
    regained: Vec<u64>,
    nodes: Vec<u32>,
    is_touched: Marks,
    queue: Vec<u32>,
    next: Vec<u32>,
    queued: Marks,
}

impl Crossing {
    /// Finds what crosses `gone_nodes` and `gone_edges`. A pair none of whose shortest routes crosses
    /// keeps that route: all others are followed, and nothing else.
    pub(crate) fn find(
        &mut self,
        moment: &Moment,
        arrivals: &Arrivals,
        gone_nodes: &[u32],
        gone_edges: &[u32],
        gone: impl Fn(&Hop) -> bool,
        is_gone: impl Fn(u32) -> bool,
    ) {
        self.clear(moment.nodes.len(), arrivals);
        for &node in gone_nodes {
            for Arrival { number: arrival, .. } in arrivals.of.of(node).iter().copied() {
                self.cross(arrivals, arrival, arrivals.bits(arrival).iter().copied());
            }
        }
        for &edge in gone_edges {
            let (from, to) = (moment.from[edge as usize], moment.to[edge as usize]);
            let is_path = moment.kind[edge as usize] == holm_model::EdgeKind::Path;
            if is_path && !moment.is_probe(edge) {
                let others = moment.addresses.entered(to).iter().filter(|&&o| o != to && o != from);
                let heads = || std::iter::once(to).chain(others.clone().copied());
                for Arrival { number: arrival, .. } in arrivals.of.of(from).iter().copied() {
                    let distance = arrivals.distance[arrival as usize] + 1;
                    for next in heads().filter_map(|head| arrivals.at(head, distance)) {
                        let both = arrivals.bits(arrival).iter().zip(arrivals.bits(next));
                        self.cross(arrivals, next, both.map(|(a, b)| a & b));
                    }
                }
            }
        }
        self.follow(moment, arrivals);
        self.regain(moment, arrivals, gone, is_gone);
    }

    /// Nodes with a pair whose shortest route crosses, in the order in which they were found.
    pub(crate) fn nodes(&self) -> &[u32] {
        &self.nodes
    }

    /// The agents that do not get to `node` any more: one word of their bits.
    pub(crate) fn broken(&self, node: u32, word: usize) -> u64 {
        let i = node as usize * self.words + word;
        self.touched[i] & !self.regained[i]
    }

    /// The agents that get to `node` on another way than before: one word of their bits.
    pub(crate) fn rerouted(&self, node: u32, word: usize) -> u64 {
        let i = node as usize * self.words + word;
        self.touched[i] & self.regained[i]
    }

    fn clear(&mut self, nodes: usize, arrivals: &Arrivals) {
        // As wide as the question before: that may have been to another moment.
        for arrival in self.arrivals.drain(..) {
            self.crossing[arrival as usize * self.words..][..self.words].fill(0);
        }
        for node in self.nodes.drain(..) {
            self.touched[node as usize * self.words..][..self.words].fill(0);
            self.regained[node as usize * self.words..][..self.words].fill(0);
        }
        self.words = arrivals.words;
        self.ahead.iter_mut().for_each(Vec::clear);
        self.is_touched.clear(nodes);
        let rings = arrivals.distance.last().map_or(0, |&d| d as usize + 1);
        self.crossing.resize(arrivals.bits.len(), 0);
        self.touched.resize(arrivals.seen.len(), 0);
        self.regained.resize(arrivals.seen.len(), 0);
        self.ahead.resize_with(self.ahead.len().max(rings), Vec::new);
    }

    /// Notes that `bits` of an arrival cross.
    fn cross(&mut self, arrivals: &Arrivals, arrival: u32, bits: impl Iterator<Item = u64>) {
        let from = arrival as usize * self.words;
        let (mut before, mut new) = (0, 0);
        for (i, bits) in (from..).zip(bits) {
            before |= self.crossing[i];
            new |= bits & !self.crossing[i];
            self.crossing[i] |= bits;
        }
        if new == 0 {
            return;
        }
        if before == 0 {
            self.arrivals.push(arrival);
            self.ahead[arrivals.distance[arrival as usize] as usize].push(arrival);
        }
    }

    /// Follows crossing bits outwards, distance by distance.
    fn follow(&mut self, moment: &Moment, arrivals: &Arrivals) {
        for distance in 0..self.ahead.len() {
            let ring = std::mem::take(&mut self.ahead[distance]);
            for &arrival in &ring {
                let node = arrivals.node[arrival as usize];
                self.touch(node, arrival);
                for hop in moment.path.out.of(node) {
                    let Some(next) = arrivals.at(hop.node, as_index(distance) + 1) else {
                        continue;
                    };
                    let [from, to] = [arrival, next].map(|a| a as usize * self.words);
                    let ranges = [from..from + self.words, to..to + self.words];
                    // The one is nearer than the other.
                    let Ok([from, to]) = self.crossing.get_disjoint_mut(ranges) else { continue };
                    let (mut before, mut new) = (0, 0);
                    for ((from, to), there) in from.iter().zip(to).zip(arrivals.bits(next)) {
                        let bits = from & there;
                        before |= *to;
                        new |= bits & !*to;
                        *to |= bits;
                    }
                    if before == 0 && new != 0 {
                        self.arrivals.push(next);
                        self.ahead[distance + 1].push(next);
                    }
                }
            }
            self.ahead[distance] = ring;
        }
    }

    fn touch(&mut self, node: u32, arrival: u32) {
        if self.is_touched.add(node) {
            self.nodes.push(node);
        }
        let (from, to) = (arrival as usize * self.words, node as usize * self.words);
        for i in 0..self.words {
            self.touched[to + i] |= self.crossing[from + i];
        }
    }

    /// Finds which of the touched pairs have another way: from a neighbour that is reached without
    /// crossing, and on from there.
    fn regain(
        &mut self,
        moment: &Moment,
        arrivals: &Arrivals,
        gone: impl Fn(&Hop) -> bool,
        is_gone: impl Fn(u32) -> bool,
    ) {
        let w = self.words;
        self.queue.clear();
        for at in 0..self.nodes.len() {
            let node = self.nodes[at];
            if is_gone(node) {
                continue;
            }
            let to = node as usize * w;
            for hop in moment.path.into.of(node).iter().filter(|hop| !gone(hop)) {
                let from = hop.node as usize * w;
                for i in 0..w {
                    let sound = arrivals.seen[from + i] & !self.touched[from + i];
                    self.regained[to + i] |= self.touched[to + i] & sound;
                }
            }
            if self.regained[to..to + w].iter().any(|&bits| bits != 0) {
                self.queue.push(node);
            }
        }
        while !self.queue.is_empty() {
            self.queued.clear(moment.nodes.len());
            for &node in &self.queue {
                let from = node as usize * w;
                for hop in moment.path.out.of(node) {
                    if !self.is_touched.has(hop.node) || gone(hop) || hop.node == node {
                        continue;
                    }
                    let to = hop.node as usize * w;
                    let touched = &self.touched[to..to + w];
                    let ranges = [from..from + w, to..to + w];
                    let Ok([from, to]) = self.regained.get_disjoint_mut(ranges) else { continue };
                    let mut new = 0;
                    for ((from, to), touched) in from.iter().zip(to).zip(touched) {
                        let bits = from & touched & !*to;
                        new |= bits;
                        *to |= bits;
                    }
                    if new != 0 && self.queued.add(hop.node) {
                        self.next.push(hop.node);
                    }
                }
            }
            std::mem::swap(&mut self.queue, &mut self.next);
            self.next.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use holm_model::{EdgeKind, NodeId};

    use super::*;
    use crate::builder::MomentBuilder;

    /// Hops one behind the other, each with an agent.
    fn chain(length: usize) -> Moment {
        let mut builder = MomentBuilder::new();
        let id = |text: String| text.parse::<NodeId>().expect("valid");
        let hops: Vec<u32> = (0..length).map(|n| builder.node(id(format!("hop:{n}")))).collect();
        for (n, &hop) in hops.iter().enumerate() {
            let agent = builder.node(id(format!("agent:{n}")));
            builder.edge(agent, EdgeKind::Path, hop, None);
            if let Some(&next) = hops.get(n + 1) {
                builder.edge(hop, EdgeKind::Path, next, None);
            }
        }
        builder.build()
    }

    #[test]
    fn what_there_is_no_room_for_is_left_out_and_said() {
        let moment = chain(200);
        let whole = Arrivals::of(&moment);
        assert!(!whole.is_cut_short());
        let words = whole.bits.len();
        assert!(!Arrivals::within(&moment, words).is_cut_short());
        let cut = Arrivals::within(&moment, words / 2);
        assert!(cut.is_cut_short() && cut.bits.len() <= words / 2);
        // What is there is as it was, ring by ring.
        assert_eq!(cut.bits, whole.bits[..cut.bits.len()]);
        assert_eq!(cut.node, whole.node[..cut.node.len()]);
    }
}
