//! The merged view of what all sites recorded about one tenant.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use holm_model::{
    AddressScope, EdgeId, EdgeKind, ElementId, IntervalSet, Millis, NodeId, NodeKind, SiteId,
};

use crate::SiteElement;
use crate::aliases::{AliasIndex, Aliases};
use crate::joining::KeptJoinings;
use crate::order::KeptOrder;
use crate::paths::{PathIndex, Paths};
use crate::plans::{Change, Mentions, Written};
use crate::records::{Record, Records, SetDigest, SiteIndex, hash_record};

pub(crate) type NodeIndex = u32;
pub(crate) type EdgeIndex = u32;

/// A node: recorded itself, or the end of an edge, or both; or a name that only an alias speaks of.
#[derive(Debug)]
pub(crate) struct NodeSlot {
    pub(crate) id: NodeId,
    pub(crate) records: Records,
    pub(crate) out: Vec<EdgeIndex>,
    pub(crate) into: Vec<EdgeIndex>,
    pub(crate) paths: BTreeSet<PathIndex>,
    pub(crate) aliases: Vec<AliasIndex>,
    /// How far its name means the same.
    pub(crate) scope: AddressScope,
    /// Who speaks of it; counted where it matters, for names that may mean several things.
    pub(crate) mentions: Mentions,
}

impl NodeSlot {
    /// Whether its name means something else elsewhere to some of those who ever spoke of it, perhaps.
    pub(crate) fn may_mean_several(&self) -> bool {
        self.scope != AddressScope::Global && self.mentions.is_of_several()
    }

    fn is_unused(&self) -> bool {
        let Self { records, out, into, paths, aliases, .. } = self;
        let bare = records.is_empty() && out.is_empty() && into.is_empty();
        bare && paths.is_empty() && aliases.is_empty()
    }
}

/// An edge and where it stands in the lists of its ends.
#[derive(Debug)]
pub(crate) struct EdgeSlot {
    pub(crate) from: NodeIndex,
    pub(crate) to: NodeIndex,
    pub(crate) kind: EdgeKind,
    pub(crate) records: Records,
    out_position: u32,
    into_position: u32,
}

/// All sites' elements of one tenant, merged. Applying is incremental and does not depend on order.
#[derive(Debug, Default)]
pub struct TopologyGraph {
    pub(crate) sites: Vec<SiteId>,
    /// By site: how many records of it there are.
    said: Vec<u32>,
    site_index: HashMap<SiteId, SiteIndex>,
    pub(crate) nodes: Vec<Option<NodeSlot>>,
    free_nodes: Vec<NodeIndex>,
    node_index: HashMap<NodeId, NodeIndex>,
    pub(crate) edges: Vec<Option<EdgeSlot>>,
    free_edges: Vec<EdgeIndex>,
    edge_index: HashMap<(NodeIndex, EdgeKind, NodeIndex), EdgeIndex>,
    pub(crate) paths: Paths,
    pub(crate) aliases: Aliases,
    /// How many edges of each kind anyone has ever recorded, in order of [`EdgeKind::ALL`].
    pub(crate) edges_by_kind: [usize; 4],
    digest: SetDigest,
    generation: u64,
    /// Raised when a node comes or goes.
    pub(crate) named: u64,
    pub(crate) joinings: KeptJoinings,
    pub(crate) order: KeptOrder,
}

impl TopologyGraph {
    /// A graph that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces what `site` says about one element; empty intervals withdraw it. Whether that
    /// changed anything.
    pub fn apply(&mut self, site: &SiteId, element: SiteElement) -> bool {
        let SiteElement { id, intervals, attributes, attributes_at, past } = element;
        let past = (!past.is_empty()).then(|| Box::new(past));
        let record = Record { intervals, attributes, attributes_at, past };
        let record = Some(record).filter(|r| !r.intervals.is_empty());
        let known = self.records(&id).zip(self.site_index.get(site).copied());
        let before = known.and_then(|(records, site)| records.get(site));
        if before == record.as_ref() {
            return false;
        }
        let before = before.map(|before| hash_record(site.as_str(), &id, before));
        let had = before.is_some();
        if let Some(hash) = before {
            self.digest.remove(hash);
        }
        if let Some(record) = &record {
            self.digest.add(hash_record(site.as_str(), &id, record));
        }
        let site = self.intern_site(site);
        let said = &mut self.said[site as usize];
        *said = *said + u32::from(record.is_some()) - u32::from(had);
        match id {
            ElementId::Node(id) => self.set_node(&id, site, record),
            ElementId::Edge(id) => self.set_edge(&id, site, record),
            ElementId::Path(id) => self.set_path(&id, site, record),
            ElementId::Alias(id) => self.set_alias(&id, site, record),
        }
        self.generation += 1;
        true
    }

