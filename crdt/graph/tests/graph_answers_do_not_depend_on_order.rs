//! Whatever the order and the repetitions in which elements arrive, the graph answers like a naive
//! model that reads the last record of each (site, element).

mod reference;

use holm_graph::{SiteElement, SnapshotFilter, TopologyGraph};
use std::collections::BTreeSet;

use holm_model::{ElementId, Interval, IntervalSet, Millis, NodeId, PastValue, PastValues, SiteId};
use holm_moment::{Limits, Moment, MomentBuilder, Scratch, Selector, WhatIf};
use proptest::prelude::*;
use reference::Model;

/// The nodes that an element speaks of.
fn names_in(id: ElementId) -> Vec<NodeId> {
    match id {
        ElementId::Node(node) => vec![node],
        ElementId::Edge(edge) => vec![edge.from, edge.to],
        ElementId::Path(path) => path.nodes().cloned().collect(),
        ElementId::Alias(alias) => alias.ends().into_iter().cloned().collect(),
    }
}

/// What a folded picture shows.
fn drawn(graph: &TopologyGraph, at: Millis) -> BTreeSet<ElementId> {
    let filter = SnapshotFilter { fold_aliases: true, ..SnapshotFilter::default() };
    let picture = graph.snapshot(at, &filter).expect("nothing is named");
    let nodes = picture.nodes.into_iter().map(|node| ElementId::Node(node.id));
    nodes.chain(picture.edges.into_iter().map(|edge| ElementId::Edge(edge.id))).collect()
}

fn any_past() -> impl Strategy<Value = PastValues> {
    let value =
        (1u64..40, "[ab]", proptest::option::of("[xyz]")).prop_map(|(until, key, value)| {
            PastValue { until: Millis(until), key: key.into(), value: value.map(Into::into) }
        });
    let known_from = prop_oneof![3 => Just(0), 1 => 0u64..20];
    (proptest::collection::vec(value, 0..4), known_from)
        .prop_map(|(values, known_from)| PastValues::new(values, Millis(known_from)))
}

/// Names of every role: global and private addresses, one that every machine has, names of hosts,
/// devices and services.
const NAMES: [&str; 12] = [
    "host:a",
    "host:b",
    "host:192.0.2.1",
    "host:192.0.2.2",
    "host:10.0.0.1",
    "host:10.0.0.2",
    "host:172.17.0.1",
    "hop:10.0.0.1",
    "hop:192.0.2.1",
    "device:d",
    "service:s",
    "service:t",
];

fn any_id() -> impl Strategy<Value = String> {
    prop_oneof![
        (0u8..4).prop_map(|n| format!("host:{n}")),
        (0u8..4, 0u8..4, 0u8..2).prop_map(|(a, b, k)| {
            format!("host:{a}|{}|host:{b}", ["flow", "path"][usize::from(k)])
        }),
        (0u8..3, 0u8..4, 0u8..4).prop_map(|(flow, b, hop)| {
            format!("host:0|path|host:{b}|f{flow}|hop:{hop}|*|hop:{}", hop / 2)
        }),
        (0usize..12, 1usize..12).prop_map(|(a, by)| format!(
            "{}|alias|{}",
            NAMES[a],
            NAMES[(a + by) % 12]
        )),
        (0usize..12, 0usize..12).prop_map(|(a, b)| format!("{}|flow|{}", NAMES[a], NAMES[b])),
        (0usize..3, 0usize..12).prop_map(|(a, b)| format!("agent:{a}|path|{}", NAMES[b])),
        (0usize..3).prop_map(|n| format!("site:site-{n}")),
        (0usize..3).prop_map(|n| format!("site:site-{n}")),
        (0usize..12).prop_map(|n| NAMES[n].to_owned()),
        (0usize..3).prop_map(|n| {
            let prefix = ["10.0.0.0/24", "192.0.2.0/24", "0.0.0.0/0"][n];
            format!("hop:192.0.2.1|routing|prefix:{prefix}")
        }),
    ]
}

