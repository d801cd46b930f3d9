//! What this node is to write down and to send, now.
//!
//! What is told follows from how an incident stands and what was told of it last, not from what happened in
//! between: an event that is missed, repeated or out of order changes nothing. A message is first written
//! down as queued, by the node that is to deliver it, and then sent; who finds a message queued by a node that
//! is gone takes it over under the same number.

mod sending;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use holm_model::Millis;

use crate::thread::Step;
use crate::{
    Book, Connector, Delivery, Event, Members, Outbox, Pager, Phase, Route, Rule, Stand, Subject,
    Thread, Told, elect, rules,
};

/// What was told and what an incident is disagree, though the incident turned before: records of one kind may
/// come before those of the other. Believed after this long, in milliseconds.
const SETTLE_MS: u64 = 2 * 60 * 1_000;
const MINUTE_MS: u64 = 60 * 1_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// Most times that one incident is told again while nobody looks at it.
const MAX_REPEATS: usize = 50;

/// All that a plan follows from, beside the time.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// By name.
    pub connectors: &'a BTreeMap<Box<str>, Connector>,
    /// All of them.
    pub routes: &'a [Route],
    /// The incidents that are remembered.
    pub subjects: &'a [Arc<Subject>],
    /// Who is there.
    pub members: &'a Members,
    /// What was told.
    pub book: &'a Book,
    /// What is under way.
    pub outbox: &'a Outbox,
}

/// A message that is to be sent now. It is queued by this node.
#[derive(Debug, Clone)]
pub struct Due {
    /// The record of it.
    pub delivery: Arc<Delivery>,
    /// The incident, if it is remembered.
    pub subject: Option<Arc<Subject>>,
    /// What the provider calls what it was told of the incident before.
    pub provider_id: Option<String>,
}

/// What this node is to do.
#[derive(Debug, Default)]
pub struct Plan {
    /// To be written down, all or none, before anything else.
    pub writes: Vec<Delivery>,
    /// To be sent.
    pub sends: Vec<Due>,
    /// Messages that another node delivers: incident and connector.
    pub elsewhere: BTreeSet<(Box<str>, Box<str>)>,
    /// Connectors by which something is to be told and no site that is heard may.
    pub nobody: BTreeSet<Box<str>>,
    /// Pages that wait because there were as many as there may be in a minute.
    pub over_budget: usize,
}

/// Whether a record says that its node has a message and is to deliver it.
fn is_held(step: Option<&Step>, delivery: &Delivery) -> bool {
    delivery.phase == Phase::Queued && step.is_some_and(|step| step.is_current(delivery))
}

/// Who delivers a message.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Own,
    Other,
    /// Somebody comes who may get it.
    Unsettled,
    Nobody,
}

/// What this node is to do now.
pub fn plan(standing: &Standing<'_>, now: Millis) -> Plan {
    let mut planner = Planner {
        of: standing,
        candidates: standing.members.candidates(now),
        by_key: HashMap::new(),
        now,
        plan: Plan::default(),
    };
    for subject in standing.subjects {
        for key in subject.keys() {
            planner.by_key.insert(key, subject);
        }
    }
    for subject in standing.subjects {
        planner.consider(subject);
    }
    planner.queued();
    planner.plan
}

struct Planner<'a> {
    of: &'a Standing<'a>,
    candidates: Vec<&'a Pager>,
    by_key: HashMap<&'a str, &'a Arc<Subject>>,
    now: Millis,
    plan: Plan,
}

/// A message that waits, of this node.
struct Waiting<'a> {
    delivery: &'a Arc<Delivery>,
    thread: &'a Thread,
}

impl<'a> Planner<'a> {
    fn owner(&self, incident: &str, connector: &Connector, step: Option<&Step>) -> Owner {
        let own = self.of.members.own();
        let may = |pager: &&Pager| connector.is_for(&pager.site);
        let candidates = || self.candidates.iter().copied().filter(may);
        let writers = step.into_iter().flat_map(|step| &step.records);
        let writers = writers.filter(|(_, delivery)| is_held(step, delivery));
        let writers: BTreeSet<&Pager> = writers.map(|(pager, _)| pager).collect();
        // Who has it keeps it, whoever comes.
        let held = candidates().filter(|pager| writers.contains(pager));
        if let Some(holder) = elect(incident, &connector.name, held) {
            return if holder == own { Owner::Own } else { Owner::Other };
        }
        let Some(chosen) = elect(incident, &connector.name, candidates()) else {
            // It may be this node's, as soon as it is ready.
            let coming = !self.candidates.contains(&own) && connector.is_for(&own.site);
            return if coming { Owner::Unsettled } else { Owner::Nobody };
        };
        if chosen != own {
            return Owner::Other;
        }
        let joining = self.of.members.joining().filter(may);
        match elect(incident, &connector.name, candidates().chain(joining)) == Some(own) {
            true => Owner::Own,
            false => Owner::Unsettled,
        }
    }

