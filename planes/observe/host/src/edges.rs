//! The edges that connections add up to, and when they are told.
//!
//! An edge is told when a connection opens or closes, and again and again while one is open, well
//! within its hold. Attributes go along only when they are new or to refresh them: telling again what
//! is known shall cost nothing.

use std::sync::Arc;

use hashbrown::HashMap;
use holm_model::{EdgeKind, EdgeObservation, Millis, NodeKind, NodeRef};
use holm_plane::FactSink;

use crate::process::{Process, Service};
use crate::said::{Attribute, By, Met, Said};
use crate::services::{Services, of_process};

/// Most edges kept at once.
pub(crate) const MAX_EDGES: usize = 50_000;

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

/// What a connection says about its edge. The texts are borrowed: they are kept only where they are new.
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
    /// What is said is said by the process that connects.
    caller_speaks: bool,
}

/// Which edge a connection counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EdgeRef(u32);

/// Edges, bounded, and the services at their ends.
pub(crate) struct Edges {
    facts: Arc<dyn FactSink>,
    hold_ms: u32,
    refresh_ms: u64,
    by_key: HashMap<(Point, Point), u32>,
    slots: Vec<Option<Edge>>,
    free: Vec<u32>,
    pub(crate) services: Services,
    refused: u64,
}

impl Edges {
    pub(crate) fn new(facts: Arc<dyn FactSink>, host_name: Arc<str>, hold_ms: u32) -> Self {
        let refresh_ms = u64::from(hold_ms / 4).clamp(200, 30_000);
        Self {
            services: Services::new(Arc::clone(&facts), host_name, hold_ms, refresh_ms),
            facts,
            hold_ms,
            refresh_ms,
            by_key: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            refused: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Refused: too many edges or services.
    pub(crate) fn refused(&self) -> u64 {
        self.refused + self.services.refused
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
                    ports: Met::new(),
                    said: Said::new(attributes(told), By::process(told.process), told.at),
                    caller_speaks: told.direction == Direction::Outbound,
                })
            }
        };
        let edge = self.slots.get_mut(slot as usize)?.as_mut()?;
        edge.open += 1;
        edge.last_used = edge.last_used.max(told.at);
        let says_else = says_else(edge, told);
        let attributes_due = edge.ports.meet(told.server_port, told.at)
            || says_else
            || told.at.since(edge.told_with_attributes) >= self.refresh_ms;
        tell(self.facts.as_ref(), edge, attributes_due, told.at, self.hold_ms);
        Some(EdgeRef(slot))
    }

    /// One more connection to `port` on `edge`, which was opened a moment ago.
    pub(crate) fn open_again(&mut self, edge: EdgeRef, port: u16, at: Millis) {
        if let Some(Some(edge)) = self.slots.get_mut(edge.0 as usize) {
            edge.open += 1;
            edge.ports.meet(port, at);
        }
    }

    /// One connection to `port` less on `edge`, at `at`.
    pub(crate) fn close(&mut self, edge: EdgeRef, port: u16, at: Millis) {
        let Some(Some(edge)) = self.slots.get_mut(edge.0 as usize) else { return };
        edge.open = edge.open.saturating_sub(1);
        edge.ports.part(port, at);
        edge.last_used = edge.last_used.max(at);
        tell(self.facts.as_ref(), edge, false, at, self.hold_ms);
    }

    /// Tells again what is open, and forgets what was not used for longer than it is held.
    pub(crate) fn refresh(&mut self, now: Millis) {
        let hold_ms = u64::from(self.hold_ms);
        for slot in 0..self.slots.len() {
            let Some(edge) = self.slots[slot].as_mut() else { continue };
            if edge.open > 0 {
                edge.last_used = edge.last_used.max(now);
                for point in [edge.from.0, edge.to.0] {
                    if let Point::Service(id) = point {
                        self.services.in_use(id, now);
                    }
                }
                let changed = edge.ports.settle(now) | edge.said.settle(now);
                if changed || now.since(edge.told_with_attributes) >= self.refresh_ms {
                    tell(self.facts.as_ref(), edge, true, now, self.hold_ms);
                }
            } else if now.since(edge.last_used) > hold_ms {
                self.by_key.remove(&(edge.from.0, edge.to.0));
                self.slots[slot] = None;
                self.free.push(slot as u32);
            }
        }
        self.services.refresh(now);
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
}

fn tell(facts: &dyn FactSink, edge: &mut Edge, with_attributes: bool, at: Millis, hold_ms: u32) {
    let ports;
    let mut told: [(&str, &str); 8] = [("", ""); 8];
    let mut length = 0;
    if with_attributes {
        edge.told_with_attributes = at;
        ports = edge.ports.told();
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

/// Takes up what the process of a connection says that began later than the one before. Where both ends are of
/// this host, the one that connects speaks. Whether it is another thing.
fn says_else(edge: &mut Edge, told: &Told<'_>) -> bool {
    let by = By::process(told.process);
    match (edge.caller_speaks, told.direction) {
        (false, Direction::Outbound) => {
            edge.caller_speaks = true;
            edge.said.replace(by, attributes(told))
        }
        (true, Direction::Inbound) => false,
        _ => edge.said.take(by, told.at, || attributes(told)),
    }
}

fn attributes(told: &Told<'_>) -> Vec<Attribute> {
    let mut attributes = vec![
        ("network.transport", "tcp".into()),
        ("network.type", if told.ipv6 { "ipv6" } else { "ipv4" }.into()),
        ("direction", told.direction.as_str().into()),
    ];
    attributes.extend(told.process.into_iter().flat_map(of_process));
    attributes
}
