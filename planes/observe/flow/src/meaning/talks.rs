//! Facts: who talks to whom, as edges of the graph. The heaviest of each minute are told, the rest counted.

use std::net::{IpAddr, Ipv6Addr};

use hashbrown::HashMap;
use holm_model::{EdgeKind, EdgeObservation, Millis, NodeKind, NodeRef};
use holm_plane::FactSink;

use super::enrich::Enricher;
use super::sketch::SpaceSaving;
use crate::read::address_of;

/// Places of the sketch of one minute.
const PLACES: usize = 4_096;
/// Most edges that are held at once.
const MAX_EDGES: usize = 8_192;
/// Most ports that one edge names.
const MAX_PORTS: usize = 16;
/// An edge is held so long after it was among the heaviest: exporters tell of a long flow now and then.
const HOLD_MS: u32 = 30 * 60_000;
/// Ports from here on are given to clients (Linux's `ip_local_port_range`).
const FIRST_CLIENT_PORT: u16 = 32_768;

/// Who asked whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Talk {
    client: [u8; 16],
    server: [u8; 16],
    port: u16,
    protocol: u8,
}

#[derive(Debug, Default)]
struct Told {
    ports: Vec<u16>,
    at: Millis,
}

/// The talks of the minute that runs, and the edges that are held.
#[derive(Debug)]
pub(crate) struct Talks {
    most: usize,
    now: SpaceSaving<Talk>,
    told: HashMap<([u8; 16], [u8; 16]), Told>,
    /// Talks that were not among the heaviest of their minute.
    pub(crate) not_told: u64,
}

impl Talks {
    /// Of which `most` are told a minute.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, now: SpaceSaving::new(PLACES), told: HashMap::new(), not_told: 0 }
    }

    /// A flow. The server is whose port is the lower one, where one is a server's.
    pub(crate) fn add(
        &mut self,
        (from, from_port): ([u8; 16], u16),
        (to, to_port): ([u8; 16], u16),
        protocol: u8,
        bytes: u64,
    ) {
        if self.most == 0 || from == to || !is_host(&from) || !is_host(&to) {
            return;
        }
        let answered = from_port < to_port && from_port != 0 && from_port < FIRST_CLIENT_PORT;
        let (client, server, port) =
            if answered { (to, from, from_port) } else { (from, to, to_port) };
        self.now.add(&Talk { client, server, port, protocol }, bytes.max(1));
    }

    /// Tells the heaviest of the minute.
    pub(crate) fn end_minute(&mut self, now: Millis, names: &Enricher, facts: &dyn FactSink) {
        self.told.retain(|_, told| now.since(told.at) <= u64::from(HOLD_MS));
        let heaviest = self.now.heaviest();
        self.now.clear();
        let mut left = self.most;
        for (talk, _) in heaviest {
            let key = (talk.client, talk.server);
            let room = self.told.contains_key(&key) || self.told.len() < MAX_EDGES;
            if left == 0 || !room {
                self.not_told += 1;
                continue;
            }
            left -= 1;
            let told = self.told.entry(key).or_default();
            let is_new = told.ports.is_empty();
            told.at = now;
            let grew =
                talk.port != 0 && told.ports.len() < MAX_PORTS && !told.ports.contains(&talk.port);
            if grew {
                told.ports.push(talk.port);
                told.ports.sort_unstable();
            }
            let ports: Vec<String> = told.ports.iter().map(ToString::to_string).collect();
            let ports = ports.join(",");
            let kind = if address_of(talk.server).is_ipv4() { "ipv4" } else { "ipv6" };
            let protocol = crate::schema::transport_names();
            let protocol = protocol.get(usize::from(talk.protocol)).map_or("", String::as_str);
            let mut attributes = vec![("network.type", kind), ("network.transport", protocol)];
            if !ports.is_empty() {
                attributes.push(("server.port", &ports));
            }
            // Telling again what is known shall cost nothing.
            let attributes = if is_new || grew { attributes.as_slice() } else { &[] };
            let (client, server) = (Named::of(&talk.client, names), Named::of(&talk.server, names));
            if client.name == server.name {
                continue;
            }
            facts.observe_edge(&EdgeObservation {
                from: client.node(),
                kind: EdgeKind::Flow,
                to: server.node(),
                attributes,
                at: now,
                hold_ms: HOLD_MS,
            });
        }
    }

    /// Edges that are held.
    pub(crate) fn held(&self) -> usize {
        self.told.len()
    }
}

/// An address as a node: its service, where the operator named one.
struct Named {
    kind: NodeKind,
    name: String,
}

impl Named {
    fn of(address: &[u8; 16], names: &Enricher) -> Self {
        match names.service_of(address) {
            Some(service) => Self { kind: NodeKind::Service, name: service.to_owned() },
            None => Self { kind: NodeKind::Host, name: address_of(*address).to_string() },
        }
    }

    fn node(&self) -> NodeRef<'_> {
        NodeRef { kind: self.kind, name: &self.name }
    }
}

/// Whether an address is one of a host: not a group, nobody, or everybody.
fn is_host(address: &[u8; 16]) -> bool {
    match Ipv6Addr::from(*address).to_canonical() {
        IpAddr::V4(v4) => !(v4.is_multicast() || v4.is_unspecified() || v4.is_broadcast()),
        IpAddr::V6(v6) => !(v6.is_multicast() || v6.is_unspecified()),
    }
}
