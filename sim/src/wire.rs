//! Connections and the streams on them, as far as the nodes can tell: ordered, reliable while both ends
//! live and reach each other, silent when they do not.
//!
//! Loss does not lose anything on a stream: the packet is sent again a round trip later, and what was
//! sent after it waits. While the way is blocked, messages wait at the sender, up to a bound, until the
//! way is free or the connection is given up. Bandwidth is free.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Control messages that wait at the sender, as in the real link; more are dropped.
pub(crate) const MAX_WAITING: usize = 512;
/// How often a blocked sender tries again.
pub(crate) const RETRY_US: u64 = 250_000;
/// How long a dial that nobody answers takes: the link's handshake limit.
pub(crate) const DIAL_TIMEOUT_US: u64 = 5_000_000;
/// How long a side of a session waits for a message: the link's limit.
pub(crate) const SESSION_TIMEOUT_US: u64 = 30_000_000;
/// What a handshake costs each side in bytes: QUIC's padded first datagrams, TLS 1.3 with two chains
/// of about 750 bytes, the Hellos, and the chain that is sent again on the control stream.
pub(crate) const HANDSHAKE_BYTES: u64 = 4_000;
/// What a dial that nobody answers costs: three padded first datagrams.
pub(crate) const LOST_DIAL_BYTES: u64 = 3_600;
/// Around each message: IP, UDP, QUIC's header and seal, and the share of an acknowledgement.
pub(crate) const PACKET_BYTES: u64 = 60;

/// One frame on its way.
pub(crate) type Bytes = std::sync::Arc<[u8]>;

/// One connection of two nodes; side 0 dialled.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) ends: [usize; 2],
    pub(crate) open: [bool; 2],
    pub(crate) waiting: [VecDeque<Bytes>; 2],
    pub(crate) retrying: [bool; 2],
    pub(crate) last_arrival_us: [u64; 2],
    pub(crate) sessions: BTreeSet<u64>,
}

impl Connection {
    pub(crate) fn new(ends: [usize; 2]) -> Self {
        Self {
            ends,
            open: [true, true],
            waiting: [VecDeque::new(), VecDeque::new()],
            retrying: [false; 2],
            last_arrival_us: [0; 2],
            sessions: BTreeSet::new(),
        }
    }

    pub(crate) fn side_of(&self, node: usize) -> usize {
        usize::from(self.ends[0] != node)
    }
}

/// Who reaches whom.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    group: BTreeMap<usize, u8>,
    one_way: Option<(BTreeSet<usize>, BTreeSet<usize>)>,
    pub(crate) loss_permille: u32,
}

impl Ways {
    pub(crate) fn split(&mut self, groups: &[u8]) {
        self.group = groups.iter().copied().enumerate().collect();
    }

    pub(crate) fn one_way(&mut self, from: &[usize], to: &[usize]) {
        self.one_way = Some((from.iter().copied().collect(), to.iter().copied().collect()));
    }

    pub(crate) fn heal(&mut self) {
        self.group.clear();
        self.one_way = None;
    }

    /// Whether nothing flies from `from` to `to`.
    pub(crate) fn blocked(&self, from: usize, to: usize) -> bool {
        let cut =
            |(a, b): &(BTreeSet<usize>, BTreeSet<usize>)| a.contains(&from) && b.contains(&to);
        self.group.get(&from) != self.group.get(&to) || self.one_way.as_ref().is_some_and(cut)
    }
}
