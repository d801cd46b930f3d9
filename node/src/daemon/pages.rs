//! Paging at this node: connectors, routes and records of all sites in, messages to providers out.
//!
//! What is due and by whom is `holm-page`'s; here are the clock, the mesh, the documents and the network.

mod deliver;
mod hear;
mod policies;
mod subjects;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_incident::Judged;
use holm_model::{DocVersion, Millis, NodeName, Prefix, SiteId};
use holm_page::{
    Book, Connector, Delivery, DeliveryId, Event, Http, MayDial, Members, Outbox, Outcome, Pager,
    Phase, RecordId, Route, Subject,
};
use holm_replica::{CommitError, NewRecord, PolicyBook, Record, Replica, Shelf};
use tokio::sync::{Notify, Semaphore};

use super::state::{Change, NodeState, Topic};
use super::tenant::Tenant;

pub(crate) use hear::{HearError, Hearing};
pub(crate) use policies::{Held, PageEdit, PageError};

/// The record by which a node says that it pages.
const READY: &str = "pager";
/// Tests of connectors at once.
const MAX_TESTS: usize = 2;
/// How long each message of a test may take.
const TEST_LIMIT: Duration = Duration::from_secs(12);

/// What a tenant's node knows of paging.
pub(crate) struct Pages {
    own: Pager,
    policies: Mutex<PolicyBook>,
    defined: Mutex<Arc<Defined>>,
    book: Mutex<Book>,
    /// The nodes that page.
    ready: Mutex<BTreeSet<Pager>>,
    outbox: Mutex<Outbox>,
    members: Mutex<Members>,
    /// When each node's lease moved last, by this node's clock.
    leases: Mutex<BTreeMap<Pager, (Millis, Millis)>>,
    /// The incidents of the last judgement, as paging sees them.
    subjects: Mutex<Option<Seen>>,
    /// Incidents that turned later than they were heard of here, and when that was.
    ahead: Mutex<BTreeMap<(Box<str>, Millis), Millis>>,
    http: Http,
    tests: Semaphore,
    counts: Mutex<PageCounts>,
    latest: Mutex<Latest>,
    wake: Notify,
}

/// A judgement, and its incidents as paging sees them.
type Seen = (Arc<Judged>, Arc<Vec<Arc<Subject>>>);

/// What people decided.
#[derive(Debug, Default)]
pub(crate) struct Defined {
    pub(crate) connectors: BTreeMap<Box<str>, Held<Connector>>,
    pub(crate) routes: BTreeMap<Box<str>, Held<Route>>,
    /// Those that count, for planning.
    by_name: BTreeMap<Box<str>, Connector>,
    counting: Vec<Route>,
}

/// What the last plan could not do.
#[derive(Debug, Clone, Default)]
struct Latest {
    elsewhere: BTreeSet<(Box<str>, Box<str>)>,
    nobody: BTreeSet<Box<str>>,
}

/// What became of messages at this node since it started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PageCounts {
    pub(crate) queued: u64,
    pub(crate) taken_over: u64,
    pub(crate) delivered: u64,
    /// Requests that failed and are made again.
    pub(crate) retried: u64,
    pub(crate) refused: u64,
    /// Taken, but not for all whom they were to tell.
    pub(crate) partly: u64,
    pub(crate) dead: u64,
    pub(crate) folded: u64,
    pub(crate) dropped: u64,
    pub(crate) replayed: u64,
    pub(crate) elsewhere: u64,
    /// Messages that no site which is heard may deliver, each second.
    pub(crate) nobody: u64,
    /// Times that a page waited since there were as many as there may be in a minute.
    pub(crate) over_budget: u64,
    pub(crate) write_failures: u64,
    /// Incidents that turned later than they were heard of here: some clock is ahead.
    pub(crate) ahead: u64,
    /// How often this node stood still and waited to learn what others told.
    pub(crate) stood_still: u64,
    pub(crate) heard: u64,
    pub(crate) heard_again: u64,
    pub(crate) heard_nothing: u64,
}

