//! Hints by Plumtree (Leitão, Pereira, Rodrigues: "Epidemic Broadcast Trees", SRDS 2007): whole
//! messages along a tree of eager links, ids along the others, and a repair when an id comes without
//! its message. A hint may be lost; nothing but speed depends on it.

mod ids;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holm_model::TenantId;

use crate::wire::{Control, Hint, HintId};
use crate::{Counters, Footprint, PeerKey};
use ids::Missing;
use sources::{QUIET_HINTS, REGAIN_MS, Source};

/// Hints remembered, to know what was seen and to answer grafts.
const MAX_SEEN: usize = 8_192;
/// Hints of which only the id is known.
const MAX_MISSING: usize = 4_096;
/// Announcers remembered of each of those, and who sent a hint: as many as [`Seen::holding`] has bits.
const MAX_ANNOUNCERS: usize = 8;
/// Ids that wait for the next tick.
const MAX_LAZY: usize = 1_024;
/// Links along which hints are sent whole, unless the other side asked to be spared.
const MAX_EAGER: usize = 24;

#[derive(Debug)]
struct Seen {
    hint: Hint,
    hops: u32,
    /// When it came, if that is not yet counted for whoever sent it first.
    came_ms: Option<u64>,
    /// Who sent the second copy and when, if this node stands alone and that is not yet counted for it.
    second: Option<(PeerKey, u64)>,
    /// A spared link was asked for whole hints because of this one.
    backed: bool,
    /// Who sent it, the first at first.
    heard: Vec<PeerKey>,
    /// Who was sent it.
    told: Vec<PeerKey>,
    /// Of `heard`, by their places: who holds what it tells of.
    holding: u8,
}

#[derive(Debug)]
pub(crate) struct Broadcast {
    eager: BTreeSet<PeerKey>,
    lazy: BTreeSet<PeerKey>,
    /// Links that are not part of the tree: they may not last.
    apart: BTreeSet<PeerKey>,
    sources: BTreeMap<PeerKey, Source>,
    seen: BTreeMap<HintId, Seen>,
    order: VecDeque<HintId>,
    missing: BTreeMap<HintId, Missing>,
    unannounced: Vec<HintId>,
    graft_ms: u64,
    /// Hints that came from others so far.
    fresh: u64,
    /// How many those were when a link was spared last.
    spared_at: u64,
    /// Links to peers that are near.
    near: BTreeSet<PeerKey>,
    /// This node stands alone.
    alone: bool,
}

type Sends = Vec<(PeerKey, Control)>;

impl Seen {
    fn heard(&mut self, from: PeerKey) {
        if self.heard.len() < MAX_ANNOUNCERS && !self.heard.contains(&from) {
            self.heard.push(from);
        }
    }
}

impl Broadcast {
    pub(crate) const fn new(graft_ms: u64) -> Self {
        Self {
            eager: BTreeSet::new(),
            lazy: BTreeSet::new(),
            apart: BTreeSet::new(),
            sources: BTreeMap::new(),
            seen: BTreeMap::new(),
            order: VecDeque::new(),
            missing: BTreeMap::new(),
            unannounced: Vec::new(),
            graft_ms,
            fresh: 0,
            spared_at: 0,
            near: BTreeSet::new(),
            alone: false,
        }
    }

    /// Whether this node has hardly any others near, and which of those that it is connected with are.
    pub(crate) fn set_near(&mut self, alone: bool, near: BTreeSet<PeerKey>) {
        self.alone = alone;
        self.near = near;
    }

    /// A link stands. One that does not count yet takes no part until [`Broadcast::settle`], or until
    /// the peer sends a hint or asks for one.
    pub(crate) fn connected(&mut self, peer: PeerKey, counts: bool) {
        self.disconnected(peer);
        self.apart.insert(peer);
        if counts {
            self.settle(peer);
        }
    }

    /// The link is one to count on.
    pub(crate) fn settle(&mut self, peer: PeerKey) {
        if !self.apart.remove(&peer) {
            return;
        }
        if self.eager.len() < MAX_EAGER {
            self.eager.insert(peer);
        } else {
            self.lazy.insert(peer);
        }
    }

    pub(crate) fn disconnected(&mut self, peer: PeerKey) {
        self.eager.remove(&peer);
        self.lazy.remove(&peer);
        self.apart.remove(&peer);
        self.near.remove(&peer);
        self.sources.remove(&peer);
        self.missing.retain(|_, missing| {
            missing.announcers.retain(|announcer| *announcer != peer);
            !missing.announcers.is_empty()
        });
    }

    /// Peers to count on.
    pub(crate) fn settled(&self) -> impl Iterator<Item = PeerKey> {
        self.eager.iter().chain(&self.lazy).copied()
    }

    /// Peers that were sent this hint from here or sent it: they may be waiting for what it tells of,
    /// also those that sent it, because whoever they asked may have gone. Without a hint, those along
    /// the tree.
    pub(crate) fn waiting_for(&mut self, id: &HintId) -> Vec<PeerKey> {
        let Some(seen) = self.seen.get_mut(id) else { return self.eager.iter().copied().collect() };
        let told = std::mem::take(&mut seen.told);
        let holding = seen.holding;
        let others = (0..).zip(&seen.heard).filter(|(place, _)| holding >> place & 1 == 0);
        let others = others.map(|(_, peer)| peer).filter(|peer| !told.contains(peer));
        others.chain(&told).copied().collect()
    }

