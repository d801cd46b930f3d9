//! One machine by several names: it fails, is reached and hangs together as one.

mod put;

use holm_graph::TopologyGraph;
use holm_model::Millis;
use holm_moment::{
    Impact, Limits, Metric, Moment, RouteLayer, RouteQuery, Scratch, Selector, WhatIf,
};
use put::{id, node, put, put_with, withdraw};

const NOW: Millis = Millis(50);

fn fails(moment: &Moment, target: &str) -> Impact {
    let failed = moment.select(&Selector::Element(id(target))).expect("there");
    let question = WhatIf { failed, ..WhatIf::default() };
    moment.what_if(&question, Limits::default(), None, &mut Scratch::default())
}

fn services(impact: &Impact) -> Vec<String> {
    impact.impacted_services.items.iter().map(|service| service.id.to_string()).collect()
}

fn told(edges: &[&str]) -> TopologyGraph {
    let mut graph = TopologyGraph::new();
    edges.iter().for_each(|edge| put(&mut graph, "berlin", edge, (1, None)));
    graph
}

/// Two interfaces of a gateway, a way over each, and the gateway's host that has both addresses.
fn gateway() -> TopologyGraph {
    told(&[
        "agent:berlin|path|hop:192.0.2.1",
        "hop:192.0.2.1|path|host:198.51.100.1",
        "agent:berlin|path|hop:192.0.2.2",
        "hop:192.0.2.2|path|host:198.51.100.2",
        "host:192.0.2.1|alias|host:gw",
        "host:192.0.2.2|alias|host:gw",
    ])
}

#[test]
fn all_interfaces_of_a_router_fail_whichever_of_its_names_is_asked_for() {
    let moment = gateway().moment(NOW);
    let mut all = Vec::new();
    for name in ["host:gw", "hop:192.0.2.1", "hop:192.0.2.2", "host:192.0.2.2"] {
        let impact = fails(&moment, name);
        assert_eq!(impact.failed.len(), 3, "{name}: {impact:?}");
        assert_eq!((impact.broken_paths.total, impact.disconnected.total), (3, 2), "{name}");
        let hanging =
            moment.hangs_on(moment.find(&node(name)).expect("there"), &mut Scratch::default());
        assert_eq!(hanging.len(), 2, "{name}");
        all.push(impact);
    }
    assert!(all.iter().all(|impact| *impact == all[0]));
    let rows: Vec<String> = moment.spof(99).items.iter().map(|row| row.id.to_string()).collect();
    assert_eq!(rows, ["agent:berlin", "host:gw", "host:198.51.100.1", "host:198.51.100.2"]);
    // What ties them together may end.
    let mut graph = gateway();
    withdraw(&mut graph, "berlin", "host:192.0.2.2|alias|host:gw");
    let impact = fails(&graph.moment(NOW), "host:gw");
    assert_eq!((impact.failed.len(), impact.disconnected.total), (2, 1), "{impact:?}");
}

#[test]
fn another_name_of_a_target_makes_nothing_whole() {
    let mut graph = told(&["agent:berlin|path|hop:192.0.2.9", "hop:192.0.2.9|path|host:192.0.2.1"]);
    let at = [("server.address", "192.0.2.1"), ("server.port", "80")];
    put_with(&mut graph, "berlin", "service:proxy", (1, None), &[(1, &at)]);
    put(&mut graph, "berlin", "service:web|flow|service:proxy", (1, None));
    let before = fails(&graph.moment(NOW), "hop:192.0.2.9");
    assert_eq!((before.broken_paths.total, services(&before).len()), (1, 2));
    put(&mut graph, "berlin", "device:r1|alias|host:192.0.2.1", (1, None));
    let after = fails(&graph.moment(NOW), "hop:192.0.2.9");
    assert_eq!((after.broken_paths.total, services(&after)), (1, services(&before)));
}

