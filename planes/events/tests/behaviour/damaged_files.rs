//! Damage: set aside, counted, never the end of the node.

use holm_events::EventStore;
use holm_model::Millis;

use crate::common::{files, numbers, open, row, setup};

#[test]
fn a_damaged_file_is_set_aside_and_the_others_answer() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let store = open(dir.path());
        store.append(row(1));
        store.roll();
        store.append(row(2));
        store.roll();
    }
    let path = files(dir.path(), ".hev").remove(0);
    let mut bytes = std::fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let store = open(dir.path());
    assert_eq!(numbers(&store, "active_results"), [2]);
    assert_eq!(store.stats().damaged, 1);
    assert_eq!(files(dir.path(), ".damaged").len(), 1);
    assert_eq!(numbers(&store, "active_results"), [2], "and again");
}

#[test]
fn a_file_that_was_moved_or_cut_does_not_pass_for_another() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let store = open(dir.path());
        (0..3).for_each(|n| {
            store.append(row(n));
            store.roll();
        });
    }
    let all = files(dir.path(), ".hev");
    // One takes another's place, one is cut to nothing.
    std::fs::rename(&all[0], &all[1]).expect("renamed");
    std::fs::write(&all[2], b"").expect("cut");
    let (store, report) = EventStore::open(setup(dir.path())).expect("opens");
    assert_eq!(report.messages.len(), 1, "{:?}", report.messages);
    assert!(numbers(&store, "active_results").is_empty());
    assert_eq!(store.stats().damaged, 2);
}

#[test]
fn a_log_is_read_as_far_as_it_is_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let store = open(dir.path());
        for n in 0..5 {
            store.append(row(n));
            store.flush();
        }
    }
    let log = files(dir.path(), ".wal").remove(0);
    let whole = std::fs::read(&log).expect("read");
    // Cut anywhere: a prefix of the commits is there.
    let mut seen = std::collections::BTreeSet::new();
    for keep in (0..whole.len()).step_by(97) {
        std::fs::write(&log, &whole[..keep]).expect("cut");
        let (store, _) = EventStore::open(setup(dir.path())).expect("opens");
        let found = numbers(&store, "active_results");
        assert_eq!(found, (0..found.len() as i64).collect::<Vec<_>>(), "cut to {keep}");
        seen.insert(found.len());
        drop(store);
        files(dir.path(), ".wal").iter().chain(&files(dir.path(), ".hev")).for_each(|path| {
            std::fs::remove_file(path).expect("removed");
        });
    }
    assert!(seen.len() >= 4, "{seen:?}");
    // Damaged in the middle: what came before it is there, and the log is kept beside.
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&log, &damaged).expect("written");
    let (store, report) = EventStore::open(setup(dir.path())).expect("opens");
    assert_eq!(report.messages.len(), 1);
    store.roll();
    let found = numbers(&store, "active_results");
    assert!(!found.is_empty() && found.len() < 5, "{found:?}");
    drop(store);
    assert_eq!(files(dir.path(), ".damaged").len(), 1);
    // What is no log at all.
    std::fs::write(&log, vec![7; 500]).expect("written");
    let (store, report) = EventStore::open(setup(dir.path())).expect("opens");
    assert_eq!(report.messages.len(), 1);
    assert_eq!(store.newest("active_results", Millis(0), 9).expect("reads").len(), found.len());
}
