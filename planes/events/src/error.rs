use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

/// Why the event store cannot do something. No variant loses what was committed before.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The store cannot be opened.
    #[error(
        "event store {path}: cannot be opened: {reason}; check the folder's permissions, its disk, and that no other node uses it"
    )]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file cannot be read. If it is damaged it is set aside.
    #[error("event file {path}: cannot be read: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// An export cannot be written.
    #[error("export {path}: cannot be written: {reason}; free disk space or choose another folder")]
    Export {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The storage for cold files cannot be used.
    #[error("cold storage {url}: cannot be used: {reason}; check rows.cold and its credentials")]
    Cold {
        /// Its URL.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The outlet to ClickHouse cannot be used.
    #[error("ClickHouse at {url}: cannot be used: {reason}; check rows.clickhouse")]
    Outlet {
        /// Its URL.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no such table.
    #[error("there is no table {0} at this site")]
    NoTable(String),
}

impl EventError {
    pub(crate) fn open(path: &Path, reason: impl ToString) -> Self {
        Self::Open { path: path.into(), reason: reason.to_string() }
    }

    pub(crate) fn read(path: &Path, reason: impl ToString) -> Self {
        Self::Read { path: path.into(), reason: reason.to_string() }
    }

    pub(crate) fn export(path: &Path, reason: impl ToString) -> Self {
        Self::Export { path: path.into(), reason: reason.to_string() }
    }
}

/// The system's error inside Parquet's, if it is one.
pub(crate) fn io_of(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
