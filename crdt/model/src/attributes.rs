//! Attributes of an element, and what they were before.

use std::collections::BTreeMap;

use crate::Millis;

/// Most attributes that one element carries.
pub const MAX_ATTRIBUTES: usize = 32;
/// Longest attribute key or value, in bytes.
pub const MAX_ATTRIBUTE_BYTES: usize = 1024;
/// Most earlier values that one record keeps, and as many again of measured attributes.
pub const MAX_PAST_VALUES: usize = 32;
/// Most earlier values that one record keeps of one measured attribute ([`is_measured`]).
pub const MAX_MEASURED_VALUES: usize = 8;

/// One attribute: a key of the OTel semantic conventions (or `holm.*`) and its value.
pub type Attribute<'a> = (&'a str, &'a str);

/// Owned attributes, ordered by key, each key once.
pub type Attributes = BTreeMap<Box<str>, Box<str>>;

/// Whether `key` is a measured number that changes all the time (`holm.probe.*.rtt_ms`): its earlier
/// values are kept apart, so that they do not push out those of other attributes.
pub fn is_measured(key: &str) -> bool {
    key.starts_with("holm.probe.") && key.ends_with("rtt_ms")
}

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

    /// Writes `next` at `at` over `now`, which was written at `written`; whether that changed anything.
    /// What is replaced is noted. This is the rule of whoever writes a record:
    ///
    /// A moment before the last writing means that the clock was set back. What was written for later
    /// moments was written for moments that have not come yet: it is taken back, so that what is
    /// written now holds from now on, and what held at `at` is what is replaced. Where nothing is known
    /// of `at` any more the history begins anew. Written again at an earlier moment the same
    /// attributes hold from there.
    pub fn write(
        &mut self,
        now: &mut Attributes,
        written: &mut Millis,
        next: &Attributes,
        at: Millis,
    ) -> bool {
        if now == next && at >= *written {
            return false;
        }
        let first = *written == Millis(0) && now.is_empty();
        if at < *written {
            let then = self.rewound(at, now);
            self.values.retain(|v| v.until <= at);
            if at < self.known_from {
                self.values.clear();
                self.known_from = at;
            }
            *now = then;
        }
        if !first {
            self.replace(now, next, at);
        }
        now.clone_from(next);
        *written = at;
        true
    }

    /// Notes what `after`, written at `at`, replaces. Of several writings at one moment the first
    /// says what was before.
    pub fn replace(&mut self, before: &Attributes, after: &Attributes, at: Millis) {
        let changed = before.iter().filter(|(key, value)| after.get(*key) != Some(value));
        let changed = changed.map(|(key, value)| (key, Some(value.clone())));
        let added = after.keys().filter(|key| !before.contains_key(*key)).map(|key| (key, None));
        let known = |key: &str| self.values.iter().any(|v| v.until == at && *v.key == *key);
        let noted = changed.chain(added).filter(|(key, _)| !known(key));
        let noted: Vec<_> =
            noted.map(|(key, value)| PastValue { until: at, key: key.clone(), value }).collect();
        *self =
            Self::new(std::mem::take(&mut self.values).into_iter().chain(noted), self.known_from);
    }

    /// The values that either knows, from where both know all. Commutative, associative, idempotent.
    pub fn join(&mut self, other: Self) {
        let known_from = self.known_from.max(other.known_from);
        let values = std::mem::take(&mut self.values);
        *self = Self::new(values.into_iter().chain(other.values), known_from);
    }

    /// Forgets the oldest values beyond `keep`, and those that ended together with them; how many. Of
    /// each measured attribute 8 stay, and `keep` of all of them, apart from the others.
    pub fn trim(&mut self, keep: usize) -> usize {
        let before = self.values.len();
        let mut kept: BTreeMap<Box<str>, usize> = BTreeMap::new();
        let mut newest = |value: &PastValue| {
            let count = kept.entry(value.key.clone()).or_default();
            *count += 1;
            *count <= MAX_MEASURED_VALUES
        };
        if self.values.iter().any(|v| is_measured(&v.key)) {
            let mut values = std::mem::take(&mut self.values);
            values.reverse();
            values.retain(|v| !is_measured(&v.key) || newest(v));
            values.reverse();
            self.values = values;
        }
        for measured in [false, true] {
            let of_kind = || self.values.iter().filter(|v| is_measured(&v.key) == measured);
            let surplus = of_kind().count().checked_sub(keep).and_then(|n| n.checked_sub(1));
            if let Some(last) = surplus.and_then(|surplus| of_kind().nth(surplus)) {
                self.known_from = last.until;
                self.values.retain(|v| v.until > self.known_from);
            }
        }
        before - self.values.len()
    }

    /// The attributes at `at`, if they are `now` today; without those of which it is not known any
    /// more: all of them before [`PastValues::known_from`], a measured one before the earliest of the 8
    /// values that are kept of it ended.
    pub fn at(&self, at: Millis, now: &Attributes) -> Attributes {
        if at < self.known_from {
            return Attributes::new();
        }
        let mut then = self.rewound(at, now);
        for key in self.unknown_at(at) {
            then.remove(key);
        }
        then
    }

    /// The measured attributes of which it is not known any more what they were at `at`. Before
    /// [`PastValues::known_from`] that is so of all attributes, and none is named.
    pub fn unknown_at(&self, at: Millis) -> Vec<&str> {
        let since = self.after(at);
        // So many values of a key ended since: the earliest of them may have been another before.
        if at < self.known_from || since.len() < MAX_MEASURED_VALUES {
            return Vec::new();
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for value in since.iter().filter(|v| is_measured(&v.key)) {
            *counts.entry(&value.key).or_default() += 1;
        }
        counts.retain(|_, count| *count >= MAX_MEASURED_VALUES);
        counts.into_keys().collect()
    }

    /// From which moment on every attribute is known, if at `at` some are not.
    pub fn known_again(&self, at: Millis) -> Option<Millis> {
        if at < self.known_from {
            return Some(self.known_from);
        }
        let begins = |key: &str| {
            let of_key = self.values.iter().rev().filter(|v| *v.key == *key);
            of_key.map(|v| v.until).nth(MAX_MEASURED_VALUES - 1)
        };
        self.unknown_at(at).into_iter().filter_map(begins).max()
    }

    /// Whether the attributes at `at` are those of today.
    pub fn is_current(&self, at: Millis) -> bool {
        at >= self.known_from && self.after(at).is_empty()
    }

    /// The last time at which any of them was written, up to `at`.
    pub fn written_by(&self, at: Millis) -> Option<Millis> {
        let ended = self.values.len() - self.after(at).len();
        ended.checked_sub(1).map(|last| self.values[last].until)
    }

    /// The last time at which an attribute was written over, up to `at`.
    pub fn key_written_by(&self, key: &str, at: Millis) -> Option<Millis> {
        let until = &self.values[..self.values.len() - self.after(at).len()];
        until.iter().rev().find(|value| *value.key == *key).map(|value| value.until)
    }

    /// What is kept says they were so at `at`.
    fn rewound(&self, at: Millis, now: &Attributes) -> Attributes {
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
        let written = |key, at| past.key_written_by(key, Millis(at)).map(|at| at.0);
        assert_eq!(
            [("name", 9), ("name", 19), ("name", 99)].map(|(k, at)| written(k, at)),
            [None, Some(10), Some(20)]
        );
        assert_eq!(
            [("zone", 99), ("port", 99)].map(|(k, at)| written(k, at)),
            [Some(10), Some(10)]
        );
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
        assert_eq!(past.at(Millis(5), &now), attributes(&[]), "not known any more");
        assert_eq!(past.known_again(Millis(5)), Some(Millis(30)));
        assert_eq!(past.known_again(Millis(30)), None);
        assert_eq!(past.trim(2), 0);
    }

    #[test]
    fn what_is_measured_pushes_out_nothing_else() {
        let mut past = PastValues::default();
        let now = |i: u64| {
            let name = if i > 1 { "new" } else { "old" };
            attributes(&[("name", name), ("holm.probe.icmp.rtt_ms", &i.to_string())])
        };
        for i in 1..=100 {
            past.replace(&now(i - 1), &now(i), Millis(i * 10));
            past.trim(MAX_PAST_VALUES);
        }
        assert_eq!(past.as_slice().len(), MAX_MEASURED_VALUES + 1);
        assert_eq!(past.known_from(), Millis(0));
        let at = |at| past.at(Millis(at), &now(100));
        assert_eq!(at(15), attributes(&[("name", "old")]), "and not what a round trip took");
        assert_eq!(past.known_again(Millis(15)), Some(Millis(930)));
        assert_eq!(past.known_again(Millis(930)), None);
        assert_eq!(at(930), now(93));
        assert_eq!(at(2_000), now(100));
    }

    #[test]
    fn what_is_written_after_a_clock_was_set_back_holds_from_then_on() {
        let value = |v: &str| attributes(&[("v", v)]);
        let (mut past, mut now, mut at) = (PastValues::default(), value("0"), Millis(100));
        let mut write = |v: &str, when| past.write(&mut now, &mut at, &value(v), Millis(when));
        assert!(write("1", 1_000_000) && write("2", 200) && write("3", 300));
        assert!(!write("3", 400), "nothing new");
        assert_eq!((&now, at), (&value("3"), Millis(300)));
        for (when, v) in [(150, "0"), (250, "2"), (300, "3"), (2_000_000, "3")] {
            assert_eq!(past.at(Millis(when), &now), value(v), "{when}");
        }
        assert!(past.write(&mut now, &mut at, &value("3"), Millis(250)), "it holds earlier");
        assert_eq!(past.at(Millis(249), &now), value("2"));
        assert_eq!(past.at(Millis(250), &now), value("3"));
    }

    #[test]
    fn of_two_writings_in_one_moment_the_first_says_what_was_before() {
        let value = |v: &str| attributes(&[("v", v)]);
        let (mut past, mut now, mut at) = (PastValues::default(), value("5"), Millis(1));
        past.write(&mut now, &mut at, &value("1"), Millis(10));
        past.write(&mut now, &mut at, &value("2"), Millis(10));
        assert_eq!(past.at(Millis(9), &now), value("5"));
    }
}
