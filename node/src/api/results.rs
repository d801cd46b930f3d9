//! `/v1/results`: what probes came to, of all sites.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use holm_active::ProbeKind;
use holm_model::{Millis, SiteId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::params::{Given, When, clipped, moment, window};
use super::probe_tests_types::ResultsPage;
use super::probe_tests_view::{ask, asked, between, quoted};
use super::sites;
use super::types::ProbeResult;
use crate::daemon::{Caller, NodeState, THROUGHPUT_PROBE};

/// How far back is looked if nothing else is asked for, in ms.
const HOUR_MS: u64 = 3_600_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResultsQuery {
    /// Only of this test.
    test: Option<String>,
    /// Only of these sites; may be given again.
    #[serde(default)]
    #[param(value_type = Vec<String>)]
    site: Vec<SiteId>,
    /// Only of this kind of probe: `dns`, `http`, `icmp`, `tcp` and so on, and `throughput` of runs between sites.
    probe: Option<String>,
    /// Only of this target.
    target: Option<String>,
    /// Only successes, or only failures.
    success: Option<bool>,
    /// From this moment on; an hour before `to` otherwise.
    #[param(value_type = Option<String>)]
    from: Option<When>,
    /// Up to this moment; now otherwise.
    #[param(value_type = Option<String>)]
    to: Option<When>,
    /// Most of them: 1 to 10,000; 100 otherwise.
    limit: Option<usize>,
}

/// Results of probes of all sites, the latest first. Sites that do not answer in time are named.
#[utoipa::path(
    get, path = "/v1/results", tag = "tests", params(ResultsQuery),
    responses((status = 200, body = ResultsPage), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 429, body = ErrorBody))
)]
pub(crate) async fn list_results(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<ResultsQuery>,
) -> Result<Json<ResultsPage>, ApiError> {
    let limit = super::params::limit(query.limit, 100)?;
    query.probe.as_deref().map_or(Ok(()), known_probe)?;
    let to = moment("to", query.to)?.unwrap_or_else(Millis::now);
    let from = match query.from {
        Some(from) => window("from", from, to)?,
        None => to - HOUR_MS,
    };
    sites::known(&state, &*state.tenant(&caller)?, &query.site, to)?;
    let mut sql = format!(
        "SELECT \"time\", site, probe, target, success, error, duration_ms, kind, test, server.address, network.type, \
         peer.site FROM active_results WHERE {}",
        between(from, to)
    );
    for (column, value) in [
        ("test", query.test.as_deref()),
        ("probe", query.probe.as_deref()),
        ("target", query.target.as_deref()),
    ] {
        if let Some(value) = value {
            sql.push_str(&format!(" AND {column} = {}", quoted(value)));
        }
    }
    match query.success {
        Some(true) => sql.push_str(" AND success"),
        Some(false) => sql.push_str(" AND NOT success"),
        None => {}
    }
    sql.push_str(&format!(" ORDER BY \"time\" DESC LIMIT {limit}"));
    let sites = (!query.site.is_empty()).then_some(query.site);
    let answer = ask(&state, &caller, sql, sites).await?;
    let items: Vec<ProbeResult> = answer.rows.iter().filter_map(|row| result_of(row)).collect();
    Ok(Json(ResultsPage { cut: items.len() >= limit, items, asked: asked(answer, from, to) }))
}

fn result_of(row: &[serde_json::Value]) -> Option<ProbeResult> {
    let [at, site, probe, target, success, error, duration, rest @ ..] = row else { return None };
    let names = ["kind", "test", "server.address", "network.type", "peer.site"];
    let attributes = names
        .into_iter()
        .zip(rest)
        .filter_map(|(name, value)| Some((name.to_owned(), value.as_str()?.to_owned())));
    Some(ProbeResult {
        site: site.as_str()?.parse().ok()?,
        probe: probe.as_str()?.to_owned(),
        target: target.as_str()?.to_owned(),
        success: success.as_bool()?,
        error: error.as_str().map(str::to_owned),
        duration_ms: duration.as_f64(),
        metrics: BTreeMap::new(),
        attributes: attributes.collect(),
        observed_at: super::types::Timestamp::parse(at.as_str()?)?,
    })
}

/// Whether rows of results can have this kind.
fn known_probe(probe: &str) -> Result<(), ApiError> {
    let kinds: Vec<&str> =
        ProbeKind::ALL.into_iter().map(ProbeKind::as_str).chain([THROUGHPUT_PROBE]).collect();
    if kinds.contains(&probe) {
        return Ok(());
    }
    let text = format!(
        "probe \"{}\": there is none of that kind; it is one of {}",
        clipped(probe),
        kinds.join(", ")
    );
    Err(ApiError::bad_request(text))
}
