//! The graph at one moment, whole or what is near a node; with names joined or each by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use holm_model::{Attributes, EdgeId, EdgeKind, Millis, NodeId, SiteId};

use crate::joining::Joined;
use crate::records::{Record, Records, SiteIndex};
use crate::topology::{EdgeIndex, EdgeSlot, NodeIndex};
use crate::{EdgeView, NodeView, Snapshot, SnapshotFilter, TopologyGraph, UnknownNode};

/// Who says that an element exists at a moment, and since when.
#[derive(Debug, Clone, Default)]
pub(crate) struct Presence {
    /// Mostly one site alone says so: that takes no allocation.
    first: Option<SiteIndex>,
    others: Vec<SiteIndex>,
    pub(crate) since: Option<Millis>,
}

impl Presence {
    fn add(&mut self, site: SiteIndex, since: Millis) {
        match self.first {
            None => self.first = Some(site),
            Some(first) if first == site || self.others.contains(&site) => {}
            Some(_) => self.others.push(site),
        }
        self.since = Some(self.since.map_or(since, |s| s.min(since)));
    }

    fn join(&mut self, other: &Self) {
        for site in other.sites() {
            if let Some(since) = other.since {
                self.add(site, since);
            }
        }
    }

    fn sites(&self) -> impl Iterator<Item = SiteIndex> {
        self.first.into_iter().chain(self.others.iter().copied())
    }
}

/// Only these sites' words count; `None` for every site's.
pub(crate) type Heard = Option<BTreeSet<SiteIndex>>;

/// What is asked, by number.
struct Asked<'a> {
    at: Millis,
    heard: Heard,
    joined: Arc<Joined>,
    filter: &'a SnapshotFilter,
}

impl Asked<'_> {
    fn wants(&self, kind: EdgeKind) -> bool {
        self.filter.edge_kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind))
    }
}

/// What there is to show. Nodes are those that are shown; edges may be several of one shown edge.
struct Found<'a> {
    /// In the order of their ids.
    nodes: Vec<(NodeIndex, Presence)>,
    edges: Vec<FoundEdge<'a>>,
    /// How many edges away each node is, where somebody asked for what is around one.
    away: HashMap<NodeIndex, u32>,
}

struct FoundEdge<'a> {
    from: NodeIndex,
    to: NodeIndex,
    edge: &'a EdgeSlot,
    presence: Presence,
}

/// Where an edge stands among others.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct EdgeKey {
    shown: (u32, EdgeKind, u32),
    own: (u32, u32),
    place: u32,
}

impl TopologyGraph {
    /// The graph at `at`, as far as `filter` asks for it. A node is there if a site recorded it or
    /// an edge that is there ends in it.
    ///
    /// # Errors
    /// [`UnknownNode`] if `filter.around` names a node that is not there at `at`.
    pub fn snapshot(&self, at: Millis, filter: &SnapshotFilter) -> Result<Snapshot, UnknownNode> {
        self.snapshot_by_names_of(at, at, filter)
    }

    /// The same, where names are folded as they are at `named`.
    pub(crate) fn snapshot_by_names_of(
        &self,
        at: Millis,
        named: Millis,
        filter: &SnapshotFilter,
    ) -> Result<Snapshot, UnknownNode> {
        let heard = self.heard(filter.sites.as_deref());
        let joined = self.joined_for(filter, named, &heard);
        let asked = Asked { at, heard, joined, filter };
        let found = match &filter.around {
            Some((centre, depth)) => self.near(centre, *depth, &asked)?,
            None => self.whole(&asked),
        };
        Ok(self.views(&asked, found))
    }

    pub(crate) fn heard(&self, sites: Option<&[SiteId]>) -> Heard {
        sites.map(|sites| sites.iter().filter_map(|s| self.site_named(s)).collect())
    }

    pub(crate) fn joined_for(
        &self,
        filter: &SnapshotFilter,
        at: Millis,
        heard: &Heard,
    ) -> Arc<Joined> {
        if filter.fold_aliases { self.joined(at, heard) } else { Arc::default() }
    }

