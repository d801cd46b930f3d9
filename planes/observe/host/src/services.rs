//! The services of this host: what their processes say of them, where they listen, and when that is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use holm_model::{Millis, NodeKind, NodeObservation, NodeRef};
use holm_plane::FactSink;

use crate::process::{Process, Service};
use crate::said::{Attribute, By, Listening, REOPENS_MS, Said};

/// Most services kept at once.
const MAX_SERVICES: usize = 8_192;
/// Most addresses that one service names.
const MAX_ADDRESSES: usize = 16;

/// A socket that listens: a number, not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ListenerId(pub(crate) u64);

/// A socket that listens, of one service.
struct Listens {
    by: By,
    process: Arc<Process>,
    port: u16,
    addresses: Vec<Box<str>>,
}

struct Node {
    service: Arc<Service>,
    /// By which it listens, in the order in which they came.
    listeners: BTreeMap<ListenerId, Listens>,
    /// Since when one is missing.
    left: Option<Millis>,
    last_used: Millis,
    told: Millis,
    /// When it is told once more though nothing uses it: a change may be put off for a moment.
    again: Option<Millis>,
    addresses: Vec<Box<str>>,
    ports: Listening,
    said: Said,
    /// What is said is said by one that listens, or listened last.
    listener_speaks: bool,
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

    /// When what was left was not taken up again for a while: who speaks now, and what is reached where.
    /// Whether anything is another than before.
    fn settle(&mut self, now: Millis, host_name: &str, left_out: &mut u64) -> bool {
        let mut changed = self.ports.settle(now, left_out);
        if !self.listeners.is_empty() {
            self.said.keep(|by| self.listeners.values().any(|listens| listens.by == by));
        }
        changed |= self.said.settle(now);
        if self.left.is_none_or(|left| now.since(left) < REOPENS_MS) {
            return changed;
        }
        self.left = None;
        let Some(last) = self.listeners.values().max_by_key(|listens| listens.by) else {
            return changed;
        };
        if self.listeners.values().all(|listens| listens.by != self.said.by()) {
            let attributes = attributes(&self.service, &last.process, host_name);
            changed |= self.said.replace(last.by, attributes);
            self.listener_speaks = true;
        }
        let before = std::mem::take(&mut self.addresses);
        let all: Vec<Box<str>> =
            self.listeners.values().flat_map(|listens| listens.addresses.clone()).collect();
        // They were counted when they came.
        self.add_addresses(&all, &mut 0);
        changed | (self.addresses != before)
    }
}

/// The services, bounded.
pub(crate) struct Services {
    facts: Arc<dyn FactSink>,
    host_name: Arc<str>,
    hold_ms: u32,
    refresh_ms: u64,
    nodes: HashMap<u32, Node>,
    /// Refused: too many.
    pub(crate) refused: u64,
    /// Addresses of listening services beyond the 16 that are told of each.
    pub(crate) addresses_left_out: u64,
    /// Ports of listening services beyond the 16 that are told of each.
    pub(crate) ports_left_out: u64,
}

impl Services {
    pub(crate) fn new(
        facts: Arc<dyn FactSink>,
        host_name: Arc<str>,
        hold_ms: u32,
        refresh_ms: u64,
    ) -> Self {
        Self {
            facts,
            host_name,
            hold_ms,
            refresh_ms,
            nodes: HashMap::new(),
            refused: 0,
            addresses_left_out: 0,
            ports_left_out: 0,
        }
    }

    /// The service of `process` listens at `port` by the socket `id`. What is known of that is said anew.
    pub(crate) fn listen(
        &mut self,
        id: ListenerId,
        process: &Arc<Process>,
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
        let by = By::process(Some(process));
        let alone = node.listeners.is_empty();
        let mut changed = node.told == Millis(0);
        let said = || attributes(service, process, host_name);
        changed |= if by == node.said.by() || !node.listener_speaks || alone {
            node.said.replace(by, said())
        } else {
            node.said.take(by, at, said)
        };
        node.listener_speaks = true;
        if alone {
            // Started anew, perhaps in another container: what was before is not so any more.
            node.addresses.clear();
        }
        let first = addresses.len().min(MAX_ADDRESSES);
        let listens = Listens {
            by,
            process: Arc::clone(process),
            port,
            addresses: addresses[..first].to_vec(),
        };
        changed |= node.ports.settle(at, ports_left_out);
        if node.listeners.insert(id, listens).is_none() {
            changed |= node.ports.open(port, at, ports_left_out);
        }
        changed |= node.add_addresses(addresses, addresses_left_out);
        if changed || at.since(node.told) >= self.refresh_ms {
            self.tell(service.id, at);
        }
    }

