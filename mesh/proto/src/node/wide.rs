//! Connections that cut a corner: chosen among the nodes whose round trip was measured so that the ways
//! over a node's connections to all others are hardly longer than the straight ones.
//!
//! Nodes near each other would all choose the same: each draws, and those that save more are drawn more
//! often. Together they have a way to every corner.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::{PeerKey, Position};

/// Nodes that stand for all others, and nodes that are considered, at once.
const SAMPLE: usize = 96;
/// A way that is longer by this much is as good as a straight one, in milliseconds of round trip.
const SLACK_MS: f64 = 6.0;
/// What a connection must save in the mean over all others to be worth one, in milliseconds.
const WORTH_MS: f64 = 0.25;

/// What is known of the nodes that were measured.
pub(super) struct Map<'a> {
    pub(super) rtt_ms: &'a BTreeMap<PeerKey, u64>,
    pub(super) positions: &'a BTreeMap<PeerKey, Position>,
}

/// A node that was measured.
#[derive(Clone, Copy)]
struct Spot {
    peer: PeerKey,
    rtt_ms: f64,
    position: Position,
}

impl Spot {
    /// How much longer the way over this node to another is than the straight one.
    fn detour_ms(&self, to: &Self) -> f64 {
        if self.peer == to.peer {
            return 0.0;
        }
        let way = self.rtt_ms + self.position.distance_ms(&to.position);
        (way - to.rtt_ms - SLACK_MS).max(0.0)
    }
}

impl Map<'_> {
    fn spots<'b>(&'b self, fit: impl Fn(PeerKey) -> bool + 'b) -> impl Iterator<Item = Spot> + 'b {
        let known = self.positions.iter().filter(move |(peer, p)| p.is_known() && fit(**peer));
        known.filter_map(|(peer, position)| {
            let rtt_ms = *self.rtt_ms.get(peer)? as f64;
            Some(Spot { peer: *peer, rtt_ms, position: *position })
        })
    }

    fn sample(&self, fit: impl Fn(PeerKey) -> bool, rng: &mut StdRng) -> Vec<Spot> {
        let mut all: Vec<Spot> = self.spots(fit).collect();
        for at in 0..all.len().min(SAMPLE) {
            let other = rng.random_range(at..all.len());
            all.swap(at, other);
        }
        all.truncate(SAMPLE);
        all
    }

    /// One more connection that is worth it, if there is one, beside those that are had or asked for, and by
    /// how much it shortens the ways in the mean, in milliseconds; none of `not`.
    pub(super) fn draw(
        &self,
        have: &BTreeSet<PeerKey>,
        not: impl Fn(PeerKey) -> bool,
        rng: &mut StdRng,
    ) -> Option<(PeerKey, f64)> {
        let targets = self.sample(|_| true, rng);
        let candidates = self.sample(|peer| !have.contains(&peer) && !not(peer), rng);
        let ways: Vec<Spot> = self.spots(|peer| have.contains(&peer)).collect();
        let detours: Vec<f64> = targets
            .iter()
            .map(|to| ways.iter().map(|way| way.detour_ms(to)).fold(f64::MAX, f64::min))
            .collect();
        let least = WORTH_MS * targets.len() as f64;
        let mut sum = 0.0;
        let gains: Vec<(f64, PeerKey, f64)> = candidates
            .iter()
            .filter_map(|candidate| {
                let saved = targets.iter().zip(&detours).map(|(to, now)| {
                    // Without any way yet, the first are as good as each other.
                    (now.min(1_000.0) - candidate.detour_ms(to)).max(0.0)
                });
                let gain = saved.sum::<f64>();
                (gain >= least).then(|| {
                    sum += gain * gain;
                    (sum, candidate.peer, gain / targets.len() as f64)
                })
            })
            .collect();
        if gains.is_empty() {
            return None;
        }
        let pick = rng.random_range(0.0..sum);
        let drawn = gains.iter().find(|(up_to, _, _)| pick < *up_to);
        drawn.map(|(_, peer, gain)| (*peer, *gain))
    }

    /// By how much the ways over `have` to all others would lengthen in the mean without each of them, in
    /// milliseconds; only of those whose place is known.
    pub(super) fn worths(
        &self,
        have: &BTreeSet<PeerKey>,
        rng: &mut StdRng,
    ) -> BTreeMap<PeerKey, f64> {
        let targets = self.sample(|_| true, rng);
        let ways: Vec<Spot> = self.spots(|peer| have.contains(&peer)).collect();
        let mut worth: BTreeMap<PeerKey, f64> = ways.iter().map(|way| (way.peer, 0.0)).collect();
        for to in &targets {
            let (mut first, mut second) = ((f64::MAX, None), f64::MAX);
            for way in &ways {
                let detour = way.detour_ms(to);
                if detour < first.0 {
                    (second, first) = (first.0, (detour, Some(way.peer)));
                } else {
                    second = second.min(detour);
                }
            }
            if let Some(worth) = first.1.and_then(|peer| worth.get_mut(&peer)) {
                *worth += second.min(1_000.0) - first.0;
            }
        }
        let count = targets.len().max(1) as f64;
        worth.values_mut().for_each(|worth| *worth /= count);
        worth
    }
}

