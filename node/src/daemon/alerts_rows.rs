//! Rows of this node for alert rules: those of the past, hour by hour, out of files and memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use holm_alert::{Engine, LAG_MS, TableShape, Watched, span_of, times_of};
use holm_events::{EventFile, EventStore, FileScan, Snapshot, Table};
use holm_model::Millis;
use holm_query::RecordBatch;

const HOUR_MS: u64 = 60 * 60 * 1_000;
/// A node that has rows writes some of them in this time, whatever their table, in milliseconds.
const SILENT_MS: u64 = 15 * 60 * 1_000;
/// Times of rows are told apart by this, in milliseconds.
const SLICE_MS: u64 = 5 * 60 * 1_000;
const SLICES: usize = (HOUR_MS / SLICE_MS) as usize;
/// Most rows of an hour whose times are looked at one by one; of further files all between the first and the last row
/// counts.
const MOST_ROWS: usize = 2 << 20;

/// The tables of a store as rules ask them.
pub(super) fn shapes(store: &EventStore) -> BTreeMap<Box<str>, TableShape> {
    let tables = store.tables().into_iter();
    tables.map(|table| (table.name().into(), shape(&table))).collect()
}

fn shape(table: &Table) -> TableShape {
    TableShape { schema: Arc::clone(table.schema()), time: table.time_column().into() }
}

/// When this node took rows, from `from` on: where it has some of any table, and since it runs. Files are read no
/// more once `stop` says so; then all counts between their first and their last row.
pub(super) fn watched(
    snapshots: &[Snapshot],
    (from, since): (Millis, Millis),
    stop: &dyn Fn() -> bool,
) -> Watched {
    let mut spans = vec![(since, Millis(u64::MAX))];
    for snapshot in snapshots {
        let time = snapshot.table.time_column();
        spans.extend(snapshot.batches.iter().filter_map(|batch| span_of(batch, time)));
    }
    let mut hours: BTreeMap<u64, Vec<(&Arc<EventFile>, TableShape)>> = BTreeMap::new();
    for snapshot in snapshots {
        for file in &snapshot.files {
            let (first, last) = file.times();
            let matters = last.0.saturating_add(SILENT_MS) >= from.0 && first < since;
            match last.since(first) > SILENT_MS {
                _ if !matters => {}
                // What lies elsewhere is not fetched for this.
                true if !file.is_cold() => {
                    let of = hours.entry(first.0 / HOUR_MS).or_default();
                    of.push((file, shape(&snapshot.table)));
                }
                _ => spans.push((first, last)),
            }
        }
    }
    for (hour, mut files) in hours {
        let mut seen = Seen { begin: hour * HOUR_MS, slices: [None; SLICES], left: MOST_ROWS };
        files.sort_by_key(|(file, _)| file.rows());
        for (file, shape) in files {
            if seen.is_full() {
                break;
            }
            match if stop() { Ok(false) } else { seen.read(file, &shape) } {
                Ok(true) => {}
                Ok(false) => spans.push(file.times()),
                // Its rows are not counted either.
                Err(error) => {
                    tracing::warn!(file = file.location(), %error, "it is not known when rows were taken");
                }
            }
        }
        spans.extend(seen.slices.into_iter().flatten());
    }
    Watched::of(spans, SILENT_MS)
}

/// The first and the last moment of a row group, in milliseconds, if the file says so.
fn bounds(scan: &FileScan, group: usize, shape: &TableShape) -> Option<(u64, u64)> {
    let ms = |time: i64| (time / shape.per_ms()).max(0).cast_unsigned();
    let (first, last) = scan.bounds(group, &shape.time)?;
    Some((ms(first), ms(last).max(ms(first))))
}

/// When there were rows in an hour: the first and the last of each slice of it.
struct Seen {
    begin: u64,
    slices: [Option<(Millis, Millis)>; SLICES],
    /// How many rows may still be looked at one by one.
    left: usize,
}

