//! What a store holds at one moment: rows of the open segment, of frozen ones that become files, and
//! the files. One lock guards all of it, so a question sees every row once.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use crate::file::Hour;
use crate::follow::Waiting;
use crate::shelf::Shelf;
use crate::table::Table;

/// Batches by table.
pub(crate) type TableBatches = BTreeMap<Box<str>, Vec<RecordBatch>>;

/// Small batches are put together up to so many rows.
const SMALL_ROWS: usize = 4_096;

/// A segment that takes no more rows and becomes files.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    pub(crate) segment: u64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) tables: Arc<TableBatches>,
    /// Its log is damaged and kept beside.
    pub(crate) keep_log: bool,
}

#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) open: TableBatches,
    /// Bytes of the open segment.
    pub(crate) open_bytes: u64,
    pub(crate) frozen: VecDeque<Frozen>,
    /// Segments that are files, and whose log is still to be removed. Without their rows.
    pub(crate) spent: Vec<Frozen>,
    pub(crate) shelf: Shelf,
    /// Who is told of what is committed.
    pub(crate) followers: Vec<Weak<Waiting>>,
    /// The table and hour whose files are put together now.
    pub(crate) merging: Option<(String, Hour)>,
}

impl Held {
    pub(crate) fn new(shelf: Shelf) -> Self {
        Self {
            open: TableBatches::new(),
            open_bytes: 0,
            frozen: VecDeque::new(),
            spent: Vec::new(),
            shelf,
            followers: Vec::new(),
            merging: None,
        }
    }

    /// Adds what was committed.
    pub(crate) fn push(&mut self, table: &Table, batch: RecordBatch) {
        let batches = self.open.entry(table.name().into()).or_default();
        if let Some(last) = batches.last_mut()
            && last.num_rows() + batch.num_rows() <= SMALL_ROWS
            && let Ok(both) = concat_batches(table.schema(), [&*last, &batch])
        {
            *last = both;
        } else {
            batches.push(batch);
        }
    }

    /// Tells followers of what is committed.
    pub(crate) fn tell(&mut self, table: &Arc<Table>, batch: &RecordBatch) {
        self.followers.retain(|follower| match follower.upgrade() {
            Some(waiting) => {
                waiting.push(table, batch);
                true
            }
            None => false,
        });
    }

    /// All rows of a table that are not in a file, in the order they came.
    pub(crate) fn batches(&self, table: &str) -> Vec<RecordBatch> {
        let frozen = self.frozen.iter().filter_map(|frozen| frozen.tables.get(table));
        frozen.chain(self.open.get(table)).flatten().cloned().collect()
    }

    pub(crate) fn rows_in_memory(&self) -> u64 {
        let frozen = self.frozen.iter().map(|frozen| &*frozen.tables);
        let all = frozen.chain([&self.open]).flat_map(BTreeMap::values).flatten();
        all.map(|batch| batch.num_rows() as u64).sum()
    }

    pub(crate) fn log_bytes(&self) -> u64 {
        self.open_bytes + self.frozen.iter().map(|frozen| frozen.bytes).sum::<u64>()
    }

    /// Whether files of that table and hour are put together now.
    pub(crate) fn merges(&self, table: &str, hour: Hour) -> bool {
        self.merging.as_ref().is_some_and(|(of, at)| of == table && *at == hour)
    }

    /// The oldest segment whose log is still there.
    pub(crate) fn oldest_segment(&self) -> Option<u64> {
        self.frozen.iter().chain(&self.spent).map(|frozen| frozen.segment).min()
    }

    pub(crate) fn freeze(
        &mut self,
        segment: u64,
        path: PathBuf,
        bytes: u64,
        tables: TableBatches,
        keep_log: bool,
    ) {
        self.frozen.push_back(Frozen { segment, path, bytes, tables: Arc::new(tables), keep_log });
    }

    /// Takes off what a crash left of making files of that segment: its log makes them again.
    pub(crate) fn forget_files_of(&mut self, segment: u64) {
        for (table, file) in self.shelf.made_of(segment) {
            self.shelf.take_off(&table, std::slice::from_ref(&file));
            file.doom();
        }
    }
}
