//! Questions to the graph and what they are answered.

use holm_graph::{Direction, SiteElement, SnapshotFilter, TopologyGraph};
use holm_model::{
    EdgeKind, ElementId, Interval, IntervalSet, Millis, NodeId, NodeKind, PastValues, SiteId,
};

fn site(name: &str) -> SiteId {
    SiteId::new(name).expect("valid")
}

fn node(id: &str) -> NodeId {
    id.parse().expect("valid")
}

fn element(id: &str, from: u64, to: Option<u64>, attribute: &str, at: u64) -> SiteElement {
    let interval = Interval { from: Millis(from), to: to.map(Millis) };
    SiteElement {
        id: id.parse().expect("valid"),
        intervals: IntervalSet::from_intervals([interval]),
        attributes: [("v".into(), attribute.into())].into(),
        attributes_at: Millis(at),
        past: PastValues::default(),
    }
}

fn chain() -> TopologyGraph {
    let mut graph = TopologyGraph::new();
    let berlin = site("berlin");
    graph.apply(&berlin, element("service:a|flow|service:b", 10, None, "1", 10));
    graph.apply(&berlin, element("service:b|flow|host:c", 20, Some(30), "1", 10));
    graph.apply(&site("tokyo"), element("service:a|flow|service:b", 5, Some(15), "2", 9));
    graph.apply(&site("tokyo"), element("host:c|path|host:d", 5, None, "2", 9));
    graph
}

#[test]
fn provenance_since_and_attributes_come_from_those_who_say_so_now() {
    let graph = chain();
    let all = SnapshotFilter::default();
    let at_12 = graph.snapshot(Millis(12), &all).expect("a snapshot");
    assert_eq!(at_12.edges[1].id.to_string(), "service:a|flow|service:b");
    assert_eq!(at_12.edges[1].sites, [site("berlin"), site("tokyo")]);
    assert_eq!(at_12.edges[1].since, Millis(5));
    assert_eq!(&*at_12.edges[1].attributes["v"], "1", "berlin wrote later");
    let at_20 = graph.snapshot(Millis(20), &all).expect("a snapshot");
    assert_eq!(at_20.edges[1].sites, [site("berlin")]);
    assert_eq!(at_20.edges[1].since, Millis(10));
    assert_eq!((at_20.total_nodes, at_20.total_edges), (4, 3));
    assert_eq!(graph.earliest(), Some(Millis(5)));
}

#[test]
fn filters_keep_both_ends_of_every_edge_and_count_all() {
    let graph = chain();
    let at = Millis(25);
    let ask = |filter: SnapshotFilter| graph.snapshot(at, &filter).expect("a snapshot");
    let tokyo = ask(SnapshotFilter { sites: Some(vec![site("tokyo")]), ..Default::default() });
    assert_eq!((tokyo.total_nodes, tokyo.total_edges), (2, 1));
    let nobody = ask(SnapshotFilter { sites: Some(vec![site("lima")]), ..Default::default() });
    assert_eq!(nobody.total_nodes, 0);
    let flows = SnapshotFilter { edge_kinds: Some(vec![EdgeKind::Flow]), ..Default::default() };
    assert_eq!(ask(flows).total_nodes, 3);
    let hosts = SnapshotFilter { node_kinds: Some(vec![NodeKind::Host]), ..Default::default() };
    let hosts = ask(hosts);
    assert_eq!((hosts.nodes.len(), hosts.edges.len()), (2, 1));
    let near = SnapshotFilter { around: Some((node("service:a"), 1)), ..Default::default() };
    let near = ask(near);
    assert_eq!((near.nodes.len(), near.edges.len()), (2, 1));
    let far = SnapshotFilter { around: Some((node("service:a"), 3)), ..Default::default() };
    assert_eq!(ask(far).nodes.len(), 4);
    let two = ask(SnapshotFilter { limit: Some(2), ..Default::default() });
    assert_eq!((two.nodes.len(), two.total_nodes, two.total_edges), (2, 4, 3));
    assert_eq!(two.edges.len(), 1, "only an edge with both ends in the answer");
}

#[test]
fn an_unknown_node_is_an_error_and_not_an_empty_answer() {
    let graph = chain();
    let around = |id: &str| SnapshotFilter { around: Some((node(id), 1)), ..Default::default() };
    let error = graph.snapshot(Millis(25), &around("host:nowhere")).expect_err("unknown");
    assert!(error.to_string().contains("host:nowhere"), "{error}");
    graph.snapshot(Millis(3), &around("service:a")).expect_err("not there yet");
    graph.neighbours(&node("host:nowhere"), Millis(25)).expect_err("unknown");
    graph.neighbours(&node("service:a"), Millis(1)).expect_err("not there yet");
    // What is there by its edges alone is there also where none of those kinds is wanted.
    let routes = Some(vec![EdgeKind::Routing]);
    let alone = SnapshotFilter { edge_kinds: routes.clone(), ..around("host:d") };
    let alone = graph.snapshot(Millis(25), &alone).expect("it is there");
    assert_eq!((alone.nodes.len(), alone.edges.len(), alone.nodes[0].since), (1, 0, Millis(5)));
    let gone = SnapshotFilter { edge_kinds: routes, ..around("service:b") };
    graph.snapshot(Millis(3), &gone).expect_err("not there yet, whatever is wanted");
    let next = graph.neighbours(&node("service:b"), Millis(25)).expect("it is there");
    assert_eq!(next.len(), 2);
    assert_eq!((next[0].node.clone(), next[0].direction), (node("host:c"), Direction::Out));
    assert_eq!((next[1].node.clone(), next[1].direction), (node("service:a"), Direction::In));
}

