//! One node's record of one element, packed into one value of a topology document.
//!
//! Format: `docs/formats/topology-document.md`.

use holm_graph::SiteElement;
use holm_model::{
    Attributes, ElementId, Interval, IntervalSet, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES,
    MAX_PAST_VALUES, Millis, PastValue, PastValues,
};
use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, decode_key, skip_field};

/// The version of the packed form that this crate writes and reads.
const VERSION: u32 = 1;
/// Most intervals one record keeps: the oldest go first, and are counted.
pub(crate) const MAX_INTERVALS: usize = 256;
/// Longest packed record that is written, in bytes: with its key it stays within a change.
pub(crate) const MAX_RECORD_BYTES: usize = 12 * 1024;
/// Fields of `PackedElement`; others are another version's, kept as they came.
const KNOWN_FIELDS: std::ops::RangeInclusive<u32> = 1..=6;

#[derive(Clone, PartialEq, Message)]
struct PackedElement {
    #[prost(uint32, tag = "1")]
    version: u32,
    /// Differences between successive bounds, in milliseconds: from, to, from, to… The first is
    /// since the epoch; an odd count leaves the last interval open.
    #[prost(uint64, repeated, tag = "2")]
    bounds: Vec<u64>,
    #[prost(btree_map = "string, string", tag = "3")]
    attributes: std::collections::BTreeMap<String, String>,
    #[prost(uint64, tag = "4")]
    attributes_at: u64,
    #[prost(message, repeated, tag = "5")]
    past: Vec<PackedPast>,
    /// Earlier values that ended by then were forgotten.
    #[prost(uint64, tag = "6")]
    past_known_from: u64,
}

/// What an attribute was before.
#[derive(Clone, PartialEq, Message)]
struct PackedPast {
    #[prost(uint64, tag = "1")]
    until: u64,
    #[prost(string, tag = "2")]
    key: String,
    /// Absent if it had no value.
    #[prost(string, optional, tag = "3")]
    value: Option<String>,
}

/// What a record lost to its bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Trimmed {
    pub(crate) intervals: usize,
    pub(crate) past_values: usize,
    pub(crate) attributes: bool,
}

/// One node's record of one element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ElementRecord {
    pub(crate) intervals: IntervalSet,
    pub(crate) attributes: Attributes,
    pub(crate) attributes_at: Millis,
    pub(crate) past: PastValues,
    /// Fields that a later version of Holm wrote: kept when the record is written again.
    unknown: Vec<u8>,
}

/// Why a record is not read. It is carried all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Malformed,
    UnknownVersion,
}

impl ElementRecord {
    /// The latest moment up to `before` of which it speaks; 0 if there is none.
    pub(crate) fn last_moment(&self, before: Millis) -> Millis {
        let bounds = self.intervals.as_slice().iter().flat_map(|i| [Some(i.from), i.to]).flatten();
        let written = self.past.as_slice().iter().map(|value| value.until);
        let all = bounds.chain(written).chain([self.attributes_at]);
        all.filter(|at| *at <= before).max().unwrap_or_default()
    }

