//! The edges and service nodes that connections add up to, and when they are told.
//!
//! An edge is told when a connection opens or closes, and again and again while one is open, well
//! within its hold. Attributes go along only when they are new or to refresh them: telling again what
//! is known shall cost nothing.

use std::sync::Arc;

use hashbrown::HashMap;
use holm_model::{EdgeKind, EdgeObservation, Millis, NodeKind, NodeObservation, NodeRef};
use holm_plane::FactSink;

use crate::process::{Process, Service};
use crate::said::{Attribute, Listening, Met, Said, list};

/// Most edges kept at once.
pub(crate) const MAX_EDGES: usize = 50_000;
/// Most service nodes kept at once.
const MAX_NODES: usize = 8_192;
/// Most addresses that one node names.
const MAX_ADDRESSES: usize = 16;

/// An end of an edge as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Point {
    Service(u32),
    Host(u128),
}

/// An end of an edge with its name.
#[derive(Debug, Clone)]
pub(crate) enum Name {
    Service(Arc<Service>),
    Host(Arc<str>),
}

impl Name {
    fn node(&self) -> NodeRef<'_> {
        match self {
            Self::Service(service) => NodeRef { kind: NodeKind::Service, name: &service.name },
            Self::Host(name) => NodeRef { kind: NodeKind::Host, name },
        }
    }
}

/// Which way the connections of an edge were opened, from this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Outbound,
    Inbound,
}

impl Direction {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

/// What a connection says about its edge. The texts are borrowed: the edge keeps its first ones.
pub(crate) struct Told<'a> {
    pub(crate) direction: Direction,
    pub(crate) ipv6: bool,
    pub(crate) server_port: u16,
    pub(crate) process: Option<&'a Process>,
    pub(crate) at: Millis,
}

struct Edge {
    from: (Point, Name),
    to: (Point, Name),
    open: u32,
    last_used: Millis,
    told_with_attributes: Millis,
    ports: Met,
    said: Said,
}

struct Node {
    service: Arc<Service>,
    /// Listening sockets open.
    listeners: u32,
    last_used: Millis,
    told: Millis,
    addresses: Vec<Box<str>>,
    ports: Listening,
    said: Said,
}

impl Node {
    /// Whether any of them is new; those beyond the bound are left out, and counted in `left_out`.
    fn add_addresses(&mut self, addresses: &[Box<str>], left_out: &mut u64) -> bool {
        let before = self.addresses.len();
        for address in addresses {
            if self.addresses.contains(address) {
                continue;
            }
            if self.addresses.len() < MAX_ADDRESSES {
                self.addresses.push(address.clone());
            } else {
                *left_out += 1;
            }
        }
        self.addresses.sort_unstable();
        self.addresses.len() > before
    }
}

/// Which edge a connection counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EdgeRef(u32);

/// Edges and service nodes, bounded.
pub(crate) struct Edges {
    facts: Arc<dyn FactSink>,
    host_name: Arc<str>,
    hold_ms: u32,
    refresh_ms: u64,
    by_key: HashMap<(Point, Point), u32>,
    slots: Vec<Option<Edge>>,
    free: Vec<u32>,
    nodes: HashMap<u32, Node>,
    /// Refused: too many edges or nodes.
    pub(crate) refused: u64,
    /// Addresses of listening services beyond the 16 that are told of each.
    pub(crate) addresses_left_out: u64,
    /// Ports of listening services beyond the 16 that are told of each.
    pub(crate) ports_left_out: u64,
}

