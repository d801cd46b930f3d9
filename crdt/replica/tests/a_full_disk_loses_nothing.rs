//! A disk that refuses a write: the commit fails and names the file, memory stays as it was, the same
//! batch goes through later, and what was acknowledged is there after a restart.

mod common;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::*;
use holm_model::Millis;
use holm_replica::{CommitError, Disk, MemoryDisk};
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
