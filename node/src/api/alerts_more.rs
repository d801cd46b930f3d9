//! `/v1/alerts/preview` and `/v1/alerts/silences`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use holm_alert::{Condition, Rule, Silence, Subject};
use holm_model::Millis;

use super::alerts::{read, refused};
use super::alerts_types::{
    AlertPoint, AlertPreview, AlertPreviewGroup, AlertPreviewRequest, AlertSpell, NewSilence,
    SilenceList, SilenceState, SilenceView,
};
use super::alerts_view::alerts_of;
use super::error::{ApiError, ErrorBody, ErrorCode, beside};
use super::params::{When, moment};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState, Preview, Role, author};

const HOUR_MS: u64 = 60 * 60 * 1_000;
/// Longest and usual time of a preview, in milliseconds.
const MAX_PREVIEW_MS: u64 = 14 * 24 * HOUR_MS;
const PREVIEW_MS: u64 = 6 * HOUR_MS;
/// Most points of a group, and most groups.
const MAX_POINTS: u64 = 400;
const MAX_GROUPS: usize = 20;
/// Previews that run at once: each reads rows.
static RUNNING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);
const WAIT: Duration = Duration::from_secs(10);

/// How a rule would have stood over the rows of this node: its values, its limits, and when it would have fired.
/// Nothing is kept.
#[utoipa::path(
    post, path = "/v1/alerts/preview", tag = "alerts", request_body = AlertPreviewRequest,
    responses(
        (status = 200, body = AlertPreview), (status = 400, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn preview_alert_rule(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(request): Json<AlertPreviewRequest>,
) -> Result<Json<AlertPreview>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let mut rules = read(&request.rule)?;
    if rules.len() != 1 {
        let text = format!("rule: one rule is looked at, and there are {}", rules.len());
        return Err(ApiError::new(ErrorCode::Validation, text));
    }
    let rule = Arc::new(rules.remove(0));
    let to = moment("to", request.to)?.unwrap_or_else(Millis::now);
    let from = moment("from", request.from)?.unwrap_or(to - PREVIEW_MS);
    if from >= to || to.since(from) > MAX_PREVIEW_MS {
        return Err(ApiError::bad_request("from: it is before to, by 14 days at most"));
    }
    let every_ms = (to.since(from) / MAX_POINTS).max(1).next_multiple_of(rule.every_ms);
    let mut all = vec![Arc::clone(&rule)];
    let defined = tenant.alerts.defined();
    // With all that it looks at.
    let mut next = 0;
    while next < all.len() && all.len() < 200 {
        if let Subject::Composite(composite) = &Arc::clone(&all[next]).subject {
            for part in composite.parts() {
                let known = defined.iter().find(|known| known.name == *part);
                let known = known.and_then(|known| known.rule.clone());
                all.extend(known.filter(|known| all.iter().all(|one| one.name != known.name)));
            }
        }
        next += 1;
    }
    let running = tokio::time::timeout(WAIT, RUNNING.acquire()).await;
    let Ok(Ok(running)) = running else {
        let mut busy = ApiError::new(
            ErrorCode::RateLimited,
            "other previews are running; try again in a moment",
        );
        busy.retry_after_s = Some(5);
        return Err(busy);
    };
    let found = beside(move || {
        let found = tenant.preview(all, (from, to), every_ms, MAX_GROUPS);
        drop(running);
        found
    })
    .await?;
    Ok(Json(shown(&rule, (from, to), every_ms, found)))
}

fn shown(rule: &Rule, (from, to): (Millis, Millis), every_ms: u64, found: Preview) -> AlertPreview {
    let (above, below) = match rule.query().map(|query| query.condition) {
        Some(Condition::Above(limit)) => (Some(limit), None),
        Some(Condition::Below(limit)) => (None, Some(limit)),
        Some(Condition::Outside(low, high)) => (Some(high), Some(low)),
        Some(Condition::NoData) => (None, Some(1.0)),
        _ => (None, None),
    };
    let groups: Vec<AlertPreviewGroup> = found
        .groups
        .into_iter()
        .map(|group| AlertPreviewGroup {
            group: rule
                .by
                .iter()
                .map(ToString::to_string)
                .zip(group.group.iter().map(ToString::to_string))
                .collect(),
            points: group
                .points
                .iter()
                .map(|point| AlertPoint {
                    at: Timestamp(point.at),
                    value: point.value,
                    least: point.band.map(|band| band.0),
                    most: point.band.map(|band| band.1),
                })
                .collect(),
            firings: group
                .spells
                .iter()
                .map(|spell| AlertSpell {
                    since: Timestamp(spell.since),
                    at: Timestamp(spell.at),
                    end: spell.end.map(Timestamp),
                })
                .collect(),
        })
        .collect();
    AlertPreview {
        rule: rule.name.to_string(),
        from: Timestamp(from),
        to: Timestamp(to),
        every_ms,
        above,
        below,
        firings: groups.iter().map(|group| group.firings.len() as u64).sum(),
        groups,
        groups_total: found.all as u64,
        problem: found.problem,
        warming_known: found.warming.map(|(known, _)| known as u64),
        warming_needed: found.warming.map(|(_, needed)| needed as u64),
        rows: found.rows,
    }
}

/// The silences: those that are on first. Those that are over are shown for a week.
#[utoipa::path(
    get, path = "/v1/alerts/silences", tag = "alerts",
    responses((status = 200, body = SilenceList))
)]
pub(crate) async fn list_silences(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<SilenceList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let now = tenant.mesh_now();
    let alerts = alerts_of(&tenant);
    let silences = tenant.alerts.silences();
    let shown = silences.iter().filter(|silence| !silence.silence.is_past(now));
    let mut items: Vec<SilenceView> = shown
        .map(|known| {
            let Silence { matchers, from, until, comment } = &known.silence;
            let by = |alert: &&super::alerts_types::AlertView| {
                alert.silenced_by.as_deref() == Some(&*known.id)
            };
            SilenceView {
                id: known.id.to_string(),
                state: match known.silence.is_on(now) {
                    true => SilenceState::On,
                    false if *until <= now => SilenceState::Over,
                    false => SilenceState::Coming,
                },
                matchers: matchers.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
                from: Timestamp(*from),
                until: Timestamp(*until),
                comment: comment.to_string(),
                created_by: known.by.to_string(),
                created_at: Timestamp(known.at),
                silences: alerts.iter().filter(by).count() as u64,
            }
        })
        .collect();
    items.sort_by(|a, b| a.state.cmp(&b.state).then(a.until.0.cmp(&b.until.0)));
    Ok(Json(SilenceList { items }))
}

