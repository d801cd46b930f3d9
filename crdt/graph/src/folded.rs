//! A snapshot in which names of the same thing are one node.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::{AliasId, Attributes, EdgeId, EdgeKind, ElementId, Millis, NodeId, SiteId};

use crate::snapshot::said_at;
use crate::{
    EdgeView, ElementView, Folding, Neighbour, NodeView, Snapshot, SnapshotFilter, TopologyGraph,
    UnknownNode,
};

/// That two names mean the same thing, as it is held at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasView {
    /// The two names.
    pub id: AliasId,
    /// The sites that say so, in order.
    pub sites: Vec<SiteId>,
    /// By what evidence: `holm.alias.evidence` and what belongs to it.
    pub attributes: Attributes,
    /// Whether the two are one when names are folded.
    pub folded: bool,
}

impl TopologyGraph {
    /// One element as it is shown where names are folded: what each site says of it by any of the names
    /// that are folded into it.
    pub fn element_folded(&self, id: &ElementId, folding: &Folding) -> Option<ElementView> {
        let views = recorded_as(id, folding).into_iter().filter_map(|id| self.element(&id));
        let joined = views.reduce(|mut all, view| {
            for (key, value) in view.attributes {
                all.attributes.entry(key).or_insert(value);
            }
            all.implied &= view.implied;
            for record in view.sites {
                match all.sites.iter_mut().find(|known| known.site == record.site) {
                    Some(known) => {
                        known.intervals = known.intervals.union(&record.intervals);
                        known.attributes_at = known.attributes_at.max(record.attributes_at);
                        known.past.join(record.past);
                        for (key, value) in record.attributes {
                            known.attributes.entry(key).or_insert(value);
                        }
                    }
                    None => all.sites.push(record),
                }
            }
            all
        });
        joined.map(|mut view| {
            view.id = id.clone();
            view.sites.sort_by(|a, b| a.site.cmp(&b.site));
            view
        })
    }

    /// The nodes next to what is shown as `node` where names are folded, in order.
    ///
    /// # Errors
    /// [`UnknownNode`] if it is not there at `at` by any of its names.
    pub fn neighbours_folded(
        &self,
        node: &NodeId,
        at: Millis,
        folding: &Folding,
    ) -> Result<Vec<Neighbour>, UnknownNode> {
        let mut found = BTreeSet::new();
        let mut there = false;
        for name in folding.names(node) {
            let Ok(next_to) = self.neighbours(&name, at) else { continue };
            there = true;
            found.extend(next_to.into_iter().map(|mut neighbour| {
                neighbour.node = folding.shown(&neighbour.node).clone();
                neighbour
            }));
        }
        found.retain(|neighbour| neighbour.node != *node);
        if there {
            Ok(found.into_iter().collect())
        } else {
            Err(UnknownNode { node: node.clone(), at })
        }
    }

    /// What is held at `at` about other names of `node`, in order.
    pub fn aliases_of(&self, node: &NodeId, at: Millis) -> Vec<AliasView> {
        let folding = self.folding(at);
        let about = self.aliases.iter().filter(|(alias, _)| alias.ends().contains(&node));
        about
            .filter_map(|(alias, records)| {
                let said: Vec<_> = said_at(records, at, &None).collect();
                let mut sites: Vec<SiteId> =
                    said.iter().map(|(site, _)| self.sites[*site as usize].clone()).collect();
                sites.sort_unstable();
                let [a, b] = alias.ends();
                let folded = folding.shown(a) == folding.shown(b);
                let attributes = self.merge_attributes(said.into_iter(), at);
                let view = AliasView { id: alias.clone(), sites, attributes, folded };
                (!view.sites.is_empty()).then_some(view)
            })
            .collect()
    }
}

/// The ids under which what is shown as `id` may be recorded.
fn recorded_as(id: &ElementId, folding: &Folding) -> Vec<ElementId> {
    match id {
        ElementId::Node(node) => folding.names(node).into_iter().map(ElementId::Node).collect(),
        ElementId::Edge(edge) => {
            let (from, to) = (folding.names(&edge.from), folding.names(&edge.to));
            let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (from, to)));
            let id = |(from, to): (&NodeId, &NodeId)| {
                ElementId::Edge(EdgeId { from: from.clone(), kind: edge.kind, to: to.clone() })
            };
            pairs.map(id).collect()
        }
        ElementId::Path(_) | ElementId::Alias(_) => vec![id.clone()],
    }
}

