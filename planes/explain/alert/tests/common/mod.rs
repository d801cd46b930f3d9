//! Rows and rules for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use holm_alert::{Engine, Limits, Rule, TableShape, parse};
use holm_model::Millis;

pub(crate) const MINUTE: u64 = 60_000;
/// A full day, so that steps of all lengths begin there.
pub(crate) const BEGIN: u64 = 20_000 * 24 * 60 * MINUTE;

/// A row of the table `t`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) at: u64,
    pub(crate) who: Option<&'static str>,
    pub(crate) value: Option<f64>,
    pub(crate) good: bool,
}

pub(crate) fn row(at: u64, who: &'static str, value: f64, good: bool) -> Row {
    Row { at, who: Some(who), value: Some(value), good }
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("time", time, false),
        Field::new("who", DataType::Utf8, true),
        Field::new("value", DataType::Float64, true),
        Field::new("good", DataType::Boolean, true),
    ]))
}

pub(crate) fn tables() -> BTreeMap<Box<str>, TableShape> {
    [("t".into(), TableShape { schema: schema(), time: "time".into() })].into()
}

pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let times = rows.iter().map(|row| row.at as i64);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(rows.iter().map(|row| row.who).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.value).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.good)).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(schema(), columns).expect("a batch")
}

pub(crate) fn rules(text: &str) -> Vec<Arc<Rule>> {
    parse(text).expect("good rules").into_iter().map(Arc::new).collect()
}

pub(crate) fn engine(text: &str) -> Engine {
    // Rows were watched since long ago.
    Engine::new(rules(text), &tables(), Limits::default(), Millis(BEGIN), Millis(0))
}

pub(crate) fn feed(engine: &mut Engine, rows: &[Row], now: u64) {
    engine.take("t", &batch(rows), (Millis(0), Millis(u64::MAX)), Millis(now));
}
