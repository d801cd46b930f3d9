//! What the decoder does with templates, options, sampling, sequences and headers.

use crate::common::*;
use holm_flow::{Carrier, Decoder, Limits};

fn one(rows: &[Row]) -> &Row {
    assert_eq!(rows.len(), 1, "{rows:?}");
    &rows[0]
}

#[test]
fn data_before_its_template_waits_for_it() {
    let mut decoder = decoder();
    let data = v9(1, &[set(256, Bytes::default().u32(77).u32(999_000))]);
    assert!(decode_with(&mut decoder, &[data]).0.is_empty());
    assert_eq!(decoder.pending(), (1, 8));
    let teach = v9(2, &[set(0, template(256, &[(1, 4), (21, 4)]))]);
    let (rows, _) = decode_with(&mut decoder, &[teach]);
    let row = one(&rows);
    assert_eq!(row["flow.io.bytes"], "77");
    // Of the message that it came in, not of the one that brought the template.
    assert_eq!(row["flow.sequence_num"], "1");
    assert_eq!(row["flow.end"], (NOW_NS - 1_000_000_000).to_string());
    assert_eq!((decoder.pending(), decoder.totals().sets_replayed), ((0, 0), 1));
}

#[test]
fn templates_are_of_one_exporter_port_and_domain() {
    let mut decoder = decoder();
    let mut rows = 0;
    let mut emit = |batch| {
        let (holm_flow::Batch::Flows(b) | holm_flow::Batch::InterfaceCounters(b)) = batch;
        rows += b.num_rows();
    };
    let teach = v9(1, &[set(0, template(256, &[(1, 4)]))]);
    let data = v9(2, &[set(256, Bytes::default().u32(1))]);
    let mut other_domain = data.clone();
    other_domain[19] = 8;
    let other_port = std::net::SocketAddr::new(exporter().ip(), 9_999);
    decoder.decode(exporter(), NOW_NS, &teach, &mut emit);
    decoder.decode(other_port, NOW_NS, &data, &mut emit);
    decoder.decode(exporter(), NOW_NS, &other_domain, &mut emit);
    decoder.flush(&mut emit);
    assert_eq!(decoder.totals().sets_before_template, 2);
    decoder.decode(exporter(), NOW_NS, &data, &mut |_| {});
    assert_eq!(decoder.totals().flows, 1);
    assert_eq!(rows, 0);
}

#[test]
fn each_sampler_has_its_rate_and_counts_are_scaled_by_it() {
    // Options: scope system, sampler id, random interval.
    let options =
        Bytes::default().u16(257).u16(4).u16(8).u16(1).u16(4).u16(48).u16(1).u16(50).u16(4);
    let rates = Bytes::default().u32(0).u8(1).u32(100).u32(0).u8(2).u32(1_000);
    let body = Bytes::default().u32(10).u8(1).u32(10).u8(2).u32(10).u8(3);
    let mut decoder = decoder();
    let (rows, _) = decode_with(
        &mut decoder,
        &[
            v9(1, &[set(1, options), set(0, template(256, &[(1, 4), (48, 1)]))]),
            v9(2, &[set(257, rates)]),
            v9(3, &[set(256, body)]),
        ],
    );
    let scaled: Vec<&str> = rows.iter().map(|row| row["flow.io.bytes_scaled"].as_str()).collect();
    assert_eq!(scaled, ["1000", "10000", "10"]);
    let told: Vec<Option<&String>> = rows.iter().map(|row| row.get("flow.sampling_rate")).collect();
    assert_eq!(told, [Some(&"100".to_owned()), Some(&"1000".to_owned()), None]);
    assert_eq!((decoder.totals().options, decoder.totals().sampling_unknown), (2, 1));
}

