//! The numbers of `[graph]` that one moment holds: `cargo bench -p holm-moment`.
//!
//! XL has the counts of the peer's own test (30,060 nodes, 30,030 edges, 300 agents). So few edges
//! make at least 30 parts: 30 regions of 10 agents, an access hop, a core hop and 990 hosts.
//! The large one has 250,300 nodes and 1,000,000 edges: 300 agents, 5,000 hops with four others at random,
//! 95,000 hosts on two hops each, and 150,000 services with 5 calls each.
//! A counting allocator prints how often a question allocates once its room is there.
#![allow(unsafe_code)] // A global allocator is an unsafe trait; this one counts and passes on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::time::Instant;

use holm_bench::report;
use holm_model::{EdgeKind, NodeId, NodeKind};
use holm_moment::{
    Around, Limits, Metric, Moment, MomentBuilder, RouteQuery, Scratch, Selection, Toward, WhatIf,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() {
    let xl = regions();
    assert_eq!(xl.len(), (30_060, 30_030));
    let mut scratch = Scratch::default();

    let p99 = what_ifs(&xl, 600, &mut scratch);
    report("what_if_xl_p99_ms", p99, "ms", 10.0, 600);
    let us = traverse(&xl, &mut scratch);
    report("traverse_xl_us", us, "us", 50.0, 2_000);
    // A moment ranks its nodes once: each run has one of its own.
    let mut fresh: Vec<Moment> = (0..5).map(|_| regions()).collect();
    let (ms, ranking) = timed(5, || fresh.pop().expect("one a run").spof(100));
    assert_eq!(ranking.total, 30_060, "every node breaks something here");
    report("spof_xl_ms", ms, "ms", 1_000.0, 5);

    // The same counts of agents and hosts with every host on two of 60 hops that form a ring with
    // chords: each agent reaches every host, 8.9 million pairs.
    let counted = woven(0);
    let p99 = what_ifs(&counted, 300, &mut scratch);
    let (nodes, edges) = counted.len();
    println!("also: all connected: {nodes} nodes, {edges} edges");
    report("what_if_connected_p99_ms", p99, "ms", 50.0, 300);
    let (ms, _) = timed(1, || counted.spof(100));
    report("spof_connected_ms", ms, "ms", 1_500.0, 1);
    allocations(&counted, &mut scratch);
    let ms = ways("all connected", &counted, &mut scratch);
    report("ways_64_connected_ms", ms, "ms", 600.0, 3);
    drop(counted);

    let flows = woven(30_000);
    let p99 = what_ifs(&flows, 300, &mut scratch);
    let (ms, _) = timed(1, || flows.spof(100));
    println!("also: with 30,000 observed paths: what-if p99 {p99:.2} ms, ranking {ms:.0} ms");
    drop(flows);

    let (ms, large) = timed(1, large);
    assert_eq!(large.len(), (250_300, 1_000_000));
    println!("also: laying out the large one takes {ms:.0} ms");
    let p99 = what_ifs(&large, 60, &mut scratch);
    report("what_if_1m_ms", p99, "ms", 150.0, 60);
    ways("large", &large, &mut scratch);
    let (ms, _) = timed(1, || large.spof(100));
    report("spof_1m_ms", ms, "ms", 30_000.0, 1);
}

fn node(builder: &mut MomentBuilder, kind: NodeKind, name: String) -> u32 {
    builder.node(NodeId::new(kind, &name).expect("a valid name"))
}

fn regions() -> Moment {
    let mut b = MomentBuilder::new();
    for region in 0..30 {
        let access = node(&mut b, NodeKind::Hop, format!("access-{region}"));
        let core = node(&mut b, NodeKind::Hop, format!("core-{region}"));
        b.edge(access, EdgeKind::Path, core, None);
        for i in 0..10 {
            let agent = node(&mut b, NodeKind::Agent, format!("site-{region}-{i}"));
            b.edge(agent, EdgeKind::Path, access, None);
        }
        for i in 0..990 {
            let host = node(&mut b, NodeKind::Host, format!("10.{region}.{}.{}", i / 250, i % 250));
            b.edge(core, EdgeKind::Path, host, None);
        }
    }
    b.build()
}

fn woven(paths: usize) -> Moment {
    let mut b = MomentBuilder::new();
    let hops: Vec<u32> =
        (0..60).map(|i| node(&mut b, NodeKind::Hop, format!("core-{i}"))).collect();
    for i in 0..60 {
        for step in [1, 7, 59, 53] {
            b.edge(hops[i], EdgeKind::Path, hops[(i + step) % 60], None);
        }
    }
    for i in 0..300 {
        let agent = node(&mut b, NodeKind::Agent, format!("site-{i}"));
        b.edge(agent, EdgeKind::Path, hops[i % 60], None);
        b.edge(agent, EdgeKind::Path, hops[(i * 7 + 3) % 60], None);
    }
    for i in 0..29_700 {
        let host = node(
            &mut b,
            NodeKind::Host,
            format!("10.{}.{}.{}", i / 62_500, i / 250 % 250, i % 250),
        );
        b.edge(hops[i % 60], EdgeKind::Path, host, None);
        b.edge(hops[(i * 11 + 5) % 60], EdgeKind::Path, host, None);
        // Two flows each of some pairs, along the ring and then off it.
        if i < paths / 2 {
            let agent = node(&mut b, NodeKind::Agent, format!("site-{}", i % 300));
            for flow in 0..2 {
                let (near, far) = (i % 60, (i + 7 * (flow + 1)) % 60);
                let route = [Some(hops[near]), (i % 5 > 0).then_some(hops[far])];
                b.path(agent, host, &format!("{flow}"), &route);
            }
        }
    }
    b.build()
}

fn large() -> Moment {
    let mut rng = StdRng::seed_from_u64(7);
    let mut b = MomentBuilder::new();
    let mut made = std::collections::HashSet::new();
    let mut count = |b: &mut MomentBuilder, from: u32, kind: EdgeKind, to: u32| {
        let new = from != to && made.insert((from, kind as u8, to));
        if new {
            b.edge(from, kind, to, None);
        }
        usize::from(new)
    };
    let mut of = |kind, prefix: &str, n: usize| -> Vec<u32> {
        (0..n).map(|i| node(&mut b, kind, format!("{prefix}{i}"))).collect()
    };
    let agents = of(NodeKind::Agent, "site-", 300);
    let hops = of(NodeKind::Hop, "hop-", 5_000);
    let hosts = of(NodeKind::Host, "host-", 95_000);
    let services = of(NodeKind::Service, "service-", 150_000);
    let mut edges = 0;
    for &agent in &agents {
        for _ in 0..4 {
            edges += count(&mut b, agent, EdgeKind::Path, hops[rng.random_range(0..hops.len())]);
        }
    }
    for &hop in &hops {
        for _ in 0..4 {
            edges += count(&mut b, hop, EdgeKind::Path, hops[rng.random_range(0..hops.len())]);
        }
    }
    for &host in &hosts {
        for _ in 0..2 {
            edges += count(&mut b, hops[rng.random_range(0..hops.len())], EdgeKind::Path, host);
        }
    }
    while edges < 1_000_000 {
        let caller = services[rng.random_range(0..services.len())];
        // Callers have greater numbers than what they call, mostly: layers, with a few cycles.
        let callee = services[rng.random_range(0..services.len())];
        let (from, to) = if rng.random_bool(0.98) {
            (caller.max(callee), caller.min(callee))
        } else {
            (caller, callee)
        };
        edges += count(&mut b, from, EdgeKind::Flow, to);
    }
    b.build()
}

/// What-ifs of elements of every kind by turns; the 99th percentile in ms.
fn what_ifs(moment: &Moment, runs: usize, scratch: &mut Scratch) -> f64 {
    let (nodes, edges) = moment.len();
    let by_kind: Vec<Vec<u32>> = NodeKind::ALL
        .iter()
        .map(|kind| (0..nodes as u32).filter(|&n| moment.node(n).kind() == *kind).collect())
        .filter(|list: &Vec<u32>| !list.is_empty())
        .collect();
    let mut rng = StdRng::seed_from_u64(1);
    let (mut times, mut broken) = (Vec::new(), 0);
    for run in 0..runs + 5 {
        let mut failed = Selection::default();
        match by_kind.get(run % (by_kind.len() + 1)) {
            Some(list) => failed.nodes.push(list[rng.random_range(0..list.len())]),
            None => failed.edges.push(rng.random_range(0..edges as u32)),
        }
        let question = WhatIf { failed, ..WhatIf::default() };
        let start = Instant::now();
        let impact = moment.what_if(black_box(&question), Limits::default(), None, scratch);
        // The first ones fill the scratch space.
        if run >= 5 {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        broken += impact.broken_paths.total
            + impact.rerouted_paths.total
            + impact.impacted_services.total;
    }
    assert!(broken > runs as u64, "the answers are not empty");
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}

/// All within six edges of an agent, as they point: its region.
fn traverse(moment: &Moment, scratch: &mut Scratch) -> f64 {
    let agents: Vec<u32> =
        (0..moment.len().0 as u32).filter(|&n| moment.node(n).kind() == NodeKind::Agent).collect();
    let around = Around { depth: 6, toward: Toward::Out, ..Around::default() };
    let start = Instant::now();
    for i in 0..2_000 {
        let found = moment.neighbourhood(agents[i % agents.len()], &around, scratch);
        assert_eq!(black_box(found).len(), 992);
    }
    start.elapsed().as_secs_f64() * 1e6 / 2_000.0
}

/// Prints how often questions allocate: a what-if that lists nothing only notes which pairs there are.
fn allocations(moment: &Moment, scratch: &mut Scratch) {
    for kind in [NodeKind::Hop, NodeKind::Agent, NodeKind::Host] {
        let mut nodes = 0..moment.len().0 as u32;
        let Some(node) = nodes.find(|&n| moment.node(n).kind() == kind) else { continue };
        let failed = Selection { nodes: vec![node], edges: Vec::new() };
        let question = WhatIf { failed, ..WhatIf::default() };
        let mut count = |items| {
            let limits = Limits { items };
            moment.what_if(&question, limits, None, scratch);
            let before = ALLOCATIONS.get();
            let impact = moment.what_if(&question, limits, None, scratch);
            (ALLOCATIONS.get() - before, impact.broken_paths.total + impact.rerouted_paths.total)
        };
        let ((none, pairs), (listed, _)) = (count(0), count(100));
        println!(
            "also: a what-if of one {} touches {pairs} pairs: {none} allocations, with 100 of each listed {listed}",
            kind.as_str()
        );
    }
}

/// Prints how long the shortest ways take; 64 of them in ms.
fn ways(name: &str, moment: &Moment, scratch: &mut Scratch) -> f64 {
    let of = |wanted| {
        let mut nodes = (0..moment.len().0 as u32).rev();
        nodes.find(|&n| moment.node(n).kind() == wanted).expect("one of each")
    };
    let mut last = 0.0;
    for count in [1, 8, 64] {
        let query = RouteQuery {
            from: of(NodeKind::Agent),
            to: of(NodeKind::Host),
            metric: Metric::Hops,
            directed: false,
            edge_kinds: None,
            only_through: None,
            count,
        };
        let (ms, found) = timed(3, || moment.routes(&query, scratch));
        let told = if found.complete { "" } else { " until it broke off" };
        let found = found.found.len();
        println!("also: {name}: {found} of {count} shortest ways take {ms:.2} ms{told}");
        last = ms;
    }
    last
}

/// The median time of some runs in ms, and what the last one gave.
fn timed<T>(runs: usize, mut work: impl FnMut() -> T) -> (f64, T) {
    let mut once = || {
        let start = Instant::now();
        let result = work();
        (start.elapsed().as_secs_f64() * 1e3, result)
    };
    let (first, mut last) = once();
    let mut times = vec![first];
    for _ in 1..runs {
        let (ms, result) = once();
        times.push(ms);
        last = result;
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], last)
}