#[test]
fn what_changed_around_what_is_gone_can_be_asked() {
    let mut graph = chain();
    graph.apply(&site("berlin"), element("service:gone|flow|service:b", 12, Some(40), "1", 12));
    let around = Some((node("service:gone"), 1));
    let part = SnapshotFilter { around, fold_aliases: true, ..Default::default() };
    let diff = graph.diff_of_part(&part, Millis(25), Millis(50), 10);
    let vanished: Vec<String> = diff.vanished.items.iter().map(ToString::to_string).collect();
    assert_eq!(vanished, ["service:gone|flow|service:b", "service:gone"]);
    assert_eq!((diff.appeared.total, diff.changed_total), (0, 0));
}

#[test]
fn one_element_shows_what_each_site_says() {
    let graph = chain();
    let id: ElementId = "service:a|flow|service:b".parse().expect("valid");
    let view = graph.element(&id).expect("known");
    assert_eq!(view.sites.len(), 2);
    assert_eq!(&*view.sites[1].attributes["v"], "2", "tokyo's own value is kept");
    assert!(!view.implied);
    let implied = graph.element(&ElementId::Node(node("host:c"))).expect("an end of edges");
    assert!(implied.implied);
    assert_eq!(implied.sites.len(), 2);
    assert!(graph.element(&"host:nowhere".parse().expect("valid")).is_none());
}

#[test]
fn coverage_names_the_kinds_that_nobody_has_recorded() {
    let graph = chain();
    let coverage = graph.coverage(Millis(25));
    assert_eq!((coverage.flow_edges, coverage.path_edges), (2, 1));
    assert_eq!(coverage.never_recorded, [EdgeKind::Device, EdgeKind::Routing]);
    let before = graph.coverage(Millis(1)).never_recorded;
    assert_eq!(before.len(), 2, "edges of another time were recorded");
    assert_eq!(TopologyGraph::new().coverage(Millis(1)).never_recorded, EdgeKind::ALL);
}

#[test]
fn withdrawing_everything_leaves_an_empty_graph() {
    let mut graph = chain();
    let mut generation = graph.generation();
    let everything = graph.snapshot(Millis(12), &SnapshotFilter::default()).expect("a snapshot");
    let unchanged = element("service:a|flow|service:b", 10, None, "1", 10);
    assert!(!graph.apply(&site("berlin"), unchanged));
    assert_eq!(graph.generation(), generation);
    let ids = ["service:b|flow|host:c", "host:c|path|host:d"].map(|e| e.parse().expect("valid"));
    for id in everything.edges.into_iter().map(|e| ElementId::Edge(e.id)).chain(ids) {
        for name in ["berlin", "tokyo"] {
            let mut gone = element("host:x", 1, None, "", 0);
            gone.intervals = IntervalSet::new();
            gone.id = id.clone();
            if graph.apply(&site(name), gone) {
                generation += 1;
            }
            assert_eq!(graph.generation(), generation);
        }
    }
    assert!(graph.is_empty());
    assert_eq!(graph.digest(), TopologyGraph::new().digest());
}

