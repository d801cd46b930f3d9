//! Listeners: HTTPS for everyone, plain HTTP on loopback only. Connections are bounded, and each
//! has a time limit for its handshake and its request head.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::error::ApiError;
use super::idle::Idle;

const MAX_CONNECTIONS: usize = 1_024;
/// Most of them from one address: one client alone must not keep all others out.
const MAX_FROM_ADDRESS: usize = 256;
/// Longest silence on a connection. Event streams say something every 15 s.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const HEAD_LIMIT: Duration = Duration::from_secs(15);

/// The peer's address of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientAddress(pub(crate) SocketAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts
            .extensions
            .get::<Self>()
            .copied()
            .ok_or_else(|| ApiError::internal("the connection has no peer address"))
    }
}

/// Counters of the listeners.
#[derive(Debug, Default)]
pub(crate) struct ServeCounters {
    pub(crate) connections: AtomicU64,
    pub(crate) refused_full: AtomicU64,
    pub(crate) refused_address: AtomicU64,
    pub(crate) failed_handshakes: AtomicU64,
    pub(crate) failed_accepts: AtomicU64,
    /// Requests whose body was longer than it may be.
    pub(crate) bodies_too_long: AtomicU64,
}

/// Where the TLS configuration of the next connection comes from: it changes at renewal.
pub(crate) type TlsSource = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

/// One listener with what it serves.
pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) counters: Arc<ServeCounters>,
    pub(crate) shutdown: CancellationToken,
}

impl Server {
    /// Serves until shutdown; `tls: None` is plain HTTP and for loopback only.
    pub(crate) async fn run(self, listener: TcpListener, tls: Option<TlsSource>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let shares = Arc::default();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shutdown.cancelled() => return,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, say: waiting lets connections end.
                    self.counters.failed_accepts.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.counters.refused_full.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let Some(share) = Share::take(&shares, address.ip()) else {
                self.counters.refused_address.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            self.counters.connections.fetch_add(1, Ordering::Relaxed);
            let tls = tls.as_ref().map(|source| TlsAcceptor::from(source()));
            let connection = Connection {
                router: self.router.clone(),
                counters: Arc::clone(&self.counters),
                shutdown: self.shutdown.clone(),
                address,
            };
            tokio::spawn(async move {
                connection.accept(stream, tls).await;
                drop((place, share));
            });
        }
    }
}

/// A place that an address takes, until it is dropped.
struct Share {
    shares: Shares,
    address: IpAddr,
}

/// How many connections each address has.
type Shares = Arc<Mutex<HashMap<IpAddr, usize>>>;

impl Share {
    fn take(shares: &Shares, address: IpAddr) -> Option<Self> {
        let mut taken = shares.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= MAX_FROM_ADDRESS {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Self { shares: Arc::clone(shares), address })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

struct Connection {
    router: Router,
    counters: Arc<ServeCounters>,
    shutdown: CancellationToken,
    address: SocketAddr,
}

impl Connection {
    async fn accept(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        // Small answers must not wait for an acknowledgement; a failure costs only speed.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else { return self.serve(stream).await };
        match tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(_)) | Err(_) => {
                self.counters.failed_handshakes.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { router, shutdown, address, .. } = self;
        let service = hyper::service::service_fn(move |request: hyper::Request<_>| {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ClientAddress(address));
            router.clone().oneshot(request)
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(128)
            .keep_alive_interval(Duration::from_secs(20));
        let connection =
            builder.serve_connection(TokioIo::new(Idle::new(stream, IDLE_LIMIT)), service);
        // An error here is a client that went away or spoke nonsense: nothing of ours.
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => {}
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(Duration::from_secs(1), connection).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_every_place() {
        let shares = Shares::default();
        let (greedy, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut taken: Vec<Share> =
            (0..MAX_FROM_ADDRESS).map_while(|_| Share::take(&shares, greedy)).collect();
        assert_eq!(taken.len(), MAX_FROM_ADDRESS);
        assert!(Share::take(&shares, greedy).is_none());
        assert!(Share::take(&shares, other).is_some());
        taken.pop();
        assert!(Share::take(&shares, greedy).is_some(), "a place that ends is free again");
        taken.clear();
        assert!(shares.lock().expect("not poisoned").is_empty(), "nothing is left behind");
    }
}
