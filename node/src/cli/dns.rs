//! `holm dns`: questions to name servers, as a node asks them.

use clap::{Args, Subcommand};

use super::Target;
use super::client::Client;
use super::incidents::word;
use super::render::{Table, clean, measured};
use crate::api::dns_trace::{DnsStepView, DnsTraceEndView, DnsTraceRequest, DnsTraceView};

#[derive(Debug, Subcommand)]
pub(crate) enum DnsCommand {
    /// Follows a name from the root servers down to who answers: each question is a line.
    Trace(TraceArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    target: Target,
    /// The name.
    name: String,
    /// The type of records that is asked for.
    #[arg(long = "type", default_value = "A")]
    record_type: String,
}

pub(super) async fn run(command: DnsCommand) -> anyhow::Result<()> {
    match command {
        DnsCommand::Trace(args) => trace(&args).await,
    }
}

async fn trace(args: &TraceArgs) -> anyhow::Result<()> {
    let request =
        DnsTraceRequest { name: args.name.clone(), record_type: Some(args.record_type.clone()) };
    let found: DnsTraceView = Client::new(&args.target)?.post("/v1/dns/trace", &request).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    let mut table = Table::new(["ZONE", "SERVER", "ADDRESS", "TOOK", "ANSWER"]);
    for step in &found.steps {
        table.row([
            clean(&step.zone),
            clean(step.server.as_deref().unwrap_or("-")),
            clean(step.address.as_deref().unwrap_or("-")),
            measured(step.duration_ms, "ms"),
            clean(&said(step)),
        ]);
    }
    print!("{table}");
    match (&found.end, &found.error) {
        (DnsTraceEndView::Answered, _) => {
            println!("{}: {}", clean(&args.name), clean(&found.answers.join(", ")));
        }
        (end, error) => {
            let why = error.as_ref().map(|error| format!(": {}", clean(error))).unwrap_or_default();
            println!("{}: {}{why}", clean(&args.name), word(end).replace('-', " "));
        }
    }
    Ok(())
}

fn said(step: &DnsStepView) -> String {
    if let Some(error) = &step.error {
        return error.clone();
    }
    if let Some(zone) = &step.referred_to {
        return format!("refers to {zone}: {}", step.servers.join(", "));
    }
    if step.answers.is_empty() {
        return step.rcode.clone().unwrap_or_else(|| "-".into());
    }
    step.answers.join(", ")
}
