//! Servers of these tests that do TLS well and badly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::{Dial, Resolver};
use super::Roots;
use super::probe::{Look, probe};
use crate::Family;
use crate::config::TlsScan;
use crate::outcome::Outcome;

const LIMIT: Duration = Duration::from_secs(20);

fn said<'a>(outcome: &'a Outcome, column: &str) -> Option<&'a str> {
    let mut of = outcome.attributes.iter().filter(|(name, _)| *name == column);
    let found = of.next().map(|(_, text)| text.as_str());
    assert_eq!(of.next(), None, "{column} is said once");
    found
}

fn metric(outcome: &Outcome, column: &str) -> Option<f64> {
    outcome.metrics.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
}

/// A chain of an authority of its own, and the roots that trust it.
fn chain(
    not_after: (i32, u8, u8),
) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, Roots) {
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = rcgen::CertificateParams::new(Vec::<String>::new()).expect("valid");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let name = format!("the authority of {:?}", &ca_key.public_key_raw()[1..9]);
    ca.distinguished_name.push(rcgen::DnType::CommonName, name);
    let root = ca.self_signed(&ca_key).expect("signed");
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut leaf = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("valid");
    leaf.distinguished_name.push(rcgen::DnType::CommonName, "a server");
    leaf.not_after = rcgen::date_time_ymd(not_after.0, not_after.1, not_after.2);
    let leaf = leaf.signed_by(&key, &issuer).expect("signed");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("roots.pem");
    std::fs::write(&file, root.pem()).expect("written");
    let roots = Roots::load(&file.display().to_string());
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    (vec![leaf.der().clone()], key, roots)
}

async fn serve(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert_with_ocsp(chain, key, b"a status".to_vec())
        .expect("valid");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.read(&mut [0; 64]).await;
                }
            });
        }
    });
    address
}

fn look(address: SocketAddr, scan: TlsScan) -> Look {
    Look { host: "localhost".into(), port: address.port(), name: String::new(), scan, days_left: 0 }
}

async fn run(look: &Look, roots: &Roots) -> Outcome {
    probe(look, Family::V4, roots, LIMIT, &Dial::open(&Resolver::default())).await
}

#[tokio::test]
async fn a_server_is_described_with_what_it_takes() {
    let (sent, key, roots) = chain((2099, 1, 2));
    let both = [&rustls::version::TLS12, &rustls::version::TLS13];
    let address = serve(sent, key, &both).await;
    let outcome = run(&look(address, TlsScan::Ciphers), &roots).await;
    assert_eq!(outcome.error, None, "{outcome:?}");
    assert_eq!(said(&outcome, "tls.versions"), Some("1.2, 1.3"));
    assert_eq!(said(&outcome, "tls.version"), Some("TLSv1_3"));
    assert_eq!(said(&outcome, "tls.verified"), Some("yes"));
    assert_eq!(said(&outcome, "tls.server.name_matches"), Some("yes"));
    assert_eq!(said(&outcome, "tls.server.not_after"), Some("2099-01-02T00:00:00Z"));
    assert_eq!(said(&outcome, "tls.ocsp.stapled"), Some("yes"));
    assert_eq!(said(&outcome, "tls.ciphers.weak"), Some("none"));
    assert_eq!(said(&outcome, "tls.ciphers.not_forward"), Some("none"));
    // What rustls takes of a certificate of elliptic curves over TLS 1.2.
    assert_eq!(metric(&outcome, "tls.ciphers.count"), Some(3.0), "{outcome:?}");
    assert!(metric(&outcome, "tls.handshake_ms").is_some() && outcome.duration_ms.is_some());

    let (sent, key, roots) = chain((2099, 1, 2));
    let address = serve(sent, key, &both[..1]).await;
    let outcome = run(&look(address, TlsScan::Versions), &roots).await;
    assert_eq!(said(&outcome, "tls.versions"), Some("1.2"));
    let outcome = run(&look(address, TlsScan::None), &roots).await;
    assert_eq!((outcome.error.as_ref(), said(&outcome, "tls.versions")), (None, None));
}

