//! `/v1/slos`: objectives, how they stand, and the files that say them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use holm_model::Millis;
use holm_slo::{Count, Definition, Measure, Standing, Window};
use serde::Deserialize;
use utoipa::IntoParams;

use super::coverage::freshness;
use super::error::{ApiError, ErrorBody, ErrorCode, beside};
use super::params::{Given, clipped, within};
use super::policy_file::{self, only};
use super::slos_types::{
    SloApplied, SloAppliedItem, SloBurn, SloConflict, SloDetail, SloList, SloObjective, SloPoint,
    SloRollup, SloSite, SloState, SloView,
};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState, Role, Slo, SloError, SloJudged, Tenant, author, conflicts};

/// Most SLOs of a page.
const MAX_PAGE: usize = 1_000;
/// Most services, and most teams, that are listed.
const MAX_ROLLUPS: usize = 200;
/// Most points of a budget's way.
const POINTS: u32 = 120;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlosQuery {
    /// Only of this service.
    service: Option<String>,
    /// Only with this in their label `team`.
    team: Option<String>,
    /// Only in these states; may be given again.
    #[serde(default)]
    state: Vec<SloState>,
    /// How many to leave out at the beginning: the page after the first.
    offset: Option<usize>,
    /// Most of them: 1 to 1,000; 100 otherwise.
    limit: Option<usize>,
}

/// How the objectives stand, by what all sites counted that are known here. Looked at each minute.
#[utoipa::path(
    get, path = "/v1/slos", tag = "slos", params(SlosQuery),
    responses((status = 200, body = SloList), (status = 400, body = ErrorBody))
)]
pub(crate) async fn list_slos(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<SlosQuery>,
) -> Result<Json<SloList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let limit = within("limit", query.limit.unwrap_or(100), MAX_PAGE)?;
    let judged = tenant.slos.judged();
    let mut items: Vec<SloView> = judged.slos.iter().map(view).collect();
    items.retain(|slo| {
        query.service.as_ref().is_none_or(|service| slo.service.as_ref() == Some(service))
            && query.team.as_ref().is_none_or(|team| slo.teams.contains(team))
            && (query.state.is_empty() || query.state.iter().any(|state| is_in(slo, *state)))
    });
    let services = rollups(&items, |slo| slo.service.iter().cloned().collect());
    let teams = rollups(&items, |slo| slo.teams.clone());
    items.sort_by(|a, b| {
        let left = |slo: &SloView| least_left(slo).unwrap_or(f64::INFINITY);
        a.state.cmp(&b.state).then(left(a).total_cmp(&left(b))).then_with(|| a.name.cmp(&b.name))
    });
    let total = items.len() as u64;
    let items = items.into_iter().skip(query.offset.unwrap_or(0)).take(limit).collect();
    Ok(Json(SloList {
        items,
        total,
        as_of: Timestamp(judged.at),
        services,
        teams,
        freshness: freshness(&state, &tenant, Millis::now()),
    }))
}

/// One SLO: how it stands, at which site, and the way of its budget.
#[utoipa::path(
    get, path = "/v1/slos/{name}", tag = "slos", params(("name" = String, Path, description = "its name")),
    responses((status = 200, body = SloDetail), (status = 404, body = ErrorBody))
)]
pub(crate) async fn show_slo(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<SloDetail>, ApiError> {
    let tenant = state.tenant(&caller)?;
    detail(&state, tenant, name).await.map(Json)
}

/// Writes an SLO: a file of OpenSLO with one SLO of this name. Refused whole if any field of it is not
/// evaluated.
#[utoipa::path(
    put, path = "/v1/slos/{name}", tag = "slos", params(("name" = String, Path, description = "its name")),
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = SloDetail), (status = 403, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn put_slo(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
    file: String,
) -> Result<Json<SloDetail>, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    let slos = read(&file)?;
    only("metadata.name", &name, slos.iter().map(|slo| &*slo.name))?;
    apply(&state, &tenant, &caller, slos).await?;
    detail(&state, tenant, name).await.map(Json)
}

/// Takes an SLO away. What was counted for it is kept as long as it would be.
#[utoipa::path(
    delete, path = "/v1/slos/{name}", tag = "slos", params(("name" = String, Path, description = "its name")),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn delete_slo(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    let (node, by, of) = (Arc::clone(&state), author(&caller.name).to_owned(), name.clone());
    beside(move || tenant.remove_slo(&node, &of, &by, Millis::now()))
        .await?
        .map_err(|error| refused(&error))?;
    tracing::info!(by = caller.name, slo = name, "SLO taken away");
    Ok(StatusCode::NO_CONTENT)
}

/// Applies a file of OpenSLO, YAML or JSON: all of its SLOs, or none if any field is not evaluated.
#[utoipa::path(
    post, path = "/v1/slos/openslo", tag = "slos",
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = SloApplied), (status = 403, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn apply_openslo(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    file: String,
) -> Result<Json<SloApplied>, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    apply(&state, &tenant, &caller, read(&file)?).await.map(Json)
}

