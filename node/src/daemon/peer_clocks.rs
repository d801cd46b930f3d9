//! The clocks of the nodes that are probed, as the mesh bounds them.

use std::net::IpAddr;
use std::sync::{Arc, Weak};

use holm_active::Clocks;
use holm_mesh_link::MemberStatus;

use super::state::NodeState;

/// What a node's mesh knows of the others' clocks.
pub(super) struct PeerClocks(Weak<NodeState>);

impl PeerClocks {
    pub(super) fn of(state: &Arc<NodeState>) -> Arc<dyn Clocks> {
        Arc::new(Self(Arc::downgrade(state)))
    }
}

impl std::fmt::Debug for PeerClocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PeerClocks")
    }
}

impl Clocks for PeerClocks {
    fn ahead_ns(&self, address: IpAddr) -> Option<(i64, i64)> {
        let state = self.0.upgrade()?;
        let members = state.mesh()?.status().members;
        let there = members.iter().filter(|member| is_there(member, address));
        of_any(there.map(|member| member.clock.as_ref().map(|clock| clock.wall_ns)))
    }
}

/// Whether a member proved who it is at `address`, without a relay between.
fn is_there(member: &MemberStatus, address: IpAddr) -> bool {
    let direct = member.remote.filter(|_| member.connected && member.via.is_none());
    direct.is_some_and(|at| at.ip().to_canonical() == address.to_canonical())
}

/// Of several nodes at one address any may answer: what is certain of all of them.
fn of_any(mut clocks: impl Iterator<Item = Option<(i64, i64)>>) -> Option<(i64, i64)> {
    let first = clocks.next()??;
    clocks.try_fold(first, |(least, most), clock| {
        clock.map(|clock| (least.min(clock.0), most.max(clock.1)))
    })
}

#[cfg(test)]
mod tests {
    use super::of_any;

    #[test]
    fn of_several_at_one_address_all_count() {
        assert_eq!(of_any([].into_iter()), None);
        assert_eq!(of_any([Some((-1, 2))].into_iter()), Some((-1, 2)));
        assert_eq!(of_any([Some((-1, 2)), Some((-5, 1))].into_iter()), Some((-5, 2)));
        assert_eq!(of_any([Some((-1, 2)), None].into_iter()), None, "one is not known");
    }
}
