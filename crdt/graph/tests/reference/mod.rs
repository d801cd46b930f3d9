//! The graph worked out the slow way: every question reads every record.

mod names;

use std::collections::{BTreeMap, BTreeSet};

use holm_graph::{
    AttributeChange, ChangedElement, Diff, EdgeView, ElementsOf, NodeView, SiteElement, Snapshot,
    UnknownAttributes,
};
use holm_model::{
    Attributes, EdgeId, ElementId, Interval, IntervalSet, Millis, NodeId, NodeKind, SiteId,
};
pub(crate) use names::Names;

/// The last record of each site about each element.
#[derive(Default)]
pub(crate) struct Model(BTreeMap<(SiteId, ElementId), SiteElement>);

impl Model {
    pub(crate) fn set(&mut self, site: &SiteId, element: &SiteElement) {
        let key = (site.clone(), element.id.clone());
        if element.intervals.is_empty() {
            self.0.remove(&key);
        } else {
            self.0.insert(key, element.clone());
        }
    }

    pub(crate) fn records(&self) -> Vec<(SiteId, SiteElement)> {
        self.0.iter().map(|((site, _), e)| (site.clone(), e.clone())).collect()
    }

    /// Every element that a record is about or speaks of.
    pub(crate) fn ids(&self) -> BTreeSet<ElementId> {
        let told = self.0.keys().map(|(_, id)| id.clone());
        let ends = self.0.keys().flat_map(|(_, id)| nodes_of(id)).map(ElementId::Node);
        told.chain(ends).collect()
    }

    /// When `site` held `id` to be there, itself or by what it says of others.
    pub(crate) fn when(&self, site: &SiteId, id: &ElementId) -> IntervalSet {
        let says = |told: &ElementId| match id {
            ElementId::Node(node) => nodes_of(told).contains(node),
            _ => told == id,
        };
        let all = self.0.iter().filter(|((s, told), _)| s == site && says(told));
        all.map(|(_, e)| e.intervals.clone()).fold(IntervalSet::new(), |a, b| a.union(&b))
    }

    pub(crate) fn snapshot(&self, at: Millis) -> Snapshot {
        let mut nodes: BTreeMap<NodeId, (BTreeSet<SiteId>, Millis)> = BTreeMap::new();
        let mut edges: BTreeMap<EdgeId, (BTreeSet<SiteId>, Millis)> = BTreeMap::new();
        for ((site, id), element) in &self.0 {
            let Some(interval) = element.intervals.interval_at(at) else { continue };
            let add = |entry: &mut (BTreeSet<SiteId>, Millis)| {
                entry.0.insert(site.clone());
                entry.1 = entry.1.min(interval.from);
            };
            let new = || (BTreeSet::new(), interval.from);
            for node in nodes_of(id) {
                add(nodes.entry(node).or_insert_with(new));
            }
            if let ElementId::Edge(edge) = id {
                add(edges.entry(edge.clone()).or_insert_with(new));
            }
        }
        let nodes = nodes.into_iter().map(|(id, (sites, since))| NodeView {
            attributes: self.attributes(&[ElementId::Node(id.clone())], at),
            attributes_known_from: self.known_again(&[ElementId::Node(id.clone())], at),
            id,
            sites: sites.into_iter().collect(),
            since,
            aliases: Vec::new(),
        });
        let edges = edges.into_iter().map(|(id, (sites, since))| EdgeView {
            attributes: self.attributes(&[ElementId::Edge(id.clone())], at),
            attributes_known_from: self.known_again(&[ElementId::Edge(id.clone())], at),
            id,
            sites: sites.into_iter().collect(),
            since,
        });
        let (nodes, edges): (Vec<_>, Vec<_>) = (nodes.collect(), edges.collect());
        Snapshot { total_nodes: nodes.len(), total_edges: edges.len(), nodes, edges }
    }

