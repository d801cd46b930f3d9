//! What changed in a part of the topology between two moments.

use std::collections::BTreeMap;

use holm_graph::{
    AttributeChange, ChangedElement, Diff, ElementsOf, Folding, Snapshot, SnapshotFilter,
    TopologyGraph, UnknownAttributes,
};
use holm_model::{Attributes, EdgeId, ElementId, IntervalSet, Millis};

use super::error::ApiError;
use super::questions::Asked;

/// What changed in the part that `filter` chooses, at most `limit` of each list.
pub(super) fn between(
    asked: &Asked,
    filter: &SnapshotFilter,
    from: Millis,
    to: Millis,
    limit: usize,
) -> Result<Diff, ApiError> {
    let graph = asked.graph();
    let whole = filter.sites.is_none()
        && filter.node_kinds.is_none()
        && filter.edge_kinds.is_none()
        && filter.around.is_none();
    if whole {
        return Ok(match filter.fold_aliases {
            true => graph.diff_folded(from, to, limit),
            false => graph.diff(from, to, limit),
        });
    }
    let filter = SnapshotFilter { limit: None, ..filter.clone() };
    // What lies around a node that was not there is nothing.
    let shown = |at| graph.snapshot(at, &filter).map(seen).unwrap_or_default();
    let folding = if filter.fold_aliases { graph.folding(to) } else { Folding::default() };
    // By the names of the end, as in the whole diff: what got another name meanwhile did not go.
    let mut earlier = renamed(shown(from), &folding);
    asked.go_on()?;
    let later = shown(to);
    asked.go_on()?;
    let mut diff = Diff::default();
    let mut appeared = Vec::new();
    let mut returned = Vec::new();
    for (id, after) in later {
        let Some(before) = earlier.remove(&id) else {
            appeared.push(id);
            continue;
        };
        // It may have been held by several sites one after the other, without a gap.
        if after.since > from && was_gone(&graph, &folding, &filter, &id, (from, to)) {
            returned.push(id.clone());
        }
        let mut attributes = attribute_changes(&before.attributes, &after.attributes);
        if let Some(known_from) = before.known_from.max(after.known_from) {
            // What is missing at one end may be forgotten; what both ends have is certain.
            let certain =
                |change: &AttributeChange| change.before.is_some() && change.after.is_some();
            let keys = attributes.iter().filter(|change| !certain(change));
            let keys: Vec<Box<str>> = keys.map(|change| change.key.clone()).collect();
            if !keys.is_empty() {
                diff.unknown.push(UnknownAttributes { id: id.clone(), known_from, keys });
            }
            attributes.retain(certain);
        }
        if !attributes.is_empty() {
            diff.changed.push(ChangedElement { id, attributes });
        }
    }
    diff.appeared = first(appeared, limit);
    diff.vanished = first(earlier.into_keys().collect(), limit);
    diff.returned = first(returned, limit);
    diff.changed_total = diff.changed.len() as u64;
    diff.changed.truncate(limit);
    diff.unknown_total = diff.unknown.len() as u64;
    diff.unknown.truncate(limit);
    Ok(diff)
}

/// An element as a picture shows it.
struct Shown {
    since: Millis,
    attributes: Attributes,
    known_from: Option<Millis>,
}

fn seen(snapshot: Snapshot) -> BTreeMap<ElementId, Shown> {
    let nodes = snapshot.nodes.into_iter().map(|node| {
        let known_from = node.attributes_known_from;
        let (since, attributes) = (node.since, node.attributes);
        (ElementId::Node(node.id), Shown { since, attributes, known_from })
    });
    let edges = snapshot.edges.into_iter().map(|edge| {
        let known_from = edge.attributes_known_from;
        let (since, attributes) = (edge.since, edge.attributes);
        (ElementId::Edge(edge.id), Shown { since, attributes, known_from })
    });
    nodes.chain(edges).collect()
}

/// The elements by the names that `folding` shows; those that come to have one name are one.
fn renamed(all: BTreeMap<ElementId, Shown>, folding: &Folding) -> BTreeMap<ElementId, Shown> {
    let mut named: BTreeMap<ElementId, Shown> = BTreeMap::new();
    for (id, shown) in all {
        let id = match id {
            ElementId::Node(node) => ElementId::Node(folding.shown(&node).clone()),
            ElementId::Edge(edge) => {
                let (from, to) = (folding.shown(&edge.from), folding.shown(&edge.to));
                if from == to && edge.from != edge.to {
                    // Between two names of one thing: not drawn any more.
                    continue;
                }
                ElementId::Edge(EdgeId { from: from.clone(), kind: edge.kind, to: to.clone() })
            }
            other => other,
        };
        match named.get_mut(&id) {
            None => {
                named.insert(id, shown);
            }
            Some(one) => {
                one.since = one.since.min(shown.since);
                one.known_from = one.known_from.max(shown.known_from);
                for (key, value) in shown.attributes {
                    one.attributes.entry(key).or_insert(value);
                }
            }
        }
    }
    named
}

fn first(mut ids: Vec<ElementId>, limit: usize) -> ElementsOf {
    let total = ids.len() as u64;
    ids.truncate(limit);
    ElementsOf { items: ids, total }
}

fn attribute_changes(before: &Attributes, after: &Attributes) -> Vec<AttributeChange> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let mut keys: Vec<&Box<str>> = after.keys().chain(gone).collect();
    keys.sort_unstable();
    keys.into_iter()
        .filter(|key| before.get(*key) != after.get(*key))
        .map(|key| AttributeChange {
            key: key.clone(),
            before: before.get(key).cloned(),
            after: after.get(key).cloned(),
        })
        .collect()
}

/// Whether none of the sites asked about held the element at some time of the window.
fn was_gone(
    graph: &TopologyGraph,
    folding: &Folding,
    filter: &SnapshotFilter,
    id: &ElementId,
    (from, to): (Millis, Millis),
) -> bool {
    let Some(element) = graph.element_folded(id, folding) else { return false };
    let heard = |site| filter.sites.as_ref().is_none_or(|sites| sites.contains(site));
    let told = element.sites.iter().filter(|record| heard(&record.site));
    let intervals = told.flat_map(|record| record.intervals.as_slice()).copied();
    let all = IntervalSet::from_intervals(intervals);
    all.interval_at(from) != all.interval_at(to)
}
