//! A plane's health: what runs, why not, and the counters of every bound.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holm_model::Millis;
use serde::{Deserialize, Serialize};

/// Whether a plane observes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaneState {
    /// It observes, but less or coarser than it could; the reason says what is missing.
    Degraded,
    /// It does not observe; the reason says why.
    Off,
    /// It observes all that it is made for.
    Running,
}

/// One plane's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Whether it observes.
    pub state: PlaneState,
    /// Why it is degraded or off; empty while running.
    pub reason: String,
    /// What to do about it; empty while running.
    pub remedy: String,
    /// Since when it is in this state.
    pub since: Millis,
    /// How it observes, such as `ebpf tracepoint` or `sock_diag, every 2 s`; empty if off.
    pub method: String,
    /// Counters by name: what was seen, and what was dropped and why.
    pub counters: BTreeMap<&'static str, u64>,
}

/// The plane's end of its report; clones write to the same one.
#[derive(Debug, Clone)]
pub struct HealthHandle(Arc<Mutex<Health>>);

impl HealthHandle {
    /// A report that says `off: not started yet`.
    pub fn new(now: Millis) -> Self {
        Self(Arc::new(Mutex::new(Health {
            state: PlaneState::Off,
            reason: "not started yet".into(),
            remedy: String::new(),
            since: now,
            method: String::new(),
            counters: BTreeMap::new(),
        })))
    }

    /// Says that the plane observes all that it is made for, by `method`.
    pub fn running(&self, method: &str) {
        self.set(PlaneState::Running, method, "", "");
    }

    /// Says that the plane observes by `method`, but not all, `reason` and `remedy`.
    pub fn degraded(&self, method: &str, reason: &str, remedy: &str) {
        self.set(PlaneState::Degraded, method, reason, remedy);
    }

    /// Says that the plane does not observe, `reason` and `remedy`.
    pub fn off(&self, reason: &str, remedy: &str) {
        self.set(PlaneState::Off, "", reason, remedy);
    }

    /// Adds `n` to `counter`.
    pub fn count(&self, counter: &'static str, n: u64) {
        *self.lock().counters.entry(counter).or_default() += n;
    }

    /// Sets `counter` to `n`, for counters that are kept elsewhere (in the kernel, say).
    pub fn set_counter(&self, counter: &'static str, n: u64) {
        self.lock().counters.insert(counter, n);
    }

    /// The report as it is now.
    pub fn snapshot(&self) -> Health {
        self.lock().clone()
    }

    fn set(&self, state: PlaneState, method: &str, reason: &str, remedy: &str) {
        let mut health = self.lock();
        if health.state != state || health.reason != reason {
            health.since = Millis::now();
        }
        health.state = state;
        health.method = method.into();
        health.reason = reason.into();
        health.remedy = remedy.into();
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
