//! What leases are proven with: the chains of those who sign, fetched once from whoever passes a lease
//! on, judged once, and kept for others who ask.
//!
//! A chain is asked for by its hash, so nobody can put another in its place. What is fetched, judged and
//! kept has a bound, and so has what waits for it.

use std::collections::BTreeMap;

use holm_model::Millis;

use crate::wire::{ChainId, LeaseClaim};
use crate::{Footprint, LeaseKeys, LeaseSigner, PeerKey};

/// Chains kept: those of all members of the largest mesh, once again for those just renewed.
const MAX_CHAINS: usize = 2 * crate::member::MAX_MEMBERS;
/// Chains asked for at once.
const MAX_ASKED: usize = 4_096;
/// Leases that wait for the chain of their signer, in all and for one chain.
const MAX_WAITING: usize = 8_192;
const MAX_WAITING_FOR_ONE: usize = 16;
/// When a chain that did not come is asked for again, of whoever then tells of it.
const ASK_AGAIN_MS: u64 = 5_000;

#[derive(Debug)]
struct Chain {
    certificates: Vec<Vec<u8>>,
    /// `None`: not judged since trust changed.
    judged: Option<Result<LeaseSigner, &'static str>>,
    used_ms: u64,
}

#[derive(Debug, Default)]
struct Asked {
    at_ms: u64,
    waiting: Vec<(LeaseClaim, PeerKey)>,
}

/// What is known of the signer of a lease.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing: its chain is to be fetched.
    Nothing,
    /// It is not to be believed; the name of a counter.
    Refused(&'static str),
    /// Who it is.
    Signer(LeaseSigner),
}

#[derive(Debug, Default)]
pub(crate) struct Proofs {
    chains: BTreeMap<ChainId, Chain>,
    asked: BTreeMap<ChainId, Asked>,
    waiting: usize,
}

impl Proofs {
    /// Whose chain `id` names, judged now if it was not yet.
    pub(crate) fn signer(
        &mut self,
        id: ChainId,
        keys: &dyn LeaseKeys,
        mono_ms: u64,
        wall: Millis,
    ) -> Known {
        let Some(chain) = self.chains.get_mut(&id) else { return Known::Nothing };
        chain.used_ms = mono_ms;
        let judged = chain.judged.get_or_insert_with(|| keys.judge(&chain.certificates, wall));
        match judged {
            Ok(signer) if wall > signer.until => Known::Refused("leases_of_expired"),
            Ok(signer) => Known::Signer(signer.clone()),
            Err(counter) => Known::Refused(counter),
        }
    }

    /// Keeps a lease until the chain of its signer is here. Whether the chain is to be asked for now; an
    /// error names the counter of what was dropped.
    pub(crate) fn wait(
        &mut self,
        claim: LeaseClaim,
        from: PeerKey,
        id: ChainId,
        mono_ms: u64,
    ) -> Result<bool, &'static str> {
        if self.waiting >= MAX_WAITING
            || self.asked.len() >= MAX_ASKED && !self.asked.contains_key(&id)
        {
            return Err("leases_unproven_dropped");
        }
        let new = !self.asked.contains_key(&id);
        let asked = self.asked.entry(id).or_default();
        let ask = new || mono_ms.saturating_sub(asked.at_ms) >= ASK_AGAIN_MS;
        if ask {
            asked.at_ms = mono_ms;
        }
        // Of one node and tenant only the latest matters.
        let same = |held: &LeaseClaim| {
            (&held.site, &held.node, &held.tenant) == (&claim.site, &claim.node, &claim.tenant)
        };
        if let Some(held) = asked.waiting.iter_mut().find(|(held, _)| same(held)) {
            *held = (claim, from);
        } else if asked.waiting.len() < MAX_WAITING_FOR_ONE {
            asked.waiting.push((claim, from));
            self.waiting += 1;
        } else {
            return Err("leases_unproven_dropped");
        }
        Ok(ask)
    }

    /// A chain came; the leases that waited for it. `None` if nobody asked for it.
    pub(crate) fn came(
        &mut self,
        certificates: Vec<Vec<u8>>,
        mono_ms: u64,
    ) -> Option<Vec<(LeaseClaim, PeerKey)>> {
        let id = ChainId::of(&certificates);
        let asked = self.asked.remove(&id)?;
        self.waiting -= asked.waiting.len();
        if self.chains.len() >= MAX_CHAINS {
            let oldest = self.chains.iter().min_by_key(|(_, chain)| chain.used_ms);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.chains.remove(&oldest);
            }
        }
        self.chains.insert(id, Chain { certificates, judged: None, used_ms: mono_ms });
        Some(asked.waiting)
    }

    /// A chain, for whoever asks.
    pub(crate) fn chain(&self, id: &ChainId) -> Option<&Vec<Vec<u8>>> {
        self.chains.get(id).map(|chain| &chain.certificates)
    }

    /// What this node trusts has changed: all are judged anew when they are next met.
    pub(crate) fn judge_anew(&mut self) {
        self.chains.values_mut().for_each(|chain| chain.judged = None);
    }

    /// Gives up what did not come for long.
    pub(crate) fn tick(&mut self, mono_ms: u64) {
        let waiting = &mut self.waiting;
        self.asked.retain(|_, asked| {
            let keep = mono_ms.saturating_sub(asked.at_ms) < 12 * ASK_AGAIN_MS;
            if !keep {
                *waiting -= asked.waiting.len();
            }
            keep
        });
    }

    pub(crate) fn footprint(&self, all: &mut Footprint, claim: usize) {
        all.part("lease_chains", self.chains.len(), MAX_CHAINS, 1_024);
        all.part("lease_chains_asked", self.asked.len(), MAX_ASKED, 64);
        all.part("leases_unproven", self.waiting, MAX_WAITING, claim);
    }
}
