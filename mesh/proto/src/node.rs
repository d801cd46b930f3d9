//! The machine as a whole: takes events, gives actions, and keeps what a node knows of its mesh.

mod clocks;
mod conflicts;
mod fetches;
mod footprint;
mod forgotten;
mod hints;
mod leases;
mod links;
mod overlay;
mod quota;
mod sealed;
mod wide;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use holm_model::{DocVersion, Millis, NodeName, SiteId, TenantId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::broadcast::Broadcast;
use crate::clock_bounds::Wall;
use crate::dial::Dialer;
use crate::leases::Leases;
use crate::member::{Membership, Outcome};
use crate::proofs::Proofs;
use crate::schedule::Schedule;
use crate::wire::{Control, Hello, MAX_RELAYS, OLDEST_PROTOCOL, PROTOCOL_VERSION};
use crate::{
    ConflictView, Counters, DialOutcome, DocumentStore, LeaseKeys, LeaseView, MemberId, Now,
    PeerKey, Scope, SyncReport, SyncView, Target, Timing,
};
use conflicts::Conflicts;
use fetches::Fetches;
pub use footprint::Footprint;
use forgotten::Forgotten;
pub use forgotten::Gone;
use hints::KnownVersions;
use links::Link;
use overlay::Overlay;

/// What a node is, and how quick.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// This node as the others shall know it. Its generation must grow with every start: the wall
    /// clock in milliseconds does, and where it does not, peers say so and the node takes a larger one.
    pub me: MemberId,
    /// Seed addresses, `host:port`.
    pub seeds: Vec<String>,
    /// Intervals.
    pub timing: Timing,
    /// Seed of every random choice: same seed, same events, same actions.
    pub random_seed: u64,
}

/// Something happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A connection stands; its Hello was judged and its certificate names what the Hello says.
    Connected {
        /// Who.
        peer: PeerKey,
        /// What it said.
        hello: Hello,
        /// The dial that led to it, if it was ours.
        target: Option<Target>,
    },
    /// A dial ended without a new connection.
    DialEnded {
        /// Which.
        target: Target,
        /// How.
        outcome: DialOutcome,
    },
    /// The connection is gone.
    Disconnected {
        /// Whose.
        peer: PeerKey,
    },
    /// A node was found on the local network; nothing is known of it but this.
    Discovered {
        /// What it says its key is; the dial checks it.
        peer: PeerKey,
        /// Where.
        addresses: Vec<SocketAddr>,
    },
    /// A second live node showed the key of a node that is connected, or of this one.
    Doubled {
        /// The key.
        peer: PeerKey,
        /// The site that goes with it.
        site: SiteId,
        /// The node that goes with it.
        node: NodeName,
        /// How that is known: `the second at …`, or which node says so.
        seen: String,
    },
    /// A reconciliation brought a version that is new here.
    Learned {
        /// The version.
        version: DocVersion,
        /// From whom.
        from: PeerKey,
    },
    /// Sites and nodes that are gone for good, all that there are: they are listed and looked for no
    /// longer, until they come with a later generation.
    Forgotten(Vec<Gone>),
    /// This node leaves on purpose.
    Leaving,
    /// This node holds a lease.
    LeaseHeld {
        /// For which tenant.
        tenant: TenantId,
        /// As of when.
        as_of: Millis,
    },
    /// Replication stops (own certificate ended) or goes on.
    Paused(bool),
    /// Nodes of this mesh that were known before this start: they are looked for like those of which
    /// others tell, so that a node comes back even when its seeds do not.
    Remembered {
        /// Who.
        members: Vec<MemberId>,
    },
    /// A local document changed.
    Published(DocVersion),
    /// A control message came.
    Received {
        /// From whom.
        peer: PeerKey,
        /// What.
        message: Control,
    },
    /// A reconciliation ended.
    SyncFinished {
        /// That of [`Action::Sync`].
        ticket: u64,
        /// What it did, or why it failed.
        result: Result<SyncReport, String>,
    },
    /// Relays that keep a place for this node: told with its leases, so that whoever wants to reach it
    /// finds one. Empty: it is reached without, or by none.
    Relays(Vec<PeerKey>),
    /// Nodes that this one relays for, either end of a circuit: their connections are kept, however many
    /// others there are.
    Served(Vec<PeerKey>),
    /// Roots, issuers or revocations changed: signers of leases are judged anew.
    TrustChanged,
    /// Time passed; at least every [`Timing::tick_ms`].
    Tick,
}

