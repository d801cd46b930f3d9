//! The store of one tenant: what it is handed, and what it can be asked.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use arrow::array::RecordBatch;
use holm_model::{Millis, Row, TenantId};

use crate::cold::Cold;
use crate::counters::{Counters, EventStats, TableStats};
use crate::disk::Disk;
use crate::error::EventError;
use crate::file::{EventFile, Shelving};
use crate::held::{Frozen, Held, TableBatches};
use crate::key::EventKey;
use crate::limits::Limits;
use crate::old::OldRows;
use crate::outlet::{Outlet, OutletStats};
use crate::roller::Roller;
use crate::rows::from_batch;
use crate::shelf::{Reason, Shelf, set_aside};
use crate::table::{Table, weight};
use crate::writer::Writer;

/// Most tables that rows may make by themselves, beside those that are registered.
pub(crate) const MAX_TABLES: usize = 128;
/// About what a row weighs beside its columns, and for each of them.
const ROW_BYTES: usize = 96;
const VALUE_BYTES: usize = 56;

/// What a store is made of.
pub struct Setup {
    /// The folder, of this store alone.
    pub folder: PathBuf,
    /// Whose events these are.
    pub tenant: TenantId,
    /// What seals them.
    pub key: EventKey,
    /// The tables that are known; rows of others make a table with [`crate::ATTRIBUTES`] alone.
    pub tables: Vec<Table>,
    /// Bounds.
    pub limits: Limits,
    /// The wall clock.
    pub clock: fn() -> Millis,
    /// The disk; tests let it fail.
    pub disk: Disk,
    /// The row store of an earlier version, whose rows are taken over.
    pub old: Option<OldRows>,
    /// Where old files go; they stay on the disk without.
    pub cold: Option<Cold>,
    /// Where every file goes as well.
    pub outlet: Option<Outlet>,
}

/// The queue has no room; the batch's rows are lost and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull;

/// What was found when the store was opened, for people.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// One sentence each.
    pub messages: Vec<String>,
}

pub(crate) enum Message {
    Batch(Arc<Table>, RecordBatch, usize),
    Flush(SyncSender<()>),
    Roll,
    Row(Row, usize),
}

/// What the threads of a store share.
pub(crate) struct Shared {
    pub(crate) shelving: Shelving,
    pub(crate) limits: Limits,
    pub(crate) clock: fn() -> Millis,
    pub(crate) outlet: Option<Arc<Outlet>>,
    pub(crate) tables: RwLock<BTreeMap<Box<str>, Arc<Table>>>,
    held: Mutex<Held>,
    /// Something was frozen, or became files, or the store stops.
    pub(crate) turned: Condvar,
    pub(crate) counters: Counters,
    pub(crate) queued_bytes: AtomicUsize,
    pub(crate) stopping: AtomicBool,
}

/// A table at one moment: what a question reads. Files stay on the disk while this is held.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The table.
    pub table: Arc<Table>,
    /// Its files, oldest hour first.
    pub files: Vec<Arc<EventFile>>,
    /// What is not in a file yet, in the order it came.
    pub batches: Vec<RecordBatch>,
}

/// The events of one tenant at this site. Dropping it commits what waits and ends its threads.
pub struct EventStore {
    shared: Arc<Shared>,
    queue: Option<Sender<Message>>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for EventStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStore").field("folder", &self.shared.shelving.root).finish()
    }
}

