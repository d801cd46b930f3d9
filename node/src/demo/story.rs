//! The story, unattended: converge, cut a site off, go on at both sides, heal, agree again. Every
//! step is checked at the nodes' own APIs; the first that does not hold ends it with an error.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use form_urlencoded::Serializer;
use holm_model::EdgeKind;
use serde::Serialize;

use super::eventually;
use super::network::{Network, SITES};
use super::sites::{Mesh, Service};
use crate::api::topology_types::{ElementDetail, Topology};
use crate::api::types::SiteStateView;

const LIMIT: Duration = Duration::from_secs(30);
/// The site that is cut off.
pub(super) const ISLAND: usize = 1;
const MAINLAND: [usize; 2] = [0, 2];

/// Started while the island is cut off, one call at each side.
const AUDIT: Service = Service { name: "audit", site: ISLAND, port: 7010, calls: &[] };
const REPORTER: Service =
    Service { name: "reporter", site: ISLAND, port: 0, calls: &[(ISLAND, 7010)] };
const MAILER: Service = Service { name: "mailer", site: 0, port: 0, calls: &[(2, 7004)] };

/// What was measured, as one line of JSON.
#[derive(Default, Serialize)]
struct Report {
    ok: bool,
    network: &'static str,
    sites: usize,
    elements: usize,
    /// From the start of the program until three nodes serve.
    started_ms: u128,
    /// From then until all hold the same documents, and each site's edges are seen everywhere.
    converged_ms: u128,
    /// From the cut until the island says that it is cut off, and until the others name it.
    cut_noticed_ms: u128,
    /// From the start of new services at both sides of the cut until each side shows its own.
    new_edges_while_cut_ms: u128,
    /// From the heal until all hold the same documents again.
    healed_ms: u128,
    total_ms: u128,
    /// From the start of a process at the third site until both other sites' APIs show what it
    /// calls: 99th percentile of the samples asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    visible_p99_ms: Option<u128>,
}

pub(super) async fn tell(mesh: &mut Mesh, started: Instant, samples: usize) -> anyhow::Result<()> {
    let mut report = Report { sites: SITES.len(), ..Report::default() };
    report.network = match mesh.network {
        Network::Namespaces(_) => "namespaces",
        Network::Loopback(_) => "loopback",
    };
    report.started_ms = started.elapsed().as_millis();
    say(started, "three nodes serve: berlin, tokyo, saopaulo");

    let step = Instant::now();
    for (site, service) in [(0, "web"), (0, "checkout"), (1, "payments"), (2, "catalog")] {
        for asked in 0..SITES.len() {
            await_edge(mesh, asked, service, SITES[site]).await?;
        }
    }
    let digest = await_equal_digests(mesh).await?;
    report.converged_ms = step.elapsed().as_millis();
    let topology = mesh.topology(0).await?;
    report.elements = topology.total.nodes + topology.total.edges;
    say(
        started,
        &format!(
            "all three hold the same documents ({}), {} nodes and {} edges, and each shows the others' connections",
            &digest[..12],
            topology.total.nodes,
            topology.total.edges
        ),
    );

    if samples > 0 {
        report.visible_p99_ms = Some(time_visibility(mesh, samples).await?);
    }

    let step = Instant::now();
    mesh.network.cut(ISLAND, true).await?;
    say(started, "tokyo is cut off");
    await_cut(mesh).await?;
    report.cut_noticed_ms = step.elapsed().as_millis();
    say(
        started,
        "tokyo says that it is cut off and names whom it does not hear; the others name tokyo",
    );

    let step = Instant::now();
    for service in [&AUDIT, &REPORTER, &MAILER] {
        mesh.start_service(service)?;
    }
    await_edge(mesh, ISLAND, REPORTER.name, SITES[ISLAND]).await?;
    for asked in MAINLAND {
        await_edge(mesh, asked, MAILER.name, SITES[0]).await?;
    }
    report.new_edges_while_cut_ms = step.elapsed().as_millis();
    ensure!(
        !shows(&mesh.topology(ISLAND).await?, MAILER.name, SITES[0]),
        "tokyo was not cut off: it shows berlin's new service"
    );
    ensure!(
        !shows(&mesh.topology(0).await?, REPORTER.name, SITES[ISLAND]),
        "tokyo was not cut off: berlin shows its new service"
    );
    say(
        started,
        "both sides go on observing and serving: each shows its own new connections, and not the other's",
    );

    let before: Vec<BTreeSet<String>> = open_edges(mesh).await?;
    let step = Instant::now();
    mesh.network.cut(ISLAND, false).await?;
    await_healed(mesh).await?;
    for asked in 0..SITES.len() {
        await_edge(mesh, asked, REPORTER.name, SITES[ISLAND]).await?;
        await_edge(mesh, asked, MAILER.name, SITES[0]).await?;
    }
    let digest = await_equal_digests(mesh).await?;
    report.healed_ms = step.elapsed().as_millis();
    say(started, &format!("healed: all three hold the same documents again ({})", &digest[..12]));

    check_nothing_lost_or_doubled(mesh, &before).await?;
    say(started, "nothing lost, nothing double");
    mesh.check()?;
    report.ok = true;
    report.total_ms = started.elapsed().as_millis();
    super::say(&serde_json::to_string(&report)?);
    Ok(())
}

