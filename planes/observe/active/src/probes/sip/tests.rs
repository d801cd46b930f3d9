//! SIP servers of these tests: good ones, and those that lie.

use super::super::Resolver;
use super::*;
use crate::config::{ProbeKind, Target};
use tokio::net::{TcpListener, UdpSocket};

const LIMIT: Duration = Duration::from_secs(60);

fn target(address: SocketAddr, transport: SipTransport) -> Target {
    Target {
        port: address.port(),
        sip_transport: transport,
        ..Target::plain(ProbeKind::Sip, &address.ip().to_string())
    }
}

async fn run(target: &Target, roots: &Roots, limit: Duration) -> Outcome {
    let options = Options::of(target).expect("valid");
    probe(&options, Family::Any, roots, limit, &Dial::open(&Resolver::default())).await
}

/// An answer to a request, as a server makes it: what has to be repeated (§8.2.6.2), and what is said more.
fn answer(request: &[u8], status: &str, more: &str) -> Vec<u8> {
    let text = std::str::from_utf8(request).expect("text");
    assert!(text.starts_with("OPTIONS sip:") && text.ends_with("\r\n\r\n"), "{text}");
    let repeated = text.split("\r\n").filter(|line| {
        ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
    });
    let repeated: Vec<&str> = repeated.collect();
    format!("SIP/2.0 {status}\r\n{}\r\n{more}\r\n", repeated.join("\r\n")).into_bytes()
}

async fn udp(reply: impl Fn(u32, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut buffer, mut number) = ([0; 4_096], 0);
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            for datagram in reply(number, &buffer[..length]) {
                let _ = socket.send_to(&datagram, from).await;
            }
            number += 1;
        }
    });
    address
}

async fn tcp(reply: impl Fn(&[u8]) -> Vec<u8> + Send + 'static, endless: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4_096];
            let length = stream.read(&mut buffer).await.expect("asked");
            let bytes = reply(&buffer[..length]);
            while stream.write_all(&bytes).await.is_ok() && endless {}
            kept.push(stream);
        }
    });
    address
}

fn said<'a>(outcome: &'a Outcome, column: &str) -> Option<&'a str> {
    outcome.attributes.iter().find(|(name, _)| *name == column).map(|(_, text)| text.as_str())
}

fn metric(outcome: &Outcome, column: &str) -> Option<f64> {
    outcome.metrics.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
}

#[tokio::test]
async fn an_answer_over_udp_is_timed_and_what_is_lost_is_asked_again() {
    let none = Roots::load("");
    let server = udp(|number, request| {
        if number == 0 {
            // The first is lost, and somebody else's answers come.
            let other = answer(request, "200 OK", "").to_ascii_uppercase();
            return vec![b"nonsense".to_vec(), other];
        }
        let more = "Server: pbx 1\r\nAllow: INVITE, BYE\r\n";
        vec![answer(request, "100 Trying", ""), answer(request, "200 Fine", more)]
    })
    .await;
    let outcome = run(&target(server, SipTransport::Udp), &none, LIMIT).await;
    assert_eq!(outcome.error, None);
    assert_eq!(metric(&outcome, "sip.status_code"), Some(200.0));
    assert!(metric(&outcome, "sip.requests.sent") >= Some(2.0), "{outcome:?}");
    assert!(metric(&outcome, "sip.unmatched") >= Some(2.0), "{outcome:?}");
    assert!(metric(&outcome, "sip.interim") >= Some(1.0), "{outcome:?}");
    assert!(outcome.duration_ms.is_some_and(|ms| ms > 400.0), "{outcome:?}");
    assert_eq!(said(&outcome, "sip.server"), Some("pbx 1"));
    assert_eq!(said(&outcome, "sip.allow"), Some("INVITE, BYE"));

    let busy = udp(|_, request| vec![answer(request, "486 Busy Here", "")]).await;
    let outcome = run(&target(busy, SipTransport::Udp), &none, LIMIT).await;
    assert!(outcome.error.as_deref().expect("unexpected").contains("486 Busy Here"));
    assert!(outcome.duration_ms.is_some(), "it answered all the same");
    let all = Target {
        expect_status: "2xx-6xx".replace("2xx-6xx", "200-699"),
        ..target(busy, SipTransport::Udp)
    };
    assert_eq!(run(&all, &none, LIMIT).await.error, None);
}

