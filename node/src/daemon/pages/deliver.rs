//! The task that pages: looks each second what is due, writes it down, and sends it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holm_mesh_link::MemberState;
use holm_model::{DocVersion, Millis};
use holm_page::{
    Connector, Delivery, Due, Event, Outcome, Pager, Phase, Plan, Standing, page_of, plan,
    summary_of,
};
use holm_replica::{CommitError, NewRecord, Record, Shelf};
use tokio::task::JoinSet;

use super::{Pages, READY, lock};
use crate::daemon::state::NodeState;
use crate::daemon::tenant::Tenant;

const TICK: Duration = Duration::from_secs(1);
/// A node that looked at nothing for so long stood still: others may be about to take its place.
const STOOD_STILL: Duration = Duration::from_secs(15);
/// Records that come within this time are looked at together.
const BATCH: Duration = Duration::from_millis(100);
/// How often what is old is carried on or forgotten, in ticks.
const TEND_TICKS: u64 = 60;
/// A node whose lease stands still for this long, and for as long as the pace of the mesh makes of it
/// besides, cannot write, so it cannot page, in milliseconds.
const STILL_MS: u64 = 45_000;
/// How long requests that are under way are waited for when the node stops.
const LANDING: Duration = Duration::from_secs(3);

/// How long what could not be written waits in memory until it is tried again.
const WRITE_AGAIN: Duration = Duration::from_secs(5);

impl Pages {
    /// Takes who is there: members that are not down, whose lease moves, and that say that they page.
    fn look(&self, state: &NodeState, tenant: &Tenant, now: Millis) {
        let status = state.mesh().map(holm_mesh_link::Mesh::status);
        let label = state.label(&tenant.id);
        let still_ms = STILL_MS + status.as_ref().map_or(0, |status| status.leases_due_ms);
        let mut leases = lock(&self.leases);
        for lease in status.iter().flat_map(|status| &status.leases) {
            if Some(&lease.tenant) != label.as_ref() {
                continue;
            }
            let pager = Pager { site: lease.site.clone(), node: lease.node.clone() };
            let known = leases.entry(pager).or_insert((lease.as_of, now));
            if known.0 != lease.as_of {
                *known = (lease.as_of, now);
            }
        }
        leases.retain(|_, (_, moved)| now.since(*moved) < 10 * still_ms);
        let ready = lock(&self.ready);
        let mut others = tenant.documented_sites().iter().any(|site| *site != self.own.site);
        let mut live = Vec::new();
        for member in status.iter().flat_map(|status| &status.members) {
            let pager = Pager { site: member.site.clone(), node: member.node.clone() };
            if pager == self.own {
                continue;
            }
            others = true;
            let moves = leases.get(&pager).is_some_and(|(_, moved)| now.since(*moved) < still_ms);
            if member.state != MemberState::Down && moves && ready.contains(&pager) {
                live.push(pager);
            }
        }
        lock(&self.members).update(live, others, now);
    }

    fn plan(&self, tenant: &Tenant, now: Millis) -> Plan {
        let judged = tenant.incidents.lately(now);
        let subjects = self.subjects(&judged, now);
        let defined = self.defined();
        let (members, book) = (lock(&self.members), lock(&self.book));
        let outbox = lock(&self.outbox);
        let standing = Standing {
            connectors: &defined.by_name,
            routes: &defined.counting,
            subjects: &subjects,
            members: &members,
            book: &book,
            outbox: &outbox,
        };
        plan(&standing, now)
    }

    fn note(&self, plan: &Plan) {
        let mut latest = lock(&self.latest);
        let news = plan.elsewhere.difference(&latest.elsewhere).count() as u64;
        self.count(|counts| {
            counts.elsewhere += news;
            counts.nobody += plan.nobody.len() as u64;
            counts.over_budget += plan.over_budget as u64;
        });
        latest.elsewhere.clone_from(&plan.elsewhere);
        if latest.nobody != plan.nobody {
            for name in plan.nobody.difference(&latest.nobody) {
                tracing::warn!(
                    connector = %name,
                    "a page waits: no site that is heard may deliver by this connector; see its `sites`"
                );
            }
            latest.nobody.clone_from(&plan.nobody);
        }
    }
}

