//! Topologies that nobody here made, with the answers of another library.

use holm_model::{EdgeKind, NodeId, NodeKind};
use holm_moment::{Limits, Metric, Moment, MomentBuilder, RouteQuery, Scratch, Selection, WhatIf};
use serde_json::Value;

const FIXTURES: [&str; 7] = [
    include_str!("topohub/topozoo-Abilene.json"),
    include_str!("topohub/topozoo-Geant2012.json"),
    include_str!("topohub/sndlib-nobel-eu.json"),
    include_str!("topohub/sndlib-germany50.json"),
    include_str!("topohub/topozoo-Dfn.json"),
    include_str!("topohub/topozoo-TataNld.json"),
    include_str!("topohub/sndlib-brain.json"),
];

fn id(kind: NodeKind, n: usize) -> NodeId {
    NodeId::new(kind, &format!("n{n:03}")).expect("valid")
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().expect("a number")).expect("small")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn moment(fixture: &Value) -> Moment {
    let mut b = MomentBuilder::new();
    for link in list(&fixture["links"]) {
        let ends = [number(&link[0]), number(&link[1])].map(|n| b.node(id(NodeKind::Hop, n)));
        b.edge(ends[0], EdgeKind::Path, ends[1], None);
        b.edge(ends[1], EdgeKind::Path, ends[0], None);
    }
    for n in 0..number(&fixture["nodes"]) {
        let (hop, host) = (b.node(id(NodeKind::Hop, n)), b.node(id(NodeKind::Host, n)));
        b.edge(hop, EdgeKind::Path, host, None);
    }
    for n in list(&fixture["agents"]).iter().map(number) {
        let (agent, hop) = (b.node(id(NodeKind::Agent, n)), b.node(id(NodeKind::Hop, n)));
        b.edge(agent, EdgeKind::Path, hop, None);
    }
    b.build()
}

#[test]
fn what_breaks_in_real_networks_is_what_networkx_says() {
    let mut scratch = Scratch::default();
    for fixture in FIXTURES {
        let fixture: Value = serde_json::from_str(fixture).expect("JSON");
        let moment = moment(&fixture);
        let name = &fixture["name"];
        assert_eq!(moment.components().1, number(&fixture["components"]), "{name}");
        let ranking = moment.spof(usize::MAX);
        for (n, expected) in list(&fixture["removed"]).iter().enumerate() {
            let hop = id(NodeKind::Hop, n);
            let failed =
                Selection { nodes: vec![moment.find(&hop).expect("there")], edges: vec![] };
            let question = WhatIf { failed, ..WhatIf::default() };
            let impact = moment.what_if(&question, Limits::default(), None, &mut scratch);
            let found =
                [impact.broken_paths.total, impact.rerouted_paths.total, impact.disconnected.total];
            let expected: Vec<u64> = list(expected).iter().filter_map(Value::as_u64).collect();
            assert_eq!(found[..], expected, "{name}, without {hop}");
            let ranked =
                ranking.items.iter().find(|spof| spof.id.id == hop).expect("it has a host");
            assert_eq!((ranked.broken_paths, ranked.disconnected), (expected[0], expected[2]));
        }
    }
}

#[test]
fn the_shortest_routes_of_real_networks_are_as_long_as_networkx_says() {
    let mut scratch = Scratch::default();
    for fixture in FIXTURES {
        let fixture: Value = serde_json::from_str(fixture).expect("JSON");
        let moment = moment(&fixture);
        for (agent, lengths) in list(&fixture["agents"]).iter().zip(list(&fixture["lengths"])) {
            let from = moment.find(&id(NodeKind::Agent, number(agent))).expect("there");
            for (n, length) in list(lengths).iter().enumerate() {
                let query = RouteQuery {
                    from,
                    to: moment.find(&id(NodeKind::Host, n)).expect("there"),
                    metric: Metric::Hops,
                    directed: true,
                    edge_kinds: Some(vec![EdgeKind::Path]),
                    only_through: None,
                    count: 1,
                };
                let routes = moment.routes(&query, &mut scratch).found;
                let found = routes.first().map(|route| route.nodes.len() as u64 - 1);
                assert_eq!(found, length.as_u64(), "{} to host {n}", fixture["name"]);
            }
        }
    }
}
