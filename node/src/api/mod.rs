//! What the node serves over HTTP: `/v1` with a credential, the console's files, and the few paths
//! that need none.

mod alerts;
mod alerts_more;
pub(crate) mod alerts_types;
mod alerts_view;
pub(crate) mod attribute_view;
mod auth;
mod bodies;
mod browser;
pub(crate) mod browser_types;
mod changes;
mod compare;
mod console;
mod coverage;
mod credentials;
pub(crate) mod dns_trace;
mod element;
mod endpoints;
pub(crate) mod endpoints_types;
mod enrol;
pub(crate) mod error;
pub(crate) mod events;
mod export;
pub(crate) mod export_format;
mod flows;
mod flows_records;
mod flows_series;
mod flows_state;
pub(crate) mod flows_types;
mod idle;
mod impact;
pub(crate) mod impact_types;
mod incidents;
pub(crate) mod incidents_types;
mod ingest;
mod ingest_changes;
mod ingest_pages;
pub(crate) mod matrix;
mod mesh;
pub(crate) mod mesh_types;
mod mesh_view;
mod metrics;
mod metrics_mesh;
mod names;
mod pages;
pub(crate) mod pages_types;
mod pages_view;
pub(crate) mod params;
mod planes;
mod policy_file;
mod probe_tests;
pub(crate) mod probe_tests_types;
mod probe_tests_view;
pub(crate) mod query;
mod questions;
mod recorded_changes;
pub(crate) mod recorded_changes_types;
mod results;
mod search;
mod serve;
mod sites;
mod slos;
pub(crate) mod slos_types;
mod stream;
mod structure;
mod tenants;
pub(crate) mod tenants_types;
mod test_heat;
pub(crate) mod test_heat_types;
mod test_path;
pub(crate) mod test_path_types;
pub(crate) mod throughput;
mod tls_posture;
pub(crate) mod tls_posture_types;
mod topology;
pub(crate) mod topology_types;
mod traces;
pub(crate) mod types;
mod ways;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use utoipa::openapi::response::{Response as OpenApiResponse, ResponseBuilder};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr};
use utoipa::{Modify, OpenApi};

use crate::daemon::NodeState;
pub(crate) use auth::Throttle;
use error::{ApiError, ErrorCode, PendingError};
pub(crate) use ingest::Ingest;
pub(crate) use questions::Questions;
pub(crate) use serve::{ServeCounters, Server, TlsSource};
pub(crate) use traces::Traces;

