//! Takes elements in any order and lays them out in the one order of their ids.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use holm_model::{EdgeKind, Millis, NodeId, NodeKind, SiteId};

use crate::addresses::Addresses;
use crate::adjacency::Layer;
use crate::flow_paths::FlowPaths;
use crate::moment::{Kinds, Moment, NO_EDGE, NO_NODE, NO_WEIGHT, PrivateName};
use crate::run_by::RunBy;
use crate::taken::{TakenWay, TakenWays};

/// Collects what holds at one moment. Handles are numbers of this builder; [`Moment`] has its own.
#[derive(Debug, Default)]
pub struct MomentBuilder {
    nodes: Vec<NodeId>,
    index: HashMap<NodeId, u32>,
    /// What names that mean several things mean at which site.
    called_at: Vec<(NodeId, SiteId, u32)>,
    /// Nodes with such names: at which site by which.
    apart: HashMap<u32, Vec<(SiteId, NodeId)>>,
    edges: Vec<(u32, EdgeKind, u32, u32)>,
    /// Path edges that are no links, by their ends.
    probed: Vec<(u32, u32)>,
    paths: Vec<CollectedPath>,
    taken: Vec<TakenWay>,
    recorded_by: Vec<(u32, SiteId)>,
    located_at: Vec<(u32, SiteId)>,
    also_called: Vec<(NodeId, u32)>,
    runs_on: Vec<(u32, u32)>,
    seen_from: Vec<(u32, u32)>,
    private: Vec<PrivateName>,
    classes: BTreeMap<SiteId, [u32; 2]>,
    spoken_of: Vec<(u32, SiteId)>,
    serving: Vec<(IpAddr, Option<u32>, u32)>,
}

#[derive(Debug)]
struct CollectedPath {
    agent: u32,
    target: u32,
    flow: Box<str>,
    hops: Box<[u32]>,
}

impl MomentBuilder {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The handle of a node; it is there from now on.
    pub fn node(&mut self, id: NodeId) -> u32 {
        let next = as_index(self.nodes.len());
        let nodes = &mut self.nodes;
        *self.index.entry(id).or_insert_with_key(|id| {
            nodes.push(id.clone());
            next
        })
    }

    /// A new handle of a node whose name means other things too: a private address that two sites use,
    /// say. [`Self::called_at`] says at which sites it means this.
    pub fn node_apart(&mut self, id: NodeId) -> u32 {
        self.nodes.push(id);
        as_index(self.nodes.len() - 1)
    }

    /// That `name` means this node at `site`, and may mean another elsewhere.
    pub fn called_at(&mut self, node: u32, name: &NodeId, site: &SiteId) {
        self.apart.entry(node).or_default().push((site.clone(), name.clone()));
        self.called_at.push((name.clone(), site.clone(), node));
    }

    /// That a site means by private addresses what the others of its class mean, and so by those of one
    /// machine.
    pub fn of_class(&mut self, site: &SiteId, of_site: u32, of_machine: u32) {
        self.classes.insert(site.clone(), [of_site, of_machine]);
    }

    /// That the sites of a class mean this node by a private address or prefix.
    pub fn private_name(&mut self, node: u32, name: &NodeId, class: u32) {
        self.private.push(PrivateName { name: name.clone(), class, node });
    }

    /// That `site` speaks of a prefix.
    pub fn spoken_of_by(&mut self, prefix: u32, site: &SiteId) {
        self.spoken_of.push((prefix, site.clone()));
    }

    /// That a service runs on a host: it fails with it.
    pub fn runs_on(&mut self, service: u32, host: u32) {
        self.runs_on.push((service, host));
    }

    /// That a service serves at an address by which no host goes, and to the sites of which class if it is private.
    pub fn serves_at(&mut self, service: u32, address: IpAddr, class: Option<u32>) {
        self.serving.push((address.to_canonical(), class, service));
    }

    /// That an agent sees the node where it is itself: while the agent is there, the node is not cut
    /// off.
    pub fn seen_from(&mut self, node: u32, agent: u32) {
        self.seen_from.push((node, agent));
    }

