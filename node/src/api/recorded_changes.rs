//! `/v1/changes`: what people and machines changed, and which of it an incident may come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use holm_change::{
    ChangeId, Known, Proximity, Ranked, Source, SourceError, Subject, WINDOW_MS, Weights, rank,
};
use holm_incident::{FaultId, Incident};
use holm_model::{Millis, NodeId, SiteId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::coverage::freshness;
use super::error::{ApiError, ErrorBody, ErrorCode, beside};
use super::params::{Given, When, clipped, moment, window, within};
use super::questions::answer;
use super::recorded_changes_types::{
    ChangeSource, ChangeSourceList, CreatedChangeSource, DeliveryCounts, NewChangeSourceRequest,
    RankedChange, RankedChangeList, RecordedChange, RecordedChangeKind, RecordedChangeList,
    ScorePart,
};
use super::types::Timestamp;
use crate::daemon::{ActError, Caller, Deliveries, NodeState, Role, SourceChangeError, Tenant};

/// Most changes of a page.
const MAX_PAGE: usize = 1_000;
const HOUR_MS: u64 = 60 * 60 * 1_000;
/// Longest time before an incident in which changes are looked for, in hours.
const MAX_WINDOW_H: usize = 7 * 24;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordedChangesQuery {
    /// Made since: RFC 3339, or milliseconds since 1970; a day before `to` otherwise.
    #[param(value_type = Option<String>)]
    from: Option<When>,
    /// Made until; now otherwise.
    #[param(value_type = Option<String>)]
    to: Option<When>,
    /// Only of these kinds: deploy, config, route, iac, commit, release, other; may be given again.
    #[serde(default)]
    #[param(value_type = Vec<String>)]
    kind: Vec<RecordedChangeKind>,
    /// Only of what has this in its name.
    target: Option<String>,
    /// Only of this source.
    source: Option<String>,
    /// How many to leave out at the beginning: the page after the first.
    offset: Option<usize>,
    /// Most of them: 1 to 1,000; 100 otherwise.
    limit: Option<usize>,
}

/// The changes that were made in a time, the latest first.
#[utoipa::path(
    get, path = "/v1/changes", tag = "changes", params(RecordedChangesQuery),
    responses((status = 200, body = RecordedChangeList), (status = 400, body = ErrorBody))
)]
pub(crate) async fn list_recorded_changes(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<RecordedChangesQuery>,
) -> Result<Json<RecordedChangeList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let limit = within("limit", query.limit.unwrap_or(100), MAX_PAGE)?;
    let now = tenant.mesh_now();
    // One that was made by a clock ahead is listed, too.
    let to = moment("to", query.to)?.unwrap_or(now + holm_change::SKEW_MS);
    let from = query.from.unwrap_or(When(to - WINDOW_MS));
    let from = window("from", from, to)?;
    let wanted = query.target.map(|target| target.to_lowercase());
    let fits = |known: &&Arc<Known>| {
        let change = &known.change;
        let named = |text: &String| {
            let has = |name: &str| name.to_lowercase().contains(text);
            change.words.iter().any(|word| has(word))
                || known.targets.iter().any(|(id, _)| has(&id.to_string()))
                || change.prefix.as_ref().is_some_and(|prefix| has(&prefix.to_string()))
        };
        (query.kind.is_empty() || query.kind.contains(&change.kind.into()))
            && query.source.as_ref().is_none_or(|source| *change.source == **source)
            && wanted.as_ref().is_none_or(named)
    };
    let all = tenant.changes.between(from, to);
    let found: Vec<&Arc<Known>> = all.iter().filter(fits).collect();
    let names = source_names(&tenant);
    let page = found.iter().skip(query.offset.unwrap_or(0)).take(limit);
    Ok(Json(RecordedChangeList {
        items: page.map(|known| view(known, &names)).collect(),
        total: found.len() as u64,
        from: Timestamp(from),
        to: Timestamp(to),
        freshness: freshness(&state, &tenant, now),
    }))
}

