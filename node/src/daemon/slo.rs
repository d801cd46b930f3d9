//! Objectives at this node: policies and records of all sites in, how each objective stands out, and what
//! burns as signals.
//!
//! Reading, counting and judging is `holm-slo`'s; here are the clock, the documents and the rows
//! ([`super::slo_count`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holm_model::{
    DocVersion, Millis, NodeId, NodeKind, NodeName, SIGNAL_KEY, Severity, Signal, SiteId,
};
use holm_replica::{CommitError, PolicyBook, PolicyError, Record, Replica, Shelf};
use holm_slo::{
    Alarm, BudgetPoint, Definition, Latches, Ledger, MINUTE_MS, MeasureId, Refused, Standing, Tier,
    Writer,
};

use super::policy_edit::{PolicyEdit, says_nothing_new, standing};
use super::slo_count::Waiting;
use super::state::{Change, NodeState, Topic};
use super::tenant::Tenant;

/// The area of policies that objectives are in.
pub(super) const AREA: &str = "slo";
/// Rows of a minute are waited for as long as this after it is over, in milliseconds.
pub(super) const LAG_MS: u64 = 10_000;
/// The plane that signals of objectives come from, and their kind.
const PLANE: &str = "slo";
pub(super) const BURN: &str = "slo_burn";

/// What a tenant's node knows of objectives.
pub(crate) struct Slos {
    pub(super) writer: Writer,
    policies: Mutex<PolicyBook>,
    pub(super) ledger: Mutex<Ledger>,
    defined: Mutex<Arc<Vec<Slo>>>,
    latches: Mutex<Latches>,
    /// Why something is not counted here.
    pub(super) failures: Mutex<BTreeMap<MeasureId, String>>,
    /// Counted and not yet written.
    pub(super) waiting: Mutex<Waiting>,
    /// Signals of a judgement that nobody could be told of yet.
    unsaid: Mutex<Vec<Signal>>,
    /// The last judgement.
    judged: Mutex<Arc<Judgement>>,
    /// Held while it is judged and told: what one judgement says may not overtake what another one ends.
    telling: Mutex<()>,
    pub(super) wake: tokio::sync::Notify,
}

/// An SLO as its policy says.
#[derive(Debug, Clone)]
pub(crate) struct Slo {
    pub(crate) name: Box<str>,
    /// What is judged; `None` if this version does not understand it.
    pub(crate) definition: Option<Arc<Definition>>,
    /// Why not.
    pub(crate) problem: Option<String>,
    /// The edits that stand, the one that counts first.
    pub(crate) edits: Vec<PolicyEdit>,
}

/// How all objectives stood at a moment.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// Until when rows count: the minutes that were over.
    pub(crate) at: Millis,
    pub(crate) slos: Vec<SloJudged>,
}

/// How an SLO stands.
#[derive(Debug)]
pub(crate) struct SloJudged {
    pub(crate) slo: Slo,
    /// Of each objective; none if the SLO is not understood.
    pub(crate) standings: Vec<Standing>,
    /// What this node holds to burn.
    pub(crate) held: Vec<Alarm>,
    /// Why something of it is not counted at this node.
    pub(crate) failures: Vec<String>,
}

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SloCounts {
    pub(crate) slos: usize,
    pub(crate) burning: usize,
    pub(crate) not_counted: usize,
    pub(crate) unreadable: u64,
}

/// Why an SLO is not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SloError {
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("the SLO {0} cannot be kept: {1}")]
    Policy(Box<str>, PolicyError),
    #[error("there is no SLO of the name {0}; `GET /v1/slos` lists those that there are")]
    Unknown(String),
    #[error(transparent)]
    Held(#[from] super::gitops::HeldByFolder),
    #[error("it could not be written: {0}")]
    Write(#[from] CommitError),
}

/// What applying did to an SLO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    Created,
    Updated,
    Unchanged,
}