/// Something is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// What [`MeshNode`] can be asked about changed in more than a number.
    Changed,
    /// Dial; ends with [`Event::Connected`] or [`Event::DialEnded`].
    Dial {
        /// For whom.
        target: Target,
        /// Where a peer can be reached; empty for a seed, which carries its own address.
        addresses: Vec<SocketAddr>,
    },
    /// Close the connection.
    Disconnect {
        /// Whose.
        peer: PeerKey,
        /// Why, for the peer and the log.
        reason: &'static str,
    },
    /// Send on the peer's control stream.
    Send {
        /// To whom.
        peer: PeerKey,
        /// What.
        message: Control,
    },
    /// Run a [`crate::sync::Session`] as initiator; ends with [`Event::SyncFinished`].
    Sync {
        /// Comes back in the event.
        ticket: u64,
        /// With whom.
        peer: PeerKey,
        /// Which tenant.
        tenant: TenantId,
        /// Which documents.
        scope: Scope,
    },
}

/// One node's view of its mesh, and what it does about it.
pub struct MeshNode {
    timing: Timing,
    rng: StdRng,
    membership: Membership,
    leases: Leases,
    proofs: Proofs,
    lease_keys: Option<Box<dyn LeaseKeys>>,
    broadcast: Broadcast,
    dialer: Dialer,
    schedule: Schedule,
    links: BTreeMap<PeerKey, Link>,
    last_heard: BTreeMap<PeerKey, Millis>,
    last_sync: BTreeMap<PeerKey, SyncView>,
    discovered: BTreeMap<PeerKey, Vec<SocketAddr>>,
    /// Datagrams for members without a connection, and until when one is wanted for them.
    demand: BTreeMap<PeerKey, links::Demand>,
    overlay: Overlay,
    /// Nodes that this one relays for.
    served: BTreeSet<PeerKey>,
    /// Neighbours that fell silent or went without a word, and when.
    lost: BTreeMap<PeerKey, u64>,
    next_leases_ms: u64,
    leases_due_ms: u64,
    conflicts: Conflicts,
    forgotten: Forgotten,
    known: KnownVersions,
    fetches: Fetches,
    paused: bool,
    /// The latest protocol version that this node speaks.
    protocol_max: u32,
    /// The time of the latest event.
    latest: Option<Now>,
    /// Our own wall clock.
    wall: Option<Wall>,
    counters: Counters,
}

impl MeshNode {
    /// A node that knows nobody yet.
    pub fn new(config: NodeConfig) -> Self {
        let mut rng = StdRng::seed_from_u64(config.random_seed);
        let swim_rng = StdRng::seed_from_u64(rng.random());
        Self {
            membership: Membership::new(config.me, &config.timing, swim_rng),
            leases: Leases::default(),
            proofs: Proofs::default(),
            lease_keys: None,
            broadcast: Broadcast::new(config.timing.graft_ms),
            dialer: Dialer::new(&config.seeds, &config.timing),
            schedule: Schedule::new(),
            overlay: Overlay::new(&config.timing),
            served: BTreeSet::new(),
            lost: BTreeMap::new(),
            next_leases_ms: 0,
            leases_due_ms: 0,
            timing: config.timing,
            rng,
            links: BTreeMap::new(),
            last_heard: BTreeMap::new(),
            last_sync: BTreeMap::new(),
            discovered: BTreeMap::new(),
            demand: BTreeMap::new(),
            conflicts: Conflicts::default(),
            forgotten: Forgotten::default(),
            known: KnownVersions::default(),
            fetches: Fetches::default(),
            paused: false,
            protocol_max: PROTOCOL_VERSION,
            latest: None,
            wall: None,
            counters: Counters::default(),
        }
    }

