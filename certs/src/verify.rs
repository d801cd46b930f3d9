//! The X.509-SVID verifier: every MUST of the standard, whichever library walks the path.

use holm_model::Millis;
use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::bundle::{Bundle, BundleMap};
use crate::cert::{Cert, Place};
use crate::clock;
use crate::error::{CertName, SvidError};
use crate::id::SpiffeId;
use crate::key::SpkiHash;
use crate::path::{check_signer, parse_chain, validate};

/// What a valid chain proves: who the peer is, with which key, until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSvid {
    spiffe_id: SpiffeId,
    not_before: Millis,
    not_after: Millis,
    spki: Vec<u8>,
    serial: String,
    keys: Vec<(SpkiHash, CertName)>,
}

impl VerifiedSvid {
    /// The peer's identity.
    pub fn spiffe_id(&self) -> &SpiffeId {
        &self.spiffe_id
    }

    /// The leaf's begin.
    pub fn not_before(&self) -> Millis {
        self.not_before
    }

    /// The begin of the last second in which every certificate of the path, root included, is valid.
    pub fn not_after(&self) -> Millis {
        self.not_after
    }

    /// The first moment at which the path is no longer valid: when a connection must be closed.
    /// notAfter is inclusive, so this is one second later.
    pub fn deadline(&self) -> Millis {
        self.not_after + 1000
    }

    /// The peer's public key, DER SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The hash of the peer's public key.
    pub fn spki_hash(&self) -> SpkiHash {
        SpkiHash::of(&self.spki)
    }

    /// The leaf's serial, hex.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The key of the leaf and of every signing certificate above it, root excluded, in order.
    pub(crate) fn keys(&self) -> &[(SpkiHash, CertName)] {
        &self.keys
    }
}

/// Verifies X.509-SVID chains. It holds nothing: trust and time are arguments.
#[derive(Debug)]
pub struct Verifier;

