//! What several sites report of one trouble is one incident, with the reasons; what is not, is not.

mod common;

use common::{MINUTE, Site, book, graver, judged, node, only};
use holm_incident::{Reason, Spell, State, Witness};
use holm_model::{Millis, Severity, Signal, VANTAGE_FAILED, VANTAGE_REACHED};

#[test]
fn sites_that_open_the_same_fault_apart_give_it_one_id_and_end_with_one_incident() {
    let (mut berlin, mut tokyo) = (Site::new("berlin"), Site::new("tokyo"));
    berlin.raise("icmp_failed", "host:192.0.2.7", 11 * MINUTE);
    tokyo.raise("tcp_failed", "host:192.0.2.7", 12 * MINUTE);
    let (apart, there) = (judged([&berlin], 13 * MINUTE), judged([&tokyo], 13 * MINUTE));
    assert_eq!(only(&apart).id, only(&there).id, "each pages by the same id");
    let one = only(&judged([&berlin, &tokyo], 13 * MINUTE));
    assert_eq!(one.id, only(&apart).id);
    assert_eq!((one.reports.len(), one.sites.len(), one.also.len()), (2, 2, 0));
    assert_eq!(one.verdict.as_str(), "target_down");
    assert_eq!(one.opened, Millis(11 * MINUTE));
}

#[test]
fn names_of_one_thing_join_and_the_reason_says_which() {
    let (mut berlin, mut tokyo) = (Site::new("berlin"), Site::new("tokyo"));
    berlin.knows("service:shop", &["host:192.0.2.7", "host:shop.example.org"], &[]);
    berlin.raise("slow", "service:shop", 20 * MINUTE);
    tokyo.raise("icmp_failed", "host:192.0.2.7", 25 * MINUTE);
    let one = only(&judged([&berlin, &tokyo], 26 * MINUTE));
    let [join] = &*one.joins else { panic!("{:?}", one.joins) };
    assert!(
        matches!(&join.why, Reason::Same(anchor) if anchor.to_string() == "host:192.0.2.7"),
        "{join:?}"
    );
    assert_eq!(join.report.site, tokyo.place.site);
    assert_eq!(one.targets, [node("service:shop"), node("host:192.0.2.7")]);
}

#[test]
fn a_private_address_is_each_sites_own_unless_they_share_a_plan() {
    let (mut berlin, mut tokyo) = (Site::new("berlin"), Site::new("tokyo"));
    berlin.raise("icmp_failed", "host:10.0.0.5", 5 * MINUTE);
    tokyo.raise("icmp_failed", "host:10.0.0.5", 5 * MINUTE);
    assert_eq!(judged([&berlin, &tokyo], 6 * MINUTE).incidents().len(), 2);
    let planned = |name| {
        let mut site =
            Site::at(holm_incident::Place { plan: "office".into(), ..common::place(name) });
        site.raise("icmp_failed", "host:10.0.0.5", 5 * MINUTE);
        site
    };
    let (berlin, tokyo) = (planned("berlin"), planned("tokyo"));
    only(&judged([&berlin, &tokyo], 6 * MINUTE));
}

#[test]
fn a_prefix_joins_what_lies_in_it_and_the_whole_internet_joins_nothing() {
    let mut site = Site::new("berlin");
    site.raise("withdrawn", "prefix:192.0.2.0/24", 5 * MINUTE);
    site.raise("icmp_failed", "host:192.0.2.7", 6 * MINUTE);
    site.raise("withdrawn", "prefix:192.0.0.0/16", 7 * MINUTE);
    site.raise("icmp_failed", "host:198.51.100.1", 6 * MINUTE);
    site.raise("withdrawn", "prefix:0.0.0.0/0", 6 * MINUTE);
    let judged = judged([&site], 8 * MINUTE);
    let sizes: Vec<usize> = judged.incidents().iter().map(|i| i.reports.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 5);
    let big = judged.incidents().iter().find(|i| i.reports.len() == 3).expect("the prefixes");
    assert!(big.joins.iter().all(|join| matches!(join.why, Reason::Within { .. })), "{big:#?}");
}

