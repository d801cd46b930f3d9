//! Sites that report, act, and merge what they know.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::sync::Arc;

use holm_incident::{
    Action, Book, Deed, FaultId, Incident, Intake, IntakeLimits, Judged, Place, RecordId, Resolved,
};
use holm_model::{Millis, NodeId, Severity, Signal};

/// All records that a site wrote, by id.
pub type Records = BTreeMap<RecordId, Vec<u8>>;

pub const MINUTE: u64 = 60_000;

pub struct Site {
    pub place: Place,
    pub intake: Intake,
    pub records: Records,
    next_action: u64,
    /// Other names and neighbours, by target.
    pub names: BTreeMap<NodeId, Resolved>,
}

pub fn node(id: &str) -> NodeId {
    id.parse().expect("a node's id")
}

pub fn place(site: &str) -> Place {
    Place {
        site: site.parse().expect("valid"),
        node: "n1".parse().expect("valid"),
        plan: Box::default(),
        machine: Box::default(),
    }
}

impl Site {
    pub fn new(name: &str) -> Self {
        Self::at(place(name))
    }

    pub fn at(place: Place) -> Self {
        let intake = Intake::new(place.clone(), IntakeLimits::default());
        let number = place.site.as_str().bytes().map(u64::from).sum::<u64>() << 32;
        Self { place, intake, records: Records::new(), next_action: number, names: BTreeMap::new() }
    }

    pub fn knows(&mut self, target: &str, names: &[&str], near: &[&str]) {
        let all = |ids: &[&str]| ids.iter().map(|id| node(id)).collect();
        self.names
            .insert(node(target), Resolved { names: all(names), near: all(near), apart: vec![] });
    }

    /// Other sites claim other names for it.
    pub fn names_apart(&mut self, target: &str) {
        self.names
            .insert(node(target), Resolved { apart: vec![node(target)], ..Resolved::default() });
    }

    fn id(&self, key: &str) -> RecordId {
        let Place { site, node, .. } = &self.place;
        RecordId { site: site.clone(), node: node.clone(), key: key.into() }
    }

    pub fn signal(&mut self, signal: Signal) {
        let at = signal.at;
        let known = self.names.get(&signal.target).cloned().unwrap_or_default();
        self.intake.take(signal, at, |_| known);
        self.write(at);
    }

    pub fn write(&mut self, now: Millis) {
        for (key, report) in self.intake.drain(now) {
            self.records.insert(self.id(&key), report.encode());
        }
    }

    pub fn raise(&mut self, kind: &str, target: &str, at: u64) {
        self.signal(Signal::new("active", kind, node(target), true, Millis(at)));
    }

    pub fn clear(&mut self, kind: &str, target: &str, at: u64) {
        self.signal(Signal::new("active", kind, node(target), false, Millis(at)));
    }

    pub fn act(&mut self, incident: &Incident, deed: Deed, text: &str, at: u64) -> Action {
        self.next_action += 1;
        let by = format!("{}'s operator", self.place.site);
        let action = incident.action(self.next_action, &by, deed, text, Millis(at));
        let action = action.expect("an action that fits");
        let key = format!("a{:016x}", action.id);
        self.records.insert(self.id(&key), action.encode());
        action
    }

    pub fn record(&mut self, key: &str, value: Vec<u8>) {
        self.records.insert(self.id(key), value);
    }
}

pub fn book<'a>(sites: impl IntoIterator<Item = &'a Site>) -> Book {
    let mut book = Book::new();
    for (id, value) in sites.into_iter().flat_map(|site| &site.records) {
        book.take(id.clone(), [&**value]);
    }
    book
}

pub fn judged<'a>(sites: impl IntoIterator<Item = &'a Site>, now: u64) -> Arc<Judged> {
    book(sites).judge(Millis(now))
}

pub fn only(judged: &Judged) -> Arc<Incident> {
    let [incident] = judged.incidents() else {
        panic!("one incident and not {}: {:#?}", judged.incidents().len(), judged.incidents());
    };
    Arc::clone(incident)
}

pub fn fault(text: &str) -> FaultId {
    text.parse().expect("an id")
}

pub fn graver(mut signal: Signal, severity: Severity) -> Signal {
    signal.severity = severity;
    signal
}
