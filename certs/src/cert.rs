//! One certificate, parsed within bounds and with the rules that hold for every certificate.

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, KeyUsage, ParsedExtension};
use x509_parser::oid_registry::{
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_NAME_CONSTRAINTS, OID_X509_EXT_SUBJECT_ALT_NAME, Oid,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Version;

use crate::bytes::{hex, read_tlv};
use crate::clock;
use crate::constraints::NameConstraints;
use crate::error::{CertName, SvidError};
use crate::key::SpkiHash;
use holm_model::Millis;

/// Largest certificate that is read, in bytes. One of ours has about 400.
pub const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

/// The extensions that [`crate::Verifier`] processes: only these may be critical.
const PROCESSED: [Oid<'static>; 5] = [
    OID_X509_EXT_BASIC_CONSTRAINTS,
    OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_NAME_CONSTRAINTS,
    OID_X509_EXT_SUBJECT_ALT_NAME,
];

/// A parsed certificate and its place in the chain.
pub(crate) struct Cert<'a> {
    pub(crate) der: &'a CertificateDer<'a>,
    place: Place,
    x509: X509Certificate<'a>,
}

/// Where a certificate stands: how messages call it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a chain; 0 is the leaf.
    Chain(usize),
    /// A chain of signing certificates only (statements): 0 is the signer.
    Signer(usize),
    /// In a bundle.
    Root,
}

