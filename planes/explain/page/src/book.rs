//! What became of pages, as the records of all sites say.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashMap;
use holm_model::Millis;

use crate::{Delivery, DeliveryId, Event, Pager, Phase, Thread};

/// Most deliveries that are kept: what is finished goes first, the oldest before all others. Only when all of
/// them wait for something further ones are refused, and counted.
const MAX_DELIVERIES: usize = 200_000;
/// Most threads that were let go and are remembered, so that an old record of one is no new beginning.
const MAX_LET_GO: usize = 1_000_000;

/// Whose record it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The node that wrote it.
    pub pager: Pager,
    /// Its key among those of the node.
    pub key: Box<str>,
}

/// An incident and a connector.
pub(crate) type ThreadId = (Box<str>, Box<str>);

/// What became of pages.
#[derive(Debug)]
pub struct Book {
    most: usize,
    threads: BTreeMap<ThreadId, Thread>,
    unfinished: BTreeSet<ThreadId>,
    ids: HashMap<DeliveryId, RecordId>,
    /// Pages that were delivered lately, by connector.
    recent: BTreeMap<Box<str>, BTreeSet<(Millis, DeliveryId)>>,
    /// Threads that were let go, by what names them, and when something was last said in each.
    gone: HashMap<u64, Millis>,
    names: RandomState,
    unreadable: u64,
    refused: u64,
    let_go: u64,
}

impl Default for Book {
    fn default() -> Self {
        Self::with_room(MAX_DELIVERIES)
    }
}

impl Book {
    /// Without any.
    pub fn new() -> Self {
        Self::default()
    }

    /// With room for so many deliveries.
    pub fn with_room(most: usize) -> Self {
        Self {
            most,
            threads: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            ids: HashMap::new(),
            recent: BTreeMap::new(),
            gone: HashMap::new(),
            names: RandomState::new(),
            unreadable: 0,
            refused: 0,
            let_go: 0,
        }
    }

