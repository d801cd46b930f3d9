//! The graph at one moment, laid out for questions about routes and failures.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use holm_model::{AddressScope, EdgeKind, Millis, NodeId, NodeKind, SiteId};
use holm_moment::{Moment, MomentBuilder};

use crate::TopologyGraph;
use crate::joining::{Joined, Thing};
use crate::plans::Plans;
use crate::records::{Record, SiteIndex};
use crate::silent::Before;
use crate::snapshot::said_at;
use crate::topology::{NodeIndex, NodeSlot};

/// The attribute of a path edge that says that it ends at a node of that site.
const PEER_SITE: &str = "holm.peer.site";
/// Attributes of a path edge that say what a round trip along it typically takes, in ms.
const ROUND_TRIPS: [&str; 2] = ["holm.probe.icmp.rtt_ms", "holm.probe.tcp.rtt_ms"];

impl TopologyGraph {
    /// Everything that any site holds to exist at `at`, with who recorded each node.
    ///
    /// A call to an address and port at which exactly one service was seen to serve is a call to that
    /// service too: the caller's site sees the address only, and the other site the service. Such a
    /// service runs on the host of its address, and on the host that it names. Names of the same thing
    /// are one node ([`TopologyGraph::folding`]), found by each of them; an address that means several
    /// things is a node for each of these.
    pub fn moment(&self, at: Millis) -> Moment {
        let mut laying = Laying::new(self, at);
        laying.nodes();
        laying.paths();
        laying.edges();
        laying.machines();
        laying.places();
        laying.private_names();
        laying.taken_before();
        laying.builder.build()
    }
}

/// A moment under construction.
struct Laying<'a> {
    graph: &'a TopologyGraph,
    at: Millis,
    joined: Arc<Joined>,
    plans: Plans,
    builder: MomentBuilder,
    /// By node: its handle once it is there.
    handle: Vec<Option<u32>>,
    /// By node: whether its name means several things.
    several: Vec<bool>,
    /// By node with a private name: who stands for those that speak of it.
    class: Vec<Option<SiteIndex>>,
    /// The others, where those of several classes mean one thing.
    other_classes: Vec<(NodeIndex, SiteIndex)>,
    /// The handles of what those mean by such a name who say nothing else of it.
    apart: HashMap<(NodeIndex, SiteIndex), u32>,
    /// The handles of [`Joined::meant`].
    things: HashMap<u32, u32>,
    /// Services, and the sites where they are seen.
    seen: Vec<(u32, SiteIndex)>,
    /// Pairs of agent and target between which packets were seen to go over others, and never straight.
    over_others: HashSet<(u32, u32)>,
}

impl<'a> Laying<'a> {
    fn new(graph: &'a TopologyGraph, at: Millis) -> Self {
        let plans = graph.plans(at);
        let joined = graph.joined(at, &None);
        let several = |node: &Option<NodeSlot>| {
            node.as_ref().is_some_and(|node| graph.means_several(node, at, &plans))
        };
        let mut several: Vec<bool> = graph.nodes.iter().map(several).collect();
        joined.apart().for_each(|node| several[node as usize] = true);
        Self {
            graph,
            at,
            joined,
            several,
            plans,
            builder: MomentBuilder::new(),
            handle: vec![None; graph.nodes.len()],
            class: vec![None; graph.nodes.len()],
            other_classes: Vec::new(),
            apart: HashMap::new(),
            things: HashMap::new(),
            seen: Vec::new(),
            over_others: HashSet::new(),
        }
    }

    /// The handle of what `site` means by a node; it is there from now on.
    fn node(&mut self, node: NodeIndex, site: SiteIndex) -> Option<u32> {
        let slot = self.graph.nodes[node as usize].as_ref()?;
        if self.several[node as usize] {
            return self.one_of_several(node, slot, site);
        }
        if slot.scope != AddressScope::Global {
            let class = self.plans.class(slot.scope, site);
            if *self.class[node as usize].get_or_insert(class) != class {
                self.other_classes.push((node, class));
            }
        }
        let made = self.shown(self.joined.shown(node))?;
        self.spoken_of(made, slot, site);
        Some(made)
    }

    /// The handle of what is shown by a name.
    fn shown(&mut self, shown: NodeIndex) -> Option<u32> {
        if let Some(known) = self.handle[shown as usize] {
            return Some(known);
        }
        let made = self.builder.node(self.graph.id_of(shown)?.clone());
        for other in self.joined.others(shown).iter().filter_map(|&o| self.graph.id_of(o)) {
            self.builder.also_called(made, other);
        }
        self.handle[shown as usize] = Some(made);
        Some(made)
    }

