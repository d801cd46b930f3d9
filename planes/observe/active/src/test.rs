//! A test: what somebody decided shall be probed, from which sites, and when it counts as failing.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_model::{Prefix, Severity};
use serde_json::{Map, Value, json};

use crate::config::{Family, Target};
use crate::parse::KIND;

/// How many echo requests an ICMP test sends that does not say.
pub(crate) const ECHO_COUNT: u16 = 3;
/// A test of a shorter interval sends one echo request: more of them would not fit in.
pub(crate) const ONE_ECHO_BELOW: Duration = Duration::from_secs(1);
/// How long a probe of a test may take that does not say.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);
/// Results in a row that say the same before a test that does not say turns.
pub(crate) const IN_A_ROW: u32 = 3;

/// What shall be probed by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// Its name: 1 to 63 small letters, digits and `-`.
    pub name: Box<str>,
    /// What it is for, for people.
    pub description: Option<Box<str>>,
    /// Whether it runs.
    pub enabled: bool,
    /// What is probed and how; its name and interval are the test's.
    pub target: Target,
    /// Echo requests of one ICMP probe: 1 to 100.
    pub echo_count: u16,
    /// An answer that takes longer is a failure.
    pub expect_within: Option<Duration>,
    /// How often each site probes: 100 ms to one day.
    pub interval: Duration,
    /// Each run begins up to so much later, at random: at most half the interval.
    pub jitter: Duration,
    /// How long one probe may take, all phases: 10 ms to five minutes.
    pub timeout: Duration,
    /// Which sites probe.
    pub sites: Selector,
    /// Failures in a row that make it failing: 1 to 100.
    pub failures: u32,
    /// Successes in a row that make it passing: 1 to 100.
    pub successes: u32,
    /// How grave it is that it fails.
    pub severity: Severity,
    /// Private ranges that it may reach where a node's operator leaves that to admins of the tenant.
    pub allow: Vec<Prefix>,
    /// Whether the sites that run it also look at the ways to its host, again and again.
    pub trace: bool,
    /// What else is said of it, by name.
    pub labels: BTreeMap<Box<str>, Box<str>>,
}

/// Which sites run a test: those that fit all that is said, and of them `count`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// Only these; empty: any.
    pub names: Vec<Box<str>>,
    /// Only sites of one of these regions, the label `region`; empty: any.
    pub regions: Vec<Box<str>>,
    /// Only sites with all of these labels.
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// So many of them that are alive; all otherwise.
    pub count: Option<u32>,
}

impl Test {
    /// The object that it is: what [`crate::parse()`] reads, and what is kept.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| {
            object.insert(key.to_owned(), value);
        };
        put("kind", json!(KIND));
        put("name", json!(self.name));
        if let Some(description) = &self.description {
            put("description", json!(description));
        }
        put("probe", json!(self.target.probe.as_str()));
        put("target", json!(self.target.target));
        if crate::target::understands(self.target.probe, "echo_count") {
            put("echo_count", json!(self.echo_count));
        }
        crate::target_text::write(&self.target, &mut put);
        match self.target.family {
            Family::Any => {}
            Family::V4 => put("family", json!("4")),
            Family::V6 => put("family", json!("6")),
        }
        if let Some(within) = self.expect_within {
            put("expect_within", json!(length(within)));
        }
        put("interval", json!(length(self.interval)));
        if !self.jitter.is_zero() {
            put("jitter", json!(length(self.jitter)));
        }
        put("timeout", json!(length(self.timeout)));
        put("sites", self.sites.to_json());
        put("failures", json!(self.failures));
        put("successes", json!(self.successes));
        put("severity", json!(self.severity.as_str()));
        if !self.allow.is_empty() {
            let ranges: Vec<String> = self.allow.iter().map(range_text).collect();
            put("allow", json!(ranges));
        }
        if self.trace {
            put("trace", json!(true));
        }
        if !self.labels.is_empty() {
            put("labels", json!(self.labels));
        }
        if !self.enabled {
            put("enabled", json!(false));
        }
        Value::Object(object)
    }
}

impl Selector {
    fn to_json(&self) -> Value {
        let mut object = Map::new();
        if !self.names.is_empty() {
            object.insert("names".into(), json!(self.names));
        }
        if !self.regions.is_empty() {
            object.insert("regions".into(), json!(self.regions));
        }
        if !self.labels.is_empty() {
            object.insert("labels".into(), json!(self.labels));
        }
        if let Some(count) = self.count {
            object.insert("count".into(), json!(count));
        }
        if object.is_empty() { json!("all") } else { Value::Object(object) }
    }
}

/// A range of addresses as it is written: `10.0.0.0/8`.
pub fn range_text(range: &Prefix) -> String {
    format!("{}/{}", range.first(), range.length())
}

/// A length of time as it is written: the largest unit that needs no fraction.
pub fn length(time: Duration) -> String {
    let ms = time.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let fits = units.into_iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}
