//! Groups that are made from files directly are those that DataFusion makes of the rows.

use serde_json::Value;

use crate::common::{Site, alone, rows, site};

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
