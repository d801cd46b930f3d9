//! Which connections a node keeps when there are more nodes than it can be connected with.
//!
//! A few to those nearest by round trip, so that news travel the last miles fast and cheaply, and a few
//! to nodes drawn at random, which make the mesh one piece and carry news across it. Both kinds are
//! this node's own choice and it closes no others, except when it has too many. Who is near is learned
//! by looking: now and then a node that was never met is dialled, measured, and left again.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;

use super::links::FEW;
use super::wide::{Map, is_better, is_spare};
use super::{Action, MeshNode};
use crate::dial::jittered;
use crate::wire::HintId;
use crate::{Now, PeerKey, Position, Timing};

/// Up to so many others, a node is connected with all.
pub(super) const ALL: usize = 8;
/// Own connections to the nearest, by ring: from so many milliseconds of round trip on, so many. The
/// nearest alone would make each corner of the world a clique with few ways out.
const RINGS: [(u64, usize); 2] = [(0, 2), (8, 2)];
/// Own connections that cut corners ([`super::wide`]), and those of a node that stands alone.
const WIDE: usize = 6;
const WIDE_ALONE: usize = 12;
/// A node with fewer than so many others within so many milliseconds stands alone, once it measured as
/// many as the last says: it has no neighbours whose ways are as good as its own.
const ALONE: (usize, u64, usize) = (5, NEAR_MS, 24);
/// Near connections that are never closed because there are too many.
const MOST_NEAR: usize = 10;
/// Whether a connection that cuts corners is still worth it is looked at this often.
const REVIEW_MS: u64 = 10_000;
/// Own connections to nodes drawn at random: whatever liars say of where they stand, the mesh is one piece.
const FAR: usize = 2;
/// Nodes within so many milliseconds of round trip are near.
const NEAR_MS: u64 = 8;
/// Of the nodes near a hint's origin, so many send it along all their ways out of there.
const SPEAKERS: u64 = 8;
/// Nodes whose round trip is remembered.
pub(super) const MAX_MEASURED: usize = 4_096;
/// Nodes that closed a connection of ours; they are left in peace for a while.
pub(super) const MAX_SHUNNED: usize = 256;
const SHUN_MS: u64 = 300_000;
/// Looks at the beginning, before they become rare.
const EAGER_LOOKS: u32 = 96;
const LOOK_MAX_MS: u64 = 600_000;
/// How long a connection that was made to look stands.
const LOOK_STANDS_MS: u64 = 3_000;
/// After this long a connection of another's choice is one to count on.
const SETTLED_MS: u64 = 15_000;

/// What a connection that this node dialled is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Far,
    Look,
    Near,
}

#[derive(Debug, Clone, Copy)]
struct Mine {
    purpose: Purpose,
    since_ms: u64,
}

#[derive(Debug)]
pub(super) struct Overlay {
    mine: BTreeMap<PeerKey, Mine>,
    /// Connections of others' choice, and since when.
    theirs: BTreeMap<PeerKey, u64>,
    rtt_ms: BTreeMap<PeerKey, u64>,
    position: Position,
    positions: BTreeMap<PeerKey, Position>,
    wide: BTreeSet<PeerKey>,
    next_review_ms: u64,
    /// Those that are worth it were chosen, or there are no more.
    wide_settled: bool,
    near: BTreeSet<PeerKey>,
    far_next: BTreeSet<PeerKey>,
    looking: Option<PeerKey>,
    shunned: BTreeMap<PeerKey, u64>,
    looks: u32,
    next_look_ms: u64,
    next_ms: u64,
    step_ms: u64,
}

