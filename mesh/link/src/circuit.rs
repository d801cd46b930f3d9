//! QUIC inside a stream: what carries a connection of two nodes through a third.
//!
//! What comes in: a stream whose other end is a peer's, by way of a relay. What goes out: a quinn
//! endpoint with that one peer on it, so that a relayed connection is judged, watched and closed by
//! the very code of a direct one: TLS 1.3 with SVIDs end to end, Hello each way, close codes. The relay
//! forwards packets that it cannot read, and an altered one is dropped like any damaged datagram.
//! What must never happen: that a packet waits in an unbounded queue, or that the connection outlives
//! the stream.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use quinn::udp::{RecvMeta, Transmit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Largest packet: a stream has no datagram limit of a path, and fewer packets cost less.
const MAX_PACKET: u16 = 8 * 1024;
/// Packets that wait for the stream, each way; more wait in the connection, which slows down.
const MAX_WAITING: usize = 64;

/// Both sides' QUIC configuration for circuits: as for UDP, with larger packets.
#[derive(Clone)]
pub(crate) struct Configs {
    pub(crate) server: quinn::ServerConfig,
    pub(crate) client: quinn::ClientConfig,
}

impl Configs {
    /// From those of the UDP port and a transport configuration that nobody shares.
    pub(crate) fn new(
        mut server: quinn::ServerConfig,
        mut client: quinn::ClientConfig,
        mut transport: quinn::TransportConfig,
    ) -> Self {
        transport.initial_mtu(MAX_PACKET).min_mtu(MAX_PACKET).mtu_discovery_config(None);
        let transport = Arc::new(transport);
        // One peer, whose address means nothing: there is nobody to validate or to move.
        server.transport_config(transport.clone()).max_incoming(1).migration(false);
        client.transport_config(transport);
        Self { server, client }
    }
}

/// An endpoint whose only peer is at the other end of `stream`, and that peer's made-up address.
///
/// # Errors
/// Those of quinn, which knows none for such a socket.
pub(crate) fn endpoint<S>(
    stream: S,
    server: Option<quinn::ServerConfig>,
) -> io::Result<(quinn::Endpoint, SocketAddr)>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reader, writer) = tokio::io::split(stream);
    let (to_stream, outgoing) = mpsc::channel(MAX_WAITING);
    let (arriving, from_stream) = mpsc::channel(MAX_WAITING);
    tokio::spawn(read(reader, arriving));
    tokio::spawn(write(writer, outgoing));
    let (local, remote) = addresses();
    let from_stream = Mutex::new(from_stream);
    let socket = Arc::new(Socket { local, remote, to_stream, from_stream });
    let mut config = quinn::EndpointConfig::default();
    config.max_udp_payload_size(MAX_PACKET).map_err(io::Error::other)?;
    let runtime = Arc::new(quinn::TokioRuntime);
    let endpoint = quinn::Endpoint::new_with_abstract_socket(config, server, socket, runtime)?;
    Ok((endpoint, remote))
}

/// Two addresses of the prefix that leads nowhere (RFC 6666), anew for each circuit.
fn addresses() -> (SocketAddr, SocketAddr) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let ip = IpAddr::V6(Ipv6Addr::from_bits((0x0100_u128 << 112) | u128::from(number)));
    (SocketAddr::new(ip, 1), SocketAddr::new(ip, 2))
}

async fn read(mut stream: impl AsyncRead + Unpin, arriving: mpsc::Sender<Vec<u8>>) {
    loop {
        // An error ends the circuit as the stream's end does: the queue closes.
        let Ok(length) = stream.read_u16().await else { return };
        if length > MAX_PACKET {
            return;
        }
        let mut packet = vec![0; usize::from(length)];
        if stream.read_exact(&mut packet).await.is_err() || arriving.send(packet).await.is_err() {
            return;
        }
    }
}

async fn write(mut stream: impl AsyncWrite + Unpin, mut outgoing: mpsc::Receiver<Vec<u8>>) {
    while let Some(mut packets) = outgoing.recv().await {
        while packets.len() < usize::from(u16::MAX)
            && let Ok(more) = outgoing.try_recv()
        {
            packets.extend_from_slice(&more);
        }
        if stream.write_all(&packets).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    // The last words are out; an error leaves nothing to be done.
    drop(stream.shutdown().await);
}

struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    to_stream: mpsc::Sender<Vec<u8>>,
    from_stream: Mutex<mpsc::Receiver<Vec<u8>>>,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Socket({})", self.local)
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the circuit has ended")
}

