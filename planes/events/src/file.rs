//! One Parquet file of a table: its name, what the name tells, its bytes.
//!
//! `<table>/<day>/<hour>/<lo>-<hi>-<min>-<max>-<rows>.hev`: the log segments that its rows come from
//! (hexadecimal), its earliest and latest time (ms since 1970) and how many rows it has. The folder is
//! the whole state: there is no list of files that could disagree with it.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use holm_model::Millis;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::ColumnPath;

use crate::cold::Cold;
use crate::disk::Disk;
use crate::error::io_of;
use crate::key::EventKey;
use crate::sealed::{CHUNK_BYTES, HEADER_BYTES, SealedReader, SealedWriter, Source, identity};
use crate::table::Table;

pub(crate) const EXTENSION: &str = "hev";
pub(crate) const COLD_EXTENSION: &str = "cold";
const HOUR_MS: u64 = 3_600_000;
/// Rows of a row group: large enough to compress, small enough to be skipped and to be held.
const ROW_GROUP_ROWS: usize = 256 << 10;
/// Bytes of a dictionary before its column is written plain: an address for each row of a row group has
/// room, so that questions can count by the dictionary's numbers.
const DICTIONARY_BYTES: usize = ROW_GROUP_ROWS * 16;
/// Different values that a bloom filter is made for.
const BLOOM_VALUES: u64 = 32_768;

/// Day and hour of a moment, as the folder that rows of that hour lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hour(u64);

impl Hour {
    pub(crate) const fn of(at: Millis) -> Self {
        Self(at.0 / HOUR_MS)
    }

    /// When it ends.
    pub(crate) const fn end(self) -> Millis {
        Millis((self.0 + 1).saturating_mul(HOUR_MS))
    }

    /// The hour whose folder is called so.
    pub(crate) fn named(folder: &str) -> Option<Self> {
        let (date, hour) = folder.split_once('/')?;
        let mut parts = date.split('-').map(|part| part.parse::<u64>().ok());
        let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
        let hour: u64 = hour.parse().ok().filter(|hour| *hour < 24)?;
        let named = Self(days_of(year, month, day)? * 24 + hour);
        (named.folder() == Path::new(folder)).then_some(named)
    }

    /// `YYYY-MM-DD/HH`.
    pub(crate) fn folder(self) -> PathBuf {
        let (year, month, day) = civil(self.0 / 24);
        PathBuf::from(format!("{year:04}-{month:02}-{day:02}/{:02}", self.0 % 24))
    }
}

/// The date of a day since 1970 (proleptic Gregorian; H. Hinnant, "chrono-compatible low-level date
/// algorithms", civil_from_days).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    (yoe + era * 400 + u64::from(month <= 2), month, day)
}

/// The other way around: `days_from_civil` of the same source.
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let y = year - u64::from(month <= 2);
    let (era, yoe) = (y / 400, y % 400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468)
}

/// What a file's name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileName {
    pub(crate) lo: u64,
    pub(crate) hi: u64,
    pub(crate) min: Millis,
    pub(crate) max: Millis,
    pub(crate) rows: u64,
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lo, hi, min, max, rows } = self;
        write!(f, "{lo:012x}-{hi:012x}-{}-{}-{rows}.{EXTENSION}", min.0, max.0)
    }
}

impl FileName {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(EXTENSION)?.strip_suffix('.')?.split('-');
        let mut next = |radix| u64::from_str_radix(parts.next()?, radix).ok();
        let name = Self {
            lo: next(16)?,
            hi: next(16)?,
            min: Millis(next(10)?),
            max: Millis(next(10)?),
            rows: next(10)?,
        };
        (parts.next().is_none() && name.lo <= name.hi).then_some(name)
    }

    /// Whether all rows of `other` are in this file too, if both lie in one folder.
    pub(crate) const fn covers(&self, other: &Self) -> bool {
        self.lo <= other.lo && other.hi <= self.hi && (self.lo != other.lo || self.hi != other.hi)
    }
}

/// A file of a table. It is taken from the disk when nobody reads it any more and it was replaced or
/// dropped.
#[derive(Debug)]
pub struct EventFile {
    key: Arc<EventKey>,
    disk: Disk,
    path: PathBuf,
    /// The path from the store's folder on.
    location: String,
    identity: Vec<u8>,
    pub(crate) name: FileName,
    pub(crate) hour: Hour,
    bytes: u64,
    plain_bytes: u64,
    damaged: AtomicBool,
    doomed: AtomicBool,
    footer: Mutex<Weak<ParquetMetaData>>,
    /// It lies in cold storage, and at `path` is what says so.
    remote: Option<Remote>,
}

