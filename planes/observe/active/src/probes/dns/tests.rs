//! Name servers of these tests, over every transport.

mod quic;

use super::super::{Dial, Resolver, Roots};
use super::*;
use hickory_proto::rr::{RData, Record, rdata};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::net::UdpSocket;

const LIMIT: Duration = Duration::from_secs(2);

fn question() -> Question {
    Question::parse("shop.example", "A").expect("valid")
}

async fn ask_at(server: SocketAddr, limit: Duration) -> Outcome {
    ask(&Server::Plain { address: Some(server), tcp: false }, &Roots::load(""), limit).await
}

async fn ask(server: &Server, roots: &Roots, limit: Duration) -> Outcome {
    probe(&question(), server, roots, None, limit, &Dial::open(&Resolver::default())).await
}

fn answer_to(query: &[u8]) -> Message {
    let query = Message::from_vec(query).expect("a query");
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.queries.clone_from(&query.queries);
    answer
}

fn with_address(mut answer: Message) -> Message {
    let data = RData::A(rdata::A::new(192, 0, 2, 7));
    answer.add_answer(Record::from_rdata(question().name, 60, data));
    answer
}

async fn server_that(reply: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            for datagram in reply(&buffer[..length]) {
                let _ = socket.send_to(&datagram, from).await;
            }
        }
    });
    address
}

#[tokio::test]
async fn an_answer_is_timed_and_shown() {
    let server = server_that(|q| vec![with_address(answer_to(q)).to_vec().expect("written")]).await;
    let outcome = ask_at(server, LIMIT).await;
    assert_eq!(outcome.error, None);
    assert!(outcome.attributes.contains(&("dns.answer", "192.0.2.7".into())));
    assert!(outcome.duration_ms.is_some());
}

#[tokio::test]
async fn wrong_ids_and_nonsense_are_passed_over_and_counted() {
    let server = server_that(|q| {
        let mut forged = with_address(answer_to(q));
        forged.metadata.id ^= 1;
        let good = with_address(answer_to(q)).to_vec().expect("written");
        vec![forged.to_vec().expect("written"), b"nonsense".to_vec(), good]
    })
    .await;
    let outcome = ask_at(server, LIMIT).await;
    assert_eq!(outcome.error, None);
    assert!(outcome.metrics.contains(&("dns.unmatched", 2.0)), "{:?}", outcome.metrics);
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let server = server_that(|q| {
        let mut answer = answer_to(q);
        answer.metadata.truncation = true;
        vec![answer.to_vec().expect("written")]
    })
    .await;
    let listener = TcpListener::bind(server).await.expect("the same port over TCP");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("asked");
        let length = usize::from(stream.read_u16().await.expect("a length"));
        let mut query = vec![0; length];
        stream.read_exact(&mut query).await.expect("a query");
        let answer = with_address(answer_to(&query)).to_vec().expect("written");
        stream.write_u16(answer.len() as u16).await.expect("sent");
        stream.write_all(&answer).await.expect("sent");
    });
    let outcome = ask_at(server, LIMIT).await;
    assert_eq!(outcome.error, None);
    assert!(outcome.attributes.contains(&("network.transport", "tcp".into())));
}

#[tokio::test]
async fn refusals_and_silence_say_what_they_are() {
    let server = server_that(|q| {
        let mut answer = answer_to(q);
        answer.metadata.response_code = ResponseCode::NXDomain;
        vec![answer.to_vec().expect("written")]
    })
    .await;
    let outcome = ask_at(server, LIMIT).await;
    assert!(outcome.error.expect("failed").contains("does not exist"));
    let silent = server_that(|_| Vec::new()).await;
    let outcome = ask_at(silent, Duration::from_millis(100)).await;
    assert!(outcome.error.expect("failed").contains("did not answer in time"));
}

#[tokio::test]
async fn an_alias_that_leads_nowhere_is_no_answer() {
    let server = server_that(|q| {
        let mut answer = answer_to(q);
        let gone = Name::from_utf8("gone.example.").expect("valid");
        let data = RData::CNAME(rdata::CNAME(gone));
        answer.add_answer(Record::from_rdata(question().name, 60, data));
        vec![answer.to_vec().expect("written")]
    })
    .await;
    let outcome = ask_at(server, LIMIT).await;
    assert!(outcome.error.expect("failed").contains("has no A records"));
    assert!(outcome.attributes.contains(&("dns.answer", "gone.example.".into())));
}