impl quinn::AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn quinn::UdpPoller>> {
        Box::pin(Poller { to_stream: self.to_stream.clone(), waiting: Mutex::new(None) })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Ok(length) = u16::try_from(transmit.contents.len()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "packet too long"));
        };
        let mut packet = Vec::with_capacity(2 + transmit.contents.len());
        packet.extend_from_slice(&length.to_be_bytes());
        packet.extend_from_slice(transmit.contents);
        self.to_stream.try_send(packet).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => io::ErrorKind::WouldBlock.into(),
            mpsc::error::TrySendError::Closed(_) => ended(),
        })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut from_stream = self.from_stream.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(buffer), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        loop {
            let Some(packet) = futures::ready!(from_stream.poll_recv(cx)) else {
                return Poll::Ready(Err(ended()));
            };
            // A packet that quinn has no room for is none of ours.
            let Some(room) = buffer.get_mut(..packet.len()) else { continue };
            room.copy_from_slice(&packet);
            *meta = RecvMeta::default();
            meta.addr = self.remote;
            meta.len = packet.len();
            meta.stride = packet.len();
            return Poll::Ready(Ok(1));
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

type Waiting = BoxFuture<'static, io::Result<()>>;

/// Waits for room in the queue to the stream.
struct Poller {
    to_stream: mpsc::Sender<Vec<u8>>,
    // A lock only because quinn asks for `Sync`; there is one task.
    waiting: Mutex<Option<Waiting>>,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Poller")
    }
}

