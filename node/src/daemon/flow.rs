//! What planes keep over a restart: sealed files beside the tenant's other data.
//!
//! A file is `HOLMPLN1`, a random nonce of 12 bytes, and the document under AES-256-GCM with a key that
//! is derived from the tenant's; the tenant's and the document's names are authenticated with it. A file
//! that does not open is left alone and said so: what it kept comes anew, or is learnt again.

use std::path::PathBuf;

use holm_flow::Keeper;
use holm_model::TenantId;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::layout::write_file;

/// What the key is derived for.
pub(super) const PURPOSE: &str = "holm 2026-11 plane state";
const MAGIC: &[u8; 8] = b"HOLMPLN1";

/// The documents of one tenant's planes.
pub(crate) struct Kept {
    folder: PathBuf,
    tenant: TenantId,
    key: [u8; 32],
}

impl Kept {
    /// In `folder`, sealed by `key`.
    pub(super) const fn new(folder: PathBuf, tenant: TenantId, key: [u8; 32]) -> Self {
        Self { folder, tenant, key }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.sealed"))
    }

    fn cipher(&self) -> Result<LessSafeKey, String> {
        let key = UnboundKey::new(&AES_256_GCM, &self.key);
        key.map(LessSafeKey::new).map_err(|_| "the tenant's key cannot be used".to_owned())
    }

    fn about(&self, name: &str) -> Aad<Vec<u8>> {
        Aad::from(
            [MAGIC.as_slice(), self.tenant.as_str().as_bytes(), b"\0", name.as_bytes()].concat(),
        )
    }
}

impl Keeper for Kept {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let path = self.path(name);
        let sealed = match std::fs::read(&path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let damaged = || format!("{}: it is damaged, or of another tenant or key", path.display());
        let rest = sealed.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.cipher()?.open_in_place(nonce, self.about(name), &mut rest);
        let length = opened.map_err(|_| damaged())?.len();
        rest.truncate(length);
        Ok(Some(rest))
    }

    fn save(&self, name: &str, document: &[u8]) -> Result<(), String> {
        let path = self.path(name);
        // Random: one of 2^96 for at most one file a second, for ever less than 2^32 of them.
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = document.to_vec();
        self.cipher()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                self.about(name),
                &mut sealed,
            )
            .map_err(|_| "it is too large to be sealed".to_owned())?;
        let file = [MAGIC.as_slice(), &nonce, &sealed].concat();
        write_file(&path, &file, true).map_err(|error| format!("{}: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(folder: &std::path::Path, tenant: &str, key: u8) -> Kept {
        Kept::new(folder.to_owned(), TenantId::new(tenant).expect("a name"), [key; 32])
    }

    #[test]
    fn a_document_is_sealed_for_its_tenant_and_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let acme = kept(folder.path(), "acme", 1);
        assert_eq!(acme.load("a").expect("nothing yet"), None);
        acme.save("a", b"core-router uplink").expect("written");
        acme.save("a", b"core-router uplink 2").expect("written");
        assert_eq!(acme.load("a").expect("opens").as_deref(), Some(&b"core-router uplink 2"[..]));
        let path = acme.path("a");
        let bytes = std::fs::read(&path).expect("a file");
        assert!(!bytes.windows(6).any(|part| part == b"uplink"), "it is not sealed");
        for other in [kept(folder.path(), "acme", 2), kept(folder.path(), "other", 1)] {
            assert!(other.load("a").expect_err("another's").contains("damaged"));
        }
        std::fs::copy(&path, acme.path("b")).expect("copied");
        acme.load("b").expect_err("under another name");
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).expect("cut");
            acme.load("a").expect_err("cut");
        }
    }
}
