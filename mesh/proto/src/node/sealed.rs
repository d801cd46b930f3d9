//! Hints are sealed when they leave and opened when they come: whoever passes one on or gets it by
//! mistake, and may not replicate its tenant, learns neither documents nor of which tenant it is.
//!
//! Sealed anew at each node, for who passes hints on has the key anyway. With peers of protocol version
//! 2, and for what the whole mesh may know, hints go as they are.

use std::collections::BTreeMap;

use holm_model::TenantId;

use super::{Action, MeshNode};
use crate::wire::{Control, HintBody};
use crate::{DocumentStore, Now, PeerKey};

/// The first version in which hints are sealed.
const SEALED_SINCE: u32 = 3;

impl MeshNode {
    /// Sends what the broadcast tree wants sent, hints of tenants sealed.
    pub(super) fn send_hints(
        &mut self,
        sends: Vec<(PeerKey, Control)>,
        store: &dyn DocumentStore,
        out: &mut Vec<Action>,
    ) {
        // One hint goes to many: it is sealed once.
        let mut sealed = BTreeMap::new();
        for (peer, message) in sends {
            if let Some(message) = self.dressed(peer, message, store, &mut sealed) {
                out.push(Action::Send { peer, message });
            }
        }
    }

    fn dressed(
        &mut self,
        peer: PeerKey,
        message: Control,
        store: &dyn DocumentStore,
        sealed: &mut BTreeMap<(TenantId, HintBody), Option<Vec<u8>>>,
    ) -> Option<Control> {
        let (version, origin) = match &message {
            Control::Gossip { hint, .. } => (&hint.version, Some(hint.origin)),
            Control::Stored(version) => (version, None),
            _ => return Some(message),
        };
        let Some(keys) = store.hint_keys().filter(|keys| !keys.is_open(&version.tenant)) else {
            return Some(message);
        };
        if !self.speaks_sealed(peer) {
            self.counters.count("hints_sent_unsealed");
            return Some(message);
        }
        let now = self.latest?.wall;
        let body = HintBody::of(version, origin);
        let made = sealed
            .entry((version.tenant.clone(), body))
            .or_insert_with(|| keys.seal(&version.tenant, &body.to_bytes(), now));
        let Some(bytes) = made.clone() else {
            self.counters.count("hints_without_key");
            return None;
        };
        Some(match message {
            Control::Gossip { hops, .. } => Control::SealedGossip { sealed: bytes, hops },
            _ => Control::SealedStored(bytes),
        })
    }

    fn speaks_sealed(&self, peer: PeerKey) -> bool {
        let version = |link: &super::links::Link| link.hello.version_with(self.protocol_max);
        self.links.get(&peer).is_some_and(|link| version(link) >= SEALED_SINCE)
    }

    /// What a sealed hint says, and of which tenant.
    pub(super) fn opened(
        &mut self,
        sealed: &[u8],
        now: Now,
        store: &dyn DocumentStore,
    ) -> Option<(TenantId, HintBody)> {
        let opened = match store.hint_keys() {
            Some(keys) => keys.open(sealed, now.wall),
            None => Err("hints_no_key"),
        };
        let read = opened.and_then(|(tenant, bytes)| {
            HintBody::from_bytes(&bytes).map(|body| (tenant, body)).map_err(|_| "hints_malformed")
        });
        read.map_err(|counter| self.counters.count(counter)).ok()
    }

    /// Whether a hint of `tenant` may come from `peer` as it is.
    pub(super) fn may_come_open(
        &mut self,
        peer: PeerKey,
        tenant: &TenantId,
        store: &dyn DocumentStore,
    ) -> bool {
        let must_be_sealed = store.hint_keys().is_some_and(|keys| !keys.is_open(tenant));
        if must_be_sealed && self.speaks_sealed(peer) {
            self.counters.count("hints_unsealed");
            return false;
        }
        true
    }
}
