//! The roster: signed statements that concern the whole mesh, replicated like everything else.
//!
//! It is a document of a reserved tenant that no credential names. It holds revocations of nodes, who
//! is gone for good, and what [`Tenancy`] reads; a statement is verified before this node acts on it, whoever sent it.

use std::path::Path;

use holm_certs::{Identity, Revocation, SpiffeId};
use holm_mesh_link::MeshId;
use holm_model::{DocId, DocVersion, Millis, NodeName, SiteId, TenantId};
use holm_replica::{Applied, Replica};

use super::forgotten::Forgotten;
use super::tenancy::Tenancy;
use super::tenancy::acts::Doers;
use super::tenant::{data_key, open_replica};
use crate::layout::{Layout, emptied};

/// No tenant of people may have this name.
pub(crate) const ROSTER_TENANT: &str = "holm-roster";

/// This node's copy of the roster.
pub(crate) struct Roster {
    pub(crate) tenant: TenantId,
    pub(crate) replica: Replica,
    pub(crate) messages: Vec<String>,
    /// Who may replicate which tenant.
    pub(crate) tenancy: Tenancy,
    /// Who is gone for good.
    pub(crate) forgotten: Forgotten,
    /// Who did what of it at this node.
    pub(crate) doers: Doers,
}

impl Roster {
    pub(crate) fn open(
        layout: &Layout,
        site: &SiteId,
        node: &NodeName,
        key_of_keys: &[u8; 32],
        identity: &Identity,
        mesh_id: Option<MeshId>,
        now: Millis,
    ) -> anyhow::Result<Self> {
        let tenant = TenantId::new(ROSTER_TENANT)?;
        let dir = layout.tenant(&tenant);
        std::fs::create_dir_all(&dir)?;
        let key_file = dir.join("data.key");
        let mut messages: Vec<String> =
            emptied(&dir.join("state.redb"), key_file.exists()).into_iter().collect();
        let key = data_key(&key_file, &tenant, key_of_keys)?;
        let (replica, report) = open_replica(Path::new(&dir), &tenant, key, site, node, now)?;
        messages.extend(report.messages);
        // Without one the mesh does not run, and no hint comes or goes.
        let mesh_id = mesh_id.map_or([0; 16], |id| id.0);
        let tenancy = Tenancy::open(layout, site, identity, mesh_id)?;
        Ok(Self {
            tenant,
            replica,
            messages,
            tenancy,
            forgotten: Forgotten::default(),
            doers: Doers::default(),
        })
    }

    /// Takes every revocation that it holds into `identity`, and every grant, so that a restart forgets
    /// none.
    pub(crate) fn enforce(&self, identity: &Identity, layout: &Layout, now: Millis) {
        self.take(&self.replica.statements(), identity, layout, now);
    }

    /// Adds a revocation of a node's key; the version to tell the mesh of.
    pub(crate) fn revoke(
        &self,
        revocation: &Revocation,
        identity: &Identity,
        layout: &Layout,
        now: Millis,
    ) -> anyhow::Result<Vec<DocVersion>> {
        let bytes = revocation.to_bytes()?;
        let committed = self.replica.add_statement(&bytes, now)?;
        self.take(&[bytes], identity, layout, now);
        Ok(committed.versions)
    }

    /// Adds statements of this node; the versions to tell the mesh of.
    pub(crate) fn add(
        &self,
        statements: &[Vec<u8>],
        identity: &Identity,
        now: Millis,
    ) -> anyhow::Result<Vec<DocVersion>> {
        let mut versions = Vec::new();
        for statement in statements {
            versions = self.replica.add_statement(statement, now)?.versions;
        }
        self.tenancy.take(statements, identity);
        self.forgotten.take(statements, identity, now);
        Ok(versions)
    }

    /// Merges what a peer sent and acts on what is new in it.
    pub(crate) fn apply(
        &self,
        doc: DocId,
        bytes: &[u8],
        from: &str,
        identity: &Identity,
        layout: &Layout,
        now: Millis,
    ) -> Result<Option<DocVersion>, String> {
        match self.replica.apply(doc, bytes, from, now).map_err(|error| error.to_string())? {
            Applied::Merged(merged) => {
                self.take(&merged.statements, identity, layout, now);
                Ok(merged.news.then_some(merged.version))
            }
            Applied::NeedsMore { .. } => {
                Err("the changes stand on others that are not here".into())
            }
        }
    }

    fn take(&self, statements: &[Vec<u8>], identity: &Identity, layout: &Layout, now: Millis) {
        let mut changed = false;
        for statement in statements {
            let taken = Revocation::from_bytes(statement)
                .and_then(|revocation| Ok((identity.revoke(&revocation, now)?, revocation)));
            match taken {
                Ok((true, revocation)) => {
                    changed = true;
                    tracing::warn!(
                        spiffe_id = %revocation.spiffe_id(),
                        reason = ?revocation.reason(),
                        "a node is revoked"
                    );
                }
                Ok((false, _)) => {}
                // It is about tenants or who is gone, or of a kind that this version does not read: carried on.
                Err(error) => tracing::debug!(%error, "a statement of the roster is not acted on"),
            }
        }
        self.tenancy.take(statements, identity);
        self.forgotten.take(statements, identity, now);
        if changed {
            // What a revoked issuer signed no longer holds.
            let all = self.replica.statements();
            self.tenancy.retrust(&all, identity);
            self.forgotten.retrust(&all, identity, now);
        }
        if changed
            && let Err(error) =
                crate::identity::directory(layout).save_revocations(&identity.revocations())
        {
            tracing::error!(%error, "revocations could not be saved beside the identity; the roster has them");
        }
    }

    /// Every revocation in force here.
    pub(crate) fn revocations(identity: &Identity) -> Vec<(SpiffeId, String, Millis)> {
        let known = identity.revocations();
        known.iter().map(|r| (r.spiffe_id().clone(), r.reason().to_owned(), r.at())).collect()
    }
}
