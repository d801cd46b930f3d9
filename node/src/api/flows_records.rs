//! `GET /v1/flows`: records as they are, page after page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use holm_flow::ask::rows_sql;
use holm_model::{Millis, SiteId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::flows::{Asking, FlowWindow, Found, flow_query};
use super::flows_types::FlowRecords;
use super::params::{Given, When, within};
use crate::daemon::{Caller, NodeState};

flow_query!(
    FlowSearchQuery {
        /// How many: 1 to 10,000; 100 otherwise.
        limit: Option<usize>,
        /// `next` of the page before, with the same filter and sites; the window is that of the first page.
        cursor: Option<String>,
    }
);

/// Flow records of all sites, the latest first, with every column that was told.
#[utoipa::path(
    get, path = "/v1/flows", operation_id = "flow_records", tag = "flows", params(FlowSearchQuery),
    responses((status = 200, body = FlowRecords), (status = 400, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody))
)]
pub(crate) async fn search(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<FlowSearchQuery>,
) -> Result<Json<FlowRecords>, ApiError> {
    let FlowSearchQuery { limit, cursor, window, from, to, filter, site, timeout_ms } = query;
    let limit = within("limit", limit.unwrap_or(100), 10_000)?;
    let asked = asked_hash(filter.as_deref(), &site);
    let place = cursor.as_deref().map(|cursor| Cursor::parse(cursor, asked)).transpose()?;
    if place.is_some() && (window.is_some() || from.is_some() || to.is_some()) {
        return Err(ApiError::bad_request(
            "cursor: the window is that of the first page; leave out window, from and to",
        ));
    }
    let (from, to) = match &place {
        Some(place) => (Some(When(place.from)), Some(When(place.to))),
        None => (from, to),
    };
    let window = FlowWindow::new(window, from, to, filter, site, timeout_ms);
    let mut asking = window.asking(&state, &caller)?;
    let mut scope = asking.scope();
    let skip = place.as_ref().map_or(0, |place| place.skip);
    if let Some(place) = &place {
        scope.to_ns = scope.to_ns.min(place.received_ns.saturating_add(1));
    }
    let schema = holm_flow::flow_schema();
    let columns: Vec<&str> =
        std::iter::once("site").chain(schema.fields().iter().map(|f| f.name().as_str())).collect();
    let rows = asking.ask(rows_sql(&scope, &columns, limit, skip)).await?;
    let next = (rows.len() >= limit).then(|| Cursor::after(&rows, &asking, place, asked));
    let item = |row: Found| {
        let pairs = columns.iter().zip(row.into_values());
        pairs.filter(|(_, value)| !value.is_null()).map(|(n, v)| ((*n).to_owned(), v)).collect()
    };
    let items = rows.into_iter().map(item).collect();
    Ok(Json(FlowRecords {
        items,
        cut: next.is_some(),
        next: next.flatten().map(|next| next.to_string()),
        stands_on: asking.standing(),
    }))
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    /// The window of the first page.
    from: Millis,
    to: Millis,
    /// When its last record was received.
    received_ns: i64,
    /// How many that were received at that moment the pages had.
    skip: usize,
    /// What was asked.
    asked: u64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to, received_ns, skip, asked } = self;
        write!(f, "{:x}-{:x}-{received_ns:x}-{skip:x}-{asked:x}", from.0, to.0)
    }
}

impl Cursor {
    fn parse(text: &str, asked: u64) -> Result<Self, ApiError> {
        let refused = |why: &str| ApiError::bad_request(format!("cursor: {why}"));
        let parts: Option<Vec<u64>> =
            text.split('-').map(|part| u64::from_str_radix(part, 16).ok()).collect();
        let Some([from, to, received_ns, skip, of]) = parts.as_deref() else {
            return Err(refused("it is none of ours; take `next` of the page before as it is"));
        };
        if *of != asked {
            return Err(refused("it is of another filter or of other sites; begin without it"));
        }
        let numbers = i64::try_from(*received_ns).ok().zip(usize::try_from(*skip).ok());
        let (received_ns, skip) = numbers.ok_or_else(|| refused("it is of no time"))?;
        Ok(Self { from: Millis(*from), to: Millis(*to), received_ns, skip, asked })
    }

    /// The place behind `rows`, a page that began at `before`; `None` without rows.
    fn after(rows: &[Found], asking: &Asking, before: Option<Self>, asked: u64) -> Option<Self> {
        let received = |row: &Found| row.value("received_ns").as_i64();
        let received_ns = received(rows.last()?)?;
        let same = rows.iter().rev().take_while(|row| received(row) == Some(received_ns)).count();
        // A page within one moment goes on where the one before ended.
        let before = before.filter(|before| before.received_ns == received_ns);
        let skip = same + before.map_or(0, |before| before.skip);
        Some(Self { from: asking.from, to: asking.to, received_ns, skip, asked })
    }
}

/// Tells questions apart: a cursor is of one.
fn asked_hash(filter: Option<&str>, sites: &[SiteId]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(filter.unwrap_or_default().trim().as_bytes());
    for site in sites {
        hasher.update(b"\0");
        hasher.update(site.as_str().as_bytes());
    }
    let hash = hasher.finalize();
    hash.as_bytes().first_chunk().map_or(0, |first| u32::from_be_bytes(*first).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_one_question() {
        let berlin: SiteId = "berlin".parse().expect("valid");
        let asked = asked_hash(Some("src = 10.0.0.0/8"), std::slice::from_ref(&berlin));
        let cursor = Cursor {
            from: Millis(1),
            to: Millis(1_790_000_000_000),
            received_ns: 1_789_999_999_999_999_999,
            skip: 7,
            asked,
        };
        assert_eq!(Cursor::parse(&cursor.to_string(), asked).expect("ours"), cursor);
        for (filter, sites) in [
            (Some("src = 10.0.0.0/9"), std::slice::from_ref(&berlin)),
            (Some("src = 10.0.0.0/8"), &[]),
            (None, std::slice::from_ref(&berlin)),
        ] {
            let error = Cursor::parse(&cursor.to_string(), asked_hash(filter, sites));
            assert!(error.expect_err("another's").message.contains("another filter"));
        }
        for bad in ["", "1", "1-2-3-4", "1-2-3-4-g", "1-2-3-4-5-6", "1-2-ffffffffffffffff-0-0"] {
            Cursor::parse(bad, 0).expect_err(bad);
        }
    }
}
