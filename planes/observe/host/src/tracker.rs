//! From what was seen to edges, nodes and rows. Time comes with each event: no clock, and no I/O but
//! the reading of `/proc` that [`Processes`] does.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use holm_model::{AddressScope, Millis};
use holm_plane::{FactSink, HealthHandle, RowSink};

use crate::Config;
use crate::edges::{Direction, EdgeRef, Edges, Point, Told};
use crate::listeners::{Held, Listener, Listeners, Place};
use crate::listing::{Listing, Socket};
use crate::own_names::OwnNames;
use crate::process::{Process, Processes, Service};
use crate::row::{self, Draft};
use crate::seen::{End, Happening, Owner, Seen, Source};

/// Most services remembered by an address in another namespace; past it all are forgotten.
const MAX_LEARNED: usize = 4_096;

/// Rows that wait to be made: at most so many, then they are.
const MAX_DRAFTS: usize = 1_024;

/// A connection's key: both ends, and the network namespace where addresses repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Tuple {
    local: End,
    remote: End,
    netns: u32,
}

impl Tuple {
    fn of(seen: &Seen) -> Self {
        // Loopback addresses are those of their namespace; others are the host's.
        let netns = if is_loopback(seen.local.ip) { seen.netns } else { 0 };
        Self { local: seen.local, remote: seen.remote, netns }
    }

    fn other_side(self) -> Self {
        Self { local: self.remote, remote: self.local, netns: self.netns }
    }
}

struct Connection {
    process: Option<Arc<Process>>,
    /// The process exists but is hidden from us.
    hidden: bool,
    direction: Direction,
    edge: Option<EdgeRef>,
    opened: Millis,
    opened_ns: u64,
    netns: u32,
}

impl Connection {
    /// The port of the end that accepted.
    fn server_port(&self, tuple: &Tuple) -> u16 {
        match self.direction {
            Direction::Outbound => tuple.remote.port,
            Direction::Inbound => tuple.local.port,
        }
    }
}

#[derive(Default)]
struct Counters {
    seen: u64,
    ignored_ports: u64,
    other_addresses: u64,
    connections_refused: u64,
    close_unknown: u64,
    accept_unknown: u64,
    resynced: u64,
}

/// Follows connections and tells what they add up to.
pub struct Tracker {
    addresses: HashSet<u128>,
    ignore_ports: Vec<u16>,
    max_connections: usize,
    host_name: Arc<str>,
    /// Addresses of this host's interfaces.
    own: HashSet<u128>,
    /// The network namespace that they are of, as events name it; 0 if those do not tell.
    own_netns: u32,
    /// Addresses in other namespaces, as far as they are known.
    elsewhere: HashMap<u32, Vec<u128>>,
    connections: HashMap<Tuple, Connection>,
    /// Services found behind an address only when they accepted: those of other namespaces.
    learned: HashMap<End, Arc<Service>>,
    listeners: Listeners,
    /// Sockets listen of which the port was not told: the next listing has it.
    unbound: bool,
    processes: Processes,
    edges: Edges,
    names: OwnNames,
    rows: Arc<dyn RowSink>,
    drafts: Vec<Draft>,
    counters: Counters,
}

impl Tracker {
    /// A tracker that knows nothing yet. `host_name` names this machine, for the loopback addresses.
    pub fn new(
        config: &Config,
        host_name: &str,
        processes: Processes,
        facts: Arc<dyn FactSink>,
        rows: Arc<dyn RowSink>,
    ) -> Self {
        let host_name: Arc<str> = crate::naming::clean(host_name).into();
        Self {
            addresses: config.addresses.iter().map(|&ip| End::new(ip, 0).ip).collect(),
            ignore_ports: config.ignore_ports.clone(),
            max_connections: config.max_connections,
            own: HashSet::new(),
            own_netns: 0,
            elsewhere: HashMap::new(),
            connections: HashMap::new(),
            learned: HashMap::new(),
            listeners: Listeners::default(),
            unbound: false,
            processes,
            names: OwnNames::new(Arc::clone(&facts), Arc::clone(&host_name), config.hold_ms()),
            edges: Edges::new(facts, Arc::clone(&host_name), config.hold_ms()),
            host_name,
            rows,
            drafts: Vec::with_capacity(MAX_DRAFTS),
            counters: Counters::default(),
        }
    }

