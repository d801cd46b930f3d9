//! Signals on their way into incidents: what planes say, and what follows from their rows; dated by the mesh's clock.

use holm_graph::SnapshotFilter;
use holm_incident::{Outcome, Resolved};
use holm_model::{Millis, NodeId, NodeKind, Row, SIGNAL_NEAR, Signal};

use super::incidents::lock;
use super::signals::{outcome_of, signal_of};
use super::signals_seen::{connection_of, way_of};
use super::state::NodeState;
use super::tenant::Tenant;

/// How long signals wait after a start for the mesh's clock, in ticks, and how many of them.
const CLOCK_TICKS: u64 = 10;
const MAX_HELD: usize = 10_000;
/// Most nodes around a target that are looked at.
const MAX_NEAR: usize = 64;

impl Tenant {
    /// Takes what a plane says is wrong, or over.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.has_ended() {
            return;
        }
        {
            let mut held = lock(&self.incidents.held);
            if let Some(held) = held.as_mut().filter(|held| held.len() < MAX_HELD) {
                held.push(signal);
                return;
            }
        }
        self.take_signal(signal);
    }

    fn take_signal(&self, mut signal: Signal) {
        let said = signal.attributes.get(SIGNAL_NEAR).cloned().unwrap_or_default();
        let now = Millis::now();
        let by_mesh = self.incidents.clock.of(now);
        signal.at = self.incidents.clock.of(signal.at);
        let changed = lock(&self.incidents.intake).take(signal, by_mesh, |target| {
            let mut resolved = self.resolve(target, now);
            resolved.near.extend(said.split(',').filter_map(|id| id.trim().parse::<NodeId>().ok()));
            resolved
        });
        if changed {
            self.incidents.wake.notify_one();
        }
    }

    /// Takes what a plane's row means: signals as they are, results of probes by what follows from them.
    pub(super) fn notice(&self, row: &Row) {
        if let Some(signal) = signal_of(row, &self.site) {
            self.signal(signal);
        }
        let near = |mut signal: Signal, near: Option<Box<str>>| {
            signal.attributes.extend(near.map(|near| (SIGNAL_NEAR.into(), near)));
            self.signal(signal);
        };
        for (signal, site) in way_of(row, &self.incidents.ways) {
            near(signal, site);
        }
        if let Some(signal) = connection_of(row, &self.incidents.services) {
            self.signal(signal);
        }
        // The guard refused it: nothing was sent, and nothing is known of the target.
        let Some((target, kept)) = outcome_of(row).filter(|_| !row.columns.contains_key("refused"))
        else {
            return;
        };
        let outcome = Outcome {
            probe: &kept.probe,
            target: &target,
            name: kept.name.as_deref(),
            error: kept.error.as_deref(),
            severity: kept.severity,
            at: row.at,
        };
        let signal = lock(&self.incidents.probes).take(&outcome);
        // A test has its own patience and says so itself; here its results are only a witness's.
        if let Some(signal) = signal.filter(|_| !row.columns.contains_key("test")) {
            near(signal, kept.near);
        }
    }

    /// What is over because planes do not speak of it any more.
    pub(super) fn tend_signals(&self, now: Millis) {
        self.tend_endpoints(Millis::now());
        lock(&self.incidents.probes).forget(now);
        lock(&self.incidents.ways).forget(now);
        let over = lock(&self.incidents.services).tend(now);
        over.into_iter().for_each(|signal| self.signal(signal));
    }

    /// What the topology says of a target.
    fn resolve(&self, target: &NodeId, now: Millis) -> Resolved {
        let graph = self.graph();
        let folding = graph.folding(now);
        let names = folding.names(target);
        let around = SnapshotFilter {
            around: Some((target.clone(), 1)),
            fold_aliases: true,
            ..SnapshotFilter::default()
        };
        let near = graph.snapshot(now, &around).map(|found| found.nodes).unwrap_or_default();
        // Who probes it, and what all belongs to, are next to everything.
        let telling = |kind| {
            use NodeKind::{Device, Hop, Host, Service};
            matches!(kind, Device | Hop | Host | Service)
        };
        let near = near.into_iter().map(|node| node.id).filter(|id| telling(id.kind()));
        let near: Vec<NodeId> = near.filter(|id| !names.contains(id)).take(MAX_NEAR).collect();
        let apart = folding.ambiguous.to_vec();
        Resolved { names, near, apart }
    }

    /// Now, by the mesh's clock: incidents, what is done to them, and pages are dated by it.
    pub(crate) fn mesh_now(&self) -> Millis {
        self.incidents.clock.now()
    }

    /// What is judged from now on is dated by the clocks of most nodes.
    pub(super) fn look_at_clock(&self, state: &NodeState, ticks: u64, stopping: bool) {
        let ahead_ms = state.mesh().and_then(|mesh| mesh.own_clock_ahead_ms());
        if let Some(ahead_ms) = self.incidents.clock.found(ahead_ms, Millis::now()) {
            tracing::warn!(
                tenant = %self.id,
                ahead_ms,
                "this node's clock is off by that from most nodes' (0: no longer): incidents are dated by theirs"
            );
        }
        let alone = !self.documented_sites().iter().any(|site| *site != self.incidents.place.site);
        if self.incidents.clock.is_known() || alone || ticks >= CLOCK_TICKS || stopping {
            // What is said meanwhile waits: a thing must not be over before it began.
            let mut held = lock(&self.incidents.held);
            let Some(waiting) = held.take() else { return };
            // Planes have their time to say again what they said before, by this clock.
            lock(&self.incidents.intake).begin_grace(self.mesh_now());
            waiting.into_iter().for_each(|signal| self.take_signal(signal));
        }
    }
}
