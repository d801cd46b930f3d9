//! The pictures of two moments side by side: what of the one is what of the other.
//!
//! Each moment has its own names for what it shows. What the two show is one thing if it has a name in common, and an
//! edge also if both draw it between the same ids.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::{EdgeId, ElementId, IntervalSet, Millis, NodeId};

use crate::diff::{Part, all_intervals};
use crate::joining::Joined;
use crate::records::Records;
use crate::topology::{EdgeSlot, NodeIndex, NodeSlot};
use crate::{ChangedElement, Diff, TopologyGraph, UnknownAttributes};

/// What is found as two moments are compared.
pub(crate) struct Found<'a> {
    pub(crate) graph: &'a TopologyGraph,
    pub(crate) part: &'a Part,
    pub(crate) from: Millis,
    pub(crate) to: Millis,
    pub(crate) diff: Diff,
}

/// One thing at both moments: what it was made of, and what it is.
struct Both<'a> {
    id: ElementId,
    /// When any of it was there.
    when: IntervalSet,
    was: bool,
    is: bool,
    before: Vec<&'a Records>,
    after: Vec<&'a Records>,
}

impl Both<'_> {
    /// There at the earlier moment only.
    fn gone(id: ElementId) -> Self {
        let (when, before, after) = (IntervalSet::new(), Vec::new(), Vec::new());
        Self { id, when, was: true, is: false, before, after }
    }
}

/// Edges by what a picture shows them as; what is within one thing is not shown.
type Drawn<'a> = BTreeMap<EdgeId, Vec<&'a EdgeSlot>>;

impl<'a> Found<'a> {
    /// Something with one name at both moments.
    pub(crate) fn take_one(&mut self, id: ElementId, records: &'a Records) {
        let when = all_intervals(&[records], &self.part.heard);
        self.take_both(id, when, vec![records]);
    }

    /// The same made of several records.
    fn take_both(&mut self, id: ElementId, when: IntervalSet, records: Vec<&'a Records>) {
        let (was, is) = (when.contains(self.from), when.contains(self.to));
        self.take(Both { id, when, was, is, before: records.clone(), after: records });
    }

    /// Whether a node has the same names at both moments.
    fn is_settled(&self, node: NodeIndex) -> bool {
        let Part { before, joined, .. } = self.part;
        let shown = joined.shown(node);
        before.shown(node) == shown && before.others(shown) == joined.others(shown)
    }

    fn take(&mut self, both: Both<'_>) {
        let Both { id, when, was, is, before, after } = both;
        if self.part.shown.as_ref().is_some_and(|shown| !shown.contains(&id)) {
            return;
        }
        let (from, to) = (self.from, self.to);
        match (was, is) {
            (false, true) => self.diff.appeared.add(id),
            (true, false) => self.diff.vanished.add(id),
            (true, true) => {
                if when.interval_at(from) != when.interval_at(to) {
                    self.diff.returned.add(id.clone());
                }
                let said = (&*before, &*after);
                let (attributes, unknown) =
                    self.graph.attribute_changes(said, &self.part.heard, from, to);
                if let Some((known_from, keys)) = unknown {
                    self.diff.unknown.push(UnknownAttributes { id: id.clone(), known_from, keys });
                }
                if !attributes.is_empty() {
                    self.diff.changed.push(ChangedElement { id, attributes });
                }
            }
            (false, false) => {}
        }
    }

    pub(crate) fn nodes(&mut self) {
        let Part { before, joined, .. } = self.part;
        for (index, node) in (0..).zip(&self.graph.nodes) {
            let Some(node) = node.as_ref() else { continue };
            let id = ElementId::Node(node.id.clone());
            if self.is_settled(index) {
                if joined.shown(index) == index {
                    let names: Vec<NodeIndex> = joined.all(index).collect();
                    let slots = self.slots(&names, index);
                    let when = self.graph.existence(&slots, &self.part.heard);
                    let records: Vec<_> = slots.iter().map(|slot| &slot.records).collect();
                    self.take_both(id, when, records);
                }
                continue;
            }
            if joined.shown(index) == index {
                self.node(id.clone(), index);
            }
            if before.shown(index) == index {
                self.gone_node(id, index);
            }
        }
    }

    /// What the later moment shows by several names, or the earlier did.
    fn node(&mut self, id: ElementId, index: NodeIndex) {
        let names: Vec<NodeIndex> = self.part.joined.all(index).collect();
        if !self.exists(&names, self.to) {
            return;
        }
        let earlier = others_of(&self.part.before, &names);
        let was = self.exists(&earlier, self.from);
        let slots = self.slots(&earlier, index);
        let when = self.graph.existence(&slots, &self.part.heard);
        let records =
            |slots: Vec<&'a NodeSlot>| slots.into_iter().map(|slot| &slot.records).collect();
        let (before, after) = (records(slots), records(self.slots(&names, index)));
        self.take(Both { id, when, was, is: true, before, after });
    }

