//! A year of churn in virtual time, and what a new peer costs: `cargo bench -p holm-replica --bench
//! year_churn`.
//!
//! Edges are live at a constant number; every hour 2 % of them end and as many begin: half of those were
//! seen before, half have a name that never was. Each hour is committed in two batches, as a fold
//! drains it. Retention is 30 days. `HOLM_CHURN_EDGES` is the number of live edges: 2,000 without it, so
//! that the run takes minutes; a document's life is the same at any number, there are only more of
//! them. `HOLM_CHURN_MONTHS` is 12.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use holm_bench::report;
use holm_graph::{ElementChange, ElementChangeKind};
use holm_model::{ElementId, Millis, NodeName, SiteId, TenantId};
use holm_replica::{Applied, DataKey, MemoryDisk, Replica};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

type Failure = Box<dyn std::error::Error>;

const HOUR: u64 = 3_600_000;
const HOURS_PER_MONTH: u64 = 730;
const CHURN: f64 = 0.02;
const LOAD_ONLY: &str = "HOLM_CHURN_LOAD_ONLY";
const COLD_EDGES: usize = 100_000;

fn main() -> Result<(), Failure> {
    if let Some(dir) = std::env::var_os(LOAD_ONLY) {
        return load_only(Path::new(&dir));
    }
    cold_sync()?;
    let edges = number("HOLM_CHURN_EDGES", 2_000);
    let months = number("HOLM_CHURN_MONTHS", 12);
    let dir = std::env::temp_dir().join(format!("holm-churn-{}", std::process::id()));
    let after = year(&dir, edges, months as u64)?;
    std::fs::remove_dir_all(&dir)?;
    let at = |month: usize| after.get(month - 1).copied().unwrap_or(f64::NAN);
    let unit = "stored bytes after 12 months / after 2 months, 2 %/h churn, 30 d retention";
    if months >= 12 {
        report("year_churn_state_ratio", at(12) / at(2), unit, 1.5, edges);
    }
    Ok(())
}

/// What is live, and what was.
struct Edges {
    live: Vec<ElementId>,
    ended: VecDeque<ElementId>,
    named: u64,
    rng: StdRng,
}

impl Edges {
    fn new_one(&mut self) -> Result<ElementId, Failure> {
        self.named += 1;
        edge(self.named)
    }

    /// An hour's changes: what ends in it, and what begins.
    fn churn(&mut self, hour: u64) -> Result<[Vec<ElementChange>; 2], Failure> {
        let n = (self.live.len() as f64 * CHURN).round() as usize;
        self.live.shuffle(&mut self.rng);
        let ends: Vec<ElementId> = self.live.split_off(self.live.len() - n);
        let mut begins = Vec::with_capacity(n);
        for i in 0..n {
            let known = if i % 2 == 0 { self.ended.pop_front() } else { None };
            begins.push(match known {
                Some(id) => id,
                None => self.new_one()?,
            });
        }
        self.live.extend(begins.iter().cloned());
        self.ended.extend(ends.iter().cloned());
        self.ended.truncate(5 * self.live.len());
        let start = hour * HOUR;
        let closed = ends.into_iter().map(|id| {
            let at = Millis(start + self.rng.random_range(0..HOUR));
            ElementChange { id, change: ElementChangeKind::Closed { at } }
        });
        let closed = closed.collect();
        let opened =
            begins.into_iter().map(|id| opened(id, start + self.rng.random_range(0..HOUR)));
        Ok([closed, opened.collect()])
    }
}

/// The stored bytes after each month.
fn year(dir: &Path, edges: usize, months: u64) -> Result<Vec<f64>, Failure> {
    let mut all =
        Edges { live: Vec::new(), ended: VecDeque::new(), named: 0, rng: StdRng::seed_from_u64(7) };
    let mut replica = open(dir, "berlin")?;
    let first = (0..edges).map(|_| all.new_one()).collect::<Result<Vec<_>, _>>()?;
    let changes: Vec<ElementChange> = first.iter().map(|id| opened(id.clone(), HOUR)).collect();
    all.live = first;
    replica.commit(&changes, Millis(HOUR))?;
    println!(
        "{edges} live edges: month, documents, bytes of them, file bytes, elements, ms to open, MiB of RSS then and after reading all, s of the month, rotations, dropped"
    );
    let mut stored = Vec::new();
    for month in 0..months {
        let start = Instant::now();
        for hour in 0..HOURS_PER_MONTH {
            let hour = 2 + month * HOURS_PER_MONTH + hour;
            for changes in all.churn(hour)? {
                replica.commit(&changes, Millis((hour + 1) * HOUR))?;
            }
        }
        let now = Millis((2 + (month + 1) * HOURS_PER_MONTH) * HOUR);
        replica.maintain(now)?;
        let (took, stats) = (start.elapsed(), replica.stats());
        drop(replica);
        let file = std::fs::metadata(dir.join("state.redb"))?.len();
        // Another process: what it takes to load, and no more.
        let child =
            std::process::Command::new(std::env::current_exe()?).env(LOAD_ONLY, dir).output()?;
        let loaded = String::from_utf8(child.stdout)?;
        replica = open(dir, "berlin")?;
        println!(
            "{:2} {:4} {:9} {:9} {:>25} {:6.1} {:5} {:5}",
            month + 1,
            stats.documents,
            stats.document_bytes,
            file,
            loaded.trim_end(),
            took.as_secs_f64(),
            stats.rotations,
            stats.superseded
        );
        assert_eq!(stats.documents_over_budget, 0);
        assert_eq!(stats.rotations_failed, 0);
        stored.push(stats.document_bytes as f64);
    }
    Ok(stored)
}

