//! A sealed file: plain bytes in chunks, each sealed by itself, so that a reader opens only the part
//! it needs. `docs/formats/event-files.md` has the format byte by byte.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::cold::Cold;
use crate::disk::Disk;
use crate::key::{EventKey, FileKey, SALT_BYTES, TAG_BYTES};

/// First bytes of a sealed file.
const MAGIC: &[u8; 8] = b"HOLMEVF1";
pub(crate) const HEADER_BYTES: usize = MAGIC.len() + SALT_BYTES;
/// Plain bytes of a chunk; the last may have fewer.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;
const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
const PURPOSE: &str = "holm event file 1";
/// Largest file that is read: what the writer never comes near.
const MAX_BYTES: u64 = 64 << 30;

/// What binds a file to its place: its tenant, table and name. A file that was moved does not open.
pub(crate) fn identity(tenant: &str, table: &str, name: &str) -> Vec<u8> {
    [tenant, table, name].join("\0").into_bytes()
}

/// The additional data of chunk `number`: its file, and whether it is the last. The latter tells a
/// file that was cut at a chunk's end from one that is whole.
fn about(identity: &[u8], last: bool) -> Vec<u8> {
    let mut about = identity.to_vec();
    about.extend([0, u8::from(last)]);
    about
}

/// Writes a sealed file beside its place, and puts it there when it is whole and durable.
pub(crate) struct SealedWriter {
    disk: Disk,
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    key: FileKey,
    identity: Vec<u8>,
    chunk: Vec<u8>,
    number: u64,
    sealed_bytes: u64,
}

impl SealedWriter {
    pub(crate) fn create(
        disk: &Disk,
        key: &EventKey,
        target: &Path,
        identity: Vec<u8>,
    ) -> io::Result<Self> {
        let temporary = target.with_extension("tmp");
        let mut file = disk.create(&temporary)?;
        let salt = key.salt()?;
        let mut header = MAGIC.to_vec();
        header.extend(salt);
        disk.write(&mut file, &header)?;
        Ok(Self {
            disk: disk.clone(),
            file,
            temporary,
            target: target.into(),
            key: key.of_file(PURPOSE, &salt),
            identity,
            chunk: Vec::with_capacity(SEALED_CHUNK_BYTES),
            number: 0,
            sealed_bytes: HEADER_BYTES as u64,
        })
    }

    fn put(&mut self, last: bool) -> io::Result<()> {
        let about = about(&self.identity, last);
        self.key
            .seal(self.number, &about, &mut self.chunk)
            .ok_or_else(|| io::Error::other("a chunk cannot be sealed"))?;
        self.disk.write(&mut self.file, &self.chunk)?;
        self.sealed_bytes += self.chunk.len() as u64;
        self.number += 1;
        self.chunk.clear();
        Ok(())
    }

    /// Makes the file durable and gives it its name. Its bytes on disk.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.put(true)?;
        self.disk.sync(&self.file)?;
        self.disk.rename(&self.temporary, &self.target)?;
        let folder = self.target.parent().unwrap_or(Path::new("."));
        self.disk.sync_folder(folder)?;
        Ok(self.sealed_bytes)
    }
}

