//! The only way out of the browser: a proxy on the loopback address that takes one run's credential and dials nothing
//! that the [`Dialer`] does not give an address for.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Most connections of the browser at once; more wait.
const MAX_CONNECTIONS: usize = 256;
/// Most hosts of which it is kept why they were refused, or where they are.
const MAX_HOSTS: usize = 200;
const CONNECT: Duration = Duration::from_secs(20);

type Body = BoxBody<Bytes, hyper::Error>;

/// Why a host is not dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For people.
    pub why: String,
    /// The guard refused it; otherwise it was not found, or there was no room.
    pub refused: bool,
}

/// An address to be, of a host.
pub type Address<'a> = Pin<Box<dyn Future<Output = Result<IpAddr, Refusal>> + Send + 'a>>;

/// Who says which address is dialled for a host. It is asked anew for each connection, and what it gives is dialled:
/// a name that leads elsewhere a moment later gets no further.
pub trait Dialer: Sync {
    /// The address of `host`, which may be dialled now.
    fn address<'a>(&'a self, host: &'a str) -> Address<'a>;
}

/// The proxy of one run.
pub(crate) struct Proxy<'a> {
    dialer: &'a dyn Dialer,
    listener: TcpListener,
    password: String,
    seen: Mutex<Seen>,
    tunnels: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Seen {
    refused: BTreeMap<String, Refusal>,
    first: Option<IpAddr>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Proxy<'a> {
    pub(crate) async fn new(dialer: &'a dyn Dialer) -> io::Result<Self> {
        let secret: [u8; 24] = rand::random();
        Ok(Self {
            dialer,
            listener: TcpListener::bind(("127.0.0.1", 0)).await?,
            password: STANDARD.encode(secret),
            seen: Mutex::default(),
            tunnels: Mutex::new(JoinSet::new()),
        })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The user and password that the browser has to give.
    pub(crate) fn credential(&self) -> (&'static str, &str) {
        ("holm", &self.password)
    }

    /// Why a host was not dialled.
    pub(crate) fn refusal(&self, host: &str) -> Option<Refusal> {
        lock(&self.seen).refused.get(host).cloned()
    }

    /// The address that was dialled first.
    pub(crate) fn first(&self) -> Option<IpAddr> {
        lock(&self.seen).first
    }

    /// Serves for as long as it is polled; what is under way ends with the proxy.
    pub(crate) async fn serve(&self) -> Infallible {
        let mut open = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if open.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => open.push(self.connection(stream)),
                    // No descriptors: later, perhaps.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
                Some(()) = open.next(), if !open.is_empty() => {}
            }
            while lock(&self.tunnels).try_join_next().is_some() {}
        }
    }

    async fn connection(&self, stream: TcpStream) {
        let service = hyper::service::service_fn(|request| async move {
            Ok::<_, Infallible>(self.answer(request).await)
        });
        let served = hyper::server::conn::http1::Builder::new()
            .max_buf_size(256 << 10)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        // The browser sees that it broke off.
        let _ = served.await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if !self.is_known(request.headers().get(PROXY_AUTHORIZATION)) {
            let mut response = said(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "");
            let asks = HeaderValue::from_static("Basic realm=\"holm\"");
            response.headers_mut().insert(PROXY_AUTHENTICATE, asks);
            return response;
        }
        let is_tunnel = request.method() == Method::CONNECT;
        let uri = request.uri().clone();
        let (Some(host), true) = (uri.host(), is_tunnel || uri.scheme_str() == Some("http")) else {
            return said(StatusCode::BAD_REQUEST, "http and CONNECT are served here");
        };
        let port = uri.port_u16().unwrap_or(if is_tunnel { 443 } else { 80 });
        let stream = match self.dial(host, port).await {
            Ok(stream) => stream,
            Err((status, why)) => return said(status, &why),
        };
        if is_tunnel { self.tunnel(request, stream) } else { self.forward(request, stream).await }
    }

    fn is_known(&self, given: Option<&HeaderValue>) -> bool {
        let (user, password) = self.credential();
        let wanted = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        given.is_some_and(|given| given.as_bytes().ct_eq(wanted.as_bytes()).into())
    }

    async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, (StatusCode, String)> {
        let found = self.dialer.address(host).await;
        let ip = match found {
            Ok(ip) => ip,
            Err(refusal) => {
                let why = refusal.why.clone();
                let refused = &mut lock(&self.seen).refused;
                if refused.len() < MAX_HOSTS {
                    refused.insert(host.to_ascii_lowercase(), refusal);
                }
                return Err((StatusCode::FORBIDDEN, why));
            }
        };
        lock(&self.seen).first.get_or_insert(ip);
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect((ip, port))).await;
        match stream {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err((StatusCode::BAD_GATEWAY, error.to_string())),
            Err(_) => Err((StatusCode::GATEWAY_TIMEOUT, "no answer".into())),
        }
    }

    fn tunnel(&self, request: Request<Incoming>, mut stream: TcpStream) -> Response<Body> {
        let upgraded = hyper::upgrade::on(request);
        lock(&self.tunnels).spawn(async move {
            if let Ok(browser) = upgraded.await {
                let mut browser = TokioIo::new(browser);
                // Either end may break it off.
                let _ = tokio::io::copy_bidirectional(&mut browser, &mut stream).await;
            }
        });
        said(StatusCode::OK, "")
    }

    async fn forward(&self, mut request: Request<Incoming>, stream: TcpStream) -> Response<Body> {
        let asked = request.uri().clone();
        let (Some(path), Some(authority)) = (asked.path_and_query(), asked.authority()) else {
            return said(StatusCode::BAD_REQUEST, "an address is wanted");
        };
        let host = HeaderValue::from_str(authority.as_str());
        let (Ok(path), Ok(host)) = (path.as_str().parse::<Uri>(), host) else {
            return said(StatusCode::BAD_REQUEST, "an address is wanted");
        };
        *request.uri_mut() = path;
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        for own in
            ["proxy-authorization", "proxy-connection", "connection", "keep-alive", "te", "upgrade"]
        {
            headers.remove(own);
        }
        let Ok((mut sender, connection)) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await
        else {
            return said(StatusCode::BAD_GATEWAY, "it broke off");
        };
        lock(&self.tunnels).spawn(async move {
            // What broke off is seen in the answer.
            let _ = connection.await;
        });
        match sender.send_request(request).await {
            Ok(response) => response.map(BodyExt::boxed),
            Err(error) => said(StatusCode::BAD_GATEWAY, &error.to_string()),
        }
    }
}

fn said(status: StatusCode, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(text.to_owned())).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
