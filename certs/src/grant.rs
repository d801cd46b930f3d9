//! What is said about tenants in writing: that one exists, who may do what with it, and who no more.
//!
//! Payloads of [`SignedStatement`]s, version 1, numbers big-endian, times u64 (ms since 1970), `block` =
//! u16 length and bytes:
//! ```text
//! kind 2, creation    version u8 = 1 | at u64 | the authority's SPKI 91                     signed by an issuer or the root
//! kind 3, grant       version u8 = 1 | tag 16 | site block | rights u8 | serial u64 | not before u64 | not after u64
//! kind 4, revocation  version u8 = 1 | tag 16 | site block | up to serial u64 | at u64     both signed by the authority
//! ```
//! Rights: bit 0 query, bit 1 replicate; at least one, and no other bit. Fields have their places, so
//! none can stand twice. Reading a payload and writing it again gives the same bytes.
//!
//! A grant holds from `not before` until just before `not after`. A revocation ends every grant to the
//! site whose serial is not greater than the one that it names: at once and for good, whatever its date
//! says and whichever came first. A grant with a greater serial holds again.

use holm_model::{Millis, SiteId};

use crate::bytes::Writer;
use crate::key::{SpkiHash, SubjectPublicKey};
use crate::statement::{SignedStatement, StatementKey, StatementKind, StatementSigner};
use crate::tenancy::{
    GrantError, PayloadDigest, Trust, VERSION, check_bare, read_payload, statement_of,
};
use crate::tenant::{Rights, TenantAuthority, TenantTag};

/// An issuer or the root says that a key is the authority of a tenant of this mesh. Which tenant, it
/// does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantCreation {
    statement: SignedStatement,
    at: Millis,
    authority: SubjectPublicKey,
}

const CREATION: &str = "tenant's creation";

impl TenantCreation {
    /// Signs that `authority` is a tenant's.
    ///
    /// # Errors
    /// [`GrantError`] if signing fails.
    pub fn sign<'a>(
        signer: impl Into<StatementKey<'a>>,
        authority: &SubjectPublicKey,
        at: Millis,
    ) -> Result<Self, GrantError> {
        let mut writer = Writer::default();
        writer.u8(VERSION).u64(at.0).raw(authority.as_der());
        let statement = SignedStatement::sign(StatementKind::TENANT_CREATION, writer.0, signer)?;
        Ok(Self { statement, at, authority: authority.clone() })
    }

    /// Parses a signed statement that is a creation.
    ///
    /// # Errors
    /// [`GrantError`] if it is malformed or of another kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GrantError> {
        Self::read(statement_of(CREATION, StatementKind::TENANT_CREATION, bytes)?)
    }

    pub(crate) fn read(statement: SignedStatement) -> Result<Self, GrantError> {
        let (at, authority) = read_payload(CREATION, statement.payload(), |reader| {
            let (at, spki) = (Millis(reader.u64()?), reader.array::<91>()?);
            let key = SubjectPublicKey::from_der(&spki).map_err(|_| "its key is not a P-256 key");
            Some(key.map(|key| (at, key)))
        })?;
        Ok(Self { statement, at, authority })
    }

    /// Verifies signature and signer, whose chain is judged at the statement's own date, so that a
    /// tenant outlives the certificate of the issuer that created it. Says whose key signed.
    ///
    /// An issuer whose key was revoked created nothing, at whatever date: its stolen key could write
    /// any. Tenants that are meant to stay are confirmed by another issuer or the root, which signs a
    /// creation of the same key again.
    ///
    /// # Errors
    /// [`GrantError`] says what failed.
    pub fn verify(&self, trust: Trust<'_>) -> Result<Creator, GrantError> {
        let refuse =
            |signer: String, rule| Err(GrantError::NotAuthorised { what: CREATION, signer, rule });
        let signer = self.statement.verify(trust.bundles, self.at)?;
        if signer.trust_domain() != trust.domain {
            let signer = signer.trust_domain().id().to_string();
            return refuse(signer, "an authority of this mesh's own trust domain is needed");
        }
        match signer {
            StatementSigner::Root { .. } => Ok(Creator::Root),
            StatementSigner::Issuer { key, .. } => match trust.revocations.of_issuer(&key) {
                None => Ok(Creator::Issuer(key)),
                Some(_) => refuse(
                    format!("issuer {key}"),
                    "its key was revoked; let another issuer or the root confirm the tenant",
                ),
            },
            StatementSigner::Node(svid) => {
                refuse(svid.spiffe_id().to_string(), "an issuer or the root is needed")
            }
        }
    }

    /// The tenant's tag.
    pub fn tag(&self) -> TenantTag {
        TenantTag::of(&self.authority)
    }

    /// The tenant's key.
    pub fn authority(&self) -> &SubjectPublicKey {
        &self.authority
    }

    /// When it was said. To be shown; nothing depends on it but the signer's chain.
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

/// Who created a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Creator {
    /// The root.
    Root,
    /// The issuer with this key.
    Issuer(SpkiHash),
}

/// To whom an authority grants what, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantTerms {
    /// The site, every node of it.
    pub site: SiteId,
    /// What it may do; at least one right.
    pub rights: Rights,
    /// Greater than that of every revocation that must not end this grant:
    /// [`crate::GrantBook::next_serial`].
    pub serial: u64,
    /// The first moment. Date it [`crate::CLOCK_SKEW`] back, so that sites whose clocks are behind
    /// accept it at once.
    pub not_before: Millis,
    /// The first moment at which it no longer holds.
    pub not_after: Millis,
}

