//! Groups and their values, as one thread makes them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryBuilder, Float64Array, Int64Array,
    StringBuilder, UInt64Array,
};
use arrow::compute::{cast, filter};
use arrow::datatypes::{
    ArrowDictionaryKeyType, DataType, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::common::{Result, exec_err};

use super::plain;

/// Whether groups can be made by values of that type.
pub(super) fn is_key(data_type: &DataType) -> bool {
    let plain = plain(data_type);
    is_number(plain) || matches!(plain, DataType::FixedSizeBinary(_) | DataType::Utf8)
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Timestamp(..))
}

/// What is computed for each group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Rows,
    Count,
    Sum(Number),
    Min(Number),
    Max(Number),
}

/// How a number is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Unsigned,
    Signed,
    Float,
}

impl Number {
    fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            other if other.is_unsigned_integer() => Some(Self::Unsigned),
            other if other.is_signed_integer() => Some(Self::Signed),
            DataType::Float32 | DataType::Float64 => Some(Self::Float),
            _ => None,
        }
    }

    const fn held_as(self) -> DataType {
        match self {
            Self::Unsigned => DataType::UInt64,
            Self::Signed => DataType::Int64,
            Self::Float => DataType::Float64,
        }
    }
}

impl Function {
    /// A function of DataFusion's of values of that type.
    pub(super) fn named(name: &str, data_type: &DataType) -> Option<Self> {
        let number = Number::of(data_type)?;
        match name {
            "sum" => Some(Self::Sum(number)),
            "min" => Some(Self::Min(number)),
            "max" => Some(Self::Max(number)),
            _ => None,
        }
    }

    /// The type of its values.
    pub(super) const fn gives(self) -> DataType {
        match self {
            Self::Rows | Self::Count => DataType::Int64,
            Self::Sum(number) | Self::Min(number) | Self::Max(number) => number.held_as(),
        }
    }
}

/// Gives each value of a column a small number; 0 is null.
struct Names {
    kind: DataType,
    bytes: HashMap<Box<[u8]>, u32>,
    numbers: HashMap<u64, u32>,
    /// Values by number, from 1 on.
    in_order: Vec<Box<[u8]>>,
    numbers_in_order: Vec<u64>,
    /// The dictionary that came last, and the numbers of its values.
    last: Option<ArrayRef>,
    of_last: Vec<u32>,
}

