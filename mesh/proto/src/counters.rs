//! Counts of what was done, dropped and refused: every bound has one.

use std::collections::BTreeMap;

/// Named counts; a name appears with its first count.
#[derive(Debug, Clone, Default)]
pub struct Counters(Vec<(&'static str, u64)>);

impl Counters {
    /// One more of `name`.
    pub fn count(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    /// `by` more of `name`.
    pub fn add(&mut self, name: &'static str, by: u64) {
        // A few dozen, counted for every message: where a name lies nearly always tells it, without reading it.
        let lies = |(known, _): &(&str, u64)| std::ptr::eq(*known, name);
        let found = self.0.iter().position(lies).or_else(|| self.place(name));
        match found.and_then(|place| self.0.get_mut(place)) {
            Some((_, count)) => *count = count.saturating_add(by),
            None => self.0.push((name, by)),
        }
    }

    /// The count of `name`.
    pub fn of(&self, name: &str) -> u64 {
        self.place(name).map_or(0, |place| self.0[place].1)
    }

    /// All counts by name.
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.iter().copied().collect()
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(known, _)| *known == name)
    }
}

impl PartialEq for Counters {
    /// Whatever was counted first.
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
    }
}

impl Eq for Counters {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_wherever_it_lies() {
        let elsewhere: &'static str = String::from("drops").leak();
        let (mut one, mut other) = (Counters::default(), Counters::default());
        one.count("drops");
        one.add(elsewhere, 2);
        one.count("bytes");
        other.add("bytes", 1);
        other.add("drops", 3);
        assert_eq!((one.of("drops"), one.of("nothing")), (3, 0));
        assert_eq!(one, other);
        assert_eq!(one.all().into_iter().collect::<Vec<_>>(), [("bytes", 1), ("drops", 3)]);
        other.add("drops", u64::MAX);
        assert_eq!(other.of("drops"), u64::MAX);
    }
}
