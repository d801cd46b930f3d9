//! Whether the event loop goes round. A loop that stands still says nothing itself, so a thread of its
//! own looks at it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::shared::Shared;

/// How often the thread looks.
const LOOK: Duration = Duration::from_millis(500);

/// An event loop that stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stuck {
    /// What it was last seen to begin.
    pub step: &'static str,
    /// How long it has been at that, in milliseconds.
    pub for_ms: u64,
}

/// Where the loop is, and since when.
#[derive(Debug, Default)]
pub(crate) struct Beat(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// `None`: the loop has not begun, or has ended.
    step: Option<&'static str>,
    since_ms: u64,
    told: bool,
}

impl Beat {
    /// The loop begins a step.
    pub(crate) fn at(&self, step: &'static str, mono_ms: u64) {
        *self.state() = State { step: Some(step), since_ms: mono_ms, told: false };
    }

    /// Nobody ran for so long: what the loop was at did not take that time.
    fn nobody_ran(&self, for_ms: u64) {
        let mut state = self.state();
        state.since_ms = state.since_ms.saturating_add(for_ms);
    }

    /// The loop ends on purpose.
    pub(crate) fn end(&self) {
        self.state().step = None;
    }

    /// Where the loop stands still, if it has for `after_ms`.
    pub(crate) fn stuck(&self, mono_ms: u64, after_ms: u64) -> Option<Stuck> {
        let state = self.state();
        let for_ms = mono_ms.saturating_sub(state.since_ms);
        state.step.filter(|_| for_ms >= after_ms).map(|step| Stuck { step, for_ms })
    }

    /// The same, once each time.
    fn newly_stuck(&self, mono_ms: u64, after_ms: u64) -> Option<Stuck> {
        let stuck = self.stuck(mono_ms, after_ms)?;
        let told = std::mem::replace(&mut self.state().told, true);
        (!told).then_some(stuck)
    }

    // A state is written as a whole: a panic of another thread leaves none half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the loop until the mesh is gone.
pub(crate) fn watch(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    let started = std::thread::Builder::new().name("mesh-watchdog".to_owned()).spawn(move || {
        let mut looked = std::time::Instant::now();
        while look(&weak, &mut looked) {}
    });
    if let Err(error) = started {
        shared.count("watchdog_not_started");
        tracing::warn!(%error, "nobody watches the mesh's event loop: no thread to be had");
    }
}

fn look(shared: &Weak<Shared>, looked: &mut std::time::Instant) -> bool {
    std::thread::sleep(LOOK);
    let Some(shared) = shared.upgrade() else { return false };
    let after_ms = shared.config.limits.stuck_ms;
    // This thread does nothing that could take long: if it is late, so was everything.
    let late = std::mem::replace(looked, std::time::Instant::now()).elapsed().saturating_sub(LOOK);
    let late_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
    if late_ms >= after_ms / 2 {
        shared.beat.nobody_ran(late_ms);
        shared.count("process_stood_still");
        tracing::warn!(
            for_ms = late_ms,
            "this process did not run: it was stopped, its machine was, or other work left it no time"
        );
    }
    if let Some(Stuck { step, for_ms }) = shared.beat.newly_stuck(shared.mono_ms(), after_ms) {
        shared.count("loop_stuck");
        tracing::error!(
            step,
            for_ms,
            "the mesh's event loop stands still: nothing is sent or received until this step ends"
        );
        shared.changed();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_told_once_each_time() {
        let beat = Beat::default();
        assert_eq!(beat.stuck(1_000_000, 10_000), None, "it has not begun");
        beat.at("tick", 5_000);
        assert_eq!(beat.stuck(14_999, 10_000), None);
        let stuck = Some(Stuck { step: "tick", for_ms: 10_000 });
        assert_eq!(beat.newly_stuck(15_000, 10_000), stuck);
        assert_eq!(beat.newly_stuck(16_000, 10_000), None, "told already");
        assert!(beat.stuck(16_000, 10_000).is_some(), "but it still is");
        beat.at("waiting", 17_000);
        assert_eq!(beat.stuck(17_001, 10_000), None, "it goes on");
        assert!(beat.newly_stuck(30_000, 10_000).is_some(), "another time");
        beat.nobody_ran(12_000);
        assert_eq!(beat.stuck(30_000, 10_000), None, "it was stopped with all the process");
        assert!(beat.stuck(39_000, 10_000).is_some(), "what is longer still counts");
        beat.end();
        assert_eq!(beat.stuck(90_000, 10_000), None, "it was stopped");
    }
}
