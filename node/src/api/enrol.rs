//! Join tokens, and `POST /enroll`, where a token is the credential.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holm_certs::{SpiffeId, SubjectPublicKey, TokenError};
use holm_model::{Millis, SiteId, TenantId};

use super::error::{ApiError, ErrorBody, ErrorCode};
use super::types::{CreatedJoinToken, JoinTokenList, JoinTokenView, NewJoinToken, Timestamp};
use crate::daemon::{Caller, NodeState, TenantsFile};
use crate::enrol::{EnrolError, EnrolRequest, Enrolled, Issuing};

/// Makes a token that enrols one node for a site, within an hour. Its text is shown this once.
#[utoipa::path(
    post, path = "/v1/join-tokens", tag = "credentials", request_body = NewJoinToken,
    responses((status = 201, body = CreatedJoinToken), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(crate) async fn create_join_token(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(new): Json<NewJoinToken>,
) -> Result<(StatusCode, Json<CreatedJoinToken>), ApiError> {
    caller.require_operator(&state)?;
    let issuing = issuer(&state)?;
    let token = issuing.mint(new.site, api_seeds(&state), Millis::now())?;
    tracing::info!(by = caller.name, site = %token.site(), id = %token.id(), "join token created");
    Ok((
        StatusCode::CREATED,
        Json(CreatedJoinToken {
            id: token.id().to_string(),
            token: token.to_text().to_string(),
            expires_at: Timestamp(token.expires()),
        }),
    ))
}

/// The join tokens that this node made and remembers.
#[utoipa::path(
    get, path = "/v1/join-tokens", tag = "credentials",
    responses((status = 200, body = JoinTokenList), (status = 403, body = ErrorBody))
)]
pub(crate) async fn list_join_tokens(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<JoinTokenList>, ApiError> {
    caller.require_operator(&state)?;
    let tokens = issuer(&state)?.tokens();
    let items = tokens
        .into_iter()
        .map(|token| JoinTokenView {
            id: token.id().to_string(),
            site: token.site().clone(),
            expires_at: Timestamp(token.expires()),
            used: token.used().is_some(),
        })
        .collect();
    Ok(Json(JoinTokenList { items }))
}

/// Enrols a node: its token is the credential, and is used up before anything is issued.
pub(crate) async fn enroll(
    State(state): State<Arc<NodeState>>,
    Json(request): Json<EnrolRequest>,
) -> Result<Json<Enrolled>, ApiError> {
    let issuing = Arc::clone(issuer(&state)?);
    let enrolled = tokio::task::spawn_blocking(move || -> Result<Enrolled, EnrolError> {
        let taken = |id: &SpiffeId, key: &SubjectPublicKey| is_taken(&state, id, key);
        let (site, certificates) =
            issuing.enrol(&request, &state.identity, taken, Millis::now())?;
        let revocations = state
            .identity
            .revocations()
            .iter()
            .map(|revocation| Ok(STANDARD.encode(revocation.to_bytes()?)))
            .collect::<Result<_, EnrolError>>()?;
        let id = SpiffeId::node(state.identity.spiffe_id().trust_domain(), &site, &request.node);
        remember(&state, &id, &request.csr);
        let tenancy = grant_tenants(&state, &site)?;
        let configured = &state.config.node.tenants;
        let granted = |name: &&TenantId| tenancy.names.tag_of(name).is_some();
        let mut tenants: Vec<TenantId> = configured.iter().filter(granted).cloned().collect();
        if tenants.is_empty() {
            // Granted by another node, later: until then they stay at the site.
            tenants.clone_from(configured);
        }
        tracing::info!(%site, node = %request.node, "node enrolled");
        Ok(Enrolled {
            mesh_id: state.mesh_file.mesh_id.clone(),
            site,
            tenants,
            tenancy,
            seeds: mesh_seeds(&state),
            certificates,
            revocations,
        })
    })
    .await
    .map_err(ApiError::internal)??;
    Ok(Json(enrolled))
}

fn issuer(state: &NodeState) -> Result<&Arc<Issuing>, ApiError> {
    state.issuing.as_ref().ok_or_else(|| {
        ApiError::from(EnrolError::NotAnIssuer(
            "the node that made the mesh, or one with `holm issuer install`".into(),
        ))
    })
}

/// Grants the site the tenants whose authority is on this node.
fn grant_tenants(state: &NodeState, site: &SiteId) -> Result<TenantsFile, EnrolError> {
    let now = Millis::now();
    let granted = state.roster.tenancy.enrol(site, now).and_then(|(tenancy, grants)| {
        let own = &state.config.node;
        let by = format!("join token of {}/{}", own.site, own.name);
        state.announce_by(&grants, &by, now)?;
        Ok(tenancy)
    });
    granted.map_err(|error| EnrolError::Tenants(format!("{error:#}")))
}

/// Keeps whose key was enrolled, so that the node can be revoked while it is off.
fn remember(state: &NodeState, id: &SpiffeId, csr: &str) {
    let Ok(key) = crate::enrol::key_of_request(csr) else { return };
    if let Err(error) = state.credentials.put_issued(id, &key) {
        tracing::warn!(%error, spiffe_id = %id, "the node is enrolled; its key is not on record, so it can be revoked only while it is connected");
    }
}

/// Whether a live node has this name with another key.
fn is_taken(state: &NodeState, id: &SpiffeId, key: &SubjectPublicKey) -> bool {
    if *id == state.identity.spiffe_id() {
        return true;
    }
    let Some((site, node)) = id.site_and_node() else { return false };
    let status = state.mesh().map(holm_mesh_link::Mesh::status);
    status.iter().flat_map(|s| &s.members).any(|member| {
        let other = member.peer_id != holm_mesh_link::peer_id_of(key.as_der());
        member.site == site && member.node == node && member.connected && other
    })
}

/// `host:port` of this node's HTTPS API, for a token: the names of its certificate, then its
/// addresses.
fn api_seeds(state: &NodeState) -> Vec<String> {
    let port = state.api_port();
    let mut seeds: Vec<String> =
        state.config.api.names.iter().map(|name| host_port(name, port)).collect();
    seeds.extend(own_addresses(state).into_iter().map(|ip| host_port(&ip.to_string(), port)));
    seeds.dedup();
    seeds.truncate(holm_certs::MAX_SEEDS);
    seeds
}

/// `host:port` of mesh ports: this node's, then those of its peers.
fn mesh_seeds(state: &NodeState) -> Vec<String> {
    let status = state.mesh().map(holm_mesh_link::Mesh::status);
    let mut seeds: Vec<String> = status
        .iter()
        .flat_map(|status| {
            let peers = status.members.iter().filter(|member| member.connected);
            let theirs = peers.filter_map(|member| member.addresses.first());
            status.advertised.iter().take(4).chain(theirs).map(ToString::to_string)
        })
        .collect();
    seeds.dedup();
    seeds.truncate(8);
    seeds
}

fn own_addresses(state: &NodeState) -> Vec<std::net::IpAddr> {
    let listen = state.config.api.listen.ip();
    if !listen.is_unspecified() {
        return vec![listen];
    }
    let own = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<_> = own.iter().filter(|i| !i.is_loopback()).map(|i| i.ip()).collect();
    // Link-local addresses need a zone that a token cannot carry.
    addresses.retain(|ip| match ip {
        std::net::IpAddr::V4(ip) => !ip.is_link_local(),
        std::net::IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    });
    if addresses.is_empty() {
        addresses.push(std::net::Ipv4Addr::LOCALHOST.into());
    }
    addresses
}

fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl From<EnrolError> for ApiError {
    fn from(error: EnrolError) -> Self {
        let code = match &error {
            EnrolError::NotAnIssuer(_) | EnrolError::NameTaken { .. } => ErrorCode::Conflict,
            EnrolError::Token(TokenError::Full) => ErrorCode::Conflict,
            EnrolError::Token(_) | EnrolError::Revoked(_) => ErrorCode::Forbidden,
            EnrolError::Request(_) => ErrorCode::Validation,
            EnrolError::Bundle(_)
            | EnrolError::File(_)
            | EnrolError::Issue(_)
            | EnrolError::Revocation(_)
            | EnrolError::Tenants(_) => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}
