//! Facts: who calls whom, as edges of the graph. A client's span names its peer; what is new is told up to a number a
//! minute, what is known once a minute.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use holm_model::{EdgeKind, EdgeObservation, Millis, NodeKind, NodeRef, Value};
use holm_plane::FactSink;

use crate::tally::Tally;

/// Most edges that are held at once.
const MAX_EDGES: usize = 8_192;
/// Most ports that one edge names.
const MAX_PORTS: usize = 16;
/// An edge is held so long after its last span, in milliseconds.
const HOLD_MS: u32 = 30 * 60_000;
/// An edge that is known is told again after so long, in milliseconds.
const AGAIN_MS: u64 = 60_000;
const MINUTE_MS: u64 = 60_000;
/// Longest name of a node.
const MAX_NAME_BYTES: usize = 255;

/// One end that was called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Called {
    kind: NodeKind,
    name: Box<str>,
}

/// A service that called something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    from: Box<str>,
    to: Called,
    port: Option<u16>,
}

impl Call {
    /// Who a span of this kind says called whom, if it does.
    pub(crate) fn of(kind: i32, columns: &BTreeMap<Cow<'static, str>, Value>) -> Option<Self> {
        // Clients and producers: the others are called.
        if !matches!(kind, 3 | 4) {
            return None;
        }
        let text = |name: &str| match columns.get(name) {
            Some(Value::Text(text)) if !text.is_empty() && text.len() <= MAX_NAME_BYTES => {
                Some(text.as_ref())
            }
            _ => None,
        };
        // What an SDK says of a service that nobody gave a name.
        let from = text("service.name").filter(|name| !name.starts_with("unknown_service"))?;
        let service = text("peer.service").filter(|peer| *peer != from);
        let service = service.map(|name| Called { kind: NodeKind::Service, name: name.into() });
        let to = match service {
            Some(service) => service,
            None => Called { kind: NodeKind::Host, name: host(text("server.address")?)?.into() },
        };
        let port = match columns.get("server.port") {
            Some(Value::Int(port)) => u16::try_from(*port).ok().filter(|port| *port != 0),
            _ => None,
        };
        Some(Self { from: from.into(), to, port })
    }
}

/// A host that means the same elsewhere: this machine's own names mean another thing at each.
fn host(name: &str) -> Option<String> {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = name.parse::<IpAddr>() {
        let address = address.to_canonical();
        let is_one = !(address.is_loopback() || address.is_unspecified() || address.is_multicast());
        return is_one.then(|| address.to_string());
    }
    // A socket's path or a pipe is no host.
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let own = name == "localhost" || name.ends_with(".localhost");
    (!own && !name.is_empty() && name.chars().all(good)).then_some(name)
}

#[derive(Debug)]
struct Held {
    ports: Vec<u16>,
    /// The last call, and when it was told last.
    at: Millis,
    told: Millis,
}

/// The edges that are held.
#[derive(Debug)]
pub(crate) struct Calls {
    a_minute: usize,
    left: usize,
    minute: Millis,
    held: HashMap<(Box<str>, Called), Held>,
}

impl Calls {
    pub(crate) fn new(a_minute: usize, now: Millis) -> Self {
        Self { a_minute, left: a_minute, minute: now, held: HashMap::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.held = HashMap::new();
    }

    /// Tells what these calls say that is new, or was not told for a while.
    pub(crate) fn tell(
        &mut self,
        calls: Vec<Call>,
        now: Millis,
        facts: &dyn FactSink,
        tally: &mut Tally,
    ) {
        // Also when the clock was set back.
        if now.since(self.minute) >= MINUTE_MS || now < self.minute {
            (self.left, self.minute) = (self.a_minute, now);
            self.held.retain(|_, held| now.since(held.at) <= u64::from(HOLD_MS));
        }
        for Call { from, to, port } in calls {
            let key = (from, to);
            let full = self.held.len() >= MAX_EDGES;
            let held = self.held.get_mut(&key);
            let grows = |held: &Held| {
                port.is_some_and(|port| held.ports.len() < MAX_PORTS && !held.ports.contains(&port))
            };
            let is_new = held.as_ref().is_none_or(|held| grows(held));
            if is_new && (self.left == 0 || (full && held.is_none())) {
                tally.edges_not_told += 1;
                continue;
            }
            self.left -= usize::from(is_new);
            let held = match held {
                Some(held) => held,
                None => {
                    let fresh = Held { ports: Vec::new(), at: now, told: Millis(0) };
                    self.held.entry(key.clone()).or_insert(fresh)
                }
            };
            held.at = now;
            if is_new && let Some(port) = port {
                held.ports.push(port);
                held.ports.sort_unstable();
            }
            if !is_new && now.since(held.told) < AGAIN_MS {
                continue;
            }
            held.told = now;
            tally.edges_told += 1;
            let ports: Vec<String> = held.ports.iter().map(ToString::to_string).collect();
            let ports = ports.join(",");
            let mut attributes = vec![("holm.call.evidence", "otlp")];
            if !ports.is_empty() {
                attributes.push(("server.port", &ports));
            }
            facts.observe_edge(&EdgeObservation {
                from: NodeRef { kind: NodeKind::Service, name: &key.0 },
                kind: EdgeKind::Flow,
                to: NodeRef { kind: key.1.kind, name: &key.1.name },
                // Telling again what is known shall cost nothing.
                attributes: if is_new { &attributes } else { &[] },
                at: now,
                hold_ms: HOLD_MS,
            });
        }
    }
}
