//! UDP relays in front of the mesh ports, where no namespace can be made: a site is cut off by
//! dropping its datagrams, in both directions.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::net::UdpSocket;

const MAX_SOURCES: usize = 1_024;

/// One relay a site.
#[derive(Clone)]
pub(super) struct Relays {
    cut: Arc<Vec<AtomicBool>>,
}

impl Relays {
    /// For each site: where its relay listens, and the mesh port behind it.
    pub(super) async fn start(sites: Vec<(SocketAddr, SocketAddr)>) -> anyhow::Result<Self> {
        let cut: Arc<Vec<AtomicBool>> =
            Arc::new(sites.iter().map(|_| AtomicBool::new(false)).collect());
        let behind: Arc<Vec<SocketAddr>> = Arc::new(sites.iter().map(|(_, to)| *to).collect());
        for (site, (listen, _)) in sites.iter().enumerate() {
            let socket = UdpSocket::bind(listen).await.with_context(|| {
                format!("UDP port {listen} is in use; is another demo running?")
            })?;
            let relay = Relay {
                site,
                socket: Arc::new(socket),
                behind: Arc::clone(&behind),
                cut: Arc::clone(&cut),
                sources: Mutex::default(),
            };
            tokio::spawn(Arc::new(relay).run());
        }
        Ok(Self { cut })
    }

    pub(super) fn cut(&self, site: usize, cut: bool) {
        self.cut[site].store(cut, Ordering::SeqCst);
    }
}

struct Relay {
    site: usize,
    socket: Arc<UdpSocket>,
    behind: Arc<Vec<SocketAddr>>,
    cut: Arc<Vec<AtomicBool>>,
    /// For each source its own socket towards the mesh port, so that answers find their way back.
    sources: Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>,
}

impl Relay {
    async fn run(self: Arc<Self>) {
        let mut datagram = vec![0; 65_536];
        loop {
            let Ok((length, source)) = self.socket.recv_from(&mut datagram).await else { continue };
            if self.is_cut_for(source) {
                continue;
            }
            let Some(socket) = self.socket_for(source).await else { continue };
            // A datagram may be lost; that is what datagrams are.
            let _ = socket.send(&datagram[..length]).await;
        }
    }

    /// Whether this site is cut off, or the one that the datagram comes from.
    fn is_cut_for(&self, source: SocketAddr) -> bool {
        let from = self.behind.iter().position(|address| address.ip() == source.ip());
        [Some(self.site), from].into_iter().flatten().any(|s| self.cut[s].load(Ordering::SeqCst))
    }

    async fn socket_for(self: &Arc<Self>, source: SocketAddr) -> Option<Arc<UdpSocket>> {
        if let Some(socket) = self.known(source) {
            return Some(socket);
        }
        // Bound to the source's own address, so that the node behind sees who it is.
        let socket = UdpSocket::bind(SocketAddr::new(source.ip(), 0)).await.ok()?;
        socket.connect(self.behind[self.site]).await.ok()?;
        let socket = Arc::new(socket);
        {
            let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
            if sources.len() >= MAX_SOURCES {
                sources.clear();
            }
            sources.insert(source, Arc::clone(&socket));
        }
        tokio::spawn(Arc::clone(self).answers(source, Arc::clone(&socket)));
        Some(socket)
    }

    fn known(&self, source: SocketAddr) -> Option<Arc<UdpSocket>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).get(&source).cloned()
    }

    async fn answers(self: Arc<Self>, source: SocketAddr, socket: Arc<UdpSocket>) {
        let mut datagram = vec![0; 65_536];
        loop {
            // An error here is a port that nobody listens on (yet): the next datagram may do.
            let Ok(length) = socket.recv(&mut datagram).await else {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            if !self.is_cut_for(source) {
                let _ = self.socket.send_to(&datagram[..length], source).await;
            }
        }
    }
}