#[tokio::test]
async fn a_refusal_without_the_question_is_told_and_an_answer_without_it_is_not_taken() {
    let server = server_that(|q| {
        let mut bare = answer_to(q);
        bare.queries.clear();
        let mut refusal = bare.clone();
        refusal.metadata.response_code = ResponseCode::FormErr;
        let bare = with_address(bare);
        vec![bare.to_vec().expect("written"), refusal.to_vec().expect("written")]
    })
    .await;
    let outcome = ask_at(server, LIMIT).await;
    assert!(outcome.error.expect("failed").contains("FormErr"));
    assert!(outcome.metrics.contains(&("dns.unmatched", 1.0)), "{:?}", outcome.metrics);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_nonsense_does_not_outlast_the_probes_time() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let server = socket.local_addr().expect("bound");
    let flood = tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        let (_, from) = socket.recv_from(&mut buffer).await.expect("asked");
        loop {
            let _ = socket.send_to(b"nonsense", from).await;
        }
    });
    let outcome = ask_at(server, Duration::from_millis(200)).await;
    flood.abort();
    assert!(outcome.error.expect("failed").contains("though other answers came"));
}

#[test]
fn the_systems_first_server_is_found() {
    let text = "# nameserver 192.0.2.1\nsearch x\nnameserver fe80::1%eth0\n\tnameserver 192.0.2.53 # ours\nnameserver ::1\n";
    assert_eq!(first_server(text), Some(([192, 0, 2, 53], PORT).into()));
    assert_eq!(first_server("nameservers 192.0.2.1\n"), None);
}

#[test]
fn hostile_answers_never_panic() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut query = Message::query();
    query.add_query(Query::query(question().name, RecordType::A));
    let good = with_address(answer_to(&query.to_vec().expect("written")));
    let good = good.to_vec().expect("written");
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        bytes.truncate(rng.random_range(0..=bytes.len()));
        let _ = parse(&bytes, query.metadata.id, &question());
    }
}

/// A certificate for `localhost`, a server's configuration with it, and the roots that trust it.
fn tls(alpn: &[&[u8]]) -> (rustls::ServerConfig, Roots) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("valid");
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("roots.pem");
    std::fs::write(&file, made.cert.pem()).expect("written");
    (config, Roots::load(&file.display().to_string()))
}

fn said<'a>(outcome: &'a Outcome, column: &str) -> Option<&'a str> {
    outcome.attributes.iter().find(|(name, _)| *name == column).map(|(_, text)| text.as_str())
}

async fn tls_server(
    config: rustls::ServerConfig,
    reply: impl Fn(&[u8]) -> Vec<u8> + Send + 'static,
) -> SocketAddr {
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let length = usize::from(stream.read_u16().await.expect("a length"));
            let mut query = vec![0; length];
            stream.read_exact(&mut query).await.expect("a query");
            let answer = reply(&query);
            let _ = stream.write_u16(answer.len() as u16).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.flush().await;
        }
    });
    address
}

#[tokio::test]
async fn tcp_and_tls_carry_the_question_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("asked");
        let length = usize::from(stream.read_u16().await.expect("a length"));
        let mut query = vec![0; length];
        stream.read_exact(&mut query).await.expect("a query");
        let mut answer = with_address(answer_to(&query));
        answer.metadata.authentic_data = true;
        answer.metadata.recursion_available = true;
        let answer = answer.to_vec().expect("written");
        stream.write_u16(answer.len() as u16).await.expect("sent");
        stream.write_all(&answer).await.expect("sent");
    });
    let roots = Roots::load("");
    let outcome = ask(&Server::Plain { address: Some(address), tcp: true }, &roots, LIMIT).await;
    assert_eq!(outcome.error, None);
    assert_eq!(said(&outcome, "network.transport"), Some("tcp"));
    assert_eq!(said(&outcome, "dns.flags"), Some("ra ad"));
    assert!(outcome.metrics.contains(&("dns.ttl_s", 60.0)));

    let (config, roots) = tls(&[]);
    let good = |query: &[u8]| with_address(answer_to(query)).to_vec().expect("written");
    let address = tls_server(config, good).await;
    let server = |name: &str| Server::Tls { address, name: name.into() };
    let outcome = ask(&server("localhost"), &roots, LIMIT).await;
    assert_eq!(outcome.error, None);
    assert_eq!(said(&outcome, "network.transport"), Some("tls"));
    assert_eq!(said(&outcome, "tls.verified"), Some("yes"));
    let outcome = ask(&server("other.example"), &roots, LIMIT).await;
    assert!(outcome.error.expect("another name").contains("not trusted"));
}

