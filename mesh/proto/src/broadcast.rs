//! Hints by Plumtree (Leitão, Pereira, Rodrigues: "Epidemic Broadcast Trees", SRDS 2007): whole
//! messages along a tree of eager links, ids along the others, and a repair when an id comes without
//! its message. A hint may be lost; nothing but speed depends on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holm_model::TenantId;

use crate::wire::{Control, Hint, HintId, MAX_IDS};
use crate::{Counters, PeerKey};

/// Hints remembered, to know what was seen and to answer grafts.
const MAX_SEEN: usize = 8_192;
/// Hints of which only the id is known.
const MAX_MISSING: usize = 4_096;
/// Ids that wait for the next tick.
const MAX_LAZY: usize = 1_024;
/// Links that may start as eager.
const MAX_EAGER: usize = 8;
/// Eager links that a node does not prune itself below: when several hints cross, each could prune
/// another edge until none is left, and the next hint would wait for a graft.
const MIN_EAGER: usize = 3;

#[derive(Debug)]
struct Missing {
    announcers: VecDeque<PeerKey>,
    due_ms: u64,
}

#[derive(Debug)]
struct Seen {
    hint: Hint,
    hops: u32,
}

#[derive(Debug)]
pub(crate) struct Broadcast {
    eager: BTreeSet<PeerKey>,
    lazy: BTreeSet<PeerKey>,
    seen: BTreeMap<HintId, Seen>,
    order: VecDeque<HintId>,
    missing: BTreeMap<HintId, Missing>,
    unannounced: Vec<HintId>,
    graft_ms: u64,
}

type Sends = Vec<(PeerKey, Control)>;

impl Broadcast {
    pub(crate) const fn new(graft_ms: u64) -> Self {
        Self {
            eager: BTreeSet::new(),
            lazy: BTreeSet::new(),
            seen: BTreeMap::new(),
            order: VecDeque::new(),
            missing: BTreeMap::new(),
            unannounced: Vec::new(),
            graft_ms,
        }
    }

    pub(crate) fn connected(&mut self, peer: PeerKey) {
        if self.eager.len() < MAX_EAGER {
            self.eager.insert(peer);
        } else {
            self.lazy.insert(peer);
        }
    }

    pub(crate) fn disconnected(&mut self, peer: PeerKey) {
        self.eager.remove(&peer);
        self.lazy.remove(&peer);
        self.missing.retain(|_, missing| {
            missing.announcers.retain(|announcer| *announcer != peer);
            !missing.announcers.is_empty()
        });
    }

    /// Enough peers for what has no repair of its own: those along the tree, and others up to a bound.
    pub(crate) fn near(&self) -> impl Iterator<Item = PeerKey> {
        self.eager.iter().chain(&self.lazy).copied().take(MAX_EAGER)
    }

    /// Peers along the tree.
    pub(crate) fn eager(&self) -> impl Iterator<Item = PeerKey> {
        self.eager.iter().copied()
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
        self.spread(hint, 0, None, allowed, counters)
    }

    /// A hint from `from`; the hint if it is new, and what to send.
    pub(crate) fn gossip(
        &mut self,
        from: PeerKey,
        hint: Hint,
        hops: u32,
        allowed: impl Fn(PeerKey, &TenantId) -> bool,
        counters: &mut Counters,
    ) -> (Option<Hint>, Sends) {
        let id = hint.id();
        if self.seen.contains_key(&id) {
            counters.count("hints_duplicate");
            if self.eager.len() <= MIN_EAGER || !self.eager.remove(&from) {
                return (None, Vec::new());
            }
            self.lazy.insert(from);
            return (None, vec![(from, Control::Prune)]);
        }
        self.make_eager(from);
        self.missing.remove(&id);
        let sends =
            self.spread(hint.clone(), hops.saturating_add(1), Some(from), allowed, counters);
        (Some(hint), sends)
    }

