//! The incidents at one moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use holm_model::{Millis, NodeId, Severity, SiteId};

use crate::action::{Ahead, Field, MAX_AHEAD};
use crate::evolve::{Evolved, Heads, evolve};
use crate::grouping::{Group, Groups};
use crate::seen_from::{CutOff, cut_off, seen_from};
use crate::{
    Action, Book, Deed, FaultId, Join, MAX_FAULTS_OF_A_SPLIT, MAX_NOTE_BYTES, MAX_OWNER_BYTES,
    RecordId, Report, State, Turn, Vantages, Verdict, Witness,
};

/// What was found a moment later is as good: who asks at once need not each find it anew.
const SLACK_MS: u64 = 1_000;

/// What several people set at the same time, without seeing each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// What they set: `state`, `owner` or `severity`.
    pub field: &'static str,
    /// Their actions; the first one stands.
    pub actions: Vec<Arc<Action>>,
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its first fault: what it goes by.
    pub id: FaultId,
    /// Its other faults; it is found by any of them.
    pub also: Vec<FaultId>,
    /// What is wrong, in a sentence: of the gravest report, of several the first.
    pub title: Box<str>,
    /// How grave it is: as people say, else as the gravest report.
    pub severity: Severity,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub state_since: Millis,
    /// When it was first reported.
    pub opened: Millis,
    /// When something about it was last raised or cleared.
    pub last_signal: Millis,
    /// Whether something is bad still, as far as is known.
    pub firing: bool,
    /// Whether it comes and goes.
    pub flapping: bool,
    /// When it resolves by itself if nothing happens.
    pub resolves_at: Option<Millis>,
    /// Whose it is.
    pub owner: Option<Box<str>>,
    /// What it is about, in order of the reports.
    pub targets: Vec<NodeId>,
    /// Who reported it.
    pub sites: BTreeSet<SiteId>,
    /// The planes that did.
    pub planes: BTreeSet<Box<str>>,
    /// How it looks from where.
    pub vantages: Vantages,
    /// What follows from that.
    pub verdict: Verdict,
    /// What was set at the same time.
    pub conflicts: Vec<Conflict>,
    /// How its state changed, in order.
    pub turns: Vec<Turn>,
    /// Its reports, in order of their beginning.
    pub reports: Vec<(RecordId, Arc<Report>)>,
    /// Why these are one incident: one join fewer than there are reports.
    pub joins: Vec<Join>,
    /// What people did, in order.
    pub actions: Vec<(RecordId, Arc<Action>)>,
    heads: [Vec<u64>; 3],
    /// When time alone changes it.
    wakes_at: Option<Millis>,
    /// Who finds it well, as that was when this was judged.
    witnesses: Vec<(SiteId, Witness)>,
}

/// Why an action was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// The text is too long.
    #[error(
        "text: it has {len} bytes, the most are {MAX_NOTE_BYTES}; put the rest where it can be linked to"
    )]
    TextTooLong {
        /// Its length.
        len: usize,
    },
    /// A note without a text.
    #[error("text: a note says something")]
    EmptyNote,
    /// A name is too long.
    #[error("{what}: it has {len} bytes, the most are {MAX_OWNER_BYTES}")]
    NameTooLong {
        /// Which one.
        what: &'static str,
        /// Its length.
        len: usize,
    },
    /// What is to be split off is not in the incident.
    #[error("faults: {fault} is not a fault of this incident; `also` and `id` list those that are")]
    NotHere {
        /// The fault.
        fault: FaultId,
    },
    /// The fault that the incident goes by cannot leave it.
    #[error("faults: {fault} is what the incident goes by; split the others off instead")]
    First {
        /// The fault.
        fault: FaultId,
    },
    /// So many are not split off at once, or none.
    #[error("faults: {count} are given, it goes from 1 to {MAX_FAULTS_OF_A_SPLIT}")]
    Faults {
        /// How many.
        count: usize,
    },
    /// An incident is one with itself.
    #[error("with: {fault} is of this incident already")]
    SameIncident {
        /// The fault.
        fault: FaultId,
    },
}

impl Incident {
    /// Whether it is over.
    pub fn is_resolved(&self) -> bool {
        self.state == State::Resolved
    }

    /// All its faults, the first one first.
    pub fn faults(&self) -> impl Iterator<Item = FaultId> {
        std::iter::once(self.id).chain(self.also.iter().copied())
    }

