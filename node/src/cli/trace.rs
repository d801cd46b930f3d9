//! `holm trace`: the ways to a target, found from this machine; needs no node.

mod draw;
mod figures;
mod live;
mod screen;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use holm_asn::{AsTable, Places};
use holm_path::engine::{Algorithm, Multipath, TraceOptions};
use holm_path::mtu::{PathMtu, path_mtu};
use holm_path::socket::{Method, Request, Tracer};
use holm_path::wire::Protocol;
use holm_path::{name_hops, render, resolve};

/// Most probes a second: a trace by itself may be quick, its probes in flight are bounded.
const RATE: u32 = 5_000;

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
    /// How the answer is written; without it, on a terminal, a picture that goes on.
    #[arg(long, value_enum)]
    format: Option<TraceFormat>,
    /// Trace once and print lines of text, also on a terminal.
    #[arg(long, conflicts_with_all = ["json", "dot", "format"])]
    plain: bool,
    /// Trace once and print JSON.
    #[arg(long, conflicts_with_all = ["dot", "format"])]
    json: bool,
    /// Trace once and print a graph for Graphviz.
    #[arg(long, conflicts_with = "format")]
    dot: bool,
    /// Look for the path MTU too.
    #[arg(long)]
    mtu: bool,
    /// A table of autonomous systems: `.mmdb`, or text (docs/flow.md).
    #[arg(long, env = "HOLM_ASN_FILE", value_name = "FILE")]
    asn_file: Option<PathBuf>,
    /// A table of places: `.mmdb` of cities, or text (docs/planes/path.md).
    #[arg(long, env = "HOLM_GEO_FILE", value_name = "FILE")]
    geo_file: Option<PathBuf>,
    /// On a terminal: from the beginning of one round to the next, 100ms to 1h.
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    every: Duration,
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
    if !(Duration::from_millis(100)..=Duration::from_secs(3_600)).contains(&args.every) {
        bail!("--every {}: it goes from 100ms to 1h", humantime::format_duration(args.every));
    }
    let address =
        resolve(&args.target, Duration::from_secs(5)).await.map_err(|why| anyhow!(why))?;
    let table = match &args.asn_file {
        Some(file) => AsTable::open_with_countries(file)?,
        None => AsTable::default(),
    };
    let places = match &args.geo_file {
        Some(file) => Places::open(file)?,
        None => Places::default(),
    };
    let (tracer, missing) = Tracer::best(RATE)?;
    let method = tracer.method();
    if method == Method::ErrorQueue && args.protocol() != Protocol::Udp {
        bail!(missing.map_or_else(String::new, |why| {
            format!("{} probes need raw sockets: {why}", args.protocol().as_str())
        }));
    }
    if let Some(format) = args.once() {
        let mut found = tracer.trace(args.request(address)).await?;
        name_hops(&mut found, &table, &places);
        let mtu =
            if args.mtu { path_mtu(address, args.request(address).port).await? } else { None };
        match format {
            TraceFormat::Dot => print!("{}", render::to_dot(&found)),
            TraceFormat::Json => {
                println!("{}", serde_json::to_string_pretty(&Answer { found: &found, mtu })?);
            }
            TraceFormat::Text => {
                print!("{}", text(&found, method));
                if args.mtu {
                    println!("{}", mtu_text(mtu.as_ref()));
                }
            }
        }
        return Ok(());
    }
    let port = match args.protocol() {
        Protocol::Icmp => String::new(),
        _ => format!(" {}", args.request(address).port),
    };
    let live = live::Live {
        asked: args.target.clone(),
        how: format!("{}{port}, {method}", args.protocol().as_str()),
        tracer,
        every: args.every,
        table: Rc::new(table),
        places: Rc::new(places),
        mtu: args.mtu,
        request: Box::new(move || args.request(address)),
    };
    let (found, mtu) = live::run(&live).await?;
    if let Some(found) = found {
        print!("{}", text(&found, method));
    }
    if let Some(mtu) = mtu {
        println!("{mtu}");
    }
    Ok(())
}

impl TraceArgs {
    /// How one trace is written; `None` for a picture that goes on.
    fn once(&self) -> Option<TraceFormat> {
        let asked = match (self.plain, self.json, self.dot) {
            (true, ..) => Some(TraceFormat::Text),
            (_, true, _) => Some(TraceFormat::Json),
            (.., true) => Some(TraceFormat::Dot),
            _ => self.format,
        };
        asked.or_else(|| (!std::io::stdout().is_terminal()).then_some(TraceFormat::Text))
    }

    fn protocol(&self) -> Protocol {
        match self.protocol {
            ProtocolArg::Icmp => Protocol::Icmp,
            ProtocolArg::Tcp => Protocol::Tcp,
            ProtocolArg::Udp => Protocol::Udp,
        }
    }

    fn request(&self, address: std::net::IpAddr) -> Request {
        let options = TraceOptions {
            algorithm: match self.algorithm {
                AlgorithmArg::Lite => Algorithm::Lite,
                AlgorithmArg::Mda => Algorithm::Mda,
                AlgorithmArg::Single => Algorithm::Single,
            },
            epsilon: self.epsilon,
            max_ttl: self.max_ttl,
            whole_flows: self.flows,
            ..TraceOptions::default()
        };
        let of = Request { protocol: self.protocol(), options, ..Request::to(address) };
        Request { port: self.port.unwrap_or(of.port), ..of }
    }
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    found: &'a Multipath,
    #[serde(rename = "path_mtu", skip_serializing_if = "Option::is_none")]
    mtu: Option<PathMtu>,
}

fn mtu_text(mtu: Option<&PathMtu>) -> String {
    let unknown = "path MTU not known: the target answers neither echo requests nor UDP";
    mtu.map_or_else(|| unknown.to_owned(), ToString::to_string)
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
