//! `GET /v1/topology/paths`: the ways between two nodes.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use holm_graph::PathView;
use holm_model::{EdgeId, EdgeKind, Millis, NodeId};
use holm_moment::{Metric, Moment, ObservedPath, Route, RouteQuery};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::element::intervals;
use super::error::{ApiError, ErrorBody};
use super::impact::route;
use super::impact_types::{
    ObservedPathView, RouteStatusView, RouteView, SeenPathList, SeenPathView, StepView, WaysView,
};
use super::names;
use super::params::{Given, When, limit, moment, window, within};
use super::questions::{Asked, answer};
use super::topology_types::{DirectionView, EdgeKindView};
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
    #[param(value_type = Option<String>)]
    at: Option<When>,
    /// How many routes: 1 to 64; 3 otherwise.
    count: Option<usize>,
    /// `hops` (otherwise), or `latency` as far as it was measured.
    #[serde(default)]
    #[param(inline)]
    metric: MetricView,
    /// Only along edges of this kind. All otherwise.
    #[param(value_type = Option<EdgeKindView>)]
    kind: Option<EdgeKind>,
    /// Only as edges point: `true` (otherwise). `false` also takes edges against their direction; each step says which.
    directed: Option<bool>,
    /// Also every path that packets took at some time since then, until `at`: RFC 3339, or milliseconds since 1970.
    #[param(value_type = Option<String>)]
    since: Option<When>,
    /// Most observed paths, and most of those since then: 1 to 10,000; 100 otherwise.
    limit: Option<usize>,
}

/// What makes a way short.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MetricView {
    #[default]
    Hops,
    Latency,
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
    Given(query): Given<WaysQuery>,
) -> Result<Response, ApiError> {
    let at = moment("at", query.at)?;
    let count = within("count", query.count.unwrap_or(3), MAX_ROUTES)?;
    let until = at.unwrap_or_else(Millis::now);
    let since = query.since.map(|since| window("since", since, until)).transpose()?;
    let limit = limit(query.limit, 100)?;
    answer(state, &caller, move |asked| {
        let moment = asked.moment(at)?;
        let routes = RouteQuery {
            from: names::node(asked, &moment, "from", &query.from)?,
            to: names::node(asked, &moment, "to", &query.to)?,
            metric: match query.metric {
                MetricView::Hops => Metric::Hops,
                MetricView::Latency => Metric::Latency,
            },
            directed: query.directed.unwrap_or(true),
            edge_kinds: query.kind.map(|kind| vec![kind]),
            count,
        };
        let ends = (routes.from, routes.to);
        let seen = since.map(|since| seen(asked, &moment, ends, (since, until), limit));
        asked.go_on()?;
        let found = asked.tenant.search(|scratch| moment.routes(&routes, scratch));
        asked.go_on()?;
        let ecmp_width = asked.tenant.search(|scratch| moment.ecmp_width(ends.0, ends.1, scratch));
        asked.go_on()?;
        let observed = moment.observed_paths(ends.0, ends.1);
        Ok(WaysView {
            at: Timestamp(until),
            live: at.is_none(),
            directed: routes.directed,
            routes: found.into_iter().map(|route| route_view(&moment, query.kind, route)).collect(),
            observed_total: observed.len() as u64,
            observed: observed.into_iter().take(limit).map(observed_view).collect(),
            seen,
            ecmp_width,
            coverage: asked.coverage(at),
            freshness: asked.freshness(),
        })
    })
    .await
}

fn observed_view(path: ObservedPath) -> ObservedPathView {
    ObservedPathView {
        agent: path.agent.to_string(),
        target: path.target.to_string(),
        flow: path.flow,
        route: route(path.route),
    }
}

/// Every path from the one to the other in the window, by any name of either.
fn seen(
    asked: &Asked,
    moment: &Moment,
    (from, to): (u32, u32),
    (since, until): (Millis, Millis),
    limit: usize,
) -> SeenPathList {
    let (from, to) = (moment.names(from), moment.names(to));
    let seen = asked.graph().ways_seen(&from, &to, since, until, limit);
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
    SeenPathList {
        since: Timestamp(since),
        until: Timestamp(until),
        items: seen.items.into_iter().map(view).collect(),
        total: seen.total,
    }
}

fn route_view(moment: &Moment, kind: Option<EdgeKind>, route: Route) -> RouteView {
    let hops = route.nodes.len().saturating_sub(1);
    let measured = hops > route.unmeasured as usize;
    RouteView {
        steps: route.nodes.windows(2).map(|pair| step(moment, kind, &pair[0], &pair[1])).collect(),
        nodes: route.nodes.iter().map(ToString::to_string).collect(),
        hops,
        latency_ms: measured.then(|| route.latency_us as f64 / 1_000.0),
        unmeasured: route.unmeasured,
        status: if route.observed { RouteStatusView::Observed } else { RouteStatusView::Inferred },
    }
}

/// How `to` follows from `from`: along edges of `kind`, or of any.
fn step(moment: &Moment, kind: Option<EdgeKind>, from: &NodeId, to: &NodeId) -> StepView {
    let leading = |from: &NodeId, to: &NodeId| -> Vec<EdgeKind> {
        let id = |kind| EdgeId { from: from.clone(), kind, to: to.clone() };
        let there = |kind: &EdgeKind| moment.find_edge(&id(*kind)).is_some();
        let asked = |known: &EdgeKind| kind.is_none_or(|kind| kind == *known);
        EdgeKind::ALL.iter().copied().filter(asked).filter(there).collect()
    };
    let kinds = leading(from, to);
    if kinds.is_empty() {
        return StepView { direction: DirectionView::In, kinds: leading(to, from) };
    }
    StepView { direction: DirectionView::Out, kinds }
}
