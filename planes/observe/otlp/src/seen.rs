//! Spans that are there already: an exporter whose answer was lost sends them again.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use holm_model::Millis;

/// Spans of one half of the window.
const HALF: usize = 1 << 18;
/// How long one half is filled at most, in milliseconds.
const HALF_MS: u64 = 600_000;

/// What makes a span the same one. Two spans of one id, as where a client and a server share it, differ in kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SpanKey {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) kind: i32,
    pub(crate) start: u64,
}

/// The last spans, by a hash of 64 bits whose key nobody knows: of the 524,288 at most that it knows one is mistaken
/// for another with a probability of 3 in 10^14.
#[derive(Debug)]
pub(crate) struct Seen {
    hasher: RandomState,
    now: HashSet<u64>,
    before: HashSet<u64>,
    since: Millis,
}

impl Seen {
    pub(crate) fn new(hasher: RandomState, now: Millis) -> Self {
        Self { hasher, now: HashSet::new(), before: HashSet::new(), since: now }
    }

    pub(crate) fn hash(&self, key: &SpanKey) -> u64 {
        self.hasher.hash_one(key)
    }

    pub(crate) fn has(&self, hash: u64) -> bool {
        self.now.contains(&hash) || self.before.contains(&hash)
    }

    pub(crate) fn clear(&mut self) {
        (self.now, self.before) = (HashSet::new(), HashSet::new());
    }

    /// Begins a new half where one is old.
    pub(crate) fn turn(&mut self, now: Millis) {
        if now.since(self.since) > HALF_MS {
            self.before = std::mem::take(&mut self.now);
            self.since = now;
        }
    }

    pub(crate) fn add(&mut self, hash: u64) {
        if self.now.len() >= HALF {
            self.before = std::mem::take(&mut self.now);
        }
        self.now.insert(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_known_for_a_half_of_the_window_at_least_and_not_for_ever() {
        let mut seen = Seen::new(RandomState::new(), Millis(0));
        seen.add(1);
        for minute in 1..=19 {
            seen.turn(Millis(minute * 60_000));
            assert!(seen.has(1), "{minute}");
        }
        seen.turn(Millis(40 * 60_000));
        assert!(!seen.has(1));
        let many = HALF as u64 * 5 / 2;
        for hash in 2..many {
            seen.add(hash);
            assert!(seen.has(hash.saturating_sub(HALF as u64 - 1).max(2)));
        }
        assert!(!seen.has(2) && seen.now.len() + seen.before.len() <= 2 * HALF);
    }

    #[test]
    fn spans_that_share_an_id_are_told_apart_by_kind_and_start() {
        let seen = Seen::new(RandomState::new(), Millis(0));
        let key = SpanKey { trace_id: [1; 16], span_id: [2; 8], kind: 2, start: 3 };
        for other in [SpanKey { kind: 3, ..key }, SpanKey { start: 4, ..key }] {
            assert_ne!(seen.hash(&key), seen.hash(&other));
        }
        assert_eq!(seen.hash(&key), seen.hash(&key.clone()));
    }
}
