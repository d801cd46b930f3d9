//! What holds at one moment.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use hashbrown::HashMap;
use holm_model::{AddressScope, EdgeId, EdgeKind, ElementId, NodeId, NodeKind, SiteId};

use crate::addresses::Addresses;
use crate::adjacency::{Hop, Layer};
use crate::flow_paths::FlowPaths;
use crate::reach::Arrivals;
use crate::run_by::RunBy;
use crate::spof::Ranks;
use crate::taken::TakenWays;

/// A hop that did not answer.
pub(crate) const NO_NODE: u32 = u32::MAX;
/// What is known to belong together by no edge that anyone recorded.
pub(crate) const NO_EDGE: u32 = u32::MAX;
/// An edge whose latency nobody measured.
pub(crate) const NO_WEIGHT: u32 = u32::MAX;

/// A topology at one moment: nodes, edges and flow paths in the order of their ids.
#[derive(Debug, Default)]
pub struct Moment {
    pub(crate) nodes: Vec<NodeId>,
    /// By every name, folded ones among them; the first where several go by it.
    pub(crate) index: HashMap<NodeId, u32>,
    /// Names that mean several things: all of these, in order.
    pub(crate) several: HashMap<NodeId, Vec<u32>>,
    /// What names that may mean several things mean at which site.
    pub(crate) called_at: HashMap<NodeId, BTreeMap<SiteId, u32>>,
    /// What names that mean one thing to some sites only mean to those; in order.
    pub(crate) private: Vec<PrivateName>,
    /// Nodes that are shown by a name that means several things: the first site that means this.
    pub(crate) place_of: HashMap<u32, SiteId>,
    /// By site: those that mean the same by private addresses, and by those of one machine.
    pub(crate) classes: BTreeMap<SiteId, [u32; 2]>,
    /// By prefix: the sites that speak of it.
    pub(crate) speakers: HashMap<u32, Vec<SiteId>>,
    /// Names that are folded into another node, in order.
    pub(crate) also_called: Vec<(NodeId, u32)>,
    pub(crate) from: Vec<u32>,
    pub(crate) to: Vec<u32>,
    pub(crate) kind: Vec<EdgeKind>,
    pub(crate) latency_us: Vec<u32>,
    /// Links of any kind: all edges but `probes`.
    pub(crate) all: Layer,
    /// The same between the first names of machines; `None` where there are none with several.
    pub(crate) by_machine: Option<Box<Layer>>,
    /// Path edges that are no links: see [`crate::MomentBuilder::probed`].
    pub(crate) probes: Layer,
    /// Path edges that are links, between the first names of machines, each once; one within a machine is none.
    pub(crate) path: Layer,
    /// How many path edges are links.
    pub(crate) path_edges: usize,
    /// Who needs whom: calls of services, and services on the hosts that they run on ([`NO_EDGE`]). What a
    /// host calls is left out: of what runs there it is not known which does.
    pub(crate) flow: Layer,
    pub(crate) flow_edges: usize,
    /// What is where something else is, without an edge: services on their hosts, and with the agents
    /// of the sites that see them.
    pub(crate) ties: Layer,
    /// What packets were seen to go between, over hops that did not answer; numbered in `gap_hops`.
    pub(crate) gaps: Layer,
    /// By gap: how many hops it is from the one to the other at least.
    pub(crate) gap_hops: Vec<u32>,
    pub(crate) routing: Layer,
    pub(crate) device: Layer,
    pub(crate) paths: FlowPaths,
    /// Ways that packets took before.
    pub(crate) taken: TakenWays,
    /// Who has which address.
    pub(crate) addresses: Addresses,
    /// By node: what it is, by all of its names.
    pub(crate) kinds: Vec<Kinds>,
    /// Nodes of kind agent, in order.
    pub(crate) agents: Vec<u32>,
    /// Agents with what is where they are themselves, in order: no pairs. Without those that paths were observed of.
    pub(crate) at_home: Vec<(u32, u32)>,
    /// What is where agents are with these, in order; also where there are observed paths between them.
    pub(crate) home_agents: Vec<(u32, u32)>,
    /// By target: the agents that have observed flow paths to it, or are at home there, one bit each.
    pub(crate) observed_agents: HashMap<u32, Box<[u64]>>,
    /// Which services run where.
    pub(crate) run_by: RunBy,
    /// What is a part of each site.
    pub(crate) located: BTreeMap<SiteId, Vec<u32>>,
    /// Which agents reach what: found by the first question that needs it.
    pub(crate) arrivals: OnceLock<Arrivals>,
    /// Every node that breaks something, worst first: found by the first question for it.
    pub(crate) ranking: OnceLock<Ranks>,
    /// What is connected while nothing has failed: see [`Self::find_home`].
    pub(crate) home: Vec<bool>,
}

/// The kinds of a node's names.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kinds {
    named: u8,
    pub(crate) is_target: bool,
}

