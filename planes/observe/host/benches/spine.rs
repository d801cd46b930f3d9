//! The number of `[spine]` that the host plane holds: `cargo bench -p holm-host`, as root.
//!
//! CPU from the kernel's hook to the folded edge, per event, over a storm of real loopback connections.
//! Kernel half: run time of the program by the kernel's own statistics (`bpf_stats`). User half: reading
//! the ring, decoding, tracking and folding, between the connections, so with cold caches. Making the
//! row of each event comes after the fold; it is measured too and named on its own. What waking the
//! reader costs is not in it: in a storm it is awake.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holm_bench::report;
use holm_graph::{Fold, FoldLimits};
use holm_host::{Config, Kernel, NetworkNamespace, Processes, Tracker};
use holm_model::{AliasObservation, EdgeObservation, NodeObservation, PathObservation, Row};
use holm_plane::{FactSink, RowSink};

const ROUNDS: u32 = 60;
const CONNECTIONS: usize = 500;
const BOUND_US: f64 = 1.2;
const STATS: &str = "/proc/sys/kernel/bpf_stats_enabled";

struct Folding(Mutex<Fold>);

impl FactSink for Folding {
    fn observe_edge(&self, o: &EdgeObservation<'_>) {
        self.0.lock().expect("sound").observe_edge(o);
    }

    fn observe_path(&self, _: &PathObservation<'_>) {}

    fn observe_alias(&self, _: &AliasObservation<'_>) {}

    fn observe_node(&self, o: &NodeObservation<'_>) {
        self.0.lock().expect("sound").observe_node(o);
    }
}

struct Dropping;

impl RowSink for Dropping {
    fn append(&self, row: Row) {
        drop(row);
    }
}

fn main() {
    let config = Config { network_namespace: NetworkNamespace::Own, ..Config::default() };
    let start = Instant::now();
    let mut kernel = match Kernel::attach(&config) {
        Ok(kernel) => kernel,
        Err(error) => {
            println!("bench ebpf_event_us skipped: {error}");
            return;
        }
    };
    println!("ebpf: offsets read, program loaded and attached in {:.0?}", start.elapsed());
    let before = std::fs::read_to_string(STATS).unwrap_or_else(|_| "0".into());
    if let Err(error) = std::fs::write(STATS, "1") {
        println!("bench ebpf_event_us skipped: cannot write {STATS}: {error}");
        return;
    }
    let facts = Arc::new(Folding(Mutex::new(Fold::new(FoldLimits::default()))));
    let processes = Processes::new(PathBuf::from("/"));
    let tracker = Tracker::new(&config, "bench", processes, facts.clone(), Arc::new(Dropping));
    let measured = storm(&mut kernel, tracker);
    let (run_time, runs) = kernel.run_time();
    let _ = std::fs::write(STATS, before.trim());
    let dropped: u64 = kernel
        .counters()
        .filter(|(name, _)| name.contains("dropped") || name.contains("refused"))
        .map(|(_, n)| n)
        .sum();
    assert_eq!(dropped, 0, "no event is lost");
    let mut fold = facts.0.lock().expect("sound");
    assert!(fold.counters().unchanged as usize > measured.events / 2, "edges were folded");
    assert!(!fold.drain().is_empty(), "edges opened");
    let kernel_us = run_time.as_secs_f64() * 1e6 / measured.events as f64;
    let (user_us, row_us) = (median(measured.folding_us), median(measured.rows_us));
    println!(
        "ebpf: {} events of {} connections, {runs} runs of the program, {:.0} ns each; 0 dropped",
        measured.events,
        ROUNDS as usize * CONNECTIONS,
        run_time.as_nanos() as f64 / runs as f64
    );
    println!(
        "ebpf: kernel {kernel_us:.3} us + user {user_us:.3} us an event; its row, made after the fold, \
         another {row_us:.3} us"
    );
    report("ebpf_event_us", kernel_us + user_us, "us", BOUND_US, measured.events);
}

#[derive(Default)]
struct Measured {
    events: usize,
    /// Microseconds per event, one figure a round.
    folding_us: Vec<f64>,
    rows_us: Vec<f64>,
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Makes connections, and folds their events round by round.
fn storm(kernel: &mut Kernel, mut tracker: Tracker) -> Measured {
    let mut measured = Measured::default();
    for round in 0..ROUNDS {
        // Another address each round: ports of closed connections rest for a minute.
        let address = std::net::Ipv4Addr::from_bits(0x7f00_0101 + round);
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let to = listener.local_addr().expect("bound");
        for _ in 0..CONNECTIONS {
            let client = TcpStream::connect(to).expect("connected");
            let server = listener.accept().expect("accepted");
            drop(client);
            drop(server);
        }
        let (mut folding, mut rows, mut events) = (Duration::ZERO, Duration::ZERO, 0);
        loop {
            let start = Instant::now();
            let (drained, unreadable) = kernel.drain(512, |seen| tracker.take(seen));
            let folded = Instant::now();
            tracker.write_rows();
            rows += folded.elapsed();
            folding += folded - start;
            events += drained;
            assert_eq!(unreadable, 0, "the object is of this version");
            if drained < 512 {
                break;
            }
        }
        let us = |time: Duration| time.as_secs_f64() * 1e6 / events as f64;
        measured.folding_us.push(us(folding));
        measured.rows_us.push(us(rows));
        measured.events += events;
    }
    measured
}
