//! The end of a tenant: its authority says that all of it is to be destroyed, and each node says that
//! it did.
//!
//! Payloads of [`SignedStatement`]s, version 1, numbers big-endian, times u64 (ms since 1970):
//! ```text
//! kind 7, erasure      version u8 = 1 | tag 16 | at u64                        signed by the authority, bare
//! kind 8, attestation  version u8 = 1 | tag 16 | erasure 32 | at u64           signed by the node, with its SVID
//! ```
//! `erasure` is the SHA-256 of the erasure's payload: an attestation answers one erasure and no other.
//! An erasure ends every grant of the tenant, whenever it was made, at once and for good: no later
//! grant brings the tenant back. What a node attests is its own word; nothing proves it.

use holm_model::{Millis, NodeName, SiteId};

use crate::bytes::Writer;
use crate::key::SpkiHash;
use crate::statement::{SignedStatement, StatementKey, StatementKind};
use crate::tenancy::{
    GrantError, PayloadDigest, Trust, VERSION, check_bare, node_signer, read_payload, statement_of,
};
use crate::tenant::{TenantAuthority, TenantTag};

const ERASURE: &str = "tenant's erasure";
const ATTESTATION: &str = "attestation of an erasure";

/// A tenant's authority says that everything of the tenant is to be destroyed, everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    statement: SignedStatement,
    tag: TenantTag,
    at: Millis,
}

impl Erasure {
    /// Parses a signed statement that is an erasure.
    ///
    /// # Errors
    /// [`GrantError`] if it is malformed or of another kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GrantError> {
        Self::read(statement_of(ERASURE, StatementKind::ERASURE, bytes)?)
    }

    pub(crate) fn read(statement: SignedStatement) -> Result<Self, GrantError> {
        check_bare(ERASURE, &statement)?;
        let (tag, at) = read_payload(ERASURE, statement.payload(), |reader| {
            Some(Ok((TenantTag(reader.array()?), Millis(reader.u64()?))))
        })?;
        Ok(Self { statement, tag, at })
    }

    /// Whose end.
    pub fn tag(&self) -> TenantTag {
        self.tag
    }

    /// Its date. To be shown: it takes effect at once.
    pub fn at(&self) -> Millis {
        self.at
    }

    /// What attestations name it by.
    pub fn digest(&self) -> PayloadDigest {
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
}

impl TenantAuthority {
    /// Signs the end of the tenant. There is no way back: destroy the authority's key next.
    ///
    /// # Errors
    /// [`GrantError`] if signing fails.
    pub fn erase(&self, at: Millis) -> Result<Erasure, GrantError> {
        let tag = self.tag();
        let mut writer = Writer::default();
        writer.u8(VERSION).raw(&tag.0).u64(at.0);
        let statement = SignedStatement::sign_bare(StatementKind::ERASURE, writer.0, self.key())?;
        Ok(Erasure { statement, tag, at })
    }
}

/// A node says that it destroyed what it had of a tenant: its keys, documents and rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureAttestation {
    statement: SignedStatement,
    tag: TenantTag,
    erasure: PayloadDigest,
    at: Millis,
}

impl ErasureAttestation {
    /// Signs, as a node, that what `erasure` asks for is done here.
    ///
    /// # Errors
    /// [`GrantError`] if signing fails.
    pub fn sign<'a>(
        node: impl Into<StatementKey<'a>>,
        tag: TenantTag,
        erasure: PayloadDigest,
        at: Millis,
    ) -> Result<Self, GrantError> {
        let mut writer = Writer::default();
        writer.u8(VERSION).raw(&tag.0).raw(&erasure.0).u64(at.0);
        let kind = StatementKind::ERASURE_ATTESTATION;
        let statement = SignedStatement::sign(kind, writer.0, node)?;
        Ok(Self { statement, tag, erasure, at })
    }

    /// Parses a signed statement that is an attestation.
    ///
    /// # Errors
    /// [`GrantError`] if it is malformed or of another kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GrantError> {
        Self::read(statement_of(ATTESTATION, StatementKind::ERASURE_ATTESTATION, bytes)?)
    }

    pub(crate) fn read(statement: SignedStatement) -> Result<Self, GrantError> {
        let (tag, erasure, at) = read_payload(ATTESTATION, statement.payload(), |reader| {
            let (tag, erasure) = (TenantTag(reader.array()?), PayloadDigest(reader.array()?));
            Some(Ok((tag, erasure, Millis(reader.u64()?))))
        })?;
        Ok(Self { statement, tag, erasure, at })
    }

    /// Verifies signature and signer, whose SVID is judged at the statement's own date. A revoked key
    /// is refused at any date.
    ///
    /// # Errors
    /// [`GrantError`] says what failed.
    pub fn verify(&self, trust: Trust<'_>) -> Result<ErasedAt, GrantError> {
        let (id, key) = node_signer(ATTESTATION, &self.statement, self.at, trust)?;
        let Some((site, node)) = id.site_and_node() else {
            let rule = "a node's name, /site/<site>/node/<node>, is needed";
            let signer = id.to_string();
            return Err(GrantError::NotAuthorised { what: ATTESTATION, signer, rule });
        };
        Ok(ErasedAt { site, node, key, at: self.at })
    }

    /// Of which tenant.
    pub fn tag(&self) -> TenantTag {
        self.tag
    }

    /// Which erasure it answers.
    pub fn erasure(&self) -> PayloadDigest {
        self.erasure
    }

    /// When it was done, by the node's clock.
    pub fn at(&self) -> Millis {
        self.at
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
}

/// A node that attested an erasure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErasedAt {
    /// Its site.
    pub site: SiteId,
    /// Its name.
    pub node: NodeName,
    /// The hash of its key, which signed.
    pub key: SpkiHash,
    /// When it was done, by its clock.
    pub at: Millis,
}
