//! Bytes that other nodes wrote: read, or counted and passed over; never a panic, never out of bounds.

mod common;

use common::{MINUTE, Site, judged, only};
use holm_incident::{Book, Deed, RecordId, Spell, Witness};
use holm_model::{Millis, Signal};
use proptest::prelude::*;

fn records() -> Vec<Vec<u8>> {
    let mut site = Site::new("berlin");
    site.knows("service:shop", &["host:192.0.2.7"], &["service:stock"]);
    let mut signal =
        Signal::new("active", "slow", common::node("service:shop"), true, Millis(MINUTE));
    signal.attributes.insert("probe".into(), "http".into());
    signal.prefix = Some(common::node("prefix:192.0.2.0/24"));
    site.signal(signal);
    let one = only(&judged([&site], 2 * MINUTE));
    site.act(&one, Deed::Assign(Some("ada".into())), "mine", 2 * MINUTE);
    let fine = vec![Spell { from: Millis(1), to: Some(Millis(2)) }];
    site.record("w", Witness { fault: one.id, fine }.encode());
    site.records.into_values().collect()
}

fn id() -> RecordId {
    let place = common::place("lima");
    RecordId { site: place.site, node: place.node, key: "x".into() }
}

proptest! {
    #[test]
    fn changed_bytes_are_read_or_passed_over(
        which in 0..3_usize, at in any::<prop::sample::Index>(), byte in any::<u8>(),
        cut in any::<prop::sample::Index>(), now in any::<u64>(),
    ) {
        let mut bytes = records().swap_remove(which);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let cut = cut.index(2 * bytes.len());
        bytes.truncate(cut.max(1));
        let mut book = Book::new();
        let changed = book.take(id(), [&*bytes]);
        prop_assert_eq!(changed, !book.is_empty());
        prop_assert_eq!(book.unreadable(), u64::from(!changed));
        for incident in book.judge(Millis(now)).incidents() {
            prop_assert!(incident.reports.len() == 1 && incident.joins.is_empty());
        }
    }

    #[test]
    fn junk_is_passed_over(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut book = Book::new();
        book.take(id(), [&*bytes]);
        book.judge(Millis(1));
    }
}
