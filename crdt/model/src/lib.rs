//! The words every crate of Holm shares.
//!
//! What comes in: strings and numbers from configuration, the network and disk. What goes out: types
//! that are right by construction, because each is parsed once where the data enters. What must
//! never happen: an identifier that was not checked, a time without a unit, or I/O.

mod address;
mod attribute_type;
mod attributes;
mod canonical;
mod document;
mod element;
mod id;
mod interval;
mod observation;
mod path;
mod row;
mod signal;
mod time;

pub use address::{AddressScope, Prefix};
pub use attribute_type::{AttributeType, AttributeTypeError, AttributeValue};
pub use attributes::{
    Attribute, Attributes, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, MAX_MEASURED_VALUES,
    MAX_PAST_VALUES, PastValue, PastValues, is_measured,
};
pub use canonical::host_of;
pub use document::{DocId, DocKind, DocVersion, HeadsDigest};
pub use element::{
    EdgeId, EdgeKind, ElementId, ElementIdError, MAX_NODE_NAME_BYTES, NodeId, NodeKind,
};
pub use id::{MAX_NAME_BYTES, NameError, NodeName, SiteId, TenantId};
pub use interval::{Interval, IntervalSet};
pub use observation::{
    AliasObservation, EdgeObservation, NodeObservation, NodeRef, PathObservation,
};
pub use path::{AliasId, MAX_FLOW_BYTES, MAX_PATH_BYTES, MAX_PATH_HOPS, PathId};
pub use row::{Row, Value};
pub use signal::{
    MAX_SIGNAL_ATTRIBUTES, MAX_SIGNAL_TEXT_BYTES, SIGNAL_KEY, SIGNAL_NEAR, Severity, Signal,
    VANTAGE_FAILED, VANTAGE_REACHED,
};
pub use time::Millis;
