//! `GET /v1/topology/search`: nodes by name, attribute or address.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use holm_graph::FoundNode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::impact_types::FoundList;
use super::params::{Given, When, limit, moment};
use super::questions::answer;
use crate::daemon::{Caller, NodeState};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchQuery {
    /// Part of an id, a name or an attribute's value; or an address, which finds the prefixes that hold it too.
    q: String,
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    #[param(value_type = Option<String>)]
    at: Option<When>,
    /// Whether names of the same thing are one node, found by any of them: `true` (otherwise) or `false`.
    fold: Option<bool>,
    /// Most nodes in the answer: 1 to 10,000; 20 otherwise.
    limit: Option<usize>,
}

/// Nodes by name, attribute or address, best first.
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
    answer(state, &caller, move |asked| {
        let (at, fold) = (at.unwrap_or(asked.now), query.fold.unwrap_or(true));
        let found = asked.graph().search(&query.q, at, limit, fold);
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
            items: found.items.iter().map(|found| found.id.to_string()).collect(),
            total: found.total,
        })
    })
    .await
}
