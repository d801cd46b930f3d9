//! The handle that the node holds.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holm_certs::{Identity, Subscription};
use holm_mesh_proto::wire::{MAX_ADDRESSES, RpcRequest};
use holm_mesh_proto::{DocumentStore, Gone, MemberId, MeshNode, NodeConfig, Order, PeerKey};
use holm_model::{DocVersion, Millis, NodeName, SiteId, TenantId};
use libp2p_identity::PeerId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::MeshConfig;
use crate::driver::{Command, Driver, Inlets, Internal};
use crate::error::{CloseCode, LinkError};
use crate::handshake::name_of;
use crate::known::KnownNode;
use crate::lease_keys::SvidKeys;
use crate::nat_streams::Arrived;
use crate::peer::{peer_key, public_key, to_multiaddr};
use crate::rpc::RpcHandler;
use crate::shared::{Parts, Quic, Shared};
use crate::status::{MeshStatus, snapshot};
use crate::transport::{HolmTransport, configure, reachable};
use crate::watchdog::Stuck;
use crate::{network, transport};

/// Commands that wait for the event loop.
const MAX_COMMANDS: usize = 1_024;
/// Reports of tasks that wait for the event loop.
const MAX_EVENTS: usize = 1_024;
/// Streams of peers that wait for the event loop.
const MAX_INBOUND: usize = 256;
/// Circuits to this node that wait to be judged; more are refused at once.
const MAX_ARRIVED: usize = 16;
/// How long a stop may take to tell the peers.
const STOP: Duration = Duration::from_secs(2);

/// A running node of the mesh. Dropping it stops the node without a farewell; [`Mesh::shutdown`]
/// tells the peers.
pub struct Mesh {
    shared: Arc<Shared>,
    listen: SocketAddr,
    endpoint: Mutex<Option<quinn::Endpoint>>,
    commands: mpsc::Sender<Command>,
    task: Mutex<Option<JoinHandle<()>>>,
    _subscription: Subscription,
}

impl Mesh {
    /// Binds the port and begins to look for the others.
    ///
    /// # Errors
    /// [`LinkError::Bind`] when the port is taken, [`LinkError::NotThisNode`] and
    /// [`LinkError::Identity`] when the identity does not fit. An identity that has ended is no
    /// error: the mesh starts, does not replicate, and says so.
    pub async fn start(
        config: MeshConfig,
        identity: Identity,
        store: Arc<dyn DocumentStore>,
        rpc: Arc<dyn RpcHandler>,
    ) -> Result<Self, LinkError> {
        let spiffe_id = identity.spiffe_id();
        let (site, node) = (config.site.clone(), config.node.clone());
        if spiffe_id.site_and_node() != Some((site.clone(), node.clone())) {
            return Err(LinkError::NotThisNode {
                certificate: spiffe_id.to_string(),
                site: site.to_string(),
                node: node.to_string(),
            });
        }
        let key = public_key(identity.key().public_key().as_der())
            .ok_or_else(|| LinkError::Identity("its key is not P-256".to_owned()))?;
        let local = key.to_peer_id();
        let local_key = peer_key(&local)
            .ok_or_else(|| LinkError::Identity("its key has no PeerId".to_owned()))?;
        let (server, client, circuits) = configure(&identity, &config.limits)?;
        let (endpoint, listen, socket) = open(config.listen, server)?;
        let (arrived, arrivals) = mpsc::channel(MAX_ARRIVED);
        let quic = Quic { client, circuits, socket: Mutex::new(Some(socket)), arrived };
        let mut addresses =
            if config.advertise.is_empty() { reachable(listen) } else { config.advertise.clone() };
        addresses.truncate(MAX_ADDRESSES);
        let mut node = MeshNode::new(NodeConfig {
            me: MemberId {
                site,
                node,
                peer: local_key,
                addresses,
                api_port: config.api_port,
                generation: Millis::now().0,
            },
            seeds: config.seeds.clone(),
            timing: config.timing.clone(),
            random_seed: rand::random(),
        });
        let keys = SvidKeys::new(identity.clone(), config.mesh_id);
        node.sign_leases_with(Box::new(keys));
        node.speak_at_most(config.protocol_at_most);
        let parts = Parts { config, identity, local, store, rpc, node, quic };
        Ok(Self::launch(Arc::new(Shared::new(parts)), key, endpoint, listen, arrivals))
    }

