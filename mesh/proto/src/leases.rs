//! Leases: "everything I hold open of this tenant is true as of t". Gossiped, never stored.
//!
//! A claim is signed by the node that it speaks of ([`crate::LeaseKeys`]); one that is not comes from an
//! older release and never takes the place of one that is. Claims are ordered by (generation, sequence) of the claimant and not by the time claimed, so that a
//! clock that was ahead and is set right does not leave a claim behind that nothing can replace.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::{Millis, NodeName, SiteId, TenantId};

use crate::wire::{ChainId, LEASES_SENT, LeaseClaim, LeaseProof};
use crate::{Counters, LeaseKeys, LeaseView, PeerKey};

/// How far a claim may lie in the receiver's future before it is held to be a clock that is off.
pub const MAX_AHEAD_MS: u64 = 5 * 60 * 1_000;
/// Most leases held.
pub(crate) const MAX_HELD: usize = 65_536;

type Key = (TenantId, SiteId, NodeName);

#[derive(Debug, Clone)]
struct Held {
    claim: LeaseClaim,
    /// Never after the moment of receipt, never before what held until then.
    as_of: Millis,
    claims_future: bool,
    /// The claimant's signature was verified here, or the claim is this node's own.
    proven: bool,
    from: Option<PeerKey>,
}

/// Relays that keep a place for a node, as of one of its claims.
#[derive(Debug)]
struct Places {
    order: (u64, u64),
    relays: Vec<PeerKey>,
}

#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: BTreeMap<Key, Held>,
    dirty: BTreeSet<Key>,
    /// Own claims that nobody was told of yet.
    own: BTreeSet<Key>,
    renewed_ms: u64,
    sequence: u64,
    /// Relays that keep a place for this node.
    relays: Vec<PeerKey>,
    /// Relays that keep a place for others, where they said so.
    places: BTreeMap<(SiteId, NodeName), Places>,
}

impl Leases {
    /// Our own claim.
    pub(crate) fn hold(
        &mut self,
        (site, node, generation): (SiteId, NodeName, u64),
        tenant: TenantId,
        as_of: Millis,
    ) {
        self.sequence += 1;
        let relays = self.relays.clone();
        let sequence = self.sequence;
        let claim =
            LeaseClaim { site, node, tenant, generation, sequence, as_of, relays, proof: None };
        let key = key(&claim);
        let before = self.held.get(&key).map_or(Millis(0), |held| held.as_of);
        let held = Held {
            claim,
            as_of: before.max(as_of),
            claims_future: false,
            proven: true,
            from: None,
        };
        self.held.insert(key.clone(), held);
        self.own.insert(key);
    }

    /// Relays that keep a place for this node: its next claims say so.
    pub(crate) fn set_relays(&mut self, relays: Vec<PeerKey>) {
        self.relays = relays;
    }

    /// Relays that keep a place for a node, by its own signed word.
    pub(crate) fn relays_of(&self, site: &SiteId, node: &NodeName) -> &[PeerKey] {
        let places = self.places.get(&(site.clone(), node.clone()));
        places.map_or(&[], |places| &places.relays)
    }

    /// Signs the own claims that are about to be told; those that are never told cost nothing.
    pub(crate) fn sign_own(&mut self, keys: &dyn LeaseKeys, counters: &mut Counters) {
        let own = self.held.values_mut().filter(|held| held.from.is_none());
        for held in own.filter(|held| held.claim.proof.is_none()) {
            let signer = ChainId::of(&keys.chain());
            held.claim.proof = keys
                .sign(&held.claim.statement())
                .map(|signature| LeaseProof { signer, signature });
            counters.count("leases_signed");
        }
    }

    /// Own claims made since the last time are news, if that is `pause_ms` ago.
    pub(crate) fn renew(&mut self, pause_ms: u64, mono_ms: u64) {
        if mono_ms >= self.renewed_ms.saturating_add(pause_ms) && !self.own.is_empty() {
            self.renewed_ms = mono_ms;
            self.dirty.append(&mut self.own);
        }
    }

    /// Whether a claim says more than what is held: a later one does, and a signed one in place of one
    /// that is not.
    pub(crate) fn is_news(&self, claim: &LeaseClaim) -> bool {
        let order = |claim: &LeaseClaim| (claim.generation, claim.sequence);
        self.held.get(&key(claim)).is_none_or(|held| {
            let proves = claim.proof.is_some() && !held.proven;
            proves || order(claim) > order(&held.claim)
        })
    }

    /// Whether a signed claim of this node for this tenant is held.
    pub(crate) fn is_proven(&self, claim: &LeaseClaim) -> bool {
        self.held.get(&key(claim)).is_some_and(|held| held.proven)
    }

    /// Takes a claim that `from` passed on and that is news. `proven`: its signature was verified.
    pub(crate) fn hear(
        &mut self,
        claim: LeaseClaim,
        proven: bool,
        from: PeerKey,
        wall: Millis,
        counters: &mut Counters,
    ) -> bool {
        let key = key(&claim);
        let before = self.held.get(&key);
        if before.is_none() && self.held.len() >= MAX_HELD {
            counters.count("leases_dropped");
            return false;
        }
        let claims_future = claim.as_of > wall + MAX_AHEAD_MS;
        if claims_future {
            counters.count("leases_from_the_future");
        }
        // What nobody signed may have been made up: it holds nothing back.
        let before = before.filter(|held| held.proven || !proven);
        let as_of = before.map_or(Millis(0), |held| held.as_of).max(claim.as_of.min(wall));
        self.note_places(&claim, proven);
        let held = Held { claim, as_of, claims_future, proven, from: Some(from) };
        self.held.insert(key.clone(), held);
        self.dirty.insert(key);
        true
    }

