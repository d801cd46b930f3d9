//! Whole numbers: wide enough, never another number than the true one, and checked where the rows lie.

use std::sync::Arc;

use holm_query::QueryError;
use serde_json::{Value, json};

use crate::common::{Mesh, Site, alone, ask, rows, site};

fn refused(site: &Site, mesh: &Arc<Mesh>, sql: &str) -> String {
    match ask(site, mesh, sql) {
        Err(QueryError::Invalid(text)) => text,
        other => panic!("{sql}: {other:?}"),
    }
}

/// Two sites: ports 80 and 443 in turns, bytes 100, 200, ….
fn two() -> (Site, Site, Arc<Mesh>) {
    let flows: Vec<(u32, u64)> = (0..20).map(|n| (n, u64::from(n + 1) * 100)).collect();
    let (berlin, tokyo) = (site("berlin", &flows), site("tokyo", &flows));
    let mesh = Arc::new(Mesh::of(&[&tokyo]));
    (berlin, tokyo, mesh)
}

#[test]
fn a_filter_that_computes_goes_to_the_sites_and_they_check_it() {
    let (berlin, _tokyo, mesh) = two();
    for (sql, expected) in [
        ("SELECT source.address FROM flows WHERE flow.io.bytes - source.port > 0", 36),
        ("SELECT source.address FROM flows WHERE flow.io.bytes + source.port > 443", 36),
        ("SELECT source.address FROM flows WHERE source.port * 2 = 160", 20),
        ("SELECT source.address FROM flows WHERE -CAST(source.port AS BIGINT) < -80", 20),
        ("SELECT DISTINCT source.port FROM flows WHERE source.port - flow.io.bytes < 0", 2),
        (
            "SELECT source.address FROM flows WHERE source.port - flow.io.bytes < 0 ORDER BY flow.io.bytes LIMIT 3",
            3,
        ),
        (
            "SELECT stddev(flow.io.bytes) FROM flows WHERE source.port - flow.io.bytes < 0 GROUP BY source.port",
            2,
        ),
        (
            "SELECT a.source.port FROM flows a JOIN flows b ON a.source.address = b.source.address WHERE a.source.port - a.flow.io.bytes > 0 AND a.site = b.site",
            4,
        ),
        (
            "SELECT source.port FROM flows WHERE flow.io.bytes BETWEEN 1000 - source.port AND 1000 + source.port",
            10,
        ),
    ] {
        mesh.asked.lock().expect("no panic").clear();
        let found = rows(&berlin, &mesh, sql);
        assert_eq!(found.len(), expected, "{sql}: {found:?}");
        let asked = mesh.asked.lock().expect("no panic").join("\n");
        assert!(asked.contains("WHERE") && !asked.contains("checked_"), "{sql}: {asked}");
    }
    // It is the site that says what does not fit: the asker has no row of its own.
    let nobody = crate::common::site_of("acme", "berlin");
    let huge = site("tokyo", &[(1, u64::MAX)]);
    let mesh = Arc::new(Mesh::of(&[&huge]));
    let sql = "SELECT source.address FROM flows WHERE flow.io.bytes * source.port > 7";
    let answer = ask(&nobody, &mesh, sql).expect("answered without tokyo");
    let text = format!("{:?}", answer.places);
    assert!(text.contains("more than a whole number holds"), "{text}");
}

#[test]
fn narrow_numbers_have_room() {
    let (berlin, _tokyo, mesh) = two();
    let one = |sql: &str| rows(&berlin, &mesh, sql)[0].clone();
    assert_eq!(one("SELECT max(source.port * source.port) FROM flows"), [json!(443 * 443)]);
    assert_eq!(
        one(
            "SELECT source.port * source.port * source.port AS n FROM flows ORDER BY n DESC LIMIT 1"
        ),
        [json!(443 * 443 * 443)]
    );
    let widest = "SELECT CAST(200 AS TINYINT UNSIGNED) + CAST(200 AS TINYINT UNSIGNED), CAST(4294967295 AS INTEGER UNSIGNED) * CAST(4294967295 AS INTEGER UNSIGNED), CAST(-128 AS TINYINT) - CAST(127 AS TINYINT), CAST(100 AS TINYINT) * CAST(200 AS TINYINT UNSIGNED)";
    assert_eq!(
        one(widest),
        [json!(400), json!(u64::from(u32::MAX) * u64::from(u32::MAX)), json!(-255), json!(20_000)]
    );
    let sums = "SELECT source.port, sum(source.port + source.port) AS s FROM flows WHERE source.port + source.port > 700 GROUP BY source.port";
    assert_eq!(rows(&berlin, &mesh, sums), [[json!(443), json!(886 * 20)]]);
}