impl Kinds {
    pub(crate) const fn add(&mut self, kind: NodeKind) {
        self.named |= 1 << kind as u8;
        self.is_target |= matches!(kind, NodeKind::Host | NodeKind::Service);
    }

    const fn has(self, kind: NodeKind) -> bool {
        self.named >> kind as u8 & 1 == 1
    }
}

/// What a private address or prefix means to the sites of one class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PrivateName {
    pub(crate) name: NodeId,
    pub(crate) class: u32,
    pub(crate) node: u32,
}

impl Moment {
    /// How many nodes and edges there are.
    pub fn len(&self) -> (usize, usize) {
        (self.nodes.len(), self.from.len())
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The number of a node in this moment, by any of its names; the first of several.
    pub fn find(&self, id: &NodeId) -> Option<u32> {
        self.index.get(id).copied()
    }

    /// All nodes that go by a name, in order: mostly one. A private address may be one thing at one
    /// site and another elsewhere ([`Self::meant_by`]).
    pub fn find_all(&self, id: &NodeId) -> &[u32] {
        match self.several.get(id) {
            Some(several) => several,
            None => self.index.get(id).map_or(&[], std::slice::from_ref),
        }
    }

    /// What `site` means by a name: another site may mean another thing by it, or nothing of its own.
    pub fn meant_by(&self, name: &NodeId, site: &SiteId) -> Option<u32> {
        let of_classes = self.of_classes(name);
        if of_classes.is_empty() {
            // Also where only one of the things that a name may mean is there.
            return match self.called_at.get(name) {
                Some(by_site) => by_site.get(site).copied(),
                None => self.find(name),
            };
        }
        let class = self.class(AddressScope::of_node(name), site)?;
        of_classes.iter().find(|private| private.class == class).map(|private| private.node)
    }

    /// What a private name means to whom; nothing if it means the same everywhere.
    pub(crate) fn of_classes(&self, name: &NodeId) -> &[PrivateName] {
        let from = self.private.partition_point(|private| private.name < *name);
        let rest = &self.private[from..];
        &rest[..rest.partition_point(|private| private.name == *name)]
    }

    /// Whether `site` ever said anything.
    pub fn has_heard_of(&self, site: &SiteId) -> bool {
        self.classes.contains_key(site)
    }

    /// The edge that `site` means by an id.
    pub fn edge_meant_by(&self, id: &EdgeId, site: &SiteId) -> Option<u32> {
        let (from, to) = (self.meant_by(&id.from, site)?, self.meant_by(&id.to, site)?);
        self.edge_between(from, id.kind, to)
    }

    /// Who means the same as `site` by names of a scope.
    pub(crate) fn class(&self, scope: AddressScope, site: &SiteId) -> Option<u32> {
        let [of_site, of_machine] = *self.classes.get(site)?;
        match scope {
            AddressScope::Global => None,
            AddressScope::Site => Some(of_site),
            AddressScope::Machine => Some(of_machine),
        }
    }

    /// The first site at which a name means this node, if it may mean another elsewhere.
    pub fn place(&self, name: &NodeId, node: u32) -> Option<&SiteId> {
        let mut by_site = self.called_at.get(name)?.iter();
        by_site.find(|(_, known)| **known == node).map(|(site, _)| site)
    }

    /// The hosts on which a service runs, in order.
    pub fn hosts_of(&self, service: u32) -> impl Iterator<Item = u32> {
        let on = self.flow.out.of(service).iter();
        on.filter(|hop| hop.edge == NO_EDGE).map(|hop| hop.node)
    }

    /// The agents that see a node where they are themselves, in order.
    pub fn agents_with(&self, node: u32) -> impl Iterator<Item = u32> {
        let tied = self.ties.out.of(node).iter().map(|hop| hop.node);
        tied.filter(|&other| self.kind_of(other) == NodeKind::Agent)
    }

    /// The agents that are where a node is, as it is an address of their site.
    pub(crate) fn home_agents(&self, node: u32) -> impl Iterator<Item = u32> {
        let from = self.home_agents.partition_point(|&(of, _)| of < node);
        let here = self.home_agents[from..].iter().take_while(move |&&(of, _)| of == node);
        here.map(|&(_, agent)| agent)
    }

    /// All that is next to a node: by edges of any kind, by where it is, and over hops that did not answer.
    pub(crate) fn beside(&self, node: u32) -> impl Iterator<Item = Hop> {
        let gaps = self.gaps.around(node).map(|hop| Hop { edge: NO_EDGE, ..hop });
        self.all.around(node).chain(self.ties.around(node)).chain(gaps)
    }

    /// All names of a node, the one that it is shown by first.
    pub fn names(&self, index: u32) -> Vec<NodeId> {
        let others = self.also_called.iter().filter(|(_, node)| *node == index);
        std::iter::once(self.node(index)).chain(others.map(|(name, _)| name)).cloned().collect()
    }

    /// All edges that go by an id: mostly one.
    pub fn find_edges(&self, id: &EdgeId) -> impl Iterator<Item = u32> {
        let (from, to) = (self.find_all(&id.from), self.find_all(&id.to));
        let ends = from.iter().flat_map(move |&from| to.iter().map(move |&to| (from, to)));
        let kind = id.kind;
        ends.filter_map(move |(from, to)| self.edge_between(from, kind, to))
    }

    /// The node of a number that this moment gave.
    pub fn node(&self, index: u32) -> &NodeId {
        &self.nodes[index as usize]
    }

    /// The edge of a number that this moment gave.
    pub fn edge(&self, index: u32) -> EdgeId {
        let i = index as usize;
        let end = |node: u32| self.nodes[node as usize].clone();
        EdgeId { from: end(self.from[i]), kind: self.kind[i], to: end(self.to[i]) }
    }

    /// Every id, in order: nodes, then edges.
    pub fn ids(&self) -> impl Iterator<Item = ElementId> {
        let nodes = self.nodes.iter().cloned().map(ElementId::Node);
        let edges = (0..self.from.len()).map(|i| ElementId::Edge(self.edge(i as u32)));
        nodes.chain(edges)
    }

    /// Which agents reach what along path edges.
    pub(crate) fn arrivals(&self) -> &Arrivals {
        self.arrivals.get_or_init(|| Arrivals::of(self))
    }

    pub(crate) fn kind_of(&self, node: u32) -> NodeKind {
        self.nodes[node as usize].kind()
    }

    /// The edge of a kind from one node to another, by their numbers; also one that is no link.
    pub fn edge_between(&self, from: u32, kind: EdgeKind, to: u32) -> Option<u32> {
        // Edges are in order of (from, kind, to).
        let among = |hops: &[Hop]| {
            let key = |hop: &Hop| (self.kind[hop.edge as usize], hop.node);
            let at = hops.binary_search_by(|hop| key(hop).cmp(&(kind, to))).ok()?;
            Some(hops[at].edge)
        };
        among(self.all.out.of(from)).or_else(|| among(self.probes.out.of(from)))
    }

    /// Links of any kind, between the first names of machines ([`Self::first_name`]).
    pub(crate) fn links(&self) -> &Layer {
        self.by_machine.as_deref().unwrap_or(&self.all)
    }

    /// The name of a machine by which ways and arrivals are looked for.
    pub(crate) fn first_name(&self, node: u32) -> u32 {
        self.addresses.first_name(node)
    }

    /// All names of the machine that a node is, itself among them.
    pub(crate) fn all_names(&self, node: u32) -> impl Iterator<Item = u32> + Clone {
        let mates = self.addresses.one_with(node);
        mates.is_empty().then_some(node).into_iter().chain(mates.iter().copied())
    }

    /// How many names of a machine it is of interest to reach.
    pub(crate) fn targets_of(&self, node: u32) -> u64 {
        match self.addresses.one_with(node) {
            [] => u64::from(self.is_target(node)),
            mates => mates.iter().map(|&name| u64::from(self.is_target(name))).sum(),
        }
    }

    /// What searches from all agents begin at, each once.
    pub(crate) fn roots(&self) -> Vec<u32> {
        let mut roots: Vec<u32> = self.agents.iter().map(|&agent| self.first_name(agent)).collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }

    /// Whether two nodes are names of one machine.
    pub fn is_one_machine(&self, a: u32, b: u32) -> bool {
        self.first_name(a) == self.first_name(b)
    }

    /// An edge of a kind from any name of the one machine to any of the other.
    pub fn edge_between_machines(&self, from: u32, kind: EdgeKind, to: u32) -> Option<u32> {
        self.edge_between(from, kind, to).or_else(|| {
            let out = self.links().out.of(self.first_name(from)).iter();
            let to = self.first_name(to);
            let edges = out.filter(|hop| hop.node == to).map(|hop| hop.edge);
            edges.filter(|&edge| self.kind[edge as usize] == kind).min()
        })
    }

    /// Whether nothing else than a probe's own packets goes along an edge: it leads where the links do.
    pub fn is_probe(&self, edge: u32) -> bool {
        let (from, to) = (self.from[edge as usize], self.to[edge as usize]);
        self.probes.out.of(from).iter().any(|hop| hop.edge == edge && hop.node == to)
    }

    /// Whether a node is of a kind by any of its names.
    pub(crate) fn is_any(&self, node: u32, kind: NodeKind) -> bool {
        self.kinds[node as usize].has(kind)
    }

    /// Whether it is of interest that a node is reached: a host or a service by any of its names, and what a
    /// service runs on.
    pub(crate) fn is_target(&self, node: u32) -> bool {
        self.kinds[node as usize].is_target
    }

    pub(crate) fn ids_of(&self, nodes: &[u32]) -> Vec<NodeId> {
        nodes.iter().map(|&node| self.node(node).clone()).collect()
    }
}
