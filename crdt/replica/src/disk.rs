//! Where a tenant's state lies: a file, or memory.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use holm_model::Millis;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// Something that one database can be opened on, more than once in turn.
pub trait Disk: Send + Sync + 'static {
    /// Its name for people: the file's path.
    fn name(&self) -> String;

    /// Opens it, and makes it if it is not there.
    ///
    /// # Errors
    /// What the operating system says.
    fn open(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// All bytes of it, at most `limit`, as they are.
    ///
    /// # Errors
    /// What the operating system says.
    fn read(&self, limit: u64) -> io::Result<Vec<u8>>;

    /// Puts a damaged one out of the way, so that the next [`Disk::open`] makes a new one. Deletes
    /// nothing. Returns the new name.
    ///
    /// # Errors
    /// What the operating system says.
    fn set_aside(&self, now: Millis) -> io::Result<String>;
}

/// A file, readable by its owner only.
#[derive(Debug, Clone)]
pub struct FileDisk(PathBuf);

impl FileDisk {
    /// The file at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn folder(&self) -> &Path {
        self.0.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }
}

impl Disk for FileDisk {
    fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        let fresh = !self.0.exists();
        if fresh {
            fs::create_dir_all(self.folder())?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&self.0)?;
        if fresh {
            // The file's name must survive a power cut, not only its bytes.
            File::open(self.folder())?.sync_all()?;
        }
        Ok(Box::new(FileBackend::new(file).map_err(io::Error::other)?))
    }

    fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(&self.0)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn set_aside(&self, now: Millis) -> io::Result<String> {
        let base = format!("{}.damaged-{}", self.0.display(), now.0);
        let names = std::iter::once(base.clone()).chain((2..100).map(|i| format!("{base}-{i}")));
        let Some(name) = { names }.find(|name| !Path::new(name).exists()) else {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{base} exists")));
        };
        fs::rename(&self.0, &name)?;
        File::open(self.folder())?.sync_all()?;
        Ok(name)
    }
}

/// Memory that outlives the replica: for simulations.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<RwLock<Vec<u8>>>);

impl MemoryDisk {
    /// Empty memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of it as it is now: what a disk image holds.
    #[must_use]
    pub fn image(&self) -> Self {
        Self(Arc::new(RwLock::new(self.bytes(|b| b.clone()))))
    }

    /// Changes its bytes: what damage does.
    pub fn damage<T>(&self, change: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn bytes<T>(&self, read: impl FnOnce(&Vec<u8>) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Disk for MemoryDisk {
    fn name(&self) -> String {
        "memory".into()
    }

    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.clone()))
    }

    fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.bytes(|b| b[..b.len().min(limit)].to_vec()))
    }

    fn set_aside(&self, now: Millis) -> io::Result<String> {
        self.damage(Vec::clear);
        Ok(format!("memory, at {}", now.0))
    }
}

fn range(offset: u64, len: usize, end: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    match start.checked_add(len) {
        Some(stop) if stop <= end => Ok(start..stop),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl StorageBackend for MemoryDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes(|b| b.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.bytes(|b| range(offset, out.len(), b.len()).map(|r| out.copy_from_slice(&b[r])))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.damage(|b| b.resize(len, 0));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.damage(|b| range(offset, data.len(), b.len()).map(|r| b[r].copy_from_slice(data)))
    }
}

/// A boxed backend as redb wants it.
pub(crate) struct AnyBackend(pub(crate) Box<dyn StorageBackend>);

impl fmt::Debug for AnyBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StorageBackend for AnyBackend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
