//! Revocation: an authority says that a key is no longer trusted. It never comes back.
//!
//! Payload of a [`SignedStatement`] of kind 1, version 1, numbers big-endian, `block` = u16 length and
//! bytes:
//! ```text
//! version u8 = 1 | at u64 (ms since 1970) | SHA-256 of the key's SPKI, 32 | SPIFFE ID block | reason block
//! ```
//! A SPIFFE ID with a path revokes a node's key; an issuer or a root may say so. The bare trust domain
//! revokes an issuing intermediate's key, and with it every SVID that it issued; only a root may.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_model::Millis;

use crate::authority::CLOCK_SKEW;
use crate::bundle::BundleMap;
use crate::bytes::{Reader, Writer};
use crate::clock::{show, span};
use crate::error::SvidError;
use crate::id::SpiffeId;
use crate::key::SpkiHash;
use crate::statement::{
    MAX_STATEMENT_BYTES, SignedStatement, StatementError, StatementKey, StatementKind,
    StatementSigner,
};
use crate::verify::VerifiedSvid;

/// Longest reason, in bytes.
pub const MAX_REASON_BYTES: usize = 200;
/// Most revocations that a set holds.
pub const MAX_REVOCATIONS: usize = 8192;

const VERSION: u8 = 1;
const SET_MAGIC: &[u8; 4] = b"HRS1";

/// Why a revocation was refused. The set is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// The envelope failed.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Not a revocation of a known version.
    #[error(
        "the revocation cannot be read: {reason}; ask the sender for it again, or upgrade this node"
    )]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// The signer may not say this.
    #[error("the revocation of {target} was signed by {signer}, who may not: {rule}")]
    NotAuthorised {
        /// Who would be revoked.
        target: SpiffeId,
        /// Who signed.
        signer: String,
        /// What is needed.
        rule: &'static str,
    },
    /// Dated in the future.
    #[error("the revocation is dated {} ({} ahead of this node's clock); set the clocks right (NTP), then send it again", show(*at), span(*ahead_ms))]
    Future {
        /// Its date.
        at: Millis,
        /// How far ahead.
        ahead_ms: u64,
    },
    /// The set is full.
    #[error(
        "this node holds {MAX_REVOCATIONS} revocations and can take no more; rotate the mesh's root, which ends them all"
    )]
    Full,
    /// The reason is too long.
    #[error("the reason has {0} bytes, at most 200 are allowed; say it shorter")]
    ReasonTooLong(usize),
}

/// A signed revocation of one key. Parsed; [`RevocationSet::insert`] verifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    statement: SignedStatement,
    body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Body {
    at: Millis,
    key: SpkiHash,
    spiffe_id: SpiffeId,
    reason: String,
}

impl Revocation {
    /// Signs the revocation of `key`, which `spiffe_id` had.
    ///
    /// # Errors
    /// [`RevocationError`] if the reason is too long or signing fails.
    pub fn sign<'a>(
        signer: impl Into<StatementKey<'a>>,
        key: SpkiHash,
        spiffe_id: &SpiffeId,
        reason: &str,
        at: Millis,
    ) -> Result<Self, RevocationError> {
        if reason.len() > MAX_REASON_BYTES {
            return Err(RevocationError::ReasonTooLong(reason.len()));
        }
        let body = Body { at, key, spiffe_id: spiffe_id.clone(), reason: reason.to_owned() };
        let payload = body.to_bytes().ok_or(RevocationError::ReasonTooLong(reason.len()))?;
        let statement = SignedStatement::sign(StatementKind::REVOCATION, payload, signer)?;
        Ok(Self { statement, body })
    }

    /// Parses a signed statement that is a revocation.
    ///
    /// # Errors
    /// [`RevocationError`] if it is malformed or of another kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RevocationError> {
        let statement = SignedStatement::from_bytes(bytes)?;
        if statement.kind() != StatementKind::REVOCATION {
            return Err(RevocationError::Malformed { reason: "it is another kind of statement" });
        }
        let body = Body::from_bytes(statement.payload())?;
        Ok(Self { statement, body })
    }

    /// The signed statement's bytes.
    ///
    /// # Errors
    /// [`RevocationError::Statement`] if it is too large to be read back.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RevocationError> {
        Ok(self.statement.to_bytes()?)
    }

    /// The hash of the revoked key.
    pub fn key(&self) -> SpkiHash {
        self.body.key
    }

    /// Who had it.
    pub fn spiffe_id(&self) -> &SpiffeId {
        &self.body.spiffe_id
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.body.reason
    }

    /// Since when.
    pub fn at(&self) -> Millis {
        self.body.at
    }

    /// Whether this one stays when both revoke one key: the earlier, and of equally early ones the
    /// same on every node.
    fn outranks(&self, other: &Self) -> bool {
        (self.at(), self.statement.rank()) <= (other.at(), other.statement.rank())
    }

    /// Verifies signer, signature and right.
    ///
    /// The signer's chain is judged at the revocation's own date, so that a revocation outlives its
    /// signer's certificate. An ended issuer's key can thus still take trust away, never give it.
    ///
    /// # Errors
    /// [`RevocationError`] says which of them failed.
    pub fn verify(&self, bundles: &BundleMap, now: Millis) -> Result<(), RevocationError> {
        let at = self.body.at;
        let ahead_ms = at.since(now);
        if Duration::from_millis(ahead_ms) > CLOCK_SKEW {
            return Err(RevocationError::Future { at, ahead_ms });
        }
        let signer = self.statement.verify(bundles, at.min(now))?;
        let target = self.body.spiffe_id.clone();
        let refuse = |signer: String, rule| {
            Err(RevocationError::NotAuthorised { target: target.clone(), signer, rule })
        };
        if signer.trust_domain() != target.trust_domain() {
            let signer = signer.trust_domain().id().to_string();
            return refuse(signer, "an authority of its own trust domain is needed");
        }
        match signer {
            StatementSigner::Root { .. } => Ok(()),
            StatementSigner::Issuer { .. } if !target.path().is_empty() => Ok(()),
            StatementSigner::Issuer { key, .. } => {
                refuse(format!("issuer {key}"), "only the root can revoke an issuer")
            }
            StatementSigner::Node(svid) => {
                let signer = svid.spiffe_id().to_string();
                refuse(signer, "an issuer or the root is needed")
            }
        }
    }
}

