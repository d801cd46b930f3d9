//! What probes tell of both ends of a way, beside the ways that packets were seen to take.

mod put;

use holm_graph::TopologyGraph;
use holm_model::{EdgeKind, Millis};
use holm_moment::{
    Impact, Limits, Metric, Moment, RouteLayer, RouteQuery, RouteStatus, Scratch, Selector, WhatIf,
};
use put::{id, node, put, put_with, withdraw};

const NOW: Millis = Millis(50);
const TARGET: &str = "host:198.51.100.7";

fn fails(moment: &Moment, target: &str) -> Impact {
    let failed = moment.select(&Selector::Element(id(target))).expect("there");
    let question = WhatIf { failed, ..WhatIf::default() };
    moment.what_if(&question, Limits::default(), None, &mut Scratch::default())
}

/// What both planes write of one target behind a gateway and two routers side by side, or the path plane
/// alone.
fn written(by_both: bool) -> TopologyGraph {
    let mut graph = TopologyGraph::new();
    let peer = [("holm.peer.site", "tokyo")];
    if by_both {
        let told = [peer[0], ("holm.probe.icmp", "answers"), ("holm.probe.icmp.rtt_ms", "20")];
        let edge = format!("agent:berlin|path|{TARGET}");
        put_with(&mut graph, "berlin", &edge, (1, None), &[(1, &told)]);
    }
    for side in [11, 12] {
        let between = format!("hop:203.0.113.1|hop:203.0.113.{side}|hop:203.0.113.2");
        let way = format!("agent:berlin|path|{TARGET}|udp-{side}|{between}");
        put_with(&mut graph, "berlin", &way, (1, None), &[(1, &peer)]);
        for edge in [
            format!("hop:203.0.113.1|path|hop:203.0.113.{side}"),
            format!("hop:203.0.113.{side}|path|hop:203.0.113.2"),
        ] {
            put(&mut graph, "berlin", &edge, (1, None));
        }
    }
    put(&mut graph, "berlin", "agent:berlin|path|hop:203.0.113.1", (1, None));
    put(&mut graph, "berlin", &format!("hop:203.0.113.2|path|{TARGET}"), (1, None));
    put(&mut graph, "tokyo", "site:tokyo", (1, None));
    graph
}

#[test]
fn a_probe_is_no_way_around_what_lies_between() {
    for by_both in [false, true] {
        let moment = written(by_both).moment(NOW);
        let impact = fails(&moment, "hop:203.0.113.1");
        assert_eq!(impact.broken_paths.total, 1, "{by_both}: {impact:?}");
        assert_eq!(impact.rerouted_paths.total, 0, "{by_both}");
        let cut_off = impact.disconnected.items.iter().any(|node| node.to_string() == TARGET);
        assert!(cut_off, "{by_both}: {impact:?}");
        let beside = fails(&moment, "hop:203.0.113.11");
        assert_eq!((beside.broken_paths.total, beside.rerouted_paths.total), (0, 1));
        assert_eq!(beside.rerouted_paths.items[0].status, RouteStatus::Observed);
        let worst = moment.spof(9);
        let ranked = worst.items.iter().any(|spof| spof.id.to_string() == "hop:203.0.113.1");
        assert!(ranked, "{by_both}: {worst:?}");

        let number = |name: &str| moment.find(&node(name)).expect("there");
        let (from, to) = (number("agent:berlin"), number(TARGET));
        let mut scratch = Scratch::default();
        assert_eq!(moment.ecmp_width(from, to), 2, "{by_both}");
        let query = RouteQuery {
            from,
            to,
            metric: Metric::Hops,
            directed: true,
            edge_kinds: None,
            only_through: None,
            count: 3,
        };
        let ways = moment.layered_routes(&query, RouteLayer::Network, &mut scratch).found;
        let hops: Vec<usize> = ways.iter().map(|way| way.route.nodes.len() - 1).collect();
        assert_eq!(hops, [4, 4], "{by_both}");
        // It is still there to be looked at and asked for, and holds nothing up by itself.
        let probe = moment.edge_between(from, EdgeKind::Path, to);
        assert_eq!(probe.is_some(), by_both);
        if by_both {
            let impact = fails(&moment, &format!("agent:berlin|path|{TARGET}"));
            assert_eq!(impact.broken_paths.total + impact.rerouted_paths.total, 0);
        }
    }
}

