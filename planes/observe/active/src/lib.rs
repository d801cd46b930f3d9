//! The active plane: probes to the other sites, to configured targets, and to what tests name that were made by
//! policy, over IPv4 and IPv6.
//!
//! What comes in: a strict [`Config`], the peers of the mesh, the [`Test`]s that [`chosen`] gives to this node, and
//! whatever the targets answer. What goes out: one row a probe (table `active_results`), a `path` edge from this
//! site's agent to every host that answers, and a health report that says which kinds of probe work here. What must
//! never happen: a number that was not measured (absent phases are left out, never zero), a reply that is taken for
//! another probe's, an answer that grows without a bound, or a test that reaches an address which its node's operator
//! did not open ([`Guard`]).

mod assign;
mod budget;
mod bursts;
mod clocks;
mod config;
#[cfg(fuzzing)]
pub mod fuzzed;
mod guard;
mod outcome;
mod pair;
mod parse;
mod ping;
mod plane;
mod posture;
mod probes;
mod runner;
mod schedule;
mod standing;
mod staple;
mod step;
mod target;
mod target_fields;
mod target_text;
mod target_words;
mod test;
mod throughput;
mod tls_facts;
mod typical;
mod visits;
mod voice;

pub use assign::{Chosen, Member, Part, REGION, chosen, runs_at};
pub use budget::LeftOut;
pub use clocks::Clocks;
pub use config::{
    Config, DnsTransport, Dnssec, Family, HttpVersion, Identity, ProbeKind, SipTransport, Target,
    TlsScan,
};
pub use guard::{Guard, why_refused};
/// What a browser saw.
pub use holm_browser::{
    Report as BrowserReport, Request as BrowserRequest, Vitals as BrowserVitals,
};
pub use pair::{Pair, Pairs, WINDOW_MS};
pub use parse::{KIND, LABEL, is_label, length_of, parse};
pub use ping::{PING_BYTES, PingSummary, Pinging, Pings, Pong};
pub use plane::ActivePlane;
pub use posture::{EXPIRES_SOON_DAYS, TlsFinding, TlsFindingKind, tls_findings};
pub use probes::dns::trace::{DnsStep, DnsTrace, DnsTraceEnd};
pub use runner::{NodeLimits, TestRunner, why_text};
pub use standing::{Said, Standing, Standings, State, Turned};
pub use step::Step;
pub use test::{Selector, Test, length, range_text};
pub use throughput::{Allowance, PIECE_BYTES, Pace, Throughput};
pub use tls_facts::TlsFacts;
pub use visits::{Visited, Visits};
pub use voice::{Codec, Voice, conversation, voice};