    /// It became known at which addresses the socket `id` is reached.
    pub(crate) fn reached_at(
        &mut self,
        id: ListenerId,
        process: &Process,
        addresses: &[Box<str>],
        at: Millis,
    ) {
        let Some(service) = process.service.as_ref().map(|service| service.id) else { return };
        let Self { nodes, addresses_left_out, .. } = self;
        let Some(node) = nodes.get_mut(&service) else { return };
        let Some(listens) = node.listeners.get_mut(&id) else { return };
        listens.addresses = addresses[..addresses.len().min(MAX_ADDRESSES)].to_vec();
        // What is not one of them any more goes a while later.
        node.left.get_or_insert(at);
        if node.add_addresses(addresses, addresses_left_out) {
            self.tell(service, at);
        }
    }

    /// The socket `id` of the service of `process` listens no more.
    pub(crate) fn unlisten(&mut self, id: ListenerId, process: &Process, at: Millis) {
        let Some(node) = process.service.as_ref().and_then(|s| self.nodes.get_mut(&s.id)) else {
            return;
        };
        if let Some(listens) = node.listeners.remove(&id) {
            node.ports.close(listens.port, at);
            node.left.get_or_insert(at);
            node.last_used = node.last_used.max(at);
        }
    }

    /// The service of `process` was at an end of a connection.
    pub(crate) fn used(&mut self, process: &Process, at: Millis) {
        let Some(service) = &process.service else { return };
        let host_name = Arc::clone(&self.host_name);
        let Some(node) = self.node(service, process, at) else { return };
        let mut changed = node.told == Millis(0);
        // Of a service that listens its listeners speak.
        if node.listeners.is_empty() {
            let said = || attributes(service, process, &host_name);
            changed |= node.said.take(By::process(Some(process)), at, said);
        }
        if changed {
            self.tell(service.id, at);
        }
    }

    /// The service `id` is at an end of a connection that is open.
    pub(crate) fn in_use(&mut self, id: u32, now: Millis) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.last_used = node.last_used.max(now);
        }
    }

    /// Tells what changed, and again what is in use; forgets what was not used for longer than it is held.
    pub(crate) fn refresh(&mut self, now: Millis) {
        let hold_ms = u64::from(self.hold_ms);
        let Self { nodes, host_name, ports_left_out, refresh_ms, .. } = self;
        let mut due = Vec::new();
        nodes.retain(|&id, node| {
            if !node.listeners.is_empty() {
                node.last_used = node.last_used.max(now);
            }
            if now.since(node.last_used) > hold_ms {
                return false;
            }
            let changed = node.settle(now, host_name, ports_left_out);
            let in_use = node.last_used >= now;
            let again = node.again.take_if(|at| *at <= now).is_some();
            if changed {
                node.again = Some(now + 2 * REOPENS_MS);
            }
            if changed || again || (in_use && now.since(node.told) >= *refresh_ms) {
                due.push(id);
            }
            true
        });
        for id in due {
            self.tell(id, now);
        }
    }

    fn node(&mut self, service: &Arc<Service>, process: &Process, at: Millis) -> Option<&mut Node> {
        if !self.nodes.contains_key(&service.id) {
            if self.nodes.len() >= MAX_SERVICES {
                self.refused += 1;
                return None;
            }
            let attributes = attributes(service, process, &self.host_name);
            let node = Node {
                service: Arc::clone(service),
                listeners: BTreeMap::new(),
                left: None,
                last_used: at,
                told: Millis(0),
                again: None,
                addresses: Vec::new(),
                ports: Listening::new(at),
                said: Said::new(attributes, By::process(Some(process)), at),
                listener_speaks: false,
            };
            self.nodes.insert(service.id, node);
        }
        let node = self.nodes.get_mut(&service.id)?;
        node.last_used = node.last_used.max(at);
        Some(node)
    }

    fn tell(&mut self, id: u32, at: Millis) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.told = at;
        let (ports, addresses) = (node.ports.told(), node.addresses.join(","));
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

fn attributes(service: &Service, process: &Process, host_name: &str) -> Vec<Attribute> {
    let mut attributes =
        vec![("service.name", service.name.clone()), ("host.name", host_name.into())];
    attributes.extend(of_process(process));
    if !process.container_id.is_empty() {
        attributes.push(("container.id", process.container_id.clone()));
    }
    attributes
}

/// What a process says of itself, of its service as of its edges.
pub(crate) fn of_process(process: &Process) -> impl Iterator<Item = Attribute> + use<> {
    [
        ("process.executable.name", process.executable.clone()),
        ("process.command", process.command.clone()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
}
