//! `GET /v1/flows…`: what questions about flows have in common, the largest groups.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use holm_flow::ask::{
    Cell, DIMENSIONS, Dimension, FIELDS, Filter, Metric, Scope, dedup_sql, dedup_total_sql,
    top_sql, total_sql,
};
use holm_model::{Millis, SiteId};
use holm_plane::PlaneState;
use holm_query::{PlaceState, QueryLimits, Question};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody, ErrorCode};
use super::flows_types::{
    FlowDimension, FlowField, FlowGroup, FlowKeyPart, FlowLanguage, FlowStanding, FlowSums, FlowTop,
};
use super::params::{Given, When, moment, within};
use super::query::{ApproximationView, AskedSite, approximation, asked_site, refused};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState, Tenant};

/// Longest window.
const MAX_WINDOW: Duration = Duration::from_secs(400 * 24 * 3_600);
/// Most dimensions of one question.
const MAX_DIMENSIONS: usize = 5;
/// Most rows that one answer is made of: groups by time.
const MAX_FOUND: usize = 250_000;

/// The parameters of a question about flows: its own, and then those of the window that it is about. (A query
/// string cannot be read into flattened structs.)
macro_rules! flow_query {
    ($name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Debug, Deserialize, IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$meta])* $field: $type,)*
            /// How long, up to `to`: such as `15m`, `1h` (otherwise), `7d`.
            window: Option<String>,
            /// Where the window begins instead: RFC 3339, or milliseconds since 1970.
            #[param(value_type = Option<String>)]
            from: Option<When>,
            /// Where it ends; now otherwise.
            #[param(value_type = Option<String>)]
            to: Option<When>,
            /// Which flows, such as `src = 10.0.0.0/8 and dst_port in (80, 443)`; docs/flow.md has the language.
            filter: Option<String>,
            /// Only these sites; may be given again.
            #[serde(default)]
            #[param(value_type = Vec<String>)]
            site: Vec<SiteId>,
            /// Longest time in ms: 100 to 50,000; 20,000 otherwise.
            timeout_ms: Option<u64>,
        }
    };
}

pub(super) use flow_query;

/// The window, the sites and the filter of a question about flows.
#[derive(Debug)]
pub(super) struct FlowWindow {
    window: Option<String>,
    from: Option<When>,
    to: Option<When>,
    filter: Option<String>,
    site: Vec<SiteId>,
    timeout_ms: Option<u64>,
}

/// What one request asks: where, until when, and what it was told so far.
pub(super) struct Asking {
    state: Arc<NodeState>,
    tenant: Arc<Tenant>,
    sites: Vec<SiteId>,
    pub(super) from: Millis,
    pub(super) to: Millis,
    pub(super) filter: Filter,
    started: Instant,
    time: Duration,
    complete: bool,
    asked: BTreeMap<(String, String), AskedSite>,
    approximations: Vec<ApproximationView>,
    _place: OwnedSemaphorePermit,
}

/// A row of an answer: values by column.
pub(super) struct Found {
    names: Arc<Vec<String>>,
    values: Vec<Value>,
}

impl Found {
    /// The values in the order of the columns.
    pub(super) fn into_values(self) -> Vec<Value> {
        self.values
    }

    pub(super) fn value(&self, name: &str) -> &Value {
        let index = self.names.iter().position(|known| known == name);
        index.and_then(|index| self.values.get(index)).unwrap_or(&Value::Null)
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        let value = self.value(name);
        value.as_u64().or_else(|| value.as_f64().map(|n| n.max(0.0) as u64)).unwrap_or(0)
    }

    pub(super) fn number(&self, name: &str) -> f64 {
        self.value(name).as_f64().unwrap_or(0.0)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).as_str()
    }
}

pub(super) fn busy() -> ApiError {
    ApiError {
        retry_after_s: Some(1),
        ..ApiError::new(
            ErrorCode::RateLimited,
            "as many questions of this tenant are worked on as may be at once; ask again in a second",
        )
    }
}

impl FlowWindow {
    pub(super) const fn new(
        window: Option<String>,
        from: Option<When>,
        to: Option<When>,
        filter: Option<String>,
        site: Vec<SiteId>,
        timeout_ms: Option<u64>,
    ) -> Self {
        Self { window, from, to, filter, site, timeout_ms }
    }

