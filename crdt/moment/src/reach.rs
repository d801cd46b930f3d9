//! Which agents reach which nodes along paths: all agents at once, one bit each.
//!
//! Breadth-first from many sources at the same time: a node carries one bit an agent, so that a
//! step along an edge moves 64 searches (Then et al., "The More the Merrier", VLDB 2014). Bits come in
//! order of distance; that order is kept ([`Arrivals`]) and answers every what-if of the moment:
//! [`Crossing`] follows only the bits whose shortest routes cross what is gone.
//!
//! A machine of several names is one node here, by the first of them ([`Moment::first_name`]).

mod crossing;

pub(crate) use crossing::Crossing;

use crate::adjacency::Rows;
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
            let root = moment.first_name(agent) as usize;
            next[root * words + bit / 64] |= 1 << (bit % 64);
        }
        ring.extend(moment.roots());
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
