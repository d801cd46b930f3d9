//! What is where: services on their hosts and beside their site's agent, and addresses that mean one
//! thing here and another there.

mod put;

use holm_graph::{Folding, MeantBySite, TopologyGraph};
use holm_model::Millis;
use holm_moment::{
    Impact, Limits, Metric, Moment, Named, RouteLayer, RouteQuery, Scratch, Selector, WhatIf,
    impact_diff, impact_diff_by,
};
use put::{id, node, put, put_with};

const NOW: Millis = Millis(50);

fn fails(moment: &Moment, target: &str) -> Impact {
    let selector = match target.split_once('@') {
        Some((name, site)) => {
            Selector::Placed { node: node(name), site: site.parse().expect("valid") }
        }
        None => Selector::Element(id(target)),
    };
    let failed = moment.select(&selector).expect("it is there");
    let question = WhatIf { failed, ..WhatIf::default() };
    moment.what_if(&question, Limits::default(), None, &mut Scratch::default())
}

fn impacted(moment: &Moment, target: &str) -> Vec<String> {
    let services = fails(moment, target).impacted_services.items;
    services.iter().map(|s| format!("{} {}", s.distance, s.id)).collect()
}

fn broken(moment: &Moment, target: &str) -> Vec<String> {
    let broken = fails(moment, target).broken_paths.items;
    broken.iter().map(|pair| format!("{} {}", pair.from, pair.to)).collect()
}

fn serves(graph: &mut TopologyGraph, site: &str, service: &str, address: &str, host: &str) {
    let says = [("server.address", address), ("server.port", "8080"), ("host.name", host)];
    put_with(graph, site, service, (1, None), &[(1, &says)]);
}

/// The sites share their private addresses.
fn one_plan(graph: &mut TopologyGraph, from: u64) {
    for site in ["berlin", "tokyo"] {
        let says = [("holm.site.address_plan", "corp")];
        put_with(graph, site, &format!("site:{site}"), (from, None), &[(from, &says)]);
    }
}

/// A shop at tokyo, called from berlin, where only the address is seen.
fn shop() -> TopologyGraph {
    let mut graph = TopologyGraph::new();
    one_plan(&mut graph, 1);
    put(&mut graph, "berlin", "agent:berlin|path|host:10.2.0.1", (1, None));
    serves(&mut graph, "tokyo", "service:stock", "10.2.0.5", "db");
    put(&mut graph, "tokyo", "host:10.2.0.5|alias|host:db", (1, None));
    serves(&mut graph, "tokyo", "service:report", "", "db");
    let call = [("server.port", "8080")];
    put_with(&mut graph, "berlin", "service:web|flow|host:10.2.0.5", (1, None), &[(1, &call)]);
    graph
}

#[test]
fn what_runs_on_a_host_fails_with_it_and_so_does_what_calls_it() {
    let moment = shop().moment(NOW);
    let expected = ["1 service:report", "1 service:stock", "1 service:web"];
    assert_eq!(impacted(&moment, "host:db"), expected);
    assert_eq!(impacted(&moment, "host:10.2.0.5"), expected);
    assert_eq!(impacted(&moment, "host:10.2.0.1"), [""; 0], "nothing was seen to run there");
    let ranking = moment.spof(10);
    let db =
        ranking.items.iter().find(|spof| spof.id.id.name() == "db").expect("it breaks something");
    assert_eq!(db.impacted_services, 3);
}

#[test]
fn a_host_name_is_its_own_sites() {
    let mut graph = shop();
    // Another machine of that name, at a site that says nothing of its addresses.
    serves(&mut graph, "berlin", "service:other", "", "db");
    assert!(!impacted(&graph.moment(NOW), "host:db").contains(&"1 service:other".to_owned()));
}

