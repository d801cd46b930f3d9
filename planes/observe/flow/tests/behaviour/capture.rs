//! Captures and raw datagrams as `holm flow decode` reads them.

use std::net::SocketAddr;

use holm_flow::{
    Batch, CaptureError, Carrier, Decoder, Limits, Passed, Raw, read_datagrams, write_json_lines,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::common::{Bytes, NOW_NS, ipfix, set, template, v9};

const EXPORTER: ([u8; 4], u16) = ([192, 0, 2, 1], 5_000);

/// IPv4 and UDP or TCP around a payload, cut into fragments of `most` bytes.
fn packets(protocol: u8, transport: &[u8], most: usize) -> Vec<Vec<u8>> {
    let count = transport.len().div_ceil(most);
    let one = |(index, part): (usize, &[u8])| {
        let more = if index + 1 < count { 0x2000 } else { 0 };
        let place = more | (index * most / 8) as u16;
        let head = Bytes::default().u8(0x45).u8(0).u16(20 + part.len() as u16).u16(77).u16(place);
        head.u8(64).u8(protocol).u16(0).put(&EXPORTER.0).put(&[192, 0, 2, 9]).put(part).0
    };
    transport.chunks(most).enumerate().map(one).collect()
}

fn udp(payload: &[u8], port: u16) -> Vec<u8> {
    let head = Bytes::default().u16(EXPORTER.1).u16(port).u16(payload.len() as u16 + 8).u16(0);
    head.put(payload).0
}

fn tcp(sequence: u32, syn: bool, payload: &[u8]) -> Vec<u8> {
    let head = Bytes::default().u16(EXPORTER.1).u16(4_739).u32(sequence).u32(0);
    head.u16(0x5000 | (u16::from(syn) * 2)).u16(0).u16(0).u16(0).put(payload).0
}

fn ethernet(packet: &[u8]) -> Vec<u8> {
    Bytes::default().put(&[0; 12]).u16(0x8100).u16(5).u16(0x0800).put(packet).0
}

fn pcap(frames: &[Vec<u8>], link: u32, nano: bool) -> Vec<u8> {
    let magic = if nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let head = Bytes::default().u32(magic).u16(2).u16(4).u32(0).u32(0).u32(65_535).u32(link);
    let seconds = (NOW_NS / 1_000_000_000) as u32;
    let frame = |all: Bytes, frame: &Vec<u8>| {
        let length = frame.len() as u32;
        all.u32(seconds).u32(500).u32(length).u32(length).put(frame)
    };
    frames.iter().fold(head, frame).0
}

/// Little-endian, as everybody writes it, with nanoseconds.
fn pcapng(frames: &[Vec<u8>]) -> Vec<u8> {
    let block = |kind: u32, body: Vec<u8>| {
        let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
        let length = (12 + body.len() + padding.len()) as u32;
        [&kind.to_le_bytes()[..], &length.to_le_bytes(), &body, &padding, &length.to_le_bytes()]
            .concat()
    };
    let section =
        [&0x1a2b_3c4d_u32.to_le_bytes()[..], &1_u16.to_le_bytes(), &[0; 2], &[0xff; 8]].concat();
    let interface = [
        &1_u16.to_le_bytes()[..],
        &[0; 2],
        &[0; 4],
        &9_u16.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &[9, 0, 0, 0],
        &[0; 4],
    ];
    let mut file =
        [block(0x0a0d_0d0a, section), block(1, interface.concat()), block(0xbad, vec![1, 2, 3])]
            .concat();
    for frame in frames {
        let (high, low) = ((NOW_NS >> 32) as u32, NOW_NS as u32);
        let length = frame.len() as u32;
        let head: Vec<u8> = [0, high, low, length, length]
            .iter()
            .flat_map(|word: &u32| word.to_le_bytes())
            .collect();
        file.extend(block(6, [head, frame.clone()].concat()));
    }
    file
}

fn lines(
    file: &[u8],
    raw: Raw,
    ports: &[u16],
) -> (Result<Passed, CaptureError>, Vec<serde_json::Value>) {
    let decoder = |carrier| Decoder::new(Limits::default(), carrier);
    let (mut over_udp, mut over_tcp) = (decoder(Carrier::Udp), decoder(Carrier::Tcp));
    let mut text = String::new();
    let mut write = |batch: Batch| match batch {
        Batch::Flows(rows) | Batch::InterfaceCounters(rows) => write_json_lines(&rows, &mut text),
    };
    let passed = read_datagrams(file, raw, ports, &mut |sent| {
        let decoder = if sent.tcp { &mut over_tcp } else { &mut over_udp };
        decoder.decode(sent.from, sent.time_ns, sent.bytes, &mut write);
        decoder.flush(&mut write);
    });
    (passed, text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

/// Template and one record: source address, bytes.
fn messages() -> Vec<Vec<u8>> {
    let fields = template(256, &[(8, 4), (1, 4)]);
    let record = Bytes::default().put(&[10, 0, 0, 1]).u32(1_234);
    vec![v9(1, &[set(0, fields)]), v9(2, &[set(256, record)])]
}

#[test]
fn every_kind_of_file_gives_the_same_lines() {
    let frames: Vec<Vec<u8>> = messages()
        .iter()
        .flat_map(|message| packets(17, &udp(message, 2_055), 16))
        .map(|packet| ethernet(&packet))
        .collect();
    assert!(frames.len() > 4, "in fragments");
    let ip: Vec<Vec<u8>> =
        messages().iter().flat_map(|m| packets(17, &udp(m, 2_055), 1_400)).collect();
    let files =
        [pcap(&frames, 1, false), pcap(&frames, 1, true), pcapng(&frames), pcap(&ip, 101, false)];
    for file in files {
        let (passed, lines) = lines(&file, Raw::One, &[]);
        assert_eq!(passed.expect("a capture").datagrams, 2);
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!((&line["src_addr"], &line["bytes"]), (&"10.0.0.1".into(), &1_234.into()));
        assert_eq!((&line["exporter"], &line["type"]), (&"192.0.2.1".into(), &"netflow_v9".into()));
        assert!(
            line["received"].as_str().is_some_and(|t| t.starts_with("2023-11-14T22:13:20")),
            "{line}"
        );
        assert!(line.get("dst_addr").is_none());
    }
    let prefixed: Vec<u8> =
        messages().iter().flat_map(|m| [&(m.len() as u32).to_be_bytes()[..], m].concat()).collect();
    let (passed, found) = lines(&prefixed, Raw::Prefixed, &[]);
    assert_eq!((passed.expect("read").datagrams, found.len()), (2, 1));
    assert!(found[0].get("received").is_none(), "nobody told when");
    let (passed, _) = lines(&messages()[0], Raw::One, &[]);
    assert_eq!(passed.expect("one datagram").datagrams, 1);
    for cut in 1..prefixed.len() {
        let end = 4 + messages()[0].len();
        let (passed, _) = lines(&prefixed[..cut], Raw::Prefixed, &[]);
        assert_eq!(passed.is_ok(), cut == end, "{cut}");
    }
}

#[test]
fn other_traffic_is_passed_over_and_ports_are_asked_for() {
    let noise = udp(b"\x00\x05 not an export, though it begins so", 53);
    let mut frames: Vec<Vec<u8>> = packets(17, &noise, 1_400);
    frames.extend(packets(1, &[8, 0, 0, 0, 0, 0, 0, 0], 1_400));
    frames.extend(messages().iter().flat_map(|m| packets(17, &udp(m, 9_995), 1_400)));
    let file = pcap(&frames, 101, false);
    let (passed, found) = lines(&file, Raw::One, &[]);
    let passed = passed.expect("a capture");
    assert_eq!((passed.packets, passed.foreign, passed.other, found.len()), (4, 1, 1, 1));
    assert_eq!(lines(&file, Raw::One, &[9_995]).1.len(), 1);
    assert_eq!(lines(&file, Raw::One, &[2_055]).1.len(), 0);
}

#[test]
fn ipfix_over_tcp_comes_out_of_order_and_twice() {
    let fields = template(256, &[(8, 4), (1, 4)]);
    let record = |n: u32| Bytes::default().put(&[10, 0, 0, 1]).u32(n);
    let all = [
        ipfix(0, &[set(2, fields)]),
        ipfix(0, &[set(256, record(1))]),
        ipfix(1, &[set(256, record(2))]),
    ]
    .concat();
    let begin = 0xffff_fff0_u32;
    let mut segments = vec![(0, tcp(begin.wrapping_sub(1), true, &[]))];
    for (index, part) in all.chunks(13).enumerate() {
        let at = (index * 13) as u32;
        segments.push((index ^ 1, tcp(begin.wrapping_add(at), false, part)));
        if index % 3 == 0 {
            segments.push((index + 2, tcp(begin.wrapping_add(at), false, part)));
        }
    }
    segments[1..].sort_by_key(|(order, _)| *order);
    let frames: Vec<Vec<u8>> = segments.iter().flat_map(|(_, s)| packets(6, s, 1_400)).collect();
    let (passed, found) = lines(&pcap(&frames, 101, false), Raw::One, &[]);
    assert_eq!((passed.expect("a capture").segments, found.len()), (0, 2));
    let from: SocketAddr = EXPORTER.into();
    assert!(found.iter().all(|line| line["exporter"] == from.ip().to_string()));
}

#[test]
fn hostile_captures_end_in_order() {
    let frames: Vec<Vec<u8>> = messages()
        .iter()
        .flat_map(|message| packets(17, &udp(message, 2_055), 24))
        .map(|packet| ethernet(&packet))
        .chain(packets(6, &tcp(5, false, &messages()[0]), 16).iter().map(|packet| ethernet(packet)))
        .collect();
    let files = [pcap(&frames, 1, false), pcapng(&frames)];
    for seed in 0..3_000_u64 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut file = files[(seed % 2) as usize].clone();
        for _ in 0..rng.random_range(1..12) {
            let at = rng.random_range(0..file.len());
            match rng.random_range(0..4) {
                0 => file[at] = rng.random(),
                1 => file[at] ^= 1 << rng.random_range(0..8),
                2 => file.truncate(at.max(1)),
                _ => file[at] = 0xff,
            }
        }
        // It ends, and without a panic; what it says of the file may be anything.
        let (passed, _) = lines(&file, if seed % 3 == 0 { Raw::Prefixed } else { Raw::One }, &[]);
        if let Ok(passed) = passed {
            assert!(passed.datagrams <= passed.packets + 64, "seed {seed}: {passed:?}");
        }
    }
}
