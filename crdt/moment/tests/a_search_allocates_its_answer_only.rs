//! A what-if allocates what it answers, and nothing for the steps of its searches.
#![allow(unsafe_code)] // A global allocator is an unsafe trait; this one counts and passes on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use holm_model::{EdgeKind, NodeId, NodeKind};
use holm_moment::{Limits, Moment, MomentBuilder, Scratch, Selection, WhatIf};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST_HELD: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        HELD.set(HELD.get() + layout.size());
        MOST_HELD.set(MOST_HELD.get().max(HELD.get()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().saturating_sub(layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Agents behind one hop each, a ring of hops, and hosts on two hops each; one host hangs on one.
fn woven(hosts: usize) -> Moment {
    let mut b = MomentBuilder::new();
    let mut node = |kind, name: String| b.node(NodeId::new(kind, &name).expect("valid"));
    let hops: Vec<u32> = (0..20).map(|i| node(NodeKind::Hop, format!("hop-{i}"))).collect();
    let agents: Vec<u32> = (0..70).map(|i| node(NodeKind::Agent, format!("site-{i}"))).collect();
    let hosts: Vec<u32> = (0..hosts).map(|i| node(NodeKind::Host, format!("host-{i}"))).collect();
    let lonely = node(NodeKind::Host, "lonely".into());
    for i in 0..20 {
        b.edge(hops[i], EdgeKind::Path, hops[(i + 1) % 20], None);
        b.edge(hops[i], EdgeKind::Path, hops[(i + 7) % 20], None);
    }
    for (i, &agent) in agents.iter().enumerate() {
        b.edge(agent, EdgeKind::Path, hops[i % 20], None);
    }
    for (i, &host) in hosts.iter().enumerate() {
        b.edge(hops[i % 20], EdgeKind::Path, host, None);
        b.edge(hops[(i * 3 + 1) % 20], EdgeKind::Path, host, None);
    }
    b.edge(hops[3], EdgeKind::Path, lonely, None);
    b.build()
}

/// How often a what-if of `name` allocates once the room for searches is there.
fn allocations(moment: &Moment, name: &str) -> u64 {
    let failed = Selection {
        nodes: vec![moment.find(&name.parse().expect("valid")).expect("there")],
        edges: vec![],
    };
    let question = WhatIf { failed, ..WhatIf::default() };
    let mut scratch = Scratch::default();
    let limits = Limits { items: 5 };
    let first = moment.what_if(&question, limits, None, &mut scratch);
    let before = ALLOCATIONS.get();
    let second = moment.what_if(&question, limits, None, &mut scratch);
    let count = ALLOCATIONS.get() - before;
    assert_eq!(first, second);
    count
}

#[test]
fn ten_times_the_hosts_are_no_further_allocation() {
    let (small, large) = (woven(300), woven(3_000));
    let few = allocations(&small, "host:lonely");
    assert_eq!(allocations(&large, "host:lonely"), few, "searches use their room again");
    assert!(few < 200, "{few} for five routes");
    // A hop touches thousands of pairs: what is noted of each target grows by doubling, no more.
    let hop = allocations(&large, "hop:hop-3");
    assert!(hop < 400, "{hop} for ten routes");
}

/// A chain of hops with a called host on each: everything hangs on all that is before it.
fn chain(hops: usize) -> Moment {
    let mut b = MomentBuilder::new();
    let mut node = |kind, name: String| b.node(NodeId::new(kind, &name).expect("valid"));
    let mut before = node(NodeKind::Agent, "site".into());
    let service = node(NodeKind::Service, "caller".into());
    let links: Vec<(u32, u32)> = (0..hops)
        .map(|i| {
            (node(NodeKind::Hop, format!("hop-{i}")), node(NodeKind::Host, format!("host-{i}")))
        })
        .collect();
    for (hop, host) in links {
        b.edge(before, EdgeKind::Path, hop, None);
        b.edge(hop, EdgeKind::Path, host, None);
        b.edge(service, EdgeKind::Flow, host, None);
        before = hop;
    }
    b.build()
}

#[test]
fn a_ranking_takes_room_in_proportion_however_deep_the_ways_are() {
    let room = |hops| {
        let moment = chain(hops);
        let before = HELD.get();
        MOST_HELD.set(before);
        assert_eq!(moment.spof(1).items[0].broken_paths, hops as u64);
        MOST_HELD.get() - before
    };
    let (short, long) = (room(2_000), room(8_000));
    assert!(long < short * 6, "{short} bytes for 2,000 hops, {long} for four times as many");
}
