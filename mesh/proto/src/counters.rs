//! Counts of what was done, dropped and refused: every bound has one.

use std::collections::BTreeMap;

/// Named counts; a name appears with its first count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<&'static str, u64>);

impl Counters {
    /// One more of `name`.
    pub fn count(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    /// `by` more of `name`.
    pub fn add(&mut self, name: &'static str, by: u64) {
        let count = self.0.entry(name).or_default();
        *count = count.saturating_add(by);
    }

    /// The count of `name`.
    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// All counts by name.
    pub const fn all(&self) -> &BTreeMap<&'static str, u64> {
        &self.0
    }
}
