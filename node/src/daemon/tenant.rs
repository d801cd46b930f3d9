//! One tenant at this node: from observations to documents and the graph.
//!
//! A plane's observation folds in place. What changed is drained by one task, committed (durable
//! when the commit returns), applied to the graph and announced to the mesh. While the disk refuses
//! writes the changes wait, the lease stands still, and the failure is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::RandomState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use anyhow::Context;
use holm_active::{NodeLimits, TestRunner};
use holm_events::{Disk, EventKey, EventStore, OldRows, Setup};
use holm_graph::{Fold, FoldLimits, Folded, SiteElement, SnapshotFilter, TopologyGraph};
use holm_incident::Place;
use holm_model::{
    AliasObservation, DocId, DocVersion, EdgeObservation, Millis, NodeName, NodeObservation,
    PathObservation, SiteId, TenantId,
};
use holm_otlp::Intake;
use holm_plane::FactSink;
use holm_replica::{Applied, DataKey, Replica, WrappedKey};
use holm_slo::Writer;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::alerts::Alerts;
use super::changes::Changes;
use super::endpoints::Endpoints;
use super::flow::Kept;
use super::incidents::Incidents;
use super::moments::Moments;
use super::pages::Pages;
use super::probe_tests::ProbeTests;
use super::ran::Ran;
use super::rows::TenantRows;
use super::slo::Slos;
use super::state::{Change, NodeState, Topic};
use crate::config::Config;
use crate::layout::{Layout, emptied, write_file};

/// Changes within this time go into one commit.
const BATCH: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_secs(1);
const HISTORY_EVERY: Duration = Duration::from_secs(60);
/// How long changes wait before a failed commit is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What this node holds of one tenant.
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) site: SiteId,
    pub(crate) replica: Replica,
    pub(crate) rows: TenantRows,
    /// What its planes keep over a restart.
    pub(crate) kept: Arc<Kept>,
    /// What was found when the stores were opened, for people.
    pub(crate) messages: Vec<String>,
    graph: RwLock<TopologyGraph>,
    /// What shall not be, and whether it is.
    pub(crate) alerts: Alerts,
    /// What was changed, as all sites say.
    pub(crate) changes: Changes,
    /// Laptops and branch devices.
    pub(crate) endpoints: Endpoints,
    /// What is wrong, as all sites say.
    pub(crate) incidents: Incidents,
    /// Who is told of it.
    pub(crate) pages: Pages,
    /// How good it shall be, and was.
    pub(crate) slos: Slos,
    /// What its exporters of spans send.
    pub(super) spans: Mutex<Intake>,
    /// What is probed because somebody decided so.
    pub(crate) tests: ProbeTests,
    /// Sites that are gone for good, and when that was said: what they hold open is shown as ended then.
    gone: Mutex<BTreeMap<SiteId, Millis>>,
    /// Held from a change of the documents until the graph has it: what two threads change comes into
    /// the graph in the order of the documents.
    order: Mutex<()>,
    /// The tenant was erased: nothing is taken or written any more.
    ended: CancellationToken,
    fold: Mutex<Fold>,
    ran: Ran,
    wake: Notify,
    write_failure: Mutex<Option<String>>,
    pub(super) moments: Moments,
}