const MAX_BODY_BYTES: usize = 64 * 1024;
/// From the head of a request to the head of its answer: a body may not trickle in for ever.
const REQUEST_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CONTENT_POLICY: &str = "default-src 'self'; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The OpenAPI document, from the code that serves it.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Holm",
        description = "The API of one node. It answers for the whole mesh, for the credential's tenant, and says how \
            fresh each site's part is. Times are RFC 3339 in UTC.",
        license(name = "Apache-2.0")
    ),
    paths(
        alerts::apply_alert_rules,
        alerts::check_alert_rules,
        alerts::delete_alert_rule,
        alerts::export_alert_rules,
        alerts::list_alert_rules,
        alerts::list_alerts,
        alerts::put_alert_rule,
        alerts::show_alert_rule,
        alerts_more::create_silence,
        alerts_more::delete_silence,
        alerts_more::list_silences,
        alerts_more::preview_alert_rule,
        credentials::create_api_token,
        credentials::create_login_link,
        credentials::list_api_tokens,
        credentials::revoke_api_token,
        changes::changes,
        changes::diff,
        compare::compare,
        recorded_changes::changes_of_incident,
        recorded_changes::create_change_source,
        recorded_changes::list_change_sources,
        recorded_changes::list_recorded_changes,
        recorded_changes::revoke_change_source,
        recorded_changes::show_recorded_change,
        search::search,
        endpoints::create_endpoint_token,
        endpoints::ingest,
        endpoints::list_endpoints,
        endpoints::revoke_endpoint,
        endpoints::show_endpoint,
        enrol::create_join_token,
        enrol::list_join_tokens,
        events::store,
        export::export,
        flows::language,
        flows_records::search,
        flows::top,
        flows_series::capacity,
        flows_series::sankey,
        flows_series::series,
        flows_state::anomalies,
        flows_state::completion,
        flows_state::exporters,
        impact::spof,
        impact::what_if,
        incidents::act_on_incident,
        incidents::list_incidents,
        incidents::show_incident,
        ingest_changes::ingest,
        ingest_pages::hear,
        matrix::matrix,
        throughput::throughput,
        mesh::digest,
        mesh::forget,
        mesh_view::mesh,
        mesh::list_revocations,
        mesh::revoke_node,
        pages::delete_connector,
        pages::delete_route,
        pages::list_connectors,
        pages::list_deliveries,
        pages::list_routes,
        pages::put_connector,
        pages::put_route,
        pages::replay_delivery,
        pages::show_connector,
        pages::show_route,
        pages::test_connector,
        planes::latest_results,
        planes::list_planes,
        planes::rows,
        browser::browser_run,
        browser::browser_screenshot,
        probe_tests::apply_tests,
        probe_tests::check_tests,
        probe_tests::delete_test,
        probe_tests::list_tests,
        probe_tests::put_test,
        probe_tests::run_test,
        probe_tests::run_unsaved,
        probe_tests::show_test,
        test_heat::test_heat,
        test_path::test_path,
        query::export,
        query::live,
        query::query,
        query::tables,
        results::list_results,
        sites::list_sites,
        sites::me,
        slos::apply_openslo,
        slos::delete_slo,
        slos::export_openslo,
        slos::list_slos,
        slos::put_slo,
        slos::show_slo,
        stream::stream,
        structure::components,
        structure::dependents,
        structure::neighbours,
        dns_trace::dns_trace,
        element::element,
        tenants::create,
        tenants::erase,
        tenants::grant,
        tenants::list,
        tenants::revoke,
        tls_posture::posture,
        topology::topology,
        traces::take,
        ways::paths,
    ),
    modifiers(&Credentials),
    security(("bearer" = []), ("session" = []))
)]
struct Document;

struct Credentials;

/// Fields that are only written where they say something: answers have very many of them.
const SELDOM: [&str; 1] = ["attributes_known_from"];

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (name, schema) in &mut components.schemas {
            // What is asked has fields that may be left out.
            if let (RefOr::T(Schema::Object(object)), false) = (schema, name.ends_with("Request")) {
                // Every field is always written; one that was not measured is null.
                let written =
                    object.properties.keys().filter(|key| !SELDOM.contains(&key.as_str()));
                object.required = written.cloned().collect();
            }
        }
        for (path, item) in &mut document.paths.paths {
            let methods = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
            for operation in methods.into_iter().flatten() {
                let responses = &mut operation.responses.responses;
                responses.entry("401".into()).or_insert_with(|| refusal("no valid credential"));
                if path.starts_with("/v1/topology") {
                    let busy = "too many questions at once: `Retry-After` says when to ask again";
                    responses.entry("429".into()).or_insert_with(|| refusal(busy));
                }
            }
        }
        components
            .add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        components.add_security_scheme(
            "session",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("holm_session"))),
        );
    }
}

/// A response of the one error shape.
fn refusal(why: &str) -> RefOr<OpenApiResponse> {
    let body = Content::new(Some(Ref::from_schema_name("ErrorBody")));
    let response = ResponseBuilder::new().description(why).content("application/json", body);
    RefOr::T(response.build())
}

/// The OpenAPI document as JSON, ending with a newline.
pub(crate) fn openapi_json() -> String {
    let mut json = Document::openapi()
        .to_pretty_json()
        .unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"));
    json.push('\n');
    json
}

