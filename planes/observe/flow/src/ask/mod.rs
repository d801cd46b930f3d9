//! Questions about flows: a small filter language and dimensions, made into SQL.
//!
//! What comes in: texts of users. What goes out: SQL over table `flows` whose every literal was parsed
//! into its type first, so that nothing of a user's text stands in it but numbers, addresses, and texts
//! between quotes; and errors that say where and what to do. No I/O, no clock.

mod complete;
mod dimension;
mod filter;
mod lex;
mod sql;

pub use complete::{Completion, Expected, complete};
pub use dimension::{DIMENSIONS, Dimension};
pub use filter::{FIELDS, Field, FieldKind, Filter, FilterError};
pub use sql::{
    Cell, Metric, Scope, dedup_sql, dedup_total_sql, interfaces_sql, rows_sql, series_sql, top_sql,
    top_within_sql, total_sql,
};
