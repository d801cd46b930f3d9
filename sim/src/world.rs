//! The world: nodes, what flies between them, and what happens next.

mod connections;
mod faults;
mod sessions;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use holm_mesh_proto::wire::{Hello, MeshId, PROTOCOL_VERSION};
use holm_mesh_proto::{Action, Event, MemberId, MeshNode, NodeConfig, Now, PeerKey, Target};
use holm_model::{DocId, DocVersion, Millis, SiteId, TenantId};
use rand::RngExt;

use crate::chance::Chance;
use crate::clocks::RawClock;
use crate::geo::Globe;
use crate::keys::{SimKeys, node_name};
use crate::plan::{Act, Broken, Plan};
use crate::queue::Queue;
use crate::store::{Grants, Hash, SimStore};
use crate::watch::Watch;
use crate::wire::{Bytes, Connection, Ways};
pub(crate) use faults::doc;
use sessions::Talk;

/// The wall clock when a world begins.
pub(crate) const WALL_MS: u64 = 1_800_000_000_000;
/// How often a node holds a lease, as the real one does.
const LEASE_US: u64 = 1_000_000;

/// One site's node.
pub struct Site {
    /// The machine.
    pub node: MeshNode,
    /// Its documents.
    pub store: SimStore,
    /// Whether it runs.
    pub up: bool,
    /// Whether it lies.
    pub byzantine: bool,
    pub(crate) ahead_ms: i64,
    /// When its wall clock was last set.
    pub(crate) set_us: u64,
    /// The latest time as of which it held a lease.
    pub(crate) held: Millis,
    pub(crate) clock: RawClock,
    slow_us: u64,
    /// Grows with every start: events of an earlier life are void.
    life: u32,
    pub(crate) active: BTreeMap<usize, u64>,
    /// Frames that the byzantine saw or sent, to use again.
    pub(crate) captured: Vec<Bytes>,
}

pub(crate) enum Due {
    Accepted { node: usize, life: u32, connection: u64 },
    Act(Act),
    Closed { connection: u64, side: usize },
    Deliver { connection: u64, side: usize, frame: Bytes },
    Dialled { node: usize, life: u32, target: Target, to: usize },
    Event { node: usize, life: u32, event: Box<Event> },
    Lease { node: usize, life: u32 },
    Malice { node: usize, life: u32 },
    Retry { connection: u64, side: usize },
    Stream { session: u64, side: usize, frames: Vec<Vec<u8>> },
    StreamCheck { session: u64 },
    Synced { node: usize, life: u32, written: Box<Written> },
    Tick { node: usize, life: u32 },
    Write { node: usize },
}

pub(crate) struct Written {
    pub(crate) tenant: TenantId,
    pub(crate) doc: DocId,
    pub(crate) hash: Hash,
    pub(crate) withdrew: Option<Hash>,
    pub(crate) version: DocVersion,
}