/// What is known here of a file in cold storage.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    /// `None` while no storage is configured any more.
    pub(crate) cold: Option<Arc<Cold>>,
    pub(crate) header: [u8; HEADER_BYTES],
    /// Its bytes there.
    pub(crate) bytes: u64,
}

impl Remote {
    /// What stands in the place of the file: its header and its length.
    pub(crate) fn to_stub(&self) -> Vec<u8> {
        [&self.header[..], &self.bytes.to_be_bytes()].concat()
    }

    pub(crate) fn from_stub(stub: &[u8], cold: Option<Arc<Cold>>) -> Option<Self> {
        let (header, bytes) = stub.split_first_chunk::<HEADER_BYTES>()?;
        let bytes = u64::from_be_bytes(bytes.try_into().ok()?);
        Some(Self { cold, header: *header, bytes })
    }
}

impl EventFile {
    /// Where the file lies, from the store's folder on, with `/` between the parts.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Its rows.
    pub const fn rows(&self) -> u64 {
        self.name.rows
    }

    /// The time of its earliest and of its latest row.
    pub const fn times(&self) -> (Millis, Millis) {
        (self.name.min, self.name.max)
    }

    /// Whether it lies in cold storage.
    pub const fn is_cold(&self) -> bool {
        self.remote.is_some()
    }

    /// Whether it can be read now, as far as is known; asks cold storage where nothing is.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn reachable(&self) -> io::Result<()> {
        match &self.remote {
            None => Ok(()),
            Some(Remote { cold: Some(cold), .. }) => cold.check(&self.location),
            Some(Remote { cold: None, .. }) => Err(unconfigured()),
        }
    }

    /// Bytes of it on disk.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the Parquet file that is sealed in it.
    pub const fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }

    /// Bytes of the Parquet file.
    ///
    /// # Errors
    /// The system's, or [`io::ErrorKind::InvalidData`] for a damaged file, which is remembered: see
    /// [`crate::EventStore::set_damaged_aside`].
    pub fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.noting(self.open().and_then(|reader| reader.read(range)))
    }

    /// Several parts of the Parquet file.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_ranges(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        let read = self
            .open()
            .and_then(|reader| ranges.iter().map(|range| reader.read(range.clone())).collect());
        self.noting(read)
    }

    /// A reader of its rows.
    pub(crate) fn parquet(&self) -> io::Result<ParquetRecordBatchReaderBuilder<SealedChunks>> {
        let chunks = SealedChunks(Arc::new(self.noting(self.open())?));
        let builder = ParquetRecordBatchReaderBuilder::try_new(chunks);
        self.noting(builder.map_err(as_damage))
    }

    /// What its footer says. Read once while somebody holds it.
    pub(crate) fn metadata(&self) -> io::Result<Arc<ParquetMetaData>> {
        let mut known = self.footer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(footer) = known.upgrade() {
            return Ok(footer);
        }
        let chunks = SealedChunks(Arc::new(self.noting(self.open())?));
        let read = ParquetMetaDataReader::new().parse_and_finish(&chunks).map_err(as_damage);
        let footer = Arc::new(self.noting(read)?);
        *known = Arc::downgrade(&footer);
        Ok(footer)
    }

    /// Remembers that the file is damaged, if the error says so.
    pub(crate) fn noting<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        {
            self.damaged.store(true, Ordering::SeqCst);
        }
        result
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::SeqCst)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file goes when the last reader lets go of it.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::SeqCst);
    }

    fn open(&self) -> io::Result<SealedReader> {
        if let Some(Remote { cold, header, bytes }) = &self.remote {
            let cold = cold.as_ref().ok_or_else(unconfigured)?;
            let source = Source::Cold(Arc::clone(cold), self.location.clone(), *bytes);
            return SealedReader::of(&self.key, source, header, *bytes, self.identity.clone());
        }
        SealedReader::open(&self.key, &self.path, self.identity.clone())
    }
}

fn unconfigured() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "it lies in cold storage, and rows.cold is not set")
}

/// A Parquet reader's complaint about bytes that opened means that they were written so.
pub(crate) fn as_damage(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(_) => io_of(error),
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}

impl Drop for EventFile {
    fn drop(&mut self) {
        if let Some(Remote { cold, .. }) = &self.remote {
            if let (true, Some(cold)) = (self.doomed.load(Ordering::SeqCst), cold) {
                cold.remove(&self.location, &self.path);
            }
        } else if self.doomed.load(Ordering::SeqCst)
            && let Err(error) = self.disk.remove(&self.path)
        {
            // The next start finds it and removes it again.
            tracing::warn!(path = %self.path.display(), %error, "an event file could not be removed");
        }
    }
}

