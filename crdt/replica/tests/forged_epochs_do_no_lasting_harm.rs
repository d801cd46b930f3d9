//! A peer that writes other sites' documents: epochs that nobody began, shards without number, records
//! that are gone. What a site's own node has written comes back from it, and all that is kept is bounded.

mod common;

use automerge::transaction::Transactable;
use automerge::{Automerge, ROOT, ScalarValue};
use common::*;
use holm_graph::{ElementChange, ElementChangeKind, TopologyGraph};
use holm_model::{DocId, Millis};
use holm_replica::{Applied, ApplyError, DocName, HistoryLimits, MemoryDisk, Replica};

const SMALL: HistoryLimits = HistoryLimits {
    doc_bytes: 4_000,
    doc_ops: 200,
    doc_heads: 8,
    retention_ms: 1 << 30,
    ..HistoryLimits::DEFAULT
};

fn small(at: &str, named: &str) -> Replica {
    open(MemoryDisk::new(), at, named).0.with_limits(SMALL)
}

/// A document that no node of its site wrote.
fn forged(name: &DocName, more: &[(&str, ScalarValue)]) -> Vec<u8> {
    let mut am = Automerge::new();
    let mut transaction = am.transaction();
    let text = |s: &str| ScalarValue::Str(s.into());
    let header = [
        ("h/kind", text(name.kind())),
        ("h/tenant", text("acme")),
        ("h/key", text(name.key())),
        ("h/format", ScalarValue::Uint(2)),
        ("h/changed_at", ScalarValue::Uint(u64::MAX)),
    ];
    for (key, value) in header.iter().chain(more) {
        transaction.put(ROOT, *key, value.clone()).expect("put");
    }
    transaction.commit();
    am.save()
}

fn at_place(at: &str, epoch: u64, shard: u32) -> DocName {
    DocName::topology(&site(at), epoch, shard)
}

fn bring(to: &Replica, name: &DocName, bytes: &[u8], now: u64) -> Result<Applied, ApplyError> {
    to.apply(name.id(to.tenant()), bytes, "mallory", Millis(now))
}

fn uint(value: u64) -> ScalarValue {
    ScalarValue::Uint(value)
}

fn names(replica: &Replica) -> Vec<String> {
    let names = replica.documents().into_iter().filter_map(|v| replica.name(v.doc));
    names.map(|name| name.key().to_owned()).collect()
}

/// How many records lie in `doc`, whosoever they are.
fn records_in(replica: &Replica, doc: DocId) -> usize {
    let bytes = replica.export(doc, &[]).expect("it exports").bytes;
    let am = Automerge::load(&bytes).expect("it loads");
    automerge::ReadDoc::keys(&am, ROOT).filter(|k| k.starts_with("e/")).count()
}

fn churn(replica: &Replica, from: u64, times: u64) -> u64 {
    for now in from..from + times {
        let change = if now % 2 == 0 { opened(&edge(0), now) } else { closed(&edge(0), now) };
        commit(replica, &[change], now);
    }
    from + times
}

#[test]
fn an_epoch_that_claims_to_have_forgotten_all_takes_nothing_from_its_site() {
    let (berlin, tokyo) = (small("berlin", "n1"), small("tokyo", "n1"));
    let said = [opened(&edge(1), 10), opened(&edge(2), 11), closed(&edge(2), 12)];
    commit(&berlin, &said, 12);
    exchange(&berlin, &tokyo);
    let before = elements(&berlin);
    let name = at_place("berlin", 1_000, 0);
    let lie = forged(&name, &[("h/node/n1", uint(1)), ("h/base/n1", uint(u64::MAX))]);
    bring(&tokyo, &name, &lie, 20).expect("nothing is wrong with its form");
    let done = bring(&berlin, &name, &lie, 20).expect("nor here");
    let Applied::Merged(done) = done else { panic!("nothing is missing") };
    assert!(done.news);
    assert_eq!(elements(&berlin), before, "its own node writes it again");
    assert_eq!(berlin.open_elements(Millis(u64::MAX)).0.len(), 1);
    exchange(&berlin, &tokyo);
    assert_eq!((elements(&tokyo), tokyo.digest()), (before, berlin.digest()));
    // And goes on from there.
    churn(&berlin, 30, 600);
    assert!(berlin.stats().rotations > 0);
    exchange(&berlin, &tokyo);
    assert_eq!((elements(&tokyo), tokyo.digest()), (elements(&berlin), berlin.digest()));
    assert_eq!(names(&tokyo).len(), 1);
}

