//! The issuer's side: tokens made and redeemed, certificates issued.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use holm_certs::files::{FileError, IdentityDir};
use holm_certs::{
    Identity, IssueError, Issuer, JoinToken, Revocation, RevocationError, SeedPins, SpiffeId,
    SpkiHash, StoredToken, SubjectPublicKey, TOKEN_LIFETIME, TokenError, TokenLedger, TokenOffer,
};
use holm_mesh_link::PeerId;
use holm_model::{Millis, SiteId};

use super::{Certificates, EnrolRequest, RenewRequest, WebRequest, request_from_text};
use crate::identity::chain_to_text;

/// A web certificate is no identity of the mesh, and outlives the SVID: a node whose SVID has ended
/// still serves its own site, and says there that it has ended.
pub(crate) const WEB_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3_600);

/// Why nothing was issued. A refused token is not used up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrolError {
    #[error("this node issues no certificates; ask one that does ({0})")]
    NotAnIssuer(String),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the certificate request is not usable: {0}")]
    Request(String),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the bundle cannot be sent: {0}")]
    Bundle(String),
    #[error("{0}")]
    Revoked(String),
    #[error(
        "{id} is a live node with another key; join with another --node, or revoke it first (`holm revoke`)"
    )]
    NameTaken { id: SpiffeId },
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    #[error(
        "the node is enrolled, and its site was granted no tenant ({0}); grant it with `holm tenant grant`, then join again"
    )]
    Tenants(String),
}

/// What a node that issues has: its intermediate, and the tokens it made.
pub(crate) struct Issuing {
    issuer: Issuer,
    files: IdentityDir,
    tokens: Mutex<TokenLedger>,
    lifetime: Duration,
}

impl Issuing {
    /// The issuer in `files`, if this node is one.
    pub(crate) fn load(files: IdentityDir, lifetime: Duration) -> Result<Option<Self>, FileError> {
        let Some(issuer) = files.load_issuer()? else { return Ok(None) };
        let tokens = Mutex::new(files.load_tokens()?);
        Ok(Some(Self { issuer, files, tokens, lifetime }))
    }

    /// What signs for the mesh here.
    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Makes a join token for `site`. It is stored before it is shown.
    pub(crate) fn mint(
        &self,
        site: SiteId,
        seeds: Vec<String>,
        now: Millis,
    ) -> Result<JoinToken, EnrolError> {
        let offer = TokenOffer {
            trust_domain: self.issuer.trust_domain().clone(),
            site,
            pins: SeedPins {
                root: self.issuer.pin()?,
                server: self.files.load_web_key()?.public_key().hash(),
            },
            seeds,
            lifetime: TOKEN_LIFETIME,
        };
        let (token, stored) = JoinToken::mint(&mut rand::rng(), offer, now)?;
        self.change(|ledger| ledger.add(stored, now))?;
        Ok(token)
    }

    /// The tokens this node remembers.
    pub(crate) fn tokens(&self) -> Vec<StoredToken> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Redeems the proof and issues. The token is used up, on disk, before anything is issued.
    /// `taken` says whether a live node has the name with another key.
    pub(crate) fn enrol(
        &self,
        request: &EnrolRequest,
        identity: &Identity,
        taken: impl FnOnce(&SpiffeId, &SubjectPublicKey) -> bool,
        now: Millis,
    ) -> Result<(SiteId, Certificates), EnrolError> {
        let csr = request_from_text(&request.csr)?;
        // Everything that can be refused without the token is refused before it is used up.
        request_from_text(&request.web.csr)?;
        let domain = self.issuer.trust_domain();
        if let Some(revoked) = identity.revocations().of_node(&csr.public_key().hash()) {
            return Err(EnrolError::Revoked(format!(
                "the key of this node was revoked ({}); to come back it needs a new key: move its identity and tenants folders away and join again",
                revoked.reason()
            )));
        }
        let site = self
            .tokens()
            .iter()
            .find(|token| token.id() == request.proof.id)
            .map(|token| token.site().clone())
            .ok_or(TokenError::Unknown)?;
        let id = SpiffeId::node(domain, &site, &request.node);
        if taken(&id, csr.public_key()) {
            return Err(EnrolError::NameTaken { id });
        }
        let site = self.change(|ledger| ledger.redeem(&request.proof, domain, now))?.site().clone();
        let certificates = self.issue(csr.public_key(), &id, &request.web, identity, now)?;
        Ok((site, certificates))
    }

    /// Issues for a key and name that are proven, by a token or by the mesh connection that asks.
    pub(crate) fn issue(
        &self,
        key: &SubjectPublicKey,
        id: &SpiffeId,
        web: &WebRequest,
        identity: &Identity,
        now: Millis,
    ) -> Result<Certificates, EnrolError> {
        if let Some(revoked) = identity.revocations().of_node(&key.hash()) {
            return Err(EnrolError::Revoked(format!("{id} was revoked: {}", revoked.reason())));
        }
        let svid = self.issuer.issue_svid(key, id, self.lifetime, now)?;
        let csr = request_from_text(&web.csr)?;
        let names = &web.names;
        let lifetime = self.lifetime.max(WEB_LIFETIME);
        let web = self.issuer.issue_web(csr.public_key(), &names.dns, &names.ips, lifetime, now)?;
        let bundle = identity
            .bundles()
            .find(self.issuer.trust_domain())
            .ok_or_else(|| EnrolError::Bundle("there is none".into()))?
            .to_jwks()
            .map_err(|error| EnrolError::Bundle(error.to_string()))?;
        Ok(Certificates { svid: chain_to_text(&svid), web: chain_to_text(&web), bundle })
    }

    /// Signs the end of a node's identity.
    pub(crate) fn revoke(
        &self,
        key: SpkiHash,
        id: &SpiffeId,
        reason: &str,
        now: Millis,
    ) -> Result<Revocation, EnrolError> {
        Ok(Revocation::sign(&self.issuer, key, id, reason, now)?)
    }

    /// Issues for a member again: for the name and the key that its connection proves.
    pub(crate) fn renew(
        &self,
        id: &SpiffeId,
        peer: &PeerId,
        request: &RenewRequest,
        identity: &Identity,
        now: Millis,
    ) -> Result<Certificates, EnrolError> {
        let csr = request_from_text(&request.csr)?;
        if holm_mesh_link::peer_id_of(csr.public_key().as_der()).as_ref() != Some(peer) {
            return Err(EnrolError::Request(
                "its key is not the one that this connection stands on".into(),
            ));
        }
        self.issue(csr.public_key(), id, &request.web, identity, now)
    }

    /// Changes the ledger in memory only once it is on disk.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut TokenLedger) -> Result<T, TokenError>,
    ) -> Result<T, EnrolError> {
        let mut held = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ledger = held.clone();
        let done = change(&mut ledger)?;
        self.files.save_tokens(&ledger)?;
        *held = ledger;
        Ok(done)
    }
}
