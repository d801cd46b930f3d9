//! `holm test` and `holm mesh matrix`: what is probed because somebody decided so, and what sites measure to each
//! other.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use holm_model::{Millis, SiteId};

use super::Target;
use super::client::Client;
use super::incidents::{unheard, word};
use super::render::{Table, age, clean};
use crate::api::matrix::{MatrixCell, MeshMatrix, PairState};
use crate::api::probe_tests_types::{
    TestAsked, TestDetail, TestList, TestPart, TestSite, TestState, TestStats, TestView,
    TestsApplied,
};

#[derive(Debug, Subcommand)]
pub(crate) enum TestCommand {
    /// The tests and how they stand, those that need looking at first.
    List(ListArgs),
    /// One test: which sites run it, how it stands there, and who else looks at the same host.
    Show {
        #[command(flatten)]
        target: Target,
        /// Its name.
        name: String,
    },
    /// Takes a file of tests, YAML or JSON: all of it, or none if a field of it is not understood.
    #[command(visible_alias = "apply")]
    Create {
        #[command(flatten)]
        target: Target,
        /// The file; - reads what is piped in.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Takes a test away. Its results stay as long as rows do.
    Delete {
        #[command(flatten)]
        target: Target,
        /// Its name.
        name: String,
    },
    /// How long a test took, as a picture of time by latency, of all sites or of some.
    Heat(super::test_heat::TestHeatArgs),
    /// The ways to a test's target, now or then, from every site that traces it, and how they changed.
    Path(super::test_path::TestPathArgs),
    /// Runs a test once, now: by its name, or what a file says without keeping it.
    Run(super::test_run::RunArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    target: Target,
    /// In this state; may be given again.
    #[arg(long)]
    state: Vec<TestState>,
    /// That this site runs.
    #[arg(long)]
    site: Option<String>,
    /// Of this host: what else sees it failing.
    #[arg(long)]
    host: Option<String>,
    /// With statistics of so long, such as 1h: every site is asked.
    #[arg(long)]
    window: Option<String>,
    /// Most of them.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// What a cell of the matrix shows.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum Shown {
    /// The middle round trip in ms.
    #[default]
    Rtt,
    /// The round trip in ms that 95 of 100 do not exceed.
    P95,
    /// The share of packets that were lost, in percent.
    Loss,
    /// The mean difference of neighbouring round trips in ms.
    Jitter,
    /// One way there in ms, and by how much that may be off.
    OneWay,
}

#[derive(Debug, Args)]
pub(crate) struct MatrixArgs {
    #[command(flatten)]
    target: Target,
    /// What is shown of each pair.
    #[arg(long, value_enum, default_value_t)]
    show: Shown,
}

pub(super) async fn run(command: TestCommand) -> anyhow::Result<()> {
    match command {
        TestCommand::List(args) => list(&args).await,
        TestCommand::Show { target, name } => {
            let detail: TestDetail = Client::new(&target)?.get(&path_of(&name)).await?;
            show(&target, &detail)
        }
        TestCommand::Create { target, file } => create(&target, &file).await,
        TestCommand::Delete { target, name } => {
            Client::new(&target)?.delete(&path_of(&name)).await?;
            println!("{}: taken away", clean(&name));
            Ok(())
        }
        TestCommand::Heat(args) => super::test_heat::run(&args).await,
        TestCommand::Path(args) => super::test_path::run(&args).await,
        TestCommand::Run(args) => super::test_run::run(&args).await,
    }
}

pub(super) fn path_of(name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/v1/tests/{name}")
}

pub(super) fn text_of(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("what is piped in cannot be read")?;
    } else {
        text = std::fs::read_to_string(file)
            .with_context(|| format!("{}: cannot be read", file.display()))?;
    }
    Ok(text)
}

async fn create(target: &Target, file: &Path) -> anyhow::Result<()> {
    let applied: TestsApplied = Client::new(target)?.post_text("/v1/tests", text_of(file)?).await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&applied)?);
        return Ok(());
    }
    for item in &applied.items {
        println!("{}: {}, {}", clean(&item.name), item.change, runs_at(&item.runs_at));
    }
    Ok(())
}

fn runs_at(sites: &[SiteId]) -> String {
    match sites {
        [] => "no site runs it now".to_owned(),
        sites => {
            let names: Vec<&str> = sites.iter().take(10).map(SiteId::as_str).collect();
            let more = sites.len() - names.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("runs at {}{more}", names.join(", "))
        }
    }
}

