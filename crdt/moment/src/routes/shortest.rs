//! The searches behind routes: hops by breadth, what is left to go, and the shortest way to it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Metric, RouteQuery};
use crate::adjacency::Hop;
use crate::moment::{Moment, NO_WEIGHT};
use crate::search::Scratch;

/// What a search may still look at.
#[derive(Debug)]
pub(crate) struct Effort {
    pub(super) edges_left: u64,
}

impl Effort {
    /// About a third of a second.
    pub(crate) const fn of_one_answer() -> Self {
        Self { edges_left: 20_000_000 }
    }

    /// That so many edges were looked at.
    pub(crate) fn spend(&mut self, edges: usize) {
        self.edges_left = self.edges_left.saturating_sub(edges as u64);
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.edges_left == 0
    }
}

/// Cost of a route so far, most important first.
pub(crate) type Cost = [u64; 3];
const FAR: Cost = [u64::MAX; 3];

/// What is left to go to the end, never more than it is: no way around anything is shorter.
pub(super) struct Ahead {
    cost: Vec<Cost>,
    /// Of what is farther from the end than the start.
    most: Cost,
}

impl Ahead {
    fn of(&self, node: u32) -> Cost {
        self.cost[node as usize].min(self.most)
    }
}

impl Moment {
    /// Hops from `start` along the edges of a query into `scratch.depth`, by the first names of machines; the
    /// greatest number where there is no way. A node through which no way leads is still reached.
    pub(crate) fn hops_from(&self, query: &RouteQuery, start: u32, scratch: &mut Scratch) {
        let Scratch { depth, queue, .. } = scratch;
        depth.clear();
        depth.resize(self.nodes.len(), u32::MAX);
        let start = self.first_name(start);
        depth[start as usize] = 0;
        queue.clear();
        queue.push(start);
        let mut at = 0;
        while let Some(&node) = queue.get(at) {
            at += 1;
            let through = query.only_through.is_none_or(|kind| self.kind_of(node) == kind);
            if node != start && !through {
                continue;
            }
            let back = self.links().into.of(node).iter().filter(|_| !query.directed);
            for hop in self.links().out.of(node).iter().chain(back) {
                let new = depth[hop.node as usize] == u32::MAX;
                if new && self.serves(query, hop, hop.node) {
                    depth[hop.node as usize] = depth[node as usize] + 1;
                    queue.push(hop.node);
                }
            }
        }
    }

    /// How many hops it is at least from `root` to each machine along path edges and gaps, or from each to it, all by
    /// their first names; the greatest number where there is no way.
    pub(super) fn hops_along_paths(&self, root: u32, forward: bool, over_gaps: bool) -> Vec<u32> {
        let [links, gaps] =
            [&self.path, &self.gaps].map(|layer| if forward { &layer.out } else { &layer.into });
        let mut hops = vec![u32::MAX; self.nodes.len()];
        hops[root as usize] = 0;
        let mut heap = BinaryHeap::from([Reverse((0, root))]);
        while let Some(Reverse((so_far, node))) = heap.pop() {
            if so_far > hops[node as usize] {
                continue;
            }
            let steps = links.of(node).iter().map(|hop| (hop.node, 1));
            let names = self.all_names(node).filter(|_| over_gaps);
            let jumps = names
                .flat_map(|name| gaps.of(name))
                .map(|hop| (self.first_name(hop.node), self.gap_hops[hop.edge as usize]));
            for (other, length) in steps.chain(jumps) {
                let there = so_far + length;
                if there < hops[other as usize] {
                    hops[other as usize] = there;
                    heap.push(Reverse((there, other)));
                }
            }
        }
        hops
    }

    /// Dijkstra against the edges from the query's end until its start is reached: what is left to
    /// go at least from each node. `None` if there is no way.
    pub(super) fn ahead(
        &self,
        query: &RouteQuery,
        effort: &mut Effort,
        scratch: &mut Scratch,
    ) -> Option<Ahead> {
        let mut cost = vec![FAR; self.nodes.len()];
        cost[query.to as usize] = [0; 3];
        let mut heap = BinaryHeap::from([Reverse(([0; 3], query.to))]);
        let settled = &mut scratch.seen;
        settled.clear(self.nodes.len());
        while let Some(Reverse((so_far, node))) = heap.pop() {
            if !settled.add(node) {
                continue;
            }
            if node == query.from {
                return Some(Ahead { cost, most: so_far });
            }
            let mut looked_at = 0;
            let mut step = |hop: &Hop| {
                looked_at += 1;
                let next = plus(so_far, self.step_cost(query.metric, hop.edge));
                if self.serves(query, hop, query.from) && next < cost[hop.node as usize] {
                    cost[hop.node as usize] = next;
                    heap.push(Reverse((next, hop.node)));
                }
            };
            self.links().into.of(node).iter().for_each(&mut step);
            if !query.directed {
                self.links().out.of(node).iter().for_each(&mut step);
            }
            effort.spend(looked_at);
        }
        None
    }

