//! The tenant's topology laid out for questions, kept while it stays true.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use holm_model::Millis;
use holm_moment::{Moment, Scratch};

use super::Tenant;

/// How long a picture of now is used: an element that another site's clock dated ahead becomes true
/// without a change.
const NOW_LASTS: Duration = Duration::from_secs(5);
/// A topology that takes longer than this to lay out (hundreds of thousands of edges) is laid out anew beside the
/// questions: they get the picture before, which says its time.
const WAITED_FOR: Duration = Duration::from_millis(100);
/// Pictures that are kept: now, and the moments that someone looks at.
const KEPT: usize = 4;

/// Pictures of one tenant's topology, the last used last.
#[derive(Default)]
pub(crate) struct Moments {
    kept: Mutex<Vec<Kept>>,
    /// Whether now is being laid out beside the questions.
    laying: AtomicBool,
    /// Room for searches, used again by the next question.
    scratch: Mutex<Vec<Scratch>>,
}

/// A topology laid out, and the moment at which it was so.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) moment: Arc<Moment>,
    pub(crate) at: Millis,
}

struct Kept {
    /// `None` for now.
    asked: Option<Millis>,
    generation: u64,
    made: Instant,
    /// How long it took to lay it out.
    took: Duration,
    picture: Picture,
}

impl Kept {
    /// Whether nothing has changed since.
    fn holds(&self, generation: u64) -> bool {
        self.generation == generation && (self.asked.is_some() || self.made.elapsed() < NOW_LASTS)
    }

    /// Whether it will do while a new one is laid out.
    fn will_do(&self) -> bool {
        self.asked.is_none() && self.took > WAITED_FOR && self.made.elapsed() < NOW_LASTS
    }
}

impl Tenant {
    /// The topology at `at`, or now. Takes long for a large tenant: not for an async thread.
    pub(crate) fn moment(self: &Arc<Self>, at: Option<Millis>) -> Picture {
        let generation = self.graph().generation();
        let found = {
            let mut kept = self.moments.kept();
            kept.retain(|kept| kept.holds(generation) || kept.will_do());
            kept.iter().position(|kept| kept.asked == at).map(|i| {
                let found = kept.remove(i);
                let answer = (found.picture.clone(), found.holds(generation));
                kept.push(found);
                answer
            })
        };
        match found {
            Some((picture, true)) => {
                Picture { at: at.unwrap_or_else(Millis::now), moment: picture.moment }
            }
            Some((picture, false)) => {
                self.lay_out_beside();
                picture
            }
            None => self.lay_out(at),
        }
    }

    /// Lays out now, unless that is being done.
    fn lay_out_beside(self: &Arc<Self>) {
        if self.moments.laying.swap(true, Ordering::AcqRel) {
            return;
        }
        let tenant = Arc::clone(self);
        let lay_out = move || {
            // Also after a panic somebody else may try.
            let _done = Done(&tenant.moments.laying);
            tenant.lay_out(None);
        };
        if std::thread::Builder::new().name("topology".into()).spawn(lay_out).is_err() {
            self.moments.laying.store(false, Ordering::Release);
        }
    }

    fn lay_out(&self, asked: Option<Millis>) -> Picture {
        let graph = self.graph();
        let (generation, began) = (graph.generation(), Instant::now());
        let at = asked.unwrap_or_else(Millis::now);
        let picture = Picture { moment: Arc::new(graph.moment(at)), at };
        drop(graph);
        let mut kept = self.moments.kept();
        kept.retain(|kept| kept.asked != asked);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        let (made, took) = (Instant::now(), began.elapsed());
        kept.push(Kept { asked, generation, made, took, picture: picture.clone() });
        picture
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
