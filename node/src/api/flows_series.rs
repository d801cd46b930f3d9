//! `GET /v1/flows/series`, `/sankey` and `/capacity`: flows over time and from here to there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use holm_flow::ask::{Metric, Scope, interfaces_sql, series_sql, top_sql, top_within_sql};
use holm_model::{Millis, SiteId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::flows::{
    Asking, FlowWindow, Found, cells, dimensions, flow_query, key, metric, sums, total,
};
use super::flows_types::{
    FlowCapacity, FlowInterface, FlowKeyPart, FlowLine, FlowSankey, FlowSeries, FlowSums,
    SankeyLink, SankeyNode,
};
use super::params::{Given, When, within};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

/// Most buckets of one answer.
const MAX_BUCKETS: u64 = 1_000;
/// Records that were received so much after the window may tell of it: exporters wait for a flow's end.
const LATER_MS: u64 = 30 * 60_000;

/// The buckets of a window.
struct Buckets {
    width_ms: u64,
    first: u64,
    count: usize,
    /// What of the first and last bucket lies in the window.
    from: Millis,
    to: Millis,
}

impl Buckets {
    /// As wide as asked for, otherwise a `parts`th of the window but `least_ms` at least. The window of
    /// `asking` is widened to whole buckets, as far as time has come: a flow counts in all of its bucket.
    fn of(
        asking: &mut Asking,
        asked: Option<&str>,
        parts: u64,
        least_ms: u64,
    ) -> Result<Self, ApiError> {
        let window = asking.to.since(asking.from);
        let width_ms = match asked {
            Some(text) => {
                let width = humantime::parse_duration(text)
                    .map_err(|error| ApiError::bad_request(format!("bucket={text}: {error}")))?;
                u64::try_from(width.as_millis()).unwrap_or(u64::MAX)
            }
            None => (window / parts).max(least_ms).next_multiple_of(1_000),
        };
        if width_ms < 1_000 || window / width_ms > MAX_BUCKETS {
            return Err(ApiError::bad_request(format!(
                "bucket: it is 1s at least, and the window has {MAX_BUCKETS} of them at most"
            )));
        }
        let first = asking.from.0 / width_ms;
        let last = asking.to.0.saturating_sub(1) / width_ms;
        let count = usize::try_from(last - first + 1).unwrap_or(0);
        asking.from = Millis(first * width_ms);
        asking.to = Millis(((last + 1) * width_ms).min(Millis::now().0)).max(asking.to);
        Ok(Self { width_ms, first, count, from: asking.from, to: asking.to })
    }

    fn begins(&self) -> Vec<Timestamp> {
        (0..self.count as u64)
            .map(|i| Timestamp(Millis((self.first + i) * self.width_ms)))
            .collect()
    }

    fn width_ns(&self) -> i64 {
        i64::try_from(self.width_ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
    }

    /// Seconds of a bucket that lie in the window.
    fn seconds(&self, index: usize) -> f64 {
        let begin = (self.first + index as u64) * self.width_ms;
        let (begin, end) = (begin.max(self.from.0), (begin + self.width_ms).min(self.to.0));
        end.saturating_sub(begin).max(1) as f64 / 1_000.0
    }

    /// Adds a spread sum: `head` in the first of its buckets, `tail` in the last, the rest between.
    fn add(&self, into: &mut [f64], row: &Found, [head, tail, all]: [&str; 3]) {
        let (b0, b1) = (row.number("b0"), row.number("b1"));
        let (head, tail, all) = (row.number(head), row.number(tail), row.number(all));
        let mut put = |bucket: f64, value: f64| {
            let index = bucket - self.first as f64;
            if (0.0..self.count as f64).contains(&index) {
                into[index as usize] += value;
            }
        };
        put(b0, head);
        if b1 > b0 {
            put(b1, tail);
            let between = b1 - b0 - 1.0;
            // Only what of it lies in the window is walked through.
            let begin = (b0 + 1.0).max(self.first as f64);
            let end = (b1 - 1.0).min(self.first as f64 + self.count as f64 - 1.0);
            let mut bucket = begin;
            while bucket <= end {
                put(bucket, (all - head - tail) / between);
                bucket += 1.0;
            }
        }
    }

    fn rates(&self, sums: &[f64], times: f64) -> Vec<f64> {
        sums.iter().enumerate().map(|(i, sum)| round(sum * times / self.seconds(i))).collect()
    }
}

/// Three places are enough of a rate.
fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// The scope of records that may have lasted into the window.
fn lasting(asking: &Asking) -> Scope {
    let scope = asking.scope();
    Scope { to_ns: scope.to_ns.saturating_add((LATER_MS * 1_000_000).cast_signed()), ..scope }
}

flow_query!(
    FlowSeriesQuery {
        /// Dimensions, as of `GET /v1/flows/top`; `src` otherwise.
        #[serde(default)]
        by: Vec<String>,
        /// `bytes` (otherwise), `packets` or `flows`.
        metric: Option<String>,
        /// How many groups: 1 to 50; 8 otherwise. All others are one.
        limit: Option<usize>,
        /// How wide the buckets are, such as `1m`; a sixtieth of the window otherwise.
        bucket: Option<String>,
    }
);

/// The largest groups of flows over time. A flow is spread evenly over the time that it lasted, in
/// the window or not; one that was received more than half an hour after it ended counts when it was received.
#[utoipa::path(
    get, path = "/v1/flows/series", tag = "flows", params(FlowSeriesQuery),
    responses((status = 200, body = FlowSeries), (status = 400, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody))
)]
pub(crate) async fn series(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<FlowSeriesQuery>,
) -> Result<Json<FlowSeries>, ApiError> {
    let FlowSeriesQuery {
        by,
        metric: named,
        limit,
        bucket,
        window,
        from,
        to,
        filter,
        site,
        timeout_ms,
    } = query;
    let by = dimensions(&by, "src")?;
    let (metric, metric_name) = metric(named.as_deref())?;
    let limit = within("limit", limit.unwrap_or(8), 50)?;
    let window = FlowWindow::new(window, from, to, filter, site, timeout_ms);
    let mut asking = window.asking(&state, &caller)?;
    let buckets = Buckets::of(&mut asking, bucket.as_deref(), 60, 1_000)?;
    let scope = lasting(&asking);
    let window = asking.scope();
    // By what of them lies in the window, as they are shown.
    let window = (window.from_ns, window.to_ns);
    let rows = asking.ask(top_within_sql(&scope, &by, metric, limit, window)).await?;
    let keys: Vec<Vec<FlowKeyPart>> = rows.iter().map(|row| key(&by, row)).collect();
    let asked: Vec<_> = keys.iter().map(|key| cells(&by, key)).collect();
    let rows = asking.ask(series_sql(&scope, &by, &asked, buckets.width_ns())).await?;
    let mut sums = vec![vec![0.0; buckets.count]; keys.len() + 1];
    for row in &rows {
        let group = row.value("g").as_i64().and_then(|g| usize::try_from(g).ok());
        let into = group.unwrap_or(keys.len()).min(keys.len());
        let into = &mut sums[into];
        match metric {
            Metric::Bytes => buckets.add(into, row, ["head", "tail", "bytes"]),
            Metric::Packets => buckets.add(into, row, ["head_packets", "tail_packets", "packets"]),
            Metric::Flows => {
                let index = row.number("b1") - buckets.first as f64;
                if (0.0..buckets.count as f64).contains(&index) {
                    into[index as usize] += row.number("flows");
                }
            }
        }
    }
    let (unit, values): (_, Vec<Vec<f64>>) = match metric {
        Metric::Bytes => ("bit/s", sums.iter().map(|sums| buckets.rates(sums, 8.0)).collect()),
        Metric::Packets => ("packet/s", sums.iter().map(|sums| buckets.rates(sums, 1.0)).collect()),
        Metric::Flows => ("flow", sums),
    };
    let mut values = values.into_iter();
    let series: Vec<FlowLine> = keys
        .into_iter()
        .zip(values.by_ref())
        .map(|(key, values)| FlowLine { key, values })
        .collect();
    Ok(Json(FlowSeries {
        by: by.iter().map(|dimension| dimension.name.to_owned()).collect(),
        metric: metric_name.to_owned(),
        unit: unit.to_owned(),
        bucket_ms: buckets.width_ms,
        buckets: buckets.begins(),
        series,
        other: values.next().unwrap_or_default(),
        stands_on: asking.standing(),
    }))
}

