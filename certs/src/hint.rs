//! Sealed hints: what a node that may replicate a tenant can read, and nobody else.
//!
//! A sealed hint, numbers big-endian, at most [`MAX_SEALED_HINT_BYTES`]:
//! ```text
//! version u8 = 1 | tag 16 | generation u32 | salt 12 | nonce 12 | AES-256-GCM of the hint, 16 longer
//! ```
//! The key of each is HMAC-SHA256(hint key, `"holm hint v1" 00 | salt`): 24 random bytes a hint, so that
//! thousands of sites may share a key for years. AAD = all before the sealed bytes ‖ what the caller adds.
//!
//! A new generation is sealed with from its beginning. An older one is still opened for
//! [`KEY_OVERLAP`] from then, for sites that have not heard of the new one; a hint refused after that
//! costs nothing but time, because anti-entropy does not need hints.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use holm_model::{Millis, TenantId};
use rand::CryptoRng;
use ring::aead::{Aad, NONCE_LEN, Nonce};

use crate::bytes::{Reader, Writer};
use crate::clock::show;
use crate::delivery::{KeyDelivery, Secret};
use crate::sealing::{SEAL_BYTES, SealingSecret};
use crate::tenancy::VERSION;
use crate::tenant::TenantTag;

/// How long after a generation begins hints of older ones are still opened: 1 hour.
pub const KEY_OVERLAP: Duration = Duration::from_secs(3600);
/// Largest sealed hint, in bytes: what the mesh carries.
pub const MAX_SEALED_HINT_BYTES: usize = 4096;
/// How much longer a sealed hint is than the hint, in bytes.
pub const HINT_OVERHEAD_BYTES: usize = HEADER_BYTES + SEAL_BYTES;

const SALT_BYTES: usize = 12;
const HEADER_BYTES: usize = 1 + 16 + 4 + SALT_BYTES + NONCE_LEN;

/// Why a hint was not sealed or not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HintError {
    /// Not a sealed hint of a known version.
    #[error("the hint cannot be read: {reason}; if its sender is newer, upgrade this node")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// No key of that generation.
    #[error(
        "no key of generation {generation} of the tenant {tag} is held here; it comes with the roster if this site may replicate the tenant"
    )]
    NoKey {
        /// Whose tenant.
        tag: TenantTag,
        /// Which generation.
        generation: u32,
    },
    /// There is no key to seal with now.
    #[error(
        "no key of the tenant {tag} is in use here at {}; it comes with the roster if this site may replicate the tenant: until then peers learn by anti-entropy", show(*now)
    )]
    NoneInUse {
        /// Whose tenant.
        tag: TenantTag,
        /// When.
        now: Millis,
    },
    /// Changed, or sealed by somebody who has no key.
    #[error("the hint of the tenant {tag} was changed, or its sender has no key; drop it")]
    NotOpened {
        /// Whose tenant.
        tag: TenantTag,
    },
    /// Its generation is over.
    #[error("generation {generation} of the keys of the tenant {tag} ended at {}; its sender must fetch the roster", show(*since))]
    Retired {
        /// Whose tenant.
        tag: TenantTag,
        /// Which generation.
        generation: u32,
        /// Since when.
        since: Millis,
    },
    /// Too long.
    #[error("the hint has {bytes} bytes, at most {max} can be sent sealed; name fewer documents")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}

impl HintError {
    /// A stable word for logs, metrics and the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::NoKey { .. } => "no_key",
            Self::NoneInUse { .. } => "none_in_use",
            Self::NotOpened { .. } => "not_opened",
            Self::Retired { .. } => "retired",
            Self::TooLarge { .. } => "too_large",
        }
    }
}

struct Generation {
    from: Millis,
    hint_key: Option<Secret>,
}

/// What one node can open of one tenant: its name, and the hint keys it was given.
///
/// Build it anew ([`crate::GrantBook::keyring`]) when a delivery of the tenant came.
pub struct Keyring {
    tag: TenantTag,
    name: Option<TenantId>,
    generations: BTreeMap<u32, Generation>,
}

