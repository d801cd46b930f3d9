//! `holm flow …`: questions about flows, and exporters' datagrams as JSON lines.

use clap::{Args, Subcommand};
use form_urlencoded::Serializer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::flow_decode::{DecodeArgs, decode};
use super::{Client, Target, clean};
use crate::api::flows_types::{
    FlowAnomalies, FlowCapacity, FlowExporters, FlowKeyPart, FlowRecords, FlowStanding, FlowTop,
};

#[derive(Debug, Subcommand)]
pub(crate) enum FlowCommand {
    /// The largest groups of flows over all sites.
    Top(TopArgs),
    /// Flow records of all sites, the latest first.
    Search(SearchArgs),
    /// How full interfaces are, the busiest first.
    Capacity(CapacityArgs),
    /// Who exports, and what of it was lost.
    Exporters(WindowArgs),
    /// Traffic that is not as it used to be.
    Anomalies(WindowArgs),
    /// Print what is in a capture or in raw datagrams of exporters as JSON lines; asks no node.
    Decode(DecodeArgs),
}

/// Which time and which sites.
#[derive(Debug, Args)]
pub(crate) struct WindowArgs {
    #[command(flatten)]
    target: Target,
    /// How long until now, such as 15m, 1h, 7d.
    #[arg(long, default_value = "1h")]
    window: String,
    /// Only this site; may be given again.
    #[arg(long)]
    site: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Which flows, such as `src = 10.0.0.0/8 and dst_port in (80, 443)`; all otherwise.
    filter: Option<String>,
    #[command(flatten)]
    window: WindowArgs,
    /// By what: src, dst, pair, dst_port, src_as, in_if, exporter, site, …; several make combinations.
    #[arg(long, default_value = "src", value_delimiter = ',')]
    by: Vec<String>,
    /// What they are ordered by: bytes, packets or flows.
    #[arg(long, default_value = "bytes")]
    metric: String,
    /// How many.
    #[arg(long, default_value_t = 10)]
    limit: usize,
    /// Beside it the same of the window before.
    #[arg(long, conflicts_with = "dedup")]
    previous: bool,
    /// Count a flow that several exporters saw once.
    #[arg(long)]
    dedup: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Which flows; all otherwise.
    filter: Option<String>,
    #[command(flatten)]
    window: WindowArgs,
    /// How many.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Go on where a page ended: what it said at its end, with the same filter and sites.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CapacityArgs {
    #[command(flatten)]
    window: WindowArgs,
    /// Only interfaces of this exporter.
    #[arg(long)]
    exporter: Option<String>,
    /// in: what came in by the interface; out: what left by it.
    #[arg(long, default_value = "in")]
    direction: String,
    /// How many.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

pub(super) async fn run(command: FlowCommand) -> anyhow::Result<()> {
    match command {
        FlowCommand::Top(args) => top(&args).await,
        FlowCommand::Search(args) => search(&args).await,
        FlowCommand::Capacity(args) => capacity(&args).await,
        FlowCommand::Exporters(args) => {
            ask(&args, "/v1/flows/exporters", &[], exporters_text, |answer| &answer.stands_on).await
        }
        FlowCommand::Anomalies(args) => {
            ask(&args, "/v1/flows/anomalies", &[], anomalies_text, |answer| &answer.stands_on).await
        }
        FlowCommand::Decode(args) => decode(&args),
    }
}

/// Asks, prints the answer, and beside it what it stands on.
async fn ask<A: Serialize + DeserializeOwned>(
    window: &WindowArgs,
    path: &str,
    query: &[(&str, String)],
    text: impl Fn(&A) -> String,
    standing: impl Fn(&A) -> &FlowStanding,
) -> anyhow::Result<()> {
    let client = Client::new(&window.target)?;
    let mut url = Serializer::new(String::new());
    // A page that goes on has the window of the first.
    if !query.iter().any(|(name, _)| *name == "cursor") {
        url.append_pair("window", &window.window);
    }
    for site in &window.site {
        url.append_pair("site", site);
    }
    for (name, value) in query {
        url.append_pair(name, value);
    }
    let answer: A = client.get(&format!("{path}?{}", url.finish())).await?;
    if window.target.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    print!("{}", text(&answer));
    eprint!("{}", standing_text(standing(&answer)));
    Ok(())
}

async fn top(args: &TopArgs) -> anyhow::Result<()> {
    let mut query = vec![
        ("by", args.by.join(",")),
        ("metric", args.metric.clone()),
        ("limit", args.limit.to_string()),
    ];
    query.extend(args.filter.iter().map(|filter| ("filter", filter.clone())));
    for (name, given) in [("previous", args.previous), ("dedup", args.dedup)] {
        if given {
            query.push((name, "true".to_owned()));
        }
    }
    ask(&args.window, "/v1/flows/top", &query, top_text, |answer: &FlowTop| &answer.stands_on).await
}

async fn search(args: &SearchArgs) -> anyhow::Result<()> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.filter.iter().map(|filter| ("filter", filter.clone())));
    query.extend(args.cursor.iter().map(|cursor| ("cursor", cursor.clone())));
    ask(&args.window, "/v1/flows", &query, records_text, |answer: &FlowRecords| &answer.stands_on)
        .await
}

