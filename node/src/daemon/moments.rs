//! The tenant's topology laid out for questions, kept while it stays true.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use holm_graph::{Coverage, NotWatching};
use holm_model::{Millis, NodeId};
use holm_moment::{Moment, Scratch};

use super::Tenant;

/// How long a picture of now is used: an element that another site's clock dated ahead becomes true
/// without a change.
const NOW_LASTS: Duration = Duration::from_secs(5);
/// A topology that takes longer than this to lay out (hundreds of thousands of edges) is laid out anew beside the
/// questions: they get the picture before, which says its time.
const WAITED_FOR: Duration = Duration::from_millis(100);
/// Pictures of the past that are kept; of topologies that take long, one.
const KEPT: usize = 3;
/// Who looks at the past asks again within this time.
const IDLE: Duration = Duration::from_secs(60);

/// Pictures of one tenant's topology.
#[derive(Default)]
pub(crate) struct Moments {
    /// The last used last.
    kept: Mutex<Vec<Kept>>,
    /// Held while now is laid out: others wait for that one.
    laying: Mutex<()>,
    /// Whether now is being laid out beside the questions.
    beside: AtomicBool,
    /// Room for searches, used again by the next question.
    scratch: Mutex<Vec<Scratch>>,
}

/// A topology laid out, and the moment at which it was so.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) moment: Arc<Moment>,
    pub(crate) at: Millis,
    generation: u64,
    stands_on: Arc<OnceLock<StandsOn>>,
}

/// What is known of the whole topology at one moment.
#[derive(Debug)]
pub(crate) struct StandsOn {
    pub(crate) coverage: Coverage,
    /// When anything was recorded first.
    pub(crate) earliest: Option<Millis>,
    /// Names that could mean several things and are not folded.
    pub(crate) ambiguous: Arc<[NodeId]>,
    /// Private names that sites use each for itself.
    pub(crate) apart: Vec<NodeId>,
    /// Sites of which nothing is recorded for the moment.
    pub(crate) not_watching: Vec<NotWatching>,
}

struct Kept {
    /// `None` for now.
    asked: Option<Millis>,
    used: Instant,
    made: Instant,
    /// How long it took to lay it out.
    took: Duration,
    picture: Picture,
}

impl Kept {
    /// Whether nothing has changed since.
    fn holds(&self, generation: u64) -> bool {
        let lasts = self.asked.is_some() || self.made.elapsed() < NOW_LASTS;
        self.picture.generation == generation && lasts
    }

    /// Whether it will do while a new one is laid out.
    fn will_do(&self) -> bool {
        self.asked.is_none() && self.took > WAITED_FOR && self.made.elapsed() < NOW_LASTS
    }
}

impl Tenant {
    /// The topology at `at`, or now; of a large one perhaps as it was up to five seconds ago. Takes long for a
    /// large tenant: not for an async thread.
    pub(crate) fn moment(self: &Arc<Self>, at: Option<Millis>) -> Picture {
        let generation = self.graph().generation();
        let found = {
            let mut kept = self.moments.kept();
            kept.retain(|kept| kept.holds(generation) || kept.will_do());
            kept.iter().position(|kept| kept.asked == at).map(|i| {
                let mut found = kept.remove(i);
                found.used = Instant::now();
                let answer = (found.picture.clone(), found.holds(generation));
                kept.push(found);
                answer
            })
        };
        match (found, at) {
            (Some((picture, true)), _) => picture,
            (Some((picture, false)), _) => {
                self.lay_out_beside();
                picture
            }
            (None, Some(_)) => self.lay_out(at),
            (None, None) => self.picture_of_now(),
        }
    }

    /// The topology as it is now, with every change that there is.
    pub(crate) fn picture_of_now(&self) -> Picture {
        let _one = self.moments.laying.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.graph().generation();
        let kept = self.moments.kept();
        let known = kept.iter().find(|kept| kept.asked.is_none() && kept.holds(generation));
        let known = known.map(|kept| kept.picture.clone());
        drop(kept);
        known.unwrap_or_else(|| self.lay_out(None))
    }

    /// Whether something changed since.
    pub(crate) fn is_behind(&self, picture: &Picture) -> bool {
        self.graph().generation() != picture.generation
    }

    /// Lays out now, unless that is being done.
    fn lay_out_beside(self: &Arc<Self>) {
        if self.moments.beside.swap(true, Ordering::AcqRel) {
            return;
        }
        let tenant = Arc::clone(self);
        let lay_out = move || {
            // Also after a panic somebody else may try.
            let _done = Done(&tenant.moments.beside);
            tenant.picture_of_now();
        };
        if std::thread::Builder::new().name("topology".into()).spawn(lay_out).is_err() {
            self.moments.beside.store(false, Ordering::Release);
        }
    }

    fn lay_out(&self, asked: Option<Millis>) -> Picture {
        let graph = self.graph();
        let (generation, began) = (graph.generation(), Instant::now());
        let at = asked.unwrap_or_else(Millis::now);
        let moment = Arc::new(graph.moment(at));
        drop(graph);
        let picture = Picture { moment, at, generation, stands_on: Arc::default() };
        let (now, took) = (Instant::now(), began.elapsed());
        let mut kept = self.moments.kept();
        kept.retain(|kept| kept.asked != asked);
        let most = if took > WAITED_FOR { 1 } else { KEPT };
        let past = |kept: &Kept| kept.asked.is_some();
        while asked.is_some() && kept.iter().filter(|kept| past(kept)).count() >= most {
            let first = kept.iter().position(past);
            first.map(|first| kept.remove(first));
        }
        kept.push(Kept { asked, used: now, made: now, took, picture: picture.clone() });
        picture
    }

    /// Lets go of pictures that nobody looks at any more.
    pub(super) fn forget_pictures(&self) {
        self.moments.kept().retain(|kept| kept.used.elapsed() < IDLE);
    }

    /// What is known of the whole topology, as in `picture` or at `at`.
    pub(crate) fn stands_on(&self, picture: &Picture) -> Arc<OnceLock<StandsOn>> {
        picture.stands_on.get_or_init(|| self.stands_on_at(picture.at));
        Arc::clone(&picture.stands_on)
    }

    /// The same at a moment that was not laid out.
    pub(crate) fn stands_on_at(&self, at: Millis) -> StandsOn {
        let graph = self.graph();
        StandsOn {
            coverage: graph.coverage(at),
            earliest: graph.earliest(),
            ambiguous: graph.folding(at).ambiguous,
            apart: graph.names_apart(at),
            not_watching: graph.not_watching(at),
        }
    }

    /// Asks with room for searches.
    pub(crate) fn search<T>(&self, ask: impl FnOnce(&mut Scratch) -> T) -> T {
        let lock = || self.moments.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = lock().pop().unwrap_or_default();
        let answer = ask(&mut scratch);
        let mut free = lock();
        if free.len() < 2 {
            free.push(scratch);
        }
        answer
    }
}

impl Moments {
    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