/// One change.
#[utoipa::path(
    get, path = "/v1/changes/{id}", tag = "changes", params(("id" = String, Path, description = "its id")),
    responses((status = 200, body = RecordedChange), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn show_recorded_change(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<RecordedChange>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let id: ChangeId =
        id.parse().map_err(|why| ApiError::bad_request(format!("id={}: {why}", clipped(&id))))?;
    let known = tenant.changes.change(id).ok_or_else(|| {
        ApiError::not_found(format!(
            "there is no change {id}; `GET /v1/changes` lists those that are remembered"
        ))
    })?;
    Ok(Json(view(&known, &source_names(&tenant))))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RankedQuery {
    /// How long before the incident changes are looked for, in hours: 1 to 168; 24 otherwise.
    window_h: Option<usize>,
    /// Most of them: 1 to 1,000; 20 otherwise.
    limit: Option<usize>,
}

/// The changes that an incident may come from, the likeliest first, each with the parts of its score.
#[utoipa::path(
    get, path = "/v1/incidents/{id}/changes", tag = "incidents",
    params(("id" = String, Path, description = "its id, or one of `also`"), RankedQuery),
    responses((status = 200, body = RankedChangeList), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 429, body = ErrorBody))
)]
pub(crate) async fn changes_of_incident(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(id): Path<String>,
    Given(query): Given<RankedQuery>,
) -> Result<Response, ApiError> {
    let fault: FaultId =
        id.parse().map_err(|why| ApiError::bad_request(format!("id={}: {why}", clipped(&id))))?;
    let limit = within("limit", query.limit.unwrap_or(20), MAX_PAGE)?;
    let window_h = within("window_h", query.window_h.unwrap_or(24), MAX_WINDOW_H)?;
    answer(state, &caller, move |asked| {
        let tenant = &asked.tenant;
        let judged = tenant.incidents.judged(tenant.mesh_now());
        let incident = judged.of_fault(fault);
        let incident =
            incident.ok_or_else(|| ApiError::not_found(ActError::Unknown(fault).to_string()))?;
        let moment = asked.moment(Some(incident.opened))?;
        let about = about(incident);
        let proximity = tenant.search(|scratch| Proximity::of(&moment, &about, scratch));
        asked.go_on()?;
        let window_ms = window_h as u64 * HOUR_MS;
        let subject = Subject { began: incident.opened, window_ms, proximity: &proximity };
        let (from, to) = subject.span();
        let changes = tenant.changes.between(from, to);
        let ranked = rank(&changes, &subject, &Weights::default());
        let names = source_names(tenant);
        Ok(RankedChangeList {
            incident: incident.id.to_string(),
            began_at: Timestamp(incident.opened),
            from: Timestamp(from),
            to: Timestamp(to),
            about: proximity.about().iter().map(ToString::to_string).collect(),
            items: ranked.iter().take(limit).map(|ranked| ranked_view(ranked, &names)).collect(),
            total: ranked.len() as u64,
            freshness: asked.freshness(),
        })
    })
    .await
}

/// What an incident is about, as the sites that reported it mean it.
fn about(incident: &Incident) -> Vec<(NodeId, SiteId)> {
    let mut about: Vec<(NodeId, SiteId)> = Vec::new();
    for (id, report) in &incident.reports {
        for node in std::iter::once(&report.target).chain(&report.prefix) {
            let one = (node.clone(), id.site.clone());
            if !about.contains(&one) {
                about.push(one);
            }
        }
    }
    about
}

/// The sources of webhooks, the oldest first, with what became of their deliveries at this node.
#[utoipa::path(
    get, path = "/v1/changes/sources", tag = "changes",
    responses((status = 200, body = ChangeSourceList))
)]
pub(crate) async fn list_change_sources(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<ChangeSourceList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let sources = tenant.changes.sources();
    let items = sources.iter().map(|(source, here)| source_view(source, here));
    Ok(Json(ChangeSourceList {
        total: sources.len() as u64,
        items: items.collect(),
        refused_here: state.ingest.refusals(),
    }))
}

