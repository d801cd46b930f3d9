//! How alerts and rules are shown: what this node judged, and what others said.

use std::collections::BTreeMap;

use holm_alert::{Rule, RuleStanding, RuleState};
use holm_incident::FaultId;
use holm_model::{Millis, SIGNAL_KEY, Severity};

use super::alerts_types::{
    AlertCounts, AlertIncident, AlertJudged, AlertRuleNode, AlertRuleState, AlertRuleView,
    AlertState, AlertView, PolicyFile, PolicyFolder,
};
use super::incidents_types::IncidentState;
use super::types::Timestamp;
use crate::daemon::{
    ActiveRecord, AlertRule, AlertView as View, NodeState, Shown, Tenant, conflicts, key_of,
    target_of,
};

/// Most files with problems that are listed.
const MAX_FILES: usize = 50;

impl From<RuleState> for AlertRuleState {
    fn from(state: RuleState) -> Self {
        match state {
            RuleState::Broken => Self::Broken,
            RuleState::Firing => Self::Firing,
            RuleState::Pending => Self::Pending,
            RuleState::NoData => Self::NoData,
            RuleState::Warming => Self::Warming,
            RuleState::Inactive => Self::Inactive,
        }
    }
}

/// Incidents by who reported which group: site, node and key.
type Incidents = BTreeMap<(String, String, String), AlertIncident>;

fn incidents(tenant: &Tenant) -> Incidents {
    let judged = tenant.incidents.lately(tenant.mesh_now());
    let mut found = Incidents::new();
    for incident in judged.incidents().iter().filter(|incident| !incident.is_resolved()) {
        for (id, report) in incident.reports.iter().filter(|(_, r)| *r.plane == *"alert") {
            let Some(key) = report.attributes.get(SIGNAL_KEY) else { continue };
            let place = (id.site.to_string(), id.node.to_string(), key.to_string());
            found
                .insert(place, incident_of(incident.id, incident.state, incident.owner.as_deref()));
        }
    }
    found
}

fn incident_of(id: FaultId, state: impl Into<IncidentState>, owner: Option<&str>) -> AlertIncident {
    AlertIncident { id: id.to_string(), state: state.into(), owner: owner.map(str::to_owned) }
}

/// What fires or is about to, the gravest first.
pub(super) fn alerts_of(tenant: &Tenant) -> Vec<AlertView> {
    let defined = tenant.alerts.defined();
    let rules: BTreeMap<&str, &AlertRule> = defined.iter().map(|r| (&*r.name, r)).collect();
    let (incidents, by_mesh) = (incidents(tenant), tenant.mesh_now());
    let view = tenant.alerts.view();
    let silences = tenant.alerts.silences();
    let writer = (&tenant.alerts.writer().site, &tenant.alerts.writer().node);
    let mut items = Vec::new();
    for standing in &view.standings {
        let rule = &standing.rule;
        for group in &standing.active {
            let record = ActiveRecord {
                group: group.group.to_vec(),
                firing: group.firing,
                since: group.since.0,
                fired_at: group.fired_at.map(|at| at.0),
                value: group.value,
                inhibited_by: group.inhibited_by.clone(),
                silenced_by: tenant.alerts.silenced(&silences, rule, &group.group, by_mesh),
            };
            let mut shown = item(&rule.name, Some(rule), writer, &record, view.at, &incidents);
            (shown.least, shown.most) =
                group.band.map_or((None, None), |(a, b)| (Some(a), Some(b)));
            items.push(shown);
        }
    }
    for Shown { site, node, rule, record } in tenant.alerts.shown() {
        // What this node wrote itself is known better.
        let Some(known) = rules.get(&*rule).filter(|_| (&site, &node) != writer) else { continue };
        let at = Millis(record.at);
        let of = known.rule.as_deref();
        let active = record.active.iter();
        items.extend(active.map(|group| item(&rule, of, (&site, &node), group, at, &incidents)));
    }
    items.sort_by(|a, b| {
        a.state
            .cmp(&b.state)
            .then(b.severity.cmp(&a.severity))
            .then(b.since.0.cmp(&a.since.0))
            .then_with(|| (&a.rule, &a.site, &a.node).cmp(&(&b.rule, &b.site, &b.node)))
    });
    items
}

fn item(
    name: &str,
    rule: Option<&Rule>,
    (site, node): (&holm_model::SiteId, &holm_model::NodeName),
    group: &ActiveRecord,
    at: Millis,
    incidents: &Incidents,
) -> AlertView {
    let key = key_of(name, &group.group);
    let incident = incidents.get(&(site.to_string(), node.to_string(), key)).cloned();
    let state = match group {
        ActiveRecord { firing: false, .. } => AlertState::Pending,
        ActiveRecord { silenced_by: Some(_), .. } => AlertState::Silenced,
        ActiveRecord { inhibited_by: Some(_), .. } => AlertState::Inhibited,
        _ => AlertState::Firing,
    };
    let columns = rule.map(|rule| rule.by.as_slice()).unwrap_or_default();
    let texts = |all: &[Box<str>]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    AlertView {
        rule: name.to_owned(),
        title: rule.map_or(name, Rule::title).to_owned(),
        severity: rule.map_or(Severity::Warning, |rule| rule.severity),
        labels: labels(rule),
        site: site.clone(),
        node: node.clone(),
        state,
        group: texts(columns).into_iter().zip(texts(&group.group)).collect(),
        target: rule.and_then(|rule| Some(target_of(rule, &group.group)?.to_string())),
        since: Timestamp(Millis(group.since)),
        fired_at: group.fired_at.map(|at| Timestamp(Millis(at))),
        value: group.value,
        least: None,
        most: None,
        silenced_by: group.silenced_by.as_deref().map(str::to_owned),
        inhibited_by: group.inhibited_by.as_deref().map(str::to_owned),
        incident: incident.filter(|_| group.firing),
        as_of: Timestamp(at),
    }
}

