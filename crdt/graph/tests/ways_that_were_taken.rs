//! A way that packets of a pair took before is an observed one as long as its links stand.

use holm_graph::{SiteElement, TopologyGraph};
use holm_model::{Attributes, Interval, IntervalSet, Millis, PastValues, SiteId};
use holm_moment::{Impact, Limits, Metric, RouteQuery, RouteStatus, Scratch, Selector, WhatIf};

/// From when until when; it may be open.
type Times<'a> = &'a [(u64, Option<u64>)];

/// `id` at these times, as berlin says.
fn graph(elements: &[(&str, Times<'_>)]) -> TopologyGraph {
    let (mut graph, site) = (TopologyGraph::new(), SiteId::new("berlin").expect("valid"));
    for (id, intervals) in elements {
        let intervals =
            intervals.iter().map(|&(from, to)| Interval { from: Millis(from), to: to.map(Millis) });
        let element = SiteElement {
            id: id.parse().expect("valid"),
            intervals: IntervalSet::from_intervals(intervals),
            attributes: Attributes::new(),
            attributes_at: Millis(1),
            past: PastValues::default(),
        };
        graph.apply(&site, element);
    }
    graph
}

const ALL: Times<'_> = &[(1, None)];

/// Two ways of two hops side by side to host:t, by links of other targets and flows; f goes over r1 since 200 and went
/// over r2 until then, and before that over r0, whose link is gone.
fn rerouted() -> TopologyGraph {
    graph(&[
        ("agent:b|path|hop:r0", &[(1, Some(100))]),
        ("agent:b|path|hop:r1", ALL),
        ("agent:b|path|hop:r2", ALL),
        ("agent:b|path|hop:a", ALL),
        ("hop:a|path|host:t", ALL),
        ("hop:r0|path|host:t", ALL),
        ("hop:r1|path|host:t", ALL),
        ("hop:r2|path|host:t", ALL),
        ("agent:b|path|host:t|f|hop:r0", &[(1, Some(100))]),
        ("agent:b|path|host:t|f|hop:r2", &[(100, Some(150)), (160, Some(200))]),
        ("agent:b|path|host:t|f|hop:r1", &[(200, None)]),
    ])
}

fn without(graph: &TopologyGraph, node: &str, at: u64) -> Impact {
    let moment = graph.moment(Millis(at));
    let failed = moment.select(&Selector::Element(node.parse().expect("valid"))).expect("there");
    let question = WhatIf { failed, ..WhatIf::default() };
    moment.what_if(&question, Limits { items: 10 }, None, &mut Scratch::default())
}

fn ways(graph: &TopologyGraph, at: u64, count: usize) -> Vec<(String, bool, Option<u64>)> {
    let moment = graph.moment(Millis(at));
    let find = |name: &str| moment.find(&name.parse().expect("valid")).expect("there");
    let query = RouteQuery {
        from: find("agent:b"),
        to: find("host:t"),
        metric: Metric::Hops,
        directed: true,
        edge_kinds: None,
        only_through: None,
        count,
    };
    let routes = moment.routes(&query, &mut Scratch::default()).found;
    let told = |route: holm_moment::Route| {
        let hop = route.nodes[1].to_string();
        (hop, route.observed, route.last_taken.map(|at| at.0))
    };
    routes.into_iter().map(told).collect()
}

#[test]
fn what_packets_of_the_pair_took_before_is_offered_first_and_says_when() {
    let graph = rerouted();
    let impact = without(&graph, "hop:r1", 300);
    let rerouted = &impact.rerouted_paths.items[0];
    assert_eq!((rerouted.status, rerouted.last_taken), (RouteStatus::Observed, Some(Millis(200))));
    assert_eq!(rerouted.alt_route[1].as_ref().expect("told").to_string(), "hop:r2");
    let way = |hop: &str, observed, last| (hop.to_owned(), observed, last);
    assert_eq!(
        ways(&graph, 300, 3),
        [way("hop:r1", true, None), way("hop:r2", true, Some(200)), way("hop:a", false, None)]
    );
    assert_eq!(ways(&graph, 300, 1), [way("hop:r1", true, None)], "before what has a lesser name");
    // As it was known then.
    assert_eq!(ways(&graph, 155, 1), [way("hop:r2", true, Some(150))]);
    assert_eq!(
        ways(&graph, 199, 9)[..2],
        [way("hop:r2", true, None), way("hop:a", false, None)],
        "what comes later is not known, and r0 is not linked any more"
    );
}

#[test]
fn what_does_not_stand_or_fails_with_it_is_not_offered() {
    let graph = rerouted();
    let moment = graph.moment(Millis(300));
    let select = |name: &str| {
        moment.select(&Selector::Element(name.parse().expect("valid"))).expect("there")
    };
    let ask = |names: &[&str]| {
        let mut failed = select(names[0]);
        for name in &names[1..] {
            let more = select(name);
            failed.nodes.extend(more.nodes);
            failed.edges.extend(more.edges);
        }
        let question = WhatIf { failed, ..WhatIf::default() };
        let impact = moment.what_if(&question, Limits { items: 9 }, None, &mut Scratch::default());
        let rerouted = impact.rerouted_paths.items[0].clone();
        (
            rerouted.status,
            rerouted.last_taken,
            rerouted.alt_route[1].clone().expect("told").to_string(),
        )
    };
    let inferred = (RouteStatus::Inferred, None, "hop:a".to_owned());
    assert_eq!(ask(&["hop:r1", "hop:r2"]), inferred);
    assert_eq!(ask(&["hop:r1", "agent:b|path|hop:r2"]), inferred);
    assert_eq!(ask(&["hop:r1", "hop:a"]).1, Some(Millis(200)));
}

#[test]
fn a_way_over_a_hop_that_did_not_answer_is_not_known_to_stand() {
    let graph = graph(&[
        ("agent:b|path|hop:r1", ALL),
        ("agent:b|path|hop:r2", ALL),
        ("hop:r1|path|host:t", ALL),
        ("hop:r2|path|host:t", ALL),
        ("agent:b|path|host:t|f|hop:r1", ALL),
        ("agent:b|path|host:t|f|*", &[(1, Some(100))]),
    ]);
    let impact = without(&graph, "hop:r1", 300);
    let rerouted = &impact.rerouted_paths.items[0];
    assert_eq!((rerouted.status, rerouted.last_taken), (RouteStatus::Inferred, None));
}

#[test]
fn what_answered_before_a_hop_was_silent_fails_with_what_goes_over_it() {
    let silent = |more: &[(&str, Times<'_>)]| {
        let all = [
            ("agent:b|path|hop:r1", ALL),
            ("hop:r1|path|host:t", ALL),
            ("agent:b|path|hop:r2", ALL),
            ("hop:r2|path|host:t", ALL),
        ];
        graph(&[&all, more].concat())
    };
    let broken = |graph: &TopologyGraph, hop: &str, at: u64| {
        let impact = without(graph, hop, at);
        impact.broken_paths.total + impact.rerouted_paths.total
    };
    // r1 answered until 200, and then, twice, nobody: it is no other way.
    let once = silent(&[
        ("agent:b|path|host:t|f|hop:r2", &[(1, Some(100))]),
        ("agent:b|path|host:t|f|hop:r1", &[(100, Some(200)), (300, Some(400))]),
        ("agent:b|path|host:t|f|*", &[(200, Some(300)), (400, None)]),
    ]);
    for at in [150, 250, 350, 450] {
        assert_eq!((broken(&once, "hop:r1", at), broken(&once, "hop:r2", at)), (1, 0), "{at}");
    }
    // After a time in which nobody looked it may be another.
    let gap = silent(&[
        ("agent:b|path|host:t|f|hop:r1", &[(100, Some(200))]),
        ("agent:b|path|host:t|f|*", &[(250, None)]),
    ]);
    assert_eq!((broken(&gap, "hop:r1", 150), broken(&gap, "hop:r1", 300)), (1, 0));
    // A way that is longer is another way, and another flow says nothing of this one.
    let other = silent(&[
        ("agent:b|path|host:t|f|hop:r1", &[(100, Some(200))]),
        ("agent:b|path|host:t|f|*|*", &[(200, None)]),
        ("agent:b|path|host:t|g|*", &[(200, None)]),
    ]);
    assert_eq!(broken(&other, "hop:r1", 300), 0);
    // One hop after the other fell silent: each is who answered there last.
    let both = silent(&[
        ("hop:r1|path|hop:r2", ALL),
        ("agent:b|path|host:t|f|hop:r1|hop:r2", &[(1, Some(100))]),
        ("agent:b|path|host:t|f|hop:r1|*", &[(100, Some(200))]),
        ("agent:b|path|host:t|f|*|*", &[(200, None)]),
    ]);
    assert_eq!((broken(&both, "hop:r1", 300), broken(&both, "hop:r2", 300)), (1, 1));
}
