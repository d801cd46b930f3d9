//! `POST /v1/topology/whatif` and `GET /v1/topology/spof`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use holm_model::{ElementId, Millis, NodeId};
use holm_moment::{Impact, Limits, Moment, Selection, Selector, WhatIf, impact_diff};
use serde::Deserialize;
use utoipa::IntoParams;

use super::coverage::{coverage, freshness};
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::impact_types::{
    AgentTarget, BrokenPathView, CompareRequest, CompareView, ImpactTotals, ImpactView,
    ImpactedPrefixView, ImpactedServiceView, PairsSideBySide, ReroutedPathView, RouteStatusView,
    SideBySide, SpofList, SpofView, WhatIfRequest,
};
use super::topology::moment;
use super::types::Timestamp;
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
    let question = Question::of(request, "")?;
    let (at, asked) = (question.at, Arc::clone(&tenant));
    let impact = tokio::task::spawn_blocking(move || question.ask(&asked));
    let impact = impact.await.map_err(ApiError::internal)??;
    Ok(Json(impact_view(&state, &tenant, at, impact)))
}

/// Two what-ifs side by side: what only the one breaks, and what both do. Each may be of a moment of its own.
#[utoipa::path(
    post, path = "/v1/topology/whatif/compare", tag = "topology", request_body = CompareRequest,
    responses((status = 200, body = CompareView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn compare(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(request): Json<CompareRequest>,
) -> Result<Json<CompareView>, ApiError> {
    let tenant = Arc::clone(state.tenant(&caller)?);
    let left = Question::of(request.left, "left.")?;
    let right = Question::of(request.right, "right.")?;
    let (left_at, right_at, asked) = (left.at, right.at, Arc::clone(&tenant));
    let both = tokio::task::spawn_blocking(move || {
        Ok::<_, ApiError>((left.ask(&asked)?, right.ask(&asked)?))
    });
    let (left, right) = both.await.map_err(ApiError::internal)??;
    let diff = impact_diff(&left, &right);
    Ok(Json(CompareView {
        broken_paths: pairs(diff.broken_paths),
        rerouted_paths: pairs(diff.rerouted_paths),
        impacted_services: names(diff.impacted_services),
        impacted_prefixes: names(diff.impacted_prefixes),
        disconnected: names(diff.disconnected),
        complete: diff.complete,
        left: impact_view(&state, &tenant, left_at, left),
        right: impact_view(&state, &tenant, right_at, right),
    }))
}

fn names(sides: [Vec<NodeId>; 3]) -> SideBySide {
    let [only_left, only_right, both] =
        sides.map(|ids| ids.iter().map(ToString::to_string).collect());
    SideBySide { only_left, only_right, both }
}

fn pairs(sides: [Vec<(NodeId, NodeId)>; 3]) -> PairsSideBySide {
    let pair =
        |(from, to): (NodeId, NodeId)| AgentTarget { from: from.to_string(), to: to.to_string() };
    let [only_left, only_right, both] = sides.map(|pairs| pairs.into_iter().map(pair).collect());
    PairsSideBySide { only_left, only_right, both }
}

/// A what-if whose bounds were checked.
struct Question {
    failed: Vec<String>,
    drained: Vec<String>,
    at: Option<Millis>,
    limit: usize,
}

impl Question {
    /// `place` is where the request stands in the body, for the errors.
    fn of(request: WhatIfRequest, place: &str) -> Result<Self, ApiError> {
        let at = request.at.as_deref().map(|at| moment("at", at)).transpose()?;
        let limit = limit(request.limit, 100)?;
        let failed: Vec<String> = request.target.into_iter().chain(request.targets).collect();
        let drained = request.drain;
        if failed.is_empty() && drained.is_empty() {
            let what = format!(
                "{place}target: name what is to fail, such as {{\"target\": \"service:checkout\"}}"
            );
            return Err(ApiError::new(ErrorCode::Validation, what));
        }
        if failed.len() + drained.len() > MAX_TARGETS {
            let what = format!("{place}targets: at most {MAX_TARGETS}");
            return Err(ApiError::new(ErrorCode::Validation, what));
        }
        Ok(Self { failed, drained, at, limit })
    }

    fn ask(&self, tenant: &Tenant) -> Result<Impact, ApiError> {
        let moment = tenant.moment(self.at);
        let question = WhatIf {
            failed: select(tenant, &moment, &self.failed, self.at)?,
            drained: select(tenant, &moment, &self.drained, self.at)?,
        };
        let limits = Limits { items: self.limit };
        Ok(tenant.search(|scratch| moment.what_if(&question, limits, None, scratch)))
    }
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
        if let Selector::Element(id @ (ElementId::Path(_) | ElementId::Alias(_))) = &selector {
            let what = format!(
                "{id}: a way that packets took does not fail, nor does a name; name its nodes or edges"
            );
            return Err(ApiError::bad_request(what));
        }
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
