//! What every receiving thread does besides receiving: batches to the sink, counters to readers.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrow_array::RecordBatch;
use holm_model::TenantId;

use super::{CollectorReport, FlowSink};
use crate::counters::Counters;
use crate::decoder::{Batch, Carrier, Decoder, ExporterReport};
use crate::limits::Limits;
use crate::meaning::Tables;
use crate::state::FlowState;

/// Rows wait at most this long for their batch to fill.
const FLUSH_EVERY: Duration = Duration::from_millis(200);
/// Counters that readers see are at most this old.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// When exporters were heard is in the state too: at most this old.
const STATE_EVERY: Duration = Duration::from_secs(30);

/// What all threads of a collector work with.
#[derive(Clone)]
pub(super) struct Work {
    pub(super) tenant: TenantId,
    pub(super) limits: Limits,
    pub(super) sink: Arc<dyn FlowSink>,
    pub(super) tables: Arc<Tables>,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// What a thread shows.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) totals: Counters,
    pub(super) exporters: Vec<ExporterReport>,
    pub(super) pending_sets: u64,
    pub(super) kernel_drops: u64,
    pub(super) receive_errors: u64,
    pub(super) state: FlowState,
    /// Grows with what `state` has.
    pub(super) learnt: u64,
}

/// The place where a thread shows it.
#[derive(Debug, Clone, Default)]
pub(super) struct Board(Arc<Mutex<Shown>>);

impl Board {
    pub(super) fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_to(&self, report: &mut CollectorReport) {
        let shown = self.lock();
        report.totals.add(&shown.totals);
        report.exporters.extend(shown.exporters.iter().cloned());
        report.pending_sets += shown.pending_sets;
        report.kernel_drops += shown.kernel_drops;
        report.receive_errors += shown.receive_errors;
    }
}

/// A decoder with its clock and its sink.
pub(super) struct Worker {
    work: Work,
    decoder: Decoder,
    board: Board,
    pub(super) kernel_drops: u64,
    pub(super) receive_errors: u64,
    flushed: Instant,
    published: Instant,
    saved: Instant,
}

impl Worker {
    pub(super) fn new(work: &Work, carrier: Carrier, board: Board) -> Self {
        let now = Instant::now();
        let mut limits = work.limits.clone();
        if carrier == Carrier::Tcp {
            // There may be many sessions, each with little.
            limits.batch_rows = limits.batch_rows.min(1_024);
        }
        Self {
            work: work.clone(),
            decoder: Decoder::new(limits, carrier),
            board,
            kernel_drops: 0,
            receive_errors: 0,
            flushed: now,
            published: now,
            saved: now,
        }
    }

    pub(super) fn import(&mut self, state: &FlowState) {
        self.decoder.import_state(state);
        self.show(true);
    }

    pub(super) fn decode(&mut self, from: SocketAddr, now_ns: i64, datagram: &[u8]) {
        let mut refused = Vec::new();
        self.decoder.decode(from, now_ns, datagram, &mut |batch| {
            refused.extend(hand_over(&self.work, batch));
        });
        refused.iter().for_each(|rows| self.decoder.refused(rows));
    }

    /// What is due: batches that are not full, counters, state. Call it after each receive.
    pub(super) fn turn(&mut self, now_ns: i64) {
        let now = Instant::now();
        if now.duration_since(self.flushed) >= FLUSH_EVERY {
            self.flushed = now;
            self.flush();
        }
        if now.duration_since(self.published) >= PUBLISH_EVERY {
            self.published = now;
            self.decoder.tick(now_ns);
            let news = self.decoder.learnt() != self.board.lock().learnt;
            let save = news || now.duration_since(self.saved) >= STATE_EVERY;
            if save {
                self.saved = now;
            }
            self.show(save);
        }
    }

    /// The last turn.
    pub(super) fn finish(&mut self) {
        self.flush();
        self.show(true);
    }

    fn flush(&mut self) {
        let mut refused = Vec::new();
        self.decoder.flush(&mut |batch| refused.extend(hand_over(&self.work, batch)));
        refused.iter().for_each(|rows| self.decoder.refused(rows));
    }

    fn show(&self, state: bool) {
        let (totals, exporters) = (self.decoder.totals(), self.decoder.exporters());
        let state = state.then(|| self.decoder.export_state());
        let mut shown = self.board.lock();
        shown.totals = totals;
        shown.exporters = exporters;
        shown.pending_sets = self.decoder.pending().0 as u64;
        shown.kernel_drops = self.kernel_drops;
        shown.receive_errors = self.receive_errors;
        if let Some(state) = state {
            shown.learnt = self.decoder.learnt();
            shown.state = state;
        }
    }
}

/// Rows that the sink refused.
fn hand_over(work: &Work, batch: Batch) -> Option<RecordBatch> {
    let batch = match batch {
        Batch::Flows(rows) => Batch::Flows(work.tables.now().enrich(rows)),
        counters @ Batch::InterfaceCounters(_) => counters,
    };
    // Its buffers are shared, not copied.
    let rows = match &batch {
        Batch::Flows(rows) | Batch::InterfaceCounters(rows) => rows.clone(),
    };
    work.sink.take(&work.tenant, batch).is_err().then_some(rows)
}

/// Nanoseconds since 1970.
pub(super) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
