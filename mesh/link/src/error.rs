//! What can go wrong between two nodes, and the codes with which one tells the other.

use std::net::SocketAddr;

use holm_mesh_proto::wire::{Refusal, WireError};
use libp2p_identity::PeerId;

/// Application error code of a closed QUIC connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CloseCode {
    /// The node stops.
    ShuttingDown = 1,
    /// The receiver's certificate has ended.
    Expired = 2,
    /// The receiver's key was revoked.
    Revoked = 3,
    /// The trust bundle changed and the receiver's chain no longer verifies.
    BundleChange = 4,
    /// Another connection of this pair stays.
    Duplicate = 5,
    /// The mesh ids differ.
    OtherMesh = 6,
    /// No protocol version in common.
    OtherProtocol = 7,
    /// The Hello does not say what the certificate says.
    NotItsCertificate = 8,
    /// A message that the protocol does not allow.
    ProtocolError = 9,
    /// The sender's own certificate has ended: it does not replicate until it is renewed.
    OwnCertificateEnded = 10,
    /// The sender has as many connections as it may have.
    Busy = 11,
    /// Not needed any more, or silent for too long.
    Dropped = 12,
    /// Another live process uses the same key.
    DoubledKey = 13,
    /// Someone else answered than was dialled.
    WrongPeer = 14,
    /// The sender only looked whether the receiver is reached, as the receiver had asked.
    DialBack = 15,
}

impl CloseCode {
    /// The code on the wire.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Closes `connection`, unless it is closed already: the first reason is the one that counts.
    pub(crate) fn close(self, connection: &quinn::Connection, reason: &str) {
        if connection.close_reason().is_some() {
            return;
        }
        // A close frame must fit one packet.
        let end = (0..=reason.len().min(512)).rev().find(|end| reason.is_char_boundary(*end));
        let reason = &reason.as_bytes()[..end.unwrap_or(0)];
        connection.close(quinn::VarInt::from_u32(self.code()), reason);
    }
}

/// Why a connection did not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// This pair is connected already.
    #[error("connected already")]
    AlreadyConnected(PeerId),
    /// We have as many connections as we may have.
    #[error("{limit} connections stand already: raise the limit, or let other nodes take some")]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// Another live process uses the same key.
    #[error("two live nodes use one key: stop one of them, or enrol it again under its own name")]
    DoubledKey(PeerId),
    /// The peer says that another live process uses our key.
    #[error(
        "the peer says that two live nodes use our key: stop one of them, or enrol it again under its own name"
    )]
    CalledDoubled,
    /// The peer's certificate is not good. Mostly the TLS layer says so first.
    #[error("its certificate is not good: {0}")]
    Certificate(String),
    /// A peer looked whether this node is reached, as it had been asked to.
    #[error("a dial-back, nothing more")]
    DialBack,
    /// The connection failed or the other side refused; the text says which and what to do.
    #[error("{0}")]
    Failed(String),
    /// The address is our own.
    #[error("this is our own address")]
    Myself,
    /// An address that this transport does not carry.
    #[error("address {0} is not one of this transport: use an IP address with a UDP port")]
    NoSuchAddress(String),
    /// We do not replicate at the moment.
    #[error("{0}")]
    Paused(String),
    /// We refused the peer.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// No relay led to the peer.
    #[error("no relay leads to it: {0}")]
    Relay(String),
    /// The peer holds a revocation of our key.
    #[error("refused by the peer: our key was revoked: {}", REVOKED_REMEDY)]
    Revoked,
    /// It took too long.
    #[error("no answer within {ms} ms: is the node up, and its UDP port open on the way?")]
    Timeout {
        /// How long.
        ms: u64,
    },
    /// The peer's first message is not one.
    #[error("refused: {0}")]
    Wire(#[from] WireError),
    /// Someone else answered.
    #[error(
        "node {obtained} answered, {expected} was expected: the address belongs to another node now"
    )]
    WrongPeer {
        /// Who was dialled.
        expected: Box<PeerId>,
        /// Who answered.
        obtained: Box<PeerId>,
    },
}

