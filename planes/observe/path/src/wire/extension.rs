//! Extensions of ICMP errors: RFC 4884, with MPLS (RFC 4950) and interfaces (RFC 5837).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{be16, be32, ones_complement};

/// Most objects that are read of one message, and most labels of one stack.
const MAX_OBJECTS: usize = 16;
const MAX_LABELS: usize = 16;

/// One entry of an MPLS label stack (RFC 3032 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Label {
    /// The label, 20 bits.
    pub label: u32,
    /// The traffic class, 3 bits.
    pub class: u8,
    /// Whether it is the bottom of the stack.
    pub bottom: bool,
    /// Its TTL.
    pub ttl: u8,
}

/// What a router says of an interface (RFC 5837 §4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InterfaceInfo {
    /// 0: where the packet came in; 1: a part of that; 2: where it would have left; 3: the next hop.
    pub role: u8,
    /// `ifIndex`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// An address of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// `ifName`, at most 63 bytes, without control characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its MTU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

/// What is known of the extensions of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The label stack, outermost first.
    pub labels: Vec<Label>,
    /// The interfaces, at most 16.
    pub interfaces: Vec<InterfaceInfo>,
    /// Something was not as the RFCs say; what came before it is kept.
    pub malformed: bool,
}

/// Reads an extension structure (RFC 4884 §7).
pub fn parse_extensions(bytes: &[u8]) -> Extensions {
    let mut extensions = Extensions::default();
    let (Some(first), Some(sum)) = (bytes.first(), be16(bytes, 2)) else {
        extensions.malformed = true;
        return extensions;
    };
    // A checksum of zero was not computed.
    if first >> 4 != 2 || (sum != 0 && ones_complement(0, bytes) != 0xffff) {
        extensions.malformed = true;
        return extensions;
    }
    let mut rest = &bytes[4..];
    for _ in 0..MAX_OBJECTS {
        if rest.is_empty() {
            return extensions;
        }
        let object = be16(rest, 0).and_then(|length| rest.get(4..usize::from(length)));
        let Some(object) = object else {
            extensions.malformed = true;
            return extensions;
        };
        match (rest[2], rest[3]) {
            (1, 1) => read_labels(object, &mut extensions),
            (2, kind) => match interface(kind, object) {
                Some(interface) => extensions.interfaces.push(interface),
                None => extensions.malformed = true,
            },
            _ => {}
        }
        rest = &rest[4 + object.len()..];
    }
    extensions
}

fn read_labels(object: &[u8], extensions: &mut Extensions) {
    extensions.malformed |= !object.len().is_multiple_of(4);
    let room = MAX_LABELS.saturating_sub(extensions.labels.len());
    let entries = object.chunks_exact(4).take(room).map(|entry| Label {
        label: u32::from(entry[0]) << 12 | u32::from(entry[1]) << 4 | u32::from(entry[2]) >> 4,
        class: (entry[2] >> 1) & 7,
        bottom: entry[2] & 1 == 1,
        ttl: entry[3],
    });
    extensions.labels.extend(entries);
}

/// RFC 5837 §4.1: the bits of the C-Type say which parts follow, in this order.
fn interface(kind: u8, mut rest: &[u8]) -> Option<InterfaceInfo> {
    let mut interface = InterfaceInfo { role: kind >> 6, ..InterfaceInfo::default() };
    if kind & 0x08 != 0 {
        interface.index = Some(be32(rest, 0)?);
        rest = rest.get(4..)?;
    }
    if kind & 0x04 != 0 {
        let (address, length) = match be16(rest, 0)? {
            1 => (IpAddr::from(Ipv4Addr::from_bits(be32(rest, 4)?)), 8),
            2 => {
                let octets: [u8; 16] = rest.get(4..20)?.try_into().ok()?;
                (IpAddr::from(Ipv6Addr::from(octets)), 20)
            }
            _ => return None,
        };
        interface.address = Some(address);
        rest = rest.get(length..)?;
    }
    if kind & 0x02 != 0 {
        // The length counts itself, and is a multiple of 4 up to 64.
        let length = usize::from(*rest.first()?);
        if length == 0 || length > 64 {
            return None;
        }
        let name = String::from_utf8_lossy(rest.get(1..length)?);
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        interface.name = (!name.is_empty()).then_some(name);
        rest = rest.get(length..)?;
    }
    if kind & 0x01 != 0 {
        interface.mtu = Some(be32(rest, 0)?);
    }
    Some(interface)
}
