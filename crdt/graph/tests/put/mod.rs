//! Putting records into a graph.

use holm_graph::{SiteElement, TopologyGraph};
use holm_model::{
    Attributes, ElementId, Interval, IntervalSet, Millis, NodeId, PastValues, SiteId,
};

/// Attributes, and when they were written.
pub(crate) type Written<'a> = (u64, &'a [(&'a str, &'a str)]);

pub(crate) fn id(text: &str) -> ElementId {
    text.parse().expect("valid")
}

pub(crate) fn node(text: &str) -> NodeId {
    text.parse().expect("valid")
}

pub(crate) fn put(graph: &mut TopologyGraph, site: &str, element: &str, when: (u64, Option<u64>)) {
    put_with(graph, site, element, when, &[(0, &[])]);
}

pub(crate) fn put_with(
    graph: &mut TopologyGraph,
    site: &str,
    element: &str,
    (from, to): (u64, Option<u64>),
    written: &[Written<'_>],
) {
    let interval = Interval { from: Millis(from), to: to.map(Millis) };
    let mut past = PastValues::default();
    let mut attributes = Attributes::new();
    let mut attributes_at = Millis(0);
    for (at, next) in written {
        let next = next.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        past.write(&mut attributes, &mut attributes_at, &next, Millis(*at));
        past.trim(holm_model::MAX_PAST_VALUES);
    }
    let intervals = IntervalSet::from_intervals([interval]);
    let element = SiteElement { id: id(element), intervals, attributes, attributes_at, past };
    graph.apply(&SiteId::new(site).expect("valid"), element);
}

pub(crate) fn withdraw(graph: &mut TopologyGraph, site: &str, element: &str) {
    let element = SiteElement {
        id: id(element),
        intervals: IntervalSet::new(),
        attributes: Attributes::new(),
        attributes_at: Millis(0),
        past: PastValues::default(),
    };
    graph.apply(&SiteId::new(site).expect("valid"), element);
}
