//! Hints by Plumtree (Leitão, Pereira, Rodrigues: "Epidemic Broadcast Trees", SRDS 2007): whole
//! messages along a tree of eager links, ids along the others, and a repair when an id comes without
//! its message. A hint may be lost; nothing but speed depends on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holm_model::TenantId;

use crate::wire::{Control, Hint, HintId, MAX_IDS};
use crate::{Counters, Footprint, PeerKey};

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
/// Links from which whole hints are welcome although they mostly come second: when hints of many
/// origins cross, each has another best way, and when a neighbour dies the others go on.
const KEEP: usize = 4;
/// Near links, of those that there are, from which whole hints are welcome in any case: what reaches one
/// of several that are near each other is then at all of them a moment later.
const KEEP_NEAR: usize = 3;
/// Links, near or not, from which whole hints are welcome in any case: two may die in one moment.
const KEEP_ANY: usize = 3;
/// A link over which none of so many hints came is no source at the moment.
const QUIET_HINTS: u64 = 24;
/// Hints that a link is judged by. One that is spared still brings what begins near its other end, so that
/// few are enough.
const JUDGED: u32 = 8;
/// Near links carry the hints of all corners alike: fewer of them tell how good one is.
const JUDGED_NEAR: u32 = 5;
/// A node that stands alone judges by so many: few hints come from each corner that its
/// links lead to, and none of its neighbours makes up for a link that was spared too soon.
const JUDGED_ALONE: u32 = 80;
/// Beyond so many hints a link's record counts half.
const REMEMBERED: u32 = 160;
/// What one first copy counts for beside the time that it saved, in milliseconds.
const FIRST_MS: u64 = 1;
/// Most that one hint's lead counts for, in milliseconds.
const LEAD_MAX_MS: u64 = 250;
/// Links that save less than one millisecond in so many hints are spared, beyond [`KEEP`].
const WORTH: u64 = 2;
/// A spared link whose word of a hint comes so much before the hint is wanted again.
const REGAIN_MS: u64 = 20;

/// How useful a link is, by the whole hints that came over it lately.
#[derive(Debug, Default, Clone, Copy)]
struct Source {
    first: u32,
    second: u32,
    /// By how much its first copies came before the second ones, in milliseconds.
    lead_ms: u64,
    /// The peer was asked not to send whole hints.
    spared: bool,
    /// How many hints had come here when the latest came over this link.
    latest: u64,
}

#[derive(Debug)]
struct Missing {
    announcers: VecDeque<PeerKey>,
    /// Who announced it first, and when.
    first: (PeerKey, u64),
    due_ms: u64,
}

#[derive(Debug)]
struct Seen {
    hint: Hint,
    hops: u32,
    /// When it came, if that is not yet counted for whoever sent it first.
    came_ms: Option<u64>,
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

impl Source {
    const fn is_live(&self, fresh: u64) -> bool {
        !self.spared && self.latest + QUIET_HINTS >= fresh
    }

    /// What was long ago counts less.
    const fn decay(&mut self) {
        if self.first + self.second >= REMEMBERED {
            self.first /= 2;
            self.second /= 2;
            self.lead_ms /= 2;
        }
    }

    /// Hints that it is judged by.
    fn hints(&self) -> u64 {
        u64::from(self.first) + u64::from(self.second)
    }

