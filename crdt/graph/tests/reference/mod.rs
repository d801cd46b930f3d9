//! The graph worked out the slow way: every question reads every record.

use std::collections::{BTreeMap, BTreeSet};

use holm_graph::{
    AttributeChange, ChangedElement, Diff, EdgeView, ElementsOf, NodeView, SiteElement, Snapshot,
};
use holm_model::{
    AliasId, Attributes, EdgeId, ElementId, Interval, IntervalSet, Millis, NodeId, SiteId,
};

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
            attributes: self.attributes(&ElementId::Node(id.clone()), at),
            id,
            sites: sites.into_iter().collect(),
            since,
            aliases: Vec::new(),
        });
        let edges = edges.into_iter().map(|(id, (sites, since))| EdgeView {
            attributes: self.attributes(&ElementId::Edge(id.clone()), at),
            id,
            sites: sites.into_iter().collect(),
            since,
        });
        let (nodes, edges): (Vec<_>, Vec<_>) = (nodes.collect(), edges.collect());
        Snapshot { total_nodes: nodes.len(), total_edges: edges.len(), nodes, edges }
    }

    /// The snapshot with aliases folded, where only hosts have any: the least name of each group.
    pub(crate) fn folded(&self, at: Millis) -> Snapshot {
        let aliases: Vec<AliasId> = self
            .0
            .iter()
            .filter(|(_, e)| e.intervals.contains(at))
            .filter_map(|((_, id), _)| match id {
                ElementId::Alias(alias) => Some(alias.clone()),
                _ => None,
            })
            .collect();
        let least = |node: &NodeId| {
            let mut group = BTreeSet::from([node.clone()]);
            loop {
                let grown: BTreeSet<NodeId> = aliases
                    .iter()
                    .filter(|a| a.ends().iter().any(|end| group.contains(*end)))
                    .flat_map(|a| a.ends().map(Clone::clone))
                    .chain(group.clone())
                    .collect();
                if grown.len() == group.len() {
                    return group.pop_first().expect("the node itself");
                }
                group = grown;
            }
        };
        let whole = self.snapshot(at);
        let mut nodes: Vec<NodeView> = Vec::new();
        // The one that is shown comes before its other names, because it is the least.
        for view in whole.nodes {
            let shown = least(&view.id);
            let other = (shown != view.id).then(|| view.id.clone());
            let Some(node) = nodes.iter_mut().find(|n| n.id == shown) else {
                let aliases = other.into_iter().collect();
                nodes.push(NodeView { id: shown, aliases, ..view });
                continue;
            };
            node.aliases.extend(other);
            node.since = node.since.min(view.since);
            node.sites = union(&node.sites, &view.sites);
            fill(&mut node.attributes, view.attributes);
        }
        let mut edges: Vec<EdgeView> = Vec::new();
        for view in whole.edges {
            let id = EdgeId { from: least(&view.id.from), to: least(&view.id.to), ..view.id };
            if id.from == id.to && view.id.from != view.id.to {
                continue;
            }
            let Some(edge) = edges.iter_mut().find(|e| e.id == id) else {
                edges.push(EdgeView { id, ..view });
                continue;
            };
            edge.since = edge.since.min(view.since);
            edge.sites = union(&edge.sites, &view.sites);
            fill(&mut edge.attributes, view.attributes);
        }
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        edges.sort_by(|a, b| a.id.cmp(&b.id));
        Snapshot { total_nodes: nodes.len(), total_edges: edges.len(), nodes, edges }
    }

    pub(crate) fn diff(&self, from: Millis, to: Millis) -> Diff {
        let mut diff = Diff::default();
        for id in self.ids() {
            let sites: BTreeSet<&SiteId> = self.0.keys().map(|(site, _)| site).collect();
            let when = sites.into_iter().map(|site| self.when(site, &id));
            let when = when.fold(IntervalSet::new(), |a, b| a.union(&b));
            let add = |list: &mut ElementsOf| {
                list.items.push(id.clone());
                list.total += 1;
            };
            match (when.contains(from), when.contains(to)) {
                (false, true) => add(&mut diff.appeared),
                (true, false) => add(&mut diff.vanished),
                (false, false) => {}
                (true, true) => {
                    if gone_between(&when, from, to) {
                        add(&mut diff.returned);
                    }
                    let attributes =
                        changes(&self.attributes(&id, from), &self.attributes(&id, to));
                    if !attributes.is_empty() {
                        diff.changed.push(ChangedElement { id, attributes });
                        diff.changed_total += 1;
                    }
                }
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

    /// Attributes of all sites that hold the element to be there at `at`; the later written wins.
    fn attributes(&self, id: &ElementId, at: Millis) -> Attributes {
        let mut told: Vec<_> = self
            .0
            .iter()
            .filter(|((_, i), e)| i == id && e.intervals.contains(at))
            .map(|((site, _), e)| (written(e, at), site.clone(), attributes_of(e, at)))
            .collect();
        told.sort();
        told.into_iter().flat_map(|(_, _, attributes)| attributes).collect()
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
    let at = at.max(element.past.known_from());
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

fn written(element: &SiteElement, at: Millis) -> Millis {
    let ended = element.past.as_slice().iter().map(|v| v.until).filter(|until| *until <= at);
    if element.past.is_empty() || element.attributes_at <= at {
        element.attributes_at
    } else {
        ended.max().unwrap_or_default()
    }
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

fn fill(have: &mut Attributes, more: Attributes) {
    for (key, value) in more {
        have.entry(key).or_insert(value);
    }
}
