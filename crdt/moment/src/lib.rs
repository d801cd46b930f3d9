//! One moment of a topology as dense arrays, and every question to it.
//!
//! What comes in: the nodes, edges and observed flow paths that hold at one time
//! ([`MomentBuilder`]). What goes out: routes, neighbourhoods, components, and above all what breaks
//! if something fails ([`Moment::what_if`], [`Moment::spof`]).
//! What must never happen: I/O, a clock, an answer that depends on the order in which elements came,
//! an allocation per step of a search, a total that is not exact, or a route that no packet took
//! shown as observed.

mod addresses;
mod adjacency;
mod builder;
mod flow_paths;
mod impact;
mod layers;
mod moment;
mod named;
mod names;
mod reach;
mod routes;
mod run_by;
mod search;
mod selector;
mod spof;
mod taken;
mod what_if;

pub use builder::MomentBuilder;
pub use impact::{
    BrokenPath, Coverage, Impact, ImpactDiff, ImpactedPrefix, ImpactedService, Listed, PrefixLoss,
    ReroutedPath, RouteStatus, Side, SloIndex, impact_diff, impact_diff_by,
};
pub use layers::{LayeredRoute, LayeredRoutes, RouteLayer, leads};
pub use moment::Moment;
pub use named::{Named, NamedElement};
pub use names::nearest;
pub use routes::{Metric, ObservedPath, Route, RouteQuery, Routes};
pub use search::{Around, Scratch, Toward};
pub use selector::{Selection, Selector, UnknownTarget};
pub use spof::{Spof, SpofRanking};
pub use what_if::{Limits, WhatIf};
