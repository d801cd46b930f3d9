//! What happens when documents come to their budget: epochs, shards, nodes that go, peers that were away.

mod common;

use common::*;
use holm_graph::ElementChange;
use holm_model::{DocId, Millis};
use holm_replica::{Applied, DocBlob, DocName, HistoryLimits, MemoryDisk, Replica};

const SMALL: HistoryLimits = HistoryLimits {
    doc_bytes: 4_000,
    doc_ops: 200,
    doc_heads: 8,
    retention_ms: 1_000,
    ..HistoryLimits::DEFAULT
};

fn small(at: &str, named: &str) -> Replica {
    open(MemoryDisk::new(), at, named).0.with_limits(SMALL)
}

fn names(replica: &Replica) -> Vec<String> {
    let names = replica.documents().into_iter().filter_map(|v| replica.name(v.doc));
    let mut names: Vec<String> = names.map(|name| name.key().to_owned()).collect();
    names.sort();
    names
}

fn blobs(replica: &Replica) -> Vec<DocBlob> {
    let all = replica.documents().into_iter();
    all.map(|version| replica.export(version.doc, &[]).expect("it exports")).collect()
}

/// Opens and closes edge 0 until the first document has come to its end.
fn churn_until_rotated(replica: &Replica, from: u64) -> u64 {
    let before = replica.stats().rotations;
    for now in from.. {
        let change = if now % 2 == 0 { opened(&edge(0), now) } else { closed(&edge(0), now) };
        commit(replica, &[change], now);
        if replica.stats().rotations > before {
            return now;
        }
        assert!(now < from + 2_000, "it never came to its budget");
    }
    from
}

fn moments(replica: &Replica, id: &str) -> usize {
    let all = elements(replica);
    let found = all.iter().find(|(_, e)| e.id.to_string() == id);
    found.map_or(0, |(_, e)| e.intervals.as_slice().len())
}

#[test]
fn an_epoch_that_came_to_its_budget_is_superseded_and_its_readers_follow() {
    let (berlin, tokyo) = (small("berlin", "n1"), small("tokyo", "n1"));
    commit(&berlin, &[opened(&edge(1), 10), opened(&edge(2), 10)], 10);
    exchange(&berlin, &tokyo);
    let old = blobs(&berlin);
    let now = churn_until_rotated(&berlin, 12);
    assert_eq!(names(&berlin), ["berlin/1/0"]);
    let shown = elements(&berlin);
    commit(&berlin, &[closed(&edge(1), now + 1)], now + 1);
    assert_eq!(names(&tokyo), ["berlin/0/0"]);
    exchange(&berlin, &tokyo);
    assert_eq!(names(&tokyo), ["berlin/1/0"], "what is superseded goes with what supersedes it");
    assert_eq!(tokyo.digest(), berlin.digest());
    assert_eq!(shown.len(), elements(&tokyo).len());
    assert_eq!(tokyo.stats().superseded, 1);
    assert!(tokyo.stats().dropped_bytes > 0);

    // Someone comes back with the old epoch, in which edge 1 is open.
    for replica in [&berlin, &tokyo] {
        for blob in &old {
            let doc = blob.version.doc;
            let applied = replica.apply(doc, &blob.bytes, "x", Millis(now + 2)).expect("no fault");
            let Applied::Merged(merged) = applied else { panic!("nothing is missing") };
            assert!(!merged.news && merged.changed.is_empty());
        }
        assert!(!open_ids(replica).contains(&format!("berlin {}", edge(1))));
        assert_eq!((names(replica), replica.stats().stale_refused), (vec!["berlin/1/0".into()], 1));
    }
}

#[test]
fn a_reader_with_some_epochs_is_not_wrong_and_an_old_epoch_opens_nothing() {
    let berlin = small("berlin", "n1");
    let both = [opened(&edge(1), 10), opened(&edge(2), 10), closed(&edge(2), 11)];
    commit(&berlin, &both, 11);
    let first = blobs(&berlin);
    let now = churn_until_rotated(&berlin, 12);
    let second = blobs(&berlin);
    commit(&berlin, &[closed(&edge(1), now + 1)], now + 1);
    // So late that edges 1 and 2 are forgotten.
    let later = churn_until_rotated(&berlin, now + 5_000);
    let third = blobs(&berlin);
    assert_eq!((moments(&berlin, &edge(1)), moments(&berlin, &edge(2))), (0, 0));
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let lima = small("lima", "n1");
        for (brought, i) in (1..).zip(order) {
            for blob in [&first, &second, &third][i] {
                lima.apply(blob.version.doc, &blob.bytes, "x", Millis(later)).expect("it applies");
            }
            let newest = order[..brought].iter().max().expect("one at least");
            let knows_open = open_ids(&lima).contains(&format!("berlin {}", edge(1)));
            assert_eq!(knows_open, *newest < 2, "{order:?} after {brought}");
            assert_eq!(lima.documents().len(), 1, "{order:?} after {brought}");
        }
        assert_eq!(lima.digest(), berlin.digest());
        assert_eq!(elements(&lima), elements(&berlin));
    }
}

