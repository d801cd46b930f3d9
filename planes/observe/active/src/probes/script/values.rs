//! What is taken from an answer, and what stands in its place later.

use http::header::{HeaderMap, HeaderName};
use serde_json::Value;

use super::super::json_path::JsonPath;
use crate::step::MAX_VALUE;

/// Where a value is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Take {
    Json(JsonPath),
    Header(HeaderName),
    /// What stands in the body between the first of one text and the next of another.
    Pattern {
        before: String,
        after: String,
    },
}

impl Take {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "it is json $.path, header name, or pattern before*after, where * is what is taken"
                .to_owned()
        };
        let (kind, rest) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let rest = rest.trim();
        match kind {
            "json" => match JsonPath::parse(rest)? {
                (path, "") => Ok(Self::Json(path)),
                _ => Err(wrong()),
            },
            "header" => {
                HeaderName::from_bytes(rest.as_bytes()).map(Self::Header).map_err(|_| wrong())
            }
            "pattern" if rest.len() <= 1_024 => {
                let (before, after) = rest.split_once('*').ok_or_else(wrong)?;
                if before.is_empty() || after.is_empty() || after.contains('*') {
                    return Err("a pattern has a text before and one after its one *".into());
                }
                Ok(Self::Pattern { before: before.to_owned(), after: after.to_owned() })
            }
            _ => Err(wrong()),
        }
    }

    pub(super) fn looks_at_body(&self) -> bool {
        !matches!(self, Self::Header(_))
    }

    /// The value in an answer.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn find(&self, headers: &HeaderMap, body: &[u8]) -> Result<String, String> {
        let found = match self {
            Self::Json(path) => {
                let read: Value = serde_json::from_slice(body)
                    .map_err(|error| format!("the answer's body is no JSON: {error}"))?;
                match path.find(&read) {
                    Some(Value::String(text)) => text.clone(),
                    Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
                    Some(_) => {
                        return Err(format!("{path} in the answer's JSON is no text or number"));
                    }
                    None => return Err(format!("the answer's JSON has no {path}")),
                }
            }
            Self::Header(name) => {
                let value =
                    headers.get(name).ok_or_else(|| format!("the answer has no header {name}"))?;
                String::from_utf8_lossy(value.as_bytes()).into_owned()
            }
            Self::Pattern { before, after } => {
                let text = String::from_utf8_lossy(body);
                let rest = text.find(before).map(|at| &text[at + before.len()..]);
                let found = rest.and_then(|rest| rest.find(after).map(|end| &rest[..end]));
                found.ok_or("the answer's body does not have the pattern")?.to_owned()
            }
        };
        if found.is_empty() || found.len() > MAX_VALUE {
            return Err(format!("it has {} bytes, and 1 to {MAX_VALUE} are taken", found.len()));
        }
        Ok(found)
    }
}

/// How a value is written where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// As it is.
    Plain,
    /// Inside a text of JSON (RFC 8259 §7).
    Json,
    /// Inside a URL or a form (RFC 3986 §2.1).
    Percent,
}

impl Written {
    fn write(self, value: &str) -> String {
        match self {
            Self::Plain => value.to_owned(),
            Self::Json => {
                let quoted = Value::from(value).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
            Self::Percent => value
                .bytes()
                .map(|byte| match byte {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        char::from(byte).to_string()
                    }
                    byte => format!("%{byte:02X}"),
                })
                .collect(),
        }
    }
}

/// Whether this is the name of a value: 1 to 32 small letters, digits and `_`.
pub(super) fn is_name(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=32).contains(&name.len()) && name.bytes().all(letter)
}

