//! `holm page`: who is told of incidents, by which provider, and what became of it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use holm_model::{Millis, SiteId};

use super::Target;
use super::client::Client;
use super::incidents::{unheard, word};
use super::render::{Table, age, clean};
use crate::api::incidents_types::SeverityView;
use crate::api::pages_types::{
    PageConnector, PageConnectorList, PageConnectorRequest, PageDelivery, PageDeliveryList,
    PageEvent, PageMail, PageProvider, PageRoute, PageRouteList, PageRouteRequest, PageState,
    PageTestResult,
};

#[derive(Debug, Subcommand)]
pub(crate) enum PageCommand {
    /// How providers are reached, and how it stands with each.
    Connectors(Target),
    /// Which incidents are told by which connectors.
    Routes(Target),
    /// Write a connector or a route.
    #[command(subcommand)]
    Set(Box<SetCommand>),
    /// Take a connector or a route away.
    #[command(subcommand)]
    Delete(DeleteCommand),
    /// What was told, by all sites, and what became of it; the latest first.
    List(ListArgs),
    /// Queue a dead letter again.
    Replay {
        #[command(flatten)]
        target: Target,
        /// Its id, from `holm page list --state dead`.
        #[arg(required_unless_present = "connector")]
        id: Option<String>,
        /// All dead letters of this connector instead.
        #[arg(long, conflicts_with = "id")]
        connector: Option<String>,
    },
    /// Send a page by a connector that says that nothing is wrong.
    Test {
        #[command(flatten)]
        target: Target,
        /// The connector.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SetCommand {
    /// How a provider is reached. What is not given is as if it was never given, secrets aside.
    Connector(ConnectorArgs),
    /// Which incidents are told by which connectors.
    Route(RouteArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeleteCommand {
    /// A connector that no route names.
    Connector {
        #[command(flatten)]
        target: Target,
        name: String,
    },
    /// A route.
    Route {
        #[command(flatten)]
        target: Target,
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConnectorArgs {
    #[command(flatten)]
    target: Target,
    /// What you call it: small letters, digits and -.
    name: String,
    /// Who is told.
    #[arg(long)]
    provider: PageProvider,
    /// Where the provider is.
    #[arg(long = "to-url", value_name = "URL")]
    to_url: Option<String>,
    /// A file with the secret; the one that is known stays otherwise. - reads what is piped in.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// A file with the secret of inbound webhooks.
    #[arg(long, value_name = "FILE")]
    inbound_secret_file: Option<PathBuf>,
    /// Of mail, Jira and ServiceNow: who logs in.
    #[arg(long)]
    user: Option<String>,
    /// Of mail: from whom.
    #[arg(long)]
    from: Option<String>,
    /// Of mail: to whom; may be given again.
    #[arg(long)]
    to: Vec<String>,
    /// Of mail: how it is encrypted.
    #[arg(long)]
    tls: Option<PageMail>,
    /// Of Slack: the channel's id.
    #[arg(long)]
    channel: Option<String>,
    /// Of Jira: the key of the project.
    #[arg(long)]
    project: Option<String>,
    /// Of Jira: the type of the issue.
    #[arg(long)]
    issue_type: Option<String>,
    /// Of Jira: the transition that ends an issue. Of ServiceNow: the code with which an incident is resolved.
    #[arg(long)]
    done: Option<String>,
    /// Of Jira: the version of its API, 2 or 3.
    #[arg(long)]
    api: Option<u8>,
    /// A file with a root certificate (PEM) that is trusted beside the system's.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Only this site delivers; may be given again.
    #[arg(long)]
    site: Vec<SiteId>,
    /// Send nothing for now.
    #[arg(long)]
    paused: bool,
    /// Most requests an hour of one node.
    #[arg(long)]
    attempts_an_hour: Option<u32>,
    /// Most pages a minute.
    #[arg(long)]
    pages_a_minute: Option<u32>,
    /// How long a page is tried, in hours.
    #[arg(long)]
    give_up_after_h: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct RouteArgs {
    #[command(flatten)]
    target: Target,
    /// What you call it: small letters, digits and -.
    name: String,
    /// By this connector; may be given again.
    #[arg(long, required = true)]
    connector: Vec<String>,
    /// As grave as this, or graver.
    #[arg(long, default_value = "critical")]
    severity: SeverityView,
    /// Reported by this site; may be given again.
    #[arg(long)]
    site: Vec<SiteId>,
    /// About this, by its id, in which * stands for anything; may be given again.
    #[arg(long, value_name = "PATTERN")]
    about: Vec<String>,
    /// From this plane; may be given again.
    #[arg(long)]
    plane: Vec<String>,
    /// With a report of this kind; may be given again.
    #[arg(long)]
    kind: Vec<String>,
    /// Do not tell the end.
    #[arg(long)]
    no_resolve: bool,
    /// How long it must be open before it is told: 5m.
    #[arg(long, value_parser = humantime::parse_duration)]
    after: Option<std::time::Duration>,
    /// How long after a page it is told again while nobody looks at it: 30m.
    #[arg(long, value_parser = humantime::parse_duration)]
    repeat: Option<std::time::Duration>,
    /// It counts for nothing for now.
    #[arg(long)]
    paused: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    target: Target,
    /// About this incident.
    #[arg(long)]
    incident: Option<String>,
    /// By this connector.
    #[arg(long)]
    connector: Option<String>,
    /// In this state; may be given again.
    #[arg(long)]
    state: Vec<PageState>,
    /// Most of them.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub(super) async fn run(command: PageCommand) -> anyhow::Result<()> {
    match command {
        PageCommand::Connectors(target) => connectors(&target).await,
        PageCommand::Routes(target) => routes(&target).await,
        PageCommand::Set(set) => match *set {
            SetCommand::Connector(args) => set_connector(args).await,
            SetCommand::Route(args) => set_route(args).await,
        },
        PageCommand::Delete(DeleteCommand::Connector { target, name }) => {
            remove(&target, "connectors", &name).await
        }
        PageCommand::Delete(DeleteCommand::Route { target, name }) => {
            remove(&target, "routes", &name).await
        }
        PageCommand::List(args) => list(&args).await,
        PageCommand::Replay { target, id, connector } => replay(&target, id, connector).await,
        PageCommand::Test { target, name } => test(&target, &name).await,
    }
}

fn path_of(kind: &str, name: &str) -> String {
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/v1/paging/{kind}/{name}")
}

/// A secret in a file, or piped in: never on the command line, where others read it.
fn read(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let Some(file) = file else { return Ok(None) };
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).context("what is piped in cannot be read")?
    } else {
        std::fs::read_to_string(file)
            .with_context(|| format!("{}: cannot be read", file.display()))?
    };
    Ok(Some(text.trim().to_owned()))
}

async fn set_connector(args: ConnectorArgs) -> anyhow::Result<()> {
    let asked = PageConnectorRequest {
        provider: args.provider,
        url: args.to_url,
        secret: read(args.secret_file.as_deref())?,
        inbound_secret: read(args.inbound_secret_file.as_deref())?,
        user: args.user,
        from: args.from,
        to: args.to,
        tls: args.tls,
        channel: args.channel,
        project: args.project,
        issue_type: args.issue_type,
        done: args.done,
        api: args.api,
        ca: read(args.root.as_deref())?,
        sites: args.site,
        paused: args.paused,
        attempts_an_hour: args.attempts_an_hour,
        pages_a_minute: args.pages_a_minute,
        give_up_after_h: args.give_up_after_h,
    };
    let path = path_of("connectors", &args.name);
    let written: PageConnector = Client::new(&args.target)?.put(&path, &asked).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&written)?);
        return Ok(());
    }
    println!("{}: written; `holm page test {}` tries it out", written.name, written.name);
    if let Some(path) = &written.inbound_path {
        println!("it hears at https://any node of the tenant{path}");
    }
    Ok(())
}

async fn set_route(args: RouteArgs) -> anyhow::Result<()> {
    let asked = PageRouteRequest {
        severity: Some(args.severity),
        sites: args.site.into_iter().collect(),
        targets: args.about,
        planes: args.plane.into_iter().collect(),
        kinds: args.kind.into_iter().collect(),
        connectors: args.connector.into_iter().collect(),
        resolve: Some(!args.no_resolve),
        after_s: args.after.map_or(0, |after| after.as_secs()),
        repeat_s: args.repeat.map(|repeat| repeat.as_secs()),
        paused: args.paused,
    };
    let path = path_of("routes", &args.name);
    let written: PageRoute = Client::new(&args.target)?.put(&path, &asked).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&written)?);
        return Ok(());
    }
    println!("{}: written; it tells {}", written.name, written.connectors.join(", "));
    Ok(())
}

