//! The temporal graph: what exists, since when, and who says so.
//!
//! What comes in: observations of this site ([`Fold`]) and the elements that every site recorded
//! ([`TopologyGraph::apply`]). What goes out: changes to write down ([`ElementChange`]), and views
//! of the whole at any moment ([`Snapshot`], [`ElementView`], [`Coverage`], [`SiteFreshness`]).
//! What must never happen: I/O, a clock, a panic over a hostile name, a map without a bound, or an
//! answer that depends on the order in which elements arrived.

mod aliases;
mod change;
mod compared;
mod diff;
mod element;
mod find;
mod fold;
mod freshness;
mod joining;
mod meant;
mod moment;
mod order;
mod part_diff;
mod paths;
mod plans;
mod reach;
mod records;
mod serving;
mod silent;
mod snapshot;
mod topology;
mod view;
mod wanted;
mod watching;

pub use aliases::AliasView;
pub use change::{ElementChange, ElementChangeKind, SiteElement};
pub use diff::{AttributeChange, ChangeCount, ChangedElement, Diff, UnknownAttributes};
pub use find::{ElementsOf, FoundNode, FoundNodes};
pub use fold::{Fold, FoldCounters, FoldLimits, Folded, OpenElement};
pub use freshness::{FreshnessThresholds, LinkState, SiteFreshness, SiteState, judge_freshness};
pub use joining::Folding;
pub use meant::MeantBySite;
pub use paths::{PathView, PathsOf};
pub use reach::{Reached, SiteSight, Verdict, WITNESSES, judge_reach};
pub use topology::TopologyGraph;
pub use view::{
    Coverage, Direction, EdgeView, ElementView, Neighbour, NeighboursOf, NodeView, SaidBefore,
    SiteRecord, Snapshot, SnapshotFilter, UnknownNode,
};
pub use watching::NotWatching;
