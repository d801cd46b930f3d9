//! `/v1/alerts`: what fires, the rules that say so, and the files that say these.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use holm_alert::Rule;
use holm_model::{Millis, Severity};
use holm_policy::{Problem, Refused};
use serde::Deserialize;
use utoipa::IntoParams;

use super::alerts_types::{
    AlertCheck, AlertList, AlertProblem, AlertRuleDetail, AlertRuleList, AlertRuleState,
    AlertState, AlertsApplied, AlertsAppliedItem,
};
use super::alerts_view::{alerts_of, counts_of, folder_of, judged_of, rule_view};
use super::coverage::freshness;
use super::error::{ApiError, ErrorBody, ErrorCode, beside};
use super::params::{Given, clipped, within};
use super::policy_file::{self, MAX_TOLD, only};
use super::types::Timestamp;
use crate::daemon::{AlertError, Caller, NodeState, Role, Tenant, author};

const MAX_PAGE: usize = 1_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertsQuery {
    /// Only in these states; may be given again.
    #[serde(default)]
    state: Vec<AlertState>,
    /// Only of this severity.
    #[param(value_type = Option<String>)]
    severity: Option<Severity>,
    /// Only as this site says.
    site: Option<String>,
    /// Only of this rule.
    rule: Option<String>,
    /// How many to leave out at the beginning: the page after the first.
    offset: Option<usize>,
    /// Most of them: 1 to 1,000; 100 otherwise.
    limit: Option<usize>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertRulesQuery {
    /// Only in these states; may be given again.
    #[serde(default)]
    state: Vec<AlertRuleState>,
    /// How many to leave out at the beginning: the page after the first.
    offset: Option<usize>,
    /// Most of them: 1 to 1,000; 100 otherwise.
    limit: Option<usize>,
}

/// What fires or is about to, as all sites say that are heard. Each site judges its own rows; `as_of` of each item
/// says when.
#[utoipa::path(
    get, path = "/v1/alerts", tag = "alerts", params(AlertsQuery),
    responses((status = 200, body = AlertList), (status = 400, body = ErrorBody))
)]
pub(crate) async fn list_alerts(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<AlertsQuery>,
) -> Result<Json<AlertList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let limit = within("limit", query.limit.unwrap_or(100), MAX_PAGE)?;
    let now = Millis::now();
    let mut items = alerts_of(&tenant);
    items.retain(|alert| {
        query.severity.is_none_or(|severity| alert.severity == severity)
            && query.site.as_ref().is_none_or(|site| alert.site.as_str() == site)
            && query.rule.as_ref().is_none_or(|rule| alert.rule == *rule)
    });
    let counts = counts_of(&items);
    items.retain(|alert| query.state.is_empty() || query.state.contains(&alert.state));
    let total = items.len() as u64;
    let items = items.into_iter().skip(query.offset.unwrap_or(0)).take(limit).collect();
    Ok(Json(AlertList {
        items,
        total,
        counts,
        as_of: Timestamp(tenant.alerts.view().at),
        freshness: freshness(&state, &tenant, now),
    }))
}

/// The rules and how they stand, those that need looking at first.
#[utoipa::path(
    get, path = "/v1/alerts/rules", tag = "alerts", params(AlertRulesQuery),
    responses((status = 200, body = AlertRuleList), (status = 400, body = ErrorBody))
)]
pub(crate) async fn list_alert_rules(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<AlertRulesQuery>,
) -> Result<Json<AlertRuleList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let limit = within("limit", query.limit.unwrap_or(100), MAX_PAGE)?;
    let view = tenant.alerts.view();
    let shown = tenant.alerts.shown();
    let defined = tenant.alerts.defined();
    let mut states: BTreeMap<String, u64> = BTreeMap::new();
    for standing in &view.standings {
        *states.entry(standing.state.as_str().to_owned()).or_default() += 1;
    }
    let mut by_rule: BTreeMap<&str, Vec<&crate::daemon::Shown>> = BTreeMap::new();
    for record in &shown {
        by_rule.entry(&record.rule).or_default().push(record);
    }
    let mut items: Vec<_> = defined
        .iter()
        .map(|rule| {
            let others = by_rule.get(&*rule.name).map_or(&[][..], Vec::as_slice);
            rule_view(&state, &tenant, rule, &view, others)
        })
        .collect();
    items.retain(|rule| query.state.is_empty() || query.state.contains(&rule.state));
    items.sort_by(|a, b| {
        a.state.cmp(&b.state).then(b.severity.cmp(&a.severity)).then_with(|| a.name.cmp(&b.name))
    });
    let total = items.len() as u64;
    let items = items.into_iter().skip(query.offset.unwrap_or(0)).take(limit).collect();
    Ok(Json(AlertRuleList {
        items,
        total,
        states,
        as_of: Timestamp(view.at),
        judged: judged_of(&view),
        folder: folder_of(&state, &tenant),
        freshness: freshness(&state, &tenant, Millis::now()),
    }))
}

