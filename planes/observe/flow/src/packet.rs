//! The headers of a sampled packet, from whatever layer the sample begins with.
//!
//! The outer tuple is the row's own: interfaces, AS numbers and next hops are told for it, and
//! exporters that do not look into tunnels count the same. The first tuple inside a tunnel goes to
//! the `flow.inner.*` columns. Every loop is bounded; bytes that are not there end the walk, and
//! what was read until then stays.

use crate::element::Layer;
use crate::link;
use crate::read::{Reader, mapped};
use crate::rows::{MAX_LABELS, Rows};
use crate::schema::{Address, Byte, Mac, Short, Word};

/// Most VLAN tags, IPv6 extension headers, and the like, of one packet.
const MAX_CHAIN: usize = 8;

// Indexes of `schema::TUNNEL_TYPES`.
const GRE: u8 = 0;
/// RFC 7637.
pub(crate) const NVGRE: u8 = 1;
/// RFC 7348.
pub(crate) const VXLAN: u8 = 2;
const GENEVE: u8 = 3;
const IN_V4: u8 = 4;
const IN_V6: u8 = 5;

const ETHERNET_IPV4: u16 = 0x0800;
const ETHERNET_IPV6: u16 = 0x86dd;
const ETHERNET_BRIDGED: u16 = 0x6558;

/// What a sample begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    Ethernet,
    /// IPv4 or IPv6, by its first four bits.
    Ip,
    /// RFC 1661, with or without address and control bytes (RFC 1662).
    Ppp,
    /// A label stack (RFC 3032).
    Mpls,
    /// An IEEE 802.11 MAC frame.
    Wifi,
    /// Token bus or FDDI.
    Ring,
    /// Token ring.
    TokenRing,
    FrameRelay,
    X25,
    Smds,
    /// ATM adaptation layer 5.
    Aal5,
    /// A frame of an 802.11 aggregate.
    Ampdu,
    /// A part of a frame of an 802.11 aggregate.
    Amsdu,
}

impl From<Layer> for Begin {
    fn from(layer: Layer) -> Self {
        match layer {
            Layer::Ethernet => Self::Ethernet,
            Layer::Ip => Self::Ip,
        }
    }
}

/// Addresses, ports and protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
    pub(crate) protocol: u8,
    pub(crate) ports: Option<(u16, u16)>,
}

/// What was read of a packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    macs: Option<([u8; 6], [u8; 6])>,
    ether_type: Option<u16>,
    vlan: Option<u16>,
    inner_vlan: Option<u16>,
    labels: [u32; MAX_LABELS],
    depth: usize,
    pub(crate) outer: Option<Tuple>,
    tos: u8,
    ttl: u8,
    flow_label: Option<u32>,
    tcp_flags: Option<u16>,
    icmp: Option<(u8, u8)>,
    tunnel: Option<u8>,
    tunnel_id: Option<u32>,
    pub(crate) inner: Option<Tuple>,
}

