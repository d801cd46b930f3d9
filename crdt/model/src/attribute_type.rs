//! What kind of value an attribute has.
//!
//! Documents keep every value as text, so that an older node carries on what a newer one wrote; what the
//! text means is told by its key. The keys are those of OpenTelemetry's semantic conventions (1.37) where
//! they have one, else `holm.*`. Where one element may have several values (a service that listens on two
//! ports), the value is a list, also where the convention knows one only.

use std::fmt;

/// What kind of value an attribute has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeType {
    /// Any text.
    Text,
    /// Texts, written one after the other with commas between.
    Texts,
    /// Whole numbers from 0 to 65535 (RFC 6335), written with commas between.
    Ports,
    /// A finite number of milliseconds, not negative.
    Milliseconds,
}

/// An attribute's value as its type has it.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValue<'a> {
    /// One text; also what is not of the type of its key.
    Text(&'a str),
    /// Several texts.
    Texts(Vec<&'a str>),
    /// Whole numbers.
    Integers(Vec<i64>),
    /// A number.
    Double(f64),
}

/// A value that is not of the type of its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}={value}: it is no {wanted}", value = value.chars().take(80).collect::<String>())]
pub struct AttributeTypeError {
    key: Box<str>,
    value: Box<str>,
    wanted: AttributeType,
}

impl fmt::Display for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Texts => "list of texts with commas between",
            Self::Ports => "list of ports (0 to 65535) with commas between",
            Self::Milliseconds => "number of milliseconds",
        })
    }
}

impl AttributeType {
    /// The type of the attribute `key`; of those that are not known here it is text.
    pub fn of(key: &str) -> Self {
        match key {
            "server.address" => Self::Texts,
            "server.port" => Self::Ports,
            _ if crate::is_measured(key) => Self::Milliseconds,
            _ => Self::Text,
        }
    }
}

impl<'a> AttributeValue<'a> {
    /// The value of `key` that is written as `text`.
    ///
    /// # Errors
    /// [`AttributeTypeError`] if it is not of the key's type.
    pub fn parse(key: &str, text: &'a str) -> Result<Self, AttributeTypeError> {
        let wanted = AttributeType::of(key);
        let refused = || AttributeTypeError { key: key.into(), value: text.into(), wanted };
        match wanted {
            AttributeType::Text => Ok(Self::Text(text)),
            AttributeType::Texts => {
                let texts: Vec<&str> = text.split(',').collect();
                if texts.contains(&"") { Err(refused()) } else { Ok(Self::Texts(texts)) }
            }
            AttributeType::Ports => {
                let digits = |port: &&str| port.bytes().all(|b| b.is_ascii_digit());
                let port = |port: &str| Some(port).filter(digits)?.parse::<u16>().ok();
                let ports = text.split(',').map(|text| port(text).map(i64::from));
                ports.collect::<Option<_>>().map(Self::Integers).ok_or_else(refused)
            }
            AttributeType::Milliseconds => {
                let number = text.parse::<f64>().ok();
                let valid = number.filter(|ms| ms.is_finite() && *ms >= 0.0);
                valid.map(Self::Double).ok_or_else(refused)
            }
        }
    }

    /// The value of `key` that is written as `text`; what is not of the key's type is text.
    pub fn of(key: &str, text: &'a str) -> Self {
        Self::parse(key, text).unwrap_or(Self::Text(text))
    }

    /// Whether the value of `key` that is written as `text` is, or holds, what is written as `wanted`.
    pub fn holds(key: &str, text: &str, wanted: &str) -> bool {
        if text == wanted {
            return true;
        }
        match (AttributeValue::of(key, text), AttributeValue::of(key, wanted)) {
            (AttributeValue::Texts(all), AttributeValue::Texts(some)) => {
                some.iter().all(|one| all.contains(one))
            }
            (AttributeValue::Integers(all), AttributeValue::Integers(some)) => {
                some.iter().all(|one| all.contains(one))
            }
            (AttributeValue::Double(one), AttributeValue::Double(other)) => one == other,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_of_the_type_of_their_key() {
        let of = |key, text| AttributeValue::parse(key, text);
        assert_eq!(of("server.port", "80,443"), Ok(AttributeValue::Integers(vec![80, 443])));
        assert_eq!(of("server.address", "::1"), Ok(AttributeValue::Texts(vec!["::1"])));
        assert_eq!(of("holm.probe.tcp.rtt_ms", "1.50"), Ok(AttributeValue::Double(1.5)));
        assert_eq!(of("service.name", "80"), Ok(AttributeValue::Text("80")));
        for (key, text) in [
            ("server.port", "65536"),
            ("server.port", "+80"),
            ("server.port", "80,"),
            ("server.port", ""),
            ("server.address", "a,,b"),
            ("holm.probe.icmp.rtt_ms", "NaN"),
            ("holm.probe.icmp.rtt_ms", "-1"),
        ] {
            let error = of(key, text).expect_err("another type").to_string();
            assert!(error.starts_with(&format!("{key}={text}: it is no ")), "{error}");
            assert_eq!(AttributeValue::of(key, text), AttributeValue::Text(text), "never lost");
        }
    }

    #[test]
    fn a_list_holds_each_of_its_values() {
        let holds = AttributeValue::holds;
        assert!(holds("server.port", "80,443", "443") && holds("server.port", "80,443", "443,80"));
        assert!(!holds("server.port", "80,443", "44") && !holds("server.port", "80,443", "80,81"));
        assert!(holds("holm.probe.tcp.rtt_ms", "1.50", "1.5"));
        assert!(!holds("service.name", "a,b", "a"), "a text is whole");
        assert!(holds("server.port", "any", "any"), "as it is written");
    }
}
