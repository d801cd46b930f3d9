//! `holm doctor`: everything that is wrong at a node, the worst first, each with what to do.

use std::fmt;

use anyhow::bail;
use holm_model::Millis;
use serde::Serialize;

use super::Target;
use super::client::Client;
use super::render::{age, clean};
use crate::api::alerts_types::AlertRuleList;
use crate::api::events::EventsView;
use crate::api::mesh_types::{MeshView, VerdictKind};
use crate::api::types::{Me, PlaneList, PlaneStateView, Sites, SvidState};

/// A certificate that ends sooner than this was not renewed in time.
const SVID_ENDS_SOON_MS: u64 = 24 * 3_600_000;
/// Quarantined pieces and refusals listed.
const MAX_LISTED: usize = 10;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    /// The node does not do what it is there for.
    Broken,
    /// It does, but not for long, not fully, or not everywhere.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Broken => "BROKEN",
            Self::Warning => "WARNING",
            Self::Note => "note",
        })
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Finding {
    severity: Severity,
    what: String,
    remedy: String,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, severity: Severity, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { severity, what: what.into(), remedy: remedy.into() });
    }
}

/// Prints what is found; fails if something is broken.
pub(super) async fn run(target: &Target) -> anyhow::Result<()> {
    let mut found = Findings::default();
    configuration(target, &mut found);
    match ask(target).await {
        Ok((me, sites, planes, mesh, rules, events)) => {
            let now = Millis::now();
            identity(&me, now, &mut found);
            of_sites(&sites, &mut found);
            of_planes(&planes, &mut found);
            of_mesh(&mesh, now, &mut found);
            of_rules(&rules, &mut found);
            of_events(&events, &mut found);
        }
        Err(error) => found.add(
            Severity::Broken,
            format!("the node does not answer: {error:#}"),
            "is it running? `systemctl status holm`, or `holm up --dir DIR`; its log says why it stopped",
        ),
    }
    found.0.sort();
    if target.json {
        println!("{}", serde_json::to_string_pretty(&found.0)?);
    } else {
        print!("{}", text(&found.0));
    }
    let broken = found.0.iter().filter(|finding| finding.severity == Severity::Broken).count();
    if broken > 0 {
        bail!("{broken} of {} findings mean that something is broken", found.0.len());
    }
    Ok(())
}

type Answers = (Me, Sites, PlaneList, MeshView, AlertRuleList, EventsView);

async fn ask(target: &Target) -> anyhow::Result<Answers> {
    let client = Client::new(target)?;
    let (me, sites) = (client.get("/v1/me").await?, client.get("/v1/sites").await?);
    let rules = client.get("/v1/alerts/rules?state=broken&limit=1000").await?;
    let (planes, mesh) = (client.get("/v1/planes").await?, client.get("/v1/mesh").await?);
    Ok((me, sites, planes, mesh, rules, client.get("/v1/events").await?))
}

fn text(found: &[Finding]) -> String {
    if found.is_empty() {
        return "nothing is wrong that this node knows of\n".into();
    }
    found
        .iter()
        .map(|f| {
            format!("{:<8} {}\n         do: {}\n", f.severity, clean(&f.what), clean(&f.remedy))
        })
        .collect()
}

/// The file on this machine, if there is one: what is wrong with it stops the next start.
fn configuration(target: &Target, found: &mut Findings) {
    let path = crate::layout::Layout::new(&target.dir).config();
    if target.url.is_some() || !path.exists() {
        return;
    }
    if let Err(error) = super::config::check(&path) {
        let what = format!("the configuration would stop the next start: {error:#}");
        found.add(Severity::Broken, what, "correct it; `holm config check` says when it is good");
    }
}

fn identity(me: &Me, now: Millis, found: &mut Findings) {
    let until = me.svid.not_after;
    let again = format!("`holm token create --site {}` on another node, `holm join` here", me.site);
    match me.svid.state {
        SvidState::Valid if until.0.since(now) < SVID_ENDS_SOON_MS => found.add(
            Severity::Warning,
            format!("the certificate ends at {until} and was not renewed"),
            "connect this node to an issuer (`holm status` names refusals), or make a second issuer",
        ),
        SvidState::Valid => {}
        SvidState::Expired => {
            found.add(Severity::Broken, format!("the certificate ended at {until}"), again);
        }
        SvidState::NotYetValid => found.add(
            Severity::Broken,
            "the certificate is not valid yet by this machine's clock",
            "set the clock (NTP)",
        ),
        SvidState::Revoked => found.add(
            Severity::Broken,
            "this node's key was revoked: it replicates no more",
            format!("move identity and tenants away, then {again}"),
        ),
    }
}

fn of_sites(sites: &Sites, found: &mut Findings) {
    if !sites.replicating {
        let reason = sites.replicating_reason.as_deref().unwrap_or("the mesh does not run");
        let remedy = "the reason says what to do; observing and serving this site go on";
        found.add(Severity::Broken, format!("it does not replicate: {reason}"), remedy);
    }
    for conflict in &sites.conflicts {
        found.add(Severity::Warning, conflict.clone(), "docs/operations.md has each of these");
    }
}

fn of_planes(planes: &PlaneList, found: &mut Findings) {
    for plane in &planes.items {
        let severity = match plane.state {
            PlaneStateView::Running => continue,
            PlaneStateView::Degraded => Severity::Warning,
            PlaneStateView::Off => Severity::Note,
        };
        let state = if severity == Severity::Note { "is off" } else { "is degraded" };
        let what = format!("plane {} {state}: {}", plane.plane, plane.reason);
        found.add(severity, what, plane.remedy.clone());
    }
}

