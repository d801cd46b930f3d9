//! When to reconcile what with whom: at once on connect and on a hint, and now and then anyway; after
//! failures no more often than a budget allows, so that a peer that is broken does not cost what one
//! that works needs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holm_model::{DocId, TenantId};
use rand::rngs::StdRng;

use crate::dial::jittered;
use crate::{Counters, Footprint, PeerKey};

/// Reconciliations over all documents at once, over all peers.
const MAX_WHOLE: usize = 4;
/// Reconciliations at once, those of a few named documents included. These are short and mostly wait
/// for a far peer: with few at once, news come faster than they can be fetched.
const MAX_RUNNING: usize = 24;
/// Reconciliations that wait.
const MAX_QUEUED: usize = 4_096;
/// Failures within [`BUDGET_MS`] after which a peer is left in peace until the oldest of them is past.
/// What is asked meanwhile waits, in one entry a tenant.
const MAX_FAILURES: usize = 6;
const BUDGET_MS: u64 = 60_000;
/// Peers whose failures are remembered.
const MAX_FAILING: usize = 1_024;
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
struct Running {
    key: (PeerKey, TenantId),
    /// Over all documents.
    whole: bool,
}

#[derive(Debug)]
pub(crate) struct Schedule {
    due_ms: BTreeMap<PeerKey, u64>,
    queue: VecDeque<(PeerKey, TenantId)>,
    scopes: BTreeMap<(PeerKey, TenantId), Scope>,
    running: BTreeMap<u64, Running>,
    /// When reconciliations with a peer failed since the last that did not.
    failures: BTreeMap<PeerKey, VecDeque<u64>>,
    next_ticket: u64,
}

