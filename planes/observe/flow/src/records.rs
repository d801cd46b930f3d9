//! Data records to rows, and what every row is given besides.

use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::copy::{self, Clocks, Records};
use crate::counters::Counters;
use crate::decoder::Desk;
use crate::exporter::{Domain, Protocol};
use crate::names::{NameKey, Names};
use crate::plan::{Plan, Shape, Span, VARIABLE};
use crate::read::{address_bytes, number};
use crate::rows::Rows;
use crate::schema::{Address, Byte, Long, Short, Time, Word};

/// A flow that ends so much later than it came was timed by a wrong clock.
const AHEAD_NS: i64 = 60 * 1_000_000_000;

/// The end of 32 bits of seconds, in 2106: no header or record says a later time and means it.
const LATEST_NS: i64 = (1 << 32) * 1_000_000_000;

/// What a datagram says of all its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    pub(crate) from: SocketAddr,
    pub(crate) received_ns: i64,
    pub(crate) clocks: Clocks,
    pub(crate) sequence: u32,
    pub(crate) protocol: Protocol,
    pub(crate) domain: u32,
    pub(crate) agent: Option<[u8; 16]>,
}

/// Writes the columns that all `n` new rows have in common.
#[inline]
pub(crate) fn write_common(rows: &mut Rows, message: &Message, n: usize) {
    let start = rows.len();
    rows.time(Time::Received).fill(start, n, message.received_ns);
    // The order of `schema::FLOW_TYPES`.
    rows.byte(Byte::Type).fill(start, n, message.protocol as u8);
    rows.address(Address::Exporter).fill(start, n, address_bytes(message.from.ip()));
    rows.short(Short::ExporterPort).fill(start, n, message.from.port());
    rows.word(Word::Domain).fill(start, n, message.domain);
    rows.word(Word::Sequence).fill(start, n, message.sequence);
    if let Some(agent) = message.agent {
        rows.address(Address::Agent).fill(start, n, agent);
    }
}

/// Decodes a data set; returns how many records it had.
pub(crate) fn data_set(
    plan: &Plan,
    domain: &Domain,
    counters: &mut Counters,
    message: &Message,
    body: &[u8],
    desk: &mut Desk<'_>,
) -> u32 {
    let clocks = match domain.init_ms {
        Some(init_ms) if message.clocks.uptime_ms.is_none() => message.clocks.since_init(init_ms),
        _ => message.clocks,
    };
    let message = Message { clocks, ..*message };
    match &plan.shape {
        Shape::Fixed { stride, spans } => {
            let mut left = body;
            let mut records = 0_usize;
            // What is shorter than a record is padding (RFC 7011 §3.3.1).
            while left.len() >= *stride {
                let n = (left.len() / stride).min(desk.room());
                let (now, after) = left.split_at(n * stride);
                let run = Records { body: now, stride: *stride, count: n, spans };
                write_run(plan, domain, counters, &message, &run, desk);
                records += n;
                left = after;
            }
            records as u32
        }
        Shape::Variable { lengths, least } => {
            let mut left = body;
            let mut records = 0;
            let mut spans = std::mem::take(desk.spans);
            while left.len() >= *least {
                let Some(length) = measure(lengths, left, &mut spans) else {
                    counters.truncated += 1;
                    break;
                };
                let (now, after) = left.split_at(length);
                desk.room();
                let run = Records { body: now, stride: length, count: 1, spans: &spans };
                write_run(plan, domain, counters, &message, &run, desk);
                records += 1;
                left = after;
            }
            *desk.spans = spans;
            records
        }
    }
}

