//! Tables: a name, an Arrow schema, and which column says when.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use holm_model::Millis;

/// The time column of tables that are made of rows.
pub const TIME: &str = "time";
/// What a row says beyond its table's columns: a JSON object, null where there is nothing more.
pub const ATTRIBUTES: &str = "attributes";
/// The column that says which site has the row. It is not stored: every site adds its own name.
pub const SITE: &str = "site";
const MAX_NAME_BYTES: usize = 64;

/// What a column of rows holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A measured number.
    Float,
    /// A whole number.
    Int,
    /// Text.
    Text,
}

impl Kind {
    const fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Float => DataType::Float64,
            Self::Int => DataType::Int64,
            Self::Text => DataType::Utf8,
        }
    }
}

/// Why a table cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The name would not do as a folder's or in SQL.
    #[error("table \"{0}\": a name has 1 to 64 of a-z, 0-9 and _, a letter first")]
    Name(String),
    /// There is no column of that name that holds times.
    #[error("table {table}: column {column} is not a column of timestamps without nulls")]
    Time {
        /// The table.
        table: String,
        /// The column that should say when.
        column: String,
    },
    /// `site` is added when a table is asked.
    #[error("table {0}: no column may be called site, every site adds its own")]
    Site(String),
}

/// A table that planes write and questions read.
#[derive(Clone, PartialEq)]
pub struct Table {
    name: Box<str>,
    schema: SchemaRef,
    time: usize,
    of_rows: bool,
    bloom: Vec<Box<str>>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({}, {} columns)", self.name, self.schema.fields().len())
    }
}

impl Table {
    /// A table of record batches.
    ///
    /// # Errors
    /// [`TableError`]
    pub fn new(name: &str, schema: SchemaRef, time_column: &str) -> Result<Self, TableError> {
        let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        let first = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        if !first || name.len() > MAX_NAME_BYTES || !name.bytes().all(good) {
            return Err(TableError::Name(name.to_owned()));
        }
        if schema.column_with_name(SITE).is_some() {
            return Err(TableError::Site(name.to_owned()));
        }
        let time = schema.column_with_name(time_column).filter(|(_, field)| {
            matches!(field.data_type(), DataType::Timestamp(..)) && !field.is_nullable()
        });
        let (time, _) = time.ok_or_else(|| TableError::Time {
            table: name.to_owned(),
            column: time_column.to_owned(),
        })?;
        Ok(Self { name: name.into(), schema, time, of_rows: false, bloom: Vec::new() })
    }

    /// A table of [`holm_model::Row`]s with these columns. Its time column is [`TIME`], and what a row
    /// has beyond them is kept in [`ATTRIBUTES`].
    ///
    /// # Errors
    /// [`TableError`]
    pub fn of_rows(name: &str, columns: &[(&str, Kind)]) -> Result<Self, TableError> {
        let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let mut fields = vec![Field::new(TIME, time, false)];
        fields.extend(columns.iter().map(|(name, kind)| Field::new(*name, kind.data_type(), true)));
        fields.push(Field::new(ATTRIBUTES, DataType::Utf8, true));
        let table = Self::new(name, Arc::new(Schema::new(fields)), TIME)?;
        Ok(Self { of_rows: true, ..table })
    }

    /// The table of files that were found: one that rows made by themselves, or whose plane is gone.
    pub(crate) fn found(name: &str, schema: &SchemaRef) -> Option<Self> {
        let first = schema.fields().first()?.name();
        let last = schema.fields().last()?;
        let of_rows = first == TIME && last.name() == ATTRIBUTES;
        let table = Self::new(name, Arc::clone(schema), first).ok()?;
        of_rows.then_some(Self { of_rows, ..table })
    }

    /// The table, with bloom filters for columns that are asked for single values of many.
    #[must_use]
    pub fn with_bloom_filters(mut self, columns: &[&str]) -> Self {
        self.bloom = columns.iter().map(|column| (*column).into()).collect();
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its columns, without [`SITE`].
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The column that says when.
    pub fn time_column(&self) -> &str {
        self.schema.field(self.time).name()
    }

    /// Whether it takes [`holm_model::Row`]s.
    pub const fn takes_rows(&self) -> bool {
        self.of_rows
    }

    /// The columns with bloom filters.
    pub fn bloom_columns(&self) -> impl Iterator<Item = &str> {
        self.bloom.iter().map(AsRef::as_ref)
    }

    /// When each row of a batch of this table happened; a time before 1970 is 1970.
    pub(crate) fn times(&self, batch: &RecordBatch) -> Vec<Millis> {
        let column = batch.column(self.time);
        let millis = |ms: i64| Millis(ms.max(0).cast_unsigned());
        let DataType::Timestamp(unit, _) = column.data_type() else {
            return vec![Millis(0); batch.num_rows()];
        };
        match unit {
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
        }
    }
}

/// About how many bytes a batch has in memory. What its columns share with other batches is counted
/// in each of them.
pub(crate) fn weight(batch: &RecordBatch) -> usize {
    batch
        .columns()
        .iter()
        .filter(|column| column.null_count() < column.len())
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_is_wrong_with_it() {
        for name in ["", "Flows", "1st", "a/b", "..", "a b", &"a".repeat(65)] {
            assert_eq!(Table::of_rows(name, &[]), Err(TableError::Name(name.to_owned())));
        }
        assert_eq!(
            Table::of_rows("t", &[("site", Kind::Text)]),
            Err(TableError::Site("t".to_owned()))
        );
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        assert!(matches!(Table::new("t", schema, "n"), Err(TableError::Time { .. })));
    }
}
