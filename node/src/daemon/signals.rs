//! Rows of planes that say that something is wrong: as signals, about targets that the topology knows.

use std::net::IpAddr;

use holm_model::{
    NodeId, NodeKind, Prefix, Row, SIGNAL_KEY, SIGNAL_NEAR, Severity, Signal, SiteId,
    VANTAGE_FAILED, VANTAGE_REACHED, Value, host_of,
};

use super::rows::RESULTS_TABLE;
use super::views::SIGNALS_TABLE;

pub(super) fn text<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    match row.columns.get(column)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// What a plane's row of `signals` says; `None` for other rows, and for what the mesh's own views say
/// ([`signal_of_view`]).
pub(super) fn signal_of(row: &Row, own: &SiteId) -> Option<Signal> {
    if row.table != SIGNALS_TABLE {
        return None;
    }
    let (plane, kind, said) = (text(row, "plane")?, text(row, "kind")?, text(row, "target")?);
    let raised = match text(row, "state")? {
        "raised" => true,
        "cleared" => false,
        _ => return None,
    };
    let target = target_of(said, own)?;
    let mut signal = Signal::new(plane, kind, target, raised, row.at);
    signal.severity = text(row, "severity").and_then(|s| s.parse().ok()).unwrap_or_default();
    signal.text = text(row, "text").unwrap_or_default().into();
    if signal.target.name() != said && signal.target.to_string() != said {
        signal.attributes.insert(SIGNAL_KEY.into(), said.into());
    }
    Some(signal)
}

/// The node that a plane speaks of: an id, an address, a prefix, or words of which the last is one of
/// these (`10.0.0.1 > 192.0.2.7`, `to 192.0.2.0/24`) or the first is an address (`192.0.2.1 in 3`).
/// Anything else is a thing of this site's own.
fn target_of(said: &str, own: &SiteId) -> Option<NodeId> {
    let plain = |text: &str| {
        if let Ok(id) = text.parse::<NodeId>() {
            return id.canonical().ok();
        }
        if text.parse::<IpAddr>().is_ok() {
            return NodeId::observed(NodeKind::Host, text).ok();
        }
        Prefix::parse(text).and_then(|_| NodeId::observed(NodeKind::Prefix, text).ok())
    };
    let mut words = said.split_whitespace();
    let (first, last) = (words.next()?, words.next_back());
    plain(said)
        .or_else(|| last.and_then(plain))
        .or_else(|| plain(first))
        .or_else(|| NodeId::new(NodeKind::Device, &format!("{said} ({own})")).ok())
}

/// A result of a probe.
pub(super) struct Kept {
    pub(super) probe: Box<str>,
    pub(super) name: Option<Box<str>>,
    pub(super) error: Option<Box<str>>,
    pub(super) severity: Severity,
    /// What is next to the target beside what the topology knows.
    pub(super) near: Option<Box<str>>,
}

/// What a row of results says of which target; `None` for other rows.
pub(super) fn outcome_of(row: &Row) -> Option<(NodeId, Kept)> {
    if row.table != RESULTS_TABLE {
        return None;
    }
    let probe = text(row, "probe")?;
    let peer = text(row, "peer.site");
    let target = probed(row)?;
    // What tells this check of the target from its others: the test, or the name in the configuration,
    // which may be the same word.
    let configured = text(row, "kind") == Some("configured");
    let named = || text(row, "target").filter(|_| configured).map(|name| format!("target {name}"));
    let name = text(row, "test").map(Box::from).or_else(|| named().map(Into::into));
    let success = matches!(row.columns.get("success"), Some(Value::Bool(true)));
    let error = (!success).then(|| text(row, "error").unwrap_or("no answer").into());
    // Peers are probed by themselves; what somebody configured is somebody's concern.
    let severity = if peer.is_some() { Severity::Warning } else { Severity::Critical };
    let near = peer.map(|site| format!("site:{site}").into());
    Some((target, Kept { probe: probe.into(), name, error, severity, near }))
}

/// The host that a row of a probe or trace is about. A name stays the same when what it resolves to does
/// not; a peer is where it is. What somebody calls a target in a site's configuration is no name of a host.
pub(super) fn probed(row: &Row) -> Option<NodeId> {
    let called = match (text(row, "peer.site"), text(row, "server.address")) {
        (Some(_), Some(address)) => address,
        _ => host_of(text(row, "probed").or_else(|| text(row, "target"))?),
    };
    NodeId::observed(NodeKind::Host, called).ok()
}