impl Write for SealedWriter {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len();
        while !bytes.is_empty() {
            // A full chunk waits for a byte after it: only then is it known not to be the last.
            if self.chunk.len() == CHUNK_BYTES {
                self.put(false)?;
            }
            let room = CHUNK_BYTES - self.chunk.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the bytes of a sealed file are.
pub(crate) enum Source {
    Disk(File),
    /// In cold storage, by that name, of that many bytes.
    Cold(Arc<Cold>, String, u64),
}

impl Source {
    fn read_exact_at(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            Self::Disk(file) => file.read_exact_at(into, at),
            Self::Cold(cold, location, end) => {
                let bytes = cold.read(location, at..at + into.len() as u64, *end)?;
                if bytes.len() != into.len() {
                    return Err(damaged("it is cut"));
                }
                into.copy_from_slice(&bytes);
                Ok(())
            }
        }
    }
}

/// Reads parts of a sealed file. A clone reads the same.
pub(crate) struct SealedReader {
    source: Source,
    key: FileKey,
    identity: Vec<u8>,
    chunks: u64,
    plain_bytes: u64,
}

impl SealedReader {
    /// # Errors
    /// Not there, not readable, or not a sealed file ([`io::ErrorKind::InvalidData`]). Whether it is
    /// whole and this tenant's is seen when its chunks are opened.
    pub(crate) fn open(key: &EventKey, path: &Path, identity: Vec<u8>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header).map_err(|_| damaged("it is cut"))?;
        let bytes = file.metadata()?.len();
        Self::of(key, Source::Disk(file), &header, bytes, identity)
    }

    /// A reader of `source`, which begins with `header` and has `bytes` bytes.
    pub(crate) fn of(
        key: &EventKey,
        source: Source,
        header: &[u8; HEADER_BYTES],
        bytes: u64,
        identity: Vec<u8>,
    ) -> io::Result<Self> {
        let (magic, salt) = header.split_at(MAGIC.len());
        let salt: [u8; SALT_BYTES] = salt.try_into().map_err(|_| damaged("it is cut"))?;
        if magic != MAGIC {
            return Err(damaged("it does not begin as a sealed file of this version"));
        }
        let plain_bytes = plain_bytes(bytes).ok_or_else(|| damaged("it is cut"))?;
        let chunks = (bytes - HEADER_BYTES as u64).div_ceil(SEALED_CHUNK_BYTES as u64);
        Ok(Self { source, key: key.of_file(PURPOSE, &salt), identity, chunks, plain_bytes })
    }

    /// Plain bytes in all.
    pub(crate) const fn len(&self) -> u64 {
        self.plain_bytes
    }

    /// The plain bytes of `range`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if the range is not within the file, or a chunk of it is not the
    /// one that was written there.
    pub(crate) fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.start > range.end || range.end > self.plain_bytes {
            return Err(damaged("it is shorter than its own footer says"));
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let chunk = CHUNK_BYTES as u64;
        let (first, last) = (range.start / chunk, (range.end - 1) / chunk);
        let length = usize::try_from(range.end - range.start).map_err(|_| damaged("too large"))?;
        let mut plain = BytesMut::with_capacity(length);
        // A few chunks a system call.
        const AT_ONCE: u64 = 16;
        let mut sealed = vec![0; SEALED_CHUNK_BYTES * AT_ONCE.min(last - first + 1) as usize];
        let mut next = first;
        while next <= last {
            let count = AT_ONCE.min(last - next + 1);
            let bytes = self.sealed_length(next, count);
            let piece = &mut sealed[..bytes];
            self.source
                .read_exact_at(piece, HEADER_BYTES as u64 + next * SEALED_CHUNK_BYTES as u64)?;
            for (number, sealed) in (next..).zip(piece.chunks_mut(SEALED_CHUNK_BYTES)) {
                let about = about(&self.identity, number + 1 == self.chunks);
                let open = self.key.open(number, &about, sealed);
                let open = open.ok_or_else(|| damaged("a chunk does not open"))?;
                let base = number * chunk;
                let from = range.start.saturating_sub(base).min(open.len() as u64) as usize;
                let to = (range.end - base).min(open.len() as u64) as usize;
                plain.extend_from_slice(&open[from..to]);
            }
            next += count;
        }
        Ok(plain.freeze())
    }

    /// Bytes on disk of `count` chunks from `first` on.
    fn sealed_length(&self, first: u64, count: u64) -> usize {
        let whole = count as usize * SEALED_CHUNK_BYTES;
        if first + count < self.chunks {
            return whole;
        }
        let sealed = self.plain_bytes + self.chunks * TAG_BYTES as u64;
        (sealed - first * SEALED_CHUNK_BYTES as u64) as usize
    }
}

