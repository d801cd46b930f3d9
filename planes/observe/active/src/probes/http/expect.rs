//! What an answer is expected to be.

use http::StatusCode;
use http::header::{HeaderMap, HeaderName};
use serde_json::Value;

use super::super::json_path::JsonPath;

/// Most headers, and most places in JSON, that are looked at.
pub(crate) const MAX_EXPECTED: usize = 8;
/// Longest text that is looked for, in bytes.
pub(crate) const MAX_TEXT: usize = 1_024;
/// So much of a body is looked at, in bytes.
pub(super) const MAX_LOOKED_AT: usize = 1 << 20;

/// Status codes that are a success: inclusive ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statuses(Vec<(u16, u16)>);

impl Statuses {
    /// Parses `200`, `2xx`, `200-204`, by commas.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::up_to(text, 599)
    }

    /// The same, up to a greatest code.
    pub(crate) fn up_to(text: &str, most: u16) -> Result<Self, String> {
        let one = |part: &str| -> Option<(u16, u16)> {
            let range = if let Some(class) = part.strip_suffix("xx") {
                let class: u16 = class.parse().ok()?;
                (class.checked_mul(100)?, class.checked_mul(100)?.checked_add(99)?)
            } else if let Some((from, to)) = part.split_once('-') {
                (from.parse().ok()?, to.parse().ok()?)
            } else {
                (part.parse().ok()?, part.parse().ok()?)
            };
            (range.0 >= 100 && range.1 <= most && range.0 <= range.1).then_some(range)
        };
        text.split(',')
            .map(|part| {
                one(part.trim()).ok_or_else(|| {
                    format!("expect_status \"{part}\": it is a code, a class or a range, such as 200, 2xx or 200-204")
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether a code is among them.
    pub(crate) fn has(&self, code: u16) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&code))
    }
}

/// A header of the answer: `name: value`, or `name ~ part`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ExpectedHeader {
    name: HeaderName,
    value: String,
    whole: bool,
}

impl ExpectedHeader {
    fn parse(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!("expect_header \"{text}\": it is name: value, or name ~ a part of the value")
        };
        if text.len() > MAX_TEXT {
            return Err(format!("expect_header: it has at most {MAX_TEXT} bytes"));
        }
        let at = text.find([':', '~']).ok_or_else(refuse)?;
        let (name, value) = (text[..at].trim(), text[at + 1..].trim());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse())?;
        let whole = text.as_bytes()[at] == b':';
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(refuse());
        }
        Ok(Self { name, value: value.to_owned(), whole })
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), String> {
        let mut there = headers.get_all(&self.name).iter().peekable();
        if there.peek().is_none() {
            return Err(format!("the answer has no header {}", self.name));
        }
        let fits = |value: &http::HeaderValue| {
            let value = String::from_utf8_lossy(value.as_bytes());
            if self.whole { value.trim() == self.value } else { value.contains(&self.value) }
        };
        if there.any(fits) {
            return Ok(());
        }
        let how = if self.whole { "is not" } else { "does not have" };
        Err(format!("the answer's header {} {how} \"{}\"", self.name, self.value))
    }
}

/// A place in the answer's JSON and what stands there: `$.items[0].state = "up"`.
#[derive(Debug, Clone, PartialEq)]
struct ExpectedJson {
    path: JsonPath,
    wanted: Value,
}

impl ExpectedJson {
    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("expect_json: it has at most {MAX_TEXT} bytes"));
        }
        let (path, rest) =
            JsonPath::parse(text).map_err(|why| format!("expect_json \"{text}\": {why}"))?;
        let wanted = rest.trim_start().strip_prefix('=').map(str::trim);
        let wanted = wanted.and_then(|wanted| serde_json::from_str(wanted).ok());
        let wanted = wanted.ok_or_else(|| {
            format!(
                "expect_json \"{text}\": after the path stands = and a JSON value, a text in quotes: $.state = \"up\""
            )
        })?;
        Ok(Self { path, wanted })
    }

    fn check(&self, body: &Value) -> Result<(), String> {
        let Some(found) = self.path.find(body) else {
            return Err(format!("the answer's JSON has no {}", self.path));
        };
        let same = match (found.as_f64(), self.wanted.as_f64()) {
            (Some(found), Some(wanted)) => found == wanted,
            _ => *found == self.wanted,
        };
        if same {
            return Ok(());
        }
        let found: String = found.to_string().chars().take(80).collect();
        Err(format!("{} in the answer's JSON is {found}, not {}", self.path, self.wanted))
    }
}

/// All that an answer is expected to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expected {
    statuses: Statuses,
    headers: Vec<ExpectedHeader>,
    body: String,
    json: Vec<ExpectedJson>,
}

impl Expected {
    /// A status alone.
    pub(crate) fn status(text: &str) -> Result<Self, String> {
        Self::new(text, &[], "", &[])
    }

