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

/// The bits that came to each node, by distance.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// Machine words a set of bits.
    words: usize,
    /// By node: its arrivals, nearest first.
    of: Rows<u32>,
    /// By arrival: whose, and how far from the agents.
    node: Vec<u32>,
    distance: Vec<u32>,
    /// By arrival: the agents at that distance.
    bits: Vec<u64>,
    /// By node: all agents that reach it.
    seen: Vec<u64>,
}

impl Arrivals {
    /// Searches from all agents along path edges.
    pub(crate) fn of(moment: &Moment) -> Self {
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
        found.of = Rows::group(nodes, found.node.iter().copied().zip(0..));
        found
    }

    /// The agents that reach `node`.
    pub(crate) fn seen(&self, node: u32) -> &[u64] {
        &self.seen[node as usize * self.words..][..self.words]
    }

    pub(crate) fn words(&self) -> usize {
        self.words
    }

    fn bits(&self, arrival: u32) -> &[u64] {
        &self.bits[arrival as usize * self.words..][..self.words]
    }

    /// The arrival at `node` from that distance, if there is one.
    fn at(&self, node: u32, distance: u32) -> Option<u32> {
        let arrivals = self.of.of(node);
        let i = arrivals.binary_search_by_key(&distance, |&a| self.distance[a as usize]).ok()?;
        Some(arrivals[i])
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
            for &arrival in arrivals.of.of(node) {
                self.cross(arrivals, arrival, arrivals.bits(arrival).iter().copied());
            }
        }
        for &edge in gone_edges {
            let (from, to) = (moment.from[edge as usize], moment.to[edge as usize]);
            if moment.kind[edge as usize] == holm_model::EdgeKind::Path {
                for &arrival in arrivals.of.of(from) {
                    let next = arrivals.at(to, arrivals.distance[arrival as usize] + 1);
                    if let Some(next) = next {
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
        let farthest = arrivals.distance.last().map_or(0, |&d| d as usize + 1);
        self.crossing.resize(arrivals.bits.len(), 0);
        self.touched.resize(arrivals.seen.len(), 0);
        self.regained.resize(arrivals.seen.len(), 0);
        self.ahead.resize_with(self.ahead.len().max(farthest), Vec::new);
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
                    let (from, to) = (arrival as usize * self.words, next as usize * self.words);
                    let (mut before, mut new) = (0, 0);
                    for i in 0..self.words {
                        let bits = self.crossing[from + i] & arrivals.bits[to + i];
                        before |= self.crossing[to + i];
                        new |= bits & !self.crossing[to + i];
                        self.crossing[to + i] |= bits;
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
        while let Some(node) = self.queue.pop() {
            let from = node as usize * w;
            for hop in moment.path.out.of(node) {
                if gone(hop) || !self.is_touched.has(hop.node) {
                    continue;
                }
                let to = hop.node as usize * w;
                let mut new = 0;
                for i in 0..w {
                    let bits =
                        self.regained[from + i] & self.touched[to + i] & !self.regained[to + i];
                    new |= bits;
                    self.regained[to + i] |= bits;
                }
                if new != 0 {
                    self.queue.push(hop.node);
                }
            }
        }
    }
}