#[test]
fn constants_and_groups_do_not_wrap_either() {
    let (berlin, _tokyo, mesh) = two();
    for sql in [
        "SELECT 9223372036854775807 + 1",
        "SELECT 5000000000 * 5000000000",
        "SELECT -9223372036854775807 - 2",
        "SELECT -(-9223372036854775807 - 1)",
        "SELECT count(*) FROM flows WHERE 9223372036854775807 + 1 < 0",
        "SELECT source.address FROM flows WHERE 9223372036854775807 + 1 < 0",
        "SELECT x + x FROM (VALUES (9223372036854775807)) AS t(x)",
        // Grouped where the rows lie.
        "SELECT source.port, sum(flow.io.bytes * CAST(184467440737095516 AS BIGINT UNSIGNED)) FROM flows GROUP BY source.port",
    ] {
        // One site, so that what fails fails the question.
        let text = refused(&berlin, &alone(), sql);
        assert!(text.contains("cast one side to double"), "{sql}: {text}");
        if let Ok(answer) = ask(&berlin, &mesh, sql) {
            panic!("{sql}: {:?}", answer.rows());
        }
    }
    assert_eq!(
        rows(&berlin, &mesh, "SELECT 9223372036854775806 + 1, 3 * 4 - 20"),
        [[json!(i64::MAX), json!(-8)]]
    );
}

#[test]
fn joins_compute_as_everything_else_does() {
    let berlin = site("berlin", &[(1, 4_294_967_296), (2, 7), (3, 4_294_967_296), (4, 9)]);
    let one = |sql: &str| rows(&berlin, &alone(), sql);
    // 443 + 443 and 80 + 80 fit, whatever their columns are.
    let sum = "SELECT count(b.source.port) FROM flows a LEFT JOIN flows b ON a.source.address = b.source.address AND a.source.port * b.source.port > 70000";
    assert_eq!(one(sum), [[json!(2)]]);
    let by_sum = "SELECT count(*) FROM flows a JOIN flows b ON a.source.port + a.source.port = b.source.port + b.source.port";
    assert_eq!(one(by_sum), [[json!(8)]]);
    // 2^32 times itself is nothing in 64 bits, and is not the 0 that the other side is.
    for sql in [
        "SELECT count(*) FROM flows a JOIN flows b ON a.flow.io.bytes * a.flow.io.bytes = b.flow.io.bytes - b.flow.io.bytes",
        "SELECT count(*) FROM flows a JOIN flows b ON a.source.address = b.source.address AND a.flow.io.bytes * b.flow.io.bytes = 0",
    ] {
        let text = refused(&berlin, &alone(), sql);
        assert!(text.contains("cast one side to double"), "{sql}: {text}");
    }
    let null: Vec<Vec<Value>> = one(
        "SELECT b.source.port FROM flows a LEFT JOIN flows b ON a.source.address = b.source.address AND a.source.port - b.source.port <> 0 LIMIT 1",
    );
    assert_eq!(null, [[Value::Null]]);
}

