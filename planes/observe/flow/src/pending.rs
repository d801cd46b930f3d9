//! Data sets that came before their template.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;

use crate::copy::Clocks;
use crate::exporter::DomainKey;
use crate::limits::Limits;

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

/// All sets that wait, by when they came.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    sets: BTreeMap<u64, PendingSet>,
    of: HashMap<IpAddr, Own>,
    bytes: usize,
    next: u64,
}

/// What waits of one address, oldest first. Ports do not count apart: one sender has as many as it likes.
#[derive(Debug, Default)]
struct Own {
    sets: VecDeque<u64>,
    bytes: usize,
}

impl Pending {
    /// Keeps `set`; returns how many had to go for it: the oldest of its address beyond that one's share, else the
    /// oldest of all.
    pub(crate) fn push(&mut self, set: PendingSet, limits: &Limits) -> u64 {
        let (from, bytes) = (set.owner.from.ip(), set.body.len());
        if bytes > limits.max_pending_bytes || limits.max_pending_sets == 0 {
            return 1;
        }
        let mut dropped = 0;
        while let Some(own) = self.of.get(&from)
            && let Some(&oldest) = own.sets.front()
            && (own.bytes + bytes > limits.pending_bytes_of_one()
                || own.sets.len() >= limits.pending_sets_of_one())
        {
            dropped += u64::from(self.remove(oldest).is_some());
        }
        while self.bytes + bytes > limits.max_pending_bytes
            || self.sets.len() >= limits.max_pending_sets
        {
            let Some((&oldest, _)) = self.sets.first_key_value() else { break };
            dropped += u64::from(self.remove(oldest).is_some());
        }
        let own = self.of.entry(from).or_default();
        own.sets.push_back(self.next);
        own.bytes += bytes;
        self.bytes += bytes;
        self.sets.insert(self.next, set);
        self.next += 1;
        dropped
    }

    /// Takes out the sets of `owner`, oldest first.
    pub(crate) fn take(&mut self, owner: &Owner) -> Vec<PendingSet> {
        let own = self.of.get(&owner.from.ip()).map(|own| own.sets.clone()).unwrap_or_default();
        let is_owned = |place: &u64| self.sets.get(place).is_some_and(|set| set.owner == *owner);
        let places: Vec<u64> = own.into_iter().filter(is_owned).collect();
        places.into_iter().filter_map(|place| self.remove(place)).collect()
    }

    /// Drops what waits since before `since_ns`; returns how many.
    pub(crate) fn expire(&mut self, since_ns: i64) -> u64 {
        let mut dropped = 0;
        while let Some((&oldest, set)) = self.sets.first_key_value()
            && set.received_ns < since_ns
        {
            dropped += u64::from(self.remove(oldest).is_some());
        }
        dropped
    }

    /// Sets and bytes that wait.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.sets.len(), self.bytes)
    }

    fn remove(&mut self, place: u64) -> Option<PendingSet> {
        let set = self.sets.remove(&place)?;
        self.bytes -= set.body.len();
        let from = set.owner.from.ip();
        if let Some(own) = self.of.get_mut(&from) {
            own.bytes -= set.body.len();
            // Nearly always the first.
            if own.sets.front() == Some(&place) {
                own.sets.pop_front();
            } else {
                own.sets.retain(|other| *other != place);
            }
            if own.sets.is_empty() {
                self.of.remove(&from);
            }
        }
        Some(set)
    }
}