    /// Raised by each change that had an effect: a cheap "is what I showed still true".
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// A digest of all records of all sites, the same whatever the order in which they came.
    pub fn digest(&self) -> [u8; 32] {
        self.digest.finish()
    }

    /// Where the history starts.
    pub fn earliest(&self) -> Option<Millis> {
        self.all_records()
            .flat_map(Records::iter)
            .filter_map(|(_, r)| r.intervals.as_slice().first())
            .map(|i| i.from)
            .min()
    }

    /// The records of every element of any kind.
    pub(crate) fn all_records(&self) -> impl Iterator<Item = &Records> {
        let nodes = self.nodes.iter().flatten().map(|n| &n.records);
        let edges = self.edges.iter().flatten().map(|e| &e.records);
        let paths = self.paths.iter().map(|p| &p.records);
        let aliases = self.aliases.iter().map(|a| &a.records);
        nodes.chain(edges).chain(paths).chain(aliases)
    }

    /// How many nodes and edges are known, at any time; names that only an alias speaks of are among the
    /// nodes.
    pub fn len(&self) -> (usize, usize) {
        (self.node_index.len(), self.edge_index.len())
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.node_index.is_empty()
    }

    /// A site that says anything, now or of other times.
    pub(crate) fn site_named(&self, site: &SiteId) -> Option<SiteIndex> {
        self.site_index.get(site).copied().filter(|&site| self.says_anything(site))
    }

    /// Whether a site has not withdrawn all that it ever said.
    pub(crate) fn says_anything(&self, site: SiteIndex) -> bool {
        self.said[site as usize] > 0
    }

    pub(crate) fn node_named(&self, id: &NodeId) -> Option<(NodeIndex, &NodeSlot)> {
        let index = *self.node_index.get(id)?;
        Some((index, self.nodes[index as usize].as_ref()?))
    }

    pub(crate) fn edge_id(&self, edge: &EdgeSlot) -> Option<EdgeId> {
        let end = |i: NodeIndex| self.nodes[i as usize].as_ref().map(|n| n.id.clone());
        Some(EdgeId { from: end(edge.from)?, kind: edge.kind, to: end(edge.to)? })
    }

    /// What each site says about a node by way of the edges that end there and the paths that lead
    /// over it.
    pub(crate) fn implied(&self, node: &NodeSlot) -> Vec<(SiteIndex, IntervalSet)> {
        let mut by_site: HashMap<SiteIndex, Vec<_>> = HashMap::new();
        for &edge in node.out.iter().chain(&node.into) {
            let Some(edge) = &self.edges[edge as usize] else { continue };
            for (site, record) in edge.records.iter() {
                by_site.entry(site).or_default().extend_from_slice(record.intervals.as_slice());
            }
        }
        for path in node.paths.iter().filter_map(|&p| self.paths.get(p)) {
            for (site, record) in path.records.iter() {
                by_site.entry(site).or_default().extend_from_slice(record.intervals.as_slice());
            }
        }
        by_site
            .into_iter()
            .map(|(site, intervals)| (site, IntervalSet::from_intervals(intervals)))
            .collect()
    }

    pub(crate) fn records(&self, id: &ElementId) -> Option<&Records> {
        match id {
            ElementId::Node(id) => self.node_named(id).map(|(_, n)| &n.records),
            ElementId::Edge(id) => {
                let from = *self.node_index.get(&id.from)?;
                let to = *self.node_index.get(&id.to)?;
                let edge = *self.edge_index.get(&(from, id.kind, to))?;
                self.edges[edge as usize].as_ref().map(|e| &e.records)
            }
            ElementId::Path(id) => self.paths.named(id).map(|p| &p.records),
            ElementId::Alias(id) => {
                let [a, b] = id.ends().map(|end| self.node_index.get(end).copied());
                self.aliases.between(a?, b?).map(|alias| &alias.records)
            }
        }
    }

    fn intern_site(&mut self, site: &SiteId) -> SiteIndex {
        if let Some(&index) = self.site_index.get(site) {
            return index;
        }
        let index = next_index(self.sites.len());
        self.sites.push(site.clone());
        self.said.push(0);
        self.site_index.insert(site.clone(), index);
        index
    }

