//! What one tenant's exporters send: how fast, and whether it is there already.

use std::collections::HashSet;
use std::hash::RandomState;

use holm_model::{Millis, Row};
use holm_plane::FactSink;

use crate::calls::{Call, Calls};
use crate::config::Config;
use crate::export::Export;
use crate::limits::Limits;
use crate::seen::Seen;
use crate::tally::Tally;

/// What is let in at once, in seconds of the rate.
const BURST_S: f64 = 10.0;

/// The tenant sends faster than it may: nothing of the request was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFast {
    /// When to send it again, in seconds.
    pub retry_after_s: u64,
}

/// What of an export is new.
#[derive(Debug)]
pub struct Sorted {
    /// The rows to keep.
    pub rows: Vec<Row>,
    /// What became of the rest.
    pub tally: Tally,
    hashes: Vec<u64>,
    calls: Vec<Call>,
}

/// The exporters of one tenant at this node.
#[derive(Debug)]
pub struct Intake {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Millis,
    seen: Seen,
    calls: Calls,
}

impl Intake {
    /// From `now` on. `hasher` is random, so that nobody can make two spans look like one.
    pub fn new(config: &Config, hasher: RandomState, now: Millis) -> Self {
        let rate = f64::from(config.spans_per_second);
        // The largest request must fit.
        let burst = (rate * BURST_S).max(Limits::default().spans as f64);
        let calls = Calls::new(config.edges_per_minute, now);
        Self { rate, burst, tokens: burst, at: now, seen: Seen::new(hasher, now), calls }
    }

    /// Forgets what was sent: its tenant was erased.
    pub fn clear(&mut self) {
        self.seen.clear();
        self.calls.clear();
    }

    /// What of an export is to be kept. It counts against the rate, repeats too.
    ///
    /// # Errors
    /// [`TooFast`]
    pub fn sort(&mut self, export: Export, now: Millis) -> Result<Sorted, TooFast> {
        let passed_s = now.since(self.at) as f64 / 1_000.0;
        self.at = now;
        self.tokens = (self.tokens + passed_s * self.rate).min(self.burst);
        let count = export.spans.len() as f64;
        if count > self.tokens {
            let wait_s = ((count - self.tokens) / self.rate).ceil();
            return Err(TooFast { retry_after_s: (wait_s as u64).clamp(1, 60) });
        }
        self.tokens -= count;
        self.seen.turn(now);
        let Export { spans, mut tally } = export;
        let mut sorted = Sorted {
            rows: Vec::with_capacity(spans.len()),
            tally: Tally::default(),
            hashes: Vec::with_capacity(spans.len()),
            calls: Vec::new(),
        };
        let mut own = HashSet::new();
        for span in spans {
            let hash = self.seen.hash(&span.key);
            if self.seen.has(hash) || !own.insert(hash) {
                tally.spans_repeated += 1;
                continue;
            }
            sorted.hashes.push(hash);
            sorted.calls.extend(span.call);
            sorted.rows.push(span.row);
        }
        tally.spans = sorted.rows.len() as u64;
        Ok(Sorted { tally, ..sorted })
    }

    /// The rows were taken by the store: from now on they are repeats. Who calls whom is told. What was counted comes
    /// back.
    pub fn taken(&mut self, sorted: Sorted, now: Millis, facts: &dyn FactSink) -> Tally {
        let Sorted { mut tally, hashes, calls, .. } = sorted;
        hashes.into_iter().for_each(|hash| self.seen.add(hash));
        self.calls.tell(calls, now, facts, &mut tally);
        tally
    }
}
