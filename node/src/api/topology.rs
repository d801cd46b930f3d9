//! `GET /v1/topology` and `GET /v1/topology/element`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum_extra_query::Repeated;
use holm_graph::{Direction, SiteFreshness, SiteState, SnapshotFilter};
use holm_model::{Attributes, EdgeKind, ElementId, Millis, NodeId, NodeKind, SiteId};
use holm_plane::PlaneState;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::types::{
    CoverageView, DirectionView, EdgeView, ElementCount, ElementDetail, ElementSite, FreshnessView,
    IntervalView, Neighbour, NodeView, Provenance, SiteFreshnessView, SiteStateView, Timestamp,
    Topology,
};
use crate::daemon::{Caller, NodeState, Tenant};

const DEFAULT_LIMIT: usize = 5_000;
const MAX_LIMIT: usize = 100_000;
const MAX_DEPTH: u32 = 16;

/// Which part of the topology, and when.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TopologyQuery {
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    at: Option<String>,
    /// Only what these sites say; may be given again.
    site: Vec<String>,
    /// Only these kinds of nodes (agent, as, device, hop, host, prefix, service, site) or edges (flow, path, routing); may be
    /// given again. An edge kind is written `edge:device` where a node kind has the same name.
    kind: Vec<String>,
    /// Only what lies around this node.
    around: Option<String>,
    /// How far around, in edges: 1 to 16.
    depth: Option<u32>,
    /// Most nodes and most edges in the answer: 1 to 100,000; 5,000 otherwise.
    limit: Option<usize>,
}