fn any_record() -> impl Strategy<Value = (SiteId, SiteElement)> {
    let interval = (0u64..20, proptest::option::of(1u64..20)).prop_map(|(from, to)| Interval {
        from: Millis(from),
        to: to.map(|len| Millis(from + len)),
    });
    let plan = ("holm[.]site[.]address_plan", "[xy]");
    let attributes = prop_oneof![
        4 => proptest::collection::btree_map("[ab]", "[xyz]", 0..3).boxed(),
        1 => proptest::collection::btree_map(plan.0, plan.1, 1).boxed(),
        1 => (0usize..4, "[ab]").prop_map(|(n, host)| {
            let address = ["192.0.2.1", "192.0.2.2", "10.0.0.1", "10.0.0.2"][n];
            let says = [("server.address", address), ("server.port", "80"), ("host.name", &host)];
            says.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
        }).boxed(),
    ];
    let intervals = proptest::collection::vec(interval, 0..4);
    (0u8..3, any_id(), intervals, attributes, 0u64..40, any_past()).prop_map(
        |(site, id, intervals, attributes, at, past)| {
            let site = SiteId::new(&format!("site-{site}")).expect("valid");
            let element = SiteElement {
                id: id.parse().expect("valid"),
                intervals: IntervalSet::from_intervals(intervals),
                attributes: attributes
                    .into_iter()
                    .map(|(k, v)| (k.into_boxed_str(), v.into_boxed_str()))
                    .collect(),
                attributes_at: Millis(at),
                past,
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
        let mut model = Model::default();
        let mut replayed = TopologyGraph::new();
        for (site, element) in &history {
            model.set(site, element);
            replayed.apply(site, element.clone());
            // What was asked meanwhile changes no answer.
            replayed.folding(Millis(20));
        }
        // Only what is left, in another order, twice.
        let mut left = model.records();
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
        for at in (0..42).map(Millis) {
            let expected = model.snapshot(at);
            for graph in [&replayed, &shuffled] {
                let got = graph.snapshot(at, &SnapshotFilter::default());
                prop_assert_eq!(got.as_ref(), Ok(&expected));
            }
            prop_assert_eq!(replayed.coverage(at), shuffled.coverage(at));
            let (folding, names) = (replayed.folding(at), model.names(at));
            prop_assert_eq!(&folding, &shuffled.folding(at));
            let ambiguous: Vec<_> = names.ambiguous.iter().cloned().collect();
            prop_assert_eq!(&*folding.ambiguous, &*ambiguous);
            for name in NAMES.map(|name| name.parse().expect("valid")) {
                prop_assert_eq!(folding.names(&name), names.of(&name));
            }
            let folded = SnapshotFilter { fold_aliases: true, ..SnapshotFilter::default() };
            let folded = replayed.snapshot(at, &folded).expect("nothing is named");
            prop_assert_eq!(&folded, &model.folded(at));
            for node in folded.nodes.iter().take(3) {
                let near = |depth| {
                    let around = Some((node.id.clone(), depth));
                    let filter = SnapshotFilter { around, fold_aliases: true, ..SnapshotFilter::default() };
                    replayed.snapshot(at, &filter).expect("it is there")
                };
                prop_assert_eq!(&near(1), &reference::around(&folded, &node.id, 1));
                prop_assert_eq!(&near(2), &reference::around(&folded, &node.id, 2));
            }
            let other = Millis(41 - at.0);
            let (from, to) = (at.min(other), at.max(other));
            if at.0 % 7 == 0 {
                let (one, other) = (replayed.moment(at), shuffled.moment(at));
                prop_assert!(one.ids().eq(other.ids()));
                prop_assert_eq!(one.spof(99), other.spof(99));
                prop_assert_eq!(replayed.names_apart(at), shuffled.names_apart(at));
                let names: BTreeSet<NodeId> = model.ids().into_iter().flat_map(names_in).collect();
                for name in &names {
                    prop_assert_eq!(one.find_all(name), other.find_all(name));
                    for n in 0..4 {
                        let site = SiteId::new(&format!("site-{n}")).expect("valid");
                        prop_assert_eq!(one.meant_by(name, &site), other.meant_by(name, &site));
                        let meant = replayed.meant_by_site(name, &site, at);
                        prop_assert_eq!(&meant, &shuffled.meant_by_site(name, &site, at));
                        if !one.has_heard_of(&site) {
                            prop_assert_eq!(meant, None);
                        } else if let Some(node) = one.meant_by(name, &site) {
                            let told = meant.into_iter().flat_map(|meant| meant.names);
                            let told: BTreeSet<_> = told.map(|(n, _)| n).collect();
                            prop_assert_eq!(told, one.names(node).into_iter().collect(), "{}@{}", name, site);
                        } else if let Some(meant) = meant {
                            prop_assert!(!replayed.is_meant_then(&meant, at), "{}@{}: {:?}", name, site, meant);
                        }
                    }
                    let target = Selector::Element(ElementId::Node(name.clone()));
                    let failed = one.select(&target);
                    prop_assert_eq!(&failed, &other.select(&target));
                    let Ok(failed) = failed else { continue };
                    let question = WhatIf { failed, ..WhatIf::default() };
                    let ask = |moment: &Moment| {
                        moment.what_if(&question, Limits { items: 99 }, None, &mut Scratch::default())
                    };
                    prop_assert_eq!(ask(&one), ask(&other));
                }
            }
            // A part that leaves nothing out is the whole, however it is chosen.
            let sites = Some((0..4).map(|n| SiteId::new(&format!("site-{n}")).expect("valid")).collect());
            for fold_aliases in [true, false].into_iter().filter(|_| at.0 % 7 == 0) {
                let part = SnapshotFilter { sites: sites.clone(), fold_aliases, ..Default::default() };
                let whole = SnapshotFilter { fold_aliases, ..Default::default() };
                prop_assert_eq!(
                    replayed.diff_of_part(&part, from, to, 9),
                    replayed.diff_of_part(&whole, from, to, 9)
                );
            }
            prop_assert_eq!(replayed.diff(from, to, 1_000), model.diff(from, to));
            prop_assert_eq!(replayed.diff(from, to, 1_000), shuffled.diff(from, to, 1_000));
            let folded = replayed.diff_folded(from, to, 1_000);
            prop_assert_eq!(&folded, &model.diff_folded(from, to));
            // What came is drawn at the later moment only, what went at the earlier only.
            let [then, now] = [from, to].map(|at| drawn(&replayed, at));
            let is_pictured = |id: &&ElementId| matches!(id, ElementId::Node(_) | ElementId::Edge(_));
            for id in folded.appeared.items.iter().filter(is_pictured) {
                prop_assert!(now.contains(id) && !then.contains(id), "{} appeared", id);
            }
            for id in folded.vanished.items.iter().filter(is_pictured) {
                prop_assert!(then.contains(id) && !now.contains(id), "{} vanished", id);
            }
        }
        for id in model.ids() {
            prop_assert_eq!(replayed.element(&id), shuffled.element(&id));
            let folding = replayed.folding(Millis(20));
            let view = replayed.element_folded(&id, &folding);
            prop_assert_eq!(&view, &shuffled.element_folded(&id, &folding));
            let view = replayed.element(&id).expect("it is known");
            for site in view.sites {
                prop_assert_eq!(&site.intervals, &model.when(&site.site, &id));
            }
        }
        for to in 0..4 {
            let (from, to): (NodeId, _) = ("host:0".parse().expect("valid"), format!("host:{to}"));
            let to: NodeId = to.parse().expect("valid");
            // Each name stands for itself.
            let mut names = MomentBuilder::new();
            names.node(from.clone());
            names.node(to.clone());
            let names = names.build();
            let number = |id| names.find(id).expect("there");
            let (start, end) = ([number(&from)], [number(&to)]);
            let ways = |graph: &TopologyGraph| graph.ways_seen(&names, (&start, &end), (Millis(10), Millis(20)), 100);
            let seen = ways(&replayed);
            let ids: Vec<String> = seen.items.iter().map(|p| p.id.to_string()).collect();
            prop_assert_eq!(ids.len() as u64, seen.total);
            let mut sorted = ids.clone();
            sorted.sort();
            prop_assert_eq!(sorted, model.ways(&from, &to, Millis(10), Millis(20)));
            prop_assert_eq!(ways(&shuffled), seen);
        }
    }
}
