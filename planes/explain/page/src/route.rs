//! Which incidents are told by which connectors.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::{Severity, SiteId};
use serde::{Deserialize, Serialize};

use crate::{Subject, is_name};

const MAX_LIST: usize = 64;
const MAX_PATTERN_BYTES: usize = 255;
/// Shortest time between two pages of one incident, in seconds.
const MIN_REPEAT_S: u64 = 60;
/// Longest wait of a route, in seconds.
const MAX_WAIT_S: u64 = 7 * 24 * 60 * 60;

/// A route: incidents like these, by these connectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// What people call it.
    pub name: Box<str>,
    /// As grave as this, or graver.
    pub severity: Severity,
    /// Reported by one of these sites; by any if there is none.
    #[serde(default)]
    pub sites: BTreeSet<SiteId>,
    /// About one of these, by the id of the topology, in which `*` stands for anything; about anything if
    /// there is none.
    #[serde(default)]
    pub targets: Vec<Box<str>>,
    /// From one of these planes; `*` as in targets.
    #[serde(default)]
    pub planes: BTreeSet<Box<str>>,
    /// With a report of one of these kinds; `*` as in targets.
    #[serde(default)]
    pub kinds: BTreeSet<Box<str>>,
    /// By these.
    pub connectors: BTreeSet<Box<str>>,
    /// Whether the end is told.
    pub resolve: bool,
    /// How long it must be open before it is told, in seconds.
    #[serde(default)]
    pub after_s: u64,
    /// How long after the last page it is told again while nobody looks at it, in seconds; never if `None`.
    #[serde(default)]
    pub repeat_s: Option<u64>,
    /// It counts for nothing.
    #[serde(default)]
    pub paused: bool,
}

/// Why a route was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The name has another character, or is too long.
    #[error("name: it has 1 to 63 small letters, digits and -")]
    Name,
    /// A field that is not right.
    #[error("{field}: {what}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is not right, and what would be.
        what: String,
    },
}

/// What the routes of an incident come to for one connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Whether the end is told.
    pub resolve: bool,
    /// The shortest wait, in milliseconds.
    pub after_ms: u64,
    /// The shortest time to the next page, in milliseconds.
    pub repeat_ms: Option<u64>,
}

impl Route {
    /// The route, if it is right.
    ///
    /// # Errors
    /// [`RouteError`]
    pub fn checked(mut self) -> Result<Self, RouteError> {
        let wrong = |field, what: String| Err(RouteError::Field { field, what });
        if !is_name(&self.name) {
            return Err(RouteError::Name);
        }
        if self.connectors.is_empty() {
            return wrong("connectors", "one at least; `holm page connectors` lists them".into());
        }
        if let Some(odd) = self.connectors.iter().find(|name| !is_name(name)) {
            return wrong("connectors", format!("\"{}\" is no name", crate::cut(odd, 60)));
        }
        for (field, len) in [
            ("sites", self.sites.len()),
            ("targets", self.targets.len()),
            ("planes", self.planes.len()),
            ("kinds", self.kinds.len()),
            ("connectors", self.connectors.len()),
        ] {
            if len > MAX_LIST {
                return wrong(field, format!("{len} are given, at most {MAX_LIST}"));
            }
        }
        let names = self.planes.iter().map(|n| ("planes", n));
        let names = names.chain(self.kinds.iter().map(|n| ("kinds", n)));
        for (field, text) in names.chain(self.targets.iter().map(|n| ("targets", n))) {
            let odd = text.trim().is_empty() || text.chars().any(char::is_control);
            if odd || text.len() > MAX_PATTERN_BYTES {
                let what = format!("1 to {MAX_PATTERN_BYTES} bytes without control characters");
                return wrong(field, what);
            }
        }
        if self.after_s > MAX_WAIT_S {
            return wrong("after_s", format!("at most {MAX_WAIT_S} (seven days)"));
        }
        if let Some(repeat) = self.repeat_s
            && !(MIN_REPEAT_S..=MAX_WAIT_S).contains(&repeat)
        {
            let what = format!("{repeat} is given, it goes from {MIN_REPEAT_S} to {MAX_WAIT_S}");
            return wrong("repeat_s", what);
        }
        self.targets.sort();
        self.targets.dedup();
        Ok(self)
    }

    /// Whether it is about an incident.
    pub fn takes(&self, subject: &Subject) -> bool {
        let about = || {
            let mut pairs = self.targets.iter();
            pairs.any(|pattern| subject.targets.iter().any(|target| matches(pattern, target)))
        };
        !self.paused
            && subject.severity >= self.severity
            && (self.sites.is_empty() || !self.sites.is_disjoint(&subject.sites))
            && fits(&self.planes, &subject.planes)
            && fits(&self.kinds, &subject.kinds)
            && (self.targets.is_empty() || about())
    }

    /// As it is kept.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// As it was kept; `None` if this version does not understand it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok()?.checked().ok()
    }
}

