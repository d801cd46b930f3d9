//! Connections over QUIC (RFC 9000, RFC 9001): one handshake opens the connection and agrees on TLS.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, TransportConfig, VarInt,
};

use super::tls::{self, Offer, Seen};
use super::{Roots, left};

/// Most bytes that a server may send before they are read: of a stream, and of all.
const WINDOW: u32 = 1 << 20;
/// A server that says nothing for so long is gone, whatever the probe's time is.
const IDLE: Duration = Duration::from_secs(300);

/// A connection of one probe; it ends with it.
pub(super) struct Quic {
    pub(super) connection: Connection,
    /// Its socket.
    _endpoint: Endpoint,
    pub(super) seen: Seen,
    /// What is said when it ends: "no error" of who speaks over it. 0 is that of DNS (RFC 9250 §4.3).
    pub(super) no_error: u32,
}

impl Drop for Quic {
    fn drop(&mut self) {
        self.connection.close(VarInt::from_u32(self.no_error), b"");
    }
}

/// Opens a connection to `server`, which `name` stands for. The server may open `uni_streams` streams of its own.
pub(super) async fn connect(
    server: SocketAddr,
    name: &str,
    roots: Option<&Roots>,
    offer: Offer<'_>,
    uni_streams: u32,
    until: Instant,
) -> Result<Quic, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{server} over QUIC: {error}");
    let (config, seen) = tls::client(roots, offer)?;
    let config = QuicClientConfig::try_from(config).map_err(|error| failed(&error))?;
    let mut config = ClientConfig::new(Arc::new(config));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(uni_streams))
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IDLE.try_into().ok());
    config.transport_config(Arc::new(transport));
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any).map_err(|error| failed(&error))?;
    let runtime = Arc::new(quinn::TokioRuntime);
    let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, runtime);
    let endpoint = endpoint.map_err(|error| failed(&error))?;
    let connecting = endpoint.connect_with(config, server, name).map_err(|error| failed(&error))?;
    let late = || {
        format!(
            "{server} did not answer over QUIC in time: it is down, speaks none, or something drops UDP"
        )
    };
    match tokio::time::timeout(left(until), connecting).await {
        Ok(Ok(connection)) => Ok(Quic { connection, _endpoint: endpoint, seen, no_error: 0 }),
        Ok(Err(ConnectionError::TimedOut)) | Err(_) => Err(late()),
        Ok(Err(error)) => Err(failed(&error)),
    }
}
