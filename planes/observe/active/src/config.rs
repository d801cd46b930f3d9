//! What is probed, and how often.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use holm_model::Prefix;
use serde::{Deserialize, Serialize};

pub use crate::target::{
    DnsTransport, Dnssec, Family, HttpVersion, ProbeKind, SipTransport, Target, TlsScan,
};

/// Most client certificates, and most hosts of one.
const MAX_IDENTITIES: usize = 64;
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
    /// Client certificates that targets and tests name.
    pub identities: BTreeMap<String, Identity>,
    /// Root servers that traces of names begin at, `address` or `address:port`, all at the first one's port; empty:
    /// those of the Internet.
    pub dns_roots: Vec<String>,
    /// The keys of the root that answers are validated to, as DS records; empty: those of the Internet.
    pub dns_anchors: Vec<String>,
    /// The browser of probes of that kind; empty: the first of chromium, chromium-browser, google-chrome and chrome
    /// in `PATH`.
    pub browser: String,
    /// Whether the browser's own sandbox has to work. Without it a page that breaks into the browser has its user.
    pub browser_sandbox: bool,
    /// Where packets of STAMP (RFC 8762) are answered, such as `0.0.0.0:862`; empty: nowhere.
    pub stamp_listen: String,
    /// Whether they are counted by session, so that losses are told by way.
    pub stamp_stateful: bool,
    /// Keys of STAMP that targets, tests and the reflector name: files with 32 to 128 hexadecimal digits.
    pub stamp_keys: BTreeMap<String, String>,
    /// The key that senders have to have who are answered; empty: they need none.
    pub stamp_listen_key: String,
    /// Ranges of senders that are answered; empty: all.
    pub stamp_allow: Vec<String>,
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
    /// Bytes an hour that runs of throughput may send with this node, in both roles and ways: up to 10^12; 0 for none.
    pub throughput_bytes_per_hour: u64,
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
            identities: BTreeMap::new(),
            dns_roots: Vec::new(),
            dns_anchors: Vec::new(),
            browser: String::new(),
            browser_sandbox: true,
            stamp_listen: String::new(),
            stamp_stateful: true,
            stamp_keys: BTreeMap::new(),
            stamp_listen_key: String::new(),
            stamp_allow: Vec::new(),
            targets: Vec::new(),
            allow: Vec::new(),
            allow_granted: Vec::new(),
            probes_per_second: 200.0,
            bytes_per_second: 4_000_000.0,
            tenant_probes_per_second: 100.0,
            tenant_bytes_per_second: 2_000_000.0,
            address_probes_per_second: 20.0,
            address_at_once: 4,
            throughput_bytes_per_hour: 1 << 30,
        }
    }
}

/// A client certificate that probes show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// PEM file of the certificate and its chain.
    pub cert: String,
    /// PEM file of its key.
    pub key: String,
    /// The hosts that it is shown to, by the names or addresses that targets have: 1 to 64. Others never see it.
    pub hosts: Vec<String>,
}

impl Identity {
    /// Whether it is shown to `host`.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        self.hosts.iter().any(|of| of.eq_ignore_ascii_case(host))
    }
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
        self.check_identities()?;
        self.check_stamp_keys()?;
        self.stamp_address()?;
        crate::probes::dns::trace::Start::of(&self.dns_roots)?;
        crate::probes::dns::dnssec::Anchors::of(&self.dns_anchors)?;
        ranges("stamp_allow", &self.stamp_allow)?;
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
            if let Some(why) = self.no_stamp_key(&target.stamp_key) {
                return refuse(format!("stamp_key: {why}"));
            }
            if !target.identity.is_empty() && !self.identities.contains_key(&target.identity) {
                return refuse(format!(
                    "identity: there is no [planes.active.identities.{}]",
                    target.identity
                ));
            }
        }
        Ok(())
    }
}

impl Config {
    /// Where packets of STAMP are answered.
    pub(crate) fn stamp_address(&self) -> Result<Option<SocketAddr>, String> {
        if self.stamp_listen.is_empty() {
            return Ok(None);
        }
        self.stamp_listen.parse().map(Some).map_err(|_| {
            format!(
                "planes.active.stamp_listen: {} is no address:port, such as 0.0.0.0:862 or [::]:862",
                self.stamp_listen
            )
        })
    }

