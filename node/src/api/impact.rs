//! `POST /v1/topology/whatif` and `GET /v1/topology/spof`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use holm_model::{ElementId, Millis, NodeId};
use holm_moment::{Impact, Limits, Moment, Selection, Selector, WhatIf};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody, ErrorCode};
use super::impact_types::{
    BrokenPathView, ImpactTotals, ImpactView, ImpactedPrefixView, ImpactedServiceView,
    ReroutedPathView, RouteStatusView, SpofList, SpofView, WhatIfRequest,
};
use super::topology::{freshness, moment, notes};
use super::types::{CoverageView, Timestamp};
use crate::daemon::{Caller, NodeState, Tenant};

const MAX_TARGETS: usize = 1_000;
const MAX_ITEMS: usize = 10_000;

/// What breaks if the targets fail or are drained, now or at a moment of the past: paths of agents
/// that break or find another way, services that call, prefixes behind, nodes cut off. A target
/// that is not there is an error with the nearest names.
#[utoipa::path(
    post, path = "/v1/topology/whatif", tag = "topology", request_body = WhatIfRequest,
    responses((status = 200, body = ImpactView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn what_if(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(request): Json<WhatIfRequest>,
) -> Result<Json<ImpactView>, ApiError> {
    let tenant = Arc::clone(state.tenant(&caller)?);
    let at = request.at.as_deref().map(|at| moment("at", at)).transpose()?;
    let limit = limit(request.limit, 100)?;
    let failed: Vec<String> = request.target.into_iter().chain(request.targets).collect();
    let drained = request.drain;
    if failed.is_empty() && drained.is_empty() {
        let what = "target: name what is to fail, such as {\"target\": \"service:checkout\"}";
        return Err(ApiError::new(ErrorCode::Validation, what));
    }
    if failed.len() + drained.len() > MAX_TARGETS {
        let what = format!("targets: at most {MAX_TARGETS}");
        return Err(ApiError::new(ErrorCode::Validation, what));
    }
    let asked = Arc::clone(&tenant);
    let impact = tokio::task::spawn_blocking(move || {
        let moment = asked.moment(at);
        let question = WhatIf {
            failed: select(&asked, &moment, &failed, at)?,
            drained: select(&asked, &moment, &drained, at)?,
        };
        let limits = Limits { items: limit };
        Ok::<_, ApiError>(asked.search(|scratch| moment.what_if(&question, limits, None, scratch)))
    });
    let impact = impact.await.map_err(ApiError::internal)??;
    Ok(Json(impact_view(&state, &tenant, at, impact)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpofQuery {
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    at: Option<String>,
    /// Most nodes in the answer: 1 to 10,000; 100 otherwise.
    limit: Option<usize>,
}

/// Single points of failure: every node by what breaks if it alone fails, worst first.
#[utoipa::path(
    get, path = "/v1/topology/spof", tag = "topology", params(SpofQuery),
    responses((status = 200, body = SpofList), (status = 400, body = ErrorBody))
)]
pub(crate) async fn spof(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Query(query): Query<SpofQuery>,
) -> Result<Json<SpofList>, ApiError> {
    let tenant = Arc::clone(state.tenant(&caller)?);
    let at = query.at.as_deref().map(|at| moment("at", at)).transpose()?;
    let limit = limit(query.limit, 100)?;
    let asked = Arc::clone(&tenant);
    let ranking = tokio::task::spawn_blocking(move || asked.moment(at).spof(limit));
    let ranking = ranking.await.map_err(ApiError::internal)?;
    let items = ranking.items.into_iter().map(|spof| SpofView {
        blast_radius: spof.blast_radius(),
        id: spof.id.to_string(),
        broken_paths: spof.broken_paths,
        impacted_services: spof.impacted_services,
        disconnected: spof.disconnected,
    });
    let now = Millis::now();
    Ok(Json(SpofList {
        at: Timestamp(at.unwrap_or(now)),
        live: at.is_none(),
        items: items.collect(),
        total: ranking.total,
        coverage: coverage(&state, &tenant, at),
        freshness: freshness(&state, &tenant, now),
    }))
}

/// A limit of items within its bounds.
pub(super) fn limit(asked: Option<usize>, otherwise: usize) -> Result<usize, ApiError> {
    let limit = asked.unwrap_or(otherwise);
    if !(1..=MAX_ITEMS).contains(&limit) {
        return Err(ApiError::bad_request(format!("limit={limit}: it goes from 1 to 10,000")));
    }
    Ok(limit)
}

/// What an answer at `at` stands on.
pub(super) fn coverage(state: &NodeState, tenant: &Tenant, at: Option<Millis>) -> CoverageView {
    let at = at.unwrap_or_else(Millis::now);
    let (coverage, earliest) = {
        let graph = tenant.graph();
        (graph.coverage(at), graph.earliest())
    };
    CoverageView {
        path_edges: coverage.path_edges,
        flow_edges: coverage.flow_edges,
        routing_edges: coverage.routing_edges,
        device_edges: coverage.device_edges,
        notes: notes(state, tenant, at, earliest, &coverage.never_recorded),
    }
}

fn select(
    tenant: &Tenant,
    moment: &Moment,
    targets: &[String],
    at: Option<Millis>,
) -> Result<Selection, ApiError> {
    let mut all = Selection::default();
    for target in targets {
        let selector = match target.strip_prefix("attribute:").and_then(|t| t.split_once('=')) {
            Some((key, value)) => Selector::Listed {
                name: target.clone(),
                elements: tenant.graph().with_attribute(key, value, at.unwrap_or_else(Millis::now)),
            },
            None => Selector::Element(parse(moment, target)?),
        };
        let found = moment.select(&selector);
        let found = found.map_err(|error| ApiError::not_found(error.to_string()))?;
        all.nodes.extend(found.nodes);
        all.edges.extend(found.edges);
    }
    for list in [&mut all.nodes, &mut all.edges] {
        list.sort_unstable();
        list.dedup();
    }
    Ok(all)
}

/// An id; a name that is none may be near one that is there.
pub(super) fn parse(moment: &Moment, target: &str) -> Result<ElementId, ApiError> {
    target.parse().map_err(|error: holm_model::ElementIdError| {
        let near = moment.unknown(target).near;
        if near.is_empty() {
            return ApiError::bad_request(error.to_string());
        }
        ApiError::not_found(format!("{error}; near it: {}", near.join(", ")))
    })
}

fn impact_view(
    state: &NodeState,
    tenant: &Tenant,
    at: Option<Millis>,
    impact: Impact,
) -> ImpactView {
    let now = Millis::now();
    let mut coverage = coverage(state, tenant, at);
    if impact.coverage.flow_paths == 0 && impact.coverage.path_edges > 0 {
        coverage.notes.push(
            "no hop-by-hop paths were observed: ways are put together from single edges".into(),
        );
    }
    if impact.impacted_slos.is_none() {
        coverage.notes.push("no SLO engine runs: which objectives are touched is not known".into());
    }
    let names = |ids: Vec<ElementId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let failed = names(impact.failed);
    let broken = |path: holm_moment::BrokenPath| BrokenPathView {
        from: path.from.to_string(),
        to: path.to.to_string(),
        route: route(path.route),
        status: if path.observed { RouteStatusView::Observed } else { RouteStatusView::Inferred },
    };
    ImpactView {
        at: Timestamp(at.unwrap_or(now)),
        live: at.is_none(),
        totals: ImpactTotals {
            failed: failed.len() as u64,
            broken_paths: impact.broken_paths.total,
            rerouted_paths: impact.rerouted_paths.total,
            stranded_paths: impact.stranded_paths.total,
            impacted_services: impact.impacted_services.total,
            impacted_prefixes: impact.impacted_prefixes.total,
            disconnected: impact.disconnected.total,
        },
        failed,
        drained: names(impact.drained),
        broken_paths: impact.broken_paths.items.into_iter().map(broken).collect(),
        rerouted_paths: impact
            .rerouted_paths
            .items
            .into_iter()
            .map(|path| ReroutedPathView {
                from: path.from.to_string(),
                to: path.to.to_string(),
                status: path.status.into(),
                route: route(path.route),
                alt_route: route(path.alt_route),
                flows_affected: path.flows_affected.map(|(affected, _)| affected),
                flows: path.flows_affected.map(|(_, all)| all),
            })
            .collect(),
        stranded_paths: impact.stranded_paths.items.into_iter().map(broken).collect(),
        impacted_services: impact
            .impacted_services
            .items
            .into_iter()
            .map(|s| ImpactedServiceView { id: s.id.to_string(), distance: s.distance })
            .collect(),
        impacted_prefixes: impact
            .impacted_prefixes
            .items
            .into_iter()
            .map(|p| ImpactedPrefixView { id: p.id.to_string(), loss: p.loss.into() })
            .collect(),
        disconnected: impact.disconnected.items.iter().map(ToString::to_string).collect(),
        impacted_slos: impact.impacted_slos,
        coverage,
        freshness: freshness(state, tenant, now),
    }
}

/// Ids as they are written; a hop that did not answer stays `null`.
pub(super) fn route(nodes: Vec<Option<NodeId>>) -> Vec<Option<String>> {
    nodes.into_iter().map(|node| node.map(|node| node.to_string())).collect()
}
