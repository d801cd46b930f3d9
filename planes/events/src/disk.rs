//! Every change to the disk goes through here, one step each, so that a test can let any step fail:
//! as a crash would, or as a full disk does.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// The disk, with a fuse in tests.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    fuse: Option<Arc<Fuse>>,
}

/// Lets steps fail.
#[derive(Debug)]
pub struct Fuse {
    /// Steps that still succeed; then every step fails, as after a crash.
    steps: AtomicI64,
    /// While set, writes and new files fail as on a full disk.
    full: AtomicBool,
    done: AtomicI64,
}

impl Fuse {
    /// A fuse that blows after `steps` steps.
    pub fn after(steps: i64) -> Arc<Self> {
        Arc::new(Self {
            steps: AtomicI64::new(steps),
            full: AtomicBool::new(false),
            done: AtomicI64::new(0),
        })
    }

    /// Whether it is blown.
    pub fn blown(&self) -> bool {
        self.steps.load(Ordering::SeqCst) <= 0
    }

    /// Steps that were asked for.
    pub fn steps_done(&self) -> i64 {
        self.done.load(Ordering::SeqCst)
    }

    /// Fills the disk, or frees it.
    pub fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    fn step(&self) -> io::Result<()> {
        self.done.fetch_add(1, Ordering::SeqCst);
        if self.steps.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.steps.store(0, Ordering::SeqCst);
            return Err(io::Error::other("crashed"));
        }
        Ok(())
    }

    fn check_room(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Disk {
    /// A disk whose steps `fuse` lets fail.
    pub fn with(fuse: Arc<Fuse>) -> Self {
        Self { fuse: Some(fuse) }
    }

    fn step(&self) -> io::Result<()> {
        self.fuse.as_ref().map_or(Ok(()), |fuse| fuse.step())
    }

    fn step_that_grows(&self) -> io::Result<()> {
        self.step()?;
        self.fuse.as_ref().map_or(Ok(()), |fuse| fuse.check_room())
    }

    /// A new file that only its owner reads; one of that name is emptied.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        self.step_that_grows()?;
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
    }

    /// Bytes of the volume that a folder is on, used ones included; `None` where that is not told.
    #[allow(clippy::useless_conversion, reason = "its numbers are not of one size everywhere")]
    pub(crate) fn volume_bytes(folder: &Path) -> Option<u64> {
        let volume = nix::sys::statvfs::statvfs(folder).ok()?;
        let (blocks, size) = (u64::from(volume.blocks()), u64::from(volume.fragment_size()));
        Some(blocks.saturating_mul(size)).filter(|bytes| *bytes > 0)
    }

    pub(crate) fn create_folder(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        self.step_that_grows()?;
        std::fs::create_dir_all(path)?;
        path.parent().map_or(Ok(()), |above| self.sync_folder(above))
    }

    /// A crash tears a write: half of it is there.
    pub(crate) fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.step_that_grows() {
            let blown_now = self.fuse.as_ref().is_some_and(|fuse| fuse.blown());
            if blown_now {
                file.write_all(&bytes[..bytes.len() / 2])?;
            }
            return Err(error);
        }
        file.write_all(bytes)
    }

    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.step()?;
        file.sync_data()
    }

    pub(crate) fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        File::open(path)?.sync_all()
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        std::fs::rename(from, to)
    }

    /// A file that is gone already is no error.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Shortens a file whose end was not written as a whole.
    pub(crate) fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        self.step()?;
        file.set_len(len)
    }
}
