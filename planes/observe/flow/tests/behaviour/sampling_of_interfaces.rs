//! Rates of one interface: options whose scope is an interface, as softflowd sends them in NetFlow v9.

use crate::common::*;
use holm_flow::{Carrier, Decoder, Limits};

/// What `softflowd -s 2` made of the same eight packets in three protocols. In v9 the rate is told of interface 0.
const SOFTFLOWD: [(&str, &str, usize); 3] = [("v5", V5, 4), ("v9", V9, 4), ("IPFIX", IPFIX, 4)];

/// softflowd `-v 5`.
const V5: &str = "\
    00050004000000006b035ea735ea42e800000000000040020a4900010a5000040000000000000000000000010000\
    00e4ffdf1673ffdf16731f4002020000110000000000000000000a4700010a500002000000000000000000000001\
    0000007cffdf1673ffdf16730000000000002f0000000000000000000a4600010a50000100000000000000000000\
    000100000028ffdf1673ffdf16a5177001bb0002060000000000000000000a5000010a4600010000000000000000\
    0000000100000028ffdf1673ffdf16a501bb1770001206000000000000000000";
/// The same, `-v 9`.
const V9: &str = "\
    00090004000000006b035eaa0000000100000000000000480400001000080004000c000400160004001500040001\
    000400020004000a0004000e0004003d00010088000100070002000b00020004000100060001003c000100050001\
    000000400401000e00080004000c000400160004001500040001000400020004000a0004000e0004003d00010088\
    00010020000200040001003c0001000500010000004808000010001b0010001c0010001600040015000400010004\
    00020004000a0004000e0004003d00010088000100070002000b00020004000100060001003c0001000500010000\
    00400801000e001b0010001c001000160004001500040001000400020004000a0004000e0004003d000100880001\
    008b000200040001003c0001000500010001001a01000004000c000200040022000400230001005200100100001d\
    000000000000000201732e70636170000000000000000000000801004520010db800710000000000000000000120\
    010db8008000000000000000000001ffdf0a9dffdf0a9d00000068000000010000000000000000000180003a0600\
    00000401002c0a4800010a500003ffdf0a9dffdf0a9d000000540000000100000000000000000001080001040000\
    0800004820010db800800000000000000000000120010db8007000000000000000000001ffdf0aa7ffdf0aa70000\
    015c000000010000000000000000010100351b58110006000000040000300a4600010a500001ffdf0a9dffdf0a9d\
    000000280000000100000000000000000001177001bb060204000000";
/// The same, `-v 10`.
const IPFIX: &str = "\
    000a02546b035ead0000000400000000000200480400001000080004000c00040016000400150004000100040002\
    0004000a0004000e0004003d00010088000100070002000b00020004000100060001003c00010005000100020040\
    0401000e00080004000c000400160004001500040001000400020004000a0004000e0004003d0001008800010020\
    000200040001003c0001000500010002004808000010001b0010001c001000160004001500040001000400020004\
    000a0004000e0004003d00010088000100070002000b00020004000100060001003c000100050001000200400801\
    000e001b0010001c001000160004001500040001000400020004000a0004000e0004003d000100880001008b0002\
    00040001003c00010005000100030022010000060001008f000400a0000801310004013200040130000200520010\
    0100002a000042cd000001a20529d77600000001000000010001732e706361700000000000000000000008010044\
    20010db800710000000000000000000120010db8008000000000000000000001ffdefedeffdefede000000680000\
    00010000000000000000000180003a0600000401002c0a4800010a500003ffdefedeffdefede0000005400000001\
    000000000000000000010800010400000800004820010db800800000000000000000000120010db8007000000000\
    000000000001ffdefee8ffdefee80000015c000000010000000000000000010100351b5811000600000004000030\
    0a4600010a500001ffdefedeffdefede000000280000000100000000000000000001177001bb060204000000";

