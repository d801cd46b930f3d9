//! `/v1/paging`: who is told of incidents, by which provider, and what became of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use holm_model::Millis;
use holm_page::{Delivery, DeliveryId, Draft, Outcome, RecordId, Route};
use serde::Deserialize;
use utoipa::IntoParams;

use super::coverage::freshness;
use super::error::{ApiError, ErrorBody, ErrorCode, beside};
use super::incidents_types::SeverityView;
use super::pages_types::{
    PageConnector, PageConnectorList, PageConnectorRequest, PageDelivery, PageDeliveryList,
    PageRoute, PageRouteList, PageRouteRequest, PageState, PageTestResult,
};
use super::pages_view::{connector_view, delivery_view, route_view};
use super::params::{Given, clipped, within};
use crate::daemon::{Caller, NodeState, PageError, ReplayError, Role, Tenant};

/// Most deliveries of a page.
const MAX_PAGE: usize = 1_000;

fn refused(error: &PageError) -> ApiError {
    let code = match error {
        PageError::Connector(_) | PageError::Route(_) | PageError::NoConnector(_) => {
            ErrorCode::Validation
        }
        PageError::Policy(_) => ErrorCode::Validation,
        PageError::Used(..) | PageError::TooMany(_) => ErrorCode::Conflict,
        PageError::Unknown(..) => ErrorCode::NotFound,
        PageError::Busy => ErrorCode::RateLimited,
        PageError::Write(_) => ErrorCode::Unavailable,
    };
    ApiError::new(code, error.to_string())
}

/// The connectors, without their secrets, and who delivers now.
#[utoipa::path(
    get, path = "/v1/paging/connectors", tag = "paging",
    responses((status = 200, body = PageConnectorList))
)]
pub(crate) async fn list_connectors(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<PageConnectorList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let now = tenant.mesh_now();
    let (standings, defined) = (tenant.pages.standings(now), tenant.pages.defined());
    let items = defined.connectors.iter().map(|(name, held)| {
        let standing = standings.get(name).cloned().unwrap_or_default();
        connector_view(name, held, &standing, &caller)
    });
    Ok(Json(PageConnectorList {
        total: defined.connectors.len() as u64,
        items: items.collect(),
        pagers: tenant.pages.pagers(now).iter().map(ToString::to_string).collect(),
        freshness: freshness(&state, &tenant, now),
    }))
}

fn one_connector(tenant: &Tenant, name: &str, caller: &Caller) -> Result<PageConnector, ApiError> {
    let defined = tenant.pages.defined();
    let held = defined.connectors.get(name);
    let held = held.ok_or_else(|| refused(&PageError::Unknown("connector", clipped(name))))?;
    let standing = tenant.pages.standings(tenant.mesh_now()).remove(name).unwrap_or_default();
    Ok(connector_view(name, held, &standing, caller))
}

