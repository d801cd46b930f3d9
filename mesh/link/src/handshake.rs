//! Both sides judge each other before either sees a connection.
//!
//! TLS proves who the peer is. Then the dialler says Hello on a first stream and waits; the listener
//! judges (certificate's name, mesh, version, duplicates) and answers with its own Hello, or closes
//! with a code and a reason. A TLS 1.3 client is done before the server has judged it: without this
//! barrier a refused dial would first look like a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holm_certs::VerifiedSvid;
use holm_mesh_proto::wire::{Frame, Hello, Refusal};
use holm_model::Millis;
use libp2p_identity::PeerId;
use rustls::pki_types::CertificateDer;
use tokio::io::AsyncWriteExt;

use crate::directory::{Entry, Guard};
use crate::error::{CloseCode, HandshakeError};
use crate::frame;
use crate::muxer::Muxer;
use crate::peer::{peer_id, public_key};
use crate::shared::Shared;

/// Any valid name does: it is not sent, and identity is the URI SAN.
const SERVER_NAME: &str = "holm.invalid";
/// Least time between the end of TLS and the close of a dial-back.
const SETTLE: Duration = Duration::from_millis(20);

/// How a connection's packets go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// The peer's address, or the relay's.
    pub(crate) address: SocketAddr,
    /// The relay.
    pub(crate) via: Option<PeerId>,
}

/// Dials the peer that `endpoint` reaches at `to` and is judged there.
pub(crate) async fn dial(
    endpoint: quinn::Endpoint,
    config: quinn::ClientConfig,
    to: SocketAddr,
    way: Way,
    expected: Option<PeerId>,
    shared: Arc<Shared>,
) -> Result<(PeerId, Muxer), HandshakeError> {
    if let Some(reason) = shared.paused() {
        return Err(HandshakeError::Paused(reason));
    }
    let ms = shared.config.limits.handshake_ms;
    let work = async {
        let connecting = endpoint
            .connect_with(config, to, SERVER_NAME)
            .map_err(|error| HandshakeError::Failed(error.to_string()))?;
        let begun = Millis::now();
        let connection = connecting.await.map_err(|e| not_proven(&e, &shared, begun))?;
        let proven = Proven::of(&connection, &shared)?;
        if let Some(expected) = expected.filter(|expected| *expected != proven.peer) {
            CloseCode::WrongPeer.close(&connection, "another node was dialled");
            let (expected, obtained) = (Box::new(expected), Box::new(proven.peer));
            return Err(HandshakeError::WrongPeer { expected, obtained });
        }
        let ours = shared.hello_for(&proven.peer).await;
        let hello = greet(&connection, &ours).await.map_err(|error| {
            // What the peer said when it closed tells more than that a stream broke.
            match connection.close_reason() {
                Some(reason) => closed_during_greeting(&reason, proven.peer),
                None => error,
            }
        })?;
        let guard = proven.judge(&ours, hello, true, &connection, way, &shared)?;
        Ok((guard.1, Muxer::new(connection, Some(guard.0))))
    };
    let result = match tokio::time::timeout(Duration::from_millis(ms), work).await {
        Ok(result) => result,
        Err(_) => Err(HandshakeError::Timeout { ms }),
    };
    note(&shared, way.address, "dialled", &result);
    result
}

/// Judges who dials us.
pub(crate) async fn accept(
    incoming: quinn::Incoming,
    way: Way,
    shared: Arc<Shared>,
) -> Result<(PeerId, Muxer), HandshakeError> {
    let ms = shared.config.limits.handshake_ms;
    let work = async {
        let connecting = incoming.accept().map_err(|e| HandshakeError::of(&e))?;
        let begun = Millis::now();
        let connection = connecting.await.map_err(|e| not_proven(&e, &shared, begun))?;
        let proven = Proven::of(&connection, &shared)?;
        let (mut send, mut recv) =
            connection.accept_bi().await.map_err(|e| HandshakeError::of(&e))?;
        let hello = read_hello(&mut recv, &connection).await?;
        let ours = shared.hello_for(&proven.peer).await;
        let guard = proven.judge(&ours, hello, false, &connection, way, &shared)?;
        let answer = ours.to_frame()?;
        let written = async {
            send.write_all(&answer).await?;
            send.shutdown().await
        };
        written.await.map_err(|error| HandshakeError::Failed(error.to_string()))?;
        Ok((guard.1, Muxer::new(connection, Some(guard.0))))
    };
    let result = match tokio::time::timeout(Duration::from_millis(ms), work).await {
        Ok(result) => result,
        Err(_) => Err(HandshakeError::Timeout { ms }),
    };
    note(&shared, way.address, "accepted", &result);
    result
}

