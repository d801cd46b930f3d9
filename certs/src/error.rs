//! Why a certificate chain was refused: one variant a rule, each with a stable code.

use std::fmt;

use holm_model::Millis;

use crate::clock::{show, span};

/// A certificate as messages name it: its place in the chain, its SPIFFE ID if it has one, its serial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertName(Box<str>);

impl CertName {
    pub(crate) fn new(place: &str, uri: Option<&str>, serial: &str) -> Self {
        let uri: String = match uri {
            Some(uri) => uri.chars().take(120).flat_map(char::escape_debug).collect(),
            None => "without a SPIFFE ID".to_owned(),
        };
        Self(format!("{place} {uri} (serial {serial})").into())
    }
}

impl fmt::Display for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a chain is not a valid X.509-SVID for us. State is never touched.
///
/// [`SvidError::code`] is stable; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SvidError {
    /// The signature of a certificate was not made by its issuer's key.
    #[error(
        "{cert} is not signed by the key of {issuer}: it was forged or damaged, or belongs to another mesh with the same names; enrol the node again with a join token of this mesh"
    )]
    BadSignature {
        /// The certificate.
        cert: CertName,
        /// Whose key should have signed it.
        issuer: CertName,
    },
    /// More certificates than allowed.
    #[error(
        "the chain has {count} certificates, at most {max} are read; send the leaf and its signing certificates only"
    )]
    ChainTooLong {
        /// How many there are.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
    /// A certificate is larger than allowed.
    #[error(
        "certificate {index} of the chain has {bytes} bytes, at most {max} are read; issue a smaller one"
    )]
    CertificateTooLarge {
        /// Place in the chain, the leaf is 0.
        index: usize,
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The leaf has no digitalSignature.
    #[error("{cert} does not allow digitalSignature in its key usage; issue it anew")]
    DigitalSignatureMissing {
        /// The leaf.
        cert: CertName,
    },
    /// The bundle of the trust domain is empty: it is distrusted.
    #[error(
        "{cert} is of trust domain {domain}, whose bundle is empty: nobody of that domain is trusted; load its bundle if that is not meant"
    )]
    DistrustedDomain {
        /// The leaf.
        cert: CertName,
        /// Its trust domain.
        domain: String,
    },
    /// One extension stands twice.
    #[error("{cert} has the extension {oid} twice; issue it anew")]
    DuplicateExtension {
        /// The certificate.
        cert: CertName,
        /// The extension.
        oid: String,
    },
    /// No certificate at all.
    #[error("the peer sent no certificate; both sides of this mesh must show an SVID")]
    EmptyChain,
    /// The validity is over.
    #[error("{cert} expired {} ago, at {}, while this node's clock says {}{}; renew it at an issuer, or enrol the node again with a join token", span(now.since(*not_after)), show(*not_after), show(*now), clock_hint(now.since(*not_after)))]
    Expired {
        /// The certificate.
        cert: CertName,
        /// Its end.
        not_after: Millis,
        /// The time of the check.
        now: Millis,
    },
    /// An extended key usage without both purposes.
    #[error(
        "{cert} has an extended key usage without {missing}; both serverAuth and clientAuth must be there: issue it anew"
    )]
    ExtendedKeyUsage {
        /// The leaf.
        cert: CertName,
        /// What it lacks.
        missing: &'static str,
    },
    /// The chain is not in order.
    #[error(
        "{cert} names another issuer than {issuer}, which follows it; send the leaf first and then each certificate's issuer"
    )]
    IssuerMismatch {
        /// The certificate.
        cert: CertName,
        /// The one that follows.
        issuer: CertName,
    },
    /// The URI is not a SPIFFE ID.
    #[error("{cert} has a bad SPIFFE ID: {reason}; issue it anew")]
    InvalidSpiffeId {
        /// The certificate.
        cert: CertName,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// Key usage is there but not critical.
    #[error("{cert} has a key usage that is not critical; issue it anew")]
    KeyUsageNotCritical {
        /// The certificate.
        cert: CertName,
    },
    /// No key usage.
    #[error("{cert} has no key usage; issue it anew")]
    KeyUsageMissing {
        /// The certificate.
        cert: CertName,
    },
    /// A signing certificate was used to authenticate.
    #[error(
        "{cert} is a signing certificate (cA is true) and cannot identify a node; show the node's own SVID"
    )]
    LeafIsCa {
        /// The leaf.
        cert: CertName,
    },
    /// The leaf may sign certificates or CRLs.
    #[error("{cert} allows {usage}, which a leaf must not; issue it anew")]
    LeafMaySign {
        /// The leaf.
        cert: CertName,
        /// keyCertSign or cRLSign.
        usage: &'static str,
    },
    /// The leaf's SPIFFE ID names a trust domain only.
    #[error("{cert} names a trust domain only; a leaf needs a path such as /site/berlin/node/n1")]
    LeafWithoutPath {
        /// The leaf.
        cert: CertName,
    },
    /// Not a certificate.
    #[error("certificate {index} of the chain cannot be read: {reason}; send DER X.509 v3")]
    Malformed {
        /// Place in the chain, the leaf is 0.
        index: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A name lies outside what an issuer was allowed.
    #[error(
        "{cert} lies outside the name constraints of {issuer}: {reason}; ask an issuer of the right trust domain"
    )]
    NameConstraint {
        /// The certificate.
        cert: CertName,
        /// The one with the constraint.
        issuer: CertName,
        /// Which.
        reason: String,
    },
    /// Not exactly one URI.
    #[error("{cert} has {count} URI names; an SVID has exactly one: issue it anew")]
    NotOneUri {
        /// The certificate.
        cert: CertName,
        /// How many it has.
        count: usize,
    },
    /// The URI has another scheme.
    #[error("{cert} has a URI whose scheme is not spiffe; issue it anew")]
    NotSpiffe {
        /// The certificate.
        cert: CertName,
    },
    /// The validity has not begun.
    #[error("{cert} is valid only from {}, {} after what this node's clock says ({}); this clock is behind or the issuer's was ahead: set both right (NTP)", show(*not_before), span(not_before.since(*now)), show(*now))]
    NotYetValid {
        /// The certificate.
        cert: CertName,
        /// Its begin.
        not_before: Millis,
        /// The time of the check.
        now: Millis,
    },
    /// More signing certificates below one than it allows.
    #[error(
        "{issuer} allows {allowed} signing certificates below it, the chain has {below}; ask an issuer that the root signed"
    )]
    PathLength {
        /// The one with the limit.
        issuer: CertName,
        /// Its pathLenConstraint.
        allowed: u32,
        /// How many there are.
        below: usize,
    },
    /// The key was revoked.
    #[error("{cert} was revoked at {}: {reason}; give the node a new key (remove its old one) and enrol it again", show(*at))]
    Revoked {
        /// The certificate whose key was revoked.
        cert: CertName,
        /// Since when.
        at: Millis,
        /// The reason given.
        reason: String,
    },
    /// The subject is empty and the names are not critical.
    #[error("{cert} has an empty subject, so its subjectAltName must be critical; issue it anew")]
    SanNotCritical {
        /// The leaf.
        cert: CertName,
    },
    /// A certificate in an issuer's place is none.
    #[error("{cert} stands as an issuer but is not a CA (cA is not true); ask a real issuer")]
    SignerNotCa {
        /// The certificate.
        cert: CertName,
    },
    /// An issuer with a path in its SPIFFE ID.
    #[error(
        "{cert} is a signing certificate and has a path in its SPIFFE ID; only its trust domain may stand there"
    )]
    SignerWithPath {
        /// The certificate.
        cert: CertName,
    },
    /// An issuer that may not sign certificates.
    #[error("{cert} stands as an issuer without keyCertSign; ask a real issuer")]
    SignerWithoutKeyCertSign {
        /// The certificate.
        cert: CertName,
    },
    /// A critical extension that is not processed here.
    #[error(
        "{cert} has the critical extension {oid}, which is not understood here; issue it without"
    )]
    UnknownCriticalExtension {
        /// The certificate.
        cert: CertName,
        /// The extension.
        oid: String,
    },
    /// No bundle for the trust domain.
    #[error(
        "{cert} is of trust domain {domain}, this node trusts {known}; join the mesh of that domain, or load its bundle"
    )]
    UnknownDomain {
        /// The leaf.
        cert: CertName,
        /// Its trust domain.
        domain: String,
        /// What is trusted here.
        known: String,
    },
    /// Nobody in the bundle issued the chain's end.
    #[error(
        "{cert} was issued by none of the roots of {domain} that this node has; it belongs to another mesh of that name, or this node's bundle is old"
    )]
    UntrustedRoot {
        /// The last certificate of the chain.
        cert: CertName,
        /// The trust domain.
        domain: String,
    },
    /// A signature algorithm that is not accepted.
    #[error("{cert} is signed with an algorithm that is not accepted here; use ECDSA P-256")]
    UnsupportedSignature {
        /// The certificate.
        cert: CertName,
    },
    /// rustls-webpki, asked as a second opinion, refused the leaf.
    #[error("{cert} was refused by the second verifier: {reason}; issue it anew")]
    WebPki {
        /// The leaf.
        cert: CertName,
        /// What webpki said.
        reason: String,
    },
    /// A refresh with another key.
    #[error(
        "{cert} is on another key than the connection's; a refresh keeps the key: connect anew"
    )]
    WrongKey {
        /// The new leaf.
        cert: CertName,
    },
    /// A refresh with another SPIFFE ID.
    #[error("{cert} is another identity than the connection's {expected}; connect anew")]
    WrongSpiffeId {
        /// The new leaf.
        cert: CertName,
        /// Who the peer was.
        expected: String,
    },
}

