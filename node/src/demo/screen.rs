//! The demo on a terminal: one screen that says what the three sites say now.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use holm_model::Millis;

use super::network::SITES;
use super::sites::Mesh;
use crate::api::types::{MeshDigest, PlaneList, PlaneStateView, SiteStateView, Sites};
use crate::cli::{age, clean};

/// Shows the screen until it is interrupted.
pub(super) async fn watch(mesh: &mut Mesh) -> anyhow::Result<()> {
    let mut links = mesh.links().await?;
    let mut links_made = Millis::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        mesh.check()?;
        // A link works once, within ten minutes: keep fresh ones on the screen.
        if Millis::now().since(links_made) > 9 * 60_000 {
            links = mesh.links().await?;
            links_made = Millis::now();
        }
        let mut screen = String::from(
            "Holm demo: three sites, one mesh. Ctrl-C stops all and leaves nothing.\n\n",
        );
        for (site, name) in SITES.iter().enumerate() {
            match describe(mesh, site).await {
                Ok(text) => screen.push_str(&text),
                Err(error) => {
                    let _ = writeln!(screen, "{name}: {error:#}");
                }
            }
        }
        screen.push_str("\nConsole (each link opens once; the certificate is the demo's own, so the browser asks):\n");
        for link in &links {
            let _ = writeln!(screen, "  {:<9} {}", link.site, link.login_url);
        }
        let mut out = std::io::stdout().lock();
        write!(out, "\x1b[H\x1b[J{screen}")?;
        out.flush()?;
    }
}

async fn describe(mesh: &Mesh, site: usize) -> anyhow::Result<String> {
    let client = mesh.client(site)?;
    let sites: Sites = client.get("/v1/sites").await?;
    let digest: MeshDigest = client.get("/v1/mesh/digest").await?;
    let planes: PlaneList = client.get("/v1/planes").await?;
    let topology = mesh.topology(site).await?;
    let now = Millis::now();
    let heard: Vec<String> = sites
        .items
        .iter()
        .filter(|s| !s.is_self)
        .map(|s| {
            let state = match s.state {
                SiteStateView::Here | SiteStateView::Live => "live",
                SiteStateView::NeverHeard => "never heard",
                SiteStateView::Stale => "stale",
                SiteStateView::Unreachable => "unreachable",
            };
            format!("{} {state} ({})", s.site, age(s.as_of, now))
        })
        .collect();
    let planes: Vec<String> = planes
        .items
        .iter()
        .map(|plane| match plane.state {
            PlaneStateView::Running => format!("{}: {}", plane.plane, plane.method),
            PlaneStateView::Degraded => format!("{}: degraded, {}", plane.plane, plane.method),
            PlaneStateView::Off => format!("{}: off, {}", plane.plane, plane.reason),
        })
        .collect();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<9} digest {}  {} nodes  {} edges  hears {}",
        SITES[site],
        digest.digest.get(..12).unwrap_or_default(),
        topology.total.nodes,
        topology.total.edges,
        heard.join(", ")
    );
    let _ = writeln!(text, "          {}", clean(&planes.join("; ")));
    Ok(text)
}
