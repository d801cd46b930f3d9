//! Whom to dial, and when. Seeds and members that are down are tried for ever, with a growing wait, a
//! jitter, and a budget over all of them.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::{PeerKey, Timing};

/// Dials that may start at once after a quiet time.
const BUDGET: u64 = 16;
/// Dials that may start per second in the long run.
const BUDGET_PER_S: u64 = 8;

/// Whom a dial is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A known node: the dial must reach exactly this key.
    Peer(PeerKey),
    /// A seed address `host:port`; whoever answers with a good certificate is welcome.
    Seed(String),
}

/// How a dial ended that did not give a new connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialOutcome {
    /// The peer is connected already.
    AlreadyConnected(PeerKey),
    /// Nobody answered, or one side refused the other; the text says why.
    Failed(String),
    /// The address is our own.
    Myself,
}

#[derive(Debug, Clone, Default)]
struct Attempt {
    failures: u32,
    next_ms: u64,
    running: bool,
    refusal: Option<String>,
    /// Who answered at this seed last.
    answered: Option<PeerKey>,
}

#[derive(Debug)]
pub(crate) struct Dialer {
    attempts: BTreeMap<Target, Attempt>,
    min_ms: u64,
    max_ms: u64,
    budget_milli: u64,
    budget_at_ms: u64,
}

impl Dialer {
    pub(crate) fn new(seeds: &[String], timing: &Timing) -> Self {
        let attempts =
            seeds.iter().map(|seed| (Target::Seed(seed.clone()), Attempt::default())).collect();
        Self {
            attempts,
            min_ms: timing.dial_min_ms,
            max_ms: timing.dial_max_ms,
            budget_milli: BUDGET * 1_000,
            budget_at_ms: 0,
        }
    }

    /// Seeds whose time has come, and those of `wanted` (key, delay before a first dial) whose time
    /// has come. `is_found` tells whether a seed's last answerer is still there.
    pub(crate) fn due(
        &mut self,
        wanted: &BTreeMap<PeerKey, u64>,
        is_found: impl Fn(PeerKey) -> bool,
        mono_ms: u64,
    ) -> Vec<Target> {
        self.refill(mono_ms);
        for (peer, delay_ms) in wanted {
            self.attempts.entry(Target::Peer(*peer)).or_insert_with(|| Attempt {
                next_ms: mono_ms.saturating_add(*delay_ms),
                ..Attempt::default()
            });
        }
        let mut due = Vec::new();
        for (target, attempt) in &mut self.attempts {
            let needed = match target {
                Target::Seed(_) => !attempt.answered.is_some_and(&is_found),
                Target::Peer(peer) => wanted.contains_key(peer),
            };
            if needed
                && !attempt.running
                && attempt.next_ms <= mono_ms
                && self.budget_milli >= 1_000
            {
                self.budget_milli -= 1_000;
                attempt.running = true;
                due.push(target.clone());
            }
        }
        due
    }

    /// A connection to `peer` stands, by a dial of ours for `target` or by one of its own.
    pub(crate) fn connected(&mut self, peer: PeerKey, target: Option<&Target>, mono_ms: u64) {
        if let Some(attempt) = target.and_then(|target| self.attempts.get_mut(target)) {
            *attempt = Attempt { answered: Some(peer), next_ms: mono_ms, ..Attempt::default() };
        }
        // Whatever still runs toward it ends with an outcome of its own; what waited starts anew the
        // next time that it is wanted.
        if self.attempts.get(&Target::Peer(peer)).is_some_and(|attempt| !attempt.running) {
            self.attempts.remove(&Target::Peer(peer));
        }
    }

    pub(crate) fn ended(
        &mut self,
        target: &Target,
        outcome: &DialOutcome,
        mono_ms: u64,
        rng: &mut StdRng,
    ) {
        let Some(attempt) = self.attempts.get_mut(target) else { return };
        attempt.running = false;
        match outcome {
            DialOutcome::AlreadyConnected(peer) => {
                attempt.failures = 0;
                attempt.refusal = None;
                attempt.answered = Some(*peer);
                attempt.next_ms = mono_ms.saturating_add(self.min_ms);
            }
            DialOutcome::Failed(reason) => {
                attempt.failures = attempt.failures.saturating_add(1);
                attempt.refusal = Some(reason.clone());
                let wait =
                    self.min_ms.saturating_mul(1 << attempt.failures.min(20).saturating_sub(1));
                let wait = wait.min(self.max_ms).max(1);
                attempt.next_ms = mono_ms.saturating_add(jittered(wait, rng));
            }
            // Asked again now and then: the address may move to another node.
            DialOutcome::Myself => {
                attempt.refusal = None;
                attempt.next_ms = mono_ms.saturating_add(jittered(self.max_ms, rng));
            }
        }
    }