    /// What it saved in all these, in milliseconds. Few hints that come much earlier, from a corner of
    /// the world to which no other link leads, are worth more than many that come a little earlier.
    fn saved_ms(&self) -> u64 {
        self.lead_ms + u64::from(self.first) * FIRST_MS
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
        if let Some(seen) = self.seen.get_mut(&id) {
            let came_ms = seen.came_ms.take();
            let first = seen.heard.first().and_then(|first| self.sources.get_mut(first));
            if let Some((source, came_ms)) = first.zip(came_ms) {
                source.lead_ms += mono_ms.saturating_sub(came_ms).min(LEAD_MAX_MS);
            }
            seen.heard(from);
            counters.count("hints_duplicate");
            let sends = if self.second_copy(from) { vec![(from, Control::Prune)] } else { vec![] };
            return (None, sends);
        }
        self.settle(from);
        // What was on its way when the peer was asked to spare us does not make it a source again.
        self.fresh += 1;
        let source = self.sources.entry(from).or_default();
        source.first += 1;
        source.latest = self.fresh;
        source.decay();
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

    /// The word of a spared link came well before the hint itself: the link is worth having whole.
    fn regain(&mut self, peer: PeerKey, counters: &mut Counters) -> Option<(PeerKey, Control)> {
        let fresh = self.fresh;
        let source = self.sources.get_mut(&peer).filter(|source| source.spared)?;
        *source = Source { latest: fresh, ..Source::default() };
        counters.count("sources_regained");
        Some((peer, Control::Graft(Vec::new())))
    }

    /// When sources have fallen silent, a spared one is asked again; near ones first, also one that never
    /// sent anything.
    fn revive(&mut self, counters: &mut Counters) -> Option<(PeerKey, Control)> {
        let fresh = self.fresh;
        let latest = |peer: &PeerKey| self.sources.get(peer).map_or(0, |source| source.latest);
        let is_live = |peer: &PeerKey| self.sources.get(peer).is_some_and(|s| s.is_live(fresh));
        if self.near.iter().filter(|peer| is_live(peer)).count() < KEEP_NEAR {
            let silent = self.near.iter().filter(|peer| !is_live(peer));
            if let Some(peer) = silent.copied().min_by_key(latest) {
                self.sources.insert(peer, Source { latest: fresh, ..Source::default() });
                counters.count("sources_revived");
                return Some((peer, Control::Graft(Vec::new())));
            }
        }
        if self.sources.values().filter(|source| source.is_live(fresh)).count() >= KEEP {
            return None;
        }
        let spared = self.sources.iter_mut().filter(|(_, source)| source.spared);
        let (peer, source) = spared.min_by_key(|(_, source)| source.latest)?;
        *source = Source { latest: fresh, ..Source::default() };
        counters.count("sources_revived");
        Some((*peer, Control::Graft(Vec::new())))
    }

    /// A copy came second over this link; whether the peer is to be spared from now on.
    fn second_copy(&mut self, from: PeerKey) -> bool {
        let source = self.sources.entry(from).or_default();
        source.second += 1;
        source.latest = self.fresh;
        source.decay();
        let judged = *source;
        if judged.spared {
            // It goes on and on: perhaps it forgot.
            let again = judged.first + judged.second >= REMEMBERED / 2;
            if again {
                *source = Source { spared: true, latest: source.latest, ..Source::default() };
            }
            return again;
        }
        let is_near = self.near.contains(&from);
        let needed = match (is_near, self.alone) {
            (true, _) => JUDGED_NEAR,
            (false, true) => JUDGED_ALONE,
            (false, false) => JUDGED,
        };
        if judged.hints() < u64::from(needed) {
            return false;
        }
        let fresh = self.fresh;
        let live = || self.sources.iter().filter(|(_, source)| source.is_live(fresh));
        let near = || live().filter(|(peer, _)| self.near.contains(*peer));
        let is_better = |(_, s): &(&PeerKey, &Source)| {
            s.saved_ms() * judged.hints() > judged.saved_ms() * s.hints()
        };
        let can_do_without = if is_near {
            // Of several that are as good as each other any will do.
            let is_worse = |(_, s): &(&PeerKey, &Source)| {
                s.saved_ms() * judged.hints() < judged.saved_ms() * s.hints()
            };
            let others = near().filter(|(peer, _)| **peer != from);
            others.filter(|other| !is_worse(other)).count() >= KEEP_NEAR
        } else if near().count() >= KEEP_NEAR {
            judged.saved_ms() < judged.hints()
        } else {
            judged.saved_ms() * WORTH < judged.hints() && live().filter(is_better).count() >= KEEP
        };
        if !can_do_without || live().count() <= KEEP_ANY {
            return false;
        }
        if let Some(source) = self.sources.get_mut(&from) {
            *source = Source { spared: true, latest: source.latest, ..Source::default() };
        }
        true
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
            let missing = self.missing.entry(*id).or_insert_with(|| Missing {
                announcers: VecDeque::new(),
                first: (from, mono_ms),
                due_ms,
            });
            if missing.announcers.len() < MAX_ANNOUNCERS && !missing.announcers.contains(&from) {
                missing.announcers.push_back(from);
            }
        }
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
            self.sources.entry(peer).or_default().spared = false;
            sends.extend(ids.chunks(MAX_IDS).map(|ids| (peer, Control::Graft(ids.to_vec()))));
        }
        sends
    }

    pub(crate) fn footprint(&self, all: &mut Footprint, hint: usize) {
        all.part("hints_seen", self.seen.len(), MAX_SEEN, hint);
        all.part("hints_missing", self.missing.len(), MAX_MISSING, 64 + MAX_ANNOUNCERS * 34);
        all.part("hints_unannounced", self.unannounced.len(), MAX_LAZY, 16);
    }

    fn announce(&mut self, allowed: impl Fn(PeerKey, &TenantId) -> bool) -> Sends {
        let unannounced = std::mem::take(&mut self.unannounced);
        let mut sends = Vec::new();
        for peer in &self.lazy {
            let may_know = |id: &&HintId| {
                self.seen.get(id).is_some_and(|seen| {
                    let has = seen.heard.contains(peer) || seen.told.contains(peer);
                    !has && allowed(*peer, &seen.hint.version.tenant)
                })
            };
            let ids: Vec<HintId> = unannounced.iter().filter(may_know).copied().collect();
            sends.extend(ids.chunks(MAX_IDS).map(|ids| (*peer, Control::Have(ids.to_vec()))));
        }
        sends
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
                heard: except.into_iter().collect(),
                told,
                holding: 0,
            },
        );
        sends
    }
}

