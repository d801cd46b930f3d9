//! `GET /v1/planes`, `GET /v1/results/latest` and `GET /v1/rows`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use holm_model::{Millis, Row, SiteId, Value};
use holm_plane::PlaneState;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::types::{
    PlaneList, PlaneStateView, PlaneView, ProbeResult, ResultList, RowList, RowView, Timestamp,
};
use crate::daemon::{Caller, NodeState};

const MAX_ROWS: usize = 10_000;

/// The planes of this node: whether they observe, how, why not, and what they counted.
#[utoipa::path(
    get, path = "/v1/planes", tag = "planes",
    responses((status = 200, body = PlaneList), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list_planes(State(state): State<Arc<NodeState>>, _: Caller) -> Json<PlaneList> {
    let items = state
        .planes()
        .iter()
        .map(|plane| {
            let health = plane.health();
            PlaneView {
                plane: plane.name().into(),
                state: match health.state {
                    PlaneState::Degraded => PlaneStateView::Degraded,
                    PlaneState::Off => PlaneStateView::Off,
                    PlaneState::Running => PlaneStateView::Running,
                },
                reason: health.reason,
                remedy: health.remedy,
                method: health.method,
                since: Timestamp(health.since),
                counters: health.counters.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
            }
        })
        .collect();
    Json(PlaneList { items })
}

/// The latest result of each probe of this site.
#[utoipa::path(
    get, path = "/v1/results/latest", tag = "planes",
    responses((status = 200, body = ResultList), (status = 401, body = ErrorBody))
)]
pub(crate) async fn latest_results(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<ResultList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let collector_running = state
        .planes()
        .iter()
        .any(|plane| plane.name() == "active" && plane.health().state != PlaneState::Off);
    let items = tenant.rows.latest().iter().map(|row| probe_result(row, &tenant.site)).collect();
    Ok(Json(ResultList { collector_running, items }))
}

pub(super) fn probe_result(row: &Row, site: &SiteId) -> ProbeResult {
    let mut result = ProbeResult {
        site: site.clone(),
        probe: String::new(),
        target: String::new(),
        success: false,
        error: None,
        duration_ms: None,
        metrics: Default::default(),
        attributes: Default::default(),
        observed_at: Timestamp(row.at),
    };
    for (name, value) in &row.columns {
        match (name.as_ref(), value) {
            ("probe", Value::Text(text)) => result.probe = text.to_string(),
            ("target", Value::Text(text)) => result.target = text.to_string(),
            ("success", Value::Bool(success)) => result.success = *success,
            ("error", Value::Text(text)) => result.error = Some(text.to_string()),
            ("duration_ms", Value::Float(ms)) => result.duration_ms = Some(*ms),
            (_, Value::Float(number)) => {
                result.metrics.insert(name.to_string(), *number);
            }
            (_, Value::Int(number)) => {
                result.metrics.insert(name.to_string(), *number as f64);
            }
            (_, Value::Text(text)) => {
                result.attributes.insert(name.to_string(), text.to_string());
            }
            (_, Value::Bool(flag)) => {
                result.attributes.insert(name.to_string(), flag.to_string());
            }
        }
    }
    result
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowsQuery {
    /// The table: `active_results`, `flows`, `host_connections`, … (`GET /v1/query/tables` lists them).
    table: String,
    /// Only rows at or after this moment.
    since: Option<String>,
    /// Most rows: 1 to 10,000; 100 otherwise.
    limit: Option<usize>,
}

/// Rows of one table at this site, newest first. Rows stay where they were seen: ask the other
/// sites for theirs.
#[utoipa::path(
    get, path = "/v1/rows", tag = "planes", params(RowsQuery),
    responses((status = 200, body = RowList), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn rows(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Query(query): Query<RowsQuery>,
) -> Result<Json<RowList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let tables = tenant.rows.store.tables();
    if !tables.iter().any(|table| table.name() == query.table) {
        let names: Vec<&str> = tables.iter().map(|table| table.name()).collect();
        return Err(ApiError::not_found(format!(
            "there is no table {}; there are {}",
            query.table,
            names.join(", ")
        )));
    }
    let limit = query.limit.unwrap_or(100);
    if !(1..=MAX_ROWS).contains(&limit) {
        return Err(ApiError::bad_request(format!("limit={limit}: it goes from 1 to 10,000")));
    }
    let since = match &query.since {
        None => Millis(0),
        Some(text) => {
            Timestamp::parse(text)
                .ok_or_else(|| ApiError::bad_request(format!("since={text}: not a time")))?
                .0
        }
    };
    let rows =
        tokio::task::spawn_blocking(move || tenant.rows.store.newest(&query.table, since, limit))
            .await
            .map_err(ApiError::internal)?
            .map_err(ApiError::internal)?;
    let view = |row: Row| RowView {
        at: Timestamp(row.at),
        columns: row
            .columns
            .into_iter()
            .map(|(name, value)| (name.into_owned(), json(value)))
            .collect(),
    };
    Ok(Json(RowList { items: rows.into_iter().map(view).collect() }))
}

fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Bool(flag) => flag.into(),
        Value::Int(number) => number.into(),
        Value::Float(number) => number.into(),
        Value::Text(text) => text.into_string().into(),
    }
}
