//! Orders by what is computed, the largest groups with other values beside, and windows within the memory.

use std::sync::Arc;

use holm_query::QueryError;
use serde_json::{Value, json};

use crate::common::{Mesh, alone, ask, rows, site};

#[test]
fn what_is_computed_can_be_ordered_by_its_number() {
    let flows: Vec<(u32, u64)> = (0..20).map(|n| (n, u64::from(n + 1) * 100)).collect();
    let (berlin, tokyo) = (site("berlin", &flows), site("tokyo", &flows));
    let mesh = Arc::new(Mesh::of(&[&tokyo]));
    for (sql, expected) in [
        (
            "SELECT source.port, sum(flow.io.bytes) * 8 / 60 FROM flows GROUP BY 1 ORDER BY 2 DESC LIMIT 2",
            vec![json!(443), json!(2_933)],
        ),
        (
            "SELECT source.port, sum(flow.io.bytes) * 8 AS bits FROM flows GROUP BY 1 ORDER BY 2 LIMIT 2",
            vec![json!(80), json!(160_000)],
        ),
        (
            "SELECT source.port, sum(flow.io.bytes + source.port) FROM flows GROUP BY 1 ORDER BY 2, 1 LIMIT 2",
            vec![json!(80), json!(21_600)],
        ),
        (
            "SELECT DISTINCT upper(ip_text(source.address)) FROM flows ORDER BY upper(ip_text(source.address)) LIMIT 1",
            vec![json!("10.0.0.0")],
        ),
        (
            "SELECT DISTINCT source.port * 2 FROM flows ORDER BY source.port * 2 DESC",
            vec![json!(886)],
        ),
        (
            "SELECT source.address, flow.io.bytes / source.port FROM flows ORDER BY 2 DESC, 1 LIMIT 2",
            vec![json!("10.0.0.18"), json!(23)],
        ),
        ("SELECT 3, source.port FROM flows ORDER BY 1, 2 LIMIT 1", vec![json!(3), json!(80)]),
        (
            "SELECT source.port, count(*), count(*) AS n FROM flows GROUP BY 1 ORDER BY 3, 2, 1 LIMIT 1",
            vec![json!(80), json!(20), json!(20)],
        ),
    ] {
        assert_eq!(rows(&berlin, &mesh, sql)[0], expected, "{sql}");
    }
    assert!(ask(&berlin, &mesh, "SELECT source.port FROM flows ORDER BY 7").is_err());
}

/// The largest at one site is one of many small ones at the other, where its small rows are.
#[test]
fn other_values_of_the_largest_groups_are_those_of_all_their_rows() {
    let many = (0..12_000).map(|n| (1_000 + n, 1_000));
    let large: Vec<(u32, u64)> = many.clone().chain([(7, 600_000)]).collect();
    let small: Vec<(u32, u64)> = many.chain([(7, 2); 400]).collect();
    let (berlin, tokyo) = (site("berlin", &large), site("tokyo", &small));
    let mesh = Arc::new(Mesh::of(&[&tokyo]));
    let exact = rows(
        &berlin,
        &mesh,
        "SELECT avg(flow.io.bytes), min(flow.io.bytes), approx_median(flow.io.bytes), sum(flow.io.bytes) AS b, count(*) FROM flows WHERE source.address = ip('10.0.0.7')",
    );
    let of_group = "FROM flows GROUP BY source.address ORDER BY b DESC LIMIT 1";
    for values in [
        "avg(flow.io.bytes), min(flow.io.bytes), approx_median(flow.io.bytes), sum(flow.io.bytes) AS b, count(*)",
        "avg(flow.io.bytes), sum(flow.io.bytes) AS b",
        "min(flow.io.bytes), sum(flow.io.bytes) AS b",
    ] {
        let answer = ask(&berlin, &mesh, &format!("SELECT {values} {of_group}")).expect("answered");
        let found = &answer.rows()[0];
        assert_eq!(
            found[0],
            if values.starts_with("min") { json!(2) } else { exact[0][0].clone() }
        );
        assert!(answer.approximations.iter().all(|note| note.method != "top-k"), "{values}");
    }
    let found = rows(
        &berlin,
        &mesh,
        &format!(
            "SELECT sum(flow.io.bytes) / count(*) AS a, max(flow.io.bytes) - 1 AS m, sum(flow.io.bytes) AS b {of_group}"
        ),
    );
    assert_eq!(found, [[json!(1_498), json!(599_999), json!(600_800)]]);
    let computed =
        format!("SELECT sum(flow.io.bytes) / count(*) AS a, sum(flow.io.bytes) AS b {of_group}");
    assert_eq!(rows(&berlin, &mesh, &computed), [[json!(1_498), json!(600_800)]]);
    // Sums beside the one that orders are cut with it, and no bound is told for them.
    let sums = format!("SELECT sum(flow.io.bytes) AS b, count(*) AS n {of_group}");
    let answer = ask(&berlin, &mesh, &sums).expect("answered");
    let [note] = answer.approximations.as_slice() else { panic!("{:?}", answer.approximations) };
    assert!(note.at_most.is_none() && note.text.contains("other values"), "{note:?}");
    assert!(answer.places.iter().all(|place| place.rows == 10_001), "{:?}", answer.places);
}

#[test]
fn a_window_is_within_the_memory_of_all_questions() {
    let flows: Vec<(u32, u64)> = (0..4_000).map(|n| (n, u64::from(n))).collect();
    let berlin = site("berlin", &flows);
    let pairs = "flows a JOIN flows b ON a.source.port = b.source.port";
    for values in [
        "sum(a.flow.io.bytes + b.flow.io.bytes) OVER ()",
        "ntile(4) OVER ()",
        "last_value(a.flow.io.bytes) OVER (ROWS BETWEEN CURRENT ROW AND 100000000 FOLLOWING)",
    ] {
        let sql = format!(
            "SELECT max(s + x) FROM (SELECT {values} AS s, b.flow.io.bytes AS x FROM {pairs})"
        );
        let refused = ask(&berlin, &alone(), &sql);
        assert!(matches!(&refused, Err(QueryError::TooMuch(_))), "{values}: {refused:?}");
    }
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while berlin.pool.reserved_bytes() > 0 && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(berlin.pool.reserved_bytes(), 0);
    // What a window gives back as it goes is not held.
    for (values, most) in [
        ("row_number() OVER ()", json!(8_000_000)),
        ("lag(a.flow.io.bytes, 1) OVER ()", json!(3_999)),
    ] {
        let sql = format!("SELECT max(s) FROM (SELECT {values} AS s FROM {pairs})");
        let found: Vec<Vec<Value>> = rows(&berlin, &alone(), &sql);
        assert_eq!(found, [[most]], "{values}");
    }
    let few = "SELECT max(s), max(t) FROM (SELECT sum(flow.io.bytes) OVER (PARTITION BY source.port) AS s, sum(flow.io.bytes) OVER (ORDER BY flow.io.bytes) AS t FROM flows)";
    assert_eq!(rows(&berlin, &alone(), few), [[json!(4_000_000), json!(7_998_000)]]);
}
