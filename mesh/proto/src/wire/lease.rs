//! Leases as they travel, and what proves them: the claimant's signature, and the chain of certificates
//! that its key is known by.

use holm_model::{Millis, NodeName, SiteId, TenantId};

use super::{
    Control, WireError, bad, check_length, fixed, generated, node, peer_key, site, tenant,
};
use crate::PeerKey;

/// Most leases in one message.
pub const MAX_LEASES: usize = 256;
/// Leases that are put in one message: so many of at most 440 bytes stay below the control limit.
pub(crate) const LEASES_SENT: usize = 128;
/// Most relays that a lease names.
pub const MAX_RELAYS: usize = 3;
/// Longest signature: ECDSA P-256 in ASN.1 has at most 72 bytes.
const MAX_SIGNATURE: usize = 80;
/// Most chains that one message asks for.
pub const MAX_CHAIN_IDS: usize = 64;
/// Most chains in one message, and bytes of one: together they stay below the control limit.
pub const MAX_CHAINS: usize = 15;
const MAX_CHAIN_BYTES: usize = 4_096;
/// Most certificates in a chain.
pub(super) const MAX_CHAIN: usize = 4;

const CONTEXT: &[u8] = b"holm lease v1\0";

/// Names a chain of certificates: the first 16 bytes of a BLAKE3 hash over each length and certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(pub [u8; 16]);

impl ChainId {
    /// The name of `chain` (DER, leaf first).
    pub fn of(chain: &[Vec<u8>]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for certificate in chain {
            hasher.update(&(certificate.len() as u64).to_be_bytes());
            hasher.update(certificate);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(id)
    }
}

/// Who signed a lease, and the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseProof {
    /// The chain of the signer's certificate.
    pub signer: ChainId,
    /// Over [`LeaseClaim::statement`].
    pub signature: Vec<u8>,
}

/// One node's word that everything it holds open of one tenant is true as of a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseClaim {
    /// The claiming node's site.
    pub site: SiteId,
    /// The claiming node.
    pub node: NodeName,
    /// The tenant.
    pub tenant: TenantId,
    /// The claiming node's generation: a later start beats an earlier one.
    pub generation: u64,
    /// Order within the generation.
    pub sequence: u64,
    /// What is claimed, by the claiming node's clock.
    pub as_of: Millis,
    /// Relays that keep a place for the claiming node, which is not reached otherwise; at most
    /// [`MAX_RELAYS`].
    pub relays: Vec<PeerKey>,
    /// The claiming node's signature; `None` from nodes of protocol versions below 4.
    pub proof: Option<LeaseProof>,
}

impl LeaseClaim {
    /// What is signed: all that the claim says. Each text has its length before it, so that no two
    /// claims are the same bytes.
    pub fn statement(&self) -> Vec<u8> {
        let mut bytes = CONTEXT.to_vec();
        for text in [self.site.as_str(), self.node.as_str(), self.tenant.as_str()] {
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        for number in [self.generation, self.sequence, self.as_of.0, self.relays.len() as u64] {
            bytes.extend(number.to_be_bytes());
        }
        self.relays.iter().for_each(|relay| bytes.extend(relay.0));
        bytes
    }

    /// The claim as nodes of protocol versions below 4 know it.
    pub(crate) fn bare(&self) -> Self {
        Self { relays: Vec::new(), proof: None, ..self.clone() }
    }
}

pub(super) fn leases_from(leases: &generated::Leases) -> Result<Control, WireError> {
    if leases.leases.len() > MAX_LEASES {
        return Err(bad("leases", "leases", format!("more than {MAX_LEASES}")));
    }
    Ok(Control::Leases(leases.leases.iter().map(lease_from).collect::<Result<_, _>>()?))
}

fn lease_from(lease: &generated::Lease) -> Result<LeaseClaim, WireError> {
    let what = "leases";
    if lease.relays.len() > MAX_RELAYS {
        return Err(bad(what, "relays", format!("more than {MAX_RELAYS}")));
    }
    check_length("lease signature", lease.signature.len(), MAX_SIGNATURE)?;
    let proof = if lease.signature.is_empty() {
        None
    } else {
        let signer = ChainId(fixed(what, "signer", &lease.signer)?);
        Some(LeaseProof { signer, signature: lease.signature.clone() })
    };
    let relays = lease.relays.iter().map(|relay| peer_key(what, "relays", relay));
    Ok(LeaseClaim {
        site: site(what, &lease.site)?,
        node: node(what, &lease.node)?,
        tenant: tenant(what, &lease.tenant)?,
        generation: lease.generation,
        sequence: lease.sequence,
        as_of: Millis(lease.as_of_ms),
        relays: relays.collect::<Result<_, _>>()?,
        proof,
    })
}

pub(super) fn lease_to(lease: &LeaseClaim) -> generated::Lease {
    let (signature, signer) = match &lease.proof {
        Some(proof) => (proof.signature.clone(), proof.signer.0.to_vec()),
        None => (Vec::new(), Vec::new()),
    };
    generated::Lease {
        site: lease.site.to_string(),
        node: lease.node.to_string(),
        tenant: lease.tenant.to_string(),
        generation: lease.generation,
        sequence: lease.sequence,
        as_of_ms: lease.as_of.0,
        signature,
        signer,
        relays: lease.relays.iter().map(|relay| relay.0.to_vec()).collect(),
    }
}

pub(super) fn chain_ids_from(wanted: &generated::ChainIds) -> Result<Control, WireError> {
    let what = "chains_wanted";
    if wanted.ids.len() > MAX_CHAIN_IDS {
        return Err(bad(what, "ids", format!("more than {MAX_CHAIN_IDS}")));
    }
    let ids = wanted.ids.iter().map(|id| Ok(ChainId(fixed(what, "ids", id)?)));
    Ok(Control::ChainsWanted(ids.collect::<Result<_, _>>()?))
}

pub(super) fn chain_ids_to(ids: &[ChainId]) -> generated::ChainIds {
    generated::ChainIds { ids: ids.iter().map(|id| id.0.to_vec()).collect() }
}

pub(super) fn chains_from(chains: generated::Chains) -> Result<Control, WireError> {
    let what = "chains";
    if chains.chains.len() > MAX_CHAINS {
        return Err(bad(what, "chains", format!("more than {MAX_CHAINS}")));
    }
    for refresh in &chains.chains {
        if refresh.chain.len() > MAX_CHAIN {
            return Err(bad(what, "chain", format!("more than {MAX_CHAIN}")));
        }
        let bytes = refresh.chain.iter().map(Vec::len).sum();
        check_length("chain of a lease's signer", bytes, MAX_CHAIN_BYTES)?;
    }
    Ok(Control::Chains(chains.chains.into_iter().map(|refresh| refresh.chain).collect()))
}

pub(super) fn chains_to(chains: &[Vec<Vec<u8>>]) -> generated::Chains {
    let refresh = |chain: &Vec<Vec<u8>>| generated::SvidRefresh { chain: chain.clone() };
    generated::Chains { chains: chains.iter().map(refresh).collect() }
}

/// Whether a chain may be sent: one that is too large for others is not told of.
pub(crate) fn fits(chain: &[Vec<u8>]) -> bool {
    !chain.is_empty()
        && chain.len() <= MAX_CHAIN
        && chain.iter().map(Vec::len).sum::<usize>() <= MAX_CHAIN_BYTES
}
