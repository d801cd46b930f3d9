//! Running a [`Plan`]: one loop over all records of a set for each column.

use crate::element::Clock;
use crate::packet;
use crate::plan::{Copy, Plan, RateFields, Span};
use crate::rate::{SaidOfSampling, probability};
use crate::read::{bytes_at, is_unspecified, mapped, number};
use crate::rows::{MAX_LABELS, Rows};
use crate::schema::{Address, Byte, DIRECTIONS, Long, Mac, Short, Time, Word};

/// Seconds from 1900, where NTP begins, to 1970.
const NTP_TO_UNIX_S: u64 = 2_208_988_800;

/// What times in records are relative to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    /// When the message was exported, nanoseconds since 1970.
    pub(crate) export_ns: i64,
    /// How long the exporter ran by then; wraps after 49.7 days.
    pub(crate) uptime_ms: Option<u32>,
}

impl Clocks {
    /// Clocks of an exporter that started at `init_ms` (milliseconds since 1970).
    pub(crate) fn since_init(self, init_ms: u64) -> Self {
        let export_ms = u64::try_from(self.export_ns).unwrap_or_default() / 1_000_000;
        Self { uptime_ms: Some(export_ms.wrapping_sub(init_ms) as u32), ..self }
    }

    /// The time at which the exporter had run for `uptime_ms`. The difference is taken modulo 2^32
    /// ms, so a wrap between the flow and its export does no harm.
    #[inline]
    pub(crate) fn at_uptime(self, now_ms: u32, uptime_ms: u32) -> i64 {
        let before_ms = uptime_ms.wrapping_sub(now_ms).cast_signed();
        self.export_ns.saturating_add(i64::from(before_ms) * 1_000_000)
    }
}

/// Records of one length that follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records<'a> {
    pub(crate) body: &'a [u8],
    /// Bytes of each record.
    pub(crate) stride: usize,
    /// How many there are.
    pub(crate) count: usize,
    /// Where their fields are.
    pub(crate) spans: &'a [Span],
}

impl<'a> Records<'a> {
    #[inline]
    fn span(&self, field: u16) -> (usize, usize) {
        let span = self.spans.get(usize::from(field)).copied().unwrap_or_default();
        (span.at as usize, span.length as usize)
    }

    /// The `N` bytes at `at` of every record.
    #[inline]
    fn each<const N: usize>(&self, at: usize) -> impl Iterator<Item = [u8; N]> + use<'a, N> {
        let Self { body, stride, count, .. } = *self;
        (0..count).map(move |record| bytes_at(body, record * stride + at))
    }

    /// A field of every record.
    #[inline]
    pub(crate) fn fields(&self, field: u16) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (at, length) = self.span(field);
        let Self { body, stride, count, .. } = *self;
        (0..count).map(move |record| {
            let at = record * stride + at;
            body.get(at..at + length).unwrap_or_default()
        })
    }

    /// A field of every record as a number.
    #[inline]
    fn numbers(&self, field: u16) -> impl Iterator<Item = u64> + use<'a> {
        self.fields(field).map(number)
    }

    /// A field of one record as a number.
    fn number_of(&self, record: usize, field: u16) -> u64 {
        let (at, length) = self.span(field);
        let at = record * self.stride + at;
        self.body.get(at..at + length).map_or(0, number)
    }

    /// A field of the first record.
    pub(crate) fn first(&self, field: u16) -> Option<&'a [u8]> {
        self.fields(field).next().filter(|bytes| !bytes.is_empty())
    }
}

/// Decodes `records` into the rows from [`Rows::len`] on; the caller then says [`Rows::grow`].
/// Returns how many times could not be placed because the exporter's start is not known.
pub(crate) fn run(plan: &Plan, records: &Records<'_>, clocks: Clocks, rows: &mut Rows) -> usize {
    let start = rows.len();
    let clocks = match plan.init.and_then(|field| records.first(field)) {
        Some(init) => clocks.since_init(number(init)),
        None => clocks,
    };
    let mut timeless = 0;
    for copy in &plan.copies {
        match *copy {
            Copy::Byte(Byte::Direction, field) => direction(rows, records, field),
            Copy::Byte(slot, field) => byte(rows, slot, records, field),
            Copy::Short(slot, field) => short(rows, slot, records, field),
            Copy::Word(Word::SamplingRate, field) => rate(rows, records, field),
            Copy::Word(slot, field) => word(rows, slot, records, field),
            Copy::Long(slot, field) => long(rows, slot, records, field),
            Copy::V4(slot, field) => v4(rows, slot, records, field),
            Copy::V6(slot, field) => v6(rows, slot, records, field),
            Copy::Either(slot, four, six) => either(rows, slot, records, four, six),
            Copy::Mac(slot, field) => mac(rows, slot, records, field),
            Copy::Time(slot, clock, field) => {
                if !time(rows, slot, clock, records, field, clocks) {
                    timeless += records.count;
                }
            }
            _ => rare(copy, records, rows),
        }
    }
    if !plan.labels.is_empty() {
        labels(plan, records, start, rows);
    }
    timeless
}

