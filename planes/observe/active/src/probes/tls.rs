//! What TLS says about a target: version, cipher, chain, and whether the chain is trusted. A chain
//! that is not trusted is still captured; the probe then fails with the reason.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::outcome::Outcome;

/// Where Debian, Alpine, Fedora and SUSE keep the roots that the system trusts.
const SYSTEM_ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// The roots that chains are verified against.
pub(crate) struct Roots(Result<Arc<RootCertStore>, String>);

impl Roots {
    /// Those of `file`, or the system's if it is empty. That there are none is told by each probe
    /// that needs them.
    pub(crate) fn load(file: &str) -> Self {
        let files: Vec<&str> = if file.is_empty() { SYSTEM_ROOTS.to_vec() } else { vec![file] };
        for path in &files {
            let Ok(certificates) = CertificateDer::pem_file_iter(path) else { continue };
            let mut store = RootCertStore::empty();
            let (added, _) = store.add_parsable_certificates(certificates.flatten());
            if added > 0 {
                return Self(Ok(Arc::new(store)));
            }
        }
        Self(Err(format!(
            "no trusted roots in {}; install ca-certificates, or set planes.active.ca_file",
            files.join(", ")
        )))
    }
}

impl std::fmt::Debug for Roots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Roots({:?})", self.0.as_ref().map(|store| store.len()))
    }
}

/// A client configuration that captures every chain, and what its verdict was.
pub(super) fn client(roots: Option<&Roots>) -> Result<(ClientConfig, Verdict), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verdict = Verdict::default();
    let verifier = match roots {
        None => None,
        Some(Roots(Err(reason))) => return Err(reason.clone()),
        Some(Roots(Ok(store))) => Some(
            WebPkiServerVerifier::builder_with_provider(Arc::clone(store), Arc::clone(&provider))
                .build()
                .map_err(|error| error.to_string())?,
        ),
    };
    let capturing =
        Arc::new(Capturing { verifier, verdict: verdict.clone(), provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(capturing)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok((config, verdict))
}

/// Whether the chain was trusted: `None` if it was not asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict(Arc<Mutex<Option<Result<(), String>>>>);

impl Verdict {
    pub(super) fn taken(&self) -> Option<Result<(), String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[derive(Debug)]
struct Capturing {
    verifier: Option<Arc<WebPkiServerVerifier>>,
    verdict: Verdict,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Capturing {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.verifier.as_ref().map(|verifier| {
            verifier
                .verify_server_cert(leaf, intermediates, name, ocsp, now)
                .map(drop)
                .map_err(|error| error.to_string())
        });
        *self.verdict.0.lock().unwrap_or_else(PoisonError::into_inner) = verdict;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, leaf, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, leaf, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Writes down what the connection says.
pub(super) fn describe(connection: &ClientConnection, outcome: &mut Outcome) {
    if let Some(version) = connection.protocol_version() {
        outcome.attribute("tls.version", version.as_str().unwrap_or("unknown"));
    }
    if let Some(suite) = connection.negotiated_cipher_suite() {
        outcome.attribute("tls.cipher", suite.suite().as_str().unwrap_or("unknown"));
    }
    if let Some(group) = connection.negotiated_key_exchange_group() {
        outcome.attribute("tls.key_exchange", group.name().as_str().unwrap_or("unknown"));
    }
    let Some(chain) = connection.peer_certificates() else { return };
    outcome.metric("tls.chain.length", chain.len() as f64);
    let Some((_, leaf)) = chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok())
    else {
        return;
    };
    outcome.attribute("tls.server.subject", leaf.subject().to_string());
    outcome.attribute("tls.server.issuer", leaf.issuer().to_string());
    if let Ok(Some(names)) = leaf.subject_alternative_name() {
        let names: Vec<String> = names.value.general_names.iter().take(10).map(shown).collect();
        outcome.attribute("tls.server.san", names.join(", "));
    }
    let not_after = leaf.validity().not_after.timestamp();
    let now = UnixTime::now().as_secs();
    let seconds = not_after - i64::try_from(now).unwrap_or(i64::MAX);
    outcome.metric("tls.days_to_expiry", seconds as f64 / 86_400.0);
}

fn shown(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::URI(uri) => (*uri).to_owned(),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => std::net::Ipv4Addr::from(v4).to_string(),
            Err(_) => <[u8; 16]>::try_from(*bytes)
                .map_or_else(|_| "?".into(), |v6| std::net::Ipv6Addr::from(v6).to_string()),
        },
        other => other.to_string(),
    }
}
