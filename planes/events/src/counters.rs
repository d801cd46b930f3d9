//! What a store counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use holm_model::Millis;

use crate::shelf::Reason;

/// Counters since the store was opened, and its size now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventStats {
    /// Rows made durable.
    pub committed: u64,
    /// Rows dropped because the queue was full: the disk is too slow, or full.
    pub dropped_queue_full: u64,
    /// Rows dropped because they were the oldest when a bound was reached.
    pub dropped_oldest: u64,
    /// Rows refused because they do not fit their table, or there are too many tables.
    pub refused: u64,
    /// Failed writes (a full disk, say); their rows waited and were tried again.
    pub write_failures: u64,
    /// Files and pieces of log that were damaged and set aside.
    pub damaged: u64,
    /// Files that were put together from smaller ones.
    pub merges: u64,
    /// Rows kept now.
    pub rows: u64,
    /// Bytes on disk now, the log included.
    pub bytes: u64,
    /// Files now.
    pub files: u64,
}

/// One table now, and what was dropped of it since the store was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Rows kept.
    pub rows: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// Time of the oldest row in a file.
    pub oldest: Option<Millis>,
    /// Rows dropped because they were older than is kept.
    pub dropped_age: u64,
    /// Rows dropped because of a bound of bytes.
    pub dropped_quota: u64,
    /// Rows dropped to make room on a full disk.
    pub dropped_disk_full: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) committed: AtomicU64,
    pub(crate) dropped_queue_full: AtomicU64,
    pub(crate) dropped_oldest: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) write_failures: AtomicU64,
    pub(crate) damaged: AtomicU64,
    pub(crate) merges: AtomicU64,
    pub(crate) last_error: Mutex<Option<String>>,
    dropped: Mutex<BTreeMap<String, [u64; 3]>>,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self, table: &str, reason: Reason, rows: u64) {
        Self::add(&self.dropped_oldest, rows);
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.entry(table.to_owned()).or_default()[reason as usize] += rows;
    }

    pub(crate) fn dropped_of(&self, table: &str) -> [u64; 3] {
        let dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.get(table).copied().unwrap_or_default()
    }

    pub(crate) fn failed(&self, error: Option<String>) {
        if error.is_some() {
            Self::add(&self.write_failures, 1);
        }
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    pub(crate) fn stats(&self) -> EventStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EventStats {
            committed: read(&self.committed),
            dropped_queue_full: read(&self.dropped_queue_full),
            dropped_oldest: read(&self.dropped_oldest),
            refused: read(&self.refused),
            write_failures: read(&self.write_failures),
            damaged: read(&self.damaged),
            merges: read(&self.merges),
            ..EventStats::default()
        }
    }
}
