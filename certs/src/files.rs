//! Identity on disk: one directory, whole files, secrets that only their owner can read.
//!
//! Every file is written beside its place, synced, renamed, and the directory synced: after a crash
//! the old or the new file is there, never half of one. A secret that others can read is refused, not
//! repaired: who read it meanwhile cannot be known.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use holm_model::TenantId;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::authority::{
    IssueError, Issuer, RootAuthority, certificates_from_pem, certificates_to_pem,
};
use crate::bundle::{BundleError, BundleMap};
use crate::key::{KeyError, NodeKey};
use crate::revocation::{RevocationError, RevocationSet};
use crate::tenant::TenantAuthority;
use crate::token::TokenLedger;
use crate::web::{WebError, WebIdentity};

/// Largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// Why a file was not read or written. A failed write leaves the old file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A key that is written once is there already.
    #[error("{} is there already and is not written over: whoever has it speaks for the tenant; to begin anew, move it to a safe place first", .0.display())]
    Exists(PathBuf),
    /// The operating system refused.
    #[error("cannot {action} {}: {source}; {}", path.display(), io_remedy(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others may read a secret.
    #[error("{} is a secret that others can read (mode {mode:o}); run `chmod 600 {}`, and if anyone may have read it, make a new one", path.display(), path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not text.
    #[error("{} is not UTF-8 text; put back a good copy", .0.display())]
    NotText(PathBuf),
    /// Larger than any such file.
    #[error("{} is larger than 64 MiB; that is not a file of Holm", .0.display())]
    TooLarge(PathBuf),
    /// A key in it is bad.
    #[error("{}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
    /// A certificate or authority in it is bad.
    #[error("{}: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: IssueError,
    },
    /// The bundle in it is bad.
    #[error("{}: {source}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: BundleError,
    },
    /// The revocations in it are bad.
    #[error("{}: {source}; delete the file to fetch the revocations from another node", path.display())]
    Revocations {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: RevocationError,
    },
    /// The token ledger in it is bad.
    #[error("{} cannot be read: {source}; delete the file to forget all open join tokens", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The web certificate in it is bad.
    #[error("{}: {source}", path.display())]
    Web {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: WebError,
    },
}

impl FileError {
    /// Whether the file is simply not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

fn io_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "make it with `holm mesh init` or `holm join`, or check the data folder's path"
        }
        io::ErrorKind::PermissionDenied => {
            "run as the user that owns the data folder, or give the folder to this user (chown)"
        }
        io::ErrorKind::StorageFull => "the disk is full: free some space and try again",
        _ => "check the disk and the folder",
    }
}

/// The directory that holds a node's identity.
#[derive(Debug, Clone)]
pub struct IdentityDir(PathBuf);

