//! P-256 keys: a node's stable key pair, public keys as DER SPKI, and proof of possession.

use std::fmt;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, IsCa};
use ring::digest::{SHA256, digest};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING};
use ring::signature::{EcdsaKeyPair, KeyPair as _, UnparsedPublicKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, alg_id};
use serde::{Deserialize, Serialize};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use crate::bytes::{hex, read_tlv, unhex};

/// Largest certificate request that is read, in bytes. One of ours has about 220.
pub const MAX_REQUEST_BYTES: usize = 4096;

/// What stands before the 65-byte point in a P-256 SubjectPublicKeyInfo (RFC 5480 §2): the two
/// SEQUENCE headers, id-ecPublicKey, prime256v1, and the BIT STRING header.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P256_SPKI_BYTES: usize = 91;
/// An uncompressed point starts so (SEC 1 §2.3.3); RFC 5480 §2.2 demands support for this form.
const UNCOMPRESSED: u8 = 0x04;

const KEY_PEM_TAG: &str = "PRIVATE KEY";

/// Why a key or a certificate request was refused, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The machine gave no randomness, or signing failed.
    #[error("the {action} failed: the operating system's random generator gave nothing; try again")]
    Crypto {
        /// What was tried.
        action: &'static str,
    },
    /// Not a PKCS#8 P-256 private key.
    #[error(
        "the private key cannot be read: {reason}; it must be one PEM block \"PRIVATE KEY\" with a PKCS#8 P-256 key"
    )]
    PrivateKey {
        /// What is wrong with it.
        reason: String,
    },
    /// Not a P-256 public key.
    #[error(
        "the public key is not an uncompressed P-256 key of 91 bytes of DER SubjectPublicKeyInfo"
    )]
    PublicKey,
    /// A PKCS#10 request that does not parse, or of the wrong kind.
    #[error("the certificate request is refused: {reason}; make a new one on the asking node")]
    Request {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The request's signature does not match its key: no proof that the asker holds the key.
    #[error(
        "the certificate request is not signed by the key in it; make a new one on the asking node"
    )]
    RequestSignature,
}

/// SHA-256 of a DER SubjectPublicKeyInfo: the name of a key. Written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpkiHash(pub [u8; 32]);

impl SpkiHash {
    /// The hash of `spki_der`, a whole SubjectPublicKeyInfo.
    pub fn of(spki_der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, spki_der).as_ref());
        Self(bytes)
    }
}

impl fmt::Display for SpkiHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for SpkiHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpkiHash({self})")
    }
}

impl TryFrom<String> for SpkiHash {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        unhex(&text).map(Self).ok_or("a key hash is 64 hex digits")
    }
}

impl From<SpkiHash> for String {
    fn from(hash: SpkiHash) -> Self {
        hash.to_string()
    }
}

/// A P-256 public key as DER SubjectPublicKeyInfo (91 bytes, uncompressed point).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SubjectPublicKey([u8; P256_SPKI_BYTES]);

impl SubjectPublicKey {
    /// Parses a DER SubjectPublicKeyInfo.
    ///
    /// Whether the point lies on the curve is checked by the first signature that it verifies.
    ///
    /// # Errors
    /// [`KeyError::PublicKey`] for every other algorithm, curve or form.
    pub fn from_der(spki_der: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; P256_SPKI_BYTES] = spki_der.try_into().map_err(|_| KeyError::PublicKey)?;
        let (prefix, point) = bytes.split_at(P256_SPKI_PREFIX.len());
        if prefix != P256_SPKI_PREFIX || point.first() != Some(&UNCOMPRESSED) {
            return Err(KeyError::PublicKey);
        }
        Ok(Self(bytes))
    }

    fn from_point(point: &[u8]) -> Result<Self, KeyError> {
        Self::from_der(&[&P256_SPKI_PREFIX, point].concat())
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }

    /// The uncompressed point (SEC 1), 65 bytes.
    pub fn point(&self) -> &[u8] {
        &self.0[P256_SPKI_PREFIX.len()..]
    }

    /// The key's hash.
    pub fn hash(&self) -> SpkiHash {
        SpkiHash::of(&self.0)
    }

    /// Whether `signature` (ECDSA with SHA-256, ASN.1) over `message` was made by this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.point());
        key.verify(message, signature).is_ok()
    }
}