    /// An edge between two nodes, with its measured latency in microseconds where one is known. The
    /// same edge twice is one edge, with the smaller latency.
    pub fn edge(&mut self, from: u32, kind: EdgeKind, to: u32, latency_us: Option<u32>) {
        self.edges.push((from, kind, to, latency_us.unwrap_or(NO_WEIGHT)));
    }

    /// A path edge that says that a probe got from one node to another, and not how: where it is known on
    /// which ways packets went there, it is no link that others could take.
    pub fn probed(&mut self, from: u32, to: u32, latency_us: Option<u32>) {
        self.probed.push((from, to));
        self.edge(from, EdgeKind::Path, to, latency_us);
    }

    /// A path that packets of one flow took, from `agent` to `target`; `None` is a hop that did not
    /// answer.
    pub fn path(&mut self, agent: u32, target: u32, flow: &str, hops: &[Option<u32>]) {
        let hops = hops.iter().map(|hop| hop.unwrap_or(NO_NODE)).collect();
        self.paths.push(CollectedPath { agent, target, flow: flow.into(), hops });
    }

    /// A way that packets from `agent` to `target` took until then, over nodes that are there and all of which
    /// answered.
    pub fn taken(&mut self, agent: u32, target: u32, hops: &[u32], until: Millis) {
        let ends = ([agent], [target]);
        let route = ends.0.iter().chain(hops).chain(&ends.1).copied().collect();
        self.taken.push(TakenWay { agent, target, route, until });
    }

    /// That `site` recorded the node itself.
    pub fn recorded_by(&mut self, node: u32, site: &SiteId) {
        self.recorded_by.push((node, site.clone()));
    }

    /// That the node is a part of `site`, whoever recorded it: an address of its nodes, say.
    pub fn located_at(&mut self, node: u32, site: &SiteId) {
        self.located_at.push((node, site.clone()));
    }

    /// That the node has another name, by which it is found too.
    pub fn also_called(&mut self, node: u32, name: &NodeId) {
        self.also_called.push((name.clone(), node));
    }

