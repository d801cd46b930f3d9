//! The plane: a collector, its counters as health, what it learnt kept over a restart, and the rows
//! that say how exporters do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use holm_asn::FileChanges;
use holm_model::Millis;
use holm_plane::{HealthHandle, Plane, PlaneContext, PlaneError, PlaneRun};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::exporters::Exporters;
use crate::keep::{Keeper, load_templates, save_templates};
use crate::meaning::{Loaded, Tables, Watch, Watching, changes_of, load_tables};
use crate::receive::{Collector, CollectorReport, FlowSink};

/// How often health is told.
const HEALTH_EVERY: Duration = Duration::from_secs(1);
/// How often the files of tables are looked at, in turns of health: a change is there after two looks.
const LOOK_EVERY: u32 = 3;
/// State is saved at least this often, in turns of health: when exporters were heard is in it.
const SAVE_EVERY: u32 = 60;
/// Saving may take one part of so many of the time.
const SAVING_SHARE: u32 = 20;

/// Receives flows for the tenant of its context.
pub struct FlowPlane {
    config: Config,
    sink: Arc<dyn FlowSink>,
    keeper: Arc<dyn Keeper>,
    clock: fn() -> Millis,
}

impl std::fmt::Debug for FlowPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlowPlane").field("config", &self.config).finish_non_exhaustive()
    }
}

impl FlowPlane {
    /// The plane of a configuration that was checked; batches go to `sink`, and what a restart must not
    /// lose to `keeper`.
    pub fn new(config: Config, sink: Arc<dyn FlowSink>, keeper: Arc<dyn Keeper>) -> Self {
        Self { config, sink, keeper, clock: Millis::now }
    }

    /// With another clock for what is judged by time: what is usual, and when that is said. Flows are
    /// received by the system's.
    #[must_use]
    pub const fn with_clock(mut self, clock: fn() -> Millis) -> Self {
        self.clock = clock;
        self
    }
}

impl Plane for FlowPlane {
    fn name(&self) -> &'static str {
        "flow"
    }

    fn run(&self, context: PlaneContext, shutdown: CancellationToken) -> PlaneRun<'_> {
        Box::pin(run(self, context, shutdown))
    }
}

async fn run(
    plane: &FlowPlane,
    context: PlaneContext,
    shutdown: CancellationToken,
) -> Result<(), PlaneError> {
    let config = &plane.config;
    config.check().map_err(PlaneError)?;
    let health = &context.health;
    if !config.enabled || config.listeners.is_empty() {
        health.off("it has no listener", "set enabled and listeners in [planes.flow]");
        return Ok(());
    }
    let mut reading = Reading::new(config);
    let Loaded { enricher, exporters, mut missing } = read_tables(config).await;
    let tables = Arc::new(Tables::new(enricher));
    let state = load_templates(plane.keeper.as_ref());
    let limits = config.limits();
    let watching = Watching {
        tables: Arc::clone(&tables),
        facts: Arc::clone(&context.facts),
        rows: Arc::clone(&context.rows),
        keeper: Arc::clone(&plane.keeper),
        health: health.clone(),
        settings: config.settings(),
        edges_per_minute: config.edges_per_minute,
        clock: plane.clock,
    };
    let mut watch = Watch::start(watching, &plane.sink)
        .map_err(|error| PlaneError(format!("the watch over flows cannot be started: {error}")))?;
    let collector = Collector::start(
        &context.tenant,
        &config.listeners,
        &limits,
        state.as_ref(),
        &watch.sink(),
        &tables,
    )
    .map_err(|error| PlaneError(error.to_string()))?;
    let addresses: Vec<String> = collector.addresses().iter().map(ToString::to_string).collect();
    let method = format!("NetFlow v5/v9, IPFIX, sFlow v5 at {}", addresses.join(", "));
    let mut exporters = Exporters::new(&exporters);
    let mut saving = Saving::new(&collector);
    loop {
        let report = collector.report();
        say(health, &method, &report, missing.as_deref());
        exporters.tell(&report, (plane.clock)(), context.rows.as_ref());
        saving.turn(&collector, &plane.keeper).await;
        if let Some(read) = reading.turn(config).await {
            if read.missing.is_none() {
                tables.replace(read.enricher);
                exporters.rename(&read.exporters);
            }
            missing = read.missing;
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(HEALTH_EVERY) => {}
        }
    }
    let keeper = Arc::clone(&plane.keeper);
    // Joining threads takes up to a tenth of a second.
    let ended = tokio::task::spawn_blocking(move || {
        let report = collector.report();
        save_templates(keeper.as_ref(), &collector.stop());
        watch.stop();
        report
    });
    let report = ended.await.map_err(|e| PlaneError(format!("the collector did not stop: {e}")))?;
    exporters.tell_all(&report, (plane.clock)(), context.rows.as_ref());
    Ok(())
}