    /// Takes one event at one time. `store` is asked only which tenants there are and who may have
    /// them.
    pub fn handle(&mut self, event: Event, now: Now, store: &dyn DocumentStore) -> Vec<Action> {
        let mut out = Vec::new();
        self.look_at_clock(now);
        match event {
            Event::Connected { peer, hello, target } => {
                self.connected(peer, hello, target.as_ref(), now, store, &mut out);
            }
            Event::DialEnded { target, outcome } => {
                self.dialer.ended(&target, &outcome, now.mono_ms, &mut self.rng);
                self.counters.count("dials_failed");
                if matches!(outcome, DialOutcome::Failed(_)) {
                    self.dial_failed(&target, now, &mut out);
                }
                out.push(Action::Changed);
            }
            Event::Disconnected { peer } => self.disconnected(peer, now, &mut out),
            Event::Discovered { peer, addresses } => self.discovered(peer, addresses),
            Event::Doubled { peer, site, node, seen } => {
                self.conflicts.doubled(peer, &site, &node, &seen, now.wall);
                out.push(Action::Changed);
            }
            Event::Forgotten(all) => self.forget(all, now, &mut out),
            Event::Learned { version, from } => self.learned(version, from, store, &mut out),
            Event::Leaving => {
                let outcome = self.membership.leave(now.mono_ms);
                self.carry_out(outcome, now, &mut out);
            }
            Event::LeaseHeld { tenant, as_of } => {
                let me = self.membership.me();
                let who = (me.site.clone(), me.node.clone(), me.generation);
                self.leases.hold(who, tenant, as_of);
            }
            Event::Paused(paused) => {
                if self.paused && !paused {
                    self.dialer.reset_waits(now.mono_ms);
                }
                self.paused = paused;
                out.push(Action::Changed);
            }
            Event::Published(version) => self.published(version, store, &mut out),
            Event::Remembered { members } => {
                // They come first: a mesh that starts anew must not fall upon its seeds.
                self.dialer.seeds_later(now.mono_ms, &mut self.rng);
                let outcome = self.membership.remember(members, now.mono_ms);
                self.carry_out(outcome, now, &mut out);
            }
            Event::Received { peer, message } => {
                self.received(peer, message, now, store, &mut out);
            }
            Event::SyncFinished { ticket, result } => {
                self.sync_finished(ticket, result, now, &mut out);
            }
            Event::Relays(mut relays) => {
                relays.truncate(MAX_RELAYS);
                self.leases.set_relays(relays);
            }
            Event::Served(peers) => {
                self.served = peers.into_iter().take(links::MAX_LINKS).collect()
            }
            Event::TrustChanged => self.proofs.judge_anew(),
            Event::Tick => self.tick(now, store, &mut out),
        }
        out
    }

    /// Speaks at most this version of the protocol, while others of the mesh speak no later one: at
    /// least [`OLDEST_PROTOCOL`]. Say it before the first event.
    pub fn speak_at_most(&mut self, version: u32) {
        self.protocol_max = version.clamp(OLDEST_PROTOCOL, PROTOCOL_VERSION);
    }

    /// The versions that this node speaks, for its Hello.
    pub const fn protocol(&self) -> (u32, u32) {
        (OLDEST_PROTOCOL, self.protocol_max)
    }

    /// This node as the others know it.
    pub const fn me(&self) -> &MemberId {
        self.membership.me()
    }

    /// The newest generation of `peer` that this node has heard of; 0 if none. Goes into our Hello.
    pub fn known_generation(&self, peer: PeerKey) -> u64 {
        self.membership.known(peer).map_or(0, |known| known.id.generation)
    }

    /// All leases heard of, ours included.
    pub fn leases(&self) -> Vec<LeaseView> {
        self.leases.view()
    }

    /// Nodes that cannot both be right, as last seen.
    pub fn conflicts(&self) -> Vec<ConflictView> {
        self.conflicts.view()
    }

    /// Seeds: address, why the latest dial failed, who answered last.
    pub fn seeds(&self) -> impl Iterator<Item = (&str, Option<&str>, Option<PeerKey>)> {
        self.dialer.seeds()
    }

    /// Counts of what was done, dropped and refused.
    pub fn counters(&self) -> Counters {
        let mut all = self.counters.clone();
        for (name, count) in self.membership.counters.all() {
            all.add(name, count);
        }
        all
    }

    fn tick(&mut self, now: Now, store: &dyn DocumentStore, out: &mut Vec<Action>) {
        let outcome = self.membership.tick(now.mono_ms);
        self.carry_out(outcome, now, out);
        let met = &self.last_heard;
        self.membership.forget_unmet(|peer| met.contains_key(&peer), now.mono_ms);
        self.forget_gone(now);
        self.tend_links(now, out);
        self.tend_overlay(now, out);
        self.spread_leases(now, store, out);
        let sends = {
            let allowed = hints::gate(&self.links, store);
            self.broadcast.tick(now.mono_ms, allowed, &mut self.counters)
        };
        self.send_hints(sends, store, out);
        if !self.paused {
            self.dial_due(now, out);
            self.fetch_overdue(now.mono_ms);
            self.sync_due(now, store, out);
        }
        if self.conflicts.tick(&self.membership, &self.links, now, &self.timing) {
            out.push(Action::Changed);
        }
    }

