//! Commands that read: `status`, `sites`, `topology`, `element`, `planes`, `results`, `rows`.

use std::fmt::Write;

use form_urlencoded::Serializer;
use holm_model::Millis;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answers::{cut_short, diff_text};
use super::ask::check_time;
use super::render::{Table, age, clean, measured};
use super::{Client, ElementArgs, RowsArgs, Target, TopologyArgs};
use crate::api::topology_types::{DirectionView, EdgeView, ElementDetail, Topology};
use crate::api::types::{
    Me, MemberStateView, MemberView, PlaneList, PlaneStateView, ResultList, RowList, SiteStateView,
    Sites, SvidState,
};

/// Asks and prints: as JSON if wanted, else as `show` writes it.
async fn print<T: DeserializeOwned + Serialize>(
    target: &Target,
    path: &str,
    show: impl FnOnce(&T, Millis) -> String,
) -> anyhow::Result<()> {
    let answer: T = Client::new(target)?.get(path).await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        print!("{}", show(&answer, Millis::now()));
    }
    Ok(())
}

#[derive(Serialize)]
struct Status {
    me: Me,
    sites: Sites,
    planes: PlaneList,
}

pub(super) async fn status(target: &Target) -> anyhow::Result<()> {
    let client = Client::new(target)?;
    let status = Status {
        me: client.get("/v1/me").await?,
        sites: client.get("/v1/sites").await?,
        planes: client.get("/v1/planes").await?,
    };
    if target.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
        return Ok(());
    }
    let now = Millis::now();
    let me = &status.me;
    println!("{} (holm {}), tenant {}, you are {}", me.spiffe_id, me.version, me.tenant, me.role);
    let until = me.svid.not_after;
    match me.svid.state {
        SvidState::Valid => println!("certificate valid until {until}"),
        SvidState::Expired => println!(
            "certificate EXPIRED at {until}: this node observes and serves its own site and does not replicate; \
             get a token with `holm token create --site {}` on another node and run `holm join` here",
            me.site
        ),
        SvidState::NotYetValid => println!(
            "certificate NOT YET VALID (it ends at {until}): check this node's clock; until then the node does not replicate"
        ),
        SvidState::Revoked => println!(
            "certificate REVOKED: this node observes and serves its own site and does not replicate; to come back it \
             needs a new key: stop it, move its identity and tenants folders away, and enrol it with a token of \
             `holm token create --site {}`",
            me.site
        ),
    }
    println!();
    print!("{}", sites_table(&status.sites, now));
    println!();
    print!("{}", planes_table(&status.planes, now));
    Ok(())
}

pub(super) async fn sites(target: &Target) -> anyhow::Result<()> {
    print(target, "/v1/sites", sites_table).await
}

fn sites_table(sites: &Sites, now: Millis) -> String {
    let mut text = String::new();
    if let Some(cut_off) = &sites.cut_off {
        let unheard: Vec<String> = cut_off
            .unheard
            .iter()
            .map(|u| {
                format!("{} {}", u.site, u.last_heard.map_or("never".into(), |t| t.to_string()))
            })
            .collect();
        let _ = writeln!(
            text,
            "CUT OFF since {}: last heard from {}; this node goes on observing and serving\n",
            cut_off.since,
            unheard.join(", ")
        );
    }
    if !sites.replicating {
        let _ = writeln!(
            text,
            "NOT REPLICATING: {}\n",
            clean(sites.replicating_reason.as_deref().unwrap_or_default())
        );
    }
    for conflict in &sites.conflicts {
        let _ = writeln!(text, "CONFLICT: {}\n", clean(conflict));
    }
    let mut table = Table::new([
        "SITE",
        "STATE",
        "AS OF",
        "HEARD",
        "NODE",
        "LINK",
        "RTT",
        "CLOCK",
        "OPEN ELEMENTS",
    ]);
    for site in &sites.items {
        let elements = format!("{} nodes, {} edges", site.elements.nodes, site.elements.edges);
        let heard = if site.is_self { "-".into() } else { age(site.last_heard, now) };
        let mut first = true;
        let nodes: Vec<Option<&MemberView>> =
            if site.nodes.is_empty() { vec![None] } else { site.nodes.iter().map(Some).collect() };
        for node in nodes {
            let site_cell = |text: String| if first { text } else { String::new() };
            table.row([
                site_cell(site.site.to_string()),
                site_cell(site_state(site.state).into()),
                site_cell(age(site.as_of, now)),
                site_cell(heard.clone()),
                node.map_or("-".into(), |n| n.node.to_string()),
                node.map_or("-", link).into(),
                measured(node.and_then(|n| n.rtt_ms), "ms"),
                node.and_then(|n| n.clock_skew_ms).map_or("-".into(), |ms| format!("{ms:+} ms")),
                site_cell(elements.clone()),
            ]);
            first = false;
        }
    }
    let _ = write!(text, "{table}");
    for (site, node) in
        sites.items.iter().flat_map(|site| site.nodes.iter().map(move |n| (site, n)))
    {
        if let Some(refusal) = &node.last_refusal {
            let _ = writeln!(text, "{}/{}: {}", site.site, node.node, clean(refusal));
        }
    }
    text
}

