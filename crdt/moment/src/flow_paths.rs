//! The ways that packets of single flows took, and what may have been where nobody answered.

use std::ops::Range;

use hashbrown::{HashMap, HashSet};

use crate::adjacency::Rows;
use crate::builder::as_index;
use crate::moment::NO_NODE;

/// One path: agent, target, flow, and the whole route with both; [`NO_NODE`] is a hop that did not answer.
pub(crate) type FlowPath = (u32, u32, Box<str>, Vec<u32>);

/// Paths that packets really took, in order of agent, target and flow.
#[derive(Debug, Default)]
pub(crate) struct FlowPaths {
    pub(crate) agent: Vec<u32>,
    pub(crate) target: Vec<u32>,
    pub(crate) flow: Vec<Box<str>>,
    start: Vec<u32>,
    hops: Vec<u32>,
    /// By path: the number of its pair of agent and target.
    pair_of: Vec<u32>,
    /// By pair: its first path; then the end of all.
    pair_start: Vec<u32>,
    /// By pair with silent hops, and by hop: who answered there, in order.
    answered: HashMap<u32, Vec<Vec<u32>>>,
    /// The paths through each node.
    pub(crate) through: Rows<u32>,
}

impl FlowPaths {
    /// `all` in any order, over nodes below `nodes`; the same twice is one.
    pub(crate) fn of(nodes: usize, mut all: Vec<FlowPath>) -> Self {
        all.sort_unstable();
        all.dedup();
        let mut start = vec![0];
        let mut hops = Vec::new();
        for (_, _, _, route) in &all {
            hops.extend_from_slice(route);
            start.push(as_index(hops.len()));
        }
        let through = (0..)
            .zip(&all)
            .flat_map(|(i, path)| path.3.iter().map(move |&hop| (hop, i)))
            .filter(|(hop, _)| *hop != NO_NODE);
        let through = Rows::group(nodes, through);
        let mut pair_of = Vec::with_capacity(all.len());
        let mut pair_start = vec![0];
        let mut answered = HashMap::new();
        for (pair, paths) in (0..).zip(all.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1))) {
            pair_of.extend(std::iter::repeat_n(pair, paths.len()));
            pair_start.push(as_index(pair_of.len()));
            if paths.iter().any(|path| path.3.contains(&NO_NODE)) {
                answered.insert(pair, who_answered(paths));
            }
        }
        Self {
            through,
            agent: all.iter().map(|p| p.0).collect(),
            target: all.iter().map(|p| p.1).collect(),
            flow: all.into_iter().map(|p| p.2).collect(),
            start,
            hops,
            pair_of,
            pair_start,
            answered,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.agent.len()
    }

    /// The whole route: agent, hops, target.
    pub(crate) fn route(&self, path: u32) -> &[u32] {
        let (from, to) = (self.start[path as usize], self.start[path as usize + 1]);
        &self.hops[from as usize..to as usize]
    }

    /// The nodes that may have been a hop of a path, in order: the one that answered, or where none did, those that
    /// answered there to other flows of the same pair; none if nobody ever answered there.
    pub(crate) fn at_hop(&self, path: u32, hop: usize) -> &[u32] {
        let own = &self.route(path)[hop..=hop];
        match own {
            [NO_NODE] => {
                let answered = self.answered.get(&self.pair_of[path as usize]);
                answered.and_then(|hops| hops.get(hop)).map_or(&[], Vec::as_slice)
            }
            own => own,
        }
    }

    /// Whether a path goes over a node, or may: see [`Self::at_hop`].
    pub(crate) fn may_cross(&self, path: u32, node: u32) -> bool {
        let route = self.route(path);
        let mut silent = (0..route.len()).filter(|&hop| route[hop] == NO_NODE);
        route.contains(&node)
            || silent.any(|hop| self.at_hop(path, hop).binary_search(&node).is_ok())
    }

    /// The same of any node for which `is_it` holds.
    pub(crate) fn may_cross_any(&self, path: u32, is_it: impl Fn(u32) -> bool) -> bool {
        let hops = 0..self.route(path).len();
        hops.flat_map(|hop| self.at_hop(path, hop)).any(|&node| is_it(node))
    }

    /// Between which nodes packets went over hops at which nobody ever answered, or may have gone over one of
    /// several, and how many hops it is from the one to the other at least; in order. `is_link` tells what is a
    /// link anyway.
    pub(crate) fn gaps(&self, is_link: impl Fn(u32, u32) -> bool) -> Vec<(u32, u32, u32)> {
        let mut gaps = Vec::new();
        // Flows of one pair mostly leave the same gaps.
        let mut done = HashSet::new();
        for &pair in self.answered.keys() {
            done.clear();
            for path in self.paths_of(pair) {
                let route = self.route(path);
                let mut heard = (0..route.len()).filter(|&hop| !self.at_hop(path, hop).is_empty());
                let Some(mut last) = heard.next() else { continue };
                for hop in heard {
                    let is_next = hop == last + 1;
                    let is_told = is_next && route[last] != NO_NODE && route[hop] != NO_NODE;
                    if !is_told && done.insert((last, route[last], hop, route[hop])) {
                        let (before, here) = (self.at_hop(path, last), self.at_hop(path, hop));
                        let pairs = pairs(before, here);
                        let open = pairs.filter(|&(a, b)| a != b && !(is_next && is_link(a, b)));
                        gaps.extend(open.map(|(a, b)| (a, b, as_index(hop - last))));
                    }
                    last = hop;
                }
            }
        }
        gaps.sort_unstable();
        gaps.dedup_by_key(|(a, b, _)| (*a, *b));
        gaps
    }

    /// Agent and target.
    pub(crate) fn pair(&self, path: u32) -> (u32, u32) {
        (self.agent[path as usize], self.target[path as usize])
    }

    /// The paths of the same pair, `path` among them.
    pub(crate) fn siblings(&self, path: u32) -> Range<u32> {
        self.paths_of(self.pair_of[path as usize])
    }

    fn paths_of(&self, pair: u32) -> Range<u32> {
        self.pair_start[pair as usize]..self.pair_start[pair as usize + 1]
    }
}

/// Most nodes on one side of a gap each of which leads to each on the other.
const MOST_SIDE_BY_SIDE: usize = 64;

/// Everyone of `before` with everyone of `here`. Of very many each leads to the first of the other side only: as
/// long as one of those is left, all hang together as they would.
fn pairs<'a>(before: &'a [u32], here: &'a [u32]) -> impl Iterator<Item = (u32, u32)> + 'a {
    let some = |side: &'a [u32]| &side[..side.len().min(MOST_SIDE_BY_SIDE)];
    let forward = before.iter().flat_map(move |&a| some(here).iter().map(move |&b| (a, b)));
    let rest = &here[some(here).len()..];
    forward.chain(rest.iter().flat_map(move |&b| some(before).iter().map(move |&a| (a, b))))
}

/// By hop: who answered there to any of these flows. The target at the end is no hop.
fn who_answered(paths: &[FlowPath]) -> Vec<Vec<u32>> {
    let mut by_hop: Vec<Vec<u32>> = Vec::new();
    for (_, _, _, route) in paths {
        let inner = route.split_last().map_or(&[][..], |(_, inner)| inner);
        if by_hop.len() < inner.len() {
            by_hop.resize_with(inner.len(), Vec::new);
        }
        for (nodes, &hop) in by_hop.iter_mut().zip(inner) {
            if hop != NO_NODE {
                nodes.push(hop);
            }
        }
    }
    for nodes in &mut by_hop {
        nodes.sort_unstable();
        nodes.dedup();
    }
    by_hop
}
