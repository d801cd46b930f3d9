//! The plane: jobs from the configuration, the mesh and the tests, run on their schedule.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holm_model::{Millis, NodeKind, NodeObservation, NodeRef};
use holm_plane::{Plane, PlaneContext, PlaneError, PlaneRun, VantagePeer};
use rand::RngExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::budget::LeftOut;
use crate::config::Target;
use crate::config::ranges;
use crate::outcome::Outcome;
use crate::probes::{
    Probe, Resolver, Roots, Shared, browser, dns, http, icmp, rtp, script, sip, stamp, udp,
};
use crate::runner::{TestRunner, job_of};
use crate::schedule::{Job, JobKey, Schedule};
use crate::typical::Typicals;
use crate::visits::Visited;
use crate::{Config, Family, ProbeKind};

/// At the latest after this time the schedule is looked at again.
const LONGEST_WAIT_MS: u64 = 1_000;
/// An edge is held at least this long after the last answer.
const SHORTEST_HOLD: Duration = Duration::from_secs(60);

/// Probes the other sites, the configured targets, and what tests say that were made by policy.
#[derive(Debug)]
pub struct ActivePlane {
    config: Config,
    tests: Arc<TestRunner>,
    /// Whether it probes the other sites and the configured targets as well.
    own: bool,
}

impl ActivePlane {
    /// The plane of a configuration that was checked, with the tests that `tests` is told to run.
    pub fn new(config: Config, tests: Arc<TestRunner>) -> Self {
        Self { config, tests, own: true }
    }

    /// One that runs tests and nothing else: of a tenant that the node holds beside its first.
    pub fn of_tests(config: Config, tests: Arc<TestRunner>) -> Self {
        Self { config, tests, own: false }
    }
}

impl Plane for ActivePlane {
    fn name(&self) -> &'static str {
        "active"
    }

    fn run(&self, context: PlaneContext, shutdown: CancellationToken) -> PlaneRun<'_> {
        Box::pin(async move {
            self.config.check().map_err(PlaneError)?;
            say_what_works(&context, &browser::With::of(&self.config));
            let tests = run_tests(&self.config, &self.tests, context.clone(), shutdown.clone());
            if self.own {
                reflect(&self.config, &context, &shutdown).await;
                let own = run_own(&self.config, &self.tests, context, shutdown);
                tokio::select! {
                    ended = own => ended,
                    ended = tests => ended,
                }
            } else {
                tests.await
            }
        })
    }
}

/// Jobs on their schedule, and those that are under way.
struct Lane {
    schedule: Schedule,
    running: JoinSet<Ended>,
    /// Runs that were left out, by job.
    lost: Vec<(JobKey, LeftOut)>,
    begin: Instant,
    most: usize,
}

/// A run is over, or had no room.
struct Ended {
    key: JobKey,
    left_out: Option<LeftOut>,
}

/// What a lane came to.
enum Woke {
    /// Something may be due.
    Due,
    /// Nothing more is to be done.
    Stopped,
}

impl Lane {
    fn new(most: usize) -> Self {
        Self {
            schedule: Schedule::default(),
            running: JoinSet::new(),
            lost: Vec::new(),
            begin: Instant::now(),
            most,
        }
    }

