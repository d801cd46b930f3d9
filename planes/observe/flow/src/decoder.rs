//! The decoder: datagrams in, record batches out. No I/O, no clock, no thread.

use std::net::SocketAddr;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt16Type;
use hashbrown::HashMap;

use crate::counters::Counters;
use crate::exporter::Exporter;
use crate::interfaces::InterfaceRows;
use crate::limits::Limits;
use crate::names::Names;
use crate::netflow_v5::netflow_v5;
use crate::pending::Pending;
use crate::plan::Span;
use crate::read::{Reader, address_of};
use crate::rows::Rows;
use crate::sflow::sflow;
use crate::shares::Shares;
use crate::templated::{ipfix, netflow_v9};

/// How often an exporter that may be forgotten is looked for: a flood of new addresses must not
/// make every datagram a walk through the table.
const FORGET_EVERY_NS: i64 = 1_000_000_000;

/// A batch of one of the plane's two tables.
#[derive(Debug, Clone)]
pub enum Batch {
    /// What exporters told, of the first columns of [`crate::flow_schema`]; from a collector all of them.
    Flows(RecordBatch),
    /// Of [`crate::interface_counter_schema`].
    InterfaceCounters(RecordBatch),
}

/// What carries the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Datagrams, of any of the protocols; anyone can send them in another's name.
    Udp,
    /// A connection: IPFIX messages, in order and of one peer (RFC 7011 §10.4).
    Tcp,
}

/// Decodes what exporters send. One thread's; a collector has one for every socket.
#[derive(Debug)]
pub struct Decoder {
    pub(crate) limits: Limits,
    carrier: Carrier,
    exporters: HashMap<SocketAddr, Exporter>,
    pending: Pending,
    spans: Vec<Span>,
    rows: Rows,
    interfaces: InterfaceRows,
    pub(crate) names: Names,
    /// Fields of all templates.
    fields: Shares,
    /// Of exporters that are not known any more, or never were.
    gone: Counters,
    looked_ns: i64,
    /// Counts what of exporters is worth keeping over a restart: templates, samplers, names.
    learnt: u64,
}

/// What one exporter did, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExporterReport {
    /// Where it sends from.
    pub from: SocketAddr,
    /// When it sent last, nanoseconds since 1970.
    pub heard_ns: i64,
    /// Its observation domains.
    pub domains: usize,
    /// Templates it is known by.
    pub templates: usize,
    /// Templates that data came for and that it has not told yet.
    pub waiting: usize,
    /// What was counted.
    pub counters: Counters,
}

/// What decoding a datagram needs besides its exporter.
pub(crate) struct Desk<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) pending: &'a mut Pending,
    pub(crate) spans: &'a mut Vec<Span>,
    pub(crate) rows: &'a mut Rows,
    pub(crate) interfaces: &'a mut InterfaceRows,
    pub(crate) names: &'a mut Names,
    pub(crate) fields: &'a mut Shares,
    /// Whether the sender is who it says.
    pub(crate) reliable: bool,
    /// Grows with each thing that a restart must not lose.
    pub(crate) learnt: &'a mut u64,
    emit: &'a mut dyn FnMut(Batch),
}

/// An exporter that state is put into.
pub(crate) struct Opened<'a> {
    pub(crate) exporter: &'a mut Exporter,
    pub(crate) limits: &'a Limits,
    pub(crate) names: &'a mut Names,
    pub(crate) fields: &'a mut Shares,
}

impl Desk<'_> {
    /// Rows that fit, at least one: a full batch goes out first.
    #[inline]
    pub(crate) fn room(&mut self) -> usize {
        if self.rows.room() == 0
            && let Some(batch) = self.rows.finish(self.names)
        {
            (self.emit)(Batch::Flows(batch));
        }
        self.rows.room()
    }

    /// Makes room for one row of interface counters.
    pub(crate) fn counter_room(&mut self) {
        if self.interfaces.is_full()
            && let Some(batch) = self.interfaces.finish(self.names)
        {
            (self.emit)(Batch::InterfaceCounters(batch));
        }
    }
}

