//! The time of the mesh: what this node judges is dated by the clocks of most nodes, where they show that its own is
//! off. What it merely sees keeps its own times.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use holm_model::Millis;

/// A correction that differs by less from the one in use is the same, in milliseconds.
const SAME_MS: u64 = 500;
/// This node's clock was set if it went on by so much more or less than time did, in milliseconds.
const SET_MS: u64 = 1_000;

/// How far this node's clock is ahead of the clocks of most nodes.
#[derive(Debug)]
pub(crate) struct MeshClock {
    known: Mutex<Known>,
    started: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// 0 while it is not off, or nobody can tell.
    ahead_ms: i64,
    /// The clock when the node started, by what it said and how much time had passed as this was found. A clock
    /// that was set since is not off by this any more.
    origin_ms: i64,
}

impl Default for MeshClock {
    fn default() -> Self {
        Self { known: Mutex::default(), started: Instant::now() }
    }
}

impl MeshClock {
    /// Takes by how much this node's clock is ahead of those of most nodes at `now` of its own; `None` if too few are
    /// connected to tell: what was known holds on. The correction if it became another.
    pub(super) fn found(&self, ahead_ms: Option<i64>, now: Millis) -> Option<i64> {
        self.found_after(ahead_ms, now, self.passed_ms())
    }

    /// Now, by the mesh's clock.
    pub(crate) fn now(&self) -> Millis {
        self.of(Millis::now())
    }

    /// A recent moment of this node's clock, by the mesh's.
    pub(crate) fn of(&self, at: Millis) -> Millis {
        Millis(at.0.saturating_add_signed(self.ahead_ms().saturating_neg()))
    }

    /// By how much moments of this node's clock are corrected.
    pub(crate) fn ahead_ms(&self) -> i64 {
        self.ahead_after(Millis::now(), self.passed_ms())
    }

    fn found_after(&self, ahead_ms: Option<i64>, now: Millis, passed_ms: u64) -> Option<i64> {
        let before = self.ahead_after(now, passed_ms);
        let ahead_ms = ahead_ms.unwrap_or(before);
        let ahead_ms = if ahead_ms.abs_diff(before) < SAME_MS { before } else { ahead_ms };
        let origin_ms = origin_ms(now, passed_ms);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Known { ahead_ms, origin_ms };
        (ahead_ms != before).then_some(ahead_ms)
    }

    fn ahead_after(&self, now: Millis, passed_ms: u64) -> i64 {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let was_set = origin_ms(now, passed_ms).abs_diff(known.origin_ms) > SET_MS;
        if was_set { 0 } else { known.ahead_ms }
    }

    fn passed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn origin_ms(now: Millis, passed_ms: u64) -> i64 {
    i64::try_from(i128::from(now.0) - i128::from(passed_ms)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_clock_that_is_off_is_corrected_until_it_is_set_right() {
        let clock = MeshClock::default();
        let start = 100 * HOUR_MS.unsigned_abs();
        let at = |passed_ms: u64| Millis(start + passed_ms);
        assert_eq!(clock.found_after(None, at(0), 0), None, "nobody can tell");
        assert_eq!(clock.ahead_after(at(10), 10), 0);
        assert_eq!(clock.found_after(Some(HOUR_MS), at(1_000), 1_000), Some(HOUR_MS));
        assert_eq!(clock.ahead_after(at(2_000), 2_000), HOUR_MS);
        // It wavers a little, and then the mesh is away.
        assert_eq!(clock.found_after(Some(HOUR_MS + 300), at(3_000), 3_000), None);
        assert_eq!(clock.found_after(None, at(9_000), 9_000), None);
        assert_eq!(clock.ahead_after(at(10_000), 10_000), HOUR_MS);
        // Set right: from that moment on, before anybody tells.
        let right = |passed_ms: u64| Millis(at(passed_ms).0 - HOUR_MS.unsigned_abs());
        assert_eq!(clock.ahead_after(right(10_500), 10_500), 0);
        assert_eq!(clock.found_after(None, right(11_000), 11_000), None);
        assert_eq!(clock.ahead_after(right(12_000), 12_000), 0);
        assert_eq!(clock.found_after(Some(-HOUR_MS), right(13_000), 13_000), Some(-HOUR_MS));
        assert_eq!(clock.found_after(Some(0), right(14_000), 14_000), Some(0));
    }

    #[test]
    fn a_moment_is_dated_by_the_mesh() {
        let clock = MeshClock::default();
        clock.found(Some(5_000), Millis::now());
        assert_eq!((clock.ahead_ms(), clock.of(Millis(9_000))), (5_000, Millis(4_000)));
        clock.found(Some(-5_000), Millis::now());
        assert_eq!(clock.of(Millis(9_000)), Millis(14_000));
    }
}
