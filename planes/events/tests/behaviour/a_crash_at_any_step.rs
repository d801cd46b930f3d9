//! The machine stops at each step to the disk in turn: what was acknowledged is there afterwards, once.

use std::path::Path;
use std::sync::Arc;

use holm_events::{EventStore, Fuse};

use crate::common::{batch, files, numbers, open, open_with, row, ticks};

/// Writes, rolls and writes on until the fuse blows. How many rows were acknowledged for certain, and
/// how many were appended.
fn work(folder: &Path, fuse: &Arc<Fuse>, from: u64) -> (u64, u64) {
    let Some(store) = open_with(folder, fuse) else { return (from, from) };
    let (mut acknowledged, mut appended) = (from, from);
    for round in 0..6 {
        if fuse.blown() {
            break;
        }
        let next = appended + 5;
        (appended..next).for_each(|n| store.append(row(n)));
        let ticks = batch(&ticks(), appended as i64, next as i64);
        store.append_batch("ticks", ticks).expect("room");
        appended = next;
        store.flush();
        if store.stats().committed == 2 * (appended - from) {
            acknowledged = appended;
        }
        if round % 2 == 1 && !fuse.blown() {
            store.roll();
        }
    }
    (acknowledged, appended)
}

fn check(store: &EventStore, acknowledged: u64, appended: u64, step: i64) {
    for table in ["active_results", "ticks"] {
        let found = numbers(store, table);
        let distinct: std::collections::BTreeSet<i64> = found.iter().copied().collect();
        assert_eq!(distinct.len(), found.len(), "step {step}: rows of {table} are doubled");
        let all = 0..acknowledged as i64;
        let lost: Vec<i64> = all.filter(|n| !distinct.contains(n)).collect();
        assert!(lost.is_empty(), "step {step}: {table} lost {lost:?}");
        assert!(distinct.last().is_none_or(|last| *last < appended as i64), "step {step}");
    }
}

#[test]
fn no_acknowledged_row_is_lost_or_doubled() {
    let whole = Fuse::after(i64::MAX);
    let dir = tempfile::tempdir().expect("a folder");
    let (acknowledged, _) = work(dir.path(), &whole, 0);
    assert_eq!(acknowledged, 30);
    let steps = whole.steps_done();
    assert!(steps > 60, "{steps} steps");
    for step in 0..steps {
        let dir = tempfile::tempdir().expect("a folder");
        let (acknowledged, appended) = work(dir.path(), &Fuse::after(step), 0);
        // It crashes again while it recovers, at some step, and recovers then.
        drop(open_with(dir.path(), &Fuse::after(step % 7)));
        let store = open(dir.path());
        check(&store, acknowledged, appended, step);
        store.roll();
        check(&store, acknowledged, appended, step);
        drop(store);
        check(&open(dir.path()), acknowledged, appended, step);
        assert!(files(dir.path(), ".tmp").is_empty(), "step {step}");
    }
}