#[test]
fn a_peer_that_was_away_for_many_epochs_takes_only_the_last() {
    let (berlin, tokyo) = (small("berlin", "n1"), small("tokyo", "n1"));
    commit(&berlin, &[opened(&edge(1), 1)], 1);
    exchange(&berlin, &tokyo);
    let mut now = 2;
    for _ in 0..12 {
        now = churn_until_rotated(&berlin, now + 1);
    }
    assert_eq!(names(&berlin), ["berlin/12/0"]);
    exchange(&berlin, &tokyo);
    assert_eq!((names(&tokyo), tokyo.digest()), (names(&berlin), berlin.digest()));
    assert_eq!((tokyo.stats().applied, tokyo.stats().superseded), (2, 1));
}

#[test]
fn live_state_that_outgrows_a_document_is_spread_over_shards() {
    let (berlin, tokyo) = (small("berlin", "n1"), small("tokyo", "n1"));
    for i in 0..1_500 {
        commit(&berlin, &[opened(&edge(i), 10 + i as u64)], 10 + i as u64);
    }
    let budgets = berlin.budgets();
    assert!(budgets.len() >= 8, "{budgets:?}");
    assert_eq!(berlin.stats().documents_over_budget, 0, "{budgets:?}");
    assert_eq!(elements(&berlin).len(), 1_500);
    exchange(&berlin, &tokyo);
    assert_eq!(tokyo.digest(), berlin.digest());
    assert_eq!(elements(&tokyo), elements(&berlin));
    // Each element is in one document.
    let records = |replica: &Replica| -> usize {
        let of = |doc: DocId| {
            let bytes = replica.export(doc, &[]).expect("it exports").bytes;
            let am = automerge::Automerge::load(&bytes).expect("it loads");
            automerge::ReadDoc::keys(&am, automerge::ROOT).filter(|k| k.starts_with("e/")).count()
        };
        replica.documents().into_iter().map(|version| of(version.doc)).sum()
    };
    assert_eq!((records(&berlin), records(&tokyo)), (1_500, 1_500));
    let all: Vec<ElementChange> = (0..1_500).map(|i| closed(&edge(i), 2_000)).collect();
    commit(&berlin, &all, 2_000);
    exchange(&berlin, &tokyo);
    assert!(open_ids(&tokyo).is_empty() && open_ids(&berlin).is_empty());
    assert_eq!(tokyo.digest(), berlin.digest());
}

#[test]
fn two_nodes_of_a_site_that_rotate_at_once_do_not_harm_each_other() {
    let (one, two, peer) = (small("berlin", "n1"), small("berlin", "n2"), small("tokyo", "n1"));
    commit(&one, &[opened(&edge(1), 10), opened(&edge(2), 10)], 10);
    commit(&two, &[opened(&edge(1), 11), opened(&edge(3), 11)], 11);
    exchange(&one, &two);
    assert_eq!(names(&one), ["berlin/0/0"], "they share a document");
    let now = churn_until_rotated(&one, 12).max(churn_until_rotated(&two, 12));
    for (node, other) in [(&one, 2), (&two, 1)] {
        let documents = names(node);
        assert_eq!(documents, ["berlin/0/0", "berlin/1/0"], "n{other}'s records are still there");
        for id in [1, 2, 3] {
            assert!(open_ids(node).contains(&format!("berlin {}", edge(id))));
        }
    }
    exchange(&one, &two);
    for node in [&one, &two] {
        assert_eq!(names(node), ["berlin/1/0"]);
        node.maintain(Millis(now)).expect("maintained");
    }
    exchange(&one, &two);
    exchange(&two, &peer);
    assert_eq!((one.digest(), one.digest()), (two.digest(), peer.digest()));
    commit(&one, &[closed(&edge(1), now + 1)], now + 1);
    exchange(&one, &peer);
    assert!(open_ids(&peer).contains(&format!("berlin {}", edge(1))), "n2 still sees it");
    commit(&two, &[closed(&edge(1), now + 2)], now + 2);
    exchange(&two, &peer);
    exchange(&one, &peer);
    assert!(!open_ids(&peer).contains(&format!("berlin {}", edge(1))));
    exchange(&one, &two);
    assert_eq!(one.digest(), two.digest());
}

