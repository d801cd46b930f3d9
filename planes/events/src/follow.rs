//! Following a store: every row that is committed from a moment on, and what there was before it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;

use crate::store::{Shared, Snapshot};
use crate::table::{Table, weight};

/// What was committed since a follower looked last.
#[derive(Debug, Default)]
pub struct Followed {
    /// Batches in the order in which they were committed.
    pub batches: VecDeque<(Arc<Table>, RecordBatch)>,
    /// There were more than the follower takes: those are missing, and [`Follower::renew`] begins anew.
    pub missed: bool,
}

#[derive(Debug, Default)]
struct Queue {
    followed: Followed,
    bytes: usize,
}

/// What waits for a follower.
#[derive(Debug)]
pub(crate) struct Waiting {
    most_bytes: usize,
    queue: Mutex<Queue>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was committed. The caller holds what is held, so that nobody sees it twice.
    pub(crate) fn push(&self, table: &Arc<Table>, batch: &RecordBatch) {
        let mut queue = self.lock();
        if queue.followed.missed {
            return;
        }
        queue.bytes += weight(batch);
        if queue.bytes > self.most_bytes {
            *queue = Queue::default();
            queue.followed.missed = true;
            return;
        }
        queue.followed.batches.push_back((Arc::clone(table), batch.clone()));
    }
}

/// Follows a store: each row once. Dropping it ends that.
pub struct Follower {
    shared: Arc<Shared>,
    waiting: Arc<Waiting>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

impl Follower {
    /// Follows from now on, with at most so many bytes that wait.
    pub(crate) fn new(shared: Arc<Shared>, most_bytes: usize) -> Self {
        let waiting = Arc::new(Waiting { most_bytes, queue: Mutex::default() });
        shared.held().followers.push(Arc::downgrade(&waiting));
        Self { shared, waiting }
    }

    /// What was committed since it was asked last.
    pub fn take(&self) -> Followed {
        std::mem::take(&mut *self.waiting.lock()).followed
    }

    /// About how many bytes wait.
    pub fn bytes(&self) -> usize {
        self.waiting.lock().bytes
    }

    /// What was committed since it was asked last, and all tables as they are at that moment: what comes from now
    /// on is in neither.
    pub fn renew(&self) -> (Followed, Vec<Snapshot>) {
        let tables: Vec<Arc<Table>> = self.shared.all_tables();
        let held = self.shared.held();
        let snapshots = tables.into_iter().map(|table| Snapshot {
            files: held.shelf.of(table.name()).to_vec(),
            batches: held.batches(table.name()),
            table,
        });
        let snapshots = snapshots.collect();
        (self.take(), snapshots)
    }
}
