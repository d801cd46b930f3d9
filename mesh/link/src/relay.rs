//! What this node does for others that stand behind NAT: it keeps places for them and forwards the
//! packets of circuits to them. Who asks is a member of the mesh, proven by its certificate on the
//! connection that it asks on; everything else here is bounds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p_identity::PeerId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::config::RelayLimits;
use crate::streams::Opener;

/// Bytes of a circuit that are read at once, each way.
const BUFFER: usize = 16 * 1024;
/// A circuit in which nothing moves for this long has ended: connections in it say something every few
/// seconds.
const IDLE: Duration = Duration::from_secs(30);
const HOUR_MS: u64 = 3_600_000;
const MINUTE_MS: u64 = 60_000;

/// Places and circuits.
pub(crate) struct Relay {
    limits: RelayLimits,
    table: Mutex<Table>,
    bytes: AtomicU64,
}

#[derive(Default)]
struct Table {
    next: u64,
    reservations: HashMap<PeerId, Reserved>,
    circuits: BTreeMap<u64, [PeerId; 2]>,
    /// Bytes of each peer's circuits in this hour.
    spent: Window,
    /// Wishes of each peer in this minute.
    asked: Window,
}

struct Reserved {
    number: u64,
    opener: Opener,
}

/// Sums by peer that begin anew after a while.
#[derive(Default)]
struct Window {
    began_ms: u64,
    sums: HashMap<PeerId, u64>,
}

impl Window {
    fn add(&mut self, peer: PeerId, amount: u64, length_ms: u64, mono_ms: u64) -> u64 {
        if mono_ms.saturating_sub(self.began_ms) >= length_ms {
            self.began_ms = mono_ms;
            self.sums.clear();
        }
        let sum = self.sums.entry(peer).or_default();
        *sum = sum.saturating_add(amount);
        *sum
    }
}

/// Why a place or a circuit is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("this relay has as many circuits as it may have")]
    Circuits,
    #[error("one of the two has as many circuits at this relay as it may have")]
    CircuitsOfPeer,
    #[error("the node has no place at this relay")]
    NoReservation,
    #[error("one of the two has used up its bytes of this hour at this relay")]
    Bytes,
    #[error("too many wishes in a minute")]
    Rate,
    #[error("this relay has as many places as it may have")]
    Reservations,
}

impl Denied {
    /// The counter of this refusal.
    pub(crate) const fn counter(self) -> &'static str {
        match self {
            Self::Circuits => "relay_circuits_full",
            Self::CircuitsOfPeer => "relay_circuits_of_peer_full",
            Self::NoReservation => "relay_circuits_without_place_refused",
            Self::Bytes => "relay_bytes_of_peer_refused",
            Self::Rate => "relay_wishes_of_peer_refused",
            Self::Reservations => "relay_places_full",
        }
    }
}

/// What stands at this relay now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayStatus {
    /// Whether it relays at the moment.
    pub serving: bool,
    /// Nodes that have a place.
    pub reservations: usize,
    /// Circuits between pairs of nodes.
    pub circuits: usize,
    /// Bytes forwarded since the start, both ways.
    pub bytes: u64,
}

impl Relay {
    pub(crate) fn new(limits: RelayLimits) -> Self {
        Self { limits, table: Mutex::default(), bytes: AtomicU64::new(0) }
    }