#[test]
fn a_node_that_lags_behind_follows_into_the_epoch_of_the_other() {
    let (one, two) = (small("berlin", "n1"), small("berlin", "n2"));
    commit(&two, &[opened(&edge(5), 1), opened(&edge(6), 1)], 1);
    let mut now = 2;
    for _ in 0..3 {
        now = churn_until_rotated(&one, now + 1);
    }
    exchange(&one, &two);
    assert_eq!(names(&two), ["berlin/0/0", "berlin/3/0"]);
    commit(&two, &[closed(&edge(6), now)], now);
    assert_eq!(names(&two), ["berlin/3/0"], "with its next commit");
    assert_eq!((two.stats().followed, two.stats().superseded), (1, 1));
    exchange(&one, &two);
    assert_eq!(one.digest(), two.digest());
    assert!(open_ids(&one).contains(&format!("berlin {}", edge(5))));
    assert!(!open_ids(&one).contains(&format!("berlin {}", edge(6))));
}

#[test]
fn what_a_departed_node_left_stays_until_retention_ends() {
    let (gone, reader) = (small("berlin", "n1"), small("tokyo", "n1"));
    commit(&gone, &[opened(&edge(1), 10), opened(&edge(2), 10), closed(&edge(2), 20)], 20);
    let disk = MemoryDisk::new();
    let next = open(disk.clone(), "berlin", "n9").0.with_limits(SMALL);
    exchange(&gone, &next);
    let old = blobs(&gone);
    drop(gone);
    let now = churn_until_rotated(&next, 21);
    assert_eq!(names(&next), ["berlin/0/0", "berlin/1/0"]);
    exchange(&next, &reader);
    for replica in [&next, &reader] {
        assert!(replica.maintain(Millis(900)).expect("maintained").changed.is_empty());
        assert_eq!((moments(replica, &edge(1)), moments(replica, &edge(2))), (1, 1));
    }
    commit(&next, &[opened(&edge(3), now + 1)], now + 1);
    exchange(&next, &reader);
    for replica in [&next, &reader] {
        let done = replica.maintain(Millis(now + 2_000)).expect("maintained");
        let mut withdrawn: Vec<String> =
            done.changed.iter().map(|(_, e)| e.id.to_string()).collect();
        withdrawn.sort();
        assert_eq!(withdrawn, [edge(0), edge(1), edge(2)]);
        assert_eq!((names(replica), replica.stats().expired), (vec!["berlin/1/0".into()], 1));
        assert_eq!(moments(replica, &edge(1)), 0);
        assert_eq!(moments(replica, &edge(3)), 1);
        // Whoever brings it back is late.
        for blob in &old {
            let at = Millis(now + 2_001);
            replica.apply(blob.version.doc, &blob.bytes, "x", at).expect("no fault");
        }
        assert_eq!(moments(replica, &edge(1)), 0);
    }
    assert_eq!(next.digest(), reader.digest());
    let digest = next.digest();
    drop(next);
    assert_eq!(open(disk, "berlin", "n9").0.digest(), digest, "what was dropped is gone from disk");
}

#[test]
fn a_quiet_node_is_not_a_departed_one() {
    let (berlin, tokyo) = (small("berlin", "n1"), small("tokyo", "n1"));
    commit(&berlin, &[opened(&edge(1), 10)], 10);
    exchange(&berlin, &tokyo);
    for replica in [&berlin, &tokyo] {
        assert_eq!(replica.maintain(Millis(1 << 40)).expect("maintained").changed, []);
        assert_eq!(open_ids(replica).len(), 1);
    }
}