#[test]
fn an_interface_with_a_host_name_is_an_interface() {
    let graph = told(&[
        "agent:berlin|path|hop:192.0.2.1",
        "agent:berlin|path|hop:192.0.2.2",
        "device:r1|device|hop:192.0.2.1",
        "device:r1|device|hop:192.0.2.2",
        "host:r1.example|alias|hop:192.0.2.1",
        "hop:192.0.2.1|path|host:198.51.100.1",
        "hop:192.0.2.2|path|host:198.51.100.2",
    ]);
    let moment = graph.moment(NOW);
    let impact = fails(&moment, "device:r1");
    assert_eq!(impact.failed.len(), 3, "{impact:?}");
    assert_eq!(impact.disconnected.total, 2);
    let device = moment.find(&node("device:r1")).expect("there");
    assert_eq!(moment.hangs_on(device, &mut Scratch::default()).len(), 2);
}

#[test]
fn what_serves_at_a_hop_is_lost_with_the_way_to_it() {
    let mut graph = told(&[
        "agent:berlin|path|hop:192.0.2.9",
        "hop:192.0.2.9|path|hop:192.0.2.1",
        "hop:192.0.2.1|path|host:198.51.100.1",
        "agent:berlin|path|host:198.51.100.1|udp-1|hop:192.0.2.9|hop:192.0.2.1",
        "service:web|flow|service:proxy",
    ]);
    let at = [("server.address", "192.0.2.1"), ("server.port", "80")];
    put_with(&mut graph, "berlin", "service:proxy", (1, None), &[(1, &at)]);
    let moment = graph.moment(NOW);
    for name in ["hop:192.0.2.9", "hop:192.0.2.1"] {
        assert_eq!(services(&fails(&moment, name)), ["service:proxy", "service:web"], "{name}");
    }
    // And a machine that is known as a hop and as a host is reached by either name.
    put(&mut graph, "berlin", "service:far|flow|host:192.0.2.1", (1, None));
    let moment = graph.moment(NOW);
    assert_eq!(
        services(&fails(&moment, "hop:192.0.2.9")),
        ["service:far", "service:proxy", "service:web"]
    );
    let number = |name: &str| moment.find(&node(name)).expect("there");
    let query = RouteQuery {
        from: number("agent:berlin"),
        to: number("host:192.0.2.1"),
        metric: Metric::Hops,
        directed: true,
        edge_kinds: None,
        only_through: None,
        count: 3,
    };
    let ways = moment.layered_routes(&query, RouteLayer::Network, &mut Scratch::default());
    let nodes: Vec<String> =
        ways.found.iter().flat_map(|way| &way.route.nodes).map(ToString::to_string).collect();
    assert_eq!(nodes, ["agent:berlin", "hop:192.0.2.9", "host:192.0.2.1"]);
    assert_eq!(moment.observed_between(query.from, query.to, 9).1, 1);
}

#[test]
fn what_has_an_attribute_fails_with_its_parts() {
    let mut graph = told(&[
        "agent:berlin|path|host:198.51.100.1",
        "device:r1|device|hop:192.0.2.1",
        "agent:berlin|path|hop:192.0.2.1",
        "hop:192.0.2.1|path|host:198.51.100.2",
    ]);
    put_with(&mut graph, "berlin", "device:r1", (1, None), &[(1, &[("os.version", "7.2")])]);
    put_with(&mut graph, "berlin", "site:berlin", (1, None), &[(1, &[("zone", "a")])]);
    let moment = graph.moment(NOW);
    for (element, key, value) in [("device:r1", "os.version", "7.2"), ("site:berlin", "zone", "a")]
    {
        let elements = graph.with_attribute(key, value, NOW);
        let listed = Selector::Listed { name: key.to_owned(), elements };
        let by_name = moment.select(&Selector::Element(id(element))).expect("there");
        assert!(by_name.nodes.len() > 1, "{element}");
        assert_eq!(moment.select(&listed).expect("there"), by_name, "{element}");
    }
}

