//! The numbers of `[graph]` that the temporal graph holds: `cargo bench -p holm-graph --bench graph`.
//!
//! The first question after a change pays for the order of the nodes, or for joining names; the medians of
//! 40 do not show it, `join_names_xl_ms` does. XL is 30 regions of 10 agents, two hops and 990 hosts: 30,060 nodes, 30,030 edges. The large one has
//! 1,000,000 flow edges of ten intervals each between 250,000 services.

use std::hint::black_box;
use std::time::Instant;

use holm_bench::report;
use holm_graph::{Fold, FoldLimits, Folded, SiteElement, SnapshotFilter, TopologyGraph};
use holm_model::{
    AliasId, Attributes, EdgeId, EdgeKind, EdgeObservation, ElementId, Interval, IntervalSet,
    Millis, NodeId, NodeKind, NodeRef, PastValues, SiteId,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn main() {
    fold_changed();
    snapshot_xl();
    joined_xl();
    branches();
    large();
}

fn fold_changed() {
    const EDGES: usize = 200_000;
    let names: Vec<String> =
        (0..EDGES).map(|i| format!("10.{}.{}.{}", i / 62_500, i / 250 % 250, i % 250)).collect();
    let attributes =
        [("process.command", "checkout"), ("server.port", "8443"), ("network.transport", "tcp")];
    let mut times = Vec::new();
    for _ in 0..5 {
        let limits = FoldLimits {
            max_elements: EDGES + 10,
            max_pending: EDGES + 10,
            ..FoldLimits::default()
        };
        let mut fold = Fold::new(limits);
        let start = Instant::now();
        for name in &names {
            let observation = EdgeObservation {
                from: NodeRef { kind: NodeKind::Service, name: "checkout" },
                kind: EdgeKind::Flow,
                to: NodeRef { kind: NodeKind::Host, name },
                attributes: &attributes,
                at: Millis(1),
                hold_ms: 300_000,
            };
            assert!(fold.observe_edge(black_box(&observation)) == Folded::Opened);
        }
        times.push(start.elapsed().as_secs_f64() * 1e6 / EDGES as f64);
    }
    report("fold_changed_us", median(times), "us/observation", 2.0, EDGES * 5);
}

fn node(kind: NodeKind, name: &str) -> NodeId {
    NodeId::new(kind, name).expect("a valid name")
}

fn element(from: &NodeId, kind: EdgeKind, to: &NodeId, intervals: IntervalSet) -> SiteElement {
    SiteElement {
        id: ElementId::Edge(EdgeId { from: from.clone(), kind, to: to.clone() }),
        intervals,
        attributes: Attributes::new(),
        attributes_at: Millis(1),
        past: PastValues::default(),
    }
}

fn open_since(at: u64) -> IntervalSet {
    IntervalSet::from_intervals([Interval { from: Millis(at), to: None }])
}

fn xl() -> TopologyGraph {
    let mut graph = TopologyGraph::new();
    for region in 0..30 {
        let site = site(region);
        let access = node(NodeKind::Hop, &format!("access-{region}"));
        let core = node(NodeKind::Hop, &format!("core-{region}"));
        graph.apply(&site, element(&access, EdgeKind::Path, &core, open_since(1)));
        for i in 0..10 {
            let agent = node(NodeKind::Agent, &format!("site-{region}-{i}"));
            graph.apply(&site, element(&agent, EdgeKind::Path, &access, open_since(1)));
        }
        for i in 0..990 {
            graph.apply(&site, element(&core, EdgeKind::Path, &host(region, i), open_since(1)));
        }
    }
    assert_eq!(graph.len(), (30_060, 30_030));
    graph
}

fn site(region: usize) -> SiteId {
    SiteId::new(&format!("region-{region}")).expect("valid")
}

fn host(region: usize, i: usize) -> NodeId {
    node(NodeKind::Host, &format!("10.{region}.{}.{}", i / 250, i % 250))
}

fn snapshot_xl() {
    let graph = xl();
    let ms = snapshots(&graph, &SnapshotFilter::default(), 30_030);
    report("snapshot_xl_ms", ms, "ms", 15.0, 40);
    // Once for each change, for the first question that follows it.
    let mut times = Vec::new();
    for at in 2..42 {
        let start = Instant::now();
        let moment = graph.moment(Millis(at));
        times.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(black_box(moment).len(), (30_060, 30_030));
    }
    report("moment_xl_ms", median(times), "ms", 20.0, 40);
}

/// The same with names joined: one alias, then every host by name, 10,000 aliases.
fn joined_xl() {
    let mut graph = xl();
    let joined = SnapshotFilter { fold_aliases: true, ..SnapshotFilter::default() };
    let name_host = |graph: &mut TopologyGraph, region: usize, i: usize| {
        let name = node(NodeKind::Host, &format!("h-{region}-{i}.example"));
        let id = ElementId::Alias(AliasId::new(host(region, i), name).expect("two names"));
        let intervals = open_since(1);
        let (attributes, past) = (Attributes::new(), PastValues::default());
        let element = SiteElement { id, intervals, attributes, attributes_at: Millis(1), past };
        graph.apply(&site(region), element);
    };
    name_host(&mut graph, 0, 0);
    let ms = snapshots(&graph, &joined, 30_030);
    report("snapshot_folded_1_alias_xl_ms", ms, "ms", 15.0, 40);
    for i in 0..10_000 {
        name_host(&mut graph, i % 30, i / 30);
    }
    let ms = snapshots(&graph, &joined, 30_030);
    report("snapshot_folded_xl_ms", ms, "ms", 15.0, 40);
    let centre = node(NodeKind::Hop, "access-0");
    let near = SnapshotFilter { around: Some((centre, 1)), ..joined.clone() };
    report("around_folded_xl_ms", snapshots(&graph, &near, 11), "ms", 1.0, 40);
    // Once for each change of the aliases.
    let mut times = Vec::new();
    for run in 0..20 {
        name_host(&mut graph, run, 900);
        let start = Instant::now();
        black_box(graph.folding(Millis(5)));
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    report("join_names_xl_ms", median(times), "ms", 50.0, 20);
    let ms = changes(&graph);
    report("diff_folded_xl_ms", ms, "ms", 60.0, 10);
}

/// 2,000 branches with the same private addresses: each names 20 of its own.
fn branches() {
    let mut graph = TopologyGraph::new();
    for branch in 0..2_000 {
        let site = SiteId::new(&format!("branch-{branch}")).expect("valid");
        for i in 0..20 {
            let address = node(NodeKind::Host, &format!("192.168.1.{i}"));
            let name = node(NodeKind::Host, &format!("till-{i}"));
            let other = node(NodeKind::Host, &format!("192.168.1.{}", i + 1));
            graph.apply(&site, element(&address, EdgeKind::Flow, &other, open_since(1)));
            let id = ElementId::Alias(AliasId::new(address, name).expect("two names"));
            let (intervals, past) = (open_since(1), PastValues::default());
            let attributes = Attributes::new();
            let element = SiteElement { id, intervals, attributes, attributes_at: Millis(1), past };
            graph.apply(&site, element);
        }
    }
    let start = Instant::now();
    black_box(graph.folding(Millis(5)));
    report("join_branches_ms", start.elapsed().as_secs_f64() * 1e3, "ms", 500.0, 1);
    let start = Instant::now();
    let moment = black_box(graph.moment(Millis(5)));
    report("moment_branches_ms", start.elapsed().as_secs_f64() * 1e3, "ms", 500.0, 1);
    assert_eq!(moment.len(), (2_000 * 21, 2_000 * 20));
}

fn changes(graph: &TopologyGraph) -> f64 {
    let mut times = Vec::new();
    for at in 2..12 {
        let start = Instant::now();
        let diff = graph.diff_folded(Millis(0), Millis(at), 1_000);
        times.push(start.elapsed().as_secs_f64() * 1e3);
        assert!(black_box(diff).appeared.total > 60_000);
    }
    median(times)
}

/// The median time of 40 snapshots in ms.
fn snapshots(graph: &TopologyGraph, filter: &SnapshotFilter, edges: usize) -> f64 {
    let mut times = Vec::new();
    for at in 2..42 {
        let start = Instant::now();
        let snapshot = graph.snapshot(Millis(at), filter).expect("there");
        times.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(black_box(snapshot).total_edges, edges);
    }
    median(times)
}

fn large() {
    const EDGES: usize = 1_000_000;
    let mut rng = StdRng::seed_from_u64(3);
    let services: Vec<NodeId> =
        (0..250_000).map(|i| node(NodeKind::Service, &format!("service-{i}"))).collect();
    let sites: Vec<SiteId> =
        (0..50).map(|i| SiteId::new(&format!("site-{i}")).expect("valid")).collect();
    let history = |start: u64| {
        IntervalSet::from_intervals((0..10).map(|i| Interval {
            from: Millis(start + i * 100_000),
            to: (i < 9).then_some(Millis(start + i * 100_000 + 50_000)),
        }))
    };
    let mut graph = TopologyGraph::new();
    let before = resident_mib();
    let mut load = 0.0;
    let mut made = 0;
    while made < EDGES {
        let from = &services[rng.random_range(0..services.len())];
        let to = &services[rng.random_range(0..services.len())];
        let site = &sites[made % sites.len()];
        let next = element(from, EdgeKind::Flow, to, history(1_000 + made as u64));
        let start = Instant::now();
        graph.apply(site, next);
        load += start.elapsed().as_secs_f64() * 1e3;
        made += 1;
    }
    let edges = graph.len().1;
    report("graph_1m_mib", resident_mib() - before, "MiB", 400.0, edges);
    report("graph_1m_load_ms", load, "ms", 3_000.0, edges);
    let at = Millis(100_000_000);
    let start = Instant::now();
    for i in 0..10_000 {
        let found = graph.neighbours(&services[i * 20], at);
        black_box(found).ok();
    }
    report("neighbours_1m_us", start.elapsed().as_secs_f64() * 1e6 / 10_000.0, "us", 20.0, 10_000);
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1_024.0
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
