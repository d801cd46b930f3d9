//! When a thing that is other than usual is said, and when it is said to be over: what wavers is no storm.

use holm_model::Millis;

/// How long something must be other than usual without a break before it is said, in milliseconds.
pub const UNUSUAL_FOR_MS: u64 = 60 * 1_000;
/// How long it must be as usual again, in milliseconds.
pub const USUAL_FOR_MS: u64 = 60 * 1_000;
/// Each time it is said again within this, it must have lasted twice as long, in milliseconds.
pub const REMEMBERED_MS: u64 = 60 * 60 * 1_000;
/// At most so often twice as long: 32 minutes.
const MAX_DOUBLINGS: u32 = 5;

/// Follows one thing.
#[derive(Debug, Clone, Default)]
pub struct Damper {
    /// Since when it is other than what is said.
    since: Option<Millis>,
    raised: bool,
    /// When it was last said, and how often within a while.
    said: Option<Millis>,
    times: u32,
    last: Millis,
}

impl Damper {
    /// How it looks at `now`: whether that raises (`true`) or clears (`false`) it. What is older than what
    /// was taken last says nothing.
    pub fn take(&mut self, unusual: bool, now: Millis) -> Option<bool> {
        if now.is_late_after(self.last) {
            return None;
        }
        if now < self.last {
            // The clock was set back.
            (self.since, self.said) =
                (self.since.map(|at| at.min(now)), self.said.map(|at| at.min(now)));
        }
        self.last = now;
        if unusual == self.raised {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(now);
        if self.said.is_some_and(|said| now.since(said) >= REMEMBERED_MS) {
            self.times = 0;
        }
        let enough = match unusual {
            true => UNUSUAL_FOR_MS << self.times.min(MAX_DOUBLINGS),
            false => USUAL_FOR_MS,
        };
        if now.since(since) < enough {
            return None;
        }
        (self.raised, self.since) = (unusual, None);
        if unusual {
            (self.said, self.times) = (Some(now), self.times.saturating_add(1));
        }
        Some(unusual)
    }

    /// Whether it is said to be other than usual.
    pub fn is_raised(&self) -> bool {
        self.raised
    }

    /// Since when it is other than what is said.
    pub fn since(&self) -> Option<Millis> {
        self.since
    }

    /// What it is now is what is usual from now on: whether that clears it.
    pub fn settle(&mut self) -> bool {
        self.since = None;
        std::mem::take(&mut self.raised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is seen: what is said alternates, nothing is said that did not last, and no more than
        /// seven times an hour.
        #[test]
        fn what_wavers_is_no_storm(steps in prop::collection::vec((0_u64..200_000, any::<bool>()), 0..600)) {
            let mut damper = Damper::default();
            let mut now = Millis(1_000_000);
            let mut said: Vec<(Millis, bool)> = Vec::new();
            let mut history: Vec<(Millis, bool)> = Vec::new();
            for (step, unusual) in steps {
                now = now + step;
                history.push((now, unusual));
                if let Some(raised) = damper.take(unusual, now) {
                    prop_assert_eq!(raised, unusual);
                    prop_assert!(said.last().is_none_or(|(_, before)| *before != raised));
                    let whole = history.iter().rev().take_while(|(_, was)| *was == raised);
                    let began = whole.last().map(|(at, _)| *at).expect("this one");
                    prop_assert!(now.since(began) >= UNUSUAL_FOR_MS.min(USUAL_FOR_MS));
                    said.push((now, raised));
                }
            }
            for (at, _) in &said {
                let hour = said.iter().filter(|(other, raised)| {
                    *raised && other >= at && other.since(*at) < REMEMBERED_MS
                });
                prop_assert!(hour.count() <= 7, "{:?}", said);
            }
        }

        /// What lasts is said, at the latest after the longest wait.
        #[test]
        fn what_lasts_is_said(before in prop::collection::vec((0_u64..200_000, any::<bool>()), 0..100)) {
            let mut damper = Damper::default();
            let mut now = Millis(1_000_000);
            for (step, unusual) in before {
                now = now + step;
                damper.take(unusual, now);
            }
            for _ in 0..=(UNUSUAL_FOR_MS << MAX_DOUBLINGS) / 60_000 + 1 {
                now = now + 60_000;
                damper.take(true, now);
            }
            prop_assert!(damper.is_raised());
        }
    }

    #[test]
    fn what_is_older_says_nothing() {
        let mut damper = Damper::default();
        assert_eq!(damper.take(true, Millis(100_000)), None);
        assert_eq!(damper.take(false, Millis(99_999)), None);
        assert_eq!(damper.take(true, Millis(160_000)), Some(true));
        assert!(damper.settle() && !damper.settle());
        // Unless the clock was set back.
        assert_eq!(damper.take(true, Millis(20_000)), None);
        assert_eq!(damper.take(true, Millis(20_000 + 2 * UNUSUAL_FOR_MS)), Some(true));
    }
}
