//! `GET /v1/topology/paths`: the ways between two nodes.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use holm_graph::{PathView, TopologyGraph};
use holm_model::{EdgeKind, IntervalSet, Millis, NodeKind};
use holm_moment::{
    LayeredRoute, LayeredRoutes, Metric, Moment, ObservedPath, RouteLayer, RouteQuery,
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::element::intervals;
use super::error::{ApiError, ErrorBody};
use super::impact::route;
use super::impact_types::{
    LayerView, ObservedPathView, RouteStatusView, RouteView, SeenPathList, SeenPathView, StepView,
    WaysView,
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
    /// What a way is made of: `network` (path, routing and device edges) or `calls` (flow edges). Otherwise calls
    /// where the start is a service, and the network where it is not; if there is none, the other.
    #[param(inline)]
    layer: Option<LayerView>,
    /// Only along edges of this kind, within the layer. All of the layer's otherwise; its layer where none is given.
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

/// The layers to look in, the first that has a way.
fn layers(
    layer: Option<LayerView>,
    kind: Option<EdgeKind>,
    from: NodeKind,
) -> Result<Vec<RouteLayer>, ApiError> {
    let of_kind = kind.map(|kind| match kind {
        EdgeKind::Flow => RouteLayer::Calls,
        EdgeKind::Path | EdgeKind::Routing | EdgeKind::Device => RouteLayer::Network,
    });
    match (layer.map(LayerView::layer), of_kind) {
        (Some(layer), Some(of_kind)) if layer != of_kind => {
            Err(ApiError::bad_request("kind: edges of this kind are in the other layer"))
        }
        (Some(layer), _) | (None, Some(layer)) => Ok(vec![layer]),
        (None, None) => {
            let first = RouteLayer::between(from);
            Ok(vec![first, first.other()])
        }
    }
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
        let named = |moment: &Moment| -> Result<(u32, u32), ApiError> {
            let from = names::node(asked, moment, "from", &query.from)?;
            Ok((from, names::node(asked, moment, "to", &query.to)?))
        };
        let ends = match (named(&moment), since) {
            (Err(error), Some(since)) => {
                let last = last_of_both(&asked.graph(), [&query.from, &query.to], (since, until));
                let last = last.ok_or(error)?;
                let then = asked.moment(Some(last))?;
                let seen = seen(asked, &then, named(&then)?, (since, until), limit);
                return Ok(only_seen(asked, (at, last), &query, seen));
            }
            (ends, _) => ends?,
        };
        if ends.0 == ends.1 {
            return Err(ApiError::bad_request(format!(
                "from and to are one thing: {}",
                moment.named(ends.0)
            )));
        }
        let routes = RouteQuery {
            from: ends.0,
            to: ends.1,
            metric: match query.metric {
                MetricView::Hops => Metric::Hops,
                MetricView::Latency => Metric::Latency,
            },
            directed: query.directed.unwrap_or(true),
            edge_kinds: query.kind.map(|kind| vec![kind]),
            only_through: None,
            count,
        };
        let seen = since.map(|since| seen(asked, &moment, ends, (since, until), limit));
        asked.go_on()?;
        let layers = layers(query.layer, query.kind, moment.node(ends.0).kind())?;
        let (mut layer, mut found) = (layers[0], LayeredRoutes::default());
        for other in layers {
            found = asked.tenant.search(|scratch| moment.layered_routes(&routes, other, scratch));
            asked.go_on()?;
            if !found.found.is_empty() {
                layer = other;
                break;
            }
        }
        let LayeredRoutes { found, complete } = found;
        let core = found.first().map_or(ends, LayeredRoute::ends);
        let ecmp_width = moment.ecmp_width(core.0, core.1);
        asked.go_on()?;
        let (observed, observed_total) = moment.observed_between(ends.0, ends.1, limit);
        let view = |route| route_view(&moment, ends, query.kind, layer, route);
        Ok(WaysView {
            at: asked.as_of(at),
            live: at.is_none(),
            layer: LayerView::of(layer),
            directed: routes.directed,
            routes: found.into_iter().map(view).collect(),
            complete,
            observed_total,
            observed: observed.into_iter().map(observed_view).collect(),
            seen,
            ecmp_width,
            coverage: asked.coverage(at),
            freshness: asked.freshness(),
        })
    })
    .await
}

/// The last moment of a window at which both of two nodes were there, if the one or the other is not at its end.
fn last_of_both(
    graph: &TopologyGraph,
    ends: [&str; 2],
    (since, until): (Millis, Millis),
) -> Option<Millis> {
    let [from, to] = ends.map(|name| {
        let element = graph.element(&names::id(name).ok()?)?;
        let said = element.sites.iter().flat_map(|site| site.intervals.as_slice()).copied();
        Some(IntervalSet::from_intervals(said))
    });
    let (from, to) = (from?, to?);
    let intervals = from.as_slice().iter().chain(to.as_slice());
    let lasts =
        intervals.filter_map(|interval| interval.to).map(|end| Millis(end.0.saturating_sub(1)));
    let within = lasts.filter(|last| since <= *last && *last < until);
    within.filter(|last| from.contains(*last) && to.contains(*last)).max()
}

