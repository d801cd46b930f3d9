//! `POST /v1/query` and `/v1/query/live`, `GET /v1/query/tables` and `GET /v1/events/export`.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use bytes::Bytes;
use futures::{Stream, stream};
use holm_events::EventError;
use holm_model::{Millis, SiteId, TenantId};
use holm_query::{PlaceReport, PlaceState, Progress, QueryError, QueryLimits, Question};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ErrorBody, ErrorCode, PendingError};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

/// Longest and shortest time of a question, and what it has otherwise, in ms.
const TIMEOUT_MS: (u64, u64, u64) = (100, 50_000, 20_000);
/// Bytes of an export that are sent at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Questions that many ask, by name.
const NAMED: [(&str, &str, &str); 5] = [
    (
        "probe_results",
        "How probes of the last hour went, by site, probe and target",
        "SELECT site, probe, target, count(*) AS results, sum(CASE WHEN success THEN 0 ELSE 1 END) AS failed, \
         avg(duration_ms) AS avg_ms, max(duration_ms) AS max_ms FROM active_results \
         WHERE \"time\" > now() - INTERVAL '1 hour' GROUP BY site, probe, target ORDER BY failed DESC LIMIT 100",
    ),
    (
        "slowest_probes",
        "The slowest targets of the last hour",
        "SELECT target, probe, avg(duration_ms) AS avg_ms, count(*) AS results FROM active_results \
         WHERE \"time\" > now() - INTERVAL '1 hour' AND success GROUP BY target, probe ORDER BY avg_ms DESC LIMIT 20",
    ),
    (
        "top_services",
        "Services by connections of the last hour",
        "SELECT service.name, site, count(*) AS connections, sum(bytes_sent) AS sent, sum(bytes_received) AS received \
         FROM host_connections WHERE \"time\" > now() - INTERVAL '1 hour' GROUP BY service.name, site \
         ORDER BY connections DESC LIMIT 50",
    ),
    (
        "path_changes",
        "Ways that changed in the last day, by target",
        "SELECT target, site, count(*) AS changes, max(\"time\") AS latest FROM path_changes \
         WHERE \"time\" > now() - INTERVAL '1 day' GROUP BY target, site ORDER BY changes DESC LIMIT 50",
    ),
    (
        "signals",
        "The latest signals of every site",
        "SELECT \"time\", site, severity, kind, target, state, text FROM signals ORDER BY \"time\" DESC LIMIT 100",
    ),
];

/// A question to the whole mesh.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryRequest {
    /// One SELECT over the tables of `GET /v1/query/tables`; or `name`.
    #[serde(default)]
    pub(crate) sql: Option<String>,
    /// The name of a question that is known by name; or `sql`.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Only these sites, one at least; all otherwise.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    pub(crate) sites: Option<Vec<SiteId>>,
    /// Longest time in ms: 100 to 50,000; 20,000 otherwise.
    #[serde(default)]
    pub(crate) timeout_ms: Option<u64>,
}

/// A column of an answer or a table.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ColumnView {
    pub(crate) name: String,
    /// Its Arrow type.
    #[serde(rename = "type")]
    pub(crate) data_type: String,
}

/// How one node did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct AskedSite {
    #[schema(value_type = String)]
    pub(crate) site: SiteId,
    pub(crate) node: String,
    /// `answered`: its rows are in the answer. `late`, `failed`: they are not, and `error` says why.
    /// `asked`: nothing was wanted of it.
    pub(crate) state: String,
    /// Rows that it sent: groups where it grouped.
    pub(crate) rows: u64,
    /// Bytes that it sent over the mesh.
    pub(crate) bytes: u64,
    pub(crate) took_ms: u64,
    pub(crate) error: Option<String>,
    /// Which of its rows are not in the answer, though it answered.
    pub(crate) missing: Option<String>,
}

/// In what an answer is not exact.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ApproximationView {
    pub(crate) method: String,
    /// A value may be too small by this at most, and none is too large; null where no bound always holds.
    pub(crate) at_most: Option<f64>,
    /// The share of a value by which it may be off either way: at most for `ddsketch`, the standard error for `hyperloglog`.
    pub(crate) relative: Option<f64>,
    pub(crate) text: String,
}

