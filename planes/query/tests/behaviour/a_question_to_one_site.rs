//! SQL over what one site has: files and what is not in a file yet, as one table.

use std::time::Duration;

use holm_query::{QueryError, QueryLimits};
use serde_json::json;

use crate::common::{alone, ask, ask_within, rows, site};

#[test]
fn files_and_memory_are_one_table() {
    let flows: Vec<(u32, u64)> = (0..1_000).map(|n| (n % 7, u64::from(n))).collect();
    let berlin = site("berlin", &flows);
    let mesh = alone();
    let one = |sql: &str| rows(&berlin, &mesh, sql);
    assert_eq!(
        one("SELECT count(*), sum(flow.io.bytes) FROM flows"),
        [[json!(1_000), json!(499_500)]]
    );
    let all = one(
        "SELECT ip_text(source.address) AS a, count(*) FROM flows GROUP BY a ORDER BY a LIMIT 2",
    );
    assert_eq!(all, [[json!("10.0.0.0"), json!(143)], [json!("10.0.0.1"), json!(143)]]);
    let port = "SELECT count(*) FROM flows f WHERE f.source.port = 443 AND in_prefix(source.address, '10.0.0.0/30')";
    let expected = (0..1_000).filter(|n| n % 2 == 1 && n % 7 < 4).count();
    assert_eq!(one(port), [[json!(expected)]]);
    assert_eq!(
        one("SELECT source.address FROM flows WHERE source.address = ip('10.0.0.3') LIMIT 1"),
        [[json!("10.0.0.3")]]
    );
    assert_eq!(one("SELECT DISTINCT site FROM flows"), [[json!("berlin")]]);
    // A quotient with decimals is grouped by all of them.
    let quotients =
        one("SELECT flow.io.bytes / CAST(4 AS DECIMAL(5, 0)) AS q FROM flows ORDER BY q LIMIT 3");
    let grouped = one(
        "SELECT flow.io.bytes / CAST(4 AS DECIMAL(5, 0)) AS q, count(*) FROM flows GROUP BY q ORDER BY q LIMIT 3",
    );
    let keys: Vec<_> = grouped.iter().map(|row| row[0].clone()).collect();
    assert_eq!(quotients.concat(), keys);
    assert!(keys[0] != keys[1] && keys[1] != keys[2], "{keys:?}");
    assert_eq!(
        one("SELECT probe, max(duration_ms) FROM active_results WHERE success GROUP BY probe"),
        [[json!("icmp"), json!(2.0)]]
    );
}

#[test]
fn arithmetic_does_not_wrap() {
    let mesh = alone();
    let berlin = site("berlin", &[(1, 5), (1, u64::MAX - 5), (2, 7)]);
    let one = |sql: &str| rows(&berlin, &mesh, sql);
    let by = "SELECT source.address, min(flow.io.bytes) - max(flow.io.bytes) AS d FROM flows WHERE flow.io.bytes < 100 GROUP BY source.address ORDER BY d";
    assert_eq!(one(by), [[json!("10.0.0.1"), json!(0)], [json!("10.0.0.2"), json!(0)]]);
    assert_eq!(
        one("SELECT flow.io.bytes - 6 AS d FROM flows WHERE flow.io.bytes < 100 ORDER BY d"),
        [[json!(-1)], [json!(1)]]
    );
    let refused = |sql: &str| match ask(&berlin, &mesh, sql) {
        Err(QueryError::Invalid(text)) => text,
        other => panic!("{sql}: {other:?}"),
    };
    for sql in [
        "SELECT flow.io.bytes * flow.io.bytes FROM flows",
        "SELECT max(flow.io.bytes) + max(flow.io.bytes) FROM flows",
        "SELECT count(*) FROM flows WHERE flow.io.bytes + flow.io.bytes > 20",
    ] {
        assert!(refused(sql).contains("cast one side to double"), "{sql}: {}", refused(sql));
    }
    // What does not fit a signed number is said too.
    let text = refused("SELECT flow.io.bytes - 1 FROM flows");
    assert!(text.contains("Int64"), "{text}");
    assert_eq!(
        one(
            "SELECT CASE WHEN flow.io.bytes > 100 THEN 0 ELSE flow.io.bytes * flow.io.bytes END AS n FROM flows ORDER BY n"
        ),
        [[json!(0)], [json!(25)], [json!(49)]]
    );
}

#[test]
fn a_text_is_no_address_and_the_way_out_is_said() {
    let berlin = site("berlin", &[(1, 5)]);
    let asked = ask(&berlin, &alone(), "SELECT 1 FROM flows WHERE source.address = '10.0.0.1'");
    let Err(QueryError::Invalid(text)) = asked else { panic!("{asked:?}") };
    assert!(text.contains("ip('192.0.2.1')"), "{text}");
}

