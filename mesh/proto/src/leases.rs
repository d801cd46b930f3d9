//! Leases: "everything I hold open of this tenant is true as of t". Gossiped, never stored.
//!
//! Claims are ordered by (generation, sequence) of the claimant and not by the time claimed, so that a
//! clock that was ahead and is set right does not leave a claim behind that nothing can replace.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::{Millis, NodeName, SiteId, TenantId};

use crate::wire::{LeaseClaim, MAX_LEASES};
use crate::{Counters, LeaseView, PeerKey};

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
    from: Option<PeerKey>,
}

#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: BTreeMap<Key, Held>,
    dirty: BTreeSet<Key>,
    /// Own claims that nobody was told of yet.
    own: BTreeSet<Key>,
    renewed_ms: u64,
    sequence: u64,
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
        let claim = LeaseClaim { site, node, tenant, generation, sequence: self.sequence, as_of };
        let key = key(&claim);
        let before = self.held.get(&key).map_or(Millis(0), |held| held.as_of);
        let as_of = before.max(as_of);
        self.held.insert(key.clone(), Held { claim, as_of, claims_future: false, from: None });
        self.own.insert(key);
    }

    /// Own claims made since the last time are news, if that is `pause_ms` ago.
    pub(crate) fn renew(&mut self, pause_ms: u64, mono_ms: u64) {
        if mono_ms >= self.renewed_ms.saturating_add(pause_ms) && !self.own.is_empty() {
            self.renewed_ms = mono_ms;
            self.dirty.append(&mut self.own);
        }
    }

    /// A claim that `from` passed on; whether it was news.
    pub(crate) fn hear(
        &mut self,
        claim: LeaseClaim,
        from: PeerKey,
        wall: Millis,
        counters: &mut Counters,
    ) -> bool {
        let key = key(&claim);
        let before = self.held.get(&key);
        let order = |claim: &LeaseClaim| (claim.generation, claim.sequence);
        if before.is_some_and(|held| order(&held.claim) >= order(&claim)) {
            return false;
        }
        if before.is_none() && self.held.len() >= MAX_HELD {
            counters.count("leases_dropped");
            return false;
        }
        let claims_future = claim.as_of > wall + MAX_AHEAD_MS;
        if claims_future {
            counters.count("leases_from_the_future");
        }
        let as_of = before.map_or(Millis(0), |held| held.as_of).max(claim.as_of.min(wall));
        self.held.insert(key.clone(), Held { claim, as_of, claims_future, from: Some(from) });
        self.dirty.insert(key);
        true
    }

    /// Messages for `peer` with what changed since the last [`Leases::sent`], without what came from
    /// the peer itself and without tenants that it may not know.
    pub(crate) fn news_for(
        &self,
        peer: PeerKey,
        allowed: impl Fn(&TenantId) -> bool,
    ) -> Vec<Vec<LeaseClaim>> {
        let news = self.dirty.iter().filter_map(|key| self.held.get(key));
        batches(news.filter(|held| held.from != Some(peer)), allowed)
    }

    /// Everything, for a peer that was just connected.
    pub(crate) fn all_for(&self, allowed: impl Fn(&TenantId) -> bool) -> Vec<Vec<LeaseClaim>> {
        batches(self.held.values(), allowed)
    }

    pub(crate) fn sent(&mut self) {
        self.dirty.clear();
    }

    pub(crate) fn has_news(&self) -> bool {
        !self.dirty.is_empty()
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
        };
        self.held.values().map(view).collect()
    }
}

fn key(claim: &LeaseClaim) -> Key {
    (claim.tenant.clone(), claim.site.clone(), claim.node.clone())
}

fn batches<'a>(
    held: impl Iterator<Item = &'a Held>,
    allowed: impl Fn(&TenantId) -> bool,
) -> Vec<Vec<LeaseClaim>> {
    let claims: Vec<LeaseClaim> =
        held.filter(|held| allowed(&held.claim.tenant)).map(|held| held.claim.clone()).collect();
    claims.chunks(MAX_LEASES).map(<[LeaseClaim]>::to_vec).collect()
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
        }
    }

    #[test]
    fn a_claim_from_the_future_is_clamped_flagged_and_replaceable() {
        let (mut leases, mut counters) = (Leases::default(), Counters::default());
        let from = PeerKey([1; 34]);
        let now = Millis(10_000_000);
        assert!(leases.hear(claim(1, 1, now.0 + 3_600_000), from, now, &mut counters));
        let view = leases.view();
        assert!(view[0].claims_future && view[0].as_of == now);
        assert_eq!(counters.of("leases_from_the_future"), 1);
        // The clock was set right: a smaller time in a later claim counts, and time never runs back.
        let later = now + 1_000;
        assert!(leases.hear(claim(1, 2, later.0 - 10), from, later, &mut counters));
        let view = leases.view();
        assert!(!view[0].claims_future);
        assert_eq!(view[0].as_of, later - 10);
        assert!(leases.hear(claim(2, 1, 5), from, later, &mut counters));
        assert_eq!(leases.view()[0].as_of, later - 10, "monotone");
        assert!(!leases.hear(claim(2, 1, 6), from, later, &mut counters), "heard already");
    }

    #[test]
    fn news_goes_to_whom_it_did_not_come_from_and_who_may_know() {
        let (mut leases, mut counters) = (Leases::default(), Counters::default());
        let from = PeerKey([1; 34]);
        leases.hear(claim(1, 1, 5), from, Millis(10), &mut counters);
        assert!(leases.news_for(from, |_| true).is_empty());
        assert_eq!(leases.news_for(PeerKey([2; 34]), |_| true).len(), 1);
        assert!(leases.news_for(PeerKey([2; 34]), |_| false).is_empty());
        leases.sent();
        assert!(leases.news_for(PeerKey([2; 34]), |_| true).is_empty());
        assert_eq!(leases.all_for(|_| true).len(), 1);
    }
}
