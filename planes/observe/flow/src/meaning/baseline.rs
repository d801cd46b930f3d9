//! What is usual: by hour of the week, as far as that is known, with a spread that outliers do not move.
//!
//! A value is judged on a logarithmic scale, so that a spread is a factor. It is compared with the same hour
//! of earlier weeks (three of them at least), else with the same hour of earlier days (five), else with the
//! last two hours (thirty minutes of them); before that the key is warming and nothing is said of it.

use serde::{Deserialize, Serialize};

/// Minutes that are held as they are.
const RECENT: usize = 120;
/// Minutes without which the last two hours say nothing.
const LEAST_RECENT: usize = 30;
/// Weeks that an hour is held for.
const WEEKS: usize = 5;
const LEAST_WEEKS: usize = 3;
const LEAST_DAYS: usize = 5;
/// Minutes of an hour that must have been seen for it to count.
const LEAST_OF_HOUR: usize = 30;
/// Least spread: a fifth up or down is never unusual by itself (log2 1.2).
const LEAST_SPREAD: f64 = 0.263;
/// What makes a median of differences a standard deviation of normal values.
const NORMAL: f64 = 1.4826;
const HOURS_OF_WEEK: u64 = 168;
const HOUR_MS: u64 = 3_600_000;
/// Steps of a factor of two.
const STEPS: f64 = 256.0;

/// What a value was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// The same hour of earlier weeks.
    HourOfWeek,
    /// The same hour of earlier days.
    HourOfDay,
    /// The last two hours.
    Recent,
}

impl Level {
    /// Its word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::HourOfWeek => "hour_of_week",
            Self::HourOfDay => "hour_of_day",
            Self::Recent => "recent",
        }
    }
}

/// How a value compares with what is usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Verdict {
    /// What is usual.
    pub(crate) expected: f64,
    /// How many spreads the value is above it; below, if negative.
    pub(crate) sigma: f64,
    /// What it was compared with.
    pub(crate) level: Level,
}

/// A value on the scale: 0 is 0.
fn scaled(value: f64) -> u16 {
    ((value.max(0.0) + 1.0).log2() * STEPS).round().min(f64::from(u16::MAX)) as u16
}

fn value_of(scaled: f64) -> f64 {
    (scaled / STEPS).exp2() - 1.0
}

/// What one key used to be. Bounded: 120 minutes and 840 hours of two bytes each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Baseline {
    recent: Vec<u16>,
    /// Where the next minute goes once the ring is full.
    at: usize,
    /// Minutes of the hour that runs.
    hour: u64,
    minutes: Vec<u16>,
    /// Medians of hours that ended: hour since 1970, value.
    hours: Vec<(u64, u16)>,
}

fn median(values: &mut [u16]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    values.sort_unstable();
    let upper = f64::from(values[middle]);
    Some(if values.len() % 2 == 1 {
        upper
    } else {
        f64::midpoint(upper, f64::from(values[middle - 1]))
    })
}

/// Median and spread.
fn usual(values: &[u16]) -> Option<(f64, f64)> {
    let mut sorted = values.to_vec();
    let middle = median(&mut sorted)?;
    let mut off: Vec<u16> = values.iter().map(|v| (f64::from(*v) - middle).abs() as u16).collect();
    Some((middle, median(&mut off)? * NORMAL))
}

impl Baseline {
    /// Compares a value with what is usual at `at_ms`; `None` while warming.
    pub(crate) fn judge(&self, value: f64, at_ms: u64) -> Option<Verdict> {
        let hour = at_ms / HOUR_MS;
        let same = |every: u64| -> Vec<u16> {
            let hours = self
                .hours
                .iter()
                .filter(|(then, _)| *then < hour && (hour - then).is_multiple_of(every));
            hours.map(|(_, value)| *value).collect()
        };
        let (weeks, days) = (same(HOURS_OF_WEEK), same(24));
        let (level, (middle, spread)) = if weeks.len() >= LEAST_WEEKS {
            (Level::HourOfWeek, usual(&weeks)?)
        } else if days.len() >= LEAST_DAYS {
            (Level::HourOfDay, usual(&days)?)
        } else if self.recent.len() >= LEAST_RECENT {
            (Level::Recent, usual(&self.recent)?)
        } else {
            return None;
        };
        // Minutes vary more than the medians of hours do.
        let minutes = usual(&self.recent).map_or(0.0, |(_, spread)| spread);
        let spread = spread.max(minutes).max(LEAST_SPREAD * STEPS);
        let sigma = (f64::from(scaled(value)) - middle) / spread;
        Some(Verdict { expected: value_of(middle), sigma, level })
    }

