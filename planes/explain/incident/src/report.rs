//! What one node says was bad, from when until when; and what it finds well that others do not.

use std::collections::BTreeMap;

use holm_model::{Millis, NodeId, Severity};

use crate::{Anchor, FaultId};

/// Most spells that a report keeps: the first, and the latest.
pub(crate) const MAX_SPELLS: usize = 16;

/// An unbroken while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spell {
    /// When it began.
    pub from: Millis,
    /// When it ended; `None` while it lasts.
    pub to: Option<Millis>,
}

impl Spell {
    /// Its end, the end of time while it lasts.
    pub(crate) fn end(self) -> Millis {
        self.to.unwrap_or(Millis(u64::MAX))
    }
}

/// That something was bad, as one node says; with it the names and neighbours that the thing had then, so
/// that every reader judges alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The plane that said so.
    pub plane: Box<str>,
    /// What is wrong.
    pub kind: Box<str>,
    /// How grave it is, at worst.
    pub severity: Severity,
    /// The same for people.
    pub text: Box<str>,
    /// What it is about, as the plane called it.
    pub target: NodeId,
    /// The prefix that it is about as well.
    pub prefix: Option<NodeId>,
    /// The target's names in order, at least one.
    pub anchors: Vec<Anchor>,
    /// What was one edge away from it, in order.
    pub near: Vec<Anchor>,
    /// What else is known.
    pub attributes: BTreeMap<Box<str>, Box<str>>,
    /// When it was bad, in order and apart, at least once. Of many the first and the latest.
    pub spells: Vec<Spell>,
    /// How often it was raised.
    pub raised: u64,
    /// Its last end is not a recovery: the node started again and its plane does not say it any more.
    pub lapsed: bool,
}

impl Report {
    /// When it began.
    pub fn since(&self) -> Millis {
        self.spells.first().map_or(Millis(0), |spell| spell.from)
    }

    /// Whether it is bad still, as far as is known.
    pub fn is_firing(&self) -> bool {
        self.last().to.is_none()
    }

    /// Its end, the end of time while it lasts.
    pub(crate) fn end(&self) -> Millis {
        self.last().end()
    }

    /// When something last changed about it.
    pub fn turned(&self) -> Millis {
        let last = self.last();
        last.to.unwrap_or(last.from)
    }

    pub(crate) fn last(&self) -> Spell {
        self.spells.last().copied().unwrap_or(Spell { from: Millis(0), to: Some(Millis(0)) })
    }

    /// The fault that it is a report of.
    pub fn fault(&self) -> FaultId {
        // By what it is about; a prefix beside it is of many things.
        let beside = |anchor: &&Anchor| self.prefix.as_ref() == Some(anchor.node());
        let own = self.anchors.iter().find(|anchor| !beside(anchor)).or(self.anchors.first());
        own.map_or(FaultId::from_number(0), |anchor| FaultId::of(anchor, self.since()))
    }

    /// Joins what two lives of one node wrote at the same time. Commutative, associative, idempotent.
    pub(crate) fn join(&mut self, other: Self) {
        fn later(report: &Report) -> impl Ord {
            let Report { raised, text, attributes, .. } = report;
            (report.last(), *raised, text.clone(), attributes.clone())
        }
        if later(&other) > later(self) {
            self.text = other.text;
            self.attributes = other.attributes;
        }
        self.severity = self.severity.max(other.severity);
        self.raised = self.raised.max(other.raised);
        self.lapsed |= other.lapsed;
        self.spells = union(&self.spells, &other.spells);
    }

    /// Lets go of spells that there is no room for: of the oldest, but never the first.
    pub(crate) fn trim(&mut self) {
        if self.spells.len() > MAX_SPELLS {
            let surplus = self.spells.len() - MAX_SPELLS;
            self.spells.drain(1..=surplus);
        }
    }
}

/// That someone else's target is well from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Which fault it is not.
    pub fault: FaultId,
    /// When it was well, in order and apart.
    pub fine: Vec<Spell>,
}

impl Witness {
    /// Whether it was well at `at`.
    pub fn was_fine(&self, at: Millis) -> bool {
        self.fine.iter().any(|spell| spell.from <= at && at < spell.end())
    }

    pub(crate) fn join(&mut self, other: &Self) {
        self.fine = union(&self.fine, &other.fine);
    }
}

/// All spells of both. Where both began at once, the one whose end is known ended; the later end counts.
fn union(a: &[Spell], b: &[Spell]) -> Vec<Spell> {
    let mut ends: BTreeMap<Millis, Option<Millis>> = BTreeMap::new();
    for spell in a.iter().chain(b) {
        let end = ends.entry(spell.from).or_default();
        *end = (*end).max(spell.to);
    }
    ends.into_iter().map(|(from, to)| Spell { from, to }).collect()
}

/// Spells in order and apart: what began again had ended. Not part of the union, which would depend on
/// the order of its parts.
pub(crate) fn set_apart(spells: &mut [Spell]) {
    for i in 1..spells.len() {
        let next = spells[i].from;
        spells[i - 1].to = Some(spells[i - 1].to.map_or(next, |to| to.min(next)));
    }
}
