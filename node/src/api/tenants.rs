//! `/v1/tenants`: which tenants the mesh has, and which site may have which. For operators of the mesh.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use holm_certs::{Right, Rights, Verdict};
use holm_model::{Millis, SiteId, TenantId};

use super::error::{ApiError, ErrorBody, ErrorCode};
use super::tenants_types::{
    GrantStateView, NewGrant, NewTenant, RightView, TenantList, TenantSiteView, TenantView,
    VerdictView,
};
use super::types::Timestamp;
use crate::daemon::{Caller, ENROLLED_FOR_MS, NodeState, TenantStanding};

const DAY_MS: u64 = 24 * 3_600_000;
/// Longest time of a grant: ten years.
const MAX_DAYS: u64 = ENROLLED_FOR_MS / DAY_MS;

/// The mesh's tenants as this node knows them: those granted to its site by name, others by tag alone.
#[utoipa::path(
    get, path = "/v1/tenants", tag = "mesh",
    responses((status = 200, body = TenantList), (status = 403, body = ErrorBody))
)]
pub(crate) async fn list(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<TenantList>, ApiError> {
    caller.require_operator(&state)?;
    let standings = state.roster.tenancy.standings(Millis::now());
    let items = standings.into_iter().map(|standing| view(&state, standing)).collect();
    Ok(Json(TenantList { items }))
}

/// Makes a tenant and grants it to this node's site. Its authority's key stays on this node, which must be an issuer.
#[utoipa::path(
    post, path = "/v1/tenants", tag = "mesh", request_body = NewTenant,
    responses((status = 201, body = TenantView), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(crate) async fn create(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(new): Json<NewTenant>,
) -> Result<(StatusCode, Json<TenantView>), ApiError> {
    caller.require_operator(&state)?;
    if state.issuing.is_none() {
        let what = "this node issues nothing for the mesh; make the tenant at one that does";
        return Err(ApiError::new(ErrorCode::Conflict, what));
    }
    if new.name == state.roster.tenant {
        let what = format!("name: {} is the mesh's own", new.name);
        return Err(ApiError::new(ErrorCode::Validation, what));
    }
    let tag = state.roster.tenancy.create(&new.name).map_err(conflict)?;
    state.say_what_is_due(Millis::now()).await.map_err(ApiError::internal)?;
    tracing::info!(by = caller.name, tenant = %new.name, %tag, "tenant made");
    Ok((StatusCode::CREATED, Json(one(&state, &new.name)?)))
}

/// Grants a site rights in a tenant whose authority is on this node.
#[utoipa::path(
    post, path = "/v1/tenants/{name}/grants", tag = "mesh", request_body = NewGrant,
    params(("name" = String, Path, description = "the tenant")),
    responses((status = 201, body = TenantView), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn grant(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<TenantId>,
    Json(new): Json<NewGrant>,
) -> Result<(StatusCode, Json<TenantView>), ApiError> {
    caller.require_operator(&state)?;
    let days = new.days.unwrap_or(MAX_DAYS);
    if !(1..=MAX_DAYS).contains(&days) {
        let what = format!("days: {days} is not between 1 and {MAX_DAYS}");
        return Err(ApiError::new(ErrorCode::Validation, what));
    }
    let rights = new.rights.iter().fold(Rights::NONE, |all, right| all | (*right).into());
    let rights = if rights.is_empty() { Rights::BOTH } else { rights };
    let now = Millis::now();
    let granted = state.roster.tenancy.grant(&name, &new.site, rights, days * DAY_MS, now);
    announce(&state, granted.map_err(conflict)?, now).await?;
    tracing::info!(by = caller.name, tenant = %name, site = %new.site, days, "tenant granted");
    Ok((StatusCode::CREATED, Json(one(&state, &name)?)))
}

/// Takes back every grant of a site in a tenant: at once, wherever the roster reaches.
#[utoipa::path(
    delete, path = "/v1/tenants/{name}/grants/{site}", tag = "mesh",
    params(("name" = String, Path, description = "the tenant"), ("site" = String, Path, description = "the site")),
    responses((status = 200, body = TenantView), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(crate) async fn revoke(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path((name, site)): Path<(TenantId, SiteId)>,
) -> Result<Json<TenantView>, ApiError> {
    caller.require_operator(&state)?;
    let now = Millis::now();
    let revoked = state.roster.tenancy.revoke(&name, &site, now).map_err(conflict)?;
    announce(&state, revoked, now).await?;
    tracing::warn!(by = caller.name, tenant = %name, %site, "grant revoked");
    Ok(Json(one(&state, &name)?))
}

async fn announce(state: &Arc<NodeState>, statement: Vec<u8>, now: Millis) -> Result<(), ApiError> {
    let state = Arc::clone(state);
    let announced = tokio::task::spawn_blocking(move || state.announce(&[statement], now));
    announced.await.map_err(ApiError::internal)?.map_err(ApiError::internal)
}

fn conflict(error: anyhow::Error) -> ApiError {
    ApiError::new(ErrorCode::Conflict, format!("{error:#}"))
}

fn one(state: &NodeState, name: &TenantId) -> Result<TenantView, ApiError> {
    let standings = state.roster.tenancy.standings(Millis::now());
    let standing = standings.into_iter().find(|standing| standing.name.as_ref() == Some(name));
    standing
        .map(|standing| view(state, standing))
        .ok_or_else(|| ApiError::not_found(format!("tenant {name} is not known here")))
}

fn view(state: &NodeState, standing: TenantStanding) -> TenantView {
    let here = standing.name.as_ref().is_some_and(|name| state.tenants.contains_key(name));
    TenantView {
        name: standing.name.map(|name| name.to_string()),
        tag: standing.tag.to_string(),
        authority_here: standing.authority_here,
        opened_here: here,
        sites: standing
            .sites
            .into_iter()
            .map(|site| TenantSiteView {
                site: site.site,
                replicate: verdict(site.replicate),
                query: verdict(site.query),
            })
            .collect(),
    }
}

fn verdict(verdict: Verdict) -> VerdictView {
    let (state, at) = match verdict {
        Verdict::Expired { since } => (GrantStateView::Expired, Some(since)),
        Verdict::Granted { until } => (GrantStateView::Granted, Some(until)),
        Verdict::NeverGranted => (GrantStateView::NeverGranted, None),
        Verdict::NotYet { from } => (GrantStateView::NotYet, Some(from)),
        Verdict::Revoked { since } => (GrantStateView::Revoked, Some(since)),
    };
    VerdictView { state, at: at.map(Timestamp) }
}

impl From<RightView> for Rights {
    fn from(right: RightView) -> Self {
        match right {
            RightView::Query => Right::Query.into(),
            RightView::Replicate => Right::Replicate.into(),
        }
    }
}