impl fmt::Debug for SubjectPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectPublicKey({})", self.hash())
    }
}

impl rcgen::PublicKeyData for SubjectPublicKey {
    fn der_bytes(&self) -> &[u8] {
        self.point()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// A P-256 key pair. A node keeps its key for life, certificates come and go on it.
///
/// The PKCS#8 bytes are wiped when it is dropped (the copy inside ring's key pair is ring's).
pub struct NodeKey {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: EcdsaKeyPair,
    public: SubjectPublicKey,
}

impl NodeKey {
    /// Makes a new key pair from the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Crypto`] if there is none.
    pub fn generate() -> Result<Self, KeyError> {
        let failed = |_| KeyError::Crypto { action: "making of a key" };
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                .map_err(failed)?;
        Self::from_pkcs8(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// Reads a PKCS#8 DER key.
    fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        let rng = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &rng)
            .map_err(|error| KeyError::PrivateKey { reason: error.to_string() })?;
        let public = SubjectPublicKey::from_point(pair.public_key().as_ref())?;
        Ok(Self { pkcs8, pair, public })
    }

    /// Reads one PEM block "PRIVATE KEY".
    ///
    /// # Errors
    /// [`KeyError::PrivateKey`] if it is something else or not a P-256 key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let block =
            pem::parse(text).map_err(|error| KeyError::PrivateKey { reason: error.to_string() })?;
        if block.tag() != KEY_PEM_TAG {
            let reason = format!("the PEM block is a \"{}\"", block.tag().escape_debug());
            return Err(KeyError::PrivateKey { reason });
        }
        Self::from_pkcs8(Zeroizing::new(block.into_contents()))
    }

    /// The PEM block that [`NodeKey::from_pem`] reads. A secret: wiped when dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let mut block = pem::Pem::new(KEY_PEM_TAG, self.pkcs8.to_vec());
        let text = Zeroizing::new(pem::encode(&block));
        // Pem does not wipe itself: take its buffer out and let it be wiped.
        let empty = pem::Pem::new(KEY_PEM_TAG, Vec::new());
        drop(Zeroizing::new(std::mem::replace(&mut block, empty).into_contents()));
        text
    }

    /// The public half.
    pub fn public_key(&self) -> &SubjectPublicKey {
        &self.public
    }

    /// Signs `message` with ECDSA and SHA-256; the signature is ASN.1 DER.
    ///
    /// # Errors
    /// [`KeyError::Crypto`] if the machine gives no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let failed = |_| KeyError::Crypto { action: "signature" };
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(failed)?;
        Ok(signature.as_ref().to_vec())
    }

    /// A secret of its own for another purpose (HKDF-SHA256, RFC 5869): the same for the same key and
    /// `purpose`, and of no use for finding either the key or the secret of another purpose. It is
    /// made of the PKCS#8 bytes: another encoding of the key gives another secret.
    ///
    /// # Errors
    /// [`KeyError::Crypto`], which ring gives for no such length.
    pub(crate) fn derive(&self, purpose: &[&[u8]]) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let failed = |_| KeyError::Crypto { action: "derivation of a secret" };
        let mut secret = Zeroizing::new([0; 32]);
        let prk = Salt::new(HKDF_SHA256, b"holm derived secret v1").extract(&self.pkcs8);
        let okm = prk.expand(purpose, HKDF_SHA256).map_err(failed)?;
        okm.fill(&mut *secret).map_err(failed)?;
        Ok(secret)
    }

    /// The key as rustls wants it.
    pub(crate) fn to_rustls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()))
    }
}

