//! What one probe found, as a row and as facts.

use std::net::IpAddr;

use holm_model::{AliasObservation, EdgeKind, EdgeObservation, Millis, NodeKind, NodeRef, Row};
use holm_plane::PlaneContext;

use crate::schedule::Job;

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
    pub(crate) fn report(self, job: &Job, context: &PlaneContext, at: Millis, hold_ms: u32) {
        if let (None, Some(address)) = (&self.error, self.address) {
            observe_path(job, context, address, at, hold_ms);
            if let Some(name) = &self.name {
                observe_name(name, context, address, at, hold_ms);
            }
        }
        context.rows.append(self.row(job, at));
    }

    fn row(self, job: &Job, at: Millis) -> Row {
        let kind = if job.peer.is_some() { "mesh" } else { "configured" };
        let mut row = Row::new("active_results", at)
            .with("probe", job.probe.kind().as_str())
            .with("target", job.name.as_str())
            .with("kind", kind)
            .with("success", self.error.is_none())
            .with_some("error", self.error)
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

fn observe_path(job: &Job, context: &PlaneContext, address: IpAddr, at: Millis, hold_ms: u32) {
    let address = address.to_string();
    // Each kind of probe has a key of its own: two of them to one host do not overwrite each other.
    let probe = match job.probe.kind() {
        crate::ProbeKind::Dns => ("holm.probe.dns", "answers"),
        crate::ProbeKind::Http => ("holm.probe.http", "answers"),
        crate::ProbeKind::Icmp => ("holm.probe.icmp", "answers"),
        crate::ProbeKind::Tcp => ("holm.probe.tcp", "answers"),
    };
    let with_peer;
    let alone = [probe];
    let attributes: &[(&str, &str)] = match &job.peer {
        Some(site) => {
            with_peer = [probe, ("holm.peer.site", site.as_str())];
            &with_peer
        }
        None => &alone,
    };
    context.facts.observe_edge(&EdgeObservation {
        from: NodeRef { kind: NodeKind::Agent, name: context.site.as_str() },
        kind: EdgeKind::Path,
        to: NodeRef { kind: NodeKind::Host, name: &address },
        attributes,
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
