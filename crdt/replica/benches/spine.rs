//! The numbers of `[spine]` that the replica holds: `cargo bench -p holm-replica`.

use std::time::Instant;

use holm_bench::report;
use holm_graph::{Fold, FoldLimits, TopologyGraph};
use holm_model::{
    EdgeKind, EdgeObservation, Millis, NodeKind, NodeName, NodeRef, SiteId, TenantId,
};
use holm_replica::{DataKey, Replica};
use rand::SeedableRng;

const EDGES: usize = 10_000;
const OBSERVATIONS: usize = 1_000_000;
const RUNS: usize = 7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("holm-bench-{}", std::process::id()));
    let replica = open(&dir)?;
    let names: Vec<String> =
        (0..EDGES).map(|i| format!("10.{}.{}.{}", i / 62_500, i / 250 % 250, i % 250)).collect();
    let mut fold = Fold::new(FoldLimits::default());
    observe_all(&mut fold, &names, 1);
    replica.commit(&fold.drain(), Millis(1))?;

    // What is known already must cost no operation in a document: counted where they are made.
    let (before, digest) = (replica.stats(), replica.digest());
    for round in 0..OBSERVATIONS / EDGES {
        let at = 2 + round as u64;
        observe_all(&mut fold, &names, at);
        fold.expire(Millis(at));
        replica.commit(&fold.drain(), Millis(at))?;
    }
    assert_eq!(fold.counters().unchanged, OBSERVATIONS as u64);
    assert_eq!(replica.digest(), digest);
    let ops = replica.stats().document_ops - before.document_ops;
    let unit = "document operations per 1e6 unchanged observations";
    report("fold_unchanged_doc_ops", ops as f64, unit, 0.0, OBSERVATIONS);

    // A day's churn on top, so that there is history to load.
    for (at, chunk) in (1_000..).zip(names.chunks(100).cycle().take(200)) {
        let mut churn = Fold::new(FoldLimits::default());
        for name in chunk {
            observe(&mut churn, name, at);
        }
        churn.expire(Millis(at + 400_000));
        replica.commit(&churn.drain(), Millis(at))?;
    }
    let bytes = replica.stats().document_bytes;
    drop(replica);

    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        let replica = open(&dir)?;
        let mut graph = TopologyGraph::new();
        let site = SiteId::new("berlin")?;
        for (_, element) in replica.elements() {
            graph.apply(&site, element);
        }
        runs.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(graph.len().1, EDGES);
    }
    println!("{EDGES} edges, {bytes} bytes of documents");
    report("replica_load_ms", median(runs), "ms, 10k-edge tenant from disk to graph", 100.0, RUNS);

    let replica = open(&dir)?;
    let (mut commits, mut merges) = (Vec::new(), Vec::new());
    let peer = dir.join("peer");
    let peer = open(&peer)?;
    for version in replica.documents() {
        peer.apply(version.doc, &replica.export(version.doc, &[])?.bytes, "peer", Millis(1))?;
    }
    for i in 0..100 {
        let mut one = Fold::new(FoldLimits::default());
        observe(&mut one, &format!("new-{i}"), 10_000_000 + i);
        let changes = one.drain();
        let start = Instant::now();
        let done = replica.commit(&changes, Millis(10_000_000 + i))?;
        commits.push(start.elapsed().as_secs_f64() * 1e3);
        let doc = done.versions[0].doc;
        let blob = replica.export(doc, &peer.heads(doc))?;
        let start = Instant::now();
        peer.apply(doc, &blob.bytes, "peer", Millis(1))?;
        merges.push(start.elapsed().as_secs_f64() * 1e3);
    }
    report("replica_commit_ms", median(commits), "ms, one edge into 10k, synced", 50.0, 100);
    report("replica_apply_ms", median(merges), "ms, one edge into 10k, synced", 50.0, 100);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn open(dir: &std::path::Path) -> Result<Replica, Box<dyn std::error::Error>> {
    let rng = &mut rand::rngs::StdRng::seed_from_u64(now_nanos());
    let (tenant, site) = (TenantId::new("acme")?, SiteId::new("berlin")?);
    let key = DataKey::from_bytes([1; 32]);
    let (replica, report) =
        Replica::open(dir, tenant, key, site, NodeName::new("n1")?, Millis(1), rng)?;
    assert!(report.messages.is_empty());
    Ok(replica)
}

fn now_nanos() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn observe_all(fold: &mut Fold, names: &[String], at: u64) {
    for name in names {
        observe(fold, name, at);
    }
}

fn observe(fold: &mut Fold, name: &str, at: u64) {
    fold.observe_edge(&EdgeObservation {
        from: NodeRef { kind: NodeKind::Service, name: "checkout" },
        kind: EdgeKind::Flow,
        to: NodeRef { kind: NodeKind::Host, name },
        attributes: &[("process.command", "checkout"), ("server.port", "8443")],
        at: Millis(at),
        hold_ms: 300_000,
    });
}

fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}