impl Body {
    fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::default();
        writer.u8(VERSION).u64(self.at.0).raw(&self.key.0);
        writer.block(self.spiffe_id.to_string().as_bytes())?.block(self.reason.as_bytes())?;
        Some(writer.0)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RevocationError> {
        let malformed = |reason| RevocationError::Malformed { reason };
        let mut reader = Reader(bytes);
        if reader.u8() != Some(VERSION) {
            return Err(malformed("its version is not 1"));
        }
        let mut read = || {
            let (at, key) = (Millis(reader.u64()?), SpkiHash(reader.array()?));
            let (id, reason) = (reader.text()?, reader.text()?);
            Some((at, key, id, reason, reader.is_empty()))
        };
        let (at, key, id, reason, at_end) = read().ok_or_else(|| malformed("it ends too early"))?;
        if !at_end || reason.len() > MAX_REASON_BYTES {
            return Err(malformed("it is too long"));
        }
        let spiffe_id = SpiffeId::parse(id).map_err(|_| malformed("it names no SPIFFE ID"))?;
        Ok(Self { at, key, spiffe_id, reason: reason.to_owned() })
    }
}

/// Whose key: the same key hash may stand for a node or for an issuer, and only the root may say
/// the latter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Node,
    Issuer,
}

/// Every revocation that a node knows: it only grows, and merging is independent of order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevocationSet(BTreeMap<(SpkiHash, Role), Revocation>);

impl RevocationSet {
    /// Verifies and adds a revocation. Says whether the set changed.
    ///
    /// Of two revocations of one key the earlier stays, so all nodes end with the same set.
    ///
    /// # Errors
    /// [`RevocationError`] if it is not valid, or the set is full.
    pub fn insert(
        &mut self,
        revocation: &Revocation,
        bundles: &BundleMap,
        now: Millis,
    ) -> Result<bool, RevocationError> {
        revocation.verify(bundles, now)?;
        self.put(revocation.clone())
    }

    fn put(&mut self, new: Revocation) -> Result<bool, RevocationError> {
        let role = if new.spiffe_id().path().is_empty() { Role::Issuer } else { Role::Node };
        let full = self.0.len() >= MAX_REVOCATIONS;
        match self.0.get_mut(&(new.key(), role)) {
            Some(held) if held.outranks(&new) => Ok(false),
            Some(held) => {
                *held = new;
                Ok(true)
            }
            None if full => Err(RevocationError::Full),
            None => {
                self.0.insert((new.key(), role), new);
                Ok(true)
            }
        }
    }

    /// The revocation of a node's key. An issuer asks before it renews or enrols.
    pub fn of_node(&self, key: &SpkiHash) -> Option<&Revocation> {
        self.0.get(&(*key, Role::Node))
    }

    /// The revocation of an issuer's key.
    pub fn of_issuer(&self, key: &SpkiHash) -> Option<&Revocation> {
        self.0.get(&(*key, Role::Issuer))
    }

    /// Refuses a peer whose key, or the key of an issuer above it, was revoked.
    ///
    /// # Errors
    /// [`SvidError::Revoked`].
    pub fn check(&self, svid: &VerifiedSvid) -> Result<(), SvidError> {
        for (at, (key, cert)) in svid.keys().iter().enumerate() {
            let revoked = if at == 0 { self.of_node(key) } else { self.of_issuer(key) };
            if let Some(revocation) = revoked {
                return Err(SvidError::Revoked {
                    cert: cert.clone(),
                    at: revocation.at(),
                    reason: revocation.reason().escape_debug().to_string(),
                });
            }
        }
        Ok(())
    }

    /// Every revocation, for sending on.
    pub fn iter(&self) -> impl Iterator<Item = &Revocation> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For the node's own disk: `"HRS1"`, then each statement as a u16-length block.
    ///
    /// # Errors
    /// [`RevocationError`] if one is too large.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RevocationError> {
        let mut writer = Writer::default();
        writer.raw(SET_MAGIC);
        for revocation in self.iter() {
            let bytes = revocation.to_bytes()?;
            let max = MAX_STATEMENT_BYTES;
            let too_large = StatementError::TooLarge { bytes: bytes.len(), max };
            writer.block(&bytes).ok_or(too_large)?;
        }
        Ok(writer.0)
    }

    /// Reads what this node itself wrote. Each was verified when it came; it is not verified again,
    /// because its root may have left the bundle since, and a revocation stays.
    ///
    /// # Errors
    /// [`RevocationError`] if the file is damaged.
    pub fn from_own_bytes(bytes: &[u8]) -> Result<Self, RevocationError> {
        let malformed = |reason| RevocationError::Malformed { reason };
        let mut reader = Reader(bytes);
        if reader.raw(SET_MAGIC.len()) != Some(SET_MAGIC) {
            return Err(malformed("it is not a set of revocations of version 1"));
        }
        let mut set = Self::default();
        while !reader.is_empty() {
            let block = reader.block().ok_or_else(|| malformed("it ends too early"))?;
            set.put(Revocation::from_bytes(block)?)?;
        }
        Ok(set)
    }
}