    /// The handle of what `site` means by a name that means other things elsewhere.
    fn one_of_several(&mut self, node: NodeIndex, slot: &NodeSlot, site: SiteIndex) -> Option<u32> {
        let graph = self.graph;
        let class = self.plans.class(slot.scope, site);
        let joined = Arc::clone(&self.joined);
        let place = &graph.sites[site as usize];
        let made = match joined.meant(node, class) {
            // Which of its names `site` speaks of is not said by this one.
            Some((_, thing)) if thing.is_certain => self.shown(joined.shown(thing.shown))?,
            Some((number, thing)) => {
                let id = graph.id_of(thing.shown)?;
                let made = || self.builder.node_apart(id.clone());
                *self.things.entry(number).or_insert_with(made)
            }
            None => {
                let made = || self.builder.node_apart(slot.id.clone());
                *self.apart.entry((node, class)).or_insert_with(made)
            }
        };
        self.builder.called_at(made, &slot.id, place);
        if slot.scope != AddressScope::Global {
            self.builder.private_name(made, &slot.id, class);
        }
        self.spoken_of(made, slot, site);
        Some(made)
    }

    fn spoken_of(&mut self, made: u32, slot: &NodeSlot, site: SiteIndex) {
        if slot.id.kind() == NodeKind::Prefix {
            self.builder.spoken_of_by(made, &self.graph.sites[site as usize]);
        }
    }

    /// The handle of what `site` means by a node, if it is there and `site` may mean it.
    fn there(&self, node: NodeIndex, site: SiteIndex) -> Option<u32> {
        let slot = self.graph.nodes[node as usize].as_ref()?;
        if self.several[node as usize] {
            let class = self.plans.class(slot.scope, site);
            return match self.joined.meant(node, class) {
                Some((number, thing)) => self.made(number, thing),
                None => self.apart.get(&(node, class)).copied(),
            };
        }
        let same = |by: SiteIndex| self.plans.same(slot.scope, by, site);
        let is_meant = slot.scope == AddressScope::Global
            || self.graph.speak_at(slot, self.at).any(same)
            || self.graph.claimants(slot, self.at).any(same);
        self.handle[self.joined.shown(node) as usize].filter(|_| is_meant)
    }

    /// The handle of what some mean by a name that means several things, if it is there.
    fn made(&self, number: u32, thing: &Thing) -> Option<u32> {
        match thing.is_certain {
            true => self.handle[self.joined.shown(thing.shown) as usize],
            false => self.things.get(&number).copied(),
        }
    }

    fn nodes(&mut self) {
        let graph = self.graph;
        for (node, slot) in (0..).zip(&graph.nodes) {
            let Some(slot) = slot else { continue };
            for (site, _) in said_at(&slot.records, self.at, &None) {
                let Some(made) = self.node(node, site) else { continue };
                self.builder.recorded_by(made, &graph.sites[site as usize]);
                if slot.id.kind() == NodeKind::Service {
                    self.seen.push((made, site));
                }
            }
        }
    }

    fn edges(&mut self) {
        let graph = self.graph;
        let serving = graph.serving(self.at);
        for edge in graph.edges.iter().flatten() {
            let address = serving.address_of(graph, edge);
            for (site, record) in said_at(&edge.records, self.at, &None) {
                let (from, to) = (self.node(edge.from, site), self.node(edge.to, site));
                let (Some(from), Some(to)) = (from, to) else { continue };
                // From one name of a thing to another: within the thing.
                if from == to && edge.from != edge.to {
                    continue;
                }
                let us = round_trip_us(edge.kind, record, self.at);
                // What a probe tells of both ends is no way around what lies between them.
                let is_probe =
                    edge.kind == EdgeKind::Path && self.over_others.contains(&(from, to));
                match is_probe {
                    true => self.builder.probed(from, to, us),
                    false => self.builder.edge(from, edge.kind, to, us),
                }
                match edge.kind {
                    EdgeKind::Flow => {
                        let called =
                            address.map(|a| serving.called(a, site, record, self.at, &self.plans));
                        for service in called.into_iter().flatten() {
                            let Some(service) = self.node(service, site) else { continue };
                            if service != from && service != to {
                                self.builder.edge(from, EdgeKind::Flow, service, None);
                            }
                        }
                        // The caller's side of a flow runs where it was seen.
                        self.builder.recorded_by(from, &graph.sites[site as usize]);
                        if graph.id_of(edge.from).is_some_and(|id| id.kind() == NodeKind::Service) {
                            self.seen.push((from, site));
                        }
                    }
                    EdgeKind::Path => self.located(to, record),
                    EdgeKind::Routing | EdgeKind::Device => {}
                }
            }
        }
    }

