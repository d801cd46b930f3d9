//! Single points of failure: every node by what breaks if it alone fails.

mod callers;
mod circles;
mod dominators;
mod pieces;

use holm_model::NodeId;

use crate::builder::as_index;
use crate::moment::{Moment, NO_NODE};
use dominators::Dominators;

/// What breaks if one node fails: the totals of a what-if of that node alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spof {
    /// The node.
    pub id: NodeId,
    /// Pairs of agent and target that have no way any more.
    pub broken_paths: u64,
    /// Services that call it, or what no agent reaches without it, through any number of others.
    pub impacted_services: u64,
    /// Nodes that are cut off.
    pub disconnected: u64,
}

impl Spof {
    /// The blast radius: all three together.
    pub const fn blast_radius(&self) -> u64 {
        self.broken_paths + self.impacted_services + self.disconnected
    }
}

/// What breaks with one node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ranked {
    node: u32,
    broken: u64,
    services: u64,
    disconnected: u64,
}

impl Ranked {
    const fn blast_radius(&self) -> u64 {
        self.broken + self.services + self.disconnected
    }
}

/// The nodes whose failure breaks something, worst first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpofRanking {
    /// The first, by blast radius, then by id.
    pub items: Vec<Spof>,
    /// How many nodes break something.
    pub total: u64,
}

impl Moment {
    /// Ranks every node by its blast radius. Exact; by dominator trees, one an agent, and by
    /// articulation points, in place of a what-if a node. Worked out once a moment: whoever asks while
    /// that goes on waits for it.
    pub fn spof(&self, limit: usize) -> SpofRanking {
        let ranking = self.ranking.get_or_init(|| self.rank());
        let items = ranking.iter().take(limit).map(|ranked| Spof {
            id: self.node(ranked.node).clone(),
            broken_paths: ranked.broken,
            impacted_services: ranked.services,
            disconnected: ranked.disconnected,
        });
        SpofRanking { items: items.collect(), total: ranking.len() as u64 }
    }

    fn rank(&self) -> Vec<Ranked> {
        let broken = self.broken_by_node();
        let services = self.services_by_node();
        let disconnected = self.disconnected_by_node();
        let mut nodes: Vec<Ranked> = (0..as_index(self.nodes.len()))
            .map(|node| Ranked {
                node,
                broken: broken[node as usize],
                services: services[node as usize],
                disconnected: disconnected[node as usize],
            })
            .filter(|ranked| ranked.blast_radius() > 0)
            .collect();
        nodes
            .sort_unstable_by_key(|ranked| (std::cmp::Reverse(ranked.blast_radius()), ranked.node));
        nodes
    }

    /// Pairs that break with each node.
    fn broken_by_node(&self) -> Vec<u64> {
        let count = self.nodes.len();
        let mut broken = vec![0_u64; count];
        let leaves = Leaves::of(self);
        let mut tree = Dominators::new(count);
        let mut weight = vec![0_u64; count];
        let mut path = 0;
        for (bit, &agent) in self.agents.iter().enumerate() {
            tree.find(self, &[agent], |node| leaves.parent[node as usize] != NO_NODE);
            // Targets that hang on each node by their last edge, and the node itself.
            for &node in tree.reached() {
                weight[node as usize] =
                    leaves.targets[node as usize] + u64::from(self.is_target(node));
            }
            let observed = |target: u32| {
                let bits = self.observed_agents.get(&target);
                bits.is_some_and(|bits| bits[bit / 64] >> (bit % 64) & 1 == 1)
            };
            for leaf in tree.reached().iter().flat_map(|&node| leaves.of.of(node)) {
                broken[*leaf as usize] += u64::from(self.is_target(*leaf) && !observed(*leaf));
            }
            // Pairs with observed paths are judged by these, one by one.
            while (path as usize) < self.paths.len() && self.paths.agent[path as usize] <= agent {
                let siblings = self.paths.siblings(path);
                path = siblings.end;
                let (from, target) = self.paths.pair(siblings.start);
                if from != agent {
                    continue;
                }
                let stem = leaves.stem(target);
                let in_tree = tree.holds(stem) && self.is_target(target);
                if in_tree {
                    weight[stem as usize] -= 1;
                }
                for node in on_all(self, siblings).unwrap_or_default() {
                    let cuts = !tree.holds(stem) || node == target || tree.dominates(node, stem);
                    broken[node as usize] += u64::from(cuts);
                }
            }
            tree.sum_up(&mut weight);
            for &node in tree.reached() {
                broken[node as usize] += std::mem::take(&mut weight[node as usize]);
            }
        }
        self.pairs_of_other_observers(&mut broken);
        broken
    }

    /// Observed pairs that begin at something else than an agent: there is no other way for them.
    fn pairs_of_other_observers(&self, broken: &mut [u64]) {
        let mut path = 0;
        while (path as usize) < self.paths.len() {
            let siblings = self.paths.siblings(path);
            path = siblings.end;
            if self.agents.binary_search(&self.paths.agent[siblings.start as usize]).is_err() {
                for node in on_all(self, siblings).unwrap_or_default() {
                    broken[node as usize] += 1;
                }
            }
        }
    }
}

/// The nodes that lie on every one of these paths; `None` if there is no path.
fn on_all(moment: &Moment, mut paths: impl Iterator<Item = u32>) -> Option<Vec<u32>> {
    let route = |path| moment.paths.route(path).iter().copied();
    let mut common: Vec<u32> = route(paths.next()?).filter(|&hop| hop != NO_NODE).collect();
    common.sort_unstable();
    common.dedup();
    for path in paths {
        common.retain(|&node| route(path).any(|hop| hop == node));
    }
    Some(common)
}

/// Nodes that hang on one other by their only path edge and lead nowhere: most targets. What holds
/// for the node that they hang on holds for them, so that trees are searched without them.
struct Leaves {
    /// By node: what it hangs on, or [`NO_NODE`].
    parent: Vec<u32>,
    /// The leaves of each node.
    of: crate::adjacency::Rows<u32>,
    /// How many of these are targets.
    targets: Vec<u64>,
}

impl Leaves {
    fn of(moment: &Moment) -> Self {
        let count = moment.nodes.len();
        let parent: Vec<u32> = (0..as_index(count))
            .map(|node| match moment.path.into.of(node) {
                [hop]
                    if moment.path.out.of(node).is_empty()
                        && hop.node != node
                        && moment.agents.binary_search(&node).is_err() =>
                {
                    hop.node
                }
                _ => NO_NODE,
            })
            .collect();
        let hanging = (0..as_index(count)).filter(|&n| parent[n as usize] != NO_NODE);
        let of = crate::adjacency::Rows::group(
            count,
            hanging.clone().map(|node| (parent[node as usize], node)),
        );
        let mut targets = vec![0; count];
        for node in hanging.filter(|&node| moment.is_target(node)) {
            targets[parent[node as usize] as usize] += 1;
        }
        Self { parent, of, targets }
    }

    /// The node of the tree that stands for `node`.
    fn stem(&self, node: u32) -> u32 {
        match self.parent[node as usize] {
            NO_NODE => node,
            parent => parent,
        }
    }
}
