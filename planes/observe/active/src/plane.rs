//! The plane: jobs from the configuration and the mesh, run on their schedule.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holm_model::{Millis, NodeKind, NodeObservation, NodeRef};
use holm_plane::{Plane, PlaneContext, PlaneError, PlaneRun, VantagePeer};
use rand::RngExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Target;
use crate::probes::{Probe, Resolver, Roots, Shared, dns, http, icmp};
use crate::schedule::{Job, JobKey, Schedule};
use crate::typical::Typicals;
use crate::{Config, Family, ProbeKind};

/// At the latest after this time the schedule is looked at again.
const LONGEST_WAIT_MS: u64 = 1_000;
/// An edge is held at least this long after the last answer.
const SHORTEST_HOLD: Duration = Duration::from_secs(60);

/// Probes the other sites and the configured targets.
#[derive(Debug)]
pub struct ActivePlane {
    config: Config,
}

impl ActivePlane {
    /// The plane of a configuration that was checked.
    pub fn new(config: Config) -> Self {
        Self { config }
    }
}

impl Plane for ActivePlane {
    fn name(&self) -> &'static str {
        "active"
    }

    fn run(&self, context: PlaneContext, shutdown: CancellationToken) -> PlaneRun<'_> {
        Box::pin(run(&self.config, context, shutdown))
    }
}

async fn run(
    config: &Config,
    mut context: PlaneContext,
    shutdown: CancellationToken,
) -> Result<(), PlaneError> {
    config.check().map_err(PlaneError)?;
    say_what_works(&context);
    let configured = configured_jobs(config).map_err(PlaneError)?;
    let shared = Arc::new(Shared {
        roots: Roots::load(&config.ca_file),
        resolver: Resolver::default(),
        typicals: Typicals::default(),
    });
    let begin = Instant::now();
    let clock = || u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut schedule = Schedule::default();
    let mut running: JoinSet<JobKey> = JoinSet::new();
    let mut peers_changed = true;
    loop {
        if peers_changed {
            let mut jobs = configured.clone();
            if config.mesh {
                let peers = context.peers.borrow_and_update();
                jobs.extend(peers.iter().flat_map(|peer| mesh_jobs(peer, config)));
            }
            schedule.sync(jobs, clock(), |within| rand::rng().random_range(0..within));
            context.health.set_counter("targets", schedule.len() as u64);
        }
        let room = config.max_concurrent.saturating_sub(running.len());
        for job in schedule.start_due(clock(), room) {
            running.spawn(run_job(job, config.timeout, Arc::clone(&shared), context.clone()));
        }
        context.health.set_counter("skipped", schedule.skipped);
        context.health.set_counter("lookups_refused", shared.resolver.refused());
        let wait = schedule.next_ms().map_or(LONGEST_WAIT_MS, |due| due.saturating_sub(clock()));
        // With no room the next end of a probe wakes the loop.
        let wait = if room == 0 { LONGEST_WAIT_MS } else { wait.clamp(1, LONGEST_WAIT_MS) };
        peers_changed = false;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait)) => {}
            Some(ended) = running.join_next(), if !running.is_empty() => match ended {
                Ok(key) => schedule.ended(&key),
                Err(error) => {
                    // The job cannot be named: let the plane start again.
                    return Err(PlaneError(format!("a probe panicked: {error}")));
                }
            },
            changed = context.peers.changed() => match changed {
                Ok(()) => peers_changed = true,
                // The node stops.
                Err(_) => return Ok(()),
            },
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

async fn run_job(job: Job, limit: Duration, shared: Arc<Shared>, context: PlaneContext) -> JobKey {
    let outcome = job.probe.run(limit, Arc::clone(&shared)).await;
    context.health.count("runs", 1);
    if outcome.error.is_some() {
        context.health.count("failures", 1);
    }
    let at = Millis::now();
    let hold = (job.interval * 3).max(SHORTEST_HOLD);
    let hold_ms = u32::try_from(hold.as_millis()).unwrap_or(u32::MAX);
    context.facts.observe_node(&NodeObservation {
        node: NodeRef { kind: NodeKind::Agent, name: context.site.as_str() },
        attributes: &[],
        at,
        hold_ms,
    });
    outcome.report(&job, &context, &shared.typicals, at, hold_ms);
    job.key()
}

/// Which kinds of probe work here, by asking the kernel.
fn say_what_works(context: &PlaneContext) {
    match (icmp::available(false), icmp::available(true)) {
        (Ok(v4), Ok(_)) => context.health.running(&format!("icmp ({v4} socket), tcp, http, dns")),
        (Ok(v4), Err(reason)) => context.health.degraded(
            &format!("icmp ({v4} socket, IPv4 only), tcp, http, dns"),
            &format!("no ICMPv6 socket: {reason}"),
            "turn on IPv6, or grant CAP_NET_RAW",
        ),
        (Err(reason), _) => context.health.degraded(
            "tcp, http, dns",
            &format!("no echo requests: this user gets no ICMP socket ({reason})"),
            icmp::REMEDY,
        ),
    }
}

fn configured_jobs(config: &Config) -> Result<Vec<Job>, String> {
    config
        .targets
        .iter()
        .map(|target| {
            let interval =
                if target.interval.is_zero() { config.interval } else { target.interval };
            let probe = probe_of(target, config)?;
            Ok(Job { name: target.name.clone(), probe, interval, peer: None })
        })
        .collect()
}

fn probe_of(target: &Target, config: &Config) -> Result<Probe, String> {
    let (host, family) = (target.target.clone(), target.family);
    Ok(match target.probe {
        ProbeKind::Dns => Probe::Dns {
            question: dns::Question::parse(&target.target, &target.dns_type)?,
            server: dns::server(&target.dns_server)?,
        },
        ProbeKind::Http => Probe::Http {
            place: http::Place::parse(&target.target)?,
            expected: http::Expected::parse(&target.expect_status)?,
            family,
            verify: true,
        },
        ProbeKind::Icmp => Probe::Icmp { host, family, count: config.echo_count },
        ProbeKind::Tcp => Probe::Tcp { host, port: target.port, family },
    })
}

/// What every site does to every other by itself: echo requests, and its API's port and health.
fn mesh_jobs(peer: &VantagePeer, config: &Config) -> Vec<Job> {
    let host = peer.address.to_string();
    let name = format!("{}/{}", peer.site, peer.node);
    let job = |probe| Job {
        name: name.clone(),
        probe,
        interval: config.interval,
        peer: Some(peer.site.clone()),
    };
    let mut jobs = vec![job(Probe::Icmp {
        host: host.clone(),
        family: Family::Any,
        count: config.echo_count,
    })];
    if let Some(port) = peer.api_port {
        jobs.push(job(Probe::Tcp { host, port, family: Family::Any }));
        let url = format!("https://{}/healthz", SocketAddr::new(peer.address, port));
        // The mesh's own certificates chain to its own root, which says nothing about the site's
        // health: they are described, not judged.
        if let (Ok(place), Ok(expected)) = (http::Place::parse(&url), http::Expected::parse("200"))
        {
            jobs.push(job(Probe::Http { place, expected, family: Family::Any, verify: false }));
        }
    }
    jobs
}