    /// An action of `by` on this incident, with what stands for its field now as seen. `id` must be
    /// random.
    ///
    /// # Errors
    /// [`ActionError`]: it is too long, or about what is not in the incident.
    pub fn action(
        &self,
        id: u64,
        by: &str,
        deed: Deed,
        text: &str,
        now: Millis,
    ) -> Result<Action, ActionError> {
        if text.len() > MAX_NOTE_BYTES {
            return Err(ActionError::TextTooLong { len: text.len() });
        }
        if by.len() > MAX_OWNER_BYTES {
            return Err(ActionError::NameTooLong { what: "name", len: by.len() });
        }
        match &deed {
            Deed::Note if text.trim().is_empty() => return Err(ActionError::EmptyNote),
            Deed::Assign(Some(owner)) if owner.len() > MAX_OWNER_BYTES => {
                return Err(ActionError::NameTooLong { what: "owner", len: owner.len() });
            }
            Deed::Split(faults) => {
                if faults.is_empty() || faults.len() > MAX_FAULTS_OF_A_SPLIT {
                    return Err(ActionError::Faults { count: faults.len() });
                }
                for fault in faults.iter().copied() {
                    if fault == self.id {
                        return Err(ActionError::First { fault });
                    }
                    if !self.also.contains(&fault) {
                        return Err(ActionError::NotHere { fault });
                    }
                }
            }
            Deed::Join(with) if self.faults().any(|fault| fault == *with) => {
                return Err(ActionError::SameIncident { fault: *with });
            }
            _ => {}
        }
        let seen = deed.field().map(|field| self.heads[field as usize].clone());
        // Never before what was seen, whatever the clock says.
        let last = self.actions.iter().map(|(_, action)| action.at + 1).max();
        let at = now.max(last.unwrap_or_default());
        Ok(Action {
            id,
            on: self.id,
            at,
            by: by.into(),
            deed,
            text: text.into(),
            seen: seen.unwrap_or_default(),
            ahead: self.ahead_of(at),
        })
    }

    /// What is seen of its reports though it lies ahead of `at`: of too many the latest.
    fn ahead_of(&self, at: Millis) -> Vec<Ahead> {
        let moments = |report: &Report| {
            let moments = report.spells.iter().flat_map(|spell| [Some(spell.from), spell.to]);
            moments.flatten().filter(|moment| *moment > at).collect::<BTreeSet<Millis>>()
        };
        let of_report = |(id, report): &(RecordId, Arc<Report>)| {
            let moments = moments(report);
            let report = (!moments.is_empty()).then(|| id.digest());
            moments.into_iter().filter_map(move |moment| Some(Ahead { report: report?, moment }))
        };
        let mut ahead: Vec<Ahead> = self.reports.iter().flat_map(of_report).collect();
        ahead.sort_unstable_by_key(|ahead| (std::cmp::Reverse(ahead.moment), ahead.report));
        ahead.truncate(MAX_AHEAD);
        ahead
    }
}

/// All incidents at one moment: those that are not resolved first, the gravest first, the latest first.
#[derive(Debug)]
pub struct Judged {
    incidents: Vec<Arc<Incident>>,
    by_fault: HashMap<FaultId, u32>,
    cut_off: Vec<CutOff>,
    generation: u64,
    at: Millis,
    next: Option<Millis>,
}

impl Judged {
    /// Judges a book; what is as it was in `before` is taken from there.
    pub(crate) fn of(book: &Book, generation: u64, before: Option<&Self>, now: Millis) -> Self {
        let mut groups = Groups::of(book);
        let cut_off = cut_off(book);
        let before = before.filter(|before| before.at <= now && before.cut_off == cut_off);
        let by_fault = std::mem::take(&mut groups.by_fault);
        let mut fine: HashMap<u32, Vec<(SiteId, Witness)>> = HashMap::new();
        for (id, witness) in &book.witnesses {
            if let Some(group) = by_fault.get(&witness.fault) {
                fine.entry(*group).or_default().push((id.site.clone(), witness.clone()));
            }
        }
        let mut numbered: Vec<(u32, Arc<Incident>)> = Vec::with_capacity(groups.len());
        for number in 0..groups.len() as u32 {
            let witnesses = fine.remove(&number).unwrap_or_default();
            let known = before.and_then(|before| before.of_fault(groups.id(number as usize)));
            let known = known.filter(|known| {
                known.wakes_at.is_none_or(|at| now < at)
                    && known.witnesses == witnesses
                    && groups.is_made_of(number as usize, &known.reports, &known.actions)
            });
            let incident = known.map_or_else(
                || Arc::new(judge(groups.group(number as usize), witnesses, &cut_off, now)),
                Arc::clone,
            );
            numbered.push((number, incident));
        }
        let next = numbered.iter().filter_map(|(_, incident)| incident.wakes_at).min();
        numbered.sort_by(|(_, a), (_, b)| {
            let order = |i: &Incident| (i.is_resolved(), std::cmp::Reverse((i.severity, i.opened)));
            order(a).cmp(&order(b)).then(a.id.cmp(&b.id))
        });
        let mut place = vec![0; numbered.len()];
        for (at, (number, _)) in (0_u32..).zip(&numbered) {
            place[*number as usize] = at;
        }
        Self {
            by_fault: by_fault.into_iter().map(|(f, number)| (f, place[number as usize])).collect(),
            incidents: numbered.into_iter().map(|(_, incident)| incident).collect(),
            cut_off,
            generation,
            at: now,
            next,
        }
    }

