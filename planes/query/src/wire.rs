//! Record batches between sites: an Arrow IPC stream, in pieces as they come.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;

use crate::sketch::{Kind, SKETCH};

/// The key of a schema's metadata that says what of a site's rows is not in its answer.
pub(crate) const MISSING: &str = "holm.missing";

/// Turns batches into pieces of a stream.
pub struct Encoder {
    writer: StreamWriter<Vec<u8>>,
}

impl Encoder {
    /// An encoder for batches with that schema.
    ///
    /// # Errors
    /// A schema that Arrow IPC does not know.
    pub fn new(schema: &SchemaRef) -> Result<Self, ArrowError> {
        Ok(Self { writer: StreamWriter::try_new(Vec::new(), schema)? })
    }

    /// The bytes of one more batch.
    ///
    /// # Errors
    /// The batch has another schema.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        self.writer.write(batch)?;
        Ok(std::mem::take(self.writer.get_mut()))
    }

    /// The end of the stream: without it a reader knows that something is missing.
    ///
    /// # Errors
    /// Never for bytes in memory.
    pub fn finish(mut self) -> Result<Vec<u8>, ArrowError> {
        self.writer.finish()?;
        Ok(std::mem::take(self.writer.get_mut()))
    }
}

/// Turns the pieces that a site sent back into batches. The site may lie: what it sends is bounded,
/// validated, and must have the columns that were asked for.
pub(crate) struct Decoder {
    decoder: StreamDecoder,
    expected: SchemaRef,
    bytes: usize,
    limit: usize,
    /// The last bytes that came.
    tail: Vec<u8>,
}

/// What an Arrow IPC stream ends with: a message of no length.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

impl Decoder {
    pub(crate) fn new(expected: SchemaRef, limit: usize) -> Self {
        Self { decoder: StreamDecoder::new(), expected, bytes: 0, limit, tail: Vec::new() }
    }

    /// The batches that are complete with these bytes.
    pub(crate) fn take(&mut self, bytes: Bytes) -> Result<Vec<RecordBatch>, String> {
        self.bytes += bytes.len();
        if self.bytes > self.limit {
            return Err(format!("it sends more than {} MiB", self.limit >> 20));
        }
        let last = &bytes[bytes.len().saturating_sub(END.len())..];
        self.tail.extend_from_slice(last);
        self.tail.drain(..self.tail.len().saturating_sub(END.len()));
        let mut buffer = Buffer::from(bytes);
        let mut batches = Vec::new();
        while !buffer.is_empty() {
            let batch = self.decoder.decode(&mut buffer).map_err(|error| error.to_string())?;
            if let Some(batch) = batch {
                batches.push(self.fitted(&batch)?);
            }
        }
        Ok(batches)
    }

    /// What the site says that it went without; bounded, it may lie.
    pub(crate) fn missing(&self) -> Option<String> {
        let schema = self.decoder.schema()?;
        schema.metadata().get(MISSING).map(|text| text.chars().take(1_000).collect())
    }

    /// Bytes that came.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all of it came.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        self.decoder.finish().map_err(|error| error.to_string())?;
        if self.tail == END { Ok(()) } else { Err("its answer broke off".to_owned()) }
    }

    fn fitted(&self, batch: &RecordBatch) -> Result<RecordBatch, String> {
        let types = |schema: &SchemaRef| -> Vec<_> {
            schema.fields().iter().map(|field| field.data_type().clone()).collect()
        };
        if types(batch.schema_ref()) != types(&self.expected) {
            return Err("it answers with other columns; it may run another version".to_owned());
        }
        for (field, column) in self.expected.fields().iter().zip(batch.columns()) {
            let kind = field.metadata().get(SKETCH).and_then(|word| Kind::named(word));
            if let (Some(kind), Some(sketches)) = (kind, column.as_binary_opt::<i32>()) {
                let checked = sketches.iter().flatten().try_for_each(|bytes| kind.check(bytes));
                checked.map_err(|error| error.to_string())?;
            }
        }
        RecordBatch::try_new(Arc::clone(&self.expected), batch.columns().to_vec())
            .map_err(|error| error.to_string())
    }
}
