//! Several what-ifs of one moment: what they have in common, and what draining adds to failing.

mod common;

use std::collections::BTreeSet;

use common::{Plan, plan};
use holm_model::{EdgeKind, ElementId, NodeId};
use holm_moment::{
    BrokenPath, Impact, Limits, Moment, MomentBuilder, Named, PrefixLoss, Scratch, Selection,
    Selector, SloIndex, WhatIf, impact_diff,
};
use proptest::prelude::*;

const ALL: Limits = Limits { items: usize::MAX };

fn select(moment: &Moment, plan: &Plan, nodes: &BTreeSet<usize>) -> Selection {
    let mut nodes: Vec<u32> =
        nodes.iter().map(|&n| moment.find(&plan.id(n)).expect("there")).collect();
    nodes.sort_unstable();
    Selection { nodes, edges: vec![] }
}

fn pairs(list: &[BrokenPath]) -> BTreeSet<(NodeId, NodeId)> {
    list.iter().map(|p| (p.from.id.clone(), p.to.id.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn draining_besides_a_failure_strands_what_the_failure_leaves(
        plan in plan(), failed in proptest::collection::btree_set(0_usize..64, 0..3),
        drained in proptest::collection::btree_set(0_usize..64, 1..3),
    ) {
        let modulo = |set: BTreeSet<usize>| -> BTreeSet<usize> {
            set.into_iter().flat_map(|n| plan.machine(n % plan.names.len())).collect()
        };
        let (failed, drained) = (modulo(failed), modulo(drained));
        let moment = plan.moment();
        let mut scratch = Scratch::default();
        let both: BTreeSet<usize> = failed.union(&drained).copied().collect();
        let mut ask = |failed: &BTreeSet<usize>, drained: &BTreeSet<usize>| {
            let question = WhatIf {
                failed: select(&moment, &plan, failed),
                drained: select(&moment, &plan, drained),
            };
            moment.what_if(&question, ALL, None, &mut scratch)
        };
        let nothing = BTreeSet::new();
        let alone = ask(&failed, &nothing);
        let all_failed = ask(&both, &nothing);
        let mixed = ask(&failed, &drained);

        let without_both = pairs(&all_failed.broken_paths.items);
        let without_failed = pairs(&alone.broken_paths.items);
        let broken = pairs(&mixed.broken_paths.items);
        let stranded = pairs(&mixed.stranded_paths.items);
        prop_assert_eq!(&broken, &without_both.intersection(&without_failed).cloned().collect());
        prop_assert_eq!(&stranded, &without_both.difference(&without_failed).cloned().collect());
        prop_assert_eq!(mixed.broken_paths.total, broken.len() as u64);
        prop_assert_eq!(mixed.stranded_paths.total, stranded.len() as u64);
        prop_assert_eq!(&mixed.rerouted_paths, &all_failed.rerouted_paths);
        prop_assert_eq!(&mixed.disconnected, &alone.disconnected);
        prop_assert_eq!(&mixed.impacted_services, &alone.impacted_services);
        prop_assert_eq!(&mixed.impacted_prefixes, &alone.impacted_prefixes);
        // Who would be impacted if all of it failed stays, but for those whom the failure impacts anyhow.
        let impacted = |impact: &Impact| -> BTreeSet<String> {
            impact.impacted_services.items.iter().map(|s| s.id.to_string()).collect()
        };
        let stays: BTreeSet<String> =
            mixed.stranded_services.items.iter().map(|s| s.id.to_string()).collect();
        let expected: BTreeSet<String> =
            impacted(&all_failed).difference(&impacted(&alone)).cloned().collect();
        prop_assert_eq!(stays, expected);
        let lost = |impact: &Impact| -> BTreeSet<String> {
            let lost = impact.impacted_prefixes.items.iter().filter(|p| p.loss == PrefixLoss::Lost);
            lost.map(|p| p.id.to_string()).collect()
        };
        let held: BTreeSet<String> =
            mixed.stranded_prefixes.items.iter().map(ToString::to_string).collect();
        prop_assert_eq!(held, lost(&all_failed).difference(&lost(&alone)).cloned().collect());
    }

    #[test]
    fn what_hangs_on_a_node_is_what_its_failure_cuts_off(plan in plan(), n in 0_usize..64) {
        let n = n % plan.names.len();
        let moment = plan.moment();
        let mut scratch = Scratch::default();
        let failed = moment.select(&Selector::Element(ElementId::Node(plan.id(n)))).expect("there");
        let node = moment.find(&plan.id(n)).expect("there");
        let question = WhatIf { failed, ..WhatIf::default() };
        let impact = moment.what_if(&question, ALL, None, &mut scratch);
        let hanging = moment.hangs_on(node, &mut scratch);
        let named: Vec<Named> = hanging.iter().map(|&n| moment.named(n)).collect();
        prop_assert_eq!(named, impact.disconnected.items);
    }

    #[test]
    fn one_room_serves_questions_to_several_moments(
        first in plan(), second in plan(), n in 0_usize..64,
    ) {
        let mut shared = Scratch::default();
        for plan in [&first, &second, &first] {
            let moment = plan.moment();
            let failed = select(&moment, plan, &[n % plan.names.len()].into());
            let question = WhatIf { failed, ..WhatIf::default() };
            let fresh = moment.what_if(&question, ALL, None, &mut Scratch::default());
            prop_assert_eq!(moment.what_if(&question, ALL, None, &mut shared), fresh);
        }
    }
}

/// Two agents; one host behind each of two hops, and a service that calls one of the hosts.
fn two_branches() -> Moment {
    let mut b = MomentBuilder::new();
    let mut node = |name: &str| b.node(name.parse().expect("valid"));
    let [a, left, right, x, y] =
        ["agent:a", "hop:left", "hop:right", "host:x", "host:y"].map(&mut node);
    let [web, system, prefix] = ["service:web", "as:64500", "prefix:192.0.2.0/24"].map(&mut node);
    for (from, kind, to) in [
        (a, EdgeKind::Path, left),
        (a, EdgeKind::Path, right),
        (left, EdgeKind::Path, x),
        (right, EdgeKind::Path, y),
        (web, EdgeKind::Flow, x),
        (system, EdgeKind::Routing, prefix),
    ] {
        b.edge(from, kind, to, None);
    }
    b.build()
}

fn ask(moment: &Moment, names: &[&str], slos: Option<&dyn SloIndex>) -> Impact {
    let site: holm_model::SiteId = "berlin".parse().expect("valid");
    let elements = names.iter().map(|name| (name.parse().expect("valid"), site.clone())).collect();
    let listed = Selector::Listed { name: "these".into(), elements };
    let failed = moment.select(&listed).expect("all there");
    let question = WhatIf { failed, ..WhatIf::default() };
    moment.what_if(&question, ALL, slos, &mut Scratch::default())
}

#[test]
fn two_answers_are_told_apart_item_by_item() {
    let moment = two_branches();
    let a = ask(&moment, &["hop:left"], None);
    let b = ask(&moment, &["hop:left", "hop:right", "as:64500"], None);
    let diff = impact_diff(&a, &b);
    let id = |name: &str| Named { id: name.parse().expect("valid"), at: None };
    let pair = |host: &str| (id("agent:a"), id(host));
    assert_eq!(diff.broken_paths, [vec![], vec![pair("host:y")], vec![pair("host:x")]]);
    assert_eq!(diff.impacted_services, [vec![], vec![], vec![id("service:web")]]);
    assert_eq!(diff.impacted_prefixes, [vec![], vec![id("prefix:192.0.2.0/24")], vec![]]);
    let both = vec![id("host:x"), id("service:web")];
    assert_eq!(diff.disconnected, [vec![], vec![id("host:y")], both]);
    assert!(diff.complete);
    let swapped = impact_diff(&b, &a);
    assert_eq!(swapped.broken_paths, [vec![pair("host:y")], vec![], vec![pair("host:x")]]);
    let drained = {
        let question = WhatIf {
            drained: moment
                .select(&Selector::Element("hop:left".parse().expect("valid")))
                .expect("there"),
            ..WhatIf::default()
        };
        moment.what_if(&question, Limits::default(), None, &mut Scratch::default())
    };
    let diff = impact_diff(&a, &drained);
    assert_eq!(diff.stranded_paths, [vec![], vec![pair("host:x")], vec![]]);
    let mut cut = b.clone();
    cut.broken_paths.items.pop();
    assert!(!impact_diff(&a, &cut).complete, "a list that was cut short is told");
}

#[test]
fn objectives_are_asked_for_what_fails_what_is_cut_off_and_who_calls() {
    struct Asked;
    impl SloIndex for Asked {
        fn touched(&self, nodes: &[&NodeId]) -> Vec<String> {
            let mut names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
            names.sort_unstable();
            names.dedup();
            names
        }
    }
    let moment = two_branches();
    assert_eq!(ask(&moment, &["hop:left"], None).impacted_slos, None);
    let asked = ask(&moment, &["hop:left"], Some(&Asked)).impacted_slos;
    let expected = ["hop:left", "host:x", "service:web"].map(String::from);
    let asked = asked.map(|listed| (listed.total, listed.items));
    assert_eq!(asked, Some((expected.len() as u64, expected.to_vec())));
}

#[test]
fn objectives_are_asked_for_what_is_reached_no_more_by_all_of_its_names() {
    struct Asked;
    impl SloIndex for Asked {
        fn touched(&self, nodes: &[&NodeId]) -> Vec<String> {
            let wanted = ["host:192.0.2.7", "host:192.0.2.8"];
            let names = nodes.iter().map(ToString::to_string);
            names.filter(|name| wanted.contains(&name.as_str())).collect()
        }
    }
    let mut builder = MomentBuilder::new();
    let mut node = |id: &str| builder.node(id.parse().expect("valid"));
    let [agent, hop] = [node("agent:a"), node("hop:r")];
    let [shop, web] = [node("host:shop.example"), node("service:web")];
    builder.also_called(shop, &"host:192.0.2.7".parse().expect("valid"));
    builder.edge(agent, EdgeKind::Path, hop, None);
    builder.edge(hop, EdgeKind::Path, shop, None);
    // It stays connected: what calls it is seen from the agent's site.
    builder.edge(web, EdgeKind::Flow, shop, None);
    builder.seen_from(web, agent);
    let moment = builder.build();
    let impact = ask(&moment, &["hop:r"], Some(&Asked));
    assert_eq!((impact.broken_paths.total, impact.disconnected.total), (1, 0), "{impact:?}");
    let slos = impact.impacted_slos.expect("an engine knows");
    assert_eq!(slos.items, ["host:192.0.2.7"]);
    let slos = ask(&moment, &["service:web"], Some(&Asked)).impacted_slos;
    assert_eq!(slos.expect("an engine knows").total, 0);
}
