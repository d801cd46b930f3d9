//! Messages of a reconciliation stream.

use holm_model::{DocId, TenantId};
use prost::Message;

use super::generated::sync::Body;
use super::{
    Frame, MAX_CHUNK_BYTES, MAX_DOCUMENT_BYTES, MAX_SYNC_BYTES, WireError, bad, decode, fixed,
    generated, missing, tenant,
};

/// Most heads that one side names of one document. A document may have at most 64 heads; what is
/// named beyond that was written by a node that broke the budget.
pub const MAX_HEADS: usize = 256;
/// Longest reason or error text, in bytes.
const MAX_TEXT_BYTES: usize = 1024;

/// A message of a reconciliation stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sync {
    /// The responder applied (or could not apply) the document that was pushed.
    Applied {
        /// Which document.
        doc: DocId,
        /// Why it could not.
        error: Option<String>,
    },
    /// A piece of the document announced before.
    Chunk(Vec<u8>),
    /// A document's changes follow in chunks.
    Document {
        /// Which document.
        doc: DocId,
        /// The sender's heads.
        heads: Vec<[u8; 32]>,
        /// Bytes in all chunks together; 0 when the receiver lacks nothing.
        length: usize,
    },
    /// The fingerprint is another here.
    Differs,
    /// The initiator has nothing more; the stream ends.
    Done,
    /// "These are my heads: send what I lack, and yours."
    Exchange {
        /// Which document.
        doc: DocId,
        /// The sender's heads; none if it does not have the document.
        heads: Vec<[u8; 32]>,
    },
    /// Opens the stream.
    Open {
        /// Whose documents.
        tenant: TenantId,
        /// First negentropy message; empty when only named documents are exchanged.
        reconcile: Vec<u8>,
    },
    /// Opens the stream when both sides are expected to be equal: asks whether they are.
    Probe {
        /// Whose documents.
        tenant: TenantId,
        /// Over the versions of all of them.
        fingerprint: [u8; 16],
    },
    /// One negentropy message.
    Reconcile(Vec<u8>),
    /// The responder will not reconcile this tenant with this peer.
    Refused {
        /// Why.
        reason: String,
    },
    /// The fingerprint is the same here.
    Same,
    /// The sender has said what it had to say and waits.
    Turn,
}

impl Frame for Sync {
    const WHAT: &'static str = "sync";
    const LIMIT: usize = MAX_SYNC_BYTES;

    fn to_bytes(&self) -> Vec<u8> {
        let body = match self {
            Self::Applied { doc, error } => Body::Applied(generated::Applied {
                doc: doc.0.to_vec(),
                error: error.as_deref().map(clip).unwrap_or_default(),
            }),
            Self::Chunk(bytes) => Body::Chunk(generated::Chunk { bytes: bytes.clone() }),
            Self::Document { doc, heads, length } => Body::Document(generated::Document {
                doc: doc.0.to_vec(),
                heads: heads_to(heads),
                length: *length as u64,
            }),
            Self::Differs => Body::Differs(generated::Nothing {}),
            Self::Done => Body::Done(generated::Nothing {}),
            Self::Exchange { doc, heads } => {
                Body::Exchange(generated::Exchange { doc: doc.0.to_vec(), heads: heads_to(heads) })
            }
            Self::Open { tenant, reconcile } => Body::Open(generated::Open {
                tenant: tenant.to_string(),
                reconcile: reconcile.clone(),
                fingerprint: Vec::new(),
            }),
            Self::Probe { tenant, fingerprint } => Body::Open(generated::Open {
                tenant: tenant.to_string(),
                reconcile: Vec::new(),
                fingerprint: fingerprint.to_vec(),
            }),
            Self::Reconcile(bytes) => Body::Reconcile(bytes.clone()),
            Self::Refused { reason } => Body::Refused(generated::Refused { reason: clip(reason) }),
            Self::Same => Body::Same(generated::Nothing {}),
            Self::Turn => Body::Turn(generated::Nothing {}),
        };
        generated::Sync { body: Some(body) }.encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let what = Self::WHAT;
        let sync: generated::Sync = decode(what, bytes, Self::LIMIT)?;
        Ok(match sync.body.ok_or_else(|| missing(what))? {
            Body::Applied(applied) => Self::Applied {
                doc: DocId(fixed("applied", "doc", &applied.doc)?),
                error: (!applied.error.is_empty()).then(|| clip(&applied.error)),
            },
            Body::Chunk(chunk) if chunk.bytes.len() > MAX_CHUNK_BYTES => {
                return Err(bad("chunk", "bytes", format!("more than {MAX_CHUNK_BYTES}")));
            }
            Body::Chunk(chunk) => Self::Chunk(chunk.bytes),
            Body::Document(document) => document_from(&document)?,
            Body::Differs(_) => Self::Differs,
            Body::Done(_) => Self::Done,
            Body::Exchange(exchange) => Self::Exchange {
                doc: DocId(fixed("exchange", "doc", &exchange.doc)?),
                heads: heads_from("exchange", &exchange.heads)?,
            },
            Body::Open(open) if !open.fingerprint.is_empty() => Self::Probe {
                tenant: tenant("open", &open.tenant)?,
                fingerprint: fixed("open", "fingerprint", &open.fingerprint)?,
            },
            Body::Open(open) => {
                Self::Open { tenant: tenant("open", &open.tenant)?, reconcile: open.reconcile }
            }
            Body::Reconcile(bytes) => Self::Reconcile(bytes),
            Body::Refused(refused) => Self::Refused { reason: clip(&refused.reason) },
            Body::Same(_) => Self::Same,
            Body::Turn(_) => Self::Turn,
        })
    }
}

fn document_from(document: &generated::Document) -> Result<Sync, WireError> {
    let length = usize::try_from(document.length).unwrap_or(usize::MAX);
    if length > MAX_DOCUMENT_BYTES {
        return Err(WireError::TooLong { what: "document", length, limit: MAX_DOCUMENT_BYTES });
    }
    Ok(Sync::Document {
        doc: DocId(fixed("document", "doc", &document.doc)?),
        heads: heads_from("document", &document.heads)?,
        length,
    })
}

fn heads_from(what: &'static str, heads: &[Vec<u8>]) -> Result<Vec<[u8; 32]>, WireError> {
    if heads.len() > MAX_HEADS {
        return Err(bad(what, "heads", format!("more than {MAX_HEADS}")));
    }
    heads.iter().map(|head| fixed(what, "heads", head)).collect()
}

fn heads_to(heads: &[[u8; 32]]) -> Vec<Vec<u8>> {
    heads.iter().take(MAX_HEADS).map(|head| head.to_vec()).collect()
}

fn clip(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
