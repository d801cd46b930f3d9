//! Values that grow by each other end before they are made, and what is made is counted.

use holm_query::QueryError;
use serde_json::json;

use crate::common::{Site, alone, ask, rows, site};

fn many() -> Site {
    let rows: Vec<(u32, u64)> = (0..8_000).map(|n| (n, 1)).collect();
    site("berlin", &rows)
}

/// `by` of the text that the level below made, so often.
fn nested(levels: usize, first: &str, by: &dyn Fn(&str) -> String) -> String {
    let mut sql = format!("SELECT {first} AS t0 FROM flows");
    for level in 0..levels {
        let from = format!("t{level}");
        sql = format!("SELECT {} AS t{} FROM ({sql})", by(&from), level + 1);
    }
    format!("SELECT max(length(CAST(t{levels} AS VARCHAR))) FROM ({sql})")
}

#[test]
fn whatever_makes_texts_longer_ends_before_it_does() {
    let site = many();
    let port = "CAST(source.port AS VARCHAR)";
    for (levels, first, by) in [
        (22, port, &(|t: &str| format!("encode({t}, 'hex')")) as &dyn Fn(&str) -> String),
        (16, port, &|t| format!("encode(encode({t}, 'base64'), 'base64')")),
        (12, port, &|t| format!("concat_ws({t}, 'a', 'b', 'c', 'd')")),
        (12, port, &|t| format!("OVERLAY({t} PLACING {t} FROM 1 FOR 0)")),
        (12, port, &|t| format!("overlay({t}, {t}, 1, 0)")),
        (12, port, &|t| format!("CAST(regexp_match({t}, '((((.*))))') AS VARCHAR)")),
        // Constants stand in every row.
        (12, "'abcdefgh'", &|t| format!("concat({t}, {t}, {t})")),
    ] {
        let sql = nested(levels, first, by);
        let refused = ask(&site, &alone(), &sql);
        let said =
            matches!(&refused, Err(QueryError::Invalid(text)) if text.contains("longer than"));
        assert!(said, "{refused:?}: {sql}");
    }
    let format = "%c".repeat(4_000);
    let sql = format!("SELECT max(length(to_char(flow.time_received, '{format}'))) FROM flows");
    let refused = ask(&site, &alone(), &sql);
    assert!(matches!(&refused, Err(QueryError::Invalid(_))), "{refused:?}");
    // What is not too long is made.
    assert_eq!(
        rows(
            &site,
            &alone(),
            "SELECT encode('ab', 'hex'), decode('6162', 'hex') = decode('YWI', 'base64'), upper('straße'), to_char(CAST('2026-01-02T03:04:05Z' AS TIMESTAMP), '%Y'), OVERLAY('abc' PLACING 'x' FROM 2)"
        ),
        [[json!("6162"), json!(true), json!("STRASSE"), json!("2026"), json!("axc")]]
    );
}

#[test]
fn types_that_double_are_refused_before_they_are_planned() {
    let site = site("berlin", &[(1, 2)]);
    let doubled = |levels: usize, by: &str| {
        (0..levels).fold("SELECT source.port AS s FROM flows".to_owned(), |sql, _| {
            format!("SELECT {by} AS s FROM ({sql})")
        })
    };
    for by in ["struct(s, s)", "named_struct('a', s, 'b', s)", "{'a': s, 'b': s}"] {
        for levels in [9, 24, 28] {
            let refused = ask(&site, &alone(), &doubled(levels, by));
            assert!(matches!(&refused, Err(QueryError::Invalid(_))), "{by}, {levels}: {refused:?}");
        }
        let text = format!("{:?}", ask(&site, &alone(), &doubled(9, by)));
        assert!(text.contains("made of more than 256 values"), "{text}");
        assert!(ask(&site, &alone(), &doubled(6, by)).is_ok(), "{by}: 64 values");
    }
    for sql in [
        "SELECT arrow_cast(NULL, 'FixedSizeBinary(1000000000)')",
        "SELECT arrow_typeof(arrow_cast(source.port, 'FixedSizeList(1000000000 x Int64)')) FROM flows",
        "SELECT CAST(NULL AS INT[1000000000])",
        "SELECT count(CAST(NULL AS INT[100][100])) FROM flows",
    ] {
        let refused = ask(&site, &alone(), sql);
        let said =
            matches!(&refused, Err(QueryError::Invalid(text)) if text.contains("fixed length"));
        assert!(said, "{refused:?}: {sql}");
    }
}

