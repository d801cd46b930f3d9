//! Paths in JSON: the part of RFC 9535 that names one place, `$.a.b[0]`.

use std::fmt;

use serde_json::Value;

/// Most steps of a path.
const MAX_STEPS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(Box<str>),
    Index(usize),
}

/// A path to one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Step>);

impl JsonPath {
    /// The path that `text` begins with, and what stands after it.
    pub(crate) fn parse(text: &str) -> Result<(Self, &str), String> {
        let wrong = || {
            "a path begins with $ and has .name and [number], such as $.items[0].state".to_owned()
        };
        let mut rest = text.trim_start().strip_prefix('$').ok_or_else(wrong)?;
        let mut steps = Vec::new();
        loop {
            if let Some(after) = rest.strip_prefix('.') {
                let letter = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
                let end = after.find(|c| !letter(c)).unwrap_or(after.len());
                if end == 0 {
                    return Err(wrong());
                }
                steps.push(Step::Name(after[..end].into()));
                rest = &after[end..];
            } else if let Some(after) = rest.strip_prefix('[') {
                let (number, after) = after.split_once(']').ok_or_else(wrong)?;
                let number = number.parse::<u32>().map_err(|_| wrong())?;
                steps.push(Step::Index(usize::try_from(number).map_err(|_| wrong())?));
                rest = after;
            } else {
                break;
            }
            if steps.len() > MAX_STEPS {
                return Err(format!("a path has at most {MAX_STEPS} steps"));
            }
        }
        Ok((Self(steps), rest))
    }

    /// What stands there.
    pub(crate) fn find<'a>(&self, of: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(of, |at, step| match step {
            Step::Name(name) => at.as_object()?.get(&**name),
            Step::Index(index) => at.as_array()?.get(*index),
        })
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.0 {
            match step {
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_names_one_place() {
        let value = json!({ "a": { "b-c": [10, { "d": true }] } });
        for (text, found, rest) in [
            ("$", Some(&value), ""),
            ("$.a.b-c[1].d = true", Some(&json!(true)), " = true"),
            ("$.a.b-c[0]", Some(&json!(10)), ""),
            ("$.a.b-c[2]", None, ""),
            ("$.a[0]", None, ""),
        ] {
            let (path, after) = JsonPath::parse(text).expect(text);
            assert_eq!((path.find(&value), after), (found, rest), "{text}");
            assert!(text.starts_with(&path.to_string()));
        }
        for bad in ["", "a", "$.", "$..a", "$[x]", "$[-1]", "$[1", "$[99999999999]"] {
            assert!(JsonPath::parse(bad).is_err(), "{bad}");
        }
        assert!(JsonPath::parse(&format!("${}", ".a".repeat(17))).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[$.\\[\\]a0-9 =é]{0,40}") {
            if let Ok((path, rest)) = JsonPath::parse(&text) {
                proptest::prop_assert!(text.ends_with(rest));
                let _ = path.find(&json!([[1], { "a": [] }]));
            }
        }
    }
}