    /// What the earlier moment shows, if none of it is there any more.
    fn gone_node(&mut self, id: ElementId, index: NodeIndex) {
        let names: Vec<NodeIndex> = self.part.before.all(index).collect();
        let later = others_of(&self.part.joined, &names);
        if self.exists(&names, self.from) && !self.exists(&later, self.to) {
            self.take(Both::gone(id));
        }
    }

    fn exists(&self, names: &[NodeIndex], at: Millis) -> bool {
        let slots: Vec<&NodeSlot> = self.slots(names, NodeIndex::MAX);
        self.graph.existence(&slots, &self.part.heard).contains(at)
    }

    /// Names against their order, the shown one last: of two values written in one moment its own is the one.
    fn slots(&self, names: &[NodeIndex], shown: NodeIndex) -> Vec<&'a NodeSlot> {
        let graph = self.graph;
        let slot = |&index: &NodeIndex| graph.nodes.get(index as usize)?.as_ref();
        let mut slots: Vec<&NodeSlot> =
            names.iter().filter(|&&name| name != shown).filter_map(slot).collect();
        slots.sort_by(|a, b| b.id.cmp(&a.id));
        slots.extend(slot(&shown));
        slots
    }

    pub(crate) fn edges(&mut self) {
        let Part { before, joined, .. } = self.part;
        let (mut then, mut now, mut both) = (Drawn::new(), Drawn::new(), Drawn::new());
        for edge in self.graph.edges.iter().flatten() {
            if self.is_settled(edge.from) && self.is_settled(edge.to) {
                let has_one = |node| joined.shown(node) == node && joined.others(node).is_empty();
                match self.drawn_as(edge, joined) {
                    Some(id) if has_one(edge.from) && has_one(edge.to) => {
                        self.take_one(ElementId::Edge(id), &edge.records);
                    }
                    Some(id) => both.entry(id).or_default().push(edge),
                    None => {}
                }
                continue;
            }
            for (drawn, names) in [(&mut then, before), (&mut now, joined)] {
                if let Some(id) = self.drawn_as(edge, names) {
                    drawn.entry(id).or_default().push(edge);
                }
            }
        }
        let all = then.values_mut().chain(now.values_mut()).chain(both.values_mut());
        for parts in all.filter(|parts| parts.len() > 1) {
            parts.sort_by_cached_key(|edge| self.graph.edge_id(edge));
        }
        for (id, parts) in both {
            let records = records_of(&parts);
            let when = all_intervals(&records, &self.part.heard);
            self.take_both(ElementId::Edge(id), when, records);
        }
        for (id, parts) in &now {
            if !self.any(parts, self.to) {
                continue;
            }
            let earlier = self.parts(parts, id, before, &then);
            let was = self.any(&earlier, self.from);
            let [records, after] = [&earlier, parts].map(|edges| records_of(edges));
            let when = all_intervals(&records, &self.part.heard);
            let id = ElementId::Edge(id.clone());
            self.take(Both { id, when, was, is: true, before: records, after });
        }
        for (id, parts) in &then {
            let later = self.parts(parts, id, joined, &now);
            if self.any(parts, self.from) && !self.any(&later, self.to) {
                self.take(Both::gone(ElementId::Edge(id.clone())));
            }
        }
    }

    /// Edges with all that the other moment draws as one with any of them, and what it draws by their id.
    fn parts(
        &self,
        edges: &[&'a EdgeSlot],
        id: &EdgeId,
        names: &Joined,
        drawn: &Drawn<'a>,
    ) -> Vec<&'a EdgeSlot> {
        let ids = edges.iter().filter_map(|edge| self.drawn_as(edge, names));
        let ids: BTreeSet<EdgeId> = ids.chain([id.clone()]).collect();
        let all = ids.iter().filter_map(|id| drawn.get(id)).flatten().chain(edges);
        let by_id: BTreeMap<Option<EdgeId>, &'a EdgeSlot> =
            all.map(|edge| (self.graph.edge_id(edge), *edge)).collect();
        by_id.into_values().collect()
    }

    fn any(&self, edges: &[&'a EdgeSlot], at: Millis) -> bool {
        all_intervals(&records_of(edges), &self.part.heard).contains(at)
    }

    /// What a picture with these names shows an edge as.
    fn drawn_as(&self, edge: &EdgeSlot, names: &Joined) -> Option<EdgeId> {
        let (from, to) = (names.shown(edge.from), names.shown(edge.to));
        let id = |node: NodeIndex| -> Option<NodeId> { self.graph.id_of(node).cloned() };
        let is_within = from == to && edge.from != edge.to;
        (!is_within).then_some(())?;
        Some(EdgeId { from: id(from)?, kind: edge.kind, to: id(to)? })
    }
}

fn records_of<'a>(edges: &[&'a EdgeSlot]) -> Vec<&'a Records> {
    edges.iter().map(|edge| &edge.records).collect()
}

/// Names with all others that each of them has then.
fn others_of(names: &Joined, of: &[NodeIndex]) -> Vec<NodeIndex> {
    let all = of.iter().flat_map(|&name| names.all(names.shown(name)));
    let all: BTreeSet<NodeIndex> = all.chain(of.iter().copied()).collect();
    all.into_iter().collect()
}
