//! What TLS says about a target: version, cipher, chain, and whether the chain is trusted. A chain
//! that is not trusted is still captured; the probe then fails with the reason.

mod hello;
pub(crate) mod probe;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::files::Certificate;
use super::left;
use crate::outcome::Outcome;
use crate::tls_facts::{Fact, TlsFacts};

/// Where Debian, Alpine, Fedora and SUSE keep the roots that the system trusts.
const SYSTEM_ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// Longest status of a certificate that is looked at, in bytes.
const MAX_STAPLE: usize = 16 << 10;

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

impl Roots {
    /// Whether there are some.
    ///
    /// # Errors
    /// Where they were looked for, and what to do.
    fn usable(&self) -> Result<(), String> {
        self.0.as_ref().map(drop).map_err(Clone::clone)
    }
}

impl std::fmt::Debug for Roots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Roots({:?})", self.0.as_ref().map(|store| store.len()))
    }
}

/// What is offered to a server.
#[derive(Default)]
pub(super) struct Offer<'a> {
    /// Protocols, the best first; none is no extension at all.
    pub(super) alpn: &'a [&'a [u8]],
    /// The certificate that is shown if the server asks for one.
    pub(super) identity: Option<Certificate>,
}

/// A handshake with `host` over a connection that stands. Any chain is taken: what is thought of it is in [`Seen`].
pub(super) async fn handshake(
    stream: TcpStream,
    host: &str,
    roots: Option<&Roots>,
    offer: Offer<'_>,
    until: Instant,
) -> Result<(TlsStream<TcpStream>, Seen), String> {
    let (config, seen) = client(roots, offer)?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("{host}: not a name that TLS can ask for"))?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = tokio::time::timeout(left(until), connecting)
        .await
        .map_err(|_| "the TLS handshake did not end in time".to_owned())?
        .map_err(|error| format!("the TLS handshake failed: {error}"))?;
    Ok((stream, seen))
}

/// A client configuration that captures every chain, and what it saw.
pub(super) fn client(
    roots: Option<&Roots>,
    offer: Offer<'_>,
) -> Result<(ClientConfig, Seen), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let seen = Seen::default();
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
        Arc::new(Capturing { verifier, seen: seen.clone(), provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(capturing);
    let mut config = match offer.identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("the client certificate cannot be used: {error}"))?,
    };
    config.alpn_protocols = offer.alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = rustls::client::Resumption::disabled();
    Ok((config, seen))
}

/// What a handshake showed besides the connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Shown>>);

#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// Whether the chain was trusted: `None` if it was not asked.
    pub(super) verdict: Option<Result<(), String>>,
    /// The certificates that the server sent, its own first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The certificate's status that the server sent with it (OCSP, RFC 6066 §8); empty: none.
    pub(super) staple: Vec<u8>,
}

