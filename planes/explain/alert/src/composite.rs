//! Rules about rules: judged after those that they look at, over the whiles for which these fired.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holm_model::Millis;

use crate::cycles::{Standing, standing, told};
use crate::engine::Engine;
use crate::rule::{LAG_MS, Rule, Subject};
use crate::series::GroupKey;
use crate::watch::{MAX_OPEN, Spell, Verdict, Watch};

/// The whiles of a part, by what its groups have in the composite's columns.
type Whiles = BTreeMap<GroupKey, Vec<Spell>>;

impl Engine {
    /// The composites in the order in which they are judged; those that stand on themselves are marked. Rules do
    /// not change while they are judged: it is looked once.
    fn sound(&mut self) -> Arc<[usize]> {
        if let Some(sound) = &self.sound {
            return Arc::clone(sound);
        }
        let by_name: BTreeMap<&str, &Rule> =
            self.rules.iter().map(|held| (&*held.rule.name, &*held.rule)).collect();
        let Standing { order, round } = standing(&by_name);
        for (name, way) in &round {
            if let Some(number) = self.by_name.get(name) {
                self.rules[*number].broken = Some(told(way));
            }
        }
        let sound: Arc<[usize]> =
            order.into_iter().filter_map(|name| self.by_name.get(&name).copied()).collect();
        self.sound = Some(Arc::clone(&sound));
        sound
    }

    pub(crate) fn judge_composites(&mut self, now: Millis) {
        for number in self.sound().iter().copied() {
            let rule = Arc::clone(&self.rules[number].rule);
            let Subject::Composite(composite) = &rule.subject else { continue };
            let whiles = |names: &[Box<str>]| -> Result<Vec<Whiles>, String> {
                names.iter().map(|name| self.whiles_of(name, &rule.by)).collect()
            };
            let parts = whiles(&composite.all)
                .and_then(|all| Ok((all, whiles(&composite.any)?, whiles(&composite.none)?)));
            let broken = match parts {
                Ok((all, any, none)) => {
                    self.judge_composite(number, &rule, (&all, &any, &none), now);
                    None
                }
                Err(why) => Some(why),
            };
            self.rules[number].broken = broken;
        }
    }

    /// When a rule fired, by what its groups have in these columns.
    fn whiles_of(&self, name: &str, by: &[Box<str>]) -> Result<Whiles, String> {
        let held = self.by_name.get(name).map(|number| &self.rules[*number]);
        let Some(held) = held else { return Err(format!("there is no rule {name}")) };
        if let Some(why) = &held.broken {
            return Err(format!("rule {name}: {why}"));
        }
        let places: Option<Vec<usize>> =
            by.iter().map(|column| held.rule.by.iter().position(|of| of == column)).collect();
        let Some(places) = places else {
            return Err(format!(
                "rule {name} is not judged by {}; both have the same columns in by, or this one has none",
                by.join(", ")
            ));
        };
        let mut whiles = Whiles::new();
        for (group, watch) in self.groups_of(held) {
            if !watch.spells.is_empty() {
                let key: GroupKey = places.iter().map(|place| group[*place].clone()).collect();
                whiles.entry(key).or_default().extend(&watch.spells);
            }
        }
        Ok(whiles)
    }

    fn judge_composite(
        &mut self,
        number: usize,
        rule: &Rule,
        (all, any, none): (&[Whiles], &[Whiles], &[Whiles]),
        now: Millis,
    ) {
        let step_ms = rule.every_ms;
        let (latest, open) = (now.0.saturating_sub(LAG_MS) / step_ms, Self::open_steps(step_ms));
        let most = self.limits.groups_of_rule;
        let held = &mut self.rules[number];
        let known: BTreeSet<&GroupKey> = held.keys.iter().collect();
        let mut new: Vec<GroupKey> = Vec::new();
        if rule.by.is_empty() {
            new.extend((held.keys.is_empty()).then(GroupKey::default));
        } else {
            let met: BTreeSet<&GroupKey> = all.iter().chain(any).flat_map(Whiles::keys).collect();
            new.extend(met.difference(&known).map(|key| (*key).clone()));
        }
        let room = most.saturating_sub(held.keys.len());
        self.counters.refused_groups += new.len().saturating_sub(room) as u64;
        held.keys.extend(new.into_iter().take(room));
        held.watches.resize_with(held.keys.len(), Watch::default);
        let before = held.tick;
        let spans = rule.spans();
        let holds = |whiles: &Whiles, key: &GroupKey, at: Millis| {
            whiles.get(key).is_some_and(|spells| spells.iter().any(|spell| spell.covers(at)))
        };
        let judge = |key: &GroupKey, at: Millis| {
            let right = all.iter().all(|part| holds(part, key, at))
                && (any.is_empty() || any.iter().any(|part| holds(part, key, at)))
                && !none.iter().any(|part| holds(part, key, at));
            if right { Verdict::Breach } else { Verdict::Clear }
        };
        let first = before.saturating_sub(open).max(self.begin.0 / step_ms);
        for (key, watch) in held.keys.iter().zip(&mut held.watches) {
            if watch.verdicts.len == 0 {
                (first..before).for_each(|_| watch.verdicts.push(Verdict::Clear));
            }
            // All of them again: the whiles may have changed. Those before are settled.
            for ago in 0..watch.verdicts.len.min(open as u32) {
                let at = Millis((before - u64::from(ago)) * step_ms);
                watch.verdicts.set(ago, judge(key, at));
            }
            let mut tick = before;
            while tick < latest {
                let next = latest.min(tick + u64::from(MAX_OPEN) - open);
                for tick in tick + 1..=next {
                    watch.verdicts.push(judge(key, Millis(tick * step_ms)));
                }
                tick = next;
                watch.replay(Millis(tick * step_ms), step_ms, spans);
                if let Some(recorder) = &mut self.recorder {
                    recorder.spells(number, key, &watch.spells);
                }
                watch.settle(Millis(tick * step_ms), step_ms, open as u32, spans);
            }
            watch.replay(Millis(latest.max(before) * step_ms), step_ms, spans);
        }
        held.tick = latest.max(before);
        if !rule.by.is_empty() {
            for place in (0..held.keys.len()).rev() {
                if held.watches[place].is_idle() && held.watches[place].verdicts.calm() {
                    held.keys.swap_remove(place);
                    held.watches.swap_remove(place);
                }
            }
        }
    }
}