impl fmt::Debug for NodeKey {
    /// Names the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.public.hash())
    }
}

impl rcgen::PublicKeyData for NodeKey {
    fn der_bytes(&self) -> &[u8] {
        self.public.point()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for NodeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Self::sign(self, message).map_err(|_| rcgen::Error::RingUnspecified)
    }
}

/// A PKCS#10 request of a node for certificates on its key (RFC 2986).
///
/// Only the public key of a request is ever used, and only after its signature was verified: names,
/// usages and lifetimes are the issuer's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    der: Vec<u8>,
    public_key: SubjectPublicKey,
}

impl CertificateRequest {
    /// Makes the request for `key`.
    ///
    /// # Errors
    /// [`KeyError::Crypto`] if signing fails.
    pub fn new(key: &NodeKey) -> Result<Self, KeyError> {
        Self::make(key, IsCa::NoCa)
    }

    /// Parses and checks what another node sent (DER).
    ///
    /// # Errors
    /// [`KeyError`] if it is malformed, not signed by its own key, or asks to become an issuer.
    pub fn parse(der: &[u8]) -> Result<Self, KeyError> {
        let (request, asks_for_ca) = Self::check(der)?;
        if asks_for_ca {
            return Err(KeyError::Request { reason: "it asks for an issuer's certificate" });
        }
        Ok(request)
    }

    /// The DER to send.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key that the asker was proven to hold.
    pub fn public_key(&self) -> &SubjectPublicKey {
        &self.public_key
    }

    fn make(key: &NodeKey, is_ca: IsCa) -> Result<Self, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.is_ca = is_ca;
        let request = params
            .serialize_request(key)
            .map_err(|_| KeyError::Crypto { action: "making of a certificate request" })?;
        Ok(Self { der: request.der().to_vec(), public_key: key.public_key().clone() })
    }

    fn check(der: &[u8]) -> Result<(Self, bool), KeyError> {
        let malformed = |reason| KeyError::Request { reason };
        if der.len() > MAX_REQUEST_BYTES {
            return Err(malformed("it is larger than 4096 bytes"));
        }
        let (rest, csr) = X509CertificationRequest::from_der(der)
            .map_err(|_| malformed("it is not a PKCS#10 request"))?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow it"));
        }
        let signature =
            signature(der).ok_or_else(|| malformed("it is not signed with ECDSA and SHA-256"))?;
        let info = &csr.certification_request_info;
        let public_key = SubjectPublicKey::from_der(info.subject_pki.raw)?;
        // RFC 2986 §3: the signature over the request info proves possession of the private key.
        if !public_key.verifies(info.raw, signature) {
            return Err(KeyError::RequestSignature);
        }
        let asks_for_ca = csr.requested_extensions().is_some_and(|mut extensions| {
            extensions.any(|e| matches!(e, ParsedExtension::BasicConstraints(basic) if basic.ca))
        });
        Ok((Self { der: der.to_vec(), public_key }, asks_for_ca))
    }
}

/// The signature of a PKCS#10 request, read strictly: what follows the signed part must be
/// ecdsa-with-SHA256 and a BIT STRING without unused bits, else one request had many encodings.
fn signature(request: &[u8]) -> Option<&[u8]> {
    let whole = read_tlv(request).filter(|whole| whole.tag == 0x30)?;
    let info = read_tlv(whole.content)?;
    let algorithm = read_tlv(info.rest).filter(|algorithm| algorithm.tag == 0x30)?;
    let value = read_tlv(algorithm.rest).filter(|v| v.tag == 0x03 && v.rest.is_empty())?;
    let (unused_bits, signature) = value.content.split_first()?;
    let known = algorithm.content == alg_id::ECDSA_SHA256.as_ref() && *unused_bits == 0;
    known.then_some(signature)
}

