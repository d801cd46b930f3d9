//! The end of a tenant at this node: its keys first, then its files, then this node's word that it did.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use holm_certs::{ErasureAttestation, PayloadDigest, TenantTag};
use holm_model::{Millis, TenantId};

use super::state::NodeState;
use super::{Change, Topic};

/// A tenant that is to be destroyed here.
pub(super) struct Due {
    pub(super) name: TenantId,
    pub(super) tag: TenantTag,
    pub(super) erasure: PayloadDigest,
}

impl NodeState {
    /// Destroys what this node has of tenants that were erased, and says so: the attestations to add to
    /// the roster. What cannot be destroyed is named, not attested, and tried again.
    pub(super) fn erase_what_is_due(&self, now: Millis) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut attestations = Vec::new();
        for due in self.roster.tenancy.erasures_due(&self.identity.svid().spki_hash()) {
            match self.erase(&due.name) {
                Ok(()) => {
                    let key = self.identity.statement_key();
                    let said = ErasureAttestation::sign(key, due.tag, due.erasure, now)?;
                    attestations.push(said.to_bytes()?);
                    tracing::warn!(tenant = %due.name, tag = %due.tag, "the tenant was erased: its keys, documents and rows are destroyed here");
                }
                Err(error) => tracing::error!(
                    tenant = %due.name,
                    error = format!("{error:#}"),
                    "the tenant could not be erased here; it is tried again every minute"
                ),
            }
        }
        Ok(attestations)
    }

    fn erase(&self, name: &TenantId) -> anyhow::Result<()> {
        if let Some(tenant) = self.tenants.remove(name) {
            tenant.end();
            self.tell(Change::of(name, Topic::Topology));
        }
        let dir = self.layout.tenant(name);
        destroy_key(&dir.join("data.key"))?;
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{}: cannot be removed", dir.display()));
            }
            _ => {}
        }
        destroy_key(&crate::identity::directory(&self.layout).tenant_authority_path(name))?;
        // The first tenant's credentials are also those of the node's operators.
        if self.config.node.tenants.first() != Some(name) {
            self.credentials.forget_tenant(name)?;
            destroy_key(&self.layout.admin_token_of(name))?;
        }
        Ok(())
    }
}

/// Overwrites a key's file before it goes: what it sealed cannot be opened any more, even if the disk
/// gives back the files.
fn destroy_key(path: &Path) -> anyhow::Result<()> {
    let failed = |what| format!("{}: cannot be {what}", path.display());
    let len = match std::fs::metadata(path) {
        Ok(found) => usize::try_from(found.len()).unwrap_or(0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| failed("read")),
    };
    let mut file =
        std::fs::OpenOptions::new().write(true).open(path).with_context(|| failed("opened"))?;
    file.write_all(&vec![0; len]).with_context(|| failed("overwritten"))?;
    file.sync_all().with_context(|| failed("overwritten"))?;
    std::fs::remove_file(path).with_context(|| failed("removed"))?;
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .with_context(|| failed("removed"))?;
    }
    Ok(())
}
