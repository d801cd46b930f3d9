//! What became of pages, as the records of all sites say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use holm_model::Millis;

use crate::{Delivery, DeliveryId, Event, Pager, Phase, Thread};

/// Most deliveries that are kept; further ones are counted.
const MAX_DELIVERIES: usize = 200_000;

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
#[derive(Debug, Default)]
pub struct Book {
    threads: BTreeMap<ThreadId, Thread>,
    unfinished: BTreeSet<ThreadId>,
    ids: HashMap<DeliveryId, RecordId>,
    /// Pages that were delivered lately, by connector.
    recent: BTreeMap<Box<str>, BTreeSet<(Millis, DeliveryId)>>,
    unreadable: u64,
    refused: u64,
}

impl Book {
    /// Without any.
    pub fn new() -> Self {
        Self::default()
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
        let known = self.ids.contains_key(&number);
        if !known && self.ids.len() >= MAX_DELIVERIES {
            self.refused = self.refused.saturating_add(1);
            return false;
        }
        let thread_id = (delivery.incident.clone(), delivery.connector.clone());
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
}

fn listed(thread: &Thread) -> impl Iterator<Item = (RecordId, Arc<Delivery>)> + '_ {
    let steps = thread.steps.iter();
    steps.flat_map(|((seq, event), step)| {
        step.records.iter().map(move |(pager, delivery)| {
            let key = key_of(&delivery.incident, &delivery.connector, *seq, *event);
            (RecordId { pager: pager.clone(), key: key.into() }, Arc::clone(delivery))
        })
    })
}

fn key_of(incident: &str, connector: &str, seq: u32, event: Event) -> String {
    format!("{incident}/{connector}/{seq}/{}", event.as_str())
}
