//! Which names are one thing, which are not, and what is answered by any of them.

mod put;

use holm_graph::{MeantBySite, SnapshotFilter, TopologyGraph};
use holm_model::{EdgeKind, ElementId, Millis, NodeKind};
use holm_moment::{Limits, Scratch, Selector, WhatIf};
use put::{id, node, put, put_with};

const NOW: Millis = Millis(20);

fn shown(graph: &TopologyGraph) -> Vec<String> {
    let folding = graph.folding(NOW);
    folding.iter().map(|(name, shown)| format!("{name} is {shown}")).collect()
}

fn ambiguous(graph: &TopologyGraph) -> Vec<String> {
    graph.folding(NOW).ambiguous.iter().map(ToString::to_string).collect()
}

fn folded() -> SnapshotFilter {
    SnapshotFilter { fold_aliases: true, ..SnapshotFilter::default() }
}

fn graph(aliases: &[(&str, &str)]) -> TopologyGraph {
    let mut graph = TopologyGraph::new();
    aliases.iter().for_each(|(site, alias)| put(&mut graph, site, alias, (1, None)));
    graph
}

#[test]
fn an_address_a_host_name_and_a_workload_are_one() {
    let graph = graph(&[
        ("berlin", "host:10.0.0.5|alias|host:stock-1.example"),
        ("berlin", "host:stock-1.example|alias|service:stock"),
        ("berlin", "hop:10.0.0.5|alias|host:10.0.0.5"),
    ]);
    let folding = graph.folding(NOW);
    let names = ["service:stock", "hop:10.0.0.5", "host:10.0.0.5", "host:stock-1.example"];
    for name in names {
        assert_eq!(folding.names(&node(name)), names.map(node), "{name}");
    }
    assert!(ambiguous(&graph).is_empty());
}

#[test]
fn two_services_at_one_address_stay_two() {
    let graph = graph(&[
        ("berlin", "host:10.0.0.5|alias|service:stock"),
        ("berlin", "host:10.0.0.5|alias|service:price"),
        ("berlin", "host:10.0.0.5|alias|host:box"),
    ]);
    assert_eq!(shown(&graph), ["host:10.0.0.5 is host:box"]);
    assert_eq!(ambiguous(&graph), ["host:box"]);
}

#[test]
fn what_repeats_on_every_host_does_not_make_them_one() {
    let graph = graph(&[
        ("berlin", "host:172.17.0.1|alias|host:a"),
        ("berlin", "host:172.17.0.1|alias|host:b"),
        ("berlin", "host:10.0.0.1|alias|host:a"),
        ("berlin", "host:10.0.0.2|alias|host:b"),
        ("berlin", "host:a|alias|service:stock"),
        ("berlin", "host:b|alias|service:stock"),
    ]);
    assert_eq!(shown(&graph), ["host:10.0.0.1 is host:a", "host:10.0.0.2 is host:b"]);
    assert_eq!(ambiguous(&graph), ["host:172.17.0.1", "service:stock"]);
}

#[test]
fn an_address_that_another_site_may_have_too_proves_nothing_between_sites() {
    for private in ["10.0.0.9", "192.168.1.1", "100.64.0.1", "fd00::1", "172.20.0.1"] {
        let both = format!("host:{private}|alias|host:vm");
        let apart = graph(&[
            ("berlin", "host:10.0.0.1|alias|host:vm"),
            ("berlin", &both),
            ("tokyo", &both),
            ("tokyo", "host:10.0.0.2|alias|host:vm"),
        ]);
        assert!(ambiguous(&apart).contains(&"host:vm".to_owned()), "{private}");
        let folding = apart.folding(NOW);
        assert_ne!(folding.shown(&node("host:10.0.0.1")), folding.shown(&node("host:10.0.0.2")));
        assert_eq!(folding.shown(&node(&format!("host:{private}"))).name(), private);
    }
}

