//! Questions to the graph: all at one moment, one element, what is next to a node, and what the
//! answers stand on.

use std::collections::BTreeSet;

use holm_model::{Attributes, EdgeKind, ElementId, Millis, NodeId, PastValues, SiteId};

use crate::folded;
use crate::records::{Record, Records, SiteIndex};
use crate::topology::{EdgeIndex, EdgeSlot, NodeIndex, NodeSlot};
use crate::{
    Coverage, Direction, EdgeView, ElementView, Neighbour, NodeView, SiteRecord, Snapshot,
    SnapshotFilter, TopologyGraph, UnknownNode,
};

/// Who says that an element exists at a moment, and since when.
#[derive(Debug, Clone, Default)]
struct Presence {
    /// Mostly one site alone says so: that takes no allocation.
    first: Option<SiteIndex>,
    others: Vec<SiteIndex>,
    since: Option<Millis>,
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

impl TopologyGraph {
    /// The graph at `at`, as far as `filter` asks for it. A node is there if a site recorded it or
    /// an edge that is there ends in it.
    ///
    /// # Errors
    /// [`UnknownNode`] if `filter.around` names a node that is not there at `at`.
    pub fn snapshot(&self, at: Millis, filter: &SnapshotFilter) -> Result<Snapshot, UnknownNode> {
        let heard: Heard = filter
            .sites
            .as_ref()
            .map(|sites| sites.iter().filter_map(|s| self.site_named(s)).collect());
        if filter.fold_aliases {
            let folding = self.folding_of(at, &heard);
            if !folding.is_empty() {
                let (sites, edge_kinds) = (filter.sites.clone(), filter.edge_kinds.clone());
                let all = SnapshotFilter { sites, edge_kinds, ..SnapshotFilter::default() };
                return folded::fold(self.snapshot(at, &all)?, &folding, at, filter);
            }
        }
        let mut nodes: Vec<Presence> = vec![Presence::default(); self.nodes.len()];
        for (presence, node) in nodes.iter_mut().zip(&self.nodes) {
            if let Some(node) = node {
                *presence = presence_at(&node.records, at, &heard);
            }
        }
        let mut edges: Vec<(EdgeIndex, &EdgeSlot, Presence)> = Vec::new();
        for (index, edge) in (0..).zip(&self.edges) {
            let Some(edge) = edge else { continue };
            if filter.edge_kinds.as_ref().is_some_and(|kinds| !kinds.contains(&edge.kind)) {
                continue;
            }
            let presence = presence_at(&edge.records, at, &heard);
            if presence.since.is_some() {
                nodes[edge.from as usize].join(&presence);
                nodes[edge.to as usize].join(&presence);
                edges.push((index, edge, presence));
            }
        }
        if filter.edge_kinds.as_ref().is_none_or(|kinds| kinds.contains(&EdgeKind::Path)) {
            for path in self.paths.iter() {
                let presence = presence_at(&path.records, at, &heard);
                if presence.since.is_some() {
                    path.nodes.iter().for_each(|&node| nodes[node as usize].join(&presence));
                }
            }
        }
        self.keep_kinds(filter, &mut nodes);
        if let Some((centre, depth)) = &filter.around {
            self.keep_around(centre, *depth, at, &edges, &mut nodes)?;
        }
        let shown = |n: NodeIndex| nodes[n as usize].since.is_some();
        edges.retain(|(_, edge, _)| shown(edge.from) && shown(edge.to));
        Ok(self.views(at, filter.limit.unwrap_or(usize::MAX), &heard, nodes, &edges))
    }

