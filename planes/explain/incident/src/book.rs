//! The records of every site, and what is made of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use holm_model::{Millis, NodeName, SiteId};

use crate::judged::Judged;
use crate::packed::{Record, decode};
use crate::report::set_apart;
use crate::{Action, FaultId, Report, Witness};

/// Whose record it is, and what it is called among those of its node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The site that wrote it.
    pub site: SiteId,
    /// The node of the site.
    pub node: NodeName,
    /// Its key.
    pub key: Arc<str>,
}

impl RecordId {
    /// A short name of it that every node gives alike.
    pub fn digest(&self) -> u64 {
        let mut hasher = blake3::Hasher::new_derive_key("holm record id v1");
        for part in [self.site.as_str(), self.node.as_str(), &*self.key] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        let mut number = [0; 8];
        number.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        u64::from_be_bytes(number)
    }
}

/// All records that are known, by whom and key. What is made of them depends on nothing else.
#[derive(Debug, Default)]
pub struct Book {
    /// With the fault that each is of, which costs a hash.
    pub(crate) reports: BTreeMap<RecordId, (Arc<Report>, FaultId)>,
    /// Those of sites that are gone for good as they were written: they count as ended.
    unended: BTreeMap<RecordId, Arc<Report>>,
    /// Sites that are gone for good, and since when.
    gone: BTreeMap<SiteId, Millis>,
    pub(crate) witnesses: BTreeMap<RecordId, Witness>,
    pub(crate) actions: BTreeMap<RecordId, Arc<Action>>,
    unreadable: u64,
    generation: u64,
    judged: Option<Arc<Judged>>,
}

