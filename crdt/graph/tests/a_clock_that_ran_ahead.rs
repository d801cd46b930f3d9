//! A clock that ran ahead and was set back: what is observed now is there now.

use std::collections::BTreeMap;

use holm_graph::{
    ElementChange, ElementChangeKind, Fold, FoldLimits, OpenElement, SiteElement, SnapshotFilter,
    TopologyGraph,
};
use holm_model::{
    Attribute, Attributes, EdgeKind, EdgeObservation, ElementId, IntervalSet, Millis, NodeKind,
    NodeRef, PastValues, SiteId,
};

/// A document, as the replica writes it.
#[derive(Default)]
struct Document(BTreeMap<ElementId, (IntervalSet, Attributes, Millis, PastValues)>);

impl Document {
    fn write(&mut self, changes: Vec<ElementChange>) {
        for ElementChange { id, change } in changes {
            let (intervals, now, written, past) = self.0.entry(id).or_default();
            match change {
                ElementChangeKind::Closed { at } => intervals.close(at),
                ElementChangeKind::Opened { at, attributes } => {
                    intervals.open(at);
                    past.write(now, written, &attributes, at);
                }
                ElementChangeKind::AttributesChanged { at, attributes } => {
                    past.write(now, written, &attributes, at);
                }
            }
        }
    }

    /// The edges that are there at `at`, with since when and the attribute `v`.
    fn shown(&self, at: u64) -> Vec<(u64, Option<String>)> {
        let mut graph = TopologyGraph::new();
        let site = SiteId::new("berlin").expect("valid");
        for (id, (intervals, attributes, attributes_at, past)) in &self.0 {
            let element = SiteElement {
                id: id.clone(),
                intervals: intervals.clone(),
                attributes: attributes.clone(),
                attributes_at: *attributes_at,
                past: past.clone(),
            };
            graph.apply(&site, element);
        }
        let snapshot = graph.snapshot(Millis(at), &SnapshotFilter::default()).expect("there");
        let value = |attributes: &Attributes| attributes.get("v").map(|v| v.to_string());
        snapshot.edges.iter().map(|e| (e.since.0, value(&e.attributes))).collect()
    }
}

fn see(fold: &mut Fold, attributes: &[Attribute<'_>], at: u64) {
    fold.observe_edge(&EdgeObservation {
        from: NodeRef { kind: NodeKind::Service, name: "a" },
        kind: EdgeKind::Flow,
        to: NodeRef { kind: NodeKind::Service, name: "b" },
        attributes,
        at: Millis(at),
        hold_ms: 300,
    });
}

fn observe_until(fold: &mut Fold, attributes: &[Attribute<'_>], times: std::ops::Range<u64>) {
    for at in times.step_by(100) {
        see(fold, attributes, at);
        fold.expire(Millis(at));
    }
}

#[test]
fn what_opened_in_the_future_is_there_since_the_clock_was_set_back() {
    let (mut fold, mut document) = (Fold::new(FoldLimits::default()), Document::default());
    fold.expire(Millis(1_000));
    fold.expire(Millis(1_000_000));
    see(&mut fold, &[("v", "1")], 1_000_000);
    document.write(fold.drain());
    fold.expire(Millis(1_100));
    observe_until(&mut fold, &[("v", "1")], 1_200..50_000);
    document.write(fold.drain());
    let told = Some("1".to_owned());
    assert_eq!(document.shown(50_000), [(1_100, told.clone())]);
    assert_eq!(document.shown(1_000_001), [(1_100, told)]);
    assert_eq!(document.shown(1_099), []);
    assert_eq!(fold.counters().clock_rewritten, 1);
}

#[test]
fn what_changed_in_the_future_changes_now() {
    let (mut fold, mut document) = (Fold::new(FoldLimits::default()), Document::default());
    fold.expire(Millis(100));
    see(&mut fold, &[("v", "0")], 100);
    fold.expire(Millis(1_000_000));
    see(&mut fold, &[("v", "1")], 1_000_000);
    document.write(fold.drain());
    fold.expire(Millis(200));
    observe_until(&mut fold, &[("v", "1")], 300..20_000);
    document.write(fold.drain());
    assert_eq!(document.shown(150), []);
    assert_eq!(document.shown(20_000).len(), 1);
    assert_eq!(document.shown(20_000)[0].1.as_deref(), Some("1"), "it is seen all the time");
    // And the next change does not wait for the future.
    observe_until(&mut fold, &[("v", "2")], 20_000..40_000);
    document.write(fold.drain());
    assert_eq!(document.shown(39_000)[0].1.as_deref(), Some("2"));
    assert_eq!(document.shown(19_000)[0].1.as_deref(), Some("1"));
}

#[test]
fn what_is_restored_from_the_future_is_there_now() {
    let (mut fold, mut document) = (Fold::new(FoldLimits::default()), Document::default());
    see(&mut fold, &[("v", "1")], 1_000_000);
    document.write(fold.drain());
    let mut fold = Fold::new(FoldLimits::default());
    let open = document.0.iter().map(|(id, (intervals, attributes, ..))| OpenElement {
        id: id.clone(),
        since: intervals.as_slice()[0].from,
        attributes: attributes.clone(),
    });
    fold.restore(open, Millis(1_000_000), Millis(5_000));
    observe_until(&mut fold, &[("v", "1")], 2_000..9_000);
    document.write(fold.drain());
    assert_eq!(document.shown(8_900).len(), 1);
}

#[test]
fn a_correction_that_finds_no_room_is_made_later() {
    let limits = FoldLimits { max_pending: 2, ..FoldLimits::default() };
    let (mut fold, mut document) = (Fold::new(limits), Document::default());
    fold.expire(Millis(1_000_000));
    see(&mut fold, &[], 1_000_000);
    fold.expire(Millis(100));
    assert_eq!(fold.drain().len(), 1, "the opening filled the room");
    assert!(fold.counters().refused_backlog > 0);
    fold.expire(Millis(150));
    document.write(fold.drain());
    assert_eq!(document.shown(160), [(150, None)]);
}
