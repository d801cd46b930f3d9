//! Sites that exchange documents hold the same, whatever happened to one of them before.

mod common;

use automerge::transaction::Transactable;
use automerge::{Automerge, ROOT, ScalarValue};
use common::*;
use holm_graph::{ElementChange, ElementChangeKind};
use holm_model::{DocVersion, Millis};
use holm_replica::{Applied, DocName, MAX_CHANGE_BYTES, MemoryDisk, Merged, Replica};

fn topology(replica: &Replica, of: &str) -> DocVersion {
    let doc = DocName::topology(&site(of), 0, 0).id(replica.tenant());
    replica.version(doc).expect("it is held")
}

fn merged(applied: Applied) -> Merged {
    match applied {
        Applied::Merged(merged) => merged,
        Applied::NeedsMore { missing, .. } => panic!("{} changes are missing", missing.len()),
    }
}

#[test]
fn two_sites_that_exchange_documents_have_one_digest() {
    let (berlin, tokyo) = (replica("berlin"), replica("tokyo"));
    commit(&berlin, &[opened(&edge(1), 10), opened("service:web-1", 10)], 10);
    commit(&tokyo, &[opened(&edge(2), 11)], 11);
    assert_ne!(berlin.digest(), tokyo.digest());
    exchange(&berlin, &tokyo);
    assert_eq!(berlin.digest(), tokyo.digest());
    assert_eq!(elements(&berlin), elements(&tokyo));
    assert_eq!(elements(&berlin).len(), 3);

    commit(&berlin, &[closed(&edge(1), 20)], 20);
    let doc = topology(&berlin, "berlin").doc;
    let blob = berlin.export(doc, &tokyo.heads(doc)).expect("it exports");
    assert!(!blob.whole && blob.bytes.len() < 400, "{} bytes", blob.bytes.len());
    let news = merged(tokyo.apply(doc, &blob.bytes, "berlin", Millis(21)).expect("it applies"));
    assert_eq!(news.version, blob.version);
    assert_eq!(news.version.changed_at, Millis(20));
    assert_eq!(news.changed.len(), 1);
    assert_eq!((&news.changed[0].0, news.changed[0].1.id.to_string()), (&site("berlin"), edge(1)));
    assert!(!news.changed[0].1.intervals.is_open());

    let again = merged(tokyo.apply(doc, &blob.bytes, "berlin", Millis(22)).expect("it applies"));
    assert!(!again.news && again.changed.is_empty(), "the same again is no news");
    assert_eq!(berlin.digest(), tokyo.digest());
}

#[test]
fn what_changes_nothing_costs_no_operation() {
    let berlin = replica("berlin");
    let changes = [opened(&edge(1), 10), closed(&edge(1), 20), opened(&edge(1), 30)];
    let first = berlin.commit(&changes, Millis(30)).expect("it commits");
    assert_eq!((first.versions.len(), first.changed.len()), (1, 1));
    assert_eq!(first.changed[0].intervals.as_slice().len(), 2, "the gap is remembered");
    let (digest, stats) = (berlin.digest(), berlin.stats());
    let second = berlin.commit(&changes, Millis(40)).expect("it commits");
    assert!(second.versions.is_empty() && second.changed.is_empty(), "a retry does no harm");
    assert_eq!((berlin.digest(), berlin.stats()), (digest, stats));
}

#[test]
fn a_site_that_lost_its_disk_gets_its_document_back_and_goes_on_writing() {
    let (berlin, tokyo) = (replica("berlin"), replica("tokyo"));
    commit(&berlin, &[opened(&edge(1), 10), opened(&edge(2), 10)], 10);
    exchange(&berlin, &tokyo);
    drop(berlin);

    let (berlin, report) = open(MemoryDisk::new(), "berlin", "n1");
    assert!(report.fresh);
    commit(&berlin, &[opened(&edge(1), 50), opened(&edge(3), 50)], 50);
    let before = berlin.open_elements(Millis(100)).0.len();
    exchange(&berlin, &tokyo);
    assert_eq!(berlin.digest(), tokyo.digest());
    assert_eq!(before, 2);
    let (open, last) = berlin.open_elements(Millis(100));
    assert_eq!((open.len(), last), (3, Millis(50)), "the fold learns what a peer returned");
    let (_, last) = berlin.open_elements(Millis(49));
    assert_eq!(last, Millis(10), "before the disk was lost");
    let edge_1 = open.iter().find(|o| o.id.to_string() == edge(1)).expect("open");
    assert_eq!(edge_1.since, Millis(10), "since it was first seen, not since the disk was lost");

    commit(&berlin, &[closed(&edge(1), 60), closed(&edge(2), 60)], 60);
    exchange(&berlin, &tokyo);
    assert_eq!(berlin.digest(), tokyo.digest());
    assert_eq!(open_ids(&tokyo), [format!("berlin {}", edge(3))]);
}

