//! sFlow version 5: datagrams and samples ("sFlow Version 5", sflow.org, July 2004, §5).

mod record;

use crate::copy::Clocks;
use crate::counters::Counters;
use crate::decoder::Desk;
use crate::exporter::{Domain, DomainKey, Exporter, Protocol, insert_bounded};
use crate::interfaces::Speaker;
use crate::read::{Reader, address_bytes};
use crate::records::{Message, write_common, write_names};
use crate::schema::{Byte, Long, Time, Word};
use crate::templated::count_heard;

/// "Unknown or not an interface" (§5, `interface`).
const NO_INTERFACE: u32 = 0x3fff_ffff;

/// A datagram, after its version.
pub(crate) fn sflow(
    exporter: &mut Exporter,
    received_ns: i64,
    mut at: Reader<'_>,
    desk: &mut Desk<'_>,
) -> Option<()> {
    let agent = address(&mut at)??;
    let sub_agent = at.u32()?;
    let sequence = at.u32()?;
    let _uptime_ms = at.u32()?;
    let samples = at.u32()?;
    let key = DomainKey { protocol: Protocol::Sflow5, id: sub_agent, agent };
    let Some(index) = exporter.domain(&key, desk.limits) else {
        exporter.counters.domains_refused += 1;
        return Some(());
    };
    let domain = exporter.domains.get_mut(index)?;
    let counters = &mut exporter.counters;
    count_heard(counters, domain.sequence.hear(sequence, 1), true);
    let message = Message {
        from: exporter.from,
        received_ns,
        clocks: Clocks { export_ns: received_ns, uptime_ms: None },
        sequence,
        protocol: Protocol::Sflow5,
        domain: sub_agent,
        agent: Some(agent),
    };
    let mut new = New { rows: 0, scratch: record::Sample::default() };
    for _ in 0..samples {
        let Some((format, body)) = block(&mut at) else {
            counters.truncated += 1;
            break;
        };
        let read = match format {
            1 | 3 => flow_sample(body, format == 3, &mut new, domain, counters, &message, desk),
            2 | 4 => counter_sample(body, format == 4, domain, counters, &message, desk),
            5 => discarded_packet(body, &mut new, domain, counters, &message, desk),
            _ => {
                counters.formats_skipped += 1;
                Some(())
            }
        };
        counters.truncated += u64::from(read.is_none());
    }
    new.complete(domain, counters, &message, desk);
    Some(())
}

/// Rows of one datagram that still need the columns they have in common.
struct New {
    rows: usize,
    scratch: record::Sample,
}

impl New {
    fn complete(
        &mut self,
        domain: &Domain,
        counters: &mut Counters,
        message: &Message,
        desk: &mut Desk<'_>,
    ) {
        let n = std::mem::take(&mut self.rows);
        if n == 0 {
            return;
        }
        let rows = &mut *desk.rows;
        let start = rows.len();
        // A sample has no time of its own.
        rows.time(Time::Start).fill(start, n, message.received_ns);
        rows.time(Time::End).fill(start, n, message.received_ns);
        // And is of one packet.
        rows.long(Long::Packets).fill(start, n, 1);
        write_common(rows, message, n);
        write_names(domain, rows, start, n);
        rows.grow(n);
        counters.flows += n as u64;
    }
}

/// A format and as many bytes as the length after it says.
fn block<'a>(at: &mut Reader<'a>) -> Option<(u32, Reader<'a>)> {
    let format = at.u32()?;
    let length = at.u32()? as usize;
    let body = at.take(length)?;
    // Opaque data is padded to four bytes (RFC 4506 §4.10); some agents count that in, some not.
    at.take((4 - length % 4) % 4);
    Some((format, Reader::new(body)))
}

/// An address: outer `None` if it is cut off, inner if its type is none that is defined.
fn address(at: &mut Reader<'_>) -> Option<Option<[u8; 16]>> {
    match at.u32()? {
        1 => at.v4().map(Some),
        2 => at.array().map(Some),
        _ => Some(None),
    }
}

/// An interface of a sample: its index, or why there is none.
#[derive(Debug, Clone, Copy)]
struct Port {
    format: u32,
    value: u32,
}

impl Port {
    fn read(at: &mut Reader<'_>, expanded: bool) -> Option<Self> {
        let first = at.u32()?;
        Some(if expanded {
            Self { format: first, value: at.u32()? }
        } else {
            Self { format: first >> 30, value: first & 0x3fff_ffff }
        })
    }

    fn index(self) -> Option<u32> {
        let known = self.format == 0 && self.value != NO_INTERFACE && self.value != u32::MAX;
        known.then_some(self.value)
    }

    fn drop_reason(self) -> Option<u32> {
        (self.format == 1).then_some(self.value)
    }
}

fn source(at: &mut Reader<'_>, expanded: bool) -> Option<(u32, u32)> {
    let first = at.u32()?;
    Some(if expanded { (first, at.u32()?) } else { (first >> 24, first & 0x00ff_ffff) })
}

/// What a sample says before its records.
struct Head {
    source: (u32, u32),
    rate: u32,
    input: Port,
    output: Port,
    drop_reason: Option<u32>,
}

