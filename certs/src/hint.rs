//! Sealed hints: what a node that may replicate a tenant can read, and nobody else.
//!
//! A sealed hint, at most [`MAX_SEALED_HINT_BYTES`]:
//! ```text
//! version u8 = 2 | topic 16 | salt 12 | nonce 12 | AES-256-GCM of the hint, 16 longer
//! ```
//! The topic is the first 16 bytes of HMAC-SHA256(hint key, `"holm hint topic v1" 00 | hour u64`), the hour
//! counted since 1970 by the sealing node's clock, big-endian. Who has the key finds the tenant and the
//! generation by it, an hour early or late; to anybody else it is random, says nothing of the tenant,
//! not even its tag, and is another one in the next hour.
//!
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
use crate::tenant::TenantTag;

/// How long after a generation begins hints of older ones are still opened: 1 hour.
pub const KEY_OVERLAP: Duration = Duration::from_secs(3600);
/// Largest sealed hint, in bytes: what the mesh carries.
pub const MAX_SEALED_HINT_BYTES: usize = 4096;
/// How much longer a sealed hint is than the hint, in bytes.
pub const HINT_OVERHEAD_BYTES: usize = HEADER_BYTES + SEAL_BYTES;

const SALT_BYTES: usize = 12;
const HEADER_BYTES: usize = 1 + TOPIC_BYTES + SALT_BYTES + NONCE_LEN;
const TOPIC_BYTES: usize = 16;
/// Of the format. The first had the tenant's tag in clear and never left a node.
const VERSION: u8 = 2;
const HOUR_MS: u64 = 3_600_000;

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
    /// No key that is held here gives its topic, in this hour or the ones beside it.
    #[error(
        "no key for the hint is held here: this site may not replicate the tenant, the key has yet to come with the roster, or a clock is off by more than an hour"
    )]
    NoKey,
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
            Self::NoKey => "no_key",
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
        let Some((_, key)) = self.in_use(now) else { return Err(none) };
        let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_LEN]);
        rng.fill_bytes(&mut salt);
        rng.fill_bytes(&mut nonce);
        let mut header = Writer::default();
        header.u8(VERSION).raw(&topic_of(key, hour_of(now))).raw(&salt).raw(&nonce);
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
        let header = read_hint(sealed)?;
        let mut topics = self.topics(hour_of(now));
        let found = topics.find(|(topic, _)| *topic == header.topic);
        let (_, generation) = found.ok_or(HintError::NoKey)?;
        self.open_with(generation, sealed, aad, now)
    }

    /// Opens with the key of `generation`, which the topic named.
    pub(crate) fn open_with(
        &self,
        generation: u32,
        sealed: &[u8],
        aad: &[u8],
        now: Millis,
    ) -> Result<Vec<u8>, HintError> {
        let Header { salt, nonce, .. } = read_hint(sealed)?;
        let tag = self.tag;
        let held = self.generations.get(&generation).and_then(|g| g.hint_key.as_ref());
        let key = held.ok_or(HintError::NoKey)?;
        if let Some(since) = self.retired(generation, now) {
            return Err(HintError::Retired { tag, generation, since });
        }
        let refused = HintError::NotOpened { tag };
        let Some(cipher) = message_key(key, &salt).cipher() else { return Err(refused) };
        let aad = Aad::from([&sealed[..HEADER_BYTES], aad].concat());
        let mut bytes = sealed[HEADER_BYTES..].to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        match cipher.open_in_place(nonce, aad, &mut bytes) {
            Ok(plain) => Ok(plain.to_vec()),
            Err(_) => Err(refused),
        }
    }

    /// The topics of `hour` and the hours beside it, and the generation that each is of.
    pub(crate) fn topics(&self, hour: u64) -> impl Iterator<Item = (Topic, u32)> {
        let hours = hour.saturating_sub(1)..=hour.saturating_add(1);
        let held =
            self.generations.iter().filter_map(|(&number, g)| Some((number, g.hint_key.as_ref()?)));
        held.flat_map(move |(number, key)| hours.clone().map(move |at| (topic_of(key, at), number)))
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

/// What a sealed hint is about, for who has the key.
pub(crate) type Topic = [u8; TOPIC_BYTES];

/// The topic that a sealed hint bears.
pub(crate) fn topic_in(sealed: &[u8]) -> Result<Topic, HintError> {
    read_hint(sealed).map(|header| header.topic)
}

pub(crate) const fn hour_of(now: Millis) -> u64 {
    now.0 / HOUR_MS
}

fn topic_of(hint_key: &Secret, hour: u64) -> Topic {
    hint_key.label(&[&b"holm hint topic v1\0"[..], &hour.to_be_bytes()].concat())
}

struct Header {
    topic: Topic,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_LEN],
}

fn read_hint(sealed: &[u8]) -> Result<Header, HintError> {
    let (bytes, max) = (sealed.len(), MAX_SEALED_HINT_BYTES);
    if bytes > max {
        return Err(HintError::TooLarge { bytes, max });
    }
    let mut reader = Reader(sealed);
    if reader.u8() != Some(VERSION) {
        return Err(HintError::Malformed { reason: "its version is not 2" });
    }
    let mut read =
        || Some(Header { topic: reader.array()?, salt: reader.array()?, nonce: reader.array()? });
    let header = read().filter(|_| bytes >= HINT_OVERHEAD_BYTES);
    header.ok_or(HintError::Malformed { reason: "it ends too early" })
}

fn message_key(hint_key: &Secret, salt: &[u8; SALT_BYTES]) -> Secret {
    hint_key.derive(&[&b"holm hint v1\0"[..], salt].concat())
}
