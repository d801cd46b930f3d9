//! What happens to what goes one way: decided without a clock and without a socket.

use std::time::Duration;

use rand::{Rng, RngExt};

/// What is done to one way of a link.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Shape {
    /// Each packet is held for this long.
    pub latency: Duration,
    /// And for up to this much more, an even draw: packets of UDP may overtake each other, bytes of TCP do not.
    pub jitter: Duration,
    /// The share of packets that is lost, 0 to 1. Of TCP a chunk is late instead, by [`Way::RETRANSMISSION`], as
    /// if its first sending had been lost.
    pub loss: f64,
    /// Nothing goes through.
    pub cut: bool,
}

impl Shape {
    /// Everything goes through at once.
    pub const CLEAR: Self =
        Self { latency: Duration::ZERO, jitter: Duration::ZERO, loss: 0.0, cut: false };
    /// Nothing goes through.
    pub const CUT: Self = Self { cut: true, ..Self::CLEAR };
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on after this long.
    After(Duration),
    /// It was lost by chance.
    Lost,
    /// The way is cut.
    Cut,
}

/// One way with its randomness: the same seed and the same packets, the same fates.
#[derive(Debug)]
pub struct Way<R> {
    random: R,
}

impl<R: Rng> Way<R> {
    /// How long the first retransmission of TCP waits at least, on Linux (RFC 6298 §2.4 says a second).
    pub const RETRANSMISSION: Duration = Duration::from_millis(200);

    /// With that randomness.
    pub const fn new(random: R) -> Self {
        Self { random }
    }

    /// What becomes of the next packet. Draws the same number of times whatever the shape, so that a change of
    /// one fault does not change the draws of the others.
    pub fn fate(&mut self, shape: &Shape) -> Fate {
        let (lost, more) = (self.random.random::<f64>(), self.random.random::<f64>());
        if shape.cut {
            return Fate::Cut;
        }
        if lost < shape.loss {
            return Fate::Lost;
        }
        Fate::After(shape.latency + shape.jitter.mul_f64(more))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn fates(shape: &Shape, seed: u64, count: usize) -> Vec<Fate> {
        let mut way = Way::new(StdRng::seed_from_u64(seed));
        (0..count).map(|_| way.fate(shape)).collect()
    }

    proptest! {
        #[test]
        fn delays_lie_within_the_jitter_and_seeds_replay(latency in 0_u64..500, jitter in 0_u64..500, loss in 0.0_f64..1.0, seed: u64) {
            let (latency, jitter) = (Duration::from_millis(latency), Duration::from_millis(jitter));
            let shape = Shape { latency, jitter, loss, cut: false };
            let all = fates(&shape, seed, 200);
            prop_assert_eq!(&all, &fates(&shape, seed, 200));
            for fate in &all {
                if let Fate::After(held) = fate {
                    prop_assert!((latency..=latency + jitter).contains(held));
                }
            }
            // Without loss the others have the same delays.
            let lossless = fates(&Shape { loss: 0.0, ..shape }, seed, 200);
            for (with, without) in all.iter().zip(&lossless) {
                prop_assert!(*with == Fate::Lost || with == without);
            }
            let cut = fates(&Shape { cut: true, ..shape }, seed, 20);
            prop_assert_eq!(cut, vec![Fate::Cut; 20]);
        }

        #[test]
        fn as_many_are_lost_as_the_share_says(loss in 0.0_f64..=1.0, seed: u64) {
            let n = 20_000.0;
            let lost = fates(&Shape { loss, ..Shape::CLEAR }, seed, 20_000);
            let lost = lost.iter().filter(|fate| **fate == Fate::Lost).count() as f64;
            // Six standard deviations of a binomial distribution, and one for the ends.
            prop_assert!((lost - n * loss).abs() <= 6.0 * (n * loss * (1.0 - loss)).sqrt() + 1.0);
        }
    }
}
