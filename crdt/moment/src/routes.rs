//! Ways between two nodes.

mod shortest;

use std::collections::{BTreeMap, BTreeSet};

use holm_model::{EdgeKind, Millis, NodeId, NodeKind};

use crate::moment::{Moment, NO_NODE};
use crate::named::Named;
use crate::search::Scratch;
use shortest::plus;
pub(crate) use shortest::{Cost, Effort};

/// Most routes of one answer.
const MAX_ROUTES: usize = 64;
/// Most steps of a route at which others may branch off: a packet lives for as many hops.
const MAX_SPURS: usize = 255;

/// What makes a route short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metric {
    /// The number of edges.
    #[default]
    Hops,
    /// Fewest edges without a measured latency, then the least sum of those measured, then fewest
    /// edges: what was not measured is never taken for fast.
    Latency,
}

/// Which routes are asked for.
#[derive(Debug, Clone)]
pub struct RouteQuery {
    /// Where they start.
    pub from: u32,
    /// Where they end.
    pub to: u32,
    /// What makes a route short.
    pub metric: Metric,
    /// Only as edges point; else both ways.
    pub directed: bool,
    /// Only along these kinds of edges; `None` for all.
    pub edge_kinds: Option<Vec<EdgeKind>>,
    /// Only through nodes of this kind; the ends may be of any. `None` for all.
    pub only_through: Option<NodeKind>,
    /// How many, shortest first: 1 to 64.
    pub count: usize,
}

/// A route without a loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its nodes, both ends included.
    pub nodes: Vec<NodeId>,
    /// The numbers of its nodes.
    pub numbers: Vec<u32>,
    /// Sum of the measured latencies, in microseconds.
    pub latency_us: u64,
    /// Edges whose latency nobody measured.
    pub unmeasured: u32,
    /// Whether packets of one flow took it whole; else it is put together from links.
    pub observed: bool,
    /// Until when they did, if they do not now.
    pub last_taken: Option<Millis>,
}

impl Route {
    /// Of equal routes the least comes first: taken now, taken before, put together.
    pub(crate) fn rank(&self) -> u8 {
        rank(self.observed.then_some(self.last_taken))
    }
}

fn rank(known: Option<Option<Millis>>) -> u8 {
    match known {
        Some(None) => 0,
        Some(Some(_)) => 1,
        None => 2,
    }
}

/// A way that packets of one flow took.
struct Known {
    /// By the names under which they did.
    names: Vec<u32>,
    last_taken: Option<Millis>,
}

/// By the first names of machines.
type KnownWays = BTreeMap<Vec<u32>, Known>;

/// The shortest routes, as far as they were looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// Shortest first.
    pub found: Vec<Route>,
    /// Whether there are no more, or as many as were asked for. Otherwise the search was broken off after
    /// it had looked at 20,000,000 edges, or a route is longer than 255 steps: these are the shortest, and
    /// there may be more.
    pub complete: bool,
}

/// A path that packets of one flow took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedPath {
    /// The agent.
    pub agent: Named,
    /// The target.
    pub target: Named,
    /// Which flow.
    pub flow: String,
    /// Agent, hops, target; `None` is a hop that did not answer.
    pub route: Vec<Option<Named>>,
}

/// With or without what is marked as gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// All is there; a way across what is marked comes before one that avoids it.
    Before,
    /// What is marked is not there.
    After,
}

impl Moment {
    /// The shortest routes without loops, shortest first (Yen 1971); of equal ones those first that packets
    /// take, then those that they took, and always the same.
    /// Fewer than asked for if there are no more, or if it takes too long to find them. Others branch off
    /// within the first 255 steps of a route: no packet takes more.
    pub fn routes(&self, query: &RouteQuery, scratch: &mut Scratch) -> Routes {
        self.routes_within(&mut Effort::of_one_answer(), query, scratch)
    }