#[cfg(test)]
mod tests {
    use holm_model::{DocId, DocVersion, HeadsDigest};

    use super::*;

    fn peer(byte: u8) -> PeerKey {
        PeerKey([byte; 34])
    }

    fn hint(number: u64) -> Hint {
        let mut doc = [0; 16];
        doc[..8].copy_from_slice(&number.to_be_bytes());
        let version = DocVersion {
            tenant: TenantId::new("acme").expect("valid"),
            doc: DocId(doc),
            heads: HeadsDigest([1; 16]),
            changed_at: Default::default(),
        };
        Hint { version, origin: peer(200) }
    }

    /// A node with `peers` links along the tree, of which the first `near` are near.
    fn tree(peers: u8, near: u8) -> Broadcast {
        let mut broadcast = Broadcast::new(500);
        (1..=peers).for_each(|n| broadcast.connected(peer(n), true));
        broadcast.set_near(false, (1..=near).map(peer).collect());
        broadcast
    }

    fn hear(broadcast: &mut Broadcast, from: u8, number: u64, at_ms: u64, beyond: &[u8]) -> Sends {
        let counters = &mut Counters::default();
        let beyond = |to: PeerKey| beyond.iter().any(|n| peer(*n) == to);
        broadcast.gossip(peer(from), (hint(number), 0), at_ms, beyond, |_, _| true, counters).1
    }

    fn told(sends: &Sends) -> BTreeSet<PeerKey> {
        let whole = sends.iter().filter(|(_, message)| matches!(message, Control::Gossip { .. }));
        whole.map(|(to, _)| *to).collect()
    }

    #[test]
    fn a_spared_link_still_carries_what_begins_here() {
        let mut broadcast = tree(4, 0);
        broadcast.prune(peer(3));
        broadcast.prune(peer(4));
        let sends = hear(&mut broadcast, 1, 1, 0, &[4]);
        assert_eq!(told(&sends), BTreeSet::from([peer(2), peer(4)]), "4 leads out of here");
        let counters = &mut Counters::default();
        let ids = broadcast.tick(100, |_, _| true, counters);
        let to: Vec<PeerKey> = ids.iter().map(|(to, _)| *to).collect();
        assert_eq!(to, [peer(3)], "the id goes to whom the hint did not");
        let own = broadcast.publish(hint(2), |_, _| true, counters);
        assert_eq!(told(&own).len(), 4, "its own goes to all");
    }

    #[test]
    fn of_near_links_three_stay_and_of_all_links_three() {
        for (near, far) in [(8, 0), (8, 4), (3, 5), (0, 9), (1, 2)] {
            let all = near + far;
            let mut broadcast = tree(all, near);
            let mut spared = BTreeSet::new();
            for number in 0..400 {
                for n in 1..=all {
                    if spared.contains(&peer(n)) {
                        continue;
                    }
                    for (to, message) in hear(&mut broadcast, n, number, number, &[]) {
                        match message {
                            Control::Prune => assert!(spared.insert(to)),
                            Control::Graft(_) => assert!(spared.remove(&to)),
                            _ => {}
                        }
                    }
                }
            }
            let left = |range: std::ops::RangeInclusive<u8>| {
                range.filter(|n| !spared.contains(&peer(*n))).count()
            };
            assert!(left(1..=all) >= KEEP_ANY.min(usize::from(all)), "{near} {far} {spared:?}");
            assert!(left(1..=near) >= KEEP_NEAR.min(usize::from(near)), "{near} {far} {spared:?}");
            if near == 8 {
                assert!(left(1..=near) < 8, "some are spared");
            }
        }
    }

    #[test]
    fn when_near_sources_fall_silent_others_near_are_asked_one_after_the_other() {
        let mut broadcast = tree(7, 6);
        let mut asked = BTreeSet::new();
        for number in 0..200 {
            // Only the far one still brings anything.
            for (to, message) in hear(&mut broadcast, 7, number, number, &[]) {
                if message == Control::Graft(Vec::new()) {
                    asked.insert(to);
                }
            }
        }
        assert_eq!(asked, (1..=6).map(peer).collect());
        // Who is gone is not asked.
        (1..=6).for_each(|n| broadcast.disconnected(peer(n)));
        for number in 200..300 {
            let sends = hear(&mut broadcast, 7, number, number, &[]);
            assert!(sends.iter().all(|(_, message)| !matches!(message, Control::Graft(_))));
        }
    }
}
