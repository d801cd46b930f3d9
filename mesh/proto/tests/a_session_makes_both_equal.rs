//! One reconciliation between two stores, message by message.

mod common;

use common::store::FakeStore;
use common::{doc, run_sessions, tenant};
use holm_mesh_proto::DocumentStore as _;
use holm_mesh_proto::Scope;
use holm_mesh_proto::sync::{Session, SyncError, SyncPeer};
use holm_mesh_proto::wire::{Frame, Sync};
use holm_model::SiteId;
use proptest::prelude::*;

fn peer(site: &str) -> SyncPeer {
    SyncPeer { site: SiteId::new(site).expect("valid"), name: format!("{site}/a") }
}

fn reconcile(a: &FakeStore, b: &FakeStore, scope: Scope) -> (u64, u64) {
    let mut first = Session::initiate(peer("b"), tenant("acme"), scope, a).expect("permitted");
    let mut second = Session::respond(peer("a"));
    let (mut messages, mut bytes) = (0, 0);
    run_sessions(&mut first, a, &mut second, b, |message| {
        messages += 1;
        bytes += message.to_frame().expect("within limits").len() as u64;
    })
    .expect("it ends");
    (messages, bytes)
}

#[test]
fn ten_thousand_documents_in_sync_cost_one_round_trip_and_350_bytes() {
    let (a, b) = (FakeStore::with_tenants(&["acme"]), FakeStore::with_tenants(&["acme"]));
    for number in 0..10_000 {
        for store in [&a, &b] {
            store.write(&tenant("acme"), doc(number), 1_000 + number, b"same");
        }
    }
    let (messages, bytes) = reconcile(&a, &b, Scope::All);
    assert_eq!(messages, 3, "opening, answer, end");
    assert!(bytes <= 380, "{bytes}");
    // A hundred new ones among the newest.
    for number in 9_900..10_000 {
        b.write(&tenant("acme"), doc(number), 20_000 + number, b"new");
    }
    let (_, bytes) = reconcile(&a, &b, Scope::All);
    assert_eq!(a.digest(), b.digest());
    assert!(bytes <= 60_000, "{bytes}");
}

