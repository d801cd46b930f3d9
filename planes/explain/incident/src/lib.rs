//! Signals become incidents.
//!
//! What comes in: signals of this site's planes ([`Intake`]), and the records of every site ([`Book`]):
//! reports (something was bad from then until then), witnesses (it is fine from here) and actions of
//! people. What goes out: records to replicate, and incidents ([`Judged`]) with the reason of each join.
//! What must never happen: that two nodes with the same records see different incidents, whatever the
//! order in which the records came; that an edit is lost because another was made at the same time; or
//! anything that asks a clock, draws a number or touches a disk. Times, randomness and what the topology
//! says are arguments. Why it is so: `docs/adr/0020-incidents.md`.

mod action;
mod anchor;
mod book;
mod damper;
mod evolve;
mod grouping;
mod intake;
mod judged;
mod links;
mod packed;
mod probes;
mod report;
mod seen_from;
mod services;
mod verdict;
mod ways;

pub use action::{Action, Ahead, Deed, MAX_FAULTS_OF_A_SPLIT, MAX_NOTE_BYTES, MAX_OWNER_BYTES};
pub use anchor::{Anchor, FaultId, MAX_ANCHORS, Place, Resolved};
pub use book::{Book, RecordId};
pub use damper::{Damper, REMEMBERED_MS, UNUSUAL_FOR_MS, USUAL_FOR_MS};
pub use evolve::{State, Turn, Why};
pub use grouping::{Join, Reason};
pub use intake::{Intake, IntakeCounters, IntakeLimits};
pub use judged::{ActionError, Conflict, Incident, Judged};
pub use probes::{Outcome, ProbeWatch, Sight};
pub use report::{Report, Spell, Witness};
pub use services::{ServiceWatch, Tried};
pub use verdict::{Vantages, Verdict};
pub use ways::{Trace, Turned, WayWatch};

/// Reports of the same thing, of a prefix and what lies in it, are of one incident if no longer than this
/// lies between them, in milliseconds.
pub const WINDOW_MS: u64 = 10 * 60 * 1_000;
/// Reports of neighbours are of one incident if they began within this of each other, in milliseconds.
pub const NEAR_WINDOW_MS: u64 = 2 * 60 * 1_000;
/// How long all must be well before an incident is resolved by itself, in milliseconds.
pub const HOLD_MS: u64 = 2 * 60 * 1_000;
/// The same for what comes and goes, at most, in milliseconds.
pub const MAX_HOLD_MS: u64 = 30 * 60 * 1_000;
/// What came so often within [`MAX_HOLD_MS`] comes and goes.
pub const FLAPS: usize = 3;
