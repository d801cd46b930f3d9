//! An incident, as paging sees it.

use std::collections::BTreeSet;

use holm_model::{Millis, Severity, SiteId};

/// Whether somebody has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stand {
    /// Nobody looks at it.
    Open,
    /// Somebody does, or its effect is over.
    Acknowledged,
    /// It is over.
    Over,
}

/// One line of what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is: `seen from`, `since`.
    pub name: &'static str,
    /// What is known; from anybody, so it may be hostile.
    pub value: String,
}

/// An incident, as paging sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What it goes by.
    pub id: Box<str>,
    /// What it goes by as well, since others were joined to it.
    pub also: Vec<Box<str>>,
    /// Where it stands.
    pub stand: Stand,
    /// The word for it.
    pub word: &'static str,
    /// Since when it stands there, by the clock of who says so.
    pub turned_at: Millis,
    /// When that was heard here, where it was to come only later: some clock is ahead.
    pub heard_at: Option<Millis>,
    /// When it was first reported.
    pub opened_at: Millis,
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong; may be hostile.
    pub title: Box<str>,
    /// Who looks at it.
    pub owner: Option<Box<str>>,
    /// Who reported it.
    pub sites: BTreeSet<SiteId>,
    /// The ids of what it is about.
    pub targets: Vec<Box<str>>,
    /// The planes that reported it.
    pub planes: BTreeSet<Box<str>>,
    /// The kinds of its reports.
    pub kinds: BTreeSet<Box<str>>,
    /// What else is known, for the text.
    pub facts: Vec<Fact>,
}

impl Subject {
    /// Since when it stands there, by the clock here: nobody waits for a clock that is ahead.
    pub fn turned_here(&self) -> Millis {
        self.heard_at.map_or(self.turned_at, |heard| heard.min(self.turned_at))
    }

    /// All that it goes by, the first one first.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.id).chain(self.also.iter().map(|id| &**id))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn subject(id: &str, severity: Severity) -> Subject {
        Subject {
            id: id.into(),
            also: Vec::new(),
            stand: Stand::Open,
            word: "open",
            turned_at: Millis(1_000),
            heard_at: None,
            opened_at: Millis(1_000),
            severity,
            title: "https://shop.example fails".into(),
            owner: None,
            sites: ["berlin", "tokyo"].map(|s| s.parse().expect("valid")).into(),
            targets: vec!["service:checkout".into()],
            planes: ["active".into()].into(),
            kinds: ["http_failed".into()].into(),
            facts: Vec::new(),
        }
    }
}
