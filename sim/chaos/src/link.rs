//! What a link does now, and what it did.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::way::Shape;

/// What is done to both ways: `forth` from who connects to who is connected to, `back` the other.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// From the client to the server.
    pub forth: Shape,
    /// From the server to the client.
    pub back: Shape,
}

impl Faults {
    /// None.
    pub const NONE: Self = Self { forth: Shape::CLEAR, back: Shape::CLEAR };
    /// Nothing goes through either way.
    pub const PARTITION: Self = Self { forth: Shape::CUT, back: Shape::CUT };

    /// The same both ways.
    pub const fn both(shape: Shape) -> Self {
        Self { forth: shape, back: shape }
    }
}

/// What became of the packets (UDP) or chunks (TCP) of one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Came to the relay.
    pub came: u64,
    /// Went on.
    pub went: u64,
    /// Lost by chance; of TCP sent again.
    pub lost: u64,
    /// Dropped because the way was cut; of TCP held until it is not.
    pub cut: u64,
    /// Dropped because too many waited, or too many clients came.
    pub no_room: u64,
    /// Could not be sent on: the other end refused or is gone.
    pub failed: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) came: AtomicU64,
    pub(crate) went: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) cut: AtomicU64,
    pub(crate) no_room: AtomicU64,
    pub(crate) failed: AtomicU64,
}

impl Tally {
    fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            came: of(&self.came),
            went: of(&self.went),
            lost: of(&self.lost),
            cut: of(&self.cut),
            no_room: of(&self.no_room),
            failed: of(&self.failed),
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forth,
    Back,
}

/// The faults of a relay, changed while it runs; clones are the same link.
#[derive(Debug, Clone)]
pub struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    faults: watch::Sender<Faults>,
    forth: Tally,
    back: Tally,
    seed: Mutex<u64>,
}

impl Link {
    /// Without faults; what chance decides follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Inner {
            faults: watch::Sender::new(Faults::NONE),
            forth: Tally::default(),
            back: Tally::default(),
            seed: Mutex::new(seed),
        }))
    }

    /// From now on these faults. What is under way keeps its time.
    pub fn set(&self, faults: Faults) {
        self.0.faults.send_replace(faults);
    }

    /// The faults now.
    pub fn faults(&self) -> Faults {
        *self.0.faults.borrow()
    }

    /// What became of what went forth, and back.
    pub fn counts(&self) -> (Counts, Counts) {
        (self.0.forth.counts(), self.0.back.counts())
    }

    pub(crate) fn tally(&self, direction: Direction) -> &Tally {
        match direction {
            Direction::Forth => &self.0.forth,
            Direction::Back => &self.0.back,
        }
    }

    pub(crate) fn shape(&self, direction: Direction) -> Shape {
        let faults = self.faults();
        match direction {
            Direction::Forth => faults.forth,
            Direction::Back => faults.back,
        }
    }

    /// Waits until the way is not cut.
    pub(crate) async fn open(&self, direction: Direction) {
        let mut faults = self.0.faults.subscribe();
        let is_open = |faults: &Faults| match direction {
            Direction::Forth => !faults.forth.cut,
            Direction::Back => !faults.back.cut,
        };
        // The sender lives as long as this link.
        let _ = faults.wait_for(is_open).await;
    }

    /// Randomness of its own for each way of each connection.
    pub(crate) fn next_seed(&self) -> u64 {
        let mut seed = self.0.seed.lock().unwrap_or_else(PoisonError::into_inner);
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        *seed
    }
}