    /// The addresses of this host's interfaces, as they are now.
    pub fn set_own_addresses(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.own = addresses.into_iter().map(|ip| End::new(ip, 0).ip).collect();
    }

    /// The network namespace of these addresses, as events and listings name it. Where they are of it,
    /// or do not tell theirs (0), a listener at every address listens at these.
    pub fn set_own_namespace(&mut self, netns: u32) {
        self.own_netns = netns;
    }

    /// Takes one thing that was seen: its facts are told at once, its row by [`Self::write_rows`].
    pub fn take(&mut self, seen: &Seen) {
        self.counters.seen += 1;
        if self.ignore_ports.contains(&seen.local.port)
            || self.ignore_ports.contains(&seen.remote.port)
        {
            self.counters.ignored_ports += 1;
            return;
        }
        let listening = matches!(seen.what, Happening::Listen | Happening::Unlisten);
        if !listening && !self.addresses.is_empty() && !self.addresses.contains(&seen.local.ip) {
            self.counters.other_addresses += 1;
            return;
        }
        match seen.what {
            Happening::Listen => self.listen(seen),
            Happening::Unlisten => self.unlisten(seen),
            Happening::Connect => self.established(seen, Direction::Outbound),
            Happening::Accept => self.established(seen, Direction::Inbound),
            Happening::Close => self.close(seen),
            Happening::ConnectFailed => {
                let process = self.owner(seen);
                self.row(seen, Some(Direction::Outbound), process, false);
            }
        }
    }

    /// Makes the rows of what was taken since the last call.
    pub fn write_rows(&mut self) {
        for draft in self.drafts.drain(..) {
            self.rows.append(row::connection(&draft));
        }
    }

    /// Tells again what is open, and forgets what is over. Call it every second.
    pub fn refresh(&mut self, now: Millis) {
        self.edges.refresh(now);
        // A site that is told to watch some addresses only shares this machine with others.
        if self.addresses.is_empty() {
            let own = self.own.iter().map(|&ip| End { ip, port: 0 }.address());
            self.names.refresh(own, now);
        }
    }

    /// Compares with a listing taken at `listing.at`. Connections and listeners that it does not have
    /// are closed, if they are older than the listing and of a namespace that it covers; with `add`,
    /// those it has and the tracker has not are taken up as `source`.
    pub fn compare(&mut self, listing: &Listing, add: bool, source: Source) {
        self.learn_addresses(listing);
        let mut there: HashMap<Place, Vec<Socket>> = HashMap::new();
        for socket in listing.sockets.iter().filter(|s| s.listens) {
            there.entry((socket.netns, socket.local)).or_default().push(*socket);
        }
        // Listeners first: they tell accepted connections from opened ones.
        let unbound = std::mem::take(&mut self.unbound);
        for (place, sockets) in &there {
            self.compare_listeners(*place, sockets, listing.at, add || unbound, source);
        }
        let mut connected = HashSet::with_capacity(listing.sockets.len());
        for socket in listing.sockets.iter().filter(|s| !s.listens) {
            let inbound = there.contains_key(&(socket.netns, socket.local))
                || wildcards(socket.local).any(|end| there.contains_key(&(socket.netns, end)));
            let what = if inbound { Happening::Accept } else { Happening::Connect };
            let seen = socket.seen(what, listing.at, source);
            let tuple = Tuple::of(&seen);
            connected.insert(tuple);
            if add && !self.connections.contains_key(&tuple) {
                self.counters.resynced += 1;
                self.take(&seen);
            }
        }
        let old = |opened: Millis, netns: u32| {
            opened < listing.at && (netns == 0 || listing.namespaces.contains(&netns))
        };
        let gone: Vec<(Tuple, u32)> = self
            .connections
            .iter()
            .filter(|(tuple, c)| !connected.contains(*tuple) && old(c.opened, c.netns))
            .map(|(tuple, c)| (*tuple, c.netns))
            .collect();
        for (tuple, netns) in gone {
            self.counters.resynced += u64::from(source == Source::Listing);
            let (local, remote) = (tuple.local, tuple.remote);
            let seen = closed(Happening::Close, local, remote, netns, listing.at, source);
            self.take(&seen);
        }
        let Self { listeners, processes, .. } = self;
        let has = |place: &Place| there.contains_key(place);
        let silent = listeners.silent(has, &listing.namespaces, listing.at, processes);
        for (netns, local) in silent {
            let none = End { ip: 0, port: 0 };
            let seen = closed(Happening::Unlisten, local, none, netns, listing.at, source);
            self.take(&seen);
        }
        self.write_rows();
    }

