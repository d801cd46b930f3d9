//! Which information elements go to which column.
//!
//! The IANA "IPFIX Information Elements" registry, whose first 127 numbers are those of NetFlow v9
//! (RFC 3954 §8). Where two elements of one template tell the same, the one of the lower rank wins:
//! deltas before totals, finer times before coarser ones.

use crate::schema::{Address, Byte, Long, Mac, Short, Time, Word};

/// The enterprise number under which RFC 5103 §6.1 numbers elements of a biflow's way back.
pub(crate) const REVERSE: u32 = 29305;

/// What an element's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Byte(Byte),
    Short(Short),
    Word(Word),
    Long(Long),
    /// An IPv4 address.
    V4(Address),
    /// An IPv6 address.
    V6(Address),
    Mac(Mac),
    Time(Time, Clock),
    /// How long the flow lasted, in units of this many nanoseconds.
    Duration(i64),
    /// ICMP type and code in one number.
    Icmp,
    /// One MPLS label stack entry.
    Label,
    /// A layer 2 overlay's type and segment (RFC 7133 §4.2.1).
    Segment,
    /// The packet's first bytes, from the data link or the network layer on.
    Packet(Layer),
    /// The length of the packet that `Packet` is the begin of.
    PacketLength,
    /// An application id: one byte of classification engine, then its own number (RFC 6759 §4).
    Application,
    /// Words for options; see [`crate::options`].
    Option(OptionMeaning),
}

/// Which header a section of a packet begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    Ethernet,
    Ip,
}

/// The clock that a time is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    /// NTP format (RFC 7011 §6.1.9, §6.1.10).
    Ntp,
    /// Microseconds before the message's export time.
    DeltaMicros,
    /// Milliseconds since the exporter started.
    Uptime,
}

/// What an option record tells besides columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptionMeaning {
    SamplingInterval,
    PacketInterval,
    PacketSpace,
    SamplingSize,
    SamplingPopulation,
    SamplingProbability,
    InterfaceName,
    InterfaceDescription,
    ApplicationName,
    VrfName,
    /// When the exporter started, in milliseconds since 1970.
    SystemInit,
}

/// The column of an element and its rank, or `None` if it has none here.
pub(crate) fn meaning(enterprise: u32, id: u16) -> Option<(Meaning, u8)> {
    match enterprise {
        0 => forward(id),
        REVERSE => reverse(id),
        _ => None,
    }
}

fn reverse(id: u16) -> Option<(Meaning, u8)> {
    Some(match id {
        1 => (Meaning::Long(Long::ReverseBytes), 0),
        85 => (Meaning::Long(Long::ReverseBytes), 1),
        2 => (Meaning::Long(Long::ReversePackets), 0),
        86 => (Meaning::Long(Long::ReversePackets), 1),
        6 => (Meaning::Short(Short::ReverseTcpFlags), 0),
        _ => return None,
    })
}

fn forward(id: u16) -> Option<(Meaning, u8)> {
    count_or_key(id)
        .or_else(|| place(id))
        .or_else(|| time(id))
        .or_else(|| layer_two(id))
        .or_else(|| option(id).map(|meaning| (Meaning::Option(meaning), 0)))
}

/// Counts, the flow's key, and what was done to it.
fn count_or_key(id: u16) -> Option<(Meaning, u8)> {
    use Meaning as M;
    Some(match id {
        1 => (M::Long(Long::Bytes), 0),
        85 => (M::Long(Long::Bytes), 1),
        // NSEL counts the two ways of a connection as initiator's and responder's.
        231 => (M::Long(Long::Bytes), 2),
        2 => (M::Long(Long::Packets), 0),
        86 => (M::Long(Long::Packets), 1),
        298 => (M::Long(Long::Packets), 2),
        23 => (M::Long(Long::PostBytes), 0),
        24 => (M::Long(Long::PostPackets), 0),
        232 => (M::Long(Long::ReverseBytes), 2),
        299 => (M::Long(Long::ReversePackets), 2),
        4 => (M::Byte(Byte::Transport), 0),
        5 => (M::Byte(Byte::Tos), 0),
        6 => (M::Short(Short::TcpFlags), 0),
        7 => (M::Short(Short::SourcePort), 0),
        // By transport: UDP, TCP.
        180 | 182 => (M::Short(Short::SourcePort), 1),
        11 => (M::Short(Short::DestinationPort), 0),
        181 | 183 => (M::Short(Short::DestinationPort), 1),
        8 => (M::V4(Address::Source), 0),
        27 => (M::V6(Address::Source), 0),
        12 => (M::V4(Address::Destination), 0),
        28 => (M::V6(Address::Destination), 0),
        31 => (M::Word(Word::FlowLabel), 0),
        32 | 139 => (M::Icmp, 0),
        176 | 178 => (M::Byte(Byte::IcmpType), 1),
        177 | 179 => (M::Byte(Byte::IcmpCode), 1),
        192 => (M::Byte(Byte::Ttl), 0),
        // Shortest time to live seen, where the flow's own is not told.
        52 => (M::Byte(Byte::Ttl), 1),
        61 => (M::Byte(Byte::Direction), 0),
        89 => (M::Byte(Byte::ForwardingStatus), 0),
        136 => (M::Byte(Byte::EndReason), 0),
        148 => (M::Long(Long::FlowId), 0),
        225 => (M::V4(Address::SourceNat), 0),
        281 => (M::V6(Address::SourceNat), 0),
        226 => (M::V4(Address::DestinationNat), 0),
        282 => (M::V6(Address::DestinationNat), 0),
        227 => (M::Short(Short::SourceNatPort), 0),
        228 => (M::Short(Short::DestinationNatPort), 0),
        // The same of Cisco ASA before it used the registry's numbers (NetFlow v9 only).
        40001 => (M::V4(Address::SourceNat), 1),
        40002 => (M::V4(Address::DestinationNat), 1),
        40003 => (M::Short(Short::SourceNatPort), 1),
        40004 => (M::Short(Short::DestinationNatPort), 1),
        230 => (M::Byte(Byte::NatEvent), 0),
        233 => (M::Byte(Byte::FirewallEvent), 0),
        // Cisco ASA's number for the same.
        40005 => (M::Byte(Byte::FirewallEvent), 1),
        95 => (M::Application, 0),
        48 => (M::Word(Word::SamplerId), 0),
        302 => (M::Word(Word::SamplerId), 1),
        _ => return None,
    })
}