/// Files of policies that are refused, and alert rules that are not judged.
/// What is not written, and what was lost by that. The oldest rows go by the bounds: that is no fault.
fn of_events(events: &EventsView, found: &mut Findings) {
    const ROOM: &str = "free disk space; `holm events status` counts what was lost";
    if let Some(problem) = &events.problem {
        found.add(Severity::Broken, format!("rows are not written: {problem}"), ROOM);
    }
    if let Some(problem) = &events.documents_problem {
        let what = format!("changes of documents wait to be written: {problem}");
        found.add(Severity::Broken, what, ROOM);
    }
    if events.dropped_queue_full > 0 {
        let lost = events.dropped_queue_full;
        let what = format!("{lost} rows were lost since the start: the disk was too slow, or full");
        found.add(Severity::Warning, what, ROOM);
    }
    if events.damaged > 0 {
        let what = format!("{} event files or logs were damaged and set aside", events.damaged);
        let remedy =
            "the log names them; look at the disk, and restore them from a copy if there is one";
        found.add(Severity::Warning, what, remedy);
    }
    if let Some(error) = events.clickhouse.as_ref().and_then(|to| to.error.as_ref()) {
        let what = format!("nothing goes to ClickHouse: {error}");
        found.add(
            Severity::Warning,
            what,
            "what waits is sent once it goes; look at rows.clickhouse",
        );
    }
}

fn of_rules(rules: &AlertRuleList, found: &mut Findings) {
    if let Some(folder) = &rules.folder {
        if let Some(problem) = &folder.problem {
            let what = format!("the folder of policies is not read: {problem}");
            found.add(
                Severity::Warning,
                what,
                "what it said before stands; policies.folder names it",
            );
        }
        for file in folder.refused.iter().take(MAX_LISTED) {
            let what = format!("{} is refused: {}", file.path, file.problems.join("; "));
            found.add(Severity::Warning, what, "correct the file; what it said before stands");
        }
    }
    for rule in rules.items.iter().take(MAX_LISTED) {
        let problems = rule.nodes.iter().filter_map(|node| node.problem.as_deref());
        let problem = rule.problem.as_deref().or_else(|| problems.into_iter().next());
        let what = format!(
            "alert rule {} is not judged: {}",
            rule.name,
            problem.unwrap_or("it is broken")
        );
        let remedy = format!("`holm alert show {}` says where; correct the rule", rule.name);
        found.add(Severity::Warning, what, remedy);
    }
}

fn of_mesh(mesh: &MeshView, now: Millis, found: &mut Findings) {
    if let Some(stuck) = &mesh.stuck {
        found.add(
            Severity::Broken,
            format!("the mesh's loop has been stuck for {} s in {}", stuck.for_ms / 1_000, stuck.step),
            "look at this machine's disk and CPU; if neither is the cause, restart the node and report it",
        );
    }
    if let Some(why) = &mesh.not_granted {
        let remedy = "grant it again, or take the tenant out of node.tenants here";
        found.add(Severity::Broken, why.clone(), remedy);
    }
    for verdict in &mesh.verdicts {
        let (severity, remedy) = match verdict.kind {
            VerdictKind::CutOff => (Severity::Broken, "look at this site's own uplink"),
            VerdictKind::SiteDown => (Severity::Warning, "look at that site: power, host, uplink"),
            VerdictKind::LinkDown => {
                (Severity::Warning, "look at the way between them: routes, filters, UDP 4747")
            }
            VerdictKind::Undecided => (Severity::Warning, "look at both; a third site would tell"),
        };
        let since = age(Some(verdict.since), now);
        found.add(severity, format!("{} (for {since})", verdict.text), remedy);
    }
    for piece in mesh.documents.quarantined.iter().take(MAX_LISTED) {
        let what = format!(
            "{} bytes of {} from {} did not apply and lie in quarantine: {}",
            piece.bytes, piece.document, piece.from, piece.reason
        );
        let remedy =
            "it is asked for again elsewhere; if it stays, look at the sender's version and disk";
        found.add(Severity::Warning, what, remedy);
    }
    for told in mesh.documents.at_start.iter().take(MAX_LISTED) {
        let remedy =
            "look at the disk (`dmesg`, `smartctl`); this is said until the node starts again";
        found.add(Severity::Warning, told.clone(), remedy);
    }
    for refusal in mesh.refusals.iter().take(MAX_LISTED) {
        let what = format!(
            "{} {} times, last {} ago: {}",
            refusal.address,
            refusal.count,
            age(Some(refusal.at), now),
            refusal.reason
        );
        found.add(Severity::Note, what, "the reason says which side is to change what");
    }
    let lost: Vec<String> = mesh
        .drops
        .iter()
        .filter(|drop| drop.count > 0 && drop.name.ends_with("_dropped"))
        .map(|drop| format!("{} {}", drop.name, drop.count))
        .collect();
    if !lost.is_empty() {
        let what = format!("dropped since the start: {}", lost.join(", "));
        found.add(
            Severity::Note,
            what,
            "anti-entropy makes up for it; if it grows, the node is short of CPU",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_nothing_wrong_is_said_so() {
        let mut found = Findings::default();
        found.add(Severity::Note, "a", "x");
        found.add(Severity::Broken, "b\u{1b}[2J", "y");
        found.add(Severity::Warning, "c", "z");
        found.0.sort();
        let text = text(&found.0);
        let order: Vec<&str> =
            text.lines().step_by(2).filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(order, ["BROKEN", "WARNING", "note"]);
        assert!(!text.contains('\u{1b}'), "no escape sequence reaches the terminal");
        assert!(super::text(&[]).contains("nothing is wrong"));
    }
}
