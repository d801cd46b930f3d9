//! `GET /v1/topology/paths`: the ways between two nodes.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use holm_graph::PathView;
use holm_model::{EdgeKind, ElementId, Millis, NodeId};
use holm_moment::{Metric, Moment, Route, RouteQuery};
use serde::Deserialize;
use utoipa::IntoParams;

use super::compare::window;
use super::coverage::{coverage, freshness};
use super::element::intervals;
use super::error::{ApiError, ErrorBody};
use super::impact::{limit, parse, route};
use super::impact_types::{
    ObservedPathView, RouteStatusView, RouteView, SeenPathList, SeenPathView, WaysView,
};
use super::topology::moment;
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState, Tenant};

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
    /// Also every path that packets took at some time since then, until `at`: RFC 3339, or milliseconds since 1970.
    since: Option<String>,
    /// Most of these paths: 1 to 10,000; 100 otherwise.
    limit: Option<usize>,
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
    let now = Millis::now();
    let until = at.unwrap_or(now);
    let since = query.since.as_deref().map(|since| window("since", since, until)).transpose()?;
    let limit = limit(query.limit, 100)?;
    let asked = Arc::clone(&tenant);
    let found = tokio::task::spawn_blocking(move || {
        let moment = asked.moment(at);
        let seen = since.map(|since| seen(&asked, &moment, &query, (since, until), limit));
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
        let observed = moment.observed_paths(query.from, query.to);
        Ok::<_, ApiError>((routes, width, observed, seen.transpose()?))
    });
    let (routes, ecmp_width, observed, seen) = found.await.map_err(ApiError::internal)??;
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
        seen,
        ecmp_width,
        coverage: coverage(&state, &tenant, at),
        freshness: freshness(&state, &tenant, now),
    }))
}

/// The node that `text` names, by any of its names.
pub(super) fn end(moment: &Moment, text: &str) -> Result<u32, ApiError> {
    match parse(moment, text)? {
        ElementId::Node(id) => {
            moment.find(&id).ok_or_else(|| ApiError::not_found(moment.unknown(text).to_string()))
        }
        ElementId::Edge(_) | ElementId::Path(_) | ElementId::Alias(_) => {
            Err(ApiError::bad_request(format!("{text}: it is no node")))
        }
    }
}

/// Every path from the one to the other in the window, by any name of either.
fn seen(
    tenant: &Tenant,
    moment: &Moment,
    query: &WaysQuery,
    (since, until): (Millis, Millis),
    limit: usize,
) -> Result<SeenPathList, ApiError> {
    let names =
        |text: &str| -> Result<Vec<NodeId>, ApiError> { Ok(moment.names(end(moment, text)?)) };
    let (from, to) = (names(&query.from)?, names(&query.to)?);
    let seen = tenant.graph().ways_seen(&from, &to, since, until, limit);
    let view = |path: PathView| {
        let PathView { id, sites, intervals: when } = path;
        let hops = id.hops().iter().cloned();
        let (agent, target) = (Some(id.agent().clone()), Some(id.target().clone()));
        SeenPathView {
            agent: id.agent().to_string(),
            target: id.target().to_string(),
            flow: id.flow().to_owned(),
            route: route(std::iter::once(agent).chain(hops).chain([target]).collect()),
            id: id.to_string(),
            sites,
            intervals: intervals(&when),
        }
    };
    Ok(SeenPathList {
        since: Timestamp(since),
        until: Timestamp(until),
        items: seen.items.into_iter().map(view).collect(),
        total: seen.total,
    })
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