    fn clock(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn sync(&mut self, jobs: Vec<Job>) {
        let now_ms = self.clock();
        self.schedule.sync(jobs, now_ms, random);
    }

    /// The jobs to start now.
    fn due(&mut self) -> Vec<Job> {
        let room = self.most.saturating_sub(self.running.len());
        self.schedule.start_due(self.clock(), room, random)
    }

    /// Waits until something may be due, or the plane is to stop.
    async fn wait(&mut self, shutdown: &CancellationToken) -> Result<Woke, PlaneError> {
        let now_ms = self.clock();
        let next = self.schedule.next_ms();
        let wait = next.map_or(LONGEST_WAIT_MS, |due| due.saturating_sub(now_ms));
        // With no room the next end of a probe wakes the loop.
        let full = self.running.len() >= self.most;
        let wait = if full { LONGEST_WAIT_MS } else { wait.clamp(1, LONGEST_WAIT_MS) };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait)) => {}
            Some(ended) = self.running.join_next(), if !self.running.is_empty() => match ended {
                Ok(Ended { key, left_out: None }) => self.schedule.ended(&key, self.clock(), random),
                Ok(Ended { key, left_out: Some(why) }) => {
                    if self.schedule.postpone(&key, self.clock(), random) {
                        self.lost.push((key, why));
                    }
                }
                // The job cannot be named: let the plane start again.
                Err(error) => return Err(PlaneError(format!("a probe panicked: {error}"))),
            },
            () = shutdown.cancelled() => return Ok(Woke::Stopped),
        }
        Ok(Woke::Due)
    }
}

fn random(within: u64) -> u64 {
    rand::rng().random_range(0..within)
}

/// Probes the other sites and the configured targets.
async fn run_own(
    config: &Config,
    tests: &TestRunner,
    mut context: PlaneContext,
    shutdown: CancellationToken,
) -> Result<(), PlaneError> {
    let configured = configured_jobs(config).map_err(PlaneError)?;
    let shared = Arc::new(Shared {
        roots: Roots::load(&config.ca_file),
        anchors: dns::dnssec::Anchors::of(&config.dns_anchors).map_err(PlaneError)?,
        resolver: Resolver::default(),
        typicals: Typicals::default(),
        clocks: tests.clocks(),
    });
    let mut lane = Lane::new(config.max_concurrent);
    context.peers.mark_changed();
    loop {
        match context.peers.has_changed() {
            Ok(false) => {}
            Ok(true) => {
                let mut jobs = configured.clone();
                let peers = context.peers.borrow_and_update();
                if config.mesh {
                    jobs.extend(peers.iter().flat_map(|peer| mesh_jobs(peer, config)));
                }
                drop(peers);
                lane.sync(jobs);
                context.health.set_counter("targets", lane.schedule.len() as u64);
            }
            // The node stops.
            Err(_) => return Ok(()),
        }
        for job in lane.due() {
            let limit = match &job.probe {
                Probe::Browser { .. } => config.timeout.max(browser::TIMEOUT),
                Probe::Rtp { call, .. } => config.timeout.max(call.length() + rtp::BESIDES),
                _ => config.timeout,
            };
            let shared = Arc::clone(&shared);
            let context = context.clone();
            lane.running.spawn(async move {
                let outcome = job.probe.run(limit, Arc::clone(&shared), None).await;
                // What could not begin for want of a place says nothing of the target.
                if outcome.left_out.is_none() {
                    report(&job, outcome, &shared, &context);
                }
                Ended { key: job.key(), left_out: None }
            });
        }
        context.health.set_counter("skipped", lane.schedule.skipped);
        context.health.set_counter("lookups_refused", shared.resolver.refused());
        let mut peers = context.peers.clone();
        tokio::select! {
            woke = lane.wait(&shutdown) => match woke? {
                Woke::Due => {}
                Woke::Stopped => return Ok(()),
            },
            // Closed means that the node stops: it is seen above.
            _ = peers.changed() => {}
        }
    }
}