/// Starts one new caller after another at the third site, and waits for each at the other two.
async fn time_visibility(mesh: &mut Mesh, samples: usize) -> anyhow::Result<u128> {
    let mut times = Vec::with_capacity(samples);
    for sample in 0..samples {
        let name = format!("caller-{sample}");
        let begin = Instant::now();
        mesh.start_caller(&name, 2, (2, 7004))?;
        let edge = format!("service:{name}|flow|service:stock");
        let query = Serializer::new(String::new()).append_pair("id", &edge).finish();
        let path = format!("/v1/topology/element?{query}");
        for asked in [0, 1] {
            let client = mesh.client(asked)?;
            while client.get::<ElementDetail>(&path).await.is_err() {
                ensure!(begin.elapsed() < LIMIT, "{} does not show {edge}", SITES[asked]);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        times.push(begin.elapsed().as_millis());
        mesh.stop_last_service().await;
    }
    times.sort_unstable();
    let rank = (times.len() * 99).div_ceil(100).max(1) - 1;
    times.get(rank).copied().context("no sample was taken")
}

fn say(started: Instant, what: &str) {
    super::say(&format!("{:>6.1} s  {what}", started.elapsed().as_secs_f64()));
}

/// Whether `site` says that the service calls something.
fn shows(topology: &Topology, service: &str, site: &str) -> bool {
    let from = format!("service:{service}");
    topology.edges.iter().any(|edge| {
        edge.kind == EdgeKind::Flow
            && edge.from == from
            && edge.sites.iter().any(|s| s.as_str() == site)
    })
}

async fn await_edge(mesh: &Mesh, asked: usize, service: &str, site: &str) -> anyhow::Result<()> {
    let what = format!("{} shows what {service} at {site} calls", SITES[asked]);
    eventually(&what, LIMIT, async || {
        Ok(shows(&mesh.topology(asked).await?, service, site).then_some(()))
    })
    .await
}

async fn await_equal_digests(mesh: &Mesh) -> anyhow::Result<String> {
    eventually("all hold the same documents", LIMIT, async || {
        let digests = mesh.digests().await?;
        Ok(digests.iter().all(|digest| *digest == digests[0]).then(|| digests[0].clone()))
    })
    .await
}

async fn await_cut(mesh: &Mesh) -> anyhow::Result<()> {
    eventually("tokyo says that it is cut off", LIMIT, async || {
        let Some(cut_off) = mesh.sites(ISLAND).await?.cut_off else { return Ok(None) };
        let named: Vec<&str> = cut_off.unheard.iter().map(|u| u.site.as_str()).collect();
        Ok(MAINLAND.iter().all(|site| named.contains(&SITES[*site])).then_some(()))
    })
    .await?;
    for asked in MAINLAND {
        eventually(&format!("{} names tokyo", SITES[asked]), LIMIT, async || {
            let sites = mesh.sites(asked).await?;
            ensure!(sites.cut_off.is_none(), "{} says that it is cut off itself", SITES[asked]);
            let island = sites.items.iter().find(|site| site.site.as_str() == SITES[ISLAND]);
            Ok(island
                .is_some_and(|s| {
                    matches!(s.state, SiteStateView::Stale | SiteStateView::Unreachable)
                })
                .then_some(()))
        })
        .await?;
    }
    Ok(())
}

async fn await_healed(mesh: &Mesh) -> anyhow::Result<()> {
    for (asked, name) in SITES.iter().enumerate() {
        eventually(&format!("{name} hears everyone"), LIMIT, async || {
            let sites = mesh.sites(asked).await?;
            let all = sites
                .items
                .iter()
                .all(|s| matches!(s.state, SiteStateView::Here | SiteStateView::Live));
            Ok((sites.cut_off.is_none() && sites.items.len() == SITES.len() && all).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// For each site the flow edges that it observes itself.
async fn open_edges(mesh: &Mesh) -> anyhow::Result<Vec<BTreeSet<String>>> {
    let mut own = Vec::new();
    for (site, name) in SITES.iter().enumerate() {
        let topology = mesh.topology(site).await?;
        let edges = topology.edges.into_iter().filter(|edge| {
            edge.kind == EdgeKind::Flow && edge.sites.iter().any(|s| s.as_str() == *name)
        });
        own.push(edges.map(|edge| edge.id).collect());
    }
    Ok(own)
}

async fn check_nothing_lost_or_doubled(
    mesh: &Mesh,
    before: &[BTreeSet<String>],
) -> anyhow::Result<()> {
    for (asked, name) in SITES.iter().enumerate() {
        let topology = mesh.topology(asked).await?;
        let ids: Vec<&str> = topology.edges.iter().map(|edge| edge.id.as_str()).collect();
        let distinct: BTreeSet<&str> = ids.iter().copied().collect();
        ensure!(distinct.len() == ids.len(), "{name} shows an edge twice");
        for (site, edges) in before.iter().enumerate() {
            for edge in edges {
                if !distinct.contains(edge.as_str()) {
                    bail!("{name} lost {edge}, which {} observed", SITES[site]);
                }
            }
        }
        for (service, site) in [(REPORTER.name, ISLAND), (MAILER.name, 0)] {
            let from = format!("service:{service}");
            for edge in topology.edges.iter().filter(|edge| edge.from == from) {
                check_recorded_once(mesh, asked, &edge.id, SITES[site]).await?;
            }
        }
    }
    Ok(())
}

/// What was opened once during the cut has one interval, from one site.
async fn check_recorded_once(
    mesh: &Mesh,
    asked: usize,
    edge: &str,
    site: &str,
) -> anyhow::Result<()> {
    let query = Serializer::new(String::new()).append_pair("id", edge).finish();
    let detail: ElementDetail = mesh
        .client(asked)?
        .get(&format!("/v1/topology/element?{query}"))
        .await
        .with_context(|| format!("{} does not know {edge}", SITES[asked]))?;
    let records: Vec<(&str, usize)> =
        detail.sites.iter().map(|s| (s.site.as_str(), s.intervals.len())).collect();
    ensure!(
        records == [(site, 1)],
        "{} has {edge} as {records:?}; one interval from {site} was observed",
        SITES[asked]
    );
    Ok(())
}
