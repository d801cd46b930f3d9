//! Results of probes become signals: raised after several failures in a row, cleared after several
//! successes.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use holm_model::{Millis, NodeId, SIGNAL_KEY, Severity, Signal};

/// Failures in a row that raise a signal.
const FAILURES: u32 = 3;
/// Successes in a row that clear it.
const SUCCESSES: u32 = 3;
/// Most probes that are followed; results of others are passed over and counted.
const MAX_PROBES: usize = 20_000;
/// A probe without a result for so long is forgotten, in milliseconds.
const FORGET_MS: u64 = 60 * 60 * 1_000;

/// One result.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// The kind of probe, such as `icmp`.
    pub probe: &'a str,
    /// What was probed.
    pub target: &'a NodeId,
    /// What tells two probes of one kind to one target apart, such as two URLs of a host: the name that
    /// somebody gave them.
    pub name: Option<&'a str>,
    /// What was wrong; `None` if it answered.
    pub error: Option<&'a str>,
    /// How grave it is that it does not answer.
    pub severity: Severity,
    /// When.
    pub at: Millis,
}

/// How a target looks from one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It is not probed, or not often enough yet to say.
    Unknown,
    /// It failed several times in a row.
    Failing,
    /// All probes answer, since then.
    Fine(Millis),
}

#[derive(Debug)]
struct Probe {
    /// Results in a row that say the same.
    row: u32,
    failing: bool,
    raised: bool,
    /// Since when it answers; `None` while it does not.
    fine_since: Option<Millis>,
    last: Millis,
}

/// Follows the probes of one node.
#[derive(Debug, Default)]
pub struct ProbeWatch {
    /// By target and kind, then by name: each counts for itself.
    probes: HashMap<(NodeId, Box<str>), BTreeMap<Box<str>, Probe>>,
    /// All of them.
    count: usize,
    refused: u64,
}

impl ProbeWatch {
    /// A watch that follows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a result; the signal that follows from it, if one does.
    pub fn take(&mut self, outcome: &Outcome<'_>) -> Option<Signal> {
        let key = (outcome.target.clone(), Box::from(outcome.probe));
        let name = outcome.name.unwrap_or_default();
        let known = self.probes.get(&key).is_some_and(|named| named.contains_key(name));
        if !known && self.count >= MAX_PROBES {
            self.forget(outcome.at);
            if self.count >= MAX_PROBES {
                self.refused += 1;
                return None;
            }
        }
        let failing = outcome.error.is_some();
        let new = || Probe { row: 0, failing, raised: false, fine_since: None, last: outcome.at };
        let probe = self.probes.entry(key).or_default().entry(name.into()).or_insert_with(new);
        self.count += usize::from(!known);
        if outcome.at.is_late_after(probe.last) {
            return None;
        }
        // A clock that was set back: nothing began later than now.
        probe.fine_since = probe.fine_since.map(|since| since.min(outcome.at));
        probe.last = outcome.at;
        probe.row = if probe.failing == failing { probe.row.saturating_add(1) } else { 1 };
        probe.failing = failing;
        match failing {
            true => probe.fine_since = None,
            false => {
                probe.fine_since.get_or_insert(outcome.at);
            }
        }
        let turns = match (failing, probe.raised) {
            (true, false) => probe.row >= FAILURES,
            (false, true) => probe.row >= SUCCESSES,
            // Raised in the run before, perhaps: nothing is cleared that is not known.
            (false, false) => probe.row == SUCCESSES,
            (true, true) => false,
        };
        if !turns {
            return None;
        }
        probe.raised = failing;
        let Outcome { probe, target, name, error, severity, at } = *outcome;
        let mut signal =
            Signal::new("active", &format!("{probe}_failed"), target.clone(), failing, at);
        signal.severity = severity;
        let of = name.map_or_else(String::new, |name| format!(" ({name})"));
        signal.text = match error {
            Some(error) => format!("{target} does not answer {probe}{of}: {error}").into(),
            None => format!("{target} answers {probe}{of}").into(),
        };
        signal.attributes.insert("probe".into(), probe.into());
        signal.attributes.extend(name.map(|name| (SIGNAL_KEY.into(), name.into())));
        Some(signal)
    }

    /// How a target looks from here by these kinds of probes.
    pub fn sight(&self, target: &NodeId, kinds: &[Box<str>]) -> Sight {
        let of = kinds.iter().map(|kind| (target.clone(), kind.clone()));
        let probes = of.filter_map(|of| self.probes.get(&of)).flat_map(BTreeMap::values);
        let mut sight = Sight::Unknown;
        let mut certain = true;
        for probe in probes {
            if probe.failing && probe.row >= FAILURES {
                return Sight::Failing;
            }
            certain &= !probe.failing && probe.row >= SUCCESSES;
            let since = probe.fine_since.unwrap_or_default();
            sight = match sight {
                Sight::Fine(known) => Sight::Fine(known.max(since)),
                _ => Sight::Fine(since),
            };
        }
        if certain { sight } else { Sight::Unknown }
    }