    pub(crate) fn new(
        status: &str,
        headers: &[String],
        body: &str,
        json: &[String],
    ) -> Result<Self, String> {
        for (key, count) in [("expect_header", headers.len()), ("expect_json", json.len())] {
            if count > MAX_EXPECTED {
                return Err(format!("{key}: at most {MAX_EXPECTED} of them"));
            }
        }
        if body.len() > MAX_TEXT {
            return Err(format!("expect_body: it has at most {MAX_TEXT} bytes"));
        }
        Ok(Self {
            statuses: Statuses::parse(status)?,
            headers: headers
                .iter()
                .map(|text| ExpectedHeader::parse(text))
                .collect::<Result<_, _>>()?,
            body: body.to_owned(),
            json: json.iter().map(|text| ExpectedJson::parse(text)).collect::<Result<_, _>>()?,
        })
    }

    /// Whether anything of the body is looked at.
    pub(super) fn looks_at_body(&self) -> bool {
        !self.body.is_empty() || !self.json.is_empty()
    }

    /// Whether an answer is as expected. `body` is as much of it as is looked at, `all` whether that is all.
    pub(super) fn check(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        (body, all): (&[u8], bool),
    ) -> Result<(), String> {
        if !self.statuses.has(status.as_u16()) {
            return Err(format!("the answer is {status}, which is not expected"));
        }
        self.headers.iter().try_for_each(|expected| expected.check(headers))?;
        let of = if all { "" } else { ", of which the first 1 MiB was looked at," };
        if !self.body.is_empty() && !String::from_utf8_lossy(body).contains(&self.body) {
            return Err(format!("the answer's body{of} does not have \"{}\"", self.body));
        }
        if self.json.is_empty() {
            return Ok(());
        }
        if !all {
            return Err("the answer's body is longer than 1 MiB: it is not read as JSON".into());
        }
        let read: Value = serde_json::from_slice(body)
            .map_err(|error| format!("the answer's body is no JSON: {error}"))?;
        self.json.iter().try_for_each(|expected| expected.check(&read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_parsed_strictly() {
        let expected = Statuses::parse("200, 3xx,404-405").expect("valid");
        for (code, held) in [(200, true), (201, false), (302, true), (404, true), (406, false)] {
            assert_eq!(expected.has(code), held, "{code}");
        }
        for bad in ["", "abc", "2x", "9xx", "300-200", "99", "655xx"] {
            assert!(Statuses::parse(bad).is_err(), "{bad}");
        }
    }

    fn of(headers: &[&str], body: &str, json: &[&str]) -> Result<Expected, String> {
        let own = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Expected::new("2xx", &own(headers), body, &own(json))
    }

    #[test]
    fn headers_body_and_json_are_looked_at() {
        let mut headers = HeaderMap::new();
        headers.append("content-type", "application/json; charset=utf-8".parse().expect("valid"));
        headers.append("x-part", "one".parse().expect("valid"));
        headers.append("x-part", "two".parse().expect("valid"));
        let body = br#"{"state":"up","n":3,"items":[{"id":7}],"none":null}"#;
        let check = |expected: Result<Expected, String>| {
            expected.expect("valid").check(StatusCode::OK, &headers, (body, true))
        };
        for good in [
            of(&["Content-Type ~ json", "x-part: two"], "\"state\"", &[]),
            of(&[], "", &["$.state = \"up\"", "$.n=3.0", "$.items[0].id = 7", "$.none = null"]),
            of(&[], "", &["$.items = [{\"id\":7}]"]),
        ] {
            assert_eq!(check(good), Ok(()));
        }
        for (bad, says) in [
            (of(&["x-part: three"], "", &[]), "x-part is not"),
            (of(&["x-none: 1"], "", &[]), "no header x-none"),
            (of(&["content-type: application/json"], "", &[]), "content-type is not"),
            (of(&[], "down", &[]), "does not have \"down\""),
            (of(&[], "", &["$.state = \"down\""]), "$.state in the answer's JSON is \"up\""),
            (of(&[], "", &["$.items[1].id = 7"]), "has no $.items[1].id"),
            (of(&[], "", &["$.n = \"3\""]), "is 3, not"),
        ] {
            let why = check(bad).expect_err(says);
            assert!(why.contains(says), "{why}");
        }
        let json = of(&[], "", &["$.a = 1"]).expect("valid");
        assert!(
            json.check(StatusCode::OK, &headers, (b"{", true))
                .is_err_and(|e| e.contains("no JSON"))
        );
        assert!(
            json.check(StatusCode::OK, &headers, (b"{}", false))
                .is_err_and(|e| e.contains("1 MiB"))
        );
    }

    #[test]
    fn what_is_no_expectation_is_refused() {
        for bad in [
            of(&["no-value"], "", &[]),
            of(&["a b: c"], "", &[]),
            of(&["x:"], "", &[]),
            of(&[], "", &["state = 1"]),
            of(&[], "", &["$.state"]),
            of(&[], "", &["$.state = up"]),
            of(&["a: b"; 9], "", &[]),
        ] {
            assert!(bad.is_err(), "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_body_panics(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), text in ".{0,60}") {
            let expected = of(&["a ~ b"], "x", &["$.a[0] = 1"]).expect("valid");
            let _ = expected.check(StatusCode::OK, &HeaderMap::new(), (&body, true));
            let _ = of(&[&text], "", &[]);
            let _ = of(&[], "", &[&text]);
        }
    }
}