impl Tenant {
    /// Pages until the node stops.
    pub(crate) async fn keep_pages(self: Arc<Self>, state: Arc<NodeState>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut under_way: JoinSet<()> = JoinSet::new();
        let mut count = 0_u64;
        let mut failure: Option<String> = None;
        let mut last = (Instant::now(), self.mesh_now());
        loop {
            tokio::select! {
                () = self.pages.wake.notified() => tokio::time::sleep(BATCH).await,
                _ = ticks.tick() => count += 1,
                () = state.shutdown.cancelled() => break,
                () = self.ended().cancelled() => return,
            }
            while under_way.try_join_next().is_some() {}
            // Whoever stood still for so long that others took its place waits, as at a start, to learn what they told.
            let now = (Instant::now(), self.mesh_now());
            let stood =
                now.0.duration_since(last.0).max(Duration::from_millis(now.1.since(last.1)));
            if stood >= STOOD_STILL {
                tracing::warn!(tenant = %self.id, seconds = stood.as_secs(), "this node stood still; it pages again once it knows what others told");
                self.pages.count(|counts| counts.stood_still += 1);
                lock(&self.pages.members).restart(now.1);
            }
            last = now;
            let (tenant, of) = (Arc::clone(&self), Arc::clone(&state));
            let tend = count.is_multiple_of(TEND_TICKS);
            let work =
                tokio::task::spawn_blocking(move || tenant.page_once(&of, tend, tenant.mesh_now()));
            let (sends, versions) = match work.await {
                Ok(Ok(done)) => {
                    failure = None;
                    done
                }
                Ok(Err(error)) => {
                    self.pages.count(|counts| counts.write_failures += 1);
                    let error = error.to_string();
                    if failure.as_ref() != Some(&error) {
                        tracing::error!(tenant = %self.id, error, "pages wait: they cannot be written down; it is tried again");
                    }
                    failure = Some(error);
                    continue;
                }
                Err(error) => {
                    tracing::error!(tenant = %self.id, %error, "paging panicked; it is tried again");
                    continue;
                }
            };
            self.tell_pages(&state, versions);
            for due in sends {
                under_way.spawn(Arc::clone(&self).deliver(Arc::clone(&state), due));
            }
        }
        // What a provider took shall be written down.
        let landing = async { while under_way.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LANDING, landing).await;
    }

    /// One look: what is written down, and what is to be sent.
    fn page_once(
        self: &Arc<Self>,
        state: &NodeState,
        tend: bool,
        now: Millis,
    ) -> Result<(Vec<Due>, Vec<DocVersion>), CommitError> {
        let pages = &self.pages;
        let mut versions = self.say_ready(now)?;
        pages.look(state, self, now);
        if tend {
            versions.extend(self.tend_pages(now)?);
        }
        if pages.defined().by_name.is_empty() && lock(&pages.book).is_finished() {
            return Ok((Vec::new(), versions));
        }
        let mut first = pages.plan(self, now);
        pages.note(&first);
        if !first.writes.is_empty() {
            versions.extend(self.write_deliveries(&first.writes, now)?);
            pages.written(&first.writes);
            first = pages.plan(self, now);
        }
        let mut outbox = lock(&pages.outbox);
        for due in &first.sends {
            outbox.begin(&due.delivery, now);
        }
        Ok((first.sends, versions))
    }

    /// Says that this node pages, as soon as there is a connector.
    fn say_ready(&self, now: Millis) -> Result<Vec<DocVersion>, CommitError> {
        let pages = &self.pages;
        if pages.defined().connectors.is_empty() || lock(&pages.ready).contains(&pages.own) {
            return Ok(Vec::new());
        }
        self.write_ready(now).inspect(|_| lock(&pages.members).restart(now))
    }

