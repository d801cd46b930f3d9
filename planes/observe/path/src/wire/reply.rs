//! What sockets deliver: ICMP errors with the packets that they quote, and answers of targets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::extension::{Extensions, parse_extensions};
use super::{Protocol, be16, be32};

/// Least length of the quoted packet when extensions follow it (RFC 4884 §5.1).
const LEAST_QUOTE: usize = 128;

/// What an ICMP message means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The TTL ended.
    Exceeded,
    /// The packet goes no further.
    Unreachable {
        /// The ICMP code.
        code: u8,
        /// Whether it says that the port is closed: the target itself speaks.
        port: bool,
    },
    /// The packet is larger than the next link's MTU in bytes.
    TooBig(u32),
}

/// What an ICMP error quotes of the packet that brought it about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Its sender, as the one who answers saw it.
    pub source: IpAddr,
    /// Where it was sent.
    pub target: IpAddr,
    /// What it is made of.
    pub protocol: Protocol,
    /// The TTL it arrived with.
    pub ttl: u8,
    /// IPv4: its identification.
    pub identification: Option<u16>,
    /// UDP, TCP: its source port. ICMP: its identifier.
    pub port: u16,
    /// UDP, TCP: its destination port.
    pub target_port: u16,
    /// UDP, ICMP: its checksum.
    pub checksum: u16,
    /// TCP: its sequence number; ICMP: that of the echo request.
    pub sequence: u32,
    /// The first bytes after the header of UDP or ICMP, as far as they are quoted.
    pub nonce: Option<u64>,
}

/// An answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An ICMP error.
    Error {
        /// What it means.
        meaning: Meaning,
        /// The packet that brought it about.
        quote: Quote,
        /// What else it says.
        extensions: Extensions,
    },
    /// An echo reply.
    Echo {
        /// The identifier of the request.
        identifier: u16,
        /// Its sequence number.
        sequence: u16,
        /// The first bytes of its payload.
        nonce: Option<u64>,
    },
    /// A segment that acknowledges a SYN.
    Segment {
        /// The port of the target.
        from_port: u16,
        /// The port that the SYN came from.
        to_port: u16,
        /// The sequence number that was acknowledged, less one.
        sequence: u32,
    },
}

/// An answer and who gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Who answered.
    pub from: IpAddr,
    /// What.
    pub answer: Answer,
    /// The identification and the TTL of the packet itself, where it came with its IP header.
    pub header: Option<(u16, u8)>,
}

/// Reads what a raw ICMP socket delivers: with the IP header. `None` for what answers no probe.
pub fn parse_icmp_v4(datagram: &[u8]) -> Option<Heard> {
    let (header, icmp) = split_v4(datagram)?;
    if header.protocol != 1 || header.fragment {
        return None;
    }
    let numbers = Some((header.identification, header.ttl));
    let (kind, code) = (*icmp.first()?, *icmp.get(1)?);
    let meaning = match kind {
        0 => {
            return Some(Heard {
                from: header.source.into(),
                answer: echo(icmp)?,
                header: numbers,
            });
        }
        3 if code == 4 => Meaning::TooBig(be16(icmp, 6)?.into()),
        3 => Meaning::Unreachable { code, port: code == 3 },
        11 if code == 0 => Meaning::Exceeded,
        _ => return None,
    };
    // RFC 4884 §4: the length of the quoted packet, in words of 32 bits.
    let length = usize::from(*icmp.get(5)?) * 4;
    let (quoted, extensions) = split_quote(icmp.get(8..)?, length);
    let quote = quote_v4(quoted)?;
    let answer = Answer::Error { meaning, quote, extensions };
    Some(Heard { from: header.source.into(), answer, header: numbers })
}

/// Reads what a raw ICMPv6 socket delivers: without the IP header. `None` for what answers no probe.
pub fn parse_icmp_v6(icmp: &[u8], from: Ipv6Addr) -> Option<Heard> {
    let (kind, code) = (*icmp.first()?, *icmp.get(1)?);
    let meaning = match kind {
        129 => return Some(Heard { from: from.into(), answer: echo(icmp)?, header: None }),
        1 => Meaning::Unreachable { code, port: code == 4 },
        2 => Meaning::TooBig(be32(icmp, 4)?),
        3 if code == 0 => Meaning::Exceeded,
        _ => return None,
    };
    // In words of 64 bits. "Packet too big" has an MTU there, and no extensions.
    let length = if kind == 2 { 0 } else { usize::from(*icmp.get(4)?) * 8 };
    let (quoted, extensions) = split_quote(icmp.get(8..)?, length);
    let quote = quote_v6(quoted)?;
    let answer = Answer::Error { meaning, quote, extensions };
    Some(Heard { from: from.into(), answer, header: None })
}