flow_query!(
    FlowSankeyQuery {
        /// Two to five dimensions in order, such as `src_as,in_if,dst_as`; `src,dst` otherwise.
        #[serde(default)]
        by: Vec<String>,
        /// `bytes` (otherwise), `packets` or `flows`.
        metric: Option<String>,
        /// How many combinations: 1 to 200; 30 otherwise.
        limit: Option<usize>,
    }
);

/// How flows go from value to value of several dimensions: the largest combinations as the nodes and
/// links of a Sankey diagram.
#[utoipa::path(
    get, path = "/v1/flows/sankey", tag = "flows", params(FlowSankeyQuery),
    responses((status = 200, body = FlowSankey), (status = 400, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody))
)]
pub(crate) async fn sankey(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<FlowSankeyQuery>,
) -> Result<Json<FlowSankey>, ApiError> {
    let FlowSankeyQuery { by, metric: named, limit, window, from, to, filter, site, timeout_ms } =
        query;
    let names = if by.is_empty() { vec!["src".to_owned(), "dst".to_owned()] } else { by };
    let by = dimensions(&names, "src")?;
    if by.len() < 2 {
        return Err(ApiError::bad_request(
            "by: give two dimensions at least, such as src_as,dst_as",
        ));
    }
    let (metric, metric_name) = metric(named.as_deref())?;
    let limit = within("limit", limit.unwrap_or(30), 200)?;
    let window = FlowWindow::new(window, from, to, filter, site, timeout_ms);
    let mut asking = window.asking(&state, &caller)?;
    let rows = asking.ask(top_sql(&asking.scope(), &by, metric, limit, None)).await?;
    let (total, _) = total(&mut asking).await?;
    let mut nodes: Vec<SankeyNode> = Vec::new();
    let mut known: BTreeMap<(usize, String), usize> = BTreeMap::new();
    let mut links: BTreeMap<(usize, usize), FlowSums> = BTreeMap::new();
    let mut shown = FlowSums::default();
    for row in &rows {
        let (mut key, sums) = (key(&by, row), sums(row));
        add(&mut shown, &sums);
        let mut before = None;
        for (layer, dimension) in by.iter().enumerate() {
            let rest = key.split_off(dimension.columns.len());
            let part = std::mem::replace(&mut key, rest);
            let values: Vec<String> = part.iter().map(|part| part.value.to_string()).collect();
            let place = *known.entry((layer, values.join("\0"))).or_insert_with(|| {
                nodes.push(SankeyNode { layer, key: part, bytes: 0, packets: 0, flows: 0 });
                nodes.len() - 1
            });
            let node = &mut nodes[place];
            node.bytes += sums.bytes;
            node.packets += sums.packets;
            node.flows += sums.flows;
            if let Some(before) = before {
                add(links.entry((before, place)).or_default(), &sums);
            }
            before = Some(place);
        }
    }
    let link = |((source, target), sums): ((usize, usize), FlowSums)| SankeyLink {
        source,
        target,
        bytes: sums.bytes,
        packets: sums.packets,
        flows: sums.flows,
    };
    Ok(Json(FlowSankey {
        by: by.iter().map(|dimension| dimension.name.to_owned()).collect(),
        metric: metric_name.to_owned(),
        total,
        rest: FlowSums {
            bytes: total.bytes.saturating_sub(shown.bytes),
            packets: total.packets.saturating_sub(shown.packets),
            flows: total.flows.saturating_sub(shown.flows),
        },
        nodes,
        links: links.into_iter().map(link).collect(),
        stands_on: asking.standing(),
    }))
}