impl Applied {
    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slos {
    /// With what the documents hold; `firing` is what was reported to burn before: its key, and what it is about.
    pub(super) fn open(
        site: &SiteId,
        node: &NodeName,
        replica: &Replica,
        firing: Vec<(String, NodeId)>,
        now: Millis,
    ) -> Self {
        let slos = Self {
            writer: Writer { site: site.clone(), node: node.clone() },
            policies: Mutex::default(),
            ledger: Mutex::default(),
            defined: Mutex::default(),
            latches: Mutex::default(),
            failures: Mutex::default(),
            waiting: Mutex::default(),
            unsaid: Mutex::default(),
            judged: Mutex::default(),
            telling: Mutex::default(),
            wake: tokio::sync::Notify::new(),
        };
        for shelf in [Shelf::Policies, Shelf::LedgerDays, Shelf::LedgerHours, Shelf::LedgerMinutes]
        {
            slos.take_records(&replica.records_on(shelf), now);
        }
        let held = firing.into_iter().filter_map(|(key, about)| Some((Alarm::parse(&key)?, about)));
        held.for_each(|(alarm, about)| lock(&slos.latches).restore(alarm, about));
        // Shown at once, as it was known before.
        let signals = slos.judge(now);
        *lock(&slos.unsaid) = signals;
        slos
    }

    /// Takes what documents say.
    pub(super) fn take_records(&self, records: &[Record], now: Millis) {
        let mut edited = false;
        let mut ledger = lock(&self.ledger);
        for record in records {
            match record.shelf {
                Shelf::Policies => edited |= lock(&self.policies).take(record),
                Shelf::LedgerDays | Shelf::LedgerHours | Shelf::LedgerMinutes => {
                    let writer = Writer { site: record.site.clone(), node: record.node.clone() };
                    ledger.take(&writer, &record.key, record.values.iter().map(Vec::as_slice));
                }
                _ => {}
            }
        }
        drop(ledger);
        if edited {
            self.define(now);
            self.wake.notify_one();
        }
    }

    /// The tenant was erased.
    pub(super) fn clear(&self) {
        *lock(&self.policies) = PolicyBook::new();
        *lock(&self.ledger) = Ledger::new();
        *lock(&self.defined) = Arc::default();
        *lock(&self.latches) = Latches::new();
        *lock(&self.judged) = Arc::default();
    }

    /// Reads all policies anew.
    fn define(&self, now: Millis) {
        let known: BTreeMap<Box<str>, Slo> =
            self.defined().iter().map(|slo| (slo.name.clone(), slo.clone())).collect();
        let policies = lock(&self.policies);
        let defined = policies.names(AREA).into_iter().filter_map(|name| {
            let edits = standing(&policies, AREA, name);
            let content = edits.first()?.content.clone()?;
            let before =
                known.get(name).filter(|slo| slo.edits[0].content.as_ref() == Some(&content));
            let (definition, problem) = match before {
                Some(slo) => (slo.definition.clone(), slo.problem.clone()),
                None => read(name, &content, now),
            };
            Some(Slo { name: name.into(), definition, problem, edits })
        });
        *lock(&self.defined) = Arc::new(defined.collect());
    }

    /// The SLOs that there are, by name.
    pub(crate) fn defined(&self) -> Arc<Vec<Slo>> {
        Arc::clone(&lock(&self.defined))
    }

    /// How they stood when it was looked last: each minute.
    pub(crate) fn judged(&self) -> Arc<Judgement> {
        Arc::clone(&lock(&self.judged))
    }

    /// Looks how they stand now; what turned, as signals.
    fn judge(&self, now: Millis) -> Vec<Signal> {
        let at = Millis((now - LAG_MS).0 / MINUTE_MS * MINUTE_MS);
        let defined = self.defined();
        let ledger = lock(&self.ledger);
        let mut latches = lock(&self.latches);
        let failures = lock(&self.failures);
        let mut signals = std::mem::take(&mut *lock(&self.unsaid));
        let mut known = BTreeSet::new();
        let mut slos = Vec::with_capacity(defined.len());
        for slo in defined.iter() {
            let mut judged = SloJudged {
                slo: slo.clone(),
                standings: Vec::new(),
                held: Vec::new(),
                failures: Vec::new(),
            };
            if let Some(definition) = &slo.definition {
                for objective in 0..definition.objectives.len() {
                    let Some(standing) = definition.judge(&ledger, objective, at) else { continue };
                    for alarm in
                        self.turn(definition, objective, &standing, &mut latches, &mut signals, now)
                    {
                        if latches.holds(&alarm) {
                            judged.held.push(alarm.clone());
                        }
                        known.insert(alarm);
                    }
                    let failed =
                        definition.measure(objective).and_then(|m| failures.get(&m.id).cloned());
                    judged.failures.extend(failed);
                    judged.standings.push(standing);
                }
                judged.failures.dedup();
            }
            slos.push(judged);
        }
        let gone = latches.gone(|alarm| known.contains(alarm)).into_iter();
        signals.extend(gone.map(|(alarm, target)| over(&alarm, target, now)));
        *lock(&self.judged) = Arc::new(Judgement { at, slos });
        signals
    }

    /// Takes the pairs of windows of an objective. What is held is said again each time: a signal that says
    /// what is known costs nothing.
    fn turn(
        &self,
        definition: &Definition,
        objective: usize,
        standing: &Standing,
        latches: &mut Latches,
        signals: &mut Vec<Signal>,
        now: Millis,
    ) -> Vec<Alarm> {
        let own = standing.sites.iter().find(|site| site.writer == self.writer);
        let alarm = |tier| Alarm { slo: definition.name.clone(), objective, tier };
        let target = NodeId::new(NodeKind::Service, &definition.service).ok();
        for (number, burn) in standing.burns.into_iter().enumerate() {
            let alarm = alarm(burn.tier);
            let seen = own.is_some_and(|own| own.bad_lately[number] > 0);
            latches.take(alarm.clone(), burn, seen);
            let Some(target) = &target else { continue };
            // What was said before and does not burn any more, or is said of another service now, is over.
            let ended = latches.turn_to(&alarm, target).into_iter();
            signals.extend(ended.map(|before| over(&alarm, before, now)));
            if latches.holds(&alarm) {
                signals.extend(raised(&alarm, definition, standing, target, now));
            }
        }
        Tier::ALL.into_iter().map(alarm).collect()
    }

    /// The way of an objective's budget.
    pub(crate) fn burn_down(
        &self,
        definition: &Definition,
        objective: usize,
        at: Millis,
        points: u32,
    ) -> Vec<BudgetPoint> {
        definition.burn_down(&lock(&self.ledger), objective, at, points)
    }

    pub(crate) fn counts(&self) -> SloCounts {
        let judged = self.judged();
        SloCounts {
            slos: judged.slos.len(),
            burning: judged.slos.iter().filter(|slo| !slo.held.is_empty()).count(),
            not_counted: lock(&self.failures).len(),
            unreadable: lock(&self.ledger).unreadable() + lock(&self.policies).unreadable(),
        }
    }

    /// The SLOs that are about any of these, by their service or by what they count.
    pub(crate) fn about(&self, nodes: &[&NodeId]) -> Vec<String> {
        let defined = self.defined();
        let touched = defined
            .iter()
            .filter(|slo| slo.definition.as_ref().is_some_and(|of| touches(of, nodes)));
        touched.map(|slo| slo.name.to_string()).collect()
    }
}

/// Whether an SLO is about any of these: by its service, or by what its rows must name.
fn touches(definition: &Definition, nodes: &[&NodeId]) -> bool {
    let about = definition.about();
    nodes.iter().any(|node| {
        (node.kind() == NodeKind::Service && node.name() == &*definition.service)
            || about.iter().any(|text| holm_model::host_of(text) == node.name())
    })
}

fn read(name: &str, content: &str, now: Millis) -> (Option<Arc<Definition>>, Option<String>) {
    match holm_slo::parse(content, now) {
        Ok(mut slos) if slos.len() == 1 && *slos[0].name == *name => {
            (Some(Arc::new(slos.remove(0))), None)
        }
        Ok(_) => (None, Some("its policy is of another SLO".to_owned())),
        Err(refused) => (None, Some(format!("this version does not understand it: {refused}"))),
    }
}

/// What is said of an alarm that is held.
fn raised(
    alarm: &Alarm,
    definition: &Definition,
    standing: &Standing,
    target: &NodeId,
    now: Millis,
) -> Option<Signal> {
    let mut signal = signal(alarm, target.clone(), true, now);
    let objective = definition.objectives.get(alarm.objective)?;
    let burn = standing.burns.iter().find(|burn| burn.tier == alarm.tier)?;
    let long = burn.long.unwrap_or_default();
    let mut note = |name: &str, text: String| signal.attributes.insert(name.into(), text.into());
    note("target", objective.target.to_string());
    note("burn", format!("{long:.1}"));
    signal.text = format!(
        "{}: the budget of {} burns {long:.1} times too fast over {}, {:.1} % of it is left",
        definition.service,
        definition.title(),
        length(alarm.tier.windows_min().0),
        100.0 * standing.attained.budget_left
    )
    .into();
    Some(signal)
}

/// What is said of an alarm that is over, or is about something else now.
fn over(alarm: &Alarm, target: NodeId, now: Millis) -> Signal {
    signal(alarm, target, false, now)
}

fn signal(alarm: &Alarm, target: NodeId, raised: bool, now: Millis) -> Signal {
    let mut signal = Signal::new(PLANE, BURN, target, raised, now);
    signal.severity = if alarm.tier.pages() { Severity::Critical } else { Severity::Warning };
    let mut note = |name: &str, text: String| signal.attributes.insert(name.into(), text.into());
    note(SIGNAL_KEY, alarm.text());
    note("slo", alarm.slo.to_string());
    note("tier", alarm.tier.as_str().to_owned());
    signal
}

/// A length of time for people.
fn length(minutes: u32) -> String {
    match minutes {
        60 => "an hour".to_owned(),
        minutes if minutes.is_multiple_of(24 * 60) => format!("{} days", minutes / (24 * 60)),
        minutes => format!("{} hours", minutes / 60),
    }
}

impl Tenant {
    /// Takes SLOs that were read from a file: what each was to become. Durable when it returns.
    pub(crate) fn apply_slos(
        &self,
        state: &NodeState,
        slos: &[Definition],
        by: &str,
        now: Millis,
    ) -> Result<Vec<Applied>, SloError> {
        let contents = slos.iter().map(|slo| (&*slo.name, Some(slo.to_openslo().to_string())));
        self.edit_slos(state, contents.collect(), by, now)
    }