impl EventStore {
    /// Opens the folder, or makes it: takes away what a crash left half done, reads the log back, takes
    /// over the rows of an earlier version. A damaged file is set aside, never deleted.
    ///
    /// # Errors
    /// [`EventError::Open`] if the folder cannot be used.
    pub fn open(setup: Setup) -> Result<(Self, OpenReport), EventError> {
        let Setup { folder, tenant, key, tables, limits, clock, disk, old, cold, outlet } = setup;
        let failed = |error: io::Error| EventError::open(&folder, error);
        disk.create_folder(&folder).map_err(failed)?;
        let shelving = Shelving {
            disk,
            root: folder.clone(),
            tenant: tenant.as_str().to_owned(),
            key: Arc::new(key),
            cold: cold.map(Arc::new),
        };
        let mut report = OpenReport::default();
        let found = Shelf::look(&shelving).map_err(failed)?;
        if found.set_aside > 0 {
            report.messages.push(format!(
                "{} event files in {} are damaged and were set aside (.damaged); their rows are not shown",
                found.set_aside,
                folder.display()
            ));
        }
        let counters = Counters::default();
        Counters::add(&counters.damaged, found.set_aside);
        let tables = tables.into_iter().map(|table| (table.name().into(), Arc::new(table)));
        let mut shared = Shared {
            shelving,
            limits: limits.within(Disk::volume_bytes(&folder)),
            clock,
            outlet: outlet.map(Arc::new),
            tables: RwLock::new(tables.collect()),
            held: Mutex::new(Held::new(found.shelf)),
            turned: Condvar::new(),
            counters,
            queued_bytes: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        };
        shared.register_found();
        if let Some(old) = old {
            report.messages.extend(crate::old::take_over(&old, &mut shared)?);
        }
        let next = shared.replay(found.highest, &mut report).map_err(failed)?;
        if let Some(outlet) = &shared.outlet {
            shared.load_position(outlet);
        }
        let shared = Arc::new(shared);
        let (queue, inbox) = mpsc::channel();
        let mut store =
            Self { shared: Arc::clone(&shared), queue: Some(queue), threads: Vec::new() };
        let writer = Writer::new(Arc::clone(&shared), next);
        store.start("event-writer", move || writer.run(&inbox))?;
        if let Some(cold) = shared.shelving.cold.clone() {
            let shared = Arc::clone(&shared);
            store.start("event-cooler", move || crate::cooler::run(&shared, &cold))?;
        }
        if let Some(outlet) = shared.outlet.clone() {
            let shared = Arc::clone(&shared);
            store.start("event-outlet", move || crate::outlet::run(&shared, &outlet))?;
        }
        let merging = Arc::clone(&shared);
        store.start("event-merger", move || crate::merger::run(&merging))?;
        let roller = Roller::new(shared);
        store.start("event-roller", move || roller.run())?;
        Ok((store, report))
    }