/// Interfaces, routing, VRFs.
fn place(id: u16) -> Option<(Meaning, u8)> {
    use Meaning as M;
    Some(match id {
        10 => (M::Word(Word::InInterface), 0),
        252 => (M::Word(Word::InInterface), 1),
        14 => (M::Word(Word::OutInterface), 0),
        253 => (M::Word(Word::OutInterface), 1),
        15 => (M::V4(Address::NextHop), 0),
        62 => (M::V6(Address::NextHop), 0),
        18 => (M::V4(Address::BgpNextHop), 0),
        63 => (M::V6(Address::BgpNextHop), 0),
        16 => (M::Word(Word::SourceAs), 0),
        17 => (M::Word(Word::DestinationAs), 0),
        128 => (M::Word(Word::NextAs), 0),
        129 => (M::Word(Word::PreviousAs), 0),
        9 => (M::Byte(Byte::SourcePrefix), 0),
        29 => (M::Byte(Byte::SourcePrefix), 1),
        13 => (M::Byte(Byte::DestinationPrefix), 0),
        30 => (M::Byte(Byte::DestinationPrefix), 1),
        234 => (M::Word(Word::InVrf), 0),
        235 => (M::Word(Word::OutVrf), 0),
        130 => (M::V4(Address::Agent), 0),
        131 => (M::V6(Address::Agent), 0),
        _ => return None,
    })
}

fn time(id: u16) -> Option<(Meaning, u8)> {
    let at = |slot, clock, rank| Some((Meaning::Time(slot, clock), rank));
    match id {
        156 => at(Time::Start, Clock::Ntp, 0),
        157 => at(Time::End, Clock::Ntp, 0),
        154 => at(Time::Start, Clock::Ntp, 1),
        155 => at(Time::End, Clock::Ntp, 1),
        152 => at(Time::Start, Clock::Millis, 2),
        153 => at(Time::End, Clock::Millis, 2),
        158 => at(Time::Start, Clock::DeltaMicros, 3),
        159 => at(Time::End, Clock::DeltaMicros, 3),
        22 => at(Time::Start, Clock::Uptime, 4),
        21 => at(Time::End, Clock::Uptime, 4),
        150 => at(Time::Start, Clock::Seconds, 5),
        151 => at(Time::End, Clock::Seconds, 5),
        // Of one packet or event.
        325 => at(Time::End, Clock::Ntp, 6),
        324 => at(Time::End, Clock::Ntp, 7),
        323 => at(Time::End, Clock::Millis, 8),
        322 => at(Time::End, Clock::Seconds, 9),
        161 => Some((Meaning::Duration(1_000_000), 0)),
        162 => Some((Meaning::Duration(1_000), 0)),
        _ => None,
    }
}

fn layer_two(id: u16) -> Option<(Meaning, u8)> {
    use Meaning as M;
    Some(match id {
        56 => (M::Mac(Mac::Source), 0),
        81 => (M::Mac(Mac::Source), 1),
        80 => (M::Mac(Mac::Destination), 0),
        57 => (M::Mac(Mac::Destination), 1),
        256 => (M::Short(Short::EtherType), 0),
        // The tag on the wire before the VLAN that the exporter made of it.
        243 => (M::Short(Short::Vlan), 0),
        58 => (M::Short(Short::Vlan), 1),
        245 => (M::Short(Short::InnerVlan), 0),
        254 => (M::Short(Short::PostVlan), 0),
        59 => (M::Short(Short::PostVlan), 1),
        70..=79 => (M::Label, (id - 70) as u8),
        351 => (M::Segment, 0),
        315 => (M::Packet(Layer::Ethernet), 0),
        104 => (M::Packet(Layer::Ethernet), 1),
        313 => (M::Packet(Layer::Ip), 2),
        312 => (M::PacketLength, 0),
        103 => (M::PacketLength, 1),
        224 => (M::PacketLength, 2),
        _ => return None,
    })
}

fn option(id: u16) -> Option<OptionMeaning> {
    Some(match id {
        34 | 50 => OptionMeaning::SamplingInterval,
        305 => OptionMeaning::PacketInterval,
        306 => OptionMeaning::PacketSpace,
        309 => OptionMeaning::SamplingSize,
        310 => OptionMeaning::SamplingPopulation,
        311 => OptionMeaning::SamplingProbability,
        82 => OptionMeaning::InterfaceName,
        83 => OptionMeaning::InterfaceDescription,
        96 => OptionMeaning::ApplicationName,
        236 => OptionMeaning::VrfName,
        160 => OptionMeaning::SystemInit,
        _ => return None,
    })
}
