//! What `/v1/flows…` says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::query::{ApproximationView, AskedSite};
use super::types::Timestamp;

/// What an answer about flows stands on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowStanding {
    /// Where the window begins and ends.
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// Whether this site's collector runs: where it does not, no flows are no news.
    pub(crate) collector_running: bool,
    /// Why it does not run, or not as it should; empty otherwise.
    pub(crate) collector_reason: String,
    /// Whether every site that was asked is in the answer.
    pub(crate) complete: bool,
    pub(crate) sites: Vec<AskedSite>,
    pub(crate) approximations: Vec<ApproximationView>,
    pub(crate) took_ms: u64,
}

/// A value of a dimension's column.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowKeyPart {
    /// The field of the filter language that the value goes into.
    pub(crate) field: String,
    /// A number or a text; null where exporters did not tell.
    #[schema(value_type = Object, nullable)]
    pub(crate) value: serde_json::Value,
    /// What it is called, where that is known: of an AS, an interface, an exporter.
    pub(crate) name: Option<String>,
}

/// Sums over flow records. Bytes and packets are times the sampling rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowSums {
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
    /// Records.
    pub(crate) flows: u64,
}

/// One of the largest groups.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowGroup {
    /// One part for each column of the dimensions.
    pub(crate) key: Vec<FlowKeyPart>,
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
    pub(crate) flows: u64,
    /// Of all that the filter holds for, 0 to 1; of `total`, so that with `dedup` both count once.
    pub(crate) share: Option<f64>,
    /// The same of the window before; null if it was not asked for.
    pub(crate) previous: Option<FlowSums>,
}

/// The largest groups of flows.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowTop {
    pub(crate) stands_on: FlowStanding,
    pub(crate) by: Vec<String>,
    /// `bytes`, `packets` or `flows`: what the groups are ordered by.
    pub(crate) metric: String,
    /// How flows that several exporters saw were counted once; null if they were counted as often as seen.
    pub(crate) dedup: Option<String>,
    /// All that the filter holds for; with `dedup` each flow once.
    pub(crate) total: FlowSums,
    /// Records whose sampling rate nobody told: they count as they are.
    pub(crate) unscaled: u64,
    pub(crate) items: Vec<FlowGroup>,
}

/// One group over time.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowLine {
    pub(crate) key: Vec<FlowKeyPart>,
    /// One for each bucket, in `unit`.
    pub(crate) values: Vec<f64>,
}

/// Flows over time: each spread over the buckets that it lasted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowSeries {
    pub(crate) stands_on: FlowStanding,
    pub(crate) by: Vec<String>,
    pub(crate) metric: String,
    /// `bit/s`, `packet/s`, or `flow` (records that ended in the bucket).
    pub(crate) unit: String,
    pub(crate) bucket_ms: u64,
    /// When each bucket begins.
    pub(crate) buckets: Vec<Timestamp>,
    /// The largest groups, the largest first.
    pub(crate) series: Vec<FlowLine>,
    /// All other flows together.
    pub(crate) other: Vec<f64>,
}

/// Flow records.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowRecords {
    pub(crate) stands_on: FlowStanding,
    /// By column of table `flows`, the latest first; what was not told is not there.
    #[schema(value_type = Vec<BTreeMap<String, Object>>)]
    pub(crate) items: Vec<BTreeMap<String, serde_json::Value>>,
    /// There are as many as were asked for: there may be more.
    pub(crate) cut: bool,
    /// What `cursor` is to be for the page behind this one; null if this is the last.
    pub(crate) next: Option<String>,
}

/// A value of a dimension in a Sankey diagram.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SankeyNode {
    /// Its place in the list of dimensions, from 0.
    pub(crate) layer: usize,
    pub(crate) key: Vec<FlowKeyPart>,
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
    pub(crate) flows: u64,
}

/// What goes from a value of one dimension to one of the next; nodes by their place in the list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SankeyLink {
    pub(crate) source: usize,
    pub(crate) target: usize,
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
    pub(crate) flows: u64,
}

/// Flows from dimension to dimension, of the largest combinations.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowSankey {
    pub(crate) stands_on: FlowStanding,
    pub(crate) by: Vec<String>,
    pub(crate) metric: String,
    pub(crate) total: FlowSums,
    /// What the combinations that are not shown have.
    pub(crate) rest: FlowSums,
    pub(crate) nodes: Vec<SankeyNode>,
    pub(crate) links: Vec<SankeyLink>,
}

/// How an exporter did in a window.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowExporter {
    pub(crate) site: String,
    pub(crate) address: String,
    pub(crate) port: u64,
    /// As it is configured at its site; null otherwise.
    pub(crate) name: Option<String>,
    /// When it sent last.
    pub(crate) heard: Option<Timestamp>,
    /// `ok`, `silent` (heard in the window, and not in the last two minutes), `losing` (datagrams or records
    /// were lost on the way), `waiting` (data came whose template did not), `refused` (bounds were met).
    pub(crate) state: String,
    /// The reasons in words, and what to do.
    pub(crate) reasons: Vec<String>,
    /// Most templates that it was known by, and that were waited for, in the window.
    pub(crate) templates: u64,
    pub(crate) templates_waiting: u64,
    /// What was counted in the window; docs/flow.md says what each counter means.
    pub(crate) counters: BTreeMap<String, u64>,
}