#[test]
fn an_address_that_every_machine_has_proves_nothing_at_all() {
    for everywhere in ["172.17.0.1", "169.254.0.7", "fe80::1", "127.0.0.1"] {
        let alias = format!("host:{everywhere}|alias|host:vm");
        let graph = graph(&[("berlin", &alias)]);
        assert!(shown(&graph).is_empty());
        assert_eq!(ambiguous(&graph), [format!("host:{everywhere}")]);
    }
}

#[test]
fn a_global_address_or_the_same_machine_id_proves_it() {
    let global = graph(&[
        ("berlin", "host:192.0.2.1|alias|host:vm"),
        ("berlin", "host:10.0.0.1|alias|host:vm"),
        ("tokyo", "host:192.0.2.1|alias|host:vm"),
        ("tokyo", "host:10.0.0.2|alias|host:vm"),
    ]);
    assert_eq!(shown(&global).len(), 3);
    assert!(ambiguous(&global).is_empty());
    let machine = |berlin: &str, tokyo: &str| {
        let mut graph = TopologyGraph::new();
        let said = [("berlin", "10.0.0.1", berlin), ("tokyo", "10.0.0.2", tokyo)];
        for (site, address, machine) in said {
            let alias = format!("host:{address}|alias|host:vm");
            put_with(&mut graph, site, &alias, (1, None), &[(1, &[("host.id", machine)])]);
        }
        shown(&graph).len()
    };
    assert_eq!((machine("m1", "m1"), machine("m1", "m2")), (2, 0));
}

#[test]
fn a_call_to_a_private_address_stays_at_the_callers_site_if_that_has_it() {
    let impacted = |plan: &str, address: &str, tokyo: &[&str]| -> Vec<String> {
        let mut graph = TopologyGraph::new();
        for (site, plan) in [("berlin", "corp"), ("tokyo", plan)] {
            let says = [("holm.site.address_plan", plan)];
            put_with(&mut graph, site, &format!("site:{site}"), (1, Some(5)), &[(1, &says)]);
        }
        let serves = [("server.address", address), ("server.port", "8080")];
        put_with(&mut graph, "berlin", "service:billing", (1, None), &[(1, &serves)]);
        let call = format!("service:frontend|flow|host:{address}");
        put_with(&mut graph, "tokyo", &call, (1, None), &[(1, &[("server.port", "8080")])]);
        for own in tokyo {
            let serves = [("server.address", address), ("server.port", *own)];
            put_with(&mut graph, "tokyo", "service:own", (1, None), &[(1, &serves)]);
        }
        let moment = graph.moment(NOW);
        let failed = moment.select(&Selector::Element(id("service:billing"))).expect("there");
        let question = WhatIf { failed, ..WhatIf::default() };
        let impact = moment.what_if(&question, Limits::default(), None, &mut Scratch::default());
        impact.impacted_services.items.iter().map(|s| s.id.to_string()).collect()
    };
    let (one_plan, apart) = ("corp", "home");
    let none = [""; 0];
    assert_eq!(impacted(one_plan, "172.17.0.2", &[]), none, "a container's is of every machine");
    assert_eq!(
        impacted(one_plan, "10.0.0.2", &[]),
        ["service:frontend"],
        "nothing at tokyo has it"
    );
    assert_eq!(impacted(apart, "10.0.0.2", &[]), none, "it may be another machine of tokyo's");
    assert_eq!(impacted(one_plan, "10.0.0.2", &["8080"]), none, "tokyo's own service");
    assert_eq!(impacted(one_plan, "10.0.0.2", &["9999"]), none, "tokyo's own address");
    assert_eq!(
        impacted(apart, "192.0.2.2", &["9999"]),
        ["service:frontend"],
        "the same everywhere"
    );
    assert_eq!(impacted(apart, "192.0.2.2", &["8080"]), none, "two serve there");
}

fn database() -> TopologyGraph {
    let mut graph = graph(&[("b", "host:10.0.0.1|alias|host:db")]);
    put(&mut graph, "b", "service:web|flow|host:10.0.0.1", (10, None));
    put(&mut graph, "b", "service:old|flow|host:10.0.0.1", (1, Some(10)));
    graph
}

