//! `holm mesh top`: the mesh at a glance, again every two seconds.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use clap::Args;
use holm_model::Millis;

use super::Target;
use super::client::Client;
use super::render::{Table, age, clean};
use crate::api::mesh_types::{
    GoneView, MeshMember, MeshView, ReachableView, ReachedView, RelayView, VerdictKind,
};
use crate::api::types::{MemberStateView, SiteStateView};

/// Sites in the table of who reaches whom; more do not fit a terminal.
const MAX_MATRIX: usize = 24;
/// Documents and drops listed.
const MAX_LINES: usize = 8;

#[derive(Debug, Args)]
pub(crate) struct MeshTopArgs {
    #[command(flatten)]
    target: Target,
    /// Print once and end; so it does when the output is no terminal.
    #[arg(long)]
    once: bool,
    /// How often to ask, in seconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
}

pub(super) async fn run(args: MeshTopArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.target)?;
    let mut before: Option<(Millis, MeshView)> = None;
    let once = args.once || args.target.json || !std::io::stdout().is_terminal();
    loop {
        let answer: anyhow::Result<MeshView> = client.get("/v1/mesh").await;
        if args.target.json {
            println!("{}", serde_json::to_string_pretty(&answer?)?);
            return Ok(());
        }
        let now = Millis::now();
        if once {
            print!("{}", screen(&answer?, before.as_ref(), now));
            return Ok(());
        }
        let (text, seen) = match answer {
            Ok(view) => (screen(&view, before.as_ref(), now), Some((now, view))),
            // A node that restarts is asked again.
            Err(error) => (format!("{error:#}\n"), None),
        };
        before = seen;
        let mut out = std::io::stdout().lock();
        write!(out, "\x1b[H\x1b[J{text}\nevery {} s; Ctrl-C ends\n", args.every)?;
        out.flush()?;
        drop(out);
        tokio::time::sleep(Duration::from_secs(args.every)).await;
    }
}

fn screen(view: &MeshView, before: Option<&(Millis, MeshView)>, now: Millis) -> String {
    let mut text = String::new();
    let connected = view.members.iter().filter(|member| member.connected).count();
    let _ = writeln!(
        text,
        "{}/{}  {} of {} other nodes connected  {} documents, {} KiB, digest {}",
        view.site,
        view.node,
        connected,
        view.members.len(),
        view.documents.total,
        view.documents.bytes / 1024,
        view.documents.digest.get(..12).unwrap_or_default()
    );
    if !view.replicating {
        let reason = view.replicating_reason.as_deref().unwrap_or("the mesh does not run");
        let _ = writeln!(text, "NOT REPLICATING: {}", clean(reason));
    }
    if let Some(stuck) = &view.stuck {
        let _ = writeln!(text, "STUCK for {} s in {}", stuck.for_ms / 1_000, clean(&stuck.step));
    }
    for verdict in &view.verdicts {
        let mark = match verdict.kind {
            VerdictKind::CutOff => "CUT OFF",
            VerdictKind::SiteDown => "SITE DOWN",
            VerdictKind::LinkDown => "WAY DOWN",
            VerdictKind::Undecided => "undecided",
        };
        let since = age(Some(verdict.since), now);
        let _ = writeln!(text, "{mark} for {since}: {}", clean(&verdict.text));
    }
    if let Some(why) = &view.not_granted {
        let _ = writeln!(text, "NOT GRANTED: {}", clean(why));
    }
    for warning in &view.warnings {
        let _ = writeln!(text, "warning: {}", clean(warning));
    }
    let gone: Vec<String> = view.gone.iter().filter(|gone| !gone.back).map(name_of).collect();
    if !gone.is_empty() {
        let _ = writeln!(text, "forgotten: {}", gone.join(", "));
    }
    text.push_str(&nat(view));
    let _ = write!(text, "\n{}\n{}", members(view, now), matrix(view));
    let _ = write!(text, "\n{}", traffic(view, before, now));
    text
}

fn name_of(gone: &GoneView) -> String {
    gone.node.as_ref().map_or(gone.site.to_string(), |node| format!("{}/{node}", gone.site))
}

/// How this node stands towards NAT, where there is something to say.
fn nat(view: &MeshView) -> String {
    let Some(nat) = &view.nat else { return String::new() };
    let mut text = match nat.reachable {
        ReachableView::BehindNat => "behind NAT".to_owned(),
        ReachableView::Reachable => "reachable".to_owned(),
        ReachableView::Unknown => "reachable: unknown".to_owned(),
    };
    if !nat.observed.is_empty() {
        let _ = write!(text, ", seen at {}", nat.observed.join(", "));
    }
    let held: Vec<&str> = nat.places.iter().filter(|p| p.held).map(|p| &*p.relay).collect();
    if !held.is_empty() {
        let _ = write!(text, "; places at {}", clean(&held.join(", ")));
    }
    if nat.relay.serving {
        let RelayView { places, circuits, bytes, .. } = nat.relay;
        let _ = write!(text, "; relays {circuits} circuits, {places} places, {} KiB", bytes / 1024);
    }
    text.push('\n');
    text
}