    /// The moment, in order of ids: whatever the order of the calls before.
    pub fn build(self) -> Moment {
        let Self { nodes, edges, paths, recorded_by, located_at, also_called, apart, .. } = self;
        let (nodes, place) = sorted(nodes, apart);
        let at = |handle: u32| place[handle as usize];
        let mut edges: Vec<_> =
            edges.into_iter().map(|(from, kind, to, us)| (at(from), kind, at(to), us)).collect();
        edges.sort_unstable();
        edges.dedup_by_key(|(from, kind, to, _)| (*from, *kind, *to));
        let count = nodes.len();
        let probed: HashSet<(u32, u32)> =
            self.probed.iter().map(|&(from, to)| (at(from), at(to))).collect();
        let is_link = |from: u32, kind: EdgeKind, to: u32| {
            kind != EdgeKind::Path || !probed.contains(&(from, to))
        };
        let numbered = || (0..).zip(&edges).map(|(i, &(from, kind, to, _))| (i, from, kind, to));
        let probes = numbered().filter(|&(_, from, kind, to)| !is_link(from, kind, to));
        let probes = Layer::of(count, probes.map(|(i, from, _, to)| (i, from, to)));
        let layer = |wanted: Option<EdgeKind>| {
            let these = numbered()
                .filter(|&(_, from, kind, to)| is_link(from, kind, to))
                .filter(move |(_, _, kind, _)| wanted.is_none_or(|wanted| wanted == *kind))
                .map(|(i, from, _, to)| (i, from, to));
            Layer::of(count, these)
        };
        let is_service = |node: u32| nodes[node as usize].kind() == NodeKind::Service;
        let recorded = recorded_by.iter().map(|(node, site)| (at(*node), site));
        let recorded: Vec<(u32, &SiteId)> =
            recorded.filter(|(node, _)| is_service(*node)).collect();
        let run_by = RunBy::of(&recorded);
        let mut located: BTreeMap<SiteId, Vec<u32>> = BTreeMap::new();
        for (node, site) in located_at {
            located.entry(site).or_default().push(at(node));
        }
        for nodes in located.values_mut() {
            nodes.sort_unstable();
            nodes.dedup();
        }
        let mut called_at: HashMap<NodeId, BTreeMap<SiteId, u32>> = HashMap::new();
        for (name, site, node) in self.called_at {
            called_at.entry(name).or_default().insert(site, at(node));
        }
        let elsewhere = called_at
            .iter()
            .flat_map(|(name, by_site)| by_site.values().map(|node| (name.clone(), *node)));
        let also_called = also_called.into_iter().map(|(name, node)| (name, at(node)));
        let of_another = |(name, node): &(NodeId, u32)| nodes[*node as usize] != *name;
        let also_called = also_called.chain(elsewhere).filter(of_another);
        let mut also_called: Vec<(NodeId, u32)> = also_called.collect();
        also_called.sort_unstable();
        also_called.dedup();
        let names = also_called.iter().cloned();
        let mut private = self.private;
        private.iter_mut().for_each(|private| private.node = at(private.node));
        private.sort_unstable();
        private.dedup();
        let serving = self.serving.iter().map(|&(address, class, node)| (address, class, at(node)));
        let serving: Vec<_> = serving.collect();
        let mut speakers: HashMap<u32, Vec<SiteId>> = HashMap::new();
        for (prefix, site) in self.spoken_of {
            speakers.entry(at(prefix)).or_default().push(site);
        }
        for sites in speakers.values_mut() {
            sites.sort_unstable();
            sites.dedup();
        }
        let paths = flow_paths(count, paths, at);
        let agents = agents(&nodes);
        let pairs = |pairs: &[(u32, u32)]| -> Vec<(u32, u32)> {
            let mut pairs: Vec<_> = pairs.iter().map(|&(a, b)| (at(a), at(b))).collect();
            pairs.retain(|(a, b)| a != b);
            pairs.sort_unstable();
            pairs.dedup();
            pairs
        };
        let addresses = Addresses::of(&nodes, &also_called, &private, &serving);
        let mut runs_on = pairs(&self.runs_on);
        runs_on.extend_from_slice(&addresses.runs_on);
        runs_on.sort_unstable();
        runs_on.dedup();
        let mut kinds = vec![Kinds::default(); count];
        nodes.iter().zip(&mut kinds).for_each(|(name, kinds)| kinds.add(name.kind()));
        also_called.iter().for_each(|(name, node)| kinds[*node as usize].add(name.kind()));
        runs_on.iter().for_each(|&(_, host)| kinds[host as usize].is_target = true);
        let mut ties = pairs(&self.seen_from);
        ties.extend_from_slice(&runs_on);
        ties.extend(addresses.ties());
        let calls = edges.iter().zip(0..).filter(|((_, kind, ..), _)| *kind == EdgeKind::Flow);
        let flow_edges = calls.clone().count();
        // Of a machine that calls it is not known what there does: nothing else there needs what it calls.
        let known = |node: u32| !is_machine(nodes[node as usize].kind());
        let calls = calls.map(|(&(from, _, to, _), i)| (i, from, to));
        let calls = calls.filter(|(_, from, _)| known(*from));
        // What is a part of a site is where its agent is.
        let agent_of = |site: &SiteId| {
            let agent = NodeId::new(NodeKind::Agent, site.as_str()).ok()?;
            nodes.binary_search(&agent).ok().map(as_index)
        };
        let by_agent: Vec<(u32, Vec<u32>)> = located
            .iter()
            .filter_map(|(site, nodes)| Some((agent_of(site)?, nodes)))
            .map(|(agent, nodes)| {
                let all = nodes.iter().flat_map(|&node| {
                    let mates = addresses.one_with(node).iter().copied();
                    std::iter::once(node).chain(mates.filter(move |&mate| mate != node))
                });
                (agent, all.filter(|&node| node != agent).collect())
            })
            .collect();
        let homes = by_agent.iter().flat_map(|(agent, nodes)| nodes.iter().map(|&n| (n, *agent)));
        let mut home_agents: Vec<(u32, u32)> = homes.collect();
        home_agents.sort_unstable();
        home_agents.dedup();
        ties.extend_from_slice(&home_agents);
        ties.sort_unstable();
        ties.dedup();
        let untold = |pairs: &[(u32, u32)]| -> Vec<(u32, u32, u32)> {
            pairs.iter().map(|&(a, b)| (NO_EDGE, a, b)).collect()
        };
        let on_hosts = untold(&runs_on);
        let ties = untold(&ties);
        let (index, several) = by_name(names.chain(nodes.iter().cloned().zip(0..)));
        let mut place_of: HashMap<u32, SiteId> = HashMap::new();
        for (name, by_site) in called_at.iter().filter(|(name, _)| several.contains_key(*name)) {
            for (site, node) in by_site.iter().filter(|(_, node)| nodes[**node as usize] == *name) {
                place_of.entry(*node).or_insert_with(|| site.clone());
            }
        }
        // Ways are looked for between machines, each by the first of its names.
        let first = |node: u32| addresses.first_name(node);
        let by_machine = (!addresses.machines().is_empty()).then(|| {
            let links = numbered().filter(|&(_, from, kind, to)| is_link(from, kind, to));
            let links = links.map(|(edge, from, _, to)| (edge, first(from), first(to)));
            Box::new(Layer::of(count, links.filter(|(_, from, to)| from != to)))
        });
        let path_links = numbered()
            .filter(|&(_, from, kind, to)| kind == EdgeKind::Path && is_link(from, kind, to));
        let mut path_links: Vec<(u32, u32, u32)> =
            path_links.map(|(edge, from, _, to)| (edge, first(from), first(to))).collect();
        let path_edges = path_links.len();
        path_links.retain(|(_, from, to)| from != to);
        let path = Layer::of(count, path_links.iter().copied());
        let taken = self.taken.into_iter().map(|way| TakenWay {
            agent: at(way.agent),
            target: at(way.target),
            route: way.route.iter().map(|&node| at(node)).collect(),
            until: way.until,
        });
        let taken = TakenWays::of(taken.collect(), |a, b| {
            first(a) == first(b) || path.out.of(first(a)).iter().any(|hop| hop.node == first(b))
        });
        // Edges are in order of (from, kind, to).
        let is_link = |a: u32, b: u32| {
            let key = |edge: &(u32, EdgeKind, u32, u32)| (edge.0, edge.1, edge.2);
            let known =
                edges.binary_search_by(|edge| key(edge).cmp(&(a, EdgeKind::Path, b))).is_ok();
            known && !probed.contains(&(a, b)) || first(a) == first(b)
        };
        let mut observed = observed_agents(&paths, &agents);
        // An agent looks at others: what is where it is itself is no target of it.
        let mut at_home: Vec<(u32, u32)> = Vec::new();
        for (agent, nodes) in by_agent {
            let Ok(bit) = agents.binary_search(&agent) else { continue };
            for node in nodes {
                let none = || vec![0; agents.len().div_ceil(64)].into();
                let bits: &mut Box<[u64]> = observed.entry(node).or_insert_with(none);
                if bits[bit / 64] >> (bit % 64) & 1 == 0 {
                    bits[bit / 64] |= 1 << (bit % 64);
                    at_home.push((agent, node));
                }
            }
        }
        at_home.sort_unstable();
        let gaps = paths.gaps(is_link);
        let gap_hops = gaps.iter().map(|&(_, _, hops)| hops).collect();
        let gaps = (0..).zip(&gaps).map(|(number, &(from, to, _))| (number, from, to));
        let mut moment = Moment {
            gaps: Layer::of(count, gaps),
            gap_hops,
            place_of,
            called_at,
            private,
            classes: self.classes,
            speakers,
            index,
            several,
            also_called,
            flow_edges,
            flow: Layer::of(count, calls.chain(on_hosts.iter().copied())),
            ties: Layer::of(count, ties.iter().copied()),
            observed_agents: observed,
            at_home,
            home_agents,
            all: layer(None),
            by_machine,
            probes,
            path,
            routing: layer(Some(EdgeKind::Routing)),
            device: layer(Some(EdgeKind::Device)),
            paths,
            taken,
            addresses,
            kinds,
            path_edges,
            run_by,
            located,
            agents,
            from: edges.iter().map(|e| e.0).collect(),
            kind: edges.iter().map(|e| e.1).collect(),
            to: edges.iter().map(|e| e.2).collect(),
            latency_us: edges.iter().map(|e| e.3).collect(),
            home: Vec::new(),
            arrivals: std::sync::OnceLock::new(),
            ranking: std::sync::OnceLock::new(),
            nodes,
        };
        moment.home = moment.find_home();
        moment
    }
}

