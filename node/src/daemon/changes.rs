//! Changes at this node: deliveries of webhooks and what planes see in, records of all sites in, lists and
//! rankings out.
//!
//! Reading and ranking is `holm-change`'s; here are the clock, the topology, and the documents.

mod acts;
mod seen;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_change::{
    Book, ChangeId, Draft, Known, MAX_SOURCES, Provider, RecordKey, SOURCES_AREA, Signed, Source,
    SourceError, Watch, WatchCounters,
};
use holm_model::{DocVersion, Millis, NodeId, NodeName, SiteId};
use holm_replica::{CommitError, NewRecord, PolicyBook, PolicyError, Record, Replica, Shelf};
use tokio::sync::Notify;

use super::state::{Change, NodeState, Topic};
use super::tenant::Tenant;

/// What planes see within this time goes into one commit.
const BATCH: Duration = Duration::from_millis(500);
const TEND_EVERY: Duration = Duration::from_secs(60);

/// What a tenant's node knows of changes.
pub(crate) struct Changes {
    site: SiteId,
    node: NodeName,
    book: Mutex<Book>,
    /// The sources of webhooks.
    policies: Mutex<PolicyBook>,
    watch: Mutex<Watch>,
    /// Seen and not yet written.
    waiting: Mutex<Vec<(ChangeId, &'static str, Draft)>>,
    refused_waiting: Mutex<u64>,
    /// What became of deliveries, by source.
    deliveries: Mutex<BTreeMap<Box<str>, Deliveries>>,
    /// Acts of the roster that are not written yet.
    awaited: Mutex<acts::Awaited>,
    wake: Notify,
    /// Others' changes came.
    heard: Notify,
}

/// What became of the deliveries of a source at this node since it started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Deliveries {
    /// Changes that were taken.
    pub(crate) accepted: u64,
    /// Changes that were known already: a delivery that came again.
    pub(crate) known: u64,
    /// Deliveries that say nothing of changes.
    pub(crate) ignored: u64,
    /// Changes whose time lay ahead: they count as now.
    pub(crate) ahead: u64,
    /// Changes that name nothing in the topology.
    pub(crate) unanchored: u64,
    pub(crate) refused_signature: u64,
    pub(crate) refused_stale: u64,
    pub(crate) refused_size: u64,
    pub(crate) refused_body: u64,
    pub(crate) refused_write: u64,
    pub(crate) last_at: Option<Millis>,
}

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChangeCounts {
    pub(crate) changes: usize,
    pub(crate) unreadable: u64,
    pub(crate) let_go: u64,
    pub(crate) refused_waiting: u64,
    pub(crate) watch: WatchCounters,
    pub(crate) deliveries: Deliveries,
}

