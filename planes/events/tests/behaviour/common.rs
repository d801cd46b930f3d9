//! A store in a folder of its own.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampNanosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use holm_events::{
    Disk, EventKey, EventStore, Fuse, Kind, Limits, OldRows, OpenReport, Setup, Table,
};
use holm_model::{Millis, Row};

/// 2024-02-29T12:00:00Z
pub(crate) const NOON: u64 = 1_709_208_000_000;

pub(crate) fn now() -> Millis {
    Millis(NOON + 1_000)
}

pub(crate) fn limits() -> Limits {
    Limits { segment_age_ms: 3_600_000, ..Limits::default() }
}

/// A table of batches with a time, a number, and what cannot be packed.
pub(crate) fn ticks() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("at", time, false),
        Field::new("n", DataType::Int64, true),
        Field::new("noise", DataType::UInt64, true),
    ]))
}

/// Rows `from..to`, one a millisecond after noon.
pub(crate) fn batch(schema: &SchemaRef, from: i64, to: i64) -> RecordBatch {
    let times = (from..to).map(|n| (NOON as i64 + n) * 1_000_000);
    let times = TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC");
    let numbers = Int64Array::from_iter_values(from..to);
    let mixed = |n: i64| (n.cast_unsigned() + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let noise = UInt64Array::from_iter_values((from..to).map(|n| mixed(n) ^ mixed(n) >> 29));
    let columns: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(numbers), Arc::new(noise)];
    RecordBatch::try_new(Arc::clone(schema), columns).expect("a batch")
}

pub(crate) fn tables() -> Vec<Table> {
    let columns = [("probe", Kind::Text), ("n", Kind::Int)];
    let results = Table::of_rows("active_results", &columns).expect("a table");
    let ticks = Table::new("ticks", ticks(), "at").expect("a table");
    vec![results.with_bloom_filters(&["probe"]), ticks]
}

pub(crate) fn setup(folder: &Path) -> Setup {
    Setup {
        folder: folder.join("events"),
        tenant: "acme".parse().expect("valid"),
        key: EventKey::new(&[5; 32]),
        tables: tables(),
        limits: limits(),
        clock: now,
        disk: Disk::default(),
        old: Some(OldRows {
            path: folder.join("rows.redb"),
            tenant: "acme".parse().expect("valid"),
            key: [6; 32],
        }),
        cold: None,
        outlet: None,
    }
}

pub(crate) fn open(folder: &Path) -> EventStore {
    let (store, report) = EventStore::open(setup(folder)).expect("opens");
    assert_eq!(report, OpenReport::default());
    store
}

pub(crate) fn open_with(folder: &Path, fuse: &Arc<Fuse>) -> Option<EventStore> {
    let setup = Setup { disk: Disk::with(Arc::clone(fuse)), ..setup(folder) };
    EventStore::open(setup).ok().map(|(store, _)| store)
}

pub(crate) fn row(n: u64) -> Row {
    Row::new("active_results", Millis(NOON + n)).with("probe", "icmp").with("n", n)
}

/// The numbers of all rows of a table, in order.
pub(crate) fn numbers(store: &EventStore, table: &str) -> Vec<i64> {
    let rows = store.newest(table, Millis(0), 1_000_000).expect("reads");
    let mut numbers: Vec<i64> = rows
        .iter()
        .map(|row| match row.columns.get("n") {
            Some(holm_model::Value::Int(n)) => *n,
            other => panic!("n is {other:?}"),
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

/// The files below a folder that end so.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}
