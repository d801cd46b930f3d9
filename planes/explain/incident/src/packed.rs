//! Records as they lie in documents: a byte that says which of the three, then a protobuf message.

use holm_model::{Millis, NodeId, Severity};
use prost::Message;

use crate::action::{Ahead, MAX_AHEAD, MAX_FAULTS_OF_A_SPLIT, MAX_NOTE_BYTES, MAX_OWNER_BYTES};
use crate::anchor::MAX_ANCHORS;
use crate::report::set_apart;
use crate::{Action, Anchor, Deed, FaultId, Report, Spell, Witness};

/// Most spells of a record that are read, most attributes, and most actions that one had seen.
const MAX_READ: usize = 64;

const REPORT: u8 = b'r';
const WITNESS: u8 = b'w';
const ACTION: u8 = b'a';

/// One record of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    Report(Report),
    Witness(Witness),
    Action(Action),
}

#[derive(Clone, PartialEq, Message)]
struct PackedAnchor {
    #[prost(string, tag = "1")]
    realm: String,
    #[prost(string, tag = "2")]
    node: String,
}

#[derive(Clone, PartialEq, Message)]
struct PackedReport {
    #[prost(string, tag = "1")]
    plane: String,
    #[prost(string, tag = "2")]
    kind: String,
    #[prost(uint32, tag = "3")]
    severity: u32,
    #[prost(string, tag = "4")]
    text: String,
    #[prost(string, tag = "5")]
    target: String,
    #[prost(string, tag = "6")]
    prefix: String,
    #[prost(message, repeated, tag = "7")]
    anchors: Vec<PackedAnchor>,
    #[prost(message, repeated, tag = "8")]
    near: Vec<PackedAnchor>,
    #[prost(btree_map = "string, string", tag = "9")]
    attributes: std::collections::BTreeMap<String, String>,
    /// From, to, from, to…; an odd count leaves the last one open.
    #[prost(uint64, repeated, tag = "10")]
    bounds: Vec<u64>,
    #[prost(uint64, tag = "11")]
    raised: u64,
    #[prost(bool, tag = "12")]
    lapsed: bool,
}

