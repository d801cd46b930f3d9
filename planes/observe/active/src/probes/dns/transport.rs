//! The ways on which a question gets to a name server and its answer back.

use std::net::SocketAddr;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hickory_proto::op::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::super::tcp::connect;
use super::super::tls::{self, Offer};
use super::super::{Dial, Roots, http, left, quic};
use super::{Question, UDP_PAYLOAD, parse};
use crate::outcome::{Outcome, elapsed_ms};

/// What answers over HTTPS are (RFC 8484 §6).
const DNS_MESSAGE: &str = "application/dns-message";

pub(super) async fn over_udp(
    query: &[u8],
    id: u16,
    question: &Question,
    server: SocketAddr,
    until: Instant,
    outcome: &mut Outcome,
) -> Result<Message, String> {
    let any: SocketAddr = if server.is_ipv4() {
        SocketAddr::from(([0, 0, 0, 0], 0))
    } else {
        SocketAddr::from(([0_u16; 8], 0))
    };
    let failed = |error: std::io::Error| format!("{server}: {error}");
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    socket.send(query).await.map_err(failed)?;
    let mut buffer = [0; UDP_PAYLOAD as usize + 1];
    let mut unmatched = 0.0;
    loop {
        let received = tokio::time::timeout(left(until), socket.recv(&mut buffer)).await;
        let length = match received {
            Ok(Ok(length)) => length,
            Ok(Err(error)) => return Err(failed(error)),
            Err(_) => {
                let noise = if unmatched > 0.0 { ", though other answers came" } else { "" };
                return Err(format!("{server} did not answer in time{noise}"));
            }
        };
        match parse(&buffer[..length], id, question) {
            Ok(answer) => return Ok(answer),
            // Someone else's answer, or a forged one: ours may still come.
            Err(_) => {
                unmatched += 1.0;
                outcome.metrics.retain(|(name, _)| *name != "dns.unmatched");
                outcome.metric("dns.unmatched", unmatched);
            }
        }
    }
}

pub(super) async fn over_tcp(
    query: &[u8],
    id: u16,
    question: &Question,
    server: SocketAddr,
    until: Instant,
) -> Result<Message, String> {
    let stream = connect(server, until).await?;
    over_stream(stream, "TCP", query, id, question, server, until).await
}

/// The same over TLS (RFC 7858): the certificate must be one for `name`.
pub(super) async fn over_tls(
    query: &[u8],
    id: u16,
    question: &Question,
    (server, name): (SocketAddr, &str),
    roots: &Roots,
    until: Instant,
    outcome: &mut Outcome,
) -> Result<Message, String> {
    let begin = Instant::now();
    let stream = connect(server, until).await?;
    outcome.metric("dns.connect_ms", elapsed_ms(begin));
    let begin = Instant::now();
    let (stream, seen) = tls::handshake(stream, name, Some(roots), Offer::default(), until).await?;
    outcome.metric("dns.tls_ms", elapsed_ms(begin));
    tls::describe(stream.get_ref().1, &seen, (name, server.port()), outcome);
    tls::judge(&seen, outcome)?;
    over_stream(stream, "TLS", query, id, question, server, until).await
}

/// The same over QUIC (RFC 9250): one stream, closed after the question. `query` has the number 0 (§4.2.1).
pub(super) async fn over_quic(
    query: &[u8],
    question: &Question,
    (server, name): (SocketAddr, &str),
    roots: &Roots,
    until: Instant,
    outcome: &mut Outcome,
) -> Result<Message, String> {
    let begin = Instant::now();
    let offer = Offer { alpn: &[b"doq"], identity: None };
    let quic = quic::connect(server, name, Some(roots), offer, 0, until).await?;
    outcome.metric("dns.connect_ms", elapsed_ms(begin));
    tls::describe_quic(&quic.seen, (name, server.port()), outcome);
    tls::judge(&quic.seen, outcome)?;
    let exchange = async {
        let failed = |error: &dyn std::fmt::Display| format!("{server} over QUIC: {error}");
        let (mut send, mut receive) =
            quic.connection.open_bi().await.map_err(|error| failed(&error))?;
        let length = u16::try_from(query.len()).unwrap_or(u16::MAX);
        let framed = [&length.to_be_bytes(), query].concat();
        send.write_all(&framed).await.map_err(|error| failed(&error))?;
        send.finish().map_err(|error| failed(&error))?;
        let mut length = [0; 2];
        receive.read_exact(&mut length).await.map_err(|error| failed(&error))?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        receive.read_exact(&mut answer).await.map_err(|error| failed(&error))?;
        Ok::<_, String>(answer)
    };
    let answer = tokio::time::timeout(left(until), exchange)
        .await
        .map_err(|_| format!("{server} did not answer over QUIC in time"))??;
    parse(&answer, 0, question).map_err(|reason| format!("{server} over QUIC: {reason}"))
}

async fn over_stream(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    over: &str,
    query: &[u8],
    id: u16,
    question: &Question,
    server: SocketAddr,
    until: Instant,
) -> Result<Message, String> {
    let exchange = async {
        // RFC 1035 §4.2.2: two bytes of length before the message.
        let length = u16::try_from(query.len()).unwrap_or(u16::MAX);
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(query).await?;
        let length = usize::from(stream.read_u16().await?);
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(left(until), exchange)
        .await
        .map_err(|_| format!("{server} did not answer over {over} in time"))?
        .map_err(|error| format!("{server} over {over}: {error}"))?;
    parse(&answer, id, question).map_err(|reason| format!("{server} over {over}: {reason}"))
}

/// The same over HTTPS (RFC 8484), as a GET. `query` has the number 0, so that answers can be kept on the way.
pub(super) async fn over_https(
    query: &[u8],
    question: &Question,
    url: &str,
    roots: &Roots,
    until: Instant,
    dial: &Dial<'_>,
    outcome: &mut Outcome,
) -> Result<Message, String> {
    let mark = if url.contains('?') { '&' } else { '?' };
    let asked = format!("{url}{mark}dns={}", URL_SAFE_NO_PAD.encode(query));
    let answer = http::fetch(&asked, DNS_MESSAGE, roots, until, dial, outcome).await?;
    if answer.status != ::http::StatusCode::OK {
        return Err(format!("{url} answers {}", answer.status));
    }
    let kind = answer.headers.get(::http::header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    if !kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(DNS_MESSAGE.as_bytes())) {
        return Err(format!("{url} answers with something else than {DNS_MESSAGE}"));
    }
    let (body, all) = answer.body;
    if !all || body.len() > usize::from(u16::MAX) {
        return Err(format!("{url} answers with more than 64 KiB"));
    }
    parse(&body, 0, question).map_err(|reason| format!("{url}: {reason}"))
}
