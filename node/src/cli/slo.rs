//! `holm slo`: objectives, how they stand, and the files that say them.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::Target;
use super::client::Client;
use super::incidents::{unheard, word};
use super::render::{Table, clean};
use crate::api::slos_types::{SloApplied, SloDetail, SloList, SloObjective, SloState, SloView};

#[derive(Debug, Subcommand)]
pub(crate) enum SloCommand {
    /// The objectives and how they stand, those that need looking at first.
    List(ListArgs),
    /// One SLO: how it stands, how it burns, and at which site.
    Status {
        #[command(flatten)]
        target: Target,
        /// Its name.
        name: String,
    },
    /// Applies a file of OpenSLO, YAML or JSON: all of its SLOs, or none if a field of it is not evaluated.
    Apply {
        #[command(flatten)]
        target: Target,
        /// The file; - reads what is piped in.
        #[arg(short = 'f', long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Takes an SLO away.
    Delete {
        #[command(flatten)]
        target: Target,
        /// Its name.
        name: String,
    },
    /// Writes all SLOs as OpenSLO: what `apply` takes.
    Export {
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    target: Target,
    /// In this state; may be given again.
    #[arg(long)]
    state: Vec<SloState>,
    /// Of this service.
    #[arg(long)]
    service: Option<String>,
    /// Of this team.
    #[arg(long)]
    team: Option<String>,
    /// Most of them.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub(super) async fn run(command: SloCommand) -> anyhow::Result<()> {
    match command {
        SloCommand::List(args) => list(&args).await,
        SloCommand::Status { target, name } => {
            let detail: SloDetail = Client::new(&target)?.get(&path_of(&name)).await?;
            print(&target, &detail)
        }
        SloCommand::Apply { target, file } => apply(&target, &file).await,
        SloCommand::Delete { target, name } => {
            Client::new(&target)?.delete(&path_of(&name)).await?;
            println!("{}: taken away", clean(&name));
            Ok(())
        }
        SloCommand::Export { target } => {
            let all: Vec<serde_json::Value> = Client::new(&target)?.get("/v1/slos/openslo").await?;
            println!("{}", serde_json::to_string_pretty(&all)?);
            Ok(())
        }
    }
}

fn path_of(name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/v1/slos/{name}")
}

async fn apply(target: &Target, file: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("what is piped in cannot be read")?;
    } else {
        text = std::fs::read_to_string(file)
            .with_context(|| format!("{}: cannot be read", file.display()))?;
    }
    let applied: SloApplied = Client::new(target)?.post_text("/v1/slos/openslo", text).await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&applied)?);
        return Ok(());
    }
    for item in &applied.items {
        println!("{}: {}", clean(&item.name), item.change);
    }
    Ok(())
}

async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    for state in &args.state {
        query.append_pair("state", &word(state));
    }
    if let Some(service) = &args.service {
        query.append_pair("service", service);
    }
    if let Some(team) = &args.team {
        query.append_pair("team", team);
    }
    let found: SloList =
        Client::new(&args.target)?.get(&format!("/v1/slos?{}", query.finish())).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let mut table = Table::new([
        "SLO",
        "STATE",
        "TARGET",
        "ATTAINED",
        "BUDGET LEFT",
        "BURNS 1h/6h/3d",
        "SERVICE",
    ]);
    for slo in &found.items {
        if slo.objectives.is_empty() {
            let none = || "-".to_owned();
            table.row([
                slo.name.clone(),
                state_text(slo),
                none(),
                none(),
                none(),
                none(),
                slo.service.clone().unwrap_or_else(none),
            ]);
        }
        for objective in &slo.objectives {
            table.row([
                slo.name.clone(),
                state_text(slo),
                percent(objective.target),
                objective.attained.map_or_else(|| "-".into(), percent),
                budget(objective),
                burns(objective),
                slo.service.clone().unwrap_or_else(|| "-".into()),
            ]);
        }
    }
    if table.is_empty() {
        println!("no SLOs like these; `holm slo apply -f FILE` makes some");
    } else {
        print!("{table}");
    }
    let shown = found.items.len() as u64;
    if shown < found.total {
        println!("{shown} of {}; --limit shows more", found.total);
    }
    unheard(&found.freshness);
    Ok(())
}

