//! Heavy hitters by Space-Saving (Metwally, Agrawal, El Abbadi, 2005), weighted.
//!
//! With `n` places, every key whose weight is more than 1/n of all is among them, and a count is too
//! large by at most `error` of its entry, which is never more than 1/n of all.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::Hash;

use hashbrown::HashMap;

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    /// Its weight, or more.
    pub(crate) weight: u64,
    /// By how much that may be too large.
    pub(crate) error: u64,
}

/// The heaviest keys of a stream, in bounded memory.
#[derive(Debug, Clone)]
pub(crate) struct SpaceSaving<K> {
    places: usize,
    counts: HashMap<K, Count>,
    /// Weights as they were when written, the least first; an entry that is out of date is put right when met.
    least: BinaryHeap<Reverse<(u64, K)>>,
    total: u64,
}

impl<K: Hash + Eq + Ord + Clone> SpaceSaving<K> {
    /// With so many places; at least one.
    pub(crate) fn new(places: usize) -> Self {
        let places = places.max(1);
        Self { places, counts: HashMap::new(), least: BinaryHeap::new(), total: 0 }
    }

    /// Adds `weight` to a key.
    pub(crate) fn add(&mut self, key: &K, weight: u64) {
        self.total = self.total.saturating_add(weight);
        if let Some(count) = self.counts.get_mut(key) {
            count.weight = count.weight.saturating_add(weight);
            return;
        }
        let error = if self.counts.len() >= self.places { self.evict() } else { 0 };
        let count = Count { weight: error.saturating_add(weight), error };
        self.counts.insert(key.clone(), count);
        self.least.push(Reverse((count.weight, key.clone())));
    }

    /// Takes out the key of least weight; that weight.
    fn evict(&mut self) -> u64 {
        while let Some(Reverse((written, key))) = self.least.pop() {
            let Some(count) = self.counts.get(&key).copied() else { continue };
            if count.weight == written {
                self.counts.remove(&key);
                return written;
            }
            self.least.push(Reverse((count.weight, key)));
        }
        0
    }

    /// What a key has at least.
    pub(crate) fn at_least(&self, key: &K) -> u64 {
        self.counts.get(key).map_or(0, |count| count.weight - count.error)
    }

    /// All that was added.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// By how much a count may be too large, and how heavy a key that is not there may be, at most.
    pub(crate) fn bound(&self) -> u64 {
        if self.counts.len() < self.places { 0 } else { self.total / self.places as u64 }
    }

    /// The keys, the heaviest first.
    pub(crate) fn heaviest(&self) -> Vec<(K, Count)> {
        let mut all: Vec<(K, Count)> = self.counts.iter().map(|(k, c)| (k.clone(), *c)).collect();
        all.sort_by(|a, b| b.1.weight.cmp(&a.1.weight).then_with(|| a.0.cmp(&b.0)));
        all
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        self.counts.clear();
        self.least.clear();
        self.total = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_hold_their_bound(
            stream in prop::collection::vec((0_u16..200, 1_u64..1_000), 0..2_000),
            places in 1_usize..64,
        ) {
            let (mut sketch, mut exact) = (SpaceSaving::new(places), BTreeMap::<u16, u64>::new());
            for (key, weight) in &stream {
                // Some keys have most.
                let key = if key % 3 == 0 { key % 7 } else { *key };
                sketch.add(&key, *weight);
                *exact.entry(key).or_default() += weight;
            }
            let all: u64 = exact.values().sum();
            prop_assert_eq!(sketch.total(), all);
            let held: BTreeMap<u16, Count> = sketch.heaviest().into_iter().collect();
            prop_assert!(held.len() <= places && sketch.least.len() <= places);
            for (key, count) in &held {
                let weight = exact[key];
                prop_assert!(count.weight >= weight && count.weight - count.error <= weight);
                prop_assert!(count.error <= sketch.bound());
            }
            for (key, weight) in exact {
                prop_assert!(held.contains_key(&key) || weight <= sketch.bound(), "{} of {}", key, weight);
            }
        }
    }
}