impl Overlay {
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            position: Position::default(),
            positions: BTreeMap::new(),
            wide: BTreeSet::new(),
            next_review_ms: 0,
            wide_settled: false,
            mine: BTreeMap::new(),
            theirs: BTreeMap::new(),
            rtt_ms: BTreeMap::new(),
            near: BTreeSet::new(),
            far_next: BTreeSet::new(),
            looking: None,
            shunned: BTreeMap::new(),
            looks: 0,
            next_look_ms: 0,
            next_ms: 0,
            step_ms: timing.dial_min_ms.saturating_mul(2),
        }
    }

    /// A connection stands; whether it is one to count on at once.
    pub(super) fn connected(
        &mut self,
        peer: PeerKey,
        dialled: bool,
        few: bool,
        mono_ms: u64,
    ) -> bool {
        let was_looked_for = self.looking == Some(peer);
        if was_looked_for {
            self.looking = None;
        }
        if !dialled {
            self.far_next.remove(&peer);
            self.theirs.insert(peer, mono_ms);
            return few;
        }
        let purpose = if self.far_next.remove(&peer) || few {
            Purpose::Far
        } else if self.is_chosen(peer) {
            Purpose::Near
        } else {
            Purpose::Look
        };
        self.mine.insert(peer, Mine { purpose, since_ms: mono_ms });
        purpose != Purpose::Look
    }

    /// A connection is gone; `by_us` if this node closed it.
    pub(super) fn disconnected(&mut self, peer: PeerKey, by_us: bool, mono_ms: u64) {
        let was = self.mine.remove(&peer);
        self.theirs.remove(&peer);
        if was.is_some() && !by_us && self.shunned.len() < MAX_SHUNNED {
            self.shunned.insert(peer, mono_ms.saturating_add(SHUN_MS));
            self.near.remove(&peer);
            self.wide_settled &= !self.wide.remove(&peer);
        }
    }

    pub(super) fn measured(
        &mut self,
        peer: PeerKey,
        rtt_ms: u64,
        position: Option<Position>,
        rng: &mut StdRng,
    ) {
        if self.rtt_ms.len() >= MAX_MEASURED && !self.rtt_ms.contains_key(&peer) {
            return;
        }
        // A busy moment makes a round trip longer, nothing makes it shorter.
        let kept = self.rtt_ms.entry(peer).or_insert(rtt_ms);
        *kept = rtt_ms.min(*kept * 9 / 8 + 1);
        if let Some(position) = position {
            self.position.met(&position, *kept, rng);
            self.positions.insert(peer, position);
        }
    }

    /// By how many tenths of a millisecond the ways over `links` would lengthen without each of them; a few
    /// that are near are missed most, because news go to all that are near through them.
    pub(super) fn missed(
        &self,
        links: &BTreeSet<PeerKey>,
        rng: &mut StdRng,
    ) -> BTreeMap<PeerKey, u64> {
        let map = Map { rtt_ms: &self.rtt_ms, positions: &self.positions };
        let mut missed: BTreeMap<PeerKey, u64> = map
            .worths(links, rng)
            .into_iter()
            .map(|(peer, worth_ms)| (peer, (worth_ms * 10.0) as u64))
            .collect();
        let is_near = |peer: &&PeerKey| self.rtt_ms.get(*peer).is_some_and(|ms| *ms <= ALONE.1);
        missed.extend(links.iter().filter(is_near).take(MOST_NEAR).map(|peer| (*peer, u64::MAX)));
        missed
    }

    /// Whether a node is so near that news are the same here and there.
    pub(super) fn is_near(&self, peer: PeerKey) -> bool {
        self.rtt_ms.get(&peer).is_some_and(|rtt_ms| *rtt_ms <= NEAR_MS)
    }

    /// Whether this node sends a hint that began near it along all its ways out of here, also those that
    /// bring the hints of others too late: about [`SPEAKERS`] of those that are near do, others each time.
    pub(super) fn speaks_for(&self, origin: PeerKey, me: PeerKey, id: &HintId) -> bool {
        if !self.is_near(origin) {
            return false;
        }
        let near = self.rtt_ms.values().filter(|rtt_ms| **rtt_ms <= NEAR_MS).count() as u64;
        draw(me, id) % near.max(1) < SPEAKERS
    }

    /// Where this node stands.
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    fn is_alone(&self) -> bool {
        let (few, within_ms, measured) = ALONE;
        let near = self.rtt_ms.values().filter(|rtt_ms| **rtt_ms <= within_ms).count();
        near < few && self.rtt_ms.len() >= measured
    }

    fn is_chosen(&self, peer: PeerKey) -> bool {
        self.near.contains(&peer) || self.wide.contains(&peer)
    }

    /// Chooses connections that cut corners, beside `links` that stand.
    fn choose_wide(&mut self, links: BTreeSet<PeerKey>, mono_ms: u64, rng: &mut StdRng) {
        if mono_ms < self.next_review_ms && self.wide_settled {
            return;
        }
        let map = Map { rtt_ms: &self.rtt_ms, positions: &self.positions };
        let most = if self.is_alone() { WIDE_ALONE } else { WIDE };
        let mut have: BTreeSet<PeerKey> = links;
        have.extend(&self.wide);
        have.extend(&self.near);
        let shunned = &self.shunned;
        let is_review = mono_ms >= self.next_review_ms;
        if is_review {
            self.next_review_ms = mono_ms.saturating_add(REVIEW_MS);
        }
        if is_review && self.wide.len() >= most {
            let worths = map.worths(&have, rng);
            let mine = worths.iter().filter(|(peer, _)| self.wide.contains(*peer));
            let least = mine.min_by(|a, b| a.1.total_cmp(b.1)).map(|(peer, worth)| (*peer, *worth));
            let drawn = map.draw(&have, |peer| shunned.contains_key(&peer), rng);
            let gain = drawn.map_or(0.0, |(_, gain)| gain);
            if let Some((least, worth)) =
                least.filter(|(_, worth)| is_spare(*worth) || is_better(gain, *worth))
            {
                self.wide.remove(&least);
                have.remove(&least);
                if let Some((peer, _)) = drawn.filter(|_| is_better(gain, worth)) {
                    have.insert(peer);
                    self.wide.insert(peer);
                }
            }
        }
        // Until something is missing, or the next review: to look costs more than all else here.
        self.wide_settled = true;
        while self.wide.len() < most {
            let drawn = map.draw(&have, |peer| shunned.contains_key(&peer), rng);
            let Some((peer, _)) = drawn else { return };
            have.insert(peer);
            self.wide.insert(peer);
        }
    }

    /// Whom this node itself wants, besides those that it has.
    pub(super) fn wanted(&self) -> impl Iterator<Item = PeerKey> {
        self.near.iter().chain(&self.wide).chain(&self.far_next).chain(&self.looking).copied()
    }

    pub(super) fn is_mine(&self, peer: PeerKey) -> bool {
        self.mine.get(&peer).is_some_and(|mine| mine.purpose != Purpose::Look)
    }

    pub(super) fn len(&self) -> [usize; 2] {
        [self.rtt_ms.len(), self.shunned.len()]
    }

    fn choose_near(&mut self, me: PeerKey) {
        // Rank, tie, the round trip by which the ring is judged, who.
        let mut all: Vec<(u64, u64, u64, PeerKey)> = self
            .rtt_ms
            .iter()
            .filter(|(peer, _)| !self.shunned.contains_key(peer))
            .map(|(peer, rtt_ms)| {
                // Those that are near stay so unless another is clearly nearer, and stay in their ring
                // when they seem a little nearer than it; among equals each node prefers others, so
                // that not all choose the same few.
                let kept = self.near.contains(peer);
                let (rank, ring_ms) =
                    if kept { (rtt_ms * 7 / 8, rtt_ms * 9 / 8 + 1) } else { (rtt_ms + 1, *rtt_ms) };
                (rank, tie(me, *peer), ring_ms, *peer)
            })
            .collect();
        all.sort_unstable();
        let mut near = BTreeSet::new();
        let mut wanted = 0;
        for (from_ms, count) in RINGS {
            wanted += count;
            let ring = all.iter().filter(|(_, _, ring_ms, _)| *ring_ms >= from_ms);
            let ring = ring.map(|(_, _, _, peer)| *peer).filter(|peer| !near.contains(peer));
            let missing = wanted.saturating_sub(near.len());
            let found: Vec<PeerKey> = ring.take(missing).collect();
            near.extend(found);
        }
        self.near = near;
    }

    fn fars(&self) -> usize {
        self.mine.values().filter(|mine| mine.purpose == Purpose::Far).count()
    }
}