/// Where the fields of the record at the begin of `bytes` are; its length, or `None` if it does not
/// fit. The length is more than 0: a template has at least one byte of fields.
pub(crate) fn measure(lengths: &[u16], bytes: &[u8], spans: &mut Vec<Span>) -> Option<usize> {
    spans.clear();
    let mut at = 0_usize;
    for length in lengths {
        let length = if *length == VARIABLE {
            // RFC 7011 §7: one byte, or 255 and two bytes.
            let short = usize::from(*bytes.get(at)?);
            at += 1;
            if short < 255 {
                short
            } else {
                let long = bytes.get(at..at + 2)?;
                at += 2;
                number(long) as usize
            }
        } else {
            usize::from(*length)
        };
        spans.push(Span { at: at as u32, length: length as u32 });
        at += length;
        if at > bytes.len() {
            return None;
        }
    }
    (at > 0).then_some(at)
}

/// Rows of records of one length. There is room for all.
fn write_run(
    plan: &Plan,
    domain: &Domain,
    counters: &mut Counters,
    message: &Message,
    records: &Records<'_>,
    desk: &mut Desk<'_>,
) {
    let rows = &mut *desk.rows;
    let start = rows.len();
    let n = records.count;
    let timeless = copy::run(plan, records, message.clocks, rows);
    write_common(rows, message, n);
    write_rate(plan, domain, counters, rows, start, n);
    if !plan.names.is_empty() {
        write_own_names(plan, domain, counters, records, (rows, desk.names));
    }
    write_names(domain, rows, start, n);
    counters.flows += n as u64;
    counters.times_unknown += timeless as u64;
    // What nobody says when it was received, as raw datagrams of a file, is ahead of nothing.
    let latest = match message.received_ns {
        0 => LATEST_NS,
        received_ns => received_ns.saturating_add(AHEAD_NS),
    };
    within_time(rows.time(Time::Start).since_mut(start), LATEST_NS, counters);
    within_time(rows.time(Time::End).since_mut(start), latest.clamp(0, LATEST_NS), counters);
    rows.grow(n);
}

/// Counts the times that are after `latest`, and those before 1970; and puts what is beyond all time at its edge, so
/// that any two times can be subtracted.
#[inline]
fn within_time(times: &mut [i64], latest: i64, counters: &mut Counters) {
    // What is below 0 is above everything as an unsigned number: one comparison for both.
    let odd = |time: i64| time.cast_unsigned() > latest.cast_unsigned();
    if times.iter().filter(|time| odd(**time)).count() == 0 {
        return;
    }
    for time in times {
        counters.times_ahead += u64::from(*time > latest);
        counters.times_unknown += u64::from(*time < 0);
        *time = (*time).clamp(0, LATEST_NS);
    }
}

/// The rate that a record tells itself, else that of its sampler, of its interface, or of its domain.
fn write_rate(
    plan: &Plan,
    domain: &Domain,
    counters: &mut Counters,
    rows: &mut Rows,
    start: usize,
    n: usize,
) {
    let plain = domain.plain_rate();
    let rate_of = |sampler: Option<u32>| match sampler {
        // Sampler 0 is none: not sampled by any, so the domain's own rate if it has one.
        Some(0) => domain.rate,
        Some(id) => domain.samplers.get(&id).copied().or(domain.rate),
        None => plain,
    };
    // Of two interfaces that by which it came in.
    let rate_at = |rows: &mut Rows, row: usize| {
        let sampler = rows.word(Word::SamplerId).at(row);
        let named = || sampler.and_then(|id| domain.samplers.get(&id).copied());
        let by = [Word::InInterface, Word::OutInterface];
        let mut by = by.map(|word| rows.word(word).at(row)).into_iter().flatten();
        let of_interface = || by.find_map(|index| domain.interface_rates.get(&index).copied());
        match domain.interface_rates.is_empty() {
            true => rate_of(sampler),
            false => named().or_else(of_interface).or_else(|| rate_of(sampler)),
        }
    };
    if plan.tells_rate {
        // A rate of 0 is none.
        let told = rows.word(Word::SamplingRate).since(start);
        if told.len() == n && !told.contains(&0) {
            return;
        }
        let rates: Vec<Option<u32>> = (start..start + n)
            .map(|row| {
                let told = rows.word(Word::SamplingRate).at(row).filter(|rate| *rate > 0);
                told.or_else(|| rate_at(rows, row))
            })
            .collect();
        counters.sampling_unknown += rates.iter().filter(|rate| rate.is_none()).count() as u64;
        rows.word(Word::SamplingRate).rewrite(start, &rates);
        return;
    }
    if domain.interface_rates.is_empty()
        && (domain.samplers.is_empty() || rows.word(Word::SamplerId).since(start).is_empty())
    {
        match plain {
            Some(rate) => rows.word(Word::SamplingRate).fill(start, n, rate),
            None => counters.sampling_unknown += n as u64,
        }
        return;
    }
    // Mostly one sampler for all.
    let told = rows.word(Word::SamplerId).since(start);
    if let ([first, rest @ ..], true) = (told, told.len() == n)
        && domain.interface_rates.is_empty()
        && rest.iter().all(|id| id == first)
        && let Some(rate) = rate_of(Some(*first))
    {
        rows.word(Word::SamplingRate).fill(start, n, rate);
        return;
    }
    for row in start..start + n {
        match rate_at(rows, row) {
            Some(rate) => rows.word(Word::SamplingRate).set(row, rate),
            None => counters.sampling_unknown += 1,
        }
    }
}