#[test]
fn where_packets_go_straight_too_the_probe_is_a_link() {
    let mut graph = written(true);
    let straight = format!("agent:berlin|path|{TARGET}|udp-1");
    put(&mut graph, "berlin", &straight, (1, None));
    let impact = fails(&graph.moment(NOW), "hop:203.0.113.1");
    assert_eq!((impact.broken_paths.total, impact.rerouted_paths.total), (0, 1), "{impact:?}");
    withdraw(&mut graph, "berlin", &straight);
    assert_eq!(fails(&graph.moment(NOW), "hop:203.0.113.1").broken_paths.total, 1);
}

#[test]
fn a_site_fails_with_the_addresses_that_any_plane_knows_of_it() {
    for by_both in [false, true] {
        let impact = fails(&written(by_both).moment(NOW), "site:tokyo");
        assert_eq!(impact.broken_paths.total, 1, "{by_both}: {impact:?}");
    }
}

#[test]
fn what_is_known_behind_silent_hops_alone_is_lost_with_what_comes_before_them() {
    for (silent, by_both) in [(false, false), (true, false), (true, true)] {
        let mut graph = TopologyGraph::new();
        put(&mut graph, "berlin", "agent:berlin|path|hop:203.0.113.1", (1, None));
        let last = if silent { "|*" } else { "" };
        let way = format!("agent:berlin|path|{TARGET}|f0|hop:203.0.113.1{last}");
        put(&mut graph, "berlin", &way, (1, None));
        if !silent {
            put(&mut graph, "berlin", &format!("hop:203.0.113.1|path|{TARGET}"), (1, None));
        }
        if by_both {
            put(&mut graph, "berlin", &format!("agent:berlin|path|{TARGET}"), (1, None));
        }
        let serves = [("server.address", "198.51.100.7"), ("server.port", "5432")];
        put_with(&mut graph, "tokyo", "service:db", (1, None), &[(1, &serves)]);
        let calls = format!("service:web|flow|{TARGET}");
        put_with(&mut graph, "berlin", &calls, (1, None), &[(1, &serves[1..])]);
        let moment = graph.moment(NOW);
        let impact = fails(&moment, "hop:203.0.113.1");
        assert_eq!(impact.broken_paths.total, 1, "{silent} {by_both}");
        assert_eq!(impact.impacted_services.total, 2, "{silent} {by_both}: {impact:?}");
        let worst = moment.spof(9).items;
        let of_hop = worst.iter().find(|spof| spof.id.to_string() == "hop:203.0.113.1");
        let of_hop = of_hop.expect("it is ranked");
        assert_eq!((of_hop.broken_paths, of_hop.impacted_services), (1, 2), "{silent} {by_both}");
    }
}

#[test]
fn of_an_edge_that_a_site_means_the_value_does_not_depend_on_what_came_first() {
    let said = [
        ("agent:tokyo|path|hop:192.168.1.1", [("holm.probe.icmp", "one")]),
        ("agent:tokyo|path|host:gw", [("holm.probe.icmp", "two")]),
    ];
    let told = |order: [usize; 2]| {
        let mut graph = TopologyGraph::new();
        put(&mut graph, "berlin", "agent:berlin|path|hop:192.168.1.1", (1, None));
        put(&mut graph, "tokyo", "host:gw|alias|hop:192.168.1.1", (1, None));
        for (edge, attributes) in order.map(|i| said[i]) {
            put_with(&mut graph, "tokyo", edge, (1, None), &[(5, &attributes)]);
        }
        let meant = |name: &str| {
            let site = "tokyo".parse().expect("valid");
            graph.meant_by_site(&node(name), &site, NOW).expect("it speaks of it")
        };
        let (from, to) = (meant("agent:tokyo"), meant("hop:192.168.1.1"));
        (graph.digest(), graph.edge_meant(&from, EdgeKind::Path, &to))
    };
    assert_eq!(told([0, 1]), told([1, 0]));
}

