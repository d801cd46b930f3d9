//! `holm change`: what people and machines changed, and where it is told from.

use clap::{Args, Subcommand};
use holm_model::Millis;

use super::Target;
use super::client::Client;
use super::render::{Table, age, clean};
use crate::api::recorded_changes_types::{
    ChangeProvider, ChangeSource, ChangeSourceList, CreatedChangeSource, NewChangeSourceRequest,
    RankedChangeList, RecordedChange, RecordedChangeKind, RecordedChangeList,
};

#[derive(Debug, Subcommand)]
pub(crate) enum ChangeCommand {
    /// The changes of the last day, the latest first.
    List(ListArgs),
    /// One change.
    Show {
        #[command(flatten)]
        target: Target,
        /// Its id.
        id: String,
    },
    /// Sources of webhooks: each has a secret and an address to send to.
    #[command(subcommand)]
    Source(SourceCommand),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    target: Target,
    /// Made since: RFC 3339, or milliseconds since 1970; a day ago unless given.
    #[arg(long)]
    from: Option<String>,
    /// Made until.
    #[arg(long)]
    to: Option<String>,
    /// Of this kind; may be given again.
    #[arg(long)]
    kind: Vec<RecordedChangeKind>,
    /// Of what has this in its name.
    #[arg(long, value_name = "TEXT")]
    about: Option<String>,
    /// Most of them.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SourceCommand {
    /// Make one; its secret is shown this once.
    Create {
        #[command(flatten)]
        target: Target,
        /// What you call it.
        #[arg(long)]
        name: String,
        /// Who sends.
        #[arg(long)]
        provider: ChangeProvider,
        /// A file with the secret that the provider has already; one is made otherwise.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<std::path::PathBuf>,
    },
    /// Those there are, and what became of their deliveries at the node that answers.
    List(Target),
    /// End one: its deliveries are refused from now on.
    Revoke {
        #[command(flatten)]
        target: Target,
        /// Its id.
        id: String,
    },
}

/// The changes that an incident may come from.
#[derive(Debug, Args)]
pub(crate) struct RankedArgs {
    #[command(flatten)]
    target: Target,
    /// The incident.
    id: String,
    /// How long before it changes are looked for, in hours.
    #[arg(long, default_value_t = 24)]
    window_h: usize,
    /// Most of them.
    #[arg(long, default_value_t = 10)]
    limit: usize,
}

pub(super) async fn run(command: ChangeCommand) -> anyhow::Result<()> {
    match command {
        ChangeCommand::List(args) => list(&args).await,
        ChangeCommand::Show { target, id } => {
            let path = format!("/v1/changes/{}", in_path(&id));
            let change: RecordedChange = Client::new(&target)?.get(&path).await?;
            show(&target, &change)
        }
        ChangeCommand::Source(SourceCommand::Create { target, name, provider, secret_file }) => {
            create(&target, name, provider, secret_file.as_deref()).await
        }
        ChangeCommand::Source(SourceCommand::List(target)) => sources(&target).await,
        ChangeCommand::Source(SourceCommand::Revoke { target, id }) => {
            let path = format!("/v1/changes/sources/{}", in_path(&id));
            Client::new(&target)?.delete(&path).await?;
            println!("{id} is revoked");
            Ok(())
        }
    }
}