async fn remove(target: &Target, kind: &str, name: &str) -> anyhow::Result<()> {
    Client::new(target)?.delete(&path_of(kind, name)).await?;
    println!("{}: taken away", clean(name));
    Ok(())
}

async fn connectors(target: &Target) -> anyhow::Result<()> {
    let found: PageConnectorList = Client::new(target)?.get("/v1/paging/connectors").await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let now = Millis::now();
    let mut table =
        Table::new(["CONNECTOR", "PROVIDER", "WHERE", "STATE", "QUEUED", "DEAD", "DELIVERED"]);
    for connector in &found.items {
        table.row([
            connector.name.clone(),
            connector.provider.as_ref().map_or_else(|| "-".into(), word),
            place(connector),
            standing(connector),
            connector.queued.to_string(),
            connector.dead.to_string(),
            age(connector.last_delivered_at, now),
        ]);
    }
    if table.is_empty() {
        println!("no connectors; `holm page set connector` makes one");
    } else {
        print!("{table}");
    }
    for connector in &found.items {
        if let (Some(why), Some(at)) = (&connector.last_failure, connector.last_failure_at) {
            println!("{} failed {at}: {}", connector.name, clean(why));
        }
        for conflict in &connector.conflicts {
            println!("{} was edited apart by {}", connector.name, clean(&conflict.by));
        }
    }
    println!("delivered by {}", found.pagers.join(", "));
    unheard(&found.freshness);
    Ok(())
}

