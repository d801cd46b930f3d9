//! Changes: what somebody did to the network and what runs on it, and which of it an incident may come
//! from.
//!
//! What comes in: deliveries of webhooks ([`Signed`], then [`read`]), what planes see to be different
//! ([`Watch`]), and the records of every site ([`Book`]). What goes out: records to replicate, the list of
//! changes, and for an incident the changes that may have led to it, each with a score and the parts of it
//! ([`rank()`](fn@rank)). What must never happen: a body that is parsed before its signature held; one change twice,
//! because it was delivered again, elsewhere or in another order; or anything that asks a clock, draws a
//! number or touches a disk. Times and the topology at a moment are arguments. Why it is so:
//! `docs/adr/0022-changes.md`.

mod book;
mod change;
mod delivery;
mod id;
mod packed;
mod proximity;
mod rank;
mod signature;
mod source;
mod targets;
mod watch;

pub use book::{Book, Known, RecordKey};
pub use change::{
    Change, ChangeKind, Draft, MAX_CHANGE_ATTRIBUTES, MAX_TARGETS, MAX_TEXT_BYTES, MAX_WORD_BYTES,
};
pub use delivery::{Malformed, Read, read};
pub use id::ChangeId;
pub use proximity::{MAX_HOPS, Near, Proximity};
pub use rank::{Part, Ranked, Score, Subject, Weights, rank};
pub use signature::{Headers, Refusal, Signed};
pub use source::{MAX_SOURCES, Provider, Revoked, SOURCES_AREA, Source, SourceError};
pub use targets::{candidates, resolve};
pub use watch::{Seen, Watch, WatchCounters};

/// Longest body of a delivery, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Most changes of one delivery.
pub const MAX_CHANGES_OF_A_DELIVERY: usize = 100;
/// How long after an incident began a change may have been made to count as before it, in milliseconds:
/// clocks differ.
pub const SKEW_MS: u64 = 5 * 60 * 1_000;
/// How long before an incident changes are looked for unless asked otherwise, in milliseconds.
pub const WINDOW_MS: u64 = 24 * 60 * 60 * 1_000;
