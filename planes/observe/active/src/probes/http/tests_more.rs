//! Versions, redirects, what is expected, and client certificates, at servers of these tests.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use holm_model::Prefix;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use super::super::{Gate, Resolver};
use super::*;
use crate::Guard;
use crate::config::{Config, Identity, ProbeKind, Target};
use crate::runner::NodeLimits;

const LIMIT: Duration = Duration::from_secs(20);

type Answering = dyn Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync;

/// A server that speaks both versions, over TLS if it has a configuration.
async fn server(
    tls: Option<rustls::ServerConfig>,
    answer: impl Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    let acceptor = tls.map(|tls| tokio_rustls::TlsAcceptor::from(Arc::new(tls)));
    let answer: Arc<Answering> = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answer = answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = match acceptor {
                    None => builder.serve_connection(TokioIo::new(stream), service).await,
                    Some(acceptor) => {
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        builder.serve_connection(TokioIo::new(stream), service).await
                    }
                };
            });
        }
    });
    address
}

fn answer(status: u16, body: &str) -> Response<Full<Bytes>> {
    let answer = Response::builder().status(status);
    answer.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("valid")
}

fn leads_to(status: u16, location: &str) -> Response<Full<Bytes>> {
    let mut leads = answer(status, "elsewhere");
    leads.headers_mut().insert(LOCATION, location.parse().expect("valid"));
    leads
}

fn tls(alpn: &[&[u8]]) -> rustls::ServerConfig {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("valid");
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

fn target(url: &str) -> Target {
    Target { expect_status: "2xx".into(), ..Target::plain(ProbeKind::Http, url) }
}

async fn run(target: &Target) -> Outcome {
    let ask = Ask::of(target, None).expect("valid");
    probe(&ask, Family::V4, None, LIMIT, &Dial::open(&Resolver::default())).await
}

fn said<'a>(outcome: &'a Outcome, column: &str) -> Option<&'a str> {
    let mut of = outcome.attributes.iter().filter(|(name, _)| *name == column);
    let found = of.next().map(|(_, text)| text.as_str());
    assert_eq!(of.next(), None, "{column} is said once");
    found
}

fn metric(outcome: &Outcome, column: &str) -> Option<f64> {
    let mut of = outcome.metrics.iter().filter(|(name, _)| *name == column);
    let found = of.next().map(|(_, value)| *value);
    assert_eq!(of.next(), None, "{column} is said once");
    found
}

#[tokio::test]
async fn the_version_is_the_one_that_is_asked_for_or_agreed_on() {
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    for (alpn, version, spoken) in [
        (both, HttpVersion::Auto, Some("2")),
        (both, HttpVersion::V1, Some("1.1")),
        (both, HttpVersion::V2, Some("2")),
        (&both[1..], HttpVersion::Auto, Some("1.1")),
        (&both[1..], HttpVersion::V2, None),
        (&[], HttpVersion::Auto, Some("1.1")),
        (&[], HttpVersion::V2, None),
    ] {
        let address = server(Some(tls(alpn)), |_| answer(200, "hello")).await;
        let url = format!("https://localhost:{}/", address.port());
        let outcome = run(&Target { http_version: version, ..target(&url) }).await;
        assert_eq!(said(&outcome, "network.protocol.version"), spoken, "{version:?} {outcome:?}");
        assert_eq!(outcome.error.is_none(), spoken.is_some(), "{version:?}: {:?}", outcome.error);
    }
    let address = server(None, |_| answer(200, "hello")).await;
    let url = format!("http://{address}/");
    for (version, spoken) in
        [(HttpVersion::Auto, "1.1"), (HttpVersion::V1, "1.1"), (HttpVersion::V2, "2")]
    {
        let outcome = run(&Target { http_version: version, ..target(&url) }).await;
        assert_eq!(outcome.error, None);
        assert_eq!(said(&outcome, "network.protocol.version"), Some(spoken));
        assert_eq!(metric(&outcome, "http.body_bytes"), Some(5.0));
    }
}

