//! The tenant's data key, and the same wrapped by another key.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Length of a data key and of a key that wraps one, in bytes.
pub const KEY_BYTES: usize = 32;

const WRAPPED_MAGIC: &[u8; 8] = b"HOLMKEY1";
const TAG_BYTES: usize = 16;
const SALT_BYTES: usize = 16;

/// Why a wrapped key does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The file is not a wrapped key, or not whole.
    #[error(
        "the wrapped key of tenant {tenant} has {len} bytes and is not in the form that Holm \
         writes: restore the file from the node's backup"
    )]
    Malformed {
        /// Whose key it should be.
        tenant: String,
        /// How long the file is.
        len: usize,
    },
    /// The wrapping key is another one, or the file was changed, or it is another tenant's.
    #[error(
        "the wrapped key of tenant {tenant} does not open with this node's key: it was wrapped by \
         another node's key or for another tenant, or the file was changed; restore both from the \
         same backup"
    )]
    Refused {
        /// Whose key it should be.
        tenant: String,
    },
    /// The cipher refused to seal: nothing was written.
    #[error("the data key of tenant {tenant} could not be wrapped: the cipher refused; try again")]
    CannotWrap {
        /// Whose key it is.
        tenant: String,
    },
}

/// The key that seals one tenant's state on this node. Wiped from memory when it is dropped; never
/// shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; KEY_BYTES]);

impl DataKey {
    /// A new key from `rng`.
    pub fn generate(rng: &mut dyn rand::CryptoRng) -> Self {
        let mut key = [0; KEY_BYTES];
        rng.fill_bytes(&mut key);
        Self(key)
    }

    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Another key for another purpose of the same tenant: BLAKE3 in key derivation mode. `context`
    /// names the purpose and is a constant of the program.
    pub fn derive(&self, context: &'static str) -> [u8; KEY_BYTES] {
        blake3::derive_key(context, &self.0)
    }

    /// The key wrapped by `kek` for `tenant`: what may lie in a file.
    ///
    /// Format: `HOLMKEY1`, 16 bytes of salt, the key under AES-256-GCM. Each wrapping derives its
    /// own key from `kek` and a random salt, so no (key, nonce) is ever used twice.
    ///
    /// # Errors
    /// [`KeyError::CannotWrap`] if the cipher refuses, which ring documents for no such input.
    pub fn wrap(
        &self,
        kek: &[u8; KEY_BYTES],
        tenant: &holm_model::TenantId,
        rng: &mut dyn rand::CryptoRng,
    ) -> Result<WrappedKey, KeyError> {
        let mut salt = [0; SALT_BYTES];
        rng.fill_bytes(&mut salt);
        let mut sealed = Zeroizing::new(self.0);
        let tag = wrapping_key(kek, &salt).and_then(|key| {
            let aad = Aad::from(tenant.as_str().as_bytes());
            key.seal_in_place_separate_tag(zero_nonce(), aad, &mut sealed[..]).ok()
        });
        let tag = tag.ok_or_else(|| KeyError::CannotWrap { tenant: tenant.to_string() })?;
        let mut bytes = WRAPPED_MAGIC.to_vec();
        bytes.extend(salt);
        bytes.extend(&sealed[..]);
        bytes.extend(tag.as_ref());
        Ok(WrappedKey(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// A data key wrapped by the node's key or the tenant's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey(Vec<u8>);

impl WrappedKey {
    /// What [`WrappedKey::as_bytes`] gave before. Checked when it is opened.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What to write into a file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The data key of `tenant`.
    ///
    /// # Errors
    /// [`KeyError`] says whether the file is damaged or the key is another one.
    pub fn open(
        &self,
        kek: &[u8; KEY_BYTES],
        tenant: &holm_model::TenantId,
    ) -> Result<DataKey, KeyError> {
        let malformed = || KeyError::Malformed { tenant: tenant.to_string(), len: self.0.len() };
        let refused = || KeyError::Refused { tenant: tenant.to_string() };
        let rest = self.0.strip_prefix(WRAPPED_MAGIC).ok_or_else(malformed)?;
        let (salt, sealed) = rest.split_first_chunk::<SALT_BYTES>().ok_or_else(malformed)?;
        if sealed.len() != KEY_BYTES + TAG_BYTES {
            return Err(malformed());
        }
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let key = wrapping_key(kek, salt).ok_or_else(refused)?;
        let aad = Aad::from(tenant.as_str().as_bytes());
        let opened = key.open_in_place(zero_nonce(), aad, &mut buffer).map_err(|_| refused())?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        bytes.copy_from_slice(opened);
        Ok(DataKey(*bytes))
    }
}

/// A key used for one wrapping only.
fn wrapping_key(kek: &[u8; KEY_BYTES], salt: &[u8; SALT_BYTES]) -> Option<LessSafeKey> {
    let mut hasher = blake3::Hasher::new_derive_key("holm data key wrapping v1");
    hasher.update(kek).update(salt);
    let derived = Zeroizing::new(*hasher.finalize().as_bytes());
    UnboundKey::new(&AES_256_GCM, &*derived).ok().map(LessSafeKey::new)
}

/// Each derived key seals once.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::TenantId;
    use rand::SeedableRng;

    #[test]
    fn a_key_opens_with_the_key_and_for_the_tenant_that_it_was_wrapped_for() {
        let rng = &mut rand::rngs::StdRng::from_seed([1; 32]);
        let (acme, other) =
            (TenantId::new("acme").expect("valid"), TenantId::new("other").expect("valid"));
        let key = DataKey::generate(rng);
        let wrapped = key.wrap(&[7; 32], &acme, rng).expect("wraps");
        assert_eq!(wrapped.open(&[7; 32], &acme).expect("opens").bytes(), key.bytes());
        let again = key.wrap(&[7; 32], &acme, rng).expect("wraps");
        assert_ne!(wrapped, again, "each wrapping has its own salt");
        let refused = Err(KeyError::Refused { tenant: "acme".into() });
        assert_eq!(wrapped.open(&[8; 32], &acme).map(|_| ()), refused);
        assert!(wrapped.open(&[7; 32], &other).is_err());
        for i in 0..wrapped.as_bytes().len() {
            let mut changed = wrapped.as_bytes().to_vec();
            changed[i] ^= 1;
            assert!(WrappedKey::from_bytes(changed).open(&[7; 32], &acme).is_err());
            let cut = WrappedKey::from_bytes(wrapped.as_bytes()[..i].to_vec());
            assert!(matches!(cut.open(&[7; 32], &acme), Err(KeyError::Malformed { .. })));
        }
        assert_eq!(format!("{key:?}"), "DataKey(..)");
    }
}