fn place(connector: &PageConnector) -> String {
    let of = [&connector.url, &connector.channel, &connector.project];
    let mut parts: Vec<String> = of.into_iter().flatten().cloned().collect();
    parts.extend(connector.to.iter().cloned());
    if parts.is_empty() { "-".into() } else { parts.join(" ") }
}

fn standing(connector: &PageConnector) -> String {
    match (&connector.problem, connector.down_until) {
        (Some(problem), _) => problem.clone(),
        (None, Some(until)) => format!("down, tried again {until}"),
        (None, None) if !connector.conflicts.is_empty() => "disputed".into(),
        (None, None) => "good".into(),
    }
}

async fn routes(target: &Target) -> anyhow::Result<()> {
    let found: PageRouteList = Client::new(target)?.get("/v1/paging/routes").await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let mut table = Table::new(["ROUTE", "TAKES", "AFTER", "AGAIN", "THE END", "TELLS", "STATE"]);
    for route in &found.items {
        let seconds = |s: u64| {
            let length = humantime::format_duration(std::time::Duration::from_secs(s));
            length.to_string()
        };
        table.row([
            route.name.clone(),
            takes(route),
            seconds(route.after_s),
            route.repeat_s.map_or_else(|| "-".into(), seconds),
            if route.resolve { "told".into() } else { "not told".into() },
            route.connectors.join(", "),
            route.problem.clone().unwrap_or_else(|| "good".into()),
        ]);
    }
    if table.is_empty() {
        println!("no routes: nobody is told; `holm page set route` makes one");
    } else {
        print!("{table}");
    }
    Ok(())
}

