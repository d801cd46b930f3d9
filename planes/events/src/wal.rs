//! The write-ahead log: what was committed and is not in a file of its table yet.
//!
//! A segment is a header (magic, salt) and sealed frames, each `length` (u32, little-endian), then that
//! many sealed bytes. A frame holds the batches of one table of one commit, as an Arrow IPC stream
//! behind the table's name. A frame that was not written as a whole is the end of its segment.

use std::fs::{File, OpenOptions};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use crate::disk::Disk;
use crate::key::{EventKey, FileKey, SALT_BYTES, TAG_BYTES};
use crate::sealed::damaged;

const MAGIC: &[u8; 8] = b"HOLMWAL1";
const HEADER_BYTES: usize = MAGIC.len() + SALT_BYTES;
const PURPOSE: &str = "holm event log 1";
/// Largest frame that is read; a commit writes far less.
const MAX_FRAME_BYTES: usize = 256 << 20;

/// Where segment `number` lies.
pub(crate) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012x}.wal"))
}

/// The number in a segment's name.
pub(crate) fn number_of(path: &Path) -> Option<u64> {
    (path.extension()? == "wal").then_some(())?;
    u64::from_str_radix(path.file_stem()?.to_str()?, 16).ok()
}

fn about(tenant: &str, segment: u64) -> Vec<u8> {
    let mut about = segment.to_be_bytes().to_vec();
    about.extend_from_slice(tenant.as_bytes());
    about
}

/// Writes one segment.
pub(crate) struct Segment {
    disk: Disk,
    file: File,
    path: PathBuf,
    key: FileKey,
    about: Vec<u8>,
    frames: u64,
    bytes: u64,
    /// A write failed: what follows `bytes` is not known.
    torn: bool,
}

impl Segment {
    pub(crate) fn create(
        disk: &Disk,
        key: &EventKey,
        folder: &Path,
        tenant: &str,
        number: u64,
    ) -> io::Result<Self> {
        let path = path_of(folder, number);
        let mut file = disk.create(&path)?;
        let salt = key.salt()?;
        let mut header = MAGIC.to_vec();
        header.extend(salt);
        disk.write(&mut file, &header)?;
        disk.sync(&file)?;
        disk.sync_folder(folder)?;
        Ok(Self {
            disk: disk.clone(),
            file,
            path,
            key: key.of_file(PURPOSE, &salt),
            about: about(tenant, number),
            frames: 0,
            bytes: HEADER_BYTES as u64,
            torn: false,
        })
    }

    /// Bytes of it on disk.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds the frames of one commit; durable when it returns. After an error none of them count, and
    /// the segment takes no more: it is mended and left for a new one, so that no nonce is used twice.
    pub(crate) fn commit(&mut self, frames: Vec<Vec<u8>>) -> io::Result<()> {
        if self.torn {
            return Err(io::Error::other("a write to this segment failed before"));
        }
        let (mut number, mut bytes) = (self.frames, self.bytes);
        let written = (|| {
            for mut frame in frames {
                self.key
                    .seal(number, &self.about, &mut frame)
                    .ok_or_else(|| io::Error::other("a frame cannot be sealed"))?;
                number += 1;
                let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
                self.disk.write(&mut self.file, &length.to_le_bytes())?;
                self.disk.write(&mut self.file, &frame)?;
                bytes += 4 + frame.len() as u64;
            }
            self.disk.sync(&self.file)
        })();
        if let Err(error) = written {
            self.torn = true;
            return Err(error);
        }
        (self.frames, self.bytes) = (number, bytes);
        Ok(())
    }

    /// Whether a write failed.
    pub(crate) const fn is_torn(&self) -> bool {
        self.torn
    }

    /// Takes off what a failed write left, so that it does not count when the segment is read back:
    /// its rows are committed again elsewhere.
    pub(crate) fn mend(&self) -> io::Result<()> {
        self.disk.truncate(&self.file, self.bytes)?;
        self.disk.sync(&self.file)
    }
}

