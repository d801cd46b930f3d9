//! What is usual at this hour of the day, or of the week.
//!
//! Of each hour that is over for good its median is kept, and how far its values lay from that (their median
//! distance). A value is compared with the same hour of earlier days or weeks: with the median of their medians,
//! and the spread of them. All that it is compared with is at least twenty-three hours old, so that rows that are
//! late change nothing of it.

use crate::rule::Season;

pub(crate) const HOUR_MS: u64 = 3_600_000;
/// Days, and weeks, that are looked at, and how many of them there must be.
const DAYS: u32 = 14;
const LEAST_DAYS: usize = 5;
const WEEKS: u32 = 5;
const LEAST_WEEKS: usize = 3;
/// What makes a median of distances a standard deviation of normal values.
const NORMAL: f64 = 1.4826;
/// Least spread, as a share of what is usual: a twentieth up or down is nothing.
const LEAST_SPREAD: f64 = 0.05;

impl Season {
    /// How many hours apart the same time is.
    const fn hours(self) -> u32 {
        match self {
            Self::Day => 24,
            Self::Week => 168,
        }
    }

    const fn most(self) -> u32 {
        match self {
            Self::Day => DAYS,
            Self::Week => WEEKS,
        }
    }

    /// How many earlier ones of an hour must be known before something is said.
    pub const fn least(self) -> usize {
        match self {
            Self::Day => LEAST_DAYS,
            Self::Week => LEAST_WEEKS,
        }
    }

    /// How far back it looks, in milliseconds.
    pub const fn looks_back_ms(self) -> u64 {
        (self.hours() * self.most()) as u64 * HOUR_MS
    }
}

/// An hour that is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Hour {
    /// Since 1970.
    pub(crate) number: u32,
    pub(crate) median: f64,
    /// How far values lay from it, at the median.
    pub(crate) distance: f64,
}

/// What is usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Usual {
    /// What is usual at that time.
    pub(crate) expected: f64,
    /// The standard deviation that it is taken to have.
    pub(crate) spread: f64,
}

/// What a series used to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Baseline {
    /// In order.
    hours: Vec<Hour>,
    running: u32,
    values: Vec<f64>,
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        len if len % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

impl Baseline {
    /// Takes the value of the time up to `at_ms`, which is after all before. Of an hour at least half of its
    /// `steps` must have one.
    pub(crate) fn take(&mut self, at_ms: u64, value: Option<f64>, steps: usize, season: Season) {
        let hour = (at_ms.saturating_sub(1) / HOUR_MS) as u32;
        if hour != self.running {
            if self.values.len() * 2 >= steps && !self.values.is_empty() {
                let middle = median(&mut self.values);
                let mut distances: Vec<f64> =
                    self.values.iter().map(|value| (value - middle).abs()).collect();
                let distance = median(&mut distances);
                self.put(Hour { number: self.running, median: middle, distance }, season);
            }
            self.values.clear();
            self.running = hour;
        }
        self.values.extend(value.filter(|_| self.values.len() < 4 * steps));
    }

    fn put(&mut self, hour: Hour, season: Season) {
        match self.hours.binary_search_by_key(&hour.number, |known| known.number) {
            Ok(place) => self.hours[place] = hour,
            Err(place) => self.hours.insert(place, hour),
        }
        let oldest = self.running.max(hour.number).saturating_sub(season.hours() * season.most());
        self.hours.retain(|hour| hour.number >= oldest);
    }

    /// Takes hours that were found in rows of the past, as far as they are not known.
    pub(crate) fn learn(&mut self, hours: &[Hour], season: Season) {
        for hour in hours {
            if self.hours.binary_search_by_key(&hour.number, |known| known.number).is_err() {
                self.put(*hour, season);
            }
        }
    }

    pub(crate) fn hours(&self) -> &[Hour] {
        &self.hours
    }

    /// What is usual for the time up to `at_ms`; how many earlier hours are known if they are too few.
    pub(crate) fn usual(&self, at_ms: u64, season: Season) -> Result<Usual, usize> {
        let hour = (at_ms.saturating_sub(1) / HOUR_MS) as u32;
        let earlier = (1..=season.most()).filter_map(|n| {
            let wanted = hour.checked_sub(n * season.hours())?;
            let place = self.hours.binary_search_by_key(&wanted, |hour| hour.number).ok()?;
            Some(self.hours[place])
        });
        let earlier: Vec<Hour> = earlier.collect();
        if earlier.len() < season.least() {
            return Err(earlier.len());
        }
        let expected = median(&mut earlier.iter().map(|hour| hour.median).collect::<Vec<_>>());
        let between = median(
            &mut earlier.iter().map(|hour| (hour.median - expected).abs()).collect::<Vec<_>>(),
        );
        let within = median(&mut earlier.iter().map(|hour| hour.distance).collect::<Vec<_>>());
        let least = (expected.abs() * LEAST_SPREAD).max(1e-9);
        let spread = (NORMAL * between).max(NORMAL * within).max(least);
        Ok(Usual { expected, spread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_warms_then_knows_the_hour_and_outliers_do_not_move_it() {
        let mut baseline = Baseline::default();
        // Busy by day, quiet by night, every ten minutes; one day was wild.
        let busy = |hour: u64| if (8..18).contains(&(hour % 24)) { 100.0 } else { 10.0 };
        let begin = 24 * 20_000;
        for hour in begin..begin + 24 * 7 {
            for part in 0..6_u64 {
                let at = hour * HOUR_MS + (part + 1) * HOUR_MS / 6;
                let wild = if hour / 24 == begin / 24 + 2 { 50.0 } else { 1.0 };
                let value = (busy(hour) + part as f64) * wild;
                baseline.take(at, Some(value), 6, Season::Day);
            }
        }
        let noon = (begin + 24 * 7 + 12) * HOUR_MS;
        let usual = baseline.usual(noon, Season::Day).expect("seven days are enough");
        assert!((usual.expected - 102.5).abs() < 1.0, "{usual:?}");
        assert!(usual.spread < 10.0, "{usual:?}");
        let night = (begin + 24 * 7 + 3) * HOUR_MS;
        assert!((baseline.usual(night, Season::Day).expect("known").expected - 12.5).abs() < 1.0);
        assert_eq!(baseline.usual(noon, Season::Week), Err(1));
    }

    #[test]
    fn an_hour_that_was_hardly_seen_does_not_count_and_what_was_learnt_does() {
        let mut seen = Baseline::default();
        for day in 0..5_u64 {
            let hour = 24 * (1_000 + day) + 7;
            seen.take(hour * HOUR_MS + 1, Some(1.0), 60, Season::Day);
            seen.take((hour + 1) * HOUR_MS + 1, None, 60, Season::Day);
        }
        assert!(seen.hours().is_empty(), "one of sixty");
        let hours: Vec<Hour> = (0..5)
            .map(|day| Hour { number: 24 * (1_000 + day) + 7, median: 5.0, distance: 0.0 })
            .collect();
        seen.learn(&hours, Season::Day);
        let at = (24 * 1_005 + 8) * HOUR_MS;
        assert_eq!(seen.usual(at, Season::Day), Ok(Usual { expected: 5.0, spread: 0.25 }));
    }
}
