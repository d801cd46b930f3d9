//! A record is decoded without an allocation. Alone in its file: the allocator counts everything.
#![allow(unsafe_code)] // A global allocator is an unsafe trait; this one counts and passes on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

use holm_flow::{Carrier, Decoder, Limits};

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

const NOW_NS: i64 = 1_700_000_000_000_000_000;

fn be16(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}

/// An IPFIX message of sets, each of an id and numbers of 16 bits.
fn ipfix(sets: &[(u16, &[u16])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (id, numbers) in sets {
        body.extend(be16(&[*id, numbers.len() as u16 * 2 + 4]));
        body.extend(be16(numbers));
    }
    let mut message = be16(&[10, body.len() as u16 + 16, 0x6553, 0xf100, 0, 0, 0, 7]);
    message.extend(body);
    message
}

#[test]
fn records_of_a_batch_that_began_allocate_nothing() {
    let from = SocketAddr::from(([192, 0, 2, 1], 4_739));
    let mut decoder = Decoder::new(Limits::default(), Carrier::Udp);
    let mut batches = 0;
    let mut decode = |datagram: &[u8]| {
        decoder.decode(from, NOW_NS, datagram, &mut |_| batches += 1);
        ALLOCATIONS.with(Cell::get)
    };
    // Source, destination, bytes, packets, ports, protocol; and one of variable length.
    let fields = [256, 7, 8, 4, 12, 4, 1, 4, 2, 4, 7, 2, 11, 2, 4, 2];
    let varied = [257, 2, 1, 4, 83, 0xffff];
    let teach = ipfix(&[(2, &fields), (2, &varied)]);
    let record = [0x0a00, 1, 0x0a00, 2, 0, 99, 0, 3, 443, 5_000, 6];
    let fixed = ipfix(&[(256, &[record; 10].concat())]);
    // A count, then a name of one byte.
    let variable = ipfix(&[(257, &[0, 5, 0x0141, 0, 6, 0x0142])]);
    assert!(decode(&teach) > 0, "the allocator does count");
    decode(&fixed);
    decode(&variable);
    // Where a column has a gap, a run is noted: room for a few is made at the first.
    let before = decode(&fixed);
    for _ in 0..300 {
        assert_eq!(decode(&fixed), before);
    }
    assert_eq!(decoder.totals().flows, 302 * 10 + 2);
    assert_eq!((decoder.waiting_rows(), batches), (3_022, 0));
}
