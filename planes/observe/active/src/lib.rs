//! The active plane: probes to the other sites and to configured targets, over IPv4 and IPv6.
//!
//! What comes in: a strict [`Config`], the peers of the mesh, and whatever the targets answer. What
//! goes out: one row a probe (table `active_results`), a `path` edge from this site's agent to every
//! host that answers, and a health report that says which kinds of probe work here. What must never
//! happen: a number that was not measured (absent phases are left out, never zero), a reply that is
//! taken for another probe's, or an answer that grows without a bound.

mod config;
mod outcome;
mod plane;
mod probes;
mod schedule;
mod typical;

pub use config::{Config, Family, ProbeKind, Target};
pub use plane::ActivePlane;
