//! The behaviour that judges connections a last time and moves streams between the swarm and the
//! driver. libp2p-stream does nearly this, but drops an inbound stream when two come at once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p_core::transport::PortUse;
use libp2p_core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p_core::{Endpoint, Multiaddr};
use libp2p_identity::PeerId;
use libp2p_swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p_swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use tokio::sync::{mpsc, oneshot};

use crate::shared::Shared;

/// The long-lived stream of a pair, opened by the side that dialled.
pub(crate) const CONTROL: StreamProtocol = StreamProtocol::new("/holm/control/1");
/// One reconciliation.
pub(crate) const SYNC: StreamProtocol = StreamProtocol::new("/holm/sync/1");
/// One call.
pub(crate) const RPC: StreamProtocol = StreamProtocol::new("/holm/rpc/1");

/// One wish about NAT, and the circuit that comes of it.
pub(crate) const NAT: StreamProtocol = StreamProtocol::new("/holm/nat/1");

/// Streams that one connection may be opening at once; more wait.
const MAX_OPENING: usize = 64;

/// A wish for a stream; the answer is the stream or why there is none.
pub(crate) struct Open {
    pub(crate) protocol: StreamProtocol,
    pub(crate) reply: oneshot::Sender<Result<Stream, String>>,
}

/// Where to wish for streams of one connection.
#[derive(Clone)]
pub(crate) struct Opener(mpsc::Sender<Open>);

impl Opener {
    /// One that opens nothing.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self(mpsc::channel(1).0)
    }

    pub(crate) async fn open(&self, protocol: StreamProtocol) -> Result<Stream, String> {
        let gone = || "the connection is gone".to_owned();
        let (reply, answer) = oneshot::channel();
        self.0.send(Open { protocol, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// A stream that the peer opened.
pub(crate) struct Inbound {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
    pub(crate) protocol: StreamProtocol,
    pub(crate) stream: Stream,
}

pub(crate) struct Streams {
    shared: Arc<Shared>,
    inbound: mpsc::Sender<Inbound>,
    openers: HashMap<ConnectionId, Opener>,
}

impl Streams {
    pub(crate) fn new(shared: Arc<Shared>, inbound: mpsc::Sender<Inbound>) -> Self {
        Self { shared, inbound, openers: HashMap::new() }
    }

    pub(crate) fn opener(&self, connection: ConnectionId) -> Option<Opener> {
        self.openers.get(&connection).cloned()
    }

    fn handler(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
    ) -> Result<Handler, ConnectionDenied> {
        // The transport judged the peer before the swarm saw it; a connection without an entry has
        // been closed since, or came by a way that judged nothing.
        if !self.shared.directory().knows(&peer) {
            self.shared.count("connections_unjudged");
            return Err(ConnectionDenied::new(std::io::Error::other("peer was not judged")));
        }
        let (sender, wishes) = mpsc::channel(MAX_OPENING);
        self.openers.insert(connection, Opener(sender));
        Ok(Handler {
            peer,
            connection,
            shared: self.shared.clone(),
            inbound: self.inbound.clone(),
            wishes,
        })
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(connection, peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(connection, peer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(closed) = event {
            self.openers.remove(&closed.connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

pub(crate) struct Handler {
    peer: PeerId,
    connection: ConnectionId,
    shared: Arc<Shared>,
    inbound: mpsc::Sender<Inbound>,
    wishes: mpsc::Receiver<Open>,
}

impl Handler {
    fn hand_over(&self, stream: Stream, protocol: StreamProtocol) {
        let inbound = Inbound { peer: self.peer, connection: self.connection, protocol, stream };
        if self.inbound.try_send(inbound).is_err() {
            // The driver is behind; the peer sees a reset and tries again later.
            self.shared.count("inbound_streams_dropped");
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = oneshot::Sender<Result<Stream, String>>;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(Upgrade(Vec::from([CONTROL, SYNC, RPC, NAT])), ())
    }

    fn connection_keep_alive(&self) -> bool {
        // The protocol decides which connections stay.
        true
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<
        ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>,
    > {
        match self.wishes.poll_recv(cx) {
            Poll::Ready(Some(Open { protocol, reply })) => {
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                    protocol: SubstreamProtocol::new(Upgrade(Vec::from([protocol])), reply),
                })
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            '_,
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                ..
            }) => self.hand_over(stream, protocol),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, _),
                info: reply,
            }) => {
                // Whoever wished may have given up; the stream then ends here.
                drop(reply.send(Ok(stream)));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, info: reply }) => {
                let reason = match error {
                    StreamUpgradeError::Timeout => "the peer did not open the stream in time",
                    StreamUpgradeError::NegotiationFailed => "the peer does not know the protocol",
                    StreamUpgradeError::Io(_) => "the connection broke",
                    StreamUpgradeError::Apply(never) => match never {},
                };
                drop(reply.send(Err(reason.to_owned())));
            }
            _ => {}
        }
    }
}

/// Negotiates one of some protocols and gives the stream as it is.
pub(crate) struct Upgrade(Vec<StreamProtocol>);

impl UpgradeInfo for Upgrade {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}