/// Names that records tell themselves; where one tells none, that which the exporter told for all.
fn write_own_names(
    plan: &Plan,
    domain: &Domain,
    counters: &mut Counters,
    records: &Records<'_>,
    (rows, names): (&mut Rows, &mut Names),
) {
    let start = rows.len();
    let refused = names.refused;
    for (column, field) in &plan.names {
        for (row, bytes) in (start..).zip(records.fields(*field)) {
            let of_all = |rows: &mut Rows| match column {
                Word::OutInterfaceName => {
                    name_of(rows, Word::OutInterface, row, &domain.interfaces)
                }
                Word::InVrfName => name_of(rows, Word::InVrf, row, &domain.vrfs),
                Word::ApplicationName => {
                    let id = rows.long(Long::ApplicationId).at(row)?;
                    domain.applications.get(&id).copied()
                }
                _ => name_of(rows, Word::InInterface, row, &domain.interfaces),
            };
            let name = names.key_of_bytes(bytes).or_else(|| of_all(rows));
            rows.word(*column).set_some(row, name.map(|key| key.0));
        }
    }
    counters.names_refused += names.refused - refused;
}

fn name_of(
    rows: &mut Rows,
    id: Word,
    row: usize,
    names: &HashMap<u32, NameKey>,
) -> Option<NameKey> {
    names.get(&rows.word(id).at(row)?).copied()
}

/// Names that the exporter told for interfaces, VRFs and applications. Rows that have one keep it.
pub(crate) fn write_names(domain: &Domain, rows: &mut Rows, start: usize, n: usize) {
    if !domain.interfaces.is_empty() {
        let find = |index: u32| domain.interfaces.get(&index).copied();
        write_word_names(rows, Word::InInterface, Word::InInterfaceName, start, n, find);
        write_word_names(rows, Word::OutInterface, Word::OutInterfaceName, start, n, find);
    }
    if !domain.vrfs.is_empty() {
        let find = |id: u32| domain.vrfs.get(&id).copied();
        write_word_names(rows, Word::InVrf, Word::InVrfName, start, n, find);
    }
    if !domain.applications.is_empty() {
        for row in start..start + n {
            let id = rows.long(Long::ApplicationId).at(row);
            let key = id.and_then(|id| domain.applications.get(&id));
            rows.word(Word::ApplicationName).set_some(row, key.map(|key| key.0));
        }
    }
}

fn write_word_names(
    rows: &mut Rows,
    id: Word,
    name: Word,
    start: usize,
    n: usize,
    find: impl Fn(u32) -> Option<NameKey>,
) {
    if rows.word(id).since(start).is_empty() {
        return;
    }
    for row in start..start + n {
        let key = rows.word(id).at(row).and_then(&find);
        rows.word(name).set_some(row, key.map(|key| key.0));
    }
}