impl<'a> Cert<'a> {
    pub(crate) fn parse(der: &'a CertificateDer<'a>, place: Place) -> Result<Self, SvidError> {
        let index = match place {
            Place::Chain(index) | Place::Signer(index) => index,
            Place::Root => 0,
        };
        if der.len() > MAX_CERTIFICATE_BYTES {
            let (bytes, max) = (der.len(), MAX_CERTIFICATE_BYTES);
            return Err(SvidError::CertificateTooLarge { index, bytes, max });
        }
        let malformed = |reason| SvidError::Malformed { index, reason };
        let (rest, x509) =
            X509Certificate::from_der(der).map_err(|_| malformed("it is not DER X.509"))?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow it"));
        }
        if x509.version() != X509Version::V3 {
            return Err(malformed("it is not version 3"));
        }
        // RFC 5280 §4.1.1.2: "This field MUST contain the same algorithm identifier as the
        // signature field in the sequence tbsCertificate".
        if x509.signature_algorithm != x509.tbs_certificate.signature {
            return Err(malformed("it names two signature algorithms"));
        }
        let cert = Self { der, place, x509 };
        cert.check_extensions()?;
        cert.check_names(index)?;
        // Another reader must agree: x509-parser is lenient about tags and unused bits outside the
        // signed part, webpki is not.
        webpki::EndEntityCert::try_from(der)
            .map_err(|_| malformed("the second reader cannot read it"))?;
        Ok(cert)
    }

    fn check_extensions(&self) -> Result<(), SvidError> {
        let extensions = self.x509.extensions();
        for (at, extension) in extensions.iter().enumerate() {
            // RFC 5280 §4.2: "A certificate MUST NOT include more than one instance of a
            // particular extension."
            if extensions[..at].iter().any(|earlier| earlier.oid == extension.oid) {
                let oid = extension.oid.to_string();
                return Err(SvidError::DuplicateExtension { cert: self.name(), oid });
            }
            // RFC 5280 §4.2: "A certificate-using system MUST reject the certificate if it
            // encounters a critical extension it does not recognize or a critical extension
            // that contains information that it cannot process."
            let unreadable = extension.parsed_extension().error().is_some()
                || read_tlv(extension.value).is_none_or(|whole| !whole.rest.is_empty())
                || (extension.oid == OID_X509_EXT_NAME_CONSTRAINTS
                    && NameConstraints::parse(extension.value).is_none());
            let processed = PROCESSED.contains(&extension.oid);
            if (extension.critical && !processed) || (unreadable && processed) {
                let oid = extension.oid.to_string();
                return Err(SvidError::UnknownCriticalExtension { cert: self.name(), oid });
            }
        }
        Ok(())
    }

    fn check_names(&self, index: usize) -> Result<(), SvidError> {
        if self.alt_names().any(|name| matches!(name, GeneralName::Invalid(..))) {
            return Err(SvidError::Malformed { index, reason: "a subjectAltName is not readable" });
        }
        Ok(())
    }

    /// How messages call it.
    pub(crate) fn name(&self) -> CertName {
        let place = match self.place {
            Place::Chain(0) => "the leaf certificate".to_owned(),
            Place::Chain(index) => format!("signing certificate {index}"),
            Place::Signer(_) => "the signer's certificate".to_owned(),
            Place::Root => "the root certificate".to_owned(),
        };
        CertName::new(&place, self.uris().first().copied(), &self.serial())
    }

    /// The serial in hex. RFC 5280 §4.1.2.2 allows 20 bytes; more are cut in messages.
    pub(crate) fn serial(&self) -> String {
        let raw = self.x509.raw_serial();
        hex(&raw[..raw.len().min(24)])
    }

    fn parsed(&self, oid: &Oid<'_>) -> Option<(bool, &ParsedExtension<'a>)> {
        let extension = self.x509.extensions().iter().find(|extension| extension.oid == *oid)?;
        Some((extension.critical, extension.parsed_extension()))
    }

    pub(crate) fn alt_names(&self) -> impl Iterator<Item = &GeneralName<'a>> {
        let names = match self.parsed(&OID_X509_EXT_SUBJECT_ALT_NAME) {
            Some((_, ParsedExtension::SubjectAlternativeName(san))) => &san.general_names[..],
            _ => &[],
        };
        names.iter()
    }

    pub(crate) fn uris(&self) -> Vec<&'a str> {
        self.alt_names()
            .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
            .collect()
    }

    /// Whether a subjectAltName is there and critical.
    pub(crate) fn alt_names_critical(&self) -> bool {
        self.parsed(&OID_X509_EXT_SUBJECT_ALT_NAME).is_some_and(|(critical, _)| critical)
    }

    pub(crate) fn subject_is_empty(&self) -> bool {
        self.x509.subject().iter().next().is_none()
    }

    pub(crate) fn is_ca(&self) -> bool {
        matches!(self.parsed(&OID_X509_EXT_BASIC_CONSTRAINTS),
            Some((_, ParsedExtension::BasicConstraints(basic))) if basic.ca)
    }

    /// pathLenConstraint.
    pub(crate) fn path_length(&self) -> Option<u32> {
        match self.parsed(&OID_X509_EXT_BASIC_CONSTRAINTS) {
            Some((_, ParsedExtension::BasicConstraints(basic))) => basic.path_len_constraint,
            _ => None,
        }
    }

    /// Whether it is critical, and the usages.
    pub(crate) fn key_usage(&self) -> Option<(bool, &KeyUsage)> {
        match self.parsed(&OID_X509_EXT_KEY_USAGE) {
            Some((critical, ParsedExtension::KeyUsage(usage))) => Some((critical, usage)),
            _ => None,
        }
    }

    pub(crate) fn extended_key_usage(&self) -> Option<&ExtendedKeyUsage<'a>> {
        match self.parsed(&OID_X509_EXT_EXTENDED_KEY_USAGE) {
            Some((_, ParsedExtension::ExtendedKeyUsage(usage))) => Some(usage),
            _ => None,
        }
    }

    pub(crate) fn name_constraints(&self) -> Option<NameConstraints<'a>> {
        let extensions = self.x509.extensions().iter();
        let mut found = extensions.filter(|e| e.oid == OID_X509_EXT_NAME_CONSTRAINTS);
        // What cannot be read was refused when the certificate was parsed.
        found.next().and_then(|extension| NameConstraints::parse(extension.value))
    }

    /// DER of the subject's Name.
    pub(crate) fn subject(&self) -> &'a [u8] {
        self.x509.tbs_certificate.subject.as_raw()
    }

    /// DER of the issuer's Name.
    pub(crate) fn issuer(&self) -> &'a [u8] {
        self.x509.tbs_certificate.issuer.as_raw()
    }

    /// DER SubjectPublicKeyInfo.
    pub(crate) fn spki(&self) -> &'a [u8] {
        self.x509.tbs_certificate.subject_pki.raw
    }

    pub(crate) fn spki_hash(&self) -> SpkiHash {
        SpkiHash::of(self.spki())
    }

    pub(crate) fn not_before(&self) -> Millis {
        clock::millis(self.x509.validity().not_before.timestamp())
    }

    /// The begin of the last valid second: notAfter is inclusive (RFC 5280 §4.1.2.5).
    pub(crate) fn not_after(&self) -> Millis {
        clock::millis(self.x509.validity().not_after.timestamp())
    }

    /// RFC 5280 §6.1.3 (a)(2): "The certificate validity period includes the current time."
    pub(crate) fn check_time(&self, now: Millis) -> Result<(), SvidError> {
        let (not_before, not_after) = (self.not_before(), self.not_after());
        if clock::seconds(now) < clock::seconds(not_before) {
            return Err(SvidError::NotYetValid { cert: self.name(), not_before, now });
        }
        if clock::seconds(now) > clock::seconds(not_after) {
            return Err(SvidError::Expired { cert: self.name(), not_after, now });
        }
        Ok(())
    }

    /// RFC 5280 §6.1.3 (a)(1): the signature can be verified with the issuer's public key.
    pub(crate) fn check_signature(&self, issuer: &Cert<'_>) -> Result<(), SvidError> {
        let unsupported = || SvidError::UnsupportedSignature { cert: self.name() };
        let algorithm = signature_algorithm(self.der).ok_or_else(unsupported)?;
        let key_algorithm = key_algorithm(issuer.spki()).ok_or_else(unsupported)?;
        let verifier: &dyn SignatureVerificationAlgorithm = webpki::ALL_VERIFICATION_ALGS
            .iter()
            .copied()
            .find(|known| {
                known.signature_alg_id().as_ref() == algorithm
                    && known.public_key_alg_id().as_ref() == key_algorithm
            })
            .ok_or_else(unsupported)?;
        let key = &issuer.x509.tbs_certificate.subject_pki.subject_public_key.data;
        let message = self.x509.tbs_certificate.as_ref();
        verifier
            .verify_signature(key, message, &self.x509.signature_value.data)
            .map_err(|_| SvidError::BadSignature { cert: self.name(), issuer: issuer.name() })
    }
}

/// What is inside the outer AlgorithmIdentifier of a certificate.
fn signature_algorithm(cert_der: &[u8]) -> Option<&[u8]> {
    let tbs = read_tlv(read_tlv(cert_der)?.content)?;
    Some(read_tlv(tbs.rest)?.content)
}

/// What is inside the AlgorithmIdentifier of a SubjectPublicKeyInfo.
fn key_algorithm(spki_der: &[u8]) -> Option<&[u8]> {
    Some(read_tlv(read_tlv(spki_der)?.content)?.content)
}