    /// Compares one end at which a listing has `sockets`: those that are gone, that are new, and that are
    /// another process's now.
    fn compare_listeners(
        &mut self,
        place: Place,
        sockets: &[Socket],
        at: Millis,
        add: bool,
        source: Source,
    ) {
        if self.listeners.get(&place).is_none() {
            for socket in sockets.iter().filter(|_| add) {
                self.counters.resynced += 1;
                self.take(&socket.seen(Happening::Listen, at, source));
            }
            return;
        }
        let shown = self.listeners.get(&place).is_some_and(|listener| listener.shown);
        let compared = self.listeners.compare(place, sockets, at, &mut self.processes);
        let none = End { ip: 0, port: 0 };
        let seen = closed(Happening::Unlisten, place.1, none, place.0, at, source);
        for held in compared.gone {
            self.counters.resynced += u64::from(source == Source::Listing);
            self.closed_listener(&seen, held, shown);
        }
        for (id, before, heir) in compared.handed {
            if let Some(before) = before {
                self.edges.services.unlisten(id, &before, at);
            }
            let chosen = self.addresses.is_empty() || self.addresses.contains(&place.1.ip);
            if shown && chosen {
                let addresses = self.reachable_at(place.0, place.1.ip);
                self.edges.services.listen(id, &heir, &addresses, place.1.port, at);
            } else if let Some(listener) = self.listeners.get_mut(&place) {
                // The next connection tells again at which address.
                listener.shown = false;
            }
        }
        for socket in compared.new {
            self.counters.resynced += 1;
            self.take(&socket.seen(Happening::Listen, at, source));
        }
    }

    /// Writes the counters of every bound into `health`.
    pub fn report(&self, health: &HealthHandle) {
        let processes = self.processes.counters();
        for (name, value) in [
            ("events", self.counters.seen),
            ("connections_open", self.connections.len() as u64),
            ("listeners_open", self.listeners.len() as u64),
            ("edges", self.edges.len() as u64),
            ("processes_known", self.processes.len() as u64),
            ("processes_read", processes.read),
            ("processes_gone", processes.gone),
            ("processes_forgotten", processes.forgotten),
            ("services_refused", processes.services_refused),
            ("edges_refused", self.edges.refused()),
            ("connections_refused", self.counters.connections_refused),
            ("listeners_refused", self.listeners.refused),
            ("close_unknown", self.counters.close_unknown),
            ("accept_unknown", self.counters.accept_unknown),
            ("ignored_ports", self.counters.ignored_ports),
            ("other_addresses", self.counters.other_addresses),
            ("addresses_left_out", self.edges.services.addresses_left_out),
            ("ports_left_out", self.edges.services.ports_left_out),
            ("resynced", self.counters.resynced),
        ] {
            health.set_counter(name, value);
        }
    }