async fn capacity(args: &CapacityArgs) -> anyhow::Result<()> {
    let mut query = vec![("direction", args.direction.clone()), ("limit", args.limit.to_string())];
    query.extend(args.exporter.iter().map(|exporter| ("exporter", exporter.clone())));
    ask(&args.window, "/v1/flows/capacity", &query, capacity_text, |answer: &FlowCapacity| {
        &answer.stands_on
    })
    .await
}

/// Columns side by side.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn part_text(part: &FlowKeyPart) -> String {
    let value = match &part.value {
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::String(text) => clean(text),
        other => other.to_string(),
    };
    match &part.name {
        Some(name) => format!("{value} ({})", clean(name)),
        None => value,
    }
}

fn top_text(answer: &FlowTop) -> String {
    let mut header: Vec<String> = match answer.items.first() {
        Some(item) => item.key.iter().map(|part| part.field.clone()).collect(),
        None => answer.by.clone(),
    };
    header.extend(["bytes", "packets", "flows"].map(str::to_owned));
    let previous = answer.items.iter().any(|item| item.previous.is_some());
    header.push(if previous { format!("{} before", answer.metric) } else { "share".to_owned() });
    let mut rows = vec![header];
    for item in &answer.items {
        let mut row: Vec<String> = item.key.iter().map(part_text).collect();
        row.extend([item.bytes, item.packets, item.flows].map(|count| count.to_string()));
        row.push(match (&item.previous, item.share) {
            (Some(before), _) => match answer.metric.as_str() {
                "packets" => before.packets.to_string(),
                "flows" => before.flows.to_string(),
                _ => before.bytes.to_string(),
            },
            (None, Some(share)) => format!("{:.1} %", share * 100.0),
            (None, None) => String::new(),
        });
        rows.push(row);
    }
    let mut text = table(&rows);
    let all = if answer.dedup.is_some() { "all, counted once" } else { "all" };
    text += &format!(
        "{all}: {} bytes, {} packets, {} flows",
        answer.total.bytes, answer.total.packets, answer.total.flows
    );
    if answer.unscaled > 0 {
        text += &format!("; {} records without a sampling rate count as they are", answer.unscaled);
    }
    text.push('\n');
    if let Some(method) = &answer.dedup {
        text += &format!("counted once: {method}\n");
    }
    text
}

fn records_text(answer: &FlowRecords) -> String {
    const COLUMNS: [&str; 8] = [
        "flow.time_received",
        "site",
        "source.address",
        "source.port",
        "destination.address",
        "destination.port",
        "network.transport",
        "flow.io.bytes_scaled",
    ];
    let cell =
        |item: &std::collections::BTreeMap<String, serde_json::Value>, column: &str| match item
            .get(column)
        {
            None => "-".to_owned(),
            Some(serde_json::Value::String(text)) => clean(text),
            Some(other) => other.to_string(),
        };
    let mut rows = vec![COLUMNS.map(str::to_owned).to_vec()];
    rows.extend(answer.items.iter().map(|item| COLUMNS.map(|column| cell(item, column)).to_vec()));
    let mut text = table(&rows);
    if let Some(next) = &answer.next {
        text += &format!("there may be more: --cursor {}\n", clean(next));
    }
    text
}

