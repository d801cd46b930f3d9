//! `POST /ingest/pages/{connector}`: what providers say of incidents, where the signature is the credential.
//!
//! What comes in: bytes of anybody. What goes out: actions on incidents of the tenant whose secret signed
//! them, or a refusal that says no more than the sender may know. What must never happen: a body that is read
//! as anything before its signature held, one request that acts twice, or an answer that tells whether a
//! connector is there.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use holm_page::{Connector, HeardError, MAX_BODY_BYTES, Refusal, Verified, is_name};

use super::bodies::too_long;
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::ingest::{Unread, count, text_of};
use super::pages_types::PageHeard;
use super::serve::ClientAddress;
use crate::daemon::{ActError, HearError, Hearing, NodeState, Tenant};

/// Takes what a provider says of an incident: that somebody looks at it, that it is over, a note. The signature over the body, or
/// the secret, is the credential: see docs/paging.md for that of each provider. Said again, it is done once.
#[utoipa::path(
    post, path = "/ingest/pages/{connector}", tag = "paging", security(()),
    params(("connector" = String, Path, description = "the connector's name")),
    request_body(content = serde_json::Value, description = "what the provider sends, at most 1 MiB"),
    responses(
        (status = 200, body = PageHeard), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn hear(
    State(state): State<Arc<NodeState>>,
    Path(name): Path<String>,
    ClientAddress(address): ClientAddress,
    request: Request,
) -> Result<Response, ApiError> {
    let refused = &state.ingest_pages.refused;
    let (parts, body) = request.into_parts();
    let whole = match state.ingest_pages.whole(address.ip(), body).await {
        Ok(whole) => whole,
        Err(Unread::TooLong) => {
            count(&refused.size);
            return Ok(too_long(MAX_BODY_BYTES, "send less of the text"));
        }
        Err(Unread::Broken) => return Err(state.ingest_pages.broken()),
        Err(Unread::Busy) => return Err(state.ingest_pages.busy()),
    };
    let _place = state.ingest_pages.place().await?;
    let body = whole.body.clone();
    let header = |name: &str| text_of(&parts.headers, name);
    let verified = verified(&state, &name, &header, &body)?;
    let at = Arc::clone(&state);
    let work = tokio::task::spawn_blocking(move || heard_by_one(&at, &verified, &body));
    let hearing = work.await.map_err(ApiError::internal)?.map_err(|error| {
        let (counter, code) = match &error {
            HearError::Malformed(HeardError::NotJson(_)) => (&refused.body, ErrorCode::BadRequest),
            HearError::Malformed(_) | HearError::Act(ActError::Refused(_)) => {
                (&refused.body, ErrorCode::Validation)
            }
            HearError::Act(ActError::Unknown(_)) => (&refused.body, ErrorCode::NotFound),
            HearError::Act(ActError::Write(_)) => (&refused.write, ErrorCode::Unavailable),
        };
        count(counter);
        ApiError::new(code, error.to_string())
    })?;
    let heard = |result: &str, incident: Option<String>, why| PageHeard {
        result: result.into(),
        incident,
        why,
    };
    let answer = match hearing {
        Hearing::Done(incident) => heard("done", Some(incident.to_string()), None),
        Hearing::Known(incident) => heard("known", Some(incident.to_string()), None),
        Hearing::Nothing(why) => heard("ignored", None, Some(why)),
    };
    Ok(Json(answer).into_response())
}

/// A tenant whose connector's secret signed a request.
type Of = (Arc<Tenant>, Connector, Verified);

/// Says it to each tenant whose secret signed it, until one remembers the incident: two may have connectors of
/// one name and one secret.
fn heard_by_one(state: &NodeState, verified: &[Of], body: &[u8]) -> Result<Hearing, HearError> {
    let mut nothing = None;
    for (tenant, connector, verified) in verified {
        match tenant.hear(state, connector, verified, body)? {
            Hearing::Nothing(why) => nothing = nothing.or(Some((tenant, why))),
            hearing => return Ok(hearing),
        }
    }
    let (tenant, why) = nothing.ok_or_else(|| HeardError::NotJson("nobody reads it".into()))?;
    tenant.count_heard_nothing();
    Ok(Hearing::Nothing(why))
}

/// The tenants whose connector's secret signed a request, one at least. Two may call theirs alike.
fn verified(
    state: &NodeState,
    name: &str,
    header: &holm_change::Headers<'_>,
    body: &[u8],
) -> Result<Vec<Of>, ApiError> {
    let refused = &state.ingest_pages.refused;
    let mut refusal = Refusal::Signature;
    let mut found = Vec::new();
    let tenants = if is_name(name) { state.tenants.all() } else { Vec::new() };
    // All of them, also when one was found: how long it takes says nothing of whose it is.
    for tenant in tenants {
        match tenant.verify_hearing(name, header, body, tenant.mesh_now()) {
            (Some(connector), Ok(verified)) => found.push((tenant, connector, verified)),
            (Some(_), Err(stale @ Refusal::Stale { .. })) => refusal = stale,
            _ => {}
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    count(match refusal {
        Refusal::Signature => &refused.signature,
        Refusal::Stale { .. } => &refused.stale,
    });
    Err(ApiError::new(ErrorCode::Unauthorized, refusal.to_string()))
}
