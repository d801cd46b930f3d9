//! What changed between two moments, and when most of it did.

use std::collections::BTreeSet;
use std::sync::Arc;

use holm_model::{ElementId, Interval, IntervalSet, Millis, is_measured};

use crate::compared::Found;
use crate::joining::Joined;
use crate::records::{Record, Records, SiteIndex};
use crate::snapshot::{Heard, said_at};
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
    /// There at both, but attributes of the earlier moment are not known any more: whether they changed
    /// is not known. The first, by id.
    pub unknown: Vec<UnknownAttributes>,
    /// How many there are.
    pub unknown_total: u64,
}

/// An element some of whose attributes are not known any more at one of two moments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownAttributes {
    /// The element.
    pub id: ElementId,
    /// From this moment on all are known.
    pub known_from: Millis,
    /// Which ones, in order; empty for all of them.
    pub keys: Vec<Box<str>>,
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

/// From when on attributes are known, and which ones were not before; empty for all.
type Forgotten = (Millis, Vec<Box<str>>);

impl TopologyGraph {
    /// What changed from `from` to `to`, at most `limit` of each list by id; totals count all. Every name
    /// stands for itself.
    pub fn diff(&self, from: Millis, to: Millis, limit: usize) -> Diff {
        self.compare(from, to, limit, &Part::default())
    }

    /// As [`TopologyGraph::diff`], of what folded snapshots of the two moments show: by the ids of the later one, and what
    /// vanished by those of the earlier. Things that have a name in common are one, whichever of its names each moment
    /// shows. Paths and aliases keep theirs.
    pub fn diff_folded(&self, from: Millis, to: Millis, limit: usize) -> Diff {
        let (before, joined) = (self.joined(from, &None), self.joined(to, &None));
        self.compare(from, to, limit, &Part { before, joined, heard: None, shown: None })
    }

    pub(crate) fn compare(&self, from: Millis, to: Millis, limit: usize, part: &Part) -> Diff {
        let mut found = Found { graph: self, part, from, to, diff: Diff::default() };
        found.nodes();
        found.edges();
        for path in self.paths.iter() {
            found.take_one(ElementId::Path(path.id.clone()), &path.records);
        }
        for alias in self.aliases.iter() {
            found.take_one(ElementId::Alias(alias.id.clone()), &alias.records);
        }
        let mut diff = found.diff;
        for list in [&mut diff.appeared, &mut diff.vanished, &mut diff.returned] {
            list.keep(limit);
        }
        diff.changed_total = diff.changed.len() as u64;
        diff.changed.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        diff.changed.truncate(limit);
        diff.unknown_total = diff.unknown.len() as u64;
        diff.unknown.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        diff.unknown.truncate(limit);
        diff
    }

    /// What is different, and what may be: from when on it is known, and which keys, if not all.
    pub(crate) fn attribute_changes(
        &self,
        (before, after): (&[&Records], &[&Records]),
        heard: &Heard,
        from: Millis,
        to: Millis,
    ) -> (Vec<AttributeChange>, Option<Forgotten>) {
        let same = before.len() == after.len();
        let may_differ = !same
            || before.iter().flat_map(|records| told(records, heard)).any(|(_, r)| {
                let spoke = r.intervals.contains(from) != r.intervals.contains(to);
                let says = !r.attributes.is_empty() || r.past.is_some();
                (spoke && says) || r.was_written(from, to) || r.known_again(from).is_some()
            });
        if !may_differ || from == to {
            return (Vec::new(), None);
        }
        let sides = [(before, from), (after, to)];
        let [(before, known_before), (after, known_after)] = sides.map(|(records, at)| {
            let said = records.iter().flat_map(|records| said_at(records, at, heard));
            self.merge_attributes(said, at)
        });
        let known_from = known_before.max(known_after);
        let mut unknown: BTreeSet<Box<str>> = BTreeSet::new();
        let mut nothing_known = false;
        if known_from.is_some() {
            for (records, at) in sides {
                let said = records.iter().flat_map(|records| said_at(records, at, heard));
                for past in said.filter_map(|(_, record)| record.past.as_ref()) {
                    nothing_known |= at < past.known_from();
                    unknown.extend(past.unknown_at(at).into_iter().map(Box::from));
                }
            }
        }
        if nothing_known {
            return (Vec::new(), known_from.map(|from| (from, Vec::new())));
        }
        let keys: BTreeSet<&Box<str>> = before.keys().chain(after.keys()).collect();
        let differing = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
        let changes = differing.filter(|key| !unknown.contains(*key)).map(|key| AttributeChange {
            key: key.clone(),
            before: before.get(key).cloned(),
            after: after.get(key).cloned(),
        });
        (changes.collect(), known_from.map(|from| (from, unknown.into_iter().collect())))
    }

