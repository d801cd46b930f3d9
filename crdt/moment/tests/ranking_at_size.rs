//! The ranking of some hundred nodes, more than one batch of them, against a what-if of each.

use holm_model::{EdgeKind, NodeId, NodeKind};
use holm_moment::{Limits, Moment, MomentBuilder, Scratch, Selection, WhatIf};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Long ways with few shortcuts, calls in layers, some flows observed.
fn sparse(seed: u64) -> Moment {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut b = MomentBuilder::new();
    let mut of = |kind, count: usize| -> Vec<u32> {
        (0..count).map(|i| b.node(NodeId::new(kind, &format!("n{i}")).expect("valid"))).collect()
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
    b.build()
}

#[test]
fn the_ranking_is_that_of_a_what_if_of_every_node() {
    let mut scratch = Scratch::default();
    let mut impacting = 0;
    for seed in 0..30 {
        let moment = sparse(seed);
        let ranking = moment.spof(usize::MAX);
        impacting += ranking.items.iter().filter(|spof| spof.impacted_services > 0).count();
        let mut expected = Vec::new();
        for node in 0..u32::try_from(moment.len().0).expect("small") {
            let failed = Selection { nodes: vec![node], edges: vec![] };
            let question = WhatIf { failed, ..WhatIf::default() };
            let impact = moment.what_if(&question, Limits { items: 0 }, None, &mut scratch);
            let counts = [
                impact.broken_paths.total,
                impact.impacted_services.total,
                impact.disconnected.total,
            ];
            if counts != [0; 3] {
                expected.push((moment.node(node).clone(), counts));
            }
        }
        expected.sort_by_key(|(id, counts)| {
            (std::cmp::Reverse(counts.iter().sum::<u64>()), id.clone())
        });
        let found: Vec<(NodeId, [u64; 3])> = ranking
            .items
            .into_iter()
            .map(|s| (s.id.id, [s.broken_paths, s.impacted_services, s.disconnected]))
            .collect();
        assert_eq!(found, expected, "seed {seed}");
    }
    assert!(impacting > 30 * 64, "{impacting}: more than a batch each");
}