/// What [`crate::Mesh`] can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The UDP port cannot be had.
    #[error(
        "UDP {address} cannot be listened on: stop what uses it, or set mesh.listen to another address or port"
    )]
    Bind {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The identity does not belong to the configured site and node.
    #[error(
        "the certificate is for {certificate}, the configuration says {site}/{node}: correct the configuration or enrol again"
    )]
    NotThisNode {
        /// SPIFFE ID of the certificate.
        certificate: String,
        /// Configured site.
        site: String,
        /// Configured node.
        node: String,
    },
    /// The identity cannot be used for TLS.
    #[error("the identity cannot be used: {0}")]
    Identity(String),
    /// The mesh was shut down.
    #[error("the mesh is shut down")]
    Stopped,
    /// The peer is not connected.
    #[error("node {0} is not connected: see the mesh's status for the reason")]
    NotConnected(String),
    /// A call failed on the way.
    #[error("call {method} to {peer} failed: {reason}")]
    Call {
        /// Which method.
        method: String,
        /// Whom.
        peer: String,
        /// Why.
        reason: String,
    },
    /// The peer's handler refused the call.
    #[error("{peer} answers {method}: {reason}")]
    Answer {
        /// Which method.
        method: String,
        /// Whom.
        peer: String,
        /// What it says.
        reason: String,
    },
}

/// What brings a node back whose key was revoked: its key never comes back.
pub(crate) const REVOKED_REMEDY: &str = "to come back it needs a new key: stop it, move its identity and tenants folders \
     away, and enrol it with a new token";

impl HandshakeError {
    /// A connection that failed before it stood.
    pub(crate) fn of(error: &quinn::ConnectionError) -> Self {
        if closed_with(error, CloseCode::DialBack) {
            Self::DialBack
        } else if says_revoked(error) {
            Self::Revoked
        } else {
            Self::Failed(describe(error))
        }
    }
}

fn closed_with(error: &quinn::ConnectionError, code: CloseCode) -> bool {
    matches!(error, quinn::ConnectionError::ApplicationClosed(frame)
        if frame.error_code.into_inner() == u64::from(code.code()))
}

/// TLS alert 44 is `certificate_revoked` (RFC 8446 §6.2).
fn says_revoked(error: &quinn::ConnectionError) -> bool {
    match error {
        quinn::ConnectionError::ApplicationClosed(_) => closed_with(error, CloseCode::Revoked),
        quinn::ConnectionError::ConnectionClosed(frame) => {
            alert(u64::from(frame.error_code)) == Some(44)
        }
        _ => false,
    }
}

/// What a failed QUIC connection means for whoever runs the node.
fn describe(error: &quinn::ConnectionError) -> String {
    use quinn::ConnectionError as E;
    match error {
        E::ApplicationClosed(frame) => {
            format!("refused by the peer: {}", String::from_utf8_lossy(&frame.reason))
        }
        E::ConnectionClosed(frame) => match alert(u64::from(frame.error_code)) {
            Some(alert) => alert_of_peer(alert),
            None if u64::from(frame.error_code) == CONNECTION_REFUSED => {
                "refused by the peer: it takes no connections at the moment: its own certificate \
                 has ended, or it stops"
                    .to_owned()
            }
            None => format!("closed by the peer: {frame}"),
        },
        E::TransportError(failure) => match alert(u64::from(failure.code)) {
            Some(120) => OTHER_PROTOCOL.to_owned(),
            Some(_) => format!("refused: its certificate is not good: {}", failure.reason),
            None => failure.to_string(),
        },
        E::TimedOut => "no answer: is the node up, and its UDP port open on the way?".to_owned(),
        E::VersionMismatch => "the peer speaks another QUIC version: it is not Holm".to_owned(),
        E::Reset => "the peer has restarted".to_owned(),
        E::LocallyClosed => "closed by this node".to_owned(),
        E::CidsExhausted => "no connection ids are left".to_owned(),
    }
}

/// RFC 9000 §20.1.
const CONNECTION_REFUSED: u64 = 2;

const OTHER_PROTOCOL: &str =
    "refused: protocol version differs (no common ALPN): update the older node, or it is not Holm";

/// QUIC carries a TLS alert as 0x100 + alert (RFC 9001 §4.8).
fn alert(code: u64) -> Option<u64> {
    (0x100..0x200).contains(&code).then(|| code - 0x100)
}

fn alert_of_peer(alert: u64) -> String {
    match alert {
        120 => OTHER_PROTOCOL.to_owned(),
        45 => "refused by the peer: our certificate has ended, by its clock: renew it, or check \
               the clocks of both"
            .to_owned(),
        42 | 46 | 48 | 51 => format!(
            "refused by the peer: it does not trust our certificate (TLS alert {alert}): another \
             mesh or trust domain, a revoked key, or a clock that is off"
        ),
        116 => "refused by the peer: no certificate was shown".to_owned(),
        other => format!("refused by the peer: TLS alert {other}"),
    }
}