/// When what was learnt is saved: soon after it was, and not so often that it is all that is done.
struct Saving {
    learnt: u64,
    turns: u32,
    not_before: Instant,
}

impl Saving {
    fn new(collector: &Collector) -> Self {
        Self { learnt: collector.learnt(), turns: 0, not_before: Instant::now() }
    }

    async fn turn(&mut self, collector: &Collector, keeper: &Arc<dyn Keeper>) {
        self.turns += 1;
        let learnt = collector.learnt();
        let due = learnt != self.learnt || self.turns >= SAVE_EVERY;
        let started = Instant::now();
        if !due || started < self.not_before {
            return;
        }
        let (state, keeper) = (collector.state(), Arc::clone(keeper));
        let saved =
            tokio::task::spawn_blocking(move || save_templates(keeper.as_ref(), &state)).await;
        if matches!(saved, Ok(true)) {
            (self.learnt, self.turns) = (learnt, 0);
        }
        self.not_before = Instant::now() + started.elapsed() * SAVING_SHARE;
    }
}

/// When the files of tables are looked at.
struct Reading {
    changes: FileChanges,
    turns: u32,
}

impl Reading {
    fn new(config: &Config) -> Self {
        Self { changes: changes_of(config), turns: 0 }
    }

    /// What the files say if they changed. While one cannot be read the tables stay as they were.
    async fn turn(&mut self, config: &Config) -> Option<Loaded> {
        self.turns += 1;
        if self.turns < LOOK_EVERY {
            return None;
        }
        self.turns = 0;
        if !self.changes.look() {
            return None;
        }
        tracing::info!("files of names or systems changed: they are read again");
        Some(read_tables(config).await)
    }
}

async fn read_tables(config: &Config) -> Loaded {
    let config = config.clone();
    // A table of a million prefixes takes a moment.
    let read = tokio::task::spawn_blocking(move || load_tables(&config)).await;
    read.unwrap_or_else(|error| Loaded {
        missing: Some(format!("the tables of names and systems: {error}")),
        ..Loaded::default()
    })
}

fn say(health: &HealthHandle, method: &str, report: &CollectorReport, missing: Option<&str>) {
    for (name, value) in report.totals.each() {
        health.set_counter(name, value);
    }
    health.set_counter("exporters", report.exporters.len() as u64);
    health.set_counter("kernel_drops", report.kernel_drops);
    health.set_counter("receive_buffer_bytes", report.receive_buffer_bytes);
    health.set_counter("receive_errors", report.receive_errors);
    health.set_counter("pending_sets", report.pending_sets);
    health.set_counter("tcp_sessions", report.tcp_sessions);
    health.set_counter("tcp_refused", report.tcp_refused);
    health.set_counter("tcp_broken", report.tcp_broken);
    if report.kernel_drops > 0 {
        health.degraded(
            method,
            "the kernel dropped datagrams before they could be read",
            "raise net.core.rmem_max and receive_buffer_kib, or sockets",
        );
    } else if let Some(missing) = missing {
        let remedy = "flows are stored without it; correct the file, which is read again then";
        health.degraded(method, missing, remedy);
    } else {
        health.running(method);
    }
}
