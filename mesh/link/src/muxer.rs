//! libp2p's view of one QUIC connection.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p_core::muxing::{StreamMuxer, StreamMuxerEvent};
use tokio::io::Join;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use crate::directory::Guard;
use crate::error::CloseCode;

/// One bidirectional QUIC stream. Dropping it finishes our direction and stops the other.
pub(crate) type Substream = Compat<Join<quinn::RecvStream, quinn::SendStream>>;

type Opening =
    BoxFuture<'static, Result<(quinn::SendStream, quinn::RecvStream), quinn::ConnectionError>>;

/// A judged connection. While it lives, the directory knows its peer; the directory closes it when
/// the peer's certificate ends.
pub(crate) struct Muxer {
    connection: quinn::Connection,
    inbound: Opening,
    outbound: Option<Opening>,
    closed: BoxFuture<'static, quinn::ConnectionError>,
    _guard: Option<Guard>,
}

impl Muxer {
    pub(crate) fn new(connection: quinn::Connection, guard: Option<Guard>) -> Self {
        let closed = {
            let connection = connection.clone();
            async move { connection.closed().await }.boxed()
        };
        Self { inbound: accept(&connection), outbound: None, closed, connection, _guard: guard }
    }
}

impl StreamMuxer for Muxer {
    type Substream = Substream;
    type Error = quinn::ConnectionError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let result = futures::ready!(self.inbound.poll_unpin(cx));
        self.inbound = accept(&self.connection);
        Poll::Ready(result.map(join))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let connection = self.connection.clone();
        let opening =
            self.outbound.get_or_insert_with(|| async move { connection.open_bi().await }.boxed());
        let result = futures::ready!(opening.poll_unpin(cx));
        self.outbound = None;
        Poll::Ready(result.map(join))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Without effect if the directory closed it before, with a code that says more.
        CloseCode::Dropped.close(&self.connection, "not needed any more");
        Poll::Ready(Ok(()))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        self.closed.poll_unpin(cx).map(Err)
    }
}

fn accept(connection: &quinn::Connection) -> Opening {
    let connection = connection.clone();
    async move { connection.accept_bi().await }.boxed()
}

fn join((send, recv): (quinn::SendStream, quinn::RecvStream)) -> Substream {
    tokio::io::join(recv, send).compat()
}

