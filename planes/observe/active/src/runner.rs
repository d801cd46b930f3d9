//! The tests that one tenant's node is to run: what they are now, what they may send, and what was left out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use holm_model::{Millis, Prefix, Row};
use tokio::sync::watch;

use crate::budget::{Budget, LeftOut, Politeness, begin};
use crate::config::ranges;
use crate::outcome::Outcome;
use crate::plane::probe_of;
use crate::probes::{Dial, Gate, Probe, Resolver, Roots, Shared, dns};
use crate::schedule::Job;
use crate::typical::Typicals;
use crate::visits::{Visited, Visits};
use crate::{Clocks, Config, DnsTrace, Guard, Test};

/// Most tests of which it is counted by name what was left out.
const MAX_COUNTED: usize = 20_000;
/// Bytes that a probe takes about, both ways, with what is around them.
const TCP_BYTES: f64 = 400.0;
const DNS_BYTES: f64 = 600.0;
const HTTP_BYTES: f64 = 2_000.0;
const HTTPS_BYTES: f64 = 8_000.0;
const TLS_HELLO_BYTES: f64 = 4_000.0;
const ECHO_HEADERS: f64 = 28.0;
const STAMP_BYTES: f64 = 144.0;
const UDP_HEADERS: f64 = 28.0;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the tests of all tenants of a node may send together.
#[derive(Debug)]
pub struct NodeLimits {
    budget: Mutex<Budget>,
    politeness: Mutex<Politeness>,
    begun: Instant,
}

