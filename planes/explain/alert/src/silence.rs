//! Silences: for a while nobody is told of what matches.

use std::collections::BTreeMap;

use holm_model::Millis;
use serde_json::{Map, Value, json};

/// Longest silence, in milliseconds: a year.
pub const MAX_SILENCE_MS: u64 = 366 * 24 * 60 * 60 * 1_000;
/// How long one that is over is shown, in milliseconds.
pub const SHOWN_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// Most matchers of one, and longest pattern, in bytes.
const MAX_MATCHERS: usize = 16;
const MAX_PATTERN: usize = 255;
const MAX_COMMENT: usize = 1_024;
/// What a matcher looks at beside labels and columns.
const OWN: [&str; 4] = ["rule", "severity", "site", "target"];

/// For a while nobody is told of what matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// What must be so, all of it: `rule`, `severity`, `site`, `target`, a label, or a column of the group; `by.` and
    /// a column where it is called as one of the others. A `*` stands for anything.
    pub matchers: BTreeMap<Box<str>, Box<str>>,
    /// From when on.
    pub from: Millis,
    /// Until when.
    pub until: Millis,
    /// Why.
    pub comment: Box<str>,
}

/// What a silence is held against.
#[derive(Debug, Clone, Copy)]
pub struct Silenced<'a> {
    /// The rule.
    pub rule: &'a crate::Rule,
    /// What the group has in the columns of [`crate::Rule::by`].
    pub group: &'a [Box<str>],
    /// The site that says so.
    pub site: &'a str,
    /// What it is about.
    pub target: &'a str,
}

impl Silence {
    /// A silence that is sound.
    ///
    /// # Errors
    /// What is wrong with it, by its field.
    pub fn checked(self, now: Millis) -> Result<Self, String> {
        if self.matchers.is_empty() {
            return Err(format!(
                "matchers: at least one is needed; {}, a label or a column of by are looked at",
                OWN.join(", ")
            ));
        }
        if self.matchers.len() > MAX_MATCHERS {
            return Err(format!("matchers: {MAX_MATCHERS} at most"));
        }
        for (name, pattern) in &self.matchers {
            if name.is_empty() || name.len() > 128 || pattern.len() > MAX_PATTERN {
                return Err(format!(
                    "matchers: a name has 1 to 128 bytes, a pattern at most {MAX_PATTERN}"
                ));
            }
        }
        let any = |pattern: &str| !pattern.is_empty() && pattern.bytes().all(|byte| byte == b'*');
        if self.matchers.values().all(|pattern| any(pattern)) {
            return Err(
                "matchers: it would silence everything; name a rule, a site or a label".into()
            );
        }
        if self.until <= self.from {
            return Err("until: it is over before it begins".into());
        }
        if self.until <= now {
            return Err("until: it is over already".into());
        }
        if self.until.since(self.from) > MAX_SILENCE_MS {
            return Err("until: a silence is of 366 days at most".into());
        }
        if self.comment.len() > MAX_COMMENT {
            return Err(format!("comment: {MAX_COMMENT} bytes at most"));
        }
        Ok(self)
    }

    /// Whether it counts at `now`.
    pub fn is_on(&self, now: Millis) -> bool {
        self.from <= now && now < self.until
    }

    /// Whether it is so long over that it is not shown.
    pub fn is_past(&self, now: Millis) -> bool {
        self.until + SHOWN_MS < now
    }

    /// Whether it is about that.
    pub fn matches(&self, what: Silenced<'_>) -> bool {
        self.matchers.iter().all(|(name, pattern)| {
            let of = |name: &str| {
                let place = what.rule.by.iter().position(|column| **column == *name)?;
                what.group.get(place).map(|text| &**text)
            };
            let column = || of(name).or_else(|| of(name.strip_prefix("by.")?));
            let found = match &**name {
                "rule" => Some(&*what.rule.name),
                "severity" => Some(what.rule.severity.as_str()),
                "site" => Some(what.site),
                "target" => Some(what.target),
                label => what.rule.labels.get(label).map(|text| &**text).or_else(column),
            };
            found.is_some_and(|found| is_like(found, pattern))
        })
    }