impl Seen {
    /// Makes it as new; labels beyond the depth are never looked at.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.macs = None;
        self.ether_type = None;
        self.vlan = None;
        self.inner_vlan = None;
        self.depth = 0;
        self.outer = None;
        self.flow_label = None;
        self.tcp_flags = None;
        self.icmp = None;
        self.tunnel = None;
        self.tunnel_id = None;
        self.inner = None;
    }

    /// Reads the headers at the begin of a packet into what is as new. A header that ends early
    /// leaves what was read before it.
    pub(crate) fn dissect(&mut self, begin: Begin, bytes: &[u8]) {
        let at = Reader::new(bytes);
        let _ended: Option<()> = match begin {
            Begin::Ethernet => ethernet(self, at),
            Begin::Ip => ip(self, at),
            Begin::Ppp => ppp(self, at, true),
            Begin::Mpls => mpls(self, at),
            Begin::Wifi => wifi(self, at),
            Begin::Ring => link::ring(self, at, 1, false),
            Begin::TokenRing => link::ring(self, at, 2, true),
            Begin::FrameRelay => link::frame_relay(self, at),
            Begin::X25 => link::x25(self, at),
            Begin::Smds => link::smds(self, at),
            Begin::Aal5 => link::aal5(self, at),
            Begin::Ampdu => link::ampdu(self, at),
            Begin::Amsdu => link::amsdu(self, at),
        };
    }

    /// To whom and from whom, on the link.
    pub(crate) fn set_macs(&mut self, to: [u8; 6], from: [u8; 6]) {
        self.macs = Some((to, from));
    }

    /// Writes what was seen to `row`, as far as the row has no other value.
    pub(crate) fn write(&self, rows: &mut Rows, row: usize) {
        if let Some((to, from)) = self.macs {
            rows.mac(Mac::Source).set(row, from);
            rows.mac(Mac::Destination).set(row, to);
        }
        rows.short(Short::EtherType).set_some(row, self.ether_type);
        rows.short(Short::Vlan).set_some(row, self.vlan);
        rows.short(Short::InnerVlan).set_some(row, self.inner_vlan);
        if self.depth > 0 {
            rows.set_labels(row, &self.labels[..self.depth]);
        }
        let Some(outer) = self.outer else { return };
        rows.address(Address::Source).set(row, outer.source);
        rows.address(Address::Destination).set(row, outer.destination);
        rows.byte(Byte::Transport).set(row, outer.protocol);
        if let Some((source, destination)) = outer.ports {
            rows.short(Short::SourcePort).set(row, source);
            rows.short(Short::DestinationPort).set(row, destination);
        }
        rows.byte(Byte::Tos).set(row, self.tos);
        rows.byte(Byte::Ttl).set(row, self.ttl);
        rows.word(Word::FlowLabel).set_some(row, self.flow_label);
        rows.short(Short::TcpFlags).set_some(row, self.tcp_flags);
        if let Some((kind, code)) = self.icmp {
            rows.byte(Byte::IcmpType).set(row, kind);
            rows.byte(Byte::IcmpCode).set(row, code);
        }
        if let Some(tunnel) = self.tunnel {
            rows.byte(Byte::TunnelType).set(row, tunnel);
            rows.word(Word::TunnelId).set_some(row, self.tunnel_id);
            self.write_inner(rows, row);
        }
    }

    fn write_inner(&self, rows: &mut Rows, row: usize) {
        let Some(inner) = self.inner else { return };
        rows.address(Address::InnerSource).set(row, inner.source);
        rows.address(Address::InnerDestination).set(row, inner.destination);
        rows.byte(Byte::InnerTransport).set(row, inner.protocol);
        if let Some((source, destination)) = inner.ports {
            rows.short(Short::InnerSourcePort).set(row, source);
            rows.short(Short::InnerDestinationPort).set(row, destination);
        }
    }

    /// Whether any layer could be read.
    pub(crate) fn is_empty(&self) -> bool {
        self.macs.is_none() && self.outer.is_none() && self.depth == 0
    }
}

fn ethernet(seen: &mut Seen, mut at: Reader<'_>) -> Option<()> {
    let to = at.array::<6>()?;
    let from = at.array::<6>()?;
    let outermost = seen.macs.is_none() && seen.outer.is_none();
    if outermost {
        seen.macs = Some((to, from));
    }
    let mut kind = at.u16()?;
    for tag in 0..MAX_CHAIN {
        // IEEE 802.1Q, 802.1ad, and the two that came before it.
        if !matches!(kind, 0x8100 | 0x88a8 | 0x9100 | 0x9200) {
            break;
        }
        let id = at.u16()? & 0x0fff;
        match tag {
            _ if !outermost => {}
            0 => seen.vlan = Some(id),
            1 => seen.inner_vlan = Some(id),
            _ => {}
        }
        kind = at.u16()?;
    }
    if outermost && kind >= 0x0600 {
        seen.ether_type = Some(kind);
    }
    if kind < 0x0600 { snap(seen, at) } else { by_ether_type(seen, kind, at) }
}

pub(crate) fn by_ether_type(seen: &mut Seen, kind: u16, mut at: Reader<'_>) -> Option<()> {
    match kind {
        ETHERNET_IPV4 => ipv4(seen, at),
        ETHERNET_IPV6 => ipv6(seen, at),
        0x8847 | 0x8848 => mpls(seen, at),
        // PPPoE session (RFC 2516 §4): version and type, code, session, length.
        0x8864 => {
            at.take(6)?;
            ppp(seen, at, false)
        }
        _ => None,
    }
}

/// `framed`: address and control bytes may stand before the protocol (RFC 1662 §3.1).
fn ppp(seen: &mut Seen, mut at: Reader<'_>, framed: bool) -> Option<()> {
    if framed && at.rest().starts_with(&[0xff, 0x03]) {
        at.take(2)?;
    }
    // Cisco HDLC, which packet over SONET may carry as well.
    if framed && matches!(at.rest().first(), Some(0x0f | 0x8f)) {
        at.take(2)?;
        let kind = at.u16()?;
        return by_ether_type(seen, kind, at);
    }
    match at.u16()? {
        0x0021 => ipv4(seen, at),
        0x0057 => ipv6(seen, at),
        0x0281 => mpls(seen, at),
        _ => None,
    }
}