#[test]
fn a_large_document_travels_in_chunks() {
    let (a, b) = (FakeStore::with_tenants(&["acme"]), FakeStore::with_tenants(&["acme"]));
    let text: Vec<u8> = (0..3_000_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    b.write(&tenant("acme"), doc(1), 1, &text);
    a.write(&tenant("acme"), doc(2), 1, &text);
    let (messages, _) = reconcile(&a, &b, Scope::All);
    assert!(messages > 24, "{messages}");
    assert_eq!(a.digest(), b.digest());
}

#[test]
fn one_document_that_fails_does_not_hold_up_the_others() {
    let (a, b) = (FakeStore::with_tenants(&["acme"]), FakeStore::with_tenants(&["acme"]));
    for number in 0..100 {
        b.write(&tenant("acme"), doc(number), number, b"b");
        a.write(&tenant("acme"), doc(number), number, b"a");
    }
    b.poison(doc(50));
    let mut first =
        Session::initiate(peer("b"), tenant("acme"), Scope::All, &a).expect("permitted");
    let mut second = Session::respond(peer("a"));
    run_sessions(&mut first, &a, &mut second, &b, |_| {}).expect("it ends");
    assert_eq!(first.report().failed, 1);
    assert!(first.report().first_failure.as_deref().is_some_and(|text| text.contains("poisoned")));
    let differing = a.digest().iter().zip(b.digest()).filter(|(x, y)| **x != *y).count();
    assert_eq!(differing, 1);
}

#[test]
fn without_permission_the_tenant_is_not_even_named() {
    let (a, b) = (FakeStore::with_tenants(&["acme"]), FakeStore::with_tenants(&["acme"]));
    a.write(&tenant("acme"), doc(1), 1, b"secret");
    a.refuse("b", "acme");
    let refused = Session::initiate(peer("b"), tenant("acme"), Scope::All, &a).err();
    assert!(matches!(refused, Some(SyncError::NotPermitted { .. })));
    // The other way round: the answer for a tenant that is refused is that for one that is not there.
    for name in ["acme", "nobody"] {
        let mut first =
            Session::initiate(peer("a"), tenant(name), Scope::All, &b).expect("permitted");
        let mut second = Session::respond(peer("b"));
        let mut said = Vec::new();
        let error = run_sessions(&mut first, &b, &mut second, &a, |m| said.push(m.clone()));
        assert_eq!(
            error.expect_err("refused"),
            "the peer refused: not replicated between these sites"
        );
        assert_eq!(said.len(), 2);
        assert!(second.is_done());
    }
}

#[test]
fn a_peer_that_breaks_the_protocol_is_refused() {
    let store = FakeStore::with_tenants(&["acme"]);
    let open = || Sync::Open { tenant: tenant("acme"), reconcile: Vec::new() };
    let document = |length| Sync::Document { doc: doc(1), heads: vec![], length };
    let bad: Vec<Vec<Sync>> = vec![
        vec![Sync::Turn],
        vec![open(), open()],
        vec![open(), Sync::Chunk(vec![1])],
        vec![open(), document(3), Sync::Chunk(vec![1; 4])],
        vec![open(), document(3), Sync::Turn],
        vec![Sync::Open { tenant: tenant("acme"), reconcile: vec![0x61, 1, 2, 255] }],
        std::iter::once(open())
            .chain((0..1_025).map(|_| Sync::Exchange { doc: doc(1), heads: vec![] }))
            .collect(),
    ];
    for messages in bad {
        let mut session = Session::respond(peer("a"));
        let result: Result<(), _> =
            messages.iter().cloned().try_for_each(|message| session.handle(message, &store));
        assert!(result.is_err(), "{messages:?}");
    }
}

#[test]
fn a_grant_that_ends_in_the_middle_of_a_session_ends_it_before_the_next_document() {
    let (a, b) = (FakeStore::with_tenants(&["acme"]), FakeStore::with_tenants(&["acme"]));
    for number in 0..10 {
        b.write(&tenant("acme"), doc(number), number, b"b's words");
    }
    // The side that answers loses its trust in the one that asks.
    let mut session = Session::respond(peer("a"));
    let open = Sync::Open { tenant: tenant("acme"), reconcile: vec![] };
    session.handle(open, &b).expect("granted");
    for number in 0..10 {
        let exchange = Sync::Exchange { doc: doc(number), heads: vec![] };
        session.handle(exchange, &b).expect("granted");
    }
    session.handle(Sync::Turn, &b).expect("granted");
    let first = session.poll_transmit(&b).expect("a document");
    assert!(matches!(first, Sync::Document { length, .. } if length > 0), "{first:?}");
    b.refuse("a", "acme");
    let mut rest = Vec::new();
    while let Some(message) = session.poll_transmit(&b) {
        rest.push(message);
    }
    let told = rest.iter().filter(|message| match message {
        Sync::Document { heads, length, .. } => *length > 0 || !heads.is_empty(),
        _ => false,
    });
    assert_eq!(told.count(), 0, "{rest:?}");
    let ended = session.handle(Sync::Done, &b).expect_err("not granted");
    assert!(matches!(ended, SyncError::NotPermitted { .. }), "{ended}");
    b.permit("a", "acme");
    // And the side that begins.
    let mut session =
        Session::initiate(peer("b"), tenant("acme"), Scope::All, &a).expect("granted");
    while session.poll_transmit(&a).is_some() {}
    a.refuse("b", "acme");
    let ended = session.handle(Sync::Reconcile(vec![0x61]), &a).expect_err("not granted");
    assert!(matches!(ended, SyncError::NotPermitted { .. }), "{ended}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_two_stores_become_equal(
        writes in prop::collection::vec((0_u8..3, 0_u64..40, 0_u64..1_000_000), 0..150),
        named in prop::bool::ANY,
    ) {
        let (a, b) = (FakeStore::with_tenants(&["acme"]), FakeStore::with_tenants(&["acme"]));
        let mut docs = std::collections::BTreeSet::new();
        for (index, (side, number, at)) in writes.iter().enumerate() {
            docs.insert(doc(*number));
            for (bit, store) in [(1, &a), (2, &b)] {
                if (side + 1) & bit != 0 {
                    store.write(&tenant("acme"), doc(*number), *at, &index.to_be_bytes());
                }
            }
        }
        let scope = if named { Scope::Documents(docs) } else { Scope::All };
        reconcile(&a, &b, scope);
        prop_assert_eq!(a.digest(), b.digest());
        prop_assert_eq!(a.documents(&tenant("acme")), b.documents(&tenant("acme")));
    }
}