    /// How many elements were opened, closed and changed in each of `buckets` equal parts of `[from, to)`, by
    /// any site; measured values, which change all the time, do not count. Empty if the window is.
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
            let past = record.past.iter().flat_map(|past| past.as_slice());
            for value in past.filter(|value| !is_measured(&value.key)) {
                if let Some(i) = bucket(value.until) {
                    counts[i].changed += 1;
                }
            }
        }
        counts
    }

    /// When a node was there: as any site says, or as an edge that ends in it or a path over it.
    pub(crate) fn existence(&self, names: &[&NodeSlot], heard: &Heard) -> IntervalSet {
        let all = names.iter().flat_map(|node| self.about(node));
        IntervalSet::from_intervals(all.flat_map(|records| intervals(records, heard)))
    }

    /// Whether a node is there at `at`, as [`Self::existence`] has it.
    pub(crate) fn exists_at(&self, names: &[&NodeSlot], heard: &Heard, at: Millis) -> bool {
        names.iter().flat_map(|node| self.about(node)).any(|records| are_open(records, heard, at))
    }

    /// What is said of a node, of its edges and of the paths over it.
    fn about<'a>(&'a self, node: &'a NodeSlot) -> impl Iterator<Item = &'a Records> {
        let edges = node.out.iter().chain(&node.into);
        let edges = edges.filter_map(|&edge| self.edges[edge as usize].as_ref());
        let paths = node.paths.iter().filter_map(|&path| self.paths.get(path));
        let paths = paths.map(|path| &path.records);
        std::iter::once(&node.records).chain(edges.map(|edge| &edge.records)).chain(paths)
    }
}

/// What of the topology is compared, and by whose words.
#[derive(Default)]
pub(crate) struct Part {
    /// Names at the earlier moment.
    pub(crate) before: Arc<Joined>,
    /// Names at the later one.
    pub(crate) joined: Arc<Joined>,
    pub(crate) heard: Heard,
    /// Only these elements; `None` for all, paths and aliases among them.
    pub(crate) shown: Option<BTreeSet<ElementId>>,
}

/// Whether any site that counts says that it is there at `at`.
pub(crate) fn are_open(records: &Records, heard: &Heard, at: Millis) -> bool {
    told(records, heard).any(|(_, record)| record.intervals.contains(at))
}

/// The records of the sites that count.
fn told<'a>(
    records: &'a Records,
    heard: &'a Heard,
) -> impl Iterator<Item = (SiteIndex, &'a Record)> {
    records.iter().filter(|(site, _)| heard.as_ref().is_none_or(|heard| heard.contains(site)))
}

fn intervals<'a>(records: &'a Records, heard: &'a Heard) -> impl Iterator<Item = Interval> {
    told(records, heard).flat_map(|(_, record)| record.intervals.as_slice()).copied()
}

pub(crate) fn all_intervals(said: &[&Records], heard: &Heard) -> IntervalSet {
    IntervalSet::from_intervals(said.iter().flat_map(|records| intervals(records, heard)))
}
