//! `GET /v1/topology/element`: one element with its history.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use holm_graph::{Direction, Folding, SiteRecord};
use holm_model::{ElementId, IntervalSet, Millis, NodeId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::topology::{attributes, moment};
use super::topology_types::{
    AliasView, DirectionView, ElementDetail, ElementSite, IntervalView, Neighbour, PastValueView,
};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ElementQuery {
    /// `kind:name`, `from|kind|to` for an edge, `agent|path|target|flow|hop…` for a way of a flow, `node|alias|node`.
    id: String,
    /// Neighbours and other names at this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    at: Option<String>,
    /// Whether names of the same thing are one node: `true` (otherwise) or `false`.
    #[serde(default = "folded")]
    #[param(default = true)]
    fold: bool,
}

const fn folded() -> bool {
    true
}

/// One element with its history at each site, the values that its attributes had, its neighbours and its other names.
#[utoipa::path(
    get, path = "/v1/topology/element", tag = "topology", params(ElementQuery),
    responses((status = 200, body = ElementDetail), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn element(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Query(query): Query<ElementQuery>,
) -> Result<Json<ElementDetail>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let id: ElementId =
        query.id.parse().map_err(|error| ApiError::bad_request(format!("id: {error}")))?;
    let at = query.at.as_deref().map_or_else(|| Ok(Millis::now()), |at| moment("at", at))?;
    let graph = tenant.graph();
    let folding = if query.fold { graph.folding(at) } else { Folding::default() };
    let element = graph.element_folded(&id, &folding).ok_or_else(|| {
        ApiError::not_found(format!("no site ever recorded {id}; /v1/topology lists what exists"))
    })?;
    let (mut neighbours, mut aliases) = (Vec::new(), Vec::new());
    if let ElementId::Node(node) = &id {
        // A node that is known but not there then has no neighbours then.
        neighbours = graph.neighbours_folded(node, at, &folding).unwrap_or_default();
        let names = folding.names(node);
        let views = names.iter().flat_map(|name| {
            let views = graph.aliases_of(name, at).into_iter();
            views.map(move |view| alias(view, name))
        });
        aliases = views.filter(|view| view.name != node.to_string() || names.len() == 1).collect();
    }
    drop(graph);
    let (kind, ends) = match &id {
        ElementId::Node(node) => (node.kind().to_string(), None),
        ElementId::Edge(edge) => (edge.kind.to_string(), Some([&edge.from, &edge.to])),
        ElementId::Path(path) => ("path".into(), Some([path.agent(), path.target()])),
        ElementId::Alias(alias) => ("alias".into(), Some(alias.ends())),
    };
    let label = match &id {
        ElementId::Node(node) => node.name().to_owned(),
        other => other.to_string(),
    };
    let [from, to] = match ends {
        Some(ends) => ends.map(|end| Some(end.to_string())),
        None => [None, None],
    };
    Ok(Json(ElementDetail {
        neighbours: neighbours.into_iter().map(|n| neighbour(&id, &n)).collect(),
        id: id.to_string(),
        kind,
        label,
        from,
        to,
        sites: element.sites.into_iter().map(site).collect(),
        aliases,
    }))
}

fn site(record: SiteRecord) -> ElementSite {
    let past = record.past.as_slice().iter().map(|past| PastValueView {
        key: past.key.to_string(),
        value: past.value.as_ref().map(ToString::to_string),
        until: Timestamp(past.until),
    });
    let known = |at: Millis| (at > Millis(0)).then_some(Timestamp(at));
    ElementSite {
        history: past.collect(),
        history_from: known(record.past.known_from()),
        site: record.site,
        intervals: intervals(&record.intervals),
        attributes: attributes(record.attributes),
        attributes_at: known(record.attributes_at),
    }
}

/// Intervals as they are written.
pub(super) fn intervals(set: &IntervalSet) -> Vec<IntervalView> {
    let view = |i: &holm_model::Interval| IntervalView {
        from: Timestamp(i.from),
        to: i.to.map(Timestamp),
    };
    set.as_slice().iter().map(view).collect()
}

fn neighbour(here: &ElementId, neighbour: &holm_graph::Neighbour) -> Neighbour {
    let there = neighbour.node.to_string();
    let (edge, direction) = match neighbour.direction {
        Direction::In => (format!("{there}|{}|{here}", neighbour.kind), DirectionView::In),
        Direction::Out => (format!("{here}|{}|{there}", neighbour.kind), DirectionView::Out),
    };
    Neighbour { id: there, edge, direction }
}

fn alias(view: holm_graph::AliasView, of: &NodeId) -> AliasView {
    let [a, b] = view.id.ends();
    AliasView {
        name: if a == of { b } else { a }.to_string(),
        id: view.id.to_string(),
        sites: view.sites,
        attributes: attributes(view.attributes),
        folded: view.folded,
    }
}