fn add(into: &mut FlowSums, sums: &FlowSums) {
    into.bytes += sums.bytes;
    into.packets += sums.packets;
    into.flows += sums.flows;
}

flow_query!(
    FlowCapacityQuery {
        /// Only interfaces of this exporter.
        #[param(value_type = Option<String>)]
        exporter: Option<String>,
        /// `in` (otherwise): what came in by the interface. `out`: what left by it.
        direction: Option<String>,
        /// How wide the buckets are; a twentieth of the window and a minute at least otherwise.
        bucket: Option<String>,
        /// How many interfaces: 1 to 1,000; 100 otherwise.
        limit: Option<usize>,
    }
);

/// How full interfaces are, the busiest first. What left an interface is what was counted as it left
/// where its exporter does so, otherwise what was counted as it came in by others.
#[utoipa::path(
    get, path = "/v1/flows/capacity", tag = "flows", params(FlowCapacityQuery),
    responses((status = 200, body = FlowCapacity), (status = 400, body = ErrorBody), (status = 422, body = ErrorBody), (status = 429, body = ErrorBody), (status = 503, body = ErrorBody))
)]
pub(crate) async fn capacity(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<FlowCapacityQuery>,
) -> Result<Json<FlowCapacity>, ApiError> {
    let FlowCapacityQuery {
        exporter,
        direction,
        bucket,
        limit,
        window,
        from,
        to,
        filter,
        site,
        timeout_ms,
    } = query;
    let inbound = match direction.as_deref() {
        None | Some("in") => true,
        Some("out") => false,
        Some(_) => return Err(ApiError::bad_request("direction: it is in or out")),
    };
    let limit = within("limit", limit.unwrap_or(100), 1_000)?;
    let filter = match exporter {
        None => filter,
        Some(exporter) => {
            let address: std::net::IpAddr = exporter
                .parse()
                .map_err(|_| ApiError::bad_request("exporter: it is an address"))?;
            let rest = filter.filter(|filter| !filter.trim().is_empty());
            let rest = rest.map_or_else(String::new, |filter| format!(" and ({filter})"));
            Some(format!("exporter = {address}{rest}"))
        }
    };
    let window = FlowWindow::new(window, from, to, filter, site, timeout_ms);
    let mut asking = window.asking(&state, &caller)?;
    let minute = Duration::from_secs(60).as_millis() as u64;
    let buckets = Buckets::of(&mut asking, bucket.as_deref(), 20, minute)?;
    let rows = asking.ask(interfaces_sql(&lasting(&asking), inbound, buckets.width_ns())).await?;
    type Rates = (Vec<f64>, Vec<f64>);
    type Interface = (String, String, u64, bool);
    let mut found: BTreeMap<Interface, Rates> = BTreeMap::new();
    for row in &rows {
        let text = |name| row.text(name).unwrap_or_default().to_owned();
        let egress = row.value("egress").as_bool().unwrap_or(false);
        let key = (text("site"), text("exporter"), row.count("i"), egress);
        let empty = || (vec![0.0; buckets.count], vec![0.0; buckets.count]);
        let (bytes, packets) = found.entry(key).or_insert_with(empty);
        buckets.add(bytes, row, ["head", "tail", "bytes"]);
        buckets.add(packets, row, ["head_packets", "tail_packets", "packets"]);
    }
    // Counted as it left wins: the other is the same traffic.
    let egress: Vec<_> = found.keys().filter(|key| key.3).cloned().collect();
    for (site, exporter, index, _) in egress {
        found.remove(&(site, exporter, index, false));
    }
    let known = about_interfaces(&mut asking, inbound).await?;
    let item = |((site, exporter, interface, egress), (bytes, packets)): (Interface, Rates)| {
        let bps = buckets.rates(&bytes, 8.0);
        let about = known.get(&(site.clone(), exporter, interface));
        let (name, speed) = about.cloned().unwrap_or_default();
        let mut sorted = bps.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len() * 95).div_ceil(100).saturating_sub(1);
        let peak_bps = sorted.last().copied().unwrap_or(0.0);
        let seconds: f64 = (0..buckets.count).map(|i| buckets.seconds(i)).sum();
        FlowInterface {
            site,
            exporter: String::new(),
            interface,
            name,
            speed_bps: speed,
            counted_at_egress: egress,
            mean_bps: round(bytes.iter().sum::<f64>() * 8.0 / seconds),
            p95_bps: sorted.get(at).copied().unwrap_or(0.0),
            peak_bps,
            peak_utilization: speed.filter(|speed| *speed > 0).map(|speed| peak_bps / speed as f64),
            bps,
            pps: buckets.rates(&packets, 1.0),
        }
    };
    let mut items: Vec<FlowInterface> = found
        .into_iter()
        .map(|(key, rates): (Interface, Rates)| {
            let exporter = key.1.clone();
            FlowInterface { exporter, ..item((key, rates)) }
        })
        .collect();
    items.sort_by(|a, b| b.peak_bps.total_cmp(&a.peak_bps));
    items.truncate(limit);
    Ok(Json(FlowCapacity {
        direction: if inbound { "in" } else { "out" }.to_owned(),
        bucket_ms: buckets.width_ms,
        buckets: buckets.begins(),
        items,
        stands_on: asking.standing(),
    }))
}