#[test]
fn a_service_is_not_cut_off_while_the_agent_beside_it_is_there() {
    let mut graph = shop();
    put(&mut graph, "berlin", "agent:berlin", (1, None));
    let cut = |graph: &TopologyGraph, target: &str| -> Vec<String> {
        let cut = fails(&graph.moment(NOW), target).disconnected.items;
        cut.iter().map(ToString::to_string).collect()
    };
    // Without an agent at tokyo the shop hangs on the call from berlin, where the caller lives on.
    assert_eq!(cut(&graph, "host:10.2.0.5"), ["service:report"]);
    assert_eq!(cut(&graph, "service:web"), ["host:db", "service:report", "service:stock"]);
    put(&mut graph, "tokyo", "agent:tokyo", (1, None));
    assert_eq!(cut(&graph, "host:10.2.0.5"), [""; 0]);
    assert_eq!(cut(&graph, "service:web"), [""; 0]);
}

/// Both sites lead over a router of the same private address to a host of the other.
fn routers() -> TopologyGraph {
    let mut graph = TopologyGraph::new();
    for (site, to) in [("berlin", "192.0.2.1"), ("tokyo", "192.0.2.2")] {
        put(&mut graph, site, &format!("agent:{site}|path|hop:192.168.1.1"), (1, None));
        put(&mut graph, site, &format!("hop:192.168.1.1|path|host:{to}"), (1, None));
    }
    graph
}

fn next_to(graph: &TopologyGraph, meant: &MeantBySite) -> Vec<String> {
    let all = graph.neighbours_meant(meant, NOW, &graph.folding(NOW), 10).expect("there");
    all.items.iter().map(|next| next.node.to_string()).collect()
}

#[test]
fn what_a_site_means_by_a_name_has_its_other_names_and_nothing_of_another_sites() {
    let tokyo = "tokyo".parse().expect("valid");
    let berlin = "berlin".parse().expect("valid");
    let hop = node("hop:192.168.1.1");

    // One site alone speaks of it: it means nothing to others, and what it meant before is found.
    let mut graph = TopologyGraph::new();
    put(&mut graph, "berlin", "agent:berlin|path|hop:192.168.1.1", (1, Some(5)));
    put(&mut graph, "tokyo", "agent:tokyo|path|hop:192.168.9.9", (1, None));
    assert_eq!(graph.meant_by_site(&hop, &tokyo, NOW), None);
    let gone = graph.meant_by_site(&hop, &berlin, NOW).expect("it was there");
    assert!(!graph.is_meant_then(&gone, NOW) && graph.is_meant_then(&gone, Millis(3)));
    assert_eq!(graph.element_meant(&gone).expect("a history").sites.len(), 1);
    put(&mut graph, "tokyo", "agent:tokyo|path|hop:192.168.1.1", (1, None));
    let gone = graph.meant_by_site(&hop, &berlin, NOW).expect("it was there");
    assert_eq!(gone.by.as_deref(), Some(&[berlin.clone()][..]));
    assert_eq!(graph.neighbours_meant(&gone, NOW, &graph.folding(NOW), 10), None);

    // A certain name of the one, and a name that both use for their own.
    let mut graph = routers();
    put(&mut graph, "tokyo", "host:gw-tokyo|alias|hop:192.168.1.1", (1, None));
    let meant = graph.meant_by_site(&hop, &tokyo, NOW).expect("it speaks of it");
    let names: Vec<_> = meant.names.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["host:gw-tokyo", "hop:192.168.1.1"]);
    assert_eq!(next_to(&graph, &meant), ["agent:tokyo", "host:192.0.2.2"]);
    assert_eq!(graph.element_meant(&meant).expect("there").sites.len(), 1);
    let mut graph = routers();
    for site in ["berlin", "tokyo"] {
        put(&mut graph, site, "host:gw|alias|hop:192.168.1.1", (1, None));
        put(&mut graph, site, "host:gw|alias|hop:192.168.2.1", (1, None));
        put(&mut graph, site, &format!("hop:192.168.2.1|path|host:of-{site}"), (1, None));
    }
    for name in ["host:gw", "hop:192.168.1.1", "hop:192.168.2.1"] {
        let meant = graph.meant_by_site(&node(name), &tokyo, NOW).expect("it speaks of it");
        assert_eq!(next_to(&graph, &meant), ["agent:tokyo", "host:192.0.2.2", "host:of-tokyo"]);
        assert_eq!(graph.aliases_meant(&meant, NOW).len(), 4, "two, of each end");
        let alone = meant.only(&node(name));
        assert_eq!(alone.names.len(), 1);
    }
}