impl IdentityDir {
    /// Opens `path`, making it (mode 700) if it is not there.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn create(path: &Path) -> Result<Self, FileError> {
        fs::create_dir_all(path).map_err(io_error("make the folder", path))?;
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(io_error("protect the folder", path))?;
        Ok(Self(path.to_owned()))
    }

    /// Names `path` without touching it.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Where the node's key is: `node-key.pem`.
    pub fn node_key_path(&self) -> PathBuf {
        self.file("node-key.pem")
    }

    /// Writes the root's key and certificate: `root.pem`, for the operator to take away.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn save_root(&self, root: &RootAuthority) -> Result<PathBuf, FileError> {
        let path = self.file("root.pem");
        write_atomic(&path, root.to_pem().as_bytes(), PRIVATE)?;
        Ok(path)
    }

    /// Reads `root.pem`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn load_root(&self) -> Result<RootAuthority, FileError> {
        let path = self.file("root.pem");
        let text = read_secret(&path)?;
        RootAuthority::from_pem(&text).map_err(|source| FileError::Certificate { path, source })
    }

    /// Where a tenant's authority is: `tenant-<name>.pem`.
    pub fn tenant_authority_path(&self, tenant: &TenantId) -> PathBuf {
        self.file(&format!("tenant-{tenant}.pem"))
    }

    /// Writes a tenant's key, once: another one of that name stays.
    ///
    /// # Errors
    /// [`FileError::Exists`] if there is one; [`FileError`].
    pub fn save_tenant_authority(&self, authority: &TenantAuthority) -> Result<PathBuf, FileError> {
        let path = self.tenant_authority_path(authority.tenant());
        write_new(&path, authority.to_pem().as_bytes(), PRIVATE)?;
        Ok(path)
    }

    /// Reads `tenant-<name>.pem`; `None` if this node does not hold the tenant's authority.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn load_tenant_authority(
        &self,
        tenant: &TenantId,
    ) -> Result<Option<TenantAuthority>, FileError> {
        let path = self.tenant_authority_path(tenant);
        optional(read_secret(&path))?
            .map(|text| TenantAuthority::from_pem(tenant.clone(), &text))
            .transpose()
            .map_err(|source| FileError::Key { path, source })
    }

    /// Writes the issuer's key and chain: `issuer.pem`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn save_issuer(&self, issuer: &Issuer) -> Result<(), FileError> {
        write_atomic(&self.file("issuer.pem"), issuer.to_pem().as_bytes(), PRIVATE)
    }

    /// Reads `issuer.pem`; `None` if this node is no issuer.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn load_issuer(&self) -> Result<Option<Issuer>, FileError> {
        let path = self.file("issuer.pem");
        optional(read_secret(&path))?
            .map(|text| Issuer::from_pem(&text))
            .transpose()
            .map_err(|source| FileError::Certificate { path, source })
    }

    /// Writes the node's key: `node-key.pem`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn save_node_key(&self, key: &NodeKey) -> Result<(), FileError> {
        write_atomic(&self.node_key_path(), key.to_pem().as_bytes(), PRIVATE)
    }

    /// Reads `node-key.pem`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn load_node_key(&self) -> Result<NodeKey, FileError> {
        load_key(self.node_key_path())
    }

    /// Writes the SVID chain: `svid.pem`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn save_svid(&self, chain: &[CertificateDer<'static>]) -> Result<(), FileError> {
        write_atomic(&self.file("svid.pem"), certificates_to_pem(chain).as_bytes(), PUBLIC)
    }

    /// Reads `svid.pem`, leaf first.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn load_svid(&self) -> Result<Vec<CertificateDer<'static>>, FileError> {
        let path = self.file("svid.pem");
        let text = text(&path, read(&path)?)?;
        certificates_from_pem("SVID", &text)
            .map_err(|source| FileError::Certificate { path, source })
    }

    /// Writes the bundles of the trusted domains: `bundles.json`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn save_bundles(&self, bundles: &BundleMap) -> Result<(), FileError> {
        let path = self.file("bundles.json");
        match bundles.to_json() {
            Ok(json) => write_atomic(&path, json.as_bytes(), PUBLIC),
            Err(source) => Err(FileError::Bundle { path, source }),
        }
    }

    /// Reads `bundles.json`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn load_bundles(&self) -> Result<BundleMap, FileError> {
        let path = self.file("bundles.json");
        BundleMap::from_json(&read(&path)?).map_err(|source| FileError::Bundle { path, source })
    }

    /// Writes the revocations: `revocations.bin`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn save_revocations(&self, set: &RevocationSet) -> Result<(), FileError> {
        let path = self.file("revocations.bin");
        match set.to_bytes() {
            Ok(bytes) => write_atomic(&path, &bytes, PUBLIC),
            Err(source) => Err(FileError::Revocations { path, source }),
        }
    }

    /// Reads `revocations.bin`; none if the file is not there.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn load_revocations(&self) -> Result<RevocationSet, FileError> {
        let path = self.file("revocations.bin");
        match optional(read(&path))? {
            None => Ok(RevocationSet::default()),
            Some(bytes) => RevocationSet::from_own_bytes(&bytes)
                .map_err(|source| FileError::Revocations { path, source }),
        }
    }

    /// Writes the tokens that this node made: `tokens.json`. Before a redeemed one is answered.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn save_tokens(&self, ledger: &TokenLedger) -> Result<(), FileError> {
        let path = self.file("tokens.json");
        match serde_json::to_vec_pretty(ledger) {
            Ok(json) => write_atomic(&path, &json, PRIVATE),
            Err(source) => Err(FileError::Tokens { path, source }),
        }
    }

    /// Reads `tokens.json`; none if the file is not there.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn load_tokens(&self) -> Result<TokenLedger, FileError> {
        let path = self.file("tokens.json");
        match optional(read_secret(&path))? {
            None => Ok(TokenLedger::default()),
            Some(json) => {
                serde_json::from_str(&json).map_err(|source| FileError::Tokens { path, source })
            }
        }
    }

    /// Writes the key of the web certificate: `web-key.pem`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn save_web_key(&self, key: &NodeKey) -> Result<(), FileError> {
        write_atomic(&self.file("web-key.pem"), key.to_pem().as_bytes(), PRIVATE)
    }

    /// Reads `web-key.pem`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn load_web_key(&self) -> Result<NodeKey, FileError> {
        load_key(self.file("web-key.pem"))
    }

    /// Writes the web certificate's chain: `web.pem`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn save_web_chain(&self, chain: &[CertificateDer<'static>]) -> Result<(), FileError> {
        write_atomic(&self.file("web.pem"), certificates_to_pem(chain).as_bytes(), PUBLIC)
    }

    /// Reads `web.pem` and `web-key.pem`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn load_web(&self) -> Result<WebIdentity, FileError> {
        let path = self.file("web.pem");
        let text = text(&path, read(&path)?)?;
        let chain = certificates_from_pem("web certificate", &text)
            .map_err(|source| FileError::Certificate { path: path.clone(), source })?;
        WebIdentity::issued(chain, &self.load_web_key()?)
            .map_err(|source| FileError::Web { path, source })
    }
}

