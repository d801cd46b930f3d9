//! Incidents as paging sees them, and what a page says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holm_change::{Proximity, Weights, rank};
use holm_incident::{Incident, Judged, State, Verdict};
use holm_model::{Millis, NodeId, SiteId};
use holm_page::{Fact, Stand, Subject};

use super::{Pages, lock};
use crate::daemon::tenant::Tenant;

/// How long before an incident changes are looked for, in milliseconds.
const CHANGES_MS: u64 = 24 * 60 * 60 * 1_000;
/// Most changes, and most reports, that a page names.
const MAX_NAMED: usize = 3;
/// A tenant with more elements than this has its changes looked for by people: a page does not wait.
const MAX_ELEMENTS: usize = 50_000;

impl Pages {
    /// The incidents of a judgement; those of the last one are kept.
    pub(super) fn subjects(&self, judged: &Arc<Judged>, now: Millis) -> Arc<Vec<Arc<Subject>>> {
        let mut kept = lock(&self.subjects);
        if let Some((of, subjects)) = &*kept
            && Arc::ptr_eq(of, judged)
        {
            return Arc::clone(subjects);
        }
        let mut subjects: Vec<Subject> = judged.incidents().iter().map(|i| subject(i)).collect();
        self.note_ahead(&mut subjects, now);
        let subjects = Arc::new(subjects.into_iter().map(Arc::new).collect::<Vec<_>>());
        *kept = Some((Arc::clone(judged), Arc::clone(&subjects)));
        subjects
    }
}

impl Pages {
    /// What was heard before its time, by the clock here, is remembered with when that was, for as long as it is there.
    fn note_ahead(&self, subjects: &mut [Subject], now: Millis) {
        let mut ahead = lock(&self.ahead);
        let mut still = BTreeMap::new();
        for subject in subjects {
            let key = (subject.id.clone(), subject.turned_at);
            let known = ahead.remove(&key);
            let heard = known.or_else(|| (subject.turned_at > now).then_some(now));
            if let Some(heard) = heard {
                still.insert(key, heard);
            }
            if known.is_none() && heard.is_some() {
                self.count(|counts| counts.ahead += 1);
            }
            subject.heard_at = heard;
        }
        *ahead = still;
    }
}

fn subject(incident: &Incident) -> Subject {
    let stand = match incident.state {
        State::Open | State::Reopened => Stand::Open,
        State::Acknowledged | State::Mitigated => Stand::Acknowledged,
        State::Resolved => Stand::Over,
    };
    let kinds: BTreeSet<Box<str>> =
        incident.reports.iter().map(|(_, report)| report.kind.clone()).collect();
    Subject {
        id: incident.id.to_string().into(),
        also: incident.also.iter().map(|id| id.to_string().into()).collect(),
        stand,
        word: incident.state.as_str(),
        turned_at: incident.state_since,
        heard_at: None,
        opened_at: incident.opened,
        severity: incident.severity,
        title: incident.title.clone(),
        owner: incident.owner.clone(),
        sites: incident.sites.clone(),
        targets: incident.targets.iter().map(|target| target.to_string().into()).collect(),
        planes: incident.planes.clone(),
        kinds,
        facts: facts(incident),
    }
}

fn facts(incident: &Incident) -> Vec<Fact> {
    let mut facts = vec![Fact { name: "seen from", value: verdict(incident) }];
    let reports = incident.reports.iter().take(MAX_NAMED);
    facts.extend(reports.filter(|(_, report)| !report.text.is_empty()).map(|(id, report)| Fact {
        name: "report",
        value: format!("{}: {} ({})", id.site, report.text, report.kind),
    }));
    if incident.flapping {
        facts.push(Fact { name: "flapping", value: "it comes and goes".into() });
    }
    facts
}

fn verdict(incident: &Incident) -> String {
    let list = |sites: &BTreeSet<SiteId>| {
        sites.iter().map(|site| site.as_str()).collect::<Vec<_>>().join(", ")
    };
    let vantages = &incident.vantages;
    let failed = list(&vantages.failed);
    let cut_off = list(&vantages.cut_off);
    let said = match &incident.verdict {
        Verdict::TargetDown { .. } => format!("bad from all that look: {failed}"),
        Verdict::Path { .. } => format!("bad from {failed}, well from {}", list(&vantages.fine)),
        Verdict::OneVantage { .. } => {
            format!("bad from {failed} only, well from {}", list(&vantages.fine))
        }
        Verdict::CutOff { .. } => return format!("bad only from {cut_off}, which reaches nobody"),
        Verdict::Unconfirmed { .. } => format!("only {failed} looks"),
        Verdict::Nothing => "nobody says that it is bad now".into(),
    };
    if cut_off.is_empty() { said } else { format!("{said}; {cut_off} is cut off and not counted") }
}

impl Tenant {
    /// The changes that an incident most likely comes from. Takes a while: not for an async thread.
    pub(super) fn likely_changes(self: &Arc<Self>, key: &str) -> Vec<Fact> {
        let Ok(fault) = key.parse() else { return Vec::new() };
        let judged = self.incidents.lately(self.mesh_now());
        let Some(incident) = judged.of_fault(fault) else { return Vec::new() };
        let from = incident.opened - CHANGES_MS;
        let changes = self.changes.between(from, incident.opened + holm_change::SKEW_MS);
        if changes.is_empty() || {
            let (nodes, edges) = self.graph().len();
            nodes + edges > MAX_ELEMENTS
        } {
            return Vec::new();
        }
        let mut about: Vec<(NodeId, SiteId)> = Vec::new();
        for (id, report) in &incident.reports {
            for node in std::iter::once(&report.target).chain(&report.prefix) {
                about.push((node.clone(), id.site.clone()));
            }
        }
        about.sort();
        about.dedup();
        let picture = self.moment(Some(incident.opened));
        let ranked = self.search(|scratch| {
            let proximity = Proximity::of(&picture.moment, &about, scratch);
            let (began, window_ms) = (incident.opened, CHANGES_MS);
            let subject = holm_change::Subject { began, window_ms, proximity: &proximity };
            rank(&changes, &subject, &Weights::default())
        });
        let fact = |ranked: holm_change::Ranked| {
            let change = &ranked.known.change;
            let by = match &*change.author {
                "" => String::new(),
                author => format!(" by {author}"),
            };
            let value = format!("{:.0} of 100: {}{by}", ranked.score.total, change.title);
            Fact { name: "likely change", value }
        };
        ranked.into_iter().take(MAX_NAMED).map(fact).collect()
    }
}