/// Makes a silence: nobody is told of what matches while it is on. What fires already is ended in its incident.
#[utoipa::path(
    post, path = "/v1/alerts/silences", tag = "alerts", request_body = NewSilence,
    responses(
        (status = 201, body = SilenceView), (status = 403, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn create_silence(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(new): Json<NewSilence>,
) -> Result<(StatusCode, Json<SilenceView>), ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    let now = tenant.mesh_now();
    let When(until) = new.until;
    let silence = Silence {
        matchers: new.matchers.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
        from: new.from.map_or(now, |When(from)| from),
        until,
        comment: new.comment.into(),
    };
    let by = author(&caller.name).to_owned();
    let (node, kept, who) = (Arc::clone(&state), silence.clone(), by.clone());
    let id = beside(move || tenant.silence(&node, kept, &who, now))
        .await?
        .map_err(|error| refused(&error))?;
    tracing::info!(by, silence = id, "silence made");
    let view = SilenceView {
        id,
        state: if silence.is_on(now) { SilenceState::On } else { SilenceState::Coming },
        matchers: silence.matchers.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        from: Timestamp(silence.from),
        until: Timestamp(silence.until),
        comment: silence.comment.to_string(),
        created_by: by,
        created_at: Timestamp(now),
        silences: 0,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Takes a silence away: what it silenced is told if it fires still.
#[utoipa::path(
    delete, path = "/v1/alerts/silences/{id}", tag = "alerts",
    params(("id" = String, Path, description = "its id")),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn delete_silence(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    let (node, by, of) = (Arc::clone(&state), author(&caller.name).to_owned(), id.clone());
    beside(move || tenant.unsilence(&node, &of, &by, tenant.mesh_now()))
        .await?
        .map_err(|error| refused(&error))?;
    tracing::info!(by = caller.name, silence = id, "silence taken away");
    Ok(StatusCode::NO_CONTENT)
}