    /// Begins to ask.
    pub(super) fn asking(
        self,
        state: &Arc<NodeState>,
        caller: &Caller,
    ) -> Result<Asking, ApiError> {
        let tenant = state.tenant(caller)?;
        let to = moment("to", self.to)?.unwrap_or_else(Millis::now);
        let from = match (self.from, &self.window) {
            (Some(_), Some(_)) => {
                return Err(ApiError::bad_request("give window or from, and not both"));
            }
            (Some(When(from)), None) => from,
            (None, window) => {
                let text = window.as_deref().unwrap_or("1h");
                let window = humantime::parse_duration(text)
                    .map_err(|error| ApiError::bad_request(format!("window={text}: {error}")))?;
                Millis(to.0.saturating_sub(u64::try_from(window.as_millis()).unwrap_or(u64::MAX)))
            }
        };
        let longest = u64::try_from(MAX_WINDOW.as_millis()).unwrap_or(u64::MAX);
        if from >= to || to.since(from) > longest {
            return Err(ApiError::bad_request(format!(
                "the window from {} to {} is empty, or longer than 400 days",
                Timestamp(from),
                Timestamp(to)
            )));
        }
        let timeout_ms = self.timeout_ms.unwrap_or(20_000);
        if !(100..=50_000).contains(&timeout_ms) {
            return Err(ApiError::bad_request(format!(
                "timeout_ms={timeout_ms}: it goes from 100 to 50,000"
            )));
        }
        let filter = Filter::parse(self.filter.as_deref().unwrap_or_default())
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        let place = state.queries.place(&tenant.id).ok_or_else(busy)?;
        Ok(Asking {
            state: Arc::clone(state),
            tenant,
            sites: self.site,
            from,
            to,
            filter,
            started: Instant::now(),
            time: Duration::from_millis(timeout_ms),
            complete: true,
            asked: BTreeMap::new(),
            approximations: Vec::new(),
            _place: place,
        })
    }
}

