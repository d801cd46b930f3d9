//! Calls between nodes: one short stream each.

use std::sync::Arc;

use holm_certs::SpiffeId;
use holm_mesh_proto::wire::{Frame, RpcRequest, RpcResponse};
use holm_model::{NodeName, SiteId};
use libp2p_identity::PeerId;
use libp2p_swarm::Stream;
use tokio::io::AsyncWriteExt;
use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::frame;
use crate::shared::Shared;
use crate::streams::{Opener, RPC};
use crate::traffic::Channel;

/// Who a peer is, by its verified certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its identity.
    pub spiffe_id: SpiffeId,
    /// Its site, from the identity.
    pub site: SiteId,
    /// Its name, from the identity.
    pub node: NodeName,
    /// Its routing handle.
    pub peer_id: PeerId,
}

/// Answers the calls of other nodes. Called on a thread of its own; may block.
pub trait RpcHandler: Send + Sync + 'static {
    /// Answers `method` with at most 1 MiB.
    ///
    /// # Errors
    /// A text for the caller.
    fn handle(&self, peer: &PeerInfo, method: &str, body: &[u8]) -> Result<Vec<u8>, String>;
}

/// Calls `method` over a new stream.
pub(crate) async fn call(
    shared: &Shared,
    opener: Opener,
    request: RpcRequest,
) -> Result<Result<Vec<u8>, String>, String> {
    let frame = request.to_frame().map_err(|error| error.to_string())?;
    let message_ms = shared.config.limits.message_ms;
    let work = async {
        let mut stream = opener.open(RPC).await?.compat();
        stream.write_all(&frame).await.map_err(|error| error.to_string())?;
        stream.flush().await.map_err(|error| error.to_string())?;
        shared.traffic.went(Channel::Rpc, frame.len() as u64);
        let (RpcResponse(result), length) =
            frame::read(&mut stream).await.map_err(|error| error.to_string())?;
        shared.traffic.came(Channel::Rpc, length);
        Ok(result)
    };
    match tokio::time::timeout(std::time::Duration::from_millis(message_ms), work).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {message_ms} ms")),
    }
}

/// Answers one call.
pub(crate) async fn serve(shared: Arc<Shared>, peer: PeerInfo, stream: Stream) {
    let mut stream = stream.compat();
    let message_ms = shared.config.limits.message_ms;
    let request: RpcRequest = match frame::read_within(&mut stream, message_ms).await {
        Ok((request, length)) => {
            shared.traffic.came(Channel::Rpc, length);
            request
        }
        Err(error) => {
            shared.count("calls_malformed");
            tracing::debug!(%error, peer = %peer.spiffe_id, "a call did not come through");
            return;
        }
    };
    shared.count("calls_served");
    let handler = shared.rpc.clone();
    let answer =
        tokio::task::spawn_blocking(move || handler.handle(&peer, &request.method, &request.body))
            .await
            .unwrap_or_else(|_| Err("the handler failed".to_owned()));
    let frame = RpcResponse(answer)
        .to_frame()
        .or_else(|error| RpcResponse(Err(format!("the answer is too large: {error}"))).to_frame());
    let Ok(frame) = frame else { return };
    // A caller that is gone needs no answer.
    if stream.write_all(&frame).await.is_ok() {
        shared.traffic.went(Channel::Rpc, frame.len() as u64);
        drop(stream.shutdown().await);
    }
}
