//! The thread that moves old files to cold storage, one after the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::cold::Cold;
use crate::file::{COLD_EXTENSION, EventFile, Remote};
use crate::sealed::HEADER_BYTES;
use crate::store::Shared;

const EVERY: Duration = Duration::from_secs(5);
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Runs until the store stops.
pub(crate) fn run(shared: &Shared, cold: &Arc<Cold>) {
    let mut failed = false;
    while !shared.stops() {
        let before = (shared.clock)() - cold.after_ms;
        let held = shared.held();
        let oldest = held.oldest_segment().unwrap_or(u64::MAX);
        let due = held.shelf.to_cool(before, oldest);
        drop(held);
        let Some((table, file)) = due else {
            pause(shared, EVERY);
            continue;
        };
        match shared.cool(&table, &file, cold) {
            Ok(()) => failed = false,
            Err(error) => {
                if !failed {
                    tracing::warn!(%error, file = file.location(), "an event file could not be moved to cold storage; it stays on the disk and is tried again");
                }
                failed = true;
                pause(shared, RETRY_AFTER_FAILURE);
            }
        }
    }
}

/// Waits, but not beyond the end of the store.
fn pause(shared: &Shared, time: Duration) {
    let until = std::time::Instant::now() + time;
    while !shared.stops() && std::time::Instant::now() < until {
        let held = shared.held();
        drop(shared.wait(held, Duration::from_millis(500)));
    }
}

impl Shared {
    /// Object first, then what says that it is there, then the file goes: after a crash it is on the
    /// disk, in the storage, or both, and never in neither.
    pub(crate) fn cool(
        &self,
        table: &str,
        file: &Arc<EventFile>,
        cold: &Arc<Cold>,
    ) -> io::Result<()> {
        let path = file.path();
        let mut header = [0; HEADER_BYTES];
        io::Read::read_exact(&mut std::fs::File::open(path)?, &mut header)?;
        cold.put(file.location(), path)?;
        let remote = Remote { cold: Some(Arc::clone(cold)), header, bytes: file.bytes() };
        let disk = &self.shelving.disk;
        let stub = path.with_extension(COLD_EXTENSION);
        let temporary = path.with_extension("tmp");
        let mut written = disk.create(&temporary)?;
        disk.write(&mut written, &remote.to_stub())?;
        disk.sync(&written)?;
        disk.rename(&temporary, &stub)?;
        if let Some(folder) = stub.parent() {
            disk.sync_folder(folder)?;
        }
        let moved = self.shelving.cold_file(table, file.hour, file.name, remote);
        let moved = moved.ok_or_else(|| io::Error::other("its length is not that of a file"))?;
        let mut held = self.held();
        // It may have been dropped meanwhile.
        let there = held.shelf.of(table).iter().any(|other| Arc::ptr_eq(other, file));
        if there {
            held.shelf.take_off(table, std::slice::from_ref(file));
            held.shelf.add(table, moved);
            file.doom();
        } else {
            moved.doom();
        }
        Ok(())
    }
}
