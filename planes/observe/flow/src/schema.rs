//! The columns of table `flows`: their names, types and slots.
//!
//! Names follow OpenTelemetry where it has one (`source.address`, `network.transport`,
//! `network.io.direction`, and the collector's NetFlow receiver: `flow.io.bytes`, `flow.start`,
//! `flow.sampling_rate`…), ECS where that has one (`source.as.number`, `source.nat.address`), and
//! otherwise stand below `flow.`. `docs/flow.md` says what each means.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::meaning::{MEANING, meaning_field};

macro_rules! slots {
    ($(#[$doc:meta])* $name:ident { $($slot:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum $name { $($slot),* }

        impl $name {
            pub(crate) const COUNT: usize = [$(stringify!($slot)),*].len();
        }
    };
}

slots! {
    /// Columns of one byte.
    Byte {
        Type, Direction, Transport, Tos, Ttl, IcmpType, IcmpCode, SourcePrefix, DestinationPrefix,
        ForwardingStatus, EndReason, NatEvent, FirewallEvent, TunnelType, InnerTransport,
    }
}
slots! {
    /// Columns of two bytes.
    Short {
        ExporterPort, SourcePort, DestinationPort, TcpFlags, EtherType, Vlan, InnerVlan, PostVlan,
        SourceNatPort, DestinationNatPort, ReverseTcpFlags, InnerSourcePort, InnerDestinationPort,
    }
}
slots! {
    /// Columns of four bytes.
    Word {
        Domain, Sequence, InInterface, InInterfaceName, OutInterface, OutInterfaceName, SourceAs,
        DestinationAs, NextAs, PreviousAs, SamplingRate, SamplerId, FlowLabel, InVrf, OutVrf,
        InVrfName, TunnelId, ApplicationName, DropReason,
    }
}
slots! {
    /// Columns of eight bytes.
    Long {
        Bytes, Packets, PostBytes, PostPackets, ReverseBytes, ReversePackets, ApplicationId, FlowId,
    }
}
slots! {
    /// Columns of an IP address: 16 bytes, IPv4 as `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2).
    Address {
        Exporter, Agent, Source, Destination, NextHop, BgpNextHop, SourceNat, DestinationNat,
        InnerSource, InnerDestination,
    }
}
slots! {
    /// Columns of a MAC address: 6 bytes.
    Mac { Source, Destination }
}
slots! {
    /// Columns of a time: nanoseconds since 1970-01-01 UTC.
    Time { Received, Start, End }
}

/// Where a column's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Byte(Byte),
    /// A byte that indexes a fixed list of words.
    Word8(Byte, &'static [&'static str]),
    /// An IP protocol number as its name.
    TransportName(Byte),
    /// The high six bits of a ToS byte (RFC 2474 §3).
    Dscp,
    Short(Short),
    Word(Word),
    /// A key of the table of names.
    Name(Word),
    Long(Long),
    /// A count times the sampling rate; the count itself where the rate is unknown.
    Scaled(Long),
    Address(Address),
    /// `ipv4` or `ipv6`, by the source address.
    NetworkType,
    Mac(Mac),
    Time(Time),
    MplsLabels,
}

/// The words of `flow.type`.
pub(crate) const FLOW_TYPES: &[&str] = &["netflow_v5", "netflow_v9", "ipfix", "sflow_5"];
/// The words of `network.io.direction`: IE 61's ingress is what the interface receives.
pub(crate) const DIRECTIONS: &[&str] = &["receive", "transmit"];
/// The words of `flow.tunnel.type`.
pub(crate) const TUNNEL_TYPES: &[&str] = &["gre", "nvgre", "vxlan", "geneve", "ipv4", "ipv6"];
/// The words of `network.type`.
pub(crate) const NETWORK_TYPES: &[&str] = &["ipv4", "ipv6"];

