//! `holm alert`: what fires, the rules that say so, and silences.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use holm_model::{Millis, Severity};

use super::Target;
use super::client::Client;
use super::incidents::{unheard, word};
use super::render::{Table, age, clean};
use crate::api::alerts_types::{
    AlertList, AlertPreview, AlertPreviewRequest, AlertRuleDetail, AlertRuleList, AlertRuleState,
    AlertState, AlertView, AlertsApplied, NewSilence, PolicyFolder, SilenceList, SilenceState,
    SilenceView,
};
use crate::api::params::When;
use crate::api::types::Timestamp;
use crate::daemon::rounded;

#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// What fires or is about to, as all sites say that are heard.
    List(ListArgs),
    /// The rules and how they stand, those that need looking at first.
    Rules {
        #[command(flatten)]
        target: Target,
        /// In this state; may be given again.
        #[arg(long)]
        state: Vec<AlertRuleState>,
        /// Most of them.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// One rule: what it says, how it stands at each site, and what of it fires.
    Show {
        #[command(flatten)]
        target: Target,
        /// Its name.
        name: String,
    },
    /// Applies a file of rules, YAML or JSON: all of them, or none if anything is wrong with one.
    Apply {
        #[command(flatten)]
        target: Target,
        /// The file; - reads what is piped in.
        #[arg(short = 'f', long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Takes a rule away. What fires of it is over.
    Delete {
        #[command(flatten)]
        target: Target,
        /// Its name.
        name: String,
    },
    /// Says how a rule would have stood over this node's rows. Nothing is kept.
    Preview {
        #[command(flatten)]
        target: Target,
        /// A file with one rule; - reads what is piped in.
        #[arg(short = 'f', long, value_name = "FILE")]
        file: PathBuf,
        /// How far back, such as 6h or 3d; 14 days at most.
        #[arg(long, default_value = "6h")]
        last: humantime::Duration,
    },
    /// Silences what matches: nobody is told of it for a while.
    Silence {
        #[command(flatten)]
        target: Target,
        /// What must be so, all of it: rule, severity, site, target, a label, or a column of by. `*` is anything.
        #[arg(required = true, value_name = "NAME=PATTERN")]
        matchers: Vec<String>,
        /// For how long, such as 2h or 7d; 366 days at most.
        #[arg(long = "for", value_name = "DURATION")]
        length: humantime::Duration,
        /// Why.
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Takes a silence away.
    Unsilence {
        #[command(flatten)]
        target: Target,
        /// Its id.
        id: String,
    },
    /// The silences: those that are on first.
    Silences {
        #[command(flatten)]
        target: Target,
    },
    /// Writes all rules as a file: what `apply` takes.
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
    state: Vec<AlertState>,
    /// Of this severity: info, warning or critical.
    #[arg(long)]
    severity: Option<Severity>,
    /// As this site says.
    #[arg(long)]
    site: Option<String>,
    /// Of this rule.
    #[arg(long)]
    rule: Option<String>,
    /// Most of them.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub(super) async fn run(command: AlertCommand) -> anyhow::Result<()> {
    match command {
        AlertCommand::List(args) => list(&args).await,
        AlertCommand::Rules { target, state, limit } => rules(&target, &state, limit).await,
        AlertCommand::Show { target, name } => {
            let detail: AlertRuleDetail = Client::new(&target)?.get(&path_of(&name)).await?;
            print(&target, &detail)
        }
        AlertCommand::Apply { target, file } => apply(&target, &file).await,
        AlertCommand::Delete { target, name } => {
            Client::new(&target)?.delete(&path_of(&name)).await?;
            println!("{}: taken away", clean(&name));
            Ok(())
        }
        AlertCommand::Preview { target, file, last } => preview(&target, &file, *last).await,
        AlertCommand::Silence { target, matchers, length, comment } => {
            silence(&target, &matchers, *length, comment).await
        }
        AlertCommand::Unsilence { target, id } => {
            let path: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
            Client::new(&target)?.delete(&format!("/v1/alerts/silences/{path}")).await?;
            println!("{}: taken away", clean(&id));
            Ok(())
        }
        AlertCommand::Silences { target } => silences(&target).await,
        AlertCommand::Export { target } => {
            let all: Vec<serde_json::Value> =
                Client::new(&target)?.get("/v1/alerts/export").await?;
            println!("{}", serde_json::to_string_pretty(&all)?);
            Ok(())
        }
    }
}

fn path_of(name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/v1/alerts/rules/{name}")
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("what is piped in cannot be read")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))
}

async fn apply(target: &Target, file: &Path) -> anyhow::Result<()> {
    let text = read(file)?;
    let applied: AlertsApplied = Client::new(target)?.post_text("/v1/alerts/rules", text).await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&applied)?);
        return Ok(());
    }
    for item in &applied.items {
        println!("{}: {}", clean(&item.name), item.change);
        if let Some(problem) = &item.problem {
            println!("  not judged at this node: {}", clean(problem));
        }
    }
    Ok(())
}

