//! `now()` and its kin: one moment for the whole question, that of who asks, whatever the sites' clocks say.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::common::{Mesh, NOON, Site, alone, ask, rows, site};

/// Three results and `n` flows at each site, one a second after noon; all is asked ten minutes after noon, in 2024.
fn two() -> (Site, Site, Arc<Mesh>) {
    let flows: Vec<(u32, u64)> = (0..240).map(|n| (n, 100)).collect();
    let (berlin, tokyo) = (site("berlin", &flows), site("tokyo", &flows));
    let mesh = Arc::new(Mesh::of(&[&tokyo]));
    (berlin, tokyo, mesh)
}

/// Questions, what they give at one site, and at two.
fn questions() -> Vec<(&'static str, Value, Value)> {
    // Of each site half of the flows are in another batch, which begins at noon again.
    let same = |sql, found: Value| (sql, found.clone(), found);
    vec![
        same(
            "SELECT now(), current_timestamp, current_date, current_time, today()",
            json!([[
                "2024-02-29T12:10:00Z",
                "2024-02-29T12:10:00Z",
                "2024-02-29",
                "12:10:00",
                "2024-02-29"
            ]]),
        ),
        (
            "SELECT date_bin(INTERVAL '1 minute', time) t, count(*) FROM active_results WHERE time >= now() - INTERVAL '1 hour' GROUP BY 1",
            json!([["2024-02-29T12:00:00Z", 3]]),
            json!([["2024-02-29T12:00:00Z", 6]]),
        ),
        (
            "SELECT date_bin(INTERVAL '1 minute', flow.time_received) t, count(*) FROM flows WHERE flow.time_received >= now() - INTERVAL '9 minutes' GROUP BY 1 ORDER BY 1",
            json!([["2024-02-29T12:01:00Z", 120]]),
            json!([["2024-02-29T12:01:00Z", 240]]),
        ),
        (
            "SELECT date_trunc('day', now()) AS d, count(*) FROM active_results GROUP BY 1",
            json!([["2024-02-29T00:00:00Z", 3]]),
            json!([["2024-02-29T00:00:00Z", 6]]),
        ),
        (
            "SELECT CASE WHEN flow.time_received > now() - INTERVAL '500 seconds' THEN 'new' ELSE 'old' END AS k, sum(flow.io.bytes) FROM flows GROUP BY 1 ORDER BY 1",
            json!([["new", 3_800], ["old", 20_200]]),
            json!([["new", 7_600], ["old", 40_400]]),
        ),
        (
            "SELECT source.port, count(*) FILTER (WHERE flow.time_received > now() - INTERVAL '500 seconds') FROM flows GROUP BY 1 ORDER BY 1",
            json!([[80, 18], [443, 20]]),
            json!([[80, 36], [443, 40]]),
        ),
        (
            "SELECT count(*) FROM flows WHERE flow.time_received >= current_date AND flow.time_received < current_date + INTERVAL '1 day'",
            json!([[240]]),
            json!([[480]]),
        ),
        (
            "SELECT count(*) FROM flows WHERE flow.time_received + INTERVAL '9 minutes' >= now() AND now() - flow.time_received > INTERVAL '5 minutes'",
            json!([[120]]),
            json!([[240]]),
        ),
        (
            "SELECT 'a' AS k, count(*) FROM flows WHERE flow.time_received > now() - INTERVAL '500 seconds' UNION ALL SELECT 'b', count(*) FROM flows WHERE flow.time_received <= now() - INTERVAL '500 seconds' ORDER BY 1",
            json!([["a", 38], ["b", 202]]),
            json!([["a", 76], ["b", 404]]),
        ),
        same(
            "SELECT max(now() - flow.time_received) FROM flows WHERE flow.time_received < now()",
            json!([["PT600S"]]),
        ),
        same(
            "SELECT to_unixtime(now()) - to_unixtime(max(flow.time_received)) AS age FROM flows",
            json!([[481]]),
        ),
        same(
            "SELECT flow.time_received FROM flows WHERE flow.time_received > now() - INTERVAL '482 seconds' ORDER BY 1 LIMIT 1",
            json!([["2024-02-29T12:01:59Z"]]),
        ),
        (
            "WITH m AS (SELECT date_trunc('minute', flow.time_received) AS m, count(*) AS n FROM flows WHERE flow.time_received BETWEEN now() - INTERVAL '1 day' AND now() GROUP BY 1) SELECT max(n), avg(n) FROM m",
            json!([[120, 120.0]]),
            json!([[240, 240.0]]),
        ),
        (
            "SELECT count(*) FROM flows f JOIN (SELECT now() - INTERVAL '1 hour' AS since) s ON f.flow.time_received > s.since",
            json!([[240]]),
            json!([[480]]),
        ),
        (
            "SELECT count(*) FROM flows WHERE flow.time_received > (SELECT max(time) FROM active_results WHERE time < now())",
            json!([[238]]),
            json!([[476]]),
        ),
        same(
            "SELECT DISTINCT current_time < '12:10:01'::time FROM flows WHERE current_time > '12:09:59'::time",
            json!([[true]]),
        ),
        (
            "SELECT count(*) FROM active_results HAVING max(time) > now() - INTERVAL '1 hour'",
            json!([[3]]),
            json!([[6]]),
        ),
    ]
}

#[test]
fn the_moment_is_that_of_who_asks_wherever_it_stands() {
    let (berlin, _tokyo, mesh) = two();
    let told =
        |rows: Vec<Vec<Value>>| Value::from(rows.into_iter().map(Value::from).collect::<Vec<_>>());
    for (sql, one, both) in questions() {
        assert_eq!(told(rows(&berlin, &alone(), sql)), one, "{sql}");
        mesh.asked.lock().expect("no panic").clear();
        let answer = ask(&berlin, &mesh, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(answer.places.iter().all(|place| place.error.is_none()), "{:?}", answer.places);
        assert_eq!(told(answer.rows()), both, "{sql}");
        // A site is told the moment, and has none of its own.
        let asked = mesh.asked.lock().expect("no panic").join("\n").to_lowercase();
        for name in ["now()", "current_", "today"] {
            assert!(!asked.contains(name), "{sql}: {asked}");
        }
    }
}

#[test]
fn a_column_keeps_the_name_of_what_was_asked() {
    let (berlin, _tokyo, mesh) = two();
    let sql = "SELECT now(), current_date, count(*) FROM flows";
    let answer = ask(&berlin, &mesh, sql).expect("answered");
    let names: Vec<&str> = answer.schema.fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["now()", "current_date()", "count(*)"]);
    assert_eq!(NOON % 86_400_000, 43_200_000, "it is noon");
}
