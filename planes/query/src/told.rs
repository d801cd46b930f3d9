//! What texts that functions make take, told to the memory that all questions share for as long as they are there.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericStringArray, OffsetSizeTrait};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;
use bytes::Bytes;
use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::logical_expr::ColumnarValue;

/// Results of fewer bytes are not told to the pool.
const LEAST_TOLD: usize = 64 << 10;

/// The memory that questions share.
#[derive(Clone)]
pub(crate) struct Pool(Arc<dyn MemoryPool>);

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

// A function is the same one whatever pool it tells.
impl PartialEq for Pool {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Pool {}

impl Hash for Pool {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// Bytes of a text column, which are the pool's again when nobody has them any longer.
struct Held {
    bytes: Buffer,
    _of_pool: MemoryReservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Pool {
    pub(crate) fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        Self(Arc::clone(pool))
    }

    /// The same, known to the pool.
    ///
    /// # Errors
    /// The pool has no room.
    pub(crate) fn told(&self, made: ColumnarValue) -> Result<ColumnarValue> {
        let ColumnarValue::Array(array) = &made else { return Ok(made) };
        Ok(match array.data_type() {
            DataType::Utf8 => ColumnarValue::Array(self.hold(array.as_string::<i32>())?),
            DataType::LargeUtf8 => ColumnarValue::Array(self.hold(array.as_string::<i64>())?),
            _ => made,
        })
    }

    fn hold<O: OffsetSizeTrait>(&self, array: &GenericStringArray<O>) -> Result<ArrayRef> {
        if array.values().len() < LEAST_TOLD {
            return Ok(Arc::new(array.clone()));
        }
        let of_pool = MemoryConsumer::new("texts of a question").register(&self.0);
        of_pool.try_grow(array.values().len())?;
        let (offsets, bytes, nulls) = array.clone().into_parts();
        let held = Bytes::from_owner(Held { bytes, _of_pool: of_pool });
        Ok(Arc::new(GenericStringArray::<O>::try_new(offsets, Buffer::from(held), nulls)?))
    }
}
