//! What else is traced, as somebody says while the plane runs.

use std::net::IpAddr;
use std::sync::Arc;

use crate::wire::Protocol;

/// Most of them; more are left out and counted.
pub(crate) const MAX_WANTED: usize = 1_000;

/// Whether an address may be traced, or why not.
pub type Allowed = Arc<dyn Fn(IpAddr) -> Result<(), String> + Send + Sync>;

/// A host that somebody wants to know the ways to.
#[derive(Clone)]
pub struct Wanted {
    /// A host name or an address, which is also its name in results.
    pub host: String,
    /// What probes are made of; `None`: as the plane's own.
    pub protocol: Option<Protocol>,
    /// udp, tcp: the target's port; `None`: as the plane's own.
    pub port: Option<u16>,
    /// Asked of the address before each trace.
    pub allowed: Allowed,
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("host", &self.host).finish_non_exhaustive()
    }
}
