//! Whatever the order in which records come, and however often: nodes that know the same see the same.

mod common;

use std::collections::BTreeMap;

use common::{MINUTE, Records, Site, judged};
use holm_incident::{Book, Deed, Incident, RecordId};
use holm_model::{Millis, Severity};
use proptest::prelude::*;

/// One thing that happens at a site.
#[derive(Debug, Clone)]
enum Step {
    Raise {
        site: usize,
        target: usize,
        kind: usize,
    },
    Clear {
        site: usize,
        target: usize,
        kind: usize,
    },
    /// On the incident of that place in the list, as the sites before `seen` know it.
    Act {
        site: usize,
        seen: usize,
        incident: usize,
        deed: usize,
    },
    Wait(u64),
}

const TARGETS: [&str; 7] = [
    "host:192.0.2.7",
    "service:shop",
    "service:stock",
    "prefix:192.0.2.0/24",
    "host:10.0.0.5",
    "site:lima",
    "host:db",
];
const KINDS: [&str; 2] = ["icmp_failed", "slow"];

fn step() -> impl Strategy<Value = Step> {
    let about = || (0..3_usize, 0..TARGETS.len(), 0..KINDS.len());
    prop_oneof![
        4 => about().prop_map(|(site, target, kind)| Step::Raise { site, target, kind }),
        2 => about().prop_map(|(site, target, kind)| Step::Clear { site, target, kind }),
        3 => (0..3_usize, 0..4_usize, 0..4_usize, 0..8_usize)
            .prop_map(|(site, seen, incident, deed)| Step::Act { site, seen, incident, deed }),
        2 => (1..9 * MINUTE).prop_map(Step::Wait),
    ]
}

fn deed(number: usize, of: &Incident, all: &[std::sync::Arc<Incident>]) -> Option<Deed> {
    Some(match number {
        0 => Deed::Acknowledge,
        1 => Deed::Mitigate,
        2 => Deed::Resolve,
        3 => Deed::Reopen,
        4 => Deed::Assign(Some("ada".into())),
        5 => Deed::Grade(Severity::Critical),
        6 => Deed::Split(vec![*of.also.last()?]),
        _ => Deed::Join(all.iter().find(|other| other.id != of.id)?.id),
    })
}

fn play(steps: &[Step]) -> (Records, u64) {
    let mut sites = ["berlin", "tokyo", "lima"].map(Site::new);
    for site in &mut sites {
        site.knows("service:shop", &["host:192.0.2.7"], &["service:stock"]);
        site.knows("host:db", &["host:10.0.0.5"], &["service:stock"]);
    }
    let mut now = 30 * MINUTE;
    for step in steps {
        now += 1;
        match *step {
            Step::Raise { site, target, kind } => {
                sites[site].raise(KINDS[kind], TARGETS[target], now)
            }
            Step::Clear { site, target, kind } => {
                sites[site].clear(KINDS[kind], TARGETS[target], now)
            }
            Step::Wait(ms) => now += ms,
            Step::Act { site, seen, incident, deed: number } => {
                // The site itself and some others: the rest is behind a partition.
                let heard = sites.iter().enumerate().filter(|(i, _)| *i == site || *i < seen);
                let known = judged(heard.map(|(_, site)| site), now);
                let all = known.incidents();
                let Some(of) = all.get(incident) else { continue };
                let Some(deed) = deed(number, of, all) else { continue };
                sites[site].act(of, deed, "x", now);
            }
        }
    }
    for site in &mut sites {
        site.write(Millis(now + 10 * MINUTE));
    }
    (sites.into_iter().flat_map(|site| site.records).collect(), now)
}

fn read(records: &[(&RecordId, &Vec<u8>)], now: u64) -> Vec<std::sync::Arc<Incident>> {
    let mut book = Book::new();
    for (id, value) in records {
        book.take((*id).clone(), [&***value]);
        // Judging in between changes nothing about the end.
        if value.len() % 5 == 0 {
            book.judge(Millis(now));
        }
    }
    book.judge(Millis(now)).incidents().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_same_records_are_the_same_incidents(
        steps in prop::collection::vec(step(), 1..60),
        shuffle in prop::collection::vec(any::<u32>(), 64),
        later in 0..40 * MINUTE,
    ) {
        let (records, now) = play(&steps);
        let now = now + later;
        let in_order: Vec<_> = records.iter().collect();
        let mut mixed = in_order.clone();
        for (i, random) in shuffle.iter().enumerate() {
            if !mixed.is_empty() {
                let (a, b) = (i % mixed.len(), *random as usize % mixed.len());
                mixed.swap(a, b);
            }
        }
        // Some come twice.
        let again: Vec<_> = mixed.iter().step_by(3).copied().collect();
        mixed.extend(again);
        let (one, other) = (read(&in_order, now), read(&mixed, now));
        prop_assert_eq!(&one, &other);
        // Each report is of exactly one incident, by as many joins as it takes; ids are of one only.
        let reports = in_order.iter().filter(|(id, _)| id.key.starts_with('r')).count();
        prop_assert_eq!(one.iter().map(|i| i.reports.len()).sum::<usize>(), reports);
        let mut ids = BTreeMap::new();
        for incident in &one {
            prop_assert_eq!(incident.joins.len() + 1, incident.reports.len());
            for fault in incident.faults() {
                prop_assert_eq!(ids.insert(fault, incident.id), None);
            }
        }
    }

    #[test]
    fn an_old_version_of_a_record_after_the_new_one_is_what_the_document_says(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        // Several values under one key: those of two lives of a node, in any order.
        let (before, now) = play(&steps[..steps.len() / 2]);
        let (after, _) = play(&steps);
        let both = |swap: bool| {
            let mut book = Book::new();
            for (id, value) in &after {
                let mut values: Vec<&[u8]> = before.get(id).map(|v| &**v).into_iter().collect();
                values.push(value);
                if swap {
                    values.reverse();
                }
                book.take(id.clone(), values);
            }
            book.judge(Millis(now)).incidents().to_vec()
        };
        prop_assert_eq!(both(false), both(true));
    }
}