/// Everything the node serves.
pub(crate) fn router(state: Arc<NodeState>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/version", get(sites::version))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi))
        .route("/login", get(auth::login))
        .route("/logout", post(auth::logout))
        .route("/enroll", post(enrol::enroll))
        .route("/ingest/changes/{provider}/{id}", post(ingest_changes::ingest))
        .route("/ingest/endpoints", post(endpoints::ingest))
        .route("/ingest/pages/{connector}", post(ingest_pages::hear))
        .route("/v1/me", get(sites::me))
        .route("/v1/changes", get(recorded_changes::list_recorded_changes))
        .route(
            "/v1/changes/sources",
            get(recorded_changes::list_change_sources).post(recorded_changes::create_change_source),
        )
        .route("/v1/changes/sources/{id}", delete(recorded_changes::revoke_change_source))
        .route("/v1/changes/{id}", get(recorded_changes::show_recorded_change))
        .route("/v1/sites", get(sites::list_sites))
        .route("/v1/topology", get(topology::topology))
        .route("/v1/topology/element", get(element::element))
        .route("/v1/topology/changes", get(changes::changes))
        .route("/v1/topology/diff", get(changes::diff))
        .route("/v1/topology/paths", get(ways::paths))
        .route("/v1/topology/search", get(search::search))
        .route("/v1/topology/spof", get(impact::spof))
        .route("/v1/topology/components", get(structure::components))
        .route("/v1/topology/dependents", get(structure::dependents))
        .route("/v1/topology/neighbours", get(structure::neighbours))
        .route("/v1/topology/export", get(export::export))
        .route("/v1/topology/whatif", post(impact::what_if))
        .route("/v1/topology/whatif/compare", post(compare::compare))
        .route("/v1/tenants", get(tenants::list).post(tenants::create))
        .route("/v1/tenants/{name}/erasure", post(tenants::erase))
        .route("/v1/tenants/{name}/grants", post(tenants::grant))
        .route("/v1/tenants/{name}/grants/{site}", delete(tenants::revoke))
        .route("/v1/planes", get(planes::list_planes))
        .route("/v1/dns/trace", post(dns_trace::dns_trace))
        .route("/v1/tls/posture", get(tls_posture::posture))
        .route("/v1/results", get(results::list_results))
        .route("/v1/results/latest", get(planes::latest_results))
        .route("/v1/rows", get(planes::rows))
        .route(
            "/v1/endpoints",
            get(endpoints::list_endpoints).post(endpoints::create_endpoint_token),
        )
        .route(
            "/v1/endpoints/{name}",
            get(endpoints::show_endpoint).delete(endpoints::revoke_endpoint),
        )
        .route("/v1/events", get(events::store))
        .route("/v1/events/export", get(query::export))
        .route("/v1/flows", get(flows_records::search))
        .route("/v1/flows/anomalies", get(flows_state::anomalies))
        .route("/v1/flows/capacity", get(flows_series::capacity))
        .route("/v1/flows/complete", get(flows_state::completion))
        .route("/v1/flows/dimensions", get(flows::language))
        .route("/v1/flows/exporters", get(flows_state::exporters))
        .route("/v1/flows/sankey", get(flows_series::sankey))
        .route("/v1/flows/series", get(flows_series::series))
        .route("/v1/flows/top", get(flows::top))
        .route("/v1/incidents", get(incidents::list_incidents))
        .route("/v1/incidents/{id}", get(incidents::show_incident))
        .route("/v1/incidents/{id}/changes", get(recorded_changes::changes_of_incident))
        .route("/v1/incidents/{id}/{action}", post(incidents::act_on_incident))
        .route("/v1/paging/connectors", get(pages::list_connectors))
        .route(
            "/v1/paging/connectors/{name}",
            get(pages::show_connector).put(pages::put_connector).delete(pages::delete_connector),
        )
        .route("/v1/paging/connectors/{name}/test", post(pages::test_connector))
        .route("/v1/paging/deliveries", get(pages::list_deliveries))
        .route("/v1/paging/deliveries/{id}/replay", post(pages::replay_delivery))
        .route("/v1/paging/routes", get(pages::list_routes))
        .route(
            "/v1/paging/routes/{name}",
            get(pages::show_route).put(pages::put_route).delete(pages::delete_route),
        )
        .route("/v1/query", post(query::query))
        .route("/v1/query/live", post(query::live))
        .route("/v1/query/tables", get(query::tables))
        .route("/v1/slos", get(slos::list_slos))
        .route(
            "/v1/slos/openslo",
            get(slos::export_openslo)
                .post(slos::apply_openslo)
                .layer(DefaultBodyLimit::max(holm_slo::MAX_FILE_BYTES))
                .layer(middleware::map_response(bodies::told::<{ holm_slo::MAX_FILE_BYTES }>)),
        )
        .route("/v1/slos/{name}", get(slos::show_slo).put(slos::put_slo).delete(slos::delete_slo))
        .merge(alert_routes())
        .merge(test_routes())
        .route("/v1/logs", post(traces::refuse_other_signal))
        .route("/v1/metrics", post(traces::refuse_other_signal))
        .route("/v1/traces", post(traces::take))
        .route("/v1/stream", get(stream::stream))
        .route("/v1/mesh", get(mesh_view::mesh))
        .route("/v1/mesh/digest", get(mesh::digest))
        .route("/v1/mesh/matrix", get(matrix::matrix))
        .route("/v1/mesh/throughput", post(throughput::throughput))
        .route("/v1/mesh/gone", post(mesh::forget))
        .route("/v1/mesh/revocations", get(mesh::list_revocations).post(mesh::revoke_node))
        .route("/v1/join-tokens", get(enrol::list_join_tokens).post(enrol::create_join_token))
        .route(
            "/v1/api-tokens",
            get(credentials::list_api_tokens).post(credentials::create_api_token),
        )
        .route("/v1/api-tokens/{id}", delete(credentials::revoke_api_token))
        .route("/v1/login-links", post(credentials::create_login_link))
        .fallback(console::file)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::map_response(bodies::told::<MAX_BODY_BYTES>))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), frame))
        .with_state(state)
}

