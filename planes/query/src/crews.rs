//! Threads for questions: a crew for each that is worked on. A question that does not stop to be stopped, such as a
//! join that makes rows without end and keeps none, keeps its own crew and nobody else's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinHandle};

/// Crews that wait for the next question.
const MAX_IDLE: usize = 4;
/// A question that is still worked on so long after it was stopped is one that does not stop.
const STOPS_WITHIN: Duration = Duration::from_secs(1);
/// Questions may be nested as deep as the gate lets them, and planners walk them by calling themselves.
const STACK_BYTES: usize = 64 << 20;
const LOOKS_EVERY: Duration = Duration::from_millis(20);

/// The crews that have nothing to do.
#[derive(Debug)]
pub(crate) struct Crews {
    threads: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    idle: Mutex<Vec<Runtime>>,
    stopping: AtomicUsize,
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<Runtime>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a crew back that has nothing to do any more.
    fn give_back(&self, crew: Runtime) {
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE {
            idle.push(crew);
        } else {
            // Waiting is not allowed everywhere.
            crew.shutdown_background();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.idle().drain(..).for_each(Runtime::shutdown_background);
    }
}

impl Crews {
    /// Crews of so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), shared: Arc::default() }
    }

    /// A crew for one question; it comes back once that is no longer worked on. `of_tenant` counts the questions that do
    /// not stop.
    pub(crate) fn take(&self, of_tenant: Arc<AtomicUsize>) -> std::io::Result<Crew> {
        let idle = self.shared.idle().pop();
        let runtime = match idle {
            Some(idle) => idle,
            None => tokio::runtime::Builder::new_multi_thread()
                .worker_threads(self.threads)
                .thread_name("query")
                .thread_stack_size(STACK_BYTES)
                .enable_time()
                .build()?,
        };
        let shared = Arc::clone(&self.shared);
        Ok(Crew { runtime: Some(runtime), shared, of_tenant })
    }

    /// Questions that were stopped and are still worked on.
    pub(crate) fn stopping(&self) -> usize {
        self.shared.stopping.load(Ordering::Relaxed)
    }
}

/// The threads of one question.
#[derive(Debug)]
pub(crate) struct Crew {
    runtime: Option<Runtime>,
    shared: Arc<Shared>,
    of_tenant: Arc<AtomicUsize>,
}

impl Crew {
    /// Works on it. Who stops waiting stops the work.
    pub(crate) async fn work<T: Send + 'static>(
        self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        let Some(task) = self.runtime.as_ref().map(|runtime| runtime.spawn(work)) else {
            return std::future::pending().await;
        };
        // Dropped in this order: what is to stop, then who may still work on it.
        let (crew, mut task) = (self, AbortOnDrop(task));
        let result = (&mut task.0).await;
        drop((task, crew));
        result
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if has_ended(&runtime) {
            self.shared.give_back(runtime);
            return;
        }
        let (shared, of_tenant) = (Arc::clone(&self.shared), Arc::clone(&self.of_tenant));
        let stopping = Stopping { runtime: Some(runtime), shared, of_tenant, is_counted: false };
        let wait = std::thread::Builder::new().name("query-stop".to_owned());
        drop(wait.spawn(move || stopping.wait()));
    }
}

/// Whether nothing is worked on: a question has tasks of its own, which end after it.
fn has_ended(runtime: &Runtime) -> bool {
    runtime.metrics().num_alive_tasks() == 0
}

/// A task that ends with whoever waits for it.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The crew of a question that was stopped, or that is not quite over.
struct Stopping {
    runtime: Option<Runtime>,
    shared: Arc<Shared>,
    of_tenant: Arc<AtomicUsize>,
    is_counted: bool,
}

impl Stopping {
    fn wait(mut self) {
        let since = Instant::now();
        while self.runtime.as_ref().is_some_and(|runtime| !has_ended(runtime)) {
            std::thread::sleep(LOOKS_EVERY);
            if !self.is_counted && since.elapsed() > STOPS_WITHIN {
                self.is_counted = true;
                self.shared.stopping.fetch_add(1, Ordering::Relaxed);
                self.of_tenant.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(runtime) = self.runtime.take() {
            self.shared.give_back(runtime);
        }
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        if self.is_counted {
            self.shared.stopping.fetch_sub(1, Ordering::Relaxed);
            self.of_tenant.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    async fn until(what: impl Fn() -> bool) {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_question_that_does_not_stop_keeps_its_own_crew_only() {
        let crews = Crews::new(2);
        let tenant = Arc::new(AtomicUsize::new(0));
        let (go_on, started) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let endless = || {
            let (go_on, started) = (Arc::clone(&go_on), Arc::clone(&started));
            async move {
                started.store(true, Ordering::Relaxed);
                while go_on.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        };
        let crew = crews.take(Arc::clone(&tenant)).expect("threads");
        let waits = tokio::time::timeout(Duration::from_millis(50), crew.work(endless()));
        waits.await.expect_err("late");
        // And one that is over while a task of it is not.
        let crew = crews.take(Arc::clone(&tenant)).expect("threads");
        started.store(false, Ordering::Relaxed);
        let (task, started) = (endless(), Arc::clone(&started));
        let leaves_a_task = async move {
            let task = tokio::spawn(task);
            until(|| started.load(Ordering::Relaxed)).await;
            task.abort();
        };
        crew.work(leaves_a_task).await.expect("done");

        let crew = crews.take(Arc::default()).expect("threads");
        assert_eq!(crew.work(async { 7 }).await.expect("done"), 7);
        until(|| crews.stopping() == 2).await;
        assert_eq!(tenant.load(Ordering::Relaxed), 2);
        go_on.store(false, Ordering::Relaxed);
        until(|| crews.stopping() == 0 && crews.shared.idle().len() == 3).await;
        assert_eq!(tenant.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn what_stops_at_once_is_not_counted() {
        let crews = Crews::new(1);
        let tenant = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let crew = crews.take(Arc::clone(&tenant)).expect("threads");
            let waits = crew.work(std::future::pending::<()>());
            tokio::time::timeout(Duration::from_millis(1), waits).await.expect_err("late");
            until(|| crews.shared.idle().len() == 1).await;
        }
        assert_eq!((crews.stopping(), tenant.load(Ordering::Relaxed)), (0, 0));
    }
}