#[test]
fn a_silent_hop_to_another_target_does_not_narrow_the_ways() {
    let mut graph = TopologyGraph::new();
    for side in [21, 22, 23, 24] {
        let hops = ["hop:192.0.2.1", &format!("hop:192.0.2.{side}"), "hop:192.0.2.3"];
        let way = format!("agent:berlin|path|host:198.51.100.1|udp-{side}|{}", hops.join("|"));
        put(&mut graph, "berlin", &way, (1, None));
        for link in hops.windows(2) {
            put(&mut graph, "berlin", &format!("{}|path|{}", link[0], link[1]), (1, None));
        }
    }
    put(&mut graph, "berlin", "agent:berlin|path|hop:192.0.2.1", (1, None));
    put(&mut graph, "berlin", "hop:192.0.2.3|path|host:198.51.100.1", (1, None));
    let width = |graph: &TopologyGraph| {
        let moment = graph.moment(NOW);
        let number = |name: &str| moment.find(&node(name)).expect("there");
        moment.ecmp_width(number("agent:berlin"), number("host:198.51.100.1"))
    };
    assert_eq!(width(&graph), 4);
    let silent = "agent:berlin|path|host:198.51.100.2|udp-1|hop:192.0.2.1|*|hop:192.0.2.3";
    put(&mut graph, "berlin", silent, (1, None));
    put(&mut graph, "berlin", "hop:192.0.2.3|path|host:198.51.100.2", (1, None));
    assert_eq!(width(&graph), 4);
}

#[test]
fn an_id_is_found_by_a_part_of_it_with_its_kind() {
    let graph = told(&["service:checkout|flow|service:ledger", "agent:berlin|path|hop:192.0.2.1"]);
    let found = |text: &str| -> Vec<String> {
        let found = graph.search(text, NOW, 9, true).items;
        found.into_iter().map(|found| found.id.to_string()).collect()
    };
    assert_eq!(found("service:che"), ["service:checkout"]);
    assert_eq!(found("vice:led"), ["service:ledger"]);
    assert_eq!(found("service"), ["service:checkout", "service:ledger"]);
    assert_eq!(found("agent"), ["agent:berlin"]);
    assert!(found("e:l").contains(&"service:ledger".to_owned()));
}

#[test]
fn loopback_leads_to_a_service_where_sites_say_that_they_share_the_machine() {
    let written = |machine: &[(&str, &str)]| {
        let mut graph = TopologyGraph::new();
        for site in ["berlin", "tokyo"] {
            put_with(&mut graph, site, &format!("site:{site}"), (1, None), &[(1, machine)]);
        }
        let at = [("server.address", "127.0.77.2"), ("server.port", "7003")];
        put_with(&mut graph, "tokyo", "service:ledger", (1, None), &[(1, &at)]);
        let port = [("server.port", "7003")];
        let call = "service:payments|flow|host:127.0.77.2";
        put_with(&mut graph, "berlin", call, (1, None), &[(1, &port)]);
        services(&fails(&graph.moment(NOW), "service:ledger"))
    };
    assert!(written(&[]).is_empty(), "each has its own");
    assert_eq!(written(&[("holm.site.machine", "lab")]), ["service:payments"]);
}

#[test]
fn a_gateway_that_is_entered_at_two_interfaces_is_ranked_before_what_breaks_less() {
    // Very many machines, and one that nothing breaks alone.
    let mut graph = TopologyGraph::new();
    let mut put = |element: &str| put(&mut graph, "berlin", element, (1, None));
    for side in [1, 2] {
        put(&format!("agent:berlin|path|hop:192.0.2.{side}"));
        put(&format!("host:192.0.2.{side}|alias|host:gw"));
        for host in 0..200 {
            put(&format!("hop:192.0.2.{side}|path|host:203.0.113.{host}"));
        }
    }
    for small in 0..1_500 {
        let address = format!("198.18.{}.{}", small / 250, small % 250);
        put(&format!("agent:berlin|path|hop:{address}"));
        put(&format!("hop:{address}|path|host:{address}"));
    }
    let moment = graph.moment(NOW);
    let ranking = moment.spof(2);
    assert_eq!(ranking.as_one_node, 0);
    let ids: Vec<String> = ranking.items.iter().map(|row| row.id.to_string()).collect();
    assert_eq!(ids, ["agent:berlin", "host:gw"]);
    assert_eq!(ranking.items[1].broken_paths, 201);
}