#[test]
fn constants_do_not_become_more_than_a_question_has() {
    let site = site("berlin", &[(1, 2)]);
    // A time for each two bytes.
    let format = "%c".repeat(40);
    let sql = |columns: usize| {
        let at = |n| format!("to_char(CAST('2026-01-02T03:04:{n}Z' AS TIMESTAMP), '{format}')");
        let names: Vec<String> = (10..10 + columns).map(|n| format!("{} AS c{n}", at(n))).collect();
        format!("SELECT {} FROM flows", names.join(", "))
    };
    assert!(ask(&site, &alone(), &sql(10)).is_ok());
    let refused = ask(&site, &alone(), &sql(30));
    let said =
        matches!(&refused, Err(QueryError::Refused(text)) if text.contains("bytes of constants"));
    assert!(said, "{:?}", refused.map(|answer| answer.rows().len()));
}

#[test]
fn rows_are_no_wider_than_a_batch_of_them_may_be() {
    let site = site("berlin", &[(1, 2)]);
    let columns = |n: usize, column: &str| {
        let names: Vec<String> = (0..n).map(|n| format!("{column} AS c{n}")).collect();
        format!("SELECT {} FROM flows", names.join(", "))
    };
    let wide = "arrow_cast(NULL, 'FixedSizeBinary(1024)')";
    assert!(ask(&site, &alone(), &columns(10, wide)).is_ok());
    assert!(ask(&site, &alone(), &columns(100, "flow.io.bytes")).is_ok());
    let numbers: Vec<String> = (0..2_100).map(|n| n.to_string()).collect();
    let numbers = format!("SELECT {} FROM flows", numbers.join(","));
    for sql in [columns(40, wide), numbers] {
        let refused = ask(&site, &alone(), &sql);
        assert!(
            matches!(&refused, Err(QueryError::Refused(text)) if text.contains("name fewer columns")),
            "{refused:?}: {sql}"
        );
    }
}

#[test]
fn a_pattern_is_one_for_all_rows() {
    let site = many();
    let text = "ip_text(source.address)";
    for by in [
        format!("regexp_like({text}, concat({text}, '{{200}}'))"),
        format!("regexp_count({text}, {text}) > 0"),
        format!("length(regexp_replace({text}, {text}, 'x')) > 0"),
        format!("{text} ~ {text}"),
        format!("{text} !~* {text}"),
    ] {
        let sql = format!("SELECT count(*) FROM flows WHERE {by}");
        let refused = ask(&site, &alone(), &sql);
        let said =
            matches!(&refused, Err(QueryError::Refused(text)) if text.contains("give a constant"));
        assert!(said, "{refused:?}: {sql}");
    }
    let sql = format!("SELECT count(*) FROM flows WHERE {text} ~ concat('^10.0.0.', '7$')");
    assert_eq!(rows(&site, &alone(), &sql), [[json!(1)]]);
}

#[test]
fn texts_are_counted_for_as_long_as_they_are_there() {
    let site = many();
    let eighty = ["ip_text(source.address)"; 80].join(", ");
    let columns: Vec<String> = (0..60).map(|n| format!("concat(t, '{n}') AS c{n}")).collect();
    let sql =
        format!("SELECT {} FROM (SELECT concat({eighty}) AS t FROM flows)", columns.join(", "));
    let refused = ask(&site, &alone(), &sql);
    let said =
        matches!(&refused, Err(QueryError::TooMuch(text)) if text.contains("texts of a question"));
    assert!(said, "{refused:?}");
    for by in ["reverse(t)", "left(t, 100000)", "upper(t)"] {
        let columns: Vec<String> =
            (0..60).map(|n| format!("concat({by}, '{n}') AS c{n}")).collect();
        let sql =
            format!("SELECT {} FROM (SELECT concat({eighty}) AS t FROM flows)", columns.join(", "));
        let refused = ask(&site, &alone(), &sql);
        assert!(matches!(&refused, Err(QueryError::TooMuch(_))), "{by}: {:?}", refused.is_ok());
    }
    // What no function makes is not told of: there may be few of it.
    for by in ["CASE WHEN source.port > {n} THEN t ELSE 'x' END", "nullif(t, '{n}')"] {
        let columns = |most: usize| {
            let of = |n: usize| format!("{} AS c{n}", by.replace("{n}", &n.to_string()));
            let columns: Vec<String> = (0..most).map(of).collect();
            let from = "SELECT source.port, ip_text(source.address) AS t FROM flows LIMIT 5";
            format!("SELECT {} FROM ({from})", columns.join(", "))
        };
        assert!(ask(&site, &alone(), &columns(20)).is_ok(), "{by}");
        let refused = ask(&site, &alone(), &columns(60));
        let said = matches!(&refused, Err(QueryError::Refused(text)) if text.contains("32 may be"));
        assert!(said, "{refused:?}");
    }
    let one = format!("SELECT max(length(concat({eighty}))) FROM flows");
    assert!(ask(&site, &alone(), &one).is_ok());
    for _ in 0..100 {
        if site.pool.reserved_bytes() == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{} bytes are still held", site.pool.reserved_bytes());
}
