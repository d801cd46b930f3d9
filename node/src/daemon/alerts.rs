//! Alert rules at this node: policies of all sites in, how rules stand out, and what fires as signals.
//!
//! Reading and judging is `holm-alert`'s; here are the clock, the documents and the rows
//! ([`super::alerts_judge`], [`super::alerts_rows`]).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use holm_alert::{Rule, RuleStanding, Silence, Silenced};
use holm_model::{
    DocVersion, Millis, NodeId, NodeKind, SIGNAL_KEY, SIGNAL_NEAR, Signal, VANTAGE_FAILED,
    VANTAGE_REACHED,
};
use holm_policy::Refused;
use holm_replica::{CommitError, PolicyBook, PolicyError, Record, Replica, Shelf};
use holm_slo::Writer;

use super::alerts_state::{Shown, States};
use super::gitops::HeldByFolder;
use super::policy_edit::{PolicyEdit, says_nothing_new, standing};
use super::slo::{Applied, lock};
use super::state::{Change, NodeState, Topic};
use super::tenant::Tenant;

/// The areas of policies that rules and silences are in.
pub(super) const RULES: &str = "alert";
const SILENCES: &str = "silence";
/// The plane that signals of rules come from, and their kind.
pub(super) const PLANE: &str = "alert";
pub(super) const KIND: &str = "alert_firing";
/// Longest part of a signal's key that names the group, in bytes.
const MAX_GROUP_BYTES: usize = 400;

/// What a tenant's node knows of alert rules.
pub(crate) struct Alerts {
    pub(super) writer: Writer,
    /// Since when this node takes rows of the tenant without a pause.
    pub(super) since: Millis,
    policies: Mutex<PolicyBook>,
    defined: Mutex<Arc<Vec<AlertRule>>>,
    silences: Mutex<Arc<Vec<AlertSilence>>>,
    /// How rules stand, as all sites say.
    pub(super) states: Mutex<States>,
    /// How rules stand here, as it was judged last.
    pub(super) view: Mutex<Arc<View>>,
    pub(super) wake: tokio::sync::Notify,
    /// Others said something: pages that are open are told with the next look.
    pub(super) heard: AtomicBool,
}

/// A rule as its policy says.
#[derive(Debug, Clone)]
pub(crate) struct AlertRule {
    pub(crate) name: Box<str>,
    /// What is judged; `None` if this version does not understand it.
    pub(crate) rule: Option<Arc<Rule>>,
    /// Why not.
    pub(crate) problem: Option<String>,
    /// The edits that stand, the one that counts first.
    pub(crate) edits: Vec<PolicyEdit>,
}

/// A silence as its policy says.
#[derive(Debug, Clone)]
pub(crate) struct AlertSilence {
    pub(crate) id: Box<str>,
    pub(crate) silence: Silence,
    pub(crate) by: Box<str>,
    pub(crate) at: Millis,
}

/// How rules stand at this node.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// When it was looked.
    pub(crate) at: Millis,
    pub(crate) standings: Vec<RuleStanding>,
    pub(crate) counters: holm_alert::Counters,
    pub(crate) groups: usize,
    pub(crate) steps: usize,
    /// Rows of the past are still being read for what is usual.
    pub(crate) learning: bool,
    /// How often all was judged anew because rows came faster than they could be looked at.
    pub(crate) rebuilt: u64,
    /// Rules and silences that could not be read.
    pub(crate) unreadable: u64,
    /// How long the last judgement took, in microseconds.
    pub(crate) took_us: u64,
}

