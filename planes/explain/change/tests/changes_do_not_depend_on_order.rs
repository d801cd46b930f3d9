//! Two nodes that have the same records know the same changes, whatever the order in which they came, how
//! often, and who took a delivery again.

#[path = "common/signed.rs"]
mod sender;

use holm_change::{Book, Change, ChangeId, ChangeKind, Draft, Provider, RecordKey, Source};
use holm_model::Millis;
use proptest::prelude::*;
use sender::signed;

const NOW: Millis = Millis(1_795_000_000_000);

fn key(site: u8, key: &str) -> RecordKey {
    RecordKey {
        site: format!("site{site}").parse().expect("valid"),
        node: "n1".parse().expect("valid"),
        key: key.into(),
    }
}

fn id(delivery: u8) -> ChangeId {
    signed(&[delivery]).id_of("s", None, 0)
}

/// The change of a delivery, as a site takes it at a time, knowing its target or not.
fn change(delivery: u8, taken: u64, knows: bool) -> Change {
    let mut draft = Draft::new(ChangeKind::Deploy, format!("delivery {delivery}"));
    draft.words = vec!["service:web".into()];
    let resolve = |word: &str| if knows { vec![word.parse().expect("valid")] } else { Vec::new() };
    draft.into_change(id(delivery), "s", NOW + taken, resolve).0
}

fn source() -> Source {
    Source::new("ci", Provider::GitHub, None, "ada", NOW, [5; 42]).expect("made")
}

/// All that can be asked of a book.
fn told(book: &Book) -> String {
    let changes: Vec<_> = book.between(Millis(0), Millis(u64::MAX)).collect();
    format!("{changes:?}")
}

proptest! {
    #[test]
    fn equal_records_are_equal_changes(
        mut records in proptest::collection::vec((0..6_u8, 0..4_u8, 0..3_u64, any::<bool>()), 1..24),
        again in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        seed in any::<u64>(),
    ) {
        // A node takes a delivery once: it knows it then.
        records.sort();
        records.dedup_by_key(|(delivery, site, ..)| (*delivery, *site));
        let all: Vec<(RecordKey, Vec<u8>)> = records
            .iter()
            .map(|&(delivery, site, taken, knows)| {
                let change = change(delivery, taken * 1_000, knows);
                (key(site, &change.id.record_key()), change.encode())
            })
            .collect();
        let mut first = Book::new();
        all.iter().for_each(|(key, value)| { first.take(key, [&**value]); });
        let mut shuffled = all.clone();
        shuffled.extend(again.iter().map(|index| index.get(&all).clone()));
        shuffled.sort_by_key(|(key, value)| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&seed.to_le_bytes()).update(key.key.as_bytes()).update(value);
            *hasher.finalize().as_bytes()
        });
        let mut second = Book::new();
        shuffled.iter().for_each(|(key, value)| { second.take(key, [&**value]); });
        prop_assert_eq!(told(&first), told(&second));
        let deliveries: std::collections::BTreeSet<u8> = records.iter().map(|r| r.0).collect();
        prop_assert_eq!(first.len(), deliveries.len(), "one change a delivery, however many took it");
    }

    #[test]
    fn records_of_others_are_hostile(value in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..200_usize) {
        let mut book = Book::new();
        book.take(&key(0, "c-0000000000000000"), [&*value]);
        let good = change(1, 0, true);
        let mut bytes = good.encode();
        bytes.truncate(cut);
        bytes.extend_from_slice(&value);
        book.take(&key(0, &good.id.record_key()), [&*bytes]);
        Source::decode(&value);
        Source::joined([&*bytes, &*value]);
        prop_assert!(book.len() <= 1);
    }
}

#[test]
fn a_record_under_another_name_is_passed_over() {
    let mut book = Book::new();
    let change = change(1, 0, true);
    assert!(!book.take(&key(0, &id(2).record_key()), [&*change.encode()]));
    assert!(!book.take(&key(0, "lima"), [&*change.encode()]));
    assert!(!book.take(&key(0, &change.id.record_key()), [&*source().encode()]));
    assert_eq!((book.len(), book.unreadable()), (0, 3));
    // Two lives of a node wrote at the same time: the same one stands everywhere.
    let (a, b) = (change.encode(), self::change(1, 9, false).encode());
    let name = key(0, &change.id.record_key());
    let mut other = Book::new();
    assert!(book.take(&name, [&*a, &*b]) && other.take(&name, [&*b, &*a]));
    assert_eq!(told(&book), told(&other));
    assert_eq!(book.forget(NOW + 1), 1);
    assert!(book.is_empty() && book.change(change.id).is_none());
}

#[test]
fn a_revocation_counts_whatever_stands_beside_it() {
    let source = source();
    let revoked = source.revoke("grace", NOW);
    assert!(
        revoked.secret.is_empty() && Source::decode(&revoked.encode()) == Some(revoked.clone())
    );
    let (a, b) = (source.encode(), revoked.encode());
    assert_eq!(Source::joined([&*a, &*b]), Some(revoked.clone()));
    assert_eq!(Source::joined([&*b, &*a, b"odd"]), Some(revoked));
    assert_eq!(Source::joined([&*a]), Some(source));
}