#[tokio::test]
async fn https_carries_the_question_as_rfc_8484_says() {
    use base64::Engine;
    use http_body_util::Full;
    use hyper::body::{Bytes, Incoming};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let (config, roots) = tls(&[b"h2", b"http/1.1"]);
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let service =
                hyper::service::service_fn(|request: http::Request<Incoming>| async move {
                    let query = request.uri().query().and_then(|query| query.strip_prefix("dns="));
                    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
                    let query = engine.decode(query.expect("asked")).expect("base64url");
                    assert_eq!(query[..2], [0, 0], "its number is 0");
                    assert_eq!(request.headers()["accept"], "application/dns-message");
                    let body = match request.uri().path() {
                        "/dns-query" => with_address(answer_to(&query)).to_vec().expect("written"),
                        "/huge" => vec![0; 70_000],
                        _ => b"nonsense".to_vec(),
                    };
                    let kind = if request.uri().path() == "/html" {
                        "text/html"
                    } else {
                        "application/dns-message"
                    };
                    http::Response::builder()
                        .header("content-type", kind)
                        .body(Full::new(Bytes::from(body)))
                });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let io = TokioIo::new(stream);
            tokio::spawn(async move {
                let _ = builder.serve_connection(io, service).await;
            });
        }
    });
    let limit = Duration::from_secs(20);
    let server = |path: &str| Server::Https { url: format!("https://localhost:{port}{path}") };
    let outcome = ask(&server("/dns-query"), &roots, limit).await;
    assert_eq!(outcome.error, None);
    assert_eq!(said(&outcome, "network.transport"), Some("https"));
    assert_eq!(said(&outcome, "network.protocol.version"), Some("2"));
    assert_eq!(said(&outcome, "dns.answer"), Some("192.0.2.7"));
    assert!(outcome.duration_ms.is_some());
    for (path, says) in
        [("/html", "something else"), ("/huge", "64 KiB"), ("/other", "not a DNS message")]
    {
        let error = ask(&server(path), &roots, limit).await.error.expect(path);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn servers_are_read_by_their_transport() {
    let read = |server: &str, transport, name: &str| Server::parse(server, transport, name);
    let address = |text: &str| text.parse::<SocketAddr>().expect("valid");
    assert_eq!(
        read("192.0.2.1", DnsTransport::Tls, "dns.example"),
        Ok(Server::Tls { address: address("192.0.2.1:853"), name: "dns.example".into() })
    );
    assert_eq!(
        read("2001:db8::1", DnsTransport::Tls, ""),
        Ok(Server::Tls { address: address("[2001:db8::1]:853"), name: "2001:db8::1".into() })
    );
    assert_eq!(
        read("192.0.2.1", DnsTransport::Quic, "dns.example"),
        Ok(Server::Quic { address: address("192.0.2.1:853"), name: "dns.example".into() })
    );
    assert_eq!(
        read("192.0.2.1:5353", DnsTransport::Tcp, ""),
        Ok(Server::Plain { address: Some(address("192.0.2.1:5353")), tcp: true })
    );
    assert!(read("https://dns.example/dns-query", DnsTransport::Https, "").is_ok());
    for (server, transport, name) in [
        ("", DnsTransport::Tls, ""),
        ("", DnsTransport::Https, ""),
        ("http://dns.example/", DnsTransport::Https, ""),
        ("192.0.2.1", DnsTransport::Https, ""),
        ("dns.example", DnsTransport::Tls, ""),
        ("", DnsTransport::Quic, ""),
        ("192.0.2.1", DnsTransport::Udp, "dns.example"),
        ("192.0.2.1", DnsTransport::Tls, "a b"),
    ] {
        let why = read(server, transport, name).expect_err(server);
        assert!(why.starts_with("dns_server") || why.starts_with("server_name"), "{why}");
    }
}
