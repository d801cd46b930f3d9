//! Rows as JSON lines, for people and their tools.

use std::fmt::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

use crate::read::address_of;

/// Columns that are called by what everybody calls them, first and in this order.
const SHORT: &[(&str, &str)] = &[
    ("exporter", "flow.exporter.address"),
    ("type", "flow.type"),
    ("src_addr", "source.address"),
    ("dst_addr", "destination.address"),
    ("src_port", "source.port"),
    ("dst_port", "destination.port"),
    ("ip_proto", "flow.ip.protocol"),
    ("bytes", "flow.io.bytes"),
    ("packets", "flow.io.packets"),
    ("sampling_rate", "flow.sampling_rate"),
    ("in_if", "flow.in.interface.index"),
    ("out_if", "flow.out.interface.index"),
    ("start", "flow.start"),
    ("end", "flow.end"),
    ("received", "flow.time_received"),
];

/// Appends a line of JSON for each row of `batch`: what is null is left out. Counts are as exported;
/// times are RFC 3339 in UTC. A time of 1970-01-01T00:00:00 was not told and is left out.
pub fn write_json_lines(batch: &RecordBatch, out: &mut String) {
    let schema = batch.schema();
    let named = |name: &str| SHORT.iter().find(|(_, column)| *column == name);
    let mut columns: Vec<(&str, &dyn Array)> = SHORT
        .iter()
        .filter_map(|(short, column)| Some((*short, batch.column_by_name(column)?.as_ref())))
        .collect();
    let rest = schema.fields().iter().zip(batch.columns());
    let rest = rest.filter(|(field, _)| named(field.name()).is_none());
    columns.extend(rest.map(|(field, column)| (field.name().as_str(), column.as_ref())));
    columns.retain(|(_, column)| column.null_count() < column.len());
    for row in 0..batch.num_rows() {
        let mut mark = '{';
        for (name, column) in &columns {
            let before = out.len();
            out.push(mark);
            out.push('"');
            out.push_str(name);
            out.push_str("\":");
            if column.is_null(row) || !write_value(*column, row, out) {
                out.truncate(before);
                continue;
            }
            mark = ',';
        }
        out.push_str(if mark == '{' { "{}\n" } else { "}\n" });
    }
}

/// Appends one value; `false` if there is nothing to say.
fn write_value(column: &dyn Array, row: usize, out: &mut String) -> bool {
    // Writing to a text does not fail.
    let _ = match column.data_type() {
        DataType::UInt8 => write!(out, "{}", column.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => write!(out, "{}", column.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => write!(out, "{}", column.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => write!(out, "{}", column.as_primitive::<UInt64Type>().value(row)),
        DataType::Timestamp(..) => {
            let ns = column.as_primitive::<TimestampNanosecondType>().value(row);
            if ns == 0 {
                return false;
            }
            write_time(ns, out);
            Ok(())
        }
        DataType::FixedSizeBinary(16) => {
            let bytes = column.as_fixed_size_binary().value(row);
            let Ok(bytes) = <[u8; 16]>::try_from(bytes) else { return false };
            write!(out, "\"{}\"", address_of(bytes))
        }
        DataType::FixedSizeBinary(_) => {
            let bytes = column.as_fixed_size_binary().value(row);
            out.push('"');
            for (index, byte) in bytes.iter().enumerate() {
                let _ = write!(out, "{}{byte:02x}", if index == 0 { "" } else { ":" });
            }
            out.push('"');
            Ok(())
        }
        DataType::Dictionary(..) => {
            let words = column.as_any_dictionary();
            let Some(key) = words.normalized_keys().get(row).copied() else { return false };
            let text = words.values().as_string::<i32>().value(key);
            // An address with no bytes is no reason to fail: texts always serialise.
            out.push_str(&serde_json::to_string(text).unwrap_or_default());
            Ok(())
        }
        DataType::List(_) => {
            let labels = column.as_list::<i32>().value(row);
            let labels = labels.as_primitive::<UInt32Type>();
            write!(out, "{:?}", labels.values().iter().collect::<Vec<_>>())
        }
        _ => return false,
    };
    true
}

/// A time as RFC 3339 with as many places as it needs.
fn write_time(ns: i64, out: &mut String) {
    let (seconds, fraction) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (h, m, s) = (second / 3_600, second / 60 % 60, second % 60);
    let _ = write!(out, "\"{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}");
    let places = match fraction {
        0 => 0,
        n if n % 1_000_000 == 0 => 3,
        n if n % 1_000 == 0 => 6,
        _ => 9,
    };
    if places > 0 {
        let _ = write!(out, ".{:0places$}", fraction / 10_i64.pow(9 - places as u32));
    }
    out.push_str("Z\"");
}

/// Year, month and day of a day since 1970 in the Gregorian calendar, by years that begin in March.
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(ns: i64) -> String {
        let mut out = String::new();
        write_time(ns, &mut out);
        out
    }

    #[test]
    fn times_are_written_as_others_write_them() {
        assert_eq!(time(1_700_000_000_000_000_000), "\"2023-11-14T22:13:20Z\"");
        assert_eq!(time(1_709_210_096_789_000_000), "\"2024-02-29T12:34:56.789Z\"");
        assert_eq!(time(951_782_400_000_000_001), "\"2000-02-29T00:00:00.000000001Z\"");
        assert_eq!(time(-1_000), "\"1969-12-31T23:59:59.999999Z\"");
        assert_eq!(time(4_102_444_799_000_500_000), "\"2099-12-31T23:59:59.000500Z\"");
    }
}