    fn listen(&mut self, seen: &Seen) {
        // A socket that listens without having been bound gets its port a moment later: the next
        // listing has it.
        if seen.local.port == 0 {
            self.unbound = true;
            return;
        }
        let process = self.owner(seen);
        let shown = self.addresses.is_empty() || self.addresses.contains(&seen.local.ip);
        let place = (seen.netns, seen.local);
        let opened = self.listeners.open(place, seen.socket, process.clone(), shown, seen.at);
        // Too many: nobody would know when it ends.
        if let Some((id, before)) = opened {
            for held in before {
                if let Some(process) = &held.process {
                    self.edges.services.unlisten(held.id, process, seen.at);
                }
            }
            if let Some(process) = process.as_ref().filter(|_| shown) {
                let addresses = self.reachable_at(seen.netns, seen.local.ip);
                self.edges.services.listen(id, process, &addresses, seen.local.port, seen.at);
            }
        }
        if shown {
            self.row(seen, None, process, seen.owner == Owner::Hidden);
        }
    }

    fn unlisten(&mut self, seen: &Seen) {
        let place = (seen.netns, seen.local);
        let Some(listener) = self.listeners.get(&place) else { return };
        let shown = listener.shown;
        let Self { listeners, processes, .. } = self;
        for held in listeners.close(place, seen.socket, seen.at, processes) {
            self.closed_listener(seen, held, shown);
        }
    }

    fn closed_listener(&mut self, seen: &Seen, held: Held, shown: bool) {
        if let Some(process) = &held.process {
            self.edges.services.unlisten(held.id, process, seen.at);
        }
        if shown {
            self.row(seen, None, held.process, false);
        }
    }

    fn established(&mut self, seen: &Seen, direction: Direction) {
        let tuple = Tuple::of(seen);
        if let Some(before) = self.connections.remove(&tuple)
            && let Some(edge) = before.edge
        {
            self.edges.close(edge, before.server_port(&tuple), seen.at);
        }
        let process = match direction {
            Direction::Outbound => self.owner(seen),
            Direction::Inbound => {
                self.listener(seen.netns, seen.local).or_else(|| self.owner(seen))
            }
        };
        if direction == Direction::Inbound {
            match &process {
                Some(_) => self.show_listener(seen),
                None => self.counters.accept_unknown += 1,
            }
        }
        let hidden = process.is_none() && seen.owner == Owner::Hidden;
        let edge = self.open_edge(seen, tuple, direction, process.as_ref());
        if let Some(process) = &process {
            self.edges.services.used(process, seen.at);
        }
        if direction == Direction::Inbound {
            self.correct_other_side(tuple, edge, process.as_ref(), seen.at);
        }
        self.row(seen, Some(direction), process.clone(), hidden);
        let (opened, opened_ns, netns) = (seen.at, seen.boot_ns, seen.netns);
        let connection = Connection { process, hidden, direction, edge, opened, opened_ns, netns };
        if self.connections.len() >= self.max_connections {
            self.counters.connections_refused += 1;
            if let Some(edge) = edge {
                self.edges.close(edge, connection.server_port(&tuple), seen.at);
            }
            return;
        }
        self.connections.insert(tuple, connection);
    }

    /// Opens the edge between the connection's ends, from the one that connected to the one that
    /// accepted.
    fn open_edge(
        &mut self,
        seen: &Seen,
        tuple: Tuple,
        direction: Direction,
        process: Option<&Arc<Process>>,
    ) -> Option<EdgeRef> {
        let here = process.and_then(|process| process.service.clone());
        let there = self.other_end(seen, tuple, direction);
        let point = |service: &Option<Arc<Service>>, end: End| match service {
            Some(service) => Point::Service(service.id),
            None => Point::Host(end.ip),
        };
        let (here_point, there_point) = (point(&here, seen.local), point(&there, seen.remote));
        let (here, there) = ((here_point, here.as_ref()), (there_point, there.as_ref()));
        let (from, to, server_port) = match direction {
            Direction::Outbound => (here, there, seen.remote.port),
            Direction::Inbound => (there, here, seen.local.port),
        };
        let told = Told {
            direction,
            ipv6: seen.local.address().is_ipv6(),
            server_port,
            process: process.map(Arc::as_ref),
            at: seen.at,
        };
        let (host_name, chosen) = (&self.host_name, &self.addresses);
        let name = |ip: u128| -> Arc<str> {
            // 127.0.0.1 is a different machine at every site: it is called by the machine's name. Where
            // several sites share one machine, each has loopback addresses of its own.
            if is_loopback(ip) && chosen.is_empty() {
                Arc::clone(host_name)
            } else {
                End { ip, port: 0 }.address().to_string().into()
            }
        };
        self.edges.open(from, to, name, &told)
    }

