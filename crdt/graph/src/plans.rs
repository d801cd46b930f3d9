//! Which sites share one address plan, and which names mean another thing at another site.
//!
//! A private address (RFC 1918) is of the site that speaks of it. That two sites mean one thing by it
//! is known where nodes of the one reached nodes of the other by such an address: then packets go
//! between the two, and it cannot stand for two things. What was reached once stays proven while it is
//! remembered: a link that is down changes no plan.

use hashbrown::HashMap;
use holm_model::{AddressScope, EdgeKind, Millis, NodeKind, SiteId};

use crate::TopologyGraph;
use crate::records::{Record, SiteIndex};
use crate::topology::{EdgeIndex, NodeIndex, NodeSlot, next_index};

/// The attribute of a path edge that says that it ends at a node of that site.
pub(crate) const PEER_SITE: &str = "holm.peer.site";

/// Who speaks of a node, and how many records of each do: its own, of edges that end there and of
/// paths over it. Mostly one site.
#[derive(Debug, Clone, Default)]
pub(crate) enum Mentions {
    #[default]
    Nobody,
    One(SiteIndex, u32),
    Many(Vec<(SiteIndex, u32)>),
}

impl Mentions {
    pub(crate) fn sites(&self) -> impl Iterator<Item = SiteIndex> {
        let (one, many) = match self {
            Self::Nobody => (None, &[][..]),
            Self::One(site, _) => (Some(*site), &[][..]),
            Self::Many(many) => (None, many.as_slice()),
        };
        one.into_iter().chain(many.iter().map(|(site, _)| *site))
    }

    pub(crate) fn is_of_several(&self) -> bool {
        matches!(self, Self::Many(_))
    }

    /// Counts a record of `site`; whether it is the first.
    fn add(&mut self, site: SiteIndex) -> bool {
        match self {
            Self::Nobody => *self = Self::One(site, 1),
            Self::One(one, count) if *one == site => {
                *count += 1;
                return false;
            }
            Self::One(one, count) => *self = Self::Many(vec![(*one, *count), (site, 1)]),
            Self::Many(many) => match many.iter_mut().find(|(one, _)| *one == site) {
                Some((_, count)) => {
                    *count += 1;
                    return false;
                }
                None => many.push((site, 1)),
            },
        }
        true
    }

    /// Counts a record of `site` no more; whether it was the last.
    fn remove(&mut self, site: SiteIndex) -> bool {
        match self {
            Self::One(one, count) if *one == site => {
                *count -= 1;
                let last = *count == 0;
                if last {
                    *self = Self::Nobody;
                }
                last
            }
            Self::Nobody | Self::One(..) => false,
            Self::Many(many) => {
                let Some(i) = many.iter().position(|(one, _)| *one == site) else { return false };
                many[i].1 -= 1;
                let last = many[i].1 == 0;
                if last {
                    many.swap_remove(i);
                }
                if let [(site, count)] = many[..] {
                    *self = Self::One(site, count);
                }
                last
            }
        }
    }
}

/// How far the name of a node means the same: [`AddressScope::Global`] for all that is no address.
pub(crate) fn scope_of(node: &holm_model::NodeId) -> AddressScope {
    match node.kind() {
        NodeKind::Host | NodeKind::Hop => {
            node.name().parse().map_or(AddressScope::Global, AddressScope::of)
        }
        _ => AddressScope::Global,
    }
}

/// By site: who stands for all that share its plan. A number of these only: it need be no site that
/// recorded anything.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    /// Of private addresses.
    site: Vec<SiteIndex>,
    /// Of the addresses of one machine: sites that are on the same.
    machine: Vec<SiteIndex>,
}

impl Plans {
    /// Who stands for all that mean the same as `site` by an address of that scope.
    pub(crate) fn class(&self, scope: AddressScope, site: SiteIndex) -> SiteIndex {
        match scope {
            AddressScope::Global => site,
            AddressScope::Site => self.site[site as usize],
            AddressScope::Machine => self.machine[site as usize],
        }
    }

    pub(crate) fn same(&self, scope: AddressScope, a: SiteIndex, b: SiteIndex) -> bool {
        self.class(scope, a) == self.class(scope, b)
    }
}

