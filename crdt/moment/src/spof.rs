//! Single points of failure: every node by what breaks if it alone fails.

mod callers;
mod circles;
mod dominators;
mod leaves;
mod pieces;
mod wholes;

use holm_model::NodeKind;

use crate::builder::as_index;
use crate::moment::Moment;
use crate::named::Named;
use dominators::Dominators;
use leaves::Leaves;

/// Most steps of all trees: agents times edges. With more, some of the agents are looked at.
const MOST_STEPS: usize = 1_000_000_000;

/// What breaks if one node fails: the totals of a what-if of its name. A site, a prefix, an AS and a device fail
/// with all that belongs to them ([`Moment::select`]), and a machine with all of its names: it is there once, by the
/// host that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spof {
    /// The node.
    pub id: Named,
    /// Pairs of agent and target that have no way any more; where not all agents were looked at
    /// ([`SpofRanking::agents`]), as many times what those lose as there are agents to each of them.
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
    /// Sites, prefixes, ASes and devices that are ranked by their node alone: those whose parts break the least each
    /// for itself, where there are too many to look at all that belongs to each.
    pub as_one_node: u64,
    /// Of how many agents the pairs were counted, and how many there are: all but in very large topologies.
    pub agents: (usize, usize),
}

/// Every node by what it breaks, worst first.
#[derive(Debug, Default)]
pub(crate) struct Ranks {
    nodes: Vec<Ranked>,
    as_one_node: u64,
    agents: usize,
}

impl Moment {
    /// Ranks every node by its blast radius. Exact within its bounds; by dominator trees, one an agent, and by
    /// articulation points, in place of a what-if a node. Worked out once a moment: whoever asks while
    /// that goes on waits for it.
    pub fn spof(&self, limit: usize) -> SpofRanking {
        let ranking = self.ranking.get_or_init(|| self.rank(MOST_STEPS, wholes::MOST_WORK));
        let items = ranking.nodes.iter().take(limit).map(|ranked| Spof {
            id: self.named(ranked.node),
            broken_paths: ranked.broken,
            impacted_services: ranked.services,
            disconnected: ranked.disconnected,
        });
        SpofRanking {
            items: items.collect(),
            total: ranking.nodes.len() as u64,
            as_one_node: ranking.as_one_node,
            agents: (ranking.agents, self.agents.len()),
        }
    }

    fn rank(&self, most_steps: usize, most_work: usize) -> Ranks {
        // Every n-th agent, so that all are looked at but in the largest topologies.
        let steps = self.agents.len().saturating_mul(self.path.out.len());
        let each = steps.div_ceil(most_steps).max(1);
        let broken = self.broken_by_node(each);
        let services = self.services_by_node();
        let disconnected = self.disconnected_by_node();
        let mut nodes: Vec<Ranked> = (0..as_index(self.nodes.len()))
            .map(|node| Ranked {
                node,
                broken: broken[node as usize],
                services: services[node as usize],
                disconnected: disconnected[node as usize],
            })
            .collect();
        let wholes = self.wholes(&nodes, most_work);
        // A machine is there once, by the host that it is or by its first hop; a device is there by itself.
        for machine in self.addresses.machines() {
            let whole = nodes[machine[0] as usize];
            machine.iter().for_each(|&node| nodes[node as usize] = Ranked { node, ..whole });
            let names = machine.iter().copied().filter(|node| !wholes.named.contains(node));
            let host = names.clone().find(|&node| self.is_any(node, NodeKind::Host));
            let shown = host.or_else(|| names.clone().next());
            for node in names.filter(|&node| Some(node) != shown) {
                nodes[node as usize] = Ranked { node, broken: 0, services: 0, disconnected: 0 };
            }
        }
        for whole in wholes.ranked {
            nodes[whole.node as usize] = whole;
        }
        nodes.retain(|ranked| ranked.blast_radius() > 0);
        nodes
            .sort_unstable_by_key(|ranked| (std::cmp::Reverse(ranked.blast_radius()), ranked.node));
        Ranks { nodes, as_one_node: wholes.left_out, agents: self.agents.len().div_ceil(each) }
    }

