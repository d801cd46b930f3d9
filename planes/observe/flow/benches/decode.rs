//! The numbers of `[flow]` that decoding holds: `cargo bench -p holm-flow`.
//!
//! Datagrams are made here and decoded over and over by one thread, batches included; what a socket
//! and a store cost is not in it. Every figure is the median of several runs.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use holm_bench::{Peer, report, report_beside};
use holm_flow::{Batch, Carrier, Decoder, Limits};

const NOW_NS: i64 = 1_700_000_000_000_000_000;
const RUNS: usize = 9;

fn main() {
    let only = std::env::args().nth(1).filter(|name| !name.starts_with('-'));
    let wants = |name: &str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    if wants("decode_mixed") {
        // 30 v5 records, 10 v9 records, one sampled packet.
        let cycle = [netflow_v5(30), v9_data(10), sflow(1, 128)];
        let mrps = rate(&[v9_templates()], &cycle, 20_000, 41);
        report("decode_mixed_mrps", mrps, "M records/s", 10.0, 20_000 * 41 * RUNS);
    }
    if wants("decode_template") {
        let cycle = [v9_data(12), ipfix_data(12)];
        let templates = [v9_templates(), ipfix_templates()];
        let mrps = rate(&templates, &cycle, 30_000, 24);
        let peer = peer_rate(&templates, &cycle, 24);
        println!("netflow_parser 1.0.6: {peer:.2} M records/s of the same datagrams");
        let peer = Some(Peer { name: "netflow_parser 1.0.6", value: peer });
        report_beside("decode_template_mrps", mrps, "M records/s", 8.0, 30_000 * 24 * RUNS, peer);
    }
    if wants("decode_sflow") {
        let small = rate(&[], &[sflow(1, 128)], 200_000, 1);
        println!("sFlow of one sample: {small:.2} M datagrams/s");
        // 1,288 bytes, as the peer's datagrams were.
        let datagram = sflow(6, 128);
        println!("sFlow of six samples: {} bytes", datagram.len());
        let mdps = rate(&[], &[datagram], 60_000, 1);
        report("decode_sflow_mdps", mdps, "M datagrams/s", 2.0, 60_000 * RUNS);
    }
}

/// Millions of `per_cycle` a second; what `warm` teaches is decoded before.
fn rate(warm: &[Vec<u8>], cycle: &[Vec<u8>], cycles: usize, per_cycle: usize) -> f64 {
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let mut decoder = Decoder::new(Limits::default(), Carrier::Udp);
        let mut rows = 0;
        let mut emit = |batch: Batch| {
            let (Batch::Flows(batch) | Batch::InterfaceCounters(batch)) = batch;
            rows += black_box(&batch).num_rows();
        };
        let from = SocketAddr::from(([192, 0, 2, 1], 2055));
        for datagram in warm {
            decoder.decode(from, NOW_NS, datagram, &mut emit);
        }
        let start = Instant::now();
        for _ in 0..cycles {
            for datagram in cycle {
                decoder.decode(from, NOW_NS, black_box(datagram), &mut emit);
            }
        }
        decoder.flush(&mut emit);
        let seconds = start.elapsed().as_secs_f64();
        assert!(rows >= cycles * per_cycle, "{rows} rows");
        assert_eq!(decoder.totals().truncated, 0);
        rates.push((cycles * per_cycle) as f64 / seconds / 1e6);
    }
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// The peer, which gives values per field and no columns.
fn peer_rate(warm: &[Vec<u8>], cycle: &[Vec<u8>], per_cycle: usize) -> f64 {
    const CYCLES: usize = 3_000;
    let mut parser = netflow_parser::NetflowParser::default();
    for datagram in warm {
        assert!(parser.parse_bytes(datagram).error.is_none());
    }
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        for _ in 0..CYCLES {
            for datagram in cycle {
                let _values = black_box(parser.parse_bytes(black_box(datagram)));
            }
        }
        rates.push((CYCLES * per_cycle) as f64 / start.elapsed().as_secs_f64() / 1e6);
    }
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Numbers that differ from record to record, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

fn be(parts: &[(u64, usize)]) -> Vec<u8> {
    parts.iter().flat_map(|(n, bytes)| n.to_be_bytes()[8 - bytes..].to_vec()).collect()
}

fn netflow_v5(records: usize) -> Vec<u8> {
    let mut numbers = Numbers(5);
    let seconds = (NOW_NS / 1_000_000_000) as u64;
    let mut datagram = be(&[(5, 2), (records as u64, 2), (90_000_000, 4), (seconds, 4), (0, 4)]);
    // Engine 1, sampled 1 in 100.
    datagram.extend(be(&[(1, 4), (1, 2), (0x4000 | 100, 2)]));
    for _ in 0..records {
        datagram.extend(numbers.bytes(12));
        datagram.extend(be(&[(3, 2), (4, 2), (17, 4), (numbers.next() & 0xffff, 4)]));
        datagram.extend(be(&[(89_990_000, 4), (89_999_000, 4)]));
        datagram.extend(be(&[(numbers.next() & 0xffff, 2), (443, 2), (0, 1), (0x1b, 1), (6, 1)]));
        datagram.extend(be(&[(0, 1), (64_500, 2), (64_501, 2), (24, 1), (16, 1), (0, 2)]));
    }
    datagram
}