    fn launch(
        shared: Arc<Shared>,
        key: libp2p_identity::PublicKey,
        endpoint: quinn::Endpoint,
        listen: SocketAddr,
        arrivals: mpsc::Receiver<Arrived>,
    ) -> Self {
        let (commands, command_inlet) = mpsc::channel(MAX_COMMANDS);
        let (events, event_inlet) = mpsc::channel(MAX_EVENTS);
        let (inbound, inbound_inlet) = mpsc::channel(MAX_INBOUND);
        let transport =
            HolmTransport::new(shared.clone(), endpoint.clone(), events.clone(), arrivals);
        let mut swarm = network::swarm(&shared, key, transport, inbound);
        if let Err(error) = swarm.listen_on(to_multiaddr(listen)) {
            // The transport takes its first listener; the port is bound already.
            tracing::error!(%error, "the swarm does not listen");
        }
        let subscription = {
            let events = events.clone();
            let shared = shared.clone();
            shared.identity.clone().on_change(move |change| {
                if events.try_send(Internal::IdentityChanged(change)).is_err() {
                    // The periodic look at certificates comes within a second anyway.
                    shared.count("identity_changes_dropped");
                }
            })
        };
        let inlets =
            Inlets { commands: command_inlet, events: event_inlet, inbound: inbound_inlet };
        crate::watchdog::watch(&shared);
        let task = tokio::spawn(Driver::new(shared.clone(), swarm, events).run(inlets));
        Self {
            shared,
            listen,
            endpoint: Mutex::new(Some(endpoint)),
            commands,
            task: Mutex::new(Some(task)),
            _subscription: subscription,
        }
    }

    /// A local document changed: peers are told at once.
    pub fn publish(&self, version: DocVersion) {
        // A lost hint costs time, not correctness: anti-entropy finds the version.
        if self.commands.try_send(Command::Publish(version)).is_err() {
            self.shared.count("publishes_dropped");
        }
    }

    /// Everything that this node holds open of `tenant` is true as of `as_of`.
    pub fn hold_lease(&self, tenant: &TenantId, as_of: Millis) {
        let command = Command::Lease { tenant: tenant.clone(), as_of };
        if self.commands.try_send(command).is_err() {
            self.shared.count("leases_not_taken");
        }
    }

    /// Sites and nodes that are gone for good, all that there are: they are listed and looked for no
    /// longer. Whether it was taken; if not, say it again.
    #[must_use = "what was not taken must be said again"]
    pub fn set_gone(&self, all: Vec<Gone>) -> bool {
        let taken = self.commands.try_send(Command::Forgotten(all)).is_ok();
        if !taken {
            self.shared.count("gone_not_taken");
        }
        taken
    }

    /// Nodes that were known before this start: they are looked for like those of which others tell, so that a node
    /// comes back even when its seeds do not.
    pub fn remember(&self, nodes: Vec<KnownNode>) {
        let members = nodes.into_iter().filter_map(KnownNode::member).collect();
        if self.commands.try_send(Command::Remembered(members)).is_err() {
            self.shared.count("remembered_not_taken");
        }
    }

    /// What this node sees of the mesh now.
    pub fn status(&self) -> MeshStatus {
        snapshot(&self.shared, self.listen)
    }

    /// Where the event loop stands still, if it does. Never waits for it.
    pub fn stuck(&self) -> Option<Stuck> {
        self.shared.stuck()
    }

    /// How far this node's clock is ahead of those of most nodes, in milliseconds, negative if it is behind; 0 if it
    /// is less than two seconds off. `None` if too few are connected to tell, or the event loop stands still.
    pub fn own_clock_ahead_ms(&self) -> Option<i64> {
        self.shared.node_unless_stuck().ok()?.own_clock_ahead_ms()
    }

    /// Orders two moments of two nodes, each by that node's own wall clock, in nanoseconds since 1970.
    /// [`Order::Concurrent`] when it cannot be told, because the bounds of the clocks overlap, a node
    /// is not connected, or a moment lies before the connection or before the wall clock was set.
    pub async fn order(&self, a: (&PeerId, i64), b: (&PeerId, i64)) -> Order {
        let Some((one, other)) = peer_key(a.0).zip(peer_key(b.0)) else {
            return Order::Concurrent;
        };
        self.shared.ask(|node| node.order((one, a.1), (other, b.1))).await
    }