    /// The same with what is left of an effort. The first route is always found.
    pub(crate) fn routes_within(
        &self,
        effort: &mut Effort,
        query: &RouteQuery,
        scratch: &mut Scratch,
    ) -> Routes {
        let count = query.count.clamp(1, MAX_ROUTES);
        scratch.clear_gone(self);
        let none = || Routes { found: Vec::new(), complete: true };
        // Machines are looked for by the first of their names, and named as they were entered.
        let ends = (query.from, query.to);
        let [from, to] = [query.from, query.to].map(|end| self.first_name(end));
        let query = &RouteQuery { from, to, ..query.clone() };
        let Some(ahead) = self.ahead(query, effort, scratch) else { return none() };
        let mut unbounded = Effort { edges_left: u64::MAX };
        let first = self.shortest(query, query.from, &[], &ahead, &mut unbounded, scratch);
        let Some(first) = first else { return none() };
        let known = self.known_ways(ends, (from, to));
        let ranked = |cost: Cost, nodes: Vec<u32>| {
            (cost, rank(known.get(&nodes).map(|known| known.last_taken)), nodes)
        };
        let mut complete = true;
        let mut waiting: BTreeSet<(Cost, u8, Vec<u32>)> = BTreeSet::new();
        waiting.insert(ranked(first.0, first.1));
        for nodes in known.keys() {
            let leads = |w: &[u32]| self.best_edge(query, query.metric, w[0], w[1]).is_some();
            if nodes.windows(2).all(leads) {
                waiting.insert(ranked(self.cost(query, nodes), nodes.clone()));
            }
        }
        let mut routes: Vec<(Cost, u8, Vec<u32>)> = waiting.pop_first().into_iter().collect();
        'next: while routes.len() < count {
            let last = routes[routes.len() - 1].2.clone();
            complete &= last.len() - 1 <= MAX_SPURS;
            for spur in 0..(last.len() - 1).min(MAX_SPURS) {
                let root = &last[..=spur];
                scratch.clear_gone(self);
                root[..spur].iter().for_each(|&node| {
                    scratch.gone_nodes.add(node);
                });
                let taken: Vec<u32> = routes
                    .iter()
                    .filter(|(.., nodes)| nodes.len() > spur + 1 && nodes[..=spur] == *root)
                    .map(|(.., nodes)| nodes[spur + 1])
                    .collect();
                let found = self.shortest(query, last[spur], &taken, &ahead, effort, scratch);
                if effort.is_spent() {
                    complete = false;
                    break 'next;
                }
                let Some((_, rest)) = found else { continue };
                let whole: Vec<u32> = root[..spur].iter().copied().chain(rest).collect();
                waiting.insert(ranked(self.cost(query, &whole), whole));
            }
            let Some(next) = waiting.pop_first() else { break };
            if !routes.contains(&next) {
                routes.push(next);
            }
        }
        let found = routes.iter().map(|(.., nodes)| self.route(query, nodes, ends, &known));
        let found: Vec<_> = found.collect();
        Routes { complete: complete || found.len() >= count, found }
    }

    /// What packets took, or took before, from one machine to another; without loops, and over hops all of
    /// which answered.
    fn known_ways(&self, ends: (u32, u32), (from, to): (u32, u32)) -> KnownWays {
        let starts = match self.addresses.one_with(ends.0) {
            [] => std::slice::from_ref(&ends.0),
            mates => mates,
        };
        let mut known = KnownWays::new();
        let mut firsts: Vec<u32> = Vec::new();
        let mut take = |route: &[u32], last_taken: Option<Millis>| {
            firsts.clear();
            firsts.extend(route.iter().map(|&hop| match hop {
                NO_NODE => NO_NODE,
                hop => self.first_name(hop),
            }));
            let mut start = None;
            for (place, &hop) in firsts.iter().enumerate() {
                if hop == from {
                    start = Some(place);
                }
                let Some(start) = start.filter(|start| hop == to && (*start < place || from == to))
                else {
                    continue;
                };
                let part = &firsts[start..=place];
                let alone = |(i, hop): (usize, &u32)| !part[..i].contains(hop);
                if part.contains(&NO_NODE) || !part.iter().enumerate().all(alone) {
                    continue;
                }
                // Of those before the one that was taken last; what is taken now comes first.
                let names = || route[start..=place].to_vec();
                match known.get_mut(part) {
                    Some(Known { last_taken: None, .. }) => {}
                    Some(before) if last_taken <= before.last_taken => {}
                    Some(before) => *before = Known { names: names(), last_taken },
                    None => {
                        known.insert(part.to_vec(), Known { names: names(), last_taken });
                    }
                }
            }
        };
        for &start in starts {
            for &path in self.paths.through.of(start) {
                take(self.paths.route(path), None);
            }
        }
        for &start in starts {
            for way in self.taken.through(start) {
                take(&way.route, Some(way.until));
            }
        }
        known
    }

    /// Every observed flow path on which `from` comes before `to`.
    pub fn observed_paths(&self, from: u32, to: u32) -> Vec<ObservedPath> {
        let seen = self.observed_of(from, to);
        seen.into_iter().map(|path| self.observed_path(path)).collect()
    }

    pub(crate) fn observed_of(&self, from: u32, to: u32) -> Vec<u32> {
        let paths = self.paths.through.of(from).iter().copied();
        let mut seen: Vec<u32> = paths
            .filter(|&path| {
                let route = self.paths.route(path);
                let at = |node| route.iter().position(|&hop| hop == node);
                at(from).zip(at(to)).is_some_and(|(from, to)| from < to)
            })
            .collect();
        seen.dedup();
        seen
    }

    pub(crate) fn observed_path(&self, path: u32) -> ObservedPath {
        let (agent, target) = self.paths.pair(path);
        let named = |&hop: &u32| (hop != NO_NODE).then(|| self.named(hop));
        ObservedPath {
            agent: self.named(agent),
            target: self.named(target),
            flow: self.paths.flow[path as usize].to_string(),
            route: self.paths.route(path).iter().map(named).collect(),
        }
    }

    /// How wide the load balancing is that was seen: the most machines that lie side by side, as many hops from
    /// the one end, on the shortest ways along path edges as they point, and over hops that did not answer. 1 where
    /// there is but one; 0 where there is neither a route along path edges nor an observed path: what only flows of
    /// other pairs together would lead over silent hops is none.
    pub fn ecmp_width(&self, from: u32, to: u32) -> usize {
        let ends = [from, to].map(|end| self.first_name(end));
        let ahead = self.hops_along_paths(ends[0], true, true);
        let length = ahead[ends[1] as usize];
        if length == u32::MAX || from == to || !self.is_known_way(from, to) {
            return 0;
        }
        let behind = self.hops_along_paths(ends[1], false, true);
        let mut side_by_side = vec![0; length as usize + 1];
        for (&before, &after) in ahead.iter().zip(&behind) {
            if before != u32::MAX && after != u32::MAX && before + after == length {
                side_by_side[before as usize] += 1;
            }
        }
        side_by_side.into_iter().max().unwrap_or(0)
    }

    /// Whether path edges lead from one node to another, or packets were seen to go there.
    fn is_known_way(&self, from: u32, to: u32) -> bool {
        let [start, end] = [from, to].map(|end| self.first_name(end));
        self.gaps.out.len() == 0
            || self.hops_along_paths(start, true, false)[end as usize] != u32::MAX
            || self.observed_between(from, to, 0).1 > 0
    }

    fn route(
        &self,
        query: &RouteQuery,
        nodes: &[u32],
        ends: (u32, u32),
        known: &KnownWays,
    ) -> Route {
        let mut whole = [0; 3];
        let mut numbers = self.as_entered(nodes, ends, |from, to| {
            let (cost, edge) = self.best_edge(query, Metric::Latency, from, to)?;
            whole = plus(whole, cost);
            Some(edge)
        });
        let [unmeasured, latency_us, _] = whole;
        // As packets of one flow went, by the names under which they did.
        let known = known.get(nodes);
        if let Some(known) = known.filter(|_| nodes.len() > 2) {
            let inner = 1..nodes.len() - 1;
            numbers[inner.clone()].copy_from_slice(&known.names[inner]);
        }
        Route {
            nodes: self.ids_of(&numbers),
            numbers,
            latency_us,
            unmeasured: u32::try_from(unmeasured).unwrap_or(u32::MAX),
            observed: known.is_some(),
            last_taken: known.and_then(|known| known.last_taken),
        }
    }

    /// Shortest ways along path edges between `root` and each of `wanted`, over machines: from it if `forward`, else
    /// to it. `found` gets the other end and the way in the direction of the edges.
    pub(crate) fn search_ways(
        &self,
        root: u32,
        wanted: &[u32],
        forward: bool,
        side: Side,
        scratch: &mut Scratch,
        mut found: impl FnMut(u32, Vec<u32>),
    ) {
        let rows = if forward { &self.path.out } else { &self.path.into };
        let Scratch { seen, lost, across, gone_nodes, gone_edges, parent, depth, queue, .. } =
            scratch;
        let count = self.nodes.len();
        [&mut *seen, &mut *lost, &mut *across].into_iter().for_each(|marks| marks.clear(count));
        parent.resize(count, 0);
        depth.resize(count, 0);
        let start = self.first_name(root);
        let mut missing = wanted.iter().filter(|&&node| lost.add(self.first_name(node))).count();
        missing -= usize::from(lost.has(start));
        let mut enough = if missing == 0 { 0 } else { u32::MAX };
        seen.add(start);
        depth[start as usize] = 0;
        if gone_nodes.has(start) {
            across.add(start);
        }
        queue.clear();
        queue.push(start);
        let mut at = 0;
        while let Some(&node) = queue.get(at) {
            at += 1;
            let next = depth[node as usize] + 1;
            if next > enough {
                break;
            }
            for hop in rows.of(node) {
                let gone = gone_nodes.has(hop.node) || gone_edges.has(hop.edge);
                if gone && side == Side::After {
                    continue;
                }
                let crosses = gone || across.has(node);
                if seen.add(hop.node) {
                    depth[hop.node as usize] = next;
                    parent[hop.node as usize] = node;
                    queue.push(hop.node);
                    missing -= usize::from(lost.has(hop.node));
                    if missing == 0 {
                        enough = next;
                    }
                } else if !(crosses && depth[hop.node as usize] == next && !across.has(hop.node)) {
                    continue;
                }
                if crosses {
                    across.add(hop.node);
                }
                parent[hop.node as usize] = node;
            }
        }
        // What fails is named as it is; else the edge is that of a route.
        let edge_between = |from: u32, to: u32| {
            if self.addresses.one_with(to).is_empty() {
                return None;
            }
            let between = self.path.out.of(from).iter().filter(|hop| hop.node == to);
            let open = between.map(|hop| hop.edge);
            let open = open.filter(|&edge| side == Side::Before || !gone_edges.has(edge));
            let cost = |edge| self.step_cost(Metric::Latency, edge);
            open.min_by_key(|&edge| (!gone_edges.has(edge), cost(edge), edge))
        };
        for &end in wanted.iter().filter(|&&end| seen.has(self.first_name(end))) {
            let mut way = vec![self.first_name(end)];
            while way[way.len() - 1] != start {
                way.push(parent[way[way.len() - 1] as usize]);
            }
            let mut ends = (end, root);
            if forward {
                way.reverse();
                ends = (root, end);
            }
            if !self.addresses.machines().is_empty() {
                way = self.as_entered(&way, ends, edge_between);
            }
            found(end, way);
        }
    }

    /// Names each machine on a way by the name under which the edge to it enters it, as a trace would, and both ends
    /// as they were asked for.
    fn as_entered(
        &self,
        machines: &[u32],
        ends: (u32, u32),
        mut edge_between: impl FnMut(u32, u32) -> Option<u32>,
    ) -> Vec<u32> {
        let mut names = vec![ends.0];
        for step in machines.windows(2) {
            let entered = edge_between(step[0], step[1]).and_then(|edge| {
                let heads = [self.to[edge as usize], self.from[edge as usize]];
                heads.into_iter().find(|&head| self.first_name(head) == step[1])
            });
            names.push(entered.unwrap_or(step[1]));
        }
        // Also where both are names of one machine.
        match (names.len(), ends.0 == ends.1) {
            (1, false) => names.push(ends.1),
            (_, _) => names.last_mut().into_iter().for_each(|last| *last = ends.1),
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MomentBuilder;

    #[test]
    fn a_search_that_takes_too_long_is_broken_off_after_the_shortest() {
        let mut builder = MomentBuilder::new();
        let mut node = |name: String| builder.node(name.parse().expect("valid"));
        let ends = [node("agent:a".into()), node("host:b".into())];
        let hops: Vec<u32> = (0..20).map(|i| node(format!("hop:h{i}"))).collect();
        for &hop in &hops {
            builder.edge(ends[0], EdgeKind::Path, hop, None);
            builder.edge(hop, EdgeKind::Path, ends[1], None);
        }
        let moment = builder.build();
        let find = |name: &str| moment.find(&name.parse().expect("valid")).expect("there");
        let query = RouteQuery {
            from: find("agent:a"),
            to: find("host:b"),
            metric: Metric::Hops,
            directed: true,
            edge_kinds: None,
            only_through: None,
            count: 10,
        };
        let mut scratch = Scratch::default();
        let whole = moment.routes(&query, &mut scratch);
        assert!(whole.complete && whole.found.len() == 10);
        for edges_left in [0, 1, 30, 100] {
            let effort = &mut Effort { edges_left };
            let some = moment.routes_within(effort, &query, &mut scratch);
            assert!(!some.complete && !some.found.is_empty() && some.found.len() < 10);
            assert_eq!(some.found, whole.found[..some.found.len()]);
        }
    }
}
