//! Ways within one layer: what packets do and what services do are two graphs over the same nodes, and
//! a way that changes from the one to the other is none.

use holm_model::{EdgeKind, NodeKind, SiteId};

use crate::moment::{Moment, NO_NODE};
use crate::routes::{Effort, Metric, ObservedPath, Route, RouteQuery};
use crate::search::Scratch;

/// Most stand-ins that are tried for an end.
const MAX_STAND_INS: usize = 64;
/// Most pairs of them between which routes are looked for: those nearest to each other.
const MAX_PAIRS: usize = 64;

/// Where a way starts and ends.
type Ends = (u32, u32);

/// What a way is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteLayer {
    /// Where packets go: path, routing and device edges. What is no point of the network stands for where
    /// it is: a service for the hosts that it runs on, at the start also for the agents beside it; a
    /// site or an agent for the addresses of its nodes, these at the start for their agent.
    Network,
    /// Who calls whom: flow edges, and never through an address: what is called there and what calls from
    /// there need not be one.
    Calls,
}

impl RouteLayer {
    /// The layer that is meant if nobody says so: services call, and all else sends packets.
    pub fn between(from: NodeKind) -> Self {
        if from == NodeKind::Service { Self::Calls } else { Self::Network }
    }

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Network => Self::Calls,
            Self::Calls => Self::Network,
        }
    }

    fn edge_kinds(self) -> Vec<EdgeKind> {
        match self {
            Self::Network => vec![EdgeKind::Path, EdgeKind::Routing, EdgeKind::Device],
            Self::Calls => vec![EdgeKind::Flow],
        }
    }
}

/// A route, and whether its ends are those asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayeredRoute {
    /// From what stands for the one end to what stands for the other.
    pub route: Route,
    /// Whether it starts at something in the place of the start.
    pub starts_beside: bool,
    /// Whether it ends at something in the place of the end.
    pub ends_beside: bool,
}

/// The shortest routes within a layer, as far as they were looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayeredRoutes {
    /// Shortest first.
    pub found: Vec<LayeredRoute>,
    /// Whether there are no more, or as many as were asked for and none shorter. Otherwise not all was looked
    /// at: after 20,000,000 edges, 64 ends on a side or 64 pairs of them there may be others, also shorter
    /// than the last of these.
    pub complete: bool,
}

impl LayeredRoute {
    /// The numbers of its ends.
    pub fn ends(&self) -> (u32, u32) {
        let numbers = &self.route.numbers;
        (numbers[0], numbers[numbers.len() - 1])
    }
}

impl Moment {
    /// The shortest routes of a query within a layer, shortest first; `query.edge_kinds` narrows it
    /// further.
    pub fn layered_routes(
        &self,
        query: &RouteQuery,
        layer: RouteLayer,
        scratch: &mut Scratch,
    ) -> LayeredRoutes {
        let mut kinds = layer.edge_kinds();
        kinds.retain(|kind| query.edge_kinds.as_ref().is_none_or(|only| only.contains(kind)));
        let only_through = (layer == RouteLayer::Calls).then_some(NodeKind::Service);
        let edge_kinds = Some(kinds);
        let query = RouteQuery { edge_kinds, only_through, ..query.clone() };
        let mut found: Vec<LayeredRoute> = Vec::new();
        let mut effort = Effort::of_one_answer();
        let (pairs, mut complete) = self.nearest_pairs(&query, layer, &mut effort, scratch);
        for (tried, (hops, (from, to))) in pairs.into_iter().enumerate() {
            // What has more hops than the last that is wanted is none of the shortest.
            if query.metric == Metric::Hops && is_longer(hops, &found, query.count) {
                break;
            }
            if tried >= MAX_PAIRS || tried > 0 && effort.is_spent() {
                complete = false;
                break;
            }
            let (starts_beside, ends_beside) = (from != query.from, to != query.to);
            let between = RouteQuery { from, to, ..query.clone() };
            let routes = self.routes_within(&mut effort, &between, scratch);
            complete &= routes.complete;
            let routes = routes.found.into_iter();
            found.extend(routes.map(|route| LayeredRoute { route, starts_beside, ends_beside }));
        }
        found.sort_by_key(|found| {
            let Route { nodes, latency_us, unmeasured, .. } = &found.route;
            let measured = match query.metric {
                Metric::Hops => (0, 0),
                Metric::Latency => (*unmeasured, *latency_us),
            };
            let beside = u8::from(found.starts_beside) + u8::from(found.ends_beside);
            (measured, nodes.len(), found.route.rank(), beside, found.ends())
        });
        found.truncate(query.count);
        LayeredRoutes { found, complete }
    }

    /// The pairs of ends with a way between them and how many hops it takes, fewest first; one search a
    /// start. And whether these are all.
    fn nearest_pairs(
        &self,
        query: &RouteQuery,
        layer: RouteLayer,
        effort: &mut Effort,
        scratch: &mut Scratch,
    ) -> (Vec<(u32, Ends)>, bool) {
        let mut pairs = self.stand_ins(query.from, query.to, layer);
        let mut all = layer == RouteLayer::Calls || query.from == query.to || {
            let few = |count: usize| count <= MAX_STAND_INS;
            few(self.starts_beside(query.from).take(MAX_STAND_INS + 1).count())
                && few(self.ends_beside(query.to).take(MAX_STAND_INS + 1).count())
        };
        if let [pair] = pairs[..] {
            return (vec![(0, pair)], all);
        }
        pairs.sort_unstable();
        let mut near: Vec<(u32, u8, Ends)> = Vec::new();
        for of_start in pairs.chunk_by(|a, b| a.0 == b.0) {
            if effort.is_spent() {
                all = false;
                break;
            }
            self.hops_from(query, of_start[0].0, scratch);
            effort.spend(self.from.len());
            for &(from, to) in of_start {
                let hops = scratch.depth[self.first_name(to) as usize];
                let beside = u8::from(from != query.from) + u8::from(to != query.to);
                if hops != u32::MAX {
                    near.push((hops, beside, (from, to)));
                }
            }
        }
        near.sort_unstable();
        (near.into_iter().map(|(hops, _, pair)| (hops, pair)).collect(), all)
    }

