//! The sections of the file, each key with its default and how to choose it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use holm_mesh_proto::wire::{OLDEST_PROTOCOL, PROTOCOL_VERSION};
use holm_model::{NodeName, Prefix, SiteId, TenantId};
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::rows::Rows;

/// The whole file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) node: Node,
    pub(crate) mesh: Mesh,
    pub(crate) api: Api,
    pub(crate) identity: IdentitySection,
    pub(crate) rows: Rows,
    pub(crate) log: Log,
    pub(crate) planes: Planes,
    pub(crate) policies: Policies,
    pub(crate) pages: Pages,
}

/// Who this node is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Node {
    /// The site it stands at. Fixed by its SVID: `holm join` writes it.
    pub(crate) site: SiteId,
    /// Its name within the site.
    pub(crate) name: NodeName,
    /// Where it keeps identity and data; relative to the file's folder.
    pub(crate) data_dir: PathBuf,
    /// The tenants it replicates. Its planes observe for the first.
    pub(crate) tenants: Vec<TenantId>,
    /// The plan of the site's private addresses, by any name: sites with the same one mean the same machine by
    /// `10.0.0.5`, as where one company's sites are routed to each other. Empty: they are the site's own.
    pub(crate) address_plan: String,
    /// The machine, by any name, where sites share one, in a laboratory: then they share its loopback addresses too.
    pub(crate) machine: String,
    /// What is said of the site, by name: tests choose sites by it. `region` is its region.
    pub(crate) labels: BTreeMap<String, String>,
}

/// How it finds and talks to its peers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mesh {
    /// UDP address of the mesh port (QUIC).
    pub(crate) listen: SocketAddr,
    /// `address:port` that peers reach it at, where a NAT or relay stands in front; empty: its own addresses.
    pub(crate) advertise: Vec<SocketAddr>,
    /// `host:port` of mesh ports to try for ever; any few nodes of the mesh will do.
    pub(crate) seeds: Vec<String>,
    /// Whether to find peers on the local network by multicast DNS.
    pub(crate) mdns: bool,
    /// Latest version of the mesh's protocol to speak. Lower it only while a mesh is upgraded node by node and the
    /// release notes ask for it; put it back once every node runs the new release.
    pub(crate) protocol_at_most: u32,
    /// Longest wait between two attempts to reach a peer that is down; it is tried for ever.
    #[serde(with = "humantime_serde")]
    pub(crate) redial_max: Duration,
    /// A site that was not heard for this long is stale.
    #[serde(with = "humantime_serde")]
    pub(crate) stale_after: Duration,
    /// A site that was not heard for this long is unreachable.
    #[serde(with = "humantime_serde")]
    pub(crate) unreachable_after: Duration,
    /// Whether other sites reach this node's mesh port: `yes`, `no`, or `auto`, where they dial back to
    /// find out. A node that is not reached keeps places at relays.
    pub(crate) reachable: Choice,
    /// Whether to try to make connections through relays direct.
    pub(crate) hole_punching: bool,
    /// What it does for others that are not reached.
    pub(crate) relay: Relay,
}

/// Yes, no, or whatever suits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Choice {
    #[default]
    Auto,
    No,
    Yes,
}

impl Choice {
    /// What is settled.
    pub(crate) const fn settled(self) -> Option<bool> {
        match self {
            Self::Auto => None,
            Self::No => Some(false),
            Self::Yes => Some(true),
        }
    }
}

/// What it forwards for nodes behind NAT, as ciphertext, and how much.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Relay {
    /// `yes`, `no`, or `auto`: if it is reached from outside.
    pub(crate) serve: Choice,
    /// Nodes that it keeps a place for at once.
    pub(crate) places: usize,
    /// Circuits at once, each between two nodes; each takes 32 KiB of memory.
    pub(crate) circuits: usize,
    /// Circuits of one node at once.
    pub(crate) circuits_per_node: usize,
    /// How long one circuit may stand before its ends must make another.
    #[serde(with = "humantime_serde")]
    pub(crate) circuit_duration: Duration,
    /// Bytes of one node's circuits in an hour.
    pub(crate) bytes_per_node_and_hour: u64,
}

impl Default for Relay {
    fn default() -> Self {
        let limits = holm_mesh_link::RelayLimits::default();
        Self {
            serve: Choice::Auto,
            places: limits.reservations,
            circuits: limits.circuits,
            circuits_per_node: limits.circuits_of_peer,
            circuit_duration: limits.circuit_duration,
            bytes_per_node_and_hour: limits.bytes_of_peer_an_hour,
        }
    }
}