/// By site, exporter and index: exporters of several sites may have one address.
type About = BTreeMap<(String, String, u64), (Option<String>, Option<u64>)>;

/// Names of interfaces as flows tell them, and speeds as sFlow's counters do.
async fn about_interfaces(asking: &mut Asking, inbound: bool) -> Result<About, ApiError> {
    let side = if inbound { "in" } else { "out" };
    let window = format!(
        "flow.time_received >= CAST('{}' AS TIMESTAMP WITH TIME ZONE) AND flow.time_received < CAST('{}' AS TIMESTAMP WITH TIME ZONE)",
        Timestamp(asking.from),
        Timestamp(asking.to)
    );
    let names = format!(
        "SELECT site, flow.exporter.address AS exporter, flow.{side}.interface.index AS i, \
         max(CAST(flow.{side}.interface.name AS VARCHAR)) AS name FROM flows \
         WHERE {window} AND flow.{side}.interface.name IS NOT NULL \
         GROUP BY site, flow.exporter.address, flow.{side}.interface.index LIMIT 10000"
    );
    let speeds = format!(
        "SELECT site, flow.exporter.address AS exporter, network.interface.index AS i, \
         max(network.interface.speed) AS speed, max(CAST(network.interface.name AS VARCHAR)) AS name \
         FROM flow_interface_counters WHERE {window} \
         GROUP BY site, flow.exporter.address, network.interface.index LIMIT 10000"
    );
    let mut about = About::new();
    for sql in [names, speeds] {
        for row in asking.ask(sql).await? {
            let text = |name| row.text(name).unwrap_or_default().to_owned();
            let key = (text("site"), text("exporter"), row.count("i"));
            let known = about.entry(key).or_default();
            known.0 = row.text("name").map(str::to_owned).or(known.0.take());
            known.1 = row.value("speed").as_u64().or(known.1);
        }
    }
    Ok(about)
}