#[test]
fn what_no_sampler_took_and_what_says_no_rate_goes_by_its_domain() {
    // One sampler, and flows that none took.
    let options =
        Bytes::default().u16(257).u16(4).u16(8).u16(1).u16(4).u16(48).u16(1).u16(50).u16(4);
    let rows = flows(&[
        v9(1, &[set(1, options), set(0, template(256, &[(1, 4), (48, 1)]))]),
        v9(2, &[set(257, Bytes::default().u32(0).u8(5).u32(1_000))]),
        v9(3, &[set(256, Bytes::default().u32(10).u8(0))]),
    ]);
    assert_eq!(one(&rows)["flow.io.bytes_scaled"], "10", "not by the only sampler's rate");
    // The domain's rate, beside a record that says 0 and one of a sampler that nobody told of.
    let domain = || {
        let options = Bytes::default().u16(257).u16(2).u16(1).u16(149).u16(4).u16(34).u16(4);
        ipfix(0, &[set(3, options), set(257, Bytes::default().u32(7).u32(100))])
    };
    for (field, value) in [((34, 4), Bytes::default().u32(0)), ((48, 1), Bytes::default().u8(3))] {
        let body = Bytes::default().u32(5).put(&value.0);
        let fields = [(1, 4), field];
        let rows = flows(&[domain(), ipfix(1, &[set(2, template(256, &fields)), set(256, body)])]);
        assert_eq!(one(&rows)["flow.sampling_rate"], "100", "{field:?}");
        assert_eq!(one(&rows)["flow.io.bytes_scaled"], "500", "{field:?}");
    }
}

#[test]
fn records_that_were_overtaken_are_not_lost() {
    let mut decoder = decoder();
    let message = |sequence: u32| {
        ipfix(
            sequence,
            &[set(2, template(256, &[(1, 4)])), set(256, Bytes::default().u32(9).u32(8))],
        )
    };
    let (rows, _) = decode_with(&mut decoder, &[message(0), message(4), message(2), message(6)]);
    assert_eq!(rows.len(), 8);
    assert_eq!((decoder.totals().lost_records, decoder.totals().reordered), (0, 1));
    decode_with(&mut decoder, &[message(2)]);
    assert_eq!(
        (decoder.totals().lost_records, decoder.totals().reordered),
        (0, 2),
        "it came twice"
    );
}

#[test]
fn an_explicit_null_is_a_label_and_padding_is_none() {
    let fields = [(70, 3), (71, 3), (72, 3)];
    for (entries, labels) in [
        ([0, 300 << 4 | 1, 0], Some("0,300")),
        ([100 << 4, 0, 200 << 4 | 1], Some("100,0,200")),
        ([1, 0, 0], Some("0")),
        ([100 << 4 | 1, 200 << 4, 0], Some("100")),
        ([0, 0, 0], None),
    ] {
        let body = entries
            .iter()
            .fold(Bytes::default(), |body, entry: &u32| body.put(&entry.to_be_bytes()[1..]));
        let rows = flows(&[ipfix(0, &[set(2, template(256, &fields)), set(256, body)])]);
        assert_eq!(one(&rows).get("flow.mpls.labels").map(String::as_str), labels, "{entries:?}");
    }
}

#[test]
fn rates_told_as_intervals_populations_and_probabilities() {
    let probability = 0.01_f64.to_bits();
    let cases = [
        (vec![(305, 4), (306, 4)], Bytes::default().u32(1).u32(499), "500"),
        (vec![(309, 4), (310, 4)], Bytes::default().u32(2).u32(4_000), "2000"),
        (vec![(311, 8)], Bytes::default().u64(probability), "100"),
        (vec![(34, 4)], Bytes::default().u32(64), "64"),
    ];
    for (fields, values, rate) in cases {
        let count = fields.len() as u16 + 1;
        let head = Bytes::default().u16(257).u16(count).u16(1).u16(149).u16(4);
        let options = fields.iter().fold(head, |b, (e, n): &(u16, u16)| b.u16(*e).u16(*n));
        let told = Bytes::default().u32(7).put(&values.0);
        let rows = flows(&[
            ipfix(0, &[set(3, options), set(257, told)]),
            ipfix(1, &[set(2, template(256, &[(2, 4)])), set(256, Bytes::default().u32(3))]),
        ]);
        assert_eq!(one(&rows)["flow.sampling_rate"], rate);
    }
}

