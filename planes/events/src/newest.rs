//! The newest rows of a table.

use arrow::array::RecordBatch;
use holm_model::{Millis, Row};

use crate::error::EventError;
use crate::file::{EventFile, as_damage};
use crate::store::Snapshot;
use crate::table::Table;
use crate::wal::fitted;

type RowsOf = fn(&Table, &RecordBatch, &[usize]) -> Vec<Row>;

/// Rows that are candidates: time, and where among all rows they stand.
struct Candidates<'a> {
    table: &'a Table,
    rows_of: RowsOf,
    since: Millis,
    limit: usize,
    /// Of batches that are read later come earlier rows.
    kept: Vec<Row>,
}

impl Candidates<'_> {
    /// Takes a batch that stands before all others that were taken.
    fn take(&mut self, batch: &RecordBatch) {
        let times = self.table.times(batch);
        let mut pick: Vec<usize> =
            (0..times.len()).rev().filter(|index| times[*index] >= self.since).collect();
        // Stable: of one moment the later row comes first.
        pick.sort_by_key(|index| std::cmp::Reverse(times[*index]));
        pick.truncate(self.limit);
        self.kept.extend((self.rows_of)(self.table, batch, &pick));
        self.kept.sort_by_key(|row| std::cmp::Reverse(row.at));
        self.kept.truncate(self.limit);
    }

    /// Whether rows up to `latest` could still be among the newest.
    fn wants(&self, latest: Millis) -> bool {
        let oldest = self.kept.last().map_or(Millis(0), |row| row.at);
        latest >= self.since && (self.kept.len() < self.limit || latest > oldest)
    }
}

/// The newest rows at or after `since`, newest first, at most `limit`. Damaged files are passed over.
pub(crate) fn newest(
    snapshot: &Snapshot,
    since: Millis,
    limit: usize,
    rows_of: RowsOf,
) -> Result<Vec<Row>, EventError> {
    let table = &*snapshot.table;
    let mut candidates = Candidates { table, rows_of, since, limit, kept: Vec::new() };
    for batch in snapshot.batches.iter().rev() {
        candidates.take(batch);
    }
    let mut files: Vec<&EventFile> = snapshot.files.iter().map(AsRef::as_ref).collect();
    files.sort_by_key(|file| std::cmp::Reverse((file.name.max, file.name.hi)));
    for file in files {
        if !candidates.wants(file.name.max) {
            continue;
        }
        if let Err(error) = take_file(file, &mut candidates)
            && !file.is_damaged()
            // Cold storage that does not answer takes nothing from what is here.
            && !file.is_cold()
        {
            return Err(EventError::read(file.path(), error));
        }
    }
    Ok(candidates.kept)
}

/// Row groups from the end of the file on, until what is wanted is there.
fn take_file(file: &EventFile, candidates: &mut Candidates<'_>) -> std::io::Result<()> {
    let groups = file.parquet()?.metadata().num_row_groups();
    for group in (0..groups).rev() {
        if !candidates.wants(file.name.max) {
            break;
        }
        let reader = file.parquet()?.with_row_groups(vec![group]).build();
        let reader = file.noting(reader.map_err(as_damage))?;
        let batches: Result<Vec<RecordBatch>, _> = reader.collect();
        let damaged = |error: arrow::error::ArrowError| {
            std::io::Error::new(std::io::ErrorKind::InvalidData, error.to_string())
        };
        for batch in file.noting(batches.map_err(damaged))?.iter().rev() {
            let batch = fitted(batch, candidates.table.schema());
            if let Some(batch) = batch {
                candidates.take(&batch);
            }
        }
    }
    Ok(())
}
