//! Renewal: at half-life ± 10 %, from any reachable issuer, on live connections.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use holm_certs::{Bundle, CertificateRequest, NodeKey, SvidState, WebIdentity};
use holm_model::Millis;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::{Certificates, RenewRequest, WebRequest, request_to_text};
use crate::daemon::NodeState;
use crate::identity::{WebNames, chain_from_text};

/// The mesh request that asks an issuer for certificates.
pub(crate) const RENEW_METHOD: &str = "renew";
const CHECK_EVERY: Duration = Duration::from_secs(1);
const RETRY_FIRST_MS: u64 = 2_000;
const RETRY_LONGEST_MS: u64 = 60_000;

/// What HTTPS serves, and the key of the mesh's certificate in it.
pub(crate) struct Web {
    pub(crate) identity: WebIdentity,
    pub(crate) key: NodeKey,
}

/// Renews the SVID and the web certificate for as long as the node runs, and takes an SVID that
/// `holm join` put on disk meanwhile.
pub(crate) async fn keep_renewed(state: Arc<NodeState>, web: Web) {
    let jitter: f64 = rand::rng().random();
    let names = WebNames::of(&state.config);
    // The configuration may have got other names or another address since the last issue.
    let mut misnamed = !web.identity.covers(&names.dns, &names.ips);
    let mut retry_ms = RETRY_FIRST_MS;
    let mut next_try = Millis(0);
    loop {
        tokio::select! {
            () = tokio::time::sleep(CHECK_EVERY) => {}
            () = state.shutdown.cancelled() => return,
        }
        let now = Millis::now();
        // The disk first: who enrols the node again does not wait until the next try is due.
        let due = due(&state, jitter, now);
        if !(due || misnamed) || (due && take_from_disk(&state, &web)) || now < next_try {
            continue;
        }
        match renew(&state, &web, &names).await {
            Ok(issuer) => {
                misnamed = false;
                tracing::info!(issuer, not_after = %crate::api::types::Timestamp(state.identity.svid().not_after()), "SVID renewed");
                retry_ms = RETRY_FIRST_MS;
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the SVID could not be renewed yet");
                // Jitter, so that a mesh whose issuer returns does not ask it all at once.
                next_try = now + rand::rng().random_range(retry_ms / 2..=retry_ms);
                retry_ms = (retry_ms * 2).min(RETRY_LONGEST_MS);
            }
        }
    }
}

fn due(state: &NodeState, jitter: f64, now: Millis) -> bool {
    match state.identity.svid_state(now, jitter) {
        SvidState::Valid { renew_at, .. } => now >= renew_at,
        SvidState::Expired { .. } => true,
        SvidState::NotYetValid { .. } | SvidState::Revoked { .. } => false,
    }
}

/// Whether `holm join` enrolled the node again while it runs.
fn take_from_disk(state: &NodeState, web: &Web) -> bool {
    let files = crate::identity::directory(&state.layout);
    let Ok(chain) = files.load_svid() else { return false };
    if chain == state.identity.chain() {
        return false;
    }
    if let Err(error) = state.identity.replace_svid(chain, Millis::now()) {
        tracing::debug!(%error, "the SVID on disk is not taken");
        return false;
    }
    if let Ok(fresh) = files.load_web()
        && let Err(error) = web.identity.replace_issued(fresh.chain(), &web.key)
    {
        tracing::warn!(%error, "the web certificate on disk is not taken");
    }
    tracing::info!("enrolled again: the new SVID is in use");
    true
}

/// Gets new certificates: its own issuer's, or those of the first reachable one.
async fn renew(state: &NodeState, web: &Web, names: &WebNames) -> anyhow::Result<String> {
    let key = CertificateRequest::new(&web.key)?;
    let request = WebRequest { csr: request_to_text(&key), names: names.clone() };
    if let Some(issuing) = &state.issuing {
        let certificates = issuing.issue(
            state.identity.key().public_key(),
            &state.identity.spiffe_id(),
            &request,
            &state.identity,
            Millis::now(),
        )?;
        take(state, web, &certificates)?;
        return Ok("this node".into());
    }
    let csr = request_to_text(&CertificateRequest::new(state.identity.key())?);
    let body = serde_json::to_vec(&RenewRequest { csr, web: request })?;
    let mut peers = state.connected_peers();
    peers.shuffle(&mut rand::rng());
    let mut refusals = Vec::new();
    for peer in peers {
        match state.ask_peer(&peer, RENEW_METHOD, body.clone()).await {
            Ok(answer) => {
                let certificates: Certificates = serde_json::from_slice(&answer)
                    .with_context(|| format!("{peer} gave an answer that is not understood"))?;
                take(state, web, &certificates)?;
                return Ok(peer);
            }
            Err(error) => refusals.push(format!("{peer}: {error}")),
        }
    }
    if refusals.is_empty() {
        return Err(anyhow!("no peer is connected"));
    }
    Err(anyhow!("no issuer among the connected peers ({})", refusals.join("; ")))
}

/// Checks and takes certificates: in memory, then on disk.
fn take(state: &NodeState, web: &Web, certificates: &Certificates) -> anyhow::Result<()> {
    let domain = state.identity.spiffe_id().trust_domain().clone();
    let files = crate::identity::directory(&state.layout);
    let bundle = Bundle::from_jwks(&domain, certificates.bundle.as_bytes())?;
    // An issuer may lag behind: an older bundle than ours is passed over.
    if let Ok(true) = state.identity.replace_bundle(bundle) {
        files.save_bundles(&state.identity.bundles())?;
    }
    let svid = chain_from_text(&certificates.svid)?;
    state.identity.replace_svid(svid.clone(), Millis::now())?;
    files.save_svid(&svid)?;
    let chain = chain_from_text(&certificates.web)?;
    web.identity.replace_issued(chain.clone(), &web.key)?;
    Ok(files.save_web_chain(&chain)?)
}
