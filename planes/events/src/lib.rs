//! The site-local row store: what happened, in volume, stays where it was seen.
//!
//! What comes in: rows of one tenant, without blocking ([`RowStore::append`]). What goes out: the
//! newest rows of a table, and counters. Rows are committed in groups (every 200 ms at most) and
//! sealed with a key derived from the tenant's data key. Bounds on age and bytes drop the oldest
//! rows first. What must never happen: a drop without a counter, a producer that waits for the disk,
//! or a damaged file that keeps the node from starting.
//!
//! This is the bounded store of the first issue; Parquet and SQL take its place behind the same
//! `append` (DESIGN §7).

mod block;
mod error;
mod quiet;
mod store;

pub use block::RowKey;
pub use error::RowStoreError;
pub use quiet::Quiet;
pub use store::{OpenReport, RowLimits, RowStats, RowStore};