impl Edges {
    pub(crate) fn new(facts: Arc<dyn FactSink>, host_name: Arc<str>, hold_ms: u32) -> Self {
        Self {
            facts,
            host_name,
            hold_ms,
            refresh_ms: u64::from(hold_ms / 4).clamp(200, 30_000),
            by_key: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            nodes: HashMap::new(),
            refused: 0,
            addresses_left_out: 0,
            ports_left_out: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// One more connection on the edge from `from` to `to`. `name` is asked for a host's name only if
    /// the edge is new.
    pub(crate) fn open(
        &mut self,
        from: (Point, Option<&Arc<Service>>),
        to: (Point, Option<&Arc<Service>>),
        name: impl Fn(u128) -> Arc<str>,
        told: &Told<'_>,
    ) -> Option<EdgeRef> {
        let slot = match self.by_key.get(&(from.0, to.0)) {
            Some(&slot) => slot,
            None => {
                if self.by_key.len() >= MAX_EDGES {
                    self.refused += 1;
                    return None;
                }
                let named = |(point, service): (Point, Option<&Arc<Service>>)| {
                    let name = match (point, service) {
                        (_, Some(service)) => Name::Service(Arc::clone(service)),
                        (Point::Host(ip), None) => Name::Host(name(ip)),
                        (Point::Service(_), None) => return None,
                    };
                    Some((point, name))
                };
                let (from, to) = (named(from)?, named(to)?);
                if let (Name::Host(from), Name::Host(to)) = (&from.1, &to.1)
                    && from == to
                {
                    // Two processes of this host, neither of which is known: nothing to tell.
                    return None;
                }
                self.insert(Edge {
                    from,
                    to,
                    open: 0,
                    last_used: told.at,
                    told_with_attributes: Millis(0),
                    ports: Met::default(),
                    said: Said::new(edge_attributes(told), began(told.process), told.at),
                })
            }
        };
        let edge = self.slots.get_mut(slot as usize)?.as_mut()?;
        edge.open += 1;
        edge.last_used = edge.last_used.max(told.at);
        let began = began(told.process);
        let says_else = edge.said.take(began, false, told.at, || edge_attributes(told));
        let attributes_due = edge.ports.meet(told.server_port, told.at)
            || says_else
            || told.at.since(edge.told_with_attributes) >= self.refresh_ms;
        tell(self.facts.as_ref(), edge, attributes_due, told.at, self.hold_ms);
        Some(EdgeRef(slot))
    }

    /// One more connection on `edge`, which was opened a moment ago.
    pub(crate) fn open_again(&mut self, edge: EdgeRef) {
        if let Some(Some(edge)) = self.slots.get_mut(edge.0 as usize) {
            edge.open += 1;
        }
    }

    /// One connection less on `edge`, at `at`.
    pub(crate) fn close(&mut self, edge: EdgeRef, at: Millis) {
        let Some(Some(edge)) = self.slots.get_mut(edge.0 as usize) else { return };
        edge.open = edge.open.saturating_sub(1);
        edge.last_used = edge.last_used.max(at);
        tell(self.facts.as_ref(), edge, false, at, self.hold_ms);
    }

    /// A service listens, or listens no more.
    pub(crate) fn listen(
        &mut self,
        process: &Process,
        addresses: &[Box<str>],
        port: u16,
        at: Millis,
    ) {
        let Some(service) = &process.service else { return };
        if self.node(service, process, at).is_none() {
            return;
        }
        let Self { nodes, addresses_left_out, ports_left_out, host_name, .. } = self;
        let Some(node) = nodes.get_mut(&service.id) else { return };
        let said = || node_attributes(service, process, host_name);
        let says_else = node.said.take(process.start_ticks, true, at, said);
        if node.listeners == 0 {
            // Started anew, perhaps in another container: what was before is not so any more.
            node.addresses.clear();
        }
        node.listeners += 1;
        node.ports.settle(at);
        let new_port = node.ports.open(port, ports_left_out);
        if node.add_addresses(addresses, addresses_left_out) || new_port || says_else {
            node.told = Millis(0);
        }
        let id = service.id;
        self.tell_node(id, at);
    }

    /// It became known at which addresses a service that listens is reached.
    pub(crate) fn reached_at(&mut self, process: &Process, addresses: &[Box<str>], at: Millis) {
        let Some(id) = process.service.as_ref().map(|service| service.id) else { return };
        let Self { nodes, addresses_left_out, .. } = self;
        let node = nodes.get_mut(&id);
        if node.is_some_and(|node| node.add_addresses(addresses, addresses_left_out)) {
            self.tell_node(id, at);
        }
    }

    pub(crate) fn unlisten(&mut self, process: &Process, port: u16, at: Millis) {
        if let Some(node) = process.service.as_ref().and_then(|s| self.nodes.get_mut(&s.id)) {
            node.listeners = node.listeners.saturating_sub(1);
            node.ports.close(port, at);
            node.last_used = node.last_used.max(at);
        }
    }

    /// The service of `process` was at an end of a connection.
    pub(crate) fn used(&mut self, process: &Process, at: Millis) {
        let Some(service) = &process.service else { return };
        let host_name = Arc::clone(&self.host_name);
        let Some(node) = self.node(service, process, at) else { return };
        // Of a service that listens its listeners speak.
        let listens = node.listeners > 0;
        let said = || node_attributes(service, process, &host_name);
        let says_else = !listens && node.said.take(process.start_ticks, false, at, said);
        if says_else || node.told == Millis(0) {
            self.tell_node(service.id, at);
        }
    }

    /// Tells again what is open, and forgets what was not used for longer than it is held.
    pub(crate) fn refresh(&mut self, now: Millis) {
        let hold_ms = u64::from(self.hold_ms);
        for slot in 0..self.slots.len() {
            let Some(edge) = self.slots[slot].as_mut() else { continue };
            if edge.open > 0 {
                edge.last_used = edge.last_used.max(now);
                for point in [edge.from.0, edge.to.0] {
                    if let Point::Service(id) = point
                        && let Some(node) = self.nodes.get_mut(&id)
                    {
                        node.last_used = node.last_used.max(now);
                    }
                }
                if now.since(edge.told_with_attributes) >= self.refresh_ms {
                    tell(self.facts.as_ref(), edge, true, now, self.hold_ms);
                }
            } else if now.since(edge.last_used) > hold_ms {
                self.by_key.remove(&(edge.from.0, edge.to.0));
                self.slots[slot] = None;
                self.free.push(slot as u32);
            }
        }
        self.nodes.retain(|_, node| {
            if node.listeners > 0 {
                node.last_used = node.last_used.max(now);
            }
            now.since(node.last_used) <= hold_ms
        });
        let due: Vec<u32> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.last_used == now && now.since(node.told) >= self.refresh_ms)
            .map(|(&id, _)| id)
            .collect();
        for id in due {
            self.tell_node(id, now);
        }
    }

    fn insert(&mut self, edge: Edge) -> u32 {
        let key = (edge.from.0, edge.to.0);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // At most MAX_EDGES slots.
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize] = Some(edge);
        self.by_key.insert(key, slot);
        slot
    }

