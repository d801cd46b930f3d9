//! The store: a bounded queue, one writer thread, one redb file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use holm_model::{Millis, Row, TenantId};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use crate::{Quiet, RowKey, RowStoreError};

/// Sealed blocks by sequence number.
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
/// For each block: newest row's time in ms, rows, bytes.
const INDEX: TableDefinition<'_, u64, (u64, u32, u32)> = TableDefinition::new("index");

const GROUP_COMMIT: Duration = Duration::from_millis(200);
const MAX_ROWS_PER_BLOCK: usize = 4_096;
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How much is kept. Whatever bound is reached first drops the oldest block.
#[derive(Debug, Clone, Copy)]
pub struct RowLimits {
    /// Most bytes of sealed blocks.
    pub max_bytes: u64,
    /// Longest time a row is kept, in milliseconds.
    pub max_age_ms: u64,
    /// Most rows that wait for the writer.
    pub queue_rows: usize,
}

/// What was found when the store was opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Set if the file was damaged: where it was moved to. The store starts empty then.
    pub moved_aside: Option<(PathBuf, String)>,
}

/// Counters since the store was opened, and its size now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowStats {
    /// Rows made durable.
    pub committed: u64,
    /// Rows dropped because the queue was full.
    pub dropped_queue_full: u64,
    /// Rows dropped because they were the oldest when a bound was reached.
    pub dropped_oldest: u64,
    /// Failed writes (a full disk, say); their rows waited and were tried again.
    pub write_failures: u64,
    /// Blocks that could not be opened when read.
    pub unreadable_blocks: u64,
    /// Rows kept now.
    pub rows: u64,
    /// Bytes of sealed blocks kept now.
    pub bytes: u64,
}

#[derive(Default)]
struct Counters {
    committed: AtomicU64,
    dropped_queue_full: AtomicU64,
    dropped_oldest: AtomicU64,
    write_failures: AtomicU64,
    unreadable_blocks: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    last_error: Mutex<Option<String>>,
}

enum Message {
    Row(Row),
    Flush(SyncSender<()>),
}

struct Shared {
    path: PathBuf,
    tenant: TenantId,
    key: RowKey,
    database: Quiet,
    limits: RowLimits,
    counters: Counters,
}

/// The rows of one tenant at this site. Dropping it commits what waits and ends the writer.
pub struct RowStore {
    shared: Arc<Shared>,
    queue: Option<SyncSender<Message>>,
    writer: Option<JoinHandle<()>>,
}

