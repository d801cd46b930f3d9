//! The mesh in virtual time: the real protocol machine and the real sessions of `holm-mesh-proto`, on a
//! simulated globe.
//!
//! What comes in: a scenario, a number of sites, a seed. What goes out: one JSON object: how fast news
//! spread, how often it was doubled, whether all became equal, whether a promise was broken. What must
//! never happen: a look at a real clock or at real randomness that changes what happens (the same seed
//! gives the same trace, event by event), or a checker that the nodes could influence.
//!
//! [`World`] has one queue of events by (time, order). Nodes exchange the encoded bytes of their
//! messages with the latency of the anchor's model ([`geo`]); disks lose what was not synced
//! ([`store`]); faults come from a script ([`plan`]); [`run()`] judges at the end.

mod base;
mod chance;
mod clocks;
pub mod geo;
mod idle;
mod keys;
mod malice;
pub mod plan;
mod queue;
mod run;
mod scenario;
pub mod store;
mod watch;
mod wire;
mod world;

pub mod bench;

pub use base::{Base, MAX_BASE_BYTES};
pub use idle::idle_round_bytes;
pub use run::{Outcome, lost_writes, median, p99_ms, run, run_plan};
pub use scenario::{MAX_HOURS, MAX_SITES, Params, SCENARIOS, Scenario, ScenarioError};
pub use watch::{Acknowledged, Spreading, Trace, Watch};
pub use world::{Site, World};