fn ns(at: Millis) -> i64 {
    i64::try_from(at.0.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}

impl Asking {
    /// Flows that were received in the window.
    pub(super) fn scope(&self) -> Scope {
        Scope { from_ns: ns(self.from), to_ns: ns(self.to), filter: self.filter.clone() }
    }

    /// Puts one question to the sites.
    pub(super) async fn ask(&mut self, sql: String) -> Result<Vec<Found>, ApiError> {
        let left = self.time.saturating_sub(self.started.elapsed());
        let time = left.max(Duration::from_millis(100));
        let question = Question {
            sql,
            only: (!self.sites.is_empty()).then(|| self.sites.clone()),
            limits: QueryLimits { time, rows: MAX_FOUND, ..QueryLimits::default() },
            progress: None,
            now: self.tenant.incidents.clock.now(),
        };
        let engine = self.state.engine(&self.tenant.id).map_err(refused)?;
        let sites = self.state.query_sites(&self.tenant.id);
        let answer = engine.ask(self.state.query_place(), sites, question).await;
        let answer = answer.map_err(refused)?;
        if answer.cut {
            return Err(ApiError::new(
                ErrorCode::Validation,
                format!(
                    "the answer is made of more than {MAX_FOUND} groups: ask for a shorter window, longer buckets, or fewer dimensions"
                ),
            ));
        }
        let names = answer.schema.fields().iter().map(|field| field.name().clone()).collect();
        let (names, rows) = (Arc::new(names), answer.rows());
        for report in answer.places {
            self.complete &= !matches!(report.state, PlaceState::Late | PlaceState::Failed);
            self.complete &= report.missing.is_none();
            let view = asked_site(report);
            let key = (view.site.to_string(), view.node.clone());
            match self.asked.get_mut(&key) {
                // Of several questions the worst that befell it, and all that it did.
                Some(known) => {
                    known.rows += view.rows;
                    known.bytes += view.bytes;
                    known.took_ms += view.took_ms;
                    if view.error.is_some() {
                        (known.state, known.error) = (view.state, view.error);
                    }
                    known.missing = view.missing.or(known.missing.take());
                }
                None => drop(self.asked.insert(key, view)),
            }
        }
        self.approximations.extend(answer.approximations.into_iter().map(approximation));
        let found = |values| Found { names: Arc::clone(&names), values };
        Ok(rows.into_iter().map(found).collect())
    }

    /// Whether this node collects flows of the tenant, and why not, or why not as it should. Its plane works for the
    /// first tenant of the node.
    fn collector(&self) -> (bool, String) {
        let health = {
            let planes = self.state.planes();
            planes.iter().find(|plane| plane.name() == "flow").map(|plane| plane.health())
        };
        let first = self.state.config.node.tenants.first();
        match health {
            Some(health) if health.state == PlaneState::Off => (false, health.reason),
            Some(health) if first == Some(&self.tenant.id) => (true, health.reason),
            Some(_) => (
                false,
                format!(
                    "this node collects flows of another tenant; send those of {0} to a node whose node.tenants begins with {0}",
                    self.tenant.id
                ),
            ),
            None => (false, "this node has no flow plane for the tenant".to_owned()),
        }
    }

    /// What the answer stands on.
    pub(super) fn standing(self) -> FlowStanding {
        let (running, reason) = self.collector();
        FlowStanding {
            from: Timestamp(self.from),
            to: Timestamp(self.to),
            collector_running: running,
            collector_reason: reason,
            complete: self.complete,
            sites: self.asked.into_values().collect(),
            approximations: self.approximations,
            took_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// The dimensions of those names.
pub(super) fn dimensions(
    names: &[String],
    otherwise: &'static str,
) -> Result<Vec<&'static Dimension>, ApiError> {
    let names = if names.is_empty() { vec![otherwise.to_owned()] } else { names.to_vec() };
    if names.len() > MAX_DIMENSIONS {
        return Err(ApiError::bad_request(format!("by: {MAX_DIMENSIONS} dimensions at most")));
    }
    let mut found: Vec<&'static Dimension> = Vec::new();
    for name in &names {
        let dimension = Dimension::of(name).ok_or_else(|| {
            let known: Vec<&str> = DIMENSIONS.iter().map(|dimension| dimension.name).collect();
            let name: String = name.chars().take(40).collect();
            ApiError::bad_request(format!("by={name}: there are {}", known.join(", ")))
        })?;
        // The same column twice would be no key.
        let twice =
            found.iter().any(|known| known.columns.iter().any(|c| dimension.columns.contains(c)));
        if twice {
            return Err(ApiError::bad_request(format!(
                "by: {name} has a column that another dimension has; leave one out"
            )));
        }
        found.push(dimension);
    }
    Ok(found)
}

pub(super) fn metric(name: Option<&str>) -> Result<(Metric, &'static str), ApiError> {
    Ok(match name.unwrap_or("bytes") {
        "bytes" => (Metric::Bytes, "bytes"),
        "packets" => (Metric::Packets, "packets"),
        "flows" => (Metric::Flows, "flows"),
        _ => return Err(ApiError::bad_request("metric: it is bytes, packets or flows")),
    })
}

/// The key of a group: from `k0`, `k1`, …, and the names of `n0`, ….
pub(super) fn key(by: &[&Dimension], row: &Found) -> Vec<FlowKeyPart> {
    let (mut parts, mut labels) = (Vec::new(), 0);
    for dimension in by {
        for field in dimension.fields {
            let value = row.value(&format!("k{}", parts.len())).clone();
            parts.push(FlowKeyPart { field: (*field).to_owned(), value, name: None });
        }
        if dimension.label.is_some() {
            let name = row.text(&format!("n{labels}")).map(str::to_owned);
            labels += 1;
            if let Some(last) = parts.last_mut() {
                last.name = name;
            }
        }
    }
    parts
}

/// A key as cells for another question.
pub(super) fn cells(by: &[&Dimension], key: &[FlowKeyPart]) -> Vec<Cell> {
    let columns = by.iter().flat_map(|dimension| dimension.columns);
    let cell = |(column, part): (&&str, &FlowKeyPart)| match &part.value {
        Value::Number(number) => Cell::Number(number.as_u64().unwrap_or(0)),
        Value::String(text) if column.ends_with(".address") => {
            text.parse().map_or(Cell::Null, Cell::Address)
        }
        Value::String(text) => Cell::Text(text.clone()),
        _ => Cell::Null,
    };
    columns.zip(key).map(cell).collect()
}

pub(super) fn sums(row: &Found) -> FlowSums {
    FlowSums { bytes: row.count("bytes"), packets: row.count("packets"), flows: row.count("flows") }
}

/// All that the filter holds for, and how many records of it have no sampling rate.
pub(super) async fn total(asking: &mut Asking) -> Result<(FlowSums, u64), ApiError> {
    let rows = asking.ask(total_sql(&asking.scope())).await?;
    Ok(rows.first().map_or((FlowSums::default(), 0), |row| (sums(row), row.count("unscaled"))))
}

flow_query!(
    FlowTopQuery {
        /// Dimensions: `src` (otherwise), `dst`, `pair`, `src_as`, `dst_as`, `in_if`, `exporter`, `site`, …
        /// (`GET /v1/flows/dimensions` lists them); several make combinations.
        #[serde(default)]
        by: Vec<String>,
        /// `bytes` (otherwise), `packets` or `flows`: what the groups are ordered by.
        metric: Option<String>,
        /// How many: 1 to 1,000; 10 otherwise.
        limit: Option<usize>,
        /// Also the same of the window before.
        #[serde(default)]
        previous: bool,
        /// Count a flow that several exporters saw once.
        #[serde(default)]
        dedup: bool,
    }
);

/// How a flow that several exporters saw is counted once.
const DEDUP: &str = "by addresses, ports and protocol over the whole window: of each exporter and direction the one that \
    counted most; a flow that changed its way within the window counts less than it had, and exporters that sample count \
    what their samples say";

/// The largest groups of flows by any dimensions, over all sites: by when they were received, with
/// what sampled counts stand for.
#[utoipa::path(
    get, path = "/v1/flows/top", tag = "flows", params(FlowTopQuery),
    responses((status = 200, body = FlowTop), (status = 400, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody))
)]
pub(crate) async fn top(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<FlowTopQuery>,
) -> Result<Json<FlowTop>, ApiError> {
    let FlowTopQuery {
        by,
        metric: named,
        limit,
        previous,
        dedup,
        window,
        from,
        to,
        filter,
        site,
        timeout_ms,
    } = query;
    let by = dimensions(&by, "src")?;
    let (metric, metric_name) = metric(named.as_deref())?;
    let limit = within("limit", limit.unwrap_or(10), 1_000)?;
    if dedup && previous {
        return Err(ApiError::bad_request(
            "previous and dedup do not go together; ask for each window",
        ));
    }
    if let Some(local) = by.iter().find(|dimension| dedup && !dimension.of_flow) {
        return Err(ApiError::bad_request(format!(
            "dedup: exporters do not say the same of {}; leave it out of by",
            local.name
        )));
    }
    let window = FlowWindow::new(window, from, to, filter, site, timeout_ms);
    let mut asking = window.asking(&state, &caller)?;
    let scope = asking.scope();
    let before_ns = previous.then(|| scope.from_ns - (scope.to_ns - scope.from_ns));
    let sql = match dedup {
        true => dedup_sql(&scope, &by, metric, limit),
        false => top_sql(&scope, &by, metric, limit, before_ns),
    };
    let rows = asking.ask(sql).await?;
    let (mut total, unscaled) = total(&mut asking).await?;
    if dedup {
        let rows = asking.ask(dedup_total_sql(&asking.scope())).await?;
        total = rows.first().map(sums).unwrap_or_default();
    }
    let all = match metric {
        Metric::Bytes => total.bytes,
        Metric::Packets => total.packets,
        Metric::Flows => total.flows,
    };
    let group = |row: &Found| {
        let sums = sums(row);
        FlowGroup {
            key: key(&by, row),
            bytes: sums.bytes,
            packets: sums.packets,
            flows: sums.flows,
            share: (all > 0).then(|| row.number(metric_name) / all as f64),
            previous: previous.then(|| FlowSums {
                bytes: row.count("bytes_before"),
                packets: row.count("packets_before"),
                flows: row.count("flows_before"),
            }),
        }
    };
    let items = rows.iter().map(group).collect();
    Ok(Json(FlowTop {
        by: by.iter().map(|dimension| dimension.name.to_owned()).collect(),
        metric: metric_name.to_owned(),
        dedup: dedup.then(|| DEDUP.to_owned()),
        total,
        unscaled,
        items,
        stands_on: asking.standing(),
    }))
}

/// What flows can be grouped and filtered by.
#[utoipa::path(
    get, path = "/v1/flows/dimensions", tag = "flows",
    responses((status = 200, body = FlowLanguage), (status = 401, body = ErrorBody))
)]
pub(crate) async fn language(_: Caller) -> Json<FlowLanguage> {
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    let dimension = |dimension: &Dimension| FlowDimension {
        name: dimension.name.to_owned(),
        text: dimension.text.to_owned(),
        fields: texts(dimension.fields),
        of_flow: dimension.of_flow,
    };
    let field = |field: &holm_flow::ask::Field| FlowField {
        name: field.name.to_owned(),
        text: field.text.to_owned(),
        operators: texts(field.operators()),
    };
    Json(FlowLanguage {
        dimensions: DIMENSIONS.iter().map(dimension).collect(),
        fields: FIELDS.iter().map(field).collect(),
    })
}
