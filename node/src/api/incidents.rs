//! `/v1/incidents`: what is wrong, what it is made of, and what people do about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use holm_incident::{
    Action, Deed, FaultId, Incident, Join, Reason, RecordId, Report, State as Stands, Why,
};
use holm_model::{Millis, SiteId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::coverage::freshness;
use super::error::{ApiError, ErrorBody, ErrorCode, beside};
use super::incidents_types::{
    EntryKind, IncidentActionRequest, IncidentConflict, IncidentDetail, IncidentEntry,
    IncidentJoin, IncidentList, IncidentReport, IncidentState, IncidentVantages, IncidentVerb,
    IncidentView, JoinReason, SeverityView, SpellView,
};
use super::pages::pages_of;
use super::params::{Given, clipped, within};
use super::types::Timestamp;
use crate::daemon::{ActError, Caller, NodeState, Role};

/// Most incidents of a page.
const MAX_PAGE: usize = 1_000;
const MAX_REPORTS: usize = 1_000;
const MAX_ENTRIES: usize = 2_000;
/// Most actions of a conflict that are listed.
const MAX_CONFLICT: usize = 16;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct IncidentsQuery {
    /// Only in these states; `unresolved` stands for all but `resolved`, `all` for all. `unresolved` unless
    /// given; may be given again.
    #[serde(default)]
    state: Vec<String>,
    /// Only as grave as this, or graver.
    severity: Option<SeverityView>,
    /// Only those that this site reported.
    #[param(value_type = Option<String>)]
    site: Option<SiteId>,
    /// Only about what has this in its name.
    target: Option<String>,
    /// How many to leave out at the beginning: the page after the first.
    offset: Option<usize>,
    /// Most of them: 1 to 1,000; 100 otherwise.
    limit: Option<usize>,
}

/// The incidents that are remembered, as every site's reports come to.
#[utoipa::path(
    get, path = "/v1/incidents", tag = "incidents", params(IncidentsQuery),
    responses((status = 200, body = IncidentList), (status = 400, body = ErrorBody))
)]
pub(crate) async fn list_incidents(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<IncidentsQuery>,
) -> Result<Json<IncidentList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let limit = within("limit", query.limit.unwrap_or(100), MAX_PAGE)?;
    let wanted = wanted(&query.state)?;
    let target = query.target.map(|target| target.to_lowercase());
    let now = tenant.mesh_now();
    let of = Arc::clone(&tenant);
    let judged = beside(move || of.incidents.lately(now)).await?;
    let fits = |incident: &&Arc<Incident>| {
        let about = |text: &String| {
            let mut names = incident.targets.iter().map(|target| target.to_string().to_lowercase());
            names.any(|name| name.contains(text)) || incident.title.to_lowercase().contains(text)
        };
        wanted.contains(&incident.state)
            && query.severity.is_none_or(|least| SeverityView::from(incident.severity) >= least)
            && query.site.as_ref().is_none_or(|site| incident.sites.contains(site))
            && target.as_ref().is_none_or(about)
    };
    let mut states: BTreeMap<String, u64> =
        Stands::ALL.iter().map(|state| (state.as_str().to_owned(), 0)).collect();
    for incident in judged.incidents() {
        *states.entry(incident.state.as_str().to_owned()).or_default() += 1;
    }
    let found: Vec<&Arc<Incident>> = judged.incidents().iter().filter(fits).collect();
    let page = found.iter().skip(query.offset.unwrap_or(0)).take(limit);
    Ok(Json(IncidentList {
        items: page.map(|incident| view(incident)).collect(),
        total: found.len() as u64,
        states,
        freshness: freshness(&state, &tenant, now),
    }))
}