/// The table's columns in order.
pub(crate) const LAYOUT: &[(&str, Source)] = &[
    ("flow.time_received", Source::Time(Time::Received)),
    ("flow.start", Source::Time(Time::Start)),
    ("flow.end", Source::Time(Time::End)),
    ("flow.type", Source::Word8(Byte::Type, FLOW_TYPES)),
    ("flow.exporter.address", Source::Address(Address::Exporter)),
    ("flow.exporter.port", Source::Short(Short::ExporterPort)),
    ("flow.domain", Source::Word(Word::Domain)),
    ("flow.agent.address", Source::Address(Address::Agent)),
    ("flow.sequence_num", Source::Word(Word::Sequence)),
    ("source.address", Source::Address(Address::Source)),
    ("source.port", Source::Short(Short::SourcePort)),
    ("destination.address", Source::Address(Address::Destination)),
    ("destination.port", Source::Short(Short::DestinationPort)),
    ("network.type", Source::NetworkType),
    ("network.transport", Source::TransportName(Byte::Transport)),
    ("flow.ip.protocol", Source::Byte(Byte::Transport)),
    ("network.io.direction", Source::Word8(Byte::Direction, DIRECTIONS)),
    ("flow.io.bytes", Source::Long(Long::Bytes)),
    ("flow.io.packets", Source::Long(Long::Packets)),
    ("flow.sampling_rate", Source::Word(Word::SamplingRate)),
    ("flow.sampler.id", Source::Word(Word::SamplerId)),
    ("flow.io.bytes_scaled", Source::Scaled(Long::Bytes)),
    ("flow.io.packets_scaled", Source::Scaled(Long::Packets)),
    ("flow.post.io.bytes", Source::Long(Long::PostBytes)),
    ("flow.post.io.packets", Source::Long(Long::PostPackets)),
    ("flow.reverse.io.bytes", Source::Long(Long::ReverseBytes)),
    ("flow.reverse.io.packets", Source::Long(Long::ReversePackets)),
    ("flow.tcp_flags", Source::Short(Short::TcpFlags)),
    ("flow.reverse.tcp_flags", Source::Short(Short::ReverseTcpFlags)),
    ("flow.ip.tos", Source::Byte(Byte::Tos)),
    ("flow.ip.dscp", Source::Dscp),
    ("flow.ip.ttl", Source::Byte(Byte::Ttl)),
    ("flow.ipv6.flow_label", Source::Word(Word::FlowLabel)),
    ("flow.icmp.type", Source::Byte(Byte::IcmpType)),
    ("flow.icmp.code", Source::Byte(Byte::IcmpCode)),
    ("flow.in.interface.index", Source::Word(Word::InInterface)),
    ("flow.in.interface.name", Source::Name(Word::InInterfaceName)),
    ("flow.out.interface.index", Source::Word(Word::OutInterface)),
    ("flow.out.interface.name", Source::Name(Word::OutInterfaceName)),
    ("flow.next_hop.address", Source::Address(Address::NextHop)),
    ("flow.bgp.next_hop.address", Source::Address(Address::BgpNextHop)),
    ("source.as.number", Source::Word(Word::SourceAs)),
    ("destination.as.number", Source::Word(Word::DestinationAs)),
    ("flow.bgp.next.as.number", Source::Word(Word::NextAs)),
    ("flow.bgp.previous.as.number", Source::Word(Word::PreviousAs)),
    ("source.prefix_length", Source::Byte(Byte::SourcePrefix)),
    ("destination.prefix_length", Source::Byte(Byte::DestinationPrefix)),
    ("source.nat.address", Source::Address(Address::SourceNat)),
    ("source.nat.port", Source::Short(Short::SourceNatPort)),
    ("destination.nat.address", Source::Address(Address::DestinationNat)),
    ("destination.nat.port", Source::Short(Short::DestinationNatPort)),
    ("flow.nat.event", Source::Byte(Byte::NatEvent)),
    ("flow.firewall.event", Source::Byte(Byte::FirewallEvent)),
    ("source.mac", Source::Mac(Mac::Source)),
    ("destination.mac", Source::Mac(Mac::Destination)),
    ("flow.ether_type", Source::Short(Short::EtherType)),
    ("flow.vlan.id", Source::Short(Short::Vlan)),
    ("flow.vlan.inner_id", Source::Short(Short::InnerVlan)),
    ("flow.vlan.post_id", Source::Short(Short::PostVlan)),
    ("flow.mpls.labels", Source::MplsLabels),
    ("flow.in.vrf.id", Source::Word(Word::InVrf)),
    ("flow.in.vrf.name", Source::Name(Word::InVrfName)),
    ("flow.out.vrf.id", Source::Word(Word::OutVrf)),
    ("flow.tunnel.type", Source::Word8(Byte::TunnelType, TUNNEL_TYPES)),
    ("flow.tunnel.id", Source::Word(Word::TunnelId)),
    ("flow.inner.source.address", Source::Address(Address::InnerSource)),
    ("flow.inner.source.port", Source::Short(Short::InnerSourcePort)),
    ("flow.inner.destination.address", Source::Address(Address::InnerDestination)),
    ("flow.inner.destination.port", Source::Short(Short::InnerDestinationPort)),
    ("flow.inner.ip.protocol", Source::Byte(Byte::InnerTransport)),
    ("flow.application.id", Source::Long(Long::ApplicationId)),
    ("flow.application.name", Source::Name(Word::ApplicationName)),
    ("flow.id", Source::Long(Long::FlowId)),
    ("flow.forwarding_status", Source::Byte(Byte::ForwardingStatus)),
    ("flow.end_reason", Source::Byte(Byte::EndReason)),
    ("flow.drop.reason", Source::Word(Word::DropReason)),
];