/// Everything, deterministic by its seed.
pub struct World {
    /// Virtual time since the beginning.
    pub now_us: u64,
    /// The nodes, by index.
    pub sites: Vec<Site>,
    /// Who stands where.
    pub globe: Globe,
    /// What was seen.
    pub watch: Watch,
    /// The tenant of all.
    pub tenant: TenantId,
    /// The tenant that not all may have.
    pub closed: Option<TenantId>,
    pub(crate) plan: Plan,
    pub(crate) grants: Arc<Grants>,
    pub(crate) chance: Chance,
    pub(crate) ways: Ways,
    pub(crate) writing: bool,
    queue: Queue<Due>,
    index: HashMap<PeerKey, usize>,
    connections: HashMap<u64, Connection>,
    talks: HashMap<u64, Talk>,
    next_connection: u64,
    next_talk: u64,
}

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(plan: Plan, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut globe = Globe::new();
        (0..plan.sites).for_each(|_| globe.place(&mut chance.place));
        let (tenant, closed) = tenants(&plan);
        let mut grants = Grants::default();
        grants.open(tenant.clone());
        if let Some(closed) = &closed {
            let inside = (0..plan.sites).filter(|site| !plan.outsiders.contains(site));
            grants.close(closed.clone(), inside.map(site_id).collect());
        }
        if plan.broken == Some(Broken::StrayTenant) {
            grants.open(named_tenant("stray"));
            grants.open(named_tenant("stray-too"));
        }
        let mortal = mortals(&plan);
        let mut world = Self {
            now_us: 0,
            sites: Vec::new(),
            globe,
            watch: Watch::new(plan.sites, mortal, closed.as_ref()),
            tenant,
            closed,
            grants: Arc::new(grants),
            chance,
            ways: Ways::default(),
            writing: true,
            queue: Queue::default(),
            index: (0..plan.sites).map(|site| (key(site), site)).collect(),
            connections: HashMap::new(),
            talks: HashMap::new(),
            next_connection: 0,
            next_talk: 0,
            plan,
        };
        for site in 0..world.plan.sites {
            let made = world.make_site(site);
            world.sites.push(made);
        }
        world.preload();
        for site in 0..world.plan.sites {
            if !world.plan.absent.contains(&site) {
                world.start(site);
            }
        }
        for (at_ms, act) in world.plan.acts.clone() {
            let at_us = (world.plan.warmup_ms + at_ms) * 1_000;
            world.queue.push(at_us, Due::Act(act));
        }
        world.plan_writes();
        world
    }

    /// Lets virtual time pass.
    pub fn run_until(&mut self, end_us: u64) {
        while let Some((at_us, due)) = self.queue.pop_until(end_us) {
            self.now_us = at_us;
            self.happen(due);
        }
        self.now_us = end_us;
    }

    /// Nodes that run and do not lie.
    pub fn honest(&self) -> impl Iterator<Item = (usize, &Site)> {
        self.sites.iter().enumerate().filter(|(_, site)| site.up && !site.byzantine)
    }

    /// Whether all honest nodes that run hold the same of what they may have.
    pub fn all_equal(&self) -> bool {
        [Some(&self.tenant), self.closed.as_ref()].into_iter().flatten().all(|tenant| {
            let may = |(index, _): &(usize, &Site)| self.grants.may(&site_id(*index), tenant);
            let mut sums = self.honest().filter(may).map(|(_, site)| site.store.sum(tenant));
            let first = sums.next();
            sums.all(|sum| Some(sum) == first)
        })
    }

    /// Whether every honest node that runs has at least `links` connections, or all that there can be. A
    /// liar's own break whenever it sends what cannot be read.
    pub fn all_linked(&self, links: usize) -> bool {
        let most = self.sites.iter().filter(|site| site.up).count().saturating_sub(1);
        self.honest().all(|(_, site)| site.active.len() >= links.min(most))
    }

    /// Nothing more is written, and the byzantine rest.
    pub fn stop_writing(&mut self) {
        self.writing = false;
    }

    /// The machines' own counters, summed over all that run.
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        let mut sums = BTreeMap::new();
        for (_, site) in self.honest() {
            for (name, count) in site.node.counters().all() {
                *sums.entry(name).or_default() += count;
            }
        }
        sums
    }

    /// Connections of each node that runs.
    pub fn links(&self) -> impl Iterator<Item = usize> {
        self.sites.iter().filter(|site| site.up).map(|site| site.active.len())
    }

    pub(crate) fn feed(&mut self, node: usize, event: Event) {
        let site = &mut self.sites[node];
        if !site.up {
            return;
        }
        let now_ms = self.now_us / 1_000;
        let wall = (WALL_MS + now_ms).saturating_add_signed(site.ahead_ms);
        let now = Now {
            mono_ms: now_ms,
            wall: Millis(wall),
            clock: site.clock.stamp(self.now_us, site.ahead_ms),
        };
        site.store.set_now(self.now_us);
        if let Event::Learned { version, .. } = &event {
            self.watch.visible(version, node, self.now_us);
        }
        for action in site.node.handle(event, now, &site.store) {
            self.act(node, action);
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Changed => {}
            Action::Dial { target, .. } => self.dial(node, target),
            Action::Disconnect { peer, .. } => {
                let peer = self.index.get(&peer).copied();
                if let Some(id) = peer.and_then(|peer| self.sites[node].active.get(&peer).copied())
                {
                    self.close(id, node);
                }
            }
            Action::Send { peer, message } => {
                if let Some(peer) = self.index.get(&peer).copied() {
                    self.send(node, peer, &message);
                }
            }
            Action::Sync { ticket, peer, tenant, scope } => {
                self.begin_talk(node, ticket, peer, tenant, scope);
            }
        }
    }

    fn happen(&mut self, due: Due) {
        self.note(&due);
        match due {
            Due::Accepted { node, life, connection } => self.accepted(node, life, connection),
            Due::Act(act) => self.befall(act),
            Due::Closed { connection, side } => self.closed_by_peer(connection, side),
            Due::Deliver { connection, side, frame } => self.deliver(connection, side, frame),
            Due::Dialled { node, life, target, to } => {
                if self.lives(node, life) {
                    self.dialled(node, target, to);
                }
            }
            Due::Event { node, life, event } => {
                if self.lives(node, life) {
                    self.feed(node, *event);
                }
            }
            Due::Lease { node, life } => self.hold_lease(node, life),
            Due::Malice { node, life } => {
                if self.lives(node, life) {
                    self.misbehave(node, life);
                }
            }
            Due::Retry { connection, side } => self.retry(connection, side),
            Due::Stream { session, side, frames } => self.stream(session, side, frames),
            Due::StreamCheck { session } => self.check_talk(session),
            Due::Synced { node, life, written } => {
                if self.lives(node, life) {
                    self.acknowledge(node, *written);
                }
            }
            Due::Tick { node, life } => {
                if self.lives(node, life) {
                    self.feed(node, Event::Tick);
                    let pause_us = self.plan.timing.tick_ms * 1_000 + self.sites[node].slow_us;
                    self.after(pause_us, Due::Tick { node, life });
                }
            }
            Due::Write { node } => self.write(node),
        }
    }

    fn hold_lease(&mut self, node: usize, life: u32) {
        if !self.lives(node, life) {
            return;
        }
        let wall = (WALL_MS + self.now_us / 1_000).saturating_add_signed(self.sites[node].ahead_ms);
        let tenant = self.tenant.clone();
        self.sites[node].held = self.sites[node].held.max(Millis(wall));
        let untrue = node == 0 && self.plan.broken == Some(Broken::UntrueLease);
        let as_of = Millis(wall + if untrue { LEASE_US / 100 } else { 0 });
        self.feed(node, Event::LeaseHeld { tenant, as_of });
        self.after(LEASE_US, Due::Lease { node, life });
    }

    /// A node begins to run.
    fn start(&mut self, node: usize) {
        let tick_us = self.plan.timing.tick_ms * 1_000;
        let site = &mut self.sites[node];
        site.up = true;
        let life = site.life;
        let phase = self.chance.nodes.random_range(0..tick_us.max(1));
        if self.plan.formed && self.now_us == 0 {
            let others = (0..self.plan.sites).filter(|other| *other != node);
            let others = others.filter(|other| !self.plan.absent.contains(other));
            let members = others.map(|other| member(other, WALL_MS)).collect();
            self.feed(node, Event::Remembered { members });
        }
        self.after(phase, Due::Tick { node, life });
        if self.plan.leases {
            let phase = self.chance.nodes.random_range(0..LEASE_US);
            self.after(phase, Due::Lease { node, life });
        }
        if self.sites[node].byzantine {
            self.after(phase, Due::Malice { node, life });
        }
    }

    fn make_site(&mut self, site: usize) -> Site {
        let sync_us = self.plan.disk_ms * 1_000;
        let mut store = SimStore::new(site_id(site), self.grants.clone(), sync_us);
        store.resurrects = self.plan.broken == Some(Broken::Resurrection);
        Site {
            node: self.make_node(site, WALL_MS),
            store,
            up: false,
            byzantine: self.plan.byzantine.contains(&site),
            ahead_ms: 0,
            set_us: 0,
            held: Millis(0),
            clock: RawClock::draw(self.plan.drift_ppm, &mut self.chance.clocks),
            slow_us: 0,
            life: 0,
            active: BTreeMap::new(),
            captured: Vec::new(),
        }
    }

    fn make_node(&mut self, site: usize, generation: u64) -> MeshNode {
        // All know the first two, which know each other.
        let seeds = (0..2).filter(|seed| *seed != site).map(|seed| seed.to_string()).collect();
        let mut node = MeshNode::new(NodeConfig {
            me: member(site, generation),
            seeds,
            timing: self.plan.timing.clone(),
            random_seed: self.chance.nodes.random(),
        });
        node.sign_leases_with(Box::new(SimKeys(site)));
        node
    }

    fn hello(&self, from: usize, to: usize) -> Hello {
        let site = &self.sites[from];
        let me = site.node.me();
        let wall = (WALL_MS + self.now_us / 1_000).saturating_add_signed(site.ahead_ms);
        Hello {
            protocol_min: PROTOCOL_VERSION,
            protocol_max: PROTOCOL_VERSION,
            mesh_id: MeshId([7; 16]),
            site: me.site.clone(),
            node: me.node.clone(),
            addresses: me.addresses.clone(),
            api_port: me.api_port,
            generation: me.generation,
            known_generation: site.node.known_generation(key(to)),
            instance: u64::from(site.life),
            sent_at: Millis(wall),
        }
    }

    fn lives(&self, node: usize, life: u32) -> bool {
        self.sites[node].up && self.sites[node].life == life
    }

    pub(crate) fn after_us(&mut self, us: u64, due: Due) {
        self.after(us, due);
    }

    pub(crate) fn peers_of(&self, node: usize) -> Vec<usize> {
        self.sites[node].active.keys().copied().collect()
    }

    fn after(&mut self, us: u64, due: Due) {
        self.queue.push(self.now_us + us, due);
    }

    fn flight_us(&mut self, from: usize, to: usize) -> u64 {
        let slow = self.sites[from].slow_us + self.sites[to].slow_us;
        let mut us = self.globe.flight_us(from, to, &mut self.chance.flight) + slow;
        // A lost packet is sent again when its acknowledgement is overdue, and may be lost again.
        for _ in 0..6 {
            if self.ways.loss_permille == 0
                || self.chance.flight.random_range(0..1_000) >= self.ways.loss_permille
            {
                break;
            }
            us += self.globe.rtt_us(from, to) * 9 / 8 + 25_000;
        }
        us
    }

    fn note(&mut self, due: &Due) {
        let words: [u64; 3] = match due {
            Due::Accepted { node, connection, .. } => [1, *node as u64, *connection],
            Due::Act(_) => [2, 0, 0],
            Due::Closed { connection, side } => [3, *connection, *side as u64],
            Due::Deliver { connection, side, frame } => {
                let frame = checksum(frame);
                [4 + ((*side as u64) << 8), *connection, frame]
            }
            Due::Dialled { node, to, .. } => [5, *node as u64, *to as u64],
            Due::Event { node, .. } => [6, *node as u64, 0],
            Due::Lease { node, .. } => [7, *node as u64, 0],
            Due::Malice { node, .. } => [8, *node as u64, 0],
            Due::Retry { connection, side } => [9, *connection, *side as u64],
            Due::Stream { session, side, frames } => [
                10 + ((*side as u64) << 8),
                *session,
                frames.iter().fold(0, |sum, frame| checksum(frame).rotate_left(7) ^ sum),
            ],
            Due::StreamCheck { session } => [11, *session, 0],
            Due::Synced { node, .. } => [12, *node as u64, 0],
            Due::Tick { node, .. } => [13, *node as u64, 0],
            Due::Write { node } => [14, *node as u64, 0],
        };
        self.watch.trace.add(self.now_us);
        words.into_iter().for_each(|word| self.watch.trace.add(word));
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let word = |chunk: &[u8]| chunk.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    bytes.chunks(8).fold(bytes.len() as u64, |sum, chunk| {
        (sum.rotate_left(5) ^ word(chunk)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

/// The routing handle of a site's node.
pub(crate) fn key(site: usize) -> PeerKey {
    let mut bytes = [0; 34];
    bytes[..2].copy_from_slice(&[0x12, 0x20]);
    bytes[2..].copy_from_slice(blake3::hash(&site.to_be_bytes()).as_bytes());
    PeerKey(bytes)
}

pub(crate) fn member(site: usize, generation: u64) -> MemberId {
    let [.., high, low] = site.to_be_bytes();
    MemberId {
        site: site_id(site),
        node: node_name(),
        peer: key(site),
        addresses: vec![std::net::SocketAddr::from(([10, 0, high, low], 7400))],
        api_port: Some(8443),
        generation,
    }
}

pub(crate) fn site_id(site: usize) -> SiteId {
    SiteId::new(&format!("site-{site}")).unwrap_or_else(|_| unreachable!("a plain word is a name"))
}

fn tenants(plan: &Plan) -> (TenantId, Option<TenantId>) {
    let closed = (!plan.outsiders.is_empty()).then(|| named_tenant(crate::watch::CLOSED_TENANT));
    (named_tenant("acme"), closed)
}

fn named_tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap_or_else(|_| unreachable!("a plain word is a name"))
}

/// Sites that are not there all the time, or lie: what reaches them late is not the mesh's fault.
fn mortals(plan: &Plan) -> BTreeSet<usize> {
    let acts = plan.acts.iter().filter_map(|(_, act)| match act {
        Act::Crash(site) | Act::Join(site) | Act::Leave(site) | Act::Restart(site) => Some(*site),
        _ => None,
    });
    acts.chain(plan.byzantine.iter().copied()).chain(plan.absent.iter().copied()).collect()
}
