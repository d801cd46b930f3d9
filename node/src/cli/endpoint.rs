//! `holm endpoint`: laptops and branch devices, and which part of their way is to blame.

use clap::{Args, Subcommand};
use holm_model::Millis;

use super::incidents::{unheard, word};
use super::render::{Table, age, clean};
use super::test::incomplete;
use super::{Client, Target};
use crate::api::endpoints_types::{
    CreatedEndpointToken, EndpointAttribution, EndpointDetail, EndpointList, EndpointView,
    NewEndpointRequest,
};

#[derive(Debug, Subcommand)]
pub(crate) enum EndpointCommand {
    /// The endpoints as any site heard them last, what is impaired first.
    List(ListArgs),
    /// One endpoint: its whole way, and what it was before.
    Show(ShowArgs),
    /// Make a token for an endpoint's agent; its text is shown this once. It counts at every node of the tenant.
    Token(NameArgs),
    /// End every token of an endpoint, everywhere.
    Revoke(NameArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    target: Target,
    /// Only endpoints of which this is to blame; may be given again.
    #[arg(long)]
    attribution: Vec<EndpointAttribution>,
    /// How far back is looked: 1s to 30d; 1d otherwise.
    #[arg(long)]
    window: Option<String>,
    /// Most of them.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    target: Target,
    /// The endpoint.
    name: String,
    /// How far back is looked: 1s to 30d; 1d otherwise.
    #[arg(long)]
    window: Option<String>,
    /// Most moments of its history.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    #[command(flatten)]
    target: Target,
    /// The endpoint: 1 to 63 small letters, digits and -.
    name: String,
}

pub(super) async fn run(command: EndpointCommand) -> anyhow::Result<()> {
    match command {
        EndpointCommand::List(args) => list(&args).await,
        EndpointCommand::Show(args) => show(&args).await,
        EndpointCommand::Token(args) => token(&args).await,
        EndpointCommand::Revoke(args) => {
            let path = format!("/v1/endpoints/{}", encoded(&args.name));
            Client::new(&args.target)?.delete(&path).await?;
            eprintln!("Every token of {} is revoked; what it sent stays.", clean(&args.name));
            Ok(())
        }
    }
}

/// A name as it stands in a path.
fn encoded(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

async fn token(args: &NameArgs) -> anyhow::Result<()> {
    let new = NewEndpointRequest { name: args.name.clone() };
    let made: CreatedEndpointToken = Client::new(&args.target)?.post("/v1/endpoints", &new).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&made)?);
        return Ok(());
    }
    // The token alone on standard output, so that a script can take it.
    println!("{}", made.token);
    eprintln!(
        "Token {} of endpoint {}, shown this once. On its machine: holm agent run --dir DIR --node URL --ca FILE",
        made.id, made.name
    );
    Ok(())
}

async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    for attribution in &args.attribution {
        query.append_pair("attribution", &word(attribution));
    }
    if let Some(window) = &args.window {
        query.append_pair("window", window);
    }
    let found: EndpointList =
        Client::new(&args.target)?.get(&format!("/v1/endpoints?{}", query.finish())).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    if found.items.is_empty() {
        println!("there is no endpoint; `holm endpoint token NAME` makes a token for one's agent");
    } else {
        let mut table =
            Table::new(["ENDPOINT", "TO BLAME", "SURE", "HEARD", "LIVE", "SITE", "EVIDENCE"]);
        for item in &found.items {
            table.row(line(item));
        }
        print!("{table}");
    }
    if found.total > found.items.len() as u64 {
        println!("{} of {}; --limit shows more", found.items.len(), found.total);
    }
    if found.cut {
        println!("there are more endpoints than can be looked at");
    }
    incomplete(Some(&found.asked));
    unheard(&found.freshness);
    Ok(())
}

fn line(item: &EndpointView) -> [String; 7] {
    let dash = || "-".to_owned();
    [
        clean(&item.name),
        item.attribution.map_or_else(dash, |of| word(&of)),
        item.confidence.map_or_else(dash, |sure| format!("{sure:.2}")),
        age(item.observed_at, Millis::now()),
        if item.live { "yes" } else { "no" }.to_owned(),
        item.site.as_ref().map_or_else(dash, ToString::to_string),
        item.evidence.first().map_or_else(dash, |text| clean(text)),
    ]
}

async fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    if let Some(window) = &args.window {
        query.append_pair("window", window);
    }
    let path = format!("/v1/endpoints/{}?{}", encoded(&args.name), query.finish());
    let found: EndpointDetail = Client::new(&args.target)?.get(&path).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let of = &found.endpoint;
    match (&of.site, of.attribution) {
        (Some(site), Some(attribution)) => println!(
            "{}: {}, confidence {:.2}, heard {} ago by {site}{}",
            clean(&of.name),
            word(&attribution),
            of.confidence.unwrap_or_default(),
            age(of.observed_at, Millis::now()),
            if of.live { "" } else { "; it is not live" }
        ),
        _ => println!("{}: not heard in the window", clean(&of.name)),
    }
    let mut table = Table::new(["PART", "STATE", "WHAT WAS MEASURED"]);
    for layer in &of.layers {
        table.row([word(&layer.part), word(&layer.state), clean(&layer.text)]);
    }
    print!("{table}");
    let mut table = Table::new(["AT", "TO BLAME", "SITE", "EVIDENCE"]);
    for moment in &found.history {
        let evidence = moment.evidence.as_deref().map_or_else(|| "-".to_owned(), clean);
        let at = moment.observed_at.to_string();
        table.row([at, word(&moment.attribution), moment.site.to_string(), evidence]);
    }
    print!("{table}");
    let counts = &found.counts;
    println!(
        "{} tokens count; since its start {} took {} samples, knew {}, refused {}; the agent let go of {}",
        found.tokens.len(),
        found.node,
        counts.accepted,
        counts.known,
        counts.refused,
        counts.dropped_by_agent
    );
    incomplete(Some(&found.asked));
    unheard(&found.freshness);
    Ok(())
}
