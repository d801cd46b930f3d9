//! What the API says of tests: what is probed because somebody decided so.

use std::collections::BTreeMap;

use holm_model::{NodeName, Severity, SiteId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::query::{ApproximationView, AskedSite};
use super::topology_types::FreshnessView;
use super::types::{ProbeResult, Timestamp, api_type, request_type};

/// How a test stands, the worst first.
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
#[value(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(crate) enum TestState {
    /// It fails at some site that runs it.
    Failing,
    /// The guard of some site refuses its address: nothing is sent from there.
    Refused,
    /// Its policy is not understood by this version.
    Broken,
    /// No site runs it: none that fits is heard.
    NotRun,
    /// Not often enough yet to say.
    Unknown,
    /// It answers at every site that runs it and said so.
    Passing,
    /// It is switched off.
    Off,
}

/// How a site stands to a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TestPart {
    /// It runs it.
    Runs,
    /// It fits, and others come first.
    InReserve,
    /// It fits, and is not heard or runs no tests.
    Away,
}

api_type!(
    /// The tests.
    TestList {
        /// Those that need looking at first.
        items: Vec<TestView>,
        total: u64,
        /// How many are in each state.
        states: BTreeMap<String, u64>,
        /// What the statistics stand on; null where none were asked for.
        asked: Option<TestAsked>,
        /// Counters of this node's runner: probes that were left out, refused, skipped.
        counters: BTreeMap<String, u64>,
        /// Private ranges that tests may reach from this node.
        allowed: Vec<String>,
        /// Ranges that admins may let tests reach from this node.
        grantable: Vec<String>,
        freshness: FreshnessView,
    }
);

api_type!(
    /// What statistics stand on.
    TestAsked {
        from: Timestamp,
        to: Timestamp,
        /// Whether every site that was asked is in them.
        complete: bool,
        sites: Vec<AskedSite>,
        approximations: Vec<ApproximationView>,
    }
);

api_type!(
    /// A test.
    TestView {
        name: String,
        description: Option<String>,
        state: TestState,
        #[schema(value_type = Option<String>)]
        severity: Option<Severity>,
        probe: Option<String>,
        /// What is probed: a host, an address, a URL, or the name that is asked for.
        target: Option<String>,
        interval_ms: Option<u64>,
        labels: BTreeMap<String, String>,
        /// The sites that fit, which of them run it, and how it stands there.
        sites: Vec<TestSite>,
        /// The sites where it fails.
        #[schema(value_type = Vec<String>)]
        failing: Vec<SiteId>,
        /// Over all sites, if statistics were asked for and there are results.
        stats: Option<TestStats>,
        /// Why it is not understood.
        problem: Option<String>,
        edited_by: String,
        edited_at: Timestamp,
        /// Edits that were made apart and say something else.
        conflicts: Vec<TestConflict>,
        /// The object of kind Test: what `PUT /v1/tests/{name}` takes.
        #[schema(value_type = Object)]
        definition: serde_json::Value,
    }
);

api_type!(
    /// How a test stands at a site.
    TestSite {
        #[schema(value_type = String)]
        site: SiteId,
        #[schema(value_type = String)]
        node: NodeName,
        part: TestPart,
        state: TestState,
        /// Since when it stands so; null while that is unknown.
        since: Option<Timestamp>,
        /// What its last failure said.
        error: Option<String>,
        /// When the site said so.
        said_at: Option<Timestamp>,
        stats: Option<TestStats>,
        /// Runs that this node left out since it started, by the reason; null of other nodes, which count their own.
        left_out: Option<BTreeMap<String, u64>>,
    }
);

api_type!(
    /// What results of a window came to.
    TestStats {
        results: u64,
        failed: u64,
        /// Successes of all: 0 to 1.
        success_ratio: f64,
        /// Quantiles of the durations in ms, by sketches that are within 1 %; null where nothing answered.
        p50_ms: Option<f64>,
        p95_ms: Option<f64>,
        p99_ms: Option<f64>,
        last_at: Option<Timestamp>,
    }
);

api_type!(
    /// An edit that was made apart.
    TestConflict {
        by: String,
        at: Timestamp,
        removed: bool,
        #[schema(value_type = Option<Object>)]
        definition: Option<serde_json::Value>,
    }
);

api_type!(
    /// A test with all that is said of its target.
    TestDetail {
        test: TestView,
        asked: Option<TestAsked>,
        /// Who else looks at the same host, by other tests, and how it stands there.
        others: Vec<TestOther>,
        freshness: FreshnessView,
    }
);

api_type!(
    /// Another test of the same host at a site.
    TestOther {
        test: String,
        #[schema(value_type = String)]
        site: SiteId,
        state: TestState,
        since: Option<Timestamp>,
        error: Option<String>,
    }
);

api_type!(
    /// What applying a file came to.
    TestsApplied {
        items: Vec<TestsAppliedItem>,
    }
);

api_type!(
    /// What became of a test of a file.
    TestsAppliedItem {
        name: String,
        /// `created`, `updated`, `unchanged`.
        change: String,
        /// The sites that run it, as this node knows them now.
        #[schema(value_type = Vec<String>)]
        runs_at: Vec<SiteId>,
    }
);

api_type!(
    /// What is wrong with a file, and what it would do.
    TestCheck {
        problems: Vec<TestProblem>,
        /// The tests of the file, if there is no problem.
        items: Vec<TestsAppliedItem>,
    }
);

api_type!(
    /// One thing that is wrong.
    TestProblem {
        line: usize,
        column: usize,
        path: String,
        text: String,
    }
);

request_type!(
    /// Where a test is run once.
    TestRunRequest {
        /// These sites; this node alone otherwise. At most 64.
        #[serde(default)]
        #[schema(value_type = Option<Vec<String>>)]
        sites: Option<Vec<SiteId>>,
    }
);

api_type!(
    /// What running a test once came to.
    TestRun {
        items: Vec<TestRunItem>,
    }
);

api_type!(
    /// The same at one site.
    TestRunItem {
        #[schema(value_type = String)]
        site: SiteId,
        #[schema(value_type = String)]
        node: Option<NodeName>,
        /// What the probe found; null if it was not sent.
        result: Option<ProbeResult>,
        /// Why it was not sent.
        error: Option<String>,
    }
);

api_type!(
    /// Results of probes, the latest first.
    ResultsPage {
        items: Vec<ProbeResult>,
        /// There are more: ask with `to` of the last.
        cut: bool,
        asked: TestAsked,
    }
);
