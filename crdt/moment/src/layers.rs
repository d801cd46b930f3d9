//! Ways within one layer: what packets do and what services do are two graphs over the same nodes, and
//! a way that changes from the one to the other is none.

use holm_model::{EdgeKind, NodeKind, SiteId};

use crate::moment::Moment;
use crate::routes::{Metric, ObservedPath, Route, RouteQuery};
use crate::search::Scratch;

/// Most stand-ins that are tried for an end.
const MAX_STAND_INS: usize = 64;
/// Most pairs of them between which several routes are looked for: those nearest to each other.
const MAX_PAIRS: usize = 4;

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
    ) -> Vec<LayeredRoute> {
        let mut kinds = layer.edge_kinds();
        kinds.retain(|kind| query.edge_kinds.as_ref().is_none_or(|only| only.contains(kind)));
        let only_through = (layer == RouteLayer::Calls).then_some(NodeKind::Service);
        let edge_kinds = Some(kinds);
        let query = RouteQuery { edge_kinds, only_through, ..query.clone() };
        let mut found: Vec<LayeredRoute> = Vec::new();
        for (from, to) in self.nearest_pairs(&query, layer, scratch) {
            let (starts_beside, ends_beside) = (from != query.from, to != query.to);
            let between = RouteQuery { from, to, ..query.clone() };
            let routes = self.routes(&between, scratch).into_iter();
            found.extend(routes.map(|route| LayeredRoute { route, starts_beside, ends_beside }));
        }
        found.sort_by_key(|found| {
            let Route { nodes, latency_us, unmeasured, .. } = &found.route;
            let measured = match query.metric {
                Metric::Hops => (0, 0),
                Metric::Latency => (*unmeasured, *latency_us),
            };
            let beside = u8::from(found.starts_beside) + u8::from(found.ends_beside);
            (measured, nodes.len(), beside, found.ends())
        });
        found.truncate(query.count);
        found
    }

    /// The pairs of ends with a way between them, those with the fewest hops; one search a start.
    fn nearest_pairs(
        &self,
        query: &RouteQuery,
        layer: RouteLayer,
        scratch: &mut Scratch,
    ) -> Vec<(u32, u32)> {
        let mut pairs = self.stand_ins(query.from, query.to, layer);
        if pairs.len() == 1 {
            return pairs;
        }
        pairs.sort_unstable();
        let mut near: Vec<(u32, u8, (u32, u32))> = Vec::new();
        for of_start in pairs.chunk_by(|a, b| a.0 == b.0) {
            self.hops_from(query, of_start[0].0, scratch);
            for &(from, to) in of_start {
                let hops = scratch.depth[to as usize];
                let beside = u8::from(from != query.from) + u8::from(to != query.to);
                if hops != u32::MAX {
                    near.push((hops, beside, (from, to)));
                }
            }
        }
        near.sort_unstable();
        near.into_iter().take(MAX_PAIRS).map(|(.., pair)| pair).collect()
    }

    /// What stands for an end in the network, itself first: for the start of a way, and for its end.
    pub fn stands_for(&self, from: u32, to: u32) -> (Vec<u32>, Vec<u32>) {
        let (mut starts, mut ends) = (vec![from], vec![to]);
        if from != to {
            starts.extend(self.starts_beside(from).take(MAX_STAND_INS));
            ends.extend(self.ends_beside(to).take(MAX_STAND_INS));
        }
        (starts, ends)
    }

    /// Every observed flow path on which `from`, or what stands for it, comes before `to`.
    pub fn observed_between(&self, from: u32, to: u32) -> Vec<ObservedPath> {
        let pairs = self.stand_ins(from, to, RouteLayer::Network);
        let mut seen: Vec<u32> =
            pairs.into_iter().flat_map(|(from, to)| self.observed_of(from, to)).collect();
        seen.sort_unstable();
        seen.dedup();
        seen.into_iter().map(|path| self.observed_path(path)).collect()
    }

    /// Pairs of ends to try, those asked for first.
    fn stand_ins(&self, from: u32, to: u32, layer: RouteLayer) -> Vec<(u32, u32)> {
        let (starts, ends) = match layer {
            RouteLayer::Network => self.stands_for(from, to),
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
            NodeKind::Host => {
                let at = self.located.iter().filter(move |(_, nodes)| nodes.contains(&node));
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

    fn site_of(&self, node: u32) -> Option<SiteId> {
        SiteId::new(self.node(node).name()).ok()
    }
}
