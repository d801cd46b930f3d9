//! What the API says of how long a test took, as a picture of time by latency.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::probe_tests_types::TestAsked;
use super::types::{Timestamp, api_type};

api_type!(
    /// How many runs of a test took how long, by time.
    TestHeat {
        test: String,
        /// How long a column is, in ms: a whole number of seconds, and never shorter than the test's interval and jitter
        /// together.
        width_ms: u64,
        /// The edges of the rows, in ms, rising by the same factor: row `n` holds what took at least `edges_ms[n]` and less
        /// than `edges_ms[n + 1]`. Empty if nothing answered.
        edges_ms: Vec<f64>,
        /// Every column of the window, the oldest first. One without runs was not measured.
        columns: Vec<TestHeatColumn>,
        /// Runs in the window.
        runs: u64,
        /// Of those, runs that failed.
        failed: u64,
        asked: TestAsked,
    }
);

api_type!(
    /// One stretch of time.
    TestHeatColumn {
        /// When it begins: a multiple of the width since 1970.
        at: Timestamp,
        runs: u64,
        /// Runs that failed. They are in no row: a time-out is not a latency.
        failed: u64,
        /// Runs that succeeded, by row; what told no duration is in none.
        rows: Vec<u64>,
    }
);