/// Every node, those with trouble first.
fn members(view: &MeshView, now: Millis) -> String {
    let mut table = Table::new(["NODE", "STATE", "RTT", "CLOCK", "HEARD", "LAG", "LAST SYNC"]);
    let mut members: Vec<&MeshMember> = view.members.iter().collect();
    members.sort_by_key(|member| (member.connected, member.site.clone(), member.node.clone()));
    for member in members {
        let state = match (member.connected, member.state) {
            (true, _) => member.via.as_ref().map_or_else(
                || "direct".to_owned(),
                |relay| format!("relayed via {}", clean(relay)),
            ),
            (false, MemberStateView::Down) => "down".to_owned(),
            (false, MemberStateView::Suspect) => "suspect".to_owned(),
            (false, _) => "not connected".to_owned(),
        };
        let lag = view.lags.iter().find(|lag| lag.site == member.site).map_or("-".into(), |lag| {
            match (lag.state, lag.lag_ms) {
                (SiteStateView::NeverHeard, _) | (_, None) => "-".into(),
                // Whoever passed it on may have made it up.
                (_, Some(ms)) if member.lease_signed == Some(false) => {
                    format!("{:.1} s (unsigned)", ms as f64 / 1_000.0)
                }
                (_, Some(ms)) => format!("{:.1} s", ms as f64 / 1_000.0),
            }
        });
        let sync = member.last_sync.as_ref().map_or_else(
            || member.last_refusal.clone().unwrap_or_else(|| "-".into()),
            |sync| match &sync.error {
                Some(error) => format!("{} ago: {error}", age(Some(sync.at), now)),
                None => format!(
                    "{} ago: {} in, {} out",
                    age(Some(sync.at), now),
                    sync.pulled,
                    sync.pushed
                ),
            },
        );
        table.row([
            format!("{}/{}", member.site, member.node),
            state,
            member.rtt_ms.map_or("-".into(), |ms| format!("{ms} ms")),
            clock(member),
            age(member.last_heard, now),
            lag,
            sync,
        ]);
    }
    table.to_string()
}

/// Its clock against ours with the error, where there are bounds; else about.
fn clock(member: &MeshMember) -> String {
    match (&member.clock, member.clock_skew_ms) {
        (Some(clock), _) => format!("{:+.1} ± {:.1} ms", clock.offset_ms, clock.error_ms),
        (None, Some(ms)) => format!("about {ms:+} ms"),
        (None, None) => "-".into(),
    }
}

/// Who reaches whom: rows say, columns are spoken of.
fn matrix(view: &MeshView) -> String {
    let mut sites: Vec<_> = view.lags.iter().map(|lag| &lag.site).collect();
    sites.sort();
    let left_out = sites.len().saturating_sub(MAX_MATRIX);
    sites.truncate(MAX_MATRIX);
    let width = sites.iter().map(|site| site.as_str().len()).max().unwrap_or(0).max(6);
    let mut text = format!("{:<width$}", "REACH");
    for site in &sites {
        let _ = write!(text, "  {:<width$}", site.as_str());
    }
    text.push('\n');
    for by in &sites {
        let _ = write!(text, "{:<width$}", by.as_str());
        let says: Vec<_> = view.views.iter().filter(|view| view.site == **by).collect();
        for of in &sites {
            let reached = says.iter().flat_map(|view| &view.reached).filter(|r| r.site == **of);
            let best = reached.map(|r| r.reached).max_by_key(|reached| match reached {
                ReachedView::Yes => 2,
                ReachedView::No => 1,
                ReachedView::NotTried => 0,
            });
            let cell = match best {
                _ if by == of => "-",
                Some(ReachedView::Yes) => "yes",
                Some(ReachedView::No) => "NO",
                Some(ReachedView::NotTried) => "untried",
                None => "?",
            };
            let _ = write!(text, "  {cell:<width$}");
        }
        text.push('\n');
    }
    if left_out > 0 {
        let _ = writeln!(text, "and {left_out} more sites; --json has all");
    }
    text
}

fn traffic(view: &MeshView, before: Option<&(Millis, MeshView)>, now: Millis) -> String {
    let mut text = String::new();
    let mut table = Table::new(["CHANNEL", "IN", "OUT", "IN/S", "OUT/S"]);
    for channel in &view.channels {
        let earlier = before.and_then(|(at, view)| {
            let of = view.channels.iter().find(|c| c.channel == channel.channel)?;
            Some((now.since(*at).max(1), of))
        });
        let rate = |now: u64, then: fn(&crate::api::mesh_types::ChannelView) -> u64| {
            earlier.map_or("-".into(), |(ms, of)| {
                format!("{} B", now.saturating_sub(then(of)) * 1_000 / ms)
            })
        };
        table.row([
            channel.channel.clone(),
            format!("{} KiB", channel.bytes_in / 1024),
            format!("{} KiB", channel.bytes_out / 1024),
            rate(channel.bytes_in, |channel| channel.bytes_in),
            rate(channel.bytes_out, |channel| channel.bytes_out),
        ]);
    }
    let _ = write!(text, "{table}");
    let mut drops: Vec<_> = view.drops.iter().filter(|drop| drop.count > 0).collect();
    drops.sort_by_key(|drop| std::cmp::Reverse(drop.count));
    if drops.is_empty() {
        text.push_str("nothing dropped or refused\n");
    } else {
        let drops = drops.iter().take(MAX_LINES);
        let said: Vec<String> = drops.map(|drop| format!("{} {}", drop.name, drop.count)).collect();
        let _ = writeln!(text, "dropped or refused: {}", said.join(", "));
    }
    for entry in view.documents.quarantined.iter().take(MAX_LINES) {
        let _ = writeln!(
            text,
            "quarantined: {} from {}, {} bytes: {}",
            clean(&entry.document),
            clean(&entry.from),
            entry.bytes,
            clean(&entry.reason)
        );
    }
    text
}
