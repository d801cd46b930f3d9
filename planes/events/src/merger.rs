//! The thread that puts small files of one hour together. It takes long, and new rows do not wait for it.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;

use crate::counters::Counters;
use crate::file::{Columns, Effort, EventFile, FileName, Hour};
use crate::outlet::Standing;
use crate::shelf::MAX_MERGED;
use crate::store::Shared;
use crate::table::Table;
use crate::wal::fitted;

const EVERY: Duration = Duration::from_secs(5);

pub(crate) fn run(shared: &Shared) {
    while !shared.stops() {
        let merged = shared.merge_next();
        if !merged {
            let held = shared.held();
            if !shared.stops() {
                drop(shared.wait(held, EVERY));
            }
        }
    }
}

impl Shared {
    /// Whether there was something to do, and it was done.
    fn merge_next(&self) -> bool {
        let mut held = self.held();
        let oldest = held.oldest_segment().unwrap_or(u64::MAX);
        // What may be in the outlet's database in part is sent again as it was.
        let part = |table: &str, file: &EventFile| match self.outlet.as_deref() {
            None => Some(0),
            Some(outlet) => match outlet.standing(table, file) {
                Standing::Sent => Some(0),
                Standing::Tried => None,
                Standing::Waits => Some(1),
            },
        };
        let due = held.shelf.to_merge(&self.limits, oldest, (self.clock)(), part);
        // New rows come first, until there are too many files to read from.
        let rows_wait = !held.frozen.is_empty();
        let due = due.filter(|(.., files)| !rows_wait || files.len() >= MAX_MERGED);
        let Some((table, hour, files)) = due else { return false };
        held.merging = Some((table.clone(), hour));
        drop(held);
        let merged = self.merge(&table, hour, &files);
        self.held().merging = None;
        merged.unwrap_or_else(|error| {
            tracing::warn!(table, %error, "small event files could not be put together; it is tried again");
            false
        })
    }

    /// Puts files of one hour together. `false`: one of them is damaged and was set aside.
    fn merge(&self, table: &str, hour: Hour, files: &[Arc<EventFile>]) -> io::Result<bool> {
        let Some(known) = self.table(table) else { return Ok(false) };
        let (Some(first), Some(last)) = (files.first(), files.last()) else { return Ok(false) };
        let about = FileName {
            lo: first.name.lo,
            hi: last.name.hi,
            min: files.iter().map(|file| file.name.min).min().unwrap_or_default(),
            max: files.iter().map(|file| file.name.max).max().unwrap_or_default(),
            rows: files.iter().map(|file| file.rows()).sum(),
        };
        let written = (|| {
            let mut names = BTreeSet::new();
            for file in files {
                let reader = file.parquet()?;
                names.extend(reader.schema().fields().iter().map(|field| field.name().clone()));
            }
            let columns = Columns::of(&known, |_, name| names.contains(name))?;
            let rows = files.iter().flat_map(|file| rows_of(file, &known));
            self.shelving.write(&known, &columns, hour, about, rows, Effort::Thorough)
        })();
        let merged = match written {
            Ok(merged) => merged,
            Err(error) => {
                return if self.set_damaged_aside() > 0 { Ok(false) } else { Err(error) };
            }
        };
        let mut held = self.held();
        // What was dropped meanwhile does not come back.
        if !held.shelf.has(table, files) {
            drop(held);
            merged.doom();
            return Ok(true);
        }
        held.shelf.take_off(table, files);
        held.shelf.add(table, merged);
        drop(held);
        files.iter().for_each(|file| file.doom());
        Counters::add(&self.counters.merges, 1);
        Ok(true)
    }
}

/// The rows of a file with the columns that its table has now.
pub(crate) fn rows_of(
    file: &Arc<EventFile>,
    table: &Arc<Table>,
) -> Box<dyn Iterator<Item = io::Result<RecordBatch>>> {
    let reader = match file.parquet().and_then(|reader| {
        let built = reader.with_batch_size(8_192).build();
        file.noting(built.map_err(crate::file::as_damage))
    }) {
        Ok(reader) => reader,
        Err(error) => return Box::new(std::iter::once(Err(error))),
    };
    let (file, table) = (Arc::clone(file), Arc::clone(table));
    Box::new(reader.map(move |batch| {
        let batch = file.noting(batch.map_err(as_io))?;
        fitted(&batch, table.schema())
            .ok_or_else(|| io::Error::other("the file has other columns than its table"))
    }))
}

/// The system's error inside Arrow's, or damage.
pub(crate) fn as_io(error: arrow::error::ArrowError) -> io::Error {
    match error {
        arrow::error::ArrowError::IoError(_, error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}