    fn check_stamp_keys(&self) -> Result<(), String> {
        if self.stamp_keys.len() > MAX_IDENTITIES {
            return Err(format!("planes.active.stamp_keys: at most {MAX_IDENTITIES}"));
        }
        for (name, file) in &self.stamp_keys {
            if !crate::parse::is_label(name) || file.is_empty() {
                return Err(format!(
                    "planes.active.stamp_keys.{name}: a name of 1 to 63 letters, digits, - _ and ., and a file"
                ));
            }
        }
        match self.no_stamp_key(&self.stamp_listen_key) {
            Some(why) => Err(format!("planes.active.stamp_listen_key: {why}")),
            None => Ok(()),
        }
    }

    fn no_stamp_key(&self, name: &str) -> Option<String> {
        let is_there = name.is_empty() || self.stamp_keys.contains_key(name);
        (!is_there).then(|| format!("there is no {name} in [planes.active.stamp_keys]"))
    }

    /// The file of a key that this node has.
    pub(crate) fn stamp_key(&self, name: &str) -> Option<std::path::PathBuf> {
        self.stamp_keys.get(name).map(std::path::PathBuf::from)
    }

    fn check_identities(&self) -> Result<(), String> {
        if self.identities.len() > MAX_IDENTITIES {
            return Err(format!("planes.active.identities: at most {MAX_IDENTITIES}"));
        }
        for (name, identity) in &self.identities {
            let key = format!("planes.active.identities.{name}");
            if !crate::parse::is_label(name) {
                return Err(format!("{key}: its name has 1 to 63 letters, digits, - _ and ."));
            }
            if identity.cert.is_empty() || identity.key.is_empty() {
                return Err(format!("{key}: cert and key name PEM files"));
            }
            if identity.hosts.is_empty() || identity.hosts.len() > MAX_IDENTITIES {
                return Err(format!(
                    "{key}.hosts: 1 to {MAX_IDENTITIES} hosts that the certificate is shown to"
                ));
            }
        }
        Ok(())
    }

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
        if self.throughput_bytes_per_hour > 1_000_000_000_000 {
            return Err("planes.active.throughput_bytes_per_hour: it goes from 0 to 10^12".into());
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
            (
                "name = \"a\"\nprobe = \"http\"\ntarget = \"https://x\"\nidentity = \"none\"",
                "identities.none",
            ),
            (
                "name = \"a\"\nprobe = \"http\"\ntarget = \"https://x\"\nheaders = { Authorization = \"x\" }",
                "header_files",
            ),
            (
                "name = \"a\"\nprobe = \"http\"\ntarget = \"https://x\"\nfollow_redirects = 11",
                "follow_redirects",
            ),
            ("name = \"a\"\nprobe = \"http\"\ntarget = \"https://x\"\nmethod = \"get\"", "method"),
            ("name = \"a\"\nprobe = \"udp\"\ntarget = \"x\"", "port"),
            (
                "name = \"a\"\nprobe = \"stamp\"\ntarget = \"x\"\nstamp_key = \"k\"",
                "stamp_key: there is no k",
            ),
            ("name = \"a\"\nprobe = \"tcp\"\ntarget = \"x\"\nport = 1\nvoice = \"g711\"", "voice"),
            (
                "name = \"a\"\nprobe = \"udp\"\ntarget = \"x\"\nport = 7\npayload_bytes = 9",
                "payload_bytes",
            ),
            ("name = \"a\"\nprobe = \"icmp\"\ntarget = \"x\"\nmethod = \"POST\"", "method"),
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
            ("stamp_listen = \"862\"", "stamp_listen"),
            ("stamp_listen_key = \"x\"", "stamp_listen_key: there is no x"),
            ("stamp_keys = { \"a b\" = \"x\" }", "stamp_keys.a b"),
            ("stamp_allow = [\"x\"]", "stamp_allow: x"),
            ("dns_roots = [\"x\"]", "dns_roots: x"),
            ("dns_anchors = [\"20326 8 2 ABCD\"]", "dns_anchors: 20326 8 2 ABCD"),
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
