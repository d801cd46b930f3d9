//! Where nodes stand in the network: coordinates whose distances are about their round trips.
//!
//! Vivaldi (Dabek, Cox, Kaashoek, Morris: "Vivaldi: A Decentralized Network Coordinate System", SIGCOMM
//! 2004), in three dimensions with a height, which stands for what every way to a node costs. Each round
//! trip that is measured moves a node a little towards or away from the peer that answered. Nothing but
//! the choice of connections depends on it, and that only among peers whose round trip was measured.

use rand::RngExt;
use rand::rngs::StdRng;

/// Farthest from the middle, and highest, in milliseconds: what a peer says beyond it is not believed.
const MAX_MS: f64 = 10_000.0;
const LEAST_HEIGHT_MS: f64 = 0.2;
/// How far a measurement moves a node, and how fast its error follows.
const STEP: f64 = 0.25;
/// Round trips are measured in whole milliseconds: below this, their error is not relative.
const COARSE_MS: f64 = 4.0;
/// On the wire: tenths of a millisecond, and thousandths.
const TENTHS: f64 = 10.0;
const THOUSANDTHS: f64 = 1_000.0;

/// Where a node says that it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    at: [f64; 3],
    height: f64,
    /// Relative error of the distances, about: 0 sure, 1 knows nothing.
    error: f64,
}

// No part of it is ever NaN.
impl Eq for Position {}

impl Default for Position {
    fn default() -> Self {
        Self { at: [0.0; 3], height: LEAST_HEIGHT_MS, error: 1.0 }
    }
}

impl Position {
    /// As it goes over the wire: x, y, z and height in tenths of a millisecond, the error in thousandths.
    pub fn to_wire(self) -> ([i32; 3], u32, u32) {
        let tenths = |ms: f64| (ms * TENTHS).round() as i32;
        let height = tenths(self.height).unsigned_abs();
        (self.at.map(tenths), height, (self.error * THOUSANDTHS).round() as u32)
    }

    /// What came over the wire; `None` if it lies beyond all distances of the earth.
    pub fn from_wire(at: [i32; 3], height: u32, error: u32) -> Option<Self> {
        let at = at.map(|tenths| f64::from(tenths) / TENTHS);
        let height = f64::from(height) / TENTHS;
        let error = f64::from(error) / THOUSANDTHS;
        let near = at.iter().chain([&height]).all(|ms| ms.abs() <= MAX_MS);
        let (height, error) = (height.max(LEAST_HEIGHT_MS), error.clamp(0.01, 1.0));
        near.then_some(Self { at, height, error })
    }

    /// About the round trip between two nodes, in milliseconds.
    pub fn distance_ms(&self, other: &Self) -> f64 {
        let far = self.at.iter().zip(other.at).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
        far + self.height + other.height
    }

    /// Whether it has been measured often enough to say something.
    pub fn is_known(&self) -> bool {
        self.error < 0.5
    }

    /// A round trip of `rtt_ms` to a node that says that it stands at `other`.
    pub(crate) fn met(&mut self, other: &Self, rtt_ms: u64, rng: &mut StdRng) {
        let rtt = (rtt_ms as f64).max(0.5);
        let distance = self.distance_ms(other);
        let weight = self.error / (self.error + other.error);
        let sample = ((distance - rtt).abs() / rtt.max(COARSE_MS)).min(2.0);
        let share = STEP * weight;
        self.error = (sample * share + self.error * (1.0 - share)).clamp(0.01, 1.0);
        let push = STEP * weight * (rtt - distance);
        let mut away = [0.0; 3];
        for (way, (a, b)) in away.iter_mut().zip(self.at.iter().zip(other.at)) {
            *way = a - b;
        }
        let length = away.iter().map(|way| way * way).sum::<f64>().sqrt();
        if length < 0.01 {
            // At one place: any way is as good.
            away = std::array::from_fn(|_| rng.random_range(-1.0..1.0));
        }
        let length = away.iter().map(|way| way * way).sum::<f64>().sqrt().max(0.01);
        for (at, way) in self.at.iter_mut().zip(away) {
            *at = (*at + push * way / length).clamp(-MAX_MS, MAX_MS);
        }
        let share = (self.height + other.height) / distance.max(0.1);
        self.height = (self.height + push * share).clamp(LEAST_HEIGHT_MS, MAX_MS);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// Points on a globe on which half the way round takes 260 ms.
    fn globe(count: usize, rng: &mut StdRng) -> Vec<[f64; 3]> {
        let point = |rng: &mut StdRng| {
            loop {
                let p: [f64; 3] = std::array::from_fn(|_| rng.random_range(-1.0..1.0));
                let length = p.iter().map(|x| x * x).sum::<f64>().sqrt();
                if (0.1..1.0).contains(&length) {
                    return p.map(|x| x / length);
                }
            }
        };
        (0..count).map(|_| point(rng)).collect()
    }

    fn rtt_ms(a: [f64; 3], b: [f64; 3]) -> u64 {
        let dot = a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>().clamp(-1.0, 1.0);
        (4.0 + dot.acos() / std::f64::consts::PI * 260.0) as u64
    }

    #[test]
    fn distances_come_close_to_the_round_trips_that_were_measured() {
        let mut rng = StdRng::seed_from_u64(5);
        let places = globe(60, &mut rng);
        let mut all = vec![Position::default(); places.len()];
        for _ in 0..60 * 120 {
            let (a, b) = (rng.random_range(0..60), rng.random_range(0..60));
            if a != b {
                let other = all[b];
                all[a].met(&other, rtt_ms(places[a], places[b]), &mut rng);
            }
        }
        let mut errors = Vec::new();
        for a in 0..60 {
            for b in a + 1..60 {
                let truth = rtt_ms(places[a], places[b]) as f64;
                errors.push((all[a].distance_ms(&all[b]) - truth).abs() / truth);
            }
        }
        errors.sort_by(f64::total_cmp);
        assert!(errors[errors.len() / 2] < 0.2, "median {}", errors[errors.len() / 2]);
        assert!(all.iter().all(Position::is_known));
    }

    #[test]
    fn what_no_node_can_say_is_refused_or_moves_nobody_far() {
        assert_eq!(Position::from_wire([i32::MAX, 0, 0], 0, 0), None);
        assert_eq!(Position::from_wire([0; 3], u32::MAX, 0), None);
        let mut rng = StdRng::seed_from_u64(6);
        let mut me = Position::default();
        for n in 0..10_000 {
            let at = [100_000 - n, n, -n];
            let liar = Position::from_wire(at, 100_000, 0).expect("it is at the edge");
            me.met(&liar, u64::MAX, &mut rng);
            me.met(&liar, 0, &mut rng);
            let (at, height, error) = me.to_wire();
            assert!(Position::from_wire(at, height, error).is_some(), "{me:?}");
        }
    }
}