    pub(crate) fn intern_node(&mut self, id: &NodeId) -> NodeIndex {
        if let Some(&index) = self.node_index.get(id) {
            return index;
        }
        let slot = NodeSlot {
            id: id.clone(),
            records: Records::default(),
            out: Vec::new(),
            into: Vec::new(),
            paths: BTreeSet::new(),
            aliases: Vec::new(),
            scope: AddressScope::of_node(id),
            mentions: Mentions::Nobody,
        };
        self.named += 1;
        let index = match self.free_nodes.pop() {
            Some(index) => {
                self.nodes[index as usize] = Some(slot);
                index
            }
            None => {
                self.nodes.push(Some(slot));
                next_index(self.nodes.len() - 1)
            }
        };
        self.node_index.insert(id.clone(), index);
        index
    }

    fn set_node(&mut self, id: &NodeId, site: SiteIndex, record: Option<Record>) {
        let index = self.intern_node(id);
        let Some(node) = &mut self.nodes[index as usize] else { return };
        let change = Change::of(node.records.get(site), record.as_ref());
        let is_site = node.id.kind() == NodeKind::Site;
        let written = is_site.then(|| Written::of(node.records.get(site)));
        node.records.set(site, record);
        if let Some(written) = written {
            self.note_plan(index, site, &written);
        }
        self.mention(index, site, change);
        self.forget_if_unused(index);
    }

    fn set_edge(&mut self, id: &EdgeId, site: SiteIndex, record: Option<Record>) {
        let from = self.intern_node(&id.from);
        let to = self.intern_node(&id.to);
        let index = match self.edge_index.get(&(from, id.kind, to)) {
            Some(&index) => index,
            None => self.link(from, id.kind, to),
        };
        let Some(edge) = &mut self.edges[index as usize] else { return };
        let change = Change::of(edge.records.get(site), record.as_ref());
        edge.records.set(site, record);
        let is_unused = edge.records.is_empty();
        self.mention(from, site, change);
        self.mention(to, site, change);
        if is_unused {
            self.unlink(index);
            self.forget_if_unused(from);
            self.forget_if_unused(to);
        }
    }

    fn link(&mut self, from: NodeIndex, kind: EdgeKind, to: NodeIndex) -> EdgeIndex {
        let index = match self.free_edges.pop() {
            Some(index) => index,
            None => {
                self.edges.push(None);
                next_index(self.edges.len() - 1)
            }
        };
        let push = |list: &mut Vec<EdgeIndex>| {
            list.push(index);
            next_index(list.len() - 1)
        };
        let out_position = self.nodes[from as usize].as_mut().map_or(0, |n| push(&mut n.out));
        let into_position = self.nodes[to as usize].as_mut().map_or(0, |n| push(&mut n.into));
        let records = Records::default();
        let slot = EdgeSlot { from, to, kind, records, out_position, into_position };
        self.edges[index as usize] = Some(slot);
        self.edge_index.insert((from, kind, to), index);
        self.edges_by_kind[kind as usize] += 1;
        index
    }

    /// Takes an edge out of the lists of its ends in constant time: the last one moves up.
    fn unlink(&mut self, index: EdgeIndex) {
        let Some(edge) = self.edges[index as usize].take() else { return };
        self.free_edges.push(index);
        self.edge_index.remove(&(edge.from, edge.kind, edge.to));
        self.edges_by_kind[edge.kind as usize] -= 1;
        let take = |list: &mut Vec<EdgeIndex>, position: u32| {
            list.swap_remove(position as usize);
            list.get(position as usize).copied()
        };
        let moved = self.nodes[edge.from as usize]
            .as_mut()
            .and_then(|n| take(&mut n.out, edge.out_position));
        if let Some(moved) = moved.and_then(|e| self.edges[e as usize].as_mut()) {
            moved.out_position = edge.out_position;
        }
        let moved = self.nodes[edge.to as usize]
            .as_mut()
            .and_then(|n| take(&mut n.into, edge.into_position));
        if let Some(moved) = moved.and_then(|e| self.edges[e as usize].as_mut()) {
            moved.into_position = edge.into_position;
        }
    }

    pub(crate) fn forget_if_unused(&mut self, index: NodeIndex) {
        let slot = &mut self.nodes[index as usize];
        if slot.as_ref().is_some_and(NodeSlot::is_unused)
            && let Some(node) = slot.take()
        {
            self.named += 1;
            self.node_index.remove(&node.id);
            self.free_nodes.push(index);
        }
    }
}

/// Slots are counted in 32 bits: memory ends long before them.
pub(crate) fn next_index(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
