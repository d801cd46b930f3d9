//! A column of values of one length as numbers into its dictionary, as it lies in the file: parquet's
//! reader gives such columns value by value only. Pages of both versions: files that are not merged yet
//! have the first, in which the writer makes no dictionaries of such values. Parquet format: Encodings.md,
//! "Run Length Encoding / Bit-Packing Hybrid" and "Dictionary Encoding"; README.md, "Data pages".

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, FixedSizeBinaryArray, Int32Array};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Int32Type};
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use crate::scan::Opened;

fn wrong(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

/// The column of a row group; `None` if it does not lie so.
pub(crate) fn column(
    opened: &Opened,
    described: &ColumnChunkMetaData,
    data_type: &DataType,
) -> Result<Option<ArrayRef>> {
    let DataType::FixedSizeBinary(width) = *data_type else { return Ok(None) };
    let descriptor = described.column_descr();
    let rows = usize::try_from(described.num_values()).map_err(|_| wrong("rows below 0"))?;
    if descriptor.max_rep_level() > 0 || descriptor.max_def_level() > 1 || width <= 0 {
        return Ok(None);
    }
    let nullable = descriptor.max_def_level() == 1;
    let reader = SerializedPageReader::new(Arc::new(opened.clone()), described, rows, None);
    let mut pages: Box<dyn PageReader> = Box::new(reader?);
    let mut made =
        Made { width: width as usize, keys: Vec::new(), there: Vec::new(), values: Vec::new() };
    while let Some(page) = pages.get_next_page()? {
        match page {
            Page::DictionaryPage { buf, .. } => made.values.extend_from_slice(&buf),
            Page::DataPage { buf, num_values, encoding, def_level_encoding, .. } => {
                if nullable && def_level_encoding != Encoding::RLE {
                    return Ok(None);
                }
                let (levels, values) = if nullable { with_length(&buf)? } else { (&[][..], &*buf) };
                made.page(levels, values, num_values as usize, encoding, nullable)?;
            }
            Page::DataPageV2 {
                buf,
                num_values,
                encoding,
                def_levels_byte_len,
                rep_levels_byte_len: 0,
                ..
            } => {
                let parts = buf.split_at_checked(def_levels_byte_len as usize);
                let (levels, values) = parts.ok_or_else(|| wrong("a page is cut"))?;
                made.page(levels, values, num_values as usize, encoding, nullable)?;
            }
            Page::DataPageV2 { .. } => return Ok(None),
        }
    }
    made.array(rows).map(Some)
}

/// What has its length before it, and the rest.
fn with_length(page: &[u8]) -> Result<(&[u8], &[u8])> {
    let cut = || wrong("a page is cut");
    let (length, rest) = page.split_first_chunk::<4>().ok_or_else(cut)?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(cut)
}

struct Made {
    width: usize,
    keys: Vec<u32>,
    /// Whether each row has a value; empty as long as all have.
    there: Vec<bool>,
    values: Vec<u8>,
}

impl Made {
    fn page(
        &mut self,
        packed_levels: &[u8],
        page: &[u8],
        rows: usize,
        encoding: Encoding,
        nullable: bool,
    ) -> Result<()> {
        let mut levels = Vec::new();
        if nullable {
            hybrid(packed_levels, 1, rows, &mut levels)?;
        }
        let values =
            if nullable { levels.iter().filter(|level| **level == 1).count() } else { rows };
        let before = self.keys.len();
        let mut numbers = Vec::with_capacity(values);
        match encoding {
            _ if values == 0 => {}
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => {
                let (bits, packed) = page.split_first().ok_or_else(|| wrong("a page is empty"))?;
                hybrid(packed, u32::from(*bits), values, &mut numbers)?;
            }
            Encoding::PLAIN => {
                let first = (self.values.len() / self.width) as u32;
                let own = page.get(..values * self.width).ok_or_else(|| wrong("a page is cut"))?;
                self.values.extend_from_slice(own);
                numbers.extend(first..first + values as u32);
            }
            other => return Err(wrong(&format!("a page of values is encoded as {other}"))),
        }
        if values == rows {
            self.keys.append(&mut numbers);
            if !self.there.is_empty() {
                self.there.resize(before + rows, true);
            }
            return Ok(());
        }
        self.there.resize(before, true);
        let mut numbers = numbers.into_iter();
        for level in levels {
            self.there.push(level == 1);
            self.keys.push(if level == 1 { numbers.next().unwrap_or(0) } else { 0 });
        }
        Ok(())
    }

    fn array(mut self, rows: usize) -> Result<ArrayRef> {
        let values = self.values.len() / self.width;
        let beyond = |key: &u32| *key as usize >= values;
        let all_null = self.there.iter().all(|there| !there) && !self.there.is_empty();
        if self.keys.len() != rows || (!all_null && self.keys.iter().any(beyond)) {
            return Err(wrong("a page says more than its dictionary has"));
        }
        if values == 0 && !self.there.is_empty() {
            // A number must point to something, though nobody looks.
            self.values.resize(self.width, 0);
        }
        let nulls = (!self.there.is_empty()).then(|| NullBuffer::from(self.there));
        let keys: Vec<i32> = self.keys.into_iter().map(u32::cast_signed).collect();
        let keys = Int32Array::new(ScalarBuffer::from(keys), nulls);
        let values =
            FixedSizeBinaryArray::new(self.width as i32, Buffer::from_vec(self.values), None);
        let array = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values));
        Ok(Arc::new(array.map_err(|error| wrong(&error.to_string()))?))
    }
}

