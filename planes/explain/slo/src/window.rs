//! The time that a budget is for: the last so many days, or a week, month or quarter of a calendar.

use chrono::{DateTime, Days, Months, NaiveDateTime, TimeDelta, TimeZone, Timelike};
use chrono_tz::Tz;
use holm_model::Millis;

/// A minute, in milliseconds.
pub const MINUTE_MS: u64 = 60_000;
/// An hour, in milliseconds.
pub const HOUR_MS: u64 = 60 * MINUTE_MS;
/// A day, in milliseconds.
pub const DAY_MS: u64 = 24 * HOUR_MS;

/// The time that a budget is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Window {
    /// The last so many milliseconds.
    Rolling {
        /// How long.
        length_ms: u64,
    },
    /// Since the calendar began anew.
    Calendar(Calendar),
}

/// Periods of a calendar, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// When the first one began, by the clock of the zone.
    pub start: NaiveDateTime,
    /// The zone.
    pub zone: Tz,
    /// How long one is.
    pub step: Step,
}

/// Length of a calendar's period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many days.
    Days(u32),
    /// So many months.
    Months(u32),
}

impl Window {
    /// The window that `now` lies in: from, and to. A rolling one ends now; of a calendar that has not
    /// begun it is the first.
    pub fn around(&self, now: Millis) -> (Millis, Millis) {
        match self {
            Self::Rolling { length_ms } => (now - *length_ms, now),
            Self::Calendar(calendar) => calendar.around(now),
        }
    }

    /// The finest time between two of its bounds, in minutes: 60, or 15 for zones and starts that are not
    /// at full hours. `None` if it needs less.
    pub fn grain_min(&self, now: Millis) -> Option<u32> {
        let Self::Calendar(calendar) = self else { return Some(60) };
        let (mut at, mut grain) = (now, 60);
        for _ in 0..60 {
            let (from, to) = calendar.around(at);
            match (from.0 / MINUTE_MS) % 60 {
                0 => {}
                minute if minute.is_multiple_of(15) => grain = 15,
                _ => return None,
            }
            at = to;
        }
        Some(grain)
    }
}

impl Calendar {
    fn around(&self, now: Millis) -> (Millis, Millis) {
        let seconds = i64::try_from(now.0 / 1_000).unwrap_or(i64::MAX);
        let utc = DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::UNIX_EPOCH);
        let local = utc.with_timezone(&self.zone).naive_local();
        let since = local - self.start;
        let about = match self.step {
            Step::Days(days) => since.num_days() / i64::from(days.max(1)),
            // No month is longer than this: never more of them than there were.
            Step::Months(months) => since.num_days() / (31 * i64::from(months.max(1))),
        };
        let mut number = u32::try_from(about.max(1) - 1).unwrap_or(0);
        loop {
            let next = self.begin(number + 1);
            if next > now || number == u32::MAX - 1 {
                return (self.begin(number), next);
            }
            number += 1;
        }
    }

    /// When period `number` begins.
    fn begin(&self, number: u32) -> Millis {
        let local = match self.step {
            Step::Days(days) => {
                let days = u64::from(days).saturating_mul(u64::from(number));
                self.start.checked_add_days(Days::new(days))
            }
            Step::Months(months) => {
                self.start.checked_add_months(Months::new(months.saturating_mul(number)))
            }
        };
        local.map_or(Millis(u64::MAX), |local| instant(local, self.zone))
    }
}

/// The moment at which a zone's clock shows `local`; of two the first, and where the clock jumps over it
/// the moment of the jump, about.
fn instant(local: NaiveDateTime, zone: Tz) -> Millis {
    let found = (0..=4).find_map(|quarters| {
        let later = local.checked_add_signed(TimeDelta::minutes(30 * quarters))?;
        zone.from_local_datetime(&later).earliest()
    });
    let millis = found.map_or(0, |at| at.timestamp_millis());
    Millis(u64::try_from(millis).unwrap_or(0))
}

/// A date and time as OpenSLO writes it: `2022-01-01 12:00:00`; seconds must be 0.
pub(crate) fn parse_start(text: &str) -> Option<NaiveDateTime> {
    let forms = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"];
    let start = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
    let sound = start.second() == 0 && (1970..2200).contains(&chrono::Datelike::year(&start));
    sound.then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        let at = DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis();
        Millis(u64::try_from(at).expect("after 1970"))
    }

    fn calendar(start: &str, zone: &str, step: Step) -> Window {
        let start = parse_start(start).expect("a start");
        Window::Calendar(Calendar { start, zone: zone.parse().expect("a zone"), step })
    }

    #[test]
    fn a_week_of_a_calendar_follows_the_clock_of_its_zone_over_summer_time() {
        let week = calendar("2022-01-03 00:00:00", "Europe/Berlin", Step::Days(7));
        // The clock goes forward on 29 March 2026: that week has an hour less.
        let (from, to) = week.around(at("2026-03-25T12:00:00Z"));
        assert_eq!((from, to), (at("2026-03-22T23:00:00Z"), at("2026-03-29T22:00:00Z")));
        assert_eq!(week.around(from), (from, to));
        assert_eq!(week.around(to).0, to, "without a gap");
        assert_eq!(week.grain_min(from), Some(60));
    }

    #[test]
    fn months_begin_on_their_day_or_on_their_last() {
        let month = calendar("2024-01-31 12:00:00", "America/New_York", Step::Months(1));
        let (from, to) = month.around(at("2024-03-01T00:00:00Z"));
        assert_eq!((from, to), (at("2024-02-29T17:00:00Z"), at("2024-03-31T16:00:00Z")));
        let quarter = calendar("2024-01-01 00:00:00", "UTC", Step::Months(3));
        let (from, to) = quarter.around(at("2026-11-22T00:00:00Z"));
        assert_eq!((from, to), (at("2026-10-01T00:00:00Z"), at("2027-01-01T00:00:00Z")));
    }

    #[test]
    fn a_calendar_that_has_not_begun_shows_its_first_window() {
        let week = calendar("2030-01-07 00:00:00", "UTC", Step::Days(7));
        let (from, to) = week.around(at("2026-01-01T00:00:00Z"));
        assert_eq!((from, to), (at("2030-01-07T00:00:00Z"), at("2030-01-14T00:00:00Z")));
    }

    #[test]
    fn zones_beside_the_full_hour_are_counted_finer() {
        let india = calendar("2022-01-01 00:00:00", "Asia/Kolkata", Step::Days(1));
        assert_eq!(india.grain_min(at("2026-01-01T00:00:00Z")), Some(15));
        let odd = calendar("2022-01-01 00:07:00", "UTC", Step::Days(1));
        assert_eq!(odd.grain_min(at("2026-01-01T00:00:00Z")), None);
        assert_eq!(Window::Rolling { length_ms: DAY_MS }.grain_min(Millis(0)), Some(60));
    }

    #[test]
    fn a_start_that_the_clock_jumps_over_begins_with_the_jump() {
        let day = calendar("2026-03-01 02:30:00", "Europe/Berlin", Step::Days(1));
        let (from, _) = day.around(at("2026-03-29T12:00:00Z"));
        assert_eq!(from, at("2026-03-29T01:00:00Z"));
    }
}
