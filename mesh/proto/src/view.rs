//! What a node can be asked about its mesh.

use std::net::SocketAddr;

use holm_model::{Millis, NodeName, SiteId, TenantId};

use crate::{ClockView, PeerKey, SyncReport};

/// What membership says of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// It answers.
    Alive,
    /// It did not answer lately; others are asked.
    Suspect,
    /// Nobody reaches it. It is still probed.
    Down,
}

impl MemberState {
    /// The state as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
        }
    }
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its site.
    pub site: SiteId,
    /// Its name within the site.
    pub node: NodeName,
    /// Its routing handle.
    pub peer: PeerKey,
    /// Where it says it can be reached.
    pub addresses: Vec<SocketAddr>,
    /// Port of its HTTPS API.
    pub api_port: Option<u16>,
    /// Which start of the node this is.
    pub generation: u64,
    /// What membership says.
    pub state: MemberState,
    /// Whether a connection to it stands.
    pub connected: bool,
    /// Since when.
    pub connected_since: Option<Millis>,
    /// When anything last came from it, by our wall clock.
    pub last_heard: Option<Millis>,
    /// Latest round trip.
    pub rtt_ms: Option<u64>,
    /// How far its clock is ahead of ours; negative if it is behind.
    pub clock_skew_ms: Option<i64>,
    /// What is certain about its clock; `None` before its first answer on this connection, and with a
    /// node that says no stamps.
    pub clock: Option<ClockView>,
    /// Why the latest dial failed; `None` once connected.
    pub last_refusal: Option<String>,
    /// The latest reconciliation with it.
    pub last_sync: Option<SyncView>,
}

/// The latest reconciliation with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncView {
    /// When it ended, by our wall clock.
    pub at: Millis,
    /// What it did, or why it failed.
    pub result: Result<SyncReport, String>,
}

/// Until when a site's open facts are known to be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// The tenant.
    pub tenant: TenantId,
    /// The site.
    pub site: SiteId,
    /// The node that claims it.
    pub node: NodeName,
    /// Everything that it holds open is true as of this time.
    pub as_of: Millis,
    /// It claims a time more than [`crate::MAX_AHEAD_MS`] in our future: `as_of` is the time of
    /// receipt instead, and one of the two clocks is off.
    pub claims_future: bool,
    /// The claiming node signed it. Without that, whoever passed it on may have made it up: so it is with
    /// nodes of releases that do not sign.
    pub signed: bool,
}

/// Two nodes that cannot both be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictView {
    /// What is wrong, with whom, and what to do.
    pub text: String,
    /// When it was first seen.
    pub since: Millis,
    /// When it was last seen.
    pub last_seen: Millis,
}
