//! `holm tls`: how the servers that are probed do TLS.

use clap::{Args, Subcommand};

use super::Target;
use super::client::Client;
use super::incidents::{unheard, word};
use super::render::{Table, clean};
use super::test::incomplete;
use crate::api::incidents_types::SeverityView;
use crate::api::tls_posture_types::{TlsEndpoint, TlsPosture, TlsSight};

#[derive(Debug, Subcommand)]
pub(crate) enum TlsCommand {
    /// What is wrong with how servers do TLS, as all sites saw it last: those with the gravest findings first.
    Posture(PostureArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PostureArgs {
    #[command(flatten)]
    target: Target,
    /// Only the server of this name, with all that is known of it.
    server: Option<String>,
    /// Only servers whose gravest finding is of this severity; may be given again.
    #[arg(long)]
    severity: Vec<SeverityView>,
    /// Only servers with a finding of this kind, such as expires_soon.
    #[arg(long)]
    finding: Option<String>,
    /// Only what this site sees; may be given again.
    #[arg(long)]
    site: Vec<String>,
    /// How far back is looked: 1s to 30d; 1d otherwise.
    #[arg(long)]
    window: Option<String>,
    /// A certificate that ends within so many days is a finding; 21 otherwise.
    #[arg(long, value_name = "DAYS")]
    soon_days: Option<u32>,
    /// Most of them.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub(super) async fn run(command: TlsCommand) -> anyhow::Result<()> {
    match command {
        TlsCommand::Posture(args) => posture(&args).await,
    }
}

async fn posture(args: &PostureArgs) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    for severity in &args.severity {
        query.append_pair("severity", &word(severity));
    }
    for site in &args.site {
        query.append_pair("site", site);
    }
    let soon = args.soon_days.map(|days| days.to_string());
    for (name, value) in [
        ("server", &args.server),
        ("finding", &args.finding),
        ("window", &args.window),
        ("soon_days", &soon),
    ] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let found: TlsPosture =
        Client::new(&args.target)?.get(&format!("/v1/tls/posture?{}", query.finish())).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    if found.items.is_empty() {
        println!(
            "no server was seen over TLS; a test with `probe: tls` looks at one, docs/tls.md says how"
        );
    } else if args.server.is_some() {
        found.items.iter().for_each(show);
    } else {
        let mut table =
            Table::new(["SERVER", "SEVERITY", "ENDS IN", "TRUSTED", "TAKES", "SITES", "FINDINGS"]);
        for item in &found.items {
            table.row(line(item));
        }
        print!("{table}");
    }
    if found.total > found.items.len() as u64 {
        println!("{} of {}; --limit shows more", found.items.len(), found.total);
    }
    if found.cut {
        println!("more was probed than can be looked at: only the latest results are here");
    }
    incomplete(Some(&found.asked));
    unheard(&found.freshness);
    Ok(())
}

fn line(item: &TlsEndpoint) -> [String; 7] {
    let least = item.sights.iter().filter_map(|sight| sight.days_left).reduce(f64::min);
    let trusted: Vec<bool> = item.sights.iter().filter_map(|sight| sight.verified).collect();
    let versions = item.sights.iter().find_map(|sight| sight.versions.as_ref());
    let findings: Vec<&str> = item.findings.iter().map(|finding| finding.kind.as_str()).collect();
    let mut sites: Vec<&str> = item.sights.iter().map(|sight| sight.site.as_str()).collect();
    sites.dedup();
    [
        clean(&item.endpoint),
        item.severity.map_or_else(|| "-".into(), |severity| word(&severity)),
        least.map_or_else(|| "-".into(), ends_in),
        match (trusted.is_empty(), trusted.iter().all(|trusted| *trusted)) {
            (true, _) => "-".into(),
            (_, true) => "yes".into(),
            (_, false) => "no".into(),
        },
        versions.map_or_else(|| "-".into(), |versions| clean(&versions.join(" "))),
        sites.len().to_string(),
        if findings.is_empty() { "-".into() } else { clean(&findings.join(", ")) },
    ]
}

/// Whole days, as the console shows them.
fn ends_in(days: f64) -> String {
    let whole = days.abs().floor();
    if days < 0.0 { format!("ended {whole} d ago") } else { format!("{whole} d") }
}

fn show(item: &TlsEndpoint) {
    println!("{}", clean(&item.endpoint));
    for finding in &item.findings {
        let sites: Vec<&str> = finding.sites.iter().map(|site| site.as_str()).collect();
        println!(
            "{}: {}, seen from {}",
            word(&finding.severity),
            clean(&finding.text),
            sites.join(", ")
        );
        println!("  {}", clean(&finding.remedy));
    }
    if item.findings.is_empty() {
        println!("nothing is wrong with what was seen");
    }
    if item.differs {
        println!(
            "sites see different certificates: several servers share the name, or somebody stands between"
        );
    }
    let mut table = Table::new(["", "VALUE"]);
    for sight in &item.sights {
        table.row([
            sight.site.to_string(),
            format!("{} {}, {}", sight.probe, clean(&sight.target), sight.observed_at),
        ]);
        for (name, value) in facts(sight) {
            if let Some(value) = value {
                table.row([format!("  {name}"), clean(&value)]);
            }
        }
    }
    print!("{table}");
}

fn facts(sight: &TlsSight) -> [(&'static str, Option<String>); 17] {
    let flag = |flag: Option<bool>| flag.map(|flag| if flag { "yes" } else { "no" }.to_owned());
    let key = sight.key_type.as_ref().map(|key| match sight.key_bits {
        Some(bits) => format!("{key}, {bits} bits"),
        None => key.clone(),
    });
    let agreed = [&sight.version, &sight.cipher, &sight.key_exchange];
    let agreed: Vec<&str> = agreed.into_iter().flatten().map(String::as_str).collect();
    [
        ("address", sight.server_address.clone()),
        ("error", sight.error.clone()),
        ("subject", sight.subject.clone()),
        ("issuer", sight.issuer.clone()),
        ("for names", sight.names.clone()),
        ("serial", sight.serial.clone()),
        ("ends", sight.not_after.as_ref().map(ToString::to_string)),
        ("key", key),
        ("signed with", sight.signature.clone()),
        ("trusted", flag(sight.verified)),
        ("why not", sight.reason.clone()),
        ("agreed on", (!agreed.is_empty()).then(|| agreed.join(", "))),
        ("takes TLS", sight.versions.as_ref().map(|versions| versions.join(", "))),
        ("status sent", flag(sight.stapled)),
        ("status", sight.status.clone()),
        ("status holds until", sight.status_until.map(|at| at.to_string())),
        ("status not believed", sight.status_problem.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_what_has_ended_says_so() {
        assert_eq!(
            [89.99, 0.5, -0.5, -3.2].map(ends_in),
            ["89 d", "0 d", "ended 0 d ago", "ended 3 d ago"]
        );
    }
}