    /// Takes the value of the minute that began at `at_ms`.
    pub(crate) fn take(&mut self, value: f64, at_ms: u64) {
        let (value, hour) = (scaled(value), at_ms / HOUR_MS);
        if hour != self.hour {
            self.end_hour(hour);
        }
        self.minutes.push(value);
        if self.minutes.len() > 60 {
            self.minutes.remove(0);
        }
        if self.recent.len() < RECENT {
            self.recent.push(value);
        } else {
            self.at %= RECENT;
            self.recent[self.at] = value;
            self.at += 1;
        }
    }

    fn end_hour(&mut self, next: u64) {
        if self.minutes.len() >= LEAST_OF_HOUR
            && let Some(median) = median(&mut self.minutes)
        {
            let oldest = next.saturating_sub(WEEKS as u64 * HOURS_OF_WEEK);
            self.hours.retain(|(hour, _)| *hour >= oldest && *hour != self.hour);
            self.hours.push((self.hour, median as u16));
            // A clock that was put back must not make it grow.
            let most = WEEKS * HOURS_OF_WEEK as usize;
            if self.hours.len() > most {
                self.hours.drain(..self.hours.len() - most);
            }
        }
        self.minutes.clear();
        self.hour = next;
    }

    /// Whether it is what was written by this program: nothing that was read may make it grow.
    pub(crate) fn is_sound(&self) -> bool {
        self.recent.len() <= RECENT
            && self.minutes.len() <= 60
            && self.hours.len() <= WEEKS * HOURS_OF_WEEK as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    /// The hour of the week, from Monday 00:00 UTC: 1970-01-01 was a Thursday.
    fn hour_of_week(at_ms: u64) -> u64 {
        (at_ms / HOUR_MS + 72) % HOURS_OF_WEEK
    }

    #[test]
    fn it_warms_before_it_judges_and_outliers_do_not_move_it() {
        let mut baseline = Baseline::default();
        for minute in 0..LEAST_RECENT as u64 {
            assert_eq!(baseline.judge(1e9, minute * MINUTE), None);
            baseline.take(1e6 + (minute % 5) as f64 * 1e4, minute * MINUTE);
        }
        let now = 31 * MINUTE;
        let verdict = baseline.judge(1.02e6, now).expect("warm");
        assert_eq!(verdict.level, Level::Recent);
        assert!(
            verdict.sigma.abs() < 1.0 && (verdict.expected / 1.02e6 - 1.0).abs() < 0.02,
            "{verdict:?}"
        );
        assert!(baseline.judge(8e6, now).expect("warm").sigma > 5.0);
        assert!(baseline.judge(1e5, now).expect("warm").sigma < -5.0);
        // Ten wild minutes of forty: what is usual stays.
        for minute in 0..10 {
            baseline.take(1e9, now + minute * MINUTE);
        }
        let verdict = baseline.judge(1.02e6, now).expect("warm");
        assert!((verdict.expected / 1.02e6 - 1.0).abs() < 0.05, "{verdict:?}");
    }

    #[test]
    fn the_hour_of_the_week_counts_once_it_is_known() {
        let mut baseline = Baseline::default();
        // Busy from 9 to 17 on weekdays, for four weeks.
        let rate = |minute: u64| {
            let hour = hour_of_week(minute * MINUTE);
            if hour / 24 < 5 && (9..17).contains(&(hour % 24)) { 1e8 } else { 1e5 }
        };
        let begin = 400_000 * 60;
        let weeks = |n: u64| n * 7 * 24 * 60;
        for minute in begin..begin + weeks(4) {
            if let Some(verdict) = baseline.judge(rate(minute), minute * MINUTE)
                && minute > begin + weeks(3)
            {
                assert_eq!(verdict.level, Level::HourOfWeek);
                assert!(verdict.sigma.abs() < 3.0, "minute {minute}: {verdict:?}");
            }
            baseline.take(rate(minute), minute * MINUTE);
            assert!(baseline.is_sound());
        }
        // The night's load at noon, and noon's at night, are not usual.
        let noon =
            (begin + weeks(4)..).find(|m| rate(*m) > 1e7 && (m / 60) % 24 == 12).expect("noon");
        assert!(baseline.judge(1e5, noon * MINUTE).expect("warm").sigma < -3.0);
        assert!(baseline.judge(1e8, noon * MINUTE).expect("warm").sigma.abs() < 1.0);
        // It survives being written down.
        let json = serde_json::to_vec(&baseline).expect("written");
        assert_eq!(serde_json::from_slice::<Baseline>(&json).expect("read"), baseline);
    }
}