    fn start(
        &mut self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), EventError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        let folder = &self.shared.shelving.root;
        self.threads.push(thread.map_err(|error| EventError::open(folder, error))?);
        Ok(())
    }

    /// Takes a row; it is durable within 200 ms. Without room it is dropped and counted.
    pub fn append(&self, row: Row) {
        let text = row.columns.values().map(|value| match value {
            holm_model::Value::Text(text) => text.len(),
            _ => 0,
        });
        let bytes = ROW_BYTES + VALUE_BYTES * row.columns.len() + text.sum::<usize>();
        // Dropped and counted there.
        let _ = self.send(Message::Row(row, bytes), bytes, 1);
    }

    /// Takes a batch of a registered table; it is durable within 200 ms.
    ///
    /// # Errors
    /// [`QueueFull`]. A batch of an unknown table or with other columns is refused and counted instead.
    pub fn append_batch(&self, table: &str, batch: RecordBatch) -> Result<(), QueueFull> {
        let rows = batch.num_rows() as u64;
        let known = self.shared.table(table).filter(|known| {
            Arc::ptr_eq(known.schema(), batch.schema_ref()) || known.schema() == batch.schema_ref()
        });
        let Some(known) = known else {
            Counters::add(&self.shared.counters.refused, rows);
            return Ok(());
        };
        if rows == 0 {
            return Ok(());
        }
        let bytes = weight(&batch);
        self.send(Message::Batch(known, batch, bytes), bytes, rows)
    }

    /// Takes rows of a table of rows, all of them or none; they are durable within 200 ms.
    ///
    /// # Errors
    /// [`QueueFull`]. Rows of a table of batches are refused and counted instead.
    pub fn append_rows(&self, table: &str, rows: &[Row]) -> Result<(), QueueFull> {
        let known = self.shared.table_of_rows(table);
        let batch = known.and_then(|known| crate::rows::to_batch(&known, rows).ok());
        let Some(batch) = batch else {
            Counters::add(&self.shared.counters.refused, rows.len() as u64);
            return Ok(());
        };
        self.append_batch(table, batch)
    }

    fn send(&self, message: Message, bytes: usize, rows: u64) -> Result<(), QueueFull> {
        let shared = &self.shared;
        let waiting = shared.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        // One batch always fits, however large.
        let room = waiting == 0 || waiting + bytes <= shared.limits.queue_bytes;
        let sent = room && self.queue.as_ref().is_some_and(|queue| queue.send(message).is_ok());
        if sent {
            return Ok(());
        }
        shared.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        Counters::add(&shared.counters.dropped_queue_full, rows);
        Err(QueueFull)
    }

    /// Waits until every row that was appended before is durable, or its write failed.
    pub fn flush(&self) {
        let (done, wait) = mpsc::sync_channel(1);
        if let Some(queue) = &self.queue
            && queue.send(Message::Flush(done)).is_ok()
        {
            // A writer that ended drops its end, which ends the wait too.
            let _ = wait.recv();
        }
    }

    /// Makes files of everything that is in the log now and waits for it, unless the disk refuses.
    pub fn roll(&self) {
        self.flush();
        if let Some(queue) = &self.queue {
            let _ = queue.send(Message::Roll);
        }
        self.flush();
        let failures = || self.shared.counters.stats().write_failures;
        let before = failures();
        let mut held = self.shared.held();
        while !held.frozen.is_empty() && failures() == before {
            held = self.shared.wait(held, std::time::Duration::from_millis(100));
        }
        // Their logs go a moment later; one that cannot be removed is not waited for.
        for _ in 0..20 {
            if held.spent.is_empty() {
                break;
            }
            held = self.shared.wait(held, std::time::Duration::from_millis(50));
        }
    }

    /// The tables that can be asked, by name.
    pub fn tables(&self) -> Vec<Arc<Table>> {
        self.shared.all_tables()
    }

    /// Follows what is committed from now on. At most so many bytes wait for the follower; beyond that it
    /// misses rows, and is told so.
    pub fn follow(&self, most_bytes: usize) -> crate::Follower {
        crate::Follower::new(Arc::clone(&self.shared), most_bytes)
    }

    /// A table as it is now: all that was committed.
    pub fn snapshot(&self, table: &str) -> Option<Snapshot> {
        let table = self.shared.table(table)?;
        let held = self.shared.held();
        let files = held.shelf.of(table.name()).to_vec();
        let batches = held.batches(table.name());
        Some(Snapshot { table, files, batches })
    }

    /// The newest rows of `table` at or after `since`, newest first, at most `limit`. A damaged file is
    /// set aside, counted, and passed over.
    ///
    /// # Errors
    /// [`EventError::Read`] if the disk cannot be read.
    pub fn newest(&self, table: &str, since: Millis, limit: usize) -> Result<Vec<Row>, EventError> {
        let Some(snapshot) = self.snapshot(table) else { return Ok(Vec::new()) };
        let rows = crate::newest::newest(&snapshot, since, limit, from_batch);
        self.set_damaged_aside();
        rows
    }

    /// Sets aside the files that a reader found damaged; how many they were. A question that failed is
    /// worth asking again if this is not 0.
    pub fn set_damaged_aside(&self) -> usize {
        self.shared.set_damaged_aside()
    }

    /// Counters and size.
    pub fn stats(&self) -> EventStats {
        let held = self.shared.held();
        let in_files: u64 = held.shelf.tables().flat_map(|(_, f)| f).map(|f| f.rows()).sum();
        EventStats {
            rows: in_files + held.rows_in_memory(),
            bytes: held.shelf.bytes() + held.log_bytes(),
            files: held.shelf.tables().map(|(_, files)| files.len() as u64).sum(),
            ..self.shared.counters.stats()
        }
    }

    /// Each table that has rows or lost some.
    pub fn table_stats(&self) -> BTreeMap<String, TableStats> {
        let tables = self.tables();
        let held = self.shared.held();
        let known = tables.iter().map(|table| table.name());
        let names: std::collections::BTreeSet<&str> =
            known.chain(held.shelf.tables().map(|(name, _)| name)).collect();
        let stats = names.into_iter().map(|name| {
            let files = held.shelf.of(name);
            let (bytes, rows) = held.shelf.size(name);
            let in_memory = held.batches(name).iter().map(|b| b.num_rows() as u64).sum::<u64>();
            let [dropped_age, dropped_quota, dropped_disk_full] =
                self.shared.counters.dropped_of(name);
            let stats = TableStats {
                rows: rows + in_memory,
                bytes,
                files: files.len() as u64,
                oldest: files.iter().map(|file| file.name.min).min(),
                dropped_age,
                dropped_quota,
                dropped_disk_full,
            };
            (name.to_owned(), stats)
        });
        stats.filter(|(_, stats)| *stats != TableStats::default()).collect()
    }

    /// What the last failed write said, until one succeeds.
    pub fn last_error(&self) -> Option<String> {
        let error = self.shared.counters.last_error.lock();
        error.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What cold storage counts, where there is one.
    pub fn cold_stats(&self) -> Option<crate::ColdStats> {
        self.shared.shelving.cold.as_ref().map(|cold| cold.stats())
    }

    /// How far the outlet is, where there is one.
    pub fn outlet_stats(&self) -> Option<OutletStats> {
        let outlet = self.shared.outlet.as_ref()?;
        let held = self.shared.held();
        let files = held.shelf.tables();
        Some(
            outlet.stats(files.flat_map(|(table, files)| files.iter().map(move |f| (table, &**f)))),
        )
    }

    /// Its bounds.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The folder of the store.
    pub fn folder(&self) -> &Path {
        &self.shared.shelving.root
    }
}