    /// The snapshot with the names of one thing joined.
    pub(crate) fn folded(&self, at: Millis) -> Snapshot {
        let names = self.names(at);
        let whole = self.snapshot(at);
        let mut nodes: BTreeMap<NodeId, NodeView> = BTreeMap::new();
        for view in whole.nodes {
            let group = names.of(&view.id);
            let ids: Vec<ElementId> = group.iter().rev().cloned().map(ElementId::Node).collect();
            let node = nodes.entry(group[0].clone()).or_insert_with(|| NodeView {
                id: group[0].clone(),
                sites: Vec::new(),
                since: view.since,
                attributes: self.attributes(&ids, at),
                attributes_known_from: self.known_again(&ids, at),
                aliases: group[1..].to_vec(),
            });
            node.since = node.since.min(view.since);
            node.sites = union(&node.sites, &view.sites);
        }
        let mut edges: BTreeMap<EdgeId, EdgeView> = BTreeMap::new();
        for view in &whole.edges {
            let Some(id) = names.edge(&view.id) else { continue };
            let parts = whole.edges.iter().filter(|e| names.edge(&e.id).as_ref() == Some(&id));
            let mut ids: Vec<ElementId> = parts.map(|e| ElementId::Edge(e.id.clone())).collect();
            ids.sort();
            let edge = edges.entry(id.clone()).or_insert_with(|| EdgeView {
                id,
                sites: Vec::new(),
                since: view.since,
                attributes: Attributes::new(),
                attributes_known_from: self.known_again(&ids, at),
            });
            edge.since = edge.since.min(view.since);
            edge.sites = union(&edge.sites, &view.sites);
            edge.attributes = self.attributes(&ids, at);
        }
        let (nodes, edges): (Vec<_>, Vec<_>) =
            (nodes.into_values().collect(), edges.into_values().collect());
        Snapshot { total_nodes: nodes.len(), total_edges: edges.len(), nodes, edges }
    }

    /// Which names mean the same thing at `at`.
    pub(crate) fn names(&self, at: Millis) -> Names {
        let there = self.0.iter().filter(|(_, e)| e.intervals.contains(at));
        let said = there.filter_map(|((site, id), _)| match id {
            ElementId::Alias(alias) => Some((site, alias)),
            _ => None,
        });
        Names::of_statements(said, &|site| self.plan(site, at), &|node| {
            self.who_speaks_of(node, at)
        })
    }

    /// Every site that says anything of a node at `at`.
    fn who_speaks_of(&self, node: &NodeId, at: Millis) -> BTreeSet<SiteId> {
        let there = self.0.iter().filter(|(_, e)| e.intervals.contains(at));
        let speaks = there.filter(|((_, id), _)| nodes_of(id).contains(node));
        speaks.map(|((site, _), _)| site.clone()).collect()
    }

    /// The plan that a site says that it belongs to, from the time on when it first spoke of itself.
    fn plan(&self, site: &SiteId, at: Millis) -> Option<String> {
        let itself = ElementId::Node(NodeId::new(NodeKind::Site, site.as_str()).expect("valid"));
        let said = self.0.get(&(site.clone(), itself))?;
        let begun = said.intervals.as_slice()[0].from <= at;
        let plan = begun.then(|| attributes_of(said, at).get("holm.site.address_plan").cloned());
        plan.flatten().map(String::from)
    }

    pub(crate) fn diff(&self, from: Millis, to: Millis) -> Diff {
        self.compare((from, &Names::default()), (to, &Names::default()))
    }

    pub(crate) fn diff_folded(&self, from: Millis, to: Millis) -> Diff {
        self.compare((from, &self.names(from)), (to, &self.names(to)))
    }

    /// What a picture with these names shows each recorded element as.
    fn drawn(&self, names: &Names) -> BTreeMap<ElementId, BTreeSet<ElementId>> {
        let mut drawn: BTreeMap<ElementId, BTreeSet<ElementId>> = BTreeMap::new();
        for id in self.ids() {
            let Some(shown) = as_shown(&id, names) else { continue };
            let parts = drawn.entry(shown.clone()).or_default();
            match &shown {
                ElementId::Node(node) => {
                    parts.extend(names.of(node).into_iter().map(ElementId::Node));
                }
                _ => drop(parts.insert(id)),
            }
        }
        drawn
    }

