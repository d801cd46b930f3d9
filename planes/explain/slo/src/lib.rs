//! Objectives: how good something shall be, how good it was, and how quickly its budget goes.
//!
//! What comes in: files of OpenSLO ([`parse`]), sums of rows by the minute ([`Measure::ledger`]), the records
//! of all sites ([`Ledger::take`]), and the time. What goes out: how each objective stands
//! ([`Definition::judge`]), the way of its budget, what burns ([`Latches`]), and the records that a node has to
//! write ([`Series`], [`Day`], [`Slot`]). Each cell of a ledger has one writer and only grows, so what all sites
//! counted is the same at each of them, whatever the order in which records came, and budgets of both
//! halves of a mesh add up.
//!
//! What must never happen: a field of a file that is passed over, a row that is counted twice, a count that a
//! restart or a partition loses, a panic over a record of somebody else. Nothing here reads a clock, and
//! nothing does I/O.

mod count;
mod definition;
mod export;
mod judge;
mod latch;
mod ledger;
mod minutes;
mod openslo;
mod window;

pub use count::{Count, Day, SLOT_MIN, Slot, decode_slot, encode_slot};
pub use definition::{
    Budgeting, Counted, Definition, Indicator, Measure, MeasureId, Objective, PARTS, Slices, Source,
};
pub use holm_policy::{
    Literal, MAX_FILE_BYTES, Mark, Operator, Predicate, Problem, Refused, quoted,
};
pub use judge::{
    Attained, BudgetPoint, Burn, COLD_BELOW, FORECAST_MIN, SiteStanding, Standing, Tier,
};
pub use latch::{Alarm, Latches, Turn};
pub use ledger::{Ledger, RecordKey, Series, Writer, minute_of};
pub use minutes::Rows;
pub use openslo::parse;
pub use window::{Calendar, DAY_MS, HOUR_MS, MINUTE_MS, Step, Window};