    /// Takes what stands under a key of a node: of several values, which two lives of the node wrote at once,
    /// the one that went furthest. Whether that was news.
    pub fn take<'a>(&mut self, id: RecordId, values: impl IntoIterator<Item = &'a [u8]>) -> bool {
        let mut said: Vec<Delivery> = Vec::new();
        for value in values {
            match Delivery::decode(&id.key, value) {
                Some(delivery) => said.push(delivery),
                None => self.unreadable = self.unreadable.saturating_add(1),
            }
        }
        let settled = |d: &Delivery| matches!(d.phase, Phase::Delivered | Phase::Folded);
        let Some(delivery) = said.into_iter().max_by_key(|d| (settled(d), d.round, d.at)) else {
            return false;
        };
        let number = DeliveryId::of(&id);
        let thread_id: ThreadId = (delivery.incident.clone(), delivery.connector.clone());
        let known = self.ids.contains_key(&number);
        if !known && !self.gone.is_empty() {
            let name = self.names.hash_one(&thread_id);
            if self.gone.get(&name).is_some_and(|last| delivery.at <= *last) {
                return false;
            }
            self.gone.remove(&name);
        }
        if !known && self.ids.len() >= self.most && !self.make_room(&thread_id) {
            self.refused = self.refused.saturating_add(1);
            return false;
        }
        if delivery.phase == Phase::Delivered && delivery.event.pages() {
            let recent = self.recent.entry(delivery.connector.clone()).or_default();
            recent.insert((delivery.at, number));
        }
        let thread = self.threads.entry(thread_id.clone()).or_default();
        let step = thread.steps.entry((delivery.seq, delivery.event)).or_default();
        let place = step.records.iter().position(|(pager, _)| *pager == id.pager);
        match place {
            Some(place) if *step.records[place].1 == delivery => return false,
            Some(place) => step.records[place].1 = Arc::new(delivery),
            None => step.records.push((id.pager.clone(), Arc::new(delivery))),
        }
        let unfinished = thread.is_unfinished();
        self.ids.insert(number, id);
        match unfinished {
            true => self.unfinished.insert(thread_id),
            false => self.unfinished.remove(&thread_id),
        };
        true
    }

    /// Lets go of what is finished, the oldest first, and of dead letters only when nothing else is left.
    /// Whether there is room now.
    fn make_room(&mut self, other_than: &ThreadId) -> bool {
        if self.threads.len() == self.unfinished.len() {
            return false;
        }
        let others = self.threads.iter().filter(|(id, _)| *id != other_than);
        let finished = others.filter(|(id, _)| !self.unfinished.contains(*id));
        let mut finished: Vec<(bool, Millis, ThreadId)> =
            finished.map(|(id, thread)| (thread.has_dead(), thread.last(), id.clone())).collect();
        finished.sort_unstable();
        // Some more than is needed now: who comes next finds room.
        let room = (self.most / 64).max(1);
        let mut freed = 0;
        for (_, last, id) in finished {
            if freed >= room {
                break;
            }
            let Some(thread) = self.threads.remove(&id) else { continue };
            let records: Vec<DeliveryId> =
                listed(&thread).map(|(record, _)| DeliveryId::of(&record)).collect();
            freed += records.len();
            for number in &records {
                self.ids.remove(number);
            }
            if self.gone.len() < MAX_LET_GO {
                self.gone.insert(self.names.hash_one(&id), last);
            }
        }
        self.let_go = self.let_go.saturating_add(freed as u64);
        freed > 0
    }

    /// What was told of an incident by a connector.
    pub fn thread(&self, incident: &str, connector: &str) -> Option<&Thread> {
        self.threads.get(&(incident.into(), connector.into()))
    }

    /// Whether nothing waits, and every provider knows the end of what it was told.
    pub fn is_finished(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// All that is not finished.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = &ThreadId> {
        self.unfinished.iter()
    }

    /// The connectors by which anything was told of an incident.
    pub(crate) fn connectors_of(&self, incident: &str) -> impl Iterator<Item = &str> {
        let of = self.threads.range((incident.into(), Box::default())..);
        let incident = incident.to_owned();
        of.map(|((of, connector), _)| (of, connector))
            .take_while(move |(of, _)| ***of == *incident)
            .map(|(_, connector)| &**connector)
    }

    /// Everything that was told of an incident, in no order.
    pub fn of_incident(&self, incident: &str) -> Vec<(RecordId, Arc<Delivery>)> {
        let of = self.threads.range((incident.into(), Box::default())..);
        let of = of.take_while(|((of, _), _)| **of == *incident);
        of.flat_map(|(_, thread)| listed(thread)).collect()
    }

    /// What became of every message: of those that another node took on only what that one says.
    pub fn messages(&self) -> impl Iterator<Item = (RecordId, Arc<Delivery>)> + '_ {
        let steps = self.threads.values().flat_map(|thread| &thread.steps);
        steps.flat_map(|((seq, event), step)| {
            step.records.iter().filter(|(_, delivery)| step.counts(delivery)).map(
                move |(pager, delivery)| {
                    (record_of(pager, delivery, *seq, *event), Arc::clone(delivery))
                },
            )
        })
    }

    /// Everything.
    pub fn all(&self) -> impl Iterator<Item = (RecordId, Arc<Delivery>)> + '_ {
        self.threads.values().flat_map(listed)
    }

    /// The round that comes next for a message, however many took it on.
    pub fn next_round(&self, delivery: &Delivery) -> u32 {
        let thread = self.thread(&delivery.incident, &delivery.connector);
        let step = thread.and_then(|thread| thread.steps.get(&(delivery.seq, delivery.event)));
        step.map_or(0, |step| step.round().saturating_add(1))
    }

    /// What became of a message, by all who took it on.
    pub fn phase_of(&self, delivery: &Delivery) -> Phase {
        let thread = self.thread(&delivery.incident, &delivery.connector);
        let step = thread.and_then(|thread| thread.steps.get(&(delivery.seq, delivery.event)));
        step.map_or(delivery.phase, |step| step.phase())
    }

    /// The delivery of an id.
    pub fn delivery(&self, id: DeliveryId) -> Option<(RecordId, Arc<Delivery>)> {
        let record = self.ids.get(&id)?;
        let mut all = self.all_of_key(record);
        all.find(|(of, _)| of == record)
    }

    fn all_of_key(&self, id: &RecordId) -> impl Iterator<Item = (RecordId, Arc<Delivery>)> + '_ {
        let mut parts = id.key.split('/');
        let thread =
            (parts.next().unwrap_or_default().into(), parts.next().unwrap_or_default().into());
        self.threads.get(&thread).into_iter().flat_map(listed)
    }

    /// How many pages a connector delivered from `from` to `to`, by all that is known.
    pub(crate) fn pages_between(&self, connector: &str, from: Millis, to: Millis) -> usize {
        let span = (from, DeliveryId::LEAST)..(to, DeliveryId::LEAST);
        self.recent.get(connector).map_or(0, |recent| recent.range(span).count())
    }

    /// Forgets what is older than `horizon`, but of incidents that are to be kept.
    pub fn forget(&mut self, horizon: Millis, keep: impl Fn(&str) -> bool) {
        let old = |thread: &Thread| {
            let mut all = thread.steps.values().flat_map(|step| &step.records);
            all.all(|(_, delivery)| delivery.at < horizon)
        };
        self.threads.retain(|(incident, _), thread| !old(thread) || keep(incident));
        let threads = &self.threads;
        self.unfinished.retain(|id| threads.contains_key(id));
        self.ids.retain(|_, id| {
            let mut parts = id.key.split('/');
            let thread: ThreadId =
                (parts.next().unwrap_or_default().into(), parts.next().unwrap_or_default().into());
            threads.contains_key(&thread)
        });
        self.gone.retain(|_, last| *last >= horizon);
        self.recent.retain(|_, recent| {
            recent.retain(|(at, _)| *at >= horizon);
            !recent.is_empty()
        });
    }

    /// How many there are of each phase.
    pub fn counts(&self) -> BTreeMap<Phase, usize> {
        let mut counts: BTreeMap<Phase, usize> =
            Phase::ALL.into_iter().map(|phase| (phase, 0)).collect();
        for step in self.threads.values().flat_map(|thread| thread.steps.values()) {
            *counts.entry(step.phase()).or_default() += 1;
        }
        counts
    }

    /// Records that could not be read, and those that found no room.
    pub fn unreadable(&self) -> (u64, u64) {
        (self.unreadable, self.refused)
    }

    /// Deliveries of what is finished that were let go because there was no room.
    pub fn let_go(&self) -> u64 {
        self.let_go
    }
}