#[test]
fn a_restored_disk_image_and_a_cloned_node_write_no_change_twice() {
    let disk = MemoryDisk::new();
    let (berlin, _) = open(disk.clone(), "berlin", "n1");
    let tokyo = replica("tokyo");
    commit(&berlin, &[opened(&edge(1), 10)], 10);
    drop(berlin);
    let image = disk.image();
    let (berlin, _) = open(disk, "berlin", "n1");
    commit(&berlin, &[closed(&edge(1), 20), opened(&edge(2), 20)], 20);
    exchange(&berlin, &tokyo);
    // The old image comes back beside it, and writes something else at the same place in history.
    let (clone, _) = open(image, "berlin", "n1");
    commit(&clone, &[opened(&edge(3), 30)], 30);
    exchange(&clone, &tokyo);
    exchange(&berlin, &tokyo);
    exchange(&clone, &tokyo);
    assert_eq!(berlin.digest(), tokyo.digest());
    assert_eq!(clone.digest(), tokyo.digest());
    let expected = [format!("berlin {}", edge(2)), format!("berlin {}", edge(3))];
    assert_eq!(open_ids(&tokyo), expected);
}

#[test]
fn what_one_node_of_a_site_closes_the_other_may_still_hold_open() {
    let (one, _) = open(MemoryDisk::new(), "berlin", "n1");
    let (two, _) = open(MemoryDisk::new(), "berlin", "n2");
    commit(&one, &[opened(&edge(1), 10)], 10);
    commit(&two, &[opened(&edge(1), 12)], 12);
    exchange(&one, &two);
    assert_eq!(one.digest(), two.digest());
    commit(&one, &[closed(&edge(1), 20)], 20);
    exchange(&one, &two);
    let (_, both) = elements(&two).remove(0);
    assert!(both.intervals.is_open(), "n2 still sees it");
    assert_eq!(both.intervals.as_slice()[0].from, Millis(10));
    let (open, last) = one.open_elements(Millis(100));
    assert!(open.is_empty() && last == Millis(20), "n1's fold holds only its own");
    commit(&two, &[closed(&edge(1), 30)], 30);
    exchange(&one, &two);
    assert!(open_ids(&one).is_empty());
}

#[test]
fn changes_without_their_predecessors_are_asked_for_and_not_kept() {
    let (berlin, tokyo) = (replica("berlin"), replica("tokyo"));
    commit(&berlin, &[opened(&edge(1), 10)], 10);
    let doc = topology(&berlin, "berlin").doc;
    let early = berlin.heads(doc);
    commit(&berlin, &[opened(&edge(2), 20)], 20);
    let later = berlin.export(doc, &early).expect("it exports");
    assert!(!later.whole);
    let answer = tokyo.apply(doc, &later.bytes, "berlin", Millis(21)).expect("no fault");
    assert_eq!(answer, Applied::NeedsMore { doc, missing: early });
    assert_eq!(tokyo.version(doc), None);
    assert!(matches!(tokyo.apply(doc, &[], "x", Millis(1)), Ok(Applied::NeedsMore { .. })));
    assert!(send(&berlin, &tokyo, doc) != answer);
    assert_eq!(berlin.digest(), tokyo.digest());
    let stranger = [[9; 32]];
    assert!(berlin.export(doc, &stranger).expect("it exports").whole, "unknown heads: the whole");
}

#[test]
fn statements_of_the_roster_are_united_and_never_lost() {
    let (berlin, tokyo) = (replica("berlin"), replica("tokyo"));
    berlin.add_statement(b"grant 1", Millis(1)).expect("added");
    tokyo.add_statement(b"grant 1", Millis(2)).expect("added");
    tokyo.add_statement(b"revoke 1", Millis(2)).expect("added");
    let doc = DocName::roster().id(berlin.tenant());
    let news = merged(send(&tokyo, &berlin, doc));
    assert_eq!(news.statements, [b"revoke 1".to_vec()]);
    exchange(&berlin, &tokyo);
    assert_eq!(berlin.digest(), tokyo.digest());
    assert_eq!(berlin.statements().len(), 2);
    let again = berlin.add_statement(b"revoke 1", Millis(3)).expect("known");
    assert!(again.versions.is_empty());
    assert!(berlin.add_statement(&[0; MAX_CHANGE_BYTES], Millis(3)).is_err());
}

/// A document as another version of Holm, or a liar, would make it.
fn foreign(kind: &str, of: &str, key: &str, puts: &[(&str, ScalarValue)]) -> Vec<u8> {
    let mut am = Automerge::new();
    let mut transaction = am.transaction();
    for (name, value) in [("h/kind", kind), ("h/tenant", of), ("h/key", key)] {
        transaction.put(ROOT, name, value).expect("put");
    }
    transaction.put(ROOT, "h/changed_at", ScalarValue::Uint(u64::MAX)).expect("put");
    for (name, value) in puts {
        transaction.put(ROOT, *name, value.clone()).expect("put");
    }
    transaction.commit();
    am.save()
}

