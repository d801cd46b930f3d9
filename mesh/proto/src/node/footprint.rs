//! How much a node's protocol state takes, by its own account.

use std::mem::size_of;

use super::MeshNode;
use crate::PeerKey;
use crate::wire::{Hint, HintId, LeaseClaim};

/// What a tree or a heap adds to each entry, roughly.
const ENTRY_BYTES: usize = 32;
/// What the texts and lists of a member, a lease or a hint take besides, roughly.
const TEXT_BYTES: usize = 96;

/// Lengths of the maps and queues of a [`MeshNode`], and what they take together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Name, length now, and the bound that it never passes.
    pub parts: Vec<(&'static str, usize, usize)>,
    /// Bytes of all entries, estimated from their types and usual texts.
    pub bytes: u64,
}

impl Footprint {
    pub(crate) fn part(&mut self, name: &'static str, length: usize, bound: usize, each: usize) {
        self.parts.push((name, length, bound));
        self.bytes += (length * (each + ENTRY_BYTES)) as u64;
    }
}

impl MeshNode {
    /// How much this node holds, for tests and metrics.
    pub fn footprint(&self) -> Footprint {
        let mut all = Footprint::default();
        self.membership.footprint(&mut all, TEXT_BYTES);
        all.part(
            "leases",
            self.leases.len(),
            crate::leases::MAX_HELD,
            size_of::<LeaseClaim>() + TEXT_BYTES,
        );
        self.proofs.footprint(&mut all, size_of::<LeaseClaim>() + TEXT_BYTES);
        let hint = size_of::<Hint>() + size_of::<HintId>() + TEXT_BYTES;
        self.broadcast.footprint(&mut all, hint);
        self.schedule.footprint(&mut all, TEXT_BYTES);
        self.fetches.footprint(&mut all, TEXT_BYTES);
        all.part("known_versions", self.known.len(), super::hints::MAX_KNOWN, 64 + TEXT_BYTES);
        let link = size_of::<super::links::Link>() + TEXT_BYTES;
        all.part("links", self.links.len(), super::links::MAX_LINKS, link);
        all.part(
            "last_heard",
            self.last_heard.len(),
            super::links::MAX_HEARD,
            size_of::<PeerKey>() + 8,
        );
        all.part(
            "last_sync",
            self.last_sync.len(),
            super::links::MAX_HEARD,
            size_of::<PeerKey>() + 128,
        );
        let [measured, shunned] = self.overlay.len();
        all.part("measured", measured, super::overlay::MAX_MEASURED, 48);
        all.part("shunned", shunned, super::overlay::MAX_SHUNNED, 48);
        all.part("gone", self.forgotten.len(), super::forgotten::MAX_FORGOTTEN, TEXT_BYTES);
        all.part("lost", self.lost.len(), super::links::MAX_LOST, 48);
        all.part("dials", self.dialer.len(), super::links::MAX_HEARD, 96);
        all
    }
}