impl Relay {
    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, value: String, message: &str| {
            Err(ConfigError::Value { key, value, message: message.into() })
        };
        if self.circuit_duration < Duration::from_secs(60) {
            let value = humantime::format_duration(self.circuit_duration).to_string();
            let message = "a circuit stands for a minute at least";
            return refuse("mesh.relay.circuit_duration", value, message);
        }
        if self.bytes_per_node_and_hour < 1 << 20 {
            let value = self.bytes_per_node_and_hour.to_string();
            let message = "less than 1 MiB (1048576) an hour does not carry the mesh's own pings";
            return refuse("mesh.relay.bytes_per_node_and_hour", value, message);
        }
        Ok(())
    }
}

impl Mesh {
    /// What the mesh is told of NAT.
    pub(crate) fn nat(&self) -> holm_mesh_link::NatConfig {
        holm_mesh_link::NatConfig {
            reachable: self.reachable.settled(),
            relay: self.relay.serve.settled(),
            hole_punching: self.hole_punching,
            relay_limits: holm_mesh_link::RelayLimits {
                reservations: self.relay.places,
                circuits: self.relay.circuits,
                circuits_of_peer: self.relay.circuits_per_node,
                circuit_duration: self.relay.circuit_duration,
                bytes_of_peer_an_hour: self.relay.bytes_per_node_and_hour,
                ..holm_mesh_link::RelayLimits::default()
            },
        }
    }
}

/// Where it serves the console and the HTTP API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Api {
    /// HTTPS address.
    pub(crate) listen: SocketAddr,
    /// Further DNS names and IP addresses of its certificate.
    pub(crate) names: Vec<String>,
    /// The operator's own certificate chain and key (PEM); empty: one of the mesh's CA.
    pub(crate) tls_cert: PathBuf,
    pub(crate) tls_key: PathBuf,
    /// Plain HTTP as well, on a loopback address only; empty: none.
    pub(crate) plain_listen: String,
}

/// What it issues, if it is an issuer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IdentitySection {
    /// Lifetime of the SVIDs it issues: no shorter than the longest disconnection to survive.
    #[serde(with = "humantime_serde")]
    pub(crate) svid_lifetime: Duration,
}

impl Default for IdentitySection {
    fn default() -> Self {
        Self { svid_lifetime: holm_certs::SVID_LIFETIME }
    }
}

impl IdentitySection {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let longest = holm_certs::MAX_LEAF_LIFETIME;
        if (Duration::from_secs(60)..=longest).contains(&self.svid_lifetime) {
            return Ok(());
        }
        Err(ConfigError::Value {
            key: "identity.svid_lifetime",
            value: humantime::format_duration(self.svid_lifetime).to_string(),
            message: "it must be from one minute to 398 days".into(),
        })
    }
}

/// Policies that are files: alert rules and SLOs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Policies {
    /// A folder of files that are applied as they stand, each time one changes; those in a folder of a tenant's name
    /// are that tenant's, the others the first one's. Empty: none.
    pub(crate) folder: PathBuf,
}

/// How it delivers pages.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Pages {
    /// Ranges of addresses that connectors may reach beside the public ones: of this machine, this link, this
    /// network. A tenant's admins write connectors; what of the node's surroundings is theirs, its operator says.
    pub(crate) allow: Vec<String>,
}

impl Pages {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let odd = self.allow.iter().find(|text| range_of(text).is_none());
        odd.map_or(Ok(()), |text| {
            Err(ConfigError::Value {
                key: "pages.allow",
                value: text.clone(),
                message: "it is no range of addresses; 10.0.0.0/8, 10.1.2.3 or fd00::/8 is".into(),
            })
        })
    }

    /// The ranges.
    pub(crate) fn allowed(&self) -> Vec<Prefix> {
        self.allow.iter().filter_map(|text| range_of(text)).collect()
    }
}

fn range_of(text: &str) -> Option<Prefix> {
    let single = || text.parse().ok().map(|address| Prefix::around(address, 128));
    Prefix::parse(text).or_else(single)
}

/// What it writes to standard error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,holm_mesh_link=debug`.
    pub(crate) level: String,
    /// `text` or `json`.
    pub(crate) format: String,
}