fn listed(thread: &Thread) -> impl Iterator<Item = (RecordId, Arc<Delivery>)> + '_ {
    let steps = thread.steps.iter();
    steps.flat_map(|((seq, event), step)| {
        step.records.iter().map(move |(pager, delivery)| {
            (record_of(pager, delivery, *seq, *event), Arc::clone(delivery))
        })
    })
}

fn record_of(pager: &Pager, delivery: &Delivery, seq: u32, event: Event) -> RecordId {
    let key = key_of(&delivery.incident, &delivery.connector, seq, event);
    RecordId { pager: pager.clone(), key: key.into() }
}

fn key_of(incident: &str, connector: &str, seq: u32, event: Event) -> String {
    format!("{incident}/{connector}/{seq}/{}", event.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::delivery;

    fn take(book: &mut Book, node: &str, delivery: &Delivery) -> bool {
        let pager =
            Pager { site: "berlin".parse().expect("valid"), node: node.parse().expect("valid") };
        let id = RecordId { pager, key: delivery.key().into() };
        book.take(id, [&*delivery.encode()])
    }

    fn at(incident: &str, seq: u32, event: Event, phase: Phase, at: u64) -> Delivery {
        Delivery { at: Millis(at), ..delivery(incident, seq, event, phase) }
    }

    #[test]
    fn of_a_message_that_was_taken_on_only_the_last_word_counts() {
        let mut book = Book::new();
        take(&mut book, "n1", &at("i-1", 1, Event::Trigger, Phase::Queued, 1));
        let over = Delivery { round: 1, ..at("i-1", 1, Event::Trigger, Phase::Delivered, 2) };
        take(&mut book, "n2", &over);
        take(&mut book, "n1", &at("i-2", 1, Event::Trigger, Phase::Dead, 3));
        let replayed = Delivery { round: 1, ..at("i-2", 1, Event::Trigger, Phase::Queued, 4) };
        take(&mut book, "n2", &replayed);
        let counted: Vec<(String, Phase)> =
            book.messages().map(|(id, d)| (id.pager.to_string(), d.phase)).collect();
        let wanted = [("berlin/n2", Phase::Delivered), ("berlin/n2", Phase::Queued)];
        assert_eq!(counted, wanted.map(|(pager, phase)| (pager.to_owned(), phase)));
        assert_eq!(book.all().count(), 4);
        let counts = book.counts();
        assert_eq!((counts[&Phase::Queued], counts[&Phase::Dead]), (1, 0));
    }

    #[test]
    fn what_is_finished_makes_room_and_what_waits_is_kept() {
        let mut book = Book::with_room(64);
        // Told, and over; one of them is dead, and was given up first of all.
        take(&mut book, "n1", &at("i-dead", 1, Event::Trigger, Phase::Dead, 1));
        for n in 0..31_u64 {
            let incident = format!("i-{n:02}");
            take(&mut book, "n1", &at(&incident, 1, Event::Trigger, Phase::Delivered, 10 + n));
            take(&mut book, "n1", &at(&incident, 2, Event::Resolve, Phase::Delivered, 50 + n));
        }
        take(&mut book, "n1", &at("i-waits", 1, Event::Trigger, Phase::Queued, 2));
        assert_eq!((book.ids.len(), book.let_go()), (64, 0));
        assert!(take(&mut book, "n1", &at("i-new", 1, Event::Trigger, Phase::Queued, 100)));
        assert_eq!((book.let_go(), book.unreadable().1), (2, 0));
        assert!(book.thread("i-00", "ops").is_none() && book.thread("i-01", "ops").is_some());
        assert!(book.thread("i-waits", "ops").is_some() && book.thread("i-dead", "ops").is_some());
        // What is said again of one that was let go is no new beginning; what is new is.
        assert!(!take(&mut book, "n1", &at("i-00", 1, Event::Trigger, Phase::Delivered, 10)));
        assert!(book.thread("i-00", "ops").is_none());
        assert!(take(&mut book, "n1", &at("i-00", 3, Event::Reopen, Phase::Queued, 200)));
        // All that is left waits: only then is anything refused.
        for n in 0..200_u64 {
            take(
                &mut book,
                "n1",
                &at(&format!("i-w{n}"), 1, Event::Trigger, Phase::Queued, 300 + n),
            );
        }
        assert_eq!(book.ids.len(), 64);
        assert!(book.counts()[&Phase::Queued] == 64 && book.unreadable().1 > 0);
        assert!(book.thread("i-waits", "ops").is_some());
    }
}
