//! Judging: each moment of each rule, and again those that rows which came late may have changed.

use holm_model::Millis;

use crate::baseline::HOUR_MS;
use crate::engine::Engine;
use crate::rule::{Condition, Direction, KNOWN_MS, LAG_MS, Query, Rule};
use crate::series::Slot;
use crate::watch::{MAX_OPEN, Spans, Verdict, Watch};
use crate::watched::Watched;

impl Rule {
    pub(crate) const fn spans(&self) -> Spans {
        Spans { for_ms: self.for_ms, keep_ms: self.keep_ms }
    }
}

/// What was found of a value.
struct Found {
    value: Option<f64>,
    band: Option<(f64, f64)>,
    verdict: Verdict,
    /// How many earlier hours are known, while they are too few.
    known: Option<usize>,
}

fn judge(
    query: &Query,
    slot: &Slot,
    watch: &Watch,
    (step_ms, tick): (u64, u64),
    watched: &Watched,
) -> Found {
    let steps = query.window_ms / step_ms;
    let value = slot.value(&query.measure, (tick.saturating_sub(steps), tick), query.window_ms);
    // Rows from before may be missing: too few of them say nothing.
    let whole = || is_whole(query, tick * step_ms, watched);
    // None where nobody watched are not nothing.
    let shown = value.filter(|value| *value != 0.0 || whole());
    let verdict = |verdict| Found { value: shown, band: None, verdict, known: None };
    if slot.born >= tick {
        return Found { value: None, ..verdict(Verdict::NoValue) };
    }
    let Some(number) = value else { return verdict(Verdict::NoValue) };
    let low = |breach: bool| match breach {
        true if !whole() => Verdict::NoValue,
        true => Verdict::Breach,
        false => Verdict::Clear,
    };
    let high = |breach: bool| if breach { Verdict::Breach } else { Verdict::Clear };
    match query.condition {
        Condition::Above(limit) => verdict(high(number > limit)),
        Condition::Below(limit) => verdict(low(number < limit)),
        Condition::Outside(least, most) => verdict(match number > most {
            true => Verdict::Breach,
            false => low(number < least),
        }),
        Condition::NoData => verdict(low(number == 0.0)),
        Condition::Baseline { season, deviations, direction } => {
            let usual = watch.baseline.as_ref().map_or(Err(0), |b| b.usual(tick * step_ms, season));
            let usual = match usual {
                Ok(usual) => usual,
                Err(known) => {
                    return Found {
                        value: shown,
                        band: None,
                        verdict: Verdict::Warming,
                        known: Some(known),
                    };
                }
            };
            let width = deviations * usual.spread;
            let (least, most) = (usual.expected - width, usual.expected + width);
            let above = direction != Direction::Below && number > most;
            let below = direction != Direction::Above && number < least;
            let verdict = if above { Verdict::Breach } else { low(below) };
            Found { value: shown, band: Some((least, most)), verdict, known: None }
        }
    }
}

/// Whether all rows of the window up to `at_ms` are known that there were, as far as that matters: a measure that
/// is 0 where there are none would take what nobody saw for nothing.
fn is_whole(query: &Query, at_ms: u64, watched: &Watched) -> bool {
    !query.measure.counts() || watched.covers(at_ms.saturating_sub(query.window_ms), at_ms)
}

impl Engine {
    /// Judges all moments up to `now`.
    pub fn judge(&mut self, now: Millis) {
        let steps: Vec<(u64, u64)> =
            self.ticks.iter().map(|(step_ms, tick)| (*step_ms, *tick)).collect();
        for (step_ms, before) in steps {
            let latest = now.0.saturating_sub(LAG_MS) / step_ms;
            let open = Self::open_steps(step_ms);
            // A few moments at a time: no more are remembered.
            let most = u64::from(MAX_OPEN) - open;
            let mut tick = before;
            while tick < latest {
                let next = latest.min(tick + most);
                self.advance(step_ms, tick, next);
                tick = next;
                self.ticks.insert(step_ms, tick);
            }
        }
        self.judge_composites(now);
    }

