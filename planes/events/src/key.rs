//! Keys: one secret for a tenant's events at this node, and a key of its own for every file.
//!
//! A file's key comes from the secret and the file's random salt (HKDF-SHA256, RFC 5869), so numbers
//! can serve as nonces: no two files share a key, and no piece of a file has another's number.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk};
use ring::rand::{SecureRandom, SystemRandom};

/// Bytes of a file's salt.
pub(crate) const SALT_BYTES: usize = 32;
/// Bytes that sealing adds to a piece.
pub(crate) const TAG_BYTES: usize = 16;

/// The secret that seals one tenant's events at this node, derived from its data key.
pub struct EventKey {
    secret: Prk,
    random: SystemRandom,
}

impl std::fmt::Debug for EventKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventKey(…)")
    }
}

impl EventKey {
    /// A key from 32 secret bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self { secret: Prk::new_less_safe(HKDF_SHA256, bytes), random: SystemRandom::new() }
    }

    /// A fresh salt.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub(crate) fn salt(&self) -> std::io::Result<[u8; SALT_BYTES]> {
        let mut salt = [0; SALT_BYTES];
        self.random
            .fill(&mut salt)
            .map_err(|_| std::io::Error::other("the system gave no randomness"))?;
        Ok(salt)
    }

    /// The key of the file with that salt. `purpose` tells kinds of files apart.
    pub(crate) fn of_file(&self, purpose: &'static str, salt: &[u8; SALT_BYTES]) -> FileKey {
        let info = [purpose.as_bytes(), salt];
        let key = self.secret.expand(&info, &AES_256_GCM).map(UnboundKey::from);
        FileKey(LessSafeKey::new(key.expect("HKDF gives 32 bytes for any salt of 32")))
    }
}

/// Seals the numbered pieces of one file.
pub(crate) struct FileKey(LessSafeKey);

impl FileKey {
    /// Seals `piece` in place and adds its tag.
    pub(crate) fn seal(&self, number: u64, about: &[u8], piece: &mut Vec<u8>) -> Option<()> {
        self.0.seal_in_place_append_tag(nonce(number), Aad::from(about), piece).ok()
    }

    /// The plain bytes of a sealed piece, in place; `None` if it is not that piece of that file.
    pub(crate) fn open<'a>(
        &self,
        number: u64,
        about: &[u8],
        piece: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        self.0.open_in_place(nonce(number), Aad::from(about), piece).ok().map(|plain| &*plain)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