#[test]
fn a_hop_that_did_not_answer_leaves_both_sides_connected() {
    for hops in ["*", "*|hop:203.0.113.2", "hop:203.0.113.1|*|hop:203.0.113.2"] {
        let mut graph = TopologyGraph::new();
        put(&mut graph, "berlin", &format!("agent:berlin|path|{TARGET}"), (1, None));
        put(&mut graph, "berlin", &format!("agent:berlin|path|{TARGET}|f0|{hops}"), (1, None));
        for (from, to) in [("agent:berlin", "hop:203.0.113.1"), ("hop:203.0.113.2", TARGET)] {
            if hops.contains(if from.starts_with("hop") { from } else { to }) {
                put(&mut graph, "berlin", &format!("{from}|path|{to}"), (1, None));
            }
        }
        put(&mut graph, "tokyo", &format!("service:db|flow|{TARGET}"), (1, None));
        let moment = graph.moment(NOW);
        assert_eq!(moment.components().1, 1, "{hops}");
        let agent = moment.find(&node("agent:berlin")).expect("there");
        let hanging = moment.hangs_on(agent, &mut Scratch::default()).len();
        assert_eq!(hanging, moment.len().0 - 1, "{hops}");
        assert_eq!(fails(&moment, "agent:berlin").disconnected.total as usize, hanging);
    }
}

#[test]
fn a_hop_that_did_not_answer_proves_no_way_around_what_answered_there() {
    for (other, survives) in [("*", false), ("hop:203.0.113.12", true)] {
        let mut graph = TopologyGraph::new();
        let last = "hop:203.0.113.2";
        for (flow, hop) in [("f0", "hop:203.0.113.11"), ("f1", other)] {
            let way = format!("agent:berlin|path|{TARGET}|{flow}|{hop}|{last}");
            put(&mut graph, "berlin", &way, (1, None));
            if hop != "*" {
                put(&mut graph, "berlin", &format!("agent:berlin|path|{hop}"), (1, None));
                put(&mut graph, "berlin", &format!("{hop}|path|{last}"), (1, None));
            }
        }
        put(&mut graph, "berlin", &format!("{last}|path|{TARGET}"), (1, None));
        let moment = graph.moment(NOW);
        let impact = fails(&moment, "hop:203.0.113.11");
        let found = (impact.broken_paths.total, impact.rerouted_paths.total);
        assert_eq!(found, if survives { (0, 1) } else { (1, 0) }, "{other}: {impact:?}");
        let worst = moment.spof(9).items;
        let ranked = worst.iter().find(|spof| spof.id.to_string() == "hop:203.0.113.11");
        assert_eq!(ranked.map_or(0, |spof| spof.broken_paths), found.0, "{other}");
    }
}

#[test]
fn all_that_belongs_to_a_thing_fails_by_whichever_name_it_is_asked_for() {
    let mut graph = TopologyGraph::new();
    put(&mut graph, "berlin", "device:r1|alias|hop:203.0.113.3", (1, None));
    put(&mut graph, "berlin", "device:r1|device|hop:203.0.113.2", (1, None));
    put(&mut graph, "berlin", "agent:berlin|path|hop:203.0.113.3", (1, None));
    put(&mut graph, "berlin", "agent:berlin|path|hop:203.0.113.2", (1, None));
    let moment = graph.moment(NOW);
    let failed = |name: &str| {
        let failed = moment.select(&Selector::Element(id(name))).expect("there");
        (failed.nodes.len(), failed)
    };
    let (count, by_device) = failed("device:r1");
    assert_eq!((count, &by_device), (2, &failed("hop:203.0.113.3").1));
    let ranked = moment.spof(9).items;
    let worst = ranked.iter().find(|spof| spof.disconnected > 0 || spof.broken_paths > 0);
    assert!(worst.is_none_or(|spof| spof.id.to_string() != "hop:203.0.113.2"), "{ranked:?}");
}

