//! The event loop: feeds the protocol machine with what happens on the network, and does what it says.

mod dials;
mod links;
mod nat;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use holm_certs::{Change, SvidState};
use holm_mesh_proto::wire::{Control, RpcRequest};
use holm_mesh_proto::{Action, Event, Gone, MemberId, PeerKey, SyncReport, Target};
use holm_model::{DocVersion, Millis, TenantId};
use libp2p_identity::PeerId;
use libp2p_swarm::{ConnectionId, Stream, Swarm, SwarmEvent};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use crate::error::{CloseCode, REVOKED_REMEDY};
use crate::nat_streams::{Refused, Relay};
use crate::network::{Network, NetworkEvent};
use crate::peer::{from_multiaddr, peer_id, peer_key};
use crate::serving::Serving;
use crate::shared::Shared;
use crate::streams::Inbound;
use crate::{rpc, sync};
use links::Connection;

/// Longest time between two looks at certificates: the wall clock may jump.
const CERTIFICATES_EVERY_MS: u64 = 1_000;

/// What the node asks of the running mesh.
pub(crate) enum Command {
    Forgotten(Vec<Gone>),
    Lease {
        tenant: TenantId,
        as_of: Millis,
    },
    Publish(DocVersion),
    Remembered(Vec<MemberId>),
    Request {
        peer: PeerKey,
        request: RpcRequest,
        reply: oneshot::Sender<Result<Result<Vec<u8>, String>, String>>,
    },
    Shutdown(oneshot::Sender<()>),
}

/// What tasks of the driver report to it.
pub(crate) enum Internal {
    ControlLost { connection: ConnectionId, reason: String },
    ControlReady { connection: ConnectionId, stream: Stream },
    DialledBack { peer: PeerId, result: Result<bool, String> },
    IdentityChanged(Change),
    Learned { version: DocVersion, from: PeerKey },
    Meet { peer: PeerId, addresses: Result<Vec<std::net::SocketAddr>, String> },
    NoRelay(PeerId),
    PlaceGone { relay: PeerId, refused: Option<Refused> },
    PlaceHeld(PeerId),
    Received { connection: ConnectionId, message: Control },
    RelaysFor { peer: PeerId, reply: oneshot::Sender<Vec<Relay>> },
    Resolved { target: Target, address: Result<std::net::SocketAddr, String> },
    SyncFinished { ticket: u64, result: Result<SyncReport, String> },
}

pub(crate) struct Driver {
    shared: Arc<Shared>,
    swarm: Swarm<Network>,
    events: mpsc::Sender<Internal>,
    connections: HashMap<ConnectionId, Connection>,
    /// The connection of each peer that the protocol machine knows.
    active: HashMap<PeerId, ConnectionId>,
    dials: HashMap<ConnectionId, Target>,
    serving: Serving,
    nat: nat::Nat,
    /// Rotates through the addresses of a seed's name.
    resolutions: usize,
}

