//! What is sealed in a hint.

use holm_model::{DocId, DocVersion, HeadsDigest, Millis, TenantId};
use prost::Message;

use super::{MAX_HINT_BYTES, WireError, decode, fixed, generated, peer_key};
use crate::PeerKey;

/// A version without its tenant: the key that opens it says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HintBody {
    /// The document.
    pub doc: DocId,
    /// Its heads.
    pub heads: HeadsDigest,
    /// When it changed.
    pub changed_at: Millis,
    /// The node that wrote the version; without it, the sender says that it holds it.
    pub origin: Option<PeerKey>,
}

impl HintBody {
    /// Of a version, and whoever wrote it.
    pub const fn of(version: &DocVersion, origin: Option<PeerKey>) -> Self {
        let DocVersion { doc, heads, changed_at, .. } = version;
        Self { doc: *doc, heads: *heads, changed_at: *changed_at, origin }
    }

    /// The version, of that tenant.
    pub const fn version(&self, tenant: TenantId) -> DocVersion {
        DocVersion { tenant, doc: self.doc, heads: self.heads, changed_at: self.changed_at }
    }

    /// The bytes to seal.
    pub fn to_bytes(&self) -> Vec<u8> {
        generated::HintBody {
            doc: self.doc.0.to_vec(),
            heads: self.heads.0.to_vec(),
            changed_at_ms: self.changed_at.0,
            origin: self.origin.map_or_else(Vec::new, |origin| origin.0.to_vec()),
        }
        .encode_to_vec()
    }

    /// Reads what was sealed. Whoever has the key may have sealed anything.
    ///
    /// # Errors
    /// [`WireError`] says which field is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let what = "hint";
        let body: generated::HintBody = decode(what, bytes, MAX_HINT_BYTES)?;
        let origin = match body.origin.as_slice() {
            [] => None,
            key => Some(peer_key(what, "origin", key)?),
        };
        Ok(Self {
            doc: DocId(fixed(what, "doc", &body.doc)?),
            heads: HeadsDigest(fixed(what, "heads", &body.heads)?),
            changed_at: Millis(body.changed_at_ms),
            origin,
        })
    }
}