/// The sealed file as the Parquet reader sees it.
pub(crate) struct SealedChunks(Arc<SealedReader>);

impl Length for SealedChunks {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for SealedChunks {
    type T = SealedRead;

    fn get_read(&self, start: u64) -> ParquetResult<SealedRead> {
        Ok(SealedRead { reader: Arc::clone(&self.0), at: start, open: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.0
            .read(start..start.saturating_add(length as u64))
            .map_err(|error| ParquetError::External(Box::new(error)))
    }
}

/// Reads on from some place.
pub(crate) struct SealedRead {
    reader: Arc<SealedReader>,
    at: u64,
    /// What was opened and not taken: a chunk opens as a whole, however little of it is wanted.
    open: Bytes,
}

impl Read for SealedRead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.open.is_empty() {
            let chunk = CHUNK_BYTES as u64;
            let end = self.reader.len().min((self.at / chunk + 1) * chunk);
            self.open = self.reader.read(self.at.min(end)..end)?;
        }
        let taken = self.open.split_to(into.len().min(self.open.len()));
        into[..taken.len()].copy_from_slice(&taken);
        self.at += taken.len() as u64;
        Ok(taken.len())
    }
}

/// Where files of a store lie and how they are sealed.
#[derive(Debug, Clone)]
pub(crate) struct Shelving {
    pub(crate) disk: Disk,
    pub(crate) root: PathBuf,
    pub(crate) tenant: String,
    pub(crate) key: Arc<EventKey>,
    pub(crate) cold: Option<Arc<Cold>>,
}

impl Shelving {
    /// A file that is there.
    pub(crate) fn file(
        &self,
        table: &str,
        hour: Hour,
        name: FileName,
        bytes: u64,
        plain_bytes: u64,
    ) -> Arc<EventFile> {
        let within = hour.folder().join(name.to_string());
        let location = format!("{table}/{}", within.display());
        Arc::new(EventFile {
            key: Arc::clone(&self.key),
            disk: self.disk.clone(),
            path: self.root.join(&location),
            identity: identity(&self.tenant, table, &within.display().to_string()),
            location,
            name,
            hour,
            bytes,
            plain_bytes,
            damaged: AtomicBool::new(false),
            doomed: AtomicBool::new(false),
            footer: Mutex::default(),
            remote: None,
        })
    }

    /// A file in cold storage.
    pub(crate) fn cold_file(
        &self,
        table: &str,
        hour: Hour,
        name: FileName,
        remote: Remote,
    ) -> Option<Arc<EventFile>> {
        let plain = crate::sealed::plain_bytes(remote.bytes)?;
        // Its stub weighs nothing.
        let mut file = Arc::into_inner(self.file(table, hour, name, 0, plain))?;
        file.path = file.path.with_extension(COLD_EXTENSION);
        file.remote = Some(remote);
        Some(Arc::new(file))
    }

    /// Writes a file of `batches`, durable when it returns.
    pub(crate) fn write(
        &self,
        table: &Table,
        columns: &Columns,
        hour: Hour,
        name: FileName,
        batches: impl IntoIterator<Item = io::Result<RecordBatch>>,
        effort: Effort,
    ) -> io::Result<Arc<EventFile>> {
        let within = hour.folder().join(name.to_string());
        let folder = self.root.join(table.name()).join(hour.folder());
        self.disk.create_folder(&folder)?;
        let identity = identity(&self.tenant, table.name(), &within.display().to_string());
        let path = self.root.join(table.name()).join(&within);
        let sealed = SealedWriter::create(&self.disk, &self.key, &path, identity)?;
        let properties = properties(table, effort);
        let mut writer =
            ArrowWriter::try_new(sealed, Arc::clone(&columns.schema), Some(properties))
                .map_err(io_of)?;
        for batch in batches {
            let batch = batch?.project(&columns.indices).map_err(io::Error::other)?;
            writer.write(&batch).map_err(io_of)?;
        }
        writer.flush().map_err(io_of)?;
        let sealed = writer.into_inner().map_err(io_of)?;
        let bytes = sealed.finish()?;
        let plain = crate::sealed::plain_bytes(bytes).ok_or_else(|| {
            io::Error::other("the file that was just written has no possible length")
        })?;
        Ok(self.file(table.name(), hour, name, bytes, plain))
    }
}

/// The columns of a table that a file has: those that say something in it. Readers put nulls for the
/// others, as for columns that a later version adds.
#[derive(Debug)]
pub(crate) struct Columns {
    indices: Vec<usize>,
    schema: SchemaRef,
}

impl Columns {
    /// `used`: whether a column, by its index and name, has a value. Tables that are known by their
    /// files alone keep all of theirs.
    pub(crate) fn of(table: &Table, used: impl Fn(usize, &str) -> bool) -> io::Result<Self> {
        let fields = table.schema().fields().iter().enumerate();
        let kept = fields.filter(|(index, field)| {
            table.takes_rows() || !field.is_nullable() || used(*index, field.name())
        });
        let indices: Vec<usize> = kept.map(|(index, _)| index).collect();
        let schema = table.schema().project(&indices).map_err(io::Error::other)?;
        Ok(Self { indices, schema: Arc::new(schema) })
    }
}

/// How hard a file is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As rows come: nothing that is not needed to read it well.
    Quick,
    /// Once, when an hour is over: smaller, with bloom filters.
    Thorough,
}

