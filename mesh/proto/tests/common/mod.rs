//! A world of nodes in one thread: virtual time, seeded randomness, no I/O.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod store;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use holm_mesh_proto::sync::{Session, SyncPeer};
use holm_mesh_proto::wire::{Control, Frame, Hello, MeshId, PROTOCOL_VERSION, Sync};
use holm_mesh_proto::{
    Action, ClockStamp, DialOutcome, Event, MemberId, MemberState, MeshNode, NodeConfig, Now,
    PeerKey, SyncReport, Target, Timing,
};
use holm_model::{Millis, NodeName, SiteId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
pub use store::{FakeStore, doc, tenant};

pub const WALL: u64 = 1_800_000_000_000;

pub struct SimNode {
    pub node: MeshNode,
    pub store: FakeStore,
    pub up: bool,
    pub skew_ms: i64,
    /// What its raw clock showed when the world began.
    raw_base_ns: u64,
    group: usize,
}

#[derive(Debug)]
enum Due {
    Deliver {
        from: usize,
        to: usize,
        message: Control,
    },
    Dialled {
        from: usize,
        target: Target,
    },
    Session {
        from: usize,
        to: usize,
        ticket: u64,
        tenant: holm_model::TenantId,
        scope: holm_mesh_proto::Scope,
    },
    Tick(usize),
}

pub struct World {
    pub nodes: Vec<SimNode>,
    pub now_ms: u64,
    pub hint_loss_percent: u32,
    pub duplicate_percent: u32,
    pub trace: blake3::Hasher,
    pub sync_bytes: u64,
    pub reports: Vec<SyncReport>,
    links: BTreeSet<(usize, usize)>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    due: BTreeMap<u64, Due>,
    order: u64,
    rng: StdRng,
    timing: Timing,
}

pub fn key(index: usize) -> PeerKey {
    let mut bytes = [0; 34];
    bytes[..2].copy_from_slice(&[0x12, 0x20]);
    bytes[2..].copy_from_slice(blake3::hash(&index.to_be_bytes()).as_bytes());
    PeerKey(bytes)
}

impl World {
    pub fn new(count: usize, seed: u64) -> Self {
        let mut world = Self {
            nodes: Vec::new(),
            now_ms: 0,
            hint_loss_percent: 0,
            duplicate_percent: 0,
            trace: blake3::Hasher::new(),
            sync_bytes: 0,
            reports: Vec::new(),
            links: BTreeSet::new(),
            queue: BinaryHeap::new(),
            due: BTreeMap::new(),
            order: 0,
            rng: StdRng::seed_from_u64(seed),
            timing: Timing::quick(),
        };
        for index in 0..count {
            let node = world.make(index, WALL);
            let store = FakeStore::with_tenants(&["acme"]);
            let raw_base_ns = 1 + index as u64 * 1_000_000_007;
            world.nodes.push(SimNode { node, store, up: true, skew_ms: 0, raw_base_ns, group: 0 });
            world.at(index as u64, Due::Tick(index));
        }
        world
    }

    fn make(&mut self, index: usize, generation: u64) -> MeshNode {
        // Everyone knows the first node and nobody else.
        let seeds = if index == 0 { vec![] } else { vec!["0".to_owned()] };
        MeshNode::new(NodeConfig {
            me: MemberId {
                site: SiteId::new(&format!("site-{index}")).expect("valid"),
                node: NodeName::new("a").expect("valid"),
                peer: key(index),
                addresses: vec![
                    format!("10.0.{}.{}:1", index / 250, index % 250).parse().expect("valid"),
                ],
                api_port: Some(8443),
                generation,
            },
            seeds,
            timing: self.timing.clone(),
            random_seed: self.rng.random(),
        })
    }

    pub fn run_for(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(Reverse((at, order))) = self.queue.peek().copied() {
            if at > end {
                break;
            }
            self.queue.pop();
            self.now_ms = at;
            if let Some(due) = self.due.remove(&order) {
                self.trace.update(format!("{at} {due:?}").as_bytes());
                self.happen(due);
            }
        }
        self.now_ms = end;
    }

    /// Runs until `done` or until `limit_ms` passed; how long it took.
    pub fn run_until(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> Option<u64> {
        let start = self.now_ms;
        while self.now_ms - start < limit_ms {
            if done(self) {
                return Some(self.now_ms - start);
            }
            self.run_for(10);
        }
        done(self).then_some(limit_ms)
    }

    pub fn write(&mut self, index: usize, number: u64, text: &str) {
        let at = WALL + self.now_ms;
        let version =
            self.nodes[index].store.write(&tenant("acme"), doc(number), at, text.as_bytes());
        self.event(index, Event::Published(version));
    }

    /// Nodes of different groups cannot reach each other; links between them break.
    pub fn partition(&mut self, group_of: impl Fn(usize) -> usize) {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            node.group = group_of(index);
        }
        self.drop_broken_links();
    }

    pub fn stop(&mut self, index: usize) {
        self.nodes[index].up = false;
        self.drop_broken_links();
    }

    pub fn restart(&mut self, index: usize, generation: u64) {
        self.nodes[index].node = self.make(index, generation);
        self.nodes[index].up = true;
        self.at(self.now_ms, Due::Tick(index));
    }

    pub fn all_equal(&self) -> bool {
        let first = self.nodes[0].store.digest();
        self.nodes.iter().all(|node| node.store.digest() == first)
    }

    pub fn all_see_all_alive(&self) -> bool {
        let others = self.nodes.len() - 1;
        self.nodes.iter().all(|node| {
            let members = node.node.members();
            members.len() == others && members.iter().all(|m| m.state == MemberState::Alive)
        })
    }

    pub fn event(&mut self, index: usize, event: Event) {
        let node = &mut self.nodes[index];
        let wall = (WALL + self.now_ms).saturating_add_signed(node.skew_ms);
        let raw_ns = node.raw_base_ns + self.now_ms * 1_000_000;
        let ahead_ns = (wall * 1_000_000).cast_signed() - raw_ns.cast_signed();
        let clock = ClockStamp::new(raw_ns, ahead_ns);
        let now = Now { mono_ms: self.now_ms, wall: Millis(wall), clock };
        let actions = node.node.handle(event, now, &node.store);
        for action in actions {
            self.act(index, action);
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Tick(index) => {
                if self.nodes[index].up {
                    self.event(index, Event::Tick);
                    self.at(self.now_ms + self.timing.tick_ms, Due::Tick(index));
                }
            }
            Due::Deliver { from, to, message } => {
                if self.linked(from, to) {
                    self.event(to, Event::Received { peer: key(from), message });
                }
            }
            Due::Dialled { from, target } => self.dialled(from, target),
            Due::Session { from, to, ticket, tenant, scope } => {
                let result = self.session(from, to, tenant, scope);
                self.event(from, Event::SyncFinished { ticket, result });
            }
        }
    }

    fn act(&mut self, index: usize, action: Action) {
        match action {
            Action::Changed => {}
            Action::Disconnect { peer, .. } => {
                let other = self.index(peer);
                self.unlink(index, other);
            }
            Action::Dial { target, .. } => {
                let at = self.now_ms + 2 * self.latency();
                self.at(at, Due::Dialled { from: index, target });
            }
            Action::Send { peer, message } => {
                let to = self.index(peer);
                let is_hint = matches!(
                    message,
                    Control::Gossip { .. } | Control::Have(_) | Control::Stored(_)
                );
                if is_hint && self.rng.random_range(0..100) < self.hint_loss_percent {
                    return;
                }
                // What is sent must survive the wire.
                let frame = message.to_frame().expect("our own message is within limits");
                let message = Control::from_bytes(&frame[4..]).expect("decodes");
                let copies =
                    if self.rng.random_range(0..100) < self.duplicate_percent { 2 } else { 1 };
                for _ in 0..copies {
                    let at = self.now_ms + self.latency();
                    self.at(at, Due::Deliver { from: index, to, message: message.clone() });
                }
            }
            Action::Sync { ticket, peer, tenant, scope } => {
                let to = self.index(peer);
                let at = self.now_ms + 6 * self.latency();
                self.at(at, Due::Session { from: index, to, ticket, tenant, scope });
            }
        }
    }

    fn dialled(&mut self, from: usize, target: Target) {
        let to = match &target {
            Target::Peer(peer) => self.index(*peer),
            Target::Seed(seed) => seed.parse().expect("seeds are indices"),
        };
        let outcome = if to == from {
            DialOutcome::Myself
        } else if self.linked(from, to) {
            DialOutcome::AlreadyConnected(key(to))
        } else if !self.reachable(from, to) {
            DialOutcome::Failed("no answer".to_owned())
        } else {
            self.links.insert((from.min(to), from.max(to)));
            let (mine, theirs) = (self.hello(from, to), self.hello(to, from));
            self.event(
                from,
                Event::Connected { peer: key(to), hello: theirs, target: Some(target) },
            );
            self.event(to, Event::Connected { peer: key(from), hello: mine, target: None });
            return;
        };
        self.event(from, Event::DialEnded { target, outcome });
    }

    /// Runs a whole session at one moment of virtual time.
    fn session(
        &mut self,
        from: usize,
        to: usize,
        tenant: holm_model::TenantId,
        scope: holm_mesh_proto::Scope,
    ) -> Result<SyncReport, String> {
        if !self.linked(from, to) {
            return Err("not connected".to_owned());
        }
        let peer = |index: usize| SyncPeer {
            site: self.nodes[index].node.me().site.clone(),
            name: format!("node {index}"),
        };
        let (a, b) = (&self.nodes[from].store, &self.nodes[to].store);
        let mut first = Session::initiate(peer(to), tenant, scope, a).map_err(|e| e.to_string())?;
        let mut second = Session::respond(peer(from));
        let mut bytes = 0;
        run_sessions(&mut first, a, &mut second, b, |message| {
            bytes += message.to_frame().expect("within limits").len() as u64;
        })?;
        self.sync_bytes += bytes;
        self.reports.push(first.report().clone());
        for version in first.take_learned() {
            self.event(from, Event::Learned { version, from: key(to) });
        }
        for version in second.take_learned() {
            self.event(to, Event::Learned { version, from: key(from) });
        }
        Ok(first.report().clone())
    }

    fn hello(&self, from: usize, to: usize) -> Hello {
        let node = &self.nodes[from].node;
        let me = node.me();
        Hello {
            protocol_min: PROTOCOL_VERSION,
            protocol_max: PROTOCOL_VERSION,
            mesh_id: MeshId([7; 16]),
            site: me.site.clone(),
            node: me.node.clone(),
            addresses: me.addresses.clone(),
            api_port: me.api_port,
            generation: me.generation,
            known_generation: node.known_generation(key(to)),
            instance: from as u64,
            sent_at: Millis((WALL + self.now_ms).saturating_add_signed(self.nodes[from].skew_ms)),
        }
    }

    fn reachable(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.nodes[a], &self.nodes[b]);
        a.up && b.up && a.group == b.group
    }

    fn linked(&self, a: usize, b: usize) -> bool {
        self.links.contains(&(a.min(b), a.max(b)))
    }

    fn unlink(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a.min(b), a.max(b))) {
            for (index, peer) in [(a, b), (b, a)] {
                if self.nodes[index].up {
                    self.event(index, Event::Disconnected { peer: key(peer) });
                }
            }
        }
    }

    fn drop_broken_links(&mut self) {
        let broken: Vec<_> =
            self.links.iter().copied().filter(|(a, b)| !self.reachable(*a, *b)).collect();
        for (a, b) in broken {
            self.unlink(a, b);
        }
    }

    fn index(&self, peer: PeerKey) -> usize {
        (0..self.nodes.len()).find(|index| key(*index) == peer).expect("a key of this world")
    }

    fn latency(&mut self) -> u64 {
        self.rng.random_range(3..12)
    }

    fn at(&mut self, at_ms: u64, due: Due) {
        self.order += 1;
        self.queue.push(Reverse((at_ms, self.order)));
        self.due.insert(self.order, due);
    }
}

/// Lets two sides of a session talk to the end.
pub fn run_sessions(
    first: &mut Session,
    first_store: &FakeStore,
    second: &mut Session,
    second_store: &FakeStore,
    mut each: impl FnMut(&Sync),
) -> Result<(), String> {
    for _ in 0..100_000 {
        let mut spoke = false;
        while let Some(message) = first.poll_transmit(first_store) {
            each(&message);
            spoke = true;
            second.handle(message, second_store).map_err(|e| e.to_string())?;
        }
        while let Some(message) = second.poll_transmit(second_store) {
            each(&message);
            spoke = true;
            first.handle(message, first_store).map_err(|e| e.to_string())?;
        }
        if first.is_done() && second.is_done() {
            return Ok(());
        }
        if !spoke {
            return Err("both sides wait".to_owned());
        }
    }
    Err("endless".to_owned())
}
