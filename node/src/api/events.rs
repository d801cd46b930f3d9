//! `GET /v1/events`: how the event store of this site does.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use holm_events::OutletStats;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

/// The event store of the tenant at this site. Counters are those since the node started.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EventsView {
    /// Rows, bytes on the disk with the log, and files.
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    /// Most bytes on the disk.
    pub(crate) max_bytes: u64,
    /// Why rows cannot be written, and what to do; null while they can.
    pub(crate) problem: Option<String>,
    /// Why changes of documents (topology, incidents, policies) wait to be written; null while they do not.
    pub(crate) documents_problem: Option<String>,
    /// Rows that were made durable.
    pub(crate) committed: u64,
    /// Rows lost because the disk was too slow, or full, for too long.
    pub(crate) dropped_queue_full: u64,
    /// Rows dropped because they were the oldest when a bound was reached; `GET /v1/query/tables` has them by table.
    pub(crate) dropped_oldest: u64,
    /// Rows that fit no table.
    pub(crate) refused: u64,
    pub(crate) write_failures: u64,
    /// Files and logs that were damaged and set aside.
    pub(crate) damaged: u64,
    /// Null without `[rows.cold]`.
    pub(crate) cold: Option<ColdView>,
    /// Null without `[rows.clickhouse]`.
    pub(crate) clickhouse: Option<ClickHouseView>,
}

/// Cold files.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ColdView {
    /// Files that were moved.
    pub(crate) moved: u64,
    /// Requests that failed.
    pub(crate) failures: u64,
    /// Bytes that were read back.
    pub(crate) fetched_bytes: u64,
}

/// What goes to ClickHouse, and how far it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ClickHouseView {
    /// URL and database.
    pub(crate) target: String,
    pub(crate) sent_files: u64,
    pub(crate) sent_rows: u64,
    /// Bytes of Parquet.
    pub(crate) sent_bytes: u64,
    pub(crate) last_sent: Option<Timestamp>,
    /// Requests that failed or were refused.
    pub(crate) failures: u64,
    /// Rows that were too old to be sent.
    pub(crate) given_up_rows: u64,
    /// Rows that were dropped here before they were sent.
    pub(crate) lost_rows: u64,
    pub(crate) waiting_files: u64,
    pub(crate) waiting_rows: u64,
    /// The time of the oldest row that waits.
    pub(crate) oldest_waiting: Option<Timestamp>,
    /// Why nothing goes there now; null while it does.
    pub(crate) error: Option<String>,
    /// Tables that are refused there, and why. They are tried again.
    pub(crate) refused: BTreeMap<String, String>,
}

impl From<OutletStats> for ClickHouseView {
    fn from(stats: OutletStats) -> Self {
        Self {
            target: stats.target,
            sent_files: stats.sent_files,
            sent_rows: stats.sent_rows,
            sent_bytes: stats.sent_bytes,
            last_sent: stats.last_sent.map(Timestamp),
            failures: stats.failures,
            given_up_rows: stats.given_up_rows,
            lost_rows: stats.lost_rows,
            waiting_files: stats.waiting_files,
            waiting_rows: stats.waiting_rows,
            oldest_waiting: stats.oldest_waiting.map(Timestamp),
            error: stats.error,
            refused: stats.refused,
        }
    }
}

/// How the event store of this site does: what it has and lost, and what goes to other storage.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "event_store", tag = "events",
    responses((status = 200, body = EventsView), (status = 401, body = ErrorBody))
)]
pub(crate) async fn store(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<EventsView>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let store = &tenant.rows.store;
    let stats = store.stats();
    let cold = store.cold_stats().map(|cold| ColdView {
        moved: cold.moved,
        failures: cold.failures,
        fetched_bytes: cold.fetched_bytes,
    });
    Ok(Json(EventsView {
        rows: stats.rows,
        bytes: stats.bytes,
        files: stats.files,
        max_bytes: store.limits().max_bytes,
        problem: store.last_error(),
        documents_problem: tenant.write_failure(),
        committed: stats.committed,
        dropped_queue_full: stats.dropped_queue_full,
        dropped_oldest: stats.dropped_oldest,
        refused: stats.refused,
        write_failures: stats.write_failures,
        damaged: stats.damaged,
        cold,
        clickhouse: store.outlet_stats().map(ClickHouseView::from),
    }))
}