#[tokio::test]
async fn the_request_is_what_the_target_says() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let address = server(None, move |request| {
        let of = |name: &str| {
            request.headers().get(name).map(|value| value.to_str().expect("text").to_owned())
        };
        let said = (
            request.method().to_string(),
            of("x-a"),
            of("accept"),
            of("host"),
            of("authorization"),
        );
        hears.lock().expect("whole").push(said);
        answer(204, "")
    })
    .await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("token");
    std::fs::write(&file, "Bearer t0ken\n").expect("written");
    let mut asked = target(&format!("http://{address}/x"));
    asked.method = "HEAD".into();
    asked.headers = [("X-A".into(), "b".into()), ("accept".into(), "text/plain".into())].into();
    asked.header_files = [("authorization".into(), file.display().to_string())].into();
    assert_eq!(run(&asked).await.error, None);
    let heard = heard.lock().expect("whole").remove(0);
    let some = |text: &str| Some(text.to_owned());
    let host = Some(address.to_string());
    let wanted = ("HEAD".to_owned(), some("b"), some("text/plain"), host, some("Bearer t0ken"));
    assert_eq!(heard, wanted);
    std::fs::remove_file(&file).expect("removed");
    let error = run(&asked).await.error.expect("failed");
    assert!(error.contains("token"), "{error}");
}