/// A tenant's authority lets a site do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    statement: SignedStatement,
    tag: TenantTag,
    terms: GrantTerms,
}

const GRANT: &str = "grant";

impl Grant {
    /// Parses a signed statement that is a grant.
    ///
    /// # Errors
    /// [`GrantError`] if it is malformed or of another kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GrantError> {
        Self::read(statement_of(GRANT, StatementKind::GRANT, bytes)?)
    }

    pub(crate) fn read(statement: SignedStatement) -> Result<Self, GrantError> {
        check_bare(GRANT, &statement)?;
        let (tag, terms) = read_payload(GRANT, statement.payload(), |reader| {
            let tag = TenantTag(reader.array()?);
            let (site, rights, serial) = (reader.text()?, reader.u8()?, reader.u64()?);
            let (not_before, not_after) = (Millis(reader.u64()?), Millis(reader.u64()?));
            let Ok(site) = SiteId::new(site) else { return Some(Err("it names no site")) };
            let Some(rights) = Rights::from_bits(rights) else {
                return Some(Err("it has a right that this version does not know"));
            };
            Some(Ok((tag, GrantTerms { site, rights, serial, not_before, not_after })))
        })?;
        check_terms(&terms)?;
        Ok(Self { statement, tag, terms })
    }

    /// Whose tenant.
    pub fn tag(&self) -> TenantTag {
        self.tag
    }

    /// To whom, what and how long.
    pub fn terms(&self) -> &GrantTerms {
        &self.terms
    }

    /// What names it: of two signatures over the same terms both have the same.
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

fn check_terms(terms: &GrantTerms) -> Result<(), GrantError> {
    let GrantTerms { not_before, not_after, .. } = *terms;
    if terms.rights.is_empty() {
        return Err(GrantError::Malformed { what: GRANT, reason: "it grants no right" });
    }
    if not_before >= not_after {
        return Err(GrantError::Period { not_before, not_after });
    }
    Ok(())
}

/// A tenant's authority takes back what it granted a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRevocation {
    statement: SignedStatement,
    tag: TenantTag,
    site: SiteId,
    up_to: u64,
    at: Millis,
}

const GRANT_REVOCATION: &str = "revocation of a grant";

impl GrantRevocation {
    /// Parses a signed statement that is a revocation of grants.
    ///
    /// # Errors
    /// [`GrantError`] if it is malformed or of another kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GrantError> {
        Self::read(statement_of(GRANT_REVOCATION, StatementKind::GRANT_REVOCATION, bytes)?)
    }

    pub(crate) fn read(statement: SignedStatement) -> Result<Self, GrantError> {
        check_bare(GRANT_REVOCATION, &statement)?;
        let (tag, site, up_to, at) =
            read_payload(GRANT_REVOCATION, statement.payload(), |reader| {
                let (tag, site) = (TenantTag(reader.array()?), reader.text()?);
                let (up_to, at) = (reader.u64()?, Millis(reader.u64()?));
                let site = SiteId::new(site).map_err(|_| "it names no site");
                Some(site.map(|site| (tag, site, up_to, at)))
            })?;
        Ok(Self { statement, tag, site, up_to, at })
    }

    /// Whose tenant.
    pub fn tag(&self) -> TenantTag {
        self.tag
    }

    /// Whose grants end.
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    /// The greatest serial that ends.
    pub fn up_to(&self) -> u64 {
        self.up_to
    }

    /// Its date. To be shown: it takes effect at once.
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

impl TenantAuthority {
    /// Signs a grant.
    ///
    /// # Errors
    /// [`GrantError`] if it would grant nothing or signing fails.
    pub fn grant(&self, terms: GrantTerms) -> Result<Grant, GrantError> {
        check_terms(&terms)?;
        let tag = self.tag();
        let mut writer = Writer::default();
        writer.u8(VERSION).raw(&tag.0);
        site_block(&mut writer, &terms.site)?;
        writer.u8(terms.rights.to_bits()).u64(terms.serial);
        writer.u64(terms.not_before.0).u64(terms.not_after.0);
        let statement = SignedStatement::sign_bare(StatementKind::GRANT, writer.0, self.key())?;
        Ok(Grant { statement, tag, terms })
    }

    /// Signs the revocation of every grant to `site` whose serial is at most `up_to`.
    ///
    /// To revoke all that was granted so far, name [`crate::GrantBook::next_serial`]: it is greater
    /// than any serial seen.
    ///
    /// # Errors
    /// [`GrantError`] if signing fails.
    pub fn revoke(
        &self,
        site: &SiteId,
        up_to: u64,
        at: Millis,
    ) -> Result<GrantRevocation, GrantError> {
        let tag = self.tag();
        let mut writer = Writer::default();
        writer.u8(VERSION).raw(&tag.0);
        site_block(&mut writer, site)?;
        writer.u64(up_to).u64(at.0);
        let kind = StatementKind::GRANT_REVOCATION;
        let statement = SignedStatement::sign_bare(kind, writer.0, self.key())?;
        Ok(GrantRevocation { statement, tag, site: site.clone(), up_to, at })
    }
}

fn site_block(writer: &mut Writer, site: &SiteId) -> Result<(), GrantError> {
    // A site has at most 63 bytes: parsed where it came in.
    let written = writer.block(site.as_str().as_bytes());
    written.map(|_| ()).ok_or(GrantError::Malformed { what: "site", reason: "it is too long" })
}