#[test]
fn names_of_interfaces_applications_and_vrfs_come_from_options() {
    let interface = Bytes::default().u16(257).u16(2).u16(1).u16(10).u16(4).u16(82).u16(8);
    let application = Bytes::default().u16(258).u16(2).u16(1).u16(95).u16(4).u16(96).u16(0xffff);
    let vrf = Bytes::default().u16(259).u16(2).u16(1).u16(234).u16(4).u16(236).u16(8);
    let fields = [(10, 4), (14, 4), (95, 4), (234, 4)];
    let rows = flows(&[
        ipfix(0, &[set(3, interface), set(3, application), set(3, vrf)]),
        ipfix(0, &[set(257, Bytes::default().u32(3).put(b"Te0/0/3\0"))]),
        ipfix(1, &[set(258, Bytes::default().u32(0x0300_0050).u8(4).put(b"http"))]),
        ipfix(2, &[set(259, Bytes::default().u32(9).put(b"blue\0\0\0\0"))]),
        ipfix(
            3,
            &[
                set(2, template(256, &fields)),
                set(256, Bytes::default().u32(3).u32(4).u32(0x0300_0050).u32(9)),
            ],
        ),
    ]);
    let row = one(&rows);
    assert_eq!(row["flow.in.interface.name"], "Te0/0/3");
    assert_eq!(row.get("flow.out.interface.name"), None);
    assert_eq!(row["flow.application.name"], "http");
    assert_eq!(row["flow.application.id"], ((3_u64 << 56) | 80).to_string());
    assert_eq!(row["flow.in.vrf.name"], "blue");
}

#[test]
fn names_in_records_are_theirs_and_others_keep_those_of_options() {
    let interface = Bytes::default().u16(257).u16(2).u16(1).u16(10).u16(4).u16(82).u16(8);
    let fields = [(10, 4), (14, 4), (82, 8), (82, 8), (96, 0xffff), (236, 4)];
    let record = |in_index, first: &[u8; 8], second: &[u8; 8], application: &[u8]| {
        let names = Bytes::default().u32(in_index).u32(4).put(first).put(second);
        names.u8(application.len() as u8).put(application).put(b"red\0").0
    };
    let records = [
        record(3, b"\0\0\0\0\0\0\0\0", b"uplink\0\0", b"dns"),
        record(3, b"own-name", b"\0\0\0\0\0\0\0\0", b""),
    ];
    let rows = flows(&[
        ipfix(0, &[set(3, interface), set(257, Bytes::default().u32(3).put(b"Te0/0/3\0"))]),
        ipfix(
            1,
            &[set(2, template(256, &fields)), set(256, Bytes::default().put(&records.concat()))],
        ),
    ]);
    let [first, second] = &rows[..] else { panic!("two rows: {rows:?}") };
    assert_eq!(first["flow.in.interface.name"], "Te0/0/3", "its own is empty");
    assert_eq!(first["flow.out.interface.name"], "uplink");
    assert_eq!(first["flow.application.name"], "dns");
    assert_eq!(second["flow.in.interface.name"], "own-name");
    assert_eq!(second.get("flow.out.interface.name"), None);
    assert_eq!(second.get("flow.application.name"), None);
    assert_eq!(second["flow.in.vrf.name"], "red");
}

#[test]
fn state_survives_a_restart_and_what_is_learnt_since_wins() {
    let interface = Bytes::default().u16(257).u16(2).u16(1).u16(10).u16(4).u16(82).u16(4);
    let mut before = decoder();
    decode_with(
        &mut before,
        &[
            ipfix(0, &[set(3, interface), set(257, Bytes::default().u32(3).put(b"eth3"))]),
            ipfix(
                1,
                &[set(2, template(256, &[(10, 4), (1, 4)])), set(2, template(300, &[(1, 4)]))],
            ),
        ],
    );
    let json = before.export_state().to_json().expect("a document");
    let state = holm_flow::FlowState::from_json(&json).expect("the same document");
    let mut after = decoder();
    decode_with(&mut after, &[ipfix(1, &[set(2, template(300, &[(2, 4)]))])]);
    after.import_state(&state);
    let data =
        ipfix(1, &[set(256, Bytes::default().u32(3).u32(50)), set(300, Bytes::default().u32(60))]);
    let (rows, _) = decode_with(&mut after, &[data]);
    assert_eq!(rows[0]["flow.in.interface.name"], "eth3");
    assert_eq!(rows[0]["flow.io.bytes"], "50");
    assert_eq!(rows[1]["flow.io.packets"], "60");
    assert_eq!(after.totals().sets_before_template, 0);
    let other = String::from_utf8(json).expect("text").replace("\"version\":1", "\"version\":2");
    assert!(holm_flow::FlowState::from_json(other.as_bytes()).is_err());
}

