//! What one engine found in rows of the past, for another one; and engines that come together.

use std::collections::BTreeMap;

use crate::baseline::Hour;
use crate::engine::Engine;
use crate::rule::{Condition, Rule};
use crate::series::GroupKey;

/// Hours of groups, by rule.
#[derive(Debug, Clone, Default)]
pub struct Learnt(BTreeMap<Box<str>, Vec<(GroupKey, Vec<Hour>)>>);

impl Engine {
    /// The hours that its rules know.
    pub fn learnt(&self) -> Learnt {
        let rules = self.rules.iter().map(|held| {
            let groups = self.groups_of(held).filter_map(|(key, watch)| {
                let hours = watch.baseline.as_ref()?.hours();
                (!hours.is_empty()).then(|| (key.clone(), hours.to_vec()))
            });
            (held.rule.name.clone(), groups.collect())
        });
        Learnt(rules.collect())
    }

    /// Takes what was found in rows of the past.
    pub fn learn(&mut self, learnt: Learnt) {
        for (name, groups) in learnt.0 {
            let Some(number) = self.by_name.get(&name).copied() else { continue };
            let held = &self.rules[number];
            let Some(Condition::Baseline { season, .. }) = held.rule.query().map(|q| q.condition)
            else {
                continue;
            };
            let Some(place) = held.place else { continue };
            for (key, hours) in groups {
                let series = &self.tables[place.table].series[place.series];
                let slot = series.slot(&key, &self.hasher);
                let held = &mut self.rules[number];
                let baseline = slot
                    .and_then(|slot| held.watches.get_mut(slot))
                    .and_then(|watch| watch.baseline.as_mut());
                match baseline {
                    Some(baseline) => baseline.learn(&hours, season),
                    None if held.learnt.len() < self.limits.groups_of_rule => {
                        held.learnt.insert(key, hours);
                    }
                    None => {}
                }
            }
        }
    }

    /// The rules that are judged.
    pub fn rules(&self) -> impl Iterator<Item = &std::sync::Arc<Rule>> {
        self.rules.iter().map(|held| &held.rule)
    }
}
