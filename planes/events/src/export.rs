//! Export: the same rows as plain Parquet, for any reader.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holm_model::Millis;
use parquet::arrow::ArrowWriter;

use crate::error::EventError;
use crate::file::{Effort, EventFile, properties};
use crate::merger::rows_of;
use crate::store::{EventStore, Snapshot};

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The Parquet file.
    pub path: PathBuf,
    /// Its table.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
}

impl EventStore {
    /// Writes the rows of `tables` (all if none is named) from `since` on, up to `until`, into
    /// `folder`: `<table>.parquet` each, whole files of rows that touch that time, and what is not in a
    /// file yet. Nothing is sealed any more.
    ///
    /// # Errors
    /// [`EventError::NoTable`], [`EventError::Export`], [`EventError::Read`]
    pub fn export(
        &self,
        folder: &Path,
        tables: &[String],
        since: Millis,
        until: Millis,
    ) -> Result<Vec<Exported>, EventError> {
        std::fs::create_dir_all(folder).map_err(|error| EventError::export(folder, error))?;
        let known: Vec<String> =
            self.tables().iter().map(|table| table.name().to_owned()).collect();
        let wanted = if tables.is_empty() { &known } else { tables };
        let mut exported = Vec::new();
        for name in wanted {
            let snapshot = self.snapshot(name).ok_or_else(|| EventError::NoTable(name.clone()))?;
            if let Some(written) = write(&snapshot, folder, since, until)? {
                exported.push(written);
            }
        }
        self.set_damaged_aside();
        Ok(exported)
    }
}

/// `None` if there is nothing to write.
fn write(
    snapshot: &Snapshot,
    folder: &Path,
    since: Millis,
    until: Millis,
) -> Result<Option<Exported>, EventError> {
    let table = &snapshot.table;
    let touches = |file: &&Arc<EventFile>| file.name.max >= since && file.name.min <= until;
    let files: Vec<&Arc<EventFile>> = snapshot.files.iter().filter(touches).collect();
    let batches = snapshot
        .batches
        .iter()
        .filter(|batch| table.times(batch).iter().any(|at| (since..=until).contains(at)));
    let mut batches = batches.peekable();
    if files.is_empty() && batches.peek().is_none() {
        return Ok(None);
    }
    let path = folder.join(format!("{}.parquet", table.name()));
    let failed = |error: &dyn std::fmt::Display| EventError::export(&path, error);
    let file = File::create(&path).map_err(|error| failed(&error))?;
    let properties = properties(table, Effort::Thorough);
    let mut writer = ArrowWriter::try_new(file, Arc::clone(table.schema()), Some(properties))
        .map_err(|error| failed(&error))?;
    let mut rows = 0;
    for file in files {
        for batch in rows_of(file, table) {
            // A damaged file is left out; the store sets it aside and counts it.
            let batch = match batch {
                Ok(batch) => batch,
                Err(_) if file.is_damaged() => break,
                Err(error) => return Err(EventError::read(file.path(), error)),
            };
            rows += batch.num_rows() as u64;
            writer.write(&batch).map_err(|error| failed(&error))?;
        }
    }
    for batch in batches {
        rows += batch.num_rows() as u64;
        writer.write(batch).map_err(|error| failed(&error))?;
    }
    writer.close().map_err(|error| failed(&error))?;
    let bytes = std::fs::metadata(&path).map_err(|error| failed(&error))?.len();
    Ok(Some(Exported { path, table: table.name().to_owned(), rows, bytes }))
}
