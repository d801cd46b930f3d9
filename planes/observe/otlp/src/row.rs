//! One span as a row.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use holm_model::{Millis, Row, Value};

use crate::attributes::{cut, fitted, value};
use crate::calls::Call;
use crate::columns::{SPANS_TABLE, column, is_of_resource, is_own, renamed};
use crate::export::Export;
use crate::limits::{AHEAD_MS, Limits, OLD_MS};
use crate::messages::{KeyValue, Resource, Scope, Span};
use crate::seen::SpanKey;
use crate::tally::Tally;

const NANOS_PER_MS: u64 = 1_000_000;
/// About what a row weighs beside its columns, and for each of them.
const ROW_BYTES: usize = 96;
const VALUE_BYTES: usize = 80;

/// Why a span is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Ahead,
    BadId,
    Malformed,
    Old,
    TooLarge,
    TooMany,
    WithoutTime,
}

/// A span that may be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanRow {
    /// As table [`SPANS_TABLE`] keeps it.
    pub row: Row,
    pub(crate) key: SpanKey,
    pub(crate) call: Option<Call>,
}

type Columns = BTreeMap<Cow<'static, str>, Value>;

/// Makes rows of the spans of one request, one after the other.
pub(crate) struct Making<'a> {
    pub(crate) limits: &'a Limits,
    now: Millis,
    /// What all spans of the resource, and of the scope, have; `None`: it was too large.
    resource: Option<Columns>,
    scope: Option<Columns>,
    bytes: usize,
    export: Export,
}

impl<'a> Making<'a> {
    pub(crate) fn new(limits: &'a Limits, now: Millis) -> Self {
        let (resource, scope) = (Some(Columns::new()), Some(Columns::new()));
        Self { limits, now, resource, scope, bytes: 0, export: Export::default() }
    }

    pub(crate) fn done(self) -> Export {
        let mut export = self.export;
        export.tally.requests = 1;
        export
    }

    /// Whether one more span may be made.
    pub(crate) fn has_room(&self) -> bool {
        self.export.spans.len() < self.limits.spans && self.bytes < self.limits.row_bytes
    }

    pub(crate) fn refuse(&mut self, why: Refused) {
        let tally = &mut self.export.tally;
        *match why {
            Refused::Ahead => &mut tally.spans_ahead,
            Refused::BadId => &mut tally.spans_bad_id,
            Refused::Malformed => &mut tally.spans_malformed,
            Refused::Old => &mut tally.spans_old,
            Refused::TooLarge => &mut tally.spans_too_large,
            Refused::TooMany => &mut tally.spans_too_many,
            Refused::WithoutTime => &mut tally.spans_without_time,
        } += 1;
    }

    /// The resource of the spans that follow; `None`: it is too large.
    pub(crate) fn resource(&mut self, resource: Option<Resource>) {
        let (limits, tally) = (self.limits, &mut self.export.tally);
        self.resource = resource.map(|resource| {
            tally.attributes_dropped_by_sender += u64::from(resource.dropped_attributes_count);
            let mut of = Filling {
                columns: Columns::new(),
                left: limits.resource_attributes,
                value_bytes: limits.resource_value_bytes,
                key_bytes: limits.key_bytes,
                tally,
            };
            of.fill(resource.attributes, Of::Resource);
            of.columns
        });
        self.scope = Some(Columns::new());
    }

    /// The scope of the spans that follow; `None`: it is too large.
    pub(crate) fn scope(&mut self, scope: Option<Scope>) {
        let (limits, tally) = (self.limits, &mut self.export.tally);
        self.scope = scope.map(|scope| {
            // What a scope has beside its name says nothing of a span.
            tally.attributes_dropped += scope.attributes.len() as u64;
            let texts = [("otel.scope.name", scope.name), ("otel.scope.version", scope.version)];
            let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
            let cut_off = texts.map(|(name, mut text)| {
                tally.values_cut += u64::from(cut(&mut text, limits.resource_value_bytes));
                (Cow::Borrowed(name), Value::from(text))
            });
            cut_off.collect()
        });
    }

    /// A span of this resource and scope.
    pub(crate) fn span(&mut self, span: Span) {
        match self.made(span) {
            Ok(made) => {
                let columns = made.row.columns.iter();
                let texts = columns.map(|(name, value)| {
                    let text = if let Value::Text(text) = value { text.len() } else { 0 };
                    text + if let Cow::Owned(name) = name { name.len() } else { 0 }
                });
                self.bytes +=
                    ROW_BYTES + VALUE_BYTES * made.row.columns.len() + texts.sum::<usize>();
                self.export.spans.push(made);
            }
            Err(why) => self.refuse(why),
        }
    }

