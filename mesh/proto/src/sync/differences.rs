//! What differs between two nodes' documents of one tenant, as negentropy and fingerprints see it.

use holm_model::{DocId, TenantId};
use negentropy::{Id, Negentropy, NegentropyStorageVector};

use super::SyncError;
use crate::DocumentStore;

/// Largest negentropy message, in bytes; must be 0 or at least 4,096.
const RECONCILE_BYTES: u64 = 128 * 1024;
/// Latest change time that takes part: negentropy keeps the largest number for "no bound".
const MAX_TIMESTAMP: u64 = u64::MAX / 2;

pub(super) type Comparison = Negentropy<'static, NegentropyStorageVector>;

pub(super) fn compare(
    store: &dyn DocumentStore,
    tenant: &TenantId,
) -> Result<Box<Comparison>, SyncError> {
    let mut storage = NegentropyStorageVector::new();
    for version in store.documents(tenant) {
        let mut id = [0; 32];
        id[..16].copy_from_slice(&version.doc.0);
        id[16..].copy_from_slice(&version.heads.0);
        storage
            .insert(version.changed_at.0.min(MAX_TIMESTAMP), Id::from_byte_array(id))
            .map_err(reconcile_error)?;
    }
    storage.seal().map_err(reconcile_error)?;
    Ok(Box::new(Negentropy::owned(storage, RECONCILE_BYTES).map_err(reconcile_error)?))
}

/// Of all versions of a tenant, in the order of their documents.
pub(super) fn fingerprint(store: &dyn DocumentStore, tenant: &TenantId) -> [u8; 16] {
    let mut versions: Vec<_> =
        store.documents(tenant).into_iter().map(|version| (version.doc, version.heads)).collect();
    versions.sort_unstable_by_key(|(doc, _)| *doc);
    let mut hasher = blake3::Hasher::new();
    for (doc, heads) in versions {
        hasher.update(&doc.0);
        hasher.update(&heads.0);
    }
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    fingerprint
}

pub(super) fn document_of(id: &Id) -> DocId {
    let mut doc = [0; 16];
    doc.copy_from_slice(&id[..16]);
    DocId(doc)
}

pub(super) fn reconcile_error(error: negentropy::Error) -> SyncError {
    SyncError::Reconcile(error.to_string())
}
