//! rustls for the mesh: TLS 1.3, SVIDs on both sides, every connection verified anew.

use std::sync::Arc;

use holm_model::Millis;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::error::SvidError;
use crate::identity::Identity;

impl Identity {
    /// The client side of a mesh connection: TLS 1.3, own SVID shown, peer's SVID verified, no
    /// resumption, no early data, no SNI, no key log. The server name is ignored (pass any valid
    /// one): identity is the URI SAN (X509-SVID §2), authorisation is the caller's.
    ///
    /// # Errors
    /// [`Error`] if the provider lacks TLS 1.3.
    pub fn quic_client_config(&self, alpn: &[u8]) -> Result<ClientConfig, Error> {
        let shared = Arc::new(MeshTls::new(self));
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&shared) as Arc<dyn ServerCertVerifier>)
            .with_client_cert_resolver(shared);
        config.alpn_protocols = vec![alpn.to_vec()];
        // A resumed session copies the peer's chain and verifies nothing.
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        Ok(config)
    }

    /// The server side of a mesh connection: as [`Identity::quic_client_config`]; a client without
    /// an SVID is refused.
    ///
    /// # Errors
    /// [`Error`] if the provider lacks TLS 1.3.
    pub fn quic_server_config(&self, alpn: &[u8]) -> Result<ServerConfig, Error> {
        let shared = Arc::new(MeshTls::new(self));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::clone(&shared) as Arc<dyn ClientCertVerifier>)
            .with_cert_resolver(shared);
        config.alpn_protocols = vec![alpn.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(config)
    }
}

/// The one crypto provider of Holm: ring.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Time as rustls gives it to verifiers.
pub(crate) fn millis(now: UnixTime) -> Millis {
    Millis(now.as_secs().saturating_mul(1000))
}

/// Verifier and certificate source of both sides.
#[derive(Debug)]
struct MeshTls {
    identity: Identity,
    provider: Arc<CryptoProvider>,
}

impl MeshTls {
    fn new(identity: &Identity) -> Self {
        Self { identity: identity.clone(), provider: provider() }
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let chain: Vec<CertificateDer<'_>> =
            [end_entity].into_iter().chain(intermediates).map(borrow).collect();
        match self.identity.verify_peer(&chain, millis(now)) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::InvalidCertificate(certificate_error(error))),
        }
    }

    fn verify_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn borrow<'a>(der: &'a CertificateDer<'_>) -> CertificateDer<'a> {
    CertificateDer::from(der.as_ref())
}

/// The TLS alert that tells the peer most (RFC 8446 §6.2); the whole reason stays in
/// [`Identity::refusals`] here, or in the error itself where no alert fits.
fn certificate_error(error: SvidError) -> CertificateError {
    let unix = |at: Millis| UnixTime::since_unix_epoch(std::time::Duration::from_millis(at.0));
    match error {
        SvidError::Expired { not_after, now, .. } => {
            CertificateError::ExpiredContext { time: unix(now), not_after: unix(not_after) }
        }
        SvidError::NotYetValid { not_before, now, .. } => {
            CertificateError::NotValidYetContext { time: unix(now), not_before: unix(not_before) }
        }
        SvidError::Revoked { .. } => CertificateError::Revoked,
        SvidError::BadSignature { .. } => CertificateError::BadSignature,
        SvidError::UnknownDomain { .. }
        | SvidError::DistrustedDomain { .. }
        | SvidError::UntrustedRoot { .. } => CertificateError::UnknownIssuer,
        SvidError::Malformed { .. } => CertificateError::BadEncoding,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
}

impl ServerCertVerifier for MeshTls {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for MeshTls {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::SupportedVersionsExtensionRequired))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ResolvesServerCert for MeshTls {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.identity.certified_key())
    }
}

impl ResolvesClientCert for MeshTls {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.identity.certified_key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