/// One rule: how it stands at which node, and what of it fires.
#[utoipa::path(
    get, path = "/v1/alerts/rules/{name}", tag = "alerts",
    params(("name" = String, Path, description = "its name")),
    responses((status = 200, body = AlertRuleDetail), (status = 404, body = ErrorBody))
)]
pub(crate) async fn show_alert_rule(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<AlertRuleDetail>, ApiError> {
    let tenant = state.tenant(&caller)?;
    detail(&state, &tenant, &name).map(Json)
}

fn detail(
    state: &Arc<NodeState>,
    tenant: &Arc<Tenant>,
    name: &str,
) -> Result<AlertRuleDetail, ApiError> {
    let defined = tenant.alerts.defined();
    let rule = defined
        .iter()
        .find(|rule| *rule.name == *name)
        .ok_or_else(|| ApiError::not_found(AlertError::UnknownRule(clipped(name)).to_string()))?;
    let view = tenant.alerts.view();
    let shown = tenant.alerts.shown();
    let others: Vec<&crate::daemon::Shown> = shown.iter().filter(|s| *s.rule == *name).collect();
    let now = Millis::now();
    let mut alerts = alerts_of(tenant);
    alerts.retain(|alert| alert.rule == name);
    let content = rule.edits.first().and_then(|edit| edit.content.as_ref());
    Ok(AlertRuleDetail {
        view: rule_view(state, tenant, rule, &view, &others),
        rule: content.and_then(|text| serde_json::from_str(text).ok()),
        alerts,
        as_of: Timestamp(view.at),
        freshness: freshness(state, tenant, now),
    })
}

/// All rules as objects of a file: what `POST /v1/alerts/rules` takes.
#[utoipa::path(
    get, path = "/v1/alerts/export", tag = "alerts",
    responses((status = 200, body = Vec<serde_json::Value>))
)]
pub(crate) async fn export_alert_rules(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<Vec<serde_json::Value>>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let defined = tenant.alerts.defined();
    let contents = defined.iter().filter_map(|rule| rule.edits.first()?.content.as_ref());
    Ok(Json(contents.filter_map(|text| serde_json::from_str(text).ok()).collect()))
}

/// Applies a file of rules, YAML or JSON: all of them, or none if anything is wrong with one.
#[utoipa::path(
    post, path = "/v1/alerts/rules", tag = "alerts",
    request_body(content = String, content_type = "application/yaml"),
    responses(
        (status = 200, body = AlertsApplied), (status = 403, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "a folder of policies holds one of them"),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn apply_alert_rules(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    file: String,
) -> Result<Json<AlertsApplied>, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    apply(&state, &tenant, &caller, read(&file)?).await.map(Json)
}

/// Writes a rule: a file with one rule of this name.
#[utoipa::path(
    put, path = "/v1/alerts/rules/{name}", tag = "alerts",
    params(("name" = String, Path, description = "its name")),
    request_body(content = String, content_type = "application/yaml"),
    responses(
        (status = 200, body = AlertRuleDetail), (status = 403, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "a folder of policies holds it"),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn put_alert_rule(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
    file: String,
) -> Result<Json<AlertRuleDetail>, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    let rules = read(&file)?;
    only("name", &name, rules.iter().map(|rule| &*rule.name))?;
    apply(&state, &tenant, &caller, rules).await?;
    detail(&state, &tenant, &name).map(Json)
}

