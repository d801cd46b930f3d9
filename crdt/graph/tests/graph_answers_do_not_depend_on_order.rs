//! Whatever the order and the repetitions in which elements arrive, the graph answers like a naive
//! model that reads the last record of each (site, element).

use std::collections::{BTreeMap, BTreeSet};

use holm_graph::{EdgeView, NodeView, SiteElement, Snapshot, SnapshotFilter, TopologyGraph};
use holm_model::{Attributes, ElementId, Interval, IntervalSet, Millis, NodeId, SiteId};
use proptest::prelude::*;

type Model = BTreeMap<(SiteId, ElementId), SiteElement>;

fn merged(model: &Model, id: &ElementId, at: Millis) -> Attributes {
    let mut records: Vec<_> = model
        .iter()
        .filter(|((_, i), e)| i == id && e.intervals.contains(at) && !e.attributes.is_empty())
        .map(|((site, _), e)| (e.attributes_at, site.clone(), e.attributes.clone()))
        .collect();
    records.sort();
    records.into_iter().flat_map(|(_, _, attributes)| attributes).collect()
}

/// The whole graph at `at`, worked out the slow way.
fn reference(model: &Model, at: Millis) -> Snapshot {
    let mut nodes: BTreeMap<NodeId, (BTreeSet<SiteId>, Millis)> = BTreeMap::new();
    let mut edges = BTreeMap::new();
    for ((site, id), element) in model {
        let Some(interval) = element.intervals.interval_at(at) else { continue };
        let mut says = |node: &NodeId| {
            let (sites, since) =
                nodes.entry(node.clone()).or_insert((BTreeSet::new(), interval.from));
            sites.insert(site.clone());
            *since = (*since).min(interval.from);
        };
        match id {
            ElementId::Node(node) => says(node),
            ElementId::Edge(edge) => {
                says(&edge.from);
                says(&edge.to);
                let (sites, since) =
                    edges.entry(edge.clone()).or_insert((BTreeSet::new(), interval.from));
                sites.insert(site.clone());
                *since = (*since).min(interval.from);
            }
        }
    }
    let nodes: Vec<NodeView> = nodes
        .into_iter()
        .map(|(id, (sites, since))| {
            let attributes = merged(model, &ElementId::Node(id.clone()), at);
            NodeView { id, sites: sites.into_iter().collect(), since, attributes }
        })
        .collect();
    let edges: Vec<EdgeView> = edges
        .into_iter()
        .map(|(id, (sites, since))| {
            let attributes = merged(model, &ElementId::Edge(id.clone()), at);
            EdgeView { id, sites: sites.into_iter().collect(), since, attributes }
        })
        .collect();
    Snapshot { total_nodes: nodes.len(), total_edges: edges.len(), nodes, edges }
}

fn any_record() -> impl Strategy<Value = (SiteId, SiteElement)> {
    let interval = (0u64..20, proptest::option::of(1u64..20)).prop_map(|(from, to)| Interval {
        from: Millis(from),
        to: to.map(|len| Millis(from + len)),
    });
    let id = prop_oneof![
        (0u8..4).prop_map(|n| format!("host:{n}")),
        (0u8..4, 0u8..4, 0u8..2).prop_map(|(a, b, k)| {
            format!("host:{a}|{}|host:{b}", ["flow", "path"][usize::from(k)])
        }),
    ];
    let attributes = proptest::collection::btree_map("[ab]", "[xyz]", 0..3);
    (0u8..3, id, proptest::collection::vec(interval, 0..4), attributes, 0u64..5).prop_map(
        |(site, id, intervals, attributes, at)| {
            let site = SiteId::new(&format!("site-{site}")).expect("valid");
            let element = SiteElement {
                id: id.parse().expect("valid"),
                intervals: IntervalSet::from_intervals(intervals),
                attributes: attributes
                    .into_iter()
                    .map(|(k, v)| (k.into_boxed_str(), v.into_boxed_str()))
                    .collect(),
                attributes_at: Millis(at),
            };
            (site, element)
        },
    )
}

proptest! {
    #[test]
    fn the_graph_is_the_reference(
        history in proptest::collection::vec(any_record(), 0..60),
        order in any::<proptest::sample::Index>(),
        seed in any::<u64>(),
    ) {
        // In the order of history, with everything that was overwritten or withdrawn since.
        let mut model = Model::new();
        let mut replayed = TopologyGraph::new();
        for (site, element) in &history {
            let key = (site.clone(), element.id.clone());
            if element.intervals.is_empty() {
                model.remove(&key);
            } else {
                model.insert(key, element.clone());
            }
            replayed.apply(site, element.clone());
        }
        // Only what is left, in another order, twice.
        let mut left: Vec<_> = model.iter().map(|((s, _), e)| (s.clone(), e.clone())).collect();
        left.sort_by_key(|(s, e)| {
            let text = format!("{s}{}{seed}", e.id);
            text.bytes().fold(seed, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)))
        });
        if !left.is_empty() {
            let start = order.index(left.len());
            left.rotate_left(start);
        }
        let mut shuffled = TopologyGraph::new();
        for (site, element) in left.iter().chain(&left) {
            shuffled.apply(site, element.clone());
        }
        prop_assert_eq!(replayed.digest(), shuffled.digest());
        prop_assert_eq!(replayed.len(), shuffled.len());
        prop_assert_eq!(replayed.earliest(), shuffled.earliest());
        for at in 0..42 {
            let expected = reference(&model, Millis(at));
            for graph in [&replayed, &shuffled] {
                let got = graph.snapshot(Millis(at), &SnapshotFilter::default());
                prop_assert_eq!(got.as_ref(), Ok(&expected));
            }
            prop_assert_eq!(replayed.coverage(Millis(at)), shuffled.coverage(Millis(at)));
        }
    }
}