    /// Takes an SLO away. Its ledger is kept for as long as it would be.
    pub(crate) fn remove_slo(
        &self,
        state: &NodeState,
        name: &str,
        by: &str,
        now: Millis,
    ) -> Result<(), SloError> {
        if !self.slos.defined().iter().any(|slo| *slo.name == *name) {
            return Err(SloError::Unknown(name.chars().take(80).collect()));
        }
        self.edit_slos(state, vec![(name, None)], by, now).map(drop)
    }

    fn edit_slos(
        &self,
        state: &NodeState,
        contents: Vec<(&str, Option<String>)>,
        by: &str,
        now: Millis,
    ) -> Result<Vec<Applied>, SloError> {
        let mut applied = Vec::new();
        let versions: Vec<DocVersion> = {
            let _order = self.in_order();
            let defined = self.slos.defined();
            let writer = &self.slos.writer;
            let own = format!("{}/{}", writer.site, writer.node);
            let mut new = Vec::new();
            for (name, content) in contents {
                let known = defined.iter().find(|slo| *slo.name == *name);
                let edits = known.map_or(&[][..], |slo| &slo.edits);
                if says_nothing_new(edits, content.as_deref(), by, &own) {
                    applied.push(Applied::Unchanged);
                    continue;
                }
                self.held_by_folder(state, (AREA, name), edits, by)?;
                let place = (&self.slos.writer.site, &self.slos.writer.node);
                let content = content.map(String::into_bytes);
                let edit = lock(&self.slos.policies).edit((AREA, name), place, by, content, now);
                new.push(edit.map_err(|error| SloError::Policy(name.into(), error))?);
                applied.push(if known.is_some() { Applied::Updated } else { Applied::Created });
            }
            let committed = self.replica.put_records_on(Shelf::Policies, &new, now)?;
            let records: Vec<Record> = new
                .into_iter()
                .map(|new| Record {
                    shelf: Shelf::Policies,
                    site: self.slos.writer.site.clone(),
                    node: self.slos.writer.node.clone(),
                    key: new.key,
                    values: vec![new.value],
                })
                .collect();
            self.slos.take_records(&records, now);
            self.notice_edits(&records);
            committed.versions
        };
        versions.into_iter().for_each(|version| state.publish(version));
        // Shown at once, by what is counted so far.
        self.tell_burns();
        state.tell(Change::of(&self.id, Topic::Slos));
        Ok(applied)
    }

