//! The node's documents as the mesh sees them, and its answers to other nodes' calls.

use std::sync::{Arc, Weak};

use holm_certs::Identity;
use holm_mesh_link::{DocumentStore, PeerInfo, RpcHandler};
use holm_mesh_proto::HintKeys;
use holm_model::{DocId, DocVersion, Millis, SiteId, TenantId};
use holm_replica::Replica;
use tokio::sync::broadcast;

use super::links::LINKS_METHOD;
use super::probe_tests_once::TEST_METHOD;
use super::query::QUERY_METHOD;
use super::roster::Roster;
use super::state::{Change, NodeState, Topic};
use super::throughput::THROUGHPUT_METHOD;
use super::views::VIEW_METHOD;
use super::{Tenant, Tenants};
use crate::enrol::{Issuing, RENEW_METHOD, RenewRequest};
use crate::layout::Layout;

const STOPPING: &str = "this node is about to stop";
const NOT_HERE: &str = "the tenant is not replicated here";

/// What the mesh reads and writes.
pub(super) struct Documents {
    pub(super) tenants: Tenants,
    pub(super) roster: Arc<Roster>,
    pub(super) identity: Identity,
    pub(super) layout: Layout,
    pub(super) changes: broadcast::Sender<Change>,
}

impl Documents {
    /// The replica of a tenant, by its name on the mesh.
    fn with_replica<T>(&self, label: &TenantId, use_it: impl FnOnce(&Replica) -> T) -> Option<T> {
        if *label == self.roster.tenant {
            return Some(use_it(&self.roster.replica));
        }
        self.tenant(label).map(|tenant| use_it(&tenant.replica))
    }

    fn tenant(&self, label: &TenantId) -> Option<Arc<Tenant>> {
        self.tenants.of(&self.roster.tenancy.named(label)?)
    }
}

/// A version as the mesh names it.
fn labelled(label: &TenantId, version: DocVersion) -> DocVersion {
    DocVersion { tenant: label.clone(), ..version }
}

/// On the mesh a tenant goes by its tag: the `TenantId`s here are tags, and the roster's own name.
impl DocumentStore for Documents {
    fn tenants(&self) -> Vec<TenantId> {
        let held = self.tenants.all();
        let labels = held.iter().filter_map(|tenant| self.roster.tenancy.label(&tenant.id));
        std::iter::once(self.roster.tenant.clone()).chain(labels).collect()
    }

    /// The roster is everyone's; a tenant is of the sites that it was granted to.
    fn may_replicate(&self, site: &SiteId, label: &TenantId) -> bool {
        *label == self.roster.tenant
            || self.roster.tenancy.may_replicate(site, label, Millis::now())
    }

    fn hint_keys(&self) -> Option<&dyn HintKeys> {
        Some(&self.roster.tenancy)
    }

    fn documents(&self, label: &TenantId) -> Vec<DocVersion> {
        let documents = self.with_replica(label, Replica::documents).unwrap_or_default();
        documents.into_iter().map(|version| labelled(label, version)).collect()
    }

    fn heads(&self, label: &TenantId, doc: &DocId) -> Vec<[u8; 32]> {
        self.with_replica(label, |replica| replica.heads(*doc)).unwrap_or_default()
    }

    fn export(&self, label: &TenantId, doc: &DocId, have: &[[u8; 32]]) -> Result<Vec<u8>, String> {
        let exported = self.with_replica(label, |replica| replica.export(*doc, have));
        exported.ok_or(NOT_HERE)?.map(|blob| blob.bytes).map_err(|error| error.to_string())
    }

    fn apply(
        &self,
        label: &TenantId,
        doc: &DocId,
        from: &str,
        bytes: &[u8],
    ) -> Result<Option<DocVersion>, String> {
        let now = Millis::now();
        if *label == self.roster.tenant {
            return self.roster.apply(*doc, bytes, from, &self.identity, &self.layout, now);
        }
        let tenant = self.tenant(label).ok_or(NOT_HERE)?;
        let (news, _) = tenant.apply(*doc, bytes, from, now)?;
        if news.is_some() {
            // Nobody listening is fine: the stream tells pages that are open.
            let _ = self.changes.send(Change::of(&tenant.id, Topic::Topology));
        }
        Ok(news.map(|version| labelled(label, version)))
    }
}

/// Answers other nodes' calls.
pub(super) struct Calls {
    pub(super) issuing: Option<Arc<Issuing>>,
    pub(super) identity: Identity,
    /// The mesh calls this, and the node holds the mesh.
    pub(super) state: Weak<NodeState>,
}

impl RpcHandler for Calls {
    fn handle(&self, peer: &PeerInfo, method: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        match method {
            RENEW_METHOD => self.renew(peer, body),
            VIEW_METHOD => self.view(peer),
            LINKS_METHOD => self.links(peer),
            TEST_METHOD => {
                let state = self.state.upgrade().ok_or(STOPPING)?;
                state.answer_test(peer, body)
            }
            THROUGHPUT_METHOD => {
                let state = self.state.upgrade().ok_or(STOPPING)?;
                state.answer_throughput(peer, body)
            }
            QUERY_METHOD => {
                let state = self.state.upgrade().ok_or(STOPPING)?;
                state.answer_query(peer, body)
            }
            _ => Err(format!("this version does not know the call {method}")),
        }
    }
}

impl Calls {
    /// What this node reaches, for sites that share a tenant with this one.
    fn view(&self, peer: &PeerInfo) -> Result<Vec<u8>, String> {
        let now = Millis::now();
        let state = self.state.upgrade().ok_or(STOPPING)?;
        state.roster.tenancy.may_ask(&peer.site, now)?;
        let view = state.own_view(now).ok_or(STOPPING)?;
        serde_json::to_vec(&view).map_err(|error| error.to_string())
    }

    /// What this node measures to other sites, for sites that share a tenant with this one.
    fn links(&self, peer: &PeerInfo) -> Result<Vec<u8>, String> {
        let now = Millis::now();
        let state = self.state.upgrade().ok_or(STOPPING)?;
        state.roster.tenancy.may_ask(&peer.site, now)?;
        state.answer_links(now)
    }

    fn renew(&self, peer: &PeerInfo, body: &[u8]) -> Result<Vec<u8>, String> {
        let issuing = self.issuing.as_ref().ok_or("this node is not an issuer")?;
        let request: RenewRequest = serde_json::from_slice(body)
            .map_err(|error| format!("the request is not understood: {error}"))?;
        let certificates = issuing
            .renew(&peer.spiffe_id, &peer.peer_id, &request, &self.identity, Millis::now())
            .map_err(|error| error.to_string())?;
        serde_json::to_vec(&certificates).map_err(|error| error.to_string())
    }
}
