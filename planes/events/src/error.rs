use std::path::{Path, PathBuf};

/// Why the row store cannot do something. No variant loses rows that were committed before.
#[derive(Debug, thiserror::Error)]
pub enum RowStoreError {
    /// The file cannot be opened or created.
    #[error(
        "row store {path}: cannot be opened: {reason}; check the folder's permissions and that no other node uses it"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A read failed.
    #[error("row store {path}: cannot be read: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A write failed; the rows stay queued in memory and are tried again.
    #[error(
        "row store {path}: cannot be written: {reason}; free disk space, the rows wait in memory meanwhile"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl RowStoreError {
    pub(crate) fn open(path: &Path, reason: impl ToString) -> Self {
        Self::Open { path: path.into(), reason: reason.to_string() }
    }

    pub(crate) fn read(path: &Path, reason: impl ToString) -> Self {
        Self::Read { path: path.into(), reason: reason.to_string() }
    }

    pub(crate) fn write(path: &Path, reason: impl ToString) -> Self {
        Self::Write { path: path.into(), reason: reason.to_string() }
    }
}
