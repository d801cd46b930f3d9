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
    /// Bounds of tables beside these, by name; a name that ends in `*` is that of all tables that begin
    /// so. The longest that fits counts.
    pub tables: BTreeMap<String, TableLimits>,
    /// Most bytes, about, of rows that wait for the writer. More are dropped and counted.
    pub queue_bytes: usize,
    /// Bytes of log, about, that become files at once: memory holds a few times as much. A sixteenth of what there may
    /// be on disk at most, and of the volume.
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
            segment_bytes: 20 << 20,
            segment_age_ms: 600_000,
        }
    }
}

/// The part of its bounds, and of its volume, that one segment of log may take. There are up to four of that size: an
/// open one that has grown, and another one that becomes files, which want room as well.
const SEGMENT_SHARE: u64 = 16;
/// Smaller segments would make more files than rows.
const MIN_SEGMENT: u64 = 256 << 10;

impl Limits {
    /// With segments that leave room for files: of the bytes that the store may have, and of its volume.
    pub(crate) fn within(mut self, volume: Option<u64>) -> Self {
        let room = volume.map_or(self.max_bytes, |volume| volume.min(self.max_bytes));
        let share = (room / SEGMENT_SHARE).max(MIN_SEGMENT);
        self.segment_bytes = self.segment_bytes.min(share);
        self
    }

    /// The bounds of `table`.
    pub fn of(&self, table: &str) -> TableLimits {
        let all = TableLimits { max_bytes: self.max_bytes, max_age_ms: self.max_age_ms };
        let fits = |name: &&String| match name.strip_suffix('*') {
            Some(start) => table.starts_with(start),
            None => *name == table,
        };
        // A name of its own before one that ends in `*`.
        let by = |name: &&String| (!name.ends_with('*'), name.len());
        let name = self.tables.keys().filter(fits).max_by_key(by);
        name.and_then(|name| self.tables.get(name)).copied().unwrap_or(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_leaves_room_for_files() {
        let of = |max_bytes, volume| {
            Limits { max_bytes, ..Limits::default() }.within(volume).segment_bytes
        };
        assert_eq!(of(512 << 20, None), 20 << 20);
        assert_eq!(of(512 << 20, Some(56 << 20)), 56 << 16);
        assert_eq!(of(64 << 20, Some(1 << 40)), 4 << 20);
        assert_eq!(of(1, Some(1)), MIN_SEGMENT);
    }

    #[test]
    fn the_longest_name_that_fits_counts() {
        let of = |max_bytes| TableLimits { max_bytes, max_age_ms: 1 };
        let tables = [("flow*", 1), ("flows", 2), ("flow_interface*", 3), ("*", 4)];
        let tables = tables.map(|(name, bytes)| (name.to_owned(), of(bytes))).into();
        let limits = Limits { tables, ..Limits::default() };
        for (table, bytes) in
            [("flows", 2), ("flow_interface_counters", 3), ("flow_x", 1), ("signals", 4)]
        {
            assert_eq!(limits.of(table).max_bytes, bytes, "{table}");
        }
        assert_eq!(Limits::default().of("flows").max_bytes, 512 << 20);
    }
}
