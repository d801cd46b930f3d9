//! Attributes of an element, and what they were before.

use std::collections::BTreeMap;

use crate::Millis;

/// Most attributes that one element carries.
pub const MAX_ATTRIBUTES: usize = 32;
/// Longest attribute key or value, in bytes.
pub const MAX_ATTRIBUTE_BYTES: usize = 1024;
/// Most earlier values that one record keeps.
pub const MAX_PAST_VALUES: usize = 32;

/// One attribute: a key of the OTel semantic conventions (or `holm.*`) and its value.
pub type Attribute<'a> = (&'a str, &'a str);

/// Owned attributes, ordered by key, each key once.
pub type Attributes = BTreeMap<Box<str>, Box<str>>;

/// What an attribute was until it was written anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PastValue {
    /// The moment from which on it was something else.
    pub until: Millis,
    /// The attribute's key.
    pub key: Box<str>,
    /// Its value before; `None` if it had none.
    pub value: Option<Box<str>>,
}

/// The earlier values of an element's attributes, as one record keeps them: a set that only grows, and
/// is cut off at a moment before which nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PastValues {
    /// In order, each once.
    values: Vec<PastValue>,
    /// Values that ended by then were forgotten.
    known_from: Millis,
}

impl PastValues {
    /// The set of `values`, in any order; those that ended at or before `known_from` are left out.
    pub fn new(values: impl IntoIterator<Item = PastValue>, known_from: Millis) -> Self {
        let mut values: Vec<_> = values.into_iter().filter(|v| v.until > known_from).collect();
        values.sort_unstable();
        values.dedup();
        Self { values, known_from }
    }

    /// Whether nothing was ever different, as far as is known, and nothing was forgotten.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.known_from == Millis(0)
    }

    /// The earlier values, in the order in which they ended.
    pub fn as_slice(&self) -> &[PastValue] {
        &self.values
    }

    /// Before this moment earlier values were forgotten; 0 if none were.
    pub fn known_from(&self) -> Millis {
        self.known_from
    }

    /// Notes what `after`, written at `at`, replaces.
    pub fn replace(&mut self, before: &Attributes, after: &Attributes, at: Millis) {
        let changed = before.iter().filter(|(key, value)| after.get(*key) != Some(value));
        let changed = changed.map(|(key, value)| (key, Some(value.clone())));
        let added = after.keys().filter(|key| !before.contains_key(*key)).map(|key| (key, None));
        let noted = changed.chain(added);
        let noted = noted.map(|(key, value)| PastValue { until: at, key: key.clone(), value });
        *self =
            Self::new(std::mem::take(&mut self.values).into_iter().chain(noted), self.known_from);
    }

    /// The values that either knows, from where both know all. Commutative, associative, idempotent.
    pub fn join(&mut self, other: Self) {
        let known_from = self.known_from.max(other.known_from);
        let values = std::mem::take(&mut self.values);
        *self = Self::new(values.into_iter().chain(other.values), known_from);
    }

    /// Forgets the oldest values beyond `keep`, and those that ended together with them; how many.
    pub fn trim(&mut self, keep: usize) -> usize {
        let before = self.values.len();
        if let Some(surplus) = before.checked_sub(keep).filter(|s| *s > 0) {
            self.known_from = self.values[surplus - 1].until;
            self.values.retain(|v| v.until > self.known_from);
        }
        before - self.values.len()
    }

    /// The attributes at `at`, if they are `now` today. Before [`PastValues::known_from`] they are as
    /// they were then.
    pub fn at(&self, at: Millis, now: &Attributes) -> Attributes {
        let at = at.max(self.known_from);
        let mut then = now.clone();
        // The last one seen of a key, from the end, is the first that ended after the moment.
        for PastValue { key, value, .. } in self.after(at).iter().rev() {
            match value {
                Some(value) => then.insert(key.clone(), value.clone()),
                None => then.remove(key),
            };
        }
        then
    }

    /// Whether the attributes at `at` are those of today.
    pub fn is_current(&self, at: Millis) -> bool {
        self.after(at.max(self.known_from)).is_empty()
    }

    /// The last time at which any of them was written, up to `at`.
    pub fn written_by(&self, at: Millis) -> Option<Millis> {
        let ended = self.values.len() - self.after(at).len();
        ended.checked_sub(1).map(|last| self.values[last].until)
    }

    fn after(&self, at: Millis) -> &[PastValue] {
        &self.values[self.values.partition_point(|v| v.until <= at)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> Attributes {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    #[test]
    fn each_moment_has_its_values() {
        let first = attributes(&[("name", "sw-1"), ("port", "80")]);
        let second = attributes(&[("name", "sw-2"), ("zone", "a")]);
        let third = attributes(&[("name", "sw-3"), ("zone", "a")]);
        let mut past = PastValues::default();
        past.replace(&first, &second, Millis(10));
        past.replace(&second, &third, Millis(20));
        assert_eq!(past.at(Millis(9), &third), first);
        assert_eq!(past.at(Millis(10), &third), second);
        assert_eq!(past.at(Millis(19), &third), second);
        assert_eq!(past.at(Millis(20), &third), third);
        assert!(past.is_current(Millis(20)) && !past.is_current(Millis(19)));
        assert_eq!(past.written_by(Millis(9)), None);
        assert_eq!(past.written_by(Millis(19)), Some(Millis(10)));
        assert_eq!(past.written_by(Millis(99)), Some(Millis(20)));
    }

    #[test]
    fn what_is_forgotten_is_said_and_not_guessed() {
        let mut past = PastValues::default();
        for i in 1..=5_u64 {
            let name = |i: u64| attributes(&[("name", &i.to_string())]);
            past.replace(&name(i - 1), &name(i), Millis(i * 10));
        }
        assert_eq!(past.trim(2), 3);
        assert_eq!(past.known_from(), Millis(30));
        let now = attributes(&[("name", "5")]);
        assert_eq!(past.at(Millis(35), &now), attributes(&[("name", "3")]));
        assert_eq!(past.at(Millis(5), &now), attributes(&[("name", "3")]), "as at the cut");
        assert_eq!(past.trim(2), 0);
    }
}