#[test]
fn withdrawals_are_obeyed_over_tcp_and_not_over_udp() {
    let teach = ipfix(0, &[set(2, template(256, &[(1, 4)]))]);
    let withdraw = ipfix(0, &[set(2, Bytes::default().u16(256).u16(0))]);
    let data = ipfix(0, &[set(256, Bytes::default().u32(1))]);
    for (carrier, rows, ignored) in [(Carrier::Udp, 1, 1), (Carrier::Tcp, 0, 0)] {
        let mut decoder = Decoder::new(Limits::default(), carrier);
        let all = [teach.clone(), withdraw.clone(), data.clone()];
        assert_eq!(decode_with(&mut decoder, &all).0.len(), rows);
        assert_eq!(decoder.totals().withdrawals_ignored, ignored);
    }
}

#[test]
fn lost_datagrams_and_lost_records_are_counted_by_the_sequence() {
    let mut decoder = decoder();
    let teach = v9(10, &[set(0, template(256, &[(1, 4)]))]);
    decode_with(&mut decoder, &[teach, v9(11, &[]), v9(15, &[]), v9(13, &[]), v9(16, &[])]);
    let totals = decoder.totals();
    assert_eq!((totals.lost_datagrams, totals.reordered), (2, 1));
    // IPFIX counts records: two in the first message, so 102 is due and 107 comes.
    let mut decoder = self::decoder();
    let two = set(256, Bytes::default().u32(1).u32(2));
    decode_with(
        &mut decoder,
        &[ipfix(100, &[set(2, template(256, &[(1, 4)])), two]), ipfix(107, &[])],
    );
    assert_eq!(decoder.totals().lost_records, 5);
    // sFlow counts datagrams, NetFlow v5 flows.
    let mut decoder = self::decoder();
    decode_with(&mut decoder, &[sflow(1, &[]), sflow(4, &[])]);
    assert_eq!(decoder.totals().lost_datagrams, 2);
    let v5 = |sequence: u32| {
        let head = Bytes::default().u16(5).u16(1).u32(0).u32(1_700_000_000).u32(0).u32(sequence);
        head.u32(0).put(&[0; 48]).0
    };
    decode_with(&mut decoder, &[v5(50), v5(55)]);
    assert_eq!(decoder.totals().lost_records, 4);
}

#[test]
fn times_in_microseconds_nat_mpls_and_ttl() {
    // NTP format: 2023-11-14T22:13:20.5Z.
    let ntp = ((1_700_000_000_u64 + 2_208_988_800) << 32) | 0x8000_0000;
    let fields =
        [(154, 8), (161, 4), (225, 4), (227, 2), (70, 3), (71, 3), (72, 3), (192, 1), (245, 2)];
    let body = Bytes::default().u64(ntp).u32(250).put(&[198, 51, 100, 7]).u16(61_000);
    let labels = [0x00, 0x3e, 0x80, 0x00, 0x7d, 0x01, 0, 0, 0];
    let rows = flows(&[ipfix(
        0,
        &[set(2, template(256, &fields)), set(256, body.put(&labels).u8(63).u16(12))],
    )]);
    let row = one(&rows);
    assert_eq!(row["flow.start"], (NOW_NS + 500_000_000).to_string());
    assert_eq!(row["flow.end"], (NOW_NS + 750_000_000).to_string());
    assert_eq!(row["source.nat.address"], "198.51.100.7");
    assert_eq!(row["source.nat.port"], "61000");
    assert_eq!(row["flow.mpls.labels"], "1000,2000");
    assert_eq!((row["flow.ip.ttl"].as_str(), row["flow.vlan.inner_id"].as_str()), ("63", "12"));
}

fn ipv4(protocol: u8, from: [u8; 4], to: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let head = Bytes::default().u32(0x4500_0000).u32(0).put(&[64, protocol, 0, 0]);
    head.put(&from).put(&to).put(payload).0
}

fn tcp() -> Vec<u8> {
    Bytes::default().u16(1_234).u16(443).u64(0).u16(0x5012).put(&[0; 6]).0
}

