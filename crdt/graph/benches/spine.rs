//! The numbers of `[spine]` that the graph holds: `cargo bench -p holm-graph`.

use std::hint::black_box;
use std::time::Instant;

use holm_bench::report;
use holm_graph::{Fold, FoldLimits, Folded};
use holm_model::{EdgeKind, EdgeObservation, Millis, NodeKind, NodeRef};

const EDGES: usize = 10_000;
const ROUNDS: usize = 100;
const RUNS: usize = 7;
const BOUND_NS: f64 = 200.0;

fn main() {
    let names: Vec<String> =
        (0..EDGES).map(|i| format!("10.{}.{}.{}", i / 62_500, i / 250 % 250, i % 250)).collect();
    let attributes =
        [("process.command", "checkout"), ("server.port", "8443"), ("network.transport", "tcp")];
    let mut fold = Fold::new(FoldLimits::default());
    let mut round = |at: u64| {
        let mut opened = 0;
        for name in &names {
            let observation = EdgeObservation {
                from: NodeRef { kind: NodeKind::Service, name: "checkout" },
                kind: EdgeKind::Flow,
                to: NodeRef { kind: NodeKind::Host, name },
                attributes: &attributes,
                at: Millis(at),
                hold_ms: 300_000,
            };
            opened += usize::from(fold.observe_edge(black_box(&observation)) == Folded::Opened);
        }
        fold.expire(Millis(at));
        opened
    };
    assert_eq!(round(0), EDGES);
    let mut runs = Vec::with_capacity(RUNS);
    for run in 0..RUNS {
        let start = Instant::now();
        for i in 0..ROUNDS {
            assert_eq!(round((1 + run * ROUNDS + i) as u64), 0, "nothing changes");
        }
        runs.push(start.elapsed().as_secs_f64() * 1e9 / (EDGES * ROUNDS) as f64);
    }
    runs.sort_by(f64::total_cmp);
    report("fold_unchanged_ns", runs[RUNS / 2], "ns/observation", BOUND_NS, EDGES * ROUNDS * RUNS);
}