/// Makes a source of webhooks. Every node of the tenant takes its deliveries, as it hears of it.
#[utoipa::path(
    post, path = "/v1/changes/sources", tag = "changes", request_body = NewChangeSourceRequest,
    responses((status = 201, body = CreatedChangeSource), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn create_change_source(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(new): Json<NewChangeSourceRequest>,
) -> Result<(StatusCode, Json<CreatedChangeSource>), ApiError> {
    caller.require(Role::Admin)?;
    let tenant = state.tenant(&caller)?;
    let (of, by) = (Arc::clone(&state), caller.name.clone());
    let source = beside(move || {
        let what = (new.name.as_str(), new.provider.into(), new.secret.as_deref());
        tenant.create_source(&of, what, &by, Millis::now())
    })
    .await?
    .map_err(refused)?;
    tracing::info!(by = caller.name, source = %source.id, "source of changes created");
    let secret = source.secret.to_string();
    let source = source_view(&source, &Deliveries::default());
    Ok((StatusCode::CREATED, Json(CreatedChangeSource { source, secret })))
}

/// Ends a source of webhooks: its deliveries are refused from now on, at other nodes as they hear of it.
#[utoipa::path(
    delete, path = "/v1/changes/sources/{id}", tag = "changes", params(("id" = String, Path, description = "its id")),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn revoke_change_source(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Admin)?;
    let tenant = state.tenant(&caller)?;
    let (of, by, source) = (Arc::clone(&state), caller.name.clone(), id.clone());
    beside(move || tenant.revoke_source(&of, &source, &by, Millis::now()))
        .await?
        .map_err(refused)?;
    tracing::info!(by = caller.name, source = id, "source of changes revoked");
    Ok(StatusCode::NO_CONTENT)
}

fn refused(error: SourceChangeError) -> ApiError {
    let code = match &error {
        SourceChangeError::Refused(SourceError::TooMany) | SourceChangeError::Policy(_) => {
            ErrorCode::Conflict
        }
        SourceChangeError::Refused(SourceError::Unknown(_)) => ErrorCode::NotFound,
        SourceChangeError::Refused(_) => ErrorCode::Validation,
        SourceChangeError::Write(_) => ErrorCode::Unavailable,
    };
    ApiError::new(code, error.to_string())
}

/// What sources are called, by their ids.
fn source_names(tenant: &Tenant) -> BTreeMap<Box<str>, Box<str>> {
    let sources = tenant.changes.sources().into_iter();
    sources.map(|(source, ..)| (source.id.clone(), source.name.clone())).collect()
}

fn view(known: &Known, names: &BTreeMap<Box<str>, Box<str>>) -> RecordedChange {
    let change = &known.change;
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut targets: Vec<String> = known.targets.iter().map(|(id, _)| id.to_string()).collect();
    targets.dedup();
    RecordedChange {
        id: change.id.to_string(),
        at: Timestamp(change.at),
        taken_at: Timestamp(change.taken_at),
        kind: change.kind.into(),
        title: change.title.to_string(),
        author: given(&change.author),
        words: change.words.iter().map(ToString::to_string).collect(),
        targets,
        prefix: change.prefix.as_ref().map(ToString::to_string),
        anchored: known.is_anchored(),
        url: given(&change.url),
        source: change.source.to_string(),
        source_name: names.get(&change.source).map(ToString::to_string),
        taken_by: known.taken_by.iter().map(|(site, node)| format!("{site}/{node}")).collect(),
        attributes: change.attributes.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
    }
}

fn ranked_view(ranked: &Ranked, names: &BTreeMap<Box<str>, Box<str>>) -> RankedChange {
    let round = |number: f64, digits: i32| {
        let by = 10_f64.powi(digits);
        (number * by).round() / by
    };
    let parts = ranked.score.parts.iter().map(|part| ScorePart {
        name: part.name.into(),
        value: round(part.value, 3),
        weight: round(part.weight, 3),
        points: round(100.0 * part.value * part.weight, 1),
        why: part.why.clone(),
    });
    RankedChange {
        change: view(&ranked.known, names),
        score: round(ranked.score.total, 1),
        hops: ranked.near.map(|near| near.hops),
        needed_steps: ranked.near.and_then(|near| near.needed),
        parts: parts.collect(),
    }
}

fn source_view(source: &Source, here: &Deliveries) -> ChangeSource {
    let end = source.revoked.as_ref();
    ChangeSource {
        id: source.id.to_string(),
        name: source.name.to_string(),
        provider: source.provider.into(),
        path: format!("/ingest/changes/{}/{}", source.provider, source.id),
        created_at: Timestamp(source.created_at),
        created_by: source.by.to_string(),
        revoked_at: end.map(|end| Timestamp(end.at)),
        revoked_by: end.map(|end| end.by.to_string()),
        here: DeliveryCounts {
            accepted: here.accepted,
            known: here.known,
            ignored: here.ignored,
            ahead: here.ahead,
            unanchored: here.unanchored,
            refused_signature: here.refused_signature,
            refused_stale: here.refused_stale,
            refused_size: here.refused_size,
            refused_body: here.refused_body,
            refused_write: here.refused_write,
            last_at: here.last_at.map(Timestamp),
        },
    }
}