#[test]
fn a_document_that_a_peer_lies_about_is_quarantined_and_a_good_copy_clears_it() {
    let (berlin, tokyo) = (replica("berlin"), replica("tokyo"));
    commit(&berlin, &[opened(&edge(1), 10)], 10);
    let doc = topology(&berlin, "berlin").doc;
    let lies = [
        foreign("topology", "other", "berlin/0/0", &[]),
        foreign("topology", "acme", "tokyo/0/0", &[]),
        foreign("roster", "acme", "", &[]),
        foreign("topology", "acme", "berlin", &[]),
        b"hello".to_vec(),
    ];
    for lie in &lies {
        let error = tokyo.apply(doc, lie, "mallory", Millis(1)).expect_err("a lie").to_string();
        assert!(error.contains("mallory") && error.contains("quarantined"), "{error}");
        // Beside the true document it is no better.
        berlin.apply(doc, lie, "mallory", Millis(1)).expect_err("a lie");
    }
    tokyo.apply(doc, &Automerge::new().save(), "mallory", Millis(1)).expect_err("no header");
    assert_eq!(tokyo.documents(), []);
    let kept = tokyo.quarantined();
    assert_eq!(kept.len(), lies.len() + 1);
    assert_eq!((&kept[0].from[..], &kept[0].bytes), ("mallory", &lies[0]));
    assert!(kept[0].reason.contains("another tenant"), "{}", kept[0].reason);
    send(&berlin, &tokyo, doc);
    assert_eq!(tokyo.quarantined(), []);
    assert_eq!(tokyo.stats().quarantined, lies.len() as u64 + 1);
    assert_eq!(berlin.digest(), tokyo.digest());
}

#[test]
fn kinds_and_records_of_a_later_version_are_carried_and_not_read() {
    let disk = MemoryDisk::new();
    let (berlin, _) = open(disk.clone(), "berlin", "n1");
    let tokyo = replica("tokyo");
    let value = ScalarValue::Bytes(vec![8, 2]);
    let puts = [("e/n1/host:a", value.clone()), ("e/n1/host:b", value), ("h/node/n1", 1.into())];
    let later = foreign("topology", "acme", "lima/0/0", &puts);
    let lima = DocName::topology(&site("lima"), 0, 0).id(berlin.tenant());
    let news = merged(berlin.apply(lima, &later, "lima", Millis(1)).expect("it is carried"));
    assert!(news.changed.is_empty());
    assert_eq!(berlin.stats().records_unreadable, 2);
    assert!(news.version.changed_at < Millis(u64::MAX), "a time that no clock shows is cut");

    // A kind of which this version knows nothing, under the id that follows from its header.
    let unknown = foreign("a-later-kind", "acme", "berlin/2026-11", &[]);
    let mut hasher = blake3::Hasher::new_derive_key("holm document id v1");
    for part in ["acme", "a-later-kind", "berlin/2026-11"] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    let ledger = holm_model::DocId(id);
    merged(berlin.apply(ledger, &unknown, "lima", Millis(1)).expect("it is carried"));
    assert_eq!(berlin.name(ledger).expect("held").kind(), "a-later-kind");

    drop(berlin);
    let (berlin, report) = open(disk, "berlin", "n1");
    assert_eq!((report.documents, report.messages.len()), (2, 0));
    exchange(&berlin, &tokyo);
    assert_eq!(berlin.digest(), tokyo.digest());
    assert_eq!(tokyo.documents().len(), 2);
}

#[test]
fn large_batches_are_split_and_budgets_are_shown() {
    let berlin = replica("berlin");
    let all: Vec<_> = (0..3_000).map(|i| opened(&edge(i), 10)).collect();
    commit(&berlin, &all, 10);
    let doc = topology(&berlin, "berlin").doc;
    let am = Automerge::load(&berlin.export(doc, &[]).expect("it exports").bytes).expect("loads");
    let changes = am.get_changes(&[]);
    assert!(changes.len() > 10);
    assert!(changes.iter().all(|c| c.raw_bytes().len() <= MAX_CHANGE_BYTES));
    let budget = berlin.budgets().remove(0);
    assert!(!budget.over && budget.ops >= 3_000 && budget.bytes < 100_000, "{budget:?}");
    assert_eq!(berlin.stats().documents_over_budget, 0);
    let noise = |i: usize| -> String {
        let hashes = (0..4).map(|part| blake3::hash(format!("{i} {part}").as_bytes()).to_hex());
        hashes.map(|h| h.to_string()).collect()
    };
    let long: Vec<_> = (0..3_000)
        .map(|i| ElementChange {
            id: edge(i).parse().expect("valid"),
            change: ElementChangeKind::AttributesChanged {
                at: Millis(20),
                attributes: [("noise".into(), noise(i).into())].into(),
            },
        })
        .collect();
    commit(&berlin, &long, 20);
    // The first document is over its budget now: its epoch ended.
    let budgets = berlin.budgets();
    assert!(budgets.len() > 1 && budgets.iter().all(|b| !b.over), "{budgets:?}");
    assert!(budgets.iter().all(|b| b.name.starts_with("topology berlin/1/")), "{budgets:?}");
    let stats = berlin.stats();
    assert_eq!((stats.documents_over_budget, stats.rotations, stats.superseded), (0, 1, 1));
    assert_eq!(stats.rotated_into, budgets.len() as u64);
    assert_eq!(elements(&berlin).len(), 3_000);
}
