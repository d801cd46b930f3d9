//! Every answer to "what breaks" against its definition, by brute force on small topologies.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{FlowPath, Plan, at_hop, gaps, plan};
use holm_model::{EdgeKind, ElementId, NodeKind};
use holm_moment::{Limits, Moment, PrefixLoss, RouteStatus, Scratch, Selection, Selector, WhatIf};
use proptest::prelude::*;

const ALL: Limits = Limits { items: usize::MAX };

/// What the definitions say, slowly.
struct Naive<'a> {
    plan: &'a Plan,
    nodes: BTreeSet<usize>,
    edges: BTreeSet<usize>,
}

impl Naive<'_> {
    fn is_gone(&self, edge: usize) -> bool {
        let (from, _, to) = self.plan.edges[edge];
        self.edges.contains(&edge) || self.nodes.contains(&from) || self.nodes.contains(&to)
    }

    /// Distances along path edges; all names of a machine are reached at once.
    fn distances(&self, from: usize, all: bool) -> BTreeMap<usize, usize> {
        let mut found = BTreeMap::new();
        if !all && self.nodes.contains(&from) {
            return found;
        }
        let reach = |node: usize, distance: usize, found: &mut BTreeMap<usize, usize>| {
            let names = self.plan.machine(node).into_iter();
            let names = names.filter(|n| all || !self.nodes.contains(n));
            let new: Vec<usize> = names.filter(|n| !found.contains_key(n)).collect();
            found.extend(new.iter().map(|&n| (n, distance)));
            new
        };
        let mut ring = reach(from, 0, &mut found);
        while !ring.is_empty() {
            let mut next = Vec::new();
            for node in ring {
                for (i, &(a, kind, b)) in self.plan.edges.iter().enumerate() {
                    if a == node && kind == EdgeKind::Path && (all || !self.is_gone(i)) {
                        next.extend(reach(b, found[&node] + 1, &mut found));
                    }
                }
            }
            ring = next;
        }
        found
    }

    fn crosses(&self, agent: usize, target: usize) -> bool {
        let from = self.distances(agent, true);
        let whole = from[&target];
        let to = |node: usize| self.distances(node, true).get(&target).copied();
        let node = |&x: &usize| from.get(&x).zip(to(x)).is_some_and(|(a, b)| a + b == whole);
        let edge = |&e: &usize| {
            let (a, kind, b) = self.plan.edges[e];
            kind == EdgeKind::Path
                && from.get(&a).zip(to(b)).is_some_and(|(a, b)| a + 1 + b == whole)
        };
        self.nodes.iter().any(node) || self.edges.iter().any(edge)
    }

    fn path_crosses(&self, path: &FlowPath) -> bool {
        let sets: Vec<BTreeSet<usize>> =
            (0..path.route().len()).map(|hop| at_hop(path, &self.plan.paths, hop)).collect();
        let over = |from: &BTreeSet<usize>, to: &BTreeSet<usize>| {
            self.edges.iter().any(|&e| {
                let (a, kind, b) = self.plan.edges[e];
                kind == EdgeKind::Path && from.contains(&a) && to.contains(&b)
            })
        };
        sets.iter().flatten().any(|node| self.nodes.contains(node))
            || sets.windows(2).any(|w| over(&w[0], &w[1]))
    }

    /// The same of a way that was shown: an observed one, or one that is put together. Each step goes along an edge
    /// between any names of two machines; with `after`, along one that is left.
    fn route_crosses(&self, route: &[Option<usize>], after: bool) -> bool {
        if let Some(observed) = self.plan.paths.iter().find(|path| path.route() == route) {
            return self.path_crosses(observed);
        }
        let known: Vec<usize> = route.iter().map(|node| node.expect("a known hop")).collect();
        let crosses_between = |step: &[usize]| {
            let [from, to] = [0, 1].map(|end| self.plan.machine(step[end]));
            // From name to name of one machine is no link.
            if from == to {
                return false;
            }
            let mut between = (0..self.plan.edges.len()).filter(|&e| {
                let (a, kind, b) = self.plan.edges[e];
                kind == EdgeKind::Path && from.contains(&a) && to.contains(&b)
            });
            match after {
                true => between.all(|e| self.edges.contains(&e)),
                false => between.any(|e| self.edges.contains(&e)),
            }
        };
        known.iter().any(|node| self.nodes.contains(node)) || known.windows(2).any(crosses_between)
    }

    /// Pairs that break, and those that are rerouted with what their other way stands on.
    #[allow(clippy::type_complexity, reason = "two sets")]
    fn pairs(&self) -> (BTreeSet<(usize, usize)>, BTreeMap<(usize, usize), RouteStatus>) {
        let (mut broken, mut rerouted) = (BTreeSet::new(), BTreeMap::new());
        let mut observed: BTreeMap<(usize, usize), Vec<&FlowPath>> = BTreeMap::new();
        for path in &self.plan.paths {
            observed.entry((path.agent, path.target)).or_default().push(path);
        }
        for (&(agent, target), routes) in &observed {
            let crossing = routes.iter().filter(|r| self.path_crosses(r)).count();
            if crossing == 0 {
                continue;
            }
            if crossing < routes.len() {
                rerouted.insert((agent, target), RouteStatus::Observed);
            } else if self.plan.kind(agent) == NodeKind::Agent
                && self.distances(agent, false).contains_key(&target)
            {
                rerouted.insert((agent, target), RouteStatus::Inferred);
            } else {
                broken.insert((agent, target));
            }
        }
        for agent in self.plan.of_kind(NodeKind::Agent) {
            let after = self.distances(agent, false);
            for target in self.distances(agent, true).into_keys() {
                let is_home = self.plan.home_agents(target).contains(&agent);
                let is_known = is_home || observed.contains_key(&(agent, target));
                if !self.plan.is_target(target) || is_known {
                    continue;
                }
                if !after.contains_key(&target) {
                    broken.insert((agent, target));
                } else if self.crosses(agent, target) {
                    rerouted.insert((agent, target), RouteStatus::Inferred);
                }
            }
        }
        (broken, rerouted)
    }

    fn component(&self, from: usize, all: bool) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([from]);
        let mut stack = vec![from];
        while let Some(node) = stack.pop() {
            for (i, &(a, _, b)) in self.plan.edges.iter().enumerate() {
                for (x, y) in [(a, b), (b, a)] {
                    if x == node && (all || !self.is_gone(i)) && found.insert(y) {
                        stack.push(y);
                    }
                }
            }
            for (a, b) in
                self.plan.ties().chain(gaps(self.plan).into_keys()).chain(self.plan.mates())
            {
                let gone = self.nodes.contains(&a) || self.nodes.contains(&b);
                for (x, y) in [(a, b), (b, a)] {
                    if x == node && (all || !gone) && found.insert(y) {
                        stack.push(y);
                    }
                }
            }
        }
        found
    }

    fn disconnected(&self) -> BTreeSet<usize> {
        let count = self.plan.names.len();
        let agents = self.plan.of_kind(NodeKind::Agent);
        let living = |n: &usize| !self.nodes.contains(n);
        let largest = |pieces: Vec<BTreeSet<usize>>| {
            let least = |p: &BTreeSet<usize>| p.iter().map(|&n| self.plan.id(n)).min();
            pieces.into_iter().max_by_key(|p| (p.len(), std::cmp::Reverse(least(p))))
        };
        if agents.is_empty() {
            let before =
                largest((0..count).map(|n| self.component(n, true)).collect()).unwrap_or_default();
            let after = before.iter().copied().filter(living);
            let stays = largest(after.clone().map(|n| self.component(n, false)).collect());
            return after.filter(|n| !stays.as_ref().is_some_and(|s| s.contains(n))).collect();
        }
        let reach = |all: bool| -> BTreeSet<usize> {
            let roots = agents.iter().filter(|a| all || living(a));
            roots.flat_map(|&a| self.component(a, all)).collect()
        };
        let after = reach(false);
        reach(true).into_iter().filter(living).filter(|n| !after.contains(n)).collect()
    }

    /// Service and distance.
    fn services(&self) -> BTreeMap<usize, u32> {
        let mut distance: BTreeMap<usize, u32> = self.nodes.iter().map(|&n| (n, 0)).collect();
        for target in 0..self.plan.names.len() {
            if !self.plan.is_target(target) {
                continue;
            }
            let agents = self.plan.of_kind(NodeKind::Agent);
            let reached =
                |all: bool| agents.iter().any(|&a| self.distances(a, all).contains_key(&target));
            let mut paths = self.plan.paths.iter().filter(|p| p.target == target);
            let was_reached = reached(true) || paths.clone().next().is_some();
            let at_home =
                self.plan.home_agents(target).iter().any(|agent| !self.nodes.contains(agent));
            if at_home {
                continue;
            }
            if was_reached && !reached(false) && paths.all(|p| self.path_crosses(p)) {
                distance.entry(target).or_insert(0);
            }
        }
        for &edge in &self.edges {
            let (from, kind, _) = self.plan.edges[edge];
            if kind == EdgeKind::Flow
                && !matches!(
                    self.plan.kind(from),
                    NodeKind::Host | NodeKind::Hop | NodeKind::Device
                )
            {
                distance.entry(from).or_insert(1);
            }
        }
        for step in 0..20 {
            for &(from, kind, to) in &self.plan.edges {
                if kind == EdgeKind::Flow
                    && !matches!(
                        self.plan.kind(from),
                        NodeKind::Host | NodeKind::Hop | NodeKind::Device
                    )
                    && distance.get(&to) == Some(&step)
                    && !distance.contains_key(&from)
                {
                    distance.insert(from, step + 1);
                }
            }
            for &(service, host) in &self.plan.runs_on {
                if distance.get(&host) == Some(&step) {
                    distance.entry(service).or_insert(step + 1);
                }
            }
        }
        distance.retain(|&n, d| *d > 0 && self.plan.kind(n) == NodeKind::Service);
        distance
    }

    fn prefixes(&self) -> BTreeMap<usize, PrefixLoss> {
        let mut lost = self.nodes.clone();
        let routing = |e: &&(usize, EdgeKind, usize)| e.1 == EdgeKind::Routing;
        let edge_gone = |e: usize| self.edges.contains(&e);
        loop {
            let size = lost.len();
            for node in 0..self.plan.names.len() {
                let into: Vec<(usize, usize)> = (0..)
                    .zip(&self.plan.edges)
                    .filter(|(_, e)| routing(e) && e.2 == node)
                    .map(|(i, e)| (i, e.0))
                    .collect();
                if !into.is_empty()
                    && into.iter().all(|(e, from)| edge_gone(*e) || lost.contains(from))
                {
                    lost.insert(node);
                }
            }
            if lost.len() == size {
                break;
            }
        }
        let mut found = BTreeMap::new();
        for (i, &(from, kind, to)) in self.plan.edges.iter().enumerate() {
            let hit = kind == EdgeKind::Routing && (edge_gone(i) || lost.contains(&from));
            if hit && self.plan.kind(to) == NodeKind::Prefix && !self.nodes.contains(&to) {
                let loss = if lost.contains(&to) { PrefixLoss::Lost } else { PrefixLoss::Reduced };
                found.insert(to, loss);
            }
        }
        found
    }
}