    fn made(&mut self, span: Span) -> Result<SpanRow, Refused> {
        let (Some(resource), Some(scope)) = (&self.resource, &self.scope) else {
            return Err(Refused::TooLarge);
        };
        let trace_id = id::<16>(&span.trace_id).ok_or(Refused::BadId)?;
        let span_id = id::<8>(&span.span_id).ok_or(Refused::BadId)?;
        let parent = match span.parent_span_id.as_slice() {
            [] | [0, 0, 0, 0, 0, 0, 0, 0] => None,
            parent => Some(id::<8>(parent).ok_or(Refused::BadId)?),
        };
        let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
        if start == 0 || end == 0 {
            return Err(Refused::WithoutTime);
        }
        let duration = end.checked_sub(start);
        // A clock that was set back in between: when it began is all that is known.
        let at = Millis(if duration.is_some() { end } else { start } / NANOS_PER_MS);
        if at.since(self.now) > AHEAD_MS {
            return Err(Refused::Ahead);
        }
        if self.now.since(at) > OLD_MS {
            return Err(Refused::Old);
        }
        let (limits, tally) = (self.limits, &mut self.export.tally);
        tally.spans_end_before_start += u64::from(duration.is_none());
        tally.events_left_out += span.events.len() as u64;
        tally.links_left_out += span.links.len() as u64;
        tally.attributes_dropped_by_sender += u64::from(span.dropped_attributes_count);

        let mut columns = resource.clone();
        columns.extend(scope.iter().map(|(name, value)| (name.clone(), value.clone())));
        let status = span.status.unwrap_or_default();
        let texts = [
            ("name", span.name),
            ("status_message", status.message),
            ("trace_state", span.trace_state),
        ];
        for (name, mut text) in texts {
            tally.values_cut += u64::from(cut(&mut text, limits.value_bytes));
            if !text.is_empty() || name == "name" {
                columns.insert(name.into(), text.into());
            }
        }
        let mut put = |name: &'static str, value: Value| columns.insert(name.into(), value);
        put("trace_id", hex(&trace_id).into());
        put("span_id", hex(&span_id).into());
        if let Some(parent) = parent {
            put("parent_span_id", hex(&parent).into());
        }
        put("kind", kind(span.kind).into());
        put("status_code", status_code(status.code).into());
        put("start_time_unix_nano", start.into());
        if let Some(duration) = duration {
            put("duration_ms", (duration as f64 / NANOS_PER_MS as f64).into());
        }
        let mut of = Filling {
            columns,
            left: limits.attributes,
            value_bytes: limits.value_bytes,
            key_bytes: limits.key_bytes,
            tally,
        };
        of.fill(span.attributes, Of::Span);
        let columns = of.columns;
        let call = Call::of(span.kind, &columns);
        let key = SpanKey { trace_id, span_id, kind: span.kind, start };
        Ok(SpanRow { row: Row { table: Cow::Borrowed(SPANS_TABLE), at, columns }, key, call })
    }
}

/// Whose attributes they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Resource,
    Span,
}

/// Puts attributes into columns.
struct Filling<'a> {
    columns: Columns,
    /// So many more are kept.
    left: usize,
    value_bytes: usize,
    key_bytes: usize,
    tally: &'a mut Tally,
}

impl Filling<'_> {
    /// Names of today first: an older name fills what they leave empty.
    fn fill(&mut self, attributes: Vec<KeyValue>, of: Of) {
        let mut older = Vec::new();
        for KeyValue { key, value: sent } in attributes {
            if self.left == 0 || key.is_empty() || key.len() > self.key_bytes {
                self.tally.attributes_dropped += 1;
                continue;
            }
            let Some(value) =
                sent.and_then(|sent| value(sent, self.value_bytes, &mut self.tally.values_cut))
            else {
                continue;
            };
            self.left -= 1;
            match renamed(&key) {
                Some(new) if is_of_resource(new) == (of == Of::Resource) => {
                    older.push((key, new, value));
                }
                _ => self.put(key, value, of),
            }
        }
        for (key, new, value) in older {
            match column(new) {
                Some((name, holds)) if !self.columns.contains_key(new) => {
                    self.columns.insert(name.into(), fitted(value, holds));
                }
                _ => self.put(key, value, of),
            }
        }
    }

    fn put(&mut self, key: String, value: Value, of: Of) {
        let known = column(&key).filter(|_| is_of_resource(&key) == (of == Of::Resource));
        let known = known.filter(|_| !is_own(&key));
        let (name, value) = match (known, of) {
            (Some((name, holds)), _) => (Cow::Borrowed(name), fitted(value, holds)),
            (None, Of::Resource) => (Cow::Owned(format!("resource.{key}")), value),
            // What a column has already said is not said otherwise by an attribute.
            (None, Of::Span) if column(&key).is_some() || is_own(&key) => {
                self.tally.attributes_dropped += 1;
                return;
            }
            (None, Of::Span) => (Cow::Owned(key), value),
        };
        match self.columns.entry(name) {
            Entry::Vacant(free) => {
                free.insert(value);
            }
            Entry::Occupied(_) => self.tally.attributes_dropped += 1,
        }
    }
}

/// An id of so many bytes, not all of them 0.
fn id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let id = <[u8; N]>::try_from(bytes).ok()?;
    id.iter().any(|byte| *byte != 0).then_some(id)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// `Span.SpanKind`.
const fn kind(number: i32) -> &'static str {
    match number {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "unspecified",
    }
}

/// `Status.StatusCode`.
const fn status_code(number: i32) -> &'static str {
    match number {
        1 => "ok",
        2 => "error",
        _ => "unset",
    }
}