#[test]
fn a_folded_diff_speaks_of_what_a_folded_picture_shows() {
    let graph = database();
    let drawn = graph.snapshot(NOW, &folded()).expect("nothing is named");
    let drawn: Vec<String> = drawn.edges.iter().map(|edge| edge.id.to_string()).collect();
    assert_eq!(drawn, ["service:web|flow|host:db"]);
    let names = |list: &holm_graph::ElementsOf| -> Vec<String> {
        list.items.iter().map(ToString::to_string).collect()
    };
    let diff = graph.diff_folded(Millis(5), NOW, 10);
    assert_eq!(names(&diff.appeared), ["service:web|flow|host:db", "service:web"]);
    assert_eq!(names(&diff.vanished), ["service:old|flow|host:db", "service:old"]);
    let plain = graph.diff(Millis(5), NOW, 10);
    assert_eq!(names(&plain.appeared)[0], "service:web|flow|host:10.0.0.1");
}

#[test]
fn what_vanished_with_its_name_is_told_by_the_name_it_was_drawn_by() {
    let listed = |list: &holm_graph::ElementsOf| -> Vec<String> {
        list.items.iter().map(ToString::to_string).collect()
    };
    // The name, the address and the way to it end together.
    let mut gone = TopologyGraph::new();
    put(&mut gone, "b", "host:192.0.2.1|alias|host:web.example", (1, Some(50)));
    put(&mut gone, "b", "agent:a|path|host:192.0.2.1", (1, Some(50)));
    let diff = gone.diff_folded(Millis(30), Millis(60), 10);
    let pictured = |names: Vec<String>| -> Vec<String> {
        names.into_iter().filter(|name| !name.contains("|alias|")).collect()
    };
    assert_eq!(
        pictured(listed(&diff.vanished)),
        ["agent:a|path|host:web.example", "agent:a", "host:web.example"]
    );
    // The name moves to another address: both pictures show it, and the way to it.
    let mut moved = TopologyGraph::new();
    for (address, when) in [("192.0.2.1", (1, Some(50))), ("192.0.2.2", (50, None))] {
        put(&mut moved, "b", &format!("host:{address}|alias|host:web.example"), when);
        put(&mut moved, "b", &format!("agent:a|path|host:{address}"), when);
    }
    let diff = moved.diff_folded(Millis(30), Millis(60), 10);
    assert_eq!(pictured(listed(&diff.appeared)), Vec::<String>::new());
    assert_eq!(pictured(listed(&diff.vanished)), Vec::<String>::new());
    let part = SnapshotFilter { around: Some((node("agent:a"), 1)), ..folded() };
    let diff = gone.diff_of_part(&part, Millis(30), Millis(60), 10);
    assert!(listed(&diff.vanished).contains(&"host:web.example".to_owned()), "{diff:?}");
}

#[test]
fn a_diff_of_a_part_invents_nothing_where_only_names_changed() {
    let mut graph = TopologyGraph::new();
    for host in ["10.0.0.1", "10.0.0.2"] {
        put(&mut graph, "b", &format!("service:web|flow|host:{host}"), (1, None));
    }
    put(&mut graph, "b", "host:10.0.0.1|alias|host:db", (1, Some(20)));
    put(&mut graph, "b", "host:10.0.0.2|alias|host:db", (10, None));
    let part = |kinds: &[EdgeKind], depth: Option<u32>| SnapshotFilter {
        edge_kinds: (!kinds.is_empty()).then(|| kinds.to_vec()),
        around: depth.map(|depth| (node("service:web"), depth)),
        ..folded()
    };
    let nothing = holm_graph::Diff::default();
    for (from, to) in [(5, 15), (15, 25), (5, 25)].map(|(a, b)| (Millis(a), Millis(b))) {
        let whole = graph.diff_of_part(&folded(), from, to, 9);
        let about_names = |id: &ElementId| matches!(id, ElementId::Alias(_));
        let mut came_and_went = whole.appeared.items.iter().chain(&whole.vanished.items);
        assert!(came_and_went.all(about_names), "{whole:?}");
        for part in [part(&[EdgeKind::Flow], None), part(&[], Some(1)), part(&[], Some(2))] {
            assert_eq!(graph.diff_of_part(&part, from, to, 9), nothing, "{from:?} {to:?} {part:?}");
        }
    }
}