    /// Pairs that break with each node, a machine by its first name, by those of every `each`-th agent.
    fn broken_by_node(&self, each: usize) -> Vec<u64> {
        let count = self.nodes.len();
        let mut broken = vec![0_u64; count];
        let leaves = Leaves::of(self);
        let mut tree = Dominators::new(count);
        let mut weight = vec![0_u64; count];
        let mut path = 0;
        // By bunch, how many agents reach it; by machine, how many of its names these have observed paths to.
        let mut reached = vec![0_u64; leaves.bunches.len()];
        let mut observed_of = vec![0_u64; count];
        for (bit, &agent) in self.agents.iter().enumerate().step_by(each) {
            tree.find(self, &[self.first_name(agent)], |node| leaves.is_leaf(node));
            // Targets that hang on each node by their last edge, and the node itself.
            for &node in tree.reached() {
                weight[node as usize] = leaves.targets[node as usize] + leaves.own[node as usize];
            }
            let observed = |target: u32| {
                let bits = self.observed_agents.get(&target);
                bits.is_some_and(|bits| bits[bit / 64] >> (bit % 64) & 1 == 1)
            };
            for leaf in tree.reached().iter().flat_map(|&node| leaves.of.of(node)) {
                let pair = |name: u32| u64::from(self.is_target(name) && !observed(name));
                broken[*leaf as usize] += match self.addresses.one_with(*leaf) {
                    [] => pair(*leaf),
                    names => names.iter().map(|&name| pair(name)).sum(),
                };
            }
            for (bunch, agents) in leaves.bunches.iter().zip(&mut reached) {
                if let Some(stem) = tree.nearest(&bunch.parents) {
                    weight[stem as usize] += bunch.targets;
                    *agents += 1;
                }
            }
            // Pairs with observed paths are judged by these, one by one.
            while (path as usize) < self.paths.len() && self.paths.agent[path as usize] <= agent {
                let siblings = self.paths.siblings(path);
                path = siblings.end;
                let (from, target) = self.paths.pair(siblings.start);
                if from != agent {
                    continue;
                }
                let machine = self.first_name(target);
                let stem = leaves.stem(machine, &tree);
                if let Some(stem) = stem.filter(|_| self.is_target(target)) {
                    weight[stem as usize] -= 1;
                    observed_of[machine as usize] += 1;
                }
                for node in on_all(self, siblings).unwrap_or_default() {
                    let held = |stem| node == machine || tree.dominates(node, stem);
                    let cuts = stem.is_none_or(held);
                    broken[node as usize] += u64::from(cuts);
                }
            }
            // What is where the agent is is no target of it.
            let home = self.at_home.partition_point(|&(of, _)| of < agent);
            let home = self.at_home[home..].iter().take_while(|&&(of, _)| of == agent);
            for &(_, target) in home.filter(|&&(_, target)| self.is_target(target)) {
                let machine = self.first_name(target);
                if let Some(stem) = leaves.stem(machine, &tree) {
                    weight[stem as usize] -= 1;
                    observed_of[machine as usize] += 1;
                }
            }
            tree.sum_up(&mut weight);
            for &node in tree.reached() {
                broken[node as usize] += std::mem::take(&mut weight[node as usize]);
            }
        }
        for (bunch, agents) in leaves.bunches.iter().zip(reached) {
            for &leaf in &bunch.leaves {
                broken[leaf as usize] +=
                    agents * leaves.own[leaf as usize] - observed_of[leaf as usize];
            }
        }
        // Those that were looked at stand for the others too: one scale with what fails as a whole.
        let (agents, looked_at) =
            (self.agents.len() as u64, self.agents.len().div_ceil(each) as u64);
        for broken in broken.iter_mut().filter(|_| looked_at < agents) {
            *broken = (*broken * agents).div_ceil(looked_at);
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

/// The machines that lie on every one of these paths, or may, by their first names; `None` if there is no path.
fn on_all(moment: &Moment, mut paths: impl Iterator<Item = u32>) -> Option<Vec<u32>> {
    let first = paths.next()?;
    let hops = 0..moment.paths.route(first).len();
    let mut common: Vec<u32> =
        hops.flat_map(|hop| moment.paths.at_hop(first, hop)).copied().collect();
    common.iter_mut().for_each(|node| *node = moment.first_name(*node));
    common.sort_unstable();
    common.dedup();
    for path in paths {
        common.retain(|&machine| match moment.addresses.one_with(machine) {
            [] => moment.paths.may_cross(path, machine),
            _ => moment.paths.may_cross_any(path, |node| moment.first_name(node) == machine),
        });
    }
    Some(common)
}

#[cfg(test)]
mod tests {
    use holm_model::{EdgeKind, NodeId};

    use super::*;
    use crate::MomentBuilder;

    /// Six agents behind one hop that leads to a host of a site.
    fn star() -> Moment {
        let mut builder = MomentBuilder::new();
        let mut node = |id: &str| builder.node(id.parse::<NodeId>().unwrap());
        let agents: Vec<u32> = (0..6).map(|i| node(&format!("agent:a{i}"))).collect();
        let (hop, host, site) = (node("hop:192.0.2.1"), node("host:192.0.2.9"), node("site:far"));
        for agent in agents {
            builder.edge(agent, EdgeKind::Path, hop, None);
        }
        builder.edge(hop, EdgeKind::Path, host, None);
        builder.located_at(host, &"far".parse().unwrap());
        let _ = site;
        builder.build()
    }

    #[test]
    fn what_few_agents_lose_stands_for_all_and_is_of_one_scale_with_sites() {
        let moment = star();
        let broken = |ranks: &Ranks, id: &str| {
            let node = moment.find(&id.parse().unwrap()).unwrap();
            ranks.nodes.iter().find(|ranked| ranked.node == node).unwrap().broken
        };
        let all = moment.rank(MOST_STEPS, wholes::MOST_WORK);
        let some = moment.rank(10, wholes::MOST_WORK);
        assert_eq!((all.agents, some.agents), (6, 2));
        for id in ["hop:192.0.2.1", "host:192.0.2.9", "site:far"] {
            assert_eq!(broken(&some, id), broken(&all, id), "{id}");
        }
        assert_eq!(broken(&all, "host:192.0.2.9"), broken(&all, "site:far"));
    }

    #[test]
    fn of_very_many_sites_those_are_looked_at_whose_parts_break_the_most() {
        let mut builder = MomentBuilder::new();
        let id = |id: String| id.parse::<NodeId>().unwrap();
        let agent = builder.node(id("agent:a".into()));
        for site in 10..40 {
            builder.node(id(format!("site:s{site}")));
            let of_site = format!("s{site}").parse().unwrap();
            // Later sites have fewer addresses, and more behind each.
            for own in 0..=(40 - site) / 5 {
                let hop = builder.node(id(format!("hop:10.{site}.0.{own}")));
                builder.edge(agent, EdgeKind::Path, hop, None);
                builder.located_at(hop, &of_site);
                for behind in 0..site {
                    let host = builder.node(id(format!("host:h-{site}-{own}-{behind}")));
                    builder.edge(hop, EdgeKind::Path, host, None);
                }
            }
        }
        let moment = builder.build();
        let sites = |ranks: &Ranks| -> Vec<Ranked> {
            let site = |rank: &&Ranked| moment.kind_of(rank.node) == NodeKind::Site;
            ranks.nodes.iter().filter(site).copied().collect()
        };
        let (all, some) = (moment.rank(MOST_STEPS, wholes::MOST_WORK), moment.rank(MOST_STEPS, 0));
        assert_eq!((all.as_one_node, sites(&all).len()), (0, 30));
        assert_eq!((some.as_one_node, sites(&some).len()), (22, 8));
        let counts = |ranks: &Ranks| -> Vec<_> {
            sites(ranks).iter().map(|rank| (rank.node, rank.broken, rank.disconnected)).collect()
        };
        assert_eq!(counts(&some), counts(&all)[..8]);
    }
}
