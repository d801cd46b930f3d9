//! How a group of a rule stands: from what was found at each moment to pending and firing.
//!
//! What was found in the last ten minutes is remembered and may change while rows come that are late; how things
//! stood before that is settled. So the way through the states is gone anew from there, and comes out as if all
//! rows had come in time.

use holm_model::Millis;

/// What was found at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does not hold.
    Clear,
    /// It holds.
    Breach,
    /// There is no value.
    NoValue,
    /// What is usual is not known yet.
    Warming,
}

/// What was found at the moments that are not settled, the latest last. Two bits each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Verdicts {
    bits: u128,
    pub(crate) len: u32,
}

/// Most moments that are not settled.
pub(crate) const MAX_OPEN: u32 = 64;
/// The low bit of each moment.
const LOW: u128 = u128::MAX / 3;

impl Verdicts {
    pub(crate) const fn push(&mut self, verdict: Verdict) {
        self.bits = self.bits << 2 | verdict as u128;
        self.len += 1;
    }

    /// What was found `ago` moments before the latest.
    pub(crate) const fn get(self, ago: u32) -> Verdict {
        match self.bits >> (2 * ago) & 3 {
            0 => Verdict::Clear,
            1 => Verdict::Breach,
            2 => Verdict::NoValue,
            _ => Verdict::Warming,
        }
    }

    pub(crate) const fn set(&mut self, ago: u32, verdict: Verdict) {
        self.bits = self.bits & !(3 << (2 * ago)) | (verdict as u128) << (2 * ago);
    }

    /// Takes the oldest out.
    pub(crate) const fn settle(&mut self) -> Verdict {
        self.len -= 1;
        let oldest = self.get(self.len);
        self.set(self.len, Verdict::Clear);
        oldest
    }

    /// Whether it held at none of these moments.
    pub(crate) const fn calm(self) -> bool {
        // A breach is the low bit alone.
        self.bits & LOW & !(self.bits >> 1) == 0
    }
}

/// How a group stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Inactive,
    Pending {
        since: Millis,
    },
    Firing {
        since: Millis,
        at: Millis,
        clear: Option<Millis>,
    },
}

/// How long it must hold, and how long it must not, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spans {
    pub(crate) for_ms: u64,
    pub(crate) keep_ms: u64,
}

impl State {
    /// The state after what was found at `at`.
    pub(crate) fn step(self, verdict: Verdict, at: Millis, spans: Spans) -> Self {
        let breach = verdict == Verdict::Breach;
        match self {
            Self::Inactive if !breach => Self::Inactive,
            Self::Inactive => Self::Pending { since: at }.step(verdict, at, spans),
            Self::Pending { .. } if !breach => Self::Inactive,
            Self::Pending { since } if at.since(since) >= spans.for_ms => {
                Self::Firing { since, at, clear: None }
            }
            Self::Firing { since, at: fired, .. } if breach => {
                Self::Firing { since, at: fired, clear: None }
            }
            Self::Firing { since, at: fired, clear } => {
                let clear = clear.unwrap_or(at);
                if at.since(clear) >= spans.keep_ms {
                    return Self::Inactive;
                }
                Self::Firing { since, at: fired, clear: Some(clear) }
            }
            pending @ Self::Pending { .. } => pending,
        }
    }
}

/// A while for which it fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spell {
    /// When it began to hold.
    pub since: Millis,
    /// When it fired.
    pub at: Millis,
    /// When it was over; `None` while it lasts.
    pub end: Option<Millis>,
}

impl Spell {
    pub(crate) fn covers(&self, at: Millis) -> bool {
        self.at <= at && self.end.is_none_or(|end| at < end)
    }
}

/// What was said of a while, and is not taken back yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// When the while began that it is of.
    pub(crate) at: Millis,
    /// Whether it was raised and not cleared.
    pub(crate) raised: bool,
    pub(crate) end: Option<Millis>,
}

/// A group of a rule.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    settled: State,
    pub(crate) verdicts: Verdicts,
    pub(crate) now: State,
    /// The whiles that are not settled, in order.
    pub(crate) spells: Vec<Spell>,
    pub(crate) told: Vec<Told>,
    /// The latest time of which something was said.
    pub(crate) said: Millis,
    pub(crate) value: Option<f64>,
    /// The limits of what is usual.
    pub(crate) band: Option<(f64, f64)>,
    pub(crate) baseline: Option<Box<crate::baseline::Baseline>>,
}

