//! The plane: a collector, its counters as health, its state on disk.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holm_plane::{HealthHandle, Plane, PlaneContext, PlaneError, PlaneRun};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::receive::{Collector, FlowSink};
use crate::state::FlowState;

/// How often health is told.
const HEALTH_EVERY: Duration = Duration::from_secs(1);
/// How often state is saved, in turns of health.
const SAVE_EVERY: u32 = 30;
/// Largest state file that is read.
const MAX_STATE_BYTES: u64 = 64 << 20;

/// Receives flows for the tenant of its context.
pub struct FlowPlane {
    config: Config,
    sink: Arc<dyn FlowSink>,
}

impl std::fmt::Debug for FlowPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlowPlane").field("config", &self.config).finish_non_exhaustive()
    }
}

impl FlowPlane {
    /// The plane of a configuration that was checked; batches go to `sink`.
    pub fn new(config: Config, sink: Arc<dyn FlowSink>) -> Self {
        Self { config, sink }
    }
}

impl Plane for FlowPlane {
    fn name(&self) -> &'static str {
        "flow"
    }

    fn run(&self, context: PlaneContext, shutdown: CancellationToken) -> PlaneRun<'_> {
        Box::pin(run(&self.config, &self.sink, context, shutdown))
    }
}

async fn run(
    config: &Config,
    sink: &Arc<dyn FlowSink>,
    context: PlaneContext,
    shutdown: CancellationToken,
) -> Result<(), PlaneError> {
    config.check().map_err(PlaneError)?;
    let health = &context.health;
    if !config.enabled || config.listeners.is_empty() {
        health.off("it has no listener", "set enabled and listeners in [planes.flow]");
        return Ok(());
    }
    let state = load(&config.state_file);
    let limits = config.limits();
    let collector =
        Collector::start(&context.tenant, &config.listeners, &limits, state.as_ref(), sink)
            .map_err(|error| PlaneError(error.to_string()))?;
    let addresses: Vec<String> = collector.addresses().iter().map(ToString::to_string).collect();
    let method = format!("NetFlow v5/v9, IPFIX, sFlow v5 at {}", addresses.join(", "));
    let mut turns = 0;
    loop {
        say(health, &method, &collector);
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(HEALTH_EVERY) => turns += 1,
        }
        if turns % SAVE_EVERY == 0 {
            save(&config.state_file, &collector.state());
        }
    }
    let path = config.state_file.clone();
    // Joining threads takes up to a tenth of a second.
    let ended = tokio::task::spawn_blocking(move || save(&path, &collector.stop())).await;
    ended.map_err(|error| PlaneError(format!("the collector did not stop: {error}")))
}

fn say(health: &HealthHandle, method: &str, collector: &Collector) {
    let report = collector.report();
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
    } else {
        health.running(method);
    }
}

/// A state that cannot be read is not worth a plane that does not run: exporters tell it again.
fn load(path: &Path) -> Option<FlowState> {
    if path.as_os_str().is_empty() {
        return None;
    }
    let mut json = Vec::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(MAX_STATE_BYTES).read_to_end(&mut json));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the flow state cannot be read");
            return None;
        }
    }
    FlowState::from_json(&json)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "flow state"))
        .ok()
}

fn save(path: &Path, state: &FlowState) {
    if path.as_os_str().is_empty() {
        return;
    }
    if let Err(error) = write(path, state) {
        tracing::warn!(path = %path.display(), %error, "the flow state cannot be saved");
    }
}

/// The old file stays whole until the new one is.
fn write(path: &Path, state: &FlowState) -> io::Result<()> {
    let json = state.to_json().map_err(io::Error::other)?;
    let next = path.with_extension("new");
    let mut file = fs::File::create(&next)?;
    file.write_all(&json)?;
    file.sync_all()?;
    fs::rename(&next, path)
}