pub(crate) fn snap(seen: &mut Seen, mut at: Reader<'_>) -> Option<()> {
    // DSAP and SSAP 0xaa, control 3, then an organisation code: 0 says that an EtherType follows.
    if at.array::<6>()? != [0xaa, 0xaa, 3, 0, 0, 0] {
        return None;
    }
    let kind = at.u16()?;
    by_ether_type(seen, kind, at)
}

pub(crate) fn wifi(seen: &mut Seen, mut at: Reader<'_>) -> Option<()> {
    let [control, flags] = at.array::<2>()?;
    // Only data frames that are not protected and not null.
    if (control >> 2) & 3 != 2 || flags & 0x40 != 0 || control & 0x40 != 0 {
        return None;
    }
    at.take(2)?;
    let one = at.array::<6>()?;
    let two = at.array::<6>()?;
    let three = at.array::<6>()?;
    at.take(2)?;
    let macs = match flags & 3 {
        0 => (one, two),
        1 => (three, two),
        2 => (one, three),
        _ => (three, at.array::<6>()?),
    };
    seen.macs = Some(macs);
    if control & 0x80 != 0 {
        at.take(2)?;
    }
    snap(seen, at)
}

fn mpls(seen: &mut Seen, mut at: Reader<'_>) -> Option<()> {
    let tunnelled = seen.outer.is_some();
    for _ in 0..MAX_LABELS {
        let entry = at.u32()?;
        if let (false, Some(label)) = (tunnelled, seen.labels.get_mut(seen.depth)) {
            *label = entry >> 12;
            seen.depth += 1;
        }
        if entry & 0x100 != 0 {
            // What follows is not told: the first four bits do, save for pseudowires, whose control
            // word begins with 0 (RFC 4385 §3).
            if at.rest().first()? >> 4 == 0 {
                at.take(4)?;
                return ethernet(seen, at);
            }
            return ip(seen, at);
        }
    }
    None
}

pub(crate) fn ip(seen: &mut Seen, at: Reader<'_>) -> Option<()> {
    match at.rest().first()? >> 4 {
        4 => ipv4(seen, at),
        6 => ipv6(seen, at),
        _ => None,
    }
}

pub(crate) fn ipv4(seen: &mut Seen, mut at: Reader<'_>) -> Option<()> {
    let header = at.array::<20>()?;
    let words = usize::from(header[0] & 0x0f);
    if header[0] >> 4 != 4 || words < 5 {
        return None;
    }
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = header;
    let tuple = Tuple {
        source: mapped([s0, s1, s2, s3]),
        destination: mapped([d0, d1, d2, d3]),
        protocol: header[9],
        ports: None,
    };
    let first = put(seen, tuple)?;
    if first {
        seen.tos = header[1];
        seen.ttl = header[8];
    }
    at.take((words - 5) * 4)?;
    // Only the first fragment has the transport's header.
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
    if fragment == 0 { transport(seen, header[9], at, first) } else { None }
}

pub(crate) fn ipv6(seen: &mut Seen, mut at: Reader<'_>) -> Option<()> {
    let head = at.array::<4>()?;
    if head[0] >> 4 != 6 {
        return None;
    }
    at.take(2)?;
    let [mut next, hops] = at.array::<2>()?;
    let source = at.array::<16>()?;
    let destination = at.array::<16>()?;
    let first = put(seen, Tuple { source, destination, protocol: next, ports: None })?;
    if first {
        seen.tos = (u16::from_be_bytes([head[0], head[1]]) >> 4) as u8;
        seen.ttl = hops;
        seen.flow_label = Some(u32::from_be_bytes(head) & 0xf_ffff);
    }
    for _ in 0..MAX_CHAIN {
        let length = match next {
            // Hop-by-hop, routing, destination options, mobility, HIP, shim6 (RFC 8200 §4).
            0 | 43 | 60 | 135 | 139 | 140 => {
                let [after, n] = at.array::<2>()?;
                next = after;
                usize::from(n) * 8 + 6
            }
            // Authentication (RFC 4302 §2.2) counts in four bytes.
            51 => {
                let [after, n] = at.array::<2>()?;
                next = after;
                usize::from(n) * 4 + 6
            }
            44 => {
                let [after, _, high, low] = at.array::<4>()?;
                next = after;
                if u16::from_be_bytes([high, low]) & 0xfff8 != 0 {
                    set_protocol(seen, next, first);
                    return None;
                }
                4
            }
            _ => break,
        };
        set_protocol(seen, next, first);
        at.take(length)?;
    }
    transport(seen, next, at, first)
}