    /// Everything may be tried at once: the network or our certificate is back.
    pub(crate) fn reset_waits(&mut self, mono_ms: u64) {
        for attempt in self.attempts.values_mut() {
            attempt.next_ms = mono_ms;
            attempt.failures = 0;
        }
    }

    /// Seeds are not in a hurry: others are known.
    pub(crate) fn seeds_later(&mut self, mono_ms: u64, rng: &mut StdRng) {
        for (target, attempt) in &mut self.attempts {
            if matches!(target, Target::Seed(_)) {
                attempt.next_ms = mono_ms.saturating_add(rng.random_range(0..=self.max_ms));
            }
        }
    }

    /// Forgets peers that membership no longer knows.
    pub(crate) fn retain_peers(&mut self, known: impl Fn(PeerKey) -> bool) {
        self.attempts.retain(|target, attempt| match target {
            Target::Peer(peer) => attempt.running || known(*peer),
            Target::Seed(_) => true,
        });
    }

    /// Why the latest dial of `peer` failed.
    pub(crate) fn refusal_of(&self, peer: PeerKey) -> Option<&str> {
        self.attempts.get(&Target::Peer(peer))?.refusal.as_deref()
    }

    /// Peers whose latest dial failed.
    pub(crate) fn refused(&self) -> Vec<PeerKey> {
        let refused = self.attempts.iter().filter(|(_, attempt)| attempt.refusal.is_some());
        refused
            .filter_map(|(target, _)| match target {
                Target::Peer(peer) => Some(*peer),
                Target::Seed(_) => None,
            })
            .collect()
    }

    /// There is a new way to `peer`: it is tried at once if it is wanted.
    pub(crate) fn hurry(&mut self, peer: PeerKey, mono_ms: u64) {
        if let Some(attempt) = self.attempts.get_mut(&Target::Peer(peer)) {
            attempt.next_ms = mono_ms;
        }
    }

    /// Seeds with the reason of their latest failure.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = (&str, Option<&str>, Option<PeerKey>)> {
        self.attempts.iter().filter_map(|(target, attempt)| match target {
            Target::Seed(seed) => Some((&**seed, attempt.refusal.as_deref(), attempt.answered)),
            Target::Peer(_) => None,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.attempts.len()
    }

    fn refill(&mut self, mono_ms: u64) {
        let passed = mono_ms.saturating_sub(self.budget_at_ms);
        self.budget_at_ms = mono_ms;
        self.budget_milli =
            self.budget_milli.saturating_add(passed * BUDGET_PER_S).min(BUDGET * 1_000);
    }
}

/// `ms` ±25 %.
pub(crate) fn jittered(ms: u64, rng: &mut StdRng) -> u64 {
    let quarter = ms / 4;
    ms - quarter + rng.random_range(0..=2 * quarter)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_seed_that_is_down_is_tried_for_ever_but_ever_more_slowly() {
        let timing = Timing { dial_min_ms: 100, dial_max_ms: 1_000, ..Timing::default() };
        let mut dialer = Dialer::new(&["seed:1".to_owned()], &timing);
        let mut rng = StdRng::seed_from_u64(1);
        let (mut dials, mut last_gap, mut last) = (0, 0, 0);
        for mono_ms in (0..60_000).step_by(10) {
            for target in dialer.due(&BTreeMap::new(), |_| false, mono_ms) {
                dials += 1;
                (last_gap, last) = (mono_ms - last, mono_ms);
                dialer.ended(&target, &DialOutcome::Failed("down".into()), mono_ms, &mut rng);
            }
        }
        assert!((45..100).contains(&dials), "{dials}");
        assert!((750..=1_260).contains(&last_gap), "{last_gap}");
        assert_eq!(dialer.seeds().next(), Some(("seed:1", Some("down"), None)));
    }

    #[test]
    fn the_budget_holds_over_all_targets() {
        let mut dialer = Dialer::new(&[], &Timing::default());
        let wanted: BTreeMap<_, _> = (0..100).map(|i| (PeerKey([i; 34]), 0)).collect();
        assert_eq!(dialer.due(&wanted, |_| false, 0).len(), 16);
        assert_eq!(dialer.due(&wanted, |_| false, 1_000).len(), 8);
    }
}
