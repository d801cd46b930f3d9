//! Budgets of a document: what it may cost to load and to send.

use holm_model::DocId;

use crate::document::Document;

/// A document should not be longer than this on disk, in bytes.
pub const MAX_DOC_BYTES: usize = 256 * 1024;
/// A document should not hold more operations than this.
pub const MAX_DOC_OPS: u64 = 50_000;
/// A document should not have more heads than this.
pub const MAX_DOC_HEADS: usize = 64;

/// How long history is kept, in milliseconds: 30 days.
pub const RETENTION_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Most topology documents of one site, and their bytes together: more is not taken from a peer.
const MAX_SITE_DOCS: usize = 4_096;
const MAX_SITE_BYTES: usize = 512 * 1024 * 1024;
/// Most documents of a tenant, and their bytes together: more is not taken from a peer.
const MAX_DOCS: usize = 16_384;
const MAX_BYTES: usize = 1024 * 1024 * 1024;

/// What one document may cost, how long its site's history is kept, and how much is taken from peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Longest document on disk before sealing, in bytes.
    pub doc_bytes: usize,
    /// Most operations in one document.
    pub doc_ops: u64,
    /// Most heads of one document.
    pub doc_heads: usize,
    /// How long what ended is remembered, in milliseconds.
    pub retention_ms: u64,
    /// Most topology documents of one site that are taken from peers. This node's own site writes on.
    pub site_docs: usize,
    /// Most bytes of them together, on disk before sealing.
    pub site_bytes: usize,
    /// Most documents of the tenant that are taken from peers.
    pub all_docs: usize,
    /// Most bytes of them together, on disk before sealing.
    pub all_bytes: usize,
}

impl HistoryLimits {
    /// What a node has unless it is told otherwise.
    pub const DEFAULT: Self = Self {
        doc_bytes: MAX_DOC_BYTES,
        doc_ops: MAX_DOC_OPS,
        doc_heads: MAX_DOC_HEADS,
        retention_ms: RETENTION_MS,
        site_docs: MAX_SITE_DOCS,
        site_bytes: MAX_SITE_BYTES,
        all_docs: MAX_DOCS,
        all_bytes: MAX_BYTES,
    };
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How a document stands to its budgets. One that is over them works on; with its
/// writer's next commit its epoch ends.
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
    pub(crate) fn of(doc: DocId, document: &Document, limits: &HistoryLimits) -> Self {
        let bytes = document.disk.bytes();
        let ops = document.ops();
        let heads = document.heads().len();
        let over = bytes > limits.doc_bytes || ops > limits.doc_ops || heads > limits.doc_heads;
        let name = format!("{} {}", document.name().kind(), document.name().key());
        Self { doc, name, bytes, ops, heads, over }
    }
}
