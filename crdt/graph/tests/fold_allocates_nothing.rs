//! Observing what is known allocates nothing. Alone in its file: the allocator counts everything.
#![allow(unsafe_code)] // A global allocator is an unsafe trait; this one counts and passes on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use holm_graph::{Fold, FoldLimits, Folded};
use holm_model::{EdgeKind, EdgeObservation, Millis, NodeKind, NodeObservation, NodeRef};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `alloc` above with this `layout`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_unchanged_observation_allocates_nothing() {
    let names: Vec<String> = (1..1_001).map(|i| format!("2001:db8::{i:x}")).collect();
    let attributes = [("server.port", "443"), ("network.transport", "tcp"), ("holm.x", "y")];
    let mut fold = Fold::new(FoldLimits::default());
    let observe = |fold: &mut Fold, at: u64| {
        let mut opened = 0;
        for name in &names {
            let from = NodeRef { kind: NodeKind::Service, name: "checkout" };
            let to = NodeRef { kind: NodeKind::Host, name };
            let (at, hold_ms) = (Millis(at), 60_000);
            let attributes = &attributes;
            let kind = EdgeKind::Flow;
            let edge = EdgeObservation { from, kind, to, attributes, at, hold_ms };
            let node = NodeObservation { node: to, attributes, at, hold_ms };
            opened += u32::from(fold.observe_edge(&edge) == Folded::Opened);
            opened += u32::from(fold.observe_node(&node) == Folded::Opened);
        }
        opened
    };
    let before = ALLOCATIONS.with(Cell::get);
    assert_eq!(observe(&mut fold, 1), 2_000);
    assert!(ALLOCATIONS.with(Cell::get) > before, "the allocator does count");
    fold.drain();

    let before = ALLOCATIONS.with(Cell::get);
    for round in 2..50 {
        assert_eq!(observe(&mut fold, round), 0);
        fold.expire(Millis(round));
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    assert!(fold.drain().is_empty());
}
