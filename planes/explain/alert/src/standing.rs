//! How rules stand, for people.

use std::sync::Arc;

use holm_model::Millis;

use crate::engine::Engine;
use crate::rule::{Condition, Rule};
use crate::watch::{State, Verdict, Watch};

/// How a rule stands, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleState {
    /// It cannot be judged.
    Broken,
    /// A group of it fires.
    Firing,
    /// A group of it holds, and not for long enough.
    Pending,
    /// It has no value.
    NoData,
    /// What is usual is not known yet.
    Warming,
    /// It does not hold.
    Inactive,
}

impl RuleState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Broken, Self::Firing, Self::Pending, Self::NoData, Self::Warming, Self::Inactive];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Firing => "firing",
            Self::Pending => "pending",
            Self::NoData => "no_data",
            Self::Warming => "warming",
            Self::Inactive => "inactive",
        }
    }

    /// The state of that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// How a rule stands at this node.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleStanding {
    /// The rule.
    pub rule: Arc<Rule>,
    /// The worst of its groups.
    pub state: RuleState,
    /// Groups that it has.
    pub groups: usize,
    /// Of these, those that fire.
    pub firing: usize,
    /// Those that hold and do not fire yet.
    pub pending: usize,
    /// Groups that hold or fire, those that fire first; of many the first.
    pub active: Vec<GroupStanding>,
    /// Why it is not judged, or not all of it.
    pub problem: Option<String>,
    /// How many earlier hours of those that are needed the one that warms most knows.
    pub warming: Option<(usize, usize)>,
}

/// How a group stands.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupStanding {
    /// What it has in the columns of [`Rule::by`].
    pub group: Box<[Box<str>]>,
    /// Whether it fires, or holds only.
    pub firing: bool,
    /// Since when it holds.
    pub since: Millis,
    /// When it fired.
    pub fired_at: Option<Millis>,
    /// The value now.
    pub value: Option<f64>,
    /// The limits of what is usual.
    pub band: Option<(f64, f64)>,
    /// The rule that makes it quiet.
    pub inhibited_by: Option<Box<str>>,
}

fn state_of(watch: &Watch) -> RuleState {
    match (watch.now, watch.verdicts.len) {
        (State::Firing { .. }, _) => RuleState::Firing,
        (State::Pending { .. }, _) => RuleState::Pending,
        (State::Inactive, 0) => RuleState::Inactive,
        (State::Inactive, _) => match watch.verdicts.get(0) {
            Verdict::NoValue => RuleState::NoData,
            Verdict::Warming => RuleState::Warming,
            _ => RuleState::Inactive,
        },
    }
}

impl Engine {
    /// How all rules stand, in the order in which they came; of each at most `most` groups are told.
    pub fn standings(&self, most: usize) -> Vec<RuleStanding> {
        self.rules.iter().map(|held| self.standing(held, most)).collect()
    }

    fn standing(&self, held: &crate::engine::Held, most: usize) -> RuleStanding {
        let rule = Arc::clone(&held.rule);
        let mut states = [0_usize; RuleState::ALL.len()];
        let mut active: Vec<GroupStanding> = Vec::new();
        for (group, watch) in self.groups_of(held) {
            states[state_of(watch) as usize] += 1;
            let (firing, since, fired_at) = match watch.now {
                State::Inactive => continue,
                State::Pending { since } => (false, since, None),
                State::Firing { since, at, .. } => (true, since, Some(at)),
            };
            active.push(GroupStanding {
                group: group.clone(),
                firing,
                since,
                fired_at,
                value: watch.value,
                band: watch.band,
                inhibited_by: None,
            });
        }
        active.sort_by(|a, b| {
            b.firing.cmp(&a.firing).then(a.since.cmp(&b.since)).then_with(|| a.group.cmp(&b.group))
        });
        active.truncate(most);
        for group in &mut active {
            let by = self.inhibited(&rule, &group.group).map(|by| by.name.clone());
            group.inhibited_by = by;
        }
        let of = |state: RuleState| states[state as usize];
        let groups = states.iter().sum();
        let worst = [RuleState::Firing, RuleState::Pending].into_iter().find(|s| of(*s) > 0);
        let state =
            match worst {
                _ if held.broken.is_some() => RuleState::Broken,
                Some(worst) => worst,
                // What no group of it can say is not said by the rule.
                None if groups > 0 && of(RuleState::Inactive) == 0 => {
                    if of(RuleState::Warming) > 0 { RuleState::Warming } else { RuleState::NoData }
                }
                None if groups == 0 && held.place.is_some() => RuleState::NoData,
                None => RuleState::Inactive,
            };
        let refused = held.place.map_or(0, |p| self.tables[p.table].series[p.series].refused);
        let problem = held.broken.clone().or_else(|| {
            (refused > 0).then(|| {
                let most = self.limits.groups_of_rule;
                format!("it has more groups than are followed ({most} of a rule): take fewer columns, or fewer rows")
            })
        });
        let warming = match rule.query().map(|query| query.condition) {
            Some(Condition::Baseline { season, .. }) => {
                held.warming.map(|known| (known, season.least()))
            }
            _ => None,
        };
        RuleStanding {
            rule,
            state,
            groups,
            firing: of(RuleState::Firing),
            pending: of(RuleState::Pending),
            active,
            problem,
            warming,
        }
    }
}
