//! The numbers of `[spine]` that the whole node holds: `cargo bench -p holm --bench spine`.
//!
//! The binary is the one of the profile that the bench is built with; the figures name it.

#[path = "spine/nodes.rs"]
mod nodes;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use holm_bench::report;
use holm_certs::files::IdentityDir;
use holm_graph::{Fold, FoldLimits};
use holm_model::{
    EdgeKind, EdgeObservation, Millis, NodeKind, NodeName, NodeRef, SiteId, TenantId,
};
use holm_replica::{DataKey, Replica};

use nodes::{Node, holm};

const EDGES: usize = 10_000;
const RUNS: usize = 7;
const IDLE: Duration = Duration::from_secs(10);
/// How many edges a commit of a busy node brings.
const BATCH: usize = 250;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    start_to_serving(&folder.path().join("start"));
    idle_rss(&folder.path().join("idle"));
    demo_check();
}

/// From the start of the process to the first authenticated answer about the tenant's documents.
fn start_to_serving(dir: &Path) {
    let node = Node::found(dir, "berlin");
    write_edges(dir);
    let mut runs: Vec<f64> = (0..=RUNS)
        .map(|run| {
            let started = Instant::now();
            // The first start makes the admin token: it is not counted.
            let running = node.start();
            let documents = running.wait_for_documents();
            let taken = started.elapsed().as_secs_f64() * 1e3;
            assert!(documents >= 1, "the tenant is there");
            if run == 1 {
                let edges = running.get("/v1/topology?limit=1")["total"]["edges"].as_u64();
                assert_eq!(edges, Some(EDGES as u64), "the node serves what is on disk");
            }
            running.stop();
            taken
        })
        .skip(1)
        .collect();
    runs.sort_by(f64::total_cmp);
    report("start_to_serving_ms", runs[RUNS / 2], "ms", 300.0, RUNS);
}

/// A tenant with [`EDGES`] open edges, written as the node itself writes them.
fn write_edges(dir: &Path) {
    let tenant = TenantId::new("default").expect("valid");
    let (site, name): (SiteId, NodeName) =
        ("berlin".parse().expect("valid"), "n1".parse().expect("valid"));
    let key = IdentityDir::at(&dir.join("identity")).load_node_key().expect("a node key");
    let kek = blake3::derive_key("holm 2026-11 tenant data keys", key.to_pem().as_bytes());
    let tenant_dir = dir.join("tenants/default");
    std::fs::create_dir_all(&tenant_dir).expect("a folder");
    let mut rng = rand::rng();
    let data_key = DataKey::generate(&mut rng);
    let wrapped = data_key.wrap(&kek, &tenant, &mut rng).expect("wrapped");
    std::fs::write(tenant_dir.join("data.key"), wrapped.as_bytes()).expect("written");
    let now = Millis::now();
    let (replica, _) = Replica::open(&tenant_dir, tenant, data_key, site, name, now, &mut rng)
        .expect("a new replica");
    let mut fold = Fold::new(FoldLimits::default());
    let attributes =
        [("process.command", "checkout"), ("server.port", "8443"), ("network.transport", "tcp")];
    for i in 0..EDGES {
        let name = format!("10.{}.{}.{}", i / 62_500, i / 250 % 250, i % 250);
        fold.observe_edge(&EdgeObservation {
            from: NodeRef { kind: NodeKind::Service, name: "checkout" },
            kind: EdgeKind::Flow,
            to: NodeRef { kind: NodeKind::Host, name: &name },
            attributes: &attributes,
            at: now,
            hold_ms: 24 * 3_600 * 1_000,
        });
        if (i + 1) % BATCH == 0 {
            replica.commit(&fold.drain(), now).expect("committed");
        }
    }
    replica.commit(&fold.drain(), now).expect("committed");
}

/// Resident memory of a node with mesh, API, console and one peer, when nothing happens.
fn idle_rss(dir: &Path) {
    let berlin = Node::found(&dir.join("berlin"), "berlin").start();
    berlin.wait_for_documents();
    let tokyo = berlin.join(&dir.join("tokyo"), "tokyo").start();
    while berlin.wait_for_documents() < 2 || tokyo.wait_for_documents() < 2 {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(IDLE);
    report("idle_rss_mib", berlin.rss_mib().max(tokyo.rss_mib()), "MiB", 64.0, 2);
}

/// The unattended story, as a user runs it; then once more with new connections timed.
fn demo_check() {
    match tell_story(&[]) {
        Ok(story) => report(
            "demo_check_s",
            story["total_ms"].as_f64().unwrap_or(f64::NAN) / 1e3,
            "s",
            60.0,
            1,
        ),
        Err(error) => {
            println!("bench demo_check_s SKIPPED: `holm demo --check` did not succeed: {error}")
        }
    }
    match tell_story(&["--samples", "100"]) {
        Ok(story) => {
            let p99_ms = story["visible_p99_ms"].as_f64().unwrap_or(f64::NAN);
            report("cross_site_visible_p99_ms", p99_ms, "ms", 1_000.0, 100);
        }
        Err(error) => println!("bench cross_site_visible_p99_ms SKIPPED: {error}"),
    }
}

/// The story's last line, or why it did not hold.
fn tell_story(arguments: &[&str]) -> Result<serde_json::Value, String> {
    let mut command = holm();
    command.args(["demo", "--check"]).args(arguments).stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let story = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|json| json["ok"] == true);
    story.filter(|_| output.status.success()).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        errors.lines().last().unwrap_or_default().to_owned()
    })
}
