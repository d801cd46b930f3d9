//! Where records lie: kinds of documents that are written by the same rule, each with its own period
//! and its own time to be kept.

use holm_model::{DocKind, Millis};

const HOUR_MS: u64 = 60 * 60 * 1_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Records that are kept alike. A document holds what one site first wrote in one period; it goes as a
/// whole when all of that period is older than the shelf keeps, everywhere alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shelf {
    /// How alert rules stand: by day, kept for two days more.
    Alerts,
    /// What was changed: by week, kept as long as the replica remembers.
    Changes,
    /// What was said about faults: by week, kept as long as the replica remembers.
    Incidents,
    /// Minutes of objectives: by six hours, kept for twelve hours more.
    LedgerMinutes,
    /// Hours of objectives, of days that are not over: by day, kept for two days more.
    LedgerHours,
    /// Days of objectives: by thirty days, kept for 400 days more.
    LedgerDays,
    /// Who was told of faults: by week, kept as long as the replica remembers.
    Pages,
    /// What people decided: one period, kept for ever.
    Policies,
    /// How tests stand: by day, kept for two days more.
    Tests,
}

impl Shelf {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Alerts,
        Self::Changes,
        Self::Incidents,
        Self::LedgerMinutes,
        Self::LedgerHours,
        Self::LedgerDays,
        Self::Pages,
        Self::Policies,
        Self::Tests,
    ];

    /// The kind of its documents.
    pub const fn kind(self) -> DocKind {
        match self {
            Self::Alerts => DocKind::Alert,
            Self::Changes => DocKind::Change,
            Self::Incidents => DocKind::Incident,
            Self::LedgerMinutes | Self::LedgerHours | Self::LedgerDays => DocKind::SloLedger,
            Self::Pages => DocKind::Page,
            Self::Policies => DocKind::Policy,
            Self::Tests => DocKind::Test,
        }
    }

    /// What tells shelves of one kind apart, before the period in a document's key.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::Alerts
            | Self::Changes
            | Self::Incidents
            | Self::Pages
            | Self::Policies
            | Self::Tests => "",
            Self::LedgerMinutes => "m",
            Self::LedgerHours => "h",
            Self::LedgerDays => "d",
        }
    }

    /// Length of a period, in milliseconds.
    const fn period_ms(self) -> u64 {
        match self {
            Self::Changes | Self::Incidents | Self::Pages => 7 * DAY_MS,
            Self::LedgerMinutes => 6 * HOUR_MS,
            Self::Alerts | Self::LedgerHours | Self::Tests => DAY_MS,
            Self::LedgerDays => 30 * DAY_MS,
            Self::Policies => u64::MAX,
        }
    }

    /// The period of a moment, counted from 1970.
    pub(crate) const fn period_of(self, at: Millis) -> u64 {
        at.0 / self.period_ms()
    }

    /// When a period is over.
    const fn end_of(self, period: u64) -> Millis {
        Millis(period.saturating_add(1).saturating_mul(self.period_ms()))
    }

    /// The moment of which the end of a period must be later for it to be kept, if the replica remembers
    /// back to `horizon`.
    const fn kept_from(self, now: Millis, horizon: Millis) -> Millis {
        match self {
            Self::Changes | Self::Incidents | Self::Pages => horizon,
            Self::LedgerMinutes => Millis(now.0.saturating_sub(12 * HOUR_MS)),
            Self::Alerts | Self::LedgerHours | Self::Tests => {
                Millis(now.0.saturating_sub(2 * DAY_MS))
            }
            Self::LedgerDays => Millis(now.0.saturating_sub(400 * DAY_MS)),
            Self::Policies => Millis(0),
        }
    }

    /// Whether all of a period is older than what is kept.
    pub(crate) fn is_past(self, period: u64, now: Millis, horizon: Millis) -> bool {
        self.end_of(period) <= self.kept_from(now, horizon)
    }

    /// Whether a period is kept for at least as long again as a period is: what is written there stays.
    pub(crate) fn is_young(self, period: u64, now: Millis, horizon: Millis) -> bool {
        let late = self.kept_from(now, horizon).0.saturating_add(self.period_ms());
        self == Self::Policies || self.end_of(period) > Millis(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_now_is_young_and_goes_when_its_time_is_over() {
        let now = Millis(20_000 * DAY_MS + 5 * HOUR_MS);
        let horizon = now - 30 * DAY_MS;
        for shelf in Shelf::ALL {
            let period = shelf.period_of(now);
            assert!(shelf.is_young(period, now, horizon), "{shelf:?}");
            assert!(!shelf.is_past(period, now, horizon), "{shelf:?}");
            let later = now + 500 * DAY_MS;
            let gone = shelf.is_past(period, later, later - 30 * DAY_MS);
            assert_eq!(gone, shelf != Shelf::Policies, "{shelf:?}");
        }
        let minutes = Shelf::LedgerMinutes;
        let period = minutes.period_of(now);
        assert!(!minutes.is_past(period, now + 12 * HOUR_MS, horizon), "not over for twelve hours");
        assert!(minutes.is_past(period, now + 18 * HOUR_MS, horizon));
    }
}