impl Watch {
    /// Goes the way anew; `latest` is the moment of the latest verdict, `step_ms` lies between two.
    pub(crate) fn replay(&mut self, latest: Millis, step_ms: u64, spans: Spans) {
        if self.verdicts.calm() && self.settled == State::Inactive {
            self.now = State::Inactive;
            self.spells.clear();
            return;
        }
        self.spells.clear();
        let mut state = self.settled;
        if let State::Firing { since, at, .. } = state {
            self.spells.push(Spell { since, at, end: None });
        }
        for ago in (0..self.verdicts.len).rev() {
            let at = latest - u64::from(ago) * step_ms;
            let next = state.step(self.verdicts.get(ago), at, spans);
            match (state, next) {
                (State::Inactive | State::Pending { .. }, State::Firing { since, at, .. }) => {
                    self.spells.push(Spell { since, at, end: None });
                }
                (State::Firing { .. }, State::Inactive) => {
                    if let Some(last) = self.spells.last_mut() {
                        last.end = Some(at);
                    }
                }
                _ => {}
            }
            state = next;
        }
        self.now = state;
    }

    /// Settles all but the latest `open` moments.
    pub(crate) fn settle(&mut self, latest: Millis, step_ms: u64, open: u32, spans: Spans) {
        while self.verdicts.len > open {
            let at = latest - u64::from(self.verdicts.len - 1) * step_ms;
            let verdict = self.verdicts.settle();
            if verdict == Verdict::Breach || self.settled != State::Inactive {
                self.settled = self.settled.step(verdict, at, spans);
            }
        }
    }

    /// Whether nothing is to be remembered of it.
    pub(crate) fn is_idle(&self) -> bool {
        self.settled == State::Inactive
            && self.now == State::Inactive
            && self.spells.is_empty()
            && self.told.iter().all(|told| !told.raised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Breach, Clear, NoValue};

    const STEP: u64 = 60_000;

    fn way(verdicts: &[Verdict], for_min: u64, keep_min: u64) -> (String, Watch) {
        let spans = Spans { for_ms: for_min * STEP, keep_ms: keep_min * STEP };
        let mut watch = Watch::default();
        let mut said = String::new();
        for (minute, verdict) in (1..).zip(verdicts) {
            watch.verdicts.push(*verdict);
            watch.replay(Millis(minute * STEP), STEP, spans);
            watch.settle(Millis(minute * STEP), STEP, 10, spans);
            said.push(match watch.now {
                State::Inactive => '.',
                State::Pending { .. } => 'p',
                State::Firing { clear: None, .. } => 'F',
                State::Firing { .. } => 'f',
            });
        }
        (said, watch)
    }

    #[test]
    fn it_fires_after_its_time_and_is_over_after_its_time() {
        let found = [Clear, Breach, Breach, Breach, Clear, Clear, Clear, Breach, NoValue];
        assert_eq!(way(&found, 0, 0).0, ".FFF...F.");
        assert_eq!(way(&found, 2, 0).0, ".ppF...p.");
        assert_eq!(way(&found, 1, 2).0, ".pFFff.p.");
        assert_eq!(way(&found, 1, 4).0, ".pFFfffFf");
        let (_, watch) = way(&found, 2, 1);
        let spell =
            Spell { since: Millis(2 * STEP), at: Millis(4 * STEP), end: Some(Millis(6 * STEP)) };
        assert_eq!(watch.spells, [spell]);
    }

    #[test]
    fn a_breach_that_lasts_is_known_after_it_is_settled() {
        let found = [Breach; 40];
        let (said, watch) = way(&found, 5, 0);
        assert_eq!(said, format!("ppppp{}", "F".repeat(35)));
        let spell = Spell { since: Millis(STEP), at: Millis(6 * STEP), end: None };
        assert_eq!(watch.spells, [spell]);
        assert!(!watch.is_idle() && !watch.verdicts.calm());
    }

    #[test]
    fn verdicts_are_kept_in_their_order() {
        let mut verdicts = Verdicts::default();
        for verdict in [Clear, Breach, NoValue, Verdict::Warming] {
            verdicts.push(verdict);
        }
        let all: Vec<Verdict> = (0..4).rev().map(|ago| verdicts.get(ago)).collect();
        assert_eq!(all, [Clear, Breach, NoValue, Verdict::Warming]);
        verdicts.set(2, NoValue);
        assert!(verdicts.calm());
        assert_eq!((verdicts.settle(), verdicts.len), (Clear, 3));
        let mut full = Verdicts::default();
        (0..MAX_OPEN).for_each(|_| full.push(Breach));
        assert_eq!(full.get(MAX_OPEN - 1), Breach);
    }
}
