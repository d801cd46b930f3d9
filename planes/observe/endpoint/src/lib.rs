//! Endpoints: how a laptop or a branch device reaches the network, and which part of the way is impaired.
//!
//! What comes in: what the kernel of the machine says of its Wi-Fi link, routes, resolvers and TCP connections, and
//! echoes and traces that the caller made. What goes out: a [`Sample`] without what its owner withholds
//! ([`Privacy`]), a [`Judgement`] of it ([`judge()`]), and a [`Turn`] when that changed and held ([`Hold`]). What must
//! never happen: something that was not measured taken as fine or as zero, or a withheld value in a sample that
//! leaves the machine.

mod hold;
mod judge;
mod netlink;
mod privacy;
mod resolvers;
mod routes;
mod row;
mod sample;
mod sessions;
mod thresholds;
mod wifi;

pub use hold::{Hold, IN_A_ROW, Turn};
pub use judge::{Attribution, Judgement, Layer, LayerState, Part, judge};
pub use privacy::Privacy;
pub use resolvers::{MAX_RESOLVERS, resolvers};
pub use routes::{DefaultRoute, default_routes};
pub use row::{TABLE, is_name, row};
pub use sample::{
    Check, CheckResult, Echo, Family, Gateway, LastMile, MAX_CHECKS, MAX_GATEWAYS, MAX_HOPS,
    MAX_SESSIONS, MAX_TEXT_BYTES, Measured, Resolver, Sample, Session, SessionFigures, Shown,
    WayHop, Wifi, WifiLink,
};
pub use sessions::{Connection, connections};
pub use thresholds::Thresholds;
pub use wifi::wifi;