async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    for state in &args.state {
        query.append_pair("state", &word(state));
    }
    let severity = args.severity.map(|severity| severity.as_str().to_owned());
    for (name, given) in [("severity", &severity), ("site", &args.site), ("rule", &args.rule)] {
        if let Some(given) = given {
            query.append_pair(name, given);
        }
    }
    let path = format!("/v1/alerts?{}", query.finish());
    let found: AlertList = Client::new(&args.target)?.get(&path).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    if found.items.is_empty() {
        println!("nothing fires, and nothing is about to");
    } else {
        print!("{}", table(&found.items));
    }
    let shown = found.items.len() as u64;
    if shown < found.total {
        println!("{shown} of {}; --limit shows more", found.total);
    }
    unheard(&found.freshness);
    Ok(())
}

fn table(items: &[AlertView]) -> Table {
    let now = Millis::now();
    let mut table =
        Table::new(["STATE", "SEVERITY", "RULE", "GROUP", "VALUE", "FOR", "SITE", "INCIDENT"]);
    for item in items {
        let group: Vec<&str> = item.group.values().map(String::as_str).collect();
        let incident = item.incident.as_ref().map(|incident| {
            let owner =
                incident.owner.as_ref().map_or(String::new(), |owner| format!(" ({owner})"));
            format!("{} {}{owner}", incident.id, word(&incident.state))
        });
        let dash = || "-".to_owned();
        table.row([
            word(&item.state),
            item.severity.to_string(),
            item.rule.clone(),
            if group.is_empty() { dash() } else { group.join(" ") },
            item.value.map_or_else(dash, rounded),
            age(Some(item.since), now),
            format!("{}/{}", item.site, item.node),
            incident.unwrap_or_else(dash),
        ]);
    }
    table
}

async fn rules(target: &Target, states: &[AlertRuleState], limit: usize) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &limit.to_string());
    for state in states {
        query.append_pair("state", &word(state));
    }
    let path = format!("/v1/alerts/rules?{}", query.finish());
    let found: AlertRuleList = Client::new(target)?.get(&path).await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let mut table =
        Table::new(["RULE", "STATE", "SEVERITY", "TABLE", "GROUPS", "FIRING", "PENDING", "FROM"]);
    for rule in &found.items {
        let from =
            rule.file.as_deref().map_or_else(|| "api".to_owned(), |file| format!("file {file}"));
        table.row([
            rule.name.clone(),
            word(&rule.state),
            rule.severity.to_string(),
            rule.table.clone().unwrap_or_else(|| "rules".into()),
            rule.groups.to_string(),
            rule.firing.to_string(),
            rule.pending.to_string(),
            from,
        ]);
    }
    if table.is_empty() {
        println!("no rules like these; `holm alert apply -f FILE` makes some");
    } else {
        print!("{table}");
    }
    for rule in &found.items {
        for node in rule.nodes.iter().filter(|node| node.problem.is_some()) {
            let problem = clean(node.problem.as_deref().unwrap_or_default());
            println!("{}: at {}/{}: {problem}", rule.name, node.site, node.node);
        }
    }
    let shown = found.items.len() as u64;
    if shown < found.total {
        println!("{shown} of {}; --limit shows more", found.total);
    }
    if let Some(folder) = &found.folder {
        print!("{}", folder_text(folder));
    }
    unheard(&found.freshness);
    Ok(())
}

/// What is wrong with the folder of policies.
fn folder_text(folder: &PolicyFolder) -> String {
    let mut text = format!("folder {}: {} files\n", clean(&folder.path), folder.files);
    if let Some(problem) = &folder.problem {
        text.push_str(&format!("  not read: {}\n", clean(problem)));
    }
    for file in &folder.refused {
        for problem in &file.problems {
            let line = format!("  {} is refused: {}\n", clean(&file.path), clean(problem));
            text.push_str(&line);
        }
    }
    text
}

fn print(target: &Target, detail: &AlertRuleDetail) -> anyhow::Result<()> {
    if target.json {
        println!("{}", serde_json::to_string_pretty(detail)?);
        return Ok(());
    }
    let rule = &detail.view;
    println!("{}  {}", rule.name, clean(&rule.title));
    println!("state      {}", word(&rule.state));
    println!("severity   {}", rule.severity);
    if let Some(description) = &rule.description {
        println!("to know    {}", clean(description));
    }
    for (name, text) in &rule.labels {
        println!("label      {} = {}", clean(name), clean(text));
    }
    println!("edited     by {} at {}", clean(&rule.edited_by), rule.edited_at);
    if let Some(file) = &rule.file {
        println!("file       {}: it is edited there", clean(file));
    }
    if let Some(problem) = &rule.problem {
        println!("problem    {}", clean(problem));
    }
    if let (Some(known), Some(needed)) = (rule.warming_known, rule.warming_needed) {
        println!("warming    {known} of {needed} earlier hours of this time are known");
    }
    for node in &rule.nodes {
        println!(
            "at {}/{}  {}  {} groups, {} fire, {} hold  ({})",
            node.site,
            node.node,
            word(&node.state),
            node.groups,
            node.firing,
            node.pending,
            node.as_of
        );
    }
    if !detail.alerts.is_empty() {
        print!("\n{}", table(&detail.alerts));
    }
    if let Some(object) = &detail.rule {
        println!("\n{}", serde_json::to_string_pretty(object)?);
    }
    unheard(&detail.freshness);
    Ok(())
}

