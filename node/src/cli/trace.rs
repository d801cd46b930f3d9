//! `holm trace`: the ways to a target, found from this machine; needs no node.

use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use holm_path::engine::{Algorithm, Multipath, Trace, TraceOptions};
use holm_path::socket::{Method, Request};
use holm_path::wire::Protocol;
use holm_path::{render, resolve, trace};

/// How often the picture of a running trace is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// A host name or an address.
    target: String,
    /// What probes are made of; icmp and tcp need CAP_NET_RAW.
    #[arg(long, value_enum, default_value = "udp")]
    protocol: ProtocolArg,
    /// udp, tcp: the port of the target.
    #[arg(long)]
    port: Option<u16>,
    /// How the ways are looked for: `lite`, `mda` (also where they are of unequal length) or `single`.
    #[arg(long, value_enum, default_value = "lite")]
    algorithm: AlgorithmArg,
    /// Probability to miss a branch at one place that branches.
    #[arg(long, default_value_t = 0.05)]
    epsilon: f64,
    /// Most hops.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u8).range(1..=64))]
    max_ttl: u8,
    /// Flows whose whole way is told.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=16))]
    flows: u16,
    /// How the answer is written.
    #[arg(long, value_enum, default_value = "text")]
    format: TraceFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProtocolArg {
    Icmp,
    Tcp,
    Udp,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AlgorithmArg {
    Lite,
    Mda,
    Single,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TraceFormat {
    Dot,
    Json,
    Text,
}

pub(super) async fn run(args: TraceArgs) -> anyhow::Result<()> {
    if !(0.000_001..=0.5).contains(&args.epsilon) {
        bail!("--epsilon {}: it goes from 0.000001 to 0.5", args.epsilon);
    }
    let address =
        resolve(&args.target, Duration::from_secs(5)).await.map_err(|why| anyhow!(why))?;
    let live = args.format == TraceFormat::Text && std::io::stdout().is_terminal();
    let mut request = Request {
        protocol: match args.protocol {
            ProtocolArg::Icmp => Protocol::Icmp,
            ProtocolArg::Tcp => Protocol::Tcp,
            ProtocolArg::Udp => Protocol::Udp,
        },
        options: TraceOptions {
            algorithm: match args.algorithm {
                AlgorithmArg::Lite => Algorithm::Lite,
                AlgorithmArg::Mda => Algorithm::Mda,
                AlgorithmArg::Single => Algorithm::Single,
            },
            epsilon: args.epsilon,
            max_ttl: args.max_ttl,
            whole_flows: args.flows,
            ..TraceOptions::default()
        },
        ..Request::to(address)
    };
    if let Some(port) = args.port {
        request.port = port;
    }
    if live {
        request.progress = Some(Box::new(redrawing()));
    }
    let (found, method) = trace(request).await?;
    match args.format {
        TraceFormat::Dot => print!("{}", render::to_dot(&found)),
        TraceFormat::Json => println!("{}", render::to_json(&found)?),
        TraceFormat::Text => {
            if live {
                print!("\x1b[H\x1b[J");
            }
            print!("{}", text(&found, method));
        }
    }
    Ok(())
}

/// Draws what is found so far, not more often than [`REDRAW`].
fn redrawing() -> impl FnMut(&Trace) + Send + 'static {
    let mut drawn = Instant::now();
    move |trace| {
        if drawn.elapsed() < REDRAW {
            return;
        }
        drawn = Instant::now();
        let mut out = std::io::stdout().lock();
        // Nobody looks any more: the trace goes on to its end.
        let _ = write!(out, "\x1b[H\x1b[J{}", render::to_text(&trace.result()));
        let _ = out.flush();
    }
}

fn text(found: &Multipath, method: Method) -> String {
    let mut text = render::to_text(found);
    if method == Method::ErrorQueue {
        text.push_str(
            "without CAP_NET_RAW: from the kernel's error queue; no MPLS labels, no NAT, udp only\n",
        );
    }
    text
}