/// Two days: what a wrong clock (time zone, dead battery, no NTP) typically explains.
const CLOCK_SUSPECT_MS: u64 = 2 * 86_400_000;

fn clock_hint(late_ms: u64) -> &'static str {
    if late_ms <= CLOCK_SUSPECT_MS {
        "; so short a time may be a wrong clock: check that of this node and of the peer (NTP)"
    } else {
        ""
    }
}

impl SvidError {
    /// A stable word for logs, metrics and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadSignature { .. } => "bad_signature",
            Self::ChainTooLong { .. } => "chain_too_long",
            Self::CertificateTooLarge { .. } => "certificate_too_large",
            Self::DigitalSignatureMissing { .. } => "digital_signature_missing",
            Self::DistrustedDomain { .. } => "distrusted_domain",
            Self::DuplicateExtension { .. } => "duplicate_extension",
            Self::EmptyChain => "empty_chain",
            Self::Expired { .. } => "expired",
            Self::ExtendedKeyUsage { .. } => "extended_key_usage",
            Self::IssuerMismatch { .. } => "issuer_mismatch",
            Self::InvalidSpiffeId { .. } => "invalid_spiffe_id",
            Self::KeyUsageNotCritical { .. } => "key_usage_not_critical",
            Self::KeyUsageMissing { .. } => "key_usage_missing",
            Self::LeafIsCa { .. } => "leaf_is_ca",
            Self::LeafMaySign { .. } => "leaf_may_sign",
            Self::LeafWithoutPath { .. } => "leaf_without_path",
            Self::Malformed { .. } => "malformed",
            Self::NameConstraint { .. } => "name_constraint",
            Self::NotOneUri { .. } => "not_one_uri",
            Self::NotSpiffe { .. } => "not_spiffe",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::PathLength { .. } => "path_length",
            Self::Revoked { .. } => "revoked",
            Self::SanNotCritical { .. } => "san_not_critical",
            Self::SignerNotCa { .. } => "signer_not_ca",
            Self::SignerWithPath { .. } => "signer_with_path",
            Self::SignerWithoutKeyCertSign { .. } => "signer_without_key_cert_sign",
            Self::UnknownCriticalExtension { .. } => "unknown_critical_extension",
            Self::UnknownDomain { .. } => "unknown_domain",
            Self::UntrustedRoot { .. } => "untrusted_root",
            Self::UnsupportedSignature { .. } => "unsupported_signature",
            Self::WebPki { .. } => "webpki",
            Self::WrongKey { .. } => "wrong_key",
            Self::WrongSpiffeId { .. } => "wrong_spiffe_id",
        }
    }
}
