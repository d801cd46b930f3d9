//! Columns of lists, and what functions make such: values, lengths, and arrays in answers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListBuilder, RecordBatch, UInt32Builder};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Value, json};

use crate::common::{Mesh, Site, ask, flows, rows, schema, site_in};

/// Flows with stacks of labels: none told, an empty one, and of one to three labels.
fn labelled(name: &str, first: u32) -> Site {
    let labels = [None, Some(vec![]), Some(vec![16]), Some(vec![17, 18]), Some(vec![first, 20, 3])];
    let item = Field::new("item", DataType::UInt32, false);
    let mut builder = ListBuilder::new(UInt32Builder::new()).with_field(item);
    for stack in &labels {
        if let Some(stack) = stack {
            builder.values().append_slice(stack);
        }
        builder.append(stack.is_some());
    }
    let plain: Vec<(u32, u64)> = (1..=5).map(|n| (n, u64::from(n))).collect();
    let plain = flows(&plain);
    let stacks: ArrayRef = Arc::new(builder.finish());
    let more = Field::new("flow.mpls.labels", stacks.data_type().clone(), true);
    let fields = schema().fields().iter().cloned().chain([Arc::new(more)]).collect::<Vec<_>>();
    let with = Arc::new(Schema::new(fields));
    let columns = plain.columns().iter().cloned().chain([stacks]).collect();
    let batch = RecordBatch::try_new(Arc::clone(&with), columns).expect("a batch");
    let site = site_in(tempfile::tempdir().expect("a folder"), "acme", name, with);
    site.store.append_batch("flows", batch.slice(0, 3)).expect("room");
    site.store.roll();
    site.store.append_batch("flows", batch.slice(3, 2)).expect("room");
    site.store.flush();
    site
}

#[test]
fn values_of_lists_are_asked_for_at_the_sites() {
    let (berlin, tokyo) = (labelled("berlin", 100), labelled("tokyo", 200));
    let mesh = Arc::new(Mesh::of(&[&tokyo]));
    for (sql, expected) in [
        (
            "SELECT flow.mpls.labels[1] AS l, count(*) FROM flows GROUP BY 1 ORDER BY 1",
            json!([[16, 2], [17, 2], [100, 1], [200, 1], [null, 4]]),
        ),
        (
            "SELECT f.flow.mpls.labels[-1] AS l, sum(f.flow.io.bytes) FROM flows f WHERE f.flow.mpls.labels[1] > 16 GROUP BY l ORDER BY l",
            json!([[3, 10], [18, 8]]),
        ),
        ("SELECT max(array_length(flow.mpls.labels)) FROM flows", json!([[3]])),
        (
            "SELECT cardinality(flow.mpls.labels) AS n, count(*) FROM flows GROUP BY 1 ORDER BY 1 NULLS FIRST",
            json!([[null, 2], [0, 2], [1, 2], [2, 2], [3, 2]]),
        ),
        ("SELECT count(*) FROM flows WHERE array_has(flow.mpls.labels, 20)", json!([[2]])),
        (
            "SELECT count(*) FROM flows WHERE array_has(flow.mpls.labels, flow.io.bytes + 13)",
            json!([[4]]),
        ),
        (
            "SELECT array_element(flow.mpls.labels, 2) FROM flows WHERE flow.mpls.labels[1] = 17",
            json!([[18], [18]]),
        ),
        (
            "SELECT array_to_string(flow.mpls.labels, '/') AS s FROM flows WHERE array_length(flow.mpls.labels) > 1 ORDER BY s",
            json!([["100/20/3"], ["17/18"], ["17/18"], ["200/20/3"]]),
        ),
        (
            "SELECT max(array_max(flow.mpls.labels)), min(array_min(flow.mpls.labels)) FROM flows",
            json!([[200, 3]]),
        ),
        (
            "SELECT array_position(flow.mpls.labels, 20) AS p FROM flows WHERE array_has(flow.mpls.labels, 20)",
            json!([[2], [2]]),
        ),
        (
            "SELECT flow.mpls.labels FROM flows WHERE site = 'berlin' ORDER BY flow.io.bytes",
            json!([[null], [[]], [[16]], [[17, 18]], [[100, 20, 3]]]),
        ),
        (
            "SELECT flow.mpls.labels[2:3] AS l FROM flows WHERE site = 'berlin' AND flow.mpls.labels[1] = 100",
            json!([[[20, 3]]]),
        ),
        (
            "SELECT regexp_match(ip_text(source.address), '([0-9]+)[.]([0-9]+)$')[2] AS k, count(*) FROM flows GROUP BY k ORDER BY k LIMIT 2",
            json!([["1", 2], ["2", 2]]),
        ),
        (
            "SELECT DISTINCT regexp_match(site, '(.)(.)') FROM flows ORDER BY 1",
            json!([[["b", "e"]], [["t", "o"]]]),
        ),
        (
            "SELECT flow.mpls.labels AS l, count(*) FROM flows WHERE empty(flow.mpls.labels) GROUP BY 1",
            json!([[[], 2]]),
        ),
    ] {
        mesh.asked.lock().expect("no panic").clear();
        let found = rows(&berlin, &mesh, sql).into_iter().map(Value::from).collect::<Vec<_>>();
        assert_eq!(Value::from(found), expected, "{sql}");
    }
    // Grouped where the rows lie, not fetched.
    let sql = "SELECT flow.mpls.labels[1] AS l, count(*) FROM flows GROUP BY 1";
    let answer = ask(&berlin, &mesh, sql).expect("answered");
    assert!(answer.places.iter().all(|place| place.rows == 4), "{:?}", answer.places);
}

#[test]
fn what_is_made_of_lists_is_bounded() {
    let berlin = labelled("berlin", 100);
    let mesh = Arc::new(Mesh::default());
    let long = "x".repeat(1_000);
    let mut sql = "regexp_match(array_to_string(flow.mpls.labels, 'SEP'), '(.*)')".to_owned();
    for _ in 0..6 {
        sql = format!("regexp_match(array_to_string({sql}, '{long}', '{long}'), '((((.*))))')");
    }
    let error = ask(&berlin, &mesh, &format!("SELECT {sql} FROM flows")).expect_err("too long");
    assert!(error.to_string().contains("MiB"), "{error}");
    for none in [
        "array_repeat(1, 1000000)",
        "make_array(1, 2)",
        "range(1, 1000000)",
        "array_resize(regexp_match('a', 'a'), 1000000)",
    ] {
        assert!(ask(&berlin, &mesh, &format!("SELECT {none}")).is_err(), "{none}");
    }
}