impl Decoder {
    /// A decoder that knows no exporter yet.
    pub fn new(limits: Limits, carrier: Carrier) -> Self {
        let limits = limits.at_least_one();
        Self {
            carrier,
            exporters: HashMap::new(),
            pending: Pending::default(),
            spans: Vec::new(),
            rows: Rows::new(limits.batch_rows),
            interfaces: InterfaceRows::new(limits.batch_rows.min(1_024)),
            names: Names::new(limits.max_names),
            fields: Shares::default(),
            gone: Counters::default(),
            looked_ns: i64::MIN,
            learnt: 0,
            limits,
        }
    }

    /// Decodes one datagram that came from `from` at `received_ns` (nanoseconds since 1970). Batches
    /// that became full go to `emit`; what is not full waits for [`Self::flush`].
    pub fn decode(
        &mut self,
        from: SocketAddr,
        received_ns: i64,
        datagram: &[u8],
        emit: &mut dyn FnMut(Batch),
    ) {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let Some(kind) = kind(datagram, self.carrier) else {
            // No place is made for who sends noise.
            let known = self.exporters.get_mut(&from).map(|exporter| &mut exporter.counters);
            let counters = known.unwrap_or(&mut self.gone);
            counters.datagrams += 1;
            counters.bytes += datagram.len() as u64;
            counters.unknown_version += 1;
            return;
        };
        if !self.exporters.contains_key(&from) && !self.admit(from, received_ns) {
            self.gone.datagrams += 1;
            self.gone.exporters_refused += 1;
            return;
        }
        let Some(exporter) = self.exporters.get_mut(&from) else { return };
        exporter.heard_ns = received_ns;
        exporter.counters.datagrams += 1;
        exporter.counters.bytes += datagram.len() as u64;
        let mut desk = Desk {
            limits: &self.limits,
            pending: &mut self.pending,
            spans: &mut self.spans,
            rows: &mut self.rows,
            interfaces: &mut self.interfaces,
            names: &mut self.names,
            fields: &mut self.fields,
            reliable: self.carrier == Carrier::Tcp,
            learnt: &mut self.learnt,
            emit,
        };
        let (decode, at) = kind;
        if decode(exporter, received_ns, at, &mut desk).is_none() {
            exporter.counters.truncated += 1;
        }
    }

    /// Sends out what waits for a full batch.
    pub fn flush(&mut self, emit: &mut dyn FnMut(Batch)) {
        if let Some(batch) = self.rows.finish(&mut self.names) {
            emit(Batch::Flows(batch));
        }
        if let Some(batch) = self.interfaces.finish(&mut self.names) {
            emit(Batch::InterfaceCounters(batch));
        }
    }

    /// Drops data sets that waited too long for their template. Call it about once a second.
    pub fn tick(&mut self, now_ns: i64) {
        let wait_ns = i64::from(self.limits.pending_wait_s) * 1_000_000_000;
        self.gone.pending_dropped += self.pending.expire(now_ns.saturating_sub(wait_ns));
    }

    /// Rows that wait for a full batch.
    pub fn waiting_rows(&self) -> usize {
        self.rows.len()
    }

    /// Data sets that wait for their template, and their bytes.
    pub fn pending(&self) -> (usize, usize) {
        self.pending.size()
    }

    /// Counts rows that the sink refused, by the exporter that sent them.
    pub fn refused(&mut self, rows: &RecordBatch) {
        for (exporter, rows) in by_exporter(rows) {
            match exporter.and_then(|exporter| self.exporters.get_mut(&exporter)) {
                Some(exporter) => exporter.counters.rows_refused += rows,
                // One that is forgotten by now.
                None => self.gone.rows_refused += rows,
            }
        }
    }

    /// Grows whenever something is learnt that a restart must not lose.
    pub const fn learnt(&self) -> u64 {
        self.learnt
    }

    /// Everything that was counted.
    pub fn totals(&self) -> Counters {
        let mut totals = self.gone;
        for exporter in self.exporters.values() {
            totals.add(&exporter.counters);
        }
        totals
    }

