//! NetFlow v9 (RFC 3954) and IPFIX (RFC 7011) messages: sets of templates and of records.

use std::net::IpAddr;

use crate::copy::Clocks;
use crate::counters::Counters;
use crate::decoder::Desk;
use crate::exporter::{Domain, DomainKey, Exporter, Protocol, Template};
use crate::limits::Limits;
use crate::options::options_set;
use crate::pending::{Owner, PendingSet};
use crate::plan::{FieldSpec, Plan};
use crate::read::Reader;
use crate::records::{Message, data_set};
use crate::sequence::Heard;
use crate::shares::Shares;

/// First id of data sets and templates (RFC 7011 §3.3.2).
const FIRST_DATA_ID: u16 = 256;
/// Scope "interface" of NetFlow v9 (RFC 3954 §6.1), which is element 10 elsewhere.
const SCOPE_INTERFACE: u16 = 2;
/// An enterprise number for what NetFlow v9's other scopes are: nothing that has a column here.
const SCOPE: u32 = u32::MAX;

/// A NetFlow v9 datagram, after its version.
pub(crate) fn netflow_v9(
    exporter: &mut Exporter,
    received_ns: i64,
    mut at: Reader<'_>,
    desk: &mut Desk<'_>,
) -> Option<()> {
    let _records = at.u16()?;
    let uptime_ms = at.u32()?;
    let seconds = at.u32()?;
    let sequence = at.u32()?;
    let domain = at.u32()?;
    let clocks =
        Clocks { export_ns: i64::from(seconds) * 1_000_000_000, uptime_ms: Some(uptime_ms) };
    let protocol = Protocol::NetflowV9;
    let from = exporter.from;
    let message = Message { from, received_ns, clocks, sequence, protocol, domain, agent: None };
    message_sets(exporter, &message, at, desk);
    Some(())
}

/// IPFIX messages, after the version of the first: some exporters put several into one datagram.
pub(crate) fn ipfix(
    exporter: &mut Exporter,
    received_ns: i64,
    mut at: Reader<'_>,
    desk: &mut Desk<'_>,
) -> Option<()> {
    loop {
        let rest = ipfix_message(exporter, received_ns, at, desk)?;
        if rest.is_empty() {
            return Some(());
        }
        at = Reader::new(rest);
        if at.u16() != Some(10) {
            exporter.counters.unknown_version += 1;
            return Some(());
        }
    }
}

/// One IPFIX message, after its version; the bytes behind it.
fn ipfix_message<'a>(
    exporter: &mut Exporter,
    received_ns: i64,
    mut at: Reader<'a>,
    desk: &mut Desk<'_>,
) -> Option<&'a [u8]> {
    let length = usize::from(at.u16()?);
    let seconds = at.u32()?;
    let sequence = at.u32()?;
    let domain = at.u32()?;
    let body = length.checked_sub(16)?;
    if body > at.left() {
        exporter.counters.truncated += 1;
    }
    let (sets, rest) = at.rest().split_at_checked(body).unwrap_or((at.rest(), &[]));
    let clocks = Clocks { export_ns: i64::from(seconds) * 1_000_000_000, uptime_ms: None };
    let protocol = Protocol::Ipfix;
    let from = exporter.from;
    let message = Message { from, received_ns, clocks, sequence, protocol, domain, agent: None };
    message_sets(exporter, &message, Reader::new(sets), desk);
    Some(rest)
}

fn message_sets(exporter: &mut Exporter, message: &Message, at: Reader<'_>, desk: &mut Desk<'_>) {
    let key = DomainKey { protocol: message.protocol, id: message.domain, agent: [0; 16] };
    let Some(index) = exporter.domain(&key, desk.limits) else {
        exporter.counters.domains_refused += 1;
        return;
    };
    let (domains, counters) = (&mut exporter.domains, &mut exporter.counters);
    let mut sets = Sets { domains, index, counters, message, desk };
    let records = sets.read(at);
    follow(&mut exporter.domains[index], &mut exporter.counters, message, records);
}

/// Follows the sequence. NetFlow v9 numbers datagrams (RFC 3954 §5.1), IPFIX counts the records
/// before this message (RFC 7011 §3.1); `None` where a set could not be counted.
fn follow(domain: &mut Domain, counters: &mut Counters, message: &Message, records: Option<u32>) {
    let v9 = message.protocol == Protocol::NetflowV9;
    let advance = if v9 { 1 } else { records.unwrap_or(0) };
    let heard = domain.sequence.hear(message.sequence, advance);
    count_heard(counters, heard, v9);
    if !v9 && records.is_none() {
        domain.sequence.forget();
    }
}

