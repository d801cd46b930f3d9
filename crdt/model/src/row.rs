//! What happened, in volume: rows stay at the site that saw them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Millis;

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A measured number; its unit stands in the column's name.
    Float(f64),
    /// Text.
    Text(Box<str>),
}

/// One row of a plane's table. An absent column was not measured; that is not zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The table, `plane_what`, such as `host_connections` or `active_results`.
    pub table: Cow<'static, str>,
    /// When it happened.
    pub at: Millis,
    /// Columns by name: OTel semantic conventions, or our own with the unit last.
    pub columns: BTreeMap<Cow<'static, str>, Value>,
}

impl Row {
    /// A row of `table` without columns.
    pub fn new(table: &'static str, at: Millis) -> Self {
        Self { table: Cow::Borrowed(table), at, columns: BTreeMap::new() }
    }

    /// The row with `value` in `column`.
    #[must_use]
    pub fn with(mut self, column: &'static str, value: impl Into<Value>) -> Self {
        self.columns.insert(Cow::Borrowed(column), value.into());
        self
    }

    /// The row with `value` in `column`, where there is one.
    #[must_use]
    pub fn with_some(self, column: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(column, value),
            None => self,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Value {
    /// Values above `i64::MAX` saturate: no counter of one row reaches them.
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u16> for Value {
    fn from(value: u16) -> Self {
        Self::Int(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}
