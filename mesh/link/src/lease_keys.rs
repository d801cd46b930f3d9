//! This node's key and trust, as leases want them: a lease is signed with the key of the SVID, and who
//! signed one is judged like whoever connects.

use holm_certs::{Identity, SubjectPublicKey, Verifier};
use holm_mesh_proto::wire::MeshId;
use holm_mesh_proto::{LeaseKeys, LeaseSigner};
use holm_model::Millis;
use rustls::pki_types::CertificateDer;

use crate::peer::{peer_id_of, peer_key};

/// The identity, for the leases of one mesh.
pub(crate) struct SvidKeys {
    identity: Identity,
    mesh_id: MeshId,
}

impl SvidKeys {
    pub(crate) const fn new(identity: Identity, mesh_id: MeshId) -> Self {
        Self { identity, mesh_id }
    }

    /// A lease of one mesh is none of another.
    fn message(&self, statement: &[u8]) -> Vec<u8> {
        [&self.mesh_id.0[..], statement].concat()
    }
}

impl LeaseKeys for SvidKeys {
    fn chain(&self) -> Vec<Vec<u8>> {
        self.identity.chain().iter().map(|certificate| certificate.to_vec()).collect()
    }

    fn sign(&self, statement: &[u8]) -> Option<Vec<u8>> {
        let signed = self.identity.key().sign(&self.message(statement));
        signed.inspect_err(|error| tracing::warn!(%error, "a lease goes unsigned")).ok()
    }

    fn judge(&self, chain: &[Vec<u8>], now: Millis) -> Result<LeaseSigner, &'static str> {
        let chain: Vec<CertificateDer<'_>> =
            chain.iter().map(|certificate| CertificateDer::from(certificate.as_slice())).collect();
        let svid = Verifier::verify(&chain, &self.identity.bundles(), now)
            .map_err(|_| "lease_chains_refused")?;
        self.identity.revocations().check(&svid).map_err(|_| "leases_of_revoked")?;
        let (site, node) = svid.spiffe_id().site_and_node().ok_or("lease_chains_refused")?;
        let peer = peer_id_of(svid.spki()).and_then(|peer| peer_key(&peer));
        Ok(LeaseSigner {
            site,
            node,
            peer: peer.ok_or("lease_chains_refused")?,
            key: svid.spki().to_vec(),
            until: svid.deadline(),
        })
    }

    fn verifies(&self, signer: &LeaseSigner, statement: &[u8], signature: &[u8]) -> bool {
        SubjectPublicKey::from_der(&signer.key)
            .is_ok_and(|key| key.verifies(&self.message(statement), signature))
    }
}