#[test]
fn edges_are_found_by_parts_of_their_ends_and_kind() {
    let mut graph = TopologyGraph::new();
    for edge in [
        "service:web|flow|service:db",
        "agent:berlin|path|hop:10.0.0.1",
        "service:WEB2|flow|host:db1",
    ] {
        graph.apply(&site("berlin"), element(edge, 10, Some(20), "1", 10));
    }
    let found = |text: &str, limit: usize| {
        let found = graph.search_edges(text, Millis(15), limit, true);
        let ids: Vec<String> = found.items.iter().map(ToString::to_string).collect();
        (ids.join(" "), found.total)
    };
    let both = "service:WEB2|flow|host:db1 service:web|flow|service:db";
    assert_eq!(found("web|flow|db", 9), (both.into(), 2));
    assert_eq!(found("|flow|", 1), ("service:WEB2|flow|host:db1".into(), 2), "all are counted");
    assert_eq!(found("agent:berlin|path|hop:10.0.0.1", 9).1, 1);
    assert_eq!(found("|path", 9).1, 1);
    assert_eq!(found("||SERVICE:db", 9), ("service:web|flow|service:db".into(), 1));
    for nothing in ["||", " | | ", "web|path|", "web|flow|db|x", "hop:10.0.0.1||"] {
        assert_eq!(found(nothing, 9), (String::new(), 0), "{nothing}");
    }
    assert_eq!(graph.search_edges("web||", Millis(25), 9, true).total, 0, "they are over");
    // By a name that is folded into another, by which it is shown.
    let alias = "host:192.0.2.9|alias|host:web.example";
    graph.apply(&site("berlin"), element(alias, 10, Some(20), "1", 10));
    let edge = "agent:berlin|path|host:192.0.2.9";
    graph.apply(&site("berlin"), element(edge, 10, Some(20), "1", 10));
    let in_graph = |graph: &TopologyGraph, text: &str, fold: bool| {
        let found = graph.search_edges(text, Millis(15), 9, fold).items;
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let folded = |text: &str, fold: bool| in_graph(&graph, text, fold);
    for text in ["|path|host:web.example", "|path|192.0.2.9"] {
        assert_eq!(folded(text, true), ["agent:berlin|path|host:web.example"], "{text}");
    }
    assert_eq!(folded("|path|web.example", false), [""; 0]);
    assert_eq!(folded("|path|192.0.2.9", false), [edge]);
    // An address however it is written, and what one site says.
    let edge = "host:fd00::1|flow|host:192.168.1.1";
    graph.apply(&site("tokyo"), element(edge, 10, Some(20), "1", 10));
    graph.apply(&site("tokyo"), element("service:web|flow|service:db", 10, Some(20), "1", 10));
    let folded = |text: &str, fold: bool| in_graph(&graph, text, fold);
    for text in ["fd00:0:0::1|flow|", "host:FD00:0::1||", "|flow|::ffff:192.168.1.1"] {
        assert_eq!(folded(text, true), [edge], "{text}");
    }
    assert_eq!(folded("hop:fd00:0::1||", true), [""; 0], "another kind");
    assert_eq!(folded("|flow|192.168.1.1@tokyo", true), [edge]);
    assert_eq!(folded("|flow|192.168.1.1@berlin", true), [""; 0]);
    assert_eq!(folded("web@Tokyo|flow|", true), ["service:web|flow|service:db"]);
}

#[test]
fn what_is_looked_for_is_found_however_it_is_written() {
    let mut graph = TopologyGraph::new();
    let mut put = |id: &str| graph.apply(&site("berlin"), element(id, 10, Some(20), "1", 10));
    for id in [
        "host:2001:db8::1",
        "host:198.51.100.7",
        "as:64500|routing|prefix:198.51.100.0/24",
        "hop:198.51.101.1",
    ] {
        put(id);
    }
    let mut service = element("service:web", 10, Some(20), "1", 10);
    service.attributes = [("server.port".into(), "7003,7004".into())].into();
    graph.apply(&site("berlin"), service);
    let mut flow = element("service:web|flow|host:198.51.100.7", 10, Some(20), "1", 10);
    flow.attributes = [("network.transport".into(), "tcp".into())].into();
    graph.apply(&site("berlin"), flow);
    let found = |text: &str| {
        let nodes = graph.search(text, Millis(15), 9, true).items.into_iter();
        let edges = graph.search_edges_said(text, Millis(15), 9, true).items.into_iter();
        let all = nodes.map(|found| found.id.to_string()).chain(edges.map(|id| id.to_string()));
        all.collect::<Vec<_>>().join(" ")
    };
    for (text, expected) in [
        ("host:2001:0db8:0::1", "host:2001:db8::1"),
        ("2001:DB8:0::1", "host:2001:db8::1"),
        ("AS64500", "as:64500"),
        ("prefix:198.51.100.7/24", "prefix:198.51.100.0/24 host:198.51.100.7"),
        ("198.51.100.0/25", "prefix:198.51.100.0/24 host:198.51.100.7"),
        ("198.51.100.0/23", "hop:198.51.101.1 host:198.51.100.7 prefix:198.51.100.0/24"),
        ("hop:198.51.100.99", "prefix:198.51.100.0/24"),
        ("server.port=7003", "service:web"),
        ("attribute:Server.Port=7004", "service:web"),
        ("network.transport=tcp", "service:web|flow|host:198.51.100.7"),
        ("server.port=7005", ""),
        ("port=7003", ""),
    ] {
        assert_eq!(found(text), expected, "{text}");
    }
}

#[test]
fn a_picture_around_a_node_that_is_cut_keeps_the_node_and_what_is_nearest() {
    let mut graph = TopologyGraph::new();
    let mut put = |id: &str| graph.apply(&site("berlin"), element(id, 10, Some(20), "1", 10));
    put("service:web|flow|service:zoo");
    for far in 0..9 {
        put(&format!("agent:a{far}|path|service:zoo"));
    }
    let around = SnapshotFilter {
        around: Some(("service:web".parse().unwrap(), 2)),
        limit: Some(3),
        ..SnapshotFilter::default()
    };
    let picture = graph.snapshot(Millis(15), &around).expect("there");
    let ids: Vec<String> = picture.nodes.iter().map(|node| node.id.to_string()).collect();
    assert_eq!(ids, ["agent:a0", "service:web", "service:zoo"]);
    assert_eq!((picture.total_nodes, picture.total_edges, picture.edges.len()), (11, 10, 2));
}
