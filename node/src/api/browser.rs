//! `/v1/tests/{name}/browser`: what a browser saw at this node when it ran a test last.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use holm_active::{BrowserReport, Visited};
use serde::Deserialize;
use utoipa::IntoParams;

use super::browser_types::{BrowserRequest, BrowserRun, BrowserStep, BrowserVitals};
use super::error::{ApiError, ErrorBody};
use super::params::Given;
use super::probe_tests::find;
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct BrowserQuery {
    /// `true`: the newest run that failed. The newest of all otherwise.
    #[serde(default)]
    failed: bool,
}

fn visited(
    state: &NodeState,
    caller: &Caller,
    name: &str,
    failed: bool,
) -> Result<Visited, ApiError> {
    let tenant = state.tenant(caller)?;
    find(&tenant, name)?;
    tenant.tests.runner.visits().of(name, failed).ok_or_else(|| {
        let what = if failed { "run that failed" } else { "run" };
        ApiError::not_found(format!(
            "this node remembers no {what} of it by a browser: ask a node of a site that runs it, or run it here; what was seen is kept in memory until the node ends"
        ))
    })
}

/// What a browser saw at the node that is asked when it ran a test last: its steps, web vitals and requests.
#[utoipa::path(
    get, path = "/v1/tests/{name}/browser", tag = "tests",
    params(("name" = String, Path, description = "its name"), BrowserQuery),
    responses((status = 200, body = BrowserRun), (status = 404, body = ErrorBody))
)]
pub(crate) async fn browser_run(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
    Given(query): Given<BrowserQuery>,
) -> Result<Json<BrowserRun>, ApiError> {
    let visited = visited(&state, &caller, &name, query.failed)?;
    Ok(Json(run(&visited, state.config.node.site.clone())))
}

/// How the page looked at the end of that run.
#[utoipa::path(
    get, path = "/v1/tests/{name}/browser/screenshot", tag = "tests",
    params(("name" = String, Path, description = "its name"), BrowserQuery),
    responses((status = 200, content_type = "image/jpeg", body = Vec<u8>), (status = 404, body = ErrorBody))
)]
pub(crate) async fn browser_screenshot(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
    Given(query): Given<BrowserQuery>,
) -> Result<Response, ApiError> {
    let visited = visited(&state, &caller, &name, query.failed)?;
    let picture = visited.report.screenshot.as_ref().ok_or_else(|| {
        let why = visited.report.no_screenshot.as_deref().unwrap_or("the page was not drawn");
        ApiError::not_found(format!("there is no picture of that run: {why}"))
    })?;
    let headers = [
        (CONTENT_TYPE, "image/jpeg"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    ];
    Ok((headers, picture.0.clone()).into_response())
}

fn run(visited: &Visited, site: holm_model::SiteId) -> BrowserRun {
    let report: &BrowserReport = &visited.report;
    let steps = report.steps.iter().map(|step| BrowserStep {
        name: step.name.clone(),
        duration_ms: step.duration_ms,
        error: step.error.clone(),
    });
    let requests = report.requests.iter().map(|one| BrowserRequest {
        url: one.url.clone(),
        method: one.method.clone(),
        kind: one.kind.clone(),
        status_code: one.status,
        protocol: one.protocol.clone(),
        start_ms: one.start_ms,
        wait_ms: one.wait_ms,
        receive_ms: one.receive_ms,
        bytes: one.bytes,
        from_cache: one.from_cache,
        failed: one.failed.clone(),
        blocked: one.blocked.clone(),
    });
    let vitals = report.vitals;
    BrowserRun {
        site,
        observed_at: Timestamp(visited.at),
        success: report.error.is_none(),
        error: report.error.clone(),
        duration_ms: report.duration_ms,
        status_code: report.status,
        steps: steps.collect(),
        vitals: BrowserVitals {
            ttfb_ms: vitals.ttfb_ms,
            fcp_ms: vitals.fcp_ms,
            lcp_ms: vitals.lcp_ms,
            cls: vitals.cls,
            tbt_ms: vitals.tbt_ms,
            inp_ms: vitals.inp_ms,
        },
        requests: requests.collect(),
        requests_left_out: report.requests_left_out,
        bytes: report.bytes,
        console: report.console.clone(),
        console_left_out: report.console_left_out,
        has_screenshot: report.screenshot.is_some(),
        no_screenshot: report.no_screenshot.clone(),
    }
}
