//! Elements by what they are called, by what is said of them, and by address.

use std::sync::Arc;

use holm_model::{AttributeValue, EdgeId, ElementId, Millis, NodeId, SiteId};

use crate::TopologyGraph;
use crate::records::{Records, SiteIndex};
use crate::snapshot::said_at;
use crate::topology::{NodeIndex, NodeSlot};
use crate::wanted::{AttributeWanted, EndWanted, Fit, NodeWanted};

/// The first elements of a list, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ElementsOf {
    /// The first.
    pub items: Vec<ElementId>,
    /// All.
    pub total: u64,
}

impl ElementsOf {
    pub(crate) fn add(&mut self, id: ElementId) {
        self.items.push(id);
        self.total += 1;
    }

    pub(crate) fn keep(&mut self, limit: usize) {
        if limit < self.items.len() {
            self.items.select_nth_unstable(limit);
            self.items.truncate(limit);
        }
        self.items.sort_unstable();
    }
}

/// Something that was found, and by which of its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundNode {
    /// The id by which it is shown.
    pub id: NodeId,
    /// The name that fits; the same as `id`, or another that is folded into it.
    pub matched: NodeId,
    /// What is said of it that fits, if its names do not: the key and the value.
    pub attribute: Option<(Box<str>, Box<str>)>,
}

/// The first nodes that fit a text, and how many do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundNodes {
    /// The first, best first.
    pub items: Vec<FoundNode>,
    /// All.
    pub total: u64,
}

impl TopologyGraph {
    /// The nodes that are there at `at` and fit `text`, as [`TopologyGraph::search`] finds them where
    /// every name stands for itself.
    pub fn find(&self, text: &str, at: Millis, limit: usize) -> ElementsOf {
        let found = self.search(text, at, limit, false);
        let items = found.items.into_iter().map(|found| ElementId::Node(found.id));
        ElementsOf { items: items.collect(), total: found.total }
    }

    /// The nodes that are there at `at` and fit `text`: by id, name, the value of an attribute or `key=value`, whatever
    /// the case; for an address or prefix also the prefixes that hold it, longest first, and what lies in it. With `fold` by
    /// any of the names that are folded into one node, by the one that fits best. Best first, then by
    /// id; at most `limit`. Nothing fits an empty text.
    pub fn search(&self, text: &str, at: Millis, limit: usize, fold: bool) -> FoundNodes {
        let Some(wanted) = NodeWanted::of(text) else { return FoundNodes::default() };
        let joined = if fold { self.joined(at, &None) } else { Arc::default() };
        let mut found: Vec<(Fit, FoundNode)> = Vec::new();
        for (index, node) in (0..).zip(&self.nodes) {
            let Some(node) = node.as_ref().filter(|_| joined.shown(index) == index) else {
                continue;
            };
            let names = || joined.all(index).filter_map(|n| self.nodes[n as usize].as_ref());
            let fits = |slot: &NodeSlot| {
                let fit = wanted.fit(&slot.id);
                let attribute = match fit {
                    Some(_) => None,
                    None => Some(wanted.said_of(slot, at)?),
                };
                let (id, matched) = (node.id.clone(), slot.id.clone());
                Some((fit.unwrap_or(Fit::Attribute), FoundNode { id, matched, attribute }))
            };
            let best = names().filter_map(fits).min();
            if let Some(best) = best
                && names().any(|slot| self.is_there(slot, at))
            {
                found.push(best);
            }
        }
        found.sort_unstable();
        let total = found.len() as u64;
        FoundNodes { items: found.into_iter().take(limit).map(|(_, node)| node).collect(), total }
    }