/// Probes what tests say. They have places of their own: targets that are slow hold up nothing of the node's own.
async fn run_tests(
    config: &Config,
    tests: &Arc<TestRunner>,
    context: PlaneContext,
    shutdown: CancellationToken,
) -> Result<(), PlaneError> {
    let shared = Arc::clone(tests.shared());
    let mut assigned = tests.subscribe();
    assigned.mark_changed();
    let mut lane = Lane::new(config.max_concurrent);
    loop {
        if assigned.has_changed().unwrap_or(false) {
            let all = Arc::clone(&assigned.borrow_and_update());
            let jobs: Vec<Job> = all.iter().filter_map(|test| job_of(test, config).ok()).collect();
            context.health.set_counter("tests", jobs.len() as u64);
            context.health.set_counter("tests_not_understood", (all.len() - jobs.len()) as u64);
            lane.sync(jobs);
        }
        for job in lane.due() {
            let (shared, context, tests) =
                (Arc::clone(&shared), context.clone(), Arc::clone(tests));
            lane.running.spawn(async move {
                let key = job.key();
                let Some(test) = &job.test else { return Ended { key, left_out: None } };
                let mut outcome = tests.run(&job, test, Arc::clone(&shared)).await;
                if let Some(report) = outcome.browser.take() {
                    let visited = Visited { at: Millis::now(), report: Arc::from(report) };
                    tests.visits().keep(&test.name, visited);
                    let forgotten = tests.visits().forgotten();
                    context.health.set_counter("tests_browser_forgotten", forgotten);
                }
                let left_out = outcome.left_out;
                match left_out {
                    Some(_) => context.health.count("tests_postponed", 1),
                    None => report(&job, outcome, &shared, &context),
                }
                Ended { key, left_out }
            });
        }
        context.health.set_counter("tests_skipped", lane.schedule.skipped);
        context.health.set_counter("tests_lookups_refused", shared.resolver.refused());
        tokio::select! {
            woke = lane.wait(&shutdown) => match woke? {
                Woke::Due => {}
                Woke::Stopped => return Ok(()),
            },
            _ = assigned.changed() => assigned.mark_changed(),
        }
        for ((_, _, test, _), why) in lane.lost.drain(..) {
            context.health.count(why.as_str(), 1);
            tests.count(&test.unwrap_or_default(), why);
        }
    }
}