impl Seen {
    fn is_full(&self) -> bool {
        self.slices.iter().all(Option::is_some)
    }

    /// Takes the times of a file's rows; of a part of it whose rows are close together the first and the last.
    /// `false`: there are too many.
    fn read(&mut self, file: &Arc<EventFile>, shape: &TableShape) -> io::Result<bool> {
        let scan = file.scan()?;
        let wanted = BTreeSet::from([shape.time.to_string()]);
        for group in 0..scan.row_groups() {
            if let Some((first, last)) = bounds(&scan, group, shape)
                && last - first <= SLICE_MS
            {
                self.take(first);
                self.take(last);
                continue;
            }
            for batch in scan.read(group, &wanted, &BTreeSet::new())? {
                let times = times_of(&batch?, &shape.time).unwrap_or_default();
                let Some(left) = self.left.checked_sub(times.len()) else { return Ok(false) };
                self.left = left;
                times.into_iter().for_each(|at| self.take(at));
            }
        }
        Ok(true)
    }

    fn take(&mut self, at: u64) {
        let slice = (at.saturating_sub(self.begin) / SLICE_MS) as usize;
        if let Some(slice) = self.slices.get_mut(slice) {
            let (first, last) = slice.unwrap_or((Millis(at), Millis(at)));
            *slice = Some((first.min(Millis(at)), last.max(Millis(at))));
        }
    }
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
                let bounds = (0..scan.row_groups())
                    .map(|group| bounds(&scan, group, &shape).unwrap_or((0, u64::MAX)));
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

#[cfg(test)]
mod tests {
    use holm_events::{Disk, EventKey, Limits, Setup};
    use holm_model::Row;

    use super::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn a_pause_within_an_hour_is_seen_also_where_its_rows_lie_in_one_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let (store, _) = EventStore::open(Setup {
            folder: dir.path().join("events"),
            tenant: "acme".parse().expect("valid"),
            key: EventKey::new(&[3; 32]),
            tables: super::super::rows::tables().expect("tables"),
            limits: Limits::default(),
            clock: Millis::now,
            disk: Disk::default(),
            old: None,
            cold: None,
            outlet: None,
        })
        .expect("opens");
        let now = Millis::now();
        let hour = (now.0 / HOUR_MS - 2) * HOUR_MS;
        let took = |minute: u64| Row::new("active_results", Millis(hour + minute * MINUTE));
        // A table of few rows, and one of more; there was a pause from twenty to fifty.
        let busy = (1..20).chain(50..60).map(took);
        let other = |minute: u64| Row::new("host_connections", Millis(hour + minute * MINUTE));
        busy.chain([other(2), other(58)]).for_each(|row| store.append(row));
        store.flush();
        store.roll();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let snapshots: Vec<Snapshot> = loop {
            let tables = store.tables();
            let all: Vec<Snapshot> =
                tables.iter().filter_map(|table| store.snapshot(table.name())).collect();
            let files = || all.iter().flat_map(|snapshot| &snapshot.files);
            if files().count() == 2 && all.iter().all(|snapshot| snapshot.batches.is_empty()) {
                assert!(files().all(|file| file.times().1.since(file.times().0) > 50 * MINUTE));
                break all;
            }
            assert!(std::time::Instant::now() < until, "rows are not in files");
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        let covers = |watched: &Watched, from: u64, to: u64| {
            watched.covers(hour + from * MINUTE, hour + to * MINUTE)
        };
        let found = watched(&snapshots, (Millis(hour), now), &|| false);
        assert!(covers(&found, 2, 19) && covers(&found, 51, 59), "{found:?}");
        assert!(!covers(&found, 18, 25) && !covers(&found, 30, 35) && !covers(&found, 45, 52));
        assert!(!covers(&found, 59, 119) && covers(&found, 180, 9_999), "it runs since now");
        // Whoever has no time takes the files' word.
        let hasty = watched(&snapshots, (Millis(hour), now), &|| true);
        assert!(covers(&hasty, 2, 58), "{hasty:?}");
    }
}