/// `text` with what `{{name}}` stands for; whether anything stood there.
///
/// # Errors
/// The name that stands for nothing.
pub(super) fn fill(
    text: &str,
    written: Written,
    value: impl Fn(&str) -> Option<String>,
) -> Result<(String, bool), String> {
    let (mut filled, mut rest, mut any) = (String::new(), text, false);
    while let Some(at) = rest.find("{{") {
        let name = rest[at + 2..].split_once("}}").map(|(name, after)| (name.trim(), after));
        match name.filter(|(name, _)| is_name(name)) {
            Some((name, after)) => {
                let value = value(name).ok_or_else(|| {
                    format!("{{{{{name}}}}} stands for nothing: no step before takes it")
                })?;
                filled.push_str(&rest[..at]);
                filled.push_str(&written.write(&value));
                (rest, any) = (after, true);
            }
            None => {
                filled.push_str(&rest[..at + 1]);
                rest = &rest[at + 1..];
            }
        }
    }
    filled.push_str(rest);
    Ok((filled, any))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_taken_from_where_they_stand() {
        let mut headers = HeaderMap::new();
        headers.insert("x-next", "/a".parse().expect("valid"));
        let body = br#"{"a":[{"token":"t\"1"}],"n":7,"b":true,"o":{}} <input name="csrf" value="c1"> value="c2""#;
        let json = &body[..body.iter().position(|b| *b == b' ').expect("there")];
        for (text, of, found) in [
            ("json $.a[0].token", json, Ok("t\"1")),
            ("json $.n", json, Ok("7")),
            ("json $.b", json, Ok("true")),
            ("json $.o", json, Err("no text or number")),
            ("json $.x", json, Err("has no $.x")),
            ("json $.n", &body[..], Err("no JSON")),
            ("header X-Next", body, Ok("/a")),
            ("header x-none", body, Err("no header x-none")),
            ("pattern name=\"csrf\" value=\"*\"", body, Ok("c1")),
            ("pattern none*x", body, Err("the pattern")),
        ] {
            let take = Take::parse(text).expect(text);
            let got = take.find(&headers, of);
            match found {
                Ok(found) => assert_eq!(got.as_deref(), Ok(found), "{text}"),
                Err(says) => assert!(got.clone().expect_err(text).contains(says), "{got:?}"),
            }
        }
        let long = Take::parse("pattern a*b").expect("valid");
        let bytes = [&b"a"[..], &vec![b'x'; MAX_VALUE + 1], b"b"].concat();
        assert!(long.find(&headers, &bytes).expect_err("long").contains("4096"));
        for bad in [
            "",
            "json",
            "json a",
            "json $.a = 1",
            "header a b",
            "pattern ab",
            "pattern *b",
            "pattern a*",
            "pattern a*b*c",
            "regex x",
        ] {
            assert!(Take::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_stands_for_a_value_is_written_as_its_place_wants() {
        let value = |name: &str| (name == "a").then(|| "x \"/&é".to_owned());
        for (text, written, filled, any) in [
            ("<{{a}}>{{ a }}", Written::Plain, "<x \"/&é>x \"/&é", true),
            (r#"{"a":{"b":"{{a}}"}}"#, Written::Json, r#"{"a":{"b":"x \"/&é"}}"#, true),
            ("/{{a}}", Written::Percent, "/x%20%22%2F%26%C3%A9", true),
            ("{{{a}} {{A}} {{", Written::Plain, "{x \"/&é {{A}} {{", true),
        ] {
            let found = fill(text, written, value);
            assert_eq!(found, Ok((filled.to_owned(), any)), "{text}");
        }
        assert!(fill("{{b}}", Written::Plain, value).expect_err("none").contains("{{b}}"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[{}a-b é*$. \"]{0,40}", value in ".{0,20}") {
            let filled = fill(&text, Written::Plain, |_| Some(value.clone()));
            prop_assert!(filled.is_ok_and(|(filled, any)| any || filled == text));
            for kind in ["json", "header", "pattern"] {
                if let Ok(take) = Take::parse(&format!("{kind} {text}")) {
                    let _ = take.find(&HeaderMap::new(), value.as_bytes());
                }
            }
            let json = Written::Json.write(&value);
            prop_assert_eq!(serde_json::from_str::<String>(&format!("\"{json}\"")).ok(), Some(value));
        }
    }
}
