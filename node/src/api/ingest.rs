//! Requests of anybody whose signature is the credential: how their bodies come in, and what became of those that
//! were refused.
//!
//! Who sends slowly takes nothing from others: what counts is how many bodies one address sends at once, and how
//! many bytes of all are in memory. A place for the work itself is taken when a body is whole.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::{ApiError, ErrorCode};
use super::recorded_changes_types::IngestRefusals;

/// Longest body, in bytes.
pub(super) const MAX_BODY_BYTES: usize = holm_change::MAX_BODY_BYTES;
/// Bodies that come in at once from one address (of IPv6: one /64), and from all.
const MAX_FROM_ADDRESS: usize = 16;
const MAX_READING: usize = 1_024;
/// Bytes of bodies that are in memory at once.
const MAX_BYTES: usize = 32 << 20;
/// How long the body of one may take.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// Requests that are worked on at once, and how long one waits for that.
const MAX_AT_ONCE: usize = 32;
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// What comes in, and what became of requests that were refused.
#[derive(Debug)]
pub(crate) struct Ingest {
    reading: Mutex<HashMap<IpAddr, usize>>,
    bytes: AtomicUsize,
    places: Semaphore,
    pub(super) refused: Refused,
}

/// Refused requests, by reason.
#[derive(Debug, Default)]
pub(super) struct Refused {
    pub(super) unknown: AtomicU64,
    pub(super) signature: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) size: AtomicU64,
    pub(super) unread: AtomicU64,
    pub(super) busy: AtomicU64,
    pub(super) body: AtomicU64,
    pub(super) write: AtomicU64,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            reading: Mutex::default(),
            bytes: AtomicUsize::new(0),
            places: Semaphore::new(MAX_AT_ONCE),
            refused: Refused::default(),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Why a body was not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    TooLong,
    Broken,
    Busy,
}

/// A body that came in whole, and its room.
#[derive(Debug)]
pub(super) struct Whole<'a> {
    pub(super) body: Bytes,
    _room: Room<'a>,
}

/// Bytes that are in memory, until it is dropped.
#[derive(Debug)]
struct Room<'a> {
    of: &'a Ingest,
    bytes: usize,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Room<'_> {
    /// Takes so many more; whether there was room for them.
    fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.of.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= MAX_BYTES
    }
}

/// A body of an address that comes in, until it is dropped.
struct Reading<'a> {
    of: &'a Ingest,
    address: IpAddr,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut reading = self.of.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = reading.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                reading.remove(&self.address);
            }
        }
    }
}

/// One sender: of IPv6 all addresses of a /64 may be one's own.
fn sender_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

