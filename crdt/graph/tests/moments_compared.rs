//! Two moments side by side, what happened when, and finding things.

use holm_graph::{
    AttributeChange, ChangedElement, SiteElement, SnapshotFilter, TopologyGraph, UnknownAttributes,
};
use holm_model::{
    Attributes, ElementId, Interval, IntervalSet, MAX_PAST_VALUES, Millis, PastValues, SiteId,
};
use holm_moment::{Limits, Scratch, Selector, WhatIf};

fn put(graph: &mut TopologyGraph, site: &str, id: &str, intervals: &[(u64, Option<u64>)]) {
    put_with(graph, site, id, intervals, &[(0, &[])]);
}

fn put_with(
    graph: &mut TopologyGraph,
    site: &str,
    id: &str,
    intervals: &[(u64, Option<u64>)],
    written: &[(u64, &[(&str, &str)])],
) {
    let intervals =
        intervals.iter().map(|(from, to)| Interval { from: Millis(*from), to: to.map(Millis) });
    let mut past = PastValues::default();
    let mut current = (Millis(0), Attributes::new());
    for (i, (at, attributes)) in written.iter().enumerate() {
        let next = attributes.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        if i > 0 {
            past.replace(&current.1, &next, Millis(*at));
        }
        current = (Millis(*at), next);
    }
    past.trim(MAX_PAST_VALUES);
    let element = SiteElement {
        id: id.parse().expect("valid"),
        intervals: IntervalSet::from_intervals(intervals),
        attributes: current.1,
        attributes_at: current.0,
        past,
    };
    graph.apply(&SiteId::new(site).expect("valid"), element);
}