    /// As it is kept.
    pub fn to_json(&self) -> Value {
        json!({
            "matchers": self.matchers,
            "from": self.from.0,
            "until": self.until.0,
            "comment": self.comment,
        })
    }

    /// As it was kept; `None` of what this version does not understand.
    pub fn from_json(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let matchers: &Map<String, Value> = value.get("matchers")?.as_object()?;
        let matchers = matchers.iter().take(MAX_MATCHERS);
        let matchers: Option<BTreeMap<Box<str>, Box<str>>> = matchers
            .map(|(name, text)| Some((name.as_str().into(), text.as_str()?.into())))
            .collect();
        let silence = Self {
            matchers: matchers?,
            from: Millis(value.get("from")?.as_u64()?),
            until: Millis(value.get("until")?.as_u64()?),
            comment: value.get("comment").and_then(Value::as_str).unwrap_or_default().into(),
        };
        let length = silence.until.since(silence.from);
        (!silence.matchers.is_empty() && length > 0 && length <= MAX_SILENCE_MS).then_some(silence)
    }
}

/// Whether a text is like a pattern in which `*` is anything.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence(matchers: &[(&str, &str)]) -> Silence {
        let matchers = matchers.iter().map(|(name, text)| ((*name).into(), (*text).into()));
        Silence {
            matchers: matchers.collect(),
            from: Millis(1_000),
            until: Millis(9_000),
            comment: "works".into(),
        }
    }

    #[test]
    fn all_matchers_must_match() {
        let text = "{ kind: AlertRule, name: probes-fail, labels: { team: net }, table: t, by: [target], \
                    value: count, condition: { above: 1 } }";
        let rule = crate::parse(text).expect("good").remove(0);
        let group: [Box<str>; 1] = ["shop-7".into()];
        let on = |matchers: &[(&str, &str)]| {
            let target = "host:shop-7";
            silence(matchers).matches(Silenced {
                rule: &rule,
                group: &group,
                site: "berlin",
                target,
            })
        };
        assert!(on(&[("rule", "probes-*"), ("site", "berlin")]));
        assert!(on(&[("team", "net"), ("target", "host:*7"), ("severity", "warning")]));
        assert!(!on(&[("rule", "probes-*"), ("site", "tokyo")]));
        assert!(!on(&[("owner", "*")]), "there is no such label");
        // The alert is about the host; the column has only its name.
        assert!(on(&[("by.target", "shop-*")]) && !on(&[("target", "shop-*")]));
        for (text, pattern, right) in [
            ("abc", "abc", true),
            ("abc", "a*c", true),
            ("ac", "a*c", true),
            ("a", "a*a", false),
            ("abcbc", "*bc", true),
            ("abc", "ab", false),
            ("", "*", true),
            ("xaxbx", "*a*b*", true),
            ("xbxax", "*a*b*", false),
        ] {
            assert_eq!(is_like(text, pattern), right, "{text} {pattern}");
        }
    }

    #[test]
    fn it_has_its_bounds_and_is_read_as_it_was_kept() {
        let good = silence(&[("rule", "a")]);
        let now = Millis(500);
        assert_eq!(good.clone().checked(now), Ok(good.clone()));
        assert_eq!(Silence::from_json(&good.to_json().to_string()), Some(good.clone()));
        assert!(good.is_on(Millis(1_000)) && !good.is_on(Millis(9_000)) && !good.is_on(now));
        let says = |silence: Silence, now: u64| silence.checked(Millis(now)).expect_err("bad");
        assert!(says(silence(&[]), 1).contains("at least one"));
        for all in ["*", "**", "****"] {
            assert!(
                says(silence(&[("rule", "*"), ("site", all)]), 1).contains("everything"),
                "{all}"
            );
        }
        assert!(silence(&[("site", "b**")]).checked(Millis(1)).is_ok());
        assert!(says(good.clone(), 9_000).contains("over already"));
        let long = Silence { until: Millis(2_000 + MAX_SILENCE_MS), ..good.clone() };
        assert!(says(long, 1).contains("366 days"));
        let odd = Silence { until: good.from, ..good };
        assert!(says(odd, 1).contains("before it begins"));
        for text in ["", "{}", r#"{"matchers":{"a":1},"from":1,"until":2}"#] {
            assert_eq!(Silence::from_json(text), None, "{text}");
        }
    }
}
