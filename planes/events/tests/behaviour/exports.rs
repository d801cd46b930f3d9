//! Plain Parquet for others: this test's own reader, and DuckDB where Python has it.

use std::process::Command;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use holm_model::Millis;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::common::{batch, files, open, row, ticks};

#[test]
fn an_export_is_opened_by_other_readers() {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("out");
    let store = open(dir.path());
    store.append_batch("ticks", batch(&ticks(), 0, 500)).expect("room");
    (0..4).for_each(|n| store.append(row(n)));
    store.roll();
    store.append_batch("ticks", batch(&ticks(), 500, 1_000)).expect("room");
    store.flush();
    let exported = store.export(&out, &[], Millis(0), Millis(u64::MAX)).expect("exported");
    let counts: Vec<(&str, u64)> =
        exported.iter().map(|file| (file.table.as_str(), file.rows)).collect();
    assert_eq!(counts, [("active_results", 4), ("ticks", 1_000)]);
    assert_eq!(files(&out, ".parquet").len(), 2);

    let file = std::fs::File::open(out.join("ticks.parquet")).expect("there");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
    let batches: Vec<RecordBatch> =
        reader.build().expect("a reader").map(|batch| batch.expect("a batch")).collect();
    let sum: i64 = batches
        .iter()
        .flat_map(|batch| batch.column(1).as_primitive::<Int64Type>().values().to_vec())
        .sum();
    assert_eq!(sum, (0..1_000_i64).sum::<i64>());

    let script = format!(
        "import duckdb\nprint(duckdb.sql(\"SELECT count(*), sum(n), min(\\\"at\\\") < max(\\\"at\\\") FROM read_parquet('{}')\").fetchall())",
        out.join("ticks.parquet").display()
    );
    let python = std::env::var("HOLM_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = Command::new(&python).args(["-c", "import duckdb"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        println!("skipped: {python} has no duckdb (pip install duckdb, or set HOLM_PYTHON)");
        return;
    }
    let output = Command::new(&python).args(["-c", &script]).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let erred = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.trim(), "[(1000, 499500, True)]", "{erred}");
}

#[test]
fn an_export_of_a_table_that_is_not_there_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let refused = store.export(dir.path(), &["no".into()], Millis(0), Millis(1));
    assert_eq!(refused.expect_err("refused").to_string(), "there is no table no at this site");
}
