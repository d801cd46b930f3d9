//! From a captured frame to what UDP or TCP carried.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Passed;
use crate::read::Reader;

/// Datagrams whose fragments are waited for; the oldest goes first.
const MAX_PARTIAL: usize = 64;
const MAX_TAGS: usize = 4;
const MAX_EXTENSIONS: usize = 8;

/// A piece of a TCP session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) sequence: u32,
    pub(super) syn: bool,
    pub(super) bytes: &'a [u8],
}

/// What a frame carried.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'a> {
    Udp { from: SocketAddr, to: SocketAddr, bytes: &'a [u8] },
    Tcp(Segment<'a>),
}

/// A datagram of which not all fragments came yet.
#[derive(Debug)]
struct Partial {
    key: (IpAddr, IpAddr, u32, u8),
    bytes: Vec<u8>,
    /// Which parts are there, begin and end.
    have: Vec<(usize, usize)>,
    whole: Option<usize>,
}

/// Reads frames; holds fragments.
#[derive(Debug, Default)]
pub(super) struct Frames {
    partial: VecDeque<Partial>,
    /// The last datagram that was put together.
    joined: Vec<u8>,
}

/// A packet of IP, or a part of it.
struct Packet<'a> {
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    /// Identification, offset and whether more comes.
    fragment: Option<(u32, usize, bool)>,
    body: &'a [u8],
}

impl Frames {
    /// What the frame carried; what is not UDP or TCP is counted.
    pub(super) fn read<'a>(
        &'a mut self,
        link: u32,
        frame: &'a [u8],
        passed: &mut Passed,
    ) -> Option<Found<'a>> {
        let packet = packet(link, frame);
        let carried = |protocol: u8| matches!(protocol, 6 | 17);
        let Some(packet) = packet.filter(|packet| carried(packet.protocol)) else {
            passed.other += 1;
            return None;
        };
        let Packet { from, to, protocol, .. } = packet;
        let body = match packet.fragment {
            None => packet.body,
            Some(_) => self.join(&packet, passed)?,
        };
        let found = transport(from, to, protocol, body);
        passed.other += u64::from(found.is_none());
        found
    }

    /// Puts a fragment to its others; the whole if this was the last.
    fn join(&mut self, packet: &Packet<'_>, passed: &mut Passed) -> Option<&[u8]> {
        let (id, at, more) = packet.fragment?;
        let key = (packet.from, packet.to, id, packet.protocol);
        let end = at + packet.body.len();
        if end > 65_535 || packet.body.is_empty() {
            passed.fragments += 1;
            return None;
        }
        let known = self.partial.iter().position(|partial| partial.key == key);
        let index = known.unwrap_or_else(|| {
            if self.partial.len() >= MAX_PARTIAL
                && let Some(gone) = self.partial.pop_front()
            {
                passed.fragments += gone.have.len() as u64;
            }
            let (bytes, have) = (Vec::new(), Vec::new());
            self.partial.push_back(Partial { key, bytes, have, whole: None });
            self.partial.len() - 1
        });
        let partial = self.partial.get_mut(index)?;
        if partial.bytes.len() < end {
            partial.bytes.resize(end, 0);
        }
        partial.bytes[at..end].copy_from_slice(packet.body);
        partial.have.push((at, end));
        if !more {
            partial.whole = Some(end);
        }
        let whole = partial.whole?;
        partial.have.sort_unstable();
        let reached = partial.have.iter().try_fold(0, |reached: usize, (begin, end)| {
            (*begin <= reached).then_some(reached.max(*end))
        });
        if reached.is_none_or(|reached| reached < whole) {
            return None;
        }
        self.joined = self.partial.remove(index)?.bytes;
        self.joined.truncate(whole);
        Some(&self.joined)
    }
}

fn packet(link: u32, frame: &[u8]) -> Option<Packet<'_>> {
    let mut at = Reader::new(frame);
    match link {
        // NULL and LOOP: a family in either byte order; the IP version tells as much.
        0 | 108 => {
            at.u32()?;
            ip(at.rest())
        }
        1 => {
            at.take(12)?;
            ethertype(at)
        }
        // RAW, IPV4, IPV6.
        12 | 101 | 228 | 229 => ip(frame),
        // Linux cooked, versions 1 and 2.
        113 => {
            at.take(14)?;
            ethertype(at)
        }
        276 => {
            let protocol = at.u16()?;
            at.take(18)?;
            tagged(protocol, at)
        }
        _ => None,
    }
}

