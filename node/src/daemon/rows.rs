//! Where planes put rows: the tenant's store, and the latest result of each probe beside it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use holm_events::{EventStore, Kind, Table, TableError};
use holm_flow::{Batch, FlowSink, SinkFull};
use holm_model::{Row, TenantId, Value};
use holm_plane::RowSink;
use tokio::sync::broadcast;

use super::{Change, Topic};

/// Results of the active plane; its rows say which probe, which target, and how it went.
pub(super) const RESULTS_TABLE: &str = "active_results";
/// What the flow plane decodes.
const FLOWS_TABLE: &str = "flows";
const COUNTERS_TABLE: &str = "flow_interface_counters";
/// Their time column: exporters' own clocks may be wrong.
const RECEIVED: &str = "flow.time_received";
const MAX_LATEST: usize = 10_000;

/// The tables that planes write rows to, with their columns; a row's other columns are kept as
/// attributes.
pub(super) fn tables() -> Result<Vec<Table>, TableError> {
    use Kind::{Bool, Float, Int, Text};
    let results: &[(&str, Kind)] = &[
        ("probe", Text),
        ("target", Text),
        ("probed", Text),
        ("kind", Text),
        ("success", Bool),
        ("error", Text),
        ("duration_ms", Float),
        ("peer.site", Text),
        ("server.address", Text),
        ("network.type", Text),
        ("test", Text),
        ("refused", Bool),
    ];
    let connections: &[(&str, Kind)] = &[
        ("event", Text),
        ("direction", Text),
        ("source", Text),
        ("source.address", Text),
        ("source.port", Int),
        ("destination.address", Text),
        ("destination.port", Int),
        ("network.type", Text),
        ("service.name", Text),
        ("process.pid", Int),
        ("process.executable.name", Text),
        ("process.command", Text),
        ("process.note", Text),
        ("container.id", Text),
        ("cgroup", Text),
        ("duration_ms", Float),
        ("bytes_sent", Int),
        ("bytes_received", Int),
    ];
    let way: &[(&str, Kind)] = &[
        ("target", Text),
        ("probed", Text),
        ("kind", Text),
        ("protocol", Text),
        ("peer.site", Text),
        ("server.address", Text),
        ("network.type", Text),
    ];
    let path_results: &[(&str, Kind)] = &[
        ("success", Bool),
        ("error", Text),
        ("method", Text),
        ("outcome", Text),
        ("path.hops", Text),
        ("path.widths", Text),
        ("path.width", Int),
        ("path.length", Int),
        ("path.probes", Int),
        ("path.epsilon", Float),
        ("path.failure_bound", Float),
        ("path.looped", Bool),
        ("path.meshed", Bool),
        ("path.per_packet", Bool),
        ("path.rate_limited", Bool),
        ("path.rewritten", Bool),
        ("path.mpls", Bool),
        ("path.lost", Int),
        ("path.lost.terminal", Int),
        ("path.loss.ratio", Float),
        ("path.rtt.min_ms", Float),
        ("path.rtt.avg_ms", Float),
        ("path.rtt.max_ms", Float),
        ("path.ways", Text),
        ("path.mtu", Int),
        ("path.mtu.how", Text),
        ("path.mtu.hop", Text),
        ("path.as_path", Text),
        ("path.hops.as", Text),
        ("path.hops.country", Text),
        ("duration_ms", Float),
    ];
    let path_changes: &[(&str, Kind)] = &[
        ("change", Text),
        ("hops.added", Text),
        ("hops.removed", Text),
        ("length", Int),
        ("length.before", Int),
        ("reached", Bool),
        ("rtt_ms", Float),
        ("rtt_ms.before", Float),
        ("mtu", Int),
        ("mtu.before", Int),
        ("mtu.hop", Text),
        ("as_path", Text),
        ("as_path.before", Text),
    ];
    let signals: &[(&str, Kind)] = &[
        ("plane", Text),
        ("kind", Text),
        ("severity", Text),
        ("target", Text),
        ("state", Text),
        ("since", Int),
        ("text", Text),
    ];
    let endpoints: &[(&str, Kind)] = &[
        ("endpoint", Text),
        ("key", Text),
        ("attribution", Text),
        ("confidence", Float),
        ("evidence", Text),
        ("wifi.state", Text),
        ("wifi.ssid", Text),
        ("wifi.bssid", Text),
        ("wifi.signal_dbm", Int),
        ("wifi.tx_mbps", Float),
        ("gateway.address", Text),
        ("gateway.rtt_ms", Float),
        ("gateway.loss.ratio", Float),
        ("isp.rtt_ms", Float),
        ("isp.loss.ratio", Float),
        ("dns.duration_ms", Float),
        ("checks", Int),
        ("checks.failed", Int),
        ("sessions", Int),
        ("sample", Text),
    ];
    let anomalies: &[(&str, Kind)] = &[
        ("kind", Text),
        ("key", Text),
        ("state", Text),
        ("direction", Text),
        ("current_bps", Float),
        ("expected_bps", Float),
        ("sigma", Float),
        ("baseline", Text),
        ("since", Int),
    ];
    let heavy: Vec<(&str, Kind)> = [("kind", Text), ("key", Text)]
        .into_iter()
        .chain(holm_flow::HEAVY_COLUMNS.iter().map(|name| (*name, Int)))
        .collect();
    let detectors: Vec<(&str, Kind)> =
        holm_flow::DETECTOR_COLUMNS.iter().map(|name| (*name, Int)).collect();
    let numbers = holm_flow::exporter_columns().into_iter().map(|name| (name, Int));
    let exporters: Vec<(&str, Kind)> =
        holm_flow::EXPORTER_TEXTS.iter().map(|name| (*name, Text)).chain(numbers).collect();
    let spans: Vec<(&str, Kind)> = (holm_otlp::TEXT_COLUMNS.iter().map(|name| (*name, Text)))
        .chain(holm_otlp::INT_COLUMNS.iter().map(|name| (*name, Int)))
        .chain(holm_otlp::FLOAT_COLUMNS.iter().map(|name| (*name, Float)))
        .collect();
    let collectors: Vec<(&str, Kind)> =
        holm_flow::COLLECTOR_COLUMNS.iter().map(|name| (*name, Int)).collect();
    Ok(vec![
        Table::of_rows(RESULTS_TABLE, results)?,
        Table::of_rows("host_connections", connections)?,
        Table::of_rows("path_results", &[way, path_results].concat())?,
        Table::of_rows("path_changes", &[way, path_changes].concat())?,
        Table::of_rows(super::SIGNALS_TABLE, signals)?,
        Table::of_rows(holm_endpoint::TABLE, endpoints)?,
        Table::of_rows(holm_flow::EXPORTERS_TABLE, &exporters)?,
        Table::of_rows(holm_flow::COLLECTORS_TABLE, &collectors)?,
        Table::of_rows(holm_flow::ANOMALIES_TABLE, anomalies)?,
        Table::of_rows(holm_flow::DETECTORS_TABLE, &detectors)?,
        Table::of_rows(holm_flow::HEAVY_TABLE, &heavy)?,
        Table::of_rows(holm_otlp::SPANS_TABLE, &spans)?.with_bloom_filters(&["trace_id"]),
        Table::new(FLOWS_TABLE, holm_flow::flow_schema(), RECEIVED)?
            .with_bloom_filters(&["source.address", "destination.address"]),
        Table::new(COUNTERS_TABLE, holm_flow::interface_counter_schema(), RECEIVED)?,
    ])
}