/// One connector, without its secrets.
#[utoipa::path(
    get, path = "/v1/paging/connectors/{name}", tag = "paging", params(("name" = String, Path, description = "its name")),
    responses((status = 200, body = PageConnector), (status = 404, body = ErrorBody))
)]
pub(crate) async fn show_connector(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<PageConnector>, ApiError> {
    let tenant = state.tenant(&caller)?;
    one_connector(&tenant, &name, &caller).map(Json)
}

/// Writes a connector. Every node of the tenant delivers by it, as it hears of it.
#[utoipa::path(
    put, path = "/v1/paging/connectors/{name}", tag = "paging", request_body = PageConnectorRequest,
    params(("name" = String, Path, description = "1 to 63 small letters, digits and -")),
    responses((status = 200, body = PageConnector), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn put_connector(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
    Json(asked): Json<PageConnectorRequest>,
) -> Result<Json<PageConnector>, ApiError> {
    caller.require(Role::Admin)?;
    let tenant = state.tenant(&caller)?;
    let provider = asked.provider.into();
    let draft = Draft {
        url: asked.url,
        secret: asked.secret,
        inbound_secret: asked.inbound_secret,
        user: asked.user,
        from: asked.from,
        to: asked.to,
        tls: asked.tls.map(Into::into),
        channel: asked.channel,
        project: asked.project,
        issue_type: asked.issue_type,
        done: asked.done,
        api: asked.api,
        ca: asked.ca,
        sites: asked.sites,
        paused: asked.paused,
        attempts_an_hour: asked.attempts_an_hour,
        pages_a_minute: asked.pages_a_minute,
        give_up_after_h: asked.give_up_after_h,
    };
    let (of, node, by, called) =
        (Arc::clone(&tenant), Arc::clone(&state), caller.name.clone(), name.clone());
    beside(move || of.set_connector(&node, (&called, provider), draft, &by, Millis::now()))
        .await?
        .map_err(|error| refused(&error))?;
    tracing::info!(by = caller.name, connector = name, "connector of paging written");
    one_connector(&tenant, &name, &caller).map(Json)
}

/// Takes a connector away. What is queued by it becomes a dead letter.
#[utoipa::path(
    delete, path = "/v1/paging/connectors/{name}", tag = "paging", params(("name" = String, Path, description = "its name")),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(crate) async fn delete_connector(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Admin)?;
    let tenant = state.tenant(&caller)?;
    let (node, by, called) = (Arc::clone(&state), caller.name.clone(), name.clone());
    beside(move || tenant.remove_connector(&node, &called, &by, Millis::now()))
        .await?
        .map_err(|error| refused(&error))?;
    tracing::info!(by = caller.name, connector = name, "connector of paging taken away");
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a page by a connector that says that nothing is wrong, from this node, and waits for what becomes of it.
#[utoipa::path(
    post, path = "/v1/paging/connectors/{name}/test", tag = "paging", params(("name" = String, Path, description = "its name")),
    responses((status = 200, body = PageTestResult), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 429, body = ErrorBody))
)]
pub(crate) async fn test_connector(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<PageTestResult>, ApiError> {
    caller.require(Role::Admin)?;
    let tenant = state.tenant(&caller)?;
    let outcome = tenant.test_connector(&state, &name, &caller.name).await;
    let outcome = outcome.map_err(|error| refused(&error))?;
    tracing::info!(by = caller.name, connector = name, "connector of paging tried out");
    let refusal = |passing, reason| PageTestResult {
        accepted: false,
        passing,
        reason: Some(reason),
        provider_id: None,
        url: None,
    };
    Ok(Json(match outcome {
        Outcome::Accepted { provider_id, url, note } => {
            PageTestResult { accepted: true, passing: false, reason: note, provider_id, url }
        }
        Outcome::Retry { reason, .. } => refusal(true, reason),
        Outcome::Refused { reason } => refusal(false, reason),
    }))
}

/// The routes: which incidents are told by which connectors.
#[utoipa::path(
    get, path = "/v1/paging/routes", tag = "paging",
    responses((status = 200, body = PageRouteList))
)]
pub(crate) async fn list_routes(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<PageRouteList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let defined = tenant.pages.defined();
    let items = defined.routes.iter().map(|(name, held)| route_view(name, held, &defined));
    Ok(Json(PageRouteList {
        total: defined.routes.len() as u64,
        items: items.collect(),
        freshness: freshness(&state, &tenant, Millis::now()),
    }))
}

fn one_route(tenant: &Tenant, name: &str) -> Result<PageRoute, ApiError> {
    let defined = tenant.pages.defined();
    let held = defined.routes.get(name);
    let held = held.ok_or_else(|| refused(&PageError::Unknown("route", clipped(name))))?;
    Ok(route_view(name, held, &defined))
}

/// One route.
#[utoipa::path(
    get, path = "/v1/paging/routes/{name}", tag = "paging", params(("name" = String, Path, description = "its name")),
    responses((status = 200, body = PageRoute), (status = 404, body = ErrorBody))
)]
pub(crate) async fn show_route(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<PageRoute>, ApiError> {
    let tenant = state.tenant(&caller)?;
    one_route(&tenant, &name).map(Json)
}

/// Writes a route. It takes in incidents that are open already, too.
#[utoipa::path(
    put, path = "/v1/paging/routes/{name}", tag = "paging", request_body = PageRouteRequest,
    params(("name" = String, Path, description = "1 to 63 small letters, digits and -")),
    responses((status = 200, body = PageRoute), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn put_route(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
    Json(asked): Json<PageRouteRequest>,
) -> Result<Json<PageRoute>, ApiError> {
    caller.require(Role::Admin)?;
    let tenant = state.tenant(&caller)?;
    let route = Route {
        name: name.as_str().into(),
        severity: asked.severity.unwrap_or(SeverityView::Critical).into(),
        sites: asked.sites,
        targets: asked.targets.into_iter().map(Into::into).collect(),
        planes: asked.planes.into_iter().map(Into::into).collect(),
        kinds: asked.kinds.into_iter().map(Into::into).collect(),
        connectors: asked.connectors.into_iter().map(Into::into).collect(),
        resolve: asked.resolve.unwrap_or(true),
        after_s: asked.after_s,
        repeat_s: asked.repeat_s,
        paused: asked.paused,
    };
    let (of, node, by) = (Arc::clone(&tenant), Arc::clone(&state), caller.name.clone());
    beside(move || of.set_route(&node, route, &by, Millis::now()))
        .await?
        .map_err(|error| refused(&error))?;
    tracing::info!(by = caller.name, route = name, "route of paging written");
    one_route(&tenant, &name).map(Json)
}

/// Takes a route away. Of incidents that were told by it the end is told still.
#[utoipa::path(
    delete, path = "/v1/paging/routes/{name}", tag = "paging", params(("name" = String, Path, description = "its name")),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn delete_route(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Admin)?;
    let tenant = state.tenant(&caller)?;
    let (node, by, called) = (Arc::clone(&state), caller.name.clone(), name.clone());
    beside(move || tenant.remove_route(&node, &called, &by, Millis::now()))
        .await?
        .map_err(|error| refused(&error))?;
    tracing::info!(by = caller.name, route = name, "route of paging taken away");
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveriesQuery {
    /// Only about this incident, by any of its ids.
    incident: Option<String>,
    /// Only by this connector.
    connector: Option<String>,
    /// Only in these states: queued, delivered, folded, dead, dropped; may be given again.
    #[serde(default)]
    #[param(value_type = Vec<String>)]
    state: Vec<PageState>,
    /// How many to leave out at the beginning: the page after the first.
    offset: Option<usize>,
    /// Most of them: 1 to 1,000; 100 otherwise.
    limit: Option<usize>,
}

/// What was told, by all sites, and what became of it; the latest first.
#[utoipa::path(
    get, path = "/v1/paging/deliveries", tag = "paging", params(DeliveriesQuery),
    responses((status = 200, body = PageDeliveryList), (status = 400, body = ErrorBody))
)]
pub(crate) async fn list_deliveries(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<DeliveriesQuery>,
) -> Result<Json<PageDeliveryList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let limit = within("limit", query.limit.unwrap_or(100), MAX_PAGE)?;
    let now = tenant.mesh_now();
    let keys = query.incident.as_deref().map(|id| keys_of(&tenant, id, now));
    let fits = |delivery: &Delivery| {
        keys.as_ref().is_none_or(|keys| keys.iter().any(|key| **key == *delivery.incident))
            && query.connector.as_ref().is_none_or(|name| **name == *delivery.connector)
            && (query.state.is_empty() || query.state.contains(&delivery.phase.into()))
    };
    let found = tenant.pages.deliveries(fits);
    let phases = tenant.pages.phases();
    let page = found.iter().skip(query.offset.unwrap_or(0)).take(limit);
    Ok(Json(PageDeliveryList {
        items: page.map(|(id, delivery)| view(&tenant, id, delivery)).collect(),
        total: found.len() as u64,
        states: phases.iter().map(|(phase, n)| (phase.as_str().to_owned(), *n as u64)).collect(),
        freshness: freshness(&state, &tenant, now),
    }))
}

