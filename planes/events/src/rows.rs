//! Rows become columns, and columns rows again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch,
    StringBuilder, TimestampMillisecondArray,
};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use holm_model::{Row, Value};

use crate::table::{ATTRIBUTES, Table};

/// One column under construction.
enum Builder {
    Bool(BooleanBuilder),
    Float(Float64Builder),
    Int(Int64Builder),
    Text(StringBuilder),
}

impl Builder {
    fn of(kind: &DataType) -> Self {
        match kind {
            DataType::Boolean => Self::Bool(BooleanBuilder::new()),
            DataType::Float64 => Self::Float(Float64Builder::new()),
            DataType::Int64 => Self::Int(Int64Builder::new()),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    /// Takes the value if it is of the column's kind; a whole number is a measured one too.
    fn take(&mut self, value: &Value) -> bool {
        match (self, value) {
            (Self::Bool(builder), Value::Bool(flag)) => builder.append_value(*flag),
            (Self::Float(builder), Value::Float(number)) => builder.append_value(*number),
            (Self::Float(builder), Value::Int(number)) => builder.append_value(*number as f64),
            (Self::Int(builder), Value::Int(number)) => builder.append_value(*number),
            (Self::Text(builder), Value::Text(text)) => builder.append_value(text),
            _ => return false,
        }
        true
    }

    fn null(&mut self) {
        match self {
            Self::Bool(builder) => builder.append_null(),
            Self::Float(builder) => builder.append_null(),
            Self::Int(builder) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
        }
    }

    fn finish(mut self) -> ArrayRef {
        match &mut self {
            Self::Bool(builder) => Arc::new(builder.finish()),
            Self::Float(builder) => Arc::new(builder.finish()),
            Self::Int(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
        }
    }
}

/// The batch of `rows` of a table of rows, in their order. What is not of a column's kind stands in the
/// attributes, like what has no column.
pub(crate) fn to_batch(table: &Table, rows: &[Row]) -> Result<RecordBatch, ArrowError> {
    let fields = table.schema().fields();
    // The first is the time, the last the attributes.
    let typed = &fields[1..fields.len() - 1];
    let mut builders: Vec<Builder> = typed.iter().map(|f| Builder::of(f.data_type())).collect();
    let mut attributes = StringBuilder::new();
    let times = rows.iter().map(|row| i64::try_from(row.at.0).unwrap_or(i64::MAX));
    let times = TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC");
    for row in rows {
        let mut taken = 0;
        let mut misfits = BTreeMap::new();
        for (field, builder) in typed.iter().zip(&mut builders) {
            match row.columns.get(field.name().as_str()) {
                Some(value) if builder.take(value) => taken += 1,
                Some(value) => {
                    builder.null();
                    misfits.insert(field.name().as_str(), value);
                    taken += 1;
                }
                None => builder.null(),
            }
        }
        if taken < row.columns.len() {
            let known = |name: &str| typed.iter().any(|field| field.name() == name);
            let others = row.columns.iter().filter(|(name, _)| !known(name));
            misfits.extend(others.map(|(name, value)| (name.as_ref(), value)));
        }
        if misfits.is_empty() {
            attributes.append_null();
        } else {
            let json = serde_json::to_string(&misfits);
            attributes.append_option(json.ok());
        }
    }
    let mut columns: Vec<ArrayRef> = vec![Arc::new(times)];
    columns.extend(builders.into_iter().map(Builder::finish));
    columns.push(Arc::new(attributes.finish()));
    RecordBatch::try_new(Arc::clone(table.schema()), columns)
}

/// The rows of a batch, in their order; of tables of batches those columns that a row can hold.
pub(crate) fn from_batch(table: &Table, batch: &RecordBatch, pick: &[usize]) -> Vec<Row> {
    let times = table.times(batch);
    let schema = batch.schema();
    let name_of_table: Cow<'static, str> = Cow::Owned(table.name().to_owned());
    let mut rows: Vec<Row> = pick
        .iter()
        .map(|index| Row {
            table: name_of_table.clone(),
            at: times[*index],
            columns: BTreeMap::new(),
        })
        .collect();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if field.name() == table.time_column() {
            continue;
        }
        for (row, index) in rows.iter_mut().zip(pick) {
            if column.is_null(*index) {
                continue;
            }
            if table.takes_rows() && field.name() == ATTRIBUTES {
                let json = column.as_string_opt::<i32>().map(|text| text.value(*index));
                let more: Option<BTreeMap<String, Value>> =
                    json.and_then(|json| serde_json::from_str(json).ok());
                let more = more.into_iter().flatten();
                row.columns.extend(more.map(|(name, value)| (Cow::Owned(name), value)));
            } else if let Some(value) = value_at(column, *index) {
                row.columns.insert(Cow::Owned(field.name().clone()), value);
            }
        }
    }
    rows
}

/// A value as a row holds it; an address or another fixed number of bytes as text.
pub fn value_at(column: &dyn Array, index: usize) -> Option<Value> {
    if column.is_null(index) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Boolean => column.as_boolean().value(index).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(index).into(),
        DataType::Float32 => wide(column.as_primitive::<Float32Type>().value(index)).into(),
        DataType::Int8 => i64::from(column.as_primitive::<Int8Type>().value(index)).into(),
        DataType::Int16 => i64::from(column.as_primitive::<Int16Type>().value(index)).into(),
        DataType::Int32 => i64::from(column.as_primitive::<Int32Type>().value(index)).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(index).into(),
        DataType::UInt8 => u16::from(column.as_primitive::<UInt8Type>().value(index)).into(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(index).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(index).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(index).into(),
        DataType::Utf8 => column.as_string::<i32>().value(index).into(),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, _) => {
            column.as_primitive::<TimestampMillisecondType>().value(index).into()
        }
        DataType::FixedSizeBinary(_) => {
            text_of_bytes(column.as_fixed_size_binary().value(index)).into()
        }
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let key = *dictionary.normalized_keys().get(index)?;
            return value_at(dictionary.values(), key);
        }
        _ => return None,
    })
}