#[test]
fn a_private_address_of_two_sites_is_two_things() {
    let mut graph = routers();
    let moment = graph.moment(NOW);
    assert_eq!(moment.find_all(&node("hop:192.168.1.1")).len(), 2);
    let far = RouteQuery {
        from: moment.find(&node("agent:berlin")).expect("there"),
        to: moment.find(&node("host:192.0.2.2")).expect("there"),
        metric: Metric::Hops,
        directed: true,
        edge_kinds: None,
        only_through: None,
        count: 1,
    };
    assert_eq!(moment.routes(&far, &mut Scratch::default()).found, []);
    let both = ["agent:berlin host:192.0.2.1", "agent:tokyo host:192.0.2.2"];
    assert_eq!(broken(&moment, "hop:192.168.1.1"), both);
    assert_eq!(broken(&moment, "hop:192.168.1.1@tokyo"), both[1..]);
    let elsewhere =
        Selector::Placed { node: node("hop:192.168.1.1"), site: "osaka".parse().expect("valid") };
    assert!(moment.select(&elsewhere).is_err());

    let meant = |graph: &TopologyGraph, name: &str, site: &str| {
        graph.meant_by_site(&node(name), &site.parse().expect("valid"), NOW)
    };
    let of_tokyo = meant(&graph, "hop:192.168.1.1", "tokyo").expect("it speaks of it");
    assert_eq!(of_tokyo.by.as_deref(), Some(&["tokyo".parse().expect("valid")][..]));
    assert_eq!(meant(&graph, "hop:192.168.1.1", "osaka"), None);
    assert_eq!(meant(&graph, "hop:192.168.9.9", "tokyo"), None);
    let public = meant(&graph, "host:192.0.2.2", "berlin").expect("everybody means the same");
    assert_eq!((public.names, public.by), (vec![(node("host:192.0.2.2"), None)], None));
    let router = node("hop:192.168.1.1");
    let everybody = MeantBySite::everybody(&router, &Folding::default());
    assert_eq!(next_to(&graph, &of_tokyo), ["agent:tokyo", "host:192.0.2.2"]);
    assert_eq!(next_to(&graph, &everybody).len(), 4);

    // They say that they share their addresses: one plan, one router.
    one_plan(&mut graph, 1);
    let moment = graph.moment(NOW);
    assert_eq!(moment.find_all(&node("hop:192.168.1.1")).len(), 1);
    assert_eq!(
        moment
            .routes(
                &RouteQuery {
                    from: moment.find(&node("agent:berlin")).expect("there"),
                    to: moment.find(&node("host:192.0.2.2")).expect("there"),
                    ..far
                },
                &mut Scratch::default()
            )
            .found
            .len(),
        1
    );
}

/// What all of `targets` of `site` fail, by how they are shown and where they are.
fn selected(moment: &Moment, selector: &Selector) -> Vec<String> {
    let selection = moment.select(selector).expect("it is there");
    let node = |&number: &u32| {
        let id = moment.node(number);
        let place = moment.place(id, number).map(|site| format!("@{site}"));
        format!("{id}{}", place.unwrap_or_default())
    };
    let nodes = selection.nodes.iter().map(node);
    nodes.chain(selection.edges.iter().map(|&edge| moment.edge(edge).to_string())).collect()
}

