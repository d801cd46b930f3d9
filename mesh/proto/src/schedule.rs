//! When to reconcile what with whom: at once on connect and on a hint, and now and then anyway.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holm_model::{DocId, TenantId};
use rand::rngs::StdRng;

use crate::dial::jittered;
use crate::{Counters, Footprint, PeerKey};

/// Reconciliations at once, over all peers.
const MAX_RUNNING: usize = 4;
/// Reconciliations that wait.
const MAX_QUEUED: usize = 4_096;
/// Documents named in one reconciliation; more of them make it one over everything.
pub(crate) const MAX_NAMED: usize = 64;

/// What a reconciliation covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All documents of the tenant: differences are found first.
    All,
    /// Only these documents, which a hint named.
    Documents(BTreeSet<DocId>),
    /// All documents of the tenant, which were equal the last time: a fingerprint is compared first.
    Unchanged,
}

impl Scope {
    fn widen(&mut self, other: Self) {
        *self = match (std::mem::replace(self, Self::All), other) {
            (Self::Documents(mut a), Self::Documents(b)) if a.len() + b.len() <= MAX_NAMED => {
                a.extend(b);
                Self::Documents(a)
            }
            (Self::Unchanged, Self::Unchanged) => Self::Unchanged,
            _ => Self::All,
        };
    }
}

/// What one reconciliation did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Documents that changed here.
    pub pulled: u64,
    /// Documents of which the peer was sent something.
    pub pushed: u64,
    /// Documents that either side could not export or apply.
    pub failed: u64,
    /// Messages between the first and the end of finding differences, in round trips.
    pub rounds: u64,
    /// Bytes sent, frames included.
    pub bytes_out: u64,
    /// Bytes received, frames included.
    pub bytes_in: u64,
    /// The first failure's text.
    pub first_failure: Option<String>,
}

/// A reconciliation to run now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) ticket: u64,
    pub(crate) peer: PeerKey,
    pub(crate) tenant: TenantId,
    pub(crate) scope: Scope,
}

#[derive(Debug)]
pub(crate) struct Schedule {
    due_ms: BTreeMap<PeerKey, u64>,
    queue: VecDeque<(PeerKey, TenantId)>,
    scopes: BTreeMap<(PeerKey, TenantId), Scope>,
    running: BTreeMap<u64, (PeerKey, TenantId)>,
    next_ticket: u64,
}

impl Schedule {
    pub(crate) const fn new() -> Self {
        Self {
            due_ms: BTreeMap::new(),
            queue: VecDeque::new(),
            scopes: BTreeMap::new(),
            running: BTreeMap::new(),
            next_ticket: 1,
        }
    }

    /// A peer is there: everything is due after `delay_ms`.
    pub(crate) fn connected(&mut self, peer: PeerKey, delay_ms: u64, mono_ms: u64) {
        self.due_ms.insert(peer, mono_ms.saturating_add(delay_ms));
    }

    pub(crate) fn disconnected(&mut self, peer: PeerKey) {
        self.due_ms.remove(&peer);
        self.queue.retain(|(queued, _)| *queued != peer);
        self.scopes.retain(|(queued, _), _| *queued != peer);
    }

    pub(crate) fn request(
        &mut self,
        peer: PeerKey,
        tenant: TenantId,
        scope: Scope,
        counters: &mut Counters,
    ) {
        let key = (peer, tenant);
        if let Some(queued) = self.scopes.get_mut(&key) {
            queued.widen(scope);
        } else if self.queue.len() >= MAX_QUEUED {
            counters.count("syncs_dropped");
        } else {
            self.queue.push_back(key.clone());
            self.scopes.insert(key, scope);
        }
    }

    /// Peers whose periodic reconciliation is due; each is planned again `wait_ms` later.
    pub(crate) fn due(
        &mut self,
        mono_ms: u64,
        wait_ms: impl Fn(PeerKey) -> u64,
        rng: &mut StdRng,
    ) -> Vec<PeerKey> {
        let mut due = Vec::new();
        for (peer, due_ms) in &mut self.due_ms {
            if *due_ms <= mono_ms {
                *due_ms = mono_ms.saturating_add(jittered(wait_ms(*peer), rng));
                due.push(*peer);
            }
        }
        due
    }

    /// What may start now: never two at once for one peer and tenant.
    pub(crate) fn start(&mut self) -> Vec<Job> {
        let mut jobs = Vec::new();
        let mut waiting = VecDeque::new();
        while let Some(key) = self.queue.pop_front() {
            let is_running = self.running.values().any(|running| *running == key);
            if self.running.len() >= MAX_RUNNING || is_running {
                waiting.push_back(key);
                continue;
            }
            let Some(scope) = self.scopes.remove(&key) else { continue };
            let ticket = self.next_ticket;
            self.next_ticket += 1;
            self.running.insert(ticket, key.clone());
            jobs.push(Job { ticket, peer: key.0, tenant: key.1, scope });
        }
        self.queue = waiting;
        jobs
    }

    pub(crate) fn footprint(&self, all: &mut Footprint, text: usize) {
        all.part("syncs_queued", self.queue.len(), MAX_QUEUED, 64 + 2 * text);
        all.part("syncs_running", self.running.len(), MAX_RUNNING, 64 + text);
    }

    /// A reconciliation ended; whose it was.
    pub(crate) fn finished(&mut self, ticket: u64) -> Option<PeerKey> {
        self.running.remove(&ticket).map(|(peer, _)| peer)
    }
}
