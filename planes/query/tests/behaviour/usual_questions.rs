//! What people ask of dashboards: the same from two sites as from one that has all rows; and what a site is asked for is
//! what was asked.

use std::sync::Arc;

use holm_model::{Millis, Row};
use serde_json::Value;

use crate::common::{Mesh, NOON, Site, alone, flows, rows, site};

/// Two sites, and one that has the rows of both.
fn sites() -> (Site, Site, Site) {
    let of = |seed: u32, count: u32| -> Vec<(u32, u64)> {
        (0..count).map(|n| (n * seed % 9, u64::from(n * seed % 700) * 10)).collect()
    };
    let (first, second) = (of(3, 150), of(7, 210));
    let whole = site("all", &first);
    // The same batches, so that times are the same.
    for half in [&second[..105], &second[105..]] {
        whole.store.append_batch("flows", flows(half)).expect("room");
    }
    for n in 0..3_u64 {
        let row = Row::new("active_results", Millis(NOON as u64 + n))
            .with("probe", "icmp")
            .with("duration_ms", n as f64)
            .with("success", n != 0);
        whole.store.append(row);
    }
    whole.store.flush();
    (site("berlin", &first), site("tokyo", &second), whole)
}

/// Floats up to their last digits.
fn near(rows: Vec<Vec<Value>>) -> Vec<Vec<String>> {
    let text = |value: Value| match value.as_f64() {
        Some(number) if value.is_f64() => format!("{number:.6}"),
        _ => value.to_string(),
    };
    rows.into_iter().map(|row| row.into_iter().map(text).collect()).collect()
}