/// Why a source was not made or revoked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceChangeError {
    #[error(transparent)]
    Refused(#[from] SourceError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("it could not be written: {0}")]
    Write(#[from] CommitError),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Changes {
    /// With what the documents hold.
    pub(super) fn open(site: SiteId, node: NodeName, replica: &Replica, now: Millis) -> Self {
        let changes = Self {
            site,
            node,
            book: Mutex::default(),
            policies: Mutex::default(),
            watch: Mutex::new(Watch::new(now)),
            waiting: Mutex::default(),
            refused_waiting: Mutex::default(),
            deliveries: Mutex::default(),
            awaited: Mutex::default(),
            wake: Notify::new(),
            heard: Notify::new(),
        };
        for shelf in [Shelf::Changes, Shelf::Policies] {
            changes.take_records(&replica.records_on(shelf));
        }
        changes
    }

    /// Takes what documents say.
    pub(super) fn take_records(&self, records: &[Record]) {
        let mut news = false;
        for record in records {
            let Record { shelf, site, node, key, values } = record;
            match shelf {
                Shelf::Changes => {
                    let key =
                        RecordKey { site: site.clone(), node: node.clone(), key: key.clone() };
                    news |= lock(&self.book).take(&key, values.iter().map(Vec::as_slice));
                }
                // Policies of other areas are for others.
                Shelf::Policies if of_sources(key) => news |= lock(&self.policies).take(record),
                _ => {}
            }
        }
        if news {
            self.heard.notify_one();
        }
    }

    /// Something may have been done that is a change: it is looked for now.
    pub(super) fn look(&self) {
        self.wake.notify_one();
    }

    /// The tenant was erased.
    pub(super) fn clear(&self) {
        lock(&self.awaited).clear();
        *lock(&self.book) = Book::new();
        *lock(&self.policies) = PolicyBook::new();
        *lock(&self.watch) = Watch::new(Millis::now());
        lock(&self.waiting).clear();
        lock(&self.deliveries).clear();
    }

    /// The change of an id.
    pub(crate) fn change(&self, id: ChangeId) -> Option<Arc<Known>> {
        lock(&self.book).change(id)
    }

    /// The changes from one moment to another, the latest first.
    pub(crate) fn between(&self, from: Millis, to: Millis) -> Vec<Arc<Known>> {
        lock(&self.book).between(from, to).rev().cloned().collect()
    }

    /// The source of an id, if it counts.
    pub(crate) fn source(&self, id: &str) -> Option<Source> {
        source_in(&lock(&self.policies), id).filter(|source| source.revoked.is_none())
    }

    /// Every source, the oldest first, and what became of its deliveries here.
    pub(crate) fn sources(&self) -> Vec<(Source, Deliveries)> {
        let mut sources: Vec<Source> = {
            let policies = lock(&self.policies);
            let names = policies.names(SOURCES_AREA).into_iter();
            names.filter_map(|id| source_in(&policies, id)).collect()
        };
        sources.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        let deliveries = lock(&self.deliveries);
        let of = |id: &str| deliveries.get(id).copied().unwrap_or_default();
        sources.into_iter().map(|source| (of(&source.id), source)).map(|(n, s)| (s, n)).collect()
    }

    /// Counts what became of a delivery of a source that is known.
    pub(crate) fn count(&self, source: &str, count: impl FnOnce(&mut Deliveries)) {
        count(lock(&self.deliveries).entry(source.into()).or_default());
    }

    pub(crate) fn counts(&self) -> ChangeCounts {
        let deliveries = {
            let all = lock(&self.deliveries);
            all.values().fold(Deliveries::default(), |sum, d| Deliveries {
                accepted: sum.accepted + d.accepted,
                known: sum.known + d.known,
                ignored: sum.ignored + d.ignored,
                ahead: sum.ahead + d.ahead,
                unanchored: sum.unanchored + d.unanchored,
                refused_signature: sum.refused_signature + d.refused_signature,
                refused_stale: sum.refused_stale + d.refused_stale,
                refused_size: sum.refused_size + d.refused_size,
                refused_body: sum.refused_body + d.refused_body,
                refused_write: sum.refused_write + d.refused_write,
                last_at: sum.last_at.max(d.last_at),
            })
        };
        let watch = lock(&self.watch).counters();
        let refused_waiting = *lock(&self.refused_waiting);
        let book = lock(&self.book);
        ChangeCounts {
            changes: book.len(),
            unreadable: book.unreadable(),
            let_go: book.let_go(),
            refused_waiting,
            watch,
            deliveries,
        }
    }
}

impl Tenant {
    /// Takes the changes of a delivery, each once; durable when it returns. How many were new.
    pub(crate) fn take_delivery(
        self: &Arc<Self>,
        state: &NodeState,
        source: &Source,
        signed: &Signed,
        drafts: Vec<Draft>,
        now: Millis,
    ) -> Result<u64, CommitError> {
        let drafts = drafts.into_iter().enumerate();
        let drafts: Vec<(ChangeId, String, Draft)> = drafts
            .map(|(i, draft)| {
                let id = signed.id_of(&source.id, draft.key.as_deref(), i);
                (id, source.id.to_string(), draft)
            })
            .collect();
        let all = drafts.len() as u64;
        let taken = self.take_drafts(state, drafts, now);
        self.changes.count(&source.id, |count| match &taken {
            Ok(taken) => {
                count.accepted += taken.new;
                count.known += all - taken.new;
                count.ahead += taken.ahead;
                count.unanchored += taken.unanchored;
            }
            Err(_) => count.refused_write += 1,
        });
        Ok(taken?.new)
    }

    fn take_drafts(
        &self,
        state: &NodeState,
        drafts: Vec<(ChangeId, String, Draft)>,
        now: Millis,
    ) -> Result<Taken, CommitError> {
        let mut taken = Taken::default();
        if drafts.is_empty() || self.has_ended() {
            return Ok(taken);
        }
        let named = drafts.iter().any(|(.., draft)| !draft.words.is_empty());
        let moment = named.then(|| self.picture_of_now().moment);
        let resolve = |word: &str| -> Vec<NodeId> {
            let moment = moment.as_deref();
            moment
                .and_then(|moment| holm_change::resolve(moment, word, &self.site))
                .into_iter()
                .collect()
        };
        let versions = {
            // Whether a change is known may not change meanwhile.
            let _order = self.in_order();
            let mut new: Vec<NewRecord> = Vec::new();
            for (id, source, draft) in drafts {
                let key = id.record_key();
                let again = new.iter().any(|record| *record.key == *key);
                if again || self.changes.change(id).is_some() {
                    continue;
                }
                let (change, ahead) = draft.into_change(id, &source, now, resolve);
                taken.ahead += u64::from(ahead);
                taken.unanchored += u64::from(!change.is_anchored());
                new.push(NewRecord { key: key.into(), value: change.encode() });
            }
            taken.new = new.len() as u64;
            if new.is_empty() { Vec::new() } else { self.write_records_of_changes(&new, now)? }
        };
        self.tell_changes(state, versions);
        Ok(taken)
    }

    /// Writes changes, and takes them into the book. The caller holds the order of the documents.
    fn write_records_of_changes(
        &self,
        new: &[NewRecord],
        now: Millis,
    ) -> Result<Vec<DocVersion>, CommitError> {
        let committed = self.replica.put_records_on(Shelf::Changes, new, now)?;
        let mut book = lock(&self.changes.book);
        for NewRecord { key, value } in new {
            let key = RecordKey {
                site: self.changes.site.clone(),
                node: self.changes.node.clone(),
                key: key.clone(),
            };
            book.take(&key, [&**value]);
        }
        Ok(committed.versions)
    }

    fn tell_changes(&self, state: &NodeState, versions: Vec<DocVersion>) {
        if !versions.is_empty() {
            state.tell(Change::of(&self.id, Topic::Changes));
        }
        versions.into_iter().for_each(|version| state.publish(version));
    }

    /// Makes a source of webhooks; durable when it returns.
    pub(crate) fn create_source(
        &self,
        state: &NodeState,
        (name, provider, secret): (&str, Provider, Option<&str>),
        by: &str,
        now: Millis,
    ) -> Result<Source, SourceChangeError> {
        let mut random = [0; 42];
        rand::Rng::fill_bytes(&mut rand::rng(), &mut random);
        let source = Source::new(name, provider, secret, by, now, random)?;
        let versions = {
            let _order = self.in_order();
            let live = self.changes.sources();
            if live.iter().filter(|(source, _)| source.revoked.is_none()).count() >= MAX_SOURCES {
                return Err(SourceError::TooMany.into());
            }
            self.write_source(&source, by, now)?
        };
        self.tell_changes(state, versions);
        Ok(source)
    }

    /// Says that a source counts no longer; durable when it returns.
    pub(crate) fn revoke_source(
        &self,
        state: &NodeState,
        id: &str,
        by: &str,
        now: Millis,
    ) -> Result<(), SourceChangeError> {
        let versions = {
            let _order = self.in_order();
            let unknown = || SourceError::Unknown(id.chars().take(40).collect());
            let source = self.changes.source(id).ok_or_else(unknown)?;
            self.write_source(&source.revoke(by, now), by, now)?
        };
        self.tell_changes(state, versions);
        Ok(())
    }

    /// Writes a source as the policy that it is. The caller holds the order of the documents.
    fn write_source(
        &self,
        source: &Source,
        by: &str,
        now: Millis,
    ) -> Result<Vec<DocVersion>, SourceChangeError> {
        let Changes { site, node, policies, .. } = &self.changes;
        let place = (SOURCES_AREA, &*source.id);
        let content = Some(source.encode());
        let new = lock(policies).edit(place, (site, node), by, content, now)?;
        let committed =
            self.replica.put_records_on(Shelf::Policies, std::slice::from_ref(&new), now)?;
        lock(policies).take(&Record {
            shelf: Shelf::Policies,
            site: site.clone(),
            node: node.clone(),
            key: new.key,
            values: vec![new.value],
        });
        Ok(committed.versions)
    }

    /// Writes down what planes saw and forgets what is older than the retention, until the node stops.
    pub(crate) async fn keep_changes(self: Arc<Self>, state: Arc<NodeState>) {
        let mut tend = tokio::time::interval(TEND_EVERY);
        tend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let stopping = tokio::select! {
                () = self.changes.wake.notified() => {
                    tokio::time::sleep(BATCH).await;
                    false
                }
                () = self.changes.heard.notified() => {
                    tokio::time::sleep(BATCH).await;
                    state.tell(Change::of(&self.id, Topic::Changes));
                    continue;
                }
                _ = tend.tick() => false,
                () = state.shutdown.cancelled() => true,
                () = self.ended().cancelled() => return,
            };
            let (tenant, of) = (Arc::clone(&self), Arc::clone(&state));
            let work = tokio::task::spawn_blocking(move || {
                let now = tenant.mesh_now();
                tenant.write_seen(&of, now)
            });
            match work.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(tenant = %self.id, %error, "changes that planes saw wait: they cannot be written; it is tried again");
                }
                Err(error) => {
                    tracing::error!(tenant = %self.id, %error, "writing changes panicked; it is tried again");
                }
            }
            if stopping {
                return;
            }
        }
    }

    /// What happened before this is not remembered.
    pub(crate) fn oldest_change(&self, now: Millis) -> Millis {
        now - self.replica.limits().retention_ms
    }

    fn write_seen(&self, state: &NodeState, now: Millis) -> Result<(), CommitError> {
        let horizon = self.oldest_change(now);
        lock(&self.changes.book).forget(horizon);
        self.take_drafts(state, self.edits_of_policies(horizon), now)?;
        self.take_drafts(state, self.acts_due(state, horizon, now), now)?;
        let seen = std::mem::take(&mut *lock(&self.changes.waiting));
        let drafts =
            seen.iter().map(|(id, plane, draft)| (*id, (*plane).to_owned(), draft.clone()));
        let written = self.take_drafts(state, drafts.collect(), now);
        if written.is_err() {
            // Those that came meanwhile stand behind them.
            lock(&self.changes.waiting).splice(0..0, seen);
        }
        written.map(drop)
    }
}

/// Whether the policy of a key is a source of webhooks.
fn of_sources(key: &str) -> bool {
    key.split_once('/').is_some_and(|(area, _)| area == SOURCES_AREA)
}

/// A source as all edits of it that stand come to.
fn source_in(policies: &PolicyBook, id: &str) -> Option<Source> {
    let standing = policies.standing(SOURCES_AREA, id);
    Source::joined(standing.iter().filter_map(|edit| edit.content.as_deref()))
        .filter(|source| *source.id == *id)
}

/// What became of drafts.
#[derive(Debug, Default)]
struct Taken {
    new: u64,
    ahead: u64,
    unanchored: u64,
}