    /// What stands for an end in the network, itself first, by all names of machines: for the start of a way, and
    /// for its end.
    pub fn stands_for(&self, from: u32, to: u32) -> (Vec<u32>, Vec<u32>) {
        let (starts, ends) = self.stand_in_for(from, to);
        let named = |nodes: Vec<u32>| -> Vec<u32> {
            let mates = nodes.iter().flat_map(|&node| self.other_names(node)).collect::<Vec<_>>();
            nodes.into_iter().chain(mates).collect()
        };
        (named(starts), named(ends))
    }

    /// The same by one name each.
    fn stand_in_for(&self, from: u32, to: u32) -> (Vec<u32>, Vec<u32>) {
        let (mut starts, mut ends) = (vec![from], vec![to]);
        if from != to {
            starts.extend(self.starts_beside(from).take(MAX_STAND_INS));
            ends.extend(self.ends_beside(to).take(MAX_STAND_INS));
        }
        (starts, ends)
    }

    /// The first `limit` of the observed flow paths on which `from`, or what stands for it, comes before
    /// `to`, and how many there are.
    pub fn observed_between(&self, from: u32, to: u32, limit: usize) -> (Vec<ObservedPath>, u64) {
        let (starts, ends) = self.stands_for(from, to);
        let goes = |path: u32, start: u32| {
            let route = self.paths.route(path).iter();
            let route: Vec<Option<u32>> =
                route.map(|&hop| (hop != NO_NODE).then_some(hop)).collect();
            leads(&route, &[start], &ends)
        };
        let of_start = |&start: &u32| {
            let paths = self.paths.through.of(start).iter().copied();
            paths.filter(|&path| goes(path, start)).collect::<Vec<_>>()
        };
        let mut seen: Vec<u32> = starts.iter().flat_map(of_start).collect();
        seen.sort_unstable();
        seen.dedup();
        (seen.iter().take(limit).map(|&path| self.observed_path(path)).collect(), seen.len() as u64)
    }

    /// Pairs of ends to try, those asked for first.
    fn stand_ins(&self, from: u32, to: u32, layer: RouteLayer) -> Vec<(u32, u32)> {
        let (starts, ends) = match layer {
            RouteLayer::Network => self.stand_in_for(from, to),
            RouteLayer::Calls => (vec![from], vec![to]),
        };
        let pairs = starts.iter().flat_map(|&from| ends.iter().map(move |&to| (from, to)));
        pairs.filter(|(a, b)| a != b || from == to).collect()
    }

    fn starts_beside(&self, node: u32) -> Box<dyn Iterator<Item = u32> + '_> {
        let agent_of = |site: &SiteId| {
            let agent = holm_model::NodeId::new(NodeKind::Agent, site.as_str()).ok()?;
            self.find(&agent)
        };
        match self.kind_of(node) {
            NodeKind::Service => Box::new(self.agents_with(node).chain(self.hosts_of(node))),
            NodeKind::Site => Box::new(self.site_of(node).and_then(|s| agent_of(&s)).into_iter()),
            NodeKind::Host | NodeKind::Hop => {
                let is_there = move |nodes: &[u32]| {
                    nodes.contains(&node) || self.other_names(node).any(|n| nodes.contains(&n))
                };
                let at = self.located.iter().filter(move |(_, nodes)| is_there(nodes));
                Box::new(at.filter_map(move |(site, _)| agent_of(site)))
            }
            _ => Box::new(std::iter::empty()),
        }
    }

    fn ends_beside(&self, node: u32) -> Box<dyn Iterator<Item = u32> + '_> {
        match self.kind_of(node) {
            NodeKind::Service => Box::new(self.hosts_of(node)),
            NodeKind::Agent | NodeKind::Site => {
                let located = self.site_of(node).and_then(|site| self.located.get(&site));
                Box::new(located.into_iter().flatten().copied())
            }
            _ => Box::new(std::iter::empty()),
        }
    }

    /// The other names of a machine.
    fn other_names(&self, node: u32) -> impl Iterator<Item = u32> {
        self.addresses.one_with(node).iter().copied().filter(move |&other| other != node)
    }

    fn site_of(&self, node: u32) -> Option<SiteId> {
        SiteId::new(self.node(node).name()).ok()
    }
}

/// Whether a route goes from one of `starts` to one of `ends` that it did not meet before: `None` is a hop that is
/// not known.
pub fn leads(route: &[Option<u32>], starts: &[u32], ends: &[u32]) -> bool {
    let place = |start: &u32| route.iter().position(|hop| hop.as_ref() == Some(start));
    starts.iter().filter_map(place).any(|at| {
        let (before, after) = route.split_at(at + 1);
        after.iter().flatten().any(|hop| ends.contains(hop) && !before.contains(&Some(*hop)))
    })
}

/// Whether a way of so many hops comes after the first `count` of those found.
fn is_longer(hops: u32, found: &[LayeredRoute], count: usize) -> bool {
    let mut known: Vec<usize> = found.iter().map(|route| route.route.numbers.len() - 1).collect();
    known.sort_unstable();
    known.get(count.saturating_sub(1)).is_some_and(|last| hops as usize > *last)
}