/// All SLOs as objects of OpenSLO: what `POST /v1/slos/openslo` takes.
#[utoipa::path(
    get, path = "/v1/slos/openslo", tag = "slos",
    responses((status = 200, body = Vec<serde_json::Value>))
)]
pub(crate) async fn export_openslo(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<Vec<serde_json::Value>>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let defined = tenant.slos.defined();
    Ok(Json(defined.iter().filter_map(openslo).collect()))
}

fn openslo(slo: &Slo) -> Option<serde_json::Value> {
    serde_json::from_str(slo.edits.first()?.content.as_ref()?).ok()
}

fn read(file: &str) -> Result<Vec<Definition>, ApiError> {
    holm_slo::parse(file, Millis::now()).map_err(|refused| policy_file::refused(&refused))
}

async fn apply(
    state: &Arc<NodeState>,
    tenant: &Arc<Tenant>,
    caller: &Caller,
    slos: Vec<Definition>,
) -> Result<SloApplied, ApiError> {
    let (of, node, by) = (Arc::clone(tenant), Arc::clone(state), author(&caller.name).to_owned());
    let applied = beside(move || {
        let applied = of.apply_slos(&node, &slos, &by, Millis::now())?;
        let items = slos.iter().zip(applied).map(|(slo, change)| SloAppliedItem {
            name: slo.name.to_string(),
            change: change.as_str().into(),
        });
        Ok::<_, SloError>(SloApplied { items: items.collect() })
    })
    .await?
    .map_err(|error| refused(&error))?;
    tracing::info!(by = caller.name, slos = applied.items.len(), "SLOs applied");
    Ok(applied)
}

fn refused(error: &SloError) -> ApiError {
    match error {
        SloError::Refused(_) | SloError::Policy(..) => {
            ApiError::new(ErrorCode::Validation, error.to_string())
        }
        SloError::Held(_) => ApiError::new(ErrorCode::Conflict, error.to_string()),
        SloError::Unknown(_) => ApiError::not_found(error.to_string()),
        SloError::Write(_) => ApiError::new(ErrorCode::Unavailable, error.to_string()),
    }
}

async fn detail(
    state: &Arc<NodeState>,
    tenant: Arc<Tenant>,
    name: String,
) -> Result<SloDetail, ApiError> {
    let judged = tenant.slos.judged();
    let found = judged.slos.iter().position(|judged| *judged.slo.name == *name);
    let found =
        found.ok_or_else(|| ApiError::not_found(SloError::Unknown(clipped(&name)).to_string()))?;
    let (of, at) = (Arc::clone(&tenant), Arc::clone(&judged));
    let burn_down = beside(move || {
        let Some(definition) = &at.slos[found].slo.definition else { return Vec::new() };
        let objectives = 0..definition.objectives.len();
        objectives.map(|number| points(&of, definition, number, at.at)).collect()
    })
    .await?;
    let judged_slo = &judged.slos[found];
    Ok(SloDetail {
        slo: view(judged_slo),
        as_of: Timestamp(judged.at),
        openslo: openslo(&judged_slo.slo),
        burn_down,
        freshness: freshness(state, &tenant, Millis::now()),
    })
}

fn points(tenant: &Tenant, definition: &Definition, objective: usize, at: Millis) -> Vec<SloPoint> {
    let Some(measure) = definition.measure(objective) else { return Vec::new() };
    let way = tenant.slos.burn_down(definition, objective, at, POINTS);
    way.into_iter()
        .map(|point| {
            let (events, bad) = events(&measure, point.count);
            SloPoint { at: Timestamp(point.at), budget_left: point.budget_left, events, bad }
        })
        .collect()
}

/// Events, and how many of them were bad.
fn events(measure: &Measure, count: Count) -> (f64, f64) {
    let unit = measure.unit as f64;
    (count.total as f64 / unit, count.bad as f64 / unit)
}

fn view(judged: &SloJudged) -> SloView {
    let slo = &judged.slo;
    let definition = slo.definition.as_deref();
    let objectives: Vec<SloObjective> = definition
        .into_iter()
        .flat_map(|definition| {
            let all = judged.standings.iter().enumerate();
            all.filter_map(|(number, standing)| objective(judged, definition, number, standing))
        })
        .collect();
    let problem = slo.problem.clone().or_else(|| {
        let why = judged.failures.join("; ");
        (!why.is_empty()).then(|| format!("not counted at this node: {why}"))
    });
    let window = judged.standings.first().map(|standing| standing.window);
    let edit = &slo.edits[0];
    SloView {
        name: slo.name.to_string(),
        title: definition.map_or(&*slo.name, Definition::title).to_owned(),
        description: definition.and_then(|d| d.description.as_deref()).map(str::to_owned),
        service: definition.map(|definition| definition.service.to_string()),
        teams: definition
            .into_iter()
            .flat_map(|d| d.teams())
            .map(|team| team.to_string())
            .collect(),
        state: state_of(judged, &objectives, problem.is_some()),
        budgeting: definition.map(|definition| definition.budgeting.as_str().to_owned()),
        window_from: window.map(|(from, _)| Timestamp(from)),
        window_to: window.map(|(_, to)| Timestamp(to)),
        rolling: definition.is_some_and(|d| matches!(d.window, Window::Rolling { .. })),
        objectives,
        problem,
        edited_by: format!("{} at {}", edit.by, edit.writer),
        edited_at: Timestamp(edit.at),
        conflicts: conflicts(&slo.edits)
            .map(|edit| SloConflict {
                by: format!("{} at {}", edit.by, edit.writer),
                at: Timestamp(edit.at),
                removed: edit.content.is_none(),
                openslo: edit.content.as_ref().and_then(|text| serde_json::from_str(text).ok()),
            })
            .collect(),
    }
}

