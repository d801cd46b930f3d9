//! What the fold turns into changes, and what it keeps to itself.

use holm_graph::{ElementChange, ElementChangeKind, Fold, FoldLimits, Folded, OpenElement};
use holm_model::{
    Attribute, Attributes, EdgeKind, EdgeObservation, Millis, NodeKind, NodeObservation, NodeRef,
};

fn edge<'a>(to: &'a str, attributes: &'a [Attribute<'a>], at: u64) -> EdgeObservation<'a> {
    EdgeObservation {
        from: NodeRef { kind: NodeKind::Service, name: "web" },
        kind: EdgeKind::Flow,
        to: NodeRef { kind: NodeKind::Host, name: to },
        attributes,
        at: Millis(at),
        hold_ms: 1_000,
    }
}

fn fold() -> Fold {
    Fold::new(FoldLimits::default())
}

fn attributes(of: &[(&str, &str)]) -> Attributes {
    of.iter().map(|&(k, v)| (k.into(), v.into())).collect()
}

#[test]
fn an_element_opens_once_and_closes_when_its_hold_has_ended() {
    let mut fold = fold();
    assert_eq!(fold.observe_edge(&edge("a", &[("port", "80")], 10)), Folded::Opened);
    assert_eq!(fold.observe_edge(&edge("a", &[("port", "80")], 500)), Folded::Unchanged);
    fold.expire(Millis(1_400));
    assert_eq!(fold.len(), 1, "held until 1500");
    fold.expire(Millis(1_500));
    assert!(fold.is_empty());
    let changes = fold.drain();
    assert_eq!(changes.len(), 2);
    assert_eq!(
        changes[0].change,
        ElementChangeKind::Opened { at: Millis(10), attributes: attributes(&[("port", "80")]) }
    );
    assert_eq!(changes[1].change, ElementChangeKind::Closed { at: Millis(501) });
    assert_eq!(changes[0].id.to_string(), "service:web|flow|host:a");
    assert_eq!(fold.observe_edge(&edge("a", &[], 2_000)), Folded::Opened, "it opens again");
}

#[test]
fn a_moment_s_visit_is_remembered() {
    let mut fold = fold();
    fold.observe_edge(&edge("a", &[], 10));
    fold.expire(Millis(5_000));
    let closed = &fold.drain()[1];
    assert_eq!(closed.change, ElementChangeKind::Closed { at: Millis(11) });
}

#[test]
fn attributes_are_merged_and_change_at_a_bounded_rate() {
    let mut fold = fold();
    fold.observe_edge(&edge("a", &[("port", "80")], 0));
    let added = fold.observe_edge(&edge("a", &[("command", "nginx")], 1));
    assert_eq!(added, Folded::AttributesChanged, "a new key is taken at once");
    assert_eq!(fold.observe_edge(&edge("a", &[], 2)), Folded::Unchanged);
    assert_eq!(fold.observe_edge(&edge("a", &[("port", "81")], 3)), Folded::AttributesChanged);
    for at in 4..1_000 {
        let port = if at % 2 == 0 { "80" } else { "81" };
        assert_eq!(fold.observe_edge(&edge("a", &[("port", port)], at)), Folded::Unchanged);
    }
    assert_eq!(fold.counters().attributes_deferred, 498);
    let later = fold.observe_edge(&edge("a", &[("port", "80")], 10_003));
    assert_eq!(later, Folded::AttributesChanged);
    let last = fold.drain().pop().expect("a change");
    let all = attributes(&[("command", "nginx"), ("port", "80")]);
    let expected = ElementChangeKind::AttributesChanged { at: Millis(10_003), attributes: all };
    assert_eq!(last.change, expected);
}

#[test]
fn hostile_names_and_attributes_are_refused_and_counted() {
    let mut fold = Fold::new(FoldLimits { max_elements: 2, ..FoldLimits::default() });
    let long = "x".repeat(256);
    for bad in ["", "a|b", "a\nb", "\u{0}", long.as_str()] {
        assert_eq!(fold.observe_edge(&edge(bad, &[], 1)), Folded::Refused);
    }
    assert_eq!(fold.counters().refused_bad_name, 5);
    let huge = "v".repeat(1_025);
    let twice = [("k", "1"), ("k", "2")];
    let names: Vec<String> = (0..33).map(|i| format!("k{i}")).collect();
    let many: Vec<Attribute<'_>> = names.iter().map(|n| (n.as_str(), "v")).collect();
    assert_eq!(fold.observe_edge(&edge("a", &twice, 1)), Folded::Opened, "seen, but without them");
    let untyped = [("server.port", "http")];
    for bad in [&twice[..], &[("k", huge.as_str())], &[("", "v")], &many, &untyped] {
        assert_eq!(fold.observe_edge(&edge("a", bad, 1)), Folded::Refused);
    }
    assert_eq!(fold.counters().refused_attributes, 6);
    assert_eq!(fold.observe_edge(&edge("b", &[], 1)), Folded::Opened);
    assert_eq!(fold.observe_edge(&edge("c", &[], 1)), Folded::Refused);
    assert_eq!(fold.counters().refused_full, 1);
    assert_eq!(fold.drain().len(), 2);
}