    fn node(&mut self, service: &Arc<Service>, process: &Process, at: Millis) -> Option<&mut Node> {
        if !self.nodes.contains_key(&service.id) {
            if self.nodes.len() >= MAX_NODES {
                self.refused += 1;
                return None;
            }
            let attributes = node_attributes(service, process, &self.host_name);
            let said = Said::new(attributes, process.start_ticks, at);
            let node = Node {
                service: Arc::clone(service),
                listeners: 0,
                last_used: at,
                told: Millis(0),
                addresses: Vec::new(),
                ports: Listening::default(),
                said,
            };
            self.nodes.insert(service.id, node);
        }
        let node = self.nodes.get_mut(&service.id)?;
        node.last_used = node.last_used.max(at);
        Some(node)
    }

    fn tell_node(&mut self, id: u32, at: Millis) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.told = at;
        node.ports.settle(at);
        let (ports, addresses) = (list(node.ports.told()), node.addresses.join(","));
        let mut attributes: Vec<(&str, &str)> =
            node.said.attributes().iter().map(|(key, value)| (*key, value.as_ref())).collect();
        if !ports.is_empty() {
            attributes.push(("server.port", &ports));
        }
        if !addresses.is_empty() {
            attributes.push(("server.address", &addresses));
        }
        self.facts.observe_node(&NodeObservation {
            node: NodeRef { kind: NodeKind::Service, name: &node.service.name },
            attributes: &attributes,
            at,
            hold_ms: self.hold_ms,
        });
    }
}

fn tell(facts: &dyn FactSink, edge: &mut Edge, with_attributes: bool, at: Millis, hold_ms: u32) {
    let ports;
    let mut told: [(&str, &str); 8] = [("", ""); 8];
    let mut length = 0;
    if with_attributes {
        edge.told_with_attributes = at;
        ports = list(edge.ports.told());
        for (key, value) in edge.said.attributes().iter().take(told.len() - 1) {
            told[length] = (key, value);
            length += 1;
        }
        if !ports.is_empty() {
            told[length] = ("server.port", &ports);
            length += 1;
        }
    }
    facts.observe_edge(&EdgeObservation {
        from: edge.from.1.node(),
        kind: EdgeKind::Flow,
        to: edge.to.1.node(),
        attributes: &told[..length],
        at,
        hold_ms,
    });
}

/// When a process began; 0 if there is none, or that is not known.
fn began(process: Option<&Process>) -> u64 {
    process.map_or(0, |process| process.start_ticks)
}

fn edge_attributes(told: &Told<'_>) -> Vec<Attribute> {
    let mut attributes = vec![
        ("network.transport", "tcp".into()),
        ("network.type", if told.ipv6 { "ipv6" } else { "ipv4" }.into()),
        ("direction", told.direction.as_str().into()),
    ];
    attributes.extend(told.process.into_iter().flat_map(process_attributes));
    attributes
}

fn node_attributes(service: &Service, process: &Process, host_name: &str) -> Vec<Attribute> {
    let mut attributes =
        vec![("service.name", service.name.clone()), ("host.name", host_name.into())];
    attributes.extend(process_attributes(process));
    if !process.container_id.is_empty() {
        attributes.push(("container.id", process.container_id.clone()));
    }
    attributes
}

fn process_attributes(process: &Process) -> impl Iterator<Item = Attribute> + use<> {
    [
        ("process.executable.name", process.executable.clone()),
        ("process.command", process.command.clone()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
}
