//! Rows of the table `host_connections`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use holm_model::{Row, Value};

use crate::edges::Direction;
use crate::process::Process;
use crate::seen::{Happening, Seen};

/// The table of this plane.
pub const TABLE: &str = "host_connections";

/// What a row says where a process exists that this node may not look at.
pub const HIDDEN: &str = "process unknown (no privilege)";

/// A row before it is made: facts go first, rows follow in a batch.
pub(crate) struct Draft {
    pub(crate) seen: Seen,
    pub(crate) direction: Option<Direction>,
    pub(crate) process: Option<Arc<Process>>,
    /// The process exists, but this node may not look at it.
    pub(crate) hidden: bool,
}

/// The row of what was seen. `source` and `destination` are the ends that connected and accepted;
/// a listener is a destination.
pub(crate) fn connection(draft: &Draft) -> Row {
    let Draft { seen, direction, process, hidden } = draft;
    let (direction, process) = (*direction, process.as_deref());
    let listens = matches!(seen.what, Happening::Listen | Happening::Unlisten);
    let (source, destination) = match direction {
        Some(Direction::Inbound) => (Some(seen.remote), seen.local),
        None if listens => (None, seen.local),
        // Who opened a connection that was there before us is not known: seen from here.
        Some(Direction::Outbound) | None => (Some(seen.local), seen.remote),
    };
    let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    let address = |ip: std::net::IpAddr| Value::from(ip.to_string());
    let network = if seen.local.address().is_ipv6() { "ipv6" } else { "ipv4" };
    // In the order of their names: the map is then built in one go.
    let columns = [
        ("bytes_received", seen.bytes.map(|(_, received)| received.into())),
        ("bytes_sent", seen.bytes.map(|(sent, _)| sent.into())),
        ("cgroup", process.and_then(|p| text(&p.cgroup))),
        ("container.id", process.and_then(|p| text(&p.container_id))),
        ("destination.address", Some(address(destination.address()))),
        ("destination.port", Some(destination.port.into())),
        ("direction", direction.map(|d| d.as_str().into())),
        ("duration_ms", seen.duration_ns.map(|ns| Value::Float(ns as f64 / 1e6))),
        ("event", Some(seen.what.as_str().into())),
        ("network.type", Some(network.into())),
        ("process.command", process.and_then(|p| text(&p.command))),
        ("process.executable.name", process.and_then(|p| text(&p.executable))),
        ("process.note", hidden.then(|| HIDDEN.into())),
        ("process.pid", process.map(|p| p.pid.into())),
        ("service.name", process.and_then(|p| p.service.as_ref()).map(|s| (*s.name).into())),
        ("source", Some(seen.source.as_str().into())),
        ("source.address", source.map(|end| address(end.address()))),
        ("source.port", source.map(|end| end.port.into())),
    ];
    let columns: BTreeMap<Cow<'static, str>, Value> = columns
        .into_iter()
        .filter_map(|(name, value)| Some((Cow::Borrowed(name), value?)))
        .collect();
    Row { table: Cow::Borrowed(TABLE), at: seen.at, columns }
}