impl MeshNode {
    /// Chooses anew, once in a while.
    pub(super) fn tend_overlay(&mut self, now: Now, out: &mut Vec<Action>) {
        if now.mono_ms < self.overlay.next_ms {
            return;
        }
        self.overlay.next_ms =
            now.mono_ms.saturating_add(jittered(self.overlay.step_ms, &mut self.rng));
        self.overlay.shunned.retain(|_, until_ms| *until_ms > now.mono_ms);
        if self.membership.count_up() <= ALL {
            self.overlay.near.clear();
            self.overlay.wide.clear();
            self.overlay.far_next.clear();
            self.overlay.looking = None;
            self.broadcast.set_near(false, BTreeSet::new());
            let all: Vec<PeerKey> = self.links.keys().copied().collect();
            all.into_iter().for_each(|peer| self.broadcast.settle(peer));
            return;
        }
        let membership = &self.membership;
        let up = |peer: &PeerKey| membership.known(*peer).is_some_and(|known| !known.down);
        self.overlay.rtt_ms.retain(|peer, _| up(peer));
        self.overlay.positions.retain(|peer, _| up(peer));
        let rtt_ms = &self.overlay.rtt_ms;
        let dialer = &self.dialer;
        let reached =
            |peer: &PeerKey| rtt_ms.contains_key(peer) && dialer.refusal_of(*peer).is_none();
        let before = self.overlay.wide.len();
        self.overlay.wide.retain(reached);
        self.overlay.wide_settled &= self.overlay.wide.len() == before;
        self.overlay.choose_near(self.membership.me().peer);
        let links = self.links.keys().copied().collect();
        self.overlay.choose_wide(links, now.mono_ms, &mut self.rng);
        let near = self.links.keys().filter(|peer| self.overlay.is_near(**peer)).copied();
        self.broadcast.set_near(self.overlay.is_alone(), near.collect());
        self.choose_far();
        self.look(now);
        self.leave_some(now, out);
    }

