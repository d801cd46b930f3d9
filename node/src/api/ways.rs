//! `GET /v1/topology/paths`: the ways between two nodes.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use holm_model::{EdgeKind, ElementId, Millis};
use holm_moment::{Metric, Moment, Route, RouteQuery};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::impact::{coverage, parse, route};
use super::impact_types::{ObservedPathView, RouteStatusView, RouteView, WaysView};
use super::topology::{freshness, moment};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

const MAX_ROUTES: usize = 64;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaysQuery {
    /// The node where they start.
    from: String,
    /// The node where they end.
    to: String,
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    at: Option<String>,
    /// How many routes: 1 to 64; 3 otherwise.
    count: Option<usize>,
    /// `hops` (otherwise), or `latency` as far as it was measured.
    metric: Option<String>,
    /// Only along edges of this kind: device, flow, path or routing. All otherwise.
    kind: Option<String>,
    /// Only as edges point. Both ways otherwise.
    #[serde(default)]
    directed: bool,
}

/// The shortest ways between two nodes, the observed paths from the one to the other, and how wide the
/// load balancing between them is.
#[utoipa::path(
    get, path = "/v1/topology/paths", tag = "topology", params(WaysQuery),
    responses((status = 200, body = WaysView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn paths(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Query(query): Query<WaysQuery>,
) -> Result<Json<WaysView>, ApiError> {
    let tenant = Arc::clone(state.tenant(&caller)?);
    let at = query.at.as_deref().map(|at| moment("at", at)).transpose()?;
    let count = query.count.unwrap_or(3);
    if !(1..=MAX_ROUTES).contains(&count) {
        return Err(ApiError::bad_request(format!("count={count}: it goes from 1 to 64")));
    }
    let metric = match query.metric.as_deref() {
        None | Some("hops") => Metric::Hops,
        Some("latency") => Metric::Latency,
        Some(_) => return Err(ApiError::bad_request("metric: it is hops or latency")),
    };
    let kind = query.kind.as_deref().map(|kind| {
        EdgeKind::parse(kind)
            .ok_or_else(|| ApiError::bad_request("kind: it is device, flow, path or routing"))
    });
    let kind = kind.transpose()?;
    let asked = Arc::clone(&tenant);
    let found = tokio::task::spawn_blocking(move || {
        let moment = asked.moment(at);
        let query = RouteQuery {
            from: end(&moment, &query.from)?,
            to: end(&moment, &query.to)?,
            metric,
            directed: query.directed,
            edge_kinds: kind.map(|kind| vec![kind]),
            count,
        };
        let (routes, width) = asked.search(|scratch| {
            (moment.routes(&query, scratch), moment.ecmp_width(query.from, query.to, scratch))
        });
        Ok::<_, ApiError>((routes, width, moment.observed_paths(query.from, query.to)))
    });
    let (routes, ecmp_width, observed) = found.await.map_err(ApiError::internal)??;
    let now = Millis::now();
    Ok(Json(WaysView {
        at: Timestamp(at.unwrap_or(now)),
        live: at.is_none(),
        routes: routes.into_iter().map(route_view).collect(),
        observed: observed
            .into_iter()
            .map(|path| ObservedPathView {
                agent: path.agent.to_string(),
                target: path.target.to_string(),
                flow: path.flow,
                route: route(path.route),
            })
            .collect(),
        ecmp_width,
        coverage: coverage(&state, &tenant, at),
        freshness: freshness(&state, &tenant, now),
    }))
}

fn end(moment: &Moment, text: &str) -> Result<u32, ApiError> {
    match parse(moment, text)? {
        ElementId::Node(id) => {
            moment.find(&id).ok_or_else(|| ApiError::not_found(moment.unknown(text).to_string()))
        }
        ElementId::Edge(_) => {
            Err(ApiError::bad_request(format!("{text}: a way is between nodes, this is an edge")))
        }
    }
}

fn route_view(route: Route) -> RouteView {
    let hops = route.nodes.len().saturating_sub(1);
    let measured = hops > route.unmeasured as usize;
    RouteView {
        nodes: route.nodes.iter().map(ToString::to_string).collect(),
        hops,
        latency_ms: measured.then(|| route.latency_us as f64 / 1_000.0),
        unmeasured: route.unmeasured,
        status: if route.observed { RouteStatusView::Observed } else { RouteStatusView::Inferred },
    }
}
