//! The mesh's protocol without I/O.
//!
//! What comes in: events (a peer connected, a message arrived, a document changed, time passed), the
//! time as an argument, and a seed for randomness. What goes out: actions (send this, dial that,
//! reconcile this tenant with that peer) and a state that can be looked at. What must never happen: a
//! socket, a clock, a thread; a panic on a peer's bytes; a queue or map without a bound; a tenant named
//! to a peer that may not replicate it.
//!
//! [`MeshNode`] is the whole machine: membership (SWIM), leases, hints (Plumtree), dialling and the
//! schedule of anti-entropy. [`sync::Session`] is one reconciliation of one tenant over one stream.
//! Correctness depends on sessions alone; everything else may be lost.

mod address;
mod broadcast;
mod clock;
mod clock_bounds;
mod clock_web;
mod counters;
mod dial;
mod leases;
mod member;
mod node;
mod position;
mod proofs;
mod schedule;
mod store;
pub mod sync;
mod view;
/// Frames and messages.
pub mod wire;

pub use address::{Now, PeerKey};
pub use clock::SKEW_WARNING_MS;
pub use clock_bounds::{
    ClockBounds, ClockStamp, ClockView, Exchange, MAX_SAMPLES, Order, Taken, WINDOW_NS,
    WORST_DRIFT_PPM, WORST_SLEW_PPM, order,
};
pub use clock_web::{Narrowed, ToldOffset, narrow, over};
pub use counters::Counters;
pub use dial::{DialOutcome, Target};
pub use leases::MAX_AHEAD_MS;
pub use member::MemberId;
pub use node::{Action, Event, Footprint, Gone, MeshNode, NodeConfig};
pub use position::Position;
pub use schedule::{Scope, SyncReport};
pub use store::{DocumentStore, HintKeys, LeaseKeys, LeaseSigner};
pub use view::{ConflictView, LeaseView, MemberState, MemberView, SyncView};

mod timing;
pub use timing::Timing;
