//! `holm test run`: a test once, now, and what it measured.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use holm_model::SiteId;

use super::Target;
use super::client::Client;
use super::render::{clean, measured};
use super::test::{path_of, text_of};
use crate::api::probe_tests_types::{TestRun, TestRunItem, TestRunRequest};
use crate::api::types::ProbeResult;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    target: Target,
    /// The name of a test that is kept.
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// A file with one test, which is run at the node that is asked, and not kept.
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with_all = ["name", "site"])]
    file: Option<PathBuf>,
    /// At this site; may be given again. At the node that is asked otherwise.
    #[arg(long)]
    site: Vec<SiteId>,
}

pub(super) async fn run(args: &RunArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.target)?;
    let run: TestRun = match (&args.file, &args.name) {
        (Some(file), _) => client.post_text("/v1/tests/run", text_of(file)?).await?,
        (None, Some(name)) => {
            let sites = (!args.site.is_empty()).then(|| args.site.clone());
            client.post(&format!("{}/run", path_of(name)), &TestRunRequest { sites }).await?
        }
        (None, None) => bail!("name a test, or a file with --file"),
    };
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&run)?);
        return whether_all_succeeded(&run);
    }
    for item in &run.items {
        let said = match (&item.result, &item.error) {
            (Some(result), _) if result.success => {
                format!("answers in {}{}", measured(result.duration_ms, "ms"), figures(result))
            }
            (Some(result), _) => {
                format!("fails: {}", clean(result.error.as_deref().unwrap_or("no answer")))
            }
            (None, error) => format!("not run: {}", clean(error.as_deref().unwrap_or("-"))),
        };
        println!("{}: {said}", item.site);
        if let Some(result) = item.result.as_ref().filter(|result| result.probe == "browser") {
            visit(result);
        }
    }
    whether_all_succeeded(&run)
}

/// A script that runs a test wants to know: the command fails where a run does.
fn whether_all_succeeded(run: &TestRun) -> anyhow::Result<()> {
    let succeeded = |item: &&TestRunItem| item.result.as_ref().is_some_and(|result| result.success);
    let good = run.items.iter().filter(succeeded).count();
    match run.items.len() - good {
        0 => Ok(()),
        bad => bail!("{bad} of {} runs did not succeed", run.items.len()),
    }
}

/// The steps of a run by a browser, and how its last document came up.
fn visit(result: &ProbeResult) {
    for number in 1.. {
        let Some(name) = result.attributes.get(&format!("browser.step.{number}.name")) else {
            break;
        };
        let took = result.metrics.get(&format!("browser.step.{number}.duration_ms")).copied();
        let failed = result.attributes.get("browser.failed_step") == Some(name);
        let mark = if failed { "  failed" } else { "" };
        println!("  {}  {}{mark}", clean(name), measured(took, "ms"));
    }
    for (column, name, unit) in [
        ("browser.ttfb_ms", "first byte (TTFB)", "ms"),
        ("browser.fcp_ms", "first content (FCP)", "ms"),
        ("browser.lcp_ms", "largest content (LCP)", "ms"),
        ("browser.tbt_ms", "blocked (TBT)", "ms"),
        ("browser.inp_ms", "input to paint (INP)", "ms"),
    ] {
        if let Some(value) = result.metrics.get(column) {
            println!("  {name}  {}", measured(Some(*value), unit));
        }
    }
    if let Some(shift) = result.metrics.get("browser.cls") {
        println!("  layout shift (CLS)  {shift:.3}");
    }
    let number = |column| result.metrics.get(column).copied().unwrap_or(0.0);
    if result.metrics.contains_key("browser.requests") {
        println!(
            "  requests  {}, failed {}, blocked {}",
            number("browser.requests"),
            number("browser.requests.failed"),
            number("browser.requests.blocked")
        );
    }
}

/// Phases of a run, by the end of their column's name, in the order in which they come.
const PHASES: [(&str, &str); 6] = [
    ("dns_ms", "DNS"),
    ("connect_ms", "connect"),
    ("tls_ms", "TLS"),
    ("handshake_ms", "handshake"),
    ("ttfb_ms", "first byte"),
    ("transfer_ms", "transfer"),
];

/// What a run that succeeded measured besides its time: packets that did not come back, jitter, what a
/// call would sound like, and where the time went.
fn figures(result: &ProbeResult) -> String {
    let metric = |name: &str| result.metrics.get(name).copied();
    let own = |name: &str| metric(&format!("{}.{name}", result.probe));
    let lost = own("loss.ratio").map(|share| format!("{:.1} % lost", 100.0 * share));
    let jitter = own("jitter_ms").map(|ms| format!("jitter {ms:.2} ms"));
    let bursts = own("burst.count").filter(|count| *count > 0.0).map(|count| {
        let length = own("burst.duration_ms").unwrap_or_default();
        format!("{count:.0} bursts of loss, {length:.0} ms each on average")
    });
    let mos = metric("voice.mos").map(|mos| format!("MOS {mos:.2}"));
    let phases: Vec<String> = PHASES
        .iter()
        .filter_map(|(name, word)| Some(format!("{word} {:.2}", own(name)?)))
        .collect();
    // One phase alone is the whole.
    let phases = (phases.len() > 1).then(|| format!("{} ms", phases.join(" + ")));
    let parts = [lost, jitter, bursts, mos, phases].into_iter().flatten();
    parts.map(|part| format!(", {part}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn figures_of(probe: &str, metrics: serde_json::Value) -> String {
        let result: ProbeResult = serde_json::from_value(json!({
            "site": "berlin", "probe": probe, "target": "t", "success": true, "error": null,
            "duration_ms": 1.0, "metrics": metrics, "attributes": {},
            "observed_at": "2026-11-23T21:33:26.698Z"
        }))
        .expect("as the API gives it");
        figures(&result)
    }

    #[test]
    fn a_call_that_loses_is_not_said_to_answer_and_no_more() {
        let call = json!({ "rtp.loss.ratio": 0.24, "rtp.jitter_ms": 0.031, "rtp.burst.count": 3.0,
            "rtp.burst.duration_ms": 400.0, "voice.mos": 1.034 });
        assert_eq!(
            figures_of("rtp", call),
            ", 24.0 % lost, jitter 0.03 ms, 3 bursts of loss, 400 ms each on average, MOS 1.03"
        );
    }

    #[test]
    fn phases_are_told_where_there_are_several() {
        let http = json!({ "http.dns_ms": 1.0, "http.connect_ms": 2.0, "http.tls_ms": 3.5,
            "http.ttfb_ms": 4.0, "http.transfer_ms": 0.25, "http.total_ms": 10.75 });
        assert_eq!(
            figures_of("http", http),
            ", DNS 1.00 + connect 2.00 + TLS 3.50 + first byte 4.00 + transfer 0.25 ms"
        );
        assert_eq!(figures_of("tcp", json!({ "tcp.connect_ms": 2.0 })), "");
    }
}