/// The plain bytes of a frame. Columns without a value are left out: readers put them back.
pub(crate) fn frame(table: &str, batches: &[RecordBatch]) -> io::Result<Vec<u8>> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let used: Vec<usize> = (0..first.num_columns())
        .filter(|index| batches.iter().any(|b| b.column(*index).null_count() < b.num_rows()))
        .collect();
    let schema = first.schema().project(&used).map_err(io::Error::other)?;
    let name = u8::try_from(table.len()).map_err(io::Error::other)?;
    let mut bytes = vec![name];
    bytes.extend_from_slice(table.as_bytes());
    bytes.reserve(TAG_BYTES + batches.iter().map(crate::table::weight).sum::<usize>());
    let mut writer = StreamWriter::try_new(bytes, &schema).map_err(io::Error::other)?;
    for batch in batches {
        let batch = batch.project(&used).map_err(io::Error::other)?;
        writer.write(&batch).map_err(io::Error::other)?;
    }
    writer.into_inner().map_err(io::Error::other)
}

/// The table's name and batches of a frame.
fn parse(frame: &[u8]) -> Option<(&str, Vec<RecordBatch>)> {
    let (name, stream) = frame.split_first()?;
    let (name, stream) = stream.split_at_checked(usize::from(*name))?;
    let reader = StreamReader::try_new(Cursor::new(stream), None).ok()?;
    let batches: Result<Vec<RecordBatch>, _> = reader.collect();
    Some((std::str::from_utf8(name).ok()?, batches.ok()?))
}

/// A batch with exactly the columns of `schema`: those that it has of the same name and type, nulls
/// for the others. `None` if a column without nulls is not there.
pub(crate) fn fitted(batch: &RecordBatch, schema: &SchemaRef) -> Option<RecordBatch> {
    let columns = schema.fields().iter().map(|field| {
        let found = batch.column_by_name(field.name());
        match found.filter(|column| column.data_type() == field.data_type()) {
            Some(column) => Some(Arc::clone(column)),
            None if field.is_nullable() => {
                Some(new_null_array(field.data_type(), batch.num_rows()))
            }
            None => None,
        }
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Option<_>>()?).ok()
}

/// What was read of a segment.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// By table, in the order of commits.
    pub(crate) batches: Vec<(String, Vec<RecordBatch>)>,
    /// Its last frame was not written as a whole.
    pub(crate) torn: bool,
    /// A frame before the last does not open: what follows it is lost.
    pub(crate) damaged: bool,
}

/// Reads a segment back.
pub(crate) fn replay(
    key: &EventKey,
    path: &Path,
    tenant: &str,
    number: u64,
) -> io::Result<Replayed> {
    let mut file = OpenOptions::new().read(true).open(path)?;
    let mut header = [0; HEADER_BYTES];
    let mut replayed = Replayed::default();
    if file.read_exact(&mut header).is_err() {
        // A crash came before its first commit.
        replayed.torn = true;
        return Ok(replayed);
    }
    let (magic, salt) = header.split_at(MAGIC.len());
    let salt: [u8; SALT_BYTES] = salt.try_into().map_err(|_| damaged("it is cut"))?;
    if magic != MAGIC {
        return Err(damaged("it does not begin as a log of this version"));
    }
    let (key, about) = (key.of_file(PURPOSE, &salt), about(tenant, number));
    let mut left = file.metadata()?.len() - HEADER_BYTES as u64;
    for frame_number in 0.. {
        let mut length = [0; 4];
        if left == 0 {
            break;
        }
        if left < 4 {
            replayed.torn = true;
            break;
        }
        file.read_exact(&mut length)?;
        left -= 4;
        let length = u32::from_le_bytes(length) as usize;
        if length as u64 > left || length > MAX_FRAME_BYTES {
            replayed.torn = true;
            break;
        }
        let mut frame = vec![0; length];
        file.read_exact(&mut frame)?;
        left -= length as u64;
        match key.open(frame_number, &about, &mut frame).and_then(parse) {
            Some((table, batches)) => replayed.batches.push((table.to_owned(), batches)),
            None if left == 0 => {
                replayed.torn = true;
                break;
            }
            None => {
                replayed.damaged = true;
                break;
            }
        }
    }
    Ok(replayed)
}
