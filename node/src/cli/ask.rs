//! Questions to the topology: what breaks, which way, what changed, where is it.

use std::fmt::Write;

use anyhow::bail;
use clap::Args;
use form_urlencoded::Serializer;

use super::Target;
use super::client::Client;
use super::render::{Table, clean};
use crate::api::impact_types::{
    BrokenPathView, DiffView, ElementList, ImpactView, ImpactedServiceView, RouteStatusView,
    SpofList, WaysView, WhatIfRequest,
};
use crate::api::types::{CoverageView, FreshnessView, SiteStateView, Timestamp};

#[derive(Debug, Args)]
pub(crate) struct WhatIfArgs {
    #[command(flatten)]
    target: Target,
    /// What fails: an element's id such as service:checkout, site:berlin, as:64500, an edge, or attribute:KEY=VALUE; several at
    /// once.
    #[arg(required_unless_present = "drain")]
    targets: Vec<String>,
    /// What is taken out of use where there is another way; may be given again.
    #[arg(long)]
    drain: Vec<String>,
    /// At this moment (RFC 3339, or milliseconds since 1970); now otherwise.
    #[arg(long)]
    at: Option<String>,
    /// Most items of each list.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct PathArgs {
    #[command(flatten)]
    target: Target,
    /// Where it starts.
    from: String,
    /// Where it ends.
    to: String,
    /// How many routes.
    #[arg(long, default_value_t = 3)]
    count: usize,
    /// `hops`, or `latency` as far as it was measured.
    #[arg(long, default_value = "hops")]
    metric: String,
    /// Only along edges of this kind.
    #[arg(long)]
    kind: Option<String>,
    /// Only as edges point.
    #[arg(long)]
    directed: bool,
    /// At this moment (RFC 3339, or milliseconds since 1970); now otherwise.
    #[arg(long)]
    at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SpofArgs {
    #[command(flatten)]
    target: Target,
    /// At this moment (RFC 3339, or milliseconds since 1970); now otherwise.
    #[arg(long)]
    at: Option<String>,
    /// Most nodes shown.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    target: Target,
    /// The earlier moment (RFC 3339, or milliseconds since 1970).
    from: String,
    /// The later moment; now otherwise.
    to: Option<String>,
    /// Most elements of each list.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    target: Target,
    /// Part of an id, a name or an attribute's value, or an address.
    text: String,
    /// At this moment (RFC 3339, or milliseconds since 1970); now otherwise.
    #[arg(long)]
    at: Option<String>,
    /// Most nodes shown.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

pub(super) async fn what_if(args: WhatIfArgs) -> anyhow::Result<()> {
    check_time("--at", args.at.as_deref())?;
    let request = WhatIfRequest {
        target: None,
        targets: args.targets,
        drain: args.drain,
        at: args.at,
        limit: Some(args.limit),
    };
    let impact: ImpactView =
        Client::new(&args.target)?.post("/v1/topology/whatif", &request).await?;
    show(&args.target, &impact, impact_text)
}

pub(super) async fn path(args: &PathArgs) -> anyhow::Result<()> {
    check_time("--at", args.at.as_deref())?;
    let mut query = Serializer::new(String::new());
    query.append_pair("from", &args.from).append_pair("to", &args.to);
    query.append_pair("count", &args.count.to_string()).append_pair("metric", &args.metric);
    query.append_pair("directed", if args.directed { "true" } else { "false" });
    for (name, value) in [("kind", &args.kind), ("at", &args.at)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    get(&args.target, &format!("/v1/topology/paths?{}", query.finish()), ways_text).await
}

pub(super) async fn spof(args: &SpofArgs) -> anyhow::Result<()> {
    check_time("--at", args.at.as_deref())?;
    let mut query = Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    if let Some(at) = &args.at {
        query.append_pair("at", at);
    }
    get(&args.target, &format!("/v1/topology/spof?{}", query.finish()), spof_text).await
}

pub(super) async fn diff(args: &DiffArgs) -> anyhow::Result<()> {
    check_time("FROM", Some(&args.from))?;
    check_time("TO", args.to.as_deref())?;
    let mut query = Serializer::new(String::new());
    query.append_pair("from", &args.from).append_pair("limit", &args.limit.to_string());
    if let Some(to) = &args.to {
        query.append_pair("to", to);
    }
    get(&args.target, &format!("/v1/topology/diff?{}", query.finish()), diff_text).await
}

pub(super) async fn search(args: &SearchArgs) -> anyhow::Result<()> {
    check_time("--at", args.at.as_deref())?;
    let mut query = Serializer::new(String::new());
    query.append_pair("q", &args.text).append_pair("limit", &args.limit.to_string());
    if let Some(at) = &args.at {
        query.append_pair("at", at);
    }
    get(&args.target, &format!("/v1/topology/search?{}", query.finish()), found_text).await
}

async fn get<T: serde::Serialize + serde::de::DeserializeOwned>(
    target: &Target,
    path: &str,
    text: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    let answer: T = Client::new(target)?.get(path).await?;
    show(target, &answer, text)
}

fn show<T: serde::Serialize>(
    target: &Target,
    answer: &T,
    text: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    if target.json {
        println!("{}", serde_json::to_string_pretty(answer)?);
    } else {
        print!("{}", text(answer));
    }
    Ok(())
}

fn check_time(name: &str, text: Option<&str>) -> anyhow::Result<()> {
    match text {
        Some(text) if Timestamp::parse(text).is_none() => bail!(
            "{name} {text}: not a time; write 2026-11-21T14:03:07Z, or milliseconds since 1970"
        ),
        _ => Ok(()),
    }
}

fn impact_text(impact: &ImpactView) -> String {
    let mut text = String::new();
    let when = if impact.live { "now".into() } else { impact.at.to_string() };
    for (what, list) in [("fails", &impact.failed), ("is drained", &impact.drained)] {
        if !list.is_empty() {
            let shown: Vec<String> = list.iter().take(10).map(|id| clean(id)).collect();
            let more = list.len().saturating_sub(shown.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let _ = writeln!(text, "what {what} ({when}): {}{more}", shown.join(", "));
        }
    }
    let totals = &impact.totals;
    head(&mut text, "broken paths", impact.broken_paths.len(), totals.broken_paths);
    impact.broken_paths.iter().for_each(|path| broken(&mut text, path));
    head(&mut text, "rerouted paths", impact.rerouted_paths.len(), totals.rerouted_paths);
    for path in &impact.rerouted_paths {
        let flows = match (path.flows_affected, path.flows) {
            (Some(affected), Some(all)) => format!(", {affected} of {all} flows"),
            _ => String::new(),
        };
        let _ = writeln!(text, "  {} → {}{flows}", clean(&path.from), clean(&path.to));
        let _ = writeln!(text, "    now     {}", way(&path.route));
        let _ = writeln!(text, "    instead {} ({})", way(&path.alt_route), status(path.status));
    }
    if totals.stranded_paths > 0 {
        head(
            &mut text,
            "paths that stay for want of another",
            impact.stranded_paths.len(),
            totals.stranded_paths,
        );
        impact.stranded_paths.iter().for_each(|path| broken(&mut text, path));
    }
    head(&mut text, "impacted services", impact.impacted_services.len(), totals.impacted_services);
    for ImpactedServiceView { id, distance } in &impact.impacted_services {
        let away =
            if *distance == 1 { "calls it".into() } else { format!("{distance} calls away") };
        let _ = writeln!(text, "  {}  {away}", clean(id));
    }
    head(&mut text, "impacted prefixes", impact.impacted_prefixes.len(), totals.impacted_prefixes);
    for prefix in &impact.impacted_prefixes {
        let loss = format!("{:?}", prefix.loss).to_lowercase();
        let _ = writeln!(text, "  {}  {loss}", clean(&prefix.id));
    }
    head(&mut text, "disconnected", impact.disconnected.len(), totals.disconnected);
    for id in &impact.disconnected {
        let _ = writeln!(text, "  {}", clean(id));
    }
    stands_on(&mut text, &impact.coverage, &impact.freshness);
    text
}

fn head(text: &mut String, what: &str, shown: usize, total: u64) {
    let _ = match shown as u64 == total {
        true => writeln!(text, "{what}: {total}"),
        false => writeln!(text, "{what}: showing {shown} of {total}"),
    };
}

fn broken(text: &mut String, path: &BrokenPathView) {
    let _ = writeln!(text, "  {} → {}", clean(&path.from), clean(&path.to));
    let _ = writeln!(text, "    {} ({})", way(&path.route), status(path.status));
}

fn way(route: &[Option<String>]) -> String {
    let named: Vec<String> =
        route.iter().map(|hop| hop.as_deref().map_or("*".into(), clean)).collect();
    named.join(" → ")
}

const fn status(status: RouteStatusView) -> &'static str {
    match status {
        RouteStatusView::Inferred => "inferred",
        RouteStatusView::Observed => "observed",
    }
}

/// What is missing, and whose part is not live.
fn stands_on(text: &mut String, coverage: &CoverageView, freshness: &FreshnessView) {
    for note in &coverage.notes {
        let _ = writeln!(text, "note: {}", clean(note));
    }
    for site in &freshness.sites {
        if !matches!(site.state, SiteStateView::Here | SiteStateView::Live) {
            let as_of = site.as_of.map_or("never".into(), |at| at.to_string());
            let _ = writeln!(text, "note: {} is not live; its part is as of {as_of}", site.site);
        }
    }
}

fn ways_text(ways: &WaysView) -> String {
    let mut text = String::new();
    for route in &ways.routes {
        let latency = route.latency_ms.map_or(String::new(), |ms| format!(", {ms:.2} ms"));
        let nodes: Vec<String> = route.nodes.iter().map(|id| clean(id)).collect();
        let _ = writeln!(
            text,
            "{}  ({} hops{latency}, {})",
            nodes.join(" → "),
            route.hops,
            status(route.status)
        );
    }
    if ways.routes.is_empty() {
        text.push_str("no way between them is known\n");
    }
    for path in &ways.observed {
        let _ = writeln!(text, "seen: {} (flow {})", way(&path.route), clean(&path.flow));
    }
    if ways.ecmp_width > 1 {
        let _ = writeln!(text, "{} shortest ways share no edge", ways.ecmp_width);
    }
    stands_on(&mut text, &ways.coverage, &ways.freshness);
    text
}

fn spof_text(list: &SpofList) -> String {
    let mut table = Table::new(["NODE", "BLAST", "PATHS", "SERVICES", "CUT OFF"]);
    for spof in &list.items {
        table.row([
            spof.id.clone(),
            spof.blast_radius.to_string(),
            spof.broken_paths.to_string(),
            spof.impacted_services.to_string(),
            spof.disconnected.to_string(),
        ]);
    }
    let mut text = table.to_string();
    if list.total > list.items.len() as u64 {
        let _ = writeln!(text, "showing {} of {}", list.items.len(), list.total);
    }
    stands_on(&mut text, &list.coverage, &list.freshness);
    text
}

fn diff_text(diff: &DiffView) -> String {
    let mut text = format!("from {} to {}\n", diff.from, diff.to);
    for (sign, what, list) in [
        ('+', "appeared", &diff.appeared),
        ('-', "vanished", &diff.vanished),
        ('~', "returned", &diff.returned),
        ('*', "rewritten", &diff.rewritten),
    ] {
        head(&mut text, what, list.items.len(), list.total);
        for id in &list.items {
            let _ = writeln!(text, "  {sign} {}", clean(id));
        }
    }
    text
}

fn found_text(found: &ElementList) -> String {
    let mut text = String::new();
    for id in &found.items {
        let _ = writeln!(text, "{}", clean(id));
    }
    match found.items.len() as u64 {
        0 => text.push_str("nothing fits\n"),
        shown if shown < found.total => {
            let _ = writeln!(text, "showing {shown} of {}", found.total);
        }
        _ => {}
    }
    text
}
