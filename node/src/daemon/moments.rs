//! The tenant's topology laid out for questions, kept while it stays true.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use holm_model::Millis;
use holm_moment::{Moment, Scratch};

use super::Tenant;

/// How long a picture of now is used: an element that another site's clock dated ahead becomes true
/// without a change.
const NOW_LASTS: Duration = Duration::from_secs(5);
/// Pictures that are kept: now, and the moments that someone looks at.
const KEPT: usize = 4;

/// Pictures of one tenant's topology, the last used last.
#[derive(Default)]
pub(crate) struct Moments {
    kept: Mutex<Vec<Kept>>,
    /// Room for searches, used again by the next question.
    scratch: Mutex<Vec<Scratch>>,
}

struct Kept {
    /// `None` for now.
    at: Option<Millis>,
    generation: u64,
    made: Instant,
    moment: Arc<Moment>,
}

impl Tenant {
    /// The topology at `at`, or now. Takes long for a large tenant: not for an async thread.
    pub(crate) fn moment(&self, at: Option<Millis>) -> Arc<Moment> {
        let graph = self.graph();
        let generation = graph.generation();
        let good = |kept: &Kept| {
            kept.generation == generation && (kept.at.is_some() || kept.made.elapsed() < NOW_LASTS)
        };
        let lock = || self.moments.kept.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut kept = lock();
            kept.retain(good);
            if let Some(i) = kept.iter().position(|kept| kept.at == at) {
                let found = kept.remove(i);
                let moment = Arc::clone(&found.moment);
                kept.push(found);
                return moment;
            }
        }
        let moment = Arc::new(graph.moment(at.unwrap_or_else(Millis::now)));
        drop(graph);
        let mut kept = lock();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        let made = Instant::now();
        kept.push(Kept { at, generation, made, moment: Arc::clone(&moment) });
        moment
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
