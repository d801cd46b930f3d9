//! Reading a file by row groups, for questions that count much: the columns that are wanted are opened
//! at once, and a column can come as numbers into its dictionary, as it lies in the file.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::{Buf, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;

use crate::file::{EventFile, as_damage};
use crate::merger::as_io;
use crate::sealed::damaged;

/// Rows of a batch.
const BATCH_ROWS: usize = 32 << 10;

/// An opened file.
pub struct FileScan {
    file: Arc<EventFile>,
    metadata: ArrowReaderMetadata,
}

impl std::fmt::Debug for FileScan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileScan").field("file", &self.file).finish_non_exhaustive()
    }
}

impl EventFile {
    /// Opens the file to be read by row groups.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn scan(self: &Arc<Self>) -> io::Result<FileScan> {
        let metadata = self.metadata()?;
        let metadata = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new());
        let metadata = self.noting(metadata.map_err(as_damage))?;
        Ok(FileScan { file: Arc::clone(self), metadata })
    }
}

impl FileScan {
    /// The columns of the file.
    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// How many row groups there are.
    pub fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The least and the greatest value of a column of times or whole numbers in a row group, if the
    /// file says so.
    pub fn bounds(&self, group: usize, column: &str) -> Option<(i64, i64)> {
        let index = self.schema().index_of(column).ok()?;
        let group = self.metadata.metadata().row_groups().get(group)?;
        match group.columns().get(index)?.statistics()? {
            Statistics::Int64(bounds) => Some((*bounds.min_opt()?, *bounds.max_opt()?)),
            _ => None,
        }
    }

    /// The batches of a row group with those of `columns` that the file has, in no order that is known;
    /// those that are in `coded` too come as dictionaries where the file has them so.
    ///
    /// # Errors
    /// As [`EventFile::read`].
    pub fn read(
        &self,
        group: usize,
        columns: &BTreeSet<String>,
        coded: &BTreeSet<String>,
    ) -> io::Result<impl Iterator<Item = io::Result<RecordBatch>> + Send + use<>> {
        let known = self.metadata.metadata();
        let wanted = self.schema().fields().iter().enumerate();
        let wanted = wanted.filter(|(_, field)| columns.contains(field.name()));
        let wanted: Vec<usize> = wanted.map(|(index, _)| index).collect();
        let ranges = known.row_groups().get(group).into_iter().flat_map(|group| {
            wanted.iter().filter_map(|index| group.columns().get(*index)).map(|column| {
                let (start, length) = column.byte_range();
                start..start.saturating_add(length)
            })
        });
        let ranges: Vec<Range<u64>> = ranges.collect();
        let bytes = self.file.read_ranges(&ranges)?;
        let opened = Opened {
            length: self.file.plain_bytes(),
            ranges: Arc::new(ranges.into_iter().zip(bytes).collect()),
        };
        // What comes as numbers is opened here, the rest by the Parquet reader.
        let (mut plain, mut ready) = (Vec::new(), Vec::new());
        let described = known.row_groups().get(group).map_or(&[][..], |group| group.columns());
        for index in wanted {
            let field = self.schema().field(index);
            let numbers = described.get(index).filter(|_| coded.contains(field.name()));
            match numbers.map(|column| crate::coded::column(&opened, column, field.data_type())) {
                Some(Ok(Some(array))) => ready.push((field.name().clone(), array)),
                Some(Err(error)) => return self.file.noting(Err(as_damage(error))),
                Some(Ok(None)) | None => plain.push(index),
            }
        }
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), plain);
        let metadata = self.metadata.clone();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(opened, metadata)
            .with_row_groups(vec![group])
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build();
        let reader = self.file.noting(reader.map_err(as_damage))?;
        let file = Arc::clone(&self.file);
        let mut from = 0;
        Ok(reader.map(move |batch| {
            let batch = file.noting(batch.map_err(as_io))?;
            let rows = batch.num_rows();
            let batch = with_columns(&batch, &ready, from);
            from += rows;
            file.noting(batch)
        }))
    }
}

/// A batch with more columns: their rows from `from` on.
fn with_columns(
    batch: &RecordBatch,
    more: &[(String, ArrayRef)],
    from: usize,
) -> io::Result<RecordBatch> {
    let mut fields: Vec<Arc<Field>> = batch.schema_ref().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    for (name, column) in more {
        if from + batch.num_rows() > column.len() {
            return Err(damaged("its columns are not of one length"));
        }
        fields.push(Arc::new(Field::new(name, column.data_type().clone(), true)));
        columns.push(column.slice(from, batch.num_rows()));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let schema = Arc::new(Schema::new(fields));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(io::Error::other)
}

/// The type in which a column comes as numbers into its dictionary; `None` if it cannot.
pub fn coded_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::FixedSizeBinary(_) => {
            Some(DataType::Dictionary(Box::new(DataType::Int32), Box::new(data_type.clone())))
        }
        _ => None,
    }
}

/// Parts of a file that are in memory.
#[derive(Clone)]
pub(crate) struct Opened {
    length: u64,
    ranges: Arc<Vec<(Range<u64>, Bytes)>>,
}

impl Length for Opened {
    fn len(&self) -> u64 {
        self.length
    }
}

impl Opened {
    fn from(&self, start: u64) -> ParquetResult<Bytes> {
        let found = self.ranges.iter().find(|(range, _)| range.contains(&start));
        let (range, bytes) = found.ok_or_else(|| {
            ParquetError::EOF("the file says that a page lies outside of its column".to_owned())
        })?;
        Ok(bytes.slice((start - range.start) as usize..))
    }
}

impl ChunkReader for Opened {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let bytes = self.from(start)?;
        if length > bytes.len() {
            return Err(ParquetError::EOF("a page is longer than its column".to_owned()));
        }
        Ok(bytes.slice(..length))
    }
}
