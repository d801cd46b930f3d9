//! What a plane is, and what it is handed.
//!
//! What comes in: a strict configuration and a [`PlaneContext`]. What goes out: observations (which
//! become facts), rows, and a health report. What must never happen: a plane that names another
//! plane, that is silent about being off, or that drops something without a counter.

mod context;
mod health;

pub use context::{FactSink, PlaneContext, RowSink, VantagePeer};
pub use health::{Health, HealthHandle, PlaneState};

use std::future::Future;
use std::pin::Pin;

use tokio_util::sync::CancellationToken;

/// Why a plane's run ended before it was asked to: the supervisor shows it and starts the plane
/// again with backoff. Reasons to be `off` for good are not errors: report them as health and
/// return `Ok`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PlaneError(pub String);

/// The future of one run.
pub type PlaneRun<'a> = Pin<Box<dyn Future<Output = Result<(), PlaneError>> + Send + 'a>>;

/// One observer. Its crate also has its configuration: a `Config` type that is `Deserialize` with
/// `deny_unknown_fields`, `Serialize` and `Default`.
pub trait Plane: Send + Sync + 'static {
    /// The plane's name: a key of the configuration, the API and the console.
    fn name(&self) -> &'static str;

    /// Observes until `shutdown` is cancelled. Returns early with `Ok` only when the plane is off
    /// for good and its health says why.
    fn run(&self, context: PlaneContext, shutdown: CancellationToken) -> PlaneRun<'_>;
}