#[test]
fn what_one_site_says_of_a_private_address_is_said_of_its_own() {
    let mut graph = routers();
    let hop = "hop:192.168.1.1";
    put_with(&mut graph, "berlin", hop, (1, None), &[(1, &[("device.vendor", "acme")])]);
    let edge = "agent:berlin|path|hop:192.168.1.1";
    put_with(&mut graph, "berlin", edge, (1, None), &[(1, &[("device.vendor", "acme")])]);
    let by_attribute = |graph: &TopologyGraph| Selector::Listed {
        name: "attribute:device.vendor=acme".into(),
        elements: graph.with_attribute("device.vendor", "acme", NOW),
    };
    let moment = graph.moment(NOW);
    assert_eq!(selected(&moment, &by_attribute(&graph)), ["hop:192.168.1.1@berlin", edge]);

    // A private prefix is of the site that speaks of it, and so are the addresses in it.
    put(&mut graph, "berlin", "as:64500|routing|prefix:192.168.0.0/16", (1, None));
    let element = |name: &str| Selector::Element(id(name));
    let moment = graph.moment(NOW);
    let lan = ["hop:192.168.1.1@berlin", "prefix:192.168.0.0/16"];
    assert_eq!(selected(&moment, &element("prefix:192.168.0.0/16")), lan);
    assert_eq!(selected(&moment, &element("as:64500"))[1..], lan[..1]);
    // So is what a default route leads to, as far as it is private.
    put(&mut graph, "tokyo", "prefix:0.0.0.0/0", (1, None));
    let moment = graph.moment(NOW);
    let all = ["hop:192.168.1.1@tokyo", "host:192.0.2.1", "host:192.0.2.2", "prefix:0.0.0.0/0"];
    assert_eq!(selected(&moment, &element("prefix:0.0.0.0/0")), all);
    // Two sites that speak of a private prefix mean two.
    put(&mut graph, "tokyo", "prefix:192.168.0.0/16", (1, None));
    let moment = graph.moment(NOW);
    assert_eq!(moment.find_all(&node("prefix:192.168.0.0/16")).len(), 2);
    let of_tokyo = Selector::Placed {
        node: node("prefix:192.168.0.0/16"),
        site: "tokyo".parse().expect("valid"),
    };
    let own = ["hop:192.168.1.1@tokyo", "prefix:192.168.0.0/16@tokyo"];
    assert_eq!(selected(&moment, &of_tokyo), own);

    // One plan: whose word it is makes no difference any more.
    one_plan(&mut graph, 1);
    let moment = graph.moment(NOW);
    assert_eq!(selected(&moment, &by_attribute(&graph)), [hop, edge]);
    assert_eq!(
        selected(&moment, &element("prefix:192.168.0.0/16")),
        [hop, "prefix:192.168.0.0/16"]
    );
}

#[test]
fn what_a_claimed_address_means_does_not_depend_on_who_said_so_first() {
    let mut told = Vec::new();
    for order in [["berlin", "tokyo"], ["tokyo", "berlin"]] {
        let mut graph = TopologyGraph::new();
        for site in order {
            put(&mut graph, site, "host:10.0.0.2|alias|host:203.0.113.7", (1, None));
        }
        put(&mut graph, "tokyo", "hop:192.0.2.1|routing|prefix:10.0.0.0/24", (1, None));
        put(&mut graph, "tokyo", "agent:tokyo|path|host:203.0.113.7", (1, None));
        let moment = graph.moment(NOW);
        told.push(broken(&moment, "prefix:10.0.0.0/24"));
        for site in order {
            let site = site.parse().expect("valid");
            let meant = moment.meant_by(&node("host:10.0.0.2"), &site).expect("both mean it");
            assert_eq!(moment.node(meant), &node("host:10.0.0.2"));
        }
    }
    assert_eq!(told, [["agent:tokyo host:10.0.0.2"], ["agent:tokyo host:10.0.0.2"]]);
}

#[test]
fn things_of_one_shown_name_keep_their_order() {
    let steps = [
        ("a", "host:web|alias|host:10.0.0.1"),
        ("b", "host:web|alias|host:10.0.0.2"),
        ("c", "host:10.0.0.1"),
        ("c", "host:10.0.0.2"),
        ("a", "agent:a|path|host:10.0.0.1"),
        ("a", "agent:a|path|host:10.0.0.2"),
    ];
    let shown = |steps: &[(&str, &str)]| {
        let mut graph = TopologyGraph::new();
        for site in ["a", "b"] {
            let plan = [("holm.site.address_plan", "p")];
            put_with(&mut graph, site, &format!("site:{site}"), (1, None), &[(1, &plan)]);
        }
        steps.iter().for_each(|(site, element)| put(&mut graph, site, element, (1, None)));
        let moment = graph.moment(NOW);
        let all = moment.find_all(&node("host:web")).iter();
        all.map(|&number| moment.names(number)).collect::<Vec<_>>()
    };
    let mut turned = steps;
    turned.reverse();
    assert_eq!(shown(&steps).len(), 2);
    assert_eq!(shown(&steps), shown(&turned));
}

