//! The thread that makes files of frozen segments, and drops what is over the bounds.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use holm_model::Millis;

use crate::file::{Columns, Effort, EventFile, FileName, Hour};
use crate::held::{Frozen, TableBatches};
use crate::shelf::set_aside;
use crate::store::Shared;
use crate::table::Table;

const EVERY: Duration = Duration::from_secs(5);
const RETRY_AFTER_FAILURE: Duration = Duration::from_millis(500);
/// How far ahead of the clock a row's hour may lie.
const AHEAD_MS: u64 = 3_600_000;

pub(crate) struct Roller {
    shared: Arc<Shared>,
}

impl Roller {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn run(self) {
        loop {
            let mut held = self.shared.held();
            if held.frozen.is_empty() && !self.shared.stops() {
                held = self.shared.wait(held, EVERY);
            }
            let next = held.frozen.front().cloned();
            drop(held);
            // What is left is in the log.
            if self.shared.stops() {
                return;
            }
            if let Some(frozen) = next {
                self.try_hard(&frozen);
            }
            self.tend();
        }
    }

    /// Says what failed, makes room where that helps, and otherwise lets some time pass.
    fn try_hard(&self, frozen: &Frozen) {
        while let Err(error) = self.shared.roll(frozen) {
            self.shared.counters.failed(Some(format!(
                "event files in {}: cannot be written: {error}; free disk space: new rows are in the log until then, and where that is not enough the oldest files are dropped to make room",
                self.shared.shelving.root.display()
            )));
            let full = error.kind() == io::ErrorKind::StorageFull;
            if full && self.shared.make_room() {
                continue;
            }
            if !(full && self.shared.give_up_log(frozen)) {
                let held = self.shared.held();
                drop(self.shared.wait(held, RETRY_AFTER_FAILURE));
            }
            return;
        }
    }

    fn tend(&self) {
        let shared = &self.shared;
        shared.set_damaged_aside();
        shared.remove_spent_logs();
        let now = (shared.clock)();
        let held = shared.held();
        let cold_age = shared.shelving.cold.as_ref().map(|cold| cold.max_age_ms);
        let over = held.shelf.over(&shared.limits, held.log_bytes(), now, cold_age);
        drop(held);
        shared.drop_files(&over);
    }
}

impl Shared {
    /// Makes files of a segment, and takes its log away. Both or neither, as far as readers see.
    pub(crate) fn roll(&self, frozen: &Frozen) -> io::Result<()> {
        let files = self.write_files(frozen.segment, &frozen.tables)?;
        let mut held = self.held();
        for (table, file) in files {
            held.shelf.add(&table, file);
        }
        held.frozen.retain(|other| other.segment != frozen.segment);
        held.spent.push(Frozen { tables: Arc::default(), ..frozen.clone() });
        drop(held);
        self.turned.notify_all();
        self.counters.failed(None);
        self.remove_spent_logs();
        Ok(())
    }

    /// Takes the logs away whose rows are in files. While one stays its files are not put together with
    /// others: the next start makes the same files again in their place.
    fn remove_spent_logs(&self) {
        let spent = self.held().spent.clone();
        for frozen in spent {
            let removed = if frozen.keep_log {
                set_aside(&frozen.path)
            } else {
                self.shelving.disk.remove(&frozen.path)
            };
            match removed {
                Ok(()) => self.held().spent.retain(|other| other.segment != frozen.segment),
                Err(error) => {
                    tracing::warn!(path = %frozen.path.display(), %error, "an event log could not be removed; it is tried again");
                }
            }
        }
        self.turned.notify_all();
    }

    /// Writes a file for each table and hour. After an error none of them is there.
    pub(crate) fn write_files(
        &self,
        segment: u64,
        tables: &TableBatches,
    ) -> io::Result<Vec<(String, Arc<EventFile>)>> {
        let mut written: Vec<(String, Arc<EventFile>)> = Vec::new();
        let now = (self.clock)();
        for (name, batches) in tables {
            let Some(table) = self.table(name) else { continue };
            for (hour, part) in self.by_hour(&table, batches, now) {
                let about = FileName {
                    lo: segment,
                    hi: segment,
                    min: part.min,
                    max: part.max,
                    rows: part.batches.iter().map(|batch| batch.num_rows() as u64).sum(),
                };
                let batches = part.batches;
                let columns = Columns::of(&table, |index, _| {
                    batches.iter().any(|b| b.column(index).null_count() < b.num_rows())
                })?;
                let rows = batches.into_iter().map(Ok);
                match self.shelving.write(&table, &columns, hour, about, rows, Effort::Quick) {
                    Ok(file) => written.push((name.to_string(), file)),
                    Err(error) => {
                        written.iter().for_each(|(_, file)| file.doom());
                        return Err(error);
                    }
                }
            }
        }
        Ok(written)
    }

    /// The rows by the hour that they happened in. A time that cannot be true, long ago or ahead of the
    /// clock, goes with the hour of now, so that it can neither make folders without end nor be dropped
    /// before its time.
    fn by_hour(&self, table: &Table, batches: &[RecordBatch], now: Millis) -> BTreeMap<Hour, Part> {
        let oldest = now - self.limits.of(table.name()).max_age_ms;
        let mut hours: BTreeMap<Hour, Part> = BTreeMap::new();
        for batch in batches {
            let times = table.times(batch);
            let possible = |at: Millis| at >= oldest && at <= now + AHEAD_MS;
            let hour_of = |at: Millis| Hour::of(if possible(at) { at } else { now });
            let Some(first) = times.first().map(|at| hour_of(*at)) else { continue };
            if times.iter().all(|at| hour_of(*at) == first) {
                hours.entry(first).or_default().add(batch.clone(), &times);
                continue;
            }
            let mut rows: BTreeMap<Hour, Vec<u32>> = BTreeMap::new();
            for (index, at) in (0..).zip(&times) {
                rows.entry(hour_of(*at)).or_default().push(index);
            }
            for (hour, rows) in rows {
                let of_hour: Vec<Millis> = rows.iter().map(|i| times[*i as usize]).collect();
                if let Ok(part) = take_record_batch(batch, &UInt32Array::from(rows)) {
                    hours.entry(hour).or_default().add(part, &of_hour);
                }
            }
        }
        hours
    }
}

/// Batches of one hour.
#[derive(Debug)]
struct Part {
    batches: Vec<RecordBatch>,
    min: Millis,
    max: Millis,
}

impl Default for Part {
    fn default() -> Self {
        Self { batches: Vec::new(), min: Millis(u64::MAX), max: Millis(0) }
    }
}

impl Part {
    fn add(&mut self, batch: RecordBatch, times: &[Millis]) {
        self.batches.push(batch);
        for at in times {
            self.min = self.min.min(*at);
            self.max = self.max.max(*at);
        }
    }
}