/// What libp2p expects of a muxer; its own harness for that is not published as a crate.
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::{AsyncReadExt, AsyncWriteExt};
    use holm_certs::{
        BundleMap, Identity, NodeKey, RevocationSet, RootAuthority, SpiffeId, TrustDomain,
    };
    use holm_model::{Millis, NodeName, SiteId};
    use libp2p_core::muxing::StreamMuxerExt;

    use super::*;
    use crate::config::Limits;
    use crate::transport::configure;

    fn identity() -> Identity {
        let now = Millis::now();
        let domain = TrustDomain::new("example.org").expect("valid");
        let root = RootAuthority::create(&domain, now).expect("a root");
        let issuer = root.create_issuer(now).expect("an issuer");
        let key = NodeKey::generate().expect("a key");
        let site = SiteId::new("berlin").expect("valid");
        let id = SpiffeId::node(&domain, &site, &NodeName::new("a").expect("valid"));
        let chain = issuer
            .issue_svid(key.public_key(), &id, Duration::from_secs(3600), now)
            .expect("issued");
        let bundles = BundleMap::of(root.bundle().expect("a bundle"));
        Identity::new(key, chain, bundles, RevocationSet::default(), now).expect("valid")
    }

    struct Pair {
        dialler: Muxer,
        listener: Muxer,
        _endpoints: [quinn::Endpoint; 2],
    }

    async fn pair() -> Pair {
        let (server, client, _) = configure(&identity(), &Limits::default()).expect("configured");
        let any = "127.0.0.1:0".parse().expect("valid");
        let listening = quinn::Endpoint::server(server, any).expect("binds");
        let dialling = quinn::Endpoint::client(any).expect("binds");
        let address = listening.local_addr().expect("bound");
        let connecting = dialling.connect_with(client, address, "x").expect("starts");
        let accept =
            async { listening.accept().await.expect("comes").accept().expect("starts").await };
        let (dialled, accepted) = tokio::join!(connecting, accept);
        Pair {
            dialler: Muxer::new(dialled.expect("connects"), None),
            listener: Muxer::new(accepted.expect("connects"), None),
            _endpoints: [listening, dialling],
        }
    }

    async fn outbound(muxer: &mut Muxer) -> Substream {
        futures::future::poll_fn(|cx| muxer.poll_outbound_unpin(cx)).await.expect("opens")
    }

    async fn inbound(muxer: &mut Muxer) -> Substream {
        futures::future::poll_fn(|cx| muxer.poll_inbound_unpin(cx)).await.expect("comes")
    }

    #[tokio::test]
    async fn closing_implies_flush_and_leaves_the_other_direction() {
        let Pair { mut dialler, mut listener, .. } = pair().await;
        let mut ours = outbound(&mut dialler).await;
        ours.write_all(b"ping").await.expect("writes");
        ours.close().await.expect("closes");
        let mut theirs = inbound(&mut listener).await;
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).await.expect("ends");
        assert_eq!(read, b"ping");
        theirs.write_all(b"pong").await.expect("still writes");
        theirs.close().await.expect("closes");
        read.clear();
        ours.read_to_end(&mut read).await.expect("reads after its own close");
        assert_eq!(read, b"pong");
        assert!(ours.write_all(b"more").await.is_err(), "nothing is written after the close");
    }

    #[tokio::test]
    async fn a_dropped_stream_ends_at_the_other_side() {
        let Pair { mut dialler, mut listener, .. } = pair().await;
        let mut ours = outbound(&mut dialler).await;
        ours.write_all(b"x").await.expect("writes");
        drop(ours);
        let mut theirs = inbound(&mut listener).await;
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).await.expect("ends");
        assert_eq!(read, b"x");
        let chunk = vec![0; 65_536];
        let mut result = Ok(());
        for _ in 0..10_000 {
            result = theirs.write_all(&chunk).await;
            if result.is_err() {
                break;
            }
        }
        assert!(result.is_err(), "nobody reads any more");
    }

    #[tokio::test]
    async fn many_streams_carry_their_own_bytes_both_ways() {
        let Pair { mut dialler, mut listener, .. } = pair().await;
        let echo = tokio::spawn(async move {
            for _ in 0..500 {
                let mut stream = inbound(&mut listener).await;
                tokio::spawn(async move {
                    let mut read = Vec::new();
                    stream.read_to_end(&mut read).await.expect("ends");
                    stream.write_all(&read).await.expect("writes");
                    stream.close().await.expect("closes");
                });
            }
            listener
        });
        let mut waiting = Vec::new();
        for number in 0..500_u32 {
            // More than may be open at once: the muxer waits for the peer's leave.
            let mut stream = outbound(&mut dialler).await;
            waiting.push(tokio::spawn(async move {
                let sent = number.to_be_bytes().repeat(1_000);
                stream.write_all(&sent).await.expect("writes");
                stream.close().await.expect("closes");
                let mut read = Vec::new();
                stream.read_to_end(&mut read).await.expect("ends");
                assert_eq!(read, sent);
            }));
        }
        for task in waiting {
            task.await.expect("equal");
        }
        drop(echo.await.expect("all came"));
    }

    #[tokio::test]
    async fn the_first_reason_of_a_close_reaches_the_peer() {
        let Pair { mut dialler, mut listener, .. } = pair().await;
        CloseCode::Revoked.close(&listener.connection, "revoked");
        futures::future::poll_fn(|cx| listener.poll_close_unpin(cx)).await.expect("closes");
        let error = futures::future::poll_fn(|cx| dialler.poll_unpin(cx)).await;
        let Err(quinn::ConnectionError::ApplicationClosed(frame)) = error else {
            panic!("closed with {error:?}")
        };
        assert_eq!(frame.error_code.into_inner(), u64::from(CloseCode::Revoked.code()));
        assert_eq!(&frame.reason[..], b"revoked");
        let opening = futures::future::poll_fn(|cx| dialler.poll_outbound_unpin(cx)).await;
        assert!(opening.is_err());
        let coming = futures::future::poll_fn(|cx| dialler.poll_inbound_unpin(cx)).await;
        assert!(coming.is_err());
    }
}
