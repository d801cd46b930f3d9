//! Rows of this node for alert rules: those of the past, hour by hour, out of files and memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use holm_alert::{Engine, LAG_MS, TableShape, Watched, span_of};
use holm_events::{EventStore, FileScan, Snapshot, Table};
use holm_model::Millis;
use holm_query::RecordBatch;

const HOUR_MS: u64 = 60 * 60 * 1_000;
/// A node that has rows writes some of them in this time, whatever their table, in milliseconds.
const SILENT_MS: u64 = 15 * 60 * 1_000;

/// The tables of a store as rules ask them.
pub(super) fn shapes(store: &EventStore) -> BTreeMap<Box<str>, TableShape> {
    let tables = store.tables().into_iter();
    tables.map(|table| (table.name().into(), shape(&table))).collect()
}

fn shape(table: &Table) -> TableShape {
    TableShape { schema: Arc::clone(table.schema()), time: table.time_column().into() }
}

/// When this node took rows: where it has some of any table, and since it runs.
pub(super) fn watched(snapshots: &[Snapshot], since: Millis) -> Watched {
    let files = snapshots.iter().flat_map(|snapshot| &snapshot.files).map(|file| file.times());
    let waiting = snapshots.iter().flat_map(|snapshot| {
        let time = snapshot.table.time_column();
        snapshot.batches.iter().filter_map(move |batch| span_of(batch, time))
    });
    Watched::of(files.chain(waiting).chain([(since, Millis(u64::MAX))]), SILENT_MS)
}

/// Rows of the past.
pub(super) struct Past {
    tables: Vec<PastTable>,
    /// What could not be read, for people.
    pub(super) problems: Vec<String>,
}

struct PastTable {
    name: Box<str>,
    columns: BTreeSet<String>,
    /// Files with the first and last moment of each row group, in milliseconds.
    files: Vec<(FileScan, Vec<(u64, u64)>)>,
    batches: Vec<RecordBatch>,
}

impl Past {
    /// Rows since `from` of the tables that the rules look at, out of what the store had at one moment.
    pub(super) fn open(
        wanted: &BTreeMap<Box<str>, Vec<Box<str>>>,
        snapshots: &[Snapshot],
        from: Millis,
    ) -> Self {
        let mut past = Self { tables: Vec::new(), problems: Vec::new() };
        for snapshot in snapshots {
            let name = snapshot.table.name();
            let Some(columns) = wanted.get(name) else { continue };
            let shape = shape(&snapshot.table);
            let (per_ms, time) = (shape.per_ms(), &*shape.time);
            let mut files = Vec::new();
            // The oldest hour is first: those before it are older still.
            for file in snapshot.files.iter().rev() {
                let scan = match file.scan() {
                    Ok(scan) => scan,
                    Err(error) => {
                        past.problems.push(format!("{}: {error}", file.location()));
                        continue;
                    }
                };
                let bounds = (0..scan.row_groups()).map(|group| {
                    let found = scan.bounds(group, time);
                    found.map_or((0, u64::MAX), |(least, most)| {
                        let ms = |time: i64| (time / per_ms).max(0).cast_unsigned();
                        (ms(least), ms(most))
                    })
                });
                let bounds: Vec<(u64, u64)> = bounds.collect();
                let latest = bounds.iter().map(|(_, most)| *most).max().unwrap_or(0);
                if latest.saturating_add(HOUR_MS) < from.0 {
                    break;
                }
                files.push((scan, bounds));
            }
            files.reverse();
            past.tables.push(PastTable {
                name: name.into(),
                columns: columns.iter().map(ToString::to_string).collect(),
                files,
                batches: snapshot.batches.clone(),
            });
        }
        past
    }

    /// Feeds rows from `from` up to `now` in the order of their hours, and judges on the way. `false`: `stop` said
    /// so.
    pub(super) fn feed(
        &mut self,
        engine: &mut Engine,
        (from, now): (Millis, Millis),
        stop: &dyn Fn() -> bool,
    ) -> bool {
        let mut begin = from;
        while begin < now {
            if stop() {
                return false;
            }
            let end = Millis((begin.0 / HOUR_MS + 1) * HOUR_MS).min(now);
            // Rows that are a little ahead of the clock belong to the last.
            let until = if end == now { Millis(u64::MAX) } else { end };
            for table in &self.tables {
                if let Err(error) = table.feed(engine, (begin, until), end) {
                    self.problems.push(format!("rows of {} cannot be read: {error}", table.name));
                }
            }
            engine.judge(if end == now { now } else { end + LAG_MS });
            begin = end;
        }
        true
    }
}

impl PastTable {
    fn feed(&self, engine: &mut Engine, between: (Millis, Millis), now: Millis) -> io::Result<()> {
        for (scan, groups) in &self.files {
            for (group, (least, most)) in groups.iter().enumerate() {
                if *most < between.0.0 || *least >= between.1.0 {
                    continue;
                }
                for batch in scan.read(group, &self.columns, &BTreeSet::new())? {
                    engine.take(&self.name, &batch?, between, now);
                }
            }
        }
        for batch in &self.batches {
            engine.take(&self.name, batch, between, now);
        }
        Ok(())
    }
}
