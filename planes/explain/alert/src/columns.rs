//! The columns of a chunk of rows, as conditions and groups look at them: each is prepared once, when somebody
//! asks for it first.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use hashbrown::HashMap;

use crate::bits::Bits;

/// How values of a column are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    Text,
    Number,
    Flag,
}

impl Looked {
    /// How values of a type are looked at; `None` if they are not.
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Flag,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::FixedSizeBinary(_) => Self::Text,
            DataType::Dictionary(_, inner) => return Self::of(inner).filter(|l| *l == Self::Text),
            other if is_number(other) => Self::Number,
            _ => return None,
        })
    }

    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "numbers",
            Self::Flag => "true or false",
        }
    }
}

const fn is_number(data_type: &DataType) -> bool {
    use DataType::{Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    matches!(
        data_type,
        Float32 | Float64 | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64
    )
}

/// Texts by number, and the rows of each.
#[derive(Debug, Default)]
pub(crate) struct Coded {
    /// The number of each row's text; [`Self::NONE`] without one.
    pub(crate) codes: Vec<u32>,
    pub(crate) texts: Vec<Box<str>>,
    known: HashMap<Box<str>, u32>,
    /// The rows of text `n` are `rows[starts[n]..starts[n + 1]]`.
    starts: Vec<u32>,
    rows: Vec<u16>,
}

impl Coded {
    pub(crate) const NONE: u32 = u32::MAX;

    fn of(rows: usize, text: impl Fn(usize) -> Option<String>) -> Self {
        let mut coded = Self { codes: Vec::with_capacity(rows), ..Self::default() };
        for row in 0..rows {
            let code = text(row).map_or(Self::NONE, |text| coded.code(&text));
            coded.codes.push(code);
        }
        coded.sort_rows();
        coded
    }

    fn code(&mut self, text: &str) -> u32 {
        if let Some(code) = self.known.get(text) {
            return *code;
        }
        // A chunk has few rows.
        let code = self.texts.len() as u32;
        self.texts.push(text.into());
        self.known.insert(text.into(), code);
        code
    }

    fn sort_rows(&mut self) {
        let mut counts = vec![0_u32; self.texts.len() + 1];
        for code in self.codes.iter().filter(|code| **code != Self::NONE) {
            counts[*code as usize + 1] += 1;
        }
        for n in 1..counts.len() {
            counts[n] += counts[n - 1];
        }
        let mut next = counts.clone();
        self.rows = vec![0; *counts.last().unwrap_or(&0) as usize];
        for (row, code) in self.codes.iter().enumerate().filter(|(_, code)| **code != Self::NONE) {
            let place = &mut next[*code as usize];
            self.rows[*place as usize] = row as u16;
            *place += 1;
        }
        self.starts = counts;
    }

    fn take_rows(&self, code: u32, bits: &mut Bits) {
        let (from, to) = (self.starts[code as usize], self.starts[code as usize + 1]);
        self.rows[from as usize..to as usize].iter().for_each(|row| bits.set(usize::from(*row)));
    }

    /// The rows with this text.
    pub(crate) fn equal(&self, text: &str, bits: &mut Bits) {
        if let Some(code) = self.known.get(text) {
            self.take_rows(*code, bits);
        }
    }

    /// The rows with a text like this.
    pub(crate) fn like(&self, right: impl Fn(&str) -> bool, bits: &mut Bits) {
        for (code, text) in (0..).zip(&self.texts) {
            if right(text) {
                self.take_rows(code, bits);
            }
        }
    }
}

/// Numbers, and which rows have one.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) values: Vec<f64>,
    pub(crate) valid: Bits,
}

/// True, and false; rows in neither have no value.
#[derive(Debug)]
pub(crate) struct Flags {
    pub(crate) yes: Bits,
    pub(crate) no: Bits,
}

