//! `GET /v1/topology/diff`, `/v1/topology/changes` and `/v1/topology/search`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use holm_graph::{Diff, ElementsOf};
use holm_model::Millis;
use serde::Deserialize;
use utoipa::IntoParams;

use super::coverage::freshness;
use super::error::{ApiError, ErrorBody};
use super::impact::limit;
use super::impact_types::{
    AttributeChangeView, ChangeBucket, ChangeList, ChangedElementView, ChangedList, DiffView,
    ElementList,
};
use super::topology::moment;
use super::topology_types::FreshnessView;
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

const MAX_BUCKETS: usize = 2_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiffQuery {
    /// The earlier moment: RFC 3339, or milliseconds since 1970.
    from: String,
    /// The later moment; now otherwise.
    to: Option<String>,
    /// Most elements of each list: 1 to 10,000; 1,000 otherwise.
    limit: Option<usize>,
}

/// What changed between two moments.
#[utoipa::path(
    get, path = "/v1/topology/diff", tag = "topology", params(DiffQuery),
    responses((status = 200, body = DiffView), (status = 400, body = ErrorBody))
)]
pub(crate) async fn diff(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Query(query): Query<DiffQuery>,
) -> Result<Json<DiffView>, ApiError> {
    let tenant = Arc::clone(state.tenant(&caller)?);
    let now = Millis::now();
    let to = query.to.as_deref().map_or(Ok(now), |to| moment("to", to))?;
    let from = window("from", &query.from, to)?;
    let limit = limit(query.limit, 1_000)?;
    let asked = Arc::clone(&tenant);
    let diff = tokio::task::spawn_blocking(move || asked.graph().diff(from, to, limit));
    let diff = diff.await.map_err(ApiError::internal)?;
    Ok(Json(diff_view(from, to, diff, freshness(&state, &tenant, now))))
}

/// A diff as it is written.
pub(super) fn diff_view(
    from: Millis,
    to: Millis,
    diff: Diff,
    freshness: FreshnessView,
) -> DiffView {
    let text = |value: Option<Box<str>>| value.map(String::from);
    let changed = diff.changed.into_iter().map(|element| ChangedElementView {
        id: element.id.to_string(),
        attributes: element
            .attributes
            .into_iter()
            .map(|change| AttributeChangeView {
                key: change.key.into(),
                before: text(change.before),
                after: text(change.after),
            })
            .collect(),
    });
    DiffView {
        from: Timestamp(from),
        to: Timestamp(to),
        appeared: list(diff.appeared),
        vanished: list(diff.vanished),
        returned: list(diff.returned),
        changed: ChangedList { items: changed.collect(), total: diff.changed_total },
        freshness,
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangesQuery {
    /// Where the window begins: RFC 3339, or milliseconds since 1970.
    from: String,
    /// Where it ends; now otherwise.
    to: Option<String>,
    /// Into how many equal parts it is cut: 1 to 2,000; 100 otherwise.
    buckets: Option<usize>,
}

/// How many elements were opened and closed when: what a time slider shows.
#[utoipa::path(
    get, path = "/v1/topology/changes", tag = "topology", params(ChangesQuery),
    responses((status = 200, body = ChangeList), (status = 400, body = ErrorBody))
)]
pub(crate) async fn changes(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Query(query): Query<ChangesQuery>,
) -> Result<Json<ChangeList>, ApiError> {
    let tenant = Arc::clone(state.tenant(&caller)?);
    let to = query.to.as_deref().map_or_else(|| Ok(Millis::now()), |to| moment("to", to))?;
    let from = window("from", &query.from, to)?;
    let buckets = query.buckets.unwrap_or(100);
    if !(1..=MAX_BUCKETS).contains(&buckets) {
        return Err(ApiError::bad_request(format!("buckets={buckets}: it goes from 1 to 2,000")));
    }
    let counts = tokio::task::spawn_blocking(move || tenant.graph().changes(from, to, buckets));
    let counts = counts.await.map_err(ApiError::internal)?;
    let width = to.since(from);
    let begin = |i: usize| from + (u128::from(width) * i as u128 / buckets as u128) as u64;
    let items = counts.into_iter().enumerate().map(|(i, count)| ChangeBucket {
        from: Timestamp(begin(i)),
        opened: count.opened,
        closed: count.closed,
        changed: count.changed,
    });
    Ok(Json(ChangeList { items: items.collect() }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchQuery {
    /// Part of an id, a name or an attribute's value; or an address, which finds the prefixes that hold it too.
    q: String,
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    at: Option<String>,
    /// Most nodes in the answer: 1 to 10,000; 20 otherwise.
    limit: Option<usize>,
}

/// Nodes by name, attribute or address, best first.
#[utoipa::path(
    get, path = "/v1/topology/search", tag = "topology", params(SearchQuery),
    responses((status = 200, body = ElementList), (status = 400, body = ErrorBody))
)]
pub(crate) async fn search(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Query(query): Query<SearchQuery>,
) -> Result<Json<ElementList>, ApiError> {
    let tenant = Arc::clone(state.tenant(&caller)?);
    let at = query.at.as_deref().map_or_else(|| Ok(Millis::now()), |at| moment("at", at))?;
    let limit = limit(query.limit, 20)?;
    let found = tokio::task::spawn_blocking(move || tenant.graph().find(&query.q, at, limit));
    Ok(Json(list(found.await.map_err(ApiError::internal)?)))
}

/// Where a window that ends at `to` begins, as the parameter `name` says.
pub(super) fn window(name: &str, from: &str, to: Millis) -> Result<Millis, ApiError> {
    let from = moment(name, from)?;
    if to < from {
        let what = format!(
            "{name}: {} lies after {}, where the window ends",
            Timestamp(from),
            Timestamp(to)
        );
        return Err(ApiError::bad_request(what));
    }
    Ok(from)
}

fn list(found: ElementsOf) -> ElementList {
    ElementList { items: found.items.iter().map(ToString::to_string).collect(), total: found.total }
}
