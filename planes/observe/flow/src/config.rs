//! What is listened to.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::meaning::{Enricher, ExporterName, Network, Settings};

/// Most listeners.
const MAX_LISTENERS: usize = 64;
/// Most sockets of one listener.
const MAX_SOCKETS: usize = 64;

/// The plane's section of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether the plane runs.
    pub enabled: bool,
    /// Where exporters send to.
    pub listeners: Vec<Listener>,
    /// The operator's networks: what addresses belong to.
    pub networks: Vec<Network>,
    /// What exporters are called.
    pub exporters: Vec<ExporterName>,
    /// A table of autonomous systems: `.mmdb`, or text (`docs/flow.md`); empty: none.
    pub asn_file: PathBuf,
    /// More networks and exporters: TOML with lists of those names; empty: none. Read anew when it changes.
    pub names_file: PathBuf,
    /// Edges that are told to the topology in a minute, the heaviest: 0 (none) to 10,000.
    pub edges_per_minute: usize,
    /// Traffic below this many bit/s is never unusual.
    pub anomaly_least_bps: u64,
    /// So many usual spreads off is unusual: 2 to 100.
    pub anomaly_sigma: f64,
    /// Exporters of one socket: 1 to 1,000,000. More are refused and counted.
    pub max_exporters: usize,
    /// MiB of data sets that wait for their template, per socket: 0 to 1,024.
    pub pending_mib: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: false,
            listeners: vec![
                Listener::udp(2055),
                Listener::udp(4739),
                Listener::udp(6343),
                Listener { transport: Transport::Tcp, ..Listener::udp(4739) },
            ],
            networks: Vec::new(),
            exporters: Vec::new(),
            asn_file: PathBuf::new(),
            names_file: PathBuf::new(),
            edges_per_minute: 200,
            anomaly_least_bps: 1_000_000,
            anomaly_sigma: 4.0,
            max_exporters: 4_096,
            pending_mib: 4,
        }
    }
}

impl Config {
    /// # Errors
    /// The field, its value and the range that it is not in.
    pub fn check(&self) -> Result<(), String> {
        within("listeners", self.listeners.len(), 0, MAX_LISTENERS)?;
        within("max_exporters", self.max_exporters, 1, 1_000_000)?;
        within("edges_per_minute", self.edges_per_minute, 0, 10_000)?;
        if !(2.0..=100.0).contains(&self.anomaly_sigma) {
            return Err(format!(
                "planes.flow: anomaly_sigma is {}; it must be 2 to 100",
                self.anomaly_sigma
            ));
        }
        within("pending_mib", self.pending_mib, 0, 1_024)?;
        for listener in &self.listeners {
            within("sockets", listener.sockets, 0, MAX_SOCKETS)?;
            within("receive_buffer_kib", listener.receive_buffer_kib, 0, 1 << 20)?;
        }
        Enricher::new(&self.networks, &self.exporters, None).map(drop)
    }

    /// What is unusual.
    pub(crate) const fn settings(&self) -> Settings {
        Settings { least_bps: self.anomaly_least_bps as f64, sigma: self.anomaly_sigma }
    }

    /// The bounds of each decoder.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_exporters: self.max_exporters,
            max_pending_bytes: self.pending_mib << 20,
            ..Limits::default()
        }
    }
}

fn within(field: &str, value: usize, least: usize, most: usize) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("planes.flow: {field} is {value}; it must be {least} to {most}"))
}

/// What carries the messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// All protocols, told apart by their version.
    #[default]
    Udp,
    /// IPFIX (RFC 7011 §10.4).
    Tcp,
}

/// One address that is listened at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Where; `[::]` takes IPv4 as well.
    pub address: SocketAddr,
    /// What carries the messages.
    #[serde(default)]
    pub transport: Transport,
    /// Sockets that share the address, each with a thread: 0 (one per core, at most four) to 64.
    #[serde(default)]
    pub sockets: usize,
    /// KiB that the kernel may hold for each socket; 0: 16 MiB. What it grants may be less.
    #[serde(default)]
    pub receive_buffer_kib: usize,
}

impl Listener {
    /// UDP at `port` of all addresses.
    pub fn udp(port: u16) -> Self {
        Self {
            address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
            transport: Transport::Udp,
            sockets: 0,
            receive_buffer_kib: 0,
        }
    }

    pub(crate) fn socket_count(&self) -> usize {
        match self.sockets {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(4),
            n => n,
        }
    }

    pub(crate) fn receive_buffer(&self) -> usize {
        match self.receive_buffer_kib {
            0 => 16 << 20,
            kib => kib << 10,
        }
    }
}
