//! What breaks: the answer to a what-if, and two answers side by side.

use std::collections::BTreeSet;

use holm_model::{Millis, NodeId};

use crate::named::{Named, NamedElement};

/// The first items of a list, and how many there are: `showing N of M`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The first, in order.
    pub items: Vec<T>,
    /// All, exactly.
    pub total: u64,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { items: Vec::new(), total: 0 }
    }
}

impl<T> Listed<T> {
    pub(crate) fn whole(mut items: Vec<T>, limit: usize) -> Self {
        let total = items.len() as u64;
        items.truncate(limit);
        Self { items, total }
    }
}

/// An agent no longer gets to a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BrokenPath {
    /// The agent.
    pub from: Named,
    /// The target.
    pub to: Named,
    /// A way on which it got there before, across what fails. A hop that did not answer is `None`.
    pub route: Vec<Option<Named>>,
    /// Whether packets were seen on that way, or it is put together from links.
    pub observed: bool,
}

/// What a way stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteStatus {
    /// Packets of this agent and target took it.
    Observed,
    /// It is put together from links that packets of different flows took: none may ever take it whole.
    Inferred,
}

/// An agent gets to a target on another way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReroutedPath {
    /// The agent.
    pub from: Named,
    /// The target.
    pub to: Named,
    /// What the surviving way stands on.
    pub status: RouteStatus,
    /// The way before, across what fails.
    pub route: Vec<Option<Named>>,
    /// The way that survives.
    pub alt_route: Vec<Option<Named>>,
    /// Until when packets of the pair took it, if none of them takes it now.
    pub last_taken: Option<Millis>,
    /// Flows of this pair that cross what fails; `None` where no flow was observed.
    pub flows_affected: Option<(u32, u32)>,
}

/// A service that calls, itself or through others, what fails.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImpactedService {
    /// Calls away from what fails: 1 for a direct caller.
    pub distance: u32,
    /// The service.
    pub id: Named,
}

/// What remains of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PrefixLoss {
    /// All that led to it by routing edges fails.
    Lost,
    /// Some of what led to it fails, and some remains.
    Reduced,
}

/// A prefix behind what fails.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImpactedPrefix {
    /// The prefix.
    pub id: Named,
    /// What remains of it.
    pub loss: PrefixLoss,
}

/// How many edges of each kind the answer stands on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Observed flow paths.
    pub flow_paths: usize,
    /// Edges of kind path.
    pub path_edges: usize,
    /// Edges of kind flow.
    pub flow_edges: usize,
    /// Edges of kind routing.
    pub routing_edges: usize,
    /// Edges of kind device.
    pub device_edges: usize,
    /// Agents reach more, further away, than can be looked at: pairs there are not in the answer.
    pub far_pairs_left_out: bool,
}

/// What fails if these elements fail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Impact {
    /// What was said to fail, in order.
    pub failed: Vec<NamedElement>,
    /// What was said to be drained, in order.
    pub drained: Vec<NamedElement>,
    /// Agent and target pairs that have no way any more, in order.
    pub broken_paths: Listed<BrokenPath>,
    /// Pairs that have another way, in order.
    pub rerouted_paths: Listed<ReroutedPath>,
    /// Pairs whose only way is across what is drained: they keep it.
    pub stranded_paths: Listed<BrokenPath>,
    /// Services that go on calling what is drained, themselves or through others, and are not impacted by what
    /// fails, nearest first.
    pub stranded_services: Listed<ImpactedService>,
    /// Prefixes to which there is no way but over what is drained, in order.
    pub stranded_prefixes: Listed<Named>,
    /// Services that call what fails, nearest first.
    pub impacted_services: Listed<ImpactedService>,
    /// Prefixes behind what fails.
    pub impacted_prefixes: Listed<ImpactedPrefix>,
    /// Nodes that are cut off, in order.
    pub disconnected: Listed<Named>,
    /// Objectives that the failure touches; `None` without an engine that knows them.
    pub impacted_slos: Option<Listed<String>>,
    /// What the answer stands on.
    pub coverage: Coverage,
}

