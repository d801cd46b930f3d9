//! What flows mean beyond what exporters say: the operator's networks, autonomous systems, names.

mod baseline;
mod both_ways;
mod detect;
mod enrich;
mod sketch;
mod tables;
mod talks;
mod watch;

pub use enrich::{Enricher, ExporterName, Network};
pub use tables::Tables;

pub(crate) use detect::Settings;
pub(crate) use tables::{Loaded, changes_of, load as load_tables};
pub(crate) use watch::{Watch, Watching};

/// The table of what is not as usual: a row when it begins and one when it ends.
pub const ANOMALIES_TABLE: &str = "flow_anomalies";
/// The table of detectors: a row every half minute while one runs.
pub const DETECTORS_TABLE: &str = "flow_detectors";
/// The table of the heaviest pairs and networks of each minute.
pub const HEAVY_TABLE: &str = "flow_heavy_hitters";
/// The whole numbers of [`HEAVY_TABLE`], beside the texts `kind` and `key`: bytes of the minute, by how much
/// they may be too many, all bytes of the minute, and how many bytes a key that is not among them may have.
pub const HEAVY_COLUMNS: &[&str] = &["bytes", "error_bytes", "total_bytes", "bound_bytes"];
/// The whole numbers of [`DETECTORS_TABLE`].
pub const DETECTOR_COLUMNS: &[&str] = &["followed", "warming", "refused", "skipped", "late_bytes"];

pub(crate) use enrich::{MEANING, field as meaning_field};
