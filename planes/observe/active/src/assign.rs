//! Which sites run a test: a pure function of the test and the members, so that every node comes to the same.
//!
//! Of those that fit and live, the first by a hash of test and site run it (rendezvous hashing, Thaler and
//! Ravishankar 1998): a site that leaves or comes moves only the tests that it ran or is to run. Of a site's nodes
//! one runs it, found in the same way.

use std::collections::BTreeMap;

use holm_model::{NodeName, SiteId};

use crate::test::{Selector, Test};

/// The label that is a site's region.
pub const REGION: &str = "region";

/// A node that may run tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its site.
    pub site: SiteId,
    /// Its name within the site.
    pub node: NodeName,
    /// What is said of it, by name.
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// Whether it is heard, and runs tests at all.
    pub live: bool,
}

/// How a site stands to a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// It runs it.
    Runs,
    /// It fits and lives, and others come first: one of them leaves, and it runs it.
    InReserve,
    /// It fits, and is not heard or runs no tests.
    Away,
}

/// A site that fits a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The site.
    pub site: SiteId,
    /// The node that runs it, or would.
    pub node: NodeName,
    /// How it stands.
    pub part: Part,
}

/// The sites that fit a test, by name, and which of them run it.
pub fn chosen(test: &Test, members: &[Member]) -> Vec<Chosen> {
    if !test.enabled {
        return Vec::new();
    }
    let mut of_sites: BTreeMap<&SiteId, (&Member, bool, [u8; 32])> = BTreeMap::new();
    for member in members.iter().filter(|member| fits(&test.sites, member)) {
        let weight = weight(test, &member.site, Some(&member.node));
        let better =
            |(_, live, known): &(&Member, bool, [u8; 32])| (member.live, &weight) > (*live, known);
        if of_sites.get(&member.site).is_none_or(better) {
            of_sites.insert(&member.site, (member, member.live, weight));
        }
    }
    let mut live: Vec<([u8; 32], &SiteId)> = of_sites
        .iter()
        .filter(|(_, (_, live, _))| *live)
        .map(|(site, _)| (weight(test, site, None), *site))
        .collect();
    live.sort_unstable_by(|a, b| b.cmp(a));
    let count = test.sites.count.map_or(usize::MAX, |count| count as usize);
    live.truncate(count);
    let parts = of_sites.into_iter().map(|(site, (member, is_live, _))| Chosen {
        site: site.clone(),
        node: member.node.clone(),
        part: match is_live {
            _ if live.iter().any(|(_, chosen)| *chosen == site) => Part::Runs,
            true => Part::InReserve,
            false => Part::Away,
        },
    });
    parts.collect()
}

/// Whether a node runs a test.
pub fn runs_at(test: &Test, members: &[Member], site: &SiteId, node: &NodeName) -> bool {
    let mut all = chosen(test, members).into_iter();
    all.any(|one| one.part == Part::Runs && one.site == *site && one.node == *node)
}

fn fits(sites: &Selector, member: &Member) -> bool {
    let region = member.labels.get(REGION);
    let listed = |list: &[Box<str>], what: Option<&str>| {
        list.is_empty() || what.is_some_and(|what| list.iter().any(|one| **one == *what))
    };
    listed(&sites.names, Some(member.site.as_str()))
        && listed(&sites.regions, region.map(|region| &**region))
        && sites.labels.iter().all(|(key, value)| member.labels.get(key) == Some(value))
}

