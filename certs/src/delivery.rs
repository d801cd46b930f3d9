//! A tenant's keys on their way: sealed to the nodes whose site holds a grant.
//!
//! Per generation a tenant has one secret, derived from its authority's key (nothing more to keep).
//! Two keys come of it (HMAC-SHA256): the *hint key*, and the *name key*, which opens the tenant's
//! name. Sites that may replicate get the secret; sites that may only query get the name key.
//!
//! Payload of a [`SignedStatement`] of kind 5, signed by the tenant's authority, version 1, numbers
//! big-endian:
//! ```text
//! version u8 = 1 | tag 16 | generation u32 | from u64 (ms since 1970) | name: nonce 12, sealed 80 |
//! ephemeral X25519 key 32 | count u16 | count × (recipient 16 | what u8 | sealed 48)
//! ```
//! The name is `length u8 | text | zeros` up to 64 bytes, so that its length is not told, under
//! AES-256-GCM with the name key, AAD = version to generation. A recipient is the first 16 bytes of
//! SHA-256 of its sealing key; recipients ascend and none stands twice. Sealed for it (`sealing`; context
//! `"holm tenant key v1" 00 | tag | generation | what`) are 32 bytes: what 1 = the name key, 2 = the secret.
//! One generation may come in many statements; it begins at the least `from` of them.

use std::collections::BTreeMap;

use holm_model::{Millis, TenantId};
use rand::CryptoRng;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::bytes::{Reader, Writer};
use crate::key::KeyError;
use crate::sealing::{RecipientId, SEAL_BYTES, SealingPublicKey, SealingSecret, Wrapper, unwrap};
use crate::statement::{SignedStatement, StatementKind};
use crate::tenancy::{GrantError, PayloadDigest, VERSION, check_bare, read_payload, statement_of};
use crate::tenant::{Right, Rights, TenantAuthority, TenantTag};

/// Most recipients of one delivery: it then has 8.5 KiB, and the roster takes 12.
pub const MAX_RECIPIENTS: usize = 128;

const DELIVERY: &str = "delivery of a tenant's keys";
const NAME_BYTES: usize = 64;
const SEALED_NAME_BYTES: usize = NONCE_LEN + NAME_BYTES + SEAL_BYTES;
const WRAPPED_BYTES: usize = 32 + SEAL_BYTES;

/// What a recipient gets; the greater includes the lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    NameKey = 1,
    Secret = 2,
}

impl What {
    pub(crate) fn of(rights: Rights) -> Self {
        if rights.contains(Right::Replicate) { Self::Secret } else { Self::NameKey }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::NameKey, Self::Secret].into_iter().find(|what| *what as u8 == byte)
    }
}

/// A 32-byte secret: wiped when dropped, never shown.
#[derive(Clone, ZeroizeOnDrop)]
pub(crate) struct Secret([u8; 32]);

impl Secret {
    /// A key of its own for `purpose`.
    pub(crate) fn derive(&self, purpose: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut derived = Self([0; 32]);
        derived.0.copy_from_slice(hmac::sign(&key, purpose).as_ref());
        derived
    }

    /// A label that only holders of this key can make for `purpose`.
    pub(crate) fn label(&self, purpose: &[u8]) -> [u8; 16] {
        let mut label = [0; 16];
        label.copy_from_slice(&self.derive(purpose).0[..16]);
        label
    }

    /// As an AES-256-GCM key; `None` never: the length fits.
    pub(crate) fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.0).ok().map(LessSafeKey::new)
    }

    fn name_key(&self) -> Self {
        self.derive(b"holm tenant name v1")
    }

    fn hint_key(&self) -> Self {
        self.derive(b"holm tenant hints v1")
    }
}

/// A node that is to get a tenant's keys, and what its site may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipient {
    /// Where to seal to.
    pub key: SealingPublicKey,
    /// With `replicate` it gets the secret, with `query` alone the name key.
    pub rights: Rights,
}

impl Recipient {
    /// What a delivery calls it.
    pub(crate) fn id(&self) -> RecipientId {
        self.key.id()
    }
}

/// A generation of a tenant's keys, sealed to some of those who may have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDelivery {
    statement: SignedStatement,
    tag: TenantTag,
    generation: u32,
    from: Millis,
    name: [u8; SEALED_NAME_BYTES],
    sender: SealingPublicKey,
    wraps: Wraps,
}

