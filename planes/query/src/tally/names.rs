//! Small numbers for the values of a column, as one thread gives them.
//!
//! Values come from the network, and so could be chosen to fall together in a table: each table is keyed
//! by a random of its own, which nobody outside sees.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, FixedSizeBinaryBuilder, Int64Array,
    StringBuilder, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowDictionaryKeyType, ArrowNativeType, DataType, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::common::{Result, exec_err};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::plain;

/// Whether groups can be made by values of that type.
pub(super) fn is_key(data_type: &DataType) -> bool {
    let plain = plain(data_type);
    is_number(plain) || matches!(plain, DataType::FixedSizeBinary(_) | DataType::Utf8)
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Timestamp(..))
}

/// Values by number, from 1 on, and the way back.
enum Known {
    /// Of 16 bytes, as addresses are: they lie in the table itself.
    Wide(HashMap<u128, u32>, Vec<u128>),
    Numbers(HashMap<u64, u32>, Vec<u64>),
    Bytes(HashTable<u32>, Vec<Box<[u8]>>),
}

/// Gives each value of a column a small number; 0 is null.
pub(super) struct Names {
    kind: DataType,
    known: Known,
    hasher: DefaultHashBuilder,
    /// Bytes of the values that are held one by one.
    bytes: usize,
    /// The dictionary that came last, and the numbers of its values.
    last: Option<ArrayRef>,
    of_last: Vec<u32>,
}

impl Names {
    pub(super) fn new(kind: &DataType) -> Self {
        let known = match plain(kind) {
            DataType::FixedSizeBinary(16) => Known::Wide(HashMap::new(), Vec::new()),
            DataType::FixedSizeBinary(_) | DataType::Utf8 => {
                Known::Bytes(HashTable::new(), Vec::new())
            }
            _ => Known::Numbers(HashMap::new(), Vec::new()),
        };
        Self {
            kind: kind.clone(),
            known,
            hasher: DefaultHashBuilder::default(),
            bytes: 0,
            last: None,
            of_last: Vec::new(),
        }
    }

    /// The number above all that were given.
    pub(super) fn len(&self) -> usize {
        1 + match &self.known {
            Known::Wide(_, values) => values.len(),
            Known::Numbers(_, values) => values.len(),
            Known::Bytes(_, values) => values.len(),
        }
    }

    /// Bytes of memory, about.
    pub(super) fn size(&self) -> usize {
        let known = match &self.known {
            Known::Wide(numbers, values) => numbers.allocation_size() + values.capacity() * 16,
            Known::Numbers(numbers, values) => numbers.allocation_size() + values.capacity() * 8,
            Known::Bytes(numbers, values) => {
                numbers.allocation_size() + values.capacity() * 16 + self.bytes
            }
        };
        known + self.of_last.len() * 4
    }

    fn of_bytes(&mut self, value: &[u8]) -> u32 {
        let Known::Bytes(numbers, values) = &mut self.known else { return 0 };
        let hash = self.hasher.hash_one(value);
        let at = |number: &u32| &*values[*number as usize - 1];
        if let Some(known) = numbers.find(hash, |number| at(number) == value) {
            return *known;
        }
        let number = values.len() as u32 + 1;
        let hasher = &self.hasher;
        values.push(value.into());
        numbers
            .insert_unique(hash, number, |number| hasher.hash_one(&*values[*number as usize - 1]));
        // With what an allocation takes beside.
        self.bytes += value.len() + 16;
        number
    }

    fn of_number(&mut self, value: u64) -> u32 {
        let Known::Numbers(numbers, values) = &mut self.known else { return 0 };
        *numbers.entry(value).or_insert_with(|| {
            values.push(value);
            values.len() as u32
        })
    }

    /// The number of each row's value.
    pub(super) fn of(&mut self, column: &ArrayRef, into: &mut Vec<u32>) -> Result<()> {
        into.clear();
        into.reserve(column.len());
        match column.data_type() {
            DataType::Dictionary(key, _) => match key.as_ref() {
                DataType::Int8 => self.of_coded::<Int8Type>(column, into),
                DataType::Int16 => self.of_coded::<Int16Type>(column, into),
                DataType::Int32 => self.of_coded::<Int32Type>(column, into),
                DataType::UInt8 => self.of_coded::<UInt8Type>(column, into),
                DataType::UInt16 => self.of_coded::<UInt16Type>(column, into),
                DataType::UInt32 => self.of_coded::<UInt32Type>(column, into),
                other => exec_err!("a dictionary by {other} cannot be counted"),
            },
            _ => self.of_plain(column, into),
        }
    }

