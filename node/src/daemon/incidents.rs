//! Incidents at this node: signals of its planes in, records of all sites in, judgements out.
//!
//! Judging is `holm-incident`'s; here are the clock, the topology that it is told of, and the documents.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_incident::{
    ActionError, Anchor, Book, Deed, FaultId, Incident, Intake, IntakeCounters, IntakeLimits,
    Judged, Place, ProbeWatch, RecordId, Report, ServiceWatch, Sight, Spell, WayWatch, Witness,
};
use holm_model::{Millis, NodeId, SIGNAL_KEY, Signal, SiteId};
use holm_replica::{NewRecord, Record, Replica, Shelf};
use tokio::sync::Notify;

use super::mesh_clock::MeshClock;
use super::state::{Change, NodeState, Topic};
use super::tenant::Tenant;

/// Reports within this time go into one commit.
const BATCH: Duration = Duration::from_millis(200);
const TICK: Duration = Duration::from_secs(1);
/// How often this node looks whether it finds well what others do not, in ticks.
const WITNESS_TICKS: u64 = 5;
/// How often what is old is carried on or forgotten, in ticks.
const TEND_TICKS: u64 = 60;
/// How old a judgement may be that is listed, in milliseconds. It is looked at every second.
const MAX_LATE_MS: u64 = 3_000;

/// What a tenant's node knows of incidents.
pub(crate) struct Incidents {
    pub(super) place: Place,
    pub(super) intake: Mutex<Intake>,
    pub(super) probes: Mutex<ProbeWatch>,
    pub(super) ways: Mutex<WayWatch>,
    pub(super) services: Mutex<ServiceWatch>,
    book: Mutex<Book>,
    /// The last judgement, and when it was looked whether it still holds.
    latest: Mutex<Option<(Arc<Judged>, Millis)>>,
    pub(super) wake: Notify,
    /// What is judged is dated by it.
    pub(crate) clock: MeshClock,
    /// Signals that wait after a start until it is known whether this node's clock is off.
    pub(super) held: Mutex<Option<Vec<Signal>>>,
}

/// How much there is, and what became of signals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IncidentCounts {
    pub(crate) intake: IntakeCounters,
    pub(crate) followed: usize,
    pub(crate) reports: usize,
    pub(crate) witnesses: usize,
    pub(crate) actions: usize,
    pub(crate) unreadable: u64,
    pub(crate) probes_refused: u64,
    pub(crate) ways_refused: u64,
    pub(crate) services_refused: u64,
    pub(crate) unresolved: usize,
}