impl RowStore {
    /// Opens `path`, or creates it. A damaged file is moved aside, never deleted.
    ///
    /// # Errors
    /// [`RowStoreError::Open`] if neither the file nor a fresh one can be used.
    pub fn open(
        path: &Path,
        tenant: TenantId,
        key: RowKey,
        limits: RowLimits,
        now: Millis,
    ) -> Result<(Self, OpenReport), RowStoreError> {
        let (database, report) = open_database(path, now)?;
        let shared = Arc::new(Shared {
            path: path.into(),
            tenant,
            key,
            database: Quiet::new("rows.redb", database),
            limits,
            counters: Counters::default(),
        });
        let next = shared.measure()?;
        let (queue, inbox) = mpsc::sync_channel(limits.queue_rows);
        let writer = std::thread::Builder::new()
            .name("row-writer".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || Writer { shared, next, waiting: Vec::new() }.run(&inbox)
            })
            .map_err(|error| RowStoreError::open(path, error))?;
        Ok((Self { shared, queue: Some(queue), writer: Some(writer) }, report))
    }

    /// Takes a row; it is durable within 200 ms. A full queue drops it and counts it.
    pub fn append(&self, row: Row) {
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            queue.try_send(Message::Row(row))
        {
            self.shared.counters.dropped_queue_full.fetch_add(1, Ordering::Relaxed);
        }
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

    /// The newest rows of `table` at or after `since`, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`RowStoreError::Read`]; an unreadable block is passed over and counted instead.
    pub fn newest(
        &self,
        table: &str,
        since: Millis,
        limit: usize,
    ) -> Result<Vec<Row>, RowStoreError> {
        let shared = &self.shared;
        let read = |error: redb::Error| RowStoreError::read(&shared.path, error);
        let transaction = shared.database.begin_read().map_err(|e| read(e.into()))?;
        let blocks = transaction.open_table(BLOCKS).map_err(|e| read(e.into()))?;
        let index = transaction.open_table(INDEX).map_err(|e| read(e.into()))?;
        let mut rows = Vec::new();
        for entry in index.iter().map_err(|e| read(e.into()))?.rev() {
            let (sequence, about) = entry.map_err(|e| read(e.into()))?;
            if rows.len() >= limit {
                break;
            }
            if Millis(about.value().0) < since {
                continue;
            }
            let sequence = sequence.value();
            let Some(block) = blocks.get(sequence).map_err(|e| read(e.into()))? else { continue };
            let Some(found) = shared.key.open(&shared.tenant, sequence, block.value()) else {
                shared.counters.unreadable_blocks.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            rows.extend(found.into_iter().rev().filter(|r| r.table == table && r.at >= since));
        }
        rows.truncate(limit);
        Ok(rows)
    }

    /// Counters and size.
    pub fn stats(&self) -> RowStats {
        let c = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RowStats {
            committed: read(&c.committed),
            dropped_queue_full: read(&c.dropped_queue_full),
            dropped_oldest: read(&c.dropped_oldest),
            write_failures: read(&c.write_failures),
            unreadable_blocks: read(&c.unreadable_blocks),
            rows: read(&c.rows),
            bytes: read(&c.bytes),
        }
    }

    /// What the last failed write said, until one succeeds.
    pub fn last_error(&self) -> Option<String> {
        self.shared.counters.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for RowStore {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to save.
            let _ = writer.join();
        }
    }
}

impl Shared {
    /// Counts what is kept and returns the next sequence number.
    fn measure(&self) -> Result<u64, RowStoreError> {
        let open = |error: redb::Error| RowStoreError::open(&self.path, error);
        let transaction = self.database.begin_read().map_err(|e| open(e.into()))?;
        let index = transaction.open_table(INDEX).map_err(|e| open(e.into()))?;
        let (mut next, mut rows, mut bytes) = (0, 0, 0);
        for entry in index.iter().map_err(|e| open(e.into()))? {
            let (sequence, about) = entry.map_err(|e| open(e.into()))?;
            next = sequence.value() + 1;
            rows += u64::from(about.value().1);
            bytes += u64::from(about.value().2);
        }
        self.counters.rows.store(rows, Ordering::Relaxed);
        self.counters.bytes.store(bytes, Ordering::Relaxed);
        Ok(next)
    }
}

/// Creates the tables, so that a reader always finds them.
fn prepare(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(BLOCKS)?.len()?;
    transaction.open_table(INDEX)?.len()?;
    transaction.commit()?;
    Ok(())
}

fn try_open(path: &Path) -> Result<Database, redb::Error> {
    // redb asserts on some damaged files; a damaged file is no reason to go down.
    let opened = std::panic::catch_unwind(|| -> Result<Database, redb::Error> {
        let mut builder = Database::builder();
        builder.set_cache_size(4 << 20);
        let database = builder.create(path)?;
        prepare(&database)?;
        Ok(database)
    });
    opened.unwrap_or_else(|_| Err(redb::Error::Corrupted("the file is damaged".into())))
}

fn open_database(path: &Path, now: Millis) -> Result<(Database, OpenReport), RowStoreError> {
    match try_open(path) {
        Ok(database) => Ok((database, OpenReport::default())),
        Err(error @ (redb::Error::DatabaseAlreadyOpen | redb::Error::LockPoisoned(_))) => {
            Err(RowStoreError::open(path, error))
        }
        Err(redb::Error::Io(error))
            if !matches!(
                error.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            Err(RowStoreError::open(path, error))
        }
        Err(damage) => {
            let aside = path.with_extension(format!("redb.damaged-{}", now.0));
            std::fs::rename(path, &aside).map_err(|error| RowStoreError::open(path, error))?;
            let database = try_open(path).map_err(|error| RowStoreError::open(path, error))?;
            let report = OpenReport { moved_aside: Some((aside, damage.to_string())) };
            Ok((database, report))
        }
    }
}

/// The thread that commits: it alone writes.
struct Writer {
    shared: Arc<Shared>,
    next: u64,
    waiting: Vec<Row>,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let (asked, open) = self.gather(inbox);
            let written = self.commit();
            for done in asked {
                let _ = done.try_send(());
            }
            if !open {
                return;
            }
            if !written {
                std::thread::sleep(RETRY_AFTER_FAILURE);
            }
        }
    }

    /// Waits for a first row, then for as long as a group may take. `false`: no producer is left.
    fn gather(&mut self, inbox: &Receiver<Message>) -> (Vec<SyncSender<()>>, bool) {
        let mut asked = Vec::new();
        let mut until = (!self.waiting.is_empty()).then(Instant::now);
        while self.waiting.len() < MAX_ROWS_PER_BLOCK {
            let message = match until {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(until) => inbox.recv_timeout(until.saturating_duration_since(Instant::now())),
            };
            match message {
                Ok(Message::Row(row)) => {
                    self.waiting.push(row);
                    until.get_or_insert_with(|| Instant::now() + GROUP_COMMIT);
                }
                Ok(Message::Flush(done)) => {
                    asked.push(done);
                    return (asked, true);
                }
                Err(RecvTimeoutError::Timeout) => return (asked, true),
                Err(RecvTimeoutError::Disconnected) => return (asked, false),
            }
        }
        (asked, true)
    }

    /// Writes what waits as one block. After a failure the rows wait on, up to a block's worth:
    /// meanwhile the queue fills, and what does not fit there is counted.
    fn commit(&mut self) -> bool {
        if self.waiting.is_empty() {
            return true;
        }
        let counters = &self.shared.counters;
        let outcome = self.write();
        let mut last_error = counters.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                *last_error = None;
                counters.committed.fetch_add(self.waiting.len() as u64, Ordering::Relaxed);
                self.next += 1;
                self.waiting.clear();
                true
            }
            Err(error) => {
                *last_error = Some(RowStoreError::write(&self.shared.path, error).to_string());
                counters.write_failures.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    fn write(&self) -> Result<(), redb::Error> {
        let shared = &*self.shared;
        let newest = self.waiting.iter().map(|r| r.at).max().unwrap_or_default();
        let block = shared.key.seal(&shared.tenant, self.next, &self.waiting).ok_or_else(|| {
            redb::Error::Io(std::io::Error::other("the system gave no randomness for a nonce"))
        })?;
        let size = u32::try_from(block.len()).unwrap_or(u32::MAX);
        let count = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let (mut rows, mut bytes) = (
            shared.counters.rows.load(Ordering::Relaxed) + u64::from(count),
            shared.counters.bytes.load(Ordering::Relaxed) + u64::from(size),
        );
        let mut dropped = 0;
        let transaction = shared.database.begin_write()?;
        {
            let mut blocks = transaction.open_table(BLOCKS)?;
            let mut index = transaction.open_table(INDEX)?;
            blocks.insert(self.next, block.as_slice())?;
            index.insert(self.next, (newest.0, count, size))?;
            let oldest_kept = newest.0.saturating_sub(shared.limits.max_age_ms);
            loop {
                let oldest = index.first()?.map(|(key, about)| (key.value(), about.value()));
                let Some((sequence, (at, count, size))) = oldest else { break };
                let over = bytes > shared.limits.max_bytes || at < oldest_kept;
                if !over || sequence == self.next {
                    break;
                }
                index.remove(sequence)?;
                blocks.remove(sequence)?;
                rows -= u64::from(count);
                bytes -= u64::from(size);
                dropped += u64::from(count);
            }
        }
        transaction.commit()?;
        shared.counters.rows.store(rows, Ordering::Relaxed);
        shared.counters.bytes.store(bytes, Ordering::Relaxed);
        shared.counters.dropped_oldest.fetch_add(dropped, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RowLimits =
        RowLimits { max_bytes: 1 << 20, max_age_ms: 1_000_000, queue_rows: 1_000 };

    fn open(path: &Path, limits: RowLimits) -> (RowStore, OpenReport) {
        let tenant = TenantId::new("acme").expect("valid");
        RowStore::open(path, tenant, RowKey::new(&[1; 32]), limits, Millis(77)).expect("opens")
    }

    fn row(n: u64) -> Row {
        Row::new("active_results", Millis(n)).with("n", n)
    }

    #[test]
    fn rows_are_there_after_a_restart_newest_first() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rows.redb");
        {
            let (store, _) = open(&path, LIMITS);
            (0..10).for_each(|n| store.append(row(n)));
            store.append(Row::new("other", Millis(3)));
        }
        let (store, report) = open(&path, LIMITS);
        assert_eq!(report, OpenReport::default());
        let newest = store.newest("active_results", Millis(4), 3).expect("reads");
        assert_eq!(newest, [row(9), row(8), row(7)]);
        assert_eq!(store.newest("active_results", Millis(4), 99).expect("reads").len(), 6);
        assert_eq!(store.stats().rows, 11);
    }

    #[test]
    fn the_oldest_rows_go_first_and_are_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let limits = RowLimits { max_bytes: 2_000, ..LIMITS };
        let (store, _) = open(&dir.path().join("rows.redb"), limits);
        for n in 0..100 {
            store.append(row(n));
            store.flush();
        }
        let stats = store.stats();
        assert!(stats.bytes <= 2_000 && stats.rows < 100, "{stats:?}");
        assert_eq!(stats.rows + stats.dropped_oldest, 100);
        assert_eq!(store.newest("active_results", Millis(0), 1).expect("reads"), [row(99)]);
    }

    #[test]
    fn a_damaged_file_is_moved_aside_and_the_store_starts_empty() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rows.redb");
        {
            let (store, _) = open(&path, LIMITS);
            store.append(row(1));
        }
        std::fs::write(&path, b"not a database at all").expect("written");
        let (store, report) = open(&path, LIMITS);
        let (aside, _) = report.moved_aside.expect("moved aside");
        assert_eq!(std::fs::read(aside).expect("kept"), b"not a database at all");
        assert!(store.newest("active_results", Millis(0), 9).expect("reads").is_empty());
    }
}