    fn write_ready(&self, now: Millis) -> Result<Vec<DocVersion>, CommitError> {
        let pages = &self.pages;
        let new = NewRecord { key: READY.into(), value: br#"{"version":1}"#.to_vec() };
        let _order = self.in_order();
        let committed =
            self.replica.put_records_on(Shelf::Pages, std::slice::from_ref(&new), now)?;
        pages.take_records(&[Record {
            shelf: Shelf::Pages,
            site: pages.own.site.clone(),
            node: pages.own.node.clone(),
            key: new.key,
            values: vec![new.value],
        }]);
        Ok(committed.versions)
    }

    /// Carries on what is of incidents that are not over, and forgets what is older than the retention.
    fn tend_pages(&self, now: Millis) -> Result<Vec<DocVersion>, CommitError> {
        let pages = &self.pages;
        let judged = self.incidents.lately(now);
        let live: std::collections::BTreeSet<String> = judged
            .incidents()
            .iter()
            .take_while(|incident| !incident.is_resolved())
            .flat_map(|incident| incident.faults().map(|fault| fault.to_string()))
            .collect();
        let horizon = now - self.replica.limits().retention_ms;
        lock(&pages.book).forget(horizon, |incident| live.contains(incident));
        let own = lock(&pages.ready).contains(&pages.own);
        let of = |key: &str| key.split_once('/').is_some_and(|(of, _)| live.contains(of));
        let mut versions = {
            let _order = self.in_order();
            self.replica.carry_records_on(Shelf::Pages, of, now)?.versions
        };
        if own {
            // In a week's document, as all others: said again each week.
            versions.extend(self.write_ready(now)?);
        }
        Ok(versions)
    }

    /// Sends a message, and writes down what became of it.
    async fn deliver(self: Arc<Self>, state: Arc<NodeState>, due: Due) {
        let delivery = Arc::clone(&due.delivery);
        let connector = self.pages.defined().by_name.get(&delivery.connector).cloned();
        let outcome = match &connector {
            Some(connector) => self.send(&state, connector, &due).await,
            None => {
                Outcome::Retry { reason: "its connector was taken away".into(), after_ms: None }
            }
        };
        let now = self.mesh_now();
        let written = self.pages.landed(&delivery, &outcome, now);
        let Some(written) = written else { return };
        // What became of it is not lost while the disk is full.
        loop {
            let (tenant, record) = (Arc::clone(&self), written.clone());
            let work = tokio::task::spawn_blocking(move || {
                tenant.write_deliveries(std::slice::from_ref(&record), now)
            });
            match work.await {
                Ok(Ok(versions)) => {
                    if !matches!(outcome, Outcome::Retry { .. }) {
                        lock(&self.pages.outbox).answered(&delivery);
                        lock(&self.pages.outbox).forget(&delivery);
                    }
                    self.pages.written(std::slice::from_ref(&written));
                    self.tell_pages(&state, versions);
                    self.pages.wake.notify_one();
                    return;
                }
                Ok(Err(error)) => {
                    self.pages.count(|counts| counts.write_failures += 1);
                    tracing::error!(tenant = %self.id, %error, delivery = delivery.key(), "what became of a page cannot be written down; it is tried again");
                }
                Err(error) => {
                    tracing::error!(tenant = %self.id, %error, "writing down what became of a page panicked");
                    return;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(WRITE_AGAIN) => {}
                () = state.shutdown.cancelled() => return,
            }
        }
    }

    async fn send(
        self: &Arc<Self>,
        state: &NodeState,
        connector: &Connector,
        due: &Due,
    ) -> Outcome {
        let delivery = &due.delivery;
        let sender = self.pages.own.to_string();
        let base = state.console_url();
        let page = if delivery.event == Event::Summary {
            summary_of(delivery, Some(format!("{base}/incidents")), &sender)
        } else {
            let link = Some(format!("{base}/incidents?inc={}", delivery.incident));
            let mut page = page_of(delivery, due.subject.as_deref(), link, &sender);
            if delivery.event == Event::Trigger {
                let (tenant, key) = (Arc::clone(self), page.key.clone());
                let work = tokio::task::spawn_blocking(move || tenant.likely_changes(&key));
                // A page does not wait for what may have caused it.
                let limit = Duration::from_secs(2);
                if let Ok(Ok(found)) = tokio::time::timeout(limit, work).await {
                    page.facts.extend(found);
                }
            }
            page
        };
        let known = due.provider_id.as_deref();
        holm_page::send(&self.pages.http, connector, &page, known, self.mesh_now()).await
    }
}

impl Pages {
    /// What became of a request: the record as it is to be written, if it is.
    fn landed(&self, delivery: &Delivery, outcome: &Outcome, now: Millis) -> Option<Delivery> {
        let mut outbox = lock(&self.outbox);
        let attempts = outbox.attempts(delivery);
        match outcome {
            Outcome::Accepted { provider_id, url, note } => {
                if let Some(note) = note {
                    tracing::warn!(connector = %delivery.connector, incident = %delivery.incident, note, "a page was taken, and not by all");
                    self.count(|counts| counts.partly += 1);
                }
                // Under way until it is written: nobody sends it again.
                let mut done = delivery.turned(Phase::Delivered, now);
                done.attempts = attempts;
                done.provider_id.clone_from(provider_id);
                done.url.clone_from(url);
                done.reason.clone_from(note);
                Some(done)
            }
            Outcome::Refused { reason } => {
                tracing::error!(connector = %delivery.connector, incident = %delivery.incident, reason, "a page was refused; it is kept as a dead letter");
                self.count(|counts| counts.refused += 1);
                let mut dead = delivery.turned(Phase::Dead, now);
                dead.attempts = attempts;
                dead.reason = Some(reason.clone());
                Some(dead)
            }
            Outcome::Retry { reason, after_ms } => {
                let jitter = f64::from(rand::random::<u32>()) / f64::from(u32::MAX);
                let wait_ms = outbox.failed(delivery, *after_ms, jitter, now);
                drop(outbox);
                self.count(|counts| counts.retried += 1);
                tracing::warn!(connector = %delivery.connector, incident = %delivery.incident, reason, wait_ms, "a page was not taken; it is tried again");
                // A document remembers each value of a record: not one for every attempt.
                if !attempts.is_power_of_two() && delivery.reason.as_ref() == Some(reason) {
                    return None;
                }
                let mut waits = delivery.turned(Phase::Queued, now);
                waits.attempts = attempts;
                waits.reason = Some(reason.clone());
                attempts.is_power_of_two().then_some(waits)
            }
        }
    }

    /// Counts what was written.
    fn written(&self, deliveries: &[Delivery]) {
        let mut phases: BTreeMap<Phase, u64> = BTreeMap::new();
        let (mut fresh, mut taken_over) = (0, 0);
        for delivery in deliveries {
            match delivery.phase {
                Phase::Queued if delivery.attempts == 0 && delivery.queued_at == delivery.at => {
                    fresh += 1;
                }
                Phase::Queued if delivery.attempts == 0 => taken_over += 1,
                Phase::Queued => {}
                phase => *phases.entry(phase).or_default() += 1,
            }
        }
        let of = |phase| phases.get(&phase).copied().unwrap_or(0);
        self.count(|counts| {
            counts.queued += fresh;
            counts.taken_over += taken_over;
            counts.delivered += of(Phase::Delivered);
            counts.dead += of(Phase::Dead);
            counts.folded += of(Phase::Folded);
            counts.dropped += of(Phase::Dropped);
        });
        let mut outbox = lock(&self.outbox);
        let over = deliveries.iter().filter(|d| d.phase != Phase::Queued);
        over.for_each(|delivery| outbox.forget(delivery));
    }
}