/// Alerts. Files of rules may be longer than other bodies.
fn alert_routes() -> Router<Arc<NodeState>> {
    let file = DefaultBodyLimit::max(holm_policy::MAX_FILE_BYTES);
    let told = middleware::map_response(bodies::told::<{ holm_policy::MAX_FILE_BYTES }>);
    Router::new()
        .route("/v1/alerts", get(alerts::list_alerts))
        .route("/v1/alerts/check", post(alerts::check_alert_rules).layer(file).layer(told.clone()))
        .route("/v1/alerts/export", get(alerts::export_alert_rules))
        .route("/v1/alerts/preview", post(alerts_more::preview_alert_rule))
        .route(
            "/v1/alerts/rules",
            get(alerts::list_alert_rules).post(alerts::apply_alert_rules).layer(file).layer(told),
        )
        .route(
            "/v1/alerts/rules/{name}",
            get(alerts::show_alert_rule)
                .put(alerts::put_alert_rule)
                .delete(alerts::delete_alert_rule),
        )
        .route(
            "/v1/alerts/silences",
            get(alerts_more::list_silences).post(alerts_more::create_silence),
        )
        .route("/v1/alerts/silences/{id}", delete(alerts_more::delete_silence))
}

/// Tests. Their files may be longer than other bodies.
fn test_routes() -> Router<Arc<NodeState>> {
    let file = DefaultBodyLimit::max(holm_policy::MAX_FILE_BYTES);
    let told = || middleware::map_response(bodies::told::<{ holm_policy::MAX_FILE_BYTES }>);
    Router::new()
        .route(
            "/v1/tests",
            get(probe_tests::list_tests).post(probe_tests::apply_tests).layer(file).layer(told()),
        )
        .route("/v1/tests/check", post(probe_tests::check_tests).layer(file).layer(told()))
        .route("/v1/tests/run", post(probe_tests::run_unsaved).layer(file).layer(told()))
        .route(
            "/v1/tests/{name}",
            get(probe_tests::show_test)
                .put(probe_tests::put_test)
                .delete(probe_tests::delete_test)
                .layer(file)
                .layer(told()),
        )
        .route("/v1/tests/{name}/browser", get(browser::browser_run))
        .route("/v1/tests/{name}/browser/screenshot", get(browser::browser_screenshot))
        .route("/v1/tests/{name}/heat", get(test_heat::test_heat))
        .route("/v1/tests/{name}/path", get(test_path::test_path))
        .route("/v1/tests/{name}/run", post(probe_tests::run_test))
}

