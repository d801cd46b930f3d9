//! placeholder
use holm_plane::{Plane, PlaneContext, PlaneRun};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
/// Configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether.
    pub enabled: bool,
}
impl Config {
    /// Check.
    pub fn check(&self) -> Result<(), String> {
        Ok(())
    }
}
/// Plane.
pub struct HostPlane;
impl HostPlane {
    /// New.
    pub fn new(_: Config) -> Self {
        Self
    }
}
impl Plane for HostPlane {
    fn name(&self) -> &'static str {
        "host"
    }
    fn run(&self, _: PlaneContext, s: CancellationToken) -> PlaneRun<'_> {
        Box::pin(async move {
            s.cancelled().await;
            Ok(())
        })
    }
}