    pub(crate) fn status(&self, serving: bool) -> RelayStatus {
        let table = self.table();
        RelayStatus {
            serving,
            reservations: table.reservations.len(),
            circuits: table.circuits.len(),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Nodes that have a place here, and either end of every circuit.
    pub(crate) fn served(&self) -> BTreeSet<PeerId> {
        let table = self.table();
        let ends = table.circuits.values().flatten().copied();
        table.reservations.keys().copied().chain(ends).collect()
    }

    /// A place for `peer`, reached by `opener`; its earlier one, if any, is gone.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        peer: PeerId,
        opener: Opener,
        mono_ms: u64,
    ) -> Result<Place, Denied> {
        let mut table = self.table();
        table.ask(&self.limits, peer, mono_ms)?;
        let full = table.reservations.len() >= self.limits.reservations;
        if full && !table.reservations.contains_key(&peer) {
            return Err(Denied::Reservations);
        }
        let number = table.number();
        table.reservations.insert(peer, Reserved { number, opener });
        Ok(Place { relay: self.clone(), peer, number })
    }

    /// A circuit from `from` to `to`, and where to open its second half.
    pub(crate) fn connect(
        self: &Arc<Self>,
        from: PeerId,
        to: PeerId,
        mono_ms: u64,
    ) -> Result<(Circuit, Opener), Denied> {
        let mut table = self.table();
        table.ask(&self.limits, from, mono_ms)?;
        let opener =
            table.reservations.get(&to).map(|r| r.opener.clone()).ok_or(Denied::NoReservation)?;
        if table.circuits.len() >= self.limits.circuits {
            return Err(Denied::Circuits);
        }
        for peer in [from, to] {
            let has = table.circuits.values().filter(|ends| ends.contains(&peer)).count();
            if has >= self.limits.circuits_of_peer {
                return Err(Denied::CircuitsOfPeer);
            }
            if table.spent.add(peer, 0, HOUR_MS, mono_ms) >= self.limits.bytes_of_peer_an_hour {
                return Err(Denied::Bytes);
            }
        }
        let number = table.number();
        table.circuits.insert(number, [from, to]);
        Ok((Circuit { relay: self.clone(), ends: [from, to], number }, opener))
    }

    /// Books forwarded bytes to both ends; whether both may have more.
    fn spend(&self, ends: [PeerId; 2], bytes: u64, mono_ms: u64) -> bool {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut table = self.table();
        let sums = ends.map(|peer| table.spent.add(peer, bytes, HOUR_MS, mono_ms));
        sums.iter().all(|sum| *sum <= self.limits.bytes_of_peer_an_hour)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Changed in whole steps: a panic elsewhere leaves nothing half done.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn ask(&mut self, limits: &RelayLimits, peer: PeerId, mono_ms: u64) -> Result<(), Denied> {
        let asked = self.asked.add(peer, 1, MINUTE_MS, mono_ms);
        if asked > limits.wishes_of_peer_a_minute { Err(Denied::Rate) } else { Ok(()) }
    }
}

/// A place that is kept while this lives.
pub(crate) struct Place {
    relay: Arc<Relay>,
    peer: PeerId,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.relay.table();
        if table.reservations.get(&self.peer).is_some_and(|place| place.number == self.number) {
            table.reservations.remove(&self.peer);
        }
    }
}

/// A circuit that counts while this lives.
pub(crate) struct Circuit {
    relay: Arc<Relay>,
    ends: [PeerId; 2],
    number: u64,
}

/// Why a circuit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// One end is done, or its connection broke.
    Closed,
    /// An end used up its bytes.
    Bytes,
    /// It stood as long as one may.
    Duration,
    /// Nothing moved.
    Idle,
}

impl End {
    /// The counter of circuits that ended so.
    pub(crate) const fn counter(self) -> &'static str {
        match self {
            Self::Closed => "relay_circuits_closed",
            Self::Bytes => "relay_circuits_over_bytes_dropped",
            Self::Duration => "relay_circuits_over_duration_dropped",
            Self::Idle => "relay_circuits_idle_dropped",
        }
    }
}

impl Circuit {
    /// Forwards both ways until the circuit ends. `clock` gives milliseconds since the start.
    pub(crate) async fn forward<S>(self, one: S, other: S, clock: impl Fn() -> u64) -> End
    where
        S: AsyncRead + AsyncWrite,
    {
        let (one_reads, one_writes) = tokio::io::split(one);
        let (other_reads, other_writes) = tokio::io::split(other);
        let clock = &clock;
        tokio::select! {
            end = self.one_way(one_reads, other_writes, clock) => end,
            end = self.one_way(other_reads, one_writes, clock) => end,
            () = tokio::time::sleep(self.relay.limits.circuit_duration) => End::Duration,
        }
    }

    async fn one_way(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        clock: impl Fn() -> u64,
    ) -> End {
        let mut buffer = vec![0; BUFFER];
        loop {
            let moved = async {
                let length = from.read(&mut buffer).await?;
                to.write_all(&buffer[..length]).await?;
                to.flush().await?;
                Ok::<_, std::io::Error>(length)
            };
            match tokio::time::timeout(IDLE, moved).await {
                Err(_) => return End::Idle,
                Ok(Err(_)) => return End::Closed,
                Ok(Ok(0)) => {
                    // The last packets of this direction arrive before the end does.
                    drop(to.shutdown().await);
                    return End::Closed;
                }
                Ok(Ok(length)) => {
                    if !self.relay.spend(self.ends, length as u64, clock()) {
                        return End::Bytes;
                    }
                }
            }
        }
    }
}

