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
            segment_bytes: 20 << 20,
            segment_age_ms: 600_000,
        }
    }
}

impl Limits {
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