/// The number with as many digits as it has: 0.1 of 32 bits is 0.1, and not what comes next to it in 64.
fn wide(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| f64::from(number))
}

/// 16 bytes are an address (IPv4 mapped), 6 a MAC address, others hexadecimal.
pub fn text_of_bytes(bytes: &[u8]) -> String {
    if let Ok(address) = <[u8; 16]>::try_from(bytes) {
        let address = std::net::Ipv6Addr::from(address);
        return address.to_ipv4_mapped().map_or_else(|| address.to_string(), |v4| v4.to_string());
    }
    let separator = if bytes.len() == 6 { ":" } else { "" };
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Kind;
    use holm_model::Millis;

    #[test]
    fn rows_come_back_as_they_were() {
        let columns = [("a", Kind::Text), ("b", Kind::Int), ("c", Kind::Float), ("d", Kind::Bool)];
        let table = Table::of_rows("t", &columns).expect("a table");
        let rows = [
            Row::new("t", Millis(5)).with("a", "x").with("b", 7_i64).with("d", true),
            Row::new("t", Millis(4)).with("c", 0.5),
            // No column has it, and a column has another kind.
            Row::new("t", Millis(6)).with("e", "more").with("b", "not a number"),
            Row::new("t", Millis(7)),
        ];
        let batch = to_batch(&table, &rows).expect("a batch");
        assert_eq!(from_batch(&table, &batch, &[0, 1, 2, 3]), rows);
        assert_eq!(from_batch(&table, &batch, &[2]), rows[2..3]);
    }

    #[test]
    fn numbers_of_every_width_are_numbers() {
        use arrow::array::{Float32Array, Int8Array, Int16Array, Int32Array};
        let of = |column: &dyn Array| value_at(column, 0);
        assert_eq!(of(&Int8Array::from(vec![-8])), Some(Value::Int(-8)));
        assert_eq!(of(&Int16Array::from(vec![i16::MIN])), Some(Value::Int(-32_768)));
        assert_eq!(of(&Int32Array::from(vec![i32::MAX])), Some(Value::Int(2_147_483_647)));
        for (narrow, number) in [(0.1_f32, 0.1), (-2.5, -2.5), (f32::INFINITY, f64::INFINITY)] {
            assert_eq!(of(&Float32Array::from(vec![narrow])), Some(Value::Float(number)));
        }
        let none = of(&Float32Array::from(vec![f32::NAN]));
        assert!(matches!(none, Some(Value::Float(number)) if number.is_nan()), "{none:?}");
        assert_eq!(of(&Int32Array::from(vec![None])), None);
    }

    #[test]
    fn bytes_are_shown_as_what_they_are() {
        let v4 = std::net::Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().octets();
        assert_eq!(text_of_bytes(&v4), "192.0.2.7");
        assert_eq!(text_of_bytes(&[0, 1, 2, 3, 4, 255]), "00:01:02:03:04:ff");
        assert_eq!(text_of_bytes(&[171]), "ab");
    }
}