impl Book {
    /// A book without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what stands under a key now: several values if several lives of a node wrote at the same
    /// time. Whether that changed anything. What cannot be read is counted and passed over.
    pub fn take<'a>(&mut self, id: RecordId, values: impl IntoIterator<Item = &'a [u8]>) -> bool {
        let mut joined: Option<Record> = None;
        for value in values {
            let Some(record) = decode(value) else {
                self.unreadable += 1;
                continue;
            };
            joined = Some(match joined {
                None => record,
                Some(known) => joined_with(known, record),
            });
        }
        let changed = match joined {
            None => false,
            Some(Record::Report(mut report)) => {
                set_apart(&mut report.spells);
                report.trim();
                self.unended.remove(&id);
                let report = self.ended_if_gone(&id, Arc::new(report));
                let known = self.reports.get(&id);
                let changed = known.is_none_or(|(known, _)| *known != report);
                if changed {
                    let fault = report.fault();
                    self.reports.insert(id, (report, fault));
                }
                changed
            }
            Some(Record::Witness(mut witness)) => {
                set_apart(&mut witness.fine);
                let changed = self.witnesses.get(&id) != Some(&witness);
                if changed {
                    self.witnesses.insert(id, witness);
                }
                changed
            }
            Some(Record::Action(action)) => {
                let changed = self.actions.get(&id).is_none_or(|known| **known != action);
                if changed {
                    self.actions.insert(id, Arc::new(action));
                }
                changed
            }
        };
        self.generation += u64::from(changed);
        changed
    }

    /// Which sites are gone for good, and since when: nobody will say any more that what they reported is over, so it
    /// ended then, without a recovery. Who is not among them any more came back: its reports are as they were.
    /// Whether that changed anything.
    pub fn set_gone(&mut self, gone: &BTreeMap<SiteId, Millis>) -> bool {
        if self.gone == *gone {
            return false;
        }
        self.gone.clone_from(gone);
        let mut changed = false;
        for (id, report) in std::mem::take(&mut self.unended) {
            if let Some((known, _)) = self.reports.get_mut(&id) {
                *known = report;
                changed = true;
            }
        }
        let of_gone = self.reports.iter().filter(|(id, _)| gone.contains_key(&id.site));
        let of_gone: Vec<_> = of_gone.map(|(id, (r, _))| (id.clone(), Arc::clone(r))).collect();
        for (id, report) in of_gone {
            let ended = self.ended_if_gone(&id, report);
            if let Some((known, _)) = self.reports.get_mut(&id) {
                changed |= *known != ended;
                *known = ended;
            }
        }
        self.generation += u64::from(changed);
        changed
    }

    /// The report, ended if it lasts and its site is gone.
    fn ended_if_gone(&mut self, id: &RecordId, report: Arc<Report>) -> Arc<Report> {
        let since = self.gone.get(&id.site).copied();
        let Some(at) = since.filter(|at| report.is_firing() && report.last().from < *at) else {
            return report;
        };
        let mut ended = (*report).clone();
        if let Some(last) = ended.spells.last_mut() {
            last.to = Some(at);
        }
        ended.lapsed = true;
        self.unended.insert(id.clone(), report);
        Arc::new(ended)
    }

    /// Lets go of what ended before `horizon`; what lasts stays. How much that was.
    pub fn forget(&mut self, horizon: Millis) -> usize {
        let count = |book: &Self| book.reports.len() + book.witnesses.len() + book.actions.len();
        let before = count(self);
        self.reports.retain(|_, (report, _)| report.end() >= horizon);
        self.unended.retain(|id, _| self.reports.contains_key(id));
        let last = |witness: &Witness| witness.fine.last().map_or(Millis(0), |spell| spell.end());
        let live = self.faults();
        self.witnesses.retain(|_, w| last(w) >= horizon && live.contains(&w.fault));
        self.actions.retain(|_, action| action.at >= horizon || live.contains(&action.on));
        let gone = before - count(self);
        self.generation += u64::from(gone > 0);
        gone
    }

    /// The incidents at `now`. Worked out again only after a record changed, or when something resolves
    /// by itself meanwhile.
    pub fn judge(&mut self, now: Millis) -> Arc<Judged> {
        let judged = match self.judged.take() {
            Some(known) if known.holds(self.generation, now) => known,
            known => Arc::new(Judged::of(self, self.generation, known.as_deref(), now)),
        };
        self.judged = Some(Arc::clone(&judged));
        judged
    }

    /// How many reports, witnesses and actions there are.
    pub fn len(&self) -> (usize, usize, usize) {
        (self.reports.len(), self.witnesses.len(), self.actions.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0, 0)
    }

    /// Values that could not be read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// What the node of a site has reported, by key: to go on after a start.
    pub fn reports_of<'a>(
        &'a self,
        site: &'a SiteId,
        node: &'a NodeName,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<Report>)> {
        let own = self.reports.iter().filter(move |(id, _)| id.site == *site && id.node == *node);
        own.map(|(id, (report, _))| (&*id.key, report))
    }

    /// What the node of a site finds well that others do not.
    pub fn witnesses_of<'a>(
        &'a self,
        site: &'a SiteId,
        node: &'a NodeName,
    ) -> impl Iterator<Item = &'a Witness> {
        let own = self.witnesses.iter().filter(move |(id, _)| id.site == *site && id.node == *node);
        own.map(|(_, witness)| witness)
    }

    fn faults(&self) -> hashbrown::HashSet<FaultId> {
        self.reports.values().map(|(_, fault)| *fault).collect()
    }
}

/// Both at once. Of two kinds of records under one key, which no node writes, the one that comes first in
/// the order of kinds counts, so that the order of values does not matter.
fn joined_with(a: Record, b: Record) -> Record {
    match (a, b) {
        (Record::Report(mut a), Record::Report(b)) => {
            a.join(b);
            Record::Report(a)
        }
        (Record::Witness(mut a), Record::Witness(b)) => {
            a.join(&b);
            Record::Witness(a)
        }
        (Record::Action(a), Record::Action(b)) => {
            let least = if (a.id, a.at) <= (b.id, b.at) { a } else { b };
            Record::Action(least)
        }
        (report @ Record::Report(_), _) | (_, report @ Record::Report(_)) => report,
        (witness @ Record::Witness(_), _) | (_, witness @ Record::Witness(_)) => witness,
    }
}
