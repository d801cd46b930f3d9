//! What can go wrong, to what, and what to do about it.

use holm_model::DocId;

/// Why a tenant's state did not open. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has the file.
    #[error(
        "{file} is in use by another process: stop the other node, or give this one its own data folder"
    )]
    InUse {
        /// The file.
        file: String,
    },
    /// Nothing in the file opens with this key.
    #[error(
        "nothing in {file} opens with this tenant's data key: the file belongs to another tenant or node, or the key file was replaced; restore both from the same backup"
    )]
    WrongKey {
        /// The file.
        file: String,
    },
    /// The operating system refused.
    #[error("{file} cannot be opened: {reason}; check the disk's space and the file's permissions")]
    Disk {
        /// The file.
        file: String,
        /// What the operating system said.
        reason: String,
    },
}

/// A write that did not reach the disk. State in memory is as before: try the same again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{file} cannot be written: {reason}; nothing is lost while this node runs: make room or repair the disk, the write is tried again"
)]
pub struct StoreError {
    /// The file.
    pub file: String,
    /// What was said.
    pub reason: String,
}

impl StoreError {
    pub(crate) fn at_open(self) -> OpenError {
        OpenError::Disk { file: self.file, reason: self.reason }
    }
}

/// Why changes were not committed. State is as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// They did not reach the disk: commit the same changes again later.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The document engine refused its own site's changes: a defect, or a document that was poisoned
    /// before it was checked.
    #[error("document {doc} refused a change: {reason}; its bytes can be exported for a report")]
    Document {
        /// The document.
        doc: DocId,
        /// What the engine said.
        reason: String,
    },
    /// A record is longer than one may be.
    #[error(
        "record {key} has a key of {key_len} and a value of {len} bytes, more than a change may have"
    )]
    RecordTooLong {
        /// Its key.
        key: Box<str>,
        /// The length of its key.
        key_len: usize,
        /// The length of its value.
        len: usize,
    },
    /// A statement is longer than a change may be.
    #[error(
        "a roster statement of {len} bytes is longer than the {max} bytes that one change may have"
    )]
    StatementTooLong {
        /// Its length.
        len: usize,
        /// The longest possible.
        max: usize,
    },
}

/// Why bytes from a peer were not applied. State is as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// They are wrong in themselves and lie in quarantine now: ask another peer.
    #[error(
        "document {doc} from {from} was quarantined: {reason}; it is asked for again from other peers"
    )]
    Quarantined {
        /// The document that they were said to be.
        doc: DocId,
        /// Who sent them.
        from: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no room for them. They were not looked at as evidence of anything: a site or a tenant
    /// has grown beyond its bound, or a peer makes documents up.
    #[error(
        "document {doc} was not taken: {reason}; shorten the tenant's retention, or find the peer that makes documents up"
    )]
    Full {
        /// The document.
        doc: DocId,
        /// What is full.
        reason: String,
    },
    /// They did not reach the disk: apply the same again later.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a document was not exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// It is not here.
    #[error("document {doc} is not held here: ask for the list of documents again")]
    Unknown {
        /// The document.
        doc: DocId,
    },
    /// It is longer than any peer would take.
    #[error(
        "document {doc} has {len} bytes, more than the {max} that a peer takes: shorten the tenant's retention"
    )]
    TooLong {
        /// The document.
        doc: DocId,
        /// How long it is.
        len: usize,
        /// The longest possible.
        max: usize,
    },
}
