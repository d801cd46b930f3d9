//! `POST /v1/dns/trace`: a name from the root servers down to who answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use holm_active::{DnsStep, DnsTrace, DnsTraceEnd};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody, ErrorCode};
use super::types::{api_type, api_word, request_type};
use crate::daemon::{Caller, NodeState, Role};

/// How long a trace may take.
const LIMIT: Duration = Duration::from_secs(15);

request_type!(
    /// What is followed.
    DnsTraceRequest {
        /// A name of DNS.
        name: String,
        /// The type of records that is asked for; `A` otherwise.
        #[serde(rename = "type")]
        record_type: Option<String>,
    }
);

api_word!(
    /// How a trace ended.
    DnsTraceEndView {
        /// With records of the type that was asked for.
        Answered,
        /// The name has none of this type.
        NoData,
        /// There is no such name.
        NoSuchName,
        /// Nobody who is responsible gave an answer that leads on.
        Failed,
    }
);

api_type!(
    /// A name from the root servers down to who answers.
    DnsTraceView {
        /// The site that asked.
        site: String,
        end: DnsTraceEndView,
        /// What was answered.
        answers: Vec<String>,
        /// Why it failed.
        error: Option<String>,
        /// The questions, in their order.
        steps: Vec<DnsStepView>,
    }
);

api_type!(
    /// One question to one server.
    DnsStepView {
        /// The zone that the server is asked as a server of.
        zone: String,
        server: Option<String>,
        /// Its address and port.
        address: Option<String>,
        /// The name and type that were asked for.
        question: String,
        duration_ms: Option<f64>,
        rcode: Option<String>,
        /// Whether the server says that it is responsible.
        authoritative: bool,
        /// What it answered, as name, type and data; of many the first twenty.
        answers: Vec<String>,
        /// The zone that it refers to.
        referred_to: Option<String>,
        /// The servers of that zone.
        servers: Vec<String>,
        /// Why it did not lead on.
        error: Option<String>,
    }
);

/// Follows a name from the root servers down to who answers, at this node, now: each question is a step. Within the
/// guard and the budgets of tests. Nothing of it is kept.
#[utoipa::path(
    post, path = "/v1/dns/trace", tag = "tests", request_body = DnsTraceRequest,
    responses((status = 200, body = DnsTraceView), (status = 403, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn dns_trace(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(request): Json<DnsTraceRequest>,
) -> Result<Json<DnsTraceView>, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    if !state.config.planes.active.enabled {
        let text = "the active plane of this node is off: set planes.active.enabled = true and start it again";
        return Err(ApiError::new(ErrorCode::Unavailable, text));
    }
    let record_type = request.record_type.as_deref().unwrap_or("A");
    let traced = tenant.tests.runner.dns_trace(&request.name, record_type, LIMIT).await;
    let trace = traced.map_err(|why| {
        let why: String = why.chars().take(400).collect();
        ApiError::new(ErrorCode::Validation, why)
    })?;
    Ok(Json(view(state.config.node.site.to_string(), trace)))
}

fn view(site: String, trace: DnsTrace) -> DnsTraceView {
    DnsTraceView {
        site,
        end: match trace.end {
            DnsTraceEnd::Answered => DnsTraceEndView::Answered,
            DnsTraceEnd::NoData => DnsTraceEndView::NoData,
            DnsTraceEnd::NoSuchName => DnsTraceEndView::NoSuchName,
            DnsTraceEnd::Failed => DnsTraceEndView::Failed,
        },
        answers: trace.answers,
        error: trace.error,
        steps: trace.steps.into_iter().map(step).collect(),
    }
}

fn step(step: DnsStep) -> DnsStepView {
    DnsStepView {
        zone: step.zone,
        server: step.server,
        address: step.address.map(|address| address.to_string()),
        question: step.question,
        duration_ms: step.duration_ms,
        rcode: step.rcode,
        authoritative: step.authoritative,
        answers: step.answers,
        referred_to: step.referred_to,
        servers: step.servers,
        error: step.error,
    }
}