/// Whether the node can answer for its own site: documents are loaded and listeners are open.
async fn readyz() -> &'static str {
    // The router exists only once the documents are loaded.
    "ready\n"
}

async fn openapi(_: crate::daemon::Caller) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi_json()).into_response()
}

/// Around every request: an id, the error shape, and the headers a browser is to obey.
async fn frame(State(state): State<Arc<NodeState>>, request: Request, next: Next) -> Response {
    let request_id = state.next_request_id();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let (request, rest) = bodies::Rest::of(request);
    let mut response = match unasked_query(request.uri()) {
        Some(error) => error.into_response(),
        None => match tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => ApiError::bad_request(
                "the request did not come in whole, or was not answered, within 60 s; send it again",
            )
            .into_response(),
        },
    };
    let status = response.status();
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        state.serve_counters.bodies_too_long.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        rest.read().await;
    }
    if status.is_client_error() || status.is_server_error() {
        // Who speaks protobuf is told in it.
        if !traces::is_protobuf(&response) {
            response = shape(response, &request_id).await;
        }
        tracing::debug!(request_id, %method, path, status = status.as_u16(), "request refused");
    }
    state.count_request(status.as_u16());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, id);
    }
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if path.starts_with("/v1/") {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// A query on a path that takes none: refused rather than passed over. Paths with a query refuse
/// what they do not know themselves.
fn unasked_query(uri: &axum::http::Uri) -> Option<ApiError> {
    const WITH_QUERY: [&str; 31] = [
        "/v1/alerts",
        "/v1/alerts/rules",
        "/v1/changes",
        "/v1/events/export",
        "/v1/flows",
        "/v1/flows/anomalies",
        "/v1/flows/capacity",
        "/v1/flows/complete",
        "/v1/flows/exporters",
        "/v1/flows/sankey",
        "/v1/flows/series",
        "/v1/endpoints",
        "/v1/flows/top",
        "/v1/incidents",
        "/v1/paging/deliveries",
        "/v1/results",
        "/v1/rows",
        "/v1/slos",
        "/v1/tests",
        "/v1/tls/posture",
        "/v1/topology",
        "/v1/topology/changes",
        "/v1/topology/components",
        "/v1/topology/dependents",
        "/v1/topology/diff",
        "/v1/topology/element",
        "/v1/topology/export",
        "/v1/topology/neighbours",
        "/v1/topology/paths",
        "/v1/topology/search",
        "/v1/topology/spof",
    ];
    let query = uri.query().filter(|query| !query.is_empty())?;
    let path = uri.path();
    let of_incident = path.starts_with("/v1/incidents/") && path.ends_with("/changes");
    let of_endpoint = path.starts_with("/v1/endpoints/");
    let of_test = path.starts_with("/v1/tests/") && !path.ends_with("/run");
    if !path.starts_with("/v1/")
        || of_incident
        || of_endpoint
        || of_test
        || WITH_QUERY.contains(&path)
    {
        return None;
    }
    let first = query.split(['&', '=']).next().unwrap_or_default();
    let first: String = first.chars().take(80).collect();
    Some(ApiError::bad_request(format!(
        "{path} takes no query parameters, and \"{first}\" was given; /openapi.json lists what each path takes"
    )))
}

/// Gives every error the one shape, those of the framework (a body that is no JSON, a wrong
/// method) too.
async fn shape(response: Response, request_id: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let pending = match parts.extensions.remove::<PendingError>() {
        Some(pending) => pending,
        None => {
            let code = match parts.status {
                StatusCode::UNPROCESSABLE_ENTITY => ErrorCode::Validation,
                StatusCode::NOT_FOUND => ErrorCode::NotFound,
                status if status.is_client_error() => ErrorCode::BadRequest,
                _ => ErrorCode::Internal,
            };
            let text = axum::body::to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
            let mut message = String::from_utf8_lossy(&text).trim().to_owned();
            if message.is_empty() {
                message = parts.status.to_string();
            }
            PendingError(code, message)
        }
    };
    let status = parts.status;
    let kept: Vec<_> = [header::RETRY_AFTER, header::WWW_AUTHENTICATE, header::ALLOW]
        .into_iter()
        .filter_map(|name| parts.headers.remove(&name).map(|value| (name, value)))
        .collect();
    let mut response = (status, pending.body(request_id)).into_response();
    response.headers_mut().extend(kept);
    response
}

#[cfg(test)]
mod tests {
    use holm_graph::{SiteElement, TopologyGraph};
    use holm_model::{Attributes, Interval, IntervalSet, Millis, PastValues};

    use super::*;

    /// Has `site` say that something was there, with no attributes.
    pub(super) fn record(
        graph: &mut TopologyGraph,
        site: &str,
        id: &str,
        from: u64,
        to: Option<u64>,
    ) {
        let interval = Interval { from: Millis(from), to: to.map(Millis) };
        let element = SiteElement {
            id: id.parse().expect("valid"),
            intervals: IntervalSet::from_intervals([interval]),
            attributes: Attributes::new(),
            attributes_at: Millis(0),
            past: PastValues::default(),
        };
        graph.apply(&site.parse().expect("valid"), element);
    }

    #[test]
    fn the_document_says_what_may_be_left_out_and_who_is_refused() {
        let document: serde_json::Value = serde_json::from_str(&openapi_json()).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        for (path, item) in paths {
            for (method, operation) in item.as_object().expect("methods") {
                assert!(operation["responses"]["401"].is_object(), "{method} {path}");
                let busy = operation["responses"]["429"].is_object();
                assert!(busy || !path.starts_with("/v1/topology"), "{method} {path}");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let name = parameter["name"].as_str().expect("a name");
                    let needed = ["id", "q", "name", "table", "to", "from"].contains(&name)
                        || parameter["in"] == "path";
                    assert!(needed || parameter["required"] != true, "{path}: {name}");
                }
            }
        }
        let export = &paths["/v1/topology/export"]["get"];
        let content = &export["responses"]["200"]["content"];
        assert!(content["application/graphml+xml"].is_object(), "{content}");
        assert!(content["text/vnd.graphviz"].is_object(), "{content}");
        let named = |name: &str| {
            let parameters = export["parameters"].as_array().expect("parameters");
            parameters.iter().any(|parameter| parameter["name"] == name)
        };
        assert!(named("format") && !named("limit") && !named("diff"));
        let required = &document["components"]["schemas"]["WhatIfRequest"]["required"];
        assert!(
            !required.as_array().is_some_and(|all| all.contains(&"drain".into())),
            "{required}"
        );
    }

    /// The console's types are generated from this file: page and node cannot drift.
    #[test]
    fn the_committed_openapi_document_is_the_one_that_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../consoles/web/openapi.json");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == openapi_json(),
            "consoles/web/openapi.json is not what the code serves; run `make openapi`"
        );
        assert!(committed.starts_with("{\n  \"openapi\": \"3.1"), "OpenAPI 3.1");
    }
}