async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    for state in &args.state {
        query.append_pair("state", &word(state));
    }
    let options = [("site", &args.site), ("target", &args.host), ("window", &args.window)];
    for (name, value) in options {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let found: TestList =
        Client::new(&args.target)?.get(&format!("/v1/tests?{}", query.finish())).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    if found.items.is_empty() {
        println!("{}", none(args));
    } else {
        let mut table = Table::new([
            "TEST",
            "STATE",
            "PROBE",
            "TARGET",
            "EVERY",
            "SITES",
            "FAILS AT",
            "GOOD",
            "P50/P95/P99 ms",
        ]);
        for test in &found.items {
            table.row(line(test));
        }
        print!("{table}");
        if args.window.is_none() {
            println!("--window 1h asks every site's rows for what is good and how long it takes");
        }
    }
    if found.total > found.items.len() as u64 {
        println!("{} of {}; --limit shows more", found.items.len(), found.total);
    }
    for (name, count) in found.counters.iter().filter(|(name, _)| name.starts_with("left_out")) {
        println!("this node {}: {count} runs", name.replace('_', " "));
    }
    incomplete(found.asked.as_ref());
    unheard(&found.freshness);
    Ok(())
}

/// What an empty list means.
fn none(args: &ListArgs) -> String {
    let host = args.host.as_ref().map(|host| format!("of {}", clean(host)));
    let site = args.site.as_ref().map(|site| format!("that {} runs", clean(site)));
    let states: Vec<String> = args.state.iter().map(word).collect();
    let states = (!states.is_empty()).then(|| format!("{} now", states.join(" or ")));
    let asked: Vec<String> = [host, site, states].into_iter().flatten().collect();
    match &asked[..] {
        [] => "no tests; `holm test create FILE` makes some, docs/tests.md says how".into(),
        asked => format!("no tests {}; without options all are listed", asked.join(", ")),
    }
}

fn line(test: &TestView) -> [String; 9] {
    let runs = test.sites.iter().filter(|site| site.part == TestPart::Runs).count();
    let failing: Vec<&str> = test.failing.iter().map(SiteId::as_str).collect();
    let every = test.interval_ms.map(std::time::Duration::from_millis).map(holm_active::length);
    [
        clean(&test.name),
        word(&test.state),
        test.probe.clone().unwrap_or_else(|| "-".into()),
        clean(test.target.as_deref().unwrap_or("-")),
        every.unwrap_or_else(|| "-".into()),
        runs.to_string(),
        if failing.is_empty() { "-".into() } else { failing.join(", ") },
        ratio(test.stats.as_ref()),
        quantiles(test.stats.as_ref()),
    ]
}

fn ratio(stats: Option<&TestStats>) -> String {
    stats.map_or_else(|| "-".into(), |stats| format!("{:.2} %", 100.0 * stats.success_ratio))
}

fn quantiles(stats: Option<&TestStats>) -> String {
    let number = |ms: Option<f64>| ms.map_or_else(|| "-".into(), |ms| format!("{ms:.1}"));
    stats.map_or_else(
        || "-".into(),
        |stats| {
            format!("{}/{}/{}", number(stats.p50_ms), number(stats.p95_ms), number(stats.p99_ms))
        },
    )
}

fn show(target: &Target, detail: &TestDetail) -> anyhow::Result<()> {
    if target.json {
        println!("{}", serde_json::to_string_pretty(detail)?);
        return Ok(());
    }
    let test = &detail.test;
    println!("{}: {}", clean(&test.name), word(&test.state));
    if let Some(description) = &test.description {
        println!("{}", clean(description));
    }
    if let (Some(probe), Some(what)) = (&test.probe, &test.target) {
        println!("{probe} {}", clean(what));
    }
    println!("edited by {} at {}", clean(&test.edited_by), test.edited_at);
    if let Some(problem) = &test.problem {
        println!("{}", clean(problem));
    }
    for conflict in &test.conflicts {
        let did = if conflict.removed { "took it away" } else { "says something else" };
        println!("{} {did} at {}; the next edit decides", clean(&conflict.by), conflict.at);
    }
    let now = Millis::now();
    let mut table =
        Table::new(["SITE", "", "STATE", "SINCE", "RESULTS", "GOOD", "P50/P95/P99 ms", "ERROR"]);
    for site in &test.sites {
        table.row(site_line(site, now));
    }
    if !table.is_empty() {
        print!("{table}");
    }
    for site in &test.sites {
        for (why, count) in site.left_out.iter().flatten() {
            println!("{}: {}: {count} runs", site.site, why.replace('_', " "));
        }
    }
    if !detail.others.is_empty() {
        println!("others that look at the same host:");
        let mut table = Table::new(["TEST", "SITE", "STATE", "SINCE", "ERROR"]);
        for other in &detail.others {
            table.row([
                clean(&other.test),
                other.site.to_string(),
                word(&other.state),
                age(other.since, now),
                clean(other.error.as_deref().unwrap_or("-")),
            ]);
        }
        print!("{table}");
    }
    incomplete(detail.asked.as_ref());
    unheard(&detail.freshness);
    Ok(())
}

