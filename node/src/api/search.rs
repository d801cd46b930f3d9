//! `GET /v1/topology/search`: nodes by name, attribute or address, and edges by their ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use holm_graph::{FoundNode, FoundNodes, TopologyGraph};
use holm_model::{Millis, NodeId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::impact_types::FoundList;
use super::names;
use super::params::{Given, When, limit, moment};
use super::questions::answer;
use crate::daemon::{Caller, NodeState};

/// Most names that are looked at for what a site means by them.
const MOST_NAMES: usize = 64;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchQuery {
    /// Part of an id, a name or an attribute's value; `key=value`, which finds edges too; or an address or prefix, which finds
    /// the prefixes that hold it and what lies in it. `name@site`
    /// finds what a site means by a name, or by the first 64 that fit. `from|kind|to` finds edges, each of the three a part
    /// of what the edge says or left empty; an end with `@site` finds what that site says.
    q: String,
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    #[param(value_type = Option<String>)]
    at: Option<When>,
    /// Whether names of the same thing are one node, found by any of them: `true` (otherwise) or `false`.
    fold: Option<bool>,
    /// Most in the answer: 1 to 10,000; 20 otherwise.
    limit: Option<usize>,
}

/// Nodes by name, attribute or address, best first; or edges by their ends.
#[utoipa::path(
    get, path = "/v1/topology/search", tag = "topology", params(SearchQuery),
    responses((status = 200, body = FoundList), (status = 400, body = ErrorBody))
)]
pub(crate) async fn search(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<SearchQuery>,
) -> Result<Response, ApiError> {
    let at = moment("at", query.at)?;
    let limit = limit(query.limit, 20)?;
    if query.q.trim_matches(|c: char| c == '|' || c.is_whitespace()).is_empty() {
        return Err(ApiError::bad_request(
            "q is empty; write a part of a name, an address, key=value or from|kind|to",
        ));
    }
    if query.q.matches('|').count() > 2 {
        return Err(ApiError::bad_request(
            "q has more than three parts between `|`: edges are found by from|kind|to, the ways of packets by GET /v1/topology/paths",
        ));
    }
    answer(state, &caller, move |asked| {
        let (at, fold) = (at.unwrap_or(asked.now), query.fold.unwrap_or(true));
        if query.q.contains('|') {
            let found = asked.graph().search_edges(&query.q, at, limit, fold);
            return Ok(FoundList {
                matched: BTreeMap::new(),
                attributes: BTreeMap::new(),
                coverage: asked.coverage(Some(at)),
                freshness: asked.freshness(),
                items: found.items.iter().map(ToString::to_string).collect(),
                total: found.total,
            });
        }
        let mut found = asked.graph().search(&query.q, at, limit, fold);
        if found.total == 0 {
            found = meant_by_a_site(&asked.graph(), &query.q, at, limit);
        }
        // `key=value` is said of edges too.
        let room = limit.saturating_sub(found.items.len());
        let edges = asked.graph().search_edges_said(&query.q, at, room, fold);
        let items = found.items.iter().map(|found| found.id.to_string());
        let items = items.chain(edges.items.iter().map(ToString::to_string));
        let by_another = found.items.iter().filter(|found| found.id != found.matched);
        let pair = |found: &FoundNode| (found.id.to_string(), found.matched.to_string());
        let by_attribute = |found: &FoundNode| {
            let (key, value) = found.attribute.as_ref()?;
            Some((found.id.to_string(), format!("{key}={value}")))
        };
        Ok(FoundList {
            matched: by_another.map(pair).collect(),
            attributes: found.items.iter().filter_map(by_attribute).collect(),
            coverage: asked.coverage(Some(at)),
            freshness: asked.freshness(),
            items: items.collect(),
            total: found.total + edges.total,
        })
    })
    .await
}

/// What `name@site` means, each by what it is shown by, or by itself where others mean another thing by the
/// name. Without a kind: all that a name that fits means there.
fn meant_by_a_site(graph: &TopologyGraph, text: &str, at: Millis, limit: usize) -> FoundNodes {
    let Some((name, site)) = text.trim().rsplit_once('@') else { return FoundNodes::default() };
    let names = match name.parse::<NodeId>() {
        Ok(name) => vec![name],
        Err(_) => {
            let found = graph.search(name, at, MOST_NAMES, false).items.into_iter();
            found.filter(|found| found.attribute.is_none()).map(|found| found.id).collect()
        }
    };
    let mut found = FoundNodes::default();
    for name in names {
        let Ok(matched) = format!("{name}@{site}").parse::<NodeId>() else { continue };
        let meant = names::of_a_site(graph, &matched, at);
        let Some((_, meant)) = meant.filter(|(_, meant)| graph.is_meant_then(meant, at)) else {
            continue;
        };
        let shown = meant.names.first().map(|(name, _)| name.clone());
        let id = shown.filter(|_| meant.by.is_none()).unwrap_or_else(|| matched.clone());
        if found.items.iter().all(|known| known.id != id) {
            found.items.push(FoundNode { id, matched, attribute: None });
        }
    }
    found.total = found.items.len() as u64;
    found.items.truncate(limit);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::record;

    #[test]
    fn what_a_site_means_is_found_with_and_without_its_kind() {
        let mut graph = TopologyGraph::new();
        for site in ["berlin", "tokyo"] {
            record(&mut graph, site, &format!("agent:{site}|path|hop:192.168.1.1"), 1, None);
        }
        record(&mut graph, "berlin", "host:192.168.1.1", 1, None);
        let found = |text: &str, limit: usize| {
            let found = meant_by_a_site(&graph, text, Millis(5), limit);
            let ids: Vec<String> = found.items.iter().map(|found| found.id.to_string()).collect();
            (ids.join(" "), found.total)
        };
        assert_eq!(found("hop:192.168.1.1@tokyo", 9), ("hop:192.168.1.1@tokyo".into(), 1));
        assert_eq!(found("192.168.1.1@tokyo", 9), ("hop:192.168.1.1@tokyo".into(), 1));
        // Of the one only berlin speaks.
        let both = "hop:192.168.1.1@berlin host:192.168.1.1";
        assert_eq!(found("192.168.1.1@berlin", 9), (both.into(), 2));
        assert_eq!(found("192.168.1.1@berlin", 1).1, 2, "all are counted");
        for nothing in ["192.168.1.1@osaka", "192.168.1.2@berlin", "192.168.1.1@", "@berlin", "@"] {
            assert_eq!(found(nothing, 9), (String::new(), 0), "{nothing}");
        }
    }
}
