//! What is kept of other nodes over a restart: enough to look for them.

use std::net::SocketAddr;

use holm_mesh_proto::MemberId;
use holm_mesh_proto::wire::MAX_ADDRESSES;
use holm_model::{Millis, NodeName, SiteId};
use libp2p_identity::PeerId;

use crate::MemberStatus;
use crate::peer::peer_key;

/// Another node, and where it was. Nothing of it is believed: who answers there proves itself by its certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownNode {
    /// Its site.
    pub site: SiteId,
    /// Its name within the site.
    pub node: NodeName,
    /// Its routing handle.
    pub peer_id: PeerId,
    /// Where it said it can be reached, at most 8.
    pub addresses: Vec<SocketAddr>,
    /// Port of its HTTPS API.
    pub api_port: Option<u16>,
    /// When its process started, by its clock.
    pub started: Millis,
}

impl KnownNode {
    /// A member; `None` for one without a routing handle.
    pub fn of(member: &MemberStatus) -> Option<Self> {
        Some(Self {
            site: member.site.clone(),
            node: member.node.clone(),
            peer_id: member.peer_id?,
            addresses: member.addresses.clone(),
            api_port: member.api_port,
            started: member.started,
        })
    }

    pub(crate) fn member(self) -> Option<MemberId> {
        let mut addresses = self.addresses;
        addresses.truncate(MAX_ADDRESSES);
        Some(MemberId {
            site: self.site,
            node: self.node,
            peer: peer_key(&self.peer_id)?,
            addresses,
            api_port: self.api_port,
            generation: self.started.0,
        })
    }
}
