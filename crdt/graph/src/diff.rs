//! What changed between two moments, and when most of it did.

use std::collections::BTreeSet;

use holm_model::{ElementId, Interval, IntervalSet, Millis};

use crate::records::Records;
use crate::snapshot::said_at;
use crate::topology::NodeSlot;
use crate::{ElementsOf, TopologyGraph};

/// What changed between two moments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// There at the later moment only.
    pub appeared: ElementsOf,
    /// There at the earlier moment only.
    pub vanished: ElementsOf,
    /// There at both with other attributes: the first, by id.
    pub changed: Vec<ChangedElement>,
    /// How many there are.
    pub changed_total: u64,
    /// There at both as one, but gone in between at least once.
    pub returned: ElementsOf,
}

/// An element that is there at two moments with other attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedElement {
    /// The element.
    pub id: ElementId,
    /// What is different, in order of key.
    pub attributes: Vec<AttributeChange>,
}

/// What became of one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeChange {
    /// Its key.
    pub key: Box<str>,
    /// The value at the earlier moment, if it had one.
    pub before: Option<Box<str>>,
    /// The value at the later moment, if it has one.
    pub after: Option<Box<str>>,
}

/// How much happened within a part of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangeCount {
    /// Elements that some site opened.
    pub opened: u64,
    /// Elements that some site closed.
    pub closed: u64,
    /// Values of attributes that some site wrote anew.
    pub changed: u64,
}

impl TopologyGraph {
    /// What changed from `from` to `to`, at most `limit` of each list by id; totals count all.
    pub fn diff(&self, from: Millis, to: Millis, limit: usize) -> Diff {
        let mut diff = Diff::default();
        let mut take = |id: ElementId, when: &IntervalSet, records: &Records| match (
            when.contains(from),
            when.contains(to),
        ) {
            (false, true) => diff.appeared.add(id),
            (true, false) => diff.vanished.add(id),
            (true, true) => {
                if when.interval_at(from) != when.interval_at(to) {
                    diff.returned.add(id.clone());
                }
                let attributes = self.attribute_changes(records, from, to);
                if !attributes.is_empty() {
                    diff.changed.push(ChangedElement { id, attributes });
                }
            }
            (false, false) => {}
        };
        for node in self.nodes.iter().flatten() {
            let when = self.existence(node);
            take(ElementId::Node(node.id.clone()), &when, &node.records);
        }
        for edge in self.edges.iter().flatten() {
            if let Some(id) = self.edge_id(edge) {
                take(ElementId::Edge(id), &all_intervals(&edge.records), &edge.records);
            }
        }
        for path in self.paths.iter() {
            let id = ElementId::Path(path.id.clone());
            take(id, &all_intervals(&path.records), &path.records);
        }
        for (alias, records) in &self.aliases {
            take(ElementId::Alias(alias.clone()), &all_intervals(records), records);
        }
        for list in [&mut diff.appeared, &mut diff.vanished, &mut diff.returned] {
            list.keep(limit);
        }
        diff.changed_total = diff.changed.len() as u64;
        diff.changed.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        diff.changed.truncate(limit);
        diff
    }

    fn attribute_changes(
        &self,
        records: &Records,
        from: Millis,
        to: Millis,
    ) -> Vec<AttributeChange> {
        let may_differ = records.iter().any(|(_, r)| {
            let spoke = r.intervals.contains(from) != r.intervals.contains(to);
            let says = !r.attributes.is_empty() || r.past.is_some();
            (spoke && says) || r.was_written(from, to)
        });
        if !may_differ {
            return Vec::new();
        }
        let at = |at| self.merge_attributes(said_at(records, at, &None), at);
        let (before, after) = (at(from), at(to));
        let keys: BTreeSet<&Box<str>> = before.keys().chain(after.keys()).collect();
        let differing = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
        differing
            .map(|key| AttributeChange {
                key: key.clone(),
                before: before.get(key).cloned(),
                after: after.get(key).cloned(),
            })
            .collect()
    }

    /// How many elements were opened, closed and changed in each of `buckets` equal parts of `[from, to)`, by
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
        for (_, record) in self.all_records().flat_map(Records::iter) {
            for interval in record.intervals.as_slice() {
                if let Some(i) = bucket(interval.from) {
                    counts[i].opened += 1;
                }
                if let Some(i) = interval.to.and_then(bucket) {
                    counts[i].closed += 1;
                }
            }
            for value in record.past.iter().flat_map(|past| past.as_slice()) {
                if let Some(i) = bucket(value.until) {
                    counts[i].changed += 1;
                }
            }
        }
        counts
    }

    /// When a node was there: as any site says, or as an edge that ends in it or a path over it.
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