    fn sync_due(&mut self, now: Now, store: &dyn DocumentStore, out: &mut Vec<Action>) {
        // One session makes both sides equal: the smaller key begins, the other steps in only when
        // that one does not.
        let me = self.membership.me().peer;
        let interval_ms = self.sync_interval_ms();
        let wait_ms = |peer: PeerKey| interval_ms.saturating_mul(if me < peer { 1 } else { 3 });
        let due = self.schedule.due(now.mono_ms, wait_ms, &mut self.rng);
        for peer in due {
            let Some(link) = self.links.get(&peer) else { continue };
            for tenant in store.tenants() {
                if store.may_replicate(&link.hello.site, &tenant) {
                    let scope = if self.was_equal(peer) { Scope::Unchanged } else { Scope::All };
                    self.schedule.request(peer, tenant, scope, &mut self.counters);
                }
            }
        }
        self.start_syncs(out);
    }

    /// Whether the latest reconciliation with `peer`, on a connection that still stands, found nothing
    /// to do.
    fn was_equal(&self, peer: PeerKey) -> bool {
        let latest = self.last_sync.get(&peer).and_then(|sync| sync.result.as_ref().ok());
        let equal = |report: &SyncReport| report.pulled + report.pushed + report.failed == 0;
        self.links.get(&peer).is_some_and(Link::was_synced) && latest.is_some_and(equal)
    }

    fn start_syncs(&mut self, out: &mut Vec<Action>) {
        let Some(now) = self.latest.filter(|_| !self.paused) else { return };
        for job in self.schedule.start(now.mono_ms) {
            let crate::schedule::Job { ticket, peer, tenant, scope } = job;
            out.push(Action::Sync { ticket, peer, tenant, scope });
        }
    }

    fn sync_finished(
        &mut self,
        ticket: u64,
        result: Result<SyncReport, String>,
        now: Now,
        out: &mut Vec<Action>,
    ) {
        if let Some((peer, tenant)) = self.schedule.finished(ticket) {
            self.fetch_elsewhere(peer, Some(&tenant));
            match &result {
                Ok(report) => {
                    self.counters.count("syncs");
                    self.counters.add("documents_pulled", report.pulled);
                    self.counters.add("documents_pushed", report.pushed);
                    self.counters.add("documents_failed", report.failed);
                }
                Err(_) => self.counters.count("syncs_failed"),
            }
            if result.is_ok() {
                self.schedule.went_well(peer);
            } else if self.links.contains_key(&peer) {
                self.schedule.failed(peer, now.mono_ms, &mut self.counters);
            }
            if let Some(link) = self.links.get_mut(&peer) {
                link.synced |= result.is_ok();
            }
            if self.last_sync.len() < links::MAX_HEARD || self.last_sync.contains_key(&peer) {
                self.last_sync.insert(peer, SyncView { at: now.wall, result });
            }
        }
        self.start_syncs(out);
    }

    /// News for a random member may as well go to a random neighbour: no connection is made for them.
    fn redirected(&mut self, peer: PeerKey, bytes: &[u8]) -> Option<(PeerKey, Vec<u8>)> {
        if self.membership.known(peer).is_none_or(|known| known.down) {
            return None;
        }
        let nth = self.rng.random_range(0..self.links.len().max(1));
        let neighbour = *self.links.keys().nth(nth)?;
        let to = &self.membership.known(neighbour)?.id;
        Some((neighbour, self.membership.redirect(bytes, to)?))
    }

    /// Sends what membership wants sent; whom it wants to reach without a connection is dialled.
    fn carry_out(&mut self, outcome: Outcome, now: Now, out: &mut Vec<Action>) {
        if outcome.changed {
            out.push(Action::Changed);
        }
        for (peer, bytes) in outcome.sends {
            if self.links.contains_key(&peer) {
                out.push(Action::Send { peer, message: Control::Swim(bytes) });
            } else if let Some((peer, bytes)) = self.redirected(peer, &bytes) {
                out.push(Action::Send { peer, message: Control::Swim(bytes) });
            } else {
                self.hold_for(peer, bytes, now);
            }
        }
    }
}