#[derive(Debug, Default)]
struct Prepared {
    coded: Option<Coded>,
    valid: Option<Bits>,
    numbers: Option<Numbers>,
    flags: Option<Flags>,
}

/// Up to [`crate::bits::CHUNK`] rows.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) rows: usize,
    arrays: Vec<Option<ArrayRef>>,
    prepared: Vec<Prepared>,
}

impl Chunk {
    /// Rows of a batch, with its columns of those names.
    pub(crate) fn new(batch: &RecordBatch, from: usize, rows: usize, columns: &[Box<str>]) -> Self {
        let arrays = columns.iter().map(|name| {
            let column = batch.column_by_name(name)?;
            Some(column.slice(from, rows))
        });
        let arrays: Vec<Option<ArrayRef>> = arrays.collect();
        let prepared = arrays.iter().map(|_| Prepared::default()).collect();
        Self { rows, arrays, prepared }
    }

    /// A column as texts, whatever it is; for groups.
    pub(crate) fn coded(&mut self, column: usize) -> &Coded {
        let rows = self.rows;
        let array = &self.arrays[column];
        self.prepared[column].coded.get_or_insert_with(|| match array {
            Some(array) => coded(array),
            None => Coded::of(rows, |_| None),
        })
    }

    /// The rows that have a value in a column of texts, with the column.
    pub(crate) fn texts(&mut self, column: usize) -> (&Coded, &Bits) {
        self.coded(column);
        let prepared = &mut self.prepared[column];
        let coded = prepared.coded.get_or_insert_default();
        let valid = prepared.valid.get_or_insert_with(|| {
            let mut valid = Bits::NONE;
            let with = coded.codes.iter().enumerate().filter(|(_, code)| **code != Coded::NONE);
            with.for_each(|(row, _)| valid.set(row));
            valid
        });
        (coded, valid)
    }

    /// A column as numbers; without any if it has none.
    pub(crate) fn numbers(&mut self, column: usize) -> &Numbers {
        let rows = self.rows;
        let array = &self.arrays[column];
        self.prepared[column].numbers.get_or_insert_with(|| {
            let found = array.as_ref().and_then(numbers);
            found.unwrap_or_else(|| Numbers { values: vec![0.0; rows], valid: Bits::NONE })
        })
    }

    /// A column as true or false; without any if it has none.
    pub(crate) fn flags(&mut self, column: usize) -> &Flags {
        let array = &self.arrays[column];
        self.prepared[column].flags.get_or_insert_with(|| {
            let (mut yes, mut no) = (Bits::NONE, Bits::NONE);
            if let Some(array) = array.as_ref().and_then(|array| array.as_boolean_opt()) {
                for (row, flag) in array.iter().enumerate() {
                    match flag {
                        Some(true) => yes.set(row),
                        Some(false) => no.set(row),
                        None => {}
                    }
                }
            }
            Flags { yes, no }
        })
    }

    /// The rows that have a value in a column.
    pub(crate) fn valid(&self, column: usize) -> Bits {
        let mut valid = Bits::NONE;
        if let Some(array) = &self.arrays[column] {
            let with = (0..self.rows).filter(|row| !is_null(array, *row));
            with.for_each(|row| valid.set(row));
        }
        valid
    }
}

fn is_null(array: &ArrayRef, row: usize) -> bool {
    match array.as_any_dictionary_opt() {
        Some(dictionary) if !array.is_null(row) => {
            let key = dictionary.normalized_keys().get(row).copied().unwrap_or_default();
            dictionary.values().is_null(key)
        }
        _ => array.is_null(row),
    }
}