impl quinn::UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut slot = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = slot.get_or_insert_with(|| {
            let to_stream = self.to_stream.clone();
            // The room is not kept: another sender of the circuit may take it, and quinn asks again.
            async move { to_stream.reserve().await.map(drop).map_err(|_| ended()) }.boxed()
        });
        let result = futures::ready!(waiting.poll_unpin(cx));
        *slot = None;
        Poll::Ready(result)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use holm_certs::{
        BundleMap, Identity, NodeKey, RevocationSet, RootAuthority, SpiffeId, TrustDomain,
    };
    use holm_model::{Millis, NodeName, SiteId};
    use tokio::io::DuplexStream;

    use super::*;
    use crate::config::Limits;
    use crate::transport::configure;

    const MARKER: &[u8] = b"a sentence that nobody between the two may read";

    fn configs() -> [Configs; 2] {
        let now = Millis::now();
        let domain = TrustDomain::new("example.org").expect("valid");
        let root = RootAuthority::create(&domain, now).expect("a root");
        let issuer = root.create_issuer(now).expect("an issuer");
        ["berlin", "tokyo"].map(|site| {
            let key = NodeKey::generate().expect("a key");
            let site = SiteId::new(site).expect("valid");
            let id = SpiffeId::node(&domain, &site, &NodeName::new("a").expect("valid"));
            let chain = issuer
                .issue_svid(key.public_key(), &id, Duration::from_secs(3600), now)
                .expect("issued");
            let bundles = BundleMap::of(root.bundle().expect("a bundle"));
            let identity =
                Identity::new(key, chain, bundles, RevocationSet::default(), now).expect("valid");
            configure(&identity, &Limits::default()).expect("configured").2
        })
    }

    async fn connect(
        one: DuplexStream,
        other: DuplexStream,
    ) -> Result<[quinn::Connection; 2], quinn::ConnectionError> {
        let [client, server] = configs();
        let (dialling, to) = endpoint(one, None).expect("an endpoint");
        let (listening, _) = endpoint(other, Some(server.server)).expect("an endpoint");
        let connecting = dialling.connect_with(client.client, to, "x").expect("starts");
        let accept = async {
            match listening.accept().await {
                Some(incoming) => incoming.accept()?.await,
                None => Err(quinn::ConnectionError::LocallyClosed),
            }
        };
        let (dialled, accepted) = tokio::try_join!(connecting, accept)?;
        Ok([dialled, accepted])
    }

    /// Sends a message one way and back; whether both came as they were sent.
    async fn echo(pair: &[quinn::Connection; 2], message: &[u8]) -> bool {
        let [one, other] = pair;
        let ask = async {
            let (mut send, mut recv) = one.open_bi().await.expect("opens");
            let write = async {
                send.write_all(message).await.expect("writes");
                send.finish().expect("finishes");
            };
            let (answer, ()) = tokio::join!(recv.read_to_end(usize::MAX), write);
            answer.expect("answered")
        };
        let answer = async {
            let (mut send, mut recv) = other.accept_bi().await.expect("comes");
            let said = recv.read_to_end(usize::MAX).await.expect("ends");
            send.write_all(&said).await.expect("writes");
            send.finish().expect("finishes");
            said
        };
        let (answered, said) = tokio::join!(ask, answer);
        answered == message && said == message
    }

    /// A relay that keeps what it sees, and turns a bit in every `nth` packet.
    async fn spy(
        from: tokio::io::ReadHalf<DuplexStream>,
        mut to: tokio::io::WriteHalf<DuplexStream>,
        nth: usize,
        seen: Arc<Mutex<Vec<u8>>>,
        altered: Arc<AtomicU64>,
    ) {
        let mut from = from;
        let mut count = 0;
        while let Ok(length) = from.read_u16().await {
            let mut packet = vec![0; usize::from(length)];
            if from.read_exact(&mut packet).await.is_err() {
                return;
            }
            seen.lock().expect("nobody panicked").extend_from_slice(&packet);
            count += 1;
            if count % nth == 0 {
                let middle = packet.len() / 2;
                packet[middle] ^= 0x10;
                altered.fetch_add(1, Ordering::Relaxed);
            }
            if to.write_u16(length).await.is_err() || to.write_all(&packet).await.is_err() {
                return;
            }
        }
    }

    #[tokio::test]
    async fn whoever_stands_between_reads_nothing_and_alters_nothing() {
        let (one, left) = tokio::io::duplex(64 * 1024);
        let (right, other) = tokio::io::duplex(64 * 1024);
        let (left_reads, left_writes) = tokio::io::split(left);
        let (right_reads, right_writes) = tokio::io::split(right);
        let (seen, altered) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        tokio::spawn(spy(left_reads, right_writes, 5, seen.clone(), altered.clone()));
        tokio::spawn(spy(right_reads, left_writes, 5, seen.clone(), altered.clone()));
        let pair = connect(one, other).await.expect("connects all the same");
        assert!(echo(&pair, &MARKER.repeat(5_000)).await);
        assert!(altered.load(Ordering::Relaxed) > 5);
        let seen = seen.lock().expect("nobody panicked");
        assert!(seen.len() > 2 * 5_000 * MARKER.len(), "all of it went through");
        for secret in [MARKER, b"spiffe://example.org", b"berlin"] {
            assert!(!seen.windows(secret.len()).any(|window| window == secret));
        }
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_stream_and_not_at_a_timeout() {
        let (one, left) = tokio::io::duplex(64 * 1024);
        let (right, other) = tokio::io::duplex(64 * 1024);
        let (cut, when) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            let (mut left, mut right) = (left, right);
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut left, &mut right) => {}
                _ = when => {}
            }
        });
        let [dialled, accepted] = connect(one, other).await.expect("connects");
        cut.send(()).expect("the relay runs");
        for connection in [dialled, accepted] {
            let error = connection.closed().await;
            assert!(!matches!(error, quinn::ConnectionError::TimedOut), "{error}");
        }
    }

    #[tokio::test]
    async fn what_is_no_circuit_makes_no_connection() {
        let (one, mut other) = tokio::io::duplex(64 * 1024);
        let [client, _] = configs();
        let (dialling, to) = endpoint(one, None).expect("an endpoint");
        let connecting = dialling.connect_with(client.client, to, "x").expect("starts");
        // Longer than any packet, then nonsense.
        other.write_all(&[0xff; 4_096]).await.expect("writes");
        assert!(connecting.await.is_err());
    }

    #[tokio::test]
    async fn much_goes_through_a_narrow_stream() {
        let (one, other) = tokio::io::duplex(512);
        let pair = connect(one, other).await.expect("connects");
        assert!(echo(&pair, &MARKER.repeat(40_000)).await);
        crate::error::CloseCode::Revoked.close(&pair[0], "revoked");
        let error = pair[1].closed().await;
        let quinn::ConnectionError::ApplicationClosed(frame) = error else {
            panic!("closed with {error}")
        };
        assert_eq!(&frame.reason[..], b"revoked", "the reason of a close comes through");
    }
}
