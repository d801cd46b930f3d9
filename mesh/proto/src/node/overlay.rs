//! Which connections a node keeps when there are more nodes than it can be connected with.
//!
//! A few to those nearest by round trip, so that news travel the last miles fast and cheaply, and a few
//! to nodes drawn at random, which make the mesh one piece and carry news across it. Both kinds are
//! this node's own choice and it closes no others, except when it has too many. Who is near is learned
//! by looking: now and then a node that was never met is dialled, measured, and left again.

mod tend;
#[cfg(test)]
mod tests;

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