fn state_text(slo: &SloView) -> String {
    let mut text = word(&slo.state);
    if !slo.conflicts.is_empty() {
        text.push_str(", disputed");
    }
    text
}

/// A share with as many decimals as tell it from 1.
fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

fn budget(objective: &SloObjective) -> String {
    match objective.attained {
        None => "-".into(),
        Some(_) => format!("{:.1} %", objective.budget_left * 100.0),
    }
}

fn burns(objective: &SloObjective) -> String {
    let rate = |rate: Option<f64>| rate.map_or_else(|| "-".into(), |rate| format!("{rate:.1}"));
    let all: Vec<String> = objective
        .burns
        .iter()
        .map(|burn| {
            format!("{}{}", rate(burn.long), if burn.burns || burn.held { "!" } else { "" })
        })
        .collect();
    all.join(" / ")
}

fn print(target: &Target, detail: &SloDetail) -> anyhow::Result<()> {
    if target.json {
        println!("{}", serde_json::to_string_pretty(detail)?);
        return Ok(());
    }
    let slo = &detail.slo;
    println!("{}  {}", slo.name, clean(&slo.title));
    println!("state      {}", state_text(slo));
    println!("service    {}", clean(slo.service.as_deref().unwrap_or("-")));
    if !slo.teams.is_empty() {
        println!("teams      {}", clean(&slo.teams.join(", ")));
    }
    if let (Some(from), Some(to)) = (slo.window_from, slo.window_to) {
        let kind = if slo.rolling { "rolling" } else { "calendar" };
        println!("window     {from} to {to}, {kind}, {}", slo.budgeting.as_deref().unwrap_or("-"));
    }
    println!("counted    to {}", detail.as_of);
    println!("edited     by {} at {}", clean(&slo.edited_by), slo.edited_at);
    if let Some(problem) = &slo.problem {
        println!("problem    {}", clean(problem));
    }
    for conflict in &slo.conflicts {
        let what = if conflict.removed { "takes it away" } else { "says something else" };
        println!("disputed   {} {what}, at the same time ({})", clean(&conflict.by), conflict.at);
    }
    for objective in &slo.objectives {
        let title = objective.title.as_deref().unwrap_or("objective");
        println!("\n{} {}", clean(title), percent(objective.target));
        let attained = objective.attained.map_or_else(|| "nothing counted".into(), percent);
        println!("  attained     {attained} of {} events, {} bad", objective.events, objective.bad);
        println!("  budget left  {}", budget(objective));
        if let Some(at) = objective.exhausts_at {
            println!("  used up      at {at}, if it goes on as in the last six hours");
        }
        if objective.cold_start {
            println!("  fewer than 50 events: nothing burns yet");
        }
        for burn in &objective.burns {
            let rate =
                |rate: Option<f64>| rate.map_or_else(|| "-".into(), |rate| format!("{rate:.2}"));
            let state = match (burn.burns, burn.held) {
                (true, _) => "burns",
                (false, true) => "burnt, not over",
                (false, false) => "",
            };
            println!(
                "  {:<6}  {} min {}  {} min {}  limit {}  {state}",
                burn.tier,
                burn.long_window_min,
                rate(burn.long),
                burn.short_window_min,
                rate(burn.short),
                burn.limit
            );
        }
        for site in &objective.sites {
            println!(
                "  from {}/{}  {}  {} events, {} bad",
                site.site,
                site.node,
                site.attained.map_or_else(|| "-".into(), percent),
                site.events,
                site.bad
            );
        }
    }
    unheard(&detail.freshness);
    Ok(())
}
