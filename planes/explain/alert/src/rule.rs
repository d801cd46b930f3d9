//! An alert rule as it was understood.

use std::collections::BTreeMap;

use holm_model::{Millis, Severity};
use holm_policy::{Mark, Predicate};

/// How long rows may be late and still be judged, in milliseconds.
pub const LATE_MS: u64 = 10 * 60 * 1_000;
/// Rows of a moment are waited for as long as this, in milliseconds.
pub const LAG_MS: u64 = 5_000;
/// A group without rows is known for as long as this, in milliseconds.
pub const KNOWN_MS: u64 = 24 * 60 * 60 * 1_000;

/// An alert rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name: unique in the tenant.
    pub name: Box<str>,
    /// What people call it.
    pub title: Option<Box<str>>,
    /// What to know about it when it fires.
    pub description: Option<Box<str>>,
    /// How grave it is when it fires.
    pub severity: Severity,
    /// Labels, for people and for silences.
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// What is looked at.
    pub subject: Subject,
    /// The columns by which rows are put into groups; each group is judged by itself.
    pub by: Vec<Box<str>>,
    /// How often it is judged, in milliseconds: 10 s to 1 h, full days of them.
    pub every_ms: u64,
    /// How long it must hold before it fires, in milliseconds.
    pub for_ms: u64,
    /// How long it must not hold before it is over, in milliseconds.
    pub keep_ms: u64,
    /// What it is about, with `{column}` for what a group has there; the rule itself if `None`.
    pub target: Option<Box<str>>,
    /// While these fire, nobody is told of this one.
    pub inhibited_by: Vec<Inhibitor>,
    /// Where in its file it stands.
    pub origin: Origin,
}

/// Where in a file a rule stands, and where in it the rules that it names. Two rules that say the same are the
/// same, wherever they stand.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The rule.
    pub mark: Mark,
    /// The rules that it names.
    pub parts: BTreeMap<Box<str>, Mark>,
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What a rule looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// Rows of a table.
    Rows(Query),
    /// Other rules of the same node.
    Composite(Composite),
}

/// A value made of rows, and when it is not as it shall be.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The table.
    pub table: Box<str>,
    /// Which rows, as it was written; all if `None`.
    pub filter: Option<(Box<str>, Predicate)>,
    /// What is made of them.
    pub measure: Measure,
    /// Of how much time, in milliseconds: full steps of how often it is judged.
    pub window_ms: u64,
    /// When it holds.
    pub condition: Condition,
}

/// What is made of rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Measure {
    /// How many there are.
    Count,
    /// How many there are each second.
    Rate,
    /// The share of them that is like this, 0 to 1.
    Share(Box<str>, Predicate),
    /// The sum of a column.
    Sum(Box<str>),
    /// The mean of a column.
    Avg(Box<str>),
    /// The least value of a column.
    Min(Box<str>),
    /// The greatest value of a column.
    Max(Box<str>),
    /// A quantile of a column, by a sketch: off by [`crate::RELATIVE_ERROR`] of its value at most.
    Quantile(f64, Box<str>),
}

impl Measure {
    /// Whether it is 0 where there are no rows; the others have no value then.
    pub const fn counts(&self) -> bool {
        matches!(self, Self::Count | Self::Rate | Self::Sum(_))
    }

    /// The column that it looks at.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Count | Self::Rate | Self::Share(..) => None,
            Self::Sum(of)
            | Self::Avg(of)
            | Self::Min(of)
            | Self::Max(of)
            | Self::Quantile(_, of) => Some(of),
        }
    }

    /// Its word in a file.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Rate => "rate",
            Self::Share(..) => "share",
            Self::Sum(_) => "sum",
            Self::Avg(_) => "avg",
            Self::Min(_) => "min",
            Self::Max(_) => "max",
            Self::Quantile(..) => "quantile",
        }
    }
}

