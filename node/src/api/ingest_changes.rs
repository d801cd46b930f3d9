//! `POST /ingest/changes/{provider}/{id}`: deliveries of webhooks, where the signature is the credential.
//!
//! What comes in: bytes of anybody. What goes out: changes of the tenant whose source it is, or a refusal
//! that says no more than the sender may know. What must never happen: a body that is read as anything
//! before its signature held, or an answer that tells whether a source is there.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use holm_change::{Headers, MAX_BODY_BYTES, Malformed, Provider, Refusal, Signed, Source};
use holm_model::Millis;

use super::bodies::too_long;
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::ingest::{Refused, Unread, count, text_of};
use super::recorded_changes_types::DeliveryAccepted;
use super::serve::ClientAddress;
use crate::daemon::{Deliveries, NodeState, Tenant};

/// Whose source it is.
type Of = Option<(Arc<Tenant>, Source)>;

fn count_of(of: &Of, count: impl FnOnce(&mut Deliveries)) {
    if let Some((tenant, source)) = of {
        tenant.changes.count(&source.id, count);
    }
}

/// Takes a delivery of a webhook. The signature over the body is the credential: see docs/changes.md for
/// that of each provider. Taken again, here or at another node, it is the same changes.
#[utoipa::path(
    post, path = "/ingest/changes/{provider}/{id}", tag = "changes", security(()),
    params(
        ("provider" = String, Path, description = "generic, github or gitlab"),
        ("id" = String, Path, description = "the source, from `POST /v1/changes/sources`")
    ),
    request_body(content = serde_json::Value, description = "what the provider sends, at most 1 MiB"),
    responses(
        (status = 202, body = DeliveryAccepted), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn ingest(
    State(state): State<Arc<NodeState>>,
    Path((provider, id)): Path<(String, String)>,
    ClientAddress(address): ClientAddress,
    request: Request,
) -> Result<Response, ApiError> {
    let provider: Provider =
        provider.parse().map_err(|what: &str| ApiError::not_found(what.to_owned()))?;
    let refused = &state.ingest.refused;
    let (parts, body) = request.into_parts();
    let of: Of = state.tenants.all().into_iter().find_map(|tenant| {
        let source = tenant.changes.source(&id).filter(|source| source.provider == provider)?;
        Some((tenant, source))
    });
    let whole = match state.ingest.whole(address.ip(), body).await {
        Ok(whole) => whole,
        Err(Unread::TooLong) => {
            count(&refused.size);
            count_of(&of, |count| count.refused_size += 1);
            return Ok(too_long(MAX_BODY_BYTES, "send fewer changes at once"));
        }
        Err(Unread::Broken) => return Err(state.ingest.broken()),
        Err(Unread::Busy) => return Err(state.ingest.busy()),
    };
    let _place = state.ingest.place().await?;
    let body = &whole.body;
    let now = of.as_ref().map_or_else(Millis::now, |(tenant, _)| tenant.mesh_now());
    let header = |name: &str| text_of(&parts.headers, name);
    let signed = verified(refused, &of, provider, &header, body, now)?;
    // Nothing is signed by nobody.
    let Some((tenant, source)) = of else {
        return Err(ApiError::internal("a delivery without a source"));
    };
    let bounds = (tenant.oldest_change(now), now);
    let read = holm_change::read(provider, &signed, &header, body, bounds).map_err(|error| {
        count(&refused.body);
        tenant.changes.count(&source.id, |count| count.refused_body += 1);
        let code = match error {
            Malformed::NotJson(_) => ErrorCode::BadRequest,
            Malformed::Field { .. } => ErrorCode::Validation,
        };
        ApiError::new(code, error.to_string())
    })?;
    tenant.changes.count(&source.id, |count| {
        count.last_at = Some(now);
        count.ignored += u64::from(read.ignored.is_some());
    });
    let at = Arc::clone(&state);
    let taken = tokio::task::spawn_blocking(move || {
        tenant.take_delivery(&at, &source, &signed, read.drafts, now)
    });
    let taken = taken.await.map_err(ApiError::internal)?.map_err(|error| {
        count(&refused.write);
        ApiError::new(ErrorCode::Unavailable, format!("the changes could not be written: {error}"))
    });
    Ok((StatusCode::ACCEPTED, Json(DeliveryAccepted { accepted: taken? })).into_response())
}

/// The delivery, if its signature holds.
fn verified(
    refused: &Refused,
    of: &Of,
    provider: Provider,
    header: &Headers<'_>,
    body: &[u8],
    now: Millis,
) -> Result<Signed, ApiError> {
    let source = of.as_ref().map(|(_, source)| source);
    Signed::check(source, provider, header, body, now).map_err(|refusal| {
        count(match (refusal, of) {
            (Refusal::Stale { .. }, _) => &refused.stale,
            (Refusal::Signature, Some(_)) => &refused.signature,
            (Refusal::Signature, None) => &refused.unknown,
        });
        count_of(of, |count| match refusal {
            Refusal::Stale { .. } => count.refused_stale += 1,
            Refusal::Signature => count.refused_signature += 1,
        });
        ApiError::new(ErrorCode::Unauthorized, refusal.to_string())
    })
}
