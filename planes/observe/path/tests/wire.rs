//! Probes as bytes, replies that quote them, and what else arrives.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use holm_path::socket::{Matched, Matching};
use holm_path::wire::{
    Answer, FlowKey, Identity, Meaning, Packet, Protocol, build, ones_complement, parse_extensions,
    parse_icmp_v4, parse_icmp_v6, parse_tcp,
};
use proptest::prelude::*;

fn packet(protocol: Protocol, v6: bool, ttl: u8, token: u16, nonce: u64) -> Packet {
    let (source, target) =
        if v6 { ("2001:db8::1", "2001:db8::2") } else { ("192.0.2.1", "192.0.2.2") };
    Packet {
        protocol,
        source: source.parse().expect("valid"),
        target: target.parse().expect("valid"),
        target_port: 33_434,
        ttl,
        traffic_class: 0,
        flow: FlowKey { port: 12_345, checksum: 0xbeef, label: 0x54321 },
        identity: Identity { token, nonce },
    }
}

/// What a router sends that quotes `length` bytes of a probe.
fn error(probe: &[u8], v6: bool, length: usize) -> Vec<u8> {
    let quoted = &probe[..length.min(probe.len())];
    if v6 {
        return [&[3, 0, 0, 0, 0, 0, 0, 0], quoted].concat();
    }
    let header = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 198, 51, 100, 1, 192, 0, 2, 1];
    [&header[..], &[11, 0, 0, 0, 0, 0, 0, 0], quoted].concat()
}

fn heard(datagram: &[u8], v6: bool) -> Option<holm_path::wire::Heard> {
    if v6 { parse_icmp_v6(datagram, Ipv6Addr::LOCALHOST) } else { parse_icmp_v4(datagram) }
}

/// The transport checksum over a whole packet, which is zero when it is right.
fn transport_sum(packet: &Packet, bytes: &[u8]) -> u16 {
    let v6 = packet.target.is_ipv6();
    let (addresses, segment) =
        if v6 { (&bytes[8..40], &bytes[40..]) } else { (&bytes[12..20], &bytes[20..]) };
    let mut pseudo = addresses.to_vec();
    pseudo.extend((segment.len() as u16).to_be_bytes());
    pseudo.extend([0, packet.protocol.number(v6)]);
    let start =
        if packet.protocol == Protocol::Icmp && !v6 { 0 } else { ones_complement(0, &pseudo) };
    !ones_complement(start, segment)
}

fn protocols() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Icmp), Just(Protocol::Udp), Just(Protocol::Tcp)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn checksums_are_right_and_a_flow_is_the_same_in_every_probe(
        protocol in protocols(), v6: bool, ttl in 1_u8..64, token in 1_u16.., nonce: u64, other: (u8, u16, u64)
    ) {
        let packet = packet(protocol, v6, ttl, token, nonce);
        let bytes = build(&packet).expect("one family");
        prop_assert_eq!(transport_sum(&packet, &bytes), 0);
        let another = Packet {
            ttl: other.0.max(1), identity: Identity { token: other.1.max(1), nonce: other.2 }, ..packet
        };
        let another = build(&another).expect("one family");
        // What routers may balance by: addresses, protocol, flow label, class, and the first four bytes.
        let (at, fixed) = if v6 { (40, [0..7, 8..40]) } else { (20, [0..4, 9..10]) };
        for range in fixed {
            prop_assert_eq!(&bytes[range.clone()], &another[range]);
        }
        prop_assert_eq!(&bytes[at..at + 4], &another[at..at + 4]);
    }

    #[test]
    fn a_quoted_probe_is_found_and_no_other(
        protocol in protocols(), v6: bool, token in 1_u16.., nonce: u64, quoted in 28_usize..80
    ) {
        let sent = packet(protocol, v6, 3, token, nonce);
        let near = packet(protocol, v6, 4, token.wrapping_add(1).max(1), nonce.wrapping_add(1));
        let mut matching = Matching::default();
        prop_assert!(matching.remember(&sent, 1, 10, Duration::ZERO));
        prop_assert!(!matching.remember(&sent, 2, 10, Duration::ZERO), "its key is taken");
        prop_assume!(near.identity.token != token);
        prop_assert!(matching.remember(&near, 2, 20, Duration::ZERO));
        let least = if v6 { 48 } else { 28 };
        for (probe, trace, number) in [(sent, 1, 10), (near, 2, 20)] {
            let bytes = build(&probe).expect("one family");
            let heard = heard(&error(&bytes, v6, quoted.max(least)), v6).expect("an answer");
            let found = Matched::Probe { trace, number, rewritten: false };
            prop_assert_eq!(matching.find(&heard), found);
        }
        let forged = packet(protocol, v6, 3, token, nonce ^ (1 << 40));
        if protocol != Protocol::Tcp {
            let bytes = build(&forged).expect("one family");
            let heard = heard(&error(&bytes, v6, 80), v6).expect("an answer");
            prop_assert_eq!(matching.find(&heard), Matched::Forged);
        }
        matching.forget(1);
        prop_assert_eq!(matching.len(), 1);
    }

    #[test]
    fn anything_that_arrives_is_read_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 0_usize..600, at in 0_usize..100, value: u8
    ) {
        let from: IpAddr = "2001:db8::1".parse().expect("valid");
        for datagram in [&bytes[..], &bytes[..cut.min(bytes.len())]] {
            let _ = parse_icmp_v4(datagram);
            let _ = parse_icmp_v6(datagram, Ipv6Addr::LOCALHOST);
            let _ = (parse_tcp(datagram, from), parse_tcp(datagram, IpAddr::from([192, 0, 2, 1])));
            let extensions = parse_extensions(datagram);
            prop_assert!(extensions.labels.len() <= 16 && extensions.interfaces.len() <= 16);
        }
        // Near misses of real answers reach deeper.
        for v6 in [false, true] {
            let probe = build(&packet(Protocol::Udp, v6, 1, 7, 7)).expect("one family");
            let mut datagram = error(&probe, v6, 80);
            datagram.extend(&bytes);
            let last = datagram.len() - 1;
            datagram[at.min(last)] = value;
            let _ = heard(&datagram[..cut.min(datagram.len())], v6);
            let _ = heard(&datagram, v6);
        }
    }
}

