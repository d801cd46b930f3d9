//! A site or node that is gone for good: an issuer says that nobody shall look for it any longer.
//!
//! Payload of a [`SignedStatement`] of kind 9, version 1, numbers big-endian, `block` = u16 length and
//! bytes:
//! ```text
//! version u8 = 1 | at u64 (ms since 1970) | up to u64 (ms since 1970) | site block | node block
//! ```
//! An empty node means every node of the site. A node counts as gone if its process began at `up to` or
//! before. It takes no trust away: whoever comes back later is there again, and so is whoever hears that
//! it is said to be gone and takes a later beginning. That is why a member may not say it: it hides a
//! site that cannot contradict.

use std::collections::BTreeMap;
use std::time::Duration;

use holm_model::{Millis, NodeName, SiteId};

use crate::authority::CLOCK_SKEW;
use crate::bytes::{Reader, Writer};
use crate::clock::{show, span};
use crate::statement::{
    SignedStatement, StatementError, StatementKey, StatementKind, StatementSigner,
};
use crate::tenancy::Trust;

/// Most sites and nodes that a set holds.
pub const MAX_FORGOTTEN: usize = 4_096;
/// How far behind its date a statement may reach into the future: as far as a node's clock may have been
/// ahead when it began, in milliseconds.
const MAX_AHEAD_MS: u64 = 366 * 24 * 3_600_000;
const VERSION: u8 = 1;

/// Why a statement was refused. The set is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForgettingError {
    /// The envelope failed.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Not one of a known version.
    #[error(
        "what says that a site is gone cannot be read: {reason}; ask the sender for it again, or upgrade this node"
    )]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// The signer may not say this.
    #[error("that {site} is gone was signed by {signer}, who may not: {rule}")]
    NotAuthorised {
        /// Who would be forgotten.
        site: SiteId,
        /// Who signed.
        signer: String,
        /// What is needed.
        rule: &'static str,
    },
    /// Dated in the future.
    #[error("that {site} is gone is dated {} ({} ahead of this node's clock); set the clocks right (NTP), then send it again", show(*at), span(*ahead_ms))]
    Future {
        /// Who would be forgotten.
        site: SiteId,
        /// Its date.
        at: Millis,
        /// How far ahead.
        ahead_ms: u64,
    },
    /// The set is full.
    #[error(
        "this node holds {MAX_FORGOTTEN} sites and nodes that are gone and can take no more; those that stay listed do no harm"
    )]
    Full,
}

/// A signed word that a site, or one node of it, is gone. Parsed; [`ForgottenSet::insert`] verifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgetting {
    statement: SignedStatement,
    body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Body {
    at: Millis,
    up_to: Millis,
    site: SiteId,
    node: Option<NodeName>,
}

