//! `holm agent`: what a laptop or a branch device runs; needs no node to measure.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use holm_endpoint::{Attribution, Judgement, LayerState, Measured, Part, Sample, Wifi, judge};
use tokio_util::sync::CancellationToken;

use super::render::{Table, clean};
use crate::agent::{AgentConfig, Measurer, Nodes};

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Measure this machine once and print what came of it: Wi-Fi, gateways, resolvers, last mile, connections, checks.
    Once(OnceArgs),
    /// Measure this machine again and again, and send the samples to any node that takes them; it listens nowhere.
    Run(RunArgs),
    /// Check a configuration, and print it as it takes effect.
    Config {
        #[command(flatten)]
        of: ConfigArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// What is measured, withheld and sent where: docs/endpoints.md; everything has a default.
    #[arg(long, env = "HOLM_AGENT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Withhold everything that can be: names, addresses, targets.
    #[arg(long)]
    private: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OnceArgs {
    #[command(flatten)]
    of: ConfigArgs,
    /// Where the last mile is traced towards.
    #[arg(long, value_name = "HOST")]
    trace: Option<String>,
    /// The sample and its judgement as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    of: ConfigArgs,
    /// The agent's folder: samples wait there until a node took them.
    #[arg(long, env = "HOLM_AGENT_DIR", value_name = "DIR")]
    dir: PathBuf,
    /// A node, such as `https://berlin.example:8443`; may be given again. Any that is reachable is taken.
    #[arg(long)]
    node: Vec<String>,
    /// The endpoint's token, from `holm endpoint token`; better in the file that `token_file` names.
    #[arg(long, env = "HOLM_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The mesh's bundle (JWKS) or roots (PEM) that the nodes' certificates must chain to.
    #[arg(long, env = "HOLM_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Stop when standard input closes: for a parent process that may be killed.
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

impl ConfigArgs {
    fn load(&self) -> anyhow::Result<AgentConfig> {
        let mut config = AgentConfig::load(self.config.as_deref())?;
        if self.private {
            config.privacy = holm_endpoint::Privacy::ALL;
        }
        Ok(config)
    }
}

pub(super) async fn run(command: AgentCommand) -> anyhow::Result<()> {
    match command {
        AgentCommand::Once(args) => once(&args).await,
        AgentCommand::Run(args) => keep_running(args).await,
        AgentCommand::Config { of } => {
            print!("{}", toml::to_string(&of.load()?)?);
            Ok(())
        }
    }
}

async fn once(args: &OnceArgs) -> anyhow::Result<()> {
    let mut config = args.of.load()?;
    if let Some(trace) = &args.trace {
        config.trace_target.clone_from(trace);
    }
    let sample = Measurer::new(config)?.sample().await;
    let judged = judge(&sample);
    if args.json {
        let both = serde_json::json!({ "judgement": judged, "sample": sample });
        println!("{}", serde_json::to_string_pretty(&both)?);
    } else {
        print!("{}", text(&sample, &judged));
    }
    Ok(())
}

async fn keep_running(args: RunArgs) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HOLM_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,holm=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut config = args.of.load()?;
    if !args.node.is_empty() {
        config.nodes = args.node;
    }
    if let Some(ca) = args.ca {
        config.ca_file = ca;
    }
    config.check()?;
    let token = match args.token {
        Some(token) => token,
        None if config.token_file.as_os_str().is_empty() => {
            bail!(
                "no token: name its file with token_file, or give --token; `holm endpoint token NAME` makes one"
            )
        }
        None => std::fs::read_to_string(&config.token_file)
            .with_context(|| format!("{}: cannot be read", config.token_file.display()))?,
    };
    let nodes = Nodes::new(&config, token.trim())?;
    let shutdown = CancellationToken::new();
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            crate::daemon::told_to_stop(args.stop_with_stdin).await;
            shutdown.cancel();
        }
    });
    crate::agent::run(config, &args.dir, nodes, shutdown).await
}

