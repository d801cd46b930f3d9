//! The node's configuration: one strict TOML file, overridden by `HOLM_*` variables.
//!
//! An unknown key or variable is an error that names it. No value is optional in the file's sense:
//! "not set" is an empty text or list, so that every key has a default that can be shown, and a
//! variable.

mod environment;
mod rows;
mod sections;

pub(crate) use sections::Config;

use std::path::{Path, PathBuf};

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(
        "{path}: cannot be read: {reason}; make one with `holm mesh init` or `holm join`, or name it with --config"
    )]
    Unreadable { path: PathBuf, reason: std::io::Error },
    #[error("{path}: {message}")]
    Invalid { path: PathBuf, message: String },
    #[error("variable {name}: {message}")]
    Variable { name: String, message: String },
    #[error("{key} = \"{value}\": {message}")]
    Value { key: &'static str, value: String, message: String },
}

impl Config {
    /// Reads the file at `path`, then the variables in `environment`.
    pub(crate) fn load(
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|reason| ConfigError::Unreadable { path: path.into(), reason })?;
        let mut config = Self::parse(&text, environment).map_err(|error| match error {
            ConfigError::Invalid { message, .. } => {
                ConfigError::Invalid { path: path.into(), message }
            }
            other => other,
        })?;
        if config.node.data_dir.is_relative() {
            let folder = path.parent().unwrap_or(Path::new("."));
            // Component by component: `.` is no part of the name that messages show.
            config.node.data_dir = folder.join(&config.node.data_dir).components().collect();
        }
        Ok(config)
    }

    /// Parses `text`, then applies the variables in `environment`.
    pub(crate) fn parse(
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let invalid = |error: toml::de::Error| ConfigError::Invalid {
            path: PathBuf::new(),
            message: error.to_string().trim_end().to_owned(),
        };
        // Parsed as written first, so that an error shows the line and the key as they stand there.
        let written: Self = toml::from_str(text).map_err(invalid)?;
        let config = environment::apply(written, environment)?;
        config.check()?;
        Ok(config)
    }

    /// The file as it is written: every key with its value.
    pub(crate) fn to_toml(&self) -> String {
        toml::to_string_pretty(self)
            .unwrap_or_else(|error| format!("# the configuration cannot be written: {error}\n"))
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.mesh.check()?;
        self.api.check()?;
        self.identity.check()?;
        self.log.check()?;
        self.node.check()?;
        self.planes
            .active
            .check()
            .map_err(|message| ConfigError::Invalid { path: PathBuf::new(), message })?;
        self.planes
            .flow
            .check()
            .map_err(|message| ConfigError::Invalid { path: PathBuf::new(), message })?;
        self.planes
            .host
            .check()
            .map_err(|message| ConfigError::Invalid { path: PathBuf::new(), message })?;
        self.planes
            .otlp
            .check()
            .map_err(|message| ConfigError::Invalid { path: PathBuf::new(), message })?;
        self.planes
            .path
            .check()
            .map_err(|message| ConfigError::Invalid { path: PathBuf::new(), message })?;
        self.pages.check()?;
        if self.node.tenants.iter().any(|tenant| tenant.as_str() == crate::daemon::ROSTER_TENANT) {
            return Err(ConfigError::Value {
                key: "node.tenants",
                value: crate::daemon::ROSTER_TENANT.into(),
                message: "this name is the mesh's own; choose another".into(),
            });
        }
        if self.node.tenants.is_empty() {
            return Err(ConfigError::Value {
                key: "node.tenants",
                value: "[]".into(),
                message: "a node observes for at least one tenant; name one, such as \"default\""
                    .into(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::parse(text, variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn the_defaults_are_valid_and_survive_a_round_trip() {
        let written = Config::default().to_toml();
        assert_eq!(parse(&written, &[]).expect("valid").to_toml(), written);
    }

    #[test]
    fn ranges_that_pages_may_reach_are_read() {
        let config =
            parse("[pages]\nallow = [\"127.0.0.0/8\", \"fd00::1\"]\n", &[]).expect("valid");
        let allowed = config.pages.allowed();
        let holds =
            |text: &str| allowed.iter().any(|range| range.holds(text.parse().expect("valid")));
        assert!(holds("127.0.0.9") && holds("fd00::1") && !holds("fd00::2") && !holds("10.0.0.1"));
        let error = parse("[pages]\nallow = [\"10.0.0\"]\n", &[]).expect_err("odd").to_string();
        assert!(error.contains("pages.allow") && error.contains("10.0.0"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = parse("[mesh]\nlistn = \"x\"\n", &[]).expect_err("unknown").to_string();
        assert!(error.contains("listn") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn variables_override_and_unknown_ones_are_named() {
        let config = parse(
            "[node]\nsite = \"berlin\"\n",
            &[
                ("HOLM_NODE_SITE", "tokyo"),
                ("HOLM_MESH_SEEDS", "[\"192.0.2.1:4747\"]"),
                ("HOLM_MESH_MDNS", "false"),
                ("HOME", "/root"),
                ("HOLM_VECTORS", "x"),
            ],
        )
        .expect("valid");
        assert_eq!(config.node.site.as_str(), "tokyo");
        assert_eq!(config.mesh.seeds, ["192.0.2.1:4747"]);
        assert!(!config.mesh.mdns);
        let error = parse("", &[("HOLM_MESH_LISTN", "x")]).expect_err("unknown").to_string();
        assert!(error.contains("HOLM_MESH_LISTN") && error.contains("HOLM_MESH_LISTEN"), "{error}");
        let error = parse("", &[("HOLM_MESH_MDNS", "perhaps")]).expect_err("bad").to_string();
        assert!(error.contains("HOLM_MESH_MDNS"), "{error}");
    }

    #[test]
    fn what_is_said_about_nat_reaches_the_mesh_and_nonsense_is_named() {
        let nat = parse("", &[]).expect("valid").mesh.nat();
        assert_eq!(nat, holm_mesh_link::NatConfig::default());
        let config = parse(
            "[mesh]\nreachable = \"no\"\n[mesh.relay]\ncircuit_duration = \"2h\"\n",
            &[("HOLM_MESH_RELAY_SERVE", "yes"), ("HOLM_MESH_RELAY_CIRCUITS", "7")],
        );
        let nat = config.expect("valid").mesh.nat();
        assert_eq!((nat.reachable, nat.relay), (Some(false), Some(true)));
        assert_eq!(nat.relay_limits.circuits, 7);
        assert_eq!(nat.relay_limits.circuit_duration.as_secs(), 7_200);
        for (text, named) in [
            ("[mesh]\nreachable = \"perhaps\"\n", "reachable"),
            ("[mesh.relay]\ncircuit_duration = \"5s\"\n", "circuit_duration"),
            ("[mesh.relay]\nbytes_per_node_and_hour = 1000\n", "bytes_per_node_and_hour"),
        ] {
            let error = parse(text, &[]).expect_err("refused").to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        let error = parse("[api]\nplain_listen = \"192.0.2.1:80\"\n", &[]).expect_err("refused");
        assert!(error.to_string().contains("loopback"), "{error}");
    }
}
