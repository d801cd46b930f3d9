//! The mesh on the network: a libp2p swarm over our own QUIC transport with SPIFFE certificates.
//!
//! What comes in: this node's identity, a store of documents, a handler of calls, and bytes of the
//! network. What goes out: documents that agree with those of every peer that may have them, a status,
//! and answers to calls. What must never happen: a byte of a tenant to a peer whose certificate, mesh,
//! version and permission were not judged first; a connection that outlives the certificate that it
//! stands on; a panic or an unbounded queue, whatever a peer sends.
//!
//! [`Mesh`] is all that the node needs. Below it: `transport` and `muxer` carry libp2p over quinn,
//! `handshake` judges a peer on both sides before either sees a connection, `directory` keeps who is
//! connected and until when, `circuit` carries QUIC inside a stream through a third node, `relay` is
//! what this node does for others behind NAT, `streams` hands streams to the `driver`, which feeds the
//! machine of `holm-mesh-proto`.

mod circuit;
mod config;
mod directory;
mod driver;
mod error;
mod frame;
mod fused;
mod handshake;
mod known;
mod lease_keys;
mod mesh;
mod muxer;
mod nat;
mod nat_serve;
mod nat_streams;
mod network;
mod peer;
mod raw_clock;
mod relay;
mod rpc;
mod serving;
mod shared;
mod status;
mod streams;
mod sync;
mod traffic;
mod transport;
mod watchdog;

pub use config::{Limits, MeshConfig, NatConfig, RelayLimits};
pub use error::{CloseCode, HandshakeError, LinkError};
pub use holm_mesh_proto::wire::MeshId;
pub use holm_mesh_proto::{
    ClockView, ConflictView, DocumentStore, Gone, LeaseView, MemberState, Order, PeerKey,
    SyncReport, SyncView, Timing,
};
pub use known::KnownNode;
pub use libp2p_identity::PeerId;
pub use mesh::Mesh;
pub use nat::Reach;
pub use peer::peer_id_of;
pub use relay::RelayStatus;
pub use rpc::{PeerInfo, RpcHandler};
pub use status::{MemberStatus, MeshStatus, NatStatus, PlaceStatus, RefusalView, SeedStatus};
pub use watchdog::Stuck;
