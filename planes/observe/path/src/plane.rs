//! The plane: the ways to every other site and to the configured targets, again and again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holm_asn::{AsTable, Places};
use holm_model::SiteId;
use holm_plane::{Plane, PlaneContext, PlaneError, PlaneRun};
use rand::RngExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::engine::Multipath;
use crate::mtu::{PathMtu, path_mtu};
use crate::outcome::{self, Seen};
use crate::socket::{Method, Request, TraceError, Tracer};
use crate::tables::{FromFile, Table, name_hops};
use crate::wanted::{Allowed, MAX_WANTED, Wanted};
use crate::wire::Protocol;

/// A new target is traced within this time and a tenth of the interval, at a moment of its own.
const FIRST_WITHIN: Duration = Duration::from_secs(20);
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Looks at the ways to the other sites and the configured targets.
#[derive(Debug)]
pub struct PathPlane {
    config: Config,
    /// What else is traced.
    wanted: watch::Receiver<Arc<Vec<Wanted>>>,
}

impl PathPlane {
    /// The plane of a configuration that was checked.
    pub fn new(config: Config) -> Self {
        Self::following(config, watch::channel(Arc::default()).1)
    }

    /// One that also traces what is told while it runs. A host that is configured is traced as configured.
    pub fn following(config: Config, wanted: watch::Receiver<Arc<Vec<Wanted>>>) -> Self {
        Self { config, wanted }
    }
}

impl Plane for PathPlane {
    fn name(&self) -> &'static str {
        "path"
    }

    fn run(&self, context: PlaneContext, shutdown: CancellationToken) -> PlaneRun<'_> {
        Box::pin(run(&self.config, self.wanted.clone(), context, shutdown))
    }
}

/// One thing to trace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// Whether its path MTU is looked for.
    pub(crate) mtu: bool,
    /// The site, if it is a node of the mesh.
    pub(crate) peer: Option<SiteId>,
    /// Whether somebody told it while the plane ran.
    pub(crate) wanted: bool,
}

/// One trace that ended.
pub(crate) struct Traced {
    pub(crate) job: Job,
    pub(crate) address: Option<IpAddr>,
    pub(crate) result: Result<Multipath, String>,
    /// The path MTU, where it was looked for and found.
    pub(crate) mtu: Option<PathMtu>,
    pub(crate) took: Duration,
    pub(crate) method: Method,
    fatal: bool,
}

/// A table of hops; what is wrong with it stands in the plane's health.
async fn opened<T: FromFile>(
    path: &Path,
    key: &str,
    tracer: &Tracer,
    context: &PlaneContext,
) -> Table<T> {
    let (table, missing) = Table::open(path).await;
    if let Some(reason) = missing {
        let remedy = format!("check planes.path.{key}; hops are without {} until then", T::WHAT);
        context.health.degraded(&tracer.method().to_string(), &reason, &remedy);
    }
    table
}

