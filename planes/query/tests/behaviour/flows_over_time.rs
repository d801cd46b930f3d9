//! Questions about flows over time, as SQL over rows that say any times.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, RecordBatch, TimestampNanosecondArray, UInt64Array,
    new_null_array,
};
use arrow::datatypes::{Schema, SchemaRef};
use holm_flow::ask::{
    Dimension, Filter, Metric, Scope, interfaces_sql, series_sql, top_within_sql,
};
use holm_flow::flow_schema;
use serde_json::{Value, json};

use crate::common::{NOON, Site, alone, rows, site_in};

const S: i64 = 1_000_000_000;
const NOON_NS: i64 = NOON * 1_000_000;

/// Who, when it began, ended and came, in nanoseconds since 1970, and bytes.
type Flow = (u8, Option<i64>, Option<i64>, i64, u64);

/// The columns of flows, of which a row may say nothing.
fn schema() -> SchemaRef {
    let schema = flow_schema();
    let fields = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(field.name() != "flow.time_received"));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn batch(flows: &[Flow]) -> RecordBatch {
    let times = |times: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from(times).with_timezone("UTC"))
    };
    let schema = schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "flow.time_received" => times(flows.iter().map(|flow| Some(flow.3)).collect()),
            "flow.start" => times(flows.iter().map(|flow| flow.1).collect()),
            "flow.end" => times(flows.iter().map(|flow| flow.2).collect()),
            "source.address" => {
                let mut addresses = FixedSizeBinaryBuilder::new(16);
                for (n, ..) in flows {
                    let address = std::net::Ipv4Addr::new(10, 0, 0, *n).to_ipv6_mapped().octets();
                    addresses.append_value(address).expect("16 bytes");
                }
                Arc::new(addresses.finish())
            }
            "flow.io.bytes_scaled" => {
                Arc::new(UInt64Array::from_iter_values(flows.iter().map(|flow| flow.4)))
            }
            "flow.in.interface.index" => {
                Arc::new(arrow::array::UInt32Array::from(vec![3; flows.len()]))
            }
            _ => new_null_array(field.data_type(), flows.len()),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("a batch")
}

fn site(flows: &[Flow]) -> Site {
    let folder = tempfile::tempdir().expect("a folder");
    let site = site_in(folder, "acme", "berlin", schema());
    site.store.append_batch("flows", batch(flows)).expect("room");
    site.store.flush();
    site
}

fn scope() -> Scope {
    let filter = Filter::parse("").expect("no filter");
    Scope { from_ns: NOON_NS - 3_600 * S, to_ns: NOON_NS + 3_600 * S, filter }
}

fn by(name: &str) -> Vec<&'static Dimension> {
    vec![Dimension::of(name).expect("a dimension")]
}

#[test]
fn no_time_that_a_row_says_ends_a_question() {
    let day = 86_400 * S;
    let far = [i64::MIN, i64::MIN + 1, -1, 0, 1, NOON_NS, i64::MAX - 1, i64::MAX];
    let mut flows: Vec<Flow> = vec![
        (1, Some(NOON_NS - 9 * S), Some(NOON_NS), NOON_NS, 1_000),
        (2, None, Some(NOON_NS), NOON_NS, 10),
        (3, Some(NOON_NS - 2 * day), Some(NOON_NS), NOON_NS, 86_400),
    ];
    for start in far {
        flows.extend(far.map(|end| (9, Some(start), Some(end), NOON_NS, 1)));
    }
    let site = site(&flows);
    let minute = 60 * S;
    let series = rows(&site, &alone(), &series_sql(&scope(), &by("src"), &[], minute));
    let flows_in = |rows: &[Vec<Value>], column: usize| -> i64 {
        rows.iter().map(|row| row[column].as_i64().expect("a count")).sum()
    };
    // `g`, `b0`, `b1`, head, tail, bytes, … and flows at the end.
    assert_eq!(flows_in(&series, 9), flows.len() as i64);
    let capacity = rows(&site, &alone(), &interfaces_sql(&scope(), true, minute));
    assert_eq!(flows_in(&capacity, 12), flows.len() as i64);
    // What says that it lasted longer than a day counts for one.
    let longest = series
        .iter()
        .map(|row| row[2].as_i64().expect("a bucket") - row[1].as_i64().expect("a bucket"));
    assert_eq!(longest.max(), Some(24 * 60));
}

#[test]
fn the_largest_of_a_window_are_those_that_are_large_in_it() {
    let (from, to) = (NOON_NS - 600 * S, NOON_NS);
    let site = site(&[
        // Came later, and lay behind the window: all of it, or all but a hundredth.
        (1, Some(NOON_NS + 60 * S), Some(NOON_NS + 120 * S), NOON_NS + 120 * S, 1_000_000),
        (2, Some(NOON_NS - S), Some(NOON_NS + 99 * S - 1), NOON_NS + 100 * S, 100_000),
        // In the window, wherever it came.
        (3, Some(from), Some(to - 1), to + 60 * S, 30_000),
        (4, Some(from + 5 * S), Some(from + 9 * S), from + 10 * S, 20_000),
        // Half in it.
        (5, Some(from - 300 * S), Some(from + 300 * S - 1), from + 300 * S, 50_000),
        // Before it.
        (6, Some(from - 300 * S), Some(from - 1), from - 1, 9_000_000),
    ]);
    let top = |metric, limit| {
        let sql = top_within_sql(&scope(), &by("src"), metric, limit, (from, to));
        rows(&site, &alone(), &sql)
    };
    let found = top(Metric::Bytes, 9);
    let seen: Vec<(&Value, &Value, &Value)> =
        found.iter().map(|row| (&row[0], &row[1], &row[3])).collect();
    let who = |n: u8| json!(format!("10.0.0.{n}"));
    assert_eq!(
        seen,
        [
            (&who(3), &json!(30_000), &json!(1)),
            (&who(5), &json!(25_000), &json!(1)),
            (&who(4), &json!(20_000), &json!(1)),
            (&who(2), &json!(1_000), &json!(0)),
        ]
    );
    assert_eq!(top(Metric::Bytes, 1), [found[0].clone()]);
    assert_eq!(top(Metric::Flows, 9).len(), 4);
}
