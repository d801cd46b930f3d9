//! Signed statements: a payload, who signed it, and the chain that proves it.
//!
//! The envelope of everything that authority says in writing: revocations, and what concerns tenants.
//!
//! Encoding, version 1, numbers big-endian, `block` = u16 length and bytes:
//! ```text
//! "HSS1" | kind u16 | payload block | count u8 | count × certificate block (DER, signer first) | signature block
//! ```
//! The signature (ECDSA P-256, SHA-256, ASN.1) covers
//! `"holm signed statement v1" 00 | kind u16 | payload block | SHA-256 of the signer's SPKI`.
//! A tenant's authority signs without a chain (count 0): its key is known from the tenant's creation.

use holm_model::Millis;
use rustls_pki_types::CertificateDer;

use crate::authority::{Issuer, RootAuthority};
use crate::bundle::BundleMap;
use crate::bytes::{Reader, Writer};
use crate::cert::{Cert, Place};
use crate::error::SvidError;
use crate::id::{SpiffeId, TrustDomain};
use crate::key::{KeyError, NodeKey, SpkiHash, SubjectPublicKey};
use crate::path::{MAX_CHAIN, check_signer, parse_chain, validate};
use crate::verify::{VerifiedSvid, Verifier};

/// Largest payload of a statement, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 16 * 1024;
/// Largest statement, in bytes: payload, [`MAX_CHAIN`] certificates of our size, and what is around.
pub const MAX_STATEMENT_BYTES: usize = 48 * 1024;

const MAGIC: &[u8; 4] = b"HSS1";
const CONTEXT: &[u8] = b"holm signed statement v1\0";

/// What a statement is about. Unknown kinds are carried and not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementKind(pub u16);

impl StatementKind {
    /// A [`crate::Revocation`].
    pub const REVOCATION: Self = Self(1);
    /// A [`crate::TenantCreation`].
    pub const TENANT_CREATION: Self = Self(2);
    /// A [`crate::Grant`].
    pub const GRANT: Self = Self(3);
    /// A [`crate::GrantRevocation`].
    pub const GRANT_REVOCATION: Self = Self(4);
    /// A [`crate::KeyDelivery`].
    pub const KEY_DELIVERY: Self = Self(5);
    /// A [`crate::SealingKey`].
    pub const SEALING_KEY: Self = Self(6);
    /// A [`crate::Erasure`].
    pub const ERASURE: Self = Self(7);
    /// A [`crate::ErasureAttestation`].
    pub const ERASURE_ATTESTATION: Self = Self(8);
    /// A [`crate::Forgetting`].
    pub const FORGETTING: Self = Self(9);
}

/// Why a statement was refused. Nothing was taken from it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Not a statement, or of another version.
    #[error(
        "the signed statement cannot be read: {reason}; ask the sender for it again, or upgrade this node"
    )]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// Over a bound.
    #[error("the signed statement has {bytes} bytes, at most {max} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The signature does not match.
    #[error(
        "the signed statement was changed after {signer} signed it, or {signer} never did; drop it"
    )]
    BadSignature {
        /// The hash of the signer's key.
        signer: SpkiHash,
    },
    /// The signer's chain is not valid here.
    #[error("the signer of the statement is not trusted: {0}")]
    Signer(#[from] SvidError),
    /// Signing failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// With whose authority a statement is signed.
pub struct StatementKey<'a> {
    key: &'a NodeKey,
    chain: Vec<CertificateDer<'static>>,
}

impl<'a> StatementKey<'a> {
    /// A node's own: its key and its current SVID chain.
    pub fn node(key: &'a NodeKey, chain: Vec<CertificateDer<'static>>) -> Self {
        Self { key, chain }
    }
}

impl<'a> From<&'a Issuer> for StatementKey<'a> {
    fn from(issuer: &'a Issuer) -> Self {
        Self { key: issuer.key(), chain: vec![issuer.certificate().clone()] }
    }
}

impl<'a> From<&'a RootAuthority> for StatementKey<'a> {
    fn from(root: &'a RootAuthority) -> Self {
        Self { key: root.key(), chain: vec![root.certificate().clone()] }
    }
}

