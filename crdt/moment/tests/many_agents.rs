//! What-ifs of more agents than one machine word has bits, against one search for each agent.

use std::collections::BTreeSet;

use holm_model::EdgeKind;
use holm_moment::{Limits, Moment, MomentBuilder, Scratch, Selection, WhatIf};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A network by plain numbers: agents first, then hops, then hosts.
struct Network {
    agents: usize,
    hosts_from: usize,
    edges: Vec<(usize, usize)>,
    moment: Moment,
    /// The numbers in the moment.
    number: Vec<u32>,
}

fn network(rng: &mut StdRng) -> Network {
    let agents = rng.random_range(1..200);
    let hosts_from = agents + rng.random_range(1..60);
    let all = hosts_from + rng.random_range(1..20);
    let mut edges = BTreeSet::new();
    let mut connect = |from: std::ops::Range<usize>, to: std::ops::Range<usize>, times| {
        for _ in 0..times {
            edges.insert((rng.random_range(from.clone()), rng.random_range(to.clone())));
        }
    };
    connect(0..agents, agents..hosts_from, agents);
    connect(agents..hosts_from, agents..hosts_from, 2 * (hosts_from - agents));
    connect(agents..hosts_from, hosts_from..all, 2 * (all - hosts_from));
    connect(0..all, 0..all, 5);
    let name = |i: usize| match i {
        i if i < agents => format!("agent:a{i}"),
        i if i < hosts_from => format!("hop:h{i}"),
        i => format!("host:t{i}"),
    };
    let ids: Vec<_> = (0..all).map(|i| name(i).parse().expect("valid")).collect();
    let mut builder = MomentBuilder::new();
    let handles: Vec<u32> = ids.iter().cloned().map(|id| builder.node(id)).collect();
    for &(from, to) in &edges {
        builder.edge(handles[from], EdgeKind::Path, handles[to], None);
    }
    let moment = builder.build();
    let number = ids.iter().map(|id| moment.find(id).expect("there")).collect();
    Network { agents, hosts_from, edges: edges.into_iter().collect(), moment, number }
}

impl Network {
    /// Hops from one node to all; `None` where there is no way around what is gone.
    fn hops(&self, from: usize, nodes: &[usize], edges: &[(usize, usize)]) -> Vec<Option<u32>> {
        let mut hops = vec![None; self.number.len()];
        let mut ring = Vec::new();
        if !nodes.contains(&from) {
            hops[from] = Some(0);
            ring.push(from);
        }
        let mut at = 0;
        while let Some(&node) = ring.get(at) {
            at += 1;
            for &(_, to) in self.edges.iter().filter(|(a, _)| *a == node) {
                if hops[to].is_none() && !nodes.contains(&to) && !edges.contains(&(node, to)) {
                    hops[to] = hops[node].map(|hops| hops + 1);
                    ring.push(to);
                }
            }
        }
        hops
    }

    /// How many pairs break, and how many have a shortest way that crosses what is gone and another one.
    fn expected(&self, nodes: &[usize], edges: &[(usize, usize)]) -> (u64, u64) {
        let before: Vec<_> = (0..self.number.len()).map(|n| self.hops(n, &[], &[])).collect();
        let (mut broken, mut rerouted) = (0, 0);
        for agent in 0..self.agents {
            let after = self.hops(agent, nodes, edges);
            for target in self.hosts_from..self.number.len() {
                let Some(whole) = before[agent][target] else { continue };
                let over = |from: usize, to: usize, step: u32| {
                    let ends = before[agent][from].zip(before[to][target]);
                    ends.is_some_and(|(a, b)| a + step + b == whole)
                };
                let crosses = nodes.iter().any(|&node| over(node, node, 0))
                    || edges.iter().any(|&(from, to)| from != to && over(from, to, 1));
                match after[target] {
                    None => broken += 1,
                    Some(_) => rerouted += u64::from(crosses),
                }
            }
        }
        (broken, rerouted)
    }
}

#[test]
fn pairs_break_and_go_on_as_one_search_for_each_agent_says() {
    let mut scratch = Scratch::default();
    let (mut broken, mut rerouted) = (0, 0);
    for seed in 0..24 {
        let mut rng = StdRng::seed_from_u64(seed);
        let network = network(&mut rng);
        for _ in 0..6 {
            let mut some = |of: usize| -> BTreeSet<usize> {
                (0..rng.random_range(0..3)).map(|_| rng.random_range(0..of)).collect()
            };
            let nodes: Vec<usize> = some(network.number.len()).into_iter().collect();
            let edges: Vec<_> =
                some(network.edges.len()).into_iter().map(|edge| network.edges[edge]).collect();
            let moment = &network.moment;
            let edge = |&(from, to): &(usize, usize)| {
                let ends = [network.number[from], network.number[to]];
                moment.edge_between(ends[0], EdgeKind::Path, ends[1]).expect("there")
            };
            let mut failed = Selection {
                nodes: nodes.iter().map(|&node| network.number[node]).collect(),
                edges: edges.iter().map(edge).collect(),
            };
            failed.nodes.sort_unstable();
            failed.edges.sort_unstable();
            let question = WhatIf { failed, ..WhatIf::default() };
            let impact = moment.what_if(&question, Limits::default(), None, &mut scratch);
            let found = (impact.broken_paths.total, impact.rerouted_paths.total);
            assert_eq!(found, network.expected(&nodes, &edges), "seed {seed}");
            broken += found.0;
            rerouted += found.1;
        }
    }
    assert!(broken > 1_000 && rerouted > 1_000, "{broken} and {rerouted}");
}