/// Plain bytes of a sealed file of that many bytes; `None` if no sealed file has so many.
pub(crate) fn plain_bytes(bytes: u64) -> Option<u64> {
    let sealed = bytes.checked_sub(HEADER_BYTES as u64).filter(|sealed| *sealed < MAX_BYTES)?;
    let chunks = sealed.div_ceil(SEALED_CHUNK_BYTES as u64);
    sealed.checked_sub(chunks * TAG_BYTES as u64).filter(|_| chunks > 0)
}

pub(crate) fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dir: &Path, plain: &[u8]) -> PathBuf {
        let path = dir.join("f.hev");
        let key = EventKey::new(&[7; 32]);
        let mut writer =
            SealedWriter::create(&Disk::default(), &key, &path, identity("acme", "flows", "f"))
                .expect("created");
        for piece in plain.chunks(1_000) {
            writer.write_all(piece).expect("written");
        }
        let bytes = writer.finish().expect("finished");
        assert_eq!(bytes, std::fs::metadata(&path).expect("there").len());
        path
    }

    fn open(path: &Path, tenant: &str, name: &str) -> io::Result<SealedReader> {
        SealedReader::open(&EventKey::new(&[7; 32]), path, identity(tenant, "flows", name))
    }

    #[test]
    fn any_range_comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a folder");
        for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 2_000_000] {
            let plain: Vec<u8> = (0..length).map(|n: u32| (n % 251) as u8).collect();
            let path = written(dir.path(), &plain);
            let reader = open(&path, "acme", "f").expect("opens");
            assert_eq!(reader.len(), u64::from(length));
            let edges = [0, 1, 65_535, 65_536, 70_000, 131_072, length];
            for (from, to) in edges.iter().flat_map(|a| edges.map(|b| (*a, b))) {
                if from <= to && to <= length {
                    let got = reader.read(u64::from(from)..u64::from(to)).expect("reads");
                    assert!(got == plain[from as usize..to as usize], "{length}: {from}..{to}");
                }
            }
            assert!(reader.read(0..u64::from(length) + 1).is_err());
        }
    }

    #[test]
    fn another_name_tenant_or_key_opens_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = written(dir.path(), b"rows");
        assert_eq!(
            &open(&path, "acme", "f").expect("opens").read(0..4).expect("reads")[..],
            b"rows"
        );
        for reader in [open(&path, "other", "f"), open(&path, "acme", "g")] {
            assert!(reader.expect("a sealed file").read(0..4).is_err());
        }
        let stranger = EventKey::new(&[8; 32]);
        let reader = SealedReader::open(&stranger, &path, identity("acme", "flows", "f"));
        assert!(reader.expect("a sealed file").read(0..4).is_err());
    }

    #[test]
    fn a_flipped_bit_and_a_cut_are_seen() {
        let dir = tempfile::tempdir().expect("a folder");
        let plain = vec![1; 3 * CHUNK_BYTES];
        let path = written(dir.path(), &plain);
        let whole = std::fs::read(&path).expect("read");
        for at in [0, 8, 40, 70_000, whole.len() - 1] {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).expect("written");
            let read = open(&path, "acme", "f").and_then(|reader| reader.read(0..reader.len()));
            assert_eq!(read.expect_err("seen").kind(), io::ErrorKind::InvalidData, "byte {at}");
        }
        // Cut at the end of a chunk: what is left was written as it is, but not as the end.
        for keep in [0, 20, HEADER_BYTES, HEADER_BYTES + SEALED_CHUNK_BYTES, whole.len() - 1] {
            std::fs::write(&path, &whole[..keep]).expect("written");
            let read = open(&path, "acme", "f").and_then(|reader| reader.read(0..reader.len()));
            assert!(read.is_err(), "cut to {keep}");
        }
    }
}