fn ethertype(mut at: Reader<'_>) -> Option<Packet<'_>> {
    let kind = at.u16()?;
    tagged(kind, at)
}

fn tagged(mut kind: u16, mut at: Reader<'_>) -> Option<Packet<'_>> {
    for _ in 0..MAX_TAGS {
        match kind {
            0x8100 | 0x88a8 | 0x9100 => {
                at.u16()?;
                kind = at.u16()?;
            }
            0x0800 | 0x86dd => return ip(at.rest()),
            _ => return None,
        }
    }
    None
}

fn ip(bytes: &[u8]) -> Option<Packet<'_>> {
    match bytes.first()? >> 4 {
        4 => ipv4(bytes),
        6 => ipv6(bytes),
        _ => None,
    }
}

fn ipv4(bytes: &[u8]) -> Option<Packet<'_>> {
    let head = usize::from(bytes.first()? & 15) * 4;
    let total = usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?));
    let body = bytes.get(head..total.min(bytes.len())).filter(|_| head >= 20)?;
    let id = u16::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
    let flags = u16::from_be_bytes(*bytes.get(6..)?.first_chunk()?);
    let (more, offset) = (flags & 0x2000 != 0, usize::from(flags & 0x1fff) * 8);
    let address = |at: usize| -> Option<IpAddr> {
        Some(Ipv4Addr::from(*bytes.get(at..)?.first_chunk::<4>()?).into())
    };
    Some(Packet {
        from: address(12)?,
        to: address(16)?,
        protocol: *bytes.get(9)?,
        fragment: (more || offset > 0).then_some((u32::from(id), offset, more)),
        body,
    })
}

fn ipv6(bytes: &[u8]) -> Option<Packet<'_>> {
    let length = usize::from(u16::from_be_bytes(*bytes.get(4..)?.first_chunk()?));
    let mut protocol = *bytes.get(6)?;
    let address = |at: usize| -> Option<IpAddr> {
        Some(Ipv6Addr::from(*bytes.get(at..)?.first_chunk::<16>()?).into())
    };
    let (from, to) = (address(8)?, address(24)?);
    let mut body = bytes.get(40..(40 + length).min(bytes.len()))?;
    let mut fragment = None;
    for _ in 0..MAX_EXTENSIONS {
        match protocol {
            // Hop-by-hop, routing, destination options.
            0 | 43 | 60 => {
                let [next, units, ..] = body else { return None };
                protocol = *next;
                body = body.get(8 + usize::from(*units) * 8..)?;
            }
            44 => {
                let head = body.first_chunk::<8>()?;
                let place = u16::from_be_bytes([head[2], head[3]]);
                let id = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
                fragment = Some((id, usize::from(place & 0xfff8), place & 1 != 0));
                protocol = head[0];
                body = &body[8..];
                break;
            }
            _ => break,
        }
    }
    Some(Packet { from, to, protocol, fragment, body })
}

fn transport(from: IpAddr, to: IpAddr, protocol: u8, body: &[u8]) -> Option<Found<'_>> {
    let mut at = Reader::new(body);
    let from = SocketAddr::new(from, at.u16()?);
    let to = SocketAddr::new(to, at.u16()?);
    if protocol == 17 {
        let length = usize::from(at.u16()?);
        at.u16()?;
        let rest = at.rest();
        let bytes = rest.get(..length.checked_sub(8)?).unwrap_or(rest);
        return Some(Found::Udp { from, to, bytes });
    }
    let sequence = at.u32()?;
    at.u32()?;
    let flags = at.u16()?;
    let head = usize::from(flags >> 12) * 4;
    let bytes = body.get(head..).filter(|_| head >= 20)?;
    Some(Found::Tcp(Segment { from, to, sequence, syn: flags & 2 != 0, bytes }))
}