#[test]
fn anything_is_found_and_looked_at_by_any_of_its_names() {
    let graph = database();
    let found = |text: &str, fold| -> Vec<String> {
        let found = graph.search(text, NOW, 10, fold);
        found.items.iter().map(|f| format!("{} by {}", f.id, f.matched)).collect()
    };
    assert_eq!(found("db", true), ["host:db by host:db"]);
    assert_eq!(found("10.0.0.1", true), ["host:db by host:10.0.0.1"]);
    assert_eq!(found("::ffff:10.0.0.1", true), ["host:db by host:10.0.0.1"]);
    assert_eq!(found("10.0.0.1", false), ["host:10.0.0.1 by host:10.0.0.1"]);
    assert_eq!(found("db", false), [""; 0]);
    let folding = graph.folding(NOW);
    for name in ["host:db", "host:10.0.0.1"] {
        let view = graph.element_folded(&id(name), &folding).expect("known");
        assert_eq!((view.id.to_string().as_str(), view.sites.len()), ("host:db", 1));
        assert_eq!(view.names, [node("host:db"), node("host:10.0.0.1")]);
        let next_to = graph
            .neighbours_meant(&MeantBySite::everybody(&node(name), &folding), NOW, &folding, 1)
            .expect("there");
        assert_eq!((next_to.items[0].node.clone(), next_to.total), (node("service:web"), 1));
    }
    for edge in ["service:web|flow|host:db", "service:web|flow|host:10.0.0.1"] {
        let view = graph.element_folded(&id(edge), &folding).expect("known");
        assert_eq!(view.id.to_string(), "service:web|flow|host:db");
    }
    // By itself the name has no records, but it is known.
    let alone = graph.element(&id("host:db")).expect("an alias speaks of it");
    assert!(alone.implied && alone.sites.is_empty());
    assert_eq!(graph.aliases_of(&node("host:db"), NOW).len(), 1);
    assert!(graph.element(&id("host:nowhere")).is_none());
}

#[test]
fn of_what_was_said_before_it_is_told_by_which_name() {
    let mut graph = graph(&[("b", "host:192.0.2.7|alias|host:db")]);
    let zone = |zone| [("zone", zone)];
    let (a, b, c) = (zone("a"), zone("b"), zone("c"));
    put_with(&mut graph, "b", "host:db", (1, None), &[(1, &a), (20, &b)]);
    put_with(&mut graph, "b", "host:192.0.2.7", (1, None), &[(1, &b), (10, &c)]);
    let folding = graph.folding(NOW);
    let view = graph.element_folded(&id("host:db"), &folding).expect("known");
    let said = view.sites[0].past.iter().map(|said| {
        let of = said.of.as_ref().expect("it has two names");
        (said.value.until.0, of.to_string(), said.value.value.clone())
    });
    assert_eq!(
        said.collect::<Vec<_>>(),
        [(10, "host:192.0.2.7".into(), Some("b".into())), (20, "host:db".into(), Some("a".into()))]
    );
    let alone = graph.element(&id("host:db")).expect("known");
    assert_eq!(alone.sites[0].past[0].of, None);
}

#[test]
fn a_list_is_found_by_each_of_its_values() {
    let mut graph = TopologyGraph::new();
    put_with(&mut graph, "b", "service:web", (1, None), &[(1, &[("server.port", "80,443")])]);
    let with = |value| graph.with_attribute("server.port", value, NOW).len();
    assert_eq!((with("443"), with("80,443"), with("44"), with("0443")), (1, 1, 0, 1));
}

#[test]
fn a_kind_keeps_what_any_of_its_names_has() {
    let mut graph = database();
    put(&mut graph, "b", "host:db|alias|service:db", (1, None));
    let hosts = |kinds: &[NodeKind], around: Option<&str>| -> Vec<String> {
        let node_kinds = Some(kinds.to_vec());
        let around = around.map(|name| (node(name), 1));
        let filter = SnapshotFilter { node_kinds, around, ..folded() };
        let snapshot = graph.snapshot(NOW, &filter).expect("there");
        snapshot.nodes.iter().map(|n| n.id.to_string()).collect()
    };
    assert_eq!(hosts(&[NodeKind::Host], None), ["service:db"]);
    assert_eq!(hosts(&[NodeKind::Host], Some("host:10.0.0.1")), ["service:db"]);
    assert_eq!(hosts(&[NodeKind::Agent], None), [""; 0]);
}

