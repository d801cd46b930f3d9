//! Small random topologies.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::collections::{BTreeMap, BTreeSet};

use holm_model::{EdgeId, EdgeKind, NodeId, NodeKind};
use holm_moment::{Moment, MomentBuilder};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

#[derive(Debug, Clone)]
pub struct FlowPath {
    pub agent: usize,
    pub target: usize,
    pub flow: String,
    pub hops: Vec<Option<usize>>,
}

impl FlowPath {
    pub fn route(&self) -> Vec<Option<usize>> {
        let ends = (Some(self.agent), Some(self.target));
        [ends.0].into_iter().chain(self.hops.iter().copied()).chain([ends.1]).collect()
    }
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub names: Vec<NodeId>,
    pub edges: Vec<(usize, EdgeKind, usize)>,
    pub paths: Vec<FlowPath>,
    /// Services on hosts.
    pub runs_on: Vec<(usize, usize)>,
    /// What is where an agent is.
    pub seen_from: Vec<(usize, usize)>,
    /// What belongs to the site of an agent.
    pub located: Vec<(usize, usize)>,
    /// By which sites services were recorded, by the numbers in their names.
    pub recorded: BTreeSet<(usize, usize)>,
    /// Other names, all of them addresses of hosts.
    pub also: Vec<(usize, NodeId)>,
    order: Option<u64>,
}

impl Plan {
    pub fn id(&self, n: usize) -> NodeId {
        self.names[n].clone()
    }

    pub fn number(&self, id: &NodeId) -> usize {
        self.names.iter().position(|n| n == id).expect("one of ours")
    }

    pub fn kind(&self, n: usize) -> NodeKind {
        self.names[n].kind()
    }

    pub fn of_kind(&self, kind: NodeKind) -> Vec<usize> {
        (0..self.names.len()).filter(|&n| self.kind(n) == kind).collect()
    }

    pub fn edge_id(&self, e: usize) -> EdgeId {
        let (from, kind, to) = self.edges[e];
        EdgeId { from: self.id(from), kind, to: self.id(to) }
    }

    /// The same topology, told in another order.
    pub fn shuffled(&self, seed: u64) -> Self {
        Self { order: Some(seed), ..self.clone() }
    }

    pub fn moment(&self) -> Moment {
        let mut nodes: Vec<usize> = (0..self.names.len()).collect();
        let (mut edges, mut paths) = (self.edges.clone(), self.paths.clone());
        if let Some(seed) = self.order {
            let mut rng = StdRng::seed_from_u64(seed);
            nodes.shuffle(&mut rng);
            edges.shuffle(&mut rng);
            paths.shuffle(&mut rng);
        }
        let mut builder = MomentBuilder::new();
        for n in nodes {
            builder.node(self.id(n));
        }
        for (from, kind, to) in edges {
            let (from, to) = (builder.node(self.id(from)), builder.node(self.id(to)));
            builder.edge(from, kind, to, None);
        }
        for path in paths {
            let (agent, target) =
                (builder.node(self.id(path.agent)), builder.node(self.id(path.target)));
            let hops: Vec<Option<u32>> =
                path.hops.iter().map(|hop| hop.map(|hop| builder.node(self.id(hop)))).collect();
            builder.path(agent, target, &path.flow, &hops);
        }
        for (node, name) in &self.also {
            let node = builder.node(self.id(*node));
            builder.also_called(node, name);
        }
        for &(service, host) in &self.runs_on {
            let (service, host) = (builder.node(self.id(service)), builder.node(self.id(host)));
            builder.runs_on(service, host);
        }
        for &(node, agent) in &self.seen_from {
            let (node, agent) = (builder.node(self.id(node)), builder.node(self.id(agent)));
            builder.seen_from(node, agent);
        }
        for &(node, agent) in &self.located {
            let site = self.names[agent].name().parse().expect("valid");
            let node = builder.node(self.id(node));
            builder.located_at(node, &site);
        }
        for &(node, site) in &self.recorded {
            let node = builder.node(self.id(node));
            builder.recorded_by(node, &format!("n{site}").parse().expect("valid"));
        }
        builder.build()
    }

    /// The agents that are where a node is.
    pub fn home_agents(&self, n: usize) -> BTreeSet<usize> {
        let machine = self.machine(n);
        let here = self.located.iter().filter(|(node, _)| machine.contains(node));
        here.map(|&(_, agent)| agent).filter(|&agent| agent != n).collect()
    }

