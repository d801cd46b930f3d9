//! Requests over HTTP/3, at servers of these tests: good ones, and those that lie.

use std::sync::Arc;

use ::h3::server::RequestResolver;
use hyper::body::{Buf, Bytes};
use quinn::crypto::rustls::QuicServerConfig;

use super::super::Resolver;
use super::h3_quic::Link;
use super::*;
use crate::config::{ProbeKind, Target};

const LIMIT: Duration = Duration::from_secs(60);

/// A server's endpoint, and the roots that trust its certificate for `localhost`.
fn endpoint(alpn: &[u8]) -> (quinn::Endpoint, SocketAddr, Roots) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("valid");
    config.alpn_protocols = vec![alpn.to_vec()];
    let crypto = QuicServerConfig::try_from(config).expect("TLS 1.3");
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let any = "127.0.0.1:0".parse().expect("valid");
    let endpoint = quinn::Endpoint::server(config, any).expect("bound");
    let address = endpoint.local_addr().expect("bound");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("roots.pem");
    std::fs::write(&file, made.cert.pem()).expect("written");
    (endpoint, address, Roots::load(&file.display().to_string()))
}

/// Answers a request with its own body, its `content-type`, and a status that its path says.
async fn echo(resolver: RequestResolver<Link, Bytes>) {
    let (request, mut stream) = resolver.resolve_request().await.expect("a request");
    let mut body = Vec::new();
    while let Some(mut data) = stream.recv_data().await.expect("a body") {
        body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    let path = request.uri().path();
    let mut answer = http::Response::new(());
    if let Some(status) = path.get(1..4).and_then(|code| code.parse().ok()) {
        *answer.status_mut() = status;
    }
    if let Some(to) = request.uri().query() {
        answer.headers_mut().insert(LOCATION, to.parse().expect("valid"));
    }
    let said = format!("{} {}", request.method(), request.uri().authority().expect("said"));
    answer.headers_mut().insert("x-said", said.parse().expect("valid"));
    if path == "/100" {
        let mut interim = http::Response::new(());
        *interim.status_mut() = StatusCode::CONTINUE;
        stream.send_response(interim).await.expect("sent");
        *answer.status_mut() = StatusCode::OK;
    }
    stream.send_response(answer).await.expect("sent");
    let _ = match path {
        "/endless" => {
            while stream.send_data(Bytes::from_static(&[0; 65_536])).await.is_ok() {}
            return;
        }
        "/slow" => return std::future::pending().await,
        _ => stream.send_data(Bytes::from(body)).await,
    };
    let _ = stream.finish().await;
}

fn server() -> (SocketAddr, Roots) {
    let (endpoint, address, roots) = endpoint(b"h3");
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                let link = Link::new(connection, usize::MAX);
                let mut server: ::h3::server::Connection<Link, Bytes> =
                    ::h3::server::Connection::new(link).await.expect("HTTP/3");
                while let Ok(Some(resolver)) = server.accept().await {
                    tokio::spawn(echo(resolver));
                }
            });
        }
    });
    (address, roots)
}

fn target(port: u16, path: &str) -> Target {
    Target {
        http_version: HttpVersion::V3,
        expect_status: "2xx".into(),
        ..Target::plain(ProbeKind::Http, &format!("https://localhost:{port}{path}"))
    }
}

async fn run(target: &Target, roots: &Roots, limit: Duration) -> Outcome {
    let ask = Ask::of(target, None).expect("valid");
    probe(&ask, Family::V4, Some(roots), limit, &Dial::open(&Resolver::default())).await
}

fn said<'a>(outcome: &'a Outcome, column: &str) -> Option<&'a str> {
    outcome.attributes.iter().find(|(name, _)| *name == column).map(|(_, text)| text.as_str())
}

fn metric(outcome: &Outcome, column: &str) -> Option<f64> {
    outcome.metrics.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
}