#[test]
fn late_and_early_observations_move_nothing_back() {
    let mut fold = fold();
    fold.observe_edge(&edge("a", &[("v", "2")], 5_000));
    assert_eq!(fold.observe_edge(&edge("a", &[("v", "1")], 4_000)), Folded::Unchanged);
    assert_eq!(fold.counters().out_of_order, 1);
    fold.expire(Millis(5_999));
    assert_eq!(fold.len(), 1);
    fold.expire(Millis(6_000));
    assert_eq!(fold.drain()[1].change, ElementChangeKind::Closed { at: Millis(5_001) });
}

#[test]
fn a_clock_set_back_by_an_hour_keeps_nothing_open_for_an_hour() {
    const HOUR: u64 = 3_600_000;
    let mut fold = fold();
    fold.expire(Millis(2 * HOUR));
    fold.observe_edge(&edge("a", &[], 2 * HOUR));
    fold.expire(Millis(HOUR));
    assert_eq!(fold.len(), 1);
    assert_eq!(fold.counters().clock_corrected, 1);
    fold.expire(Millis(HOUR + 1_000));
    assert!(fold.is_empty());

    // And one that a plane placed into the future, while the clock went its way.
    fold.observe_edge(&edge("b", &[], 9 * HOUR));
    fold.expire(Millis(HOUR + 2_000));
    fold.expire(Millis(HOUR + 4_000));
    assert!(fold.is_empty());
}

#[test]
fn what_was_open_is_taken_up_after_a_restart() {
    let mut before = fold();
    before.observe_edge(&edge("a", &[("port", "80")], 10));
    before.observe_edge(&edge("b", &[], 10));
    let open = before.drain().into_iter().map(|c| match c.change {
        ElementChangeKind::Opened { at, attributes } => {
            OpenElement { id: c.id, since: at, attributes }
        }
        other => panic!("not an opening: {other:?}"),
    });
    let mut after = fold();
    after.restore(open, Millis(700), Millis(60_000));
    assert_eq!(after.observe_edge(&edge("a", &[("port", "80")], 59_500)), Folded::Unchanged);
    after.expire(Millis(60_000));
    let changes: Vec<ElementChange> = after.drain();
    assert_eq!(changes.len(), 1, "a was seen again, b was not");
    assert_eq!(changes[0].id.to_string(), "service:web|flow|host:b");
    assert_eq!(changes[0].change, ElementChangeKind::Closed { at: Millis(701) });
}

#[test]
fn a_full_backlog_loses_nothing() {
    let mut fold = Fold::new(FoldLimits { max_pending: 1, ..FoldLimits::default() });
    assert_eq!(fold.observe_edge(&edge("a", &[], 0)), Folded::Opened);
    assert_eq!(fold.observe_edge(&edge("b", &[], 0)), Folded::Refused);
    fold.expire(Millis(5_000));
    assert_eq!(fold.len(), 1, "closing waits for room");
    assert_eq!(fold.drain().len(), 1);
    fold.expire(Millis(5_000));
    assert_eq!(fold.drain()[0].change, ElementChangeKind::Closed { at: Millis(1) });
    assert_eq!(fold.counters().refused_backlog, 2);
}

#[test]
fn thousands_of_elements_expire_each_in_its_time() {
    let mut fold = fold();
    let names: Vec<String> = (0..5_000).map(|i| format!("h{i}")).collect();
    for (at, name) in (0..).zip(&names) {
        fold.observe_edge(&edge(name, &[], at));
    }
    for name in names.iter().step_by(2) {
        fold.observe_edge(&edge(name, &[], 6_000));
    }
    fold.expire(Millis(6_500));
    assert_eq!(fold.len(), 2_500);
    fold.expire(Millis(7_000));
    assert_eq!(fold.len(), 0);
    let node = NodeRef { kind: NodeKind::Host, name: "h1" };
    let seen = NodeObservation { node, attributes: &[], at: Millis(8_000), hold_ms: 1 };
    assert_eq!(fold.observe_node(&seen), Folded::Opened, "slots are used again");
}