    /// A number that grows whenever [`Mesh::status`] changes in more than counts and times.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// The UDP address that is bound; tells the port when 0 was asked for.
    pub const fn listen_address(&self) -> SocketAddr {
        self.listen
    }

    /// Calls `method` of the connected node `peer`.
    ///
    /// # Errors
    /// [`LinkError::NotConnected`], [`LinkError::Call`] when it fails on the way,
    /// [`LinkError::Answer`] when the peer refuses, [`LinkError::Stopped`].
    pub async fn request(
        &self,
        peer: &PeerId,
        method: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, LinkError> {
        let key = peer_key(peer).ok_or_else(|| LinkError::NotConnected(peer.to_string()))?;
        self.call(key, method, body).await
    }

    /// Calls `method` of the connected node `node` of `site`.
    ///
    /// # Errors
    /// As [`Mesh::request`].
    pub async fn request_node(
        &self,
        site: &SiteId,
        node: &NodeName,
        method: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, LinkError> {
        let named = |node_of: &MeshNode| {
            let members = node_of.members();
            let found = members.iter().find(|m| m.site == *site && m.node == *node && m.connected);
            found.map(|member| member.peer)
        };
        let key = self.shared.ask(named).await;
        let key = key.ok_or_else(|| LinkError::NotConnected(format!("{site}/{node}")))?;
        self.call(key, method, body).await
    }

    /// Tells the peers that this node stops, and stops it. The UDP port is free afterwards; calls
    /// fail with [`LinkError::Stopped`].
    pub async fn shutdown(&self) {
        let (done, wait) = oneshot::channel();
        if self.commands.send(Command::Shutdown(done)).await.is_ok() {
            // A driver that does not come to it in time is stopped below.
            drop(tokio::time::timeout(STOP, wait).await);
        }
        if let Some(task) = take(&self.task) {
            let abort = task.abort_handle();
            if tokio::time::timeout(STOP, task).await.is_err() {
                abort.abort();
            }
            self.shared.beat.end();
        }
        if let Some(endpoint) = take(&self.endpoint) {
            let stopping = quinn::VarInt::from_u32(CloseCode::ShuttingDown.code());
            endpoint.close(stopping, b"the node stops");
            drop(tokio::time::timeout(STOP, endpoint.wait_idle()).await);
        }
        self.shared.give_up_socket();
        // The endpoint's own task gives the socket back a moment later.
        let end = tokio::time::Instant::now() + STOP;
        while transport::bind(self.listen).is_err() && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn call(&self, peer: PeerKey, method: &str, body: Vec<u8>) -> Result<Vec<u8>, LinkError> {
        let name = name_of(&self.shared, peer);
        let request = RpcRequest { method: method.to_owned(), body };
        let (reply, answer) = oneshot::channel();
        let command = Command::Request { peer, request, reply };
        self.commands.send(command).await.map_err(|_| LinkError::Stopped)?;
        let method = method.to_owned();
        match answer.await.map_err(|_| LinkError::Stopped)? {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(reason)) => Err(LinkError::Answer { method, peer: name, reason }),
            Err(reason) => Err(LinkError::Call { method, peer: name, reason }),
        }
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.shared.beat.end();
        self.shared.give_up_socket();
        if let Some(task) = take(&self.task) {
            task.abort();
        }
        if let Some(endpoint) = take(&self.endpoint) {
            endpoint.close(quinn::VarInt::from_u32(0), b"");
        }
    }
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn open(
    address: SocketAddr,
    server: quinn::ServerConfig,
) -> Result<(quinn::Endpoint, SocketAddr, std::net::UdpSocket), LinkError> {
    let failed = |source| LinkError::Bind { address, source };
    let socket = transport::bind(address)?;
    let second = socket.try_clone().map_err(failed)?;
    let endpoint = quinn::Endpoint::new(
        quinn::EndpointConfig::default(),
        Some(server),
        socket,
        Arc::new(quinn::TokioRuntime),
    )
    .map_err(failed)?;
    let local = endpoint.local_addr().map_err(failed)?;
    Ok((endpoint, local, second))
}
