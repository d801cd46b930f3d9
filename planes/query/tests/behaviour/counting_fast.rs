//! Groups that are made from files directly are those that DataFusion makes of the rows.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::nullif;
use arrow::datatypes::Int32Type;
use serde_json::Value;

use crate::common::{Site, alone, flows, rows, site, site_of};

fn sorted(mut rows: Vec<Vec<Value>>) -> Vec<String> {
    rows.iter_mut().flatten().for_each(|value| {
        if value.is_f64() {
            *value = format!("{:.6}", value.as_f64().unwrap_or_default()).into();
        }
    });
    let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

/// The same question, and over rows that a LIMIT took first: those are never grouped where they lie.
fn same(site: &Site, select: &str, condition: &str, by: &str) {
    let direct = format!("SELECT {select} FROM flows WHERE {condition} GROUP BY {by}");
    let limited = format!(
        "SELECT {select} FROM (SELECT * FROM flows LIMIT 1000000) f WHERE {condition} GROUP BY {by}"
    );
    let expected = sorted(rows(site, &alone(), &limited));
    assert_eq!(sorted(rows(site, &alone(), &direct)), expected, "{direct}");
}

#[test]
fn every_grouping_is_that_of_the_rows() {
    let flows: Vec<(u32, u64)> =
        (0..2_000_u32).map(|n| (n * n % 97, u64::from(n * 7_919 % 1_009))).collect();
    let site = site("berlin", &flows);
    let mut turn = 0;
    for select in [
        "count(*), sum(flow.io.bytes), min(flow.io.bytes), max(flow.io.bytes), avg(flow.io.bytes)",
        "count(source.port), sum(flow.io.bytes * 2), max(source.port), count(*) FILTER (WHERE source.port = 80)",
        "sum(flow.io.bytes) FILTER (WHERE flow.io.bytes > 900), avg(source.port)",
        "count(DISTINCT source.port), approx_distinct(flow.io.bytes)",
    ] {
        for condition in [
            "true",
            "flow.io.bytes > 500",
            "source.address = ip('10.0.0.4')",
            "in_prefix(source.address, '10.0.0.0/29') AND site = 'berlin'",
            "flow.time_received >= '2024-02-29T12:20:00Z' AND flow.time_received < '2024-02-29T12:30:00Z'",
            "flow.io.bytes > 100000",
            "site = 'tokyo'",
        ] {
            for by in [
                "source.address",
                "source.port",
                "source.address, source.port",
                "site",
                "site, source.address",
                "date_trunc('minute', flow.time_received), source.port",
                "flow.time_received",
                "flow.io.bytes % 10, ip_text(source.address)",
                "CASE WHEN source.port = 80 THEN source.address END",
            ] {
                // Each meets each in some of them.
                turn += 1;
                if turn % 5 == 0 {
                    same(&site, &format!("{by}, {select}"), condition, by);
                }
            }
        }
    }
}

#[test]
fn constants_are_summed_as_columns_are() {
    let flows: Vec<(u32, u64)> = (0..500_u32).map(|n| (n % 7, u64::from(n))).collect();
    let site = site("berlin", &flows);
    let select = "min(2), max(3), avg(4), count(1), sum(2.5), CAST(sum(1) AS BIGINT) AS n, sum(1) FILTER (WHERE flow.io.bytes > 90)";
    for by in
        ["source.address", "site", "flow.io.bytes % 60", "to_unixtime(flow.time_received) / 60"]
    {
        same(&site, &format!("{by}, {select}"), "true", by);
    }
    let counted = rows(&site, &alone(), "SELECT site, sum(1) AS n FROM flows GROUP BY site");
    assert_eq!(counted, [[Value::from("berlin"), Value::from(500)]]);
}

/// Flows of which every seventh has no address, and all of some parts have none.
fn some_without_address(part: u32) -> RecordBatch {
    let all: Vec<(u32, u64)> =
        (0..3_000_u32).map(|n| (n * n % 197 + part, u64::from(n * 7_919 % 1_009))).collect();
    let batch = flows(&all);
    let without = (0..3_000).map(|n| Some(part == 3 || n % 7 == 0)).collect();
    let mut columns = batch.columns().to_vec();
    columns[1] = nullif(&columns[1], &without).expect("of one length");
    RecordBatch::try_new(batch.schema(), columns).expect("a batch")
}

#[test]
fn files_that_were_put_together_are_counted_by_their_dictionaries() {
    let site = site_of("acme", "berlin");
    for part in 0..8 {
        let batch = some_without_address(part);
        for from in (0..3_000).step_by(750) {
            site.store.append_batch("flows", batch.slice(from, 750)).expect("room");
            site.store.roll();
        }
    }
    let until = Instant::now() + Duration::from_secs(60);
    while site.store.stats().merges == 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let files = site.store.snapshot("flows").expect("a table").files;
    assert_eq!(files.len(), 1, "32 small files of one hour become one");
    let scan = files[0].scan().expect("opens");
    let column: BTreeSet<String> = ["source.address".to_owned()].into();
    let batches = scan.read(0, &column, &column).expect("reads");
    let mut seen = 0;
    for batch in batches {
        let batch = batch.expect("reads");
        let addresses = batch.column(0).as_dictionary::<Int32Type>();
        // Squares modulo 197 take 99 values; eight parts move them on by one each, of which one has none.
        assert!(addresses.values().len() <= 197 + 7, "{} values", addresses.values().len());
        seen += addresses.len() - addresses.null_count();
    }
    assert_eq!(seen, 7 * (3_000 - 3_000_usize.div_ceil(7)));
    for by in ["source.address", "source.address, source.port", "ip_text(source.address)"] {
        for condition in ["true", "flow.io.bytes > 500", "source.address IS NULL"] {
            let select = format!("{by}, count(*), sum(flow.io.bytes), count(source.address)");
            same(&site, &select, condition, by);
        }
    }
}
