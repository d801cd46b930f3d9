//! Values of attributes as rows hold them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holm_model::Value;

use crate::columns::Holds;
use crate::messages::{Any, AnyValue, KeyValue};

/// Cuts a text off behind its last whole character within `most` bytes; whether it was.
pub(crate) fn cut(text: &mut String, most: usize) -> bool {
    if text.len() <= most {
        return false;
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    true
}

/// A value as a row holds it: a list or map as JSON, bytes as base64. Nothing where nothing was sent.
pub(crate) fn value(value: AnyValue, most: usize, cuts: &mut u64) -> Option<Value> {
    let mut text = |mut text: String| {
        *cuts += u64::from(cut(&mut text, most));
        Value::from(text)
    };
    Some(match value.value? {
        Any::Text(of) => text(of),
        Any::Bool(of) => of.into(),
        Any::Int(of) => of.into(),
        Any::Double(of) => of.into(),
        Any::Bytes(of) => text(STANDARD.encode(of)),
        Any::Array(of) => text(list(of.values).to_string()),
        Any::Map(of) => text(map(of.values).to_string()),
    })
}

fn list(values: Vec<AnyValue>) -> serde_json::Value {
    values.into_iter().map(json).collect()
}

fn map(values: Vec<KeyValue>) -> serde_json::Value {
    let pairs = values.into_iter().map(|pair| (pair.key, pair.value.map_or_else(none, json)));
    serde_json::Value::Object(pairs.collect())
}

const fn none() -> serde_json::Value {
    serde_json::Value::Null
}

/// Nested as deep as the decoders let it be: 100 in protobuf, 128 in JSON.
fn json(value: AnyValue) -> serde_json::Value {
    match value.value {
        None => none(),
        Some(Any::Text(of)) => of.into(),
        Some(Any::Bool(of)) => of.into(),
        Some(Any::Int(of)) => of.into(),
        Some(Any::Double(of)) => of.into(),
        Some(Any::Bytes(of)) => STANDARD.encode(of).into(),
        Some(Any::Array(of)) => list(of.values),
        Some(Any::Map(of)) => map(of.values),
    }
}

/// A value for a column: numbers that were sent as text and the reverse are what the column holds. What it cannot
/// hold stays as it is: the store keeps it among the attributes.
pub(crate) fn fitted(value: Value, holds: Holds) -> Value {
    match (holds, value) {
        (Holds::Int, Value::Text(text)) => {
            text.trim().parse::<i64>().map_or(Value::Text(text), Value::from)
        }
        (Holds::Text, Value::Int(number)) => number.to_string().into(),
        (Holds::Text, Value::Bool(is)) => is.to_string().into(),
        (_, value) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{KeyValues, Values};

    fn any(value: Any) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    #[test]
    fn every_kind_of_value_is_one_that_a_row_holds() {
        let mut cuts = 0;
        let mut of = |v| value(v, 16, &mut cuts);
        assert_eq!(of(any(Any::Int(-7))), Some(Value::Int(-7)));
        assert_eq!(of(any(Any::Double(0.5))), Some(Value::Float(0.5)));
        assert_eq!(of(any(Any::Bool(true))), Some(Value::Bool(true)));
        assert_eq!(of(any(Any::Bytes(vec![0, 255]))), Some("AP8=".into()));
        assert_eq!(of(AnyValue::default()), None);
        let list = Any::Array(Values { values: vec![any(Any::Int(1)), AnyValue::default()] });
        assert_eq!(of(any(list)), Some("[1,null]".into()));
        let pair = KeyValue { key: "a".into(), value: Some(any(Any::Text("b".into()))) };
        assert_eq!(
            of(any(Any::Map(KeyValues { values: vec![pair] }))),
            Some(r#"{"a":"b"}"#.into())
        );
        assert_eq!(of(any(Any::Text("é".repeat(9)))), Some("é".repeat(8).into()));
        assert_eq!(cuts, 1);
    }

    #[test]
    fn what_a_column_holds_is_made_of_what_was_sent() {
        assert_eq!(fitted("404".into(), Holds::Int), Value::Int(404));
        assert_eq!(fitted("none".into(), Holds::Int), "none".into());
        assert_eq!(fitted(5_i64.into(), Holds::Text), "5".into());
        assert_eq!(fitted(0.5.into(), Holds::Text), Value::Float(0.5));
    }
}
