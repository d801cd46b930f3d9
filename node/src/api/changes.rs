//! `GET /v1/topology/diff` and `/v1/topology/changes`: what changed, and when most of it did.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use holm_graph::{Diff, ElementsOf, SnapshotFilter};
use holm_model::{Millis, SiteId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::attribute_view::AttributeView;
use super::error::{ApiError, ErrorBody};
use super::impact_types::{
    AttributeChangeView, ChangeBucket, ChangeList, ChangedElementView, ChangedList, DiffView,
    ElementList, UnknownChangeList, UnknownChangeView,
};
use super::params::{Given, When, limit, moment, window, within};
use super::questions::answer;
use super::topology::known_sites;
use super::topology_types::{CoverageView, FreshnessView};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

const MAX_BUCKETS: usize = 2_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiffQuery {
    /// The earlier moment: RFC 3339, or milliseconds since 1970.
    #[param(value_type = String)]
    from: When,
    /// The later moment; now otherwise.
    #[param(value_type = Option<String>)]
    to: Option<When>,
    /// Only by what these sites say.
    #[serde(default)]
    #[param(value_type = Vec<String>)]
    site: Vec<SiteId>,
    /// Whether names of the same thing are one node: `true` (otherwise) or `false`.
    fold: Option<bool>,
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
    Given(query): Given<DiffQuery>,
) -> Result<Response, ApiError> {
    let to = moment("to", query.to)?.unwrap_or_else(Millis::now);
    let from = window("from", query.from, to)?;
    let limit = limit(query.limit, 1_000)?;
    answer(state, &caller, move |asked| {
        let fold_aliases = query.fold.unwrap_or(true);
        let sites = (!query.site.is_empty()).then(|| query.site.clone());
        let part = SnapshotFilter { sites, fold_aliases, ..SnapshotFilter::default() };
        known_sites(asked, &part)?;
        let graph = asked.graph();
        let diff = match (&part.sites, fold_aliases) {
            (Some(_), _) => graph.diff_of_part(&part, from, to, limit),
            (None, true) => graph.diff_folded(from, to, limit),
            (None, false) => graph.diff(from, to, limit),
        };
        drop(graph);
        Ok(diff_view(from, to, diff, asked.coverage_of_both(from, to), asked.freshness()))
    })
    .await
}

/// A diff as it is written.
pub(super) fn diff_view(
    from: Millis,
    to: Millis,
    diff: Diff,
    coverage: CoverageView,
    freshness: FreshnessView,
) -> DiffView {
    let changed = diff.changed.into_iter().map(|element| ChangedElementView {
        id: element.id.to_string(),
        attributes: element
            .attributes
            .into_iter()
            .map(|change| AttributeChangeView {
                before: change.before.map(|value| AttributeView::of(&change.key, &value)),
                after: change.after.map(|value| AttributeView::of(&change.key, &value)),
                key: change.key.into(),
            })
            .collect(),
    });
    let unknown = diff.unknown.into_iter().map(|element| UnknownChangeView {
        id: element.id.to_string(),
        known_from: Timestamp(element.known_from),
        keys: element.keys.into_iter().map(String::from).collect(),
    });
    DiffView {
        from: Timestamp(from),
        to: Timestamp(to),
        appeared: list(diff.appeared),
        vanished: list(diff.vanished),
        returned: list(diff.returned),
        changed: ChangedList { items: changed.collect(), total: diff.changed_total },
        unknown: UnknownChangeList { items: unknown.collect(), total: diff.unknown_total },
        coverage,
        freshness,
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangesQuery {
    /// Where the window begins: RFC 3339, or milliseconds since 1970.
    #[param(value_type = String)]
    from: When,
    /// Where it ends; now otherwise.
    #[param(value_type = Option<String>)]
    to: Option<When>,
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
    Given(query): Given<ChangesQuery>,
) -> Result<Response, ApiError> {
    let to = moment("to", query.to)?.unwrap_or_else(Millis::now);
    let from = window("from", query.from, to)?;
    let buckets = within("buckets", query.buckets.unwrap_or(100), MAX_BUCKETS)?;
    answer(state, &caller, move |asked| {
        let counts = asked.graph().changes(from, to, buckets);
        let width = to.since(from);
        let begin = |i: usize| from + (u128::from(width) * i as u128 / buckets as u128) as u64;
        let items = counts.into_iter().enumerate().map(|(i, count)| ChangeBucket {
            from: Timestamp(begin(i)),
            opened: count.opened,
            closed: count.closed,
            changed: count.changed,
        });
        Ok(ChangeList {
            items: items.collect(),
            coverage: asked.coverage(Some(to)),
            freshness: asked.freshness(),
        })
    })
    .await
}

/// Elements as they are written.
fn list(found: ElementsOf) -> ElementList {
    ElementList { items: found.items.iter().map(ToString::to_string).collect(), total: found.total }
}