/// Folds `whole` and keeps what `filter` asks for.
pub(crate) fn fold(
    whole: Snapshot,
    folding: &Folding,
    at: Millis,
    filter: &SnapshotFilter,
) -> Result<Snapshot, UnknownNode> {
    let mut nodes = fold_nodes(whole.nodes, folding);
    let mut edges = fold_edges(whole.edges, folding);
    if let Some(kinds) = &filter.node_kinds {
        nodes.retain(|id, _| kinds.contains(&id.kind()));
    }
    edges.retain(|(from, _, to), _| nodes.contains_key(from) && nodes.contains_key(to));
    if let Some((centre, depth)) = &filter.around {
        let shown = folding.shown(centre);
        if !nodes.contains_key(shown) {
            return Err(UnknownNode { node: centre.clone(), at });
        }
        let near = around(shown, *depth, &edges);
        nodes.retain(|id, _| near.contains(id));
        edges.retain(|(from, _, to), _| near.contains(from) && near.contains(to));
    }
    let (total_nodes, total_edges) = (nodes.len(), edges.len());
    let limit = filter.limit.unwrap_or(usize::MAX);
    let nodes: Vec<NodeView> = nodes.into_values().take(limit).collect();
    let kept = |id: &NodeId| nodes.binary_search_by(|node| node.id.cmp(id)).is_ok();
    let edges =
        edges.into_values().filter(|e| kept(&e.id.from) && kept(&e.id.to)).take(limit).collect();
    Ok(Snapshot { nodes, edges, total_nodes, total_edges })
}

type EdgeKey = (NodeId, EdgeKind, NodeId);

fn fold_nodes(views: Vec<NodeView>, folding: &Folding) -> BTreeMap<NodeId, NodeView> {
    let mut nodes: BTreeMap<NodeId, NodeView> = BTreeMap::new();
    // What is said of the name that is shown counts before what is said of the others.
    let (others, shown): (Vec<_>, Vec<_>) =
        views.into_iter().partition(|view| folding.shown(&view.id) != &view.id);
    for view in shown.into_iter().chain(others) {
        let id = folding.shown(&view.id).clone();
        let alias = (id != view.id).then(|| view.id.clone());
        match nodes.get_mut(&id) {
            Some(node) => {
                node.since = node.since.min(view.since);
                join(&mut node.sites, &mut node.attributes, view.sites, view.attributes);
                node.aliases.extend(alias);
            }
            None => {
                let aliases = alias.into_iter().collect();
                nodes.insert(id.clone(), NodeView { id, aliases, ..view });
            }
        }
    }
    nodes
}

fn fold_edges(views: Vec<EdgeView>, folding: &Folding) -> BTreeMap<EdgeKey, EdgeView> {
    let mut edges: BTreeMap<EdgeKey, EdgeView> = BTreeMap::new();
    for view in views {
        let from = folding.shown(&view.id.from).clone();
        let to = folding.shown(&view.id.to).clone();
        // From one name of a thing to another: within the thing.
        if from == to && view.id.from != view.id.to {
            continue;
        }
        match edges.get_mut(&(from.clone(), view.id.kind, to.clone())) {
            Some(edge) => {
                edge.since = edge.since.min(view.since);
                join(&mut edge.sites, &mut edge.attributes, view.sites, view.attributes);
            }
            None => {
                let kind = view.id.kind;
                let id = EdgeId { from: from.clone(), kind, to: to.clone() };
                edges.insert((from, kind, to), EdgeView { id, ..view });
            }
        }
    }
    edges
}

fn join(sites: &mut Vec<SiteId>, have: &mut Attributes, other: Vec<SiteId>, more: Attributes) {
    sites.extend(other);
    sites.sort_unstable();
    sites.dedup();
    for (key, value) in more {
        have.entry(key).or_insert(value);
    }
}

/// The nodes within `depth` edges of `centre`, whatever their direction.
fn around(centre: &NodeId, depth: u32, edges: &BTreeMap<EdgeKey, EdgeView>) -> BTreeSet<NodeId> {
    let mut next_to: BTreeMap<&NodeId, Vec<&NodeId>> = BTreeMap::new();
    for (from, _, to) in edges.keys() {
        next_to.entry(from).or_default().push(to);
        next_to.entry(to).or_default().push(from);
    }
    let mut near = BTreeSet::from([centre]);
    let mut ring = vec![centre];
    for _ in 0..depth {
        let beyond = ring.iter().filter_map(|node| next_to.get(*node)).flatten();
        ring = beyond.copied().filter(|node| near.insert(node)).collect();
        if ring.is_empty() {
            break;
        }
    }
    near.into_iter().cloned().collect()
}