impl Ingest {
    fn begin(&self, address: IpAddr) -> Option<Reading<'_>> {
        let address = sender_of(address);
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let own = reading.get(&address).copied().unwrap_or(0);
        if own >= MAX_FROM_ADDRESS || reading.values().sum::<usize>() >= MAX_READING {
            return None;
        }
        reading.insert(address, own + 1);
        Some(Reading { of: self, address })
    }

    /// The whole body of a request from an address.
    pub(super) async fn whole(&self, address: IpAddr, body: Body) -> Result<Whole<'_>, Unread> {
        self.whole_within(address, body, MAX_BODY_BYTES).await
    }

    /// The same with another bound in bytes.
    pub(super) async fn whole_within(
        &self,
        address: IpAddr,
        body: Body,
        most: usize,
    ) -> Result<Whole<'_>, Unread> {
        let Some(_reading) = self.begin(address) else { return Err(Unread::Busy) };
        let mut room = Room { of: self, bytes: 0 };
        let read = async {
            let mut body = Limited::new(body, most);
            let mut whole = Vec::new();
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else {
                    let error = frame.err();
                    let long = error.is_some_and(|error| is_length(&*error));
                    return Err(if long { Unread::TooLong } else { Unread::Broken });
                };
                let Ok(data) = frame.into_data() else { continue };
                if !room.grow(data.len()) {
                    return Err(Unread::Busy);
                }
                whole.extend_from_slice(&data);
            }
            Ok(whole)
        };
        let whole = tokio::time::timeout(READ_LIMIT, read).await.unwrap_or(Err(Unread::Broken))?;
        Ok(Whole { body: whole.into(), _room: room })
    }

    /// A place for the work on a body that is whole.
    pub(super) async fn place(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        match tokio::time::timeout(WAIT_LIMIT, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(self.busy()),
        }
    }

    /// Counts and says that there is no room now.
    pub(super) fn busy(&self) -> ApiError {
        count(&self.refused.busy);
        let busy = "this node reads as many requests at once as it may, of all or of your address; send it again";
        let error = ApiError::new(ErrorCode::RateLimited, busy);
        ApiError { retry_after_s: Some(5), ..error }
    }

    /// Counts and says that a body did not come in whole.
    pub(super) fn broken(&self) -> ApiError {
        count(&self.refused.unread);
        ApiError::bad_request("the body did not come in whole within 10 s; send it again")
    }

    /// How many were refused since the node started, by reason.
    pub(super) fn refusals(&self) -> IngestRefusals {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let refused = &self.refused;
        IngestRefusals {
            unknown: of(&refused.unknown),
            signature: of(&refused.signature),
            stale: of(&refused.stale),
            size: of(&refused.size),
            unread: of(&refused.unread),
            busy: of(&refused.busy),
            body: of(&refused.body),
            write: of(&refused.write),
        }
    }
}

fn is_length(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(cause) = error {
        if cause.is::<LengthLimitError>() {
            return true;
        }
        error = cause.source();
    }
    false
}

/// A header as text.
pub(super) fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A body that never ends and never says anything.
    fn silent() -> Body {
        Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>())
    }

    #[tokio::test]
    async fn who_sends_slowly_keeps_nobody_else_out() {
        let ingest: Arc<Ingest> = Arc::default();
        let slow = IpAddr::from([192, 0, 2, 1]);
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let of = Arc::clone(&ingest);
                tokio::spawn(async move { of.whole(slow, silent()).await.err() })
            })
            .collect();
        let full = || ingest.reading.lock().expect("held")[&slow] == MAX_FROM_ADDRESS;
        while ingest.reading.lock().expect("held").is_empty() || !full() {
            tokio::task::yield_now().await;
        }
        assert_eq!(ingest.whole(slow, "x".into()).await.err(), Some(Unread::Busy));
        let other = IpAddr::from([192, 0, 2, 2]);
        let whole = ingest.whole(other, "x".into()).await.expect("read");
        assert_eq!(&whole.body[..], b"x");
        assert!(ingest.place().await.is_ok(), "nobody works yet");
        tasks.into_iter().for_each(|task| task.abort());
    }

    #[tokio::test]
    async fn bytes_are_counted_and_given_back() {
        let ingest = Ingest::default();
        let from = |n: u8| IpAddr::from([192, 0, 2, n]);
        let body = || Body::from(vec![0; MAX_BODY_BYTES]);
        let mut held = Vec::new();
        for n in 0..32 {
            held.push(ingest.whole(from(n), body()).await.expect("there is room"));
        }
        assert_eq!(ingest.whole(from(99), body()).await.err(), Some(Unread::Busy));
        let long = Body::from(vec![0; MAX_BODY_BYTES + 1]);
        held.pop();
        assert!(ingest.whole(from(99), body()).await.is_ok());
        assert_eq!(ingest.whole(from(99), long).await.err(), Some(Unread::TooLong));
        drop(held);
        assert_eq!(ingest.bytes.load(Ordering::Relaxed), 0);
        assert!(ingest.reading.lock().expect("held").is_empty());
        let v6 = |text: &str| sender_of(text.parse().expect("valid"));
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:1:2:3"));
        assert_eq!(v6("::ffff:192.0.2.1"), from(1));
    }
}
