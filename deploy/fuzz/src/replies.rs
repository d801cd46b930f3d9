//! What answers probes: replies and errors of ICMP with the packets that they quote, messages of DNS, SIP, STAMP and
//! RTP, certificates with their staples. What comes out is facts within their bounds; never a panic or an overflow.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use holm_path::socket::Matching;
use holm_path::wire::{
    FlowKey, Identity, Packet, Protocol, build, parse_extensions, parse_icmp_v4, parse_icmp_v6,
    parse_tcp,
};

/// As packets that raw sockets deliver, with probes under way that they may answer.
pub fn packets(input: &[u8]) {
    let mut matching = Matching::default();
    for (number, protocol) in (0..).zip([Protocol::Icmp, Protocol::Udp, Protocol::Tcp]) {
        let probe = Packet {
            protocol,
            source: IpAddr::from([192, 0, 2, 1]),
            target: IpAddr::from([192, 0, 2, 2]),
            target_port: 33_434,
            ttl: 3,
            traffic_class: 0,
            flow: FlowKey { port: 12_345, checksum: 0xbeef, label: 0x54321 },
            identity: Identity { token: 77, nonce: 7 },
        };
        assert!(build(&probe).is_some(), "one family");
        matching.remember(&probe, 1, number, Duration::ZERO);
    }
    let v6 = Ipv6Addr::LOCALHOST;
    for packet in super::split(input) {
        let heard = [
            parse_icmp_v4(packet),
            parse_icmp_v6(packet, v6),
            parse_tcp(packet, IpAddr::from([192, 0, 2, 2])),
            parse_tcp(packet, v6.into()),
        ];
        for heard in heard.into_iter().flatten() {
            matching.find(&heard);
        }
        let extensions = parse_extensions(packet);
        assert!(extensions.interfaces.len() <= 16, "more interfaces than are kept");
        holm_active::fuzzed::echo(packet);
    }
    let _ = holm_path::Kept::read(&String::from_utf8_lossy(input));
}

/// As answers of name servers, telephones and reflectors.
pub fn messages(input: &[u8]) {
    super::split(input).for_each(holm_active::fuzzed::message);
}

/// As a chain of certificates, after the staple that the server sends with it.
pub fn certificates(input: &[u8]) {
    let mut parts = super::split(input);
    let staple = parts.next().unwrap_or_default();
    let chain: Vec<&[u8]> = parts.take(12).collect();
    holm_active::fuzzed::certificates(staple, &chain);
}
