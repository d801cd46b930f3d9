//! One question to all sites: the same answer as if all rows lay in one place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use holm_query::{Encoder, PlaceState, QueryLimits};
use serde_json::{Value, json};

use crate::common::{Manner, Mesh, alone, ask, ask_within, rows, site};

fn spread(seed: u32, count: u32) -> Vec<(u32, u64)> {
    (0..count)
        .map(|n| (n.wrapping_mul(seed) % 50, u64::from(n.wrapping_mul(31 * seed) % 1_000)))
        .collect()
}

/// Each question gives the same from three sites as from one that has all rows.
#[test]
fn the_answer_is_that_of_all_rows_in_one_place() {
    let parts = [spread(3, 700), spread(7, 500), spread(11, 900)];
    let sites: Vec<_> = ["berlin", "tokyo", "lima"]
        .iter()
        .zip(&parts)
        .map(|(name, rows)| site(name, rows))
        .collect();
    let whole = site("all", &parts.concat());
    let mesh = Arc::new(Mesh::of(&[&sites[1], &sites[2]]));
    for (sql, grouped) in [
        (
            "SELECT count(*), sum(flow.io.bytes), min(flow.io.bytes), max(flow.io.bytes), avg(flow.io.bytes) FROM flows",
            true,
        ),
        (
            "SELECT source.port, count(*) AS n, avg(flow.io.bytes) FROM flows GROUP BY source.port ORDER BY source.port",
            true,
        ),
        (
            "SELECT source.address, sum(flow.io.bytes) AS b FROM flows GROUP BY source.address ORDER BY b DESC, source.address LIMIT 5",
            true,
        ),
        (
            "SELECT ip_text(source.address) AS a, max(flow.io.bytes) - min(flow.io.bytes) AS r FROM flows WHERE source.port = 80 GROUP BY 1 HAVING count(*) > 3 ORDER BY r DESC, a LIMIT 7",
            true,
        ),
        (
            "SELECT flow.io.bytes / 7 AS k, count(*), sum(flow.io.bytes / 7) FROM flows GROUP BY k ORDER BY k LIMIT 20",
            false,
        ),
        ("SELECT count(DISTINCT source.address) FROM flows", true),
        (
            "SELECT source.port, count(DISTINCT source.address) FROM flows GROUP BY source.port ORDER BY 1",
            true,
        ),
        (
            "SELECT sum(flow.io.bytes) FILTER (WHERE source.port = 80), count(*) FILTER (WHERE flow.io.bytes > 500) FROM flows",
            true,
        ),
        (
            "SELECT date_trunc('day', flow.time_received) AS m, sum(flow.io.bytes) FROM flows GROUP BY m ORDER BY m LIMIT 20",
            true,
        ),
        (
            "SELECT a, sum(b) FROM (SELECT source.address AS a, flow.io.bytes * 2 AS b FROM flows WHERE flow.io.bytes > 10) t GROUP BY a ORDER BY a LIMIT 9",
            true,
        ),
        ("SELECT flow.io.bytes FROM flows ORDER BY flow.io.bytes DESC LIMIT 30 OFFSET 5", true),
        (
            "SELECT count(*) FROM flows WHERE flow.io.bytes > (SELECT avg(flow.io.bytes) FROM flows)",
            false,
        ),
        ("SELECT stddev(flow.io.bytes), sum(DISTINCT flow.io.bytes) FROM flows", false),
        (
            "SELECT x.n FROM (SELECT source.port AS p, count(*) AS n FROM flows GROUP BY 1) x JOIN (SELECT DISTINCT source.port AS p FROM flows) y ON x.p = y.p ORDER BY 1",
            false,
        ),
        (
            "SELECT count(*) FROM (SELECT flow.io.bytes FROM flows UNION ALL SELECT flow.io.bytes FROM flows) u",
            false,
        ),
        (
            "SELECT source.address, flow.io.bytes, row_number() OVER (PARTITION BY source.port ORDER BY flow.io.bytes, source.address) AS k FROM flows ORDER BY k, 2, 1 LIMIT 4",
            false,
        ),
    ] {
        mesh.asked.lock().expect("no panic").clear();
        let answer = match ask(&sites[0], &mesh, sql) {
            Ok(answer) => answer,
            Err(error) => panic!("{sql}: {error}"),
        };
        assert_eq!(near(answer.rows()), near(rows(&whole, &alone(), sql)), "{sql}");
        assert!(answer.approximations.is_empty(), "{sql}");
        assert!(answer.places.iter().all(|place| place.state == PlaceState::Answered));
        let sent: u64 = answer.places.iter().map(|place| place.rows).sum();
        let asked = mesh.asked.lock().expect("no panic").join("\n");
        assert_eq!(grouped, sent < 400, "{sql}: {sent} rows came\n{asked}");
    }
}