async fn run(
    config: &Config,
    mut wanted: watch::Receiver<Arc<Vec<Wanted>>>,
    mut context: PlaneContext,
    shutdown: CancellationToken,
) -> Result<(), PlaneError> {
    config.check().map_err(PlaneError)?;
    let Some(tracer) = open(config, &context) else { return Ok(()) };
    // Read again when they change, until this run ends.
    let systems: Table<AsTable> = opened(&config.asn_file, "asn_file", &tracer, &context).await;
    let places: Table<Places> = opened(&config.geo_file, "geo_file", &tracer, &context).await;
    let mut due: BTreeMap<Job, Instant> = BTreeMap::new();
    let mut running: JoinSet<Traced> = JoinSet::new();
    let mut under_way: BTreeSet<Job> = BTreeSet::new();
    let mut seen: HashMap<Job, Seen> = HashMap::new();
    let mut changed = true;
    loop {
        if changed {
            let (jobs, left_out) = jobs(config, &wanted.borrow_and_update(), &mut context);
            context.health.set_counter("targets_left_out", left_out as u64);
            due.retain(|job, _| jobs.contains(job));
            seen.retain(|job, _| jobs.contains(job));
            for job in jobs {
                due.entry(job).or_insert_with(|| {
                    Instant::now() + part_of(FIRST_WITHIN.min(config.interval / 10))
                });
            }
            context.health.set_counter("targets", due.len() as u64);
        }
        let now = Instant::now();
        for (job, at) in &mut due {
            if *at > now || under_way.len() >= config.max_concurrent {
                continue;
            }
            // A tenth is jitter, so that sites do not trace in step.
            *at = now + config.interval - config.interval / 20 + part_of(config.interval / 10);
            if under_way.insert(job.clone()) {
                let seed = seed(&context, job);
                let allowed = allowed(&wanted.borrow(), job);
                running.spawn(trace(job.clone(), tracer.clone(), config.clone(), seed, allowed));
            } else {
                context.health.count("skipped", 1);
            }
        }
        for (name, count) in tracer.counters().all() {
            context.health.set_counter(name, count);
        }
        changed = false;
        tokio::select! {
            () = tokio::time::sleep(wait(&due, under_way.len() < config.max_concurrent)) => {}
            Some(ended) = running.join_next(), if !running.is_empty() => {
                let mut traced =
                    ended.map_err(|error| PlaneError(format!("a trace panicked: {error}")))?;
                under_way.remove(&traced.job);
                context.health.count("traces", 1);
                if let (true, Err(error)) = (traced.fatal, &traced.result) {
                    return Err(PlaneError(error.clone()));
                }
                let reached = traced.result.as_ref().is_ok_and(Multipath::reached);
                if traced.job.mtu && reached && traced.mtu.is_none() {
                    context.health.count("mtu_unknown", 1);
                }
                if traced.result.is_err() {
                    context.health.count("failures", 1);
                }
                let table = systems.now();
                if let Ok(result) = &mut traced.result {
                    name_hops(result, &table, &places.now());
                }
                if due.contains_key(&traced.job) {
                    let before = seen.remove(&traced.job);
                    if let Some(now) = outcome::report(&traced, before, config, &context, &table) {
                        seen.insert(traced.job, now);
                    }
                }
            }
            told = context.peers.changed() => match told {
                Ok(()) => changed = true,
                // The node stops.
                Err(_) => return Ok(()),
            },
            // Who told may be gone: what was told last holds then.
            Ok(()) = wanted.changed() => changed = true,
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

/// What is asked before a job that somebody wants is traced; of what is configured nothing.
fn allowed(wanted: &[Wanted], job: &Job) -> Option<Allowed> {
    let of = wanted.iter().find(|wanted| job.wanted && wanted.host == job.host);
    of.map(|wanted| Arc::clone(&wanted.allowed))
}

/// The tracer, and what the health says of it; `None` if nothing is permitted.
fn open(config: &Config, context: &PlaneContext) -> Option<Tracer> {
    const REMEDY: &str = "grant CAP_NET_RAW to the node (AmbientCapabilities=CAP_NET_RAW)";
    match Tracer::best(config.rate) {
        Ok((tracer, None)) => {
            context.health.running(&format!("{}, {}", tracer.method(), config.protocol.as_str()));
            Some(tracer)
        }
        Ok((tracer, Some(reason))) => {
            let what = "udp only, one probe of a flow at a time, no label stacks";
            let reason = format!("{what}: {reason}");
            context.health.degraded(&tracer.method().to_string(), &reason, REMEDY);
            Some(tracer)
        }
        Err(reason) => {
            context.health.off(&reason.to_string(), REMEDY);
            None
        }
    }
}

/// What is traced, and how much of what is wanted is not.
fn jobs(config: &Config, wanted: &[Wanted], context: &mut PlaneContext) -> (BTreeSet<Job>, usize) {
    let configured = config.targets.iter().map(|target| Job {
        name: target.name.clone(),
        host: target.target.clone(),
        protocol: target.protocol.unwrap_or(config.protocol),
        port: target.port.unwrap_or(config.port),
        mtu: target.mtu.unwrap_or(config.mtu),
        peer: None,
        wanted: false,
    });
    let mut jobs: BTreeSet<Job> = configured.collect();
    let mut hosts: BTreeSet<String> = jobs.iter().map(|job| job.host.clone()).collect();
    let mut left_out = 0;
    // One trace a host: two would be told as changes of each other.
    for wanted in wanted {
        if hosts.contains(&wanted.host) {
            continue;
        }
        if hosts.len() >= MAX_WANTED + config.targets.len() {
            left_out += 1;
            continue;
        }
        hosts.insert(wanted.host.clone());
        jobs.insert(Job {
            name: wanted.host.clone(),
            host: wanted.host.clone(),
            protocol: wanted.protocol.unwrap_or(config.protocol),
            port: wanted.port.unwrap_or(config.port),
            mtu: config.mtu,
            peer: None,
            wanted: true,
        });
    }
    if config.mesh {
        let peers = context.peers.borrow_and_update();
        jobs.extend(peers.iter().map(|peer| Job {
            name: format!("{}/{}", peer.site, peer.node),
            // A dual-stack socket tells IPv4 addresses within IPv6.
            host: peer.address.to_canonical().to_string(),
            protocol: config.protocol,
            port: config.port,
            mtu: config.mtu,
            peer: Some(peer.site.clone()),
            wanted: false,
        }));
    } else {
        // Seen, so that it is not told again at once.
        let _ = context.peers.borrow_and_update();
    }
    (jobs, left_out)
}

async fn trace(
    job: Job,
    tracer: Tracer,
    config: Config,
    seed: u64,
    allowed: Option<Allowed>,
) -> Traced {
    let begin = Instant::now();
    let method = tracer.method();
    let done = |job, address, result, fatal| Traced {
        job,
        address,
        result,
        mtu: None,
        took: begin.elapsed(),
        method,
        fatal,
    };
    let address = match crate::resolve(&job.host, LOOKUP_LIMIT).await {
        Ok(address) => address,
        Err(error) => return done(job, None, Err(error), false),
    };
    if let Some(Err(why)) = allowed.map(|allowed| allowed(address)) {
        return done(job, Some(address), Err(why), false);
    }
    let request = Request {
        protocol: job.protocol,
        port: job.port,
        options: config.options(),
        flow_seed: seed,
        ..Request::to(address)
    };
    match tracer.trace(request).await {
        Ok(result) => {
            let (wanted, port) = (job.mtu && result.reached(), job.port);
            let mut traced = done(job, Some(address), Ok(result), false);
            if wanted {
                // That there is no answer is what the row says by having none.
                traced.mtu = path_mtu(address, port).await.ok().flatten();
            }
            traced
        }
        Err(error) => {
            let fatal = matches!(error, TraceError::Socket(_) | TraceError::Stopped);
            done(job, Some(address), Err(error.to_string()), fatal)
        }
    }
}

fn wait(due: &BTreeMap<Job, Instant>, room: bool) -> Duration {
    let next = due.values().min().filter(|_| room);
    let wait = next.map_or(LONGEST_WAIT, |at| at.saturating_duration_since(Instant::now()));
    wait.clamp(Duration::from_millis(10), LONGEST_WAIT)
}

fn part_of(time: Duration) -> Duration {
    time.mul_f64(rand::rng().random_range(0.0..1.0))
}

/// The same for each trace of a pair, so that its flows keep their ports (FNV-1a).
fn seed(context: &PlaneContext, job: &Job) -> u64 {
    let bytes = [context.site.as_str(), "|", &job.host].into_iter().flat_map(str::bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
