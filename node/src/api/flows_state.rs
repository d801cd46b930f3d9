//! `GET /v1/flows/exporters`, `/anomalies` and `/complete`: who exports and how that goes, what is not
//! as usual, and how a filter may go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use holm_flow::ask::{Dimension, Expected, Field, FieldKind, Filter, Metric, complete, top_sql};
use holm_model::{Millis, SiteId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::flows::{FlowWindow, Found};
use super::flows_types::{
    FlowAnomalies, FlowAnomaly, FlowCollector, FlowCompletion, FlowDetector, FlowExporter,
    FlowExporters, FlowFilterError, FlowWord,
};
use super::params::{Given, When, within};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

/// Who says something every half minute and did not for so long is silent.
const SILENT_MS: u64 = 120_000;
/// Changes of what is unusual that one answer is made of, the latest.
const MAX_CHANGES: usize = 10_000;
/// A detector says again what is not as usual every five minutes, and judges a minute three minutes later: what was not
/// said again for so long does not hold any more, or its detector ended.
const LAPSED_MS: u64 = 12 * 60_000;
/// Words of a completion.
const MAX_WORDS: usize = 40;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowStateQuery {
    /// How long, up to `to`: such as `15m`, `1h` (otherwise), `7d`.
    window: Option<String>,
    #[param(value_type = Option<String>)]
    from: Option<When>,
    #[param(value_type = Option<String>)]
    to: Option<When>,
    /// Only these sites; may be given again.
    #[serde(default)]
    #[param(value_type = Vec<String>)]
    site: Vec<SiteId>,
    /// How many: 1 to 10,000; 1,000 otherwise. `cut` says whether there are more.
    limit: Option<usize>,
    timeout_ms: Option<u64>,
}

impl FlowStateQuery {
    fn window(self) -> (FlowWindow, Option<usize>) {
        let Self { window, from, to, site, limit, timeout_ms } = self;
        (FlowWindow::new(window, from, to, None, site, timeout_ms), limit)
    }
}

fn between(from: Millis, to: Millis) -> String {
    format!(
        "\"time\" >= CAST('{}' AS TIMESTAMP WITH TIME ZONE) AND \"time\" < CAST('{}' AS TIMESTAMP WITH TIME ZONE)",
        Timestamp(from),
        Timestamp(to)
    )
}

fn at(row: &Found, name: &str) -> Timestamp {
    let value = row.value(name);
    let text = value.as_str().and_then(Timestamp::parse);
    text.unwrap_or_else(|| Timestamp(Millis(value.as_u64().unwrap_or(0))))
}

/// The exporters of all sites: when each was heard, what it sent in the window and what of it was lost.
#[utoipa::path(
    get, path = "/v1/flows/exporters", tag = "flows", params(FlowStateQuery),
    responses((status = 200, body = FlowExporters), (status = 400, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody))
)]
pub(crate) async fn exporters(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<FlowStateQuery>,
) -> Result<Json<FlowExporters>, ApiError> {
    let (window, limit) = query.window();
    let limit = within("limit", limit.unwrap_or(1_000), 10_000)?;
    let mut asking = window.asking(&state, &caller)?;
    let counters = holm_flow::exporter_counters();
    let summed: Vec<String> =
        counters.iter().map(|name| format!("sum({name}) AS {name}")).collect();
    let sql = format!(
        "SELECT site, flow.exporter.address AS address, flow.exporter.port AS port, max(heard) AS heard, \
         max(flow.exporter.name) AS name, max(templates) AS known, max(templates_waiting) FILTER (WHERE {}) AS waiting, {} \
         FROM flow_exporters WHERE {} GROUP BY site, flow.exporter.address, flow.exporter.port \
         ORDER BY site, address, port LIMIT {}",
        // Those that are waited for now; exporters are written down every half minute.
        between(asking.to - SILENT_MS, asking.to),
        summed.join(", "),
        between(asking.from, asking.to),
        limit + 1
    );
    let rows = asking.ask(sql).await?;
    let to = asking.to;
    let item = |row: &Found| {
        let counters: BTreeMap<String, u64> = counters
            .iter()
            .map(|name| ((*name).to_owned(), row.count(name)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let heard = Millis(row.count("heard"));
        let (state, reasons) = judged(&counters, to.since(heard));
        FlowExporter {
            site: row.text("site").unwrap_or_default().to_owned(),
            address: row.text("address").unwrap_or_default().to_owned(),
            port: row.count("port"),
            name: row.text("name").map(str::to_owned),
            heard: (heard.0 > 0).then_some(Timestamp(heard)),
            state: state.to_owned(),
            reasons,
            templates: row.count("known"),
            templates_waiting: row.count("waiting"),
            counters,
        }
    };
    let cut = rows.len() > limit;
    let items: Vec<FlowExporter> = rows.iter().take(limit).map(item).collect();
    let sql = format!(
        "SELECT site, max(\"time\") AS heard, sum(kernel_drops) AS drops FROM flow_collectors WHERE {} GROUP BY site LIMIT 10000",
        between(asking.from, asking.to)
    );
    let rows = asking.ask(sql).await?;
    let collector = |row: &Found| {
        let heard = at(row, "heard");
        FlowCollector {
            site: row.text("site").unwrap_or_default().to_owned(),
            running: to.since(heard.0) <= SILENT_MS,
            heard,
            kernel_drops: row.count("drops"),
        }
    };
    let mut collectors: Vec<FlowCollector> = rows.iter().map(collector).collect();
    collectors.sort_by(|a, b| a.site.cmp(&b.site));
    Ok(Json(FlowExporters { collectors, items, cut, stands_on: asking.standing() }))
}

/// The state of an exporter by what was counted, the worst first, and the reasons in words.
fn judged(counters: &BTreeMap<String, u64>, silent_ms: u64) -> (&'static str, Vec<String>) {
    let of = |names: &[&str]| -> u64 { names.iter().filter_map(|name| counters.get(*name)).sum() };
    let lost = of(&["lost_datagrams", "lost_records"]);
    let refused = of(&["templates_refused", "names_refused", "domains_refused", "rows_refused"]);
    let waiting = of(&["sets_before_template"]).saturating_sub(of(&["sets_replayed"]));
    let broken = of(&["truncated", "unknown_sets"]);
    let mut found = Vec::new();
    if silent_ms > SILENT_MS {
        let text = format!(
            "nothing came from it for {} s; look at the exporter and the way from it",
            silent_ms / 1_000
        );
        found.push(("silent", text));
    }
    if lost > 0 {
        let text = format!(
            "{lost} datagrams or records that it sent did not come; look at kernel_drops, and at the way from it"
        );
        found.push(("losing", text));
    }
    if waiting > 0 {
        let text = format!(
            "{waiting} data sets came whose template did not; let it send templates more often, once a minute say"
        );
        found.push(("waiting", text));
    }
    let ahead = of(&["times_ahead"]);
    if ahead > 0 {
        let text = format!(
            "{ahead} times of records lie in the future: its clock is ahead; set it by NTP (they count from when they were received)"
        );
        found.push(("clock_ahead", text));
    }
    if refused > 0 {
        let text = format!(
            "{refused} templates, names, domains or rows were over a bound; the counters say which"
        );
        found.push(("refused", text));
    }
    if broken > 0 {
        let text = format!(
            "{broken} messages or sets were not built as they should be; it may have an error"
        );
        found.push(("broken", text));
    }
    let state = found.first().map_or("ok", |(state, _)| *state);
    (state, found.into_iter().map(|(_, text)| text).collect())
}

/// Traffic that is not as it used to be, of links, pairs and networks at all sites: and from how many of
/// them that can be said yet.
#[utoipa::path(
    get, path = "/v1/flows/anomalies", tag = "flows", params(FlowStateQuery),
    responses((status = 200, body = FlowAnomalies), (status = 400, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody))
)]
pub(crate) async fn anomalies(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<FlowStateQuery>,
) -> Result<Json<FlowAnomalies>, ApiError> {
    let (window, limit) = query.window();
    let limit = within("limit", limit.unwrap_or(1_000), 10_000)?;
    let mut asking = window.asking(&state, &caller)?;
    let sql = format!(
        "SELECT site, \"time\", kind, key, state, direction, current_bps, expected_bps, sigma, baseline, since \
         FROM flow_anomalies WHERE {} ORDER BY \"time\" DESC LIMIT {MAX_CHANGES}",
        // What holds at the end of the window was said so shortly before it.
        between(asking.from.min(asking.to - LAPSED_MS), asking.to)
    );
    let rows = asking.ask(sql).await?;
    let item = |row: &Found| {
        let text = |name| row.text(name).unwrap_or_default().to_owned();
        FlowAnomaly {
            site: text("site"),
            kind: text("kind"),
            key: text("key"),
            state: text("state"),
            direction: text("direction"),
            current_bps: row.number("current_bps"),
            expected_bps: row.number("expected_bps"),
            sigma: row.number("sigma"),
            baseline: text("baseline"),
            at: at(row, "time"),
            since: at(row, "since"),
        }
    };
    // The latest word on each.
    let mut latest: BTreeMap<(String, String, String), FlowAnomaly> = BTreeMap::new();
    for row in &rows {
        let item = item(row);
        let key = (item.site.clone(), item.kind.clone(), item.key.clone());
        latest.entry(key).or_insert(item);
    }
    let (from, to) = (asking.from, asking.to);
    let mut items: Vec<FlowAnomaly> = latest
        .into_values()
        .map(|item| match item.state == "raised" && to.since(item.at.0) > LAPSED_MS {
            true => FlowAnomaly { state: "lapsed".to_owned(), ..item },
            false => item,
        })
        .filter(|item| item.state == "raised" || item.at.0 >= from)
        .collect();
    items.sort_by_key(|item| (item.state != "raised", std::cmp::Reverse(item.at.0)));
    let cut = items.len() > limit || rows.len() >= MAX_CHANGES;
    items.truncate(limit);
    let sql = format!(
        "SELECT site, \"time\", followed, warming, refused, skipped FROM flow_detectors WHERE {} ORDER BY \"time\" DESC LIMIT 10000",
        between(asking.from, asking.to)
    );
    let mut detectors: BTreeMap<String, FlowDetector> = BTreeMap::new();
    for row in asking.ask(sql).await? {
        let site = row.text("site").unwrap_or_default().to_owned();
        let heard = at(&row, "time");
        let detector = detectors.entry(site.clone()).or_insert(FlowDetector {
            site,
            running: asking.to.since(heard.0) <= SILENT_MS,
            heard,
            followed: row.count("followed"),
            warming: row.count("warming"),
            refused: 0,
            skipped: 0,
        });
        detector.refused += row.count("refused");
        detector.skipped += row.count("skipped");
    }
    let own = state.config.node.site.to_string();
    let detector_running = detectors.get(&own).is_some_and(|detector| detector.running);
    Ok(Json(FlowAnomalies {
        detector_running,
        cut,
        detectors: detectors.into_values().collect(),
        items,
        stands_on: asking.standing(),
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowCompleteQuery {
    /// The filter up to the cursor.
    #[serde(default)]
    filter: Option<String>,
}

/// How a filter may go on: fields, operators, and values that flows of the last hour had.
#[utoipa::path(
    get, path = "/v1/flows/complete", tag = "flows", params(FlowCompleteQuery),
    responses((status = 200, body = FlowCompletion), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody))
)]
pub(crate) async fn completion(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<FlowCompleteQuery>,
) -> Result<Json<FlowCompletion>, ApiError> {
    let text = query.filter.unwrap_or_default();
    let found = complete(&text);
    let error = Filter::parse(&text).err().map(|error| FlowFilterError {
        at: error.at,
        what: error.what,
        remedy: error.remedy,
    });
    let explained = |word: String| {
        let text = Field::of(&word).map_or("", |field| field.text).to_owned();
        FlowWord { word, text }
    };
    let mut words: Vec<FlowWord> = found.words.into_iter().map(explained).collect();
    let (expected, field) = match found.expected {
        Expected::Field => ("field", None),
        Expected::Operator(field) => ("operator", Some(field)),
        Expected::Value(field) => ("value", Some(field)),
        Expected::Joint => ("joint", None),
    };
    if let (Expected::Value(field), true) = (&found.expected, words.is_empty()) {
        words = values(field, &found.begun, &state, &caller).await?;
    }
    words.truncate(MAX_WORDS);
    Ok(Json(FlowCompletion {
        expected: expected.to_owned(),
        field: field.map(|field| field.name.to_owned()),
        from: found.from,
        words,
        error,
    }))
}

/// Values of a field that the last hour had most of.
async fn values(
    field: &Field,
    begun: &str,
    state: &Arc<NodeState>,
    caller: &Caller,
) -> Result<Vec<FlowWord>, ApiError> {
    // Of a field that means either side, the senders'.
    let names = [field.name.to_owned(), format!("src_{}", field.name)];
    let interface = match field.kind {
        FieldKind::Interface => {
            Dimension::of(if field.name == "out_if" { "out_if" } else { "in_if" })
        }
        _ => None,
    };
    let host = (field.name == "host").then(|| Dimension::of("src")).flatten();
    let dimension = names.iter().find_map(|name| Dimension::of_field(name)).or(interface).or(host);
    let Some(dimension) = dimension else { return Ok(Vec::new()) };
    let window = FlowWindow::new(None, None, None, None, Vec::new(), Some(2_000));
    let mut asking = window.asking(state, caller)?;
    let rows =
        asking.ask(top_sql(&asking.scope(), &[dimension], Metric::Bytes, 1_000, None)).await?;
    let last = dimension.columns.len() - 1;
    let begun = begun.to_lowercase();
    let word = |row: &Found| {
        let value = row.value(&format!("k{last}"));
        let (plain, name) =
            (value.as_str().map_or_else(|| value.to_string(), str::to_owned), row.text("n0"));
        if value.is_null() {
            return None;
        }
        let fits = |text: &str| text.to_lowercase().starts_with(&begun);
        let hit = fits(&plain) || name.is_some_and(fits);
        let needs_quotes = !plain.chars().all(|c| c.is_alphanumeric() || "._:/-".contains(c));
        let quote = if plain.contains('"') { '\'' } else { '"' };
        let written = if needs_quotes { format!("{quote}{plain}{quote}") } else { plain };
        let name = name.map_or_else(String::new, |name| format!("{name}, "));
        hit.then(|| FlowWord { word: written, text: format!("{name}{} bytes", row.count("bytes")) })
    };
    let mut words: Vec<FlowWord> = rows.iter().filter_map(word).collect();
    let mut seen = std::collections::BTreeSet::new();
    words.retain(|word| seen.insert(word.word.clone()));
    Ok(words)
}
