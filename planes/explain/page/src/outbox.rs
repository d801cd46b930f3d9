//! When the next request may go out: what waits, for how long, after which failure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holm_model::Millis;

use crate::{Connector, Delivery};

const FIRST_WAIT_MS: u64 = 5_000;
const MAX_WAIT_MS: u64 = 5 * 60 * 1_000;
/// What a provider may ask for at most, in milliseconds.
const MAX_ASKED_MS: u64 = 60 * 60 * 1_000;
const HOUR_MS: u64 = 60 * 60 * 1_000;
/// Most requests at once: to one provider, and to all.
const MAX_OF_CONNECTOR: usize = 4;
const MAX_AT_ONCE: usize = 64;

#[derive(Debug, Default)]
struct Line {
    /// Requests in a row that failed as all others would.
    failures: u32,
    not_before: Millis,
    /// Requests of the last hour.
    attempts: VecDeque<Millis>,
    in_flight: usize,
    pages_in_flight: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Try {
    attempts: u32,
    not_before: Millis,
}

/// What is under way from this node, and what waits. Kept in memory: what is queued follows from the records.
#[derive(Debug, Default)]
pub struct Outbox {
    lines: BTreeMap<Box<str>, Line>,
    tries: BTreeMap<String, Try>,
    in_flight: BTreeSet<String>,
}

/// How long to wait after so many failures; `jitter` from 0 to 1.
fn wait_ms(failures: u32, jitter: f64) -> u64 {
    let doubled = FIRST_WAIT_MS.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let whole = doubled.min(MAX_WAIT_MS) as f64;
    // Between half and all of it: who failed together does not come again together.
    (whole * (0.5 + 0.5 * jitter.clamp(0.0, 1.0))) as u64
}

impl Outbox {
    /// With nothing under way.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a request of this delivery is under way.
    pub fn is_in_flight(&self, key: &str) -> bool {
        self.in_flight.contains(key)
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// How often this node tried a delivery: what was written, and what came since.
    pub fn attempts(&self, delivery: &Delivery) -> u32 {
        let own = self.tries.get(&delivery.key()).map_or(0, |tries| tries.attempts);
        own.max(delivery.attempts)
    }

    /// Whether a delivery waits for its own next attempt.
    pub(crate) fn waits(&self, key: &str, now: Millis) -> bool {
        self.in_flight.contains(key)
            || self.tries.get(key).is_some_and(|tries| ahead(tries.not_before, now))
    }

    /// How many requests a connector has room for now.
    pub(crate) fn room(&self, connector: &Connector, now: Millis) -> usize {
        let all = MAX_AT_ONCE.saturating_sub(self.in_flight.len());
        let Some(line) = self.lines.get(&connector.name) else { return all.min(MAX_OF_CONNECTOR) };
        if ahead(line.not_before, now) {
            return 0;
        }
        let lately = line.attempts.iter().filter(|at| now.since(**at) < HOUR_MS).count();
        let budget = (connector.attempts_an_hour as usize).saturating_sub(lately);
        // One alone tries whether the provider is back.
        let most = if line.failures > 0 { 1 } else { MAX_OF_CONNECTOR };
        all.min(budget).min(most.saturating_sub(line.in_flight))
    }

    /// Pages of a connector that are under way.
    pub(crate) fn pages_in_flight(&self, connector: &str) -> usize {
        self.lines.get(connector).map_or(0, |line| line.pages_in_flight)
    }

    /// Until when a connector waits because its provider failed, if it does.
    pub fn down_until(&self, connector: &str, now: Millis) -> Option<Millis> {
        let line = self.lines.get(connector).filter(|line| line.failures > 0)?;
        Some(line.not_before.max(now))
    }

    /// A request goes out.
    pub fn begin(&mut self, delivery: &Delivery, now: Millis) {
        let key = delivery.key();
        let tries = self.tries.entry(key.clone()).or_default();
        tries.attempts = tries.attempts.max(delivery.attempts).saturating_add(1);
        let line = self.lines.entry(delivery.connector.clone()).or_default();
        line.attempts.retain(|at| now.since(*at) < HOUR_MS);
        line.attempts.push_back(now);
        line.in_flight += 1;
        line.pages_in_flight += usize::from(delivery.event.pages());
        self.in_flight.insert(key);
    }

    fn landed(&mut self, delivery: &Delivery) -> (&mut Line, &mut Try) {
        let key = delivery.key();
        self.in_flight.remove(&key);
        let line = self.lines.entry(delivery.connector.clone()).or_default();
        line.in_flight = line.in_flight.saturating_sub(1);
        let pages = usize::from(delivery.event.pages());
        line.pages_in_flight = line.pages_in_flight.saturating_sub(pages);
        (line, self.tries.entry(key).or_default())
    }

    /// The provider took it, or refused it for good: it is there.
    pub fn answered(&mut self, delivery: &Delivery) {
        let (line, _) = self.landed(delivery);
        (line.failures, line.not_before) = (0, Millis(0));
    }

    /// It is to be tried again; `asked_ms` is what the provider asked for. How long all of its connector wait.
    pub fn failed(
        &mut self,
        delivery: &Delivery,
        asked_ms: Option<u64>,
        jitter: f64,
        now: Millis,
    ) -> u64 {
        let (line, tries) = self.landed(delivery);
        let asked = asked_ms.unwrap_or(0).min(MAX_ASKED_MS);
        tries.not_before = now + wait_ms(tries.attempts, jitter).max(asked);
        line.failures = line.failures.saturating_add(1);
        let wait = wait_ms(line.failures, jitter).max(asked);
        line.not_before = now + wait;
        wait
    }

    /// It is finished: nothing of it is kept.
    pub fn forget(&mut self, delivery: &Delivery) {
        self.tries.remove(&delivery.key());
    }

    /// Tries at once what waits: somebody replays it, or the connector is another one.
    pub fn hurry(&mut self, connector: &str) {
        if let Some(line) = self.lines.get_mut(connector) {
            (line.failures, line.not_before) = (0, Millis(0));
        }
        let of = format!("/{connector}/");
        let waiting = self.tries.iter_mut().filter(|(key, _)| key.contains(&of));
        waiting.for_each(|(_, tries)| tries.not_before = Millis(0));
    }
}

/// Whether a moment lies ahead, and no further than what is ever waited: a clock that was set back must not
/// stop anything.
fn ahead(at: Millis, now: Millis) -> bool {
    now < at && at.since(now) <= MAX_ASKED_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Draft;
    use crate::delivery::tests::delivery;
    use crate::{Event, Phase, Provider};

    fn connector(attempts_an_hour: u32) -> Connector {
        let draft = Draft {
            secret: Some("0123456789abcdef".into()),
            attempts_an_hour: Some(attempts_an_hour),
            ..Draft::default()
        };
        Connector::new("ops", Provider::PagerDuty, draft, None).expect("good")
    }

    #[test]
    fn waits_double_with_jitter_up_to_five_minutes() {
        let waits: Vec<u64> = (1..=8).map(|n| wait_ms(n, 1.0) / 1_000).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(wait_ms(1, 0.0), 2_500);
        assert_eq!(wait_ms(u32::MAX, 0.0), 150_000);
    }

    #[test]
    fn a_provider_that_fails_is_tried_by_one_alone_and_as_it_asks() {
        let (ops, mut outbox) = (connector(100), Outbox::new());
        let all: Vec<Delivery> =
            (0..3).map(|n| delivery(&format!("i-{n}"), 1, Event::Trigger, Phase::Queued)).collect();
        let now = Millis(1_000_000);
        assert_eq!(outbox.room(&ops, now), 4);
        outbox.begin(&all[0], now);
        assert_eq!((outbox.room(&ops, now), outbox.pages_in_flight("ops")), (3, 1));
        assert_eq!(outbox.failed(&all[0], Some(120_000), 0.5, now), 120_000);
        assert_eq!(outbox.room(&ops, now + 119_999), 0);
        assert_eq!(outbox.room(&ops, now + 120_000), 1);
        assert!(outbox.waits(&all[0].key(), now + 119_999) && !outbox.waits(&all[1].key(), now));
        outbox.begin(&all[1], now + 120_000);
        assert_eq!(outbox.room(&ops, now + 120_000), 0);
        outbox.answered(&all[1]);
        assert_eq!(outbox.room(&ops, now + 120_000), 4);
        assert_eq!(outbox.attempts(&all[0]), 1);
        assert_eq!(outbox.failed(&all[2], Some(u64::MAX), 0.5, now), MAX_ASKED_MS, "at most");
        assert_eq!(outbox.room(&ops, Millis(5)), 1, "the clock was set back");
        outbox.hurry("ops");
        assert_eq!(outbox.room(&ops, now), 4);
    }

    #[test]
    fn an_hour_has_so_many_attempts() {
        let (ops, mut outbox) = (connector(2), Outbox::new());
        let one = delivery("i-1", 1, Event::Resolve, Phase::Queued);
        for at in [10, 20] {
            outbox.begin(&one, Millis(at));
            outbox.answered(&one);
        }
        assert_eq!(outbox.room(&ops, Millis(30)), 0);
        assert_eq!(outbox.room(&ops, Millis(HOUR_MS + 10)), 1);
        assert_eq!(outbox.room(&ops, Millis(HOUR_MS + 20)), 2);
    }
}
