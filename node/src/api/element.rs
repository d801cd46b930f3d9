//! `GET /v1/topology/element`: one element with its history.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use holm_graph::{Direction, Folding, NeighboursOf, SaidBefore, SiteRecord};
use holm_model::{ElementId, IntervalSet, Millis, NodeId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::attribute_view::AttributeView;
use super::error::{ApiError, ErrorBody};
use super::names;
use super::params::{Given, When, limit, moment};
use super::questions::{Asked, answer};
use super::topology::attributes;
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
    #[param(value_type = Option<String>)]
    at: Option<When>,
    /// Whether names of the same thing are one node: `true` (otherwise) or `false`.
    fold: Option<bool>,
    /// Most neighbours, and most other names, in the answer: 1 to 10,000; 1,000 otherwise.
    limit: Option<usize>,
}

/// One element with its history at each site, the values that its attributes had, its neighbours and its other names.
#[utoipa::path(
    get, path = "/v1/topology/element", tag = "topology", params(ElementQuery),
    responses((status = 200, body = ElementDetail), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn element(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<ElementQuery>,
) -> Result<Response, ApiError> {
    let at = moment("at", query.at)?;
    let limit = limit(query.limit, 1_000)?;
    let fold = query.fold.unwrap_or(true);
    answer(state, &caller, move |asked| {
        // What is no id may be near one; what is one may be of an element that is long gone.
        let id = match names::id(&query.id) {
            Ok(id) => id,
            Err(_) => names::parse(&*asked.moment(at)?, "id", &query.id)?,
        };
        detail(asked, &id, at.unwrap_or(asked.now), fold, limit)
    })
    .await
}

fn detail(
    asked: &Asked,
    id: &ElementId,
    at: Millis,
    fold: bool,
    limit: usize,
) -> Result<ElementDetail, ApiError> {
    let graph = asked.graph();
    let folding = if fold { graph.folding(at) } else { Folding::default() };
    let Some(element) = graph.element_folded(id, &folding) else {
        drop(graph);
        return Err(names::never_recorded(asked, id));
    };
    let (mut neighbours, mut aliases) = (NeighboursOf::default(), Vec::new());
    if let ElementId::Node(node) = &element.id {
        asked.go_on()?;
        // A node that is known but not there then has no neighbours then.
        neighbours = graph.neighbours_of(node, at, &folding, limit).unwrap_or_default();
        for name in &element.names {
            asked.go_on()?;
            let views = graph.aliases_of(name, at).into_iter().map(|view| alias(view, name));
            let told = |view: &AliasView| element.names.len() == 1 || view.name != node.to_string();
            aliases.extend(views.filter(told));
        }
    }
    drop(graph);
    let (id, names) = (element.id, element.names);
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
    let aliases_total = aliases.len() as u64;
    aliases.truncate(limit);
    let there = element.sites.iter().any(|site| site.intervals.contains(at));
    Ok(ElementDetail {
        neighbours: neighbours.items.iter().map(|n| neighbour(&id, n)).collect(),
        neighbours_total: neighbours.total,
        id: id.to_string(),
        names_total: names.len() as u64,
        names: names.iter().take(limit).map(ToString::to_string).collect(),
        kind,
        label,
        from,
        to,
        sites: element.sites.into_iter().map(site).collect(),
        aliases,
        aliases_total,
        there,
        coverage: asked.coverage(Some(at)),
        freshness: asked.freshness(),
    })
}

fn site(record: SiteRecord) -> ElementSite {
    let past = record.past.into_iter().map(|SaidBefore { of, value: past }| PastValueView {
        of: of.map(|id| id.to_string()),
        value: past.value.as_ref().map(|value| AttributeView::of(&past.key, value)),
        key: past.key.into(),
        until: Timestamp(past.until),
    });
    let known = |at: Millis| (at > Millis(0)).then_some(Timestamp(at));
    ElementSite {
        history: past.collect(),
        history_from: known(record.known_from),
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