#[tokio::test]
async fn silence_and_lies_over_udp_end_in_time() {
    let none = Roots::load("");
    let limit = Duration::from_millis(300);
    for (reply, says) in
        [(0, "did not answer"), (1, "an answer will come"), (2, "other messages came")]
    {
        let server = udp(move |_, request| match reply {
            0 => Vec::new(),
            1 => vec![answer(request, "180 Ringing", "")],
            _ => vec![b"SIP/2.0 200 OK\r\nVia: x;branch=y\r\n\r\n".to_vec()],
        })
        .await;
        let outcome = run(&target(server, SipTransport::Udp), &none, limit).await;
        assert!(outcome.error.as_deref().expect("failed").contains(says), "{outcome:?}");
        assert_eq!(outcome.duration_ms, None);
    }
}

#[tokio::test]
async fn streams_carry_several_messages_with_bodies_and_tls() {
    let both = |request: &[u8]| {
        let body = "l: 4\r\n";
        let mut first = answer(request, "183 Session Progress", body);
        first.extend(b"v=0\n\r\n\r\n");
        first.extend(answer(request, "404 Not Found", body));
        first.extend(b"v=0\n");
        first
    };
    let none = Roots::load("");
    let server = tcp(both, false).await;
    let asked = Target { expect_status: "404".into(), ..target(server, SipTransport::Tcp) };
    let outcome = run(&asked, &none, LIMIT).await;
    assert_eq!(outcome.error, None);
    assert_eq!(metric(&outcome, "sip.interim"), Some(1.0));
    assert!(metric(&outcome, "sip.connect_ms").is_some());

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("valid");
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = [0; 4_096];
            let Ok(length) = stream.read(&mut buffer).await else { continue };
            if length > 0 {
                let _ = stream.write_all(&answer(&buffer[..length], "200 OK", "")).await;
                let _ = stream.flush().await;
            }
        }
    });
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("roots.pem");
    std::fs::write(&file, made.cert.pem()).expect("written");
    let roots = Roots::load(&file.display().to_string());
    let asked = Target { server_name: "localhost".into(), ..target(address, SipTransport::Tls) };
    let outcome = run(&asked, &roots, LIMIT).await;
    assert_eq!(outcome.error, None);
    assert_eq!(said(&outcome, "tls.verified"), Some("yes"));
    assert_eq!(said(&outcome, "network.transport"), Some("tls"));
    let outcome = run(&target(address, SipTransport::Tls), &roots, LIMIT).await;
    assert!(outcome.error.expect("another name").contains("not trusted"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_without_an_end_are_not_waited_for() {
    let none = Roots::load("");
    for (reply, endless, says) in [
        (0, true, "a head is longer than 16 KiB"),
        (1, false, "does not speak SIP"),
        (2, false, "a body is longer than 64 KiB"),
        (3, true, "more than 100 messages"),
        (4, false, "did not answer in time"),
    ] {
        let server = tcp(
            move |request| match reply {
                0 => vec![b'x'; 4_096],
                1 => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
                2 => b"SIP/2.0 100 x\r\nContent-Length: 99999999\r\n\r\n".to_vec(),
                3 => answer(request, "100 Trying", ""),
                _ => b"SIP/2.0 200 OK\r\n".to_vec(),
            },
            endless,
        )
        .await;
        let limit = if reply == 4 { Duration::from_millis(300) } else { LIMIT };
        let error = run(&target(server, SipTransport::Tcp), &none, limit).await.error;
        let error = error.expect(says);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn targets_that_are_none_are_refused() {
    let plain = |target: &str| Target::plain(ProbeKind::Sip, target);
    assert!(
        Options::of(&plain("sip.example")).is_ok() && Options::of(&plain("[2001:db8::1]")).is_ok()
    );
    for (target, says) in [
        (plain("sip:user@sip.example"), "target"),
        (plain("a b"), "target"),
        (plain("a\r\nVia: x"), "target"),
        (Target { expect_status: "700".into(), ..plain("a") }, "expect_status"),
        (Target { server_name: "b".into(), ..plain("a") }, "server_name"),
    ] {
        let why = Options::of(&target).expect_err(says);
        assert!(why.starts_with(says), "{why}");
    }
}