#[test]
fn a_target_that_answered_as_the_hop_before_it_leaves_the_link_to_it_a_link() {
    let mut graph = TopologyGraph::new();
    // The target answers by its router's address first: one thing by the alias.
    let way = format!("agent:berlin|path|{TARGET}|udp-1|hop:203.0.113.1");
    put(&mut graph, "berlin", &way, (1, None));
    put(&mut graph, "berlin", "agent:berlin|path|hop:203.0.113.1", (1, None));
    put(&mut graph, "berlin", &format!("hop:203.0.113.1|alias|{TARGET}"), (1, None));
    put(&mut graph, "berlin", "hop:203.0.113.1|path|hop:203.0.113.5", (1, None));
    let moment = graph.moment(NOW);
    let (agent, target) = (moment.find(&node("agent:berlin")), moment.find(&node(TARGET)));
    assert_eq!(target, moment.find(&node("hop:203.0.113.1")), "one thing");
    let (agent, target) = (agent.expect("there"), target.expect("there"));
    let edge = moment.edge_between(agent, EdgeKind::Path, target).expect("there");
    let failed = fails(&moment, &moment.edge(edge).to_string());
    assert_eq!((failed.broken_paths.total, failed.disconnected.total), (1, 2), "{failed:?}");
}

#[test]
fn where_packets_of_another_flow_went_straight_to_a_hop_its_edge_is_a_link() {
    let mut graph = TopologyGraph::new();
    // To the router itself over another, and over the router to the target.
    let way = "agent:berlin|path|hop:203.0.113.1|icmp-1|hop:203.0.113.9";
    put(&mut graph, "berlin", way, (1, None));
    let way = format!("agent:berlin|path|{TARGET}|udp-1|hop:203.0.113.1");
    put(&mut graph, "berlin", &way, (1, None));
    for edge in [
        "agent:berlin|path|hop:203.0.113.9".to_owned(),
        "hop:203.0.113.9|path|hop:203.0.113.1".to_owned(),
        "agent:berlin|path|hop:203.0.113.1".to_owned(),
        format!("hop:203.0.113.1|path|{TARGET}"),
    ] {
        put(&mut graph, "berlin", &edge, (1, None));
    }
    let moment = graph.moment(NOW);
    let failed = fails(&moment, "hop:203.0.113.9");
    assert_eq!((failed.broken_paths.total, failed.rerouted_paths.total), (0, 1), "{failed:?}");
}

#[test]
fn a_router_that_is_called_and_led_over_is_one_machine() {
    let mut graph = TopologyGraph::new();
    for gateway in ["203.0.113.1", "192.168.1.1"] {
        let way = format!("agent:berlin|path|{TARGET}|udp-{gateway}|hop:{gateway}");
        put(&mut graph, "berlin", &way, (1, None));
        put(&mut graph, "berlin", &format!("service:web|flow|host:{gateway}"), (1, None));
    }
    // The same private address elsewhere is another machine.
    put(&mut graph, "tokyo", "service:far|flow|host:192.168.1.1", (1, None));
    // A service by an address of a device, at which nobody called or probed a host.
    let serves = [("server.address", "198.51.100.1"), ("server.port", "80")];
    put_with(&mut graph, "berlin", "service:lb", (1, None), &[(1, &serves)]);
    put(&mut graph, "berlin", "service:web|flow|service:lb", (1, None));
    put(&mut graph, "berlin", "device:r1|device|hop:198.51.100.1", (1, None));
    put(&mut graph, "berlin", "as:64500|routing|prefix:198.51.100.0/24", (1, None));
    let moment = graph.moment(NOW);
    let ranked = moment.spof(99).items;
    for name in ["hop:203.0.113.1", "host:203.0.113.1"] {
        let impact = fails(&moment, name);
        assert_eq!(impact.failed.len(), 2, "{impact:?}");
        assert_eq!((impact.broken_paths.total, impact.rerouted_paths.total), (0, 1), "{name}");
        assert_eq!(impact.impacted_services.total, 1, "{name}: {impact:?}");
    }
    // It is ranked once, by the host that it is.
    let rows: Vec<_> =
        ranked.iter().filter(|spof| spof.id.to_string().ends_with("203.0.113.1")).collect();
    assert_eq!((rows.len(), rows[0].impacted_services), (1, 1), "{rows:?}");
    assert_eq!(rows[0].id.to_string(), "host:203.0.113.1");
    for name in ["hop:192.168.1.1", "host:192.168.1.1"] {
        let failed = Selector::Placed { node: node(name), site: "berlin".parse().expect("valid") };
        let failed = moment.select(&failed).expect("there");
        let question = WhatIf { failed, ..WhatIf::default() };
        let impact = moment.what_if(&question, Limits::default(), None, &mut Scratch::default());
        let services: Vec<String> =
            impact.impacted_services.items.iter().map(|s| s.id.to_string()).collect();
        assert_eq!(services, ["service:web"], "{name}");
    }
    for name in ["device:r1", "hop:198.51.100.1", "prefix:198.51.100.0/24", "as:64500"] {
        let impact = fails(&moment, name);
        let services: Vec<String> =
            impact.impacted_services.items.iter().map(|s| s.id.to_string()).collect();
        assert!(services.contains(&"service:web".into()), "{name}: {impact:?}");
    }
}

