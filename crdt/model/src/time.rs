//! Time as an argument: judging code never asks a clock.

use std::ops::{Add, Sub};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since the Unix epoch, UTC.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// The machine's wall clock now. Only the edges of the program (planes, node) call this.
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// Milliseconds from `earlier` to `self`, 0 if `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether what one clock dates so came late, after what it dates `last`. What lies more than a minute before that
    /// did not: the clock was set back, and it is the newest that there is.
    pub fn is_late_after(self, last: Self) -> bool {
        (1..=60_000).contains(&last.since(self))
    }
}

impl From<SystemTime> for Millis {
    fn from(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Add<u64> for Millis {
    type Output = Self;
    /// `self` plus `millis`, saturating.
    fn add(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl Sub<u64> for Millis {
    type Output = Self;
    /// `self` minus `millis`, saturating.
    fn sub(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis))
    }
}
