//! `holm test path`: the ways to a test's target, then and now.

use std::fmt::Write as _;

use clap::Args;
use holm_model::SiteId;
use holm_path::render::one_router_text;

use super::Target;
use super::client::Client;
use super::render::{Table, clean, measured};
use super::test::{incomplete, path_of};
use crate::api::test_path_types::{TestHop, TestInterface, TestPath, TestPathChange, TestWays};

/// Changes that are listed.
const MAX_CHANGES: usize = 10;

#[derive(Debug, Args)]
pub(crate) struct TestPathArgs {
    #[command(flatten)]
    target: Target,
    /// The test's name.
    name: String,
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    #[arg(long)]
    at: Option<String>,
    /// Traces and changes since then; a day before otherwise.
    #[arg(long)]
    from: Option<String>,
    /// Only of this site; may be given again.
    #[arg(long)]
    site: Vec<SiteId>,
}

pub(super) async fn run(args: &TestPathArgs) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("at", &args.at), ("from", &args.from)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    for site in &args.site {
        query.append_pair("site", site.as_str());
    }
    let path = format!("{}/path?{}", path_of(&args.name), query.finish());
    let found: TestPath = Client::new(&args.target)?.get(path.trim_end_matches('?')).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    print!("{}", text(&found));
    incomplete(Some(&found.asked));
    Ok(())
}

fn text(found: &TestPath) -> String {
    let mut text = String::new();
    for ways in &found.ways {
        text.push_str(&of_site(ways));
    }
    if !found.asked.sites.iter().any(|site| site.state == "answered") {
        text.push_str("no site answered that was asked\n");
    } else if found.ways.is_empty() {
        let host = clean(&found.host);
        let _ = writeln!(
            text,
            "no trace of {host} in the window; name it in planes.path.targets of the sites that shall trace it"
        );
    } else if !found.without.is_empty() {
        let sites: Vec<&str> = found.without.iter().map(SiteId::as_str).collect();
        let _ = writeln!(text, "run the test, and do not trace its host: {}", sites.join(", "));
    }
    if !found.changes.is_empty() {
        let _ = writeln!(text, "changes, the latest first:");
        let mut table = Table::new(["AT", "SITE", "TARGET", "CHANGED", ""]);
        for change in found.changes.iter().take(MAX_CHANGES) {
            table.row([
                change.at.to_string(),
                change.site.to_string(),
                change.target.clone(),
                change.changed.join(", "),
                what(change),
            ]);
        }
        let _ = write!(text, "{table}");
        let more = found.changes.len().saturating_sub(MAX_CHANGES);
        if more > 0 {
            let _ = writeln!(text, "and {more} more; --json has them");
        }
    }
    text
}

fn of_site(ways: &TestWays) -> String {
    let trace = &ways.trace;
    let mut text = format!("{}: {} by {}", trace.site, clean(&trace.target), trace.protocol);
    if let Some(address) = &ways.address {
        let _ = write!(text, " ({})", clean(address));
    }
    let _ = write!(text, " at {}: {}", trace.at, clean(&trace.outcome));
    if let Some(rtt) = trace.rtt_ms {
        let _ = write!(text, ", {}", measured(Some(rtt), "ms"));
    }
    if let Some(loss) = trace.loss.filter(|loss| *loss > 0.0) {
        let _ = write!(text, ", {:.1} % lost on the way", loss * 100.0);
    }
    if let Some(mtu) = trace.mtu {
        let how = ways.mtu_how.as_deref().map(clean).unwrap_or_default();
        let hop = ways.mtu_hop.as_ref().map(|hop| format!(" {}", clean(hop))).unwrap_or_default();
        let _ = write!(text, ", path MTU {mtu} ({how}{hop})");
    }
    if let Some(path) = &trace.as_path {
        let _ = write!(text, ", AS path {}", clean(path));
    }
    if let Some(bound) = ways.failure_bound {
        let _ = write!(text, ", a branch missed with at most {bound:.3}");
    }
    text.push('\n');
    for why in [&ways.error, &ways.problem].into_iter().flatten() {
        let _ = writeln!(text, "  {}", clean(why));
    }
    for hop in &ways.hops {
        text.push_str(&of_hop(hop));
    }
    text
}