    /// Looks how objectives stand now, and tells incidents what turned.
    pub(super) fn tell_burns(&self) {
        let _turn = lock(&self.slos.telling);
        let signals = self.slos.judge(Millis::now());
        signals.into_iter().for_each(|signal| self.signal(signal));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_slo_is_touched_by_its_service_and_by_what_its_rows_name() {
        let text = r#"{ "apiVersion": "openslo/v1", "kind": "SLO", "metadata": { "name": "shop" }, "spec": {
            "service": "checkout", "budgetingMethod": "Occurrences",
            "timeWindow": [{ "duration": "30d", "isRolling": true }], "objectives": [{ "target": 0.99 }],
            "indicator": { "metadata": { "name": "up" }, "spec": { "ratioMetric": {
                "good": { "metricSource": { "type": "holm", "spec": { "table": "active_results",
                    "where": "target = 'https://192.0.2.7/cart' AND success AND error <> 'host-9'" } } },
                "total": { "metricSource": { "type": "holm", "spec": { "table": "active_results" } } } } } } } }"#;
        let probed =
            text.replace("target = 'https://192.0.2.7/cart'", "probed = '198.51.100.7:443'");
        let (definition, problem) = read("shop", &probed, Millis(0));
        assert!(
            problem.is_none()
                && touches(
                    &definition.expect("good"),
                    &[&"host:198.51.100.7".parse().expect("an id")]
                )
        );
        let (definition, problem) = read("shop", text, Millis(0));
        assert_eq!(problem, None);
        let definition = definition.expect("good");
        let touched = |id: &str| touches(&definition, &[&id.parse().expect("an id")]);
        assert!(touched("service:checkout") && touched("host:192.0.2.7"));
        assert!(!touched("service:shop") && !touched("host:host-9") && !touched("host:checkout"));
        let (_, problem) = read("other", text, Millis(0));
        assert_eq!(problem.as_deref(), Some("its policy is of another SLO"));
    }