impl Forgetting {
    /// Signs that `site`, or `node` of it alone, is gone as far as it began at `up_to` or before.
    ///
    /// # Errors
    /// [`ForgettingError`] if `up_to` is more than a year after `at`, or signing fails.
    pub fn sign<'a>(
        signer: impl Into<StatementKey<'a>>,
        site: &SiteId,
        node: Option<&NodeName>,
        up_to: Millis,
        at: Millis,
    ) -> Result<Self, ForgettingError> {
        let body = Body { at, up_to, site: site.clone(), node: node.cloned() };
        body.check()?;
        let too_long = ForgettingError::Malformed { reason: "a name is too long" };
        let payload = body.to_bytes().ok_or(too_long)?;
        let statement = SignedStatement::sign(StatementKind::FORGETTING, payload, signer)?;
        Ok(Self { statement, body })
    }

    /// Parses a signed statement of this kind.
    ///
    /// # Errors
    /// [`ForgettingError`] if it is malformed or of another kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ForgettingError> {
        let statement = SignedStatement::from_bytes(bytes)?;
        if statement.kind() != StatementKind::FORGETTING {
            let reason = "it is another kind of statement";
            return Err(ForgettingError::Malformed { reason });
        }
        let body = Body::from_bytes(statement.payload())?;
        Ok(Self { statement, body })
    }

    /// The signed statement's bytes.
    ///
    /// # Errors
    /// [`ForgettingError::Statement`] if it is too large to be read back.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ForgettingError> {
        Ok(self.statement.to_bytes()?)
    }

    /// Whose.
    pub fn site(&self) -> &SiteId {
        &self.body.site
    }

    /// Which node of the site; `None`: all.
    pub fn node(&self) -> Option<&NodeName> {
        self.body.node.as_ref()
    }

    /// The latest beginning of a process that is gone.
    pub fn up_to(&self) -> Millis {
        self.body.up_to
    }

    /// When it was said: what a site that is gone held open ended then.
    pub fn at(&self) -> Millis {
        self.body.at
    }

    /// Whether this one stays when both speak of one site or node: the one that reaches further, then
    /// the earlier, and of equals the same on every node.
    fn outranks(&self, other: &Self) -> bool {
        let rank = |f: &Self| (f.up_to(), u64::MAX - f.at().0);
        (rank(self), self.statement.rank()) >= (rank(other), other.statement.rank())
    }

    /// Verifies signer, signature and right. The signer's chain is judged at the statement's own date; a
    /// revoked issuer's word counts for nothing, whenever it was said.
    ///
    /// # Errors
    /// [`ForgettingError`] says which of them failed.
    pub fn verify(&self, trust: Trust<'_>, now: Millis) -> Result<(), ForgettingError> {
        let (site, at) = (self.body.site.clone(), self.body.at);
        let ahead_ms = at.since(now);
        if Duration::from_millis(ahead_ms) > CLOCK_SKEW {
            return Err(ForgettingError::Future { site, at, ahead_ms });
        }
        let signer = self.statement.verify(trust.bundles, at.min(now))?;
        let refuse = |signer: String, rule| {
            Err(ForgettingError::NotAuthorised { site: site.clone(), signer, rule })
        };
        if signer.trust_domain() != trust.domain {
            let signer = signer.trust_domain().id().to_string();
            return refuse(signer, "an authority of this mesh's own trust domain is needed");
        }
        match signer {
            StatementSigner::Root { .. } => Ok(()),
            StatementSigner::Issuer { key, .. } if trust.revocations.of_issuer(&key).is_none() => {
                Ok(())
            }
            StatementSigner::Issuer { key, .. } => {
                refuse(format!("issuer {key}"), "an issuer that was not revoked is needed")
            }
            StatementSigner::Node(svid) => {
                refuse(svid.spiffe_id().to_string(), "an issuer or the root is needed")
            }
        }
    }
}

impl Body {
    fn check(&self) -> Result<(), ForgettingError> {
        if self.up_to.since(self.at) > MAX_AHEAD_MS {
            let reason = "it reaches more than a year ahead of its date";
            return Err(ForgettingError::Malformed { reason });
        }
        Ok(())
    }

    fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::default();
        writer.u8(VERSION).u64(self.at.0).u64(self.up_to.0);
        let node = self.node.as_ref().map_or("", NodeName::as_str);
        writer.block(self.site.as_str().as_bytes())?.block(node.as_bytes())?;
        Some(writer.0)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, ForgettingError> {
        let malformed = |reason| ForgettingError::Malformed { reason };
        let mut reader = Reader(bytes);
        if reader.u8() != Some(VERSION) {
            return Err(malformed("its version is not 1"));
        }
        let mut read = || {
            let (at, up_to) = (Millis(reader.u64()?), Millis(reader.u64()?));
            Some((at, up_to, reader.text()?, reader.text()?, reader.is_empty()))
        };
        let (at, up_to, site, node, at_end) =
            read().ok_or_else(|| malformed("it ends too early"))?;
        if !at_end {
            return Err(malformed("bytes follow it"));
        }
        let site = SiteId::new(site).map_err(|_| malformed("it names no site"))?;
        let node = match node {
            "" => None,
            name => Some(NodeName::new(name).map_err(|_| malformed("it names no node"))?),
        };
        let body = Self { at, up_to, site, node };
        body.check()?;
        Ok(body)
    }
}

/// Every site and node that is said to be gone: merging is independent of order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForgottenSet(BTreeMap<(SiteId, Option<NodeName>), Forgetting>);

impl ForgottenSet {
    /// Verifies and adds a statement. Says whether the set changed.
    ///
    /// Of two about one site or node the one that reaches further stays, so all nodes end with the same.
    ///
    /// # Errors
    /// [`ForgettingError`] if it is not valid, or the set is full.
    pub fn insert(
        &mut self,
        forgetting: &Forgetting,
        trust: Trust<'_>,
        now: Millis,
    ) -> Result<bool, ForgettingError> {
        let key = (forgetting.site().clone(), forgetting.node().cloned());
        let held = self.0.get(&key);
        if held.is_some_and(|held| held.outranks(forgetting)) {
            return Ok(false);
        }
        if held.is_none() && self.0.len() >= MAX_FORGOTTEN {
            return Err(ForgettingError::Full);
        }
        forgetting.verify(trust, now)?;
        self.0.insert(key, forgetting.clone());
        Ok(true)
    }

    /// Every one, in order of site and node.
    pub fn iter(&self) -> impl Iterator<Item = &Forgetting> {
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
}