    /// What is new to be told of an incident.
    fn consider(&mut self, subject: &'a Arc<Subject>) {
        let book = self.of.book;
        let rules = match subject.stand {
            Stand::Over => BTreeMap::new(),
            _ => rules(self.of.routes, subject),
        };
        let told = subject.keys().flat_map(|key| book.connectors_of(key));
        let names: BTreeSet<&str> = rules.keys().map(|name| &**name).chain(told).collect();
        for name in names {
            let Some(connector) = self.of.connectors.get(name) else { continue };
            match subject.stand {
                Stand::Open => {
                    let Some(rule) = rules.get(name) else { continue };
                    if let Some((key, event)) = self.page(subject, connector, rule) {
                        self.queue(subject, connector, key, event, rule.resolve);
                    }
                }
                Stand::Acknowledged | Stand::Over => {
                    for key in subject.keys() {
                        let Some(thread) = book.thread(key, name) else { continue };
                        if let Some((event, ends)) = self.news(subject, thread) {
                            self.queue(subject, connector, key, event, ends);
                        }
                    }
                }
            }
        }
    }

    /// Whether an incident that nobody looks at is to be told, and under which of its keys.
    fn page(
        &self,
        subject: &'a Subject,
        connector: &Connector,
        rule: &Rule,
    ) -> Option<(&'a str, Event)> {
        let book = self.of.book;
        let threads =
            subject.keys().filter_map(|key| Some((key, book.thread(key, &connector.name)?)));
        let threads: Vec<(&str, &Thread)> = threads.collect();
        let waits = |thread: &Thread| thread.queued().is_some_and(|(_, event, _)| event.pages());
        if threads.iter().any(|(_, thread)| waits(thread)) {
            return None;
        }
        let live = threads
            .iter()
            .find(|(_, thread)| matches!(thread.told().0, Told::Paged | Told::Acknowledged));
        if let Some((key, thread)) = live {
            let (told, record) = thread.told();
            let record = record?;
            let again = rule.repeat_ms.is_some_and(|ms| self.now >= record.at + ms);
            return match told {
                Told::Acknowledged if self.is_news(subject, record) => Some((key, Event::Reopen)),
                Told::Paged if again && thread.repeats() < MAX_REPEATS => {
                    Some((key, Event::Repeat))
                }
                _ => None,
            };
        }
        let gave_up = threads.iter().filter_map(|(_, thread)| thread.gave_up()).max();
        if gave_up.is_some_and(|since| since >= subject.turned_here()) {
            return None;
        }
        if self.now < subject.turned_here() + rule.after_ms {
            return None;
        }
        let over = threads.iter().find(|(_, thread)| thread.told().0 == Told::Over);
        let Some((key, thread)) = over else {
            let first = threads.first().map_or(&*subject.id, |(key, _)| key);
            return Some((first, Event::Trigger));
        };
        let record = thread.told().1?;
        self.is_news(subject, record).then_some((key, Event::Reopen))
    }

    /// What is to be told of an incident that somebody looks at, or that is over.
    fn news(&self, subject: &Subject, thread: &Thread) -> Option<(Event, bool)> {
        if thread.queued().is_some() || thread.is_folded() {
            return None;
        }
        let (told, record) = thread.told();
        let record = record?;
        let event = match (told, subject.stand) {
            (Told::Paged, Stand::Acknowledged) => Event::Acknowledge,
            (Told::Paged | Told::Acknowledged, Stand::Over) if record.ends => Event::Resolve,
            _ => return None,
        };
        // What was refused for good is a dead letter: it is told again by hand, or once the incident turns.
        if thread.refused(event).is_some_and(|since| since >= subject.turned_here()) {
            return None;
        }
        self.is_news(subject, record).then_some((event, record.ends))
    }

    /// Whether an incident turned after what was told of it; else it is what it was before, or the records
    /// that say so are on their way.
    fn is_news(&self, subject: &Subject, told: &Delivery) -> bool {
        subject.turned_at > told.turned_at || self.now >= told.at + SETTLE_MS
    }