/// Who answers at `address`, asked from a port that nothing was ever sent from or to: what the answer
/// proves is that the address is reached from outside.
pub(crate) async fn dial_back(
    address: SocketAddr,
    shared: &Shared,
) -> Result<PeerId, HandshakeError> {
    let failed = |error: String| HandshakeError::Failed(error);
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0; 16], 0)),
    };
    let endpoint = quinn::Endpoint::client(any).map_err(|error| failed(error.to_string()))?;
    let connection = endpoint
        .connect_with(shared.quic.client.clone(), address, SERVER_NAME)
        .map_err(|error| failed(error.to_string()))?
        .await
        .map_err(|error| HandshakeError::of(&error))?;
    let peer = Proven::of(&connection, shared)?.peer;
    // The other side is done with TLS half a round trip later, and then reads the reason.
    tokio::time::sleep(connection.rtt().max(SETTLE)).await;
    CloseCode::DialBack.close(&connection, "a dial-back: the address is reached");
    endpoint.wait_idle().await;
    Ok(peer)
}

fn note(
    shared: &Arc<Shared>,
    address: SocketAddr,
    direction: &'static str,
    result: &Result<(PeerId, Muxer), HandshakeError>,
) {
    match result {
        Ok(_) => {
            shared.count("handshakes");
            shared.set_called_revoked(false);
        }
        Err(HandshakeError::AlreadyConnected(_) | HandshakeError::Myself) => {
            shared.count("handshakes_duplicate");
        }
        Err(HandshakeError::DialBack) => shared.count("dial_backs_heard"),
        Err(error) => {
            tracing::debug!(%address, direction, %error, "handshake failed");
            match error {
                HandshakeError::DoubledKey(peer) => {
                    shared.report_doubled(peer, format!("the second at {address}"));
                }
                HandshakeError::CalledDoubled => {
                    shared.report_doubled(&shared.local, format!("the node at {address} says so"));
                }
                HandshakeError::Revoked => shared.set_called_revoked(true),
                _ => {}
            }
            shared.note_refusal(address, direction, error.to_string());
        }
    }
}

/// What TLS proved.
struct Proven {
    peer: PeerId,
    svid: VerifiedSvid,
    chain: Vec<CertificateDer<'static>>,
}

impl Proven {
    fn of(connection: &quinn::Connection, shared: &Shared) -> Result<Self, HandshakeError> {
        let bad = |reason: &str| HandshakeError::Certificate(reason.to_owned());
        let chain = connection
            .peer_identity()
            .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok())
            .ok_or_else(|| bad("none was shown"))?;
        // TLS checked the same chain a moment ago; this gives what it says, and no gap in between.
        let svid = shared
            .identity
            .verify_peer(&chain, Millis::now())
            .map_err(|error| HandshakeError::Certificate(error.to_string()))?;
        let peer = public_key(svid.spki()).ok_or_else(|| bad("its key is not P-256"))?.to_peer_id();
        Ok(Self { peer, svid, chain: *chain })
    }

    /// Judges the Hello and enters the peer; on refusal the connection is closed with the reason.
    fn judge(
        self,
        ours: &Hello,
        hello: Hello,
        we_dialled: bool,
        connection: &quinn::Connection,
        way: Way,
        shared: &Arc<Shared>,
    ) -> Result<(Guard, PeerId), HandshakeError> {
        let peer = self.peer;
        let entry = Entry {
            peer,
            svid: self.svid,
            chain: self.chain,
            hello,
            we_dialled,
            address: way.address,
            via: way.via,
            connection: connection.clone(),
        };
        let verdict = judge_entry(ours, &entry, shared)
            .and_then(|()| Guard::enter(shared, entry).map(|guard| (guard, peer)));
        if let Err(error) = &verdict {
            let (code, reason) = said_to_peer(error, shared);
            code.close(connection, &reason);
        }
        verdict
    }
}