/// Channels into the driver.
pub(crate) struct Inlets {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: mpsc::Receiver<Internal>,
    pub(crate) inbound: mpsc::Receiver<Inbound>,
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        swarm: Swarm<Network>,
        events: mpsc::Sender<Internal>,
    ) -> Self {
        let serving = Serving::new(&shared.config.limits);
        Self {
            shared,
            swarm,
            events,
            connections: HashMap::new(),
            active: HashMap::new(),
            dials: HashMap::new(),
            nat: nat::Nat::default(),
            serving,
            resolutions: 0,
        }
    }

    pub(crate) async fn run(mut self, mut inlets: Inlets) {
        let mut tick =
            tokio::time::interval(Duration::from_millis(self.shared.config.timing.tick_ms.max(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut certificates = Instant::now();
        let mut nat = tokio::time::interval(nat::EVERY);
        nat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.beat("waiting");
            tokio::select! {
                event = self.swarm.select_next_some() => {
                    self.beat("network event");
                    self.on_swarm(event);
                }
                Some(event) = inlets.events.recv() => self.on_internal(event),
                Some(inbound) = inlets.inbound.recv() => {
                    self.beat("stream of a peer");
                    self.on_inbound(inbound);
                }
                command = inlets.commands.recv() => match command {
                    Some(Command::Shutdown(done)) => {
                        self.leave().await;
                        // Whoever asked may not wait for it.
                        let _gone = done.send(());
                        return;
                    }
                    Some(command) => {
                        self.beat("command of the node");
                        self.on_command(command);
                    }
                    // Every handle is gone.
                    None => return self.leave().await,
                },
                _ = tick.tick() => {
                    self.beat("tick");
                    self.feed(Event::Tick);
                    self.close_mute();
                }
                _ = nat.tick() => {
                    self.beat("look at NAT");
                    self.nat_tick();
                }
                () = tokio::time::sleep_until(certificates) => {
                    self.beat("look at certificates");
                    self.check_certificates(false);
                    certificates = self.next_check();
                }
            }
        }
    }

    /// Says what the loop does next, for the watchdog.
    fn beat(&self, step: &'static str) {
        self.shared.beat.at(step, self.shared.mono_ms());
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Forgotten(all) => self.feed(Event::Forgotten(all)),
            Command::Lease { tenant, as_of } => self.feed(Event::LeaseHeld { tenant, as_of }),
            Command::Publish(version) => self.feed(Event::Published(version)),
            Command::Remembered(members) => self.feed(Event::Remembered { members }),
            Command::Request { peer, request, reply } => {
                let shared = self.shared.clone();
                let opener = self.opener_of(peer);
                tokio::spawn(async move {
                    let result = match opener {
                        Some(opener) => rpc::call(&shared, opener, request).await,
                        None => Err("it is not connected".to_owned()),
                    };
                    // The caller may have given up.
                    drop(reply.send(result));
                });
            }
            // Handled in the loop.
            Command::Shutdown(_) => {}
        }
    }

    fn on_internal(&mut self, event: Internal) {
        self.beat(match event {
            Internal::Received { .. } => "message of a peer",
            Internal::Learned { .. } => "news of a reconciliation",
            Internal::SyncFinished { .. } => "end of a reconciliation",
            Internal::IdentityChanged(_) => "change of the certificate",
            Internal::ControlLost { .. }
            | Internal::ControlReady { .. }
            | Internal::DialledBack { .. }
            | Internal::Meet { .. }
            | Internal::NoRelay(_)
            | Internal::PlaceGone { .. }
            | Internal::PlaceHeld(_)
            | Internal::RelaysFor { .. }
            | Internal::Resolved { .. } => "report of a task",
        });
        match event {
            Internal::ControlLost { connection, reason } => self.control_lost(connection, &reason),
            Internal::ControlReady { connection, stream } => self.control_ready(connection, stream),
            Internal::DialledBack { peer, result } => self.dialled_back(peer, result),
            Internal::IdentityChanged(change) => {
                if change == Change::Svid {
                    self.send_refresh();
                } else {
                    self.feed(Event::TrustChanged);
                }
                self.check_certificates(true);
            }
            Internal::Learned { version, from } => self.feed(Event::Learned { version, from }),
            Internal::Meet { peer, addresses } => self.meet(peer, addresses),
            Internal::NoRelay(peer) => self.no_relay(peer),
            Internal::PlaceGone { relay, refused } => self.place_gone(relay, refused),
            Internal::PlaceHeld(relay) => self.place_held(relay),
            Internal::Received { connection, message } => self.on_control(connection, message),
            // A dial that was given up does not listen any more.
            Internal::RelaysFor { peer, reply } => drop(reply.send(self.relays_for(peer))),
            Internal::Resolved { target, address } => self.dial_resolved(target, address),
            Internal::SyncFinished { ticket, result } => {
                if let Err(error) = &result {
                    tracing::debug!(error, "a reconciliation failed");
                }
                self.feed(Event::SyncFinished { ticket, result });
            }
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<NetworkEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let target = self.dials.remove(&connection_id);
                self.punched(connection_id, true);
                self.nat_connected(peer_id, endpoint.is_relayed());
                self.established(peer_id, connection_id, &endpoint, target);
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => self.closed(connection_id),
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.dial_failed(connection_id, error);
            }
            SwarmEvent::Behaviour(NetworkEvent::Identify(event)) => self.on_identify(event),
            SwarmEvent::Behaviour(NetworkEvent::Mdns(event)) => self.on_mdns(event),
            SwarmEvent::ListenerClosed { .. } => tracing::warn!("the mesh's UDP port was closed"),
            // Failed handshakes of others are noted where they fail; the rest is the swarm's.
            _ => {}
        }
    }

    fn on_identify(&mut self, event: libp2p_identify::Event) {
        // Through a circuit nobody sees an address of this node.
        if let libp2p_identify::Event::Received { peer_id, info, .. } = event
            && let Some((address, _)) = from_multiaddr(&info.observed_addr)
            && self.shared.observed_at(peer_id, address)
        {
            self.address_is_new();
        }
    }

    fn on_mdns(&mut self, event: libp2p_mdns::Event) {
        let libp2p_mdns::Event::Discovered(found) = event else { return };
        let mut by_peer: HashMap<PeerKey, Vec<std::net::SocketAddr>> = HashMap::new();
        for (peer, address) in found {
            if let (Some(key), Some((address, _))) = (peer_key(&peer), from_multiaddr(&address)) {
                by_peer.entry(key).or_default().push(address);
            }
        }
        for (peer, addresses) in by_peer {
            self.feed(Event::Discovered { peer, addresses });
        }
    }

    /// A stream that a peer opened.
    fn on_inbound(&mut self, inbound: Inbound) {
        if inbound.protocol == crate::streams::NAT {
            return self.on_nat_stream(inbound);
        }
        let Inbound { peer, connection, protocol, stream } = inbound;
        if protocol == crate::streams::CONTROL {
            self.control_ready(connection, stream);
            return;
        }
        let Some(info) = self.info_of(&peer) else { return };
        let Some(key) = peer_key(&peer) else { return };
        let Some(place) = self.serving.place(peer) else {
            self.shared.count("streams_over_quota");
            return;
        };
        let (shared, events) = (self.shared.clone(), self.events.clone());
        tokio::spawn(async move {
            let Some(_turn) = place.turn().await else { return };
            if protocol == crate::streams::RPC {
                return rpc::serve(shared, info, stream).await;
            }
            let peer = holm_mesh_proto::sync::SyncPeer {
                site: info.site,
                name: info.spiffe_id.to_string(),
            };
            let context = sync::Context { shared: shared.clone(), key, peer, events };
            match sync::respond(context, stream).await {
                Ok(_) => shared.count("syncs_served"),
                Err(error) => {
                    shared.count("syncs_served_failed");
                    tracing::debug!(error, "a peer's reconciliation failed");
                }
            }
        });
    }

    /// Feeds the protocol machine and does what it says.
    fn feed(&mut self, event: Event) {
        let actions = self.shared.node().handle(event, self.shared.now(), &*self.shared.store);
        for action in actions {
            match action {
                Action::Changed => self.shared.changed(),
                Action::Dial { target, addresses } => self.dial(target, &addresses),
                Action::Disconnect { peer, reason } => {
                    if let Some(peer) = peer_id(peer) {
                        self.shared.directory().close(&peer, CloseCode::Dropped, reason);
                    }
                }
                Action::Send { peer, message } => self.send(peer, &message),
                Action::Sync { ticket, peer, tenant, scope } => {
                    self.start_sync(ticket, peer, tenant, scope);
                }
            }
        }
    }

    fn start_sync(
        &mut self,
        ticket: u64,
        peer: PeerKey,
        tenant: TenantId,
        scope: holm_mesh_proto::Scope,
    ) {
        let found = self.opener_of(peer).zip(peer_id(peer).and_then(|id| self.info_of(&id)));
        let (shared, events) = (self.shared.clone(), self.events.clone());
        tokio::spawn(async move {
            let result = match found {
                None => Err("it is not connected".to_owned()),
                Some((opener, info)) => {
                    let name = info.spiffe_id.to_string();
                    let peer_of = holm_mesh_proto::sync::SyncPeer { site: info.site, name };
                    let context =
                        sync::Context { shared, key: peer, peer: peer_of, events: events.clone() };
                    sync::initiate(context, opener, tenant, scope).await
                }
            };
            // Fails only when the mesh stops.
            drop(events.send(Internal::SyncFinished { ticket, result }).await);
        });
    }

    /// Closes what no longer stands on a good certificate, and judges our own.
    fn check_certificates(&mut self, reverify: bool) {
        let now = Millis::now();
        let own = match self.shared.identity.svid_state(now, 0.5) {
            SvidState::Valid { .. } => None,
            SvidState::Expired { since } => Some(format!(
                "this node's certificate ended {} s ago: it observes and serves its own site, and \
                 replicates again once it is renewed or enrolled with a new token",
                now.since(since) / 1_000
            )),
            SvidState::NotYetValid { from } => Some(format!(
                "this node's certificate begins in {} s: check this node's clock",
                from.since(now) / 1_000
            )),
            SvidState::Revoked { reason, .. } => {
                Some(format!("this node's key was revoked ({reason}): {REVOKED_REMEDY}"))
            }
        };
        let was = self.shared.paused();
        self.shared.set_paused(own.clone());
        if was.is_some() != own.is_some() {
            if let Some(reason) = &own {
                tracing::warn!(reason, "replication stops");
            }
            self.feed(Event::Paused(own.is_some()));
        }
        if own.is_some() {
            self.shared
                .directory()
                .close_all(CloseCode::OwnCertificateEnded, "this node's certificate has ended");
            return;
        }
        let identity = &self.shared.identity;
        let verify = |chain: &[_]| identity.verify_peer(chain, now);
        let closed = self.shared.directory().enforce(verify, reverify, now);
        for (peer, code) in closed {
            tracing::info!(%peer, ?code, "closed: the peer's certificate no longer holds");
            self.shared.count(match code {
                CloseCode::Expired => "closed_expired",
                CloseCode::Revoked => "closed_revoked",
                _ => "closed_bundle_change",
            });
        }
    }

    fn next_check(&self) -> Instant {
        let now = Millis::now();
        let own = self.shared.identity.svid().deadline();
        let peers = self.shared.directory().next_deadline();
        let next = [Some(own), peers].into_iter().flatten().filter(|at| *at > now).min();
        let wait_ms = next.map_or(CERTIFICATES_EVERY_MS, |at| at.since(now).saturating_add(1));
        Instant::now() + Duration::from_millis(wait_ms.min(CERTIFICATES_EVERY_MS))
    }

    async fn leave(&mut self) {
        self.shared.beat.end();
        self.feed(Event::Leaving);
        // The last words are in the queues of the writers; a moment lets them out.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.shared.directory().close_all(CloseCode::ShuttingDown, "the node stops");
    }
}