#[derive(Clone, PartialEq, Message)]
struct PackedWitness {
    #[prost(fixed64, tag = "1")]
    fault: u64,
    #[prost(uint64, repeated, tag = "2")]
    bounds: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct PackedAction {
    #[prost(fixed64, tag = "1")]
    id: u64,
    #[prost(fixed64, tag = "2")]
    on: u64,
    #[prost(uint64, tag = "3")]
    at: u64,
    #[prost(string, tag = "4")]
    by: String,
    #[prost(string, tag = "5")]
    deed: String,
    #[prost(string, tag = "6")]
    text: String,
    #[prost(fixed64, repeated, tag = "7")]
    seen: Vec<u64>,
    /// Of a split those that are taken out, of a join the one that is joined.
    #[prost(fixed64, repeated, tag = "8")]
    faults: Vec<u64>,
    /// Of an assignment the owner, of a grade the severity; empty for nobody.
    #[prost(string, tag = "9")]
    value: String,
    #[prost(message, repeated, tag = "10")]
    ahead: Vec<PackedAhead>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct PackedAhead {
    #[prost(fixed64, tag = "1")]
    report: u64,
    #[prost(uint64, tag = "2")]
    moment: u64,
}

impl Report {
    /// The report as a record's value.
    pub fn encode(&self) -> Vec<u8> {
        let pack = |anchors: &[Anchor]| {
            let pack =
                |a: &Anchor| PackedAnchor { realm: a.realm().into(), node: a.node().to_string() };
            anchors.iter().map(pack).collect()
        };
        let attributes =
            self.attributes.iter().map(|(k, v)| (String::from(&**k), String::from(&**v)));
        let mut trimmed;
        let mut report = self;
        if self.spells.len() > crate::report::MAX_SPELLS {
            trimmed = self.clone();
            trimmed.trim();
            report = &trimmed;
        }
        with_tag(
            REPORT,
            &PackedReport {
                plane: report.plane.to_string(),
                kind: report.kind.to_string(),
                severity: report.severity as u32,
                text: report.text.to_string(),
                target: report.target.to_string(),
                prefix: report.prefix.as_ref().map(NodeId::to_string).unwrap_or_default(),
                anchors: pack(&report.anchors),
                near: pack(&report.near),
                attributes: attributes.collect(),
                bounds: bounds(&report.spells),
                raised: report.raised,
                lapsed: report.lapsed,
            },
        )
    }
}

impl Witness {
    /// The witness as a record's value.
    pub fn encode(&self) -> Vec<u8> {
        let from = self.fine.len().saturating_sub(crate::report::MAX_SPELLS);
        let packed =
            PackedWitness { fault: self.fault.number(), bounds: bounds(&self.fine[from..]) };
        with_tag(WITNESS, &packed)
    }
}

impl Action {
    /// The action as a record's value.
    pub fn encode(&self) -> Vec<u8> {
        let faults = match &self.deed {
            Deed::Split(faults) => faults.iter().map(|f| f.number()).collect(),
            Deed::Join(with) => vec![with.number()],
            _ => Vec::new(),
        };
        let value = match &self.deed {
            Deed::Assign(owner) => owner.as_deref().unwrap_or_default(),
            Deed::Grade(severity) => severity.as_str(),
            _ => "",
        };
        let packed = PackedAction {
            id: self.id,
            on: self.on.number(),
            at: self.at.0,
            by: self.by.to_string(),
            deed: self.deed.as_str().into(),
            text: self.text.to_string(),
            seen: self.seen.clone(),
            faults,
            value: value.into(),
            ahead: self
                .ahead
                .iter()
                .map(|a| PackedAhead { report: a.report, moment: a.moment.0 })
                .collect(),
        };
        with_tag(ACTION, &packed)
    }
}

/// A record of another node. `None` if it is of a kind or form that this version does not know.
pub(crate) fn decode(value: &[u8]) -> Option<Record> {
    let (tag, packed) = value.split_first()?;
    match *tag {
        REPORT => report(PackedReport::decode(packed).ok()?).map(Record::Report),
        WITNESS => {
            let packed = PackedWitness::decode(packed).ok()?;
            let fine = spells(&packed.bounds).filter(|fine| !fine.is_empty())?;
            Some(Record::Witness(Witness { fault: FaultId::from_number(packed.fault), fine }))
        }
        ACTION => action(PackedAction::decode(packed).ok()?).map(Record::Action),
        _ => None,
    }
}

fn report(packed: PackedReport) -> Option<Report> {
    let unpack = |anchors: Vec<PackedAnchor>| {
        let mut known = Vec::with_capacity(anchors.len());
        for anchor in anchors.into_iter().take(MAX_ANCHORS) {
            if anchor.realm.len() > 256 {
                return None;
            }
            known.push(Anchor::recorded(&anchor.realm, anchor.node.parse().ok()?));
        }
        known.sort_unstable();
        known.dedup();
        Some(known)
    };
    let prefix = match &*packed.prefix {
        "" => None,
        prefix => Some(prefix.parse::<NodeId>().ok()?),
    };
    let attributes = packed.attributes.into_iter().take(MAX_READ);
    let signal = holm_model::Signal {
        plane: packed.plane.into(),
        kind: packed.kind.into(),
        severity: severity(packed.severity),
        target: packed.target.parse().ok()?,
        prefix,
        attributes: attributes.map(|(k, v)| (k.into(), v.into())).collect(),
        text: packed.text.into(),
        raised: true,
        at: Millis(0),
    };
    // What another node wrote keeps the same bounds.
    let signal = signal.bounded()?;
    let anchors = unpack(packed.anchors).filter(|anchors| !anchors.is_empty())?;
    let spells = spells(&packed.bounds).filter(|spells| !spells.is_empty())?;
    Some(Report {
        plane: signal.plane,
        kind: signal.kind,
        severity: signal.severity,
        text: signal.text,
        target: signal.target,
        prefix: signal.prefix,
        anchors,
        near: unpack(packed.near)?,
        attributes: signal.attributes,
        raised: packed.raised.max(spells.len() as u64),
        spells,
        lapsed: packed.lapsed,
    })
}

fn action(packed: PackedAction) -> Option<Action> {
    let faults: Vec<FaultId> = packed.faults.iter().map(|n| FaultId::from_number(*n)).collect();
    let fits = packed.text.len() <= MAX_NOTE_BYTES
        && packed.by.len() <= MAX_OWNER_BYTES
        && packed.value.len() <= MAX_OWNER_BYTES
        && packed.seen.len() <= MAX_READ
        && packed.ahead.len() <= MAX_AHEAD
        && faults.len() <= MAX_FAULTS_OF_A_SPLIT;
    if !fits {
        return None;
    }
    let deed = match &*packed.deed {
        "ack" => Deed::Acknowledge,
        "mitigate" => Deed::Mitigate,
        "resolve" => Deed::Resolve,
        "reopen" => Deed::Reopen,
        "note" => Deed::Note,
        "assign" if packed.value.is_empty() => Deed::Assign(None),
        "assign" => Deed::Assign(Some(packed.value.into())),
        "grade" => Deed::Grade(packed.value.parse().ok()?),
        "split" if !faults.is_empty() => Deed::Split(faults),
        "join" => Deed::Join(*faults.first()?),
        _ => return None,
    };
    Some(Action {
        id: packed.id,
        on: FaultId::from_number(packed.on),
        at: Millis(packed.at),
        by: packed.by.into(),
        deed,
        text: packed.text.into(),
        seen: packed.seen,
        ahead: packed
            .ahead
            .iter()
            .map(|a| Ahead { report: a.report, moment: Millis(a.moment) })
            .collect(),
    })
}

fn severity(number: u32) -> Severity {
    match number {
        0 => Severity::Info,
        1 => Severity::Warning,
        _ => Severity::Critical,
    }
}

/// The bounds of spells that are in order and apart.
fn bounds(spells: &[Spell]) -> Vec<u64> {
    let mut spells = spells.to_vec();
    set_apart(&mut spells);
    spells
        .iter()
        .flat_map(|spell| [Some(spell.from.0), spell.to.map(|to| to.0)])
        .flatten()
        .collect()
}

/// Spells by their bounds; `None` if those are not in order.
fn spells(bounds: &[u64]) -> Option<Vec<Spell>> {
    if bounds.len() > 2 * MAX_READ || !bounds.is_sorted() {
        return None;
    }
    let spell =
        |pair: &[u64]| Spell { from: Millis(pair[0]), to: pair.get(1).map(|to| Millis(*to)) };
    Some(bounds.chunks(2).map(spell).collect())
}

fn with_tag(tag: u8, message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + message.encoded_len());
    bytes.push(tag);
    bytes.extend(message.encode_to_vec());
    bytes
}
