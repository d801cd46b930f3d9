//! The ranking of some hundred nodes, more than one batch of them, against a what-if of each.

use holm_model::{EdgeKind, ElementId, NodeId, NodeKind};
use holm_moment::{Limits, Moment, MomentBuilder, Scratch, Selector, WhatIf};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Long ways with few shortcuts, calls in layers, some flows observed. With machines, hops and hosts have addresses,
/// hosts and hops share some, and routers have several, one of them very many.
fn sparse(seed: u64, machines: bool) -> Moment {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut b = MomentBuilder::new();
    let name = |kind, i: usize| match kind {
        NodeKind::Hop if machines => format!("10.0.0.{i}"),
        // Every fourth is a hop too.
        NodeKind::Host if machines => format!("10.0.{}.{i}", i % 4),
        _ => format!("n{i}"),
    };
    let mut of = |kind, count: usize| -> Vec<u32> {
        let mut node = |i| b.node(NodeId::new(kind, &name(kind, i)).expect("valid"));
        (0..count).map(&mut node).collect()
    };
    let agents = of(NodeKind::Agent, 5);
    let hops = of(NodeKind::Hop, 90);
    let hosts = of(NodeKind::Host, 120);
    let services = of(NodeKind::Service, 110);
    for i in 1..hops.len() {
        // Behind one of the last few: chains and small bushes.
        let before = hops[i - 1 - rng.random_range(0..i.min(4))];
        b.edge(before, EdgeKind::Path, hops[i], None);
    }
    for _ in 0..20 {
        let ends = [0, 1].map(|_| hops[rng.random_range(0..hops.len())]);
        b.edge(ends[0], EdgeKind::Path, ends[1], None);
    }
    for &agent in &agents {
        b.edge(agent, EdgeKind::Path, hops[rng.random_range(0..20)], None);
    }
    for &target in hosts.iter().chain(&services[..40]) {
        for _ in 0..rng.random_range(1..3) {
            b.edge(hops[rng.random_range(0..hops.len())], EdgeKind::Path, target, None);
        }
    }
    for _ in 0..160 {
        let caller = rng.random_range(0..services.len());
        let callee = if rng.random_bool(0.5) {
            hosts[rng.random_range(0..hosts.len())]
        } else {
            services[rng.random_range(0..services.len())]
        };
        b.edge(services[caller], EdgeKind::Flow, callee, None);
    }
    for i in 0..60 {
        let agent = agents[rng.random_range(0..agents.len())];
        let target = hosts[rng.random_range(0..hosts.len())];
        let route: Vec<Option<u32>> =
            (0..4).map(|_| rng.random_bool(0.9).then(|| hops[rng.random_range(0..30)])).collect();
        b.path(agent, target, &format!("f{i}"), &route);
    }
    if machines {
        let address = |i: usize| format!("host:10.0.0.{i}").parse().expect("valid");
        for router in 0..12 {
            let node = b.node(NodeId::new(NodeKind::Host, &format!("r{router}")).expect("valid"));
            for _ in 0..rng.random_range(2..5) {
                // Some routers have an address in common, and so are one.
                b.also_called(node, &address(rng.random_range(0..90)));
            }
        }
        if seed.is_multiple_of(3) {
            let many = b.node(NodeId::new(NodeKind::Host, "many").expect("valid"));
            (0..70).for_each(|i| b.also_called(many, &address(i + 15)));
        }
        // Hosts of two addresses that lead nowhere: each pair of agent and name counts.
        for i in (1..80).step_by(8) {
            let node = b.node(NodeId::new(NodeKind::Host, &format!("two{i}")).expect("valid"));
            for i in [i, i + 4] {
                b.also_called(node, &format!("host:10.0.1.{i}").parse().expect("valid"));
            }
        }
        // What is at home with an agent, and services on hosts.
        let site: holm_model::SiteId = "n0".parse().expect("valid");
        hosts[..6].iter().chain(&hops[..3]).for_each(|&own| b.located_at(own, &site));
        for &service in &services[..30] {
            b.runs_on(service, hosts[rng.random_range(0..hosts.len())]);
        }
    }
    b.build()
}

#[test]
fn the_ranking_is_that_of_a_what_if_of_every_node() {
    let mut impacting = 0;
    for seed in 0..30 {
        impacting += assert_ranked(&sparse(seed, false), seed);
    }
    assert!(impacting > 30 * 64, "{impacting}: more than a batch each");
}

#[test]
fn the_ranking_of_machines_is_that_of_a_what_if_of_each() {
    let mut impacting = 0;
    for seed in 0..60 {
        impacting += assert_ranked(&sparse(seed, true), seed);
    }
    assert!(impacting > 60 * 64, "{impacting}: more than a batch each");
}

/// Compares the ranking with a what-if of every node, or of the machine that it is; how many of them impact services.
fn assert_ranked(moment: &Moment, seed: u64) -> usize {
    let mut scratch = Scratch::default();
    let ranking = moment.spof(usize::MAX);
    let mut expected = Vec::new();
    for node in 0..u32::try_from(moment.len().0).expect("small") {
        let id = ElementId::Node(moment.node(node).clone());
        let failed = moment.select(&Selector::Element(id)).expect("there");
        // It is there by its first host, or its first name.
        let is_host = |&&node: &&u32| moment.node(node).kind() == NodeKind::Host;
        let shown = failed.nodes.iter().find(is_host).or(failed.nodes.first());
        if shown != Some(&node) {
            continue;
        }
        let question = WhatIf { failed, ..WhatIf::default() };
        let impact = moment.what_if(&question, Limits { items: 0 }, None, &mut scratch);
        let counts =
            [impact.broken_paths.total, impact.impacted_services.total, impact.disconnected.total];
        if counts != [0; 3] {
            expected.push((moment.node(node).clone(), counts));
        }
    }
    expected
        .sort_by_key(|(id, counts)| (std::cmp::Reverse(counts.iter().sum::<u64>()), id.clone()));
    assert_eq!(ranking.as_one_node, 0, "none is left out");
    let found: Vec<(NodeId, [u64; 3])> = ranking
        .items
        .into_iter()
        .map(|s| (s.id.id, [s.broken_paths, s.impacted_services, s.disconnected]))
        .collect();
    assert_eq!(found, expected, "seed {seed}");
    found.iter().filter(|(_, counts)| counts[1] > 0).count()
}