#[test]
fn an_as_is_what_it_alone_originates_by_the_longest_prefix() {
    let mut graph = TopologyGraph::new();
    for edge in [
        "as:64500|routing|prefix:0.0.0.0/0",
        "as:64500|routing|prefix:198.51.0.0/16",
        "as:64501|routing|prefix:198.51.100.0/24",
        "as:64501|routing|prefix:203.0.113.0/24",
        "as:64502|routing|prefix:203.0.113.0/24",
        // A router that leads there originates nothing.
        "hop:192.0.2.1|routing|prefix:198.51.100.0/24",
        "agent:berlin|path|host:198.51.100.7",
        "agent:berlin|path|host:198.51.1.7",
        "agent:berlin|path|host:203.0.113.7",
        "agent:berlin|path|host:10.0.0.9",
    ] {
        put(&mut graph, "berlin", edge, (1, None));
    }
    let moment = graph.moment(NOW);
    let selected = |name: &str| {
        let nodes = moment.select(&Selector::Element(id(name))).expect("there").nodes;
        nodes.into_iter().map(|n| moment.node(n).to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(selected("as:64500"), "as:64500 host:198.51.1.7");
    assert_eq!(selected("as:64501"), "as:64501 host:198.51.100.7");
    assert_eq!(selected("as:64502"), "as:64502");
    // What two originate together fails with both.
    let broken = |names: &[&str]| -> Vec<String> {
        let selected = names.iter().map(|name| moment.select(&Selector::Element(id(name))));
        let nodes = selected.flat_map(|selection| selection.expect("there").nodes).collect();
        let failed = holm_moment::Selection { nodes, edges: Vec::new() };
        let question = WhatIf { failed, ..WhatIf::default() };
        let impact = moment.what_if(&question, Limits { items: 9 }, None, &mut Scratch::default());
        impact.broken_paths.items.iter().map(|pair| pair.to.to_string()).collect()
    };
    assert_eq!(broken(&["as:64501"]), ["host:198.51.100.7"]);
    assert_eq!(broken(&["as:64502"]), Vec::<String>::new());
    assert_eq!(broken(&["as:64502", "as:64501"]), ["host:198.51.100.7", "host:203.0.113.7"]);
}

#[test]
fn a_prefix_that_nobody_spoke_of_is_what_lies_in_it() {
    let moment = written(true).moment(NOW);
    let lying = |prefix: &str| moment.lying_in(&holm_model::Prefix::parse(prefix).expect("one"));
    let names = |selection: holm_moment::Selection| -> Vec<String> {
        selection.nodes.into_iter().map(|n| moment.node(n).to_string()).collect()
    };
    assert_eq!(names(lying("198.51.100.0/25")), [TARGET]);
    assert_eq!(lying("203.0.113.0/24").nodes.len(), 4);
    assert!(lying("10.0.0.0/8").nodes.is_empty());
}
