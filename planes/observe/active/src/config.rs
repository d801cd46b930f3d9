//! What is probed, and how often.

use std::time::Duration;

use holm_model::Prefix;
use serde::{Deserialize, Serialize};

/// Most configured targets.
pub(crate) const MAX_TARGETS: usize = 10_000;

/// The plane's section of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether the plane runs.
    pub enabled: bool,
    /// How often each target is probed: 100 ms to one day.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// How long one probe may take: 10 ms to five minutes.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Whether this site probes every other site of the mesh by itself.
    pub mesh: bool,
    /// Echo requests of one ICMP probe: 1 to 100.
    pub echo_count: u16,
    /// Most probes at once: 1 to 10,000.
    pub max_concurrent: usize,
    /// PEM file of the roots that TLS targets are verified against; empty: the system's.
    pub ca_file: String,
    /// What else is probed.
    pub targets: Vec<Target>,
    /// Private ranges that tests made by policy may reach from here, such as `10.0.0.0/8`: everything else that is
    /// not public is refused when it is dialled. What stands in `targets` is not asked.
    pub allow: Vec<String>,
    /// Ranges that an admin of the tenant may allow in a test, by its own `allow`.
    pub allow_granted: Vec<String>,
    /// Probes a second of all tests of this node, and bytes: 0.01 to 100,000, and 1,000 to 10,000,000,000.
    pub probes_per_second: f64,
    /// The same in bytes, as far as they are known.
    pub bytes_per_second: f64,
    /// Of one tenant's tests.
    pub tenant_probes_per_second: f64,
    /// The same in bytes.
    pub tenant_bytes_per_second: f64,
    /// Probes a second of all tests to one address: 0.01 to 100,000.
    pub address_probes_per_second: f64,
    /// Probes of all tests to one address at once: 1 to 1,000.
    pub address_at_once: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
            mesh: true,
            echo_count: 3,
            max_concurrent: 64,
            ca_file: String::new(),
            targets: Vec::new(),
            allow: Vec::new(),
            allow_granted: Vec::new(),
            probes_per_second: 200.0,
            bytes_per_second: 4_000_000.0,
            tenant_probes_per_second: 100.0,
            tenant_bytes_per_second: 2_000_000.0,
            address_probes_per_second: 20.0,
            address_at_once: 4,
        }
    }
}

/// How a target is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeKind {
    /// A question to a name server (RFC 1035).
    Dns,
    /// A request with its phases and what TLS says.
    Http,
    /// Echo requests (RFC 792, RFC 4443).
    Icmp,
    /// The time to open a connection.
    Tcp,
}

impl ProbeKind {
    /// The kind as it stands in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Http => "http",
            Self::Icmp => "icmp",
            Self::Tcp => "tcp",
        }
    }
}

/// Which addresses of a name are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// The first that the resolver gives.
    #[default]
    #[serde(rename = "any")]
    Any,
    /// IPv4 only.
    #[serde(rename = "4")]
    V4,
    /// IPv6 only.
    #[serde(rename = "6")]
    V6,
}

/// One configured target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name in results: 1 to 200 characters, each once a kind of probe.
    pub name: String,
    /// How it is probed.
    pub probe: ProbeKind,
    /// icmp, tcp: a host name or address; http: a URL; dns: the name that is asked for.
    pub target: String,
    /// tcp: the port.
    #[serde(default)]
    pub port: u16,
    /// How often; 0 s: as the plane's own interval.
    #[serde(default, with = "humantime_serde")]
    pub interval: Duration,
    /// Which addresses of the name are used: `any`, `4` or `6`.
    #[serde(default)]
    pub family: Family,
    /// http: which status codes are a success, such as `200`, `2xx` or `200-204`, by commas.
    #[serde(default = "default_statuses")]
    pub expect_status: String,
    /// dns: the type that is asked for, such as `A`, `AAAA`, `MX`.
    #[serde(default = "default_type")]
    pub dns_type: String,
    /// dns: `address` or `address:port` of the server; empty: the system's first.
    #[serde(default)]
    pub dns_server: String,
}

fn default_statuses() -> String {
    "2xx,3xx".into()
}

fn default_type() -> String {
    "A".into()
}

impl Config {
    /// Checks every value.
    ///
    /// # Errors
    /// A text that names the key or target, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let day = Duration::from_secs(86_400);
        if !(Duration::from_millis(100)..=day).contains(&self.interval) {
            return Err("planes.active.interval: it goes from 100 ms to one day".into());
        }
        if !(Duration::from_millis(10)..=Duration::from_secs(300)).contains(&self.timeout) {
            return Err("planes.active.timeout: it goes from 10 ms to 5 min".into());
        }
        if !(1..=100).contains(&self.echo_count) {
            return Err("planes.active.echo_count: it goes from 1 to 100".into());
        }
        if !(1..=10_000).contains(&self.max_concurrent) {
            return Err("planes.active.max_concurrent: it goes from 1 to 10,000".into());
        }
        if self.targets.len() > MAX_TARGETS {
            return Err(format!("planes.active.targets: at most {MAX_TARGETS}"));
        }
        self.check_tests()?;
        let mut names = std::collections::BTreeSet::new();
        for target in &self.targets {
            let name = target.name.chars().take(80).collect::<String>();
            let refuse =
                |reason: String| Err(format!("planes.active.targets, \"{name}\": {reason}"));
            if !names.insert((target.probe, &target.name)) {
                return refuse(format!(
                    "there are two {} targets of this name",
                    target.probe.as_str()
                ));
            }
            if let Err(reason) = target.check() {
                return refuse(reason);
            }
        }
        Ok(())
    }
}