fn select(
    moment: &Moment,
    plan: &Plan,
    nodes: &BTreeSet<usize>,
    edges: &BTreeSet<usize>,
) -> Selection {
    let mut selection = Selection {
        nodes: nodes.iter().map(|&n| moment.find(&plan.id(n)).expect("there")).collect(),
        edges: edges
            .iter()
            .map(|&e| moment.find_edges(&plan.edge_id(e)).next().expect("there"))
            .collect(),
    };
    selection.nodes.sort_unstable();
    selection.edges.sort_unstable();
    selection
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_what_if_is_what_its_definition_says(
        plan in plan(), nodes in proptest::collection::btree_set(0_usize..64, 0..4),
        edges in proptest::collection::btree_set(0_usize..64, 0..3),
    ) {
        // Machines fail whole.
        let nodes: BTreeSet<usize> =
            nodes.into_iter().flat_map(|n| plan.machine(n % plan.names.len())).collect();
        let edges: BTreeSet<usize> =
            edges.into_iter().filter(|e| *e < plan.edges.len()).collect();
        let moment = plan.moment();
        let question =
            WhatIf { failed: select(&moment, &plan, &nodes, &edges), ..WhatIf::default() };
        let impact = moment.what_if(&question, ALL, None, &mut Scratch::default());
        let naive = Naive { plan: &plan, nodes: plan.falling(nodes), edges };
        let failed = naive.nodes.iter().map(|&n| plan.id(n).to_string());
        let failed: BTreeSet<_> =
            failed.chain(naive.edges.iter().map(|&e| plan.edge_id(e).to_string())).collect();
        prop_assert_eq!(failed, impact.failed.iter().map(ToString::to_string).collect());

        let (broken, rerouted) = naive.pairs();
        let named = |(a, b): (usize, usize)| (plan.id(a), plan.id(b));
        let found: BTreeSet<_> =
            impact.broken_paths.items.iter().map(|p| (p.from.id.clone(), p.to.id.clone())).collect();
        prop_assert_eq!(&found, &broken.iter().copied().map(named).collect());
        prop_assert_eq!(impact.broken_paths.total, broken.len() as u64);
        let found: BTreeMap<_, _> = impact
            .rerouted_paths
            .items
            .iter()
            .map(|p| ((p.from.id.clone(), p.to.id.clone()), p.status))
            .collect();
        let expected: BTreeMap<_, _> =
            rerouted.iter().map(|(&pair, &status)| (named(pair), status)).collect();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(impact.rerouted_paths.total, rerouted.len() as u64);
        for path in &impact.rerouted_paths.items {
            prop_assert!(!path.route.is_empty() && !path.alt_route.is_empty());
            for route in [&path.route, &path.alt_route] {
                prop_assert_eq!(route.first(), Some(&Some(path.from.clone())));
                prop_assert_eq!(route.last(), Some(&Some(path.to.clone())));
            }
            let numbers: Vec<Option<usize>> =
                path.route.iter().map(|id| id.as_ref().map(|named| plan.number(&named.id))).collect();
            prop_assert!(naive.route_crosses(&numbers, false), "the way before crosses the failure");
            let numbers: Vec<Option<usize>> =
                path.alt_route.iter().map(|id| id.as_ref().map(|named| plan.number(&named.id))).collect();
            prop_assert!(!naive.route_crosses(&numbers, true), "the way after does not");
        }
        for path in &impact.broken_paths.items {
            prop_assert!(path.route.len() >= 2 || path.from == path.to, "{:?}", path);
        }

        let cut: BTreeSet<_> = impact.disconnected.items.iter().map(|n| n.id.clone()).collect();
        prop_assert_eq!(cut, naive.disconnected().into_iter().map(|n| plan.id(n)).collect());
        let services: BTreeMap<_, _> =
            impact.impacted_services.items.iter().map(|s| (s.id.id.clone(), s.distance)).collect();
        let expected = naive.services().into_iter().map(|(n, d)| (plan.id(n), d)).collect();
        prop_assert_eq!(services, expected);
        let prefixes: BTreeMap<_, _> =
            impact.impacted_prefixes.items.iter().map(|p| (p.id.id.clone(), p.loss)).collect();
        let expected = naive.prefixes().into_iter().map(|(n, loss)| (plan.id(n), loss)).collect();
        prop_assert_eq!(prefixes, expected);
    }

    #[test]
    fn the_ranking_is_that_of_a_what_if_of_every_node(plan in plan()) {
        let moment = plan.moment();
        let mut scratch = Scratch::default();
        let ranking = moment.spof(usize::MAX);
        let mut expected = Vec::new();
        for n in 0..plan.names.len() {
            // A machine is there by its first name; devices are there by themselves.
            let mut machine = Vec::from_iter(plan.machine(n));
            machine.retain(|&n| plan.kind(n) != NodeKind::Device);
            machine.sort_by_key(|&n| (plan.kind(n) != NodeKind::Host, plan.id(n)));
            if machine.contains(&n) && machine[0] != n {
                continue;
            }
            let failed = moment.select(&Selector::Element(ElementId::Node(plan.id(n)))).expect("it is there");
            let question = WhatIf { failed, ..WhatIf::default() };
            let impact = moment.what_if(&question, ALL, None, &mut scratch);
            let counts = (
                impact.broken_paths.total,
                impact.impacted_services.total,
                impact.disconnected.total,
            );
            if counts != (0, 0, 0) {
                expected.push((plan.id(n), counts));
            }
        }
        expected.sort_by_key(|(id, (a, b, c))| (std::cmp::Reverse(a + b + c), id.clone()));
        let found: Vec<_> = ranking
            .items
            .iter()
            .map(|s| (s.id.id.clone(), (s.broken_paths, s.impacted_services, s.disconnected)))
            .collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(ranking.total, ranking.items.len() as u64);
        prop_assert_eq!(ranking.as_one_node, 0);
    }

    #[test]
    fn the_order_of_arrival_changes_no_answer(plan in plan(), seed in any::<u64>()) {
        let (a, b) = (plan.moment(), plan.shuffled(seed).moment());
        prop_assert_eq!(a.spof(9), b.spof(9));
        let limits = Limits { items: 3 };
        let mut scratch = Scratch::default();
        for n in 0..plan.names.len() {
            let of = |moment: &Moment| WhatIf {
                failed: select(moment, &plan, &[n].into(), &BTreeSet::new()),
                ..WhatIf::default()
            };
            let first = a.what_if(&of(&a), limits, None, &mut scratch);
            prop_assert_eq!(&first, &b.what_if(&of(&b), limits, None, &mut scratch));
            let whole = a.what_if(&of(&a), ALL, None, &mut scratch);
            prop_assert_eq!(first.broken_paths.total, whole.broken_paths.total);
            let shown = first.broken_paths.items.len();
            prop_assert_eq!(&first.broken_paths.items, &whole.broken_paths.items[..shown]);
        }
    }

    #[test]
    fn what_is_drained_carries_on_where_there_is_no_other_way(plan in plan(), n in 0_usize..64) {
        let n = n % plan.names.len();
        let moment = plan.moment();
        let mut scratch = Scratch::default();
        let selection = select(&moment, &plan, &[n].into(), &BTreeSet::new());
        let failed = WhatIf { failed: selection.clone(), ..WhatIf::default() };
        let drained = WhatIf { drained: selection, ..WhatIf::default() };
        let failed = moment.what_if(&failed, ALL, None, &mut scratch);
        let drained = moment.what_if(&drained, ALL, None, &mut scratch);
        // A drained agent or target is still there, and so are its pairs, observed or not.
        let pair = |p: &holm_moment::BrokenPath| (p.from.id.clone(), p.to.id.clone());
        let broken: BTreeSet<_> = failed.broken_paths.items.iter().map(pair).collect();
        let stranded: BTreeSet<_> = drained
            .stranded_paths
            .items
            .iter()
            .map(pair)
            .collect();
        prop_assert_eq!(broken, stranded);
        prop_assert_eq!(&failed.rerouted_paths, &drained.rerouted_paths);
        prop_assert_eq!(drained.broken_paths.total, 0);
        prop_assert_eq!(drained.disconnected.total, 0);
    }
}
