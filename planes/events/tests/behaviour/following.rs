//! Who follows a store sees every row once: in what there was, or in what came.

use holm_model::Millis;

use crate::common::{batch, numbers, open, row, ticks};

fn rows(followed: &holm_events::Followed) -> usize {
    followed.batches.iter().map(|(_, batch)| batch.num_rows()).sum()
}

#[test]
fn a_follower_sees_each_row_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    (0..5).for_each(|n| store.append(row(n)));
    store.roll();
    (5..10).for_each(|n| store.append(row(n)));
    store.flush();
    let follower = store.follow(1 << 20);
    (10..13).for_each(|n| store.append(row(n)));
    store.append_batch("ticks", batch(&ticks(), 0, 100)).expect("room");
    store.flush();
    assert_eq!(rows(&follower.take()), 103, "what there was before is not news");
    (13..15).for_each(|n| store.append(row(n)));
    store.flush();
    let (rest, snapshots) = follower.renew();
    assert_eq!((rows(&rest), rest.missed), (2, false));
    let of = snapshots.iter().find(|snapshot| snapshot.table.name() == "active_results");
    let of = of.expect("there");
    assert_eq!(of.files.len(), 1);
    assert_eq!(of.batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 10);
    assert_eq!(rows(&follower.take()), 0);
    drop(follower);
    store.append(row(15));
    store.flush();
    assert_eq!(numbers(&store, "active_results").len(), 16);
}

#[test]
fn a_follower_that_is_too_slow_is_told_that_it_missed_rows() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let follower = store.follow(64);
    store.append_batch("ticks", batch(&ticks(), 0, 1_000)).expect("room");
    store.flush();
    let followed = follower.take();
    assert!(followed.missed && followed.batches.is_empty());
    let (followed, snapshots) = follower.renew();
    assert!(!followed.missed);
    assert!(snapshots.iter().any(|snapshot| !snapshot.batches.is_empty()));
    assert!(store.newest("ticks", Millis(0), 1).is_ok());
}
