//! Groups and their values, as one thread makes them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, UInt64Array};
use arrow::compute::{cast, filter};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use datafusion::common::Result;
use hashbrown::HashMap;

use super::names::Names;

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
        let combined = self.combined.allocation_size() + self.combinations.capacity() * 16;
        names + combined + self.len() * 9 * self.values.len()
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
    // A sum of whole numbers begins with nothing: no row of a group is its first.
    macro_rules! sums {
        ($kind:ty, $held:expr, $seen:expr, $add:expr) => {{
            let Some(column) = &column else { return Ok(()) };
            let values = column.as_primitive::<$kind>().values();
            for (row, (group, value)) in rows.iter().zip(values.iter()).enumerate() {
                if all || there(row) {
                    let group = *group as usize;
                    $seen[group] = true;
                    $held[group] = $add($held[group], *value);
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
            sums!(UInt64Type, held, seen, u64::saturating_add)
        }
        (Held::Unsigned(held, seen), Function::Min(_)) => each!(UInt64Type, held, seen, Ord::min),
        (Held::Unsigned(held, seen), _) => each!(UInt64Type, held, seen, Ord::max),
        (Held::Signed(held, seen), Function::Sum(_)) => {
            sums!(Int64Type, held, seen, i64::saturating_add)
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