    fn queue(
        &mut self,
        subject: &Subject,
        connector: &Connector,
        key: &str,
        event: Event,
        ends: bool,
    ) {
        match self.owner(key, connector, None) {
            Owner::Own => {}
            Owner::Other => {
                self.plan.elsewhere.insert((key.into(), connector.name.clone()));
                return;
            }
            Owner::Unsettled => return,
            Owner::Nobody => {
                self.plan.nobody.insert(connector.name.clone());
                return;
            }
        }
        let thread = self.of.book.thread(key, &connector.name);
        self.plan.writes.push(Delivery {
            incident: key.into(),
            connector: connector.name.clone(),
            seq: thread.map_or(1, Thread::next_seq),
            event,
            phase: Phase::Queued,
            at: self.now,
            round: 0,
            queued_at: self.now,
            turned_at: subject.turned_at,
            attempts: 0,
            reason: None,
            provider_id: None,
            url: None,
            ends,
            replayed_by: None,
            folded_into: None,
            severity: subject.severity,
            title: subject.title.clone(),
            lines: Vec::new(),
            count: 0,
        });
    }

    /// What is queued: taken over, given up, dropped, folded, or sent.
    fn queued(&mut self) {
        let book = self.of.book;
        let mut waiting: BTreeMap<&'a str, Vec<Waiting<'a>>> = BTreeMap::new();
        for (incident, name) in book.unfinished() {
            let Some(thread) = book.thread(incident, name) else { continue };
            let Some((_, event, step)) = thread.queued() else { continue };
            let Some(connector) = self.of.connectors.get(name) else {
                self.orphaned(step, name);
                continue;
            };
            match self.owner(incident, connector, Some(step)) {
                Owner::Own => {}
                Owner::Other => {
                    self.plan.elsewhere.insert((incident.clone(), name.clone()));
                    continue;
                }
                Owner::Unsettled => continue,
                Owner::Nobody => {
                    self.plan.nobody.insert(name.clone());
                    continue;
                }
            }
            let own = self.of.members.own();
            let record = step.records.iter().find(|(pager, _)| pager == own);
            let Some((_, delivery)) = record.filter(|(_, d)| is_held(Some(step), d)) else {
                self.take_over(step);
                continue;
            };
            if self.of.outbox.is_in_flight(&delivery.key()) {
                continue;
            }
            if !self.is_wanted(incident, event) {
                self.plan.writes.push(delivery.turned(Phase::Dropped, self.now));
                continue;
            }
            let late = self.now.since(delivery.queued_at);
            if late > u64::from(connector.give_up_after_h) * HOUR_MS {
                let mut dead = delivery.turned(Phase::Dead, self.now);
                dead.attempts = self.of.outbox.attempts(delivery);
                let last = dead.reason.as_deref().unwrap_or("it was never tried");
                let hours = connector.give_up_after_h;
                dead.reason = Some(format!("given up after {hours} h: {last}"));
                self.plan.writes.push(dead);
                continue;
            }
            if !connector.paused {
                waiting.entry(&connector.name).or_default().push(Waiting { delivery, thread });
            }
        }
        for (name, waiting) in waiting {
            if let Some(connector) = self.of.connectors.get(name) {
                self.send(connector, waiting);
            }
        }
    }

    /// The connector of what waits here was taken away.
    fn orphaned(&mut self, step: &Step, name: &str) {
        let own = self.of.members.own();
        let own = step.records.iter().filter(|(pager, d)| pager == own && is_held(Some(step), d));
        for (_, delivery) in own.filter(|(_, d)| !self.of.outbox.is_in_flight(&d.key())) {
            let mut dead = delivery.turned(Phase::Dead, self.now);
            dead.reason =
                Some(format!("connector {name} was taken away; make it again, and replay this"));
            self.plan.writes.push(dead);
        }
    }

    /// A message that was queued by who is gone.
    fn take_over(&mut self, step: &Step) {
        let queued = step.records.iter().filter(|(_, d)| is_held(Some(step), d));
        let Some((_, theirs)) = queued.min_by_key(|(_, d)| d.queued_at) else { return };
        let round = step.round().saturating_add(1);
        let taken = Delivery { attempts: 0, round, ..theirs.turned(Phase::Queued, self.now) };
        self.plan.writes.push(taken);
    }

    /// Whether what waits is still to be said. A page always is: somebody is told, also if it is late.
    fn is_wanted(&self, incident: &str, event: Event) -> bool {
        let Some(subject) = self.by_key.get(incident) else { return true };
        match event {
            Event::Trigger | Event::Reopen | Event::Summary => true,
            Event::Repeat => subject.stand == Stand::Open,
            Event::Acknowledge => subject.stand == Stand::Acknowledged,
            Event::Resolve => subject.stand == Stand::Over,
        }
    }
}

#[cfg(test)]
mod tests;