/// What was probed: the kind of probe, its target, and the test that it is.
type Probed = (String, String, Option<String>);

/// The rows of one tenant at this site.
pub(crate) struct TenantRows {
    pub(crate) store: Arc<EventStore>,
    latest: Mutex<BTreeMap<Probed, Row>>,
    latest_full: AtomicU64,
}

impl TenantRows {
    /// With the latest results among those in `store`.
    pub(crate) fn new(store: EventStore) -> Self {
        let store = Arc::new(store);
        let rows = Self { store, latest: Mutex::default(), latest_full: AtomicU64::new(0) };
        let known = rows.store.newest(RESULTS_TABLE, holm_model::Millis(0), MAX_LATEST);
        match known {
            Ok(known) => known.into_iter().rev().for_each(|row| rows.keep_latest(&row)),
            Err(error) => {
                tracing::warn!(%error, "the latest results of the last run are not known")
            }
        }
        rows
    }

    /// The latest result of each probe, in order of probe and target.
    pub(crate) fn latest(&self) -> Vec<Row> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Results that were not kept as latest because there are too many targets.
    pub(crate) fn latest_full(&self) -> u64 {
        self.latest_full.load(Ordering::Relaxed)
    }

    fn keep_latest(&self, row: &Row) {
        let text = |column| match row.columns.get(column) {
            Some(Value::Text(text)) => Some(text.to_string()),
            _ => None,
        };
        let (Some(probe), Some(target)) = (text("probe"), text("target")) else { return };
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (probe, target, text("test"));
        if latest.len() >= MAX_LATEST && !latest.contains_key(&key) {
            self.latest_full.fetch_add(1, Ordering::Relaxed);
            return;
        }
        latest.insert(key, row.clone());
    }
}

/// The planes' end: rows of one tenant.
pub(crate) struct Rows {
    pub(crate) tenant: Arc<super::Tenant>,
    pub(crate) changes: broadcast::Sender<Change>,
}

impl RowSink for Rows {
    fn append(&self, row: Row) {
        if self.tenant.has_ended() {
            return;
        }
        if row.table == RESULTS_TABLE {
            self.tenant.rows.keep_latest(&row);
            // Nobody listening is fine: the stream tells pages that are open.
            let _ = self.changes.send(Change::of(&self.tenant.id, Topic::Results));
        }
        self.tenant.notice(&row);
        self.tenant.notice_test(&row);
        self.tenant.notice_change(&row);
        self.tenant.rows.store.append(row);
    }
}

/// The flow plane's end: batches of one tenant.
pub(crate) struct Flows {
    pub(crate) tenant: Arc<super::Tenant>,
}

impl FlowSink for Flows {
    fn take(&self, tenant: &TenantId, batch: Batch) -> Result<(), SinkFull> {
        if self.tenant.has_ended() || *tenant != self.tenant.id {
            return Ok(());
        }
        let (table, batch) = match batch {
            Batch::Flows(batch) => (FLOWS_TABLE, batch),
            Batch::InterfaceCounters(batch) => (COUNTERS_TABLE, batch),
        };
        self.tenant.rows.store.append_batch(table, batch).map_err(|_| SinkFull)
    }
}