/// What a router exports by default: 20 fields, 60 bytes.
const V9_FIELDS: &[(u16, u16)] = &[
    (8, 4),
    (12, 4),
    (15, 4),
    (10, 4),
    (14, 4),
    (2, 4),
    (1, 4),
    (22, 4),
    (21, 4),
    (7, 2),
    (11, 2),
    (6, 1),
    (4, 1),
    (5, 1),
    (16, 4),
    (17, 4),
    (9, 1),
    (13, 1),
    (61, 1),
    (48, 1),
];

/// The same with counts of 8 bytes, times in milliseconds, VLAN, MACs and VRF: 26 fields.
const IPFIX_FIELDS: &[(u16, u16)] = &[
    (8, 4),
    (12, 4),
    (15, 4),
    (10, 4),
    (14, 4),
    (2, 8),
    (1, 8),
    (152, 8),
    (153, 8),
    (7, 2),
    (11, 2),
    (6, 1),
    (4, 1),
    (5, 1),
    (16, 4),
    (17, 4),
    (9, 1),
    (13, 1),
    (61, 1),
    (58, 2),
    (56, 6),
    (80, 6),
    (234, 4),
    (136, 1),
    (192, 1),
    (210, 3),
];

fn template(id: u16, fields: &[(u16, u16)]) -> Vec<u8> {
    let mut bytes = be(&[(u64::from(id), 2), (fields.len() as u64, 2)]);
    for (element, length) in fields {
        bytes.extend(be(&[(u64::from(*element), 2), (u64::from(*length), 2)]));
    }
    bytes
}

fn set(id: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = be(&[(u64::from(id), 2), (body.len() as u64 + 4, 2)]);
    bytes.extend_from_slice(body);
    bytes
}

fn records(fields: &[(u16, u16)], n: usize) -> Vec<u8> {
    let mut numbers = Numbers(9);
    let mut body = Vec::new();
    for _ in 0..n {
        for (element, length) in fields {
            let value = match element {
                152 | 153 => (NOW_NS / 1_000_000) as u64 - 5_000,
                21 | 22 => 89_999_000,
                61 => 0,
                48 => 1,
                _ => numbers.next(),
            };
            body.extend(be(&[(value, usize::from(*length))]));
        }
    }
    body
}

fn v9(sets: &[u8]) -> Vec<u8> {
    let seconds = (NOW_NS / 1_000_000_000) as u64;
    let mut bytes = be(&[(9, 2), (1, 2), (90_000_000, 4), (seconds, 4), (1, 4), (7, 4)]);
    bytes.extend_from_slice(sets);
    bytes
}

fn v9_templates() -> Vec<u8> {
    let mut sets = set(0, &template(256, V9_FIELDS));
    // Sampler 1 takes 1 of 1,000.
    let scope = be(&[(257, 2), (4, 2), (8, 2), (1, 2), (4, 2), (48, 2), (1, 2), (50, 2), (4, 2)]);
    sets.extend(set(1, &scope));
    sets.extend(set(257, &be(&[(0, 4), (1, 1), (1_000, 4)])));
    v9(&sets)
}

fn v9_data(n: usize) -> Vec<u8> {
    v9(&set(256, &records(V9_FIELDS, n)))
}

fn ipfix(sets: &[u8]) -> Vec<u8> {
    let seconds = (NOW_NS / 1_000_000_000) as u64;
    let mut bytes = be(&[(10, 2), (sets.len() as u64 + 16, 2), (seconds, 4), (1, 4), (7, 4)]);
    bytes.extend_from_slice(sets);
    bytes
}

fn ipfix_templates() -> Vec<u8> {
    ipfix(&set(2, &template(256, IPFIX_FIELDS)))
}

fn ipfix_data(n: usize) -> Vec<u8> {
    ipfix(&set(256, &records(IPFIX_FIELDS, n)))
}

/// Samples of TCP in IPv4 in a tagged Ethernet frame, with switch data.
fn sflow(samples: usize, header_bytes: usize) -> Vec<u8> {
    let mut numbers = Numbers(6);
    let mut datagram = be(&[(5, 4), (1, 4), (0xc000_0209, 4), (3, 4), (1, 4), (5_000, 4)]);
    datagram.extend(be(&[(samples as u64, 4)]));
    for _ in 0..samples {
        let mut frame = numbers.bytes(12);
        frame.extend(be(&[(0x8100, 2), (42, 2), (0x0800, 2), (0x4500, 2), (1_480, 2), (0, 4)]));
        frame.extend(be(&[(64, 1), (6, 1), (0, 2)]));
        frame.extend(numbers.bytes(8));
        frame.extend(be(&[(40_000, 2), (443, 2), (0, 8), (0x5010, 2)]));
        frame.resize(header_bytes, 0);
        let mut record = be(&[(1, 4), (1_500, 4), (4, 4), (frame.len() as u64, 4)]);
        record.extend(frame);
        let mut sample =
            be(&[(1, 4), (3, 4), (512, 4), (1_000, 4), (0, 4), (3, 4), (4, 4), (2, 4)]);
        sample.extend(be(&[(1, 4), (record.len() as u64, 4)]));
        sample.extend(record);
        sample.extend(be(&[(1_001, 4), (16, 4), (42, 4), (0, 4), (42, 4), (0, 4)]));
        datagram.extend(be(&[(1, 4), (sample.len() as u64, 4)]));
        datagram.extend(sample);
    }
    datagram
}