#[tokio::test]
async fn what_is_expected_of_headers_body_and_json_is_judged() {
    let address = server(None, |_| {
        let mut answer = answer(200, r#"{"state":"up"}"#);
        answer.headers_mut().insert("content-type", "application/json".parse().expect("valid"));
        answer
    })
    .await;
    let mut asked = target(&format!("http://{address}/"));
    asked.expect_header = vec!["content-type: application/json".into()];
    asked.expect_body = "state".into();
    asked.expect_json = vec![r#"$.state = "up""#.into()];
    assert_eq!(run(&asked).await.error, None);
    asked.expect_json = vec![r#"$.state = "down""#.into()];
    let outcome = run(&asked).await;
    assert!(outcome.error.as_deref().expect("failed").contains("$.state"), "{outcome:?}");
    assert_eq!(metric(&outcome, "http.status_code"), Some(200.0));
    assert!(outcome.duration_ms.is_some(), "it answered all the same");
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_is_said() {
    let address = server(None, |request| match request.uri().path() {
        "/3" => leads_to(302, "2"),
        "/2" => leads_to(307, "/1?x=y"),
        "/1" if request.uri().query() == Some("x=y") => leads_to(301, "end/../0"),
        "/0" => answer(200, "there"),
        "/round" => leads_to(308, "/round"),
        "/bad" => leads_to(302, "ftp://a.example/"),
        "/bare" => answer(302, ""),
        _ => answer(404, ""),
    })
    .await;
    let at = |path: &str, follow: u8| Target {
        follow_redirects: follow,
        ..target(&format!("http://{address}{path}"))
    };
    let outcome = run(&at("/3", 3)).await;
    assert_eq!(outcome.error, None);
    assert_eq!(metric(&outcome, "http.redirect.count"), Some(3.0));
    assert_eq!(metric(&outcome, "http.status_code"), Some(200.0));
    assert_eq!(metric(&outcome, "http.body_bytes"), Some(5.0));
    assert_eq!(said(&outcome, "http.redirect.url"), Some(&*format!("http://{address}/0")));
    assert_eq!(said(&outcome, "url.full"), Some(&*format!("http://{address}/3")));
    assert!(outcome.more_bytes > 5.0, "those before are counted");
    for (path, follow, says) in [
        ("/3", 2, "after 2 redirects"),
        ("/round", 10, "after 10 redirects"),
        ("/bad", 1, "ftp://a.example/"),
        ("/bare", 1, "302"),
        ("/3", 0, "302"),
    ] {
        let error = run(&at(path, follow)).await.error.expect(path);
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn each_hop_passes_the_guard_and_secrets_stay_with_who_is_asked() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let inner = server(None, move |request| {
        hears.lock().expect("whole").push(request.headers().contains_key("authorization"));
        answer(200, "inner")
    })
    .await;
    let outer =
        server(None, move |_| leads_to(302, &format!("http://localhost:{}/", inner.port()))).await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("token");
    std::fs::write(&file, "t0ken").expect("written");
    let asked = Target {
        follow_redirects: 1,
        header_files: [("authorization".into(), file.display().to_string())].into(),
        ..target(&format!("http://127.0.0.1:{}/", outer.port()))
    };
    assert_eq!(run(&asked).await.error, None);
    assert_eq!(*heard.lock().expect("whole"), [false], "another host hears no secret");

    let limits = Arc::new(NodeLimits::new(&Config::default()));
    let guard = Guard::new(Prefix::parse("127.0.0.1/32").into_iter().collect());
    let gate = Gate::new(guard, limits);
    let resolver = Resolver::default();
    let dial = Dial::new(&resolver, Some(&gate));
    let leads = server(None, |_| leads_to(302, "http://127.0.0.2:9/")).await;
    let asked =
        Target { follow_redirects: 1, ..target(&format!("http://127.0.0.1:{}/", leads.port())) };
    let ask = Ask::of(&asked, None).expect("valid");
    let outcome = probe(&ask, Family::V4, None, LIMIT, &dial).await;
    assert!(outcome.refused, "{outcome:?}");
    assert!(outcome.error.expect("refused").contains("127.0.0.2 is not dialled"));
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_its_hosts_alone() {
    let issuer_key = rcgen::KeyPair::generate().expect("a key");
    let mut issuer = rcgen::CertificateParams::new(Vec::<String>::new()).expect("valid");
    issuer.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = issuer.self_signed(&issuer_key).expect("signed");
    let issuer = rcgen::Issuer::new(issuer, issuer_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let client = rcgen::CertificateParams::new(["probe".to_owned()]).expect("valid");
    let client = client.signed_by(&key, &issuer).expect("signed");

    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    );
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let own = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("valid"))
        .with_single_cert(vec![made.cert.der().clone()], own.expect("a key"))
        .expect("valid");
    let address = server(Some(config), |_| answer(200, "for you")).await;

    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: String| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).expect("written");
        file.display().to_string()
    };
    let mut identity = Identity {
        cert: file("cert.pem", client.pem()),
        key: file("key.pem", key.serialize_pem()),
        hosts: vec!["localhost".into()],
    };
    let mut asked = target(&format!("https://localhost:{}/", address.port()));
    let run = async |target: &Target, identity: Option<&Identity>| {
        let ask = Ask::of(target, identity).expect("valid");
        probe(&ask, Family::V4, None, LIMIT, &Dial::open(&Resolver::default())).await.error
    };
    assert!(run(&asked, None).await.is_some(), "the server wants one");
    asked.identity = "probe".into();
    assert_eq!(run(&asked, Some(&identity)).await, None);
    let error = run(&asked, None).await.expect("unknown here");
    assert!(error.contains("[planes.active.identities.probe]"), "{error}");
    identity.hosts = vec!["other.example".into()];
    let error = run(&asked, Some(&identity)).await.expect("not for this host");
    assert!(error.contains("is not shown to localhost"), "{error}");
    identity.hosts = vec!["localhost".into()];
    identity.key = identity.cert.clone();
    let error = run(&asked, Some(&identity)).await.expect("no key");
    assert!(error.contains("holds no private key"), "{error}");
}

#[tokio::test]
async fn an_endless_or_broken_http2_answer_ends() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        for garbage in
            [&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"\0\0\0\x04\0\0\0\0\0"]
        {
            let (mut stream, _) = listener.accept().await.expect("asked");
            let mut buffer = [0; 1_024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(garbage).await;
            // The second is silent from here on.
            tokio::spawn(async move {
                let _ = stream.read(&mut buffer).await;
                tokio::time::sleep(Duration::from_secs(60)).await;
            });
        }
    });
    let asked = Target { http_version: HttpVersion::V2, ..target(&format!("http://{address}/")) };
    let ask = Ask::of(&asked, None).expect("valid");
    for _ in 0..2 {
        let limit = Duration::from_millis(400);
        let outcome =
            probe(&ask, Family::Any, None, limit, &Dial::open(&Resolver::default())).await;
        assert!(outcome.error.is_some(), "{outcome:?}");
    }
    let address = server(None, |_| answer(200, &"x".repeat(11 << 20))).await;
    let asked = Target { http_version: HttpVersion::V2, ..target(&format!("http://{address}/")) };
    let error = run(&asked).await.error.expect("too long");
    assert!(error.contains("longer than 10 MiB"), "{error}");
}