fn keys_of(tenant: &Tenant, id: &str, now: Millis) -> Vec<String> {
    let judged = tenant.incidents.lately(now);
    let incident = id.parse().ok().and_then(|fault| judged.of_fault(fault));
    match incident {
        Some(incident) => incident.faults().map(|fault| fault.to_string()).collect(),
        None => vec![clipped(id)],
    }
}

fn view(tenant: &Tenant, id: &RecordId, delivery: &Delivery) -> PageDelivery {
    delivery_view(id, delivery, tenant.pages.attempts(id, delivery))
}

/// What was told of an incident, the first first.
pub(super) fn pages_of(tenant: &Tenant, keys: &[String]) -> Vec<PageDelivery> {
    let found = tenant.pages.of_incident(keys);
    found.iter().take(MAX_PAGE).map(|(id, delivery)| view(tenant, id, delivery)).collect()
}

/// Queues a dead letter again: it is tried from now on as if it were new.
#[utoipa::path(
    post, path = "/v1/paging/deliveries/{id}/replay", tag = "paging", params(("id" = String, Path, description = "its id")),
    responses((status = 200, body = PageDelivery), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(crate) async fn replay_delivery(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<PageDelivery>, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    let id: DeliveryId =
        id.parse().map_err(|why| ApiError::bad_request(format!("id={}: {why}", clipped(&id))))?;
    let (of, node, by) = (Arc::clone(&tenant), Arc::clone(&state), caller.name.clone());
    let replayed = beside(move || of.replay(&node, id, &by)).await?.map_err(|error| {
        let code = match &error {
            ReplayError::Unknown(_) => ErrorCode::NotFound,
            ReplayError::NotDead(..) | ReplayError::NoConnector(_) => ErrorCode::Conflict,
            ReplayError::Write(_) => ErrorCode::Unavailable,
        };
        ApiError::new(code, error.to_string())
    });
    let (record, delivery) = replayed?;
    tracing::info!(by = caller.name, delivery = %id, "page replayed");
    Ok(Json(view(&tenant, &record, &delivery)))
}

#[cfg(test)]
mod tests {
    use holm_page::{ConnectorError, Phase, RouteError};

    use super::*;

    #[test]
    fn each_refusal_says_what_to_do() {
        for (error, code) in [
            (PageError::Connector(ConnectorError::Name), ErrorCode::Validation),
            (PageError::Route(RouteError::Name), ErrorCode::Validation),
            (PageError::Used("ops".into(), "route all".into()), ErrorCode::Conflict),
            (PageError::Unknown("route", "x".into()), ErrorCode::NotFound),
        ] {
            assert_eq!(refused(&error).code, code, "{error}");
        }
        assert_eq!(PageState::from(Phase::Dead), PageState::Dead);
    }
}
