//! `holm incident`: what is wrong, why it is one thing, and what is done about it.

use clap::{Args, Subcommand};
use holm_model::{Millis, SiteId};

use super::Target;
use super::client::Client;
use super::render::{Table, age, clean};
use crate::api::incidents_types::{
    EntryKind, IncidentActionRequest, IncidentDetail, IncidentEntry, IncidentList, IncidentState,
    IncidentVerb, IncidentVerdict, IncidentView, SeverityView,
};
use crate::api::types::SiteStateView;

#[derive(Debug, Subcommand)]
pub(crate) enum IncidentCommand {
    /// The incidents: those that are not resolved, the gravest first.
    List(ListArgs),
    /// One incident: its reports, why they are one, and all that happened.
    Show {
        #[command(flatten)]
        target: Target,
        /// Its id.
        id: String,
    },
    /// The changes that it may come from, the likeliest first.
    Changes(super::change::RankedArgs),
    /// Say that you look at it.
    Ack(ActArgs),
    /// Say that its effect is over.
    Mitigate(ActArgs),
    /// Say that it is over; what is raised later opens it again.
    Resolve(ActArgs),
    /// Say that it is not over.
    Reopen(ActArgs),
    /// Write something down.
    Note(ActArgs),
    /// Say whose it is.
    Assign {
        #[command(flatten)]
        act: ActArgs,
        /// Whose; nobody's unless given.
        #[arg(long)]
        owner: Option<String>,
    },
    /// Say how grave it is.
    Grade {
        #[command(flatten)]
        act: ActArgs,
        #[arg(long)]
        severity: SeverityView,
    },
    /// Say that some of its faults are another incident.
    Split {
        #[command(flatten)]
        act: ActArgs,
        /// The faults, from `holm incident show`; may be given again.
        #[arg(long = "fault", required = true)]
        faults: Vec<String>,
    },
    /// Say that two incidents are one.
    Join {
        #[command(flatten)]
        act: ActArgs,
        /// The other one.
        #[arg(long)]
        with: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    target: Target,
    /// In this state; may be given again.
    #[arg(long)]
    state: Vec<IncidentState>,
    /// Also those that are resolved.
    #[arg(long, conflicts_with = "state")]
    all: bool,
    /// As grave as this, or graver.
    #[arg(long)]
    severity: Option<SeverityView>,
    /// Reported by this site.
    #[arg(long)]
    site: Option<SiteId>,
    /// With this in the name of what they are about.
    #[arg(long, value_name = "TEXT")]
    about: Option<String>,
    /// Most of them.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct ActArgs {
    #[command(flatten)]
    target: Target,
    /// The incident.
    id: String,
    /// What you have to say about it.
    #[arg(default_value = "")]
    text: String,
}

pub(super) async fn run(command: IncidentCommand) -> anyhow::Result<()> {
    use IncidentVerb::{Ack, Assign, Grade, Join, Mitigate, Note, Reopen, Resolve, Split};
    match command {
        IncidentCommand::List(args) => list(&args).await,
        IncidentCommand::Show { target, id } => {
            let path = format!("/v1/incidents/{}", in_path(&id));
            let detail: IncidentDetail = Client::new(&target)?.get(&path).await?;
            print(&target, &detail)
        }
        IncidentCommand::Changes(args) => super::change::ranked(&args).await,
        IncidentCommand::Ack(args) => act(args, Ack, plain()).await,
        IncidentCommand::Mitigate(args) => act(args, Mitigate, plain()).await,
        IncidentCommand::Resolve(args) => act(args, Resolve, plain()).await,
        IncidentCommand::Reopen(args) => act(args, Reopen, plain()).await,
        IncidentCommand::Note(args) => act(args, Note, plain()).await,
        IncidentCommand::Assign { act: args, owner } => {
            act(args, Assign, IncidentActionRequest { owner, ..plain() }).await
        }
        IncidentCommand::Grade { act: args, severity } => {
            let severity = Some(severity);
            act(args, Grade, IncidentActionRequest { severity, ..plain() }).await
        }
        IncidentCommand::Split { act: args, faults } => {
            act(args, Split, IncidentActionRequest { faults, ..plain() }).await
        }
        IncidentCommand::Join { act: args, with } => {
            act(args, Join, IncidentActionRequest { with: Some(with), ..plain() }).await
        }
    }
}

fn plain() -> IncidentActionRequest {
    let (text, owner, severity, faults, with) = (String::new(), None, None, Vec::new(), None);
    IncidentActionRequest { text, owner, severity, faults, with }
}

fn in_path(id: &str) -> String {
    form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

async fn act(
    args: ActArgs,
    verb: IncidentVerb,
    request: IncidentActionRequest,
) -> anyhow::Result<()> {
    let ActArgs { target, id, text } = args;
    let path = format!("/v1/incidents/{}/{}", in_path(&id), verb.as_str());
    let request = IncidentActionRequest { text, ..request };
    let detail: IncidentDetail = Client::new(&target)?.post(&path, &request).await?;
    print(&target, &detail)
}

async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    if args.all {
        query.append_pair("state", "all");
    }
    for state in &args.state {
        query.append_pair("state", &word(state));
    }
    if let Some(severity) = &args.severity {
        query.append_pair("severity", &word(severity));
    }
    if let Some(site) = &args.site {
        query.append_pair("site", site.as_str());
    }
    if let Some(about) = &args.about {
        query.append_pair("target", about);
    }
    let path = format!("/v1/incidents?{}", query.finish());
    let found: IncidentList = Client::new(&args.target)?.get(&path).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let now = Millis::now();
    let mut table =
        Table::new(["INCIDENT", "SEVERITY", "STATE", "FOR", "OWNER", "SEEN FROM", "WHAT"]);
    for incident in &found.items {
        table.row([
            incident.id.clone(),
            word(&incident.severity),
            state_text(incident),
            age(Some(incident.opened_at), now),
            incident.owner.clone().unwrap_or_else(|| "-".into()),
            verdict_text(incident),
            incident.title.clone(),
        ]);
    }
    if table.is_empty() {
        println!("no incidents like these; with --all those that are resolved are listed too");
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

/// The word that the API writes for a value.
pub(super) fn word<T: clap::ValueEnum>(value: &T) -> String {
    // Every value has a name, and the names are those of the API.
    value.to_possible_value().map_or_else(String::new, |name| name.get_name().to_owned())
}

fn state_text(incident: &IncidentView) -> String {
    let mut text = word(&incident.state);
    if incident.flapping {
        text.push_str(", comes and goes");
    }
    if incident.state == IncidentState::Resolved && incident.firing {
        text.push_str(", still firing");
    }
    if !incident.conflicts.is_empty() {
        text.push_str(", disputed");
    }
    text
}

fn verdict_text(incident: &IncidentView) -> String {
    let failed = incident.vantages.failed.len();
    let of = failed + incident.vantages.fine.len();
    let mut text = match incident.verdict {
        IncidentVerdict::Nothing => "-".into(),
        IncidentVerdict::OneVantage => {
            format!("{} only, of {of}", incident.vantages.failed.join(", "))
        }
        IncidentVerdict::Path => format!("{failed} of {of}: a way"),
        IncidentVerdict::TargetDown => format!("all {of} that look"),
        IncidentVerdict::Unconfirmed => {
            format!("{}, no other looks", incident.vantages.failed.join(", "))
        }
        IncidentVerdict::Us => {
            return format!("{}, cut off itself", incident.vantages.cut_off.join(", "));
        }
    };
    if !incident.vantages.cut_off.is_empty() {
        text.push_str(&format!("; not {}, cut off", incident.vantages.cut_off.join(", ")));
    }
    text
}

pub(super) fn unheard(freshness: &crate::api::topology_types::FreshnessView) {
    let heard = |state| matches!(state, SiteStateView::Here | SiteStateView::Live);
    let silent = freshness.sites.iter().filter(|site| !heard(site.state));
    let silent: Vec<&str> = silent.map(|site| site.site.as_str()).collect();
    if !silent.is_empty() {
        println!("not heard now: {}; what they know since is not here", silent.join(", "));
    }
}

fn print(target: &Target, detail: &IncidentDetail) -> anyhow::Result<()> {
    if target.json {
        println!("{}", serde_json::to_string_pretty(detail)?);
        return Ok(());
    }
    let incident = &detail.incident;
    println!("{}  {}", incident.id, clean(&incident.title));
    println!("severity   {}", word(&incident.severity));
    println!("state      {} since {}", state_text(incident), incident.state_since);
    if let Some(at) = incident.resolves_at {
        println!("           resolves by itself at {at} if nothing more is raised");
    }
    println!("owner      {}", clean(incident.owner.as_deref().unwrap_or("-")));
    println!("opened     {}", incident.opened_at);
    println!("seen from  {}", verdict_text(incident));
    println!("about      {}", clean(&incident.targets.join(", ")));
    if !incident.also.is_empty() {
        println!("faults     {}, {}", incident.id, incident.also.join(", "));
    }
    for conflict in &incident.conflicts {
        println!("disputed   {}, set at the same time:", conflict.field);
        conflict.actions.iter().for_each(|action| println!("             {}", entry_text(action)));
    }
    println!("\nreports");
    for report in &detail.reports {
        let join = detail.joins.iter().find(|join| join.report == report.id);
        let why = join.map_or_else(|| "the first".to_owned(), |join| join.text.clone());
        let state = if report.firing { "firing" } else { "over" };
        let (id, kind) = (clean(&report.id), clean(&report.kind));
        println!("  {id}  {kind} {}  {state}  fault {}", clean(&report.target), report.fault);
        println!("      because {}", clean(&why));
    }
    if !detail.pages.is_empty() {
        println!("\npaged");
        for page in &detail.pages {
            let (what, state) = (super::page::event(page.event), word(&page.state));
            let reason = page.reason.as_deref().map_or(String::new(), |why| format!(": {why}"));
            let (by, to) = (&page.by, &page.connector);
            println!("  {}  {what} by {to} from {by}, {state}{}", page.at, clean(&reason));
        }
    }
    println!("\nwhat happened");
    for entry in &detail.timeline {
        println!("  {}", entry_text(entry));
    }
    unheard(&detail.freshness);
    Ok(())
}

fn entry_text(entry: &IncidentEntry) -> String {
    let kind = match entry.kind {
        EntryKind::Action => "",
        EntryKind::Cleared => "cleared ",
        EntryKind::Raised => "raised ",
        EntryKind::State => "now ",
    };
    let value = entry.value.as_deref().map_or(String::new(), |value| format!(" {value}"));
    let text = if entry.text.is_empty() { String::new() } else { format!(": {}", entry.text) };
    let all = format!("{kind}{}{value}, {}{text}", entry.what, entry.by);
    format!("{}  {}", entry.at, clean(&all))
}
