//! The typical round trip to an address: what may be written down, because it seldom changes.
//!
//! Each measurement is a row. A topology is for what stays: so the median of the latest few is told
//! first when there are enough of them, and again only when it has moved for good.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use holm_model::Millis;

use crate::ProbeKind;

/// Measurements of which the median is taken.
const WINDOW: usize = 9;
/// Measurements before anything is told.
const ENOUGH: usize = 5;
/// A median is news if it differs from the one that was told by this part of it…
const PART: f64 = 0.25;
/// …and by this much, in ms: below it lies what the machine itself adds.
const LEAST_MS: f64 = 0.2;
/// Between two tellings, in ms.
const HOLD_MS: u64 = 5 * 60_000;
/// Most addresses and kinds of probe; the one heard of longest ago makes room.
const MAX_TYPICALS: usize = 20_000;

/// The typical round trips of one run of the plane.
#[derive(Debug, Default)]
pub(crate) struct Typicals(Mutex<HashMap<(ProbeKind, IpAddr), Typical>>);

impl Typicals {
    /// Takes a round trip of `ms`; what is typical, in ms, as it was last told.
    pub(crate) fn add(&self, kind: ProbeKind, address: IpAddr, ms: f64, at: Millis) -> Option<f64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kind, address);
        if all.len() >= MAX_TYPICALS && !all.contains_key(&key) {
            let oldest = all.iter().min_by_key(|(_, typical)| typical.heard).map(|(key, _)| *key);
            oldest.and_then(|oldest| all.remove(&oldest));
        }
        all.entry(key).or_default().add(ms, at)
    }
}

#[derive(Debug, Default)]
struct Typical {
    /// The latest measurements, in a ring.
    latest: Vec<f64>,
    next: usize,
    heard: Millis,
    told: Option<(f64, Millis)>,
}

impl Typical {
    fn add(&mut self, ms: f64, at: Millis) -> Option<f64> {
        self.heard = at;
        if self.latest.len() < WINDOW {
            self.latest.push(ms);
        } else {
            self.latest[self.next] = ms;
            self.next = (self.next + 1) % WINDOW;
        }
        if self.latest.len() >= ENOUGH {
            let median = self.median();
            let news = self.told.is_none_or(|(told, since)| {
                let moved = (median - told).abs();
                moved > LEAST_MS && moved > told * PART && at.since(since) >= HOLD_MS
            });
            if news {
                self.told = Some((median, at));
            }
        }
        self.told.map(|(told, _)| told)
    }

    fn median(&self) -> f64 {
        let mut sorted = self.latest.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(of: &[(f64, u64)]) -> Vec<Option<f64>> {
        let mut typical = Typical::default();
        of.iter().map(|&(ms, at)| typical.add(ms, Millis(at))).collect()
    }

    #[test]
    fn nothing_is_typical_of_a_few_and_one_of_many_changes_nothing() {
        let ten: Vec<(f64, u64)> = (0..20).map(|i| (10.0, i * 1_000)).collect();
        let all = told(&ten);
        assert_eq!(all[3], None);
        assert_eq!(all[4], Some(10.0));
        let mut with_a_spike = ten;
        with_a_spike[12].0 = 900.0;
        assert_eq!(told(&with_a_spike)[19], Some(10.0));
    }

    #[test]
    fn what_moved_for_good_is_told_once_its_time_has_come() {
        let minutes: Vec<(f64, u64)> =
            (0..30).map(|i| (if i < 10 { 10.0 } else { 30.0 }, i * 60_000)).collect();
        let all = told(&minutes);
        assert_eq!(all[13], Some(10.0), "most of the latest are still the former");
        assert_eq!(all[14], Some(30.0));
        let changes = all.windows(2).filter(|w| w[0] != w[1]).count();
        assert_eq!(changes, 2, "nothing, then one, then the other");
        let fast: Vec<(f64, u64)> =
            (0..30).map(|i| (f64::from(i % 2) * 0.1, i as u64 * 600_000)).collect();
        assert_eq!(
            told(&fast).windows(2).filter(|w| w[0] != w[1]).count(),
            1,
            "the machine's own noise"
        );
    }
}
