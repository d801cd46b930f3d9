//! One queue of everything that will happen: earliest first, and of two at one moment the one that was
//! put in first.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Events by (time, order of arrival).
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
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
        self.heap.push(Entry { at_us, order: self.next, what });
        self.next += 1;
    }

    /// The earliest event that is not after `end_us`.
    pub(crate) fn pop_until(&mut self, end_us: u64) -> Option<(u64, T)> {
        if self.heap.peek()?.at_us > end_us {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at_us, entry.what))
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), next: 0 }
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
