//! A disk that refuses a write: the commit fails and names the file, memory stays as it was, the same
//! batch goes through later, and what was acknowledged is there after a restart.

mod common;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::*;
use holm_model::Millis;
use holm_replica::{CommitError, Disk, HistoryLimits, MemoryDisk};
use redb::StorageBackend;

/// Memory that fails every write and sync after so many; below zero it never fails.
#[derive(Debug, Clone)]
struct FullDisk {
    memory: MemoryDisk,
    left: Arc<AtomicI64>,
}

impl FullDisk {
    fn spend(&self) -> io::Result<()> {
        let full = || Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
        match self.left.load(Ordering::SeqCst) {
            0 => full(),
            n if n > 0 => {
                self.left.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Disk for FullDisk {
    fn name(&self) -> String {
        "/data/tenants/acme/state.redb".into()
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.clone()))
    }

    fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        Disk::read(&self.memory, limit)
    }

    fn set_aside(&self, now: Millis) -> io::Result<String> {
        self.memory.set_aside(now)
    }
}

impl StorageBackend for FullDisk {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        StorageBackend::read(&self.memory, offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.spend()?;
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.spend()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.spend()?;
        self.memory.write(offset, data)
    }
}

#[test]
fn a_commit_on_a_full_disk_can_be_tried_again_and_nothing_is_lost() {
    let (mut failures, mut successes) = (0, 0);
    for room in 0..40 {
        let memory = MemoryDisk::new();
        let left = Arc::new(AtomicI64::new(-1));
        let disk = FullDisk { memory: memory.clone(), left: left.clone() };
        let (berlin, _) = open(disk, "berlin", "n1");
        let tokyo = replica("tokyo");
        commit(&berlin, &[opened(&edge(0), 1)], 1);
        exchange(&berlin, &tokyo);
        let before = (berlin.digest(), elements(&berlin));

        left.store(room, Ordering::SeqCst);
        let batch = [opened(&edge(1), 2), closed(&edge(0), 2)];
        match berlin.commit(&batch, Millis(2)) {
            Ok(_) => successes += 1,
            Err(CommitError::Store(error)) => {
                failures += 1;
                let text = error.to_string();
                assert!(text.contains("/data/tenants/acme/state.redb"), "{text}");
                assert!(berlin.commit(&batch, Millis(3)).is_err(), "still full");
                assert_eq!((berlin.digest(), elements(&berlin)), before);
                assert_eq!(berlin.stats().write_failures, 2);
            }
            Err(other) => panic!("{other}"),
        }
        left.store(-1, Ordering::SeqCst);
        let more = [batch[0].clone(), batch[1].clone(), opened(&edge(2), 4)];
        commit(&berlin, &more, 4);
        commit(&berlin, &[opened(&edge(3), 5)], 5);
        exchange(&berlin, &tokyo);
        assert_eq!(berlin.digest(), tokyo.digest());

        let (digest, all) = (berlin.digest(), elements(&berlin));
        assert_eq!(all.len(), 4);
        drop(berlin);
        let (again, report) = open(memory, "berlin", "n1");
        assert_eq!(report.messages, [""; 0], "with room for {room} writes");
        assert_eq!((again.digest(), elements(&again)), (digest, all));
    }
    assert!(failures > 3 && successes > 3, "{failures} failures, {successes} successes");
}

#[test]
fn what_a_peer_sends_while_the_disk_is_full_is_taken_later() {
    let left = Arc::new(AtomicI64::new(-1));
    let disk = FullDisk { memory: MemoryDisk::new(), left: left.clone() };
    let (berlin, _) = open(disk, "berlin", "n1");
    let tokyo = replica("tokyo");
    commit(&tokyo, &[opened(&edge(0), 1)], 1);
    left.store(0, Ordering::SeqCst);
    let doc = tokyo.documents()[0].doc;
    let blob = tokyo.export(doc, &[]).expect("it exports");
    let error = berlin.apply(doc, &blob.bytes, "tokyo", Millis(2)).expect_err("full");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(berlin.documents().is_empty() && berlin.quarantined().is_empty());
    left.store(-1, Ordering::SeqCst);
    exchange(&berlin, &tokyo);
    assert_eq!(berlin.digest(), tokyo.digest());
}

#[test]
fn a_rotation_on_a_full_disk_is_made_up_for_and_nothing_is_lost() {
    let limits = HistoryLimits { doc_ops: 50, retention_ms: 1 << 40, ..HistoryLimits::DEFAULT };
    let mut failed = 0;
    for room in 0..60 {
        let memory = MemoryDisk::new();
        let left = Arc::new(AtomicI64::new(-1));
        let disk = FullDisk { memory: memory.clone(), left: left.clone() };
        let berlin = open(disk, "berlin", "n1").0.with_limits(limits);
        let first: Vec<_> = (0..25).map(|i| opened(&edge(i), 1)).collect();
        commit(&berlin, &first, 1);
        assert_eq!(berlin.stats().rotations, 0);
        left.store(room, Ordering::SeqCst);
        // Over its budget with this one: the commit, then the rotation, as far as there is room.
        let batch: Vec<_> = (25..50).map(|i| opened(&edge(i), 2)).collect();
        let done = berlin.commit(&batch, Millis(2));
        failed += berlin.stats().rotations_failed;
        left.store(-1, Ordering::SeqCst);
        if done.is_err() {
            commit(&berlin, &batch, 3);
        }
        // Half of the time the process ends right after the failure, else it goes on first.
        if room % 2 == 0 {
            commit(&berlin, &[closed(&edge(0), 4), opened(&edge(50), 4)], 4);
            let stats = berlin.stats();
            assert!(stats.rotations > 0 && stats.superseded > 0, "{room}: {stats:?}");
        }
        let all = elements(&berlin);
        drop(berlin);
        let (again, report) = open(memory, "berlin", "n1");
        assert_eq!(report.messages, [""; 0], "with room for {room} writes");
        assert_eq!(elements(&again), all, "with room for {room} writes");
        assert_eq!(all.len(), if room % 2 == 0 { 51 } else { 50 });
    }
    assert!(failed > 3, "{failed} rotations failed");
}

#[test]
fn maintenance_on_a_full_disk_tells_what_it_forgot_and_is_made_up_for() {
    let limits = HistoryLimits { doc_ops: 30, retention_ms: 1_000, ..HistoryLimits::DEFAULT };
    let (mut failed, mut in_part) = (0, 0);
    for room in (0..80).step_by(3) {
        let left = Arc::new(AtomicI64::new(-1));
        let disk = FullDisk { memory: MemoryDisk::new(), left: left.clone() };
        let berlin = open(disk, "berlin", "n1").0.with_limits(limits);
        let mut told = holm_graph::TopologyGraph::new();
        let tell = |told: &mut holm_graph::TopologyGraph, element| {
            told.apply(&site("berlin"), element);
        };
        let all: Vec<_> = (0..60).map(|i| opened(&edge(i), 1)).collect();
        for element in berlin.commit(&all, Millis(1)).expect("it commits").changed {
            tell(&mut told, element);
        }
        assert!(berlin.documents().len() >= 4);
        let berlin = berlin.with_limits(HistoryLimits { doc_ops: 1_000, ..limits });
        let ends: Vec<_> = (0..20).map(|i| closed(&edge(i), 2)).collect();
        for element in berlin.commit(&ends, Millis(2)).expect("it commits").changed {
            tell(&mut told, element);
        }
        // From now on each document is over its budget, and what ended is past its retention.
        let berlin = berlin.with_limits(HistoryLimits { doc_ops: 8, ..limits });
        for (now, room) in [(5_000, room), (5_001, -1)] {
            left.store(room, Ordering::SeqCst);
            let done = berlin.maintain(Millis(now));
            let stats = berlin.stats();
            match done {
                Ok(done) => {
                    in_part += u64::from(room >= 0 && stats.rotations_failed > 0);
                    for (_, element) in done.changed {
                        tell(&mut told, element);
                    }
                }
                Err(CommitError::Store(_)) => failed += 1,
                Err(other) => panic!("{other}"),
            }
            let mut whole = holm_graph::TopologyGraph::new();
            for (site, element) in elements(&berlin) {
                whole.apply(&site, element);
            }
            assert_eq!(told.digest(), whole.digest(), "with room for {room} writes");
        }
        assert!(elements(&berlin).len() < 60 && open_ids(&berlin).len() == 40);
    }
    println!("{failed} failed, {in_part} were done in part");
    assert!(failed > 3 && in_part > 3, "{failed} {in_part}");
}