/// Takes a rule away. What fires of it is over.
#[utoipa::path(
    delete, path = "/v1/alerts/rules/{name}", tag = "alerts",
    params(("name" = String, Path, description = "its name")),
    responses(
        (status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "a folder of policies holds it")
    )
)]
pub(crate) async fn delete_alert_rule(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    let (node, by, of) = (Arc::clone(&state), author(&caller.name).to_owned(), name.clone());
    beside(move || tenant.remove_rule(&node, &of, &by, Millis::now()))
        .await?
        .map_err(|error| refused(&error))?;
    tracing::info!(by = caller.name, rule = name, "alert rule taken away");
    Ok(StatusCode::NO_CONTENT)
}

/// Reads a file of rules without applying it: what is wrong with it, and where.
#[utoipa::path(
    post, path = "/v1/alerts/check", tag = "alerts",
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = AlertCheck))
)]
pub(crate) async fn check_alert_rules(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    file: String,
) -> Result<Json<AlertCheck>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let problem = |problem: &Problem| AlertProblem {
        line: problem.mark.line as u64,
        column: problem.mark.column as u64,
        path: problem.path.clone(),
        text: problem.text.chars().take(400).collect(),
    };
    let read = holm_alert::parse(&file);
    let (rules, mut problems) = match read {
        Ok(rules) => (rules, Vec::new()),
        Err(Refused(problems)) => (Vec::new(), problems),
    };
    let defined = tenant.alerts.defined();
    let known: Vec<&Rule> = defined.iter().filter_map(|rule| rule.rule.as_deref()).collect();
    problems.extend(holm_alert::check_together(&rules, &known));
    let warnings = tenant.unjudged(&rules).into_iter().map(|(name, text)| AlertProblem {
        line: 1,
        column: 1,
        path: name,
        text,
    });
    Ok(Json(AlertCheck {
        warnings: warnings.take(MAX_TOLD).collect(),
        rules: rules.iter().take(MAX_TOLD).map(Rule::to_json).collect(),
        problems: problems.iter().take(MAX_TOLD).map(problem).collect(),
    }))
}

/// The rules of a file.
pub(super) fn read(file: &str) -> Result<Vec<Rule>, ApiError> {
    holm_alert::parse(file).map_err(|refused| policy_file::refused(&refused))
}

async fn apply(
    state: &Arc<NodeState>,
    tenant: &Arc<Tenant>,
    caller: &Caller,
    rules: Vec<Rule>,
) -> Result<AlertsApplied, ApiError> {
    let (of, node, by) = (Arc::clone(tenant), Arc::clone(state), author(&caller.name).to_owned());
    let applied = beside(move || {
        let applied = of.apply_rules(&node, &rules, &by, Millis::now())?;
        let unjudged: BTreeMap<String, String> = of.unjudged(&rules).into_iter().collect();
        let items = rules.iter().zip(applied).map(|(rule, change)| AlertsAppliedItem {
            name: rule.name.to_string(),
            change: change.as_str().into(),
            problem: unjudged.get(&*rule.name).cloned(),
        });
        Ok::<_, AlertError>(AlertsApplied { items: items.collect() })
    })
    .await?
    .map_err(|error| refused(&error))?;
    tracing::info!(by = caller.name, rules = applied.items.len(), "alert rules applied");
    Ok(applied)
}

pub(super) fn refused(error: &AlertError) -> ApiError {
    match error {
        AlertError::Refused(refused) => policy_file::refused(refused),
        AlertError::Policy(..) | AlertError::Silence(_) => {
            ApiError::new(ErrorCode::Validation, error.to_string())
        }
        AlertError::UnknownRule(_) | AlertError::UnknownSilence(_) => {
            ApiError::not_found(error.to_string())
        }
        AlertError::Held(_) => ApiError::new(ErrorCode::Conflict, error.to_string()),
        AlertError::Write(_) => ApiError::new(ErrorCode::Unavailable, error.to_string()),
    }
}
