//! `GET /v1/mesh/digest`, revocations, and sites that are gone.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use holm_certs::{Forgetting, Revocation, SpiffeId, SpkiHash};
use holm_model::Millis;

use super::error::{ApiError, ErrorBody, ErrorCode};
use super::mesh_types::{GoneView, NewGone};
use super::topology::hex;
use super::types::{MeshDigest, NewRevocation, RevocationList, RevocationView, Timestamp};
use crate::daemon::{Caller, ForgetError, NodeState, Roster, id_of_revocation};

/// A digest of the tenant's documents here: two nodes with the same one hold the same.
#[utoipa::path(
    get, path = "/v1/mesh/digest", tag = "mesh",
    responses((status = 200, body = MeshDigest), (status = 401, body = ErrorBody))
)]
pub(crate) async fn digest(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<MeshDigest>, ApiError> {
    let replica = &state.tenant(&caller)?.replica;
    Ok(Json(MeshDigest { digest: hex(&replica.digest()), documents: replica.documents().len() }))
}

/// Every key that is revoked in the mesh, as far as this node has heard.
#[utoipa::path(
    get, path = "/v1/mesh/revocations", tag = "mesh",
    responses((status = 200, body = RevocationList), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list_revocations(
    State(state): State<Arc<NodeState>>,
    _: Caller,
) -> Json<RevocationList> {
    let items = Roster::revocations(&state.identity)
        .into_iter()
        .map(|(id, reason, at)| view(&id, reason, at))
        .collect();
    Json(RevocationList { items })
}

/// Ends a node's identity: its connections close at once, here and wherever it is heard. Its key is
/// known if it is connected to this node or was enrolled here.
#[utoipa::path(
    post, path = "/v1/mesh/revocations", tag = "mesh", request_body = NewRevocation,
    responses((status = 201, body = RevocationView), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(crate) async fn revoke_node(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(new): Json<NewRevocation>,
) -> Result<(StatusCode, Json<RevocationView>), ApiError> {
    caller.require_operator(&state)?;
    let Some(issuing) = state.issuing.clone() else {
        return Err(ApiError::new(
            ErrorCode::Conflict,
            "this node issues no certificates, so it may revoke only itself; ask a node that issues (`holm status` there)",
        ));
    };
    let domain = state.identity.spiffe_id().trust_domain().clone();
    let id = SpiffeId::node(&domain, &new.site, &new.node);
    let key = key_of(&state, &id, &new).ok_or_else(|| {
        ApiError::not_found(format!(
            "{id} is not a node that this one knows the key of; ask a node that is connected to it"
        ))
    })?;
    let now = Millis::now();
    let by = caller.name.clone();
    let revoked = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let revocation = issuing.revoke(key, &id, &new.reason, now)?;
        state.roster.doers.note(id_of_revocation(&revocation), &by);
        let versions = state.roster.revoke(&revocation, &state.identity, &state.layout, now)?;
        for version in versions {
            state.publish(version);
        }
        state.wake_changes();
        Ok(revocation)
    })
    .await
    .map_err(ApiError::internal)?
    .map_err(|error| ApiError::new(ErrorCode::Validation, format!("{error:#}")))?;
    tracing::warn!(by = caller.name, spiffe_id = %revoked.spiffe_id(), "node revoked");
    Ok((StatusCode::CREATED, Json(of(&revoked))))
}

/// Says that a site, or one node of it, is gone for good: it is listed and looked for no longer, and what
/// the site held open ended now. It is there again as soon as it comes back. Only what is down can be
/// forgotten.
#[utoipa::path(
    post, path = "/v1/mesh/gone", tag = "mesh", request_body = NewGone,
    responses((status = 201, body = GoneView), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(crate) async fn forget(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(new): Json<NewGone>,
) -> Result<(StatusCode, Json<GoneView>), ApiError> {
    caller.require_operator(&state)?;
    let Some(issuing) = state.issuing.clone() else {
        return Err(ApiError::new(
            ErrorCode::Conflict,
            "this node issues no certificates, so nobody would believe it; ask a node that issues (`holm status` there)",
        ));
    };
    let now = Millis::now();
    let (site, node) = (new.site, new.node);
    let up_to = state.may_forget(&site, node.as_ref(), now).map_err(|error| match error {
        ForgetError::Unknown(_) => ApiError::not_found(error.to_string()),
        _ => ApiError::new(ErrorCode::Conflict, error.to_string()),
    })?;
    let view = GoneView { site: site.clone(), node: node.clone(), at: Timestamp(now), back: false };
    let by = caller.name.clone();
    tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let said = Forgetting::sign(issuing.issuer(), &site, node.as_ref(), up_to, now)?;
        state.announce_by(&[said.to_bytes()?], &by, now)
    })
    .await
    .map_err(ApiError::internal)?
    .map_err(ApiError::internal)?;
    tracing::warn!(by = caller.name, site = %view.site, node = ?view.node, "forgotten");
    Ok((StatusCode::CREATED, Json(view)))
}

/// The key by its live connection; of a node that is off, the one that was enrolled here.
fn key_of(state: &NodeState, id: &SpiffeId, new: &NewRevocation) -> Option<SpkiHash> {
    let connected = connected_key(state, new);
    connected.or_else(|| state.credentials.issued(id).ok().flatten())
}

fn connected_key(state: &NodeState, new: &NewRevocation) -> Option<SpkiHash> {
    let status = state.mesh()?.status();
    let member = status
        .members
        .into_iter()
        .find(|member| member.site == new.site && member.node == new.node)?;
    member.svid_key.map(SpkiHash)
}

fn of(revocation: &Revocation) -> RevocationView {
    view(revocation.spiffe_id(), revocation.reason().to_owned(), revocation.at())
}

fn view(id: &SpiffeId, reason: String, at: Millis) -> RevocationView {
    RevocationView { spiffe_id: id.to_string(), reason, at: Timestamp(at) }
}