fn capacity_text(answer: &FlowCapacity) -> String {
    let mut rows = vec![
        ["site", "exporter", "interface", "mean bit/s", "95 %", "peak", "of its speed"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for item in &answer.items {
        let name = item.name.as_deref().map_or(String::new(), |name| format!(" ({})", clean(name)));
        let full = item.peak_utilization.map(|part| format!("{:.1} %", part * 100.0));
        rows.push(vec![
            clean(&item.site),
            clean(&item.exporter),
            format!("{}{name}", item.interface),
            format!("{:.0}", item.mean_bps),
            format!("{:.0}", item.p95_bps),
            format!("{:.0}", item.peak_bps),
            full.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    let other = if answer.direction == "in" { "out" } else { "in" };
    format!("traffic {}; --direction {other} shows the other\n{}", answer.direction, table(&rows))
}

fn exporters_text(answer: &FlowExporters) -> String {
    let mut rows = vec![
        ["site", "exporter", "name", "state", "heard", "flows", "lost", "templates"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut reasons = String::new();
    for item in &answer.items {
        let count = |name: &str| item.counters.get(name).copied().unwrap_or(0);
        let address = format!("{} port {}", clean(&item.address), item.port);
        rows.push(vec![
            clean(&item.site),
            address.clone(),
            item.name.as_deref().map_or("-".to_owned(), clean),
            item.state.clone(),
            item.heard.map_or("-".to_owned(), |heard| heard.to_string()),
            count("flows").to_string(),
            (count("lost_datagrams") + count("lost_records")).to_string(),
            item.templates.to_string(),
        ]);
        for reason in &item.reasons {
            reasons += &format!("{address}: {}\n", clean(reason));
        }
    }
    let mut text = table(&rows) + &reasons;
    if answer.cut {
        text += "there are more exporters; ask for them with --site\n";
    }
    for collector in &answer.collectors {
        let state = if collector.running { "collects" } else { "does not collect any more" };
        text += &format!(
            "{} {state}, as of {}; its kernel dropped {} datagrams\n",
            clean(&collector.site),
            collector.heard,
            collector.kernel_drops
        );
    }
    text
}

fn anomalies_text(answer: &FlowAnomalies) -> String {
    let mut rows = vec![
        ["site", "what", "state", "now bit/s", "usual bit/s", "since"].map(str::to_owned).to_vec(),
    ];
    for item in &answer.items {
        rows.push(vec![
            clean(&item.site),
            format!("{} {}", clean(&item.kind), clean(&item.key)),
            format!("{} ({})", clean(&item.state), clean(&item.direction)),
            format!("{:.0}", item.current_bps),
            format!("{:.0} ({})", item.expected_bps, clean(&item.baseline)),
            item.since.to_string(),
        ]);
    }
    let mut text = if answer.items.is_empty() { String::new() } else { table(&rows) };
    if answer.detectors.is_empty() {
        text += "no site looks for what is unusual: nothing can be said\n";
    }
    for detector in &answer.detectors {
        let state = if detector.running { "" } else { "does not look any more; it " };
        text += &format!(
            "{} {state}follows {} links, pairs and networks, of which {} are warming\n",
            clean(&detector.site),
            detector.followed,
            detector.warming
        );
    }
    text
}

fn standing_text(standing: &FlowStanding) -> String {
    let mut text = String::new();
    if !standing.collector_running {
        text += &format!("this site collects no flows: {}\n", clean(&standing.collector_reason));
    }
    for site in standing.sites.iter().filter(|site| site.error.is_some()) {
        let error = site.error.as_deref().unwrap_or_default();
        text += &format!("{}/{}: {}: {}\n", site.site, site.node, site.state, clean(error));
    }
    for approximation in &standing.approximations {
        text += &format!("not exact: {}\n", clean(&approximation.text));
    }
    if !standing.complete {
        text += "the answer is not complete: rows of the sites that did not answer are missing\n";
    }
    text
}
