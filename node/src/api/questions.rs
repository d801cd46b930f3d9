//! Questions to a tenant's topology: on threads of their own, a few at once, and given up when
//! nobody waits for the answer any more.
//!
//! A question may take seconds on a large topology, and anybody with a credential may ask. So many
//! are worked on at once, for a tenant and for the node; the others wait a little and are then told
//! to come again. A question holds its place until its thread is done, whatever became of the client.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLockReadGuard};
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use holm_graph::TopologyGraph;
use holm_model::{Millis, TenantId};
use holm_moment::Moment;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::coverage;
use super::error::{ApiError, ErrorCode};
use super::topology_types::{CoverageView, FreshnessView};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState, Picture, Tenant};

/// How many questions are worked on, and for how long others wait.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// At once, of all tenants.
    node: usize,
    /// At once, of one tenant.
    tenant: usize,
    /// Waiting, of one tenant.
    waiting: usize,
    /// Exports that are being sent.
    exports: usize,
    wait: Duration,
}

const BOUNDS: Bounds =
    Bounds { node: 8, tenant: 4, waiting: 32, exports: 2, wait: Duration::from_secs(5) };

/// The places of this node for questions.
pub(crate) struct Questions {
    bounds: Bounds,
    node: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    /// Only of tenants that this node has.
    tenants: Mutex<BTreeMap<TenantId, Arc<OfTenant>>>,
    pub(super) counters: Arc<Counters>,
}

/// The places of one tenant, and how many wait for one.
struct OfTenant {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// What became of questions.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) asked: AtomicU64,
    pub(super) refused_busy: AtomicU64,
    pub(super) given_up: AtomicU64,
    pub(super) exports_refused_busy: AtomicU64,
}

impl Default for Questions {
    fn default() -> Self {
        Self::within(BOUNDS)
    }
}

/// A place for one question.
type Place = [OwnedSemaphorePermit; 2];

impl Questions {
    fn within(bounds: Bounds) -> Self {
        Self {
            bounds,
            node: Arc::new(Semaphore::new(bounds.node)),
            exports: Arc::new(Semaphore::new(bounds.exports)),
            tenants: Mutex::default(),
            counters: Arc::default(),
        }
    }

    /// Questions that are worked on now.
    pub(super) fn running(&self) -> u64 {
        self.bounds.node.saturating_sub(self.node.available_permits()) as u64
    }

    async fn place(&self, tenant: &TenantId) -> Result<Place, ApiError> {
        self.counters.asked.fetch_add(1, Ordering::Relaxed);
        let of_tenant = {
            let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || {
                let places = Arc::new(Semaphore::new(self.bounds.tenant));
                Arc::new(OfTenant { places, waiting: AtomicUsize::new(0) })
            };
            Arc::clone(tenants.entry(tenant.clone()).or_insert_with(new))
        };
        let places = async {
            // The tenant's first: who waits for others of its own keeps no place of the node.
            let own = Arc::clone(&of_tenant.places).acquire_owned().await.ok()?;
            Some([own, Arc::clone(&self.node).acquire_owned().await.ok()?])
        };
        let waiting = Waiting::begin(&of_tenant.waiting);
        let placed = if waiting.others < self.bounds.waiting {
            tokio::time::timeout(self.bounds.wait, places).await.ok().flatten()
        } else {
            None
        };
        placed.ok_or_else(|| {
            self.counters.refused_busy.fetch_add(1, Ordering::Relaxed);
            self.busy("as many questions as this node works on at once are being answered")
        })
    }

    /// A place for an export, for as long as it is being sent.
    pub(super) fn export(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.exports).try_acquire_owned().map_err(|_| {
            self.counters.exports_refused_busy.fetch_add(1, Ordering::Relaxed);
            self.busy("as many exports as this node sends at once are being read")
        })
    }

    /// Works on a question on a thread that may block, once there is a place.
    async fn work<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        work: impl FnOnce(Patience) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let place = self.place(tenant).await?;
        let waits = Waits(Arc::default());
        let counters = Arc::clone(&self.counters);
        let patience = Patience { given_up: Arc::clone(&waits.0), counters };
        let worked = tokio::task::spawn_blocking(move || {
            let _place = place;
            patience.go_on()?;
            work(patience)
        });
        worked.await.map_err(ApiError::internal)?
    }

    fn busy(&self, why: &str) -> ApiError {
        let seconds = self.bounds.wait.as_secs().max(1);
        let message = format!("{why}; ask again in {seconds} s");
        ApiError { retry_after_s: Some(seconds), ..ApiError::new(ErrorCode::RateLimited, message) }
    }
}