/// Writes down what a probe found.
fn report(job: &Job, outcome: Outcome, shared: &Shared, context: &PlaneContext) {
    context.health.count("runs", 1);
    if outcome.error.is_some() {
        context.health.count("failures", 1);
    }
    if outcome.off {
        context.health.count("browser_off", 1);
    } else if outcome.refused {
        context.health.count("refused_addresses", 1);
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
    outcome.report(job, context, &shared.typicals, at, hold_ms);
}

/// Answers packets of STAMP, if it is switched on.
async fn reflect(config: &Config, context: &PlaneContext, shutdown: &CancellationToken) {
    // A configuration that is none was refused before.
    let Ok(Some(listen)) = config.stamp_address() else { return };
    let key = match config.stamp_key(&config.stamp_listen_key) {
        None => None,
        Some(file) => match stamp::authentic::Key::read(&file).await {
            Ok(key) => Some(key),
            Err(error) => {
                return context.health.degraded(
                    "all probes; no reflector of STAMP",
                    &format!("planes.active.stamp_listen_key: {error}"),
                    "write a key into the file, readable by the node, and start the node again",
                );
            }
        },
    };
    let rules = stamp::reflector::Rules {
        key,
        allow: ranges("stamp_allow", &config.stamp_allow).unwrap_or_default(),
        stateful: config.stamp_stateful,
    };
    match tokio::net::UdpSocket::bind(listen).await {
        Ok(socket) => {
            let (health, shutdown) = (context.health.clone(), shutdown.clone());
            tokio::spawn(stamp::reflector::serve(socket, rules, health, shutdown));
        }
        Err(error) => context.health.degraded(
            "all probes; no reflector of STAMP",
            &format!("planes.active.stamp_listen: {listen} cannot be bound: {error}"),
            "name an address of this node and a port that is free; below 1024 the node needs CAP_NET_BIND_SERVICE",
        ),
    }
}

/// Which kinds of probe work here, by asking the kernel.
fn say_what_works(context: &PlaneContext, with: &browser::With) {
    let browser = with.says();
    match (icmp::available(false), icmp::available(true)) {
        (Ok(v4), Ok(_)) => context
            .health
            .running(&format!("icmp ({v4} socket), tcp, tls, http, script, dns, udp, stamp, sip, rtp, {browser}")),
        (Ok(v4), Err(reason)) => context.health.degraded(
            &format!("icmp ({v4} socket, IPv4 only), tcp, tls, http, script, dns, udp, stamp, sip, rtp, {browser}"),
            &format!("no ICMPv6 socket: {reason}"),
            "turn on IPv6, or grant CAP_NET_RAW",
        ),
        (Err(reason), _) => context.health.degraded(
            &format!("tcp, tls, http, script, dns, udp, stamp, sip, rtp, {browser}"),
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
            let probe = probe_of(target, config.echo_count, config)?;
            let (name, probed) = (target.name.clone(), target.target.clone());
            Ok(Job { name, probed, probe, interval, peer: None, test: None })
        })
        .collect()
}

pub(crate) fn probe_of(target: &Target, echo_count: u16, config: &Config) -> Result<Probe, String> {
    let (host, family) = (target.target.clone(), target.family);
    Ok(match target.probe {
        ProbeKind::Browser => Probe::Browser {
            visit: Box::new(browser::Visit::of(target)?),
            family,
            with: browser::With::of(config),
        },
        ProbeKind::Dns => Probe::Dns {
            question: target.question()?,
            server: target.name_server()?,
            dnssec: target.dnssec,
        },
        ProbeKind::Http => Probe::Http {
            ask: Box::new(http::Ask::of(target, config.identities.get(&target.identity))?),
            family,
            verify: true,
        },
        ProbeKind::Icmp => {
            let (bytes, dscp) = (target.payload_bytes, target.dscp.unwrap_or(0));
            let packets = icmp::Packets { count: echo_count, bytes, dscp };
            Probe::Icmp { host, family, packets, voice: target.voice }
        }
        ProbeKind::Rtp => Probe::Rtp { call: rtp::Call::of(target)?, family },
        ProbeKind::Script => {
            let identity = config.identities.get(&target.identity);
            Probe::Script { script: Box::new(script::Script::of(target, identity)?), family }
        }
        ProbeKind::Sip => Probe::Sip { options: sip::Options::of(target)?, family },
        ProbeKind::Stamp => {
            let port = if target.port == 0 { stamp::PORT } else { target.port };
            let named = !target.stamp_key.is_empty();
            let key = || (target.stamp_key.clone(), config.stamp_key(&target.stamp_key));
            let key = named.then(key);
            let session = stamp::Session { host, port, count: echo_count, key };
            Probe::Stamp { session, family, voice: target.voice }
        }
        ProbeKind::Tcp => Probe::Tcp { host, port: target.port, family },
        ProbeKind::Udp => {
            let (port, bytes) = (target.port, target.payload_bytes);
            let echoes = udp::Echoes { host, port, count: echo_count, bytes };
            Probe::Udp { echoes, family, voice: target.voice }
        }
        ProbeKind::Tls => Probe::Tls { look: target.tls_look(), family },
    })
}

/// What every site does to every other by itself: echo requests, and its API's port and health.
fn mesh_jobs(peer: &VantagePeer, config: &Config) -> Vec<Job> {
    let host = peer.address.to_string();
    let name = format!("{}/{}", peer.site, peer.node);
    let job = |probe| Job {
        name: name.clone(),
        probed: host.clone(),
        probe,
        interval: config.interval,
        peer: Some(peer.site.clone()),
        test: None,
    };
    let mut jobs = vec![job(Probe::Icmp {
        host: host.clone(),
        family: Family::Any,
        packets: icmp::Packets { count: config.echo_count, ..icmp::Packets::default() },
        voice: None,
    })];
    if let Some(port) = peer.api_port {
        jobs.push(job(Probe::Tcp { host: host.clone(), port, family: Family::Any }));
        let url = format!("https://{}/healthz", SocketAddr::new(peer.address, port));
        // The mesh's own certificates chain to its own root, which says nothing about the site's
        // health: they are described, not judged.
        if let Ok(ask) = http::Ask::get(&url, "200") {
            jobs.push(job(Probe::Http { ask: Box::new(ask), family: Family::Any, verify: false }));
        }
    }
    jobs
}