/// A verdict of the mesh's views as a signal of site `own`.
pub(super) fn signal_of_view(
    verdict: &holm_graph::Verdict,
    raised: bool,
    text: String,
    own: &SiteId,
    at: holm_model::Millis,
) -> Option<Signal> {
    use holm_graph::Verdict::{CutOff, LinkDown, SiteDown, Undecided};
    let site = |site: &SiteId| NodeId::new(NodeKind::Site, site.as_str()).ok();
    let list = |sites: &std::collections::BTreeSet<SiteId>| -> Box<str> {
        sites.iter().map(SiteId::as_str).collect::<Vec<_>>().join(",").into()
    };
    let about = match verdict {
        CutOff { .. } => site(own)?,
        SiteDown { site: down, .. } | Undecided { site: down, .. } => site(down)?,
        LinkDown { ends: (_, end), .. } => site(end)?,
    };
    let mut signal = Signal::new("mesh", verdict.kind(), about, raised, at);
    signal.severity = super::views::severity(verdict).parse().unwrap_or_default();
    signal.text = text.into();
    match verdict {
        SiteDown { witnesses, .. } => {
            signal.attributes.insert(VANTAGE_FAILED.into(), list(witnesses));
        }
        LinkDown { ends: (a, b), witnesses, reached_by } => {
            signal.attributes.insert(VANTAGE_FAILED.into(), list(witnesses));
            signal.attributes.insert(VANTAGE_REACHED.into(), list(reached_by));
            signal.attributes.insert(SIGNAL_KEY.into(), format!("{a} - {b}").into());
            signal.attributes.insert(SIGNAL_NEAR.into(), format!("site:{a}").into());
        }
        CutOff { .. } | Undecided { .. } => {}
    }
    Some(signal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::Millis;

    fn row(target: &str) -> Row {
        Row::new("signals", Millis(1))
            .with("plane", "flow")
            .with("kind", "flow_pair_above_usual")
            .with("severity", "warning")
            .with("target", target)
            .with("state", "raised")
            .with("text", "much")
    }

    #[test]
    fn what_a_plane_speaks_of_is_found_in_its_words() {
        let own = "berlin".parse().expect("valid");
        for (said, target, key) in [
            ("service:shop", "service:shop", None),
            ("192.0.2.1", "host:192.0.2.1", None),
            ("192.0.2.1 in 3", "host:192.0.2.1", Some("192.0.2.1 in 3")),
            ("10.0.0.1 > 192.0.2.7", "host:192.0.2.7", Some("10.0.0.1 > 192.0.2.7")),
            ("to 192.0.2.0/24", "prefix:192.0.2.0/24", Some("to 192.0.2.0/24")),
            ("to the lab", "device:to the lab (berlin)", Some("to the lab")),
        ] {
            let signal = signal_of(&row(said), &own).expect("a signal");
            assert_eq!(signal.target.to_string(), target);
            assert_eq!(signal.attributes.get(SIGNAL_KEY).map(|key| &**key), key);
        }
        let unclear = row("x").with("state", "maybe");
        assert_eq!(signal_of(&unclear, &own), None);
    }

    #[test]
    fn a_peer_is_probed_where_it_is_and_others_by_what_was_written() {
        let row = Row::new("active_results", Millis(1))
            .with("probe", "icmp")
            .with("target", "lima/n1")
            .with("peer.site", "lima")
            .with("server.address", "192.0.2.9")
            .with("success", false);
        let (target, kept) = outcome_of(&row).expect("a result");
        assert_eq!(target.to_string(), "host:192.0.2.9");
        assert_eq!(
            (kept.near.as_deref(), kept.error.as_deref()),
            (Some("site:lima"), Some("no answer"))
        );
        // Two sites call it as they like; it is one host.
        let named = |name: &'static str, probed: &'static str| {
            let row = Row::new("active_results", Millis(1))
                .with("probe", "http")
                .with("target", name)
                .with("probed", probed)
                .with("kind", "configured")
                .with("server.address", "192.0.2.80")
                .with("success", true);
            let (target, kept) = outcome_of(&row).expect("a result");
            (target.to_string(), kept.name.expect("a name").to_string())
        };
        let here = named("shop", "https://shop.example/health");
        assert_eq!(here, ("host:shop.example".into(), "target shop".into()));
        assert_eq!(named("Laden", "Shop.example:443").0, here.0);
    }
}
