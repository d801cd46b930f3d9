//! The two ways of a biflow (RFC 5103 §2): one record, two rows, so that whoever adds up rows, follows
//! pairs or draws edges need not know of it.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, DictionaryArray, RecordBatch, StringArray, UInt32Array, UInt64Array,
    new_null_array,
};
use arrow_schema::ArrowError;
use arrow_select::concat::concat;
use arrow_select::take::take;

/// The words of `flow.biflow`: which way of a biflow a row is.
const WAYS: [&str; 2] = ["forward", "reverse"];

/// What the way back has as the way there has the other.
const SWAPPED: &[(&str, &str)] = &[
    ("source.address", "destination.address"),
    ("source.port", "destination.port"),
    ("source.as.number", "destination.as.number"),
    ("source.prefix_length", "destination.prefix_length"),
    ("source.nat.address", "destination.nat.address"),
    ("source.nat.port", "destination.nat.port"),
    ("source.mac", "destination.mac"),
    ("flow.inner.source.address", "flow.inner.destination.address"),
    ("flow.inner.source.port", "flow.inner.destination.port"),
    ("flow.in.interface.index", "flow.out.interface.index"),
    ("flow.in.interface.name", "flow.out.interface.name"),
    ("flow.in.vrf.id", "flow.out.vrf.id"),
    ("flow.bgp.next.as.number", "flow.bgp.previous.as.number"),
];

/// What the way back has of its own in the record.
const OWN: &[(&str, &str)] = &[
    ("flow.io.bytes", "flow.reverse.io.bytes"),
    ("flow.io.packets", "flow.reverse.io.packets"),
    ("flow.io.bytes_scaled", "flow.reverse.io.bytes"),
    ("flow.io.packets_scaled", "flow.reverse.io.packets"),
    ("flow.tcp_flags", "flow.reverse.tcp_flags"),
];

/// What was told of the way there alone (RFC 5103 §4). Not so whether its exporter counted it as it came in or as it
/// left: both ways were counted by the same metering at the same place, so that the way back is counted once where
/// the way there is, and belongs to what left where all that is counted left.
const UNTOLD: &[&str] = &[
    "flow.post.io.bytes",
    "flow.post.io.packets",
    "flow.reverse.io.bytes",
    "flow.reverse.io.packets",
    "flow.reverse.tcp_flags",
    "flow.ip.tos",
    "flow.ip.dscp",
    "flow.ip.ttl",
    "flow.ipv6.flow_label",
    "flow.icmp.type",
    "flow.icmp.code",
    "flow.next_hop.address",
    "flow.bgp.next_hop.address",
    "flow.vlan.id",
    "flow.vlan.inner_id",
    "flow.vlan.post_id",
    "flow.mpls.labels",
    "flow.in.vrf.name",
    "flow.forwarding_status",
    "flow.drop.reason",
];

/// The batch with the ways back behind it, and the column `flow.biflow`; `None` where no record is of a
/// biflow. A way in which nothing went is no row.
pub(crate) fn both_ways(decoded: RecordBatch) -> (RecordBatch, Option<ArrayRef>) {
    let Some(back) = ways_back(&decoded) else { return (decoded, None) };
    match append(&decoded, &back, &ways_there(&decoded, &back)) {
        Ok(whole) => whole,
        Err(error) => {
            // The layout makes both sides of every pair alike.
            tracing::error!(%error, "biflows could not be told as two ways");
            (decoded, None)
        }
    }
}

/// Two columns of counts, as far as some record tells them.
struct Counts<'a>([Option<&'a UInt64Array>; 2]);

impl<'a> Counts<'a> {
    fn of(decoded: &'a RecordBatch, names: [&str; 2]) -> Self {
        Self(names.map(|name| {
            let column = decoded.column_by_name(name)?;
            (column.null_count() < column.len()).then(|| column.as_primitive::<UInt64Type>())
        }))
    }

    fn each(&self, row: usize) -> impl Iterator<Item = u64> + use<'_> {
        let told = self.0.iter().flatten().filter(move |count| count.is_valid(row));
        told.map(move |count| count.value(row))
    }
}

/// The records in which something came back.
fn ways_back(decoded: &RecordBatch) -> Option<UInt32Array> {
    let counts = Counts::of(decoded, ["flow.reverse.io.bytes", "flow.reverse.io.packets"]);
    if counts.0.iter().all(Option::is_none) {
        return None;
    }
    let came = |row: usize| counts.each(row).any(|count| count > 0);
    let rows: Vec<u32> =
        (0..decoded.num_rows()).filter(|row| came(*row)).map(|row| row as u32).collect();
    (!rows.is_empty()).then(|| UInt32Array::from(rows))
}