impl Log {
    /// What the level says.
    pub(crate) fn filter(&self) -> Result<tracing_subscriber::EnvFilter, ConfigError> {
        tracing_subscriber::EnvFilter::try_new(&self.level).map_err(|error| ConfigError::Value {
            key: "log.level",
            value: self.level.clone(),
            message: format!(
                "not a level or filter ({error}); use info, debug, info,holm=debug, …"
            ),
        })
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.filter()?;
        if matches!(self.format.as_str(), "text" | "json") {
            return Ok(());
        }
        Err(ConfigError::Value {
            key: "log.format",
            value: self.format.clone(),
            message: "it is text or json".into(),
        })
    }
}

/// What it observes with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Planes {
    pub(crate) active: holm_active::Config,
    pub(crate) flow: holm_flow::Config,
    pub(crate) host: holm_host::Config,
    pub(crate) otlp: holm_otlp::Config,
    pub(crate) path: holm_path::Config,
}

fn name<T: std::str::FromStr>(value: &'static str) -> T
where
    T::Err: std::fmt::Debug,
{
    value.parse().expect("the defaults in this file are valid names")
}

impl Node {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |value: &str, message: &str| {
            Err(ConfigError::Value {
                key: "node.labels",
                value: value.chars().take(80).collect(),
                message: message.into(),
            })
        };
        if self.labels.len() > 16 {
            return refuse(&self.labels.len().to_string(), "a site has at most 16 labels");
        }
        for (key, value) in &self.labels {
            if !holm_active::is_label(key) {
                return refuse(key, holm_active::LABEL);
            }
            if !(1..=200).contains(&value.len()) || value.chars().any(char::is_control) {
                return refuse(
                    value,
                    "a label has 1 to 200 bytes, none of them a control character",
                );
            }
        }
        Ok(())
    }
}

impl Default for Node {
    fn default() -> Self {
        Self {
            site: name("site-1"),
            name: name("n1"),
            data_dir: PathBuf::from("."),
            tenants: vec![name("default")],
            address_plan: String::new(),
            machine: String::new(),
            labels: BTreeMap::new(),
        }
    }
}

impl Default for Mesh {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], 4747)),
            advertise: Vec::new(),
            seeds: Vec::new(),
            mdns: true,
            protocol_at_most: PROTOCOL_VERSION,
            redial_max: Duration::from_secs(60),
            stale_after: Duration::from_secs(10),
            unreachable_after: Duration::from_secs(30),
            reachable: Choice::Auto,
            hole_punching: true,
            relay: Relay::default(),
        }
    }
}

impl Mesh {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for seed in &self.seeds {
            let port = seed.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            if port.is_none_or(|port| port == 0) {
                return Err(ConfigError::Value {
                    key: "mesh.seeds",
                    value: seed.clone(),
                    message: "a seed is host:port, such as \"berlin.example:4747\"".into(),
                });
            }
        }
        if !(OLDEST_PROTOCOL..=PROTOCOL_VERSION).contains(&self.protocol_at_most) {
            return Err(ConfigError::Value {
                key: "mesh.protocol_at_most",
                value: self.protocol_at_most.to_string(),
                message: format!(
                    "this release speaks the versions {OLDEST_PROTOCOL} to {PROTOCOL_VERSION}"
                ),
            });
        }
        self.relay.check()?;
        if self.unreachable_after < self.stale_after {
            return Err(ConfigError::Value {
                key: "mesh.unreachable_after",
                value: humantime::format_duration(self.unreachable_after).to_string(),
                message: "it must not be shorter than mesh.stale_after".into(),
            });
        }
        Ok(())
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], 8443)),
            names: Vec::new(),
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            plain_listen: String::new(),
        }
    }
}

impl Api {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.tls_cert.as_os_str().is_empty() != self.tls_key.as_os_str().is_empty() {
            return Err(ConfigError::Value {
                key: "api.tls_cert",
                value: self.tls_cert.display().to_string(),
                message: "tls_cert and tls_key are set together or not at all".into(),
            });
        }
        self.plain_address().map(drop)
    }

    /// The address of plain HTTP, if it is wanted.
    pub(crate) fn plain_address(&self) -> Result<Option<SocketAddr>, ConfigError> {
        if self.plain_listen.is_empty() {
            return Ok(None);
        }
        let refuse = |message: &str| ConfigError::Value {
            key: "api.plain_listen",
            value: self.plain_listen.clone(),
            message: message.into(),
        };
        let address: SocketAddr = self
            .plain_listen
            .parse()
            .map_err(|_| refuse("it is not address:port, such as \"127.0.0.1:8080\""))?;
        if !address.ip().is_loopback() {
            return Err(refuse(
                "plain HTTP is served on a loopback address only; use api.listen (HTTPS)",
            ));
        }
        Ok(Some(address))
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: "text".into() }
    }
}