    /// One element with all that each site says about it, at any time. What a site says about a
    /// node includes the edges that end there.
    pub fn element(&self, id: &ElementId) -> Option<ElementView> {
        let records = self.records(id)?;
        let mut sites: Vec<SiteRecord> = records
            .iter()
            .map(|(site, r)| SiteRecord {
                site: self.site_name(site),
                intervals: r.intervals.clone(),
                attributes: r.attributes.clone(),
                attributes_at: r.attributes_at,
                past: r.past.as_deref().cloned().unwrap_or_default(),
            })
            .collect();
        let implied = records.is_empty();
        if let ElementId::Node(id) = id {
            let (_, node) = self.node_named(id)?;
            for (site, intervals) in self.implied(node) {
                let site = self.site_name(site);
                match sites.iter_mut().find(|r| r.site == site) {
                    Some(own) => own.intervals = own.intervals.union(&intervals),
                    None => sites.push(SiteRecord {
                        site,
                        intervals,
                        attributes: Attributes::new(),
                        attributes_at: Millis(0),
                        past: PastValues::default(),
                    }),
                }
            }
        }
        sites.sort_by(|a, b| a.site.cmp(&b.site));
        let attributes = self.merge_attributes(records.iter(), Millis(u64::MAX));
        Some(ElementView { id: id.clone(), sites, attributes, implied })
    }

    /// The nodes next to `node` at `at`, in order.
    ///
    /// # Errors
    /// [`UnknownNode`] if the node is not there at `at`.
    pub fn neighbours(&self, node: &NodeId, at: Millis) -> Result<Vec<Neighbour>, UnknownNode> {
        let unknown = || UnknownNode { node: node.clone(), at };
        let (_, slot) = self.node_named(node).ok_or_else(unknown)?;
        let mut found = Vec::new();
        let mut look = |list: &[EdgeIndex], direction: Direction| {
            for edge in list.iter().filter_map(|&e| self.edges[e as usize].as_ref()) {
                let other = if direction == Direction::Out { edge.to } else { edge.from };
                if presence_at(&edge.records, at, &None).since.is_some()
                    && let Some(other) = &self.nodes[other as usize]
                {
                    found.push(Neighbour { node: other.id.clone(), kind: edge.kind, direction });
                }
            }
        };
        look(&slot.out, Direction::Out);
        look(&slot.into, Direction::In);
        if found.is_empty() && presence_at(&slot.records, at, &None).since.is_none() {
            return Err(unknown());
        }
        found.sort_unstable();
        Ok(found)
    }

    /// What a picture at `at` stands on.
    pub fn coverage(&self, at: Millis) -> Coverage {
        let mut counts = [0; 4];
        for edge in self.edges.iter().flatten() {
            if presence_at(&edge.records, at, &None).since.is_some() {
                counts[edge.kind as usize] += 1;
            }
        }
        let known = |kind: &&EdgeKind| self.edges_by_kind[**kind as usize] > 0;
        let never_recorded = EdgeKind::ALL.iter().filter(|kind| !known(kind)).copied().collect();
        Coverage {
            flow_paths: self.paths_at(at).count(),
            path_edges: counts[EdgeKind::Path as usize],
            flow_edges: counts[EdgeKind::Flow as usize],
            routing_edges: counts[EdgeKind::Routing as usize],
            device_edges: counts[EdgeKind::Device as usize],
            never_recorded,
        }
    }

    fn keep_kinds(&self, filter: &SnapshotFilter, nodes: &mut [Presence]) {
        let Some(kinds) = &filter.node_kinds else { return };
        for (presence, node) in nodes.iter_mut().zip(&self.nodes) {
            if node.as_ref().is_some_and(|n| !kinds.contains(&n.id.kind())) {
                *presence = Presence::default();
            }
        }
    }

