//! What is traced, and how often.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::{Algorithm, TraceOptions};
use crate::wire::Protocol;

/// Most configured targets.
const MAX_TARGETS: usize = 1_000;

/// The plane's section of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether the plane runs.
    pub enabled: bool,
    /// How often the way to each target is looked at: 10 s to one day. A tenth is jitter.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Whether this site looks at the way to every other site of the mesh by itself.
    pub mesh: bool,
    /// What probes are made of: `udp`, `icmp` or `tcp`; without CAP_NET_RAW only `udp` works.
    pub protocol: Protocol,
    /// udp, tcp: the port of the targets.
    pub port: u16,
    /// How the ways are looked for: `lite`, `mda` or `single`.
    pub algorithm: Algorithm,
    /// Probability to miss a branch at one place that branches: 0.000001 to 0.5.
    pub epsilon: f64,
    /// Flows whose ways are kept in the graph: 1 to 16.
    pub flows: u16,
    /// Highest TTL: 1 to 64.
    pub max_ttl: u8,
    /// Most probes of one trace: 10 to 50,000.
    pub max_probes: u32,
    /// Most probes a second over all traces: 1 to 100,000.
    pub rate: u32,
    /// Most traces at once: 1 to 500.
    pub max_concurrent: usize,
    /// Whether the path MTU to the other sites is looked for with each trace.
    pub mtu: bool,
    /// A table of autonomous systems, as `planes.flow.asn_file`; empty: that one, if there is one.
    pub asn_file: PathBuf,
    /// A table of places: `.mmdb` of cities, or text; empty: none.
    pub geo_file: PathBuf,
    /// What else is traced.
    pub targets: Vec<Target>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(300),
            mesh: true,
            protocol: Protocol::Udp,
            port: 33_434,
            algorithm: Algorithm::Lite,
            epsilon: 0.05,
            flows: 4,
            max_ttl: 32,
            max_probes: 3_000,
            rate: 200,
            max_concurrent: 16,
            mtu: false,
            asn_file: PathBuf::new(),
            geo_file: PathBuf::new(),
            targets: Vec::new(),
        }
    }
}

/// One configured target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name in results: 1 to 200 characters, each once.
    pub name: String,
    /// A host name or an address.
    pub target: String,
    /// What probes are made of; absent: as the plane's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// udp, tcp: the target's port; absent: as the plane's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether the path MTU is looked for with each trace; absent: as the plane's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<bool>,
}

impl Config {
    /// Checks every value.
    ///
    /// # Errors
    /// A text that names the key or target, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let day = Duration::from_secs(86_400);
        let rules = [
            (
                (Duration::from_secs(10)..=day).contains(&self.interval),
                "interval: it goes from 10 s to one day",
            ),
            (self.port > 0, "port: it goes from 1 to 65535"),
            ((1e-6..=0.5).contains(&self.epsilon), "epsilon: it goes from 0.000001 to 0.5"),
            ((1..=16).contains(&self.flows), "flows: it goes from 1 to 16"),
            ((1..=64).contains(&self.max_ttl), "max_ttl: it goes from 1 to 64"),
            ((10..=50_000).contains(&self.max_probes), "max_probes: it goes from 10 to 50,000"),
            ((1..=100_000).contains(&self.rate), "rate: it goes from 1 to 100,000 a second"),
            ((1..=500).contains(&self.max_concurrent), "max_concurrent: it goes from 1 to 500"),
            (self.targets.len() <= MAX_TARGETS, "targets: at most 1,000"),
        ];
        if let Some((_, rule)) = rules.iter().find(|(holds, _)| !holds) {
            return Err(format!("planes.path.{rule}"));
        }
        let mut names = std::collections::BTreeSet::new();
        for target in &self.targets {
            let name: String = target.name.chars().take(80).collect();
            let refuse = |reason: &str| Err(format!("planes.path.targets, \"{name}\": {reason}"));
            let length = target.name.chars().count();
            if !(1..=200).contains(&length) || target.name.chars().any(char::is_control) {
                return refuse("name: 1 to 200 characters, none of them a control character");
            }
            if !names.insert(&target.name) {
                return refuse("there are two targets of this name");
            }
            if target.target.is_empty() || target.target.len() > 253 {
                return refuse("target: 1 to 253 bytes");
            }
            if target.port == Some(0) {
                return refuse("port: it goes from 1 to 65535");
            }
        }
        Ok(())
    }

    pub(crate) fn options(&self) -> TraceOptions {
        TraceOptions {
            algorithm: self.algorithm,
            epsilon: self.epsilon,
            max_ttl: self.max_ttl,
            whole_flows: self.flows,
            max_probes: self.max_probes,
            ..TraceOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_survive_toml() {
        let config = Config::default();
        assert_eq!(config.check(), Ok(()));
        let text = toml::to_string(&config).expect("written");
        assert_eq!(toml::from_str::<Config>(&text).expect("read"), config);
    }

    #[test]
    fn bad_values_are_named() {
        for (bad, named) in [
            ("interval = \"1s\"", "interval"),
            ("epsilon = 0.9", "epsilon"),
            ("epsilon = nan", "epsilon"),
            ("flows = 0", "flows"),
            ("max_ttl = 65", "max_ttl"),
            ("rate = 0", "rate"),
            ("protocol = \"sctp\"", "sctp"),
            ("colour = 1", "colour"),
            ("[[targets]]\nname = \"\"\ntarget = \"x\"", "name"),
            ("[[targets]]\nname = \"a\"\ntarget = \"\"", "target"),
            ("[[targets]]\nname = \"a\"\ntarget = \"x\"\nport = 0", "port"),
        ] {
            let read = toml::from_str::<Config>(bad).map_err(|error| error.to_string());
            let error = read.and_then(|config| config.check()).expect_err(bad);
            assert!(error.contains(named), "{error}");
        }
    }
}
