//! Breadth-first searches over one moment, with room that is used again and again.

use std::collections::BTreeMap;

use holm_model::{EdgeKind, NodeKind};

use crate::adjacency::Hop;
use crate::builder::as_index;
use crate::moment::Moment;
use crate::reach::Crossing;
use crate::routes::Cost;

/// Room for searches: keep one and hand it to each question, and no search allocates.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) seen: Marks,
    pub(crate) lost: Marks,
    pub(crate) gone_nodes: Marks,
    pub(crate) gone_edges: Marks,
    /// What is marked as gone, as lists.
    pub(crate) gone_node_list: Vec<u32>,
    pub(crate) gone_edge_list: Vec<u32>,
    /// Observed paths that cross what fails, where something else is drained.
    pub(crate) failed_paths: Marks,
    pub(crate) parent: Vec<u32>,
    pub(crate) depth: Vec<u32>,
    pub(crate) cost: Vec<Cost>,
    pub(crate) queue: Vec<u32>,
    pub(crate) crossing: Crossing,
    /// By the first name of a machine: the agents that do not get there with what fails alone, where something else is
    /// drained.
    pub(crate) broken_by_failure: BTreeMap<u32, Vec<u64>>,
    /// Nodes on a way of a search that crosses what is gone.
    pub(crate) across: Marks,
}

/// A set of numbers that is emptied in constant time.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    round: u32,
    marked: Vec<u32>,
}

impl Marks {
    /// Empties the set and makes room for `0..len`.
    pub(crate) fn clear(&mut self, len: usize) {
        if self.round == u32::MAX || self.marked.len() < len {
            self.marked.clear();
            self.marked.resize(len, 0);
            self.round = 0;
        }
        self.round += 1;
    }

    pub(crate) fn has(&self, i: u32) -> bool {
        self.marked.get(i as usize) == Some(&self.round)
    }

    /// Whether it was not there before.
    pub(crate) fn add(&mut self, i: u32) -> bool {
        let mark = &mut self.marked[i as usize];
        let new = *mark != self.round;
        *mark = self.round;
        new
    }
}

/// Which way a search goes along edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Toward {
    /// As they point.
    Out,
    /// Against it.
    Into,
    /// Both ways.
    #[default]
    Both,
}

/// A neighbourhood to ask for.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// How many edges away at most.
    pub depth: u32,
    /// Which way.
    pub toward: Toward,
    /// Only along these kinds of edges; `None` for all.
    pub edge_kinds: Option<Vec<EdgeKind>>,
    /// Only through and to these kinds of nodes; `None` for all.
    pub node_kinds: Option<Vec<NodeKind>>,
}

impl Moment {
    /// The nodes around `centre` with their distance, nearest first, in order of id at one distance; those of a
    /// machine of several names around any of them. `centre` itself is not among them, nor are its other names.
    pub fn neighbourhood(
        &self,
        centre: u32,
        around: &Around,
        scratch: &mut Scratch,
    ) -> Vec<(u32, u32)> {
        let edge_ok = |hop: &Hop| {
            let kind = self.kind[hop.edge as usize];
            around.edge_kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
        };
        let node_ok = |node: u32| {
            let is_any = |kinds: &Vec<NodeKind>| kinds.iter().any(|&kind| self.is_any(node, kind));
            around.node_kinds.as_ref().is_none_or(is_any)
        };
        scratch.seen.clear(self.nodes.len());
        scratch.seen.add(centre);
        // A machine is there by all of its names at once.
        let others = |node: u32| self.addresses.one_with(node).iter().copied();
        let mut found: Vec<(u32, u32)> = vec![(centre, 0)];
        found.extend(others(centre).filter(|&name| scratch.seen.add(name)).map(|name| (name, 0)));
        let own = found.len();
        let mut at = 0;
        while let Some(&(node, distance)) = found.get(at) {
            at += 1;
            if distance == around.depth {
                break;
            }
            let mut take = |hops: &[Hop]| {
                for hop in hops.iter().filter(|hop| edge_ok(hop)) {
                    if !node_ok(hop.node) || !scratch.seen.add(hop.node) {
                        continue;
                    }
                    found.push((hop.node, distance + 1));
                    let names = others(hop.node).filter(|&name| node_ok(name));
                    let new = names.filter(|&name| scratch.seen.add(name));
                    found.extend(new.map(|name| (name, distance + 1)));
                }
            };
            if around.toward != Toward::Into {
                take(self.all.out.of(node));
                take(self.probes.out.of(node));
            }
            if around.toward != Toward::Out {
                take(self.all.into.of(node));
                take(self.probes.into.of(node));
            }
        }
        found.drain(..own);
        found.sort_unstable_by_key(|&(node, distance)| (distance, node));
        found
    }

