//! Counting for objectives: rows of this node's event store, minute by minute, into its ledger.
//!
//! Each minute the rows since the full hour before are counted again, each hour those of a day and two hours: what
//! came late is in the next count. Of a measure that is new all rows are counted that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holm_events::value_at;
use holm_model::{DocVersion, Millis, Value};
use holm_query::{Part, QueryLimits, RecordBatch};
use holm_replica::{CommitError, NewRecord, Shelf};
use holm_slo::{
    Count, Counted, Day, MINUTE_MS, Measure, MeasureId, RecordKey, Rows, SLOT_MIN, Slot,
    encode_slot, minute_of, quoted,
};

use super::slo::{LAG_MS, Slos, lock};
use super::state::{Change, NodeState, Topic};
use super::tenant::Tenant;

const TICK: Duration = Duration::from_secs(1);
const HOUR_MIN: u32 = 60;
const DAY_MIN: u32 = 24 * HOUR_MIN;
/// How far back rows are counted again: each minute, each hour, and for a measure that is new.
const LATE_MIN: u32 = 10;
const VERY_LATE_MIN: u32 = 26 * HOUR_MIN;
const FIRST_MIN: u32 = 7 * DAY_MIN;
/// Minutes are written as such for this long.
const FINE_MIN: u32 = 12 * HOUR_MIN;
/// A day is written as one when it is over for this long.
const DAY_LAG_MIN: u32 = 65;
/// Most sums of one question.
const MAX_COLUMNS: usize = 32;
/// Most records that wait while the disk refuses them.
const MAX_WAITING: usize = 50_000;
const MAX_TIME: Duration = Duration::from_secs(40);

/// Records that are to be written, by shelf and key.
pub(super) type Waiting = BTreeMap<(Shelf, Box<str>), Vec<u8>>;

/// How far it has counted.
#[derive(Debug, Default)]
struct Progress {
    /// The minute up to which all was counted last.
    minute: u32,
    /// The hour of the last long count.
    hour: u32,
    /// What has been counted from its beginning.
    known: BTreeSet<MeasureId>,
}

