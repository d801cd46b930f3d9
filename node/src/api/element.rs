//! `GET /v1/topology/element`: one element with its history.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use holm_graph::{
    Direction, ElementView, Folding, MeantBySite, NeighboursOf, SaidBefore, SiteRecord,
    TopologyGraph,
};
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
    /// `kind:name` (`kind:name@site` for what a site means by a name that means several things), `from|kind|to` for an edge, `agent|path|target|flow|hop…` for a way of a flow, `node|alias|node`.
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
    let Some((element, meant)) = find(&graph, id, at, fold, &folding) else {
        drop(graph);
        return Err(names::never_recorded(asked, id));
    };
    let (mut neighbours, mut aliases) = (NeighboursOf::default(), Vec::new());
    if let (ElementId::Node(node), Some(meant)) = (&element.id, &meant) {
        asked.go_on()?;
        // A node that is known but not there then has no neighbours then.
        neighbours = graph.neighbours_meant(meant, at, &folding, limit).unwrap_or_default();
        asked.go_on()?;
        let views = graph.aliases_meant(meant, at).into_iter();
        let views = views.map(|(name, view)| alias(view, &name));
        let told = |view: &AliasView| element.names.len() == 1 || view.name != node.to_string();
        aliases.extend(views.filter(told));
    }
    let by = meant.and_then(|meant| meant.by);
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
        meant_by: by.map(|sites| sites.iter().map(ToString::to_string).collect()),
        aliases,
        aliases_total,
        there,
        coverage: asked.coverage(Some(at)),
        freshness: asked.freshness(),
    })
}

/// An element by its id, or with `name@site` in it as that site means it; of a node with what is meant.
fn find(
    graph: &TopologyGraph,
    id: &ElementId,
    at: Millis,
    fold: bool,
    folding: &Folding,
) -> Option<(ElementView, Option<MeantBySite>)> {
    let meant = |node: &NodeId| match graph.knows(node) {
        true => Some(MeantBySite::everybody(node, folding)),
        false => names::of_a_site(graph, node, at).map(|(name, meant)| match fold {
            true => meant,
            false => meant.only(&name),
        }),
    };
    match id {
        ElementId::Node(node) => {
            let meant = meant(node)?;
            let found = match graph.knows(node) {
                true => {
                    graph.element_folded(&ElementId::Node(meant.names.first()?.0.clone()), folding)
                }
                false => graph.element_meant(&meant),
            };
            Some((found?, Some(meant)))
        }
        ElementId::Edge(edge) => match graph.element_folded(id, folding) {
            Some(found) => Some((found, None)),
            None => {
                let (from, to) = (meant(&edge.from)?, meant(&edge.to)?);
                Some((graph.edge_meant(&from, edge.kind, &to)?, None))
            }
        },
        ElementId::Path(_) | ElementId::Alias(_) => {
            Some((graph.element_folded(id, folding)?, None))
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::record;

    #[test]
    fn what_a_site_means_by_a_name_is_told_by_its_words_alone() {
        let mut graph = TopologyGraph::new();
        for (site, id) in [
            ("berlin", "agent:berlin|path|hop:192.168.1.1"),
            ("tokyo", "agent:tokyo|path|hop:192.168.1.1"),
            ("tokyo", "host:gw|alias|hop:192.168.1.1"),
        ] {
            record(&mut graph, site, id, 1, None);
        }
        let at = Millis(5);
        let sites = |id: &str, fold: bool| {
            let folding = if fold { graph.folding(at) } else { Folding::default() };
            let found = find(&graph, &id.parse().expect("valid"), at, fold, &folding);
            found.map(|(element, _)| {
                let sites = element.sites.iter().map(|record| record.site.to_string());
                (element.id.to_string(), sites.collect::<Vec<_>>().join(" "))
            })
        };
        let told = |id: &str, sites: &str| Some((id.to_owned(), sites.to_owned()));
        assert_eq!(sites("hop:192.168.1.1", true), told("hop:192.168.1.1", "berlin tokyo"));
        assert_eq!(sites("hop:192.168.1.1@tokyo", true), told("host:gw", "tokyo"));
        assert_eq!(sites("hop:192.168.1.1@tokyo", false), told("hop:192.168.1.1", "tokyo"));
        assert_eq!(sites("hop:192.168.1.1@berlin", true), told("hop:192.168.1.1", "berlin"));
        assert_eq!(sites("hop:192.168.1.1@osaka", true), None);
        assert_eq!(
            sites("agent:tokyo|path|hop:192.168.1.1@tokyo", true),
            told("agent:tokyo|path|host:gw", "tokyo")
        );
        assert_eq!(sites("agent:tokyo|path|hop:192.168.1.1@berlin", true), None);
    }
}