#[test]
fn equal_expressions_one_over_the_other_are_not_one() {
    let berlin = site("berlin", &[(1, 5)]);
    let one = |sql: &str| rows(&berlin, &alone(), sql);
    assert_eq!(
        one("SELECT s + 1 AS s FROM (SELECT s + 1 AS s FROM (SELECT count(*) AS s FROM flows))"),
        [[json!(3)]]
    );
    assert_eq!(
        one(
            "SELECT s + 1 AS s FROM (SELECT s + 1 AS s FROM (SELECT s + 1 AS s FROM (SELECT count(*) AS s FROM flows)))"
        ),
        [[json!(4)]]
    );
}

#[test]
fn a_window_of_time_reads_no_other_files() {
    let flows: Vec<(u32, u64)> = (0..600).map(|n| (n, 1)).collect();
    let berlin = site("berlin", &flows);
    let mesh = alone();
    let count = |from: &str, to: &str| {
        let sql = format!(
            "SELECT count(*) FROM flows WHERE flow.time_received >= '{from}' AND flow.time_received < '{to}'"
        );
        rows(&berlin, &mesh, &sql)
    };
    // Each half of the flows has times from noon on.
    assert_eq!(count("2024-02-29T12:00:00Z", "2024-02-29T12:00:10Z"), [[json!(20)]]);
    assert_eq!(count("2024-02-29T12:00:00Z", "2025-01-01T00:00:00Z"), [[json!(600)]]);
    assert_eq!(count("2024-02-29T13:00:00Z", "2025-01-01T00:00:00Z"), [[json!(0)]]);
    assert_eq!(count("1999-02-28T13:00:00Z", "2024-02-29T12:00:00Z"), [[json!(0)]]);
}

#[test]
fn bounds_hold() {
    let flows: Vec<(u32, u64)> = (0..20_000).map(|n| (n, u64::from(n))).collect();
    let berlin = site("berlin", &flows);
    let mesh = alone();
    let answer = ask(&berlin, &mesh, "SELECT * FROM flows").expect("answered");
    assert!(answer.cut);
    assert_eq!(answer.rows().len(), QueryLimits::default().rows);
    let few = QueryLimits { bytes: 10_000, ..QueryLimits::default() };
    let refused = ask_within(&berlin, &mesh, "SELECT * FROM flows", few);
    assert!(matches!(refused, Err(QueryError::TooMuch(_))), "{refused:?}");
    let short = QueryLimits { time: Duration::from_millis(300), ..QueryLimits::default() };
    let all = "SELECT count(*) FROM flows a, flows b WHERE a.source.port < b.source.port";
    let refused = ask(&berlin, &mesh, all);
    assert!(matches!(refused, Err(QueryError::Refused(_))), "{refused:?}");
    let endless = "SELECT count(*) FROM flows a JOIN flows b ON a.source.port = b.source.port JOIN flows c ON b.source.port = c.source.port";
    let late = ask_within(&berlin, &mesh, endless, short);
    assert!(matches!(late, Err(QueryError::Timeout(_))), "{late:?}");
    // The site answers afterwards.
    assert_eq!(rows(&berlin, &mesh, "SELECT count(*) FROM flows"), [[json!(20_000)]]);
}

#[test]
fn what_is_not_there_is_said() {
    let berlin = site("berlin", &[(1, 1)]);
    for sql in [
        "SELECT * FROM nothing",
        "SELECT nothing FROM flows",
        "SELEC 1",
        "SELECT 'a' + flow.io.bytes FROM flows WHERE",
    ] {
        let refused = ask(&berlin, &alone(), sql);
        assert!(matches!(refused, Err(QueryError::Invalid(_))), "{sql}: {refused:?}");
    }
}

#[test]
fn a_damaged_file_costs_its_rows_and_not_the_answer() {
    let flows: Vec<(u32, u64)> = (0..1_000).map(|n| (n, 1)).collect();
    let berlin = site("berlin", &flows);
    let file = berlin.store.snapshot("flows").expect("a table").files[0].location().to_owned();
    let path = berlin.store.folder().join(file);
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let sql = "SELECT sum(flow.io.bytes) FROM flows";
    // The first question finds it; the next goes without it.
    let first = ask(&berlin, &alone(), sql);
    assert!(first.is_err(), "{first:?}");
    assert_eq!(rows(&berlin, &alone(), sql), [[json!(500)]]);
    assert_eq!(berlin.store.stats().damaged, 1);
}

#[test]
fn a_question_without_an_answer_is_the_askers_mistake() {
    let berlin = site("berlin", &[(1, 0), (2, 5)]);
    for sql in [
        "SELECT CAST('x' AS INT)",
        "SELECT count(*) FROM flows WHERE flow.time_received >= CAST('2026-99-99T00:00:00Z' AS TIMESTAMP WITH TIME ZONE)",
    ] {
        let error = ask(&berlin, &alone(), sql).expect_err(sql);
        assert!(matches!(error, QueryError::Invalid(_)), "{sql}: {error:?}");
    }
}