    fn compare(&self, (from, earlier): (Millis, &Names), (to, later): (Millis, &Names)) -> Diff {
        let [then, now] = [earlier, later].map(|names| self.drawn(names));
        // All that the other moment draws as one with any of the parts, or by the same id.
        let with = |id: &ElementId,
                    parts: &BTreeSet<ElementId>,
                    names: &Names,
                    drawn: &BTreeMap<_, BTreeSet<_>>| {
            let ids = parts.iter().filter_map(|part| as_shown(part, names)).chain([id.clone()]);
            let all = ids.filter_map(|id| drawn.get(&id)).flatten().cloned();
            all.chain(parts.iter().cloned()).collect::<BTreeSet<ElementId>>()
        };
        let sites: BTreeSet<&SiteId> = self.0.keys().map(|(site, _)| site).collect();
        let when = |parts: &BTreeSet<ElementId>| {
            let each = parts.iter().flat_map(|part| sites.iter().map(move |site| (site, part)));
            let when = each.map(|(site, part)| self.when(site, part));
            when.fold(IntervalSet::new(), |a, b| a.union(&b))
        };
        let mut diff = Diff::default();
        let add = |list: &mut ElementsOf, id: &ElementId| {
            list.items.push(id.clone());
            list.total += 1;
        };
        for (id, parts) in &then {
            let is_there = when(&with(id, parts, later, &now)).contains(to);
            if when(parts).contains(from) && !is_there {
                add(&mut diff.vanished, id);
            }
        }
        for (id, parts) in now.iter().filter(|(_, parts)| when(parts).contains(to)) {
            let before = with(id, parts, earlier, &then);
            let whole = when(&before);
            if !whole.contains(from) {
                add(&mut diff.appeared, id);
                continue;
            }
            if gone_between(&whole, from, to) {
                add(&mut diff.returned, id);
            }
            let [before, after] = [&before, parts].map(|parts| in_order(id, parts));
            let known_from = self.known_again(&before, from).max(self.known_again(&after, to));
            if let Some(known_from) = known_from.filter(|_| from != to) {
                diff.unknown_total += 1;
                let (id, keys) = (id.clone(), Vec::new());
                diff.unknown.push(UnknownAttributes { id, known_from, keys });
                continue;
            }
            let attributes = changes(&self.attributes(&before, from), &self.attributes(&after, to));
            if !attributes.is_empty() && from != to {
                diff.changed.push(ChangedElement { id: id.clone(), attributes });
                diff.changed_total += 1;
            }
        }
        diff
    }

    /// Paths from `from` to `to` that packets took at some time in `[since, until]`, in order.
    pub(crate) fn ways(
        &self,
        from: &NodeId,
        to: &NodeId,
        since: Millis,
        until: Millis,
    ) -> Vec<String> {
        let mut found = BTreeSet::new();
        for ((_, id), element) in &self.0 {
            let ElementId::Path(path) = id else { continue };
            let nodes: Vec<&NodeId> = path.nodes().collect();
            let place = |wanted| nodes.iter().position(|n| *n == wanted);
            let leads = place(from).zip(place(to)).is_some_and(|(a, b)| a < b);
            if leads && (since.0..=until.0).any(|at| element.intervals.contains(Millis(at))) {
                found.insert(id.to_string());
            }
        }
        found.into_iter().collect()
    }

    /// Attributes of all sites that hold any of the elements to be there at `at`; the later written wins.
    fn attributes(&self, ids: &[ElementId], at: Millis) -> Attributes {
        let mut told = BTreeMap::new();
        for (place, id) in ids.iter().enumerate() {
            for ((site, i), e) in &self.0 {
                if i != id || !e.intervals.contains(at) {
                    continue;
                }
                for (key, value) in attributes_of(e, at) {
                    let said = (written(e, &key, at), site.clone(), place, value);
                    let of_key: &mut BTreeSet<_> = told.entry(key).or_default();
                    of_key.insert(said);
                }
            }
        }
        told.into_iter().filter_map(|(key, said)| Some((key, said.last()?.3.clone()))).collect()
    }