impl Tenant {
    /// Opens the tenant's stores and builds its graph.
    pub(crate) fn open(
        layout: &Layout,
        config: &Config,
        id: &TenantId,
        key_of_keys: &[u8; 32],
        limits_of_tests: &Arc<NodeLimits>,
        now: Millis,
    ) -> anyhow::Result<Self> {
        let dir = layout.tenant(id);
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("{}: cannot be made", dir.display()))?;
        let key_file = dir.join("data.key");
        let events = dir.join("events");
        let old_rows = dir.join("rows.redb");
        let known = key_file.exists();
        let mut messages: Vec<String> = [
            emptied(&dir.join("state.redb"), known),
            emptied(&events, known && !old_rows.exists()),
        ]
        .into_iter()
        .flatten()
        .collect();
        let key = data_key(&key_file, id, key_of_keys)?;
        let event_key = EventKey::new(&key.derive("holm 2026-11 event store"));
        let kept = Kept::new(dir.join("planes"), id.clone(), key.derive(super::flow::PURPOSE));
        let old = OldRows {
            path: old_rows,
            tenant: id.clone(),
            key: key.derive("holm 2026-11 row store"),
        };
        let (site, node) = (config.node.site.clone(), config.node.name.clone());
        let (replica, report) = open_replica(&dir, id, key, &site, &node, now)?;
        messages.extend(report.messages);
        let limits = config.rows.limits(id);
        let cold = config.rows.cold.as_ref();
        let cold = cold.map(|cold| cold.open(id, &site, &node)).transpose()?;
        let outlet = config.rows.clickhouse.as_ref();
        let outlet = outlet.map(|to| to.open(id, &site, &node)).transpose()?.flatten();
        let (rows, report) = EventStore::open(Setup {
            folder: events,
            tenant: id.clone(),
            key: event_key,
            tables: super::rows::tables()?,
            limits,
            clock: Millis::now,
            disk: Disk::default(),
            old: Some(old),
            cold,
            outlet,
        })?;
        messages.extend(report.messages);
        let mut graph = TopologyGraph::new();
        for (from, element) in replica.elements() {
            graph.apply(&from, element);
        }
        let mut fold = Fold::new(FoldLimits::default());
        let ran = Ran::open(dir.join("ran"), now);
        ran.take_up(&mut fold, &replica, now);
        let place = Place {
            site: site.clone(),
            node,
            plan: config.node.address_plan.as_str().into(),
            machine: config.node.machine.as_str().into(),
        };
        let changes = Changes::open(place.site.clone(), place.node.clone(), &replica, now);
        let own = (place.site.clone(), place.node.clone());
        let pages = Pages::open(own, &replica, config.pages.allowed(), now);
        let incidents = Incidents::open(place, &replica, now);
        let burning = incidents.firing_targets(super::slo::BURN);
        let writer = Writer { site: site.clone(), node: config.node.name.clone() };
        let alerts = Alerts::open(writer.clone(), &replica, now);
        let endpoints = Endpoints::open(writer.clone(), &replica);
        let runner = TestRunner::new(&config.planes.active, Arc::clone(limits_of_tests));
        let tests = ProbeTests::open(writer, &replica, runner, &incidents, now);
        let slos = Slos::open(&site, &config.node.name, &replica, burning, now);
        let tenant = Self {
            id: id.clone(),
            site,
            alerts,
            changes,
            endpoints,
            incidents,
            pages,
            slos,
            spans: Mutex::new(Intake::new(&config.planes.otlp, RandomState::new(), now)),
            tests,
            replica,
            rows: TenantRows::new(rows),
            kept: Arc::new(kept),
            messages,
            graph: RwLock::new(graph),
            gone: Mutex::default(),
            order: Mutex::default(),
            ended: CancellationToken::new(),
            fold: Mutex::new(fold),
            ran,
            wake: Notify::new(),
            write_failure: Mutex::new(None),
            moments: Moments::default(),
        };
        tenant.know_endpoints();
        Ok(tenant)
    }

    /// The tenant was erased: its tasks end, and what is in memory of it goes. What a plane still
    /// observes for it is passed over.
    pub(super) fn end(&self) {
        self.ended.cancel();
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        *self.graph_mut() = TopologyGraph::new();
        *self.fold() = Fold::new(FoldLimits::default());
        self.changes.clear();
        self.endpoints.clear();
        self.incidents.clear();
        self.pages.clear();
        self.slos.clear();
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.alerts.clear();
        self.tests.clear();
    }

    /// Ended by the erasure of the tenant.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Until it is dropped nobody else changes the documents.
    pub(super) fn in_order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was erased.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// The merged graph of all sites.
    pub(crate) fn graph(&self) -> RwLockReadGuard<'_, TopologyGraph> {
        self.graph.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn graph_mut(&self) -> RwLockWriteGuard<'_, TopologyGraph> {
        self.graph.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sites that have a topology document here.
    pub(crate) fn documented_sites(&self) -> BTreeSet<SiteId> {
        let documents = self.replica.documents();
        let names = documents.iter().filter_map(|version| self.replica.name(version.doc));
        names.filter_map(|name| name.topology_site()).collect()
    }

    fn gone(&self) -> MutexGuard<'_, BTreeMap<SiteId, Millis>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the site of a node, as `site/node`, is taken to be gone for good.
    pub(super) fn is_gone(&self, writer: &str) -> bool {
        let site = writer.split_once('/').map_or(writer, |(site, _)| site);
        self.gone().keys().any(|gone| gone.as_str() == site)
    }

    /// Whether these sites are the ones that are taken to be gone.
    pub(super) fn knows_gone(&self, gone: &BTreeMap<SiteId, Millis>) -> bool {
        *self.gone() == *gone
    }

    /// Takes these sites to be gone, and no others: one that is back is shown as it says again.
    pub(super) fn set_gone(&self, gone: BTreeMap<SiteId, Millis>) {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *self.gone(), gone.clone());
        if self.has_ended() {
            return;
        }
        self.incidents.set_gone(&gone);
        let turned = |site: &SiteId| before.get(site) != gone.get(site);
        let elements = self.replica.elements().filter(|(site, _)| turned(site));
        let mut graph = self.graph_mut();
        for (site, element) in elements {
            graph.apply(&site, ended(element, gone.get(&site).copied()));
        }
    }

    /// An element as the graph has it.
    fn shown(&self, site: &SiteId, element: SiteElement) -> SiteElement {
        let at = self.gone().get(site).copied();
        ended(element, at)
    }

    /// How many nodes and edges each site holds open.
    pub(crate) fn open_counts(&self, now: Millis) -> BTreeMap<SiteId, (usize, usize)> {
        let mut counts = BTreeMap::new();
        let Ok(all) = self.graph().snapshot(now, &SnapshotFilter::default()) else { return counts };
        for site in all.nodes.into_iter().flat_map(|node| node.sites) {
            counts.entry(site).or_insert((0, 0)).0 += 1;
        }
        for site in all.edges.into_iter().flat_map(|edge| edge.sites) {
            counts.entry(site).or_insert((0, 0)).1 += 1;
        }
        counts
    }

    /// What this node observes.
    pub(crate) fn fold(&self) -> MutexGuard<'_, Fold> {
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why changes wait to be written, if they do.
    pub(crate) fn write_failure(&self) -> Option<String> {
        self.write_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Merges what a peer sent: durable before it returns. The new version if it was news, and the
    /// statements that came with it.
    pub(crate) fn apply(
        &self,
        doc: DocId,
        bytes: &[u8],
        from: &str,
        now: Millis,
    ) -> Result<(Option<DocVersion>, Vec<Vec<u8>>), String> {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_ended() {
            return Err("the tenant was erased".into());
        }
        let applied =
            self.replica.apply(doc, bytes, from, now).map_err(|error| error.to_string())?;
        let merged = match applied {
            Applied::Merged(merged) => merged,
            Applied::NeedsMore { missing, .. } => {
                return Err(format!(
                    "the changes stand on {} others that are not here; they are asked for again",
                    missing.len()
                ));
            }
        };
        self.changes.take_records(&merged.records);
        self.endpoints.take_records(&merged.records);
        self.incidents.take_records(&merged.records);
        self.pages.take_records(&merged.records);
        self.slos.take_records(&merged.records, now);
        self.alerts.take_records(&merged.records);
        self.tests.take_records(&merged.records);
        let own_returned = merged.changed.iter().any(|(site, _)| *site == self.site);
        {
            let mut graph = self.graph_mut();
            for (site, element) in merged.changed {
                graph.apply(&site, self.shown(&site, element));
            }
        }
        if own_returned {
            // A peer gave back what this node wrote before it lost its disk.
            self.ran.take_up(&mut self.fold(), &self.replica, now);
        }
        Ok((merged.news.then_some(merged.version), merged.statements))
    }

    /// Writes down what changed until the node stops, and once more then.
    pub(crate) async fn write_changes(self: Arc<Self>, state: Arc<NodeState>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            let stopping = tokio::select! {
                () = self.wake.notified() => {
                    tokio::time::sleep(BATCH).await;
                    false
                }
                _ = ticks.tick() => false,
                () = state.shutdown.cancelled() => true,
                () = self.ended.cancelled() => return,
            };
            if batch.is_empty() {
                let mut fold = self.fold();
                fold.expire(Millis::now());
                batch = fold.drain();
            }
            batch = Arc::clone(&self).commit(batch, &state).await;
            if batch.is_empty() {
                let now = Millis::now();
                state.hold_lease(&self.id, now);
                self.ran.goes_on(now, stopping);
            }
            if stopping {
                return;
            }
            if !batch.is_empty() {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Commits `batch` and tells everyone; what could not be committed comes back.
    async fn commit(
        self: Arc<Self>,
        batch: Vec<holm_graph::ElementChange>,
        state: &NodeState,
    ) -> Vec<holm_graph::ElementChange> {
        if batch.is_empty() {
            return batch;
        }
        let tenant = Arc::clone(&self);
        let work = tokio::task::spawn_blocking(move || {
            let _order = tenant.order.lock().unwrap_or_else(PoisonError::into_inner);
            let outcome = tenant.replica.commit(&batch, Millis::now()).map(|committed| {
                let mut graph = tenant.graph_mut();
                for element in committed.changed {
                    graph.apply(&tenant.site, element);
                }
                committed.versions
            });
            (batch, outcome)
        });
        let (batch, outcome) = match work.await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(tenant = %self.id, %error, "the commit of a batch of changes panicked; they are lost to the documents until they are observed again");
                return Vec::new();
            }
        };
        match outcome {
            Ok(versions) => {
                for version in versions {
                    state.publish(version);
                }
                state.tell(Change::of(&self.id, Topic::Topology));
                *self.write_failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Vec::new()
            }
            Err(error) => {
                let text = error.to_string();
                let mut failure = self.write_failure.lock().unwrap_or_else(PoisonError::into_inner);
                if failure.as_deref() != Some(text.as_str()) {
                    tracing::error!(tenant = %self.id, error = text, changes = batch.len(), "changes wait: they cannot be written");
                }
                *failure = Some(text);
                batch
            }
        }
    }

    /// Carries documents that came to their budget over into new epochs, and forgets what is older than
    /// the retention, once a minute until the node stops.
    pub(crate) async fn keep_history(self: Arc<Self>, state: Arc<NodeState>) {
        let mut ticks = tokio::time::interval(HISTORY_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = state.shutdown.cancelled() => return,
                () = self.ended.cancelled() => return,
            }
            let tenant = Arc::clone(&self);
            let work = tokio::task::spawn_blocking(move || tenant.tend_history(Millis::now()));
            let versions = match work.await {
                Ok(Ok(versions)) => versions,
                Ok(Err(error)) => {
                    tracing::warn!(tenant = %self.id, %error, "history could not be tended; it is tried again");
                    continue;
                }
                Err(error) => {
                    tracing::error!(tenant = %self.id, %error, "tending history panicked; it is tried again");
                    continue;
                }
            };
            if !versions.is_empty() {
                state.tell(Change::of(&self.id, Topic::Topology));
            }
            for version in versions {
                state.publish(version);
            }
        }
    }

    fn tend_history(&self, now: Millis) -> Result<Vec<DocVersion>, holm_replica::CommitError> {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let maintained = self.replica.maintain(now)?;
        let mut graph = self.graph_mut();
        for (site, element) in maintained.changed {
            graph.apply(&site, self.shown(&site, element));
        }
        Ok(maintained.versions)
    }

    fn observe(&self, observe: impl FnOnce(&mut Fold) -> Folded) {
        if self.has_ended() {
            return;
        }
        let folded = observe(&mut self.fold());
        if matches!(folded, Folded::Opened | Folded::AttributesChanged) {
            self.wake.notify_one();
        }
    }
}