    fn paths(&mut self) {
        let graph = self.graph;
        let mut straight: Vec<(u32, u32)> = Vec::new();
        let before = Before::of(&graph.paths, self.at);
        for path in graph.paths.iter() {
            for (site, record) in said_at(&path.records, self.at, &None) {
                let since = record.intervals.interval_at(self.at).map_or(self.at, |i| i.from);
                // Who answered before where a hop is silent, if it is still there.
                let known = before.known_hops(&path.id, site, since);
                let known: Vec<Option<&NodeId>> = (path.id.hops().iter().zip(known.iter()))
                    .map(|(own, known)| {
                        own.as_ref().or(known.as_ref().filter(|id| self.is_told(id, site)))
                    })
                    .collect();
                let mut node = |id: &NodeId| self.node(graph.node_named(id)?.0, site);
                let ends = (node(path.id.agent()), node(path.id.target()));
                let (Some(agent), Some(target)) = ends else { continue };
                let hops: Vec<_> = known.into_iter().map(|hop| hop.and_then(&mut node)).collect();
                self.builder.path(agent, target, path.id.flow(), &hops);
                // A hop by another name of an end is no other.
                if hops.iter().any(|hop| hop.is_none_or(|hop| hop != agent && hop != target)) {
                    self.over_others.insert((agent, target));
                }
                let mut last = Some(agent);
                for hop in hops.iter().copied().chain([Some(target)]) {
                    straight.extend(last.zip(hop));
                    last = hop;
                }
                self.located(target, record);
            }
        }
        for pair in straight {
            self.over_others.remove(&pair);
        }
    }

    /// Whether anybody who means the same by a name as `site` speaks of it then.
    fn is_told(&self, id: &NodeId, site: SiteIndex) -> bool {
        let slot = self.graph.node_named(id).map(|(_, slot)| slot);
        slot.is_some_and(|slot| {
            self.graph.speak_at(slot, self.at).any(|by| self.plans.same(slot.scope, by, site))
        })
    }

    /// The ways that packets took before, as far as all of their hops answered and are there.
    fn taken_before(&mut self) {
        let graph = self.graph;
        for path in graph.paths.iter() {
            for (site, record) in path.records.iter() {
                // Mostly it is there since it was first seen: that costs one look.
                let first = record.intervals.as_slice().first().and_then(|first| first.to);
                if first.is_none_or(|to| self.at < to) || record.intervals.contains(self.at) {
                    continue;
                }
                let mut ends = record.intervals.as_slice().iter().filter_map(|i| i.to);
                let Some(until) = ends.rfind(|to| *to <= self.at) else { continue };
                let node = |id: &NodeId| self.there(graph.node_named(id)?.0, site);
                let ends = (node(path.id.agent()), node(path.id.target()));
                let hops = path.id.hops().iter().map(|hop| node(hop.as_ref()?));
                let hops: Option<Vec<u32>> = hops.collect();
                if let ((Some(agent), Some(target)), Some(hops)) = (ends, hops) {
                    self.builder.taken(agent, target, &hops, until);
                }
            }
        }
    }

    /// Where a target is, if the probe knows whose node it is.
    fn located(&mut self, target: u32, record: &Record) {
        let attributes = record.attributes(self.at);
        if let Some(Ok(peer)) = attributes.get(PEER_SITE).map(|site| SiteId::new(site)) {
            self.builder.located_at(target, &peer);
        }
    }

    /// Hosts of which nobody speaks, but that have the address of a hop by what a site says of them: they tie the
    /// hops of one machine together.
    fn machines(&mut self) {
        let graph = self.graph;
        let is_hop = |end: &NodeId, site: SiteIndex| {
            let address = end.name().parse::<IpAddr>().is_ok();
            let hop = address.then(|| NodeId::new(NodeKind::Hop, end.name()).ok()).flatten();
            let hop = hop.and_then(|hop| graph.node_named(&hop));
            hop.is_some_and(|(hop, _)| self.there(hop, site).is_some())
        };
        // All are found before any is made: what is made must not depend on the order.
        let mut wanted: Vec<(NodeIndex, SiteIndex)> = Vec::new();
        for alias in graph.aliases.iter() {
            for (site, _) in said_at(&alias.records, self.at, &None) {
                if alias.id.ends().iter().any(|end| is_hop(end, site)) {
                    let ends = alias.id.ends();
                    let ends = ends.iter().filter_map(|end| graph.node_named(end));
                    wanted.extend(ends.map(|(node, _)| (node, site)));
                }
            }
        }
        for (node, site) in wanted {
            self.node(node, site);
        }
    }

