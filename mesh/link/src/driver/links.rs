//! Connections of the swarm and their control streams.

use std::sync::Arc;
use std::time::Duration;

use holm_mesh_proto::wire::{Control, Frame};
use holm_mesh_proto::{Event, PeerKey, Target};
use holm_model::Millis;
use libp2p_core::ConnectedPoint;
use libp2p_identity::PeerId;
use libp2p_swarm::{ConnectionId, Stream};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use super::nat::Attempts;
use super::{Driver, Internal};
use crate::directory::code_of;
use crate::frame;
use crate::fused::Fused;
use crate::peer::{peer_id, peer_key};
use crate::rpc::PeerInfo;
use crate::shared::Shared;
use crate::streams::{CONTROL, Opener};
use crate::traffic::Channel;

/// Control messages that wait for a slow peer; more are dropped, which only costs time.
const MAX_WAITING: usize = 512;
/// A connection without a control stream is of no use after this long.
const MUTE_AFTER: Duration = Duration::from_secs(10);

type Whole = Fused<Compat<Stream>>;

/// A frame that waits for the control stream, and what it counts as.
type Outgoing = (Channel, Vec<u8>);

/// A connection that the swarm holds.
pub(super) struct Connection {
    pub(super) peer: PeerId,
    pub(super) opener: Opener,
    /// Whether it is a circuit through another node.
    pub(super) relayed: bool,
    /// To make it direct, if it is.
    pub(super) attempts: Attempts,
    target: Option<Target>,
    since: Instant,
    control: Option<mpsc::Sender<Outgoing>>,
}

impl Driver {
    pub(super) fn established(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        endpoint: &ConnectedPoint,
        target: Option<Target>,
    ) {
        let Some(opener) = self.swarm.behaviour().streams.opener(id) else { return };
        if endpoint.is_dialer() {
            let (opener, events) = (opener.clone(), self.events.clone());
            tokio::spawn(async move {
                let event = match opener.open(CONTROL).await {
                    Ok(stream) => Internal::ControlReady { connection: id, stream },
                    Err(reason) => Internal::ControlLost { connection: id, reason },
                };
                // Fails only when the mesh stops.
                drop(events.send(event).await);
            });
        }
        let since = Instant::now();
        let connection = Connection {
            peer,
            opener,
            target,
            since,
            control: None,
            relayed: endpoint.is_relayed(),
            attempts: Attempts::default(),
        };
        self.connections.insert(id, connection);
    }

