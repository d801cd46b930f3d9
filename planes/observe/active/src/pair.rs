//! What the probes of one site to another came to lately: one cell of the matrix of all pairs.

use std::collections::{BTreeMap, VecDeque};

use holm_model::{Millis, Row, SiteId, Value};

use serde::{Deserialize, Serialize};

use crate::ProbeKind;

/// Results of one kind of probe that a cell is made of, and how old they may be, in milliseconds.
const RESULTS: usize = 60;
/// How far back a cell looks, in milliseconds.
pub const WINDOW_MS: u64 = 10 * 60_000;
/// Most sites.
const MAX_SITES: usize = 8_192;

/// What was measured from one site to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// By which kind of probe: `icmp`, or `tcp` where no echo request gets out.
    pub probe: ProbeKind,
    /// Probes in the window.
    pub probes: usize,
    /// Share of packets (icmp) or connections (tcp) that were lost: 0 to 1.
    pub loss: f64,
    /// The middle one of the round trips, in ms; `None` if nothing answered.
    pub rtt_p50_ms: Option<f64>,
    /// The round trip that 95 of 100 do not exceed, in ms.
    pub rtt_p95_ms: Option<f64>,
    /// Mean difference of neighbouring round trips, in ms (icmp: within probes, RFC 3550's idea; tcp: between them).
    pub jitter_ms: Option<f64>,
    /// When it answered last.
    pub answered: Option<Millis>,
    /// When it was probed last.
    pub last: Millis,
}

#[derive(Debug, Clone, Copy)]
struct Result {
    at: Millis,
    loss: f64,
    rtt_ms: Option<f64>,
    jitter_ms: Option<f64>,
}

/// The latest results of this node's probes of the other sites.
#[derive(Debug, Default)]
pub struct Pairs {
    results: BTreeMap<(SiteId, ProbeKind), VecDeque<Result>>,
    refused: u64,
}

impl Pairs {
    /// Takes a row of `active_results`, if it is of a probe of another site by the mesh itself.
    pub fn take(&mut self, row: &Row) {
        let text = |column: &str| match row.columns.get(column) {
            Some(Value::Text(text)) => Some(&**text),
            _ => None,
        };
        let float = |column: &str| match row.columns.get(column) {
            Some(Value::Float(number)) if number.is_finite() => Some(*number),
            _ => None,
        };
        let Some(site) = text("peer.site").and_then(|site| site.parse::<SiteId>().ok()) else {
            return;
        };
        let success = matches!(row.columns.get("success"), Some(Value::Bool(true)));
        let (probe, result) = match text("probe") {
            // A probe that sent nothing says nothing of the way.
            Some("icmp") => (
                ProbeKind::Icmp,
                float("icmp.loss.ratio")
                    .map(|loss| (loss, float("icmp.rtt.avg_ms"), float("icmp.jitter_ms"))),
            ),
            Some("tcp") => {
                let lost = if success { 0.0 } else { 1.0 };
                (ProbeKind::Tcp, Some((lost, float("tcp.connect_ms"), None)))
            }
            _ => return,
        };
        let Some((loss, rtt_ms, jitter_ms)) = result else { return };
        let key = (site, probe);
        if self.results.len() >= MAX_SITES && !self.results.contains_key(&key) {
            self.refused += 1;
            return;
        }
        let results = self.results.entry(key).or_default();
        results.push_back(Result { at: row.at, loss: loss.clamp(0.0, 1.0), rtt_ms, jitter_ms });
        if results.len() > RESULTS {
            results.pop_front();
        }
    }

    /// What was measured in the window before `now`, by site: by echo requests where there are some, else by
    /// connections.
    pub fn lately(&self, now: Millis) -> BTreeMap<SiteId, Pair> {
        let mut pairs = BTreeMap::new();
        // ICMP comes before TCP.
        for ((site, probe), results) in &self.results {
            let young: Vec<Result> = results
                .iter()
                .filter(|result| now.since(result.at) <= WINDOW_MS)
                .copied()
                .collect();
            if let Some(pair) = pair(*probe, &young) {
                pairs.entry(site.clone()).or_insert(pair);
            }
        }
        pairs
    }

