//! Drives a reconciliation session over a stream; the store works on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use holm_mesh_proto::sync::{Session, SyncPeer};
use holm_mesh_proto::wire::{Frame, Sync};
use holm_mesh_proto::{PeerKey, Scope, SyncReport};
use holm_model::{DocVersion, TenantId};
use libp2p_swarm::Stream;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::driver::Internal;
use crate::frame;
use crate::shared::Shared;
use crate::streams::{Opener, SYNC};
use crate::traffic::Channel;

/// Bytes that are prepared before they are written.
const BATCH_BYTES: usize = 512 * 1024;
/// Longest time for one whole session: a stuck peer must not hold its place for ever.
const SESSION_S: u64 = 600;

/// What both sides of a session need.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: PeerKey,
    pub(crate) peer: SyncPeer,
    pub(crate) events: mpsc::Sender<Internal>,
}

/// Runs a session that we begin.
pub(crate) async fn initiate(
    context: Context,
    opener: Opener,
    tenant: TenantId,
    scope: Scope,
) -> Result<SyncReport, String> {
    let store = context.shared.store.clone();
    let peer = context.peer.clone();
    let start = move || Session::initiate(peer, tenant, scope, &*store);
    let session = blocking(start).await?.map_err(|error| error.to_string())?;
    let stream = opener.open(SYNC).await?;
    within(run(context, session, stream)).await
}

/// Runs a session that the peer begins.
pub(crate) async fn respond(context: Context, stream: Stream) -> Result<SyncReport, String> {
    let session = Session::respond(context.peer.clone());
    within(run(context, session, stream)).await
}

async fn within(
    work: impl Future<Output = Result<SyncReport, String>>,
) -> Result<SyncReport, String> {
    match tokio::time::timeout(Duration::from_secs(SESSION_S), work).await {
        Ok(result) => result,
        Err(_) => Err(format!("not done within {SESSION_S} s")),
    }
}

async fn run(context: Context, mut session: Session, stream: Stream) -> Result<SyncReport, String> {
    let mut stream = stream.compat();
    let (mut bytes_out, mut bytes_in) = (0, 0);
    let message_ms = context.shared.config.limits.message_ms;
    loop {
        loop {
            let (next, frames) = prepare(&context, session).await?;
            session = next;
            if frames.is_empty() {
                break;
            }
            bytes_out += frames.len() as u64;
            let written =
                tokio::time::timeout(Duration::from_millis(message_ms), stream.write_all(&frames));
            written.await.map_err(|_| "the peer reads nothing".to_owned())?.map_err(broken)?;
            context.shared.traffic.went(Channel::Sync, frames.len() as u64);
        }
        stream.flush().await.map_err(broken)?;
        if session.is_done() {
            break;
        }
        let (message, length) = frame::read_within::<Sync>(&mut stream, message_ms)
            .await
            .map_err(|error| error.to_string())?;
        bytes_in += length;
        context.shared.traffic.came(Channel::Sync, length);
        let (next, learned) = take_in(&context, session, message).await?;
        session = next;
        for version in learned {
            let event = Internal::Learned { version, from: context.key };
            context.events.send(event).await.map_err(|_| "the mesh stops".to_owned())?;
        }
    }
    // All is said; whether the other side still hears the end of the stream does not matter.
    drop(stream.shutdown().await);
    Ok(SyncReport { bytes_out, bytes_in, ..session.report().clone() })
}

async fn prepare(context: &Context, mut session: Session) -> Result<(Session, Vec<u8>), String> {
    let store = context.shared.store.clone();
    blocking(move || {
        let mut frames = Vec::new();
        while frames.len() < BATCH_BYTES {
            let Some(message) = session.poll_transmit(&*store) else { break };
            frames.extend(message.to_frame().map_err(|error| error.to_string())?);
        }
        Ok((session, frames))
    })
    .await?
}

async fn take_in(
    context: &Context,
    mut session: Session,
    message: Sync,
) -> Result<(Session, Vec<DocVersion>), String> {
    let store = context.shared.store.clone();
    blocking(move || {
        session.handle(message, &*store).map_err(|error| error.to_string())?;
        let learned = session.take_learned();
        Ok((session, learned))
    })
    .await?
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| "the document store failed; see the log".to_owned())
}

fn broken(error: std::io::Error) -> String {
    format!("the stream broke: {error}")
}
