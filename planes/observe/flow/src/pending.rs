//! Data sets that came before their template.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::copy::Clocks;
use crate::exporter::DomainKey;
use crate::limits::Limits;
use crate::shares::Shares;

/// Whose set it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) from: SocketAddr,
    pub(crate) domain: DomainKey,
    pub(crate) template: u16,
}

/// One set with what its message said.
#[derive(Debug)]
pub(crate) struct PendingSet {
    pub(crate) owner: Owner,
    pub(crate) received_ns: i64,
    pub(crate) clocks: Clocks,
    pub(crate) sequence: u32,
    pub(crate) body: Box<[u8]>,
}

/// All sets that wait, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    sets: VecDeque<PendingSet>,
    bytes: Shares,
    count: Shares,
}

impl Pending {
    /// Keeps `set`, unless its address has its share already; returns how many had to go for it, itself counted.
    pub(crate) fn push(&mut self, set: PendingSet, limits: &Limits) -> u64 {
        let mut dropped = 0;
        let (from, bytes) = (set.owner.from.ip(), set.body.len());
        if bytes > limits.max_pending_bytes
            || limits.max_pending_sets == 0
            || self.bytes.of(from) + bytes > limits.pending_bytes_of_one()
            || self.count.of(from) >= limits.pending_sets_of_one()
        {
            return 1;
        }
        while self.bytes.all() + bytes > limits.max_pending_bytes
            || self.sets.len() >= limits.max_pending_sets
        {
            self.drop_oldest();
            dropped += 1;
        }
        self.bytes.take(from, (0, bytes), (usize::MAX, usize::MAX));
        self.count.take(from, (0, 1), (usize::MAX, usize::MAX));
        self.sets.push_back(set);
        dropped
    }

    /// Takes out the sets of `owner`, oldest first.
    pub(crate) fn take(&mut self, owner: &Owner) -> Vec<PendingSet> {
        let mut taken = Vec::new();
        let mut kept = VecDeque::with_capacity(self.sets.len());
        for set in self.sets.drain(..) {
            if set.owner == *owner {
                taken.push(set);
            } else {
                kept.push_back(set);
            }
        }
        self.sets = kept;
        taken.iter().for_each(|set| self.forget(set));
        taken
    }

    /// Drops what waits since before `since_ns`; returns how many.
    pub(crate) fn expire(&mut self, since_ns: i64) -> u64 {
        let mut dropped = 0;
        while self.sets.front().is_some_and(|set| set.received_ns < since_ns) {
            self.drop_oldest();
            dropped += 1;
        }
        dropped
    }

    /// Sets and bytes that wait.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.sets.len(), self.bytes.all())
    }

    fn drop_oldest(&mut self) {
        if let Some(set) = self.sets.pop_front() {
            self.forget(&set);
        }
    }

    fn forget(&mut self, set: &PendingSet) {
        self.bytes.give(set.owner.from.ip(), set.body.len());
        self.count.give(set.owner.from.ip(), 1);
    }
}
