//! The probes: each takes its parameters and gives an [`Outcome`], within its time.

pub(crate) mod browser;
mod dial;
pub(crate) mod dns;
mod files;
pub(crate) mod http;
pub(crate) mod icmp;
mod json_path;
mod quic;
mod resolve;
pub(crate) mod rtp;
pub(crate) mod script;
mod series;
pub(crate) mod sip;
pub(crate) mod stamp;
pub(crate) mod tcp;
mod tls;
pub(crate) mod udp;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use dial::{Dial, Gate};
pub(crate) use resolve::Resolver;
pub(crate) use tls::Roots;
pub(crate) use tls::probe::Look as TlsLook;

use crate::outcome::Outcome;
use crate::typical::Typicals;
use crate::voice::{Codec, voice};
use crate::{Clocks, Dnssec, Family, ProbeKind};

/// One probe with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Probe {
    Browser { visit: Box<browser::Visit>, family: Family, with: browser::With },
    Dns { question: dns::Question, server: dns::Server, dnssec: Dnssec },
    Http { ask: Box<http::Ask>, family: Family, verify: bool },
    Icmp { host: String, family: Family, packets: icmp::Packets, voice: Option<Codec> },
    Rtp { call: rtp::Call, family: Family },
    Script { script: Box<script::Script>, family: Family },
    Sip { options: sip::Options, family: Family },
    Stamp { session: stamp::Session, family: Family, voice: Option<Codec> },
    Tcp { host: String, port: u16, family: Family },
    Tls { look: TlsLook, family: Family },
    Udp { echoes: udp::Echoes, family: Family, voice: Option<Codec> },
}

/// What the probes of one run of the plane share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) roots: Roots,
    pub(crate) anchors: dns::dnssec::Anchors,
    pub(crate) resolver: Resolver,
    pub(crate) typicals: Typicals,
    pub(crate) clocks: Arc<dyn Clocks>,
}

impl Probe {
    pub(crate) fn kind(&self) -> ProbeKind {
        match self {
            Self::Browser { .. } => ProbeKind::Browser,
            Self::Dns { .. } => ProbeKind::Dns,
            Self::Http { .. } => ProbeKind::Http,
            Self::Icmp { .. } => ProbeKind::Icmp,
            Self::Rtp { .. } => ProbeKind::Rtp,
            Self::Script { .. } => ProbeKind::Script,
            Self::Sip { .. } => ProbeKind::Sip,
            Self::Stamp { .. } => ProbeKind::Stamp,
            Self::Tcp { .. } => ProbeKind::Tcp,
            Self::Tls { .. } => ProbeKind::Tls,
            Self::Udp { .. } => ProbeKind::Udp,
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
                Self::Browser { visit, family, with } => {
                    browser::probe(visit, *family, with, limit, dial).await
                }
                Self::Dns { question, server, dnssec } => {
                    let validation = (*dnssec != Dnssec::None).then(|| dns::Validation {
                        anchors: &shared.anchors,
                        required: *dnssec == Dnssec::Require,
                    });
                    dns::probe(question, server, &shared.roots, validation, limit, dial).await
                }
                Self::Http { ask, family, verify } => {
                    let roots = verify.then_some(&shared.roots);
                    http::probe(ask, *family, roots, limit, dial).await
                }
                Self::Icmp { host, family, packets, voice } => {
                    let outcome = icmp::probe(host, *family, *packets, limit, dial).await;
                    heard(outcome, *voice)
                }
                Self::Rtp { call, family } => rtp::probe(call, *family, limit, dial).await,
                Self::Script { script, family } => {
                    script::probe(script, *family, &shared.roots, limit, dial).await
                }
                Self::Sip { options, family } => {
                    sip::probe(options, *family, &shared.roots, limit, dial).await
                }
                Self::Stamp { session, family, voice } => {
                    let clocks = &*shared.clocks;
                    heard(stamp::probe(session, *family, limit, dial, clocks).await, *voice)
                }
                Self::Tcp { host, port, family } => {
                    tcp::probe(host, *port, *family, limit, dial).await
                }
                Self::Tls { look, family } => {
                    tls::probe::probe(look, *family, &shared.roots, limit, dial).await
                }
                Self::Udp { echoes, family, voice } => {
                    heard(udp::probe(echoes, *family, limit, dial).await, *voice)
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

/// With how a conversation would sound over this way, if all that it follows from was measured.
fn heard(mut outcome: Outcome, codec: Option<Codec>) -> Outcome {
    let found = |end: &str| {
        let of = outcome.metrics.iter().find(|(column, _)| column.ends_with(end));
        of.map(|(_, value)| *value)
    };
    let measured = (codec, found(".rtt.avg_ms"), found(".jitter_ms"), found(".loss.ratio"));
    if let (Some(codec), Some(rtt_ms), Some(jitter_ms), Some(loss)) = measured {
        let voice = voice(codec, rtt_ms, jitter_ms, loss);
        outcome.attribute("voice.codec", codec.as_str());
        outcome.attribute("voice.model", codec.model());
        if let Some(why) = codec.estimate() {
            outcome.attribute("voice.estimate", why);
        }
        outcome.metric("voice.delay_ms", voice.delay_ms);
        outcome.metric("voice.r_factor", voice.r_factor);
        outcome.metric("voice.mos", voice.mos);
    }
    outcome
}

/// What is left until `until`, at least a millisecond.
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}