/// Whether several things may run on such a node.
pub(crate) const fn is_machine(kind: NodeKind) -> bool {
    matches!(kind, NodeKind::Host | NodeKind::Hop | NodeKind::Device)
}

/// Who goes by each name: the one, or where there are several the first, and then all of these.
fn by_name(
    names: impl Iterator<Item = (NodeId, u32)>,
) -> (HashMap<NodeId, u32>, HashMap<NodeId, Vec<u32>>) {
    let mut index: HashMap<NodeId, u32> = HashMap::new();
    let mut several: HashMap<NodeId, Vec<u32>> = HashMap::new();
    for (name, node) in names {
        let first = *index.entry(name.clone()).or_insert(node);
        if first != node {
            several.entry(name).or_insert_with(|| vec![first]).push(node);
        }
    }
    for (name, nodes) in &mut several {
        nodes.sort_unstable();
        nodes.dedup();
        index.insert(name.clone(), nodes[0]);
    }
    (index, several)
}

/// The ids in order, those alike by who calls them so at which site, and where each handle went.
fn sorted(
    nodes: Vec<NodeId>,
    mut places: HashMap<u32, Vec<(SiteId, NodeId)>>,
) -> (Vec<NodeId>, Vec<u32>) {
    places.values_mut().for_each(|names| {
        names.sort_unstable();
        names.dedup();
    });
    let mut order: Vec<(NodeId, u32)> = nodes.into_iter().zip(0..).collect();
    if places.is_empty() {
        order.sort_unstable();
    } else {
        order.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| places.get(&a.1).cmp(&places.get(&b.1)))
        });
    }
    let mut place = vec![0; order.len()];
    for (new, (_, old)) in order.iter().enumerate() {
        place[*old as usize] = as_index(new);
    }
    (order.into_iter().map(|(id, _)| id).collect(), place)
}

