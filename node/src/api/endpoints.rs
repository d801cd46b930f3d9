//! `/v1/endpoints` and `/ingest/endpoints`: what laptops and branch devices say of their way out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use holm_endpoint::{Attribution, Judgement, LayerState, Part, Sample, is_name, judge};
use holm_model::{Millis, SiteId};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::bodies::too_long;
use super::coverage::freshness;
use super::endpoints_types::{
    CreatedEndpointToken, EndpointAttribution, EndpointCounts, EndpointDetail, EndpointLayer,
    EndpointLayerState, EndpointList, EndpointMoment, EndpointPart, EndpointReport,
    EndpointReported, EndpointSampleRefused, EndpointTokenView, EndpointView, NewEndpointRequest,
};
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::ingest::{MAX_BODY_BYTES, Unread, count, text_of};
use super::params::{Given, within};
use super::probe_tests_view::{ask, asked, between, quoted, window_ms};
use super::serve::ClientAddress;
use super::types::Timestamp;
use crate::daemon::{Caller, EndpointError, NodeState, Role, Tenant};

const DAY_MS: u64 = 86_400_000;
const MAX_PAGE: usize = 1_000;
/// Most endpoints that are looked at.
const MAX_ENDPOINTS: usize = 2_000;
/// Moments in one question: it stays far below the bound on its length.
const MOMENTS: usize = 200;
/// Most moments of a history.
const MAX_HISTORY: usize = 500;
/// Samples of one report.
const MAX_SAMPLES: usize = 200;
/// Beyond three intervals an endpoint has so much time until it is no longer live, in ms.
const LIVE_MS: u64 = 60_000;