    fn note_places(&mut self, claim: &LeaseClaim, proven: bool) {
        let name = (claim.site.clone(), claim.node.clone());
        let order = (claim.generation, claim.sequence);
        if self.places.get(&name).is_some_and(|places| places.order >= order) || !proven {
            return;
        }
        if claim.relays.is_empty() {
            self.places.remove(&name);
        } else if self.places.len() < MAX_HELD {
            self.places.insert(name, Places { order, relays: claim.relays.clone() });
        }
    }

    /// Messages for `peer` with what changed since the last [`Leases::sent`], without what came from
    /// the peer itself and without tenants that it may not know.
    pub(crate) fn news_for(
        &self,
        peer: PeerKey,
        signed: bool,
        allowed: impl Fn(&TenantId) -> bool,
    ) -> Vec<Vec<LeaseClaim>> {
        let news = self.dirty.iter().filter_map(|key| self.held.get(key));
        batches(news.filter(|held| held.from != Some(peer)), signed, allowed)
    }

    /// Everything, for a peer that was just connected. `signed`: it knows what that is.
    pub(crate) fn all_for(
        &self,
        signed: bool,
        allowed: impl Fn(&TenantId) -> bool,
    ) -> Vec<Vec<LeaseClaim>> {
        batches(self.held.values(), signed, allowed)
    }

    /// Lets go of leases.
    pub(crate) fn forget(&mut self, gone: impl Fn(&LeaseClaim) -> bool) {
        let held = &mut self.held;
        held.retain(|_, held| !gone(&held.claim));
        self.dirty.retain(|key| held.contains_key(key));
        let named: BTreeSet<_> = held.keys().map(|(_, site, node)| (site, node)).collect();
        self.places.retain(|(site, node), _| named.contains(&(site, node)));
    }

    pub(crate) fn sent(&mut self) {
        self.dirty.clear();
    }

    pub(crate) fn has_news(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Leases whose claimant's signature was verified: nobody can make these up.
    pub(crate) fn proven(&self) -> usize {
        self.held.values().filter(|held| held.proven).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn view(&self) -> Vec<LeaseView> {
        let view = |held: &Held| LeaseView {
            tenant: held.claim.tenant.clone(),
            site: held.claim.site.clone(),
            node: held.claim.node.clone(),
            as_of: held.as_of,
            claims_future: held.claims_future,
            signed: held.proven,
        };
        self.held.values().map(view).collect()
    }
}

fn key(claim: &LeaseClaim) -> Key {
    (claim.tenant.clone(), claim.site.clone(), claim.node.clone())
}

fn batches<'a>(
    held: impl Iterator<Item = &'a Held>,
    signed: bool,
    allowed: impl Fn(&TenantId) -> bool,
) -> Vec<Vec<LeaseClaim>> {
    let told = |claim: &LeaseClaim| if signed { claim.clone() } else { claim.bare() };
    let claims: Vec<LeaseClaim> =
        held.filter(|held| allowed(&held.claim.tenant)).map(|held| told(&held.claim)).collect();
    claims.chunks(LEASES_SENT).map(<[LeaseClaim]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(generation: u64, sequence: u64, as_of: u64) -> LeaseClaim {
        LeaseClaim {
            site: SiteId::new("tokyo").expect("valid"),
            node: NodeName::new("a").expect("valid"),
            tenant: TenantId::new("acme").expect("valid"),
            generation,
            sequence,
            as_of: Millis(as_of),
            relays: Vec::new(),
            proof: None,
        }
    }

    #[test]
    fn a_claim_from_the_future_is_clamped_flagged_and_replaceable() {
        let (mut leases, mut counters) = (Leases::default(), Counters::default());
        let from = PeerKey([1; 34]);
        let now = Millis(10_000_000);
        assert!(leases.hear(claim(1, 1, now.0 + 3_600_000), false, from, now, &mut counters));
        let view = leases.view();
        assert!(view[0].claims_future && view[0].as_of == now);
        assert_eq!(counters.of("leases_from_the_future"), 1);
        // The clock was set right: a smaller time in a later claim counts, and time never runs back.
        let later = now + 1_000;
        assert!(leases.hear(claim(1, 2, later.0 - 10), false, from, later, &mut counters));
        let view = leases.view();
        assert!(!view[0].claims_future);
        assert_eq!(view[0].as_of, later - 10);
        assert!(leases.hear(claim(2, 1, 5), false, from, later, &mut counters));
        assert_eq!(leases.view()[0].as_of, later - 10, "monotone");
        assert!(!leases.is_news(&claim(2, 1, 6)), "heard already");
    }

    #[test]
    fn news_goes_to_whom_it_did_not_come_from_and_who_may_know() {
        let (mut leases, mut counters) = (Leases::default(), Counters::default());
        let from = PeerKey([1; 34]);
        leases.hear(claim(1, 1, 5), false, from, Millis(10), &mut counters);
        assert!(leases.news_for(from, true, |_| true).is_empty());
        assert_eq!(leases.news_for(PeerKey([2; 34]), true, |_| true).len(), 1);
        assert!(leases.news_for(PeerKey([2; 34]), true, |_| false).is_empty());
        leases.sent();
        assert!(leases.news_for(PeerKey([2; 34]), true, |_| true).is_empty());
        assert_eq!(leases.all_for(true, |_| true).len(), 1);
    }
}
