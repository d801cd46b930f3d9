//! What burns, once: a pair of windows that burns is held until its long window is below the limit, and only
//! then can it burn anew.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::NodeId;

use crate::judge::{Burn, Tier};

/// A pair of windows of an objective.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// The SLO.
    pub slo: Box<str>,
    /// The objective, by its number.
    pub objective: usize,
    /// The pair.
    pub tier: Tier,
}

impl Alarm {
    /// The alarm as a text: `checkout/0/fast`.
    pub fn text(&self) -> String {
        format!("{}/{}/{}", self.slo, self.objective, self.tier.as_str())
    }

    /// The alarm that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, tier) = text.rsplit_once('/')?;
        let (slo, objective) = rest.rsplit_once('/')?;
        let tier = Tier::parse(tier)?;
        Some(Self { slo: slo.into(), objective: objective.parse().ok()?, tier })
    }
}

/// What became of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It burns, and did not before.
    Fired,
    /// It is over: it can fire anew.
    Rearmed,
}

/// The alarms that are held.
#[derive(Debug, Clone, Default)]
pub struct Latches {
    held: BTreeMap<Alarm, Burn>,
    /// What others were told that an alarm is about, and not yet that it is over.
    said: BTreeMap<Alarm, BTreeSet<NodeId>>,
}

impl Latches {
    /// None is held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up what was held before a restart, and said to be about `target`: it does not fire again, and is
    /// over when it is over.
    pub fn restore(&mut self, alarm: Alarm, target: NodeId) {
        let tier = alarm.tier;
        self.said.entry(alarm.clone()).or_default().insert(target);
        let unknown = Burn { tier, long: None, short: None, burns: false, lasts: true };
        self.held.entry(alarm).or_insert(unknown);
    }

    /// Takes how an alarm's windows burn now. `seen` says whether what burns was bad here too: what only
    /// others see is theirs to say.
    pub fn take(&mut self, alarm: Alarm, burn: Burn, seen: bool) -> Option<Turn> {
        match self.held.get_mut(&alarm) {
            Some(held) if burn.lasts => {
                *held = burn;
                None
            }
            Some(_) => {
                self.held.remove(&alarm);
                Some(Turn::Rearmed)
            }
            None if burn.burns && seen => {
                self.held.insert(alarm, burn);
                Some(Turn::Fired)
            }
            None => None,
        }
    }

    /// An alarm is about `target` now. What it was said to be about and is not any more, as it is not held or
    /// its objective is another service's now: that is to be ended. What is held counts as said of `target`.
    pub fn turn_to(&mut self, alarm: &Alarm, target: &NodeId) -> Vec<NodeId> {
        let held = self.holds(alarm);
        let before = self.said.remove(alarm).unwrap_or_default();
        if held {
            self.said.insert(alarm.clone(), BTreeSet::from([target.clone()]));
        }
        before.into_iter().filter(|said| !held || said != target).collect()
    }

    /// The alarms that are held and are not among `known`: of objectives that are gone. They are let go. Each
    /// with what it was said to be about.
    pub fn gone(&mut self, known: impl Fn(&Alarm) -> bool) -> Vec<(Alarm, NodeId)> {
        self.held.retain(|alarm, _| known(alarm));
        let gone: Vec<Alarm> = self.said.keys().filter(|alarm| !known(alarm)).cloned().collect();
        let of = |alarm: Alarm| {
            let said = self.said.remove(&alarm).unwrap_or_default();
            said.into_iter().map(move |target| (alarm.clone(), target))
        };
        gone.into_iter().flat_map(of).collect()
    }

    /// The alarms that are held.
    pub fn held(&self) -> impl Iterator<Item = &Alarm> {
        self.held.keys()
    }

    /// Whether an alarm is held.
    pub fn holds(&self, alarm: &Alarm) -> bool {
        self.held.contains_key(alarm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> NodeId {
        NodeId::new(holm_model::NodeKind::Service, name).expect("a name")
    }

    fn burn(burns: bool, lasts: bool) -> Burn {
        Burn { tier: Tier::Fast, long: None, short: None, burns, lasts }
    }

    #[test]
    fn it_fires_once_and_again_only_after_it_was_over() {
        let alarm = Alarm { slo: "a-b".into(), objective: 1, tier: Tier::Fast };
        assert_eq!(Alarm::parse(&alarm.text()), Some(alarm.clone()));
        let mut latches = Latches::new();
        let mut take = |now: Burn, seen| latches.take(alarm.clone(), now, seen);
        assert_eq!(take(burn(true, true), false), None, "others see it");
        assert_eq!(take(burn(false, true), true), None, "it does not go on");
        assert_eq!(take(burn(true, true), true), Some(Turn::Fired));
        assert_eq!(take(burn(true, true), true), None);
        assert_eq!(take(burn(false, true), true), None, "the long window is not over");
        assert_eq!(take(burn(true, true), true), None, "nor does it fire again");
        assert_eq!(take(burn(false, false), false), Some(Turn::Rearmed));
        assert_eq!(take(burn(true, true), true), Some(Turn::Fired));
    }

    #[test]
    fn a_restart_fires_nothing_again() {
        let alarm = Alarm { slo: "a".into(), objective: 0, tier: Tier::Slow };
        let mut latches = Latches::new();
        latches.restore(alarm.clone(), service("shop"));
        assert_eq!(latches.take(alarm.clone(), burn(true, true), true), None);
        assert!(latches.holds(&alarm));
        assert_eq!(latches.gone(|_| true), []);
        assert_eq!(latches.gone(|_| false), [(alarm, service("shop"))]);
        assert_eq!(latches.held().count(), 0);
        assert_eq!(latches.gone(|_| false), [], "once");
    }

    #[test]
    fn what_was_said_of_another_service_is_to_be_ended() {
        let alarm = Alarm { slo: "a".into(), objective: 0, tier: Tier::Fast };
        let mut latches = Latches::new();
        latches.take(alarm.clone(), burn(true, true), true);
        assert_eq!(latches.turn_to(&alarm, &service("shop")), []);
        assert_eq!(latches.turn_to(&alarm, &service("shop")), [], "it goes on");
        assert_eq!(latches.turn_to(&alarm, &service("cart")), [service("shop")]);
        assert_eq!(latches.turn_to(&alarm, &service("cart")), []);
        latches.take(alarm.clone(), burn(false, false), true);
        // It is over, and the service is another one at once.
        assert_eq!(latches.turn_to(&alarm, &service("till")), [service("cart")]);
        assert_eq!(latches.gone(|_| false), []);
    }
}
