//! One sample of this machine: what the kernel says, and what the probes and the tracer of the planes find.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use futures::StreamExt;
use holm_active::{NodeLimits, Selector, Target, Test, TestRunner, why_refused};
use holm_endpoint::{
    Check, CheckResult, Connection, DefaultRoute, Echo, Gateway, LastMile, MAX_HOPS,
    MAX_TEXT_BYTES, Measured, Resolver, Sample, Session, Shown, WayHop, Wifi, connections,
    default_routes, resolvers, wifi,
};
use holm_model::{Millis, Row, Severity, Value};
use holm_path::engine::{Algorithm, TraceOptions};
use holm_path::resolve;
use holm_path::socket::{Request, Tracer};
use serde_json::json;

use super::AgentConfig;

/// How long one probe may take, and a trace as a whole.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
const TRACE_LIMIT: Duration = Duration::from_secs(15);
const TRACE_RATE: u32 = 200;
/// Probes at once.
const AT_ONCE: usize = 8;

/// Measures this machine, again and again.
pub(crate) struct Measurer {
    config: AgentConfig,
    runner: TestRunner,
    /// The access point of the last sample, and how often it was another one of the same network.
    access_point: Option<(Shown<String>, Shown<String>)>,
    roams: u64,
}

impl Measurer {
    /// Under a configuration, which is checked.
    pub(crate) fn new(config: AgentConfig) -> anyhow::Result<Self> {
        config.check()?;
        let active = config.active();
        let runner = TestRunner::new(&active, Arc::new(NodeLimits::new(&active)));
        Ok(Self { config, runner, access_point: None, roams: 0 })
    }

    /// A sample, without what is withheld.
    pub(crate) async fn sample(&mut self) -> Sample {
        let kernel = tokio::task::spawn_blocking(|| {
            let routes = default_routes();
            let first = routes.as_ref().ok().and_then(|routes| routes.first());
            let link = wifi(first.map(|route| route.interface.as_str()));
            (routes, resolvers(), connections(), link)
        });
        let failed =
            |error: &tokio::task::JoinError| format!("looking at the kernel failed: {error}");
        let (routes, resolvers, connections, link) = kernel.await.unwrap_or_else(|error| {
            let why = failed(&error);
            (Err(why.clone()), Err(why.clone()), Err(why.clone()), Wifi::NotMeasured(why))
        });
        let at = Millis::now();
        let wifi = self.with_roams(link);
        // The ways share the machine's one link: what is asked of one is not to spoil another's times.
        let gateways = self.gateways(routes).await;
        let near: Vec<IpAddr> = gateways
            .value()
            .into_iter()
            .flatten()
            .filter_map(|gateway| gateway.address.as_ref()?.told().copied())
            .collect();
        let last_mile = self.last_mile(&near).await.into();
        let resolvers = self.resolvers(resolvers).await;
        let sessions = self.sessions(connections).await;
        let checks = futures::stream::iter(self.config.targets.clone())
            .map(|target| self.check(target))
            .buffered(AT_ONCE)
            .collect()
            .await;
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        self.config.privacy.withhold(Sample {
            at,
            interval_ms: u64::try_from(self.config.interval.as_millis()).unwrap_or(u64::MAX),
            hostname: Shown::Told(hostname.trim().to_owned()),
            wifi,
            gateways,
            resolvers,
            last_mile,
            sessions,
            checks,
            thresholds: self.config.thresholds,
        })
    }

    fn with_roams(&mut self, mut wifi: Wifi) -> Wifi {
        if let Wifi::Link(link) = &mut wifi {
            let now = (link.ssid.clone(), link.bssid.clone());
            let roamed = self
                .access_point
                .as_ref()
                .is_some_and(|(ssid, bssid)| *ssid == now.0 && *bssid != now.1);
            self.roams += u64::from(roamed);
            self.access_point = Some(now);
            link.roams = Some(self.roams);
        }
        wifi
    }

    async fn gateways(&self, routes: Result<Vec<DefaultRoute>, String>) -> Measured<Vec<Gateway>> {
        let routes = match routes {
            Ok(routes) => routes,
            Err(why) => return Measured::NotMeasured(bounded(why)),
        };
        let mut gateways = Vec::new();
        for route in routes {
            let echo = match route.gateway {
                None => Err("the link has no gateway with an address".to_owned()),
                Some(IpAddr::V6(v6)) if v6.is_unicast_link_local() => {
                    Err("it has a link-local address only, which is not asked".to_owned())
                }
                Some(address) => self.echo(address).await,
            };
            gateways.push(Gateway {
                family: route.family,
                address: route.gateway.map(Shown::Told),
                interface: route.interface,
                echo: echo.into(),
            });
        }
        Measured::Measured(gateways)
    }

