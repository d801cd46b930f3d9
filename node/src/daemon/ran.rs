//! When a tenant last ran here. What was seen before a longer absence was not seen throughout it: it ends when the
//! node last ran, and opens anew once it is seen again.

use std::path::PathBuf;
use std::sync::Mutex;

use holm_graph::Fold;
use holm_model::Millis;
use holm_replica::Replica;

/// How often it is written down that the tenant runs, in milliseconds.
const EVERY_MS: u64 = 15_000;
/// Planes hold for at least so long what they saw: an absence of up to this interrupts nothing, in milliseconds.
const LEAST_HOLD_MS: u64 = 60_000;
/// How long elements of the last run are held before a plane must have seen them again.
const GRACE_AFTER_START_MS: u64 = 120_000;

/// Until when a tenant ran: the milliseconds since 1970 as a line of text, in a file.
#[derive(Debug)]
pub(super) struct Ran {
    path: PathBuf,
    started: Millis,
    /// The last run, as far as the file tells.
    before: Option<Millis>,
    written: Mutex<Millis>,
}

impl Ran {
    /// Reads what the last run wrote; one that begins at `now` goes on.
    pub(super) fn open(path: PathBuf, now: Millis) -> Self {
        let told = std::fs::read_to_string(&path).ok();
        let before = told.and_then(|text| text.trim().parse().ok()).map(Millis);
        Self { path, started: now, before, written: Mutex::default() }
    }

    /// That it runs at `now`, and all changes are written: noted every now and then, and if this `is_last`. A disk
    /// that takes no more keeps what was noted before.
    pub(super) fn goes_on(&self, now: Millis, is_last: bool) {
        let mut written = self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !is_last && now.0.abs_diff(written.0) < EVERY_MS {
            return;
        }
        *written = now;
        let temporary = self.path.with_extension("tmp");
        let noted = std::fs::write(&temporary, format!("{}\n", now.0))
            .and_then(|()| std::fs::rename(&temporary, &self.path));
        if let Err(error) = noted {
            tracing::debug!(path = %self.path.display(), %error, "when it ran is not noted");
        }
    }

    /// When it last ran before this start; `last` is the latest moment before it of which the documents speak. What
    /// lies after the start was dated by a clock that was set back: without anything else there was no absence.
    fn until(&self, last: Millis) -> Millis {
        let told = self.before.into_iter().chain((last.0 > 0).then_some(last));
        told.filter(|at| *at <= self.started).max().unwrap_or(self.started)
    }

    /// Takes up what is open in the documents: at the start, and when a peer returned some.
    pub(super) fn take_up(&self, fold: &mut Fold, replica: &Replica, now: Millis) {
        let (open, last) = replica.open_elements(self.started);
        let ran = self.until(last);
        let hold_until = now + GRACE_AFTER_START_MS;
        if self.started.since(ran) <= LEAST_HOLD_MS {
            return fold.restore(open, ran, hold_until);
        }
        let (before, since): (Vec<_>, Vec<_>) = open.into_iter().partition(|o| o.since <= ran);
        fold.end(before, ran);
        fold.restore(since, ran, hold_until);
    }
}

#[cfg(test)]
mod tests {
    use holm_graph::{ElementChange, ElementChangeKind, FoldLimits};
    use holm_model::{NodeKind, NodeObservation, NodeRef};

    use super::*;

    fn see(fold: &mut Fold, at: u64) {
        let node = NodeRef { kind: NodeKind::Service, name: "web" };
        let (at, hold_ms) = (Millis(at), 900_000);
        fold.observe_node(&NodeObservation { node, attributes: &[], at, hold_ms });
    }

    fn replica(folder: &std::path::Path) -> Replica {
        let name = |text: &str| text.parse().expect("valid");
        let key = holm_replica::DataKey::generate(&mut rand::rng());
        let (tenant, site, node) = ("default".parse().expect("valid"), name("berlin"), "n1");
        let node = node.parse().expect("valid");
        let (replica, _) =
            super::super::tenant::open_replica(folder, &tenant, key, &site, &node, Millis(1_000))
                .expect("a replica");
        replica
    }

    /// Seen at 1 s, and the node went at `ran`; it is back at `started` and sees it a second later.
    fn intervals(ran: Option<u64>, started: u64) -> Vec<(u64, Option<u64>)> {
        let folder = tempfile::tempdir().expect("a folder");
        let replica = replica(folder.path());
        let mut fold = Fold::new(FoldLimits::default());
        see(&mut fold, 1_000);
        replica.commit(&fold.drain(), Millis(1_000)).expect("written");
        let path = folder.path().join("ran");
        if let Some(ran) = ran {
            Ran::open(path.clone(), Millis(500)).goes_on(Millis(ran), true);
        }
        let mut fold = Fold::new(FoldLimits::default());
        let ran = Ran::open(path, Millis(started));
        ran.take_up(&mut fold, &replica, Millis(started));
        see(&mut fold, started + 1_000);
        fold.expire(Millis(started + 1_000));
        let changes: Vec<ElementChange> = fold.drain();
        replica.commit(&changes, Millis(started + 1_000)).expect("written");
        // A peer that returns what is known changes nothing.
        ran.take_up(&mut fold, &replica, Millis(started + 2_000));
        let more = fold.drain();
        assert!(more.iter().all(|c| !matches!(c.change, ElementChangeKind::Closed { .. })));
        let (_, element) = replica.elements().next().expect("it");
        element.intervals.as_slice().iter().map(|i| (i.from.0, i.to.map(|to| to.0))).collect()
    }

    #[test]
    fn what_a_node_did_not_watch_is_a_gap_and_a_short_absence_is_none() {
        let whole = [(1_000, None)];
        assert_eq!(intervals(Some(200_000), 260_000), whole, "as long as anything is held");
        assert_eq!(intervals(Some(200_000), 260_001), [(1_000, Some(200_001)), (261_001, None)]);
        assert_eq!(intervals(None, 61_000), whole);
        assert_eq!(intervals(None, 99_000), [(1_000, Some(1_001)), (100_000, None)]);
        // The clock was set back meanwhile: to before it ran, and to before all that is known.
        assert_eq!(intervals(Some(200_000), 150_000)[0], (1_000, Some(1_001)));
        assert_eq!(intervals(Some(200_000), 900).len(), 1);
    }

    #[test]
    fn it_is_noted_now_and_then_and_at_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ran");
        let noted = || Ran::open(path.clone(), Millis(0)).before;
        let ran = Ran::open(path.clone(), Millis(100_000));
        assert_eq!(noted(), None);
        for (now, is_last, known) in [
            (100_000, false, 100_000),
            (114_999, false, 100_000),
            (115_000, false, 115_000),
            (116_000, true, 116_000),
            // Set back.
            (50_000, false, 50_000),
        ] {
            ran.goes_on(Millis(now), is_last);
            assert_eq!(noted(), Some(Millis(known)));
        }
        std::fs::write(&path, "soon").expect("written");
        assert_eq!(noted(), None, "what cannot be read is not known");
    }
}