/// A sample and its judgement for people.
fn text(sample: &Sample, judged: &Judgement) -> String {
    let said = match judged.attribution {
        Attribution::None => "nothing is impaired".to_owned(),
        Attribution::Unknown => "it cannot be said: too little was measured".to_owned(),
        of => format!("impaired: {}, confidence {:.2}", of.as_str(), judged.confidence),
    };
    let mut text = format!("{}: {said}\n", clean(&sample.hostname.to_string()));
    let mut table = Table::new(["PART", "STATE", "WHAT WAS MEASURED"]);
    for layer in &judged.layers {
        table.row([part(layer.part), state(layer.state), clean(&layer.text)]);
    }
    text += &table.to_string();
    let mut table = Table::new(["", "VALUE"]);
    let mut line = |name: &str, value: String| table.row([name.to_owned(), clean(&value)]);
    if let Wifi::Link(link) = &sample.wifi {
        let channel =
            link.channel.map_or_else(String::new, |channel| format!(", channel {channel}"));
        line("wi-fi", format!("{} at {}{channel}, {}", link.ssid, link.bssid, link.interface));
        let rate = |of: Option<f64>| of.map_or_else(|| "-".into(), |of| format!("{of:.1} Mbit/s"));
        line("rate", format!("sends {}, receives {}", rate(link.tx_mbps), rate(link.rx_mbps)));
    }
    for gateway in sample.gateways.value().into_iter().flatten() {
        let address = gateway.address.as_ref().map_or_else(|| "-".into(), ToString::to_string);
        let echo = match &gateway.echo {
            Measured::Measured(echo) => format!(
                "{} of {} echoes{}",
                echo.received,
                echo.sent,
                echo.rtt_ms.map_or_else(String::new, |ms| format!(" in {ms:.1} ms"))
            ),
            Measured::NotMeasured(why) => format!("not measured: {why}"),
        };
        line("gateway", format!("{address} ({}): {echo}", gateway.interface));
    }
    for resolver in sample.resolvers.value().into_iter().flatten() {
        line("resolver", format!("{}: {}", resolver.address, result(&resolver.answer)));
    }
    if let Measured::Measured(way) = &sample.last_mile {
        for hop in &way.hops {
            let address = hop.address.as_ref().map_or_else(|| "*".into(), ToString::to_string);
            let rtt = hop.rtt_ms.map_or_else(String::new, |ms| format!(" {ms:.1} ms"));
            let edge = if hop.public { ", public" } else { "" };
            line(&format!("hop {}", hop.ttl), format!("{address}{rtt}{edge}"));
        }
        line("traced by", way.method.clone());
    }
    for session in sample.sessions.value().into_iter().flatten() {
        let figures = match &session.figures {
            Measured::Measured(of) => {
                format!("{} connections, {:.1} ms", of.connections, of.rtt_ms)
            }
            Measured::NotMeasured(why) => format!("not measured: {why}"),
        };
        line("session", format!("{}: {figures}", session.target));
    }
    for check in &sample.checks {
        line("check", format!("{} ({}): {}", check.name, check.probe, result(&check.result)));
    }
    text + &table.to_string()
}

fn result(of: &Measured<holm_endpoint::CheckResult>) -> String {
    match of {
        Measured::NotMeasured(why) => format!("not measured: {why}"),
        Measured::Measured(of) => {
            let error = of.error.as_ref().map_or_else(|| "fails".into(), ToString::to_string);
            match (of.success, of.duration_ms) {
                (true, Some(ms)) => format!("{ms:.1} ms"),
                (true, None) => "works".into(),
                (false, _) => error,
            }
        }
    }
}

fn part(part: Part) -> String {
    match part {
        Part::Wifi => "wi-fi",
        Part::Gateway => "gateway",
        Part::Isp => "isp",
        Part::Target => "target",
    }
    .into()
}

fn state(state: LayerState) -> String {
    match state {
        LayerState::Fine => "fine",
        LayerState::Impaired => "impaired",
        LayerState::NotMeasured => "not measured",
        LayerState::Absent => "-",
    }
    .into()
}