const QUESTIONS: &[&str] = &[
    "SELECT date_bin(INTERVAL '5 minutes', flow.time_received, TIMESTAMP '2020-01-01T00:00:00Z') t, sum(flow.io.bytes) * 8 / 300 AS bps FROM flows GROUP BY t ORDER BY t",
    "SELECT date_bin(INTERVAL '1 minute', flow.time_received) AS time, source.port AS metric, sum(flow.io.bytes) AS value FROM flows WHERE flow.time_received BETWEEN '2024-02-29T12:00:00Z' AND '2024-02-29T13:00:00Z' GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT extract(hour FROM flow.time_received) h, count(*) FROM flows GROUP BY h ORDER BY h",
    "SELECT date_part('minute', flow.time_received) AS m, count(*) FROM flows GROUP BY 1 ORDER BY 1",
    "SELECT to_char(date_trunc('minute', flow.time_received), '%Y-%m-%d %H:%M') AS m, sum(flow.io.bytes) FROM flows GROUP BY 1 ORDER BY 1",
    "SELECT to_unixtime(flow.time_received) / 60 * 60 AS m, count(*) FROM flows GROUP BY 1 ORDER BY 1",
    "SELECT sum(flow.io.bytes) / extract(epoch FROM max(flow.time_received) - min(flow.time_received)) FROM flows",
    "SELECT coalesce(probe, 'none') p, count(*) FROM active_results GROUP BY 1",
    "SELECT nullif(source.port, 80) AS p, count(*) FROM flows GROUP BY 1 ORDER BY 1",
    "SELECT CASE source.port WHEN 443 THEN 'https' WHEN 80 THEN 'http' ELSE 'other' END AS s, sum(flow.io.bytes) FROM flows GROUP BY 1 ORDER BY 2 DESC",
    "SELECT regexp_replace(probe, '^(.)', 'X\\1') AS p, count(*) FROM active_results GROUP BY 1",
    "SELECT split_part(ip_text(source.address), '.', 4) AS o, count(*) FROM flows GROUP BY 1 ORDER BY 1",
    "SELECT probe || '/' || CAST(success AS TEXT) AS k, count(*) FROM active_results GROUP BY 1 ORDER BY 1",
    "SELECT in_prefix(source.address, '10.0.0.4/30') AS inside, sum(flow.io.bytes) FROM flows GROUP BY 1 ORDER BY 1",
    "SELECT source.address, sum(flow.io.bytes) b, rank() OVER (ORDER BY sum(flow.io.bytes) DESC) r FROM flows GROUP BY source.address ORDER BY r LIMIT 5",
    "SELECT t, b, b - lag(b) OVER (ORDER BY t) AS d FROM (SELECT date_trunc('minute', flow.time_received) t, sum(flow.io.bytes) b FROM flows GROUP BY 1) ORDER BY t",
    "SELECT source.port, sum(flow.io.bytes) AS b, 100.0 * sum(flow.io.bytes) / sum(sum(flow.io.bytes)) OVER () AS pct FROM flows GROUP BY 1 ORDER BY 1",
    "WITH top AS (SELECT source.address a, sum(flow.io.bytes) b FROM flows GROUP BY 1 ORDER BY b DESC LIMIT 3) SELECT f.source.port, count(*) FROM flows f JOIN top ON f.source.address = top.a GROUP BY 1 ORDER BY 1",
    "SELECT source.port FROM flows UNION SELECT source.port + 1 FROM flows ORDER BY 1",
    "SELECT source.address, count(*) n FROM flows GROUP BY 1 HAVING count(*) > 30 AND sum(flow.io.bytes) > 1000 ORDER BY 1",
    "SELECT source.address, flow.io.bytes FROM flows QUALIFY row_number() OVER (PARTITION BY source.address ORDER BY flow.io.bytes DESC) = 1 ORDER BY 1",
    "SELECT DISTINCT ON (source.address) source.address, flow.io.bytes FROM flows ORDER BY source.address, flow.io.bytes DESC",
    "SELECT approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY flow.io.bytes), approx_median(flow.io.bytes) FROM flows",
    "SELECT median(flow.io.bytes), percentile_cont(0.9) WITHIN GROUP (ORDER BY flow.io.bytes) FROM flows",
    "SELECT source.port, approx_distinct(source.address) FROM flows GROUP BY 1 ORDER BY 1",
    "SELECT source.port, count(DISTINCT source.address) FROM flows GROUP BY 1 ORDER BY 1",
    "SELECT round(avg(flow.io.bytes), 2), floor(avg(flow.io.bytes)), sqrt(sum(flow.io.bytes)) FROM flows",
    "SELECT source.port, bool_or(flow.io.bytes > 100), min(flow.time_received), max(flow.time_received) - min(flow.time_received) FROM flows GROUP BY 1 ORDER BY 1",
    "SELECT sum(CASE WHEN success THEN 1 ELSE 0 END) * 1.0 / count(*), avg(CASE WHEN success THEN 1.0 ELSE 0.0 END), avg(CAST(success AS INT)) FROM active_results",
    "SELECT source.port, count(*) FROM flows GROUP BY ROLLUP (source.port) ORDER BY 1",
    "SELECT count(*) FROM flows WHERE source.address NOT IN (SELECT source.address FROM flows WHERE flow.io.bytes > 6800)",
    "SELECT floor(log10(flow.io.bytes + 1)) AS k, count(*) FROM flows GROUP BY 1 ORDER BY 1",
    "SELECT flow.io.bytes / 1000 * 1000 AS k, count(*) FROM flows GROUP BY 1 ORDER BY 1",
    "SELECT greatest(source.port, 100), least(flow.io.bytes, 50) FROM flows ORDER BY 1, 2 LIMIT 3",
];

#[test]
fn usual_questions_have_the_answers_of_one_place() {
    let (berlin, tokyo, whole) = sites();
    let mesh = Arc::new(Mesh::of(&[&tokyo]));
    for sql in QUESTIONS {
        let expected = near(rows(&whole, &alone(), sql));
        assert!(!expected.is_empty(), "{sql}");
        assert_eq!(near(rows(&berlin, &mesh, sql)), expected, "{sql}");
    }
}