/// Reads a TCP segment that answers a SYN. `v4` datagrams come with the IP header.
pub fn parse_tcp(datagram: &[u8], from: IpAddr) -> Option<Heard> {
    let (from, segment, numbers) = if from.is_ipv4() {
        let (header, segment) = split_v4(datagram)?;
        if header.protocol != 6 || header.fragment {
            return None;
        }
        (header.source.into(), segment, Some((header.identification, header.ttl)))
    } else {
        (from, datagram, None)
    };
    let flags = *segment.get(13)?;
    let (syn, reset, ack) = (flags & 2 != 0, flags & 4 != 0, flags & 16 != 0);
    if !ack || !(syn || reset) {
        return None;
    }
    let answer = Answer::Segment {
        from_port: be16(segment, 0)?,
        to_port: be16(segment, 2)?,
        sequence: be32(segment, 8)?.wrapping_sub(1),
    };
    Some(Heard { from, answer, header: numbers })
}

fn echo(icmp: &[u8]) -> Option<Answer> {
    Some(Answer::Echo {
        identifier: be16(icmp, 4)?,
        sequence: be16(icmp, 6)?,
        nonce: nonce(icmp, 8),
    })
}

fn nonce(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes)
}

/// The quoted packet and the extensions after it. Old routers add extensions after 128 bytes without
/// saying so (RFC 4884 §5.5): they are taken if they are whole.
fn split_quote(rest: &[u8], length: usize) -> (&[u8], Extensions) {
    if length >= LEAST_QUOTE && length <= rest.len() {
        let (quoted, extensions) = rest.split_at(length);
        let extensions = match extensions {
            [] => Extensions::default(),
            bytes => parse_extensions(bytes),
        };
        return (quoted, extensions);
    }
    if length == 0
        && let Some(bytes) = rest.get(LEAST_QUOTE..)
        && bytes.len() >= 8
        && be16(bytes, 2) != Some(0)
    {
        let extensions = parse_extensions(bytes);
        if !extensions.malformed {
            return (&rest[..LEAST_QUOTE], extensions);
        }
    }
    let malformed = length != 0;
    (rest, Extensions { malformed, ..Extensions::default() })
}

struct HeaderV4 {
    source: Ipv4Addr,
    target: Ipv4Addr,
    protocol: u8,
    ttl: u8,
    identification: u16,
    fragment: bool,
}

/// RFC 791 §3.1: the header and what follows it.
fn split_v4(bytes: &[u8]) -> Option<(HeaderV4, &[u8])> {
    let first = *bytes.first()?;
    let length = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || length < 20 {
        return None;
    }
    let header = HeaderV4 {
        source: Ipv4Addr::from_bits(be32(bytes, 12)?),
        target: Ipv4Addr::from_bits(be32(bytes, 16)?),
        protocol: *bytes.get(9)?,
        ttl: *bytes.get(8)?,
        identification: be16(bytes, 4)?,
        fragment: be16(bytes, 6)? & 0x1fff != 0,
    };
    Some((header, bytes.get(length..)?))
}

fn quote_v4(bytes: &[u8]) -> Option<Quote> {
    let (header, segment) = split_v4(bytes)?;
    let protocol = match header.protocol {
        1 => Protocol::Icmp,
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        _ => return None,
    };
    let ends = (header.source.into(), header.target.into());
    quote(protocol, ends, header.ttl, Some(header.identification), segment)
}

/// Our probes have no extension headers, so a quoted packet with some is none of them.
fn quote_v6(bytes: &[u8]) -> Option<Quote> {
    if *bytes.first()? >> 4 != 6 {
        return None;
    }
    let protocol = match *bytes.get(6)? {
        58 => Protocol::Icmp,
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        _ => return None,
    };
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets).into())
    };
    let ends = (address(8)?, address(24)?);
    quote(protocol, ends, *bytes.get(7)?, None, bytes.get(40..)?)
}

fn quote(
    protocol: Protocol,
    (source, target): (IpAddr, IpAddr),
    ttl: u8,
    identification: Option<u16>,
    segment: &[u8],
) -> Option<Quote> {
    let mut quote = Quote {
        source,
        target,
        protocol,
        ttl,
        identification,
        port: be16(segment, 0)?,
        target_port: be16(segment, 2)?,
        checksum: be16(segment, 6)?,
        sequence: be32(segment, 4)?,
        nonce: None,
    };
    match protocol {
        Protocol::Udp => quote.nonce = nonce(segment, 8),
        Protocol::Tcp => quote.checksum = be16(segment, 16).unwrap_or(0),
        Protocol::Icmp => {
            if !matches!(segment.first(), Some(8 | 128)) {
                return None;
            }
            quote.port = be16(segment, 4)?;
            quote.target_port = 0;
            quote.checksum = be16(segment, 2)?;
            quote.sequence = be16(segment, 6)?.into();
            quote.nonce = nonce(segment, 8);
        }
    }
    Some(quote)
}
