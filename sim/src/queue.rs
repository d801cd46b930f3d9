//! One queue of everything that will happen: earliest first, and of two at one moment the one that was
//! put in first.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

/// Microseconds that are put in order at once.
const SPAN_US: u64 = 1 << 10;

/// Events by (time, order of arrival). Only those of the next millisecond are in order; millions wait for later.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// Of this span and those before.
    soon: BinaryHeap<Entry<T>>,
    span: u64,
    later: BTreeMap<u64, Vec<Entry<T>>>,
    next: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at_us: u64,
    order: u64,
    what: T,
}

impl<T> Queue<T> {
    /// `what` happens at `at_us`.
    pub(crate) fn push(&mut self, at_us: u64, what: T) {
        let entry = Entry { at_us, order: self.next, what };
        self.next += 1;
        let span = at_us / SPAN_US;
        if span <= self.span {
            self.soon.push(entry);
        } else {
            self.later.entry(span).or_default().push(entry);
        }
    }

    /// The earliest event that is not after `end_us`.
    pub(crate) fn pop_until(&mut self, end_us: u64) -> Option<(u64, T)> {
        if self.soon.is_empty() {
            let next = self.later.first_entry().filter(|next| next.key() * SPAN_US <= end_us)?;
            self.span = *next.key();
            self.soon = next.remove().into();
        }
        if self.soon.peek()?.at_us > end_us {
            return None;
        }
        self.soon.pop().map(|entry| (entry.at_us, entry.what))
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { soon: BinaryHeap::new(), span: 0, later: BTreeMap::new(), next: 0 }
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at_us, self.order) == (other.at_us, other.order)
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    // Reversed: the heap gives the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_us, other.order).cmp(&(self.at_us, self.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_happen_by_time_and_then_as_they_were_put_in() {
        let mut queue = Queue::default();
        let times = [5_000, 3, 5_000, 1_024, 1_023, 90_000, 3];
        times.into_iter().enumerate().for_each(|(i, at)| queue.push(at, i));
        let mut happened = Vec::new();
        while let Some((at, i)) = queue.pop_until(6_000) {
            happened.push((at, i));
            // Of the past too, and of the span that is at work.
            if i == 4 {
                queue.push(1_023, 100);
                queue.push(2, 101);
            }
        }
        let expected = [
            (3, 1),
            (3, 6),
            (1_023, 4),
            (2, 101),
            (1_023, 100),
            (1_024, 3),
            (5_000, 0),
            (5_000, 2),
        ];
        assert_eq!(happened, expected);
        queue.push(7_000, 7);
        assert_eq!(queue.pop_until(6_999), None);
        assert_eq!(queue.pop_until(100_000), Some((7_000, 7)));
        assert_eq!(queue.pop_until(100_000), Some((90_000, 5)));
        assert_eq!(queue.pop_until(u64::MAX), None);
    }
}