impl Names {
    fn new(kind: &DataType) -> Self {
        Self {
            kind: kind.clone(),
            bytes: HashMap::new(),
            numbers: HashMap::new(),
            in_order: Vec::new(),
            numbers_in_order: Vec::new(),
            last: None,
            of_last: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.in_order.len().max(self.numbers_in_order.len()) + 1
    }

    fn size(&self) -> usize {
        let bytes: usize = self.in_order.first().map_or(0, |first| first.len() + 64);
        self.in_order.len() * (2 * bytes + 32)
            + self.numbers_in_order.len() * 40
            + self.of_last.len() * 4
    }

    fn of_bytes(&mut self, value: &[u8]) -> u32 {
        if let Some(known) = self.bytes.get(value) {
            return *known;
        }
        self.in_order.push(value.into());
        let number = self.in_order.len() as u32;
        self.bytes.insert(value.into(), number);
        number
    }

    fn of_number(&mut self, value: u64) -> u32 {
        match self.numbers.entry(value) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                self.numbers_in_order.push(value);
                *new.insert(self.numbers_in_order.len() as u32)
            }
        }
    }

    /// The number of each row's value.
    fn of(&mut self, column: &ArrayRef, into: &mut Vec<u32>) -> Result<()> {
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
            let mut numbers = Vec::new();
            self.of_plain(values, &mut numbers)?;
            self.of_last = numbers;
            self.last = Some(Arc::clone(values));
        }
        let keys = column.keys();
        let number = |key: K::Native| {
            let key: usize = arrow::datatypes::ArrowNativeType::as_usize(key);
            self.of_last.get(key).copied().unwrap_or(0)
        };
        if keys.null_count() == 0 {
            into.extend(keys.values().iter().map(|key| number(*key)));
        } else {
            into.extend(keys.iter().map(|key| key.map_or(0, number)));
        }
        Ok(())
    }

    fn of_plain(&mut self, column: &ArrayRef, into: &mut Vec<u32>) -> Result<()> {
        match column.data_type() {
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

    /// The values of these numbers, as a column of the key's type.
    fn values(&self, numbers: &[u32]) -> Result<ArrayRef> {
        let bytes = |number: &u32| self.in_order.get((*number as usize).wrapping_sub(1));
        let plain_type = plain(&self.kind);
        let values: ArrayRef = match plain_type {
            DataType::FixedSizeBinary(size) => {
                let mut builder = FixedSizeBinaryBuilder::with_capacity(numbers.len(), *size);
                for number in numbers {
                    match bytes(number) {
                        Some(bytes) => builder.append_value(bytes)?,
                        None => builder.append_null(),
                    }
                }
                Arc::new(builder.finish())
            }
            DataType::Utf8 => {
                let mut builder = StringBuilder::new();
                for number in numbers {
                    let text = bytes(number).map(|bytes| std::str::from_utf8(bytes));
                    builder.append_option(text.and_then(|text| text.ok()));
                }
                Arc::new(builder.finish())
            }
            other => {
                let number =
                    |n: &u32| self.numbers_in_order.get((*n as usize).wrapping_sub(1)).copied();
                let numbers = numbers.iter().map(number);
                if *other == DataType::UInt64 {
                    Arc::new(numbers.collect::<UInt64Array>())
                } else {
                    let numbers = numbers.map(|n| n.map(u64::cast_signed));
                    Arc::new(numbers.collect::<Int64Array>())
                }
            }
        };
        Ok(if values.data_type() == &self.kind { values } else { cast(&values, &self.kind)? })
    }
}

/// The values of one function, by group.
enum Held {
    Counts(Vec<i64>),
    Unsigned(Vec<u64>, Vec<bool>),
    Signed(Vec<i64>, Vec<bool>),
    Float(Vec<f64>, Vec<bool>),
}

impl Held {
    fn of(function: Function) -> Self {
        match function.gives() {
            _ if matches!(function, Function::Rows | Function::Count) => Self::Counts(Vec::new()),
            DataType::UInt64 => Self::Unsigned(Vec::new(), Vec::new()),
            DataType::Int64 => Self::Signed(Vec::new(), Vec::new()),
            _ => Self::Float(Vec::new(), Vec::new()),
        }
    }

    fn reach(&mut self, groups: usize) {
        match self {
            Self::Counts(counts) => counts.resize(groups, 0),
            Self::Unsigned(values, seen) => {
                values.resize(groups, 0);
                seen.resize(groups, false);
            }
            Self::Signed(values, seen) => {
                values.resize(groups, 0);
                seen.resize(groups, false);
            }
            Self::Float(values, seen) => {
                values.resize(groups, 0.0);
                seen.resize(groups, false);
            }
        }
    }

    fn array(self) -> ArrayRef {
        fn seen<T>(values: Vec<T>, seen: Vec<bool>) -> impl Iterator<Item = Option<T>> {
            values.into_iter().zip(seen).map(|(value, seen)| seen.then_some(value))
        }
        match self {
            Self::Counts(counts) => Arc::new(Int64Array::from(counts)),
            Self::Unsigned(values, s) => Arc::new(seen(values, s).collect::<UInt64Array>()),
            Self::Signed(values, s) => Arc::new(seen(values, s).collect::<Int64Array>()),
            Self::Float(values, s) => Arc::new(seen(values, s).collect::<Float64Array>()),
        }
    }
}

/// All groups of a thread.
pub(super) struct Groups {
    names: Vec<Names>,
    /// With several keys: the group of each combination.
    combined: HashMap<u128, u32>,
    combinations: Vec<u128>,
    values: Vec<(Function, Held)>,
    codes: Vec<Vec<u32>>,
    rows: Vec<u32>,
    /// With one key: the numbers that rows have. A dictionary has others too.
    alive: Vec<bool>,
}

impl Groups {
    pub(super) fn new(keys: &[DataType], functions: impl Iterator<Item = Function>) -> Self {
        Self {
            names: keys.iter().map(Names::new).collect(),
            combined: HashMap::new(),
            combinations: Vec::new(),
            values: functions.map(|function| (function, Held::of(function))).collect(),
            codes: vec![Vec::new(); keys.len()],
            rows: Vec::new(),
            alive: Vec::new(),
        }
    }

    /// How many groups there are, at most.
    pub(super) fn len(&self) -> usize {
        match self.names.as_slice() {
            [only] => only.len(),
            _ => self.combinations.len(),
        }
    }

    /// Bytes of memory, about.
    pub(super) fn size(&self) -> usize {
        let names: usize = self.names.iter().map(Names::size).sum();
        names + self.combinations.len() * 64 + self.len() * 9 * self.values.len()
    }

    /// Adds rows: their keys, and of each value the column and which rows count, where not all do.
    pub(super) fn add(
        &mut self,
        keys: &[ArrayRef],
        values: &[(Option<ArrayRef>, Option<BooleanArray>)],
    ) -> Result<()> {
        for ((names, column), codes) in self.names.iter_mut().zip(keys).zip(&mut self.codes) {
            names.of(column, codes)?;
        }
        match self.codes.as_mut_slice() {
            [only] => {
                std::mem::swap(&mut self.rows, only);
                self.alive.resize(self.names.first().map_or(0, Names::len), false);
                self.rows.iter().for_each(|number| self.alive[*number as usize] = true);
            }
            codes => {
                self.rows.clear();
                let count = codes.first().map_or(0, Vec::len);
                for row in 0..count {
                    let combination =
                        codes.iter().fold(0_u128, |all, codes| all << 32 | u128::from(codes[row]));
                    let next = self.combinations.len() as u32;
                    let group = *self.combined.entry(combination).or_insert_with(|| {
                        self.combinations.push(combination);
                        next
                    });
                    self.rows.push(group);
                }
            }
        }
        let groups = self.len();
        for ((function, held), (column, counts)) in self.values.iter_mut().zip(values) {
            held.reach(groups);
            take(*function, held, &self.rows, column.as_ref(), counts.as_ref())?;
        }
        Ok(())
    }

    /// The groups as columns.
    pub(super) fn columns(self) -> Result<Vec<ArrayRef>> {
        let groups = self.len();
        let mut columns = Vec::new();
        let several = self.names.len();
        let alive = (several == 1).then(|| BooleanArray::from(self.alive.clone()));
        for (index, names) in self.names.iter().enumerate() {
            let numbers: Vec<u32> = if several == 1 {
                (0..groups as u32).collect()
            } else {
                let shift = 32 * (several - 1 - index);
                self.combinations.iter().map(|c| (c >> shift) as u32).collect()
            };
            columns.push(names.values(&numbers)?);
        }
        for (_, mut held) in self.values {
            held.reach(groups);
            columns.push(held.array());
        }
        let Some(alive) = alive else { return Ok(columns) };
        Ok(columns.iter().map(|column| filter(column, &alive)).collect::<Result<_, _>>()?)
    }
}

fn take(
    function: Function,
    held: &mut Held,
    rows: &[u32],
    column: Option<&ArrayRef>,
    counts: Option<&BooleanArray>,
) -> Result<()> {
    let counted =
        |row: usize| counts.is_none_or(|counts| counts.is_valid(row) && counts.value(row));
    let column = match (column, function) {
        (Some(column), Function::Sum(n) | Function::Min(n) | Function::Max(n)) => {
            Some(cast(column, &n.held_as())?)
        }
        (column, _) => column.map(Arc::clone),
    };
    let nulls = column.as_ref().and_then(|column| column.logical_nulls());
    let there = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) && counted(row);
    let all = nulls.as_ref().is_none_or(|nulls| nulls.null_count() == 0) && counts.is_none();
    macro_rules! each {
        ($kind:ty, $held:expr, $seen:expr, $combine:expr) => {{
            let Some(column) = &column else { return Ok(()) };
            let values = column.as_primitive::<$kind>().values();
            for (row, (group, value)) in rows.iter().zip(values.iter()).enumerate() {
                if all || there(row) {
                    let group = *group as usize;
                    let first = !std::mem::replace(&mut $seen[group], true);
                    let held = &mut $held[group];
                    *held = if first { *value } else { $combine(*held, *value) };
                }
            }
        }};
    }
    match (held, function) {
        (Held::Counts(held), _) => {
            for (row, group) in rows.iter().enumerate() {
                if all || there(row) {
                    held[*group as usize] += 1;
                }
            }
        }
        (Held::Unsigned(held, seen), Function::Sum(_)) => {
            each!(UInt64Type, held, seen, u64::wrapping_add)
        }
        (Held::Unsigned(held, seen), Function::Min(_)) => each!(UInt64Type, held, seen, Ord::min),
        (Held::Unsigned(held, seen), _) => each!(UInt64Type, held, seen, Ord::max),
        (Held::Signed(held, seen), Function::Sum(_)) => {
            each!(Int64Type, held, seen, i64::wrapping_add)
        }
        (Held::Signed(held, seen), Function::Min(_)) => each!(Int64Type, held, seen, Ord::min),
        (Held::Signed(held, seen), _) => each!(Int64Type, held, seen, Ord::max),
        (Held::Float(held, seen), Function::Sum(_)) => {
            each!(Float64Type, held, seen, std::ops::Add::add)
        }
        (Held::Float(held, seen), Function::Min(_)) => {
            // NaN is larger than all, as DataFusion has it.
            each!(Float64Type, held, seen, |a: f64, b: f64| if b.total_cmp(&a).is_lt() {
                b
            } else {
                a
            })
        }
        (Held::Float(held, seen), _) => {
            each!(Float64Type, held, seen, |a: f64, b: f64| if b.total_cmp(&a).is_gt() {
                b
            } else {
                a
            })
        }
    }
    Ok(())
}
