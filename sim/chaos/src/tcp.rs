//! A relay for TCP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::link::{Direction, Link, count};
use crate::way::{Fate, Way};

/// Most connections at once; others wait to be taken.
const MAX_CONNECTIONS: usize = 256;
/// Most bytes of a chunk, and most chunks under way: more is not read.
const CHUNK: usize = 16 * 1024;
const CHUNKS: usize = 256;

/// Passes connections on to one server. It ends, and its connections with it, when this is dropped.
///
/// Bytes keep their order. While a way is cut they are held, as a sender holds what is not acknowledged; a
/// connection that is made meanwhile is taken by the relay and reaches the server once the way is open.
#[derive(Debug)]
pub struct TcpRelay {
    local: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl TcpRelay {
    /// Listens at `listen` and connects to `server`.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn open(listen: SocketAddr, server: SocketAddr, link: Link) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let local = listener.local_addr()?;
        let task = AbortOnDropHandle::new(tokio::spawn(relay(listener, server, link)));
        Ok(Self { local, _task: task })
    }

    /// Where clients connect to.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }
}

async fn relay(listener: TcpListener, server: SocketAddr, link: Link) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let tasks = TaskTracker::new();
    let mut running: Vec<AbortOnDropHandle<()>> = Vec::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((client, _)) = listener.accept().await else { continue };
        running.retain(|task| !task.is_finished());
        let link = link.clone();
        let connection = tasks.track_future(async move {
            let _place = place;
            link.open(Direction::Forth).await;
            match TcpStream::connect(server).await {
                Ok(upstream) => pass(client, upstream, &link).await,
                Err(_) => count(&link.tally(Direction::Forth).failed),
            }
        });
        running.push(AbortOnDropHandle::new(tokio::spawn(connection)));
    }
}

async fn pass(client: TcpStream, server: TcpStream, link: &Link) {
    for stream in [&client, &server] {
        // A relay that waits for more bytes would be a delay that nobody asked for.
        let _ = stream.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        one_way(from_client, to_server, link, Direction::Forth),
        one_way(from_server, to_client, link, Direction::Back),
    );
}

/// Passes bytes on until one end is over; the other is then told so.
async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    link: &Link,
    direction: Direction,
) {
    let tally = link.tally(direction);
    let (send, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS);
    let read = async move {
        let mut way = Way::new(StdRng::seed_from_u64(link.next_seed()));
        let mut last = Instant::now();
        let mut buffer = vec![0; CHUNK];
        loop {
            let length = match from.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(length) => length,
            };
            count(&tally.came);
            let shape = link.shape(direction);
            let mut late = std::time::Duration::ZERO;
            let delay = loop {
                match way.fate(&shape) {
                    Fate::After(delay) => break late + delay,
                    Fate::Cut => {
                        count(&tally.cut);
                        break late + shape.latency;
                    }
                    Fate::Lost if shape.loss >= 1.0 => break late + shape.latency,
                    Fate::Lost => {
                        count(&tally.lost);
                        late += Way::<StdRng>::RETRANSMISSION;
                    }
                }
            };
            // What was sent first comes first.
            last = last.max(Instant::now() + delay);
            if send.send((last, buffer[..length].to_vec())).await.is_err() {
                break;
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = chunks.recv().await {
            sleep_until(due).await;
            link.open(direction).await;
            if to.write_all(&chunk).await.is_err() {
                count(&tally.failed);
                return;
            }
            count(&tally.went);
        }
        let _ = to.shutdown().await;
    };
    let mut write = std::pin::pin!(write);
    tokio::select! {
        // Nothing can be written any more, so nothing more is read.
        () = &mut write => return,
        () = read => {}
    }
    write.await;
}
