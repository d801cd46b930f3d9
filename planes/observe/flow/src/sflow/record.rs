//! The records of a flow sample: the packet itself, and what the agent knows of its way.

use crate::counters::Counters;
use crate::packet::{Begin, Seen};
use crate::read::Reader;
use crate::rows::{MAX_LABELS, Rows};
use crate::schema::{Address, Byte, Long, Mac, Short, Word};

use super::address;

/// What the records of one sample say. Records may come in any order, so all are read first.
#[derive(Debug, Default)]
pub(super) struct Sample {
    packet: Seen,
    /// Whether there is more than the packet: most samples have nothing else, or a VLAN.
    way: bool,
    /// Length of the packet on the wire.
    frame_bytes: Option<u64>,
    /// Length of the packet from the network layer on.
    ip_bytes: Option<u64>,
    ethernet: Option<([u8; 6], [u8; 6], u16)>,
    ip: Option<Ip>,
    vlans: Option<(u32, u32)>,
    next_hop: Option<[u8; 16]>,
    prefixes: Option<(u32, u32)>,
    gateway: Option<Gateway>,
    labels: Option<([u32; MAX_LABELS], usize)>,
    source_nat: Option<[u8; 16]>,
    destination_nat: Option<[u8; 16]>,
    nat_ports: Option<(u32, u32)>,
    vni: Option<u32>,
    inner: Option<Ip>,
}

/// A packet's tuple as an agent tells it without the packet.
#[derive(Debug, Clone, Copy)]
struct Ip {
    length: u32,
    protocol: u32,
    source: [u8; 16],
    destination: [u8; 16],
    ports: (u32, u32),
    tcp_flags: u32,
    tos: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Gateway {
    next_hop: Option<[u8; 16]>,
    source_as: u32,
    peer_as: u32,
    destination_as: Option<u32>,
    first_as: Option<u32>,
}

impl Sample {
    /// Makes it as new.
    #[inline]
    pub(super) fn clear(&mut self) {
        if self.way {
            *self = Self::default();
        } else {
            self.packet.clear();
            (self.frame_bytes, self.vlans) = (None, None);
        }
    }

    pub(super) fn read(&mut self, format: u32, at: Reader<'_>, counters: &mut Counters) {
        self.way |= !matches!(format, 1 | 1001);
        let read = match format {
            1 => self.header(at, counters),
            2 => self.ethernet(at),
            3 => ip(at, false).map(|ip| self.ip = Some(ip)),
            4 => ip(at, true).map(|ip| self.ip = Some(ip)),
            1001 => self.switch(at),
            1002 => self.router(at),
            1003 => gateway(at).map(|gateway| self.gateway = Some(gateway)),
            1006 => self.mpls(at),
            1007 => self.nat(at),
            1020 => self.nat_ports(at),
            // Tunnels (sFlow Tunnel Structures, 2012): the inner packet, on its way in or out.
            1023..=1026 => ip(at, format > 1024).map(|ip| self.inner = Some(ip)),
            1029 | 1030 => self.vni(at),
            _ => {
                counters.formats_skipped += 1;
                return;
            }
        };
        counters.truncated += u64::from(read.is_none());
    }

    fn header(&mut self, mut at: Reader<'_>, counters: &mut Counters) -> Option<()> {
        let protocol = at.u32()?;
        let frame = at.u32()?;
        let _stripped = at.u32()?;
        let length = at.u32()? as usize;
        // A length that lies leaves the bytes that are there.
        let bytes = at.rest();
        let whole = bytes.get(..length);
        self.frame_bytes = Some(u64::from(frame));
        // `header_protocol`, §5.
        let begin = match protocol {
            1 => Some(Begin::Ethernet),
            2 | 4 => Some(Begin::Ring),
            3 => Some(Begin::TokenRing),
            5 => Some(Begin::FrameRelay),
            6 => Some(Begin::X25),
            7 | 14 => Some(Begin::Ppp),
            8 => Some(Begin::Smds),
            9 | 10 => Some(Begin::Aal5),
            11 | 12 => Some(Begin::Ip),
            13 => Some(Begin::Mpls),
            15 => Some(Begin::Wifi),
            16 => Some(Begin::Ampdu),
            17 => Some(Begin::Amsdu),
            _ => None,
        };
        if let Some(begin) = begin {
            self.packet.clear();
            self.packet.dissect(begin, whole.unwrap_or(bytes));
        }
        counters.headers_unread += u64::from(self.packet.is_empty());
        whole.map(|_| ())
    }

