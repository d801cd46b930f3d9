//! Versions that are being fetched: each from one peer at a time, and from the next that holds it if that one
//! did not give it, or not soon.

use std::collections::BTreeMap;

use holm_model::{DocId, DocVersion, HeadsDigest, TenantId};

use crate::{Footprint, PeerKey};

/// Versions that are looked after; others are asked for wherever they are said to be.
const MAX_FETCHES: usize = 4_096;
/// Peers that are remembered for each, beside the one that is asked.
const MAX_OTHERS: usize = 4;
/// So long one peer is waited for while others hold a version too: most answer within it.
const PATIENCE_MS: u64 = 60;

#[derive(Debug)]
struct Fetch {
    heads: HeadsDigest,
    from: PeerKey,
    /// When it was asked.
    since_ms: u64,
    /// Who holds it too.
    others: Vec<PeerKey>,
}

impl Fetch {
    /// Goes on to the next that is linked, if there is one.
    fn turn(&mut self, is_linked: impl Fn(PeerKey) -> bool, mono_ms: u64) -> Option<PeerKey> {
        self.others.retain(|other| is_linked(*other));
        if self.others.is_empty() {
            return None;
        }
        self.from = self.others.remove(0);
        self.since_ms = mono_ms;
        Some(self.from)
    }
}

#[derive(Debug, Default)]
pub(super) struct Fetches(BTreeMap<(DocId, TenantId), Fetch>);

impl Fetches {
    /// Whether `peer` is to be asked for a version now; if another one is asked already, it is remembered.
    pub(super) fn begin(&mut self, peer: PeerKey, version: &DocVersion, mono_ms: u64) -> bool {
        let key = (version.doc, version.tenant.clone());
        if let Some(fetch) = self.0.get_mut(&key).filter(|fetch| fetch.heads == version.heads) {
            if fetch.others.len() < MAX_OTHERS && !fetch.others.contains(&peer) {
                fetch.others.push(peer);
            }
            return false;
        }
        if self.0.len() < MAX_FETCHES || self.0.contains_key(&key) {
            let others = Vec::new();
            let fetch = Fetch { heads: version.heads, from: peer, since_ms: mono_ms, others };
            self.0.insert(key, fetch);
        }
        true
    }

    /// The version is here.
    pub(super) fn came(&mut self, version: &DocVersion) {
        let key = (version.doc, version.tenant.clone());
        if self.0.get(&key).is_some_and(|fetch| fetch.heads == version.heads) {
            self.0.remove(&key);
        }
    }

    /// Nothing more comes from `peer`, of one tenant or of any, but for what `waits` says: whom to ask in its
    /// place.
    pub(super) fn ended(
        &mut self,
        peer: PeerKey,
        tenant: Option<&TenantId>,
        waits: impl Fn(&TenantId, &DocId) -> bool,
        is_linked: impl Fn(PeerKey) -> bool,
        mono_ms: u64,
    ) -> Vec<(PeerKey, TenantId, DocId)> {
        let mut next = Vec::new();
        self.0.retain(|(doc, of), fetch| {
            let is_other = fetch.from != peer || tenant.is_some_and(|tenant| tenant != of);
            if is_other || waits(of, doc) {
                return true;
            }
            let turned = fetch.turn(&is_linked, mono_ms);
            next.extend(turned.map(|from| (from, of.clone(), *doc)));
            turned.is_some()
        });
        next
    }

    /// What was waited for long enough: whom to ask besides.
    pub(super) fn overdue(
        &mut self,
        is_linked: impl Fn(PeerKey) -> bool,
        mono_ms: u64,
    ) -> Vec<(PeerKey, TenantId, DocId)> {
        let mut next = Vec::new();
        for ((doc, tenant), fetch) in &mut self.0 {
            if mono_ms.saturating_sub(fetch.since_ms) >= PATIENCE_MS {
                let turned = fetch.turn(&is_linked, mono_ms);
                next.extend(turned.map(|from| (from, tenant.clone(), *doc)));
            }
        }
        next
    }

    pub(super) fn footprint(&self, all: &mut Footprint, text: usize) {
        all.part("fetches", self.0.len(), MAX_FETCHES, 128 + MAX_OTHERS * 34 + text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(byte: u8) -> PeerKey {
        PeerKey([byte; 34])
    }

    fn version(doc: u8, heads: u8) -> DocVersion {
        DocVersion {
            tenant: TenantId::new("acme").expect("valid"),
            doc: DocId([doc; 16]),
            heads: HeadsDigest([heads; 16]),
            changed_at: Default::default(),
        }
    }

    #[test]
    fn a_version_is_asked_for_at_one_peer_and_then_at_the_next() {
        let mut fetches = Fetches::default();
        assert!(fetches.begin(peer(1), &version(1, 1), 0));
        for other in [2, 3, 2] {
            assert!(!fetches.begin(peer(other), &version(1, 1), 0), "it is asked for");
        }
        let all = |_| true;
        let waits = |_: &TenantId, _: &DocId| false;
        assert!(fetches.ended(peer(2), None, waits, all, 0).is_empty(), "nobody asked that one");
        let waiting = |_: &TenantId, _: &DocId| true;
        assert!(fetches.ended(peer(1), None, waiting, all, 0).is_empty(), "it is yet to be asked");
        // The second is gone meanwhile.
        let next = fetches.ended(peer(1), None, waits, |other| other != peer(2), 0);
        assert_eq!(next.iter().map(|(from, ..)| *from).collect::<Vec<_>>(), [peer(3)]);
        assert!(fetches.ended(peer(3), None, waits, all, 0).is_empty(), "nobody is left");
        assert!(fetches.begin(peer(2), &version(1, 1), 0), "whoever says so is asked anew");
        // Whoever does not answer is not waited for while others have it.
        assert!(!fetches.begin(peer(5), &version(1, 1), 0));
        assert!(fetches.overdue(all, PATIENCE_MS - 1).is_empty());
        let next = fetches.overdue(all, PATIENCE_MS);
        assert_eq!(next.iter().map(|(from, ..)| *from).collect::<Vec<_>>(), [peer(5)]);
        assert!(fetches.overdue(all, 10 * PATIENCE_MS).is_empty(), "nobody else has it");
        // A later version is another.
        assert!(fetches.begin(peer(4), &version(1, 2), 0));
        fetches.came(&version(1, 2));
        assert!(fetches.begin(peer(4), &version(1, 2), 0));
    }
}
