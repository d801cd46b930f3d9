//! Looks at what goes into the store: a thread of its own, so that receiving never waits for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use holm_model::{Millis, Row, TenantId};
use holm_plane::{FactSink, HealthHandle, RowSink};

use super::detect::{Detector, Finding, Heavy, Seen, Settings, Turn, level};
use super::enrich::Enricher;
use super::tables::Tables;
use super::talks::Talks;
use super::{ANOMALIES_TABLE, DETECTORS_TABLE, HEAVY_TABLE};
use crate::decoder::Batch;
use crate::keep::{Keeper, load, save};
use crate::receive::{FlowSink, SinkFull};

/// Batches that wait to be looked at.
const MAX_WAITING: usize = 256;
/// The document of what is usual.
const BASELINES: &str = "flow-baselines";
const SAVE_EVERY: Duration = Duration::from_secs(600);
const TELL_EVERY_MS: u64 = 30_000;
const MINUTE_MS: u64 = 60_000;
const SIGNALS_TABLE: &str = "signals";

/// What the watch works with.
pub(crate) struct Watching {
    pub(crate) tables: Arc<Tables>,
    pub(crate) facts: Arc<dyn FactSink>,
    pub(crate) rows: Arc<dyn RowSink>,
    pub(crate) keeper: Arc<dyn Keeper>,
    pub(crate) health: HealthHandle,
    pub(crate) settings: Settings,
    pub(crate) edges_per_minute: usize,
    pub(crate) clock: fn() -> Millis,
}

/// A sink that passes batches on and lets the watch look at them.
pub(crate) struct Watched {
    sink: Arc<dyn FlowSink>,
    watch: Mutex<Option<SyncSender<RecordBatch>>>,
    skipped: Arc<AtomicU64>,
}

/// The thread.
pub(crate) struct Watch {
    watched: Arc<Watched>,
    thread: Option<JoinHandle<()>>,
}

impl FlowSink for Watched {
    fn take(&self, tenant: &TenantId, batch: Batch) -> Result<(), SinkFull> {
        if let Batch::Flows(rows) = &batch {
            let count = rows.num_rows() as u64;
            let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
            // Its buffers are shared, not copied.
            let sent = watch.as_ref().is_some_and(|watch| watch.try_send(rows.clone()).is_ok());
            drop(watch);
            self.skipped.fetch_add(if sent { 0 } else { count }, Ordering::Relaxed);
        }
        self.sink.take(tenant, batch)
    }
}

impl Watch {
    /// Starts it.
    pub(crate) fn start(watching: Watching, sink: &Arc<dyn FlowSink>) -> std::io::Result<Self> {
        let (send, receive) = sync_channel(MAX_WAITING);
        let skipped = Arc::new(AtomicU64::new(0));
        let theirs = Arc::clone(&skipped);
        let thread = std::thread::Builder::new()
            .name("flow-watch".into())
            .spawn(move || watch(&watching, &receive, &theirs))?;
        let (sink, watch) = (Arc::clone(sink), Mutex::new(Some(send)));
        let watched = Arc::new(Watched { sink, watch, skipped });
        Ok(Self { watched, thread: Some(thread) })
    }

    /// Where batches go.
    pub(crate) fn sink(&self) -> Arc<dyn FlowSink> {
        Arc::clone(&self.watched) as Arc<dyn FlowSink>
    }