/// The answer about a window at whose end one of the two is not there any more: what was seen in it.
fn only_seen(
    asked: &Asked,
    (at, last): (Option<Millis>, Millis),
    query: &WaysQuery,
    seen: SeenPathList,
) -> WaysView {
    let mut coverage = asked.coverage(at);
    let last = Timestamp(last);
    coverage.notes.push(format!(
        "{} and {} were last there together at {last}: there is no way between them at the end of the window",
        query.from, query.to
    ));
    WaysView {
        at: asked.as_of(at),
        live: at.is_none(),
        layer: LayerView::of(RouteLayer::Network),
        directed: query.directed.unwrap_or(true),
        routes: Vec::new(),
        complete: true,
        observed: Vec::new(),
        observed_total: 0,
        seen: Some(seen),
        ecmp_width: 0,
        coverage,
        freshness: asked.freshness(),
    }
}

fn observed_view(path: ObservedPath) -> ObservedPathView {
    ObservedPathView {
        agent: path.agent.to_string(),
        target: path.target.to_string(),
        flow: path.flow,
        route: route(path.route),
    }
}

/// Every path from the one to the other, or from and to what stands for them, in the window.
fn seen(
    asked: &Asked,
    moment: &Moment,
    (from, to): (u32, u32),
    (since, until): (Millis, Millis),
    limit: usize,
) -> SeenPathList {
    let (from, to) = moment.stands_for(from, to);
    let seen = asked.graph().ways_seen(moment, (&from, &to), (since, until), limit);
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

fn route_view(
    moment: &Moment,
    (from, to): (u32, u32),
    kind: Option<EdgeKind>,
    layer: RouteLayer,
    found: LayeredRoute,
) -> RouteView {
    let LayeredRoute { route, starts_beside, ends_beside, .. } = found;
    let hops = route.nodes.len().saturating_sub(1);
    let measured = hops > route.unmeasured as usize;
    let asked = |known: EdgeKind| {
        let of_layer = (known == EdgeKind::Flow) == (layer == RouteLayer::Calls);
        of_layer && kind.is_none_or(|kind| kind == known)
    };
    let beside = || StepView { direction: DirectionView::Out, kinds: Vec::new(), same_place: true };
    let (before, after) = (starts_beside.then(beside), ends_beside.then(beside));
    let steps = route.numbers.windows(2).map(|pair| step(moment, &asked, pair[0], pair[1]));
    let (start, end) = (starts_beside.then_some(from), ends_beside.then_some(to));
    let nodes = start.into_iter().chain(route.numbers.iter().copied()).chain(end);
    RouteView {
        steps: before.into_iter().chain(steps).chain(after).collect(),
        nodes: nodes.map(|node| moment.named(node).to_string()).collect(),
        hops,
        latency_ms: measured.then(|| route.latency_us as f64 / 1_000.0),
        unmeasured: route.unmeasured,
        status: if route.observed { RouteStatusView::Observed } else { RouteStatusView::Inferred },
        last_taken: route.last_taken.map(Timestamp),
    }
}

/// How `to` follows from `from`, along edges of the kinds that are `asked` for.
fn step(moment: &Moment, asked: &impl Fn(EdgeKind) -> bool, from: u32, to: u32) -> StepView {
    let leading = |from: u32, to: u32| -> Vec<EdgeKind> {
        let there = |kind: &EdgeKind| moment.edge_between_machines(from, *kind, to).is_some();
        EdgeKind::ALL.iter().copied().filter(|kind| asked(*kind)).filter(there).collect()
    };
    if moment.is_one_machine(from, to) {
        return StepView { direction: DirectionView::Out, kinds: Vec::new(), same_place: true };
    }
    let kinds = leading(from, to);
    if kinds.is_empty() {
        let kinds = leading(to, from);
        return StepView { direction: DirectionView::In, kinds, same_place: false };
    }
    StepView { direction: DirectionView::Out, kinds, same_place: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::record;

    #[test]
    fn the_last_moment_of_both_is_the_end_of_the_one_that_went_first() {
        let mut graph = TopologyGraph::new();
        record(&mut graph, "berlin", "service:web", 1_000, Some(3_000));
        record(&mut graph, "tokyo", "service:web", 5_000, Some(6_000));
        record(&mut graph, "berlin", "service:checkout|flow|host:x", 2_000, None);
        let last = |to: &str, since, until| {
            last_of_both(&graph, ["service:web", to], (Millis(since), Millis(until)))
        };
        assert_eq!(last("service:checkout", 0, 9_000), Some(Millis(5_999)));
        assert_eq!(last("service:checkout", 0, 4_000), Some(Millis(2_999)));
        assert_eq!(last("service:checkout", 7_000, 9_000), None, "not in the window");
        assert_eq!(last("service:nobody", 0, 9_000), None);
        assert_eq!(last("no id", 0, 9_000), None);
    }
}
