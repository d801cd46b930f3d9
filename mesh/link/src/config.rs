//! What a node of the mesh is told.

use std::net::SocketAddr;

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
