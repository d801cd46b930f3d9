//! What the parts of one running mesh share.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use holm_certs::Identity;
use holm_mesh_proto::wire::{Hello, MAX_ADDRESSES};
use holm_mesh_proto::{Counters, DocumentStore, Event, MeshNode, Now};
use holm_model::Millis;
use libp2p_identity::PeerId;
use tokio::sync::watch;

use crate::config::MeshConfig;
use crate::error::CloseCode;
use crate::nat::SeenBy;
use crate::nat_serve::Turns;
use crate::peer::peer_key;
use crate::raw_clock;
use crate::relay::Relay;
use crate::rpc::RpcHandler;
use crate::status::{NatStatus, RefusalView};
use crate::traffic::Traffic;
use crate::watchdog::{Beat, Stuck};

/// Refusals that are kept, one for each address and direction.
const MAX_REFUSALS: usize = 64;
/// Peers that are remembered as reached by circuits alone; others only wait a second longer.
const MAX_INDIRECT: usize = 1_024;
/// Dial-backs for others at once, each of up to two seconds.
const DIAL_BACKS: usize = 8;
/// Meetings with others at once, each of a few dozen bytes.
const PUNCHES: usize = 16;
/// How soon to look again whether the protocol machine is free; it mostly is at once.
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// What the mesh sends with, besides the endpoint itself.
pub(crate) struct Quic {
    pub(crate) client: quinn::ClientConfig,
    pub(crate) circuits: crate::circuit::Configs,
    /// The endpoint's own socket, to open a way through a NAT for what comes from elsewhere; given up
    /// when the mesh stops, so that the port is free.
    pub(crate) socket: Mutex<Option<std::net::UdpSocket>>,
    /// Circuits that others made to this node, on their way to the swarm.
    pub(crate) arrived: tokio::sync::mpsc::Sender<crate::nat_streams::Arrived>,
}

pub(crate) struct Shared {
    pub(crate) config: MeshConfig,
    pub(crate) identity: Identity,
    pub(crate) local: PeerId,
    /// Addresses that this node tells others.
    pub(crate) advertised: Vec<SocketAddr>,
    pub(crate) instance: u64,
    pub(crate) store: Arc<dyn DocumentStore>,
    pub(crate) rpc: Arc<dyn RpcHandler>,
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) traffic: Traffic,
    pub(crate) beat: Beat,
    pub(crate) quic: Quic,
    pub(crate) relay: Arc<Relay>,
    /// Dial-backs for others at once.
    pub(crate) dial_backs: Turns,
    /// Meetings of this node with others at once.
    pub(crate) punches: Turns,
    started: Instant,
    node: Mutex<MeshNode>,
    directory: Mutex<crate::directory::Directory>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    counters: Counters,
    refusals: VecDeque<RefusalView>,
    paused: Option<String>,
    called_revoked: bool,
    seen_by: SeenBy,
    nat: NatStatus,
    /// Peers whose latest connection was a circuit.
    indirect: BTreeSet<PeerId>,
    mdns: Option<String>,
}

