//! `GET /v1/topology/neighbours`, `/v1/topology/dependents` and `/v1/topology/components`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use holm_model::{EdgeKind, Millis, NodeKind};
use holm_moment::{Around, Toward};
use serde::Deserialize;
use utoipa::IntoParams;

use super::coverage::{coverage, freshness};
use super::error::{ApiError, ErrorBody};
use super::impact::limit;
use super::impact_types::{ComponentList, ComponentView, DependentList, NearbyNode, NeighbourList};
use super::topology::moment;
use super::types::Timestamp;
use super::ways::end;
use crate::daemon::{Caller, NodeState};

const MAX_DEPTH: u32 = 16;
/// Nodes of a component that are named.
const NAMED: usize = 10;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct NeighboursQuery {
    /// The node in the middle.
    id: String,
    /// How far around, in edges: 1 to 16; 1 otherwise.
    depth: Option<u32>,
    /// `out` as edges point, `in` against them, or `both` (otherwise).
    direction: Option<String>,
    /// Only along edges of these kinds, separated by commas: device, flow, path, routing.
    edge_kinds: Option<String>,
    /// Only through and to nodes of these kinds, separated by commas.
    node_kinds: Option<String>,
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    at: Option<String>,
    /// Most nodes in the answer: 1 to 10,000; 1,000 otherwise.
    limit: Option<usize>,
}

/// The nodes around one, nearest first.
#[utoipa::path(
    get, path = "/v1/topology/neighbours", tag = "topology", params(NeighboursQuery),
    responses((status = 200, body = NeighbourList), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn neighbours(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Query(query): Query<NeighboursQuery>,
) -> Result<Json<NeighbourList>, ApiError> {
    let tenant = Arc::clone(state.tenant(&caller)?);
    let at = query.at.as_deref().map(|at| moment("at", at)).transpose()?;
    let limit = limit(query.limit, 1_000)?;
    let depth = query.depth.unwrap_or(1);
    if !(1..=MAX_DEPTH).contains(&depth) {
        return Err(ApiError::bad_request(format!("depth={depth}: it goes from 1 to {MAX_DEPTH}")));
    }
    let around = Around {
        depth,
        toward: match query.direction.as_deref() {
            None | Some("both") => Toward::Both,
            Some("in") => Toward::Into,
            Some("out") => Toward::Out,
            Some(_) => return Err(ApiError::bad_request("direction: it is in, out or both")),
        },
        edge_kinds: kinds("edge_kinds", query.edge_kinds.as_deref(), EdgeKind::parse)?,
        node_kinds: kinds("node_kinds", query.node_kinds.as_deref(), NodeKind::parse)?,
    };
    let asked = Arc::clone(&tenant);
    let found = tokio::task::spawn_blocking(move || {
        let moment = asked.moment(at);
        let centre = end(&moment, &query.id)?;
        let found = asked.search(|scratch| moment.neighbourhood(centre, &around, scratch));
        let view = |&(node, distance): &(u32, u32)| NearbyNode {
            id: moment.node(node).to_string(),
            distance,
        };
        Ok::<_, ApiError>((found.iter().take(limit).map(view).collect(), found.len() as u64))
    });
    let (items, total) = found.await.map_err(ApiError::internal)??;
    let now = Millis::now();
    Ok(Json(NeighbourList {
        at: Timestamp(at.unwrap_or(now)),
        items,
        total,
        coverage: coverage(&state, &tenant, at),
        freshness: freshness(&state, &tenant, now),
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DependentsQuery {
    /// The node that they hang on.
    id: String,
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    at: Option<String>,
    /// Most nodes in the answer: 1 to 10,000; 1,000 otherwise.
    limit: Option<usize>,
}

/// Everything that hangs on one node: no agent is connected with it by any edges once that node is gone.
#[utoipa::path(
    get, path = "/v1/topology/dependents", tag = "topology", params(DependentsQuery),
    responses((status = 200, body = DependentList), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn dependents(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Query(query): Query<DependentsQuery>,
) -> Result<Json<DependentList>, ApiError> {
    let tenant = Arc::clone(state.tenant(&caller)?);
    let at = query.at.as_deref().map(|at| moment("at", at)).transpose()?;
    let limit = limit(query.limit, 1_000)?;
    let asked = Arc::clone(&tenant);
    let found = tokio::task::spawn_blocking(move || {
        let moment = asked.moment(at);
        let node = end(&moment, &query.id)?;
        let found = asked.search(|scratch| moment.hangs_on(node, scratch));
        let names = found.iter().take(limit).map(|&node| moment.node(node).to_string());
        Ok::<_, ApiError>((names.collect(), found.len() as u64))
    });
    let (items, total) = found.await.map_err(ApiError::internal)??;
    let now = Millis::now();
    Ok(Json(DependentList {
        at: Timestamp(at.unwrap_or(now)),
        items,
        total,
        coverage: coverage(&state, &tenant, at),
        freshness: freshness(&state, &tenant, now),
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ComponentsQuery {
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    at: Option<String>,
    /// Most components in the answer: 1 to 10,000; 100 otherwise.
    limit: Option<usize>,
}

/// The parts of the topology between which there is no edge at all, largest first.
#[utoipa::path(
    get, path = "/v1/topology/components", tag = "topology", params(ComponentsQuery),
    responses((status = 200, body = ComponentList), (status = 400, body = ErrorBody))
)]
pub(crate) async fn components(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Query(query): Query<ComponentsQuery>,
) -> Result<Json<ComponentList>, ApiError> {
    let tenant = Arc::clone(state.tenant(&caller)?);
    let at = query.at.as_deref().map(|at| moment("at", at)).transpose()?;
    let limit = limit(query.limit, 100)?;
    let asked = Arc::clone(&tenant);
    let found = tokio::task::spawn_blocking(move || {
        let moment = asked.moment(at);
        let (of, count) = moment.components();
        let mut found = vec![ComponentView { size: 0, nodes: Vec::new() }; count];
        for (node, &component) in (0..).zip(&of) {
            let view = &mut found[component as usize];
            view.size += 1;
            if view.nodes.len() < NAMED {
                view.nodes.push(moment.node(node).to_string());
            }
        }
        // Those of one size stay in order of their least node.
        found.sort_by_key(|view| std::cmp::Reverse(view.size));
        found.truncate(limit);
        (found, count as u64)
    });
    let (items, total) = found.await.map_err(ApiError::internal)?;
    let now = Millis::now();
    Ok(Json(ComponentList {
        at: Timestamp(at.unwrap_or(now)),
        items,
        total,
        coverage: coverage(&state, &tenant, at),
        freshness: freshness(&state, &tenant, now),
    }))
}

/// Kinds separated by commas.
fn kinds<K>(
    name: &str,
    text: Option<&str>,
    parse: impl Fn(&str) -> Option<K>,
) -> Result<Option<Vec<K>>, ApiError> {
    let one = |kind: &str| {
        let known = parse(kind);
        known.ok_or_else(|| {
            let kind: String = kind.chars().take(80).collect();
            ApiError::bad_request(format!("{name}={kind}: no such kind"))
        })
    };
    text.map(|text| text.split(',').map(one).collect()).transpose()
}
