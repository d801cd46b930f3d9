//! Alert rules: what shall not be, and when it is.
//!
//! What comes in: files of rules ([`parse()`]), rows of tables as they come and when they happened
//! ([`Engine::take`]), and the time ([`Engine::judge`]). What goes out: how each group of each rule stands
//! ([`Engine::standings`]), and what is to be said of it ([`Engine::turns`]). Rows count by when they happened: those
//! that are up to ten minutes late are judged as if they had come in time, whatever their order.
//!
//! What must never happen: a field of a file that is passed over, an order of rows that decides whether something
//! fires, work or memory without a bound, a group that is left out and not counted. Nothing here reads a clock,
//! and nothing does I/O.

mod baseline;
mod bits;
mod columns;
mod composite;
mod condition;
mod cycles;
mod engine;
mod export;
mod learn;
mod parse;
mod record;
mod rule;
mod series;
mod silence;
mod sketch;
mod standing;
mod tell;
mod turn;
mod watch;
mod watched;

pub use engine::{Counters, Engine, Limits, TableShape};
pub use learn::Learnt;
pub use parse::{KIND, check_together, parse, target_node};
pub use record::{Point, Recorded};
pub use rule::{
    Composite, Condition, Direction, Inhibitor, KNOWN_MS, LAG_MS, LATE_MS, Measure, Origin, Query,
    Rule, Season, Subject,
};
pub use silence::{MAX_SILENCE_MS, SHOWN_MS, Silence, Silenced};
pub use sketch::RELATIVE_ERROR;
pub use standing::{GroupStanding, RuleStanding, RuleState};
pub use tell::{Quiet, Turn};
pub use watch::Spell;
pub use watched::{Watched, span_of, times_of};
