//! What was told of one incident by one connector, as all sites' records say.

use std::collections::BTreeMap;

use holm_model::Millis;

use crate::{Delivery, Event, Pager, Phase};

/// What a provider was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing.
    Nothing,
    /// That it is wrong.
    Paged,
    /// That somebody looks at it.
    Acknowledged,
    /// That it is over.
    Over,
}

/// One message: what all who wrote of it say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    /// Who wrote what; several if one took over from another, or two sites were apart.
    pub(crate) records: Vec<(Pager, std::sync::Arc<Delivery>)>,
}

impl Step {
    /// The last time that somebody took it on.
    pub(crate) fn round(&self) -> u32 {
        self.records.iter().map(|(_, d)| d.round).max().unwrap_or(0)
    }

    /// Whether a record is what counts, unless another says that it is delivered.
    pub(crate) fn is_current(&self, delivery: &Delivery) -> bool {
        delivery.round == self.round()
    }

    /// What became of it: delivered by one is delivered; else what the last round says.
    pub(crate) fn phase(&self) -> Phase {
        let settled = |phase| matches!(phase, Phase::Delivered);
        let counts = |d: &Delivery| settled(d.phase) || self.is_current(d);
        let has = |phase| self.records.iter().any(|(_, d)| d.phase == phase && counts(d));
        let order = [Phase::Delivered, Phase::Folded, Phase::Queued, Phase::Dead, Phase::Dropped];
        order.into_iter().find(|phase| has(*phase)).unwrap_or(Phase::Dropped)
    }

    /// Whether a record says what became of it: one that somebody else took on does not.
    pub(crate) fn counts(&self, delivery: &Delivery) -> bool {
        let current = delivery.phase == Phase::Delivered || self.is_current(delivery);
        current && delivery.phase == self.phase()
    }

    /// The record that says so; of several that of the latest.
    fn record(&self) -> Option<&Delivery> {
        let phase = self.phase();
        let said = self.records.iter().map(|(_, d)| &**d).filter(|d| d.phase == phase);
        said.max_by_key(|d| d.at)
    }
}

/// What was told of one incident by one connector.
#[derive(Debug, Clone, Default)]
pub struct Thread {
    /// By number and event.
    pub(crate) steps: BTreeMap<(u32, Event), Step>,
}

impl Thread {
    /// What was told last, and the record that says so. What two sites told apart has one order at both: by
    /// number, then by event.
    pub fn told(&self) -> (Told, Option<&Delivery>) {
        let told = |step: &Step| matches!(step.phase(), Phase::Delivered | Phase::Folded);
        let last = self.steps.iter().rev().find(|(_, step)| told(step));
        let Some(((_, event), step)) = last else { return (Told::Nothing, None) };
        let told = match event {
            Event::Acknowledge => Told::Acknowledged,
            Event::Resolve => Told::Over,
            _ => Told::Paged,
        };
        (told, step.record())
    }

    /// The message that waits to be delivered, the first one first.
    pub(crate) fn queued(&self) -> Option<(u32, Event, &Step)> {
        let queued = self.steps.iter().find(|(_, step)| step.phase() == Phase::Queued);
        queued.map(|((seq, event), step)| (*seq, *event, step))
    }

    /// A page that was given up after the last that was told: since when its incident was open.
    pub(crate) fn gave_up(&self) -> Option<Millis> {
        let last = self
            .steps
            .iter()
            .rev()
            .take_while(|(_, step)| !matches!(step.phase(), Phase::Delivered | Phase::Folded));
        let dead = last.filter(|((_, event), step)| event.pages() && step.phase() == Phase::Dead);
        dead.filter_map(|(_, step)| step.record()).map(|d| d.turned_at).max()
    }

    /// What was refused or given up, other than pages, after the last that was told: by event, since when its
    /// incident stood so.
    pub(crate) fn refused(&self, of: Event) -> Option<Millis> {
        let last = self
            .steps
            .iter()
            .rev()
            .take_while(|(_, step)| !matches!(step.phase(), Phase::Delivered | Phase::Folded));
        let dead = last.filter(|((_, event), step)| *event == of && step.phase() == Phase::Dead);
        dead.filter_map(|(_, step)| step.record()).map(|d| d.turned_at).max()
    }

    /// Whether the last page was told within a summary: the provider knows no message of its own.
    pub(crate) fn is_folded(&self) -> bool {
        let paged = self.steps.iter().rev().find(|((_, event), step)| {
            event.pages() && matches!(step.phase(), Phase::Delivered | Phase::Folded)
        });
        paged.is_some_and(|(_, step)| step.phase() == Phase::Folded)
    }

    /// How often it was told again since it was told first, or told that it is over.
    pub(crate) fn repeats(&self) -> usize {
        let since = self.steps.keys().rev().take_while(|(_, event)| *event != Event::Resolve);
        since.filter(|(_, event)| *event == Event::Repeat).count()
    }

    /// The number of the next message.
    pub(crate) fn next_seq(&self) -> u32 {
        self.steps.keys().next_back().map_or(1, |(seq, _)| seq.saturating_add(1))
    }

    /// What the provider calls what was told: the latest word of it.
    pub fn provider_id(&self) -> Option<&str> {
        let records = self.steps.values().rev().flat_map(|step| &step.records);
        let mut known = records.filter(|(_, d)| d.phase == Phase::Delivered);
        known.find_map(|(_, delivery)| delivery.provider_id.as_deref())
    }

    /// Whether something of it was given up.
    pub(crate) fn has_dead(&self) -> bool {
        self.steps.values().any(|step| step.phase() == Phase::Dead)
    }

    /// When something was last said in it.
    pub(crate) fn last(&self) -> Millis {
        let all = self.steps.values().flat_map(|step| &step.records);
        all.map(|(_, delivery)| delivery.at).max().unwrap_or_default()
    }

    /// Whether there is something that is not finished: it waits, or the provider does not know the end.
    pub(crate) fn is_unfinished(&self) -> bool {
        let live = matches!(self.told().0, Told::Paged | Told::Acknowledged);
        self.queued().is_some() || live && !self.is_folded()
    }
}
