//! Probes and replies as bytes: pure functions, bounded, and never a panic.
//!
//! What comes in are datagrams of raw ICMP sockets, which anyone may have sent. What a reply quotes of a
//! probe is only ever compared with what was drawn for that probe.

mod build;
mod extension;
mod reply;

pub use build::{FlowKey, Identity, Packet, build, ones_complement};
pub use extension::{Extensions, InterfaceInfo, Label, parse_extensions};
pub use reply::{Answer, Heard, Meaning, Quote, parse_icmp_v4, parse_icmp_v6, parse_tcp};

use serde::{Deserialize, Serialize};

/// What probes are made of.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Echo requests: the flow is the identifier and the checksum.
    Icmp,
    /// Datagrams to a high port: the flow is the source port.
    #[default]
    Udp,
    /// SYN segments: the flow is the source port.
    Tcp,
}

impl Protocol {
    /// The protocol as it stands in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }

    /// Its number in an IP header.
    pub const fn number(self, v6: bool) -> u8 {
        match self {
            Self::Icmp if v6 => 58,
            Self::Icmp => 1,
            Self::Udp => 17,
            Self::Tcp => 6,
        }
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}