impl Keyring {
    pub(crate) fn build<'a>(
        tag: TenantTag,
        deliveries: impl Iterator<Item = &'a KeyDelivery>,
        secret: &SealingSecret,
    ) -> Self {
        let mut generations: BTreeMap<u32, Generation> = BTreeMap::new();
        let mut named: Option<(u32, TenantId)> = None;
        for delivery in deliveries {
            let (number, from) = (delivery.generation(), delivery.from());
            let generation =
                generations.entry(number).or_insert(Generation { from, hint_key: None });
            generation.from = generation.from.min(from);
            let Some(delivered) = delivery.open(secret) else { continue };
            generation.hint_key = generation.hint_key.take().or(delivered.hint_key);
            // The latest generation's; an authority has one name for all of them.
            named = named.max(Some((number, delivered.name)));
        }
        Self { tag, name: named.map(|(_, name)| name), generations }
    }

    /// Whose tenant.
    pub fn tag(&self) -> TenantTag {
        self.tag
    }

    /// The tenant's name as its authority says it. Bind it ([`crate::TenantNames::bind`]) before
    /// using it: anybody can call a tenant so.
    pub fn name(&self) -> Option<&TenantId> {
        self.name.as_ref()
    }

    /// The generation that hints are sealed with at `now`: the latest that has begun and whose key
    /// is held here, unless its successor has ended it.
    pub fn generation(&self, now: Millis) -> Option<u32> {
        self.in_use(now).map(|(number, _)| number)
    }

    fn in_use(&self, now: Millis) -> Option<(u32, &Secret)> {
        let begun = self.generations.iter().rev().filter(|(_, g)| g.from <= now);
        let mut held = begun.filter_map(|(&number, g)| Some((number, g.hint_key.as_ref()?)));
        let (number, key) = held.next()?;
        self.retired(number, now).is_none().then_some((number, key))
    }

    /// Since when hints of `number` are no longer opened, if that is so at `now`.
    fn retired(&self, number: u32, now: Millis) -> Option<Millis> {
        let later = self.generations.iter().filter(|(other, _)| **other > number);
        let successor = later.map(|(_, generation)| generation.from).min()?;
        let overlap_ms = u64::try_from(KEY_OVERLAP.as_millis()).unwrap_or(u64::MAX);
        let end = successor + overlap_ms;
        (now >= end).then_some(end)
    }

    /// Seals `hint` for every node that may replicate the tenant. `aad` must be given again to open.
    ///
    /// # Errors
    /// [`HintError::TooLarge`]; [`HintError::NoneInUse`]: send no hint then.
    pub fn seal(
        &self,
        hint: &[u8],
        aad: &[u8],
        now: Millis,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, HintError> {
        let (bytes, max) = (hint.len(), MAX_SEALED_HINT_BYTES - HINT_OVERHEAD_BYTES);
        if bytes > max {
            return Err(HintError::TooLarge { bytes, max });
        }
        let tag = self.tag;
        let none = HintError::NoneInUse { tag, now };
        let Some((generation, key)) = self.in_use(now) else { return Err(none) };
        let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_LEN]);
        rng.fill_bytes(&mut salt);
        rng.fill_bytes(&mut nonce);
        let mut header = Writer::default();
        header.u8(VERSION).raw(&tag.0).u32(generation).raw(&salt).raw(&nonce);
        let Some(cipher) = message_key(key, &salt).cipher() else { return Err(none) };
        let mut sealed = hint.to_vec();
        let aad = Aad::from([&header.0, aad].concat());
        let nonce = Nonce::assume_unique_for_key(nonce);
        if cipher.seal_in_place_append_tag(nonce, aad, &mut sealed).is_err() {
            return Err(none);
        }
        header.raw(&sealed);
        Ok(header.0)
    }

    /// Opens what another node sealed.
    ///
    /// # Errors
    /// [`HintError`] says why not; drop the hint and count it by [`HintError::code`].
    pub fn open(&self, sealed: &[u8], aad: &[u8], now: Millis) -> Result<Vec<u8>, HintError> {
        let (header, body) = read_hint(sealed)?;
        let Header { tag, generation, salt, nonce } = header;
        if tag != self.tag {
            return Err(HintError::Malformed { reason: "it is of another tenant" });
        }
        let held = self.generations.get(&generation).and_then(|g| g.hint_key.as_ref());
        let Some(key) = held else { return Err(HintError::NoKey { tag, generation }) };
        if let Some(since) = self.retired(generation, now) {
            return Err(HintError::Retired { tag, generation, since });
        }
        let refused = HintError::NotOpened { tag };
        let Some(cipher) = message_key(key, &salt).cipher() else { return Err(refused) };
        let aad = Aad::from([&sealed[..HEADER_BYTES], aad].concat());
        let mut bytes = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        match cipher.open_in_place(nonce, aad, &mut bytes) {
            Ok(plain) => Ok(plain.to_vec()),
            Err(_) => Err(refused),
        }
    }
}

impl fmt::Debug for Keyring {
    /// Neither keys nor the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.generations.iter().filter(|(_, g)| g.hint_key.is_some());
        let held: Vec<u32> = held.map(|(number, _)| *number).collect();
        write!(f, "Keyring({}, generations {held:?})", self.tag)
    }
}

/// Of which tenant a sealed hint says it is: whose keyring to try.
///
/// # Errors
/// [`HintError`] if it is no sealed hint.
pub fn hint_tag(sealed: &[u8]) -> Result<TenantTag, HintError> {
    read_hint(sealed).map(|(header, _)| header.tag)
}

struct Header {
    tag: TenantTag,
    generation: u32,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_LEN],
}

fn read_hint(sealed: &[u8]) -> Result<(Header, &[u8]), HintError> {
    let (bytes, max) = (sealed.len(), MAX_SEALED_HINT_BYTES);
    if bytes > max {
        return Err(HintError::TooLarge { bytes, max });
    }
    let mut reader = Reader(sealed);
    if reader.u8() != Some(VERSION) {
        return Err(HintError::Malformed { reason: "its version is not 1" });
    }
    let mut read = || {
        let (tag, generation) = (TenantTag(reader.array()?), reader.u32()?);
        Some(Header { tag, generation, salt: reader.array()?, nonce: reader.array()? })
    };
    let header = read().filter(|_| bytes >= HINT_OVERHEAD_BYTES);
    let header = header.ok_or(HintError::Malformed { reason: "it ends too early" })?;
    Ok((header, &sealed[HEADER_BYTES..]))
}

fn message_key(hint_key: &Secret, salt: &[u8; SALT_BYTES]) -> Secret {
    hint_key.derive(&[&b"holm hint v1\0"[..], salt].concat())
}