/// What a delivery gave to one node.
pub(crate) struct Delivered {
    pub(crate) name: TenantId,
    pub(crate) hint_key: Option<Secret>,
}

impl KeyDelivery {
    /// Parses a signed statement that is a delivery.
    ///
    /// # Errors
    /// [`GrantError`] if it is malformed or of another kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GrantError> {
        Self::read(statement_of(DELIVERY, StatementKind::KEY_DELIVERY, bytes)?)
    }

    pub(crate) fn read(statement: SignedStatement) -> Result<Self, GrantError> {
        check_bare(DELIVERY, &statement)?;
        let (tag, generation, from, name, sender, wraps) =
            read_payload(DELIVERY, statement.payload(), |reader| {
                let (tag, generation) = (TenantTag(reader.array()?), reader.u32()?);
                let (from, name) = (Millis(reader.u64()?), reader.array()?);
                let (sender, count) = (SealingPublicKey(reader.array()?), reader.u16()?);
                if usize::from(count) > MAX_RECIPIENTS {
                    return Some(Err("it has more than 128 recipients"));
                }
                let wraps = read_wraps(reader, count)?;
                Some(wraps.map(|wraps| (tag, generation, from, name, sender, wraps)))
            })?;
        Ok(Self { statement, tag, generation, from, name, sender, wraps })
    }

    /// Whose tenant.
    pub fn tag(&self) -> TenantTag {
        self.tag
    }

    /// Which generation.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// From when the generation is used.
    pub fn from(&self) -> Millis {
        self.from
    }

    pub(crate) fn recipients(&self) -> impl Iterator<Item = (RecipientId, What)> {
        self.wraps.iter().map(|(id, (what, _))| (*id, *what))
    }

    pub(crate) fn digest(&self) -> PayloadDigest {
        PayloadDigest::of(&self.statement)
    }

    pub(crate) fn statement(&self) -> &SignedStatement {
        &self.statement
    }

    /// The signed statement's bytes.
    ///
    /// # Errors
    /// [`GrantError::Statement`] if it is too large to be read back.
    pub fn to_bytes(&self) -> Result<Vec<u8>, GrantError> {
        Ok(self.statement.to_bytes()?)
    }

    /// What it has for the node with `secret`; `None` if nothing, or nothing that opens.
    pub(crate) fn open(&self, secret: &SealingSecret) -> Option<Delivered> {
        let (what, wrapped) = self.wraps.get(&secret.public_key().id())?;
        let context = context(self.tag, self.generation, *what);
        let opened = unwrap(secret, &self.sender, &context, wrapped)?;
        let key = Secret(opened.as_slice().try_into().ok()?);
        let (name_key, hint_key) = match what {
            What::NameKey => (key, None),
            What::Secret => (key.name_key(), Some(key.hint_key())),
        };
        let header = header(self.tag, self.generation);
        Some(Delivered { name: open_name(&name_key, &self.name, &header.0)?, hint_key })
    }
}

type Wraps = BTreeMap<RecipientId, (What, [u8; WRAPPED_BYTES])>;

fn read_wraps(reader: &mut Reader<'_>, count: u16) -> Option<Result<Wraps, &'static str>> {
    let mut wraps = Wraps::new();
    for _ in 0..count {
        let id = RecipientId(reader.array()?);
        if wraps.last_key_value().is_some_and(|(last, _)| *last >= id) {
            return Some(Err("a recipient stands twice, or they do not ascend"));
        }
        let Some(what) = What::from_byte(reader.u8()?) else {
            return Some(Err("it delivers what this version does not know"));
        };
        wraps.insert(id, (what, reader.array()?));
    }
    Some(Ok(wraps))
}

fn header(tag: TenantTag, generation: u32) -> Writer {
    let mut writer = Writer::default();
    writer.u8(VERSION).raw(&tag.0).u32(generation);
    writer
}

fn context(tag: TenantTag, generation: u32, what: What) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.raw(b"holm tenant key v1\0").raw(&tag.0).u32(generation).u8(what as u8);
    writer.0
}

