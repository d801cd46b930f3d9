//! A snapshot in which names of the same thing are one node.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::{AliasId, Attributes, EdgeId, EdgeKind, Millis, NodeId, SiteId};

use crate::snapshot::said_at;
use crate::{EdgeView, Folding, NodeView, Snapshot, SnapshotFilter, TopologyGraph, UnknownNode};

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
