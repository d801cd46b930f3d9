//! A tenant's documents: kept, sealed, merged.
//!
//! What comes in: changes that this node's fold found ([`Replica::commit`]), records of other kinds
//! ([`Replica::put_records`]), statements of the roster, and bytes that peers sent ([`Replica::apply`]). What goes out: versions to compare, bytes
//! to send ([`Replica::export`]), and what the sites recorded, for the graph. What must never happen:
//! an acknowledged write that a kill loses, a state that an error half changed, a document that a peer
//! slipped in under another's id, a panic over hostile bytes, or a damaged file that stops the node.
//!
//! Documents are Automerge's, values lie in redb sealed by AES-256-GCM; see
//! `docs/adr/0003-documents.md`.

mod apply;
mod budget;
mod commit;
mod disk;
mod document;
mod element;
mod epochs;
mod error;
mod inspect;
mod key;
mod name;
mod open;
mod persist;
mod place;
mod policy;
mod quarantine;
mod records;
mod replica;
mod rotate;
mod seal;
mod shelf;
mod store;
mod values;

pub use apply::{Applied, DocBlob, MAX_BLOB_BYTES, Merged};
pub use budget::{
    DocBudget, HistoryLimits, MAX_DOC_BYTES, MAX_DOC_HEADS, MAX_DOC_OPS, RETENTION_MS,
};
pub use commit::Committed;
pub use disk::{Disk, FileDisk, MemoryDisk};
pub use document::MAX_CHANGE_BYTES;
pub use error::{ApplyError, CommitError, ExportError, OpenError, StoreError};
pub use key::{DataKey, KEY_BYTES, KeyError, WrappedKey};
pub use name::DocName;
pub use open::OpenReport;
pub use policy::{MAX_POLICY_BYTES, PolicyBook, PolicyEdit, PolicyError};
pub use quarantine::{MAX_QUARANTINED, MAX_QUARANTINED_BYTES, Quarantined};
pub use records::{MAX_KEY_BYTES, NewRecord, Record};
pub use replica::{Replica, ReplicaStats};
pub use rotate::Maintained;
pub use shelf::Shelf;