/// Who signed a statement, once it was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementSigner {
    /// A root of the domain.
    Root {
        /// Its trust domain.
        trust_domain: TrustDomain,
    },
    /// An issuing intermediate of the domain.
    Issuer {
        /// Its trust domain.
        trust_domain: TrustDomain,
        /// The hash of its key.
        key: SpkiHash,
    },
    /// A node.
    Node(Box<VerifiedSvid>),
}

impl StatementSigner {
    /// The trust domain that the signer belongs to.
    pub fn trust_domain(&self) -> &TrustDomain {
        match self {
            Self::Root { trust_domain } | Self::Issuer { trust_domain, .. } => trust_domain,
            Self::Node(svid) => svid.spiffe_id().trust_domain(),
        }
    }
}

/// A payload with its signature and the signer's chain. Parsed, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedStatement {
    kind: StatementKind,
    payload: Vec<u8>,
    signer_chain: Vec<CertificateDer<'static>>,
    signature: Vec<u8>,
}

impl SignedStatement {
    /// Signs `payload`.
    ///
    /// # Errors
    /// [`StatementError`] if the payload is too large, the chain unreadable, or signing fails.
    pub fn sign<'a>(
        kind: StatementKind,
        payload: Vec<u8>,
        signer: impl Into<StatementKey<'a>>,
    ) -> Result<Self, StatementError> {
        let StatementKey { key, chain } = signer.into();
        let message = message(kind, &payload, &key.public_key().hash())?;
        let signature = key.sign(&message)?;
        Ok(Self { kind, payload, signer_chain: chain, signature })
    }

    /// Signs `payload` with a key that has no certificate: whoever verifies it must know the key.
    pub(crate) fn sign_bare(
        kind: StatementKind,
        payload: Vec<u8>,
        key: &NodeKey,
    ) -> Result<Self, StatementError> {
        Self::sign(kind, payload, StatementKey { key, chain: Vec::new() })
    }

    /// Parses what [`SignedStatement::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`StatementError::Malformed`], [`StatementError::TooLarge`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() > MAX_STATEMENT_BYTES {
            return Err(StatementError::TooLarge { bytes: bytes.len(), max: MAX_STATEMENT_BYTES });
        }
        let malformed = |reason| StatementError::Malformed { reason };
        let mut reader = Reader(bytes);
        if reader.raw(MAGIC.len()) != Some(MAGIC) {
            return Err(malformed("it is not a statement of version 1"));
        }
        let statement = Self::read(&mut reader).ok_or_else(|| malformed("it ends too early"))?;
        if !reader.is_empty() {
            return Err(malformed("bytes follow it"));
        }
        if statement.payload.len() > MAX_PAYLOAD_BYTES {
            let (bytes, max) = (statement.payload.len(), MAX_PAYLOAD_BYTES);
            return Err(StatementError::TooLarge { bytes, max });
        }
        if statement.signer_chain.len() > MAX_CHAIN {
            return Err(malformed("its chain is too long"));
        }
        Ok(statement)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let kind = StatementKind(reader.u16()?);
        let payload = reader.block()?.to_vec();
        let count = reader.u8()?;
        let mut signer_chain = Vec::new();
        for _ in 0..count {
            signer_chain.push(CertificateDer::from(reader.block()?.to_vec()));
        }
        Some(Self { kind, payload, signer_chain, signature: reader.block()?.to_vec() })
    }

    /// The encoding of the module's head.
    ///
    /// # Errors
    /// [`StatementError::TooLarge`] if it would not be read back.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StatementError> {
        let write = || {
            let mut writer = Writer::default();
            writer.raw(MAGIC).u16(self.kind.0).block(&self.payload)?;
            writer.u8(u8::try_from(self.signer_chain.len()).ok()?);
            for certificate in &self.signer_chain {
                writer.block(certificate)?;
            }
            writer.block(&self.signature)?;
            Some(writer.0)
        };
        let max = MAX_STATEMENT_BYTES;
        let bytes = write().ok_or(StatementError::TooLarge { bytes: usize::MAX, max })?;
        if bytes.len() > max {
            return Err(StatementError::TooLarge { bytes: bytes.len(), max });
        }
        Ok(bytes)
    }

    /// What it is about.
    pub fn kind(&self) -> StatementKind {
        self.kind
    }

    /// The payload. Believe it only after [`SignedStatement::verify`].
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whether it was signed without a certificate.
    pub(crate) fn is_bare(&self) -> bool {
        self.signer_chain.is_empty()
    }

    /// An order that is the same on every node.
    pub(crate) fn rank(&self) -> (&[u8], &[u8], Vec<&[u8]>) {
        let chain = self.signer_chain.iter().map(AsRef::as_ref).collect();
        (&self.payload, &self.signature, chain)
    }

    /// Verifies the signer's chain at `at` and the signature; says who signed.
    /// What that signer may say is the caller's judgement.
    ///
    /// # Errors
    /// [`StatementError`] if the signer is not trusted or the signature is not its own.
    pub fn verify(
        &self,
        bundles: &BundleMap,
        at: Millis,
    ) -> Result<StatementSigner, StatementError> {
        let certs = parse_chain(&self.signer_chain, Place::Signer)?;
        let Some(first) = certs.first() else { return Err(SvidError::EmptyChain.into()) };
        let key = SubjectPublicKey::from_der(first.spki())?;
        let message = message(self.kind, &self.payload, &key.hash())?;
        if !key.verifies(&message, &self.signature) {
            return Err(StatementError::BadSignature { signer: key.hash() });
        }
        if !first.is_ca() {
            let svid = Verifier::verify(&self.signer_chain, bundles, at)?;
            return Ok(StatementSigner::Node(Box::new(svid)));
        }
        Ok(verify_authority(&certs, bundles, at)?)
    }

    /// Verifies that `key`, which is known from elsewhere, signed this.
    pub(crate) fn verify_bare(&self, key: &SubjectPublicKey) -> Result<(), StatementError> {
        let signer = key.hash();
        let message = message(self.kind, &self.payload, &signer)?;
        if !key.verifies(&message, &self.signature) {
            return Err(StatementError::BadSignature { signer });
        }
        Ok(())
    }
}

