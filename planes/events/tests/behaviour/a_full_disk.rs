//! A full disk: planes do not wait, the oldest rows make room, and nothing goes uncounted.

use holm_events::Fuse;
use holm_model::Millis;

use crate::common::{NOON, batch, numbers, open, open_with, row, ticks};

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

/// A volume of its own, as root.
struct Volume(tempfile::TempDir);

impl Volume {
    fn of(mib: usize) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a folder");
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(dir.path())
            .output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("skipped: no volume can be mounted here (root can)");
        }
        mounted.then_some(Self(dir))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

/// Writes `rounds` of 20,000 ticks, faster than they become files.
fn flood(store: &holm_events::EventStore, rounds: i64) {
    for round in 0..rounds {
        // What has no room in the queue is counted.
        let _ = store.append_batch("ticks", batch(&ticks(), round * 20_000, (round + 1) * 20_000));
        if round % 8 == 7 {
            store.flush();
        }
    }
}

/// More rows than the volume takes, for longer than it takes to fill it: the newest are there in the end, and those that
/// are not are counted.
fn overflow(volume: &Volume, segment_bytes: u64) {
    let limits = holm_events::Limits {
        segment_bytes,
        segment_age_ms: 1_000,
        queue_bytes: 4 << 20,
        ..crate::common::limits()
    };
    let setup = holm_events::Setup { limits, ..crate::common::setup(volume.0.path()) };
    let (store, _) = holm_events::EventStore::open(setup).expect("opens");
    flood(&store, 200);
    let last = 200 * 20_000;
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let newest = batch(&ticks(), last, last + 10);
        if store.append_batch("ticks", newest).is_ok() {
            store.flush();
            let since = Millis(NOON + last.unsigned_abs());
            let found = store.newest("ticks", since, 1).expect("reads");
            if !found.is_empty() && store.last_error().is_none() {
                break;
            }
        }
        assert!(std::time::Instant::now() < until, "{:?} {:?}", store.stats(), store.last_error());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let stats = store.stats();
    assert!(stats.dropped_oldest > 0, "{stats:?}");
    assert_eq!(stats.committed, stats.rows + stats.dropped_oldest, "{stats:?}");
    assert_eq!(store.table_stats()["ticks"].dropped_disk_full, stats.dropped_oldest);
}

#[test]
fn a_small_volume_goes_on_taking_rows() {
    let Some(volume) = Volume::of(24) else { return };
    overflow(&volume, 20 << 20);
}

#[test]
fn where_others_take_the_room_the_newest_rows_are_kept() {
    let Some(volume) = Volume::of(24) else { return };
    std::fs::write(volume.0.path().join("of-somebody-else"), vec![7; 17 << 20]).expect("room");
    overflow(&volume, 1 << 20);
}
