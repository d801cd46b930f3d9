//! What was appended is there: at once, after a roll, after a restart.

use holm_events::EventStore;
use holm_model::{Millis, Row};

use crate::common::{NOON, batch, files, numbers, open, row, setup, ticks};

#[test]
fn rows_are_there_before_and_after_they_became_files_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    (0..10).for_each(|n| store.append(row(n)));
    store.append_batch("ticks", batch(&ticks(), 0, 1_000)).expect("room");
    store.flush();
    let all: Vec<i64> = (0..1_000).collect();
    assert_eq!(numbers(&store, "ticks"), all);
    assert_eq!(files(dir.path(), ".hev").len(), 0);
    drop(store);

    // From the log.
    let store = open(dir.path());
    assert_eq!(numbers(&store, "active_results"), (0..10).collect::<Vec<_>>());
    store.roll();
    assert_eq!(numbers(&store, "ticks"), all);
    assert!(files(dir.path(), ".wal").is_empty());
    assert_eq!(files(dir.path(), ".hev").len(), 2);
    (10..20).for_each(|n| store.append(row(n)));
    store.flush();
    assert_eq!(numbers(&store, "active_results"), (0..20).collect::<Vec<_>>());
    assert_eq!(store.stats().rows, 1_020);
    drop(store);

    // From files and the log.
    let store = open(dir.path());
    let newest = store.newest("active_results", Millis(NOON + 4), 12).expect("reads");
    let times: Vec<u64> = newest.iter().map(|row| row.at.0 - NOON).collect();
    assert_eq!(times, (8..20).rev().collect::<Vec<_>>());
    assert_eq!(newest[0], row(19));
    assert_eq!(numbers(&store, "ticks"), all);
}

#[test]
fn rows_of_one_moment_come_back_latest_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let at = |n: u64| Row { at: Millis(NOON), ..row(n) };
    for n in 0..6 {
        store.append(at(n));
        if n % 2 == 1 {
            store.flush();
        }
        if n == 3 {
            store.roll();
        }
    }
    store.flush();
    let newest = store.newest("active_results", Millis(0), 4).expect("reads");
    assert_eq!(newest, [at(5), at(4), at(3), at(2)]);
}

#[test]
fn a_row_of_an_unknown_table_makes_one_and_columns_without_a_place_are_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let odd = Row::new("new_things", Millis(NOON)).with("what", "x").with("size", 0.5);
    let more = row(1).with("unheard.of", true);
    {
        let store = open(dir.path());
        store.append(odd.clone());
        store.append(more.clone());
        store.append(Row::new("Not A Table", Millis(NOON)));
        store.roll();
        assert_eq!(store.stats().refused, 1);
    }
    let store = open(dir.path());
    assert_eq!(store.newest("new_things", Millis(0), 9).expect("reads"), [odd]);
    assert_eq!(store.newest("active_results", Millis(0), 9).expect("reads"), [more]);
    assert!(store.tables().iter().any(|table| table.name() == "new_things"));
}

#[test]
fn a_batch_of_another_shape_is_refused_and_counted() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let other = batch(&ticks(), 0, 5).project(&[0]).expect("a batch");
    store.append_batch("ticks", other).expect("no matter of room");
    store.append_batch("nowhere", batch(&ticks(), 0, 5)).expect("no matter of room");
    store.flush();
    assert_eq!((store.stats().refused, store.stats().rows), (10, 0));
}

#[test]
fn hours_have_files_of_their_own_and_small_ones_are_put_together() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let hour = 3_600_000;
    // Two hours ago is over; a time of 1970 or of next year goes with now.
    for n in 0..4 {
        store.append(Row { at: Millis(NOON - 2 * hour + n), ..row(n) });
        store.append(Row { at: Millis(n), ..row(10 + n) });
        store.append(Row { at: Millis(NOON + 9_000 * hour), ..row(20 + n) });
        store.roll();
    }
    let folder = |path: &std::path::Path| {
        let above = path.parent().expect("a folder").to_string_lossy().into_owned();
        above[above.len() - 13..].to_owned()
    };
    // One merge may come between two rolls; replaced files go a moment after.
    for _ in 0..400 {
        if store.stats().files == 5 && files(dir.path(), ".hev").len() == 5 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(store.stats().merges > 0);
    let seen: Vec<String> = files(dir.path(), ".hev").iter().map(|path| folder(path)).collect();
    assert_eq!(seen.iter().filter(|f| *f == "2024-02-29/10").count(), 1, "{seen:?}");
    assert_eq!(seen.iter().filter(|f| *f == "2024-02-29/12").count(), 4, "{seen:?}");
    let expected: Vec<i64> = [0, 10, 20].iter().flat_map(|n| *n..*n + 4).collect();
    assert_eq!(numbers(&store, "active_results"), expected);
    drop(store);
    assert_eq!(numbers(&open(dir.path()), "active_results"), expected);
}

#[test]
fn nothing_on_the_disk_is_plain_and_another_tenant_or_key_reads_none_of_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let secret = "the-name-that-nobody-may-read";
    {
        let store = open(dir.path());
        store.append(row(1).with("probe", secret));
        store.roll();
        store.append(row(2).with("probe", secret));
    }
    for path in files(dir.path(), "") {
        let bytes = std::fs::read(&path).expect("read");
        let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
        assert!(!found, "{}", path.display());
    }
    let mut other = setup(dir.path());
    other.tenant = "other".parse().expect("valid");
    let (store, _) = EventStore::open(other).expect("opens");
    assert!(store.newest("active_results", Millis(0), 9).expect("reads").is_empty());
    assert!(store.stats().damaged > 0);
}