    /// Whether it is what would be found at `now`.
    pub(crate) fn holds(&self, generation: u64, now: Millis) -> bool {
        self.generation == generation
            && self.at <= now + SLACK_MS
            && self.next.is_none_or(|next| now < next)
    }

    /// All of them.
    pub fn incidents(&self) -> &[Arc<Incident>] {
        &self.incidents
    }

    /// The incident of which a fault is part.
    pub fn of_fault(&self, fault: FaultId) -> Option<&Arc<Incident>> {
        self.by_fault.get(&fault).map(|at| &self.incidents[*at as usize])
    }
}

/// One incident, from what is in it.
fn judge(
    group: Group,
    witnesses: Vec<(SiteId, Witness)>,
    cut_off: &[CutOff],
    now: Millis,
) -> Incident {
    let evolved = evolve(&group.reports, &group.actions, now);
    let seen = seen_from(&group.reports, &witnesses, cut_off, evolved.last_phase, now);
    let vantages = seen.vantages;
    let wakes_at = evolved.resolves_at.into_iter().chain(seen.until).min();
    let Evolved { turns, state_heads, owner_heads, severity_heads, .. } = evolved;
    let worst = group.reports.iter().map(|(_, report)| report.severity).max().unwrap_or_default();
    let title = group.reports.iter().find(|(_, report)| report.severity == worst);
    let title = title.map_or_else(String::new, |(_, report)| match &*report.text {
        "" => format!("{}: {}", report.kind, report.target),
        text => text.to_owned(),
    });
    let graded = severity_heads.iter().filter_map(|head| match head.deed {
        Deed::Grade(severity) => Some(severity),
        _ => None,
    });
    let severity = graded.max().unwrap_or(worst);
    let owner = owner_heads.iter().max_by_key(|head| (head.at, head.id));
    let owner = owner.and_then(|head| match &head.deed {
        Deed::Assign(owner) => owner.clone(),
        _ => None,
    });
    let targets = targets(&group);
    let last_signal = group.reports.iter().map(|(_, report)| report.turned()).max();
    let now = turns.last().copied();
    let heads = [&state_heads, &owner_heads, &severity_heads]
        .map(|heads| heads.iter().map(|head| head.id).collect());
    let conflicts = [
        (Field::State, state_heads),
        (Field::Owner, owner_heads),
        (Field::Severity, severity_heads),
    ];
    let conflicts = conflicts.into_iter().filter(|(_, heads)| heads.len() > 1);
    Incident {
        id: group.faults.first().copied().unwrap_or_else(|| FaultId::from_number(0)),
        also: group.faults.get(1..).unwrap_or_default().to_vec(),
        title: title.into(),
        severity,
        state: now.map_or(State::Open, |turn| turn.to),
        state_since: now.map_or(Millis(0), |turn| turn.at),
        opened: group.reports.first().map_or(Millis(0), |(_, report)| report.since()),
        last_signal: last_signal.unwrap_or_default(),
        firing: evolved.firing,
        flapping: evolved.flapping,
        resolves_at: evolved.resolves_at.filter(|_| now.is_none_or(|t| t.to != State::Resolved)),
        owner,
        targets,
        sites: group.reports.iter().map(|(id, _)| id.site.clone()).collect(),
        planes: group.reports.iter().map(|(_, report)| report.plane.clone()).collect(),
        verdict: Verdict::of(&vantages),
        vantages,
        conflicts: conflicts.map(|(field, heads)| conflict(field, heads)).collect(),
        turns,
        reports: group.reports,
        joins: group.joins,
        actions: group.actions,
        heads,
        witnesses,
        wakes_at,
    }
}

/// What a group is about, each target once, in order of the reports.
fn targets(group: &Group) -> Vec<NodeId> {
    let mut seen = hashbrown::HashSet::new();
    let all = group.reports.iter().map(|(_, report)| &report.target);
    all.filter(|target| seen.insert(*target)).cloned().collect()
}

/// What was set at the same time, the one that stands first.
fn conflict(field: Field, mut heads: Heads) -> Conflict {
    let rank = |head: &Action| match &head.deed {
        Deed::Grade(severity) => *severity as u8,
        deed => deed.state().map_or(0, |state| state as u8),
    };
    heads.sort_by_key(|head| std::cmp::Reverse((rank(head), head.at, head.id)));
    Conflict { field: field.as_str(), actions: heads }
}