impl Verifier {
    /// Verifies `chain` (DER, leaf first, then each certificate's issuer; the root may be sent along)
    /// against the bundle of the leaf's own trust domain, at `now`.
    ///
    /// At most [`crate::MAX_CHAIN`] certificates of [`crate::MAX_CERTIFICATE_BYTES`] each are read.
    /// Certificates' own rules are judged before trust, so that a bad leaf is called so
    /// whoever issued it.
    ///
    /// # Errors
    /// [`SvidError`] names the rule, the certificate and the remedy.
    pub fn verify(
        chain: &[CertificateDer<'_>],
        bundles: &BundleMap,
        now: Millis,
    ) -> Result<VerifiedSvid, SvidError> {
        let certs = parse_chain(chain, Place::Chain)?;
        let Some((leaf, signers)) = certs.split_first() else {
            return Err(SvidError::EmptyChain);
        };
        let spiffe_id = check_leaf(leaf)?;
        for signer in signers {
            check_signer(signer)?;
        }
        let bundle = bundle_for(leaf, &spiffe_id, bundles)?;
        // X509-SVID §5.1: validation "MUST follow RFC 5280 path validation semantics".
        let root = validate(&certs, bundle, now)?;
        second_opinion(leaf, signers.first().unwrap_or(&root), now)?;
        let path = certs.iter().chain([&root]);
        let not_after = path.map(Cert::not_after).min().unwrap_or_default();
        Ok(VerifiedSvid {
            spiffe_id,
            not_before: leaf.not_before(),
            not_after,
            spki: leaf.spki().to_vec(),
            serial: leaf.serial(),
            keys: certs.iter().map(|cert| (cert.spki_hash(), cert.name())).collect(),
        })
    }

    /// Verifies a chain that a live peer sent to refresh `old`: a valid SVID on the same key with the
    /// same SPIFFE ID.
    ///
    /// # Errors
    /// [`SvidError`]: as [`Verifier::verify`], or [`SvidError::WrongKey`],
    /// [`SvidError::WrongSpiffeId`].
    pub fn verify_refresh(
        old: &VerifiedSvid,
        chain: &[CertificateDer<'_>],
        bundles: &BundleMap,
        now: Millis,
    ) -> Result<VerifiedSvid, SvidError> {
        let new = Self::verify(chain, bundles, now)?;
        let name = || CertName::new("the new leaf", Some(&new.spiffe_id.to_string()), &new.serial);
        if new.spiffe_id != old.spiffe_id {
            let expected = old.spiffe_id.to_string();
            return Err(SvidError::WrongSpiffeId { cert: name(), expected });
        }
        if new.spki != old.spki {
            return Err(SvidError::WrongKey { cert: name() });
        }
        Ok(new)
    }
}

/// When the leaf of `chain` begins: a moment at which its issuer must have been valid.
pub(crate) fn leaf_begin(chain: &[CertificateDer<'_>]) -> Result<Millis, SvidError> {
    let leaf = chain.first().ok_or(SvidError::EmptyChain)?;
    Ok(Cert::parse(leaf, Place::Chain(0))?.not_before())
}

/// The rules that a leaf must keep by itself. Gives its SPIFFE ID.
fn check_leaf(leaf: &Cert<'_>) -> Result<SpiffeId, SvidError> {
    // X509-SVID §5.2: "SVIDs containing more than one URI SAN MUST be rejected"; §2: "An X.509 SVID
    // MUST contain exactly one URI SAN".
    let uris = leaf.uris();
    let [uri] = uris[..] else {
        return Err(SvidError::NotOneUri { cert: leaf.name(), count: uris.len() });
    };
    // X509-SVID §5.2: "MUST also ensure that the scheme of the SPIFFE ID is set to spiffe".
    if !uri.starts_with("spiffe:") {
        return Err(SvidError::NotSpiffe { cert: leaf.name() });
    }
    let id = SpiffeId::parse(uri).map_err(|error| SvidError::InvalidSpiffeId {
        cert: leaf.name(),
        reason: error.reason(),
    })?;
    // X509-SVID §5.2: "MUST ensure that the CA field in the basic constraints extension is set to
    // false"; §3.2: "Signing certificates MUST NOT be used for authentication purposes".
    if leaf.is_ca() {
        return Err(SvidError::LeafIsCa { cert: leaf.name() });
    }
    // X509-SVID §5.2: "MUST ensure that the SPIFFE ID has a non-root path component".
    if id.path().is_empty() {
        return Err(SvidError::LeafWithoutPath { cert: leaf.name() });
    }
    check_leaf_usage(leaf)?;
    // X509-SVID §3.1: "the URI SAN extension MUST be marked as critical if Subject is omitted".
    if leaf.subject_is_empty() && !leaf.alt_names_critical() {
        return Err(SvidError::SanNotCritical { cert: leaf.name() });
    }
    Ok(id)
}

fn check_leaf_usage(leaf: &Cert<'_>) -> Result<(), SvidError> {
    // X509-SVID §4.3: "The key usage extension MUST be set on all SVIDs, and MUST be marked
    // critical."
    let Some((critical, usage)) = leaf.key_usage() else {
        return Err(SvidError::KeyUsageMissing { cert: leaf.name() });
    };
    if !critical {
        return Err(SvidError::KeyUsageNotCritical { cert: leaf.name() });
    }
    // X509-SVID §4.3: "Leaf SVIDs MUST set digitalSignature."
    if !usage.digital_signature() {
        return Err(SvidError::DigitalSignatureMissing { cert: leaf.name() });
    }
    // X509-SVID §4.3: "Leaf SVIDs MUST NOT set keyCertSign or cRLSign"; §5.2 has the validator check.
    if usage.key_cert_sign() {
        return Err(SvidError::LeafMaySign { cert: leaf.name(), usage: "keyCertSign" });
    }
    if usage.crl_sign() {
        return Err(SvidError::LeafMaySign { cert: leaf.name(), usage: "cRLSign" });
    }
    // X509-SVID §4.4: "When included, fields id-kp-serverAuth and id-kp-clientAuth MUST be set."
    if let Some(purposes) = leaf.extended_key_usage() {
        for (there, missing) in
            [(purposes.server_auth, "serverAuth"), (purposes.client_auth, "clientAuth")]
        {
            if !there {
                return Err(SvidError::ExtendedKeyUsage { cert: leaf.name(), missing });
            }
        }
    }
    Ok(())
}

/// SPIFFE Trust Domain and Bundle §3: "validators must choose the bundle corresponding to the trust
/// domain that the SVID resides in".
fn bundle_for<'b>(
    leaf: &Cert<'_>,
    id: &SpiffeId,
    bundles: &'b BundleMap,
) -> Result<&'b Bundle, SvidError> {
    let domain = id.trust_domain();
    let Some(bundle) = bundles.find(domain) else {
        let known = bundles.names();
        let domain = domain.to_string();
        return Err(SvidError::UnknownDomain { cert: leaf.name(), domain, known });
    };
    if bundle.roots().is_empty() {
        let domain = domain.to_string();
        return Err(SvidError::DistrustedDomain { cert: leaf.name(), domain });
    }
    Ok(bundle)
}

/// Asks rustls-webpki about the leaf with its issuer as the anchor: another parser, another DER
/// reader, another signature check. Name constraints are cleared because webpki refuses every URI
/// under them, and `path` has judged them.
fn second_opinion(leaf: &Cert<'_>, issuer: &Cert<'_>, now: Millis) -> Result<(), SvidError> {
    let refuse =
        |error: webpki::Error| SvidError::WebPki { cert: leaf.name(), reason: error.to_string() };
    let mut anchor = anchor_from_trusted_cert(issuer.der).map_err(refuse)?;
    anchor.name_constraints = None;
    let seconds = u64::try_from(clock::seconds(now)).unwrap_or(0);
    EndEntityCert::try_from(leaf.der)
        .and_then(|leaf| {
            leaf.verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &[anchor],
                &[],
                UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
                KeyUsage::client_auth(),
                None,
                None,
            )
            .map(|_| ())
        })
        .map_err(refuse)
}
