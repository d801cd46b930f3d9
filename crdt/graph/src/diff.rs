//! What changed between two moments, and when most of it did.

use holm_model::{ElementId, Interval, IntervalSet, Millis};

use crate::records::Records;
use crate::topology::NodeSlot;
use crate::{ElementsOf, TopologyGraph};

/// What changed between two moments: what is there at one of them only, and what is there at both
/// and had its attributes written in between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// There at the later moment only.
    pub appeared: ElementsOf,
    /// There at the earlier moment only.
    pub vanished: ElementsOf,
    /// There at both, its attributes written in between. Earlier values are not kept.
    pub rewritten: ElementsOf,
    /// There at both as one, but gone in between at least once.
    pub returned: ElementsOf,
}

/// How much happened within a part of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangeCount {
    /// Elements that some site opened.
    pub opened: u64,
    /// Elements that some site closed.
    pub closed: u64,
}

impl TopologyGraph {
    /// What changed from `from` to `to`, at most `limit` of each list by id; totals count all.
    pub fn diff(&self, from: Millis, to: Millis, limit: usize) -> Diff {
        let mut diff = Diff::default();
        let mut take = |id: ElementId, when: &IntervalSet, written: bool| match (
            when.contains(from),
            when.contains(to),
        ) {
            (false, true) => diff.appeared.add(id),
            (true, false) => diff.vanished.add(id),
            (true, true) => {
                if when.interval_at(from) != when.interval_at(to) {
                    diff.returned.add(id.clone());
                }
                if written {
                    diff.rewritten.add(id);
                }
            }
            (false, false) => {}
        };
        let written = |records: &Records| {
            records.iter().any(|(_, r)| from < r.attributes_at && r.attributes_at <= to)
        };
        for node in self.nodes.iter().flatten() {
            let when = self.existence(node);
            take(ElementId::Node(node.id.clone()), &when, written(&node.records));
        }
        for edge in self.edges.iter().flatten() {
            if let Some(id) = self.edge_id(edge) {
                take(ElementId::Edge(id), &all_intervals(&edge.records), written(&edge.records));
            }
        }
        for list in
            [&mut diff.appeared, &mut diff.vanished, &mut diff.rewritten, &mut diff.returned]
        {
            list.keep(limit);
        }
        diff
    }

    /// How many elements were opened and closed in each of `buckets` equal parts of `[from, to)`, by
    /// any site. Empty if the window is.
    pub fn changes(&self, from: Millis, to: Millis, buckets: usize) -> Vec<ChangeCount> {
        let width = to.since(from);
        if width == 0 || buckets == 0 {
            return Vec::new();
        }
        let mut counts = vec![ChangeCount::default(); buckets];
        let bucket = |at: Millis| {
            let inside = from <= at && at < to;
            inside.then(|| {
                (u128::from(at.since(from)) * buckets as u128 / u128::from(width)) as usize
            })
        };
        let nodes = self.nodes.iter().flatten().map(|node| &node.records);
        let edges = self.edges.iter().flatten().map(|edge| &edge.records);
        for (_, record) in nodes.chain(edges).flat_map(Records::iter) {
            for interval in record.intervals.as_slice() {
                if let Some(i) = bucket(interval.from) {
                    counts[i].opened += 1;
                }
                if let Some(i) = interval.to.and_then(bucket) {
                    counts[i].closed += 1;
                }
            }
        }
        counts
    }

    /// When a node was there: as any site says, or as an edge that ends in it.
    fn existence(&self, node: &NodeSlot) -> IntervalSet {
        let own = intervals(&node.records);
        let implied = self.implied(node);
        let implied = implied.iter().flat_map(|(_, set)| set.as_slice()).copied();
        IntervalSet::from_intervals(own.chain(implied))
    }
}

fn intervals(records: &Records) -> impl Iterator<Item = Interval> {
    records.iter().flat_map(|(_, record)| record.intervals.as_slice()).copied()
}

fn all_intervals(records: &Records) -> IntervalSet {
    IntervalSet::from_intervals(intervals(records))
}
