//! `GET /v1/topology`: the parameters that choose a part of it, and the answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use holm_graph::SnapshotFilter;
use holm_model::{Attributes, EdgeKind, Millis, NodeId, NodeKind, SiteId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::attribute_view::AttributeView;
use super::changes::diff_view;
use super::coverage::topology_running;
use super::error::{ApiError, ErrorBody};
use super::names;
use super::params::{Given, When, clipped, moment, window, within};
use super::questions::{Asked, answer};
use super::sites;
use super::topology_types::{EdgeView, NodeView, Provenance, Topology};
use super::types::{ElementCount, Timestamp};
use crate::daemon::{Caller, NodeState};

const DEFAULT_LIMIT: usize = 5_000;
const MAX_LIMIT: usize = 100_000;
pub(super) const MAX_DEPTH: u32 = 16;

/// Which part of the topology, and when.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopologyQuery {
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    #[param(value_type = Option<String>)]
    at: Option<When>,
    /// Only what these sites say.
    #[serde(default)]
    #[param(value_type = Vec<String>)]
    site: Vec<SiteId>,
    /// Only these kinds of nodes (agent, as, device, hop, host, prefix, service, site) or edges (flow, path, routing). An edge
    /// kind is written `edge:device` where a node kind has the same name.
    #[serde(default)]
    kind: Vec<String>,
    /// Another name of `kind`.
    #[serde(default)]
    kinds: Vec<String>,
    /// Only what lies around this node; `name@site` for what a site means by a name, as far as those say who mean the same.
    around: Option<String>,
    /// Another name of `around`.
    from: Option<String>,
    /// How far around, in edges: 1 to 16; 1 otherwise.
    depth: Option<u32>,
    /// Most nodes and most edges in the answer: 1 to 100,000; 5,000 otherwise.
    limit: Option<usize>,
    /// Whether names of the same thing are one node: `true` (otherwise) or `false`.
    fold: Option<bool>,
    /// Also what changed in this part since this earlier moment: RFC 3339, or milliseconds since 1970. `limit` holds for
    /// each of its lists.
    #[param(value_type = Option<String>)]
    diff: Option<When>,
}

/// The merged topology of all sites, now or at a moment of the past, with what it rests on
/// (coverage) and how fresh each site's part is.
#[utoipa::path(
    get, path = "/v1/topology", tag = "topology", params(TopologyQuery),
    responses((status = 200, body = Topology), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn topology(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<TopologyQuery>,
) -> Result<Response, ApiError> {
    let asked_at = moment("at", query.at)?;
    let at = asked_at.unwrap_or_else(Millis::now);
    let since = query.diff.map(|since| window("diff", since, at)).transpose()?;
    let limit = within("limit", query.limit.unwrap_or(DEFAULT_LIMIT), MAX_LIMIT)?;
    let filter = SnapshotFilter { limit: Some(limit), ..query.part()? };
    answer(state, &caller, move |asked| {
        known_sites(asked, &filter)?;
        let filter = names::around_as_meant(&asked.graph(), filter.clone(), at)?;
        let (snapshot, generation, digest, earliest) = {
            let graph = asked.graph();
            let snapshot = graph.snapshot(at, &filter);
            (snapshot, graph.generation(), graph.digest(), graph.earliest())
        };
        // Around what is gone nothing lies any more; what became of it is what changed.
        let was_there = |since| asked.graph().snapshot(since, &filter).is_ok();
        let snapshot = match snapshot {
            Err(_) if since.is_some_and(was_there) => holm_graph::Snapshot::default(),
            snapshot => snapshot
                .map_err(|error| names::no_centre(asked, asked_at, &error.node, &filter.sites))?,
        };
        asked.go_on()?;
        let changes = since.map(|since| asked.graph().diff_of_part(&filter, since, at, limit));
        asked.go_on()?;
        let nodes: Vec<NodeView> = snapshot.nodes.into_iter().map(node_view).collect();
        let edges: Vec<EdgeView> = snapshot.edges.into_iter().map(edge_view).collect();
        let coverage = match since {
            Some(since) => asked.coverage_of_both(since, at),
            None => asked.coverage(Some(at)),
        };
        let freshness = asked.freshness();
        let diff = since.zip(changes);
        Ok(Topology {
            at: Timestamp(at),
            live: asked_at.is_none(),
            topology_running: topology_running(&asked.state),
            generation,
            graph_digest: hex(&digest),
            shown: ElementCount { nodes: nodes.len(), edges: edges.len() },
            total: ElementCount { nodes: snapshot.total_nodes, edges: snapshot.total_edges },
            nodes,
            edges,
            diff: diff.map(|(since, changes)| {
                diff_view(since, at, changes, coverage.clone(), freshness.clone())
            }),
            coverage,
            freshness,
            earliest: earliest.map(Timestamp),
        })
    })
    .await
}

pub(super) fn known_sites(asked: &Asked, filter: &SnapshotFilter) -> Result<(), ApiError> {
    let wanted = filter.sites.as_deref().unwrap_or_default();
    sites::known(&asked.state, &asked.tenant, wanted, asked.now)
}

impl TopologyQuery {
    /// Which part is asked for, without a limit.
    fn part(&self) -> Result<SnapshotFilter, ApiError> {
        let kinds: Vec<&String> = self.kind.iter().chain(&self.kinds).collect();
        let centre = centre(self.around.as_ref(), self.from.as_ref())?;
        part(&self.site, &kinds, centre, self.depth, self.fold)
    }
}

/// The node in the middle, with the parameter that names it.
pub(super) fn centre<'a>(
    around: Option<&'a String>,
    from: Option<&'a String>,
) -> Result<Option<(&'static str, &'a String)>, ApiError> {
    match (around, from) {
        (Some(_), Some(_)) => {
            Err(ApiError::bad_request("from: it is another name of around: give one of them"))
        }
        (around, from) => {
            Ok(around.map(|node| ("around", node)).or(from.map(|node| ("from", node))))
        }
    }
}

