//! When something was true: half-open intervals and ordered sets of them.

use serde::{Deserialize, Serialize};

use crate::Millis;

/// A half-open interval `[from, to)`; `to: None` means that it is still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// First moment that is inside.
    pub from: Millis,
    /// First moment that is outside again, or `None` while the interval is open.
    pub to: Option<Millis>,
}

impl Interval {
    /// Whether `at` lies inside.
    pub fn contains(&self, at: Millis) -> bool {
        self.from <= at && self.to.is_none_or(|to| at < to)
    }

    fn end(&self) -> Millis {
        self.to.unwrap_or(Millis(u64::MAX))
    }
}

/// A set of moments: intervals that are in order, not empty, and neither overlap nor touch. Only the
/// last can be open. Gaps are remembered: that is what time travel stands on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct IntervalSet(Vec<Interval>);

impl IntervalSet {
    /// The set that holds no moment.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The union of any intervals, in any order; empty ones are passed over.
    pub fn from_intervals(intervals: impl IntoIterator<Item = Interval>) -> Self {
        let mut all: Vec<Interval> = intervals.into_iter().filter(|i| i.from < i.end()).collect();
        all.sort_unstable_by_key(|i| i.from);
        let mut set: Vec<Interval> = Vec::with_capacity(all.len());
        for next in all {
            match set.last_mut() {
                Some(last) if next.from <= last.end() => {
                    if next.end() > last.end() {
                        last.to = next.to;
                    }
                }
                _ => set.push(next),
            }
        }
        Self(set)
    }

    /// Opens at `at`; no change where the set is already open. Opening inside or at the end of the
    /// last closed interval reopens that one.
    pub fn open(&mut self, at: Millis) {
        if self.is_open() {
            return;
        }
        self.0.push(Interval { from: at, to: None });
        *self = Self::from_intervals(std::mem::take(&mut self.0));
    }

    /// Closes the open interval at `at`; no change where none is open. An interval that would end
    /// before it began disappears.
    pub fn close(&mut self, at: Millis) {
        if let Some(last) = self.0.last_mut()
            && last.to.is_none()
        {
            last.to = Some(at);
            if at <= last.from {
                self.0.pop();
            }
        }
    }

    /// Whether `at` lies inside.
    pub fn contains(&self, at: Millis) -> bool {
        let after = self.0.partition_point(|i| i.from <= at);
        after > 0 && self.0[after - 1].contains(at)
    }

    /// Whether the last interval is open.
    pub fn is_open(&self) -> bool {
        self.0.last().is_some_and(|i| i.to.is_none())
    }

    /// Whether the set holds no moment.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The moments of both.
    pub fn union(&self, other: &Self) -> Self {
        Self::from_intervals(self.0.iter().chain(&other.0).copied())
    }

    /// The interval that holds `at`.
    pub fn interval_at(&self, at: Millis) -> Option<Interval> {
        let after = self.0.partition_point(|i| i.from <= at);
        let interval = self.0.get(after.checked_sub(1)?)?;
        interval.contains(at).then_some(*interval)
    }

    /// The intervals in order.
    pub fn as_slice(&self) -> &[Interval] {
        &self.0
    }

    /// Takes back what a clock that ran ahead said of moments after `now`: what is open since later is
    /// open since `now`, what ended later ended then, and what lay later altogether is gone.
    pub fn set_back(&mut self, now: Millis) {
        let reopened = self.0.last().is_some_and(|last| last.to.is_none() && last.from >= now);
        self.0.retain(|i| i.from < now);
        if let Some(last) = self.0.last_mut() {
            last.to = last.to.map(|to| to.min(now));
        }
        if reopened {
            self.open(now);
        }
    }

    /// Forgets closed intervals that ended at or before `before` (retention).
    pub fn forget_before(&mut self, before: Millis) {
        self.0.retain(|i| i.end() > before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(from: u64, to: u64) -> Interval {
        Interval { from: Millis(from), to: Some(Millis(to)) }
    }

    #[test]
    fn a_set_remembers_its_gaps() {
        let mut set = IntervalSet::new();
        set.open(Millis(10));
        set.close(Millis(20));
        set.open(Millis(30));
        assert!(set.contains(Millis(10)) && set.contains(Millis(19)));
        assert!(!set.contains(Millis(20)) && !set.contains(Millis(29)));
        assert!(set.contains(Millis(u64::MAX - 1)) && set.is_open());
        assert_eq!(set.interval_at(Millis(15)), Some(closed(10, 20)));
        assert_eq!(set.interval_at(Millis(25)), None);
    }

    #[test]
    fn a_union_is_ordered_and_disjoint() {
        let a = IntervalSet::from_intervals([closed(5, 9), closed(1, 3), closed(7, 12)]);
        assert_eq!(a.as_slice(), [closed(1, 3), closed(5, 12)]);
        let b = IntervalSet::from_intervals([Interval { from: Millis(3), to: None }]);
        assert_eq!(a.union(&b).as_slice(), [Interval { from: Millis(1), to: None }]);
        assert_eq!(a.union(&b), b.union(&a));
    }

    #[test]
    fn what_a_clock_ahead_said_is_taken_back() {
        let back = |intervals: &[(u64, Option<u64>)]| {
            let all =
                intervals.iter().map(|(f, t)| Interval { from: Millis(*f), to: t.map(Millis) });
            let mut set = IntervalSet::from_intervals(all);
            set.set_back(Millis(100));
            set.as_slice().iter().map(|i| (i.from.0, i.to.map(|to| to.0))).collect::<Vec<_>>()
        };
        assert_eq!(back(&[(10, Some(50)), (900, None)]), [(10, Some(50)), (100, None)]);
        assert_eq!(back(&[(10, Some(500)), (900, None)]), [(10, None)]);
        assert_eq!(back(&[(10, Some(500))]), [(10, Some(100))]);
        assert_eq!(back(&[(10, Some(20)), (400, Some(500))]), [(10, Some(20))]);
        assert_eq!(back(&[(10, None)]), [(10, None)]);
    }

    #[test]
    fn closing_before_the_opening_leaves_nothing() {
        let mut set = IntervalSet::new();
        set.open(Millis(10));
        set.close(Millis(10));
        assert!(set.is_empty());
    }
}
