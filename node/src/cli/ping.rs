//! `holm ping`: echo requests from this machine; needs no node.

use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Args;
use holm_active::{Family, PING_BYTES, PingSummary, Pinging, Pings, Pong};
use serde_json::json;
use tokio::time::Instant;

/// Most requests that can be asked for.
const MAX_COUNT: u64 = 100_000;

#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    /// A host name or an address.
    target: String,
    /// How many requests; without it until it is stopped.
    #[arg(long, short = 'c', value_parser = clap::value_parser!(u64).range(1..=MAX_COUNT))]
    count: Option<u64>,
    /// From one request to the next.
    #[arg(long, short = 'i', default_value = "1s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// How long a reply is waited for.
    #[arg(long, short = 'W', default_value = "1s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Bytes of a request after its headers.
    #[arg(long, short = 's', default_value_t = 64, value_parser = clap::value_parser!(u16).range(i64::from(*PING_BYTES.start())..=i64::from(*PING_BYTES.end())))]
    size: u16,
    /// What requests are marked with (DSCP, RFC 2474).
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=63))]
    dscp: u8,
    /// Over IPv4 alone.
    #[arg(long, short = '4', conflicts_with = "v6")]
    v4: bool,
    /// Over IPv6 alone.
    #[arg(long, short = '6')]
    v6: bool,
    /// Print one JSON object a request, and one of all at the end.
    #[arg(long)]
    json: bool,
}

/// Asks until the count is reached or the user stops it. Fails if nothing answered.
pub(crate) async fn run(args: PingArgs) -> anyhow::Result<()> {
    if args.interval < Duration::from_millis(10) {
        bail!("--interval: 10ms at least");
    }
    if args.timeout.is_zero() || args.timeout > Duration::from_secs(60) {
        bail!("--timeout: up to 60s, and not 0");
    }
    let family = match (args.v4, args.v6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Any,
    };
    let what = Pinging { family, bytes: args.size, dscp: args.dscp, timeout: args.timeout };
    let mut pings = Pings::open(&args.target, what).await.map_err(|error| anyhow!(error))?;
    let address = pings.address();
    if !args.json {
        println!("{} ({address}), {} bytes", args.target, args.size);
    }
    let mut summary = PingSummary::default();
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    for number in 0..args.count.unwrap_or(u64::MAX) {
        let next = Instant::now() + args.interval;
        let pong = tokio::select! {
            pong = pings.next() => pong,
            _ = &mut stop => break,
        };
        summary.take(&pong);
        tell(&args, number, &pong);
        if args.count == Some(number + 1) {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            _ = &mut stop => break,
        }
    }
    conclude(&args, &summary, address)
}

fn tell(args: &PingArgs, number: u64, pong: &Pong) {
    match pong {
        Pong::Answered(ms) if args.json => {
            println!("{}", json!({ "number": number, "rtt_ms": ms }))
        }
        Pong::Lost(why) if args.json => {
            println!("{}", json!({ "number": number, "lost": true, "error": why }))
        }
        Pong::Answered(ms) => println!("{number:>4}  {ms:>9.3} ms"),
        Pong::Lost(Some(why)) => println!("{number:>4}  no reply: {why}"),
        Pong::Lost(None) => println!("{number:>4}  no reply"),
    }
}

fn conclude(
    args: &PingArgs,
    summary: &PingSummary,
    address: std::net::IpAddr,
) -> anyhow::Result<()> {
    let (sent, answered) = (summary.sent, summary.rtts_ms.len());
    let figures = summary.round_trips();
    if args.json {
        let rtt = figures.map(|[min, avg, max, stddev, jitter]| {
            json!({ "min": min, "avg": avg, "max": max, "stddev": stddev, "jitter": jitter })
        });
        println!(
            "{}",
            json!({ "target": args.target, "address": address, "bytes": args.size, "dscp": args.dscp, "sent": sent, "answered": answered, "loss_ratio": summary.loss(), "rtt_ms": rtt })
        );
    } else {
        println!("{sent} sent, {answered} answered, {:.1} % lost", 100.0 * summary.loss());
        if let Some([min, avg, max, stddev, jitter]) = figures {
            println!(
                "round trip {min:.3} least, {avg:.3} mean, {max:.3} longest, {stddev:.3} deviation, {jitter:.3} ms jitter"
            );
        }
    }
    match answered {
        0 if sent > 0 => {
            bail!("{address} answered none of {sent}: it is down, or something drops ICMP")
        }
        _ => Ok(()),
    }
}
