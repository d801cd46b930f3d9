//! The path plane: by which ways packets reach every other site and the configured targets.
//!
//! What comes in: a strict [`Config`], the peers of the mesh, and the ICMP errors that routers send for
//! probes whose TTL ends there. What goes out: the way of each flow as a path of the graph, one row a
//! trace (table `path_results`) with the bound on what it may have missed, one row a change
//! (`path_changes`), and a health report that says by what means it looks. What must never happen: a
//! reply that is taken for another probe's, a hop that nobody answered from, or a way that is given as
//! whole when probes or time ran out.

pub mod engine;
pub mod socket;
pub mod wire;