    fn whole(&self, asked: &Asked<'_>) -> Found<'_> {
        let Asked { at, heard, joined, .. } = asked;
        let mut nodes: Vec<Presence> = vec![Presence::default(); self.nodes.len()];
        for (presence, node) in nodes.iter_mut().zip(&self.nodes) {
            if let Some(node) = node {
                *presence = presence_at(&node.records, *at, heard);
            }
        }
        let mut edges = Vec::new();
        for edge in self.edges.iter().flatten().filter(|edge| asked.wants(edge.kind)) {
            let presence = presence_at(&edge.records, *at, heard);
            if presence.since.is_some() {
                nodes[edge.from as usize].join(&presence);
                nodes[edge.to as usize].join(&presence);
                edges.extend(found_edge(edge, presence, joined));
            }
        }
        if asked.wants(EdgeKind::Path) {
            for path in self.paths.iter() {
                let presence = presence_at(&path.records, *at, heard);
                if presence.since.is_some() {
                    path.nodes.iter().for_each(|&node| nodes[node as usize].join(&presence));
                }
            }
        }
        for group in joined.groups() {
            for &other in &group[1..] {
                let told = std::mem::take(&mut nodes[other as usize]);
                nodes[group[0] as usize].join(&told);
            }
        }
        if asked.filter.node_kinds.is_some() {
            for (node, presence) in (0..).zip(&mut nodes) {
                if presence.since.is_some() && !self.is_of_kind(node, asked) {
                    *presence = Presence::default();
                }
            }
            let shown = |n: NodeIndex| nodes[n as usize].since.is_some();
            edges.retain(|found: &FoundEdge<'_>| shown(found.from) && shown(found.to));
        }
        let order = self.order();
        let nodes = order.nodes.iter().map(|&n| (n, std::mem::take(&mut nodes[n as usize])));
        let nodes = nodes.filter(|(_, presence)| presence.since.is_some()).collect();
        Found { nodes, edges, away: HashMap::new() }
    }

    /// What lies within `depth` edges of `centre`, breadth first; nothing else is looked at.
    fn near(
        &self,
        centre: &NodeId,
        depth: u32,
        asked: &Asked<'_>,
    ) -> Result<Found<'_>, UnknownNode> {
        let Asked { at, heard, joined, .. } = asked;
        let unknown = || UnknownNode { node: centre.clone(), at: *at };
        let (named, _) = self.node_named(centre).ok_or_else(unknown)?;
        let centre = joined.shown(named);
        let mut there = self.presence_of(centre, asked);
        // The centre stands, whatever kinds are wanted around it: then by what tells of it otherwise.
        if there.since.is_none() {
            there = self.presence_by(centre, asked, |_| true);
        }
        if there.since.is_none() {
            return Err(unknown());
        }
        let alive = |edge: &EdgeIndex| {
            let edge = self.edges[*edge as usize].as_ref().filter(|e| asked.wants(e.kind))?;
            let presence = presence_at(&edge.records, *at, heard);
            presence.since.is_some().then_some((edge, presence))
        };
        let mut nodes: HashMap<NodeIndex, Presence> = HashMap::from([(centre, there)]);
        let mut away: HashMap<NodeIndex, u32> = HashMap::from([(centre, 0)]);
        let mut ring = vec![centre];
        for distance in 1..=depth {
            let mut next = Vec::new();
            for node in ring.iter().flat_map(|&n| joined.all(n)) {
                let Some(slot) = &self.nodes[node as usize] else { continue };
                for (edge, _) in slot.out.iter().chain(&slot.into).filter_map(alive) {
                    for end in [joined.shown(edge.from), joined.shown(edge.to)] {
                        if !nodes.contains_key(&end) && self.is_of_kind(end, asked) {
                            nodes.insert(end, self.presence_of(end, asked));
                            away.insert(end, distance);
                            next.push(end);
                        }
                    }
                }
            }
            if next.is_empty() {
                break;
            }
            ring = next;
        }
        let mut edges = Vec::new();
        for node in nodes.keys().flat_map(|&n| joined.all(n)) {
            let Some(slot) = &self.nodes[node as usize] else { continue };
            for (edge, presence) in slot.out.iter().filter_map(alive) {
                if nodes.contains_key(&joined.shown(edge.to)) {
                    edges.extend(found_edge(edge, presence, joined));
                }
            }
        }
        let rank = &self.order().rank;
        let mut nodes: Vec<_> = nodes.into_iter().collect();
        nodes.sort_unstable_by_key(|(node, _)| rank[*node as usize]);
        Ok(Found { nodes, edges, away })
    }

    /// Who says that what is shown as `node` is there: of it, of an edge that ends in it, of a path over
    /// it.
    fn presence_of(&self, node: NodeIndex, asked: &Asked<'_>) -> Presence {
        self.presence_by(node, asked, |kind| asked.wants(kind))
    }

    /// The same by edges of some kinds.
    fn presence_by(
        &self,
        node: NodeIndex,
        asked: &Asked<'_>,
        wants: impl Fn(EdgeKind) -> bool,
    ) -> Presence {
        let Asked { at, heard, joined, .. } = asked;
        let mut all = Presence::default();
        for slot in joined.all(node).filter_map(|n| self.nodes[n as usize].as_ref()) {
            all.join(&presence_at(&slot.records, *at, heard));
            for &edge in slot.out.iter().chain(&slot.into) {
                if let Some(edge) = self.edges[edge as usize].as_ref()
                    && wants(edge.kind)
                {
                    all.join(&presence_at(&edge.records, *at, heard));
                }
            }
            if wants(EdgeKind::Path) {
                for path in slot.paths.iter().filter_map(|&path| self.paths.get(path)) {
                    all.join(&presence_at(&path.records, *at, heard));
                }
            }
        }
        all
    }

    /// Whether any name of what is shown as `node` is of a kind that is asked for.
    fn is_of_kind(&self, node: NodeIndex, asked: &Asked<'_>) -> bool {
        let Some(kinds) = &asked.filter.node_kinds else { return true };
        let named = asked.joined.all(node).filter_map(|n| self.nodes[n as usize].as_ref());
        named.into_iter().any(|slot| kinds.contains(&slot.id.kind()))
    }

    fn views(&self, asked: &Asked<'_>, found: Found<'_>) -> Snapshot {
        let Asked { at, heard, joined, filter } = asked;
        let limit = filter.limit.unwrap_or(usize::MAX);
        let order = self.order();
        let rank = |node: NodeIndex| order.rank[node as usize];
        let Found { mut nodes, edges, away } = found;
        let total_nodes = nodes.len();
        // What there is room for: the nearest of what is around a node, else the first.
        if total_nodes > limit && !away.is_empty() {
            nodes.sort_by_key(|(node, _)| away.get(node).copied());
        }
        nodes.truncate(limit);
        nodes.sort_unstable_by_key(|(node, _)| rank(*node));
        let kept: HashSet<u32> = match total_nodes == nodes.len() {
            true => HashSet::new(),
            false => nodes.iter().map(|(node, _)| rank(*node)).collect(),
        };
        let node_views = nodes.into_iter().filter_map(|(node, presence)| {
            let slot = self.nodes[node as usize].as_ref()?;
            let others = joined.others(node);
            let (attributes, attributes_known_from) = if others.is_empty() {
                self.merge_attributes(said_at(&slot.records, *at, heard), *at)
            } else {
                // What is said of the name that is shown counts before the same of another.
                let names = others.iter().rev().chain([&node]);
                let slots = names.filter_map(|&n| self.nodes[n as usize].as_ref());
                let said = slots.flat_map(|slot| said_at(&slot.records, *at, heard));
                self.merge_attributes(said, *at)
            };
            let aliases = others.iter().filter_map(|&n| self.nodes[n as usize].as_ref());
            Some(NodeView {
                id: slot.id.clone(),
                sites: self.site_names(&presence),
                since: presence.since.unwrap_or_default(),
                attributes,
                attributes_known_from,
                aliases: aliases.map(|slot| slot.id.clone()).collect(),
            })
        });
        let nodes: Vec<NodeView> = node_views.collect();
        // The order of their ids, without comparing names once more; edges that are shown as one in the
        // order of their own.
        let key = |(i, e): (u32, &FoundEdge<'_>)| EdgeKey {
            shown: (rank(e.from), e.edge.kind, rank(e.to)),
            own: (rank(e.edge.from), rank(e.edge.to)),
            place: i,
        };
        let mut keys: Vec<EdgeKey> = (0_u32..).zip(&edges).map(key).collect();
        keys.sort_unstable();
        let same = |a: &EdgeKey, b: &EdgeKey| a.shown == b.shown;
        let total_edges = keys.chunk_by(same).count();
        let shown = keys.chunk_by(same).filter(|one| {
            let (from, _, to) = one[0].shown;
            total_nodes == nodes.len() || (kept.contains(&from) && kept.contains(&to))
        });
        let edges = shown.take(limit).filter_map(|one| {
            let parts = || one.iter().map(|key| &edges[key.place as usize]);
            let first = parts().next()?;
            let (mut joined, mut since) = (None, first.presence.since);
            if one.len() > 1 {
                let mut all = Presence::default();
                parts().for_each(|part| all.join(&part.presence));
                since = all.since;
                joined = Some(all);
            }
            let said = parts().flat_map(|part| said_at(&part.edge.records, *at, heard));
            let (attributes, attributes_known_from) = self.merge_attributes(said, *at);
            let end = |n: NodeIndex| self.nodes[n as usize].as_ref().map(|slot| slot.id.clone());
            Some(EdgeView {
                id: EdgeId { from: end(first.from)?, kind: first.edge.kind, to: end(first.to)? },
                sites: self.site_names(joined.as_ref().unwrap_or(&first.presence)),
                since: since.unwrap_or_default(),
                attributes,
                attributes_known_from,
            })
        });
        let edges = edges.collect();
        Snapshot { nodes, edges, total_nodes, total_edges }
    }

    pub(crate) fn site_name(&self, site: SiteIndex) -> SiteId {
        self.sites[site as usize].clone()
    }

    fn site_names(&self, presence: &Presence) -> Vec<SiteId> {
        let mut names: Vec<SiteId> = presence.sites().map(|site| self.site_name(site)).collect();
        names.sort_unstable();
        names
    }

    /// Attributes as they were at `at`, and from when on all are known if not all are. Of two values of one attribute
    /// the one written later; at the same moment that of the later site by name; of one site that of the record that
    /// comes last.
    pub(crate) fn merge_attributes<'a>(
        &self,
        records: impl Iterator<Item = (SiteIndex, &'a Record)>,
        at: Millis,
    ) -> (Attributes, Option<Millis>) {
        let mut known_from = None;
        let said = records.map(|(site, record)| {
            known_from = known_from.max(record.known_again(at));
            (site, record, record.attributes(at))
        });
        let mut said: Vec<_> = said.filter(|(.., attributes)| !attributes.is_empty()).collect();
        if said.len() <= 1 {
            let only = said.pop().map(|(.., attributes)| attributes.into_owned());
            return (only.unwrap_or_default(), known_from);
        }
        let mut latest: BTreeMap<&str, (Millis, &SiteId, &str)> = BTreeMap::new();
        for (site, record, attributes) in &said {
            let site = &self.sites[*site as usize];
            for (key, value) in attributes.iter() {
                let written = record.written(key, at);
                let known = latest.entry(key).or_insert((written, site, value));
                if (written, site) >= (known.0, known.1) {
                    *known = (written, site, value);
                }
            }
        }
        let merged =
            latest.into_iter().map(|(key, (_, _, value))| (key.into(), value.into())).collect();
        (merged, known_from)
    }
}

/// An edge between what its ends are shown as; none from one name of a thing to another.
fn found_edge<'a>(
    edge: &'a EdgeSlot,
    presence: Presence,
    joined: &Joined,
) -> Option<FoundEdge<'a>> {
    let (from, to) = (joined.shown(edge.from), joined.shown(edge.to));
    let within = from == to && edge.from != edge.to;
    (!within).then_some(FoundEdge { from, to, edge, presence })
}

pub(crate) fn said_at<'a>(
    records: &'a Records,
    at: Millis,
    heard: &'a Heard,
) -> impl Iterator<Item = (SiteIndex, &'a Record)> {
    records
        .iter()
        .filter(move |(site, _)| heard.as_ref().is_none_or(|h| h.contains(site)))
        .filter(move |(_, r)| r.intervals.contains(at))
}

pub(crate) fn presence_at(records: &Records, at: Millis, heard: &Heard) -> Presence {
    let mut presence = Presence::default();
    for (site, record) in said_at(records, at, heard) {
        if let Some(interval) = record.intervals.interval_at(at) {
            presence.add(site, interval.from);
        }
    }
    presence
}