/// Columns that every row has.
const ALWAYS: &[&str] = &["flow.time_received", "flow.type", "flow.exporter.address"];

fn decoded_fields() -> Vec<Field> {
    let field = |(name, source): &(&str, Source)| {
        Field::new(*name, data_type(*source), !ALWAYS.contains(name))
    };
    LAYOUT.iter().map(field).collect()
}

static DECODED: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(decoded_fields())));

static FLOWS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = decoded_fields();
    fields.extend(MEANING.iter().map(|column| meaning_field(*column)));
    Arc::new(Schema::new(fields))
});

/// The columns that exporters tell.
pub(crate) fn decoded_schema() -> SchemaRef {
    Arc::clone(&DECODED)
}

/// The schema of table `flows`: what exporters tell, and behind it what it means. Columns are only
/// ever added at the end.
pub fn flow_schema() -> SchemaRef {
    Arc::clone(&FLOWS)
}

/// The type of all time columns.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

fn data_type(source: Source) -> DataType {
    let words = |key: DataType| DataType::Dictionary(Box::new(key), Box::new(DataType::Utf8));
    match source {
        Source::Byte(_) | Source::Dscp => DataType::UInt8,
        Source::Word8(..) | Source::TransportName(_) | Source::NetworkType => {
            words(DataType::UInt8)
        }
        Source::Short(_) => DataType::UInt16,
        Source::Word(_) => DataType::UInt32,
        Source::Name(_) => words(DataType::UInt32),
        Source::Long(_) | Source::Scaled(_) => DataType::UInt64,
        Source::Address(_) => DataType::FixedSizeBinary(16),
        Source::Mac(_) => DataType::FixedSizeBinary(6),
        Source::Time(_) => timestamp(),
        Source::MplsLabels => DataType::List(Arc::new(Field::new("item", DataType::UInt32, false))),
    }
}

/// The name of an IP protocol number as OpenTelemetry writes it; the number where it has no name.
pub(crate) fn transport_names() -> Vec<String> {
    let known: &[(usize, &str)] = &[
        (0, "hopopt"),
        (1, "icmp"),
        (2, "igmp"),
        (4, "ipip"),
        (6, "tcp"),
        (8, "egp"),
        (17, "udp"),
        (33, "dccp"),
        (41, "ipv6"),
        (46, "rsvp"),
        (47, "gre"),
        (50, "esp"),
        (51, "ah"),
        (58, "ipv6-icmp"),
        (88, "eigrp"),
        (89, "ospf"),
        (103, "pim"),
        (112, "vrrp"),
        (115, "l2tp"),
        (132, "sctp"),
        (136, "udplite"),
        (137, "mpls-in-ip"),
    ];
    let mut names: Vec<String> = (0..256).map(|n| n.to_string()).collect();
    for (number, name) in known {
        names[*number] = (*name).to_owned();
    }
    names
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_stands_once() {
        let names: HashSet<&str> = LAYOUT.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), LAYOUT.len());
        let all = flow_schema();
        let names: HashSet<&str> = all.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names.len(), LAYOUT.len() + MEANING.len());
        assert!(decoded_schema().fields().iter().zip(all.fields()).all(|(a, b)| a == b));
    }
}