    /// From when on all is known, if some site that speaks at `at` has forgotten what was then.
    fn known_again(&self, ids: &[ElementId], at: Millis) -> Option<Millis> {
        let told = self.0.iter().filter(|((_, i), e)| ids.contains(i) && e.intervals.contains(at));
        told.map(|(_, e)| e.past.known_from()).filter(|known_from| at < *known_from).max()
    }
}

/// The nodes that an element says are there.
fn nodes_of(id: &ElementId) -> Vec<NodeId> {
    match id {
        ElementId::Node(node) => vec![node.clone()],
        ElementId::Edge(edge) => vec![edge.from.clone(), edge.to.clone()],
        ElementId::Path(path) => path.nodes().cloned().collect(),
        ElementId::Alias(_) => Vec::new(),
    }
}

fn gone_between(when: &IntervalSet, from: Millis, to: Millis) -> bool {
    !when.as_slice().iter().any(|i: &Interval| i.contains(from) && i.contains(to))
}

/// One record's attributes at `at`: of each key the value that ended first after it.
fn attributes_of(element: &SiteElement, at: Millis) -> Attributes {
    if at < element.past.known_from() {
        return Attributes::new();
    }
    let mut attributes = element.attributes.clone();
    let mut keys: BTreeSet<_> = attributes.keys().cloned().collect();
    keys.extend(element.past.as_slice().iter().map(|v| v.key.clone()));
    for key in keys {
        let mut ended = element.past.as_slice().iter().filter(|v| v.key == key && v.until > at);
        match ended.next().map(|v| v.value.clone()) {
            Some(Some(value)) => drop(attributes.insert(key, value)),
            Some(None) => drop(attributes.remove(&key)),
            None => {}
        }
    }
    attributes
}

fn written(element: &SiteElement, key: &str, at: Millis) -> Millis {
    let of_key = element.past.as_slice().iter().filter(|v| *v.key == *key && v.until <= at);
    let first = element.intervals.as_slice()[0].from.min(element.attributes_at);
    let never = if element.past.is_empty() { element.attributes_at } else { first };
    of_key.map(|v| v.until).max().unwrap_or(never)
}

fn as_shown(id: &ElementId, names: &Names) -> Option<ElementId> {
    match id {
        ElementId::Node(node) => Some(ElementId::Node(names.of(node)[0].clone())),
        ElementId::Edge(edge) => names.edge(edge).map(ElementId::Edge),
        other => Some(other.clone()),
    }
}

/// Of a node the shown name counts last, the others against their order; of all else the order counts.
fn in_order(id: &ElementId, parts: &BTreeSet<ElementId>) -> Vec<ElementId> {
    if !matches!(id, ElementId::Node(_)) {
        return parts.iter().cloned().collect();
    }
    parts.iter().rev().filter(|part| *part != id).chain([id]).cloned().collect()
}

fn changes(before: &Attributes, after: &Attributes) -> Vec<AttributeChange> {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differing = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    differing
        .map(|key| AttributeChange {
            key: key.clone(),
            before: before.get(key).cloned(),
            after: after.get(key).cloned(),
        })
        .collect()
}

fn union(a: &[SiteId], b: &[SiteId]) -> Vec<SiteId> {
    a.iter().chain(b).cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// What of `whole` lies within `depth` edges of `centre`.
pub(crate) fn around(whole: &Snapshot, centre: &NodeId, depth: u32) -> Snapshot {
    let mut near = BTreeSet::from([centre.clone()]);
    for _ in 0..depth {
        let touching = whole.edges.iter().map(|e| [e.id.from.clone(), e.id.to.clone()]);
        let ends: Vec<_> = touching.filter(|ends| ends.iter().any(|n| near.contains(n))).collect();
        near.extend(ends.into_iter().flatten());
    }
    let mut part = whole.clone();
    part.nodes.retain(|node| near.contains(&node.id));
    part.edges.retain(|edge| near.contains(&edge.id.from) && near.contains(&edge.id.to));
    (part.total_nodes, part.total_edges) = (part.nodes.len(), part.edges.len());
    part
}
