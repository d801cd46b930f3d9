//! Nodes that lead nowhere, of which trees need not know.

use hashbrown::HashMap;

use super::dominators::Dominators;
use crate::adjacency::Rows;
use crate::builder::as_index;
use crate::moment::{Moment, NO_NODE};

/// Nodes that lead nowhere: most targets. What every way to such a node leads through is what every way
/// to all that it hangs on leads through, so that trees are searched without them.
pub(super) struct Leaves {
    /// By node: the only one that it hangs on, or [`NO_NODE`].
    parent: Vec<u32>,
    /// The leaves that hang on each node alone.
    pub(super) of: Rows<u32>,
    /// How many targets these are, by all of their names.
    pub(super) targets: Vec<u64>,
    /// By node: how many of its own names are targets.
    pub(super) own: Vec<u64>,
    /// Leaves that hang on several nodes.
    pub(super) bunches: Vec<Bunch>,
    /// By node: its bunch, or [`NO_NODE`].
    bunch: Vec<u32>,
}

/// Leaves that hang on the same nodes.
pub(super) struct Bunch {
    pub(super) parents: Box<[u32]>,
    pub(super) leaves: Vec<u32>,
    /// By all of their names.
    pub(super) targets: u64,
}

impl Leaves {
    pub(super) fn of(moment: &Moment) -> Self {
        let count = moment.nodes.len();
        let roots = moment.roots();
        let is_leaf =
            |node: u32| moment.path.out.of(node).is_empty() && roots.binary_search(&node).is_err();
        let own: Vec<u64> = (0..as_index(count)).map(|node| moment.targets_of(node)).collect();
        let mut parent = vec![NO_NODE; count];
        let mut bunch = vec![NO_NODE; count];
        let mut bunches: Vec<Bunch> = Vec::new();
        let mut known: HashMap<Box<[u32]>, u32> = HashMap::new();
        for node in (0..as_index(count)).filter(|&node| is_leaf(node)) {
            match moment.path.into.of(node) {
                [] => {}
                [hop] => parent[node as usize] = hop.node,
                hops => {
                    let mut parents: Vec<u32> = hops.iter().map(|hop| hop.node).collect();
                    parents.sort_unstable();
                    parents.dedup();
                    let parents = parents.into_boxed_slice();
                    let new = as_index(bunches.len());
                    let number = *known.entry(parents).or_insert_with_key(|parents| {
                        let parents = parents.clone();
                        bunches.push(Bunch { parents, leaves: Vec::new(), targets: 0 });
                        new
                    });
                    bunch[node as usize] = number;
                    let bunch = &mut bunches[number as usize];
                    bunch.leaves.push(node);
                    bunch.targets += own[node as usize];
                }
            }
        }
        let hanging = (0..as_index(count)).filter(|&n| parent[n as usize] != NO_NODE);
        let of = Rows::group(count, hanging.clone().map(|node| (parent[node as usize], node)));
        let mut targets = vec![0; count];
        for node in hanging {
            targets[parent[node as usize] as usize] += own[node as usize];
        }
        Self { parent, of, targets, own, bunches, bunch }
    }

    pub(super) fn is_leaf(&self, node: u32) -> bool {
        self.parent[node as usize] != NO_NODE || self.bunch[node as usize] != NO_NODE
    }

    /// The node of the tree that stands for `node`: all that dominates it dominates `node`; `None` if it is not
    /// reached.
    pub(super) fn stem(&self, node: u32, tree: &Dominators) -> Option<u32> {
        match (self.parent[node as usize], self.bunch[node as usize]) {
            (NO_NODE, NO_NODE) => Some(node).filter(|&node| tree.holds(node)),
            (NO_NODE, bunch) => tree.nearest(&self.bunches[bunch as usize].parents),
            (parent, _) => Some(parent).filter(|&parent| tree.holds(parent)),
        }
    }
}