/// Opens what lies in `dir` and prints the number of elements, the time in milliseconds and the
/// memory that the process has afterwards.
fn load_only(dir: &Path) -> Result<(), Failure> {
    let start = Instant::now();
    let replica = open(dir, "berlin")?;
    let opened = (ms(start.elapsed()), rss_mib());
    let elements = replica.elements().count();
    println!("{elements:7} {:8.1} {:4} {:4}", opened.0, opened.1, rss_mib());
    Ok(())
}

/// An empty peer takes a tenant of 100,000 edges: all blobs, and the CPU of both sides.
fn cold_sync() -> Result<(), Failure> {
    let full = memory("berlin")?;
    let changes: Vec<ElementChange> = (0..COLD_EDGES as u64)
        .map(|i| Ok(opened(edge(i)?, HOUR + i)))
        .collect::<Result<_, Failure>>()?;
    for batch in changes.chunks(5_000) {
        full.commit(batch, Millis(2 * HOUR))?;
    }
    let mut best = (f64::INFINITY, f64::INFINITY, 0);
    for _ in 0..3 {
        let peer = memory("tokyo")?;
        let mut bytes = 0;
        let mut export = Duration::ZERO;
        let mut changed = 0;
        let start = cpu();
        for version in full.documents() {
            let before = cpu();
            let blob = full.export(version.doc, &[])?;
            export += cpu() - before;
            bytes += blob.bytes.len();
            if let Applied::Merged(m) =
                peer.apply(version.doc, &blob.bytes, "x", Millis(3 * HOUR))?
            {
                changed += m.changed.len();
            }
        }
        let both = ms(cpu() - start);
        assert_eq!((changed, peer.digest() == full.digest()), (COLD_EDGES, true));
        if both < best.0 {
            best = (both, ms(export), bytes);
        }
    }
    let (both, export, bytes) = best;
    println!("{} documents; of the CPU time {export:.0} ms is export", full.documents().len());
    let unit = "bytes of blobs, 100k-edge tenant";
    report("cold_sync_100k_bytes", bytes as f64, unit, 3_000_000.0, COLD_EDGES);
    let unit = "ms CPU, both sides, without the wire";
    report("cold_sync_100k_cpu_ms", both, unit, 1_000.0, COLD_EDGES);
    Ok(())
}

fn edge(n: u64) -> Result<ElementId, Failure> {
    let (a, b, c) = (n / 62_500 % 250, n / 250 % 250, n % 250);
    Ok(format!("service:checkout-{}|flow|host:10.{a}.{b}.{c}", n % 97).parse()?)
}

fn opened(id: ElementId, at: u64) -> ElementChange {
    let attributes =
        [("process.command".into(), "checkout".into()), ("server.port".into(), "8443".into())];
    let change = ElementChangeKind::Opened { at: Millis(at), attributes: attributes.into() };
    ElementChange { id, change }
}

fn open(dir: &Path, site: &str) -> Result<Replica, Failure> {
    let (tenant, site, node) = (TenantId::new("acme")?, SiteId::new(site)?, NodeName::new("n1")?);
    let key = DataKey::from_bytes([1; 32]);
    let rng = &mut StdRng::seed_from_u64(now_nanos());
    let (replica, report) = Replica::open(dir, tenant, key, site, node, Millis(1), rng)?;
    assert_eq!(report.messages, [""; 0]);
    Ok(replica)
}

fn memory(site: &str) -> Result<Replica, Failure> {
    let (tenant, site, node) = (TenantId::new("acme")?, SiteId::new(site)?, NodeName::new("n1")?);
    let (disk, key) = (Box::new(MemoryDisk::new()), DataKey::from_bytes([1; 32]));
    let rng = &mut StdRng::seed_from_u64(now_nanos());
    Ok(Replica::open_on(disk, tenant, key, site, node, Millis(1), rng)?.0)
}

fn now_nanos() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// CPU time of the main thread so far: the replica has no other.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Duration::from_nanos(nanos)
}

fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}