/// The merged topology of all sites, now or at a moment of the past, with what it rests on
/// (coverage) and how fresh each site's part is.
#[utoipa::path(
    get, path = "/v1/topology", tag = "topology", params(TopologyQuery),
    responses((status = 200, body = Topology), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn topology(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Repeated(pairs): Repeated,
) -> Result<Json<Topology>, ApiError> {
    let query = TopologyQuery::parse(pairs)?;
    let tenant = state.tenant(&caller)?;
    let now = Millis::now();
    let at = query.moment()?.unwrap_or(now);
    let filter = query.filter()?;
    let graph = tenant.graph();
    let snapshot =
        graph.snapshot(at, &filter).map_err(|error| ApiError::not_found(error.to_string()))?;
    let coverage = graph.coverage(at);
    let (generation, digest, earliest) = (graph.generation(), graph.digest(), graph.earliest());
    drop(graph);
    let nodes: Vec<NodeView> = snapshot.nodes.into_iter().map(node_view).collect();
    let edges: Vec<EdgeView> = snapshot.edges.into_iter().map(edge_view).collect();
    Ok(Json(Topology {
        at: Timestamp(at),
        live: query.at.is_none(),
        topology_running: topology_running(&state),
        generation,
        graph_digest: hex(&digest),
        shown: ElementCount { nodes: nodes.len(), edges: edges.len() },
        total: ElementCount { nodes: snapshot.total_nodes, edges: snapshot.total_edges },
        nodes,
        edges,
        coverage: CoverageView {
            path_edges: coverage.path_edges,
            flow_edges: coverage.flow_edges,
            routing_edges: coverage.routing_edges,
            device_edges: coverage.device_edges,
            notes: notes(&state, tenant, at, earliest, &coverage.never_recorded),
        },
        freshness: freshness(&state, tenant, now),
        earliest: earliest.map(Timestamp),
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ElementQuery {
    /// `kind:name`, or `from|kind|to` for an edge.
    id: String,
}

/// One element with its history at each site, and its live neighbours.
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
    let graph = tenant.graph();
    let element = graph.element(&id).ok_or_else(|| {
        ApiError::not_found(format!("no site ever recorded {id}; /v1/topology lists what exists"))
    })?;
    let (kind, label, from, to) = match &id {
        ElementId::Node(node) => (node.kind().to_string(), node.name().to_owned(), None, None),
        ElementId::Edge(edge) => (
            edge.kind.to_string(),
            id.to_string(),
            Some(edge.from.to_string()),
            Some(edge.to.to_string()),
        ),
    };
    let neighbours = match &id {
        // A node that is known but not there now has no neighbours now.
        ElementId::Node(node) => graph.neighbours(node, Millis::now()).unwrap_or_default(),
        ElementId::Edge(_) => Vec::new(),
    };
    let site = |record: holm_graph::SiteRecord| ElementSite {
        site: record.site,
        intervals: record
            .intervals
            .as_slice()
            .iter()
            .map(|i| IntervalView { from: Timestamp(i.from), to: i.to.map(Timestamp) })
            .collect(),
        attributes: attributes(record.attributes),
    };
    Ok(Json(ElementDetail {
        id: id.to_string(),
        kind,
        label,
        from,
        to,
        sites: element.sites.into_iter().map(site).collect(),
        neighbours: neighbours
            .into_iter()
            .map(|neighbour| {
                let here = query.id.as_str();
                let there = neighbour.node.to_string();
                let (edge, direction) = match neighbour.direction {
                    Direction::In => {
                        (format!("{there}|{}|{here}", neighbour.kind), DirectionView::In)
                    }
                    Direction::Out => {
                        (format!("{here}|{}|{there}", neighbour.kind), DirectionView::Out)
                    }
                };
                Neighbour { id: there, edge, direction }
            })
            .collect(),
    }))
}

/// A moment in the parameter `name`.
pub(super) fn moment(name: &str, text: &str) -> Result<Millis, ApiError> {
    let parsed = Timestamp::parse(text).ok_or_else(|| {
        let text: String = text.chars().take(80).collect();
        ApiError::bad_request(format!(
            "{name}={text}: not a time; write 2026-11-21T14:03:07Z, or milliseconds since 1970"
        ))
    })?;
    Ok(parsed.0)
}

impl TopologyQuery {
    fn parse(pairs: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut query = Self::default();
        for (name, value) in pairs {
            let number = |value: &str| {
                value.parse().map_err(|_| {
                    ApiError::bad_request(format!("{name}={value}: it is not a whole number"))
                })
            };
            match name.as_str() {
                "at" => query.at = Some(value),
                "site" => query.site.push(value),
                "kind" => query.kind.push(value),
                "around" => query.around = Some(value),
                "depth" => query.depth = Some(number(&value)?),
                "limit" => query.limit = Some(number(&value)? as usize),
                other => {
                    return Err(ApiError::bad_request(format!(
                        "{other}: is not a parameter; there are at, site, kind, around, depth, limit"
                    )));
                }
            }
        }
        Ok(query)
    }

    fn moment(&self) -> Result<Option<Millis>, ApiError> {
        self.at.as_deref().map(|at| moment("at", at)).transpose()
    }

    fn filter(&self) -> Result<SnapshotFilter, ApiError> {
        let bad = |what: &str, error: &dyn std::fmt::Display| {
            ApiError::bad_request(format!("{what}: {error}"))
        };
        let sites: Vec<SiteId> = self
            .site
            .iter()
            .map(|site| site.parse())
            .collect::<Result<_, _>>()
            .map_err(|error: holm_model::NameError| bad("site", &error))?;
        let (mut node_kinds, mut edge_kinds) = (Vec::new(), Vec::new());
        for kind in &self.kind {
            let edge_only = kind.strip_prefix("edge:");
            let node = if edge_only.is_some() { None } else { NodeKind::parse(kind) };
            match (node, EdgeKind::parse(edge_only.unwrap_or(kind))) {
                (Some(node), _) => node_kinds.push(node),
                (None, Some(edge)) => edge_kinds.push(edge),
                (None, None) => {
                    return Err(bad(&format!("kind={kind}"), &"not a kind of node or edge"));
                }
            }
        }
        let depth = self.depth.unwrap_or(1);
        if !(1..=MAX_DEPTH).contains(&depth) {
            return Err(bad(&format!("depth={depth}"), &"it goes from 1 to 16"));
        }
        let around = match &self.around {
            None => None,
            Some(node) => {
                let node: NodeId = node
                    .parse()
                    .map_err(|error: holm_model::ElementIdError| bad("around", &error))?;
                Some((node, depth))
            }
        };
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(bad(&format!("limit={limit}"), &"it goes from 1 to 100,000"));
        }
        Ok(SnapshotFilter {
            sites: (!sites.is_empty()).then_some(sites),
            node_kinds: (!node_kinds.is_empty()).then_some(node_kinds),
            edge_kinds: (!edge_kinds.is_empty()).then_some(edge_kinds),
            around,
            limit: Some(limit),
        })
    }
}

fn node_view(node: holm_graph::NodeView) -> NodeView {
    NodeView {
        kind: node.id.kind(),
        label: node.id.name().to_owned(),
        id: node.id.to_string(),
        sites: node.sites,
        since: Timestamp(node.since),
        attributes: attributes(node.attributes),
    }
}

fn edge_view(edge: holm_graph::EdgeView) -> EdgeView {
    EdgeView {
        id: edge.id.to_string(),
        from: edge.id.from.to_string(),
        to: edge.id.to.to_string(),
        kind: edge.id.kind,
        sites: edge.sites,
        since: Timestamp(edge.since),
        // Both planes record what they see; nothing is stitched together yet.
        provenance: Provenance::Observed,
        attributes: attributes(edge.attributes),
    }
}

fn attributes(attributes: Attributes) -> std::collections::BTreeMap<String, String> {
    attributes.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

fn topology_running(state: &NodeState) -> bool {
    state.planes().iter().any(|plane| plane.health().state != PlaneState::Off)
}

/// The plane of this node that records edges of a kind, if there is one.
const fn recorded_by(kind: EdgeKind) -> Option<&'static str> {
    match kind {
        EdgeKind::Flow => Some("host"),
        EdgeKind::Path => Some("active"),
        EdgeKind::Device | EdgeKind::Routing => None,
    }
}

/// What is missing, in words: "not watching" is not "nothing there".
pub(super) fn notes(
    state: &NodeState,
    tenant: &Tenant,
    at: Millis,
    earliest: Option<Millis>,
    never_recorded: &[EdgeKind],
) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(earliest) = earliest.filter(|earliest| at < *earliest) {
        notes.push(format!("nothing was recorded before {}", Timestamp(earliest)));
    }
    for kind in never_recorded {
        let running = recorded_by(*kind).filter(|name| {
            let planes = state.planes();
            planes.iter().any(|p| p.name() == *name && p.health().state != PlaneState::Off)
        });
        notes.push(match running {
            Some(plane) => format!(
                "no {kind} edges: plane {plane} watches at this site, and no site has recorded one yet"
            ),
            None => format!("no {kind} edges: nothing at this site watches for them"),
        });
    }
    for plane in state.planes().iter() {
        let health = plane.health();
        if health.state != PlaneState::Running {
            let how = if health.state == PlaneState::Off { "is off" } else { "is degraded" };
            notes.push(format!("plane {} {how} at this site: {}", plane.name(), health.reason));
        }
    }
    if let Some(failure) = tenant.write_failure() {
        notes.push(format!("changes of this site wait to be written: {failure}"));
    }
    notes
}

pub(super) fn freshness(state: &NodeState, tenant: &Tenant, now: Millis) -> FreshnessView {
    let status = state.mesh().map(holm_mesh_link::Mesh::status);
    let documented = tenant.documented_sites();
    let reports = state.site_reports(&tenant.id, &documented, status.as_ref(), now);
    let sites: Vec<SiteFreshnessView> = reports
        .into_iter()
        .map(|report| {
            let SiteFreshness { site, as_of, state } = report.freshness;
            SiteFreshnessView { site, as_of: as_of.map(Timestamp), state: site_state(state) }
        })
        .collect();
    let unreachable = sites
        .iter()
        .filter(|s| matches!(s.state, SiteStateView::Unreachable | SiteStateView::NeverHeard))
        .map(|s| s.site.clone())
        .collect();
    FreshnessView { sites, unreachable }
}

pub(super) fn site_state(state: SiteState) -> SiteStateView {
    match state {
        SiteState::Here => SiteStateView::Here,
        SiteState::Live => SiteStateView::Live,
        SiteState::NeverHeard => SiteStateView::NeverHeard,
        SiteState::Stale => SiteStateView::Stale,
        SiteState::Unreachable => SiteStateView::Unreachable,
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Query parameters that may be given again, in order.
mod axum_extra_query {
    use axum::extract::FromRequestParts;
    use axum::http::request::Parts;

    use super::ApiError;

    pub(crate) struct Repeated(pub(crate) Vec<(String, String)>);

    impl<S: Sync> FromRequestParts<S> for Repeated {
        type Rejection = ApiError;

        async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
            let query = parts.uri.query().unwrap_or_default();
            Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(pairs: &[(&str, &str)]) -> Result<SnapshotFilter, String> {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        TopologyQuery::parse(pairs).and_then(|query| query.filter()).map_err(|error| error.message)
    }

    #[test]
    fn parameters_are_checked_and_named_in_the_error() {
        let good =
            filter(&[("site", "berlin"), ("site", "tokyo"), ("kind", "flow"), ("kind", "service")]);
        let good = good.expect("valid");
        assert_eq!(good.sites.map(|sites| sites.len()), Some(2));
        assert_eq!(good.edge_kinds, Some(vec![EdgeKind::Flow]));
        assert_eq!(good.node_kinds, Some(vec![NodeKind::Service]));
        for (pair, named) in [
            (("site", "Not Valid"), "site"),
            (("kind", "pod"), "kind=pod"),
            (("around", "x"), "around"),
            (("depth", "0"), "depth=0"),
            (("limit", "0"), "limit=0"),
            (("limit", "many"), "limit=many"),
            (("color", "red"), "color"),
        ] {
            let error = filter(&[pair]).expect_err("refused");
            assert!(error.contains(named), "{error}");
        }
    }
}
