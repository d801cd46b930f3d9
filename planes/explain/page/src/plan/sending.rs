//! Of what waits at this node: what goes out now, and what is more than may be told one by one.

use std::sync::Arc;

use super::{Due, MINUTE_MS, Planner, Waiting};
use crate::delivery::MAX_LINES;
use crate::{Connector, Delivery, Event, Phase};

impl<'a> Planner<'a> {
    /// Sends what may go now; pages that are more than the budget are folded into one.
    pub(super) fn send(&mut self, connector: &Connector, waiting: Vec<Waiting<'a>>) {
        let outbox = self.of.outbox;
        let (mut pages, mut others): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|w| w.delivery.event.pages());
        // Summaries first, they stand for many; then the gravest, then the oldest.
        pages.sort_by_key(|w| {
            let d = w.delivery;
            (d.event != Event::Summary, std::cmp::Reverse(d.severity), d.queued_at, d.key())
        });
        let span = (self.now - MINUTE_MS, self.now + MINUTE_MS);
        let lately = self.of.book.pages_between(&connector.name, span.0, span.1)
            + outbox.pages_in_flight(&connector.name);
        let left = (connector.pages_a_minute as usize).saturating_sub(lately);
        if pages.len() > left {
            let summaries = pages.iter().filter(|w| w.delivery.event == Event::Summary).count();
            let alone = left.saturating_sub(1).max(summaries.min(left));
            let folded = pages.split_off(alone);
            self.plan.over_budget += folded.len();
            let plain: Vec<&Waiting<'_>> =
                folded.iter().filter(|w| w.delivery.event != Event::Summary).collect();
            if left > alone && plain.len() > 1 {
                self.fold(connector, &plain);
            }
        }
        others.sort_by_key(|w| w.delivery.queued_at);
        let mut sends: Vec<Waiting<'_>> = pages.into_iter().chain(others).collect();
        sends.retain(|w| !outbox.waits(&w.delivery.key(), self.now));
        if outbox.down_until(&connector.name, self.now).is_some() {
            // What was tried least first: one that always fails holds up nobody.
            sends.sort_by_key(|w| outbox.attempts(w.delivery));
        }
        let room = outbox.room(connector, self.now);
        for Waiting { delivery, thread } in sends.into_iter().take(room) {
            self.plan.sends.push(Due {
                subject: self.by_key.get(&*delivery.incident).map(|subject| Arc::clone(subject)),
                provider_id: thread.provider_id().map(str::to_owned),
                delivery: Arc::clone(delivery),
            });
        }
    }

    /// Puts pages into one summary.
    fn fold(&mut self, connector: &Connector, pages: &[&Waiting<'_>]) {
        let own = self.of.members.own();
        let mut hasher = blake3::Hasher::new_derive_key("holm page summary v1");
        for part in [own.site.as_str(), own.node.as_str(), &connector.name] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.update(&self.now.0.to_le_bytes());
        let id: Box<str> = format!("s-{}", &hasher.finalize().to_hex()[..16]).into();
        let lines = pages.iter().take(MAX_LINES).map(|w| {
            let d = w.delivery;
            format!("{} {} {}", d.incident, d.severity, crate::cut(&d.title, 120))
        });
        let count = u32::try_from(pages.len()).unwrap_or(u32::MAX);
        let gravest = pages.iter().map(|w| w.delivery.severity).max().unwrap_or_default();
        self.plan.writes.push(Delivery {
            incident: id.clone(),
            connector: connector.name.clone(),
            seq: 1,
            event: Event::Summary,
            phase: Phase::Queued,
            at: self.now,
            round: 0,
            queued_at: self.now,
            turned_at: self.now,
            attempts: 0,
            reason: None,
            provider_id: None,
            url: None,
            ends: false,
            replayed_by: None,
            folded_into: None,
            severity: gravest,
            title: format!("{count} more incidents than may be paged one by one").into(),
            lines: lines.collect(),
            count,
        });
        for waiting in pages {
            let mut folded = waiting.delivery.turned(Phase::Folded, self.now);
            folded.folded_into = Some(id.clone());
            self.plan.writes.push(folded);
        }
    }
}
