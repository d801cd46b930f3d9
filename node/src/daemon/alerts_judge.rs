//! Judging alert rules: rows as they are committed, each once; the past when a rule is new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holm_alert::{Engine, Limits, Recorded, Rule, Turn};
use holm_events::{Followed, Follower, Snapshot};
use holm_model::{DocVersion, Millis, NodeId, SIGNAL_KEY, Signal};
use holm_replica::{NewRecord, Record, Shelf};

use super::alerts::{KIND, PLANE, View};
use super::alerts_rows::{Past, shapes, watched};
use super::alerts_state::StateRecord;
use super::mesh_clock::Steps;
use super::slo::lock;
use super::state::{Change, NodeState, Topic};
use super::tenant::Tenant;

const TICK: Duration = Duration::from_secs(1);
/// Moments of rules lie at least this far apart, in milliseconds.
const SHORTEST_MS: u64 = 10_000;
/// Rows that wait for a judgement: above this they are looked at early, above the other one all is judged anew.
const EARLY_BYTES: usize = 8 << 20;
const MOST_BYTES: usize = 64 << 20;
/// Most groups of a rule that are shown.
const SHOWN_GROUPS: usize = 200;
/// How often groups and records that are old are let go of, in milliseconds.
const TEND_MS: u64 = 60_000;
/// A node that did not look for so long did not watch meanwhile.
const STILL_MS: u64 = 5 * 60_000;
/// How long it is remembered that an edit ended a rule's alerts: longer than rows are late.
const REMEMBERED_MS: u64 = 60 * 60_000;

/// What is judged by now.
struct Judging {
    follower: Follower,
    /// Rules that came together have an engine together.
    engine: Engine,
    rules: Vec<Arc<Rule>>,
    /// The tables that there were: one that is new may mend a rule.
    tables: usize,
    /// Since when it was looked at what comes: since the start, or since the clock was set or the node stood still.
    started: Millis,
    steps: Steps,
    tended: Millis,
    rebuilt: u64,
    /// What was said before this start, and is to be said again or to be ended.
    before: BTreeSet<String>,
    /// Rules whose alerts an edit ended, and when: what fires of them now began after that.
    ended: BTreeMap<Box<str>, Millis>,
}

/// How rules stand, for other sites.
type Records = Vec<(Box<str>, StateRecord)>;

/// What is found in the past by another thread.
type Learning = tokio::task::JoinHandle<Option<(Vec<Arc<Rule>>, holm_alert::Learnt)>>;