fn wanted(states: &[String]) -> Result<Vec<Stands>, ApiError> {
    let mut wanted = Vec::new();
    let unresolved = || Stands::ALL.into_iter().filter(|state| *state != Stands::Resolved);
    if states.is_empty() {
        wanted.extend(unresolved());
    }
    for name in states {
        match name.as_str() {
            "all" => wanted.extend(Stands::ALL),
            "unresolved" => wanted.extend(unresolved()),
            name => {
                let known = Stands::ALL.into_iter().find(|state| state.as_str() == name);
                wanted.push(known.ok_or_else(|| {
                    ApiError::bad_request(format!(
                        "state={}: it is one of all, unresolved, open, acknowledged, mitigated, resolved, reopened",
                        clipped(name)
                    ))
                })?);
            }
        }
    }
    Ok(wanted)
}

/// One incident: its reports, why they are one, and all that happened. Found by any of its faults.
#[utoipa::path(
    get, path = "/v1/incidents/{id}", tag = "incidents",
    params(("id" = String, Path, description = "its id, or one of `also`")),
    responses((status = 200, body = IncidentDetail), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn show_incident(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<IncidentDetail>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let id = fault("id", &id)?;
    let now = tenant.mesh_now();
    let of = Arc::clone(&tenant);
    let judged = beside(move || of.incidents.judged(now)).await?;
    let incident = judged.of_fault(id);
    let incident =
        incident.ok_or_else(|| ApiError::not_found(ActError::Unknown(id).to_string()))?;
    Ok(Json(detail(&state, &tenant, incident, now)))
}

/// Does something to an incident. It is durable here when this answers, and reaches the other sites as they
/// are heard; what they do at the same time stands beside it.
#[utoipa::path(
    post, path = "/v1/incidents/{id}/{action}", tag = "incidents", request_body = IncidentActionRequest,
    params(
        ("id" = String, Path, description = "its id, or one of `also`"),
        ("action" = inline(IncidentVerb), Path, description = "what is done")
    ),
    responses((status = 200, body = IncidentDetail), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn act_on_incident(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path((id, verb)): Path<(String, String)>,
    Json(request): Json<IncidentActionRequest>,
) -> Result<Json<IncidentDetail>, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    let id = fault("id", &id)?;
    let verb = verb_of(&verb)?;
    let text = request.text.trim().to_owned();
    let deed = deed(verb, request)?;
    let now = tenant.mesh_now();
    let (of, node, by) = (Arc::clone(&tenant), Arc::clone(&state), caller.name.clone());
    let incident =
        beside(move || of.act(&node, id, &by, deed, &text, now)).await?.map_err(refused)?;
    tracing::info!(by = caller.name, incident = %incident.id, action = verb.as_str(), "incident");
    Ok(Json(detail(&state, &tenant, &incident, now)))
}

fn refused(error: ActError) -> ApiError {
    match error {
        ActError::Refused(_) => ApiError::new(ErrorCode::Validation, error.to_string()),
        ActError::Unknown(_) => ApiError::not_found(error.to_string()),
        ActError::Write(_) => ApiError::new(ErrorCode::Unavailable, error.to_string()),
    }
}

fn fault(name: &str, text: &str) -> Result<FaultId, ApiError> {
    text.parse().map_err(|why| ApiError::bad_request(format!("{name}={}: {why}", clipped(text))))
}

fn verb_of(text: &str) -> Result<IncidentVerb, ApiError> {
    let named = serde_json::Value::String(text.to_owned());
    serde_json::from_value(named).map_err(|_| {
        ApiError::not_found(format!(
            "{} is not done to incidents; ack, assign, grade, join, mitigate, note, reopen, resolve and split are",
            clipped(text)
        ))
    })
}

/// What is asked for; what belongs to another action is refused, because it would be passed over.
fn deed(verb: IncidentVerb, request: IncidentActionRequest) -> Result<Deed, ApiError> {
    let wrong = |what: String| ApiError::new(ErrorCode::Validation, what);
    let IncidentActionRequest { text: _, owner, severity, faults, with } = request;
    for (field, of, given) in [
        ("owner", IncidentVerb::Assign, owner.is_some()),
        ("severity", IncidentVerb::Grade, severity.is_some()),
        ("faults", IncidentVerb::Split, !faults.is_empty()),
        ("with", IncidentVerb::Join, with.is_some()),
    ] {
        if given && verb != of {
            let (of, verb) = (of.as_str(), verb.as_str());
            return Err(wrong(format!("{field}: it belongs to {of}, and this is {verb}")));
        }
    }
    Ok(match verb {
        IncidentVerb::Ack => Deed::Acknowledge,
        IncidentVerb::Mitigate => Deed::Mitigate,
        IncidentVerb::Resolve => Deed::Resolve,
        IncidentVerb::Reopen => Deed::Reopen,
        IncidentVerb::Note => Deed::Note,
        IncidentVerb::Assign => {
            let owner = owner.map(|owner| owner.trim().to_owned());
            Deed::Assign(owner.filter(|owner| !owner.is_empty()).map(Into::into))
        }
        IncidentVerb::Grade => {
            let severity = severity.ok_or_else(|| wrong("severity: it is missing".into()))?;
            Deed::Grade(severity.into())
        }
        IncidentVerb::Split => {
            let faults = faults.iter().map(|text| fault("faults", text));
            Deed::Split(faults.collect::<Result<_, _>>()?)
        }
        IncidentVerb::Join => {
            let with = with.ok_or_else(|| wrong("with: it is missing".into()))?;
            Deed::Join(fault("with", &with)?)
        }
    })
}

fn names<'a, T: ToString + 'a>(all: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    all.into_iter().map(ToString::to_string).collect()
}

fn view(incident: &Incident) -> IncidentView {
    let conflicts = incident.conflicts.iter().map(|conflict| IncidentConflict {
        field: conflict.field.into(),
        actions: {
            let ids: BTreeMap<u64, &RecordId> =
                incident.actions.iter().map(|(id, action)| (action.id, id)).collect();
            let said = conflict.actions.iter().take(MAX_CONFLICT);
            said.map(|action| action_entry(ids.get(&action.id).copied(), action)).collect()
        },
    });
    IncidentView {
        id: incident.id.to_string(),
        also: names(&incident.also),
        title: incident.title.to_string(),
        severity: incident.severity.into(),
        state: IncidentState::from(incident.state),
        state_since: Timestamp(incident.state_since),
        opened_at: Timestamp(incident.opened),
        last_signal_at: Timestamp(incident.last_signal),
        resolves_at: incident.resolves_at.map(Timestamp),
        firing: incident.firing,
        flapping: incident.flapping,
        owner: incident.owner.as_deref().map(str::to_owned),
        targets: names(&incident.targets),
        sites: names(&incident.sites),
        planes: names(&incident.planes),
        verdict: (&incident.verdict).into(),
        vantages: IncidentVantages {
            failed: names(&incident.vantages.failed),
            fine: names(&incident.vantages.fine),
            cut_off: names(&incident.vantages.cut_off),
        },
        reports: incident.reports.len() as u64,
        actions: incident.actions.len() as u64,
        conflicts: conflicts.collect(),
    }
}

fn detail(
    state: &NodeState,
    tenant: &crate::daemon::Tenant,
    incident: &Incident,
    now: Millis,
) -> IncidentDetail {
    let reports = incident.reports.iter().take(MAX_REPORTS);
    IncidentDetail {
        incident: view(incident),
        reports: reports.map(|(id, report)| report_view(id, report)).collect(),
        joins: incident.joins.iter().take(MAX_REPORTS).map(join_view).collect(),
        timeline: timeline(incident),
        pages: pages_of(tenant, &incident.faults().map(|id| id.to_string()).collect::<Vec<_>>()),
        freshness: freshness(state, tenant, now),
    }
}

fn record(id: &RecordId) -> String {
    format!("{}/{}/{}", id.site, id.node, id.key)
}

fn report_view(id: &RecordId, report: &Report) -> IncidentReport {
    let spells = report
        .spells
        .iter()
        .map(|spell| SpellView { from: Timestamp(spell.from), to: spell.to.map(Timestamp) });
    let attributes = report.attributes.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    IncidentReport {
        id: record(id),
        site: id.site.clone(),
        node: id.node.clone(),
        fault: report.fault().to_string(),
        plane: report.plane.to_string(),
        kind: report.kind.to_string(),
        severity: report.severity.into(),
        text: report.text.to_string(),
        target: report.target.to_string(),
        prefix: report.prefix.as_ref().map(ToString::to_string),
        names: names(&report.anchors),
        near: names(&report.near),
        attributes: attributes.collect(),
        spells: spells.collect(),
        raised: report.raised,
        firing: report.is_firing(),
        lapsed: report.lapsed,
    }
}

fn join_view(join: &Join) -> IncidentJoin {
    let (reason, text) = match &join.why {
        Reason::Fault => (JoinReason::Fault, "both are of one fault".into()),
        Reason::Same(anchor) => (JoinReason::Same, format!("both are about {anchor}")),
        Reason::Within { inner, outer } => (JoinReason::Within, format!("{inner} lies in {outer}")),
        Reason::Near { target, neighbour } => {
            let text =
                format!("{target} is next to {neighbour}, and both began at about the same time");
            (JoinReason::Near, text)
        }
        Reason::Hand { by } => (JoinReason::Hand, format!("{by} joined them")),
    };
    IncidentJoin { report: record(&join.report), with: record(&join.with), reason, text }
}

fn action_entry(id: Option<&RecordId>, action: &Action) -> IncidentEntry {
    let value = match &action.deed {
        Deed::Assign(owner) => Some(owner.as_deref().unwrap_or("nobody").to_owned()),
        Deed::Grade(severity) => Some(severity.to_string()),
        Deed::Split(faults) => Some(names(faults).join(", ")),
        Deed::Join(with) => Some(with.to_string()),
        _ => None,
    };
    IncidentEntry {
        at: Timestamp(action.at),
        kind: EntryKind::Action,
        what: action.deed.as_str().into(),
        by: id.map_or_else(|| action.by.to_string(), |id| format!("{} at {}", action.by, id.site)),
        text: action.text.to_string(),
        value,
    }
}

/// Signals, people's actions and what followed by itself, in order of time.
fn timeline(incident: &Incident) -> Vec<IncidentEntry> {
    let mut entries = Vec::new();
    for (id, report) in &incident.reports {
        let by = format!("{} at {}/{}", report.plane, id.site, id.node);
        let last = report.spells.len().saturating_sub(1);
        for (number, spell) in report.spells.iter().enumerate() {
            let entry = |at, kind, text: &str| IncidentEntry {
                at: Timestamp(at),
                kind,
                what: report.kind.to_string(),
                by: by.clone(),
                text: text.to_owned(),
                value: Some(report.target.to_string()),
            };
            entries.push(entry(spell.from, EntryKind::Raised, &report.text));
            if let Some(to) = spell.to {
                let lapsed = report.lapsed && number == last;
                let text = if lapsed { "not said again after a start" } else { "" };
                entries.push(entry(to, EntryKind::Cleared, text));
            }
        }
    }
    for turn in &incident.turns {
        let text = match turn.why {
            Why::Raised => "a signal was raised",
            Why::Recovered => "all was well for long enough",
            Why::Action(_) => continue,
        };
        entries.push(IncidentEntry {
            at: Timestamp(turn.at),
            kind: EntryKind::State,
            what: turn.to.as_str().into(),
            by: "by itself".into(),
            text: text.into(),
            value: None,
        });
    }
    entries.extend(incident.actions.iter().map(|(id, action)| action_entry(Some(id), action)));
    entries.sort_by_key(|entry| entry.at.0);
    let surplus = entries.len().saturating_sub(MAX_ENTRIES);
    entries.drain(..surplus);
    entries
}