    /// With what several ASes or sites among these keep up only together.
    pub fn falling(&self, nodes: BTreeSet<usize>) -> BTreeSet<usize> {
        let of_kind = |kind| nodes.iter().filter(move |&&n| self.kind(n) == kind).count();
        let mut all = nodes.clone();
        if of_kind(NodeKind::As) > 1 {
            let held = (0..self.names.len()).filter(|&n| {
                let addresses = self.addresses(n).into_iter();
                let mut by = addresses.map(|address| self.originators(address));
                by.any(|by| !by.is_empty() && by.is_subset(&nodes))
            });
            all.extend(held);
        }
        if of_kind(NodeKind::Site) > 1 {
            let fails = |site: usize| {
                let name = format!("site:n{site}");
                nodes.iter().any(|&n| self.names[n].to_string() == name)
            };
            let run = self.of_kind(NodeKind::Service).into_iter().filter(|&n| {
                let mut by = self.recorded.iter().filter(|(node, _)| *node == n).peekable();
                by.peek().is_some() && by.all(|&(_, site)| fails(site))
            });
            all.extend(run);
        }
        all.into_iter().flat_map(|n| self.machine(n)).collect()
    }

    /// Who originates the longest prefix that holds an address: the last number of 203.0.113.
    fn originators(&self, address: usize) -> BTreeSet<usize> {
        let by = |prefix: usize| -> BTreeSet<usize> {
            let into = self.edges.iter().filter(|e| e.1 == EdgeKind::Routing && e.2 == prefix);
            into.map(|e| e.0).filter(|&n| self.kind(n) == NodeKind::As).collect()
        };
        let holds = |prefix: &usize| {
            let length = self.names[*prefix].name().rsplit_once('/').expect("a prefix").1;
            address < 1 << (32 - length.parse::<u32>().expect("a length"))
        };
        // Each lies in the one before.
        let holding = self.of_kind(NodeKind::Prefix).into_iter().filter(holds);
        holding.map(by).rfind(|by| !by.is_empty()).unwrap_or_default()
    }

    /// The last numbers of a node's addresses.
    fn addresses(&self, n: usize) -> BTreeSet<usize> {
        let also = self.also.iter().filter(|(node, _)| *node == n).map(|(_, name)| name);
        let names = std::iter::once(&self.names[n]).chain(also);
        let names = names.filter(|name| matches!(name.kind(), NodeKind::Host | NodeKind::Hop));
        names
            .filter_map(|name| Some(name.name().rsplit_once('.')?.1.parse().expect("a number")))
            .collect()
    }

    /// The nodes that share addresses, also over others, `n` among them: one machine.
    pub fn machine(&self, n: usize) -> BTreeSet<usize> {
        let of = |n: usize| self.addresses(n);
        let mut machine = BTreeSet::from([n]);
        loop {
            let known: BTreeSet<usize> = machine.iter().flat_map(|&n| of(n)).collect();
            let more = (0..self.names.len()).filter(|&m| !of(m).is_disjoint(&known));
            let next: BTreeSet<usize> = machine.iter().copied().chain(more).collect();
            if next == machine {
                return machine;
            }
            machine = next;
        }
    }

    /// Pairs of names of one machine, both ways.
    pub fn mates(&self) -> Vec<(usize, usize)> {
        let of = |n: usize| self.machine(n).into_iter().map(move |m| (n, m));
        (0..self.names.len()).flat_map(of).filter(|(a, b)| a != b).collect()
    }

    pub fn is_target(&self, n: usize) -> bool {
        let kind = self.kind(n);
        matches!(kind, NodeKind::Host | NodeKind::Service)
            || self.also.iter().any(|(node, _)| *node == n)
            || self.runs_on.iter().any(|(_, host)| *host == n)
    }

    /// What is in one place though no edge says so.
    pub fn ties(&self) -> impl Iterator<Item = (usize, usize)> {
        self.runs_on.iter().chain(&self.seen_from).chain(&self.located).copied()
    }
}

/// How many of each kind: agents may be missing altogether.
fn names() -> impl Strategy<Value = Vec<NodeId>> {
    let parts = (0_usize..4, 1_usize..5, 1_usize..4, 0_usize..4, 0_usize..3, 0_usize..3);
    (parts, 0_usize..2, 0_usize..4).prop_map(
        |((agents, hops, hosts, services, systems, prefixes), devices, sites)| {
            let kinds = [
                (NodeKind::Agent, agents),
                (NodeKind::Hop, hops),
                (NodeKind::Host, hosts),
                (NodeKind::Service, services),
                (NodeKind::As, systems),
                (NodeKind::Prefix, prefixes),
                (NodeKind::Device, devices),
                (NodeKind::Site, sites),
            ];
            let name = |kind, i: usize| match kind {
                // Prefixes that hold the addresses, each in the one before.
                NodeKind::Prefix => format!("203.0.113.0/{}", 30 + i),
                NodeKind::Host if i.is_multiple_of(2) => format!("203.0.113.{i}"),
                NodeKind::Hop => format!("203.0.113.{i}"),
                _ => format!("n{i}"),
            };
            let one = |(kind, count)| {
                (0..count).map(move |i| NodeId::new(kind, &name(kind, i)).expect("valid"))
            };
            kinds.into_iter().flat_map(one).collect()
        },
    )
}