impl Impact {
    /// The same with at most `items` of each list; totals stay.
    pub fn cut(&mut self, items: usize) {
        self.broken_paths.items.truncate(items);
        self.rerouted_paths.items.truncate(items);
        self.stranded_paths.items.truncate(items);
        self.stranded_services.items.truncate(items);
        self.stranded_prefixes.items.truncate(items);
        self.impacted_services.items.truncate(items);
        self.impacted_prefixes.items.truncate(items);
        self.disconnected.items.truncate(items);
        if let Some(slos) = &mut self.impacted_slos {
            slos.items.truncate(items);
        }
    }

    /// Every node that the lists name, some of them several times.
    pub fn nodes(&self) -> impl Iterator<Item = &Named> {
        let chosen = self.failed.iter().chain(&self.drained).flat_map(|element| match element {
            NamedElement::Node(node) => [Some(node), None],
            NamedElement::Edge(from, _, to) => [Some(from), Some(to)],
        });
        let broken = self.broken_paths.items.iter().chain(&self.stranded_paths.items);
        let broken = broken.flat_map(|path| path.route.iter().map(Option::as_ref));
        let rerouted = self.rerouted_paths.items.iter();
        let rerouted =
            rerouted.flat_map(|path| path.route.iter().chain(&path.alt_route).map(Option::as_ref));
        let services = self.impacted_services.items.iter().chain(&self.stranded_services.items);
        let services = services.map(|service| Some(&service.id));
        let prefixes = self.impacted_prefixes.items.iter().map(|prefix| Some(&prefix.id));
        let prefixes = prefixes.chain(self.stranded_prefixes.items.iter().map(Some));
        let disconnected = self.disconnected.items.iter().map(Some);
        let behind = services.chain(prefixes).chain(disconnected);
        chosen.chain(broken).chain(rerouted).chain(behind).flatten()
    }
}

/// Who knows which objectives stand on which elements.
pub trait SloIndex {
    /// The names of the objectives that stand on any of `nodes`, in order.
    fn touched(&self, nodes: &[&NodeId]) -> Vec<String>;
}

/// Two answers side by side: of each list, what only the one has, and what both have. It compares
/// what is listed; where a list was cut short, `complete` is false.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImpactDiff {
    /// Broken pairs in the first only, in the second only, in both.
    pub broken_paths: [Vec<(Named, Named)>; 3],
    /// Rerouted pairs.
    pub rerouted_paths: [Vec<(Named, Named)>; 3],
    /// Pairs that keep a way across what is drained, for want of another.
    pub stranded_paths: [Vec<(Named, Named)>; 3],
    /// Services that go on calling what is drained.
    pub stranded_services: [Vec<Named>; 3],
    /// Prefixes to which there is no way but over what is drained.
    pub stranded_prefixes: [Vec<Named>; 3],
    /// Impacted services.
    pub impacted_services: [Vec<Named>; 3],
    /// Impacted prefixes.
    pub impacted_prefixes: [Vec<Named>; 3],
    /// Nodes cut off.
    pub disconnected: [Vec<Named>; 3],
    /// Objectives that are touched; none where no engine knows them.
    pub impacted_slos: [Vec<String>; 3],
    /// Whether no list was cut short.
    pub complete: bool,
}

/// Compares two answers of moments in which names mean the same.
pub fn impact_diff(a: &Impact, b: &Impact) -> ImpactDiff {
    impact_diff_by((a, &Named::clone), (b, &Named::clone))
}

/// An answer, and what its nodes are called where it is compared ([`crate::Moment::called_in`]).
pub type Side<'a> = (&'a Impact, &'a dyn Fn(&Named) -> Named);

