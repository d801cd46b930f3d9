//! What is said of firings to others: each once, and taken back when rows that came late show that it was none.

use std::sync::Arc;

use holm_model::Millis;

use crate::engine::{Engine, Held};
use crate::rule::Rule;
use crate::series::GroupKey;
use crate::watch::{Spell, State, Told, Watch};

/// Something to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The rule.
    pub rule: Arc<Rule>,
    /// The group, as [`Rule::by`].
    pub group: Box<[Box<str>]>,
    /// Whether it fires, or no longer.
    pub raised: bool,
    /// Since when.
    pub at: Millis,
    /// The value, if it has one.
    pub value: Option<f64>,
}

/// Whether nobody is to be told of a group of a rule.
pub type Quiet<'a> = &'a dyn Fn(&Rule, &[Box<str>]) -> bool;

/// What must be said of a group that goes: which while, and that it is over.
pub(crate) fn end_of(
    watch: &Watch,
    key: &GroupKey,
    now: Millis,
) -> impl Iterator<Item = (GroupKey, Millis, Millis)> {
    let raised = watch.told.iter().filter(|told| told.raised);
    raised.map(move |told| (key.clone(), told.at, now)).collect::<Vec<_>>().into_iter()
}

impl Engine {
    /// The groups of a rule.
    pub(crate) fn groups_of<'a>(
        &'a self,
        held: &'a Held,
    ) -> impl Iterator<Item = (&'a GroupKey, &'a Watch)> {
        let of_rows = held.place.map(|place| &self.tables[place.table].series[place.series].slots);
        let keys = of_rows.into_iter().flatten().map(|slot| &slot.key).chain(&held.keys);
        keys.zip(&held.watches)
    }

    /// The rule that makes a group of another one quiet now.
    pub(crate) fn inhibited(&self, rule: &Rule, group: &[Box<str>]) -> Option<&Rule> {
        rule.inhibited_by.iter().find_map(|inhibitor| {
            let held = &self.rules[*self.by_name.get(&inhibitor.rule)?];
            let of = |rule: &Rule| -> Option<Vec<usize>> {
                let columns = inhibitor.equal.iter();
                columns.map(|column| rule.by.iter().position(|by| by == column)).collect()
            };
            let (mine, theirs) = (of(rule)?, of(&held.rule)?);
            let fires = self.groups_of(held).any(|(other, watch)| {
                matches!(watch.now, State::Firing { .. })
                    && mine.iter().zip(&theirs).all(|(a, b)| group.get(*a) == other.get(*b))
            });
            fires.then_some(&*held.rule)
        })
    }

    /// What is to be said since it was asked last.
    pub fn turns(&mut self, now: Millis, quiet: Quiet<'_>) -> Vec<Turn> {
        let mut turns = Vec::new();
        let mut taken_back = 0;
        for number in 0..self.rules.len() {
            let held = &self.rules[number];
            let loud: Vec<(usize, GroupKey, bool)> = self
                .groups_of(held)
                .enumerate()
                .filter(|(_, (_, watch))| !watch.spells.is_empty() || !watch.told.is_empty())
                .map(|(place, (group, _))| {
                    let rule = &held.rule;
                    let muted = quiet(rule, group) || self.inhibited(rule, group).is_some();
                    (place, group.clone(), muted)
                })
                .collect();
            let rule = Arc::clone(&held.rule);
            let held = &mut self.rules[number];
            for (group, _, at) in std::mem::take(&mut held.ended) {
                turns.push(Turn { rule: Arc::clone(&rule), group, raised: false, at, value: None });
            }
            for (place, group, muted) in loud {
                let watch = &mut held.watches[place];
                let value = watch.value;
                let mut said = watch.said;
                let mut say = |raised: bool, at: Millis| {
                    // What is said goes on in time, whatever rows came late.
                    said = said.max(at);
                    let (rule, group) = (Arc::clone(&rule), group.clone());
                    turns.push(Turn { rule, group, raised, at: said, value });
                };
                let told = std::mem::take(&mut watch.told);
                taken_back += gone(&told, &watch.spells, &mut say);
                watch.told =
                    watch.spells.iter().map(|s| told_of(*s, &told, muted, now, &mut say)).collect();
                watch.said = said;
            }
        }
        self.counters.taken_back += taken_back;
        turns
    }

    /// Takes what there was before as said: what is over is nobody's news.
    pub fn hush(&mut self) {
        for watch in self.rules.iter_mut().flat_map(|held| &mut held.watches) {
            let over = watch.spells.iter().filter(|spell| spell.end.is_some());
            watch.told = over.map(|s| Told { at: s.at, raised: false, end: s.end }).collect();
        }
    }

    /// Goes on with what another one said of rules that are about the same; call it after [`Self::hush`]. What was
    /// raised and does not fire by a rule as it is now is over.
    pub fn inherit(&mut self, before: &Self, now: Millis) -> Vec<Turn> {
        let mut ends = Vec::new();
        for number in 0..self.rules.len() {
            let held = &self.rules[number];
            let Some(other) = before.by_name.get(&held.rule.name) else { continue };
            let other = &before.rules[*other];
            if !other.rule.is_about(&held.rule) {
                continue;
            }
            let edited = other.rule != held.rule;
            let places: hashbrown::HashMap<GroupKey, usize> = self
                .groups_of(held)
                .enumerate()
                .map(|(place, (key, _))| (key.clone(), place))
                .collect();
            for (key, said) in before.groups_of(other).filter(|(_, w)| !w.told.is_empty()) {
                let is_raised = said.told.iter().any(|told| told.raised);
                let watch = places.get(key).map(|&place| &mut self.rules[number].watches[place]);
                let open = |watch: &Watch| watch.spells.iter().find(|s| s.end.is_none()).copied();
                match watch {
                    Some(watch) if !edited => {
                        (watch.told, watch.said) = (said.told.clone(), said.said);
                    }
                    // By the edited rule it may fire since another moment: that it does is known.
                    Some(watch) if is_raised && let Some(spell) = open(watch) => {
                        watch.told.push(Told { at: spell.at, raised: true, end: None });
                        watch.said = said.said;
                    }
                    _ if is_raised => ends.push(Turn {
                        rule: Arc::clone(&other.rule),
                        group: key.clone(),
                        raised: false,
                        at: now,
                        value: None,
                    }),
                    _ => {}
                }
            }
        }
        ends
    }

    /// What was raised of rules that `gone` says yes to: it is over.
    pub fn ends(&self, gone: impl Fn(&Rule) -> bool, now: Millis) -> Vec<Turn> {
        let rules = self.rules.iter().filter(|held| gone(&held.rule));
        let ends = rules.flat_map(|held| {
            let raised =
                self.groups_of(held).filter(|(_, watch)| watch.told.iter().any(|told| told.raised));
            raised.map(|(group, _)| Turn {
                rule: Arc::clone(&held.rule),
                group: group.clone(),
                raised: false,
                at: now,
                value: None,
            })
        });
        ends.collect()
    }
}

