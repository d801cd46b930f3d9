//! rustls for HTTPS: the certificate a browser sees, and the clients of the CLI and of enrolment.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::client::{WebPkiServerVerifier, verify_server_name};
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
use crate::key::{NodeKey, SpkiHash};
use crate::path::MAX_CHAIN;
use crate::tls::provider;
use crate::token::SeedPins;

/// The ALPN name with which a client asks for the certificate of the mesh, whatever the operator
/// serves to browsers. It is never negotiated: `http/1.1` is.
const MESH_CERTIFICATE: &[u8] = b"holm-mesh-certificate";

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

/// What HTTPS serves: a certificate of the mesh, and the operator's own to browsers if there is one.
/// The mesh's is replaced without restart.
#[derive(Clone)]
pub struct WebIdentity {
    mesh: Arc<RwLock<Arc<CertifiedKey>>>,
    operator: Option<Arc<CertifiedKey>>,
}

impl WebIdentity {
    /// A certificate that [`crate::Issuer::issue_web`] made on `key`. Use a key of its own for it,
    /// not the node's.
    ///
    /// # Errors
    /// [`WebError::Key`] if they do not belong together.
    pub fn issued(chain: Vec<CertificateDer<'static>>, key: &NodeKey) -> Result<Self, WebError> {
        let mesh = Arc::new(certified(chain, key.to_rustls())?);
        Ok(Self { mesh: Arc::new(RwLock::new(mesh)), operator: None })
    }

    /// The same, with the operator's own certificate chain (leaf first) and private key (PEM) for all
    /// clients but those of the mesh: enrolment, and the command line beside the node.
    ///
    /// # Errors
    /// [`WebError`] if they cannot be read or do not belong together.
    pub fn with_operators(self, chain_pem: &str, key_pem: &str) -> Result<Self, WebError> {
        let operator = Some(Arc::new(operator_key(chain_pem, key_pem)?));
        Ok(Self { operator, ..self })
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
        let key = certified(chain, key.to_rustls())?;
        *self.mesh.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
        Ok(())
    }

    fn of_mesh(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.mesh.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The chain of the mesh's certificate, leaf first.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.of_mesh().cert.clone()
    }

    /// Whether the mesh's certificate is for all these names and addresses.
    pub fn covers(&self, dns: &[String], ips: &[IpAddr]) -> bool {
        let of_mesh = self.of_mesh();
        let Some(leaf) = of_mesh.cert.first().and_then(|der| ParsedCertificate::try_from(der).ok())
        else {
            return false;
        };
        let names = dns.iter().map(|name| ServerName::try_from(name.clone()).ok());
        let addresses = ips.iter().map(|ip| Some(ServerName::from(*ip)));
        names
            .chain(addresses)
            .all(|name| name.is_some_and(|name| verify_server_name(&leaf, &name).is_ok()))
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
        write!(f, "WebIdentity({} certificates)", self.of_mesh().cert.len())
    }
}

impl ResolvesServerCert for WebIdentity {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asks_for_mesh = hello.alpn().is_some_and(|mut all| all.any(|p| p == MESH_CERTIFICATE));
        match &self.operator {
            Some(operator) if !asks_for_mesh => Some(Arc::clone(operator)),
            _ => Some(self.of_mesh()),
        }
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

/// HTTP/1.1 for the mesh's own clients, which ask for the mesh's certificate.
fn mesh_alpn() -> Vec<Vec<u8>> {
    vec![MESH_CERTIFICATE.to_vec(), b"http/1.1".to_vec()]
}

/// A client that trusts the roots of `bundle`, asks for the mesh's certificate, and checks its DNS
/// name or IP address: the command line talking to a node.
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
    config.alpn_protocols = mesh_alpn();
    Ok(config)
}

/// A client that trusts one server under one root, by the hashes of their keys: enrolment, before
/// any bundle is known.
///
/// The server must send the root along. The name is not compared: a seed may stand behind an
/// address that its certificate does not know. The pins are more than a name: another node of the
/// mesh, a revoked one among them, cannot answer in the place of the one that made the token.
///
/// # Errors
/// [`WebError::Tls`] if the provider lacks a version.
pub fn pinned_client_config(pins: &SeedPins) -> Result<ClientConfig, WebError> {
    let verifier = Arc::new(PinnedSeed { pins: *pins, provider: provider() });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = mesh_alpn();
    Ok(config)
}

#[derive(Debug)]
struct PinnedSeed {
    pins: SeedPins,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedSeed {
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
            Cert::parse(der, Place::Root).is_ok_and(|cert| cert.spki_hash() == self.pins.root)
        };
        let root = intermediates.iter().find(pinned).ok_or(CertificateError::UnknownIssuer)?;
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let key = SpkiHash::of(leaf.subject_public_key_info().as_ref());
        if key != self.pins.server {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        // serverAuth, signatures, validity, CA flags and path lengths: webpki.
        verify_server_cert_signed_by_trust_anchor(
            &leaf,
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
