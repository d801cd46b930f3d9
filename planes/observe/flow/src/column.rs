//! Columns under construction: values in wire order, and which rows have one.
//!
//! A column is written by runs of rows, and knows by itself which rows it was not written for: a
//! column that no template mentions costs nothing per record, and becomes a null array that shares
//! its zeros with all others.

use std::ops::Range;

use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{FixedSizeBinaryArray, PrimitiveArray};
use arrow_buffer::{ArrowNativeType, BooleanBufferBuilder, Buffer, NullBuffer, ScalarBuffer};

/// The widest value in bytes.
const WIDEST: usize = 16;

/// One column. Rows are only ever appended; the first value of a row stays.
#[derive(Debug)]
pub(crate) struct Column<T> {
    values: Vec<T>,
    /// Rows with a value, ascending, not touching each other; the last of them is `run`.
    runs: Vec<Range<u32>>,
    run: Range<u32>,
    /// Room to make when the first value comes.
    capacity: usize,
}

impl<T: Copy + Default> Column<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { values: Vec::new(), runs: Vec::new(), run: 0..0, capacity }
    }

    /// Writes the rows from `start` on. Rows that have a value keep it: then nothing is written.
    #[inline]
    pub(crate) fn extend(&mut self, start: usize, values: impl Iterator<Item = T>) {
        if self.open(start) {
            self.values.extend(values);
            self.close(start);
        }
    }

    /// Writes `n` rows from `start` on with the same value.
    #[inline]
    pub(crate) fn fill(&mut self, start: usize, n: usize, value: T) {
        if self.open(start) {
            self.values.resize(start + n, value);
            self.close(start);
        }
    }

    /// Writes one row.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, value: T) {
        // Most columns that a packet has were written for the packet before it: this much is
        // inlined everywhere, the rest is not.
        let next = self.values.len();
        if next == row && self.run.end as usize == next && next < self.values.capacity() {
            self.values.push(value);
            self.run.end += 1;
        } else {
            self.set_after_a_gap(row, value);
        }
    }

    #[inline(never)]
    fn set_after_a_gap(&mut self, row: usize, value: T) {
        if self.open(row) {
            self.values.push(value);
            self.close(row);
        }
    }

    /// Writes one row if there is a value.
    #[inline]
    pub(crate) fn set_some(&mut self, row: usize, value: Option<T>) {
        if let Some(value) = value {
            self.set(row, value);
        }
    }

    /// Writes the rows from `start` on anew, whatever was written of them.
    pub(crate) fn rewrite(&mut self, start: usize, values: &[Option<T>]) {
        self.values.truncate(start);
        let end = start as u32;
        while self.run.end > end && !self.run.is_empty() {
            if self.run.start < end {
                self.run.end = end;
            } else {
                self.run = self.runs.pop().unwrap_or_default();
            }
        }
        for (row, value) in (start..).zip(values) {
            self.set_some(row, *value);
        }
    }

    /// The values from `start` on, as far as they were written.
    #[inline]
    pub(crate) fn since_mut(&mut self, start: usize) -> &mut [T] {
        self.values.get_mut(start..).unwrap_or_default()
    }

    /// The values from `start` on, as far as they were written.
    #[inline]
    pub(crate) fn since(&self, start: usize) -> &[T] {
        self.values.get(start..).unwrap_or_default()
    }

    /// The value of a row; `None` where it was not written.
    pub(crate) fn at(&self, row: usize) -> Option<T> {
        let index = u32::try_from(row).ok()?;
        // Rows are looked up soon after they were written.
        let mut runs = std::iter::once(&self.run).chain(self.runs.iter().rev());
        let run = runs.find(|run| run.start <= index)?;
        if index < run.end { self.values.get(row).copied() } else { None }
    }

    /// Makes the rows before `start` null if they are not written yet.
    #[inline]
    fn open(&mut self, start: usize) -> bool {
        let have = self.values.len();
        if have == start && have != 0 {
            return true;
        }
        if have > start {
            return false;
        }
        self.pad(start);
        true
    }

    #[cold]
    fn pad(&mut self, start: usize) {
        if self.values.capacity() == 0 {
            self.values.reserve_exact(self.capacity.max(start + 1));
        }
        self.values.resize(start, T::default());
    }

    #[inline]
    fn close(&mut self, start: usize) {
        let (from, to) = (start as u32, self.values.len() as u32);
        if self.run.end == from {
            self.run.end = to;
        } else if from < to {
            let last = std::mem::replace(&mut self.run, from..to);
            if !last.is_empty() {
                self.runs.push(last);
            }
        }
    }

    /// Which of `rows` have a value; `None` if all do.
    pub(crate) fn nulls(&self, rows: usize, spare: &Spare) -> Option<NullBuffer> {
        match self.runs.as_slice() {
            [] if self.run.is_empty() => Some(spare.nulls.slice(0, rows)),
            [] if self.run.start == 0 && self.run.end as usize == rows => None,
            runs => {
                let mut bits = BooleanBufferBuilder::new(rows);
                for run in runs.iter().chain([&self.run]) {
                    bits.append_n((run.start as usize).saturating_sub(bits.len()), false);
                    bits.append_n(run.len(), true);
                }
                bits.append_n(rows.saturating_sub(bits.len()), false);
                Some(NullBuffer::new(bits.finish()))
            }
        }
    }

    /// The values with zeros for the rows that have none; `None` if no row has one.
    pub(crate) fn take(&mut self, rows: usize) -> Option<Vec<T>> {
        let untouched = self.run.is_empty();
        self.run = 0..0;
        self.runs.clear();
        let mut values = std::mem::take(&mut self.values);
        if untouched {
            return None;
        }
        values.resize(rows, T::default());
        Some(values)
    }
}