/// Each holds for some of the results and is put in SQL for the sites.
const CONDITIONS: &[&str] = &[
    "probe LIKE 'ic%'",
    "probe LIKE 'i_mp'",
    "probe NOT LIKE 'x%'",
    "probe ILIKE 'IC%'",
    "probe NOT ILIKE 'IC%'",
    "probe ~ '^ic(m|n)p$'",
    "probe ~* '^IC'",
    "probe !~ '^x'",
    "probe !~* '^IC'",
    "regexp_like(probe, 'c.p')",
    "probe IN ('icmp', 'http')",
    "probe NOT IN ('http')",
    "probe IS DISTINCT FROM 'http'",
    "probe IS NOT DISTINCT FROM 'icmp'",
    "success IS TRUE",
    "success IS NOT TRUE",
    "NOT success",
    "success = (duration_ms > 0)",
    "duration_ms BETWEEN 0.5 AND 1.5",
    "duration_ms NOT BETWEEN 0.5 AND 1.5",
    "-duration_ms < -1",
    "duration_ms * 2 - 1 > duration_ms",
    "duration_ms - (1 - duration_ms) > 0",
    "(duration_ms > 0 OR success) AND NOT (duration_ms > 1 AND success)",
    "CAST(duration_ms AS BIGINT) % 2 = 1",
    "CAST(duration_ms AS BIGINT) & 1 = 1",
    "CAST(duration_ms AS BIGINT) | 1 = 3",
    "CAST(duration_ms AS BIGINT) << 1 = 4",
    "CAST(duration_ms / 2 AS BIGINT) = 0",
    "substr(probe, 2, 2) = 'cm'",
    "substring(probe FROM 2 FOR 2) = 'cm'",
    "position('m' IN probe) = 3",
    "trim(BOTH 'i' FROM probe) = 'cmp'",
    "left(probe, 2) || right(probe, 1) = 'icp'",
    "CASE WHEN duration_ms > 1 THEN 'slow' WHEN success THEN 'good' END = 'good'",
    "CASE probe WHEN 'icmp' THEN success ELSE false END",
    "coalesce(nullif(probe, 'icmp'), 'none') = 'none'",
    "time > TIMESTAMP '2024-02-29T12:00:00Z'",
    "time <= to_timestamp_millis(1709208000001)",
    "time + INTERVAL '1 millisecond' > '2024-02-29T12:00:00.002Z'",
    "time - INTERVAL '1 month 2 days 3 hours' < '2024-01-27T09:00:00.002Z'",
    "time > now() - INTERVAL '1 year'",
    "time::date = DATE '2024-02-29'",
    "extract(minute FROM time) = 0",
    "date_trunc('second', time) = '2024-02-29T12:00:00Z'",
    "to_char(time, '%H:%M') = '12:00'",
    "concat_ws('-', probe, 'x') = 'icmp-x'",
    "starts_with(probe, 'ic')",
];

#[test]
fn a_condition_means_at_the_sites_what_it_means_to_who_asks() {
    let (berlin, _, _) = sites();
    let mut odd = Vec::new();
    for condition in CONDITIONS {
        // Above a window it is not sent.
        let all = "SELECT *, row_number() OVER (ORDER BY time) AS n FROM active_results";
        let here = format!("SELECT duration_ms FROM ({all}) WHERE {condition} ORDER BY 1");
        let expected = rows(&berlin, &alone(), &here);
        let there = format!("SELECT duration_ms FROM active_results WHERE {condition} ORDER BY 1");
        let found = rows(&berlin, &alone(), &there);
        let cut = format!("{there} LIMIT 9");
        let cut = rows(&berlin, &alone(), &cut);
        let counted =
            format!("SELECT count(*), count(*) FILTER (WHERE {condition}) FROM active_results");
        let counted = &rows(&berlin, &alone(), &counted)[0];
        if found != expected || cut != expected || counted[1] != expected.len() {
            odd.push((condition, expected, found, cut, counted.clone()));
        }
    }
    assert!(odd.is_empty(), "{odd:?}");
}