/// Floats up to their last digits.
fn near(rows: Vec<Vec<Value>>) -> Vec<Vec<String>> {
    let text = |value: Value| match value.as_f64() {
        Some(number) if value.is_f64() => format!("{number:.6}"),
        _ => value.to_string(),
    };
    rows.into_iter().map(|row| row.into_iter().map(text).collect()).collect()
}

#[test]
fn every_row_knows_its_site() {
    let berlin = site("berlin", &[(1, 10), (2, 20)]);
    let tokyo = site("tokyo", &[(1, 5)]);
    let mesh = Arc::new(Mesh::of(&[&tokyo]));
    let sql = "SELECT site, sum(flow.io.bytes) FROM flows GROUP BY site ORDER BY site";
    assert_eq!(
        rows(&berlin, &mesh, sql),
        [[json!("berlin"), json!(30)], [json!("tokyo"), json!(5)]]
    );
    let sql = "SELECT count(*) FROM flows WHERE site = 'tokyo'";
    assert_eq!(rows(&berlin, &mesh, sql), [[json!(1)]]);
}

#[test]
fn who_does_not_answer_in_time_is_named_and_holds_up_nobody() {
    let berlin = site("berlin", &[(1, 10)]);
    let tokyo = site("tokyo", &[(1, 5)]);
    let mesh = Mesh::of(&[&tokyo])
        .with("lima", Manner::Silent)
        .with("oslo", Manner::Refuses)
        .with("rome", Manner::Says(vec![Bytes::from_static(b"not a stream of batches at all")]))
        .with("cork", Manner::Says(Vec::new()));
    let limits = QueryLimits { time: Duration::from_secs(3), ..QueryLimits::default() };
    let sql = "SELECT sum(flow.io.bytes) FROM flows";
    let answer = ask_within(&berlin, &Arc::new(mesh), sql, limits).expect("answered");
    assert_eq!(answer.rows(), [[json!(15)]]);
    let states: BTreeMap<String, PlaceState> =
        answer.places.iter().map(|p| (p.place.site.to_string(), p.state)).collect();
    assert_eq!(states["berlin"], PlaceState::Answered);
    assert_eq!(states["tokyo"], PlaceState::Answered);
    assert_eq!(states["lima"], PlaceState::Late);
    for liar in ["oslo", "rome", "cork"] {
        assert_eq!(states[liar], PlaceState::Failed, "{liar}");
    }
    let why = |name: &str| {
        let found = answer.places.iter().find(|p| p.place.site.as_str() == name);
        found.and_then(|place| place.error.clone()).unwrap_or_default()
    };
    assert!(why("lima").contains("did not answer within"), "{}", why("lima"));
    assert_eq!(why("oslo"), "no grant");
}

#[test]
fn the_largest_groups_come_with_the_bound_of_their_error() {
    // Two sites with more groups than they send: the tail of each is cut.
    let tail = |seed: u32| -> Vec<(u32, u64)> {
        let mut rows: Vec<(u32, u64)> =
            (0..12_000).map(|n| (1_000 + n, 1 + u64::from(n % 3))).collect();
        rows.extend((0..20).map(|n| (n, 1_000 * u64::from(n + seed))));
        rows
    };
    let (berlin, tokyo) = (site("berlin", &tail(5)), site("tokyo", &tail(9)));
    let mesh = Arc::new(Mesh::of(&[&tokyo]));
    let sql = "SELECT source.address, sum(flow.io.bytes) AS b FROM flows GROUP BY 1 ORDER BY b DESC LIMIT 10";
    let answer = ask(&berlin, &mesh, sql).expect("answered");
    let expected: Vec<Vec<Value>> = (10..20_u32)
        .rev()
        .map(|n| vec![json!(format!("10.0.0.{n}")), json!(1_000 * (2 * n + 14))])
        .collect();
    assert_eq!(answer.rows(), expected);
    let [note] = answer.approximations.as_slice() else { panic!("{:?}", answer.approximations) };
    assert!(note.at_most.is_some_and(|most| (2.0..=6.0).contains(&most)), "{note:?}");
    assert!(answer.places.iter().all(|place| place.rows == 10_001), "{:?}", answer.places);
}