/// Takes back what was said of whiles that were none.
fn gone(told: &[Told], spells: &[Spell], say: &mut impl FnMut(bool, Millis)) -> u64 {
    let none = told.iter().filter(|told| told.raised && !spells.iter().any(|s| s.at == told.at));
    none.map(|told| say(false, told.at)).count() as u64
}

/// Says what is to be said of a while; what is said of it then.
fn told_of(
    spell: Spell,
    told: &[Told],
    muted: bool,
    now: Millis,
    say: &mut impl FnMut(bool, Millis),
) -> Told {
    let known = told.iter().find(|told| told.at == spell.at).copied();
    let before = known.is_some_and(|known| known.raised);
    let wanted = spell.end.is_none() && !muted;
    match (before, spell.end) {
        // A while of which nobody knew is told of whole, unless a later one was.
        (false, Some(end)) if known.is_none() && !muted && told.iter().all(|t| t.at < spell.at) => {
            say(true, spell.at);
            say(false, end);
        }
        (false, None) if wanted => {
            let from = known.map_or(spell.at, |known| known.end.unwrap_or(now));
            say(true, from);
        }
        (true, Some(end)) => say(false, end),
        (true, None) if !wanted => say(false, now),
        _ => {}
    }
    Told { at: spell.at, raised: wanted, end: spell.end }
}