fn seal_name(
    key: &Secret,
    name: &TenantId,
    aad: &[u8],
    rng: &mut impl CryptoRng,
) -> Option<[u8; SEALED_NAME_BYTES]> {
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let text = name.as_str().as_bytes();
    let mut plain = Zeroizing::new(vec![0; NAME_BYTES]);
    let (length, room) = plain.split_first_mut()?;
    *length = u8::try_from(text.len()).ok()?;
    room.get_mut(..text.len())?.copy_from_slice(text);
    let cipher = key.cipher()?;
    let nonce_once = Nonce::assume_unique_for_key(nonce);
    cipher.seal_in_place_append_tag(nonce_once, Aad::from(aad), &mut *plain).ok()?;
    [&nonce[..], &plain].concat().try_into().ok()
}

fn open_name(key: &Secret, sealed: &[u8; SEALED_NAME_BYTES], aad: &[u8]) -> Option<TenantId> {
    let (nonce, sealed) = sealed.split_at(NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let plain = key.cipher()?.open_in_place(nonce, Aad::from(aad), &mut bytes).ok()?;
    let (&length, text) = plain.split_first()?;
    let (text, zeros) = text.split_at_checked(usize::from(length))?;
    if zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    TenantId::new(std::str::from_utf8(text).ok()?).ok()
}

impl TenantAuthority {
    fn secret(&self, generation: u32) -> Result<Secret, KeyError> {
        Ok(Secret(*self.key().derive(&[b"tenant secret", &generation.to_be_bytes()])?))
    }

    /// Seals `generation` of the tenant's keys to `recipients`: one statement per
    /// [`MAX_RECIPIENTS`], and one even if there is none, so that all learn of the generation.
    ///
    /// The same generation may be delivered again to others; `from` then stays what it was.
    ///
    /// # Errors
    /// [`GrantError`] if a recipient's key is of no use, or sealing or signing fails.
    pub fn deliver(
        &self,
        generation: u32,
        from: Millis,
        recipients: &[Recipient],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<KeyDelivery>, GrantError> {
        let mut once: BTreeMap<RecipientId, Recipient> = BTreeMap::new();
        for recipient in recipients {
            let held = once.entry(recipient.id()).or_insert(*recipient);
            held.rights = held.rights | recipient.rights;
        }
        let once: Vec<Recipient> = once.into_values().collect();
        if once.is_empty() {
            return Ok(vec![self.deliver_some(generation, from, &[], rng)?]);
        }
        let each = once.chunks(MAX_RECIPIENTS);
        each.map(|some| self.deliver_some(generation, from, some, rng)).collect()
    }

    fn deliver_some(
        &self,
        generation: u32,
        from: Millis,
        recipients: &[Recipient],
        rng: &mut impl CryptoRng,
    ) -> Result<KeyDelivery, GrantError> {
        let (tag, secret) = (self.tag(), self.secret(generation)?);
        let (name_key, wrapper) = (secret.name_key(), Wrapper::new(rng));
        let mut writer = header(tag, generation);
        let name = seal_name(&name_key, self.tenant(), &writer.0, rng)
            .ok_or(KeyError::Crypto { action: "sealing of the tenant's name" })?;
        let sender = wrapper.public_key();
        writer.u64(from.0).raw(&name).raw(&sender.0);
        // At most MAX_RECIPIENTS: the caller cuts.
        writer.u16(u16::try_from(recipients.len()).unwrap_or(u16::MAX));
        let mut wraps = Wraps::new();
        for recipient in recipients {
            let what = What::of(recipient.rights);
            let key = if what == What::Secret { &secret } else { &name_key };
            let wrapped = wrapper
                .wrap(&recipient.key, &context(tag, generation, what), &key.0)
                .and_then(|wrapped| wrapped.try_into().ok())
                .ok_or(GrantError::Malformed {
                    what: "node's sealing key",
                    reason: "it gives no secret",
                })?;
            wraps.insert(recipient.id(), (what, wrapped));
        }
        for (id, (what, wrapped)) in &wraps {
            writer.raw(&id.0).u8(*what as u8).raw(wrapped);
        }
        let kind = StatementKind::KEY_DELIVERY;
        let statement = SignedStatement::sign_bare(kind, writer.0, self.key())?;
        Ok(KeyDelivery { statement, tag, generation, from, name, sender, wraps })
    }
}
