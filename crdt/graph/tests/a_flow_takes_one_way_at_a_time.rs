//! What the fold makes of paths and aliases that planes see.

use holm_graph::{
    ElementChange, ElementChangeKind, Fold, FoldLimits, Folded, OpenElement, SiteElement,
};
use holm_graph::{SnapshotFilter, TopologyGraph};
use holm_model::{
    AliasObservation, Attributes, IntervalSet, Millis, NodeKind, NodeObservation, NodeRef,
    PastValues, PathObservation, SiteId,
};
use holm_moment::{Limits, Scratch, Selector, WhatIf};

fn hop(name: &str) -> Option<NodeRef<'_>> {
    (name != "*").then_some(NodeRef { kind: NodeKind::Hop, name })
}

fn see(fold: &mut Fold, flow: &str, hops: &[&str], at: u64) -> Folded {
    let hops: Vec<_> = hops.iter().map(|name| hop(name)).collect();
    fold.observe_path(&PathObservation {
        agent: NodeRef { kind: NodeKind::Agent, name: "berlin" },
        target: NodeRef { kind: NodeKind::Host, name: "192.0.2.7" },
        flow,
        hops: &hops,
        attributes: &[],
        at: Millis(at),
        hold_ms: 1_000,
    })
}

fn paths(changes: &[ElementChange]) -> Vec<(String, Option<u64>)> {
    let of_paths = changes.iter().filter(|c| matches!(c.id, holm_model::ElementId::Path(_)));
    of_paths
        .map(|c| match &c.change {
            ElementChangeKind::Closed { at } => (c.id.to_string(), Some(at.0)),
            _ => (c.id.to_string(), None),
        })
        .collect()
}

#[test]
fn another_way_of_the_same_flow_ends_the_one_before() {
    let mut fold = Fold::new(FoldLimits::default());
    assert_eq!(see(&mut fold, "f", &["1", "2"], 10), Folded::Opened);
    assert_eq!(see(&mut fold, "f", &["1", "2"], 20), Folded::Unchanged);
    assert_eq!(see(&mut fold, "g", &["1", "2"], 20), Folded::Opened, "another flow");
    assert_eq!(see(&mut fold, "f", &["1", "*", "3"], 30), Folded::Opened);
    assert_eq!(see(&mut fold, "f", &["1", "2"], 25), Folded::Unchanged, "late: it says what was");
    assert_eq!(fold.counters().out_of_order, 1);
    let (one, other) = (
        "agent:berlin|path|host:192.0.2.7|f|hop:1|hop:2",
        "agent:berlin|path|host:192.0.2.7|f|hop:1|*|hop:3",
    );
    let g = "agent:berlin|path|host:192.0.2.7|g|hop:1|hop:2";
    let told = |id: &str, closed| (id.to_owned(), closed);
    assert_eq!(
        paths(&fold.drain()),
        [told(one, None), told(g, None), told(one, Some(30)), told(other, None)]
    );
    assert_eq!(see(&mut fold, "f", &["1", "2"], 40), Folded::Opened, "back again");
    assert_eq!(paths(&fold.drain()), [told(other, Some(40)), told(one, None)]);
    fold.expire(Millis(5_000));
    assert!(fold.is_empty(), "all were held for a second");
}

#[test]
fn a_path_says_which_hops_are_next_to_each_other() {
    let mut fold = Fold::new(FoldLimits::default());
    see(&mut fold, "f", &["1", "*", "3", "4"], 10);
    let edges: Vec<String> = fold.drain().iter().map(|c| c.id.to_string()).collect();
    assert_eq!(
        edges[1..],
        ["agent:berlin|path|hop:1", "hop:3|path|hop:4", "hop:4|path|host:192.0.2.7"],
        "nothing is known across a hop that did not answer"
    );
}

#[test]
fn paths_that_cannot_be_are_refused_and_counted() {
    let mut fold = Fold::new(FoldLimits::default());
    assert_eq!(see(&mut fold, "f", &["*"; 65], 10), Folded::Refused);
    assert_eq!(see(&mut fold, "a|b", &["1"], 10), Folded::Refused);
    assert_eq!(fold.counters().refused_bad_name, 2);
    assert!(fold.is_empty());
}

#[test]
fn a_way_that_cannot_be_leaves_the_one_that_is_open() {
    let mut fold = Fold::new(FoldLimits::default());
    see(&mut fold, "f", &["1"], 10);
    fold.drain();
    assert_eq!(see(&mut fold, "f", &["*"; 65], 20), Folded::Refused);
    assert!(fold.drain().is_empty());
    assert_eq!(see(&mut fold, "f", &["1"], 30), Folded::Unchanged);
}

#[test]
fn two_ways_in_one_moment_do_not_overlap() {
    let mut fold = Fold::new(FoldLimits::default());
    see(&mut fold, "f", &["1"], 100);
    see(&mut fold, "f", &["2"], 100);
    let changes = fold.drain();
    let closed = changes.iter().find_map(|c| match &c.change {
        ElementChangeKind::Closed { at } => Some(*at),
        _ => None,
    });
    let opened = changes.iter().filter(|c| matches!(c.id, holm_model::ElementId::Path(_)));
    let mut opened = opened.filter_map(|c| match &c.change {
        ElementChangeKind::Opened { at, .. } => Some(*at),
        _ => None,
    });
    assert_eq!((opened.next_back(), closed), (Some(Millis(101)), Some(Millis(101))));
}

