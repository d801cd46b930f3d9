//! What all statements about tenants have in common: why one is refused, what it is judged by, and how
//! its payload is read.

use holm_model::Millis;
use ring::digest::{SHA256, digest};

use crate::bundle::BundleMap;
use crate::bytes::{Reader, hex};
use crate::clock::show;
use crate::id::{SpiffeId, TrustDomain};
use crate::key::{KeyError, SpkiHash};
use crate::revocation::RevocationSet;
use crate::statement::{SignedStatement, StatementError, StatementKind, StatementSigner};

/// The version of every payload about tenants, and of sealed hints.
pub(crate) const VERSION: u8 = 1;

/// Why a statement about tenants was not made or not taken. What was held is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// No room.
    #[error("no room for the {what}: at most {max} are held ({within}); {remedy}")]
    Full {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        max: usize,
        /// In what.
        within: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not a statement of a known version.
    #[error(
        "the {what} cannot be read: {reason}; ask the sender for it again, or upgrade this node"
    )]
    Malformed {
        /// Which kind.
        what: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The signer may not say this.
    #[error("the {what} was signed by {signer}, who may not: {rule}")]
    NotAuthorised {
        /// Which kind.
        what: &'static str,
        /// Who signed.
        signer: String,
        /// What is needed.
        rule: &'static str,
    },
    /// It would hold at no moment.
    #[error("the grant would hold from {} until {}, which is never; give an end after its begin", show(*not_before), show(*not_after))]
    Period {
        /// Its begin.
        not_before: Millis,
        /// Its end.
        not_after: Millis,
    },
    /// The envelope failed.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

impl GrantError {
    /// A stable word for logs, metrics and the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } => "full",
            Self::Key(_) => "key",
            Self::Malformed { .. } | Self::Statement(StatementError::Malformed { .. }) => {
                "malformed"
            }
            Self::NotAuthorised { .. } => "not_authorised",
            Self::Period { .. } => "period",
            Self::Statement(StatementError::BadSignature { .. }) => "bad_signature",
            Self::Statement(StatementError::TooLarge { .. }) => "too_large",
            Self::Statement(_) => "untrusted_signer",
        }
    }
}

/// Reads a payload to its end: the version, then what `read` reads, then nothing more.
pub(crate) fn read_payload<T>(
    what: &'static str,
    payload: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Option<Result<T, &'static str>>,
) -> Result<T, GrantError> {
    let malformed = |reason| GrantError::Malformed { what, reason };
    let mut reader = Reader(payload);
    match reader.u8() {
        Some(VERSION) => {}
        Some(_) => return Err(malformed("its version is not 1")),
        None => return Err(malformed("it is empty")),
    }
    let read = read(&mut reader).ok_or_else(|| malformed("it ends too early"))?;
    let value = read.map_err(malformed)?;
    if !reader.is_empty() {
        return Err(malformed("bytes follow it"));
    }
    Ok(value)
}

/// A statement that a tenant's authority signs has no chain: else one would have many encodings.
pub(crate) fn check_bare(
    what: &'static str,
    statement: &SignedStatement,
) -> Result<(), GrantError> {
    if statement.is_bare() {
        return Ok(());
    }
    Err(GrantError::Malformed { what, reason: "it has certificates, where a tenant's key signs" })
}

pub(crate) fn statement_of(
    what: &'static str,
    kind: StatementKind,
    bytes: &[u8],
) -> Result<SignedStatement, GrantError> {
    let statement = SignedStatement::from_bytes(bytes)?;
    if statement.kind() != kind {
        return Err(GrantError::Malformed { what, reason: "it is another kind of statement" });
    }
    Ok(statement)
}

/// SHA-256 of a payload: names what is said, whatever the signature's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadDigest(pub [u8; 32]);

impl PayloadDigest {
    pub(crate) fn of(statement: &SignedStatement) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, statement.payload()).as_ref());
        Self(bytes)
    }
}

impl std::fmt::Display for PayloadDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl std::fmt::Debug for PayloadDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PayloadDigest({self})")
    }
}

/// What statements are judged by: this mesh's domain, its roots, and the keys that have ended.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// The mesh's own trust domain. Federated domains create no tenants here.
    pub domain: &'a TrustDomain,
    /// The roots.
    pub bundles: &'a BundleMap,
    /// The revoked keys of nodes and issuers.
    pub revocations: &'a RevocationSet,
}

/// The site and key hash of the node that signed, if a node of `trust`'s domain did and is not revoked.
pub(crate) fn node_signer(
    what: &'static str,
    statement: &SignedStatement,
    at: Millis,
    trust: Trust<'_>,
) -> Result<(SpiffeId, SpkiHash), GrantError> {
    let refuse = |signer: String, rule| Err(GrantError::NotAuthorised { what, signer, rule });
    match statement.verify(trust.bundles, at)? {
        StatementSigner::Node(svid) => {
            let id = svid.spiffe_id().clone();
            if id.trust_domain() != trust.domain {
                return refuse(id.to_string(), "a node of this mesh's own trust domain is needed");
            }
            trust.revocations.check(&svid).map_err(StatementError::Signer)?;
            Ok((id, svid.spki_hash()))
        }
        other => refuse(other.trust_domain().id().to_string(), "a node says this of itself"),
    }
}