impl Tenant {
    /// Counts and judges each minute, until the node stops.
    pub(crate) async fn keep_slos(self: Arc<Self>, state: Arc<NodeState>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut progress = Progress::default();
        let mut failure: Option<String> = None;
        loop {
            let edited = tokio::select! {
                () = self.slos.wake.notified() => true,
                _ = ticks.tick() => false,
                () = state.shutdown.cancelled() => return,
                () = self.ended().cancelled() => return,
            };
            self.forget_pictures();
            let now = Millis::now();
            let minute = minute_of(now - LAG_MS);
            if minute == progress.minute && !edited {
                continue;
            }
            let counted = self.count(&state, minute, &mut progress).await;
            let tenant = Arc::clone(&self);
            let judge = tokio::task::spawn_blocking(move || {
                let written = tenant.write_counts(counted, minute, now);
                tenant.tell_burns();
                written
            });
            let written = match judge.await {
                Ok(written) => written.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = &written
                && failure.as_ref() != Some(error)
            {
                tracing::error!(tenant = %self.id, error, "what is counted for objectives waits: it cannot be written; it is tried again");
            }
            progress.minute = minute;
            failure = written.as_ref().err().cloned();
            for version in written.unwrap_or_default() {
                state.publish(version);
            }
            state.tell(Change::of(&self.id, Topic::Slos));
        }
    }

    /// Counts the rows of all measures; what is to be in the ledger, by minute.
    async fn count(
        &self,
        state: &Arc<NodeState>,
        minute: u32,
        progress: &mut Progress,
    ) -> Vec<Counts> {
        let mut measures: BTreeMap<MeasureId, Measure> = BTreeMap::new();
        for slo in self.slos.defined().iter() {
            let Some(definition) = &slo.definition else { continue };
            let all = (0..definition.objectives.len()).filter_map(|n| definition.measure(n));
            measures.extend(all.map(|measure| (measure.id, measure)));
        }
        progress.known.retain(|id| measures.contains_key(id));
        lock(&self.slos.failures).retain(|id, _| measures.contains_key(id));
        let hourly = minute / HOUR_MIN != progress.hour;
        progress.hour = minute / HOUR_MIN;
        // After a pause (a start, a disk that was full) from where it ended.
        let late = minute.saturating_sub(LATE_MIN).min(progress.minute.max(1));
        let from_hour = |minute: u32| minute / HOUR_MIN * HOUR_MIN;
        let again = if hourly { minute.saturating_sub(VERY_LATE_MIN).min(late) } else { late };
        let again = from_hour(again.max(minute.saturating_sub(FIRST_MIN)));
        let first = from_hour(minute.saturating_sub(FIRST_MIN));
        let (known, new): (Vec<Measure>, Vec<Measure>) =
            measures.into_values().partition(|measure| progress.known.contains(&measure.id));
        let mut counts = Vec::new();
        for (measures, from) in [(known, again), (new, first)] {
            if measures.is_empty() {
                continue;
            }
            progress.known.extend(measures.iter().map(|measure| measure.id));
            let sums = self.sums(state, &measures, (from, minute)).await;
            for measure in measures {
                match rows(&measure, &sums) {
                    Ok(rows) => {
                        lock(&self.slos.failures).remove(&measure.id);
                        let ledger = measure.ledger(&rows, (from, minute));
                        counts.push(Counts { measure, ledger, hourly: hourly || from == first });
                    }
                    Err(why) => {
                        // It may be that the rows are only not there yet: it is tried again.
                        progress.known.remove(&measure.id);
                        let known = lock(&self.slos.failures).insert(measure.id, why.clone());
                        if known.as_ref() != Some(&why) {
                            tracing::warn!(tenant = %self.id, measure = %measure.id, why, "rows of an objective cannot be counted here");
                        }
                    }
                }
            }
        }
        counts
    }

    /// Sums over rows, by what is summed and by minute.
    async fn sums(
        &self,
        state: &Arc<NodeState>,
        measures: &[Measure],
        range: (u32, u32),
    ) -> BTreeMap<Counted, Result<BTreeMap<u32, u64>, String>> {
        let mut by_table: BTreeMap<Box<str>, BTreeSet<Counted>> = BTreeMap::new();
        for counted in measures.iter().flat_map(|measure| [&measure.total, &measure.part]) {
            by_table.entry(counted.table.clone()).or_default().insert(counted.clone());
        }
        let mut sums = BTreeMap::new();
        let times: BTreeMap<String, String> = self
            .rows
            .store
            .tables()
            .iter()
            .map(|table| (table.name().to_owned(), table.time_column().to_owned()))
            .collect();
        for (table, counted) in by_table {
            let Some(time) = times.get(&*table) else {
                let missing = || Err(format!("there is no table {table} at this site"));
                sums.extend(counted.into_iter().map(|counted| (counted, missing())));
                continue;
            };
            let all: Vec<Counted> = counted.into_iter().collect();
            for some in all.chunks(MAX_COLUMNS) {
                match self.ask(state, (&table, time), some, range).await {
                    Ok(found) => sums.extend(some.iter().cloned().zip(found.into_iter().map(Ok))),
                    Err(why) if some.len() == 1 => {
                        sums.insert(some[0].clone(), Err(why));
                    }
                    // One of them is wrong: the others are counted all the same.
                    Err(_) => {
                        for one in some {
                            let one = std::slice::from_ref(one);
                            let found = self.ask(state, (&table, time), one, range).await;
                            let found = found.map(|mut found| found.pop().unwrap_or_default());
                            sums.insert(one[0].clone(), found);
                        }
                    }
                }
            }
        }
        sums
    }

    /// One question to this node's rows: a sum for each of `counted`, by minute.
    async fn ask(
        &self,
        state: &Arc<NodeState>,
        (table, time): (&str, &str),
        counted: &[Counted],
        (from, to): (u32, u32),
    ) -> Result<Vec<BTreeMap<u32, u64>>, String> {
        let engine = state.engine(&self.id).map_err(|error| error.to_string())?;
        let (table, time) = (quoted(table), quoted(time));
        let sums: Vec<String> = counted
            .iter()
            .enumerate()
            .map(|(number, counted)| match &*counted.sql {
                Counted::EACH => format!("count(*) AS c{number}"),
                sql => format!("CAST(sum({sql}) AS BIGINT) AS c{number}"),
            })
            .collect();
        let at = |minute: u32| format!("to_timestamp_millis({})", u64::from(minute) * MINUTE_MS);
        let sql = format!(
            "SELECT to_unixtime({time}) / 60 AS m, {} FROM {table} WHERE {time} >= {} AND {time} < {} \
             GROUP BY to_unixtime({time}) / 60",
            sums.join(", "),
            at(from),
            at(to)
        );
        let time_ms = u64::try_from(MAX_TIME.as_millis()).unwrap_or(u64::MAX);
        let limits = QueryLimits { time: MAX_TIME, ..QueryLimits::default() };
        let part = Part {
            sql,
            time_ms,
            bytes: limits.bytes as u64,
            tables: std::collections::BTreeMap::new(),
        };
        let found: Arc<Mutex<Vec<BTreeMap<u32, u64>>>> =
            Arc::new(Mutex::new(vec![BTreeMap::new(); counted.len()]));
        let take = {
            let found = Arc::clone(&found);
            move |batch: RecordBatch| {
                take_batch(&batch, &mut lock(&found));
                std::future::ready(true)
            }
        };
        engine.answer_part(&part, limits, take).await.map_err(|error| error.to_string())?;
        let found = std::mem::take(&mut *lock(&found));
        Ok(found)
    }

    /// Writes what was counted: minutes and hours that changed, days that are over.
    fn write_counts(
        &self,
        counts: Vec<Counts>,
        minute: u32,
        now: Millis,
    ) -> Result<Vec<DocVersion>, CommitError> {
        let mut waiting = lock(&self.slos.waiting);
        for counts in &counts {
            self.slos.enter(counts, minute, &mut waiting);
        }
        if waiting.len() > MAX_WAITING {
            // They come into their hours all the same.
            waiting.retain(|(shelf, _), _| *shelf != Shelf::LedgerMinutes);
        }
        let _order = self.in_order();
        let mut versions = Vec::new();
        if self.has_ended() {
            waiting.clear();
        }
        for shelf in [Shelf::LedgerMinutes, Shelf::LedgerHours, Shelf::LedgerDays] {
            let of = waiting.iter().filter(|((on, _), _)| *on == shelf);
            let new: Vec<NewRecord> = of
                .map(|((_, key), value)| NewRecord { key: key.clone(), value: value.clone() })
                .collect();
            if !new.is_empty() {
                versions.extend(self.replica.put_records_on(shelf, &new, now)?.versions);
                waiting.retain(|(on, _), _| *on != shelf);
            }
        }
        lock(&self.slos.ledger).forget(now);
        Ok(versions)
    }
}

/// What was counted of a measure.
struct Counts {
    measure: Measure,
    ledger: BTreeMap<u32, Count>,
    /// Hours and days are looked at as well.
    hourly: bool,
}

/// Rows of a measure by minute, from what was summed.
fn rows(
    measure: &Measure,
    sums: &BTreeMap<Counted, Result<BTreeMap<u32, u64>, String>>,
) -> Result<BTreeMap<u32, Rows>, String> {
    let of = |counted: &Counted| match sums.get(counted) {
        Some(Ok(sums)) => Ok(sums),
        Some(Err(why)) => Err(why.clone()),
        None => Err("it was not counted".to_owned()),
    };
    let mut rows: BTreeMap<u32, Rows> = BTreeMap::new();
    for (minute, sum) in of(&measure.total)? {
        rows.entry(*minute).or_default().total = *sum;
    }
    for (minute, sum) in of(&measure.part)? {
        rows.entry(*minute).or_default().part = *sum;
    }
    Ok(rows)
}

fn take_batch(batch: &RecordBatch, found: &mut [BTreeMap<u32, u64>]) {
    let number = |column: usize, row: usize| match value_at(&**batch.column(column), row) {
        Some(Value::Int(number)) => u64::try_from(number).ok(),
        _ => None,
    };
    for row in 0..batch.num_rows() {
        let Some(minute) = number(0, row).and_then(|minute| u32::try_from(minute).ok()) else {
            continue;
        };
        for (column, sums) in found.iter_mut().enumerate() {
            if let Some(sum) = number(column + 1, row).filter(|sum| *sum > 0) {
                *sums.entry(minute).or_default() += sum;
            }
        }
    }
}

impl Slos {
    /// Puts counts into the ledger; what of it is to be written. Five minutes are written when they are over,
    /// or as soon as something in them is bad or there was nothing before: what goes on well is not urgent.
    fn enter(&self, counts: &Counts, minute: u32, new: &mut Waiting) {
        let Counts { measure, ledger: counted, hourly } = counts;
        let mut ledger = lock(&self.ledger);
        let mut slots: BTreeMap<u32, Slot> = BTreeMap::new();
        let fine = minute.saturating_sub(FINE_MIN).next_multiple_of(HOUR_MIN);
        let mut days: BTreeMap<u32, Day> = BTreeMap::new();
        for (at, count) in counted {
            if *at >= fine {
                slots.entry(at / SLOT_MIN).or_default()[(at % SLOT_MIN) as usize] = *count;
            } else {
                let day = days.entry(at / DAY_MIN).or_insert_with(|| Day::new(measure.grain_min));
                let cell = (at % DAY_MIN / measure.grain_min) as usize;
                let mut sum = day.cells.get(cell).copied().unwrap_or_default();
                sum += *count;
                day.set(cell, sum);
            }
        }
        // Of a slot that was left for later, all is written then.
        let closing = (minute / SLOT_MIN).checked_sub(1);
        slots.extend(
            closing.filter(|slot| !slots.contains_key(slot)).map(|slot| (slot, Slot::default())),
        );
        for (slot, minutes) in slots {
            let key = RecordKey::Slot(measure.id, slot);
            let news = ledger.take(&self.writer, &key.text(), [&*encode_slot(&minutes)]);
            let of = |slot: u32| {
                let series = ledger.of(&self.writer, measure.id);
                series.map(|series| series.slot(slot)).unwrap_or_default()
            };
            let now = of(slot);
            // After a silence others are told at once that there is something.
            let begins = of(slot.saturating_sub(1)).iter().all(|minute| minute.is_empty());
            let over = (slot + 1) * SLOT_MIN <= minute;
            let closes = Some(slot) == closing;
            let bad = now.iter().any(|minute| minute.bad > 0);
            let any = now.iter().any(|minute| !minute.is_empty());
            if any && ((news && (over || bad || begins)) || closes) {
                put(new, Shelf::LedgerMinutes, key, encode_slot(&now));
            }
        }
        if !hourly {
            return;
        }
        let mut touched: BTreeSet<u32> = days.keys().copied().collect();
        for (day, cells) in &days {
            let key = RecordKey::Day(measure.id, *day);
            ledger.take(&self.writer, &key.text(), [&*cells.encode()]);
        }
        touched.extend((fine / DAY_MIN)..=(minute / DAY_MIN));
        touched.extend((minute / DAY_MIN).checked_sub(1));
        for day in touched {
            let Some(series) = ledger.of(&self.writer, measure.id) else { continue };
            let cells = series.closed_day(day, measure.grain_min);
            if cells.cells.iter().all(|cell| cell.is_empty()) {
                continue;
            }
            let key = RecordKey::Day(measure.id, day);
            ledger.take(&self.writer, &key.text(), [&*cells.encode()]);
            let over = (day + 1) * DAY_MIN + DAY_LAG_MIN <= minute;
            let shelf = if over { Shelf::LedgerDays } else { Shelf::LedgerHours };
            put(new, shelf, key, cells.encode());
        }
    }
}

fn put(new: &mut Waiting, shelf: Shelf, key: RecordKey, value: Vec<u8>) {
    new.insert((shelf, key.text().into()), value);
}
