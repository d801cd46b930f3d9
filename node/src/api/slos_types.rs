//! What the API says of objectives.

use holm_model::{NodeName, SiteId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::topology_types::FreshnessView;
use super::types::Timestamp;

/// How an SLO stands, the worst first.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SloState {
    /// More was bad than may be.
    Exhausted,
    /// A pair of windows burns, or did and is not over.
    Burning,
    /// Its policy is not understood, or its rows cannot be counted at this node.
    Broken,
    /// Nothing was counted in its window.
    NoData,
    /// Fewer than 50 events: nothing burns yet.
    ColdStart,
    /// It is kept.
    Met,
}

/// The SLOs, and what they come to together.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SloList {
    /// Those that need looking at first.
    pub(crate) items: Vec<SloView>,
    pub(crate) total: u64,
    /// Until when rows count.
    pub(crate) as_of: Timestamp,
    /// By service.
    pub(crate) services: Vec<SloRollup>,
    /// By the label `team`.
    pub(crate) teams: Vec<SloRollup>,
    pub(crate) freshness: FreshnessView,
}

/// What the SLOs of a service or team come to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SloRollup {
    pub(crate) name: String,
    pub(crate) slos: u64,
    /// How many objectives they have, and of these how many are kept.
    pub(crate) objectives: u64,
    pub(crate) met: u64,
    /// SLOs that burn now.
    pub(crate) burning: u64,
    /// The least budget that is left of any of them: 1 is all; null if nothing was counted.
    pub(crate) least_budget_left: Option<f64>,
    /// The worst state of any of them.
    pub(crate) state: SloState,
}

/// An SLO.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SloView {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) teams: Vec<String>,
    pub(crate) state: SloState,
    /// `Occurrences`, `Timeslices` or `RatioTimeslices`.
    pub(crate) budgeting: Option<String>,
    /// From when on its window counts.
    pub(crate) window_from: Option<Timestamp>,
    /// When it ends; a rolling one ends now.
    pub(crate) window_to: Option<Timestamp>,
    pub(crate) rolling: bool,
    pub(crate) objectives: Vec<SloObjective>,
    /// Why it is not judged, or not counted at this node.
    pub(crate) problem: Option<String>,
    /// Who edited it last, and when.
    pub(crate) edited_by: String,
    pub(crate) edited_at: Timestamp,
    /// Edits that were made at the same time and stand as well: the next edit settles it.
    pub(crate) conflicts: Vec<SloConflict>,
}

/// An edit that stands beside the one that counts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SloConflict {
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    /// It takes the SLO away.
    pub(crate) removed: bool,
    /// What it says: an object of OpenSLO.
    #[schema(value_type = Option<Object>)]
    pub(crate) openslo: Option<serde_json::Value>,
}

/// How an objective stands, over all sites that are known here.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SloObjective {
    pub(crate) title: Option<String>,
    /// The share that shall be good.
    pub(crate) target: f64,
    /// The share that was good; null if nothing was counted.
    pub(crate) attained: Option<f64>,
    /// The share of the budget that is left: 1 is all, below 0 more was bad than may be.
    pub(crate) budget_left: f64,
    /// Rows, or slices of time, that were counted, and what of them was bad; slices may be bad in part.
    pub(crate) events: f64,
    pub(crate) bad: f64,
    pub(crate) cold_start: bool,
    pub(crate) burns: Vec<SloBurn>,
    /// When the budget is used up if it goes on as in the last six hours, in a line; null if that is not within
    /// the window, or it is used up.
    pub(crate) exhausts_at: Option<Timestamp>,
    /// How each site stands by itself.
    pub(crate) sites: Vec<SloSite>,
}

/// How a pair of windows burns.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SloBurn {
    /// `fast`, `medium` or `slow`.
    pub(crate) tier: String,
    pub(crate) long_window_min: u32,
    pub(crate) short_window_min: u32,
    /// The burn rate from which on both count.
    pub(crate) limit: f64,
    /// The burn rates: 1 uses the budget up in just its window. Null if nothing was counted.
    pub(crate) long: Option<f64>,
    pub(crate) short: Option<f64>,
    /// Both are at the limit or above.
    pub(crate) burns: bool,
    /// It burnt, and the long window is not below the limit yet: held at this node.
    pub(crate) held: bool,
    /// Somebody is to be woken: an incident of severity `critical`.
    pub(crate) pages: bool,
}

/// How a site stands by itself.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SloSite {
    #[schema(value_type = String)]
    pub(crate) site: SiteId,
    #[schema(value_type = String)]
    pub(crate) node: NodeName,
    pub(crate) attained: Option<f64>,
    pub(crate) budget_left: f64,
    pub(crate) events: f64,
    pub(crate) bad: f64,
}

/// One SLO, whole.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SloDetail {
    #[serde(flatten)]
    pub(crate) slo: SloView,
    /// Until when rows count.
    pub(crate) as_of: Timestamp,
    /// The object of OpenSLO that it is.
    #[schema(value_type = Option<Object>)]
    pub(crate) openslo: Option<serde_json::Value>,
    /// The way of each objective's budget over its window.
    pub(crate) burn_down: Vec<Vec<SloPoint>>,
    pub(crate) freshness: FreshnessView,
}

/// A point of a budget's way.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SloPoint {
    pub(crate) at: Timestamp,
    pub(crate) budget_left: f64,
    /// What was counted since the point before.
    pub(crate) events: f64,
    pub(crate) bad: f64,
}

/// What applying a file did.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SloApplied {
    pub(crate) items: Vec<SloAppliedItem>,
}

/// What applying did to one SLO.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SloAppliedItem {
    pub(crate) name: String,
    /// `created`, `updated` or `unchanged`.
    pub(crate) change: String,
}