    fn ethernet(&mut self, mut at: Reader<'_>) -> Option<()> {
        let length = at.u32()?;
        let [from @ .., _, _] = at.array::<8>()?;
        let [to @ .., _, _] = at.array::<8>()?;
        let kind = at.u32()?;
        self.ethernet = Some((from, to, kind as u16));
        self.ip_bytes = Some(u64::from(length));
        Some(())
    }

    fn switch(&mut self, mut at: Reader<'_>) -> Option<()> {
        let from = at.u32()?;
        let _priority = at.u32()?;
        let to = at.u32()?;
        self.vlans = Some((from, to));
        Some(())
    }

    fn router(&mut self, mut at: Reader<'_>) -> Option<()> {
        self.next_hop = address(&mut at)?;
        self.prefixes = Some((at.u32()?, at.u32()?));
        Some(())
    }

    fn mpls(&mut self, mut at: Reader<'_>) -> Option<()> {
        self.next_hop = address(&mut at)?.or(self.next_hop);
        let depth = at.u32()?;
        let mut labels = [0; MAX_LABELS];
        let mut kept = 0;
        for _ in 0..depth {
            let entry = at.u32()?;
            if let Some(label) = labels.get_mut(kept) {
                *label = entry >> 12;
                kept += 1;
            }
        }
        self.labels = Some((labels, kept));
        Some(())
    }

    fn nat(&mut self, mut at: Reader<'_>) -> Option<()> {
        self.source_nat = address(&mut at)?;
        self.destination_nat = address(&mut at)?;
        Some(())
    }

    fn nat_ports(&mut self, mut at: Reader<'_>) -> Option<()> {
        self.nat_ports = Some((at.u32()?, at.u32()?));
        Some(())
    }

    fn vni(&mut self, mut at: Reader<'_>) -> Option<()> {
        self.vni = Some(at.u32()?);
        Some(())
    }

    /// Writes one row. The packet itself wins over what the agent tells of it, and the agent's word
    /// on VLANs over the packet's tag: the tag is gone where the sample was taken behind it.
    pub(super) fn write(&self, rows: &mut Rows, row: usize) {
        if let Some((from, to)) = self.vlans {
            rows.short(Short::Vlan).set_some(row, vlan(from));
            rows.short(Short::PostVlan).set_some(row, vlan(to));
        }
        self.packet.write(rows, row);
        if !self.way {
            rows.long(Long::Bytes).set_some(row, self.frame_bytes);
            return;
        }
        if let Some((from, to, kind)) = self.ethernet {
            rows.mac(Mac::Source).set(row, from);
            rows.mac(Mac::Destination).set(row, to);
            rows.short(Short::EtherType).set(row, kind);
        }
        if let Some(ip) = &self.ip {
            write_ip(ip, rows, row);
        }
        let bytes = self.frame_bytes.or(self.ip_bytes);
        let bytes = bytes.or(self.ip.map(|ip| u64::from(ip.length)));
        rows.long(Long::Bytes).set_some(row, bytes);
        self.write_way(rows, row);
    }