#[test]
fn a_nat_on_the_way_is_seen_in_the_checksum() {
    let sent = packet(Protocol::Udp, false, 3, 777, 5);
    let mut matching = Matching::default();
    assert!(matching.remember(&sent, 1, 1, Duration::ZERO));
    let mut bytes = build(&sent).expect("one family");
    bytes[26] ^= 0x55;
    let heard = heard(&error(&bytes, false, 80), false).expect("an answer");
    assert_eq!(matching.find(&heard), Matched::Probe { trace: 1, number: 1, rewritten: true });
}

#[test]
fn what_targets_answer_is_matched() {
    let mut matching = Matching::default();
    let echo = packet(Protocol::Icmp, true, 9, 77, 5);
    assert!(matching.remember(&echo, 1, 1, Duration::ZERO));
    let mut reply = build(&echo).expect("one family")[40..].to_vec();
    reply[0] = 129;
    let IpAddr::V6(target) = echo.target else { panic!("IPv6") };
    let found = |heard| matching.find(&heard);
    let is = Matched::Probe { trace: 1, number: 1, rewritten: false };
    assert_eq!(parse_icmp_v6(&reply, target).map(found), Some(is));
    reply[8] ^= 1;
    assert_eq!(parse_icmp_v6(&reply, target).map(found), Some(Matched::Forged));
    assert_eq!(parse_icmp_v6(&reply, Ipv6Addr::LOCALHOST).map(found), Some(Matched::Foreign));

    let syn = packet(Protocol::Tcp, true, 9, 78, 5);
    assert!(matching.remember(&syn, 2, 2, Duration::ZERO));
    let sequence = syn.identity.sequence().wrapping_add(1).to_be_bytes();
    let mut segment = [0; 20];
    segment[..4].copy_from_slice(&[0x82, 0x9a, 0x30, 0x39]);
    segment[8..12].copy_from_slice(&sequence);
    for (flags, answers) in [(0x12, true), (0x14, true), (0x10, false), (0x02, false)] {
        segment[13] = flags;
        let found = parse_tcp(&segment, syn.target).map(|heard| matching.find(&heard));
        let is = Matched::Probe { trace: 2, number: 2, rewritten: false };
        assert_eq!(found, answers.then_some(is), "{flags:x}");
    }
}

/// The packets of a capture from their IP header on.
fn packets(capture: &[u8]) -> Vec<Vec<u8>> {
    let little = capture.starts_with(&[0xd4, 0xc3, 0xb2, 0xa1]);
    let word = |at: usize| -> Option<u32> {
        let bytes: [u8; 4] = capture.get(at..at + 4)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let skip = match word(20) {
        Some(1) => 14,
        Some(0 | 9) => 4,
        Some(113) => 16,
        _ => 0,
    };
    let mut at = 24;
    let mut packets = Vec::new();
    while let Some(length) = word(at + 8).map(|length| length as usize) {
        let Some(frame) = capture.get(at + 16..at + 16 + length) else { break };
        at += 16 + length;
        packets.push(frame.get(skip..).unwrap_or_default().to_vec());
    }
    packets
}

#[test]
fn real_and_hostile_captures_are_read() {
    let vectors = std::env::var_os("HOLM_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/vectors"),
        PathBuf::from,
    );
    let Ok(folder) = std::fs::read_dir(vectors.join("wire/tcpdump")) else {
        println!("skipped: no captures at {}", vectors.display());
        return;
    };
    let (mut read, mut labels, mut interfaces) = (0, Vec::new(), Vec::new());
    for file in folder.flatten().map(|entry| entry.path()) {
        if file.extension().is_none_or(|extension| extension != "pcap") {
            continue;
        }
        for packet in packets(&std::fs::read(&file).expect("readable")) {
            read += 1;
            let of_v6 = packet.get(40..).and_then(|icmp| parse_icmp_v6(icmp, Ipv6Addr::LOCALHOST));
            for heard in [parse_icmp_v4(&packet), of_v6].into_iter().flatten() {
                if let Answer::Error { meaning, extensions, .. } = heard.answer {
                    assert!(matches!(
                        meaning,
                        Meaning::Exceeded | Meaning::Unreachable { .. } | Meaning::TooBig(_)
                    ));
                    labels.extend(extensions.labels.iter().map(|label| label.label));
                    interfaces.extend(extensions.interfaces);
                }
            }
            for at in 0..packet.len().min(200) {
                let _ = parse_extensions(&packet[at..]);
            }
        }
    }
    println!("{read} packets, labels {labels:?}, interfaces {interfaces:?}");
    assert!(read > 50, "the captures are there: {read}");
    assert!(!labels.is_empty(), "mpls-traceroute.pcap has label stacks");
    assert!(!interfaces.is_empty(), "icmp-rfc5837.pcap has interfaces");
}
