//! The otlp plane: spans that OpenTelemetry's exporters send over OTLP/HTTP.
//!
//! What comes in: bodies of `POST /v1/traces`, protobuf or JSON, of senders that may be hostile, and the
//! time. What goes out: one row a span (table [`SPANS_TABLE`]), edges of who calls whom, an answer in the
//! encoding of the request, and counters of everything that was not kept. What must never happen: a
//! body that takes more memory than the bounds say, a panic by what was sent, a span that an exporter
//! sends again and that counts twice, or a part that is left out without a counter.

mod attributes;
mod calls;
mod columns;
mod config;
mod export;
mod intake;
mod json;
mod limits;
mod messages;
mod plane;
mod protobuf;
mod response;
mod row;
mod seen;
mod tally;

pub use columns::{FLOAT_COLUMNS, INT_COLUMNS, SPANS_TABLE, TEXT_COLUMNS};
pub use config::Config;
pub use export::{Encoding, Export, Malformed, inflate, read};
pub use intake::{Intake, Sorted, TooFast};
pub use limits::{AHEAD_MS, Limits, MAX_BODY_BYTES, OLD_MS};
pub use plane::OtlpPlane;
pub use response::{accepted, refusal};
pub use row::SpanRow;
pub use tally::{Counters, Tally};