#[test]
fn sketches_are_made_at_the_sites_and_give_what_one_place_would() {
    let parts = [spread(3, 700), spread(7, 500), spread(11, 900)];
    let sites: Vec<_> = ["berlin", "tokyo", "lima"]
        .iter()
        .zip(&parts)
        .map(|(name, rows)| site(name, rows))
        .collect();
    let whole = site("all", &parts.concat());
    let mesh = Arc::new(Mesh::of(&[&sites[1], &sites[2]]));
    for (sql, methods) in [
        ("SELECT approx_distinct(source.address), count(*) FROM flows", vec!["hyperloglog"]),
        (
            "SELECT source.port, approx_distinct(flow.io.bytes), approx_median(flow.io.bytes), approx_percentile_cont(0.9) WITHIN GROUP (ORDER BY flow.io.bytes) FROM flows GROUP BY 1 ORDER BY 1",
            vec!["hyperloglog", "ddsketch", "ddsketch"],
        ),
        (
            "SELECT approx_percentile_cont(flow.io.bytes, 0.99), approx_percentile_cont(flow.io.bytes, 0.01) FILTER (WHERE source.port = 80) FROM flows",
            vec!["ddsketch"],
        ),
        (
            "SELECT approx_distinct(source.address), approx_median(flow.io.bytes) FROM flows WHERE flow.io.bytes > 1000000",
            vec!["hyperloglog", "ddsketch"],
        ),
    ] {
        let answer = ask(&sites[0], &mesh, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(answer.rows(), rows(&whole, &alone(), sql), "{sql}");
        let sent: u64 = answer.places.iter().map(|place| place.rows).sum();
        assert!(sent <= 6, "{sql}: {sent} rows came");
        let labels: Vec<&str> = answer.approximations.iter().map(|a| a.method.as_str()).collect();
        let mut methods = methods;
        methods.sort_unstable();
        let mut sorted = labels.clone();
        sorted.sort_unstable();
        methods.dedup();
        sorted.dedup();
        assert_eq!(sorted, methods, "{sql}");
        assert!(answer.approximations.iter().all(|a| a.relative.is_some()));
    }
}

#[test]
fn sketches_keep_their_bounds() {
    let parts = [spread(3, 7_000), spread(7, 5_000)];
    let (berlin, tokyo) = (site("berlin", &parts[0]), site("tokyo", &parts[1]));
    let mesh = Arc::new(Mesh::of(&[&tokyo]));
    let mut exact: Vec<u64> = parts.concat().iter().map(|(_, bytes)| *bytes).collect();
    exact.sort_unstable();
    for q in [0.0, 0.05, 0.5, 0.95, 0.99, 1.0] {
        for (order, q_up) in [("ASC", q), ("DESC", 1.0 - q)] {
            let sql = format!(
                "SELECT approx_percentile_cont({q}) WITHIN GROUP (ORDER BY flow.io.bytes {order}) FROM flows"
            );
            let found = rows(&berlin, &mesh, &sql)[0][0].as_f64().expect("a number");
            let at = exact[(q_up * (exact.len() - 1) as f64) as usize] as f64;
            assert!((found - at).abs() <= at * 0.010_001, "{sql}: {found} for {at}");
            // The same, asked of one site with rows fetched: DataFusion plans it.
            let alone = rows(&berlin, &alone(), &format!("{sql} WHERE source.port > 0"));
            assert!(alone[0][0].is_f64());
        }
    }
    let sql = "SELECT approx_distinct(flow.io.bytes) FROM flows";
    let found = rows(&berlin, &mesh, sql)[0][0].as_f64().expect("a number");
    exact.dedup();
    let off = (found / exact.len() as f64 - 1.0).abs();
    assert!(off < 5.0 * 0.016_25, "{found} for {}", exact.len());
    for bad in [
        "approx_percentile_cont(flow.io.bytes, 1.5)",
        "approx_percentile_cont(flow.io.bytes, source.port)",
        "approx_median(source.address)",
    ] {
        assert!(ask(&berlin, &mesh, &format!("SELECT {bad} FROM flows")).is_err(), "{bad}");
    }
}

/// A site that sends something else for a sketch is named, and the others' answer stands.
#[test]
fn a_sketch_that_is_none_does_not_count() {
    let berlin = site("berlin", &spread(3, 100));
    let schema = Arc::new(Schema::new(vec![Field::new("p0", DataType::Binary, true)]));
    let mut mesh = Mesh::default();
    for (name, bytes) in [
        ("rome", vec![1, 255, 255, 255]),
        ("cork", [vec![2], vec![200; 4_096]].concat()),
        ("oslo", vec![9]),
    ] {
        let mut encoder = Encoder::new(&schema).expect("an encoder");
        let column: ArrayRef = Arc::new(BinaryArray::from_iter_values([bytes]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).expect("a batch");
        let pieces = [encoder.batch(&batch), encoder.finish()];
        let pieces = pieces.into_iter().map(|piece| Bytes::from(piece.expect("encoded")));
        mesh = mesh.with(name, Manner::Says(pieces.collect()));
    }
    let sql = "SELECT approx_distinct(source.address) FROM flows";
    let answer = ask(&berlin, &Arc::new(mesh), sql).expect("answered");
    assert_eq!(answer.rows(), rows(&berlin, &alone(), sql));
    for place in answer.places.iter().filter(|place| place.place.site.as_str() != "berlin") {
        assert_eq!(place.state, PlaceState::Failed, "{place:?}");
        assert!(place.error.as_ref().is_some_and(|e| e.contains("sketch")), "{place:?}");
    }
}
