//! A relay for UDP.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::hold::{Hold, ROOM};
use crate::link::{Direction, Link, count};
use crate::way::{Fate, Way};

/// Most clients; each has a socket of its own towards the server, for as long as the relay lives.
const MAX_CLIENTS: usize = 256;
/// Longest datagram.
const MAX_DATAGRAM: usize = 65_536;

/// Passes datagrams between clients and one server. It ends when this is dropped.
#[derive(Debug)]
pub struct UdpRelay {
    local: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl UdpRelay {
    /// Listens at `listen` and passes on to `server`.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn open(listen: SocketAddr, server: SocketAddr, link: Link) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(listen).await?);
        let local = socket.local_addr()?;
        let task = AbortOnDropHandle::new(tokio::spawn(relay(socket, server, link)));
        Ok(Self { local, _task: task })
    }

    /// Where clients send to.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }
}

/// One way of one client.
struct Sender {
    way: Way<StdRng>,
    link: Link,
    direction: Direction,
    held: mpsc::Sender<(Instant, Vec<u8>)>,
}

impl Sender {
    fn pass(&mut self, datagram: &[u8]) {
        let tally = self.link.tally(self.direction);
        count(&tally.came);
        match self.way.fate(&self.link.shape(self.direction)) {
            Fate::Lost => count(&tally.lost),
            Fate::Cut => count(&tally.cut),
            Fate::After(delay) => {
                if self.held.try_send((Instant::now() + delay, datagram.to_vec())).is_err() {
                    count(&tally.no_room);
                }
            }
        }
    }
}

/// A client's way forth, and the tasks of both ways.
struct Client {
    forth: Sender,
    _tasks: [AbortOnDropHandle<()>; 3],
}

async fn relay(socket: Arc<UdpSocket>, server: SocketAddr, link: Link) {
    let mut clients: HashMap<SocketAddr, Client> = HashMap::new();
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        // An error is that of an earlier datagram (ICMP says that a client is gone).
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        if !clients.contains_key(&from) {
            let made = match clients.len() < MAX_CLIENTS {
                true => client(&socket, from, server, &link).await.ok(),
                false => None,
            };
            let Some(client) = made else {
                count(&link.tally(Direction::Forth).no_room);
                continue;
            };
            clients.insert(from, client);
        }
        if let Some(client) = clients.get_mut(&from) {
            client.forth.pass(&buffer[..length]);
        }
    }
}

async fn client(
    socket: &Arc<UdpSocket>,
    from: SocketAddr,
    server: SocketAddr,
    link: &Link,
) -> io::Result<Client> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let upstream = Arc::new(UdpSocket::bind(any).await?);
    upstream.connect(server).await?;
    let sender = |direction| {
        let (held, packets) = mpsc::channel(ROOM);
        let way = Way::new(StdRng::seed_from_u64(link.next_seed()));
        (Sender { way, link: link.clone(), direction, held }, packets)
    };
    let (forth, packets_forth) = sender(Direction::Forth);
    let (mut back, packets_back) = sender(Direction::Back);
    let to_server = {
        let (upstream, link) = (Arc::clone(&upstream), link.clone());
        async move {
            let mut held: Hold<Vec<u8>> = Hold::new(packets_forth);
            while let Some(datagram) = held.next().await {
                sent(&link, Direction::Forth, upstream.send(&datagram).await);
            }
        }
    };
    let to_client = {
        let (socket, link) = (Arc::clone(socket), link.clone());
        async move {
            let mut held: Hold<Vec<u8>> = Hold::new(packets_back);
            while let Some(datagram) = held.next().await {
                sent(&link, Direction::Back, socket.send_to(&datagram, from).await);
            }
        }
    };
    let listen = async move {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            // An error is that of an earlier datagram (ICMP says that the server is gone).
            if let Ok(length) = upstream.recv(&mut buffer).await {
                back.pass(&buffer[..length]);
            }
        }
    };
    let tasks: [AbortOnDropHandle<()>; 3] = [
        AbortOnDropHandle::new(tokio::spawn(to_server)),
        AbortOnDropHandle::new(tokio::spawn(to_client)),
        AbortOnDropHandle::new(tokio::spawn(listen)),
    ];
    Ok(Client { forth, _tasks: tasks })
}

fn sent(link: &Link, direction: Direction, result: io::Result<usize>) {
    let tally = link.tally(direction);
    count(if result.is_ok() { &tally.went } else { &tally.failed });
}