    /// Every exporter that is known, in no order.
    pub fn exporters(&self) -> Vec<ExporterReport> {
        let report = |exporter: &Exporter| ExporterReport {
            from: exporter.from,
            heard_ns: exporter.heard_ns,
            domains: exporter.domains.len(),
            templates: exporter.domains.iter().map(|domain| domain.templates.len()).sum(),
            waiting: exporter.domains.iter().map(|domain| domain.waiting.len()).sum(),
            counters: exporter.counters,
        };
        self.exporters.values().map(report).collect()
    }

    pub(crate) fn known(&self) -> impl Iterator<Item = &Exporter> {
        self.exporters.values()
    }

    /// The exporter of `from`, made if there is room, and what its state is put into.
    pub(crate) fn open(&mut self, from: SocketAddr) -> Option<Opened<'_>> {
        if !self.exporters.contains_key(&from) {
            if self.exporters.len() >= self.limits.max_exporters {
                return None;
            }
            self.exporters.insert(from, Exporter::new(from));
        }
        Some(Opened {
            exporter: self.exporters.get_mut(&from)?,
            limits: &self.limits,
            names: &mut self.names,
            fields: &mut self.fields,
        })
    }

    /// Makes a place for a new exporter. Those that were heard lately keep theirs, so a flood of
    /// spoofed addresses cannot drive out who is there.
    fn admit(&mut self, from: SocketAddr, now_ns: i64) -> bool {
        if self.exporters.len() >= self.limits.max_exporters && !self.forget_idle(now_ns) {
            return false;
        }
        self.exporters.insert(from, Exporter::new(from));
        true
    }

    fn forget_idle(&mut self, now_ns: i64) -> bool {
        if now_ns.saturating_sub(self.looked_ns) < FORGET_EVERY_NS {
            return false;
        }
        self.looked_ns = now_ns;
        let idle_ns = i64::from(self.limits.exporter_idle_s) * 1_000_000_000;
        let since = now_ns.saturating_sub(idle_ns);
        let (gone, fields) = (&mut self.gone, &mut self.fields);
        let before = self.exporters.len();
        self.exporters.retain(|_, exporter| {
            let keep = exporter.heard_ns > since;
            if !keep {
                gone.add(&exporter.counters);
                gone.exporters_forgotten += 1;
                fields.give(exporter.from.ip(), exporter.fields());
            }
            keep
        });
        self.exporters.len() < before
    }
}

type Decode = fn(&mut Exporter, i64, Reader<'_>, &mut Desk<'_>) -> Option<()>;

/// The protocol of a datagram by its first bytes, and the reader after its version.
fn kind(datagram: &[u8], carrier: Carrier) -> Option<(Decode, Reader<'_>)> {
    let mut at = Reader::new(datagram);
    match (at.u16()?, carrier) {
        (10, _) => Some((ipfix, at)),
        (_, Carrier::Tcp) => None,
        (5, _) => Some((netflow_v5, at)),
        (9, _) => Some((netflow_v9, at)),
        // sFlow's version has 32 bits.
        (0, _) => (at.u16()? == 5).then_some((sflow as Decode, at)),
        _ => None,
    }
}
/// How many rows each exporter has in a batch; `None` of those that do not say whose they are.
fn by_exporter(rows: &RecordBatch) -> HashMap<Option<SocketAddr>, u64> {
    let address = rows.column_by_name("flow.exporter.address");
    let address = address.and_then(|column| column.as_fixed_size_binary_opt());
    let port = rows.column_by_name("flow.exporter.port");
    let port = port.and_then(|column| column.as_primitive_opt::<UInt16Type>());
    let mut counted = HashMap::new();
    for row in 0..rows.num_rows() {
        let exporter = address.zip(port).and_then(|(address, port)| {
            let address = address_of(address.value(row).try_into().ok()?);
            Some(SocketAddr::new(address, port.value(row)))
        });
        *counted.entry(exporter).or_default() += 1;
    }
    counted
}