    pub(crate) fn decode(packed: &[u8]) -> Result<Self, Unreadable> {
        let message = PackedElement::decode(packed).map_err(|_| Unreadable::Malformed)?;
        if message.version != VERSION {
            return Err(Unreadable::UnknownVersion);
        }
        let fits = |s: &str| s.len() <= MAX_ATTRIBUTE_BYTES;
        let attributes = message.attributes;
        if attributes.len() > MAX_ATTRIBUTES || !attributes.iter().all(|(k, v)| fits(k) && fits(v))
        {
            return Err(Unreadable::Malformed);
        }
        let past = message.past;
        let past_fits = |p: &PackedPast| fits(&p.key) && p.value.as_deref().is_none_or(fits);
        if past.len() > 2 * MAX_PAST_VALUES || !past.iter().all(past_fits) {
            return Err(Unreadable::Malformed);
        }
        let past = past.into_iter().map(|p| PastValue {
            until: Millis(p.until),
            key: p.key.into(),
            value: p.value.map(Into::into),
        });
        Ok(Self {
            past: PastValues::new(past, Millis(message.past_known_from)),
            intervals: unpack_bounds(&message.bounds),
            attributes: attributes.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            attributes_at: Millis(message.attributes_at),
            unknown: unknown_fields(packed).ok_or(Unreadable::Malformed)?,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let text = |s: &str| s.to_owned();
        let message = PackedElement {
            version: VERSION,
            bounds: pack_bounds(&self.intervals),
            attributes: self.attributes.iter().map(|(k, v)| (text(k), text(v))).collect(),
            attributes_at: self.attributes_at.0,
            past: self.past.as_slice().iter().map(pack_past).collect(),
            past_known_from: self.past.known_from().0,
        };
        let mut packed = message.encode_to_vec();
        packed.extend_from_slice(&self.unknown);
        packed
    }

    /// The packed record, and what was left out so that it keeps the bounds: the oldest intervals and
    /// the oldest earlier values first, attributes last.
    pub(crate) fn encode_bounded(&mut self) -> (Vec<u8>, Trimmed) {
        let intervals = self.intervals.as_slice();
        let surplus = intervals.len().saturating_sub(MAX_INTERVALS);
        if surplus > 0 {
            self.intervals = IntervalSet::from_intervals(intervals[surplus..].iter().copied());
        }
        let mut trimmed = Trimmed { intervals: surplus, ..Trimmed::default() };
        let mut keep = MAX_PAST_VALUES;
        loop {
            trimmed.past_values += self.past.trim(keep);
            let packed = self.encode();
            if packed.len() <= MAX_RECORD_BYTES {
                return (packed, trimmed);
            }
            if keep == 0 {
                self.attributes = Attributes::new();
                trimmed.attributes = true;
                return (self.encode(), trimmed);
            }
            keep /= 2;
        }
    }

    /// Writes attributes: what they replace is remembered.
    pub(crate) fn set_attributes(&mut self, at: Millis, attributes: &Attributes) {
        let never = self.attributes.is_empty() && self.attributes_at == Millis(0);
        if never && self.intervals.as_slice().first().is_some_and(|first| first.from < at) {
            // It was there without any.
            self.past.replace(&Attributes::new(), attributes, at);
        }
        self.past.write(&mut self.attributes, &mut self.attributes_at, attributes, at);
    }

    /// The record that says what both say. Commutative, associative and idempotent: moments are
    /// united, attributes are those written later, at the same moment the greater ones;
    /// the earlier values are those of both.
    pub(crate) fn join(&mut self, other: Self) {
        self.intervals = self.intervals.union(&other.intervals);
        let rank = |r: &Self| (r.attributes_at, r.attributes.clone(), r.unknown.clone());
        if rank(&other) > rank(self) {
            self.attributes = other.attributes;
            self.attributes_at = other.attributes_at;
            self.unknown = other.unknown;
        }
        self.past.join(other.past);
    }

    /// Forgets what ended at or before `horizon`. An element of which nothing remains is empty.
    pub(crate) fn forget_before(&mut self, horizon: Millis) {
        self.intervals.forget_before(horizon);
        let past = self.past.as_slice();
        let kept = past.len() - past.partition_point(|p| p.until <= horizon);
        if kept < past.len() {
            self.past.trim(kept);
        }
    }

    /// When this record last said that the element began, ended or changed.
    fn said_at(&self) -> Millis {
        let last = self.intervals.as_slice().last();
        last.map_or(Millis(0), |i| i.to.unwrap_or(i.from)).max(self.attributes_at)
    }

    /// What several incarnations of one node say together. As [`ElementRecord::join`], but an end
    /// that one of them saw later than another saw the element there counts: what a node has closed
    /// is not opened again by what it said before. Does not depend on the order of `said`.
    pub(crate) fn settle(mut said: Vec<Self>) -> Option<Self> {
        if said.len() > 1 {
            let ends: Vec<(Millis, IntervalSet)> = said
                .iter()
                .filter(|r| !r.intervals.is_open())
                .map(|r| (r.said_at(), r.intervals.clone()))
                .collect();
            for record in &mut said {
                let Some(open) = record.intervals.as_slice().last().filter(|i| i.to.is_none())
                else {
                    continue;
                };
                let (from, at) = (open.from, record.said_at());
                let later = ends.iter().filter(|(said_at, _)| *said_at > at);
                let end = later.filter_map(|(_, ended)| ended.interval_at(from)?.to).max();
                if let Some(end) = end {
                    record.intervals.close(end);
                }
            }
        }
        said.into_iter().reduce(|mut a, b| {
            a.join(b);
            a
        })
    }

    pub(crate) fn into_element(self, id: ElementId) -> SiteElement {
        let Self { intervals, attributes, attributes_at, past, .. } = self;
        SiteElement { id, intervals, attributes, attributes_at, past }
    }
}

fn pack_past(past: &PastValue) -> PackedPast {
    PackedPast {
        until: past.until.0,
        key: past.key.to_string(),
        value: past.value.as_ref().map(ToString::to_string),
    }
}

fn pack_bounds(set: &IntervalSet) -> Vec<u64> {
    let mut previous = 0;
    let bounds = set.as_slice().iter().flat_map(|i| [Some(i.from.0), i.to.map(|to| to.0)]);
    bounds
        .flatten()
        .map(|bound| {
            let step = bound - previous;
            previous = bound;
            step
        })
        .collect()
}

/// Steps from the network may be anything: they saturate, and empty intervals fall away.
fn unpack_bounds(steps: &[u64]) -> IntervalSet {
    let mut at: u64 = 0;
    let mut next = |step: &u64| {
        at = at.saturating_add(*step);
        Millis(at)
    };
    let pairs: Vec<Interval> = steps
        .chunks(2)
        .map(|pair| Interval { from: next(&pair[0]), to: pair.get(1).map(&mut next) })
        .collect();
    IntervalSet::from_intervals(pairs)
}

/// The fields that `PackedElement` does not know, as they came.
fn unknown_fields(packed: &[u8]) -> Option<Vec<u8>> {
    let mut unknown = Vec::new();
    let mut rest = packed;
    while rest.has_remaining() {
        let start = rest;
        let (tag, wire_type) = decode_key(&mut rest).ok()?;
        skip_field(wire_type, tag, &mut rest, DecodeContext::default()).ok()?;
        if !KNOWN_FIELDS.contains(&tag) {
            unknown.extend_from_slice(&start[..start.len() - rest.len()]);
        }
    }
    Some(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_record() -> impl Strategy<Value = ElementRecord> {
        let interval = (0u64..1_000, proptest::option::of(1u64..50)).prop_map(|(from, len)| {
            Interval { from: Millis(from), to: len.map(|len| Millis(from + len)) }
        });
        let attributes = proptest::collection::btree_map("[a-c]", "[x-z]{0,2}", 0..3);
        let past = (1u64..6, "[a-c]", proptest::option::of("[x-z]{0,2}")).prop_map(
            |(until, key, value)| PastValue {
                until: Millis(until),
                key: key.into(),
                value: value.map(Into::into),
            },
        );
        let past = (proptest::collection::vec(past, 0..6), 0u64..3);
        let intervals = proptest::collection::vec(interval, 0..8);
        (intervals, attributes, 0u64..3, any::<bool>(), past).prop_map(
            |(intervals, attributes, at, later, (past, known_from))| ElementRecord {
                past: PastValues::new(past, Millis(known_from)),
                intervals: IntervalSet::from_intervals(intervals),
                attributes: attributes.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
                attributes_at: Millis(at),
                // Field 9, a string: what some later version might add.
                unknown: if later { vec![0x4a, 2, b'h', b'i'] } else { Vec::new() },
            },
        )
    }

    #[test]
    fn what_was_there_without_attributes_had_none_before_the_first() {
        let open = Interval { from: Millis(10), to: None };
        let mut bare = ElementRecord {
            intervals: IntervalSet::from_intervals([open]),
            attributes: Attributes::new(),
            attributes_at: Millis(0),
            past: PastValues::default(),
            unknown: Vec::new(),
        };
        let mut opened_with = bare.clone();
        let attributes: Attributes = [("k".into(), "v".into())].into();
        bare.set_attributes(Millis(40), &attributes);
        let at = |record: &ElementRecord, at| record.past.at(Millis(at), &record.attributes);
        assert_eq!((at(&bare, 39), at(&bare, 40)), (Attributes::new(), attributes.clone()));
        opened_with.set_attributes(Millis(10), &attributes);
        assert_eq!(at(&opened_with, 10), attributes);
        assert!(opened_with.past.is_empty());
    }

    fn joined(a: &ElementRecord, b: &ElementRecord) -> ElementRecord {
        let mut joined = a.clone();
        joined.join(b.clone());
        joined
    }

    proptest! {
        #[test]
        fn a_record_survives_packing(record in any_record()) {
            prop_assert_eq!(ElementRecord::decode(&record.encode()), Ok(record));
        }

        #[test]
        fn joining_is_commutative_associative_and_idempotent(
            a in any_record(), b in any_record(), c in any_record(),
        ) {
            prop_assert_eq!(joined(&a, &b), joined(&b, &a));
            prop_assert_eq!(joined(&joined(&a, &b), &c), joined(&a, &joined(&b, &c)));
            prop_assert_eq!(joined(&a, &a), a.clone());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(record) = ElementRecord::decode(&bytes) {
                prop_assert_eq!(ElementRecord::decode(&record.encode()), Ok(record));
            }
        }
    }

    fn at(bounds: &[(u64, Option<u64>)]) -> ElementRecord {
        let intervals =
            bounds.iter().map(|&(from, to)| Interval { from: Millis(from), to: to.map(Millis) });
        ElementRecord {
            intervals: IntervalSet::from_intervals(intervals),
            ..ElementRecord::default()
        }
    }

    #[test]
    fn what_a_node_closed_is_not_opened_by_what_it_said_before() {
        let (open, closed) = (at(&[(10, None)]), at(&[(10, Some(20))]));
        let both = ElementRecord::settle(vec![open.clone(), closed.clone()]);
        assert_eq!(both, Some(closed.clone()));
        assert_eq!(ElementRecord::settle(vec![closed.clone(), open.clone()]), both);
        let mut seen_later = open;
        seen_later.set_attributes(Millis(25), &[("k".into(), "v".into())].into());
        let both = ElementRecord::settle(vec![closed.clone(), seen_later]).expect("two");
        assert!(both.intervals.is_open(), "another incarnation saw it after that end");
        let another = ElementRecord::settle(vec![closed, at(&[(30, None)])]).expect("two");
        assert_eq!(another, at(&[(10, Some(20)), (30, None)]));
    }

    #[test]
    fn what_ended_before_the_horizon_is_forgotten() {
        let mut record = at(&[(10, Some(20)), (30, Some(40)), (50, None)]);
        for i in 1..=4_u64 {
            record.set_attributes(Millis(i * 10), &[("n".into(), i.to_string().into())].into());
        }
        record.forget_before(Millis(30));
        assert_eq!(record.intervals, at(&[(30, Some(40)), (50, None)]).intervals);
        assert_eq!((record.past.as_slice().len(), record.past.known_from()), (1, Millis(30)));
        record.forget_before(Millis(1_000));
        assert!(record.intervals.is_open(), "what goes on is never forgotten");
    }

    #[test]
    fn another_version_is_not_read() {
        let packed = PackedElement { version: 2, ..PackedElement::default() }.encode_to_vec();
        assert_eq!(ElementRecord::decode(&packed), Err(Unreadable::UnknownVersion));
    }

    #[test]
    fn the_oldest_intervals_go_first() {
        let all = (0..300).map(|i| Interval { from: Millis(i * 10), to: Some(Millis(i * 10 + 5)) });
        let mut record = ElementRecord {
            intervals: IntervalSet::from_intervals(all),
            ..ElementRecord::default()
        };
        assert_eq!(record.encode_bounded().1, Trimmed { intervals: 44, ..Trimmed::default() });
        assert_eq!(record.intervals.as_slice()[0].from, Millis(440));
        assert_eq!(record.encode_bounded().1, Trimmed::default());
    }

    #[test]
    fn the_oldest_earlier_values_go_before_the_attributes() {
        let mut record = ElementRecord::default();
        record.intervals.open(Millis(1));
        for i in 0..60_u64 {
            let value = format!("{i}{}", "x".repeat(1_000));
            record.set_attributes(Millis(1 + i), &[("k".into(), value.into())].into());
        }
        let (packed, trimmed) = record.encode_bounded();
        assert!(packed.len() <= MAX_RECORD_BYTES);
        let kept = record.past.as_slice().len();
        assert!((4..=8).contains(&kept), "{kept} of 59 remain");
        assert_eq!((trimmed.past_values, trimmed.attributes), (59 - kept, false));
        assert_eq!(record.past.known_from(), Millis(60 - kept as u64));
        let then = record.past.at(Millis(58), &record.attributes);
        assert!(then["k"].starts_with("57x"), "the value of a moment that is still known");
    }
}