    /// The way from `start` to the query's end, around what is marked as gone, and not to `banned` in
    /// the first step. It looks first where the least is left to go (A*; Hart, Nilsson, Raphael 1968), and
    /// no further once the effort is spent.
    pub(super) fn shortest(
        &self,
        query: &RouteQuery,
        start: u32,
        banned: &[u32],
        ahead: &Ahead,
        effort: &mut Effort,
        scratch: &mut Scratch,
    ) -> Option<(Cost, Vec<u32>)> {
        let Scratch { gone_nodes, parent, seen, lost: done, cost, .. } = scratch;
        [&mut *seen, &mut *done].into_iter().for_each(|marks| marks.clear(self.nodes.len()));
        parent.resize(self.nodes.len(), 0);
        cost.resize(self.nodes.len(), FAR);
        seen.add(start);
        cost[start as usize] = [0; 3];
        let mut heap = BinaryHeap::from([Reverse((ahead.of(start), start))]);
        while let Some(Reverse((_, node))) = heap.pop() {
            if node == query.to {
                break;
            }
            if !done.add(node) {
                continue;
            }
            if effort.is_spent() {
                return None;
            }
            let so_far = cost[node as usize];
            let mut looked_at = 0;
            let mut step = |hop: &Hop| {
                looked_at += 1;
                let first = node == start && banned.contains(&hop.node);
                if first || gone_nodes.has(hop.node) || !self.serves(query, hop, query.to) {
                    return;
                }
                let next = plus(so_far, self.step_cost(query.metric, hop.edge));
                if seen.add(hop.node) || next < cost[hop.node as usize] {
                    cost[hop.node as usize] = next;
                    parent[hop.node as usize] = node;
                    heap.push(Reverse((plus(next, ahead.of(hop.node)), hop.node)));
                }
            };
            self.links().out.of(node).iter().for_each(&mut step);
            if !query.directed {
                self.links().into.of(node).iter().for_each(&mut step);
            }
            effort.spend(looked_at);
        }
        seen.has(query.to).then(|| {
            let mut nodes = vec![query.to];
            while nodes[nodes.len() - 1] != start {
                nodes.push(parent[nodes[nodes.len() - 1] as usize]);
            }
            nodes.reverse();
            (cost[query.to as usize], nodes)
        })
    }

    /// Whether a way may take a hop on its way to `end`.
    fn serves(&self, query: &RouteQuery, hop: &Hop, end: u32) -> bool {
        let kind = self.kind[hop.edge as usize];
        let fits = |kind| self.kind_of(hop.node) == kind;
        let through = hop.node == end || query.only_through.is_none_or(fits);
        through && query.edge_kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }

    pub(super) fn step_cost(&self, metric: Metric, edge: u32) -> Cost {
        match (metric, self.latency_us[edge as usize]) {
            (Metric::Hops, _) => [0, 0, 1],
            (Metric::Latency, NO_WEIGHT) => [1, 0, 1],
            (Metric::Latency, us) => [0, u64::from(us), 1],
        }
    }

    /// The cheapest of the edges between two neighbours of a route.
    pub(super) fn best_edge(
        &self,
        query: &RouteQuery,
        metric: Metric,
        from: u32,
        to: u32,
    ) -> Option<(Cost, u32)> {
        let out = self.links().out.of(from).iter();
        let into = self.links().into.of(from).iter().filter(|_| !query.directed);
        let between = out.chain(into).filter(|hop| hop.node == to && self.serves(query, hop, to));
        between.map(|hop| (self.step_cost(metric, hop.edge), hop.edge)).min()
    }

    pub(super) fn cost(&self, query: &RouteQuery, nodes: &[u32]) -> Cost {
        let steps =
            nodes.windows(2).filter_map(|w| self.best_edge(query, query.metric, w[0], w[1]));
        steps.fold([0; 3], |all, (cost, _)| plus(all, cost))
    }
}

pub(super) fn plus(a: Cost, b: Cost) -> Cost {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}
