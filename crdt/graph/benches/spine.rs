//! The numbers of `[spine]` that the graph holds: `cargo bench -p holm-graph`.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

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

fn report(name: &str, value: f64, unit: &str, bound: f64, n: usize) {
    println!("bench {name} {value:.1} {unit} bound {bound}");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")),
        PathBuf::from,
    );
    let folder = target.join("bench");
    let json = format!(
        "{{\"name\":\"{name}\",\"value\":{value:.3},\"unit\":\"{unit}\",\"n\":{n},\"machine\":\"{}\"}}\n",
        machine()
    );
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join(format!("{name}.json")), json));
    if let Err(error) = written {
        eprintln!("bench {name}: cannot write to {}: {error}", folder.display());
    }
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("unknown cpu");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{} x{cores}", model.trim_start_matches([' ', '\t', ':']).replace(['"', '\\'], ""))
}