impl Config {
    fn check_tests(&self) -> Result<(), String> {
        ranges("allow", &self.allow)?;
        ranges("allow_granted", &self.allow_granted)?;
        for (key, probes) in [
            ("probes_per_second", self.probes_per_second),
            ("tenant_probes_per_second", self.tenant_probes_per_second),
            ("address_probes_per_second", self.address_probes_per_second),
        ] {
            if !(0.01..=100_000.0).contains(&probes) {
                return Err(format!("planes.active.{key}: it goes from 0.01 to 100,000"));
            }
        }
        for (key, bytes) in [
            ("bytes_per_second", self.bytes_per_second),
            ("tenant_bytes_per_second", self.tenant_bytes_per_second),
        ] {
            if !(1e3..=1e10).contains(&bytes) {
                return Err(format!("planes.active.{key}: it goes from 1,000 to 10,000,000,000"));
            }
        }
        if !(1..=1_000).contains(&self.address_at_once) {
            return Err("planes.active.address_at_once: it goes from 1 to 1,000".into());
        }
        Ok(())
    }
}

/// Ranges of addresses as they are configured.
pub(crate) fn ranges(key: &str, texts: &[String]) -> Result<Vec<Prefix>, String> {
    let read = |text: &String| {
        crate::parse::range(text).ok_or_else(|| {
            format!(
                "planes.active.{key}: {text} is no range of addresses: 10.0.0.0/8 or 10.1.2.3 is"
            )
        })
    };
    texts.iter().map(read).collect()
}

impl Target {
    pub(crate) fn check(&self) -> Result<(), String> {
        let length = self.name.chars().count();
        if !(1..=200).contains(&length) || self.name.chars().any(char::is_control) {
            return Err("name: 1 to 200 characters, none of them a control character".into());
        }
        if self.target.is_empty() || self.target.len() > 2_048 {
            return Err("target: 1 to 2,048 bytes".into());
        }
        let interval = self.interval;
        let day = Duration::from_secs(86_400);
        if !interval.is_zero() && !(Duration::from_millis(100)..=day).contains(&interval) {
            return Err("interval: it goes from 100 ms to one day".into());
        }
        match self.probe {
            ProbeKind::Tcp if self.port == 0 => {
                Err("port: a tcp target needs one, from 1 to 65535".into())
            }
            ProbeKind::Http => {
                crate::probes::http::Expected::parse(&self.expect_status)?;
                crate::probes::http::Place::parse(&self.target).map(drop)
            }
            ProbeKind::Dns => crate::probes::dns::Question::parse(&self.target, &self.dns_type)
                .and_then(|_| crate::probes::dns::server(&self.dns_server))
                .map(drop),
            ProbeKind::Icmp | ProbeKind::Tcp => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(target: &str) -> Result<(), String> {
        let config: Config =
            toml::from_str(&format!("[[targets]]\n{target}")).map_err(|error| error.to_string())?;
        config.check()
    }

    #[test]
    fn good_targets_pass_and_bad_ones_are_named() {
        for good in [
            "name = \"a\"\nprobe = \"icmp\"\ntarget = \"192.0.2.1\"",
            "name = \"a\"\nprobe = \"tcp\"\ntarget = \"db.example\"\nport = 5432\ninterval = \"1s\"",
            "name = \"a\"\nprobe = \"http\"\ntarget = \"https://a.example/x?y\"\nexpect_status = \"200,301-302\"",
            "name = \"a\"\nprobe = \"dns\"\ntarget = \"a.example\"\ndns_type = \"MX\"\ndns_server = \"[2001:db8::1]:53\"",
        ] {
            assert_eq!(with(good), Ok(()), "{good}");
        }
        for (bad, named) in [
            ("name = \"\"\nprobe = \"icmp\"\ntarget = \"x\"", "name"),
            ("name = \"a\"\nprobe = \"tcp\"\ntarget = \"x\"", "port"),
            ("name = \"a\"\nprobe = \"http\"\ntarget = \"ftp://x\"", "http"),
            ("name = \"a\"\nprobe = \"http\"\ntarget = \"http://u:p@x\"", "password"),
            (
                "name = \"a\"\nprobe = \"http\"\ntarget = \"http://x\"\nexpect_status = \"9xx\"",
                "9xx",
            ),
            ("name = \"a\"\nprobe = \"dns\"\ntarget = \"x\"\ndns_type = \"NOPE\"", "NOPE"),
            ("name = \"a\"\nprobe = \"dns\"\ntarget = \"x\"\ndns_server = \"nowhere\"", "nowhere"),
            ("name = \"a\"\nprobe = \"icmp\"\ntarget = \"x\"\ncolour = 1", "colour"),
        ] {
            let error = with(bad).expect_err(bad);
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn what_limits_tests_is_looked_at() {
        for (bad, named) in [
            ("allow = [\"10.0.0\"]", "planes.active.allow: 10.0.0"),
            ("allow_granted = [\"x/8\"]", "planes.active.allow_granted: x/8"),
            ("probes_per_second = 0", "probes_per_second"),
            ("tenant_bytes_per_second = nan", "tenant_bytes_per_second"),
            ("address_at_once = 0", "address_at_once"),
        ] {
            let config: Config = toml::from_str(bad).expect(bad);
            let error = config.check().expect_err(bad);
            assert!(error.contains(named), "{error}");
        }
        let good = "allow = [\"10.0.0.0/8\", \"fd00::1\"]\nprobes_per_second = 5";
        let good: Config = toml::from_str(good).expect("read");
        assert_eq!(good.check(), Ok(()));
    }

    #[test]
    fn the_defaults_are_valid_and_survive_toml() {
        let config = Config::default();
        assert_eq!(config.check(), Ok(()));
        let text = toml::to_string(&config).expect("written");
        assert_eq!(toml::from_str::<Config>(&text).expect("read"), config);
    }
}