    fn choose_far(&mut self) {
        let (links, dialer) = (&self.links, &self.dialer);
        let membership = &self.membership;
        let up = |peer: PeerKey| membership.known(peer).is_some_and(|known| !known.down);
        self.overlay.far_next.retain(|peer| {
            !links.contains_key(peer) && up(*peer) && dialer.refusal_of(*peer).is_none()
        });
        let missing = FAR.saturating_sub(self.overlay.fars() + self.overlay.far_next.len());
        for _ in 0..missing {
            let overlay = &self.overlay;
            let fits = |peer: PeerKey| {
                !links.contains_key(&peer)
                    && !overlay.shunned.contains_key(&peer)
                    && !overlay.far_next.contains(&peer)
            };
            let Some(peer) = membership.random_up(&mut self.rng, fits) else { return };
            self.overlay.far_next.insert(peer);
        }
    }

    fn look(&mut self, now: Now) {
        let refused = |peer: PeerKey| self.dialer.refusal_of(peer).is_some();
        if self.overlay.looking.is_some_and(refused) {
            self.overlay.looking = None;
        }
        if self.overlay.looking.is_some() || now.mono_ms < self.overlay.next_look_ms {
            return;
        }
        let overlay = &self.overlay;
        let fits =
            |peer: PeerKey| !self.links.contains_key(&peer) && !overlay.rtt_ms.contains_key(&peer);
        let found = self.membership.random_up(&mut self.rng, fits);
        self.overlay.looking = found;
        self.overlay.looks = self.overlay.looks.saturating_add(1);
        let doublings = self.overlay.looks.saturating_sub(EAGER_LOOKS).min(16);
        let pause_ms = (self.overlay.step_ms << doublings).min(LOOK_MAX_MS);
        self.overlay.next_look_ms = now.mono_ms.saturating_add(jittered(pause_ms, &mut self.rng));
    }

    fn leave_some(&mut self, now: Now, out: &mut Vec<Action>) {
        // With few connections nobody is left: the many others may be made up.
        let spare = self.links.len().saturating_sub(FEW);
        let mut surplus_far = self.overlay.fars().saturating_sub(FAR).min(spare);
        let mut leave = Vec::new();
        for (peer, mine) in &mut self.overlay.mine {
            let near = self.overlay.near.contains(peer) || self.overlay.wide.contains(peer);
            let age_ms = now.mono_ms.saturating_sub(mine.since_ms);
            match mine.purpose {
                Purpose::Look if near => {
                    mine.purpose = Purpose::Near;
                    self.broadcast.settle(*peer);
                }
                Purpose::Look if age_ms < LOOK_STANDS_MS => {}
                Purpose::Look => leave.push(*peer),
                Purpose::Near if near || age_ms < SETTLED_MS => {}
                Purpose::Near => leave.push(*peer),
                // A mesh that was small made more of these than a large one needs.
                Purpose::Far if surplus_far > 0 && near => {
                    mine.purpose = Purpose::Near;
                    surplus_far -= 1;
                }
                Purpose::Far if surplus_far > 0 && age_ms >= SETTLED_MS && leave.is_empty() => {
                    surplus_far -= 1;
                    leave.push(*peer);
                }
                Purpose::Far => {}
            }
        }
        let relays = if leave.is_empty() { BTreeSet::new() } else { self.relays_needed() };
        for peer in leave.into_iter().filter(|peer| !relays.contains(peer)) {
            self.leave_link(peer, "no longer needed", out);
        }
        let settled = |since_ms: &u64| now.mono_ms.saturating_sub(*since_ms) >= SETTLED_MS;
        for (peer, _) in self.overlay.theirs.iter().filter(|(_, since_ms)| settled(since_ms)) {
            self.broadcast.settle(*peer);
        }
    }
}

