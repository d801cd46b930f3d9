//! `/v1/tenants`: which tenants the mesh has, and which site may have which. For operators of the mesh.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use holm_certs::{Right, Rights, SpkiHash, Verdict};
use holm_model::{Millis, NodeName, SiteId, TenantId};

use super::error::{ApiError, ErrorBody, ErrorCode};
use super::tenants_types::{
    ErasedNode, ErasureMissing, ErasureView, GrantStateView, NewErasure, NewGrant, NewTenant,
    RightView, TenantList, TenantSiteView, TenantView, VerdictView,
};
use super::types::Timestamp;
use crate::daemon::{
    Caller, ENROLLED_FOR_MS, ErasureStanding, NodeState, Tenant, TenantStanding, id_of_making,
};

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
    state.roster.doers.note(id_of_making(tag), &caller.name);
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
    announce(&state, granted.map_err(conflict)?, &caller, now).await?;
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
    announce(&state, revoked, &caller, now).await?;
    tracing::warn!(by = caller.name, tenant = %name, %site, "grant revoked");
    Ok(Json(one(&state, &name)?))
}

/// Ends a tenant whose authority is on this node: every node destroys its keys, documents and rows as
/// soon as it hears of it, and attests that it did. There is no way back.
#[utoipa::path(
    post, path = "/v1/tenants/{name}/erasure", tag = "mesh", request_body = NewErasure,
    params(("name" = String, Path, description = "the tenant")),
    responses((status = 202, body = TenantView), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn erase(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<TenantId>,
    Json(new): Json<NewErasure>,
) -> Result<(StatusCode, Json<TenantView>), ApiError> {
    caller.require_operator(&state)?;
    if new.confirm != name {
        let what =
            format!("confirm: {} is not {name}, the tenant that would be erased", new.confirm);
        return Err(ApiError::new(ErrorCode::Validation, what));
    }
    let now = Millis::now();
    let erasure = state.roster.tenancy.erase(&name, now).map_err(conflict)?;
    announce(&state, erasure, &caller, now).await?;
    tracing::warn!(by = caller.name, tenant = %name, "tenant erased");
    // Here at once; the others do so when they hear of it.
    state.say_what_is_due(now).await.map_err(ApiError::internal)?;
    Ok((StatusCode::ACCEPTED, Json(one(&state, &name)?)))
}

async fn announce(
    state: &Arc<NodeState>,
    statement: Vec<u8>,
    caller: &Caller,
    now: Millis,
) -> Result<(), ApiError> {
    let (state, by) = (Arc::clone(state), caller.name.clone());
    let announced = tokio::task::spawn_blocking(move || state.announce_by(&[statement], &by, now));
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
    let here = standing.name.as_ref().is_some_and(|name| state.tenants.of(name).is_some());
    let asked: Vec<&SiteId> = standing.sites.iter().map(|site| &site.site).collect();
    let erasure = standing.erasure.as_ref().map(|erasure| erasure_view(state, erasure, &asked));
    let known = known_sites(state);
    TenantView {
        erasure,
        name: standing.name.map(|name| name.to_string()),
        tag: standing.tag.to_string(),
        authority_here: standing.authority_here,
        opened_here: here,
        sites: standing
            .sites
            .into_iter()
            .map(|site| TenantSiteView {
                known: known.contains(&site.site),
                site: site.site,
                replicate: verdict(site.replicate),
                query: verdict(site.query),
            })
            .collect(),
    }
}

/// Why other sites take nothing of `tenant` from this one, if they do not.
pub(super) fn not_granted(state: &NodeState, tenant: &Tenant, now: Millis) -> Option<String> {
    let standings = state.roster.tenancy.standings(now);
    let standing = standings.into_iter().find(|of| of.name.as_ref() == Some(&tenant.id))?;
    let own = &state.config.node.site;
    let site = standing.sites.into_iter().find(|of| of.site == *own)?;
    let how = match site.replicate {
        Verdict::Granted { .. } => return None,
        Verdict::Erased { since } => {
            return Some(format!("tenant {} was erased at {}", tenant.id, Timestamp(since)));
        }
        Verdict::Expired { since } => format!("ended at {}", Timestamp(since)),
        Verdict::NeverGranted => "was never made".to_owned(),
        Verdict::NotYet { from } => format!("begins at {}", Timestamp(from)),
        Verdict::Revoked { since } => format!("was taken back at {}", Timestamp(since)),
    };
    Some(format!(
        "the grant of tenant {} to site {own} {how}: what this site records of it reaches no other site, and nothing comes; \
         `holm tenant grant {} --site {own}` at the node that made the tenant lets both follow",
        tenant.id, tenant.id
    ))
}

/// Sites of which this node knows a node.
fn known_sites(state: &NodeState) -> BTreeSet<SiteId> {
    let members = state.mesh().map(|mesh| mesh.status().members).unwrap_or_default();
    members.into_iter().map(|member| member.site).chain([state.config.node.site.clone()]).collect()
}

/// Who attested, and who had the tenant, or may have had it, and did not: nodes whose sealing keys are known, and
/// members of sites that the tenant's statements name. Each by its key, not its name, which a successor may have.
fn erasure_view(state: &NodeState, erasure: &ErasureStanding, sites: &[&SiteId]) -> ErasureView {
    let members = state.mesh().map(|mesh| mesh.status().members).unwrap_or_default();
    let own = (state.config.node.site.clone(), state.config.node.name.clone());
    let own = (own.0, own.1, Some(state.identity.svid().spki_hash()));
    let members = members
        .into_iter()
        .map(|member| (member.site, member.node, member.svid_key.map(SpkiHash)))
        .chain([own])
        .filter(|(site, ..)| sites.contains(&site));
    let mut missing: Vec<ErasureMissing> = Vec::new();
    let answered = |key: &SpkiHash| erasure.erased.iter().any(|erased| erased.key == *key);
    let mut seen: BTreeSet<&SiteId> = erasure.erased.iter().map(|erased| &erased.site).collect();
    for (key, (site, node)) in &erasure.asked {
        seen.insert(site);
        if !answered(key) {
            let key = Some(key.to_string());
            missing.push(ErasureMissing { site: site.clone(), node: node.clone(), key });
        }
    }
    let members: Vec<_> = members.collect();
    for (site, node, key) in &members {
        seen.insert(site);
        // Its certificate is seen while it is connected; else its name tells whether it is one of the above.
        let known = match key {
            Some(key) => answered(key) || erasure.asked.contains_key(key),
            None => {
                let named = |of: &SiteId, name: &NodeName| of == site && name == node;
                erasure.asked.values().any(|(of, name)| named(of, name))
                    || erasure.erased.iter().any(|erased| named(&erased.site, &erased.node))
            }
        };
        if !known {
            let key = key.as_ref().map(SpkiHash::to_string);
            missing.push(ErasureMissing { site: site.clone(), node: node.clone(), key });
        }
    }
    missing.sort_by(|a, b| (&a.site, &a.node, &a.key).cmp(&(&b.site, &b.node, &b.key)));
    let erased = erasure.erased.iter().map(|erased| ErasedNode {
        site: erased.site.clone(),
        node: erased.node.clone(),
        key: erased.key.to_string(),
        at: Timestamp(erased.at),
    });
    ErasureView {
        at: Timestamp(erasure.at),
        finished: missing.is_empty(),
        erased: erased.collect(),
        missing,
        without_nodes: sites
            .iter()
            .filter(|site| !seen.contains(*site))
            .map(|site| (*site).clone())
            .collect(),
    }
}

fn verdict(verdict: Verdict) -> VerdictView {
    let (state, at) = match verdict {
        Verdict::Erased { since } => (GrantStateView::Erased, Some(since)),
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