    /// The peer holds what a hint tells of: it waits for it no longer.
    pub(crate) fn stored_at(&mut self, id: &HintId, peer: PeerKey) {
        let Some(seen) = self.seen.get_mut(id) else { return };
        seen.told.retain(|told| *told != peer);
        if let Some(place) = seen.heard.iter().position(|heard| *heard == peer) {
            seen.holding |= 1 << place;
        }
    }

    /// A hint of our own.
    pub(crate) fn publish(
        &mut self,
        hint: Hint,
        allowed: impl Fn(PeerKey, &TenantId) -> bool,
        counters: &mut Counters,
    ) -> Sends {
        if self.seen.contains_key(&hint.id()) {
            return Vec::new();
        }
        // Whoever is a leaf for the hints of others was spared by all: its own go to everyone.
        self.spread(hint, 0, None, |_| true, allowed, counters)
    }

    /// A hint from `from`; the hint if it is new, and what to send. It goes whole along the tree, and to
    /// those that asked to be spared and are `beyond`: for what begins here the straight way leads over
    /// this link, however late it brings the hints of others.
    pub(crate) fn gossip(
        &mut self,
        from: PeerKey,
        (hint, hops): (Hint, u32),
        mono_ms: u64,
        beyond: impl Fn(PeerKey) -> bool,
        allowed: impl Fn(PeerKey, &TenantId) -> bool,
        counters: &mut Counters,
    ) -> (Option<Hint>, Sends) {
        let id = hint.id();
        // Also a copy that comes late says that the peer counts on this link.
        self.settle(from);
        if self.seen.contains_key(&id) {
            self.credit(&id, from, mono_ms);
            counters.count("hints_duplicate");
            let spared = self.second_copy(from, hops);
            return (None, spared.then_some((from, Control::Prune)).into_iter().collect());
        }
        // What was on its way when the peer was asked to spare us does not make it a source again.
        self.fresh += 1;
        let source = self.sources.entry(from).or_default();
        source.first += 1;
        source.came(hops, self.fresh);
        let missing = self.missing.remove(&id);
        let mut sends = self.spread(
            hint.clone(),
            hops.saturating_add(1),
            Some(from),
            beyond,
            allowed,
            counters,
        );
        if let Some(seen) = self.seen.get_mut(&id) {
            seen.came_ms = Some(mono_ms);
        }
        let slow = missing.map(|missing| missing.first);
        let slow = slow.filter(|(_, at_ms)| mono_ms.saturating_sub(*at_ms) >= REGAIN_MS);
        if let Some((peer, _)) = slow {
            sends.extend(self.regain(peer, counters));
        }
        if self.fresh.is_multiple_of(QUIET_HINTS / 4) {
            sends.extend(self.revive(counters));
        }
        (Some(hint), sends)
    }

    /// `from` asks for hints and wants them whole from now on.
    pub(crate) fn graft(
        &mut self,
        from: PeerKey,
        ids: &[HintId],
        allowed: impl Fn(PeerKey, &TenantId) -> bool,
    ) -> Sends {
        self.make_eager(from);
        let mut sends = Vec::new();
        for id in ids {
            let Some(seen) = self.seen.get_mut(id) else { continue };
            if allowed(from, &seen.hint.version.tenant) {
                if seen.told.len() < 2 * MAX_EAGER && !seen.told.contains(&from) {
                    seen.told.push(from);
                }
                sends.push((from, Control::Gossip { hint: seen.hint.clone(), hops: seen.hops }));
            }
        }
        sends
    }

    /// `from` has better ways, and wants ids alone.
    pub(crate) fn prune(&mut self, from: PeerKey) {
        if self.eager.remove(&from) {
            self.lazy.insert(from);
        }
    }

    pub(crate) fn footprint(&self, all: &mut Footprint, hint: usize) {
        all.part("hints_seen", self.seen.len(), MAX_SEEN, hint);
        all.part("hints_missing", self.missing.len(), MAX_MISSING, 64 + MAX_ANNOUNCERS * 34);
        all.part("hints_unannounced", self.unannounced.len(), MAX_LAZY, 16);
    }

    fn make_eager(&mut self, peer: PeerKey) {
        // Only links that stand: a message may be the last of a link that was just closed.
        if self.lazy.remove(&peer) || self.apart.remove(&peer) {
            self.eager.insert(peer);
        }
    }

    fn spread(
        &mut self,
        hint: Hint,
        hops: u32,
        except: Option<PeerKey>,
        beyond: impl Fn(PeerKey) -> bool,
        allowed: impl Fn(PeerKey, &TenantId) -> bool,
        counters: &mut Counters,
    ) -> Sends {
        let id = hint.id();
        let sends: Sends = self
            .eager
            .iter()
            .chain(self.lazy.iter().filter(|peer| beyond(**peer)))
            .filter(|peer| Some(**peer) != except && allowed(**peer, &hint.version.tenant))
            .map(|peer| (*peer, Control::Gossip { hint: hint.clone(), hops }))
            .collect();
        let told = sends.iter().map(|(peer, _)| *peer).collect();
        if self.unannounced.len() < MAX_LAZY {
            self.unannounced.push(id);
        } else {
            counters.count("hint_ids_dropped");
        }
        if self.order.len() >= MAX_SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
            counters.count("hints_forgotten");
        }
        self.order.push_back(id);
        self.seen.insert(
            id,
            Seen {
                hint,
                hops,
                came_ms: None,
                second: None,
                backed: false,
                heard: except.into_iter().collect(),
                told,
                holding: 0,
            },
        );
        sends
    }
}
