//! A table that gained columns reads its older files, and nodes of two versions answer one question.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use holm_query::PlaceState;
use serde_json::json;

use crate::common::{Mesh, Site, alone, ask, flows, rows, schema, site, site_in};

/// The columns of flows as a later version has them.
fn later() -> SchemaRef {
    let mut fields: Vec<_> = schema().fields().iter().cloned().collect();
    let words = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
    fields.push(Arc::new(Field::new("source.network.name", words, true)));
    fields.push(Arc::new(Field::new("source.as.number", DataType::UInt32, true)));
    Arc::new(Schema::new(fields))
}

fn later_flows(given: &[(u32, u64)]) -> RecordBatch {
    let old = flows(given);
    let names: DictionaryArray<UInt32Type> = given.iter().map(|_| Some("office")).collect();
    let mut columns: Vec<ArrayRef> = old.columns().to_vec();
    columns.push(Arc::new(names));
    columns.push(Arc::new(arrow::array::UInt32Array::from(vec![64_500; given.len()])));
    RecordBatch::try_new(later(), columns).expect("a batch")
}

const SUMS: &str =
    "SELECT source.network.name AS n, sum(flow.io.bytes) AS b FROM flows GROUP BY 1 ORDER BY b";

/// A site whose first rows an earlier version wrote.
fn upgraded(name: &str) -> Site {
    let before = site(name, &[(1, 10), (2, 20), (3, 30), (4, 40)]);
    before.store.roll();
    let Site { folder, store, engine, .. } = before;
    drop((engine, store));
    let after = site_in(folder, "acme", name, later());
    after.store.append_batch("flows", later_flows(&[(1, 1_000), (2, 2_000)])).expect("room");
    after.store.roll();
    after.store.append_batch("flows", later_flows(&[(9, 7_000)])).expect("room");
    after.store.flush();
    after
}

#[test]
fn older_files_have_nulls_in_columns_that_came_later() {
    let berlin = upgraded("berlin");
    assert_eq!(
        rows(&berlin, &alone(), SUMS),
        [[json!(null), json!(100)], [json!("office"), json!(10_000)]]
    );
    let sql = "SELECT count(*), count(source.as.number), max(source.as.number) FROM flows";
    assert_eq!(rows(&berlin, &alone(), sql), [[json!(7), json!(3), json!(64_500)]]);
    let sql = "SELECT flow.io.bytes FROM flows WHERE source.network.name IS NULL ORDER BY 1";
    assert_eq!(rows(&berlin, &alone(), sql), [[json!(10)], [json!(20)], [json!(30)], [json!(40)]]);
    let sql =
        "SELECT flow.io.bytes FROM flows WHERE source.as.number = 64500 ORDER BY 1 DESC LIMIT 1";
    assert_eq!(rows(&berlin, &alone(), sql), [[json!(7_000)]]);
}

#[test]
fn nodes_of_two_versions_answer_one_question() {
    let (new, old) = (upgraded("berlin"), site("tokyo", &[(1, 5), (2, 6)]));
    let mesh = Arc::new(Mesh::of(&[&old]));
    for (sql, expected) in [
        (SUMS, vec![vec![json!(null), json!(111)], vec![json!("office"), json!(10_000)]]),
        ("SELECT count(*), count(source.as.number) FROM flows", vec![vec![json!(9), json!(3)]]),
        (
            "SELECT site, flow.io.bytes FROM flows WHERE source.network.name IS NULL ORDER BY 2 LIMIT 2",
            vec![vec![json!("tokyo"), json!(5)], vec![json!("tokyo"), json!(6)]],
        ),
        (
            "SELECT a.site FROM flows a JOIN flows b ON a.flow.io.bytes = b.flow.io.bytes WHERE a.source.as.number IS NULL AND a.flow.io.bytes = 6",
            vec![vec![json!("tokyo")]],
        ),
    ] {
        let answer = ask(&new, &mesh, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(
            answer.places.iter().all(|p| p.state == PlaceState::Answered),
            "{sql}: {:?}",
            answer.places
        );
        assert_eq!(answer.rows(), expected, "{sql}");
    }
    // The older asks the newer: it sees the columns that it knows.
    let mesh = Arc::new(Mesh::of(&[&new]));
    let answer = ask(&old, &mesh, "SELECT site, count(*) FROM flows GROUP BY 1 ORDER BY 1")
        .expect("answered");
    assert_eq!(answer.rows(), [[json!("berlin"), json!(7)], [json!("tokyo"), json!(2)]]);
    assert!(ask(&old, &mesh, SUMS).is_err());
}