async fn preview(target: &Target, file: &Path, last: Duration) -> anyhow::Result<()> {
    let to = Millis::now();
    let back = u64::try_from(last.as_millis()).unwrap_or(u64::MAX);
    let request =
        AlertPreviewRequest { rule: read(file)?, from: Some(When(to - back)), to: Some(When(to)) };
    let found: AlertPreview = Client::new(target)?.post("/v1/alerts/preview", &request).await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    println!("{} from {} to {}: {} rows looked at", found.rule, found.from, found.to, found.rows);
    if let Some(problem) = &found.problem {
        println!("problem: {}", clean(problem));
    }
    if let (Some(known), Some(needed)) = (found.warming_known, found.warming_needed) {
        println!("warming: {known} of {needed} earlier hours of this time are known");
    }
    for group in &found.groups {
        let name: Vec<&str> = group.group.values().map(String::as_str).collect();
        let name = if name.is_empty() { "all rows".to_owned() } else { clean(&name.join(" ")) };
        let values: Vec<f64> = group.points.iter().filter_map(|point| point.value).collect();
        let least = values.iter().copied().min_by(f64::total_cmp).map_or("-".into(), rounded);
        let most = values.iter().copied().max_by(f64::total_cmp).map_or("-".into(), rounded);
        println!("{name}: from {least} to {most}, would have fired {} times", group.firings.len());
        for spell in group.firings.iter().take(10) {
            let end = spell.end.map_or_else(|| "now".into(), |end| end.to_string());
            println!("  {} to {end}, after it held since {}", spell.at, spell.since);
        }
    }
    if found.groups.is_empty() {
        println!("there were no rows for it");
    }
    let shown = found.groups.len() as u64;
    if shown < found.groups_total {
        println!("{shown} of {} groups, those that fire first", found.groups_total);
    }
    Ok(())
}

async fn silence(
    target: &Target,
    given: &[String],
    length: Duration,
    comment: String,
) -> anyhow::Result<()> {
    let mut matchers = BTreeMap::new();
    for text in given {
        let Some((name, pattern)) = text.split_once('=') else {
            bail!("{text}: write NAME=PATTERN, such as rule=probes-*");
        };
        matchers.insert(name.to_owned(), pattern.to_owned());
    }
    let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let until = When(Millis(Millis::now().0.saturating_add(length)));
    let new = NewSilence { matchers, from: None, until, comment };
    let made: SilenceView = Client::new(target)?.post("/v1/alerts/silences", &new).await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&made)?);
        return Ok(());
    }
    println!("{} until {}", made.id, made.until);
    Ok(())
}

async fn silences(target: &Target) -> anyhow::Result<()> {
    let found: SilenceList = Client::new(target)?.get("/v1/alerts/silences").await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let mut table = Table::new(["ID", "STATE", "MATCHES", "UNTIL", "SILENCES", "BY", "COMMENT"]);
    for silence in &found.items {
        let matches: Vec<String> =
            silence.matchers.iter().map(|(name, text)| format!("{name}={text}")).collect();
        let state = match silence.state {
            SilenceState::On => "on",
            SilenceState::Coming => "coming",
            SilenceState::Over => "over",
        };
        table.row([
            silence.id.clone(),
            state.into(),
            matches.join(" "),
            Timestamp(silence.until.0).to_string(),
            silence.silences.to_string(),
            silence.created_by.clone(),
            silence.comment.clone(),
        ]);
    }
    if table.is_empty() {
        println!("no silences; `holm alert silence rule=NAME --for 2h` makes one");
    } else {
        print!("{table}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::alerts_types::PolicyFile;

    #[test]
    fn a_file_that_is_refused_is_named_with_what_is_wrong() {
        let folder = PolicyFolder {
            path: "/etc/holm/policies".into(),
            files: 3,
            problem: None,
            refused: vec![PolicyFile {
                path: "net.yaml".into(),
                tenant: "default".into(),
                problems: vec!["line 4, column 8: value: it is missing\u{1b}[2J".into()],
            }],
        };
        let text = folder_text(&folder);
        assert!(text.contains("net.yaml is refused: line 4, column 8"), "{text}");
        assert!(!text.contains('\u{1b}'), "no escape sequence reaches the terminal");
    }
}
