//! The thread that commits: it alone writes the log.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use holm_model::Row;

use crate::counters::Counters;
use crate::rows::to_batch;
use crate::store::{Message, Shared};
use crate::table::Table;
use crate::wal::{Segment, frame};

/// Rows are durable after this long at most.
const GROUP_COMMIT: Duration = Duration::from_millis(200);
/// Bytes that are committed before the time is up.
const COMMIT_BYTES: usize = 8 << 20;
const RETRY_AFTER_FAILURE: Duration = Duration::from_millis(500);
/// How often an idle writer looks whether its segment is old.
const IDLE: Duration = Duration::from_secs(1);
/// Segments that may wait to become files; then the open one grows.
const MAX_FROZEN: usize = 1;
/// How much larger than it should be the open segment may grow before rows have to wait.
const GROWTH: u64 = 2;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    next: u64,
    segment: Option<(u64, Segment)>,
    segment_since: Instant,
    rows: BTreeMap<Box<str>, Vec<Row>>,
    /// What is to be committed, by table.
    ready: BTreeMap<Box<str>, (Arc<Table>, Vec<RecordBatch>)>,
    /// Bytes of the queue that wait here.
    bytes: usize,
    roll: bool,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, next: u64) -> Self {
        Self {
            shared,
            next,
            segment: None,
            segment_since: Instant::now(),
            rows: BTreeMap::new(),
            ready: BTreeMap::new(),
            bytes: 0,
            roll: false,
        }
    }

    pub(crate) fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let (asked, open) = self.gather(inbox);
            let written = self.commit();
            self.rotate_if_due();
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

    const fn waits(&self) -> bool {
        self.bytes > 0
    }

    /// Waits for a first row, then for as long as a group may take. `false`: no producer is left.
    fn gather(&mut self, inbox: &Receiver<Message>) -> (Vec<SyncSender<()>>, bool) {
        // What failed before is tried at once.
        let mut until = Instant::now() + if self.waits() { Duration::ZERO } else { IDLE };
        while self.bytes < COMMIT_BYTES {
            let first = !self.waits();
            match inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Row(row, bytes)) => {
                    self.bytes += bytes;
                    self.rows.entry(row.table.as_ref().into()).or_default().push(row);
                }
                Ok(Message::Batch(table, batch, bytes)) => {
                    self.bytes += bytes;
                    let name = table.name().into();
                    self.ready.entry(name).or_insert((table, Vec::new())).1.push(batch);
                }
                Ok(Message::Roll) => {
                    self.roll = true;
                    return (Vec::new(), true);
                }
                Ok(Message::Flush(done)) => return (vec![done], true),
                Err(RecvTimeoutError::Timeout) => return (Vec::new(), true),
                Err(RecvTimeoutError::Disconnected) => return (Vec::new(), false),
            }
            if first {
                until = Instant::now() + GROUP_COMMIT;
            }
        }
        (Vec::new(), true)
    }

    /// Commits what waits. After a failure it waits on: meanwhile the queue fills, and what has no room
    /// there is counted.
    fn commit(&mut self) -> bool {
        self.columns();
        while !self.ready.is_empty() {
            match self.write() {
                Ok(()) => self.committed(),
                Err(error) => {
                    let full = error.kind() == io::ErrorKind::StorageFull;
                    let root = self.shared.shelving.root.display();
                    self.shared.counters.failed(Some(format!(
                        "event log in {root}: cannot be written: {error}; free disk space, the rows wait in memory meanwhile"
                    )));
                    if !(full && self.shared.make_room()) {
                        return false;
                    }
                }
            }
        }
        if self.bytes > 0 {
            // Rows that no table takes are counted and gone.
            self.shared.queued_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
            self.bytes = 0;
        }
        true
    }

    /// Rows become columns.
    fn columns(&mut self) {
        for (name, rows) in std::mem::take(&mut self.rows) {
            let made = self
                .shared
                .table_of_rows(&name)
                .and_then(|table| Some((to_batch(&table, &rows).ok()?, table)));
            match made {
                Some((batch, table)) => {
                    self.ready.entry(name).or_insert((table, Vec::new())).1.push(batch);
                }
                None => Counters::add(&self.shared.counters.refused, rows.len() as u64),
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if let Some((_, segment)) = &self.segment
            && segment.is_torn()
        {
            segment.mend()?;
            self.freeze();
        }
        if self.segment.is_none() {
            let (folder, number) = (&self.shared.shelving.root, self.next);
            let (disk, key) = (&self.shared.shelving.disk, &self.shared.shelving.key);
            let segment = Segment::create(disk, key, folder, &self.shared.shelving.tenant, number)?;
            self.segment = Some((number, segment));
            self.segment_since = Instant::now();
            self.next += 1;
        }
        let frames: io::Result<Vec<Vec<u8>>> =
            self.ready.values().map(|(table, batches)| frame(table.name(), batches)).collect();
        match &mut self.segment {
            Some((_, segment)) => segment.commit(frames?),
            None => Ok(()),
        }
    }

    fn committed(&mut self) {
        let log_bytes = self.segment.as_ref().map_or(0, |(_, segment)| segment.bytes());
        let mut rows = 0;
        let mut held = self.shared.held();
        for (table, batches) in std::mem::take(&mut self.ready).into_values() {
            for batch in batches {
                rows += batch.num_rows() as u64;
                held.tell(&table, &batch);
                held.push(&table, batch);
            }
        }
        held.open_bytes = log_bytes;
        drop(held);
        Counters::add(&self.shared.counters.committed, rows);
        self.shared.counters.failed(None);
        self.shared.queued_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.bytes = 0;
    }

    /// Freezes the segment when it is large or old, and lets the roller make files of it.
    fn rotate_if_due(&mut self) {
        let Some((_, segment)) = &self.segment else {
            self.roll = false;
            return;
        };
        let limits = &self.shared.limits;
        let old = self.segment_since.elapsed().as_millis() >= u128::from(limits.segment_age_ms);
        let due = segment.bytes() >= limits.segment_bytes || old || self.roll;
        if !due || segment.is_torn() {
            return;
        }
        let too_large = segment.bytes() >= GROWTH * limits.segment_bytes;
        let mut held = self.shared.held();
        while held.frozen.len() >= MAX_FROZEN && too_large && !self.shared.stops() {
            held = self.shared.wait(held, IDLE);
        }
        let room = held.frozen.len() < MAX_FROZEN;
        drop(held);
        if room {
            self.roll = false;
            self.freeze();
        }
    }

    fn freeze(&mut self) {
        let Some((number, segment)) = self.segment.take() else { return };
        let mut held = self.shared.held();
        let tables = std::mem::take(&mut held.open);
        held.open_bytes = 0;
        held.freeze(number, segment.path().to_owned(), segment.bytes(), tables, false);
        drop(held);
        self.shared.turned.notify_all();
    }
}