/// What few templates have, record by record.
fn rare(copy: &Copy, records: &Records<'_>, rows: &mut Rows) {
    let start = rows.len();
    match *copy {
        Copy::Icmp(field) => {
            let numbers = || records.numbers(field);
            rows.byte(Byte::IcmpType).extend(start, numbers().map(|n| (n >> 8) as u8));
            rows.byte(Byte::IcmpCode).extend(start, numbers().map(|n| n as u8));
        }
        Copy::Segment(field) => {
            for (row, n) in (start..).zip(records.numbers(field)) {
                // 1 is VXLAN, 2 is NVGRE.
                let kind = match n >> 56 {
                    1 => Some(packet::VXLAN),
                    2 => Some(packet::NVGRE),
                    _ => None,
                };
                rows.byte(Byte::TunnelType).set_some(row, kind);
                rows.word(Word::TunnelId).set(row, (n & 0x00ff_ffff) as u32);
            }
        }
        Copy::Application(field) => {
            rows.long(Long::ApplicationId).extend(start, records.fields(field).map(application));
        }
        Copy::Rate(fields) => {
            for row in start..start + records.count {
                let rate = said_of_sampling(records, row - start, &fields).rate();
                rows.word(Word::SamplingRate).set_some(row, rate);
            }
        }
        Copy::Lasts(unit_ns, field) => {
            for (row, n) in (start..).zip(records.numbers(field)) {
                let length = nanos(n, unit_ns);
                match (rows.time(Time::Start).at(row), rows.time(Time::End).at(row)) {
                    (Some(begin), None) => {
                        rows.time(Time::End).set(row, begin.saturating_add(length));
                    }
                    (None, Some(end)) => {
                        rows.time(Time::Start).set(row, end.saturating_sub(length));
                    }
                    _ => {}
                }
            }
        }
        Copy::StartAtEnd => {
            for row in start..start + records.count {
                let end = rows.time(Time::End).at(row);
                rows.time(Time::Start).set_some(row, end);
            }
        }
        Copy::Packet(layer, field, length) => {
            let mut seen = packet::Seen::default();
            for (row, bytes) in (start..).zip(records.fields(field)) {
                let index = row - start;
                let length = length.map(|field| records.number_of(index, field));
                seen.clear();
                seen.dissect(layer.into(), bytes);
                seen.write(rows, row);
                rows.long(Long::Bytes).set_some(row, length);
                // A section of a packet is of one packet.
                rows.long(Long::Packets).set(row, 1);
            }
        }
        _ => {}
    }
}

/// An application id as a number that keeps engine and selector apart (RFC 6759 §4.1).
pub(crate) fn application(bytes: &[u8]) -> u64 {
    match bytes.split_first() {
        Some((engine, selector)) => {
            (u64::from(*engine) << 56) | (number(selector) & (u64::MAX >> 8))
        }
        None => 0,
    }
}

/// What one record says of how its packets were sampled.
fn said_of_sampling(records: &Records<'_>, record: usize, fields: &RateFields) -> SaidOfSampling {
    let number = |field: Option<u16>| field.map(|field| records.number_of(record, field));
    let bytes = |field: u16| {
        let (at, length) = records.span(field);
        let at = record * records.stride + at;
        records.body.get(at..at + length)
    };
    SaidOfSampling {
        interval: number(fields.interval),
        taken: number(fields.taken),
        skipped: number(fields.skipped),
        size: number(fields.size),
        population: number(fields.population),
        probability: fields.probability.and_then(bytes).and_then(probability),
    }
}