    /// Whether a target is probed from here.
    pub fn looks_at(&self, target: &NodeId, kinds: &[Box<str>]) -> bool {
        kinds.iter().any(|kind| self.probes.contains_key(&(target.clone(), kind.clone())))
    }

    /// Forgets probes without a result for an hour.
    pub fn forget(&mut self, now: Millis) {
        self.probes.retain(|_, named| {
            named.retain(|_, probe| now.since(probe.last) < FORGET_MS);
            !named.is_empty()
        });
        self.count = self.probes.values().map(BTreeMap::len).sum();
    }

    /// Results that were passed over because too many probes are followed.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome<'a>(
        probe: &'a str,
        target: &'a NodeId,
        name: Option<&'a str>,
        error: Option<&'a str>,
        at: u64,
    ) -> Outcome<'a> {
        Outcome { probe, target, name, error, severity: Severity::Warning, at: Millis(at) }
    }

    #[test]
    fn two_pages_of_one_host_count_each_for_itself() {
        let target: NodeId = "host:shop.example".parse().expect("valid");
        let kinds = [Box::from("http")];
        let mut watch = ProbeWatch::new();
        let mut said = Vec::new();
        for at in 1..=6 {
            let (name, error) = if at % 2 == 0 { ("cart", Some("503")) } else { ("front", None) };
            said.extend(watch.take(&outcome("http", &target, Some(name), error, at)));
        }
        let raised: Vec<_> = said.iter().filter(|signal| signal.raised).collect();
        assert_eq!(raised.len(), 1, "{said:?}");
        assert_eq!(raised[0].attributes.get(SIGNAL_KEY).map(|key| &**key), Some("cart"));
        assert_eq!(raised[0].text.as_ref(), "host:shop.example does not answer http (cart): 503");
        assert_eq!(
            watch.sight(&target, &kinds),
            Sight::Failing,
            "one of its pages does not answer"
        );
        watch.forget(Millis(5 + FORGET_MS));
        assert_eq!(watch.count, 1, "the one that spoke within the hour");
    }

    #[test]
    fn a_probe_is_raised_by_its_third_failure_and_cleared_by_its_third_success() {
        let target: NodeId = "host:192.0.2.7".parse().expect("valid");
        let mut watch = ProbeWatch::new();
        let mut at = 0;
        let mut results = |text: &str| -> String {
            let said = text.chars().map(|c| {
                at += 1;
                let error = (c == 'x').then_some("no answer");
                watch
                    .take(&outcome("icmp", &target, None, error, at))
                    .map_or('-', |signal| if signal.raised { 'R' } else { 'C' })
            });
            said.collect()
        };
        assert_eq!(results("xx.xxxx"), "-----R-");
        assert_eq!(results("..x...."), "-----C-");
        assert_eq!(results("x.x.x.x"), "-------");
        let kinds = [Box::from("icmp")];
        assert_eq!(watch.sight(&target, &kinds), Sight::Unknown, "one failure says nothing");
        assert!(watch.looks_at(&target, &kinds) && !watch.looks_at(&target, &[]));
    }

    #[test]
    fn a_clock_that_is_set_back_hides_nothing() {
        let target: NodeId = "host:192.0.2.7".parse().expect("valid");
        let kinds = [Box::from("icmp")];
        let mut watch = ProbeWatch::new();
        let mut take = |error, at| {
            let signal = watch.take(&outcome("icmp", &target, None, error, at));
            (signal.map(|signal| (signal.raised, signal.at.0)), watch.sight(&target, &kinds))
        };
        let hour = 3_600_000;
        for n in 0..5 {
            take(None, 2 * hour + n);
        }
        assert_eq!(take(Some("late"), 2 * hour - 1).0, None, "a little late");
        // The clock is set right, and the target fails.
        let said: Vec<_> = (0..3).map(|n| take(Some("no answer"), hour + n)).collect();
        assert_eq!(said[2], (Some((true, hour + 2)), Sight::Failing));
        let said: Vec<_> = (0..3).map(|n| take(None, hour + 10 + n)).collect();
        assert_eq!(said[2], (Some((false, hour + 12)), Sight::Fine(Millis(hour + 10))));
    }

    #[test]
    fn what_answers_is_a_witness() {
        let target: NodeId = "host:192.0.2.7".parse().expect("valid");
        let mut watch = ProbeWatch::new();
        let kinds = [Box::from("icmp"), Box::from("tcp")];
        for at in 1..=3 {
            assert_eq!(watch.sight(&target, &kinds), Sight::Unknown);
            let cleared = watch.take(&outcome("icmp", &target, None, None, at));
            assert_eq!(cleared.is_some_and(|signal| !signal.raised), at == 3);
        }
        assert_eq!(watch.sight(&target, &kinds), Sight::Fine(Millis(1)));
        for at in 4..=6 {
            watch.take(&outcome("tcp", &target, None, Some("no answer"), at));
            let sight = watch.sight(&target, &kinds);
            assert_eq!(sight, if at == 6 { Sight::Failing } else { Sight::Unknown });
        }
    }
}