impl FactSink for Tenant {
    fn observe_edge(&self, observation: &EdgeObservation<'_>) {
        self.observe(|fold| fold.observe_edge(observation));
    }

    fn observe_node(&self, observation: &NodeObservation<'_>) {
        self.observe(|fold| fold.observe_node(observation));
    }

    fn observe_path(&self, observation: &PathObservation<'_>) {
        self.observe(|fold| fold.observe_path(observation));
    }

    fn observe_alias(&self, observation: &AliasObservation<'_>) {
        self.observe(|fold| fold.observe_alias(observation));
    }
}

/// What a site that is gone since `at` said of an element: what it held open then ended.
fn ended(mut element: SiteElement, at: Option<Millis>) -> SiteElement {
    let open = element.intervals.as_slice().last().filter(|last| last.to.is_none());
    if let Some(at) = at.filter(|at| open.is_some_and(|open| open.from < *at)) {
        element.intervals.close(at);
    }
    element
}

/// Opens a replica with the system's randomness.
pub(super) fn open_replica(
    dir: &std::path::Path,
    tenant: &TenantId,
    key: DataKey,
    site: &SiteId,
    node: &NodeName,
    now: Millis,
) -> anyhow::Result<(Replica, holm_replica::OpenReport)> {
    let mut rng = rand::rng();
    Ok(Replica::open(dir, tenant.clone(), key, site.clone(), node.clone(), now, &mut rng)?)
}

/// The tenant's data key: made once, kept wrapped by the node's key.
pub(super) fn data_key(
    path: &std::path::Path,
    tenant: &TenantId,
    key_of_keys: &[u8; 32],
) -> anyhow::Result<DataKey> {
    match std::fs::read(path) {
        Ok(bytes) => WrappedKey::from_bytes(bytes)
            .open(key_of_keys, tenant)
            .with_context(|| format!("{}: cannot be opened", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut rng = rand::rng();
            let key = DataKey::generate(&mut rng);
            let wrapped = key.wrap(key_of_keys, tenant, &mut rng)?;
            write_file(path, wrapped.as_bytes(), true)
                .with_context(|| format!("{}: cannot be written", path.display()))?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("{}: cannot be read", path.display())),
    }
}