/// Takes samples of an endpoint from its agent. The token of the endpoint is the credential; it says which endpoint of
/// which tenant it is. Taken again, here or from another queue's number on, a sample is the same sample.
#[utoipa::path(
    post, path = "/ingest/endpoints", tag = "endpoints", security(("bearer" = [])), request_body = EndpointReport,
    responses(
        (status = 200, body = EndpointReported), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn ingest(
    State(state): State<Arc<NodeState>>,
    ClientAddress(address): ClientAddress,
    request: Request,
) -> Result<Response, ApiError> {
    let ingest = &state.ingest_endpoints;
    let refused = &ingest.refused;
    let (parts, body) = request.into_parts();
    let token = text_of(&parts.headers, header::AUTHORIZATION.as_str());
    let token = token.as_deref().and_then(|value| value.strip_prefix("Bearer "));
    let of = token.and_then(|token| state.endpoint_of(token.trim()));
    let Some((tenant, endpoint)) = of else {
        count(&refused.unknown);
        return Err(ApiError::new(
            ErrorCode::Unauthorized,
            "no valid token of an endpoint: send `Authorization: Bearer holm_endpoint_…` (make one with `holm endpoint \
             token NAME`); one that was made just now takes a moment to reach other nodes",
        ));
    };
    let whole = match ingest.whole(address.ip(), body).await {
        Ok(whole) => whole,
        Err(Unread::TooLong) => {
            count(&refused.size);
            return Ok(too_long(MAX_BODY_BYTES, "send fewer samples at once"));
        }
        Err(Unread::Broken) => return Err(ingest.broken()),
        Err(Unread::Busy) => return Err(ingest.busy()),
    };
    let _place = ingest.place().await?;
    let bad = |why: String| {
        count(&refused.body);
        ApiError::new(ErrorCode::Validation, why)
    };
    let report: EndpointReport = serde_json::from_slice(&whole.body)
        .map_err(|error| bad(format!("the report is not understood: {error}")))?;
    if !is_name(&report.queue) || report.queue.contains('-') {
        return Err(bad("queue: 1 to 63 small letters and digits".into()));
    }
    let in_order = report.samples.windows(2).all(|pair| pair[0].sequence < pair[1].sequence);
    if report.samples.is_empty() || report.samples.len() > MAX_SAMPLES || !in_order {
        return Err(bad("samples: 1 to 200, in the order of their numbers".into()));
    }
    let at = Arc::clone(&state);
    let taken = tokio::task::spawn_blocking(move || {
        let samples = report.samples.into_iter().map(|one| (one.sequence, one.sample)).collect();
        let of = (report.dropped, samples);
        tenant.take_samples(&at, &endpoint, &report.queue, of, Millis::now())
    });
    let taken = taken.await.map_err(ApiError::internal)?.inspect_err(|_| count(&refused.write))?;
    let refused = taken.refused.into_iter();
    Ok(Json(EndpointReported {
        accepted: taken.accepted,
        known: taken.known,
        refused: refused.map(|(sequence, why)| EndpointSampleRefused { sequence, why }).collect(),
    })
    .into_response())
}

/// Makes a token for an endpoint: it counts at every node that holds the tenant.
#[utoipa::path(
    post, path = "/v1/endpoints", tag = "endpoints", request_body = NewEndpointRequest,
    responses((status = 201, body = CreatedEndpointToken), (status = 403, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn create_endpoint_token(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(new): Json<NewEndpointRequest>,
) -> Result<(StatusCode, Json<CreatedEndpointToken>), ApiError> {
    caller.require(Role::Admin)?;
    let tenant = state.tenant(&caller)?;
    let (at, by, name) = (Arc::clone(&state), caller.name.clone(), new.name.clone());
    let made = tokio::task::spawn_blocking(move || {
        tenant.create_endpoint_token(&at, &name, &by, tenant.mesh_now())
    });
    let (id, token) = made.await.map_err(ApiError::internal)??;
    tracing::info!(tenant = %caller.tenant, by = caller.name, id, endpoint = new.name, "token of an endpoint created");
    Ok((StatusCode::CREATED, Json(CreatedEndpointToken { id, name: new.name, token })))
}

/// Ends every token of an endpoint, at every node as it hears of it. What it sent stays.
#[utoipa::path(
    delete, path = "/v1/endpoints/{name}", tag = "endpoints", params(("name" = String, Path)),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn revoke_endpoint(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Admin)?;
    let tenant = state.tenant(&caller)?;
    let (at, by, of) = (Arc::clone(&state), caller.name.clone(), name.clone());
    let ended = tokio::task::spawn_blocking(move || {
        tenant.revoke_endpoint(&at, &of, &by, tenant.mesh_now())
    });
    let tokens = ended.await.map_err(ApiError::internal)??;
    tracing::info!(tenant = %caller.tenant, by = caller.name, endpoint = name, tokens, "tokens of an endpoint revoked");
    Ok(StatusCode::NO_CONTENT)
}

impl From<EndpointError> for ApiError {
    fn from(error: EndpointError) -> Self {
        let code = match error {
            EndpointError::Name(_) | EndpointError::Policy(_) => ErrorCode::Validation,
            EndpointError::TooMany => ErrorCode::Conflict,
            EndpointError::Unknown(_) => ErrorCode::NotFound,
            EndpointError::Write(_) | EndpointError::Rows(_) => ErrorCode::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndpointsQuery {
    /// Only endpoints of which this is to blame; may be given again.
    #[serde(default)]
    attribution: Vec<EndpointAttribution>,
    /// How far back is looked: 1s to 30d; 1d otherwise.
    window: Option<String>,
    /// How many to leave out at the beginning: the page after the first.
    offset: Option<usize>,
    /// Most of them: 1 to 1,000; 100 otherwise.
    limit: Option<usize>,
}

/// The endpoints of the tenant as any site heard them last: which part of the way is to blame, what is impaired first.
/// Sites that do not answer in time are named.
#[utoipa::path(
    get, path = "/v1/endpoints", tag = "endpoints", params(EndpointsQuery),
    responses((status = 200, body = EndpointList), (status = 400, body = ErrorBody), (status = 429, body = ErrorBody))
)]
pub(crate) async fn list_endpoints(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<EndpointsQuery>,
) -> Result<Json<EndpointList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let limit = within("limit", query.limit.unwrap_or(100), MAX_PAGE)?;
    let now = Millis::now();
    let from = now - query.window.as_deref().map_or(Ok(DAY_MS), window_ms)?;
    // A machine's clock may be ahead.
    let to = now + LIVE_MS * 5;
    let sql = format!(
        "SELECT endpoint, max(\"time\") AS latest FROM endpoints WHERE {} GROUP BY endpoint \
         ORDER BY latest DESC LIMIT {}",
        between(from, to),
        MAX_ENDPOINTS + 1
    );
    let answer = ask(&state, &caller, sql, None).await?;
    let mut latest: Vec<(Millis, String)> =
        answer.rows.iter().filter_map(|row| latest(row)).collect();
    let cut = answer.cut || latest.len() > MAX_ENDPOINTS;
    latest.truncate(MAX_ENDPOINTS);
    let mut answers = vec![answer];
    let mut found: BTreeMap<String, Seen> = BTreeMap::new();
    for some in latest.chunks(MOMENTS) {
        let moments: BTreeSet<Millis> = some.iter().map(|(at, _)| *at).collect();
        let listed: Vec<String> =
            moments.iter().map(|at| format!("TIMESTAMP '{}'", Timestamp(*at))).collect();
        let (Some(first), Some(last)) = (moments.first(), moments.last()) else { continue };
        let sql = format!(
            "SELECT site, endpoint, \"time\", sample FROM endpoints WHERE {} AND \"time\" IN ({}) LIMIT {}",
            between(*first, *last),
            listed.join(", "),
            MAX_ENDPOINTS
        );
        let answer = ask(&state, &caller, sql, None).await?;
        for (name, seen) in answer.rows.iter().filter_map(|row| seen(row)) {
            if some.iter().any(|(at, of)| *at == seen.sample.at && *of == name) {
                found.insert(name, seen);
            }
        }
        answers.push(answer);
    }
    let tokens = tenant.endpoints.tokens();
    let enrolled: BTreeSet<&str> = tokens.values().map(|token| token.name.as_str()).collect();
    let names: BTreeSet<&str> =
        enrolled.iter().copied().chain(found.keys().map(String::as_str)).collect();
    let views = names.iter().map(|name| view(name, found.get(*name), enrolled.contains(name), now));
    let mut items: Vec<EndpointView> = views.collect();
    items.retain(|item| {
        query.attribution.is_empty()
            || item.attribution.is_some_and(|of| query.attribution.contains(&of))
    });
    // In the order of their words what is impaired comes first; what was not heard comes last.
    items.sort_by(|a, b| {
        let order = |item: &EndpointView| (item.attribution.is_none(), item.attribution);
        order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name))
    });
    let total = items.len() as u64;
    // The one that is not complete makes the whole not so.
    let least = answers.iter().position(|answer| !answer.complete).unwrap_or(0);
    Ok(Json(EndpointList {
        items: items.into_iter().skip(query.offset.unwrap_or(0)).take(limit).collect(),
        total,
        cut,
        asked: asked(answers.swap_remove(least), from, now),
        freshness: freshness(&state, &tenant, now),
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndpointQuery {
    /// How far back is looked: 1s to 30d; 1d otherwise.
    window: Option<String>,
    /// Most moments of its history: 1 to 500; 100 otherwise.
    limit: Option<usize>,
}

/// One endpoint: its last sample, the way from the machine outwards, and what it was before.
#[utoipa::path(
    get, path = "/v1/endpoints/{name}", tag = "endpoints", params(("name" = String, Path), EndpointQuery),
    responses((status = 200, body = EndpointDetail), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 429, body = ErrorBody))
)]
pub(crate) async fn show_endpoint(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
    Given(query): Given<EndpointQuery>,
) -> Result<Json<EndpointDetail>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let limit = within("limit", query.limit.unwrap_or(100), MAX_HISTORY)?;
    if !is_name(&name) {
        return Err(EndpointError::Name(name.chars().take(80).collect()).into());
    }
    let now = Millis::now();
    let from = now - query.window.as_deref().map_or(Ok(DAY_MS), window_ms)?;
    let to = now + LIVE_MS * 5;
    let of = format!("FROM endpoints WHERE endpoint = {} AND {}", quoted(&name), between(from, to));
    let sql =
        format!("SELECT site, endpoint, \"time\", sample {of} ORDER BY \"time\" DESC LIMIT 1");
    let last = ask(&state, &caller, sql, None).await?;
    let seen = last.rows.iter().find_map(|row| seen(row)).map(|(_, seen)| seen);
    // Two nodes may have the same sample: twice as many are enough.
    let sql = format!(
        "SELECT site, \"time\", key, attribution, confidence, evidence {of} ORDER BY \"time\" DESC LIMIT {}",
        limit * 2
    );
    let answer = ask(&state, &caller, sql, None).await?;
    let mut keys = BTreeSet::new();
    let mut history: Vec<EndpointMoment> = answer
        .rows
        .iter()
        .filter_map(|row| moment(row))
        .filter(|(key, _)| keys.insert(key.clone()))
        .map(|(_, moment)| moment)
        .collect();
    history.truncate(limit);
    let tokens = tokens_of(&tenant, &name);
    if seen.is_none() && tokens.is_empty() && answer.complete {
        return Err(EndpointError::Unknown(name).into());
    }
    let counts = tenant.endpoints.counts(&name);
    Ok(Json(EndpointDetail {
        endpoint: view(&name, seen.as_ref(), !tokens.is_empty(), now),
        sample: seen.map(|seen| seen.document),
        history,
        tokens,
        counts: EndpointCounts {
            accepted: counts.accepted,
            known: counts.known,
            refused: counts.refused,
            dropped_by_agent: counts.dropped_by_agent,
            late: counts.late,
        },
        node: state.config.node.name.clone(),
        asked: asked(answer, from, now),
        freshness: freshness(&state, &tenant, now),
    }))
}

