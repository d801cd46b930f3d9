//! Both ways of a flow that one record tells.

use holm_flow::{Batch, Enricher, Network};

use crate::common::*;

fn meant(datagrams: &[Vec<u8>]) -> Vec<Row> {
    let networks =
        [("10.1.0.0/16", "inside"), ("198.51.100.0/24", "outside")].map(|(prefix, name)| Network {
            prefix: prefix.into(),
            name: name.into(),
            ..Network::default()
        });
    let enricher = Enricher::new(&networks, &[], None).expect("networks");
    let mut decoder = decoder();
    let mut all = Vec::new();
    let mut emit = |batch: Batch| {
        if let Batch::Flows(batch) = batch {
            all.extend(rows(&enricher.enrich(batch)));
        }
    };
    for datagram in datagrams {
        decoder.decode(exporter(), NOW_NS, datagram, &mut emit);
    }
    decoder.flush(&mut emit);
    all
}

/// Addresses, ports, interfaces, bytes and rate; the way back by `fields`.
fn biflow_template(back: &[(u16, u16)]) -> Bytes {
    let fields =
        [(8, 4), (12, 4), (7, 2), (11, 2), (10, 4), (14, 4), (1, 4), (6, 1), (5, 1), (34, 4)];
    let head = Bytes::default().u16(256).u16((fields.len() + back.len()) as u16);
    let head = fields.iter().fold(head, |all, (id, length)| all.u16(*id).u16(*length));
    back.iter().fold(head, |all, (id, length)| {
        let all = all.u16(*id).u16(*length);
        if id & 0x8000 == 0 { all } else { all.u32(29305) }
    })
}

fn record(back: u32) -> Bytes {
    let ends = Bytes::default().put(&[10, 1, 2, 3]).put(&[198, 51, 100, 7]).u16(40_000).u16(443);
    ends.u32(3).u32(4).u32(500).u8(0x1b).u8(0xb8).u32(10).u32(back)
}

#[test]
fn the_way_back_is_a_row_of_its_own() {
    let sets =
        [set(2, biflow_template(&[(0x8001, 4)])), set(256, record(70_000).put(&record(0).0))];
    let rows = meant(&[ipfix(0, &sets)]);
    assert_eq!(rows.len(), 3, "nothing came back of the second: {rows:#?}");
    let (there, back) = (&rows[0], &rows[2]);
    assert_eq!(there["flow.biflow"], "forward");
    assert_eq!(there["flow.io.bytes"], "500");
    assert_eq!(there["flow.reverse.io.bytes"], "70000", "as it was exported");
    assert_eq!(back["flow.biflow"], "reverse");
    for (column, value) in [
        ("source.address", "198.51.100.7"),
        ("destination.address", "10.1.2.3"),
        ("source.port", "443"),
        ("destination.port", "40000"),
        ("flow.in.interface.index", "4"),
        ("flow.out.interface.index", "3"),
        ("flow.io.bytes", "70000"),
        ("flow.io.bytes_scaled", "700000"),
        ("source.network.name", "outside"),
        ("destination.network.name", "inside"),
        ("network.type", "ipv4"),
    ] {
        assert_eq!(back[column], value, "{column}");
    }
    // Told of the way there, or not at all.
    for column in ["flow.ip.tos", "flow.tcp_flags", "flow.io.packets", "flow.reverse.io.bytes"] {
        assert_eq!(back.get(column), None, "{column}");
    }
    assert_eq!(rows[1].get("flow.biflow"), None);
}

#[test]
fn what_a_responder_sent_is_the_way_back_too() {
    // IE 232 of Cisco's firewalls, beside 231 for the initiator.
    let rows = meant(&[ipfix(0, &[set(2, biflow_template(&[(232, 4)])), set(256, record(9))])]);
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[1]["flow.io.bytes"].as_str(), rows[1]["source.port"].as_str()), ("9", "443"));
}

#[test]
fn the_way_back_was_counted_where_the_way_there_was() {
    // As they left (1), as they came in (0), and not told.
    let fields = [(61, 1), (0x8001, 4)];
    let there = |direction: u8| {
        let ends = Bytes::default().put(&[10, 1, 2, 3]).put(&[198, 51, 100, 7]);
        let ends = ends.u16(40_000).u16(443).u32(3).u32(4).u32(500).u8(0x1b).u8(0xb8).u32(10);
        ends.u8(direction).u32(9).0
    };
    let body = Bytes([there(1), there(0), there(7)].concat());
    let rows = meant(&[ipfix(0, &[set(2, biflow_template(&fields)), set(256, body)])]);
    let directions: Vec<Option<&str>> =
        rows.iter().map(|row| row.get("network.io.direction").map(String::as_str)).collect();
    let (left, came) = (Some("transmit"), Some("receive"));
    assert_eq!(directions, [left, came, None, left, came, None]);
}

#[test]
fn a_way_there_in_which_nothing_went_is_no_row() {
    let fields = [(8, 4), (12, 4), (1, 4), (2, 4)];
    let back = [(0x8001, 4), (0x8002, 4)];
    let head = Bytes::default().u16(256).u16(6);
    let head = fields.iter().fold(head, |all, (id, length)| all.u16(*id).u16(*length));
    let template = back.iter().fold(head, |all, (id, length)| all.u16(*id).u16(*length).u32(29305));
    let record = |counts: [u32; 4]| {
        let ends = Bytes::default().put(&[10, 1, 2, 3]).put(&[198, 51, 100, 7]);
        counts.iter().fold(ends, |all, count| all.u32(*count)).0
    };
    let records = [
        record([84, 1, 84, 1]),
        // A reply that was told as a flow's way back.
        record([0, 0, 168, 2]),
        // Bytes that were not counted, of a packet that was.
        record([0, 1, 168, 3]),
        // Nothing either way.
        record([0, 0, 0, 0]),
        record([7, 1, 0, 0]),
    ];
    let rows = meant(&[ipfix(0, &[set(2, template), set(256, Bytes(records.concat()))])]);
    let told: Vec<(Option<&str>, &str, &str)> = rows
        .iter()
        .map(|row| {
            let way = row.get("flow.biflow").map(String::as_str);
            (way, row["flow.io.packets"].as_str(), row["source.address"].as_str())
        })
        .collect();
    let (here, there) = ("10.1.2.3", "198.51.100.7");
    assert_eq!(
        told,
        [
            (Some("forward"), "1", here),
            (Some("forward"), "1", here),
            (None, "0", here),
            (None, "1", here),
            (Some("reverse"), "1", there),
            (Some("reverse"), "2", there),
            (Some("reverse"), "3", there),
        ]
    );
}

#[test]
fn uniflows_stay_as_they_are() {
    let rows = meant(&[ipfix(
        0,
        &[set(2, template(256, &[(8, 4), (1, 4)])), set(256, Bytes::default().u32(1).u32(2))],
    )]);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get("flow.biflow"), None);
}
