//! The node's documents as the mesh sees them, and its answers to other nodes' calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use holm_certs::Identity;
use holm_mesh_link::{DocumentStore, PeerInfo, RpcHandler};
use holm_model::{DocId, DocVersion, Millis, SiteId, TenantId};
use holm_replica::Replica;
use tokio::sync::broadcast;

use super::Tenant;
use super::roster::Roster;
use super::state::{Change, Topic};
use crate::enrol::{Issuing, RENEW_METHOD, RenewRequest};
use crate::layout::Layout;

/// What the mesh reads and writes.
pub(super) struct Documents {
    pub(super) tenants: BTreeMap<TenantId, Arc<Tenant>>,
    pub(super) roster: Arc<Roster>,
    pub(super) identity: Identity,
    pub(super) layout: Layout,
    pub(super) changes: broadcast::Sender<Change>,
}

impl Documents {
    fn replica(&self, tenant: &TenantId) -> Option<&Replica> {
        if *tenant == self.roster.tenant {
            return Some(&self.roster.replica);
        }
        self.tenants.get(tenant).map(|tenant| &tenant.replica)
    }
}

impl DocumentStore for Documents {
    fn tenants(&self) -> Vec<TenantId> {
        std::iter::once(&self.roster.tenant).chain(self.tenants.keys()).cloned().collect()
    }

    /// Every site of the mesh replicates every tenant that both sides are configured for. Signed
    /// grants take this decision's place (DESIGN §3).
    fn may_replicate(&self, _: &SiteId, tenant: &TenantId) -> bool {
        self.replica(tenant).is_some()
    }

    fn documents(&self, tenant: &TenantId) -> Vec<DocVersion> {
        self.replica(tenant).map(Replica::documents).unwrap_or_default()
    }

    fn heads(&self, tenant: &TenantId, doc: &DocId) -> Vec<[u8; 32]> {
        self.replica(tenant).map(|replica| replica.heads(*doc)).unwrap_or_default()
    }

    fn export(&self, tenant: &TenantId, doc: &DocId, have: &[[u8; 32]]) -> Result<Vec<u8>, String> {
        let replica = self.replica(tenant).ok_or("the tenant is not replicated here")?;
        replica.export(*doc, have).map(|blob| blob.bytes).map_err(|error| error.to_string())
    }

    fn apply(
        &self,
        tenant: &TenantId,
        doc: &DocId,
        from: &str,
        bytes: &[u8],
    ) -> Result<Option<DocVersion>, String> {
        let now = Millis::now();
        if *tenant == self.roster.tenant {
            return self.roster.apply(*doc, bytes, from, &self.identity, &self.layout, now);
        }
        let tenant = self.tenants.get(tenant).ok_or("the tenant is not replicated here")?;
        let (news, _) = tenant.apply(*doc, bytes, from, now)?;
        if news.is_some() {
            // Nobody listening is fine: the stream tells pages that are open.
            let _ = self.changes.send(Change::of(&tenant.id, Topic::Topology));
        }
        Ok(news)
    }
}

/// Answers other nodes' calls.
pub(super) struct Calls {
    pub(super) issuing: Option<Arc<Issuing>>,
    pub(super) identity: Identity,
}

impl RpcHandler for Calls {
    fn handle(&self, peer: &PeerInfo, method: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        if method != RENEW_METHOD {
            return Err(format!("this version does not know the call {method}"));
        }
        let issuing = self.issuing.as_ref().ok_or("this node is not an issuer")?;
        let request: RenewRequest = serde_json::from_slice(body)
            .map_err(|error| format!("the request is not understood: {error}"))?;
        let certificates = issuing
            .renew(&peer.spiffe_id, &peer.peer_id, &request, &self.identity, Millis::now())
            .map_err(|error| error.to_string())?;
        serde_json::to_vec(&certificates).map_err(|error| error.to_string())
    }
}