fn judge_entry(ours: &Hello, entry: &Entry, shared: &Shared) -> Result<(), HandshakeError> {
    if let Some(reason) = shared.paused() {
        return Err(HandshakeError::Paused(reason));
    }
    if entry.peer == shared.local {
        let myself = entry.hello.instance == shared.instance;
        return Err(if myself {
            HandshakeError::Myself
        } else {
            HandshakeError::DoubledKey(entry.peer)
        });
    }
    let certified = entry.svid.spiffe_id().site_and_node();
    ours.judge(&entry.hello, certified.as_ref())?;
    Ok(())
}

/// The code and text for the peer: the same judgement seen from its side.
fn said_to_peer(error: &HandshakeError, shared: &Shared) -> (CloseCode, String) {
    match error {
        HandshakeError::AlreadyConnected(_) | HandshakeError::Myself => {
            (CloseCode::Duplicate, "connected already".to_owned())
        }
        HandshakeError::DoubledKey(_) => (CloseCode::DoubledKey, error.to_string()),
        HandshakeError::Busy { .. } => (CloseCode::Busy, error.to_string()),
        HandshakeError::Paused(_) => {
            let who = shared.identity.spiffe_id();
            (CloseCode::OwnCertificateEnded, format!("{who} does not replicate at the moment"))
        }
        HandshakeError::Refused(Refusal::MeshId { theirs, ours }) => (
            CloseCode::OtherMesh,
            format!("mesh id differs (theirs {ours}, ours {theirs}): the token of another mesh?"),
        ),
        HandshakeError::Refused(refusal @ Refusal::Protocol { .. }) => {
            (CloseCode::OtherProtocol, refusal.to_string())
        }
        HandshakeError::Refused(refusal) => (CloseCode::NotItsCertificate, refusal.to_string()),
        other => (CloseCode::ProtocolError, other.to_string()),
    }
}

/// Why TLS failed. Its own text names the kind of fault; the verifier's names the certificate and the
/// remedy, and is taken where it is certain that it speaks of this handshake.
fn not_proven(error: &quinn::ConnectionError, shared: &Shared, begun: Millis) -> HandshakeError {
    let refusals = shared.identity.refusals();
    let mut since = refusals.iter().filter(|refusal| refusal.at.0 / 1_000 >= begun.0 / 1_000);
    match (error, since.next(), since.next()) {
        (quinn::ConnectionError::TransportError(_), Some(only), None) => {
            HandshakeError::Certificate(only.error.to_string())
        }
        _ => HandshakeError::of(error),
    }
}

async fn greet(connection: &quinn::Connection, ours: &Hello) -> Result<Hello, HandshakeError> {
    let failed = |error: quinn::ConnectionError| HandshakeError::of(&error);
    let frame = ours.to_frame()?;
    let (mut send, mut recv) = connection.open_bi().await.map_err(failed)?;
    let written = async {
        send.write_all(&frame).await?;
        send.shutdown().await
    };
    written.await.map_err(|error: std::io::Error| HandshakeError::Failed(error.to_string()))?;
    read_hello(&mut recv, connection).await
}

async fn read_hello(
    recv: &mut quinn::RecvStream,
    connection: &quinn::Connection,
) -> Result<Hello, HandshakeError> {
    match frame::read::<Hello>(recv).await {
        Ok((hello, _)) => Ok(hello),
        Err(frame::ReadError::Wire(error)) => {
            CloseCode::ProtocolError.close(connection, &error.to_string());
            Err(HandshakeError::Wire(error))
        }
        Err(error) => Err(match connection.close_reason() {
            Some(reason) => HandshakeError::of(&reason),
            None => HandshakeError::Failed(error.to_string()),
        }),
    }
}

/// The peer closed instead of answering. If it says that a key is doubled, it means ours.
fn closed_during_greeting(reason: &quinn::ConnectionError, peer: PeerId) -> HandshakeError {
    if let quinn::ConnectionError::ApplicationClosed(frame) = reason {
        let code = frame.error_code.into_inner();
        if code == u64::from(CloseCode::Duplicate.code()) {
            return HandshakeError::AlreadyConnected(peer);
        }
        if code == u64::from(CloseCode::DoubledKey.code()) {
            return HandshakeError::CalledDoubled;
        }
    }
    HandshakeError::of(reason)
}

/// Peer named by a protocol key, for messages.
pub(crate) fn name_of(shared: &Shared, key: holm_mesh_proto::PeerKey) -> String {
    let named = peer_id(key).and_then(|peer| shared.directory().spiffe_id(&peer).cloned());
    named.map_or_else(|| key.to_string(), |id| id.to_string())
}