fn datagram(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a digit") as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The rates of the rows, in their order.
fn rates(rows: &[Row]) -> Vec<Option<&str>> {
    rows.iter().map(|row| row.get("flow.sampling_rate").map(String::as_str)).collect()
}

/// Options template 257 of NetFlow v9: scope interface, one of so many.
fn options() -> Vec<u8> {
    set(1, Bytes::default().u16(257).u16(4).u16(4).u16(2).u16(4).u16(34).u16(4))
}

fn said(interface: u32, rate: u32) -> Vec<u8> {
    set(257, Bytes::default().u32(interface).u32(rate))
}

/// Records of packets, both interfaces and a sampler.
fn records(all: &[(u32, u32, u32)]) -> [Vec<u8>; 2] {
    let body = all.iter().fold(Bytes::default(), |body, (from, to, sampler)| {
        body.u32(3).u32(*from).u32(*to).u32(*sampler)
    });
    [set(0, template(256, &[(2, 4), (10, 4), (14, 4), (302, 4)])), set(256, body)]
}

#[test]
fn softflowd_tells_its_rate_in_each_protocol() {
    for (protocol, hex, count) in SOFTFLOWD {
        let mut decoder = decoder();
        let (rows, _) = decode_with(&mut decoder, &[datagram(hex)]);
        assert_eq!(rates(&rows), vec![Some("2"); count], "{protocol}");
        for row in &rows {
            let number = |name: &str| row[name].parse::<u64>().expect("a number");
            assert_eq!(number("flow.io.bytes_scaled"), 2 * number("flow.io.bytes"), "{protocol}");
        }
        assert_eq!(decoder.totals().sampling_unknown, 0, "{protocol}");
    }
}

#[test]
fn the_interface_by_which_it_came_in_goes_before_the_other_and_a_sampler_before_both() {
    let sampler = || {
        let template =
            Bytes::default().u16(258).u16(4).u16(8).u16(1).u16(4).u16(302).u16(4).u16(34).u16(4);
        [set(1, template), set(258, Bytes::default().u32(0).u32(5).u32(1_000))]
    };
    let domain = || {
        let template = Bytes::default().u16(259).u16(4).u16(4).u16(1).u16(4).u16(34).u16(4);
        [set(1, template), set(259, Bytes::default().u32(0).u32(64))]
    };
    let told = [options(), said(3, 100), said(4, 7)];
    let flows =
        records(&[(3, 4, 0), (9, 4, 0), (9, 9, 0), (3, 4, 5), (9, 9, 5), (4, 3, 6), (9, 9, 6)]);
    for (more, otherwise) in [(Vec::new(), None), (domain().to_vec(), Some("64"))] {
        let mut decoder = decoder();
        let sets = [told.to_vec(), sampler().to_vec(), more].concat();
        let (rows, _) = decode_with(&mut decoder, &[v9(1, &sets), v9(2, &flows)]);
        let expected =
            [Some("100"), Some("7"), otherwise, Some("1000"), Some("1000"), Some("7"), otherwise];
        assert_eq!(rates(&rows), expected);
        let unknown = expected.iter().filter(|rate| rate.is_none()).count() as u64;
        assert_eq!(decoder.totals().sampling_unknown, unknown);
        // The same after a restart.
        let mut again = crate::common::decoder();
        again.import_state(&decoder.export_state());
        let (rows, _) = decode_with(&mut again, &[v9(3, &flows[1..])]);
        assert_eq!(rates(&rows), expected);
    }
}

#[test]
fn rates_of_interfaces_are_bounded() {
    let limits = Limits { max_options: 2, ..Limits::default() };
    let mut decoder = Decoder::new(limits, Carrier::Udp);
    let sets: Vec<Vec<u8>> =
        std::iter::once(options()).chain((1..=5).map(|interface| said(interface, 8))).collect();
    let flows = records(&[(2, 0, 0), (3, 0, 0)]);
    let (rows, _) = decode_with(&mut decoder, &[v9(1, &sets), v9(2, &flows)]);
    assert_eq!(decoder.totals().names_refused, 3);
    assert_eq!(rates(&rows), [Some("8"), None]);
}