#[test]
fn of_two_edges_that_are_one_the_value_written_later_is_shown() {
    let mut graph = graph(&[("b", "host:10.0.0.1|alias|service:s")]);
    let port = |port| [("server.port", port)];
    let [early, late] = [port("1"), port("2")];
    put_with(&mut graph, "b", "service:t|flow|host:10.0.0.1", (1, None), &[(1, &early)]);
    put_with(&mut graph, "b", "service:t|flow|service:s", (1, None), &[(9, &late)]);
    let snapshot = graph.snapshot(NOW, &folded()).expect("there");
    assert_eq!(snapshot.edges.len(), 1);
    assert_eq!(&*snapshot.edges[0].attributes["server.port"], "2");
    let id = snapshot.edges[0].id.to_string();
    let view = graph.element_folded(&put::id(&id), &graph.folding(NOW)).expect("known");
    assert_eq!(&*view.attributes["server.port"], "2");
}

#[test]
fn a_way_through_hops_that_did_not_answer_has_nodes_without_neighbours() {
    let mut graph = TopologyGraph::new();
    put(&mut graph, "b", "agent:b|path|host:192.0.2.1|f|*|hop:192.0.2.9|*", (1, None));
    let next_to = graph.neighbours(&node("hop:192.0.2.9"), NOW).expect("it is in the snapshot");
    assert!(next_to.is_empty());
    graph.neighbours(&node("hop:192.0.2.9"), Millis(0)).expect_err("not yet");
}

#[test]
fn long_chains_of_aliases_are_joined_in_one_pass() {
    // Each alias joins the sets of two others: with sets that are walked name by name this takes
    // minutes, and the test would not end in its time.
    let mut graph = TopologyGraph::new();
    let sets = 30_000;
    for j in 1..sets {
        let (low, high) = (sets - j - 1, sets - j);
        for alias in [
            format!("hop:a{low:06}|alias|hop:m{j:06}p"),
            format!("hop:a{high:06}|alias|hop:m{j:06}q"),
            format!("hop:m{j:06}p|alias|hop:m{j:06}q"),
        ] {
            put(&mut graph, "evil", &alias, (1, None));
        }
    }
    let folding = graph.folding(NOW);
    assert_eq!(folding.names(&node("hop:a000777")).len(), sets + 2 * (sets - 1));
    assert_eq!(folding.shown(&node("hop:m000001q")), &node("hop:a000000"));
}

#[test]
fn joining_follows_aliases_that_come_end_and_go() {
    let mut graph = TopologyGraph::new();
    let alias = "host:10.0.0.1|alias|host:db";
    let joined = |graph: &TopologyGraph, at| graph.folding(Millis(at)).iter().count();
    put(&mut graph, "b", alias, (10, Some(20)));
    let each = [9, 10, 19, 20, 15, 5].map(|at| joined(&graph, at));
    assert_eq!(each, [0, 1, 1, 0, 1, 0]);
    put(&mut graph, "b", alias, (10, None));
    assert_eq!(joined(&graph, 20), 1);
    put(&mut graph, "b", "host:db|alias|host:db.example", (12, None));
    assert_eq!([11, 12].map(|at| joined(&graph, at)), [1, 2]);
    // Slots of names that are gone are used again.
    put::withdraw(&mut graph, "b", alias);
    put::withdraw(&mut graph, "b", "host:db|alias|host:db.example");
    assert!(graph.is_empty());
    put(&mut graph, "b", "service:x", (1, None));
    put(&mut graph, "b", "host:192.0.2.3|alias|host:other", (1, None));
    assert_eq!(shown(&graph), ["host:192.0.2.3 is host:other"]);
}
