//! Records under keys of their own: durable, replicated, bounded by weeks, and never lost on the way.

mod common;

use holm_model::{DocId, Millis};
use holm_replica::{
    Applied, CommitError, HistoryLimits, MemoryDisk, Merged, NewRecord, Record, Replica, Shelf,
};

const WEEK: u64 = 7 * 24 * 60 * 60 * 1_000;
const NOW: Millis = Millis(2_900 * WEEK + 1);

fn record(key: &str, value: &[u8]) -> NewRecord {
    NewRecord { key: key.into(), value: value.to_vec() }
}

fn send(from: &Replica, to: &Replica, now: Millis) -> Vec<Merged> {
    let docs: Vec<DocId> = from.documents().into_iter().map(|version| version.doc).collect();
    let send = |doc: DocId| {
        let bytes = from.export(doc, &to.heads(doc)).expect("here").bytes;
        match to.apply(doc, &bytes, "peer", now).expect("good bytes") {
            Applied::Merged(merged) => merged,
            other => panic!("{other:?}"),
        }
    };
    docs.into_iter().map(send).collect()
}

fn keys(records: &[Record]) -> Vec<(&str, &str)> {
    records.iter().map(|record| (record.site.as_str(), &*record.key)).collect()
}

#[test]
fn records_are_there_after_a_restart_and_at_peers() {
    let disk = MemoryDisk::new();
    let berlin = common::open(disk.clone(), "berlin", "n1").0;
    let tokyo = common::replica("tokyo");
    berlin.put_records(&[record("a", b"1"), record("b", b"2")], NOW).expect("written");
    assert_eq!(berlin.put_records(&[record("a", b"1")], NOW).expect("written").versions, []);
    let merged = send(&berlin, &tokyo, NOW);
    assert_eq!(keys(&merged[0].records), [("berlin", "a"), ("berlin", "b")]);
    berlin.put_records(&[record("b", b"3")], NOW).expect("written");
    let merged = send(&berlin, &tokyo, NOW);
    assert_eq!(merged[0].records.len(), 1, "only what changed");
    assert_eq!(merged[0].records[0].values, [b"3".to_vec()]);
    assert_eq!(tokyo.records(), berlin.records());
    drop(berlin);
    let again = common::open(disk, "berlin", "n1").0;
    assert_eq!(again.records(), tokyo.records());
}

#[test]
fn a_full_part_is_followed_by_the_next_and_records_stay_where_they_are() {
    let limits = HistoryLimits { doc_bytes: 8 * 1024, ..HistoryLimits::default() };
    let replica = common::replica("berlin");
    let replica = replica.with_limits(limits);
    for i in 0..40_u8 {
        let value: Vec<u8> = (0..=255).map(|b: u8| b.wrapping_mul(i) ^ i).collect();
        replica.put_records(&[record(&format!("k{i}"), &value)], NOW).expect("written");
    }
    let documents = replica.documents().len();
    assert!((2..20).contains(&documents), "{documents}");
    replica.put_records(&[record("k0", b"new")], NOW).expect("written");
    assert_eq!(replica.documents().len(), documents);
    let k0 = replica.records().into_iter().find(|record| &*record.key == "k0");
    assert_eq!(k0.expect("there").values, [b"new".to_vec()]);
    assert_eq!(replica.records().len(), 40);
}

