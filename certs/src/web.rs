//! rustls for HTTPS: the certificate a browser sees, and the clients of the CLI and of enrolment.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::bundle::Bundle;
use crate::cert::{Cert, MAX_CERTIFICATE_BYTES, Place};
use crate::key::NodeKey;
use crate::path::MAX_CHAIN;
use crate::tls::provider;
use crate::token::CaPin;

/// Why a web certificate or a client's trust was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The PEM texts are not a certificate chain and a key.
    #[error(
        "the web certificate cannot be read: {0}; give the chain (leaf first) and its private key as PEM"
    )]
    Pem(String),
    /// The key is of no use, or belongs to another certificate.
    #[error(
        "the web certificate and its key do not belong together, or the key is of an unknown kind: {0}"
    )]
    Key(Error),
    /// rustls refused the configuration.
    #[error("TLS cannot be configured: {0}")]
    Tls(#[from] Error),
    /// A bundle without roots trusts nobody.
    #[error("the bundle of {0} has no root, so no server can be trusted; load the mesh's bundle")]
    NoRoot(String),
}

/// What HTTPS serves: the operator's own certificate, or one of the mesh. Replaced without restart.
#[derive(Clone)]
pub struct WebIdentity(Arc<RwLock<Arc<CertifiedKey>>>);

impl WebIdentity {
    /// The operator's certificate chain (leaf first) and private key, PEM.
    ///
    /// # Errors
    /// [`WebError`] if they cannot be read or do not belong together.
    pub fn from_pem(chain_pem: &str, key_pem: &str) -> Result<Self, WebError> {
        Ok(Self::of(operator_key(chain_pem, key_pem)?))
    }

    /// A certificate that [`crate::Issuer::issue_web`] made on `key`. Use a key of its own for it,
    /// not the node's.
    ///
    /// # Errors
    /// [`WebError::Key`] if they do not belong together.
    pub fn issued(chain: Vec<CertificateDer<'static>>, key: &NodeKey) -> Result<Self, WebError> {
        Ok(Self::of(certified(chain, key.to_rustls())?))
    }

    fn of(key: CertifiedKey) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(key))))
    }

    /// Serves the operator's new certificate from the next handshake on.
    ///
    /// # Errors
    /// [`WebError`]; the held certificate stays.
    pub fn replace_pem(&self, chain_pem: &str, key_pem: &str) -> Result<(), WebError> {
        self.put(operator_key(chain_pem, key_pem)?);
        Ok(())
    }

    /// Serves a newly issued certificate from the next handshake on.
    ///
    /// # Errors
    /// [`WebError`]; the held certificate stays.
    pub fn replace_issued(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: &NodeKey,
    ) -> Result<(), WebError> {
        self.put(certified(chain, key.to_rustls())?);
        Ok(())
    }

    fn put(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The served chain, leaf first.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.current().cert.clone()
    }

    /// HTTPS for browsers and tools: TLS 1.2 and 1.3, `h2` and `http/1.1`, no client certificate.
    ///
    /// # Errors
    /// [`WebError::Tls`] if the provider lacks a version.
    pub fn server_config(&self) -> Result<ServerConfig, WebError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = alpn();
        Ok(config)
    }
}

impl fmt::Debug for WebIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebIdentity({} certificates)", self.current().cert.len())
    }
}

impl ResolvesServerCert for WebIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn alpn() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}

fn operator_key(chain_pem: &str, key_pem: &str) -> Result<CertifiedKey, WebError> {
    let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| WebError::Pem(format!("the chain: {error}")))?;
    if chain.is_empty() {
        return Err(WebError::Pem("the chain has no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|error| WebError::Pem(format!("the key: {error}")))?;
    certified(chain, key)
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, WebError> {
    // from_der refuses a key that is not the leaf's.
    CertifiedKey::from_der(chain, key, &provider()).map_err(WebError::Key)
}

/// A client that trusts the roots of `bundle` and checks the server's DNS name or IP address: the
/// CLI talking to a node.
///
/// # Errors
/// [`WebError`] if the bundle has no usable root.
pub fn trusted_client_config(bundle: &Bundle) -> Result<ClientConfig, WebError> {
    let mut roots = RootCertStore::empty();
    for root in bundle.roots() {
        roots.add(root.clone())?;
    }
    if roots.is_empty() {
        return Err(WebError::NoRoot(bundle.trust_domain().to_string()));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| WebError::Tls(Error::General(error.to_string())))?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = alpn();
    Ok(config)
}

/// A client that trusts one root by the hash of its key: enrolment, before any bundle is known.
///
/// The server must send the root along. The name is not compared: a seed may stand behind an
/// address that its certificate does not know, and the pin names the mesh. Every HTTPS server with a
/// certificate of this mesh can thus answer, so a token is worth as much as the mesh's members are.
///
/// # Errors
/// [`WebError::Tls`] if the provider lacks a version.
pub fn pinned_client_config(pin: &CaPin) -> Result<ClientConfig, WebError> {
    let verifier = Arc::new(PinnedRoot { pin: *pin, provider: provider() });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = alpn();
    Ok(config)
}

#[derive(Debug)]
struct PinnedRoot {
    pin: CaPin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedRoot {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let too_large = |der: &CertificateDer<'_>| der.len() > MAX_CERTIFICATE_BYTES;
        if intermediates.len() >= MAX_CHAIN || intermediates.iter().any(too_large) {
            return Err(CertificateError::BadEncoding.into());
        }
        let pinned = |der: &&CertificateDer<'_>| {
            Cert::parse(der, Place::Root).is_ok_and(|cert| cert.spki_hash() == self.pin.0)
        };
        let root = intermediates.iter().find(pinned).ok_or(CertificateError::UnknownIssuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        // serverAuth, signatures, validity, CA flags and path lengths: webpki.
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