/// Whether a connection is worth so little, in the mean over all others, that another may take its place.
pub(super) fn is_spare(worth_ms: f64) -> bool {
    worth_ms < WORTH_MS
}

/// Whether one that shortens the ways by `gain_ms` shall take the place of one that is worth so little.
pub(super) fn is_better(gain_ms: f64, worth_ms: f64) -> bool {
    gain_ms > 2.0 * worth_ms
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn key(n: u8) -> PeerKey {
        let mut bytes = [n; 34];
        bytes[..2].copy_from_slice(&[0x12, 0x20]);
        PeerKey(bytes)
    }

    /// Nodes on a line, this one at 0: number and place in milliseconds of round trip.
    fn line(nodes: &[(u8, i32)]) -> (BTreeMap<PeerKey, u64>, BTreeMap<PeerKey, Position>) {
        let rtt = |at: i32| u64::from(at.unsigned_abs()).max(1);
        let position = |at: i32| Position::from_wire([at * 10, 0, 0], 0, 10).expect("near");
        (
            nodes.iter().map(|(n, at)| (key(*n), rtt(*at))).collect(),
            nodes.iter().map(|(n, at)| (key(*n), position(*at))).collect(),
        )
    }

    #[test]
    fn what_lies_the_other_way_is_drawn_and_what_lies_behind_another_is_not() {
        let nodes = [(1, 100), (2, 180), (3, 190), (4, -90), (5, -95), (6, 2)];
        let (rtt_ms, positions) = line(&nodes);
        let map = Map { rtt_ms: &rtt_ms, positions: &positions };
        let mut rng = StdRng::seed_from_u64(1);
        let have = BTreeSet::from([key(1)]);
        for _ in 0..50 {
            let drawn = map.draw(&have, |_| false, &mut rng).expect("there is a better way").0;
            assert!([key(4), key(5), key(6)].contains(&drawn), "{drawn:?}");
            let other = map.draw(&have, |peer| peer == drawn, &mut rng);
            assert_ne!(other.map(|(peer, _)| peer), Some(drawn));
        }
        let all = BTreeSet::from([key(1), key(4), key(6)]);
        assert_eq!(map.draw(&all, |_| false, &mut rng), None, "nothing more is worth it");
        let have = BTreeSet::from([key(1), key(4), key(5)]);
        let worths = map.worths(&have, &mut rng);
        assert!(is_spare(worths[&key(5)]), "one of two that lie together: {worths:?}");
        assert!(!is_spare(worths[&key(1)]), "the only way to its side: {worths:?}");
    }
}
