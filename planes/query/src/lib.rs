//! Questions in SQL: to one site, and to the whole mesh at once.
//!
//! What comes in: one SELECT over a tenant's tables. What goes out: its rows, which sites they stand
//! on, which did not answer, and in what they are not exact. A site plans and runs SQL with DataFusion
//! over the files of [`holm_events`] ([`Engine`]); a question to the mesh is split into one SELECT for
//! each site, which filters, groups and cuts where the rows lie, and a plan of the asker that puts the
//! parts together. What must never happen: a row of another tenant in an answer, a site that is missing
//! and not named, a value that is not exact and not labelled, a question without a bound of memory,
//! bytes, rows and time.

mod allowance;
mod answer;
mod apart;
mod bounds;
mod checked;
mod crews;
mod divided;
mod engine;
mod error;
mod functions;
mod gate;
mod grown;
mod local;
mod mesh_table;
mod moment;
mod objects;
mod ordered;
mod sites;
mod sketch;
mod split;
mod stop;
mod sum;
mod tally;
mod told;
mod types;
mod windows;
mod wire;

pub use answer::{Answer, Question};
pub use arrow::array::RecordBatch;
pub use arrow::error::ArrowError;
pub use engine::{Engine, PoolLimits, QueryLimits, QueryPool};
pub use error::QueryError;
pub use gate::MAX_SQL_BYTES;
pub use mesh_table::Approximation;
pub use sites::{Columns, Part, Place, PlaceReport, PlaceState, Progress, Sites};
pub use wire::Encoder;