    /// Connected components over all edges whatever their direction, and over what is known to be in
    /// one place: the number of each node's, in
    /// order of their least node; and how many there are.
    pub fn components(&self) -> (Vec<u32>, usize) {
        let mut component = vec![u32::MAX; self.nodes.len()];
        let mut queue = Vec::new();
        let mut count = 0;
        for root in 0..as_index(self.nodes.len()) {
            if component[root as usize] != u32::MAX {
                continue;
            }
            component[root as usize] = count;
            queue.push(root);
            while let Some(node) = queue.pop() {
                for hop in self.beside(node) {
                    let mark = &mut component[hop.node as usize];
                    if *mark == u32::MAX {
                        *mark = count;
                        queue.push(hop.node);
                    }
                }
            }
            count += 1;
        }
        (component, count as usize)
    }

    /// Everything that hangs on `node`: no agent gets there by any edges, whatever their direction,
    /// once `node` is gone with all that fails with it ([`Self::select`]). Without an agent: all that is cut off from the largest part that
    /// remains. In order of id; what fails is not among it.
    pub fn hangs_on(&self, node: u32, scratch: &mut Scratch) -> Vec<u32> {
        scratch.clear_gone(self);
        for node in self.whole(node).nodes {
            scratch.gone_nodes.add(node);
        }
        self.disconnected(scratch)
    }

    /// The nodes that were at home before and are cut off once what is marked as gone is gone, in
    /// order.
    pub(crate) fn disconnected(&self, scratch: &mut Scratch) -> Vec<u32> {
        if self.agents.is_empty() {
            self.keep_the_largest_piece(scratch);
        } else {
            let Scratch { seen, gone_nodes, gone_edges, queue, .. } = scratch;
            seen.clear(self.nodes.len());
            let roots = self.agents.iter().copied().filter(|&agent| !gone_nodes.has(agent));
            let open = |hop: &Hop| !gone_nodes.has(hop.node) && !gone_edges.has(hop.edge);
            flood(self, roots, seen, queue, open);
        }
        let cut = |&node: &u32| {
            self.home[node as usize] && !scratch.gone_nodes.has(node) && !scratch.seen.has(node)
        };
        (0..as_index(self.nodes.len())).filter(cut).collect()
    }

    /// Marks as seen the largest piece of home that remains; of two as large that with the least
    /// node.
    fn keep_the_largest_piece(&self, scratch: &mut Scratch) {
        let Scratch { seen, lost, gone_nodes, gone_edges, queue, .. } = scratch;
        let open = |hop: &Hop| !gone_nodes.has(hop.node) && !gone_edges.has(hop.edge);
        let mut largest = None;
        lost.clear(self.nodes.len());
        for node in (0..as_index(self.nodes.len())).filter(|&node| self.home[node as usize]) {
            if !gone_nodes.has(node) && !lost.has(node) {
                let size = flood(self, [node].into_iter(), lost, queue, open);
                if largest.is_none_or(|(most, _)| size > most) {
                    largest = Some((size, node));
                }
            }
        }
        seen.clear(self.nodes.len());
        if let Some((_, root)) = largest {
            flood(self, [root].into_iter(), seen, queue, open);
        }
    }

    /// Where things are when nothing has failed: reached by an agent by any edges, or, where there
    /// is no agent, in the largest component.
    pub(crate) fn find_home(&self) -> Vec<bool> {
        let mut scratch = Scratch::default();
        scratch.clear_gone(self);
        let Scratch { seen, queue, .. } = &mut scratch;
        seen.clear(self.nodes.len());
        if self.agents.is_empty() {
            let (component, count) = self.components();
            let mut sizes = vec![0_usize; count];
            component.iter().for_each(|&c| sizes[c as usize] += 1);
            let largest = (0..count).rev().max_by_key(|&c| sizes[c]);
            return component.iter().map(|&c| Some(c as usize) == largest).collect();
        }
        flood(self, self.agents.iter().copied(), seen, queue, |_| true);
        (0..as_index(self.nodes.len())).map(|node| seen.has(node)).collect()
    }
}

impl Scratch {
    /// Nothing is gone.
    pub(crate) fn clear_gone(&mut self, moment: &Moment) {
        self.gone_nodes.clear(moment.nodes.len());
        self.gone_edges.clear(moment.from.len());
        self.gone_node_list.clear();
        self.gone_edge_list.clear();
    }
}

/// Marks all that `roots` reach along hops that `open` lets through; how many were new.
pub(crate) fn flood(
    moment: &Moment,
    roots: impl Iterator<Item = u32>,
    seen: &mut Marks,
    queue: &mut Vec<u32>,
    open: impl Fn(&Hop) -> bool,
) -> usize {
    queue.clear();
    queue.extend(roots.filter(|&root| seen.add(root)));
    let mut count = queue.len();
    while let Some(node) = queue.pop() {
        for hop in moment.beside(node) {
            if open(&hop) && seen.add(hop.node) {
                queue.push(hop.node);
                count += 1;
            }
        }
    }
    count
}