fn in_path(id: &str) -> String {
    form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

/// The word that the API writes for a value.
fn word<T: clap::ValueEnum>(value: &T) -> String {
    // Every value has a name, and the names are those of the API.
    value.to_possible_value().map_or_else(String::new, |name| name.get_name().to_owned())
}

async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    for (name, value) in [("from", &args.from), ("to", &args.to), ("target", &args.about)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    for kind in &args.kind {
        query.append_pair("kind", &word(kind));
    }
    let path = format!("/v1/changes?{}", query.finish());
    let found: RecordedChangeList = Client::new(&args.target)?.get(&path).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let now = Millis::now();
    let mut table = Table::new(["CHANGE", "KIND", "AGO", "BY", "OF", "WHAT"]);
    for change in &found.items {
        table.row([
            change.id.clone(),
            word(&change.kind),
            age(Some(change.at), now),
            change.author.clone().unwrap_or_else(|| "-".into()),
            of(change),
            change.title.clone(),
        ]);
    }
    if table.is_empty() {
        println!("no changes like these from {} to {}", found.from, found.to);
    } else {
        print!("{table}");
    }
    let shown = found.items.len() as u64;
    if shown < found.total {
        println!("showing {shown} of {}; --limit shows more", found.total);
    }
    Ok(())
}

/// What was changed: as the topology calls it, else in the words of the source.
fn of(change: &RecordedChange) -> String {
    let mut names = change.targets.clone();
    if names.is_empty() {
        names.extend(change.words.iter().map(|word| format!("{word}?")));
    }
    names.extend(change.prefix.clone());
    if names.is_empty() { "-".into() } else { names.join(", ") }
}

fn show(target: &Target, change: &RecordedChange) -> anyhow::Result<()> {
    if target.json {
        println!("{}", serde_json::to_string_pretty(change)?);
        return Ok(());
    }
    println!("{}  {}", change.id, clean(&change.title));
    println!("kind       {}", word(&change.kind));
    println!("made       {}, taken {}", change.at, change.taken_at);
    println!("by         {}", clean(change.author.as_deref().unwrap_or("-")));
    println!("of         {}", clean(&of(change)));
    if !change.anchored {
        println!("           nothing that it names was in the topology when it was taken");
    }
    let source = change.source_name.as_deref().unwrap_or(&change.source);
    println!("from       {}, taken by {}", clean(source), change.taken_by.join(", "));
    if let Some(url) = &change.url {
        println!("more       {}", clean(url));
    }
    for (key, value) in &change.attributes {
        println!("           {} {}", clean(key), clean(value));
    }
    Ok(())
}

async fn create(
    target: &Target,
    name: String,
    provider: ChangeProvider,
    secret: Option<&std::path::Path>,
) -> anyhow::Result<()> {
    use anyhow::Context;
    let secret = secret.map(|path| {
        let text = std::fs::read_to_string(path);
        text.with_context(|| format!("{}: cannot be read", path.display()))
    });
    let secret = secret.transpose()?.map(|text| text.trim().to_owned());
    let new = NewChangeSourceRequest { name, provider, secret };
    let made: CreatedChangeSource = Client::new(target)?.post("/v1/changes/sources", &new).await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&made)?);
        return Ok(());
    }
    println!("source     {}", made.source.id);
    println!("address    https://any node of the tenant{}", made.source.path);
    println!("secret     {}", made.secret);
    println!("The secret is not shown again.");
    Ok(())
}

async fn sources(target: &Target) -> anyhow::Result<()> {
    let found: ChangeSourceList = Client::new(target)?.get("/v1/changes/sources").await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let now = Millis::now();
    let mut table =
        Table::new(["SOURCE", "NAME", "PROVIDER", "STATE", "ACCEPTED", "AGAIN", "REFUSED", "LAST"]);
    for source in &found.items {
        table.row([
            source.id.clone(),
            source.name.clone(),
            word(&source.provider),
            state(source),
            source.here.accepted.to_string(),
            source.here.known.to_string(),
            refused(source).to_string(),
            age(source.here.last_at, now),
        ]);
    }
    if table.is_empty() {
        println!("no sources; `holm change source create` makes one");
    } else {
        print!("{table}");
    }
    let refused = &found.refused_here;
    if refused.unknown > 0 {
        println!("{} deliveries to sources that are not there were refused here", refused.unknown);
    }
    Ok(())
}

fn state(source: &ChangeSource) -> String {
    match &source.revoked_by {
        Some(by) => format!("revoked by {by}"),
        None => "live".into(),
    }
}

fn refused(source: &ChangeSource) -> u64 {
    let here = &source.here;
    here.refused_signature
        + here.refused_stale
        + here.refused_size
        + here.refused_body
        + here.refused_write
}

pub(super) async fn ranked(args: &RankedArgs) -> anyhow::Result<()> {
    let id = in_path(&args.id);
    let (limit, window_h) = (args.limit, args.window_h);
    let path = format!("/v1/incidents/{id}/changes?limit={limit}&window_h={window_h}");
    let found: RankedChangeList = Client::new(&args.target)?.get(&path).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    println!(
        "{} began {} and is about {}",
        found.incident,
        found.began_at,
        clean(&found.about.join(", "))
    );
    if found.items.is_empty() {
        println!("no changes are known from {} to {}", found.from, found.to);
    }
    for ranked in &found.items {
        let change = &ranked.change;
        let by = change.author.as_deref().map_or(String::new(), |by| format!(" by {by}"));
        let head = format!("{} {}{by}, {}", word(&change.kind), of(change), change.title);
        println!("\n{:>5.1}  {}  {}", ranked.score, change.id, clean(&head));
        for part in ranked.parts.iter().filter(|p| p.points > 0.0 || p.name == "distance") {
            println!("       {:>5.1}  {:<8}  {}", part.points, part.name, clean(&part.why));
        }
    }
    let shown = found.items.len() as u64;
    if shown < found.total {
        println!("\nshowing {shown} of {}; --limit shows more", found.total);
    }
    Ok(())
}
