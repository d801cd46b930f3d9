//! The path plane: by which ways packets reach every other site and the configured targets.
//!
//! What comes in: a strict [`Config`], the peers of the mesh, and the ICMP errors that routers send for
//! probes whose TTL ends there. What goes out: the way of each flow as a path of the graph, one row a
//! trace (table `path_results`) with the bound on what it may have missed, one row a change
//! (`path_changes`), and a health report that says by what means it looks. What must never happen: a
//! reply that is taken for another probe's, a hop that nobody answered from, or a way that is given as
//! whole when probes or time ran out.

mod config;
pub mod engine;
mod kept;
pub mod mtu;
mod outcome;
mod plane;
pub mod render;
pub mod rounds;
pub mod socket;
mod systems;
mod tables;
mod wanted;
pub mod wire;

pub use config::{Config, Target};
pub use kept::{Kept, KeptHop, KeptInterface};
pub use plane::PathPlane;
pub use systems::{System, as_path, as_path_of};
pub use tables::name_hops;
pub use wanted::{Allowed, Wanted};

use std::net::IpAddr;
use std::time::Duration;

use engine::Multipath;
use socket::{Method, Request, TraceError, Tracer};

/// The first address of a host name, or the address that it is, within `limit`.
///
/// # Errors
/// A text that says that it does not resolve, or not in time.
pub async fn resolve(host: &str, limit: Duration) -> Result<IpAddr, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(address.to_canonical());
    }
    match tokio::time::timeout(limit, tokio::net::lookup_host((host, 0))).await {
        Ok(Ok(mut addresses)) => {
            let first = addresses.next().map(|address| address.ip().to_canonical());
            first.ok_or_else(|| format!("{host} has no address"))
        }
        Ok(Err(error)) => Err(format!("{host} does not resolve: {error}")),
        Err(_) => Err(format!("{host} does not resolve within {limit:?}")),
    }
}

/// One trace with sockets of its own, by the best means that this process may use; for a command line.
/// Within a tokio runtime.
///
/// # Errors
/// No sockets, no route, or a protocol that needs raw sockets which are not there.
pub async fn trace(request: Request) -> Result<(Multipath, Method), TraceError> {
    // A trace by itself may be quick: its probes in flight are bounded.
    const RATE: u32 = 5_000;
    let (tracer, _) = Tracer::best(RATE)?;
    let method = tracer.method();
    Ok((tracer.trace(request).await?, method))
}
