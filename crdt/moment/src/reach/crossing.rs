//! What crosses the elements that are gone: which pairs break, and which find another way.

use super::{Arrival, Arrivals};
use crate::adjacency::Hop;
use crate::builder::as_index;
use crate::moment::Moment;
use crate::search::Marks;

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
    /// The agents that are gone themselves: all that they reach, they lose.
    gone_agents: Vec<u64>,
    is_touched: Marks,
    queue: Vec<u32>,
    next: Vec<u32>,
    queued: Marks,
    /// Words that the last question moved along links: what it cost.
    steps: usize,
}

impl Crossing {
    /// Finds what crosses `gone_nodes` and `gone_edges`; of a machine all names are gone or none. A pair none of
    /// whose shortest routes crosses keeps that route: all others are followed, and nothing else.
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
        for bit in gone_nodes.iter().filter_map(|node| moment.agents.binary_search(node).ok()) {
            self.gone_agents[bit / 64] |= 1 << (bit % 64);
        }
        for &node in gone_nodes {
            for Arrival { number: arrival, .. } in arrivals.of.of(node).iter().copied() {
                self.cross(arrivals, arrival, arrivals.bits(arrival).iter().copied());
            }
        }
        for &edge in gone_edges {
            let (from, to) = (moment.from[edge as usize], moment.to[edge as usize]);
            let (from, to) = (moment.first_name(from), moment.first_name(to));
            let is_path = moment.kind[edge as usize] == holm_model::EdgeKind::Path;
            if is_path && from != to && !moment.is_probe(edge) {
                for Arrival { number: arrival, .. } in arrivals.of.of(from).iter().copied() {
                    let distance = arrivals.distance[arrival as usize] + 1;
                    if let Some(next) = arrivals.at(to, distance) {
                        let both = arrivals.bits(arrival).iter().zip(arrivals.bits(next));
                        self.cross(arrivals, next, both.map(|(a, b)| a & b));
                    }
                }
            }
        }
        self.follow(moment, arrivals);
        self.regain(moment, arrivals, gone, is_gone);
        self.lose_all(moment, arrivals);
    }

    /// Machines with a pair whose shortest route crosses, by their first names, in the order in which they were
    /// found.
    pub(crate) fn nodes(&self) -> &[u32] {
        &self.nodes
    }

    /// How many words of bits the last question moved along links.
    pub(crate) const fn steps(&self) -> usize {
        self.steps
    }

    /// The agents with a shortest route to `node` that crosses: one word of their bits.
    pub(crate) fn touched(&self, node: u32, word: usize) -> u64 {
        self.touched[node as usize * self.words + word]
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
        self.steps = 0;
        self.ahead.iter_mut().for_each(Vec::clear);
        self.gone_agents.clear();
        self.gone_agents.resize(self.words, 0);
        self.is_touched.clear(nodes);
        let rings = arrivals.distance.last().map_or(0, |&d| d as usize + 1);
        self.crossing.resize(arrivals.bits.len(), 0);
        self.touched.resize(arrivals.seen.len(), 0);
        self.regained.resize(arrivals.seen.len(), 0);
        self.ahead.resize_with(self.ahead.len().max(rings), Vec::new);
    }

    /// Notes that `bits` of an arrival cross; those of agents that are gone need not be followed.
    fn cross(&mut self, arrivals: &Arrivals, arrival: u32, bits: impl Iterator<Item = u64>) {
        let from = arrival as usize * self.words;
        let (mut before, mut new) = (0, 0);
        for ((i, bits), gone) in (from..).zip(bits).zip(&self.gone_agents) {
            let bits = bits & !gone;
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
                self.steps += moment.path.out.of(node).len() * self.words;
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

    /// Adds what agents that are gone reached.
    fn lose_all(&mut self, moment: &Moment, arrivals: &Arrivals) {
        for (word, &gone) in self.gone_agents.iter().enumerate().filter(|(_, gone)| **gone != 0) {
            for node in 0..as_index(moment.nodes.len()) {
                let at = node as usize * self.words + word;
                let lost = arrivals.seen[at] & gone;
                if lost != 0 {
                    self.touched[at] |= lost;
                    if self.is_touched.add(node) {
                        self.nodes.push(node);
                    }
                }
            }
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
            self.steps += moment.path.into.of(node).len() * w;
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
                self.steps += moment.path.out.of(node).len() * w;
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