    /// An SLO of the service, as OpenSLO says it.
    fn policy(service: &str) -> String {
        format!(
            r#"{{ "apiVersion": "openslo/v1", "kind": "SLO", "metadata": {{ "name": "shop" }}, "spec": {{
            "service": "{service}", "budgetingMethod": "Occurrences",
            "timeWindow": [{{ "duration": "30d", "isRolling": true }}], "objectives": [{{ "target": 0.99 }}],
            "indicator": {{ "metadata": {{ "name": "up" }}, "spec": {{ "ratioMetric": {{
                "good": {{ "metricSource": {{ "type": "holm", "spec": {{ "table": "active_results", "where": "success" }} }} }},
                "total": {{ "metricSource": {{ "type": "holm", "spec": {{ "table": "active_results" }} }} }} }} }} }} }} }}"#
        )
    }

    /// Says a policy as this node does.
    fn edit(slos: &Slos, content: Option<String>, now: Millis) {
        let place = (&slos.writer.site, &slos.writer.node);
        let content = content.map(String::into_bytes);
        let edit = lock(&slos.policies).edit((AREA, "shop"), place, "user:ops", content, now);
        let new = edit.expect("an edit");
        let record = Record {
            shelf: Shelf::Policies,
            site: slos.writer.site.clone(),
            node: slos.writer.node.clone(),
            key: new.key,
            values: vec![new.value],
        };
        slos.take_records(&[record], now);
    }

    fn said(signals: Vec<Signal>) -> BTreeSet<(String, bool)> {
        signals.into_iter().map(|signal| (signal.target.to_string(), signal.raised)).collect()
    }

    #[test]
    fn what_burns_is_over_where_its_slo_is_deleted_or_is_another_services() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = Millis(1_795_000_000_000);
        let (site, node): (SiteId, NodeName) =
            ("berlin".parse().expect("valid"), "n1".parse().expect("valid"));
        let tenant = "default".parse().expect("valid");
        let key = holm_replica::DataKey::generate(&mut rand::rng());
        let (replica, _) =
            super::super::tenant::open_replica(folder.path(), &tenant, key, &site, &node, now)
                .expect("a replica");
        let open = |firing: Vec<(String, NodeId)>| {
            let slos = Slos::open(&site, &node, &replica, firing, now);
            edit(&slos, Some(policy("checkout")), now);
            let measure = slos.defined()[0].definition.as_ref().and_then(|of| of.measure(0));
            let measure = measure.expect("a measure").id;
            let slot = holm_slo::minute_of(now) / holm_slo::SLOT_MIN;
            for slot in slot - 20..slot {
                let minutes = [holm_slo::Count::new(10, 10); holm_slo::SLOT_MIN as usize];
                let record = holm_slo::encode_slot(&minutes);
                let key = holm_slo::RecordKey::Slot(measure, slot).text();
                lock(&slos.ledger).take(&slos.writer, &key, [&*record]);
            }
            slos
        };
        let raised = |service: &str| (format!("service:{service}"), true);
        let over = |service: &str| (format!("service:{service}"), false);
        let slos = open(Vec::new());
        assert_eq!(said(slos.judge(now)), BTreeSet::from([raised("checkout")]));
        // Another service: what was said of the one before is over.
        edit(&slos, Some(policy("cart")), now + 1);
        assert_eq!(said(slos.judge(now)), BTreeSet::from([over("checkout"), raised("cart")]));
        assert_eq!(said(slos.judge(now)), BTreeSet::from([raised("cart")]));
        edit(&slos, None, now + 2);
        assert_eq!(said(slos.judge(now)), BTreeSet::from([over("cart")]));
        assert_eq!(said(slos.judge(now)), BTreeSet::new());
        // And so where that came while this node was down.
        let before: NodeId = "service:till".parse().expect("an id");
        let slos = open(vec![("shop/0/fast".to_owned(), before)]);
        assert_eq!(said(slos.judge(now)), BTreeSet::from([over("till"), raised("checkout")]));
    }
}
