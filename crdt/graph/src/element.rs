//! Questions about one element, what is next to it, and what answers stand on.

use holm_model::{Attributes, EdgeId, EdgeKind, ElementId, IntervalSet, Millis, NodeId};

use crate::records::{Record, Records, SiteIndex};
use crate::snapshot::{Heard, presence_at, said_at};
use crate::topology::{EdgeIndex, EdgeSlot, NodeIndex, NodeSlot};
use crate::{
    Coverage, Direction, ElementView, Folding, MeantBySite, Neighbour, NeighboursOf, SaidBefore,
    SiteRecord, TopologyGraph, UnknownNode,
};

impl TopologyGraph {
    /// One element with all that each site says about it, at any time. What a site says about a
    /// node includes the edges that end there. A name that only an alias speaks of has no records.
    pub fn element(&self, id: &ElementId) -> Option<ElementView> {
        self.element_folded(id, &Folding::default())
    }

    /// One element as it is shown where names are folded, by any of its names: what each site says of
    /// it by all of them. The id of the answer is the one that is shown.
    pub fn element_folded(&self, id: &ElementId, folding: &Folding) -> Option<ElementView> {
        let mut view = View::default();
        match id {
            ElementId::Node(node) => {
                let names = folding.names(node).into_iter().map(|name| (name, None));
                self.node_by_names(&names.collect::<Vec<_>>())
            }
            ElementId::Edge(edge) => {
                let (from, to) = (folding.shown(&edge.from), folding.shown(&edge.to));
                let id = EdgeId { from: from.clone(), kind: edge.kind, to: to.clone() };
                let (names, whole) = (folding.names(from), ElementId::Edge(id));
                if names.len() == 1 && folding.names(to).len() == 1 {
                    view.add(whole.clone(), self.records(&whole)?, |_| true);
                    return Some(self.answer(whole, view));
                }
                let mut parts = Vec::new();
                for slot in names.iter().filter_map(|name| Some(self.node_named(name)?.1)) {
                    let edges = slot.out.iter().filter_map(|&e| self.edges[e as usize].as_ref());
                    for part in edges.filter(|part| part.kind == edge.kind) {
                        let ends = self.id_of(part.from).zip(self.id_of(part.to));
                        let ends = ends.filter(|(_, id)| folding.shown(id) == to);
                        parts.extend(ends.map(|(from, to)| {
                            let (from, to) = (from.clone(), to.clone());
                            (EdgeId { from, kind: part.kind, to }, &part.records)
                        }));
                    }
                }
                parts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                let any = !parts.is_empty();
                parts
                    .into_iter()
                    .for_each(|(id, said)| view.add(ElementId::Edge(id), said, |_| true));
                any.then(|| self.answer(whole, view))
            }
            ElementId::Path(_) | ElementId::Alias(_) => {
                view.add(id.clone(), self.records(id)?, |_| true);
                Some(self.answer(id.clone(), view))
            }
        }
    }

    /// A node by all its names, the shown one first, as far as each is said by those that are heard.
    pub(crate) fn node_by_names(&self, names: &[(NodeId, Heard)]) -> Option<ElementView> {
        let mut view = View::default();
        let counts = |heard: &Heard, by: &SiteIndex| heard.as_ref().is_none_or(|h| h.contains(by));
        // The shown name last: of two values written in one moment its own is the one.
        let known =
            names.iter().rev().filter_map(|(n, heard)| Some((self.node_named(n)?.1, heard)));
        let slots: Vec<(&NodeSlot, &Heard)> = known.collect();
        if slots.is_empty() {
            return None;
        }
        for (slot, heard) in &slots {
            view.add(ElementId::Node(slot.id.clone()), &slot.records, |by| counts(heard, by));
        }
        let implied = view.told.is_empty();
        for (slot, heard) in slots {
            for (site, when) in self.implied(slot).into_iter().filter(|(by, _)| counts(heard, by)) {
                view.exists(site, &when);
            }
        }
        let mut answer = self.answer(ElementId::Node(names.first()?.0.clone()), view);
        answer.implied = implied;
        answer.names = names.iter().map(|(name, _)| name.clone()).collect();
        Some(answer)
    }