    /// What runs where, and who sees it from beside it.
    fn places(&mut self) {
        let graph = self.graph;
        let runs_on = graph.runs_on(self.at);
        for &(_, site, host) in &runs_on.hosts {
            // A host of which its own site says that it is one is there, though nothing was sent to it.
            let slot = graph.nodes[host as usize].as_ref();
            if slot.is_some_and(|slot| graph.claimants(slot, self.at).any(|by| by == site)) {
                self.node(host, site);
            }
        }
        for (service, site, host) in runs_on.hosts {
            if let Some((service, host)) = self.there(service, site).zip(self.there(host, site)) {
                self.builder.runs_on(service, host);
            }
        }
        for (service, site, address, host) in runs_on.addresses {
            if host.and_then(|host| self.there(host, site)).is_some() {
                continue;
            }
            // Nobody spoke of the host, and yet the address is there.
            let scope = AddressScope::of(address);
            let is_private = scope != AddressScope::Global;
            let class = is_private.then(|| self.plans.class(scope, site));
            if let Some(service) = self.there(service, site) {
                self.builder.serves_at(service, address, class);
            }
        }
        let joined = Arc::clone(&self.joined);
        for (node, class, number, thing) in joined.things() {
            let made = self.made(number, thing);
            let (Some(made), Some(slot)) = (made, graph.nodes[node as usize].as_ref()) else {
                continue;
            };
            self.builder.also_called(made, &slot.id);
            if slot.scope != AddressScope::Global {
                self.builder.private_name(made, &slot.id, class);
            }
        }
        let apart: BTreeSet<NodeIndex> = joined.apart().collect();
        for (node, slot) in
            apart.into_iter().filter_map(|n| graph.nodes[n as usize].as_ref().map(|s| (n, s)))
        {
            for site in graph.claimants(slot, self.at) {
                let meant = joined.meant(node, self.plans.class(slot.scope, site));
                if let Some(made) = meant.and_then(|(number, thing)| self.made(number, thing)) {
                    self.builder.called_at(made, &slot.id, &graph.sites[site as usize]);
                }
            }
        }
        let agents: Vec<Option<u32>> = (0..)
            .zip(&graph.sites)
            .map(|(index, site)| {
                let agent = NodeId::new(NodeKind::Agent, site.as_str()).ok()?;
                self.there(graph.node_named(&agent)?.0, index)
            })
            .collect();
        for (service, site) in std::mem::take(&mut self.seen) {
            if let Some(agent) = agents[site as usize] {
                self.builder.seen_from(service, agent);
            }
        }
    }
}

impl Laying<'_> {
    /// To whom names mean something that may mean something else to others, or nothing.
    fn private_names(&mut self) {
        let graph = self.graph;
        for (index, site) in (0..).zip(&graph.sites).filter(|(site, _)| graph.says_anything(*site))
        {
            let class = |scope| self.plans.class(scope, index);
            self.builder.of_class(site, class(AddressScope::Site), class(AddressScope::Machine));
        }
        for (node, slot) in (0..).zip(&graph.nodes) {
            let private = |slot: &&NodeSlot| slot.scope != AddressScope::Global;
            let Some(slot) = slot.as_ref().filter(private) else { continue };
            let Some(made) = self.handle[self.joined.shown(node) as usize] else { continue };
            if self.several[node as usize] {
                continue;
            }
            // All who speak of it mean the same, and so do all who say that it has other names.
            let claimed = graph.claimants(slot, self.at);
            let of_claims = claimed.map(|site| self.plans.class(slot.scope, site));
            for class in self.class[node as usize].into_iter().chain(of_claims) {
                self.builder.private_name(made, &slot.id, class);
            }
        }
        for (node, class) in std::mem::take(&mut self.other_classes) {
            let made = self.handle[self.joined.shown(node) as usize];
            if let Some((made, slot)) = made.zip(graph.nodes[node as usize].as_ref()) {
                self.builder.private_name(made, &slot.id, class);
            }
        }
    }
}

/// The least of the round trips along an edge that a site holds to be typical, in microseconds.
fn round_trip_us(kind: EdgeKind, record: &Record, at: Millis) -> Option<u32> {
    if kind != EdgeKind::Path {
        return None;
    }
    let attributes = record.attributes(at);
    let told = ROUND_TRIPS.iter().filter_map(|key| attributes.get(*key)?.parse::<f64>().ok());
    let valid = told.filter(|ms| ms.is_finite() && *ms >= 0.0);
    // Beyond u32 the number saturates: 71 minutes.
    valid.map(|ms| (ms * 1_000.0) as u32).min()
}
