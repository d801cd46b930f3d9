//! Name servers over QUIC: good ones, and those that lie.

use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;

use super::*;

/// What a server does with a question.
type Does = dyn Fn(&[u8]) -> Reply + Send + Sync;

enum Reply {
    /// These bytes as they are, and the end of the stream.
    Bytes(Vec<u8>),
    /// The same without an end.
    Open(Vec<u8>),
    /// Bytes without an end, and no answer.
    Endless,
    /// It ends the connection.
    Close,
}

fn framed(answer: &Message) -> Vec<u8> {
    let answer = answer.to_vec().expect("written");
    [&(answer.len() as u16).to_be_bytes(), &answer[..]].concat()
}

fn server(
    config: rustls::ServerConfig,
    does: impl Fn(&[u8]) -> Reply + Send + Sync + 'static,
) -> SocketAddr {
    let crypto = QuicServerConfig::try_from(config).expect("TLS 1.3");
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint =
        quinn::Endpoint::server(config, "127.0.0.1:0".parse().expect("valid")).expect("bound");
    let address = endpoint.local_addr().expect("bound");
    let does: Arc<Does> = Arc::new(does);
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let does = Arc::clone(&does);
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                let Ok((mut send, mut receive)) = connection.accept_bi().await else { return };
                // The end of the stream has to come after the question (RFC 9250 §4.2).
                let Ok(asked) = receive.read_to_end(70_000).await else { return };
                let (length, query) = asked.split_at(2);
                assert_eq!(usize::from(u16::from_be_bytes([length[0], length[1]])), query.len());
                match does(query) {
                    Reply::Bytes(bytes) => {
                        let _ = send.write_all(&bytes).await;
                        let _ = send.finish();
                    }
                    Reply::Open(bytes) => drop(send.write_all(&bytes).await),
                    Reply::Endless => while send.write_all(&[0; 4_096]).await.is_ok() {},
                    Reply::Close => connection.close(2_u32.into(), b"no"),
                }
                connection.closed().await;
            });
        }
    });
    address
}

fn quic(address: SocketAddr, name: &str) -> Server {
    Server::Quic { address, name: name.into() }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn quic_carries_the_question_as_rfc_9250_says() {
    let (config, roots) = tls(&[b"doq"]);
    let address = server(config, |query| {
        assert_eq!(query[..2], [0, 0], "its number is 0");
        Reply::Bytes(framed(&with_address(answer_to(query))))
    });
    let outcome = ask(&quic(address, "localhost"), &roots, LONG).await;
    assert_eq!(outcome.error, None);
    assert_eq!(said(&outcome, "network.transport"), Some("quic"));
    assert_eq!(said(&outcome, "dns.answer"), Some("192.0.2.7"));
    assert_eq!(said(&outcome, "tls.verified"), Some("yes"));
    assert_eq!(said(&outcome, "tls.version"), Some("TLSv1_3"));
    assert_eq!(said(&outcome, "tls.server.san"), Some("localhost"));
    assert!(outcome.metrics.iter().any(|(column, _)| *column == "dns.connect_ms"));
    assert!(outcome.duration_ms.is_some());
    let outcome = ask(&quic(address, "other.example"), &roots, LONG).await;
    assert_eq!(said(&outcome, "tls.verified"), Some("no"));
    assert!(outcome.error.expect("another name").contains("not trusted"));
}

#[tokio::test]
async fn who_speaks_something_else_over_quic_is_named() {
    let (config, roots) = tls(&[b"h3"]);
    let address = server(config, |_| Reply::Close);
    let error = ask(&quic(address, "localhost"), &roots, LONG).await.error.expect("no doq");
    assert!(error.contains("over QUIC: "), "{error}");
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let address = silent.local_addr().expect("bound");
    let limit = Duration::from_millis(200);
    let error = ask(&quic(address, "localhost"), &roots, limit).await.error.expect("silent");
    assert!(error.contains("did not answer over QUIC in time"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_lie_over_quic_are_not_believed_and_end_in_time() {
    let (config, roots) = tls(&[b"doq"]);
    let limit = Duration::from_secs(2);
    for (reply, says) in [
        (0_u8, "did not answer over QUIC in time"),
        (1, "over QUIC: "),
        (2, "over QUIC: "),
        (3, "not an answer to this question"),
        (4, "not a DNS message"),
        (5, "not a DNS message"),
    ] {
        let address = server(config.clone(), move |query| match reply {
            0 => Reply::Open(vec![0xff, 0xff, 1]),
            1 => Reply::Close,
            2 => Reply::Bytes(vec![0xff, 0xff, 1]),
            3 => {
                let mut other = with_address(answer_to(query));
                other.metadata.id = 1;
                Reply::Bytes(framed(&other))
            }
            4 => Reply::Endless,
            _ => Reply::Bytes(b"\0\x04junk".to_vec()),
        });
        let error = ask(&quic(address, "localhost"), &roots, limit).await.error.expect(says);
        assert!(error.contains(says), "{reply}: {error}");
    }
    let address = server(config, |query| Reply::Open(framed(&with_address(answer_to(query)))));
    let outcome = ask(&quic(address, "localhost"), &roots, LONG).await;
    assert_eq!(outcome.error, None, "a stream that is not ended has its answer all the same");
}
