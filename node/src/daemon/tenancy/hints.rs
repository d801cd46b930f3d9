//! Hints of tenants leave this node sealed with the tenant's hint key, which the authority's node hands
//! to the nodes of sites that may replicate it, and to no others.

use std::sync::{Mutex, MutexGuard, PoisonError};

use holm_certs::{HintError, HintKeys as Keys};
use holm_model::{Millis, TenantId};

use super::{Tenancy, label_of};

/// Bound into every sealed hint, with the mesh's id: a hint of one mesh opens in no other.
const CONTEXT: &[u8] = b"holm mesh hint v1\0";

/// The hint keys that this node was given. Behind a lock of their own: judging a roster takes longer than
/// the mesh's event loop may wait.
#[derive(Default)]
pub(super) struct SealedHints {
    keys: Mutex<Keys>,
    context: Vec<u8>,
}

impl SealedHints {
    pub(super) fn of_mesh(mesh_id: [u8; 16]) -> Self {
        Self { keys: Mutex::default(), context: [CONTEXT, &mesh_id].concat() }
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenancy {
    /// Takes up the keys that were delivered; after every change of the book.
    pub(super) fn renew_hint_keys(&self, held: &super::Held) {
        // Also of tenants that this site may not hold yet or any more: what is done with a hint is
        // judged when it comes.
        let tags = held.book.tenants().into_iter().map(|tenant| tenant.tag);
        let rings = tags.map(|tag| held.book.keyring(tag, &self.secret));
        let rings = rings.filter(|ring| ring.name().is_some());
        *self.hints.keys() = Keys::new(rings);
    }
}

/// Tenants go by their labels here, as on the mesh.
impl holm_mesh_proto::HintKeys for Tenancy {
    /// The roster is everyone's.
    fn is_open(&self, label: &TenantId) -> bool {
        label.as_str() == crate::daemon::ROSTER_TENANT
    }

    fn seal(&self, label: &TenantId, hint: &[u8], now: Millis) -> Option<Vec<u8>> {
        let tag = label.as_str().parse().ok()?;
        self.hints.keys().seal(tag, hint, &self.hints.context, now, &mut rand::rng()).ok()
    }

    fn open(&self, sealed: &[u8], now: Millis) -> Result<(TenantId, Vec<u8>), &'static str> {
        let opened = self.hints.keys().open(sealed, &self.hints.context, now);
        let (tag, hint) = opened.map_err(|error| counter(&error))?;
        Ok((label_of(tag).ok_or("hints_malformed")?, hint))
    }
}

const fn counter(error: &HintError) -> &'static str {
    match error {
        HintError::NoKey => "hints_no_key",
        HintError::NotOpened { .. } => "hints_not_opened",
        HintError::Retired { .. } => "hints_retired",
        _ => "hints_malformed",
    }
}