    /// Keeps what lies within `depth` edges of `centre`, breadth first.
    fn keep_around(
        &self,
        centre: &NodeId,
        depth: u32,
        at: Millis,
        edges: &[(EdgeIndex, &EdgeSlot, Presence)],
        nodes: &mut [Presence],
    ) -> Result<(), UnknownNode> {
        let unknown = || UnknownNode { node: centre.clone(), at };
        let (centre, _) = self.node_named(centre).ok_or_else(unknown)?;
        if nodes[centre as usize].since.is_none() {
            return Err(unknown());
        }
        let mut alive = vec![false; self.edges.len()];
        for (index, ..) in edges {
            alive[*index as usize] = true;
        }
        let mut reached = vec![false; nodes.len()];
        reached[centre as usize] = true;
        let mut ring = vec![centre];
        for _ in 0..depth {
            let mut next = Vec::new();
            for node in ring.iter().filter_map(|&n| self.nodes[n as usize].as_ref()) {
                let around = node.out.iter().chain(&node.into);
                for edge in around.filter(|e| alive[**e as usize]) {
                    let Some(edge) = &self.edges[*edge as usize] else { continue };
                    for end in [edge.from, edge.to] {
                        let shown = nodes[end as usize].since.is_some();
                        if shown && !std::mem::replace(&mut reached[end as usize], true) {
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
        for (presence, reached) in nodes.iter_mut().zip(reached) {
            if !reached {
                *presence = Presence::default();
            }
        }
        Ok(())
    }

    fn views(
        &self,
        at: Millis,
        limit: usize,
        heard: &Heard,
        nodes: Vec<Presence>,
        edges: &[(EdgeIndex, &EdgeSlot, Presence)],
    ) -> Snapshot {
        let mut shown: Vec<(NodeIndex, &NodeSlot, Presence)> = (0..)
            .zip(nodes)
            .filter(|(_, presence)| presence.since.is_some())
            .filter_map(|(i, presence)| Some((i, self.nodes[i as usize].as_ref()?, presence)))
            .collect();
        shown.sort_unstable_by(|a, b| a.1.id.cmp(&b.1.id));
        let (total_nodes, total_edges) = (shown.len(), edges.len());
        let mut rank = vec![0; self.nodes.len()];
        for (place, (index, ..)) in (0_u32..).zip(&shown) {
            rank[*index as usize] = place;
        }
        shown.truncate(limit);
        let mut kept = vec![false; self.nodes.len()];
        for (index, ..) in &shown {
            kept[*index as usize] = true;
        }
        let alive_attributes =
            |records: &Records| self.merge_attributes(said_at(records, at, heard), at);
        let node_views = shown.iter().map(|(_, node, presence)| NodeView {
            id: node.id.clone(),
            sites: self.site_names(presence),
            since: presence.since.unwrap_or_default(),
            attributes: alive_attributes(&node.records),
            aliases: Vec::new(),
        });
        let inside = |e: &EdgeSlot| kept[e.from as usize] && kept[e.to as usize];
        let mut listed: Vec<_> = edges.iter().filter(|(_, edge, _)| inside(edge)).collect();
        // The order of their ids, without comparing names once more.
        listed.sort_unstable_by_key(|(_, edge, _)| {
            (rank[edge.from as usize], edge.kind, rank[edge.to as usize])
        });
        listed.truncate(limit);
        let edge_views: Vec<EdgeView> = listed
            .into_iter()
            .filter_map(|(_, edge, presence)| {
                Some(EdgeView {
                    id: self.edge_id(edge)?,
                    sites: self.site_names(presence),
                    since: presence.since.unwrap_or_default(),
                    attributes: alive_attributes(&edge.records),
                })
            })
            .collect();
        Snapshot { nodes: node_views.collect(), edges: edge_views, total_nodes, total_edges }
    }

    fn site_name(&self, site: SiteIndex) -> SiteId {
        self.sites[site as usize].clone()
    }

    fn site_names(&self, presence: &Presence) -> Vec<SiteId> {
        let mut names: Vec<SiteId> = presence.sites().map(|site| self.site_name(site)).collect();
        names.sort_unstable();
        names
    }

    /// Attributes as they were at `at`. Of two values the one written later; at the same moment that of
    /// the later site by name.
    pub(crate) fn merge_attributes<'a>(
        &self,
        records: impl Iterator<Item = (SiteIndex, &'a Record)>,
        at: Millis,
    ) -> Attributes {
        let said = records.map(|(site, r)| (r.written(at), site, r.attributes(at)));
        let mut all: Vec<_> = said.filter(|(_, _, attributes)| !attributes.is_empty()).collect();
        all.sort_by_key(|(written, site, _)| (*written, &self.sites[*site as usize]));
        let mut merged = Attributes::new();
        for (_, _, attributes) in all {
            merged.extend(attributes.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        merged
    }
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

fn presence_at(records: &Records, at: Millis, heard: &Heard) -> Presence {
    let mut presence = Presence::default();
    for (site, record) in said_at(records, at, heard) {
        if let Some(interval) = record.intervals.interval_at(at) {
            presence.add(site, interval.from);
        }
    }
    presence
}
