//! How rules stand at each node, for all the others: small records, written when something turns.

use std::collections::BTreeMap;

use holm_alert::{RuleStanding, RuleState};
use holm_model::{Millis, NodeName, SiteId};
use holm_replica::Record;
use serde::{Deserialize, Serialize};

/// Most groups that a record names, and longest part of one, in bytes.
const MAX_NAMED: usize = 20;
const MAX_PART: usize = 64;
const MAX_PROBLEM: usize = 300;
/// Most records that are held of other nodes.
const MAX_HELD: usize = 100_000;
/// A record is written again when it is so old, in milliseconds: documents go after days.
const AGAIN_MS: u64 = 6 * 60 * 60 * 1_000;
/// A rule that turns all the time is written at most this often, in milliseconds.
const CALM_MS: u64 = 30_000;

/// How a rule stands at a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StateRecord {
    pub(crate) at: u64,
    pub(crate) state: Box<str>,
    #[serde(default)]
    pub(crate) groups: u64,
    #[serde(default)]
    pub(crate) firing: u64,
    #[serde(default)]
    pub(crate) pending: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) active: Vec<ActiveRecord>,
}

/// A group that holds or fires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ActiveRecord {
    pub(crate) group: Vec<Box<str>>,
    pub(crate) firing: bool,
    pub(crate) since: u64,
    #[serde(default)]
    pub(crate) fired_at: Option<u64>,
    #[serde(default)]
    pub(crate) value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inhibited_by: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) silenced_by: Option<Box<str>>,
}

/// A record and who wrote it.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) site: SiteId,
    pub(crate) node: NodeName,
    pub(crate) rule: Box<str>,
    pub(crate) record: StateRecord,
}

/// How rules stand at all nodes, as these said last.
#[derive(Debug, Default)]
pub(crate) struct States {
    held: BTreeMap<(SiteId, NodeName, Box<str>), StateRecord>,
    pub(super) unreadable: u64,
}

impl States {
    pub(super) fn take(&mut self, record: &Record) {
        let key = (record.site.clone(), record.node.clone(), record.key.clone());
        for value in &record.values {
            let said = serde_json::from_slice::<StateRecord>(value).ok().filter(is_sound);
            let room = self.held.len() < MAX_HELD || self.held.contains_key(&key);
            match said.filter(|_| room) {
                Some(said) => {
                    // Of several the latest: a record may stand in two documents.
                    if self.held.get(&key).is_none_or(|known| known.at <= said.at) {
                        self.held.insert(key.clone(), said);
                    }
                }
                None => self.unreadable = self.unreadable.saturating_add(1),
            }
        }
    }

    pub(super) fn shown(&self) -> Vec<Shown> {
        let all = self.held.iter();
        all.map(|((site, node, rule), record)| Shown {
            site: site.clone(),
            node: node.clone(),
            rule: rule.clone(),
            record: record.clone(),
        })
        .collect()
    }

    /// What this node last wrote of a rule.
    pub(super) fn of(&self, site: &SiteId, node: &NodeName, rule: &str) -> Option<&StateRecord> {
        self.held.get(&(site.clone(), node.clone(), rule.into()))
    }

    /// The rules that this node wrote something of that is not nothing.
    pub(super) fn written(&self, site: &SiteId, node: &NodeName) -> Vec<Box<str>> {
        let own = self.held.iter().filter(|((s, n, _), _)| s == site && n == node);
        own.filter(|(_, record)| !record.is_quiet()).map(|((_, _, rule), _)| rule.clone()).collect()
    }

    /// Lets go of what is older than documents are kept.
    pub(super) fn forget(&mut self, now: Millis) {
        const KEPT_MS: u64 = 3 * 24 * 60 * 60 * 1_000;
        self.held.retain(|_, record| record.at + KEPT_MS > now.0);
    }
}

fn is_sound(record: &StateRecord) -> bool {
    let short = |text: &str| text.len() <= 2 * MAX_PROBLEM;
    record.active.len() <= MAX_NAMED
        && record.problem.as_deref().is_none_or(short)
        && RuleState::parse(&record.state).is_some()
        && record.active.iter().all(|active| {
            active.group.len() <= 8
                && active.group.iter().all(|part| short(part))
                && active.inhibited_by.as_deref().is_none_or(short)
                && active.silenced_by.as_deref().is_none_or(short)
        })
}