#[test]
fn a_prefix_beside_the_target_joins_and_does_not_name_the_fault() {
    let mut site = Site::new("berlin");
    let mut signal = Signal::new("flow", "surge", node("service:shop"), true, Millis(MINUTE));
    signal.prefix = Some(node("prefix:192.0.2.0/24"));
    site.signal(signal);
    site.raise("icmp_failed", "host:192.0.2.7", 2 * MINUTE);
    let one = only(&judged([&site], 3 * MINUTE));
    let mut alone = Site::new("tokyo");
    alone.raise("slow", "service:shop", MINUTE);
    assert_eq!(only(&judged([&alone], 3 * MINUTE)).id, one.id);
}

#[test]
fn neighbours_join_only_if_they_failed_at_about_the_same_time() {
    let run = |later: u64| {
        let mut site = Site::new("berlin");
        site.knows("service:shop", &[], &["service:stock"]);
        site.raise("slow", "service:stock", 10 * MINUTE);
        site.raise("slow", "service:shop", 10 * MINUTE + later);
        judged([&site], 30 * MINUTE)
    };
    let one = only(&run(MINUTE));
    assert!(matches!(one.joins[0].why, Reason::Near { .. }), "{:?}", one.joins);
    assert_eq!(run(3 * MINUTE).incidents().len(), 2);
}

#[test]
fn what_fails_again_long_after_is_another_incident() {
    let mut site = Site::new("berlin");
    site.raise("icmp_failed", "host:192.0.2.7", 10 * MINUTE);
    site.clear("icmp_failed", "host:192.0.2.7", 12 * MINUTE);
    site.raise("icmp_failed", "host:192.0.2.7", 40 * MINUTE);
    let judged = judged([&site], 41 * MINUTE);
    let states: Vec<State> = judged.incidents().iter().map(|i| i.state).collect();
    assert_eq!(states, [State::Open, State::Resolved], "what is not over comes first");
}

#[test]
fn vantages_say_where_the_trouble_is() {
    let mut berlin = Site::new("berlin");
    berlin.raise("icmp_failed", "host:192.0.2.7", 10 * MINUTE);
    let mut sites = vec![berlin];
    let verdict = |sites: &[Site]| {
        let judged = judged(sites, 11 * MINUTE);
        let found = judged.incidents().iter().find(|i| i.targets == [node("host:192.0.2.7")]);
        found.expect("there").verdict.as_str()
    };
    assert_eq!(verdict(&sites), "unconfirmed");
    let id = only(&judged(&sites, 11 * MINUTE)).id;
    for name in ["tokyo", "lima"] {
        let fine = vec![Spell { from: Millis(10 * MINUTE), to: None }];
        let mut site = Site::new(name);
        site.record("w1", Witness { fault: id, fine }.encode());
        sites.push(site);
    }
    assert_eq!(verdict(&sites), "one_vantage");
    let mut oslo = Site::new("oslo");
    oslo.raise("icmp_failed", "host:192.0.2.7", 10 * MINUTE);
    sites.push(oslo);
    assert_eq!(verdict(&sites), "path");
    for name in ["berlin", "oslo"] {
        let site = sites.iter_mut().find(|site| site.place.site.as_str() == name).expect("there");
        let target = node(&format!("site:{name}"));
        site.signal(Signal::new("mesh", "cut_off", target, true, Millis(10 * MINUTE)));
    }
    assert_eq!(verdict(&sites), "us");
}

#[test]
fn a_bare_name_and_a_device_are_one_thing_unless_sites_claim_different_names_for_it() {
    for target in ["host:db1", "host:db1.internal", "device:core-sw1"] {
        let mut sites = ["berlin", "tokyo", "lima"].map(Site::new);
        sites.iter_mut().for_each(|site| site.raise("tcp_failed", target, 5 * MINUTE));
        let one = only(&judged(&sites, 6 * MINUTE));
        assert_eq!((one.verdict.as_str(), one.reports.len()), ("target_down", 3), "{target}");
        let mut sites = ["berlin", "tokyo"].map(Site::new);
        for site in &mut sites {
            site.names_apart(target);
            site.raise("tcp_failed", target, 5 * MINUTE);
        }
        assert_eq!(judged(&sites, 6 * MINUTE).incidents().len(), 2, "{target}");
    }
}

