//! What a node of the mesh is told.

use std::net::SocketAddr;
use std::time::Duration;

use holm_mesh_proto::Timing;
use holm_mesh_proto::wire::MeshId;
use holm_model::{NodeName, SiteId};

/// A node's place in the mesh.
#[derive(Debug, Clone)]
pub struct MeshConfig {
    /// The mesh; nodes of another one are refused.
    pub mesh_id: MeshId,
    /// Must be the site of the identity's SPIFFE ID.
    pub site: SiteId,
    /// Must be the node of the identity's SPIFFE ID.
    pub node: NodeName,
    /// The one UDP port. `[::]` takes IPv4 too where the system allows it; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where others shall reach this node, at most 8; empty: the addresses of the interfaces. Needed
    /// behind NAT.
    pub advertise: Vec<SocketAddr>,
    /// Port of this node's HTTPS API, told to the others.
    pub api_port: Option<u16>,
    /// `host:port` of nodes to begin with; probed for ever.
    pub seeds: Vec<String>,
    /// Whether to look for nodes on the local network.
    pub mdns: bool,
    /// The latest version of the protocol to speak, while nodes of an older release are to be joined by
    /// newer ones; [`holm_mesh_proto::wire::PROTOCOL_VERSION`] otherwise.
    pub protocol_at_most: u32,
    /// Intervals.
    pub timing: Timing,
    /// Bounds.
    pub limits: Limits,
    /// What it does where a NAT stands before it or before others.
    pub nat: NatConfig,
}

/// What a node does about NAT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatConfig {
    /// Whether it is reached from outside; `None`: peers that dial back decide.
    pub reachable: Option<bool>,
    /// Whether it relays for others; `None`: if it is reached from outside.
    pub relay: Option<bool>,
    /// Whether it tries to make relayed connections direct.
    pub hole_punching: bool,
    /// Bounds of what it does as a relay.
    pub relay_limits: RelayLimits,
}

impl Default for NatConfig {
    fn default() -> Self {
        Self {
            reachable: None,
            relay: None,
            hole_punching: true,
            relay_limits: RelayLimits::default(),
        }
    }
}

/// Bounds of a relay. libp2p's defaults (16 circuits of 2 minutes and 128 KiB) are for strangers who
/// meet to punch a hole; here only members of the mesh are served, and a pair whose NATs cannot be
/// punched replicates through the circuit for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayLimits {
    /// Nodes that have a place at once.
    pub reservations: usize,
    /// Circuits at once; each costs 32 KiB of buffers.
    pub circuits: usize,
    /// Circuits of one node at once, begun by it or to it.
    pub circuits_of_peer: usize,
    /// How long one circuit stands; its ends then make another, perhaps a direct connection.
    pub circuit_duration: Duration,
    /// Bytes of the circuits of one node in an hour, both ways.
    pub bytes_of_peer_an_hour: u64,
    /// Wishes for places and circuits of one node in a minute.
    pub wishes_of_peer_a_minute: u64,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            reservations: 128,
            circuits: 512,
            circuits_of_peer: 32,
            circuit_duration: Duration::from_secs(24 * 3_600),
            bytes_of_peer_an_hour: 1 << 30,
            wishes_of_peer_a_minute: 120,
        }
    }
}

/// Bounds of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Handshakes of others at once. From a quarter on, an address that was not validated is asked to
    /// prove itself first (QUIC retry); beyond all of them, a datagram that would begin another is
    /// dropped.
    pub handshakes: usize,
    /// Milliseconds that a handshake may take, both sides' judgement included.
    pub handshake_ms: u64,
    /// Milliseconds without a packet after which a connection counts as lost.
    pub idle_ms: u64,
    /// Milliseconds that one message of a reconciliation or call may take to come.
    pub message_ms: u64,
    /// Reconciliations and calls of others at once; one peer may have a quarter of them.
    pub serving: usize,
    /// Reconciliations and calls of one peer that may wait for their turn; further ones are dropped.
    pub waiting: usize,
    /// Milliseconds without a turn after which the event loop counts as stuck.
    pub stuck_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            handshakes: 64,
            handshake_ms: 5_000,
            idle_ms: 10_000,
            message_ms: 30_000,
            serving: 16,
            waiting: 64,
            stuck_ms: 10_000,
        }
    }
}
