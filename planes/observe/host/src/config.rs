//! What the operator chooses.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the plane observes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Kernel programs where they load, else `sock_diag`.
    #[default]
    Auto,
    /// Kernel programs or nothing: `off` with the reason where they do not load.
    Ebpf,
    /// Periodic listings only; needs no privilege.
    SockDiag,
}

/// Whose connections are observed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkNamespace {
    /// `all` when Holm runs in the host's first network namespace, else `own`.
    #[default]
    Auto,
    /// Only the namespace that Holm runs in.
    Own,
    /// Every namespace of the host, containers included. Needs kernel programs.
    All,
}

/// Configuration of the host plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether the plane runs.
    pub enabled: bool,
    /// `auto`, `ebpf` or `sock_diag`.
    pub method: Method,
    /// `auto`, `own` or `all`.
    pub network_namespace: NetworkNamespace,
    /// Only connections whose local address is one of these; empty: all. Choose it when several
    /// sites share one host.
    pub addresses: Vec<IpAddr>,
    /// How long an edge is held after its last connection closed: 1 s to 24 h. Longer than the pause
    /// between two calls of a service that calls rarely, or its edge comes and goes.
    #[serde(with = "humantime_serde")]
    pub hold: Duration,
    /// Pause between two listings of `sock_diag`: 100 ms to 1 h. Connections shorter than it can be
    /// missed.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// Connections with one of these ports at either end are passed over: Holm's own, say.
    pub ignore_ports: Vec<u16>,
    /// Most connections known at once: 16 to 1,048,576; about 150 bytes each. One more is counted
    /// and observed without its end.
    pub max_connections: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            method: Method::Auto,
            network_namespace: NetworkNamespace::Auto,
            addresses: Vec::new(),
            hold: Duration::from_secs(300),
            poll_interval: Duration::from_secs(2),
            ignore_ports: Vec::new(),
            max_connections: 65_536,
        }
    }
}

impl Config {
    /// Checks the ranges that the types do not.
    ///
    /// # Errors
    /// A message that names the key, its value and its range.
    pub fn check(&self) -> Result<(), String> {
        let range = |key: &str, value: Duration, least: Duration, most: Duration| {
            if value < least || value > most {
                return Err(format!(
                    "{key} = {value:?} is out of range: choose {least:?} to {most:?}"
                ));
            }
            Ok(())
        };
        range("hold", self.hold, Duration::from_secs(1), Duration::from_secs(86_400))?;
        range(
            "poll_interval",
            self.poll_interval,
            Duration::from_millis(100),
            Duration::from_secs(3_600),
        )?;
        if !(16..=1_048_576).contains(&self.max_connections) {
            return Err(format!(
                "max_connections = {} is out of range: choose 16 to 1048576",
                self.max_connections
            ));
        }
        Ok(())
    }

    /// `hold` in milliseconds.
    pub(crate) fn hold_ms(&self) -> u32 {
        u32::try_from(self.hold.as_millis()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_survive_a_round_trip() {
        let text = toml::to_string(&Config::default()).expect("serialises");
        assert!(text.contains("hold = \"5m\"") && text.contains("method = \"auto\""), "{text}");
        assert_eq!(toml::from_str::<Config>(&text).expect("parses"), Config::default());
        Config::default().check().expect("the defaults are in range");
    }

    #[test]
    fn a_wrong_key_or_value_is_refused_by_name() {
        let error = toml::from_str::<Config>("holdd = \"5m\"").expect_err("unknown key");
        assert!(error.to_string().contains("holdd"), "{error}");
        let error = toml::from_str::<Config>("method = \"kprobe\"").expect_err("unknown method");
        assert!(error.to_string().contains("sock_diag"), "{error}");
        let config = Config { hold: Duration::ZERO, ..Config::default() };
        assert!(config.check().expect_err("too short").starts_with("hold"));
        let config = Config { max_connections: 1, ..Config::default() };
        assert!(config.check().expect_err("too few").starts_with("max_connections"));
    }
}