impl NodeLimits {
    /// As it is configured.
    pub fn new(config: &Config) -> Self {
        Self {
            budget: Mutex::new(Budget::new(config.probes_per_second, config.bytes_per_second)),
            politeness: Mutex::new(Politeness::new(
                config.address_probes_per_second,
                config.address_at_once,
            )),
            begun: Instant::now(),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn begin_address(&self, address: IpAddr) -> bool {
        lock(&self.politeness).begin(address, self.now_ms())
    }

    pub(crate) fn end_address(&self, address: IpAddr) {
        lock(&self.politeness).end(address);
    }
}

/// The tests that one tenant's node runs. The node says which; the plane runs them from then on.
pub struct TestRunner {
    config: Config,
    allowed: Vec<Prefix>,
    grantable: Vec<Prefix>,
    limits: Arc<NodeLimits>,
    tenant: Mutex<Budget>,
    assigned: watch::Sender<Arc<Vec<Arc<Test>>>>,
    left_out: Mutex<BTreeMap<(Box<str>, LeftOut), u64>>,
    visits: Visits,
    shared: OnceLock<Arc<Shared>>,
    clocks: OnceLock<Arc<dyn Clocks>>,
}

impl TestRunner {
    /// A runner of no tests yet, under a configuration that was checked.
    pub fn new(config: &Config, limits: Arc<NodeLimits>) -> Self {
        let budget = Budget::new(config.tenant_probes_per_second, config.tenant_bytes_per_second);
        Self {
            // A range that is none was refused with the configuration: it allows nothing.
            allowed: ranges("allow", &config.allow).unwrap_or_default(),
            grantable: ranges("allow_granted", &config.allow_granted).unwrap_or_default(),
            config: config.clone(),
            limits,
            tenant: Mutex::new(budget),
            assigned: watch::channel(Arc::default()).0,
            left_out: Mutex::default(),
            visits: Visits::default(),
            shared: OnceLock::new(),
            clocks: OnceLock::new(),
        }
    }

    /// Whose clocks are known, for delays of one way. To be told before anything runs; what is told later is not taken.
    pub fn know_clocks(&self, clocks: Arc<dyn Clocks>) {
        let _ = self.clocks.set(clocks);
    }

    pub(crate) fn clocks(&self) -> Arc<dyn Clocks> {
        self.clocks.get().map_or_else(|| Arc::new(()) as Arc<dyn Clocks>, Arc::clone)
    }

    /// Makes these the tests that run here; whether they are others than before.
    pub fn assign(&self, tests: Vec<Arc<Test>>) -> bool {
        self.assigned.send_if_modified(|known| {
            let changed = **known != tests;
            if changed {
                *known = Arc::new(tests);
            }
            changed
        })
    }

    /// The tests that run here.
    pub fn assigned(&self) -> Arc<Vec<Arc<Test>>> {
        Arc::clone(&self.assigned.borrow())
    }

    /// The tests that run here, told when they become others.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Vec<Arc<Test>>>> {
        self.assigned.subscribe()
    }

    /// Runs of a test that were left out since the node started, by the reason.
    pub fn left_out(&self, test: &str) -> Vec<(LeftOut, u64)> {
        let counted = lock(&self.left_out);
        let of = |why: LeftOut| Some((why, *counted.get(&(test.into(), why))?));
        LeftOut::ALL.into_iter().filter_map(of).collect()
    }

    /// Probes a test once, now, whoever runs it otherwise. Within the budgets and past the guard like any run. The
    /// row of `active_results` has the kind `once`.
    ///
    /// # Errors
    /// Why it was not probed.
    pub async fn once(&self, test: &Test) -> Result<Row, String> {
        self.once_with_visit(test).await.map(|(row, _)| row)
    }

    /// The same, and of a probe by a browser all that it saw.
    ///
    /// # Errors
    /// Why it was not probed.
    pub async fn once_with_visit(&self, test: &Test) -> Result<(Row, Option<Visited>), String> {
        let job = job_of(&Arc::new(test.clone()), &self.config)?;
        let mut outcome = self.run(&job, test, Arc::clone(self.shared())).await;
        if let Some(why) = outcome.left_out {
            self.count(&test.name, why);
            return Err(format!("nothing was sent: {}", why_text(why)));
        }
        let at = Millis::now();
        let visited =
            outcome.browser.take().map(|report| Visited { at, report: Arc::from(report) });
        Ok((outcome.row(&job, at).with("kind", "once"), visited))
    }

    /// Follows a name from the root servers down to who answers. Within the budgets and past the guard like any run;
    /// the roots that the operator chose are not refused.
    ///
    /// # Errors
    /// What is no name or no type of DNS records.
    pub async fn dns_trace(
        &self,
        name: &str,
        record_type: &str,
        limit: Duration,
    ) -> Result<DnsTrace, String> {
        let question = dns::Question::parse(name, record_type)?;
        let start = dns::trace::Start::of(&self.config.dns_roots)?;
        let gate = Gate::new(Guard::new(self.allowed.clone()), Arc::clone(&self.limits));
        let dial = Dial::new(&self.shared().resolver, Some(&gate));
        let may = || {
            let now_ms = self.limits.now_ms();
            let budgets = (&mut lock(&self.tenant), &mut lock(&self.limits.budget));
            begin(budgets.0, budgets.1, DNS_BYTES, now_ms).map_err(|why| why_text(why).to_owned())
        };
        Ok(dns::trace::trace(&question, &start, Instant::now() + limit, &dial, may).await)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.shared.get_or_init(|| {
            Arc::new(Shared {
                roots: Roots::load(&self.config.ca_file),
                // What is none was refused with the configuration: without anchors nothing is secure.
                anchors: dns::dnssec::Anchors::of(&self.config.dns_anchors).unwrap_or_default(),
                resolver: Resolver::default(),
                typicals: Typicals::default(),
                clocks: self.clocks(),
            })
        })
    }

    /// Runs a test's job; `left_out` in the outcome if the budgets do not have so much.
    pub(crate) async fn run(&self, job: &Job, test: &Test, shared: Arc<Shared>) -> Outcome {
        let bytes = expected_bytes(&job.probe);
        let now_ms = self.limits.now_ms();
        let may = begin(&mut lock(&self.tenant), &mut lock(&self.limits.budget), bytes, now_ms);
        if let Err(why) = may {
            return Outcome { left_out: Some(why), ..Outcome::default() };
        }
        let gate = Gate::new(self.guard(test), Arc::clone(&self.limits));
        let mut outcome = job.probe.run(test.timeout, shared, Some(&gate)).await;
        drop(gate);
        if outcome.left_out.is_some() {
            lock(&self.tenant).give_back(bytes);
            lock(&self.limits.budget).give_back(bytes);
            return outcome;
        }
        let more = outcome.more_bytes;
        lock(&self.tenant).spend(more);
        lock(&self.limits.budget).spend(more);
        let took = outcome.duration_ms;
        if let (None, Some(within), Some(ms)) = (&outcome.error, test.expect_within, took)
            && ms > within.as_secs_f64() * 1_000.0
        {
            let within = crate::test::length(within);
            outcome = outcome.failed(format!("it took {ms:.0} ms, and {within} is expected"));
        }
        outcome
    }

    /// The last runs of tests by a browser that this node remembers.
    pub fn visits(&self) -> &Visits {
        &self.visits
    }

    /// What a test may reach from here.
    pub fn guard(&self, test: &Test) -> Guard {
        Guard::new(self.allowed.clone()).with_granted(test.allow.clone(), self.grantable.clone())
    }

    /// A run of the test of that name was left out.
    pub(crate) fn count(&self, test: &str, why: LeftOut) {
        let mut counted = lock(&self.left_out);
        let key = (test.into(), why);
        if counted.len() < MAX_COUNTED || counted.contains_key(&key) {
            *counted.entry(key).or_default() += 1;
        }
    }
}

impl std::fmt::Debug for TestRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestRunner")
            .field("assigned", &self.assigned().len())
            .finish_non_exhaustive()
    }
}