#[test]
fn a_silent_flow_beside_very_many_does_not_take_the_room_of_all_pairs() {
    let mut builder = holm_moment::MomentBuilder::new();
    let mut node = |name: &str| builder.node(node(name));
    let (agent, target) = (node("agent:berlin"), node("host:198.51.100.1"));
    let hops: Vec<[u32; 2]> =
        (0..20_000).map(|n| [node(&format!("hop:a{n}")), node(&format!("hop:b{n}"))]).collect();
    for (flow, [a, b]) in hops.iter().enumerate() {
        builder.path(agent, target, &format!("udp-{flow}"), &[Some(*a), Some(*b)]);
    }
    builder.path(agent, target, "udp-silent", &[None, None]);
    let moment = builder.build();
    let impact = fails(&moment, "hop:a7");
    assert_eq!((impact.broken_paths.total, impact.rerouted_paths.total), (0, 1));
    assert_eq!(impact.disconnected.total, 0);
    assert_eq!(moment.components().1, 1);
}

#[test]
fn a_way_goes_on_from_another_name_than_it_came_in_by() {
    let mut graph = gateway();
    withdraw(&mut graph, "berlin", "hop:192.0.2.1|path|host:198.51.100.1");
    withdraw(&mut graph, "berlin", "agent:berlin|path|hop:192.0.2.2");
    let moment = graph.moment(NOW);
    let number = |name: &str| moment.find(&node(name)).expect("there");
    let query = |from: &str, to: &str| RouteQuery {
        from: number(from),
        to: number(to),
        metric: Metric::Hops,
        directed: true,
        edge_kinds: None,
        only_through: None,
        count: 5,
    };
    let nodes = |from: &str, to: &str| -> Vec<Vec<String>> {
        let ways =
            moment.layered_routes(&query(from, to), RouteLayer::Network, &mut Scratch::default());
        assert!(ways.complete);
        let names = |way: &holm_moment::LayeredRoute| {
            way.route.nodes.iter().map(ToString::to_string).collect()
        };
        ways.found.iter().map(names).collect()
    };
    let whole = ["agent:berlin", "hop:192.0.2.1", "host:198.51.100.2"];
    assert_eq!(nodes("agent:berlin", "host:198.51.100.2"), [whole]);
    let impact = fails(&moment, "host:gw");
    let broken = impact.broken_paths.items.iter().find(|path| path.to.to_string() == whole[2]);
    let route = broken.expect("broken").route.iter().flatten();
    let route: Vec<String> = route.map(ToString::to_string).collect();
    assert_eq!(route, whole);
    // From any of its names, and between two of them.
    for name in ["host:gw", "hop:192.0.2.1", "hop:192.0.2.2"] {
        assert_eq!(nodes(name, "host:198.51.100.2"), [[name, "host:198.51.100.2"]]);
        assert_eq!(nodes("agent:berlin", name), [["agent:berlin", name]]);
    }
    assert_eq!(nodes("hop:192.0.2.1", "hop:192.0.2.2"), [["hop:192.0.2.1", "hop:192.0.2.2"]]);
}

#[test]
fn a_step_from_name_to_name_of_one_machine_is_no_hop() {
    // Two ways as long as each other to one machine: the one ends at its hop, the other at its host.
    let moment = told(&[
        "agent:berlin|path|hop:203.0.113.1",
        "agent:berlin|path|hop:203.0.113.2",
        "hop:203.0.113.1|path|host:192.0.2.1",
        "hop:203.0.113.2|path|hop:192.0.2.1",
        "hop:192.0.2.1|path|host:198.51.100.1",
    ])
    .moment(NOW);
    let number = |name: &str| moment.find(&node(name)).expect("there");
    assert_eq!(moment.ecmp_width(number("agent:berlin"), number("host:192.0.2.1")), 2);
    for name in ["hop:203.0.113.1", "hop:203.0.113.2"] {
        let impact = fails(&moment, name);
        assert_eq!((impact.broken_paths.total, impact.rerouted_paths.total), (0, 2), "{name}");
        // Named as it was entered, and no hop longer.
        let far =
            impact.rerouted_paths.items.iter().find(|p| p.to.to_string() == "host:198.51.100.1");
        let route = &far.expect("rerouted").alt_route;
        let route: Vec<String> = route.iter().flatten().map(ToString::to_string).collect();
        let (by, entered) = match name {
            "hop:203.0.113.1" => ("hop:203.0.113.2", "hop:192.0.2.1"),
            _ => ("hop:203.0.113.1", "host:192.0.2.1"),
        };
        assert_eq!(route, ["agent:berlin", by, entered, "host:198.51.100.1"]);
    }
}

