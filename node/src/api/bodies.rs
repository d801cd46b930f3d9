//! Bodies of requests that are too long: what their senders are told, and that they are told it.
//!
//! Who still sends when the answer comes and the connection closes often sees a broken pipe and no answer: what comes
//! is read and let go of for a while first.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use super::error::{ErrorCode, PendingError};

/// As much of a body that is refused is read, and for as long.
const MAX_REST_BYTES: usize = 16 << 20;
const MAX_REST_TIME: Duration = Duration::from_secs(10);

/// The answer to a body that is longer than `most` bytes.
pub(super) fn too_long(most: usize, remedy: &str) -> Response {
    let mut response = StatusCode::PAYLOAD_TOO_LARGE.into_response();
    let message =
        format!("the body is longer than {most} bytes, the most that is read here; {remedy}");
    response.extensions_mut().insert(PendingError(ErrorCode::BadRequest, message));
    response
}

/// Says of bodies that the framework refused how long they may be.
pub(super) async fn told<const MOST: usize>(response: Response) -> Response {
    let known = response.extensions().get::<PendingError>().is_some();
    if response.status() != StatusCode::PAYLOAD_TOO_LARGE || known {
        return response;
    }
    too_long(
        MOST,
        "shorten it, or send it in several requests; a long text belongs elsewhere, with a link to it here",
    )
}

/// The body of a request, also after who answers it let go of it.
pub(super) struct Rest(Arc<Mutex<Body>>);

/// The same, for who answers.
struct Shared(Arc<Mutex<Body>>);

fn lock(body: &Mutex<Body>) -> MutexGuard<'_, Body> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *lock(&self.0)).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0).size_hint()
    }
}

impl Rest {
    /// Takes a request's body aside; who answers reads it as before.
    pub(super) fn of(request: Request) -> (Request, Self) {
        let (parts, body) = request.into_parts();
        let body = Arc::new(Mutex::new(body));
        let shared = Body::new(Shared(Arc::clone(&body)));
        (Request::from_parts(parts, shared), Self(body))
    }

    /// Reads what still comes, within bounds.
    pub(super) async fn read(self) {
        let mut rest = Shared(self.0);
        let read = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = rest.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > MAX_REST_BYTES {
                    break;
                }
            }
        };
        // Who takes longer may see a broken pipe.
        let _in_time = tokio::time::timeout(MAX_REST_TIME, read).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A body of so many pieces of a KiB, and how many of them were read.
    fn pieces(count: usize) -> (Body, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let pieces = (0..count).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from(vec![0; 1_024]))
        });
        (Body::from_stream(futures::stream::iter(pieces)), read)
    }

    #[tokio::test]
    async fn what_is_still_sent_is_read_within_bounds() {
        for (count, expected) in [(1_000, 1_000), (100_000, MAX_REST_BYTES / 1_024 + 1)] {
            let (body, read) = pieces(count);
            let (request, rest) = Rest::of(Request::new(body));
            // As an extractor does: the beginning only.
            let mut body = request.into_body();
            body.frame().await.expect("a piece").expect("read");
            drop(body);
            rest.read().await;
            let most = expected + 1;
            assert!((expected..=most).contains(&read.load(Ordering::Relaxed)), "{count}");
        }
    }

    #[tokio::test]
    async fn the_innermost_bound_is_told() {
        let plain = || StatusCode::PAYLOAD_TOO_LARGE.into_response();
        let text = |response: Response| {
            let told = response.extensions().get::<PendingError>().cloned();
            told.map(|PendingError(_, text)| text).unwrap_or_default()
        };
        let inner = told::<4_096>(plain()).await;
        let outer = text(told::<64>(inner).await);
        assert!(outer.starts_with("the body is longer than 4096 bytes"), "{outer}");
        assert!(outer.contains("several requests"), "{outer}");
        assert_eq!(text(told::<64>(StatusCode::OK.into_response()).await), "");
    }
}