    async fn echo(&self, address: IpAddr) -> Result<Echo, String> {
        let target = target(json!({
            "name": "echo", "probe": "icmp", "target": address.to_string(),
        }))?;
        let row = self.runner.once(&self.test(target)).await.map_err(bounded)?;
        let number = |column: &str| number(&row, column);
        let (Some(sent), Some(received)) =
            (number("icmp.packets.sent"), number("icmp.packets.received"))
        else {
            return Err(error_of(&row).unwrap_or_else(|| "no echo was sent".into()));
        };
        let rtt_ms = number("icmp.rtt.avg_ms");
        Ok(Echo { sent: sent as u32, received: received as u32, rtt_ms })
    }

    async fn resolvers(&self, found: Result<Vec<IpAddr>, String>) -> Measured<Vec<Resolver>> {
        let found = match found {
            Ok(found) => found,
            Err(why) => return Measured::NotMeasured(bounded(why)),
        };
        let asked = futures::stream::iter(found).map(|address| async move {
            let server = SocketAddr::new(address, 53).to_string();
            let question = target(json!({
                "name": "dns", "probe": "dns", "target": self.config.dns_name, "dns_server": server,
            }));
            let answer = match question {
                Ok(question) => self.answer(question).await,
                Err(why) => Measured::NotMeasured(why),
            };
            let local = why_refused(address).is_some();
            Resolver { address: Shown::Told(address), local, answer }
        });
        Measured::Measured(asked.buffered(AT_ONCE).collect().await)
    }

    async fn last_mile(&self, gateways: &[IpAddr]) -> Result<LastMile, String> {
        let towards = self
            .config
            .trace_towards()
            .ok_or("there is nothing to trace to: name a trace_target, a target or a node")?;
        let address = resolve(&towards, PROBE_LIMIT).await.map_err(bounded)?;
        let (tracer, _) = Tracer::best(TRACE_RATE).map_err(|error| bounded(error.to_string()))?;
        let method = tracer.method().to_string();
        let options = TraceOptions {
            algorithm: Algorithm::Single,
            max_ttl: self.config.max_hops,
            attempts: 3,
            deadline: TRACE_LIMIT,
            ..TraceOptions::default()
        };
        let traced = tracer.trace(Request { options, ..Request::to(address) }).await;
        let found = traced.map_err(|error| bounded(error.to_string()))?;
        let seen = found.hops.iter().take(MAX_HOPS).map(|hop| (hop.ttl, hop.interfaces.first()));
        let mut hops: Vec<WayHop> = seen
            .map(|(ttl, seen)| WayHop {
                ttl,
                address: seen.map(|seen| Shown::Told(seen.address)),
                public: seen.is_some_and(|seen| why_refused(seen.address).is_none()),
                rtt_ms: seen.map(|seen| seen.rtt.avg_ms),
            })
            .collect();
        let at = edge_at(&hops, gateways);
        hops.truncate(at.map_or(hops.len(), |at| at + 1));
        let edge = hops.last().filter(|_| at.is_some()).and_then(|hop| hop.address.as_ref());
        let edge = edge.and_then(Shown::told).copied();
        let echo = match edge {
            Some(edge) => self.echo(edge).await,
            None => Err("no public hop answered".to_owned()),
        };
        Ok(LastMile { method, hops, edge_found: edge.is_some(), edge: echo.into() })
    }

    async fn sessions(&self, found: Result<Vec<Connection>, String>) -> Measured<Vec<Session>> {
        let found = match found {
            Ok(found) => found,
            Err(why) => return Measured::NotMeasured(bounded(why)),
        };
        let mut sessions = Vec::new();
        for session in &self.config.sessions {
            let looked_up =
                tokio::time::timeout(PROBE_LIMIT, tokio::net::lookup_host(session.as_str())).await;
            let figures = match looked_up {
                Ok(Ok(addresses)) => {
                    let canonical =
                        |a: SocketAddr| SocketAddr::new(a.ip().to_canonical(), a.port());
                    let wanted: Vec<SocketAddr> = addresses.map(canonical).collect();
                    let ours = found.iter().filter(|one| wanted.contains(&one.remote));
                    Connection::together(ours).ok_or("there is no connection to it now".to_owned())
                }
                Ok(Err(error)) => Err(bounded(format!("it does not resolve: {error}"))),
                Err(_) => Err("it does not resolve in time".to_owned()),
            };
            sessions
                .push(Session { target: Shown::Told(session.clone()), figures: figures.into() });
        }
        Measured::Measured(sessions)
    }

    async fn check(&self, target: Target) -> Check {
        let (name, probe) = (target.name.clone(), target.probe.as_str().to_owned());
        Check { name: Shown::Told(name), probe, result: self.result(target).await }
    }

    async fn result(&self, target: Target) -> Measured<CheckResult> {
        match self.runner.once(&self.test(target)).await {
            Ok(row) => Measured::Measured(CheckResult {
                success: matches!(row.columns.get("success"), Some(Value::Bool(true))),
                duration_ms: number(&row, "duration_ms"),
                error: error_of(&row).map(Shown::Told),
            }),
            Err(why) => Measured::NotMeasured(bounded(why)),
        }
    }

