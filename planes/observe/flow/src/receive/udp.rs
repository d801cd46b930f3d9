//! UDP listeners: several sockets of one address, each with its thread.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::CollectorReport;
use super::sys::{self, Inbox};
use super::worker::{Board, Work, Worker, now_ns};
use crate::config::Listener;
use crate::decoder::Carrier;
use crate::state::FlowState;

/// A thread looks this often whether it is to stop, or a batch is due.
const WAIT: Duration = Duration::from_millis(100);

/// One listener that runs.
#[derive(Debug)]
pub(super) struct UdpListening {
    pub(super) address: SocketAddr,
    buffer_bytes: u64,
    boards: Vec<Board>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl UdpListening {
    pub(super) fn start(
        listener: &Listener,
        work: &Work,
        state: Option<&FlowState>,
    ) -> io::Result<Self> {
        let sockets = open(listener)?;
        let address = local_address(&sockets)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut listening =
            Self { address, buffer_bytes: 0, boards: Vec::new(), threads: Vec::new(), stop };
        for socket in sockets {
            listening.buffer_bytes += socket.recv_buffer_size().unwrap_or(0) as u64;
            let board = Board::default();
            listening.boards.push(board.clone());
            let mut worker = Worker::new(work, Carrier::Udp, board);
            // Whichever socket an exporter will come to: each knows all.
            if let Some(state) = state {
                worker.import(state);
            }
            let stop = Arc::clone(&listening.stop);
            let thread = std::thread::Builder::new().name(format!("flow-udp-{}", address.port()));
            listening.threads.push(thread.spawn(move || run(&socket, &mut worker, &stop))?);
        }
        Ok(listening)
    }

    pub(super) fn add_to(&self, report: &mut CollectorReport) {
        report.receive_buffer_bytes += self.buffer_bytes;
        for board in &self.boards {
            board.add_to(report);
        }
    }

    pub(super) fn learnt(&self) -> u64 {
        self.boards.iter().map(|board| board.lock().learnt).sum()
    }

    pub(super) fn states(&self) -> Vec<FlowState> {
        self.boards.iter().map(|board| board.lock().state.clone()).collect()
    }

    pub(super) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(address = %self.address, "a flow receiver panicked");
            }
        }
    }
}

impl Drop for UdpListening {
    fn drop(&mut self) {
        self.stop();
    }
}

fn open(listener: &Listener) -> io::Result<Vec<Socket>> {
    let mut address = listener.address;
    let mut sockets = Vec::new();
    for _ in 0..listener.socket_count() {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_port(true)?;
        if address.is_ipv6() {
            // IPv4 exporters come as mapped addresses; not everywhere may that be turned on.
            let _ = socket.set_only_v6(!address.ip().is_unspecified());
        }
        sys::grow_receive_buffer(&socket, listener.receive_buffer());
        sys::report_drops(socket.as_fd())?;
        socket.set_read_timeout(Some(WAIT))?;
        socket.bind(&address.into())?;
        // The next ones join the port that the kernel chose for the first.
        address = local_address(std::slice::from_ref(&socket))?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn local_address(sockets: &[Socket]) -> io::Result<SocketAddr> {
    let first = sockets.first().ok_or_else(|| io::Error::other("a listener without sockets"))?;
    let address = first.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("a socket without an IP address"))
}

fn run(socket: &Socket, worker: &mut Worker, stop: &AtomicBool) {
    let mut inbox = Inbox::new();
    let mut drops_before = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        match inbox.receive(socket.as_fd()) {
            Ok(()) => {
                let now_ns = now_ns();
                for (from, datagram) in inbox.datagrams() {
                    worker.decode(from, now_ns, datagram);
                }
                if let Some(drops) = inbox.drops() {
                    worker.kernel_drops += u64::from(drops.wrapping_sub(drops_before));
                    drops_before = drops;
                }
            }
            Err(error) if is_wait(&error) => {}
            Err(error) => {
                worker.receive_errors += 1;
                tracing::warn!(%error, "receiving flow datagrams failed; trying again");
                std::thread::sleep(WAIT);
            }
        }
        worker.turn(now_ns());
    }
    worker.finish();
}

fn is_wait(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::WouldBlock | Kind::TimedOut | Kind::Interrupted)
}