#[test]
fn an_answer_says_whose_it_is_where_a_name_means_several_things() {
    let graph = routers();
    let moment = graph.moment(NOW);
    let both = fails(&moment, "hop:192.168.1.1");
    let named: Vec<String> = both.failed.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["hop:192.168.1.1@berlin", "hop:192.168.1.1@tokyo"]);
    let [one, other] =
        ["berlin", "tokyo"].map(|site| fails(&moment, &format!("{}@{site}", "hop:192.168.1.1")));
    let diff = impact_diff(&one, &other);
    assert_eq!(diff.broken_paths[2], [], "not the same router, not the same paths");
    let routes: Vec<String> =
        one.broken_paths.items[0].route.iter().flatten().map(ToString::to_string).collect();
    assert_eq!(routes, ["agent:berlin", "hop:192.168.1.1@berlin", "host:192.0.2.1"]);
    let of_berlin = one.nodes().find(|named| named.at.is_some()).expect("the router");
    assert_eq!(moment.drawn_as(of_berlin), [node("hop:192.168.1.1")]);
    // Where it means one thing it is written plain.
    let mut shared = routers();
    one_plan(&mut shared, 1);
    let failed = fails(&shared.moment(NOW), "hop:192.168.1.1").failed;
    assert_eq!(failed[0].to_string(), "hop:192.168.1.1");
}

