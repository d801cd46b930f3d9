//! What the behaviour tests share.
#![allow(dead_code)] // Each test file uses its part.

use holm_graph::{ElementChange, ElementChangeKind, SiteElement};
use holm_model::{DocId, Millis, NodeName, SiteId, TenantId};
use holm_replica::{Applied, DataKey, Disk, MemoryDisk, OpenReport, Replica};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::atomic::{AtomicU64, Ordering};

/// Randomness that differs each time, as the system's does.
pub(crate) fn rng() -> StdRng {
    static SEED: AtomicU64 = AtomicU64::new(1);
    StdRng::seed_from_u64(SEED.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("valid")
}

pub(crate) fn site(name: &str) -> SiteId {
    SiteId::new(name).expect("valid")
}

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::new(name).expect("valid")
}

pub(crate) fn key(of: u8) -> DataKey {
    DataKey::from_bytes([of; 32])
}

pub(crate) fn open(disk: impl Disk, at: &str, named: &str) -> (Replica, OpenReport) {
    let (acme, site, node) = (tenant("acme"), site(at), node(named));
    Replica::open_on(Box::new(disk), acme, key(1), site, node, Millis(1), &mut rng())
        .expect("it opens")
}

pub(crate) fn replica(at: &str) -> Replica {
    open(MemoryDisk::new(), at, "n1").0
}

pub(crate) fn opened(id: &str, at: u64) -> ElementChange {
    let attributes = [("server.port".into(), "443".into())].into();
    let change = ElementChangeKind::Opened { at: Millis(at), attributes };
    ElementChange { id: id.parse().expect("valid"), change }
}

pub(crate) fn closed(id: &str, at: u64) -> ElementChange {
    let change = ElementChangeKind::Closed { at: Millis(at) };
    ElementChange { id: id.parse().expect("valid"), change }
}

/// Edge number `i`.
pub(crate) fn edge(i: usize) -> String {
    format!("service:web-{}|flow|host:10.0.{}.{}", i % 7, i / 250, i % 250)
}

pub(crate) fn commit(replica: &Replica, changes: &[ElementChange], now: u64) {
    replica.commit(changes, Millis(now)).expect("it commits");
}

/// Brings `to` what `from` has of one document, the way peers do.
pub(crate) fn send(from: &Replica, to: &Replica, doc: DocId) -> Applied {
    let blob = from.export(doc, &to.heads(doc)).expect("it exports");
    to.apply(doc, &blob.bytes, from_name(from), Millis(5)).expect("it applies")
}

fn from_name(from: &Replica) -> &'static str {
    if from.tenant().as_str() == "acme" { "a peer" } else { "a stranger" }
}

/// Brings both everything that the other has.
pub(crate) fn exchange(a: &Replica, b: &Replica) {
    for (from, to) in [(a, b), (b, a)] {
        for version in from.documents() {
            if to.version(version.doc).as_ref() != Some(&version) {
                assert!(matches!(send(from, to, version.doc), Applied::Merged(_)));
            }
        }
    }
}

pub(crate) fn elements(replica: &Replica) -> Vec<(SiteId, SiteElement)> {
    replica.elements().collect()
}

/// The ids that `replica` holds open, for any site.
pub(crate) fn open_ids(replica: &Replica) -> Vec<String> {
    let open = elements(replica).into_iter().filter(|(_, e)| e.intervals.is_open());
    open.map(|(site, e)| format!("{site} {}", e.id)).collect()
}
