//! One node's record of one element, packed into one value of a topology document.
//!
//! Format: `docs/formats/topology-document.md`.

use holm_graph::SiteElement;
use holm_model::{
    Attributes, ElementId, Interval, IntervalSet, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, Millis,
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
const KNOWN_FIELDS: std::ops::RangeInclusive<u32> = 1..=4;

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
}

/// One node's record of one element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ElementRecord {
    pub(crate) intervals: IntervalSet,
    pub(crate) attributes: Attributes,
    pub(crate) attributes_at: Millis,
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
        Ok(Self {
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
        };
        let mut packed = message.encode_to_vec();
        packed.extend_from_slice(&self.unknown);
        packed
    }

    /// Drops the oldest intervals beyond the bound; how many.
    pub(crate) fn trim(&mut self) -> usize {
        let intervals = self.intervals.as_slice();
        let surplus = intervals.len().saturating_sub(MAX_INTERVALS);
        if surplus > 0 {
            self.intervals = IntervalSet::from_intervals(intervals[surplus..].iter().copied());
        }
        surplus
    }

    /// The record that says what both say. Commutative, associative and idempotent: moments are
    /// united, attributes are those written later, at the same moment the greater ones.
    pub(crate) fn join(&mut self, other: Self) {
        self.intervals = self.intervals.union(&other.intervals);
        let rank = |r: &Self| (r.attributes_at, r.attributes.clone(), r.unknown.clone());
        if rank(&other) > rank(self) {
            self.attributes = other.attributes;
            self.attributes_at = other.attributes_at;
            self.unknown = other.unknown;
        }
    }

    pub(crate) fn into_element(self, id: ElementId) -> SiteElement {
        let Self { intervals, attributes, attributes_at, .. } = self;
        SiteElement { id, intervals, attributes, attributes_at }
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
        (proptest::collection::vec(interval, 0..8), attributes, 0u64..3, any::<bool>()).prop_map(
            |(intervals, attributes, at, later)| ElementRecord {
                intervals: IntervalSet::from_intervals(intervals),
                attributes: attributes.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
                attributes_at: Millis(at),
                // Field 9, a string: what some later version might add.
                unknown: if later { vec![0x4a, 2, b'h', b'i'] } else { Vec::new() },
            },
        )
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
        assert_eq!(record.trim(), 44);
        assert_eq!(record.intervals.as_slice()[0].from, Millis(440));
        assert_eq!(record.trim(), 0);
    }
}