fn weight(test: &Test, site: &SiteId, node: Option<&NodeName>) -> [u8; 32] {
    // Names have no slash.
    let node = node.map_or("", |node| node.as_str());
    let text = format!("{}/{}/{node}", test.name, site.as_str());
    blake3::derive_key("holm 2026-11 who runs a test", text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn test_of(name: &str, sites: &str) -> Test {
        let text = format!(
            "kind: Test\nname: {name}\nprobe: icmp\ntarget: x.example\ninterval: 10s\nsites: {sites}\n"
        );
        crate::parse(&text).expect("good").remove(0)
    }

    fn member(site: usize, node: usize, live: bool) -> Member {
        let region = if site.is_multiple_of(2) { "eu" } else { "us" };
        Member {
            site: format!("s{site}").parse().expect("valid"),
            node: format!("n{node}").parse().expect("valid"),
            labels: [("region".into(), region.into())].into(),
            live,
        }
    }

    fn runners(test: &Test, members: &[Member]) -> BTreeSet<String> {
        let all = chosen(test, members).into_iter();
        all.filter(|one| one.part == Part::Runs).map(|one| one.site.to_string()).collect()
    }

    #[test]
    fn a_test_runs_where_it_is_said() {
        let members: Vec<Member> = (0..6).map(|site| member(site, 1, site != 4)).collect();
        let of =
            |sites: &str| runners(&test_of("a", sites), &members).into_iter().collect::<Vec<_>>();
        assert_eq!(of("all"), ["s0", "s1", "s2", "s3", "s5"]);
        assert_eq!(of("{ names: [s1, s4, s9] }"), ["s1"]);
        assert_eq!(of("{ regions: [eu] }"), ["s0", "s2"]);
        assert_eq!(of("{ labels: { region: us }, count: 2 }").len(), 2);
        assert_eq!(of("{ labels: { region: us, tier: edge } }"), [""; 0]);
        let parts = chosen(&test_of("a", "{ regions: [eu], count: 1 }"), &members);
        let of_part = |part| parts.iter().filter(|one| one.part == part).count();
        assert_eq!((of_part(Part::Runs), of_part(Part::InReserve), of_part(Part::Away)), (1, 1, 1));
        let mut off = test_of("a", "all");
        off.enabled = false;
        assert_eq!(chosen(&off, &members), []);
    }

    #[test]
    fn tests_spread_over_the_sites() {
        let members: Vec<Member> = (0..10).map(|site| member(site, 1, true)).collect();
        let mut by_site: BTreeMap<String, usize> = BTreeMap::new();
        for number in 0..1_000 {
            for site in runners(&test_of(&format!("t{number}"), "{ count: 1 }"), &members) {
                *by_site.entry(site).or_default() += 1;
            }
        }
        assert!(
            by_site.len() == 10 && by_site.values().all(|n| (50..200).contains(n)),
            "{by_site:?}"
        );
    }

    fn members() -> impl Strategy<Value = Vec<Member>> {
        let one = (0..12_usize, 1..4_usize, any::<bool>());
        proptest::collection::vec(one, 0..30).prop_map(|all| {
            let all: BTreeMap<(usize, usize), bool> =
                all.into_iter().map(|(site, node, live)| ((site, node), live)).collect();
            all.into_iter().map(|((site, node), live)| member(site, node, live)).collect()
        })
    }

    proptest! {
        #[test]
        fn so_many_live_sites_run_it_as_there_are_and_one_node_of_each(members in members(), count in 1..8_u32) {
            let test = test_of("a", &format!("{{ count: {count} }}"));
            let live: BTreeSet<&SiteId> = members.iter().filter(|m| m.live).map(|m| &m.site).collect();
            let chosen = chosen(&test, &members);
            let runs: Vec<&Chosen> = chosen.iter().filter(|one| one.part == Part::Runs).collect();
            prop_assert_eq!(runs.len(), live.len().min(count as usize));
            for member in &members {
                let here = runs_at(&test, &members, &member.site, &member.node);
                let said = runs.iter().any(|one| one.site == member.site && one.node == member.node);
                prop_assert_eq!(here, said);
                prop_assert!(!here || member.live);
            }
            let mut turned = members.clone();
            turned.reverse();
            prop_assert_eq!(super::chosen(&test, &turned), chosen, "their order is nothing");
        }

        #[test]
        fn a_site_that_goes_moves_only_its_own(members in members(), gone in 0..12_usize, count in 1..8_u32) {
            let gone: SiteId = format!("s{gone}").parse().expect("valid");
            let left: Vec<Member> = members.iter().filter(|m| m.site != gone).cloned().collect();
            for number in 0..20 {
                let test = test_of(&format!("t{number}"), &format!("{{ count: {count} }}"));
                let (before, after) = (runners(&test, &members), runners(&test, &left));
                let mut stay = before.clone();
                let ran = stay.remove(gone.as_str());
                prop_assert!(stay.is_subset(&after), "{stay:?} {after:?}");
                prop_assert!(after.len() <= stay.len() + usize::from(ran), "one takes over at most");
            }
        }
    }
}
