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

/// What was told of the way there alone (RFC 5103 §4).
const UNTOLD: &[&str] = &[
    "network.io.direction",
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
/// biflow.
pub(crate) fn both_ways(decoded: RecordBatch) -> (RecordBatch, Option<ArrayRef>) {
    let Some(back) = ways_back(&decoded) else { return (decoded, None) };
    match append(&decoded, &back) {
        Ok(whole) => whole,
        Err(error) => {
            // The layout makes both sides of every pair alike.
            tracing::error!(%error, "biflows could not be told as two ways");
            (decoded, None)
        }
    }
}

/// The records in which something came back.
fn ways_back(decoded: &RecordBatch) -> Option<UInt32Array> {
    let told = |name: &str| {
        let column = decoded.column_by_name(name)?;
        (column.null_count() < column.len()).then(|| column.as_primitive::<UInt64Type>())
    };
    let counts = [told("flow.reverse.io.bytes"), told("flow.reverse.io.packets")];
    if counts.iter().all(Option::is_none) {
        return None;
    }
    let came = |row: usize| {
        counts.iter().flatten().any(|count| count.is_valid(row) && count.value(row) > 0)
    };
    let rows: Vec<u32> =
        (0..decoded.num_rows()).filter(|row| came(*row)).map(|row| row as u32).collect();
    (!rows.is_empty()).then(|| UInt32Array::from(rows))
}

fn append(
    decoded: &RecordBatch,
    back: &UInt32Array,
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
        columns.push(concat(&[column, &more])?);
    }
    let mut ways = vec![None; decoded.num_rows()];
    for row in back.values() {
        ways[*row as usize] = Some(0);
    }
    ways.resize(decoded.num_rows() + back.len(), Some(1));
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