/// Why an action was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActError {
    #[error(transparent)]
    Refused(#[from] ActionError),
    #[error("there is no incident {0}; `GET /v1/incidents` lists those that are remembered")]
    Unknown(FaultId),
    #[error("the action could not be written: {0}")]
    Write(#[from] holm_replica::CommitError),
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Incidents {
    /// With what the documents hold.
    pub(super) fn open(place: Place, replica: &Replica, now: Millis) -> Self {
        let mut book = Book::new();
        take_all(&mut book, &replica.records());
        let mut intake = Intake::new(place.clone(), IntakeLimits::default());
        let own = book.reports_of(&place.site, &place.node);
        intake.restore(own.map(|(key, report)| (key, &**report)), now);
        Self {
            place,
            intake: Mutex::new(intake),
            probes: Mutex::default(),
            ways: Mutex::default(),
            services: Mutex::default(),
            book: Mutex::new(book),
            latest: Mutex::default(),
            wake: Notify::new(),
            clock: MeshClock::default(),
            held: Mutex::new(Some(Vec::new())),
        }
    }

    /// The incidents now, by the mesh's clock.
    pub(crate) fn judged(&self, now: Millis) -> Arc<Judged> {
        let mut book = lock(&self.book);
        let judged = book.judge(now);
        *lock(&self.latest) = Some((Arc::clone(&judged), now));
        judged
    }

    /// The incidents as they were found last: what changes is judged within a second, and whoever lists
    /// them does not wait for it.
    pub(crate) fn lately(&self, now: Millis) -> Arc<Judged> {
        let latest = lock(&self.latest).clone();
        match latest {
            Some((judged, at)) if now.since(at).max(at.since(now)) <= MAX_LATE_MS => judged,
            _ => self.judged(now),
        }
    }

    /// What this node reports of a kind and has not seen end: its key, and what it is about.
    pub(super) fn firing_targets(&self, kind: &str) -> Vec<(String, NodeId)> {
        let book = lock(&self.book);
        let own = book.reports_of(&self.place.site, &self.place.node);
        let firing = own.filter(|(_, report)| *report.kind == *kind && report.is_firing());
        firing
            .filter_map(|(_, report)| {
                let key = report.attributes.get(SIGNAL_KEY)?.to_string();
                Some((key, report.target.clone()))
            })
            .collect()
    }

    /// The keys of what this node reports of a kind and has not seen end.
    pub(super) fn firing(&self, kind: &str) -> Vec<String> {
        let book = lock(&self.book);
        let own = book.reports_of(&self.place.site, &self.place.node);
        let firing = own.filter(|(_, report)| *report.kind == *kind && report.is_firing());
        firing
            .filter_map(|(_, report)| Some(report.attributes.get(SIGNAL_KEY)?.to_string()))
            .collect()
    }

    /// Takes what a peer's documents say. The caller holds the order of the documents.
    pub(super) fn take_records(&self, records: &[Record]) {
        if !records.is_empty() && take_all(&mut lock(&self.book), records) {
            self.wake.notify_one();
        }
    }

    /// Sites that are gone for good do not say any more what is over.
    pub(super) fn set_gone(&self, gone: &BTreeMap<SiteId, Millis>) {
        if lock(&self.book).set_gone(gone) {
            self.wake.notify_one();
        }
    }

    /// The tenant was erased.
    pub(super) fn clear(&self) {
        *lock(&self.intake) = Intake::new(self.place.clone(), IntakeLimits::default());
        *lock(&self.probes) = ProbeWatch::default();
        *lock(&self.ways) = WayWatch::default();
        *lock(&self.services) = ServiceWatch::default();
        *lock(&self.book) = Book::new();
        *lock(&self.latest) = None;
    }

    pub(crate) fn counts(&self, now: Millis) -> IncidentCounts {
        let judged = self.judged(now);
        let unresolved = judged.incidents().iter().filter(|i| !i.is_resolved()).count();
        let (intake, followed) = {
            let intake = lock(&self.intake);
            (intake.counters(), intake.len())
        };
        let probes_refused = lock(&self.probes).refused();
        let ways_refused = lock(&self.ways).refused();
        let services_refused = lock(&self.services).refused();
        let book = lock(&self.book);
        let (reports, witnesses, actions) = book.len();
        let unreadable = book.unreadable();
        IncidentCounts {
            intake,
            followed,
            reports,
            witnesses,
            actions,
            unreadable,
            probes_refused,
            ways_refused,
            services_refused,
            unresolved,
        }
    }

    fn record_id(&self, key: &str) -> RecordId {
        RecordId { site: self.place.site.clone(), node: self.place.node.clone(), key: key.into() }
    }

    /// What this node has to say about incidents that others report and it does not: that the target is
    /// well from here, or is no longer.
    fn witnesses_due(&self, now: Millis) -> Vec<Witness> {
        let judged = self.judged(now);
        let probes = lock(&self.probes);
        let book = lock(&self.book);
        let own = book.witnesses_of(&self.place.site, &self.place.node);
        let known: BTreeMap<FaultId, &Witness> = own.map(|w| (w.fault, w)).collect();
        let mut due = Vec::new();
        for incident in judged.incidents().iter().take_while(|i| !i.is_resolved()) {
            // Of each fault the first report that this node can speak to.
            let mut spoken = std::collections::BTreeSet::new();
            for (_, report) in &incident.reports {
                let sight = match self.sight(&probes, report) {
                    Sight::Fine(since) => Sight::Fine(self.clock.of(since)),
                    sight => sight,
                };
                if sight == Sight::Unknown {
                    continue;
                }
                if !spoken.insert(report.fault()) {
                    continue;
                }
                due.extend(witness(report, known.get(&report.fault()).copied(), sight, now));
            }
        }
        due
    }

    /// How what a report is about looks from here, probed the same way.
    fn sight(&self, probes: &ProbeWatch, report: &Report) -> Sight {
        let Some(kind) = report.kind.strip_suffix("_failed") else { return Sight::Unknown };
        let kind = [Box::<str>::from(kind)];
        // A name that means another thing here is another thing.
        let here = |anchor: &&Anchor| {
            let node = anchor.node();
            **anchor == Anchor::of(node, &self.place)
                || **anchor == Anchor::of_own(node, &self.place)
        };
        let mut names = report.anchors.iter().filter(here).map(Anchor::node);
        let target = names.find(|name| probes.looks_at(name, &kind));
        target.map_or(Sight::Unknown, |target| probes.sight(target, &kind))
    }
}

/// The witness as it is to be written, if that is news.
fn witness(report: &Report, known: Option<&Witness>, sight: Sight, now: Millis) -> Option<Witness> {
    let open = known.and_then(|witness| witness.fine.last()).filter(|spell| spell.to.is_none());
    let mut fine_spells = known.map(|witness| witness.fine.clone()).unwrap_or_default();
    match (sight, open) {
        (Sight::Fine(since), None) => {
            let ended = fine_spells.last().and_then(|spell| spell.to).unwrap_or_default();
            let from = since.max(report.since()).max(ended);
            fine_spells.push(Spell { from, to: None });
        }
        (Sight::Failing, Some(_)) => fine_spells.last_mut()?.to = Some(now),
        _ => return None,
    }
    Some(Witness { fault: report.fault(), fine: fine_spells })
}

fn take_all(book: &mut Book, records: &[Record]) -> bool {
    let mut news = false;
    let about = records.iter().filter(|record| record.shelf == Shelf::Incidents);
    for Record { site, node, key, values, .. } in about {
        let id = RecordId { site: site.clone(), node: node.clone(), key: (**key).into() };
        news |= book.take(id, values.iter().map(Vec::as_slice));
    }
    news
}

impl Tenant {
    /// Does to an incident what somebody asks for; durable when it returns. The incident as it is then.
    pub(crate) fn act(
        &self,
        state: &NodeState,
        incident: FaultId,
        by: &str,
        deed: Deed,
        text: &str,
        now: Millis,
    ) -> Result<Arc<Incident>, ActError> {
        self.act_as(state, incident, rand::random(), by, deed, text, now)
    }

    /// The same, as the action `id`: what is asked for again under that is done once.
    #[expect(clippy::too_many_arguments, reason = "an action has so many parts")]
    pub(crate) fn act_as(
        &self,
        state: &NodeState,
        incident: FaultId,
        id: u64,
        by: &str,
        deed: Deed,
        text: &str,
        now: Millis,
    ) -> Result<Arc<Incident>, ActError> {
        let incidents = &self.incidents;
        let versions = {
            // What was seen stands in the action: nothing else may be written meanwhile.
            let _order = self.in_order();
            let judged = incidents.judged(now);
            let of = judged.of_fault(incident).ok_or(ActError::Unknown(incident))?;
            if of.actions.iter().any(|(_, action)| action.id == id) {
                return Ok(Arc::clone(of));
            }
            if let Deed::Join(with) = &deed
                && judged.of_fault(*with).is_none()
            {
                return Err(ActError::Unknown(*with));
            }
            let action = of.action(id, by, deed, text, now)?;
            let key = format!("a{:016x}", action.id);
            let value = action.encode();
            let new = NewRecord { key: key.as_str().into(), value: value.clone() };
            let committed = self.replica.put_records(&[new], now)?;
            lock(&incidents.book).take(incidents.record_id(&key), [&*value]);
            committed.versions
        };
        versions.into_iter().for_each(|version| state.publish(version));
        state.tell(Change::of(&self.id, Topic::Incidents));
        let judged = incidents.judged(now);
        judged.of_fault(incident).cloned().ok_or(ActError::Unknown(incident))
    }

    /// Writes reports down, tells pages when incidents change, and carries on what matters still, until
    /// the node stops.
    pub(crate) async fn keep_incidents(self: Arc<Self>, state: Arc<NodeState>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut count = 0_u64;
        let mut told: Option<Arc<Judged>> = None;
        let mut failure: Option<String> = None;
        loop {
            let stopping = tokio::select! {
                () = self.incidents.wake.notified() => {
                    tokio::time::sleep(BATCH).await;
                    false
                }
                _ = ticks.tick() => {
                    count += 1;
                    false
                }
                () = state.shutdown.cancelled() => true,
                () = self.ended().cancelled() => return,
            };
            self.look_at_clock(&state, count, stopping);
            let tenant = Arc::clone(&self);
            let tend = (count.is_multiple_of(WITNESS_TICKS), count.is_multiple_of(TEND_TICKS));
            let work =
                tokio::task::spawn_blocking(move || tenant.write_records(tend, Millis::now()));
            let written = match work.await {
                Ok(written) => written.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = &written
                && failure.as_ref() != Some(error)
            {
                tracing::error!(tenant = %self.id, error, "reports about incidents wait: they cannot be written; it is tried again");
            }
            failure = written.as_ref().err().cloned();
            let versions = written.unwrap_or_default();
            versions.into_iter().for_each(|version| state.publish(version));
            if stopping {
                return;
            }
            let judged = self.incidents.judged(self.mesh_now());
            if told.as_ref().is_none_or(|told| !Arc::ptr_eq(told, &judged)) {
                told = Some(judged);
                state.tell(Change::of(&self.id, Topic::Incidents));
            }
        }
    }

    fn write_records(
        &self,
        (witness, tend): (bool, bool),
        now: Millis,
    ) -> Result<Vec<holm_model::DocVersion>, holm_replica::CommitError> {
        let incidents = &self.incidents;
        if tend {
            self.tend_signals(now);
        }
        let reports = lock(&incidents.intake).drain(incidents.clock.of(now));
        let mut new: Vec<NewRecord> = reports
            .iter()
            .map(|(key, report)| NewRecord { key: (**key).into(), value: report.encode() })
            .collect();
        let witnesses =
            if witness { incidents.witnesses_due(incidents.clock.of(now)) } else { Vec::new() };
        new.extend(witnesses.iter().map(|witness| NewRecord {
            key: format!("w{}", witness.fault).into(),
            value: witness.encode(),
        }));
        let _order = self.in_order();
        let mut versions = Vec::new();
        if !new.is_empty() {
            match self.replica.put_records(&new, now) {
                Ok(committed) => versions = committed.versions,
                Err(error) => {
                    lock(&incidents.intake).give_back(reports);
                    return Err(error);
                }
            }
            let mut book = lock(&incidents.book);
            for NewRecord { key, value } in &new {
                book.take(incidents.record_id(key), [&**value]);
            }
        }
        if tend {
            versions.extend(self.tend_incidents(now)?);
        }
        Ok(versions)
    }

    /// Carries on what is of incidents that are not over, and forgets what is older than the retention.
    fn tend_incidents(
        &self,
        now: Millis,
    ) -> Result<Vec<holm_model::DocVersion>, holm_replica::CommitError> {
        let incidents = &self.incidents;
        lock(&incidents.book).forget(now - self.replica.limits().retention_ms);
        let judged = incidents.judged(incidents.clock.of(now));
        let own = incidents.record_id("");
        let mut wanted = std::collections::BTreeSet::new();
        for incident in judged.incidents().iter().take_while(|incident| !incident.is_resolved()) {
            let reports = incident.reports.iter().map(|(id, _)| id);
            let ids = reports.chain(incident.actions.iter().map(|(id, _)| id));
            let mine = ids.filter(|id| id.site == own.site && id.node == own.node);
            wanted.extend(mine.map(|id| Arc::clone(&id.key)));
        }
        Ok(self.replica.carry_records(|key| wanted.contains(key), now)?.versions)
    }
}
