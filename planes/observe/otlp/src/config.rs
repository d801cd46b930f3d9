//! What is taken, and how fast.

use serde::{Deserialize, Serialize};

/// The plane's section of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether spans are taken.
    pub enabled: bool,
    /// Spans a second of one tenant, on average over ten seconds: 1 to 1,000,000. More are put off (429).
    pub spans_per_second: u32,
    /// Edges of who calls whom that are told anew in a minute: 0 (none) to 10,000.
    pub edges_per_minute: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, spans_per_second: 5_000, edges_per_minute: 200 }
    }
}

impl Config {
    /// # Errors
    /// The field, its value and the range that it is not in.
    pub fn check(&self) -> Result<(), String> {
        let refuse = |field: &str, value: usize, least: usize, most: usize| {
            Err(format!("planes.otlp: {field} is {value}; it must be {least} to {most}"))
        };
        if !(1..=1_000_000).contains(&self.spans_per_second) {
            return refuse("spans_per_second", self.spans_per_second as usize, 1, 1_000_000);
        }
        if self.edges_per_minute > 10_000 {
            return refuse("edges_per_minute", self.edges_per_minute, 0, 10_000);
        }
        Ok(())
    }
}
