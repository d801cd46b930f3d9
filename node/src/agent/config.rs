//! What an agent measures, what it withholds, and where it sends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use holm_endpoint::{MAX_CHECKS, MAX_SESSIONS, Privacy, Thresholds};
use serde::{Deserialize, Serialize};

/// Most nodes that an agent knows.
const MAX_NODES: usize = 32;

/// The agent's configuration: TOML. Everything has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AgentConfig {
    /// How often it measures: 1 s to one day. A tenth is jitter.
    #[serde(with = "humantime_serde")]
    pub(crate) interval: Duration,
    /// Nodes that it sends to, any of them: `https://berlin.example:8443`.
    pub(crate) nodes: Vec<String>,
    /// The file with its token, from `holm endpoint token`.
    pub(crate) token_file: PathBuf,
    /// The mesh's bundle (JWKS) or roots (PEM) that the nodes' certificates must chain to.
    pub(crate) ca_file: PathBuf,
    /// Most samples that wait on disk: 1 to 1,000,000; the oldest go.
    pub(crate) max_samples: u64,
    /// Where the last mile is traced towards, a host or an address; empty: the first check's host, else the first node's.
    pub(crate) trace_target: String,
    /// Most hops of the trace: 1 to 64.
    pub(crate) max_hops: u8,
    /// Echo requests to each gateway and to the edge: 1 to 100.
    pub(crate) echo_count: u16,
    /// The name that resolvers are asked for.
    pub(crate) dns_name: String,
    /// TCP connections that are looked at: `host:port` of the other end.
    pub(crate) sessions: Vec<String>,
    /// What is checked, as in `planes.active.targets`.
    pub(crate) targets: Vec<holm_active::Target>,
    /// What is withheld.
    pub(crate) privacy: Privacy,
    /// What it is judged by.
    pub(crate) thresholds: Thresholds,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            nodes: Vec::new(),
            token_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            max_samples: 10_080,
            trace_target: String::new(),
            max_hops: 20,
            echo_count: 10,
            dns_name: "example.com".into(),
            sessions: Vec::new(),
            targets: Vec::new(),
            privacy: Privacy::default(),
            thresholds: Thresholds::default(),
        }
    }
}

impl AgentConfig {
    /// Reads a file; the defaults without one.
    pub(crate) fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{}: cannot be read", path.display()))?;
        let config: Self =
            toml::from_str(&text).with_context(|| format!("{}: is not right", path.display()))?;
        config.check().with_context(|| format!("{}: is not right", path.display()))?;
        Ok(config)
    }

    /// Checks every value.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let day = Duration::from_secs(86_400);
        let rules = [
            (
                (Duration::from_secs(1)..=day).contains(&self.interval),
                "interval: it goes from 1 s to one day",
            ),
            (self.nodes.len() <= MAX_NODES, "nodes: at most 32"),
            (
                (1..=1_000_000).contains(&self.max_samples),
                "max_samples: it goes from 1 to 1,000,000",
            ),
            ((1..=64).contains(&self.max_hops), "max_hops: it goes from 1 to 64"),
            ((1..=100).contains(&self.echo_count), "echo_count: it goes from 1 to 100"),
            (self.sessions.len() <= MAX_SESSIONS, "sessions: at most 64"),
            (self.targets.len() <= MAX_CHECKS, "targets: at most 64"),
        ];
        if let Some((_, rule)) = rules.iter().find(|(holds, _)| !holds) {
            bail!("{rule}");
        }
        for session in &self.sessions {
            let (host, port) = session.rsplit_once(':').unwrap_or_default();
            if host.is_empty() || !port.parse::<u16>().is_ok_and(|port| port > 0) {
                bail!("sessions: \"{session}\" is no host:port, such as mail.example:993");
            }
        }
        self.thresholds.check().map_err(anyhow::Error::msg)?;
        let active = self.active();
        active.check().map_err(|why| anyhow::anyhow!(why.replace("planes.active.", "")))
    }

    /// The active plane's configuration that its probes run under: this machine's owner allows any address.
    pub(crate) fn active(&self) -> holm_active::Config {
        holm_active::Config {
            targets: self.targets.clone(),
            allow: vec!["0.0.0.0/0".into(), "::/0".into()],
            probes_per_second: 1_000.0,
            tenant_probes_per_second: 1_000.0,
            address_probes_per_second: 1_000.0,
            address_at_once: 100,
            ..holm_active::Config::default()
        }
    }

    /// Where the last mile is traced towards.
    pub(crate) fn trace_towards(&self) -> Option<String> {
        if !self.trace_target.is_empty() {
            return Some(self.trace_target.clone());
        }
        let target = self.targets.first().map(|target| holm_model::host_of(&target.target));
        let node = || self.nodes.first().map(|node| holm_model::host_of(node));
        target.or_else(node).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_right_and_bad_values_are_named() {
        let config = AgentConfig::default();
        assert!(config.check().is_ok());
        let text = toml::to_string(&config).expect("written");
        assert_eq!(toml::from_str::<AgentConfig>(&text).expect("read"), config);
        for (bad, named) in [
            ("interval = \"1ms\"", "interval"),
            ("max_samples = 0", "max_samples"),
            ("colour = 1", "colour"),
            ("sessions = [\"mail\"]", "mail"),
            ("[thresholds]\ngateway_loss = 2.0", "gateway_loss"),
            ("[privacy]\nwithhold = true", "withhold"),
            ("[[targets]]\nname = \"a\"\nprobe = \"tcp\"\ntarget = \"x\"", "port"),
        ] {
            let read = toml::from_str::<AgentConfig>(bad).map_err(anyhow::Error::from);
            let error = read.and_then(|config| config.check()).expect_err(bad).to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn the_way_goes_where_something_is_wanted() {
        let target =
            "[[targets]]\nname = \"shop\"\nprobe = \"http\"\ntarget = \"https://shop.example/x\"";
        let node = "nodes = [\"https://berlin.example:8443\"]";
        for (text, towards) in [
            ("trace_target = \"192.0.2.1\"", Some("192.0.2.1")),
            (target, Some("shop.example")),
            (node, Some("berlin.example")),
            ("", None),
        ] {
            let config: AgentConfig = toml::from_str(text).expect("read");
            assert_eq!(config.trace_towards().as_deref(), towards);
        }
    }
}