fn flow_sample(
    mut at: Reader<'_>,
    expanded: bool,
    new: &mut New,
    domain: &Domain,
    counters: &mut Counters,
    message: &Message,
    desk: &mut Desk<'_>,
) -> Option<()> {
    let _sequence = at.u32()?;
    let source = source(&mut at, expanded)?;
    let rate = at.u32()?;
    let _pool = at.u32()?;
    let _drops = at.u32()?;
    let input = Port::read(&mut at, expanded)?;
    let output = Port::read(&mut at, expanded)?;
    let records = at.u32()?;
    let head = Head { source, rate, input, output, drop_reason: output.drop_reason() };
    desk_room(new, domain, counters, message, desk);
    row(at, records, &head, new, counters, desk)
}

/// "sFlow Dropped Packet Notification Structures" (sflow.org, 2020).
fn discarded_packet(
    mut at: Reader<'_>,
    new: &mut New,
    domain: &Domain,
    counters: &mut Counters,
    message: &Message,
    desk: &mut Desk<'_>,
) -> Option<()> {
    let _sequence = at.u32()?;
    let source = source(&mut at, true)?;
    let drops = at.u32()?;
    let input = Port { format: 0, value: at.u32()? };
    let output = Port { format: 0, value: at.u32()? };
    let reason = at.u32()?;
    let records = at.u32()?;
    counters.agent_drops += u64::from(drops);
    // Every drop is told, so each stands for itself.
    let head = Head { source, rate: 1, input, output, drop_reason: Some(reason) };
    desk_room(new, domain, counters, message, desk);
    row(at, records, &head, new, counters, desk)
}

/// Makes room for one row more than the new ones.
fn desk_room(
    new: &mut New,
    domain: &Domain,
    counters: &mut Counters,
    message: &Message,
    desk: &mut Desk<'_>,
) {
    if desk.room() <= new.rows {
        new.complete(domain, counters, message, desk);
        desk.room();
    }
}

/// One row of a sampled packet. What its records say until one is cut off stays.
fn row(
    mut at: Reader<'_>,
    records: u32,
    head: &Head,
    new: &mut New,
    counters: &mut Counters,
    desk: &mut Desk<'_>,
) -> Option<()> {
    let rows = &mut *desk.rows;
    let row = rows.len() + new.rows;
    let mut whole = Some(());
    let sample = &mut new.scratch;
    sample.clear();
    for _ in 0..records {
        let Some((format, body)) = block(&mut at) else {
            whole = None;
            break;
        };
        sample.read(format, body, counters);
    }
    sample.write(rows, row);
    if head.rate > 0 {
        rows.word(Word::SamplingRate).set(row, head.rate);
    } else {
        counters.sampling_unknown += 1;
    }
    rows.word(Word::InInterface).set_some(row, head.input.index());
    rows.word(Word::OutInterface).set_some(row, head.output.index());
    rows.word(Word::DropReason).set_some(row, head.drop_reason);
    rows.byte(Byte::Direction).set_some(row, direction(head));
    new.rows += 1;
    whole
}

/// The way through the interface that sampled the packet, where it is one of the two.
fn direction(head: &Head) -> Option<u8> {
    let (kind, index) = head.source;
    match kind {
        0 if head.input.index() == Some(index) => Some(0),
        // Format 2: it leaves by several interfaces.
        0 if head.output.index() == Some(index) || head.output.format == 2 => Some(1),
        _ => None,
    }
}

fn counter_sample(
    mut at: Reader<'_>,
    expanded: bool,
    domain: &mut Domain,
    counters: &mut Counters,
    message: &Message,
    desk: &mut Desk<'_>,
) -> Option<()> {
    let _sequence = at.u32()?;
    let (kind, source_index) = source(&mut at, expanded)?;
    let records = at.u32()?;
    desk.counter_room();
    let mut index = (kind == 0).then_some(source_index);
    let mut written = false;
    let mut whole = Some(());
    for _ in 0..records {
        let Some((format, body)) = block(&mut at) else {
            whole = None;
            break;
        };
        match format {
            1 => match desk.interfaces.generic(body) {
                Some(told) => {
                    index = Some(told);
                    written = true;
                }
                None => counters.truncated += 1,
            },
            2 => match desk.interfaces.ethernet(body) {
                Some(()) => written = true,
                None => counters.truncated += 1,
            },
            // Port name (sFlow Port Name structure, 2013).
            1005 => port_name(body, index, domain, counters, desk),
            _ => counters.formats_skipped += 1,
        }
    }
    if written {
        let speaker = Speaker {
            received_ns: message.received_ns,
            exporter: address_bytes(message.from.ip()),
            port: message.from.port(),
            agent: domain.key.agent,
            sub_agent: domain.key.id,
        };
        let index = index.unwrap_or(source_index);
        let name = domain.interfaces.get(&index).copied();
        desk.interfaces.finish_row(&speaker, index, name);
        counters.interface_counters += 1;
    }
    whole
}

fn port_name(
    mut at: Reader<'_>,
    index: Option<u32>,
    domain: &mut Domain,
    counters: &mut Counters,
    desk: &mut Desk<'_>,
) {
    let text = at.u32().and_then(|length| at.take(length as usize));
    let (Some(text), Some(index)) = (text, index) else {
        counters.truncated += u64::from(text.is_none());
        return;
    };
    let Some(key) = desk.names.key_of_bytes(text) else { return };
    let fits = insert_bounded(&mut domain.interfaces, index, key, desk.limits.max_options);
    counters.names_refused += u64::from(!fits);
}