/// Why a run was left out, for people.
pub fn why_text(why: LeftOut) -> &'static str {
    match why {
        LeftOut::Browser => "the browser of this node was at work for other tests all the time",
        LeftOut::LookUps => {
            "too many look-ups of names are under way: name servers are slow or silent"
        }
        LeftOut::NodeBytes => {
            "the tests of this node send as many bytes as they may (planes.active.bytes_per_second)"
        }
        LeftOut::NodeProbes => {
            "the tests of this node run as often as they may (planes.active.probes_per_second)"
        }
        LeftOut::OneAddress => {
            "the tests of this node ask this address as often as they may (planes.active.address_probes_per_second, address_at_once)"
        }
        LeftOut::TenantBytes => {
            "the tenant's tests send as many bytes from this node as they may (planes.active.tenant_bytes_per_second)"
        }
        LeftOut::TenantProbes => {
            "the tenant's tests run as often at this node as they may (planes.active.tenant_probes_per_second)"
        }
    }
}

/// A test as a job of the schedule.
pub(crate) fn job_of(test: &Arc<Test>, config: &Config) -> Result<Job, String> {
    Ok(Job {
        name: test.target.target.clone(),
        probed: test.target.target.clone(),
        probe: probe_of(&test.target, test.echo_count, config)?,
        interval: test.interval,
        peer: None,
        test: Some(Arc::clone(test)),
    })
}

fn expected_bytes(probe: &Probe) -> f64 {
    match probe {
        // What a page brings beyond it is paid afterwards.
        Probe::Browser { .. } => HTTPS_BYTES,
        Probe::Dns { server: dns::Server::Plain { .. }, .. } => DNS_BYTES,
        Probe::Dns { .. } => HTTPS_BYTES,
        Probe::Http { ask, .. } => {
            let each = if ask.is_tls() { HTTPS_BYTES } else { HTTP_BYTES };
            (each + ask.body_bytes() as f64) * f64::from(ask.requests())
        }
        Probe::Icmp { packets, .. } => {
            2.0 * (ECHO_HEADERS + f64::from(packets.bytes)) * f64::from(packets.count)
        }
        Probe::Rtp { call, .. } => 2.0 * (call.bytes() + UDP_HEADERS * call.count()),
        Probe::Script { script, .. } => {
            let each = if script.is_tls() { HTTPS_BYTES } else { HTTP_BYTES };
            each * script.requests() as f64 + script.body_bytes() as f64
        }
        Probe::Sip { options, .. } => {
            if options.is_tls() {
                HTTPS_BYTES
            } else {
                HTTP_BYTES
            }
        }
        Probe::Stamp { session, .. } => STAMP_BYTES * f64::from(session.count),
        Probe::Udp { echoes, .. } => {
            2.0 * (UDP_HEADERS + f64::from(echoes.bytes)) * f64::from(echoes.count)
        }
        Probe::Tcp { .. } => TCP_BYTES,
        Probe::Tls { look, .. } => {
            HTTPS_BYTES + TLS_HELLO_BYTES * f64::from(look.connections() - 1)
        }
    }
}