    /// The service at the other end, if that is on this host.
    fn other_end(
        &mut self,
        seen: &Seen,
        tuple: Tuple,
        direction: Direction,
    ) -> Option<Arc<Service>> {
        let other = self.connections.get(&tuple.other_side());
        let known = other.and_then(|other| other.process.as_ref()?.service.clone());
        if known.is_some() || direction == Direction::Inbound {
            return known;
        }
        if !self.is_here(seen) {
            return self.learned.get(&seen.remote).cloned();
        }
        self.listener(seen.netns, seen.remote).and_then(|process| process.service.clone())
    }

    /// The side that connected was seen first. Where it could not know that the other end is a service
    /// of this host, its connection now counts for the right edge, and the next one will at once.
    fn correct_other_side(
        &mut self,
        tuple: Tuple,
        edge: Option<EdgeRef>,
        process: Option<&Arc<Process>>,
        at: Millis,
    ) {
        let Some(other) = self.connections.get_mut(&tuple.other_side()) else { return };
        let (Some(right), Some(wrong)) = (edge, other.edge) else { return };
        if right == wrong {
            return;
        }
        other.edge = Some(right);
        self.edges.open_again(right, tuple.local.port, at);
        self.edges.close(wrong, tuple.local.port, at);
        if let Some(service) = process.and_then(|process| process.service.as_ref()) {
            if self.learned.len() >= MAX_LEARNED {
                self.learned.clear();
            }
            self.learned.insert(tuple.local, Arc::clone(service));
        }
    }

    /// Whether the other end of what was seen is this host.
    fn is_here(&self, seen: &Seen) -> bool {
        if !self.addresses.is_empty() {
            return self.addresses.contains(&seen.remote.ip);
        }
        seen.remote.ip == seen.local.ip
            || is_loopback(seen.remote.ip)
            || self.own.contains(&seen.remote.ip)
    }

    fn close(&mut self, seen: &Seen) {
        let tuple = Tuple::of(seen);
        let Some(connection) = self.connections.remove(&tuple) else {
            self.counters.close_unknown += 1;
            let process = self.owner(seen);
            self.row(seen, None, process, false);
            return;
        };
        if let Some(edge) = connection.edge {
            self.edges.close(edge, connection.server_port(&tuple), seen.at);
        }
        let mut seen = *seen;
        if seen.boot_ns != 0 && connection.opened_ns != 0 {
            seen.duration_ns = Some(seen.boot_ns.saturating_sub(connection.opened_ns));
        }
        self.row(&seen, Some(connection.direction), connection.process, connection.hidden);
    }

    fn owner(&mut self, seen: &Seen) -> Option<Arc<Process>> {
        match &seen.owner {
            Owner::Kernel(told) => Some(self.processes.of_kernel(told)),
            Owner::Pid(pid) => self.processes.of_pid(*pid),
            Owner::NotTold | Owner::Hidden => None,
        }
    }

    /// The process that listens at `end`; of several the one that began to last.
    fn listener(&self, netns: u32, end: End) -> Option<Arc<Process>> {
        std::iter::once(end)
            .chain(wildcards(end))
            .find_map(|end| self.listeners.get(&(netns, end)))
            .and_then(|listener| listener.held.iter().rev().find_map(|held| held.process.clone()))
    }

    /// A listener at every address, of which only some are asked for, took a connection at one of
    /// those.
    fn show_listener(&mut self, seen: &Seen) {
        if self.addresses.is_empty() {
            return;
        }
        let is_unshown = |listener: &Listener| !listener.shown;
        let unshown = wildcards(seen.local)
            .map(|end| (seen.netns, end))
            .find(|place| self.listeners.get(place).is_some_and(is_unshown));
        let Some(listener) = unshown.and_then(|place| self.listeners.get_mut(&place)) else {
            return;
        };
        listener.shown = true;
        let address = [seen.local.address().to_string().into()];
        for held in &listener.held {
            if let Some(process) = &held.process {
                let (services, port) = (&mut self.edges.services, seen.local.port);
                services.listen(held.id, process, &address, port, seen.at);
            }
        }
    }

