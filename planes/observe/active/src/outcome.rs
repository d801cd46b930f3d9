//! What one probe found, as a row and as facts.

use std::net::IpAddr;

use holm_model::{
    AliasObservation, EdgeKind, EdgeObservation, Millis, NodeKind, NodeRef, Row, Value,
};
use holm_plane::PlaneContext;

use crate::ProbeKind;
use crate::budget::LeftOut;
use crate::schedule::Job;
use crate::typical::Typicals;

/// Most characters of a text column.
const MAX_TEXT: usize = 500;

/// What one probe found. Only what was measured is in it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The address that was probed, once it is known.
    pub(crate) address: Option<IpAddr>,
    /// The name of which that is the only address of its family.
    pub(crate) name: Option<String>,
    /// Why it failed; `None` if it succeeded.
    pub(crate) error: Option<String>,
    /// The probe's own figure: round trip, connect time, whole request, or answer time.
    pub(crate) duration_ms: Option<f64>,
    /// Numbers by column, unit last.
    pub(crate) metrics: Vec<(&'static str, f64)>,
    /// Texts by column.
    pub(crate) attributes: Vec<(&'static str, String)>,
    /// The guard refused its address: nothing was sent.
    pub(crate) refused: bool,
    /// What it needs does not run here: nothing was sent, and it is `refused` too.
    pub(crate) off: bool,
    /// All that a browser saw.
    pub(crate) browser: Option<Box<holm_browser::Report>>,
    /// Bytes that came beyond what a probe of its kind takes about.
    pub(crate) more_bytes: f64,
    /// It was left out: nothing was sent, and nothing is said of the target.
    pub(crate) left_out: Option<LeftOut>,
}

impl Outcome {
    pub(crate) fn failed(mut self, error: impl Into<String>) -> Self {
        // An error of TLS has every name of the target's certificate in it.
        self.error = Some(bounded(error.into()));
        self
    }

    pub(crate) fn metric(&mut self, column: &'static str, value: f64) {
        self.metrics.push((column, value));
    }

    pub(crate) fn attribute(&mut self, column: &'static str, value: impl Into<String>) {
        self.attributes.push((column, bounded(value.into())));
    }

    /// Writes the row, and the edge if the target answered.
    pub(crate) fn report(
        self,
        job: &Job,
        context: &PlaneContext,
        typicals: &Typicals,
        at: Millis,
        hold_ms: u32,
    ) {
        if let (None, Some(address)) = (&self.error, self.address) {
            let kind = job.probe.kind();
            // A request and a question take what the server takes besides.
            let is_round_trip = matches!(
                kind,
                ProbeKind::Icmp
                    | ProbeKind::Rtp
                    | ProbeKind::Stamp
                    | ProbeKind::Tcp
                    | ProbeKind::Udp
            );
            let round_trip = self.duration_ms.filter(|_| is_round_trip);
            let typical = round_trip.and_then(|ms| typicals.add(kind, address, ms, at));
            observe_path(job, context, address, typical, (at, hold_ms));
            if let Some(name) = &self.name {
                observe_name(name, context, address, at, hold_ms);
            }
        }
        context.rows.append(self.row(job, at));
    }

    /// What it found, as a row of `active_results`.
    pub(crate) fn row(self, job: &Job, at: Millis) -> Row {
        let kind = match (&job.peer, &job.test) {
            (Some(_), _) => "mesh",
            (None, Some(_)) => "test",
            (None, None) => "configured",
        };
        let mut row = Row::new("active_results", at)
            .with("probe", job.probe.kind().as_str())
            .with("target", job.name.as_str())
            .with("kind", kind)
            .with("probed", job.probed.as_str())
            .with_some("test", job.test.as_ref().map(|test| &*test.name))
            .with("success", self.error.is_none())
            .with_some("error", self.error)
            .with_some("refused", self.refused.then_some(true))
            .with_some("duration_ms", self.duration_ms)
            .with_some("peer.site", job.peer.as_ref().map(|site| site.as_str()));
        if let Some(address) = self.address {
            let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
            row = row.with("server.address", address.to_string()).with("network.type", family);
        }
        for (column, value) in self.metrics {
            row = row.with(column, value);
        }
        for (column, value) in self.attributes {
            row = row.with(column, value);
        }
        for (name, value) in job.test.iter().flat_map(|test| &test.labels) {
            row.columns.insert(format!("label.{name}").into(), Value::Text(value.clone()));
        }
        row
    }
}

/// The first of a text: what a target says about itself may be of any length.
fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
    }
    text
}

/// That packets get there. `typical` is the round trip in ms, once it is known.
fn observe_path(
    job: &Job,
    context: &PlaneContext,
    address: IpAddr,
    typical: Option<f64>,
    (at, hold_ms): (Millis, u32),
) {
    let address = address.to_string();
    // Each kind of probe has a key of its own: two of them to one host do not overwrite each other.
    let (probe, rtt_ms) = match job.probe.kind() {
        ProbeKind::Browser => ("holm.probe.browser", ""),
        ProbeKind::Dns => ("holm.probe.dns", ""),
        ProbeKind::Http => ("holm.probe.http", ""),
        ProbeKind::Icmp => ("holm.probe.icmp", "holm.probe.icmp.rtt_ms"),
        ProbeKind::Rtp => ("holm.probe.rtp", "holm.probe.rtp.rtt_ms"),
        ProbeKind::Tcp => ("holm.probe.tcp", "holm.probe.tcp.rtt_ms"),
        ProbeKind::Tls => ("holm.probe.tls", ""),
        ProbeKind::Script => ("holm.probe.script", ""),
        ProbeKind::Sip => ("holm.probe.sip", ""),
        ProbeKind::Stamp => ("holm.probe.stamp", "holm.probe.stamp.rtt_ms"),
        ProbeKind::Udp => ("holm.probe.udp", "holm.probe.udp.rtt_ms"),
    };
    let typical = typical.map(|ms| format!("{ms:.2}"));
    let mut attributes = [(probe, "answers"), ("", ""), ("", "")];
    let mut length = 1;
    let peer = job.peer.as_ref().map(|site| ("holm.peer.site", site.as_str()));
    let typical = typical.as_deref().map(|ms| (rtt_ms, ms));
    for attribute in peer.into_iter().chain(typical) {
        attributes[length] = attribute;
        length += 1;
    }
    context.facts.observe_edge(&EdgeObservation {
        from: NodeRef { kind: NodeKind::Agent, name: context.site.as_str() },
        kind: EdgeKind::Path,
        to: NodeRef { kind: NodeKind::Host, name: &address },
        attributes: &attributes[..length],
        at,
        hold_ms,
    });
}

/// A name and its only address are the same host, for as long as it resolves so.
fn observe_name(name: &str, context: &PlaneContext, address: IpAddr, at: Millis, hold_ms: u32) {
    let address = address.to_string();
    context.facts.observe_alias(&AliasObservation {
        a: NodeRef { kind: NodeKind::Host, name },
        b: NodeRef { kind: NodeKind::Host, name: &address },
        attributes: &[("holm.alias.evidence", "the system's resolver: its only address")],
        at,
        hold_ms,
    });
}

/// Milliseconds since `begin`.
pub(crate) fn elapsed_ms(begin: std::time::Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1_000.0
}