#[test]
fn a_site_that_was_pushed_to_the_last_epoch_begins_the_next_with_time() {
    let berlin = small("berlin", "n1");
    commit(&berlin, &[opened(&edge(1), 10)], 10);
    let beyond = at_place("berlin", (1 << 20) + 1, 0);
    let error = bring(&berlin, &beyond, &forged(&beyond, &[]), 20).expect_err("too late");
    assert!(error.to_string().contains("epoch"), "{error}");
    let last = at_place("berlin", 1 << 20, 0);
    bring(&berlin, &last, &forged(&last, &[]), 20).expect("it may be");
    let now = churn(&berlin, 30, 250);
    assert_eq!((berlin.stats().rotations, berlin.stats().documents_over_budget), (0, 1));
    assert!(now < 1 << 16);
    churn(&berlin, 1 << 16, 4);
    assert!(berlin.stats().rotations > 0, "{:?}", berlin.stats());
    assert!(names(&berlin).contains(&format!("berlin/{}/0", (1 << 20) + 1)));
    assert!(open_ids(&berlin).contains(&format!("berlin {}", edge(1))));
}

#[test]
fn shards_and_sites_without_number_are_not_all_kept() {
    let limits = HistoryLimits { site_docs: 64, all_docs: 100, ..SMALL };
    let berlin = small("berlin", "n1").with_limits(limits);
    let lima = small("lima", "n1");
    commit(&lima, &[opened(&edge(1), 10)], 10);
    exchange(&lima, &berlin);
    for i in 0..200 {
        let name = at_place("lima", 5 + u64::from(i % 7), 1_000 + i);
        let refused = bring(&berlin, &name, &forged(&name, &[("h/node/m", uint(1))]), 20);
        assert_eq!(refused.is_err(), i >= 63, "shard {i}");
    }
    assert_eq!((berlin.documents().len(), berlin.stats().refused_full), (64, 137));
    for i in 0..200 {
        let name = at_place(&format!("site-{i}"), 0, 0);
        let done = bring(&berlin, &name, &forged(&name, &[]), 20);
        assert_eq!(matches!(done, Err(ApplyError::Full { .. })), i >= 36, "site {i}");
    }
    let stats = berlin.stats();
    assert_eq!((stats.documents, stats.refused_full, stats.quarantined), (100, 301, 0));
    // Full as it is: this node writes, a site that was there is heard, and its epochs follow.
    commit(&berlin, &[opened(&edge(9), 30)], 30);
    commit(&lima, &[closed(&edge(1), 31)], 31);
    let doc = lima.documents()[0].doc;
    assert!(matches!(send(&lima, &berlin, doc), Applied::Merged(merged) if merged.news));
    churn(&lima, 40, 250);
    assert!(lima.stats().rotations > 0);
    assert_eq!(names(&lima).len(), 1);
    for version in lima.documents() {
        assert!(matches!(send(&lima, &berlin, version.doc), Applied::Merged(m) if m.news));
    }
    assert!(!open_ids(&berlin).contains(&format!("lima {}", edge(1))));
    assert!(open_ids(&berlin).contains(&format!("berlin {}", edge(9))));
}

#[test]
fn bytes_without_end_are_not_all_kept() {
    let limits = HistoryLimits { site_bytes: 20_000, all_bytes: 50_000, ..SMALL };
    let berlin = small("berlin", "n1").with_limits(limits);
    let mut noise = 1_u64;
    for i in 0..100 {
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            noise.to_be_bytes()[0]
        })
        .take(2_000)
        .collect();
        let name = at_place(&format!("site-{}", i % 4), 0, 1_000 + i);
        let what = ("e/m/host:x", ScalarValue::Bytes(bytes));
        let done = bring(&berlin, &name, &forged(&name, &[what]), 20);
        assert!(matches!(done, Ok(_) | Err(ApplyError::Full { .. })), "{done:?}");
    }
    let stats = berlin.stats();
    assert!((30_000..=50_000).contains(&stats.document_bytes), "{stats:?}");
    assert_eq!(stats.documents + stats.refused_full, 100);
}

#[test]
fn a_node_does_not_copy_its_records_into_every_epoch_that_was_made_up() {
    let berlin = small("berlin", "n1");
    let all: Vec<ElementChange> = (0..20).map(|i| opened(&edge(i), 10)).collect();
    commit(&berlin, &all, 10);
    for epoch in 100..150 {
        let name = at_place("berlin", epoch, 0);
        bring(&berlin, &name, &forged(&name, &[("h/node/m", uint(1))]), 20).expect("it applies");
    }
    berlin.maintain(Millis(30)).expect("maintained");
    commit(&berlin, &[closed(&edge(3), 40)], 40);
    assert_eq!(berlin.stats().followed, 1);
    let documents = berlin.documents();
    let records: usize = documents.iter().map(|v| records_in(&berlin, v.doc)).sum();
    assert_eq!((documents.len(), records), (50, 20), "in the last of them, once");
    assert_eq!(open_ids(&berlin).len(), 19);
}