/// A number that orders peers differently for every node.
fn tie(me: PeerKey, peer: PeerKey) -> u64 {
    let word = |key: PeerKey| key.0[2..10].iter().fold(0_u64, |sum, b| (sum << 8) | u64::from(*b));
    (word(me) ^ word(peer)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

/// A number that is another for every node and hint.
fn draw(me: PeerKey, id: &HintId) -> u64 {
    let mut key = me;
    key.0[2..10].copy_from_slice(&id.0[..8]);
    tie(me, key)
}

/// A few of those that are down, others each time: how many there are does not matter to the cost.
pub(super) fn some_down(
    down: &BTreeSet<PeerKey>,
    most: usize,
    epoch: u64,
    rng_seed: PeerKey,
) -> Vec<PeerKey> {
    if down.len() <= most {
        return down.iter().copied().collect();
    }
    let mut from = rng_seed;
    let mixed = (epoch ^ tie(rng_seed, rng_seed)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    from.0[2..10].copy_from_slice(&mixed.to_be_bytes());
    down.range(from..).chain(down.range(..from)).take(most).copied().collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn key(first: u8) -> PeerKey {
        let mut bytes = [first; 34];
        bytes[..2].copy_from_slice(&[0x12, 0x20]);
        PeerKey(bytes)
    }

    #[test]
    fn all_that_are_down_have_their_turn() {
        let down: BTreeSet<PeerKey> = (0..100).map(key).collect();
        let mut seen = BTreeSet::new();
        for epoch in 0..2_000 {
            let some = some_down(&down, 4, epoch, key(7));
            assert_eq!(some.len(), 4);
            seen.extend(some);
        }
        assert_eq!(seen.len(), 100);
        assert_eq!(some_down(&down, 200, 0, key(7)).len(), 100);
    }

    #[test]
    fn what_is_near_stays_so_at_the_edge_of_its_ring() {
        let mut overlay = Overlay::new(&Timing::default());
        let mut rng = StdRng::seed_from_u64(1);
        let rtts = [1, 1, 1, 8, 8, 8, 9, 50, 50, 51, 56, 99, 100, 104, 175, 179, 180];
        for (rtt_ms, first) in rtts.into_iter().zip(1..) {
            overlay.measured(key(first), rtt_ms, None, &mut rng);
        }
        overlay.choose_near(key(0));
        let chosen = overlay.near.clone();
        assert_eq!(chosen.len(), RINGS.iter().map(|(_, count)| count).sum::<usize>());
        for _ in 0..4 {
            overlay.choose_near(key(0));
            assert_eq!(overlay.near, chosen);
        }
    }

    #[test]
    fn some_of_those_near_an_origin_speak_for_it_and_nobody_else_does() {
        let mut overlay = Overlay::new(&Timing::default());
        let mut rng = StdRng::seed_from_u64(2);
        for n in 1..=40 {
            overlay.measured(key(n), if n <= 32 { 1 } else { 40 }, None, &mut rng);
        }
        let mut spoke = 0;
        for number in 0..1_000_u64 {
            let mut id = HintId([0; 16]);
            id.0[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            spoke += usize::from(overlay.speaks_for(key(1), key(0), &id));
            assert!(!overlay.speaks_for(key(35), key(0), &id), "it is far");
            assert!(!overlay.speaks_for(key(99), key(0), &id), "nobody knows where it is");
        }
        // One of 32 / SPEAKERS.
        assert!((150..350).contains(&spoke), "{spoke} of 1,000");
    }

    #[test]
    fn a_connection_that_the_other_closes_is_not_wanted_again_at_once() {
        let mut overlay = Overlay::new(&Timing::default());
        overlay.near.insert(key(1));
        assert!(overlay.connected(key(1), true, false, 0), "near is to be counted on");
        assert!(!overlay.connected(key(2), true, false, 0), "a look is not");
        overlay.disconnected(key(1), false, 5);
        assert_eq!(overlay.wanted().count(), 0);
    }
}