    /// The protocol machine meets a peer when its control stream stands, not before.
    pub(super) fn control_ready(&mut self, id: ConnectionId, stream: Stream) {
        let Some(connection) = self.connections.get(&id) else { return };
        if connection.control.is_some() {
            self.shared.count("control_streams_surplus");
            return;
        }
        let (peer, relayed) = (connection.peer, connection.relayed);
        let has_direct = |id| self.connections.get(id).is_some_and(|other| !other.relayed);
        if relayed && self.active.get(&peer).is_some_and(has_direct) {
            // The direct connection came first; the circuit is on its way out.
            self.swarm.close_connection(id);
            return;
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        connection.control = Some(sender);
        let target = connection.target.take();
        let (reader, writer) = tokio::io::split(Fused::new(stream.compat()));
        tokio::spawn(read(id, reader, self.shared.clone(), self.events.clone()));
        tokio::spawn(write(id, writer, receiver, self.shared.clone(), self.events.clone()));
        self.activate(id, peer, target);
    }

    /// The protocol machine meets `peer` on this connection.
    fn activate(&mut self, id: ConnectionId, peer: PeerId, target: Option<Target>) {
        let Some(key) = peer_key(&peer) else { return };
        let hello = self.shared.directory().of(&peer).map(|entry| entry.hello.clone());
        // The certificate may have ended in between; the connection's end is on its way.
        let Some(hello) = hello else { return };
        if self.active.insert(peer, id).is_some() {
            self.feed(Event::Disconnected { peer: key });
        }
        self.feed(Event::Connected { peer: key, hello, target });
        // Ours may have been renewed between the handshake and now.
        self.send(key, &self.refresh_message());
    }

    pub(super) fn control_lost(&mut self, id: ConnectionId, reason: &str) {
        if let Some(connection) = self.connections.get(&id) {
            tracing::debug!(peer = %connection.peer, reason, "control stream lost");
            self.swarm.close_connection(id);
        }
    }

    pub(super) fn closed(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        if self.connections.values().all(|c| c.peer != connection.peer || c.relayed) {
            self.shared.unobserved(&connection.peer);
        }
        if self.active.get(&connection.peer) == Some(&id) {
            self.active.remove(&connection.peer);
            if let Some(peer) = peer_key(&connection.peer) {
                self.feed(Event::Disconnected { peer });
            }
            // Of two connections that stood for a moment the one that goes may have been met last.
            let ready = self
                .connections
                .iter()
                .find(|(_, other)| other.peer == connection.peer && other.control.is_some());
            if let Some((other, _)) = ready {
                self.shared.count("connections_taken_up_again");
                self.activate(*other, connection.peer, None);
            }
        } else if let Some(target) = connection.target {
            // Never came so far as to be met: another connection of the pair took its place, or the
            // peer broke off.
            let outcome = match peer_key(&connection.peer) {
                Some(key) if self.active.contains_key(&connection.peer) => {
                    holm_mesh_proto::DialOutcome::AlreadyConnected(key)
                }
                _ => holm_mesh_proto::DialOutcome::Failed(
                    "the connection broke before it was of use".to_owned(),
                ),
            };
            self.feed(Event::DialEnded { target, outcome });
        }
    }

    pub(super) fn close_mute(&mut self) {
        let mute: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, c)| c.control.is_none() && c.since.elapsed() > MUTE_AFTER)
            .map(|(id, _)| *id)
            .collect();
        for id in mute {
            self.shared.count("mute_connections_closed");
            self.swarm.close_connection(id);
        }
    }

    pub(super) fn on_control(&mut self, id: ConnectionId, message: Control) {
        let Some(connection) = self.connections.get(&id) else { return };
        let peer = connection.peer;
        if self.active.get(&peer) != Some(&id) {
            return;
        }
        let Some(key) = peer_key(&peer) else { return };
        match message {
            Control::SvidRefresh(chain) => self.on_refresh(&peer, chain),
            message => self.feed(Event::Received { peer: key, message }),
        }
    }

    pub(super) fn send(&self, peer: PeerKey, message: &Control) {
        let connection = peer_id(peer)
            .and_then(|peer| self.active.get(&peer))
            .and_then(|id| self.connections.get(id));
        let Some(control) = connection.and_then(|connection| connection.control.as_ref()) else {
            return;
        };
        let Ok(frame) = message.to_frame() else {
            self.shared.count("control_too_long");
            return;
        };
        if control.try_send((Channel::of(message), frame)).is_err() {
            self.shared.count("control_dropped");
        }
    }

    /// Sends our current chain to every live peer, so that their deadlines for us move.
    pub(super) fn send_refresh(&self) {
        let message = self.refresh_message();
        for peer in self.active.keys().filter_map(peer_key) {
            self.send(peer, &message);
        }
    }

    pub(super) fn opener_of(&self, peer: PeerKey) -> Option<Opener> {
        let id = self.active.get(&peer_id(peer)?)?;
        Some(self.connections.get(id)?.opener.clone())
    }

    pub(super) fn info_of(&self, peer: &PeerId) -> Option<PeerInfo> {
        let spiffe_id = self.shared.directory().spiffe_id(peer)?.clone();
        let (site, node) = spiffe_id.site_and_node()?;
        Some(PeerInfo { spiffe_id, site, node, peer_id: *peer })
    }

    fn refresh_message(&self) -> Control {
        let chain = self.shared.identity.chain();
        Control::SvidRefresh(chain.into_iter().map(|der| der.to_vec()).collect())
    }

    fn on_refresh(&self, peer: &PeerId, chain: Vec<Vec<u8>>) {
        let chain: Vec<CertificateDer<'static>> =
            chain.into_iter().map(CertificateDer::from).collect();
        let old = self.shared.directory().of(peer).map(|entry| entry.svid.clone());
        let Some(old) = old else { return };
        match self.shared.identity.verify_refresh(&old, &chain, Millis::now()) {
            Ok(svid) => {
                self.shared.count("svids_refreshed");
                self.shared.directory().refresh(peer, &svid, &chain);
                self.shared.changed();
            }
            Err(error) => {
                self.shared.count("svid_refreshes_refused");
                tracing::warn!(%peer, %error, "a peer's renewed certificate is not good");
                self.shared.directory().close(peer, code_of(&error), &error.to_string());
            }
        }
    }
}

async fn read(
    id: ConnectionId,
    mut reader: ReadHalf<Whole>,
    shared: Arc<Shared>,
    events: mpsc::Sender<Internal>,
) {
    loop {
        let event = match frame::read::<Control>(&mut reader).await {
            Ok((message, length)) => {
                shared.traffic.came(Channel::of(&message), length);
                Internal::Received { connection: id, message }
            }
            Err(error) => Internal::ControlLost { connection: id, reason: error.to_string() },
        };
        let ends = matches!(event, Internal::ControlLost { .. });
        // Waits when the driver is behind: QUIC's flow control then holds the peer back.
        if events.send(event).await.is_err() || ends {
            return;
        }
    }
}

async fn write(
    id: ConnectionId,
    mut writer: WriteHalf<Whole>,
    mut frames: mpsc::Receiver<Outgoing>,
    shared: Arc<Shared>,
    events: mpsc::Sender<Internal>,
) {
    while let Some((channel, frame)) = frames.recv().await {
        let mut result = writer.write_all(&frame).await;
        shared.traffic.went(channel, frame.len() as u64);
        while result.is_ok()
            && let Ok((channel, frame)) = frames.try_recv()
        {
            result = writer.write_all(&frame).await;
            shared.traffic.went(channel, frame.len() as u64);
        }
        if result.is_ok() {
            result = writer.flush().await;
        }
        if let Err(error) = result {
            let reason = error.to_string();
            // Fails only when the mesh stops.
            drop(events.send(Internal::ControlLost { connection: id, reason }).await);
            return;
        }
    }
}