impl Drop for EventStore {
    fn drop(&mut self) {
        self.queue = None;
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.turned.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to save.
            let _ = thread.join();
        }
    }
}

impl Shared {
    pub(crate) fn all_tables(&self) -> Vec<Arc<Table>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.values().cloned().collect()
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait<'a>(
        &self,
        held: MutexGuard<'a, Held>,
        at_most: std::time::Duration,
    ) -> MutexGuard<'a, Held> {
        let waited = self.turned.wait_timeout(held, at_most);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn stops(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(crate) fn table(&self, name: &str) -> Option<Arc<Table>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The table that rows of that name go to; one that is new is made, with attributes alone.
    pub(crate) fn table_of_rows(&self, name: &str) -> Option<Arc<Table>> {
        if let Some(known) = self.table(name) {
            return known.takes_rows().then_some(known);
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if tables.len() >= MAX_TABLES {
            return None;
        }
        let table = Arc::new(Table::of_rows(name, &[]).ok()?);
        tables.insert(name.into(), Arc::clone(&table));
        Some(table)
    }

    /// Tables of rows that an earlier run made, or whose plane is not here any more.
    fn register_found(&self) {
        let held = self.held();
        for (name, files) in held.shelf.tables() {
            if self.table(name).is_some() {
                continue;
            }
            // Cold storage is not asked while the node starts.
            let near = files.iter().rev().filter(|file| !file.is_cold());
            let newest = near.map(|file| file.parquet()).find_map(Result::ok);
            let table = newest.and_then(|reader| Table::found(name, reader.schema()));
            if let Some(table) = table {
                let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
                tables.insert(name.into(), Arc::new(table));
            }
        }
    }

    /// Reads the log back into memory; the roller makes files of it. The number of the next segment.
    fn replay(&self, highest: u64, report: &mut OpenReport) -> io::Result<u64> {
        let folder = &self.shelving.root;
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            segments.extend(crate::wal::number_of(&path).map(|number| (number, path)));
        }
        segments.sort();
        let next = segments.last().map_or(highest, |(number, _)| highest.max(*number));
        for (number, path) in segments {
            let (key, tenant) = (&self.shelving.key, &self.shelving.tenant);
            let replayed = match crate::wal::replay(key, &path, tenant, number) {
                Ok(replayed) => replayed,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    set_aside(&path)?;
                    Counters::add(&self.counters.damaged, 1);
                    report.messages.push(format!(
                        "the event log {} is damaged ({error}) and was set aside; its rows are lost",
                        path.display()
                    ));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if replayed.damaged {
                Counters::add(&self.counters.damaged, 1);
                report.messages.push(format!(
                    "the event log {} is damaged; rows after the damage are lost, the file is kept beside (.damaged)",
                    path.display()
                ));
            }
            let bytes = std::fs::metadata(&path)?.len();
            let rows = replayed.batches.iter().flat_map(|(_, batches)| batches);
            let rows: u64 = rows.map(|batch| batch.num_rows() as u64).sum();
            let mut held = self.held();
            let in_files: u64 = held.shelf.made_of(number).iter().map(|(_, f)| f.rows()).sum();
            if replayed.damaged && in_files >= rows {
                // It became files before it was damaged.
                drop(held);
                set_aside(&path)?;
                continue;
            }
            held.forget_files_of(number);
            drop(held);
            let mut tables = TableBatches::new();
            for (name, batches) in replayed.batches {
                // The log knows what it holds: a table of an earlier version fits as far as it does.
                let Some(table) = self.table(&name).or_else(|| self.table_of_rows(&name)) else {
                    let lost: usize = batches.iter().map(RecordBatch::num_rows).sum();
                    Counters::add(&self.counters.refused, lost as u64);
                    continue;
                };
                for batch in batches {
                    match crate::wal::fitted(&batch, table.schema()) {
                        Some(batch) => tables.entry(table.name().into()).or_default().push(batch),
                        None => Counters::add(&self.counters.refused, batch.num_rows() as u64),
                    }
                }
            }
            self.held().freeze(number, path, bytes, tables, replayed.damaged);
        }
        Ok(next.max(crate::old::LAST_SEGMENT) + 1)
    }

    /// Drops files, counts them and says so.
    pub(crate) fn drop_files(&self, gone: &[(String, Arc<EventFile>, Reason)]) {
        if gone.is_empty() {
            return;
        }
        let mut held = self.held();
        let mut rows = 0;
        for (table, file, reason) in gone {
            held.shelf.take_off(table, std::slice::from_ref(file));
            file.doom();
            self.lost_to_outlet(table, file);
            rows += file.rows();
            self.counters.dropped(table, *reason, file.rows());
        }
        drop(held);
        let (table, _, reason) = &gone[0];
        match reason {
            Reason::Age => tracing::info!(
                tenant = self.shelving.tenant,
                files = gone.len(),
                rows,
                "the oldest events were dropped: they are past their age"
            ),
            _ => tracing::warn!(
                tenant = self.shelving.tenant,
                table,
                files = gone.len(),
                rows,
                ?reason,
                "the oldest events were dropped to keep within the bounds"
            ),
        }
    }

    fn lost_to_outlet(&self, table: &str, file: &EventFile) {
        if let Some(outlet) = &self.outlet {
            outlet.dropped(table, file);
        }
    }

    /// Makes room on a full disk: the oldest file of the largest table goes. `false`: there is none.
    pub(crate) fn make_room(&self) -> bool {
        let first = self.held().shelf.first_to_go();
        let Some((table, file)) = first else { return false };
        self.drop_files(&[(table, file, Reason::DiskFull)]);
        true
    }

    /// Makes room on a full disk where no file is left that could go: the oldest segment of log goes, as it cannot become
    /// files and keeps newer rows from being written. `false`: no newer rows want its room.
    pub(crate) fn give_up_log(&self, frozen: &Frozen) -> bool {
        if self.queued_bytes.load(Ordering::Acquire) < self.limits.queue_bytes / 2 {
            return false;
        }
        if let Err(error) = self.shelving.disk.remove(&frozen.path) {
            tracing::warn!(path = %frozen.path.display(), %error, "an event log could not be removed to make room");
            return false;
        }
        self.held().frozen.retain(|other| other.segment != frozen.segment);
        let mut lost = 0;
        for (table, batches) in &*frozen.tables {
            let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
            self.counters.dropped(table, Reason::DiskFull, rows);
            lost += rows;
        }
        if let Some(outlet) = &self.outlet {
            outlet.lost(lost);
        }
        tracing::warn!(
            tenant = self.shelving.tenant,
            rows = lost,
            "the oldest events were dropped: the disk is full, and they had no room to become files"
        );
        self.turned.notify_all();
        true
    }

    pub(crate) fn set_damaged_aside(&self) -> usize {
        let mut held = self.held();
        let all = held.shelf.tables();
        let damaged: Vec<(String, Arc<EventFile>)> = all
            .flat_map(|(table, files)| files.iter().map(move |f| (table.to_owned(), f)))
            .filter(|(_, file)| file.is_damaged())
            .map(|(table, file)| (table, Arc::clone(file)))
            .collect();
        for (table, file) in &damaged {
            held.shelf.take_off(table, std::slice::from_ref(file));
            self.lost_to_outlet(table, file);
            Counters::add(&self.counters.damaged, 1);
            let kept = set_aside(file.path());
            tracing::error!(path = %file.path().display(), rows = file.rows(), ?kept, "an event file is damaged: it is set aside (.damaged), its rows are not shown");
        }
        damaged.len()
    }
}
