//! Members that an authority said are gone for good: they leave the lists, and nobody looks for them.
//!
//! Nothing depends on it but what is shown and tried: a node that lives hears the same and takes a later
//! generation, as it does when it hears of its death, and is there again.

use std::collections::BTreeMap;

use holm_model::{NodeName, SiteId};

use super::{Action, MeshNode};
use crate::{MemberId, Now};

/// Sites and nodes that are remembered as gone.
pub(super) const MAX_FORGOTTEN: usize = 4_096;

/// A site, or one node of it, that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// The site.
    pub site: SiteId,
    /// Which node of it; `None`: all.
    pub node: Option<NodeName>,
    /// The latest generation that is gone; whoever comes with a later one is there.
    pub up_to: u64,
}

#[derive(Debug, Default)]
pub(super) struct Forgotten(BTreeMap<SiteId, BTreeMap<Option<NodeName>, u64>>);

impl Forgotten {
    fn of(all: Vec<Gone>) -> Self {
        let mut sites: BTreeMap<SiteId, BTreeMap<Option<NodeName>, u64>> = BTreeMap::new();
        for Gone { site, node, up_to } in all {
            let held = sites.entry(site).or_default().entry(node).or_default();
            *held = up_to.max(*held);
        }
        Self(sites)
    }

    /// The latest generation of that node that is gone.
    fn up_to(&self, site: &SiteId, node: &NodeName) -> Option<u64> {
        let nodes = self.0.get(site)?;
        let named = nodes.iter().find(|(name, _)| name.as_ref() == Some(node));
        named.map(|(_, up_to)| *up_to).max(nodes.get(&None).copied())
    }

    pub(super) fn covers(&self, site: &SiteId, node: &NodeName, generation: u64) -> bool {
        self.up_to(site, node).is_some_and(|up_to| generation <= up_to)
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }
}

impl MeshNode {
    /// Whether that start of a node is gone and nothing here speaks against it.
    pub(super) fn is_gone(&self, id: &MemberId) -> bool {
        !self.links.contains_key(&id.peer)
            && self.forgotten.covers(&id.site, &id.node, id.generation)
    }

    /// All that is said to be gone, in place of what was said before.
    pub(super) fn forget(&mut self, mut all: Vec<Gone>, now: Now, out: &mut Vec<Action>) {
        if all.len() > MAX_FORGOTTEN {
            self.counters.add("gone_dropped", (all.len() - MAX_FORGOTTEN) as u64);
            all.truncate(MAX_FORGOTTEN);
        }
        self.forgotten = Forgotten::of(all);
        let me = self.membership.me();
        if let Some(up_to) = self.forgotten.up_to(&me.site, &me.node) {
            // This node speaks, so it is there.
            let outlived = self.membership.outlive(up_to, now.mono_ms);
            self.carry_out(outlived, now, out);
        }
        let own = self.membership.me().clone();
        let forgotten = &self.forgotten;
        self.leases.forget(|claim| {
            (&claim.site, &claim.node) != (&own.site, &own.node)
                && forgotten.covers(&claim.site, &claim.node, claim.generation)
        });
        self.forget_gone(now);
        out.push(Action::Changed);
    }

    /// Those that are down and gone are let go of; one that does not know yet may tell of them again.
    pub(super) fn forget_gone(&mut self, now: Now) {
        if self.forgotten.len() == 0 {
            return;
        }
        let down = self.membership.down().iter();
        let down = down.filter_map(|peer| self.membership.known(*peer));
        let gone: Vec<MemberId> =
            down.map(|known| known.id.clone()).filter(|id| self.is_gone(id)).collect();
        for id in gone {
            self.membership.forget(&id, now.mono_ms);
            self.last_heard.remove(&id.peer);
            self.last_sync.remove(&id.peer);
            self.lost.remove(&id.peer);
            self.counters.count("members_gone");
        }
    }
}
