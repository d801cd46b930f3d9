//! `POST /v1/mesh/throughput`: how much the way to another site carries, on request.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use holm_active::Throughput;
use holm_model::{NodeName, SiteId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody, ErrorCode};
use super::types::api_type;
use crate::daemon::{Caller, Direction, MAX_THROUGHPUT_BYTES, NodeState, Role};

const DEFAULT_BYTES: u64 = 32 << 20;
const LEAST_BYTES: u64 = 128 << 10;
const DEFAULT_MS: u64 = 5_000;

/// What is to be measured.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThroughputRequest {
    /// The other site.
    #[schema(value_type = String)]
    pub(crate) site: SiteId,
    /// Its node, where it has several; the first that is connected otherwise.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub(crate) node: Option<NodeName>,
    /// `up` (from this node to the other), `down`, or `both` (otherwise), one after the other.
    #[serde(default)]
    pub(crate) direction: Ways,
    /// Most bytes that are sent, each way: 131,072 to 268,435,456; 33,554,432 otherwise.
    #[serde(default)]
    pub(crate) bytes: Option<u64>,
    /// For so long at most, each way, in ms: 100 to 20,000; 5,000 otherwise.
    #[serde(default)]
    pub(crate) ms: Option<u64>,
}

/// Which ways are measured.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ways {
    Up,
    Down,
    #[default]
    Both,
}

api_type!(
    /// How much the way between two sites carried.
    ThroughputAnswer {
        #[schema(value_type = String)]
        site: SiteId,
        #[schema(value_type = String)]
        node: NodeName,
        /// From this node to the other.
        up: Option<ThroughputView>,
        /// From the other to this one.
        down: Option<ThroughputView>,
        /// Why a way that was asked for is missing.
        errors: Vec<String>,
        /// Bytes that runs may send here within the hour.
        left_bytes: u64,
    }
);

api_type!(
    /// What one way carried.
    ThroughputView {
        /// Bytes that were through.
        bytes: u64,
        /// In so many ms.
        ms: f64,
        /// Megabits (10^6) a second over all of it, its beginning included.
        mbit_s: f64,
        /// Megabits a second in its best second.
        best_mbit_s: f64,
    }
);

fn view(found: Throughput) -> ThroughputView {
    let Throughput { bytes, ms, mbit_s, best_mbit_s } = found;
    ThroughputView { bytes, ms, mbit_s, best_mbit_s }
}

/// Measures how much the way to another site carries: bytes over the mesh's own connection to it, within budgets at both
/// ends (`planes.active.throughput_bytes_per_hour`). One run at a time; the result is kept as rows of `active_results`.
#[utoipa::path(
    post, path = "/v1/mesh/throughput", tag = "tests", request_body = ThroughputRequest,
    responses(
        (status = 200, body = ThroughputAnswer), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn throughput(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(request): Json<ThroughputRequest>,
) -> Result<Json<ThroughputAnswer>, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    let bytes = request.bytes.unwrap_or(DEFAULT_BYTES);
    let ms = request.ms.unwrap_or(DEFAULT_MS);
    let invalid = |text: String| ApiError::new(ErrorCode::Validation, text);
    if !(LEAST_BYTES..=MAX_THROUGHPUT_BYTES).contains(&bytes) {
        return Err(invalid(format!(
            "bytes: it goes from {LEAST_BYTES} to {MAX_THROUGHPUT_BYTES}"
        )));
    }
    if !(100..=20_000).contains(&ms) {
        return Err(invalid("ms: it goes from 100 to 20,000".into()));
    }
    let ThroughputRequest { site, node, direction, .. } = request;
    if site == state.config.node.site {
        return Err(invalid("site: that is this node's own; name another".into()));
    }
    let node = connected(&state, &caller, &site, node)?;
    let (mut up, mut down, mut errors) = (None, None, Vec::new());
    for (way, found) in [(Direction::Up, &mut up), (Direction::Down, &mut down)] {
        let wanted = match way {
            Direction::Up => direction != Ways::Down,
            Direction::Down => direction != Ways::Up,
        };
        if wanted {
            let budget = (bytes, Duration::from_millis(ms));
            match state.measure_throughput(&tenant, (&site, &node), way, budget).await {
                Ok(measured) => *found = Some(view(measured)),
                Err(error) => errors.push(format!("{}: {error}", way.as_str())),
            }
        }
    }
    tracing::info!(by = caller.name, site = site.as_str(), "throughput measured");
    let left_bytes = state.throughput_left();
    Ok(Json(ThroughputAnswer { site, node, up, down, errors, left_bytes }))
}

/// A node of `site` that is connected and holds the caller's tenant.
fn connected(
    state: &Arc<NodeState>,
    caller: &Caller,
    site: &SiteId,
    node: Option<NodeName>,
) -> Result<NodeName, ApiError> {
    let places = state.query_sites(&caller.tenant).known();
    let of_site: Vec<_> = places.into_iter().filter(|(place, _)| place.site == *site).collect();
    if of_site.is_empty() {
        return Err(ApiError::not_found(format!(
            "no site {site} that holds this tenant; `holm sites` lists those that are known"
        )));
    }
    let fits = |name: &NodeName| node.as_ref().is_none_or(|wanted| wanted == name);
    let ready = of_site.iter().find(|(place, ready)| fits(&place.node) && ready.is_ok());
    let place = ready.map(|(place, _)| place.node.clone());
    place.ok_or_else(|| {
        let names: Vec<&str> = of_site.iter().map(|(place, _)| place.node.as_str()).collect();
        ApiError::not_found(format!(
            "no such node of {site} is connected; it has {}",
            names.join(", ")
        ))
    })
}