/// Counts what a sequence number said, in datagrams or in records.
pub(crate) fn count_heard(counters: &mut Counters, heard: Heard, datagrams: bool) {
    let lost = if datagrams { &mut counters.lost_datagrams } else { &mut counters.lost_records };
    match heard {
        Heard::InOrder => {}
        Heard::Repeated => counters.reordered += 1,
        Heard::Gap(n) => *lost += u64::from(n),
        Heard::Late(n) => {
            counters.reordered += 1;
            // They were counted as lost when the later one came.
            *lost = lost.saturating_sub(u64::from(n));
        }
        Heard::Reset => counters.sequence_resets += 1,
    }
}

/// The sets of one message.
struct Sets<'a, 'd, 'm> {
    /// All of the exporter: options may be about another than they came in.
    domains: &'a mut Vec<Domain>,
    /// The one that the message is of.
    index: usize,
    counters: &'a mut Counters,
    message: &'m Message,
    desk: &'a mut Desk<'d>,
}

impl Sets<'_, '_, '_> {
    fn domain(&mut self) -> &mut Domain {
        &mut self.domains[self.index]
    }

    /// Reads all sets; returns how many records they had, `None` if one's template is not known.
    fn read(&mut self, mut at: Reader<'_>) -> Option<u32> {
        let mut records = Some(0_u32);
        let mut cut = false;
        let v9 = self.message.protocol == Protocol::NetflowV9;
        while at.left() >= 4 {
            let (Some(id), Some(length)) = (at.u16(), at.u16()) else { break };
            let Some(length) = usize::from(length).checked_sub(4) else {
                self.counters.truncated += 1;
                return None;
            };
            let body = at.take(length).unwrap_or_else(|| {
                // What is there of the last set is decoded, record by whole record.
                self.counters.truncated += 1;
                cut = true;
                std::mem::replace(&mut at, Reader::new(&[])).rest()
            });
            match (id, v9) {
                (0, true) | (2, false) => self.templates(body, false),
                (1, true) | (3, false) => self.templates(body, true),
                (FIRST_DATA_ID.., _) => {
                    let n = self.data(id, body);
                    records = records.and_then(|all| Some(all.wrapping_add(n?)));
                }
                _ => self.counters.unknown_sets += 1,
            }
        }
        records.filter(|_| !cut)
    }

    fn data(&mut self, id: u16, body: &[u8]) -> Option<u32> {
        let (domain, message) = (&self.domains[self.index], self.message);
        let Some(template) = domain.templates.get(&id) else {
            self.wait(id, body);
            return None;
        };
        if template.scope.is_some() {
            let (domains, index) = (&mut *self.domains, self.index);
            return Some(options_set(domains, index, id, self.counters, body, self.desk));
        }
        Some(data_set(&template.plan, domain, self.counters, message, body, self.desk))
    }

    fn wait(&mut self, template: u16, body: &[u8]) {
        self.counters.sets_before_template += 1;
        let owner = Owner { from: self.message.from, domain: self.domain().key, template };
        let set = PendingSet {
            owner,
            received_ns: self.message.received_ns,
            clocks: self.message.clocks,
            sequence: self.message.sequence,
            body: body.into(),
        };
        self.counters.pending_dropped += self.desk.pending.push(set, self.desk.limits);
        let most = self.desk.limits.max_templates;
        let waiting = &mut self.domain().waiting;
        if !waiting.contains(&template) {
            // Ids are 16 bits, so this is bounded; the oldest makes room well before.
            if waiting.len() >= most {
                waiting.remove(0);
            }
            waiting.push(template);
        }
    }

    /// Decodes what waited for `template`.
    fn replay(&mut self, template: u16) {
        let waiting = &mut self.domain().waiting;
        let Some(place) = waiting.iter().position(|id| *id == template) else { return };
        waiting.swap_remove(place);
        let owner = Owner { from: self.message.from, domain: self.domain().key, template };
        for set in self.desk.pending.take(&owner) {
            let message = Message {
                received_ns: set.received_ns,
                clocks: set.clocks,
                sequence: set.sequence,
                ..*self.message
            };
            let mut sets = Sets {
                domains: self.domains,
                index: self.index,
                counters: self.counters,
                message: &message,
                desk: self.desk,
            };
            if sets.data(template, &set.body).is_some() {
                self.counters.sets_replayed += 1;
            }
        }
    }

    fn templates(&mut self, body: &[u8], options: bool) {
        let mut at = Reader::new(body);
        let v9 = self.message.protocol == Protocol::NetflowV9;
        // What is shorter than a template's head is padding.
        while at.left() >= 4 {
            let before = at.left();
            let read = match (options, v9) {
                (false, _) => self.template(&mut at, v9),
                (true, true) => self.options_template_v9(&mut at),
                (true, false) => self.options_template(&mut at),
            };
            if read.is_none() {
                // Padding of zeros is not an error.
                if before > 4 && body.iter().rev().take(before).any(|byte| *byte != 0) {
                    self.counters.truncated += 1;
                }
                return;
            }
        }
    }

    fn template(&mut self, at: &mut Reader<'_>, v9: bool) -> Option<()> {
        let id = at.u16()?;
        let count = at.u16()?;
        if count == 0 && !v9 {
            self.withdraw(id, false);
            return Some(());
        }
        let fields = read_fields(at, usize::from(count), !v9)?;
        self.learn(id, fields, None);
        Some(())
    }

    fn options_template(&mut self, at: &mut Reader<'_>) -> Option<()> {
        let id = at.u16()?;
        let count = at.u16()?;
        if count == 0 {
            self.withdraw(id, true);
            return Some(());
        }
        let scope = at.u16()?;
        let fields = read_fields(at, usize::from(count), true)?;
        // RFC 7011 §3.4.2.2: the scope has at least one field, and no more than there are.
        if scope == 0 || scope > count {
            self.counters.templates_refused += 1;
            return Some(());
        }
        self.learn(id, fields, Some(scope));
        Some(())
    }

    /// RFC 3954 §6.1: lengths of scope and options in bytes, four for each field.
    fn options_template_v9(&mut self, at: &mut Reader<'_>) -> Option<()> {
        let id = at.u16()?;
        let scope = at.u16()? / 4;
        let options = at.u16()? / 4;
        let mut fields = read_fields(at, usize::from(scope) + usize::from(options), false)?;
        for field in fields.iter_mut().take(usize::from(scope)) {
            if field.id == SCOPE_INTERFACE {
                field.id = 10;
            } else {
                field.enterprise = SCOPE;
            }
        }
        self.learn(id, fields, Some(scope));
        Some(())
    }

    /// RFC 7011 §8.1; not over UDP (§8.4), where anyone could send one in another's name.
    fn withdraw(&mut self, id: u16, options: bool) {
        if !self.desk.reliable {
            self.counters.withdrawals_ignored += 1;
            return;
        }
        let all = id == if options { 3 } else { 2 };
        let templates = &mut self.domains[self.index].templates;
        let before = templates.len();
        let (fields, from) = (&mut *self.desk.fields, self.message.from.ip());
        templates.retain(|held, template| {
            let keep = template.scope.is_some() != options || (!all && *held != id);
            if !keep {
                fields.give(from, template.fields.len());
            }
            keep
        });
        let gone = (before - templates.len()) as u64;
        self.counters.templates_withdrawn += gone;
        *self.desk.learnt += gone;
    }

    fn learn(&mut self, id: u16, fields: Vec<FieldSpec>, scope: Option<u16>) {
        let held = (self.message.from.ip(), &mut *self.desk.fields);
        match learn(&mut self.domains[self.index], id, fields, scope, self.desk.limits, held) {
            Learnt::Same => {}
            Learnt::New => {
                self.counters.templates += 1;
                *self.desk.learnt += 1;
                self.replay(id);
            }
            Learnt::Refused => self.counters.templates_refused += 1,
        }
    }
}