/// How it stands with a connector.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectorStanding {
    /// Messages that wait or are given up, of all sites.
    pub(crate) queued: u64,
    pub(crate) dead: u64,
    /// Until when this node waits because the provider failed.
    pub(crate) down_until: Option<Millis>,
    /// Why a message was not delivered last.
    pub(crate) last_failure: Option<(Millis, String)>,
    pub(crate) last_delivered: Option<Millis>,
    /// Something is to be delivered, and no site that is heard may.
    pub(crate) nobody: bool,
}

/// Public addresses, and those that the node's operator allows.
fn may_dial(allowed: Vec<Prefix>) -> MayDial {
    let guard = holm_active::Guard::new(allowed);
    MayDial::new(move |address| match guard.check(address) {
        Ok(()) => Ok(()),
        Err(_) => {
            let why = holm_active::why_refused(address).unwrap_or("it is not public");
            Err(format!(
                "{address} is not dialled for a connector: {why}; the operator of this node allows it with pages.allow"
            ))
        }
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pages {
    /// With what the documents hold.
    pub(super) fn open(
        (site, node): (SiteId, NodeName),
        replica: &Replica,
        allowed: Vec<Prefix>,
        now: Millis,
    ) -> Self {
        let own = Pager { site, node };
        let pages = Self {
            members: Mutex::new(Members::new(own.clone(), now)),
            own,
            policies: Mutex::default(),
            defined: Mutex::default(),
            book: Mutex::default(),
            ready: Mutex::default(),
            outbox: Mutex::default(),
            leases: Mutex::default(),
            subjects: Mutex::default(),
            ahead: Mutex::default(),
            http: Http::new(may_dial(allowed)),
            tests: Semaphore::new(MAX_TESTS),
            counts: Mutex::default(),
            latest: Mutex::default(),
            wake: Notify::new(),
        };
        for shelf in [Shelf::Policies, Shelf::Pages] {
            pages.take_records(&replica.records_on(shelf));
        }
        pages
    }

    /// Takes what documents say. The caller holds the order of the documents. Whether it was news.
    pub(super) fn take_records(&self, records: &[Record]) -> bool {
        let (mut edited, mut news) = (false, false);
        for record in records {
            let Record { shelf, site, node, key, values } = record;
            let pager = || Pager { site: site.clone(), node: node.clone() };
            match shelf {
                Shelf::Policies if policies::is_ours(key) => {
                    edited |= lock(&self.policies).take(record);
                }
                Shelf::Pages if **key == *READY => news |= lock(&self.ready).insert(pager()),
                Shelf::Pages => {
                    let id = RecordId { pager: pager(), key: key.clone() };
                    news |= lock(&self.book).take(id, values.iter().map(Vec::as_slice));
                }
                _ => {}
            }
        }
        if edited {
            let defined = Defined::of(&lock(&self.policies));
            *lock(&self.defined) = Arc::new(defined);
        }
        if edited || news {
            self.wake.notify_one();
        }
        edited || news
    }

    /// The tenant was erased.
    pub(super) fn clear(&self) {
        *lock(&self.policies) = PolicyBook::new();
        *lock(&self.defined) = Arc::default();
        *lock(&self.book) = Book::new();
        *lock(&self.outbox) = Outbox::new();
        *lock(&self.subjects) = None;
        lock(&self.ready).clear();
    }

    /// What people decided.
    pub(crate) fn defined(&self) -> Arc<Defined> {
        Arc::clone(&lock(&self.defined))
    }

    /// Everything that was told, the latest first: of what another node took on what that one says.
    pub(crate) fn deliveries(
        &self,
        fits: impl Fn(&Delivery) -> bool,
    ) -> Vec<(RecordId, Arc<Delivery>)> {
        let mut found: Vec<(RecordId, Arc<Delivery>)> =
            lock(&self.book).messages().filter(|(_, delivery)| fits(delivery)).collect();
        found.sort_by(|(a_id, a), (b_id, b)| (b.at, a_id).cmp(&(a.at, b_id)));
        found
    }

    /// What was told of an incident, by any of its faults, the first first.
    pub(crate) fn of_incident(&self, keys: &[String]) -> Vec<(RecordId, Arc<Delivery>)> {
        let book = lock(&self.book);
        let mut found: Vec<_> = keys.iter().flat_map(|key| book.of_incident(key)).collect();
        found.sort_by(|(a_id, a), (b_id, b)| (a.queued_at, a_id).cmp(&(b.queued_at, b_id)));
        found
    }

    /// How often a delivery of this node was tried, with what was not written yet.
    pub(crate) fn attempts(&self, id: &RecordId, delivery: &Delivery) -> u32 {
        match id.pager == self.own && delivery.phase == Phase::Queued {
            true => lock(&self.outbox).attempts(delivery),
            false => delivery.attempts,
        }
    }

    /// How it stands with each connector.
    pub(crate) fn standings(&self, now: Millis) -> BTreeMap<Box<str>, ConnectorStanding> {
        let mut all: BTreeMap<Box<str>, ConnectorStanding> = BTreeMap::new();
        for (_, delivery) in lock(&self.book).messages() {
            let standing = all.entry(delivery.connector.clone()).or_default();
            match delivery.phase {
                Phase::Queued => standing.queued += 1,
                Phase::Dead => standing.dead += 1,
                Phase::Delivered => {
                    standing.last_delivered = standing.last_delivered.max(Some(delivery.at));
                }
                Phase::Folded | Phase::Dropped => {}
            }
            let failed = delivery.reason.as_ref().filter(|_| delivery.phase != Phase::Delivered);
            if let Some(reason) = failed
                && standing.last_failure.as_ref().is_none_or(|(at, _)| *at < delivery.at)
            {
                standing.last_failure = Some((delivery.at, reason.clone()));
            }
        }
        let latest = lock(&self.latest).clone();
        let outbox = lock(&self.outbox);
        for name in self.defined().connectors.keys() {
            let standing = all.entry(name.clone()).or_default();
            standing.down_until = outbox.down_until(name, now);
            standing.nobody = latest.nobody.contains(name);
        }
        all
    }

    pub(crate) fn counts(&self) -> PageCounts {
        *lock(&self.counts)
    }

    pub(crate) fn phases(&self) -> BTreeMap<Phase, usize> {
        lock(&self.book).counts()
    }

    /// Deliveries of what is finished that were let go because there was no room.
    pub(crate) fn let_go(&self) -> u64 {
        lock(&self.book).let_go()
    }

    /// Records that could not be read or found no room, and connectors and routes that were not understood.
    pub(crate) fn unreadable(&self) -> u64 {
        let (unreadable, refused) = lock(&self.book).unreadable();
        let defined = self.defined();
        let odd = defined.connectors.values().filter(|held| held.value.is_none()).count()
            + defined.routes.values().filter(|held| held.value.is_none()).count();
        unreadable + refused + odd as u64
    }

    /// Who may page now, as this node sees it.
    pub(crate) fn pagers(&self, now: Millis) -> Vec<Pager> {
        lock(&self.members).candidates(now).into_iter().cloned().collect()
    }

    fn count(&self, count: impl FnOnce(&mut PageCounts)) {
        count(&mut lock(&self.counts));
    }
}

/// Why a delivery is not replayed, or a connector not tried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error(
        "there is no delivery {0}; `GET /v1/paging/deliveries` lists those that are remembered"
    )]
    Unknown(DeliveryId),
    #[error("delivery {0} is {1}, and only one that is dead is replayed")]
    NotDead(DeliveryId, &'static str),
    #[error("connector {0} is not there any more; make it again first")]
    NoConnector(Box<str>),
    #[error("it could not be written: {0}")]
    Write(#[from] CommitError),
}

impl Tenant {
    /// Writes deliveries of this node and takes them into the book. The caller does not hold the order of
    /// the documents.
    fn write_deliveries(
        &self,
        deliveries: &[Delivery],
        now: Millis,
    ) -> Result<Vec<DocVersion>, CommitError> {
        if deliveries.is_empty() || self.has_ended() {
            return Ok(Vec::new());
        }
        let new: Vec<NewRecord> = deliveries
            .iter()
            .map(|delivery| NewRecord { key: delivery.key().into(), value: delivery.encode() })
            .collect();
        let _order = self.in_order();
        let committed = self.replica.put_records_on(Shelf::Pages, &new, now)?;
        let mut book = lock(&self.pages.book);
        for NewRecord { key, value } in &new {
            let id = RecordId { pager: self.pages.own.clone(), key: key.clone() };
            book.take(id, [&**value]);
        }
        Ok(committed.versions)
    }

    fn tell_pages(&self, state: &NodeState, versions: Vec<DocVersion>) {
        if !versions.is_empty() {
            state.tell(Change::of(&self.id, Topic::Pages));
        }
        versions.into_iter().for_each(|version| state.publish(version));
    }

    /// Queues what was given up again; durable when it returns.
    pub(crate) fn replay(
        &self,
        state: &NodeState,
        id: DeliveryId,
        by: &str,
    ) -> Result<(RecordId, Arc<Delivery>), ReplayError> {
        let now = self.mesh_now();
        let pages = &self.pages;
        let (delivery, phase, round) = {
            let book = lock(&pages.book);
            let (_, delivery) = book.delivery(id).ok_or(ReplayError::Unknown(id))?;
            (Arc::clone(&delivery), book.phase_of(&delivery), book.next_round(&delivery))
        };
        // Whoever took it on meanwhile: it is one message.
        if phase != Phase::Dead {
            return Err(ReplayError::NotDead(id, phase.as_str()));
        }
        if !pages.defined().by_name.contains_key(&delivery.connector) {
            return Err(ReplayError::NoConnector(delivery.connector.clone()));
        }
        let mut again = delivery.turned(Phase::Queued, now);
        again.queued_at = now;
        again.round = round;
        again.attempts = 0;
        again.reason = None;
        again.replayed_by = Some(by.chars().take(100).collect::<String>().into());
        {
            let mut outbox = lock(&pages.outbox);
            outbox.forget(&again);
            outbox.hurry(&again.connector);
        }
        let versions = self.write_deliveries(std::slice::from_ref(&again), now)?;
        pages.count(|counts| counts.replayed += 1);
        pages.wake.notify_one();
        self.tell_pages(state, versions);
        let record = RecordId { pager: pages.own.clone(), key: again.key().into() };
        Ok((record, Arc::new(again)))
    }

    /// Sends a page that says that nothing is wrong, from this node, at once; what providers keep open is
    /// ended after it. What became of it.
    pub(crate) async fn test_connector(
        &self,
        state: &NodeState,
        name: &str,
        by: &str,
    ) -> Result<Outcome, PageError> {
        let connector = self.pages.defined().by_name.get(name).cloned();
        let connector = connector.ok_or_else(|| PageError::unknown("connector", name))?;
        let Ok(_place) = self.pages.tests.try_acquire() else { return Err(PageError::Busy) };
        let (link, sender) = (Some(state.console_url()), self.pages.own.to_string());
        let mut page = holm_page::test_of(name, rand::random(), by, link, &sender);
        let http = &self.pages.http;
        let tell = async |page: &holm_page::Page, known: Option<&str>| {
            let sent = holm_page::send(http, &connector, page, known, self.mesh_now());
            let slow = || Outcome::Retry {
                reason: format!("no answer within {} s", TEST_LIMIT.as_secs()),
                after_ms: None,
            };
            tokio::time::timeout(TEST_LIMIT, sent).await.unwrap_or_else(|_| slow())
        };
        let told = tell(&page, None).await;
        let Outcome::Accepted { provider_id, .. } = &told else { return Ok(told) };
        if !connector.provider.keeps_open() {
            return Ok(told);
        }
        (page.event, page.seq) = (Event::Resolve, 2);
        page.word = "over".into();
        let known = provider_id.as_deref();
        Ok(match tell(&page, known).await {
            Outcome::Accepted { .. } => told,
            Outcome::Retry { reason, .. } | Outcome::Refused { reason } => Outcome::Refused {
                reason: format!("the test was taken, its end was not: {reason}"),
            },
        })
    }
}
