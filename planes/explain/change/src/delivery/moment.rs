//! Moments as providers write them.

use holm_model::Millis;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

const ZONED: &[BorrowedFormatItem<'_>] = format_description!(
    "[year]-[month]-[day] [hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);
const UTC: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");

/// RFC 3339, or as GitLab writes it: `2021-04-28 21:50:00 +0200`, `2020-11-02 12:55:12 UTC`.
pub(super) fn read(text: &str) -> Option<Millis> {
    let moment = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(text, ZONED))
        .or_else(|_| PrimitiveDateTime::parse(text, UTC).map(PrimitiveDateTime::assume_utc))
        .ok()?;
    u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok().map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_all_providers_are_read() {
        for (text, at) in [
            ("2021-04-28T19:50:00Z", Some(1_619_639_400_000)),
            ("2021-04-28T21:50:00.5+02:00", Some(1_619_639_400_500)),
            ("2021-04-28 21:50:00 +0200", Some(1_619_639_400_000)),
            ("2021-04-28 19:50:00 UTC", Some(1_619_639_400_000)),
            ("1969-12-31T23:59:59Z", None),
            ("yesterday", None),
        ] {
            assert_eq!(read(text), at.map(Millis), "{text}");
        }
    }
}