/// Adds the operator's own certificate chain and private key for HTTPS. The key must be private.
///
/// # Errors
/// [`FileError`] names the file.
pub fn load_operator_web(
    web: WebIdentity,
    chain: &Path,
    key: &Path,
) -> Result<WebIdentity, FileError> {
    let chain_pem = text(chain, read(chain)?)?;
    let key_pem = read_secret(key)?;
    web.with_operators(&chain_pem, &key_pem)
        .map_err(|source| FileError::Web { path: chain.to_owned(), source })
}

fn load_key(path: PathBuf) -> Result<NodeKey, FileError> {
    let text = read_secret(&path)?;
    NodeKey::from_pem(&text).map_err(|source| FileError::Key { path, source })
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { action, path, source }
}

fn optional<T>(read: Result<T, FileError>) -> Result<Option<T>, FileError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(io_error("read", path))?;
    read_open(path, file)
}

fn read_open(path: &Path, file: File) -> Result<Vec<u8>, FileError> {
    let size = file.metadata().map_err(io_error("read", path))?.len();
    if size > MAX_FILE_BYTES {
        return Err(FileError::TooLarge(path.to_owned()));
    }
    // Sized before reading: a growing buffer would leave copies of a key behind.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(io_error("read", path))?;
    Ok(bytes)
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let file = File::open(path).map_err(io_error("read", path))?;
    let mode = file.metadata().map_err(io_error("read", path))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FileError::Readable { path: path.to_owned(), mode });
    }
    text(path, read_open(path, file)?).map(Zeroizing::new)
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, FileError> {
    String::from_utf8(bytes).map_err(|error| {
        drop(Zeroizing::new(error.into_bytes()));
        FileError::NotText(path.to_owned())
    })
}

/// Writes beside `path`, syncs, renames over it, syncs the folder.
fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let beside = beside(path);
    let written = write_and_sync(&beside, path, bytes, mode)
        .and_then(|()| fs::rename(&beside, path).map_err(io_error("write", path)))
        .and_then(|()| sync_folder(path));
    if written.is_err() {
        // What is left of a failed write is of no use; that it stays is no second error.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Writes beside `path`, syncs, links it to its place, which fails if something is there.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let beside = beside(path);
    let written = write_and_sync(&beside, path, bytes, mode).and_then(|()| {
        fs::hard_link(&beside, path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
            _ => io_error("write", path)(error),
        })
    });
    // Linked or of no use: either way it goes.
    let _ = fs::remove_file(&beside);
    written.and_then(|()| sync_folder(path))
}

fn beside(path: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}-{number}", std::process::id()))
}

fn write_and_sync(beside: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(beside)
        .map_err(io_error("write", path))?;
    file.write_all(bytes).map_err(io_error("write", path))?;
    file.sync_all().map_err(io_error("write", path))
}

fn sync_folder(path: &Path) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error("sync the folder of", path))
}
