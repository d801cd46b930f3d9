//! The tenants that this node holds: opened at the start, gone when one is erased.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use holm_model::TenantId;

use super::Tenant;

/// The tenants of this node; a clone is the same.
#[derive(Clone, Default)]
pub(crate) struct Tenants(Arc<RwLock<BTreeMap<TenantId, Arc<Tenant>>>>);

impl Tenants {
    /// Of these.
    pub(super) fn new(tenants: impl IntoIterator<Item = Tenant>) -> Self {
        let tenants = tenants.into_iter().map(|tenant| (tenant.id.clone(), Arc::new(tenant)));
        Self(Arc::new(RwLock::new(tenants.collect())))
    }

    /// The tenant of that name, if it is held here.
    pub(crate) fn of(&self, name: &TenantId) -> Option<Arc<Tenant>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Every tenant, in order of name.
    pub(crate) fn all(&self) -> Vec<Arc<Tenant>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Lets go of a tenant: who asks for it from now on does not find it.
    pub(super) fn remove(&self, name: &TenantId) -> Option<Arc<Tenant>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name)
    }
}