/// What became of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learnt {
    Same,
    New,
    Refused,
}

/// Puts a template of an address into its domain; `held` are the fields of all templates of the decoder.
pub(crate) fn learn(
    domain: &mut Domain,
    id: u16,
    fields: Vec<FieldSpec>,
    scope: Option<u16>,
    limits: &Limits,
    (from, held): (IpAddr, &mut Shares),
) -> Learnt {
    let known = domain.templates.get(&id);
    if known.is_some_and(|known| *known.fields == *fields && known.scope == scope) {
        return Learnt::Same;
    }
    let replaced = known.map_or(0, |known| known.fields.len());
    if id < FIRST_DATA_ID
        || fields.len() > limits.max_template_fields
        || (known.is_none() && domain.templates.len() >= limits.max_templates)
    {
        return Learnt::Refused;
    }
    let Ok(plan) = Plan::compile(&fields) else { return Learnt::Refused };
    if !held.take(from, (replaced, fields.len()), limits.fields()) {
        return Learnt::Refused;
    }
    domain.templates.insert(id, Template { fields: fields.into(), scope, plan });
    Learnt::New
}

/// `None` if they end early. A lying count costs no memory: room is made for what is there.
fn read_fields(at: &mut Reader<'_>, count: usize, enterprises: bool) -> Option<Vec<FieldSpec>> {
    let mut fields = Vec::with_capacity(count.min(at.left() / 4));
    for _ in 0..count {
        let id = at.u16()?;
        let length = at.u16()?;
        // RFC 7011 §3.2: the first bit says that an enterprise number follows.
        let field = if enterprises && id & 0x8000 != 0 {
            FieldSpec { enterprise: at.u32()?, id: id & 0x7fff, length }
        } else {
            FieldSpec { enterprise: 0, id, length }
        };
        fields.push(field);
    }
    Some(fields)
}
