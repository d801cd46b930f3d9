//! Faults between two ends: relays in user space that delay, lose and cut off what goes through them, by
//! seed. Put one between two programs, change its [`Link`] while they talk, and see what they make of it.
//!
//! ```text
//! client ──▶ relay ──forth──▶ server       Link: faults now, counters of both ways
//!        ◀──        ◀──back──
//! ```
//!
//! What a relay does to a packet is decided by [`Way`], which takes the time and the randomness as arguments.
//! Time is that of tokio's timer: delays are exact to about a millisecond. Bandwidth is not limited.

mod experiment;
mod hold;
mod link;
mod selftest;
mod tcp;
mod udp;
mod way;

pub use experiment::{Phases, experiment};
pub use link::{Counts, Faults, Link};
pub use selftest::{Check, selftest};
pub use tcp::TcpRelay;
pub use udp::UdpRelay;
pub use way::{Fate, Shape, Way};
