//! Budgets of a document: what it may cost to load and to send.

use holm_model::DocId;

use crate::document::Document;

/// A document should not be longer than this on disk, in bytes.
pub const MAX_DOC_BYTES: usize = 256 * 1024;
/// A document should not hold more operations than this.
pub const MAX_DOC_OPS: u64 = 50_000;
/// A document should not have more heads than this.
pub const MAX_DOC_HEADS: usize = 64;

/// How a document stands to its budgets. One that is over them works on; it is the sign that its
/// epoch must end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocBudget {
    /// The document.
    pub doc: DocId,
    /// What it is called: kind and key.
    pub name: String,
    /// Its length on disk before sealing, in bytes; exact after a snapshot, else an upper bound.
    pub bytes: usize,
    /// Operations ever made in it.
    pub ops: u64,
    /// Concurrent ends of its history.
    pub heads: usize,
    /// Whether one of them is over its budget.
    pub over: bool,
}

impl DocBudget {
    pub(crate) fn of(doc: DocId, document: &Document) -> Self {
        let bytes = document.disk.snapshot_bytes + document.disk.since_bytes;
        let ops = document.ops();
        let heads = document.heads().len();
        let over = bytes > MAX_DOC_BYTES || ops > MAX_DOC_OPS || heads > MAX_DOC_HEADS;
        let name = format!("{} {}", document.name().kind(), document.name().key());
        Self { doc, name, bytes, ops, heads, over }
    }
}