impl Tenant {
    /// Judges alert rules until the node stops.
    pub(crate) async fn keep_alerts(self: Arc<Self>, state: Arc<NodeState>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let started = Millis::now();
        let judging: Arc<Mutex<Option<Judging>>> = Arc::default();
        let mut learning: Option<Learning> = None;
        let mut failure: Option<String> = None;
        loop {
            tokio::select! {
                () = self.alerts.wake.notified() => {}
                _ = ticks.tick() => {}
                () = state.shutdown.cancelled() => return,
                () = self.ended().cancelled() => return,
            }
            if self.alerts.heard.swap(false, Ordering::Relaxed) {
                state.tell(Change::of(&self.id, Topic::Alerts));
            }
            let learnt = match &mut learning {
                Some(task) if task.is_finished() => {
                    let done = task.await.ok().flatten();
                    learning = None;
                    done
                }
                _ => None,
            };
            let (tenant, of, held) = (Arc::clone(&self), Arc::clone(&state), Arc::clone(&judging));
            let learns = learning.is_some();
            let work = tokio::task::spawn_blocking(move || {
                let mut held = lock(&held);
                let judging = held.get_or_insert_with(|| tenant.begin_judging(started));
                if let Some((_, learnt)) = learnt {
                    judging.engine.learn(learnt);
                }
                let (new, judged) = tenant.judge_alerts(&of, judging, learns);
                (tenant.seasonal_past(&judging.engine, new), judged, judging.started)
            });
            let (seasonal, judged, since) = match work.await {
                Ok(done) => done,
                Err(error) => {
                    tracing::error!(tenant = %self.id, %error, "judging alert rules panicked; it begins anew");
                    *lock(&judging) = None;
                    continue;
                }
            };
            if let Some((rules, snapshots)) = seasonal {
                // One at a time: what came meanwhile is read again with it.
                if let Some(task) = learning.take() {
                    task.abort();
                }
                let tenant = Arc::clone(&self);
                learning = Some(tokio::task::spawn_blocking(move || {
                    tenant.learn_past(rules, &snapshots, since)
                }));
            }
            let Some((records, turned)) = judged else { continue };
            let tenant = Arc::clone(&self);
            let write = tokio::task::spawn_blocking(move || tenant.write_states(&records));
            let written = match write.await {
                Ok(written) => written.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = &written
                && failure.as_ref() != Some(error)
            {
                tracing::error!(tenant = %self.id, error, "how alert rules stand cannot be written for other sites; it is tried again");
            }
            failure = written.as_ref().err().cloned();
            written.unwrap_or_default().into_iter().for_each(|version| state.publish(version));
            if turned {
                state.tell(Change::of(&self.id, Topic::Alerts));
            }
        }
    }

    fn begin_judging(&self, started: Millis) -> Judging {
        let follower = self.rows.store.follow(MOST_BYTES);
        let now = Millis::now();
        Judging {
            follower,
            engine: Engine::new([], &shapes(&self.rows.store), Limits::default(), now, started),
            rules: Vec::new(),
            tables: 0,
            started,
            steps: Steps::new(STILL_MS),
            tended: now,
            rebuilt: 0,
            before: self.incidents.firing(KIND).into_iter().collect(),
            ended: BTreeMap::new(),
        }
    }

    /// Looks at what came and judges if it is time; whether all rules are new, and the records for others with
    /// whether pages are to be told.
    fn judge_alerts(
        &self,
        state: &NodeState,
        judging: &mut Judging,
        learns: bool,
    ) -> (bool, Option<(Records, bool)>) {
        let begun = Instant::now();
        let now = Millis::now();
        let defined = self.alerts.defined();
        let rules: Vec<Arc<Rule>> = defined.iter().filter_map(|rule| rule.rule.clone()).collect();
        let tables = self.rows.store.tables().len();
        let edited = rules.len() != judging.rules.len()
            || rules.iter().zip(&judging.rules).any(|(a, b)| !Arc::ptr_eq(a, b));
        let grown = tables != judging.tables;
        let stepped = judging.steps.look(now);
        if stepped {
            // Nobody watched what was stepped over, and what lies ahead of a clock that was set back does not stop it.
            tracing::warn!(tenant = %self.id, "the clock was set, or this node stood still: alert rules are judged anew");
            (judging.started, judging.tended) = (now, now);
        }
        let due = stepped
            || (now - holm_alert::LAG_MS).0 / SHORTEST_MS
                > (self.alerts.view().at - holm_alert::LAG_MS).0 / SHORTEST_MS;
        if !due && !edited && judging.follower.bytes() < EARLY_BYTES {
            return (false, None);
        }
        let mut anew = edited || grown || stepped;
        if !anew {
            let followed = judging.follower.take();
            anew = followed.missed;
            judging.rebuilt += u64::from(followed.missed);
            take(&mut judging.engine, &followed, now);
        }
        if anew {
            self.judge_anew(state, judging, rules, now, stepped);
            judging.tables = tables;
        } else {
            judging.engine.judge(now);
        }
        if now.since(judging.tended) >= TEND_MS {
            judging.tended = now;
            judging.engine.forget(now);
            lock(&self.alerts.states).forget(now);
        }
        let silences = self.alerts.silences();
        let by_mesh = self.mesh_now();
        let quiet = |rule: &Rule, group: &[Box<str>]| {
            self.alerts.silenced(&silences, rule, group, by_mesh).is_some()
        };
        let mut turns = judging.engine.turns(now, &quiet);
        for turn in turns.iter_mut().filter(|turn| turn.raised) {
            let ended = judging.ended.get(&turn.rule.name).copied();
            turn.at = turn.at.max(ended.map_or(turn.at, |ended| ended + 1));
        }
        let turned = !turns.is_empty() || anew;
        self.tell_alerts(&turns);
        self.end_what_is_over(judging, &turns, now);
        let standings = judging.engine.standings(SHOWN_GROUPS);
        let records = self.state_records(&standings, &silences, now);
        let (groups, steps) = judging.engine.size();
        let view = View {
            at: now,
            counters: judging.engine.counters(),
            groups,
            steps,
            learning: learns,
            rebuilt: judging.rebuilt,
            unreadable: self.alerts.unreadable(),
            took_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            standings,
        };
        let before = std::mem::replace(&mut *lock(&self.alerts.view), Arc::new(view));
        let view = self.alerts.view();
        let changed = before.standings.len() != view.standings.len()
            || before
                .standings
                .iter()
                .zip(&view.standings)
                .any(|(a, b)| (a.state, a.firing, a.pending) != (b.state, b.firing, b.pending));
        (anew, Some((records, turned || changed)))
    }

    /// Judges all rules anew, from rows of the past. What was said is gone on with.
    fn judge_anew(
        &self,
        state: &NodeState,
        judging: &mut Judging,
        rules: Vec<Arc<Rule>>,
        now: Millis,
        stepped: bool,
    ) {
        let (rest, snapshots) = judging.follower.renew();
        take(&mut judging.engine, &rest, now);
        if !stepped {
            judging.engine.judge(now);
        }
        let look_back = |rule: &Arc<Rule>| rule.looks_back_ms();
        let from = now - rules.iter().map(look_back).max().unwrap_or(0);
        let tables = shapes(&self.rows.store);
        let mut engine =
            Engine::new(rules.clone(), &tables, Limits::default(), from, judging.started);
        let mut past = Past::open(&engine.wanted(), &snapshots, from);
        let stop = || state.shutdown.is_cancelled() || self.has_ended();
        past.feed(&mut engine, (from, now), &stop);
        for problem in past.problems.iter().take(5) {
            tracing::warn!(tenant = %self.id, problem, "rows of the past are missing for alert rules");
        }
        self.rows.store.set_damaged_aside();
        engine.hush();
        let ends = engine.inherit(&judging.engine, now);
        self.tell_alerts(&ends);
        judging.ended.extend(ends.iter().map(|turn| (turn.rule.name.clone(), now)));
        engine.learn(judging.engine.learnt());
        // What is no more, or is another one now, is over.
        let by_name: BTreeMap<&str, &Rule> =
            rules.iter().map(|rule| (&*rule.name, &**rule)).collect();
        let kept = |rule: &Rule| by_name.get(&*rule.name).is_some_and(|known| known.is_about(rule));
        let gone = judging.rules.iter().filter(|rule| !kept(rule));
        judging.ended.retain(|_, at| now.since(*at) < REMEMBERED_MS);
        judging.ended.extend(gone.map(|rule| (rule.name.clone(), now)));
        self.tell_alerts(&judging.engine.ends(|rule| !kept(rule), now));
        judging.engine = engine;
        judging.rules = rules;
    }

    /// The rules that are judged by what is usual, with rows to learn that from.
    fn seasonal_past(&self, engine: &Engine, new: bool) -> Option<(Vec<Arc<Rule>>, Vec<Snapshot>)> {
        let rules: Vec<Arc<Rule>> = engine.seasonal().into_iter().map(|(rule, _)| rule).collect();
        if !new || rules.is_empty() {
            return None;
        }
        let store = &self.rows.store;
        let snapshots = store.tables().into_iter().filter_map(|table| store.snapshot(table.name()));
        Some((rules, snapshots.collect()))
    }

    /// Learns what is usual from rows of the past weeks.
    fn learn_past(
        &self,
        rules: Vec<Arc<Rule>>,
        snapshots: &[Snapshot],
        since: Millis,
    ) -> Option<(Vec<Arc<Rule>>, holm_alert::Learnt)> {
        let now = Millis::now();
        let tables = shapes(&self.rows.store);
        let mut engine = Engine::new(rules.clone(), &tables, Limits::default(), now, now);
        let back = engine.seasonal().into_iter().map(|(_, back)| back).max()?;
        let from = now - back;
        let watched = watched(snapshots, (from, since), &|| self.has_ended());
        engine = Engine::new(rules.clone(), &tables, Limits::default(), from, watched);
        let mut past = Past::open(&engine.wanted(), snapshots, from);
        let done = past.feed(&mut engine, (from, now), &|| self.has_ended());
        done.then(|| (rules, engine.learnt()))
    }

    /// Signals of rules on their way to incidents.
    fn tell_alerts(&self, turns: &[Turn]) {
        turns.iter().filter_map(super::alerts::signal).for_each(|signal| self.signal(signal));
    }

    /// Ends what was said before the start and does not fire now; says the rest again.
    fn end_what_is_over(&self, judging: &mut Judging, turns: &[Turn], now: Millis) {
        if judging.before.is_empty() {
            return;
        }
        let before = std::mem::take(&mut judging.before);
        let said: BTreeSet<String> = turns
            .iter()
            .filter(|turn| turn.raised)
            .map(|turn| super::alerts::key_of(&turn.rule.name, &turn.group))
            .collect();
        for (key, target) in self.incidents.firing_targets(KIND) {
            if before.contains(&key) && !said.contains(&key) {
                self.signal(over(target, &key, now));
            }
        }
    }

    /// How rules stand, for other sites: those of which there is news.
    fn state_records(
        &self,
        standings: &[holm_alert::RuleStanding],
        silences: &[super::alerts::AlertSilence],
        now: Millis,
    ) -> Records {
        let (writer, by_mesh) = (&self.alerts.writer, self.mesh_now());
        let states = lock(&self.alerts.states);
        let mut records = Vec::new();
        let mut gone: BTreeSet<Box<str>> =
            states.written(&writer.site, &writer.node).into_iter().collect();
        for standing in standings {
            let rule = &standing.rule;
            gone.remove(&rule.name);
            let silenced =
                |group: &[Box<str>]| self.alerts.silenced(silences, rule, group, by_mesh);
            let record = StateRecord::of(standing, silenced, now);
            if record.is_news(states.of(&writer.site, &writer.node, &rule.name)) {
                records.push((rule.name.clone(), record));
            }
        }
        let none = gone.into_iter().map(|name| {
            let record = StateRecord {
                at: now.0,
                state: "inactive".into(),
                groups: 0,
                firing: 0,
                pending: 0,
                problem: None,
                active: Vec::new(),
            };
            (name, record)
        });
        records.extend(none);
        records
    }

    fn write_states(
        &self,
        records: &[(Box<str>, StateRecord)],
    ) -> Result<Vec<DocVersion>, holm_replica::CommitError> {
        if records.is_empty() || self.has_ended() {
            return Ok(Vec::new());
        }
        let new: Vec<NewRecord> = records
            .iter()
            .filter_map(|(name, record)| {
                Some(NewRecord { key: name.clone(), value: serde_json::to_vec(record).ok()? })
            })
            .collect();
        let _order = self.in_order();
        let versions = self.replica.put_records_on(Shelf::Alerts, &new, Millis::now())?.versions;
        let writer = &self.alerts.writer;
        let mut states = lock(&self.alerts.states);
        for NewRecord { key, value } in new {
            let (site, node) = (writer.site.clone(), writer.node.clone());
            states.take(&Record { shelf: Shelf::Alerts, site, node, key, values: vec![value] });
        }
        Ok(versions)
    }

    /// How a rule would have stood over this node's rows; with it the rules that it looks at. At most `most`
    /// groups, and how many there are; what could not be read; why it cannot be judged.
    pub(crate) fn preview(
        &self,
        rules: Vec<Arc<Rule>>,
        (from, to): (Millis, Millis),
        every_ms: u64,
        most: usize,
    ) -> Preview {
        let Some(name) = rules.first().map(|rule| rule.name.clone()) else {
            return Preview::default();
        };
        let tables = shapes(&self.rows.store);
        let mut back = rules.iter().map(|rule| rule.looks_back_ms()).max().unwrap_or(0);
        let mut engine = Engine::new(rules.clone(), &tables, Limits::default(), from, from);
        for (_, season) in engine.seasonal() {
            back = back.max(season + back);
        }
        let begin = from - back;
        let store = &self.rows.store;
        let snapshots: Vec<Snapshot> =
            store.tables().into_iter().filter_map(|t| store.snapshot(t.name())).collect();
        let until = Instant::now() + PREVIEW_TIME;
        let late = || Instant::now() > until;
        let watched = watched(&snapshots, (begin, self.alerts.since), &late);
        engine = Engine::new(rules, &tables, Limits::default(), begin, watched);
        engine.record(&name, from, every_ms);
        let mut past = Past::open(&engine.wanted(), &snapshots, begin);
        let whole = past.feed(&mut engine, (begin, to), &late);
        let standing = engine.standings(0).into_iter().next();
        let (groups, all) = engine.recorded(most);
        let mut problem = standing.as_ref().and_then(|standing| standing.problem.clone());
        if !whole {
            let text = format!(
                "there are too many rows for {} s: ask for less time, or narrow where",
                PREVIEW_TIME.as_secs()
            );
            problem = problem.or(Some(text));
        }
        problem = problem.or_else(|| past.problems.into_iter().next());
        Preview {
            groups,
            all,
            problem,
            warming: standing.and_then(|standing| standing.warming),
            rows: engine.counters().rows,
        }
    }
}

/// Longest time that a preview takes.
const PREVIEW_TIME: Duration = Duration::from_secs(20);

/// How a rule would have stood.
#[derive(Debug, Default)]
pub(crate) struct Preview {
    pub(crate) groups: Vec<Recorded>,
    pub(crate) all: usize,
    pub(crate) problem: Option<String>,
    pub(crate) warming: Option<(usize, usize)>,
    pub(crate) rows: u64,
}

fn take(engine: &mut Engine, followed: &Followed, now: Millis) {
    for (table, batch) in &followed.batches {
        engine.take(table.name(), batch, (Millis(0), Millis(u64::MAX)), now);
    }
}

fn over(target: NodeId, key: &str, now: Millis) -> Signal {
    let mut signal = Signal::new(PLANE, KIND, target, false, now);
    signal.attributes.insert(SIGNAL_KEY.into(), key.into());
    signal
}