impl Schedule {
    pub(crate) const fn new() -> Self {
        Self {
            due_ms: BTreeMap::new(),
            queue: VecDeque::new(),
            scopes: BTreeMap::new(),
            running: BTreeMap::new(),
            failures: BTreeMap::new(),
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

    /// What may start now: never two at once for one peer and tenant, and nothing with a peer whose
    /// budget of failures is spent.
    pub(crate) fn start(&mut self, mono_ms: u64) -> Vec<Job> {
        self.failures.retain(|_, times| {
            times.retain(|at_ms| mono_ms.saturating_sub(*at_ms) < BUDGET_MS);
            !times.is_empty()
        });
        let mut jobs = Vec::new();
        let mut waiting = VecDeque::new();
        while let Some(key) = self.queue.pop_front() {
            let Some(asked) = self.scopes.get(&key) else { continue };
            let whole = !matches!(asked, Scope::Documents(_));
            if !self.has_room(whole) || self.is_running(&key) || self.is_spent(key.0) {
                waiting.push_back(key);
                continue;
            }
            let Some(scope) = self.scopes.remove(&key) else { continue };
            let ticket = self.next_ticket;
            self.next_ticket += 1;
            self.running.insert(ticket, Running { key: key.clone(), whole });
            jobs.push(Job { ticket, peer: key.0, tenant: key.1, scope });
        }
        self.queue = waiting;
        jobs
    }

    fn has_room(&self, whole: bool) -> bool {
        let wholes = self.running.values().filter(|running| running.whole).count();
        self.running.len() < MAX_RUNNING && (!whole || wholes < MAX_WHOLE)
    }

    fn is_running(&self, key: &(PeerKey, TenantId)) -> bool {
        self.running.values().any(|running| running.key == *key)
    }

    fn is_spent(&self, peer: PeerKey) -> bool {
        self.failures.get(&peer).is_some_and(|times| times.len() >= MAX_FAILURES)
    }

    pub(crate) fn footprint(&self, all: &mut Footprint, text: usize) {
        all.part("syncs_queued", self.queue.len(), MAX_QUEUED, 64 + 2 * text);
        all.part("syncs_running", self.running.len(), MAX_RUNNING, 64 + text);
        all.part("syncs_failing", self.failures.len(), MAX_FAILING, 34 + 8 * MAX_FAILURES);
    }

    /// A reconciliation ended; with whom it was, and of which tenant.
    pub(crate) fn finished(&mut self, ticket: u64) -> Option<(PeerKey, TenantId)> {
        self.running.remove(&ticket).map(|running| running.key)
    }

    /// Whether a document is yet to be asked for at a peer.
    pub(crate) fn waits(&self, peer: PeerKey, tenant: &TenantId, doc: &DocId) -> bool {
        match self.scopes.get(&(peer, tenant.clone())) {
            Some(Scope::Documents(documents)) => documents.contains(doc),
            Some(Scope::All | Scope::Unchanged) => true,
            None => false,
        }
    }

    /// It went well: what failed before no longer counts.
    pub(crate) fn went_well(&mut self, peer: PeerKey) {
        self.failures.remove(&peer);
    }

    /// It failed although the connection stands.
    pub(crate) fn failed(&mut self, peer: PeerKey, mono_ms: u64, counters: &mut Counters) {
        if self.failures.len() >= MAX_FAILING && !self.failures.contains_key(&peer) {
            counters.count("sync_failures_forgotten");
            return;
        }
        let times = self.failures.entry(peer).or_default();
        times.push_back(mono_ms);
        if times.len() > MAX_FAILURES {
            times.pop_front();
        }
        if times.len() == MAX_FAILURES {
            counters.count("syncs_held_back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u8) -> PeerKey {
        PeerKey([first; 34])
    }

    fn tenant() -> TenantId {
        TenantId::new("acme").expect("valid")
    }

    fn one(byte: u8) -> Scope {
        Scope::Documents(BTreeSet::from([DocId([byte; 16])]))
    }

    #[test]
    fn few_reconciliations_run_at_once_and_never_two_with_one_peer() {
        let (mut schedule, mut counters) = (Schedule::new(), Counters::default());
        for peer in 0..50 {
            schedule.request(key(peer), tenant(), Scope::All, &mut counters);
        }
        let mut running = schedule.start(0);
        let mut done = 0;
        while let Some(job) = running.pop() {
            assert!(running.len() < MAX_WHOLE, "{}", running.len());
            schedule.request(job.peer, tenant(), one(1), &mut counters);
            assert!(
                schedule.start(0).iter().all(|next| next.peer != job.peer),
                "one with this peer runs already"
            );
            schedule.scopes.remove(&(job.peer, tenant()));
            schedule.finished(job.ticket);
            done += 1;
            running.extend(schedule.start(0));
        }
        assert_eq!(done, 50, "all had their turn");
    }

    #[test]
    fn what_a_hint_asks_for_does_not_wait_behind_whole_reconciliations() {
        let (mut schedule, mut counters) = (Schedule::new(), Counters::default());
        for peer in 0..20 {
            schedule.request(key(peer), tenant(), Scope::Unchanged, &mut counters);
        }
        assert_eq!(schedule.start(0).len(), MAX_WHOLE);
        for peer in 100..200 {
            schedule.request(key(peer), tenant(), one(1), &mut counters);
        }
        let jobs = schedule.start(0);
        assert!(jobs.iter().all(|job| job.peer >= key(100)), "room for the others is spent");
        assert_eq!(jobs.len(), MAX_RUNNING - MAX_WHOLE, "and these have a bound too");
    }

    #[test]
    fn what_waits_is_bounded_and_counted() {
        let (mut schedule, mut counters) = (Schedule::new(), Counters::default());
        for number in 0..MAX_QUEUED + 10 {
            let tenant = TenantId::new(&format!("t{number}")).expect("valid");
            schedule.request(key(1), tenant, Scope::All, &mut counters);
        }
        assert_eq!(schedule.queue.len(), MAX_QUEUED);
        assert_eq!(counters.of("syncs_dropped"), 10);
        // Many documents of one tenant are one entry, and in the end one over everything.
        let (mut schedule, mut counters) = (Schedule::new(), Counters::default());
        for byte in 0..100 {
            schedule.request(key(1), tenant(), one(byte), &mut counters);
        }
        let jobs = schedule.start(0);
        assert_eq!((jobs.len(), &jobs[0].scope), (1, &Scope::All));
    }

    #[test]
    fn a_peer_that_fails_again_and_again_is_left_in_peace_and_the_others_are_not() {
        let (mut schedule, mut counters) = (Schedule::new(), Counters::default());
        let mut tries = Vec::new();
        for mono_ms in (0..600_000).step_by(100) {
            schedule.request(key(1), tenant(), one(1), &mut counters);
            schedule.request(key(2), tenant(), one(1), &mut counters);
            for job in schedule.start(mono_ms) {
                schedule.finished(job.ticket);
                if job.peer == key(1) {
                    tries.push(mono_ms);
                    schedule.failed(job.peer, mono_ms, &mut counters);
                } else {
                    schedule.went_well(job.peer);
                }
            }
        }
        for end_ms in (BUDGET_MS..600_000).step_by(1_000) {
            let within = tries.iter().filter(|at| (end_ms - BUDGET_MS..end_ms).contains(*at));
            assert!(within.count() <= MAX_FAILURES);
        }
        assert_eq!(tries.len(), 10 * MAX_FAILURES, "and it is tried for ever");
        assert!(counters.of("syncs_held_back") >= 10);
        // One that works again has its whole budget.
        schedule.went_well(key(1));
        schedule.request(key(1), tenant(), one(1), &mut counters);
        assert_eq!(schedule.start(600_000).len(), 1);
    }
}
