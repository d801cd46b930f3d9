//! No trick of SQL shows what is not the tenant's own, or does more than read.

use std::sync::Arc;

use holm_model::{Millis, Row};
use holm_query::QueryError;

use crate::common::{Mesh, NOON, alone, ask, site_of};

const SECRET: &str = "hoard-of-the-other-tenant";

#[test]
fn no_question_sees_another_tenants_rows() {
    let (acme, other) = (site_of("acme", "berlin"), site_of("other", "berlin"));
    let row = |probe: &str| Row::new("active_results", Millis(NOON as u64)).with("probe", probe);
    acme.store.append(row("own"));
    other.store.append(row(SECRET));
    for site in [&acme, &other] {
        site.store.roll();
    }
    let secret_file = other.store.snapshot("active_results").expect("a table").files[0].clone();
    let path = other.store.folder().join(secret_file.location());
    let path = path.to_string_lossy();
    for sql in [
        "SELECT * FROM active_results".to_owned(),
        "SELECT * FROM other.active_results".to_owned(),
        "SELECT * FROM \"other\".\"public\".\"active_results\"".to_owned(),
        "SELECT * FROM holm.public.active_results".to_owned(),
        "SELECT * FROM information_schema.tables".to_owned(),
        "SELECT * FROM information_schema.df_settings".to_owned(),
        "SHOW TABLES".to_owned(),
        format!("SELECT * FROM '{path}'"),
        format!("SELECT * FROM \"{path}\""),
        format!("SELECT * FROM \"file://{path}\""),
        format!("SELECT * FROM read_parquet('{path}')"),
        format!("SELECT * FROM parquet_metadata('{path}')"),
        format!("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{path}'"),
        format!("COPY active_results TO '{path}.csv'"),
        "SET datafusion.catalog.information_schema = true".to_owned(),
        "EXPLAIN SELECT * FROM active_results".to_owned(),
        "WITH t AS (SELECT * FROM active_results) SELECT * FROM t, other.active_results".to_owned(),
        "SELECT * FROM active_results UNION ALL SELECT * FROM other.active_results".to_owned(),
        "SELECT (SELECT probe FROM other.active_results LIMIT 1)".to_owned(),
        "SELECT * FROM active_results WHERE probe IN (SELECT probe FROM other.active_results)"
            .to_owned(),
        "SELECT '; SELECT * FROM other.active_results' FROM active_results".to_owned(),
        "SELECT * FROM active_results; SELECT * FROM other.active_results".to_owned(),
        "SELECT * FROM active_results WHERE 1 = 1 OR site <> 'berlin' --".to_owned(),
    ] {
        if let Ok(answer) = ask(&acme, &alone(), &sql) {
            let text = format!("{:?}", answer.rows());
            assert!(!text.contains(SECRET), "{sql}: {text}");
        }
    }
    // Nothing was written, and the other tenant's own question still sees its row.
    let own = ask(&other, &alone(), "SELECT probe FROM active_results").expect("answered");
    assert_eq!(own.rows()[0][0], SECRET);
}

#[test]
fn a_part_from_a_peer_passes_the_same_gate() {
    let acme = site_of("acme", "berlin");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for sql in [
        "COPY active_results TO '/tmp/x'",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM a.b",
        "CREATE TABLE t AS SELECT 1",
        "SELECT 1; SELECT 2",
    ] {
        let asked = holm_query::Part {
            sql: sql.to_owned(),
            time_ms: 1_000,
            bytes: 1 << 20,
            tables: Default::default(),
        };
        let part = acme.engine.answer_part(&asked, Default::default(), |_| async { true });
        let refused = runtime.block_on(part);
        let said_no = matches!(refused, Err(QueryError::Refused(_) | QueryError::Invalid(_)));
        assert!(said_no, "{sql}: {refused:?}");
    }
}

#[test]
fn functions_that_make_much_of_nothing_are_not_there() {
    let acme = site_of("acme", "berlin");
    for (sql, instead) in [
        ("SELECT repeat('x', 1000000000)", "use concat"),
        ("SELECT lpad('x', 2000000000, 'y')", "use concat"),
        ("SELECT REPLACE('aaaa', 'a', 'bbbb')", "use regexp_replace"),
        ("SELECT array_agg(probe) FROM active_results", "group by the value"),
        ("SELECT input_file_name() FROM active_results", "is left out"),
        ("SELECT coutn(*) FROM active_results", "Did you mean"),
    ] {
        let refused = ask(&acme, &alone(), sql);
        let said = matches!(&refused, Err(QueryError::Invalid(text)) if text.contains(instead));
        assert!(said, "{sql}: {refused:?}");
    }
}