#[test]
fn what_is_divided_by_zero_is_null_wherever_it_stands() {
    let flows: Vec<(u32, u64)> = (0..20).map(|n| (n, u64::from(n % 4))).collect();
    let (berlin, tokyo) = (site("berlin", &flows), site("tokyo", &flows));
    let mesh = Arc::new(Mesh::of(&[&tokyo]));
    for (sql, expected) in [
        (
            "SELECT count(*) FROM flows WHERE flow.io.bytes > 0 AND source.port / flow.io.bytes > 100",
            json!(20),
        ),
        ("SELECT count(*) FROM flows WHERE source.port % flow.io.bytes >= 0", json!(30)),
        ("SELECT count(*) FROM flows WHERE source.port / flow.io.bytes IS NULL", json!(10)),
        ("SELECT max(source.port / flow.io.bytes) FROM flows", json!(443)),
        (
            "SELECT count(*) FILTER (WHERE flow.io.bytes > 0 AND 300 / flow.io.bytes > 100) FROM flows",
            json!(20),
        ),
        (
            "SELECT sum(CASE WHEN flow.io.bytes > 0 THEN source.port / flow.io.bytes ELSE 0 END) FROM flows",
            json!(2 * 5 * (443 + 40 + 147)),
        ),
        (
            "SELECT count(*) FROM (SELECT 6 / flow.io.bytes AS q FROM flows WHERE flow.io.bytes > 0) WHERE q = 3",
            json!(10),
        ),
        (
            "SELECT sum(flow.io.bytes) / count(*) FILTER (WHERE flow.io.bytes > 9) FROM flows",
            Value::Null,
        ),
        ("SELECT 1 / 0", Value::Null),
        ("SELECT count(*) % 0 FROM flows", Value::Null),
        (
            "SELECT count(k) FROM (SELECT count(*) / count(*) AS k FROM flows UNION ALL SELECT 5 % 0)",
            json!(1),
        ),
        (
            "SELECT max(n) FROM (SELECT k, count(*) AS n FROM (SELECT 1 AS k UNION ALL SELECT count(*) / count(*) FROM flows UNION ALL SELECT count(*) % count(*) FROM flows) GROUP BY k)",
            json!(2),
        ),
        (
            "SELECT count(*) FROM flows a JOIN flows b ON a.source.address = b.source.address AND a.source.port / a.flow.io.bytes = b.source.port WHERE a.site = b.site",
            json!(10),
        ),
        (
            "SELECT source.port / (flow.io.bytes - 1) AS q FROM flows GROUP BY 1 ORDER BY 1 DESC NULLS LAST LIMIT 1",
            json!(221),
        ),
    ] {
        assert_eq!(rows(&berlin, &mesh, sql)[0][0], expected, "{sql}");
    }
    mesh.asked.lock().expect("no panic").clear();
    rows(&berlin, &mesh, "SELECT source.address FROM flows WHERE source.port / flow.io.bytes > 1");
    let asked = mesh.asked.lock().expect("no panic").join("\n");
    assert!(asked.contains("WHERE") && !asked.contains("divisor"), "{asked}");
    let edge = "SELECT (-9223372036854775807 - 1) / -1";
    assert!(ask(&berlin, &alone(), edge).is_err(), "no 64 bits hold it");
}

#[test]
fn a_constant_beside_64_bits_leaves_a_number() {
    let (berlin, _tokyo, mesh) = two();
    for (sql, expected) in [
        ("SELECT sum(flow.io.bytes) * 8 FROM flows", json!(336_000)),
        ("SELECT 8 * sum(flow.io.bytes) / 60 FROM flows", json!(5_600)),
        ("SELECT max(flow.io.bytes + 1) % 2 FROM flows", json!(1)),
        ("SELECT max(flow.io.bytes * 8) FROM flows WHERE flow.io.bytes * 8 > 1", json!(16_000)),
        ("SELECT sum(flow.io.bytes) * count(*) FROM flows", json!(1_680_000)),
        ("SELECT min(flow.io.bytes) * -1 FROM flows", json!(-100)),
        ("SELECT max(flow.io.bytes) / 3000 FROM flows", json!(0)),
        ("SELECT max(flow.io.bytes) / CAST(3000 AS DECIMAL(5, 0)) FROM flows", json!("0.6666")),
        ("SELECT max(flow.io.bytes) - 2001 FROM flows", json!(-1)),
        ("SELECT CAST(1.5 AS DECIMAL(5, 2))", json!("1.50")),
        ("SELECT CAST(-3 AS DECIMAL(5, 2))", json!(-3)),
    ] {
        assert_eq!(rows(&berlin, &mesh, sql)[0][0], expected, "{sql}");
    }
}

