//! The last runs of tests by a browser: of each test the newest, and the newest that failed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use holm_browser::Report;
use holm_model::Millis;

/// Most tests of which something is remembered: each has at most two pictures of 200 KiB and two lists of requests.
const MAX_TESTS: usize = 32;

/// One run.
#[derive(Debug, Clone)]
pub struct Visited {
    /// When it ended.
    pub at: Millis,
    /// What was seen.
    pub report: Arc<Report>,
}

/// What is remembered, in memory alone: pages may show what nobody else shall see, and a node that starts again knows
/// nothing of them.
#[derive(Debug, Default)]
pub struct Visits(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    tests: BTreeMap<Box<str>, (Visited, Option<Visited>)>,
    forgotten: u64,
}

impl Visits {
    /// Remembers a run. Where there are too many tests the one whose last run is oldest is forgotten, and counted.
    pub fn keep(&self, test: &str, visited: Visited) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.tests.remove(test).and_then(|(_, failed)| failed);
        if known.tests.len() >= MAX_TESTS {
            let oldest = known.tests.iter().min_by_key(|(_, (last, _))| last.at);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                known.tests.remove(&oldest);
                known.forgotten += 1;
            }
        }
        let failed = if visited.report.error.is_some() { Some(visited.clone()) } else { before };
        known.tests.insert(test.into(), (visited, failed));
    }

    /// The newest run of a test, or the newest that failed.
    pub fn of(&self, test: &str, failed: bool) -> Option<Visited> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, last_failed) = known.tests.get(test)?;
        if failed { last_failed.clone() } else { Some(last.clone()) }
    }

    /// Tests whose runs were forgotten to make room, since the node started.
    pub fn forgotten(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_the_newest_failed_are_remembered_and_the_oldest_make_room() {
        let visits = Visits::default();
        let run = |at, error: Option<&str>| Visited {
            at: Millis(at),
            report: Arc::new(Report { error: error.map(str::to_owned), ..Report::default() }),
        };
        visits.keep("shop", run(1, Some("no")));
        visits.keep("shop", run(2, None));
        let at = |failed| visits.of("shop", failed).map(|visited| visited.at);
        assert_eq!((at(false), at(true)), (Some(Millis(2)), Some(Millis(1))));
        assert!(visits.of("other", false).is_none());
        for n in 0..MAX_TESTS as u64 {
            visits.keep(&format!("t{n}"), run(10 + n, None));
        }
        assert_eq!((at(false), visits.forgotten()), (None, 1), "the oldest went");
        assert!(visits.of("t0", false).is_some());
    }
}
