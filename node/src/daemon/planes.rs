//! Runs the planes: each in a task of its own, started again with backoff when it fails, and never
//! able to take the node down.

use std::sync::Arc;
use std::time::Duration;

use holm_model::Millis;
use holm_plane::{Health, HealthHandle, Plane, PlaneContext};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// A plane that ran this long before it failed starts again with the first backoff.
const STEADY_AFTER: Duration = Duration::from_secs(120);
/// How long a plane may take to end when the node does.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// A plane under supervision.
pub(crate) struct Supervised {
    name: &'static str,
    health: HealthHandle,
    task: Option<JoinHandle<()>>,
}

impl Supervised {
    /// Starts `plane`. `context` makes what it is handed, around its health report.
    pub(crate) fn start(
        plane: Arc<dyn Plane>,
        context: impl FnOnce(HealthHandle) -> PlaneContext,
        shutdown: CancellationToken,
    ) -> Self {
        let name = plane.name();
        let health = HealthHandle::new(Millis::now());
        let context = context(health.clone());
        let task = tokio::spawn(supervise(plane, context, shutdown));
        Self { name, health, task: Some(task) }
    }

    /// A plane that is known and not started: the reason says why.
    pub(crate) fn off(name: &'static str, reason: &str, remedy: &str) -> Self {
        let health = HealthHandle::new(Millis::now());
        health.off(reason, remedy);
        Self { name, health, task: None }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn health(&self) -> Health {
        self.health.snapshot()
    }

    /// Waits for the plane's end after shutdown was asked for.
    pub(crate) async fn stopped(&mut self) {
        if let Some(task) = self.task.take()
            && tokio::time::timeout(STOP_LIMIT, task).await.is_err()
        {
            tracing::warn!(plane = self.name, "the plane did not stop in time");
        }
    }
}

async fn supervise(plane: Arc<dyn Plane>, context: PlaneContext, shutdown: CancellationToken) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let started = tokio::time::Instant::now();
        // In a task of its own, so that a panic ends the run and not the supervisor.
        let run = tokio::spawn({
            let (plane, context, stop) =
                (Arc::clone(&plane), context.clone(), shutdown.child_token());
            async move { plane.run(context, stop).await }
        });
        let failure = match run.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("it panicked: {panic}"),
        };
        if shutdown.is_cancelled() {
            return;
        }
        if started.elapsed() > STEADY_AFTER {
            backoff = FIRST_BACKOFF;
        }
        tracing::error!(plane = plane.name(), %failure, ?backoff, "the plane failed and is started again");
        context.health.off(
            &failure,
            &format!("it is started again in {} s; the node's log has more", backoff.as_secs()),
        );
        context.health.count("restarts", 1);
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            () = shutdown.cancelled() => return,
        }
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::{AliasObservation, EdgeObservation, NodeObservation, PathObservation, Row};
    use holm_plane::{FactSink, PlaneError, PlaneRun, PlaneState, RowSink};
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Nowhere;
    impl FactSink for Nowhere {
        fn observe_edge(&self, _: &EdgeObservation<'_>) {}
        fn observe_node(&self, _: &NodeObservation<'_>) {}
        fn observe_path(&self, _: &PathObservation<'_>) {}
        fn observe_alias(&self, _: &AliasObservation<'_>) {}
    }
    impl RowSink for Nowhere {
        fn append(&self, _: Row) {}
    }

    struct Flaky(AtomicU32);
    impl Plane for Flaky {
        fn name(&self) -> &'static str {
            "flaky"
        }
        fn run(&self, context: PlaneContext, shutdown: CancellationToken) -> PlaneRun<'_> {
            Box::pin(async move {
                match self.0.fetch_add(1, Ordering::SeqCst) {
                    0 => panic!("the first run panics"),
                    1 => Err(PlaneError("the second run fails".into())),
                    _ => {
                        context.health.running("test");
                        shutdown.cancelled().await;
                        Ok(())
                    }
                }
            })
        }
    }

    async fn until(plane: &Supervised, holds: impl Fn(&Health) -> bool) {
        let wait = async {
            while !holds(&plane.health()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let limit = Duration::from_secs(30);
        tokio::time::timeout(limit, wait).await.expect("the supervisor came to it");
    }

    #[tokio::test]
    async fn a_plane_that_panics_or_fails_is_started_again_and_says_so() {
        let shutdown = CancellationToken::new();
        let (_peers, peers) = tokio::sync::watch::channel(Vec::new());
        let mut plane = Supervised::start(
            Arc::new(Flaky(AtomicU32::new(0))),
            |health| PlaneContext {
                tenant: "t".parse().expect("valid"),
                site: "s".parse().expect("valid"),
                node: "n".parse().expect("valid"),
                facts: Arc::new(Nowhere),
                rows: Arc::new(Nowhere),
                health,
                peers,
            },
            shutdown.clone(),
        );
        until(&plane, |health| health.reason.contains("panicked")).await;
        assert_eq!(plane.health().state, PlaneState::Off);
        until(&plane, |health| health.reason.contains("second run")).await;
        until(&plane, |health| health.state == PlaneState::Running).await;
        assert_eq!(plane.health().counters["restarts"], 2);
        shutdown.cancel();
        plane.stopped().await;
    }
}
