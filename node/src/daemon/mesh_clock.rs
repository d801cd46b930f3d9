//! The time of the mesh: what this node judges is dated by the clocks of most nodes, where they show that its own is
//! off. What it merely sees keeps its own times.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use holm_model::Millis;

/// A correction that differs by less from the one in use is the same, in milliseconds.
const SAME_MS: u64 = 500;
/// This node's clock was set if it went on by so much more or less than time did, in milliseconds.
const SET_MS: u64 = 1_000;

/// What is told so soon after the clock was set is not taken, in milliseconds: pings come each second.
const DOUBT_MS: u64 = 5_000;
/// Less than this is not off: nodes do not say so either, in milliseconds.
const OFF_MS: u64 = 2_000;

/// How far this node's clock is ahead of the clocks of most nodes.
#[derive(Debug, Default)]
pub(crate) struct MeshClock {
    known: Mutex<Option<Known>>,
    time: Passed,
}

/// What the mesh told last.
#[derive(Debug, Clone, Copy)]
struct Known {
    ahead_ms: i64,
    /// What the clock said then, less the time that had passed: another one now means that it was set.
    origin_ms: i64,
    /// Until so much time has passed what the mesh tells may be of before the clock was set.
    doubted_until_ms: u64,
}

impl MeshClock {
    /// Takes by how much this node's clock is ahead of those of most nodes at `now` of its own; `None` if too few are
    /// connected to tell: what was known holds on. The correction if it became another.
    pub(super) fn found(&self, ahead_ms: Option<i64>, now: Millis) -> Option<i64> {
        self.found_after(ahead_ms, now, self.time.passed_ms())
    }

    /// Whether anybody told since the start.
    pub(super) fn is_known(&self) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).is_some()
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
        self.ahead_after(Millis::now(), self.time.passed_ms())
    }

    fn found_after(&self, ahead_ms: Option<i64>, now: Millis, passed_ms: u64) -> Option<i64> {
        let before = self.ahead_after(now, passed_ms);
        let mut held = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let origin_ms = origin_ms(now, passed_ms);
        let doubted_until_ms = match *held {
            Some(known) if origin_ms.abs_diff(known.origin_ms) > SET_MS => passed_ms + DOUBT_MS,
            Some(known) => known.doubted_until_ms,
            None => 0,
        };
        let told = ahead_ms.filter(|_| passed_ms >= doubted_until_ms);
        let ahead_ms = told.or(held.is_some().then_some(before))?;
        let ahead_ms = if ahead_ms.abs_diff(before) < SAME_MS { before } else { ahead_ms };
        *held = Some(Known { ahead_ms, origin_ms, doubted_until_ms });
        (ahead_ms != before).then_some(ahead_ms)
    }

    /// What the mesh told, and by how much the clock was set since.
    fn ahead_after(&self, now: Millis, passed_ms: u64) -> i64 {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Known { ahead_ms, origin_ms: origin, .. }) = known else { return 0 };
        let set_by = origin_ms(now, passed_ms).saturating_sub(origin);
        if set_by.unsigned_abs() <= SET_MS {
            return ahead_ms;
        }
        let ahead_ms = ahead_ms.saturating_add(set_by);
        if ahead_ms.unsigned_abs() < OFF_MS { 0 } else { ahead_ms }
    }
}

/// Notices that this node's clock was set, or that the node stood still.
#[derive(Debug)]
pub(crate) struct Steps {
    time: Passed,
    /// What the clock said, and how much time had passed.
    last: (Millis, u64),
    still_ms: u64,
}

impl Steps {
    /// From now on; more than `still_ms` between two looks is a stand.
    pub(crate) fn new(still_ms: u64) -> Self {
        let time = Passed::default();
        let last = (Millis::now(), time.passed_ms());
        Self { time, last, still_ms }
    }

    /// Whether the clock was set since the last look, by more than five seconds, or nothing went on meanwhile.
    pub(crate) fn look(&mut self, now: Millis) -> bool {
        let passed_ms = self.time.passed_ms();
        self.look_after(now, passed_ms)
    }

    fn look_after(&mut self, now: Millis, passed_ms: u64) -> bool {
        let (before, passed_before) = std::mem::replace(&mut self.last, (now, passed_ms));
        let set_by = origin_ms(now, passed_ms).abs_diff(origin_ms(before, passed_before));
        set_by > 5 * SET_MS || passed_ms.saturating_sub(passed_before) > self.still_ms
    }
}

/// How much time passes, whatever the clock says.
#[derive(Debug)]
struct Passed(Instant);

impl Default for Passed {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Passed {
    /// Since the machine started, the time that it slept among it; where that is not told, since this was made.
    fn passed_ms(&self) -> u64 {
        let told = std::fs::read_to_string("/proc/uptime").ok();
        let seconds = told.and_then(|told| told.split(' ').next()?.parse::<f64>().ok());
        let own = || u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX);
        seconds.map_or_else(own, |seconds| (seconds * 1_000.0) as u64)
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
        assert_eq!((clock.ahead_after(at(10), 10), clock.is_known()), (0, false));
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
        // And set wrong again, also while the mesh is away.
        assert_eq!(clock.ahead_after(at(13_000), 13_000), HOUR_MS);
        // What is told at once was found before the clock was set.
        assert_eq!(clock.found_after(Some(0), at(14_000), 14_000), None);
        assert_eq!(clock.ahead_after(at(15_000), 15_000), HOUR_MS);
        assert_eq!(clock.found_after(Some(HOUR_MS), at(19_500), 19_500), None);
        assert_eq!(clock.found_after(Some(0), at(20_000), 20_000), Some(0), "the others were set");
    }

    #[test]
    fn who_was_told_nothing_goes_by_its_own_clock_however_it_is_set() {
        let clock = MeshClock::default();
        assert_eq!(clock.found_after(None, Millis(1_000_000), 1_000), None);
        assert_eq!(clock.ahead_after(Millis(9_000_000), 2_000), 0);
    }

    #[test]
    fn a_moment_is_dated_by_the_mesh() {
        let clock = MeshClock::default();
        clock.found(Some(5_000), Millis::now());
        assert_eq!((clock.ahead_ms(), clock.of(Millis(9_000))), (5_000, Millis(4_000)));
        clock.found(Some(-5_000), Millis::now());
        assert_eq!(clock.of(Millis(9_000)), Millis(14_000));
    }

    #[test]
    fn a_step_and_a_stand_are_noticed_once() {
        let mut steps = Steps::new(60_000);
        steps.last = (Millis(1_000_000), 0);
        assert!(!steps.look_after(Millis(1_001_000), 1_000));
        assert!(!steps.look_after(Millis(1_004_000), 2_000), "a little");
        assert!(steps.look_after(Millis(4_600_000), 3_000), "forward");
        assert!(!steps.look_after(Millis(4_601_000), 4_000));
        assert!(steps.look_after(Millis(1_005_000), 5_000), "and back");
        assert!(steps.look_after(Millis(1_105_000), 105_000), "it stood still");
        assert!(!steps.look_after(Millis(1_106_000), 106_000));
    }
}