fn of_hop(hop: &TestHop) -> String {
    let mut text = String::new();
    let mut of_all = Vec::new();
    if hop.lost > 0 {
        of_all.push(format!("{} of {} lost", hop.lost, hop.sent));
    }
    for (is, what) in [
        (hop.per_packet, "balances packet by packet"),
        (hop.rate_limited, "limits its replies"),
        (hop.meshed, "meshed or uneven"),
    ] {
        if is {
            of_all.push(what.to_owned());
        }
    }
    if hop.interfaces.is_empty() {
        let _ = writeln!(text, "{:>4}  *  {}", hop.ttl, of_all.join(", "));
    }
    for (index, interface) in hop.interfaces.iter().enumerate() {
        let ttl = if index == 0 { hop.ttl.to_string() } else { String::new() };
        let mut marks = marks(interface);
        if index == 0 {
            marks.append(&mut of_all);
        }
        let line = format!(
            "{ttl:>4}  {:<39} {:>9.3} ms  {}",
            clean(&interface.address),
            interface.rtt_avg_ms,
            marks.join(", ")
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for alias in &hop.aliases {
        let addresses: Vec<String> = alias.addresses.iter().map(|address| clean(address)).collect();
        let _ = writeln!(text, "      {}", one_router_text(&addresses, alias.chance));
    }
    text
}

fn marks(interface: &TestInterface) -> Vec<String> {
    let mut marks = Vec::new();
    if let Some(system) = interface.system {
        let name = interface.system_name.as_ref().map(|name| format!(" {}", clean(name)));
        let country = interface.country.as_ref().map(|country| format!(" ({})", clean(country)));
        marks.push(format!(
            "AS{system}{}{}",
            name.unwrap_or_default(),
            country.unwrap_or_default()
        ));
    }
    if let Some(place) = &interface.place {
        marks.push(clean(place));
    }
    if !interface.labels.is_empty() {
        let labels: Vec<String> = interface.labels.iter().map(u32::to_string).collect();
        marks.push(format!("MPLS {}", labels.join("/")));
    }
    if interface.rewritten {
        marks.push("NAT".to_owned());
    }
    if let Some(code) = interface.unreachable {
        marks.push(format!("goes no further (ICMP code {code})"));
    }
    marks
}

/// What a change says beyond its words.
fn what(change: &TestPathChange) -> String {
    let mut parts = Vec::new();
    for (sign, hops) in [('+', &change.added), ('-', &change.removed)] {
        parts.extend(hops.iter().take(4).map(|hop| format!("{sign}{hop}")));
        if hops.len() > 4 {
            parts.push(format!("{sign}{} more", hops.len() - 4));
        }
    }
    if let (Some(now), Some(before)) = (&change.as_path, &change.as_path_before) {
        parts.push(format!("AS {before} -> {now}"));
    }
    if let (Some(now), Some(before)) = (change.mtu, change.mtu_before) {
        parts.push(format!("MTU {before} -> {now}"));
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(ways: serde_json::Value, changes: serde_json::Value, state: &str) -> TestPath {
        let site = json!({ "site": "berlin", "node": "n1", "state": state, "rows": 1, "bytes": 0, "took_ms": 1 });
        let asked = json!({ "from": "2026-11-21T20:00:00Z", "to": "2026-11-22T20:00:00Z",
            "complete": state == "answered", "sites": [site], "approximations": [] });
        let found = json!({ "test": "shop", "host": "shop.example", "at": "2026-11-22T20:00:00Z", "ways": ways,
            "without": ["tokyo"], "traces": [], "changes": changes, "cut": false, "asked": asked });
        serde_json::from_value(found).expect("as the API gives it")
    }

    #[test]
    fn ways_and_changes_are_lines_without_what_a_terminal_would_obey() {
        let interface = |address: &str| {
            json!({ "address": address, "rtt_min_ms": 1.0, "rtt_avg_ms": 1.5, "rtt_max_ms": 2.0,
                "reached": false, "labels": [16, 17], "rewritten": true, "system": 64_496,
                "system_name": "Example\u{1b}[31m", "country": "DE" })
        };
        let hop = |ttl, interfaces| {
            json!({ "ttl": ttl, "sent": 8, "lost": 2, "silent": 0, "per_packet": ttl == 2, "rate_limited": false,
                "meshed": false, "interfaces": interfaces,
                "aliases": [{ "addresses": ["10.0.0.1", "10.0.0.\u{1b}2"], "chance": 0.000_12 }] })
        };
        let hops = json!([hop(1, json!([interface("10.0.0.1")])), hop(2, json!([]))]);
        let trace = json!({ "site": "berlin", "target": "shop", "protocol": "udp", "at": "2026-11-22T19:59:00Z",
            "reached": true, "outcome": "reached", "loss": 0.25, "rtt_ms": 12.5, "as_path": "64496 64500", "mtu": 1_400 });
        let ways = json!([{ "trace": trace, "address": "192.0.2.9", "failure_bound": 0.04, "mtu_how": "told",
            "mtu_hop": "10.0.0.1", "hops": hops, "links": [] }]);
        let change = json!([{ "site": "berlin", "target": "shop", "protocol": "udp", "at": "2026-11-22T19:00:00Z",
            "changed": ["hops", "mtu"], "added": ["10.0.0.1"], "removed": [], "mtu": 1_400, "mtu_before": 1_500 }]);
        let text = text(&found(ways, change, "answered"));
        for part in [
            "berlin: shop by udp (192.0.2.9)",
            "12.50 ms, 25.0 % lost on the way, path MTU 1400 (told 10.0.0.1), AS path 64496 64500",
            "AS64496 Example\u{fffd}[31m (DE), MPLS 16/17, NAT, 2 of 8 lost",
            "      10.0.0.1, 10.0.0.\u{fffd}2 may be one router: their replies are numbered by one counter (by chance: at most 0.0002)",
            "   2  *  2 of 8 lost, balances packet by packet",
            "do not trace its host: tokyo",
            "hops, mtu  +10.0.0.1 MTU 1500 -> 1400",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
        let nothing = |state| super::text(&found(json!([]), json!([]), state));
        assert!(nothing("answered").contains("planes.path.targets"));
        assert!(
            nothing("late").contains("no site answered")
                && !nothing("late").contains("planes.path.targets")
        );
    }
}
