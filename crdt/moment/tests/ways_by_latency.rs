//! Shortest routes by measured latency, any way along edges, against a search of all routes.

use std::collections::BTreeSet;

use holm_model::EdgeKind;
use holm_moment::{Metric, Moment, MomentBuilder, RouteQuery, Scratch};
use proptest::prelude::*;

type Edge = (usize, bool, usize, Option<u32>);

const KINDS: [EdgeKind; 2] = [EdgeKind::Path, EdgeKind::Flow];

fn edges() -> impl Strategy<Value = Vec<Edge>> {
    let edge = (0_usize..7, any::<bool>(), 0_usize..7, proptest::option::weighted(0.7, 0_u32..9));
    proptest::collection::vec(edge, 0..18)
}

fn moment(edges: &[Edge], order: impl Iterator<Item = usize>) -> Moment {
    let mut b = MomentBuilder::new();
    for n in order {
        b.node(format!("hop:n{n}").parse().expect("valid"));
    }
    for &(from, kind, to, us) in edges {
        let [from, to] = [from, to].map(|n| b.node(format!("hop:n{n}").parse().expect("valid")));
        b.edge(from, KINDS[usize::from(kind)], to, us);
    }
    b.build()
}

/// Unmeasured edges, microseconds, edges: of all routes without loops, least first.
fn all_costs(edges: &[Edge], query: &RouteQuery) -> Vec<[u64; 3]> {
    let step = |a: usize, b: usize| {
        let between = edges.iter().filter(|&&(from, kind, to, _)| {
            let kind = KINDS[usize::from(kind)];
            let serves = query.edge_kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind));
            serves && ((from, to) == (a, b) || (!query.directed && (from, to) == (b, a)))
        });
        let latency = |us: Option<u32>| us.map_or([1, 0, 1], |us| [0, u64::from(us), 1]);
        between.map(|&(.., us)| latency(us)).min()
    };
    let mut costs = Vec::new();
    let mut open = vec![(vec![query.from as usize], [0; 3])];
    while let Some((way, cost)) = open.pop() {
        let here = way[way.len() - 1];
        if here == query.to as usize {
            costs.push(cost);
            continue;
        }
        for next in (0..7).filter(|next| !way.contains(next)) {
            let Some(more) = step(here, next) else { continue };
            let longer = way.iter().copied().chain([next]).collect();
            open.push((longer, [0, 1, 2].map(|i| cost[i] + more[i])));
        }
    }
    costs.sort_unstable();
    costs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_fastest_routes_are_those_of_a_search_of_all(
        edges in edges(), from in 0_u32..7, to in 0_u32..7, count in 1_usize..8,
        directed in any::<bool>(), one_kind in any::<bool>(),
    ) {
        // The names are in order: the numbers of the moment are those of the names.
        let moment = moment(&edges, 0..7);
        let edge_kinds = one_kind.then(|| vec![EdgeKind::Path]);
        let query = RouteQuery { from, to, metric: Metric::Latency, directed, edge_kinds, only_through: None, count };
        let routes = moment.routes(&query, &mut Scratch::default()).found;
        let cost = |r: &holm_moment::Route| {
            [u64::from(r.unmeasured), r.latency_us, r.nodes.len() as u64 - 1]
        };
        let found: Vec<[u64; 3]> = routes.iter().map(cost).collect();
        let expected = all_costs(&edges, &query);
        prop_assert_eq!(&found, &expected[..count.min(expected.len())]);
        let different: BTreeSet<_> = routes.iter().map(|route| &route.nodes).collect();
        prop_assert_eq!(different.len(), routes.len());

        let turned: Vec<Edge> = edges.iter().rev().copied().collect();
        let turned = self::moment(&turned, (0..7).rev());
        prop_assert_eq!(turned.routes(&query, &mut Scratch::default()).found, routes);
    }
}
