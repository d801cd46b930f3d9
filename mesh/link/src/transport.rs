//! libp2p's transport over one quinn endpoint.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p_core::Multiaddr;
use libp2p_core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use libp2p_identity::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::circuit;
use crate::driver::Internal;
use crate::error::{HandshakeError, LinkError};
use crate::handshake::{self, Way};
use crate::muxer::Muxer;
use crate::nat_streams::{self, Arrived};
use crate::peer::{canonical, circuit_to, from_circuit, from_multiaddr, to_multiaddr};
use crate::shared::Shared;

/// Our application protocol: versioned, and none of libp2p's, so that a stock peer cannot half connect.
pub(crate) const ALPN: &[u8] = b"holm/1";

/// Streams that a peer may have open at once.
const MAX_STREAMS: u32 = 256;
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// Datagrams that begin a connection and wait to be looked at.
const MAX_INCOMING: usize = 1_024;

type Upgrade = BoxFuture<'static, Result<(PeerId, Muxer), HandshakeError>>;

/// The endpoint on the one UDP port, and circuits through other nodes.
pub(crate) struct HolmTransport {
    shared: Arc<Shared>,
    endpoint: quinn::Endpoint,
    listener: Option<Listener>,
    handshakes: Arc<Semaphore>,
    /// To the event loop, which knows the relays.
    events: mpsc::Sender<Internal>,
    /// Circuits that others made to this node.
    arrived: mpsc::Receiver<Arrived>,
}

struct Listener {
    id: ListenerId,
    /// Addresses that libp2p was not told of yet. Concrete ones: mDNS answers on each interface with
    /// the addresses of that interface alone.
    unannounced: Vec<SocketAddr>,
    next: BoxFuture<'static, Option<quinn::Incoming>>,
}

impl HolmTransport {
    pub(crate) fn new(
        shared: Arc<Shared>,
        endpoint: quinn::Endpoint,
        events: mpsc::Sender<Internal>,
        arrived: mpsc::Receiver<Arrived>,
    ) -> Self {
        let handshakes = Arc::new(Semaphore::new(shared.config.limits.handshakes));
        Self { shared, endpoint, listener: None, handshakes, events, arrived }
    }

    /// What to do with a datagram that would begin a connection.
    fn admit(&self, incoming: quinn::Incoming) -> Option<(quinn::Incoming, OwnedSemaphorePermit)> {
        if self.shared.paused().is_some() {
            self.shared.count("incoming_while_paused");
            incoming.refuse();
            return None;
        }
        let limit = self.shared.config.limits.handshakes;
        let free = self.handshakes.available_permits();
        if !incoming.remote_address_validated() && free * 4 < limit * 3 {
            self.shared.count("incoming_retried");
            // Fails only for an address that was validated already.
            drop(incoming.retry());
            return None;
        }
        let Ok(permit) = self.handshakes.clone().try_acquire_owned() else {
            self.shared.count("incoming_dropped");
            incoming.ignore();
            return None;
        };
        Some((incoming, permit))
    }

    /// Judges whoever is at the other end of a circuit, under the same limit as those who come directly.
    fn take(&self, arrived: Arrived) -> Upgrade {
        let shared = self.shared.clone();
        let Ok(permit) = self.handshakes.clone().try_acquire_owned() else {
            shared.count("incoming_dropped");
            let limit = shared.config.limits.handshakes;
            return futures::future::ready(Err(HandshakeError::Busy { limit })).boxed();
        };
        async move {
            let _permit = permit;
            nat_streams::accept(arrived, shared).await
        }
        .boxed()
    }
}

