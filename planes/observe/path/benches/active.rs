//! The numbers of `[active]` that the path plane holds: `cargo bench -p holm-path`, as root.
//!
//! The lab is a diamond of network namespaces on this kernel: source, a, `k` routers, b, target, balanced
//! by addresses and ports. `scamper tracelb -P udp-sport` traces the same lab, with its shortest waits.

#[path = "../tests/lab/network.rs"]
mod network;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use holm_bench::report;
use holm_path::engine::{Multipath, TraceOptions};
use holm_path::socket::{Request, Tracer};
use network::{Lab, Plan, TARGET_V4, TARGET_V6};

const RUNS: [(usize, usize); 4] = [(2, 200), (4, 400), (8, 200), (16, 100)];
const CONCURRENT: u8 = 200;
const RATE: u32 = 20_000;

fn main() {
    let (mut found, mut runs) = (0, 0);
    let (mut ours, mut theirs) = (Cost::default(), Cost::default());
    for (width, repeats) in RUNS {
        let lab = match Lab::build(Plan { width, ..Plan::default() }) {
            Ok(lab) => lab,
            Err(reason) => {
                println!("bench mda_found_pct skipped: no network namespaces: {}", reason.trim());
                return;
            }
        };
        let results = one_after_the_other(&lab, repeats);
        let whole = results.iter().filter(|(result, _)| is_whole(result, width)).count();
        let probes: u32 = results.iter().map(|(result, _)| result.probes).sum();
        let took: Duration = results.iter().map(|(_, took)| *took).sum();
        let mean = Cost { probes: f64::from(probes), seconds: took.as_secs_f64() }.over(repeats);
        println!(
            "path: {width} wide: all found in {whole} of {repeats} runs, {:.1} probes, {:.2} ms",
            mean.probes,
            mean.seconds * 1e3
        );
        found += whole;
        runs += repeats;
        if let Some(peer) = scamper(&lab) {
            println!(
                "path: {width} wide: scamper {:.0} probes, {:.1} s",
                peer.probes, peer.seconds
            );
            ours.add(mean);
            theirs.add(peer);
        }
    }
    report("mda_found_pct", 100.0 * found as f64 / runs as f64, "%", 99.0, runs);
    if theirs.probes > 0.0 {
        report("mda_probe_ratio", ours.probes / theirs.probes, "ratio", 1.05, runs);
        report("mda_time_ratio", ours.seconds / theirs.seconds, "ratio", 0.5, runs);
    } else {
        println!("bench mda_probe_ratio skipped: no scamper here (apt-get install scamper)");
    }
    many_at_once();
}

#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    probes: f64,
    seconds: f64,
}

impl Cost {
    fn over(self, runs: usize) -> Self {
        Self { probes: self.probes / runs as f64, seconds: self.seconds / runs as f64 }
    }

    fn add(&mut self, other: Self) {
        self.probes += other.probes;
        self.seconds += other.seconds;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn target() -> IpAddr {
    TARGET_V4.parse().expect("an address")
}

fn one_after_the_other(lab: &Lab, repeats: usize) -> Vec<(Multipath, Duration)> {
    lab.at_source(|| {
        runtime().block_on(async {
            let tracer = Tracer::raw(RATE).expect("root");
            let mut results = Vec::new();
            for seed in 0..repeats as u64 {
                let begin = Instant::now();
                let request = Request { flow_seed: seed, ..Request::to(target()) };
                let result = tracer.trace(request).await.expect("a trace");
                results.push((result, begin.elapsed()));
            }
            results
        })
    })
}

fn addresses(result: &Multipath, ttl: usize) -> BTreeSet<IpAddr> {
    let interfaces = result.hops.get(ttl - 1).into_iter().flat_map(|hop| &hop.interfaces);
    interfaces.map(|interface| interface.address).collect()
}

/// The interfaces of a hop of the lab.
fn of_hop(ttl: usize, width: usize, target: IpAddr) -> BTreeSet<IpAddr> {
    let all = |form: &dyn Fn(usize) -> String| {
        (1..=width).map(|i| form(i).parse().expect("an address")).collect()
    };
    if target.is_ipv6() {
        return match ttl {
            1 => BTreeSet::from(["fd00:1::2".parse().expect("an address")]),
            2 => all(&|i| format!("fd00:2:{i:x}::2")),
            3 => all(&|i| format!("fd00:4:{i:x}::2")),
            _ => BTreeSet::from([target]),
        };
    }
    match ttl {
        1 => BTreeSet::from(["10.1.0.2".parse().expect("an address")]),
        2 => all(&|i| format!("10.2.{i}.2")),
        3 => all(&|i| format!("10.4.{i}.2")),
        _ => BTreeSet::from([target]),
    }
}

fn is_whole(result: &Multipath, width: usize) -> bool {
    result.hops.len() == 4
        && (1..=4).all(|ttl| addresses(result, ttl) == of_hop(ttl, width, target()))
}

fn scamper(lab: &Lab) -> Option<Cost> {
    let begin = Instant::now();
    let trace = "tracelb -P udp-sport -W 15 -w 1";
    let output = lab.output(&["scamper", "-p", "10000", "-c", trace, "-i", TARGET_V4]).ok()?;
    let seconds = begin.elapsed().as_secs_f64();
    let probes = output.split(", ").find_map(|part| part.strip_suffix(" probes")?.parse().ok())?;
    Some(Cost { probes, seconds })
}

/// Traces to as many IPv4 targets at once, each twice, and as many to one IPv6 target, through a raw socket
/// each: every interface must be one of
/// its hop, every target its own, and no flow may seem to take two ways.
fn many_at_once() {
    let width = 8;
    let plan = Plan { width, more_targets: CONCURRENT / 2, ..Plan::default() };
    let Ok(lab) = Lab::build(plan) else { return };
    let targets = (0..CONCURRENT).map(|i| IpAddr::from([10, 3, 0, 3 + i / 2]));
    let v6: IpAddr = TARGET_V6.parse().expect("an address");
    let targets: Vec<IpAddr> = targets.chain(std::iter::repeat_n(v6, CONCURRENT.into())).collect();
    let (results, counters) = lab.at_source(|| {
        runtime().block_on(async {
            let tracer = Tracer::raw(RATE).expect("root");
            let traces = targets.iter().map(|target| {
                let (tracer, options) =
                    (tracer.clone(), TraceOptions { whole_flows: 4, ..TraceOptions::default() });
                let request = Request { options, ..Request::to(*target) };
                tokio::spawn(async move { tracer.trace(request).await.expect("a trace") })
            });
            let traces: Vec<_> = traces.collect();
            let mut results = Vec::new();
            for trace in traces {
                results.push(trace.await.expect("ended"));
            }
            (results, tracer.counters().all())
        })
    });
    let mut crossed = 0;
    for (result, target) in results.iter().zip(&targets) {
        for ttl in 1..=result.hops.len() {
            crossed += addresses(result, ttl).difference(&of_hop(ttl, width, *target)).count();
        }
        crossed += result.hops.iter().filter(|hop| hop.per_packet || hop.meshed).count();
        crossed += result.duplicates as usize;
    }
    let reached = results.iter().filter(|result| result.reached()).count();
    println!(
        "path: {reached} of {} traces at once reached their target; {counters:?}",
        results.len()
    );
    // What reached nothing cannot have crossed.
    assert_eq!(reached, results.len(), "every trace reaches its target");
    report("trace_200_cross_matches", crossed as f64, "replies", 0.0, results.len());
}