    fn of_coded<K: ArrowDictionaryKeyType>(
        &mut self,
        column: &ArrayRef,
        into: &mut Vec<u32>,
    ) -> Result<()> {
        let column = column.as_dictionary::<K>();
        let values = column.values();
        // The same memory, still held: the same values.
        let same = |last: &ArrayRef| {
            let start = |array: &ArrayRef| array.to_data().buffers().last().map(|b| b.as_ptr());
            last.len() == values.len()
                && last.data_type() == values.data_type()
                && start(last) == start(values)
                && last.offset() == values.offset()
        };
        if !self.last.as_ref().is_some_and(same) {
            let mut numbers = std::mem::take(&mut self.of_last);
            numbers.clear();
            self.of_plain(values, &mut numbers)?;
            self.of_last = numbers;
            self.last = Some(Arc::clone(values));
        }
        let keys = column.keys();
        let number = |key: K::Native| self.of_last.get(key.as_usize()).copied().unwrap_or(0);
        if keys.null_count() == 0 {
            into.extend(keys.values().iter().map(|key| number(*key)));
        } else {
            into.extend(keys.iter().map(|key| key.map_or(0, number)));
        }
        Ok(())
    }

    fn of_plain(&mut self, column: &ArrayRef, into: &mut Vec<u32>) -> Result<()> {
        match column.data_type() {
            DataType::FixedSizeBinary(16) => self.of_wide(column.as_fixed_size_binary(), into),
            DataType::FixedSizeBinary(_) => {
                let values = column.as_fixed_size_binary();
                into.extend(values.iter().map(|v| v.map_or(0, |v| self.of_bytes(v))));
            }
            DataType::Utf8 => {
                let values = column.as_string::<i32>();
                into.extend(values.iter().map(|v| v.map_or(0, |v| self.of_bytes(v.as_bytes()))));
            }
            DataType::UInt64 => {
                let values = column.as_primitive::<UInt64Type>();
                into.extend(values.iter().map(|v| v.map_or(0, |v| self.of_number(v))));
            }
            other if is_number(other) => {
                let values = cast(column, &DataType::Int64)?;
                let values = values.as_primitive::<Int64Type>();
                let mut last = (0_u64, 0_u32);
                into.extend(values.iter().map(|value| {
                    let Some(value) = value.map(i64::cast_unsigned) else { return 0 };
                    if last.1 == 0 || last.0 != value {
                        last = (value, self.of_number(value));
                    }
                    last.1
                }));
            }
            other => return exec_err!("{other} cannot be counted by"),
        }
        Ok(())
    }

    fn of_wide(&mut self, column: &FixedSizeBinaryArray, into: &mut Vec<u32>) {
        let Known::Wide(numbers, values) = &mut self.known else { return };
        let mut number = |value: &[u8; 16]| {
            let value = u128::from_ne_bytes(*value);
            *numbers.entry(value).or_insert_with(|| {
                values.push(value);
                values.len() as u32
            })
        };
        if column.null_count() == 0 {
            let (all, _) = column.value_data().as_chunks::<16>();
            into.extend(all.iter().take(column.len()).map(number));
        } else {
            let values = column.iter().map(|value| value.and_then(|value| value.first_chunk()));
            into.extend(values.map(|value| value.map_or(0, &mut number)));
        }
    }

    /// The values of these numbers, as a column of the key's type.
    pub(super) fn values(&self, numbers: &[u32]) -> Result<ArrayRef> {
        fn at<T>(values: &[T], number: u32) -> Option<&T> {
            values.get((number as usize).wrapping_sub(1))
        }
        let values: ArrayRef = match (plain(&self.kind), &self.known) {
            (DataType::FixedSizeBinary(size), known) => {
                let mut builder = FixedSizeBinaryBuilder::with_capacity(numbers.len(), *size);
                for number in numbers {
                    match known {
                        Known::Wide(_, values) => match at(values, *number) {
                            Some(value) => builder.append_value(value.to_ne_bytes())?,
                            None => builder.append_null(),
                        },
                        Known::Bytes(_, values) => match at(values, *number) {
                            Some(value) => builder.append_value(value)?,
                            None => builder.append_null(),
                        },
                        Known::Numbers(..) => builder.append_null(),
                    }
                }
                Arc::new(builder.finish())
            }
            (_, Known::Bytes(_, values)) => {
                let mut builder = StringBuilder::new();
                for number in numbers {
                    let text = at(values, *number).map(|bytes| std::str::from_utf8(bytes));
                    builder.append_option(text.and_then(|text| text.ok()));
                }
                Arc::new(builder.finish())
            }
            (kind, Known::Numbers(_, values)) => {
                let numbers = numbers.iter().map(|number| at(values, *number).copied());
                if *kind == DataType::UInt64 {
                    Arc::new(numbers.collect::<UInt64Array>())
                } else {
                    let numbers = numbers.map(|n| n.map(u64::cast_signed));
                    Arc::new(numbers.collect::<Int64Array>())
                }
            }
            (other, Known::Wide(..)) => return exec_err!("{other} is not of 16 bytes"),
        };
        Ok(if values.data_type() == &self.kind { values } else { cast(&values, &self.kind)? })
    }
}
