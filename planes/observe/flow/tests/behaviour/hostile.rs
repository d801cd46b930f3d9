//! Whatever comes: no panic, bounded memory, and a counter for what was refused.

use std::net::SocketAddr;

use crate::common::*;
use holm_flow::{Batch, Carrier, Decoder, FlowState, Limits};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Decodes and checks that every batch holds together.
fn feed(decoder: &mut Decoder, datagram: &[u8]) {
    let mut emit = |batch: Batch| {
        let (Batch::Flows(batch) | Batch::InterfaceCounters(batch)) = batch;
        assert!(batch.num_rows() > 0);
        // Reads every value of every row.
        rows(&batch);
    };
    decoder.decode(exporter(), NOW_NS, datagram, &mut emit);
    decoder.flush(&mut emit);
}

/// Every datagram that is at hand: made here, and captured where the vectors are.
fn corpus() -> Vec<Vec<u8>> {
    let fields: Vec<(u16, u16)> = (1..=63).map(|element| (element, 4)).collect();
    let many = set(0, template(300, &fields));
    let varied = set(2, template(301, &[(8, 4), (82, 0xffff), (1, 8), (315, 0xffff), (152, 8)]));
    let value = Bytes::default().u32(1).u8(3).put(b"eth").u64(9).u8(255).u16(4).u32(7).u64(1);
    let mut corpus = vec![
        v9(1, &[many, set(300, Bytes(vec![7; 63 * 4 * 3]))]),
        ipfix(1, &[varied, set(301, value)]),
        sflow(1, &[flow_sample(&[header(1, &vxlan())]), flow_sample(&[header(13, &[0; 60])])]),
        netflow_v5(),
    ];
    if let Some(folder) = vectors("flow/telegraf") {
        for entry in std::fs::read_dir(folder).expect("vectors").flatten() {
            if entry.path().is_dir() {
                corpus.extend(datagrams(&entry.path()));
            }
        }
    }
    corpus
}

fn netflow_v5() -> Vec<u8> {
    let head = Bytes::default().u16(5).u16(2).u32(1_000).u32(1_700_000_000).u32(0).u32(1).u32(0);
    head.put(&[3; 96]).0
}

fn vxlan() -> Vec<u8> {
    let ip = |protocol: u8| Bytes::default().u32(0x4500_0060).u32(0).put(&[64, protocol, 0, 0]);
    let outer = ip(17).put(&[10, 0, 0, 1, 10, 0, 0, 2]).u16(5_000).u16(4_789).u32(0);
    let inner = ip(6).put(&[172, 16, 0, 1, 172, 16, 0, 2]).u16(80).u16(81).put(&[0; 16]);
    let tunnel = outer.u32(0x0800_0000).u32(42 << 8).put(&[2; 12]).u16(0x0800).put(&inner.0);
    Bytes::default().put(&[1; 12]).u16(0x0800).put(&tunnel.0).0
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..8) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes.truncate(at),
            // Lengths and counts stand at even places.
            2 if at + 1 < bytes.len() => {
                let lie: u16 = [0, 1, 3, 4, 0x7fff, 0xfffe, 0xffff][rng.random_range(0..7)];
                bytes[at & !1..][..2].copy_from_slice(&lie.to_be_bytes());
            }
            3 => bytes[at] = rng.random(),
            4 => {
                let copy = bytes[at..].to_vec();
                bytes.extend(copy);
                bytes.truncate(65_507);
            }
            _ => drop(bytes.remove(at)),
        }
    }
}

#[test]
fn mutated_datagrams() {
    let corpus = corpus();
    for seed in 0..6_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let limits = Limits { batch_rows: 64, max_all_fields: 4_096, ..Limits::default() };
        let mut decoder = Decoder::new(limits, Carrier::Udp);
        for _ in 0..4 {
            let mut datagram = corpus[rng.random_range(0..corpus.len())].clone();
            // Some as they are, so that templates are known to what is mutated.
            if rng.random_range(0..3) > 0 {
                mutate(&mut datagram, &mut rng);
            }
            feed(&mut decoder, &datagram);
        }
    }
}