fn takes(route: &PageRoute) -> String {
    let mut parts = vec![format!("{} or graver", word(&route.severity))];
    for (what, all) in [
        ("at", &route.sites),
        ("about", &route.targets),
        ("from", &route.planes),
        ("of", &route.kinds),
    ] {
        if !all.is_empty() {
            parts.push(format!("{what} {}", all.join(" ")));
        }
    }
    parts.join(", ")
}

/// What is told, in a word.
pub(super) fn event(event: PageEvent) -> &'static str {
    match event {
        PageEvent::Acknowledge => "acknowledge",
        PageEvent::Reopen => "reopen",
        PageEvent::Repeat => "repeat",
        PageEvent::Resolve => "resolve",
        PageEvent::Summary => "summary",
        PageEvent::Trigger => "trigger",
    }
}

async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    for (name, value) in [("incident", &args.incident), ("connector", &args.connector)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    for state in &args.state {
        query.append_pair("state", &word(state));
    }
    let path = format!("/v1/paging/deliveries?{}", query.finish());
    let found: PageDeliveryList = Client::new(&args.target)?.get(&path).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let now = Millis::now();
    let mut table =
        Table::new(["DELIVERY", "INCIDENT", "CONNECTOR", "WHAT", "STATE", "AGO", "TRIES", "BY"]);
    for delivery in &found.items {
        table.row([
            delivery.id.clone(),
            delivery.incident.clone(),
            delivery.connector.clone(),
            event(delivery.event).into(),
            word(&delivery.state),
            age(Some(delivery.at), now),
            delivery.attempts.to_string(),
            delivery.by.clone(),
        ]);
    }
    if table.is_empty() {
        println!("nothing like this was told");
    } else {
        print!("{table}");
    }
    for delivery in found.items.iter().filter(|d| d.state != PageState::Delivered) {
        if let Some(reason) = &delivery.reason {
            println!("{}: {}", delivery.id, clean(reason));
        }
    }
    let shown = found.items.len() as u64;
    if shown < found.total {
        println!("showing {shown} of {}; --limit shows more", found.total);
    }
    unheard(&found.freshness);
    Ok(())
}

async fn replay(
    target: &Target,
    id: Option<String>,
    connector: Option<String>,
) -> anyhow::Result<()> {
    let client = Client::new(target)?;
    let mut ids: Vec<String> = id.into_iter().collect();
    if let Some(connector) = &connector {
        let name: String = form_urlencoded::byte_serialize(connector.as_bytes()).collect();
        let path = format!("/v1/paging/deliveries?state=dead&limit=1000&connector={name}");
        let found: PageDeliveryList = client.get(&path).await?;
        ids.extend(found.items.into_iter().map(|delivery| delivery.id));
        if ids.is_empty() {
            bail!("no dead letters of connector {connector}");
        }
    }
    for id in ids {
        let path = format!("{}/replay", path_of("deliveries", &id));
        let again: PageDelivery = client.post(&path, &()).await?;
        match target.json {
            true => println!("{}", serde_json::to_string_pretty(&again)?),
            false => println!("{id}: queued again, by {}", again.by),
        }
    }
    Ok(())
}

async fn test(target: &Target, name: &str) -> anyhow::Result<()> {
    let path = format!("{}/test", path_of("connectors", name));
    let result: PageTestResult = Client::new(target)?.post(&path, &()).await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&result)?);
    }
    let reason = clean(result.reason.as_deref().unwrap_or_default());
    match (result.accepted, result.passing) {
        (true, _) if target.json => {}
        (true, _) => println!("{name}: the provider took it"),
        (false, true) => bail!("{name}: not taken now: {reason}"),
        (false, false) => bail!("{name}: refused: {reason}"),
    }
    Ok(())
}
