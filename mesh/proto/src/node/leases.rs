//! Leases as they come and go: who may hear of them, and whether they are proven.

use holm_model::TenantId;
use rand::seq::SliceRandom;

use super::overlay::ALL;
use super::{Action, MeshNode};
use crate::proofs::Known;
use crate::wire::{ChainId, Control, LeaseClaim, MAX_CHAIN_IDS, MAX_CHAINS, fits};
use crate::{DocumentStore, LeaseKeys, Now, PeerKey};

/// The first version in which leases are signed.
pub(super) const SIGNED_SINCE: u32 = 4;
/// Above a few members, own leases are told to others once in so many milliseconds a member: so many
/// leases a second reach each node, however many members there are. One costs its three copies of 200
/// bytes: 1.2 KB a second of the 2 KiB that a quiet node may send.
const LEASE_MS_PER_MEMBER: u64 = 500;
/// A member counts for that pace only as far as leases that are proven speak for it: members that a
/// liar made up have none. A mesh that has just met has few yet, and one that is upgraded too.
const MEMBERS_A_LEASE: u64 = 4;
const MEMBERS_BESIDE: u64 = 2 * ALL as u64;
/// Leases of others wait so many milliseconds a member for more of them.
const LEASE_BATCH_MS_PER_MEMBER: u64 = 10;
const LEASE_BATCH_MAX_MS: u64 = 5_000;
/// Neighbours that are told.
const LEASE_FAN_OUT: usize = 3;
/// Nodes that a lease passes on its way, each of which waits for a batch: 3 to the 8th is above 4,096.
const LEASE_HOPS: u64 = 8;
/// Of all nodes, so few miss a lease twice in a row that a third time need not be waited for.
const LEASES_MISSED: u64 = 2;
/// Signatures of a peer's leases that are looked at at once, and a second for ever. One costs about 0.1 ms.
pub(super) const PROOFS_AT_ONCE: u64 = 4_096;
pub(super) const PROOFS_A_SECOND: u64 = 100;
/// What a signature that does not hold costs, in others that are not looked at.
const FORGED_COSTS: u64 = 64;

impl MeshNode {
    /// Leases are signed and judged with these from now on. Say it before the first event.
    pub fn sign_leases_with(&mut self, keys: Box<dyn LeaseKeys>) {
        self.lease_keys = Some(keys);
    }

    /// Relays that keep a place for the node `peer`, by its own word.
    pub fn relays_of(&self, peer: PeerKey) -> &[PeerKey] {
        let Some(known) = self.membership.known(peer) else { return &[] };
        self.leases.relays_of(&known.id.site, &known.id.node)
    }

    /// Everything at once, for a peer that is new here or has been away.
    pub(super) fn tell_all_leases(
        &mut self,
        peer: PeerKey,
        store: &dyn DocumentStore,
        out: &mut Vec<Action>,
    ) {
        self.sign_own_leases();
        let signed = self.speaks_signed(peer);
        let Some(link) = self.links.get(&peer) else { return };
        let may = |tenant: &TenantId| store.may_replicate(&link.hello.site, tenant);
        for leases in self.leases.all_for(signed, may) {
            out.push(Action::Send { peer, message: Control::Leases(leases) });
        }
    }

    /// By how much a lease of a member that is well may be older than one that is told at once, in
    /// milliseconds: what the pace of this mesh makes of it. 0 among a few members.
    pub const fn leases_due_ms(&self) -> u64 {
        self.leases_due_ms
    }

    /// Passes news of leases on to a few neighbours, the more rarely the more members there are: what
    /// a lease costs grows with their number, and a later claim makes up for one that was not heard.
    pub(super) fn spread_leases(
        &mut self,
        now: Now,
        store: &dyn DocumentStore,
        out: &mut Vec<Action>,
    ) {
        let up = self.membership.count_up() as u64;
        let (own_ms, batch_ms) = if up <= ALL as u64 {
            (0, 0)
        } else {
            let paced = up.min(MEMBERS_BESIDE + MEMBERS_A_LEASE * self.leases.proven() as u64);
            (paced * LEASE_MS_PER_MEMBER, (up * LEASE_BATCH_MS_PER_MEMBER).min(LEASE_BATCH_MAX_MS))
        };
        self.leases_due_ms = LEASES_MISSED * own_ms + LEASE_HOPS * batch_ms;
        self.proofs.tick(now.mono_ms);
        self.leases.renew(own_ms, now.mono_ms);
        if !self.leases.has_news() || now.mono_ms < self.next_leases_ms {
            return;
        }
        self.next_leases_ms = now.mono_ms.saturating_add(batch_ms);
        let mut peers: Vec<PeerKey> = self.broadcast.settled().collect();
        if up > ALL as u64 {
            peers.shuffle(&mut self.rng);
            peers.truncate(LEASE_FAN_OUT);
        }
        self.sign_own_leases();
        for peer in peers {
            let signed = self.speaks_signed(peer);
            let Some(link) = self.links.get(&peer) else { continue };
            let allowed = |tenant: &TenantId| store.may_replicate(&link.hello.site, tenant);
            for leases in self.leases.news_for(peer, signed, allowed) {
                out.push(Action::Send { peer, message: Control::Leases(leases) });
            }
        }
        self.leases.sent();
    }