    /// Judges the moments after `before` up to `next`, of all series of that step.
    fn advance(&mut self, step_ms: u64, before: u64, next: u64) {
        let open = Self::open_steps(step_ms);
        let settled = before.saturating_sub(open);
        let Self { tables, rules, limits, baselines, recorder, watched, begin, .. } = self;
        for series in tables.iter_mut().flat_map(|table| &mut table.series) {
            if series.key.step_ms != step_ms {
                continue;
            }
            for number in &series.rules {
                let held = &mut rules[*number];
                let rule = &held.rule;
                let Some(query) = rule.query() else { continue };
                let spans = rule.spans();
                held.warming = None;
                held.watches.resize_with(series.slots.len(), Watch::default);
                for (slot, watch) in series.slots.iter().zip(&mut held.watches) {
                    let judge =
                        |watch: &Watch, tick| judge(query, slot, watch, (step_ms, tick), watched);
                    if let Condition::Baseline { season, .. } = query.condition
                        && watch.baseline.is_none()
                        && *baselines < limits.baselines
                    {
                        let mut baseline = Box::<crate::baseline::Baseline>::default();
                        if let Some(hours) = held.learnt.remove(&slot.key) {
                            baseline.learn(&hours, season);
                        }
                        watch.baseline = Some(baseline);
                        *baselines += 1;
                    }
                    // Of a group that is new, what may have been before it was met here.
                    let first = settled.max(begin.0 / step_ms);
                    if watch.verdicts.len == 0 {
                        (first..before).for_each(|_| watch.verdicts.push(Verdict::NoValue));
                    }
                    // A row of a step is in the windows of the moments after it.
                    let changed = slot.changed.saturating_add(1);
                    for ago in (0..watch.verdicts.len).rev() {
                        let tick = before - u64::from(ago);
                        if tick >= changed && tick > settled {
                            let found = judge(watch, tick);
                            watch.verdicts.set(ago, found.verdict);
                        }
                    }
                    for tick in before + 1..=next {
                        let found = judge(watch, tick);
                        watch.verdicts.push(found.verdict);
                        (watch.value, watch.band) = (found.value, found.band);
                        let known = found.known.or(held.warming);
                        held.warming =
                            known.map(|known| known.min(held.warming.unwrap_or(usize::MAX)));
                        if let Some(recorder) = recorder {
                            recorder.point(*number, &slot.key, Millis(tick * step_ms), watch);
                        }
                    }
                    let latest = Millis(next * step_ms);
                    watch.replay(latest, step_ms, spans);
                    if let Some(recorder) = recorder {
                        recorder.spells(*number, &slot.key, &watch.spells);
                    }
                    let ticks = (settled, next - open.min(next));
                    settle_baseline(query, slot, watch, (step_ms, ticks), watched);
                    watch.settle(latest, step_ms, open as u32, spans);
                }
            }
            series.slots.iter_mut().for_each(|slot| slot.changed = u64::MAX);
            // What is not settled needs its whole window still.
            series.forget_before((next - open.min(next)).saturating_sub(series.window));
        }
    }

    /// Lets go of groups that had no rows for long.
    pub fn forget(&mut self, now: Millis) {
        let Self { tables, rules, groups, baselines, .. } = self;
        for series in tables.iter_mut().flat_map(|table| &mut table.series) {
            let step_ms = series.key.step_ms;
            let most = series.window * step_ms;
            let old = |slot: &Slot| now.0 > (slot.latest + 1) * step_ms + KNOWN_MS.max(most);
            if series.key.by.is_empty() {
                continue;
            }
            for place in (0..series.slots.len()).rev() {
                if !old(&series.slots[place]) {
                    continue;
                }
                for number in &series.rules {
                    let held = &mut rules[*number];
                    if place < held.watches.len() {
                        let gone = held.watches.swap_remove(place);
                        *baselines -= usize::from(gone.baseline.is_some());
                        held.ended.extend(crate::tell::end_of(
                            &gone,
                            &series.slots[place].key,
                            now,
                        ));
                    }
                }
                series.remove(place);
                *groups -= 1;
            }
        }
    }
}

/// Takes the values of moments that are settled now into what is usual: not of those that nobody watched, nor of
/// those before the group was there.
fn settle_baseline(
    query: &Query,
    slot: &Slot,
    watch: &mut Watch,
    (step_ms, (settled, next)): (u64, (u64, u64)),
    watched: &Watched,
) {
    let Condition::Baseline { season, .. } = query.condition else { return };
    let Some(baseline) = &mut watch.baseline else { return };
    let steps = query.window_ms / step_ms;
    for tick in settled + 1..=next {
        let window = (tick.saturating_sub(steps), tick);
        let known = slot.born < tick && is_whole(query, tick * step_ms, watched);
        let value = slot.value(&query.measure, window, query.window_ms).filter(|_| known);
        baseline.take(tick * step_ms, value, (HOUR_MS / step_ms) as usize, season);
    }
}