/// The records whose way there is a row: all but those in which nothing went there, it says so, and something came `back`.
fn ways_there(decoded: &RecordBatch, back: &UInt32Array) -> UInt32Array {
    let counts = Counts::of(decoded, ["flow.io.bytes", "flow.io.packets"]);
    let empty =
        |row: usize| counts.each(row).next().is_some() && counts.each(row).all(|count| count == 0);
    let mut came = back.values().iter().copied().peekable();
    let there = (0..decoded.num_rows() as u32).filter(|row| {
        let came = came.next_if_eq(row).is_some();
        !(came && empty(*row as usize))
    });
    UInt32Array::from_iter_values(there)
}

fn append(
    decoded: &RecordBatch,
    back: &UInt32Array,
    there: &UInt32Array,
) -> Result<(RecordBatch, Option<ArrayRef>), ArrowError> {
    let schema = decoded.schema();
    let mut columns = Vec::with_capacity(decoded.num_columns());
    for (field, column) in schema.fields().iter().zip(decoded.columns()) {
        let name = field.name().as_str();
        let theirs = |of: &str| match decoded.column_by_name(of) {
            Some(column) => take(column, back, None),
            None => Ok(new_null_array(field.data_type(), back.len())),
        };
        let more = if UNTOLD.contains(&name) {
            new_null_array(field.data_type(), back.len())
        } else if let Some((_, own)) = OWN.iter().find(|(of, _)| *of == name) {
            let counted = theirs(own)?;
            if name.ends_with("_scaled") { scaled(decoded, &counted, back)? } else { counted }
        } else {
            theirs(partner(name))?
        };
        let all = there.len() == decoded.num_rows();
        let first = if all { Arc::clone(column) } else { take(column, there, None)? };
        columns.push(concat(&[&first, &more])?);
    }
    let mut came = back.values().iter().copied().peekable();
    let mut ways: Vec<Option<u32>> = there
        .values()
        .iter()
        .map(|row| {
            while came.next_if(|other| other < row).is_some() {}
            came.next_if_eq(row).map(|_| 0)
        })
        .collect();
    ways.resize(there.len() + back.len(), Some(1));
    let words: ArrayRef = Arc::new(StringArray::from_iter_values(WAYS));
    let ways = DictionaryArray::<UInt32Type>::try_new(UInt32Array::from(ways), words)?;
    Ok((RecordBatch::try_new(schema, columns)?, Some(Arc::new(ways))))
}

/// The column that the way back takes for `name`.
fn partner(name: &str) -> &str {
    let pair = SWAPPED.iter().find(|(one, other)| *one == name || *other == name);
    pair.map_or(name, |(one, other)| if *one == name { other } else { one })
}

/// Counts times the rate of their records, as far as it is known.
fn scaled(
    decoded: &RecordBatch,
    counts: &ArrayRef,
    back: &UInt32Array,
) -> Result<ArrayRef, ArrowError> {
    let Some(rates) = decoded.column_by_name("flow.sampling_rate") else {
        return Ok(Arc::clone(counts));
    };
    let rates = take(rates, back, None)?;
    let rates = rates.as_primitive::<UInt32Type>();
    let rate = |row: usize| if rates.is_valid(row) { rates.value(row).max(1) } else { 1 };
    let counts = counts.as_primitive::<UInt64Type>();
    let scaled: UInt64Array = counts
        .iter()
        .enumerate()
        .map(|(row, count)| Some(count?.saturating_mul(u64::from(rate(row)))))
        .collect();
    Ok(Arc::new(scaled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::LAYOUT;

    #[test]
    fn every_column_that_is_named_is_there_and_has_its_partners_type() {
        let schema = crate::schema::decoded_schema();
        let kind = |name: &str| schema.field_with_name(name).unwrap().data_type().clone();
        for (one, other) in SWAPPED.iter().chain(OWN) {
            assert_eq!(kind(one), kind(other), "{one} and {other}");
        }
        for name in UNTOLD {
            assert!(LAYOUT.iter().any(|(known, _)| known == name), "{name}");
            assert!(SWAPPED.iter().all(|(one, other)| one != name && other != name), "{name}");
        }
    }
}
