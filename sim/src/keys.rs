//! Keys of simulated nodes: as large as the real ones (a chain of two certificates, ECDSA signatures),
//! and cheap, for a world has thousands. Who does not know a node's secret cannot sign for it, and the
//! world's liar does not look it up.

use holm_mesh_proto::{LeaseKeys, LeaseSigner};
use holm_model::{Millis, NodeName, SiteId};

use crate::world::{WALL_MS, key, site_id};

/// Bytes of a leaf and of an issuer's certificate, and of an ECDSA P-256 signature in ASN.1.
const LEAF_BYTES: usize = 430;
const ISSUER_BYTES: usize = 340;
const SIGNATURE_BYTES: usize = 71;
/// No certificate ends within a run.
const LIFETIME_MS: u64 = 400 * 24 * 3_600_000;

/// The key of one site's node.
pub(crate) struct SimKeys(pub(crate) usize);

impl LeaseKeys for SimKeys {
    fn chain(&self) -> Vec<Vec<u8>> {
        let mut leaf = self.0.to_be_bytes().to_vec();
        leaf.resize(LEAF_BYTES, 1);
        vec![leaf, vec![2; ISSUER_BYTES]]
    }

    fn sign(&self, statement: &[u8]) -> Option<Vec<u8>> {
        Some(signature(self.0, statement))
    }

    fn judge(&self, chain: &[Vec<u8>], _: Millis) -> Result<LeaseSigner, &'static str> {
        let site = chain.first().and_then(|leaf| leaf.first_chunk());
        let site = usize::from_be_bytes(*site.ok_or("lease_chains_refused")?);
        // Only what a node really has was issued.
        if Self(site).chain() != chain {
            return Err("lease_chains_refused");
        }
        Ok(LeaseSigner {
            site: site_id(site),
            node: node_name(),
            peer: key(site),
            key: site.to_be_bytes().to_vec(),
            until: Millis(WALL_MS + LIFETIME_MS),
        })
    }

    fn verifies(&self, signer: &LeaseSigner, statement: &[u8], given: &[u8]) -> bool {
        let site = signer.key.first_chunk().map(|site| usize::from_be_bytes(*site));
        site.is_some_and(|site| given == signature(site, statement))
    }
}

pub(crate) fn node_name() -> NodeName {
    NodeName::new("a").unwrap_or_else(|_| unreachable!("a plain word is a name"))
}

/// The site of a name that [`site_id`] made.
pub(crate) fn site_of(site: &SiteId) -> Option<usize> {
    site.as_str().strip_prefix("site-")?.parse().ok()
}

fn signature(site: usize, statement: &[u8]) -> Vec<u8> {
    let secret = *blake3::hash(&[b"secret of ", &site.to_be_bytes()[..]].concat()).as_bytes();
    let mut bytes = vec![0; SIGNATURE_BYTES];
    blake3::Hasher::new_keyed(&secret).update(statement).finalize_xof().fill(&mut bytes);
    bytes
}