#[tokio::test]
async fn what_is_not_trusted_is_seen_all_the_same() {
    let versions = [&rustls::version::TLS13];
    let (sent, key, _) = chain((2099, 1, 2));
    let address = serve(sent, key, &versions).await;
    let (_, _, others) = chain((2099, 1, 2));
    let outcome = run(&look(address, TlsScan::None), &others).await;
    assert!(outcome.error.as_deref().expect("failed").contains("not trusted"));
    assert_eq!(said(&outcome, "tls.verified"), Some("no"));
    assert!(said(&outcome, "tls.verified.reason").expect("why").contains("UnknownIssuer"));
    assert_eq!(said(&outcome, "tls.chain.complete"), Some("no"));

    let (sent, key, roots) = chain((2024, 1, 2));
    let address = serve(sent, key, &versions).await;
    let outcome = run(&look(address, TlsScan::None), &roots).await;
    assert!(outcome.error.as_deref().expect("failed").contains("not trusted"), "{outcome:?}");
    assert!(metric(&outcome, "tls.days_to_expiry").expect("known") < 0.0);

    let (sent, key, roots) = chain((2099, 1, 2));
    let address = serve(sent, key, &versions).await;
    let mut asked = look(address, TlsScan::None);
    asked.name = "other.example".into();
    let outcome = run(&asked, &roots).await;
    assert_eq!(said(&outcome, "tls.server.name_matches"), Some("no"));
    asked.name = String::new();
    asked.days_left = 825;
    assert_eq!(run(&asked, &roots).await.error, None);
    let none = Roots::load("/nowhere/at-all.pem");
    let outcome = run(&look(address, TlsScan::None), &none).await;
    assert!(outcome.error.as_deref().expect("no roots").contains("planes.active.ca_file"));
    assert_eq!(said(&outcome, "tls.server.subject"), Some("CN=a server"));
}

/// A server of old: takes what it is told to, by its first word alone.
async fn old_server(
    takes: impl Fn(u16, &[u16]) -> Option<(u16, u16)> + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = vec![0; 2_048];
            let read = stream.read(&mut hello).await.unwrap_or(0);
            hello.truncate(read);
            let word = |at: usize| u16::from_be_bytes([hello[at], hello[at + 1]]);
            let sid = usize::from(hello[43]);
            let count = usize::from(word(44 + sid)) / 2;
            let suites: Vec<u16> = (0..count).map(|n| word(46 + sid + 2 * n)).collect();
            let answer = match takes(word(9), &suites) {
                Some((version, suite)) => {
                    let mut answer = vec![22, 3, 1, 0, 42, 2, 0, 0, 38];
                    answer.extend(version.to_be_bytes());
                    answer.extend([5; 32]);
                    answer.push(0);
                    answer.extend(suite.to_be_bytes());
                    answer.push(0);
                    answer
                }
                None => vec![21, 3, 1, 0, 2, 2, 40],
            };
            let _ = stream.write_all(&answer).await;
        }
    });
    address
}

#[tokio::test]
async fn an_old_server_tells_what_it_takes_though_no_handshake_ends() {
    let address = old_server(|version, suites| {
        let known = [0x002f, 0x000a].into_iter().find(|suite| suites.contains(suite))?;
        Some((version.min(0x0302), known))
    })
    .await;
    let (_, _, roots) = chain((2099, 1, 2));
    let outcome = run(&look(address, TlsScan::Versions), &roots).await;
    assert!(outcome.error.as_deref().expect("failed").contains("TLS handshake"), "{outcome:?}");
    assert_eq!(said(&outcome, "tls.versions"), Some("1.0, 1.1"));
    assert_eq!(said(&outcome, "tls.versions.unknown"), Some("1.3"));
    assert_eq!(said(&outcome, "tls.ciphers.weak"), Some("TLS_RSA_WITH_3DES_EDE_CBC_SHA"));
    assert_eq!(said(&outcome, "tls.ciphers.not_forward"), Some("TLS_RSA_WITH_AES_128_CBC_SHA"));
}

#[tokio::test]
async fn who_is_silent_or_talks_nonsense_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    let (_, _, roots) = chain((2099, 1, 2));
    let asked = look(address, TlsScan::Ciphers);
    let limit = Duration::from_millis(300);
    let outcome = probe(&asked, Family::V4, &roots, limit, &Dial::open(&Resolver::default())).await;
    assert!(outcome.error.expect("failed").contains("in time"));
    drop(listener);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    let outcome = run(&look(address, TlsScan::Ciphers), &roots).await;
    assert!(outcome.error.expect("failed").contains("TLS handshake"));
}