#[test]
fn a_restored_image_of_an_earlier_epoch_opens_nothing_again_and_keeps_what_it_wrote() {
    let (disk, tokyo) = (MemoryDisk::new(), small("tokyo", "n1"));
    let berlin = open(disk.clone(), "berlin", "n1").0.with_limits(SMALL);
    commit(&berlin, &[opened(&edge(1), 10), opened(&edge(2), 10)], 10);
    drop(berlin);
    let image = disk.image();
    let berlin = open(disk, "berlin", "n1").0.with_limits(SMALL);
    let now = churn_until_rotated(&berlin, 12);
    commit(&berlin, &[closed(&edge(1), now + 1)], now + 1);
    exchange(&berlin, &tokyo);
    drop(berlin);
    // The machine comes back as it was before, and writes before it hears of anyone.
    let berlin = open(image, "berlin", "n1").0.with_limits(SMALL);
    commit(&berlin, &[opened(&edge(7), now + 5), closed(&edge(2), now + 5)], now + 5);
    exchange(&berlin, &tokyo);
    exchange(&berlin, &tokyo);
    assert_eq!(berlin.digest(), tokyo.digest());
    for replica in [&berlin, &tokyo] {
        let open = open_ids(replica);
        assert!(!open.contains(&format!("berlin {}", edge(1))), "{open:?}");
        assert!(!open.contains(&format!("berlin {}", edge(2))), "{open:?}");
        assert!(open.contains(&format!("berlin {}", edge(7))), "{open:?}");
        assert_eq!(names(replica), ["berlin/1/0"]);
    }
}

#[test]
fn an_epoch_beyond_all_reason_is_refused() {
    let berlin = small("berlin", "n1");
    let name = DocName::topology(&site("lima"), u64::MAX, 0);
    let mut am = automerge::Automerge::new();
    let mut transaction = am.transaction();
    for (key, value) in [("h/kind", "topology"), ("h/tenant", "acme"), ("h/key", name.key())] {
        automerge::transaction::Transactable::put(&mut transaction, automerge::ROOT, key, value)
            .expect("put");
    }
    transaction.commit();
    let error = berlin.apply(name.id(berlin.tenant()), &am.save(), "mallory", Millis(1));
    assert!(error.expect_err("a lie").to_string().contains("epoch"));
}

#[test]
fn a_year_of_churn_costs_no_more_than_its_retention() {
    const DAY: u64 = 24 * 3_600_000;
    let limits = HistoryLimits { doc_bytes: 16_000, doc_ops: 3_000, ..HistoryLimits::default() };
    let berlin = open(MemoryDisk::new(), "berlin", "n1").0.with_limits(limits);
    let tokyo = open(MemoryDisk::new(), "tokyo", "n1").0.with_limits(limits);
    let first: Vec<_> = (0..200).map(|i| opened(&edge(i), DAY)).collect();
    commit(&berlin, &first, DAY);
    // Every day 10 edges end and 10 begin that never were before.
    let mut after_month = Vec::new();
    for day in 0..360 {
        let now = (day as u64 + 2) * DAY;
        let ends = (0..10).map(|i| closed(&edge(day * 10 + i), now - 1));
        let begins = (0..10).map(|i| opened(&edge(200 + day * 10 + i), now));
        commit(&berlin, &ends.chain(begins).collect::<Vec<_>>(), now);
        if day % 5 == 0 {
            berlin.maintain(Millis(now)).expect("maintained");
            exchange(&berlin, &tokyo);
        }
        if day % 30 == 29 {
            let stats = berlin.stats();
            let known = elements(&berlin).len();
            println!("month {:2}: {known} elements, {stats:?}", day / 30 + 1);
            after_month.push((stats.document_bytes, known));
            assert_eq!(stats.documents_over_budget, 0);
            assert!(known >= 500, "what ended within 30 days is remembered");
        }
    }
    // Four documents, which begin anew at their own times: compared at their most.
    let most = |months: &[(u64, usize)]| {
        let bytes = months.iter().map(|(bytes, _)| *bytes).max().expect("months");
        (bytes, months.iter().map(|(_, known)| *known).max().expect("months"))
    };
    let (early, late) = (most(&after_month[1..4]), most(&after_month[6..]));
    assert!(late.0 * 4 <= early.0 * 5 && late.1 * 4 <= early.1 * 5, "{after_month:?}");
    exchange(&berlin, &tokyo);
    assert_eq!((berlin.digest(), elements(&berlin)), (tokyo.digest(), elements(&tokyo)));
    assert_eq!(open_ids(&tokyo).len(), 200);
}