#[test]
fn a_cut_takes_back_no_word_of_before_and_none_that_is_still_said_after_it() {
    const TARGET: &str = "host:192.0.2.7";
    let site = |name: &str, from: u64, to: Option<u64>, cut: (u64, Option<u64>)| {
        let mut site = Site::new(name);
        site.raise("icmp_failed", TARGET, from);
        to.into_iter().for_each(|to| site.clear("icmp_failed", TARGET, to));
        let about = node(&format!("site:{name}"));
        let mut said = |raised, at| {
            site.signal(Signal::new("mesh", "cut_off", about.clone(), raised, Millis(at)));
        };
        said(true, cut.0);
        cut.1.into_iter().for_each(|end| said(false, end));
        site
    };
    let verdict = |sites: &[Site], now: u64| {
        let judged = judged(sites, now);
        let found = judged.incidents().iter().find(|i| i.targets.contains(&node(TARGET)));
        found.expect("there").verdict.as_str()
    };
    let both = |from, to, cut| ["berlin", "tokyo"].map(|name| site(name, from, to, cut));
    // Bad for minutes, and then they lost each other.
    let before = both(10 * MINUTE, None, (15 * MINUTE, Some(16 * MINUTE)));
    assert_eq!(verdict(&before, 15 * MINUTE + 30_000), "target_down");
    assert_eq!(verdict(&before, 17 * MINUTE), "target_down");
    // It was over when they did.
    let over = both(10 * MINUTE, Some(12 * MINUTE), (15 * MINUTE, None));
    assert_eq!(verdict(&over, 16 * MINUTE), "target_down");
    // Probes fail a little before a site finds out, and succeed a little after.
    let of_it = both(15 * MINUTE - 40_000, Some(17 * MINUTE), (15 * MINUTE, Some(16 * MINUTE)));
    for now in [15 * MINUTE, 17 * MINUTE, 40 * MINUTE] {
        assert_eq!(verdict(&of_it, now), "us", "{now}");
    }
    // It began while they were apart and goes on.
    let still = both(15 * MINUTE + 30_000, None, (15 * MINUTE, Some(16 * MINUTE)));
    assert_eq!(verdict(&still, 17 * MINUTE), "us");
    assert_eq!(verdict(&still, 19 * MINUTE), "target_down");
    // Time alone turns it: what was judged before is not kept for it.
    let mut book = book(&still);
    let of = |judged: &holm_incident::Judged| {
        let found = judged.incidents().iter().find(|i| i.targets.contains(&node(TARGET)));
        found.expect("there").verdict.as_str()
    };
    assert_eq!(of(&book.judge(Millis(17 * MINUTE))), "us");
    assert_eq!(of(&book.judge(Millis(19 * MINUTE))), "target_down");
    // One of three is cut off, and is not counted.
    let mut three = vec![site("tokyo", 15 * MINUTE, None, (15 * MINUTE, None))];
    let mut lima = Site::new("lima");
    lima.raise("icmp_failed", TARGET, 15 * MINUTE);
    three.push(lima);
    let one = judged(&three, 16 * MINUTE);
    let one = one.incidents().iter().find(|i| i.targets.contains(&node(TARGET))).expect("there");
    let names = |sites: &std::collections::BTreeSet<holm_model::SiteId>| {
        sites.iter().map(|site| site.as_str().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        (names(&one.vantages.failed), names(&one.vantages.cut_off)),
        ("lima".into(), "tokyo".into())
    );
    assert_eq!(one.verdict.as_str(), "unconfirmed");
}

#[test]
fn a_plane_that_judged_several_views_says_who_looked() {
    let mut site = Site::new("berlin");
    let mut signal = Signal::new("mesh", "link_down", node("site:lima"), true, Millis(MINUTE));
    signal.attributes.insert(VANTAGE_FAILED.into(), "berlin,oslo".into());
    signal.attributes.insert(VANTAGE_REACHED.into(), "tokyo".into());
    site.signal(graver(signal, Severity::Critical));
    let one = only(&judged([&site], 2 * MINUTE));
    assert_eq!((one.verdict.as_str(), one.severity), ("path", Severity::Critical));
}

#[test]
fn a_report_that_comes_late_is_found_by_every_id_it_ever_had() {
    let (mut berlin, mut tokyo) = (Site::new("berlin"), Site::new("tokyo"));
    tokyo.raise("icmp_failed", "host:192.0.2.7", 11 * MINUTE);
    let before = only(&judged([&tokyo], 12 * MINUTE)).id;
    berlin.raise("icmp_failed", "host:192.0.2.7", 9 * MINUTE);
    let mut book = book([&berlin, &tokyo]);
    let judged = book.judge(Millis(12 * MINUTE));
    let one = only(&judged);
    assert_ne!(one.id, before);
    assert_eq!(one.also, [before]);
    assert_eq!(judged.of_fault(before).map(|i| i.id), Some(one.id));
}
