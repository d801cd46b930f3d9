//! Any bytes as datagrams of one protocol, through the decoder as the plane runs it: what comes out is rows
//! and counters; never a panic, an overflow, or more memory than the bounds allow.

use std::net::SocketAddr;

use holm_flow::{Batch, Carrier, Decoder, FlowState, Limits};

/// Bytes of sets that may wait for their template.
const PENDING: usize = 16 << 10;

/// Feeds `input` to a decoder, each datagram with `version` at its start: twice, as templates of the first round
/// make sense of sets of the second, and then once more to a decoder that took over the first one's state.
pub fn feed(version: &[u8], input: &[u8]) {
    let limits = Limits { max_pending_bytes: PENDING, ..Limits::default() };
    let mut decoder = Decoder::new(limits.clone(), Carrier::Udp);
    let exporters: [SocketAddr; 2] = [([192, 0, 2, 1], 2055).into(), ([192, 0, 2, 2], 6343).into()];
    for round in 0..2 {
        decode(&mut decoder, exporters[0], version, input, round);
    }
    let state = decoder.export_state();
    let json = state.to_json().expect("a state is written");
    let restored = FlowState::from_json(&json).expect("what was written is read");
    let mut other = Decoder::new(limits, Carrier::Tcp);
    other.import_state(&restored);
    decode(&mut other, exporters[1], version, input, 2);
}

fn decode(decoder: &mut Decoder, exporter: SocketAddr, version: &[u8], input: &[u8], round: i64) {
    let now_ns = 1_700_000_000_000_000_000 + round * 1_000_000_000;
    let mut rows = 0;
    let mut emit = |batch: Batch| match batch {
        Batch::Flows(batch) | Batch::InterfaceCounters(batch) => rows += batch.num_rows(),
    };
    for datagram in super::split(input) {
        let mut datagram = datagram[..datagram.len().min(65_507)].to_vec();
        let length = version.len().min(datagram.len());
        datagram[..length].copy_from_slice(&version[..length]);
        decoder.decode(exporter, now_ns, &datagram, &mut emit);
        let (_, waiting) = decoder.pending();
        assert!(waiting <= PENDING, "{waiting} bytes wait for templates");
    }
    decoder.flush(&mut emit);
    // A record has at least one byte, and so has a sample: what is not in the datagrams is not in the rows.
    assert!(rows <= input.len() * 2 + PENDING, "{rows} rows of {} bytes", input.len());
    decoder.tick(now_ns + 3_600_000_000_000);
}