#[test]
fn of_several_restored_ways_one_stays_open() {
    let restored = || {
        let mut fold = Fold::new(FoldLimits::default());
        let open = |hop: u32, since| OpenElement {
            id: format!("agent:berlin|path|host:192.0.2.7|f|hop:{hop}").parse().expect("valid"),
            since: Millis(since),
            attributes: Attributes::new(),
        };
        fold.restore([open(1, 10), open(2, 20), open(3, 30)], Millis(50), Millis(60));
        fold
    };
    for (seen, closed) in [("1", 2), ("3", 2), ("4", 3)] {
        let mut fold = restored();
        see(&mut fold, "f", &[seen], 55);
        let changes = fold.drain();
        let closings =
            changes.iter().filter(|c| c.change == ElementChangeKind::Closed { at: Millis(55) });
        assert_eq!(closings.count(), closed, "{seen}");
    }
}

#[test]
fn names_are_written_in_one_way() {
    let mut fold = Fold::new(FoldLimits::default());
    let node = |kind, name: &str, fold: &mut Fold| {
        let node = NodeRef { kind, name };
        fold.observe_node(&NodeObservation { node, attributes: &[], at: Millis(1), hold_ms: 1_000 })
    };
    assert_eq!(node(NodeKind::Host, "::ffff:10.0.0.1", &mut fold), Folded::Opened);
    assert_eq!(node(NodeKind::Host, "10.0.0.1", &mut fold), Folded::Unchanged);
    assert_eq!(node(NodeKind::Host, "::ffff:10.0.0.1", &mut fold), Folded::Unchanged);
    assert_eq!(node(NodeKind::Host, "Stock.Example", &mut fold), Folded::Opened);
    assert_eq!(node(NodeKind::Host, "stock.example.", &mut fold), Folded::Unchanged);
    assert_eq!(node(NodeKind::Prefix, "10.0.0.1/8", &mut fold), Folded::Opened);
    assert_eq!(node(NodeKind::Host, "10.0.0.01", &mut fold), Folded::Refused);
    assert_eq!(node(NodeKind::Service, "\u{202e}evil", &mut fold), Folded::Refused);
    let ids: Vec<String> = fold.drain().iter().map(|c| c.id.to_string()).collect();
    assert_eq!(ids, ["host:10.0.0.1", "host:stock.example", "prefix:10.0.0.0/8"]);
    assert_eq!(fold.counters().refused_bad_name, 2);
}

#[test]
fn an_alias_is_the_same_from_either_end_and_folds_what_is_shown() {
    let mut fold = Fold::new(FoldLimits::default());
    let name = NodeRef { kind: NodeKind::Host, name: "stock.example" };
    let address = NodeRef { kind: NodeKind::Host, name: "192.0.2.7" };
    let alias = |a, b, at| AliasObservation {
        a,
        b,
        attributes: &[("holm.alias.evidence", "dns")],
        at: Millis(at),
        hold_ms: 1_000,
    };
    assert_eq!(fold.observe_alias(&alias(name, address, 10)), Folded::Opened);
    assert_eq!(fold.observe_alias(&alias(address, name, 20)), Folded::Unchanged);
    assert_eq!(fold.observe_alias(&alias(name, name, 20)), Folded::Refused);
    see(&mut fold, "f", &["1"], 10);

    let mut graph = TopologyGraph::new();
    let berlin = SiteId::new("berlin").expect("valid");
    for change in fold.drain() {
        let ElementChangeKind::Opened { at, attributes } = change.change else { continue };
        let mut intervals = IntervalSet::new();
        intervals.open(at);
        let past = PastValues::default();
        let element = SiteElement { id: change.id, intervals, attributes, attributes_at: at, past };
        graph.apply(&berlin, element);
    }
    let shown = |fold_aliases| {
        let filter = SnapshotFilter { fold_aliases, ..SnapshotFilter::default() };
        let snapshot = graph.snapshot(Millis(50), &filter).expect("nothing is named");
        snapshot.nodes.iter().map(|n| n.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(shown(false), ["agent:berlin", "hop:1", "host:192.0.2.7"]);
    assert_eq!(shown(true), ["agent:berlin", "hop:1", "host:stock.example"]);
    let aliases = graph.aliases_of(&"host:192.0.2.7".parse().expect("valid"), Millis(50));
    assert!(aliases[0].folded && *aliases[0].attributes["holm.alias.evidence"] == *"dns");

    // What is shown can be looked at, and names of its own stay what they are.
    let (folding, name) = (graph.folding(Millis(50)), "host:stock.example");
    let shown = graph.element_folded(&name.parse().expect("valid"), &folding).expect("shown");
    assert_eq!((shown.id.to_string().as_str(), shown.sites.len()), (name, 1));
    let edge = "hop:1|path|host:stock.example".parse().expect("valid");
    assert!(graph.element(&edge).is_none() && graph.element_folded(&edge, &folding).is_some());
    let next_to = graph.neighbours_folded(&"hop:1".parse().expect("valid"), Millis(50), &folding);
    let next_to: Vec<String> =
        next_to.expect("there").into_iter().map(|n| n.node.to_string()).collect();
    assert_eq!(next_to, ["agent:berlin", name]);
    let next_to = graph.neighbours_folded(&name.parse().expect("valid"), Millis(50), &folding);
    assert_eq!(next_to.expect("there by its address").len(), 1);

    // What fails by one name fails by the other, and the way of the flow is an observed one.
    let moment = graph.moment(Millis(50));
    for name in ["host:192.0.2.7", "host:stock.example", "hop:1"] {
        let failed = moment.select(&Selector::Element(name.parse().expect("valid")));
        let question = WhatIf { failed: failed.expect("it is there"), ..WhatIf::default() };
        let limits = Limits { items: 10 };
        let impact = moment.what_if(&question, limits, None, &mut Scratch::default());
        assert_eq!(impact.broken_paths.total, 1, "{name}");
        assert!(impact.broken_paths.items[0].observed);
    }
}
