//! Randomness: one seeded stream a purpose, so that more draws of one kind do not change the others.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// The streams of one world.
#[derive(Debug)]
pub(crate) struct Chance {
    /// Where sites stand.
    pub(crate) place: StdRng,
    /// Seeds of the nodes' own randomness, phases of their ticks.
    pub(crate) nodes: StdRng,
    /// Jitter and loss.
    pub(crate) flight: StdRng,
    /// What is written where.
    pub(crate) load: StdRng,
    /// How the clocks run.
    pub(crate) clocks: StdRng,
    /// What the byzantine do.
    pub(crate) malice: StdRng,
}

impl Chance {
    /// The streams of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            place: stream(seed, "place"),
            nodes: stream(seed, "nodes"),
            flight: stream(seed, "flight"),
            load: stream(seed, "load"),
            clocks: stream(seed, "clocks"),
            malice: stream(seed, "malice"),
        }
    }
}

/// The stream of a seed for one purpose.
pub(crate) fn stream(seed: u64, purpose: &str) -> StdRng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_be_bytes());
    hasher.update(purpose.as_bytes());
    StdRng::from_seed(*hasher.finalize().as_bytes())
}
