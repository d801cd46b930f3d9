//! Questions to the topology: what breaks, which way, what changed, where is it.

use anyhow::bail;
use clap::Args;
use form_urlencoded::Serializer;

use super::Target;
use super::answers::{
    changes_text, compare_text, components_text, dependents_text, diff_text, found_text,
    impact_text, nearby_text, spof_text, ways_text,
};
use super::client::Client;
use crate::api::impact_types::{CompareRequest, CompareView, ImpactView, WhatIfRequest};
use crate::api::params::{NOT_A_TIME, When};
use crate::api::types::Timestamp;

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
    /// Put what breaks if this fails instead beside it (on the right); may be given again.
    #[arg(long, value_name = "TARGET")]
    compare_with: Vec<String>,
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
    /// What it is made of: `network` or `calls`; otherwise calls from a service and the network from anything else, and
    /// the other where there is none.
    #[arg(long)]
    layer: Option<String>,
    /// Only along edges of this kind.
    #[arg(long)]
    kind: Option<String>,
    /// Also along edges against their direction; an arrow of each step says which.
    #[arg(long)]
    undirected: bool,
    /// Also every path that packets took at some time since then (RFC 3339, or milliseconds since 1970).
    #[arg(long)]
    since: Option<String>,
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
    /// Only by what this site says; several are allowed.
    #[arg(long)]
    of_site: Vec<String>,
    /// Show names of the same thing each by itself.
    #[arg(long)]
    no_fold: bool,
    /// Most elements of each list.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct ChangesArgs {
    #[command(flatten)]
    target: Target,
    /// Where the window begins (RFC 3339, or milliseconds since 1970).
    from: String,
    /// Where it ends; now otherwise.
    to: Option<String>,
    /// Into how many equal parts it is cut.
    #[arg(long, default_value_t = 24)]
    buckets: usize,
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

#[derive(Debug, Args)]
pub(crate) struct NeighboursArgs {
    #[command(flatten)]
    target: Target,
    /// The node in the middle.
    id: String,
    /// How far around, in edges.
    #[arg(long, default_value_t = 1)]
    depth: u32,
    /// `out` as edges point, `in` against them, or `both`.
    #[arg(long, default_value = "both")]
    direction: String,
    /// Only along edges of these kinds, separated by commas.
    #[arg(long, visible_alias = "kind")]
    edge_kinds: Option<String>,
    /// Only through and to nodes of these kinds, separated by commas.
    #[arg(long, visible_alias = "node-kind")]
    node_kinds: Option<String>,
    /// At this moment (RFC 3339, or milliseconds since 1970); now otherwise.
    #[arg(long)]
    at: Option<String>,
    /// Most nodes shown.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct DependentsArgs {
    #[command(flatten)]
    target: Target,
    /// The node that they hang on.
    id: String,
    /// At this moment (RFC 3339, or milliseconds since 1970); now otherwise.
    #[arg(long)]
    at: Option<String>,
    /// Most nodes shown.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

pub(super) async fn neighbours(args: &NeighboursArgs) -> anyhow::Result<()> {
    check_time("--at", args.at.as_deref())?;
    let mut query = Serializer::new(String::new());
    query.append_pair("id", &args.id).append_pair("depth", &args.depth.to_string());
    query.append_pair("direction", &args.direction).append_pair("limit", &args.limit.to_string());
    for (name, value) in
        [("edge_kinds", &args.edge_kinds), ("node_kinds", &args.node_kinds), ("at", &args.at)]
    {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    get(&args.target, &format!("/v1/topology/neighbours?{}", query.finish()), nearby_text).await
}

pub(super) async fn dependents(args: &DependentsArgs) -> anyhow::Result<()> {
    check_time("--at", args.at.as_deref())?;
    let mut query = Serializer::new(String::new());
    query.append_pair("id", &args.id).append_pair("limit", &args.limit.to_string());
    if let Some(at) = &args.at {
        query.append_pair("at", at);
    }
    get(&args.target, &format!("/v1/topology/dependents?{}", query.finish()), dependents_text).await
}

pub(super) async fn components(args: &SpofArgs) -> anyhow::Result<()> {
    check_time("--at", args.at.as_deref())?;
    let mut query = Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    if let Some(at) = &args.at {
        query.append_pair("at", at);
    }
    get(&args.target, &format!("/v1/topology/components?{}", query.finish()), components_text).await
}

pub(super) async fn what_if(args: WhatIfArgs) -> anyhow::Result<()> {
    check_time("--at", args.at.as_deref())?;
    let request = WhatIfRequest {
        target: None,
        targets: args.targets,
        drain: args.drain,
        at: args.at.as_deref().and_then(Timestamp::parse).map(|at| When(at.0)),
        limit: Some(args.limit),
    };
    if !args.compare_with.is_empty() {
        let right =
            WhatIfRequest { targets: args.compare_with, drain: Vec::new(), ..request.clone() };
        let compare: CompareView = Client::new(&args.target)?
            .post("/v1/topology/whatif/compare", &CompareRequest { left: request, right })
            .await?;
        return show(&args.target, &compare, compare_text);
    }
    let impact: ImpactView =
        Client::new(&args.target)?.post("/v1/topology/whatif", &request).await?;
    show(&args.target, &impact, impact_text)
}

pub(super) async fn path(args: &PathArgs) -> anyhow::Result<()> {
    check_time("--at", args.at.as_deref())?;
    let mut query = Serializer::new(String::new());
    query.append_pair("from", &args.from).append_pair("to", &args.to);
    query.append_pair("count", &args.count.to_string()).append_pair("metric", &args.metric);
    query.append_pair("directed", if args.undirected { "false" } else { "true" });
    check_time("--since", args.since.as_deref())?;
    let given =
        [("layer", &args.layer), ("kind", &args.kind), ("at", &args.at), ("since", &args.since)];
    for (name, value) in given {
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
    for site in &args.of_site {
        query.append_pair("site", site);
    }
    if args.no_fold {
        query.append_pair("fold", "false");
    }
    get(&args.target, &format!("/v1/topology/diff?{}", query.finish()), diff_text).await
}

pub(super) async fn changes(args: &ChangesArgs) -> anyhow::Result<()> {
    check_time("FROM", Some(&args.from))?;
    check_time("TO", args.to.as_deref())?;
    let mut query = Serializer::new(String::new());
    query.append_pair("from", &args.from).append_pair("buckets", &args.buckets.to_string());
    if let Some(to) = &args.to {
        query.append_pair("to", to);
    }
    get(&args.target, &format!("/v1/topology/changes?{}", query.finish()), changes_text).await
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

pub(super) fn check_time(name: &str, text: Option<&str>) -> anyhow::Result<()> {
    match text {
        Some(text) if Timestamp::parse(text).is_none() => bail!("{name} {text}: {NOT_A_TIME}"),
        _ => Ok(()),
    }
}