/// A PKCS#10 request of a node that is to become an issuer: its private key never travels.
///
/// It differs from a [`CertificateRequest`] by asking for cA, so that neither is taken for the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerRequest(CertificateRequest);

impl IssuerRequest {
    /// Makes the request for `key`, which is the future issuer's, not the node's own.
    ///
    /// # Errors
    /// [`KeyError::Crypto`] if signing fails.
    pub fn new(key: &NodeKey) -> Result<Self, KeyError> {
        CertificateRequest::make(key, IsCa::Ca(BasicConstraints::Constrained(0))).map(Self)
    }

    /// Parses and checks what another node made (DER).
    ///
    /// # Errors
    /// [`KeyError`] if it is malformed, not signed by its own key, or an ordinary node's request.
    pub fn parse(der: &[u8]) -> Result<Self, KeyError> {
        let (request, asks_for_ca) = CertificateRequest::check(der)?;
        if !asks_for_ca {
            return Err(KeyError::Request {
                reason: "it does not ask for an issuer's certificate",
            });
        }
        Ok(Self(request))
    }

    /// The DER to send.
    pub fn der(&self) -> &[u8] {
        self.0.der()
    }

    /// The key that the asker was proven to hold.
    pub fn public_key(&self) -> &SubjectPublicKey {
        self.0.public_key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_pem_and_never_shows_its_secret() {
        let key = NodeKey::generate().expect("key");
        let pem = key.to_pem();
        let again = NodeKey::from_pem(&pem).expect("reads its own PEM");
        assert_eq!(again.public_key(), key.public_key());
        let signature = again.sign(b"hello").expect("signs");
        assert!(key.public_key().verifies(b"hello", &signature));
        assert!(!key.public_key().verifies(b"hellp", &signature));
        let shown = format!("{key:?}");
        assert_eq!(shown, format!("NodeKey({})", key.public_key().hash()));
    }

    #[test]
    fn other_keys_are_refused() {
        let wrong_tag = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for bad in ["", "not pem", wrong_tag, garbage] {
            assert!(matches!(NodeKey::from_pem(bad), Err(KeyError::PrivateKey { .. })), "{bad}");
        }
        let good = NodeKey::generate().expect("key").public_key().as_der().to_vec();
        assert!(SubjectPublicKey::from_der(&good).is_ok());
        for at in 0..27 {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(SubjectPublicKey::from_der(&bad), Err(KeyError::PublicKey), "byte {at}");
        }
        assert!(SubjectPublicKey::from_der(&good[..90]).is_err());
    }

    #[test]
    fn a_request_proves_possession_and_a_changed_one_does_not() {
        let key = NodeKey::generate().expect("key");
        let request = CertificateRequest::new(&key).expect("request");
        let checked = CertificateRequest::parse(request.der()).expect("is accepted");
        assert_eq!(checked.public_key(), key.public_key());
        for at in 0..request.der().len() {
            let mut bad = request.der().to_vec();
            bad[at] ^= 0x04;
            assert!(CertificateRequest::parse(&bad).is_err(), "byte {at} changed");
        }
        let long = [request.der(), &[0; 5000]].concat();
        assert!(CertificateRequest::parse(&long).is_err());
        let trailing = [request.der(), &[0]].concat();
        assert!(CertificateRequest::parse(&trailing).is_err());
    }

    #[test]
    fn a_node_request_is_no_issuer_request_and_the_other_way_round() {
        let key = NodeKey::generate().expect("key");
        let node = CertificateRequest::new(&key).expect("request");
        let issuer = IssuerRequest::new(&key).expect("request");
        assert!(matches!(IssuerRequest::parse(node.der()), Err(KeyError::Request { .. })));
        assert!(matches!(CertificateRequest::parse(issuer.der()), Err(KeyError::Request { .. })));
        assert_eq!(IssuerRequest::parse(issuer.der()).expect("ok").public_key(), key.public_key());
    }
}
