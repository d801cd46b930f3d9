//! Pairs of which packets of very many flows were seen, most of them over hops that stayed silent.

use holm_model::{EdgeKind, NodeId};
use holm_moment::{Limits, Moment, MomentBuilder, Scratch, Selection, WhatIf};

const FLOWS: u32 = 1_024;
const HOPS: u32 = 62;
const WIDE: u32 = 8;

fn node(text: &str) -> NodeId {
    text.parse().expect("valid")
}

/// Every second hop of every flow is silent, which ones by the number of the flow; of each place `WIDE` answer.
fn silent() -> Moment {
    let mut builder = MomentBuilder::new();
    let (agent, target) = (builder.node(node("agent:a")), builder.node(node("host:192.0.2.1")));
    for flow in 0..FLOWS {
        let hops: Vec<Option<u32>> = (0..HOPS)
            .map(|hop| {
                let which = (flow / 2) % WIDE;
                let answers = (hop + flow) % 2 == 0;
                answers.then(|| builder.node(node(&format!("hop:198.18.{hop}.{which}"))))
            })
            .collect();
        builder.path(agent, target, &format!("udp-{flow}"), &hops);
    }
    builder.edge(agent, EdgeKind::Path, target, None);
    builder.build()
}

#[test]
fn each_of_very_many_flows_is_looked_at_once_a_hop() {
    let moment = silent();
    let one = moment.find(&node("hop:198.18.30.3")).expect("there");
    let failed = Selection { nodes: vec![one], edges: Vec::new() };
    let question = WhatIf { failed, ..WhatIf::default() };
    let impact = moment.what_if(&question, Limits::default(), None, &mut Scratch::default());
    assert_eq!(impact.rerouted_paths.total, 1, "{impact:?}");
    let item = &impact.rerouted_paths.items[0];
    // A flow of eight that answer there, and all that were silent there.
    assert_eq!(item.flows_affected, Some((FLOWS / 2 / WIDE + FLOWS / 2, FLOWS)));
    assert_eq!(moment.spof(9).agents, (1, 1));
}
