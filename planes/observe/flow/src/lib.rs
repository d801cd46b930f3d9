//! The flow plane: NetFlow v5 and v9, IPFIX and sFlow v5, straight into Arrow columns.
//!
//! What comes in: datagrams of exporters (UDP, and IPFIX over TCP), each listener for one tenant.
//! What goes out: record batches of two tables ([`flow_schema`], [`interface_counter_schema`]) to a
//! [`FlowSink`], and counters per exporter. What must never happen: a panic or memory without a bound
//! by whatever comes, a drop without a counter, a count scaled by a rate that nobody told.
//!
//! A [`Decoder`] does no I/O and reads no clock. A template is compiled once into copies
//! (`plan`), and a set of records is decoded column by column (`copy`, `column`): no allocation for
//! a record, and no cost for columns that it does not have. Crates that decode NetFlow build a value
//! per field first; `docs/flow.md` says what they do, what that costs, and why this is our own.

pub mod ask;
mod capture;
mod column;
mod config;
mod copy;
mod counters;
mod decoder;
mod element;
mod exporter;
mod exporters;
mod interfaces;
mod json;
mod keep;
mod limits;
mod link;
mod meaning;
mod names;
mod netflow_v5;
mod options;
mod packet;
mod pending;
mod plan;
mod plane;
mod rate;
mod read;
mod receive;
mod records;
mod rows;
mod schema;
mod sequence;
mod sflow;
mod shares;
mod state;
mod templated;

pub use capture::{CaptureError, Passed, Raw, Sent, read_datagrams};
pub use config::{Config, Listener, Transport};
pub use counters::Counters;
pub use decoder::{Batch, Carrier, Decoder, ExporterReport};
pub use exporter::Protocol;
pub use exporters::{
    COLLECTOR_COLUMNS, COLLECTORS_TABLE, EXPORTER_TEXTS, EXPORTERS_TABLE, exporter_columns,
    exporter_counters,
};
pub use holm_asn::{AsTable, AsTableError, Ranges};
pub use interfaces::interface_counter_schema;
pub use json::write_json_lines;
pub use keep::Keeper;
pub use limits::Limits;
pub use meaning::{
    ANOMALIES_TABLE, DETECTOR_COLUMNS, DETECTORS_TABLE, Enricher, ExporterName, HEAVY_COLUMNS,
    HEAVY_TABLE, Network, Tables,
};
pub use plane::FlowPlane;
pub use read::address_of;
pub use receive::{Collector, CollectorReport, FlowSink, ListenError, SinkFull};
pub use schema::flow_schema;
pub use state::{FlowState, StateError};