/// When a rule holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// The value is greater.
    Above(f64),
    /// The value is less.
    Below(f64),
    /// The value is less than the first or greater than the second.
    Outside(f64, f64),
    /// The value is not as usual.
    Baseline {
        /// With what it is compared.
        season: Season,
        /// So many spreads off.
        deviations: f64,
        /// To which side.
        direction: Direction,
    },
    /// There are no rows for the time of the window.
    NoData,
}

impl Condition {
    /// Whether having no rows may make it hold.
    pub fn minds_silence(&self) -> bool {
        match self {
            Self::Above(limit) => *limit < 0.0,
            Self::Below(_) | Self::Outside(..) | Self::NoData => true,
            Self::Baseline { direction, .. } => *direction != Direction::Above,
        }
    }
}

/// What the same time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Season {
    /// The same hour of earlier days.
    Day,
    /// The same hour of earlier weeks.
    Week,
}

impl Season {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
        }
    }
}

/// To which side a value is unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// More than usual.
    Above,
    /// Less than usual.
    Below,
    /// More or less.
    Both,
}

impl Direction {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
            Self::Both => "both",
        }
    }
}

/// What must be so of other rules. A rule holds while a group of it fires.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Composite {
    /// All of these hold.
    pub all: Vec<Box<str>>,
    /// One of these holds.
    pub any: Vec<Box<str>>,
    /// None of these holds.
    pub none: Vec<Box<str>>,
}

impl Composite {
    /// All rules that it looks at.
    pub fn parts(&self) -> impl Iterator<Item = &Box<str>> {
        self.all.iter().chain(&self.any).chain(&self.none)
    }
}

/// A rule that makes another one quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inhibitor {
    /// The rule.
    pub rule: Box<str>,
    /// Only where both have the same in these columns.
    pub equal: Vec<Box<str>>,
}

impl Rule {
    /// Whether an alert of the one is an alert of the other: they go by one name, and their groups and targets are
    /// the same, whatever else was edited.
    pub fn is_about(&self, other: &Self) -> bool {
        (&self.name, &self.by, &self.target) == (&other.name, &other.by, &other.target)
    }

    /// What people call it, or else its name.
    pub fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }

    /// What it makes of rows, if it looks at rows.
    pub const fn query(&self) -> Option<&Query> {
        match &self.subject {
            Subject::Rows(query) => Some(query),
            Subject::Composite(_) => None,
        }
    }

    /// How far back rows matter to it when it is new, in milliseconds. Baselines ask for more.
    pub fn looks_back_ms(&self) -> u64 {
        let Some(query) = self.query() else { return LATE_MS + self.for_ms + self.keep_ms };
        let needed = query.window_ms + self.for_ms + self.keep_ms + LATE_MS + 2 * self.every_ms;
        let silence = query.measure.counts() && query.condition.minds_silence();
        match silence && !self.by.is_empty() {
            true => needed.max(KNOWN_MS),
            false => needed,
        }
    }

    /// The last moment for which it can be judged at `now`.
    pub const fn tick_at(&self, now: Millis) -> Millis {
        Millis(now.0.saturating_sub(LAG_MS) / self.every_ms * self.every_ms)
    }

    /// The text of what `{column}` stands in, with what a group has. `None` if it is the rule itself.
    pub fn target_of(&self, group: &[Box<str>]) -> Option<String> {
        let mut rest = self.target.as_deref()?;
        let mut text = String::with_capacity(rest.len());
        // A value is put in as it is, braces and all.
        while let Some((before, (column, after))) =
            rest.split_once('{').and_then(|(before, more)| Some((before, more.split_once('}')?)))
        {
            let mut columns = self.by.iter().zip(group);
            let value = columns.find_map(|(known, value)| (**known == *column).then_some(value));
            text.push_str(before);
            text.push_str(value.map_or("", |value| value));
            rest = after;
        }
        text.push_str(rest);
        Some(text)
    }
}
