//! How a peer is named on the wire, and what time it is.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use holm_model::Millis;

use crate::ClockStamp;

/// A node's routing handle: the bytes of its PeerId (a SHA-256 multihash of its public key). An
/// identity is a SPIFFE ID, never this.
#[derive(Clone, Copy, Eq)]
pub struct PeerKey(pub [u8; 34]);

impl PeerKey {
    /// What nearly always tells two apart, without a call.
    const fn head(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl PartialEq for PeerKey {
    /// By their bytes. Foca looks a member up by walking all of them: most differ in the head.
    fn eq(&self, other: &Self) -> bool {
        self.head() == other.head() && self.0 == other.0
    }
}

impl Hash for PeerKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Ord for PeerKey {
    /// By their bytes.
    fn cmp(&self, other: &Self) -> Ordering {
        self.head().cmp(&other.head()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for PeerKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The first two bytes of every SHA-256 multihash are the same.
        self.0[2..10].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerKey({self})")
    }
}

/// The time of an event, by all clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since an arbitrary start; never runs backwards. All waiting is measured in it.
    pub mono_ms: u64,
    /// The wall clock; may jump. Only leases and clock estimates use it.
    pub wall: Millis,
    /// What is said to peers about both clocks, so that they can bound the difference to theirs.
    /// `None` where the machine has no clock that is not slewed: then nothing is said.
    pub clock: Option<ClockStamp>,
}

impl Now {
    /// A time without stamps for peers.
    pub const fn plain(mono_ms: u64, wall: Millis) -> Self {
        Self { mono_ms, wall, clock: None }
    }
}
