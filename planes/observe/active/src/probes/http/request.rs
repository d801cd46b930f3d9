//! One request over a connection that stands.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request as HttpRequest, Response, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;

use super::Answer;
use super::expect::MAX_LOOKED_AT;
use super::place::Place;
use crate::outcome::{Outcome, elapsed_ms};
use crate::probes::left as left_of;

pub(super) const MAX_BODY_BYTES: usize = 10 << 20;
pub(super) const MAX_HEADER_BYTES: usize = 64 << 10;

/// The version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
    Http3,
}

/// What is asked of whom.
pub(super) struct Request<'a> {
    pub(super) place: &'a Place,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    /// What is sent; nothing: no body.
    pub(super) body: Bytes,
    /// Whether the answer's body is looked at.
    pub(super) keep: bool,
    pub(super) until: Instant,
}

impl Request<'_> {
    pub(super) fn build(self, spoken: Spoken) -> Result<HttpRequest<Full<Bytes>>, String> {
        let failed = |error: http::Error| format!("the request cannot be written: {error}");
        let scheme = if self.place.tls { "https" } else { "http" };
        let uri = match spoken {
            Spoken::Http1 => Uri::builder().path_and_query(self.place.path()),
            Spoken::Http2 | Spoken::Http3 => Uri::builder()
                .scheme(scheme)
                .authority(self.place.authority())
                .path_and_query(self.place.path()),
        };
        let mut request = HttpRequest::builder()
            .method(self.method)
            .uri(uri.build().map_err(failed)?)
            .body(Full::new(self.body))
            .map_err(failed)?;
        let headers = request.headers_mut();
        if spoken == Spoken::Http1 {
            let host = HeaderValue::from_str(self.place.authority());
            headers.insert(header::HOST, host.map_err(|error| failed(error.into()))?);
        }
        let agent = HeaderValue::from_static(concat!("holm/", env!("CARGO_PKG_VERSION")));
        headers.insert(header::USER_AGENT, agent);
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.extend(self.headers);
        Ok(request)
    }
}

/// Asks, and reads the answer to its end.
pub(super) async fn request(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    spoken: Spoken,
    request: Request<'_>,
    outcome: &mut Outcome,
) -> Result<Answer, String> {
    let (until, keep) = (request.until, request.keep);
    let request = request.build(spoken)?;
    // What a connection runs beside the request ends with it.
    let (tasks, _ended) = Tasks::ended_on_drop();
    let failed = |error: hyper::Error| match std::error::Error::source(&error) {
        Some(source) => format!("HTTP failed: {error}: {source}"),
        None => format!("HTTP failed: {error}"),
    };
    let io = TokioIo::new(stream);
    let late = |_| "no answer to the request in time".to_owned();
    let begin = Instant::now();
    let exchange = async {
        match spoken {
            Spoken::Http1 => {
                let mut builder = hyper::client::conn::http1::Builder::new();
                builder.max_buf_size(MAX_HEADER_BYTES);
                let (mut sender, connection) = builder.handshake(io).await.map_err(failed)?;
                tasks.run(connection);
                let answer = sender.send_request(request).await.map_err(failed);
                answer.map(|answer| (answer, Sender::Http1(sender)))
            }
            Spoken::Http2 | Spoken::Http3 => {
                let mut builder = hyper::client::conn::http2::Builder::new(tasks.clone());
                builder.max_header_list_size(MAX_HEADER_BYTES as u32);
                let (mut sender, connection) = builder.handshake(io).await.map_err(failed)?;
                tasks.run(connection);
                let answer = sender.send_request(request).await.map_err(failed);
                answer.map(|answer| (answer, Sender::Http2(sender)))
            }
        }
    };
    let (response, _sender) =
        tokio::time::timeout(left_of(until), exchange).await.map_err(late)??;
    outcome.metric("http.ttfb_ms", elapsed_ms(begin));
    read(response, keep, until, outcome).await
}

/// What keeps a connection open until the answer was read.
#[allow(dead_code, reason = "it is held, and not looked at")]
enum Sender {
    Http1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

async fn read(
    response: Response<Incoming>,
    keep: bool,
    until: Instant,
    outcome: &mut Outcome,
) -> Result<Answer, String> {
    let status = response.status();
    outcome.metric("http.status_code", f64::from(status.as_u16()));
    let version = match response.version() {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    outcome.attributes.retain(|(column, _)| *column != "network.protocol.version");
    outcome.attribute("network.protocol.version", version);
    let (parts, body) = response.into_parts();
    let most = if keep { MAX_LOOKED_AT } else { 0 };
    let begin = Instant::now();
    let (kept, bytes) =
        tokio::time::timeout(left_of(until), count(body, most, &mut outcome.more_bytes))
            .await
            .map_err(|_| "the answer's body did not end in time".to_owned())??;
    outcome.metric("http.transfer_ms", elapsed_ms(begin));
    outcome.metric("http.body_bytes", bytes as f64);
    let all = kept.len() == bytes;
    Ok(Answer { status, headers: parts.headers, body: (kept, all) })
}

/// Reads and counts the body, and keeps the first of it.
async fn count(
    mut body: Incoming,
    most: usize,
    came: &mut f64,
) -> Result<(Vec<u8>, usize), String> {
    let (mut kept, mut bytes) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
        let Some(data) = frame.data_ref() else { continue };
        bytes += data.len();
        *came += data.len() as f64;
        kept.extend_from_slice(&data[..data.len().min(most - kept.len())]);
        if bytes > MAX_BODY_BYTES {
            return Err(format!("the answer is longer than {} MiB", MAX_BODY_BYTES >> 20));
        }
    }
    Ok((kept, bytes))
}

/// What runs beside one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks(Arc<Mutex<Vec<AbortHandle>>>);

impl Tasks {
    /// None yet, and what ends them.
    pub(super) fn ended_on_drop() -> (Self, EndOnDrop) {
        let tasks = Self::default();
        (tasks.clone(), EndOnDrop(tasks))
    }

    pub(super) fn run(&self, task: impl Future<Output: Send> + Send + 'static) {
        // What it fails with, the request fails with too.
        let task = tokio::spawn(async move { drop(task.await) });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task.abort_handle());
    }
}

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.run(task);
    }
}

pub(super) struct EndOnDrop(Tasks);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        for task in self.0.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}