    /// Lets go of what is older than the window.
    pub fn forget(&mut self, now: Millis) {
        self.results
            .retain(|_, all| all.back().is_some_and(|last| now.since(last.at) <= WINDOW_MS));
    }

    /// Results that were passed over because there are too many sites.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

fn pair(probe: ProbeKind, results: &[Result]) -> Option<Pair> {
    let last = results.iter().map(|result| result.at).max()?;
    let mean = |numbers: &[f64]| {
        (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
    };
    let rtts: Vec<f64> = results.iter().filter_map(|result| result.rtt_ms).collect();
    let mut sorted = rtts.clone();
    sorted.sort_by(f64::total_cmp);
    let quantile = |q: f64| {
        let rank = (q * sorted.len().saturating_sub(1) as f64).round() as usize;
        sorted.get(rank).copied()
    };
    let within: Vec<f64> = results.iter().filter_map(|result| result.jitter_ms).collect();
    let between: Vec<f64> = rtts.windows(2).map(|two| (two[0] - two[1]).abs()).collect();
    let losses: Vec<f64> = results.iter().map(|result| result.loss).collect();
    Some(Pair {
        probe,
        probes: results.len(),
        loss: mean(&losses)?,
        rtt_p50_ms: quantile(0.5),
        rtt_p95_ms: quantile(0.95),
        jitter_ms: mean(&within).or_else(|| mean(&between)),
        answered: results.iter().filter(|r| r.rtt_ms.is_some()).map(|r| r.at).max(),
        last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn icmp(at: u64, loss: f64, rtt: Option<f64>) -> Row {
        Row::new("active_results", Millis(at))
            .with("probe", "icmp")
            .with("target", "tokyo/n1")
            .with("peer.site", "tokyo")
            .with("success", rtt.is_some())
            .with("icmp.loss.ratio", loss)
            .with_some("icmp.rtt.avg_ms", rtt)
            .with_some("icmp.jitter_ms", rtt.map(|_| 0.5))
    }

    #[test]
    fn a_cell_is_what_was_measured_lately() {
        let mut pairs = Pairs::default();
        for at in 1..=20 {
            pairs.take(&icmp(at, 0.0, Some(at as f64)));
        }
        pairs.take(&icmp(21, 1.0, None));
        pairs.take(
            &Row::new("active_results", Millis(22))
                .with("probe", "icmp")
                .with("target", "x")
                .with("success", true),
        );
        let lately = pairs.lately(Millis(30));
        let cell = &lately[&"tokyo".parse().expect("valid")];
        assert_eq!((cell.probes, cell.rtt_p50_ms, cell.rtt_p95_ms), (21, Some(11.0), Some(19.0)));
        assert!((cell.loss - 1.0 / 21.0).abs() < 1e-9 && cell.jitter_ms == Some(0.5));
        assert_eq!((cell.answered, cell.last), (Some(Millis(20)), Millis(21)));
        assert!(pairs.lately(Millis(30 + WINDOW_MS)).is_empty(), "it says nothing of now");
        pairs.forget(Millis(30 + WINDOW_MS));
        assert!(pairs.results.is_empty());
    }

    #[test]
    fn without_echo_requests_connections_are_taken() {
        let mut pairs = Pairs::default();
        let tcp = |at, ms: Option<f64>| {
            Row::new("active_results", Millis(at))
                .with("probe", "tcp")
                .with("peer.site", "tokyo")
                .with("success", ms.is_some())
                .with_some("tcp.connect_ms", ms)
        };
        // No socket: nothing was sent.
        pairs.take(
            &Row::new("active_results", Millis(1))
                .with("probe", "icmp")
                .with("peer.site", "tokyo")
                .with("success", false),
        );
        for (at, ms) in [(1, Some(10.0)), (2, Some(14.0)), (3, None)] {
            pairs.take(&tcp(at, ms));
        }
        let cell = pairs.lately(Millis(5)).into_values().next().expect("one");
        assert_eq!((cell.probe, cell.probes, cell.jitter_ms), (ProbeKind::Tcp, 3, Some(4.0)));
        assert!((cell.loss - 1.0 / 3.0).abs() < 1e-9);
    }
}
