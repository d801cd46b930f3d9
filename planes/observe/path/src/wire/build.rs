//! Whole IP packets of probes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Protocol;

/// What routers may balance by: the same in every probe of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// UDP, TCP: the source port. ICMP: the identifier.
    pub port: u16,
    /// ICMP: the checksum, which some balance by since it stands where ports do.
    pub checksum: u16,
    /// IPv6: the flow label, 20 bits (RFC 6438).
    pub label: u32,
}

/// What tells a probe from every other: drawn anew for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// UDP: its checksum, and over IPv4 the packet's identification; ICMP: the sequence number; TCP: the
    /// upper half of the sequence number. Never zero.
    pub token: u16,
    /// In the payload, as far as it is quoted; TCP: the lower half of the sequence number.
    pub nonce: u64,
}

impl Identity {
    /// TCP's sequence number.
    pub const fn sequence(self) -> u32 {
        (self.token as u32) << 16 | (self.nonce & 0xffff) as u32
    }
}

/// A probe to build.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// What it is made of.
    pub protocol: Protocol,
    /// The sender.
    pub source: IpAddr,
    /// The target, of the same family.
    pub target: IpAddr,
    /// The port of the target; ICMP has none.
    pub target_port: u16,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN, as they stand in the header.
    pub traffic_class: u8,
    /// The flow.
    pub flow: FlowKey,
    /// The probe itself.
    pub identity: Identity,
}

/// Bytes after the header of UDP and ICMP: the nonce, what sets the checksum, and two of zero.
const PAYLOAD: usize = 12;

/// The probe with its IP header; `None` if the addresses are not of one family.
pub fn build(packet: &Packet) -> Option<Vec<u8>> {
    let segment = match packet.protocol {
        Protocol::Udp => udp(packet),
        Protocol::Icmp => icmp(packet),
        Protocol::Tcp => tcp(packet),
    };
    match (packet.source, packet.target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => Some(v4(packet, source, target, &segment)),
        (IpAddr::V6(source), IpAddr::V6(target)) => Some(v6(packet, source, target, &segment)),
        _ => None,
    }
}

/// RFC 791 §3.1, for a raw socket: it fills in the header's checksum.
fn v4(packet: &Packet, source: Ipv4Addr, target: Ipv4Addr, segment: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + segment.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0x45, packet.traffic_class];
    bytes.extend(total.to_be_bytes());
    bytes.extend(packet.identity.token.to_be_bytes());
    // Not to be fragmented: the identification then means nothing to routers (RFC 6864).
    bytes.extend([0x40, 0, packet.ttl, packet.protocol.number(false), 0, 0]);
    bytes.extend(source.octets());
    bytes.extend(target.octets());
    let sum = !ones_complement(0, &bytes);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(segment);
    bytes
}

/// RFC 8200 §3.
fn v6(packet: &Packet, source: Ipv6Addr, target: Ipv6Addr, segment: &[u8]) -> Vec<u8> {
    let first = 6 << 28 | u32::from(packet.traffic_class) << 20 | packet.flow.label & 0x000f_ffff;
    let mut bytes = first.to_be_bytes().to_vec();
    bytes.extend(u16::try_from(segment.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend([packet.protocol.number(true), packet.ttl]);
    bytes.extend(source.octets());
    bytes.extend(target.octets());
    bytes.extend(segment);
    bytes
}

fn udp(packet: &Packet) -> Vec<u8> {
    let length = 8 + PAYLOAD as u16;
    let mut bytes = packet.flow.port.to_be_bytes().to_vec();
    bytes.extend(packet.target_port.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload(packet));
    let sum = ones_complement(pseudo(packet, bytes.len()), &bytes);
    balance(&mut bytes, 16, sum, packet.identity.token);
    bytes[6..8].copy_from_slice(&packet.identity.token.to_be_bytes());
    bytes
}

fn icmp(packet: &Packet) -> Vec<u8> {
    let v6 = packet.target.is_ipv6();
    let mut bytes = vec![if v6 { 128 } else { 8 }, 0, 0, 0];
    bytes.extend(packet.flow.port.to_be_bytes());
    bytes.extend(packet.identity.token.to_be_bytes());
    bytes.extend(payload(packet));
    // ICMPv6 sums a pseudo header too (RFC 4443 §2.3), ICMP does not.
    let start = if v6 { pseudo(packet, bytes.len()) } else { 0 };
    let sum = ones_complement(start, &bytes);
    balance(&mut bytes, 16, sum, packet.flow.checksum);
    bytes[2..4].copy_from_slice(&packet.flow.checksum.to_be_bytes());
    bytes
}

/// RFC 9293 §3.1: a SYN.
fn tcp(packet: &Packet) -> Vec<u8> {
    let mut bytes = packet.flow.port.to_be_bytes().to_vec();
    bytes.extend(packet.target_port.to_be_bytes());
    bytes.extend(packet.identity.sequence().to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    let sum = !ones_complement(pseudo(packet, bytes.len()), &bytes);
    bytes[16..18].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn payload(packet: &Packet) -> [u8; PAYLOAD] {
    let mut payload = [0; PAYLOAD];
    payload[..8].copy_from_slice(&packet.identity.nonce.to_be_bytes());
    payload
}

/// Sets the word at `at`, which is zero, so that the checksum becomes `wanted`, where `sum` is the sum
/// so far.
fn balance(bytes: &mut [u8], at: usize, sum: u16, wanted: u16) {
    // sum + word = !wanted in ones' complement, so word = !wanted + !sum.
    let word = fold(u32::from(!wanted) + u32::from(!sum));
    bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
}

/// The sum of the pseudo header (RFC 768; RFC 8200 §8.1).
fn pseudo(packet: &Packet, length: usize) -> u16 {
    let v6 = packet.target.is_ipv6();
    let mut sum = 0;
    for address in [packet.source, packet.target] {
        sum = match address {
            IpAddr::V4(address) => ones_complement(sum, &address.octets()),
            IpAddr::V6(address) => ones_complement(sum, &address.octets()),
        };
    }
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    fold(u32::from(sum) + u32::from(length) + u32::from(packet.protocol.number(v6)))
}

/// The ones' complement sum of RFC 1071, not inverted, from `start` on.
pub fn ones_complement(start: u16, bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    // At most 32,768 words of 16 bits: no overflow.
    fold(words.take(32_768).fold(u32::from(start), |sum, word| sum + word))
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
