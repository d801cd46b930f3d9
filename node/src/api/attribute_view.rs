//! Values of attributes as they are written: numbers as numbers.

use std::fmt;

use holm_model::AttributeValue;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The value of an attribute, by the type of its key: `server.port` is a list of whole numbers, `server.address` a list
/// of texts, `holm.probe.*.rtt_ms` a number; all others are texts. What is not of the type of its key is a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum AttributeView {
    Text(String),
    Number(f64),
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

impl AttributeView {
    /// The value of `key` that is written as `text`.
    pub(super) fn of(key: &str, text: &str) -> Self {
        match AttributeValue::of(key, text) {
            AttributeValue::Text(text) => Self::Text(text.to_owned()),
            AttributeValue::Texts(all) => Self::Texts(all.into_iter().map(str::to_owned).collect()),
            AttributeValue::Integers(all) => Self::Integers(all),
            AttributeValue::Double(number) => Self::Number(number),
        }
    }
}

/// As people read it: lists with commas between.
impl fmt::Display for AttributeView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Integers(all) => {
                f.write_str(&all.iter().map(i64::to_string).collect::<Vec<_>>().join(","))
            }
            Self::Texts(all) => f.write_str(&all.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_by_the_type_of_their_key_and_read_again() {
        for (key, text, json) in [
            ("server.port", "80,443", "[80,443]"),
            ("server.address", "192.0.2.1,::1", r#"["192.0.2.1","::1"]"#),
            ("holm.probe.icmp.rtt_ms", "1.50", "1.5"),
            ("service.name", "80", r#""80""#),
            ("server.port", "many", r#""many""#),
        ] {
            let view = AttributeView::of(key, text);
            assert_eq!(serde_json::to_string(&view).expect("it is written"), json);
            assert_eq!(serde_json::from_str::<AttributeView>(json).expect("it is read"), view);
        }
        assert_eq!(AttributeView::of("server.port", "80,443").to_string(), "80,443");
    }
}
