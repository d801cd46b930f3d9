//! What a node asks of others on streams of `/holm/nat/1`, and connections inside of circuits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holm_mesh_proto::wire::{Frame, NatAnswer, NatRequest};
use libp2p_identity::PeerId;
use libp2p_swarm::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use crate::circuit;
use crate::driver::Internal;
use crate::error::HandshakeError;
use crate::frame;
use crate::handshake::{self, Way};
use crate::muxer::Muxer;
use crate::peer::peer_key;
use crate::shared::Shared;
use crate::streams::{NAT, Opener};

/// How much sooner a dial tries the direct way than a circuit.
const HEAD_START: Duration = Duration::from_secs(1);
/// How long an answer may take that needs nothing from a third node.
pub(crate) const ANSWER_MS: u64 = 5_000;
/// How long an answer may take for which the answerer asks a third node, or dials.
const SLOW_ANSWER_MS: u64 = 12_000;

pub(crate) type Whole = Compat<Stream>;

/// A circuit that another node made to this one.
pub(crate) struct Arrived {
    /// Who says the relay it is from; only the handshake proves it.
    pub(crate) from: PeerId,
    pub(crate) way: Way,
    pub(crate) stream: Whole,
}

/// A relay to try.
pub(crate) struct Relay {
    pub(crate) peer: PeerId,
    pub(crate) address: SocketAddr,
    pub(crate) opener: Opener,
}

/// Why a wish came to nothing.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: String,
    /// The peer relays for nobody.
    pub(crate) no_relay: bool,
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Self { reason, no_relay: false }
    }
}

/// Dials `peer` through the relays that the event loop names, one after the other.
pub(crate) async fn dial(
    peer: PeerId,
    shared: Arc<Shared>,
    events: mpsc::Sender<Internal>,
) -> Result<(PeerId, Muxer), HandshakeError> {
    let none = |reason: &str| HandshakeError::Relay(reason.to_owned());
    if !shared.is_indirect(&peer) {
        tokio::time::sleep(HEAD_START).await;
    }
    let (reply, answer) = oneshot::channel();
    let question = Internal::RelaysFor { peer, reply };
    events.send(question).await.map_err(|_| none("the mesh stops"))?;
    let relays = answer.await.map_err(|_| none("the mesh stops"))?;
    let mut failed = none("no connected node relays");
    for relay in relays {
        let way = Way { address: relay.address, via: Some(relay.peer) };
        match circuit_through(&relay, peer).await {
            Ok(stream) => match dial_in(stream, way, peer, &shared).await {
                Err(error @ (HandshakeError::Failed(_) | HandshakeError::Timeout { .. })) => {
                    failed = error;
                }
                answered => return answered,
            },
            Err(refused) => {
                shared.count("circuits_not_had");
                failed = HandshakeError::Relay(refused.reason);
                if refused.no_relay {
                    // Fails only when the mesh stops.
                    drop(events.send(Internal::NoRelay(relay.peer)).await);
                }
            }
        }
    }
    Err(failed)
}

async fn dial_in<S>(
    stream: S,
    way: Way,
    peer: PeerId,
    shared: &Arc<Shared>,
) -> Result<(PeerId, Muxer), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let broken = |error: std::io::Error| HandshakeError::Failed(error.to_string());
    let (endpoint, to) = circuit::endpoint(stream, None).map_err(broken)?;
    let client = shared.quic.circuits.client.clone();
    let (peer, muxer) =
        handshake::dial(endpoint, client, to, way, Some(peer), shared.clone()).await?;
    shared.count("circuits_made");
    Ok((peer, muxer))
}

/// Judges who is at the other end of a circuit.
pub(crate) async fn accept(
    arrived: Arrived,
    shared: Arc<Shared>,
) -> Result<(PeerId, Muxer), HandshakeError> {
    let broken = |error: std::io::Error| HandshakeError::Failed(error.to_string());
    let ms = shared.config.limits.handshake_ms;
    let server = shared.quic.circuits.server.clone();
    let (endpoint, _) = circuit::endpoint(arrived.stream, Some(server)).map_err(broken)?;
    let incoming = tokio::time::timeout(Duration::from_millis(ms), endpoint.accept()).await;
    let incoming = incoming.map_err(|_| HandshakeError::Timeout { ms })?;
    let incoming =
        incoming.ok_or_else(|| HandshakeError::Failed("the circuit broke".to_owned()))?;
    let result = handshake::accept(incoming, arrived.way, shared.clone()).await?;
    shared.count("circuits_taken");
    Ok(result)
}