    fn write_way(&self, rows: &mut Rows, row: usize) {
        rows.address(Address::NextHop).set_some(row, self.next_hop);
        if let Some((source, destination)) = self.prefixes {
            rows.byte(Byte::SourcePrefix).set_some(row, u8::try_from(source).ok());
            rows.byte(Byte::DestinationPrefix).set_some(row, u8::try_from(destination).ok());
        }
        if let Some(gateway) = &self.gateway {
            rows.address(Address::BgpNextHop).set_some(row, gateway.next_hop);
            rows.word(Word::SourceAs).set(row, gateway.source_as);
            rows.word(Word::PreviousAs).set(row, gateway.peer_as);
            rows.word(Word::NextAs).set_some(row, gateway.first_as);
            rows.word(Word::DestinationAs).set_some(row, gateway.destination_as);
        }
        if let Some((labels, depth)) = &self.labels {
            rows.set_labels(row, &labels[..*depth]);
        }
        rows.address(Address::SourceNat).set_some(row, self.source_nat);
        rows.address(Address::DestinationNat).set_some(row, self.destination_nat);
        if let Some((source, destination)) = self.nat_ports {
            rows.short(Short::SourceNatPort).set_some(row, u16::try_from(source).ok());
            rows.short(Short::DestinationNatPort).set_some(row, u16::try_from(destination).ok());
        }
        rows.word(Word::TunnelId).set_some(row, self.vni);
        if let Some(inner) = &self.inner {
            rows.address(Address::InnerSource).set(row, inner.source);
            rows.address(Address::InnerDestination).set(row, inner.destination);
            rows.byte(Byte::InnerTransport).set_some(row, u8::try_from(inner.protocol).ok());
            rows.short(Short::InnerSourcePort).set_some(row, u16::try_from(inner.ports.0).ok());
            let port = u16::try_from(inner.ports.1).ok();
            rows.short(Short::InnerDestinationPort).set_some(row, port);
        }
    }
}

/// 0 and numbers past 12 bits are no VLAN.
fn vlan(id: u32) -> Option<u16> {
    u16::try_from(id).ok().filter(|id| (1..4096).contains(id))
}

fn ip(mut at: Reader<'_>, v6: bool) -> Option<Ip> {
    let length = at.u32()?;
    let protocol = at.u32()?;
    let source = if v6 { at.array()? } else { at.v4()? };
    let destination = if v6 { at.array()? } else { at.v4()? };
    let ports = (at.u32()?, at.u32()?);
    let tcp_flags = at.u32()?;
    let tos = at.u32()?;
    Some(Ip { length, protocol, source, destination, ports, tcp_flags, tos: Some(tos) })
}

fn write_ip(ip: &Ip, rows: &mut Rows, row: usize) {
    rows.address(Address::Source).set(row, ip.source);
    rows.address(Address::Destination).set(row, ip.destination);
    rows.byte(Byte::Transport).set_some(row, u8::try_from(ip.protocol).ok());
    rows.byte(Byte::Tos).set_some(row, ip.tos.and_then(|tos| u8::try_from(tos).ok()));
    // Others have no ports; the agent sends zeros.
    if matches!(ip.protocol, 6 | 17 | 33 | 132 | 136) {
        rows.short(Short::SourcePort).set_some(row, u16::try_from(ip.ports.0).ok());
        rows.short(Short::DestinationPort).set_some(row, u16::try_from(ip.ports.1).ok());
    }
    if ip.protocol == 6 {
        rows.short(Short::TcpFlags).set_some(row, u16::try_from(ip.tcp_flags).ok());
    }
}

fn gateway(mut at: Reader<'_>) -> Option<Gateway> {
    let next_hop = address(&mut at)?;
    let _own_as = at.u32()?;
    let source_as = at.u32()?;
    let peer_as = at.u32()?;
    let segments = at.u32()?;
    let (mut first_as, mut destination_as) = (None, None);
    for _ in 0..segments {
        let _kind = at.u32()?;
        let length = at.u32()?;
        for _ in 0..length {
            let number = at.u32()?;
            first_as = first_as.or(Some(number));
            destination_as = Some(number);
        }
    }
    Some(Gateway { next_hop, source_as, peer_as, destination_as, first_as })
}
