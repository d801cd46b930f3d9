//! `GET /v1/me`, `GET /v1/sites` and `GET /version`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use holm_certs::SvidState as Svid;
use holm_mesh_link::{MemberState, MemberStatus, MeshStatus};
use holm_model::{Millis, SiteId};

use super::coverage::site_state;
use super::error::{ApiError, ErrorBody};
use super::types::{
    CutOff, ElementCount, Me, MemberStateView, MemberView, SiteStateView, SiteView, Sites,
    SvidState, SvidView, Timestamp, Unheard, Version,
};
use crate::daemon::{Caller, NodeState, SiteReport, Tenant};

/// What the node is; needs a credential like everything else that says something of it.
pub(crate) async fn version(_: Caller) -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION").into() })
}

/// Who asks, by the credential, and which node answers.
#[utoipa::path(
    get, path = "/v1/me", tag = "mesh",
    responses((status = 200, body = Me), (status = 401, body = ErrorBody))
)]
pub(crate) async fn me(State(state): State<Arc<NodeState>>, caller: Caller) -> Json<Me> {
    let identity = &state.identity;
    let id = identity.spiffe_id();
    Json(Me {
        tenant: caller.tenant,
        role: caller.role,
        name: caller.name,
        site: state.config.node.site.clone(),
        node: state.config.node.name.clone(),
        trust_domain: id.trust_domain().to_string(),
        spiffe_id: id.to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
        svid: svid_view(&state, Millis::now()),
    })
}

/// A site that nobody ever heard of is an error, never an empty answer.
pub(super) fn known(
    state: &NodeState,
    tenant: &Tenant,
    wanted: &[SiteId],
    now: Millis,
) -> Result<(), ApiError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let status = state.mesh().map(holm_mesh_link::Mesh::status);
    let documented = tenant.documented_sites();
    let reports = state.site_reports(&tenant.id, &documented, status.as_ref(), now);
    let known: Vec<&SiteId> = reports.iter().map(|report| &report.freshness.site).collect();
    match wanted.iter().find(|site| !known.contains(site)) {
        None => Ok(()),
        Some(site) => {
            let known: Vec<&str> = known.iter().take(20).map(|site| site.as_str()).collect();
            Err(ApiError::not_found(format!("no site {site}; there are {}", known.join(", "))))
        }
    }
}

fn svid_view(state: &NodeState, now: Millis) -> SvidView {
    let not_after = Timestamp(state.identity.svid().not_after());
    match state.identity.svid_state(now, 0.5) {
        Svid::Valid { renew_at, .. } => {
            SvidView { state: SvidState::Valid, not_after, renew_at: Some(Timestamp(renew_at)) }
        }
        Svid::NotYetValid { .. } => {
            SvidView { state: SvidState::NotYetValid, not_after, renew_at: None }
        }
        Svid::Expired { .. } => SvidView { state: SvidState::Expired, not_after, renew_at: None },
        Svid::Revoked { .. } => SvidView { state: SvidState::Revoked, not_after, renew_at: None },
    }
}

/// The sites of the mesh as this node sees them: how fresh what each says is, and its nodes.
#[utoipa::path(
    get, path = "/v1/sites", tag = "mesh",
    responses((status = 200, body = Sites), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list_sites(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<Sites>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let now = Millis::now();
    let status = state.mesh().map(holm_mesh_link::Mesh::status);
    let counts = tenant.open_counts(now);
    let documented = tenant.documented_sites();
    let reports = state.site_reports(&tenant.id, &documented, status.as_ref(), now);
    let cut_off = state.cut_off_since(status.as_ref(), now).map(|since| cut_off(&reports, since));
    let items: Vec<SiteView> = reports
        .into_iter()
        .map(|report| {
            let (nodes, edges) = counts.get(&report.freshness.site).copied().unwrap_or_default();
            site_view(&state, status.as_ref(), report, ElementCount { nodes, edges })
        })
        .collect();
    let (replicating, reason) = match &status {
        Some(status) => (status.replicating, status.paused_reason.clone()),
        None => (false, state.mesh_failure()),
    };
    let mut conflicts: Vec<String> =
        status.iter().flat_map(|s| &s.conflicts).map(|c| c.text.clone()).collect();
    conflicts.extend(status.iter().flat_map(|s| s.clock_warnings.iter().cloned()));
    let counters = status
        .map(|s| s.counters.into_iter().map(|(name, n)| (name.to_owned(), n)).collect())
        .unwrap_or_default();
    Ok(Json(Sites {
        mesh_running: state.mesh().is_some(),
        replicating,
        replicating_reason: reason,
        self_site: state.config.node.site.clone(),
        cut_off,
        items,
        conflicts,
        counters,
    }))
}

fn cut_off(reports: &[SiteReport], since: Millis) -> CutOff {
    let unheard = reports
        .iter()
        .filter(|r| site_state(r.freshness.state) != SiteStateView::Here)
        .map(|r| Unheard {
            site: r.freshness.site.clone(),
            last_heard: r.last_heard.map(Timestamp),
        })
        .collect();
    // Cut off means that no other site is heard; the field says so in the answer itself.
    CutOff { since: Timestamp(since), unheard, heard: Vec::new() }
}

fn site_view(
    state: &NodeState,
    status: Option<&MeshStatus>,
    report: SiteReport,
    elements: ElementCount,
) -> SiteView {
    let freshness = report.freshness;
    let is_self = freshness.site == state.config.node.site;
    let mut nodes: Vec<MemberView> = report.members.into_iter().map(member_view).collect();
    if is_self {
        nodes.insert(0, own_view(state, status));
    }
    SiteView {
        is_self,
        state: site_state(freshness.state),
        as_of: freshness.as_of.map(Timestamp),
        last_heard: report.last_heard.map(Timestamp),
        site: freshness.site,
        nodes,
        elements,
    }
}

fn own_view(state: &NodeState, status: Option<&MeshStatus>) -> MemberView {
    MemberView {
        node: state.config.node.name.clone(),
        spiffe_id: Some(state.identity.spiffe_id().to_string()),
        peer_id: status.map(|s| s.peer_id.to_string()).unwrap_or_default(),
        addresses: status
            .map(|s| s.advertised.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        api_url: Some(state.console_url()),
        state: MemberStateView::Own,
        connected: true,
        rtt_ms: None,
        clock_skew_ms: None,
        svid_not_after: Some(Timestamp(state.identity.svid().not_after())),
        last_refusal: None,
    }
}

fn member_view(member: MemberStatus) -> MemberView {
    let host = member.addresses.first().or(member.remote.as_ref()).map(|address| address.ip());
    let api_url = host
        .zip(member.api_port)
        .map(|(ip, port)| format!("https://{}", std::net::SocketAddr::new(ip, port)));
    MemberView {
        spiffe_id: member.spiffe_id,
        node: member.node,
        peer_id: member.peer_id.map(|id| id.to_string()).unwrap_or_default(),
        addresses: member.addresses.iter().map(ToString::to_string).collect(),
        api_url,
        state: match member.state {
            MemberState::Alive => MemberStateView::Alive,
            MemberState::Suspect => MemberStateView::Suspect,
            MemberState::Down => MemberStateView::Down,
        },
        connected: member.connected,
        rtt_ms: member.rtt_ms.map(|ms| ms as f64),
        clock_skew_ms: member.clock_skew_ms,
        svid_not_after: member.svid_not_after.map(Timestamp),
        last_refusal: member.last_refusal,
    }
}