/// Whether a site collects flows, as it said last.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowCollector {
    pub(crate) site: String,
    /// It said so within the last two minutes.
    pub(crate) running: bool,
    pub(crate) heard: Timestamp,
    /// Datagrams that its kernel dropped in the window.
    pub(crate) kernel_drops: u64,
}

/// Exporters, and the collectors that hear them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowExporters {
    pub(crate) stands_on: FlowStanding,
    pub(crate) collectors: Vec<FlowCollector>,
    /// By site, address and port.
    pub(crate) items: Vec<FlowExporter>,
    /// There are more than `limit`: ask for more, or for one site.
    #[serde(default)]
    pub(crate) cut: bool,
}

/// One interface over time.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowInterface {
    pub(crate) site: String,
    pub(crate) exporter: String,
    pub(crate) interface: u64,
    /// As the exporter names it.
    pub(crate) name: Option<String>,
    /// Its speed in bit/s, where the exporter tells it (sFlow's counters).
    pub(crate) speed_bps: Option<u64>,
    /// Whether what left it was counted as it left; otherwise as it came in elsewhere.
    pub(crate) counted_at_egress: bool,
    pub(crate) mean_bps: f64,
    /// 95 of 100 buckets have no more.
    pub(crate) p95_bps: f64,
    pub(crate) peak_bps: f64,
    /// The peak as a part of its speed; null where that is not known.
    pub(crate) peak_utilization: Option<f64>,
    pub(crate) bps: Vec<f64>,
    pub(crate) pps: Vec<f64>,
}

/// Interfaces over time, the busiest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowCapacity {
    pub(crate) stands_on: FlowStanding,
    /// `in`: what came in by the interface; `out`: what left by it.
    pub(crate) direction: String,
    pub(crate) bucket_ms: u64,
    pub(crate) buckets: Vec<Timestamp>,
    pub(crate) items: Vec<FlowInterface>,
}

/// Traffic that is not as it used to be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowAnomaly {
    pub(crate) site: String,
    /// `link`, `pair` or `network`.
    pub(crate) kind: String,
    /// `exporter in|out interface`, `source > destination`, or the network and its direction.
    pub(crate) key: String,
    /// `raised` or `cleared`.
    pub(crate) state: String,
    /// `above` or `below` what is usual.
    pub(crate) direction: String,
    pub(crate) current_bps: f64,
    pub(crate) expected_bps: f64,
    /// How many times the usual spread it is off.
    pub(crate) sigma: f64,
    /// What is usual, by: `hour_of_week`, `hour_of_day`, `recent`.
    pub(crate) baseline: String,
    pub(crate) at: Timestamp,
    /// Since when it holds.
    pub(crate) since: Timestamp,
}

/// How far a site's detector is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowDetector {
    pub(crate) site: String,
    /// It said so within the last two minutes.
    pub(crate) running: bool,
    pub(crate) heard: Timestamp,
    /// Links, pairs and networks that are followed.
    pub(crate) followed: u64,
    /// Of those, which were not seen long enough to be judged.
    pub(crate) warming: u64,
    /// Keys that were not followed for want of room, in the window.
    pub(crate) refused: u64,
    /// Records that the detector did not see because it was busy, in the window.
    pub(crate) skipped: u64,
}

/// What is not as usual, and how far that can be said.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowAnomalies {
    pub(crate) stands_on: FlowStanding,
    /// Whether this site's detector runs.
    pub(crate) detector_running: bool,
    pub(crate) detectors: Vec<FlowDetector>,
    /// The latest word on each key in the window, raised ones first.
    pub(crate) items: Vec<FlowAnomaly>,
    /// There are more than `limit`, or than one answer is made of: ask for more, a shorter window, or one site.
    #[serde(default)]
    pub(crate) cut: bool,
}

/// A word that may stand next.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowWord {
    pub(crate) word: String,
    /// What it means, or how much there was of it in the last hour.
    pub(crate) text: String,
}

/// How a filter may go on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowCompletion {
    /// `field`, `operator`, `value` or `joint` (and, or).
    pub(crate) expected: String,
    /// The field whose operator or value is expected.
    pub(crate) field: Option<String>,
    /// Where the word begins that is being written, in characters.
    pub(crate) from: usize,
    pub(crate) words: Vec<FlowWord>,
    /// What is wrong with the filter as it stands; null if nothing is.
    pub(crate) error: Option<FlowFilterError>,
}

/// What is wrong with a filter.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowFilterError {
    /// Where, in characters from 0.
    pub(crate) at: usize,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

/// What flows can be grouped by.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowDimension {
    pub(crate) name: String,
    pub(crate) text: String,
    /// The fields of the filter language that its key's parts go into.
    pub(crate) fields: Vec<String>,
    /// Whether it can be asked for with `dedup`.
    pub(crate) of_flow: bool,
}

/// A field of the filter language.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowField {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) operators: Vec<String>,
}

/// The language of questions about flows.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlowLanguage {
    pub(crate) dimensions: Vec<FlowDimension>,
    pub(crate) fields: Vec<FlowField>,
}
