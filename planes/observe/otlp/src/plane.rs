//! The plane: exporters come to the node's HTTPS port by themselves; what it does by itself is to say how they do.

use std::sync::Arc;
use std::time::Duration;

use holm_plane::{Plane, PlaneContext, PlaneError, PlaneRun};
use tokio_util::sync::CancellationToken;

use crate::tally::Counters;

/// How often health is told.
const HEALTH_EVERY: Duration = Duration::from_secs(1);
const METHOD: &str = "OTLP/HTTP at /v1/traces of the node's HTTPS port";

/// Tells the counters of all tenants' exporters as health.
#[derive(Debug)]
pub struct OtlpPlane {
    counters: Arc<Counters>,
}

impl OtlpPlane {
    /// Of these counters.
    pub const fn new(counters: Arc<Counters>) -> Self {
        Self { counters }
    }
}

impl Plane for OtlpPlane {
    fn name(&self) -> &'static str {
        "otlp"
    }

    fn run(&self, context: PlaneContext, shutdown: CancellationToken) -> PlaneRun<'_> {
        Box::pin(async move {
            let mut ticks = tokio::time::interval(HEALTH_EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            context.health.running(METHOD);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = shutdown.cancelled() => return Ok::<(), PlaneError>(()),
                }
                for (name, value) in self.counters.total().each() {
                    context.health.set_counter(name, value);
                }
            }
        })
    }
}