#[test]
fn the_outer_tuple_is_the_rows_own_and_the_inner_one_stands_beside_it() {
    let inner = ipv4(6, [172, 16, 0, 1], [172, 16, 0, 2], &tcp());
    let frame = |kind: u16, body: &[u8]| Bytes::default().put(&[2; 12]).u16(kind).put(body).0;
    let vxlan = Bytes::default().u16(5_555).u16(4_789).u32(0).u32(0x0800_0000).u32(42 << 8);
    let vxlan = vxlan.put(&frame(0x0800, &inner)).0;
    let gre = Bytes::default().u16(0x2000).u16(0x0800).u32(77).put(&inner).0;
    let cases = [
        (ipv4(17, [10, 0, 0, 1], [10, 0, 0, 2], &vxlan), "vxlan", Some("42")),
        (ipv4(47, [10, 0, 0, 1], [10, 0, 0, 2], &gre), "gre", Some("77")),
        (ipv4(4, [10, 0, 0, 1], [10, 0, 0, 2], &inner), "ipv4", None),
    ];
    for (packet, kind, id) in cases {
        // Two tags, the outer one of a provider.
        let tagged = Bytes::default().u16(100).u16(0x8100).u16(200).u16(0x0800).put(&packet).0;
        let rows = flows(&[sflow(1, &[flow_sample(&[header(1, &frame(0x88a8, &tagged))])])]);
        let row = one(&rows);
        assert_eq!(row["source.address"], "10.0.0.1");
        assert_eq!(row["flow.inner.source.address"], "172.16.0.1");
        assert_eq!(row["flow.inner.destination.port"], "443");
        assert_eq!(row["flow.inner.ip.protocol"], "6");
        assert_eq!(row["flow.tunnel.type"], kind);
        assert_eq!(row.get("flow.tunnel.id").map(String::as_str), id);
        assert_eq!(
            (row["flow.vlan.id"].as_str(), row["flow.vlan.inner_id"].as_str()),
            ("100", "200")
        );
        assert_eq!(row["flow.io.bytes_scaled"], (1_500 * 512).to_string());
        assert_eq!(row["network.io.direction"], "receive");
    }
}

#[test]
fn header_protocols_of_sflow() {
    let ip = ipv4(6, [10, 1, 1, 1], [10, 1, 1, 2], &tcp());
    let labelled = Bytes::default().u32(16 << 12).u32((17 << 12) | 0x100).put(&ip).0;
    let ppp = Bytes::default().put(&[0xff, 3, 0, 0x21]).put(&ip).0;
    let wifi = Bytes::default().u16(0x0801).u16(0).put(&[3; 18]).u16(0);
    let wifi = wifi.put(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]).put(&ip).0;
    let snap = Bytes::default().put(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]).put(&ip).0;
    let behind = |head: &[u8]| Bytes::default().put(head).put(&snap).0;
    let macs = [2; 12];
    let ring = [&[0x10, 0x40][..], &[2; 6], &[0x82, 2, 2, 2, 2, 2], &[6, 0, 1, 1, 2, 2]].concat();
    let plain = [&[0x10, 0x40][..], &macs].concat();
    let bus = [&[0x50][..], &macs].concat();
    let amsdu = [&macs[..], &[0, 48]].concat();
    let ampdu = [&[0, 0, 0, 0x4e][..], &wifi].concat();
    let relay = |head: &[u8]| Bytes::default().put(&[0x18, 0x41]).put(head).put(&ip).0;
    let all = [
        (11, ip.clone()),
        (13, labelled),
        (7, ppp),
        (15, wifi),
        (2, behind(&bus)),
        (3, behind(&plain)),
        (3, behind(&ring)),
        (4, behind(&bus)),
        (4, snap.clone()),
        (5, relay(&[8, 0])),
        (5, relay(&[3, 0xcc])),
        (5, relay(&[3, 0, 0x80, 0, 0, 0, 8, 0])),
        (6, Bytes::default().put(&[0x10, 0, 0]).put(&ip).0),
        (6, Bytes::default().put(&[0x10, 0, 0, 0xcc]).put(&ip).0),
        (8, behind(&[0; 36])),
        (9, snap.clone()),
        (10, ip.clone()),
        (16, ampdu),
        (17, behind(&amsdu)),
    ];
    for (protocol, bytes) in all {
        let rows = flows(&[sflow(1, &[flow_sample(&[header(protocol, &bytes)])])]);
        let row = one(&rows);
        assert_eq!(row["source.address"], "10.1.1.1", "protocol {protocol}");
        assert_eq!(row["flow.tcp_flags"], "18");
        let labels = row.get("flow.mpls.labels").map(String::as_str);
        assert_eq!(labels, (protocol == 13).then_some("16,17"));
    }
    let mut decoder = decoder();
    let unread = sflow(1, &[flow_sample(&[header(18, &[0; 64])])]);
    let (rows, _) = decode_with(&mut decoder, &[unread]);
    assert_eq!(one(&rows)["flow.io.bytes"], "1500");
    assert_eq!(decoder.totals().headers_unread, 1);
}