fn names(list: &[ElementId]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn history() -> TopologyGraph {
    let mut graph = TopologyGraph::new();
    put(&mut graph, "berlin", "service:web|flow|service:db", &[(10, Some(50))]);
    put(&mut graph, "berlin", "service:web|flow|service:cache", &[(60, None)]);
    put(&mut graph, "tokyo", "agent:tokyo|path|host:192.0.2.7", &[(10, Some(30)), (40, None)]);
    put_with(
        &mut graph,
        "tokyo",
        "prefix:192.0.2.0/24",
        &[(5, None)],
        &[(5, &[("as.name", "ACME")]), (55, &[("as.name", "ACME-Net"), ("country", "de")])],
    );
    put(&mut graph, "tokyo", "prefix:192.0.0.0/16", &[(5, None)]);
    graph
}

#[test]
fn a_diff_tells_what_came_went_returned_and_changed() {
    let diff = history().diff(Millis(20), Millis(70), 10);
    assert_eq!(names(&diff.appeared.items), ["service:web|flow|service:cache", "service:cache"]);
    assert_eq!(names(&diff.vanished.items), ["service:web|flow|service:db", "service:db"]);
    assert_eq!(
        names(&diff.returned.items),
        ["agent:tokyo|path|host:192.0.2.7", "agent:tokyo", "host:192.0.2.7", "service:web"],
    );
    let change = |key: &str, before: Option<&str>, after: Option<&str>| AttributeChange {
        key: key.into(),
        before: before.map(Into::into),
        after: after.map(Into::into),
    };
    let expected = ChangedElement {
        id: "prefix:192.0.2.0/24".parse().expect("valid"),
        attributes: vec![
            change("as.name", Some("ACME"), Some("ACME-Net")),
            change("country", None, Some("de")),
        ],
    };
    assert_eq!((diff.changed, diff.changed_total), (vec![expected], 1));
    assert!(history().diff(Millis(56), Millis(70), 10).changed.is_empty(), "written before");
    let short = history().diff(Millis(20), Millis(70), 1);
    assert_eq!((short.returned.items.len(), short.returned.total), (1, 4));
    assert_eq!(history().diff(Millis(70), Millis(70), 10), holm_graph::Diff::default());
}

#[test]
fn changes_are_counted_where_they_happened() {
    let counts = history().changes(Millis(0), Millis(100), 10);
    let shown: Vec<(u64, u64)> = counts.iter().map(|c| (c.opened, c.closed)).collect();
    let expected = [(2, 0), (2, 0), (0, 0), (0, 1), (1, 0), (0, 1), (1, 0), (0, 0), (0, 0), (0, 0)];
    assert_eq!(counts[5].changed, 2, "one value anew, one that was not there before");
    assert_eq!(shown, expected);
    assert!(history().changes(Millis(5), Millis(5), 10).is_empty());
}

#[test]
fn things_are_found_by_name_attribute_and_address() {
    let graph = history();
    let found = |text| names(&graph.find(text, Millis(70), 10).items);
    assert_eq!(found("web"), ["service:web"]);
    assert_eq!(found("SERVICE:WEB"), ["service:web"]);
    assert_eq!(found("acme"), ["prefix:192.0.2.0/24"]);
    assert_eq!(
        found("192.0.2.7"),
        ["host:192.0.2.7", "prefix:192.0.2.0/24", "prefix:192.0.0.0/16"],
        "the longest prefix first"
    );
    assert_eq!(found("db"), [""; 0], "it is not there any more");
    assert_eq!(names(&graph.find("db", Millis(20), 10).items), ["service:db"]);
    assert_eq!(found("  "), [""; 0]);
    let with = |value| {
        let found = graph.with_attribute("as.name", value, Millis(70));
        names(&found.into_iter().map(|(id, _)| id).collect::<Vec<_>>())
    };
    assert_eq!(with("ACME-Net"), ["prefix:192.0.2.0/24"]);
    assert_eq!(with("acme-net"), [""; 0], "as it was written");
    assert_eq!(graph.find("192", Millis(70), 1).total, 3);
}

#[test]
fn a_moment_holds_what_is_there_then() {
    let graph = history();
    let failed = |at: u64, name: &str| {
        let moment = graph.moment(Millis(at));
        let target = Selector::Element(name.parse().expect("valid"));
        let failed = moment.select(&target).map_err(|error| error.to_string())?;
        let question = WhatIf { failed, ..WhatIf::default() };
        let impact = moment.what_if(&question, Limits::default(), None, &mut Scratch::default());
        Ok::<_, String>(
            impact.impacted_services.items.iter().map(|s| s.id.to_string()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(failed(20, "service:db"), Ok(vec!["service:web".to_owned()]));
    let error = failed(70, "service:db").expect_err("gone by then");
    assert!(error.contains("service:db is not in the topology"), "{error}");
    assert_eq!(graph.moment(Millis(1)).len(), (0, 0));
    assert_eq!(graph.moment(Millis(70)).len(), (6, 2));
}

#[test]
fn a_call_to_an_address_is_a_call_to_the_service_that_serves_there() {
    let mut graph = TopologyGraph::new();
    let open = [(1, None)];
    let serves = [("server.address", "198.51.100.3"), ("server.port", "7004")];
    put_with(&mut graph, "saopaulo", "service:stock", &open, &[(1, &serves)]);
    let call = "service:checkout|flow|host:198.51.100.3";
    put_with(&mut graph, "berlin", call, &open, &[(1, &[("server.port", "7004")])]);
    let other = "service:batch|flow|host:198.51.100.3";
    put_with(&mut graph, "berlin", other, &open, &[(1, &[("server.port", "9999")])]);
    let impacted = |graph: &TopologyGraph| -> Vec<String> {
        let moment = graph.moment(Millis(5));
        let target = Selector::Element("service:stock".parse().expect("valid"));
        let failed = moment.select(&target).expect("there");
        let question = WhatIf { failed, ..WhatIf::default() };
        let impact = moment.what_if(&question, Limits::default(), None, &mut Scratch::default());
        impact.impacted_services.items.iter().map(|s| s.id.to_string()).collect()
    };
    assert_eq!(impacted(&graph), ["service:checkout"], "and not what calls another port");
    // Two services say that they serve there: which one is meant is not known.
    put_with(&mut graph, "oslo", "service:other", &open, &[(1, &serves)]);
    assert_eq!(impacted(&graph), [""; 0]);
}

#[test]
fn the_fastest_way_is_by_what_is_typical_at_the_moment() {
    let mut graph = TopologyGraph::new();
    let open = [(10, None)];
    let rtt = |ms: &'static str| -> [(&'static str, &'static str); 1] {
        [("holm.probe.icmp.rtt_ms", ms)]
    };
    let [slow, fast, odd] = [rtt("40.5"), rtt("2"), rtt("-1")];
    put_with(&mut graph, "a", "agent:a|path|host:x", &open, &[(10, &slow), (50, &fast)]);
    put_with(&mut graph, "b", "agent:a|path|host:x", &open, &[(10, &odd)]);
    let latency = |at| {
        let moment = graph.moment(Millis(at));
        let find = |id: &str| moment.find(&id.parse().expect("valid")).expect("it is there");
        let query = holm_moment::RouteQuery {
            from: find("agent:a"),
            to: find("host:x"),
            metric: holm_moment::Metric::Latency,
            directed: false,
            edge_kinds: None,
            only_through: None,
            count: 1,
        };
        let routes = moment.routes(&query, &mut Scratch::default()).found;
        (routes[0].latency_us, routes[0].unmeasured)
    };
    assert_eq!(latency(20), (40_500, 0));
    assert_eq!(latency(60), (2_000, 0));
}

const RTT: &str = "holm.probe.icmp.rtt_ms";

fn rewritten(key: &str, times: u64) -> TopologyGraph {
    let values: Vec<String> = (0..=times).map(|i| i.to_string()).collect();
    let pairs: Vec<[(&str, &str); 2]> = values
        .iter()
        .enumerate()
        .map(|(i, value)| [("host.name", if i == 0 { "old" } else { "new" }), (key, &**value)])
        .collect();
    let written: Vec<(u64, &[(&str, &str)])> =
        pairs.iter().zip(0..).map(|(pairs, i)| (i * 10 + 1, &pairs[..])).collect();
    let mut graph = TopologyGraph::new();
    put_with(&mut graph, "b", "service:a", &[(1, None)], &written);
    graph
}

#[test]
fn what_a_measurement_was_does_not_push_out_what_the_host_was_called() {
    let graph = rewritten(RTT, 100);
    let at = |at| {
        let snapshot = graph.snapshot(Millis(at), &SnapshotFilter::default()).expect("there");
        let node = snapshot.nodes.into_iter().next().expect("one");
        (node.attributes, node.attributes_known_from)
    };
    let (attributes, known_from) = at(5);
    assert_eq!(&*attributes["host.name"], "old");
    assert!(!attributes.contains_key(RTT), "not known any more");
    assert_eq!(known_from, Some(Millis(931)));
    assert_eq!(at(931).1, None);
    assert_eq!(&*at(931).0[RTT], "93");

    let diff = graph.diff(Millis(5), Millis(20), 10);
    assert_eq!(diff.changed.len(), 1);
    let changed: Vec<&str> = diff.changed[0].attributes.iter().map(|c| &*c.key).collect();
    assert_eq!(changed, ["host.name"]);
    let unknown = UnknownAttributes {
        id: "service:a".parse().expect("valid"),
        known_from: Millis(931),
        keys: vec![RTT.into()],
    };
    assert_eq!((diff.unknown, diff.unknown_total), (vec![unknown], 1));
}

#[test]
fn a_diff_says_of_what_it_does_not_know_whether_it_changed() {
    let graph = rewritten("load", 100);
    let snapshot = graph.snapshot(Millis(5), &SnapshotFilter::default()).expect("there");
    let node = &snapshot.nodes[0];
    assert!(node.attributes.is_empty(), "what they were is not known, and not guessed");
    let known_from = node.attributes_known_from.expect("said");
    for to in [20, 500, 2_000] {
        let diff = graph.diff(Millis(5), Millis(to), 10);
        assert!(diff.changed.is_empty());
        assert_eq!((diff.unknown[0].id.to_string().as_str(), diff.unknown_total), ("service:a", 1));
        assert!(diff.unknown[0].keys.is_empty(), "all of them");
    }
    let diff = graph.diff(known_from, Millis(2_000), 10);
    assert_eq!((diff.changed.len(), diff.unknown.len()), (1, 0));
}

#[test]
fn of_several_sites_the_value_written_later_is_shown_and_stays() {
    let port = |graph: &TopologyGraph, at: u64| -> Option<String> {
        let picture =
            graph.snapshot(Millis(at), &SnapshotFilter::default()).expect("nothing is named");
        let attributes = picture.nodes.into_iter().next()?.attributes;
        attributes.get("server.port").map(ToString::to_string)
    };
    let (name, since) = ("service:pg", [(10, None), (20, None)]);
    let [five, six] = ["5432", "6432"].map(|port| ("server.port", port));
    // One site rewrites its value later on: what was shown of earlier moments stays.
    let mut graph = TopologyGraph::new();
    put_with(&mut graph, "a", name, &since[..1], &[(10, &[five])]);
    put_with(&mut graph, "b", name, &since[1..], &[(20, &[six])]);
    let before = [15, 30].map(|at| port(&graph, at));
    assert_eq!(before, [Some("5432".to_owned()), Some("6432".to_owned())]);
    put_with(&mut graph, "b", name, &since[1..], &[(20, &[six]), (40, &[("server.port", "7777")])]);
    assert_eq!([15, 30].map(|at| port(&graph, at)), before);
    assert_eq!(port(&graph, 50).as_deref(), Some("7777"));
    // One site rewrites another attribute: its older port does not come back.
    let mut graph = TopologyGraph::new();
    let command = |version| ("process.command", version);
    put_with(
        &mut graph,
        "a",
        name,
        &since[..1],
        &[(10, &[five, command("v1")]), (30, &[five, command("v2")])],
    );
    put_with(&mut graph, "b", name, &since[1..], &[(20, &[six])]);
    assert_eq!(
        [25, 35].map(|at| port(&graph, at)),
        [Some("6432".to_owned()), Some("6432".to_owned())]
    );
    let diff = graph.diff(Millis(25), Millis(35), 10);
    let keys: Vec<&str> = diff.changed[0].attributes.iter().map(|change| &*change.key).collect();
    assert_eq!(keys, ["process.command"]);
}
