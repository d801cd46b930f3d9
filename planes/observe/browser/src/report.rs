//! What a run came to.

use std::net::IpAddr;

/// All that is known of one run. What was not measured is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Why it failed; `None` if it succeeded.
    pub error: Option<String>,
    /// The step that failed.
    pub failed_step: Option<String>,
    /// The guard refused the address of the document.
    pub refused: bool,
    /// The browser does not run here: nothing was sent.
    pub off: bool,
    /// The address that was dialled first.
    pub address: Option<IpAddr>,
    /// All steps, in ms.
    pub duration_ms: f64,
    /// The steps that were begun.
    pub steps: Vec<StepReport>,
    /// The status code of the last document that was opened.
    pub status: Option<u16>,
    /// Of the last document.
    pub vitals: Vitals,
    /// The requests, in the order in which they began.
    pub requests: Vec<Request>,
    /// Requests that are not among them.
    pub requests_left_out: u64,
    /// Bytes that came, as they were on the wire.
    pub bytes: u64,
    /// Errors that the page wrote or threw.
    pub console: Vec<String>,
    /// Errors that are not among them.
    pub console_left_out: u64,
    /// How the page looked at the end: JPEG.
    pub screenshot: Option<Picture>,
    /// Why there is no picture.
    pub no_screenshot: Option<String>,
}

/// A picture: JPEG.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture(pub Vec<u8>);

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({} bytes)", self.0.len())
    }
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// How long it took, in ms.
    pub duration_ms: f64,
    /// Why it failed.
    pub error: Option<String>,
}

/// How a document came up (web vitals), as the browser itself measures it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Vitals {
    /// Until the first byte of the document, in ms.
    pub ttfb_ms: Option<f64>,
    /// Until the first content was painted, in ms.
    pub fcp_ms: Option<f64>,
    /// Until the largest content was painted, in ms.
    pub lcp_ms: Option<f64>,
    /// How much the layout shifted: the largest window of shifts, without a unit.
    pub cls: Option<f64>,
    /// How long the main thread was blocked after the first paint, over 50 ms each time, in ms.
    pub tbt_ms: Option<f64>,
    /// The longest time from an input to the next paint, in ms; absent without inputs.
    pub inp_ms: Option<f64>,
}

/// One request of the page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Its address without query, fragment and credentials, at most 300 characters.
    pub url: String,
    /// Its method.
    pub method: String,
    /// What it is for: `Document`, `Script`, `Image`, and so on.
    pub kind: String,
    /// The status code.
    pub status: Option<u16>,
    /// The protocol, such as `h2`.
    pub protocol: Option<String>,
    /// When it began, in ms after the first.
    pub start_ms: f64,
    /// Until the headers of the answer were there, in ms.
    pub wait_ms: Option<f64>,
    /// From then until its end, in ms.
    pub receive_ms: Option<f64>,
    /// Bytes as they were on the wire.
    pub bytes: Option<u64>,
    /// It came from the browser's cache.
    pub from_cache: bool,
    /// Why it failed.
    pub failed: Option<String>,
    /// Why it was not let out of the browser.
    pub blocked: Option<String>,
}
