//! `GET /v1/topology/neighbours`, `/v1/topology/dependents` and `/v1/topology/components`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use holm_model::{EdgeKind, NodeKind};
use holm_moment::{Around, Toward};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ErrorBody};
use super::impact_types::{ComponentList, ComponentView, DependentList, NearbyNode, NeighbourList};
use super::names;
use super::params::{Given, When, limit, moment, within};
use super::questions::answer;
use super::topology::MAX_DEPTH;
use crate::daemon::{Caller, NodeState};

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
    #[serde(default)]
    #[param(inline)]
    direction: TowardView,
    /// Only along edges of these kinds: device, flow, path, routing.
    #[serde(default)]
    #[param(value_type = Vec<String>)]
    edge_kinds: Vec<EdgeKind>,
    /// Only through and to nodes of these kinds.
    #[serde(default)]
    #[param(value_type = Vec<String>)]
    node_kinds: Vec<NodeKind>,
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    #[param(value_type = Option<String>)]
    at: Option<When>,
    /// Most nodes in the answer: 1 to 10,000; 1,000 otherwise.
    limit: Option<usize>,
}

/// Along which edges.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TowardView {
    /// As they point.
    Out,
    /// Against them.
    In,
    #[default]
    Both,
}

/// The nodes around one, nearest first.
#[utoipa::path(
    get, path = "/v1/topology/neighbours", tag = "topology", params(NeighboursQuery),
    responses((status = 200, body = NeighbourList), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn neighbours(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<NeighboursQuery>,
) -> Result<Response, ApiError> {
    let at = moment("at", query.at)?;
    let limit = limit(query.limit, 1_000)?;
    let depth = within("depth", query.depth.unwrap_or(1) as usize, MAX_DEPTH as usize)?;
    let around = Around {
        depth: depth as u32,
        toward: match query.direction {
            TowardView::Both => Toward::Both,
            TowardView::In => Toward::Into,
            TowardView::Out => Toward::Out,
        },
        edge_kinds: (!query.edge_kinds.is_empty()).then_some(query.edge_kinds),
        node_kinds: (!query.node_kinds.is_empty()).then_some(query.node_kinds),
    };
    answer(state, &caller, move |asked| {
        let moment = asked.moment(at)?;
        let centre = names::node(asked, &moment, "id", &query.id)?;
        let found = asked.tenant.search(|scratch| moment.neighbourhood(centre, &around, scratch));
        let view = |&(node, distance): &(u32, u32)| NearbyNode {
            id: moment.named(node).to_string(),
            distance,
        };
        Ok(NeighbourList {
            at: asked.as_of(at),
            items: found.iter().take(limit).map(view).collect(),
            total: found.len() as u64,
            coverage: asked.coverage(at),
            freshness: asked.freshness(),
        })
    })
    .await
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DependentsQuery {
    /// The node that they hang on.
    id: String,
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    #[param(value_type = Option<String>)]
    at: Option<When>,
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
    Given(query): Given<DependentsQuery>,
) -> Result<Response, ApiError> {
    let at = moment("at", query.at)?;
    let limit = limit(query.limit, 1_000)?;
    answer(state, &caller, move |asked| {
        let moment = asked.moment(at)?;
        let node = names::node(asked, &moment, "id", &query.id)?;
        let found = asked.tenant.search(|scratch| moment.hangs_on(node, scratch));
        let names = found.iter().take(limit).map(|&node| moment.named(node).to_string());
        Ok(DependentList {
            at: asked.as_of(at),
            items: names.collect(),
            total: found.len() as u64,
            coverage: asked.coverage(at),
            freshness: asked.freshness(),
        })
    })
    .await
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ComponentsQuery {
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    #[param(value_type = Option<String>)]
    at: Option<When>,
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
    Given(query): Given<ComponentsQuery>,
) -> Result<Response, ApiError> {
    let at = moment("at", query.at)?;
    let limit = limit(query.limit, 100)?;
    answer(state, &caller, move |asked| {
        let moment = asked.moment(at)?;
        let (of, count) = moment.components();
        let mut found = vec![ComponentView { size: 0, nodes: Vec::new() }; count];
        for (node, &component) in (0..).zip(&of) {
            let view = &mut found[component as usize];
            view.size += 1;
            if view.nodes.len() < NAMED {
                view.nodes.push(moment.named(node).to_string());
            }
        }
        // Those of one size stay in order of their least node.
        found.sort_by_key(|view| std::cmp::Reverse(view.size));
        found.truncate(limit);
        Ok(ComponentList {
            at: asked.as_of(at),
            items: found,
            total: count as u64,
            coverage: asked.coverage(at),
            freshness: asked.freshness(),
        })
    })
    .await
}