    /// `from` has these hints.
    pub(crate) fn have(
        &mut self,
        from: PeerKey,
        ids: &[HintId],
        mono_ms: u64,
        counters: &mut Counters,
    ) {
        for id in ids {
            if self.seen.contains_key(id) {
                continue;
            }
            if self.missing.len() >= MAX_MISSING && !self.missing.contains_key(id) {
                counters.count("hint_ids_dropped");
                continue;
            }
            let due_ms = mono_ms.saturating_add(self.graft_ms);
            let missing = self
                .missing
                .entry(*id)
                .or_insert_with(|| Missing { announcers: VecDeque::new(), due_ms });
            if !missing.announcers.contains(&from) {
                missing.announcers.push_back(from);
            }
        }
    }

    /// `from` asks for hints and wants to be an eager link.
    pub(crate) fn graft(
        &mut self,
        from: PeerKey,
        ids: &[HintId],
        allowed: impl Fn(PeerKey, &TenantId) -> bool,
    ) -> Sends {
        self.make_eager(from);
        ids.iter()
            .filter_map(|id| self.seen.get(id))
            .filter(|seen| allowed(from, &seen.hint.version.tenant))
            .map(|seen| (from, Control::Gossip { hint: seen.hint.clone(), hops: seen.hops }))
            .collect()
    }

    pub(crate) fn prune(&mut self, from: PeerKey) {
        if self.eager.remove(&from) {
            self.lazy.insert(from);
        }
    }

    /// Announces what waits, and asks for what is overdue.
    pub(crate) fn tick(
        &mut self,
        mono_ms: u64,
        allowed: impl Fn(PeerKey, &TenantId) -> bool,
        counters: &mut Counters,
    ) -> Sends {
        let mut sends = self.announce(allowed);
        let mut wanted: BTreeMap<PeerKey, Vec<HintId>> = BTreeMap::new();
        let graft_ms = self.graft_ms;
        self.missing.retain(|id, missing| {
            if missing.due_ms > mono_ms {
                return true;
            }
            if let Some(announcer) = missing.announcers.pop_front() {
                wanted.entry(announcer).or_default().push(*id);
                missing.due_ms = mono_ms.saturating_add(graft_ms);
            }
            !missing.announcers.is_empty()
        });
        for (peer, ids) in wanted {
            counters.count("grafts");
            self.make_eager(peer);
            sends.extend(ids.chunks(MAX_IDS).map(|ids| (peer, Control::Graft(ids.to_vec()))));
        }
        sends
    }

    fn announce(&mut self, allowed: impl Fn(PeerKey, &TenantId) -> bool) -> Sends {
        let unannounced = std::mem::take(&mut self.unannounced);
        let mut sends = Vec::new();
        for peer in &self.lazy {
            let may_know = |id: &&HintId| {
                self.seen.get(id).is_some_and(|s| allowed(*peer, &s.hint.version.tenant))
            };
            let ids: Vec<HintId> = unannounced.iter().filter(may_know).copied().collect();
            sends.extend(ids.chunks(MAX_IDS).map(|ids| (*peer, Control::Have(ids.to_vec()))));
        }
        sends
    }

    fn make_eager(&mut self, peer: PeerKey) {
        // Only links that stand: a message may be the last of a link that was just closed.
        if self.lazy.remove(&peer) {
            self.eager.insert(peer);
        }
    }

    fn spread(
        &mut self,
        hint: Hint,
        hops: u32,
        except: Option<PeerKey>,
        allowed: impl Fn(PeerKey, &TenantId) -> bool,
        counters: &mut Counters,
    ) -> Sends {
        let id = hint.id();
        let sends: Sends = self
            .eager
            .iter()
            .filter(|peer| Some(**peer) != except && allowed(**peer, &hint.version.tenant))
            .map(|peer| (*peer, Control::Gossip { hint: hint.clone(), hops }))
            .collect();
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
        self.seen.insert(id, Seen { hint, hops });
        sends
    }
}