fn cut(text: &str, most: usize) -> Box<str> {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end < text.len() { format!("{}…", &text[..end]).into() } else { text.into() }
}

impl StateRecord {
    /// How a rule stands, as far as others are told; `silenced` says by what a group is silenced.
    pub(crate) fn of(
        standing: &RuleStanding,
        silenced: impl Fn(&[Box<str>]) -> Option<Box<str>>,
        now: Millis,
    ) -> Self {
        let active = standing.active.iter().take(MAX_NAMED).map(|group| ActiveRecord {
            group: group.group.iter().map(|part| cut(part, MAX_PART)).collect(),
            firing: group.firing,
            since: group.since.0,
            fired_at: group.fired_at.map(|at| at.0),
            value: group.value.filter(|value| value.is_finite()),
            inhibited_by: group.inhibited_by.clone(),
            silenced_by: silenced(&group.group),
        });
        Self {
            at: now.0,
            state: standing.state.as_str().into(),
            groups: standing.groups as u64,
            firing: standing.firing as u64,
            pending: standing.pending as u64,
            problem: standing.problem.as_deref().map(|text| cut(text, MAX_PROBLEM)),
            active: active.collect(),
        }
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_quiet(&self) -> bool {
        self.active.is_empty() && self.problem.is_none()
    }

    /// Whether others are to be told, after `before`.
    pub(super) fn is_news(&self, before: Option<&Self>) -> bool {
        let Some(before) = before else { return !self.is_quiet() };
        let age = self.at.saturating_sub(before.at);
        let plain = |record: &Self| {
            let active =
                record.active.iter().map(|active| ActiveRecord { value: None, ..active.clone() });
            let active: Vec<ActiveRecord> = active.collect();
            (record.firing, record.pending, record.problem.clone(), active)
        };
        let fires_more = self.firing > before.firing;
        let turned = plain(self) != plain(before) && (fires_more || age >= CALM_MS);
        turned || (!self.is_quiet() && age >= AGAIN_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: u64, firing: u64) -> StateRecord {
        let active = (0..firing).map(|n| ActiveRecord {
            group: vec![format!("g{n}").into()],
            firing: true,
            since: 1,
            fired_at: Some(2),
            value: Some(at as f64),
            inhibited_by: None,
            silenced_by: None,
        });
        let state = if firing > 0 { "firing" } else { "inactive" };
        StateRecord {
            at,
            state: state.into(),
            groups: 3,
            firing,
            pending: 0,
            problem: None,
            active: active.collect(),
        }
    }

    #[test]
    fn it_is_told_what_turns_and_calmly() {
        let quiet = record(1_000, 0);
        assert!(!quiet.is_news(None) && record(1_000, 1).is_news(None));
        let fires = record(100_000, 1);
        assert!(!record(101_000, 1).is_news(Some(&fires)), "another value is none");
        assert!(record(101_000, 2).is_news(Some(&fires)), "more fire");
        assert!(!record(101_000, 0).is_news(Some(&fires)), "what is over waits a moment");
        assert!(record(100_000 + CALM_MS, 0).is_news(Some(&fires)));
        assert!(record(100_000 + AGAIN_MS, 1).is_news(Some(&fires)), "before documents go");
    }

    #[test]
    fn what_is_no_record_is_counted() {
        let mut states = States::default();
        let take = |states: &mut States, value: &str| {
            states.take(&Record {
                shelf: holm_replica::Shelf::Alerts,
                site: "berlin".parse().expect("valid"),
                node: "n1".parse().expect("valid"),
                key: "r".into(),
                values: vec![value.as_bytes().to_vec()],
            });
        };
        let text = |record: &StateRecord| serde_json::to_string(record).expect("written");
        take(&mut states, &text(&record(9, 2)));
        take(&mut states, &text(&record(5, 1)));
        assert_eq!(states.shown()[0].record, record(9, 2), "the latest");
        for bad in ["", "{}", r#"{"at":1,"state":"odd"}"#, &text(&record(10, 99))] {
            take(&mut states, bad);
        }
        assert_eq!((states.unreadable, states.shown().len()), (4, 1));
        states.forget(Millis(9 + 4 * 24 * 60 * 60 * 1_000));
        assert!(states.shown().is_empty());
    }
}