#[test]
fn an_agents_own_address_is_where_it_is_and_no_target_of_its_own() {
    // Three sites that trace each other over one transit hop.
    let mut graph = TopologyGraph::new();
    let sites = [("a", "203.0.113.1"), ("b", "203.0.113.2"), ("c", "203.0.113.3")];
    for (from, _) in sites {
        put(&mut graph, from, &format!("site:{from}"), (1, None));
        put(&mut graph, from, &format!("agent:{from}|path|hop:192.0.2.1"), (1, None));
        for (to, address) in sites.iter().filter(|(to, _)| *to != from) {
            let peer = [("holm.peer.site", *to)];
            let way = format!("agent:{from}|path|host:{address}|udp-1|hop:192.0.2.1");
            put_with(&mut graph, from, &way, (1, None), &[(1, &peer)]);
            let link = format!("hop:192.0.2.1|path|host:{address}");
            put(&mut graph, from, &link, (1, None));
        }
    }
    let moment = graph.moment(NOW);
    let impact = fails(&moment, "hop:192.0.2.1");
    assert_eq!((impact.broken_paths.total, impact.disconnected.total), (6, 0), "{impact:?}");
    let rank = |name: &str| {
        let rows = moment.spof(99).items;
        let row = rows.iter().find(|row| row.id.to_string() == name).expect("ranked");
        (row.broken_paths, row.disconnected)
    };
    assert_eq!(rank("hop:192.0.2.1"), (6, 0));
    assert_eq!((fails(&moment, "site:a").broken_paths.total, rank("site:a").0), (4, 4));
    assert_eq!((fails(&moment, "agent:a").broken_paths.total, rank("agent:a").0), (2, 2));
}

#[test]
fn a_link_fails_under_all_names_of_the_addresses_at_its_ends() {
    // A peer that is probed is also a hop on the way to another target.
    let graph = told(&[
        "agent:berlin|path|hop:192.0.2.1",
        "agent:berlin|path|host:192.0.2.1",
        "hop:192.0.2.1|path|host:198.51.100.1",
        "agent:berlin|path|host:198.51.100.1|udp-1|hop:192.0.2.1",
        "agent:berlin|path|host:198.51.100.1|udp-2|hop:192.0.2.1",
    ]);
    let moment = graph.moment(NOW);
    for name in ["agent:berlin|path|hop:192.0.2.1", "agent:berlin|path|host:192.0.2.1"] {
        let impact = fails(&moment, name);
        assert_eq!(impact.failed.len(), 2, "{name}");
        assert_eq!(impact.rerouted_paths.total, 0, "{name}: {impact:?}");
        assert_eq!(impact.broken_paths.total, 2, "{name}");
    }
    // Another address of a router is another link.
    let moment = gateway().moment(NOW);
    let impact = fails(&moment, "agent:berlin|path|hop:192.0.2.1");
    assert_eq!((impact.failed.len(), impact.broken_paths.total), (1, 0), "{impact:?}");
    // What packets took is observed, by whichever name it is asked for.
    let moment = graph.moment(NOW);
    let number = |name: &str| moment.find(&node(name)).expect("there");
    let query = RouteQuery {
        from: number("agent:berlin"),
        to: number("host:198.51.100.1"),
        metric: Metric::Hops,
        directed: true,
        edge_kinds: None,
        only_through: None,
        count: 1,
    };
    let ways = moment.layered_routes(&query, RouteLayer::Network, &mut Scratch::default());
    assert!(ways.found[0].route.observed);
    let names: Vec<String> = ways.found[0].route.nodes.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["agent:berlin", "hop:192.0.2.1", "host:198.51.100.1"]);
    // And what lies around the one name lies around the other.
    for name in ["host:192.0.2.1", "hop:192.0.2.1"] {
        let around = holm_moment::Around { depth: 1, ..holm_moment::Around::default() };
        let found = moment.neighbourhood(number(name), &around, &mut Scratch::default());
        let names: Vec<String> = found.iter().map(|(n, _)| moment.node(*n).to_string()).collect();
        assert_eq!(names, ["agent:berlin", "host:198.51.100.1"], "{name}");
    }
}
