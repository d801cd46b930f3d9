//! A full disk: planes do not wait, the oldest rows make room, and nothing goes uncounted.

use holm_events::Fuse;

use crate::common::{batch, numbers, open, open_with, row, ticks};

#[test]
fn rows_wait_while_nothing_can_be_written_and_are_there_once_it_can() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Fuse::after(i64::MAX);
    let store = open_with(dir.path(), &disk).expect("opens");
    store.append(row(0));
    store.flush();
    disk.fill(true);
    (1..5).for_each(|n| store.append(row(n)));
    store.flush();
    let stats = store.stats();
    assert_eq!(stats.committed, 1);
    assert!(stats.write_failures > 0);
    assert!(store.last_error().expect("an error").contains("free disk space"));
    disk.fill(false);
    store.flush();
    assert_eq!(numbers(&store, "active_results"), [0, 1, 2, 3, 4]);
    assert_eq!(store.last_error(), None);
    drop(store);
    assert_eq!(numbers(&open(dir.path()), "active_results"), [0, 1, 2, 3, 4]);
}

#[test]
fn rows_that_come_together_are_taken_all_or_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Fuse::after(i64::MAX);
    let store = open_with(dir.path(), &disk).expect("opens");
    let some: Vec<_> = (0..3).map(row).collect();
    store.append_rows("active_results", &some).expect("room");
    store.flush();
    store.append_rows("ticks", &some).expect("refused and counted");
    assert_eq!(store.stats().refused, 3, "a table of batches");
    disk.fill(true);
    // Until the queue has no room; of the rows that do not fit none is taken.
    let many: Vec<_> = (3..200_003).map(row).collect();
    let mut taken = some.len();
    let refused = loop {
        match store.append_rows("active_results", &many) {
            Ok(()) => taken += many.len(),
            Err(_) => break store.stats().dropped_queue_full,
        }
    };
    assert_eq!(refused, many.len() as u64);
    disk.fill(false);
    store.flush();
    assert_eq!(store.stats().committed, taken as u64);
}

#[test]
fn the_oldest_files_make_room_and_are_counted() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Fuse::after(i64::MAX);
    let store = open_with(dir.path(), &disk).expect("opens");
    for round in 0..3 {
        store.append_batch("ticks", batch(&ticks(), round * 100, round * 100 + 100)).expect("room");
        store.roll();
    }
    disk.fill(true);
    store.append(row(7));
    store.flush();
    let dropped = store.stats().dropped_oldest;
    assert!(dropped >= 100, "{dropped}");
    assert_eq!(store.table_stats()["ticks"].dropped_disk_full, dropped);
    disk.fill(false);
    store.flush();
    assert_eq!(numbers(&store, "active_results"), [7]);
}

#[test]
fn a_queue_that_is_full_drops_and_counts_and_never_waits() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = Fuse::after(i64::MAX);
    let store = open_with(dir.path(), &disk).expect("opens");
    disk.fill(true);
    let mut refused = 0;
    let big = batch(&ticks(), 0, 200_000);
    for _ in 0..40 {
        if store.append_batch("ticks", big.clone()).is_err() {
            refused += 200_000;
        }
    }
    assert!(refused > 0);
    assert_eq!(store.stats().dropped_queue_full, refused);
    disk.fill(false);
    store.flush();
    store.flush();
    assert_eq!(store.stats().committed + refused, 40 * 200_000);
}