/// Why something about alerts is not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AlertError {
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("the policy {0} cannot be kept: {1}")]
    Policy(Box<str>, PolicyError),
    #[error(
        "there is no alert rule of the name {0}; `GET /v1/alerts/rules` lists those that there are"
    )]
    UnknownRule(String),
    #[error("there is no silence {0}; `GET /v1/alerts/silences` lists those that there are")]
    UnknownSilence(String),
    #[error("{0}")]
    Silence(String),
    #[error(transparent)]
    Held(#[from] HeldByFolder),
    #[error("it could not be written: {0}")]
    Write(#[from] CommitError),
}

impl View {
    /// How a rule stands.
    pub(crate) fn of(&self, rule: &str) -> Option<&RuleStanding> {
        // In the order of their names, as they are defined.
        let found = self.standings.binary_search_by(|standing| (*standing.rule.name).cmp(rule));
        found.ok().map(|place| &self.standings[place])
    }
}

impl Alerts {
    /// With what the documents hold.
    pub(super) fn open(writer: Writer, replica: &Replica, now: Millis) -> Self {
        let alerts = Self {
            writer,
            since: now,
            policies: Mutex::default(),
            defined: Mutex::default(),
            silences: Mutex::default(),
            states: Mutex::default(),
            view: Mutex::default(),
            wake: tokio::sync::Notify::new(),
            heard: AtomicBool::new(false),
        };
        for shelf in [Shelf::Policies, Shelf::Alerts] {
            alerts.take_records(&replica.records_on(shelf));
        }
        alerts
    }

    /// Takes what documents say.
    pub(super) fn take_records(&self, records: &[Record]) {
        let mut edited = false;
        for record in records {
            match record.shelf {
                Shelf::Policies if is_ours(&record.key) => {
                    edited |= lock(&self.policies).take(record);
                }
                Shelf::Alerts => {
                    lock(&self.states).take(record);
                    // What this node writes is told when its rules turn.
                    let own =
                        (&record.site, &record.node) == (&self.writer.site, &self.writer.node);
                    self.heard.fetch_or(!own, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        if edited {
            self.heard.store(true, Ordering::Relaxed);
            self.define();
            self.wake.notify_one();
        }
    }

    /// The tenant was erased.
    pub(super) fn clear(&self) {
        *lock(&self.policies) = PolicyBook::new();
        *lock(&self.defined) = Arc::default();
        *lock(&self.silences) = Arc::default();
        *lock(&self.states) = States::default();
        *lock(&self.view) = Arc::default();
    }

    /// Reads all policies anew.
    fn define(&self) {
        let before = self.defined();
        let known: BTreeMap<&str, &AlertRule> = before.iter().map(|r| (&*r.name, r)).collect();
        let policies = lock(&self.policies);
        let edits = |area: &str, name: &str| standing(&policies, area, name);
        let rules = policies.names(RULES).into_iter().filter_map(|name| {
            let edits = edits(RULES, name);
            let content = edits.first()?.content.as_ref()?;
            let same = known.get(name).filter(|r| r.edits[0].content.as_ref() == Some(content));
            let (rule, problem) = match same {
                Some(known) => (known.rule.clone(), known.problem.clone()),
                None => read(name, content),
            };
            Some(AlertRule { name: name.into(), rule, problem, edits })
        });
        *lock(&self.defined) = Arc::new(rules.collect());
        let silences = policies.names(SILENCES).into_iter().filter_map(|id| {
            let edits = edits(SILENCES, id);
            let edit = edits.first()?;
            let silence = Silence::from_json(edit.content.as_ref()?)?;
            Some(AlertSilence { id: id.into(), silence, by: edit.by.clone(), at: edit.at })
        });
        *lock(&self.silences) = Arc::new(silences.collect());
    }

    /// Who writes here.
    pub(crate) const fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The rules that there are, by name.
    pub(crate) fn defined(&self) -> Arc<Vec<AlertRule>> {
        Arc::clone(&lock(&self.defined))
    }

    /// The silences that there are.
    pub(crate) fn silences(&self) -> Arc<Vec<AlertSilence>> {
        Arc::clone(&lock(&self.silences))
    }

    /// How rules stand here, as it was judged last.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&lock(&self.view))
    }

    /// How rules stand at nodes, this one included, as these said last.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        lock(&self.states).shown()
    }

    pub(super) fn unreadable(&self) -> u64 {
        lock(&self.policies).unreadable() + lock(&self.states).unreadable
    }

    /// The silence that is on for a group of a rule at this site at `now` of the mesh's clock.
    pub(crate) fn silenced(
        &self,
        silences: &[AlertSilence],
        rule: &Rule,
        group: &[Box<str>],
        now: Millis,
    ) -> Option<Box<str>> {
        if silences.iter().all(|silence| !silence.silence.is_on(now)) {
            return None;
        }
        let target = target_of(rule, group).map(|id| id.to_string()).unwrap_or_default();
        let site = self.writer.site.as_str();
        let what = Silenced { rule, group, site, target: &target };
        let on = silences.iter().find(|s| s.silence.is_on(now) && s.silence.matches(what));
        on.map(|silence| silence.id.clone())
    }
}

fn is_ours(key: &str) -> bool {
    let area = key.split_once('/').map(|(area, _)| area);
    area.is_some_and(|area| area == RULES || area == SILENCES)
}

fn read(name: &str, content: &str) -> (Option<Arc<Rule>>, Option<String>) {
    match holm_alert::parse(content) {
        Ok(mut rules) if rules.len() == 1 && *rules[0].name == *name => {
            (Some(Arc::new(rules.remove(0))), None)
        }
        Ok(_) => (None, Some("its policy is of another rule".to_owned())),
        Err(refused) => (None, Some(format!("this version does not understand it: {refused}"))),
    }
}

/// What a group of a rule is about: what its target says, or the rule itself, everywhere the same one.
pub(crate) fn target_of(rule: &Rule, group: &[Box<str>]) -> Option<NodeId> {
    let own = || NodeId::new(NodeKind::Service, &format!("alert {}", rule.name)).ok();
    let said = rule.target_of(group);
    said.and_then(|text| holm_alert::target_node(&text).ok()).or_else(own)
}

/// What tells groups of rules apart in reports.
pub(crate) fn key_of(rule: &str, group: &[Box<str>]) -> String {
    if group.is_empty() {
        return rule.to_owned();
    }
    let text = match group {
        [only] => only.to_string(),
        // A blank within a value is none between two.
        several => {
            let escaped = |part: &str| part.replace('\\', "\\\\").replace(' ', "\\ ");
            several.iter().map(|part| escaped(part)).collect::<Vec<_>>().join(" ")
        }
    };
    if text.len() <= MAX_GROUP_BYTES {
        return format!("{rule} {text}");
    }
    // Cut, two could be taken for one.
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let beginning: String = text.chars().take(MAX_GROUP_BYTES / 4).collect();
    format!("{rule} {beginning}… {}", &hash[..16])
}

/// A group for people: `target = web, peer.site = lima`.
pub(crate) fn group_text(by: &[Box<str>], group: &[Box<str>]) -> String {
    let parts: Vec<String> =
        by.iter().zip(group).map(|(column, value)| format!("{column} = {value}")).collect();
    parts.join(", ")
}

/// What a signal calls a column: one that is called as something of the alert's own, or of signals, is none of it.
fn attribute_of(column: &str) -> Cow<'_, str> {
    const OWN: [&str; 6] =
        [SIGNAL_KEY, SIGNAL_NEAR, VANTAGE_FAILED, VANTAGE_REACHED, "rule", "value"];
    if OWN.contains(&column) { format!("by.{column}").into() } else { column.into() }
}

/// What is said of a firing.
pub(super) fn signal(turn: &holm_alert::Turn) -> Option<Signal> {
    let rule = &turn.rule;
    let mut signal = Signal::new(PLANE, KIND, target_of(rule, &turn.group)?, turn.raised, turn.at);
    signal.severity = rule.severity;
    let mut note = |name: &str, text: &str| signal.attributes.insert(name.into(), text.into());
    for (column, value) in rule.by.iter().zip(&turn.group) {
        note(&attribute_of(column), value);
    }
    note(SIGNAL_KEY, &key_of(&rule.name, &turn.group));
    note("rule", &rule.name);
    if let Some(value) = turn.value {
        note("value", &format!("{value:.6}"));
    }
    let of = group_text(&rule.by, &turn.group);
    let of = if of.is_empty() { String::new() } else { format!(" ({of})") };
    let value = turn.value.map_or_else(String::new, |value| format!(": {}", rounded(value)));
    signal.text = format!("{}{of}{value}", rule.title()).into();
    Some(signal)
}

/// A number with as many digits as say something.
pub(crate) fn rounded(value: f64) -> String {
    if value == 0.0 || (1e-3..1e15).contains(&value.abs()) {
        let text = format!("{value:.3}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        return text.to_owned();
    }
    format!("{value:.3e}")
}

impl Tenant {
    /// Takes rules that were read from a file: what each was to become. Durable when it returns.
    pub(crate) fn apply_rules(
        &self,
        state: &NodeState,
        rules: &[Rule],
        by: &str,
        now: Millis,
    ) -> Result<Vec<Applied>, AlertError> {
        let defined = self.alerts.defined();
        let known: Vec<&Rule> = defined.iter().filter_map(|rule| rule.rule.as_deref()).collect();
        let problems = holm_alert::check_together(rules, &known);
        if !problems.is_empty() {
            return Err(Refused(problems).into());
        }
        let contents = rules.iter().map(|rule| (&*rule.name, Some(rule.to_json().to_string())));
        self.edit_policies(state, RULES, contents.collect(), by, now)
    }

    /// Rules that this node cannot judge, by name, and why: beside each other, and beside those that there are.
    pub(crate) fn unjudged(&self, rules: &[Rule]) -> Vec<(String, String)> {
        let tables = super::alerts_rows::shapes(&self.rows.store);
        let limits = holm_alert::Limits::default();
        let now = Millis::now();
        let new: BTreeSet<&str> = rules.iter().map(|rule| &*rule.name).collect();
        let defined = self.alerts.defined();
        let known = defined.iter().filter_map(|rule| rule.rule.clone());
        let known = known.filter(|rule| !new.contains(&*rule.name));
        let all = rules.iter().cloned().map(Arc::new).chain(known);
        let mut engine = holm_alert::Engine::new(all, &tables, limits, now, now);
        // Whether there are the rules that a composite looks at shows when it is judged.
        engine.judge(now);
        let standings = engine.standings(0).into_iter().take(rules.len());
        standings.filter_map(|s| Some((s.rule.name.to_string(), s.problem?))).collect()
    }

    /// The file of a folder that holds a rule.
    pub(crate) fn file_of(&self, state: &NodeState, rule: &AlertRule) -> Option<String> {
        let held = self.held_by_folder(state, (RULES, &rule.name), &rule.edits, "").err()?;
        Some(format!("{} at {}", held.path, held.node))
    }

    /// Takes a rule away.
    pub(crate) fn remove_rule(
        &self,
        state: &NodeState,
        name: &str,
        by: &str,
        now: Millis,
    ) -> Result<(), AlertError> {
        if !self.alerts.defined().iter().any(|rule| *rule.name == *name) {
            return Err(AlertError::UnknownRule(name.chars().take(80).collect()));
        }
        self.edit_policies(state, RULES, vec![(name, None)], by, now).map(drop)
    }

    /// Makes a silence; its id.
    pub(crate) fn silence(
        &self,
        state: &NodeState,
        silence: Silence,
        by: &str,
        now: Millis,
    ) -> Result<String, AlertError> {
        let silence = silence.checked(now).map_err(AlertError::Silence)?;
        let id = format!("{:012x}", rand::random::<u64>() >> 16);
        let content = silence.to_json().to_string();
        self.edit_policies(state, SILENCES, vec![(&id, Some(content))], by, now)?;
        Ok(id)
    }

    /// Takes a silence away.
    pub(crate) fn unsilence(
        &self,
        state: &NodeState,
        id: &str,
        by: &str,
        now: Millis,
    ) -> Result<(), AlertError> {
        if !self.alerts.silences().iter().any(|silence| *silence.id == *id) {
            return Err(AlertError::UnknownSilence(id.chars().take(80).collect()));
        }
        self.edit_policies(state, SILENCES, vec![(id, None)], by, now).map(drop)
    }

    fn edit_policies(
        &self,
        state: &NodeState,
        area: &str,
        contents: Vec<(&str, Option<String>)>,
        by: &str,
        now: Millis,
    ) -> Result<Vec<Applied>, AlertError> {
        let mut applied = Vec::new();
        let versions: Vec<DocVersion> = {
            let _order = self.in_order();
            let writer = &self.alerts.writer;
            let own = format!("{}/{}", writer.site, writer.node);
            let mut new = Vec::new();
            for (name, content) in contents {
                let policies = lock(&self.alerts.policies);
                let standing = standing(&policies, area, name);
                if says_nothing_new(&standing, content.as_deref(), by, &own) {
                    applied.push(Applied::Unchanged);
                    continue;
                }
                if area == RULES {
                    self.held_by_folder(state, (RULES, name), &standing, by)?;
                }
                let content = content.map(String::into_bytes);
                let known = standing.iter().any(|edit| edit.content.is_some());
                let place = (&self.alerts.writer.site, &self.alerts.writer.node);
                let edit = policies.edit((area, name), place, by, content, now);
                new.push(edit.map_err(|error| AlertError::Policy(name.into(), error))?);
                applied.push(if known { Applied::Updated } else { Applied::Created });
            }
            let committed = self.replica.put_records_on(Shelf::Policies, &new, now)?;
            let records: Vec<Record> = new
                .into_iter()
                .map(|new| Record {
                    shelf: Shelf::Policies,
                    site: self.alerts.writer.site.clone(),
                    node: self.alerts.writer.node.clone(),
                    key: new.key,
                    values: vec![new.value],
                })
                .collect();
            self.alerts.take_records(&records);
            self.notice_edits(&records);
            committed.versions
        };
        versions.into_iter().for_each(|version| state.publish(version));
        state.tell(Change::of(&self.id, Topic::Alerts));
        Ok(applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(more: &str) -> Rule {
        let text = format!(
            "{{ kind: AlertRule, name: lost, table: t, by: [target, peer.site], value: count, condition: {{ above: 1 }}{more} }}"
        );
        holm_alert::parse(&text).expect("good").remove(0)
    }

    #[test]
    fn a_firing_is_about_what_its_target_says_or_the_rule() {
        let group: [Box<str>; 2] = ["https://192.0.2.7/cart".into(), "lima".into()];
        let target = |more: &str| target_of(&rule(more), &group).map(|id| id.to_string());
        assert_eq!(target("").as_deref(), Some("service:alert lost"));
        assert_eq!(target(", target: 'host:{target}'").as_deref(), Some("host:192.0.2.7"));
        assert_eq!(target(", target: 'site:{peer.site}'").as_deref(), Some("site:lima"));
        // Only a host stands in a URL; what else there is has a name of its own, slashes and colons too.
        for said in [
            "prefix:198.51.100.0/24",
            "prefix:2001:db8::/32",
            "service:acme/checkout",
            "service:web:8080",
            "service:what?now",
            "device:rtr1/re0",
        ] {
            assert_eq!(target(&format!(", target: '{said}'")).as_deref(), Some(said));
        }
        assert_eq!(
            target(", target: 'host:Web.example:8443'").as_deref(),
            Some("host:web.example")
        );
        let odd: [Box<str>; 2] = ["{peer.site}".into(), "lima".into()];
        let about = target_of(&rule(", target: 'service:{target}'"), &odd).expect("a target");
        assert_eq!(about.to_string(), "service:{peer.site}", "a value is no template");
        let turn = holm_alert::Turn {
            rule: Arc::new(rule("")),
            group: Box::new(group.clone()),
            raised: true,
            at: Millis(7),
            value: Some(0.125),
        };
        let signal = signal(&turn).and_then(Signal::bounded).expect("a signal");
        assert_eq!(
            &*signal.text,
            "lost (target = https://192.0.2.7/cart, peer.site = lima): 0.125"
        );
        assert_eq!(&*signal.attributes[SIGNAL_KEY], "lost https://192.0.2.7/cart lima");
        assert_eq!(&*signal.attributes["peer.site"], "lima");
    }

    #[test]
    fn columns_that_are_called_as_something_else_stand_beside_it() {
        let text = "{ kind: AlertRule, name: odd, table: t, by: [rule, value, key, near], value: count, \
                    condition: { above: 1 } }";
        let turn = holm_alert::Turn {
            rule: Arc::new(holm_alert::parse(text).expect("good").remove(0)),
            group: Box::new(["a", "b", "c", "site:lima"].map(Into::into)),
            raised: true,
            at: Millis(7),
            value: Some(5.0),
        };
        let signal = signal(&turn).and_then(Signal::bounded).expect("a signal");
        for (name, value) in [
            ("rule", "odd"),
            ("value", "5.000000"),
            ("key", "odd a b c site:lima"),
            ("by.rule", "a"),
            ("by.value", "b"),
            ("by.key", "c"),
            ("by.near", "site:lima"),
        ] {
            assert_eq!(signal.attributes.get(name).map(|text| &**text), Some(value), "{name}");
        }
        assert!(!signal.attributes.contains_key(SIGNAL_NEAR), "a row says nothing of neighbours");
    }

    #[test]
    fn groups_with_blanks_in_their_values_stay_apart() {
        let key = |group: &[&str]| {
            let group: Vec<Box<str>> = group.iter().map(|text| (*text).into()).collect();
            key_of("r", &group)
        };
        assert_eq!(key(&["a b", "c"]), "r a\\ b c");
        assert_ne!(key(&["a b", "c"]), key(&["a", "b c"]));
        assert_ne!(key(&["a\\", "b"]), key(&["a\\ b", ""]));
        assert_ne!(key(&["a ", "b"]), key(&["a", " b"]));
        assert_eq!(key(&["a b"]), "r a b", "of one column there is nothing to tell apart");
    }

    #[test]
    fn keys_of_long_groups_stay_apart() {
        let group = |end: &str| -> [Box<str>; 1] { [format!("{}{end}", "x".repeat(600)).into()] };
        let (a, b) = (key_of("r", &group("a")), key_of("r", &group("b")));
        assert!(a != b && a.len() < 500, "{a}");
        assert_eq!(key_of("r", &[]), "r");
        for (value, text) in [(0.0, "0"), (0.05, "0.05"), (12.3456, "12.346"), (1e-7, "1.000e-7")] {
            assert_eq!(rounded(value), text);
        }
    }
}