pub(crate) struct Parts {
    pub(crate) config: MeshConfig,
    pub(crate) identity: Identity,
    pub(crate) local: PeerId,
    pub(crate) store: Arc<dyn DocumentStore>,
    pub(crate) rpc: Arc<dyn RpcHandler>,
    pub(crate) node: MeshNode,
    pub(crate) quic: Quic,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let relay = Arc::new(Relay::new(parts.config.nat.relay_limits.clone()));
        Self {
            config: parts.config,
            identity: parts.identity,
            local: parts.local,
            advertised: parts.node.me().addresses.clone(),
            instance: rand::random(),
            store: parts.store,
            rpc: parts.rpc,
            changes: watch::Sender::new(0),
            traffic: Traffic::default(),
            beat: Beat::default(),
            quic: parts.quic,
            relay,
            dial_backs: Turns::new(DIAL_BACKS),
            punches: Turns::new(PUNCHES),
            started: Instant::now(),
            node: Mutex::new(parts.node),
            directory: Mutex::default(),
            notes: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono_ms: self.mono_ms(), wall: Millis::now(), clock: raw_clock::stamp() }
    }

    /// Milliseconds since the mesh started.
    pub(crate) fn mono_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Where the event loop stands still.
    pub(crate) fn stuck(&self) -> Option<Stuck> {
        self.beat.stuck(self.mono_ms(), self.config.limits.stuck_ms)
    }

    /// The protocol machine, unless a step that does not end holds it.
    pub(crate) fn node_unless_stuck(&self) -> Result<MutexGuard<'_, MeshNode>, Stuck> {
        let Some(stuck) = self.stuck() else { return Ok(self.node()) };
        match self.node.try_lock() {
            Ok(node) => Ok(node),
            Err(TryLockError::Poisoned(error)) => Ok(error.into_inner()),
            Err(TryLockError::WouldBlock) => Err(stuck),
        }
    }

    pub(crate) fn node(&self) -> MutexGuard<'_, MeshNode> {
        lock(&self.node)
    }

    /// Asks the protocol machine, without holding up a thread while a step of the loop holds it: what
    /// the loop waits for may need the same threads.
    pub(crate) async fn ask<T>(&self, question: impl Fn(&MeshNode) -> T) -> T {
        loop {
            let answer = match self.node.try_lock() {
                Ok(node) => Some(question(&node)),
                Err(TryLockError::Poisoned(error)) => Some(question(&error.into_inner())),
                Err(TryLockError::WouldBlock) => None,
            };
            match answer {
                Some(answer) => return answer,
                None => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    pub(crate) fn directory(&self) -> MutexGuard<'_, crate::directory::Directory> {
        lock(&self.directory)
    }

    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn count(&self, name: &'static str) {
        lock(&self.notes).counters.count(name);
    }

    pub(crate) fn counters(&self) -> Counters {
        lock(&self.notes).counters.clone()
    }

    /// Why this node does not replicate at the moment.
    pub(crate) fn paused(&self) -> Option<String> {
        lock(&self.notes).paused.clone()
    }

    /// Whether the last peer that answered said that our key was revoked. It is no proof, so the
    /// node goes on trying: one liar among the peers may not stop it.
    pub(crate) fn called_revoked(&self) -> bool {
        lock(&self.notes).called_revoked
    }

    pub(crate) fn set_called_revoked(&self, called: bool) {
        lock(&self.notes).called_revoked = called;
    }

    pub(crate) fn set_paused(&self, reason: Option<String>) {
        lock(&self.notes).paused = reason;
    }

    pub(crate) fn mdns_state(&self) -> Option<String> {
        lock(&self.notes).mdns.clone()
    }

    pub(crate) fn set_mdns_state(&self, state: String) {
        lock(&self.notes).mdns = Some(state);
    }

    /// Whether `address`, at which `peer` sees this node, is new.
    pub(crate) fn observed_at(&self, peer: PeerId, address: SocketAddr) -> bool {
        lock(&self.notes).seen_by.note(peer, address)
    }

    /// `peer` does not see this node any more.
    pub(crate) fn unobserved(&self, peer: &PeerId) {
        lock(&self.notes).seen_by.forget(peer);
    }

    /// Where others see this node, most of them first.
    pub(crate) fn observed(&self) -> Vec<SocketAddr> {
        lock(&self.notes).seen_by.addresses()
    }

    /// Where this node may be met: as others see it, and as it says.
    pub(crate) fn meeting_points(&self) -> Vec<SocketAddr> {
        let mut all = self.observed();
        for address in &self.advertised {
            if !all.contains(address) {
                all.push(*address);
            }
        }
        all.truncate(MAX_ADDRESSES);
        all
    }

    pub(crate) fn nat(&self) -> NatStatus {
        lock(&self.notes).nat.clone()
    }

    pub(crate) fn set_nat(&self, nat: NatStatus) {
        lock(&self.notes).nat = nat;
        self.changed();
    }

    /// Gives the port's second handle back.
    pub(crate) fn give_up_socket(&self) {
        drop(lock(&self.quic.socket).take());
    }

    /// One byte that is no QUIC packet: whoever gets it drops it, and the NATs on the way remember it.
    pub(crate) fn knock(&self, address: SocketAddr) {
        let socket = lock(&self.quic.socket);
        let Some(socket) = socket.as_ref() else { return };
        let address = match (address, socket.local_addr()) {
            (SocketAddr::V4(v4), Ok(SocketAddr::V6(_))) => {
                SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()))
            }
            (address, _) => address,
        };
        // A lost datagram is one of eight.
        drop(socket.send_to(&[0], address));
    }

    /// Whether the latest connection to `peer` was a circuit.
    pub(crate) fn is_indirect(&self, peer: &PeerId) -> bool {
        lock(&self.notes).indirect.contains(peer)
    }

    pub(crate) fn set_indirect(&self, peer: PeerId, indirect: bool) {
        let mut notes = lock(&self.notes);
        if !indirect {
            notes.indirect.remove(&peer);
        } else if notes.indirect.len() < MAX_INDIRECT {
            notes.indirect.insert(peer);
        }
    }

    /// This node's Hello for `peer` as of now.
    pub(crate) async fn hello_for(&self, peer: &PeerId) -> Hello {
        self.ask(|node| self.hello_of(node, peer)).await
    }

    fn hello_of(&self, node: &MeshNode, peer: &PeerId) -> Hello {
        let me = node.me();
        let (protocol_min, protocol_max) = node.protocol();
        Hello {
            protocol_min,
            protocol_max,
            mesh_id: self.config.mesh_id,
            site: me.site.clone(),
            node: me.node.clone(),
            addresses: me.addresses.clone(),
            api_port: me.api_port,
            generation: me.generation,
            known_generation: peer_key(peer).map_or(0, |key| node.known_generation(key)),
            sent_at: Millis::now(),
            instance: self.instance,
        }
    }

    /// A second live process showed the key of `peer`, which is connected or is this node.
    pub(crate) fn report_doubled(self: &Arc<Self>, peer: &PeerId, seen: String) {
        let named = if *peer == self.local {
            Some((self.config.site.clone(), self.config.node.clone()))
        } else {
            self.directory().of(peer).map(|e| (e.hello.site.clone(), e.hello.node.clone()))
        };
        let (Some((site, node)), Some(key)) = (named, peer_key(peer)) else { return };
        let event = Event::Doubled { peer: key, site, node, seen };
        let shared = self.clone();
        tokio::task::spawn_blocking(move || {
            // Leads to nothing but a line in the status.
            drop(shared.node().handle(event, shared.now(), &*shared.store));
            shared.changed();
        });
    }

    pub(crate) fn note_refusal(
        &self,
        address: SocketAddr,
        direction: &'static str,
        reason: String,
    ) {
        let mut notes = lock(&self.notes);
        notes.counters.count("handshakes_refused");
        let at = Millis::now();
        let same = |view: &&mut RefusalView| {
            view.address.ip() == address.ip()
                && view.direction == direction
                && view.reason == reason
        };
        if let Some(view) = notes.refusals.iter_mut().find(same) {
            view.at = at;
            view.count += 1;
            view.address = address;
            return;
        }
        if notes.refusals.len() >= MAX_REFUSALS {
            notes.refusals.pop_front();
        }
        let view = RefusalView { address, direction, reason, code: None, at, count: 1 };
        notes.refusals.push_back(view);
        drop(notes);
        self.changed();
    }

    /// The peer closed a connection that stood.
    pub(crate) fn note_closed(&self, peer: PeerId, address: SocketAddr, code: u64, reason: String) {
        tracing::info!(%peer, %address, code, reason, "the peer closed the connection");
        let mut notes = lock(&self.notes);
        if code == u64::from(CloseCode::Duplicate.code()) {
            // Nothing is wrong: a better connection of the pair stands.
            notes.counters.count("closed_for_a_better");
            return;
        }
        notes.counters.count("closed_by_peer");
        notes.called_revoked |= code == u64::from(CloseCode::Revoked.code());
        if notes.refusals.len() >= MAX_REFUSALS {
            notes.refusals.pop_front();
        }
        notes.refusals.push_back(RefusalView {
            address,
            direction: "closed",
            reason,
            code: Some(code),
            at: Millis::now(),
            count: 1,
        });
    }

    pub(crate) fn refusals(&self) -> Vec<RefusalView> {
        lock(&self.notes).refusals.iter().cloned().collect()
    }
}

// What stands behind these locks is changed in whole steps, so a panic of another thread leaves
// nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
