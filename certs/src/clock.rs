//! Times as certificates and messages write them. No clock is read here.

use holm_model::Millis;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// 9999-12-31T23:59:59Z, the last second that X.509 can write (RFC 5280 §4.1.2.5).
const LAST_SECOND: i64 = 253_402_300_799;

/// The second that `at` lies in.
pub(crate) fn seconds(at: Millis) -> i64 {
    i64::try_from(at.0 / 1000).unwrap_or(LAST_SECOND).min(LAST_SECOND)
}

/// The start of second `seconds`; the epoch for what lies before it.
pub(crate) fn millis(seconds: i64) -> Millis {
    Millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
}

/// `at`, cut to whole seconds, as rcgen wants it.
pub(crate) fn utc(at: Millis) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds(at)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// `2026-11-21T03:37:49Z`.
pub(crate) fn show(at: Millis) -> String {
    utc(at).format(&Rfc3339).unwrap_or_else(|_| format!("{} ms", at.0))
}

/// The two largest units of a span: `1 h 3 min`, `12 s`, `3 d 4 h`.
pub(crate) fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_times_read_well() {
        assert_eq!(span(12_345), "12 s");
        assert_eq!(span(3_780_000), "1 h 3 min");
        assert_eq!(span(86_400_000 * 3 + 4 * 3_600_000), "3 d 4 h");
        assert_eq!(show(Millis(1_795_230_269_000)), "2026-11-21T03:04:29Z");
        assert_eq!(show(Millis(u64::MAX)), "9999-12-31T23:59:59Z");
        assert_eq!(millis(-5), Millis(0));
    }
}
