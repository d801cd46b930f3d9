//! Routes, neighbourhoods, components and widths against their definitions, by brute force.

mod common;

use std::collections::BTreeSet;

use common::{Plan, gaps, plan};
use holm_model::{EdgeKind, ElementId};
use holm_moment::{Around, Metric, RouteQuery, Scratch, Selector, Toward};
use proptest::prelude::*;

/// All ways without a loop, along path edges.
fn ways(plan: &Plan, from: usize, to: usize) -> Vec<Vec<usize>> {
    fn walk(plan: &Plan, way: &mut Vec<usize>, to: usize, found: &mut BTreeSet<Vec<usize>>) {
        let here = way[way.len() - 1];
        if here == to {
            found.insert(way.clone());
            return;
        }
        for &(a, kind, b) in &plan.edges {
            if a == here && kind == EdgeKind::Path && !way.contains(&b) {
                way.push(b);
                walk(plan, way, to, found);
                way.pop();
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(plan, &mut vec![from], to, &mut found);
    found.into_iter().collect()
}

fn neighbours(plan: &Plan, node: usize) -> BTreeSet<usize> {
    let of = |&(a, _, b): &(usize, EdgeKind, usize)| match (a == node, b == node) {
        (true, _) => Some(b),
        (_, true) => Some(a),
        _ => None,
    };
    plan.edges.iter().filter_map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_shortest_routes_are_those_of_a_search_of_all(
        plan in plan(), from in 0_usize..64, to in 0_usize..64, count in 1_usize..6,
    ) {
        let (from, to) = (from % plan.names.len(), to % plan.names.len());
        let moment = plan.moment();
        let number = |n: usize| moment.find(&plan.id(n)).expect("there");
        let first = |n: usize| plan.machine(n).into_iter().next().unwrap_or(n);
        let query = RouteQuery {
            from: number(from),
            to: number(to),
            metric: Metric::Hops,
            directed: true,
            edge_kinds: Some(vec![EdgeKind::Path]),
            only_through: None,
            count,
        };
        let mut scratch = Scratch::default();
        let found: Vec<Vec<usize>> = moment
            .routes(&query, &mut scratch)
            .found
            .into_iter()
            .map(|route| route.nodes.iter().map(|id| first(plan.number(id))).collect())
            .collect();
        // Machines are looked for, whatever names their edges have.
        let mut machines = plan.clone();
        let edges = plan.edges.iter().map(|&(a, kind, b)| (first(a), kind, first(b)));
        machines.edges = edges.collect();
        let mut expected = ways(&machines, first(from), first(to));
        // From one name to another of a machine is one way of both names.
        if from != to && first(from) == first(to) {
            expected = vec![vec![first(from), first(to)]];
        }
        expected.sort_by_key(Vec::len);
        let lengths = |ways: &[Vec<usize>]| ways.iter().map(Vec::len).collect::<Vec<_>>();
        prop_assert_eq!(lengths(&found), lengths(&expected[..count.min(expected.len())]));
        prop_assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "no route twice");
        prop_assert!(found.iter().all(|way| expected.contains(way)));
    }

    #[test]
    fn the_width_is_the_most_nodes_side_by_side_on_the_shortest_ways(
        plan in plan(), from in 0_usize..64, to in 0_usize..64,
    ) {
        let (from, to) = (from % plan.names.len(), to % plan.names.len());
        let moment = plan.moment();
        let number = |n: usize| moment.find(&plan.id(n)).expect("there");
        let width = moment.ecmp_width(number(from), number(to));
        // Over hops that did not answer, too; from name to name of one machine is no step.
        let mut steps = gaps(&plan);
        let edges = plan.edges.iter().filter(|(_, kind, _)| *kind == EdgeKind::Path);
        steps.extend(edges.map(|&(a, _, b)| ((a, b), 1)));
        steps.extend(plan.mates().into_iter().map(|mates| (mates, 0)));
        let mut linked = plan.clone();
        linked.edges = steps.keys().map(|&(a, b)| (a, EdgeKind::Path, b)).collect();
        let places = |way: &Vec<usize>| {
            let mut place = 0;
            let mut places = vec![(0, way[0])];
            places.extend(way.windows(2).map(|step| {
                place += steps[&(step[0], step[1])];
                (place, step[1])
            }));
            places
        };
        let all: Vec<_> = ways(&linked, from, to).iter().map(places).collect();
        let length = |way: &Vec<(usize, usize)>| way[way.len() - 1].0;
        let least = all.iter().map(length).min().unwrap_or(0);
        let shortest: Vec<_> =
            all.iter().filter(|way| length(way) == least && from != to).collect();
        let at = |place: usize| {
            let on = shortest.iter().copied().flatten().filter(|(at, _)| *at == place);
            on.map(|&(_, node)| plan.machine(node)).collect::<BTreeSet<_>>()
        };
        let most = (0..=least).map(|place| at(place).len()).max();
        // Over silent hops of other pairs alone there is no way that anyone knows of.
        let mut links = plan.clone();
        links.edges.retain(|(_, kind, _)| *kind == EdgeKind::Path);
        links.edges.extend(plan.mates().into_iter().map(|(a, b)| (a, EdgeKind::Path, b)));
        let is_known = !ways(&links, from, to).is_empty()
            || moment.observed_between(number(from), number(to), 0).1 > 0;
        let most = if shortest.is_empty() || !is_known { 0 } else { most.unwrap_or(0) };
        prop_assert_eq!(width, most);
    }

    #[test]
    fn a_neighbourhood_is_what_lies_within_its_depth(
        plan in plan(), centre in 0_usize..64, depth in 0_u32..4,
    ) {
        let centre = centre % plan.names.len();
        let moment = plan.moment();
        let mut scratch = Scratch::default();
        let around = Around { depth, toward: Toward::Both, ..Around::default() };
        let centre_index = moment.find(&plan.id(centre)).expect("there");
        let found: BTreeSet<usize> = moment
            .neighbourhood(centre_index, &around, &mut scratch)
            .into_iter()
            .map(|(n, _)| plan.number(moment.node(n)))
            .collect();
        let own = plan.machine(centre);
        let mut expected = own.clone();
        for _ in 0..depth {
            let next = expected.iter().flat_map(|&n| neighbours(&plan, n));
            let next: BTreeSet<usize> = next.flat_map(|n| plan.machine(n)).collect();
            expected.extend(next);
        }
        expected.retain(|n| !own.contains(n));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn nodes_are_in_one_component_if_edges_lead_from_one_to_the_other(plan in plan()) {
        let moment = plan.moment();
        let (component, count) = moment.components();
        let of = |n: usize| component[moment.find(&plan.id(n)).expect("there") as usize];
        let mut seen = BTreeSet::new();
        for n in 0..plan.names.len() {
            seen.insert(of(n));
            for other in neighbours(&plan, n) {
                prop_assert_eq!(of(n), of(other));
            }
            for (_, other) in plan.ties().filter(|(a, _)| *a == n) {
                prop_assert_eq!(of(n), of(other));
            }
        }
        prop_assert_eq!(seen.len(), count);
    }
}

#[test]
fn what_leads_on_over_a_silent_hop_of_another_pair_only_is_no_way() {
    let mut builder = holm_moment::MomentBuilder::new();
    let mut node = |name: &str| builder.node(name.parse().expect("valid"));
    let [berlin, tokyo, near, far, of_berlin, of_tokyo] =
        ["agent:berlin", "agent:tokyo", "hop:n", "hop:f", "host:b", "host:t"].map(&mut node);
    builder.path(berlin, of_berlin, "f", &[Some(near), None, Some(far)]);
    builder.path(tokyo, of_tokyo, "f", &[Some(far)]);
    for (from, to) in
        [(berlin, near), (far, of_berlin), (tokyo, far), (far, of_tokyo), (tokyo, near)]
    {
        builder.edge(from, EdgeKind::Path, to, None);
    }
    let moment = builder.build();
    let find = |name: &str| moment.find(&name.parse().expect("valid")).expect("there");
    let width = |from, to| moment.ecmp_width(find(from), find(to));
    assert_eq!(width("agent:berlin", "host:b"), 1, "packets went there");
    assert_eq!(width("agent:berlin", "host:t"), 0, "there is no route, and nothing was observed");
    assert_eq!(width("agent:tokyo", "host:b"), 1, "there is a route");
}

#[test]
fn latency_prefers_what_was_measured() {
    let mut builder = holm_moment::MomentBuilder::new();
    let mut node = |name: &str| builder.node(name.parse().expect("valid"));
    let [a, b, c, d] = ["agent:a", "hop:b", "hop:c", "host:d"].map(&mut node);
    for (from, to, us) in [(a, b, Some(900)), (b, d, Some(100)), (a, c, Some(1)), (c, d, None)] {
        builder.edge(from, EdgeKind::Path, to, us);
    }
    builder.path(a, d, "f", &[Some(b)]);
    let moment = builder.build();
    let find = |name: &str| moment.find(&name.parse().expect("valid")).expect("there");
    let query = RouteQuery {
        from: find("agent:a"),
        to: find("host:d"),
        metric: Metric::Latency,
        directed: true,
        edge_kinds: None,
        only_through: None,
        count: 5,
    };
    let routes = moment.routes(&query, &mut Scratch::default()).found;
    let shown: Vec<_> = routes.iter().map(|r| (r.latency_us, r.unmeasured, r.observed)).collect();
    assert_eq!(shown, [(1_000, 0, true), (1, 1, false)], "1 µs and a blank is not fast");
    let observed = moment.observed_paths(find("agent:a"), find("hop:b"));
    assert_eq!((observed.len(), observed[0].flow.as_str()), (1, "f"));
    assert!(moment.observed_paths(find("host:d"), find("agent:a")).is_empty());
}

#[test]
fn selectors_stand_for_what_belongs_together() {
    let mut builder = holm_moment::MomentBuilder::new();
    let mut node = |name: &str| builder.node(name.parse().expect("valid"));
    let [site, agent, own, shared] =
        ["site:berlin", "agent:berlin", "service:web", "service:db"].map(&mut node);
    let [system, only, both, inside, v6] = [
        "as:64500",
        "prefix:192.0.2.0/24",
        "prefix:2001:db8::/32",
        "host:192.0.2.7",
        "hop:2001:db8::1",
    ]
    .map(&mut node);
    let other = node("as:64501");
    let [device, port] = ["device:r1", "hop:198.51.100.1"].map(&mut node);
    for (from, kind, to) in [
        (system, EdgeKind::Routing, only),
        (system, EdgeKind::Routing, both),
        (other, EdgeKind::Routing, both),
        (device, EdgeKind::Device, port),
    ] {
        builder.edge(from, kind, to, None);
    }
    let (berlin, tokyo) = ("berlin".parse().expect("valid"), "tokyo".parse().expect("valid"));
    for node in [site, agent, own, shared] {
        builder.recorded_by(node, &berlin);
    }
    builder.recorded_by(shared, &tokyo);
    builder.located_at(v6, &berlin);
    let _ = inside;
    let moment = builder.build();
    let selected = |name: &str| -> Vec<String> {
        let id: ElementId = name.parse().expect("valid");
        let selection = moment.select(&Selector::Element(id)).expect("there");
        selection.nodes.iter().map(|&n| moment.node(n).to_string()).collect()
    };
    assert_eq!(
        selected("site:berlin"),
        ["agent:berlin", "hop:2001:db8::1", "service:web", "site:berlin"]
    );
    assert_eq!(selected("prefix:192.0.2.0/24"), ["host:192.0.2.7", "prefix:192.0.2.0/24"]);
    assert_eq!(selected("prefix:2001:db8::/32"), ["hop:2001:db8::1", "prefix:2001:db8::/32"]);
    assert_eq!(
        selected("as:64500"),
        ["as:64500", "host:192.0.2.7"],
        "the other prefix has a second origin"
    );
    assert_eq!(selected("device:r1"), ["device:r1", "hop:198.51.100.1"]);
    assert_eq!(selected("service:web"), ["service:web"]);
    let unknown = Selector::Element("service:wbe".parse().expect("valid"));
    let error = moment.select(&unknown).expect_err("not there").to_string();
    assert!(error.contains("service:wbe") && error.contains("service:web"), "{error}");
}