/// Numbers of `bits` bits each: runs of one number, and packed groups of eight.
fn hybrid(mut packed: &[u8], bits: u32, count: usize, into: &mut Vec<u32>) -> Result<()> {
    let cut = || wrong("a run is cut");
    if bits > 32 {
        return Err(wrong("numbers of more than 32 bits"));
    }
    let end = into.len() + count;
    while into.len() < end {
        let mut header = 0_u64;
        for shift in (0..).step_by(7) {
            let (byte, rest) = packed.split_first().ok_or_else(cut)?;
            packed = rest;
            if shift > 28 {
                return Err(wrong("a run is longer than can be"));
            }
            header |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let left = end - into.len();
        let length = (header >> 1) as usize;
        if header & 1 == 0 {
            let bytes = bits.div_ceil(8) as usize;
            let (value, rest) = packed.split_at_checked(bytes).ok_or_else(cut)?;
            packed = rest;
            let value = value.iter().rev().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
            into.extend(std::iter::repeat_n(value, length.min(left)));
            if length == 0 {
                return Err(wrong("a run of nothing"));
            }
            continue;
        }
        let bytes = length * bits as usize;
        // The last group may be cut short in what some writers make.
        let (groups, rest) = packed.split_at(bytes.min(packed.len()));
        packed = rest;
        let wanted = (length * 8).min(left);
        if length == 0 || groups.len() * 8 < wanted * bits as usize {
            return Err(cut());
        }
        unpack(groups, bits, wanted, into);
    }
    Ok(())
}

fn unpack(packed: &[u8], bits: u32, count: usize, into: &mut Vec<u32>) {
    let mask = if bits == 32 { u64::from(u32::MAX) } else { (1 << bits) - 1 };
    let (mut held, mut have) = (0_u64, 0);
    let mut words = packed.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from(u32::from_le_bytes(word))
    });
    into.extend((0..count).map(|_| {
        if have < bits {
            held |= words.next().unwrap_or(0) << have;
            have += 32;
        }
        let value = (held & mask) as u32;
        held >>= bits;
        have -= bits;
        value
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the format's own description: 0 to 7 in 3 bits.
    #[test]
    fn groups_and_runs_are_read() {
        let mut numbers = Vec::new();
        hybrid(&[0b11, 0x88, 0xc6, 0xfa], 3, 8, &mut numbers).expect("good");
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7]);
        numbers.clear();
        hybrid(&[0x0a, 0x05, 0x03, 0x88, 0xc6, 0xfa], 3, 9, &mut numbers).expect("good");
        assert_eq!(numbers, [5, 5, 5, 5, 5, 0, 1, 2, 3]);
        for bits in 1..=32_u32 {
            let wanted: Vec<u32> =
                (0..64_u32).map(|n| n.wrapping_mul(0x9e37_79b9) >> (32 - bits)).collect();
            let mut packed = vec![(8 << 1) | 1];
            let mut all = vec![0_u8; 8 * bits as usize];
            for (index, number) in wanted.iter().enumerate() {
                for bit in (0..bits).filter(|bit| number >> bit & 1 == 1) {
                    let at = index * bits as usize + bit as usize;
                    all[at / 8] |= 1 << (at % 8);
                }
            }
            packed.extend(all);
            let mut numbers = Vec::new();
            hybrid(&packed, bits, 64, &mut numbers).expect("good");
            assert_eq!(numbers, wanted, "{bits} bits");
        }
        for bad in [&[][..], &[0xff], &[0x03], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[0, 0]] {
            assert!(hybrid(bad, 3, 8, &mut Vec::new()).is_err(), "{bad:?}");
        }
    }
}