fn agents(nodes: &[NodeId]) -> Vec<u32> {
    let agent = |(id, _): &(&NodeId, u32)| id.kind() == holm_model::NodeKind::Agent;
    nodes.iter().zip(0..).filter(agent).map(|(_, index)| index).collect()
}

fn flow_paths(nodes: usize, paths: Vec<CollectedPath>, at: impl Fn(u32) -> u32) -> FlowPaths {
    let place = |handle: u32| if handle == NO_NODE { NO_NODE } else { at(handle) };
    let all = paths.into_iter().map(|path| {
        let ends = (at(path.agent), at(path.target));
        let inner = path.hops.iter().map(|&hop| place(hop));
        let route = std::iter::once(ends.0).chain(inner).chain([ends.1]).collect();
        (ends.0, ends.1, path.flow, route)
    });
    FlowPaths::of(nodes, all.collect())
}

fn observed_agents(paths: &FlowPaths, agents: &[u32]) -> HashMap<u32, Box<[u64]>> {
    let mut observed: HashMap<u32, Box<[u64]>> = HashMap::new();
    for (agent, &target) in paths.agent.iter().zip(&paths.target) {
        if let Ok(bit) = agents.binary_search(agent) {
            let none = || vec![0; agents.len().div_ceil(64)].into();
            observed.entry(target).or_insert_with(none)[bit / 64] |= 1 << (bit % 64);
        }
    }
    observed
}

/// Elements are counted in 32 bits: memory ends long before them.
pub(crate) fn as_index(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
