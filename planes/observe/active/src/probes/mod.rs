//! The probes: each takes its parameters and gives an [`Outcome`], within its time.

mod dial;
pub(crate) mod dns;
pub(crate) mod http;
pub(crate) mod icmp;
mod resolve;
pub(crate) mod tcp;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use dial::{Dial, Gate};
pub(crate) use resolve::Resolver;
pub(crate) use tls::Roots;

use crate::outcome::Outcome;
use crate::typical::Typicals;
use crate::{Family, ProbeKind};

/// One probe with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Probe {
    Dns { question: dns::Question, server: Option<SocketAddr> },
    Http { place: http::Place, expected: http::Expected, family: Family, verify: bool },
    Icmp { host: String, family: Family, count: u16 },
    Tcp { host: String, port: u16, family: Family },
}

/// What the probes of one run of the plane share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) roots: Roots,
    pub(crate) resolver: Resolver,
    pub(crate) typicals: Typicals,
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

    /// Probes once. Ends within `limit`, whatever the target does. A test that was made by policy has a `gate`.
    pub(crate) async fn run(
        &self,
        limit: Duration,
        shared: Arc<Shared>,
        gate: Option<&Gate>,
    ) -> Outcome {
        let dial = &Dial::new(&shared.resolver, gate);
        let probe = async {
            match self {
                Self::Dns { question, server } => dns::probe(question, *server, limit, gate).await,
                Self::Http { place, expected, family, verify } => {
                    let roots = verify.then_some(&shared.roots);
                    http::probe(place, expected, *family, roots, limit, dial).await
                }
                Self::Icmp { host, family, count } => {
                    icmp::probe(host, *family, *count, limit, dial).await
                }
                Self::Tcp { host, port, family } => {
                    tcp::probe(host, *port, *family, limit, dial).await
                }
            }
        };
        // Each probe keeps its own time and says in which phase it ran out; this is the last resort.
        match tokio::time::timeout(limit + Duration::from_secs(2), probe).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::default().failed("it did not end in its time"),
        }
    }
}

/// What is left until `until`, at least a millisecond.
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}
