//! Requests to servers of these tests over HTTP/1.1 and TLS.

use std::sync::Arc;

use super::super::Resolver;
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_secs(3);

async fn server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 1_024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

fn metric(outcome: &Outcome, name: &str) -> Option<f64> {
    outcome.metrics.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
}

async fn get(url: String) -> Outcome {
    ask(&asking(&url), Family::Any, None).await
}

fn asking(url: &str) -> Ask {
    Ask::get(url, "2xx,3xx").expect("valid")
}

async fn ask(ask: &Ask, family: Family, roots: Option<&Roots>) -> Outcome {
    probe(ask, family, roots, LIMIT, &Dial::open(&Resolver::default())).await
}

#[tokio::test]
async fn phases_are_measured_and_those_that_did_not_happen_are_absent() {
    let address = server(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let outcome = get(format!("http://{address}/x?y=1")).await;
    assert_eq!(outcome.error, None);
    assert_eq!(metric(&outcome, "http.status_code"), Some(200.0));
    assert_eq!(metric(&outcome, "http.body_bytes"), Some(5.0));
    assert!(metric(&outcome, "http.ttfb_ms").is_some());
    assert_eq!(metric(&outcome, "http.tls_ms"), None);
    assert_eq!(metric(&outcome, "http.dns_ms"), None);
}

#[tokio::test]
async fn unexpected_codes_and_nonsense_fail_with_the_reason() {
    let address = server(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    let outcome = get(format!("http://{address}/")).await;
    assert!(outcome.error.as_deref().expect("failed").contains("503"));
    assert_eq!(metric(&outcome, "http.status_code"), Some(503.0));
    let address = server(b"this is not HTTP\r\n\r\n").await;
    assert!(get(format!("http://{address}/")).await.error.is_some());
}

async fn tls_server(names: Vec<String>) -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(names).expect("made");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("valid");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = [0; 1_024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    });
    (address, made.cert.pem())
}

#[tokio::test]
async fn tls_is_described_and_judged_only_if_asked() {
    let (address, pem) = tls_server(vec!["localhost".into()]).await;
    let url = format!("https://localhost:{}/", address.port());
    let place = asking(&url);
    let captured = ask(&place, Family::V4, None).await;
    assert_eq!(captured.error, None);
    let said = |outcome: &Outcome, name: &str| {
        outcome.attributes.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone())
    };
    assert_eq!(said(&captured, "tls.verified").as_deref(), Some("not asked"));
    assert_eq!(said(&captured, "tls.version").as_deref(), Some("TLSv1_3"));
    assert_eq!(said(&captured, "tls.server.san").as_deref(), Some("localhost"));
    assert!(metric(&captured, "tls.days_to_expiry").is_some());

    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("roots.pem");
    std::fs::write(&file, &pem).expect("written");
    let roots = Roots::load(&file.display().to_string());
    let judged = ask(&place, Family::V4, Some(&roots)).await;
    assert_eq!(judged.error, None, "a self-signed root that we trust");

    let (_, other) = tls_server(vec!["localhost".into()]).await;
    std::fs::write(&file, other).expect("written");
    let roots = Roots::load(&file.display().to_string());
    let judged = ask(&place, Family::V4, Some(&roots)).await;
    assert!(judged.error.as_deref().expect("failed").contains("not trusted"));
    assert_eq!(said(&judged, "tls.verified").as_deref(), Some("no"));
    assert!(metric(&judged, "tls.days_to_expiry").is_some(), "captured all the same");
}

#[tokio::test]
async fn a_certificate_of_many_names_makes_no_long_row() {
    let names = (0..300).map(|n| format!("name-{n}.of.a.long.list.example")).collect();
    let (address, pem) = tls_server(names).await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("roots.pem");
    std::fs::write(&file, &pem).expect("written");
    let roots = Roots::load(&file.display().to_string());
    let place = asking(&format!("https://localhost:{}/", address.port()));
    let outcome = ask(&place, Family::V4, Some(&roots)).await;
    let error = outcome.error.as_deref().expect("failed");
    assert!(error.contains("not for the name") && error.chars().count() <= 500, "{error}");
    assert!(outcome.attributes.iter().all(|(_, text)| text.chars().count() <= 500));
}