fn site_line(site: &TestSite, now: Millis) -> [String; 8] {
    let part = match site.part {
        TestPart::Runs => "runs it",
        TestPart::InReserve => "in reserve",
        TestPart::Away => "away",
    };
    [
        site.site.to_string(),
        part.to_owned(),
        word(&site.state),
        age(site.since, now),
        site.stats.as_ref().map_or_else(|| "-".into(), |stats| stats.results.to_string()),
        ratio(site.stats.as_ref()),
        quantiles(site.stats.as_ref()),
        clean(site.error.as_deref().unwrap_or("-")),
    ]
}

/// Which sites are not in the statistics.
pub(super) fn incomplete(asked: Option<&TestAsked>) {
    let Some(asked) = asked.filter(|asked| !asked.complete) else { return };
    let missing = asked.sites.iter().filter(|site| matches!(&*site.state, "late" | "failed"));
    for site in missing {
        let why = site.error.as_deref().unwrap_or("it did not answer in time");
        println!("not in the statistics: {}: {}", site.site, clean(why));
    }
}

pub(super) async fn matrix(args: &MatrixArgs) -> anyhow::Result<()> {
    let found: MeshMatrix = Client::new(&args.target)?.get("/v1/mesh/matrix").await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let what = match args.show {
        Shown::Rtt => "round trip, middle, ms",
        Shown::P95 => "round trip, 95 of 100, ms",
        Shown::Loss => "loss, %",
        Shown::Jitter => "jitter, ms",
        Shown::OneWay => "one way, ms ± error",
    };
    println!("{what}; from the site at the left to the site above; - not measured, ! down, ? old");
    let width = |text: &str| text.chars().count();
    let first = found.sites.iter().map(|site| width(site.as_str())).max().unwrap_or(0);
    let cell = |from: &SiteId, to: &SiteId| {
        if from == to {
            return "·".to_owned();
        }
        let found = found.cells.iter().find(|cell| cell.from == *from && cell.to == *to);
        found.map_or_else(|| "-".to_owned(), |cell| shown(cell, args.show))
    };
    let columns: Vec<Vec<String>> = found
        .sites
        .iter()
        .map(|to| found.sites.iter().map(|from| cell(from, to)).collect())
        .collect();
    print!("{:first$}", "");
    let widths: Vec<usize> = found
        .sites
        .iter()
        .zip(&columns)
        .map(|(to, column)| {
            column.iter().map(|text| width(text)).chain([width(to.as_str())]).max().unwrap_or(0)
        })
        .collect();
    for (to, wide) in found.sites.iter().zip(&widths) {
        print!("  {:>wide$}", to.as_str());
    }
    println!();
    for (row, from) in found.sites.iter().enumerate() {
        print!("{:first$}", from.as_str());
        for (column, wide) in columns.iter().zip(&widths) {
            print!("  {:>wide$}", column[row]);
        }
        println!();
    }
    for site in &found.unheard {
        println!("{}: {}", site.site, clean(&site.reason));
    }
    Ok(())
}

fn shown(cell: &MatrixCell, show: Shown) -> String {
    let number = match show {
        Shown::Rtt => cell.rtt_p50_ms,
        Shown::P95 => cell.rtt_p95_ms,
        Shown::Loss => cell.loss.map(|loss| 100.0 * loss),
        Shown::Jitter => cell.jitter_ms,
        Shown::OneWay => cell.one_way_ms,
    };
    let mark = match cell.state {
        PairState::Down => "!",
        PairState::Stale => "?",
        PairState::Ok | PairState::Lossy | PairState::NotMeasured => "",
    };
    let text = match (number, show, cell.one_way_error_ms) {
        (None, ..) => "-".to_owned(),
        (Some(ms), Shown::OneWay, Some(error)) => format!("{ms:.2}±{error:.2}"),
        (Some(number), ..) => format!("{number:.2}"),
    };
    format!("{text}{mark}")
}