/// Compares two answers by what their nodes are called in one moment.
pub fn impact_diff_by((a, in_a): Side<'_>, (b, in_b): Side<'_>) -> ImpactDiff {
    let (a, b) = (&renamed(a, in_a), &renamed(b, in_b));
    let broken = |i: &Impact| keys(&i.broken_paths, |p| (p.from.clone(), p.to.clone()));
    let rerouted = |i: &Impact| keys(&i.rerouted_paths, |p| (p.from.clone(), p.to.clone()));
    let stranded = |i: &Impact| keys(&i.stranded_paths, |p| (p.from.clone(), p.to.clone()));
    let services = |i: &Impact| keys(&i.impacted_services, |s| s.id.clone());
    let staying = |i: &Impact| keys(&i.stranded_services, |s| s.id.clone());
    let held = |i: &Impact| keys(&i.stranded_prefixes, Named::clone);
    let prefixes = |i: &Impact| keys(&i.impacted_prefixes, |p| p.id.clone());
    let cut_off = |i: &Impact| keys(&i.disconnected, Named::clone);
    let slos = |i: &Impact| {
        let touched = i.impacted_slos.iter().flat_map(|slos| slos.items.iter());
        touched.cloned().collect::<BTreeSet<String>>()
    };
    let whole = |i: &Impact| {
        i.broken_paths.is_whole()
            && i.rerouted_paths.is_whole()
            && i.stranded_paths.is_whole()
            && i.stranded_services.is_whole()
            && i.stranded_prefixes.is_whole()
            && i.impacted_services.is_whole()
            && i.impacted_prefixes.is_whole()
            && i.disconnected.is_whole()
            && i.impacted_slos.as_ref().is_none_or(Listed::is_whole)
    };
    ImpactDiff {
        broken_paths: split(&broken(a), &broken(b)),
        rerouted_paths: split(&rerouted(a), &rerouted(b)),
        stranded_paths: split(&stranded(a), &stranded(b)),
        stranded_services: split(&staying(a), &staying(b)),
        stranded_prefixes: split(&held(a), &held(b)),
        impacted_services: split(&services(a), &services(b)),
        impacted_prefixes: split(&prefixes(a), &prefixes(b)),
        disconnected: split(&cut_off(a), &cut_off(b)),
        impacted_slos: split(&slos(a), &slos(b)),
        complete: whole(a) && whole(b),
    }
}

impl<T> Listed<T> {
    /// Whether everything is shown.
    pub fn is_whole(&self) -> bool {
        self.items.len() as u64 == self.total
    }
}

/// The same with its nodes by other names.
fn renamed(impact: &Impact, name: &dyn Fn(&Named) -> Named) -> Impact {
    let mut impact = impact.clone();
    for path in impact.broken_paths.items.iter_mut().chain(&mut impact.stranded_paths.items) {
        (path.from, path.to) = (name(&path.from), name(&path.to));
    }
    for path in &mut impact.rerouted_paths.items {
        (path.from, path.to) = (name(&path.from), name(&path.to));
    }
    let services = impact.impacted_services.items.iter_mut();
    services
        .chain(&mut impact.stranded_services.items)
        .for_each(|service| service.id = name(&service.id));
    impact.stranded_prefixes.items.iter_mut().for_each(|prefix| *prefix = name(prefix));
    impact.impacted_prefixes.items.iter_mut().for_each(|prefix| prefix.id = name(&prefix.id));
    impact.disconnected.items.iter_mut().for_each(|node| *node = name(node));
    impact
}

fn keys<T, K: Ord>(list: &Listed<T>, key: impl Fn(&T) -> K) -> BTreeSet<K> {
    list.items.iter().map(key).collect()
}

fn split<K: Ord + Clone>(a: &BTreeSet<K>, b: &BTreeSet<K>) -> [Vec<K>; 3] {
    [
        a.difference(b).cloned().collect(),
        b.difference(a).cloned().collect(),
        a.intersection(b).cloned().collect(),
    ]
}