#[test]
fn mutated_messages_of_tcp_and_mutated_state() {
    let corpus = corpus();
    for seed in 0..1_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut decoder = Decoder::new(Limits::default(), Carrier::Tcp);
        for datagram in &corpus {
            let mut datagram = datagram.clone();
            if rng.random_range(0..2) == 0 {
                mutate(&mut datagram, &mut rng);
            }
            decoder.decode(exporter(), NOW_NS, &datagram, &mut |_| {});
        }
        let mut json = decoder.export_state().to_json().expect("a document");
        mutate(&mut json, &mut rng);
        if let Ok(state) = FlowState::from_json(&json) {
            let mut other = Decoder::new(Limits::default(), Carrier::Udp);
            other.import_state(&state);
            for datagram in &corpus {
                feed(&mut other, datagram);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..4_usize) {
        let version: &[u8] = [&[0, 5], &[0, 9], &[0, 10], &[0, 0, 0, 5][..]][kind];
        let mut decoder = decoder();
        feed(&mut decoder, &bytes);
        feed(&mut decoder, &[version, bytes.as_slice()].concat());
        prop_assert_eq!(decoder.totals().datagrams, 2);
    }

    /// Any lengths of any elements: what a template says is what its records have.
    #[test]
    fn random_templates(
        fields in proptest::collection::vec((0..512_u16, 0..20_u16), 1..40),
        fill in any::<u8>(),
        n in 1..20_usize,
    ) {
        let length: usize = fields.iter().map(|(_, length)| usize::from(*length)).sum();
        let mut decoder = decoder();
        let body = Bytes(vec![fill; length * n]);
        feed(&mut decoder, &ipfix(0, &[set(2, template(256, &fields)), set(256, body)]));
        let totals = decoder.totals();
        if length == 0 {
            prop_assert_eq!(totals.templates_refused, 1);
        } else {
            prop_assert_eq!((totals.flows, totals.truncated), (n as u64, 0));
        }
    }
}

#[test]
fn a_flood_of_exporters_drives_nobody_out() {
    let limits = Limits { max_exporters: 100, ..Limits::default() };
    let mut decoder = Decoder::new(limits, Carrier::Udp);
    let teach = v9(1, &[set(0, template(256, &[(1, 4)]))]);
    decoder.decode(exporter(), NOW_NS, &teach, &mut |_| {});
    for n in 0..5_000_u32 {
        let from = SocketAddr::from((std::net::Ipv4Addr::from(0x0a00_0000 + n), 2055));
        decoder.decode(from, NOW_NS + i64::from(n), &teach, &mut |_| {});
    }
    assert_eq!(decoder.exporters().len(), 100);
    assert_eq!(decoder.totals().exporters_refused, 5_000 - 99);
    // Half an hour later the silent ones make room, not the one that is there.
    let later = NOW_NS + 31 * 60 * 1_000_000_000;
    decoder.decode(exporter(), later, &v9(2, &[set(256, Bytes(vec![1; 4]))]), &mut |_| {});
    let from = SocketAddr::from(([203, 0, 113, 1], 2055));
    decoder.decode(from, later + 1, &teach, &mut |_| {});
    assert_eq!(decoder.exporters().len(), 2);
    assert_eq!(decoder.totals().flows, 1);
    assert_eq!(decoder.totals().exporters_forgotten, 99);
}

#[test]
fn a_template_bomb_stops_at_its_bounds() {
    let limits = Limits { max_templates: 50, max_all_fields: 1_000, ..Limits::default() };
    let mut decoder = Decoder::new(limits, Carrier::Udp);
    let wide: Vec<(u16, u16)> = vec![(1, 4); 30];
    for id in 256..2_000 {
        decoder.decode(exporter(), NOW_NS, &v9(1, &[set(0, template(id, &wide))]), &mut |_| {});
    }
    assert_eq!(decoder.exporters()[0].templates, 33);
    assert_eq!(decoder.totals().templates_refused, 1_744 - 33);
}

#[test]
fn one_address_leaves_room_for_the_others_whatever_its_ports() {
    let mut decoder = Decoder::new(Limits::default(), Carrier::Udp);
    let wide: Vec<(u16, u16)> = vec![(1, 4); 1_000];
    let flood = |port: u16| SocketAddr::from(([203, 0, 113, 1], port));
    for id in 256..356 {
        let datagram = v9(1, &[set(0, template(id, &wide))]);
        decoder.decode(flood(id), NOW_NS, &datagram, &mut |_| {});
    }
    let held: usize = decoder.exporters().iter().map(|exporter| exporter.templates).sum();
    assert_eq!((held, decoder.totals().templates_refused), (62, 38), "a sixteenth of a million");
    for sequence in 0..2_000_u16 {
        let datagram = v9(u32::from(sequence), &[set(999, Bytes(vec![1; 8]))]);
        decoder.decode(flood(sequence % 7), NOW_NS, &datagram, &mut |_| {});
    }
    assert_eq!((decoder.pending().0, decoder.totals().pending_dropped), (1_024, 976), "a quarter");
    // The other's data waits for its template, and both are taken.
    let (fields, data) = ([(1, 4)], Bytes(vec![0, 0, 0, 9]));
    decoder.decode(exporter(), NOW_NS, &v9(1, &[set(256, data)]), &mut |_| {});
    decoder.decode(exporter(), NOW_NS, &v9(2, &[set(0, template(256, &fields))]), &mut |_| {});
    assert_eq!(decoder.totals().flows, 1);
}

#[test]
fn sets_without_a_template_stop_at_their_bounds() {
    let limits = Limits { max_pending_bytes: 10_000, ..Limits::default() };
    let mut decoder = Decoder::new(limits, Carrier::Udp);
    for id in 0..200_u16 {
        let body = Bytes(vec![1; 1_000]);
        decoder.decode(exporter(), NOW_NS, &v9(u32::from(id), &[set(300 + id, body)]), &mut |_| {});
    }
    assert_eq!(decoder.pending(), (10, 10_000));
    assert_eq!(decoder.totals().pending_dropped, 190);
    decoder.tick(NOW_NS + 31 * 60 * 1_000_000_000);
    assert_eq!((decoder.pending(), decoder.totals().pending_dropped), ((0, 0), 200));
}

#[test]
fn a_direction_that_is_none_spoils_only_its_own_row() {
    let fields = [(1, 4), (61, 1)];
    let body = Bytes::default().u32(5).u8(0).u32(6).u8(200).u32(7).u8(1);
    let rows = flows(&[v9(1, &[set(0, template(256, &fields)), set(256, body)])]);
    let directions: Vec<Option<&str>> =
        rows.iter().map(|row| row.get("network.io.direction").map(String::as_str)).collect();
    assert_eq!(directions, [Some("receive"), None, Some("transmit")]);
}

/// NetFlow v5 of one record that ended when it was sent, by an exporter whose clock says `at_s`.
fn v5_at(at_s: u32, sequence: u32) -> Vec<u8> {
    let head = Bytes::default().u16(5).u16(1).u32(1_000_000).u32(at_s).u32(0).u32(sequence).u32(0);
    let record = Bytes::default().put(&[10, 0, 0, 1, 10, 0, 0, 2]).put(&[0; 8]).u32(1).u32(100);
    let times = record.u32(999_000).u32(1_000_000).put(&[0; 16]);
    head.put(&times.0).0
}

#[test]
fn a_clock_in_the_future_is_counted_and_says_nothing_of_when_a_row_came() {
    let mut decoder = decoder();
    let now_s = (NOW_NS / 1_000_000_000) as u32;
    let ahead = [now_s, now_s + 30, now_s + 31_536_000, u32::MAX];
    let datagrams: Vec<Vec<u8>> = (0..).zip(ahead).map(|(n, at)| v5_at(at, n)).collect();
    let (rows, _) = decode_with(&mut decoder, &datagrams);
    assert_eq!((rows.len(), decoder.totals().times_ahead), (4, 2));
    let received: Vec<&String> = rows.iter().map(|row| &row["flow.time_received"]).collect();
    assert!(received.iter().all(|at| *at == received[0]), "{received:?}");
    assert!(rows[2]["flow.end"] > rows[1]["flow.end"], "what it said stands beside");
}

#[test]
fn lengths_that_lie_are_counted_and_what_is_whole_is_kept() {
    let whole = v9(1, &[set(0, template(256, &[(1, 4)])), set(256, Bytes::default().u32(7))]);
    // A set, a datagram and a number of records that say more than there is.
    let mut long_set = v9(2, &[set(256, Bytes::default().u32(8))]);
    long_set[23] = 200;
    let mut long_message = ipfix(1, &[set(2, template(256, &[(1, 4)]))]);
    long_message[3] = 255;
    let mut many = v5_at(1_700_000_000, 1);
    many[3] = 30;
    let no_length = [v9(3, &[]), vec![1, 0, 0, 0]].concat();
    for (datagram, flows) in
        [(long_set, 2), (long_message, 1), (many, 2), (no_length, 1), (whole[..3].to_vec(), 1)]
    {
        let mut decoder = decoder();
        let (rows, _) = decode_with(&mut decoder, &[whole.clone(), datagram.clone()]);
        let totals = decoder.totals();
        assert_eq!((rows.len(), totals.flows), (flows, flows as u64), "{datagram:?}");
        assert!(totals.truncated + totals.unknown_version > 0, "{datagram:?}: {totals:?}");
    }
}

#[test]
fn a_sequence_that_jumps_is_no_loss_of_millions() {
    let mut decoder = decoder();
    decode_with(&mut decoder, &[v5_at(1_700_000_000, 50), v5_at(1_700_000_000, 1 << 30)]);
    let totals = decoder.totals();
    assert_eq!((totals.sequence_resets, totals.lost_records, totals.flows), (1, 0, 2));
}