    async fn answer(&self, question: Target) -> Measured<CheckResult> {
        match self.runner.once(&self.test(question)).await {
            Ok(row) => Measured::Measured(answered(&row)),
            Err(why) => Measured::NotMeasured(bounded(why)),
        }
    }

    fn test(&self, target: Target) -> Test {
        Test {
            name: "agent".into(),
            description: None,
            enabled: true,
            target,
            echo_count: self.config.echo_count,
            expect_within: None,
            interval: self.config.interval,
            jitter: Duration::ZERO,
            timeout: PROBE_LIMIT,
            sites: Selector::default(),
            failures: 1,
            successes: 1,
            severity: Severity::default(),
            allow: Vec::new(),
            trace: false,
            labels: Default::default(),
        }
    }
}

/// What a resolver's answer comes to: that a name is not there is an answer.
fn answered(row: &Row) -> CheckResult {
    let code = match row.columns.get("dns.rcode") {
        Some(Value::Text(code)) => &**code,
        _ => "",
    };
    let success = matches!(code, "NoError" | "NXDomain");
    CheckResult {
        success,
        duration_ms: number(row, "dns.query_ms").or_else(|| number(row, "duration_ms")),
        error: if success { None } else { error_of(row).map(Shown::Told) },
    }
}

/// The provider's edge among the hops: the first public one that is no gateway of this machine.
fn edge_at(hops: &[WayHop], gateways: &[IpAddr]) -> Option<usize> {
    hops.iter().position(|hop| {
        let address = hop.address.as_ref().and_then(Shown::told);
        hop.public && address.is_some_and(|address| !gateways.contains(address))
    })
}

fn target(of: serde_json::Value) -> Result<Target, String> {
    serde_json::from_value(of).map_err(|error| anyhow!(error).to_string())
}

fn number(row: &Row, column: &str) -> Option<f64> {
    match row.columns.get(column)? {
        Value::Float(number) => Some(*number),
        Value::Int(number) => Some(*number as f64),
        _ => None,
    }
}

fn error_of(row: &Row) -> Option<String> {
    match row.columns.get("error")? {
        Value::Text(text) => Some(bounded(text.to_string())),
        _ => None,
    }
}

/// A text of others as a sample takes it.
fn bounded(text: String) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut kept = String::new();
    for c in clean {
        if kept.len() + c.len_utf8() > MAX_TEXT_BYTES {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_machine_gives_a_sample_that_is_right() {
        let config: AgentConfig = toml::from_str(
            "interval = \"10s\"\nsessions = [\"127.0.0.1:1\"]\ntrace_target = \"127.0.0.1\"\n\
             [[targets]]\nname = \"nobody\"\nprobe = \"tcp\"\ntarget = \"127.0.0.1\"\nport = 1\n",
        )
        .expect("read");
        let mut measurer = Measurer::new(config).expect("right");
        let sample = measurer.sample().await;
        assert_eq!(sample.check(), Ok(()));
        let check = sample.checks[0].result.value().expect("checked");
        assert!(!check.success && check.error.is_some(), "{check:?}");
        let sessions = sample.sessions.value().expect("listed");
        assert!(sessions[0].figures.value().is_none());
        let way = sample.last_mile.value().expect("traced");
        assert!(!way.edge_found, "the loopback is not public: {way:?}");
    }

    #[test]
    fn a_gateway_with_a_public_address_is_not_the_edge() {
        let hop = |ttl: u8, address: &str| WayHop {
            ttl,
            address: (!address.is_empty()).then(|| Shown::Told(address.parse().expect("valid"))),
            public: !address.is_empty() && !address.starts_with("10."),
            rtt_ms: None,
        };
        let hops = [hop(1, "192.0.2.1"), hop(2, ""), hop(3, "10.0.0.1"), hop(4, "198.51.100.1")];
        let gateways = ["192.0.2.1".parse().expect("valid")];
        assert_eq!(edge_at(&hops, &gateways), Some(3));
        assert_eq!(edge_at(&hops, &[]), Some(0));
        assert_eq!(edge_at(&hops[..3], &gateways), None);
    }

    #[test]
    fn a_resolver_that_knows_of_no_such_name_answers() {
        let row = |code: &'static str| {
            let row = Row::new("active_results", Millis(1)).with("dns.rcode", code);
            row.with("success", false).with("error", "no such name").with("dns.query_ms", 7.0)
        };
        let told = answered(&row("NXDomain"));
        assert_eq!((told.success, told.duration_ms, told.error), (true, Some(7.0), None));
        assert!(
            answered(&row("ServFail")).error.is_some_and(|_| !answered(&row("ServFail")).success)
        );
        let silent = Row::new("active_results", Millis(1)).with("error", "no answer");
        assert!(!answered(&silent).success);
    }

    #[test]
    fn texts_of_others_are_cut_and_clean() {
        let text = bounded("é\n".repeat(400));
        assert!(text.len() <= MAX_TEXT_BYTES && !text.contains('\n'));
    }
}
