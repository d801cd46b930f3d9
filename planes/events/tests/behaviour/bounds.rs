//! Bounds of age and bytes: the oldest go first, counted by reason.

use holm_events::{EventStore, Limits, Setup, TableLimits};
use holm_model::{Millis, Row};

use crate::common::{NOON, batch, limits, numbers, row, setup, ticks};

fn open(folder: &std::path::Path, limits: Limits) -> EventStore {
    EventStore::open(Setup { limits, ..setup(folder) }).expect("opens").0
}

fn until(store: &EventStore, holds: impl Fn(&EventStore) -> bool) {
    for _ in 0..400 {
        if holds(store) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    panic!("it never came to it: {:?}", store.stats());
}

#[test]
fn what_is_older_than_is_kept_goes() {
    let dir = tempfile::tempdir().expect("a folder");
    let day = 24 * 3_600_000;
    let store = open(dir.path(), limits());
    for n in 0..10 {
        store.append(Row { at: Millis(NOON - n * day + n), ..row(n) });
    }
    store.roll();
    // Older than seven days: a time that cannot be true stays with now.
    assert_eq!(numbers(&store, "active_results").len(), 10);
    drop(store);
    let short = Limits { max_age_ms: 3 * day, ..limits() };
    let store = open(dir.path(), short);
    store.append(row(77));
    store.roll();
    until(&store, |store| store.stats().dropped_oldest > 0);
    let left = numbers(&store, "active_results");
    assert!(left.contains(&0) && left.contains(&2) && left.contains(&77), "{left:?}");
    assert!(!left.contains(&4) && !left.contains(&6), "{left:?}");
    assert_eq!(store.table_stats()["active_results"].dropped_age, 11 - left.len() as u64);
}

#[test]
fn a_table_over_its_quota_loses_its_oldest_and_no_other_table_does() {
    let dir = tempfile::tempdir().expect("a folder");
    let few = TableLimits { max_bytes: 30_000, max_age_ms: u64::MAX };
    let limits = Limits { tables: [("ticks".to_owned(), few)].into(), ..limits() };
    let store = open(dir.path(), limits);
    (0..5).for_each(|n| store.append(row(n)));
    for round in 0..20 {
        store
            .append_batch("ticks", batch(&ticks(), round * 1_000, (round + 1) * 1_000))
            .expect("room");
        store.roll();
    }
    until(&store, |store| store.table_stats()["ticks"].bytes <= 30_000);
    let stats = store.table_stats();
    assert!(stats["ticks"].dropped_quota > 0);
    assert_eq!(stats["ticks"].rows + stats["ticks"].dropped_quota, 20_000);
    assert_eq!(numbers(&store, "active_results"), [0, 1, 2, 3, 4]);
    let left = numbers(&store, "ticks");
    assert_eq!(left.last(), Some(&19_999));
    assert_eq!(left.first(), Some(&(20_000 - left.len() as i64)), "the oldest went");
}

/// Whole files go: one of all that there is would take all with it.
#[test]
fn putting_files_together_leaves_the_quota_its_grain() {
    let dir = tempfile::tempdir().expect("a folder");
    let fill = |store: &EventStore, rounds: std::ops::Range<i64>| {
        for round in rounds {
            let batch = batch(&ticks(), round * 1_000, (round + 1) * 1_000);
            store.append_batch("ticks", batch).expect("room");
            store.roll();
        }
    };
    let store = open(dir.path(), limits());
    fill(&store, 0..24);
    let all = store.table_stats()["ticks"].bytes;
    drop(store);
    // The hour is over: what is small comes together, and then more comes than there is room for.
    let few = TableLimits { max_bytes: all, max_age_ms: u64::MAX };
    let limits = Limits { tables: [("ticks".to_owned(), few)].into(), ..limits() };
    let setup = Setup { limits, clock: || Millis(NOON + 3 * 3_600_000), ..setup(dir.path()) };
    let store = EventStore::open(setup).expect("opens").0;
    until(&store, |store| store.stats().merges > 0 && store.stats().files <= 12);
    fill(&store, 24..36);
    until(&store, |store| {
        let stats = &store.table_stats()["ticks"];
        stats.dropped_quota > 0 && stats.bytes <= all
    });
    let stats = store.table_stats();
    let left = numbers(&store, "ticks");
    assert_eq!(stats["ticks"].rows + stats["ticks"].dropped_quota, 36_000);
    assert!(left.len() > 18_000, "little besides what was too much went: {}", left.len());
    assert_eq!(left.last(), Some(&35_999));
}

#[test]
fn a_store_over_its_quota_takes_from_the_largest_table() {
    let dir = tempfile::tempdir().expect("a folder");
    let limits = Limits { max_bytes: 60_000, ..limits() };
    let store = open(dir.path(), limits);
    (0..5).for_each(|n| store.append(row(n)));
    for round in 0..20 {
        store
            .append_batch("ticks", batch(&ticks(), round * 1_000, (round + 1) * 1_000))
            .expect("room");
        store.roll();
    }
    until(&store, |store| store.stats().bytes <= 60_000);
    assert_eq!(numbers(&store, "active_results"), [0, 1, 2, 3, 4]);
    assert!(store.table_stats()["ticks"].dropped_quota > 0);
}
