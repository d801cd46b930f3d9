//! One of how many packets: what options say of which domain, and what records say themselves.

use crate::common::*;
use holm_flow::{Carrier, Decoder, Limits};

/// The rates of the rows, in their order.
fn rates(rows: &[Row]) -> Vec<Option<&str>> {
    rows.iter().map(|row| row.get("flow.sampling_rate").map(String::as_str)).collect()
}

/// An IPFIX message of `domain`.
fn of(domain: u32, sequence: u32, sets: &[Vec<u8>]) -> Vec<u8> {
    let mut message = ipfix(sequence, sets);
    message[12..16].copy_from_slice(&domain.to_be_bytes());
    message
}

/// Options template 257: scope observation domain, one of so many.
fn options() -> Vec<u8> {
    set(3, Bytes::default().u16(257).u16(2).u16(1).u16(149).u16(4).u16(34).u16(4))
}

fn said(domain: u32, rate: u32) -> Vec<u8> {
    set(257, Bytes::default().u32(domain).u32(rate))
}

fn flow() -> [Vec<u8>; 2] {
    [set(2, template(256, &[(2, 4)])), set(256, Bytes::default().u32(3))]
}

#[test]
fn options_are_about_the_domain_of_their_scope() {
    // In domain 1, of domain 9; and in domain 0, of domain 2.
    let rows = flows(&[
        of(1, 0, &[options(), said(9, 64)]),
        of(0, 0, &[options(), said(2, 32), said(3, 16)]),
        of(1, 1, &flow()),
        of(2, 0, &flow()),
        of(9, 0, &flow()),
        of(3, 0, &flow()),
    ]);
    assert_eq!(rates(&rows), [None, Some("32"), Some("64"), Some("16")]);
    // Its own, and number 0, which is none.
    for domain in [7, 0] {
        let rows = flows(&[of(7, 0, &[options(), said(domain, 8)]), of(7, 1, &flow())]);
        assert_eq!(rates(&rows), [Some("8")], "{domain}");
    }
}

#[test]
fn domains_that_options_name_are_bounded() {
    let limits = Limits { max_domains: 3, ..Limits::default() };
    let mut decoder = Decoder::new(limits, Carrier::Udp);
    let sets: Vec<Vec<u8>> =
        std::iter::once(options()).chain((2..100).map(|domain| said(domain, 8))).collect();
    decode_with(&mut decoder, &[of(1, 0, &sets)]);
    assert_eq!(decoder.totals().domains_refused, 96);
    assert_eq!(decoder.totals().options, 98);
}

#[test]
fn records_say_their_rate_in_every_way_that_options_do() {
    let probability = 0.01_f64.to_bits();
    let cases = [
        (vec![(309, 4), (310, 4)], Bytes::default().u32(2).u32(4_000), "2000"),
        (vec![(311, 8)], Bytes::default().u64(probability), "100"),
        (vec![(311, 4)], Bytes::default().u32(0.5_f32.to_bits()), "2"),
        (vec![(34, 4), (305, 4)], Bytes::default().u32(0).u32(20), "20"),
        (vec![(34, 4), (305, 4)], Bytes::default().u32(5).u32(20), "5"),
        (vec![(305, 4), (306, 4)], Bytes::default().u32(1).u32(499), "500"),
        (vec![(305, 4), (311, 8)], Bytes::default().u32(0).u64(probability), "100"),
    ];
    for (fields, values, rate) in cases {
        let fields: Vec<(u16, u16)> = std::iter::once((2, 4)).chain(fields).collect();
        let body = Bytes::default().u32(3).put(&values.0);
        let rows = flows(&[ipfix(0, &[set(2, template(256, &fields)), set(256, body)])]);
        assert_eq!(rates(&rows), [Some(rate)], "{fields:?}");
        let packets: u64 = rows[0]["flow.io.packets_scaled"].parse().expect("a number");
        assert_eq!(packets, 3 * rate.parse::<u64>().expect("a number"));
    }
}

#[test]
fn a_record_that_says_no_rate_among_some_that_do_has_its_samplers() {
    // Scope observation domain, sampler 5 of one of 1,000.
    let options =
        Bytes::default().u16(257).u16(3).u16(1).u16(149).u16(4).u16(302).u16(4).u16(34).u16(4);
    let sampler = Bytes::default().u32(7).u32(5).u32(1_000);
    let record = |sampler: u32, rate: u32| Bytes::default().u32(1).u32(sampler).u32(rate).0;
    let records = [record(5, 0), record(5, 10), record(0, 0), record(6, 20), record(5, 0)].concat();
    let mut decoder = decoder();
    let (rows, _) = decode_with(
        &mut decoder,
        &[
            ipfix(0, &[set(3, options), set(257, sampler)]),
            ipfix(
                1,
                &[
                    set(2, template(256, &[(2, 4), (302, 4), (34, 4)])),
                    set(256, Bytes(records)),
                    set(256, Bytes(record(0, 30))),
                ],
            ),
        ],
    );
    assert_eq!(
        rates(&rows),
        [Some("1000"), Some("10"), None, Some("20"), Some("1000"), Some("30")]
    );
    assert_eq!(decoder.totals().sampling_unknown, 1);
}