#[test]
fn a_week_goes_with_its_retention_and_what_matters_is_carried() {
    let limits = HistoryLimits { retention_ms: 3 * WEEK, ..HistoryLimits::default() };
    let berlin = common::replica("berlin");
    let tokyo = common::replica("tokyo");
    let (berlin, tokyo) = (berlin.with_limits(limits), tokyo.with_limits(limits));
    berlin.put_records(&[record("lasts", b"1"), record("ended", b"2")], NOW).expect("written");
    send(&berlin, &tokyo, NOW);
    let later = NOW + 3 * WEEK;
    let carried = berlin.carry_records(|key| key == "lasts", later).expect("written");
    assert_eq!(carried.versions.len(), 1);
    assert_eq!(berlin.carry_records(|_| false, later).expect("written").versions, []);
    // What is written anew is written where it stays.
    berlin.put_records(&[record("lasts", b"3")], later).expect("written");
    let merged = send(&berlin, &tokyo, later);
    let of_lasts: Vec<&Record> = merged.iter().flat_map(|m| &m.records).collect();
    assert_eq!(of_lasts.len(), 1);
    assert_eq!(of_lasts[0].values, [b"1".to_vec(), b"3".to_vec()], "of both documents");
    let over = NOW + 4 * WEEK;
    let old = berlin.documents();
    berlin.maintain(over).expect("done");
    tokyo.maintain(over).expect("done");
    assert_eq!(keys(&berlin.records()), [("berlin", "lasts")]);
    assert_eq!(tokyo.records(), berlin.records());
    assert_eq!(old.len(), berlin.documents().len() + 1);
    // A peer that still has the old one does not bring it back.
    let lima = common::replica("lima");
    lima.put_records(&[record("x", b"1")], NOW).expect("written");
    assert!(send(&lima, &tokyo, over).iter().all(|merged| !merged.news));
}

#[test]
fn what_is_not_of_this_time_or_too_long_is_refused() {
    let berlin = common::replica("berlin");
    let tokyo = common::replica("tokyo");
    berlin.put_records(&[record("a", b"1")], NOW + 4 * WEEK).expect("written");
    let version = berlin.documents().remove(0);
    let bytes = berlin.export(version.doc, &[]).expect("here").bytes;
    let error = tokyo.apply(version.doc, &bytes, "peer", NOW).expect_err("of the future");
    assert!(error.to_string().contains("has not come yet"), "{error}");
    let long = berlin.put_records(&[record("a", &[0; 1 << 20])], NOW);
    assert!(matches!(long, Err(CommitError::RecordTooLong { .. })), "{long:?}");
    let key = "k".repeat(500);
    assert!(berlin.put_records(&[record(&key, b"1")], NOW).is_err());
}

#[test]
fn shelves_are_kept_apart_and_each_as_long_as_it_says() {
    const HOUR: u64 = 60 * 60 * 1_000;
    let berlin = common::replica("berlin");
    let tokyo = common::replica("tokyo");
    let shelves = [Shelf::LedgerMinutes, Shelf::LedgerHours, Shelf::LedgerDays, Shelf::Policies];
    for shelf in shelves {
        berlin.put_records_on(shelf, &[record("slo/a", b"1")], NOW).expect("written");
    }
    let merged = send(&berlin, &tokyo, NOW);
    let said: Vec<Shelf> =
        merged.iter().flat_map(|merged| &merged.records).map(|record| record.shelf).collect();
    assert!(said.len() == 4 && shelves.iter().all(|shelf| said.contains(shelf)), "{said:?}");
    assert_eq!(tokyo.records(), [], "none of them is about incidents");
    let held = |now: Millis| {
        tokyo.maintain(now).expect("tended");
        shelves.map(|shelf| tokyo.records_on(shelf).len())
    };
    assert_eq!(held(NOW + 12 * HOUR), [1, 1, 1, 1]);
    assert_eq!(held(NOW + 19 * HOUR), [0, 1, 1, 1]);
    assert_eq!(held(NOW + 73 * HOUR), [0, 0, 1, 1]);
    assert_eq!(held(NOW + 399 * 24 * HOUR), [0, 0, 1, 1]);
    assert_eq!(held(NOW + 431 * 24 * HOUR), [0, 0, 0, 1]);
    // What is written again late is written where it is kept.
    let late = NOW + 13 * HOUR;
    berlin.put_records_on(Shelf::LedgerMinutes, &[record("slo/a", b"2")], late).expect("written");
    let again = berlin.records_on(Shelf::LedgerMinutes);
    assert_eq!(again[0].values, [b"1".to_vec(), b"2".to_vec()], "both, until the first goes");
    berlin.maintain(NOW + 19 * HOUR).expect("tended");
    assert_eq!(berlin.records_on(Shelf::LedgerMinutes)[0].values, [b"2".to_vec()]);
}