impl Transport for HolmTransport {
    type Output = (PeerId, Muxer);
    type Error = HandshakeError;
    type ListenerUpgrade = Upgrade;
    type Dial = Upgrade;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        if self.listener.is_some() || from_multiaddr(&address).is_none() {
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        let unannounced = self.endpoint.local_addr().map(reachable).unwrap_or_default();
        self.listener = Some(Listener { id, unannounced, next: next(&self.endpoint) });
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.listener.take_if(|listener| listener.id == id).is_some()
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        _: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        let shared = self.shared.clone();
        // Nothing happens until polled.
        if let Some(peer) = from_circuit(&address) {
            return Ok(nat_streams::dial(peer, shared, self.events.clone()).boxed());
        }
        let Some((address, expected)) = from_multiaddr(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        // The listener's own endpoint, so that a NAT sees one port.
        let (endpoint, client) = (self.endpoint.clone(), shared.quic.client.clone());
        let way = Way { address, via: None };
        Ok(handshake::dial(endpoint, client, address, way, expected, shared).boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        loop {
            let this = &mut *self;
            let Some(listener) = &mut this.listener else { return Poll::Pending };
            let listener_id = listener.id;
            let Ok(local) = this.endpoint.local_addr() else { return Poll::Pending };
            let local_addr = to_multiaddr(local);
            if let Some(address) = listener.unannounced.pop() {
                let listen_addr = to_multiaddr(address);
                return Poll::Ready(TransportEvent::NewAddress { listener_id, listen_addr });
            }
            if let Poll::Ready(Some(arrived)) = this.arrived.poll_recv(cx) {
                let local_addr = circuit_to(this.shared.local);
                let send_back_addr = circuit_to(arrived.from);
                let upgrade = this.take(arrived);
                return Poll::Ready(TransportEvent::Incoming {
                    listener_id,
                    upgrade,
                    local_addr,
                    send_back_addr,
                });
            }
            let Some(incoming) = futures::ready!(listener.next.poll_unpin(cx)) else {
                this.listener = None;
                return Poll::Ready(TransportEvent::ListenerClosed { listener_id, reason: Ok(()) });
            };
            listener.next = next(&this.endpoint);
            let Some((incoming, permit)) = this.admit(incoming) else { continue };
            let address = canonical(incoming.remote_address());
            let send_back_addr = to_multiaddr(address);
            let shared = this.shared.clone();
            let way = Way { address, via: None };
            let upgrade = async move {
                let _permit = permit;
                handshake::accept(incoming, way, shared).await
            }
            .boxed();
            return Poll::Ready(TransportEvent::Incoming {
                listener_id,
                upgrade,
                local_addr,
                send_back_addr,
            });
        }
    }
}

fn next(endpoint: &quinn::Endpoint) -> BoxFuture<'static, Option<quinn::Incoming>> {
    let endpoint = endpoint.clone();
    async move { endpoint.accept().await }.boxed()
}

/// Binds the one UDP port. An IPv6 wildcard takes IPv4 too where the system allows it.
pub(crate) fn bind(address: SocketAddr) -> Result<std::net::UdpSocket, LinkError> {
    let failed = |source| LinkError::Bind { address, source };
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))
        .map_err(failed)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // Without it the socket serves IPv6 alone, which is no reason not to start.
        drop(socket.set_only_v6(false));
    }
    socket.set_nonblocking(true).map_err(failed)?;
    socket.bind(&address.into()).map_err(failed)?;
    Ok(socket.into())
}

/// Both sides' QUIC configuration for this identity.
pub(crate) fn configure(
    identity: &holm_certs::Identity,
    limits: &crate::config::Limits,
) -> Result<(quinn::ServerConfig, quinn::ClientConfig, circuit::Configs), LinkError> {
    let bad = |error: String| LinkError::Identity(error);
    let server = identity.quic_server_config(ALPN).map_err(|e| bad(e.to_string()))?;
    let server = quinn::crypto::rustls::QuicServerConfig::try_from(server)
        .map_err(|error| bad(error.to_string()))?;
    let client = identity.quic_client_config(ALPN).map_err(|e| bad(e.to_string()))?;
    let client = quinn::crypto::rustls::QuicClientConfig::try_from(client)
        .map_err(|error| bad(error.to_string()))?;
    let transport = Arc::new(transport_config(limits)?);
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(server));
    server.transport_config(transport.clone()).max_incoming(MAX_INCOMING);
    let mut client = quinn::ClientConfig::new(Arc::new(client));
    client.transport_config(transport);
    let circuits = circuit::Configs::new(server.clone(), client.clone(), transport_config(limits)?);
    Ok((server, client, circuits))
}

fn transport_config(limits: &crate::config::Limits) -> Result<quinn::TransportConfig, LinkError> {
    let idle = Duration::from_millis(limits.idle_ms);
    let idle_timeout = quinn::IdleTimeout::try_from(idle)
        .map_err(|error| LinkError::Identity(format!("idle_ms: {error}")))?;
    let mut config = quinn::TransportConfig::default();
    config
        .max_concurrent_bidi_streams(MAX_STREAMS.into())
        .max_concurrent_uni_streams(0_u32.into())
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(idle_timeout))
        .keep_alive_interval(Some(idle / 3))
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(u64::from(CONNECTION_WINDOW));
    Ok(config)
}

/// Addresses under which a socket bound to `local` can be reached: itself, or for a wildcard those of
/// the interfaces, loopback only if there is nothing else.
pub(crate) fn reachable(local: SocketAddr) -> Vec<SocketAddr> {
    if !local.ip().is_unspecified() {
        return vec![local];
    }
    let fits = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => true,
        // A link-local address means nothing without its interface.
        IpAddr::V6(ip) => local.is_ipv6() && !ip.is_unicast_link_local(),
    };
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let all: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).filter(fits).collect();
    let (loopback, others): (Vec<IpAddr>, Vec<IpAddr>) =
        all.into_iter().partition(IpAddr::is_loopback);
    let chosen = if others.is_empty() { loopback } else { others };
    chosen.into_iter().map(|ip| SocketAddr::new(ip, local.port())).collect()
}