#[test]
fn a_question_that_would_fill_the_memory_is_ended() {
    let acme = site_of("acme", "berlin");
    let rows: Vec<(u32, u64)> = (0..30_000).map(|n| (n, 1)).collect();
    acme.store.append_batch("flows", crate::common::flows(&rows)).expect("room");
    acme.store.flush();
    let mesh = Arc::new(Mesh::default());
    let limits =
        holm_query::QueryLimits { time: std::time::Duration::from_secs(5), ..Default::default() };
    let sql = "SELECT a.source.address, b.source.address FROM flows a JOIN flows b ON a.source.port = b.source.port ORDER BY 2, 1";
    let ended = crate::common::ask_within(&acme, &mesh, sql, limits);
    let said = matches!(ended, Err(QueryError::TooMuch(_) | QueryError::Timeout(_)));
    assert!(said, "{ended:?}");
}

#[test]
fn who_claims_more_than_64_bits_hold_is_first_and_does_not_vanish() {
    let (small, liar) = (1, 2);
    let claims = [(small, 1_000), (liar, 1 << 63), (liar, 1 << 63)];
    let (berlin, tokyo) =
        (crate::common::site("berlin", &claims), crate::common::site("tokyo", &claims));
    let mesh = Arc::new(Mesh::of(&[&tokyo]));
    for (by, place) in [("one site", alone()), ("two sites", mesh)] {
        for sql in [
            "SELECT sum(flow.io.bytes) AS b FROM flows GROUP BY source.address ORDER BY b DESC LIMIT 1",
            "SELECT sum(flow.io.bytes) AS b FROM flows GROUP BY source.address, length(ip_text(source.address)) ORDER BY b DESC LIMIT 1",
            "SELECT sum(flow.io.bytes) FROM flows",
            "SELECT sum(flow.io.bytes) OVER () FROM flows LIMIT 1",
        ] {
            let answer = ask(&berlin, &place, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(answer.rows()[0][0], serde_json::json!(u64::MAX), "{by}: {sql}");
        }
    }
}

#[test]
fn a_question_whose_time_is_over_is_worked_on_no_more() {
    let rows: Vec<(u32, u64)> = (0..400_000).map(|n| (n, u64::from(n))).collect();
    let acme = crate::common::site("berlin", &rows);
    let limits = holm_query::QueryLimits {
        time: std::time::Duration::from_millis(300),
        ..Default::default()
    };
    let text = "regexp_replace(ip_text(source.address), '[0-9]*[.]([0-9]*)[.]([0-9]*)', '\\2.\\1')";
    for sql in [
        // Billions of pairs, and none of them is one.
        "SELECT count(*) FROM flows a JOIN flows b ON a.source.port = b.source.port WHERE (a.flow.io.bytes + b.flow.io.bytes) % 7 > 6 + a.source.port".to_owned(),
        // Pairs that are thrown away by what stands above the join.
        "SELECT count(*) FROM (SELECT a.flow.io.bytes AS x, row_number() OVER () AS n FROM flows a JOIN flows b ON a.source.port = b.source.port) WHERE x * n < 0".to_owned(),
        // One large row group through functions that take their time, counted by us and by the library.
        format!("SELECT sum(length({text})) FROM flows"),
        format!("SELECT {text} AS t FROM flows ORDER BY t LIMIT 1"),
    ] {
        // Two that were not stopped would have the third refused.
        for _ in 0..3 {
            let late = crate::common::ask_within(&acme, &alone(), &sql, limits);
            assert!(matches!(late, Err(QueryError::Timeout(_))), "{sql}: {late:?}");
            std::thread::sleep(std::time::Duration::from_millis(1_500));
        }
        assert_eq!(acme.pool.stopping(), 0, "{sql}");
    }
    let count = ask(&acme, &alone(), "SELECT count(*) FROM flows").expect("answered");
    assert_eq!(count.rows()[0][0], 400_000);
}

#[test]
fn what_cannot_be_meant_is_told_as_the_askers_mistake() {
    let site = crate::common::site("berlin", &[(1, 2), (3, 4)]);
    for sql in [
        "SELECT count(*) FROM flows WHERE time > '2026-13-45'",
        "SELECT date_trunc('fortnight', time) FROM flows",
        "SELECT count(*) FROM flows WHERE source.address = ip('zz')",
        "SELECT count(*) FROM flows WHERE in_prefix(source.address, '10.0.0.0')",
        "SELECT regexp_replace(ip_text(source.address), '(', 'x') FROM flows",
        "SELECT to_timestamp('nope')",
        "SELECT abs(-9223372036854775807 - 1)",
        "SELECT lcm(9223372036854775807, 9223372036854775806)",
    ] {
        let refused = ask(&site, &alone(), sql);
        assert!(matches!(refused, Err(QueryError::Invalid(_))), "{sql}: {refused:?}");
    }
}

#[test]
fn texts_that_grow_by_each_other_end_before_they_are_made() {
    let rows: Vec<(u32, u64)> = (0..2_000).map(|n| (n, 1)).collect();
    let site = crate::common::site("berlin", &rows);
    let eight = |name: &str| [name; 8].join(", ");
    let nested = |by: &dyn Fn(&str) -> String| {
        let mut sql = "SELECT ip_text(source.address) AS t0 FROM flows".to_owned();
        for level in 0..9 {
            let from = format!("t{level}");
            sql = format!("SELECT {} AS t{} FROM ({sql})", by(&from), level + 1);
        }
        format!("SELECT max(length(t9)) FROM ({sql})")
    };
    for sql in [
        nested(&|text| format!("concat({})", eight(text))),
        nested(&|text| format!("concat_ws('-', {})", eight(text))),
        nested(&|text| [text; 8].join(" || ")),
        nested(&|text| format!("regexp_replace({text}, '.', 'xxxxxxxx', 'g')")),
    ] {
        let refused = ask(&site, &alone(), &sql);
        assert!(
            matches!(&refused, Err(QueryError::Invalid(text)) if text.contains("longer than")),
            "{sql}: {refused:?}"
        );
    }
    for sql in [
        "SELECT string_agg(ip_text(source.address), ',') FROM flows",
        "SELECT array_agg(flow.io.bytes) FROM flows",
    ] {
        assert!(matches!(ask(&site, &alone(), sql), Err(QueryError::Invalid(_))), "{sql}");
    }
    let joined = "SELECT 'a' || 'b' || 1, 'a' || NULL, concat('a', NULL), ip_text(source.address) || ':' || source.port FROM flows ORDER BY 4 LIMIT 1";
    let rows = ask(&site, &alone(), joined).expect("answered").rows();
    assert_eq!(
        (&rows[0][0], &rows[0][1], &rows[0][2]),
        (&"ab1".into(), &serde_json::Value::Null, &"a".into())
    );
    assert!(rows[0][3].as_str().is_some_and(|text| text.contains(':')), "{rows:?}");
}

#[test]
fn a_part_is_as_large_as_its_rows() {
    let rows: Vec<(u32, u64)> = (0..300_000).map(|n| (n, 1)).collect();
    let (berlin, tokyo) =
        (crate::common::site("berlin", &rows), crate::common::site("tokyo", &rows));
    let mesh = Arc::new(Mesh::of(&[&tokyo]));
    let sql = "SELECT count(*), sum(s) FROM (SELECT source.address, source.port, sum(flow.io.bytes) AS s FROM flows GROUP BY 1, 2)";
    let answer = ask(&berlin, &mesh, sql).expect("300,000 groups are 12 MB");
    assert_eq!(answer.rows()[0][1], 600_000);
}

#[test]
fn a_question_as_deep_as_may_be_does_not_end_the_node() {
    let site = crate::common::site("berlin", &[(1, 2)]);
    let nested = |levels: usize| {
        (0..levels).fold("SELECT flow.io.bytes AS n0 FROM flows".to_owned(), |sql, level| {
            format!("SELECT abs(n{level}) AS n{} FROM ({sql}) WHERE n{level} > 0", level + 1)
        })
    };
    for levels in [8, 20, 100] {
        match ask(&site, &alone(), &nested(levels)) {
            Ok(answer) => assert_eq!(answer.rows()[0][0], 2, "{levels}"),
            Err(QueryError::Invalid(_) | QueryError::Refused(_) | QueryError::TooMuch(_)) => {}
            Err(other) => panic!("{levels}: {other:?}"),
        }
    }
    let deep = format!("SELECT {}flow.io.bytes{} FROM flows", "abs(".repeat(40), ")".repeat(40));
    let _ = ask(&site, &alone(), &deep);
    let chain = format!("SELECT {} FROM flows", ["flow.io.bytes"; 300].join(" + "));
    let _ = ask(&site, &alone(), &chain);
    let chain = format!("SELECT {} FROM flows", ["'a'"; 2_000].join(" || "));
    let _ = ask(&site, &alone(), &chain);
    let chain = format!("SELECT 1 FROM flows WHERE {}", ["flow.io.bytes = 1"; 300].join(" OR "));
    let _ = ask(&site, &alone(), &chain);
    assert_eq!(ask(&site, &alone(), "SELECT count(*) FROM flows").expect("alive").rows()[0][0], 1);
}
