//! What was found on the way, for a preview.

use std::collections::BTreeMap;

use holm_model::Millis;

use crate::engine::Engine;
use crate::series::GroupKey;
use crate::watch::{Spell, Watch};

/// Most groups that are recorded, and most points of one.
const MAX_GROUPS: usize = 1_000;

/// A value at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The moment: the value is of the window before it.
    pub at: Millis,
    /// The value, if there is one.
    pub value: Option<f64>,
    /// The limits of what is usual.
    pub band: Option<(f64, f64)>,
}

/// A group over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// What it has in the columns of [`crate::Rule::by`].
    pub group: Box<[Box<str>]>,
    /// The values, in order.
    pub points: Vec<Point>,
    /// The whiles for which it would have fired.
    pub spells: Vec<Spell>,
}

/// What is recorded of one rule.
#[derive(Debug)]
pub(crate) struct Recorder {
    rule: usize,
    from: Millis,
    /// Every so many milliseconds a point is kept.
    every_ms: u64,
    groups: BTreeMap<GroupKey, Recorded>,
}

impl Recorder {
    fn of(&mut self, rule: usize, key: &GroupKey) -> Option<&mut Recorded> {
        let room = self.groups.len() < MAX_GROUPS || self.groups.contains_key(key);
        (rule == self.rule && room).then(|| {
            self.groups
                .entry(key.clone())
                .or_insert_with(|| Recorded { group: key.clone(), ..Recorded::default() })
        })
    }

    pub(crate) fn point(&mut self, rule: usize, key: &GroupKey, at: Millis, watch: &Watch) {
        if at < self.from || !at.0.is_multiple_of(self.every_ms) {
            return;
        }
        let point = Point { at, value: watch.value, band: watch.band };
        if let Some(recorded) = self.of(rule, key) {
            recorded.points.push(point);
        }
    }

    pub(crate) fn spells(&mut self, rule: usize, key: &GroupKey, spells: &[Spell]) {
        let from = self.from;
        let new = spells.iter().filter(|spell| spell.end.is_none_or(|end| end > from));
        let new: Vec<Spell> = new.copied().collect();
        if new.is_empty() {
            return;
        }
        let Some(recorded) = self.of(rule, key) else { return };
        for spell in new {
            match recorded.spells.iter_mut().find(|known| known.at == spell.at) {
                Some(known) => *known = spell,
                None => recorded.spells.push(spell),
            }
        }
    }
}

impl Engine {
    /// Records a rule from `from` on, a point at full `every_ms`.
    pub fn record(&mut self, rule: &str, from: Millis, every_ms: u64) {
        self.recorder = self.by_name.get(rule).map(|rule| Recorder {
            rule: *rule,
            from,
            every_ms: every_ms.max(1),
            groups: BTreeMap::new(),
        });
    }

    /// What was recorded: groups that fired first, then those with the greatest values; at most `most`, and how
    /// many there are in all.
    pub fn recorded(&mut self, most: usize) -> (Vec<Recorded>, usize) {
        let Some(recorder) = self.recorder.take() else { return (Vec::new(), 0) };
        let all = recorder.groups.len();
        let greatest = |recorded: &Recorded| {
            let values = recorded.points.iter().filter_map(|point| point.value);
            values.max_by(f64::total_cmp).unwrap_or(f64::NEG_INFINITY)
        };
        let mut groups: Vec<Recorded> = recorder.groups.into_values().collect();
        groups.sort_by(|a, b| {
            let fired = b.spells.len().cmp(&a.spells.len());
            fired
                .then_with(|| greatest(b).total_cmp(&greatest(a)))
                .then_with(|| a.group.cmp(&b.group))
        });
        groups.truncate(most);
        (groups, all)
    }
}