async fn circuit_through(relay: &Relay, peer: PeerId) -> Result<Whole, Refused> {
    let key = peer_key(&peer).ok_or_else(|| "it has no valid key".to_owned())?;
    let (stream, answer) = ask(&relay.opener, &NatRequest::Connect(key), SLOW_ANSWER_MS).await?;
    granted(answer)?;
    Ok(stream)
}

/// Asks for a place; the stream is what keeps it.
pub(crate) async fn reserve(opener: &Opener) -> Result<Whole, Refused> {
    let (stream, answer) = ask(opener, &NatRequest::Reserve, ANSWER_MS).await?;
    granted(answer)?;
    Ok(stream)
}

/// Waits until the place is gone.
pub(crate) async fn keep(mut place: Whole) {
    // Nothing is ever said there; whatever comes is its end.
    drop(place.read_u8().await);
}

/// Asks a peer to dial back: whether it got through.
pub(crate) async fn reached(opener: &Opener, addresses: Vec<SocketAddr>) -> Result<bool, String> {
    match ask(opener, &NatRequest::DialBack(addresses), SLOW_ANSWER_MS).await?.1 {
        NatAnswer::Addresses(reached) => Ok(!reached.is_empty()),
        NatAnswer::Refused { reason, .. } => Err(reason),
        NatAnswer::Granted => Err("it says nothing of use".to_owned()),
    }
}

/// Agrees with the peer at the other end of a circuit on a moment, and gives where to dial it then:
/// now. The peer begins to send as soon as the last word reaches it; half a round trip later is when
/// that happens, so that each side's first packet leaves before the other's arrives.
pub(crate) async fn agree(
    opener: &Opener,
    ours: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, String> {
    let begun = tokio::time::Instant::now();
    let (mut stream, answer) = ask(opener, &NatRequest::Punch(ours), ANSWER_MS).await?;
    let theirs = match answer {
        NatAnswer::Addresses(theirs) => theirs,
        NatAnswer::Refused { reason, .. } => return Err(reason),
        NatAnswer::Granted => return Err("it says nothing of use".to_owned()),
    };
    let round_trip = begun.elapsed();
    say(&mut stream, &NatRequest::Now).await?;
    tokio::time::sleep(round_trip / 2).await;
    Ok(theirs)
}

/// Says a wish on a new stream: the stream and the answer, within `ms` milliseconds.
pub(crate) async fn ask(
    opener: &Opener,
    request: &NatRequest,
    ms: u64,
) -> Result<(Whole, NatAnswer), String> {
    let work = async {
        let mut stream = opener.open(NAT).await?.compat();
        say(&mut stream, request).await?;
        let (answer, _) = frame::read(&mut stream).await.map_err(|error| error.to_string())?;
        Ok((stream, answer))
    };
    match tokio::time::timeout(Duration::from_millis(ms), work).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {ms} ms")),
    }
}

/// Whether the answer is a yes.
pub(crate) fn granted(answer: NatAnswer) -> Result<(), Refused> {
    match answer {
        NatAnswer::Granted => Ok(()),
        NatAnswer::Refused { reason, no_relay } => Err(Refused { reason, no_relay }),
        NatAnswer::Addresses(_) => Err("it says nothing of use".to_owned().into()),
    }
}