    /// Ends it, after what is usual was kept.
    pub(crate) fn stop(&mut self) {
        self.watched.watch.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the watch over flows panicked");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

fn watch(watching: &Watching, batches: &Receiver<RecordBatch>, skipped: &AtomicU64) {
    let known = load(watching.keeper.as_ref(), BASELINES);
    let mut detector = Detector::new(watching.settings, known.as_deref());
    let mut talks = Talks::new(watching.edges_per_minute);
    let keep = |detector: &Detector| {
        save(watching.keeper.as_ref(), BASELINES, &detector.export(&watching.tables.now()));
    };
    let (mut saved, mut told, mut minute) = (Instant::now(), Millis(0), 0);
    let (mut refused, mut skipped_before, mut late) = (0, 0, 0);
    let mut looked = 0;
    loop {
        let batch = batches.recv_timeout(Duration::from_millis(500));
        let (now, names) = ((watching.clock)(), watching.tables.now());
        let names = &*names;
        match &batch {
            Ok(batch) => {
                look(batch, now, &mut detector, &mut talks, names);
                looked += 1;
                watching.health.set_counter("watch_batches", looked);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if now.0 / MINUTE_MS != minute {
            minute = now.0 / MINUTE_MS;
            talks.end_minute(now, names, watching.facts.as_ref());
            let judged = detector.turn(now.0, names);
            for finding in &judged.findings {
                tell(finding, watching.rows.as_ref());
            }
            for heavy in judged.heavy {
                watching.rows.append(heavy_row(heavy));
            }
        }
        if now.since(told) >= TELL_EVERY_MS {
            told = now;
            let (followed, warming) = detector.size(now.0);
            let skips = skipped.load(Ordering::Relaxed);
            let health = &watching.health;
            health.set_counter("followed", followed as u64);
            health.set_counter("followed_warming", warming as u64);
            health.set_counter("followed_refused", detector.refused);
            health.set_counter("watch_skipped", skips);
            health.set_counter("watch_late_bytes", detector.late_bytes);
            health.set_counter("edges", talks.held() as u64);
            health.set_counter("edges_not_told", talks.not_told);
            watching.rows.append(
                Row::new(DETECTORS_TABLE, now)
                    .with("followed", followed as u64)
                    .with("warming", warming as u64)
                    .with("refused", detector.refused - refused)
                    .with("skipped", skips - skipped_before)
                    .with("late_bytes", detector.late_bytes - late),
            );
            (refused, skipped_before, late) = (detector.refused, skips, detector.late_bytes);
        }
        if saved.elapsed() >= SAVE_EVERY {
            saved = Instant::now();
            keep(&detector);
        }
    }
    talks.end_minute((watching.clock)(), &watching.tables.now(), watching.facts.as_ref());
    keep(&detector);
}

fn heavy_row(heavy: Heavy) -> Row {
    Row::new(HEAVY_TABLE, Millis(heavy.at_ms))
        .with("kind", heavy.kind)
        .with("key", heavy.key)
        .with("bytes", heavy.bytes)
        .with("error_bytes", heavy.error)
        .with("total_bytes", heavy.total)
        .with("bound_bytes", heavy.bound)
}

fn tell(finding: &Finding, rows: &dyn RowSink) {
    // That of the whole of it: traffic that came back may be a little less than usual.
    let direction = if finding.above { "above" } else { "below" };
    let state = if finding.turn == Turn::Cleared { "cleared" } else { "raised" };
    let at = Millis(finding.at_ms);
    let since = finding.since_ms.cast_signed();
    rows.append(
        Row::new(ANOMALIES_TABLE, at)
            .with("kind", finding.kind)
            .with("key", finding.key.as_str())
            .with("state", state)
            .with("direction", direction)
            .with("current_bps", finding.current_bps)
            .with("expected_bps", finding.verdict.expected)
            .with("sigma", finding.verdict.sigma)
            .with("baseline", level(&finding.verdict))
            .with("since", since),
    );
    if finding.turn == Turn::Holds {
        return;
    }
    let text = format!(
        "{} {}: {:.0} bit/s where {:.0} are usual ({}, {:.1} times the usual spread)",
        finding.kind,
        finding.key,
        finding.current_bps,
        finding.verdict.expected,
        level(&finding.verdict),
        finding.verdict.sigma
    );
    rows.append(
        Row::new(SIGNALS_TABLE, at)
            .with("plane", "flow")
            .with("kind", format!("flow_{}_{direction}_usual", finding.kind))
            .with("severity", "warning")
            .with("target", finding.key.as_str())
            .with("state", state)
            .with("since", since)
            .with("text", text),
    );
}

/// Gives the flows of a batch to who looks at them.
fn look(
    batch: &RecordBatch,
    now: Millis,
    detector: &mut Detector,
    talks: &mut Talks,
    names: &Enricher,
) {
    let column = |name: &str| batch.column_by_name(name).filter(|c| c.null_count() < c.len());
    let address = |name: &str| column(name).map(|c| c.as_fixed_size_binary());
    let short = |name: &str| column(name).map(|c| c.as_primitive::<UInt16Type>());
    let word = |name: &str| column(name).map(|c| c.as_primitive::<UInt32Type>());
    let time = |name: &str| column(name).map(|c| c.as_primitive::<TimestampNanosecondType>());
    let (Some(exporter), Some(from), Some(to), Some(bytes)) = (
        address("flow.exporter.address"),
        address("source.address"),
        address("destination.address"),
        column("flow.io.bytes_scaled").map(|c| c.as_primitive::<UInt64Type>()),
    ) else {
        return;
    };
    let (from_port, to_port) = (short("source.port"), short("destination.port"));
    let (inbound, outbound) = (word("flow.in.interface.index"), word("flow.out.interface.index"));
    let (start, end) = (time("flow.start"), time("flow.end"));
    let protocol = column("flow.ip.protocol").map(|c| c.as_primitive::<UInt8Type>());
    let direction = column("network.io.direction").map(|c| c.as_dictionary::<UInt8Type>());
    for row in 0..batch.num_rows() {
        if from.is_null(row) || to.is_null(row) || bytes.is_null(row) {
            continue;
        }
        let at = |address: &arrow_array::FixedSizeBinaryArray| -> [u8; 16] {
            address.value(row).try_into().unwrap_or_default()
        };
        let ms = |times: Option<&arrow_array::TimestampNanosecondArray>| {
            let ns = times.filter(|times| times.is_valid(row))?.value(row);
            u64::try_from(ns / 1_000_000).ok().filter(|ms| *ms > 0)
        };
        let index = |indexes: Option<&arrow_array::UInt32Array>| {
            indexes.filter(|i| i.is_valid(row)).map(|i| i.value(row))
        };
        let port = |ports: Option<&arrow_array::UInt16Array>| {
            ports.filter(|p| p.is_valid(row)).map_or(0, |p| p.value(row))
        };
        // A clock that is off by more than half an hour tells how long, and not when.
        let end = ms(end).filter(|end| end.abs_diff(now.0) < 30 * MINUTE_MS);
        let lasted = end.and_then(|end| Some(end.saturating_sub(ms(start)?))).unwrap_or(0);
        let end = end.unwrap_or(now.0);
        let seen = Seen {
            exporter: at(exporter),
            inbound: index(inbound),
            outbound: index(outbound),
            // The second of the words of direction.
            egress: direction.is_some_and(|d| d.is_valid(row) && d.keys().value(row) == 1),
            from: at(from),
            to: at(to),
            bytes: bytes.value(row),
            start: end.saturating_sub(lasted),
            end,
        };
        detector.add(&seen, now.0, names);
        let protocol = protocol.filter(|p| p.is_valid(row)).map_or(0, |p| p.value(row));
        talks.add((seen.from, port(from_port)), (seen.to, port(to_port)), protocol, seen.bytes);
    }
}