/// The tuple after an extension header is of the protocol that the header names.
fn set_protocol(seen: &mut Seen, protocol: u8, first: bool) {
    let tuple = if first { &mut seen.outer } else { &mut seen.inner };
    if let Some(tuple) = tuple {
        tuple.protocol = protocol;
    }
}

/// Whether this is the outer tuple; `None` if there are two already.
fn put(seen: &mut Seen, tuple: Tuple) -> Option<bool> {
    if seen.outer.is_none() {
        seen.outer = Some(tuple);
        return Some(true);
    }
    if seen.inner.is_some() {
        return None;
    }
    seen.inner = Some(tuple);
    Some(false)
}

fn transport(seen: &mut Seen, protocol: u8, mut at: Reader<'_>, first: bool) -> Option<()> {
    match protocol {
        // TCP, UDP, DCCP, SCTP, UDP-Lite: ports first.
        6 | 17 | 33 | 132 | 136 => {
            let ports = (at.u16()?, at.u16()?);
            let tuple = if first { &mut seen.outer } else { &mut seen.inner };
            if let Some(tuple) = tuple {
                tuple.ports = Some(ports);
            }
            match protocol {
                6 if first => {
                    at.take(8)?;
                    seen.tcp_flags = Some(at.u16()? & 0x0fff);
                    Some(())
                }
                17 if first => over_udp(seen, ports.1, at),
                _ => Some(()),
            }
        }
        1 | 58 if first => {
            let [kind, code] = at.array::<2>()?;
            seen.icmp = Some((kind, code));
            Some(())
        }
        4 | 41 if first => {
            seen.tunnel = Some(if protocol == 4 { IN_V4 } else { IN_V6 });
            ip(seen, at)
        }
        47 if first => gre(seen, at),
        // MPLS in IP (RFC 4023).
        137 if first => mpls(seen, at),
        _ => None,
    }
}

fn over_udp(seen: &mut Seen, port: u16, mut at: Reader<'_>) -> Option<()> {
    match port {
        // VXLAN (RFC 7348 §5), also on Linux's older port.
        4789 | 8472 => {
            at.take(4)?;
            let flags = at.u32()?;
            let id = at.u32()? >> 8;
            if flags & 0x0800_0000 == 0 {
                return None;
            }
            seen.tunnel = Some(VXLAN);
            seen.tunnel_id = Some(id);
            ethernet(seen, at)
        }
        // Geneve (RFC 8926 §3.4).
        6081 => {
            at.take(4)?;
            let [head, _] = at.array::<2>()?;
            let kind = at.u16()?;
            let id = at.u32()? >> 8;
            if head >> 6 != 0 {
                return None;
            }
            seen.tunnel = Some(GENEVE);
            seen.tunnel_id = Some(id);
            at.take(usize::from(head & 0x3f) * 4)?;
            if kind == ETHERNET_BRIDGED {
                ethernet(seen, at)
            } else {
                by_ether_type(seen, kind, at)
            }
        }
        _ => None,
    }
}

/// RFC 2784, with the key and sequence of RFC 2890.
fn gre(seen: &mut Seen, mut at: Reader<'_>) -> Option<()> {
    let flags = at.u16()?;
    let kind = at.u16()?;
    if flags & 7 != 0 {
        return None;
    }
    if flags & 0x8000 != 0 {
        at.take(4)?;
    }
    seen.tunnel = Some(GRE);
    if flags & 0x2000 != 0 {
        let key = at.u32()?;
        // NVGRE's key is a segment of 24 bits and a hash of the flow (RFC 7637 §3.2).
        let bridged = kind == ETHERNET_BRIDGED;
        seen.tunnel = Some(if bridged { NVGRE } else { GRE });
        seen.tunnel_id = Some(if bridged { key >> 8 } else { key });
    }
    if flags & 0x1000 != 0 {
        at.take(4)?;
    }
    if kind == ETHERNET_BRIDGED { ethernet(seen, at) } else { by_ether_type(seen, kind, at) }
}