pub(crate) fn properties(table: &Table, effort: Effort) -> WriterProperties {
    let quick = effort == Effort::Quick;
    let level = ZstdLevel::try_new(if quick { 1 } else { 3 }).unwrap_or_default();
    // A new file has no order but that of time, and is put together with others when its hour is over:
    // least and greatest values of other columns would be found at a quarter of all work, and skip nothing.
    let statistics = if quick { EnabledStatistics::None } else { EnabledStatistics::Page };
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_statistics_enabled(statistics);
    // One part: a name with dots in it is still one column.
    let path = |name: &str| ColumnPath::new(vec![name.to_owned()]);
    for field in table.schema().fields() {
        let name = path(field.name());
        // Times and counts hardly repeat: a dictionary of them costs a third of all work, and is thrown
        // away once it is full.
        let packed = match field.data_type() {
            // Only where their dictionary is full; else they are what is grouped by.
            DataType::FixedSizeBinary(_) => {
                builder = builder.set_column_encoding(name, Encoding::PLAIN);
                continue;
            }
            DataType::Timestamp(..) => {
                if quick {
                    builder = builder
                        .set_column_statistics_enabled(name.clone(), EnabledStatistics::Chunk);
                }
                Encoding::DELTA_BINARY_PACKED
            }
            DataType::Int64 | DataType::UInt64 => Encoding::DELTA_BINARY_PACKED,
            // Small numbers are packed faster than they are looked up.
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 if quick => {
                Encoding::DELTA_BINARY_PACKED
            }
            DataType::Float64 => Encoding::BYTE_STREAM_SPLIT,
            _ => continue,
        };
        builder = builder
            .set_column_dictionary_enabled(name.clone(), false)
            .set_column_encoding(name, packed);
    }
    if effort == Effort::Thorough {
        // Only of this version the writer makes dictionaries of values of one length, addresses above all.
        builder = builder.set_writer_version(WriterVersion::PARQUET_2_0);
        for column in table.bloom_columns() {
            builder = builder
                .set_column_bloom_filter_enabled(path(column), true)
                .set_column_bloom_filter_max_ndv(path(column), BLOOM_VALUES);
        }
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_was_put_in_it() {
        let name = FileName {
            lo: 3,
            hi: 0xabcdef,
            min: Millis(5),
            max: Millis(1_700_000_000_000),
            rows: 9,
        };
        assert_eq!(FileName::parse(&name.to_string()), Some(name));
        for bad in ["", ".hev", "1-2-3-4-5", "1-2-3-4.hev", "2-1-3-4-5.hev", "1-2-3-4-5-6.hev"] {
            assert_eq!(FileName::parse(bad), None, "{bad}");
        }
        let inner = FileName { lo: 4, ..name };
        assert!(name.covers(&inner) && !inner.covers(&name) && !name.covers(&name));
    }

    #[test]
    fn an_hour_has_a_folder() {
        // 2024-02-29T23:59:59.999Z
        assert_eq!(Hour::of(Millis(1_709_251_199_999)).folder(), Path::new("2024-02-29/23"));
        assert_eq!(Hour::of(Millis(1_709_251_200_000)).folder(), Path::new("2024-03-01/00"));
        assert_eq!(Hour::of(Millis(0)).folder(), Path::new("1970-01-01/00"));
        for hour in (0..600_000).step_by(7) {
            let folder = Hour(hour).folder();
            assert_eq!(Hour::named(folder.to_str().expect("text")), Some(Hour(hour)));
        }
        for bad in ["2024-02-30/01", "2024-1-01/01", "2024-01-01/24", "x", "1969-12-31/23"] {
            assert_eq!(Hour::named(bad), None, "{bad}");
        }
    }
}
