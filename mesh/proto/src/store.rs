//! What the mesh asks of whoever holds the documents.

use holm_model::{DocId, DocVersion, Millis, NodeName, SiteId, TenantId};

use crate::PeerKey;

/// The documents of a node, as the mesh sees them: opaque bytes that merge in any order. Methods may
/// block on storage; the link calls [`DocumentStore::documents`], `heads`, `export` and `apply` on a
/// thread of their own, and `tenants` and `may_replicate` on its event loop: keep those two cheap.
pub trait DocumentStore: Send + Sync + 'static {
    /// The tenants that this node replicates.
    fn tenants(&self) -> Vec<TenantId>;

    /// Whether a node of `peer_site` may learn `tenant`'s data and name.
    fn may_replicate(&self, peer_site: &SiteId, tenant: &TenantId) -> bool;

    /// What hints of tenants are sealed with. Without keys every tenant here counts as known to the whole
    /// mesh, and its hints go in clear to those who may replicate it: for simulations, and no others.
    fn hint_keys(&self) -> Option<&dyn HintKeys> {
        None
    }

    /// The version of every document of `tenant`.
    fn documents(&self, tenant: &TenantId) -> Vec<DocVersion>;

    /// The heads of a document; none if it is not here.
    fn heads(&self, tenant: &TenantId, doc: &DocId) -> Vec<[u8; 32]>;

    /// What someone lacks who has the changes under `have`; heads that are not known here are passed
    /// over. Empty when nothing is lacking. At most [`crate::wire::MAX_DOCUMENT_BYTES`].
    ///
    /// # Errors
    /// A text for the log; the document is left out of this reconciliation.
    fn export(&self, tenant: &TenantId, doc: &DocId, have: &[[u8; 32]]) -> Result<Vec<u8>, String>;

    /// Merges what a peer exported. `from` names the peer for provenance. The new version if this
    /// changed the document, `None` if everything was here already.
    ///
    /// # Errors
    /// A text for the log and the peer; the store keeps (quarantines) or drops the bytes as it likes.
    fn apply(
        &self,
        tenant: &TenantId,
        doc: &DocId,
        from: &str,
        bytes: &[u8],
    ) -> Result<Option<DocVersion>, String>;
}

/// Seals hints for the sites that may replicate their tenant. Called on the event loop.
pub trait HintKeys {
    /// Whether the whole mesh may know of `tenant`: its hints are not sealed.
    fn is_open(&self, tenant: &TenantId) -> bool;

    /// Seals a hint of `tenant`; `None` when no key is in use here: no hint is sent then, and peers learn
    /// by their next round.
    fn seal(&self, tenant: &TenantId, hint: &[u8], now: Millis) -> Option<Vec<u8>>;

    /// Opens a sealed hint: its tenant, as this node names it, and what it says.
    ///
    /// # Errors
    /// The name of a counter.
    fn open(&self, sealed: &[u8], now: Millis) -> Result<(TenantId, Vec<u8>), &'static str>;
}

/// Signs this node's leases, and judges who signed those of others. Called on the event loop.
pub trait LeaseKeys: Send {
    /// The chain of this node's certificate, DER, leaf first.
    fn chain(&self) -> Vec<Vec<u8>>;

    /// This node's signature over `statement`; `None` when it cannot sign: the lease then goes unsigned.
    fn sign(&self, statement: &[u8]) -> Option<Vec<u8>>;

    /// Whose chain it is, if it is good now.
    ///
    /// # Errors
    /// The name of a counter.
    fn judge(&self, chain: &[Vec<u8>], now: Millis) -> Result<LeaseSigner, &'static str>;

    /// Whether `signature` over `statement` is the signer's.
    fn verifies(&self, signer: &LeaseSigner, statement: &[u8], signature: &[u8]) -> bool;
}

/// A member, as the certificate says that its leases are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSigner {
    /// Its site.
    pub site: SiteId,
    /// Its name within the site.
    pub node: NodeName,
    /// Its routing handle, which is a hash of its key.
    pub peer: PeerKey,
    /// Its public key, as [`LeaseKeys::verifies`] wants it.
    pub key: Vec<u8>,
    /// Until when the certificate holds.
    pub until: Millis,
}