#[tokio::test]
async fn a_request_over_http3_has_phases_expectations_and_tls_like_any_other() {
    let (address, roots) = server();
    let asked = Target {
        method: "POST".into(),
        body: format!("{{\"state\":\"up\",\"more\":\"{}\"}}", "x".repeat(60_000)),
        expect_json: vec!["$.state = \"up\"".into()],
        expect_header: vec![format!("x-said: POST localhost:{}", address.port())],
        ..target(address.port(), "/x")
    };
    let outcome = run(&asked, &roots, LIMIT).await;
    assert_eq!(outcome.error, None);
    assert_eq!(said(&outcome, "network.protocol.version"), Some("3"));
    assert_eq!(said(&outcome, "tls.verified"), Some("yes"));
    assert_eq!(said(&outcome, "tls.version"), Some("TLSv1_3"));
    assert_eq!(metric(&outcome, "http.body_bytes"), Some(asked.body.len() as f64));
    for phase in ["http.connect_ms", "http.ttfb_ms", "http.transfer_ms", "http.total_ms"] {
        assert!(metric(&outcome, phase).is_some(), "{phase}");
    }
    assert_eq!(metric(&outcome, "http.tls_ms"), None, "it is in the connection's");
    let outcome = run(&target(address.port(), "/503"), &roots, LIMIT).await;
    assert!(outcome.error.expect("unexpected").contains("503"));
    let outcome = run(&target(address.port(), "/100"), &roots, LIMIT).await;
    assert_eq!((outcome.error, outcome.duration_ms.is_some()), (None, true));
    let led = Target { follow_redirects: 1, ..target(address.port(), "/302?/x") };
    let outcome = run(&led, &roots, LIMIT).await;
    assert_eq!(metric(&outcome, "http.redirect.count"), Some(1.0), "{outcome:?}");
    let led = Target { follow_redirects: 1, ..target(address.port(), "/302?http://localhost:1/") };
    let error = run(&led, &roots, LIMIT).await.error.expect("without TLS");
    assert!(error.contains("HTTP/3 is spoken over TLS alone"), "{error}");
    let (_, others) = server();
    let outcome = run(&target(address.port(), "/x"), &others, LIMIT).await;
    assert_eq!(said(&outcome, "tls.verified"), Some("no"));
    assert!(outcome.error.expect("another root").contains("not trusted"));
    let plain = Target { target: "http://a.example/".into(), ..target(1, "/") };
    assert!(Ask::of(&plain, None).expect_err("plain").starts_with("http_version: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_over_http3_without_an_end_are_not_waited_for() {
    let (address, roots) = server();
    let error = run(&target(address.port(), "/endless"), &roots, LIMIT).await.error;
    assert!(error.expect("endless").contains("longer than 10 MiB"));
    let short = Duration::from_secs(1);
    let error = run(&target(address.port(), "/slow"), &roots, short).await.error.expect("slow");
    assert!(error.contains("in time"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_lie_over_http3_only_fail_their_probe() {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    let mut rng = StdRng::seed_from_u64(3);
    // A block of headers that says it is 1 GiB long, and comes.
    let huge = [&[1_u8][..], &(0xC000_0000_4000_0000_u64).to_be_bytes()].concat();
    let good = [1_u8, 3, 0, 0, 0xd9, 0, 2, b'h', b'i'].to_vec();
    let lies = (0..60).map(|_| {
        let mut bytes = good.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        bytes
    });
    for (number, bytes) in [huge, Vec::new()].into_iter().chain(lies).enumerate() {
        let (endpoint, address, roots) = endpoint(b"h3");
        let serves = tokio::spawn(async move {
            let Some(incoming) = endpoint.accept().await else { return };
            let Ok(connection) = incoming.await else { return };
            let Ok((mut send, _receive)) = connection.accept_bi().await else { return };
            let _ = send.write_all(&bytes).await;
            if number == 0 {
                while send.write_all(&[0; 65_536]).await.is_ok() {}
            }
            let _ = send.finish();
            connection.closed().await;
        });
        let limit = if number == 0 { LIMIT } else { Duration::from_millis(1_500) };
        let outcome = run(&target(address.port(), "/"), &roots, limit).await;
        let error = outcome.error.unwrap_or_default();
        assert!(!error.contains("cannot be read"), "the library does not panic: {error}");
        if number == 0 {
            assert!(error.contains("more than is read"), "{error}");
        }
        serves.abort();
    }
}