    pub(super) fn leases_came(
        &mut self,
        peer: PeerKey,
        claims: Vec<LeaseClaim>,
        now: Now,
        store: &dyn DocumentStore,
        out: &mut Vec<Action>,
    ) {
        let mut wanted = Vec::new();
        for claim in claims {
            // A claim in the name of nobody would hold a place that somebody needs.
            if !self.membership.has_name(&claim.site, &claim.node) {
                self.counters.count("leases_of_strangers");
            } else if self.forgotten.covers(&claim.site, &claim.node, claim.generation) {
                self.counters.count("leases_of_gone");
            } else if self.may_hear(peer, &claim.tenant, store) && self.leases.is_news(&claim) {
                self.lease_came(peer, claim, now, &mut wanted);
            }
        }
        wanted.dedup();
        for ids in wanted.chunks(MAX_CHAIN_IDS) {
            out.push(Action::Send { peer, message: Control::ChainsWanted(ids.to_vec()) });
        }
    }

    /// A claim that is news: taken if its signature holds, put aside while the signer is not known.
    fn lease_came(
        &mut self,
        from: PeerKey,
        claim: LeaseClaim,
        now: Now,
        wanted: &mut Vec<ChainId>,
    ) {
        let Some(keys) = &self.lease_keys else {
            self.leases.hear(claim, false, from, now.wall, &mut self.counters);
            return;
        };
        let Some(id) = claim.proof.as_ref().map(|proof| proof.signer) else {
            return self.unsigned_lease_came(from, claim, now);
        };
        match self.proofs.signer(id, &**keys, now.mono_ms, now.wall) {
            Known::Refused(counter) => self.counters.count(counter),
            Known::Nothing => match self.proofs.wait(claim, from, id, now.mono_ms) {
                Ok(true) => wanted.push(id),
                Ok(false) => {}
                Err(counter) => self.counters.count(counter),
            },
            Known::Signer(signer) => {
                if self.is_signed_by(from, &claim, &signer, now) {
                    self.leases.hear(claim, true, from, now.wall, &mut self.counters);
                }
            }
        }
    }

    fn is_signed_by(
        &mut self,
        from: PeerKey,
        claim: &LeaseClaim,
        signer: &crate::LeaseSigner,
        now: Now,
    ) -> bool {
        let Some((keys, proof)) = self.lease_keys.as_ref().zip(claim.proof.as_ref()) else {
            return false;
        };
        if (&signer.site, &signer.node) != (&claim.site, &claim.node) {
            self.counters.count("leases_of_another");
            return false;
        }
        // Whoever went meanwhile has no budget left to protect.
        let mut budget = self.links.get_mut(&from).map(|link| &mut link.proofs);
        if budget.as_mut().is_some_and(|budget| !budget.takes(1, now.mono_ms)) {
            self.counters.count("leases_over_quota");
            return false;
        }
        let holds = keys.verifies(signer, &claim.statement(), &proof.signature);
        if !holds {
            if let Some(budget) = budget {
                budget.takes(FORGED_COSTS, now.mono_ms);
            }
            self.counters.count("leases_forged");
        }
        holds
    }

    /// Nodes of older releases do not sign: their word is taken as it always was, but never in place of
    /// a signed one, except from the node itself, which has gone back to an older release.
    fn unsigned_lease_came(&mut self, from: PeerKey, claim: LeaseClaim, now: Now) {
        let itself = self
            .links
            .get(&from)
            .is_some_and(|link| link.hello.site == claim.site && link.hello.node == claim.node);
        if self.leases.is_proven(&claim) && (!itself || self.speaks_signed(from)) {
            self.counters.count("leases_unsigned_refused");
            return;
        }
        self.counters.count("leases_unsigned");
        self.leases.hear(claim, false, from, now.wall, &mut self.counters);
    }

    pub(super) fn chains_wanted(&self, peer: PeerKey, ids: &[ChainId], out: &mut Vec<Action>) {
        let own = self.lease_keys.as_ref().map(|keys| keys.chain());
        let own = own.map(|chain| (ChainId::of(&chain), chain));
        let find = |id: &ChainId| {
            let own = own.as_ref().filter(|(own, _)| own == id).map(|(_, chain)| chain);
            own.or_else(|| self.proofs.chain(id)).cloned()
        };
        let found: Vec<_> = ids.iter().filter_map(find).filter(|chain| fits(chain)).collect();
        for chains in found.chunks(MAX_CHAINS) {
            out.push(Action::Send { peer, message: Control::Chains(chains.to_vec()) });
        }
    }

    pub(super) fn chains_came(&mut self, chains: Vec<Vec<Vec<u8>>>, now: Now) {
        for chain in chains {
            let Some(waiting) = self.proofs.came(chain, now.mono_ms) else {
                self.counters.count("chains_not_asked_for");
                continue;
            };
            for (claim, from) in waiting {
                if self.leases.is_news(&claim) {
                    // The chain is here: nothing more is wanted.
                    self.lease_came(from, claim, now, &mut Vec::new());
                }
            }
        }
    }

    fn sign_own_leases(&mut self) {
        if let Some(keys) = &self.lease_keys {
            self.leases.sign_own(&**keys, &mut self.counters);
        }
    }

    pub(super) fn speaks_signed(&self, peer: PeerKey) -> bool {
        let version = |link: &super::links::Link| link.hello.version_with(self.protocol_max);
        self.protocol_max >= SIGNED_SINCE
            && self.links.get(&peer).is_some_and(|link| version(link) >= SIGNED_SINCE)
    }
}