#[test]
fn a_whole_number_by_a_whole_one_is_whole() {
    let (berlin, _tokyo, mesh) = two();
    // As a column, at the sites and at the asker: 2000 and 443 are the largest of theirs.
    for (sql, expected) in [
        ("SELECT max(flow.io.bytes / 1000), max(source.port / 1000) FROM flows", json!([2, 0])),
        ("SELECT max(flow.io.bytes) / 1500, max(source.port) / 150 FROM flows", json!([1, 2])),
        ("SELECT sum(flow.io.bytes) / count(*), count(*) / 3 FROM flows", json!([1_050, 13])),
        (
            "SELECT sum(flow.io.bytes) / sum(source.port), sum(source.port) / 7 FROM flows",
            json!([4, 1_494]),
        ),
        ("SELECT max(flow.io.bytes) / -1500, min(flow.io.bytes) % -70 FROM flows", json!([-1, 30])),
        (
            "SELECT 1000 / max(flow.io.bytes), 100000 / max(flow.io.bytes), -2001 / 1000 FROM flows",
            json!([0, 50, -2]),
        ),
        ("SELECT sum(flow.io.bytes) * 8 / 60 / 1000 FROM flows", json!([5])),
        (
            "SELECT max(flow.io.bytes / to_unixtime(flow.time_received)), max(to_unixtime(flow.time_received) / flow.io.bytes) FROM flows",
            json!([0, 17_092_080]),
        ),
        (
            "SELECT CAST(200 AS TINYINT UNSIGNED) / CAST(3 AS BIGINT UNSIGNED), CAST(-7 AS TINYINT) / CAST(2 AS BIGINT UNSIGNED) AS b, CAST(-7 AS SMALLINT) / 2 AS c",
            json!([66, -3, -3]),
        ),
        (
            "SELECT CAST(7 AS INTEGER UNSIGNED) / CAST(2 AS SMALLINT), CAST(18446744073709551615 AS BIGINT UNSIGNED) / 2",
            json!([3, 9_223_372_036_854_775_807_u64]),
        ),
        // The other way.
        (
            "SELECT max(flow.io.bytes) / 1500.0, max(source.port) * 1.0 / 100, sum(CAST(flow.io.bytes AS DOUBLE)) / 80000 FROM flows",
            json!([2_000.0 / 1_500.0, 4.43, 0.525]),
        ),
    ] {
        let asked = [ask(&berlin, &mesh, sql)];
        for answer in asked {
            let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(Value::from(answer.rows()[0].clone()), expected, "{sql}");
        }
    }
    let by = "SELECT flow.io.bytes / 1000 AS k, count(*) FROM flows GROUP BY 1 ORDER BY 1";
    assert_eq!(
        rows(&berlin, &mesh, by),
        [[json!(0), json!(18)], [json!(1), json!(20)], [json!(2), json!(2)]]
    );
    let kept =
        "SELECT count(*) FROM flows WHERE flow.io.bytes / 1000 = 1 AND flow.io.bytes / 300 > 4";
    assert_eq!(rows(&berlin, &mesh, kept), [[json!(10)]]);
}

#[test]
fn a_sum_that_comes_to_the_end_of_its_numbers_is_told() {
    let berlin = site("berlin", &[(1, u64::MAX - 5), (2, 3), (1, 4), (2, 9)]);
    let tokyo = site("tokyo", &[(1, 100), (2, 3), (3, 7), (3, 8)]);
    let mesh = Arc::new(Mesh::of(&[&tokyo]));
    for (mesh, expected) in [(&alone(), [u64::MAX - 1, 12]), (&mesh, [u64::MAX, 15])] {
        let sql =
            "SELECT source.address, sum(flow.io.bytes) FROM flows GROUP BY 1 ORDER BY 1 LIMIT 2";
        let answer = ask(&berlin, mesh, sql).expect("answered");
        let found: Vec<Value> = answer.rows().into_iter().map(|row| row[1].clone()).collect();
        assert_eq!(found, expected.map(Value::from));
        // One that fits, as it does at one site, is exact.
        let told: Vec<&str> = answer.approximations.iter().map(|a| a.method.as_str()).collect();
        let ended = expected[0] == u64::MAX;
        assert_eq!(told, if ended { vec!["sum"] } else { vec![] }, "{:?}", answer.approximations);
    }
    // Grouped at a site or of rows that were fetched, of all rows, of signed numbers, and as it goes.
    for sql in [
        "SELECT sum(flow.io.bytes) FROM flows",
        "SELECT source.port, sum(flow.io.bytes * 1) AS b FROM flows GROUP BY 1 ORDER BY b DESC LIMIT 1",
        "SELECT sum(flow.io.bytes), stddev(flow.io.bytes) FROM flows",
        "SELECT source.port, sum(flow.io.bytes), stddev(flow.io.bytes) FROM flows GROUP BY 1",
        "SELECT sum(CAST(flow.io.bytes / 2 AS BIGINT)) FROM flows",
        "SELECT source.port, sum(CAST(flow.io.bytes / 2 AS BIGINT)) FROM flows GROUP BY 1",
        "SELECT sum(flow.io.bytes) OVER (ORDER BY flow.io.bytes) FROM flows",
    ] {
        let answer = ask(&berlin, &mesh, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let [note] = answer.approximations.as_slice() else { panic!("{sql}: {answer:?}") };
        assert_eq!((note.method.as_str(), note.at_most), ("sum", None), "{sql}");
    }
    for sql in [
        "SELECT sum(flow.io.bytes) FROM flows WHERE flow.io.bytes < 1000",
        "SELECT sum(CAST(flow.io.bytes AS DOUBLE)), max(flow.io.bytes) FROM flows",
        "SELECT sum(source.port), count(*) FROM flows",
    ] {
        let answer = ask(&berlin, &mesh, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(answer.approximations.is_empty(), "{sql}: {:?}", answer.approximations);
    }
}