/// An answer, and what it stands on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct QueryAnswer {
    pub(crate) columns: Vec<ColumnView>,
    /// Values in the order of the columns.
    #[schema(value_type = Vec<Vec<Object>>)]
    pub(crate) rows: Vec<Vec<serde_json::Value>>,
    /// There are more rows than an answer has.
    pub(crate) cut: bool,
    /// Whether every site that was asked is in the answer.
    pub(crate) complete: bool,
    pub(crate) sites: Vec<AskedSite>,
    pub(crate) approximations: Vec<ApproximationView>,
    pub(crate) took_ms: u64,
}

/// Puts a question to all sites that hold the tenant. Sites that do not answer in time are named.
#[utoipa::path(
    post, path = "/v1/query", tag = "events", request_body = QueryRequest,
    responses(
        (status = 200, body = QueryAnswer), (status = 400, body = ErrorBody), (status = 422, body = ErrorBody),
        (status = 429, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn query(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(request): Json<QueryRequest>,
) -> Result<Json<QueryAnswer>, ApiError> {
    let asked = Asked::of(&state, &caller, request, None)?;
    asked.answer(&state).await.map(Json)
}

/// The same, told as it goes: server-sent events. `site` (an `AskedSite`) whenever one is asked, answers, or
/// does not; at the end `answer` (a `QueryAnswer`) or `error` (an `ErrorBody`).
#[utoipa::path(
    post, path = "/v1/query/live", tag = "events", request_body = QueryRequest,
    responses(
        (status = 200, description = "text/event-stream", content_type = "text/event-stream", body = String),
        (status = 400, body = ErrorBody), (status = 429, body = ErrorBody)
    )
)]
pub(crate) async fn live(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(request): Json<QueryRequest>,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, ApiError> {
    let (tell, told) = mpsc::unbounded_channel();
    // A node tells twice: that it is asked, and how it did.
    let progress: Progress = Arc::new(move |report: &PlaceReport| {
        let _ = tell.send(report.clone());
    });
    let asked = Asked::of(&state, &caller, request, Some(progress))?;
    let request_id = state.next_request_id();
    // Who stops listening stops the work: it goes on only as long as this stream is asked for more.
    let work = async move {
        match asked.answer(&state).await {
            Ok(answer) => Event::default().event("answer").json_data(answer),
            Err(error) => {
                let error = PendingError(error.code, error.message).body(&request_id);
                Event::default().event("error").json_data(error.0)
            }
        }
    };
    let events = stream::unfold(Some((told, Box::pin(work))), |going| async move {
        let (mut told, mut work) = going?;
        tokio::select! {
            biased;
            Some(report) = told.recv() => {
                let event = Event::default().event("site").json_data(asked_site(report));
                Some((event, Some((told, work))))
            }
            last = &mut work => Some((last, None)),
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(5))))
}

/// A question that was let in.
struct Asked {
    question: Question,
    tenant: TenantId,
    _place: OwnedSemaphorePermit,
}

impl Asked {
    fn of(
        state: &Arc<NodeState>,
        caller: &Caller,
        request: QueryRequest,
        progress: Option<Progress>,
    ) -> Result<Self, ApiError> {
        let tenant = state.tenant(caller)?;
        let sql = sql_of(&request)?;
        if request.sites.as_ref().is_some_and(Vec::is_empty) {
            return Err(ApiError::bad_request(
                "sites: it is empty, so that no site would be asked; name one at least, or leave it out to ask all",
            ));
        }
        let (least, most, otherwise) = TIMEOUT_MS;
        let timeout_ms = request.timeout_ms.unwrap_or(otherwise);
        if !(least..=most).contains(&timeout_ms) {
            return Err(ApiError::bad_request(format!(
                "timeout_ms={timeout_ms}: it goes from {least} to {most}"
            )));
        }
        let place = state.queries.place(&tenant.id).ok_or_else(|| ApiError {
            retry_after_s: Some(1),
            ..ApiError::new(
                ErrorCode::RateLimited,
                "as many questions of this tenant are worked on as may be at once; ask again in a second",
            )
        })?;
        let time = Duration::from_millis(timeout_ms);
        let limits = QueryLimits { time, ..QueryLimits::default() };
        let now = tenant.incidents.clock.now();
        let question = Question { sql, only: request.sites, limits, progress, now };
        Ok(Self { question, tenant: tenant.id.clone(), _place: place })
    }

    async fn answer(self, state: &Arc<NodeState>) -> Result<QueryAnswer, ApiError> {
        let started = std::time::Instant::now();
        let sites = state.query_sites(&self.tenant);
        let engine = state.engine(&self.tenant).map_err(refused)?;
        let asked = engine.ask(state.query_place(), sites, self.question);
        let answer = asked.await.map_err(refused)?;
        let columns = answer.schema.fields().iter().map(|field| ColumnView {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
        });
        let rows = answer.rows();
        let missing = |place: &PlaceReport| {
            matches!(place.state, PlaceState::Late | PlaceState::Failed) || place.missing.is_some()
        };
        Ok(QueryAnswer {
            columns: columns.collect(),
            rows,
            cut: answer.cut,
            complete: !answer.places.iter().any(missing),
            sites: answer.places.into_iter().map(asked_site).collect(),
            approximations: answer
                .approximations
                .into_iter()
                .map(|a| ApproximationView {
                    method: a.method,
                    at_most: a.at_most,
                    relative: a.relative,
                    text: a.text,
                })
                .collect(),
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

fn sql_of(request: &QueryRequest) -> Result<String, ApiError> {
    match (&request.sql, &request.name) {
        (Some(sql), None) => Ok(sql.clone()),
        (None, Some(name)) => {
            let known = NAMED.iter().find(|(known, ..)| known == name);
            known.map(|(_, _, sql)| (*sql).to_owned()).ok_or_else(|| {
                let names: Vec<&str> = NAMED.iter().map(|(name, ..)| *name).collect();
                ApiError::not_found(format!(
                    "no question is called {name}; there are {}",
                    names.join(", ")
                ))
            })
        }
        _ => Err(ApiError::bad_request("give sql or name, and not both")),
    }
}

pub(super) fn refused(error: QueryError) -> ApiError {
    let again_s = match &error {
        QueryError::Busy { again_s, .. } => Some(*again_s),
        _ => None,
    };
    let code = match &error {
        QueryError::Busy { .. } => ErrorCode::RateLimited,
        QueryError::Refused(_) | QueryError::Invalid(_) => ErrorCode::BadRequest,
        QueryError::TooMuch(_) => ErrorCode::Validation,
        QueryError::Timeout(_) => ErrorCode::Unavailable,
        QueryError::Failed(_) => ErrorCode::Internal,
    };
    ApiError { retry_after_s: again_s, ..ApiError::new(code, error.to_string()) }
}

pub(super) fn approximation(of: holm_query::Approximation) -> ApproximationView {
    ApproximationView {
        method: of.method,
        at_most: of.at_most,
        relative: of.relative,
        text: of.text,
    }
}

pub(super) fn asked_site(report: holm_query::PlaceReport) -> AskedSite {
    let state = match report.state {
        PlaceState::Asked => "asked",
        PlaceState::Answered => "answered",
        PlaceState::Late => "late",
        PlaceState::Failed => "failed",
    };
    AskedSite {
        site: report.place.site,
        node: report.place.node.to_string(),
        state: state.to_owned(),
        rows: report.rows,
        bytes: report.bytes,
        took_ms: report.took_ms,
        error: report.error,
        missing: report.missing,
    }
}

/// A table that can be asked.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct TableView {
    pub(crate) name: String,
    pub(crate) columns: Vec<ColumnView>,
    /// Rows of it at this site.
    pub(crate) rows: u64,
    /// Bytes of its files at this site.
    pub(crate) bytes: u64,
    /// The time of its oldest row in a file here.
    pub(crate) oldest: Option<Timestamp>,
    /// Rows dropped here since the node started: too old, over a bound of bytes, for room on a full disk.
    pub(crate) dropped_age: u64,
    pub(crate) dropped_quota: u64,
    pub(crate) dropped_disk_full: u64,
    /// Most bytes of it at this site; the bound of all tables together may be reached before.
    pub(crate) max_bytes: u64,
    /// Longest time that its rows are kept here, in seconds.
    pub(crate) max_age_s: u64,
}

/// A question that is known by name.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct NamedQuery {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) sql: String,
}

/// What can be asked.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct QueryTables {
    pub(crate) tables: Vec<TableView>,
    pub(crate) named: Vec<NamedQuery>,
}

/// The tables that can be asked, with their columns, and the questions that are known by name.
#[utoipa::path(
    get, path = "/v1/query/tables", tag = "events",
    responses((status = 200, body = QueryTables), (status = 401, body = ErrorBody))
)]
pub(crate) async fn tables(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<QueryTables>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let engine = state.engine(&tenant.id).map_err(refused)?;
    let stats = tenant.rows.store.table_stats();
    let tables = engine.describe().into_iter().map(|(name, columns)| {
        let stats = stats.get(&name).cloned().unwrap_or_default();
        let limits = tenant.rows.store.limits().of(&name);
        TableView {
            max_bytes: limits.max_bytes,
            max_age_s: limits.max_age_ms / 1_000,
            columns: columns
                .into_iter()
                .map(|(name, data_type)| ColumnView { name, data_type })
                .collect(),
            rows: stats.rows,
            bytes: stats.bytes,
            oldest: stats.oldest.map(Timestamp),
            dropped_age: stats.dropped_age,
            dropped_quota: stats.dropped_quota,
            dropped_disk_full: stats.dropped_disk_full,
            name,
        }
    });
    let named = NAMED.iter().map(|(name, text, sql)| NamedQuery {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
        sql: (*sql).to_owned(),
    });
    Ok(Json(QueryTables { tables: tables.collect(), named: named.collect() }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// The table.
    table: String,
    /// From this moment on: RFC 3339, or milliseconds since 1970.
    since: Option<String>,
    /// Up to this moment.
    until: Option<String>,
}

/// The rows of a table at this site as a plain Parquet file, for any reader. Whole files of rows are
/// exported that touch the time asked for.
#[utoipa::path(
    get, path = "/v1/events/export", operation_id = "export_events", tag = "events", params(EventsQuery),
    responses(
        (status = 200, description = "a Parquet file", content((String = "application/vnd.apache.parquet"))),
        (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn export(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Query(query): Query<EventsQuery>,
) -> Result<Response, ApiError> {
    let tenant = state.tenant(&caller)?;
    let place = state.questions.export()?;
    let moment = |name: &str, text: &Option<String>, otherwise| match text {
        None => Ok(otherwise),
        Some(text) => Timestamp::parse(text)
            .map(|at| at.0)
            .ok_or_else(|| ApiError::bad_request(format!("{name}={text}: not a time"))),
    };
    let since = moment("since", &query.since, Millis(0))?;
    let until = moment("until", &query.until, Millis(u64::MAX))?;
    let folder = state.layout.dir().join("run").join("export");
    let folder = folder.join(state.next_request_id());
    let table = query.table.clone();
    // Read from then on by its handle alone: nothing plain stays on the disk.
    let file = tokio::task::spawn_blocking(move || {
        let exported = tenant.rows.store.export(&folder, &[table], since, until);
        let file = exported.and_then(|exported| {
            let Some(first) = exported.first() else { return Ok(None) };
            let failed = |error: std::io::Error| EventError::Export {
                path: first.path.clone(),
                reason: error.to_string(),
            };
            std::fs::File::open(&first.path).map(Some).map_err(failed)
        });
        // What cannot be removed now is removed with the folder `run` by whoever cleans it.
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "an export could not be removed");
        }
        file
    });
    let file = file.await.map_err(ApiError::internal)?.map_err(|error| match error {
        EventError::NoTable(_) => ApiError::not_found(error.to_string()),
        other => ApiError::internal(other),
    })?;
    let file = file.ok_or_else(|| {
        ApiError::not_found(format!("table {} has no rows of that time here", query.table))
    })?;
    let chunks = futures::stream::unfold((Some(file), place), |(file, place)| async move {
        let mut file = file?;
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = file.read(&mut chunk)?;
            chunk.truncate(read);
            Ok::<_, std::io::Error>((file, Bytes::from(chunk)))
        });
        match read.await.map_err(std::io::Error::other).and_then(|read| read) {
            Ok((_, chunk)) if chunk.is_empty() => None,
            Ok((file, chunk)) => Some((Ok(chunk), (Some(file), place))),
            Err(error) => Some((Err(error), (None, place))),
        }
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let kind = HeaderValue::from_static("application/vnd.apache.parquet");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
