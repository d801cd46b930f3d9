//! The site-local event store: what happened, in volume, stays where it was seen.
//!
//! What comes in: rows and Arrow batches of one tenant, without blocking ([`EventStore::append`],
//! [`EventStore::append_batch`]). What goes out: the newest rows of a table, snapshots of tables for
//! questions, plain Parquet for other programs, and counters. On the way: a sealed log (group commit,
//! 200 ms at most), then sealed Parquet by table, day and hour, small files put together, the oldest
//! dropped when a bound of age or bytes is reached. Everything on disk is sealed with keys derived from
//! the tenant's data key. What must never happen: a drop without a counter, a producer that waits for
//! the disk, an acknowledged row that a crash loses or doubles, a damaged file that keeps the node from
//! starting. `docs/formats/event-files.md` has the formats.

mod coded;
mod cold;
mod cooler;
mod counters;
mod disk;
mod error;
mod export;
mod file;
mod follow;
mod held;
mod key;
mod limits;
mod merger;
mod newest;
mod old;
mod outlet;
mod quiet;
mod roller;
mod rows;
mod scan;
mod sealed;
mod shelf;
mod store;
mod table;
mod wal;
mod writer;

pub use cold::{Cold, ColdSettings, ColdStats};
pub use counters::{EventStats, TableStats};
pub use disk::{Disk, Fuse};
pub use error::EventError;
pub use export::Exported;
pub use file::EventFile;
pub use follow::{Followed, Follower};
pub use key::EventKey;
pub use limits::{Limits, TableLimits};
pub use old::OldRows;
pub use outlet::{Outlet, OutletSettings, OutletStats};
pub use quiet::Quiet;
pub use rows::{text_of_bytes, value_at};
pub use scan::{FileScan, coded_type};
pub use store::{EventStore, OpenReport, QueueFull, Setup, Snapshot};
pub use table::{ATTRIBUTES, Kind, SITE, TIME, Table, TableError};