fn labels(rule: Option<&Rule>) -> BTreeMap<String, String> {
    let labels = rule.into_iter().flat_map(|rule| &rule.labels);
    labels.map(|(name, text)| (name.to_string(), text.to_string())).collect()
}

pub(super) fn counts_of(items: &[AlertView]) -> AlertCounts {
    let of = |state| items.iter().filter(|item| item.state == state).count() as u64;
    AlertCounts {
        firing: of(AlertState::Firing),
        pending: of(AlertState::Pending),
        silenced: of(AlertState::Silenced),
        inhibited: of(AlertState::Inhibited),
    }
}

pub(super) fn judged_of(view: &View) -> AlertJudged {
    AlertJudged {
        groups: view.groups as u64,
        took_ms: view.took_us as f64 / 1_000.0,
        rows: view.counters.rows,
        late_rows: view.counters.late,
        ahead_rows: view.counters.ahead,
        refused_groups: view.counters.refused_groups,
        taken_back: view.counters.taken_back,
        learning: view.learning,
    }
}

/// The folder, as far as it is the tenant's.
pub(super) fn folder_of(state: &NodeState, tenant: &Tenant) -> Option<PolicyFolder> {
    let path = &state.config.policies.folder;
    if path.as_os_str().is_empty() {
        return None;
    }
    let view = state.gitops.view();
    let own = || view.files.iter().filter(|file| file.tenant == tenant.id);
    let refused = own().filter(|file| !file.problems.is_empty()).take(MAX_FILES);
    Some(PolicyFolder {
        path: path.display().to_string(),
        files: own().count() as u64,
        problem: view.problem.clone(),
        refused: refused
            .map(|file| PolicyFile {
                path: file.path.clone(),
                tenant: file.tenant.to_string(),
                problems: file.problems.clone(),
            })
            .collect(),
    })
}

pub(super) fn rule_view(
    state: &NodeState,
    tenant: &Tenant,
    defined: &AlertRule,
    view: &View,
    others: &[&Shown],
) -> AlertRuleView {
    let rule = defined.rule.as_deref();
    let own: Option<&RuleStanding> = view.of(&defined.name);
    let writer = tenant.alerts.writer();
    let mut nodes: Vec<AlertRuleNode> = Vec::new();
    nodes.extend(own.map(|own| AlertRuleNode {
        site: writer.site.clone(),
        node: writer.node.clone(),
        state: own.state.into(),
        groups: own.groups as u64,
        firing: own.firing as u64,
        pending: own.pending as u64,
        problem: own.problem.clone(),
        as_of: Timestamp(view.at),
    }));
    let foreign = others.iter().filter(|s| s.site != writer.site || s.node != writer.node);
    nodes.extend(foreign.filter_map(|shown| {
        Some(AlertRuleNode {
            site: shown.site.clone(),
            node: shown.node.clone(),
            state: RuleState::parse(&shown.record.state)?.into(),
            groups: shown.record.groups,
            firing: shown.record.firing,
            pending: shown.record.pending,
            problem: shown.record.problem.as_deref().map(str::to_owned),
            as_of: Timestamp(Millis(shown.record.at)),
        })
    }));
    let mut worst = nodes.iter().map(|node| node.state).min();
    if defined.rule.is_none() {
        worst = Some(AlertRuleState::Broken);
    }
    let edit = &defined.edits[0];
    let warming = own.and_then(|own| own.warming);
    AlertRuleView {
        name: defined.name.to_string(),
        title: rule.map_or(&*defined.name, Rule::title).to_owned(),
        description: rule.and_then(|rule| rule.description.as_deref()).map(str::to_owned),
        severity: rule.map_or(Severity::Warning, |rule| rule.severity),
        labels: labels(rule),
        state: worst.unwrap_or(AlertRuleState::NoData),
        table: rule.and_then(Rule::query).map(|query| query.table.to_string()),
        groups: own.map_or(0, |own| own.groups as u64),
        firing: nodes.iter().map(|node| node.firing).sum(),
        pending: nodes.iter().map(|node| node.pending).sum(),
        problem: defined.problem.clone().or_else(|| own.and_then(|own| own.problem.clone())),
        warming_known: warming.map(|(known, _)| known as u64),
        warming_needed: warming.map(|(_, needed)| needed as u64),
        nodes,
        edited_by: format!("{} at {}", edit.by, edit.writer),
        edited_at: Timestamp(edit.at),
        conflicts: conflicts(&defined.edits).count() as u64,
        file: tenant.file_of(state, defined),
    }
}
