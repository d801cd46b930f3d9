//! `POST /v1/traces`: spans over OTLP/HTTP.
//!
//! What comes in: bodies of who has a token of the role `ingest`, or `editor` and above. What goes out: rows of the
//! token's tenant, durable before 200, and an answer in the encoding of the request. What must never happen: a body
//! that is unpacked or decoded beyond its bounds, or an answer that tells an exporter to send again what is kept.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use holm_model::Millis;
use holm_otlp::{Counters, Encoding, Export, Limits, MAX_BODY_BYTES, Malformed, Tally};
use tokio::sync::Semaphore;

use super::bodies::too_long;
use super::error::{ApiError, ErrorBody, ErrorCode, PendingError};
use super::ingest::{Ingest, Unread};
use super::serve::ClientAddress;
use crate::daemon::{Caller, NodeState, Role, SpansRefused, Tenant};

/// Where spans are taken: OTLP's own path.
pub(super) const PATH: &str = "/v1/traces";
/// Bodies that are decoded at once: each may take some tens of MiB meanwhile.
const DECODED_AT_ONCE: usize = 2;
/// When to send again what there was no room for, in seconds.
const RETRY_AFTER_S: u64 = 5;

/// What comes in, and what became of it.
#[derive(Debug)]
pub(crate) struct Traces {
    ingest: Ingest,
    places: Semaphore,
    pub(crate) counters: Arc<Counters>,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            ingest: Ingest::default(),
            places: Semaphore::new(DECODED_AT_ONCE),
            counters: Arc::default(),
        }
    }
}

impl Traces {
    fn count(&self, count: impl FnOnce(&mut Tally)) {
        let mut tally = Tally::default();
        count(&mut tally);
        self.counters.add(&tally);
    }

    /// Counts and says that there is no room now.
    fn busy(&self, why: &str) -> Response {
        self.count(|tally| tally.requests_busy += 1);
        put_off(ErrorCode::Unavailable, why, RETRY_AFTER_S)
    }
}