struct Waiting<'a> {
    all: &'a AtomicUsize,
    others: usize,
}

impl<'a> Waiting<'a> {
    fn begin(all: &'a AtomicUsize) -> Self {
        Self { all, others: all.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says that nobody waits any more when the request that holds it ends.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether somebody still waits for the answer.
struct Patience {
    given_up: Arc<AtomicBool>,
    counters: Arc<Counters>,
}

impl Patience {
    fn go_on(&self) -> Result<(), ApiError> {
        if !self.given_up.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.counters.given_up.fetch_add(1, Ordering::Relaxed);
        Err(ApiError::new(ErrorCode::Unavailable, "nobody waits for the answer any more"))
    }
}

/// A question that is being worked on, on a thread that may block.
pub(super) struct Asked {
    pub(super) state: Arc<NodeState>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) now: Millis,
    /// The topology of now, the same for all of the question.
    live: OnceLock<Picture>,
    patience: Patience,
}

impl Asked {
    /// To be called between steps; an error ends the work.
    ///
    /// # Errors
    /// Nobody waits for the answer: the client went, or the request took as long as one may.
    pub(super) fn go_on(&self) -> Result<(), ApiError> {
        self.patience.go_on()
    }

    pub(super) fn graph(&self) -> RwLockReadGuard<'_, TopologyGraph> {
        self.tenant.graph()
    }

    /// The topology laid out for questions, at `at` or now.
    pub(super) fn moment(&self, at: Option<Millis>) -> Result<Arc<Moment>, ApiError> {
        self.go_on()?;
        let moment = match at {
            Some(_) => self.tenant.moment(at).moment,
            None => Arc::clone(&self.live.get_or_init(|| self.tenant.moment(None)).moment),
        };
        self.go_on()?;
        Ok(moment)
    }

    /// When what is answered was so: at `at`, or at the moment that stands for now.
    pub(super) fn as_of(&self, at: Option<Millis>) -> Timestamp {
        let live = || self.live.get().map_or(self.now, |picture| picture.at);
        Timestamp(at.unwrap_or_else(live))
    }

    /// Whether the picture of now was one of before: then it is as it is now.
    fn renew(&mut self) -> bool {
        let behind = self.live.get().is_some_and(|picture| self.tenant.is_behind(picture));
        if behind {
            self.live = OnceLock::from(self.tenant.picture_of_now());
        }
        behind
    }

    pub(super) fn coverage(&self, at: Option<Millis>) -> CoverageView {
        self.coverage_then(at, &self.freshness())
    }

    /// The same of two moments: what the later one stands on, and who did not watch at the earlier one.
    pub(super) fn coverage_of_both(&self, from: Millis, to: Millis) -> CoverageView {
        let freshness = self.freshness();
        let mut coverage = self.coverage_then(Some(to), &freshness);
        let known = self.tenant.stands_on_at(from);
        coverage.notes.extend(coverage::not_watching(from, self.now, &known, &freshness));
        coverage
    }

    fn coverage_then(&self, at: Option<Millis>, freshness: &FreshnessView) -> CoverageView {
        match (at, self.live.get()) {
            (None, Some(picture)) => {
                let known = self.tenant.stands_on(picture);
                let known = known.get_or_init(|| self.tenant.stands_on_at(picture.at));
                coverage::coverage(&self.state, &self.tenant, picture.at, known)
            }
            _ => {
                let at = at.unwrap_or(self.now);
                let known = self.tenant.stands_on_at(at);
                let mut coverage = coverage::coverage(&self.state, &self.tenant, at, &known);
                coverage.notes.extend(coverage::not_watching(at, self.now, &known, freshness));
                coverage
            }
        }
    }

    pub(super) fn freshness(&self) -> FreshnessView {
        coverage::freshness(&self.state, &self.tenant, self.now)
    }
}

/// Works on a question of `caller` once there is a place.
pub(super) async fn ask<T: Send + 'static>(
    state: Arc<NodeState>,
    caller: &Caller,
    work: impl Fn(&Asked) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let tenant = state.tenant(caller)?;
    let asking = Arc::clone(&state);
    let id = tenant.id.clone();
    let work = move |patience| {
        let live = OnceLock::new();
        let mut asked = Asked { state, tenant, now: Millis::now(), live, patience };
        match work(&asked) {
            // What was not there a moment ago may be there now.
            Err(error) if error.code == ErrorCode::NotFound && asked.renew() => work(&asked),
            answered => answered,
        }
    };
    asking.questions.work(&id, work).await
}