impl<T: ArrowNativeType + Default> Column<T> {
    /// The column as an array of `rows` rows; the column is empty afterwards.
    pub(crate) fn finish<A>(&mut self, rows: usize, spare: &Spare) -> PrimitiveArray<A>
    where
        A: ArrowPrimitiveType<Native = T>,
    {
        let nulls = self.nulls(rows, spare);
        let values = self.take(rows);
        PrimitiveArray::new(spare.scalars(values, rows), nulls)
    }
}

impl<const N: usize> Column<[u8; N]>
where
    [u8; N]: Default,
{
    /// The column as an array of `rows` rows; the column is empty afterwards.
    pub(crate) fn finish_fixed(&mut self, rows: usize, spare: &Spare) -> FixedSizeBinaryArray {
        let nulls = self.nulls(rows, spare);
        let bytes = match self.take(rows) {
            Some(values) => Buffer::from_vec(values.into_flattened()),
            None => spare.zeros.slice_with_length(0, rows * N),
        };
        // N is 6 or 16.
        FixedSizeBinaryArray::new(N as i32, bytes, nulls)
    }
}

/// Zeros and null bitmaps that all columns share.
#[derive(Debug, Clone)]
pub(crate) struct Spare {
    zeros: Buffer,
    nulls: NullBuffer,
}

impl Spare {
    /// For batches of up to `rows` rows.
    pub(crate) fn new(rows: usize) -> Self {
        Self {
            zeros: Buffer::from_vec(vec![0_u128; (rows * WIDEST).div_ceil(16)]),
            nulls: NullBuffer::new_null(rows),
        }
    }

    /// `values`, or zeros where there are none.
    pub(crate) fn scalars<T: ArrowNativeType>(
        &self,
        values: Option<Vec<T>>,
        rows: usize,
    ) -> ScalarBuffer<T> {
        match values {
            Some(values) => ScalarBuffer::from(values),
            None => ScalarBuffer::new(self.zeros.clone(), 0, rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::types::UInt32Type;

    use super::*;

    #[test]
    fn rows_that_were_not_written_are_null() {
        let spare = Spare::new(8);
        let mut column = Column::<u32>::new(8);
        column.extend(2, [7, 8].into_iter());
        column.set(4, 9);
        column.fill(6, 1, 5);
        let array = column.finish::<UInt32Type>(8, &spare);
        let seen: Vec<Option<u32>> = array.iter().collect();
        assert_eq!(seen, [None, None, Some(7), Some(8), Some(9), None, Some(5), None]);
    }

    #[test]
    fn the_first_value_of_a_row_stays() {
        let spare = Spare::new(2);
        let mut column = Column::<u32>::new(2);
        column.set(0, 1);
        column.set(0, 2);
        assert_eq!(column.at(0), Some(1));
        assert_eq!(column.at(1), None);
        let array = column.finish::<UInt32Type>(1, &spare);
        assert_eq!((array.len(), array.value(0), array.null_count()), (1, 1, 0));
    }

    #[test]
    fn untouched_columns_are_null_and_share_their_zeros() {
        let spare = Spare::new(4);
        let mut one = Column::<u32>::new(4);
        let mut other = Column::<[u8; 16]>::new(4);
        assert_eq!(one.finish::<UInt32Type>(3, &spare).null_count(), 3);
        assert_eq!(other.finish_fixed(4, &spare).null_count(), 4);
    }
}