/// Takes spans that an OpenTelemetry SDK or collector exports: `ExportTraceServiceRequest` of OTLP, in protobuf or JSON,
/// packed by gzip or not, 4 MiB at most. What is answered by 200 is on the disk. Spans that are refused for good are
/// counted in `partial_success`; those that were sent before are taken once. Refusals are in protobuf (`google.rpc.Status`)
/// where the request is, 401, 403 and 413 aside. The token needs the role `ingest`, `editor` or `admin`.
#[utoipa::path(
    post, path = "/v1/traces", tag = "planes",
    request_body(content((Vec<u8> = "application/x-protobuf"), (serde_json::Value = "application/json"))),
    responses(
        (status = 200, description = "`ExportTraceServiceResponse`", content((Vec<u8> = "application/x-protobuf"), (serde_json::Value = "application/json"))),
        (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn take(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    ClientAddress(address): ClientAddress,
    request: Request,
) -> Result<Response, ApiError> {
    if caller.role != Role::Ingest {
        caller.require(Role::Editor)?;
    }
    let (parts, body) = request.into_parts();
    let encoding = encoding_of(&parts.headers);
    let tenant = state.tenant(&caller)?;
    let answer = taken(&state, tenant, encoding, &parts.headers, (address.ip(), body)).await;
    Ok(match encoding {
        Some(Encoding::Protobuf) => in_protobuf(answer),
        _ => answer,
    })
}

/// Metrics and logs are not kept.
pub(crate) async fn refuse_other_signal(_: Caller) -> ApiError {
    ApiError::not_found(
        "this node takes traces alone (POST /v1/traces), no metrics and no logs: leave those pipelines out of the \
         exporter, such as with OTEL_METRICS_EXPORTER=none and OTEL_LOGS_EXPORTER=none",
    )
}

async fn taken(
    state: &Arc<NodeState>,
    tenant: Arc<Tenant>,
    encoding: Option<Encoding>,
    headers: &HeaderMap,
    (address, body): (std::net::IpAddr, Body),
) -> Response {
    let traces = &state.traces;
    if !state.config.planes.otlp.enabled {
        let off = "the otlp plane is switched off; set planes.otlp.enabled = true and start the node again";
        return ApiError::not_found(off).into_response();
    }
    let packed = packing_of(headers);
    let (Some(encoding), Ok(packed)) = (encoding, packed) else {
        traces.count(|tally| tally.requests_other_type += 1);
        return other_type();
    };
    let whole = match traces.ingest.whole_within(address, body, MAX_BODY_BYTES).await {
        Ok(whole) => whole,
        Err(Unread::TooLong) => return too_large(traces),
        Err(Unread::Broken) => {
            traces.count(|tally| tally.requests_malformed += 1);
            return ApiError::bad_request(
                "the body did not come in whole within 10 s; send it again",
            )
            .into_response();
        }
        Err(Unread::Busy) => {
            return traces.busy("this node reads as many requests at once as it may, of all or of your address; send it again");
        }
    };
    let Ok(place) = traces.places.acquire().await else {
        return ApiError::internal("the node stops").into_response();
    };
    let (body, now) = (whole.body.clone(), Millis::now());
    let read = tokio::task::spawn_blocking(move || read(&body, packed, encoding, now)).await;
    drop(whole);
    let export = match read {
        Ok(Ok(Some(export))) => export,
        Ok(Ok(None)) => return too_large(traces),
        Ok(Err(malformed)) => {
            traces.count(|tally| tally.requests_malformed += 1);
            return ApiError::bad_request(malformed.to_string()).into_response();
        }
        Err(error) => return ApiError::internal(error).into_response(),
    };
    let work = tokio::task::spawn_blocking(move || tenant.take_spans(export, now)).await;
    drop(place);
    match work {
        Ok(Ok(tally)) => {
            traces.counters.add(&tally);
            let answer = holm_otlp::accepted(encoding, &tally);
            ([(header::CONTENT_TYPE, encoding.content_type())], answer).into_response()
        }
        Ok(Err(SpansRefused::TooFast(wait))) => {
            traces.count(|tally| tally.requests_too_fast += 1);
            let why = format!(
                "more than {} spans a second of one tenant; they are put off: send them again after {} s, or raise \
                 planes.otlp.spans_per_second",
                state.config.planes.otlp.spans_per_second, wait.retry_after_s
            );
            put_off(ErrorCode::RateLimited, &why, wait.retry_after_s)
        }
        Ok(Err(SpansRefused::Full)) => {
            traces.busy("rows wait for the disk and there is no room for more; send them again")
        }
        Ok(Err(SpansRefused::Unwritten { error, tally })) => {
            traces.counters.add(&tally);
            traces.busy(&format!("the spans wait for the disk: {error}"))
        }
        Ok(Err(SpansRefused::Ended)) => {
            ApiError::not_found("the tenant was erased").into_response()
        }
        Err(error) => ApiError::internal(error).into_response(),
    }
}

/// `None`: it is too long, unpacked.
fn read(
    body: &[u8],
    packed: bool,
    encoding: Encoding,
    now: Millis,
) -> Result<Option<Export>, Malformed> {
    let limits = Limits::default();
    if !packed {
        return holm_otlp::read(body, encoding, &limits, now).map(Some);
    }
    let Some(body) = holm_otlp::inflate(body)? else { return Ok(None) };
    holm_otlp::read(&body, encoding, &limits, now).map(Some)
}

fn encoding_of(headers: &HeaderMap) -> Option<Encoding> {
    Encoding::of(headers.get(header::CONTENT_TYPE)?.to_str().ok()?)
}

/// Whether it is packed by gzip; an error if by something else.
fn packing_of(headers: &HeaderMap) -> Result<bool, ()> {
    let Some(packing) = headers.get(header::CONTENT_ENCODING) else { return Ok(false) };
    match packing.to_str().map(str::trim) {
        Ok(packing) if packing.eq_ignore_ascii_case("gzip") => Ok(true),
        Ok(packing) if packing.is_empty() || packing.eq_ignore_ascii_case("identity") => Ok(false),
        _ => Err(()),
    }
}

fn other_type() -> Response {
    let mut response = StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    let message = "spans are taken as application/x-protobuf or application/json, packed by gzip or not at all; set \
                   the exporter's protocol to http/protobuf and its compression to gzip or none";
    response.extensions_mut().insert(PendingError(ErrorCode::BadRequest, message.into()));
    response
}

fn too_large(traces: &Traces) -> Response {
    traces.count(|tally| tally.requests_too_large += 1);
    too_long(
        MAX_BODY_BYTES,
        "unpacked as well; send smaller batches (send_batch_max_size of the collector)",
    )
}

fn put_off(code: ErrorCode, why: &str, retry_after_s: u64) -> Response {
    ApiError { retry_after_s: Some(retry_after_s), ..ApiError::new(code, why) }.into_response()
}

/// A refusal as `google.rpc.Status`; anything else as it is.
fn in_protobuf(mut response: Response) -> Response {
    // How long a body may be is told by the outer layers, in JSON.
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return response;
    }
    let Some(PendingError(code, message)) = response.extensions_mut().remove::<PendingError>()
    else {
        return response;
    };
    // Codes of gRPC (google/rpc/code.proto).
    let code = match code {
        ErrorCode::BadRequest | ErrorCode::Validation => 3,
        ErrorCode::NotFound => 5,
        ErrorCode::Conflict => 6,
        ErrorCode::Forbidden => 7,
        ErrorCode::RateLimited => 8,
        ErrorCode::Internal => 13,
        ErrorCode::Unavailable => 14,
        ErrorCode::Unauthorized => 16,
    };
    *response.body_mut() = Body::from(holm_otlp::refusal(code, &message));
    let content_type = HeaderValue::from_static(Encoding::Protobuf.content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// Whether an answer is written already, in protobuf.
pub(super) fn is_protobuf(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|name| name == Encoding::Protobuf.content_type())
}
