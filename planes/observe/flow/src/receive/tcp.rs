//! IPFIX over TCP (RFC 7011 §10.4): a thread and a decoder for each session.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::CollectorReport;
use super::worker::{Board, Work, Worker, now_ns};
use crate::config::Listener;
use crate::decoder::Carrier;

/// Most sessions of one listener.
const MAX_SESSIONS: usize = 64;
/// Longest message: its length has 16 bits.
const MESSAGE_BYTES: usize = 1 << 16;
/// Shortest message: its header.
const HEADER_BYTES: usize = 16;
const WAIT: Duration = Duration::from_millis(100);

/// One listener that runs.
#[derive(Debug)]
pub(super) struct TcpListening {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    refused: AtomicU64,
    broken: AtomicU64,
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    open: Vec<(Board, JoinHandle<()>)>,
    /// What sessions that ended counted.
    ended: CollectorReport,
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TcpListening {
    pub(super) fn start(listener: &Listener, work: &Work) -> io::Result<Self> {
        let socket = TcpListener::bind(listener.address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (work, theirs) = (work.clone(), Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name(format!("flow-tcp-{}", address.port()))
            .spawn(move || accept(&socket, &work, &theirs))?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    pub(super) fn add_to(&self, report: &mut CollectorReport) {
        let sessions = self.shared.sessions();
        report.totals.add(&sessions.ended.totals);
        for (board, _) in &sessions.open {
            board.add_to(report);
        }
        report.tcp_sessions += sessions.open.len() as u64;
        report.tcp_refused += self.shared.refused.load(Ordering::Relaxed);
        report.tcp_broken += self.shared.broken.load(Ordering::Relaxed);
    }

    pub(super) fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(address = %self.address, "the flow listener panicked");
        }
        let open = std::mem::take(&mut self.shared.sessions().open);
        for session in open {
            end(&self.shared, session);
        }
    }
}

impl Drop for TcpListening {
    fn drop(&mut self) {
        self.stop();
    }
}

fn accept(socket: &TcpListener, work: &Work, shared: &Arc<Shared>) {
    while !shared.stop.load(Ordering::Relaxed) {
        reap(shared);
        match socket.accept() {
            Ok((stream, from)) => {
                if let Err(error) = admit(stream, from, work, shared) {
                    tracing::warn!(%from, %error, "an IPFIX session could not be started");
                }
            }
            // Nobody waits, or too many files are open.
            Err(_) => std::thread::sleep(WAIT),
        }
    }
}

fn admit(stream: TcpStream, from: SocketAddr, work: &Work, shared: &Arc<Shared>) -> io::Result<()> {
    if shared.sessions().open.len() >= MAX_SESSIONS {
        shared.refused.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    }
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(WAIT))?;
    let board = Board::default();
    let mut worker = Worker::new(work, Carrier::Tcp, board.clone());
    let theirs = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("flow-ipfix".into()).spawn(move || {
        if let Err(error) = session(stream, from, &mut worker, &theirs.stop) {
            theirs.broken.fetch_add(1, Ordering::Relaxed);
            tracing::info!(%from, %error, "an IPFIX session was closed");
        }
        worker.finish();
    })?;
    shared.sessions().open.push((board, thread));
    Ok(())
}

/// Adds what ended sessions counted.
fn reap(shared: &Shared) {
    loop {
        let mut sessions = shared.sessions();
        let done = sessions.open.iter().position(|(_, thread)| thread.is_finished());
        let Some(done) = done else { return };
        let session = sessions.open.swap_remove(done);
        drop(sessions);
        end(shared, session);
    }
}

fn end(shared: &Shared, (board, thread): (Board, JoinHandle<()>)) {
    if thread.join().is_err() {
        tracing::error!("an IPFIX session panicked");
    }
    board.add_to(&mut shared.sessions().ended);
    shared.sessions().ended.exporters.clear();
}

/// Reads messages until the peer ends. A message that lies about its length cannot be got over: the
/// session ends (RFC 7011 §10.4.1).
fn session(
    mut stream: TcpStream,
    from: SocketAddr,
    worker: &mut Worker,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut bytes = vec![0_u8; MESSAGE_BYTES];
    let mut have = 0;
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut bytes[have..]) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                have += n;
                let used = messages(&bytes[..have], from, worker)?;
                bytes.copy_within(used..have, 0);
                have -= used;
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
        worker.turn(now_ns());
    }
    Ok(())
}

/// Decodes the whole messages of `bytes`; returns how many bytes they have. As a message is shorter
/// than the buffer, there is always room for the rest of one.
fn messages(bytes: &[u8], from: SocketAddr, worker: &mut Worker) -> io::Result<usize> {
    let mut used = 0;
    while let Some(&[v0, v1, l0, l1]) = bytes[used..].first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if u16::from_be_bytes([v0, v1]) != 10 || length < HEADER_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not IPFIX"));
        }
        let Some(message) = bytes.get(used..used + length) else { break };
        worker.decode(from, now_ns(), message);
        used += length;
    }
    Ok(used)
}