impl Seen {
    pub(super) fn shown(&self) -> Shown {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Writes down whether the chain is trusted.
///
/// # Errors
/// Why it is not.
pub(super) fn judge(seen: &Seen, outcome: &mut Outcome) -> Result<(), String> {
    match seen.shown().verdict {
        None => outcome.attribute("tls.verified", "not asked"),
        Some(Ok(())) => outcome.attribute("tls.verified", "yes"),
        Some(Err(reason)) => {
            outcome.attribute("tls.verified", "no");
            outcome.attribute("tls.verified.reason", reason.clone());
            return Err(format!("the certificate is not trusted: {reason}"));
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Capturing {
    verifier: Option<Arc<WebPkiServerVerifier>>,
    seen: Seen,
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
                .map_err(|error| why_not_trusted(&error))
        });
        let chain = [leaf].into_iter().chain(intermediates);
        let chain = chain.map(|one| one.clone().into_owned()).collect();
        let staple = ocsp.get(..MAX_STAPLE).unwrap_or(ocsp).to_vec();
        *self.seen.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Shown { verdict, chain, staple };
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

/// In words that are the same at each run; in brackets the name by which rustls knows it.
fn why_not_trusted(error: &rustls::Error) -> String {
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, Other, Revoked, UnknownIssuer,
    };
    let rustls::Error::InvalidCertificate(error) = error else { return error.to_string() };
    let day = |at: &UnixTime| -> String {
        let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
        let at = time::OffsetDateTime::from_unix_timestamp(seconds);
        at.map_or_else(|_| "an unknown day".into(), |at| at.date().to_string())
    };
    match error {
        Expired => "it has ended (Expired)".into(),
        ExpiredContext { not_after, .. } => format!("it ended on {} (Expired)", day(not_after)),
        NotValidYet => "it is not valid yet (NotValidYet)".into(),
        NotValidYetContext { not_before, .. } => {
            format!("it is valid from {} on (NotValidYet)", day(not_before))
        }
        NotValidForName | NotValidForNameContext { .. } => {
            "it is not for the name that was asked for (NotValidForName)".into()
        }
        UnknownIssuer => "no root that is trusted stands behind it (UnknownIssuer)".into(),
        Revoked => "its issuer has revoked it (Revoked)".into(),
        Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is a certificate for an authority, not for a server (CaUsedAsEndEntity)".into()
        }
        other => other.to_string(),
    }
}

/// Writes down what the connection says, and the certificates.
pub(super) fn describe(
    connection: &ClientConnection,
    seen: &Seen,
    (name, port): (&str, u16),
    outcome: &mut Outcome,
) {
    describe_session(connection, outcome);
    describe_chain(seen, (name, port), outcome);
}

fn describe_chain(seen: &Seen, (name, port): (&str, u16), outcome: &mut Outcome) {
    if let Ok(name) = ServerName::try_from(name.to_owned()) {
        describe_asked(&name, port, outcome);
        let facts = facts_of(&seen.shown(), &name);
        // Whether it is trusted is told where it is judged.
        add_facts(&TlsFacts { verified: None, reason: None, ..facts }, outcome);
    }
}

/// The same of a connection over QUIC, which is always one of TLS 1.3 (RFC 9001 §4.2). Its suite is not told.
pub(super) fn describe_quic(seen: &Seen, (name, port): (&str, u16), outcome: &mut Outcome) {
    outcome.attribute("tls.version", "TLSv1_3");
    describe_chain(seen, (name, port), outcome);
}

/// What was asked for: the name and the port.
fn describe_asked(name: &ServerName<'_>, port: u16, outcome: &mut Outcome) {
    outcome.attribute("tls.client.server_name", name.to_str());
    outcome.metrics.retain(|(column, _)| *column != "server.port");
    outcome.metric("server.port", f64::from(port));
}

fn describe_session(connection: &ClientConnection, outcome: &mut Outcome) {
    if let Some(version) = connection.protocol_version() {
        outcome.attribute("tls.version", version.as_str().unwrap_or("unknown"));
    }
    if let Some(suite) = connection.negotiated_cipher_suite() {
        outcome.attribute("tls.cipher", suite.suite().as_str().unwrap_or("unknown"));
    }
    if let Some(group) = connection.negotiated_key_exchange_group() {
        outcome.attribute("tls.key_exchange", group.name().as_str().unwrap_or("unknown"));
    }
}

/// What the chain says, and what is thought of it.
fn facts_of(shown: &Shown, name: &ServerName<'_>) -> TlsFacts {
    let chain = || shown.chain.iter().map(|one| one.as_ref());
    let mut facts = TlsFacts::of_chain(chain());
    if !shown.chain.is_empty() {
        facts = facts.with_staple(&shown.staple, chain());
    }
    facts.name_matches = shown
        .chain
        .first()
        .and_then(|leaf| rustls::server::ParsedCertificate::try_from(leaf).ok())
        .map(|leaf| rustls::client::verify_server_name(&leaf, name).is_ok());
    facts.verified = shown.verdict.as_ref().map(Result::is_ok);
    facts.reason = shown.verdict.as_ref().and_then(|verdict| verdict.as_ref().err().cloned());
    if facts.verified == Some(true) {
        facts.complete = Some(true);
    }
    facts
}

fn add_facts(facts: &TlsFacts, outcome: &mut Outcome) {
    for (column, fact) in facts.columns() {
        match fact {
            Fact::Text(text) => outcome.attribute(column, text),
            Fact::Number(number) => outcome.metric(column, number),
        }
    }
    if let Some(end) = facts.not_after {
        let now = UnixTime::now().as_secs() as f64;
        outcome.metric("tls.days_to_expiry", (end.0 as f64 / 1_000.0 - now) / 86_400.0);
    }
}

/// Whether the certificate is valid for as long as is expected.
fn complete(outcome: &Outcome, days_left: u16) -> Result<(), String> {
    let days = outcome.metrics.iter().find(|(column, _)| *column == "tls.days_to_expiry");
    match days {
        Some((_, days)) if *days < f64::from(days_left) => Err(format!(
            "the certificate ends in {days:.1} days, and at least {days_left} are expected"
        )),
        _ => Ok(()),
    }
}