/// A topology of a few nodes, with any edges between them and flow paths over them.
pub fn plan() -> impl Strategy<Value = Plan> {
    names().prop_flat_map(|names| {
        let count = names.len();
        let kind = prop_oneof![
            4 => Just(EdgeKind::Path),
            3 => Just(EdgeKind::Flow),
            2 => Just(EdgeKind::Routing),
            1 => Just(EdgeKind::Device),
        ];
        let edge = (0..count, kind, 0..count);
        let hop = proptest::option::weighted(0.8, 0..count);
        let path = (0..count, 0..count, 0..3_u8, proptest::collection::vec(hop, 0..4));
        let edges = proptest::collection::btree_set(edge, 0..24);
        let paths = proptest::collection::vec(path, 0..5);
        let ties = proptest::collection::vec((0..count, 0..count), 0..8);
        let recorded = proptest::collection::btree_set((0..count, 0_usize..4), 0..9);
        // Addresses that no host has as its first name.
        let also = proptest::collection::btree_map(prop_oneof![Just(1), Just(3)], 0..count, 0..3);
        let told = (ties, recorded);
        (Just(names), edges, paths, told, also).prop_map(|(names, edges, paths, told, also)| {
            let (ties, recorded) = told;
            let has_more = |&(_, node): &(i32, usize)| {
                matches!(names[node].kind(), NodeKind::Agent | NodeKind::Host | NodeKind::Device)
            };
            let address = |i: i32| format!("host:203.0.113.{i}").parse().expect("valid");
            let also = also.into_iter().filter(has_more);
            let also = also.map(|(i, node)| (node, address(i))).collect();
            let between = |from: &[NodeKind], to: NodeKind| -> Vec<(usize, usize)> {
                let these = |&(a, b): &(usize, usize)| {
                    from.contains(&names[a].kind()) && names[b].kind() == to
                };
                ties.iter().copied().filter(these).collect()
            };
            let is_service = |&(node, _): &(usize, usize)| names[node].kind() == NodeKind::Service;
            Plan {
                runs_on: between(&[NodeKind::Service], NodeKind::Host),
                seen_from: between(&[NodeKind::Service], NodeKind::Agent),
                located: between(&[NodeKind::Host, NodeKind::Hop], NodeKind::Agent),
                recorded: recorded.into_iter().filter(is_service).collect(),
                also,
                names,
                edges: edges.into_iter().collect(),
                paths: flow_paths(paths),
                order: None,
            }
        })
    })
}

/// One route a flow.
fn flow_paths(paths: Vec<(usize, usize, u8, Vec<Option<usize>>)>) -> Vec<FlowPath> {
    let mut all: Vec<FlowPath> = Vec::new();
    for (agent, target, flow, hops) in paths {
        let flow = format!("f{flow}");
        let same = |p: &FlowPath| (p.agent, p.target, &p.flow) == (agent, target, &flow);
        if agent != target && !all.iter().any(same) {
            all.push(FlowPath { agent, target, flow, hops });
        }
    }
    all
}

/// Which nodes may have been at a hop: who answered, or of a silent one who did there in another flow.
pub fn at_hop(path: &FlowPath, all: &[FlowPath], hop: usize) -> BTreeSet<usize> {
    let route = path.route();
    if let Some(node) = route[hop] {
        return [node].into();
    }
    let others = all.iter().filter(|p| (p.agent, p.target) == (path.agent, path.target));
    let there = others.filter_map(|other| *other.hops.get(hop - 1)?);
    there.collect()
}

/// What packets went between without an edge that says so, and how many hops it is at least.
pub fn gaps(plan: &Plan) -> BTreeMap<(usize, usize), usize> {
    let mut gaps = BTreeMap::new();
    let mates = plan.mates();
    for path in &plan.paths {
        let route = path.route();
        let mut last: Option<usize> = None;
        for hop in 0..route.len() {
            let here = at_hop(path, &plan.paths, hop);
            if here.is_empty() {
                continue;
            }
            if let Some(before) = last {
                let next = before + 1 == hop;
                for a in at_hop(path, &plan.paths, before) {
                    for &b in here.iter().filter(|&&b| b != a) {
                        let known = route[before].is_some() && route[hop].is_some();
                        let link =
                            plan.edges.contains(&(a, EdgeKind::Path, b)) || mates.contains(&(a, b));
                        if !next || (!known && !link) {
                            let least = gaps.entry((a, b)).or_insert(hop - before);
                            *least = (*least).min(hop - before);
                        }
                    }
                }
            }
            last = Some(hop);
        }
    }
    gaps
}