#[test]
fn what_a_peer_took_out_of_a_document_is_told() {
    let (berlin, tokyo) = (small("berlin", "n1"), small("tokyo", "n1"));
    let mut told = TopologyGraph::new();
    commit(&berlin, &[opened(&edge(1), 10), opened(&edge(2), 10)], 10);
    let doc = berlin.documents()[0].doc;
    let mut apply = |bytes: &[u8]| {
        let done = tokyo.apply(doc, bytes, "mallory", Millis(20)).expect("it applies");
        let Applied::Merged(merged) = done else { panic!("nothing is missing") };
        for (site, element) in merged.changed {
            told.apply(&site, element);
        }
        let mut whole = TopologyGraph::new();
        for (site, element) in tokyo.elements() {
            whole.apply(&site, element);
        }
        assert_eq!(told.digest(), whole.digest());
        whole.digest()
    };
    let blob = berlin.export(doc, &[]).expect("it exports").bytes;
    let before = apply(&blob);
    let mut am = Automerge::load(&blob).expect("it loads");
    let mut transaction = am.transaction();
    transaction.delete(ROOT, format!("e/n1/{}", edge(1))).expect("deleted");
    transaction.put(ROOT, "h/base/m", uint(5)).expect("put");
    transaction.put(ROOT, "h/node/m", uint(1)).expect("put");
    transaction.commit();
    assert_ne!(apply(&am.save()), before);
    let mut transaction = am.transaction();
    transaction.delete(ROOT, "h/node/n1").expect("deleted");
    transaction.commit();
    apply(&am.save());
    assert!(open_ids(&tokyo).is_empty());
}

#[test]
fn a_document_of_nodes_without_number_is_refused() {
    let berlin = small("berlin", "n1");
    let nodes: Vec<String> = (0..300).map(|i| format!("h/node/m{i}")).collect();
    let more: Vec<(&str, ScalarValue)> = nodes.iter().map(|n| (n.as_str(), uint(1))).collect();
    let name = at_place("lima", 0, 0);
    let error = bring(&berlin, &name, &forged(&name, &more), 20).expect_err("too many");
    assert!(error.to_string().contains("nodes"), "{error}");
    bring(&berlin, &name, &forged(&name, &more[..256]), 20).expect("as many as may be");
}

#[test]
fn damaged_bytes_of_an_old_epoch_lie_in_quarantine_and_the_good_ones_stay_out_too() {
    let (berlin, tokyo) = (small("berlin", "n1"), small("tokyo", "n1"));
    commit(&berlin, &[opened(&edge(1), 10)], 10);
    let old = berlin.documents()[0].doc;
    let bytes = berlin.export(old, &[]).expect("it exports").bytes;
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    churn(&berlin, 12, 600);
    commit(&berlin, &[closed(&edge(1), 700)], 700);
    exchange(&berlin, &tokyo);
    let digest = tokyo.digest();
    let error = tokyo.apply(old, &damaged, "mallory", Millis(701)).expect_err("damaged");
    assert!(matches!(error, ApplyError::Quarantined { .. }), "{error}");
    assert_eq!(tokyo.quarantined().len(), 1);
    let done = tokyo.apply(old, &bytes, "lima", Millis(702)).expect("no fault of lima's");
    assert!(matches!(done, Applied::Merged(merged) if !merged.news));
    assert_eq!((tokyo.quarantined().len(), tokyo.stats().stale_refused), (0, 1));
    assert_eq!((tokyo.digest(), tokyo.documents().len()), (digest, 1));
    assert!(!open_ids(&tokyo).contains(&format!("berlin {}", edge(1))));
}

#[test]
fn an_element_that_outgrows_a_document_alone_does_not_begin_epochs_for_ever() {
    let limits = HistoryLimits { doc_bytes: 2_000, ..SMALL };
    let berlin = small("berlin", "n1").with_limits(limits);
    let mut noise = 7_u64;
    let long = (0..30).map(|i| {
        let mut text = String::new();
        while text.len() < 300 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(&format!("{:x}", noise >> 20));
        }
        (format!("k{i}").as_str().into(), text.as_str().into())
    });
    let change = ElementChangeKind::Opened { at: Millis(1), attributes: long.collect() };
    let first = ElementChange { id: edge(1).parse().expect("valid"), change };
    commit(&berlin, &[first], 1);
    assert!(berlin.stats().document_bytes > 2 * 2_000, "{:?}", berlin.stats());
    let attributes = elements(&berlin)[0].1.attributes.clone();
    let (written, documents) = (berlin.stats().bytes_written, names(&berlin));
    for now in 2..50 {
        berlin.maintain(Millis(now)).expect("maintained");
    }
    let stats = berlin.stats();
    assert_eq!((stats.documents_over_budget, stats.bytes_written), (1, written));
    assert_eq!(names(&berlin), documents, "a new epoch would not be shorter");
    churn(&berlin, 50, 400);
    let stats = berlin.stats();
    assert!(stats.rotations > 0 && stats.documents < 24, "{stats:?}");
    let found = elements(&berlin).into_iter().find(|(_, e)| e.id.to_string() == edge(1));
    let (_, found) = found.expect("it is there");
    assert!(found.intervals.is_open() && found.attributes == attributes);
    assert_eq!(attributes.len(), 30);
}
