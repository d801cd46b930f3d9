//! What a browser saw, as the API tells it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::types::Timestamp;

/// One run of a test by a browser at this node. What was not measured is absent.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct BrowserRun {
    /// The site whose node ran it: the one that is asked.
    #[schema(value_type = String)]
    pub(crate) site: holm_model::SiteId,
    /// When it ended.
    pub(crate) observed_at: Timestamp,
    pub(crate) success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// All steps and the last look, in ms.
    pub(crate) duration_ms: f64,
    /// The status code of the last document that was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_code: Option<u16>,
    /// The steps that were begun.
    pub(crate) steps: Vec<BrowserStep>,
    pub(crate) vitals: BrowserVitals,
    /// The requests, in the order in which they began: at most 500.
    pub(crate) requests: Vec<BrowserRequest>,
    /// Requests beyond that.
    pub(crate) requests_left_out: u64,
    /// Bytes that came over the network.
    pub(crate) bytes: u64,
    /// Errors that the page wrote or threw: at most 50 of 300 characters.
    pub(crate) console: Vec<String>,
    /// Errors beyond that.
    pub(crate) console_left_out: u64,
    /// Whether there is a picture of the end at `…/browser/screenshot`.
    pub(crate) has_screenshot: bool,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) no_screenshot: Option<String>,
}

/// One step.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct BrowserStep {
    pub(crate) name: String,
    pub(crate) duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// How the last document came up (web vitals), as the browser itself measures it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct BrowserVitals {
    /// Until the first byte of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttfb_ms: Option<f64>,
    /// Until the first content was painted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fcp_ms: Option<f64>,
    /// Until the largest content was painted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lcp_ms: Option<f64>,
    /// How much the layout shifted, without a unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cls: Option<f64>,
    /// How long tasks blocked the main thread, over 50 ms each, after the first paint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tbt_ms: Option<f64>,
    /// The longest time from an input to the next paint; absent without inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inp_ms: Option<f64>,
}

/// One request. Look-ups, connections and TLS are the proxy's, and not told.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct BrowserRequest {
    /// Its address without credentials, query and fragment.
    pub(crate) url: String,
    pub(crate) method: String,
    /// What it is for: `Document`, `Script`, `Image`, and so on.
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_code: Option<u16>,
    /// The protocol, such as `h2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<String>,
    /// When it began, after the first request.
    pub(crate) start_ms: f64,
    /// Until the headers of the answer were there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wait_ms: Option<f64>,
    /// From then until its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receive_ms: Option<f64>,
    /// Bytes over the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
    pub(crate) from_cache: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
    /// Why it was not let out: the guard's reason, or the browser's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) blocked: Option<String>,
}