    /// The edges that are there at `at` and fit `from|kind|to`, each part of the three a part of the id or left
    /// empty, whatever the case; an address fits however it is written, and an end with `@site` what that site says.
    /// In order, at most `limit`. With `fold` by any of the names of its ends, and by those that they are shown by.
    pub fn search_edges(&self, text: &str, at: Millis, limit: usize, fold: bool) -> ElementsOf {
        let wanted = text.trim().to_lowercase();
        let mut parts = wanted.splitn(3, '|');
        let [from, kind, to] = [(); 3].map(|()| parts.next().unwrap_or_default().trim());
        let mut found = ElementsOf::default();
        if [from, kind, to].iter().all(|part| part.is_empty()) {
            return found;
        }
        let [from, to] = [from, to].map(|end| EndWanted::of(end, self));
        let joined = if fold { self.joined(at, &None) } else { Arc::default() };
        // By node: whether any name of what it is a name of fits the one end, and the other.
        let mut fits: Vec<(bool, bool)> = vec![(false, false); self.nodes.len()];
        for (index, slot) in (0..).zip(&self.nodes) {
            let Some(slot) = slot else { continue };
            let shown: NodeIndex = joined.shown(index);
            fits[shown as usize].0 |= from.fits(&slot.id);
            fits[shown as usize].1 |= to.fits(&slot.id);
        }
        for edge in self.edges.iter().flatten() {
            let (start, end) = (joined.shown(edge.from), joined.shown(edge.to));
            let of_ends = fits[start as usize].0 && fits[end as usize].1;
            let fits = of_ends && edge.kind.as_str().contains(kind);
            // Between two names of one thing there is none.
            let is_within = start == end && edge.from != edge.to;
            let is_meant = |site: SiteIndex| [&from, &to].iter().all(|e| e.is_of(site));
            let mut said = said_at(&edge.records, at, &None);
            if fits && !is_within && said.any(|(site, _)| is_meant(site)) {
                let ends = self.id_of(start).cloned().zip(self.id_of(end).cloned());
                let id = ends.map(|(from, to)| EdgeId { from, kind: edge.kind, to });
                found.items.extend(id.map(ElementId::Edge));
            }
        }
        found.items.sort_unstable();
        found.items.dedup();
        found.total = found.items.len() as u64;
        found.keep(limit);
        found
    }

    /// The edges of which a site says at `at` what `key=value` asks for: the key, and a part of the value, whatever the
    /// case. In order, at most `limit`; with `fold` by what their ends are shown as.
    pub fn search_edges_said(
        &self,
        text: &str,
        at: Millis,
        limit: usize,
        fold: bool,
    ) -> ElementsOf {
        let mut found = ElementsOf::default();
        let Some(wanted) = AttributeWanted::of(text) else { return found };
        let joined = if fold { self.joined(at, &None) } else { Arc::default() };
        for edge in self.edges.iter().flatten() {
            let (start, end) = (joined.shown(edge.from), joined.shown(edge.to));
            let is_within = start == end && edge.from != edge.to;
            let mut said = said_at(&edge.records, at, &None);
            if !is_within && said.any(|(_, record)| wanted.find(&record.attributes(at)).is_some()) {
                let ends = self.id_of(start).cloned().zip(self.id_of(end).cloned());
                let id = ends.map(|(from, to)| EdgeId { from, kind: edge.kind, to });
                found.items.extend(id.map(ElementId::Edge));
            }
        }
        found.items.sort_unstable();
        found.items.dedup();
        found.total = found.items.len() as u64;
        found.keep(limit);
        found
    }

    /// Whether a site recorded the node, an edge that ends in it or a path over it, at `at`.
    fn is_there(&self, node: &NodeSlot, at: Millis) -> bool {
        let said = |records: &Records| said_at(records, at, &None).next().is_some();
        let edges = node.out.iter().chain(&node.into);
        let paths = node.paths.iter().filter_map(|&path| self.paths.get(path));
        said(&node.records)
            || edges.filter_map(|&e| self.edges[e as usize].as_ref()).any(|e| said(&e.records))
            || paths.into_iter().any(|path| said(&path.records))
    }
}

impl TopologyGraph {
    /// The elements of which a site says at `at` that `key` is `value`, or a list that holds it; each with
    /// that site, in order.
    pub fn with_attribute(&self, key: &str, value: &str, at: Millis) -> Vec<(ElementId, SiteId)> {
        let mut found = Vec::new();
        let mut add = |records: &Records, id: &dyn Fn() -> Option<ElementId>| {
            for (site, record) in said_at(records, at, &None) {
                let attributes = record.attributes(at);
                if attributes.get(key).is_some_and(|said| AttributeValue::holds(key, said, value)) {
                    found.extend(id().map(|id| (id, self.sites[site as usize].clone())));
                }
            }
        };
        for node in self.nodes.iter().flatten() {
            add(&node.records, &|| Some(ElementId::Node(node.id.clone())));
        }
        for edge in self.edges.iter().flatten() {
            add(&edge.records, &|| self.edge_id(edge).map(ElementId::Edge));
        }
        found.sort_unstable();
        found
    }
}