impl TopologyGraph {
    /// Who shares whose addresses, as it is known at `at`.
    pub(crate) fn plans(&self, at: Millis) -> Plans {
        let alone = || (0..next_index(self.sites.len())).collect::<Vec<_>>();
        let mut plans = Plans { site: alone(), machine: alone() };
        // A site that recorded nothing may still have been reached by two others.
        let mut silent: HashMap<SiteId, SiteIndex> = HashMap::new();
        for (site, peer, scope, since) in self.proofs() {
            if since > at || scope == AddressScope::Global {
                continue;
            }
            let peer = self.site_named(&peer).unwrap_or_else(|| {
                let next = next_index(plans.site.len());
                let known = *silent.entry(peer).or_insert(next);
                if known == next {
                    plans.site.push(next);
                    plans.machine.push(next);
                }
                known
            });
            unite(&mut plans.site, site, peer);
            if scope == AddressScope::Machine {
                unite(&mut plans.machine, site, peer);
            }
        }
        for class in [&mut plans.site, &mut plans.machine] {
            for site in 0..class.len() {
                class[site] = root(class, class[site]);
            }
        }
        plans
    }

    /// When what is known of plans changes.
    pub(crate) fn plans_change_at(&self) -> impl Iterator<Item = Millis> {
        self.proofs().map(|(.., since)| since)
    }

    /// A site that reached another, how far the address means the same, and since when.
    fn proofs(&self) -> impl Iterator<Item = (SiteIndex, SiteId, AddressScope, Millis)> {
        let edges = self.to_peers.iter().filter_map(|&edge| self.edges[edge as usize].as_ref());
        edges.flat_map(move |edge| {
            let scope = self.nodes[edge.to as usize].as_ref().map(|node| node.scope);
            edge.records.iter().filter_map(move |(site, record)| {
                let peer = SiteId::new(record.attributes.get(PEER_SITE)?).ok()?;
                Some((site, peer, scope?, record.intervals.as_slice().first()?.from))
            })
        })
    }

    /// Whether the sites that speak of a node mean several things by it.
    pub(crate) fn means_several(&self, node: &NodeSlot, plans: &Plans) -> bool {
        if node.scope == AddressScope::Global || !node.mentions.is_of_several() {
            return false;
        }
        let mut classes = node.mentions.sites().map(|site| plans.class(node.scope, site));
        let first = classes.next();
        classes.any(|class| Some(class) != first)
    }

    /// Addresses that mean one thing at one site and another elsewhere, as far as is known at `at`; in
    /// order. Pictures show them as one node; what is judged, and ways, keep them apart.
    pub fn names_apart(&self, at: Millis) -> Vec<holm_model::NodeId> {
        let spoken_of =
            |node: &&NodeSlot| node.scope != AddressScope::Global && node.mentions.is_of_several();
        let mut candidates = self.nodes.iter().flatten().filter(spoken_of).peekable();
        if candidates.peek().is_none() {
            return Vec::new();
        }
        let plans = self.plans(at);
        let apart = candidates.filter(|node| self.means_several(node, &plans));
        let mut names: Vec<_> = apart.map(|node| node.id.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Counts a record of an edge to a peer: a change of these may prove a plan or take a proof away.
    pub(crate) fn note_peer(
        &mut self,
        edge: EdgeIndex,
        kind: EdgeKind,
        (before, after): (Option<Reached>, Option<Reached>),
    ) {
        if kind != EdgeKind::Path {
            return;
        }
        if after.is_some() {
            self.to_peers.insert(edge);
        }
        if before != after {
            self.aliases.generation += 1;
        }
    }

    /// That `site` speaks of a node from now on, or no more, by one record.
    pub(crate) fn mention(&mut self, node: NodeIndex, site: SiteIndex, speaks: bool) {
        let Some(slot) = &mut self.nodes[node as usize] else { return };
        if slot.scope == AddressScope::Global {
            return;
        }
        let changed = if speaks { slot.mentions.add(site) } else { slot.mentions.remove(site) };
        if changed && !slot.aliases.is_empty() {
            self.aliases.generation += 1;
        }
    }
}

/// What of a record is a proof: which site was reached, and since when.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reached(Box<str>, Millis);

impl Reached {
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let peer = record.attributes.get(PEER_SITE)?.clone();
        Some(Self(peer, record.intervals.as_slice().first()?.from))
    }
}

fn unite(class: &mut [SiteIndex], a: SiteIndex, b: SiteIndex) {
    let (a, b) = (root(class, a), root(class, b));
    class[b as usize] = a;
}

fn root(class: &[SiteIndex], mut site: SiteIndex) -> SiteIndex {
    while class[site as usize] != site {
        site = class[site as usize];
    }
    site
}
