//! The largest packet that a way takes whole: the path MTU (RFC 1191, RFC 8201), also where routers or
//! filters are silent about it (RFC 4821, RFC 8899).
//!
//! Packets that must not be fragmented go to the target: echo requests, or UDP where these are not
//! answered or not permitted. [`Search`] says how large the next one is.

mod probe;
mod search;
mod sys;

pub use search::{Found, How, Search, Verdict};

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::socket::TraceError;

/// Longest time of one search.
const DEADLINE: Duration = Duration::from_secs(90);

/// The path MTU of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PathMtu {
    /// Largest packet that gets there whole, with its IP header, in bytes.
    pub mtu: u32,
    /// By what that is known.
    pub how: How,
    /// `told`: the router whose next link is that narrow. `searched`: the last hop that was seen to get
    /// longer packets; they vanish behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<IpAddr>,
    /// Messages of routers that were not true.
    pub lies: u32,
}

impl std::fmt::Display for PathMtu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mtu, how, hop, lies } = self;
        write!(f, "path MTU {mtu} bytes, ")?;
        match (how, hop) {
            (How::Link, _) => write!(f, "as this machine's own link")?,
            (How::Told, Some(hop)) => write!(f, "as {hop} says")?,
            (How::Told, None) => write!(f, "as a router says")?,
            (How::Searched, Some(hop)) => {
                write!(f, "found by trying: longer packets vanish behind {hop}")?;
            }
            (How::Searched, None) => write!(f, "found by trying: longer packets vanish")?,
        }
        if *lies > 0 { write!(f, "; {lies} messages were not true") } else { Ok(()) }
    }
}

/// Finds the path MTU of `target`; `port` is where UDP goes. `None` if the target answers neither echo
/// requests nor UDP. Within a tokio runtime; needs no privileges.
///
/// # Errors
/// No route, or the kernel gives no sockets.
pub async fn path_mtu(target: IpAddr, port: u16) -> Result<Option<PathMtu>, TraceError> {
    // Alone there when nobody waits for it any more.
    let stop = std::sync::Arc::new(());
    let held = std::sync::Arc::clone(&stop);
    let found = tokio::task::spawn_blocking(move || probe::search(target, port, &held));
    let found = found.await.map_err(|_| TraceError::Stopped)?;
    drop(stop);
    found
}