/// Whether something of it burns now, also where its budget is used up.
fn burns(slo: &SloView) -> bool {
    let burns = slo.objectives.iter().flat_map(|objective| &objective.burns);
    slo.state == SloState::Burning || burns.into_iter().any(|burn| burn.burns || burn.held)
}

/// Whether it is asked for by a state: what burns is, also where its budget is used up.
fn is_in(slo: &SloView, state: SloState) -> bool {
    slo.state == state || state == SloState::Burning && burns(slo)
}

fn state_of(judged: &SloJudged, objectives: &[SloObjective], broken: bool) -> SloState {
    if objectives.iter().any(|objective| objective.budget_left < 0.0 && !objective.cold_start) {
        return SloState::Exhausted;
    }
    let burns = objectives.iter().flat_map(|objective| &objective.burns).any(|burn| burn.burns);
    if burns || !judged.held.is_empty() {
        return SloState::Burning;
    }
    if broken || objectives.is_empty() {
        return SloState::Broken;
    }
    if objectives.iter().all(|objective| objective.attained.is_none()) {
        return SloState::NoData;
    }
    match objectives.iter().any(|objective| objective.cold_start) {
        true => SloState::ColdStart,
        false => SloState::Met,
    }
}

fn objective(
    judged: &SloJudged,
    definition: &Definition,
    number: usize,
    standing: &Standing,
) -> Option<SloObjective> {
    let of = definition.objectives.get(number)?;
    let measure = definition.measure(number)?;
    let (all, bad) = events(&measure, standing.attained.count);
    let burns = standing.burns.iter().map(|burn| {
        let (long_window_min, short_window_min) = burn.tier.windows_min();
        let held = judged.held.iter().any(|a| a.objective == number && a.tier == burn.tier);
        SloBurn {
            tier: burn.tier.as_str().into(),
            long_window_min,
            short_window_min,
            limit: burn.tier.limit(),
            long: burn.long,
            short: burn.short,
            burns: burn.burns,
            held,
            pages: burn.tier.pages(),
        }
    });
    let sites = standing.sites.iter().map(|site| {
        let (events, bad) = events(&measure, site.attained.count);
        SloSite {
            site: site.writer.site.clone(),
            node: site.writer.node.clone(),
            attained: site.attained.share,
            budget_left: site.attained.budget_left,
            events,
            bad,
        }
    });
    Some(SloObjective {
        title: of.display_name.as_deref().map(str::to_owned),
        target: of.target,
        attained: standing.attained.share,
        budget_left: standing.attained.budget_left,
        events: all,
        bad,
        cold_start: standing.cold_start,
        burns: burns.collect(),
        exhausts_at: standing.exhausts_at.map(Timestamp),
        sites: sites.collect(),
    })
}

/// The least budget that is left of an SLO's objectives of which something was counted.
fn least_left(slo: &SloView) -> Option<f64> {
    let counted = slo.objectives.iter().filter(|objective| objective.attained.is_some());
    counted.map(|objective| objective.budget_left).min_by(f64::total_cmp)
}

/// What SLOs come to by names that they go under, the worst first.
fn rollups(items: &[SloView], names: impl Fn(&SloView) -> Vec<String>) -> Vec<SloRollup> {
    let mut by_name: BTreeMap<String, Vec<&SloView>> = BTreeMap::new();
    for slo in items {
        for name in names(slo) {
            by_name.entry(name).or_default().push(slo);
        }
    }
    let mut rollups: Vec<SloRollup> = by_name
        .into_iter()
        .map(|(name, slos)| {
            let objectives = || slos.iter().flat_map(|slo| &slo.objectives);
            let met = |o: &&SloObjective| o.attained.is_some_and(|share| share >= o.target);
            SloRollup {
                name,
                slos: slos.len() as u64,
                objectives: objectives().count() as u64,
                met: objectives().filter(met).count() as u64,
                burning: slos.iter().filter(|slo| burns(slo)).count() as u64,
                least_budget_left: slos
                    .iter()
                    .filter_map(|slo| least_left(slo))
                    .min_by(f64::total_cmp),
                state: slos.iter().map(|slo| slo.state).min().unwrap_or(SloState::NoData),
            }
        })
        .collect();
    rollups.sort_by(|a, b| {
        let left = |rollup: &SloRollup| rollup.least_budget_left.unwrap_or(f64::INFINITY);
        a.state.cmp(&b.state).then(left(a).total_cmp(&left(b)))
    });
    rollups.truncate(MAX_ROLLUPS);
    rollups
}