fn verify_authority(
    certs: &[Cert<'_>],
    bundles: &BundleMap,
    at: Millis,
) -> Result<StatementSigner, SvidError> {
    let Some(first) = certs.first() else { return Err(SvidError::EmptyChain) };
    for cert in certs {
        check_signer(cert)?;
    }
    // X509-SVID Appendix A: a signing certificate has no digitalSignature; RFC 5280 §4.2.1.3 gives
    // it cRLSign for "signatures on certificate revocation lists", which is what a statement is here.
    if !first.key_usage().is_some_and(|(_, usage)| usage.crl_sign()) {
        return Err(SvidError::DigitalSignatureMissing { cert: first.name() });
    }
    let uris = first.uris();
    let [uri] = uris[..] else {
        return Err(SvidError::NotOneUri { cert: first.name(), count: uris.len() });
    };
    let id = SpiffeId::parse(uri).map_err(|error| SvidError::InvalidSpiffeId {
        cert: first.name(),
        reason: error.reason(),
    })?;
    let trust_domain = id.trust_domain().clone();
    let Some(bundle) = bundles.find(&trust_domain) else {
        let (cert, domain) = (first.name(), trust_domain.to_string());
        return Err(SvidError::UnknownDomain { cert, domain, known: bundles.names() });
    };
    validate(certs, bundle, at)?;
    if bundle.contains(first.der) {
        return Ok(StatementSigner::Root { trust_domain });
    }
    Ok(StatementSigner::Issuer { trust_domain, key: first.spki_hash() })
}

fn message(
    kind: StatementKind,
    payload: &[u8],
    signer: &SpkiHash,
) -> Result<Vec<u8>, StatementError> {
    let too_large = || StatementError::TooLarge { bytes: payload.len(), max: MAX_PAYLOAD_BYTES };
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(too_large());
    }
    let mut writer = Writer::default();
    writer.raw(CONTEXT).u16(kind.0).block(payload).ok_or_else(too_large)?.raw(&signer.0);
    Ok(writer.0)
}