/// Says one message.
pub(crate) async fn say(stream: &mut Whole, frame: &impl Frame) -> Result<(), String> {
    let frame = frame.to_frame().map_err(|error| error.to_string())?;
    stream.write_all(&frame).await.map_err(|error| error.to_string())?;
    stream.flush().await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use holm_certs::{
        BundleMap, Identity, NodeKey, RevocationSet, RootAuthority, SpiffeId, TrustDomain,
    };
    use holm_mesh_proto::wire::MeshId;
    use holm_mesh_proto::{DocumentStore, MemberId, MeshNode, NodeConfig, Timing};
    use holm_model::{DocId, DocVersion, Millis, NodeName, SiteId, TenantId};

    use super::*;
    use crate::config::{Limits, MeshConfig, NatConfig};
    use crate::peer::public_key;
    use crate::rpc::{PeerInfo, RpcHandler};
    use crate::shared::{Parts, Quic};
    use crate::transport::configure;

    struct Nothing;

    impl DocumentStore for Nothing {
        fn tenants(&self) -> Vec<TenantId> {
            Vec::new()
        }

        fn may_replicate(&self, _: &SiteId, _: &TenantId) -> bool {
            false
        }

        fn documents(&self, _: &TenantId) -> Vec<DocVersion> {
            Vec::new()
        }

        fn heads(&self, _: &TenantId, _: &DocId) -> Vec<[u8; 32]> {
            Vec::new()
        }

        fn export(&self, _: &TenantId, _: &DocId, _: &[[u8; 32]]) -> Result<Vec<u8>, String> {
            Ok(Vec::new())
        }

        fn apply(
            &self,
            _: &TenantId,
            _: &DocId,
            _: &str,
            _: &[u8],
        ) -> Result<Option<DocVersion>, String> {
            Ok(None)
        }
    }

    impl RpcHandler for Nothing {
        fn handle(&self, _: &PeerInfo, _: &str, _: &[u8]) -> Result<Vec<u8>, String> {
            Err("nothing".to_owned())
        }
    }

    /// The inner parts of three nodes of one mesh, without an event loop.
    fn nodes() -> [Arc<Shared>; 3] {
        let now = Millis::now();
        let domain = TrustDomain::new("example.org").expect("valid");
        let root = RootAuthority::create(&domain, now).expect("a root");
        let issuer = root.create_issuer(now).expect("an issuer");
        ["berlin", "tokyo", "cairo"].map(|site| {
            let key = NodeKey::generate().expect("a key");
            let site = SiteId::new(site).expect("valid");
            let node = NodeName::new("a").expect("valid");
            let id = SpiffeId::node(&domain, &site, &node);
            let chain = issuer
                .issue_svid(key.public_key(), &id, Duration::from_secs(3600), now)
                .expect("issued");
            let bundles = BundleMap::of(root.bundle().expect("a bundle"));
            let identity =
                Identity::new(key, chain, bundles, RevocationSet::default(), now).expect("valid");
            shared(identity, site, node)
        })
    }

    fn shared(identity: Identity, site: SiteId, node: NodeName) -> Arc<Shared> {
        let key = public_key(identity.key().public_key().as_der()).expect("P-256");
        let local = key.to_peer_id();
        let limits = Limits { handshake_ms: 2_000, ..Limits::default() };
        let (_, client, circuits) = configure(&identity, &limits).expect("configured");
        let config = MeshConfig {
            mesh_id: MeshId([1; 16]),
            site: site.clone(),
            node: node.clone(),
            listen: "127.0.0.1:0".parse().expect("valid"),
            advertise: Vec::new(),
            api_port: None,
            seeds: Vec::new(),
            mdns: false,
            timing: Timing::quick(),
            limits,
            protocol_at_most: holm_mesh_proto::wire::PROTOCOL_VERSION,
            nat: NatConfig::default(),
        };
        let me = MemberId {
            site,
            node,
            peer: peer_key(&local).expect("a hash"),
            addresses: Vec::new(),
            api_port: None,
            generation: 1,
        };
        let timing = Timing::quick();
        let node = MeshNode::new(NodeConfig { me, seeds: Vec::new(), timing, random_seed: 1 });
        let (arrived, _) = mpsc::channel(1);
        let quic = Quic { client, circuits, socket: Mutex::new(None), arrived };
        let (store, rpc) = (Arc::new(Nothing), Arc::new(Nothing));
        Arc::new(Shared::new(Parts { config, identity, local, store, rpc, node, quic }))
    }

    /// What berlin makes of a circuit to `expected` whose other end `answers`.
    async fn outcome(
        berlin: &Arc<Shared>,
        expected: PeerId,
        answers: &Arc<Shared>,
    ) -> Result<PeerId, HandshakeError> {
        let (one, other) = tokio::io::duplex(64 * 1024);
        let way = Way { address: SocketAddr::from(([192, 0, 2, 1], 4747)), via: None };
        let server = answers.quic.circuits.server.clone();
        let (listening, _) = circuit::endpoint(other, Some(server)).expect("an endpoint");
        let answers = answers.clone();
        let task = tokio::spawn(async move {
            let incoming = listening.accept().await.expect("comes");
            // The muxer is what keeps the connection.
            handshake::accept(incoming, way, answers).await
        });
        let result = dial_in(one, way, expected, berlin).await.map(|(peer, _muxer)| peer);
        drop(task.await.expect("no panic"));
        result
    }

    #[tokio::test]
    async fn a_relay_that_answers_itself_is_not_taken_for_the_node_behind_it() {
        let [berlin, tokyo, cairo] = nodes();
        assert_eq!(outcome(&berlin, tokyo.local, &tokyo).await, Ok(tokyo.local));
        let error = outcome(&berlin, tokyo.local, &cairo).await.expect_err("another node");
        let HandshakeError::WrongPeer { expected, obtained } = error else {
            panic!("refused with {error}")
        };
        assert_eq!((*expected, *obtained), (tokyo.local, cairo.local));
        assert!(!berlin.directory().knows(&cairo.local), "it was never entered");
        let [stranger, ..] = nodes();
        let error = outcome(&berlin, tokyo.local, &stranger).await.expect_err("another mesh");
        assert!(!matches!(error, HandshakeError::Timeout { .. }), "{error}");
    }
}