impl Drop for Circuit {
    fn drop(&mut self) {
        self.relay.table().circuits.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> PeerId {
        let mut bytes = vec![0x12, 0x20];
        bytes.extend([number; 32]);
        PeerId::from_bytes(&bytes).expect("a SHA-256 multihash")
    }

    fn relay(limits: RelayLimits) -> Arc<Relay> {
        Arc::new(Relay::new(limits))
    }

    #[test]
    fn places_are_bounded_kept_by_the_later_wish_and_free_again() {
        let relay = relay(RelayLimits { reservations: 2, ..RelayLimits::default() });
        let first = relay.reserve(peer(1), Opener::nowhere(), 0).expect("free");
        let again = relay.reserve(peer(1), Opener::nowhere(), 0).expect("its own");
        let _other = relay.reserve(peer(2), Opener::nowhere(), 0).expect("free");
        let refused = relay.reserve(peer(3), Opener::nowhere(), 0).map(drop);
        assert_eq!(refused, Err(Denied::Reservations));
        drop(first);
        assert!(relay.connect(peer(2), peer(1), 0).is_ok(), "the later wish has the place");
        drop(again);
        let refused = relay.connect(peer(2), peer(1), 0).map(drop);
        assert_eq!(refused, Err(Denied::NoReservation));
        assert!(relay.reserve(peer(3), Opener::nowhere(), 0).is_ok());
    }

    #[test]
    fn circuits_are_bounded_in_all_and_for_each_node() {
        let limits = RelayLimits { circuits: 3, circuits_of_peer: 2, ..RelayLimits::default() };
        let relay = relay(limits);
        let _places: Vec<Place> =
            (1..=6).map(|n| relay.reserve(peer(n), Opener::nowhere(), 0).expect("free")).collect();
        let connect = |from, to| relay.connect(peer(from), peer(to), 0).map(|(circuit, _)| circuit);
        let kept = [connect(1, 2).expect("free"), connect(3, 1).expect("free")];
        assert_eq!(connect(1, 4).map(drop), Err(Denied::CircuitsOfPeer));
        assert_eq!(connect(4, 1).map(drop), Err(Denied::CircuitsOfPeer), "also towards it");
        let third = connect(4, 5).expect("free");
        assert_eq!(connect(5, 6).map(drop), Err(Denied::Circuits));
        assert_eq!(relay.status(true).circuits, 3);
        drop((kept, third));
        assert_eq!(relay.status(true).circuits, 0);
        assert!(connect(1, 4).is_ok());
    }

    #[test]
    fn bytes_of_an_hour_and_wishes_of_a_minute_are_bounded_and_come_back() {
        let limits = RelayLimits {
            bytes_of_peer_an_hour: 100,
            wishes_of_peer_a_minute: 3,
            ..RelayLimits::default()
        };
        let relay = relay(limits);
        let _place = relay.reserve(peer(2), Opener::nowhere(), 0).expect("free");
        let (circuit, _) = relay.connect(peer(1), peer(2), 0).expect("free");
        assert!(relay.spend(circuit.ends, 100, 0));
        assert!(!relay.spend(circuit.ends, 1, 0));
        let refused = relay.connect(peer(1), peer(2), 1).map(drop);
        assert_eq!(refused, Err(Denied::Bytes));
        assert_eq!(relay.connect(peer(3), peer(2), 1).map(drop), Err(Denied::Bytes), "its too");
        assert_eq!(relay.connect(peer(1), peer(9), 1).map(drop), Err(Denied::NoReservation));
        assert_eq!(relay.connect(peer(1), peer(2), 1).map(drop), Err(Denied::Rate));
        assert_eq!(relay.connect(peer(1), peer(2), MINUTE_MS).map(drop), Err(Denied::Bytes));
        assert!(relay.connect(peer(1), peer(2), HOUR_MS).is_ok());
        assert_eq!(relay.status(false).bytes, 101);
    }

    #[tokio::test]
    async fn a_circuit_carries_bytes_both_ways_until_one_end_is_done_or_it_stood_long_enough() {
        let limits =
            RelayLimits { circuit_duration: Duration::from_millis(50), ..RelayLimits::default() };
        let relay = relay(limits);
        let _place = relay.reserve(peer(2), Opener::nowhere(), 0).expect("free");
        let circuit = || relay.connect(peer(1), peer(2), 0).expect("free").0;

        let (mut one, left) = tokio::io::duplex(64);
        let (right, mut other) = tokio::io::duplex(64);
        let forwarding = tokio::spawn(circuit().forward(left, right, || 0));
        let mut read = [0; 4];
        one.write_all(b"ping").await.expect("writes");
        other.read_exact(&mut read).await.expect("reads");
        assert_eq!(&read, b"ping");
        other.write_all(b"pong").await.expect("writes");
        one.read_exact(&mut read).await.expect("reads");
        assert_eq!(&read, b"pong");
        drop(one);
        assert_eq!(forwarding.await.expect("ends"), End::Closed);
        assert_eq!(other.read(&mut read).await.expect("reads"), 0, "the other end hears of it");

        let (_one, left) = tokio::io::duplex(64);
        let (right, _other) = tokio::io::duplex(64);
        assert_eq!(circuit().forward(left, right, || 0).await, End::Duration);
        assert_eq!(relay.status(true).circuits, 0);
        assert_eq!(relay.status(true).bytes, 8);
    }
}