#[test]
fn a_way_that_was_seen_leads_over_the_address_of_the_site_that_saw_it() {
    let mut graph = TopologyGraph::new();
    for (site, to) in [("berlin", "192.0.2.1"), ("tokyo", "192.0.2.2")] {
        let path = format!("agent:{site}|path|host:{to}|icmp/0|hop:192.168.1.1");
        put(&mut graph, site, &path, (1, None));
    }
    let ways = |graph: &TopologyGraph, from: &str, to: &str| {
        let moment = graph.moment(NOW);
        let number = |name: &str| match name.split_once('@') {
            Some((name, site)) => moment.meant_by(&node(name), &site.parse().expect("valid")),
            None => moment.find(&node(name)),
        };
        let ends = (&[number(from).expect("there")][..], &[number(to).expect("there")][..]);
        let seen = graph.ways_seen(&moment, ends, (Millis(1), NOW), 10);
        seen.items.iter().map(|way| way.id.agent().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ways(&graph, "hop:192.168.1.1@tokyo", "host:192.0.2.2"), ["agent:tokyo"]);
    assert_eq!(ways(&graph, "hop:192.168.1.1@berlin", "host:192.0.2.2"), [""; 0]);
    // Also where the other site's way is over by now.
    let over = "agent:tokyo|path|host:192.0.2.2|icmp/0|hop:192.168.1.1";
    put(&mut graph, "tokyo", over, (1, Some(2)));
    put(&mut graph, "tokyo", "host:192.0.2.2", (1, None));
    assert_eq!(ways(&graph, "hop:192.168.1.1", "host:192.0.2.2"), [""; 0]);
    assert_eq!(ways(&graph, "hop:192.168.1.1", "host:192.0.2.1"), ["agent:berlin"]);
    one_plan(&mut graph, 1);
    assert_eq!(ways(&graph, "hop:192.168.1.1", "host:192.0.2.2"), ["agent:tokyo"]);
}

#[test]
fn an_address_that_another_site_uses_for_something_else_is_not_folded() {
    let mut graph = TopologyGraph::new();
    put(&mut graph, "berlin", "host:10.0.0.5|alias|host:db", (1, None));
    let shown =
        |graph: &TopologyGraph| graph.folding(NOW).shown(&node("host:10.0.0.5")).to_string();
    assert_eq!(shown(&graph), "host:db");
    put(&mut graph, "tokyo", "service:web|flow|host:10.0.0.5", (1, None));
    assert_eq!(shown(&graph), "host:10.0.0.5");
    assert_eq!(*graph.folding(NOW).ambiguous, [node("host:10.0.0.5")]);
    let then = |graph: &TopologyGraph, at| {
        graph.folding(Millis(at)).shown(&node("host:10.0.0.5")).to_string()
    };
    put(&mut graph, "tokyo", "service:web|flow|host:10.0.0.5", (40, Some(60)));
    assert_eq!([10, 50, 70].map(|at| then(&graph, at)), ["host:db", "host:10.0.0.5", "host:db"]);
    // At its own site the address is that host all the time.
    serves(&mut graph, "berlin", "service:shop", "", "db");
    let moment = graph.moment(NOW);
    assert_eq!(impacted(&moment, "host:10.0.0.5@berlin"), ["1 service:shop"]);
    assert_eq!(impacted(&moment, "host:10.0.0.5@tokyo"), ["1 service:web"]);
    assert_eq!(impacted(&moment, "host:db"), ["1 service:shop"]);
    one_plan(&mut graph, 45);
    assert_eq!([42, 50].map(|at| then(&graph, at)), ["host:10.0.0.5", "host:db"]);
    assert_eq!(graph.folding(NOW).ambiguous.len(), 0);
    put::withdraw(&mut graph, "tokyo", "site:tokyo");
    assert_eq!(shown(&graph), "host:10.0.0.5");
    put::withdraw(&mut graph, "tokyo", "service:web|flow|host:10.0.0.5");
    assert_eq!(shown(&graph), "host:db");
}

#[test]
fn what_a_host_calls_is_needed_by_nobody_else_there() {
    let mut graph = TopologyGraph::new();
    for (service, address) in [("service:db", "203.0.113.9"), ("service:mail", "203.0.113.10")] {
        serves(&mut graph, "berlin", service, address, "");
    }
    let call = [("server.port", "8080")];
    put_with(&mut graph, "berlin", "service:web|flow|host:203.0.113.9", (1, None), &[(1, &call)]);
    // Something at the host of the database sends mail: seen from the mail's side, by address.
    put_with(
        &mut graph,
        "berlin",
        "host:203.0.113.9|flow|host:203.0.113.10",
        (1, None),
        &[(1, &call)],
    );
    put(&mut graph, "berlin", "host:203.0.113.9|flow|service:mail", (1, None));
    let moment = graph.moment(NOW);
    assert_eq!(impacted(&moment, "service:mail"), [""; 0]);
    assert_eq!(impacted(&moment, "service:db"), ["1 service:web"]);
    let to_mail = RouteQuery {
        from: moment.find(&node("service:web")).expect("there"),
        to: moment.find(&node("service:mail")).expect("there"),
        metric: Metric::Hops,
        directed: true,
        edge_kinds: None,
        only_through: None,
        count: 3,
    };
    let mut scratch = Scratch::default();
    assert_eq!(moment.layered_routes(&to_mail, RouteLayer::Calls, &mut scratch).found, []);
}

#[test]
fn machines_of_one_name_are_several() {
    let mut graph = TopologyGraph::new();
    for (site, address) in [("berlin", "192.0.2.1"), ("tokyo", "192.0.2.2")] {
        put(&mut graph, site, &format!("host:{address}|alias|host:ubuntu"), (1, None));
        serves(&mut graph, site, &format!("service:{site}"), "", "ubuntu");
        put(&mut graph, site, &format!("agent:{site}|path|host:{address}"), (1, None));
    }
    let moment = graph.moment(NOW);
    assert_eq!(impacted(&moment, "host:192.0.2.1"), ["1 service:berlin"]);
    assert_eq!(impacted(&moment, "host:ubuntu@tokyo"), ["1 service:tokyo"]);
    assert_eq!(impacted(&moment, "host:ubuntu"), ["1 service:berlin", "1 service:tokyo"]);
    assert_eq!(broken(&moment, "host:ubuntu@tokyo"), ["agent:tokyo host:192.0.2.2"]);
}

#[test]
fn what_runs_where_depends_neither_on_the_order_nor_on_what_was_asked_before() {
    let serve = |graph: &mut TopologyGraph, site: &str, service: &str, host: &str| {
        serves(graph, site, service, "203.0.113.5", host);
    };
    let told = |report_first: bool| {
        let mut graph = TopologyGraph::new();
        if report_first {
            serve(&mut graph, "tokyo", "service:report", "");
        }
        put(&mut graph, "berlin", "host:203.0.113.5|alias|host:db", (1, None));
        serve(&mut graph, "berlin", "service:stock", "db");
        serve(&mut graph, "tokyo", "service:report", "");
        impacted(&graph.moment(NOW), "host:db")
    };
    assert_eq!(told(true), told(false));

    let told = |asked_before: bool| {
        let mut graph = TopologyGraph::new();
        put(&mut graph, "berlin", "host:10.0.0.5|alias|host:db", (1, None));
        serves(&mut graph, "berlin", "service:shop", "10.0.0.5", "");
        put(&mut graph, "berlin", "agent:berlin|path|host:10.0.0.5", (1, None));
        put(&mut graph, "tokyo", "host:10.0.0.5|alias|host:other", (1, Some(10)));
        if asked_before {
            graph.folding(NOW);
        }
        put(&mut graph, "tokyo", "service:web|flow|host:10.0.0.5", (40, Some(60)));
        let shown = graph.folding(NOW).shown(&node("host:10.0.0.5")).to_string();
        (
            shown,
            impacted(&graph.moment(NOW), "host:db"),
            graph.names_apart(NOW),
            graph.names_apart(Millis(70)),
        )
    };
    assert_eq!(told(true), told(false));
    assert_eq!(told(true).2, [node("host:10.0.0.5")]);
    assert_eq!(told(true).3, [], "tokyo does not speak of it any more");
}

#[test]
fn a_service_does_not_fail_with_another_sites_host_whatever_was_said_at_other_times() {
    let mut graph = TopologyGraph::new();
    put(&mut graph, "berlin", "host:10.0.0.5|alias|host:db", (1, None));
    put(&mut graph, "berlin", "agent:berlin|path|host:10.0.0.5", (1, None));
    serves(&mut graph, "tokyo", "service:pay", "10.0.0.5", "");
    assert_eq!(impacted(&graph.moment(NOW), "host:db"), [""; 0]);
    put(&mut graph, "tokyo", "agent:tokyo|path|host:10.0.0.5", (1, Some(10)));
    assert_eq!(impacted(&graph.moment(NOW), "host:db"), [""; 0]);
}

#[test]
fn answers_of_two_moments_are_compared_by_the_names_of_the_later_one() {
    // Berlin alone uses the address until tokyo does too, and the target gets a name.
    let (early, late) = (Millis(5), NOW);
    let mut graph = TopologyGraph::new();
    for way in ["agent:berlin|path|hop:192.168.7.1", "hop:192.168.7.1|path|host:192.0.2.1"] {
        put(&mut graph, "berlin", way, (1, None));
    }
    put(&mut graph, "tokyo", "agent:tokyo|path|hop:192.168.7.1", (20, None));
    put(&mut graph, "tokyo", "host:192.0.2.1|alias|host:shop.example", (20, None));
    let (then, now) = (graph.moment(early), graph.moment(late));
    let before = fails(&then, "hop:192.168.7.1");
    let after = fails(&now, "hop:192.168.7.1@berlin");
    let plain = impact_diff(&before, &after);
    assert!(!plain.broken_paths[0].is_empty(), "names mean other things: {plain:?}");
    let called = |named: &Named| then.called_in(named, &now);
    let diff = impact_diff_by((&before, &called), (&after, &Named::clone));
    assert_eq!((diff.broken_paths[0].len(), diff.broken_paths[1].len()), (0, 0), "{diff:?}");
    assert_eq!(diff.broken_paths[2].len(), 1);
    assert_eq!((diff.disconnected[0].len(), diff.disconnected[1].len()), (0, 0), "{diff:?}");
}
