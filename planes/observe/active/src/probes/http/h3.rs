//! One request over HTTP/3 (RFC 9114), over a connection that stands.

use std::future::pending;
use std::time::Instant;

use hyper::body::{Buf, Bytes};

use super::Answer;
use super::expect::MAX_LOOKED_AT;
use super::h3_quic::Link;
use super::request::{MAX_BODY_BYTES, MAX_HEADER_BYTES, Request, Spoken, Tasks};
use crate::outcome::{Outcome, elapsed_ms};
use crate::probes::left;
use crate::probes::quic::Quic;

/// Streams that a server opens beside the answer: control, and two of QPACK (RFC 9114 §6.2), and some to spare.
pub(super) const SERVER_STREAMS: u32 = 8;
/// "No error" (RFC 9114 §8.1).
pub(super) const NO_ERROR: u32 = 0x100;
/// Most bytes that are read of a connection: the longest body, its headers, and what frames them.
const MOST: usize = MAX_BODY_BYTES + (2 << 20);
/// Most answers before the one that counts (1xx, RFC 9110 §15.2).
const MAX_INTERIM: usize = 8;

/// What came of an exchange.
struct Came {
    parts: http::response::Parts,
    ttfb_ms: f64,
    transfer_ms: f64,
    kept: Vec<u8>,
    bytes: usize,
}

/// Asks, and reads the answer to its end.
pub(super) async fn request(
    quic: &Quic,
    request: Request<'_>,
    outcome: &mut Outcome,
) -> Result<Answer, String> {
    let (until, keep) = (request.until, request.keep);
    let (parts, body) = request.build(Spoken::Http3)?.into_parts();
    let (tasks, _ended) = Tasks::ended_on_drop();
    let link = Link::new(quic.connection.clone(), MOST);
    let (sent, came) = tokio::sync::oneshot::channel();
    let exchange = exchange(link, http::Request::from_parts(parts, ()), body, keep, tasks.clone());
    // Beside this task: whatever the library makes of what the server sends, only the probe fails by it.
    tasks.run(async move {
        let _ = sent.send(exchange.await);
    });
    let came = tokio::time::timeout(left(until), came)
        .await
        .map_err(|_| "the answer over HTTP/3 did not end in time".to_owned())?
        .map_err(|_| "HTTP/3 broke off: the answer cannot be read".to_owned())??;
    outcome.metric("http.ttfb_ms", came.ttfb_ms);
    outcome.metric("http.status_code", f64::from(came.parts.status.as_u16()));
    outcome.attributes.retain(|(column, _)| *column != "network.protocol.version");
    outcome.attribute("network.protocol.version", "3");
    outcome.metric("http.transfer_ms", came.transfer_ms);
    outcome.metric("http.body_bytes", came.bytes as f64);
    outcome.more_bytes += came.bytes as f64;
    let all = came.kept.len() == came.bytes;
    Ok(Answer { status: came.parts.status, headers: came.parts.headers, body: (came.kept, all) })
}

async fn exchange(
    link: Link,
    request: http::Request<()>,
    body: http_body_util::Full<Bytes>,
    keep: bool,
    tasks: Tasks,
) -> Result<Came, String> {
    let failed = |error: &dyn std::fmt::Display| format!("HTTP/3 failed: {error}");
    let body = http_body_util::BodyExt::collect(body).await.map_err(|error| failed(&error))?;
    let body = body.to_bytes();
    let begin = Instant::now();
    let mut builder = h3::client::builder();
    builder.max_field_section_size(MAX_HEADER_BYTES as u64).send_grease(false);
    let (mut connection, mut sender) =
        builder.build::<_, _, Bytes>(link).await.map_err(|error| failed(&error))?;
    tasks.run(async move { drop(connection.wait_idle().await) });
    let stream = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let (mut send, mut receive) = stream.split();
    let sending = async {
        // A server may answer before it has the whole body, and take no more of it (RFC 9114 §4.1).
        if body.is_empty() || send.send_data(body).await.is_ok() {
            let _ = send.finish().await;
        }
        pending::<()>().await;
    };
    let receiving = async {
        for _ in 0..MAX_INTERIM {
            let answer = receive.recv_response().await.map_err(|error| failed(&error))?;
            if !answer.status().is_informational() {
                return Ok(answer);
            }
        }
        Err(format!("more than {MAX_INTERIM} answers say that one will come"))
    };
    tokio::pin!(sending);
    let answer = tokio::select! {
        answer = receiving => answer?,
        () = &mut sending => return Err("the request broke off".into()),
    };
    let ttfb_ms = elapsed_ms(begin);
    let begin = Instant::now();
    let most = if keep { MAX_LOOKED_AT } else { 0 };
    let (mut kept, mut bytes) = (Vec::new(), 0);
    loop {
        let data = tokio::select! {
            data = receive.recv_data() => data,
            () = &mut sending => return Err("the request broke off".into()),
        };
        let data = data.map_err(|error| format!("the answer broke off: {error}"))?;
        let Some(mut data) = data else { break };
        while data.has_remaining() {
            let chunk = data.chunk();
            bytes += chunk.len();
            kept.extend_from_slice(&chunk[..chunk.len().min(most - kept.len())]);
            let length = chunk.len();
            data.advance(length);
        }
        if bytes > MAX_BODY_BYTES {
            return Err(format!("the answer is longer than {} MiB", MAX_BODY_BYTES >> 20));
        }
    }
    let (parts, ()) = answer.into_parts();
    Ok(Came { parts, ttfb_ms, transfer_ms: elapsed_ms(begin), kept, bytes })
}
