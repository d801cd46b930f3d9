//! Bytes to checked messages and back. Every frame has a limit that is checked before anything is
//! allocated; every field is parsed once, here, so that the rest of the crate sees only good values.

mod control;
mod hello;
mod hint_body;
mod lease;
mod nat;
mod rpc;
mod sync;

use holm_model::{DocId, DocVersion, HeadsDigest, Millis, NodeName, SiteId, TenantId};
use prost::Message;

pub use control::{Control, Hint, HintId, MAX_IDS};
pub use hello::{Hello, MAX_ADDRESSES, MeshId, OLDEST_PROTOCOL, PROTOCOL_VERSION, Refusal};
pub use hint_body::HintBody;
pub use lease::{
    ChainId, LeaseClaim, LeaseProof, MAX_CHAIN_IDS, MAX_CHAINS, MAX_LEASES, MAX_RELAYS,
};
pub(crate) use lease::{LEASES_SENT, fits};
pub use nat::{NatAnswer, NatRequest};
pub use rpc::{RpcRequest, RpcResponse};
pub use sync::{MAX_HEADS, Sync};

use crate::PeerKey;

/// Largest control frame, in bytes.
pub const MAX_CONTROL_BYTES: usize = 64 * 1024;
/// Largest hint (a gossip message or a stored version) inside a control frame, in bytes.
pub const MAX_HINT_BYTES: usize = 4 * 1024;
/// Largest frame of a reconciliation stream, in bytes; a document travels in chunks of at most
/// [`MAX_CHUNK_BYTES`].
pub const MAX_SYNC_BYTES: usize = 256 * 1024;
/// Largest piece of a document in one frame: a frame less room for its own fields.
pub const MAX_CHUNK_BYTES: usize = MAX_SYNC_BYTES - 64;
/// Largest document export that is sent or accepted, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 5 * 1024 * 1024;
/// Largest call or answer, in bytes.
pub const MAX_RPC_BYTES: usize = 1024 * 1024;

#[allow(missing_docs, unreachable_pub, clippy::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/holm.mesh.v1.rs"));
}

/// Why bytes of a peer were refused. Nothing was changed by them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A frame says that it is longer than its kind may be.
    #[error(
        "{what} frame of {length} bytes is over the limit of {limit}: the peer breaks the protocol or is not Holm"
    )]
    TooLong {
        /// Which kind of frame.
        what: &'static str,
        /// What it says.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The bytes are not such a message.
    #[error("{what} does not decode ({reason}): the peer breaks the protocol or is not Holm")]
    Malformed {
        /// Which message.
        what: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// A field has a value that it must not have.
    #[error("{what}: field {field} is not valid: {reason}")]
    BadField {
        /// Which message.
        what: &'static str,
        /// Which field.
        field: &'static str,
        /// Which rule it breaks.
        reason: String,
    },
}

/// A message that travels in a frame.
pub trait Frame: Sized {
    /// What the message is called in errors.
    const WHAT: &'static str;
    /// Largest frame in bytes, without the four bytes of length.
    const LIMIT: usize;

    /// The message's bytes, without the frame.
    fn to_bytes(&self) -> Vec<u8>;

    /// Parses the message's bytes, without the frame.
    ///
    /// # Errors
    /// [`WireError`] says which field of which message is wrong. Never panics, whatever the bytes.
    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError>;

    /// The message with its four bytes of length in front.
    ///
    /// # Errors
    /// [`WireError::TooLong`] when our own message is over the limit: it is not sent.
    fn to_frame(&self) -> Result<Vec<u8>, WireError> {
        let body = self.to_bytes();
        check_length(Self::WHAT, body.len(), Self::LIMIT)?;
        let mut frame = Vec::with_capacity(4 + body.len());
        frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend_from_slice(&body);
        Ok(frame)
    }

    /// How many bytes follow a frame's four bytes of length.
    ///
    /// # Errors
    /// [`WireError::TooLong`] before anything is allocated.
    fn body_length(header: [u8; 4]) -> Result<usize, WireError> {
        let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
        check_length(Self::WHAT, length, Self::LIMIT)?;
        Ok(length)
    }
}

fn check_length(what: &'static str, length: usize, limit: usize) -> Result<(), WireError> {
    if length > limit {
        return Err(WireError::TooLong { what, length, limit });
    }
    Ok(())
}

fn decode<M: Message + Default>(
    what: &'static str,
    bytes: &[u8],
    limit: usize,
) -> Result<M, WireError> {
    check_length(what, bytes.len(), limit)?;
    M::decode(bytes).map_err(|error| WireError::Malformed { what, reason: error.to_string() })
}

fn bad(what: &'static str, field: &'static str, reason: impl ToString) -> WireError {
    WireError::BadField { what, field, reason: reason.to_string() }
}

fn missing(what: &'static str) -> WireError {
    bad(what, "body", "it is empty, or of a kind that this version does not know")
}

fn fixed<const N: usize>(
    what: &'static str,
    field: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], WireError> {
    bytes.try_into().map_err(|_| bad(what, field, format!("{} bytes, not {N}", bytes.len())))
}

fn site(what: &'static str, text: &str) -> Result<SiteId, WireError> {
    SiteId::new(text).map_err(|error| bad(what, "site", error))
}

fn node(what: &'static str, text: &str) -> Result<NodeName, WireError> {
    NodeName::new(text).map_err(|error| bad(what, "node", error))
}

fn tenant(what: &'static str, text: &str) -> Result<TenantId, WireError> {
    TenantId::new(text).map_err(|error| bad(what, "tenant", error))
}

fn peer_key(what: &'static str, field: &'static str, bytes: &[u8]) -> Result<PeerKey, WireError> {
    Ok(PeerKey(fixed(what, field, bytes)?))
}

fn version_from(what: &'static str, version: &generated::Version) -> Result<DocVersion, WireError> {
    Ok(DocVersion {
        tenant: tenant(what, &version.tenant)?,
        doc: DocId(fixed(what, "doc", &version.doc)?),
        heads: HeadsDigest(fixed(what, "heads", &version.heads)?),
        changed_at: Millis(version.changed_at_ms),
    })
}

fn version_to(version: &DocVersion) -> generated::Version {
    generated::Version {
        tenant: version.tenant.to_string(),
        doc: version.doc.0.to_vec(),
        heads: version.heads.0.to_vec(),
        changed_at_ms: version.changed_at.0,
    }
}
