//! When rows were taken: silence then is silence. At other times it says nothing: nobody was there to see.

use arrow_array::RecordBatch;
use holm_model::Millis;

use crate::columns::times;

/// The times in which rows were taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// In order, each after the one before.
    spans: Vec<(u64, u64)>,
}

impl Watched {
    /// All the time from `since` on.
    pub fn since(since: Millis) -> Self {
        Self { spans: vec![(since.0, u64::MAX)] }
    }

    /// These times, by their first and last moment. What lies between two is as well if it is at most `gap_ms`.
    pub fn of(spans: impl IntoIterator<Item = (Millis, Millis)>, gap_ms: u64) -> Self {
        let mut all: Vec<(u64, u64)> =
            spans.into_iter().map(|(from, to)| (from.0, to.0)).filter(|(a, b)| a <= b).collect();
        all.sort_unstable();
        let mut spans: Vec<(u64, u64)> = Vec::new();
        for (from, to) in all {
            match spans.last_mut() {
                Some(last) if from <= last.1.saturating_add(gap_ms) => last.1 = last.1.max(to),
                _ => spans.push((from, to)),
            }
        }
        Self { spans }
    }

    /// Whether all of the time from `from_ms` to `to_ms` was.
    pub fn covers(&self, from_ms: u64, to_ms: u64) -> bool {
        let after = self.spans.partition_point(|(begin, _)| *begin <= from_ms);
        after.checked_sub(1).is_some_and(|place| to_ms <= self.spans[place].1)
    }
}

impl From<Millis> for Watched {
    fn from(since: Millis) -> Self {
        Self::since(since)
    }
}

/// The times of some rows, in milliseconds since 1970 and in their order.
pub fn times_of(batch: &RecordBatch, time: &str) -> Option<Vec<u64>> {
    batch.column_by_name(time).and_then(times)
}

/// The time of the earliest and of the latest of some rows.
pub fn span_of(batch: &RecordBatch, time: &str) -> Option<(Millis, Millis)> {
    let when = times_of(batch, time)?;
    Some((Millis(*when.iter().min()?), Millis(*when.iter().max()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_watched_if_no_part_of_it_is_in_a_gap() {
        let spans = [(50, 60), (10, 20), (22, 30), (5, 12)];
        let watched = Watched::of(spans.map(|(a, b)| (Millis(a), Millis(b))), 3);
        assert!(watched.covers(5, 30) && watched.covers(50, 60) && watched.covers(30, 30));
        assert!(!watched.covers(4, 10) && !watched.covers(29, 31) && !watched.covers(20, 55));
        assert!(!Watched::default().covers(0, 0));
        let since = Watched::since(Millis(7));
        assert!(since.covers(7, u64::MAX) && !since.covers(6, 8));
    }
}