fn site_state(state: SiteStateView) -> &'static str {
    match state {
        SiteStateView::Here => "here",
        SiteStateView::Live => "live",
        SiteStateView::NeverHeard => "never heard",
        SiteStateView::Stale => "stale",
        SiteStateView::Unreachable => "unreachable",
    }
}

fn link(node: &MemberView) -> &'static str {
    match (node.state, node.connected) {
        (MemberStateView::Own, _) => "self",
        (_, true) => "connected",
        (MemberStateView::Alive, false) => "indirect",
        (MemberStateView::Suspect, false) => "suspect",
        (MemberStateView::Down, false) => "down",
    }
}

pub(super) async fn topology(args: &TopologyArgs) -> anyhow::Result<()> {
    let mut query = Serializer::new(String::new());
    for site in &args.site {
        query.append_pair("site", site.as_str());
    }
    for kind in &args.kind {
        query.append_pair("kind", kind);
    }
    if let Some(at) = &args.at {
        check_time("--at", Some(at))?;
        query.append_pair("at", at);
    }
    if let Some(around) = &args.around {
        query.append_pair("around", around).append_pair("depth", &args.depth.to_string());
    }
    if args.no_fold {
        query.append_pair("fold", "false");
    }
    if let Some(format) = args.format {
        query.append_pair("format", format.as_str());
        let path = format!("/v1/topology/export?{}", query.finish());
        let client = Client::new(&args.target)?;
        return client.copy(&path, &mut std::io::stdout().lock()).await;
    }
    if let Some(since) = &args.diff {
        check_time("--diff", Some(since))?;
        query.append_pair("diff", since);
    }
    query.append_pair("limit", &args.limit.to_string());
    print(&args.target, &format!("/v1/topology?{}", query.finish()), topology_tree).await
}

/// Edges grouped under the node they start from.
fn topology_tree(topology: &Topology, now: Millis) -> String {
    let mut text = String::new();
    let when = if topology.live { "now".into() } else { topology.at.to_string() };
    let _ = writeln!(
        text,
        "topology {when}: showing {} of {} nodes, {} of {} edges",
        topology.shown.nodes, topology.total.nodes, topology.shown.edges, topology.total.edges
    );
    let mut from = None;
    for edge in &topology.edges {
        if from != Some(&edge.from) {
            let _ = writeln!(text, "{}", clean(&edge.from));
            from = Some(&edge.from);
        }
        let _ = writeln!(text, "  {}", edge_line(edge, now));
    }
    let linked: std::collections::HashSet<&str> =
        topology.edges.iter().flat_map(|e| [e.from.as_str(), e.to.as_str()]).collect();
    for node in topology.nodes.iter().filter(|node| !linked.contains(node.id.as_str())) {
        let _ = writeln!(text, "{}  [{}]", clean(&node.id), join(&node.sites));
    }
    for node in topology.nodes.iter().filter(|node| !node.aliases.is_empty()) {
        let names: Vec<String> = node.aliases.iter().map(|name| clean(name)).collect();
        let _ = writeln!(text, "{} is also {}", clean(&node.id), names.join(", "));
    }
    if let Some(diff) = &topology.diff {
        text.push_str(&diff_text(diff));
    }
    for note in &topology.coverage.notes {
        let _ = writeln!(text, "note: {}", clean(note));
    }
    for site in &topology.freshness.sites {
        if !matches!(site.state, SiteStateView::Here | SiteStateView::Live) {
            let _ = writeln!(
                text,
                "note: {} is {}: what it holds open was true {}",
                site.site,
                site_state(site.state),
                site.as_of
                    .map_or("nobody knows when".into(), |at| format!("{} ago", age(Some(at), now)))
            );
        }
    }
    text
}

fn edge_line(edge: &EdgeView, now: Millis) -> String {
    let attributes: Vec<String> =
        edge.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    clean(&format!(
        "─{}→ {}  [{}] {}  {}",
        edge.kind,
        edge.to,
        join(&edge.sites),
        age(Some(edge.since), now),
        attributes.join(" ")
    ))
    .trim_end()
    .to_owned()
}

fn join(sites: &[holm_model::SiteId]) -> String {
    sites.iter().map(holm_model::SiteId::as_str).collect::<Vec<_>>().join(" ")
}

pub(super) async fn element(args: &ElementArgs) -> anyhow::Result<()> {
    let mut query = Serializer::new(String::new());
    query.append_pair("id", &args.id).append_pair("limit", &args.limit.to_string());
    if args.no_fold {
        query.append_pair("fold", "false");
    }
    if let Some(at) = &args.at {
        check_time("--at", Some(at))?;
        query.append_pair("at", at);
    }
    let query = query.finish();
    print(&args.target, &format!("/v1/topology/element?{query}"), element_text).await
}