/// The part of the topology that these parameters choose, without a limit.
pub(super) fn part(
    sites: &[SiteId],
    kinds: &[&String],
    centre: Option<(&str, &String)>,
    depth: Option<u32>,
    fold: Option<bool>,
) -> Result<SnapshotFilter, ApiError> {
    let (mut node_kinds, mut edge_kinds) = (Vec::new(), Vec::new());
    for kind in kinds {
        let edge_only = kind.strip_prefix("edge:");
        let node = if edge_only.is_some() { None } else { NodeKind::parse(kind) };
        match (node, EdgeKind::parse(edge_only.unwrap_or(kind))) {
            (Some(node), _) => node_kinds.push(node),
            (None, Some(edge)) => edge_kinds.push(edge),
            (None, None) => {
                let what = format!("kind={}: not a kind of node or edge", clipped(kind));
                return Err(ApiError::bad_request(what));
            }
        }
    }
    if depth.is_some() && centre.is_none() {
        return Err(ApiError::bad_request("depth: say around which node, with around"));
    }
    let depth = within("depth", depth.unwrap_or(1) as usize, MAX_DEPTH as usize)? as u32;
    let centre = centre.map(|(name, node)| match node.parse::<NodeId>() {
        Ok(node) => Ok((node.canonical().unwrap_or(node), depth)),
        Err(error) => Err(ApiError::bad_request(format!("{name}={}: {error}", clipped(node)))),
    });
    Ok(SnapshotFilter {
        sites: (!sites.is_empty()).then(|| sites.to_vec()),
        node_kinds: (!node_kinds.is_empty()).then_some(node_kinds),
        edge_kinds: (!edge_kinds.is_empty()).then_some(edge_kinds),
        around: centre.transpose()?,
        fold_aliases: fold.unwrap_or(true),
        limit: None,
    })
}

pub(super) fn node_view(node: holm_graph::NodeView) -> NodeView {
    NodeView {
        kind: node.id.kind(),
        label: node.id.name().to_owned(),
        id: node.id.to_string(),
        sites: node.sites,
        since: Timestamp(node.since),
        attributes: attributes(node.attributes),
        attributes_known_from: node.attributes_known_from.map(Timestamp),
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
        attributes_known_from: edge.attributes_known_from.map(Timestamp),
    }
}

pub(super) fn attributes(attributes: Attributes) -> BTreeMap<String, AttributeView> {
    let typed = |(key, value): (Box<str>, Box<str>)| {
        let view = AttributeView::of(&key, &value);
        (key.into(), view)
    };
    attributes.into_iter().map(typed).collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::params::read;
    use super::*;

    fn filter(query: &str) -> Result<SnapshotFilter, String> {
        let query = read::<TopologyQuery>(query).map_err(|error| error.message)?;
        query.part().map_err(|error| error.message)
    }

    #[test]
    fn a_part_is_chosen_and_lists_are_joined() {
        let good = filter("site=berlin&site=tokyo&kind=flow&kind=service").expect("valid");
        assert_eq!(good.sites.map(|sites| sites.len()), Some(2));
        assert_eq!(good.edge_kinds, Some(vec![EdgeKind::Flow]));
        assert_eq!(good.node_kinds, Some(vec![NodeKind::Service]));
        assert!(good.fold_aliases, "unless it is asked not to");
        for query in ["kinds=service&kinds=host", "kind=service,host", "kinds=service&kind=host"] {
            let kinds = filter(query).expect(query).node_kinds.expect("kinds");
            assert!(
                kinds.contains(&NodeKind::Service) && kinds.contains(&NodeKind::Host),
                "{query}"
            );
        }
        let from = filter("from=service:a&fold=false&kind=edge:device").expect("valid");
        let centre = from.around.map(|(node, depth)| (node.to_string(), depth));
        assert_eq!(centre, Some(("service:a".into(), 1)));
        assert_eq!((from.node_kinds, from.edge_kinds), (None, Some(vec![EdgeKind::Device])));
        assert!(!from.fold_aliases);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, named) in [
            ("site=Not+Valid", "site=Not Valid"),
            ("kind=pod", "kind=pod"),
            ("kinds=service,pod", "kind=pod"),
            ("around=x", "around=x"),
            ("around=service:a&depth=0", "depth=0"),
            ("depth=3", "depth: say around which node"),
            ("from=service:a&around=service:a", "from: it is another name"),
            ("fold=false&fold=true", "fold=false,true: it is given more than once"),
            ("limit=1&limit=3", "limit=1,3: it is given more than once"),
            ("from=service:a&from=service:b", "it is given more than once"),
            ("color=red", "color: is not a parameter"),
        ] {
            let error = filter(query).expect_err(query);
            assert!(error.contains(named), "{query}: {error}");
        }
    }
}
