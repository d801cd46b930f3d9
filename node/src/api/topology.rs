//! `GET /v1/topology`: the parameters that choose a part of it, and the answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum_extra_query::Repeated;
use holm_graph::SnapshotFilter;
use holm_model::{Attributes, EdgeKind, Millis, NodeId, NodeKind, SiteId};
use utoipa::IntoParams;

use super::compare;
use super::coverage::{coverage, freshness, topology_running};
use super::error::{ApiError, ErrorBody};
use super::topology_types::{EdgeView, NodeView, Provenance, Topology};
use super::types::{ElementCount, Timestamp};
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
    /// The same as `kind`, several at once: `service,flow`.
    kinds: Option<String>,
    /// Only these kinds of nodes (agent, as, device, hop, host, prefix, service, site) or edges (flow, path, routing); may be
    /// given again. An edge kind is written `edge:device` where a node kind has the same name.
    kind: Vec<String>,
    /// Only what lies around this node.
    around: Option<String>,
    /// Another name of `around`.
    from: Option<String>,
    /// How far around, in edges: 1 to 16.
    depth: Option<u32>,
    /// Most nodes and most edges in the answer: 1 to 100,000; 5,000 otherwise.
    limit: Option<usize>,
    /// Whether names of the same thing are one node: `true` (otherwise) or `false`.
    fold: Option<bool>,
    /// Also what changed since this earlier moment: RFC 3339, or milliseconds since 1970. `limit` holds for each of its
    /// lists.
    diff: Option<String>,
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
    let tenant = Arc::clone(state.tenant(&caller)?);
    let now = Millis::now();
    let at = query.moment()?.unwrap_or(now);
    let filter = query.filter()?;
    known_sites(&state, &tenant, &filter, now)?;
    let limit = filter.limit.unwrap_or(DEFAULT_LIMIT);
    let diff = match query.diff.as_deref() {
        Some(since) => Some(compare::window("diff", since, at)?),
        None => None,
    };
    let asked = Arc::clone(&tenant);
    let found = tokio::task::spawn_blocking(move || {
        let graph = asked.graph();
        let snapshot =
            graph.snapshot(at, &filter).map_err(|e| ApiError::not_found(e.to_string()))?;
        let diff = diff.map(|since| graph.diff(since, at, limit));
        Ok::<_, ApiError>((snapshot, diff, graph.generation(), graph.digest(), graph.earliest()))
    });
    let (snapshot, changes, generation, digest, earliest) =
        found.await.map_err(ApiError::internal)??;
    let nodes: Vec<NodeView> = snapshot.nodes.into_iter().map(node_view).collect();
    let edges: Vec<EdgeView> = snapshot.edges.into_iter().map(edge_view).collect();
    let freshness = freshness(&state, &tenant, now);
    let diff = diff.zip(changes);
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
        coverage: coverage(&state, &tenant, Some(at)),
        diff: diff
            .map(|(since, changes)| compare::diff_view(since, at, changes, freshness.clone())),
        freshness,
        earliest: earliest.map(Timestamp),
    }))
}

/// A site that nobody ever heard of is an error, never an empty answer.
pub(super) fn known_sites(
    state: &NodeState,
    tenant: &Tenant,
    filter: &SnapshotFilter,
    now: Millis,
) -> Result<(), ApiError> {
    let Some(asked) = &filter.sites else { return Ok(()) };
    let status = state.mesh().map(holm_mesh_link::Mesh::status);
    let reports = state.site_reports(&tenant.id, &tenant.documented_sites(), status.as_ref(), now);
    let known: Vec<&SiteId> = reports.iter().map(|report| &report.freshness.site).collect();
    match asked.iter().find(|site| !known.contains(site)) {
        None => Ok(()),
        Some(site) => {
            let known: Vec<&str> = known.iter().take(20).map(|site| site.as_str()).collect();
            Err(ApiError::not_found(format!("no site {site}; there are {}", known.join(", "))))
        }
    }
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
    pub(super) fn parse(pairs: Vec<(String, String)>) -> Result<Self, ApiError> {
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
                "kinds" => query.kinds = Some(value),
                "around" => query.around = Some(value),
                "from" => query.from = Some(value),
                "fold" => {
                    query.fold = Some(value.parse().map_err(|_| {
                        ApiError::bad_request(format!("fold={value}: it is true or false"))
                    })?);
                }
                "diff" => query.diff = Some(value),
                "depth" => query.depth = Some(number(&value)?),
                "limit" => query.limit = Some(number(&value)? as usize),
                other => {
                    return Err(ApiError::bad_request(format!(
                        "{other}: is not a parameter; there are at, site, kind, kinds, around, from, depth, limit, fold, diff"
                    )));
                }
            }
        }
        Ok(query)
    }

    pub(super) fn moment(&self) -> Result<Option<Millis>, ApiError> {
        self.at.as_deref().map(|at| moment("at", at)).transpose()
    }

    pub(super) fn filter(&self) -> Result<SnapshotFilter, ApiError> {
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
        let listed = self.kinds.as_deref().into_iter().flat_map(|kinds| kinds.split(','));
        for kind in self.kind.iter().map(String::as_str).chain(listed) {
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
        let around = match (&self.around, &self.from) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                return Err(bad("from", &"it is another name of around: give one of them"));
            }
            (Some(node), None) | (None, Some(node)) => {
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
            fold_aliases: self.fold.unwrap_or(true),
            limit: Some(limit),
        })
    }
}

pub(super) fn node_view(node: holm_graph::NodeView) -> NodeView {
    NodeView {
        kind: node.id.kind(),
        label: node.id.name().to_owned(),
        id: node.id.to_string(),
        sites: node.sites,
        since: Timestamp(node.since),
        attributes: attributes(node.attributes),
        aliases: node.aliases.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn edge_view(edge: holm_graph::EdgeView) -> EdgeView {
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

pub(super) fn attributes(attributes: Attributes) -> std::collections::BTreeMap<String, String> {
    attributes.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Query parameters that may be given again, in order.
pub(super) mod axum_extra_query {
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
        assert!(good.fold_aliases, "unless it is asked not to");
        let kinds = filter(&[("kinds", "service,flow"), ("from", "service:a"), ("fold", "false")]);
        let kinds = kinds.expect("valid");
        assert_eq!(kinds.node_kinds, Some(vec![NodeKind::Service]));
        assert_eq!(
            kinds.around.map(|(node, depth)| (node.to_string(), depth)),
            Some(("service:a".into(), 1))
        );
        assert!(!kinds.fold_aliases);
        assert!(filter(&[("from", "service:a"), ("around", "service:a")]).is_err());
        for (pair, named) in [
            (("site", "Not Valid"), "site"),
            (("kind", "pod"), "kind=pod"),
            (("around", "x"), "around"),
            (("depth", "0"), "depth=0"),
            (("limit", "0"), "limit=0"),
            (("limit", "many"), "limit=many"),
            (("kinds", "service,pod"), "kind=pod"),
            (("fold", "perhaps"), "fold=perhaps"),
            (("color", "red"), "color"),
        ] {
            let error = filter(&[pair]).expect_err("refused");
            assert!(error.contains(named), "{error}");
        }
    }
}