fn byte(rows: &mut Rows, slot: Byte, records: &Records<'_>, field: u16) {
    let start = rows.len();
    let column = rows.byte(slot);
    match records.span(field) {
        (_, 0) => {}
        (at, 1) => column.extend(start, records.each::<1>(at).map(|[b]| b)),
        _ => column.extend(start, records.numbers(field).map(|n| n.min(0xff) as u8)),
    }
}

/// 0 is ingress, 1 egress (RFC 7270); others say nothing.
fn direction(rows: &mut Rows, records: &Records<'_>, field: u16) {
    let start = rows.len();
    let column = rows.byte(Byte::Direction);
    if let (at, 1) = records.span(field) {
        let known = |n: u8| usize::from(n) < DIRECTIONS.len();
        if records.each::<1>(at).all(|[n]| known(n)) {
            column.extend(start, records.each::<1>(at).map(|[n]| n));
            return;
        }
        for (row, [n]) in (start..).zip(records.each::<1>(at)) {
            column.set_some(row, Some(n).filter(|n| known(*n)));
        }
    }
}

fn short(rows: &mut Rows, slot: Short, records: &Records<'_>, field: u16) {
    let start = rows.len();
    let column = rows.short(slot);
    match records.span(field) {
        (_, 0) => {}
        (at, 1) => column.extend(start, records.each::<1>(at).map(|[b]| u16::from(b))),
        (at, 2) => column.extend(start, records.each::<2>(at).map(u16::from_be_bytes)),
        _ => column.extend(start, records.numbers(field).map(|n| n.min(0xffff) as u16)),
    }
}

fn word(rows: &mut Rows, slot: Word, records: &Records<'_>, field: u16) {
    let start = rows.len();
    let column = rows.word(slot);
    match records.span(field) {
        (_, 0) => {}
        (at, 1) => column.extend(start, records.each::<1>(at).map(|[b]| u32::from(b))),
        (at, 2) => {
            column.extend(start, records.each::<2>(at).map(|b| u32::from(u16::from_be_bytes(b))));
        }
        (at, 4) => column.extend(start, records.each::<4>(at).map(u32::from_be_bytes)),
        _ => {
            let most = u64::from(u32::MAX);
            column.extend(start, records.numbers(field).map(|n| n.min(most) as u32));
        }
    }
}

/// A rate of 0 says that there is none.
fn rate(rows: &mut Rows, records: &Records<'_>, field: u16) {
    let start = rows.len();
    let column = rows.word(Word::SamplingRate);
    for (row, n) in (start..).zip(records.numbers(field)) {
        if n > 0 {
            column.set(row, u32::try_from(n).unwrap_or(u32::MAX));
        }
    }
}

fn long(rows: &mut Rows, slot: Long, records: &Records<'_>, field: u16) {
    let start = rows.len();
    let column = rows.long(slot);
    match records.span(field) {
        (_, 0) => {}
        (at, 4) => {
            column.extend(start, records.each::<4>(at).map(|b| u64::from(u32::from_be_bytes(b))));
        }
        (at, 8) => column.extend(start, records.each::<8>(at).map(u64::from_be_bytes)),
        _ => column.extend(start, records.numbers(field)),
    }
}

fn v4(rows: &mut Rows, slot: Address, records: &Records<'_>, field: u16) {
    let start = rows.len();
    // Of another length it is no address.
    if let (at, 4) = records.span(field) {
        rows.address(slot).extend(start, records.each::<4>(at).map(mapped));
    }
}

fn v6(rows: &mut Rows, slot: Address, records: &Records<'_>, field: u16) {
    let start = rows.len();
    if let (at, 16) = records.span(field) {
        rows.address(slot).extend(start, records.each::<16>(at));
    }
}

fn either(rows: &mut Rows, slot: Address, records: &Records<'_>, four: u16, six: u16) {
    let (at4, 4) = records.span(four) else { return v6(rows, slot, records, six) };
    let (at6, 16) = records.span(six) else { return v4(rows, slot, records, four) };
    let start = rows.len();
    let pairs = records.each::<4>(at4).zip(records.each::<16>(at6));
    let column = rows.address(slot);
    column.extend(
        start,
        pairs.map(|(v4, v6)| if v4 == [0; 4] && !is_unspecified(v6) { v6 } else { mapped(v4) }),
    );
}

