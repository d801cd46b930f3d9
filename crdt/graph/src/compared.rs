//! The pictures of two moments side by side: what of the one is what of the other.
//!
//! Each moment has its own names for what it shows. What the two show is one thing if it has a name in common, and an
//! edge also if both draw it between the same ids.

use std::collections::BTreeSet;

use holm_model::{EdgeId, EdgeKind, ElementId, IntervalSet, Millis};

use crate::diff::{Part, all_intervals, are_open};
use crate::joining::Joined;
use crate::order::Order;
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

/// What a picture draws an edge as: from, kind, to.
type Drawing = (NodeIndex, EdgeKind, NodeIndex);

/// Edges by what a picture draws them as, those of one drawing in order of their ids; what is within one thing is
/// not drawn.
#[derive(Default)]
struct Drawn<'a>(Vec<(Drawing, &'a EdgeSlot)>);

impl<'a> Drawn<'a> {
    /// The edges drawn as one, for each.
    fn each(&self) -> impl Iterator<Item = (Drawing, Vec<&'a EdgeSlot>)> {
        let alike = self.0.chunk_by(|(a, _), (b, _)| a == b);
        alike.map(|edges| (edges[0].0, edges.iter().map(|(_, edge)| *edge).collect()))
    }

    /// The edges drawn as `drawing`.
    fn of(&self, drawing: Drawing) -> impl Iterator<Item = &'a EdgeSlot> {
        let first = self.0.partition_point(|(other, _)| *other < drawing);
        let alike = self.0[first..].iter().take_while(move |(other, _)| *other == drawing);
        alike.map(|(_, edge)| *edge)
    }
}

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
        self.graph.exists_at(&slots, &self.part.heard, at)
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
        let [mut then, mut now, mut both] = [const { Drawn(Vec::new()) }; 3];
        for edge in self.graph.edges.iter().flatten() {
            if self.is_settled(edge.from) && self.is_settled(edge.to) {
                let has_one = |node| joined.shown(node) == node && joined.others(node).is_empty();
                match drawn_as(edge, joined) {
                    Some(drawing) if has_one(edge.from) && has_one(edge.to) => {
                        if let Some(id) = self.id(drawing) {
                            self.take_one(id, &edge.records);
                        }
                    }
                    Some(drawing) => both.0.push((drawing, edge)),
                    None => {}
                }
                continue;
            }
            for (drawn, names) in [(&mut then, before), (&mut now, joined)] {
                drawn.0.extend(drawn_as(edge, names).map(|drawing| (drawing, edge)));
            }
        }
        let order = self.graph.order();
        for Drawn(edges) in [&mut then, &mut now, &mut both] {
            edges.sort_unstable_by_key(|(drawing, edge)| (*drawing, order.of_edge(edge)));
        }
        for (drawing, parts) in both.each() {
            let Some(id) = self.id(drawing) else { continue };
            let records = records_of(&parts);
            let when = all_intervals(&records, &self.part.heard);
            self.take_both(id, when, records);
        }
        for (drawing, parts) in now.each() {
            let Some(id) = self.id(drawing).filter(|_| self.any(&parts, self.to)) else { continue };
            let earlier = parts_of((drawing, &parts), before, &then, &order);
            let was = self.any(&earlier, self.from);
            let [records, after] = [&earlier, &parts].map(|edges| records_of(edges));
            let when = all_intervals(&records, &self.part.heard);
            self.take(Both { id, when, was, is: true, before: records, after });
        }
        for (drawing, parts) in then.each() {
            let Some(id) = self.id(drawing).filter(|_| self.any(&parts, self.from)) else {
                continue;
            };
            let later = parts_of((drawing, &parts), joined, &now, &order);
            if !self.any(&later, self.to) {
                self.take(Both::gone(id));
            }
        }
    }

    fn any(&self, edges: &[&'a EdgeSlot], at: Millis) -> bool {
        edges.iter().any(|edge| are_open(&edge.records, &self.part.heard, at))
    }

    fn id(&self, (from, kind, to): Drawing) -> Option<ElementId> {
        let id = |node: NodeIndex| self.graph.id_of(node).cloned();
        Some(ElementId::Edge(EdgeId { from: id(from)?, kind, to: id(to)? }))
    }
}

/// What a picture with these names draws an edge as.
fn drawn_as(edge: &EdgeSlot, names: &Joined) -> Option<Drawing> {
    let (from, to) = (names.shown(edge.from), names.shown(edge.to));
    let is_within = from == to && edge.from != edge.to;
    (!is_within).then_some((from, edge.kind, to))
}

/// Edges with all that the other moment draws as one with any of them, and what it draws as they are drawn; in order
/// of their ids.
fn parts_of<'a>(
    (drawing, edges): (Drawing, &[&'a EdgeSlot]),
    names: &Joined,
    drawn: &Drawn<'a>,
    order: &Order,
) -> Vec<&'a EdgeSlot> {
    let mut drawings: Vec<Drawing> =
        edges.iter().filter_map(|edge| drawn_as(edge, names)).collect();
    drawings.push(drawing);
    drawings.sort_unstable();
    drawings.dedup();
    let all = drawings.into_iter().flat_map(|drawing| drawn.of(drawing));
    let mut all: Vec<_> = all.chain(edges.iter().copied()).collect();
    all.sort_unstable_by_key(|edge| order.of_edge(edge));
    all.dedup_by_key(|edge| order.of_edge(edge));
    all
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
