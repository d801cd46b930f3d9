//! Bounds of a store.

use std::collections::BTreeMap;

/// Bounds of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableLimits {
    /// Most bytes on disk.
    pub max_bytes: u64,
    /// Longest time a row is kept, in milliseconds.
    pub max_age_ms: u64,
}

/// Bounds of the store of one tenant. What is reached first drops the oldest file.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most bytes on disk in all, the log included. What is over is taken of the largest table.
    pub max_bytes: u64,
    /// Longest time a row is kept, in milliseconds.
    pub max_age_ms: u64,
    /// Bounds of single tables beside these.
    pub tables: BTreeMap<String, TableLimits>,
    /// Most bytes, about, of rows that wait for the writer. More are dropped and counted.
    pub queue_bytes: usize,
    /// Bytes of log, about, that become files at once: memory holds a few times as much.
    pub segment_bytes: u64,
    /// Longest time that rows are in the log alone, in milliseconds.
    pub segment_age_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 512 << 20,
            max_age_ms: 7 * 24 * 3_600_000,
            tables: BTreeMap::new(),
            queue_bytes: 32 << 20,
            segment_bytes: 32 << 20,
            segment_age_ms: 600_000,
        }
    }
}

impl Limits {
    /// The bounds of `table`.
    pub fn of(&self, table: &str) -> TableLimits {
        let all = TableLimits { max_bytes: self.max_bytes, max_age_ms: self.max_age_ms };
        self.tables.get(table).copied().unwrap_or(all)
    }
}