fn coded(array: &ArrayRef) -> Coded {
    if let Some(texts) = array.as_string_opt::<i32>() {
        let mut coded = Coded { codes: Vec::with_capacity(texts.len()), ..Coded::default() };
        for text in texts {
            let code = text.map_or(Coded::NONE, |text| coded.code(text));
            coded.codes.push(code);
        }
        coded.sort_rows();
        return coded;
    }
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        let (keys, values) = (dictionary.normalized_keys(), dictionary.values());
        let texts: Vec<Option<String>> = (0..values.len()).map(|n| text(values, n)).collect();
        let of = |row: usize| texts.get(*keys.get(row)?).cloned().flatten();
        return Coded::of(array.len(), |row| (!array.is_null(row)).then(|| of(row)).flatten());
    }
    Coded::of(array.len(), |row| text(array, row))
}

/// A value as text, as questions in SQL show it.
fn text(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::FixedSizeBinary(_) => text_of_bytes(array.as_fixed_size_binary().value(row)),
        other if is_number(other) => number(array, row)?.to_string(),
        _ => return None,
    })
}

/// 16 bytes are an address (IPv4 mapped), 6 a MAC address, others hexadecimal.
fn text_of_bytes(bytes: &[u8]) -> String {
    if let Ok(address) = <[u8; 16]>::try_from(bytes) {
        let address = std::net::Ipv6Addr::from(address);
        return address.to_ipv4_mapped().map_or_else(|| address.to_string(), |v4| v4.to_string());
    }
    let separator = if bytes.len() == 6 { ":" } else { "" };
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.join(separator)
}

macro_rules! each_number {
    ($array:expr, $with:ident) => {
        match $array.data_type() {
            DataType::Int8 => $with!(Int8Type),
            DataType::Int16 => $with!(Int16Type),
            DataType::Int32 => $with!(Int32Type),
            DataType::Int64 => $with!(Int64Type),
            DataType::UInt8 => $with!(UInt8Type),
            DataType::UInt16 => $with!(UInt16Type),
            DataType::UInt32 => $with!(UInt32Type),
            DataType::UInt64 => $with!(UInt64Type),
            DataType::Float32 => $with!(Float32Type),
            DataType::Float64 => $with!(Float64Type),
            _ => None,
        }
    };
}

fn number(array: &ArrayRef, row: usize) -> Option<f64> {
    macro_rules! one {
        ($of:ty) => {
            Some(array.as_primitive::<$of>().value(row) as f64)
        };
    }
    each_number!(array, one)
}

fn numbers(array: &ArrayRef) -> Option<Numbers> {
    macro_rules! all {
        ($of:ty) => {
            Some(array.as_primitive::<$of>().values().iter().map(|n| *n as f64).collect())
        };
    }
    let values: Vec<f64> = each_number!(array, all)?;
    let mut valid = Bits::all(values.len());
    let mut none = Bits::NONE;
    let numbers = values.iter().enumerate();
    numbers.filter(|(row, n)| array.is_null(*row) || n.is_nan()).for_each(|(row, _)| none.set(row));
    valid.without(&none);
    Some(Numbers { values, valid })
}

/// When each row happened, in milliseconds since 1970; a time before that is 1970. `None` if the column does not
/// hold times.
pub(crate) fn times(column: &ArrayRef) -> Option<Vec<u64>> {
    let millis = |ms: i64| ms.max(0).cast_unsigned();
    let DataType::Timestamp(unit, _) = column.data_type() else { return None };
    Some(match unit {
        TimeUnit::Nanosecond => {
            let times = column.as_primitive::<TimestampNanosecondType>().values();
            times.iter().map(|ns| millis(ns.div_euclid(1_000_000))).collect()
        }
        TimeUnit::Microsecond => {
            let times = column.as_primitive::<TimestampMicrosecondType>().values();
            times.iter().map(|us| millis(us.div_euclid(1_000))).collect()
        }
        TimeUnit::Millisecond => {
            let times = column.as_primitive::<TimestampMillisecondType>().values();
            times.iter().map(|ms| millis(*ms)).collect()
        }
        TimeUnit::Second => {
            let times = column.as_primitive::<TimestampSecondType>().values();
            times.iter().map(|s| millis(s.saturating_mul(1_000))).collect()
        }
    })
}