    /// Takes up what the addresses of other namespaces are, and tells them of those that listen at all of
    /// them: a listener may have been seen before its namespace was.
    fn learn_addresses(&mut self, listing: &Listing) {
        let end = |ip: &IpAddr| End::new(*ip, 0).ip;
        let known = |ips: &Vec<IpAddr>| ips.iter().map(end).collect::<Vec<_>>();
        let elsewhere = listing.elsewhere.iter().map(|(&netns, ips)| (netns, known(ips)));
        let before = std::mem::replace(&mut self.elsewhere, elsewhere.collect());
        let news = |netns: &u32| before.get(netns) != self.elsewhere.get(netns);
        for ((netns, local), listener) in self.listeners.iter() {
            let at_all = local.ip == 0 || local.ip == ANY_IPV4;
            if at_all && listener.shown && news(netns) && self.elsewhere.contains_key(netns) {
                let addresses = self.reachable_at(*netns, local.ip);
                for held in &listener.held {
                    if let Some(process) = &held.process {
                        let services = &mut self.edges.services;
                        services.reached_at(held.id, process, &addresses, listing.at);
                    }
                }
            }
        }
    }

    /// The addresses at which a listener at `ip` in a namespace is reached, as far as they are known.
    fn reachable_at(&self, netns: u32, ip: u128) -> Vec<Box<str>> {
        let text = |ip: u128| End { ip, port: 0 }.address().to_string().into();
        if ip != 0 && ip != ANY_IPV4 {
            return vec![text(ip)];
        }
        let is_own = self.own_netns == 0 || netns == 0 || netns == self.own_netns;
        let mut addresses: Vec<u128> = match (is_own, self.elsewhere.get(&netns)) {
            (true, _) => self.own.iter().copied().collect(),
            (false, known) => known.cloned().unwrap_or_default(),
        };
        addresses.retain(|&own| !is_loopback(own));
        addresses.retain(|&own| ip == 0 || own >> 32 == ANY_IPV4 >> 32);
        // Those that mean the same everywhere first: there is room for 16.
        addresses.sort_unstable_by_key(|&ip| (is_private(ip), ip));
        addresses.into_iter().map(text).collect()
    }

    fn row(
        &mut self,
        seen: &Seen,
        direction: Option<Direction>,
        process: Option<Arc<Process>>,
        hidden: bool,
    ) {
        if self.drafts.len() >= MAX_DRAFTS {
            self.write_rows();
        }
        self.drafts.push(Draft { seen: *seen, direction, process, hidden });
    }
}

fn closed(
    what: Happening,
    local: End,
    remote: End,
    netns: u32,
    at: Millis,
    source: Source,
) -> Seen {
    let owner = Owner::NotTold;
    let (boot_ns, duration_ns, bytes) = (0, None, None);
    let socket = None;
    Seen { what, at, boot_ns, local, remote, netns, owner, socket, duration_ns, bytes, source }
}

/// `0.0.0.0` as an IPv4-mapped address.
const ANY_IPV4: u128 = 0xffff_0000_0000;

/// The listening ends that also take connections to `end`.
fn wildcards(end: End) -> impl Iterator<Item = End> {
    let is_ipv4 = end.ip >> 32 == ANY_IPV4 >> 32;
    let any = |ip| End { ip, port: end.port };
    is_ipv4.then_some(any(ANY_IPV4)).into_iter().chain(std::iter::once(any(0)))
}

/// Whether an address may mean another machine elsewhere.
fn is_private(ip: u128) -> bool {
    AddressScope::of(End { ip, port: 0 }.address()) != AddressScope::Global
}

/// 127.0.0.0/8 (RFC 1122 §3.2.1.3) or ::1.
fn is_loopback(ip: u128) -> bool {
    ip == 1 || ip >> 24 == (ANY_IPV4 | 127 << 24) >> 24
}