    pub(crate) fn answer(&self, id: ElementId, view: View<'_>) -> ElementView {
        let mut sites: Vec<SiteRecord> = Vec::new();
        for (site, intervals) in view.when {
            let mut own: Vec<(&Record, &ElementId)> = Vec::new();
            own.extend(view.told.iter().filter(|(s, ..)| *s == site).map(|(_, r, id)| (*r, id)));
            own.sort_by_key(|(record, _)| record.attributes_at);
            let (mut attributes, mut past) = (Attributes::new(), Vec::new());
            let mut known_from = Millis(0);
            for (record, id) in &own {
                attributes.extend(record.attributes.iter().map(|(k, v)| (k.clone(), v.clone())));
                let Some(before) = &record.past else { continue };
                known_from = known_from.max(before.known_from());
                let of = (own.len() > 1).then(|| (*id).clone());
                let said = before.as_slice().iter().cloned();
                past.extend(said.map(|value| SaidBefore { of: of.clone(), value }));
            }
            past.sort_by(|a, b| (&a.value, &a.of).cmp(&(&b.value, &b.of)));
            let attributes_at = own.last().map_or(Millis(0), |(record, _)| record.attributes_at);
            let site = self.site_name(site);
            sites.push(SiteRecord { site, intervals, attributes, attributes_at, past, known_from });
        }
        sites.sort_by(|a, b| a.site.cmp(&b.site));
        let told = view.told.iter().map(|(site, record, _)| (*site, *record));
        let (attributes, _) = self.merge_attributes(told, Millis(u64::MAX));
        ElementView { id, sites, attributes, implied: false, names: Vec::new() }
    }

    /// The nodes next to `node` at `at`, in order.
    ///
    /// # Errors
    /// [`UnknownNode`] if the node is not there at `at`.
    pub fn neighbours(&self, node: &NodeId, at: Millis) -> Result<Vec<Neighbour>, UnknownNode> {
        self.neighbours_folded(node, at, &Folding::default())
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
        let meant = MeantBySite::everybody(node, folding);
        let found = self.neighbours_meant(&meant, at, folding, usize::MAX);
        found.map(|found| found.items).ok_or_else(|| UnknownNode { node: node.clone(), at })
    }

    /// The first `limit` of the nodes next to one by all its names, in order; `None` if it is not there.
    pub(crate) fn neighbours_by_names(
        &self,
        names: &[(NodeId, Heard)],
        at: Millis,
        folding: &Folding,
        limit: usize,
    ) -> Option<NeighboursOf> {
        let own = |other: &NodeId| names.iter().any(|(name, _)| name == other);
        let mut found: Vec<(&NodeId, EdgeKind, Direction)> = Vec::new();
        let mut there = false;
        for (name, heard) in names {
            let Some((_, slot)) = self.node_named(name) else { continue };
            let paths = slot.paths.iter().filter_map(|&path| self.paths.get(path));
            let on_a_path =
                paths.into_iter().any(|p| said_at(&p.records, at, heard).next().is_some());
            there |= on_a_path || said_at(&slot.records, at, heard).next().is_some();
            let mut look =
                |list: &[EdgeIndex], direction: Direction, end: fn(&EdgeSlot) -> NodeIndex| {
                    for edge in list.iter().filter_map(|&e| self.edges[e as usize].as_ref()) {
                        if said_at(&edge.records, at, heard).next().is_none() {
                            continue;
                        }
                        there = true;
                        let Some(id) = self.id_of(end(edge)) else { continue };
                        let other = folding.shown(id);
                        // From one name of a thing to another: within the thing.
                        if own(id) && id != name {
                            continue;
                        }
                        found.push((other, edge.kind, direction));
                    }
                };
            look(&slot.out, Direction::Out, |edge| edge.to);
            look(&slot.into, Direction::In, |edge| edge.from);
        }
        if !there {
            return None;
        }
        found.sort_unstable();
        found.dedup();
        let total = found.len() as u64;
        let items = found.into_iter().take(limit).map(|(node, kind, direction)| Neighbour {
            node: node.clone(),
            kind,
            direction,
        });
        Some(NeighboursOf { items: items.collect(), total })
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

    pub(crate) fn id_of(&self, node: NodeIndex) -> Option<&NodeId> {
        self.nodes[node as usize].as_ref().map(|slot| &slot.id)
    }
}

/// What is said about one element, by whom.
#[derive(Default)]
pub(crate) struct View<'a> {
    told: Vec<(SiteIndex, &'a Record, ElementId)>,
    when: Vec<(SiteIndex, IntervalSet)>,
}

impl<'a> View<'a> {
    pub(crate) fn add(
        &mut self,
        id: ElementId,
        records: &'a Records,
        counts: impl Fn(&SiteIndex) -> bool,
    ) {
        for (site, record) in records.iter().filter(|(site, _)| counts(site)) {
            self.told.push((site, record, id.clone()));
            self.exists(site, &record.intervals);
        }
    }

    fn exists(&mut self, site: SiteIndex, intervals: &IntervalSet) {
        match self.when.iter_mut().find(|(known, _)| *known == site) {
            Some((_, when)) => *when = when.union(intervals),
            None => self.when.push((site, intervals.clone())),
        }
    }
}