/// Whether any of `names` is as one of `patterns`; without patterns all are.
fn fits(patterns: &BTreeSet<Box<str>>, names: &BTreeSet<Box<str>>) -> bool {
    let is_one = |pattern: &str| names.iter().any(|name| matches(pattern, name));
    patterns.is_empty() || patterns.iter().any(|pattern| is_one(pattern))
}

/// By which connectors an incident is told, and how.
pub fn rules(routes: &[Route], subject: &Subject) -> BTreeMap<Box<str>, Rule> {
    let mut rules: BTreeMap<Box<str>, Rule> = BTreeMap::new();
    for route in routes.iter().filter(|route| route.takes(subject)) {
        let after_ms = route.after_s.saturating_mul(1_000);
        let repeat_ms = route.repeat_s.map(|s| s.saturating_mul(1_000));
        for connector in &route.connectors {
            let rule = rules.entry(connector.clone()).or_insert(Rule {
                resolve: false,
                after_ms,
                repeat_ms: None,
            });
            rule.resolve |= route.resolve;
            rule.after_ms = rule.after_ms.min(after_ms);
            rule.repeat_ms = match (rule.repeat_ms, repeat_ms) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }
    rules
}

/// Whether `text` is like `pattern`, in which `*` stands for anything. In time that grows with the product of
/// both lengths at most.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::subject::tests::subject;

    pub(crate) fn route(severity: Severity, connectors: &[&str]) -> Route {
        Route {
            name: "all".into(),
            severity,
            sites: BTreeSet::new(),
            targets: Vec::new(),
            planes: BTreeSet::new(),
            kinds: BTreeSet::new(),
            connectors: connectors.iter().map(|name| (*name).into()).collect(),
            resolve: true,
            after_s: 0,
            repeat_s: None,
            paused: false,
        }
    }

    #[test]
    fn a_route_takes_what_it_says() {
        let subject = subject("i-1", Severity::Warning);
        let takes = |change: &dyn Fn(&mut Route)| {
            let mut route = route(Severity::Warning, &["a"]);
            change(&mut route);
            route.takes(&subject)
        };
        assert!(takes(&|_| {}));
        assert!(!takes(&|r| r.severity = Severity::Critical));
        assert!(takes(&|r| r.severity = Severity::Info));
        assert!(!takes(&|r| r.paused = true));
        assert!(takes(&|r| r.targets = vec!["service:check*".into()]));
        assert!(!takes(&|r| r.targets = vec!["service:check".into()]));
        assert!(!takes(&|r| r.sites = ["lima".parse().expect("valid")].into()));
        assert!(takes(&|r| r.sites = ["berlin".parse().expect("valid")].into()));
        assert!(!takes(&|r| r.planes = ["flow".into()].into()));
        assert!(takes(&|r| r.kinds = ["http_failed".into(), "x".into()].into()));
    }

    #[test]
    fn of_several_routes_the_quickest_counts() {
        let subject = subject("i-1", Severity::Critical);
        let slow = Route { after_s: 300, resolve: false, ..route(Severity::Info, &["a", "b"]) };
        let quick = Route { repeat_s: Some(600), ..route(Severity::Critical, &["a"]) };
        let rules = rules(&[slow, quick], &subject);
        let a = Rule { resolve: true, after_ms: 0, repeat_ms: Some(600_000) };
        assert_eq!(rules["a"], a);
        assert_eq!(rules["b"], Rule { resolve: false, after_ms: 300_000, repeat_ms: None });
    }

    #[test]
    fn what_is_not_right_is_named() {
        let good = route(Severity::Info, &["a"]);
        assert_eq!(Route::decode(&good.encode()).as_ref(), Some(&good));
        let say = |route: Route| route.checked().expect_err("refused").to_string();
        assert!(say(Route { name: "A".into(), ..good.clone() }).starts_with("name: "));
        assert!(say(route(Severity::Info, &[])).starts_with("connectors: one at least"));
        assert!(say(Route { repeat_s: Some(5), ..good.clone() }).starts_with("repeat_s: 5 is"));
        assert!(say(Route { after_s: u64::MAX, ..good.clone() }).starts_with("after_s: "));
        assert!(say(Route { targets: vec!["".into()], ..good }).starts_with("targets: "));
    }

    proptest! {
        #[test]
        fn patterns_match_as_said(parts in prop::collection::vec("[ab]{0,3}", 1..4), noise in "[ab]{0,4}") {
            let pattern = parts.join("*");
            let text = parts.join(&noise);
            let fits = parts.len() > 1 || noise.is_empty() || text == pattern;
            prop_assert_eq!(matches(&pattern, &text), fits);
            prop_assert!(matches("*", &text));
        }

        #[test]
        fn without_a_star_only_the_same_matches(a in "[ab]{0,4}", b in "[ab]{0,4}") {
            prop_assert_eq!(matches(&a, &b), a == b);
        }
    }
}