/// The answer to a question as JSON, written on the question's thread too: it may be large.
pub(super) async fn answer<T: Serialize>(
    state: Arc<NodeState>,
    caller: &Caller,
    work: impl Fn(&Asked) -> Result<T, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let written = ask(state, caller, move |asked| {
        let answer = work(asked)?;
        asked.go_on()?;
        serde_json::to_vec(&answer).map_err(ApiError::internal)
    });
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], written.await?).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().expect("a tenant")
    }

    fn small() -> Questions {
        let wait = Duration::from_millis(1);
        Questions::within(Bounds { node: 2, tenant: 1, waiting: 2, exports: 1, wait })
    }

    #[tokio::test]
    async fn a_tenant_has_its_share_and_the_others_are_told_to_come_again() {
        let questions = small();
        let first = questions.place(&tenant("a")).await.expect("a place");
        let refused = questions.place(&tenant("a")).await.expect_err("its share is taken");
        assert_eq!((refused.code, refused.retry_after_s), (ErrorCode::RateLimited, Some(1)));
        let other = questions.place(&tenant("b")).await.expect("another tenant has its own");
        questions.place(&tenant("c")).await.expect_err("the node has no more");
        assert_eq!(questions.running(), 2);
        drop((first, other));
        drop(questions.place(&tenant("a")).await.expect("free again"));
        assert_eq!(questions.counters.asked.load(Ordering::Relaxed), 5);
        assert_eq!(questions.counters.refused_busy.load(Ordering::Relaxed), 2);
        let tenants = questions.tenants.lock().expect("not poisoned");
        assert!(tenants.values().all(|one| one.waiting.load(Ordering::Relaxed) == 0));
    }

    #[tokio::test]
    async fn one_that_waits_gets_the_place_of_one_that_ends() {
        let wait = Duration::from_secs(600);
        let bounds = Bounds { node: 1, tenant: 1, waiting: 1, exports: 1, wait };
        let questions = Questions::within(bounds);
        let a = tenant("a");
        let first = questions.place(&a).await.expect("a place");
        let waits = questions.place(&a);
        let more = async {
            // The one that waits has begun by now; so many may, and no more.
            questions.place(&a).await.expect_err("as many wait as may");
            drop(first);
        };
        let (second, ()) = tokio::join!(waits, more);
        assert!(second.is_ok(), "the place that came free");
    }

    #[tokio::test]
    async fn exports_have_places_of_their_own_for_as_long_as_they_are_sent() {
        let questions = small();
        let sent = questions.export().expect("a place");
        questions.export().expect_err("no more at once");
        drop(sent);
        drop(questions.export().expect("free again"));
    }

    #[tokio::test]
    async fn a_question_whose_client_is_gone_ends_at_its_next_step_and_holds_its_place_till_then() {
        let questions = Arc::new(small());
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        let asking = Arc::clone(&questions);
        let request = tokio::spawn(async move {
            let work = move |patience: Patience| {
                let _ = begun.send(());
                let _ = may_go.recv();
                patience.go_on()
            };
            asking.work(&tenant("a"), work).await
        });
        has_begun.await.expect("it works");
        request.abort();
        assert!(request.await.expect_err("aborted").is_cancelled());
        assert_eq!(questions.running(), 1, "its thread is not done");
        questions.place(&tenant("a")).await.expect_err("its place is taken still");
        go.send(()).expect("it waits for this");
        while questions.running() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(questions.counters.given_up.load(Ordering::Relaxed), 1);
    }
}
