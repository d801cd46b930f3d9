//! What traces and connections say is wrong: rows of the path and host planes as signals.

use std::sync::{Mutex, PoisonError};

use holm_incident::{ServiceWatch, Trace, Tried, Turned, WayWatch};
use holm_model::{Row, Signal, Value};

use super::signals::{probed, text};

fn number(row: &Row, column: &str) -> Option<i64> {
    match row.columns.get(column)? {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

fn is(row: &Row, column: &str) -> bool {
    matches!(row.columns.get(column), Some(Value::Bool(true)))
}

/// What follows from a row of the path plane, each with what is next to the target.
pub(super) fn way_of(row: &Row, watch: &Mutex<WayWatch>) -> Vec<(Signal, Option<Box<str>>)> {
    let turned = match &*row.table {
        "path_results" => false,
        "path_changes" => true,
        _ => return Vec::new(),
    };
    let key = format!(
        "{} {}",
        text(row, "target").unwrap_or_default(),
        text(row, "protocol").unwrap_or_default()
    );
    let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
    if turned {
        let list = |column| -> Vec<&str> {
            text(row, column).unwrap_or_default().split(',').filter(|hop| !hop.is_empty()).collect()
        };
        let (added, removed) = (list("hops.added"), list("hops.removed"));
        let count = |column| number(row, column).and_then(|count| u64::try_from(count).ok());
        // Where a trace did not get there its length is of nothing.
        let whole =
            is(row, "reached") && !text(row, "change").unwrap_or_default().contains("reached");
        let length = count("length").zip(count("length.before")).filter(|_| whole);
        if whole {
            let (added, removed) = (&*added, &*removed);
            let systems = text(row, "as_path").zip(text(row, "as_path.before"));
            watch.turn(&Turned { key: &key, added, removed, length, systems, at: row.at });
        }
        return Vec::new();
    }
    // What was cut short says nothing of what it did not see.
    let reached = match text(row, "outcome") {
        Some("reached") => true,
        Some("unreachable" | "silent" | "loop") => false,
        _ => return Vec::new(),
    };
    let Some(target) = probed(row) else { return Vec::new() };
    let rtt_ms = match row.columns.get("path.rtt.min_ms") {
        Some(Value::Float(ms)) => Some(*ms),
        _ => None,
    };
    let near = || text(row, "peer.site").map(|site| format!("site:{site}").into());
    let trace = Trace { key: &key, target: &target, reached, rtt_ms, at: row.at };
    watch.take(&trace).into_iter().map(|signal| (signal, near())).collect()
}

/// What follows from a row of the host plane. Most rows say nothing of the kind: nothing is made or locked
/// for them.
pub(super) fn connection_of(row: &Row, watch: &Mutex<ServiceWatch>) -> Option<Signal> {
    if row.table != "host_connections" {
        return None;
    }
    let event = text(row, "event")?;
    if !matches!(event, "connect" | "connect_failed" | "listen" | "listen_closed") {
        return None;
    }
    let (service, port) = (text(row, "service.name")?, number(row, "destination.port")?);
    let held = || watch.lock().unwrap_or_else(PoisonError::into_inner);
    match event {
        "connect" | "connect_failed" => {
            let server = (service, text(row, "destination.address")?, port);
            let tried = if event == "connect" { Tried::Connected } else { Tried::Failed };
            held().connected(server, tried, row.at)
        }
        "listen" => held().listens(service, number(row, "process.pid")?, port, row.at),
        _ => {
            held().listens_no_more(service, number(row, "process.pid")?, port, row.at);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::Millis;

    const START: Millis = Millis(1_795_000_000_000);

    fn trace(minute: u64, outcome: &'static str) -> Row {
        Row::new("path_results", START + minute * 60_000)
            .with("target", "lima/n1")
            .with("protocol", "udp")
            .with("peer.site", "lima")
            .with("server.address", "192.0.2.9")
            .with("success", outcome == "reached")
            .with("outcome", outcome)
            .with("path.rtt.min_ms", 10.0)
    }

    #[test]
    fn a_trace_that_does_not_get_there_any_more_is_a_signal_next_to_the_site() {
        let watch = Mutex::default();
        let mut said = Vec::new();
        for (minute, outcome) in (0..).zip([
            "reached", "reached", "budget", "silent", "deadline", "silent", "reached", "reached",
        ]) {
            said.extend(way_of(&trace(minute, outcome), &watch));
        }
        let kinds: Vec<(&str, bool, &str)> = said
            .iter()
            .map(|(signal, near)| (&*signal.kind, signal.raised, near.as_deref().unwrap_or("")))
            .collect();
        assert_eq!(kinds, [("path_lost", true, "site:lima"), ("path_lost", false, "site:lima")]);
        assert_eq!(said[0].0.target.to_string(), "host:192.0.2.9");
    }

    #[test]
    fn hops_that_are_missing_because_a_trace_ended_early_are_no_other_way() {
        let watch = Mutex::default();
        let change = |minute: u64, change: &'static str, reached: bool| {
            Row::new("path_changes", START + minute * 60_000)
                .with("target", "lima/n1")
                .with("protocol", "udp")
                .with("change", change)
                .with("hops.added", "")
                .with("hops.removed", "192.0.2.1,192.0.2.9")
                .with("length", 1_u64)
                .with("length.before", 3_u64)
                .with("reached", reached)
        };
        let mut said = Vec::new();
        for minute in 0..4 {
            said.extend(way_of(&trace(minute, "reached"), &watch));
        }
        way_of(&change(4, "reached", false), &watch);
        way_of(&change(5, "reached", true), &watch);
        for minute in 5..10 {
            said.extend(way_of(&trace(minute, "reached"), &watch));
        }
        assert_eq!(said, []);
        way_of(&change(10, "hops,length", true), &watch);
        for minute in 10..14 {
            said.extend(way_of(&trace(minute, "reached"), &watch));
        }
        let text = &*said.first().expect("another way").0.text;
        assert_eq!(said.len(), 1);
        assert!(text.contains("0 hops are new, 2 gone, 1 hops instead of 3"), "{text}");
    }

    #[test]
    fn other_autonomous_systems_on_the_way_are_named() {
        let watch = Mutex::default();
        for minute in 0..3 {
            assert_eq!(way_of(&trace(minute, "reached"), &watch), []);
        }
        let change = Row::new("path_changes", START + 3 * 60_000)
            .with("target", "lima/n1")
            .with("protocol", "udp")
            .with("change", "hops,as_path")
            .with("hops.added", "192.0.2.1")
            .with("hops.removed", "192.0.2.2")
            .with("as_path", "64496 64499")
            .with("as_path.before", "64496 64500")
            .with("reached", true);
        way_of(&change, &watch);
        let said: Vec<_> =
            (3..8).flat_map(|minute| way_of(&trace(minute, "reached"), &watch)).collect();
        let kinds: Vec<&str> = said.iter().map(|(signal, _)| &*signal.kind).collect();
        assert_eq!(kinds, ["path_other_way", "path_other_systems"]);
        assert!(said[1].0.text.contains("64496 64499 instead of 64496 64500"), "{:?}", said[1].0);
    }

    #[test]
    fn a_connection_that_fails_where_it_came_about_is_a_signal() {
        let watch = Mutex::default();
        let row = |second: u64, event: &'static str| {
            Row::new("host_connections", START + second * 1_000)
                .with("event", event)
                .with("service.name", "web")
                .with("destination.address", "192.0.2.7")
                .with("destination.port", 5_432_i64)
        };
        assert_eq!(connection_of(&row(0, "connect"), &watch), None);
        assert_eq!(connection_of(&row(1, "accept"), &watch), None);
        let said: Vec<Signal> =
            (1..8).filter_map(|n| connection_of(&row(10 * n, "connect_failed"), &watch)).collect();
        assert_eq!(said.len(), 1);
        assert_eq!(
            (&*said[0].kind, &*said[0].target.to_string()),
            ("connections_failing", "host:192.0.2.7")
        );
        let over = connection_of(&row(100, "connect"), &watch).expect("it is over");
        assert!(!over.raised);
    }
}