fn element_text(element: &ElementDetail, _: Millis) -> String {
    let mut text = format!("{}\n", clean(&element.id));
    if element.names.len() > 1 {
        let others: Vec<String> = element.names.iter().skip(1).map(|name| clean(name)).collect();
        let _ = writeln!(text, "is also {}", others.join(", "));
    }
    cut_short(&mut text, "names", element.names.len(), element.names_total);
    if let Some(sites) = &element.meant_by {
        let _ = writeln!(text, "as {} means it; others mean another thing", sites.join(", "));
    }
    if !element.there {
        text.push_str("it is not there at that moment; what follows is all that is known of it\n");
    }
    for site in &element.sites {
        let _ = writeln!(text, "at {}", site.site);
        for interval in &site.intervals {
            let to = interval.to.map_or("open".into(), |to| to.to_string());
            let _ = writeln!(text, "  {} – {to}", interval.from);
        }
        for (key, value) in &site.attributes {
            let _ = writeln!(text, "  {} = {}", clean(key), clean(&value.to_string()));
        }
        for past in &site.history {
            let value = past.value.as_ref();
            let value = value.map_or("not set".into(), |value| clean(&value.to_string()));
            let of = past.of.as_ref().map(|of| format!(" of {}", clean(of))).unwrap_or_default();
            let key = clean(&past.key);
            let _ = writeln!(text, "  until {}: {key}{of} was {value}", past.until);
        }
        if let Some(from) = site.history_from {
            let _ = writeln!(text, "  earlier values before {from} were forgotten");
        }
    }
    for alias in &element.aliases {
        let how = if alias.folded { "the same as" } else { "perhaps the same as" };
        let evidence: Vec<String> =
            alias.attributes.values().map(|v| clean(&v.to_string())).collect();
        let _ = writeln!(text, "{how} {} ({})", clean(&alias.name), evidence.join(", "));
    }
    cut_short(&mut text, "other names", element.aliases.len(), element.aliases_total);
    for neighbour in &element.neighbours {
        let arrow = if neighbour.direction == DirectionView::Out { "→" } else { "←" };
        let _ = writeln!(text, "{arrow} {} ({})", clean(&neighbour.id), clean(&neighbour.edge));
    }
    cut_short(&mut text, "neighbours", element.neighbours.len(), element.neighbours_total);
    text
}

pub(super) async fn planes(target: &Target) -> anyhow::Result<()> {
    print(target, "/v1/planes", planes_table).await
}

fn planes_table(planes: &PlaneList, now: Millis) -> String {
    let mut table = Table::new(["PLANE", "STATE", "SINCE", "METHOD"]);
    let mut notes = String::new();
    for plane in &planes.items {
        let state = match plane.state {
            PlaneStateView::Degraded => "degraded",
            PlaneStateView::Off => "off",
            PlaneStateView::Running => "running",
        };
        let method = if plane.method.is_empty() { "-".into() } else { plane.method.clone() };
        table.row([plane.plane.clone(), state.into(), age(Some(plane.since), now), method]);
        if !plane.reason.is_empty() {
            let _ = writeln!(notes, "{}: {}", plane.plane, clean(&plane.reason));
            if !plane.remedy.is_empty() {
                let _ = writeln!(notes, "  → {}", clean(&plane.remedy));
            }
        }
    }
    format!("{table}{notes}")
}

pub(super) async fn results(target: &Target) -> anyhow::Result<()> {
    print(target, "/v1/results/latest", results_table).await
}

fn results_table(results: &ResultList, now: Millis) -> String {
    let mut table = Table::new(["PROBE", "TARGET", "RESULT", "TIME", "AGE", "METRICS"]);
    for result in &results.items {
        let outcome = match (&result.error, result.success) {
            (_, true) => "ok".into(),
            (Some(error), false) => format!("FAILED: {error}"),
            (None, false) => "FAILED".into(),
        };
        let metrics: Vec<String> =
            result.metrics.iter().map(|(name, value)| format!("{name}={value:.2}")).collect();
        table.row([
            result.probe.clone(),
            result.target.clone(),
            outcome,
            measured(result.duration_ms, "ms"),
            age(Some(result.observed_at), now),
            metrics.join(" "),
        ]);
    }
    match (results.collector_running, table.is_empty()) {
        (false, true) => {
            "no results: the active plane does not run; `holm planes` says why\n".into()
        }
        (true, true) => "no results yet\n".into(),
        (true, false) => table.to_string(),
        (false, false) => format!("{table}these are old: the active plane does not run now\n"),
    }
}

pub(super) async fn rows(args: &RowsArgs) -> anyhow::Result<()> {
    let query = Serializer::new(String::new())
        .append_pair("table", &args.table)
        .append_pair("limit", &args.limit.to_string())
        .finish();
    print(&args.target, &format!("/v1/rows?{query}"), |rows: &RowList, _| {
        let mut text = String::new();
        for row in &rows.items {
            let columns: Vec<String> =
                row.columns.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let _ = writeln!(text, "{} {}", row.at, clean(&columns.join(" ")));
        }
        text
    })
    .await
}