fn mac(rows: &mut Rows, slot: Mac, records: &Records<'_>, field: u16) {
    let start = rows.len();
    if let (at, 6) = records.span(field) {
        rows.mac(slot).extend(start, records.each::<6>(at));
    }
}

/// Whether the times could be placed.
fn time(
    rows: &mut Rows,
    slot: Time,
    clock: Clock,
    records: &Records<'_>,
    field: u16,
    clocks: Clocks,
) -> bool {
    let start = rows.len();
    let column = rows.time(slot);
    match (clock, records.span(field)) {
        (_, (_, 0)) => {}
        (Clock::Millis, (at, 8)) => {
            let times = records.each::<8>(at).map(u64::from_be_bytes);
            column.extend(start, times.map(|ms| nanos(ms, 1_000_000)));
        }
        (Clock::Uptime, (at, 4)) => match clocks.uptime_ms {
            Some(now) => {
                let times = records.each::<4>(at).map(u32::from_be_bytes);
                column.extend(start, times.map(|ms| clocks.at_uptime(now, ms)));
            }
            None => return false,
        },
        (Clock::Uptime, _) => return false,
        (Clock::Ntp, (at, 8)) => {
            column.extend(start, records.each::<8>(at).map(u64::from_be_bytes).map(ntp));
        }
        (Clock::Ntp, _) => return false,
        (Clock::Seconds, _) => {
            column.extend(start, records.numbers(field).map(|s| nanos(s, 1_000_000_000)));
        }
        (Clock::Millis, _) => {
            column.extend(start, records.numbers(field).map(|ms| nanos(ms, 1_000_000)));
        }
        (Clock::DeltaMicros, _) => {
            let before = records.numbers(field).map(|us| nanos(us, 1_000));
            column.extend(start, before.map(|ns| clocks.export_ns.saturating_sub(ns)));
        }
    }
    true
}

/// Nanoseconds of a count of units; the last moment that can be told if it is past that (year 2262).
#[inline]
fn nanos(n: u64, unit_ns: i64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX).saturating_mul(unit_ns)
}

/// NTP's 32 bits of seconds since 1900 and 32 bits of fraction. Seconds below 1970 are of the next
/// era, which begins in 2036 (RFC 5905 §6).
#[inline]
fn ntp(time: u64) -> i64 {
    let (seconds, fraction) = (time >> 32, time & 0xffff_ffff);
    let seconds = if seconds < NTP_TO_UNIX_S { seconds + (1 << 32) } else { seconds };
    let fraction_ns = ((fraction * 1_000_000_000) >> 32) as i64;
    nanos(seconds - NTP_TO_UNIX_S, 1_000_000_000).saturating_add(fraction_ns)
}

/// Label stack entries are three bytes: 20 bits of label, 3 of class, 1 of "last" (RFC 7012 §5.4).
fn labels(plan: &Plan, records: &Records<'_>, start: usize, rows: &mut Rows) {
    for index in 0..records.count {
        let mut stack = [0_u32; MAX_LABELS];
        let (mut depth, mut last) = (0, false);
        for (at, (to, field)) in stack.iter_mut().zip(&plan.labels).enumerate() {
            let entry = records.number_of(index, *field);
            *to = ((entry >> 4) & 0xf_ffff) as u32;
            // Exporters fill the depths that a packet does not have with zeros; before a label, 0 is one (RFC 3032 §2.1).
            if entry != 0 && !last {
                depth = at + 1;
            }
            last |= entry & 1 == 1;
        }
        rows.set_labels(start + index, &stack[..depth]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_times_of_both_eras() {
        assert_eq!(ntp(NTP_TO_UNIX_S << 32), 0);
        assert_eq!(ntp((NTP_TO_UNIX_S << 32) | 0x8000_0000), 500_000_000);
        // 2036-02-07T06:28:16Z is second 0 of era 1.
        assert_eq!(ntp(0), 2_085_978_496 * 1_000_000_000);
    }

    #[test]
    fn uptime_that_wrapped_between_flow_and_export() {
        let clocks = Clocks { export_ns: 10_000_000_000, uptime_ms: Some(500) };
        assert_eq!(clocks.at_uptime(500, u32::MAX - 499), 9_000_000_000);
        assert_eq!(clocks.at_uptime(500, 250), 9_750_000_000);
    }
}
