//! The probes: each takes its parameters and gives an [`Outcome`], within its time.

pub(crate) mod dns;
pub(crate) mod http;
pub(crate) mod icmp;
pub(crate) mod tcp;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use tls::Roots;

use crate::outcome::{Outcome, elapsed_ms};
use crate::{Family, ProbeKind};

/// One probe with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Probe {
    Dns { question: dns::Question, server: Option<SocketAddr> },
    Http { place: http::Place, expected: http::Expected, family: Family, verify: bool },
    Icmp { host: String, family: Family, count: u16 },
    Tcp { host: String, port: u16, family: Family },
}

impl Probe {
    pub(crate) fn kind(&self) -> ProbeKind {
        match self {
            Self::Dns { .. } => ProbeKind::Dns,
            Self::Http { .. } => ProbeKind::Http,
            Self::Icmp { .. } => ProbeKind::Icmp,
            Self::Tcp { .. } => ProbeKind::Tcp,
        }
    }

    /// Probes once. Ends within `limit`, whatever the target does.
    pub(crate) async fn run(&self, limit: Duration, roots: Arc<Roots>) -> Outcome {
        let probe = async {
            match self {
                Self::Dns { question, server } => dns::probe(question, *server, limit).await,
                Self::Http { place, expected, family, verify } => {
                    http::probe(place, expected, *family, verify.then_some(roots), limit).await
                }
                Self::Icmp { host, family, count } => {
                    icmp::probe(host, *family, *count, limit).await
                }
                Self::Tcp { host, port, family } => tcp::probe(host, *port, *family, limit).await,
            }
        };
        // Each probe keeps its own time and says in which phase it ran out; this is the last resort.
        match tokio::time::timeout(limit + Duration::from_secs(2), probe).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::default().failed("it did not end in its time"),
        }
    }
}

/// The address of `host`. A name's look-up time goes into `dns_column`.
async fn resolve(
    host: &str,
    family: Family,
    until: Instant,
    dns_column: &'static str,
    outcome: &mut Outcome,
) -> Result<IpAddr, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let fits = |ip: &IpAddr| match family {
        Family::Any => true,
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    if let Ok(ip) = bare.parse::<IpAddr>() {
        if !fits(&ip) {
            return Err(format!("{ip} is not of the address family that the target asks for"));
        }
        outcome.address = Some(ip);
        return Ok(ip);
    }
    let begin = Instant::now();
    let limit = until.saturating_duration_since(begin);
    let looked_up = tokio::time::timeout(limit, tokio::net::lookup_host((bare, 0_u16)))
        .await
        .map_err(|_| format!("the name {bare} was not resolved in time"))?
        .map_err(|error| format!("the name {bare} is not resolved: {error}"))?;
    let found = looked_up.map(|address| address.ip()).find(fits);
    outcome.metric(dns_column, elapsed_ms(begin));
    let ip = found.ok_or_else(|| format!("the name {bare} has no address of the wanted family"))?;
    outcome.address = Some(ip);
    Ok(ip)
}

/// What is left until `until`, at least a millisecond.
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}