fn tokens_of(tenant: &Tenant, name: &str) -> Vec<EndpointTokenView> {
    let tokens = tenant.endpoints.tokens();
    let of = tokens.iter().filter(|(_, token)| token.name == name);
    of.map(|(id, token)| EndpointTokenView {
        id: id.to_string(),
        created_at: Timestamp(token.created_at),
        created_by: token.created_by.clone(),
    })
    .collect()
}

/// A sample as a site has it.
struct Seen {
    site: SiteId,
    sample: Sample,
    document: Value,
}

fn latest(row: &[Value]) -> Option<(Millis, String)> {
    let [endpoint, at] = row else { return None };
    Some((Timestamp::parse(at.as_str()?)?.0, endpoint.as_str()?.to_owned()))
}

/// A row of another site is of another: it is looked at as what came over the network.
fn seen(row: &[Value]) -> Option<(String, Seen)> {
    let [site, endpoint, _, text] = row else { return None };
    let document: Value = serde_json::from_str(text.as_str()?).ok()?;
    let sample: Sample = Deserialize::deserialize(&document).ok()?;
    sample.check().ok()?;
    let seen = Seen { site: site.as_str()?.parse().ok()?, sample, document };
    Some((endpoint.as_str()?.to_owned(), seen))
}

fn moment(row: &[Value]) -> Option<(String, EndpointMoment)> {
    let [site, at, key, attribution, confidence, evidence] = row else { return None };
    let moment = EndpointMoment {
        observed_at: Timestamp::parse(at.as_str()?)?,
        site: site.as_str()?.parse().ok()?,
        attribution: Deserialize::deserialize(attribution).ok()?,
        confidence: confidence.as_f64(),
        evidence: evidence.as_str().map(str::to_owned),
    };
    Some((key.as_str()?.to_owned(), moment))
}

