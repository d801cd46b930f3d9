//! Where a node keeps what: one folder.
//!
//! ```text
//! holm.toml                configuration
//! identity/                node key, SVID, bundle, web certificate; issuer key and certificate if it issues
//! mesh.json                which mesh this is: id, trust domain
//! node.redb                hashes of API tokens and sessions
//! tenants/<tenant>/        state.redb (documents), events/, planes/ (what planes keep), data.key (wrapped),
//!                          ran (until when it ran)
//! credentials/admin.token  the node's own admin token, for the command line on this machine
//! run/api.json             where the running node serves
//! root/                    only after `holm mesh init`: the root, for the operator to store elsewhere
//! ```

use std::io::Write;
use std::path::{Path, PathBuf};

use holm_model::TenantId;

/// The folder of one node.
#[derive(Debug, Clone)]
pub(crate) struct Layout(PathBuf);

impl Layout {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.into())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.0.join("holm.toml")
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.0.join("identity")
    }

    pub(crate) fn mesh(&self) -> PathBuf {
        self.0.join("mesh.json")
    }

    pub(crate) fn credentials(&self) -> PathBuf {
        self.0.join("node.redb")
    }

    pub(crate) fn tenant(&self, tenant: &TenantId) -> PathBuf {
        self.0.join("tenants").join(tenant.as_str())
    }

    /// What the mesh's tenants are called here.
    pub(crate) fn tenants_file(&self) -> PathBuf {
        self.0.join("tenants.json")
    }

    pub(crate) fn admin_token(&self) -> PathBuf {
        self.0.join("credentials").join("admin.token")
    }

    /// The admin token of a tenant that is not the node's first.
    pub(crate) fn admin_token_of(&self, tenant: &TenantId) -> PathBuf {
        self.0.join("credentials").join(format!("admin.{}.token", tenant.as_str()))
    }

    pub(crate) fn api(&self) -> PathBuf {
        self.0.join("run").join("api.json")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// The nodes of the mesh that this one knew last.
    pub(crate) fn known_nodes(&self) -> PathBuf {
        self.0.join("known-nodes.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("run").join("lock")
    }
}

/// Writes `path` as a whole or not at all, readable by its owner alone if `secret`. Makes the
/// folders above it.
pub(crate) fn write_file(path: &Path, bytes: &[u8], secret: bool) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(if secret { 0o700 } else { 0o755 })
        .create(folder)?;
    let temporary = path.with_extension("tmp");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(if secret { 0o600 } else { 0o644 })
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    std::fs::File::open(folder)?.sync_all()
}

/// What to say of a store that is about to be made anew: it was there before (`known`) and is gone, or
/// it is there and empty. Each such store is opened as if it were the first time.
pub(crate) fn emptied(store: &Path, known: bool) -> Option<String> {
    let how = match std::fs::metadata(store) {
        Ok(found) if found.len() == 0 => "is damaged: it was cut to nothing",
        Err(error) if known && error.kind() == std::io::ErrorKind::NotFound => {
            "is damaged: it is not there any more"
        }
        _ => return None,
    };
    Some(format!(
        "{} {how}; it is made anew. Peers return documents; what only this node held is gone here: restore it from a \
         backup if there is one, and check the disk",
        store.display()
    ))
}
