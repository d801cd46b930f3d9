//! How much may hang on each node: a bound by trees, for what a node alone does not break.

use crate::moment::{Moment, NO_NODE};
use crate::search::Marks;

/// Agents from each of which a tree is made; of more, some.
const TREES: usize = 8;

impl Moment {
    /// By node: how many nodes stand below it in a tree of the whole topology from all agents together, and in
    /// trees of the ways from some of them. All that hangs on several nodes together stands below some of them in
    /// each tree.
    pub(super) fn below(&self) -> Vec<u64> {
        let mut below = vec![0_u64; self.nodes.len()];
        let mut room = Room::default();
        let beside = |node: u32, found: &mut Vec<u32>| {
            found.extend(self.beside(node).map(|hop| hop.node));
        };
        room.tree(self.nodes.len(), &self.agents, beside, &mut below);
        let each = self.agents.len().div_ceil(TREES).max(1);
        for agent in self.agents.iter().step_by(each) {
            let along = |node: u32, found: &mut Vec<u32>| {
                found.extend(self.path.out.of(node).iter().map(|hop| hop.node));
            };
            room.tree(self.nodes.len(), std::slice::from_ref(agent), along, &mut below);
        }
        below
    }
}

/// Room for one tree after the other.
#[derive(Default)]
struct Room {
    seen: Marks,
    /// Nodes as they were found, and who led to each.
    found: Vec<(u32, u32)>,
    next: Vec<u32>,
    size: Vec<u64>,
}

impl Room {
    /// Adds to `below` how many nodes stand below each.
    fn tree(
        &mut self,
        nodes: usize,
        roots: &[u32],
        beside: impl Fn(u32, &mut Vec<u32>),
        below: &mut [u64],
    ) {
        let Self { seen, found, next, size } = self;
        seen.clear(nodes);
        size.clear();
        size.resize(nodes, 0);
        found.clear();
        found.extend(roots.iter().filter(|&&root| seen.add(root)).map(|&root| (root, NO_NODE)));
        let mut at = 0;
        while let Some(&(node, _)) = found.get(at) {
            at += 1;
            next.clear();
            beside(node, next);
            found.extend(next.iter().filter(|&&other| seen.add(other)).map(|&other| (other, node)));
        }
        for &(node, parent) in found.iter().rev() {
            let own = size[node as usize];
            below[node as usize] += own;
            if parent != NO_NODE {
                size[parent as usize] += own + 1;
            }
        }
    }
}