fn view(name: &str, seen: Option<&Seen>, enrolled: bool, now: Millis) -> EndpointView {
    let judged = seen.map(|seen| judge(&seen.sample));
    let age_ms = seen.map(|seen| now.since(seen.sample.at));
    let live = seen.zip(age_ms).is_some_and(|(seen, age)| {
        age <= seen.sample.interval_ms.saturating_mul(3).saturating_add(LIVE_MS)
    });
    EndpointView {
        name: name.to_owned(),
        enrolled,
        observed_at: seen.map(|seen| Timestamp(seen.sample.at)),
        age_ms,
        live,
        site: seen.map(|seen| seen.site.clone()),
        attribution: judged.as_ref().map(|judged| judged.attribution.into()),
        confidence: judged.as_ref().map(|judged| judged.confidence),
        evidence: judged.as_ref().map(|judged| judged.evidence.clone()).unwrap_or_default(),
        layers: judged.map(layers).unwrap_or_default(),
    }
}

fn layers(judged: Judgement) -> Vec<EndpointLayer> {
    let layers = judged.layers.into_iter();
    layers
        .map(|layer| EndpointLayer {
            part: match layer.part {
                Part::Wifi => EndpointPart::Wifi,
                Part::Gateway => EndpointPart::Gateway,
                Part::Isp => EndpointPart::Isp,
                Part::Target => EndpointPart::Target,
            },
            state: match layer.state {
                LayerState::Fine => EndpointLayerState::Fine,
                LayerState::Impaired => EndpointLayerState::Impaired,
                LayerState::NotMeasured => EndpointLayerState::NotMeasured,
                LayerState::Absent => EndpointLayerState::Absent,
            },
            score: layer.score,
            text: layer.text,
        })
        .collect()
}

impl From<Attribution> for EndpointAttribution {
    fn from(of: Attribution) -> Self {
        match of {
            Attribution::None => Self::None,
            Attribution::Wifi => Self::Wifi,
            Attribution::Local => Self::Local,
            Attribution::Isp => Self::Isp,
            Attribution::Network => Self::Network,
            Attribution::Target => Self::Target,
            Attribution::Unknown => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_that_are_none_are_passed_over() {
        for bad in [json!(null), json!("{"), json!("{}"), json!(7)] {
            assert!(
                seen(&[json!("berlin"), json!("x"), json!("2027-01-15T07:00:00Z"), bad]).is_none()
            );
        }
        assert!(latest(&[json!("x")]).is_none());
        let row = [
            json!("berlin"),
            json!("2027-01-15T07:00:00Z"),
            json!("q-1"),
            json!("isp"),
            json!(0.5),
            json!(null),
        ];
        let (key, of) = moment(&row).expect("a moment");
        assert_eq!(
            (key.as_str(), of.attribution, of.evidence),
            ("q-1", EndpointAttribution::Isp, None)
        );
    }
}