#[test]
fn what_an_agent_knows_of_a_packets_way() {
    let router = (1_002, Bytes::default().u32(1).put(&[10, 9, 9, 9]).u32(24).u32(16).0);
    let gateway = Bytes::default().u32(1).put(&[10, 8, 8, 8]).u32(64_500).u32(64_501).u32(64_502);
    let gateway = gateway.u32(1).u32(2).u32(2).u32(64_503).u32(64_504).u32(0).u32(100);
    let nat = Bytes::default().u32(1).put(&[1, 1, 1, 1]).u32(2).put(&[7; 16]);
    let ip = Bytes::default().u32(60).u32(17).put(&[10, 0, 0, 1, 10, 0, 0, 2]).u32(53).u32(5_353);
    let records =
        [(3, ip.u32(0).u32(8).0), router, (1_003, gateway.0), (1_007, nat.0), (4_000, vec![])];
    let mut decoder = decoder();
    let (rows, _) = decode_with(&mut decoder, &[sflow(1, &[flow_sample(&records)])]);
    let row = one(&rows);
    for (name, value) in [
        ("source.address", "10.0.0.1"),
        ("destination.port", "5353"),
        ("network.transport", "udp"),
        ("flow.io.bytes", "60"),
        ("flow.io.packets", "1"),
        ("flow.ip.dscp", "2"),
        ("flow.next_hop.address", "10.9.9.9"),
        ("source.prefix_length", "24"),
        ("flow.bgp.next_hop.address", "10.8.8.8"),
        ("source.as.number", "64501"),
        ("flow.bgp.previous.as.number", "64502"),
        ("flow.bgp.next.as.number", "64503"),
        ("destination.as.number", "64504"),
        ("source.nat.address", "1.1.1.1"),
    ] {
        assert_eq!(row[name], value, "{name}");
    }
    assert_eq!(decoder.totals().formats_skipped, 1);
    assert_eq!(decoder.totals().truncated, 0);
}

#[test]
fn every_column_is_described() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/flow.md");
    let page = std::fs::read_to_string(page).expect("the plane's page");
    for schema in [holm_flow::flow_schema(), holm_flow::interface_counter_schema()] {
        for field in schema.fields() {
            assert!(page.contains(&format!("`{}`", field.name())), "{} is missing", field.name());
        }
    }
    for (counter, _) in holm_flow::Counters::default().each() {
        assert!(page.contains(&format!("`{counter}`")), "{counter} is missing");
    }
}

#[test]
fn several_ipfix_messages_may_come_in_one_datagram() {
    let teach = || set(2, template(256, &[(1, 4)]));
    let first = ipfix(0, &[teach(), set(256, Bytes::default().u32(1))]);
    let second = ipfix(1, &[set(256, Bytes::default().u32(2).u32(3))]);
    let mut decoder = decoder();
    let (rows, _) = decode_with(&mut decoder, &[[first.clone(), second].concat()]);
    let bytes: Vec<&str> = rows.iter().map(|row| row["flow.io.bytes"].as_str()).collect();
    assert_eq!(bytes, ["1", "2", "3"]);
    let counted = decoder.totals();
    assert_eq!((counted.datagrams, counted.lost_records, counted.unknown_version), (1, 0, 0));
    // What stands behind a message and is none is counted.
    decode_with(&mut decoder, &[[first, vec![0, 0, 0]].concat()]);
    assert_eq!(decoder.totals().unknown_version, 1);
}

#[test]
fn netflow_tells_icmp_in_the_port() {
    let fields = [(4, 1), (11, 2)];
    let body = Bytes::default().u8(1).u16(0x0800).u8(1).u16(0).u8(6).u16(0x0800).u8(58).u16(0x8000);
    let rows = flows(&[v9(1, &[set(0, template(256, &fields)), set(256, body)])]);
    let icmp = |row: &Row| {
        let word = |name: &str| row.get(name).cloned().unwrap_or_default();
        (word("flow.icmp.type"), word("flow.icmp.code"))
    };
    let told: Vec<_> = rows.iter().map(icmp).collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(told, [pair("8", "0"), pair("", ""), pair("", ""), pair("128", "0")]);
    // IPFIX has fields for them: its port is a port.
    let body = Bytes::default().u8(1).u16(0x0800);
    let rows = flows(&[ipfix(0, &[set(2, template(256, &fields)), set(256, body)])]);
    assert_eq!(icmp(&rows[0]), pair("", ""));
}
